"""A terminal on a scripted desk: split sales, enrolment, double swipes, voids, returns, cards, receipts."""

from terminal.flows.dialogue import ENTRY_MS, MESSAGE_MS
from terminal.message_tables import TAG_CASHIER
from tests.terminal.desk import CARD, MOBILE, PIN, SWIPE, TRACK2, approve, dead, echoes
from tests.terminal.desk import BlindDesk as Desk

OTHER = "9364009999999909"  # another card of the program
RRN = "0A0000012345"  # of what the desk's switch approves


def once(code, reason, processing_code):
    """A switch that refuses the first request of a kind, and approves the next."""
    left = [1]

    def switch(mti, fields):
        if fields.get(3) == processing_code and mti == "0200" and left[0]:
            left[0] = 0
            answer = echoes(fields)
            answer[39] = code
            answer[48] = {4: reason, 5: "%012d" % 60}
            return "0210", answer
        return approve(mti, fields)

    return switch


def numbered():
    """A switch that gives each transaction a reference number of its own."""
    count = [0]

    def switch(mti, fields):
        mti, answer = approve(mti, fields)
        if 37 in answer:
            count[0] += 1
            answer[37] = "0A00000000%02d" % count[0]
        return mti, answer

    return switch


def last(desk):
    return desk.requests[-1]


def track_of(card):
    text = card + "=2912"
    check = 0
    for letter in ";" + text + "?":
        check ^= ord(letter) - 0x30
    return (";" + text + "?" + chr(0x30 + check) + "\r").encode()


# ---------------------------------------------------------------- amounts first


def test_an_amount_at_idle_then_a_swipe_earns_without_another_key():
    desk = Desk()
    desk.keys("2500000")
    assert desk.screens[-1] == "amount" and "2,500,000" in desk.lines
    desk.swipe()
    assert last(desk)[1][4] == "000002500000" and last(desk)[1][35] == TRACK2
    assert desk.transactions[-1]["flow"] == "earn" and desk.transactions[-1]["approved"]
    desk.keys("7")
    assert desk.screens[-1] == "amount" and "7" in desk.lines


def test_an_amount_at_idle_may_be_confirmed_before_the_member():
    desk = Desk()
    desk.keys("500000#" + MOBILE + "#")
    assert desk.transactions[-1]["flow"] == "earn" and last(desk)[1][4] == "000000500000"


def test_a_bad_swipe_does_not_lose_the_amount():
    desk = Desk()
    desk.keys("70000")
    desk.swipe(SWIPE[:-2] + b"1\r")
    assert "Swipe again" in desk.lines and "70,000" in desk.lines
    desk.swipe()
    assert last(desk)[1][4] == "000000070000"


def test_an_amount_at_idle_is_dropped():
    for way in ("**", None):
        desk = Desk()
        desk.keys("12")
        if way is None:
            desk.wait(ENTRY_MS)
        else:
            desk.keys(way)
        assert desk.screens[-1] == "idle" and desk.mtis() == ["0800"]


def test_a_number_typed_where_an_amount_belongs_is_told_to_nobody():
    """The desk looks for whole numbers in all events; for a part of one here."""
    for number in (CARD, "4111111111111111"):
        for is_swiped in (False, True):
            desk = Desk()
            if is_swiped:
                desk.swipe()
            for key in number[:13]:
                desk.keys(key)
                assert number[:9] not in "".join(desk.lines).replace(",", "")
            assert desk.lines[1] == "Not valid"
            desk.wait(MESSAGE_MS)
            assert desk.lines[2] == "0" and desk.mtis() == ["0800"]


def test_the_rest_of_a_number_that_can_not_be_goes_with_it():
    desk = Desk()
    desk.keys("6037991234567893#")
    assert desk.screens[-1] == "amount" and desk.lines[2] == "0"
    desk.keys("*")
    desk.earn("10000#")
    assert [fields[4] for mti, fields in desk.requests if mti == "0200"] == ["000000010000"]


def test_a_mobile_number_typed_at_idle_is_one():
    desk = Desk()
    desk.keys(MOBILE)
    assert desk.screens[-1] == "card_number" and MOBILE[4:] not in "".join(desk.lines)
    desk.keys("#500000#")
    assert desk.transactions[-1]["flow"] == "earn" and last(desk)[1][4] == "000000500000"


