"""A disk that fails under the switch: writes and syncs of its process come back with EIO or ENOSPC, while
terminals trade; at the end every receipt is held against the ledger.

Errors are made by libfiu, between the real switch and the system. A failed sync stops the switch, see
`NotSynced`; it is started again, as its supervisor would. After failed writes it goes on by itself.

Run: `python -m simulators.campaigns.disk_errors --errors 60 --seed 1`
"""

from __future__ import annotations

import argparse
import asyncio
import errno
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from simulators.campaigns.load_kills import MOST_TOLD, LoadedShop, Mishap, Summary, run

PRELOADED: Final = ("fiu_run_preload.so", "fiu_posix_preload.so")
PRELOAD_DIRECTORY: Final = Path("/usr/lib/fiu")
REPLIES_AN_ERROR: Final = 300
KILLS_AN_ERROR: Final = 0.2
# A failed write is noticed by the next batch; some more find the disk as bad.
REFUSED_EVENTS: Final = 4
STOPPED_CODE: Final = 1


class DiskError(NamedTuple):
    """What fails, as libfiu names it, and the error; stops: the switch does."""

    point: str
    number: int
    stops: bool

    def __str__(self) -> str:
        return f"{errno.errorcode[self.number]} of {self.point.rpartition('/')[2]}"


ERRORS: Final = (
    DiskError("posix/io/rw/pwrite", errno.EIO, stops=False),
    DiskError("posix/io/rw/pwrite", errno.ENOSPC, stops=False),
    DiskError("posix/io/sync/fdatasync", errno.EIO, stops=True),
    DiskError("posix/io/sync/fdatasync", errno.ENOSPC, stops=True),
)


class MissingTool(Exception):
    """What has to be installed."""


def environment(directory: Path) -> dict[str, str]:
    """What makes a process obey `order`. Raises MissingTool."""
    libraries = [PRELOAD_DIRECTORY / name for name in PRELOADED]
    if missing := [str(library) for library in libraries if not library.exists()]:
        raise MissingTool(f"no {missing[0]}; on Debian: apt-get install fiu-utils")
    return {"LD_PRELOAD": " ".join(map(str, libraries)), "FIU_CTRL_FIFO": str(directory / "fiu")}


def order(directory: Path, process: int, command: str) -> None:
    """Tell libfiu in a process what to do. Waits until it did."""
    pipe = str(directory / f"fiu-{process}")
    with open(f"{pipe}.in", "w", encoding="ascii") as orders:
        orders.write(f"{command}\n")
    with open(f"{pipe}.out", encoding="ascii") as answers:
        answer = answers.readline().strip()
    assert answer == "0", f"libfiu answered {answer!r} to {command!r}"


def mishap(directory: Path, error: DiskError) -> Mishap:
    """The disk fails until the switch has noticed, and then a little longer."""

    async def happen(shop: LoadedShop) -> None:
        process = shop.switch.pid
        enable = f"enable name={error.point},failinfo={error.number}"
        await asyncio.to_thread(order, directory, process, enable)
        if error.stops:
            code = await shop.started_again()
            if code != STOPPED_CODE:
                shop.summary.problems.append(f"after {error} the switch ended with {code}")
            return
        for _ in range(REFUSED_EVENTS):
            await shop.said("ledger unavailable")
        await asyncio.to_thread(order, directory, process, f"disable name={error.point}")
        await shop.replied_beyond(shop.summary.replies + 1)

    return happen


async def campaign(data: Path, errors: int, seed: int) -> Summary:
    """So many errors, each kind as often. Raises MissingTool."""
    with tempfile.TemporaryDirectory(prefix="vafa-fiu-") as pipes:
        directory = Path(pipes)
        mishaps = [mishap(directory, ERRORS[number % len(ERRORS)]) for number in range(errors)]
        return await run(
            data,
            errors * REPLIES_AN_ERROR,
            round(errors * KILLS_AN_ERROR),
            seed,
            mishaps=mishaps,
            environment=environment(directory),
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; 0 when receipts and ledger agree, else 1."""
    parser = argparse.ArgumentParser(prog="simulators.campaigns.disk_errors", description=__doc__)
    parser.add_argument("--errors", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="vafa-disk-errors-") as directory:
        try:
            summary = asyncio.run(campaign(Path(directory), options.errors, options.seed))
        except MissingTool as error:
            print(f"error: {error}", file=sys.stderr)
            return os.EX_UNAVAILABLE
    print(f"{options.errors} errors of the disk, {summary}")
    for problem in summary.problems[:MOST_TOLD]:
        print(f"  {problem}", file=sys.stderr)
    return 1 if summary.problems else 0


if __name__ == "__main__":
    sys.exit(main())
