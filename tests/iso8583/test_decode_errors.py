"""What is refused when it comes from outside: at the same place on both sides, and in which words here.

Each row: what is wrong, the bytes as hex, the exact text of the error.
"""

from __future__ import annotations

import pytest

from switch.iso8583 import DecodeError, Message, load
from terminal import message as terminal_message
from tests.iso8583.oracle import ACCEPTOR, MAC, TERMINAL, bitmap, sample, text

VAFA = load("vafa")

ROWS = (
    ("nothing", "", "mti at byte 0: expected 2 bytes, got 0"),
    ("half an MTI", "02", "mti at byte 0: expected 2 bytes, got 1"),
    ("letters in the MTI", "02a0", "mti at byte 1: expected digits, got nibble A"),
    ("no bitmap", "0200", "bitmap at byte 2: expected 8 bytes, got 0"),
    ("half a bitmap", "020030", "bitmap at byte 2: expected 8 bytes, got 1"),
    (
        "half a secondary bitmap",
        "0200" + "80" * 8 + "00" * 7,
        "bitmap at byte 2: expected 16 bytes, got 15",
    ),
    (
        "a secondary bitmap without need",
        "0200" + "8020" + "00" * 14 + "000001",
        "bitmap at byte 10: expected a field above 64 in the secondary bitmap, got none",
    ),
    (
        "a field the dialect hasn't",
        "0200" + bitmap(5, 11),
        "5 at byte 2: expected a field of this dialect, got bit 5 set",
    ),
    (
        "a tertiary bitmap",
        "0200" + bitmap(11, 65, 70),
        "65 at byte 10: expected a field of this dialect, got bit 65 set",
    ),
    (
        "the first of two fields the dialect hasn't",
        "0200" + bitmap(11, 59, 127),
        "59 at byte 9: expected a field of this dialect, got bit 59 set",
    ),
    (
        "bytes after the last field",
        "0200" + bitmap(11) + "000001" + "00ff",
        "message at byte 13: expected the end, got 2 bytes more",
    ),
    (
        "bytes after no field",
        "0200" + "00" * 8 + "00",
        "message at byte 10: expected the end, got 1 byte more",
    ),
    # fixed digits
    ("no digits", "0200" + bitmap(11), "11 at byte 10: expected 3 bytes, got 0"),
    ("too few digits", "0200" + bitmap(11) + "0001", "11 at byte 10: expected 3 bytes, got 2"),
    (
        "too few digits count before wrong ones",
        "0200" + bitmap(11) + "00ff",
        "11 at byte 10: expected 3 bytes, got 2",
    ),
    ("a letter among digits", "0200" + bitmap(11) + "00c001", "11 at byte 11: expected digits, got nibble C"),
    (
        "characters where digits should be",
        "0200" + bitmap(11) + "00003a",
        "11 at byte 12: expected digits, got nibble A",
    ),
    ("an odd field's pad", "0200" + bitmap(22) + "9021", "22 at byte 10: expected pad nibble 0, got a digit"),
    ("a letter as pad", "0200" + bitmap(22) + "f021", "22 at byte 10: expected pad nibble 0, got nibble F"),
    ("a letter behind the pad", "0200" + bitmap(22) + "002b", "22 at byte 11: expected digits, got nibble B"),
    ("an odd field cut", "0200" + bitmap(22) + "00", "22 at byte 10: expected 2 bytes, got 1"),
    # digits with a length
    ("no length", "0200" + bitmap(2), "2 at byte 10: expected 1 byte, got 0"),
    (
        "letters in a length",
        "0200" + bitmap(2) + "1f" + "9364001234567890",
        "2 at byte 10: expected a length in BCD, got nibble F",
    ),
    (
        "a length that is too small",
        "0200" + bitmap(2) + "07" + "9364001f",
        "2 at byte 10: expected a length of 8 to 19 digits, got 7",
    ),
    (
        "a length that is too great",
        "0200" + bitmap(2) + "20" + "93640012345678901234",
        "2 at byte 10: expected a length of 8 to 19 digits, got 20",
    ),
    (
        "a length that is only one number",
        "0200" + bitmap(60) + "0005" + "000010",
        "60 at byte 10: expected a length of 6 digits, got 5",
    ),
    (
        "a length of three digits with a fourth",
        "0200" + bitmap(60) + "1006" + "000010",
        "60 at byte 10: expected a length of 6 digits, got 1006",
    ),
    ("half a length", "0200" + bitmap(60) + "00", "60 at byte 10: expected 2 bytes, got 1"),
    (
        "a letter in the second byte of a length",
        "0200" + bitmap(60) + "00e6" + "000001",
        "60 at byte 11: expected a length in BCD, got nibble E",
    ),
    (
        "a card number cut",
        "0200" + bitmap(2) + "16" + "93640012345678",
        "2 at byte 11: expected 8 bytes, got 7",
    ),
    (
        "a letter in a card number",
        "0200" + bitmap(2) + "16" + "93640012d4567890",
        "2 at byte 15: expected digits, got nibble D",
    ),
    (
        "an odd card number's pad",
        "0200" + bitmap(2) + "19" + "93640012345678901230",
        "2 at byte 20: expected pad nibble F, got a digit",
    ),
    # track 2
    (
        "an empty track 2",
        "0200" + bitmap(35) + "00",
        "35 at byte 10: expected a length of 1 to 37 digits, got 0",
    ),
    (
        "a wrong nibble in track 2",
        "0200" + bitmap(35) + "06" + "9364a1",
        "35 at byte 13: expected digits and separators, got nibble A",
    ),
    (
        "an odd track 2's pad",
        "0200" + bitmap(35) + "05" + "9364d0",
        "35 at byte 13: expected pad nibble F, got a digit",
    ),
    (
        "a separator as an odd track 2's pad",
        "0200" + bitmap(35) + "05" + "9364dd",
        "35 at byte 13: expected pad nibble F, got nibble D",
    ),
    ("track 2 cut", "0200" + bitmap(35) + "37" + "9364", "35 at byte 11: expected 19 bytes, got 2"),
    # characters
    (
        "a space among letters and digits",
        "0200" + bitmap(37) + text("0123456789A "),
        "37 at byte 21: expected letters and digits, got byte 0x20",
    ),
    (
        "a byte above ASCII among letters and digits",
        "0200" + bitmap(39) + "3fb2",
        "39 at byte 10: expected letters and digits, got byte 0x3F",
    ),
    (
        "a letter that only Latin-1 has",
        "0200" + bitmap(39) + "30e9",
        "39 at byte 11: expected letters and digits, got byte 0xE9",
    ),
    (
        "a control character",
        "0200" + bitmap(41) + text("1000000\n"),
        "41 at byte 17: expected printable ASCII, got byte 0x0A",
    ),
    (
        "delete",
        "0200" + bitmap(41) + "7f" * 8,
        "41 at byte 10: expected printable ASCII, got byte 0x7F",
    ),
    ("characters cut", "0200" + bitmap(41) + text("1000"), "41 at byte 10: expected 8 bytes, got 4"),
    (
        "a receipt number of no characters",
        "0200" + bitmap(62) + "0000",
        "62 at byte 10: expected a length of 1 to 32 characters, got 0",
    ),
    (
        "a receipt number that is too long",
        "0200" + bitmap(62) + "0033" + "30" * 33,
        "62 at byte 10: expected a length of 1 to 32 characters, got 33",
    ),
    # bytes
    ("a MAC cut", "0200" + bitmap(64) + MAC[:-2], "64 at byte 10: expected 8 bytes, got 7"),
    (
        "a key serial of another size",
        "0200" + bitmap(53) + "10" + "00" * 10,
        "53 at byte 10: expected a length of 13 bytes, got 10",
    ),
    # tagged data
    ("tagged data cut", "0200" + bitmap(48) + "0003" + "7f01", "48 at byte 12: expected 3 bytes, got 2"),
    (
        "tagged data beyond its greatest length",
        "0200" + bitmap(48) + "0256" + "7ffe" + "00" * 254,
        "48 at byte 10: expected a length of 0 to 255 bytes, got 256",
    ),
    (
        "half a tag",
        "0200" + bitmap(48) + "0003" + "7f00" + "01",
        "48 at byte 14: expected a tag and a length byte, got 1 byte",
    ),
    (
        "a tag beyond its field",
        "0200" + bitmap(48) + "0003" + "7f02" + "0000",
        "48.7F at byte 13: expected at most 1 byte, got a length of 2",
    ),
    (
        "a tag beyond its field, at its end",
        "0200" + bitmap(48) + "0002" + "01ff",
        "48.01 at byte 13: expected at most 0 bytes, got a length of 255",
    ),
    (
        "a known tag of another size",
        "0200" + bitmap(48) + "0007" + "0105" + "0000000000",
        "48.01 at byte 13: expected a length of 6 bytes, got 5",
    ),
    (
        "a tag twice",
        "0200" + bitmap(48) + "0006" + "7f01aa" + "7f01aa",
        "48.7F at byte 15: expected each tag once, got a second one",
    ),
    (
        "a letter in a tag's digits",
        "0200" + bitmap(48) + "0008" + "0206" + "0000000000a0",
        "48.02 at byte 19: expected digits, got nibble A",
    ),
)


