"""The card writer's driver: the manual's bytes, cards read and written, clones, bad swipes, silence."""

from terminal.drivers.stripe_writer import (
    ANSWER_MS,
    BLOCK_MS,
    GREEN,
    NOISE_BYTES,
    RESET_MS,
    SWIPE_MS,
    TRIES,
    CardRead,
    Done,
    Failed,
    Ready,
    StripeWriter,
    SwipeAgain,
    Verified,
    tracks_of,
)

RESET, TEST, READ = b"\x1ba", b"\x1be", b"\x1br"
TRACK1 = "B9364001234567898^KARIMI/SARA^29121010000"
TRACK2 = "9364001234567898=29121010000"
TRACKS = (TRACK1, TRACK2, None)
# The example of the manual's section 8, letter by letter.
MANUAL_WRITE = bytes.fromhex("1b771b731b0130311b0232331b0334353f1c")
MANUAL_READ = bytes.fromhex("1b731b01253031 3f1b023b32333f1b033b34353f3f1c1b30".replace(" ", ""))


def block(track1=TRACK1, track2=TRACK2, track3=None, empty=b"", status=b"0"):
    """What the device says of a card."""
    said = b"\x1bs"
    for slot, text in enumerate((track1, track2, track3)):
        said += bytes([0x1B, slot + 1]) + (("%" if slot == 0 else ";") + text + "?" if text else "").encode()
        said += b"" if text else empty
    return said + b"?\x1c\x1b" + status


class Bench:
    """A driver, and a device that says what the test says."""

    def __init__(self):
        self.driver = StripeWriter()
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

    def writes(self, tracks=TRACKS):
        self.driver.write(tracks, self.now_ms)
        return self.driver.to_send()

    def is_idle(self):
        return not self.driver.is_busy and self.driver.deadline_ms() is None and self.driver.to_send() == b""


def failed(events):
    [event] = events
    assert isinstance(event, Failed), event
    return event.reason


def alive(bench):
    """It is taken out of what it was about, and asked whether it is there: it is."""
    assert bench.driver.to_send() == RESET
    assert RESET_MS - 1 <= bench.driver.deadline_ms() - bench.now_ms <= RESET_MS
    assert bench.says(b"\x1b0\x1by" + block()) == []  # late, of before
    assert bench.waits() == []
    assert bench.driver.to_send() == TEST
    return bench.says(b"\x1by")


def test_it_is_greeted():
    bench = Bench()
    bench.driver.begin(bench.now_ms)
    assert bench.driver.to_send() == RESET
    assert bench.waits() == []
    assert bench.driver.to_send() == TEST
    assert bench.says(b"\x1by") == []
    assert bench.driver.to_send() == RESET
    assert bench.waits() == []
    assert bench.driver.to_send() == b"\x1bt"
    assert bench.says(b"\x1b3", b"S") == []
    assert bench.driver.to_send() == b"\x1bv"
    [ready] = bench.says(b"\x1bREVS2.31")
    assert isinstance(ready, Ready)
    assert (ready.model, ready.firmware) == ("3", "REVS2.31")
    assert bench.is_idle()


def test_a_clone_knows_less():
    for model, firmware, expected in (
        (b"", b"", ("", "")),
        (b"\x1b3S", b"", ("3", "")),
        (b"\x1b3", b"\x1bV1.0", ("3", "V1.0")),
        (b"", b"\x1bREVS2.31 (c)", ("", "REVS2.31")),
        (b"\x1b\x00S", b"\x1bREV\xff2.31", ("", "")),
    ):
        bench = Bench()
        bench.driver.begin(bench.now_ms)
        bench.waits()
        bench.says(b"\x1by")
        bench.waits()
        events = bench.says(model)
        while not events:
            events = bench.waits() if bench.driver.to_send() != b"\x1bv" else bench.says(firmware)
        [ready] = events
        assert isinstance(ready, Ready)
        assert (ready.model, ready.firmware) == expected
        assert bench.is_idle()


