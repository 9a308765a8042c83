"""A shop under torture: one switch, some terminals that trade without pause, and a record of every receipt.

The campaigns kill parts of it; this module keeps the others going and holds the books against the ledger at
the end.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from simulators.campaigns.books import Outcome, Undone, advices, differences, read_books
from simulators.cards import Card, Deck
from simulators.cashier import Cashier
from simulators.firmware import Interpreter, Options, Place, Terminal, Transaction
from simulators.issuing import issued
from simulators.process import VAFA, Process
from simulators.receipts import UnreadableReceipt, is_report, read_receipt
from simulators.switch_process import SwitchProcess
from switch.settings import load_for

FIRST_TERMINAL: Final = 10_000_001
OWN_CARDS: Final = 2
SHARED_CARDS: Final = 3  # swiped at every terminal, so that their movements interleave
LARGEST_EARN_POINTS: Final = 300
RIAL_PER_POINT: Final = 10_000
LARGEST_REDEEM: Final = 60
# Weights of what a customer wants.
WISHES: Final = {"earn": 6, "redeem": 4, "balance": 1, "activate": 1}
# A campaign has no time for fifteen seconds of silence; the order of things stays the same.
HASTE: Final = {"answer_timeout_ms": 3000, "reversal_interval_ms": 200}
DRAIN_TRIES: Final = 20


@dataclass(slots=True)
class Records:
    """What the terminals printed and said."""

    receipts: int = 0
    outcomes: dict[str, Outcome] = field(default_factory=dict)  # by RRN
    approved_said: set[str] = field(default_factory=set)  # RRNs
    reversed: list[Undone] = field(default_factory=list)
    declined: list[Undone] = field(default_factory=list)
    queued: set[Undone] = field(default_factory=set)  # earns that were recorded while no line was up
    waiting: dict[str, str] = field(default_factory=dict)  # how many of them a terminal has still to send
    problems: list[str] = field(default_factory=list)
    finished: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def watch(self, terminal: Terminal) -> None:
        """Note everything of this terminal from now on."""
        terminal_id = terminal.place.terminal_id
        terminal.on_receipt = self._printed
        terminal.on_transaction = lambda transaction: self._said(terminal_id, transaction)

    def _printed(self, paper: str) -> None:
        if is_report(paper):
            return
        self.receipts += 1
        try:
            receipt = read_receipt(paper)
        except UnreadableReceipt as error:
            self.problems.append(f"{error}: {paper!r}")
            return
        if receipt.is_queued:
            self.queued.add(Undone(receipt.terminal, receipt.stan))
            return
        outcome = Outcome(
            receipt.terminal, receipt.flow, receipt.stan, receipt.rrn, receipt.points, receipt.balance
        )
        if self.outcomes.setdefault(receipt.rrn, outcome) != outcome:
            self.problems.append(
                f"two receipts of {receipt.rrn} differ: {outcome}, {self.outcomes[receipt.rrn]}"
            )

    def _said(self, terminal: str, transaction: Transaction) -> None:
        self.finished += 1
        self.changed.set()
        if transaction.flow == "reversal":
            self.reversed.append(Undone(terminal, transaction.original_stan))
            if not transaction.approved:
                self.problems.append(f"terminal {terminal}: a reversal was refused: {transaction}")
        elif transaction.flow in ("queued", "advice"):
            self.queued.add(Undone(terminal, transaction.stan))
            self.waiting[terminal] = transaction.queued
            if not transaction.approved:
                self.problems.append(f"terminal {terminal}: a queued earn was refused: {transaction}")
        elif transaction.approved:
            self.approved_said.add(transaction.rrn)
        else:
            self.declined.append(Undone(terminal, transaction.stan))

    async def finished_beyond(self, count: int) -> None:
        """Returns as soon as more than `count` transactions have come to their end."""
        while self.finished <= count:
            self.changed.clear()
            await self.changed.wait()


class Shop:
    """Switch and terminals on the data directory, the terminals named from 10000001 on."""

    def __init__(
        self,
        data: Path,
        interpreter: Interpreter,
        terminals: int,
        seed: int,
        on_log: Callable[[str], None] | None = None,
    ) -> None:
        self.data = data
        self.switch = SwitchProcess(data, on_log=on_log)
        self.records = Records()
        self.terminals: list[Terminal] = []
        self._interpreter = interpreter
        self._count = terminals
        self._deck = Deck(seed)
        self.shared: list[Card] = []

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Start everything, stop everything at the end."""
        async with contextlib.AsyncExitStack() as cleanup:
            cleanup.push_async_callback(self._stop_switch)
            await self.switch.start()
            self.shared = await self._issued(SHARED_CARDS)
            for number in range(self._count):
                terminal = self.new_terminal(number, {"port": self.switch.port})
                cleanup.push_async_callback(terminal.stop)
                await terminal.start()
            yield

    def new_terminal(self, number: int, settings: dict[str, object]) -> Terminal:
        """A terminal of this shop, watched, not started."""
        place = Place(self.data, str(FIRST_TERMINAL + number))
        options = Options(settings={**HASTE, **settings}, reader_pace=0)
        terminal = Terminal(place, self._interpreter, options)
        self.records.watch(terminal)
        self.terminals.append(terminal)
        return terminal

    async def _stop_switch(self) -> None:
        if self.switch.is_running:
            await self.switch.stop()

    async def own_cards(self) -> list[Card]:
        """New cards for one terminal."""
        return await self._issued(OWN_CARDS)

    async def _issued(self, count: int) -> list[Card]:
        return await issued(load_for(self.data, None), self._deck.hand(count))

    async def audit(self) -> list[str]:
        """Everything that is wrong between paper and ledger. The switch must have stopped."""
        assert not self.switch.is_running
        records = self.records
        found = [*records.problems, *(fault for terminal in self.terminals for fault in terminal.faults)]
        found += [
            f"transaction {rrn} was approved and has no receipt"
            for rrn in sorted(records.approved_said - records.outcomes.keys())
        ]
        undone = [*records.reversed, *records.declined]
        books = await asyncio.to_thread(read_books, load_for(self.data, None).ledger_place.store())
        later, wrong = advices(
            books, records.queued, {one for one, left in records.waiting.items() if left == "0"}
        )
        found += [*wrong, *differences(books, [*records.outcomes.values(), *later], undone)]
        return found + await verify_ledger(self.data)


