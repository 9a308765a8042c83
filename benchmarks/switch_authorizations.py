"""Whole authorizations per second: TCP, decode, MAC both ways, decision, durable commit, one switch process.

    python -m benchmarks.switch_authorizations [--seconds 5] [--members 2000] [--lines 64] [--in-flight 4]
        [--engine postgres]

In one run, on one disk: two peers (one durable SQLite commit per request and nothing else, the plain way to
build a ledger; pgbench's TPC-B on a private PostgreSQL), saturation in closed loop with traffic of many
merchants and of one, and half of that rate in open loop, where latency counts from the moment a request was
due. The switch is held on one processor, the load on another; a PostgreSQL that keeps its ledger has all.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import gc
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

import apsw

from benchmarks import tpcb
from simulators.cards import Deck
from simulators.issuing import issued
from simulators.load import Figures, Traffic, arrive, saturate
from simulators.postgres_server import PostgresServer
from switch.defaults import DEMO_ACCEPTOR, create_defaults
from switch.keys import BDK_ID_BYTES
from switch.server.clock import BUSINESS_ZONE
from switch.settings import POSTGRES, SQLITE, Settings

SECONDS = 5
EACH_ITS_OWN, ALL_OF_ONE = "2", "3"  # what ids of terminals begin with: of many merchants, of one


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--members", type=int, default=2000)
    parser.add_argument("--lines", type=int, default=64)
    parser.add_argument("--in-flight", type=int, default=4)
    parser.add_argument("--engine", choices=(SQLITE, POSTGRES), default=SQLITE, help="of the ledger")
    parser.add_argument("--no-postgres", action="store_true", help="leave pgbench out")
    parser.add_argument("--profile", type=Path, help="write a cProfile of the switch here (slower)")
    options = parser.parse_args()
    with ExitStack() as opened:
        directory = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="vafa-benchmark-")))
        peer = commits_per_second(directory / "peer.sqlite", min(2.0, options.seconds))
        print(f"{peer:,.0f} one-row commits/s (apsw, synchronous=FULL, one durable commit per request)")
        other = None if options.no_postgres else postgres_rate(max(1, round(options.seconds)))
        print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
        settings = many_terminals(directory, options.lines)
        if options.engine == POSTGRES:
            server = opened.enter_context(PostgresServer({"shared_buffers": tpcb.SHARED_BUFFERS}))
            settings = on_postgres(settings, server.url())
        process = start(settings, options.profile)
        try:
            asyncio.run(measure(settings, options, (peer, other), process.pid))
        finally:
            process.terminate()
            process.wait()


def undisturbed() -> None:
    """No collection of this process's garbage while it measures another one: its pauses would count as
    theirs."""
    gc.collect()
    gc.freeze()
    gc.disable()


def postgres_rate(seconds: int) -> float | None:
    """What pgbench reaches beside it; None where there is no PostgreSQL."""
    try:
        rate = tpcb.transactions_per_second(seconds)
    except (OSError, RuntimeError) as error:
        print(f"no pgbench beside it: {error}")
        return None
    print(f"{rate:,.0f} TPC-B transactions/s (pgbench, {tpcb.CLIENTS} clients, prepared, durable)")
    return rate


async def measure(
    settings: Settings, options: argparse.Namespace, peers: tuple[float, float | None], process: int
) -> None:
    undisturbed()
    port = int(settings.port_path.read_text(encoding="ascii"))
    cards = await issued(settings, Deck(seed=7).hand(options.members))
    traffic = Traffic(settings, cards, datetime.now(BUSINESS_ZONE))
    lines, host = options.lines, settings.listener.host
    await saturate(host, port, traffic.activations(), lines, options.in_flight)
    warm = await saturate(host, port, traffic.first_earns(), lines, options.in_flight)

    count = int(warm.per_second * options.seconds)
    requests = traffic.earns_and_redeems(count)
    before, written = processor_seconds(process), bytes_written(process)
    closed = await saturate(host, port, requests, lines, options.in_flight)
    show("saturation", closed)
    spent, written = processor_seconds(process) - before, bytes_written(process) - written
    print(
        f"{1e6 * spent / closed.requests:.0f} us of processor time and {written / closed.requests:,.0f} bytes"
        f" written for each authorization; {memory_mib(process):,.0f} MiB of memory at most"
    )
    of_one = Traffic(of_one_merchant(settings), cards, traffic.moment).earns_and_redeems(count)
    one = await saturate(host, port, of_one, lines, options.in_flight)
    show("all of one merchant", one)
    print(f"one merchant's traffic: {one.per_second / closed.per_second:.0%} of the uniform rate")
    half = closed.per_second / 2
    opened = await arrive(host, port, traffic.earns_and_redeems(int(half * options.seconds)), lines, half)
    show("half load", opened)
    commits, postgres = peers
    times = f"{closed.per_second / commits:.1f}x one commit per request"
    if postgres is not None:
        times += f", {closed.per_second / postgres:.1f}x pgbench TPC-B"
    print(f"{closed.per_second:,.0f} authorizations/s = {times}")


def show(name: str, figures: Figures) -> None:
    print(
        f"{name}: {figures.per_second:,.0f} authorizations/s over {figures.requests:,} requests, "
        f"p50 {figures.p50_ms:.2f} ms, p99 {figures.p99_ms:.2f} ms, p99.9 {figures.p999_ms:.2f} ms, "
        f"worst {figures.worst_ms:.1f} ms"
    )


def processor_seconds(process: int) -> float:
    """Processor time that a process has used, user and system, from /proc/PID/stat (proc(5), fields 14 and
    15)."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def bytes_written(process: int) -> int:
    """What a process caused to be written to storage so far, /proc/PID/io (proc(5))."""
    lines = Path(f"/proc/{process}/io").read_text(encoding="ascii").splitlines()
    return int(dict(line.split(": ") for line in lines)["write_bytes"])


