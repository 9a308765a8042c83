"""What a person may see of a value. Every view, log line and `repr` of a message goes through here.

Nothing in this file ever returns more of a card number than 6...4 (2...2 when shorter than 16 digits).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import StrEnum
from itertools import pairwise


class Mask(StrEnum):
    """Mask rule of a field, as the dictionary writes it."""

    NONE = "none"  # shown, but for card numbers found inside
    PAN = "pan"
    TRACK2 = "track2"
    TRACK1 = "track1"
    MOBILE = "mobile"
    HIDDEN = "hidden"


HIDDEN = "[hidden]"

# ISO/IEC 7812-1: card numbers have up to 19 digits; below 13 no scheme issues any and chance hits grow.
SHORTEST_CARD_NUMBER = 13
LONGEST_CARD_NUMBER = 19
USUAL_CARD_NUMBER = 16

# Within longer runs (original data, joined fields) windows of every length would mask nearly everything by
# chance: 16 digits count always, other lengths when they start as cards of that length are issued.
ISSUED_STARTS: dict[int, tuple[str, ...]] = {
    13: ("4",),
    14: ("30", "36", "38", "39"),
    15: ("34", "37", "1800", "2131"),
    17: ("5018", "5020", "5038", "56", "58", "6304", "67"),
    18: ("5018", "5020", "5038", "56", "58", "6304", "67"),
    19: ("4", "5018", "5020", "5038", "56", "58", "6"),
}

# What may stand between the digits of a card number that a person wrote: up to three ASCII characters that
# are neither letter nor digit, such as a blank, a dash, a dot or a line end.
BETWEEN_DIGITS = r"[\x00-/:-@\[-`{-\x7f]{0,3}"
# A run of digits, of any script.
_DIGIT_RUN = re.compile(rf"\d(?:{BETWEEN_DIGITS}\d){{{SHORTEST_CARD_NUMBER - 1},}}")
# Numbers that rise, as our own errors list them ("expected one of 1200, 2400, 4800, 9600, 19200"). Nobody
# writes a card number in five groups or more of which each is above the one before.
_LIST = re.compile(r"(?:0|[1-9][0-9]{0,5})(?:, (?:[1-9][0-9]{0,5})){4,}")
# What may hold a card number in the bytes of a broken message, or more than its first six digits.
_TORN_RUN = re.compile(r"[0-9]{7,}")
_ASCII_DIGITS = re.compile(rb"[0-9]{7,}")
# The same digits as characters written in hex: 0x30 to 0x39 in ASCII, 0xF0 to 0xF9 in EBCDIC.
_HEX_RUN = re.compile(rf"(?:3\d){{{SHORTEST_CARD_NUMBER},}}|(?:[Ff]\d){{{SHORTEST_CARD_NUMBER},}}", re.ASCII)
# Card number, separator, expiry and service code (ISO/IEC 7813), whatever check digit.
_TRACK_2 = re.compile(r"(?<!\d)(\d{8,19})[=Dd](\d{4,})")
_TRACK_1 = re.compile(r"%?B(\d[\d ]{7,22}\d)\^[^?\n]*\??")
_LUHN_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)

# What ISO 8583 itself makes sensitive, whatever a dictionary forgets to say. By field number; which rule
# fits depends on the class the field has there.
_PAN_FIELDS = ("2", "34")
_TRACK_2_FIELDS = ("35", "36")
_TRACK_1_FIELDS = ("45",)
# expiry; PIN data; ICC data as one block; MAC; message security code and keys; MAC
_HIDDEN_FIELDS = ("14", "52", "55", "64", "96", "128")
# EMV tags that carry what the fields above do: names as in BER-TLV.
_PAN_TAGS = ("5A",)
_TRACK_2_TAGS = ("57", "9F6B")
_HIDDEN_TAGS = ("56", "5F20", "5F24", "99", "9F0B", "9F1F", "9F20", "DFEE23")
_COMPOSITES = ("tlv", "positional", "bitmapped")


def standard_mask(path: str, content: str) -> Mask:
    """The rule of a field or EMV tag whose dictionary says none. content: its class."""
    holder, _dot, key = path.rpartition(".")
    key = key.partition("#")[0]
    pan, track2 = (_PAN_TAGS, _TRACK_2_TAGS) if holder else (_PAN_FIELDS, _TRACK_2_FIELDS)
    is_digits = content in ("n", "h")
    if key in pan:
        return Mask.PAN if is_digits else Mask.NONE if content in _COMPOSITES else Mask.HIDDEN
    if key in track2:
        return Mask.TRACK2 if content in ("z", "ans", "ns", "h") else Mask.HIDDEN
    if not holder and key in _TRACK_1_FIELDS:
        return Mask.HIDDEN if content in ("b", *_COMPOSITES) else Mask.TRACK1
    if key in (_HIDDEN_TAGS if holder else _HIDDEN_FIELDS):
        return Mask.NONE if content in _COMPOSITES else Mask.HIDDEN
    return Mask.NONE


def mask_card_number(number: str) -> str:
    """6...4 from 16 characters, 2...2 below; four or fewer are hidden whole. Length is kept."""
    size = len(number)
    if size >= 16:
        return f"{number[:6]}{'*' * (size - 10)}{number[-4:]}"
    if size > 4:
        return f"{number[:2]}{'*' * (size - 4)}{number[-2:]}"
    return "*" * size


def mask_mobile(number: str) -> str:
    """4...2 of a mobile number; hidden whole when six digits or fewer."""
    size = len(number)
    return f"{number[:4]}{'*' * (size - 6)}{number[-2:]}" if size > 6 else "*" * size


def mask_track2(track: str) -> str:
    """The masked card number; nothing of what follows it. A track without separator is hidden."""
    number, separator, _rest = track.replace("D", "=").partition("=")
    return f"{mask_card_number(number)}=..." if separator else HIDDEN


def mask_track1(track: str) -> str:
    """The masked card number; nothing of name, expiry and the rest. Anything else is hidden."""
    found = re.fullmatch(r"%?[A-Z]?(\d{8,19})\^.*", track, re.ASCII | re.DOTALL)
    return f"{mask_card_number(found.group(1))}^..." if found else HIDDEN


def luhn_valid(digits: str) -> bool:
    """Whether the last digit is the check digit of the others (ISO/IEC 7812-1 annex B)."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        total += _LUHN_DOUBLED[int(digit)] if place % 2 else int(digit)
    return total % 10 == 0


