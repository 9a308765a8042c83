"""The line to a cash register and both of its languages: torn, damaged, repeated, busy, silent."""

from terminal.drivers.till import (
    ACK_MS,
    CLOSE,
    ECR17_CHECKS,
    FIELDS_CHECK,
    GAP_MS,
    LAST,
    LONGEST_MESSAGE,
    NOISE_BYTES,
    PRINTING,
    REPRINT,
    REVERSE,
    SALE,
    STATUS,
    TOTALS,
    TRIES,
    Asked,
    NotTold,
    Sold,
    TillLine,
    Told,
    Trouble,
)
from terminal.drivers.till_columns import TillColumns
from terminal.drivers.till_fields import TillFields

STANDARD = ECR17_CHECKS["message"]
LONG_ACK = b"\x06\x03" + bytes((0x7F ^ 0x06,))
LONG_NAK = b"\x15\x03" + bytes((0x7F ^ 0x15,))
MOMENT = (2024, 7, 29, 15, 20, 30)
TERMINAL = "10000001"


def framed(text, check=STANDARD):
    message = text.encode()
    return b"\x02" + message + b"\x03" + bytes((check.of(message),))


def sale(amount="00002500", terminal=TERMINAL, code="P", text=""):
    columns = terminal + "0" + code + "00000007" + "00000" + amount + " " * (128 - len(text)) + text + "0" * 8
    assert len(columns) == 167
    return columns


def approved():
    sold = Sold(True, "", "4589", "MAG", "000042", "250V812PDYBK", MOMENT)
    sold.amount, sold.points, sold.balance = 2400, 240, 1240
    sold.lines = ("POINTS EARNED       +240", "BALANCE            1 240")
    return sold


def test_published_check_bytes():
    for name, byte in (
        ("message", 0x34),
        ("message, end", 0x37),
        ("start, message, end", 0x35),
        ("start, message", 0x36),
    ):
        assert ECR17_CHECKS[name].of(b"123456780s") == byte, name
    assert FIELDS_CHECK.of(b"0200|123|") == 0x31


def test_a_sale_torn_at_every_byte_in_all_four_ways():
    for check in ECR17_CHECKS.values():
        data = framed(sale(text="3 APPLES"), check)
        for cut in range(0, len(data) + 1, 1 if check is STANDARD else 37):
            till = TillColumns(TERMINAL, check)
            events = till.feed(data[:cut], 0) + till.feed(data[cut:], 5)
            assert len(events) == 1, cut
            asked = events[0]
            assert (asked.what, asked.amount, asked.reference) == (SALE, 2500, "00000007")
            assert asked.text == "3 APPLES"
            assert till.to_send() == b"\x06\x03" + bytes((check.of(b"\x06"),))


def test_a_damaged_sale_is_refused_at_every_byte():
    data = framed(sale())
    for place in range(1, len(data), 5):
        for flip in (0x01, 0x40):
            damaged = bytearray(data)
            damaged[place] ^= flip
            till = TillColumns(TERMINAL, STANDARD)
            events = till.feed(bytes(damaged), 0)
            events += till.tick(GAP_MS)
            assert [event for event in events if isinstance(event, Asked)] == [], place
            said = till.to_send()
            assert said.startswith(LONG_NAK) or events, (place, said)
            # The till sends it once more.
            [asked] = till.feed(data, GAP_MS + 1)
            assert asked.amount == 2500


def test_what_is_approved_has_the_published_columns():
    till = TillColumns(TERMINAL, STANDARD)
    till.feed(framed(sale()), 0)
    till.to_send()
    kept = till.keep(approved())
    text = str(kept, "ascii")
    assert text[:12] == TERMINAL + "0E00"
    assert text[12:31] == "0000000000000004589"
    assert text[31:34] == "MAG"
    assert text[34:40] == "2PDYBK"
    assert text[40:47] == "2111520"  # 29 July of a leap year, 15:20
    assert (text[47], text[48:59], text[59:65], text[65:71]) == ("3", "VAFA       ", "000042", "000000")
    assert len(text) == 71
    till.tell(10)
    assert till.to_send() == framed(text)
    [event] = till.feed(LONG_ACK, 20)
    assert isinstance(event, Told)
    assert till.deadline_ms() == 20 + GAP_MS or till.deadline_ms() is None


def test_an_extended_result_says_what_is_left_to_pay():
    till = TillColumns(TERMINAL, STANDARD)
    till.feed(framed(sale(code="X")), 0)
    text = str(till.keep(approved()), "ascii")
    assert text[71:74] == "000"
    assert text[74:82] == "00002400"
    assert len(text) == 92


