"""The scanner's driver: published frames of three families, texts torn and damaged, silence."""

from terminal.drivers.scanner import (
    ANSWER_MS,
    BOOT_TRIES,
    FAMILIES,
    GAP_MS,
    LONGEST_TEXT,
    NOISE_BYTES,
    TRIES,
    WAKE_MS,
    WATCH_MS,
    Failed,
    Found,
    Ready,
    Scanned,
    Scanner,
    Started,
    Stopped,
    crc_16,
    gm65_command,
    gm72_command,
    m3y_command,
)


def octets(text):
    return bytes.fromhex(text.replace(" ", ""))


ACKS = {
    "gm65": octets("02 00 00 01 00 33 31"),
    "m3y": octets("5A 01 00 02 90 00 93 A5"),
    "gm72": octets("04 D0 00 00 FF 2C"),
}
STARTS = {
    "gm65": octets("7E 00 08 01 00 02 01 AB CD"),
    "m3y": octets("5A 00 00 08 53 52 30 33 30 33 30 31 08 A5"),
    "gm72": octets("04 E4 04 00 FF 14"),
}
STOPS = {
    "gm65": octets("7E 00 08 01 00 02 00 AB CD"),
    "m3y": octets("5A 00 00 08 53 52 30 33 30 33 30 30 09 A5"),
    "gm72": octets("04 E5 04 00 FF 13"),
}
TEXT = b"9364001234567898"
LINE = TEXT + b"\r\n"


class Bench:
    """A driver, and a scanner that says what the test says."""

    def __init__(self, family, **options):
        self.family = family
        self.driver = Scanner(family, **options)
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

    def sent(self):
        """What it sends, a wake byte before it given its time."""
        out = self.driver.to_send()
        if out == b"\x00":
            assert self.waits() == []
            out = self.driver.to_send()
        return out

    def scanning(self):
        self.driver.start(self.now_ms)
        self.sent()
        [event] = self.says(ACKS[self.family])
        assert isinstance(event, Started)
        return self.driver


def plain(events):
    """Events as values: texts of scans, reasons of failures, names of the others."""
    values = []
    for event in events:
        if isinstance(event, Scanned):
            values.append(event.text)
        elif isinstance(event, Failed):
            values.append(event.reason)
        else:
            values.append(type(event).__name__)
    return values


def test_published_frames():
    assert crc_16(b"\x00\x01\x00") == 0x3331
    assert crc_16(octets("07 01 00 2A 02")) == 0xD80F
    assert crc_16(octets("09 01 00 00 00")) == 0xDEC8
    assert crc_16(octets("08 02 00 2A 39 01")) == 0xA7EA
    assert gm65_command(8, 0x0002, 1) == STARTS["gm65"]
    assert gm65_command(7, 0x00E2, 1) == octets("7E 00 07 01 00 E2 01 AB CD")
    assert m3y_command(b"SR030301") == STARTS["m3y"]
    for body, whole in (
        ("07 C6 04 08 00 8A 08", "07 C6 04 08 00 8A 08 FE 95"),
        ("08 C6 04 08 00 F2 05 01", "08 C6 04 08 00 F2 05 01 FE 2E"),
        ("07 C6 04 08 00 EE 00", "07 C6 04 08 00 EE 00 FE 39"),
        ("04 E4 04 00", "04 E4 04 00 FF 14"),
        ("04 E5 04 00", "04 E5 04 00 FF 13"),
    ):
        assert gm72_command(octets(body)) == octets(whole)


def test_it_is_waited_for_and_set_up():
    for family, ack in ACKS.items():
        bench = Bench(family)
        bench.driver.begin(bench.now_ms)
        probe = FAMILIES[family].probe
        for _ in range(BOOT_TRIES - 1):  # it starts: nothing is heard for two seconds
            assert bench.sent() == probe
            assert bench.waits() == []
        assert bench.now_ms > 1000 + 2000
        assert bench.sent() == probe
        version = {
            "gm65": octets("02 00 00 01 87 3B 3E"),
            "m3y": octets("5A 01 00 08 56 32 2E 33 2E 30 2E 37 7B A5"),
            "gm72": ack,
        }[family]
        if family == "gm65":
            check = crc_16(version[2:5])
            version = version[:5] + bytes([check >> 8, check & 0xFF])
        elif family == "m3y":
            check = 0
            for byte in version[1:-2]:
                check ^= byte
            version = version[:-2] + bytes([check, 0xA5])
        events = bench.says(version)
        for command in FAMILIES[family].set_up:
            assert events == []
            assert bench.sent() == command
            events = bench.says(ack)
        [ready] = events
        assert isinstance(ready, Ready)
        assert ready.version == {"gm65": "87", "m3y": "V2.3.0.7", "gm72": ""}[family]
        assert not bench.driver.is_busy
        assert bench.driver.deadline_ms() is None


