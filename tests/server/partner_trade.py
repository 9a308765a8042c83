"""Customers of a bank who trade while somebody harms the switches; in the end every receipt is held against
the ledger, as for terminals.

`python -m tests.server.partner_trade SEED HARMS` plays a longer one on two owners of its own.
"""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from simulators.campaigns.books import Outcome, Undone, differences, read_books
from simulators.partner import TERMINAL, Bank, NotGenuine
from switch.iso8583 import Message
from switch.ledger.postgres_reading import PostgresStore
from switch.ledger.verify import verify
from switch.link.errors import LinkDown, LinkError
from switch.link.stream import Client
from tests.server.partner_kit import BANK, UP_S

RATIO, RATE = 100, 10_000  # rial: a redeemed point pays, an earned one costs
ANSWER_S = 5.0  # then it is asked again; the trade doesn't judge how long an answer takes
TRANSIENT = ("91", "96")
MOST_POINTS = 9


class Sold(NamedTuple):
    """A transaction that stands."""

    message: Message
    outcome: Outcome
    points: int


class Progress:
    """How much was traded."""

    def __init__(self) -> None:
        self.total = 0
        self._grown = asyncio.Event()

    def grow(self) -> None:
        self.total += 1
        self._grown.set()

    async def beyond(self, total: int) -> None:
        while self.total < total:
            self._grown.clear()
            await self._grown.wait()


class Customer:
    """One card, one request after the other; what has no answer is asked for again until it has one."""

    def __init__(
        self, bank: Bank, link: Client, progress: Progress, card: str, track: str, chance: random.Random
    ) -> None:
        self._progress = progress
        self.card = card
        self.points = 0
        self.sold: list[Sold] = []
        self.undone: list[Undone] = []
        self._bank = bank
        self._link = link
        self._track = track
        self._chance = chance

    async def trade(self, stopped: asyncio.Event) -> None:
        while not stopped.is_set():
            await self._chance.choice((self._earn, self._earn, self._spend, self._take_back))()

    async def _earn(self) -> None:
        points = self._chance.randint(1, MOST_POINTS)
        await self._sell(self._bank.earn(self.card, points * RATE), "earn", points)

    async def _spend(self) -> None:
        points = self._chance.randint(1, MOST_POINTS)
        message = self._bank.redemption(None, points * RATIO, self._track)
        if points <= self.points:
            await self._sell(message, "redeem", -points)
        else:
            assert (await self._asked(message))["39"] == "51"

    async def _sell(self, message: Message, flow: str, points: int) -> None:
        answer = await self._asked(message)
        assert answer["39"] == "00", answer["39"]
        self.points += points
        name = f"{BANK}/{TERMINAL}"
        outcome = Outcome(name, flow, message.text("11"), answer.text("63"), abs(points), self.points)
        self.sold.append(Sold(message, outcome, points))

    async def _take_back(self) -> None:
        """The newest, so that no debt comes of it."""
        if self.sold:
            last = self.sold.pop()
            answer = await self._asked(self._bank.reversal_of(last.message))
            assert answer["39"] == "00", answer["39"]
            self.points -= last.points
            self.undone.append(Undone(last.outcome.terminal, last.outcome.stan))

    async def _asked(self, message: Message) -> Message:
        while True:
            with suppress(LinkError, NotGenuine):
                answer = await self._bank.ask(self._link, message, ANSWER_S)
                if answer["39"] not in TRANSIENT:
                    self._progress.grow()
                    return answer
            if self._chance.random() < 0.5:
                message = self._bank.again(message)
            with suppress(LinkDown):
                await self._link.up(UP_S)
            await asyncio.sleep(0.05)  # nobody to ask for a moment


async def trade(
    bank: Bank,
    link: Client,
    tracks: dict[str, str],
    harms: Sequence[Callable[[], Awaitable[None]]],
    chance: random.Random,
) -> list[Customer]:
    """Trade with these cards (and their track 2) until all harm is done, each after a while, and every
    customer has something sold and something undone."""
    progress = Progress()
    customers = [
        Customer(bank, link, progress, card, track, random.Random(chance.random()))
        for card, track in tracks.items()
    ]
    stopped = asyncio.Event()
    trading = [asyncio.create_task(one.trade(stopped)) for one in customers]

    async def harm() -> None:
        for one in harms:
            await progress.beyond(progress.total + chance.randrange(5, 40))
            await one()
        await progress.beyond(progress.total + 20)
        # Each has still something to show when what is under way takes one more back.
        while not all(len(one.sold) > 1 and one.undone for one in customers):
            await progress.beyond(progress.total + 1)
        stopped.set()

    harming = asyncio.create_task(harm())
    try:
        await asyncio.wait([harming, *trading], return_when=asyncio.FIRST_COMPLETED)
        await asyncio.gather(harming, *trading)
    finally:
        for task in (harming, *trading):
            task.cancel()
    return customers


def differing(url: str, seal_key: bytes, customers: Sequence[Customer]) -> list[str]:
    """What is wrong between receipts of these customers and the ledger. No switch may be writing."""
    store = PostgresStore(url)
    books = read_books(store)
    sold = [one.outcome for customer in customers for one in customer.sold]
    undone = [one for customer in customers for one in customer.undone]
    stans = {one.stan for one in (*sold, *undone)}
    members = {
        row.member
        for row in books.rows.values()
        if row.stan in stans and row.terminal == f"{BANK}/{TERMINAL}"
    }
    theirs = {
        number: row
        for number, row in books.rows.items()
        if row.member in members and row.terminal.startswith(f"{BANK}/")
    }
    balances = {member: points for member, points in books.balances.items() if member in members}
    found = differences(books._replace(rows=theirs, balances=balances), sold, undone)
    report = verify(store, seal_key)
    return found + [str(problem) for problem in report.problems] + list(report.warnings)


def main(seed: int, harms: int) -> int:
    from tests.server.test_owners_partners import Town, harms_of  # it plays a short one itself

    chance = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="vafa-trade-") as name:
        town = Town(Path(name), f"partner_trade_{seed}")
        customers: list[Customer] = []
        try:
            for number in range(harms):
                drawn = chance.randrange(len(harms_of(town)))
                customers += town.traded([harms_of(town)[drawn]], chance)
                print(f"{number + 1} of {harms}: kind {drawn}", flush=True)
        finally:
            for owner in (town.low, town.high):
                owner.stop()
        problems = differing(town.sharing.url, town.sharing.settings.seal_key, customers)
    total = sum(len(one.sold) + len(one.undone) for one in customers)
    print(f"seed {seed}: {harms} harms, {total} transactions, {len(problems)} problems")
    for problem in problems[:20]:
        print(f"  {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
