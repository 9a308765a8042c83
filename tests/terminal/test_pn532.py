"""The contactless reader's driver: the chip's conversation byte by byte, torn, damaged, silent and lying."""

from terminal.drivers.pn532 import (
    ACK_MS,
    ANSWER_MS,
    NOISE_BYTES,
    TRIES,
    Answer,
    Card,
    Failed,
    NoCard,
    Pn532,
    Ready,
    Released,
    frame_of,
)

ACK = bytes.fromhex("0000ff00ff00")
WAKE_UP = bytes.fromhex("5555") + bytes(14)
SAM = bytes.fromhex("0000ff05fbd41401140102 00".replace(" ", ""))
VERSION = bytes.fromhex("0000ff02fed4022a00")
FIELD = bytes.fromhex("0000ff06fad43205ff0102f300")
LOOK = bytes.fromhex("0000ff04fcd44a0100e100")
RELEASE = bytes.fromhex("0000ff03fdd45200da00")
CARD = bytes.fromhex("4b010103442007045a1b2c3d4e5f067577810280")  # with a 7-byte UID and an ATS
UID = bytes.fromhex("045a1b2c3d4e5f")
LONG_ATS = bytes.fromhex("75778102804f0ca00000030603000300000000")


def told(body):
    """A frame of the chip: TFI D5, then the body."""
    length = len(body) + 1
    frame = bytes([0, 0, 0xFF, length, -length & 0xFF, 0xD5]) + body
    return frame + bytes([-(0xD5 + sum(body)) & 0xFF, 0])


VERSION_TOLD = told(bytes.fromhex("0332010607"))


class Bench:
    """A driver, and a chip that says what the test says."""

    def __init__(self):
        self.driver = Pn532()
        self.now_ms = 1000

    def says(self, *pieces):
        events = []
        for piece in pieces:
            events += self.driver.feed(piece, self.now_ms)
            self.now_ms += 1
        return events

    def waits(self):
        """Until the driver's next deadline."""
        self.now_ms = self.driver.deadline_ms()
        return self.driver.tick(self.now_ms)

    def ready(self):
        self.driver.begin(self.now_ms)
        self.driver.to_send()
        self.says(ACK + told(b"\x15"), ACK + VERSION_TOLD)
        [event] = self.says(ACK + told(b"\x33"))
        assert isinstance(event, Ready)
        self.driver.to_send()
        return self.driver


def test_frames_as_published():
    assert frame_of(b"\x14\x01\x14\x01") == SAM
    assert frame_of(b"\x02") == VERSION
    assert frame_of(b"\x32\x05\xff\x01\x02") == FIELD
    assert frame_of(b"\x4a\x01\x00") == LOOK
    assert frame_of(b"\x52\x00") == RELEASE


def test_a_long_command_has_an_extended_frame():
    frame = frame_of(b"\x40\x01" + bytes(253))
    assert frame[:8] == bytes.fromhex("0000ffffff0100ff")
    assert sum(frame[8:-1]) & 0xFF == 0


def test_it_is_woken_and_set_up():
    bench = Bench()
    bench.driver.begin(bench.now_ms)
    assert bench.driver.to_send() == WAKE_UP + SAM
    assert bench.says(ACK, told(b"\x15")) == []
    assert bench.driver.to_send() == VERSION
    assert bench.says(ACK, VERSION_TOLD) == []
    assert bench.driver.to_send() == FIELD
    [ready] = bench.says(ACK, told(b"\x33"))
    assert isinstance(ready, Ready)
    assert ready.version == (1, 6)
    assert not bench.driver.is_busy
    assert bench.driver.deadline_ms() is None


def test_a_card_torn_at_every_byte():
    said = ACK + told(CARD)
    for cut in range(len(said) + 1):
        bench = Bench()
        bench.ready().look(bench.now_ms)
        assert bench.driver.to_send() == LOOK
        [card] = bench.says(said[:cut], said[cut:])
        assert isinstance(card, Card), cut
        assert (card.uid, card.sak, card.atqa, card.is_chip) == (UID, 0x20, 0x0344, True)
        assert card.ats == bytes.fromhex("067577810280")
        assert repr(card) == "Card(hidden)"


