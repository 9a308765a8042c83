"""A scripted cashier: presses the keys and passes the cards of whole visits, and reads screens and receipts.

Knows what a person at the counter knows: keys, screens, paper. Nothing of messages or the switch.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final, NamedTuple

from simulators import flows, keypad
from simulators.cards import Card
from simulators.firmware import Terminal, Transaction

IDLE: Final = "idle"
SWIPE: Final = "swipe"
AMOUNT: Final = "amount"
POINTS: Final = "points"
MESSAGE: Final = "message"
PIN: Final = "pin"
NEW_MOBILE: Final = "mobile"  # of a new member
PROOF_NEEDED: Final = "1A"  # the terminal asks for PIN or code by itself then
VISIT_SECONDS: Final = 120.0  # a visit whose line comes and goes takes a while; only ends a hang
# The flows whose result stays on the screen until a key is pressed or some seconds have passed.
FLOWS: Final = (
    *("earn", "redeem", "split", "balance", "activate", "void", "return", "refund", "queued"),
    *("replace", "block", "unblock", "transfer"),
)


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

    async def wait_until_idle(self) -> Visit:
        """The terminal is ready for the next customer; what it did by itself until then."""
        current = self.terminal.current_screen
        if current is None or current.name != IDLE:
            return await self._end(self.terminal.printer.receipts_printed)
        return Visit((), ())

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

    async def redeem(self, card: Card, points: int, pin: str | None = None) -> Visit:
        """Pay with points; the member keys in `pin` when the terminal asks, and leaves when there is none."""
        seen = self._begin()
        await self.begin_redeem(card, points)
        return await self._end(seen, pin)

    async def begin_redeem(self, card: Card, points: int) -> None:
        """As `redeem`, up to the last key."""
        await self.terminal.press(keypad.REDEEM)
        await self.terminal.screen(SWIPE)
        await self.terminal.swipe(card)
        await self.terminal.screen(POINTS)
        await self.terminal.press(f"{points}{keypad.ENTER}")

    async def balance(self, card: Card) -> Visit:
        """How many points the card has."""
        return await self._swipe_after(keypad.BALANCE, card)

    async def activate(self, card: Card) -> Visit:
        """Make the card a member's."""
        return await self._swipe_after(keypad.ACTIVATE, card)

    async def play(
        self,
        script: str,
        card: Card | None = None,
        other: Card | None = None,
        values: Mapping[str, str] = flows.DEFAULTS,
    ) -> Visit:
        """A script of `simulators.flows`, from the idle screen on. `values` stand beside those that DEFAULTS
        has and the card's number. Raises KeyError: a value that is missing."""
        filled = {**flows.DEFAULTS, **({} if card is None else {"card": card.number}), **values}
        steps = [(step, flows.keys_of(step, filled)) for step in flows.SCRIPTS[script]]
        seen = self._begin()
        current = self.terminal.current_screen
        if current is None or current.name != IDLE:
            await self.terminal.screen(IDLE)  # what stands there goes by itself
        for place, (step, keys) in enumerate(steps):
            if place:
                await self.terminal.screen(step.on)
            passed = {flows.CARD: card, flows.OTHER: other}.get(step.do)
            if passed is not None:
                await self.terminal.swipe(passed)
            elif keys:
                await self.terminal.press(keys)
        return await self._end(seen, filled["pin"])

    async def _swipe_after(self, key: str, card: Card) -> Visit:
        seen = self._begin()
        await self.terminal.press(key)
        await self.terminal.screen(SWIPE)
        await self.terminal.swipe(card)
        return await self._end(seen)

    def _begin(self) -> int:
        """Forget what happened between visits; how many receipts there were before this one."""
        self.terminal.forget_events()
        return self.terminal.printer.receipts_printed

    async def _end(self, receipts_seen: int, pin: str | None = None) -> Visit:
        """Follow the visit to the idle screen; results and messages are read and put away with a key.

        Raises TimeoutError when the terminal does not come to its idle screen, however busy it looks.
        """
        finished: list[Transaction] = []
        try:
            async with asyncio.timeout(VISIT_SECONDS):
                while await self._see_next(finished, pin):
                    pass
        except TimeoutError:
            raise TimeoutError(self.terminal.explain(f"not idle within {VISIT_SECONDS:g} s")) from None
        printer = self.terminal.printer
        new = printer.receipts_printed - receipts_seen
        return Visit(tuple(finished), tuple(printer.receipts)[-new:] if new else ())

    async def _see_next(self, finished: list[Transaction], pin: str | None) -> bool:
        """Look at the next event and do what it asks for; False when it is the idle screen."""
        event = await self.terminal.event(timeout_seconds=VISIT_SECONDS)
        if isinstance(event, Transaction):
            finished.append(event)
            if event.flow in FLOWS and event.response_code != PROOF_NEEDED:
                await self.terminal.press(keypad.CANCEL)
            return True
        if event.name == NEW_MOBILE and not event.lines[2]:
            await self.terminal.press(keypad.ENTER)
        if event.name == PIN and not event.lines[2]:
            await self.terminal.press(keypad.CANCEL if pin is None else f"{pin}{keypad.ENTER}")
        if event.name == MESSAGE:
            await self.terminal.press(keypad.CANCEL)
        return event.name != IDLE