def test_a_foreign_card_after_the_amount_is_refused():
    desk = Desk()
    desk.keys("70000")
    desk.swipe(track_of("4111111111111111"))
    assert desk.lines[0] == "Card" and desk.mtis() == ["0800"]


# ---------------------------------------------------------------- enrolment


def test_a_new_member_takes_two_keys_beside_the_mobile_number():
    desk = Desk()
    desk.keys("D")
    desk.swipe()
    desk.keys(MOBILE + "#")
    mti, fields = last(desk)
    assert (mti, fields[3], fields[35]) == ("0300", "720000", TRACK2)
    assert desk.host_keys().data_of(fields[48][0x20]) == b"\x07\x06\x98\x91\x21\x23\x45\x67"
    assert desk.transactions[-1]["flow"] == "activate" and desk.transactions[-1]["approved"]
    for data in desk.files.values():
        assert MOBILE.encode() not in data


def test_what_is_shown_of_the_mobile_number_is_its_mask():
    desk = Desk()
    desk.keys("D")
    desk.swipe()
    desk.keys(MOBILE)
    assert MOBILE[:4] + "*" * 7 in desk.lines


def test_a_wrong_mobile_number_is_told_and_one_of_a_card_is_none():
    for digits in ("0912123456", "91212345678", "0212345678"):
        desk = Desk()
        desk.keys("D")
        desk.swipe()
        desk.keys(digits + "#")
        assert desk.lines == ["Number", "Not valid", "Try again"], digits
        assert desk.mtis() == ["0800"]
        desk.keys("#")
        assert desk.screens[-1] == "mobile"


def test_an_enrolment_without_an_answer_is_taken_back_by_the_card_alone():
    desk = Desk()
    desk.keys("D")
    desk.swipe()
    desk.switch = dead
    desk.keys(MOBILE + "#")
    desk.switch = approve
    desk.wait(15000)
    mti, fields = last(desk)
    assert mti == "0420" and fields[35] == TRACK2 and 48 not in fields


# ---------------------------------------------------------------- split sale


def test_a_split_sale_tells_the_whole_sale_and_what_points_pay():
    desk = Desk()
    desk.keys("#4")
    desk.swipe()
    desk.keys("50000#100#")
    mti, fields = last(desk)
    assert (mti, fields[3], fields[4]) == ("0200", "006000", "000000010000")
    assert fields[48] == {1: "000000000100", 0x0A: "000000050000"}
    assert desk.transactions[-1]["flow"] == "split"
    assert "To pay 40,000" in desk.lines


def test_points_worth_more_than_the_sale_are_no_split_sale():
    desk = Desk()
    desk.keys("#4")
    desk.swipe()
    desk.keys("9999#100#")
    assert desk.lines[0] == "Points" and desk.mtis() == ["0800"]


def test_a_split_sale_without_an_answer_is_taken_back_with_its_whole_sale():
    desk = Desk()
    desk.keys("#4")
    desk.swipe()
    desk.switch = dead
    desk.keys("50000#100#")
    desk.switch = approve
    desk.wait(15000)
    mti, fields = last(desk)
    assert mti == "0420" and fields[48][0x0A] == "000000050000"


# ---------------------------------------------------------------- double swipe


def test_a_double_swipe_is_asked_about_and_sent_again_as_confirmed():
    desk = Desk(switch=once("65", "0601", "210060"))
    desk.earn()
    assert desk.screens[-1] == "double_swipe" and desk.printed == []
    desk.keys("#")
    first, second = desk.requests[-2][1], desk.requests[-1][1]
    assert 48 not in first and second[48] == {0x14: "01"} and first[11] != second[11]
    assert first[4] == second[4]
    assert [event["approved"] for event in desk.transactions] == [False, True]
    assert len(desk.printed) == 1


def test_a_double_swipe_that_was_one_is_left():
    desk = Desk(switch=once("65", "0601", "210060"))
    desk.earn()
    desk.keys("*")
    assert desk.screens[-1] == "idle" and desk.mtis() == ["0800", "0200"]
    desk = Desk(switch=once("65", "0601", "210060"))
    desk.earn()
    desk.wait(ENTRY_MS)
    assert desk.screens[-1] == "idle" and desk.mtis() == ["0800", "0200"]


