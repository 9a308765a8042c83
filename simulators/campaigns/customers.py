"""What a few customers want, drawn from a seed: purchases, spending, and taking back of either, in any order.

Pure. Whoever serves them says what was approved, so that later wishes can name it.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from simulators.campaigns.requests import Desk
from simulators.cards import Card
from switch.iso8583 import Message

# Weights of what is wanted next.
WISHES: Final = {
    "earn": 30,
    "redeem": 16,
    "hold": 8,
    "capture": 6,
    "refund": 5,
    "goods_back": 5,
    "void": 3,
    "reverse": 8,
    "reverse_before": 3,
    "transfer": 4,
    "balance": 2,
    "repeat": 6,
}
LARGEST_EARN_POINTS: Final = 300
LARGEST_SPENT_POINTS: Final = 120
REMEMBERED: Final = 12  # approved transactions that are named again
# What may follow an operation. Not a hold's void: the switch doesn't take it back, so a terminal that isn't
# answered would never know.
_FOLLOWED: Final = {
    "capture": ("hold",),
    "refund": ("redeem", "capture"),
    "goods_back": ("earn",),
    "void": ("earn", "redeem"),
}


class Wish(NamedTuple):
    """A message from one desk. repeated: it was sent before, as it is."""

    desk: int
    wish: str
    message: Message
    repeated: bool = False


class _Approved(NamedTuple):
    desk: int
    wish: str
    message: Message
    rrn: str


class Customers:
    """Draws wishes. rial_per_point: of a purchase; wishes: weights of what is wanted."""

    def __init__(
        self,
        desks: Sequence[Desk],
        cards: Sequence[Card],
        rial_per_point: int,
        chance: random.Random,
        wishes: Mapping[str, int] = WISHES,
    ) -> None:
        self._desks = desks
        self._cards = cards
        self._rial_per_point = rial_per_point
        self._chance = chance
        self._names, self._weights = list(wishes), list(wishes.values())
        self._waiting = [
            Wish(number % len(desks), "activate", desks[number % len(desks)].activation(card))
            for number, card in enumerate(cards)
        ]
        self._sent: list[Wish] = []
        self._approved: list[_Approved] = []

    def next(self) -> Wish:
        """What is wanted next; cards are activated first."""
        wish = self._waiting.pop(0) if self._waiting else self._drawn()
        if not wish.repeated:
            self._sent.append(wish)
            del self._sent[:-REMEMBERED]
        return wish

    def approved(self, wish: Wish, rrn: str) -> None:
        """This was approved under that reference number."""
        if wish.wish in ("earn", "redeem", "hold", "capture"):
            self._approved.append(_Approved(wish.desk, wish.wish, wish.message, rrn))
            del self._approved[:-REMEMBERED]

    def _drawn(self) -> Wish:
        chance = self._chance
        [name] = chance.choices(self._names, self._weights)
        if name == "repeat":
            return chance.choice(self._sent)._replace(repeated=True)
        if name == "reverse":
            original = chance.choice(self._sent)
            return Wish(original.desk, name, self._desks[original.desk].reversal_of(original.message))
        if name in _FOLLOWED:
            return self._following(name)
        number = chance.randrange(len(self._desks))
        return Wish(number, name, self._message(number, name, chance.choice(self._cards)))

    def _message(self, number: int, name: str, card: Card) -> Message:
        desk, chance = self._desks[number], self._chance
        if name == "redeem":
            return desk.redemption(card, chance.randrange(1, LARGEST_SPENT_POINTS))
        if name == "hold":
            return desk.hold(card, chance.randrange(1, LARGEST_SPENT_POINTS))
        if name == "transfer":
            return desk.transfer(
                card, chance.choice(self._cards), chance.randrange(1, LARGEST_SPENT_POINTS)
            )
        if name == "balance":
            return desk.balance(card)
        amount = chance.randrange(LARGEST_EARN_POINTS) * self._rial_per_point + chance.randrange(1, 999)
        earn = desk.earn(card, amount, queued=chance.random() < 0.2)
        if name == "reverse_before":  # the reversal overtakes its original, which comes next or never
            if chance.random() < 0.7:
                self._waiting.append(Wish(number, "earn", earn))
            return desk.reversal_of(earn)
        return earn

    def _following(self, name: str) -> Wish:
        """Something about an approved transaction; a purchase when there is none."""
        chance = self._chance
        known = [one for one in self._approved if one.wish in _FOLLOWED[name]]
        if not known:
            number = chance.randrange(len(self._desks))
            return Wish(number, "earn", self._message(number, "earn", chance.choice(self._cards)))
        original = chance.choice(known)
        desk = self._desks[original.desk]
        amount = int(original.message.text("4"))
        if name == "capture":
            points = int(original.message.text("48.01"))
            message = desk.capture(original.rrn, chance.choice((points, chance.randint(1, points))))
        elif name == "void":
            message = desk.void(original.message, original.rrn)
        elif name == "refund":
            message = desk.refund(original.rrn, chance.choice((amount, chance.randint(1, amount))))
        else:
            message = desk.goods_back(original.rrn, chance.choice((amount, chance.randint(1, amount))))
        return Wish(original.desk, name, message)
