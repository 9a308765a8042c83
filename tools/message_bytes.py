"""Whose bytes are whose: the bytes of a message in order, each under the innermost path it belongs to.

What a composite has beside its parts (length, tag, bitmap) stands under its own path, in front of them.
Nothing here masks or prints.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from switch.iso8583 import DecodeError, Dialect, Message, Value
from switch.iso8583.bitmaps import bitmap_reader, bitmap_width, set_bits
from switch.iso8583.codec import Span
from switch.iso8583.dictionary import HIGHEST_FIELD, LENGTH_MARK, BitmapForm, Dictionary, Field, TlvForm
from switch.iso8583.message import EMPTY_SECONDARY
from switch.iso8583.tag_names import REPETITION, ber_tag_size

MTI, BITMAP = "mti", "bitmap"
_HEX_PAIRS = re.compile(rb"(?:[0-9A-Fa-f]{2})*")


class Run(NamedTuple):
    """Bytes `start` to `stop` (not included) of a message.

    path: "mti", "bitmap", "35", "48.01"; "62.bitmap" for the bitmap within field 62.
    head: how many of the bytes, at their beginning, are tag and length: no content.
    value: what the message has at the path; None for bitmaps, and for a tag whose value follows apart.
    numbers: fields (or parts) that a bitmap announces.
    """

    path: str
    start: int
    stop: int
    head: int = 0
    value: Value | None = None
    numbers: tuple[int, ...] = ()


def plain(value: str | bytes) -> str:
    """A value as text, whatever it holds; bytes as upper-case hex."""
    return value.hex().upper() if isinstance(value, bytes) else value


def runs(dialect: Dialect, data: bytes, message: Message, error: DecodeError | None = None) -> Iterator[Run]:
    """The bytes of `data` without gap or overlap: to the end, or to where it was understood.

    message: what `data` decodes to; with `error`, what decoded before it. A path that has no bytes of its own
    (a group of parts, an empty value) has an empty run. A tag whose length is written longer than it need be
    ("9F36@length") has two: the tag before that length, the value behind it.
    """
    dictionary, values = dialect.dictionary, dict(_values(message))
    spans = dialect.spans(data)
    owned = _owned(dictionary, data, spans, values, error)
    last = {place: at for at, (_start, place, _stop) in enumerate(owned)}
    is_first_bitmap = True
    for at, (start, place, stop) in enumerate(owned):
        path, raw, value = spans[place].path, data[start:stop], values.get(spans[place].path)
        is_begun = start == spans[place].start
        if path == MTI:
            yield Run(path, start, stop, value=message.mti)
        elif path == BITMAP:
            yield Run(path, start, stop, numbers=_announced(dictionary, message, raw, is_first_bitmap))
            is_first_bitmap = False
        elif isinstance(value, Mapping):
            yield from _composite(dictionary, path, start, raw, value if is_begun else None)
        elif path.endswith(LENGTH_MARK):
            yield Run(path, start, stop, len(raw), value)
        elif last[place] != at:
            yield Run(path, start, stop, len(raw))
        else:
            yield Run(path, start, stop, _head_bytes(dictionary, path, raw) if is_begun else 0, value)


def _values(message: Message) -> Iterator[tuple[str, Value]]:
    """Every path of the message with its value, composites too."""
    waiting: list[tuple[str, Value]] = list(message.fields.items())
    while waiting:
        path, value = waiting.pop()
        yield path, value
        if isinstance(value, Mapping):
            waiting += [(f"{path}.{key}", inner) for key, inner in value.items()]


def _owned(
    dictionary: Dictionary,
    data: bytes,
    spans: Sequence[Span],
    values: Mapping[str, Value],
    error: DecodeError | None,
) -> list[tuple[int, int, int]]:
    """(start, place among `spans`, stop) of all that has an owner, by bytes, outer before inner."""
    owners: list[int | None] = [None] * len(data)
    empty: list[tuple[int, int, int]] = []
    for place, span in enumerate(spans):
        stop = _understood(dictionary, data, spans, place, values, error)
        if stop is not None:
            owners[span.start : stop] = [place] * (stop - span.start)
            empty.append((span.start, place, span.start))
    owned: list[tuple[int, int, int]] = []
    start = 0
    for at in range(1, len(data) + 1):
        if at == len(data) or owners[at] != owners[start]:
            owner = owners[start]
            if owner is not None:
                owned.append((start, owner, at))
            start = at
    has_bytes = {place for _start, place, _stop in owned}
    return sorted(owned + [one for one in empty if one[1] not in has_bytes])


def _understood(
    dictionary: Dictionary,
    data: bytes,
    spans: Sequence[Span],
    place: int,
    values: Mapping[str, Value],
    error: DecodeError | None,
) -> int | None:
    """Where what is known of the span at `place` ends; None when nothing of it is."""
    path, start, stop = spans[place]
    if path in (MTI, BITMAP):
        return stop
    value = values.get(path)
    if value is None or path.removesuffix(LENGTH_MARK) not in values:
        return None
    is_broken = error is not None and f"{error.path}.".startswith(f"{path}.")
    if not (is_broken and isinstance(value, Mapping)):
        return stop
    # the fault is in a part, and whatever comes later is one: up to there the bytes are its own
    later = (inner.start for inner in spans[place + 1 :] if inner.path != path + LENGTH_MARK)
    behind = next(later, None)
    return start + _head_bytes(dictionary, path, data[start:stop]) if behind is None else behind


def _composite(
    dictionary: Dictionary, path: str, start: int, raw: bytes, value: Mapping[str, Value] | None
) -> Iterator[Run]:
    """A composite's own bytes. value: None behind a length that is a run of its own."""
    field = dictionary.field_at(path)
    form = None if field is None else field.bitmap
    head = len(raw) if form is None else 0 if value is None else _head_bytes(dictionary, path, raw)
    if value is not None:
        yield Run(path, start, start + head, head, value)
    if field is not None and form is not None and head < len(raw):
        bitmap = _bytes_in_hex(raw[head:], _in_hex(*_holders(dictionary, path), field))
        bits = _bits(form, field.code_page, bitmap)
        numbers = tuple(number for number in bits if number > 1 or form.first_bit != "announces")
        yield Run(f"{path}.{BITMAP}", start + head, start + len(raw), numbers=numbers)


