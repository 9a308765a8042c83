"""A message byte by byte: where each field stands, bytes, value and meaning; a broken one up to the fault.

Everything that leaves here is masked unless `reveal` says otherwise: values, raw bytes, and what stands
behind a fault. Nothing here prints.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from switch.iso8583 import DecodeError, Dialect, Mask, Message, Value, mask_text
from switch.iso8583.masks import HIDDEN, mask_bytes, mask_card_number, mask_joined, mask_value
from tools.message_meaning import meaning_of, mti_meaning

BITMAP, MTI = "bitmap", "mti"
_EBCDIC = "cp500"
_DIGIT_RUN = re.compile("[0-9]{13,}")  # the shortest card number
_ASCII_DIGITS = re.compile(rb"[0-9]{6,}")


class Part(NamedTuple):
    """Bytes `start` to `stop` (not included): a field, subfield or tag. raw: hex, hidden digits as `**`."""

    path: str
    start: int
    stop: int
    raw: str
    value: str
    title: str
    meaning: str


class View(NamedTuple):
    """One message. error: what ended it, None when it decodes whole; `partial` is what decoded."""

    data: bytes
    message: Message | None
    name: str | None
    parts: tuple[Part, ...]
    error: DecodeError | None
    rest: str  # what stands behind the fault: hex or a count


def view(dialect: Dialect, data: bytes, *, reveal: bool = False) -> View:
    """`data` taken apart by `dialect`."""
    error: DecodeError | None = None
    message: Message | None
    try:
        message = dialect.decode(data)
    except DecodeError as fault:
        error, message = fault, fault.partial
    cards = frozenset[int]() if reveal or error is None else card_places(data)
    spans = [] if message is None else dialect.spans(data)
    parts = tuple(_parts(dialect, data, message, spans, cards, reveal)) if message is not None else ()
    if error is not None and not reveal:
        parts = _masked_as_one(parts)
    end = max((part.stop for part in parts), default=0)
    rest = ""
    if error is not None and end < len(data):
        left = len(data) - end
        # out of step, any byte may belong to a card number
        rest = data[end:].hex() if reveal else f"{left} byte{'s' if left > 1 else ''} not decoded"
    name = dialect.name_of(message) if message is not None and error is None else None
    return View(data, message, name, parts, error, rest)


def field_values(message: Message) -> dict[str, Value]:
    """Every path that carries a value, with it; an empty composite carries itself."""
    return dict(message.leaves())


def shown(dialect: Dialect, path: str, value: Value | None, *, reveal: bool = False) -> str:
    """A value as a person may see it; bytes as hex."""
    if not isinstance(value, str | bytes):
        return ""
    if reveal:
        return value.hex().upper() if isinstance(value, bytes) else value
    return mask_value(dialect.dictionary.mask_of(path), value)


def _order(number: str) -> tuple[int, str]:
    return (int(number), "") if number.isdecimal() and number.isascii() else (-1, number)


# ---------------------------------------------------------------- parts


def _parts(
    dialect: Dialect,
    data: bytes,
    message: Message,
    spans: Sequence[tuple[str, int, int]],
    cards: frozenset[int],
    reveal: bool,
) -> Iterator[Part]:
    for path, start, stop in spans:
        raw = data[start:stop]
        if path == MTI:
            yield Part(
                path, start, stop, _spaced(raw.hex()), mask_text(message.mti), "", mti_meaning(message.mti)
            )
            continue
        if path == BITMAP:
            yield Part(path, start, stop, _spaced(raw.hex()), _numbers(message), "", "")
            continue
        value = message.get(path)
        if value is None or stop > len(data):  # not understood: the fault is in it
            continue
        composed = not isinstance(value, str | bytes)
        title = mask_text(dialect.dictionary.title_of(path))
        if composed:
            yield Part(mask_text(path), start, stop, "", "", title, "")
            continue
        assert isinstance(value, str | bytes)
        if not cards.isdisjoint(range(start, stop)) and dialect.dictionary.mask_of(path) is Mask.NONE:
            yield Part(mask_text(path), start, stop, "** " * (stop - start - 1) + "**", HIDDEN, title, "")
            continue
        mask = dialect.dictionary.mask_of(path)
        yield Part(
            mask_text(path),
            start,
            stop,
            _spaced(raw.hex() if reveal else masked_raw(raw, value, mask)),
            shown(dialect, path, value, reveal=reveal),
            title,
            mask_text(meaning_of(dialect, message, path, value)) if mask is Mask.NONE or reveal else "",
        )


def _masked_as_one(parts: Sequence[Part]) -> tuple[Part, ...]:
    """Bytes out of step put a card number across fields: what is one only together is masked too."""
    told = [part for part in parts if part.path not in (MTI, BITMAP)]
    joined = dict(zip(told, mask_joined([part.value for part in told]), strict=True))
    return tuple(
        part
        if joined.get(part, part.value) == part.value
        else part._replace(value=joined[part], raw=_spaced("*" * (part.stop - part.start) * 2), meaning="")
        for part in parts
    )


def _numbers(message: Message) -> str:
    return ", ".join(number for number in sorted(message.fields, key=_order) if number.isdecimal())


def _spaced(pairs: str) -> str:
    return " ".join(pairs[at : at + 2] for at in range(0, len(pairs), 2)).upper()


def masked_raw(raw: bytes, value: str | bytes, mask: Mask) -> str:
    """`raw` as hex, `*` for every nibble that `mask` doesn't let a person see."""
    hidden = "*" * (len(raw) * 2)
    hexed = raw.hex()
    if mask is Mask.PAN and isinstance(value, str) and value:
        masked = mask_card_number(value)
        at = hexed.find(value)
        if at >= 0:
            return hexed[:at] + masked + hexed[at + len(value) :]
        for encoding in ("ascii", _EBCDIC):
            place = raw.find(value.encode(encoding, "replace"))
            if place >= 0:
                pairs = [hexed[at : at + 2] for at in range(0, len(hexed), 2)]
                for offset, character in enumerate(masked):
                    if character == "*":
                        pairs[place + offset] = "**"
                return "".join(pairs)
        return hidden
    if mask is not Mask.NONE:
        return hidden
    if isinstance(value, str):  # what the bytes say, the value says too
        return hexed if mask_value(mask, value) == value else hidden
    return hidden if hides_cards(raw) else hexed


def hides_cards(raw: bytes) -> bool:
    """Whether a card number could stand in `raw`, in BCD, ASCII or EBCDIC."""
    return mask_bytes(raw) != raw.hex().upper() or mask_text(decoded := raw.decode(_EBCDIC)) != decoded


# ---------------------------------------------------------------- cards where no field says so


def card_places(data: bytes) -> frozenset[int]:
    """Offsets of bytes that could hold the middle of a card number, in BCD, ASCII or EBCDIC.

    Read out of step, a card number lies across fields that are no card number's, and what the fields show
    of it apart would be the number. Every run of digits counts, so that chance hits are many.
    """
    found: set[int] = set()
    for text in (data.decode("latin-1"), data.decode(_EBCDIC)):
        found.update(_stars(text))
    # characters are looked at as such above; their hex digits would only hit by chance
    packed = _ASCII_DIGITS.sub(lambda run: b"\xff" * len(run[0]), data).hex()
    found.update(place // 2 for place in _stars(packed))
    return frozenset(found)


def _stars(text: str) -> Iterator[int]:
    for run in _DIGIT_RUN.finditer(text):
        for place, shown_digit in enumerate(mask_text(run[0])):
            if shown_digit == "*":
                yield run.start() + place
