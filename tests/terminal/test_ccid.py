"""The contact reader's driver and what goes through it: frames, echoes, resets, T=0 and T=1, each
way to fail."""

from terminal.drivers.ccid import (
    ANSWER_MS,
    LONGEST_MS,
    NOISE_BYTES,
    SLOW_MS,
    TRIES,
    Block,
    Ccid,
    Failed,
    Moved,
    Off,
    Powered,
    Present,
    framed,
)
from terminal.drivers.chip_blocks import BlockError, Blocks, Commands, Reset, link_of

ATR_T1 = bytes.fromhex("3b858131fe455641464131f5")


def xor(data):
    value = 0
    for byte in data:
        value ^= byte
    return value


ATR_T1 = ATR_T1[:-1] + bytes((xor(ATR_T1[1:-1]),))
ATR_T0 = bytes.fromhex("3b055641464131")


def told(code, sequence, data=b"", status=0, error=0):
    """A message of the reader."""
    return framed(bytes((code, len(data), 0, 0, 0, 0, sequence, status, error, 0)) + data)


class Bench:
    def __init__(self):
        self.driver = Ccid()
        self.now_ms = 0

    def says(self, *pieces):
        events = []
        for piece in pieces:
            events += self.driver.feed(piece, self.now_ms)
            self.now_ms += 5
        return events

    def waits(self):
        self.now_ms = self.driver.deadline_ms()
        return self.driver.tick(self.now_ms)


def test_published_frame_of_power_on():
    assert framed(bytes.fromhex("62000000000000010000")) == bytes.fromhex("03066200000000000001000066")
    driver = Ccid()
    driver.power_on(0)  # its sequence is 1
    assert driver.to_send() == bytes.fromhex("03066200000000000101000067")


def test_a_day_torn_at_every_byte():
    for cut in range(40):
        bench = Bench()
        driver = bench.driver
        driver.begin(0)
        sent = driver.to_send()
        said = sent + told(0x81, 1, status=1)
        [present] = bench.says(said[:cut], said[cut:])
        assert (type(present), present.is_in) == (Present, True)
        driver.power_on(0)
        said = driver.to_send() + told(0x80, 2, ATR_T1)
        [powered] = bench.says(said[:cut], said[cut:])
        assert (type(powered), powered.atr) == (Powered, ATR_T1)
        driver.transmit(b"\x00\x40\x02ABA", 0)
        said = driver.to_send() + b"\xc0" + told(0x80, 3, b"\x00\x40\x02\x90\x00\xd2")
        [block] = bench.says(said[:cut], said[cut:])
        assert (type(block), block.data) == (Block, b"\x00\x40\x02\x90\x00\xd2")
        assert repr(block) == "Block(hidden)"
        driver.power_off(0)
        [off] = bench.says(driver.to_send() + told(0x81, 4, status=1))
        assert isinstance(off, Off)
        [moved] = bench.says(b"\x50", b"\x02")
        assert (type(moved), moved.is_in) == (Moved, False)


def test_a_card_that_moves_during_a_command():
    bench = Bench()
    bench.driver.transmit(b"\x00\xa4\x00\x00", 0)
    moved, failed = bench.says(bench.driver.to_send() + b"\x50\x02" + told(0x80, 1, status=0x42, error=0xFB))
    assert (type(moved), moved.is_in, failed.reason) == (Moved, False, "no card")


def test_what_goes_wrong_is_told():
    for said, reason in (
        (told(0x80, 1, status=0x42, error=0xFB), "no card"),
        (told(0x80, 1, status=0x41, error=0xFE), "mute"),
        (told(0x80, 1, status=0x41, error=0xF6), "refused"),
        (told(0x82, 1, b"\x00"), "lying"),
        (told(0x80, 1, b"ab")[:-1] + b"\x00", "damaged"),
        (b"Z" * 700, "noise"),
    ):
        bench = Bench()
        bench.driver.transmit(b"\x00\xa4\x00\x00", 0)
        bench.driver.to_send()
        [failed] = bench.says(said)
        assert (type(failed), failed.reason) == (Failed, reason), said
        assert bench.driver.deadline_ms() is None


def test_what_changes_nothing_is_tried_again():
    bench = Bench()
    bench.driver.begin(0)
    for _ in range(TRIES):
        assert bench.driver.to_send()[:3] == b"\x03\x06\x65"
        assert bench.driver.deadline_ms() == bench.now_ms + ANSWER_MS
        events = bench.waits()
    assert events[0].reason == "silent"
    for said in (b"\x03\x15\x16", told(0x81, 1)[:-1] + b"\x00"):
        bench = Bench()
        bench.driver.begin(0)
        first = bench.driver.to_send()
        assert bench.says(said) == []
        assert bench.driver.to_send() == first
        [present] = bench.says(first + told(0x81, 1, status=2))
        assert present.is_in is False