def memory_mib(process: int) -> float:
    """The most memory a process has had in use, /proc/PID/status."""
    lines = Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines()
    return int(dict(line.split(":", 1) for line in lines)["VmHWM"].split()[0]) / 1024


def commits_per_second(path: Path, seconds: float) -> float:
    """The peer: one row, one durable commit, again and again."""
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE entry (id INTEGER PRIMARY KEY, identity BLOB, amount INTEGER)")
    count, start = 0, time.perf_counter()
    while (spent := time.perf_counter() - start) < seconds:
        connection.execute("INSERT INTO entry (identity, amount) VALUES (?, ?)", (os.urandom(16), count))
        count += 1
    connection.close()
    return count / spent


def many_terminals(directory: Path, terminals: int) -> Settings:
    """Settings with a terminal for each line, each of another merchant; and as many of one merchant."""
    bdk_id = create_defaults(directory).terminals[0].initial_key_id[:BDK_ID_BYTES].hex()
    lines = []
    for number in range(terminals):
        for first, acceptor in ((EACH_ITS_OWN, f"{number:015d}"), (ALL_OF_ONE, DEMO_ACCEPTOR)):
            lines += [
                "[[terminals]]",
                f'id = "{first}{number:07d}"',
                f'acceptor = "{acceptor}"',
                f'initial_key_id = "{bdk_id}{first}{number:07d}"',
            ]
    path = directory / "switch.toml"
    path.write_text(path.read_text(encoding="utf-8") + "\n".join(lines) + "\n", encoding="utf-8")
    settings = create_defaults(directory)
    return beginning_with(settings, EACH_ITS_OWN)


def on_postgres(settings: Settings, url: str) -> Settings:
    """The same with the ledger in this database."""
    path = settings.data / "switch.toml"
    of_ledger = f'\n[ledger]\nengine = "{POSTGRES}"\nurl = "{url}"\n'
    path.write_text(path.read_text(encoding="utf-8") + of_ledger, encoding="utf-8")
    return beginning_with(create_defaults(settings.data), EACH_ITS_OWN)


def of_one_merchant(settings: Settings) -> Settings:
    """The same with the terminals of one merchant."""
    return beginning_with(create_defaults(settings.data), ALL_OF_ONE)


def beginning_with(settings: Settings, first: str) -> Settings:
    kept = tuple(terminal for terminal in settings.terminals if terminal.id.startswith(first))
    return dataclasses.replace(settings, terminals=kept)


def start(settings: Settings, profile: Path | None) -> subprocess.Popen[str]:
    """The switch as its own process on one processor; this process takes the others."""
    processors = sorted(os.sched_getaffinity(0))
    command = [sys.executable]
    if profile is not None:
        command += ["-m", "cProfile", "-o", str(profile)]
    command += ["-m", "tools.cli", "switch", "run", "--data", str(settings.data), "--port", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    if len(processors) > 1:
        os.sched_setaffinity(process.pid, processors[:1])
        os.sched_setaffinity(0, processors[1:])
    log = process.stderr
    assert log is not None
    for line in log:
        if json.loads(line).get("event") == "listening":
            # What it says from now on is read and thrown away, so that a full pipe never stops it.
            threading.Thread(target=log.read, daemon=True).start()
            return process
    raise SystemExit("the switch did not start")


if __name__ == "__main__":
    main()
