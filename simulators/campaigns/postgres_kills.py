"""kill -9 of PostgreSQL and of the switch, connections cut in the middle of commits, while terminals
trade; at the end every receipt is held against the ledger, and the archive too.

Run: `python -m simulators.campaigns.postgres_kills --kills 50 --terminals 10 --seed 1`
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from simulators.campaigns.shop import Shop, Trader, finish
from simulators.campaigns.switch_kills import (
    PATIENCE_SECONDS,
    TRADE_TRANSACTIONS,
    Summary,
    count_up,
    some_trade,
)
from simulators.firmware import Interpreter, prepare_micropython
from simulators.postgres_line import PostgresLine
from simulators.postgres_server import PostgresServer
from switch.defaults import create_defaults
from switch.ledger.archive import read_archive
from switch.ledger.reading import text_of
from switch.settings import load_for

ARCHIVE: Final = "archive"


class Harm(StrEnum):
    """What is done; the values are for people."""

    DATABASE = "database killed"
    CONNECTIONS = "all connections cut"
    COMMIT = "connection cut in a request"
    SWITCH = "switch killed"


WEIGHTS: Final = {Harm.DATABASE: 4, Harm.COMMIT: 4, Harm.CONNECTIONS: 1, Harm.SWITCH: 2}
LONGEST_DOWN_SECONDS: Final = 1.0
# Of a request how much gets through before its connection is cut: nothing, a part, all.
SHARES: Final = (0.0, 0.5, 0.9, 1.0, 1.0)


@dataclass(slots=True)
class _Plant:
    """What can be harmed, and what the seed chooses."""

    shop: Shop
    server: PostgresServer
    line: PostgresLine
    choice: random.Random
    trade: tuple[int, int]

    async def suffer(self, harm: Harm) -> None:
        """Harm, then whatever was killed runs again."""
        assert self.shop.switch.is_running, self.shop.switch.explain("ended by itself")
        if harm is Harm.DATABASE:
            await asyncio.to_thread(self.server.kill)
            self.line.cut()
            await asyncio.sleep(self.choice.uniform(0, LONGEST_DOWN_SECONDS))
            await asyncio.to_thread(self.server.start)
        elif harm is Harm.CONNECTIONS:
            self.line.cut()
        elif harm is Harm.COMMIT:
            self.line.cut_in_next_request(self.choice.choice(SHARES))
        else:
            await self.shop.switch.kill()
            await self.shop.switch.start()


async def run(
    data: Path,
    interpreter: Interpreter,
    kills: int,
    terminals: int,
    seed: int,
    tell: Callable[[str], None] = lambda text: None,
    trade: tuple[int, int] = TRADE_TRANSACTIONS,
) -> Summary:
    """Torture a fresh switch on `data` and a fresh database; `tell` hears of each harm; `trade` as
    TRADE_TRANSACTIONS."""
    choice = random.Random(seed)
    summary = Summary()
    server = await asyncio.to_thread(PostgresServer)
    try:
        await asyncio.to_thread(server.start)
        with tempfile.TemporaryDirectory(prefix="vafa-pg-line-") as directory:  # its path must be short
            line = PostgresLine(server, Path(directory))
            await line.start()
            _name_database(data, line.url(server.url()))
            shop = Shop(data, interpreter, terminals, seed)
            await _trade(_Plant(shop, server, line, choice, trade), kills, seed, summary, tell)
            count_up(summary, shop)
            summary.problems = await shop.audit() + await asyncio.to_thread(_archive_differences, data)
            await line.stop()
    finally:
        await asyncio.to_thread(server.stop)
    return summary


async def _trade(plant: _Plant, kills: int, seed: int, summary: Summary, tell: Callable[[str], None]) -> None:
    shop, choice = plant.shop, plant.choice
    harms, weights = list(WEIGHTS), list(WEIGHTS.values())
    async with shop.open():
        stopped = asyncio.Event()
        traders = [
            Trader(terminal, await shop.own_cards(), shop.shared, seed * 1000 + number)
            for number, terminal in enumerate(shop.terminals)
        ]
        trading = [asyncio.create_task(trader.trade(stopped)) for trader in traders]
        try:
            for number in range(kills):
                await some_trade(shop, choice, trading, plant.trade)
                # Each harm comes, also in a short campaign.
                harm = harms[number] if number < len(harms) else choice.choices(harms, weights)[0]
                await plant.suffer(harm)
                summary.kills += 1
                tell(f"{summary.kills}: {harm}; {shop.records.finished} transactions so far")
            stopped.set()
            async with asyncio.timeout(PATIENCE_SECONDS):
                await finish(trading)
                await finish([asyncio.create_task(trader.drain()) for trader in traders])
        finally:
            for task in trading:
                task.cancel()
            await asyncio.gather(*trading, return_exceptions=True)


def _name_database(data: Path, url: str) -> None:
    """Settings of a fresh switch whose ledger is there, with an archive."""
    settings = create_defaults(data)
    secret = settings.data / "ledger.url"
    secret.touch(mode=0o600)
    secret.write_text(url, encoding="ascii")
    with settings.source.open("a", encoding="utf-8") as file:
        file.write(f'\n[ledger]\nengine = "postgres"\nurl_file = "{secret.name}"\narchive = "{ARCHIVE}"\n')


def _archive_differences(data: Path) -> list[str]:
    """What the archive has not as the ledger has it."""
    settings = load_for(data, None)
    with closing(settings.ledger_place.store().open()) as reading:
        meta = {text_of(name): text_of(value) for name, value, _ in reading.table("meta")}
        stored = list(reading.entries(0, 255))
    archived = [row for record in read_archive(data / ARCHIVE, meta["ledger"]) for row in record.rows]
    if archived == stored:
        return []
    return [f"the archive has {len(archived)} entries that aren't the ledger's {len(stored)}"]


def _tell(text: str) -> None:
    print(text, file=sys.stderr)


def main(arguments: list[str] | None = None) -> int:
    """Command line; 0 when paper, ledger and archive agree, else 1."""
    parser = argparse.ArgumentParser(prog="simulators.campaigns.postgres_kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--terminals", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="vafa-postgres-kills-") as directory:
        interpreter = prepare_micropython()
        summary = asyncio.run(
            run(Path(directory), interpreter, options.kills, options.terminals, options.seed, _tell)
        )
    print(summary)
    for problem in summary.problems:
        print(f"  {problem}", file=sys.stderr)
    return 1 if summary.problems else 0


if __name__ == "__main__":
    sys.exit(main())
