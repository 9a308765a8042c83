"""Dictionary files (TOML), read and checked as a whole. docs/dialects.md explains every key.

Mistakes are gathered, not raised: each with its line and a remedy; what refers to fields is judged when these
are right. Nothing here touches a byte of a message.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from switch.iso8583 import tag_names
from switch.iso8583.characters import CODE_PAGES
from switch.iso8583.dictionary import (
    BITMAP_BITS,
    DEEPEST,
    HEADER,
    HIGHEST_FIELD,
    HIGHEST_TERTIARY_FIELD,
    BitmapForm,
    Condition,
    Dictionary,
    Field,
    Fill,
    Length,
    MacPlace,
    MessageRule,
    Pad,
    Prefix,
    ResponseCode,
    Text,
    TlvForm,
)
from switch.iso8583.errors import FORMAT_ERROR, INVALID_TRANSACTION, DialectError, Mistake
from switch.iso8583.inheritance import merged, removed
from switch.iso8583.masks import Mask, standard_mask
from switch.iso8583.toml_lines import KeyLines, KeyPath

SHIPPED = Path(__file__).parent / "dialects"
TAG_SETS = SHIPPED / "tags"

LONGEST_FIXED = 999  # ISO 8583: no field is longer than an LLLVAR one
PREFIX_DIGITS_MAXIMUM = 6
LONGEST_VARIABLE = 999_999  # what six digits say; frames end far below
LONGEST_TAG_CHARACTERS = 8  # a tag stands in paths and errors: too short for a card number
LONGEST_BITMAP_BYTES = 32  # of a bitmapped field
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
_DEFAULT_KEYS = ("encoding", "prefix", "pad", "unit", "code_page", "hex_case", "sign")


class _Source(NamedTuple):
    """One file as it was written, what it extends already merged into it."""

    content: dict[str, Any]
    lines: KeyLines
    own: dict[str, Any]


def read(file: Path) -> Dictionary:
    """The dictionary in `file`; `DialectError` with every mistake found."""
    return _read(file, 0)[0]


def _read(file: Path, depth: int) -> tuple[Dictionary, dict[str, Any]]:
    content, lines = _parsed(file)
    reader = _Reader(lines)
    head = content.get("dialect")
    extends = head.get("extends") if isinstance(head, dict) else None
    if isinstance(head, dict) and isinstance(extends, str):
        base_file = file.parent / extends if extends.endswith(".toml") else SHIPPED / f"{extends}.toml"
        if depth >= EXTENDS_DEEPEST:
            what = f"dialects extend each other more than {EXTENDS_DEEPEST} deep"
            raise DialectError(file, [Mistake(lines.line_of(("dialect", "extends")), what, "end the chain")])
        if not base_file.is_file():
            remedy = "name a shipped dialect or a file ending in .toml, seen from this file"
            reader.refuse(("dialect", "extends"), f"there is no dialect {extends!r}", remedy)
        else:
            base = _read(base_file, depth + 1)[1]
            for path, text in removed(base, head.get("remove", [])):
                reader.refuse(path, f"{text!r} is nothing of {extends}", 'write like "fields.48.tags.01"')
            content = merged(base, content)
    dictionary = reader.dictionary(_Table(reader, (), content))
    if reader.mistakes:
        raise DialectError(file, sorted(reader.mistakes, key=lambda mistake: mistake.line or 0))
    return dictionary, content


def _parsed(file: Path) -> tuple[dict[str, Any], KeyLines]:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        what = getattr(error, "strerror", None) or "the file is not UTF-8"
        raise DialectError(file, [Mistake(None, what, "name a readable TOML file in UTF-8")]) from error
    try:
        return tomllib.loads(text), KeyLines(text)
    except tomllib.TOMLDecodeError as error:
        place = re.search(r"at line (\d+)", str(error))
        line = int(place.group(1)) if place else None
        raise DialectError(file, [Mistake(line, f"no TOML: {error}", "correct the syntax")]) from error
    except RecursionError as error:
        mistake = Mistake(None, "no TOML: nested too deep", "write tables as [a.b], not within each other")
        raise DialectError(file, [mistake]) from error


class _Table:
    """One table of the file: takes keys one by one, notes what is missing or of the wrong type."""

    def __init__(self, reader: _Reader, path: KeyPath, content: Mapping[str, Any]) -> None:
        self._reader = reader
        self.path = path
        self.content = content
        self._taken: list[str] = []

    def __contains__(self, key: str) -> bool:
        return key in self.content

    def __iter__(self) -> Iterator[str]:
        return iter(self.content)

    def refuse(self, key: str, what: str, remedy: str) -> None:
        self._reader.refuse((*self.path, key), what, remedy)

    def text(self, key: str, pattern: str = r"(?s).+", default: str | None = None) -> str:
        value = str(self._take(key, str, "a text", default))
        is_judged = not isinstance(self.content.get(key), str)  # missing or no text: said already
        if is_judged or re.fullmatch(pattern, value):
            return value
        self.refuse(key, f"{value!r} can't stand here", f"write a text like {pattern}")
        return ""

    def choice(self, key: str, choices: Collection[str], default: str | None = None) -> str:
        value = str(self._take(key, str, "a text", default))
        if value in choices:
            return value
        if value:
            self.refuse(key, f"{value!r} is unknown", _did_you_mean(value, choices))
        return ""

    def integer(self, key: str, low: int, high: int, default: int | None = None) -> int:
        value = self._take(key, int, "a whole number", default)
        if isinstance(value, int) and low <= value <= high:
            return value
        if value != "":
            self.refuse(key, f"{value} is out of range", f"write a number from {low} to {high}")
        return low

    def flag(self, key: str, default: bool = False) -> bool:
        return bool(self._take(key, bool, "true or false", default))

    def items(self, key: str) -> list[Any]:
        return list(self._take(key, list, "a list", []))

    def texts(self, key: str, default: list[str] | None = None) -> tuple[str, ...]:
        value = self._take(key, list, "a list of texts", default)
        if all(isinstance(item, str) for item in value):
            return tuple(value)
        self.refuse(key, "not every item is a text", "write every item in quotation marks")
        return ()

    def table(self, key: str, required: bool = True) -> _Table:
        value = self._take(key, dict, "a table", None if required else {})
        return _Table(self._reader, (*self.path, key), value or {})

    def tables(self, key: str, required: bool = True) -> list[tuple[str, _Table]]:
        holder = self.table(key, required)
        return [(name, holder.table(name)) for name in holder]

    def close(self) -> None:
        """Notes every key that nobody took."""
        for key in self.content:
            if key not in self._taken:
                self.refuse(key, f"unknown key {key!r}", _did_you_mean(key, self._taken))

    def _take(self, key: str, kind: type, wanted: str, default: Any) -> Any:
        self._taken.append(key)
        value = self.content.get(key, default)
        if type(value) is kind:
            return value
        if key in self.content:
            self.refuse(key, f"{key!r} is not {wanted}", f"write {wanted}")
        elif default is None:
            self.refuse(key, f"{key!r} is missing", f"add {key} = {wanted}")
        return "" if kind is not list else []


def _did_you_mean(word: str, known: Collection[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known here: {', '.join(sorted(known)) or 'nothing'}"


class _Holder(NamedTuple):
    """What a field stands in: decides which lengths it may have."""

    kind: str  # "message", "header", or the class of the composite around it
    depth: int = 0
    encoding: str = "binary"  # what a composite in text makes the natural encoding of its parts


class _Reader:
    """Turns the tables of one file into a `Dictionary` and gathers the mistakes."""

    def __init__(self, lines: KeyLines) -> None:
        self._lines = lines
        self.mistakes: list[Mistake] = []
        self._fields_are_right = False
        self._defaults: dict[str, dict[str, Any]] = {}
        self._code_page = "cp500"
        self._header: Mapping[str, Field] = {}

    def refuse(self, path: KeyPath, what: str, remedy: str) -> None:
        self.mistakes.append(Mistake(self._lines.line_of(path), f"{'.'.join(path)}: {what}", remedy))

    # ------------------------------------------------------------ the whole

    def dictionary(self, root: _Table) -> Dictionary:
        head = root.table("dialect")
        name = head.text("name", r"[a-z][a-z0-9-]*")
        version = head.integer("version", 1, 9999)
        description = self._title(head, "description")
        extends = head.text("extends") if "extends" in head else None
        head.texts("remove", default=[])
        format_error = head.text("format_error", "[0-9A-Z]{2,4}", FORMAT_ERROR) or FORMAT_ERROR
        invalid = (
            head.text("invalid_transaction", "[0-9A-Z]{2,4}", INVALID_TRANSACTION) or INVALID_TRANSACTION
        )
        self._code_page = head.choice("code_page", CODE_PAGES, default="cp500") or "cp500"
        mti = head.table("mti")
        mti_encoding = mti.choice("encoding", ("bcd", "ascii", "ebcdic"))
        mti.close()
        bitmap = self._message_bitmap(head.table("bitmap"))
        self._read_defaults(root)
        self._header = self._parts(HEADER, root, HEADER, _Holder("header")) if "header" in root else {}
        fields = self._fields(root, bitmap)
        self._fields_are_right = not self.mistakes
        mac = self._mac(head, fields) if "mac" in head else None
        head.close()
        conditions = self._conditions(root, fields)
        messages = tuple(
            self._message(key, table, fields, conditions)
            for key, table in root.tables("messages", required=False)
        )
        self._refuse_ambiguous(messages)
        network_codes = self._texts(root, "network_codes")
        response_codes = {
            code: self._response_code(table) for code, table in root.tables("response_codes", required=False)
        }
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
            invalid,
        )

    def _title(self, table: _Table, key: str = "title") -> Text:
        texts = table.table(key)
        title = Text(texts.text("en"), texts.text("fa"))
        texts.close()
        return title

    def _texts(self, root: _Table, key: str) -> dict[str, Text]:
        texts = {}
        for code, table in root.tables(key, required=False):
            texts[code] = self._title(table)
            table.close()
        return texts

    def _response_code(self, table: _Table) -> ResponseCode:
        code = ResponseCode(self._title(table), table.flag("transient"))
        table.close()
        return code

    def _read_defaults(self, root: _Table) -> None:
        for content, table in root.tables("defaults", required=False):
            if content not in ENCODINGS:
                self.refuse(table.path, f"{content!r} is no class", _did_you_mean(content, ENCODINGS))
                continue
            for key in table:
                if key not in _DEFAULT_KEYS:
                    remedy = _did_you_mean(key, _DEFAULT_KEYS)
                    self.refuse((*table.path, key), f"unknown key {key!r}", remedy)
            self._defaults[content] = dict(table.content)

    def _message_bitmap(self, table: _Table) -> BitmapForm:
        encoding = table.choice("encoding", ("binary", "hex", "ebcdic"))
        size = table.integer("always", 8, 24, default=8)
        if size % 8:
            table.refuse("always", f"{size} bytes are no whole bitmaps", "write 8, 16 or 24")
        first_bit = table.choice("first_bit", ("announces", "set", "clear", "any"), default="announces")
        if first_bit in ("set", "clear", "any") and size < 16:
            how = "of any kind" if first_bit == "any" else f"always {first_bit}"
            table.refuse("first_bit", f"bit 1 {how} with a bitmap that may end", "add always = 16")
        empty = table.flag("empty_secondary")
        if empty and size > 8:
            table.refuse("empty_secondary", "the secondary bitmap always stands", "take it away")
        tertiary = None
        in_field = False
        if "tertiary" in table:
            tertiary = table.integer("tertiary", 65, 65)
        if "tertiary_field" in table:
            if tertiary is not None:
                table.refuse("tertiary_field", "the tertiary bitmap stands in one place", "keep one of both")
            tertiary, in_field = table.integer("tertiary_field", 2, HIGHEST_FIELD), True
        if size == 24 and (tertiary is None or in_field):
            table.refuse("always", "24 bytes without a tertiary bitmap behind", "add tertiary = 65")
        hex_case = self._bitmap_case(table, encoding)
        table.close()
        return BitmapForm(encoding or "binary", size, first_bit, empty, tertiary, in_field, hex_case)

    def _bitmap_case(self, table: _Table, encoding: str) -> str:
        if encoding == "binary":
            return "upper"  # it has no digits: the key is refused as unknown
        return table.choice("hex_case", ("upper", "lower"), default="upper") or "upper"

    def _mac(self, head: _Table, fields: Mapping[int, Field]) -> MacPlace:
        table = head.table("mac")
        place = MacPlace(
            table.integer("primary", 2, 64),
            table.integer("secondary", 66, HIGHEST_FIELD),
            table.integer("bytes", 1, 64),
            table.flag("required", True),
        )
        table.close()
        if not self._fields_are_right:
            return place
        last = [max((n for n in fields if n <= most), default=0) for most in (64, HIGHEST_FIELD)]
        if last != [place.primary, place.secondary]:
            table.refuse("primary", "the MAC is not the last field", "name the last field of each bitmap")
        for number in (place.primary, place.secondary):
            field = fields.get(number)
            if field and not _is_mac(field, place.size):
                self.refuse(
                    ("fields", str(number)),
                    f"the MAC is not {place.size} fixed bytes",
                    f"write class = b, length fixed = {place.size}",
                )
        return place

    # ------------------------------------------------------------ fields

    def _fields(self, root: _Table, bitmap: BitmapForm) -> dict[int, Field]:
        highest = HIGHEST_FIELD if bitmap.tertiary is None else HIGHEST_TERTIARY_FIELD
        fields = {}
        for key, table in root.tables("fields"):
            number = int(key) if re.fullmatch(r"[1-9][0-9]{0,2}", key) else 0
            if not 2 <= number <= highest or number in BITMAP_BITS:
                self.refuse(table.path, f"no field can be number {key}", f"use 2 to 64 and 66 to {highest}")
                continue
            if number == bitmap.tertiary and bitmap.tertiary_in_field:
                self.refuse(table.path, f"{key} holds the tertiary bitmap", "take the field away")
                continue
            field = self._field(key, table, _Holder("message"))
            if field is not None:
                fields[number] = field
        return dict(sorted(fields.items()))

    def _field(self, path: str, table: _Table, holder: _Holder) -> Field | None:
        name = table.text("name", r"[a-z][a-z0-9_]*")
        title = self._title(table)
        content = table.choice("class", tuple(ENCODINGS))
        if not content:
            return None  # nothing else of the field can be judged
        if holder.depth >= DEEPEST:
            self.refuse(table.path, f"composites more than {DEEPEST} deep", "flatten them")
            return None
        defaults = self._defaults.get(content, {})
        encoding = self._encoding(table, content, holder, defaults)
        code_page = table.choice("code_page", CODE_PAGES, defaults.get("code_page", self._code_page))
        hex_case = "upper"
        if encoding == "hex" or content in ("h", "b"):
            hex_case = table.choice("hex_case", ("upper", "lower"), defaults.get("hex_case", "upper"))
        before = len(self.mistakes)
        length, unit, sizing, prefix = self._length(table, content, encoding, holder, defaults)
        signs, sign_form = (
            self._sign(table, encoding, defaults) if content == "x+n" else (("C", "D"), "ascii")
        )
        is_length_right = len(self.mistakes) == before
        pad, fill = self._pad(
            table, content, encoding, length if is_length_right else None, unit, sizing, sign_form, defaults
        )
        if fill is not None and sizing == "fixed":
            length = Length(1 if fill.character in "0123456789" else 0, length.maximum, 0)
        mask = standard_mask(path, content)
        if "mask" in table:
            mask = Mask(table.choice("mask", list(Mask)) or Mask.HIDDEN)
        form, tags, subfields, sub_bitmap, repeat = self._composition(
            path, table, content, encoding, code_page, holder
        )
        description = self._title(table, "description") if "description" in table else None
        only = table.texts("only", default=[])
        meanings = {}
        if "values" in table:
            values = table.table("values")
            meanings = {code: self._title(values, code) for code in values}
        optional = table.flag("optional") if holder.kind == "positional" else False
        is_packed_track = content == "z" and encoding == "bcd"
        nibbles = table.choice("nibbles", ("track", "all"), default="track") if is_packed_track else "track"
        table.close()
        field = Field(
            path=path,
            name=name,
            title=title,
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
            code_page=code_page or "cp500",
            description=description,
            only=only,
            meanings=meanings,
            tlv=form,
            subfields=subfields,
            bitmap=sub_bitmap,
            repeat=repeat,
            optional=optional,
            signs=signs,
            sign_form=sign_form,
            hex_case=hex_case or "upper",
            all_nibbles=nibbles == "all",
        )
        if only and field.is_composite:
            table.refuse("only", "a composite has no value of its own", "say it of its parts")
        return field

    def _encoding(self, table: _Table, content: str, holder: _Holder, defaults: Mapping[str, Any]) -> str:
        allowed = ENCODINGS[content]
        default = defaults.get("encoding")
        if default is None and content in COMPOSITES:
            default = "binary"
        return table.choice("encoding", allowed, default) or allowed[0]

    def _length(
        self, table: _Table, content: str, encoding: str, holder: _Holder, defaults: Mapping[str, Any]
    ) -> tuple[Length, str, str, Prefix | None]:
        is_tag = holder.kind == "tlv"
        length = table.table("length")
        units = _units(content, encoding)
        default_unit = defaults.get("unit")
        if default_unit not in units:
            default_unit = None if encoding in ("hex", "ebcdic") and content == "b" else units[0]
        if "fixed" in length:
            unit = length.choice("unit", units, default_unit) or units[0]
            size = length.integer("fixed", 1, LONGEST_FIXED)
            if size % 2 and _halves_bytes(content, encoding, unit):
                length.refuse("fixed", f"{size} {unit} are no whole bytes", "write an even number")
            length.close()
            return Length(size, size, 0), unit, "fixed", None
        if is_tag or length.content.get("rest") is True:
            unit = length.choice("unit", units, default_unit) or units[0]
            if not is_tag:
                length.flag("rest")
                if holder.kind != "positional":
                    remedy = "give it a fixed length or a prefix"
                    length.refuse("rest", "only a part of a positional field can be its rest", remedy)
            maximum = length.integer("max", 1, LONGEST_VARIABLE, None if is_tag else LONGEST_VARIABLE)
            minimum = length.integer("min", 0, maximum, default=0)
            length.close()
            return Length(minimum, maximum, 0), unit, "given", None
        unit = length.choice("unit", units, default_unit) or units[0]
        prefix = self._prefix(length, defaults)
        highest = _BASES.get(prefix.encoding, 10) ** prefix.digits - 1
        maximum = length.integer("max", 1, min(highest, LONGEST_VARIABLE))
        minimum = length.integer("min", 0, maximum, default=0)
        if length.flag("inclusive"):
            prefix = prefix._replace(inclusive=True)
        length.close()
        return Length(minimum, maximum, prefix.digits), unit, "prefixed", prefix

    def _prefix(self, length: _Table, defaults: Mapping[str, Any]) -> Prefix:
        encoding = length.choice("prefix", PREFIX_ENCODINGS, defaults.get("prefix")) or "bcd"
        if encoding == "binary":
            if "bytes" in length or "digits" not in length:
                count = length.integer("bytes", 1, PREFIX_DIGITS_MAXIMUM)
            else:  # as many bytes as that many decimal digits need
                count = (length.integer("digits", 1, PREFIX_DIGITS_MAXIMUM) + 1) // 2
            return Prefix(encoding, count, count)
        digits = length.integer("digits", 1, PREFIX_DIGITS_MAXIMUM)
        return Prefix(encoding, digits, (digits + 1) // 2 if encoding == "bcd" else digits)

    def _sign(self, table: _Table, encoding: str, defaults: Mapping[str, Any]) -> tuple[tuple[str, str], str]:
        signs = table.texts("signs", default=["C", "D"])
        if len(signs) != 2 or signs[0] == signs[1] or not all(re.fullmatch(r"[ -/:-~]", s) for s in signs):
            table.refuse("signs", "not two different characters", 'write like signs = ["C", "D"]')
            signs = ("C", "D")
        form = "ascii"
        if encoding == "bcd":
            form = table.choice("sign", ("ascii", "ebcdic", "nibble"), defaults.get("sign", "ascii"))
        if form == "nibble" and not all(re.fullmatch("[A-F]", sign) for sign in signs):
            table.refuse("signs", "a sign nibble is no digit", 'write like signs = ["C", "D"]')
            signs = ("C", "D")
        return (signs[0], signs[1]), form or "ascii"

    def _pad(
        self,
        table: _Table,
        content: str,
        encoding: str,
        length: Length | None,
        unit: str,
        sizing: str,
        sign_form: str,
        defaults: Mapping[str, Any],
    ) -> tuple[Pad | None, Fill | None]:
        """`length` None: it is wrong itself, whether a pad is needed can't be judged."""
        is_packed = encoding == "bcd"
        needed = usable = False
        if length is not None and is_packed:
            extra = 1 if content == "x+n" and sign_form != "nibble" else 0
            odd = (length.maximum - extra) % 2 == 1
            varies = length.minimum < length.maximum
            needed = unit != "bytes" and sizing != "given" and (varies or odd)
            usable = needed or ((unit == "bytes" or sizing == "given") and (varies or unit == "bytes" or odd))
            if sizing == "given" and odd and not varies:
                needed = True
        if "pad" not in table:
            default = defaults.get("pad")
            if isinstance(default, dict) and (usable or ("nibble" not in default and sizing == "fixed")):
                return self._read_pad(table, _Table(self, table.path, {"pad": default}), encoding, content)
            if needed:
                table.refuse("pad", "an odd number of digits has no pad", "add pad = { side, nibble }")
            return None, None
        pad, fill = self._read_pad(table, table, encoding, content)
        if length is not None:
            if pad is not None and not usable:
                table.refuse("pad", "a pad that never stands", "take it away")
            if pad is None and needed and fill is not None:
                table.refuse("pad", "an odd number of digits has no nibble", "add nibble to the pad")
            if fill is not None and (sizing != "fixed" or content in (*COMPOSITES, "x+n", "z", "h")):
                table.refuse("pad", "a pad that never stands", "take it away")
            if pad is not None and content == "z" and pad.nibble == "d":
                table.refuse("pad", "D separates the parts of track 2", "use another nibble")
        return pad, fill

    def _read_pad(
        self, table: _Table, source: _Table, encoding: str, content: str
    ) -> tuple[Pad | None, Fill | None]:
        pad_table = source.table("pad")
        side = pad_table.choice("side", ("left", "right"))
        pad, fill = None, None
        has_fill = "character" in pad_table or "byte" in pad_table
        if (encoding == "bcd" and not has_fill) or "nibble" in pad_table:
            nibble = pad_table.text("nibble", "[0-9A-F]").lower()
            if encoding == "bcd":
                pad = Pad(side, nibble)
            else:
                pad_table.refuse("nibble", "only BCD has nibbles", "write character, or byte for class b")
                pad_table.close()
                return None, None
        if content == "b" and (has_fill or "nibble" not in pad_table):
            fill = Fill(side, pad_table.text("byte", "[0-9A-F]{2}"))
        elif has_fill or encoding != "bcd":
            pattern = "[0-9A-F]" if encoding == "bcd" else "[ -~]"
            fill = Fill(side, pad_table.text("character", pattern))
            if not fill.character:
                fill = None
        pad_table.close()
        return pad, fill

    # ------------------------------------------------------------ composites

    def _composition(
        self, path: str, table: _Table, content: str, encoding: str, code_page: str, holder: _Holder
    ) -> tuple[TlvForm | None, dict[str, Field], dict[str, Field], BitmapForm | None, int]:
        inner = _Holder(content, holder.depth + 1, encoding)
        if content == "tlv":
            form, tag_set = self._tlv_form(table)
            return form, self._tags(path, table, form, tag_set, inner), {}, None, 0
        if content == "positional":
            parts = self._parts(path, table, "subfields", inner)
            repeat = table.integer("repeat", 1, 99) if "repeat" in table else 0
            self._judge_positions(table, parts)
            return None, {}, parts, None, repeat
        if content == "bitmapped":
            bitmap = self._sub_bitmap(table.table("bitmap"))
            parts = self._parts(path, table, "subfields", inner)
            highest = bitmap.size * 8 * (2 if bitmap.first_bit == "announces" else 1)
            for key in parts:
                if int(key) > highest or (key == "1" and bitmap.first_bit != "field"):
                    remedy = f"use numbers up to {highest}" + (
                        "" if key != "1" else ', or first_bit = "field"'
                    )
                    self.refuse((*table.path, "subfields", key), f"the bitmap has no bit {key}", remedy)
            return None, {}, parts, bitmap, 0
        return None, {}, {}, None, 0

    def _sub_bitmap(self, table: _Table) -> BitmapForm:
        encoding = table.choice("encoding", ("binary", "hex", "ebcdic"))
        size = table.integer("bytes", 1, LONGEST_BITMAP_BYTES)
        first_bit = table.choice("first_bit", ("field", "announces"), default="field")
        hex_case = self._bitmap_case(table, encoding)
        table.close()
        return BitmapForm(encoding or "binary", size, first_bit or "field", hex_case=hex_case)

    def _parts(self, path: str, table: _Table, key: str, holder: _Holder) -> dict[str, Field]:
        parts: dict[str, Field] = {}
        numbers: list[int] = []
        for name, part in table.tables(key):
            if not re.fullmatch(r"[0-9]{1,3}", name) or int(name) in numbers or int(name) == 0:
                self.refuse(part.path, f"no part can be {name!r}", "number the parts: 1, 2, 3 or 01, 02")
                continue
            field = self._field(f"{path}.{name}", part, holder)
            if field is not None:
                numbers.append(int(name))
                parts[name] = field
        return dict(sorted(parts.items(), key=lambda item: int(item[0])))

    def _judge_positions(self, table: _Table, parts: Mapping[str, Field]) -> None:
        last = list(parts)[-1:]
        optional = False
        for key, part in parts.items():
            if part.sizing == "given" and [key] != last:
                self.refuse(
                    (*table.path, "subfields", key, "length"), "only the last part can be the rest", "move it"
                )
            if optional and not part.optional:
                self.refuse(
                    (*table.path, "subfields", key),
                    "a part that must stand behind one that may be missing",
                    "add optional = true",
                )
            optional = optional or part.optional

    def _tlv_form(self, table: _Table) -> tuple[TlvForm, Mapping[str, Any]]:
        form = table.table("tlv")
        kind = form.choice("form", ("simple", "ber"), default="simple")
        repeats = form.flag("repeats")
        keeps = form.choice("unknown", ("keep", "refuse"), default="keep") != "refuse"
        misfits = form.choice("misfits", ("refuse", "keep"), default="refuse") == "keep"
        tag_set = self._tag_set(form)
        if kind == "ber":
            padding = form.texts("padding", default=[])
            if any(byte not in ("00", "FF") for byte in padding):
                form.refuse("padding", "only 00 and FF can pad BER-TLV", 'write like ["00"]')
                padding = ()
            any_length = form.choice("lengths", ("shortest", "any"), default="shortest") == "any"
            form.close()
            ber = TlvForm("ber", padding=padding, repeats=repeats, keeps_unknown=keeps)
            return ber._replace(any_length=any_length, keeps_misfits=misfits), tag_set
        if "tag" in form:
            tag_encoding, tag_size, tag_bytes = self._tag_size(form.table("tag"))
        else:
            tag_bytes = tag_size = form.integer("tag_bytes", 1, 4)
            tag_encoding = "binary"
        if "length" in form:
            length = form.table("length")
            encoding = length.choice("encoding", PREFIX_ENCODINGS) or "ascii"
            count = "bytes" if encoding == "binary" else "digits"
            digits = length.integer(count, 1, PREFIX_DIGITS_MAXIMUM)
            length.close()
            length_bytes = (digits + 1) // 2 if encoding == "bcd" else digits
        else:
            encoding, digits = "binary", form.integer("length_bytes", 1, 4)
            length_bytes = digits
        first = form.choice("first", ("tag", "length"), default="tag") == "length"
        covers = form.choice("length_covers", ("value", "tag and value"), default="value") == "tag and value"
        if covers and not first:
            remedy = 'add first = "length", or take length_covers away'
            form.refuse("length_covers", "a length behind the tag can't cover the tag", remedy)
        form.close()
        return (
            TlvForm(
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
                keeps_misfits=misfits,
            ),
            tag_set,
        )

    def _tag_size(self, tag: _Table) -> tuple[str, int, int]:
        encoding = tag.choice("encoding", _TAG_ENCODINGS) or "ascii"
        if encoding == "binary":
            size = tag.integer("bytes", 1, 4)
        elif encoding in ("bcd", "hex") or "digits" in tag:
            size = tag.integer("digits", 1, LONGEST_TAG_CHARACTERS)
        else:
            size = tag.integer("characters", 1, LONGEST_TAG_CHARACTERS)
        tag.close()
        return encoding, size, (size + 1) // 2 if encoding == "bcd" else size

    def _tag_set(self, form: _Table) -> Mapping[str, Any]:
        if "tags" not in form:
            return {}
        sets = sorted(path.stem for path in TAG_SETS.glob("*.toml"))
        name = form.choice("tags", sets)
        return _parsed(TAG_SETS / f"{name}.toml")[0]["tags"] if name else {}

    def _tags(
        self, path: str, table: _Table, form: TlvForm, tag_set: Mapping[str, Any], holder: _Holder
    ) -> dict[str, Field]:
        own = table.table("tags", required=False)
        known = _Table(self, own.path, merged({"fields": tag_set}, {"fields": own.content})["fields"])
        tags = {}
        for key in known:
            tag = known.table(key)
            problem = tag_names.problem(form, key)
            if problem:
                self.refuse(tag.path, f"no tag can be {key!r}", problem)
                continue
            field = self._field(f"{path}.{key}", tag, holder)
            if field is not None:
                tags[key] = field
        return tags

    # ------------------------------------------------------------ presence

    def _conditions(self, root: _Table, fields: Mapping[int, Field]) -> dict[str, Condition]:
        conditions = {}
        for number, table in root.tables("conditions", required=False):
            if not re.fullmatch(r"[1-9][0-9]{0,2}", number):
                self.refuse(table.path, f"no condition can be number {number!r}", "use 1 to 999")
                continue
            text = self._title(table, "text")
            otherwise = table.choice("otherwise", ("optional", "absent"), default="optional")
            groups = []
            tests = self._tests(table, fields)
            if tests:
                groups.append(tests)
            for place, group in enumerate(table.items("any")):
                if not isinstance(group, dict):
                    table.refuse(
                        "any", "not every item is a table of tests", 'write like [{ present = ["55"] }]'
                    )
                    continue
                inner = _Table(self, (*table.path, "any"), group)
                tests = self._tests(inner, fields)
                inner.close()
                if not tests:
                    table.refuse("any", f"item {place + 1} tests nothing", "add present, absent or equals")
                groups.append(tests)
            if not groups:
                self.refuse(table.path, "the condition tests nothing", "add present, absent, equals or any")
            table.close()
            conditions[number] = Condition(number, text, tuple(groups), otherwise or "optional")
        return conditions

    def _tests(
        self, table: _Table, fields: Mapping[int, Field]
    ) -> tuple[tuple[str, str, tuple[str, ...]], ...]:
        tests: list[tuple[str, str, tuple[str, ...]]] = []
        for how in ("present", "absent"):
            tests += [(path, how, ()) for path in table.texts(how, default=[])]
        for how in ("equals", "not", "starts"):
            if how not in table:
                continue
            asked = table.table(how)
            for path in asked:
                if isinstance(asked.content[path], str):
                    tests.append((path, how, (asked.text(path),)))
                else:
                    tests.append((path, how, asked.texts(path)))
        for path, how, _values in tests:
            if self._fields_are_right and path != "mti" and not self._names_a_field(path, fields):
                table.refuse(how, f"{path!r} is no field of this dialect", "define it or take it away")
        return tuple(tests)

    def _message(
        self, name: str, table: _Table, fields: Mapping[int, Field], conditions: Mapping[str, Condition]
    ) -> MessageRule:
        mtis = table.texts("mti")
        title = self._title(table)
        code = table.text("processing_code", _code_pattern(table)) if "processing_code" in table else None
        mandatory = list(table.texts("mandatory", None if "presence" not in table else []))
        optional = list(table.texts("optional", default=[]))
        conditional: dict[str, str] = {}
        echoed: list[str] = []
        for key in ("conditional", "presence"):
            asked = table.table(key, required=False)
            for path in asked:
                how = asked.text(
                    path, r"C[1-9][0-9]{0,2}" if key == "conditional" else r"M|ME|O|C[1-9][0-9]{0,2}"
                )
                if how in ("M", "ME"):
                    mandatory.append(path)
                    if how == "ME":
                        echoed.append(path)
                elif how == "O":
                    optional.append(path)
                elif how:
                    conditional[path] = how[1:]
                    if how[1:] not in conditions:
                        asked.refuse(path, f"there is no condition {how}", f"add [conditions.{how[1:]}]")
        rule = MessageRule(
            name,
            title,
            mtis,
            code,
            tuple(mandatory),
            tuple(optional),
            self._one_of(table),
            conditional,
            tuple(echoed),
        )
        table.close()
        for mti in rule.mtis:
            if not re.fullmatch("[0-9]{4}", mti):
                table.refuse("mti", f"{mti!r} is no MTI", "write four digits")
        named = [("mandatory", path) for path in rule.mandatory]
        named += [("optional", path) for path in rule.optional if path != "*"]
        named += [("conditional", path) for path in rule.conditional]
        named += [("one_of", path) for group in rule.one_of for path in group]
        for key, path in named:
            if self._fields_are_right and not self._names_a_field(path, fields):
                table.refuse(key, f"{path!r} is no field of this dialect", "define it or take it away")
        paths = [path for _key, path in named]
        for path in sorted({path for path in paths if paths.count(path) > 1}):
            table.refuse("mandatory", f"{path!r} is named twice", "name it once")
        return rule

    def _one_of(self, table: _Table) -> tuple[tuple[str, ...], ...]:
        groups = table.items("one_of")
        if all(isinstance(group, list) and all(isinstance(path, str) for path in group) for group in groups):
            return tuple(tuple(group) for group in groups)
        table.refuse("one_of", "not every item is a list of texts", 'write like [["2", "35"]]')
        return ()

    def _names_a_field(self, path: str, fields: Mapping[int, Field]) -> bool:
        first, *steps = path.split(".")
        if first == HEADER:
            found = self._header.get(steps.pop(0)) if steps else None
        else:
            found = fields.get(int(first)) if re.fullmatch("[1-9][0-9]{0,2}", first) else None
        for step in steps:
            found = found.children.get(step) if found is not None else None
        return found is not None

    def _refuse_ambiguous(self, messages: tuple[MessageRule, ...]) -> None:
        seen: dict[tuple[str, str | None], MessageRule] = {}
        for rule in messages:
            for mti in rule.mtis:
                other = seen.setdefault((mti, rule.processing_code), rule)
                mixed = next(
                    (
                        m
                        for m in messages
                        if m is not rule
                        and mti in m.mtis
                        and (m.processing_code is None) != (rule.processing_code is None)
                    ),
                    None,
                )
                clash = other if other is not rule else mixed
                if clash is not None:
                    self.refuse(
                        ("messages", rule.name, "mti"),
                        f"{mti} with this processing code is also {clash.name!r}",
                        "give each its own processing code",
                    )


