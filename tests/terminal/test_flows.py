"""The whole terminal on a scripted desk: the four flows, their declines, reversals, restarts and faults."""

import gc
import sys

from terminal.app import LOGGED_IGNORED
from terminal.flows.dialogue import ENTRY_MS
from terminal.line import framed
from terminal.message import pack
from tests.terminal.desk import (
    CARD,
    OK,
    PAPER_OUT,
    SWIPE,
    TRACK2,
    Desk,
    always,
    approve,
    dead,
    decline,
    echoes,
    silent,
)

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


def test_sign_on_again_after_a_day():
    desk = Desk()
    desk.wait(24 * 3600 * 1000 + 1)
    assert desk.mtis() == ["0800", "0800"]
    assert desk.screens[-1] == "idle"


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
    desk.keys("9" * 15)
    assert desk.lines[2] == "999,999,999,999"
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
        assert desk.lines[-1] == said
    for name in ("printer", "keypad", "reader"):
        desk.app.device(name, True)
    assert desk.lines[-1] == "D activate"
    assert desk.logs[-1] == "reader: back"


# ---------------------------------------------------------------- reversal


def test_no_answer_leads_to_a_reversal_at_once_repeated_until_answered():
    desk = Desk()
    desk.switch = dead
    desk.earn()
    assert desk.mtis() == ["0800", "0200"]
    desk.wait(15000)
    assert desk.mtis() == ["0800", "0200", "0420"]
    assert desk.lines[:3] == ["Reversal", "No answer to", "STAN 000002"]
    desk.wait(40000)
    assert desk.mtis() == ["0800", "0200", "0420", "0421", "0421"]
    desk.switch = decline_reversal_with("91", "96", "63")
    desk.wait(40000)
    assert desk.mtis()[5:] == ["0421"] * 4
    reversals = [fields for mti, fields in desk.requests if mti in ("0420", "0421")]
    for fields in reversals:
        assert fields == {
            3: "210060",
            4: "000002500000",
            11: "000003",
            12: "140305",
            13: "0824",
            35: TRACK2,
            41: "10000001",
            42: "100000000000001",
            49: "364",
            60: "000001",
            90: "0200" + "000002" + "0824" + "140305" + "0" * 22,
        }
    (event,) = desk.transactions
    assert (event["flow"], event["approved"], event["stan"]) == ("reversal", True, "000003")
    assert event["original_stan"] == "000002" and event["balance"] == "250"
    assert desk.printed == []
    desk.wait(10000)
    assert desk.screens[-1] == "idle"


def decline_reversal_with(*codes):
    """Answers reversals with each code in turn, then approves."""
    left = list(codes)

    def switch(mti, fields):
        if left and mti in ("0420", "0421"):
            answer = echoes(fields)
            answer[39] = left.pop(0)
            return "0430", answer
        return approve(mti, fields)

    return switch


def test_a_reversal_of_redeem_carries_the_points():
    desk = Desk()
    desk.switch = silent
    desk.keys("B")
    desk.swipe()
    desk.keys("100#")
    desk.wait(15000)
    assert desk.requests[-1][1][48] == {1: "000000000100"}


def test_a_refused_reversal_ends_and_stays_on_the_screen_until_it_is_read():
    desk = Desk()
    desk.switch = silent
    desk.earn()
    desk.switch = decline_reversal_with("12")
    desk.wait(15000)
    (event,) = desk.transactions
    assert (event["flow"], event["approved"], event["response_code"]) == ("reversal", False, "12")
    assert desk.logs[-1] == "reversal of STAN 000002 refused with 12"
    desk.wait(60000)
    assert desk.screens[-1] == "message"
    desk.keys("#")
    assert desk.screens[-1] == "idle"


def test_a_broken_line_leads_to_a_reversal_at_once():
    desk = Desk()
    desk.switch = silent
    desk.earn()
    desk.lose_line()
    assert desk.mtis() == ["0800", "0200", "0420"]
    assert desk.transactions[0]["flow"] == "reversal"


def test_a_reversal_waits_for_the_line_and_nothing_overtakes_it():
    desk = Desk()
    desk.switch = dead
    desk.earn()
    desk.reachable = False
    desk.lose_line()
    desk.wait(100000)
    desk.earn()
    desk.keys("C")
    desk.swipe()
    assert desk.mtis() == ["0800", "0200"]
    desk.switch = approve
    desk.reachable = True
    desk.run()
    desk.wait(5000)
    assert desk.mtis() == ["0800", "0200", "0420"]


def test_a_line_that_breaks_during_the_reversal():
    desk = Desk()
    desk.switch = dead
    desk.earn()
    desk.lose_line()
    desk.lose_line()
    desk.switch = approve
    desk.wait(5000)
    assert desk.mtis() == ["0800", "0200", "0420", "0421"]
    assert desk.transactions[0]["flow"] == "reversal"


