"""Limits as settings name them, and over the wire: declined with a reason, confirmed, refused settings."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from switch.defaults import create_defaults
from switch.iso8583 import Message
from switch.loyalty.limits import Limit
from switch.settings import SettingsError, load
from tests.server.bench import Bench
from tests.server.running_switch import new_card

GOOD = """\
[[program.limits]]
scope = "terminal"
period = "month"
operation = "redeem"
measure = "amount"
most = 7
"""


def settings_with(tmp_path: Path, text: str) -> Path:
    source = create_defaults(tmp_path / "data").source
    source.write_text(source.read_text(encoding="utf-8") + "\n" + text, encoding="utf-8")
    return source


def test_limits_are_read(tmp_path: Path) -> None:
    settings = load(
        settings_with(tmp_path, "[program]\ndouble_swipe_s = 30\nunique_receipts = true\n" + GOOD)
    )
    checks = settings.program.checks
    assert checks.limits == (Limit("terminal", "month", "redeem", "amount", 7),)
    assert (checks.double_swipe_ms, checks.unique_receipts) == (30_000, True)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (GOOD.replace('"terminal"', '"shop"'), 'scope: expected "card" or "terminal" or'),
        (GOOD.replace('"terminal"', '"card"'), "a card's rial isn't counted"),
        (GOOD.replace("most = 7", "most = -1"), "most: expected a whole number from 0"),
        (GOOD.replace("most = 7", ""), "program.limits[0].most is missing"),
        ("[program]\nlimits = 5\n", "program.limits: expected tables"),
        ("[program]\ndouble_swipe_s = 3601\n", "program.double_swipe_s: expected seconds, 0 to 3600"),
    ],
)
def test_wrong_limits_are_refused(tmp_path: Path, wrong: str, told: str) -> None:
    with pytest.raises(SettingsError) as raised:
        load(settings_with(tmp_path, wrong))
    assert told in str(raised.value)


def test_declined_and_confirmed_over_the_wire(tmp_path: Path) -> None:
    async def story() -> None:
        bench = Bench(
            tmp_path / "data",
            double_swipe_s=60,
            unique_receipts=True,
            limits=(Limit("card", "day", "redeem", "points", 20),),
        )
        card = new_card()
        await bench.one(bench.activation(card))
        assert (await bench.one(bench.earn(card, 100, f62="A-1")))["39"] == "00"
        again = await bench.one(bench.earn(card, 100, f62="A-2"))
        assert (again["39"], again["48.04"], again["48.05"]) == ("94", "0601", "000000000060")
        used = await bench.one(bench.earn(card, 50, f62="A-1"))
        assert (used["39"], used["48.04"]) == ("94", "0602")
        meant = await bench.one(bench.earn(card, 100, f62="A-2", f48={"14": "01"}))
        assert (meant["39"], meant["48.02"]) == ("00", "000000000200")
        assert (await bench.one(bench.redemption(card, 10)))["39"] == "00"
        assert (await bench.one(bench.redemption(card, 10)))["48.04"] == "0601"
        assert (await bench.one(bench.redemption(card, 10, {"14": "01"})))["39"] == "00"
        above = await bench.one(bench.redemption(card, 1))
        assert (above["39"], above["48.04"], above["48.05"]) == ("61", "0501", "000000000020")
        earn = bench.earn(card, 3)
        advice = Message("0220", earn.fields)
        assert [(await bench.one(advice))["39"] for _ in range(2)] == ["00", "00"]
        await bench.close()

    asyncio.run(story())


def test_a_balance_is_of_the_unit_that_is_asked_for(tmp_path: Path) -> None:
    async def story() -> None:
        bench = Bench(tmp_path / "data")
        card = new_card()
        await bench.one(bench.activation(card))
        await bench.one(bench.earn(card, 5))
        told = []
        for account in ("60", "61", "62", "63", "69"):
            answer = await bench.one(bench.message("0100", f"30{account}00", card))
            told.append((answer["39"], answer.text("48.02") if "48.02" in answer else ""))
        await bench.close()
        assert told == [("00", f"{5:012d}"), *[("00", f"{0:012d}")] * 3, ("12", "")]

    asyncio.run(story())