def test_what_is_declined_says_why():
    till = TillColumns(TERMINAL, STANDARD)
    till.feed(framed(sale()), 0)
    text = str(till.keep(Sold(False, "NOT ENOUGH POINTS", stan="000043")), "ascii")
    assert text[10:12] == "01"
    assert text[12:36] == "NOT ENOUGH POINTS       "
    assert (text[36:47], text[59:65]) == ("0" * 11, "000043")


def test_receipt_lines_go_before_the_result_and_end_the_ticket():
    till = TillColumns(TERMINAL, STANDARD)
    till.feed(framed(sale()), 0)
    till.to_send()
    till.keep(approved())
    till.tell(0, ["LINE %02d" % line for line in range(30)])
    said = []
    for _ in range(9):
        out = till.to_send()
        if not out:
            break
        said.append(str(out[1:-2], "ascii"))
        till.feed(LONG_ACK, 1)
    tickets = [text for text in said if text[9] == "S"]
    assert len(tickets) == 2
    assert max([len(text) - 10 for text in tickets]) <= 200
    lines = "".join([text[10:] for text in tickets])
    assert lines.count("LINE ") == 30
    assert lines.endswith("LINE 29}}}}}}}\x1b")
    assert said[-1][9:12] == "E00"


def test_other_questions():
    for text, what, reference, flag in (
        (TERMINAL + "0S00000007" + "000042" + "00", REVERSE, "000042", False),
        (TERMINAL + "0S00000007" + "000000" + "00", REVERSE, "", False),
        ("00000000" + "0G000000070000", LAST, "", False),
        (TERMINAL + "0s", STATUS, "", False),
        (TERMINAL + "0T00000007" + "0" * 8, TOTALS, "", False),
        (TERMINAL + "0C00000007" + "0" * 8, CLOSE, "", False),
        (TERMINAL + "0R10" + "0" * 10, REPRINT, "", True),
        (TERMINAL + "0E1", PRINTING, "", True),
        (TERMINAL + "0E0", PRINTING, "", False),
    ):
        till = TillColumns(TERMINAL, STANDARD)
        [asked] = till.feed(framed(text), 0)
        assert (asked.what, asked.reference, asked.flag) == (what, reference, flag), text


def test_messages_that_can_not_be():
    for text in (
        sale(terminal="10000002"),
        sale(amount="0000x500"),
        sale()[:-1],
        sale() + "0",
        sale(code="Z"),
        "",
        "s",
        TERMINAL + "0s\x7f",
    ):
        till = TillColumns(TERMINAL, STANDARD)
        [event] = till.feed(framed(text), 0)
        assert isinstance(event, Trouble), text
        assert event.reason == "message"


def test_answers_of_status_totals_and_close():
    till = TillColumns(TERMINAL, STANDARD)
    till.tell_status(MOMENT, "1.2.0", 0)
    assert till.to_send() == framed(TERMINAL + "0s" + "0" * 10 + "2907241520" + "2" + "1.2.0")
    till.feed(LONG_ACK, 1)
    till.tell_totals(TOTALS, 123456, 2)
    assert till.to_send() == framed(TERMINAL + "0T00" + "0000000000123456" + "000000")
    till.feed(LONG_ACK, 3)
    till.tell_totals(CLOSE, 1000, 4)
    assert till.to_send() == framed(TERMINAL + "0C00" + "0000000000001000" * 2)
    till.feed(LONG_ACK, 5)
    till.refuse(CLOSE, "BUSY", 6)
    assert till.to_send() == framed(TERMINAL + "0C01" + "BUSY" + " " * 15 + "000" + "0" * 10)


def test_the_last_result_is_told_again_after_a_restart():
    till = TillColumns(TERMINAL, STANDARD)
    till.feed(framed(sale()), 0)
    kept = till.keep(approved())
    again = TillColumns(TERMINAL, STANDARD, kept)
    [asked] = again.feed(framed(TERMINAL + "0G000000070000"), 0)
    assert asked.what == LAST
    again.to_send()
    again.tell(0)
    assert again.to_send() == framed(str(kept, "ascii"))
    never = TillColumns(TERMINAL, STANDARD)
    never.tell(0)
    assert b"0E01NO SALE YET" in never.to_send()


def test_a_sale_that_comes_again_is_asked_once():
    till = TillColumns(TERMINAL, STANDARD)
    data = framed(sale())
    assert len(till.feed(data, 0)) == 1
    # Our ACK was lost: the till sends it up to two more times, while the card is swiped.
    assert till.feed(data, 2000) == []
    assert till.feed(data, 4000) == []
    assert till.to_send() == LONG_ACK * 3
    till.keep(approved())
    till.tell(5000)
    result = till.to_send()
    # Nor has it heard the result.
    assert till.feed(data, 5100) == []
    assert till.to_send() == LONG_ACK + result
    [event] = till.feed(LONG_ACK, 5200)
    assert isinstance(event, Told)
    # The same amount for the next customer is a sale of its own.
    [asked] = till.feed(data, 9000)
    assert asked.amount == 2500


