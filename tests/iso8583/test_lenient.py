"""What lenient settings accept, byte for byte, and that nothing of it is accepted without them."""

from __future__ import annotations

import pytest

from switch.iso8583 import DecodeError, Dialect, DialectError, EncodeError, Message
from tests.iso8583 import any_dialect, mini

LENIENT = any_dialect.dialect("lenient")
CHIP = """
class = "tlv"
length = { prefix = "bcd", digits = 3, max = 255 }
tlv = { form = "ber", tags = "emv"%s }
"""


def chip(setting: str) -> Dialect:
    return mini.dialect(CHIP % (f", {setting}" if setting else ""), 55)


def chip_message(tags: str) -> bytes:
    content = bytes.fromhex(tags)
    return bytes.fromhex(mini.head(55) + f"{len(content):04}") + content


# ---------------------------------------------------------------- lengths of BER-TLV

LONG_LENGTHS = (
    ("one byte too many", "9F36 8102 001C", {"9F36@length": b"\x81\x02", "9F36": b"\x00\x1c"}),
    ("two too many", "9F36 820002 001C", {"9F36@length": b"\x82\x00\x02", "9F36": b"\x00\x1c"}),
    ("four bytes", "9F36 8400000002 001C", {"9F36@length": b"\x84\0\0\0\x02", "9F36": b"\x00\x1c"}),
    ("an unknown tag", "DF01 8101 07", {"DF01@length": b"\x81\x01", "DF01": b"\x07"}),
    ("nothing in it", "DF01 8100", {"DF01@length": b"\x81\x00", "DF01": b""}),
    ("digits", "9A 8103 240115", {"9A@length": b"\x81\x03", "9A": "240115"}),
    ("the shortest form", "9F36 02 001C", {"9F36": b"\x00\x1c"}),
)


@pytest.mark.parametrize(("tags", "values"), [pytest.param(*row[1:], id=row[0]) for row in LONG_LENGTHS])
def test_any_length_is_kept(tags: str, values: dict[str, str | bytes]) -> None:
    dialect, data = chip('lengths = "any"'), chip_message(tags)
    message = dialect.decode(data)
    assert message["55"] == values
    assert dialect.encode(message) == data
    assert Message.from_json(message.to_json(reveal=True), dialect) == message
    if "@length" in "".join(values):
        with pytest.raises(DecodeError, match="expected the shortest form of the length, got a longer one"):
            chip("").decode(data)


def test_a_length_form_is_no_value_of_its_tag() -> None:
    dialect = chip('lengths = "any", repeats = true')
    data = chip_message("5A 8108 4111111111111111 5A 8108 4111111111111111")
    message = dialect.decode(data)
    assert list(message) == ["55.5A@length", "55.5A", "55.5A#2@length", "55.5A#2"]
    assert dialect.encode(message) == data
    assert "4111111111111111" not in repr(message)
    assert dialect.dictionary.field_at("55.5A#2@length") is None


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        (
            {"DF01@length": b"\x81\x02", "DF01": b"\x07"},
            "55.DF01@length: expected a length of 1 in BER, got another",
        ),
        ({"DF01@length": "8101", "DF01": b"\x07"}, "55.DF01@length: expected bytes, got str"),
        ({"DF01@length": b"\x81\x01"}, "55.DF01@length: expected the tag whose length this is, got none"),
        ({"DF01@length": b"\x80", "DF01": b""}, "55.DF01@length: expected a length of 0 in BER, got another"),
    ],
)
def test_a_length_that_lies_is_refused(tags: dict[str, str | bytes], words: str) -> None:
    with pytest.raises(EncodeError) as caught:
        chip('lengths = "any"').encode(Message("0200", {"55": tags}))
    assert str(caught.value) == words


def test_lengths_without_end_stay_refused() -> None:
    for tags in ("DF01 80 07 0000", "DF01 8500000001 07", "DF01 8201"):
        with pytest.raises(DecodeError):
            chip('lengths = "any"').decode(chip_message(tags))


# ---------------------------------------------------------------- tags that don't fit

MISFITS = (
    ("digits as characters", "9A 06 323430313135", "55.9A", b"240115"),
    ("too short", "9F02 05 0000000100", "55.9F02", bytes.fromhex("0000000100")),
    ("a nibble that is no digit", "5F2A 02 0A64", "55.5F2A", bytes.fromhex("0A64")),
    ("too long", "9F36 03 00001C", "55.9F36", bytes.fromhex("00001C")),
    ("characters that are none", "50 03 56C9FF", "55.50", bytes.fromhex("56C9FF")),
    ("a text that looks like bytes", "50 04 30783431", "55.50", b"0x41"),
    ("a card number", "5A 0B 4111111111111111FFFFFF", "55.5A", bytes.fromhex("4111111111111111FFFFFF")),
)


