"""How many sealed entries a second the SQLite ledger commits durably, without network, messages or decisions.

Each entry is an earn: a lot, two postings of points and two of rial, one member and one acceptor of many.
Run: python -m benchmarks.ledger_sqlite [--seconds 5] [--batch 64] [--members 100000] [--acceptors 200]
"""

from __future__ import annotations

import argparse
import gc
import itertools
import random
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path

from switch.authorizer import movements
from switch.ledger import BUCKETS, Engine, Entry, Member, MemberAdded, Side, State, Transfer, Unit
from switch.ledger.sqlite import SqliteEngine
from switch.loyalty.program import Rules

SEAL_KEY = bytes(32)
ANSWER = bytes(80)  # about the size of an earn answer
TERMINALS = 5_000
BUSINESS_DATE = "2026-10-10"
DAY = date.fromisoformat(BUSINESS_DATE).toordinal()
NOW_MS = 1_791_600_000_000
RULES = Rules()


def make_entries(state: State, members: list[Member], first: int, acceptors: int) -> Iterator[Entry]:
    """Earns of members chosen at random, each following what `state` knows of its member."""
    chooser = random.Random(first)
    for number in itertools.count(first + 1):
        member = state.member(chooser.choice(members).id)
        acceptor = f"{chooser.randrange(acceptors):015d}"
        points = chooser.randrange(1, 1000)
        now_ms = NOW_MS + number // 20
        entry_id = state.next_entry_id(now_ms)
        wallet = member.wallet("vafa", Unit.POINTS)
        earned = movements.earn(member, wallet, entry_id, points, RULES, acceptor, DAY)
        yield entry_of_request(entry_id, number, now_ms, member.id, acceptor, member.last_entry, (earned,))


def entry_of_request(
    entry_id: int,
    number: int,
    now_ms: int,
    member: int,
    acceptor: str,
    previous: int,
    transfers: tuple[Transfer, ...] = (),
    sides: tuple[Side, ...] = (),
) -> Entry:
    terminal = f"{10_000_000 + number % TERMINALS}"
    return Entry(
        id=entry_id,
        bucket=member >> 40,
        identity=number.to_bytes(8, "big") + terminal.encode() + bytes(3),
        fingerprint=number.to_bytes(16, "big"),
        operation="earn" if transfers else "activate",
        terminal=terminal,
        acceptor=acceptor,
        business_date=BUSINESS_DATE,
        decided_ms=now_ms,
        member=member,
        previous=previous,
        response_code="00",
        amount=1_000_000,
        batch=1 if transfers else 0,
        answer=ANSWER,
        transfers=transfers,
        sides=sides,
        key_serial=terminal.encode() + (number % 2**32).to_bytes(4, "big"),
        request_mac=bytes(8),
    )


def add_members(state: State, engine: Engine, epoch: int, count: int, batch: int) -> list[Member]:
    """So many members, stored."""
    members = []
    for number in range(count):
        member = state.next_member_id(number % BUCKETS)
        entry_id = state.next_entry_id(NOW_MS)
        state.apply(
            entry_of_request(entry_id, number, NOW_MS, member, "0" * 15, 0, sides=(MemberAdded(member),))
        )
        members.append(state.member(member))
        if number % batch == batch - 1 or number == count - 1:
            engine.stage(state.batch(), epoch)
            engine.sync()
            state.committed()
    return members


def measure(
    engine: SqliteEngine,
    epoch: int,
    state: State,
    entries: Iterator[Entry],
    size: int,
    seconds: float,
    paced: bool,
) -> str:
    """Commit batches of `size` for so many seconds; what deciding costs is left out of the processor time."""
    durations: list[float] = []
    done = 0
    stop = threading.Event()
    wake = threading.Event()

    def pace() -> None:
        while True:
            wake.wait()
            wake.clear()
            if stop.is_set():
                return
            engine.checkpoint()

    pacer = threading.Thread(target=pace)
    pacer.start()
    cpu = elapsed = 0.0
    while elapsed < seconds:
        batch = []
        for _ in range(size):
            # An entry follows what the one before made of its member, so it is made and applied in turn; only
            # the applying is the ledger's.
            entry = next(entries)
            cpu_before, before = time.process_time(), time.perf_counter()
            state.apply(entry)
            cpu += time.process_time() - cpu_before
            elapsed += time.perf_counter() - before
            batch.append(entry)
        cpu_before, before = time.process_time(), time.perf_counter()
        engine.stage(state.batch(), epoch)
        engine.sync()
        state.committed()
        after = time.perf_counter()
        cpu += time.process_time() - cpu_before
        elapsed += after - before
        durations.append(after - before)
        done += size
        if paced and engine.checkpoint_due:
            wake.set()
    stop.set()
    wake.set()
    pacer.join()
    durations.sort()
    p50, p99 = (1000 * durations[int(len(durations) * share)] for share in (0.5, 0.99))
    return (
        f"{done / elapsed:9,.0f} entries/s {len(durations) / elapsed:8,.0f} commits/s"
        f"   commit p50 {p50:6.2f} ms  p99 {p99:6.2f} ms  max {1000 * durations[-1]:6.1f} ms"
        f"   {1e6 * cpu / done:5.1f} us CPU each"
    )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=5)
    options.add_argument("--batch", type=int, default=64)
    options.add_argument("--members", type=int, default=100_000)
    options.add_argument("--acceptors", type=int, default=200)
    options.add_argument("--directory", type=Path, help="where the ledger is made (default: a temporary one)")
    given = options.parse_args()
    with tempfile.TemporaryDirectory(dir=given.directory) as directory:
        engine = SqliteEngine(Path(directory) / "ledger.sqlite", SEAL_KEY)
        epoch = engine.claim("benchmark")
        state = State(engine.start(), cache_generation=given.members)
        members = add_members(state, engine, epoch, given.members, 10 * given.batch)
        first = given.members
        for batch, paced in ((10 * given.batch, False), (given.batch, False), (given.batch, True), (1, True)):
            entries = make_entries(state, members, first, given.acceptors)
            gc.collect()
            gc.freeze()
            result = measure(engine, epoch, state, entries, batch, given.seconds, paced)
            first += 10**8
            print(f"batch {batch:4}, checkpoints {'paced' if paced else 'by writer'}: {result}", flush=True)
        engine.close()


if __name__ == "__main__":
    main()
