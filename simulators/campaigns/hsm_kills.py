"""kill -9 of the simulated HSM at random moments while terminals trade; at the end every receipt is held
against the ledger.

Run: `python -m simulators.campaigns.hsm_kills --kills 20 --terminals 4 --seed 1`
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
from pathlib import Path
from typing import Final

from simulators.campaigns.shop import Shop, Trader, finish
from simulators.campaigns.switch_kills import Summary
from simulators.cards import Card
from simulators.cashier import Cashier
from simulators.firmware import Interpreter, Terminal, prepare_micropython
from tools import demo_hsm

TRADE_TRANSACTIONS: Final = (2, 8)  # per terminal, between two kills
MOST_DELAY_SECONDS: Final = 0.1
LARGEST_EARN_RIAL: Final = 2_000_000
LARGEST_REDEEM_POINTS: Final = 60
PATIENCE_SECONDS: Final = 240.0


async def run(data: Path, interpreter: Interpreter, kills: int, terminals: int, seed: int) -> Summary:
    """Torture a fresh switch and its HSM on `data`."""
    choice = random.Random(seed)
    summary = Summary()
    async with demo_hsm.running(data) as box:
        shop = Shop(data, interpreter, terminals, seed)
        async with shop.open(), asyncio.timeout(PATIENCE_SECONDS * (1 + kills)):
            stopped = asyncio.Event()
            hands = [await shop.own_cards() for _ in shop.terminals]
            trading = [
                asyncio.create_task(_trade(terminal, cards, random.Random(f"{seed} {number}"), stopped))
                for number, (terminal, cards) in enumerate(zip(shop.terminals, hands, strict=True))
            ]
            try:
                for _ in range(kills):
                    await _some_trade(shop, choice, trading)
                    await box.kill()
                    summary.kills += 1
                    await box.start()
                await _some_trade(shop, choice, trading)
                stopped.set()
                await finish(trading)
                for terminal, cards in zip(shop.terminals, hands, strict=True):
                    await Trader(terminal, cards, [], seed).drain()
            finally:
                for task in trading:
                    task.cancel()
                await asyncio.gather(*trading, return_exceptions=True)
        summary.finished = shop.records.finished
        summary.approved = len(shop.records.outcomes)
        summary.receipts = shop.records.receipts
        summary.reversed = len(shop.records.reversed)
        summary.declined = len(shop.records.declined)
        summary.problems = await shop.audit()
    return summary


async def _trade(
    terminal: Terminal, cards: list[Card], choice: random.Random, stopped: asyncio.Event
) -> None:
    cashier = Cashier(terminal)
    await cashier.wait_until_idle()
    for card in cards:
        await cashier.activate(card)
    while not stopped.is_set():
        card = choice.choice(cards)
        wish = choice.choice(("earn", "earn", "redeem", "balance"))
        if wish == "earn":
            await cashier.earn(card, choice.randrange(1, LARGEST_EARN_RIAL))
        elif wish == "redeem":
            await cashier.redeem(card, choice.randrange(1, LARGEST_REDEEM_POINTS))
        else:
            await cashier.balance(card)


async def _some_trade(shop: Shop, choice: random.Random, trading: list[asyncio.Task[None]]) -> None:
    """Until some transactions have come to their end, and a random moment more; a trader that failed is
    raised."""
    wanted = shop.records.finished + choice.randrange(*TRADE_TRANSACTIONS) * len(shop.terminals)
    enough = asyncio.create_task(shop.records.finished_beyond(wanted))
    done, _ = await asyncio.wait({enough, *trading}, return_when=asyncio.FIRST_COMPLETED)
    enough.cancel()
    for task in done - {enough}:
        task.result()
    await asyncio.sleep(choice.uniform(0, MOST_DELAY_SECONDS))  # the random moment, nothing waits for it


def main(arguments: list[str] | None = None) -> int:
    """Command line; 0 when paper and ledger agree, else 1."""
    parser = argparse.ArgumentParser(prog="simulators.campaigns.hsm_kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--terminals", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="vafa-hsm-kills-") as directory:
        interpreter = prepare_micropython()
        summary = asyncio.run(
            run(Path(directory), interpreter, options.kills, options.terminals, options.seed)
        )
    print(summary)
    for problem in summary.problems:
        print(f"  {problem}", file=sys.stderr)
    return 1 if summary.problems else 0


if __name__ == "__main__":
    sys.exit(main())
