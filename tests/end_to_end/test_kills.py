"""kill -9 of switch and firmware under trade: short, seeded versions of the campaigns."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from simulators.campaigns import firmware_kills, garbage, switch_kills
from simulators.campaigns.scene import scene
from simulators.firmware import Interpreter

SHORT_TRADE = (2, 6)  # transactions a terminal between two kills; `make soak` lets them do more


def test_a_killed_switch_loses_no_receipt_and_books_nothing_twice(
    tmp_path: Path, micropython: Interpreter
) -> None:
    summary = asyncio.run(
        switch_kills.run(tmp_path, micropython, kills=4, terminals=3, seed=3, trade=SHORT_TRADE)
    )
    assert summary.problems == []
    assert summary.kills == 4
    assert summary.approved > 0
    assert summary.receipts >= 2 * summary.approved  # English and Persian


@pytest.mark.parametrize("flow", ["earn", "redeem"])
def test_killed_before_the_answer_was_verified_the_firmware_takes_it_back(
    tmp_path: Path, micropython: Interpreter, flow: str
) -> None:
    async def play() -> list[str]:
        async with scene(tmp_path, micropython, seed=1) as at:
            found = await firmware_kills.kill_before_verified(at, flow)
        return found + await at.shop.audit()

    assert asyncio.run(play()) == []


def test_killed_after_the_answer_was_verified_the_firmware_prints_the_last_receipt(
    tmp_path: Path, micropython: Interpreter
) -> None:
    async def play() -> list[str]:
        async with scene(tmp_path, micropython, seed=2) as at:
            found = await firmware_kills.kill_after_verified(at)
        return found + await at.shop.audit()

    assert asyncio.run(play()) == []


def test_killed_after_the_receipt_the_firmware_has_nothing_pending(
    tmp_path: Path, micropython: Interpreter
) -> None:
    async def play() -> list[str]:
        async with scene(tmp_path, micropython, seed=3) as at:
            found = await firmware_kills.kill_after_presented(at)
        return found + await at.shop.audit()

    assert asyncio.run(play()) == []


def test_a_firmware_killed_at_random_moments_keeps_paper_and_ledger_equal(
    tmp_path: Path, micropython: Interpreter
) -> None:
    summary = asyncio.run(firmware_kills.run(tmp_path, micropython, kills=6, seed=4))
    assert summary.problems == []
    assert summary.kills == 6
    assert summary.approved > 0


def test_garbage_on_the_port_stops_nobody_and_is_logged_once(
    tmp_path: Path, micropython: Interpreter
) -> None:
    summary = asyncio.run(garbage.run(tmp_path, micropython, attack_count=36, idle_count=1000, seed=5))
    assert summary.problems == []
    assert summary.attacks == 36
    assert summary.idle_connections == 1000
    assert summary.earns_approved > 0
