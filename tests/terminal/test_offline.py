"""A terminal on a scripted desk whose line is down: what is recorded, refused, sent later, never twice."""

import sys

from tests.terminal.desk import DEVICES, Desk, dead, decline
from tests.terminal.town import Town

# Where no slip is looked at there is no printer: drawing takes longer than all else.
UNPRINTED = {name: DEVICES[name] for name in DEVICES if name != "printer"}


def cut_off(town=None, printer=False, **limits):
    """A desk that has signed on and then lost its line, which stays away."""
    desk = Desk(switch=town or Town(), devices=None if printer else UNPRINTED, **limits)
    desk.reachable = False
    desk.lose_line()
    return desk


def back(desk, time_ms=30000):
    """The line comes back."""
    desk.reachable = True
    desk.wanted = True
    desk.run()
    desk.wait(time_ms)


def earn(desk, keys="2500000#"):
    desk.earn(keys)
    desk.wait(20000)


def advices(desk):
    return [(mti, fields) for mti, fields in desk.requests if mti in ("0220", "0221")]


def test_an_earn_without_a_line_is_recorded_and_promises_nothing():
    desk = cut_off(printer=True)
    desk.earn()
    desk.wait(8000)
    assert desk.lines == ["Earn points", "Recorded", "Points come later"]
    assert desk.mtis() == ["0800"] and len(desk.printed) == 1
    said = "\n".join(desk.printed[0])
    assert "Points come later" in said and "2,500,000" in said and "****" in said
    assert "Balance" not in said and "Points earned" not in said
    (event,) = desk.transactions
    assert (event["flow"], event["points"], event["queued"]) == ("queued", "0", "1")
    desk.wait(10000)
    assert desk.screens[-1] == "idle"


def test_it_is_sent_when_the_line_is_back_as_it_was_and_booked_once():
    town = Town()
    desk = cut_off(town)
    earn(desk)
    earn(desk, "30000#")
    back(desk)
    sent = advices(desk)
    assert [mti for mti, _ in sent] == ["0220", "0220"]
    first = sent[0][1]
    assert first[4] == "000002500000" and first[22] == "021" and 35 in first
    assert first[60] == "000001" and first[11] < sent[1][1][11]
    assert first[12] < sent[1][1][12]  # their own moments
    assert sorted([one[1:] for one in town.booked.values()]) == [(1, 30000, 3), (1, 2500000, 250)]
    assert [event["flow"] for event in desk.transactions] == ["queued", "queued", "advice", "advice"]
    assert desk.app.batch.totals == {1: [2, 2530000, 253]}
    assert len(desk.app.queue) == 0 and desk.screens[-1] == "idle"


def test_the_second_earn_in_a_row_is_recorded_like_the_first():
    desk = cut_off()
    for _ in range(5):
        earn(desk, "10000#")
    assert len(desk.app.queue) == 5
    assert desk.mtis() == ["0800"]


def test_without_an_answer_it_is_repeated_under_its_own_identity():
    town = Town()
    desk = cut_off(town)
    earn(desk)
    town.silent = 3
    back(desk, 200000)
    sent = advices(desk)
    assert [mti for mti, _ in sent] == ["0220", "0221", "0221", "0221"]
    assert all(fields == sent[0][1] for _, fields in sent)
    assert len(set(desk.serials)) == len(desk.serials)
    assert len(town.booked) == 1 and desk.app.batch.totals == {1: [1, 2500000, 250]}


def test_a_switch_that_can_not_answer_now_leads_to_the_queue_not_to_a_reversal():
    for code in ("91", "96"):
        town = Town()
        desk = Desk(switch=decline(code), devices=UNPRINTED)
        desk.earn()
        desk.wait(1000)
        assert desk.lines[1] == "Recorded"
        stan = desk.requests[-1][1][11]
        desk.switch = town
        desk.wait(60000)
        assert desk.mtis()[:2] == ["0800", "0200"] and "0420" not in desk.mtis()
        assert desk.requests[-1][1][11] == stan and len(town.booked) == 1
        assert len(desk.app.queue) == 0


def test_what_the_switch_does_not_take_is_kept_as_refused():
    town = Town()
    town.refuses = {"210060": "14"}
    desk = cut_off(town)
    earn(desk)
    back(desk)
    assert len(desk.app.queue) == 0 and desk.app.batch.refused == 1 and desk.app.batch.totals == {}
    ((record, answer),) = list(desk.app.journal.transactions())
    assert record and answer
    assert any("refused with 14" in what for what in desk.logs)
    assert not desk.transactions[-1]["approved"]
    assert Desk(desk.files).app.batch.refused == 1


def test_redeeming_needs_the_line():
    desk = cut_off()
    desk.keys("B")
    desk.swipe()
    desk.keys("100#")
    desk.wait(8000)
    assert desk.lines == ["No line", "Nothing was sent", "Try again"]
    assert len(desk.app.queue) == 0 and desk.printed == []


def test_each_limit_refuses_and_keeps_nothing():
    cases = (
        ({"offline_rial_each": 99999}, 0, "Amount too high"),
        ({"offline_most": 2}, 2, "Too many recorded"),
        ({"offline_day": 2}, 2, "The day's limit"),
        ({"offline_rial": 299999}, 2, "The day's limit"),
        ({"offline_points": 29}, 2, "The day's limit"),
    )
    for limits, taken, said in list(cases)[:: 1 if sys.implementation.name == "cpython" else 3]:
        desk = cut_off(**limits)
        for _ in range(taken):
            earn(desk, "100000#")
        files = {name: desk.files[name] for name in desk.files if not name.startswith(("keys", "stan"))}
        desk.earn("100000#")
        desk.wait(100 if taken else 8000)
        assert desk.lines[0] == "No line" and desk.lines[1] == said, (limits, desk.lines)
        assert len(desk.app.queue) == taken
        assert {name: desk.files[name] for name in files} == files


