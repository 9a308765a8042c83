"""Line cut, earns recorded, firmware killed at random moments, line back: each point exactly once."""

from __future__ import annotations

import asyncio
from pathlib import Path

from simulators.campaigns import offline_kills
from simulators.firmware import Interpreter
from switch.registry import told_by
from switch.settings import load_for


def test_recorded_earns_are_booked_once_and_batches_close(tmp_path: Path, micropython: Interpreter) -> None:
    summary = asyncio.run(offline_kills.run(tmp_path, micropython, rounds=2, seed=1))
    assert summary.problems == []
    assert summary.kills == 4
    assert summary.queued >= 2
    told = told_by(load_for(tmp_path, None), "10000001")
    assert told is not None
    assert 3 <= told.counters["boots"] <= 1 + summary.kills + 2, "a start that was cut at once isn't counted"
