"""How many sealed entries a second the PostgreSQL ledger commits durably, with pgbench's transactions beside.

The entries are those of `benchmarks.ledger_sqlite`: a lot, four postings, a member and an acceptor of many.
pgbench (TPC-B, prepared, 32 clients) runs on the same server, in turn with the entries. On a busy machine its
33 processes get more of the processors than the two that keep a ledger: then compare the server's processor
time for each.
Run: python -m benchmarks.ledger_postgres [--seconds 5] [--members 100000] [--acceptors 200] [--scale 32]
"""

from __future__ import annotations

import argparse
import gc
import re
import statistics
import subprocess
import time
from collections.abc import Iterator

from benchmarks.ledger_sqlite import SEAL_KEY, add_members, make_entries
from simulators.postgres_server import PostgresServer
from switch.ledger import BUCKETS, Entry, EntryIdLoad, EntryLoad, IdentifierLoad, Load, MemberLoad, State
from switch.ledger.postgres import PostgresEngine

BATCHES = (1, 64, 256)
CLIENTS = 32
ROUNDS = 3  # of entries and pgbench in turn; the median is printed
LOADS = 128
SERVER = {"shared_buffers": "256MB", "max_wal_size": "4GB", "autovacuum": "on"}


def pgbench(server: PostgresServer, *options: str) -> str:
    """What pgbench says on this server."""
    done = subprocess.run(
        [
            server.programs / "pgbench",
            "-h",
            server.directory,
            "-p",
            "5432",
            "-U",
            "vafa",
            *options,
            "postgres",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def transactions(server: PostgresServer, seconds: float) -> tuple[float, float]:
    """TPC-B transactions a second, and the server's processor microseconds for each."""
    before = server.processor_seconds()
    said = pgbench(
        server, "-n", "-M", "prepared", "-c", str(CLIENTS), "-j", "2", "-T", str(max(round(seconds), 1))
    )
    found = re.search(r"tps = ([0-9.]+)", said)
    done = re.search(r"transactions actually processed: ([0-9]+)", said)
    assert found is not None, said
    assert done is not None, said
    return float(found[1]), 1e6 * (server.processor_seconds() - before) / int(done[1])


def entries_a_second(
    engine: PostgresEngine, epoch: int, state: State, entries: Iterator[Entry], size: int, seconds: float
) -> tuple[float, float, list[float]]:
    """Rate, processor microseconds of this process for each, and the duration of each commit in seconds. What
    deciding costs is left out."""
    durations: list[float] = []
    cpu = elapsed = 0.0
    while elapsed < seconds:
        for _ in range(size):
            entry = next(entries)
            cpu_before, before = time.process_time(), time.perf_counter()
            state.apply(entry)
            cpu += time.process_time() - cpu_before
            elapsed += time.perf_counter() - before
        cpu_before, before = time.process_time(), time.perf_counter()
        engine.stage(state.batch(), epoch)
        engine.sync()
        state.committed()
        durations.append(time.perf_counter() - before)
        cpu += time.process_time() - cpu_before
        elapsed += durations[-1]
    done = size * len(durations)
    return done / elapsed, 1e6 * cpu / done, sorted(durations)


def measure_loads(engine: PostgresEngine, loads: list[Load]) -> float:
    """Milliseconds for all of them at once, the median of many."""
    took = []
    for _ in range(30):
        before = time.perf_counter()
        engine.load_many(loads)
        took.append(time.perf_counter() - before)
    return 1000 * statistics.median(took)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=5)
    options.add_argument("--members", type=int, default=100_000)
    options.add_argument("--acceptors", type=int, default=200)
    options.add_argument("--scale", type=int, default=CLIENTS, help="pgbench's, at least its clients")
    given = options.parse_args()
    with PostgresServer(SERVER) as server:
        pgbench(server, "-i", "-q", "-s", str(given.scale))
        engine = PostgresEngine(server.schema("ledger"), SEAL_KEY)
        epoch = engine.claim("benchmark")
        state = State(engine.start(), cache_generation=given.members)
        members = add_members(state, engine, epoch, given.members, 640)
        first = given.members
        rates: dict[int, list[float]] = {size: [] for size in BATCHES}
        tpc_b: list[tuple[float, float]] = []
        for _ in range(ROUNDS):
            tpc_b.append(transactions(server, given.seconds))
            for size in BATCHES:
                entries = make_entries(state, members, first, given.acceptors)
                gc.collect()
                gc.freeze()
                server_cpu = server.processor_seconds()
                rate, cpu, took = entries_a_second(engine, epoch, state, entries, size, given.seconds)
                server_cpu = 1e6 * (server.processor_seconds() - server_cpu) / (size * len(took))
                first += 10**8
                rates[size].append(rate)
                p50, p99 = (1000 * took[int(len(took) * share)] for share in (0.5, 0.99))
                print(
                    f"batch {size:4}: {rate:9,.0f} entries/s   commit p50 {p50:6.2f} ms  p99 {p99:6.2f} ms"
                    f"   {cpu:5.0f} us CPU here, {server_cpu:5.0f} us in the server each",
                    flush=True,
                )
        base, base_cpu = sorted(tpc_b)[len(tpc_b) // 2]
        print(
            f"pgbench TPC-B, {CLIENTS} clients, prepared: {base:,.0f} transactions/s,"
            f" {base_cpu:.0f} us CPU in the server each"
        )
        for size in BATCHES:
            rate = statistics.median(rates[size])
            print(f"batch {size:4}: {rate:9,.0f} entries/s, {rate / base:.1f}x pgbench")
        print_loads(engine, state, [member.id for member in members[:LOADS]])
        engine.close()


def print_loads(engine: PostgresEngine, state: State, members: list[int]) -> None:
    newest = [state.member(member).last_entry for member in members]
    absent = [number.to_bytes(19, "big") for number in range(len(members))]
    kinds: dict[str, list[Load]] = {
        "members": [MemberLoad(member) for member in members],
        "identifiers": [IdentifierLoad(identity[3:]) for identity in absent],
        "entries by id, bucket named": [
            EntryIdLoad(entry, member >> 40) for entry, member in zip(newest, members, strict=True)
        ],
        "entries by id": [EntryIdLoad(entry) for entry in newest],
        "identities never seen": [EntryLoad(identity) for identity in absent],
        "identities never seen, bucket named": [
            EntryLoad(identity, identity[18] % BUCKETS) for identity in absent
        ],
    }
    for name, loads in kinds.items():
        print(f"{len(loads)} {name}: {measure_loads(engine, loads):.2f} ms at once")
    print(f"one member: {measure_loads(engine, [MemberLoad(members[0])]):.2f} ms")


if __name__ == "__main__":
    main()
