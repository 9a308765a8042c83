"""Batches over the wire: closed, uploaded, ended; remembered by a switch that is started again."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from switch.iso8583 import Message
from switch.ledger.verify import verify
from tests.server.bench import Bench, pin
from tests.server.running_switch import new_card


def close(
    bench: Bench, totals: dict[str, tuple[int, int, int]], mti: str = "0500", batch: int = 1
) -> Message:
    claimed = {
        tag: f"{count:06d}{amount:016d}{points:016d}" for tag, (count, amount, points) in totals.items()
    }
    return bench.message(mti, "920000", None, f22=None, f60=f"{batch:06d}", f63=claimed)


def trailer(bench: Bench) -> Message:
    return bench.message("0500", "960000", None, f22=None, f60="000001")


def item(bench: Bench, original: Message, answer: Message, **more: Any) -> Message:
    data = original.mti + original.text("11") + original.text("13") + original.text("12") + "0" * 22
    fields = {"f4": original["4"], "f37": answer["37"], "f49": "364", "f60": "000001", "f90": data, **more}
    fields.setdefault("f48", {"01": answer["48.01"]})
    return bench.message("0320", original.text("3"), None, f22=None, **fields)


def played(story: Coroutine[Any, Any, None]) -> None:
    asyncio.run(story)


def test_a_day_is_closed(tmp_path: Path) -> None:
    async def story() -> None:
        bench = Bench(tmp_path / "data")
        card = new_card()
        await bench.one(bench.activation(card))
        await bench.one(bench.earn(card, 100))
        redemption = await bench.one(bench.redemption(card, 10))
        assert redemption["39"] == "00"
        request = close(bench, {"01": (1, 1_000_000, 100), "02": (1, 1_000, 10)})
        answer = await bench.one(request)
        assert (answer.mti, answer["39"]) == ("0510", "00")
        assert "63" not in answer
        again = await bench.one(Message("0501", request.fields))
        assert again == answer
        late = await bench.one(bench.earn(card, 1))
        assert (late["39"], late["48.04"], late["48.05"]) == ("12", "0206", "000000000001")
        next_batch = Message("0200", {**bench.earn(card, 1).fields, "60": "000002"})
        assert (await bench.one(next_batch))["39"] == "00"
        await bench.close()

    played(story())


def test_a_day_that_differs_is_uploaded(tmp_path: Path) -> None:
    async def story() -> None:
        bench = Bench(tmp_path / "data")
        card = new_card()
        await bench.one(bench.activation(card))
        earn = bench.earn(card, 100)
        earned = await bench.one(earn)
        lost = bench.earn(card, 3)
        answer = await bench.one(close(bench, {"01": (2, 1_030_000, 103)}))
        assert (answer["39"], answer["63"]) == ("95", {"01": f"{1:06d}{1_000_000:016d}{100:016d}"})
        await bench.close()
        bench.start()
        assert (await bench.one(bench.earn(card, 1)))["48.04"] == "0206", "a restart opens no closed batch"
        known = await bench.one(item(bench, earn, earned))
        assert (known.mti, known["39"]) == ("0330", "00")
        other = await bench.one(item(bench, earn, earned, f4="000001000001"))
        assert (other["39"], other["48.04"]) == ("95", "0405")
        unknown = await bench.one(item(bench, lost, earned, f48={"01": "000000000003"}, f37=None))
        assert (unknown["39"], unknown["48.04"]) == ("25", "0401")
        ended = await bench.one(trailer(bench))
        assert (ended.mti, ended["39"]) == ("0510", "00")
        assert await bench.points(card) == 100
        settings = bench.settings
        await bench.close()
        assert verify(settings.ledger_path, settings.seal_key).problems == []

    played(story())


def test_a_batch_message_that_is_not_whole(tmp_path: Path) -> None:
    async def story() -> None:
        bench = Bench(tmp_path / "data")
        whole = close(bench, {})
        without = Message("0500", {name: value for name, value in whole.fields.items() if name != "63"})
        assert (await bench.one(without))["39"] == "30"
        more = bench.message("0500", "920000", new_card(), f60="000001", f63={}, f52=pin("1234", "0" * 16))
        assert (await bench.one(more))["39"] == "30"
        unknown = bench.message("0500", "910000", None, f22=None, f60="000001", f63={})
        assert (await bench.one(unknown))["39"] == "12"
        card = new_card()
        await bench.one(bench.activation(card))
        earn = bench.earn(card, 1)
        earned = await bench.one(earn)
        data = earn.mti + earn.text("11") + earn.text("13") + earn.text("12") + "1" * 22
        assert (await bench.one(item(bench, earn, earned, f48=None, f90=data)))["39"] == "30"
        await bench.close()

    played(story())
