"""A terminal on a scripted desk: sign-on, the four flows, what cashier and card may do wrong."""

from terminal.flows.dialogue import ENTRY_MS, MESSAGE_MS
from tests.terminal.desk import SWIPE, TRACK2, Desk, always, approve, dead, decline

# ---------------------------------------------------------------- sign-on


def test_no_trading_before_sign_on():
    desk = Desk(switch=dead)
    desk.earn()
    desk.keys("C")
    desk.swipe()
    assert desk.mtis() == ["0800"] and desk.requests[0][1][70] == "001"
    assert desk.screens == ["signing_on"]
    assert desk.wall() is None
    desk.answer(*approve(*desk.requests[0]))
    assert desk.screens == ["signing_on", "idle"]
    assert desk.wall() == (2026, 8, 24, 14, 3, 5)


def test_sign_on_is_repeated_with_growing_pauses_until_answered():
    times = []

    def deaf(mti, fields):
        times.append(desk.now if times else 1000)

    desk = Desk(switch=deaf, answer_timeout_ms=1000)
    desk.wait(200000)
    assert set(desk.mtis()) == {"0800"} and set(desk.screens) == {"signing_on"}
    gaps = [times[place + 1] - times[place] for place in range(len(times) - 1)]
    assert gaps[:5] == [2000, 3000, 5000, 9000, 17000] and max(gaps) == 31000
    stans = [fields[11] for _, fields in desk.requests]
    assert len(set(stans)) == len(stans)


def test_sign_on_refused_or_without_a_date_is_no_sign_on():
    for code, tags, shown in (
        ("58", None, "Terminal not permitted"),
        ("91", None, "Service not available"),
        ("00", None, "Please wait"),
        ("00", {0x10: "20261324140305", 0x12: "00000100"}, "Please wait"),
        ("00", {0x10: "20260824140305", 0x12: "00000000"}, "Please wait"),
    ):
        desk = Desk(switch=always(code, tags))
        assert desk.screens == ["signing_on"]
        desk.wait(1000)
        assert desk.lines[-1] == shown
        assert desk.mtis() == ["0800", "0800"]


def test_the_switch_may_come_later_than_the_terminal():
    desk = Desk(reachable=False)
    desk.wait(50000)
    assert desk.requests == [] and set(desk.screens) == {"signing_on"}
    desk.reachable = True
    desk.run()
    assert desk.screens[-1] == "idle"


def test_sign_on_again_each_hour_unseen_and_after_a_day_in_any_case():
    desk = Desk()
    desk.wait(24 * 3600 * 1000 + 1)
    assert desk.mtis() == ["0800"] * 25
    assert desk.screens.count("signing_on") == 1 and desk.screens[-1] == "idle"
    away = Desk()
    away.reachable = False
    away.lose_line()
    away.wait(24 * 3600 * 1000 - 1)
    assert away.screens.count("signing_on") == 1
    away.wait(2)
    assert away.screens[-1] == "signing_on"


# ---------------------------------------------------------------- the four flows


def test_earn_by_swipe_takes_the_keys_of_the_amount_and_one():
    desk = Desk()
    desk.swipe()
    keys = "2500000" + "#"
    desk.keys(keys)
    assert len(keys) == len("2500000") + 1
    assert desk.screens[2:] == ["amount"] * 8 + ["processing", "approved"]
    mti, fields = desk.requests[-1]
    assert mti == "0200"
    assert fields == {
        3: "210060",
        4: "000002500000",
        11: "000002",
        12: "140305",
        13: "0824",
        22: "021",
        35: TRACK2,
        41: "10000001",
        42: "100000000000001",
        49: "364",
        60: "000001",
    }
    assert desk.lines == ["Earn points", "Approved", "Points 250", "Balance 250"]
    assert len(desk.printed) == 1
    assert desk.transactions == [
        {
            "event": "transaction",
            "flow": "earn",
            "stan": "000002",
            "rrn": "0A0000012345",
            "response_code": "00",
            "approved": True,
            "points": "250",
            "balance": "250",
            "debt": "0",
        }
    ]
    desk.wait(10000)
    assert desk.screens[-1] == "idle"


def test_redeem_sends_the_points_and_what_they_pay():
    desk = Desk()
    desk.keys("B")
    assert desk.lines == ["Redeem points", "Swipe card", "or type number", "* back"]
    desk.swipe()
    desk.keys("100#")
    mti, fields = desk.requests[-1]
    assert (mti, fields[3], fields[4], fields[48]) == ("0200", "006000", "000000010000", {1: "000000000100"})
    assert desk.transactions[0]["flow"] == "redeem"
    assert desk.transactions[0]["points"] == "100"


def test_balance_and_activate():
    for key, flow, kind in (("C", "balance", ("0100", "306000")), ("D", "activate", ("0300", "720000"))):
        desk = Desk()
        desk.keys(key)
        desk.swipe()
        if flow == "activate":
            desk.keys("#")
        mti, fields = desk.requests[-1]
        assert (mti, fields[3]) == kind
        assert sorted(fields) == [3, 11, 12, 13, 22, 35, 41, 42]
        assert desk.transactions[0]["flow"] == flow and desk.transactions[0]["balance"] == "250"
        assert len(desk.printed) == 1