class Trader:
    """One cashier and its customers: trades until told to stop. What it does follows from the seed alone."""

    def __init__(self, terminal: Terminal, own: list[Card], shared: list[Card], seed: int) -> None:
        self.terminal = terminal
        self._cashier = Cashier(terminal)
        self._own = own
        self._shared = shared
        self._random = random.Random(seed)
        self._new = Deck(seed)

    async def trade(self, stopped: asyncio.Event) -> None:
        """Visit after visit until `stopped`; the visit under way is finished."""
        await self._cashier.wait_until_idle()
        for card in [*self._own, *self._shared]:
            await self._cashier.activate(card)
        wishes, weights = list(WISHES), list(WISHES.values())
        while not stopped.is_set():
            await self._visit(self._random.choices(wishes, weights)[0])

    async def drain(self) -> None:
        """Returns when nothing is pending at the terminal: a new request passed, and reversals go before
        it."""
        for _ in range(DRAIN_TRIES):
            visit = await self._cashier.balance(self._own[0])
            if visit.of("balance") is not None:
                return
        raise TimeoutError(self.terminal.explain(f"nothing passed in {DRAIN_TRIES} tries"))

    async def _visit(self, wish: str) -> None:
        card = self._random.choice([*self._own, *self._shared])
        match wish:
            case "earn":
                points = self._random.randrange(LARGEST_EARN_POINTS)
                # Not a round sum: the rial beyond the last point bring none.
                await self._cashier.earn(
                    card, points * RIAL_PER_POINT + self._random.randrange(1, RIAL_PER_POINT)
                )
            case "redeem":
                await self._cashier.redeem(card, self._random.randrange(1, LARGEST_REDEEM))
            case "balance":
                await self._cashier.balance(card)
            case _:
                settings = load_for(self.terminal.place.data, None)
                [card] = await issued(settings, [self._new.draw()])
                await self._cashier.activate(card)


async def verify_ledger(data: Path) -> list[str]:
    """What `vafa ledger verify` complains about."""
    process = await Process.start("vafa ledger verify", [*VAFA, "ledger", "verify", "--data", str(data)])
    code = await process.wait()
    return [] if code == 0 else [process.explain(f"ended with code {code}")]


async def finish(traders: list[asyncio.Task[None]]) -> None:
    """Await the traders; the first that failed is raised."""
    for trader in traders:
        await trader