@pytest.mark.parametrize(("data", "words"), [pytest.param(row[1], row[2], id=row[0]) for row in ROWS])
def test_exact_error(data: str, words: str) -> None:
    received = bytes.fromhex(data)
    with pytest.raises(DecodeError) as at_the_switch:
        VAFA.decode(received)
    with pytest.raises(terminal_message.DecodeError) as at_the_terminal:
        terminal_message.unpack(received)
    assert str(at_the_switch.value) == words
    error = at_the_switch.value
    assert f"{error.path} at byte {error.offset}: expected {error.expected}, got {error.got}" == words
    assert str(at_the_terminal.value) == f"{error.path} at byte {error.offset}"
    for refused in (error, at_the_terminal.value):
        assert refused.response_code == "30"
        assert isinstance(refused, ValueError)


def test_what_was_decoded_before_the_fault_is_kept() -> None:
    data = bytes.fromhex("0200" + bitmap(11, 41, 42) + "000001" + TERMINAL + ACCEPTOR[:-2])
    with pytest.raises(DecodeError) as caught:
        VAFA.decode(data)
    assert caught.value.partial == Message("0200", {"11": "000001", "41": "10000001"})


def test_nothing_is_kept_before_the_mti() -> None:
    with pytest.raises(DecodeError) as caught:
        VAFA.decode(b"\xaa")
    assert caught.value.partial is None


