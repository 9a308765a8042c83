"""A ledger whose commits fail, before or after they became durable: no answer lies, nothing is booked
twice."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from tests.server.bench import SILENCE, UNPROVEN, Bench
from tests.server.running_switch import new_card


@pytest.mark.parametrize("failure", ["stage", "before", "after"])
def test_one_failed_commit_is_asked_again_and_nobody_notices(tmp_path: Path, failure: str) -> None:
    async def play() -> None:
        bench = Bench(tmp_path)
        card = new_card()
        await bench.ask([bench.activation(card)])
        bench.engine.plan = [failure]
        answers = await bench.ask([bench.earn(card, 5) for _ in range(10)])
        assert [answer["39"] for answer in answers] == ["00"] * 10
        assert sorted(int(answer.text("48.02")) for answer in answers) == list(range(5, 55, 5))
        assert await bench.points(card) == 50
        await bench.close()

    asyncio.run(play())


def test_a_ledger_that_stays_away_is_answered_91_and_comes_back(tmp_path: Path) -> None:
    async def play() -> None:
        bench = Bench(tmp_path)
        card = new_card()
        await bench.ask([bench.activation(card)])
        bench.engine.plan = ["stage"] * 2
        refused = bench.earn(card, 5)
        [answer] = await bench.ask([refused])
        assert answer is UNPROVEN
        [again] = await bench.ask([refused])
        assert again["39"] == "00", "91 is not remembered"
        assert await bench.points(card) == 5
        await bench.close()

    asyncio.run(play())


@pytest.mark.parametrize(
    "failures", [["before", "before"], ["after", "before"], ["before", "after"], ["before", "stage"]]
)
def test_where_nobody_knows_whether_it_is_booked_nothing_is_said(tmp_path: Path, failures: list[str]) -> None:
    async def play() -> None:
        bench = Bench(tmp_path)
        card = new_card()
        await bench.ask([bench.activation(card)])
        bench.engine.plan = list(failures)
        unanswered = bench.earn(card, 5)
        [answer] = await bench.ask([unanswered])
        if failures == ["after", "before"]:
            assert answer["39"] == "00", "the first commit was stored, and found by the second try"
        else:
            assert answer is SILENCE
        bench.engine.plan = []
        [taken_back] = await bench.ask([bench.reversal_of(unanswered)])
        assert taken_back["39"] == "00"
        assert await bench.points(card) == 0
        await bench.close()

    asyncio.run(play())


def test_a_memory_that_cannot_be_read_again_is_not_gone_on_with(tmp_path: Path) -> None:
    async def play() -> None:
        bench = Bench(tmp_path)
        card = new_card()
        await bench.ask([bench.activation(card)])
        bench.engine.plan = ["before"]
        bench.engine.unreadable = True
        lost = bench.earn(card, 5)
        [answer] = await bench.ask([lost])
        assert answer is SILENCE
        [refused] = await bench.ask([lost])
        assert refused is UNPROVEN
        bench.engine.unreadable = False
        [booked] = await bench.ask([lost])
        assert (booked["39"], booked["48.02"]) == ("00", "000000000005")
        assert await bench.points(card) == 5
        await bench.close()

    asyncio.run(play())


@pytest.mark.parametrize("seed", range(12))
def test_after_reversing_what_was_not_approved_the_balance_is_what_was_approved(
    tmp_path: Path, seed: int
) -> None:
    async def play() -> None:
        drawn = random.Random(seed)
        bench = Bench(tmp_path)
        card = new_card()
        await bench.ask([bench.activation(card)])
        approved = 0
        for _ in range(15):
            count = drawn.randrange(1, 8)
            bench.engine.plan = [drawn.choice(("", "", "stage", "before", "after")) for _ in range(4)]
            requests = [bench.earn(card, drawn.randrange(1, 9)) for _ in range(count)]
            answers = await bench.ask(requests)
            bench.engine.plan = []
            for request, answer in zip(requests, answers, strict=True):
                if answer["39"] == "00":
                    approved += int(answer.text("48.01"))
                else:
                    assert answer in (UNPROVEN, SILENCE)
                    [reversed_] = await bench.ask([bench.reversal_of(request)])
                    assert reversed_["39"] == "00"
        assert await bench.points(card) == approved
        await bench.close()

    asyncio.run(play())


def test_a_fenced_switch_answers_91_and_stops(tmp_path: Path) -> None:
    async def play() -> None:
        bench = Bench(tmp_path)
        bench.engine.fenced = True
        [answer] = await bench.ask([bench.activation(new_card())])
        assert answer is UNPROVEN
        assert bench.stopped == ["the ledger has another owner"]
        [answer] = await bench.ask([bench.activation(new_card())])
        assert answer is UNPROVEN
        await bench.close()

    asyncio.run(play())
