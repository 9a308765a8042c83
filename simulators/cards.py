"""Cards of the loyalty program: numbers with the program's prefix and a Luhn digit, drawn from a seed or at
random.

A card shows itself masked wherever it is printed; only `number` gives the digits.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final

PROGRAM_PREFIX: Final = "936400"
NUMBER_DIGITS: Final = 16
DEFAULT_EXPIRY: Final = "2912"
DEFAULT_SERVICE_CODE: Final = "101"
DEFAULT_NAME: Final = "VAFA/MEMBER"


def luhn_digit(body: str) -> str:
    """The check digit that makes `body` + digit valid (ISO/IEC 7812-1 annex B)."""
    if not (body.isascii() and body.isdigit()):
        raise ValueError("a card number is made of the digits 0-9")
    total = 0
    for place, character in enumerate(reversed(body)):
        digit = int(character)
        if place % 2 == 0:
            digit = digit * 2 - 9 if digit > 4 else digit * 2
        total += digit
    return str(-total % 10)


def is_luhn_valid(number: str) -> bool:
    """True when the last digit of `number` is its Luhn digit."""
    return len(number) > 1 and number.isascii() and number.isdigit() and luhn_digit(number[:-1]) == number[-1]


def masked(number: str) -> str:
    """Six first and four last digits from 16 digits on, two and two for shorter numbers."""
    head, tail = (6, 4) if len(number) >= 16 else (2, 2)
    if len(number) <= head + tail:
        return "*" * len(number)
    return number[:head] + "*" * (len(number) - head - tail) + number[-tail:]


@dataclass(frozen=True, slots=True)
class Card:
    """What is written on one magnetic stripe.

    number: 8-19 digits; expiry: YYMM; service_code: three digits; name: ISO 7813, 2-26 characters.
    discretionary: digits; on an issued card they hold its verification value (`simulators.issuing`).
    """

    number: str = field(repr=False)
    expiry: str = field(default=DEFAULT_EXPIRY, repr=False)
    name: str = field(default=DEFAULT_NAME, repr=False)
    service_code: str = field(default=DEFAULT_SERVICE_CODE, repr=False)
    discretionary: str = field(default="00000000", repr=False)

    @property
    def masked(self) -> str:
        """The number as it may be shown."""
        return masked(self.number)

    @property
    def track_2(self) -> str:
        """Track 2 without its sentinels (ISO/IEC 7813), as DE 35 has it."""
        return f"{self.number}={self.expiry}{self.service_code}{self.discretionary}"

    def with_value(self, value: str, offset: int) -> Card:
        """This card with a verification value after `offset` digits of its discretionary data."""
        data = self.discretionary.ljust(offset + len(value), "0")
        return replace(self, discretionary=data[:offset] + value + data[offset + len(value) :])

    def __repr__(self) -> str:
        return f"Card({self.masked})"

    __str__ = __repr__


class Deck:
    """Gives cards of the program, none twice. The same seed gives the same cards; None: the system's
    randomness."""

    def __init__(self, seed: int | None = None) -> None:
        self._random = random.SystemRandom() if seed is None else random.Random(seed)
        self._given: set[str] = set()

    def draw(self) -> Card:
        """A card not drawn before."""
        while True:
            free_digits = NUMBER_DIGITS - len(PROGRAM_PREFIX) - 1
            body = PROGRAM_PREFIX + "".join(str(self._random.randrange(10)) for _ in range(free_digits))
            number = body + luhn_digit(body)
            if number not in self._given:
                self._given.add(number)
                return Card(number)

    def hand(self, count: int) -> list[Card]:
        """`count` different cards."""
        return [self.draw() for _ in range(count)]


def foreign_card() -> Card:
    """A card of somebody else's program: valid in form, refused by the terminal before anything is sent."""
    body = "621986123456789"
    return Card(body + luhn_digit(body))


def leaks(text: bytes, cards: Iterable[Card]) -> list[str]:
    """Masked numbers of the cards whose digits stand in `text`: as ASCII, or as BCD at either nibble."""
    found = []
    digits = text.hex()
    for card in cards:
        if card.number.encode() in text or card.number in digits:
            found.append(card.masked)
    return found