def test_set_up_barcodes_are_switched_off_where_the_family_can():
    assert octets("7E 00 08 01 00 03 02 AB CD") in FAMILIES["gm65"].set_up
    assert FAMILIES["m3y"].set_up[-1] == m3y_command(b"S_CMD_0000")


def test_a_probe_says_whether_one_is_there():
    for family, ack in ACKS.items():
        bench = Bench(family)
        bench.driver.probe(bench.now_ms)
        for _ in range(TRIES):
            assert bench.sent() == FAMILIES[family].probe
            events = bench.waits()
        assert plain(events) == ["silent"]
        bench.driver.probe(bench.now_ms)  # at another baud rate
        bench.sent()
        [found] = bench.says(ack)
        assert isinstance(found, Found)


def test_started_scanned_and_stopped():
    for family, ack in ACKS.items():
        bench = Bench(family)
        bench.driver.start(bench.now_ms)
        assert bench.sent() == STARTS[family]
        assert plain(bench.says(ack)) == ["Started"]
        [scanned] = bench.says(LINE)
        assert scanned.text == TEXT
        assert repr(scanned) == "Scanned(hidden)"
        assert not bench.driver.is_scanning
        assert bench.says(LINE) == []
        bench.driver.stop(bench.now_ms)
        assert bench.sent() == STOPS[family]
        [stopped] = bench.says(ack)
        assert isinstance(stopped, Stopped)


def test_one_after_the_other_in_continuous_mode():
    for family, on, off in (
        ("gm65", gm65_command(8, 0x0000, 0xD6), octets("7E 00 08 01 00 00 D5 AB CD")),
        ("m3y", m3y_command(b"S_CMD_020E"), m3y_command(b"S_CMD_020D")),
        ("gm72", octets("07 C6 04 08 00 8A 04 FE 99"), octets("07 C6 04 08 00 8A 08 FE 95")),
    ):
        bench = Bench(family, continuous=True)
        bench.driver.start(bench.now_ms)
        assert bench.sent() == on
        bench.says(ACKS[family])
        assert plain(bench.says(LINE * 3)) == [TEXT] * 3
        assert bench.driver.is_scanning
        bench.driver.stop(bench.now_ms)
        assert bench.sent() == off
        # Another scan comes while it is told to stop: nobody waits for it, and the answer is found in it.
        half = len(TEXT) // 2
        assert plain(bench.says(LINE[:half] + ACKS[family] + LINE[half:])) == ["Stopped"]
        assert bench.says(LINE) == []


def test_an_answer_at_any_place_of_a_text():
    for family, ack in ACKS.items():
        for answer in (ack, octets("90 00")) if family == "m3y" else (ack,):
            for place in range(len(LINE)):
                bench = Bench(family)
                bench.driver.start(bench.now_ms)
                bench.sent()
                events = plain(bench.says(LINE[:place] + answer + LINE[place:]))
                assert events == ["Started", TEXT], (family, place)
                assert not bench.driver.is_busy


def test_texts_and_answers_torn_at_every_byte():
    for family, ack in ACKS.items():
        said = ack + LINE
        for cut in range(len(said) + 1):
            bench = Bench(family)
            bench.driver.start(bench.now_ms)
            bench.sent()
            assert plain(bench.says(said[:cut], said[cut:])) == ["Started", TEXT], (family, cut)