def test_a_confirmed_redemption_is_proved_again():
    desk = Desk(switch=once("65", "0601", "006000"))
    desk.keys("B" + CARD + "#5#" + PIN + "#")
    assert desk.screens[-1] == "double_swipe"
    desk.keys("#")
    assert desk.screens[-1] == "pin"
    desk.keys(PIN + "#")
    fields = last(desk)[1]
    assert fields[48] == {1: "%012d" % 5, 0x14: "01"}
    assert desk.host_keys().pin_of(fields[52], CARD) == PIN and desk.transactions[-1]["approved"]


# ---------------------------------------------------------------- receipt number of the till


def test_the_tills_receipt_number_is_asked_for_where_the_settings_want_it():
    desk = Desk(till_receipts=True)
    desk.earn("10000#")
    assert desk.screens[-1] == "till_receipt"
    desk.keys("0047#")
    assert last(desk)[1][62] == "0047"
    desk.wait(10000)
    desk.earn("10000#")
    desk.keys("#")
    assert 62 not in last(desk)[1] and desk.transactions[-1]["approved"]


# ---------------------------------------------------------------- void


def test_the_last_transaction_is_voided_by_its_number_in_the_list():
    desk = Desk(switch=numbered())
    desk.earn("10000#")
    desk.earn("20000#")
    desk.keys("#")
    desk.keys("#1")
    assert desk.screens[-1] == "which" and desk.lines[1].startswith("1 ") and desk.lines[2].startswith("2 ")
    desk.keys("1")
    mti, fields = last(desk)
    assert (mti, fields[3], fields[4], fields[37]) == ("0200", "020060", "000000020000", "0A0000000002")
    assert sorted(fields) == [3, 4, 11, 12, 13, 37, 41, 42, 49, 60]
    assert desk.transactions[-1]["flow"] == "void" and desk.transactions[-1]["approved"]
    desk.keys("#")
    desk.keys("#1")
    assert not [line for line in desk.lines if line[:1] == "2"]  # what was voided is no more offered


def test_a_redemption_is_voided_as_one():
    desk = Desk(switch=numbered())
    desk.keys("B")
    desk.swipe()
    desk.keys("100#")
    desk.keys("#")
    desk.keys("#11")
    assert (last(desk)[1][3], last(desk)[1][4]) == ("026000", "000000010000")


def test_a_void_by_its_reference():
    desk = Desk()
    desk.keys("#1")
    assert desk.screens[-1] == "rrn"
    desk.keys("0" + "2A" + "0000012345" + "#")
    assert RRN in desk.lines or desk.screens[-1] == "void_of"
    desk.keys("1" + "10000#")
    fields = last(desk)[1]
    assert (fields[3], fields[4], fields[37]) == ("020060", "000000010000", RRN)


def test_letters_of_a_reference_come_from_the_digits():
    desk = Desk()
    desk.keys("#1" + "2" + "AAA")
    assert desk.lines[2] == "C"
    desk.keys("A" + "9AAAA" + "0A" + "1A")
    assert desk.lines[2] == "2Z01"
    desk.keys("#")
    assert desk.lines == ["Number", "Not valid", "Try again"]
    desk.keys("#")
    assert desk.screens[-1] == "rrn"
    desk.keys("*")
    assert desk.screens[-1] == "idle" and desk.mtis() == ["0800"]


def test_a_void_without_an_answer_is_taken_back_by_its_reference():
    desk = Desk()
    desk.earn("10000#")
    desk.switch = dead
    desk.keys("#")
    desk.keys("#11")
    desk.switch = approve
    desk.wait(15000)
    mti, fields = last(desk)
    assert (mti, fields[3], fields[37]) == ("0420", "020060", RRN)
    assert not [number for number in (2, 35, 48) if number in fields]


# ---------------------------------------------------------------- return and refund


def test_goods_come_back_in_part():
    desk = Desk()
    desk.earn("10000#")
    desk.keys("#")
    desk.keys("#2" + "1" + "1" + "4000#")
    fields = last(desk)[1]
    assert (fields[3], fields[4], fields[37]) == ("206000", "000000004000", RRN)
    assert desk.transactions[-1]["flow"] == "return"


