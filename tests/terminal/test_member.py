"""Who a member is by each way of being named: fields, entry mode, what counts as having the card."""

from terminal.drivers.chip_card import CardError, Tap, link_of, prove, read_chip, tap_of
from terminal.flows.member import (
    by_chip,
    by_code,
    by_number,
    by_swipe,
    by_tap,
    card_number,
    challenge_of,
    has_card,
    has_chip,
    is_of_program,
    names_card,
    pin_digits,
    proven,
)

CARD = "9364001234567898"
TRACK2 = CARD + "=29121010000"
TAP = Tap(bytes(range(16)), bytes(range(16, 32)), bytes(range(32, 40)))
# What a request of 2026-08-24 about 100 points is asked to prove, made by hand and hashed by another program.
FIELDS = {3: "006000", 4: "000000010000", 11: "000123", 12: "140305", 13: "0824", 41: "10000001"}
POINTS = {0x01: "000000000100"}
CHALLENGE = "9036f7fa4c891a0c29a8717a8a109b4d"


def raises(kind, call, *arguments):
    try:
        call(*arguments)
    except kind:
        return True
    return False


def said(conversation, answers):
    """(commands, result) of a conversation with a card that answers so."""
    commands = [next(conversation)]
    try:
        for answer in answers:
            commands.append(conversation.send(answer))
    except StopIteration as end:
        return commands, end.value
    raise AssertionError("it wants more answers")


def test_each_way_has_its_entry_mode():
    modes = [
        (by_swipe(TRACK2), "021", True),
        (by_tap(TAP), "071", True),
        (by_chip(CARD), "051", True),
        (by_code(CARD), "031", False),
        (by_number(CARD), "011", False),
        (by_number("09121234567"), "011", False),
    ]
    for member, mode, with_card in modes:
        assert member[22] == mode
        assert has_card(member) is with_card, mode
        assert has_chip(member) is (mode == "051")


def test_what_names_the_member():
    assert by_swipe(TRACK2)[35] == TRACK2
    assert by_chip(CARD)[2] == by_code(CARD)[2] == CARD
    assert by_tap(TAP)[48] == {0x15: bytes(range(40))}
    assert by_code("9364001234567899") is None and by_code(CARD[:15]) is None
    assert [card_number(member) for member in (by_swipe(TRACK2), by_chip(CARD))] == [CARD, CARD]
    assert card_number(by_tap(TAP)) is None and names_card(by_tap(TAP))
    assert not names_card(by_number("09121234567"))
    assert is_of_program(by_tap(TAP), ["936400"]), "the switch knows whose it is"
    assert not is_of_program(by_chip("6219861234567890"), ["936400"])


def test_a_pin_beside_a_tap_is_made_over_digits_of_the_tap():
    assert pin_digits(by_tap(TAP)) == "000004328719365"  # 00 01 02 03 04 05
    assert pin_digits(by_tap(Tap(b"\xff" * 16, bytes(16), bytes(8)))) == "281474976710655"
    assert pin_digits(by_swipe(TRACK2)) == CARD
    assert pin_digits(by_number("09121234567")) is None


def test_what_a_chip_is_asked_to_prove():
    fields = dict(FIELDS)
    fields[48] = POINTS
    challenge = challenge_of(fields)
    assert "".join(["%02x" % byte for byte in challenge]) == CHALLENGE
    for number in FIELDS:
        changed = dict(fields)
        changed[number] = "9" * len(FIELDS[number])
        assert challenge_of(changed) != challenge, number
    changed = dict(fields)
    changed[48] = {0x01: "000000000101"}
    assert challenge_of(changed) != challenge
    assert challenge_of(proven(fields, bytes(12))) == challenge, "the proof itself is no part of it"
    assert proven(fields, bytes(12))[48] == {0x01: POINTS[0x01], 0x16: bytes(12)}


def test_a_chip_says_its_number_and_proves():
    identity = bytes([1]) + b"1234567" + bytes([14]) + bytes.fromhex("9364001234567898D2912101000F")
    answers = [b"\x90\x00", b"\x90\x00", identity[:9] + b"\x90\x00", identity[9:] + b"\x90\x00"]
    commands, number = said(read_chip(), answers)
    assert number == CARD
    assert commands[0] == b"\x00\xa4\x04\x00\x06\xf0VAFA\x01\x00"
    commands, proof = said(prove(bytes(16)), [bytes(range(12)) + b"\x90\x00"])
    assert commands == [b"\x00\x88\x00\x00\x10" + bytes(16) + b"\x00"] and proof == bytes(range(12))
    for answer in (bytes(11) + b"\x90\x00", bytes(13) + b"\x90\x00", b"\x69\x85", b"\x90"):
        assert raises(CardError, said, prove(bytes(16)), [answer])
    for head in (b"\x02" + identity[1:9], identity[:8] + b"\x00", identity[:8] + b"\x15", identity[:8]):
        assert raises(CardError, said, read_chip(), answers[:2] + [head + b"\x90\x00"])
    letters = identity[9:].replace(b"\x64", b"\x6a")
    assert raises(CardError, said, read_chip(), answers[:3] + [letters + b"\x90\x00"])


def test_a_tap_has_all_its_parts():
    whole = "vafa.example/t?e=" + "0" * 32 + "&c=" + "1" * 32 + "&m=" + "2" * 16
    tap = tap_of(whole)
    assert (tap.picc, tap.data, tap.mac) == (bytes(16), b"\x11" * 16, b"\x22" * 8)
    for begin in ("e=", "c=", "m="):
        assert raises(CardError, tap_of, whole.replace(begin, "x="))
        assert raises(CardError, tap_of, whole.replace(begin, begin + "0"))
    record = b"\xd1\x01" + bytes([len(whole) + 1]) + b"U\x04" + whole.encode()
    assert link_of(record) == whole