def test_a_request_that_never_left_needs_no_reversal():
    desk = Desk()
    desk.reachable = False
    desk.lose_line()
    desk.earn()
    desk.wait(8000)
    assert desk.lines == ["No line", "Nothing was sent", "Try again"]
    assert desk.mtis() == ["0800"] and desk.transactions == []
    again = Desk(desk.files)
    assert again.mtis() == ["0800"] and again.screens[-1] == "idle"


def test_a_connection_that_takes_no_byte_is_replaced_once():
    desk = Desk()
    desk.takes = 0
    desk.earn()
    assert desk.lines[0] == "No line"
    assert Desk(desk.files).mtis() == ["0800"]
    desk = Desk()

    def send(data):
        del desk.send
        return 0

    desk.send = send
    desk.earn()
    assert desk.mtis() == ["0800", "0200"]
    assert desk.transactions[0]["approved"]


def test_a_connection_that_takes_a_part_leads_to_a_reversal():
    desk = Desk()
    desk.takes = 5
    desk.swipe()
    desk.app.pressed(b"10000#")
    desk.takes = None
    desk.run()
    assert desk.mtis() == ["0800", "0420"]
    assert desk.transactions[0]["flow"] == "reversal"


# ---------------------------------------------------------------- answers that are none


def test_unverified_and_foreign_answers_are_ignored():
    desk = Desk()
    desk.switch = dead
    desk.earn()
    right = approve(*desk.requests[-1])
    desk.answer(*right, mac=desk.host_keys().request_mac)
    desk.answer(*right, mac=desk.host_keys(0).answer_mac)
    for wrong in ({11: "000099"}, {12: "140306"}, {41: "10000002"}):
        desk.answer(right[0], changed(right[1], wrong))
    desk.answer("0230", right[1])
    desk.answer("0110", right[1])
    without = dict(right[1])
    del without[39]
    desk.answer("0210", without)
    unsigned = pack("0210", right[1])
    desk.app.received(framed(unsigned, b"\x60\x00\x00\x00\x03"))
    desk.app.received(framed(b"\x02\x10" + b"\xff" * 40, b"\x60\x00\x00\x00\x03"))
    assert desk.screens[-1] == "processing" and desk.transactions == []
    assert len([what for what in desk.logs if "ignored" in what]) == 10
    desk.answer(*right)
    desk.run()
    assert desk.transactions[0]["approved"]


def changed(fields, values):
    fields = dict(fields)
    fields.update(values)
    return fields


def test_a_late_answer_changes_nothing():
    desk = Desk()
    desk.switch = dead
    desk.earn()
    right = approve(*desk.requests[-1])
    desk.wait(15000)
    desk.answer(*right)
    assert desk.screens[-1] == "reversal"
    assert desk.transactions == [] and desk.printed == []


def test_an_answer_in_pieces():
    desk = Desk()
    desk.switch = dead
    desk.earn()
    mti, fields = approve(*desk.requests[-1])
    frame = framed(pack(mti, fields, desk.host_keys().answer_mac), b"\x60\x00\x00\x00\x03")
    for byte in frame:
        desk.app.received(bytes([byte]))
    desk.run()
    assert desk.transactions[0]["approved"]


def test_garbage_on_the_line_drops_it_and_the_reversal_follows():
    for garbage in (b"\xff\xff", b"\x00\x00", b"HTTP/1.1 400 Bad Request\r\n"):
        desk = Desk()
        desk.switch = silent
        desk.earn()
        desk.app.received(garbage)
        desk.run()
        assert desk.mtis() == ["0800", "0200", "0420"]


def test_endless_messages_nobody_asked_for_do_not_fill_the_log():
    desk = Desk()
    for _ in range(1000):
        desk.answer("0810", {11: "000001", 39: "00", 41: "10000001"})
    assert LOGGED_IGNORED < len(desk.logs) < LOGGED_IGNORED + 12
    assert desk.screens[-1] == "idle"


# ---------------------------------------------------------------- printer


def test_paper_out_keeps_the_transaction_open_until_it_is_printed():
    check_printing(PAPER_OUT, "Paper out")


def test_a_silent_or_babbling_printer_is_no_proof_of_a_receipt():
    check_printing(None, "Printer silent")
    check_printing(b"\xff", "Printer silent")


def check_printing(paper, said):
    desk = Desk()
    desk.paper = paper
    desk.earn()
    desk.wait(10000)
    assert desk.screens[-1] == "paper" and desk.lines[1] == said
    desk.keys("*5A")
    desk.swipe()
    assert desk.transactions == [] and len(desk.printed) == 1
    desk.keys("#")
    desk.wait(10000)
    assert desk.screens[-1] == "paper" and len(desk.printed) == 2
    assert Desk(desk.files).transactions[0]["flow"] == "last"
    desk.paper = OK
    desk.keys("#")
    assert len(desk.transactions) == 1 and len(desk.printed) == 3
    assert desk.mtis() == ["0800", "0200"]