def test_the_whole_sale_is_offered_for_its_return():
    desk = Desk()
    desk.keys("#4")
    desk.swipe()
    desk.keys("50000#100#")
    desk.keys("#")
    desk.keys("#211")
    assert "50,000" in desk.lines
    desk.keys("#")
    assert (last(desk)[1][3], last(desk)[1][4]) == ("206000", "000000050000")
    desk.keys("#")
    desk.keys("#221" + "7" + "*")
    assert "10,000" in desk.lines
    desk.keys("#")
    assert (last(desk)[1][3], last(desk)[1][4]) == ("200060", "000000010000")


def test_a_code_that_is_not_sent_says_why():
    def switch(mti, fields):
        mti, answer = approve(mti, fields)
        if fields.get(3) == "336000":
            answer[39], answer[48] = "12", {4: "0302"}
        return mti, answer

    desk = Desk(switch=switch)
    desk.keys("B" + MOBILE + "#5#")
    assert "No mobile number is known for this card" in " ".join(desk.lines)


def test_points_come_back_for_rial():
    desk = Desk()
    desk.keys("#2" + "2" + "0" + "2A" + "0000012345" + "#" + "5000#")
    fields = last(desk)[1]
    assert (fields[3], fields[4], fields[37]) == ("200060", "000000005000", RRN)
    assert desk.transactions[-1]["flow"] == "refund"
    sent = len(desk.requests)
    desk.keys("#*#2" + "2" + "0" + "2A" + "0000012345" + "#" + "99#")
    assert "Less than one point" in desk.lines and len(desk.requests) == sent


# ---------------------------------------------------------------- the member's card


def test_a_new_card_for_a_member_by_mobile_number_and_code():
    desk = Desk()
    desk.keys("#5" + MOBILE + "#")
    assert desk.screens[-1] == "swipe"
    desk.swipe(track_of(OTHER))
    assert desk.screens[-1] == "proof"
    desk.keys("A")
    desk.keys("975318#")
    mti, fields = last(desk)
    assert (mti, fields[3], fields[48][0x0B]) == ("0300", "750000", OTHER)
    assert desk.transactions[-1]["flow"] == "replace" and desk.transactions[-1]["approved"]


def test_a_new_card_that_is_none_is_refused():
    desk = Desk()
    desk.keys("#5" + MOBILE + "#")
    desk.swipe(track_of("4111111111111111"))
    assert desk.lines[0] == "Card" and desk.mtis() == ["0800"]
    desk = Desk()
    desk.keys("#5" + CARD + "#" + MOBILE + "#")
    assert desk.lines[0] == "Card" and desk.mtis() == ["0800"]


def test_a_replacement_without_an_answer_is_taken_back_by_the_old_card():
    desk = Desk()
    desk.keys("#5" + CARD + "#")
    desk.swipe(track_of(OTHER))
    desk.keys("#" + PIN)
    desk.switch = dead
    desk.keys("#")
    desk.switch = approve
    desk.wait(15000)
    mti, fields = last(desk)
    assert (mti, fields[2], fields[48]) == ("0420", CARD, {0x0B: OTHER})


def test_a_card_is_blocked_after_a_question_and_let_go_with_a_proof():
    desk = Desk()
    desk.keys("#7")
    desk.swipe()
    assert desk.screens[-1] == "block_sure" and "936400******7898" in desk.lines
    desk.keys("*")
    assert desk.screens[-1] == "idle" and desk.mtis() == ["0800"]
    desk.keys("#7")
    desk.swipe()
    desk.keys("#")
    assert (last(desk)[0], last(desk)[1][3]) == ("0300", "730000")
    assert desk.transactions[-1]["flow"] == "block"
    desk.keys("#")
    desk.keys("#8")
    desk.swipe()
    desk.keys(PIN + "#")
    assert (last(desk)[0], last(desk)[1][3]) == ("0300", "740000")
    assert desk.host_keys().pin_of(last(desk)[1][52], CARD) == PIN


def test_points_go_to_another_card():
    desk = Desk()
    desk.keys("#9")
    desk.swipe()
    desk.swipe(track_of(OTHER))
    desk.keys("70#")
    mti, fields = last(desk)
    assert (mti, fields[3]) == ("0200", "406060")
    assert fields[48] == {1: "%012d" % 70, 0x0B: OTHER} and fields[60] and 4 not in fields
    assert desk.transactions[-1]["flow"] == "transfer"


