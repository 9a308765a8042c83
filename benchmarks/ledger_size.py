"""What the size of a ledger costs: each size is built, a real switch is started on it and loaded, and it is
verified.

    python -m benchmarks.ledger_size [--full] [--sizes 10000,1000000] [--seconds 4] [--directory DIR]

Sizes are transfers (default 10 000, 100 000 and 1 000 000; --full also 10 000 000, an hour and 6 GB), with a
tenth as many members. The ledger's file leaves the system's page cache before the switch starts. Cold: every
request is of a member that the switch has not seen; warm: of a thousand that it has. CPU is the switch's own,
on one core. Each ledger is removed before the next is built, but with --keep.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from benchmarks.ledger_building import SEED, build, card_of
from benchmarks.switch_authorizations import (
    EACH_ITS_OWN,
    beginning_with,
    bytes_written,
    many_terminals,
    memory_mib,
    processor_seconds,
    start,
    undisturbed,
)
from simulators.issuing import issued
from simulators.load import Traffic, saturate
from switch.defaults import create_defaults
from switch.server.clock import BUSINESS_ZONE
from switch.settings import Settings

SIZES = (10_000, 100_000, 1_000_000)
FULL = 10_000_000
TRANSFERS_A_MEMBER = 10
WARM_MEMBERS = 1_000
COLD_MEMBERS = 10_000
LINES = 64
IN_FLIGHT = 4


@dataclass(frozen=True, slots=True)
class Cost:
    """What an authorization cost: microseconds of the switch's processor, bytes it had written."""

    per_second: float
    cpu_us: float
    bytes: float


@dataclass(frozen=True, slots=True)
class Served:
    """A switch on one ledger. start_s: from its start until the first answer; start_cpu_s: of its
    processor."""

    start_s: float
    start_cpu_s: float
    cold: Cost
    warm: Cost
    memory_mib: float


@dataclass(frozen=True, slots=True)
class Verified:
    """A verification. cpu_us: of all its processes, for a transfer. memory_mib: of the largest process."""

    transfers: int
    seconds: float
    cpu_us: float
    memory_mib: float

    @property
    def per_second(self) -> float:
        return self.transfers / self.seconds


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", help="transfers of each ledger, with commas between")
    parser.add_argument("--full", action="store_true", help=f"also {FULL:,} transfers")
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--directory", type=Path, help="where ledgers are made (default: a temporary one)")
    parser.add_argument("--keep", action="store_true", help="leave them there, and use those that are there")
    options = parser.parse_args()
    sizes = [int(size) for size in options.sizes.split(",")] if options.sizes else [*SIZES]
    sizes += [FULL] if options.full else []
    measured: list[tuple[Served, Verified]] = []
    with tempfile.TemporaryDirectory(prefix="vafa-size-", dir=options.directory) as temporary:
        parent = options.directory if options.keep and options.directory else Path(temporary)
        for size in sizes:
            directory = parent / f"ledger-{size}"
            measured.append(measure(directory, size, options.seconds))
            if not options.keep:
                shutil.rmtree(directory)
    compare(sizes, measured)


def measure(directory: Path, transfers: int, seconds: float) -> tuple[Served, Verified]:
    """Build, serve and verify one ledger; prints what came of it."""
    members = transfers // TRANSFERS_A_MEMBER
    settings = built(directory, members, transfers)
    served = serve(settings, members, seconds)
    print(
        f"  first answer {served.start_s:.2f} s after the start of the switch, {served.start_cpu_s:.2f} s of"
        " processor time"
    )
    for name, cost in (("cold", served.cold), ("warm", served.warm)):
        print(
            f"  {name}: {cost.per_second:,.0f} authorizations/s, {cost.cpu_us:.0f} us of processor time and"
            f" {cost.bytes:,.0f} bytes written for each"
        )
    print(f"  the switch used {served.memory_mib:,.0f} MiB of memory at most", flush=True)
    checked = verify(directory)
    print(
        f"  verified in {checked.seconds:.1f} s: {checked.per_second:,.0f} transfers/s on"
        f" {os.cpu_count()} cores, {checked.cpu_us:.1f} us of processor time for each,"
        f" {checked.memory_mib:,.0f} MiB in a process at most",
        flush=True,
    )
    return served, checked


