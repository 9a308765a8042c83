"""kill -9 in the middle of committing: what was told as durable is there, once, and members are what their
entries make them."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from switch.ledger import (
    Account,
    AccountKind,
    BalanceLoad,
    Engine,
    Entry,
    EntryLoad,
    MemberLoad,
    TransferKind,
    Unit,
)
from switch.ledger.book import fund_of
from switch.ledger.model import NEVER
from switch.ledger.sqlite import SqliteEngine
from tests.ledger.book import SEAL_KEY, due_ids, replayed

ROUNDS = 6
FUND = Account(0, AccountKind.FUND, "", "vafa", Unit.RIAL)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_killed_process_loses_nothing_it_told(tmp_path: Path, seed: int) -> None:
    chooser = random.Random(seed)
    told: list[bytes] = []
    for _ in range(ROUNDS):
        told += commit_until_killed(tmp_path, chooser)
        engine = SqliteEngine(tmp_path / "ledger.sqlite", SEAL_KEY)
        kinds = check(engine, told)
        engine.close()
    wanted = {TransferKind.EARN, TransferKind.HOLD, TransferKind.RETURN, TransferKind.REVERSAL}
    assert kinds >= wanted | {TransferKind.EXPIRY, TransferKind.RELEASE}


def check(engine: Engine, told: list[bytes]) -> set[TransferKind]:
    """Compare what is stored with what was told and with itself; returns what moved."""
    found = [engine.load(EntryLoad(identity)) for identity in told]
    entries = [entry for entry in found if isinstance(entry, Entry)]
    assert len(entries) == len(told)
    assert sum(head.sequence for head in engine.heads()) >= len(told) == len(set(told))
    members = sorted({entry.member for entry in entries if entry.member})
    made = [replayed(engine, member) for member in members]
    assert engine.load_many([MemberLoad(member) for member in members]) == made
    assert engine.load(BalanceLoad(FUND)) == fund_of(made, "vafa")
    holds = {hold.id for member in made for hold in member.holds}
    assert {hold.id for hold in engine.due_holds(2**60, 1_000_000)} == holds
    assert due_ids(engine, NEVER - 1) == [member.id for member in made if member.due < NEVER]
    return {transfer.kind for entry in entries for transfer in entry.transfers}


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
