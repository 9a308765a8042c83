"""What holds for every test: hypothesis profiles, how many run at once, and that nothing is ever skipped."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path

import pytest
from hypothesis import settings

# `make test` must give the same answer twice; HYPOTHESIS_PROFILE=explore looks for new examples.
settings.register_profile("repeatable", deadline=None, derandomize=True, max_examples=40, print_blob=True)
settings.register_profile("explore", deadline=None, max_examples=1000, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))

# Hundreds of processes are started: compiling all sources for each again would be most of what they do.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

gc.disable()  # until all tests are read: thousands of things are made then and none is dropped

WORKERS_A_CORE = 2  # many tests wait for a process, a line or a timeout; more would only make all wait longer
MOST_WORKERS = 16  # each reads all tests first, so many cores help no further
# Files of tests that wait long for processes: each worker begins with its part of these, so that none is left
# alone with one at the end.
LONG = (
    "test_demo.py",
    "test_hsm_process.py",
    "test_kills.py",
    "test_faults.py",
    "test_trading_day.py",
    "test_devices.py",
    "test_lines.py",
    "test_firmware_budget.py",
)
WORKER_BYTES = 512 * 1024 * 1024  # a worker with the processes of its test; most take less than half


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--ui",
        choices=("test", "record"),
        default="test",
        help="compare screens and receipts with their record, or record them as they are",
    )


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """What `--numprocesses auto` means here."""
    fit = _free_bytes() // WORKER_BYTES
    return max(1, min(WORKERS_A_CORE * len(os.sched_getaffinity(0)), MOST_WORKERS, fit))


def _free_bytes() -> int:
    told = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    return int(told["MemAvailable"].split()[0]) * 1024


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deal the long tests out. Each worker is given as many tests as the next, in this order."""
    workers = int(getattr(config, "workerinput", {}).get("workercount", 1))
    if workers == 1:
        return
    place = {name: number for number, name in enumerate(LONG)}
    ordered = [item for item in items if item.path.name in place]
    ordered.sort(key=lambda item: place[item.path.name])
    others = [item for item in items if item.path.name not in place]
    dealt: list[pytest.Item] = []
    for worker in range(workers):
        share, began = (len(items) - len(dealt)) // (workers - worker), len(dealt)
        dealt += ordered[worker::workers]
        taken = max(0, share - (len(dealt) - began))
        dealt += others[:taken]
        del others[:taken]
    items[:] = [*dealt, *others]


def pytest_collection_finish() -> None:
    """Thousands of tests stay to the end: no search for garbage goes through them again, or pauses for it."""
    gc.collect()
    gc.freeze()
    gc.enable()


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """A skipped test is a failed run: a test whose real part is missing says what to install instead."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and reporter.stats.get("skipped") and exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
