"""A terminal on a scripted desk: PIN and one-time code, typed numbers, new PINs; nothing of them stays."""

from binascii import unhexlify

from terminal.flows.dialogue import ENTRY_MS
from tests.terminal.desk import (
    CARD,
    CODE,
    MOBILE,
    PIN,
    SECRETS,
    SIGN_ON_TAGS,
    Desk,
    approve,
    changed,
    dead,
    echoes,
)

LIMIT = {0x13: "000000000100"}


def with_limit(mti, fields):
    """A switch that wants a proof above 100 points, and has it checked."""
    mti, answer = approve(mti, fields)
    if mti == "0810":
        answer[48] = changed(SIGN_ON_TAGS, LIMIT)
    return mti, answer


def wants_proof(mti, fields):
    """A switch that answers 1A until there is a proof."""
    if fields.get(3) != "006000" or 52 in fields or 6 in fields.get(48, {}):
        return approve(mti, fields)
    answer = echoes(fields)
    answer[39] = "1A"
    return "0210", answer


def refusing(code, flow_code):
    """A switch that answers requests of one processing code with this response code."""

    def switch(mti, fields):
        mti, answer = approve(mti, fields)
        if fields.get(3) == flow_code:
            answer[39] = code
            answer[48] = {tag: value for tag, value in answer.get(48, {}).items() if tag != 0x04}
        return mti, answer

    return switch


def redeem(desk, points="101"):
    desk.keys("B")
    desk.swipe()
    desk.keys(points + "#")


def pin_of(desk, place=-1):
    return desk.host_keys(place).pin_of(desk.requests[place][1][52], CARD)


def nowhere(desk):
    """Nothing that is kept has a secret, nor what belongs to a sending; events were looked at already."""
    for data in desk.files.values():
        for secret in SECRETS:
            assert secret.encode() not in data
    for record in desk.records():
        assert 52 not in record and 53 not in record and 64 not in record and 128 not in record
        assert 6 not in record.get(48, {}) and 8 not in record.get(48, {})


# ---------------------------------------------------------------- PIN


def test_a_pin_is_asked_above_the_limit_and_only_there():
    for points, asked in (("100", False), ("101", True)):
        desk = Desk(switch=with_limit)
        redeem(desk, points)
        assert (desk.screens[-1] == "pin") == asked
        if asked:
            desk.keys(PIN + "#")
            assert pin_of(desk) == PIN
        assert (52 in desk.requests[-1][1]) == asked
        assert desk.transactions[-1]["approved"] and desk.screens[-1] == "approved"
        nowhere(desk)


def test_no_limit_no_pin():
    desk = Desk()
    redeem(desk, "999999")
    assert desk.transactions[-1]["approved"] and 52 not in desk.requests[-1][1]


def test_only_stars_are_shown():
    desk = Desk(switch=with_limit)
    redeem(desk)
    shown = []
    for key in "13579":
        desk.keys(key)
        shown.append(desk.lines[2])
    assert shown == ["*", "**", "***", "****", "*****"]
    assert desk.lines[1] == "PIN"
    nowhere(desk)


def test_the_keys_of_a_pin():
    desk = Desk(switch=with_limit)
    redeem(desk)
    desk.keys("123#")  # too short
    assert desk.screens[-1] == "pin" and desk.lines[2] == "***"
    desk.keys("BCD")
    assert desk.lines[2] == "***"
    desk.keys("*")
    assert len(desk.lines) == 4 and desk.lines[2] == ""
    desk.keys("1" * 15)
    assert desk.lines[2] == "*" * 12
    desk.keys("*" + PIN + "#")
    assert pin_of(desk) == PIN


def test_leaving_a_pin_sends_nothing():
    for leave in ("*", "12**"):
        desk = Desk(switch=with_limit)
        redeem(desk)
        desk.keys(leave)
        assert desk.screens[-1] == "idle" and desk.mtis() == ["0800"]
    for keys in ("", "12"):
        desk = Desk(switch=with_limit)
        redeem(desk)
        desk.keys(keys)
        desk.wait(ENTRY_MS)
        assert desk.screens[-1] == "idle" and desk.mtis() == ["0800"]