# ---------------------------------------------------------------- last receipt


def test_the_last_receipt_again_is_a_copy():
    desk = Desk()
    desk.keys("#3")
    assert desk.lines == ["Last receipt", "There is none"]
    desk.keys("#")
    desk.earn("10000#")
    first = desk.printed[0]
    desk.keys("#")
    desk.keys("#3")
    assert "COPY" in desk.printed[-1][1]
    assert [line for line in desk.printed[-1] if "COPY" not in line] == first
    assert desk.mtis() == ["0800", "0200"] and len(desk.transactions) == 1


def test_the_last_receipt_again_after_a_restart():
    desk = Desk()
    desk.earn("10000#")
    desk.wait(10000)
    again = Desk(desk.files)
    again.keys("#3")
    assert "COPY" in again.printed[-1][1]
    assert [line for line in again.printed[-1] if "COPY" not in line] == desk.printed[0]


# ---------------------------------------------------------------- the menu


def test_the_menus_pages_take_the_keys_of_both():
    desk = Desk()
    desk.keys("##")
    assert desk.screens[-1] == "menu_2"
    desk.keys("3")
    assert desk.lines[0] == "Last receipt"
    desk.keys("#")
    desk.keys("##" + "#")
    assert desk.screens[-1] == "menu"


def test_who_works_here_goes_with_all_that_moves_points_also_after_a_power_cut():
    desk = Desk()
    desk.earn("10000#")
    assert TAG_CASHIER not in desk.requests[-1][1].get(48, {})
    desk.wait(10000)
    desk.keys("#A17#")
    assert desk.lines[0] == "Cashier"
    again = Desk(desk.files)
    again.earn("10000#")
    assert again.requests[-1][1][48][TAG_CASHIER] == "00000017"
    again.wait(10000)
    again.keys("B")
    again.swipe()
    again.keys("100#")
    assert again.requests[-1][1][48][TAG_CASHIER] == "00000017"
    again.wait(10000)
    again.keys("#A#")
    again.earn("20000#")
    assert TAG_CASHIER not in again.requests[-1][1].get(48, {})


# ---------------------------------------------------------------- restart at any point


def play(name, desk):
    if name == "split":
        desk.keys("#4")
        desk.swipe()
        desk.keys("50000#100#")
    elif name == "void":
        desk.keys("#1" + "0" + "2A" + "0000012345" + "#" + "1" + "10000#")
    elif name == "return":
        desk.keys("#2" + "1" + "0" + "2A" + "0000012345" + "#" + "4000#")
    elif name == "replace":
        desk.keys("#5" + CARD + "#")
        desk.swipe(track_of(OTHER))
        desk.keys("#" + PIN + "#")
    elif name == "block":
        desk.keys("#7")
        desk.swipe()
        desk.keys("#")
    elif name == "transfer":
        desk.keys("#9")
        desk.swipe()
        desk.swipe(track_of(OTHER))
        desk.keys("70#")


def test_a_power_cut_at_every_write_of_the_new_flows():
    for name in ("split", "void", "return", "replace", "block", "transfer"):
        desk = Desk()
        desk.snapshots = []
        play(name, desk)
        desk.wait(10000)
        states = []
        for files, done in desk.snapshots:
            again = Desk(files)
            again.wait(10000)
            assert again.screens[-1] == "idle"
            if again.transactions:
                states.append(([event["flow"] for event in again.transactions], done[1], done[2]))
        assert states == [(["reversal"], False, 0), (["last"], False, 0)], name
        assert desk.transactions[-1]["flow"] == name and desk.transactions[-1]["approved"]


# ---------------------------------------------------------------- what is left of a sale


def counting(*answers):
    """As numbered(), with these tags in the answers to what follows a sale, one after the other."""
    switch, left = numbered(), list(answers)

    def answered(mti, fields):
        mti, answer = switch(mti, fields)
        if 37 in fields and mti == "0210":
            numbers = left.pop(0)
            answer[48] = {2: "%012d" % 75}
            for tag in numbers:
                answer[48][tag] = numbers[tag] if tag == 4 else "%012d" % numbers[tag]
        return mti, answer

    return answered