def test_no_error_shows_content() -> None:
    """A card number with any one byte of it damaged: no digit of it stands in the words."""
    data = sample("redeem, typed card number, PIN block, key serial")
    at = data.index(bytes.fromhex("9364001234567890"))
    for place in range(at, at + 8):
        damaged = data[:place] + bytes([data[place] | 0xF0]) + data[place + 1 :]
        with pytest.raises(DecodeError) as caught:
            VAFA.decode(damaged)
        assert str(caught.value) == f"2 at byte {place}: expected digits, got nibble F"


def test_a_message_of_nothing_but_its_type_is_one() -> None:
    assert VAFA.decode(bytes(10)) == Message("0000", {})
    assert terminal_message.unpack(bytes(10)) == ("0000", {})


@pytest.mark.parametrize("track", ["=", "==", "9364=", "=1", "1" * 37, "1" * 36])
def test_track_2_is_digits_and_separators_in_any_order(track: str) -> None:
    data = VAFA.encode(Message("0200", {"35": track}))
    assert VAFA.decode(data)["35"] == track
    assert terminal_message.unpack(data) == ("0200", {35: track})
    assert terminal_message.pack("0200", {35: track}) == data


@pytest.mark.parametrize(
    "data",
    [
        "",
        "0200",
        "0200" + "0000000000000001",  # bit 64 and nothing behind it
        "0200" + "0000000000000001" + MAC[:-2],
        "0200" + "8000000000000001" + "00" * 8 + MAC,  # bit 64 under a secondary bitmap without 128
        "0200" + "8000000000000000" + "00" * 7 + "01" + MAC[:-2],
        "0230" + bitmap(11) + "000001",
    ],
)
def test_no_mac_where_the_bitmap_shows_none_or_the_bytes_are_missing(data: str) -> None:
    received = bytes.fromhex(data)
    assert VAFA.split_mac(received) == (received, None)
    assert terminal_message.split_mac(received) == (received, None)
