"""Which day may be booked on when the clock leaps, and what terminals hear until somebody confirms it."""

from __future__ import annotations

import asyncio
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest

from switch.iso8583 import Message
from switch.loyalty.program import Rules
from switch.server.business_day import ABSENCE_DAYS, LEAP_DAYS, BusinessDay
from tests.server.bench import Bench
from tests.server.running_switch import RunningSwitch, TerminalSide, new_card

START = date(2026, 3, 1)
DAY_S = 86_400.0


def day(offset: int) -> date:
    return START + timedelta(days=offset)


def test_days_that_pass_are_believed() -> None:
    clock = BusinessDay("2026-03-01", START, 0.0)
    assert all(clock.is_believed(day(passed), passed * DAY_S) for passed in range(400))


@pytest.mark.parametrize(("leap", "believed"), [(1, True), (LEAP_DAYS, True), (LEAP_DAYS + 1, False)])
def test_a_leap_is_believed_up_to_the_limit(leap: int, believed: bool) -> None:
    assert BusinessDay("2026-03-01", START, 0.0).is_believed(day(leap), 0.0) is believed


def test_many_small_leaps_are_one_big_one() -> None:
    clock = BusinessDay("2026-03-01", START, 0.0)
    assert clock.is_believed(day(LEAP_DAYS), 1.0)
    assert not clock.is_believed(day(2 * LEAP_DAYS), 2.0)
    assert not clock.is_believed(day(2 * LEAP_DAYS), 3.0), "asking again changes nothing"
    assert clock.is_believed(day(LEAP_DAYS), 4.0), "set right again"


def test_going_back_is_believed_and_forward_again_too() -> None:
    clock = BusinessDay("2026-03-01", START, 0.0)
    assert clock.is_believed(day(-300), 10.0)
    assert clock.is_believed(day(0), 20.0)


@pytest.mark.parametrize(("away", "believed"), [(ABSENCE_DAYS, True), (ABSENCE_DAYS + 1, False)])
def test_a_long_absence_is_confirmed(away: int, believed: bool) -> None:
    clock = BusinessDay("2026-03-01", day(away), 0.0)
    assert clock.is_believed(day(away), 1.0) is believed


def test_a_new_ledger_believes_any_date() -> None:
    assert BusinessDay("", START, 0.0).is_believed(START, 1.0)


def test_only_the_date_that_the_clock_shows_can_be_confirmed() -> None:
    clock = BusinessDay("2025-01-01", START, 0.0)
    assert not clock.confirm(day(1), START, 1.0)
    assert not clock.is_believed(START, 1.0)
    assert clock.confirm(START, START, 2.0)
    assert clock.is_believed(START, 2.0)
    assert clock.is_believed(day(1), DAY_S), "days go on from there"


def test_while_the_clock_is_not_believed_nothing_is_booked(tmp_path: Path) -> None:
    async def play() -> None:
        bench = Bench(tmp_path)
        card = new_card()
        await bench.ask([bench.activation(card)])
        await bench.ask([bench.earn(card, 5)])
        local = bench.clock.local
        bench.clock.local = lambda: local() + timedelta(days=400)  # type: ignore[method-assign]
        refused = bench.earn(card, 5)
        for message in (refused, bench.balance(card), sign_on(bench)):
            assert (await bench.one(message))["39"] == "91"
        assert bench.pipeline.day_now() is None
        today: datetime = local()
        assert not bench.pipeline.confirm_day(today.date()), "the clock says another"
        bench.clock.local = local  # type: ignore[method-assign]
        assert (await bench.one(refused))["39"] == "00", "91 is not remembered"
        assert await bench.points(card) == 10
        await bench.close()

    asyncio.run(play())


def test_a_clock_that_is_set_back_books_and_takes_back_on_the_ledgers_day(tmp_path: Path) -> None:
    async def play() -> None:
        bench = Bench(tmp_path)
        card = new_card()
        await bench.ask([bench.activation(card)])
        earned = bench.earn(card, 5)
        await bench.ask([earned])
        local = bench.clock.local
        today = local().date()
        bench.clock.local = lambda: local() - timedelta(days=20)  # type: ignore[method-assign]
        told = await bench.one(sign_on(bench))
        assert told.text("48.10")[:8] == today.strftime("%Y%m%d"), "terminals take their date from it"
        bench.engine.plan = ["before"]  # also when the memory is read anew
        assert (await bench.one(bench.earn(card, 4)))["39"] == "00"
        assert (await bench.one(bench.reversal_of(earned)))["39"] == "00"
        assert await bench.points(card) == 4
        assert bench.pipeline.day_now() == today.isoformat()
        await bench.close()
        bench.start()
        assert (await bench.one(bench.earn(card, 3)))["39"] == "00", "nor after a start"
        assert await bench.points(card) == 7
        await bench.close()

    asyncio.run(play())


def test_points_end_on_the_business_date_whatever_the_clock_says(tmp_path: Path) -> None:
    """What time entries have runs on beside the date: only the date ends points."""

    async def play() -> None:
        bench = Bench(tmp_path, versions=(Rules(expiry="rolling", expiry_days=1),))
        card = new_card()
        await bench.ask([bench.activation(card)])
        await bench.ask([bench.earn(card, 5)])
        bench.clock.ahead_ms = 40 * 86_400_000
        assert await bench.points(card) == 5
        local = bench.clock.local
        bench.clock.local = lambda: local() + timedelta(days=2)  # type: ignore[method-assign]
        assert await bench.points(card) == 0
        await bench.close()

    asyncio.run(play())


def sign_on(bench: Bench) -> Message:
    terminal = bench.settings.terminals[0]
    fields = {"11": f"{next(bench.stans):06d}", "41": terminal.id, "42": terminal.acceptor, "70": "001"}
    return Message("0800", fields)


def test_an_operator_confirms_the_date_beside_the_running_switch(tmp_path: Path) -> None:
    switch = RunningSwitch(tmp_path, module="tests.server.late_switch")
    side = TerminalSide(switch)
    assert side.ask(side.sign_on())["39"] == "91"
    [alarm] = switch.events("event", "clock not believed, every request is refused with 91")
    (tmp_path / "business-date").write_text(alarm["clock"], encoding="ascii")
    switch.events("event", "business date confirmed")
    assert side.ask(side.sign_on())["39"] == "00"
    assert side.points(side.activated_card(points=3)) == 3
    assert not (tmp_path / "business-date").exists(), "it counts once"
    assert switch.stop() == 0