def test_every_line_end_and_prefix():
    for options, said, expected in (
        ({}, TEXT + b"\r", [TEXT]),
        ({}, TEXT + b"\n", [TEXT]),
        ({}, b"\r\n\r" + LINE, [TEXT]),
        ({"prefix": b"]C0"}, b"]C0" + LINE, [TEXT]),
        ({"prefix": b"]C0"}, LINE, ["damaged"]),
        ({"prefix": b"]C0"}, b"]C0\r", []),
        ({}, b"ZZZ Z\r", [b"ZZZ Z"]),
        ({}, "قهوه\r".encode(), ["قهوه".encode()]),
        ({}, b"A\tB\x1dC\r", [b"A\tB\x1dC"]),
        ({}, b"A\x00BC\r", ["damaged"]),
        ({}, b"\x00\x01\r", []),
        ({}, b"A" * LONGEST_TEXT + b"\r", [b"A" * LONGEST_TEXT]),
        ({}, b"A" * (LONGEST_TEXT + 1) + b"\r", ["long"]),
    ):
        bench = Bench("m3y", **options)
        bench.scanning()
        assert plain(bench.says(said)) == expected, said
        bench = Bench("m3y", **options)
        bench.scanning()
        assert plain(bench.says(*[bytes([byte]) for byte in said])) == expected, said


def test_a_text_whose_end_is_missing():
    bench = Bench("gm65")
    bench.scanning()
    assert bench.says(TEXT) == []
    assert plain(bench.waits()) == ["damaged"]
    bench = Bench("gm65", ends_by_line=False)
    bench.scanning()
    assert bench.says(TEXT) == []
    assert plain(bench.waits()) == [TEXT]
    bench = Bench("m3y", ends_by_line=False)
    bench.scanning()
    assert bench.says(b"A-Z") == []  # a Z may be the beginning of an answer
    assert plain(bench.waits()) == [b"A-Z"]


def test_a_damaged_answer_is_asked_for_again():
    for family, ack in ACKS.items():
        for place in range(len(ack)):
            bench = Bench(family)
            bench.driver.start(bench.now_ms)
            bench.sent()
            damaged = bytearray(ack)
            damaged[place] ^= 0x40
            if family == "m3y" and place < 4:  # its word for yes is whole
                assert plain(bench.says(bytes(damaged))) == ["Started"]
                continue
            assert bench.says(bytes(damaged)) == [], (family, place)
            events = []
            while not (out := bench.sent()):
                events += bench.waits()
            assert out == STARTS[family]
            assert plain(events) == []
            assert plain(bench.says(ack)) == ["Started"], (family, place)
            bench.now_ms += GAP_MS
            assert plain(bench.says(LINE)) == [TEXT], (family, place)


def test_a_text_damaged_by_an_answer_is_no_other_text():
    for family, ack in ACKS.items():
        for place in range(len(ack)):
            damaged = bytearray(ack)
            damaged[place] ^= 0x02
            bench = Bench(family)
            bench.scanning()
            events = bench.says(LINE[:5] + bytes(damaged) + LINE[5:])
            for event in plain(events):
                assert event == "damaged", (family, place)


def test_a_lost_answer_and_a_text():
    bench = Bench("gm65")
    bench.driver.start(bench.now_ms)
    bench.sent()
    assert bench.says(LINE) == []  # who says so isn't known to be a scanner
    assert bench.waits() == []
    assert bench.sent() == STARTS["gm65"]
    assert plain(bench.says(ACKS["gm65"])) == ["Started", TEXT]
    assert bench.sent() == STOPS["gm65"]  # told twice, it may look for another one
    assert bench.says(ACKS["gm65"]) == []
    assert bench.driver.deadline_ms() is None


def test_a_silent_scanner_is_given_up():
    for family in ACKS:
        bench = Bench(family)
        bench.driver.start(bench.now_ms)
        for _ in range(TRIES):
            assert bench.sent() == STARTS[family]
            events = bench.waits()
        assert plain(events) == ["silent"]
        assert bench.driver.to_send() == b""
        assert bench.driver.deadline_ms() is None
        assert not bench.driver.is_scanning


def test_a_sleeping_one_is_woken_and_given_time():
    bench = Bench("gm72")
    bench.driver.start(bench.now_ms)
    assert bench.driver.to_send() == b"\x00"
    assert bench.driver.deadline_ms() == bench.now_ms + WAKE_MS
    assert bench.waits() == []
    assert bench.driver.to_send() == STARTS["gm72"]
    assert bench.driver.deadline_ms() == bench.now_ms + ANSWER_MS


