"""Whole authorizations per second: TCP, decode, MAC both ways, decision, durable commit, one switch process.

    python -m benchmarks.switch_authorizations [--seconds 5] [--members 2000] [--lines 64] [--in-flight 4]

Three measurements in one run, on one disk: the peer (one durable SQLite commit per request and nothing
else, the
plain way to build a ledger), saturation in closed loop, and half of that rate in open loop, where latency
counts
from the moment a request was due. The switch is held on one processor, the load on another.
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
from datetime import datetime
from pathlib import Path

import apsw

from simulators.cards import Deck
from simulators.issuing import issued
from simulators.load import Figures, Traffic, arrive, saturate
from switch.defaults import DEMO_ACCEPTOR, create_defaults
from switch.keys import BDK_ID_BYTES
from switch.server.clock import BUSINESS_ZONE
from switch.settings import Settings

SECONDS = 5


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--members", type=int, default=2000)
    parser.add_argument("--lines", type=int, default=64)
    parser.add_argument("--in-flight", type=int, default=4)
    parser.add_argument("--profile", type=Path, help="write a cProfile of the switch here (slower)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vafa-benchmark-") as name:
        directory = Path(name)
        peer = commits_per_second(directory / "peer.sqlite", min(2.0, options.seconds))
        print(f"{peer:,.0f} one-row commits/s (apsw, synchronous=FULL, one durable commit per request)")
        settings = many_terminals(directory, options.lines)
        process = start(settings, options.profile)
        try:
            asyncio.run(measure(settings, options, peer, process.pid))
        finally:
            process.terminate()
            process.wait()


def undisturbed() -> None:
    """No collection of this process's garbage while it measures another one: its pauses would count as
    theirs."""
    gc.collect()
    gc.freeze()
    gc.disable()


async def measure(settings: Settings, options: argparse.Namespace, peer: float, process: int) -> None:
    undisturbed()
    port = int(settings.port_path.read_text(encoding="ascii"))
    cards = await issued(settings, Deck(seed=7).hand(options.members))
    traffic = Traffic(settings, cards, datetime.now(BUSINESS_ZONE))
    lines, host = options.lines, settings.listener.host
    await saturate(host, port, traffic.activations(), lines, options.in_flight)
    warm = await saturate(host, port, traffic.first_earns(), lines, options.in_flight)

    count = int(warm.per_second * options.seconds)
    requests = traffic.earns_and_redeems(count)
    before = processor_seconds(process)
    closed = await saturate(host, port, requests, lines, options.in_flight)
    show("saturation", closed)
    spent = processor_seconds(process) - before
    print(f"{1e6 * spent / closed.requests:.0f} us of processor time for each authorization")
    half = closed.per_second / 2
    opened = await arrive(host, port, traffic.earns_and_redeems(int(half * options.seconds)), lines, half)
    show("half load", opened)
    print(
        f"{closed.per_second:,.0f} authorizations/s = {closed.per_second / peer:.1f}x one commit per request"
    )


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
    """Settings with one terminal for each line."""
    bdk_id = create_defaults(directory).terminals[0].initial_key_id[:BDK_ID_BYTES].hex()
    lines = []
    for number in range(terminals):
        lines += [
            "[[terminals]]",
            f'id = "2{number:07d}"',
            f'acceptor = "{DEMO_ACCEPTOR}"',
            f'initial_key_id = "{bdk_id}2{number:07d}"',
        ]
    path = directory / "switch.toml"
    path.write_text(path.read_text(encoding="utf-8") + "\n".join(lines) + "\n", encoding="utf-8")
    settings = create_defaults(directory)
    extra = tuple(terminal for terminal in settings.terminals if terminal.id.startswith("2"))
    return dataclasses.replace(settings, terminals=extra)


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