def _announced(dictionary: Dictionary, message: Message, raw: bytes, is_first: bool) -> tuple[int, ...]:
    """The fields a bitmap of the message tells of; a second one stands in a field, for those above 128."""
    form = dictionary.bitmap
    bits = _bits(form, dictionary.code_page, raw)
    if not is_first:
        return tuple(HIGHEST_FIELD + bit for bit in bits)
    announcers = {form.tertiary} if EMPTY_SECONDARY in message.fields else {1, form.tertiary}
    return tuple(bit for bit in bits if bit not in announcers)


def _bits(form: BitmapForm, code_page: str, raw: bytes) -> list[int]:
    bitmap, _stop = bitmap_reader(form, BITMAP, code_page)(
        raw, 0, len(raw), len(raw) // bitmap_width(form, 1)
    )
    return set_bits(bitmap)


# ---------------------------------------------------------------- tags and lengths


def _head_bytes(dictionary: Dictionary, path: str, raw: bytes) -> int:
    """How many bytes at the beginning of `raw`, which is all at `path`, are its tag and length."""
    holders = _holders(dictionary, path)
    field, holder = dictionary.field_at(path), holders[-1] if holders else None
    if field is holder:  # one of the groups of a repeated field, or nothing known
        return 0
    in_hex = _in_hex(*holders)
    if holder is not None and holder.tlv is not None:
        size = _tag_bytes(holder.tlv, path.rpartition(".")[2], _bytes_in_hex(raw, in_hex))
    else:
        size = field.prefix.size if field is not None and field.prefix is not None else 0
    return min(size << in_hex, len(raw))


def _tag_bytes(form: TlvForm, key: str, raw: bytes) -> int:
    """Bytes of a tag and its length; padding between tags has neither."""
    if form.kind == "simple":
        return form.tag_bytes + form.length_bytes
    if key.partition(REPETITION)[0] in form.padding:
        return 0
    tag = ber_tag_size(raw, 0, len(raw))
    length = raw[tag : tag + 1]
    return tag + 1 + (length[0] & 0x7F if length >= b"\x80" else 0)


def _holders(dictionary: Dictionary, path: str) -> list[Field]:
    """The fields within which `path` stands, outer before inner."""
    found: list[Field] = []
    steps = path.split(".")
    for count in range(1, len(steps)):
        field = dictionary.field_at(".".join(steps[:count]))
        if field is not None and not (found and field is found[-1]):  # a group's number leads to the same
            found.append(field)
    return found


def _in_hex(*fields: Field) -> int:
    """How many times bytes within `fields` stand as hex digits."""
    return sum(field.is_composite and field.encoding == "hex" for field in fields)


def _bytes_in_hex(raw: bytes, times: int) -> bytes:
    for _ in range(times):
        pairs = _HEX_PAIRS.match(raw)
        raw = bytes.fromhex(pairs[0].decode("ascii")) if pairs else b""
    return raw