def test_one_that_was_unplugged_while_it_scanned_is_found_out():
    for family in ACKS:
        bench = Bench(family)
        driver = bench.scanning()
        for _ in range(2):
            asked_ms = bench.now_ms
            assert bench.waits() == []
            assert WATCH_MS - 10 <= bench.now_ms - asked_ms <= WATCH_MS
            assert bench.sent() == STARTS[family]
            assert bench.says(ACKS[family]) == []
        events = []
        while not events:
            events = bench.waits()
            driver.to_send()
        assert plain(events) == ["silent"]
        assert not driver.is_scanning
        assert driver.deadline_ms() is None


def test_a_scan_that_meets_the_watch_leaves_no_lamp_on():
    bench = Bench("gm65")
    bench.scanning()
    bench.waits()
    assert bench.sent() == STARTS["gm65"]
    assert plain(bench.says(LINE)) == [TEXT]
    assert bench.sent() == STOPS["gm65"]
    assert bench.says(ACKS["gm65"]) == []
    assert bench.driver.deadline_ms() is None


def test_refused():
    for family, answer, expected in (
        ("gm65", octets("02 00 01 01 00"), ["refused"]),
        ("m3y", octets("5A 01 00 02 90 01 92 A5"), ["refused"]),
        ("gm72", octets("05 D1 00 00 06 FF 24"), ["refused"]),
        ("gm72", octets("05 D1 00 00 02 FF 28"), ["refused"]),
    ):
        if family == "gm65":
            check = crc_16(answer[2:])
            answer += bytes([check >> 8, check & 0xFF])
        bench = Bench(family)
        bench.driver.start(bench.now_ms)
        bench.sent()
        assert plain(bench.says(answer)) == expected
        assert not bench.driver.is_scanning
    bench = Bench("gm72")
    bench.driver.start(bench.now_ms)
    bench.sent()
    assert bench.says(octets("05 D1 00 00 01 FF 29")) == []  # its check didn't hold: again
    assert bench.sent() == STARTS["gm72"]
    bench = Bench("gm72")
    bench.scanning()
    bench.waits()
    bench.sent()
    assert bench.says(octets("05 D1 00 00 02 FF 28")) == []  # it looks for a code already
    assert bench.driver.is_scanning


def test_something_else_on_the_line():
    bench = Bench("gm65")
    bench.driver.begin(bench.now_ms)
    assert plain(bench.says(b"Welcome to BusyBox\r\n" * (NOISE_BYTES // 18 + 1))) == ["noise"]


def test_a_babbling_scanner_is_one_failure_until_it_stops():
    bench = Bench("m3y", continuous=True)
    bench.scanning()
    assert plain(bench.says(b"1234567" * 100, b"89" * 400)) == ["long"]
    assert bench.waits() == []
    assert plain(bench.says(LINE)) == [TEXT]


def test_bytes_of_nobody_are_harmless():
    for family in FAMILIES:
        bench = Bench(family)
        for value in range(256):
            assert bench.says(bytes([value]) * 40) == []
            assert bench.says(b"\x5a\x01" + bytes([value]) * 70, b"\x02\x00\x00" + bytes([value]) * 70) == []
        bench.now_ms += GAP_MS
        assert bench.driver.tick(bench.now_ms) == []
        assert bench.driver.to_send() == b""
        assert bench.driver.deadline_ms() is None


def test_a_scanner_with_its_own_trigger_is_never_spoken_to():
    bench = Bench("plain", continuous=True)
    driver = bench.driver
    for ask, name in ((driver.begin, "Ready"), (driver.probe, "Found"), (driver.start, "Started")):
        ask(bench.now_ms)
        assert plain(bench.waits()) == [name]
    assert plain(bench.says(b"ZZ" + LINE)) == [b"ZZ" + TEXT]
    assert bench.driver.deadline_ms() is None
    bench.driver.stop(bench.now_ms)
    assert plain(bench.waits()) == ["Stopped"]
    assert bench.says(LINE) == []
    assert bench.driver.to_send() == b""


def test_the_buffer_is_wiped_after_a_text():
    bench = Bench("gm65")
    bench.scanning()
    bench.says(LINE)
    for kept in bench.driver.__dict__.values():
        assert b"9364" not in bytes(kept) if isinstance(kept, bytearray) else "9364" not in str(kept)


def test_a_text_that_passed_for_an_answer_is_wiped():
    bench = Bench("gm65")
    bench.scanning()
    bench.says(b"\x02\x00\x00\x10" + LINE * 2)  # its length is that of the text
    bench.waits()
    for kept in bench.driver.__dict__.values():
        assert not isinstance(kept, bytearray) or not any(kept)
