"""kill -9 of the firmware: before its answer was verified, after it, and at random moments.

Before: the terminal takes the request back after its restart and the balance is as it was. After: it prints
the last receipt and the balance stays. Run: `python -m simulators.campaigns.firmware_kills --kills 50
--seed 1`
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from simulators.campaigns.scene import BEFORE_POINTS, Scene, approved, scene
from simulators.campaigns.shop import Trader
from simulators.cashier import Visit
from simulators.faults import Latency
from simulators.firmware import Interpreter, prepare_micropython
from simulators.process import ProcessEnded

EARN_RIAL: Final = 1_000_000
EARN_POINTS: Final = "100"
REDEEMED: Final = 30
PATIENCE_SECONDS: Final = 120.0
# A random kill falls within this time after the terminal has finished something.
MOST_DELAY_SECONDS: Final = 0.4
MOST_TRANSACTIONS: Final = 3
LINE_MS: Final = 30
PRINTER_MS: Final = 30


@dataclass(slots=True)
class Summary:
    """What happened. `problems` is empty when everything was as it must be."""

    kills: int = 0
    reversals_after_restart: int = 0
    reprints_after_restart: int = 0
    approved: int = 0
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.kills} kills of the firmware, {self.approved} approved; after restarts"
            f" {self.reversals_after_restart} reversals and {self.reprints_after_restart} last receipts;"
            f" {len(self.problems)} problems"
        )


async def kill_before_verified(at: Scene, flow: str) -> list[str]:
    """The answer is on its way when the power goes: what is not right afterwards."""
    held = at.line.held_answers
    at.line.hold_answers()
    if flow == "earn":
        await at.cashier.begin_earn(at.card, EARN_RIAL)
    else:
        await at.cashier.begin_redeem(at.card, REDEEMED)
    await at.line.answer_held_after(held)
    receipts = at.terminal.printer.receipts_printed
    await at.terminal.kill()
    at.line.release_answers()
    await at.terminal.restart()
    reversal = await at.terminal.transaction()
    await at.cashier.wait_until_idle()
    found = []
    if reversal.flow != "reversal" or not reversal.approved:
        found.append(f"{flow}: after the restart came {reversal}, expected an approved reversal")
    if at.terminal.printer.receipts_printed != receipts:
        found.append(f"{flow}: a receipt was printed for a transaction that was taken back")
    return found + await _balance_is(at, flow, BEFORE_POINTS)


async def kill_after_verified(at: Scene) -> list[str]:
    """The answer is verified and kept, the receipt not out yet when the power goes: what is not right
    afterwards."""
    printer = at.terminal.printer
    asked = printer.status_requests
    printer.silent = True
    await at.cashier.begin_earn(at.card, EARN_RIAL)
    await printer.status_request_after(asked)
    await at.terminal.kill()
    printer.silent = False
    receipts = printer.receipts_printed
    await at.terminal.restart()
    last = await at.terminal.transaction()
    await at.cashier.wait_until_idle()
    found = []
    if last.flow != "last" or not last.approved or last.points != EARN_POINTS:
        found.append(f"after the restart came {last}, expected the approved earn as the last transaction")
    if not any(
        last.rrn in receipt for receipt in list(printer.receipts)[receipts - printer.receipts_printed :]
    ):
        found.append("the last receipt was not printed after the restart")
    return found + await _balance_is(at, "earn", str(int(BEFORE_POINTS) + int(EARN_POINTS)))


async def kill_after_presented(at: Scene) -> list[str]:
    """The receipt is out when the power goes: nothing is pending afterwards."""
    visit = await at.cashier.earn(at.card, EARN_RIAL)
    approved(visit, "earn")
    receipts = at.terminal.printer.receipts_printed
    await at.terminal.kill()
    await at.terminal.restart()
    finished = await at.cashier.wait_until_idle()
    found = [
        f"after the restart came {transaction}, expected nothing" for transaction in finished.transactions
    ]
    if at.terminal.printer.receipts_printed != receipts:
        found.append("a receipt was printed again after it was out")
    return found + await _balance_is(at, "earn", str(int(BEFORE_POINTS) + int(EARN_POINTS)))


async def _balance_is(at: Scene, flow: str, expected: str) -> list[str]:
    balance = await at.balance()
    return (
        [] if balance == expected else [f"{flow}: balance {balance} after the restart, expected {expected}"]
    )


async def random_kills(at: Scene, kills: int, seed: int, summary: Summary) -> None:
    """Kill the trading terminal at random moments, `kills` times."""
    choice = random.Random(seed)
    records = at.shop.records
    # A line and a printer that take their time, so that kills fall between request, answer and paper.
    at.line.add(Latency(latency=LINE_MS, jitter=LINE_MS))
    at.terminal.printer.slow_ms = PRINTER_MS
    for number in range(kills):
        trader = Trader(at.terminal, [at.card], at.shop.shared, seed * 1000 + number)
        trading = asyncio.create_task(trader.trade(asyncio.Event()))
        enough = asyncio.create_task(
            records.finished_beyond(records.finished + choice.randrange(MOST_TRANSACTIONS))
        )
        done, _ = await asyncio.wait(
            {enough, trading}, timeout=PATIENCE_SECONDS, return_when=asyncio.FIRST_COMPLETED
        )
        enough.cancel()
        if trading in done:
            trading.result()
        if not done:
            raise TimeoutError(at.terminal.explain(f"no transaction within {PATIENCE_SECONDS:g} s"))
        await asyncio.sleep(choice.uniform(0, MOST_DELAY_SECONDS))  # the random moment; nothing waits for it
        await at.terminal.kill()
        summary.kills += 1
        with contextlib.suppress(ProcessEnded):  # the cashier saw the terminal die
            await trading
        await at.terminal.restart()
        after = await at.cashier.wait_until_idle()
        _count_restart(after, summary)


def _count_restart(after: Visit, summary: Summary) -> None:
    for transaction in after.transactions:
        if transaction.flow == "reversal":
            summary.reversals_after_restart += 1
        elif transaction.flow == "last":
            summary.reprints_after_restart += 1


async def run(data: Path, interpreter: Interpreter, kills: int, seed: int) -> Summary:
    """Random kills on a fresh data directory, then the books."""
    summary = Summary()
    async with scene(data, interpreter, seed) as set_up:
        await random_kills(set_up, kills, seed, summary)
        await set_up.balance()  # nothing pending: a new request has passed
        shop = set_up.shop
    summary.approved = len(shop.records.outcomes)
    summary.problems = await shop.audit()
    return summary


def main(arguments: list[str] | None = None) -> int:
    """Command line; 0 when everything was as it must be, else 1."""
    parser = argparse.ArgumentParser(prog="simulators.campaigns.firmware_kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="vafa-firmware-kills-") as directory:
        interpreter = prepare_micropython()
        summary = asyncio.run(run(Path(directory), interpreter, options.kills, options.seed))
    print(summary)
    for problem in summary.problems:
        print(f"  {problem}", file=sys.stderr)
    return 1 if summary.problems else 0


if __name__ == "__main__":
    sys.exit(main())
