"""What a person may see of a value. Every view, log line and `repr` of a message goes through here.

Nothing in this file ever returns more of a card number than 6...4 (2...2 when shorter than 16 digits).
"""

from __future__ import annotations

import re
from enum import StrEnum


class Mask(StrEnum):
    """Mask rule of a field, as the dictionary writes it."""

    NONE = "none"  # shown, but for card numbers found inside
    PAN = "pan"
    TRACK2 = "track2"
    HIDDEN = "hidden"


HIDDEN = "[hidden]"

# ISO/IEC 7812-1: card numbers have up to 19 digits; below 13 no scheme issues any and chance hits grow.
SHORTEST_CARD_NUMBER = 13
LONGEST_CARD_NUMBER = 19
# In longer runs (original data, joined fields) only windows of the usual length count: with all lengths
# nearly every window set of 40 digits holds a chance hit.
USUAL_CARD_NUMBER = 16

_DIGIT_RUN = re.compile(rf"[0-9]{{{SHORTEST_CARD_NUMBER},}}")
_LUHN_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)


def mask_card_number(number: str) -> str:
    """6...4 from 16 characters, 2...2 below; four or fewer are hidden whole. Length is kept."""
    size = len(number)
    if size >= 16:
        return f"{number[:6]}{'*' * (size - 10)}{number[-4:]}"
    if size > 4:
        return f"{number[:2]}{'*' * (size - 4)}{number[-2:]}"
    return "*" * size


def mask_track2(track: str) -> str:
    """The masked card number; nothing of what follows it. A track without separator is hidden."""
    number, separator, _rest = track.replace("D", "=").partition("=")
    return f"{mask_card_number(number)}=..." if separator else HIDDEN


def luhn_valid(digits: str) -> bool:
    """Whether the last digit is the check digit of the others (ISO/IEC 7812-1 annex B)."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        total += _LUHN_DOUBLED[int(digit)] if place % 2 else int(digit)
    return total % 10 == 0


def mask_text(text: str) -> str:
    """`text` with every run of digits that could be a card number masked."""
    return _DIGIT_RUN.sub(lambda run: _mask_run(run.group()), text)


def mask_bytes(content: bytes) -> str:
    """Upper-case hex, or only the size when a card number could stand in it as BCD or as characters."""
    digits = content.hex().upper()
    characters = content.decode("latin-1")
    if mask_text(digits) != digits or mask_text(characters) != characters:
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
    return mask_text(value)


def _mask_run(run: str) -> str:
    if len(run) <= LONGEST_CARD_NUMBER and luhn_valid(run):
        return mask_card_number(run)
    shown = list(run)
    for start in range(len(run) - USUAL_CARD_NUMBER + 1):
        window = run[start : start + USUAL_CARD_NUMBER]
        if window[0] != "0" and luhn_valid(window):
            shown[start + 6 : start + USUAL_CARD_NUMBER - 4] = "*" * (USUAL_CARD_NUMBER - 10)
    return "".join(shown)
