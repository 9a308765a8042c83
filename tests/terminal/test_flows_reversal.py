"""A terminal on a scripted desk: requests without an answer, answers that are none, the printer."""

from terminal.app import LOGGED_IGNORED
from terminal.line import framed
from terminal.message import pack
from tests.terminal.desk import NEAR_END, OK, PAPER_OUT, TRACK2, Desk, approve, changed, dead, echoes, silent

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


def replacement_stays(mti, fields):
    answer = echoes(fields)
    answer.update({39: "12", 48: {0x04: "0307"}})
    return "0430", answer


def test_a_replacement_that_was_booked_and_can_not_be_taken_back_is_told_as_valid():
    desk = Desk()
    desk.switch = silent
    desk.earn()
    desk.switch = replacement_stays
    desk.wait(15000)
    assert not desk.transactions[-1]["approved"]
    assert desk.screens[-1] == "message" and "It is valid now" in str(desk.lines)
    desk.wait(10000)
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
    desk.earn()  # is recorded, and comes after the reversal
    desk.wait(10000)
    desk.keys("C")
    assert desk.mtis() == ["0800", "0200"]
    desk.switch = approve
    desk.reachable = True
    desk.run()
    desk.wait(20000)
    assert desk.mtis() == ["0800", "0200", "0420", "0220"]


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
    desk.keys("C")
    desk.swipe()
    desk.wait(8000)
    assert desk.lines == ["No line", "Nothing was sent", "Try again"]
    assert desk.mtis() == ["0800"] and desk.transactions == []
    again = Desk(desk.files)
    assert again.mtis() == ["0800"] and again.screens[-1] == "idle"


def test_a_connection_that_takes_no_byte_is_replaced_once():
    desk = Desk()
    desk.takes = 0
    desk.keys("C")
    desk.swipe()
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
    desk.app.heard("keypad", b"10000#")
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


def test_a_printer_in_trouble_keeps_the_transaction_open_until_it_is_printed():
    for paper, said in ((PAPER_OUT, "Paper is out"), (None, "No answer"), (b"\xff", "No answer")):
        desk = Desk()
        desk.paper = paper
        desk.earn()
        desk.wait(10000)
        assert desk.screens[-1] == "paper" and desk.lines[1] == said
        desk.keys("5A")
        desk.swipe()
        assert desk.transactions == [] and desk.printed == []
        desk.keys("#")
        desk.wait(10000)
        assert desk.screens[-1] == "paper" and desk.printed == []
        assert Desk(desk.files).transactions[0]["flow"] == "last"
        desk.paper = OK
        desk.keys("#")
        # One transaction, one receipt, told once, however often it was begun.
        assert len(desk.transactions) == len(desk.printed) == len(desk.receipts) == 1
        assert desk.mtis() == ["0800", "0200"]


def test_the_cashier_can_go_on_without_a_receipt():
    desk = Desk()
    desk.paper = PAPER_OUT
    desk.earn()
    desk.keys("*")
    assert len(desk.transactions) == 1 and desk.screens[-1] == "printing"
    assert desk.printed == [] and desk.logs[-1] == "printer: gone on without"
    desk.keys("*")
    assert desk.screens[-1] == "idle"


def test_a_printer_that_is_unplugged_prints_when_it_is_back():
    desk = Desk()
    desk.app.device("printer", False)
    desk.earn()
    desk.wait(100)
    assert desk.screens[-1] == "paper" and desk.lines[1] == "Not plugged in"
    desk.app.device("printer", True)
    desk.run()
    assert len(desk.printed) == len(desk.transactions) == 1
    # The same in the middle of a receipt.
    desk.paper = None
    desk.earn()
    desk.app.device("printer", False)
    desk.run()
    assert desk.screens[-1] == "paper" and desk.lines[1] == "Not plugged in"
    desk.paper = OK
    desk.app.device("printer", True)
    desk.run()
    assert len(desk.printed) == len(desk.transactions) == 2


def test_a_roll_near_its_end_is_told_at_the_idle_screen():
    desk = Desk()
    desk.paper = NEAR_END
    desk.earn()
    desk.keys("*")
    assert desk.screens[-1] == "idle" and desk.lines[1] == "Paper runs low"
    desk.paper = OK
    desk.earn()
    desk.keys("*")
    assert "Paper runs low" not in desk.lines


def test_a_redemption_has_a_second_copy_for_the_merchant_to_keep_signed():
    desk = Desk()
    desk.keys("B")
    desk.swipe()
    desk.keys("100#")
    assert [event["copy"] for event in desk.receipts] == ["customer", "merchant"]
    customer, merchant = desk.printed
    assert "MERCHANT COPY" in merchant[1] and merchant[-1].strip() == "Signature"
    assert merchant[:1] + merchant[2 : len(customer) + 1] == customer
    desk = Desk(receipt_copies=1)
    desk.keys("B")
    desk.swipe()
    desk.keys("100#")
    assert [event["copy"] for event in desk.receipts] == ["customer"]


def test_a_terminal_without_a_printer_trades_all_the_same():
    desk = Desk(devices={"reader": "ascii", "keypad": "bytes"})
    desk.earn()
    assert len(desk.transactions) == 1 and desk.receipts == []
