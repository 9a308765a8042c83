"""The plastic cards lying in a drawer beside the terminals of a data directory, with what was written on
their stripes when they were issued.

Made-up cards of the simulation only, kept so that a card activated a minute ago can be swiped again, also
while nobody can be asked for its verification value. The file is its owner's (mode 0600); what is shown of a
card is masked.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

from simulators.cards import Card, is_luhn_valid

KEPT_CARDS: Final = 20  # the newest; a drawer, not an archive
KEPT_STRIPES: Final = 100  # also of cards that were only named once
FILE: Final = "wallet.json"


class _Content(NamedTuple):
    """numbers: of the cards, the newest last. stripes: by number, the discretionary data and its issue.
    counters: by number, up to where a card's chip has counted."""

    numbers: list[str]
    stripes: dict[str, tuple[str, str]]
    counters: dict[str, int]

    def __repr__(self) -> str:  # card numbers
        return f"<_Content {len(self.numbers)} cards>"


class Wallet:
    """The drawer of the data directory `data`."""

    def __init__(self, data: Path) -> None:
        self._path = data / "run" / FILE

    def cards(self) -> list[Card]:
        """What lies in it, the newest last. A damaged file is an empty drawer."""
        return [Card(number) for number in self._read().numbers]

    def put(self, card: Card) -> None:
        """Lay a card on top."""
        content = self._read()
        kept = [number for number in content.numbers if number != card.number]
        self._write(content._replace(numbers=[*kept, card.number][-KEPT_CARDS:]))

    def top(self) -> Card | None:
        """The newest card, None when the drawer is empty."""
        cards = self.cards()
        return cards[-1] if cards else None

    def written(self, card: Card, issue: str) -> Card | None:
        """This card as it was written, None when it never was, or by another issue."""
        discretionary, of = self._read().stripes.get(card.number, ("", ""))
        return replace(card, discretionary=discretionary) if of == issue and discretionary else None

    def keep(self, card: Card, issue: str) -> None:
        """Remember what an issue wrote on this card's stripe."""
        content = self._read()
        stripes = {number: kept for number, kept in content.stripes.items() if number != card.number}
        stripes[card.number] = (card.discretionary, issue)
        self._write(content._replace(stripes=dict(list(stripes.items())[-KEPT_STRIPES:])))

    def count(self, card: Card, times: int) -> int:
        """Where this card's chip stands; it may count so many times from there."""
        content = self._read()
        stands = content.counters.get(card.number, 0)
        counters = {number: kept for number, kept in content.counters.items() if number != card.number}
        counters[card.number] = stands + times
        self._write(content._replace(counters=dict(list(counters.items())[-KEPT_STRIPES:])))
        return stands

    def _read(self) -> _Content:
        try:
            read = json.loads(self._path.read_text("ascii"))
        except (OSError, ValueError):
            return _Content([], {}, {})
        if isinstance(read, list):  # numbers alone: a drawer of before
            read = {"cards": read}
        if not isinstance(read, dict):
            return _Content([], {}, {})
        numbers, stripes, counters = read.get("cards"), read.get("stripes"), read.get("counters")
        return _Content(
            [one for one in numbers if _is_number(one)] if isinstance(numbers, list) else [],
            {number: (kept[0], kept[1]) for number, kept in stripes.items() if _is_stripe(number, kept)}
            if isinstance(stripes, dict)
            else {},
            {number: kept for number, kept in counters.items() if isinstance(kept, int)}
            if isinstance(counters, dict)
            else {},
        )

    def _write(self, content: _Content) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        partial = self._path.with_name(f".{FILE}.{os.getpid()}")
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            kept = {"cards": content.numbers, "stripes": content.stripes, "counters": content.counters}
            json.dump(kept, file)
        partial.replace(self._path)


def _is_number(number: object) -> bool:
    return isinstance(number, str) and is_luhn_valid(number)


def _is_stripe(number: object, kept: object) -> bool:
    return (
        isinstance(number, str)
        and isinstance(kept, list)
        and len(kept) == 2
        and all(isinstance(one, str) and one.isascii() for one in kept)
        and kept[0].isdigit()
    )