def built(directory: Path, members: int, transfers: int) -> Settings:
    """The settings of a ledger of this size, which is made unless it is there."""
    print(f"{transfers:,} transfers, {members:,} members", flush=True)
    if (directory / "ledger.sqlite").exists():
        return beginning_with(create_defaults(directory), EACH_ITS_OWN)
    settings = many_terminals(directory, LINES)
    begun = time.monotonic()

    def tell(so_far: int) -> None:
        if sys.stderr.isatty():
            print(f"  {so_far:,}", end="\r", file=sys.stderr, flush=True)

    made = build(settings, members, transfers, tell)
    size = settings.ledger_path.stat().st_size
    print(
        f"  {made.entries:,} entries made in {time.monotonic() - begun:,.0f} s,"
        f" {size / made.entries:,.0f} bytes each with all that follows from them",
        flush=True,
    )
    return settings


def serve(settings: Settings, members: int, seconds: float) -> Served:
    """Start a switch on the ledger and load it."""
    leave_cache(settings.ledger_path)
    begun = time.monotonic()
    process = start(settings, None)
    try:
        return asyncio.run(load(settings, process.pid, members, seconds, begun))
    finally:
        process.terminate()
        process.wait()


async def load(settings: Settings, process: int, members: int, seconds: float, begun: float) -> Served:
    """The load: one request, members that the switch hasn't seen, then some of them again and again."""
    undisturbed()
    chosen = random.Random(SEED).sample(range(members), min(members, COLD_MEMBERS + 1))
    first, *cold = await issued(settings, [card_of(number) for number in chosen])
    traffic = Traffic(settings, [first], datetime.now(BUSINESS_ZONE))
    await requested(settings, process, traffic.first_earns())
    start_s, start_cpu_s = time.monotonic() - begun, processor_seconds(process)
    traffic.cards = cold
    of_unseen = await requested(settings, process, traffic.first_earns())
    traffic.cards = cold[:WARM_MEMBERS]
    count = int(of_unseen.per_second * seconds)
    of_seen = await requested(settings, process, traffic.earns_and_redeems(count))
    return Served(start_s, start_cpu_s, of_unseen, of_seen, memory_mib(process))


async def requested(settings: Settings, process: int, requests: list[tuple[int, bytes]]) -> Cost:
    """What these requests cost."""
    port = int(settings.port_path.read_text(encoding="ascii"))
    cpu, written = processor_seconds(process), bytes_written(process)
    figures = await saturate(settings.listener.host, port, requests, LINES, IN_FLIGHT)
    cpu, written = processor_seconds(process) - cpu, bytes_written(process) - written
    return Cost(figures.per_second, 1e6 * cpu / figures.requests, written / figures.requests)


def leave_cache(path: Path) -> None:
    """Make the system read this file from the disk again."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


def verify(directory: Path) -> Verified:
    """Verify it as an operator does. Raises SystemExit when anything is wrong."""
    command = [sys.executable, "-m", "tools.cli", "ledger", "verify", "--data", str(directory)]
    begun = time.monotonic()
    with subprocess.Popen([*command, "--format", "json"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        report = json.loads(process.stdout.read())
        _, _, used = os.wait4(process.pid, 0)
        process.returncode = 0
    seconds = time.monotonic() - begun
    if not report["verified"]:
        raise SystemExit(f"the ledger is wrong: {report['problems'][:3]}")
    transfers = int(report["transfers"])
    cpu = used.ru_utime + used.ru_stime
    return Verified(transfers, seconds, 1e6 * cpu / transfers, used.ru_maxrss / 1024)


def compare(sizes: Sequence[int], measured: Sequence[tuple[Served, Verified]]) -> None:
    """Each size beside the first one."""
    (least, _), *_ = measured
    for size, (served, checked) in zip(sizes, measured, strict=True):
        warm, cold = served.warm.cpu_us / least.warm.cpu_us, served.cold.cpu_us / least.cold.cpu_us
        print(
            f"{size:>12,} transfers: processor time of an authorization warm {warm:.2f}x, cold {cold:.2f}x,"
            f" bytes {served.warm.bytes / least.warm.bytes:.2f}x, start {served.start_s:.2f} s,"
            f" verify {checked.per_second:,.0f} transfers/s"
        )


if __name__ == "__main__":
    main()
