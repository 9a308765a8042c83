"""What a terminal asks for, as messages: every operation that moves points, and reversals.

Pure: numbers, cards and the time come from the caller. Key serial and MAC are put on when a message is sent,
so that one transaction can be sent again under another serial.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

from simulators.cards import Card
from switch.iso8583 import Message, Value
from switch.settings import Program, Terminal

BATCH: Final = "000001"
SWIPED: Final = "021"
STANS: Final = 999_999
# Of an original, what a reversal doesn't bring: how the card was read, and its PIN block.
_NOT_REVERSED: Final = ("22", "52")


class Desk:
    """The messages of one terminal. now: local time, Asia/Tehran."""

    def __init__(self, terminal: Terminal, program: Program, now: Callable[[], datetime]) -> None:
        self.terminal = terminal
        self._program = program
        self._now = now
        self._stan = 0

    def activation(self, card: Card) -> Message:
        return self._message("0300", "720000", _swiped(card))

    def balance(self, card: Card) -> Message:
        return self._message("0100", "306000", _swiped(card))

    def earn(self, card: Card, amount: int, *, queued: bool = False) -> Message:
        """A purchase of `amount` rial; queued: sent later, as an advice."""
        return self._message(
            "0220" if queued else "0200", "210060", _swiped(card) | self._money(amount)
        )

    def redemption(self, card: Card, points: int) -> Message:
        return self._message("0200", "006000", _swiped(card) | self._worth(points))

    def hold(self, card: Card, points: int) -> Message:
        return self._message("0100", "006000", _swiped(card) | self._worth(points))

    def capture(self, rrn: str, points: int) -> Message:
        """Spend so much of the hold with this reference number."""
        return self._message("0220", "006000", {"37": rrn} | self._worth(points))

    def refund(self, rrn: str, amount: int) -> Message:
        """`amount` rial of a redemption back."""
        return self._message("0200", "200060", {"37": rrn} | self._money(amount))

    def goods_back(self, rrn: str, amount: int) -> Message:
        """Goods for `amount` rial of a purchase back."""
        return self._message("0200", "206000", {"37": rrn} | self._money(amount))

    def void(self, original: Message, rrn: str) -> Message:
        """All of an earn, redemption or hold back. DE 3: 02 and its accounts."""
        code = "02" + original.text("3")[2:]
        return self._message("0200", code, {"37": rrn} | self._money(int(original.text("4"))))

    def transfer(self, card: Card, other: Card, points: int) -> Message:
        tags: Value = {"01": f"{points:012d}", "0B": other.number}
        return self._message("0200", "406060", _swiped(card) | {"48": tags, "60": BATCH})

    def reversal_of(self, original: Message) -> Message:
        """A transaction of its own that takes the original back."""
        fields = {name: value for name, value in original.fields.items() if name not in _NOT_REVERSED}
        named = original.mti + original.text("11") + original.text("13") + original.text("12")
        return Message("0420", {**fields, "11": self._next_stan(), "90": named.ljust(42, "0")})

    def _message(self, mti: str, processing_code: str, fields: Mapping[str, Value]) -> Message:
        now = self._now()
        return Message(
            mti,
            {
                "3": processing_code,
                "11": self._next_stan(),
                "12": now.strftime("%H%M%S"),
                "13": now.strftime("%m%d"),
                "41": self.terminal.id,
                "42": self.terminal.acceptor,
                **fields,
            },
        )

    def _next_stan(self) -> str:
        self._stan = self._stan % STANS + 1
        return f"{self._stan:06d}"

    def _money(self, amount: int) -> dict[str, Value]:
        return {"4": f"{amount:012d}", "49": self._program.currency, "60": BATCH}

    def _worth(self, points: int) -> dict[str, Value]:
        money = self._money(points * self._program.rial_per_redeemed_point)
        return {**money, "48": {"01": f"{points:012d}"}}


def _swiped(card: Card) -> dict[str, Value]:
    return {"22": SWIPED, "35": card.track_2}
