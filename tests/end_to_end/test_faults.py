"""What goes wrong under a real switch at full load: short, seeded versions of the campaigns."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from simulators.campaigns import clock_jumps, disk_errors, full_disk, load_kills


def test_killed_under_load_no_receipt_is_lost_and_nothing_booked_twice(tmp_path: Path) -> None:
    summary = asyncio.run(load_kills.run(tmp_path, replies=1_500, kills=2, seed=6))
    assert summary.problems == []
    assert summary.kills == 2
    assert summary.replies >= 1_500
    assert summary.torn_lines > 0
    assert summary.repeated_frames > 0


def test_writes_and_syncs_that_fail_book_nothing_wrong(tmp_path: Path) -> None:
    """Each kind of error once; `disk_errors.mishap` waits until the switch said so, or stopped."""
    summary = asyncio.run(disk_errors.campaign(tmp_path, errors=len(disk_errors.ERRORS), seed=2))
    assert summary.problems == []
    assert summary.approved > 0


def test_a_full_disk_is_refused_and_gone_on_with_when_it_has_room(capfd: pytest.CaptureFixture[str]) -> None:
    code = full_disk.on_small_disk("tmpfs", ["--times", "1", "--seed", "3"])
    told = capfd.readouterr()
    assert code == 0, told.err
    assert "lost 0, twice 0" in told.out


def test_leaps_of_the_clock_open_no_day_again_and_end_nothing_early(tmp_path: Path) -> None:
    summary = asyncio.run(clock_jumps.campaign(tmp_path, jumps=2, seed=4))
    assert summary.problems == []
    assert summary.approved > 0