def test_a_card_is_read():
    for said, expected in (
        (MANUAL_READ, ("01", "23", "45")),
        (block(), TRACKS),
        (block(None, TRACK2), (None, TRACK2, None)),
        (block(None, None), (None, None, None)),
        (block(None, TRACK2, empty=b"\x1b\x2b"), (None, TRACK2, None)),
        (block(None, TRACK2, empty=b"\x1b\x2a"), (None, TRACK2, None)),
        (block(TRACK1, "E"), (TRACK1, None, None)),
        (block("A" * 76, "1" * 37, "2" * 104), ("A" * 76, "1" * 37, "2" * 104)),
        (b"\x1bs\x1b\x01%A?\x1b\x02\x1b\x03+12??\x1c\x1b0", ("A", None, "12")),
        (b"\x1bs\x1b\x02;12??\x1c\x1b0", (None, "12", None)),
        (b"noise\x1b" + block(), TRACKS),
    ):
        bench = Bench()
        bench.driver.read(bench.now_ms)
        assert bench.driver.to_send() == READ
        assert bench.driver.deadline_ms() == bench.now_ms + SWIPE_MS
        [card] = bench.says(said)
        assert isinstance(card, CardRead), said
        assert card.tracks == expected, said
        assert repr(card) == "CardRead(hidden)"
        assert bench.is_idle()


def test_a_card_torn_at_every_byte():
    said = block()
    for cut in range(len(said) + 1):
        bench = Bench()
        bench.driver.read(bench.now_ms)
        [card] = bench.says(said[:cut], said[cut:])
        assert card.tracks == TRACKS, cut


def test_a_slow_device():
    bench = Bench()
    bench.driver.read(bench.now_ms)
    events = []
    for byte in block():
        events += bench.says(bytes([byte]))
        bench.now_ms += BLOCK_MS - 2
    [card] = events
    assert card.tracks == TRACKS


def test_a_card_is_written_and_read_back():
    bench = Bench()
    assert bench.writes(("01", "23", "45")) == MANUAL_WRITE
    [again] = bench.says(b"\x1b0")
    assert isinstance(again, SwipeAgain)
    assert bench.driver.to_send() == READ
    assert bench.driver.deadline_ms() == bench.now_ms - 1 + SWIPE_MS
    [verified] = bench.says(MANUAL_READ)
    assert isinstance(verified, Verified)
    assert bench.is_idle()


def test_tracks_that_were_not_written_may_hold_anything():
    for written, on_the_card in (((None, TRACK2, None), TRACKS), ((None, "1", None), ("OLD", "1", "77"))):
        bench = Bench()
        bench.writes(written)
        bench.says(b"\x1b0")
        [event] = bench.says(block(*on_the_card))
        assert isinstance(event, Verified)


def test_a_card_that_holds_something_else_is_told():
    for on_the_card in ((TRACK1, TRACK2[:-1] + "1"), (TRACK1, None), (None, TRACK2), (None, None)):
        bench = Bench()
        bench.writes()
        bench.says(b"\x1b0")
        [event] = bench.says(block(*on_the_card))
        assert (event.reason, event.written) == ("different", True)


def test_every_status_has_its_reason():
    for status, reason, written in (
        (b"1", "card", True),
        (b"2", "format", False),
        (b"4", "refused", False),
        (b"9", "swipe", True),
        (b"A", "lying", True),
        (b"\x7f", "lying", True),
    ):
        bench = Bench()
        bench.writes()
        [event] = bench.says(b"\x1b" + status)
        assert (event.reason, event.written) == (reason, written)
        assert bench.is_idle()
        for said in (b"\x1b" + status, b"\x1bs\x1b\x01\x1b\x02\x1b\x03?\x1c\x1b" + status):
            bench = Bench()
            bench.driver.read(bench.now_ms)
            [event] = bench.says(said)
            expected = "refused" if said == b"\x1bA" else reason
            assert (event.reason, event.written) == (expected, False), said
    bench = Bench()
    bench.driver.read(bench.now_ms)
    assert failed(bench.says(b"\x1b0")) == "lying"