def test_a_day_later_the_limits_of_a_day_are_free_and_an_old_queue_is_not():
    desk = cut_off(offline_day=1, offline_hours=30)
    earn(desk, "100000#")
    desk.earn("100000#")
    desk.wait(100)
    assert desk.lines[1] == "The day's limit"
    desk.wait(10000)
    desk.now += 24 * 3600 * 1000
    desk.wait(60000)
    earn(desk, "100000#")
    assert len(desk.app.queue) == 2
    desk.now += 12 * 3600 * 1000
    desk.earn("100000#")
    desk.wait(100)
    assert desk.lines[0] == "No line for too long"
    assert len(desk.app.queue) == 2


def test_no_offline_earns_where_they_are_not_wanted():
    desk = cut_off(offline_most=0)
    desk.earn()
    desk.wait(8000)
    assert desk.lines == ["No line", "Nothing was sent", "Try again"]


def test_a_full_storage_refuses_and_keeps_nothing():
    desk = cut_off()
    desk.app.stans.take()
    desk.full = True
    desk.earn()
    desk.wait(8000)
    assert desk.lines[0] == "Storage error" and len(desk.app.queue) == 0 and desk.printed == []
    desk.full = False
    earn(desk)
    assert len(desk.app.queue) == 1
    assert len(Desk(desk.files, reachable=False).app.storage.files["queue.0"]) > 100


def test_a_cut_at_every_write_loses_none_and_books_none_twice():
    town = Town()
    desk = cut_off(town)
    desk.snapshots = []
    earn(desk)
    earn(desk, "30000#")
    town.silent = 1
    back(desk)
    assert len(town.booked) == 2 and len(desk.snapshots) >= 6
    told = 0
    for files, done in desk.snapshots[:: 1 if sys.implementation.name == "cpython" else 3]:
        before = town.again(desk.requests[: done[0]])
        again = Desk(files, switch=before, devices=UNPRINTED)
        again.wait(60000)
        assert again.screens[-1] == "idle" and len(again.app.queue) == 0
        taken = sum([one[2] for one in before.booked.values()])
        assert taken in (2500000, 2530000) or (taken == 0 and told == 0), taken
        assert taken >= told
        told = taken
        assert again.app.batch.totals_field() == before.totals("000001")
        assert not before.reversed


def test_a_cut_before_the_slip_came_out_prints_it_again():
    desk = cut_off(printer=True)
    desk.paper = None
    desk.earn()
    desk.wait(30000)
    again = Desk(desk.files, reachable=False)
    assert "Points come later" in "\n".join(again.receipt) and "LAST TRANSACTION" in again.receipt[1]
    assert Desk(again.files, reachable=False).receipt is None


def test_a_card_swiped_while_an_advice_waits_for_its_answer_is_served_next():
    desk = cut_off()
    earn(desk)
    town = desk.switch
    desk.switch = lambda mti, fields: None if mti == "0220" else town(mti, fields)
    back(desk, 0)
    assert desk.mtis()[-1] == "0220"
    desk.swipe()
    desk.wait(15000)
    assert desk.screens[-1] == "amount"
    desk.keys("10000#")
    desk.wait(60000)
    assert len(town.booked) == 2 and len(desk.app.queue) == 0


def test_a_sign_on_that_has_run_out_stops_no_sale():
    desk = cut_off(printer=True)
    desk.now += 25 * 3600 * 1000
    desk.wait(60000)
    assert desk.screens[-1] == "signing_on"
    earn(desk)
    assert len(desk.app.queue) == 1 and len(desk.printed) == 1
    back(desk, 60000)
    assert desk.mtis()[-2:] == ["0800", "0220"] and len(desk.app.queue) == 0


def test_a_damaged_item_is_given_up_and_told_and_the_next_one_is_sent():
    town = Town()
    desk = cut_off(town)
    earn(desk)
    earn(desk, "30000#")
    data = bytearray(desk.files["queue.0"])
    data[20] ^= 1
    desk.files["queue.0"] = bytes(data)
    back(desk, 60000)
    assert len(desk.app.queue) == 0 and desk.app.batch.refused >= 1
    assert any("can't be sent" in what for what in desk.logs)


def test_a_copy_of_the_slip_can_be_had_after_a_restart():
    desk = cut_off(printer=True)
    earn(desk)
    again = Desk(desk.files, switch=dead)
    again.switch = Town()
    again.wait(60000)
    again.keys("#3")
    assert "COPY" in again.receipt[1] and "Points earned" in "\n".join(again.receipt)
    desk.app.last = None
    show, shown = desk.app.screens.show, []
    desk.app.screens.show = lambda *of, text=None: shown.append(text) or show(*of, text=text)
    desk.keys("#3")
    assert "COPY" in desk.receipt[1] and "Points come later" in "\n".join(desk.receipt)
    assert "offline_kept" in shown and "last" not in shown  # which would tell points and a balance


def test_an_amount_that_is_keyed_in_meanwhile_is_not_lost():
    desk = cut_off()
    earn(desk)
    town = desk.switch
    desk.switch = lambda mti, fields: None if mti == "0220" else town(mti, fields)
    back(desk, 0)
    desk.keys("0*99*02500")
    desk.wait(15000)
    assert desk.screens[-1] == "amount" and "2,500" in " ".join(desk.lines)
    desk.keys("**")
    desk.wait(60000)
    assert desk.screens[-1] == "idle" and len(desk.app.queue) == 0
