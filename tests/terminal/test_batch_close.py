"""A terminal on a scripted desk closes its batch: totals, uploads, the report, and cuts in between."""

import sys

from tests.terminal.desk import DEVICES, Desk
from tests.terminal.town import Town

IS_FAST = sys.implementation.name == "cpython"  # elsewhere fewer of the same
# Where no report is looked at there is no printer: drawing takes longer than all else.
UNPRINTED = {name: DEVICES[name] for name in DEVICES if name != "printer"}


def desk_with(town, files=None, printer=False, **more):
    return Desk(files, switch=town, devices=None if printer else UNPRINTED, **more)


def trade(desk):
    """Two earns and a redemption: 253 points given, 100 taken."""
    for keys in ("2500000#", "30000#"):
        desk.earn(keys)
        desk.wait(6000)
    desk.keys("B")
    desk.swipe()
    desk.keys("100#")
    desk.wait(6000)


def close(desk):
    """The batch is closed now, as if it was the hour for it."""
    desk.app.settings.batch_close_hour, desk.app.batch_close_ms = desk.wall()[3], 0
    desk.keys("*")
    desk.wait(0)
    desk.app.settings.batch_close_hour = None


def closes(desk):
    return [(mti, fields) for mti, fields in desk.requests if mti[:2] in ("05", "03") and mti != "0300"]


TOTALS = {
    1: "000002" + "%016d" % 2530000 + "%016d" % 253,
    2: "000001" + "%016d" % 10000 + "%016d" % 100,
}


def test_a_batch_that_agrees_is_closed_reported_and_a_new_one_begins():
    town = Town()
    desk = desk_with(town, printer=True)
    trade(desk)
    printed = len(desk.printed)
    desk.keys("#07351#7351#1")  # the supervisor's menu; whoever opens it first chooses the code
    assert desk.lines == ["Batch 000001", "Closed", "Totals agree"]
    ((mti, fields),) = closes(desk)
    assert (mti, fields[3], fields[60], fields[63]) == ("0500", "920000", "000001", TOTALS)
    report = "\n".join(desk.printed[printed])
    for said in ("BATCH CLOSE", "000001", "2,530,000 rial", "253", "10,000 rial", "Totals agree", "10000001"):
        assert said in report, said
    desk.wait(10000)
    assert desk.app.batch.number == "000002" and desk.app.batch.totals == {}
    desk.earn("10000#")
    assert desk.requests[-1][1][60] == "000002"
    assert not any(name.startswith("batch") for name in desk.files)


def test_a_batch_that_differs_is_uploaded_item_by_item():
    town = Town()
    town.missing = 7
    desk = desk_with(town, printer=True)
    trade(desk)
    first = {fields[11]: fields for mti, fields in desk.requests if mti == "0200"}
    close(desk)
    desk.wait(10000)
    sent = closes(desk)
    assert [mti for mti, _ in sent] == ["0500", "0320", "0320", "0320", "0500"]
    for _, fields in sent[1:4]:
        original = first[fields[90][4:10]]
        assert fields[90] == "0200" + original[11] + original[13] + original[12] + "0" * 22
        assert (fields[3], fields[4], fields[60]) == (original[3], original[4], "000001")
        assert fields[37] == "0A0000012345" and fields[48][1] in ("%012d" % n for n in (250, 3, 100))
        assert fields[2] == "9364001234567898" and 35 not in fields
    assert sent[4][1][3] == "960000" and town.trailers == ["000001"]
    assert any("Totals differ" in line for line in desk.receipt)
    assert desk.app.batch.number == "000002"
    assert len({fields[11] for _, fields in desk.requests}) == len(desk.requests)


def test_what_is_queued_goes_first_and_counts():
    town = Town()
    desk = desk_with(town)
    desk.reachable = False
    desk.lose_line()
    desk.earn()
    desk.wait(20000)
    desk.reachable = True
    close(desk)
    desk.wait(10000)
    assert [mti for mti, _ in desk.requests[-2:]] == ["0220", "0500"]
    assert desk.requests[-1][1][63] == {1: "000001" + "%016d" % 2500000 + "%016d" % 250}
    assert desk.app.batch.number == "000002"


def test_without_a_line_a_batch_is_not_closed():
    desk = desk_with(Town())
    trade(desk)
    desk.reachable = False
    desk.lose_line()
    close(desk)
    desk.wait(8000)
    assert desk.lines == ["Close batch", "No line", "Not closed"]
    assert closes(desk) == [] and desk.app.batch.step is None
    desk.wait(3000)
    desk.earn()
    desk.wait(20000)
    close(desk)
    desk.wait(8000)
    assert desk.lines == ["Close batch", "No line", "Not closed"] and len(desk.app.queue) == 1


