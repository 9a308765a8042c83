"""Two switch processes on one PostgreSQL ledger, killed, frozen and taken over while terminals trade with
either; at the end every receipt is held against the ledger, and nothing may be on its way between members.

The terminals are those of `load_kills`; they also send points from card to card, between members of both
owners, and after each torn line they go on with whichever process answers.

Run: `python -m simulators.campaigns.owners_kills --replies 300000 --seed 1`
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Coroutine, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Final

from simulators.campaigns.books import Books, Outcome, Undone, differences, read_books
from simulators.campaigns.customers import Customers
from simulators.campaigns.load_kills import WISHES, LoadedShop, Summary, Till
from simulators.cards import Card, Deck
from simulators.issuing import issued
from simulators.postgres_server import PostgresServer
from simulators.switch_process import SwitchProcess
from switch.authorizer.identity import parse_rrn, rrn_of
from switch.defaults import create_defaults
from switch.ledger.model import TransferKind
from switch.ledger.postgres_reading import PostgresStore
from switch.ledger.verify import verify
from switch.settings import Terminal, load

HALVES: Final = ("0-127", "128-255")
TERMINALS: Final = 8
OWN_CARDS: Final = 8
SHARED_CARDS: Final = 12  # used at every terminal and by members of both owners
REPLIES_A_HARM: Final = 6_000
LONGEST_AWAY_SECONDS: Final = 0.5
MOST_DELAY_SECONDS: Final = 0.02
PAUSE_SECONDS: Final = 0.2  # a hundred tries last longer than a start
SETTLED_SECONDS: Final = 60.0  # for the last points on their way; milliseconds unless something hangs
MOST_TOLD: Final = 20
FENCED: Final = 1  # exit code of a process that has lost its buckets
# A path that a socket can have.
_SHORT: Final = "vafa-owners-"


class Harm(StrEnum):
    """What is done to one owner, or to both; the values are for people."""

    KILLED = "killed"
    TAKEN_OVER = "frozen and taken over"
    FROZEN = "frozen for a moment"
    BOTH_KILLED = "both killed"
    DATABASE = "database killed"


WEIGHTS: Final = {
    Harm.KILLED: 8,
    Harm.TAKEN_OVER: 3,
    Harm.FROZEN: 3,
    Harm.BOTH_KILLED: 1,
    Harm.DATABASE: 1,
}


class OwnersShop(LoadedShop):
    """Two processes on one ledger. Terminals find a running one by `switch`."""

    def __init__(self, home: Path, server: PostgresServer, url: str, chance: random.Random) -> None:
        self.settings = create_defaults(home)
        with self.settings.source.open("a", encoding="utf-8") as file:
            file.write(f'\n[ledger]\nengine = "postgres"\nurl = "{url}"\n[registry]\ndirectory = "."\n')
        self.settings = load(self.settings.source)
        self.server = server
        self.store = PostgresStore(url)
        self.up = asyncio.Event()
        self.replied = asyncio.Event()
        self.summary = Summary(ledgers=1)
        self._home = home
        self._chance = chance
        self._made = 0
        self.owners = [self._made_for(half) for half in HALVES]

    def _made_for(self, half: str) -> SwitchProcess:
        self._made += 1
        options = ["--config", str(self.settings.source), "--buckets", half]
        return SwitchProcess(self._home / f"{self._made}", options=options)

    @property
    def switch(self) -> SwitchProcess:  # type: ignore[override]
        """Any of those that run."""
        return self._chance.choice([one for one in self.owners if one.is_running] or self.owners)

    async def between_tries(self) -> None:
        """While an owner is away the other one says so at once."""
        await asyncio.sleep(PAUSE_SECONDS)

    async def start(self) -> None:
        await asyncio.gather(*(owner.start() for owner in self.owners))
        self.up.set()

    async def stop(self) -> list[str]:
        """Stop those that run; what went wrong."""
        found = []
        for owner in self.owners:
            if owner.is_running and (code := await owner.stop()):
                found.append(owner.explain(f"ended with code {code}"))
        return found

    async def suffer(self, harm: Harm) -> list[str]:
        """Harm, then make whole. What shouldn't be."""
        self.summary.kills += 1
        number = self._chance.randrange(len(self.owners))
        owner = self.owners[number]
        if harm is Harm.TAKEN_OVER:
            return await self._taken_over(number)
        if harm is Harm.FROZEN:
            os.kill(owner.pid, signal.SIGSTOP)
            await asyncio.sleep(self._chance.uniform(0, LONGEST_AWAY_SECONDS))
            os.kill(owner.pid, signal.SIGCONT)
        elif harm is Harm.DATABASE:
            await asyncio.to_thread(self.server.kill)
            await asyncio.to_thread(self.server.start)
        else:
            killed = [owner] if harm is Harm.KILLED else self.owners
            if len(killed) == len(self.owners):
                self.up.clear()
            await asyncio.gather(*(one.kill() for one in killed))
            await asyncio.sleep(self._chance.uniform(0, LONGEST_AWAY_SECONDS))
            await asyncio.gather(*(one.start() for one in killed))
            self.up.set()
        return []

    async def _taken_over(self, number: int) -> list[str]:
        """Freeze one; another process claims its buckets; thawed it has to end without having written."""
        frozen = self.owners[number]
        os.kill(frozen.pid, signal.SIGSTOP)
        self.owners[number] = self._made_for(HALVES[number])
        await self.owners[number].start()
        os.kill(frozen.pid, signal.SIGCONT)
        code = await frozen.ended()
        return [] if code == FENCED else [frozen.explain(f"was taken over and ended with code {code}")]


