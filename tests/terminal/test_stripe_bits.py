"""The driver of a bare head: published bits either way round, torn, cut off at both ends, damaged."""

from terminal.drivers.magstripe import Swipe
from terminal.drivers.stripe_bits import (
    CARD,
    CLOCK_1,
    CLOCK_2,
    DATA_1,
    DATA_2,
    GAP_MS,
    IDLE,
    Flux,
    StripeBits,
)

# The example of many data sheets: `;123?4`.
PUBLISHED = "11010 10000 01000 11001 11111 00100"
TRACK1 = "B9364001234567898^KARIMI/SARA^29121010000"
TRACK2 = "9364001234567898=29121010000"
LEADING, TRAILING = (61, 22), (60, 30)


def packed_bits(octets):
    """Bits of raw blocks of card writers, lowest first."""
    return "".join(str(byte >> place & 1) for byte in bytes.fromhex(octets) for place in range(8))


def bits_of(text, width, lowest):
    """Bits of a track with its sentinels, the LRC added."""
    check = 0
    bits = ""
    for letter in text:
        check ^= ord(letter) - lowest
    for letter in text + chr(check + lowest):
        value = ord(letter) - lowest
        ones = ""
        for place in range(width - 1):
            ones += str(value >> place & 1)
        bits += ones + ("0" if ones.count("1") % 2 else "1")
    return bits


BITS1 = bits_of("%" + TRACK1 + "?", 7, 0x20)
BITS2 = bits_of(";" + TRACK2 + "?", 5, 0x30)


def stripe(bits, slot):
    return "0" * LEADING[slot] + bits + "0" * TRAILING[slot]


def backwards(bits):
    letters = list(bits)
    letters.reverse()
    return "".join(letters)


def snapshots(bits1, bits2):
    """Levels while a card passes: of each bit of either track the data, the clock down, the clock up."""
    levels = IDLE & ~CARD
    said = bytearray([levels])
    for place in range(max(len(bits1), len(bits2))):
        for bits, clock, data in ((bits1, CLOCK_1, DATA_1), (bits2, CLOCK_2, DATA_2)):
            if place < len(bits):
                levels = levels & ~data if bits[place] == "1" else levels | data
                said += bytes([levels, levels & ~clock, levels])
    return bytes(said) + bytes([IDLE])


def plain(events):
    return [(event.track1, event.track2) if isinstance(event, Swipe) else event.reason for event in events]


def read(bits1, bits2):
    """What a head makes of these bits."""
    driver = StripeBits()
    events = plain(driver.feed(snapshots(bits1, bits2), 1000))
    assert driver.deadline_ms() is None
    return events


GOOD = (stripe(BITS1, 0), stripe(BITS2, 1))


def test_published_bits():
    assert read("", PUBLISHED.replace(" ", "")) == [(None, "123")]
    # Raw blocks of the MSR206 manual: `%ABC123?` and `;12345?`.
    assert read(packed_bits("C5B07814954E3E2A"), packed_bits("2B8849EAAF")) == [("ABC123", "12345")]
    assert read("", bits_of(";6219861234567890=2912101000000001?", 5, 0x30)) == [
        (None, "6219861234567890=2912101000000001")
    ]


def test_both_directions():
    assert read(*GOOD) == [(TRACK1, TRACK2)]
    assert read(backwards(GOOD[0]), backwards(GOOD[1])) == [(TRACK1, TRACK2)]


def test_snapshots_torn_at_every_byte():
    said = snapshots(*GOOD)
    for cut in range(0, len(said) + 1, 29):
        driver = StripeBits()
        assert plain(driver.feed(said[:cut], 0) + driver.feed(said[cut:], 20)) == [(TRACK1, TRACK2)], cut
    driver = StripeBits()
    events = []
    for byte in said:
        events += driver.feed(bytes([byte]), 0)
    assert plain(events) == [(TRACK1, TRACK2)]


def test_a_level_that_is_told_twice_is_one_bit():
    said = bytearray()
    for level in snapshots(*GOOD):
        said += bytes([level, level])
    assert plain(StripeBits().feed(bytes(said), 0)) == [(TRACK1, TRACK2)]


