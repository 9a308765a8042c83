"""A scripted cashier: presses the keys and passes the cards of whole visits, and reads screens and receipts.

Knows what a person at the counter knows: keys, screens, paper. Nothing of messages or the switch.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from simulators import keypad
from simulators.cards import Card
from simulators.firmware import Screen, Terminal, Transaction

IDLE: Final = "idle"
SWIPE: Final = "swipe"
AMOUNT: Final = "amount"
POINTS: Final = "points"


class Visit(NamedTuple):
    """What came of one visit: the transactions that became final meanwhile (reversals too) and the
    receipts."""

    transactions: tuple[Transaction, ...]
    receipts: tuple[str, ...]

    def of(self, flow: str) -> Transaction | None:
        """The transaction of this flow, if it became final."""
        return next((transaction for transaction in self.transactions if transaction.flow == flow), None)


class Cashier:
    """Works at one terminal. A visit begins at the idle screen and ends when the terminal is idle again."""

    def __init__(self, terminal: Terminal) -> None:
        self.terminal = terminal

    async def wait_until_idle(self) -> Screen:
        """The terminal is ready for the next customer."""
        current = self.terminal.current_screen
        if current is not None and current.name == IDLE:
            return current
        return await self.terminal.screen(IDLE)

    async def earn(self, card: Card, amount: int) -> Visit:
        """Points for a purchase of `amount` rial."""
        seen = self._begin()
        await self.begin_earn(card, amount)
        return await self._end(seen)

    async def begin_earn(self, card: Card, amount: int) -> None:
        """As `earn`, up to the last key: the request is about to leave."""
        await self.terminal.swipe(card)
        await self.terminal.screen(AMOUNT)
        await self.terminal.press(f"{amount}{keypad.ENTER}")

    async def redeem(self, card: Card, points: int) -> Visit:
        """Pay with points."""
        seen = self._begin()
        await self.terminal.press(keypad.REDEEM)
        await self.terminal.screen(SWIPE)
        await self.terminal.swipe(card)
        await self.terminal.screen(POINTS)
        await self.terminal.press(f"{points}{keypad.ENTER}")
        return await self._end(seen)

    async def balance(self, card: Card) -> Visit:
        """How many points the card has."""
        return await self._swipe_after(keypad.BALANCE, card)

    async def activate(self, card: Card) -> Visit:
        """Make the card a member's."""
        return await self._swipe_after(keypad.ACTIVATE, card)

    async def _swipe_after(self, key: str, card: Card) -> Visit:
        seen = self._begin()
        await self.terminal.press(key)
        await self.terminal.screen(SWIPE)
        await self.terminal.swipe(card)
        return await self._end(seen)

    def _begin(self) -> int:
        self.terminal.take_transactions()
        return self.terminal.printer.receipts_printed

    async def _end(self, receipts_seen: int) -> Visit:
        await self.terminal.screen(IDLE)
        printer = self.terminal.printer
        new = printer.receipts_printed - receipts_seen
        receipts = tuple(printer.receipts)[-new:] if new else ()
        return Visit(tuple(self.terminal.take_transactions()), receipts)
