"""Dictionary files (TOML), read and checked as a whole. docs/dialects.md explains every key.

Mistakes are gathered, not raised: one run names them all, each with its line and a remedy, and what only
follows from a mistake is not told as another. Nothing here touches a byte of a message.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from switch.iso8583 import dictionary_keys as keys
from switch.iso8583 import part_sums, tag_names, toml_text
from switch.iso8583.characters import CODE_PAGES
from switch.iso8583.dictionary import (
    BITMAP_BITS,
    DEEPEST,
    HEADER,
    HIGHEST_FIELD,
    HIGHEST_TERTIARY_FIELD,
    BitmapForm,
    Dictionary,
    Field,
    Fill,
    Length,
    MacPlace,
    Pad,
    Prefix,
    ResponseCode,
    Text,
    TlvForm,
)
from switch.iso8583.dictionary_rules import Known, RuleReader, title
from switch.iso8583.dictionary_tables import Findings, Table, did_you_mean, meant
from switch.iso8583.dictionary_values import value_problem
from switch.iso8583.errors import FORMAT_ERROR, INVALID_TRANSACTION, DialectError, Mistake
from switch.iso8583.inheritance import merged, removed
from switch.iso8583.lengths import count_bytes
from switch.iso8583.masks import Mask, standard_mask
from switch.iso8583.toml_lines import KeyPath

SHIPPED = Path(__file__).parent / "dialects"
TAG_SETS = SHIPPED / "tags"

LONGEST_FIXED = 999  # ISO 8583: no field is longer than an LLLVAR one
PREFIX_DIGITS_MAXIMUM = 6
LONGEST_VARIABLE = 999_999  # what six digits say; frames end far below
LONGEST_TAG_CHARACTERS = 8  # a tag stands in paths and errors: too short for a card number
LONGEST_BITMAP_BYTES = 32  # of a bitmapped field
RESPONSE_CODE_FIELD = "39"
VALUE_REMEDY = "write a value that the field can have"
EXTENDS_DEEPEST = 8  # dialects made from dialects; a loop ends here

TEXT_CLASSES = ("a", "an", "anp", "ans", "as", "ns")
COMPOSITES = ("tlv", "positional", "bitmapped")
_TEXT = ("ascii", "ebcdic")
# Content class -> the encodings that can carry it.
ENCODINGS: dict[str, tuple[str, ...]] = {
    "n": ("bcd", *_TEXT),
    "z": ("bcd", *_TEXT),
    "h": ("bcd", *_TEXT),
    "x+n": ("bcd", *_TEXT),
    **dict.fromkeys(TEXT_CLASSES, _TEXT),
    "b": ("binary", "hex", "ebcdic"),
    **dict.fromkeys(COMPOSITES, ("binary", "hex", *_TEXT)),
}
_NIBBLE_UNITS = ("digits", "nibbles", "bytes")
_TEXT_UNITS = ("characters", "digits", "bytes", "nibbles")
_BYTE_UNITS = ("bytes", "nibbles")
_HEX_UNITS = ("bytes", "characters", "digits", "nibbles")
PREFIX_ENCODINGS = ("ascii", "bcd", "ebcdic", "binary", "hex")
_BASES = {"binary": 256, "hex": 16}
_TAG_ENCODINGS = ("binary", "ascii", "ebcdic", "bcd", "hex")
SIGN_FORMS = ("ascii", "ebcdic", "nibble")
HEX_CASES = ("upper", "lower")
# A field of an unknown class is judged as far as that can be done: these are the encodings and units of any.
_ANY_ENCODING = tuple(dict.fromkeys(encoding for each in ENCODINGS.values() for encoding in each))
_ANY_UNIT = tuple(dict.fromkeys((*_NIBBLE_UNITS, *_TEXT_UNITS, *_BYTE_UNITS)))


class _Reading(NamedTuple):
    """One file read. located: its mistakes, then those of what it extends, each with its file."""

    dictionary: Dictionary | None  # None: not asked for
    content: dict[str, Any]
    located: tuple[tuple[Path, Mistake], ...]


def read(file: Path) -> Dictionary:
    """The dictionary in `file`; `DialectError` with every mistake found."""
    reading = _read(file, ())
    if reading.located:
        own = [mistake for where, mistake in reading.located if where == file]
        raise DialectError(file, own, [each for each in reading.located if each[0] != file])
    assert reading.dictionary is not None, "what is read without a mistake is made into a dictionary"
    return reading.dictionary


def _read(file: Path, above: tuple[Path, ...]) -> _Reading:
    text = toml_text.read(file)
    findings = Findings(text.lines, text.content, text.damaged)
    findings.mistakes += text.mistakes
    content = text.content
    head = content.get("dialect")
    names: tuple[str, ...] | None = ()
    others: tuple[tuple[Path, Mistake], ...] = ()
    if isinstance(head, dict) and _has_lost_base(head, text.damaged):
        findings.is_partial = not _stands_alone(content)
    elif isinstance(head, dict) and "extends" in head:
        base = _base(file, head["extends"], findings, (*above, file.resolve()))
        findings.is_partial = base is None and not _stands_alone(content)
        if base is not None:
            others = base.located
            names = _remove(findings, base.content, head)
            content = merged(base.content, content)
    elif isinstance(head, dict) and "remove" in head:
        findings.refuse(("dialect", "remove"), "there is nothing to take away from", "add extends")
    elif head is None:
        content = _without_strays(findings, content)
    dictionary = _Reader(findings, names).dictionary(Table(findings, (), content, keys.ROOT))
    told = {mistake.what for _file, mistake in others}
    own = [mistake for mistake in findings.mistakes if mistake.what not in told]
    own.sort(key=lambda mistake: mistake.line or 0)
    return _Reading(dictionary, content, (*((file, mistake) for mistake in own), *others))


def _base(file: Path, extends: object, findings: Findings, above: tuple[Path, ...]) -> _Reading | None:
    """What `file` extends; None when it can't be read: then nothing can be called missing."""
    place = ("dialect", "extends")
    if not isinstance(extends, str):
        return None  # said where the head is read
    base_file = _base_file(file, extends)
    if not base_file.is_file():
        near = _nearest_base(file, extends)
        remedy = "name a shipped dialect or a file ending in .toml, seen from this file"
        findings.refuse(
            place, f"there is no dialect {extends!r}", f"did you mean {near!r}?" if near else remedy
        )
        if not near:
            return None
        base_file = _base_file(file, near)
    if base_file.resolve() in above:
        circle = " extends ".join(
            path.name for path in (*above[above.index(base_file.resolve()) :], base_file)
        )
        findings.refuse(place, f"a circle: {circle}", "extend a dialect that doesn't build upon this one")
        return None
    if len(above) > EXTENDS_DEEPEST:
        what = f"dialects extend each other more than {EXTENDS_DEEPEST} deep"
        findings.refuse(place, what, "end the chain")
        return None
    try:
        if base_file.parent == SHIPPED:  # right, as tests hold: not judged again
            return _Reading(None, _shipped_content(base_file), ())
        return _read(base_file, above)
    except DialectError as error:
        what = f"{extends} can't be read: {error.what}"
        findings.refuse(place, what, error.remedy)
        return None


