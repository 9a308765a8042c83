"""Verification values for whoever writes cards: which cards, what is printed.

A card number is never printed whole, in an error neither: a line is named by its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from switch.hsm.inputs import MOST_CARD_DIGITS, TRACK_CARD_DIGITS
from switch.iso8583.masks import mask_card_number
from tools.cli import CommandError, ExitCode
from tools.keys_room import KeyRoom, ask

KEY = "card/value"
VALUES_MADE = "card-values"  # what the log calls it
CARD_DIGITS = range(TRACK_CARD_DIGITS, MOST_CARD_DIGITS + 1)
MOST_CARDS = 1_000_000  # in one file; more is another file by mistake


class Stripe(NamedTuple):
    """What all the cards of one run have in common on track 2."""

    expiry: str
    service: str


def stripe_of(expiry: str, service: str) -> Stripe:
    """expiry: YYMM; service: three digits. Raises CommandError."""
    if not (_is_digits(expiry) and len(expiry) == 4 and "01" <= expiry[2:] <= "12"):
        raise CommandError("--expiry: expected YYMM", ExitCode.USAGE, "for example --expiry 2912")
    if not (_is_digits(service) and len(service) == 3):
        raise CommandError("--service: expected three digits", ExitCode.USAGE, "for example --service 101")
    return Stripe(expiry, service)


def numbers_of(given: Sequence[str], file: Path | None) -> list[str]:
    """The card numbers of the command line and of a file, one a line. Raises CommandError."""
    named = [(f"--card number {place}", number) for place, number in enumerate(given, 1)]
    if file is not None:
        try:
            lines = file.read_text(encoding="ascii").splitlines()
        except (OSError, UnicodeDecodeError):
            raise CommandError(f"{file}: can't be read", ExitCode.USAGE, "one card number a line") from None
        places = ((f"{file}, line {place}", line.strip()) for place, line in enumerate(lines, 1))
        named += [(where, number) for where, number in places if number]
    if not 0 < len(named) <= MOST_CARDS:
        raise CommandError(
            f"{len(named)} cards: expected 1 to {MOST_CARDS}", ExitCode.USAGE, "give --cards FILE, or --card"
        )
    for where, number in named:
        if not (_is_digits(number) and len(number) in CARD_DIGITS):
            raise CommandError(
                f"{where}: a card number has {CARD_DIGITS[0]} to {CARD_DIGITS[-1]} digits",
                ExitCode.USAGE,
                "correct it; nothing was made",
            )
    return [number for _, number in named]


async def values(
    room: KeyRoom, numbers: Sequence[str], stripe: Stripe, officers: Sequence[str]
) -> list[tuple[str, str]]:
    """Masked number and value of each card, in their order; logged before any is made."""
    key = room.key(KEY)
    room.record(VALUES_MADE, officers, cards=str(len(numbers)), check_value=key.check_value)
    return [
        (
            mask_card_number(number),
            await ask(room.hsm.card_value_generate(key, number, stripe.expiry, stripe.service)),
        )
        for number in numbers
    ]


def _is_digits(text: str) -> bool:
    return text.isascii() and text.isdigit()