def test_kinds_of_cards():
    for body, uid, is_chip in (
        ("4b0101004400070456789abcdef0", "0456789abcdef0", False),
        ("4b010100040804deadbeef", "deadbeef", False),
        ("4b01010344200401020304 0278".replace(" ", ""), "01020304", True),
    ):
        bench = Bench()
        bench.ready().look(bench.now_ms)
        [card] = bench.says(ACK, told(bytes.fromhex(body)))
        assert isinstance(card, Card), body
        assert (card.uid, card.is_chip) == (bytes.fromhex(uid), is_chip)


def test_no_card():
    bench = Bench()
    bench.ready().look(bench.now_ms)
    [event] = bench.says(ACK, told(b"\x4b\x00"))
    assert isinstance(event, NoCard)


def test_apdus_there_and_back():
    bench = Bench()
    driver = bench.ready()
    driver.exchange(bytes.fromhex("00a4040007d276000085010100"), bench.now_ms)
    assert driver.to_send() == frame_of(bytes.fromhex("400100a4040007d276000085010100"))
    [answer] = bench.says(ACK, told(bytes.fromhex("41009000")))
    assert isinstance(answer, Answer)
    assert answer.data == b"\x90\x00"
    assert repr(answer) == "Answer(hidden)"
    driver.release(bench.now_ms)
    assert driver.to_send() == RELEASE
    [event] = bench.says(ACK, told(b"\x53\x00"))
    assert isinstance(event, Released)


def test_an_answer_longer_than_a_plain_frame():
    bench = Bench()
    driver = bench.ready()
    driver.exchange(b"\x00\xb0\x00\x00\x00", bench.now_ms)
    body = b"\xd5\x41\x00" + bytes(range(256))[:254] + b"\x90\x00"
    length = bytes([len(body) >> 8, len(body) & 0xFF])
    frame = b"\x00\x00\xff\xff\xff" + length + bytes([-sum(length) & 0xFF])
    [answer] = bench.says(ACK, frame + body + bytes([-sum(body) & 0xFF, 0]))
    assert answer.data == body[3:]


def failed(events):
    [event] = events
    assert isinstance(event, Failed), event
    return event.reason, event.status


def test_what_the_card_did():
    for body, reason, status in (("4101", "gone", 1), ("412b", "gone", 0x2B), ("4114", "card", 0x14)):
        bench = Bench()
        bench.ready().exchange(b"\x30\x04", bench.now_ms)
        assert failed(bench.says(ACK, told(bytes.fromhex(body)))) == (reason, status)
        assert not bench.driver.is_busy


def test_a_silent_reader_is_woken_again_and_given_up():
    bench = Bench()
    bench.driver.begin(bench.now_ms)
    for _ in range(TRIES):
        assert bench.driver.to_send() == WAKE_UP + SAM
        assert bench.driver.deadline_ms() == bench.now_ms + ACK_MS
        events = bench.waits()
    assert failed(events) == ("silent", 0)
    assert bench.driver.to_send() == b""
    assert bench.driver.deadline_ms() is None


def test_a_card_is_never_asked_twice():
    bench = Bench()
    bench.ready().exchange(b"\x30\x04", bench.now_ms)
    bench.driver.to_send()
    assert failed(bench.waits()) == ("silent", 0)
    assert bench.driver.to_send() == b""


def test_an_answer_that_never_comes_is_stopped():
    bench = Bench()
    bench.ready().look(bench.now_ms)
    bench.driver.to_send()
    assert bench.says(ACK) == []
    assert bench.driver.deadline_ms() == bench.now_ms - 1 + ANSWER_MS
    assert failed(bench.waits()) == ("silent", 0)
    assert bench.driver.to_send() == ACK  # the host's way to abort a command
    # What comes after all belongs to nothing.
    assert bench.says(told(CARD)) == []
    bench.driver.look(bench.now_ms)
    [event] = bench.says(ACK, told(b"\x4b\x00"))
    assert isinstance(event, NoCard)


def test_a_damaged_answer_is_asked_for_again():
    good = told(CARD)
    for place in range(5, len(good) - 1):
        bench = Bench()
        bench.ready().look(bench.now_ms)
        bench.driver.to_send()
        damaged = bytearray(good)
        damaged[place] ^= 0x10
        assert bench.says(ACK, bytes(damaged)) == [], place
        assert bench.driver.to_send() == bytes.fromhex("0000ffff0000")
        [card] = bench.says(good)
        assert card.uid == UID


