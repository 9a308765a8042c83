"""kill -9 in the middle of committing: what was told as durable is there, once, and the seals hold."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from switch.ledger import EntryLoad
from switch.ledger.sqlite import SqliteEngine
from switch.ledger.verify import verify
from tests.ledger.book import SEAL_KEY
from tests.ledger.committing import checkpoint_mac

ROUNDS = 6


@pytest.mark.parametrize("seed", [1, 2])
def test_a_killed_process_loses_nothing_it_told(tmp_path: Path, seed: int) -> None:
    chooser = random.Random(seed)
    told: list[bytes] = []
    for _ in range(ROUNDS):
        told += commit_until_killed(tmp_path, chooser)
        engine = SqliteEngine(tmp_path / "ledger.sqlite", SEAL_KEY)
        missing = [identity for identity in told if engine.load(EntryLoad(identity)) is None]
        engine.close()
        report = verify(tmp_path / "ledger.sqlite", SEAL_KEY, tmp_path / "ledger.checkpoints", checkpoint_mac)
        assert missing == []
        assert report.problems == []
        assert report.entries >= len(told) == len(set(told))


def commit_until_killed(directory: Path, chooser: random.Random) -> list[bytes]:
    """Kill it after some commits, at a moment that the kernel chooses; returns all identities it told."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.ledger.committing", str(directory)],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(chooser.randrange(1, 120))]
    process.kill()
    lines += process.stdout.readlines()
    process.stdout.close()
    process.wait()
    assert lines[0], "the process commits"
    return [bytes.fromhex(word) for line in lines if line.endswith("\n") for word in line.split()]
