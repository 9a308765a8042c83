"""The switch's clock leaps while terminals trade: days back, days ahead, ten times as fast. At the end every
receipt is held against the ledger; no day was opened again, none came that nobody lived, and nothing ran out
or ended early.

Made by libfaketime, between the real switch and the system; the monotonic clock goes on as it does.

Run: `python -m simulators.campaigns.clock_jumps --jumps 60 --seed 1`
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

from simulators.campaigns.load_kills import MOST_TOLD, LoadedShop, Mishap, Summary, run
from switch.defaults import create_defaults
from switch.ledger.sqlite import open_connection
from switch.server.business_day import LEAP_DAYS
from switch.server.clock import BUSINESS_ZONE
from switch.settings import load_for

LIBRARY: Final = "*/faketime/libfaketimeMT.so.1"
REPLIES_A_JUMP: Final = 250
REPLIES_MEANWHILE: Final = 80
KILLS_A_JUMP: Final = 0.1
NOT_BELIEVED: Final = "clock not believed, every request is refused with 91"
RIGHT: Final = "+0 x1"
# Points live longer than the clock may be wrong without being asked about, and shorter than what is refused.
EXPIRY_DAYS: Final = LEAP_DAYS + 2
NEVER_EARLY: Final = ("due",)  # operations that time alone makes


class Jump(NamedTuple):
    """What the clock is told, as libfaketime has it; believed: the switch goes on trading."""

    told: str
    believed: bool = True


# Ahead only once that far: all leaps of a process count together.
JUMPS: Final = (
    Jump("-10d"),
    Jump("+10d", believed=False),
    Jump("+0 x10"),
    Jump("+2h"),
    Jump("-400d"),
    Jump(f"+{LEAP_DAYS}d"),
    Jump("-1h"),
    Jump("+400d", believed=False),
)


class MissingTool(Exception):
    """What has to be installed."""


def environment(told: Path) -> dict[str, str]:
    """What makes a process read its clock's error from a file. Raises MissingTool."""
    libraries = sorted(Path("/usr/lib").glob(LIBRARY))
    if not libraries:
        raise MissingTool("no libfaketimeMT.so.1; on Debian: apt-get install libfaketime")
    return {
        "LD_PRELOAD": str(libraries[0]),
        "FAKETIME_TIMESTAMP_FILE": str(told),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


def mishap(told: Path, jump: Jump) -> Mishap:
    """The clock leaps, some trade, and it is right again."""

    def tell(error: str) -> None:
        told.write_text(f"{error}\n", encoding="ascii")

    async def happen(shop: LoadedShop) -> None:
        tell(jump.told)
        if jump.believed:
            await shop.replied_beyond(shop.summary.replies + REPLIES_MEANWHILE)
        else:
            await shop.said(NOT_BELIEVED)
        tell(RIGHT)
        await shop.replied_beyond(shop.summary.replies + 1)

    return happen


async def campaign(data: Path, jumps: int, seed: int) -> Summary:
    """So many leaps, each kind as often. Raises MissingTool."""
    settings = create_defaults(data)
    text = settings.source.read_text(encoding="utf-8")
    rules = f'[program]\nexpiry = "rolling"\nexpiry_days = {EXPIRY_DAYS}\n'
    settings.source.write_text(text.replace("[program]\n", rules, 1), encoding="utf-8")
    told = data / "clock"
    told.write_text(f"{RIGHT}\n", encoding="ascii")
    begun = datetime.now(BUSINESS_ZONE).date()
    summary = await run(
        data,
        jumps * REPLIES_A_JUMP,
        round(jumps * KILLS_A_JUMP),
        seed,
        mishaps=[mishap(told, JUMPS[number % len(JUMPS)]) for number in range(jumps)],
        environment=environment(told),
    )
    summary.problems += days_problems(load_for(data, None).ledger_path, begun)
    return summary


def days_problems(ledger: Path, begun: date) -> list[str]:
    """What is wrong with the days that entries were booked on. begun: the day on which trade began."""
    connection = open_connection(ledger, read_only=True)
    rows = [
        (str(day), str(operation))
        for day, operation in connection.execute(
            "SELECT business_date, operation FROM entry ORDER BY id"
        )
    ]
    connection.close()
    found = [f"after {one} came {other}" for (one, _), (other, _) in pairwise(rows) if other < one]
    latest = datetime.now(BUSINESS_ZONE).date() + timedelta(days=LEAP_DAYS)
    found += [
        f"something was booked on {day}, which nobody lived"
        for day in sorted({day for day, _ in rows})
        if not begun.isoformat() <= day <= latest.isoformat()
    ]
    early = [operation for _, operation in rows if operation in NEVER_EARLY]
    return found + ([f"{len(early)} times something ran out or ended early"] if early else [])


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; 0 when receipts and ledger agree, else 1."""
    parser = argparse.ArgumentParser(prog="simulators.campaigns.clock_jumps", description=__doc__)
    parser.add_argument("--jumps", type=int, default=16)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="vafa-clock-jumps-") as directory:
        try:
            summary = asyncio.run(campaign(Path(directory), options.jumps, options.seed))
        except MissingTool as error:
            print(f"error: {error}", file=sys.stderr)
            return os.EX_UNAVAILABLE
    print(f"{options.jumps} leaps of the clock, {summary}")
    for problem in summary.problems[:MOST_TOLD]:
        print(f"  {problem}", file=sys.stderr)
    return 1 if summary.problems else 0


if __name__ == "__main__":
    sys.exit(main())