def _without_strays(findings: Findings, content: Mapping[str, Any]) -> dict[str, Any]:
    """A file without [dialect]: what it extends isn't known; its keys may stand above any table."""
    strays = [key for key in content if key in keys.DIALECT]
    if strays:
        what = f"{', '.join(strays)}: outside of any table"
        findings.mistakes.append(Mistake(findings.lines.line_of((strays[0],)), what, "write [dialect] above"))
    elif ("dialect",) not in findings.damaged:
        findings.refuse(("dialect",), "'dialect' is missing", f"add {keys.ROOT['dialect']}")
    findings.is_partial = True
    return {key: value for key, value in content.items() if key not in strays}


def _has_lost_base(head: Mapping[str, Any], damaged: Collection[KeyPath]) -> bool:
    """Whether the head may have said what it extends in a key that is mistyped or couldn't be read."""
    slips = (meant(key, keys.DIALECT) for key in head if key not in keys.DIALECT)
    return "extends" not in head and (("dialect",) in damaged or "extends" in slips)


def _stands_alone(content: Mapping[str, Any]) -> bool:
    """Whether a file says all that a dialect must, as if it extended nothing."""
    head, fields = content["dialect"], content.get("fields")
    is_whole = isinstance(fields, dict) and all(
        isinstance(each, dict) and "class" in each for each in fields.values()
    )
    return is_whole and "mti" in head and "bitmap" in head


def _shipped_content(file: Path) -> dict[str, Any]:
    """What a shipped dialect says with all that it extends. The caller may change its tables."""
    content = toml_text.read(file).content
    extends = content["dialect"].get("extends")
    if extends is None:
        return content
    base = _shipped_content(_base_file(file, extends))
    strange = list(removed(base, content["dialect"].get("remove", [])))
    assert not strange, "shipped dialects take away what is there"
    return merged(base, content)


def _base_file(file: Path, extends: str) -> Path:
    return file.parent / extends if extends.endswith(".toml") else SHIPPED / f"{extends}.toml"


def _nearest_base(file: Path, extends: str) -> str:
    shipped = [path.stem for path in SHIPPED.glob("*.toml")]
    beside = [path.name for path in file.parent.glob("*.toml") if path.name != file.name]
    return meant(extends, [*shipped, *beside])