def test_goods_of_a_split_sale_say_what_is_back_taken_and_to_be_paid_out():
    languages = {"receipt_locales": ["en", "fa"], "receipt_copies": 2}
    desk = Desk(switch=counting({1: 5, 0x0E: 25, 4: "0105"}, {1: 24, 4: "0106"}), **languages)
    desk.keys("#4")
    desk.swipe()
    desk.keys("500000#10#")
    desk.keys("#")
    desk.keys("#211250001#")
    assert desk.lines == ["Return of goods", "Pay out 249,501", "Back 5", "Taken 25", "Balance 75"]
    english, persian, merchants = [event["lines"] for event in desk.receipts[-3:]]
    for paper in (english, merchants):
        rows = [" ".join(line.split()) for line in paper]
        at = rows.index("Amount 250,001 rial")
        assert rows[at + 1 : at + 4] == ["Money back 249,501 rial", "Points back 5", "Points taken 25"]
        assert rows[at - 2] == "Card 936400******7898"
        assert "earned" not in str(rows)
    rows = [" ".join(line.split()) for line in persian]
    at = rows.index("مبلغ ۲۵۰٬۰۰۱ ریال")
    assert rows[at + 1 : at + 4] == ["پول بازگشتی ۲۴۹٬۵۰۱ ریال", "امتیاز بازگشته ۵", "امتیاز پس‌گرفته ۲۵"]
    # The same after a power cut.
    again = Desk(desk.files, **languages)
    again.keys("#3")
    assert [line for line in again.receipts[-1]["lines"] if line.strip() != "COPY"] == merchants
    # The rest of it is offered, then nothing.
    desk.keys("#")
    desk.keys("#211")
    assert "249,999" in desk.lines
    desk.keys("#")
    assert "Taken 24" in desk.lines and last(desk)[1][4] == "000000249999"
    desk.keys("#")
    desk.keys("#21")
    assert desk.screens[-1] == "rrn"


def test_what_is_left_is_offered_and_what_is_wholly_back_is_not():
    taken = {1: 1, 4: "0106"}
    desk = Desk(switch=counting(taken, taken, taken))
    desk.earn("30000#")
    desk.keys("#")
    for first, rest in (("10000", "20,000"), ("5000", "15,000")):
        desk.keys("#211" + first + "#")
        desk.keys("#")
        desk.keys("#211")
        assert rest in desk.lines
        desk.keys("**")
    desk.keys("*")
    desk.keys("#1")
    assert desk.screens[-1] == "rrn"  # no void of what is partly back
    desk.keys("**")
    desk.keys("#211#")
    assert last(desk)[1][4] == "000000015000"
    desk.keys("#")
    desk.keys("#21")
    assert desk.screens[-1] == "rrn"


def test_points_of_a_split_sale_are_offered_but_for_those_that_goods_brought_back():
    desk = Desk(switch=counting({1: 5, 0x0E: 25, 4: "0105"}, {1: 5, 4: "0105"}))
    desk.keys("#4")
    desk.swipe()
    desk.keys("500000#10#")
    desk.keys("#")
    desk.keys("#211250000#")
    desk.keys("#")
    desk.keys("#221")
    assert "500" in desk.lines
    desk.keys("#")
    assert last(desk)[1][4] == "000000000500" and "Back 5" in desk.lines
    desk.keys("#")
    desk.keys("#22")
    assert desk.screens[-1] == "rrn"


def test_a_void_names_the_card_of_its_sale():
    desk = Desk(switch=counting({1: 1, 4: "0106"}))
    desk.earn("10000#")
    desk.keys("#")
    desk.keys("#11")
    rows = [" ".join(line.split()) for line in desk.receipt]
    assert "Card 936400******7898" in rows and "Points taken 1" in rows


def test_the_tills_receipt_stays_as_the_till_writes_it():
    from terminal.flows.outcome import Outcome, record_of
    from terminal.message import pack
    from terminal.ui.receipt import lines, rows

    desk = Desk()
    fields = {3: "210060", 11: "000012", 12: "140305", 13: "0824", 41: "10000001", 62: "A-17"}
    answer = pack("0210", {11: "000012", 12: "140305", 39: "00", 41: "10000001"})
    outcome = Outcome(record_of("0200", fields, 13, (2026, 8, 24, 14, 3, 5)), answer)
    assert "A-17" in " ".join(lines(rows(outcome, desk.app.settings, "fa")))