@pytest.mark.parametrize(("tags", "path", "value"), [pytest.param(*row[1:], id=row[0]) for row in MISFITS])
def test_misfits_are_kept_as_bytes(tags: str, path: str, value: bytes) -> None:
    head, _length, content = tags.split()
    data = chip_message(head + f"{len(bytes.fromhex(content)):02X}" + content)
    dialect = chip('misfits = "keep"')
    message = dialect.decode(data)
    assert message[path] == value
    assert dialect.encode(message) == data
    assert Message.from_json(message.to_json(reveal=True), dialect) == message
    assert "4111111111111111" not in message.describe()
    if value != b"0x41":
        with pytest.raises(DecodeError):
            chip("").decode(data)


def test_tags_that_fit_are_what_they_were() -> None:
    message = chip('misfits = "keep"').decode(chip_message("9A03240115 9F36 02 001C"))
    assert message["55"] == {"9A": "240115", "9F36": b"\x00\x1c"}


def test_a_wrong_text_is_no_misfit() -> None:
    with pytest.raises(EncodeError, match=r"^55\.9A: expected"):
        chip('misfits = "keep"').encode(Message("0200", {"55": {"9A": "24x115"}}))


# ---------------------------------------------------------------- bit 1

BITMAPS = (
    ("set without need", "a" + "0" * 31, "000000", bytes(8)),
    ("clear above fields", "2" + "0" * 15 + "04" + "0" * 14, "0000000301", b""),
    ("set for fields", "a" + "0" * 15 + "04" + "0" * 14, "0000000301", None),
    ("clear without", "2" + "0" * 31, "000000", None),
)


@pytest.mark.parametrize(("bitmap", "fields", "mark"), [pytest.param(*row[1:], id=row[0]) for row in BITMAPS])
@pytest.mark.parametrize("uses", [1, 300])
def test_bit_1_is_kept_as_it_came(bitmap: str, fields: str, mark: bytes | None, uses: int) -> None:
    data = bytes.fromhex("0800") + bitmap.encode() + bytes.fromhex(fields)
    for _use in range(uses):
        message = LENIENT.decode(data)
        assert message.get("1") == mark
        assert LENIENT.encode(message) == data
        assert LENIENT.peek(data, ["1", "3"]) == ({"1": mark} if mark is not None else {}) | {"3": "000000"}
        assert LENIENT.walk(data) == len(data)
    assert Message.from_json(message.to_json(reveal=True), LENIENT) == message


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"1": b"", "3": "000000"}, "1: expected 8 zero bytes (an empty bitmap), got something else"),
        (
            {"1": bytes(8), "70": "0301"},
            "1: expected no bytes (bit 1 clear above fields), got something else",
        ),
        ({"1": "0x", "70": "0301"}, "1: expected no bytes (bit 1 clear above fields), got something else"),
    ],
)
def test_a_mark_that_says_nothing_is_refused(fields: dict[str, str | bytes], words: str) -> None:
    with pytest.raises(EncodeError) as caught:
        LENIENT.encode(Message("0800", fields))
    assert str(caught.value) == words


# ---------------------------------------------------------------- tracks

TRACKS = (
    ("sentinels", "35B1234123412341234D0305101193010877F0", ";1234123412341234=0305101193010877?"),
    ("filled up", "25" + "4000000000000002D26122211234567890FFF0", "4000000000000002=26122211234567890???"),
    ("an even number", "04B12F", ";12?"),
)


@pytest.mark.parametrize(("track", "value"), [pytest.param(*row[1:], id=row[0]) for row in TRACKS])
def test_a_packed_track_can_have_all_its_characters(track: str, value: str) -> None:
    prefix = f"{len(value):02X}"
    data = bytes.fromhex("0200") + b"00000000200000000000000000000000" + bytes.fromhex(prefix + track[2:])
    message = LENIENT.decode(data)
    assert message["35"] == value
    assert LENIENT.encode(message) == data
    assert value not in repr(message)


@pytest.mark.parametrize(
    ("value", "got"), [("12:;<=>?D", "'D' at 8"), ("12A", "'A' at 2"), ("1 2", "' ' at 1")]
)
def test_other_characters_are_none_of_a_track(value: str, got: str) -> None:
    with pytest.raises(EncodeError) as caught:
        LENIENT.encode(Message("0200", {"35": value}))
    assert str(caught.value) == f"35: expected characters of a track, got {got}"


# ---------------------------------------------------------------- in the file


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (CHIP % ', lengths = "all"', "'all' is unknown"),
        (CHIP % ', misfits = "drop"', "'drop' is unknown"),
        (
            """
            class = "tlv"
            length = { prefix = "bcd", digits = 3, max = 255 }
            tlv = { tag_bytes = 1, length_bytes = 1, lengths = "any" }
            """,
            "'lengths' says nothing here",
        ),
        (
            """
            class = "n"
            encoding = "bcd"
            nibbles = "all"
            length = { fixed = 2 }
            """,
            "'nibbles' says nothing here",
        ),
    ],
)
def test_settings_are_refused_where_they_say_nothing(body: str, words: str) -> None:
    with pytest.raises(DialectError, match=words):
        mini.dialect(body, 55)
