"""Points from card to card through the whole pipeline: the receiver's half comes in the same batch, once."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from switch.iso8583 import Message
from tests.server.bench import Bench
from tests.server.running_switch import new_card


def transfer(bench: Bench, card: str, other: str, points: int) -> Message:
    tags = {"01": f"{points:012d}", "0B": other}
    return bench.message("0200", "406060", card, f48=tags, f60="000001")


@pytest.mark.parametrize("failure", ["", "before", "after"])
def test_points_arrive_once_and_come_back_once(tmp_path: Path, failure: str) -> None:
    async def play() -> None:
        bench = Bench(tmp_path)
        sender, receiver = new_card(), new_card()
        await bench.ask([bench.activation(card) for card in (sender, receiver)])
        await bench.ask([bench.earn(sender, 5)])
        sent = transfer(bench, sender, receiver, 3)
        bench.engine.plan = [failure]
        assert (await bench.one(sent))["39"] == "00"
        assert [await bench.points(card) for card in (sender, receiver)] == [2, 3]
        bench.engine.plan = [failure]
        assert (await bench.one(bench.reversal_of(sent)))["39"] == "00"
        assert [await bench.points(card) for card in (sender, receiver)] == [5, 0]
        assert bench.stopped == []
        await bench.close()

    asyncio.run(play())