def _code_pattern(table: _Table) -> str:
    """Six digits, or with "*" for any digit. The plain pattern is told to who wrote something else."""
    code = table.content.get("processing_code")
    if isinstance(code, str) and re.fullmatch(r"[0-9*]{6}", code):
        return r"[0-9*]{6}"
    return r"[0-9]{6}|\*"


def _units(content: str, encoding: str) -> tuple[str, ...]:
    """The units a length may count, the natural one first."""
    if content in COMPOSITES:
        return ("bytes", "characters", "nibbles")
    if encoding == "bcd":
        return _NIBBLE_UNITS
    if content == "b":
        return _BYTE_UNITS if encoding == "binary" else _HEX_UNITS
    return _TEXT_UNITS


def _halves_bytes(content: str, encoding: str, unit: str) -> bool:
    """Whether two of the unit make one byte that can't be cut (BCD has a pad for that)."""
    if encoding == "bcd":
        return False
    if content == "b" and encoding != "binary":
        return unit != "bytes"
    return unit == "nibbles"


def _is_mac(field: Field, size: int) -> bool:
    in_hex = 2 if field.encoding != "binary" and field.unit != "bytes" else 1
    length = Length(size * in_hex, size * in_hex, 0)
    return field.content == "b" and field.sizing == "fixed" and field.length == length