def test_a_block_is_never_sent_twice():
    for said in (b"\x03\x15\x16", b""):
        bench = Bench()
        bench.driver.transmit(b"\x00\xa4\x00\x00", 0)
        bench.driver.to_send()
        [failed] = bench.says(said) if said else bench.waits()
        assert failed.reason == "silent"
        assert bench.driver.to_send() == b""


def test_a_card_that_needs_time():
    bench = Bench()
    bench.driver.transmit(b"\x00\xa4\x00\x00", 0)
    bench.driver.to_send()
    bench.now_ms = 1500
    assert bench.says(b"\xc0") == []
    assert bench.driver.deadline_ms() == 1500 + SLOW_MS
    assert bench.says(told(0x80, 1, status=0x80, error=5)) == []
    [block] = bench.says(told(0x80, 1, b"\x90\x00"))
    assert block.data == b"\x90\x00"


def test_a_reader_that_asks_for_time_for_ever():
    for said in (b"\x80", told(0x80, 1, status=0x80, error=5)):
        bench = Bench()
        bench.driver.transmit(b"\x00\xa4\x00\x00", 0)
        events = []
        while not events and bench.now_ms <= LONGEST_MS:
            bench.now_ms += 1000
            events = bench.says(said)
        [failed] = events or bench.waits()
        assert failed.reason == "silent"
        bench.driver.power_off(bench.now_ms)
        [off] = bench.says(told(0x81, 2))
        assert isinstance(off, Off)
    bench = Bench()
    bench.driver.power_on(0)
    [failed] = bench.says(b"\xff" * (NOISE_BYTES + 1))
    assert failed.reason == "noise"


def test_half_an_answer_is_wiped():
    said = told(0x80, 1, b"9364001234567898\x90\x00")
    for cut in range(len(said)):
        bench = Bench()
        bench.driver.transmit(b"\x00\xb0\x00\x00\x10", 0)
        bench.says(said[:cut])
        [failed] = bench.waits()
        assert failed.reason == "silent"
        for kept in bench.driver.__dict__.values():
            assert not isinstance(kept, bytearray) or not any(kept), cut


def test_late_and_foreign_answers_are_dropped():
    bench = Bench()
    bench.driver.transmit(b"\x00\xa4\x00\x00", 0)
    bench.driver.to_send()
    assert bench.says(told(0x80, 9, b"\x90\x00"), b"\x03\x07", b"\x50\x09") == []
    assert bench.says(b"\x03\x06\x80\xff\xff\x00\x00\x00\x01\x00\x00\x00") == []
    [block] = bench.says(told(0x80, 1, b"\x90\x00"))
    assert block.data == b"\x90\x00"


# ---------------------------------------------------------------- answer to reset


def test_answers_to_reset():
    for text, protocol, field in (
        (ATR_T1, 1, 254),
        (ATR_T0, 0, 32),
        (bytes.fromhex("3b00"), 0, 32),
        (bytes.fromhex("3bb011004000"), 0, 32),  # TA1, TB1, TD1: T=0
        (bytes.fromhex("3f2500510000000000"), 0, 32),
    ):
        reset = Reset(text)
        assert (reset.protocol, reset.field) == (protocol, field), text
    assert Reset(ATR_T1).history == b"VAFA1"
    assert isinstance(link_of(ATR_T1), Blocks)
    assert isinstance(link_of(ATR_T0), Commands)


def test_answers_that_can_not_be():
    good = ATR_T1
    for length in range(len(good)):
        refuses(good[:length])
    for place in range(1, len(good)):
        damaged = bytearray(good)
        damaged[place] ^= 0x01
        refuses(bytes(damaged))
    for text in ("", "3b", "00ff", "3b8e", "ff" * 33, "3b" + "80" * 32):
        refuses(bytes.fromhex(text))


def refuses(text):
    try:
        Reset(text)
    except BlockError as error:
        assert error.what in ("atr", "protocol")
    else:
        raise AssertionError(text)


# ---------------------------------------------------------------- T=0 and T=1


def block(kind, data=b""):
    body = bytes((0, kind, len(data))) + data
    return body + bytes((xor(body),))


def played(link, command, *talk):
    """The answer, or what was wrong; each pair is what must be said and what the card says to it."""
    conversation = link.exchange(command)
    said = next(conversation)
    try:
        for expected, answer in talk:
            assert said == expected, said
            said = conversation.send(answer)
    except StopIteration as end:
        return end.value
    except BlockError as error:
        return error.what
    raise AssertionError("more to say")