def test_a_text_that_a_track_cannot_hold_is_refused():
    for tracks in (
        ("A" * 77, None, None),
        ("a", None, None),
        ("A?", None, None),
        ("A%", None, None),
        ("A\x1bA", None, None),
        (None, "1" * 38, None),
        (None, "12A", None),
        (None, "1;2", None),
        (None, None, "1" * 105),
        (None, None, None),
        ("", "", ""),
    ):
        bench = Bench()
        try:
            bench.driver.write(tracks, bench.now_ms)
        except ValueError as error:
            assert "AAAA" not in str(error)
            assert "111" not in str(error)
        else:
            raise AssertionError(tracks)
        assert bench.is_idle()


def test_erased():
    for tracks, which in (((1, 2, 3), 7), ((1,), 1), ((2,), 2), ((2, 3), 6)):
        bench = Bench()
        bench.driver.erase(bench.now_ms, tracks)
        assert bench.driver.to_send() == b"\x1bc" + bytes([which])
        [done] = bench.says(b"\x1b0")
        assert isinstance(done, Done)
    bench.driver.erase(bench.now_ms)
    assert failed(bench.says(b"\x1bA")) == "refused"


def test_coercivity_is_set_and_asked_for():
    for is_high, command, letter in ((True, b"\x1bx", b"H"), (False, b"\x1by", b"L")):
        bench = Bench()
        bench.driver.to_send()
        bench.driver.set_coercivity(is_high, bench.now_ms)
        assert bench.driver.to_send() == command
        assert bench.says(b"\x1b0") == []
        assert bench.driver.to_send() == b"\x1bd"
        [done] = bench.says(b"\x1b" + letter)
        assert isinstance(done, Done)
        bench.driver.set_coercivity(not is_high, bench.now_ms)
        bench.says(b"\x1b0")
        bench.driver.to_send()
        assert failed(bench.says(b"\x1b" + letter)) == "lying"
        assert bench.is_idle()


def test_lamps():
    driver = StripeWriter()
    driver.light(GREEN)
    assert driver.to_send() == b"\x1b\x83"


def test_no_card_comes():
    bench = Bench()
    bench.writes()
    assert bench.waits() == []
    assert bench.now_ms == 1000 + SWIPE_MS
    [event] = alive(bench)
    assert (event.reason, event.written) == ("no card", False)
    assert bench.is_idle()
    bench.writes()
    bench.says(b"\x1b0")
    bench.driver.to_send()
    assert bench.waits() == []
    [event] = alive(bench)
    assert (event.reason, event.written) == ("no card", True)


def test_cancelled():
    bench = Bench()
    bench.driver.cancel(bench.now_ms)
    assert bench.is_idle()
    bench.driver.read(bench.now_ms)
    bench.driver.to_send()
    bench.says(block()[:20])
    bench.driver.cancel(bench.now_ms)
    assert failed(alive(bench)) == "cancelled"
    assert bench.is_idle()


def test_unplugged_while_it_waits():
    for ask in ("read", "cancel"):
        bench = Bench()
        bench.driver.read(bench.now_ms)
        bench.driver.to_send()
        if ask == "cancel":
            bench.driver.cancel(bench.now_ms)
        else:
            assert bench.waits() == []
        assert bench.driver.to_send() == RESET
        assert bench.waits() == []
        for _ in range(TRIES):
            assert bench.driver.to_send() == TEST
            asked_ms = bench.now_ms
            events = bench.waits()
            assert bench.now_ms == asked_ms + ANSWER_MS
        assert failed(events) == "silent"
        assert bench.is_idle()


def test_silence_from_the_beginning():
    bench = Bench()
    bench.driver.begin(bench.now_ms)
    events = []
    while not events:
        bench.driver.to_send()
        events = bench.waits()
    assert failed(events) == "silent"
    assert bench.now_ms == 1000 + RESET_MS + TRIES * ANSWER_MS


def test_data_that_stop_are_damaged():
    said = block()
    for count in range(2, len(said)):
        bench = Bench()
        bench.driver.read(bench.now_ms)
        bench.driver.to_send()
        assert bench.says(said[:count]) == []
        assert bench.driver.deadline_ms() == bench.now_ms - 1 + BLOCK_MS
        assert bench.waits() == []
        assert failed(alive(bench)) == "damaged", count


