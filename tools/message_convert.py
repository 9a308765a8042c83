"""A message of one dialect as a message of another, and what that costs: lost, changed or carried as it was.

Fields keep their numbers. What the versions of ISO 8583 write differently under one number is translated
where a table says how; everything else must fit the other dialect's field or is lost, with the reason.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Final, NamedTuple

from switch.iso8583 import DecodeError, Dialect, EncodeError, Mask, Message, Value
from switch.iso8583.characters import CODE_PAGES
from switch.iso8583.codec import field_codec
from switch.iso8583.dictionary import HEADER, LENGTH_MARK, Field
from switch.iso8583.message import EMPTY_SECONDARY
from switch.iso8583.tag_names import REPETITION
from tools.message_meaning import CURRENCIES, CURRENCY, EXPONENT
from tools.message_notes import Note, Notes, is_masked
from tools.message_versions import translated


class Converted(NamedTuple):
    """The message in the other dialect. refused: why its bytes can't be made although every field fits."""

    message: Message
    data: bytes | None
    notes: tuple[Note, ...]
    refused: str


def convert(source: Dialect, target: Dialect, message: Message, year: int) -> Converted:
    """`message` in `target`. year: of the messages that don't say theirs."""
    notes = Notes(source, target)
    mti, fields = translated(source, target, message, year, notes)
    carrier = _Carrier(source, target, notes)
    mark = fields.pop(EMPTY_SECONDARY, None)
    made: dict[str, Value] = {}
    for number in sorted(fields, key=_order):
        value = carrier.carried(number, fields[number])
        if value is not None:
            made[number] = value
    result = Message(mti, made, target.dictionary)
    if mark is not None:  # says something of all the fields above 64
        marked = Message(mti, {EMPTY_SECONDARY: mark, **made}, target.dictionary)
        with contextlib.suppress(EncodeError):
            return Converted(marked, target.encode(marked), tuple(notes.all), "")
        notes.lost(EMPTY_SECONDARY, mark, f"{target.name} writes its bitmaps otherwise")
    try:
        return Converted(result, target.encode(result), tuple(notes.all), "")
    except EncodeError as error:
        return Converted(result, None, tuple(notes.all), str(error))


# ---------------------------------------------------------------- field by field

_Whole = Callable[
    [Value], Value
]  # what stands at a path -> the field around it, with what is kept of it so far


class _Carrier:
    """Makes of each value one that the target takes, and notes what that took."""

    def __init__(self, source: Dialect, target: Dialect, notes: Notes) -> None:
        self._source = source
        self._target = target
        self._notes = notes

    def carried(self, number: str, value: Value) -> Value | None:
        """The field as the target has it; None when it is lost."""
        name = self._target.name
        if number == HEADER:
            if self._target.dictionary.header and _fits(self._target, number, value) is None:
                return value
            self._notes.lost(number, value, f"{name} has no such message header")
            return None
        refusal = _fits(self._target, number, value)
        if refusal is None:
            return value
        field = self._target.dictionary.fields.get(int(number)) if number.isdecimal() else None
        if field is None:
            self._notes.lost(number, value, f"{name} has no field {number}")
            return None
        return self._reshaped(field, number, value, lambda whole: whole, refusal)

    def _reshaped(
        self, field: Field | None, path: str, value: Value, whole: _Whole, refusal: str
    ) -> Value | None:
        """`value` in another form that fits, or as much of it as does."""
        number = path.partition(".")[0]
        for made, why in _forms(self._source, self._target, field, path, value):
            if _fits(self._target, number, whole(made)) is None:
                self._notes.changed(path, value, made, why)
                return made
        if isinstance(value, Mapping) and value and field is not None and field.is_composite:
            return self._carried_inside(field, path, value, whole) or None
        if isinstance(value, Mapping):
            refusal = "it has no parts there, and these are no text that may be shown"
        self._notes.lost(path, value, refusal)
        return None

    def _carried_inside(
        self, field: Field, path: str, value: Mapping[str, Value], whole: _Whole
    ) -> dict[str, Value]:
        """Tags and parts one by one: what the target can't take is lost alone."""
        kept: dict[str, Value] = {}
        for key, inner in value.items():
            if key.endswith(LENGTH_MARK):
                continue  # goes with its tag
            name = _name(field, key, kept)
            made = self._carried_part(field, f"{path}.{key}", name, inner, kept, whole)
            if made is None:
                continue
            kept[name] = made
            length = value.get(key + LENGTH_MARK)
            if length is not None:
                refusal = _fits(
                    self._target, path.partition(".")[0], whole({name + LENGTH_MARK: length, **kept})
                )
                if refusal is None:
                    kept[name + LENGTH_MARK] = length
                else:
                    self._notes.lost(f"{path}.{key}{LENGTH_MARK}", length, refusal)
        return kept

    def _carried_part(
        self, field: Field, path: str, name: str, value: Value, kept: Mapping[str, Value], whole: _Whole
    ) -> Value | None:
        def beside(part: Value) -> Value:
            return whole({**kept, name: part})

        refusal = _fits(self._target, path.partition(".")[0], beside(value))
        if refusal is None:
            return value
        if field.repeat:
            self._notes.lost(path, value, refusal)
            return None
        child = field.children.get(name.partition(REPETITION)[0])
        return self._reshaped(child, path, value, beside, refusal)


