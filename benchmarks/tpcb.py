"""PostgreSQL's own yardstick: pgbench's TPC-B transactions a second, on a private server of this machine.

    python -m benchmarks.tpcb [--seconds 10] [--clients 32] [--scale 10]

Durable as installed (fsync and synchronous_commit on), prepared statements, Unix socket. What a switch that
writes each authorization as its own transaction could reach at most.
"""

from __future__ import annotations

import argparse
import re
import subprocess

from simulators.postgres_server import DATABASE, PORT, USER, PostgresServer

CLIENTS = 32
SCALE = 10  # branches; fewer than clients/3 would measure waiting for their rows
SHARED_BUFFERS = "256MB"


def transactions_per_second(seconds: int, clients: int = CLIENTS, scale: int = SCALE) -> float:
    """Raises RuntimeError or OSError when there is no PostgreSQL to run."""
    with PostgresServer({"shared_buffers": SHARED_BUFFERS}) as server:
        pgbench = server.programs / "pgbench"
        where = ["-h", str(server.directory), "-p", str(PORT), "-U", USER]
        _run([str(pgbench), "-i", "-q", "-s", str(scale), *where, DATABASE])
        load = ["-c", str(clients), "-j", "2", "-M", "prepared", "-T", str(seconds), "-n"]
        said = _run([str(pgbench), *load, *where, DATABASE])
    found = re.search(r"^tps = ([0-9.]+)", said, re.MULTILINE)
    if found is None:
        raise RuntimeError(f"pgbench gave no rate: {said.strip()}")
    return float(found.group(1))


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.strip())
    return done.stdout


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--seconds", type=int, default=10)
    options.add_argument("--clients", type=int, default=CLIENTS)
    options.add_argument("--scale", type=int, default=SCALE)
    given = options.parse_args()
    rate = transactions_per_second(given.seconds, given.clients, given.scale)
    print(f"{rate:,.0f} TPC-B transactions/s (pgbench, {given.clients} clients, prepared, durable)")


if __name__ == "__main__":
    main()
