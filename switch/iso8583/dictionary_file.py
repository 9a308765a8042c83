"""Dictionary files, read and checked as a whole."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from switch.iso8583.dictionary import (
    BITMAP_BITS, HIGHEST_FIELD, Dictionary, Field, Length, MacPlace, MessageRule, Pad, ResponseCode, Text,
)
from switch.iso8583.errors import DialectError, Mistake
from switch.iso8583.masks import Mask
from switch.iso8583.toml_lines import KeyLines, KeyPath

CONTENT = {
    "n": ("bcd", "digits"),
    "z": ("bcd", "digits"),
    "an": ("ascii", "characters"),
    "ans": ("ascii", "characters"),
    "b": ("binary", "bytes"),
    "tlv": ("binary", "bytes"),
}
PREFIX_DIGITS_MAXIMUM = 3
LONGEST_FIXED = 999


def read(file: Path) -> Dictionary:
    """The dictionary in `file`; `DialectError` with every mistake found."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        what = getattr(error, "strerror", None) or "the file is not UTF-8"
        raise DialectError(file, [Mistake(None, what, "name a readable TOML file in UTF-8")]) from error
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        place = re.search(r"at line (\d+)", str(error))
        line = int(place.group(1)) if place else None
        raise DialectError(file, [Mistake(line, f"no TOML: {error}", "correct the syntax")]) from error
    reader = _Reader(KeyLines(text))
    dictionary = reader.dictionary(_Table(reader, (), content))
    if reader.mistakes:
        raise DialectError(file, sorted(reader.mistakes, key=lambda mistake: mistake.line or 0))
    return dictionary


class _Table:
    """One table of the file: takes keys one by one, notes what is missing or of the wrong type."""

    def __init__(self, reader: _Reader, path: KeyPath, content: Mapping[str, Any]) -> None:
        self._reader = reader
        self.path = path
        self._content = content
        self._taken: list[str] = []

    def __contains__(self, key: str) -> bool:
        return key in self._content

    def __iter__(self) -> Iterator[str]:
        return iter(self._content)

    def refuse(self, key: str, what: str, remedy: str) -> None:
        self._reader.refuse((*self.path, key), what, remedy)

    def text(self, key: str, pattern: str = r"(?s).+", default: str | None = None) -> str:
        value = str(self._take(key, str, "a text", default))
        is_judged = not isinstance(self._content.get(key), str)  # missing or no text: said already
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

    def flag(self, key: str) -> bool:
        return bool(self._take(key, bool, "true or false", False))

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
        for key in self._content:
            if key not in self._taken:
                self.refuse(key, f"unknown key {key!r}", _did_you_mean(key, self._taken))

    def _take(self, key: str, kind: type, wanted: str, default: Any) -> Any:
        self._taken.append(key)
        value = self._content.get(key, default)
        if type(value) is kind:
            return value
        if key in self._content:
            self.refuse(key, f"{key!r} is not {wanted}", f"write {wanted}")
        elif default is None:
            self.refuse(key, f"{key!r} is missing", f"add {key} = {wanted}")
        return "" if kind is not list else []