def _name(field: Field, key: str, kept: Mapping[str, Value]) -> str:
    """The name of a part where some before it may be lost: groups and repetitions count without gaps."""
    if field.repeat:
        return str(len(kept) + 1)
    base = key.partition(REPETITION)[0]
    if base == key or base not in kept:
        return base
    number = 2
    while f"{base}{REPETITION}{number}" in kept:
        number += 1
    return f"{base}{REPETITION}{number}"


def _fits(target: Dialect, number: str, value: Value) -> str | None:
    """None when `target` can write the field; else why not."""
    try:
        target.encode(Message("0100", {number: value}, target.dictionary))
    except EncodeError as error:
        # a header that is missing says nothing of this field
        return None if error.path.partition(".")[0] == HEADER and number != HEADER else str(error)
    return None


# ---------------------------------------------------------------- other forms of a value


def _forms(
    source: Dialect, target: Dialect, field: Field | None, path: str, value: Value
) -> Iterator[tuple[Value, str]]:
    """Other ways to write a value, the likeliest first, each with what it does to it.

    field: what the target has at `path`; None for a tag it doesn't know.
    """
    if field is None:
        content = _content(source, path, value)
        if content is not None:
            yield content, f"bytes, a tag that {target.name} doesn't know"
    elif field.is_composite:
        yield from _parted(source, field, path, value)
    elif isinstance(value, Mapping):
        yield from _joined(source, field, path, value)
    elif "." in path and (content := _content(source, path, value)) is not None:
        for made in _read(field, content):
            yield made, "its bytes as the other dialect reads them"
    elif isinstance(value, bytes):
        yield value.hex().upper(), "bytes written as hex digits"
        if value.isascii():
            yield value.decode("ascii"), "bytes taken as characters"
    else:
        yield from _rewritten(field, value)


def _parted(source: Dialect, field: Field, path: str, value: Value) -> Iterator[tuple[Value, str]]:
    """Forms for a composite: parts by their names, or what the bytes of something whole are read as."""
    if isinstance(value, Mapping):
        ours = source.dictionary.field_at(path)
        made = None if ours is None else _by_name(ours, field, value)
        if made is not None:
            yield made, "its parts by their names"
        return
    contents = [value] if isinstance(value, bytes) else _written(field, value)
    for content in contents:
        for parts in _read(field, content):
            yield parts, "taken apart as the other dialect does"


def _written(field: Field, text: str) -> Iterator[bytes]:
    """The bytes that a text may stand for."""
    for content in (text.encode("ascii", "replace"), CODE_PAGES[field.code_page].encode(text)):
        if content:
            yield content
    if re.fullmatch("(?:[0-9A-Fa-f]{2})+", text):
        yield bytes.fromhex(text)


def _read(field: Field, content: bytes) -> Iterator[Value]:
    """What `field` reads in `content`, as it stands or as hex digits; nothing when it is no value of it."""
    decode = field_codec(_bare(field)).decode
    for raw in (content, content.hex().upper().encode()) if _is_in_hex(field) else (content,):
        values: dict[str, Value] = {}
        with contextlib.suppress(DecodeError):
            if decode(raw, raw.hex(), raw.decode("latin-1"), 0, len(raw), values) == len(raw):
                yield values[field.key]


