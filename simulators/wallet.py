"""The plastic cards lying in a drawer beside the terminals of a data directory.

Made-up cards of the simulation only, kept so that a card activated a minute ago can be swiped again. The
file is its owner's (mode 0600); what is shown of a card is masked.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Final

from simulators.cards import Card, is_luhn_valid

KEPT_CARDS: Final = 20  # the newest; a drawer, not an archive
FILE: Final = "wallet.json"


class Wallet:
    """The drawer of the data directory `data`."""

    def __init__(self, data: Path) -> None:
        self._path = data / "run" / FILE

    def cards(self) -> list[Card]:
        """What lies in it, the newest last. A damaged file is an empty drawer."""
        try:
            numbers = json.loads(self._path.read_text("ascii"))
        except (OSError, ValueError):
            return []
        if not isinstance(numbers, list):
            return []
        return [Card(number) for number in numbers if isinstance(number, str) and is_luhn_valid(number)]

    def put(self, card: Card) -> None:
        """Lay a card on top."""
        numbers = [kept.number for kept in self.cards() if kept.number != card.number]
        numbers = [*numbers, card.number][-KEPT_CARDS:]
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        partial = self._path.with_name(f".{FILE}.{os.getpid()}")
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            json.dump(numbers, file)
        partial.replace(self._path)

    def top(self) -> Card | None:
        """The newest card, None when the drawer is empty."""
        cards = self.cards()
        return cards[-1] if cards else None