def test_a_demand_for_a_proof_leads_to_a_new_transaction_with_one():
    desk = Desk(switch=wants_proof)
    redeem(desk)
    assert desk.screens[-1] == "pin" and 52 not in desk.requests[-1][1]
    desk.keys(PIN + "#")
    first, second = [fields for mti, fields in desk.requests if mti == "0200"]
    assert first[11] != second[11] and pin_of(desk) == PIN
    assert [(event["response_code"], event["approved"]) for event in desk.transactions] == [
        ("1A", False),
        ("00", True),
    ]
    assert len(desk.printed) == 2  # the member's and the merchant's
    nowhere(desk)


def test_a_demand_after_a_proof_is_an_end():
    desk = Desk(switch=refusing("1A", "006000"))
    redeem(desk)
    desk.keys(PIN + "#")
    assert desk.screens[-1] == "declined" and desk.lines[1] == "Declined 1A"


def test_a_member_that_can_prove_nothing_is_not_asked_and_the_cashier_is_told_what_helps():
    for locale, said in (
        ("en", ["Declined 57", "Card locked after wrong tries: a new card is needed"]),
        ("fa", ["ناموفق ۵۷", "کارت پس از تلاش‌های نادرست قفل شده؛ کارت تازه لازم است"]),
    ):
        desk = Desk(switch=locked, locale=locale)
        redeem(desk)
        assert desk.screens[-1] == "declined" and desk.lines[1:] == said
        assert [mti for mti in desk.mtis() if mti == "0200"] == ["0200"]


def locked(mti, fields):
    """A switch that no longer takes the card, of a member without PIN and mobile number."""
    mti, answer = approve(mti, fields)
    if fields.get(3) == "006000":
        answer[39], answer[48] = "57", {0x04: "0308"}
    return mti, answer


def test_what_the_switch_says_of_a_pin():
    for code, said in (
        ("55", "Wrong PIN"),
        ("75", "PIN locked after too many tries"),
        ("86", "PIN can't be checked now"),
    ):
        desk = Desk(switch=with_limit)
        redeem(desk)
        desk.switch = refusing(code, "006000")
        desk.keys(PIN + "#")
        assert desk.lines[1:] == ["Declined " + code, said]
        assert desk.transactions[-1]["response_code"] == code and desk.printed == []
    desk = Desk(switch=with_limit, locale="fa")
    redeem(desk)
    desk.switch = refusing("55", "006000")
    desk.keys(PIN + "#")
    assert desk.lines[2] == "رمز نادرست است"


def test_a_wrong_pin_is_asked_again_at_once_and_shown_nowhere():
    desk = Desk(switch=with_limit)
    redeem(desk)
    desk.switch = refusing("55", "006000")
    desk.keys(PIN + "#")
    assert desk.lines[1] == "Declined 55"
    seen = len(desk.screens)
    desk.keys("2222")  # the member doesn't wait to be asked
    assert len(desk.screens) == seen
    desk.keys("#")
    assert desk.screens[-1] == "pin"
    desk.switch = with_limit
    desk.keys(PIN + "#")
    assert desk.transactions[-1]["approved"] and desk.printed
    nowhere(desk)
    desk = Desk(switch=with_limit)
    redeem(desk)
    desk.switch = refusing("55", "006000")
    for keys in (PIN + "#", "#", "*"):
        desk.keys(keys)
    assert desk.screens[-1] == "idle"


def test_a_redemption_with_a_pin_is_reversed_without_it():
    desk = Desk(switch=with_limit)
    redeem(desk)
    desk.switch = dead
    desk.keys(PIN + "#")
    nowhere(desk)
    desk.switch = approve
    desk.wait(15000)
    mti, fields = desk.requests[-1]
    assert mti == "0420" and 52 not in fields
    assert desk.transactions[-1]["flow"] == "reversal"


# ---------------------------------------------------------------- one-time code

CODE_TAG = b"\x06\x03" + unhexlify(CODE)


def hidden_of(desk, tags):
    """What the enciphered tag of the last request holds."""
    return desk.host_keys().data_of(tags[0x20])