def test_a_head_without_a_card_line_ends_by_silence():
    for always in (CARD, 0):
        driver = StripeBits()
        said = bytes([level & ~CARD | always for level in snapshots(*GOOD)])
        assert driver.feed(said, 5000) == []
        assert driver.deadline_ms() == 5000 + GAP_MS
        assert driver.tick(5000 + GAP_MS - 1) == []
        assert plain(driver.tick(5000 + GAP_MS)) == [(TRACK1, TRACK2)]
        assert driver.deadline_ms() is None


def test_any_number_of_zeros_around():
    for leading in (0, 1, 8, 9, 22, 70):
        for trailing in (0, 1, 9, 60):
            bits = "0" * leading + BITS2 + "0" * trailing
            assert read("", bits) == [(None, TRACK2)], (leading, trailing)
            assert read("", backwards(bits)) == [(None, TRACK2)], (leading, trailing)


def test_noise_at_the_edges_of_the_card():
    for noise in ("1", "11", "101", "1101", "11010", "110101", "11111", "0110100", "1001"):
        bits = noise + "0" * 22 + BITS2 + "0" * 30 + noise
        assert read("", bits) == [(None, TRACK2)], noise
        assert read("", backwards(bits)) == [(None, TRACK2)], noise


def test_partial_reads():
    for missing in range(1, len(BITS2)):
        for bits in (BITS2[missing:] + "0" * 30, "0" * 22 + BITS2[:-missing]):
            if missing < 5 and not BITS2[len(BITS2) - missing :].count("1"):
                continue  # only zeros are missing
            for whole in (bits, backwards(bits)):
                for event in read("", whole):
                    assert event in ("end", "parity", "lrc", "noise", "missing"), (missing, event)


def test_every_table_row():
    digits = "1" * 37
    for bits1, bits2, expected in (
        ("", GOOD[1], [(None, TRACK2)]),
        (GOOD[0], "", ["missing"]),
        (GOOD[0], "0" * 200, ["missing"]),
        (GOOD[0][:300], GOOD[1], [(None, TRACK2)]),
        (GOOD[0], GOOD[1][:100], ["end"]),
        (GOOD[0], GOOD[1][100:], ["end"]),
        ("", stripe(bits_of(";?", 5, 0x30), 1), ["empty"]),
        ("", stripe(bits_of(";12;34?", 5, 0x30), 1), ["end"]),
        ("", stripe(bits_of(";" + digits + "?", 5, 0x30), 1), [(None, digits)]),
        ("", stripe(bits_of(";" + digits + "1?", 5, 0x30), 1), ["long"]),
        (stripe(bits_of("%" + digits * 2 + "11?", 7, 0x20), 0), GOOD[1], [(digits * 2 + "11", TRACK2)]),
        (stripe(bits_of("%" + digits * 2 + "111?", 7, 0x20), 0), GOOD[1], [(None, TRACK2)]),
        ("", "0" * 22 + BITS2 + "0001" + "0" * 30, ["noise"]),
        ("1" * 200, "1" * 200, ["end"]),
        ("10" * 15, "01" * 15, []),
        ("", "", []),
    ):
        assert read(bits1, bits2) == expected, (bits1, bits2)
        assert read(backwards(bits1), backwards(bits2)) == expected, (bits1, bits2)


def test_one_damaged_bit_is_never_another_card():
    for place in range(len(GOOD[1])):
        bits = GOOD[1][:place] + ("0" if GOOD[1][place] == "1" else "1") + GOOD[1][place + 1 :]
        for event in read("", backwards(bits) if place % 2 else bits):
            assert isinstance(event, str) or event == (None, TRACK2), place
            if 22 <= place < 22 + len(BITS2):
                assert isinstance(event, str), place


def test_a_lost_and_an_added_clock_are_never_another_card():
    for place in range(22, 22 + len(BITS2), 2):
        for bits in (GOOD[1][:place] + GOOD[1][place + 1 :], GOOD[1][:place] + "1" + GOOD[1][place:]):
            for event in read("", bits):
                assert isinstance(event, str) or event == (None, TRACK2), place