def test_no_damage_passes_for_what_was_written():
    said = block()
    for place in range(len(said)):
        for damage in (0x01, 0x10, 0x80):
            bench = Bench()
            bench.writes()
            bench.says(b"\x1b0")
            damaged = bytearray(said)
            damaged[place] ^= damage
            events = bench.says(bytes(damaged))
            while bench.driver.is_busy:
                events += bench.waits()
            assert failed(events), place


def test_what_cannot_be_a_card():
    for data in (
        b"",
        b"\x1b\x01%A?",
        b"%A??",
        b"\x1b\x02;1?\x1b\x01%A??",
        b"\x1b\x01%A?\x1b\x01%A??",
        b"\x1b\x04%A??",
        b"\x1b\x00%A??",
        b"\x1b\x01A??",
        b"\x1b\x01%A?",
        b"\x1b\x02%1??",
        b"\x1b\x01%a??",
        b"\x1b\x01%A%??",
        b"\x1b\x01%\xc1??",
        b"\x1b\x01%A?\x1b\x2b?",
        b"\x1b\x02;1;2??",
        b"\x1b\x02;" + b"1" * 38 + b"??",
        b"\x1b?",
    ):
        assert tracks_of(memoryview(data)) is None, data
    bench = Bench()
    bench.driver.read(bench.now_ms)
    assert failed(bench.says(b"\x1bs\x1b\x01A??\x1c\x1b0")) == "damaged"


def test_something_else_on_the_line():
    bench = Bench()
    bench.driver.begin(bench.now_ms)
    bench.waits()
    bench.driver.to_send()
    assert bench.says(b"Welcome to BusyBox\r\n" * (NOISE_BYTES // 20 + 1)) == []
    events = []
    while not events:
        bench.driver.to_send()
        events = bench.waits()
    assert failed(events) == "noise"
    bench.driver.read(bench.now_ms)
    bench.driver.to_send()
    assert bench.says(b"\x1bs" + b"A" * 300) == []
    assert failed(alive(bench)) == "noise"


def test_data_without_end_that_nobody_asked_for():
    for babble in (b"\x1bs", b"\x1bs?\x1c\x1b0", b"\x1bs\x1b\x01?\x1c\x1b1"):
        for ask in ("begin", "read", "erase"):
            bench = Bench()
            getattr(bench.driver, ask)(bench.now_ms)
            events = []
            for _ in range(200):
                bench.driver.to_send()
                events = bench.says(babble * 20)
                bench.now_ms += 100
                if events:
                    break
            assert len(events) == 1, (babble, ask)
            assert not bench.driver.is_busy, (babble, ask)


def test_late_words_belong_to_nothing():
    bench = Bench()
    assert bench.says(block(), b"\x1b0", b"\x1by") == []
    assert bench.is_idle()
    bench.driver.set_coercivity(True, bench.now_ms)
    assert bench.says(block()) == []  # of a card that nobody waited for
    assert bench.driver.deadline_ms() == bench.now_ms - 1 + ANSWER_MS
    assert bench.says(b"\x1b0") == []
    [done] = bench.says(b"\x1bH")
    assert isinstance(done, Done)


def test_bytes_of_nobody_are_harmless():
    for ask in ("begin", "read", "write", "erase"):
        for value in range(256):
            bench = Bench()
            driver = bench.driver
            if ask == "write":
                driver.write(TRACKS, bench.now_ms)
            else:
                getattr(driver, ask)(bench.now_ms)
            for piece in (bytes([value]), bytes([0x1B, value]), b"\x1bs" + bytes([value]) * 3):
                bench.says(piece)
            for _ in range(40):
                if not driver.is_busy:
                    break
                bench.waits()
                driver.to_send()
            assert not driver.is_busy, (ask, value)


def test_nothing_of_a_card_is_kept():
    for said in (block(), block(status=b"1"), block()[:60]):
        bench = Bench()
        bench.writes()
        bench.says(b"\x1b0")
        bench.driver.to_send()
        bench.says(said)
        while bench.driver.is_busy:
            bench.waits()
            bench.driver.to_send()
            bench.says(b"\x1by")
        for kept in bench.driver.__dict__.values():
            assert b"9364" not in bytes(kept) if isinstance(kept, bytearray) else "9364" not in str(kept)