def test_earn_by_key_asks_for_the_card_first():
    desk = Desk()
    desk.keys("A")
    assert desk.screens[-1] == "swipe"
    desk.earn()
    assert desk.transactions[0]["flow"] == "earn"


def test_a_decline_says_why_and_prints_nothing():
    desk = Desk()
    desk.switch = decline("51", {2: "%012d" % 7})
    desk.keys("B")
    desk.swipe()
    desk.keys("100#")
    assert desk.lines == ["Redeem points", "Declined 51", "Not enough points"]
    assert desk.printed == []
    event = desk.transactions[0]
    assert (event["approved"], event["response_code"], event["balance"]) == (False, "51", "7")
    assert Desk(desk.files).mtis() == ["0800"]


def test_an_invalid_amount_asks_for_the_ratio_again():
    desk = Desk()
    desk.switch = decline("13")
    desk.keys("B")
    desk.swipe()
    desk.keys("100#")
    desk.wait(10000)
    assert desk.mtis() == ["0800", "0200", "0800"]
    assert desk.screens[-1] == "idle"


def test_debt_is_shown():
    desk = Desk()
    desk.switch = decline("00", {1: "%012d" % 5, 2: "0" * 12, 3: "%012d" % 45})
    desk.earn()
    assert desk.lines[-1] == "Debt 45"
    assert desk.transactions[0]["debt"] == "45"
    assert [line for line in desk.printed[0] if line.startswith("Debt")] == ["Debt" + " " * 26 + "45"]


def test_the_next_customer_may_swipe_while_the_result_is_shown():
    desk = Desk()
    desk.earn()
    desk.earn("10000#")
    assert [event["flow"] for event in desk.transactions] == ["earn", "earn"]
    desk.keys("C")
    assert desk.screens[-1] == "swipe"


def test_the_screens_speak_the_terminals_language():
    desk = Desk(locale="fa", receipt_locales=["fa", "en"])
    desk.earn()
    assert desk.lines == ["کسب امتیاز", "انجام شد", "امتیاز ۲۵۰", "مانده ۲۵۰"]
    assert [len(receipt) > 8 for receipt in desk.printed] == [True, True]


# ---------------------------------------------------------------- cashier and card


def test_other_cards_are_refused_and_nothing_is_sent():
    for card in ("4111111111111111", "9364001234567890", "936400123456785", "93640012345678901"):
        text = card + "=2912"
        check_digit = 0
        for letter in ";" + text + "?":
            check_digit ^= ord(letter) - 0x30
        desk = Desk()
        desk.swipe((";" + text + "?" + chr(0x30 + check_digit) + "\r").encode())
        assert desk.lines[:2] == ["Card", "Not of this"], card
        assert desk.mtis() == ["0800"]
        assert card not in str((desk.lines, desk.logs))
        desk.wait(10000)
        assert desk.screens[-1] == "idle"


def test_a_bad_swipe_is_told_and_the_next_one_counts():
    desk = Desk()
    desk.swipe(SWIPE[:-2] + b"1\r")
    assert desk.lines == ["Card not read", "Swipe again"]
    desk.swipe()
    assert desk.screens[-1] == "amount"
    desk.keys("**C")
    desk.swipe(b";E?\r")
    assert desk.screens[-1] == "swipe" and desk.lines[-1] == "Swipe again"
    desk.swipe()
    assert desk.transactions[0]["flow"] == "balance"


def test_keys_of_an_amount():
    desk = Desk()
    desk.swipe()
    for keys, shown in (("0", "0"), ("1", "1"), ("05A#"[:2], "105"), ("BCD", "105"), ("*", "0"), ("#", "0")):
        desk.keys(keys)
        assert desk.lines[2] == shown, keys
    desk.keys("9" * 12)
    assert desk.lines[2] == "9" * 8 + "****"  # what watchers hear of it
    desk.keys("9")
    assert desk.lines[1] == "Not valid"
    desk.wait(MESSAGE_MS)
    assert desk.lines[2] == "0"
    desk.keys("*")
    desk.keys("*")
    assert desk.screens[-1] == "idle"
    assert desk.mtis() == ["0800"]


def test_a_cashier_who_walks_away():
    for keys in ("", "12"):
        desk = Desk()
        desk.swipe()
        desk.keys(keys)
        desk.wait(ENTRY_MS)
        assert desk.screens[-1] == "idle"
    desk.keys("C")
    desk.wait(ENTRY_MS)
    assert desk.screens[-1] == "idle"


def test_points_whose_worth_does_not_fit():
    desk = Desk()
    desk.keys("B")
    desk.swipe()
    desk.keys("9" * 12 + "#")
    assert desk.lines == ["Points", "Too many"]
    assert desk.mtis() == ["0800"]


def test_a_missing_device_is_told():
    desk = Desk()
    for name, said in (("printer", "No printer"), ("keypad", "No keypad"), ("reader", "No card reader")):
        desk.app.device(name, False)
        assert said in desk.lines
    for name in ("printer", "keypad", "reader"):
        desk.app.device(name, True)
    assert desk.lines[-1] == "# more"
    assert desk.logs[-1] == "reader: back"