# ---------------------------------------------------------------- restart and storage


def test_a_power_cut_at_every_write_of_a_transaction():
    desk = Desk()
    desk.snapshots = []
    desk.earn()
    desk.wait(10000)
    states = []
    for files, done in desk.snapshots:
        again = Desk(files)
        again.wait(10000)
        assert again.screens[-1] == "idle"
        assert Desk(again.files).transactions == []
        flows = [event["flow"] for event in again.transactions]
        states.append((flows, again.mtis(), len(again.printed), done))
    assert states == [
        # what the restarted terminal did, sent and printed; what the first one had sent, shown and printed
        (["reversal"], ["0420", "0800"], 0, (1, False, 0)),
        (["last"], ["0800"], 1, (2, False, 0)),
        ([], ["0800"], 0, (2, True, 1)),
    ]


def test_the_last_transaction_is_printed_with_its_own_date_and_heading():
    desk = Desk()
    desk.paper = None
    desk.earn()
    first = desk.printed[0]
    again = Desk(desk.files)
    assert again.screens[0] == "printing"
    assert again.printed[0][1].strip() == "LAST TRANSACTION"
    assert again.printed[0][:1] + again.printed[0][2:] == first
    (event,) = again.transactions
    assert (event["flow"], event["stan"], event["points"]) == ("last", "000002", "250")


def test_a_reversal_goes_on_after_a_restart_with_its_own_stan():
    desk = Desk()
    desk.switch = dead
    desk.earn()
    again = Desk(desk.files)
    again.wait(10000)
    assert again.mtis() == ["0420", "0800"]
    assert again.requests[0][1][11] == "000003"
    assert again.requests[0][1][90][:20] == "02000000020824140305"
    assert int(again.requests[1][1][11]) > 3


def test_a_full_storage_lets_nothing_leave():
    desk = Desk()
    desk.full = True
    desk.earn()
    assert desk.lines[0] == "Storage error"
    assert desk.mtis() == ["0800"]
    desk.full = False
    desk.earn()
    assert desk.transactions[0]["approved"]


def test_an_approval_is_not_shown_before_the_storage_has_it():
    desk = Desk()
    desk.switch = dead
    desk.earn()
    desk.full = True
    desk.answer(*approve(*desk.requests[-1]))
    desk.run()
    desk.wait(10000)
    assert "approved" not in desk.screens and desk.printed == []
    assert desk.lines[0] == "Storage error"
    desk.full = False
    desk.wait(3000)
    assert desk.transactions[0]["approved"] and len(desk.printed) == 1


def test_a_storage_that_fills_up_while_printing_prints_again_after_a_restart():
    desk = Desk()
    desk.paper = PAPER_OUT
    desk.earn()
    desk.full = True
    desk.paper = OK
    desk.keys("#")
    assert desk.transactions[0]["flow"] == "earn"
    assert Desk(desk.files).transactions[0]["flow"] == "last"


# ---------------------------------------------------------------- faults


def test_a_fault_in_a_flow_is_told_without_its_text_and_life_goes_on():
    desk = Desk()

    def fail():
        desk.draws = None
        raise RuntimeError("card " + CARD)

    desk.draws = fail
    desk.swipe()
    assert desk.logs[-1] == "fault: RuntimeError"
    assert desk.lines[0] == "Internal error"
    desk.wait(3000)
    assert desk.screens[-1] == "idle"
    desk.earn()
    assert desk.transactions[0]["approved"]


def test_a_fault_after_sending_is_reversed():
    desk = Desk()
    desk.switch = silent
    desk.earn()

    def fail():
        desk.draws = None
        raise MemoryError

    desk.draws = fail
    desk.wait(15000)
    assert desk.logs[-1] == "fault: MemoryError"
    desk.wait(3000)
    assert desk.transactions[0]["flow"] == "reversal"


def test_noise_on_every_port_changes_nothing():
    desk = Desk()
    before = (list(desk.screens), list(desk.logs))
    desk.app.pressed(bytes(range(32)) + bytes(range(128, 256)))
    desk.app.printer_said(bytes(range(256)))
    desk.app.read(b"\x00\xff\x80")
    desk.wait(5000)
    assert (desk.screens, desk.logs) == before
    assert desk.mtis() == ["0800"]


def test_memory_does_not_grow_with_transactions():
    desk = Desk()
    used = []
    for _ in range(12):
        desk.earn()
        desk.wait(10000)
        desk.screens = desk.screens[-1:]
        desk.requests = []
        desk.printed = []
        desk.transactions = []
        gc.collect()
        in_files = sum([len(data) for data in desk.files.values()])
        used.append(gc.mem_alloc() - in_files if hasattr(gc, "mem_alloc") else sys.getallocatedblocks())
    assert max(used[6:]) < max(used[:6]) + 256