def _remove(findings: Findings, base: dict[str, Any], head: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Takes away from `base` what the head says; returns the names of it, None when some are nothing."""
    names = head.get("remove", [])
    if not isinstance(names, list):
        return None  # said where the head is read
    strange = list(removed(base, names))
    for path, text in strange:
        holder, _dot, last = text.rpartition(".")
        near = "" if last.isdecimal() else meant(last, _names_in(base, holder))
        remedy = f"did you mean {holder}.{near}?" if near else 'write like "fields.48.tags.01"'
        findings.refuse(path, f"{text!r} is nothing of {head['extends']}", remedy, text)
    return None if strange else tuple(name for name in names if isinstance(name, str))


def _names_in(base: Mapping[str, Any], holder: str) -> list[str]:
    found: Any = base
    for step in holder.split("."):
        found = found.get(step) if isinstance(found, dict) else None
    return list(found) if isinstance(found, dict) else []


class _Holder(NamedTuple):
    """What a field stands in: decides which lengths it may have."""

    kind: str  # "message", "header", or the class of the composite around it
    depth: int = 0
    encoding: str = "binary"  # what a composite in text makes the natural encoding of its parts


class _Sized(NamedTuple):
    """What `length` says. is_right: it has no mistake that others could follow from."""

    length: Length
    unit: str
    sizing: str
    prefix: Prefix | None = None
    is_right: bool = True


_NO_SIZE = _Sized(Length(1, LONGEST_FIXED, 0), "bytes", "fixed", None, False)


class _Reader:
    """Turns the tables of one file into a `Dictionary`; the mistakes go to `findings`.

    names: what the file takes away from the one it extends; None: that isn't clear.
    """

    def __init__(self, findings: Findings, names: tuple[str, ...] | None) -> None:
        self._findings = findings
        self._removed = names
        self._defaults: dict[str, dict[str, Any]] = {}
        self._wrong_defaults: set[tuple[str, str]] = set()  # (class, key): refused in [defaults]
        # (class, key, what, remedy) -> where it is missing
        self._unsaid: dict[tuple[str, str, str, str], list[KeyPath]] = {}
        self._doubtful: set[str] = set()  # paths that stand in the file but can't be read
        self._unsound: set[str] = set()  # fields with a mistake: their format isn't known
        self._code_page = "cp500"
        self._header: Mapping[str, Field] = {}

    def _refuse(self, path: KeyPath, what: str, remedy: str) -> None:
        self._findings.refuse(path, what, remedy)

    # ------------------------------------------------------------ the whole

    def dictionary(self, root: Table) -> Dictionary:
        head = root.table("dialect", keys.DIALECT)
        name = head.text("name", keys.DIALECT_NAME)
        version = head.integer("version", 1, 9999)
        description = title(head, "description")
        extends = head.text("extends") if "extends" in head else None
        head.texts("remove", default=[])
        format_error = head.text("format_error", keys.RESPONSE_CODE, FORMAT_ERROR) or FORMAT_ERROR
        invalid = head.text("invalid_transaction", keys.RESPONSE_CODE, INVALID_TRANSACTION)
        self._code_page = head.choice("code_page", CODE_PAGES, default="cp500") or "cp500"
        mti = head.table("mti", keys.MTI)
        mti_encoding = mti.choice("encoding", ("bcd", "ascii", "ebcdic"))
        mti.close()
        bitmap = self._message_bitmap(head.table("bitmap", keys.BITMAP))
        self._read_defaults(root)
        self._header = self._parts(HEADER, root, HEADER, _Holder("header")) if "header" in root else {}
        fields = self._fields(root, bitmap)
        self._tell_unsaid()
        known = self._known(root, fields)
        mac = self._mac(head, fields, known) if "mac" in head else None
        head.close()
        rules = RuleReader(self._findings, known, self._removed)
        conditions = rules.conditions(root)
        messages = rules.messages(root)
        rules.tell()
        network_codes = self._texts(root, "network_codes")
        response_codes = {
            code: self._response_code(table)
            for code, table in root.tables("response_codes", keys.RESPONSE, required=False)
        }
        self._judge_response_codes(head, response_codes, known)
        reasons = self._texts(root, "reasons")
        root.close()
        return Dictionary(
            name,
            version,
            description,
            mac,
            fields,
            messages,
            network_codes,
            response_codes,
            reasons,
            mti_encoding,
            bitmap,
            self._header,
            conditions,
            self._code_page,
            extends,
            format_error,
            invalid or INVALID_TRANSACTION,
        )

    def _texts(self, root: Table, key: str) -> dict[str, Text]:
        texts = {}
        for code, table in root.tables(key, keys.CODE, required=False):
            texts[code] = title(table)
            table.close()
        return texts

    def _response_code(self, table: Table) -> ResponseCode:
        code = ResponseCode(title(table), table.flag("transient"))
        table.close()
        return code

    def _judge_response_codes(self, head: Table, codes: Mapping[str, ResponseCode], known: Known) -> None:
        """Codes that field 39 can't carry; of many the first names the others."""
        field = known.field_at(RESPONSE_CODE_FIELD)
        if field is None or field.is_composite or not known.is_sound(field.path):
            return
        for key in ("format_error", "invalid_transaction"):
            if key in head and key not in head.wrong:
                problem = value_problem(field, str(head.content[key]))
                if problem:
                    head.refuse(key, f"field 39 can't carry it: {problem}", "write a code of its form")
        bad = {code: problem for code in codes if (problem := value_problem(field, code))}
        self._refuse_first(
            ("response_codes",),
            bad,
            lambda code: f"field 39 can't carry {code!r}",
            "write a code of its form",
        )

    def _refuse_first(
        self, holder: KeyPath, bad: Mapping[str, str], what: Callable[[str], str], remedy: str
    ) -> None:
        """One mistake for the keys of `holder` that have the same fault. bad: key -> why."""
        if not bad:
            return
        first, *others = bad
        more = f"; nor {', '.join(others[:4])}{', …' if len(others) > 4 else ''}" if others else ""
        why = f": {bad[first]}" if bad[first] else ""
        self._refuse((*holder, first), f"{what(first)}{more}{why}", remedy)

    def _known(self, root: Table, fields: Mapping[int, Field]) -> Known:
        lost = [path for path in self._findings.damaged if path[:1] in (("fields",), (HEADER,))]
        for first, *steps in lost:
            inner = [step for step in steps if step not in ("tags", "subfields")]
            self._doubtful.add(".".join(([HEADER] if first == HEADER else []) + inner))
        slips = [key for key in root if key not in keys.ROOT and meant(key, keys.ROOT) in ("fields", HEADER)]
        are_all = not (
            self._findings.is_partial or slips or {"fields", HEADER} & root.wrong or "" in self._doubtful
        )
        return Known(fields, self._header, self._doubtful, self._unsound, are_all)

    # ------------------------------------------------------------ defaults

    def _read_defaults(self, root: Table) -> None:
        choices: dict[str, tuple[str, ...]] = {
            "prefix": PREFIX_ENCODINGS,
            "unit": _ANY_UNIT,
            "code_page": tuple(CODE_PAGES),
            "hex_case": HEX_CASES,
            "sign": SIGN_FORMS,
        }
        for name, table in root.tables("defaults", keys.DEFAULTS, required=False):
            content = name if name in ENCODINGS else meant(name, ENCODINGS)
            if name not in ENCODINGS:
                self._refuse(table.path, f"{name!r} is no class", did_you_mean(name, ENCODINGS))
            judged: dict[str, Any] = {}
            for key, allowed in {"encoding": ENCODINGS.get(content, _ANY_ENCODING), **choices}.items():
                if key in table:
                    elsewhere = _ANY_ENCODING if key == "encoding" else ()
                    judged[key] = table.choice(key, allowed, None, elsewhere, f"class {content}")
            slips = {meant(key, keys.DEFAULTS) for key in table if key not in keys.DEFAULTS}
            if "pad" in table:
                before = len(self._findings.mistakes)
                self._read_pad(table, judged.get("encoding", ""), content)
                judged["pad"] = table.content["pad"] if len(self._findings.mistakes) == before else None
            lost = keys.DEFAULTS if self._findings.is_missing_known(table.path) else ()
            wrong = {*lost, *slips, *table.wrong, *(key for key, value in judged.items() if not value)}
            self._wrong_defaults |= {(content, key) for key in wrong}
            table.close()
            self._defaults.setdefault(content, {key: value for key, value in judged.items() if value})
        slips = {meant(key, keys.ROOT) for key in root if key not in keys.ROOT}
        if "defaults" in root.wrong or "defaults" in slips:
            self._wrong_defaults |= {(content, key) for content in ENCODINGS for key in keys.DEFAULTS}

    def _default(self, content: str, key: str) -> Any:
        return self._defaults.get(content, {}).get(key, "")

    def _said(
        self,
        table: Table,
        key: str,
        content: str,
        choices: tuple[str, ...],
        elsewhere: tuple[str, ...] = (),
    ) -> str:
        """What the field says, or else the defaults of its class; "" when neither does, or says it wrong."""
        default = self._default(content, key)
        known_default = default if default in choices else ""
        value = table.choice(key, choices, known_default, elsewhere, f"class {content}")
        if not value and key not in table:
            known = " or ".join(f'"{choice}"' for choice in choices)
            self._note_unsaid(table, key, content, f"{key!r} is missing", f"add {key} = {known}")
        return value

    def _note_unsaid(self, table: Table, key: str, content: str, what: str, remedy: str) -> None:
        """What a field must say when the defaults of its class don't: told for all fields at once."""
        table.wrong.add(key)
        if content and (content, key) not in self._wrong_defaults and not table.may_lack(key):
            self._unsaid.setdefault((content, key, what, remedy), []).append((*table.path, key))

    def _tell_unsaid(self) -> None:
        for (content, key, what, remedy), paths in self._unsaid.items():
            if len(paths) == 1:
                self._refuse(paths[0], what, remedy)
                continue
            defaults: KeyPath = ("defaults", content)
            place = defaults if self._findings.lines.line_of(defaults) else paths[0]
            fields = ", ".join(
                ".".join(path[: path.index(key)]).removesuffix(".length") for path in paths[:3]
            )
            more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
            where = f"to [defaults.{content}] or to each of them"
            self._refuse(place, f"{what} in {fields}{more}", f"{remedy}, {where}")

    # ------------------------------------------------------------ bitmap, MAC

    def _message_bitmap(self, table: Table) -> BitmapForm:
        encoding = table.choice("encoding", ("binary", "hex", "ebcdic"))
        size = table.integer("always", 8, 24, default=8)
        if size % 8:
            table.refuse("always", f"{size} bytes are no whole bitmaps", "write 8, 16 or 24")
        first_bit = table.choice("first_bit", ("announces", "set", "clear", "any"), default="announces")
        is_size_right = "always" not in table.wrong
        if first_bit in ("set", "clear", "any") and size < 16 and is_size_right:
            how = "of any kind" if first_bit == "any" else f"always {first_bit}"
            table.refuse("first_bit", f"bit 1 {how} with a bitmap that may end", "add always = 16")
        empty = table.flag("empty_secondary")
        if empty and size > 8 and is_size_right:
            table.refuse("empty_secondary", "the secondary bitmap always stands", "take it away")
        tertiary = None
        in_field = False
        if "tertiary" in table:
            tertiary = table.integer("tertiary", 65, 65)
        if "tertiary_field" in table:
            if tertiary is not None:
                table.refuse("tertiary_field", "the tertiary bitmap stands in one place", "keep one of both")
            tertiary, in_field = table.integer("tertiary_field", 2, HIGHEST_FIELD), True
        if size == 24 and (tertiary is None or in_field) and not {"always", "tertiary_field"} & table.wrong:
            table.refuse("always", "24 bytes without a tertiary bitmap behind", "add tertiary = 65")
        hex_case = self._close_bitmap(table, encoding, keys.BITMAP)
        return BitmapForm(encoding or "binary", size, first_bit, empty, tertiary, in_field, hex_case)

    def _close_bitmap(self, table: Table, encoding: str, legal: keys.Keys) -> str:
        """The case of its hex digits, which a bitmap in bytes hasn't."""
        if encoding == "binary":
            rest = {key: written for key, written in legal.items() if key != "hex_case"}
            table.close(rest, {"hex_case": "bitmaps in hex digits"})
            return "upper"
        hex_case = table.choice("hex_case", HEX_CASES, default="upper") or "upper"
        table.close()
        return hex_case

    def _mac(self, head: Table, fields: Mapping[int, Field], known: Known) -> MacPlace:
        table = head.table("mac", keys.MAC)
        has_secondary = any(64 < number <= HIGHEST_FIELD for number in fields)
        if has_secondary and "secondary" not in table:
            table.lacks("secondary")
        place = MacPlace(
            table.integer("primary", 2, 64),
            table.integer("secondary", 66, HIGHEST_FIELD) if "secondary" in table else None,
            table.integer("bytes", 1, 64),
            table.flag("required", True),
        )
        table.close()
        knows_all = not self._doubtful and known.are_all
        numbers = {"primary": place.primary}
        if place.secondary is not None and (has_secondary or not knows_all):
            numbers["secondary"] = place.secondary
        elif place.secondary is not None and "secondary" not in table.wrong:
            is_own = self._findings.says((*table.path, "secondary"))
            remedy = "take it away" if is_own else 'add "dialect.mac.secondary" to remove'
            table.refuse("secondary", "there is no field above 64", remedy)
        numbers = {key: number for key, number in numbers.items() if key not in table.wrong}
        for key, number in numbers.items():
            most = 64 if key == "primary" else HIGHEST_FIELD
            last = max((each for each in fields if each <= most), default=0)
            if number != last and knows_all:
                table.refuse(key, "the MAC is not the last field", "name the last field of each bitmap")
        if "bytes" not in table.wrong:
            self._judge_mac_fields(table, place, [*numbers.values()], fields)
        return place

    def _judge_mac_fields(
        self, table: Table, place: MacPlace, numbers: list[int], fields: Mapping[int, Field]
    ) -> None:
        bad = [
            number
            for number in numbers
            if number in fields
            and str(number) not in self._unsound
            and not _is_mac(fields[number], place.size)
        ]
        remedy = f"write class = b, length fixed = {place.size}"
        if len(bad) > 1:
            what = f"neither field {bad[0]} nor {bad[1]} is {place.size} fixed bytes"
            table.refuse("bytes", what, f"write their length, or in both {remedy.removeprefix('write ')}")
        elif bad:
            self._refuse(("fields", str(bad[0])), f"the MAC is not {place.size} fixed bytes", remedy)

    # ------------------------------------------------------------ fields

    def _fields(self, root: Table, bitmap: BitmapForm) -> dict[int, Field]:
        highest = HIGHEST_FIELD if bitmap.tertiary is None else HIGHEST_TERTIARY_FIELD
        fields = {}
        for key, table in root.tables("fields", keys.EVERY_FIELD_KEY):
            number = int(key) if re.fullmatch(r"[1-9][0-9]{0,2}", key) else 0
            if not 2 <= number <= highest or number in BITMAP_BITS:
                self._refuse(table.path, f"no field can be number {key}", f"use 2 to 64 and 66 to {highest}")
                self._doubtful.add(key.lstrip("0"))
                continue
            if number == bitmap.tertiary and bitmap.tertiary_in_field:
                self._refuse(table.path, f"{key} holds the tertiary bitmap", "take the field away")
                self._doubtful.add(key)
                continue
            field = self._field(key, table, _Holder("message"))
            if field is not None:
                fields[number] = field
        return dict(sorted(fields.items()))

    def _refuse_same_names(self, named: list[tuple[KeyPath, Field]]) -> None:
        """Tags are constants of programs by their names: two of one field can't have the same."""
        if len({field.name for _path, field in named}) == len(named):
            return
        lines = self._findings.lines
        seen: dict[str, KeyPath] = {}
        for path, field in sorted(named, key=lambda each: lines.line_of((*each[0], "name")) or 0):
            if field.name and field.name in seen:
                other = ".".join(seen[field.name])
                self._refuse(
                    (*path, "name"), f"{field.name!r} is the name of {other} too", "give it another name"
                )
            seen.setdefault(field.name, path)

    def _field(self, path: str, table: Table, holder: _Holder) -> Field | None:
        before = len(self._findings.mistakes)
        if table.content and not table.content.keys() - {"tags", "subfields"}:
            if not self._findings.is_missing_known(table.path):
                what = "it has parts, but nothing says what it is"
                self._refuse(table.path, what, f"add [{'.'.join(table.path)}]")
            self._doubtful.add(path)
            return None
        name = table.text("name", keys.FIELD_NAME)
        titles = title(table)
        content = self._class(table)
        if holder.depth >= DEEPEST:
            self._refuse(table.path, f"composites more than {DEEPEST} deep", "flatten them")
            self._doubtful.add(path)
            return None
        encoding = self._encoding(table, content)
        default_page = self._default(content, "code_page") or self._code_page
        code_page = table.choice("code_page", CODE_PAGES, default_page) or "cp500"
        hex_case = "upper"
        if _is_in_hex(content, encoding):
            default_case = self._default(content, "hex_case") or "upper"
            hex_case = table.choice("hex_case", HEX_CASES, default_case) or "upper"
        sized = self._length(table, content, encoding, holder)
        length, unit, sizing, prefix = sized.length, sized.unit, sized.sizing, sized.prefix
        if table.path in self._findings.damaged:
            sized = sized._replace(is_right=False)
        signs, sign_form = self._sign(table, content, encoding)
        pad, fill = self._pad(table, content, encoding, sized, sign_form)
        if fill is not None and sizing == "fixed":
            length = Length(1 if fill.character in "0123456789" else 0, length.maximum, 0)
        mask = standard_mask(path, content)
        if "mask" in table:
            mask = Mask(table.choice("mask", list(Mask)) or Mask.HIDDEN)
        form, tags, subfields, sub_bitmap, repeat = self._composition(path, table, content, encoding, holder)
        description = title(table, "description") if "description" in table else None
        optional = table.flag("optional") if holder.kind == "positional" else False
        is_packed_track = content in ("z", "") and encoding in ("bcd", "")
        nibbles = table.choice("nibbles", ("track", "all"), default="track") if is_packed_track else "track"
        field = Field(
            path=path,
            name=name,
            title=titles,
            content=content,
            encoding=encoding,
            length=length,
            pad=pad,
            mask=mask,
            tags=tags,
            unit=unit,
            sizing=sizing,
            prefix=prefix,
            fill=fill,
            code_page=code_page,
            description=description,
            only=table.texts("only", default=[]),
            tlv=form,
            subfields=subfields,
            bitmap=sub_bitmap,
            repeat=repeat,
            optional=optional,
            signs=signs,
            sign_form=sign_form,
            hex_case=hex_case,
            all_nibbles=nibbles == "all",
        )
        is_right = sized.is_right and len(self._findings.mistakes) == before
        if content == "positional" and is_right and not self._has_doubts(field):
            self._judge_sum(table, field)
        unclear = {"class", "encoding", "length", "pad"} & table.wrong or not (content and encoding)
        if unclear or not sized.is_right or len(self._findings.mistakes) != before:
            self._unsound.add(path)
        if meanings := self._values(table, field):
            field = replace(field, meanings=meanings)
        table.close(*_field_keys(content, encoding, holder.kind == "positional"))
        return field

    def _class(self, table: Table) -> str:
        """Its class; of an unknown one what its keys show, or "": then only what holds for any is judged."""
        content = table.choice("class", tuple(ENCODINGS))
        if "class" not in table.wrong or content in COMPOSITES:
            return content
        if "tlv" in table or "tags" in table:
            return "tlv"
        if "bitmap" in table:
            return "bitmapped"
        return "positional" if "subfields" in table else ""

    def _encoding(self, table: Table, content: str) -> str:
        if content in COMPOSITES:
            default = self._default(content, "encoding") or "binary"
            return table.choice("encoding", ENCODINGS[content], default, _ANY_ENCODING, f"class {content}")
        choices = ENCODINGS.get(content, _ANY_ENCODING)
        return self._said(table, "encoding", content, choices, _ANY_ENCODING)

    def _values(self, table: Table, field: Field) -> dict[str, Text]:
        """The meanings of values; every value named, there or in `only`, must be one the field can have."""
        values = table.table("values", None, required=False)
        meanings = {code: title(values, code) for code in values}
        if field.is_composite:
            for key in ("only", "values"):
                if key in table and key not in table.wrong:
                    table.refuse(key, "a composite has no value of its own", "say it of its parts")
            return meanings
        if "only" in table and not field.only and "only" not in table.wrong:
            table.refuse("only", "no value is allowed", f"write {keys.FIELD['only']}, or take it away")
        for place, value in enumerate(field.only):
            if value in field.only[:place]:
                table.refuse("only", f"{value!r} stands twice", "name it once", value)
        if field.path in self._unsound:
            return meanings
        for value in dict.fromkeys(field.only):
            if problem := value_problem(field, value):
                table.refuse("only", f"{value!r} can't be a value: {problem}", VALUE_REMEDY, value)
        for code in meanings:
            if problem := value_problem(field, code):
                values.refuse(code, f"{code!r} can't be a value: {problem}", VALUE_REMEDY)
            elif field.only and code not in field.only:
                values.refuse(code, f"{code!r} is not allowed by only", "add it there, or take it away")
        return meanings

    # ------------------------------------------------------------ length, sign, pad

    def _length(self, table: Table, content: str, encoding: str, holder: _Holder) -> _Sized:
        is_tag = holder.kind == "tlv"
        length = table.table("length", keys.EVERY_LENGTH_KEY)
        named = {meant(key, keys.EVERY_LENGTH_KEY) for key in length}
        if "length" not in table.wrong and not named:
            table.refuse("length", "it says no length", f"write {keys.FIELD['length']}")
            return _NO_SIZE
        if "length" in table.wrong:
            return _NO_SIZE
        if "fixed" in named:
            sized = self._fixed_length(length, content, encoding)
        elif (
            is_tag
            or ("rest" in length and length.content["rest"] is not False)
            or "rest" in named - {*length}
        ):
            sized = self._given_length(length, content, encoding, holder)
        else:
            sized = self._prefixed_length(length, content, encoding)
        length.close(*_length_keys(sized.sizing, is_tag))
        return sized._replace(is_right=not length.wrong)

    def _fixed_length(self, length: Table, content: str, encoding: str) -> _Sized:
        unit = self._unit(length, content, encoding)
        size = length.integer("fixed", 1, LONGEST_FIXED)
        if size % 2 and _halves_bytes(content, encoding, unit) and not length.wrong:
            length.refuse("fixed", f"{size} {unit} are no whole bytes", "write an even number")
        return _Sized(Length(size, size, 0), unit, "fixed")

    def _given_length(self, length: Table, content: str, encoding: str, holder: _Holder) -> _Sized:
        unit = self._unit(length, content, encoding)
        is_tag = holder.kind == "tlv"
        if not is_tag:
            length.flag("rest")
            if holder.kind != "positional":
                remedy = "give it a fixed length or a prefix"
                length.refuse("rest", "only a part of a positional field can be its rest", remedy)
        maximum = length.integer("max", 1, LONGEST_VARIABLE, None if is_tag else LONGEST_VARIABLE)
        minimum = self._minimum(length, maximum)
        return _Sized(Length(minimum, maximum, 0), unit, "given")

    def _prefixed_length(self, length: Table, content: str, encoding: str) -> _Sized:
        unit = self._unit(length, content, encoding)
        prefix = self._prefix(length, content)
        highest = _BASES.get(prefix.encoding, 10) ** prefix.digits - 1
        if length.wrong:
            highest = LONGEST_VARIABLE  # what its prefix can say isn't known
        maximum = length.integer("max", 1, min(highest, LONGEST_VARIABLE))
        minimum = self._minimum(length, maximum)
        if length.flag("inclusive"):
            prefix = prefix._replace(inclusive=True)
        return _Sized(Length(minimum, maximum, prefix.digits), unit, "prefixed", prefix)

    def _minimum(self, length: Table, maximum: int) -> int:
        return length.integer("min", 0, LONGEST_VARIABLE if "max" in length.wrong else maximum, default=0)

    def _unit(self, length: Table, content: str, encoding: str) -> str:
        units = _units(content, encoding)
        if content == "b" and encoding in ("hex", "ebcdic"):
            return self._said(length, "unit", content, units) or units[0]
        default = self._default(content, "unit")
        return length.choice("unit", units, default if default in units else units[0]) or units[0]

    def _prefix(self, length: Table, content: str) -> Prefix:
        encoding = self._said(length, "prefix", content, PREFIX_ENCODINGS)
        is_in_bytes = "bytes" in length or "digits" not in length
        if encoding == "binary" or (not encoding and "bytes" in length):
            if is_in_bytes:
                count = length.integer("bytes", 1, PREFIX_DIGITS_MAXIMUM)
            else:  # as many bytes as that many decimal digits need
                count = (length.integer("digits", 1, PREFIX_DIGITS_MAXIMUM) + 1) // 2
            return Prefix(encoding or "binary", count, count)
        if "bytes" in length and "digits" not in length:
            length.refuse(
                "bytes",
                f"a prefix in {encoding} counts digits",
                f"write {keys.LENGTHS['prefixed']['digits']}",
            )
            return Prefix(encoding, 1, 1)
        digits = length.integer("digits", 1, PREFIX_DIGITS_MAXIMUM)
        return Prefix(encoding or "bcd", digits, (digits + 1) // 2 if encoding == "bcd" else digits)

    def _sign(self, table: Table, content: str, encoding: str) -> tuple[tuple[str, str], str]:
        if content != "x+n":
            return ("C", "D"), "ascii"
        signs = table.texts("signs", default=["C", "D"])
        is_pair = (
            len(signs) == 2 and signs[0] != signs[1] and all(re.fullmatch(r"[ -/:-~]", s) for s in signs)
        )
        if not is_pair:
            if "signs" not in table.wrong:
                table.refuse(
                    "signs", "not two different characters", "write " + keys.CLASS_KEYS["x+n"]["signs"]
                )
            signs = ("C", "D")
        form = "ascii"
        if encoding == "bcd":
            form = table.choice("sign", SIGN_FORMS, self._default(content, "sign") or "ascii")
        if form == "nibble" and not all(re.fullmatch("[A-F]", sign) for sign in signs):
            table.refuse("signs", "a sign nibble is no digit", "write " + keys.CLASS_KEYS["x+n"]["signs"])
            signs = ("C", "D")
        return (signs[0], signs[1]), form or "ascii"

    def _pad(
        self, table: Table, content: str, encoding: str, sized: _Sized, sign_form: str
    ) -> tuple[Pad | None, Fill | None]:
        """Of a length that is wrong itself it can't be judged whether a pad is needed."""
        length, unit, sizing = sized.length, sized.unit, sized.sizing
        is_packed = encoding == "bcd"
        needed = usable = False
        if sized.is_right and is_packed and content not in COMPOSITES:
            extra = 1 if content == "x+n" and sign_form != "nibble" else 0
            odd = (length.maximum - extra) % 2 == 1
            varies = length.minimum < length.maximum
            needed = unit != "bytes" and sizing != "given" and (varies or odd)
            usable = needed or ((unit == "bytes" or sizing == "given") and (varies or unit == "bytes" or odd))
            if sizing == "given" and odd and not varies:
                needed = True
        if "pad" not in table:
            default = self._default(content, "pad")
            if default and (usable or ("nibble" not in default and sizing == "fixed")):
                source = Table(self._findings, table.path, {"pad": default}, keys.DEFAULTS, is_silent=True)
                return self._read_pad(source, encoding, content)
            if needed:
                what = "an odd number of digits has no pad"
                self._note_unsaid(table, "pad", content, what, "add pad = { side, nibble }")
            return None, None
        pad, fill = self._read_pad(table, encoding, content)
        if sized.is_right and not table.wrong & {"pad", "class", "encoding"}:
            if pad is not None and not usable:
                table.refuse("pad", "a pad that never stands", "take it away")
            if pad is None and needed and fill is not None:
                table.refuse("pad", "an odd number of digits has no nibble", "add nibble to the pad")
            if fill is not None and (sizing != "fixed" or content in (*COMPOSITES, "x+n", "z", "h")):
                table.refuse("pad", "a pad that never stands", "take it away")
            if pad is not None and content == "z" and pad.nibble == "d":
                table.refuse("pad", "D separates the parts of track 2", "use another nibble")
        return pad, fill

    def _read_pad(self, table: Table, encoding: str, content: str) -> tuple[Pad | None, Fill | None]:
        pad_table = table.table("pad", keys.PAD)
        side = pad_table.choice("side", ("left", "right"))
        is_packed = encoding in ("bcd", "")
        pad, fill = None, None
        has_fill = "character" in pad_table or "byte" in pad_table
        if "nibble" in pad_table and not is_packed:
            pad_table.refuse("nibble", "only BCD has nibbles", "write character, or byte for class b")
        elif "character" in pad_table and content == "b":
            pad_table.refuse("character", "class b is filled with bytes", f"write {keys.PAD['byte']}")
        elif "byte" in pad_table and content not in ("b", ""):
            pad_table.refuse("byte", "only class b is filled with bytes", f"write {keys.PAD['character']}")
        else:
            if "nibble" in pad_table or (encoding == "bcd" and not has_fill):
                pad = Pad(side, pad_table.text("nibble", keys.NIBBLE).lower())
            if "byte" in pad_table or (content == "b" and not has_fill):
                fill = Fill(side, pad_table.text("byte", keys.HEX_BYTE))
            elif "character" in pad_table or (encoding not in ("bcd", "") and not has_fill):
                form = keys.NIBBLE if encoding == "bcd" else keys.CHARACTER
                fill = Fill(side, pad_table.text("character", form))
        pad_table.close()
        if pad_table.wrong:
            table.wrong.add("pad")
        return pad, fill if fill is not None and fill.character else None

    # ------------------------------------------------------------ composites

    def _composition(
        self, path: str, table: Table, content: str, encoding: str, holder: _Holder
    ) -> tuple[TlvForm | None, dict[str, Field], dict[str, Field], BitmapForm | None, int]:
        inner = _Holder(content, holder.depth + 1, encoding)
        if content == "tlv":
            before = len(self._findings.mistakes)
            form, tag_set = self._tlv_form(table)
            is_right = "tlv" not in table.wrong and len(self._findings.mistakes) == before
            return form, self._tags(path, table, form if is_right else None, tag_set, inner), {}, None, 0
        if content == "positional":
            parts = self._parts(path, table, "subfields", inner)
            repeat = table.integer("repeat", 1, 99) if "repeat" in table else 0
            self._judge_positions(path, table, parts)
            return None, {}, parts, None, repeat
        if content == "bitmapped":
            bitmap = self._sub_bitmap(table.table("bitmap", keys.PART_BITMAP))
            before = len(self._findings.mistakes)
            parts = self._parts(path, table, "subfields", inner)
            if bitmap is not None:
                self._judge_bits(table, parts, bitmap)
            return None, {}, parts, bitmap, 0
        return None, {}, {}, None, 0

    def _judge_bits(self, table: Table, parts: Mapping[str, Field], bitmap: BitmapForm) -> None:
        highest = bitmap.size * 8 * (2 if bitmap.first_bit == "announces" else 1)
        holder = (*table.path, "subfields")
        if "1" in parts and bitmap.first_bit != "field":
            remedy = f'use numbers up to {highest}, or first_bit = "field"'
            self._refuse((*holder, "1"), "the bitmap has no bit 1", remedy)
        above = {key: "" for key in parts if int(key) > highest}
        remedy = f"use numbers up to {highest}, or a bitmap of more bytes"
        self._refuse_first(holder, above, lambda key: f"the bitmap has no bit {key}", remedy)

    def _sub_bitmap(self, table: Table) -> BitmapForm | None:
        encoding = table.choice("encoding", ("binary", "hex", "ebcdic"))
        size = table.integer("bytes", 1, LONGEST_BITMAP_BYTES)
        first_bit = table.choice("first_bit", ("field", "announces"), default="field")
        hex_case = self._close_bitmap(table, encoding, keys.PART_BITMAP)
        if {"bytes", "first_bit"} & table.wrong:
            return None
        return BitmapForm(encoding or "binary", size, first_bit or "field", hex_case=hex_case)

    def _parts(self, path: str, table: Table, key: str, holder: _Holder) -> dict[str, Field]:
        parts: dict[str, Field] = {}
        numbers: list[int] = []
        for name, part in table.tables(key, keys.EVERY_FIELD_KEY):
            if not re.fullmatch(r"[0-9]{1,3}", name) or int(name) in numbers or int(name) == 0:
                self._refuse(part.path, f"no part can be {name!r}", "number the parts: 1, 2, 3 or 01, 02")
                self._doubtful |= {f"{path}.{name}", f"{path}.{name.lstrip('0')}"}
                continue
            field = self._field(f"{path}.{name}", part, holder)
            if field is not None:
                numbers.append(int(name))
                parts[name] = field
        return dict(sorted(parts.items(), key=lambda item: int(item[0])))

    def _has_doubts(self, field: Field) -> bool:
        """Whether anything within a composite has a mistake of its own."""
        inside = [*self._unsound, *self._doubtful]
        return any(f"{path}.".startswith(f"{field.path}.") for path in inside)

    def _judge_sum(self, table: Table, field: Field) -> None:
        """A length that its parts can never add up to."""
        low, high = part_sums.own_bounds(field)
        sums = part_sums.of_parts(field)
        if not sums or any(least <= high and low <= most for least, most in sums):
            return
        least, most = min(sums)[0], max(most for _least, most in sums)
        if least > high:
            what = f"its parts need at least {count_bytes(least)}, it has at most {high}"
        elif most < low:
            what = f"its parts have at most {count_bytes(most)}, it has at least {low}"
        else:
            what = f"its parts never add up to {count_bytes(low)}"
        table.refuse("length", what, "correct it, or the parts")

    def _judge_numbers(self, path: str, holder: KeyPath, parts: Mapping[str, Field]) -> None:
        """Parts in a row are counted without a gap; from 2 where a partner counts what stands before them."""
        if any(doubtful.startswith(f"{path}.") for doubtful in self._doubtful):
            return
        for place, key in enumerate(parts, start=int(next(iter(parts), "1"))):
            if int(key) != place:
                what = f"there is no part {place} before it"
                self._refuse((*holder, key), what, "number the parts in a row: 1, 2, 3")
                return

    def _judge_positions(self, within: str, table: Table, parts: Mapping[str, Field]) -> None:
        self._judge_numbers(within, (*table.path, "subfields"), parts)
        last = list(parts)[-1:]
        optional = False
        for key, part in parts.items():
            path = (*table.path, "subfields", key)
            if part.sizing == "given" and [key] != last and part.path not in self._unsound:
                self._refuse((*path, "length"), "only the last part can be the rest", "move it")
            if optional and not part.optional:
                what = "a part that must stand behind one that may be missing"
                self._refuse(path, what, "add optional = true")
                return
            optional = optional or part.optional

    def _tlv_form(self, table: Table) -> tuple[TlvForm, Mapping[str, Any]]:
        form = table.table("tlv", keys.EVERY_TLV_KEY)
        if "tlv" in table.wrong:
            return TlvForm("simple"), {}
        kind = form.choice("form", ("simple", "ber"), default="simple") or "simple"
        repeats = form.flag("repeats")
        keeps = form.choice("unknown", ("keep", "refuse"), default="keep") != "refuse"
        misfits = form.choice("misfits", ("refuse", "keep"), default="refuse") == "keep"
        tag_set = self._tag_set(form)
        if kind == "ber":
            padding = self._tlv_padding(form)
            any_length = form.choice("lengths", ("shortest", "any"), default="shortest") == "any"
            found = TlvForm(
                "ber", padding=padding, repeats=repeats, keeps_unknown=keeps, any_length=any_length
            )
        else:
            found = self._simple_form(form, repeats, keeps)
        found = found._replace(keeps_misfits=misfits)
        legal = keys.TLV_FORMS[kind]
        other = "simple" if kind == "ber" else "ber"
        form.close(legal, {key: keys.TLV_WHEN[other] for key in keys.TLV_FORMS[other] if key not in legal})
        return found, tag_set

    def _tlv_padding(self, form: Table) -> tuple[str, ...]:
        padding = form.texts("padding", default=[])
        if any(byte not in ("00", "FF") for byte in padding):
            form.refuse("padding", "only 00 and FF can pad BER-TLV", 'write like ["00"]')
        return padding

    def _simple_form(self, form: Table, repeats: bool, keeps: bool) -> TlvForm:
        for key in ("tag", "length"):
            if key in form and f"{key}_bytes" in form:
                form.refuse(f"{key}_bytes", f"it stands beside {key}", "keep one of both")
        tag_encoding, tag_size, tag_bytes = "binary", 1, 1
        if "tag" in form:
            tag_encoding, tag_size, tag_bytes = self._tag_size(form.table("tag", keys.TAG))
        elif "tag_bytes" in form:
            tag_bytes = tag_size = form.integer("tag_bytes", 1, 4)
        else:
            form.lacks("tag_bytes", "tag")
        encoding, digits, length_bytes = "binary", 1, 1
        if "length" in form:
            encoding, digits, length_bytes = self._tag_length(form.table("length", keys.TAG_LENGTH))
        elif "length_bytes" in form:
            digits = length_bytes = form.integer("length_bytes", 1, 4)
        else:
            form.lacks("length_bytes", "length")
        first = form.choice("first", ("tag", "length"), default="tag") == "length"
        covers = form.choice("length_covers", ("value", "tag and value"), default="value") == "tag and value"
        if covers and not first and "first" not in form.wrong and not form.may_lack("first"):
            remedy = 'add first = "length", or take length_covers away'
            form.refuse("length_covers", "a length behind the tag can't cover the tag", remedy)
        return TlvForm(
            "simple",
            tag_encoding,
            tag_size,
            tag_bytes,
            encoding,
            digits,
            length_bytes,
            first,
            covers,
            (),
            repeats,
            keeps,
        )

    def _tag_size(self, tag: Table) -> tuple[str, int, int]:
        encoding = tag.choice("encoding", _TAG_ENCODINGS)
        if not encoding:
            tag.close()
            return "ascii", 1, 1
        if encoding == "binary":
            counted, most = "bytes", 4
        elif encoding in ("bcd", "hex") or "digits" in tag:
            counted, most = "digits", LONGEST_TAG_CHARACTERS
        else:
            counted, most = "characters", LONGEST_TAG_CHARACTERS
        size = tag.integer(counted, 1, most)
        _close_counted(tag, keys.TAG, counted, encoding)
        return encoding, size, (size + 1) // 2 if encoding == "bcd" else size

    def _tag_length(self, length: Table) -> tuple[str, int, int]:
        encoding = length.choice("encoding", PREFIX_ENCODINGS)
        if not encoding:
            length.close()
            return "ascii", 1, 1
        counted = "bytes" if encoding == "binary" else "digits"
        size = length.integer(counted, 1, PREFIX_DIGITS_MAXIMUM)
        _close_counted(length, keys.TAG_LENGTH, counted, encoding)
        return encoding, size, (size + 1) // 2 if encoding == "bcd" else size

    def _tag_set(self, form: Table) -> Mapping[str, Any]:
        if "tags" not in form:
            return {}
        sets = sorted(path.stem for path in TAG_SETS.glob("*.toml"))
        name = form.choice("tags", sets)
        return _known_tags(name) if name else {}

    def _tags(
        self, path: str, table: Table, form: TlvForm | None, tag_set: Mapping[str, Any], holder: _Holder
    ) -> dict[str, Field]:
        """`form` None: it is wrong itself, so that names can't be held to it."""
        own = table.table("tags", None, required=False)
        content = merged({"fields": tag_set}, {"fields": own.content})["fields"]
        known = Table(self._findings, own.path, content, None)
        tags = {}
        named = []
        strange: dict[str, str] = {}
        for key in known:
            tag = known.table(key, keys.EVERY_FIELD_KEY)
            problem = tag_names.problem(form, key) if form is not None else ""
            if problem:
                strange[key] = problem
                self._doubtful |= {f"{path}.{key}", f"{path}.{key.upper()}"}
                continue
            field = self._field(f"{path}.{key}", tag, holder)
            if field is not None:
                tags[key] = field
                named.append((tag.path, field))
        if strange:
            remedy = next(iter(strange.values()))
            bad = dict.fromkeys(strange, "")
            self._refuse_first(own.path, bad, lambda key: f"no tag can be {key!r}", remedy)
        self._refuse_same_names(named)
        return tags


@functools.cache
def _field_keys(content: str, encoding: str, is_part: bool) -> tuple[keys.Keys, Mapping[str, str]]:
    """The keys a field may have, and of the others where they belong. "" for what isn't known."""
    legal = dict(keys.FIELD)
    elsewhere: dict[str, str] = {}
    is_packed = encoding in ("bcd", "")
    situations = [
        (_is_in_hex(content, encoding), keys.HEX_CASE_KEYS, keys.HEX_CASE_WHEN),
        (is_part, keys.PART_KEYS, keys.PART_WHEN),
        (is_packed and content in ("x+n", ""), keys.SIGN_KEYS, keys.SIGN_WHEN),
        (is_packed and content in ("z", ""), keys.TRACK_KEYS, keys.TRACK_WHEN),
        *((content in (each, ""), own, f"class {each}") for each, own in keys.CLASS_KEYS.items()),
    ]
    for holds, own, when in situations:
        if holds:
            legal |= own
            continue
        for key in own:
            elsewhere[key] = f"{elsewhere[key]} and {when}" if key in elsewhere else when
    return legal, elsewhere


def _is_in_hex(content: str, encoding: str) -> bool:
    """Whether the case of hex digits says something."""
    return encoding in ("hex", "") or content in ("h", "b", "")


@functools.cache
def _length_keys(sizing: str, is_tag: bool) -> tuple[keys.Keys, Mapping[str, str]]:
    """The keys of one form of length, and of the others which form they belong to."""
    legal = {key: written for key, written in keys.LENGTHS[sizing].items() if key != "rest" or not is_tag}
    elsewhere: dict[str, str] = {}
    for form in ("given", "prefixed", "fixed"):
        elsewhere |= {key: keys.LENGTH_WHEN[form] for key in keys.LENGTHS[form] if key not in legal}
    return legal, elsewhere


@functools.cache
def _known_tags(name: str) -> Mapping[str, Any]:
    """The tables of a shipped set of tags; not to be changed."""
    tags: dict[str, Any] = toml_text.read(TAG_SETS / f"{name}.toml").content["tags"]
    return tags


def _close_counted(table: Table, legal: keys.Keys, counted: str, encoding: str) -> None:
    """Of the keys that count, only the one that its encoding has."""
    own = {key: written for key, written in legal.items() if key in ("encoding", counted)}
    table.close(
        own, {key: f"other encodings; {encoding} counts {counted}" for key in legal if key not in own}
    )


def _units(content: str, encoding: str) -> tuple[str, ...]:
    """The units a length may count, the natural one first."""
    if content in COMPOSITES:
        return ("bytes", "characters", "nibbles")
    if not content or not encoding:
        return _ANY_UNIT
    if encoding == "bcd":
        return _NIBBLE_UNITS
    if content == "b":
        return _BYTE_UNITS if encoding == "binary" else _HEX_UNITS
    return _TEXT_UNITS


def _halves_bytes(content: str, encoding: str, unit: str) -> bool:
    """Whether two of the unit make one byte that can't be cut (BCD has a pad for that)."""
    if encoding in ("bcd", "") or not content:
        return False
    if content == "b" and encoding != "binary":
        return unit != "bytes"
    return unit == "nibbles"


def _is_mac(field: Field, size: int) -> bool:
    in_hex = 2 if field.encoding != "binary" and field.unit != "bytes" else 1
    length = Length(size * in_hex, size * in_hex, 0)
    return field.content == "b" and field.sizing == "fixed" and field.length == length