def test_a_till_that_hears_nothing_is_told_so_often_and_no_more():
    till = TillColumns(TERMINAL, STANDARD)
    till.feed(framed(sale()), 0)
    till.to_send()
    till.keep(approved())
    till.tell(100)
    now_ms = 100
    for attempt in range(TRIES):
        assert till.to_send()[:1] == b"\x02", attempt
        assert till.deadline_ms() == now_ms + ACK_MS
        now_ms = till.deadline_ms()
        events = till.tick(now_ms)
    assert len(events) == 1
    assert isinstance(events[0], NotTold)
    assert till.to_send() == b""
    assert till.deadline_ms() is None


def test_a_till_that_misheard_gets_it_again():
    for nak in (LONG_NAK, b"\x15"):
        till = TillColumns(TERMINAL, STANDARD)
        till.feed(framed(sale()), 0)
        till.to_send()
        till.keep(approved())
        till.tell(0)
        first = till.to_send()
        assert till.feed(nak, 1) == []
        assert till.to_send() == first
        [event] = till.feed(LONG_ACK, 2)
        assert isinstance(event, Told)


def test_progress_has_twenty_letters_and_no_check_byte():
    till = TillColumns(TERMINAL, STANDARD)
    till.progress("PLEASE WAIT")
    assert till.to_send() == b"\x01PLEASE WAIT         \x04"


def test_silence_in_the_middle_is_told_by_nak():
    line = TillLine(STANDARD)
    assert line.feed(framed("hello")[:4], 0) == []
    assert line.deadline_ms() == GAP_MS
    assert line.tick(GAP_MS) == []
    assert line.to_send() == LONG_NAK
    assert line.deadline_ms() is None
    assert line.feed(framed("hello"), 5000) == [b"hello"]


def test_noise_and_messages_without_end():
    line = TillLine(STANDARD)
    [event] = line.feed(b"Z" * NOISE_BYTES, 0)
    assert event.reason == "noise"
    assert line.feed(b"Z" * 5 * NOISE_BYTES, 1) == []
    assert line.feed(b"\x02" + b"A" * (LONGEST_MESSAGE + 1), 2) == []
    assert line.to_send() == LONG_NAK
    assert line.feed(framed("A" * LONGEST_MESSAGE), 3) == [b"A" * LONGEST_MESSAGE]


# ---------------------------------------------------------------- fields with pipes


def fields_till(kept=b""):
    return TillFields(TERMINAL, "100000000000001", kept)


def pipes(text):
    return framed(text, FIELDS_CHECK)


def test_a_sale_in_fields():
    till = fields_till()
    [asked] = till.feed(pipes("0200|2500|A17|||1|"), 0)
    assert (asked.what, asked.amount, asked.reference) == (SALE, 2500, "A17")
    assert till.to_send() == b"\x06"
    till.progress("78", 5)
    assert till.to_send() == pipes("0900|78|")
    till.feed(b"\x06", 6)
    kept = till.keep(approved())
    till.tell(7)
    said = str(till.to_send()[1:-2], "ascii").split("|")
    assert len(said) == 19
    assert said[:7] == ["0210", "00", "100000000000001", TERMINAL, "A17", "2PDYBK", "2400"]
    assert (said[9], said[10], said[15], said[16]) == ("4589", "000042", "29072024", "152030")
    [event] = till.feed(b"\x06", 8)
    assert isinstance(event, Told)
    again = fields_till(kept)
    again.feed(pipes("0280|1"), 0)
    again.to_send()
    again.tell(1)
    voucher = str(again.to_send()[1:-2], "ascii").split("|")[19]
    assert voucher[:24] == "POINTS EARNED       +240"
    assert len(voucher) == 80


def test_other_questions_in_fields():
    for text, what, reference in (
        ("0100", STATUS, ""),
        ("0250|", LAST, ""),
        ("1200|42|", REVERSE, "000042"),
        ("0700||", TOTALS, ""),
        ("0500||", CLOSE, ""),
        ("0300", PRINTING, ""),
    ):
        [asked] = fields_till().feed(pipes(text), 0)
        assert (asked.what, asked.reference) == (what, reference)
    wrong = ("0200|-5|1|", "0200||1|", "0200|1234567890|1|", "1200|x|", "9999|", "", "0200|5|" + "9" * 21)
    for text in wrong:
        [event] = fields_till().feed(pipes(text), 0)
        assert event.reason == "message", text


def test_nothing_sold_yet_in_fields():
    till = fields_till()
    till.feed(pipes("0250|"), 0)
    till.to_send()
    till.tell(0)
    assert till.to_send()[1:8] == b"0260|11"