class OwnersTill(Till):
    """A terminal whose customers also give points to each other. It doesn't wait long: what was under way at
    an owner that was killed is never answered, and the line to the other one stands."""

    patience_seconds = 3.0

    def __init__(self, shop: OwnersShop, terminal: Terminal, cards: Sequence[Card], seed: str) -> None:
        super().__init__(shop, terminal, cards, seed)
        self._customers = Customers(
            [self._desk],
            cards,
            shop.settings.program.rial_per_earned_point,
            random.Random(seed),
            {**WISHES, "transfer": 8},
        )

    def _unheard(self) -> None:
        if self._line is not None:
            self._tear(self._line)


async def run(
    home: Path,
    server: PostgresServer,
    url: str,
    replies: int,
    harms: Sequence[Harm],
    seed: int,
    terminals: int = TERMINALS,
) -> Summary:
    """Torture two fresh processes until they gave so many replies. url: of an empty place on that server."""
    chance = random.Random(seed)
    shop = OwnersShop(home, server, url, chance)
    summary, settings, deck = shop.summary, shop.settings, Deck(seed)
    shared = await issued(settings, deck.hand(SHARED_CARDS))
    tills = []
    for number, terminal in enumerate(settings.terminals[:terminals]):
        own = await issued(settings, deck.hand(OWN_CARDS))
        tills.append(OwnersTill(shop, terminal, [*own, *shared], f"{seed} {number}"))
    await shop.start()
    begun, stopped, problems = time.monotonic(), asyncio.Event(), []
    trading = [asyncio.create_task(till.trade(stopped)) for till in tills]
    try:
        for moment, harm in zip(sorted(chance.randrange(1, replies) for _ in harms), harms, strict=True):
            await _until(shop.replied_beyond(moment), trading)
            await asyncio.sleep(chance.uniform(0, MOST_DELAY_SECONDS))  # the random moment itself
            problems += await shop.suffer(harm)
        await _until(shop.replied_beyond(replies), trading)
        stopped.set()
        await asyncio.gather(*trading)
        summary.seconds = time.monotonic() - begun
        problems += await _settled(shop)
    finally:
        for task in trading:
            task.cancel()
        await asyncio.gather(*trading, return_exceptions=True)
        problems += await shop.stop()
    summary.approved = sum(len(till.outcomes) for till in tills)
    summary.undone = sum(len(till.undone) for till in tills)
    summary.problems = problems + await asyncio.to_thread(_audit, shop, tills)
    return summary