def mask_text(text: str) -> str:
    """`text` with every run of digits that could be a card number masked, tracks reduced to it."""
    if len(text) < SHORTEST_CARD_NUMBER - 1:  # no card number, no track fits
        return text
    text = _TRACK_1.sub(lambda track: f"{mask_card_number(track.group(1))}^...", text)
    text = _TRACK_2.sub(lambda track: f"{mask_card_number(track.group(1))}=...", text)
    text = _HEX_RUN.sub(_mask_hex_run, text)
    return _DIGIT_RUN.sub(lambda run: run.group() if _is_list(run.group()) else _mask_run(run.group()), text)


def mask_bytes(content: bytes) -> str:
    """Upper-case hex, or only the size when a card number could stand in it.

    Looked for as BCD, as characters of ASCII and EBCDIC, and as hex of these.
    """
    digits = content.hex().upper()
    if len(content) < (SHORTEST_CARD_NUMBER + 1) // 2:
        return digits
    for text in (digits, content.decode("latin-1"), content.decode("cp500")):
        if mask_text(text) != text:
            return f"[{len(content)} bytes hidden]"
    return digits


def mask_value(mask: Mask, value: str | bytes) -> str:
    """`value` as its field's rule lets a person see it."""
    if mask is Mask.HIDDEN:
        return HIDDEN
    if isinstance(value, bytes):
        return mask_bytes(value) if mask is Mask.NONE else HIDDEN
    if mask is Mask.PAN:
        return mask_card_number(value)
    if mask is Mask.TRACK2:
        return mask_track2(value)
    if mask is Mask.TRACK1:
        return mask_track1(value)
    if mask is Mask.MOBILE:
        return mask_mobile(value)
    return mask_text(value)


