"""The firmware's budgets: code, fonts, heap at rest and at most, largest allocation, garbage, growth.

A short run of `make budget`.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from simulators.campaigns import firmware_budget
from simulators.campaigns.firmware_budget import KIB, METER, Report
from tools import micropython

TRANSACTIONS = 3

# A heap is cut up, then more than a hole is asked for: what the run with holes relies on.
TOO_LARGE = f"""\
import {METER.stem}
{METER.stem}.cut_up()
bytearray({4 * KIB} - 256)
print("a hole")
bytearray({4 * KIB} + 256)
"""


def test_the_firmware_is_within_its_budgets(tmp_path: Path) -> None:
    report = firmware_budget.measured(tmp_path, TRANSACTIONS, is_whole=False)
    assert not report.over(), "\n".join(report.over())
    assert set(report.flows) == set(firmware_budget.LOOKED_AT)
    assert all(report.flows.values())  # each was really looked at
    assert report.rest > 0
    firmware_budget.write(report)


def test_what_is_over_a_budget_is_told() -> None:
    report = Report(rest=firmware_budget.REST_BYTES + 1, kept=1, growth=firmware_budget.GROWTH_BYTES + 1)
    report.code["terminal.main"] = report.usual = firmware_budget.CODE_BYTES + 1
    told = report.over()
    assert [row.split(":")[0] for row in told] == [
        "code of the usual profile",
        "code of the fullest profile",
        "data at rest",
        "growth over 0 transactions",
        "kept of one request",
    ]


def test_a_heap_of_holes_refuses_a_larger_allocation() -> None:
    run = subprocess.run(
        [micropython.provide(), "-X", f"heapsize={512 * KIB}", "-c", TOO_LARGE],
        cwd=firmware_budget.metered_tree(),
        env={**os.environ, "MICROPYPATH": ".frozen:"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stdout == "a hole\n"
    assert "MemoryError" in run.stderr