def _content(source: Dialect, path: str, value: Value) -> bytes | None:
    """The bytes of a value without tag and length; in hex digits, the bytes these stand for."""
    field = source.dictionary.field_at(path)
    if field is None:
        return value if isinstance(value, bytes) else None
    try:
        content = field_codec(_bare(field)).encode(value)
    except EncodeError:  # a tag that was kept as bytes though it is no value
        return value if isinstance(value, bytes) else None
    return bytes.fromhex(content.decode("ascii")) if _is_in_hex(field) else content


def _bare(field: Field) -> Field:
    """`field` without its length in front."""
    return field if field.prefix is None else replace(field, sizing="given", prefix=None)


def _is_in_hex(field: Field) -> bool:
    return field.is_composite and field.encoding == "hex"


def _joined(
    source: Dialect, field: Field, path: str, value: Mapping[str, Value]
) -> Iterator[tuple[Value, str]]:
    """Forms of a composite where the other dialect has no parts: its bytes, or its characters."""
    ours, content = source.dictionary.field_at(path), _content(source, path, value)
    if ours is None or content is None:
        return
    if field.mask is not Mask.HIDDEN and is_masked(source, path, value):
        return  # whole, nothing would tell which of it is a secret
    if field.content == "b":
        yield content, "its parts as plain bytes"
        return
    page = CODE_PAGES[ours.code_page].decode(content)
    for text in (content.decode("ascii", "replace"), page):
        if text.isascii() and text.isprintable():
            yield text, "its parts as plain text"
    if ours.encoding == "hex":
        yield content.hex().upper(), "its parts as hex digits"


def _by_name(ours: Field, theirs: Field, value: Mapping[str, Value]) -> Value | None:
    """A positional field's parts, or those of each group, by name; None where one of either has no match."""
    if (
        ours.content != "positional"
        or theirs.content != "positional"
        or bool(ours.repeat) != bool(theirs.repeat)
    ):
        return None
    groups = value if ours.repeat else {"": value}
    made: dict[str, Value] = {}
    for number, group in groups.items():
        assert isinstance(group, Mapping)
        named = {part.name: group[key] for key, part in ours.subfields.items() if key in group}
        keys = {part.name: key for key, part in theirs.subfields.items()}
        currency = CURRENCIES.get(str(named.get(CURRENCY)))
        if currency is not None and EXPONENT in keys:
            named.setdefault(EXPONENT, str(currency[1]))
        elif currency is not None and named.get(EXPONENT) == str(currency[1]):
            del named[EXPONENT]  # the currency says it
        if not named.keys() <= keys.keys():
            return None
        made[number] = {key: named[name] for name, key in keys.items() if name in named}
    return made if ours.repeat else made[""]


def _rewritten(field: Field, value: str) -> Iterator[tuple[Value, str]]:
    size = field.length.maximum
    is_number = field.content in ("n", "x+n")  # in another text zeros in front would be another value
    for tidy, why in (*_DIGIT_TIDIES, *_TIDIES) if is_number else _TIDIES:
        yield tidy(value, size), why
    if re.fullmatch("(?:[0-9A-Fa-f]{2})+", value):
        yield bytes.fromhex(value), "hex digits written as bytes"
    if value.isascii():
        yield value.encode("ascii"), "characters written as bytes"
        yield value.encode("ascii").ljust(size), "characters written as bytes, blanks behind"


_Tidies = tuple[tuple[Callable[[str, int], str], str], ...]
_TIDIES: Final[_Tidies] = (
    (lambda value, size: value.strip(), "blanks around it left out"),
    (lambda value, size: value.ljust(size), "blanks behind"),
    (lambda value, size: value.upper(), "capital letters"),
)
_DIGIT_TIDIES: Final[_Tidies] = (
    (lambda value, size: value.zfill(size) if value.isdigit() else value, "zeros in front"),
    (
        lambda value, size: value.lstrip("0").zfill(size) if value.isdigit() else value,
        "zeros in front left out",
    ),
)


def _order(number: str) -> tuple[int, str]:
    return (int(number), "") if number.isdecimal() and number.isascii() else (-1, number)