def test_a_code_instead_of_a_pin():
    desk = Desk(switch=with_limit)
    redeem(desk)
    desk.keys("A")
    mti, fields = desk.requests[-1]
    assert (mti, fields[3]) == ("0100", "336000")
    assert sorted(fields) == [3, 11, 12, 13, 22, 35, 41, 42]
    assert desk.screens[-1] == "one_time_code"
    desk.keys(CODE[:5] + "#")
    assert desk.screens[-1] == "one_time_code" and desk.lines[2] == "*****"
    desk.keys(CODE[5] + "#")
    tags = desk.requests[-1][1][48]
    assert sorted(tags) == [1, 0x20] and hidden_of(desk, tags) == CODE_TAG
    assert 52 not in desk.requests[-1][1] and desk.transactions[-1]["approved"]
    nowhere(desk)


def test_no_code_was_sent():
    desk = Desk(switch=with_limit)
    redeem(desk)
    desk.switch = refusing("14", "336000")
    desk.keys("A")
    assert desk.lines[0] == "One-time code" and desk.lines[1] == "Declined 14"
    desk.keys("#")
    assert desk.screens[-1] == "pin"
    desk.switch = dead
    desk.keys("A")
    desk.wait(15000)
    assert desk.lines[0] == "No answer"
    desk.keys("#")
    assert desk.screens[-1] == "pin"
    desk.switch = approve
    desk.run()
    desk.keys(PIN + "#")
    assert pin_of(desk) == PIN and desk.transactions[-1]["approved"]


# ---------------------------------------------------------------- typed numbers


def test_a_typed_card_number():
    desk = Desk()
    desk.keys("C" + CARD)
    assert desk.lines[2] == "936400******7898"
    desk.keys("#")
    fields = desk.requests[-1][1]
    assert (fields[2], fields[22]) == (CARD, "011") and 35 not in fields
    assert desk.transactions[-1]["approved"]
    assert "Card            936400******7898" in desk.printed[0]


def test_all_that_is_shown_of_a_number_is_its_mask():
    desk = Desk()
    desk.keys("C")
    shown = []
    for key in CARD:
        desk.keys(key)
        shown.append(desk.lines[2])
    assert shown[3:6] == ["9364", "9364*", "9364**"] and shown[14] == "9364" + "*" * 11
    known = "".join([max([line[place] for line in shown if place < len(line)]) for place in range(16)])
    assert known == "936400******7898"


def test_a_redemption_by_typed_number_always_wants_a_proof():
    desk = Desk()
    desk.keys("B" + CARD + "#5#")
    assert desk.screens[-1] == "pin"
    desk.keys(PIN + "#")
    assert desk.requests[-1][1][2] == CARD and pin_of(desk) == PIN
    desk = Desk()
    desk.keys("B" + CARD + "#5#A")
    desk.keys(CODE + "#")
    assert [fields[3] for mti, fields in desk.requests[1:]] == ["336000", "006000"]
    assert [fields[2] for mti, fields in desk.requests[1:]] == [CARD, CARD]


def test_a_lost_answer_to_a_typed_number_is_reversed_with_it():
    desk = Desk()
    desk.switch = dead
    desk.keys("A" + CARD + "#10000#")
    desk.switch = approve
    desk.wait(15000)
    assert desk.requests[-1][0] == "0420" and desk.requests[-1][1][2] == CARD


def test_numbers_that_are_none():
    desk = Desk()
    desk.keys("C123#")
    assert desk.lines == ["Number", "Not valid", "Try again"]
    desk.keys("#")
    assert desk.screens[-1] == "swipe"
    for digits in ("9364001234567890", "936400123456789", "12345678901"):
        desk.keys(digits + "#")
        assert desk.lines == ["Number", "Not valid", "Try again"]
        desk.keys("#")
        assert desk.screens[-1] == "swipe"
    desk.keys("4111111111111111#")
    assert desk.lines[0] == "Card"
    assert desk.mtis() == ["0800"]


def test_a_swipe_while_typing_counts():
    desk = Desk()
    desk.keys("C9364")
    desk.swipe()
    assert 35 in desk.requests[-1][1]