ANNOUNCED = (block(0xC1, b"\xfe"), block(0xE1, b"\xfe"))


def test_blocks_there_and_back_and_their_bits():
    link = Blocks(254)
    assert played(link, b"AB", ANNOUNCED, (block(0x00, b"AB"), block(0x00, b"\x90\x00"))) == b"\x90\x00"
    assert played(link, b"CD", (block(0x40, b"CD"), block(0x40, b"xy\x90\x00"))) == b"xy\x90\x00"
    assert played(link, b"EF", (block(0x00, b"EF"), block(0x00, b"\x6a\x82"))) == b"\x6a\x82"


def test_chains_both_ways():
    link = Blocks(4)
    answer = played(
        link,
        b"0123456789",
        ANNOUNCED,
        (block(0x20, b"0123"), block(0x90)),
        (block(0x60, b"4567"), block(0x80)),
        (block(0x00, b"89"), block(0x20, b"abc")),
        (block(0x90), block(0x60, b"def")),
        (block(0x80), block(0x00, b"\x90\x00")),
    )
    assert answer == b"abcdef\x90\x00"


def test_damaged_blocks_are_asked_for_again():
    link = Blocks(254)
    for damaged in (
        b"",
        b"\x00",
        block(0x00, b"xy")[:-1] + b"\x00",
        block(0, b"xy") + b"\x00",
        b"\x01\x00\x00\x01",
    ):
        link = Blocks(254)
        answer = played(
            link, b"AB", ANNOUNCED, (block(0x00, b"AB"), damaged), (block(0x81), block(0x00, b"\x90\x00"))
        )
        assert answer == b"\x90\x00"
    link = Blocks(254)
    answer = played(
        link,
        b"AB",
        ANNOUNCED,
        (block(0x00, b"AB"), block(0x81)),
        (block(0x00, b"AB"), block(0x00, b"\x90\x00")),
    )
    assert answer == b"\x90\x00"
    link = Blocks(254)
    assert (
        played(
            link,
            b"AB",
            ANNOUNCED,
            (block(0x00, b"AB"), b""),
            (block(0x81), b""),
            (block(0x81), b""),
            (block(0xC0), block(0xE0)),
        )
        == "damaged"
    )


def test_a_card_that_asks_for_time_or_another_size():
    link = Blocks(254)
    answer = played(
        link,
        b"AB",
        ANNOUNCED,
        (block(0x00, b"AB"), block(0xC3, b"\x05")),
        (block(0xE3, b"\x05"), block(0xC1, b"\x10")),
        (block(0xE1, b"\x10"), block(0x00, b"\x90\x00")),
    )
    assert answer == b"\x90\x00"
    assert played(Blocks(9), b"AB", ANNOUNCED, (block(0x00, b"AB"), block(0xC2))) == "aborted"


def test_a_card_that_lies():
    for said, what in (
        (block(0x40, b"\x90\x00"), "sequence"),
        (block(0x00, b"\x90"), "answer"),
        (block(0x00), "answer"),
        (block(0x20), "length"),  # a chain of empty blocks
    ):
        assert played(Blocks(254), b"AB", ANNOUNCED, (block(0x00, b"AB"), said)) == what
    endless = [(block(0x00, b"AB"), block(0x20, b"z" * 200))]
    for turn in range(2):
        bit = turn & 1
        endless.append((block(0x80 | (bit ^ 1) << 4), block((bit ^ 1) << 6 | 0x20, b"z" * 200)))
    assert played(Blocks(254), b"AB", ANNOUNCED, *endless[:2]) == "length"


def test_a_card_that_wants_the_same_block_again_and_again():
    # Issue 72 of LudovicRousseau/CCID: R(0) with "other error" to each block, where a driver looped.
    block_again = (block(0x00, b"AB"), block(0x82))
    good = (block(0x00, b"AB"), block(0x00, b"\x6d\x00"))
    assert played(Blocks(254), b"AB", ANNOUNCED, block_again, good) == b"\x6d\x00"
    resync = (block(0xC0), block(0xE0))
    assert played(Blocks(254), b"AB", ANNOUNCED, block_again, block_again, block_again, resync) == "damaged"


def test_commands_one_by_one():
    link = Commands()
    assert played(link, b"\x00\xa4\x00\x0c", (b"\x00\xa4\x00\x0c\x00", b"\x90\x00")) == b"\x90\x00"
    with_both = b"\x00\x82\x00\x00\x02ab\x00"
    assert played(link, with_both, (with_both[:-1], b"\x61\x02")) == b"\x61\x02"
    assert played(link, b"\x00\xb0\x00\x00\x04", (b"\x00\xb0\x00\x00\x04", b"x")) == "answer"
