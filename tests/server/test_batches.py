"""Batches over the wire: closed, uploaded, ended; remembered by a switch that is started again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from switch.iso8583 import Message
from switch.ledger.verify import verify
from tests.server.bench import Bench, pin
from tests.server.moment import local_moment
from tests.server.running_switch import new_card
from tools.cli import run


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
        await bench.close()

    played(story())


Capture = pytest.CaptureFixture[str]


class Day(NamedTuple):
    """A data directory: batch 1 agreed, batch 2 with differences, a reversal after it."""

    data: Path
    terminal: str
    acceptor: str
    card: str
    stans: dict[str, str]  # of what differs
    rrns: dict[str, str]

    def printed(self, capsys: Capture, command: str, code: int = 0) -> str:
        assert run([*command.split(), "--data", str(self.data)]) == code, capsys.readouterr().err
        return capsys.readouterr().out

    def document(self, capsys: Capture, command: str, code: int = 0) -> Any:
        return json.loads(self.printed(capsys, f"{command} --format json", code))


def in_batch_2(message: Message) -> Message:
    return Message(message.mti, {**message.fields, "60": "000002"})


async def differing_day(data: Path) -> Day:
    bench = Bench(data)
    card = new_card()
    await bench.one(bench.activation(card))
    await bench.one(bench.earn(card, 100))
    assert (await bench.one(close(bench, {"01": (1, 1_000_000, 100)})))["39"] == "00"
    sent = {name: in_batch_2(bench.earn(card, 10)) for name in ("equal", "twice", "not_uploaded", "late")}
    sent["other_values"] = in_batch_2(bench.redemption(card, 20))
    answers = {name: await bench.one(message) for name, message in sent.items()}
    cancelled = in_batch_2(bench.earn(card, 7))
    await bench.one(cancelled)
    await bench.one(bench.reversal_of(cancelled))
    sent["unknown"] = in_batch_2(bench.earn(card, 1))
    claimed = {"01": (5, 410_000, 41), "02": (1, 2_100, 21)}
    assert (await bench.one(close(bench, claimed, batch=2)))["39"] == "95"
    for name in ("equal", "late", "twice", "twice"):
        assert (await bench.one(item(bench, sent[name], answers[name], f60="000002")))["39"] == "00"
    changed = {"f4": "000000002100", "f48": {"01": "000000000021"}}
    await bench.one(item(bench, sent["other_values"], answers["other_values"], f60="000002", **changed))
    points = {"48": {"01": "000000000001"}}
    await bench.one(item(bench, sent["unknown"], answers["equal"], f60="000002", f48=points["48"], f37=None))
    assert (await bench.one(in_batch_2(trailer(bench))))["39"] == "00"
    assert (await bench.one(bench.reversal_of(sent["late"])))["39"] == "00"
    settings = bench.settings
    await bench.close()
    assert verify(settings.ledger_path, settings.seal_key).problems == []
    terminal = settings.terminals[0]
    stans = {name: message.text("11") for name, message in sent.items()}
    rrns = {name: answer.text("37") for name, answer in answers.items()}
    return Day(data, terminal.id, terminal.acceptor, card, stans, rrns)


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Day:
    return asyncio.run(differing_day(tmp_path_factory.mktemp("day") / "data"))


def test_closed_batches_are_listed(day: Day, capsys: Capture) -> None:
    document = day.document(capsys, "batch list")
    assert [(one["terminal"], one["batch"], one["state"]) for one in document["batches"]] == [
        (day.terminal, "1", "agreed"),
        (day.terminal, "2", "different"),
    ]
    text = day.printed(capsys, "batch list --differences")
    assert [line.split()[:2] for line in text.splitlines()[1:]] == [[day.terminal, "000002"]]
    assert day.document(capsys, "batch list --terminal 99999999") == {"batches": []}
    assert "بسته با اختلاف" in day.printed(capsys, "batch list --language fa")


def test_both_sides_totals_are_shown(day: Day, capsys: Capture) -> None:
    agreed = day.document(capsys, f"batch show {day.terminal} 1")
    assert (agreed["state"], [line["agrees"] for line in agreed["totals"]]) == ("agreed", [True])
    earned, redeemed = day.document(capsys, f"batch show {day.terminal} 2", 1)["totals"]
    assert earned["claimed"] == {"entries": "5", "amount": "410000", "points": "41"}
    assert earned["booked"] == {"entries": "4", "amount": "400000", "points": "40"}
    assert redeemed["booked"] == {"entries": "1", "amount": "2000", "points": "20"}
    assert "410,000" in day.printed(capsys, f"batch show {day.terminal} 2", 1)
    assert "۴۱۰٬۰۰۰" in day.printed(capsys, f"batch show {day.terminal} 2 --language fa", 1)


def test_the_work_list_has_each_item_that_differs(day: Day, capsys: Capture) -> None:
    items = day.document(capsys, f"batch differences {day.terminal} 2", 1)["items"]
    found = {one["finding"]: one for one in items}
    assert len(found) == len(items) == 4
    for finding in ("twice", "not_uploaded", "other_values"):
        assert (found[finding]["stan"], found[finding]["rrn"]) == (day.stans[finding], day.rrns[finding])
    assert (found["unknown"]["stan"], found["unknown"]["booked"]) == (day.stans["unknown"], None)
    assert found["other_values"]["claimed"] == {"amount": "2100", "points": "21"}
    assert found["other_values"]["booked"] == {"amount": "2000", "points": "20"}
    assert found["not_uploaded"]["claimed"] is None
    text = day.printed(capsys, f"batch differences {day.terminal} 2", 1)
    assert day.rrns["not_uploaded"] in text
    assert day.card not in text
    assert day.printed(capsys, f"batch differences {day.terminal} 1") == "none\n"


def test_a_batch_that_nobody_closed(day: Day, capsys: Capture) -> None:
    assert run(["batch", "show", day.terminal, "9", "--data", str(day.data)]) == 1
    assert "closed no batch 9" in capsys.readouterr().err


@pytest.mark.parametrize("holder", ["merchant", "terminal"])
def test_a_days_totals(day: Day, capsys: Capture, holder: str) -> None:
    name = getattr(day, {"merchant": "acceptor"}.get(holder, holder))
    document = day.document(capsys, f"settlement totals --{holder} {name}")
    [one] = document[f"{holder}s"]
    assert one[holder] == name
    counts = {entry["operation"]: tuple(entry.values())[1:] for entry in one["operations"]}
    assert counts["earn"] == ("6", "1470000", "147")
    assert counts["earn.reversal"] == ("2", "170000", "17")
    assert counts["redeem"] == ("1", "2000", "20")
    if holder == "merchant":  # 130 points of 100 rial each, less 20 taken for 2,000 rial
        assert one["rial_to_date"] == {"owes": "13000", "is_owed": "2000", "net": "-11000"}


def test_earns_that_come_after_their_day_are_told_apart(tmp_path: Path, capsys: Capture) -> None:
    data, card, today = tmp_path / "data", new_card(), local_moment().date()

    async def story() -> tuple[str, list[str]]:
        bench = Bench(data)
        await bench.one(bench.activation(card))
        told = []
        for mti, days in (("0220", 0), ("0220", 1), ("0220", 6), ("0200", 1), ("0220", 40)):
            sold = {"13": f"{today - timedelta(days=days):%m%d}"}
            answer = await bench.one(Message(mti, {**bench.earn(card, 10 + days).fields, **sold}))
            told.append(answer.text("39"))
        balance = await bench.one(bench.balance(card))
        await bench.close()
        assert verify(bench.settings.ledger_path, bench.settings.seal_key).problems == []
        return balance.text("37"), told

    rrn, told = asyncio.run(story())
    assert told == ["00", "00", "00", "00", "12"]  # the last one is older than the horizon
    day = Day(data, "", "", card, {}, {})
    [merchant] = day.document(capsys, "settlement totals")["merchants"]
    counts = {entry["operation"]: tuple(entry.values())[1:] for entry in merchant["operations"]}
    assert counts["earn"][0] == "4"
    assert counts["earn.late"] == ("2", "270000", "27")
    assert "booked late, of earn" in day.printed(capsys, "settlement totals")
    entries = day.document(capsys, f"ledger statement --rrn {rrn}")["entries"]
    sold_on = [entry["sold"] for entry in entries if entry["operation"] == "earn"]
    assert sold_on == ["", *(str(today - timedelta(days=back)) for back in (1, 6)), ""]
    assert "earn (late, of " in day.printed(capsys, f"ledger statement --rrn {rrn}")


def test_totals_of_another_day_or_nobody(day: Day, capsys: Capture) -> None:
    document = day.document(capsys, f"settlement totals --day 2020-01-01 --merchant {day.acceptor}")
    assert document["merchants"][0]["operations"] == []
    assert day.document(capsys, "settlement totals --terminal 99999999")["terminals"] == []
    assert "روز کاری" in day.printed(capsys, "settlement totals --language fa")
    both = ["settlement", "totals", "--merchant", "1", "--terminal", "2", "--data", str(day.data)]
    assert run(both) == 2


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