def mask_joined(values: list[str]) -> list[str]:
    """`values` with digits starred that make up a card number only when the values are read as one.

    For what was decoded out of step: there a card number may lie across fields.
    """
    places = [
        (index, place)
        for index, value in enumerate(values)
        for place, character in enumerate(value)
        if character.isdecimal()
    ]
    digits = "".join(values[index][place] for index, place in places)
    shown = [list(value) for value in values]
    for start, size in card_windows(digits):
        for index, place in places[start + 6 if size >= 16 else start + 2 : start + size - 2]:
            shown[index][place] = "*"
    return ["".join(value) for value in shown]


def torn_places(data: bytes) -> frozenset[int]:
    """Offsets of bytes of a broken message that may hold what nobody may see of a card number.

    Out of step, a card number lies in pieces across fields of other masks, digits of it taken for lengths:
    it is looked for in the bytes themselves, in ASCII, EBCDIC and BCD. Where the bytes end in digits, a card
    number may have been cut off, which no check digit tells.
    """
    found: set[int] = set()
    for text in (data.decode("latin-1"), data.decode("cp500")):
        found.update(_torn(text))
    # as characters these were looked at: as nibbles they would be found by chance
    packed = _ASCII_DIGITS.sub(lambda run: b"\xff" * len(run[0]), data).hex()
    found.update(place // 2 for place in _torn(packed))
    return frozenset(found)


def _torn(text: str) -> Iterator[int]:
    for run in _TORN_RUN.finditer(text):
        if len(run[0]) >= SHORTEST_CARD_NUMBER:
            yield from (run.start() + at for at, shown in enumerate(_mask_run(run[0])) if shown == "*")
        if run.end() == len(text):  # it may begin anywhere among the last; six digits of it may be seen
            yield from range(max(run.start(), run.end() - LONGEST_CARD_NUMBER + 1) + 6, run.end())


def _mask_run(run: str) -> str:
    places = [place for place, character in enumerate(run) if character.isdecimal()]
    digits = "".join(run[place] for place in places)
    shown = list(run)
    if len(digits) <= LONGEST_CARD_NUMBER and luhn_valid(digits):
        hidden = [place for place, star in zip(places, mask_card_number(digits), strict=True) if star == "*"]
    else:
        hidden = []
        for start, size in card_windows(digits):
            first, last = (6, 4) if size >= 16 else (2, 2)
            hidden += places[start + first : start + size - last]
    for place in hidden:
        shown[place] = "*"
    return "".join(shown)


def _is_list(run: str) -> bool:
    if _LIST.fullmatch(run) is None:
        return False
    numbers = [int(number) for number in run.split(", ")]
    return all(low < high for low, high in pairwise(numbers))


def card_windows(digits: str) -> list[tuple[int, int]]:
    """(start, size) of all that could be card numbers within a run of digits."""
    found = []
    for start in range(len(digits) - SHORTEST_CARD_NUMBER + 1):
        window = digits[start : start + USUAL_CARD_NUMBER]
        if len(window) == USUAL_CARD_NUMBER and window[0] != "0" and luhn_valid(window):
            found.append((start, USUAL_CARD_NUMBER))
        for size, starts in ISSUED_STARTS.items():
            window = digits[start : start + size]
            if len(window) == size and window.startswith(starts) and luhn_valid(window):
                found.append((start, size))
    return found


def _mask_hex_run(run: re.Match[str]) -> str:
    text = run.group()
    digits = text[1::2]
    return text if _mask_run(digits) == digits else "*" * len(text)