def test_a_line_that_breaks_while_closing_goes_on_with_the_same_message():
    town = Town()
    desk = desk_with(town)
    trade(desk)
    town.silent = 2
    desk.reachable = True
    close(desk)
    desk.reachable = False
    desk.lose_line()
    desk.wait(6000)
    assert desk.lines[2] == "Waits for the line"
    desk.earn("10000#")  # recorded, for the batch after this one
    desk.wait(10000)
    desk.reachable = True
    desk.wanted = True
    desk.wait(100000)
    sent = closes(desk)
    assert [mti for mti, _ in sent] == ["0500", "0501", "0501"]
    assert all(fields == sent[0][1] for _, fields in sent)
    queued = [fields for mti, fields in desk.requests if mti in ("0220", "0221")]
    assert [fields[60] for fields in queued] == ["000002"]
    assert desk.app.batch.totals == {1: [1, 10000, 1]}


def test_a_cut_at_every_write_of_a_close_goes_on_right():
    for missing in (0, 7) if IS_FAST else (7,):
        town = Town()
        town.missing = missing
        desk = desk_with(town, printer=IS_FAST)
        trade(desk)
        desk.snapshots = []
        close(desk)
        desk.wait(20000)
        assert len(desk.snapshots) >= (3 if not missing else 7)
        reports = 0
        for files, done in desk.snapshots[:: 1 if IS_FAST else 3]:
            before = town.again(desk.requests[: done[0]])
            again = desk_with(before, files, printer=IS_FAST)
            again.wait(60000)
            if again.app.batch.number == "000001":  # the cut came before anything of it was written
                assert not before.closed and again.app.batch.entries == 3
                continue
            assert list(before.closed.values()) == [TOTALS]
            assert len(before.uploads) == len(set(before.uploads)) == (3 if missing else 0)
            assert before.trailers == (["000001"] if missing else [])
            assert again.app.batch.number == "000002" and again.app.batch.totals == {}
            reports += len([one for one in again.receipts if "BATCH CLOSE" in one["lines"][1]])
            assert len(before.booked) == 3 and not before.reversed
        assert reports >= IS_FAST


def test_a_batch_that_the_switch_closed_before_is_told_and_a_new_one_begins():
    town = Town()
    town.closed = {"000005": {}}
    desk = desk_with(town)
    desk.earn()
    assert desk.screens[-1] == "declined" and "5 are closed" in " ".join(desk.lines)
    desk.wait(10000)
    assert desk.app.batch.number == "000006"
    desk.earn("30000#")
    desk.wait(10000)
    assert desk.transactions[-1]["approved"]


def test_a_close_that_is_refused_leaves_the_batch_open():
    town = Town()
    desk = desk_with(town)
    trade(desk)

    def refuse(mti, fields):
        if mti == "0500":
            answer = {number: fields[number] for number in (11, 12, 41)}
            answer[39] = "58"
            return "0510", answer
        return town(mti, fields)

    desk.switch = refuse
    close(desk)
    assert desk.lines == ["Close batch", "Refused, code 58"]
    desk.wait(10000)
    assert desk.screens[-1] == "idle" and desk.app.batch.number == "000001"
    assert desk_with(town, desk.files).app.batch.entries == 3
    desk.switch = town
    close(desk)
    assert desk.lines == ["Batch 000001", "Closed", "Totals agree"]


def test_an_upload_of_an_earlier_batch_that_the_switch_awaits_is_ended_first():
    town = Town()
    desk = desk_with(town)
    trade(desk)
    asked = []

    def first(mti, fields):
        if mti == "0500" and not asked:
            asked.append(fields)
            answer = {number: fields[number] for number in (11, 12, 41)}
            answer.update({39: "12", 48: {4: "0207", 5: "000000000000"}})
            return "0510", answer
        return town(mti, fields)

    desk.switch = first
    close(desk)
    desk.wait(10000)
    assert town.trailers == ["000000"]
    assert desk.app.batch.number == "000002"
    assert [fields[3] for _, fields in closes(desk)] == ["920000", "960000", "920000"]


def test_the_batch_is_closed_by_itself_at_its_hour():
    town = Town()
    desk = desk_with(town, batch_close_hour=23)  # sign-on said 14:03
    trade(desk)
    desk.now += 8 * 3600 * 1000
    desk.app.downloads.ask_again(desk.now, 8 * 3600 * 1000)  # this switch says 14:03 each time
    desk.wait(30 * 60 * 1000)
    assert closes(desk) == []
    desk.wait(30 * 60 * 1000)
    assert [mti for mti, _ in closes(desk)] == ["0500"]
    assert desk.app.batch.number == "000002"
    desk.wait(30 * 60 * 1000)
    assert len(closes(desk)) == 1
