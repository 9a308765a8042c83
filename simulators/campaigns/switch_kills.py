"""kill -9 of the switch at random moments while terminals trade; at the end every receipt is held against
the ledger.

Run: `python -m simulators.campaigns.switch_kills --kills 50 --terminals 10 --seed 1`
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from simulators.campaigns.shop import Shop, Trader, finish
from simulators.firmware import Interpreter, prepare_micropython

# Between two kills so many transactions come to their end, then so much time passes: the kill falls
# anywhere in the life of the requests that are under way then. Some kills come early, while terminals still
# sign on and take back what the last kill left open; most come in full trade.
EARLY_SHARE: Final = 0.3
EARLY_TRANSACTIONS: Final = 6
TRADE_TRANSACTIONS: Final = (10, 40)  # per terminal
MOST_DELAY_SECONDS: Final = 0.1
PATIENCE_SECONDS: Final = 120.0


@dataclass(slots=True)
class Summary:
    """What happened. `problems` is empty when paper and ledger agree."""

    kills: int = 0
    finished: int = 0
    approved: int = 0
    reversed: int = 0
    declined: int = 0
    receipts: int = 0
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.kills} kills, {self.finished} transactions: {self.approved} approved"
            f" ({self.receipts} receipts printed), {self.reversed} reversed, {self.declined} declined;"
            f" {self._verdict()}"
        )

    def _verdict(self) -> str:
        return "lost 0, twice 0, ledger verified" if not self.problems else f"{len(self.problems)} PROBLEMS"


async def run(
    data: Path,
    interpreter: Interpreter,
    kills: int,
    terminals: int,
    seed: int,
    tell: Callable[[str], None] = lambda text: None,
    trade: tuple[int, int] = TRADE_TRANSACTIONS,
) -> Summary:
    """Torture a fresh switch on `data`; `tell` hears of each kill; `trade` as TRADE_TRANSACTIONS."""
    choice = random.Random(seed)
    shop = Shop(data, interpreter, terminals, seed)
    summary = Summary()
    async with shop.open():
        stopped = asyncio.Event()
        traders = [
            Trader(terminal, await shop.own_cards(), shop.shared, seed * 1000 + number)
            for number, terminal in enumerate(shop.terminals)
        ]
        trading = [asyncio.create_task(trader.trade(stopped)) for trader in traders]
        try:
            for _ in range(kills):
                await some_trade(shop, choice, trading, trade)
                await shop.switch.kill()
                summary.kills += 1
                tell(f"kill {summary.kills}: {shop.records.finished} transactions so far")
                await shop.switch.start()
            stopped.set()
            async with asyncio.timeout(PATIENCE_SECONDS):
                await finish(trading)
                await finish([asyncio.create_task(trader.drain()) for trader in traders])
        finally:
            for task in trading:
                task.cancel()
            await asyncio.gather(*trading, return_exceptions=True)
    count_up(summary, shop)
    summary.problems = await shop.audit()
    return summary


async def some_trade(
    shop: Shop,
    choice: random.Random,
    trading: list[asyncio.Task[None]],
    trade: tuple[int, int] = TRADE_TRANSACTIONS,
) -> None:
    """Wait for a random number of transactions and a random moment more; a trader that failed is raised."""
    if choice.random() < EARLY_SHARE:
        count = choice.randrange(EARLY_TRANSACTIONS)
    else:
        count = choice.randrange(*trade) * len(shop.terminals)
    wanted = shop.records.finished + count
    enough = asyncio.create_task(shop.records.finished_beyond(wanted))
    done, _ = await asyncio.wait(
        {enough, *trading}, timeout=PATIENCE_SECONDS, return_when=asyncio.FIRST_COMPLETED
    )
    enough.cancel()
    for task in done - {enough}:
        task.result()
    if not done:
        states = "\n".join(terminal.explain("trades no more") for terminal in shop.terminals)
        raise TimeoutError(
            f"no transaction within {PATIENCE_SECONDS:g} s\n{shop.switch.explain('stands')}\n{states}"
        )
    await asyncio.sleep(
        choice.uniform(0, MOST_DELAY_SECONDS)
    )  # the random moment itself, nothing waits for it


def count_up(summary: Summary, shop: Shop) -> None:
    """What the terminals did in all."""
    records = shop.records
    summary.finished = records.finished
    summary.approved = len(records.outcomes)
    summary.receipts = records.receipts
    summary.reversed = len(records.reversed)
    summary.declined = len(records.declined)


def _tell(text: str) -> None:
    print(text, file=sys.stderr)


def main(arguments: list[str] | None = None) -> int:
    """Command line; 0 when paper and ledger agree, else 1."""
    parser = argparse.ArgumentParser(prog="simulators.campaigns.switch_kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--terminals", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="vafa-switch-kills-") as directory:
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
