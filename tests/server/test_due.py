"""What is due for members that nobody touches: settled once beside the requests, whatever happens."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import apsw
import pytest

from switch.ledger import Load, Loaded
from switch.ledger.verify import verify
from switch.link.framing import frame
from switch.loyalty.program import Rules
from switch.server.jobs import DueJob
from switch.server.log import open_log
from tests.server.bench import UNPROVEN, Bench
from tests.server.running_switch import DIALECT, RunningSwitch, TerminalSide, new_card

PENDING = (Rules(pending_days=1),)
LOG = open_log()


def job_of(bench: Bench, search: ThreadPoolExecutor) -> DueJob:
    engine: Any = bench.engine
    return DueJob(bench.pipeline, engine, bench.clock.now_ms, search, LOG)


def days_later(bench: Bench, days: int) -> None:
    local = type(bench.clock).local
    bench.clock.local = lambda: local(bench.clock) + timedelta(days=days)  # type: ignore[method-assign]


def entries(ledger: Path, operation: str) -> int:
    connection = apsw.Connection(str(ledger), flags=apsw.SQLITE_OPEN_READWRITE)
    count = connection.execute("SELECT count(*) FROM entry WHERE operation = ?", (operation,)).get
    connection.close()
    assert isinstance(count, int)
    return count


def test_lots_begin_for_members_nobody_touches_once(tmp_path: Path) -> None:
    async def play() -> None:
        bench = Bench(tmp_path, versions=PENDING)
        cards = [new_card() for _ in range(40)]
        await bench.ask([bench.activation(card) for card in cards])
        await bench.ask([bench.earn(card, 5) for card in cards])
        with ThreadPoolExecutor(1) as search:
            job = job_of(bench, search)
            assert await job.once()
            assert entries(bench.settings.ledger_path, "due") == 0, "not today"
            days_later(bench, 1)
            assert await job.once()
            assert await job.once()
            assert await job_of(bench, search).once(), "another process on the same day"
        assert entries(bench.settings.ledger_path, "due") == 40
        assert [await bench.points(card) for card in cards[:3]] == [5, 5, 5]
        await bench.close()

    asyncio.run(play())


def test_holds_run_out_by_themselves(tmp_path: Path) -> None:
    async def play() -> None:
        bench = Bench(tmp_path)
        card = new_card()
        await bench.ask([bench.activation(card)])
        await bench.ask([bench.earn(card, 9)])
        hold = bench.message(
            "0100", "006000", card, f4=f"{400:012d}", f48={"01": f"{4:012d}"}, f49="364", f60="000001"
        )
        assert (await bench.one(hold))["39"] == "00"
        with ThreadPoolExecutor(1) as search:
            job = job_of(bench, search)
            await job.once()
            assert entries(bench.settings.ledger_path, "due") == 0
            bench.clock.ahead_ms = 3_600_000
            await job.once()
        assert entries(bench.settings.ledger_path, "due") == 1
        assert await bench.points(card) == 9
        await bench.close()

    asyncio.run(play())


@pytest.mark.parametrize("failure", ["stage", "before", "after"])
def test_a_ledger_that_fails_meanwhile_is_tried_again(tmp_path: Path, failure: str) -> None:
    async def play() -> None:
        bench = Bench(tmp_path, versions=PENDING)
        cards = [new_card() for _ in range(20)]
        await bench.ask([bench.activation(card) for card in cards])
        await bench.ask([bench.earn(card, 5) for card in cards])
        days_later(bench, 1)
        with ThreadPoolExecutor(1) as search:
            job = job_of(bench, search)
            bench.engine.plan = [failure] * 2
            went_well = await job.once()
            bench.engine.plan = []
            assert went_well is (failure == "after"), "what was stored is found by the second try"
            assert await job.once()
        assert entries(bench.settings.ledger_path, "due") == 20
        await bench.close()

    asyncio.run(play())


def test_a_job_on_a_clock_nobody_believes_waits(tmp_path: Path) -> None:
    async def play() -> None:
        bench = Bench(tmp_path, versions=PENDING)
        card = new_card()
        await bench.ask([bench.activation(card)])
        await bench.ask([bench.earn(card, 5)])
        days_later(bench, 400)
        with ThreadPoolExecutor(1) as search:
            assert await job_of(bench, search).once()
        assert entries(bench.settings.ledger_path, "due") == 0
        await bench.close()

    asyncio.run(play())


def test_killed_at_any_commit_it_is_settled_exactly_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    switch = RunningSwitch(tmp_path, {"program.pending_days": "1"})
    side = TerminalSide(switch)
    cards = [new_card() for _ in range(100)]
    for make in (side.activation, lambda card: side.earn(card, 50_000)):
        side.line.send(b"".join(frame(side.sealed(make(card))) for card in cards))
        assert {DIALECT.decode(side.line.receive().payload)["39"] for _ in cards} == {"00"}
    assert switch.stop() == 0
    switch.module = "tests.server.tomorrow_switch"
    for killed_at in ("before 1", "after 1", "before 3", "after 2"):
        monkeypatch.setenv("KILLED_AT", killed_at)
        switch.start()
        assert switch.process.wait(60) == -9
        switch.kill()
    monkeypatch.setenv("KILLED_AT", "")
    switch.start()
    switch.events("event", "due members settled")
    assert entries(tmp_path / "ledger.sqlite", "due") == 100
    assert TerminalSide(switch).points(cards[7]) == 5
    assert switch.stop() == 0
    report = verify(switch.settings.ledger_path, switch.settings.seal_key)
    assert report.found == 0


# ---------------------------------------------------------------- a ledger behind a network


class Remote:
    """An engine that counts round trips."""

    is_remote = True

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self.asked: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def load(self, load: Load) -> Loaded:
        self.asked.append(type(load).__name__)
        answer: Loaded = self._engine.load(load)
        return answer

    def load_many(self, loads: Sequence[Load]) -> list[Loaded]:
        self.asked.append("many")
        answers: list[Loaded] = self._engine.load_many(loads)
        return answers


def test_a_batch_costs_a_remote_ledger_two_round_trips(tmp_path: Path) -> None:
    async def play() -> None:
        bench = Bench(tmp_path)
        cards = [new_card() for _ in range(30)]
        await bench.ask([bench.activation(card) for card in cards])
        original = bench.earn(cards[0], 7)
        await bench.ask([original])
        await bench.close()
        bench.start()
        remote = Remote(bench.engine)
        bench.pipeline._engine = remote  # type: ignore[assignment]
        bench.pipeline._is_remote = True
        messages = [bench.earn(card, 5) for card in cards] + [bench.reversal_of(original)]
        answers = await bench.ask(messages)
        assert {answer["39"] for answer in answers} == {"00"}
        # What a reversal follows is asked for when it is decided.
        assert remote.asked.count("many") == 2
        assert [asked for asked in remote.asked if asked not in ("many", "FollowedLoad")] == []
        await bench.close()

    asyncio.run(play())


def test_a_batch_that_contradicts_the_store_is_decided_again(tmp_path: Path) -> None:
    async def play() -> None:
        bench = Bench(tmp_path)
        card = new_card()
        await bench.ask([bench.activation(card)])
        bench.engine.plan = ["conflict"]
        assert (await bench.one(bench.earn(card, 5)))["39"] == "00"
        bench.engine.plan = ["conflict"] * 2
        lost = bench.earn(card, 5)
        assert await bench.one(lost) is UNPROVEN, "nothing was stored, so it can be said"
        assert (await bench.one(lost))["39"] == "00"
        assert await bench.points(card) == 10
        await bench.close()

    asyncio.run(play())