def _did_you_mean(word: str, known: Collection[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known here: {', '.join(sorted(known)) or 'nothing'}"


class _Reader:
    """Turns the tables of one file into a `Dictionary` and gathers the mistakes."""

    def __init__(self, lines: KeyLines) -> None:
        self._lines = lines
        self.mistakes: list[Mistake] = []
        self._fields_are_right = False

    def refuse(self, path: KeyPath, what: str, remedy: str) -> None:
        self.mistakes.append(Mistake(self._lines.line_of(path), f"{'.'.join(path)}: {what}", remedy))

    def dictionary(self, root: _Table) -> Dictionary:
        head = root.table("dialect")
        name = head.text("name", r"[a-z][a-z0-9-]*")
        version = head.integer("version", 1, 9999)
        description = self._title(head, "description")
        for key, encoding in (("mti", "bcd"), ("bitmap", "binary")):
            table = head.table(key)
            table.choice("encoding", (encoding,))
            table.close()
        fields = self._fields(root)
        self._fields_are_right = not self.mistakes
        mac = self._mac(head, fields) if "mac" in head else None
        head.close()
        messages = tuple(self._message(key, table, fields) for key, table in root.tables("messages"))
        self._refuse_ambiguous(messages)
        network_codes = self._texts(root, "network_codes")
        response_codes = {
            code: self._response_code(table) for code, table in root.tables("response_codes", required=False)
        }
        reasons = self._texts(root, "reasons")
        root.close()
        return Dictionary(
            name, version, description, mac, fields, messages, network_codes, response_codes, reasons
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

    def _mac(self, head: _Table, fields: Mapping[int, Field]) -> MacPlace:
        table = head.table("mac")
        place = MacPlace(
            table.integer("primary", 2, 64),
            table.integer("secondary", 66, HIGHEST_FIELD),
            table.integer("bytes", 1, 64),
        )
        table.close()
        if not self._fields_are_right:
            return place
        last = [max((number for number in fields if number <= 64), default=0), max(fields, default=0)]
        if last != [place.primary, place.secondary]:
            table.refuse("primary", "the MAC is not the last field", "name the last field of each bitmap")
        for number in (place.primary, place.secondary):
            field = fields.get(number)
            if field and (field.content != "b" or field.length != Length(place.size, place.size, 0)):
                self.refuse(
                    ("fields", str(number)),
                    f"the MAC is not {place.size} fixed bytes",
                    f"write class = b, length fixed = {place.size}",
                )
        return place

    def _fields(self, root: _Table) -> dict[int, Field]:
        fields = {}
        for key, table in root.tables("fields"):
            number = int(key) if re.fullmatch(r"[1-9][0-9]{0,2}", key) else 0
            if not 2 <= number <= HIGHEST_FIELD or number in BITMAP_BITS:
                self.refuse(table.path, f"no field can be number {key}", "use 2 to 64 and 66 to 128")
                continue
            field = self._field(key, table, is_tag=False)
            if field is not None:
                fields[number] = field
        return dict(sorted(fields.items()))

    def _field(self, path: str, table: _Table, is_tag: bool) -> Field | None:
        name = table.text("name", r"[a-z][a-z0-9_]*")
        title = self._title(table)
        content = table.choice("class", [kind for kind in CONTENT if not (is_tag and kind == "tlv")])
        if not content:
            return None  # nothing else of the field can be judged
        encoding, unit = CONTENT[content]
        table.choice("encoding", (encoding,))
        before = len(self.mistakes)
        length = self._length(table.table("length"), unit, is_tag)
        pad = self._pad(table, encoding, None if len(self.mistakes) > before else length)
        mask = Mask(table.choice("mask", list(Mask), default="none") or Mask.HIDDEN)
        tags = self._tags(path, table) if content == "tlv" else {}
        table.close()
        return Field(path, name, title, content, encoding, length, pad, mask, tags)

    def _length(self, table: _Table, unit: str, is_tag: bool) -> Length:
        table.choice("unit", (unit,))
        if "fixed" in table or is_tag:
            size = table.integer("fixed", 1, LONGEST_FIXED)
            length = Length(size, size, 0)
        else:
            table.choice("prefix", ("bcd",))
            digits = table.integer("digits", 1, PREFIX_DIGITS_MAXIMUM)
            maximum = table.integer("max", 1, 10**digits - 1)
            length = Length(table.integer("min", 0, maximum, default=0), maximum, digits)
        table.close()
        return length

    def _pad(self, table: _Table, encoding: str, length: Length | None) -> Pad | None:
        """`length` None: it is wrong itself, whether a pad is needed can't be judged."""
        needed = False
        if length is not None:
            needed = encoding == "bcd" and (length.minimum < length.maximum or length.maximum % 2 == 1)
        if "pad" not in table:
            if needed:
                table.refuse("pad", "an odd number of digits has no pad", "add pad = { side, nibble }")
            return None
        pad_table = table.table("pad")
        pad = Pad(pad_table.choice("side", ("left", "right")), pad_table.text("nibble", "[0-9A-F]").lower())
        pad_table.close()
        if length is not None and not needed:
            table.refuse("pad", "a pad that never stands", "take it away")
        return pad

    def _tags(self, path: str, table: _Table) -> dict[str, Field]:
        form = table.table("tlv")
        form.integer("tag_bytes", 1, 1)
        form.integer("length_bytes", 1, 1)
        form.close()
        tags = {}
        for key, tag in table.tables("tags", required=False):
            if not re.fullmatch(r"[0-9A-F]{2}", key):
                self.refuse(tag.path, f"no tag can be {key!r}", "write the byte as two upper-case hex digits")
                continue
            field = self._field(f"{path}.{key}", tag, is_tag=True)
            if field is not None:
                tags[key] = field
        return tags

    def _message(self, name: str, table: _Table, fields: Mapping[int, Field]) -> MessageRule:
        rule = MessageRule(
            name,
            self._title(table),
            table.texts("mti"),
            table.text("processing_code", r"[0-9]{6}|\*") if "processing_code" in table else None,
            table.texts("mandatory"),
            table.texts("optional", default=[]),
            self._one_of(table),
        )
        table.close()
        for mti in rule.mtis:
            if not re.fullmatch("[0-9]{4}", mti):
                table.refuse("mti", f"{mti!r} is no MTI", "write four digits")
        named = [("mandatory", path) for path in rule.mandatory]
        named += [("optional", path) for path in rule.optional]
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
        number, dot, tag = path.partition(".")
        field = fields.get(int(number)) if re.fullmatch("[1-9][0-9]{0,2}", number) else None
        return field is not None and (not dot or tag in field.tags)

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
