"""A message byte by byte: where each field stands, bytes, value and meaning; a broken one up to the fault.

Everything that leaves here is masked unless `reveal` says otherwise: values, raw bytes, and what stands
behind a fault. Nothing here prints.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from switch.iso8583 import DecodeError, Dialect, Mask, Message, Value, mask_text
from switch.iso8583.masks import HIDDEN, card_windows, luhn_valid, mask_bytes, mask_card_number, mask_value
from tools.message_bytes import BITMAP, MTI, Run, plain, runs
from tools.message_meaning import meaning_of

_EBCDIC = "cp500"
_SHORTEST, _LONGEST = 13, 19
_DIGIT_RUN = re.compile("[0-9]{13,}")  # the shortest card number
_ASCII_DIGITS = re.compile(rb"[0-9]{6,}")
# A card number with its length in front, as fields have it: in digits (a pad may follow), or, in EMV tags,
# in bytes of BCD. 16 digits count whatever they begin with, others when cards of that length begin so.
_COUNTED = re.compile(r"(?=(16)0?([1-9][0-9]{15})|(1[3-9])0?((?:4|3[04-9]|5[068]|6)[0-9]{12,18}))")
_COUNTED_BYTES = re.compile(r"(?=(0[7-9a])([1-9][0-9]{12,19}))")
_DIGITS_BEFORE = re.compile(f"[0-9]{{0,{_LONGEST - 1}}}$")
_DIGITS_BEHIND = re.compile(f"[0-9]{{0,{_LONGEST - 1}}}")
_BEFORE_SEPARATOR = re.compile(r"([0-9]{13,})[dD=^]")
_PLAUSIBLE_MTI = re.compile("[0-2][1-8][0-7][0-5]")


class Part(NamedTuple):
    """Bytes `start` to `stop` (not included), which no other part has. raw: they as hex, hidden digits `*`.

    Of a field that has parts these are its length, tag or bitmap alone; none for a group of parts.
    """

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
    found = [] if message is None else list(runs(dialect, data, message, error))
    end = found[-1].stop if found else 0
    cards = frozenset[int]()
    if error is not None and not reveal:
        is_message = message is not None and _PLAUSIBLE_MTI.fullmatch(message.mti) is not None
        cards = card_places(data, is_message and error.path not in (MTI, BITMAP), end)
    parts: tuple[Part, ...] = ()
    if message is not None:
        parts = tuple(_part(dialect, message, data, run, cards, reveal) for run in found)
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
        return plain(value)
    return mask_value(dialect.dictionary.mask_of(path), value)


# ---------------------------------------------------------------- parts


def _part(
    dialect: Dialect, message: Message, data: bytes, run: Run, cards: frozenset[int], reveal: bool
) -> Part:
    """One row. Where a card number may lie across it (`cards`), only a mask of its own lets it be shown."""
    raw = data[run.start : run.stop]
    is_torn = not cards.isdisjoint(range(run.start, run.stop))
    path, value = run.path, run.value
    is_scalar = isinstance(value, str | bytes)
    mask = dialect.dictionary.mask_of(path) if is_scalar and path != MTI else Mask.NONE
    title = mask_text(dialect.dictionary.title_of(path))
    if is_torn and mask is Mask.NONE:
        text = HIDDEN if is_scalar or run.numbers else ""
        return Part(mask_text(path), run.start, run.stop, _spaced("**" * len(raw)), text, title, "")
    head, content = raw[: run.head], raw[run.head :]
    hexed = "**" * len(head) if is_torn else head.hex()
    text, meaning = ", ".join(map(str, run.numbers)), ""
    if isinstance(value, str | bytes):
        hexed += content.hex() if reveal else masked_raw(content, value, mask)
        text = plain(value) if reveal else mask_value(mask, value)
        if mask is Mask.NONE or reveal:
            meaning = mask_text(meaning_of(dialect, message, path, value))
    else:
        hexed += content.hex()
    return Part(mask_text(path), run.start, run.stop, _spaced(hexed), text, title, meaning)


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
    if mask_value(mask, value) != plain(value):
        return hidden
    # what the bytes say, the value says too, unless they are it and a fill; as hex they are twice as long
    is_said = isinstance(value, str) or len(raw) == len(value) * 2
    return hexed if is_said or mask_bytes(raw) == hexed.upper() else hidden


# ---------------------------------------------------------------- cards where no field says so


def card_places(data: bytes, in_step: bool, end: int) -> frozenset[int]:
    """Offsets of bytes that could hold the middle of a card number, in BCD, ASCII or EBCDIC.

    Read out of step, a card number lies across fields that are no card number's, and what these show apart
    would be the number. In messages a card number has its length in front or a separator behind, and these
    are looked for, and any that lies across `end`, where the understanding ends; in bytes that are hardly a
    message (not `in_step`) every run of digits counts.
    """
    found: set[int] = set()
    # characters are looked at as such; their hex digits would only hit by chance
    packed = _ASCII_DIGITS.sub(lambda run: b"\xff" * len(run[0]), data).hex()
    for text, step in ((data.decode("latin-1"), 1), (data.decode(_EBCDIC), 1), (packed, 2)):
        places = _counted_cards(text, step) if in_step else _all_cards(text)
        found.update(place // step for place in places)
        if in_step:
            found.update(place // step for place in _cards_across(text, end * step))
    return frozenset(found)


def _all_cards(text: str) -> Iterator[int]:
    for run in _DIGIT_RUN.finditer(text):
        for place, shown_digit in enumerate(mask_text(run[0])):
            if shown_digit == "*":
                yield run.start() + place


def _cards_across(text: str, end: int) -> Iterator[int]:
    """Places of card numbers with digits before `end` and behind it."""
    before, behind = _DIGITS_BEFORE.search(text[:end]), _DIGITS_BEHIND.match(text, end)
    assert before is not None
    assert behind is not None
    start = before.start()
    for first, size in card_windows(text[start : behind.end()]):
        if first < end - start < first + size:
            yield from _middle(start + first, size)


def _counted_cards(text: str, step: int) -> Iterator[int]:
    """step: characters a byte has; a length begins with a byte."""
    for place in _COUNTED.finditer(text):
        group = 2 if place[1] else 4
        start, size = place.start(group), int(place[group - 1])
        if place.start() % step == 0 and _is_card(text[start : start + size], size):
            yield from _middle(start, size)
    if step == 2:
        for place in _COUNTED_BYTES.finditer(text):
            most = int(place[1], 16) * 2
            for size in (most, most - 1):
                if place.start() % step == 0 and _is_card(text[place.start(2) :][:size], size):
                    yield from _middle(place.start(2), size)
    for place in _BEFORE_SEPARATOR.finditer(text):
        for size in range(_SHORTEST, min(_LONGEST, len(place[1])) + 1):
            if _is_card(place[1][-size:], size):
                yield from _middle(place.end(1) - size, size)


def _is_card(digits: str, size: int) -> bool:
    return len(digits) == size and _DIGIT_RUN.fullmatch(digits) is not None and luhn_valid(digits)


def _middle(start: int, size: int) -> range:
    first, last = (6, 4) if size >= 16 else (2, 2)
    return range(start + first, start + size - last)
