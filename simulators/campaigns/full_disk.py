"""A disk that is really full, again and again, while terminals trade: the switch refuses, says so, and goes
on by itself when there is room; at the end every receipt is held against the ledger.

The disk is small and of its own: a tmpfs in a mount namespace, for which no rights are needed where users may
have namespaces, or with `--disk ext4` a file with a file system, mounted as a loop, for root.

Run: `python -m simulators.campaigns.full_disk --times 20 --disk ext4 --seed 1`
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from simulators.campaigns.load_kills import MOST_TOLD, LoadedShop, Summary, run
from simulators.process import ROOT

DISK_MIB: Final = 48
REPLIES_A_TIME: Final = 500
KILLS_A_TIME: Final = 0.2
REFUSED_EVENTS: Final = 3
FILLER: Final = "filler"
BLOCK_BYTES: Final = 65_536
# What makes the disk; $0: the place to mount it at.
_MOUNT: Final = {
    "tmpfs": f'mount -t tmpfs -o size={DISK_MIB}m small "$0"',
    "ext4": (
        f'truncate -s {DISK_MIB}M "$0.image" && mkfs.ext4 -q "$0.image"'
        ' && mount -o loop "$0.image" "$0"'
    ),
}
_NAMESPACE: Final = {
    "tmpfs": ("unshare", "--user", "--map-root-user", "--mount"),
    "ext4": ("unshare", "--mount"),
}
_REMEDY: Final = {
    "tmpfs": "allow user namespaces (sysctl kernel.unprivileged_userns_clone=1) or run as root",
    "ext4": "run as root where loop devices are, with e2fsprogs",
}


def fill(directory: Path) -> None:
    """Leave no room on the disk."""
    with (directory / FILLER).open("ab", buffering=0) as filler:
        for size in (BLOCK_BYTES, 1):
            try:
                while True:
                    filler.write(bytes(size))
            except OSError:
                continue


async def _full(shop: LoadedShop) -> None:
    """The disk fills up, the switch notices and says so; then there is room again, and it goes on."""
    await asyncio.to_thread(fill, shop.settings.data.parent)
    for _ in range(REFUSED_EVENTS):
        line = await shop.said("ledger unavailable")
        if "the disk is full; free some space" not in line["error"]:
            shop.summary.problems.append(f"of a full disk the switch says {line['error']!r}")
    (shop.settings.data.parent / FILLER).unlink()
    await shop.replied_beyond(shop.summary.replies + 1)


async def campaign(disk: Path, times: int, seed: int) -> Summary:
    """Fill the disk so many times. It must be one of its own."""
    return await run(
        disk / "data",
        times * REPLIES_A_TIME,
        round(times * KILLS_A_TIME),
        seed,
        mishaps=[_full] * times,
    )


def on_small_disk(kind: str, arguments: Sequence[str]) -> int:
    """This module once more, on a disk of its own; its exit code."""
    with tempfile.TemporaryDirectory(prefix="vafa-full-disk-") as made:
        place = Path(made) / "disk"
        place.mkdir()
        again = [sys.executable, "-m", "simulators.campaigns.full_disk", "--at", str(place), *arguments]
        command = [
            *_NAMESPACE[kind],
            "sh",
            "-c",
            f'{_MOUNT[kind]} || exit {os.EX_UNAVAILABLE}; exec "$@"',
            str(place),
        ]
        code = subprocess.run([*command, *again], cwd=ROOT).returncode
    if code == os.EX_UNAVAILABLE:
        print(f"error: no small disk of {kind} can be made; {_REMEDY[kind]}", file=sys.stderr)
    return code


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; 0 when receipts and ledger agree, else 1; 69 when there is no disk to fill."""
    parser = argparse.ArgumentParser(prog="simulators.campaigns.full_disk", description=__doc__)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--disk", choices=list(_MOUNT), default="tmpfs")
    parser.add_argument("--at", type=Path, help="a small disk that is there already")
    options = parser.parse_args(arguments)
    if options.at is None:
        return on_small_disk(options.disk, ["--times", str(options.times), "--seed", str(options.seed)])
    summary = asyncio.run(campaign(options.at, options.times, options.seed))
    print(f"the disk was full {options.times} times, {summary}", flush=True)
    for problem in summary.problems[:MOST_TOLD]:
        print(f"  {problem}", file=sys.stderr)
    return 1 if summary.problems else 0


if __name__ == "__main__":
    sys.exit(main())
