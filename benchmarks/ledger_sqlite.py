"""How many sealed entries a second the SQLite ledger commits durably, without network, messages or decisions.

Each entry is an earn: one transfer, two postings, one member of many and one acceptor of many.
Run: python -m benchmarks.ledger_sqlite [--seconds 5] [--batch 64] [--members 100000] [--acceptors 200]
"""

from __future__ import annotations

import argparse
import gc
import random
import tempfile
import threading
import time
from pathlib import Path

from switch.ledger import (
    BUCKETS,
    Account,
    AccountKind,
    Entry,
    Posting,
    Start,
    State,
    Transfer,
    TransferKind,
    Unit,
)
from switch.ledger.sqlite import SqliteEngine

SEAL_KEY = bytes(32)
ANSWER = bytes(80)  # about the size of an earn answer
PREPARED = 200_000  # entries are made before the clock starts


def member_account(number: int) -> Account:
    bucket = number % BUCKETS
    return Account(
        bucket, AccountKind.MEMBER, str((bucket << 40) + number // BUCKETS + 1), "vafa", Unit.POINTS
    )


def make_entries(count: int, first: int, members: int, acceptors: int) -> list[Entry]:
    chooser = random.Random(first)
    accounts = [member_account(number) for number in range(members)]
    state = State(Start(first, b"", b"", {}))
    entries = []
    for number in range(first + 1, first + count + 1):
        account = accounts[chooser.randrange(members)]
        acceptor = f"{chooser.randrange(acceptors):015d}"
        partner = Account(account.bucket, AccountKind.ISSUED, acceptor, account.program, account.unit)
        points = chooser.randrange(1, 1000)
        terminal = f"{10_000_000 + number % 5000}"
        entries.append(
            Entry(
                id=max(number, state.next_entry_id(0)),
                bucket=account.bucket,
                identity=number.to_bytes(8, "big") + terminal.encode() + b"\0\0\0",
                fingerprint=number.to_bytes(16, "big"),
                terminal=terminal,
                acceptor=acceptor,
                business_date="2025-10-10",
                decided_ms=1_760_000_000_000 + number,
                member=int(account.holder),
                response_code="00",
                answer=ANSWER,
                transfers=(
                    Transfer(TransferKind.EARN, (Posting(account, points), Posting(partner, -points))),
                ),
            )
        )
    return entries


def measure(engine: SqliteEngine, epoch: int, batches: list[list[Entry]], seconds: float, paced: bool) -> str:
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
    cpu = time.process_time()
    begun = time.perf_counter()
    for batch in batches:
        before = time.perf_counter()
        engine.commit(batch, epoch)
        after = time.perf_counter()
        durations.append(after - before)
        done += len(batch)
        if paced and engine.checkpoint_due:
            wake.set()
        if after - begun > seconds:
            break
    elapsed = time.perf_counter() - begun
    cpu = time.process_time() - cpu
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
        first = 0
        for batch, seconds, paced in (
            (10 * given.batch, 60, False),  # warms up: every member gets its account row
            (given.batch, given.seconds, False),
            (given.batch, given.seconds, True),
            (1, given.seconds, True),
        ):
            count = given.members if seconds == 60 else PREPARED if batch == 1 else 2 * PREPARED
            entries = make_entries(count, first, given.members, given.acceptors)
            first += count
            batches = [entries[at : at + batch] for at in range(0, count, batch)]
            del entries
            gc.collect()
            gc.freeze()  # what is prepared here is no part of the ledger's work
            result = measure(engine, epoch, batches, seconds, paced)
            print(f"batch {batch:4}, checkpoints {'paced' if paced else 'by writer'}: {result}", flush=True)
        engine.close()


if __name__ == "__main__":
    main()