async def _until(reached: Coroutine[None, None, None], trading: list[asyncio.Task[None]]) -> None:
    """Await something, or the first terminal that fails."""
    waiting = asyncio.create_task(reached)
    done, _ = await asyncio.wait({waiting, *trading}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    for task in done - {waiting}:
        task.result()


async def _settled(shop: OwnersShop) -> list[str]:
    """Wait until the last transfers between the owners are ended."""
    deadline = time.monotonic() + SETTLED_SECONDS
    while any(len(one) == 1 for one in await asyncio.to_thread(_halves, shop)):
        if time.monotonic() > deadline:
            return [f"points are on their way between members for {SETTLED_SECONDS:g} s"]
    return []


def _halves(shop: OwnersShop) -> list[list[TransferKind]]:
    """Of each transfer the halves that are there."""
    found: dict[int, list[TransferKind]] = {}
    for row in read_books(shop.store).rows.values():
        for kind, original in zip(row.kinds, row.reverses, strict=True):
            if kind in (TransferKind.TRANSFER_OUT, TransferKind.TRANSFER_IN):
                found.setdefault(original or row.id, []).append(kind)
    return list(found.values())


def _audit(shop: OwnersShop, tills: Sequence[Till]) -> list[str]:
    """Everything that is wrong between receipts and ledger. The switches must have stopped."""
    found = [problem for till in tills for problem in till.problems]
    outcomes = [outcome for till in tills for outcome in till.outcomes.values()]
    undone = [Undone(till.terminal.id, stan) for till in tills for stan in till.undone]
    books = read_books(shop.store)
    taken_in, wrong = _taken_in(books, outcomes)
    found += wrong + differences(books, [*outcomes, *taken_in], undone)
    report = verify(shop.store, shop.settings.seal_key)
    return found + [str(problem) for problem in report.problems] + list(report.warnings)


def _taken_in(books: Books, outcomes: Sequence[Outcome]) -> tuple[list[Outcome], list[str]]:
    """The receivers' halves of the transfers that have a receipt, which stand for one; and what is wrong."""
    sent = {parse_rrn(one.rrn)[1]: one for one in outcomes if one.flow == "transfer"}
    halves: list[Outcome] = []
    times: Counter[int] = Counter()
    for row in books.rows.values():
        for kind, original in zip(row.kinds, row.reverses, strict=True):
            if kind is TransferKind.TRANSFER_IN:
                times[original] += 1
                if original in sent:
                    if row.points != -books.rows[original].points:
                        times[original] += 1
                    rrn = rrn_of(row.bucket, row.id)
                    halves.append(Outcome(row.terminal, "take_in", row.stan, rrn, None, None))
                row.reverses = []  # it follows the first half, and takes nothing of it back
    wrong = [
        f"transfer {one.rrn} was taken in {times[entry]} times"
        for entry, one in sent.items()
        if times[entry] != 1
    ]
    return halves, wrong + [f"transfer {entry} was taken in {n} times" for entry, n in times.items() if n > 1]


async def campaign(replies: int, seed: int, harms: Sequence[Harm] | None = None) -> Summary:
    """So many replies on a database of its own. harms: as drawn from the seed when none are given."""
    chance = random.Random(f"{seed} harms")
    if harms is None:
        drawn = chance.choices(list(WEIGHTS), list(WEIGHTS.values()), k=replies // REPLIES_A_HARM)
        harms = [*Harm, *drawn[len(Harm) :]]  # each comes once
    server = await asyncio.to_thread(PostgresServer)
    try:
        await asyncio.to_thread(server.start)
        with tempfile.TemporaryDirectory(prefix=_SHORT) as home:
            return await run(Path(home), server, server.url(), replies, harms, seed)
    finally:
        await asyncio.to_thread(server.stop)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; 0 when receipts and ledger agree, else 1."""
    parser = argparse.ArgumentParser(prog="simulators.campaigns.owners_kills", description=__doc__)
    parser.add_argument("--replies", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    total = asyncio.run(campaign(options.replies, options.seed))
    print(total)
    for problem in total.problems[:MOST_TOLD]:
        print(f"  {problem}", file=sys.stderr)
    return 1 if total.problems else 0


if __name__ == "__main__":
    sys.exit(main())