def test_an_answer_damaged_each_time_is_given_up():
    bench = Bench()
    bench.ready().look(bench.now_ms)
    damaged = told(CARD)[:-2] + b"\x00\x00"
    assert bench.says(ACK, damaged, damaged) == []
    assert failed(bench.says(damaged)) == ("damaged", 0)


def test_a_damaged_head_ends_by_time():
    for place in (3, 4):
        bench = Bench()
        bench.ready().look(bench.now_ms)
        damaged = bytearray(told(CARD))
        damaged[place] ^= 0x01
        assert bench.says(ACK, bytes(damaged)) == []
        assert failed(bench.waits()) == ("silent", 0)


def test_refused_and_lying():
    for body, reason in (
        (bytes.fromhex("0000ff01ff7f8100"), "refused"),
        (told(b"\x15"), "lying"),
        (told(b"\x4b\x01\x01"), "lying"),
        (told(CARD[:-1]), "lying"),
        (told(b"\x4b\x02" + CARD[2:]), "lying"),
        (told(bytes.fromhex("4b010100040803deadbe")), "lying"),
    ):
        bench = Bench()
        bench.ready().look(bench.now_ms)
        assert failed(bench.says(ACK, body)) == (reason, 0), body


def test_something_else_on_the_line():
    bench = Bench()
    bench.driver.begin(bench.now_ms)
    assert failed(bench.says(b"Welcome to BusyBox\r\n" * (NOISE_BYTES // 20 + 1))) == ("noise", 0)


def test_noise_around_good_frames_changes_nothing():
    for noise in (b"\x00", b"\x00\xff", b"\xff\x00\x00", b"\x00\x00\xff\x10", b"U" * 30, b"\x00\xff\x00\x00"):
        bench = Bench()
        bench.ready().look(bench.now_ms)
        [event] = bench.says(noise + ACK, noise + told(b"\x4b\x00") + noise)
        assert isinstance(event, NoCard), noise


def test_a_zero_that_was_lost_is_no_other_card():
    # A credit card's answer as libnfc's issue 755 shows it: a zero less changes no sum.
    good = told(bytes.fromhex("4b01010344200704744822a6149014") + LONG_ATS)
    for place in range(6, len(good) - 2):
        if good[place]:
            continue
        bench = Bench()
        bench.ready().look(bench.now_ms)
        bench.driver.to_send()
        assert bench.says(ACK, good[:place] + good[place + 1 :]) == [], place
        assert failed(bench.waits()) == ("silent", 0)


def test_a_torn_answer_spoils_nothing_of_the_next_command():
    said = told(b"\x41\x00" + bytes(range(1, 241)))
    for cut in range(len(said)):
        bench = Bench()
        bench.ready().exchange(b"\x00\xb0\x00\x00\x00", bench.now_ms)
        assert bench.says(ACK + said[:cut]) == []
        assert failed(bench.waits()) == ("silent", 0)
        for kept in bench.driver.__dict__.values():
            assert not isinstance(kept, bytearray) or not any(kept), cut
        bench.driver.exchange(b"\x00\xb0\x00\x00\x00", bench.now_ms)
        [answer] = bench.says(ACK + said)
        assert answer.data == bytes(range(1, 241)), cut


def test_half_an_answer_is_none():
    bench = Bench()
    bench.ready().exchange(b"\x00\xb0\x00\x00\x00", bench.now_ms)
    # UM0701-02, 7.3.8: the bit in the status says that more is to be fetched.
    assert failed(bench.says(ACK, told(b"\x41\x40" + bytes(240)))) == ("lying", 0)


def test_bytes_of_nobody_are_harmless():
    bench = Bench()
    driver = bench.ready()
    for value in range(256):
        assert bench.says(bytes([value]) * 40) == []
    driver.look(bench.now_ms)
    assert driver.to_send() == LOOK


def test_a_chip_that_starts_anew_during_the_set_up():
    bench = Bench()
    bench.driver.begin(bench.now_ms)
    bench.driver.to_send()
    bench.says(ACK, told(b"\x15"))
    assert bench.driver.to_send() == VERSION
    assert bench.waits() == []
    assert bench.driver.to_send() == WAKE_UP + VERSION
    assert bench.says(ACK, VERSION_TOLD) == []
    assert bench.driver.to_send() == FIELD