def test_a_member_by_mobile_number():
    desk = Desk()
    desk.keys("B" + MOBILE + "#5#")
    assert [fields[3] for mti, fields in desk.requests[1:]] == ["336000"]
    desk.keys(CODE + "#")
    for place, code in ((1, b""), (2, CODE_TAG)):
        tags = desk.requests[place][1][48]
        assert 7 not in tags and 6 not in tags
        assert desk.host_keys(place).data_of(tags[0x20]) == code + b"\x07\x06\x98\x91\x21\x23\x45\x67"
    assert desk.transactions[-1]["approved"]
    nowhere(desk)
    assert not [line for line in desk.printed[0] if line.startswith("Card")]
    desk.keys("#D" + MOBILE + "#")
    assert desk.lines[0] == "Card"


# ---------------------------------------------------------------- new PINs


def test_a_first_pin_at_activation():
    desk = Desk()
    desk.keys("D")
    desk.swipe()
    assert desk.screens[-1] == "mobile" and desk.mtis() == ["0800"]
    desk.keys("A" + PIN + "#")
    assert desk.screens[-1] == "new_pin_again"
    desk.keys(PIN + "#")
    assert desk.requests[-1][1][3] == "720000" and pin_of(desk) == PIN
    assert desk.transactions[-1]["approved"]
    nowhere(desk)


def test_a_first_pin_may_be_left_out():
    desk = Desk()
    desk.keys("D")
    desk.swipe()
    desk.keys("#")
    assert 52 not in desk.requests[-1][1] and desk.transactions[-1]["approved"]


def test_pins_that_differ_are_asked_again():
    desk = Desk()
    desk.keys("D")
    desk.swipe()
    desk.keys("A1234#1235#")
    assert desk.lines == ["PIN", "Not the same", "Try again"]
    desk.keys("#" + PIN + "#" + PIN + "#")
    assert pin_of(desk) == PIN


def test_a_changed_pin():
    for locale, said in (("en", "PIN is changed"), ("fa", "رمز تغییر کرد")):
        desk = Desk(locale=locale)
        desk.keys("#6")
        desk.swipe()
        desk.keys("1234#" + PIN + "#" + PIN + "#")
        mti, fields = desk.requests[-1]
        assert (mti, fields[3]) == ("0300", "700000")
        assert sorted(fields) == [3, 11, 12, 13, 22, 35, 41, 42, 48, 52] and list(fields[48]) == [8]
        assert pin_of(desk) == "1234" and desk.host_keys().pin_of(fields[48][8], CARD) == PIN
        assert desk.lines[1] == said
        assert desk.transactions[-1]["flow"] == "pin_change" and desk.transactions[-1]["approved"]
        nowhere(desk)
        desk.wait(5000)
        assert desk.screens[-1] == "idle"


def test_a_changed_pin_by_code():
    desk = Desk()
    desk.keys("#6")
    desk.swipe()
    desk.keys("A")
    desk.keys(CODE + "#" + PIN + "#" + PIN + "#")
    fields = desk.requests[-1][1]
    assert 52 not in fields and hidden_of(desk, fields[48]) == CODE_TAG
    assert desk.host_keys().pin_of(fields[48][8], CARD) == PIN


def test_a_pin_that_was_not_changed():
    desk = Desk(switch=refusing("55", "700000"))
    desk.keys("#6")
    desk.swipe()
    desk.keys("1234#" + PIN + "#" + PIN + "#")
    assert desk.lines[1:] == ["Declined 55", "Wrong PIN"]
    assert not desk.transactions[-1]["approved"]
    desk = Desk()
    desk.keys("#6")
    desk.swipe()
    desk.keys("1234#" + PIN + "#")
    desk.switch = dead
    desk.keys(PIN + "#")
    desk.wait(15000)
    assert desk.lines == ["No answer", "Old or new PIN", "is valid now"]


def test_the_menu_is_left():
    for keys in ("#*", "##*"):
        desk = Desk()
        desk.keys(keys)
        assert desk.screens[-1] == "idle"
    desk = Desk()
    desk.keys("#")
    desk.wait(ENTRY_MS)
    assert desk.screens[-1] == "idle"