def test_a_head_that_clocks_on_is_one_bad_swipe():
    driver = StripeBits()
    levels = IDLE & ~CARD
    noise = bytes([levels & ~CLOCK_1 & ~CLOCK_2, levels, levels & ~CLOCK_1 & ~DATA_1, levels]) * 50
    events = []
    for turn in range(40):
        events += driver.feed(noise, turn)
    assert events == []
    assert len(plain(driver.tick(39 + GAP_MS))) == 1
    assert plain(driver.feed(snapshots(*GOOD), 40 + GAP_MS)) == [(TRACK1, TRACK2)]


def test_two_swipes_one_after_the_other():
    driver = StripeBits()
    said = snapshots(*GOOD)
    assert plain(driver.feed(said + said, 0)) == [(TRACK1, TRACK2)] * 2


def times_of(bits, whole=1000):
    """Times between changes of flux, at an even speed."""
    times = []
    for bit in bits:
        times += [whole] if bit == "0" else [whole // 2, whole - whole // 2]
    return times


def test_changes_of_flux():
    flux = Flux()
    said = [flux.bit(time) for time in times_of("0" * 10 + "1101")]
    assert said == [None] * 8 + [0, 0, None, 1, None, 1, 0, None, 1]


def test_changes_of_flux_that_are_missing():
    flux = Flux()
    for time in times_of("0" * 8):
        flux.bit(time)
    # A half alone, then one whole; a pause; then as if nothing had been.
    said = [flux.bit(time) for time in (500, 1000, 1000, 50000, 1000, 500, 500)]
    assert said == [None, 0, 0, 0, 0, None, 1]


def test_a_hand_that_goes_faster():
    flux = Flux()
    for time in times_of("0" * 8):
        flux.bit(time)
    whole = 1000
    for _ in range(80):
        assert [flux.bit(whole // 2), flux.bit(whole // 2)] == [None, 1]
        whole -= 8
    assert [flux.bit(whole), flux.bit(whole)] == [0, 0]


def test_a_bare_head():
    for whole in (90, 1000, 3000):
        for way in (GOOD, (backwards(GOOD[0]), backwards(GOOD[1]))):
            driver = StripeBits()
            assert driver.flux(0, times_of(way[0], whole * 75 // 210), 1000) == []
            assert driver.flux(1, times_of(way[1], whole), 1100) == []
            assert driver.deadline_ms() == 1100 + GAP_MS
            assert plain(driver.tick(1100 + GAP_MS)) == [(TRACK1, TRACK2)], whole
            # The next card is drawn at another speed.
            driver.flux(1, times_of(way[1], whole * 4), 5000)
            assert plain(driver.tick(5000 + GAP_MS)) == [(None, TRACK2)], whole


def test_a_bare_head_touches_a_card():
    driver = StripeBits()
    driver.flux(1, [70000, 20, 3] + times_of(GOOD[1]) + [90000, 5], 0)
    assert plain(driver.tick(GAP_MS)) == [(None, TRACK2)]
    for turn in range(20):  # noise, now and then, teaches it nothing
        assert driver.flux(1, [3, 5, 9], turn * 1000 + 1000) == []
    assert driver.tick(driver.deadline_ms()) == []
    assert driver.deadline_ms() is None
    driver.flux(1, times_of(GOOD[1]), 50000)
    assert plain(driver.tick(50000 + GAP_MS)) == [(None, TRACK2)]


def test_a_lost_change_of_flux_is_never_another_card():
    times = times_of(GOOD[1])
    for place in range(len(times) - 1):
        driver = StripeBits()
        driver.flux(1, times[:place] + [times[place] + times[place + 1]] + times[place + 2 :], 0)
        for event in plain(driver.tick(GAP_MS)):
            assert isinstance(event, str) or event == (None, TRACK2), place


def test_every_pair_of_levels_is_survived():
    driver = StripeBits()
    for level in range(256):
        driver.feed(bytes([level, 255 - level, 0, 31]), 0)
    assert len(driver.tick(GAP_MS)) <= 1


def test_buffers_are_wiped_after_a_swipe():
    driver = StripeBits()
    driver.feed(snapshots(*GOOD), 0)
    for buffer in driver._bits + [driver._text]:
        assert buffer == bytes(len(buffer))
