"""The stripe reader driver: good swipes torn anywhere, and everything else that a reader can say."""

from terminal.drivers.magstripe import (
    GAP_MS,
    SWIPE_LONGEST_BYTES,
    BadSwipe,
    MagneticStripe,
    Swipe,
)

TRACK1 = "B9364001234567890^KARIMI/SARA^29121010000"
TRACK2 = "9364001234567890=29121010000"


def lrc(start, text, base):
    value = 0
    for letter in start + text + "?":
        value ^= ord(letter) - base
    return chr(value + base)


def track_1(text=TRACK1):
    return "%" + text + "?" + lrc("%", text, 0x20)


def track_2(text=TRACK2):
    return ";" + text + "?" + lrc(";", text, 0x30)


GOOD = (track_1() + track_2() + "\r").encode()


def said(*pieces):
    """All events as plain values, the reader falling silent after the last piece."""
    driver = MagneticStripe()
    events = []
    now_ms = 1000
    for piece in pieces:
        events += driver.feed(piece.encode() if isinstance(piece, str) else piece, now_ms)
        now_ms += 20
    events += driver.tick(now_ms + GAP_MS)
    assert driver.deadline_ms() is None
    return [(event.track1, event.track2) if isinstance(event, Swipe) else event.reason for event in events]


def test_published_check_vectors():
    assert said("%AT3?<;123?4\r") == [("AT3", "123")]
    assert said(";6219861234567890=2912101000000001?3\r") == [(None, "6219861234567890=2912101000000001")]


def test_a_swipe_torn_at_every_byte():
    for cut in range(len(GOOD) + 1):
        assert said(GOOD[:cut], GOOD[cut:]) == [(TRACK1, TRACK2)], cut


def test_a_swipe_byte_by_byte():
    assert said(*[bytes([byte]) for byte in GOOD]) == [(TRACK1, TRACK2)]


def test_a_swipe_without_carriage_return_ends_by_silence():
    driver = MagneticStripe()
    assert driver.feed(GOOD[:-1], 5000) == []
    assert driver.deadline_ms() == 5000 + GAP_MS
    assert driver.tick(5000 + GAP_MS - 1) == []
    (event,) = driver.tick(5000 + GAP_MS)
    assert event.track2 == TRACK2


def test_a_pause_in_the_middle_makes_two_bad_halves():
    driver = MagneticStripe()
    half = GOOD.index(b";") + 5
    assert driver.feed(GOOD[:half], 0) == []
    (event,) = driver.feed(GOOD[half:], GAP_MS)[:1]
    assert event.reason == "end"


def test_every_table_row():
    one, two, three = track_1(), track_2(), track_2("0159364001234567890=77")
    rows = (
        # what comes, what it is
        (two + "\r", [(None, TRACK2)]),
        ("%E?" + two + "\r", [(None, TRACK2)]),
        ("%E?_" + two + "\r", [(None, TRACK2)]),
        ("%?:" + two + "\r", [(None, TRACK2)]),
        (one[:-1] + "\x20" + two + "\r", [(None, TRACK2)]),
        (one[:-1] + two + "\r", [(None, TRACK2)]),
        (one[:-2] + two + "\r", [(None, TRACK2)]),
        ("\x00\xff!x" + one + "zz" + two + "yy\r\nqq", [(TRACK1, TRACK2)]),
        ("%%;" + one + ";" + two + "%\r", [(TRACK1, TRACK2)]),
        (one + two + "\r\n" + one + two + "\r\n", [(TRACK1, TRACK2)] * 2),
        (one + two + three + "\r", [(TRACK1, TRACK2)]),
        (one + two + "+" + three[1:] + "\r", [(TRACK1, TRACK2)]),
        (one + two + track_2("1" * 104) + "\r", [(TRACK1, TRACK2)]),
        (one + two + three[:-1] + "\r", [(TRACK1, TRACK2)]),
        (one + two + ";E?\r", [(TRACK1, TRACK2)]),
        # A track 3 never stands for a track 2 that is bad.
        (one + two[:-1] + ":" + three + "\r", ["lrc"]),
        (one + two[:-1] + three + "\r", ["end"]),
        (one + two[:9] + three + "\r", ["end"]),
        (one + two.replace("9", "A") + three + "\r", ["parity"]),
        (one + ";E?" + three + "\r", ["unreadable"]),
        (one + ";?4" + three + "\r", ["empty"]),
        (one + track_2("1" * 38) + three + "\r", ["long"]),
        (one + "\r", ["missing"]),
        (one + ";E?\r", ["unreadable"]),
        ("%E?;E?\r", ["unreadable"]),
        (one + ";?4\r", ["empty"]),
        (one + ";E1?4\r", ["parity"]),
        (one + two[:-1] + "\r", ["end"]),
        (one + two[:-2] + "\r", ["end"]),
        (one + two[:-1], ["end"]),
        (one + two.replace("9", "A") + "\r", ["parity"]),
        (track_2("1" * 37) + "\r", [(None, "1" * 37)]),
        (track_2("1" * 38) + "\r", ["long"]),
        (track_1("1" * 76) + two + "\r", [("1" * 76, TRACK2)]),
        (track_1("1" * 77) + two + "\r", [(None, TRACK2)]),
        ("x" * 20, ["noise"]),
        ("\x00\xff\x00", []),
        ("\r\n\r\n", []),
        ("", []),
    )
    for stream, expected in rows:
        data = bytes([ord(letter) for letter in stream])
        assert said(data) == expected, stream
        assert said(*[bytes([byte]) for byte in data]) == expected, stream


def test_one_damaged_byte_anywhere_in_track_2_is_never_a_good_swipe_of_another_card():
    start = GOOD.index(b";")
    for place in range(start, len(GOOD) - 1):
        for damage in (0x01, 0x08, 0x80):
            data = bytearray(GOOD)
            data[place] ^= damage
            for event in said(bytes(data)):
                assert isinstance(event, str) or event[1] == TRACK2, (place, damage)


def test_a_babbling_reader_is_one_bad_swipe_until_it_stops():
    driver = MagneticStripe()
    events = []
    for _ in range(100):
        events += driver.feed(b";12345678%ABCDEF" * 16, 0)
    assert [event.reason for event in events] == ["end"]
    assert SWIPE_LONGEST_BYTES < 100 * 256
    assert driver.tick(GAP_MS) == []
    assert [type(event) for event in driver.feed(GOOD, GAP_MS + 1)] == [Swipe]


def test_every_single_byte_and_every_pair_with_a_sentinel_is_survived():
    for byte in range(256):
        said(bytes([byte]))
        said(b"%" + bytes([byte]))
        said(b";1?" + bytes([byte]))


def test_buffers_are_wiped_after_a_swipe():
    driver = MagneticStripe()
    driver.feed(GOOD, 0)
    for kept in driver.__dict__.values():
        assert b"9364" not in bytes(kept) if isinstance(kept, bytearray) else "9364" not in str(kept)


def test_an_event_does_not_show_its_card():
    assert "9364" not in repr(Swipe(TRACK1, TRACK2))
    assert repr(BadSwipe("lrc")) == "BadSwipe(lrc)"
