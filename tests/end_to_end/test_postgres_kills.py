"""PostgreSQL and the switch killed, connections cut, under trade: a short, seeded version of the campaign."""

from __future__ import annotations

import asyncio
from pathlib import Path

from simulators.campaigns import postgres_kills
from simulators.firmware import Interpreter

SHORT_TRADE = (2, 6)  # transactions a terminal between two harms; `make soak` lets them do more


def test_whatever_happens_to_the_database_no_receipt_is_lost_and_nothing_is_booked_twice(
    tmp_path: Path, micropython: Interpreter
) -> None:
    summary = asyncio.run(
        postgres_kills.run(tmp_path, micropython, kills=4, terminals=2, seed=1, trade=SHORT_TRADE)
    )
    assert summary.problems == []
    assert summary.kills == len(postgres_kills.Harm)
    assert summary.approved > 0
    assert summary.receipts >= 2 * summary.approved  # English and Persian
