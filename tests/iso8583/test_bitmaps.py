"""Headers, MTI and bitmaps in every form, each oddity refused in exact words."""

from __future__ import annotations

from pathlib import Path

import pytest

from switch.iso8583 import DecodeError, Dialect, EncodeError, Message
from tests.iso8583 import any_dialect

HEAD = """\
[dialect]
name = "bits"
version = 1
description = {{ en = "Bits", fa = "بیت" }}
mti = {{ encoding = "{mti}" }}
bitmap = {{ {bitmap} }}
mac = {{ primary = 64, secondary = 128, bytes = 2 }}
"""
FIELD = """
[fields.{number}]
name = "field_{number}"
title = {{ en = "Field", fa = "فیلد" }}
class = "n"
encoding = "bcd"
length = {{ fixed = 2 }}
"""
MAC = """
[fields.{number}]
name = "mac_{number}"
title = {{ en = "MAC", fa = "کد" }}
class = "b"
encoding = "{encoding}"
length = {{ fixed = 2, unit = "bytes" }}
"""


def dialect(
    tmp_path: Path, bitmap: str, mti: str = "bcd", third: bool = False, mac: str = "binary"
) -> Dialect:
    file = tmp_path / "bits.toml"
    text = HEAD.format(mti=mti, bitmap=bitmap)
    for number in (2, 63, 70, *((129, 192) if third else ())):
        text += FIELD.format(number=number)
    for number in (64, 128):
        text += MAC.format(number=number, encoding=mac)
    file.write_text(text, encoding="utf-8")
    return Dialect.load(file)


PLAIN = 'encoding = "binary"'
ZEROS = "00" * 8
ONE = "0200" + "4000000000000000" + "11"

# the bitmap's keys, a message as hex, its fields
GOOD = (
    (PLAIN, ONE, {"2": "11"}),
    (PLAIN, "0200" + "8000000000000002" + "0400000000000000" + "1122", {"63": "11", "70": "22"}),
    ('encoding = "binary", always = 16', "0200" + "4000000000000000" + ZEROS + "11", {"2": "11"}),
    ('encoding = "binary", always = 16', "0200" + "8" + "0" * 15 + "04" + ZEROS[2:] + "22", {"70": "22"}),
    ('encoding = "binary", always = 16, first_bit = "set"', "0200" + "c" + "0" * 31 + "11", {"2": "11"}),
    (
        'encoding = "binary", always = 16, first_bit = "clear"',
        "0200" + "0" * 16 + "04" + ZEROS[2:] + "22",
        {"70": "22"},
    ),
    (
        'encoding = "binary", empty_secondary = true',
        "0200" + "c" + "0" * 31 + "11",
        {"1": bytes(8), "2": "11"},
    ),
    ('encoding = "binary", empty_secondary = true', ONE, {"2": "11"}),
)
THIRD = (
    (
        'encoding = "binary", tertiary = 65',
        "0200" + "c" + "0" * 15 + "8" + "0" * 15 + "8000000000000001" + "112233",
        {"2": "11", "129": "22", "192": "33"},
    ),
    (
        'encoding = "binary", tertiary_field = 65',
        "0200" + "c" + "0" * 15 + "84" + "0" * 14 + "11" + "8000000000000001" + "223344",
        {"2": "11", "70": "22", "129": "33", "192": "44"},
    ),
    (
        'encoding = "binary", tertiary_field = 60',
        "0200" + "4000000000000012" + "11" + "8000000000000000" + "2233",
        {"2": "11", "63": "22", "129": "33"},
    ),
    (
        'encoding = "binary", always = 24, tertiary = 65',
        "0200" + "4" + "0" * 47 + "11",
        {"2": "11"},
    ),
)  # fmt: skip


@pytest.mark.parametrize(("bitmap", "data", "fields"), [*GOOD])
def test_bitmaps(tmp_path: Path, bitmap: str, data: str, fields: dict[str, str | bytes]) -> None:
    one = dialect(tmp_path, bitmap)
    message = one.decode(bytes.fromhex(data))
    assert message.fields == fields
    assert one.encode(message).hex() == data


@pytest.mark.parametrize(("bitmap", "data", "fields"), [*THIRD])
def test_third_bitmaps(tmp_path: Path, bitmap: str, data: str, fields: dict[str, str | bytes]) -> None:
    one = dialect(tmp_path, bitmap, third=True)
    message = one.decode(bytes.fromhex(data))
    assert message.fields == fields
    assert one.encode(message).hex() == data


@pytest.mark.parametrize(
    ("encoding", "mti", "data"),
    [
        ("hex", "ascii", b"0200" + b"4000000000000000" + b"\x11"),
        ("hex", "bcd", b"\x02\x00" + b"4000000000000000" + b"\x11"),
        ("ebcdic", "ebcdic", "02004000000000000000".encode("cp500") + b"\x11"),
        ("binary", "ebcdic", "0200".encode("cp500") + b"\x40" + bytes(7) + b"\x11"),
    ],
)
def test_bitmaps_as_text(tmp_path: Path, encoding: str, mti: str, data: bytes) -> None:
    one = dialect(tmp_path, f'encoding = "{encoding}"', mti)
    message = one.decode(data)
    assert message == Message("0200", {"2": "11"})
    assert one.encode(message) == data
    start = 2 if mti == "bcd" else 4
    assert one.spans(data) == [
        ("mti", 0, start),
        ("bitmap", start, len(data) - 1),
        ("2", len(data) - 1, len(data)),
    ]


def test_bitmaps_in_lower_case(tmp_path: Path) -> None:
    one = dialect(tmp_path, 'encoding = "hex", hex_case = "lower"', "ascii")
    data = b"0200" + b"c000000000000000" + b"0400000000000000" + b"\x11\x22"
    for _ in range(80):  # compiled too
        message = one.decode(data)
        assert message == Message("0200", {"2": "11", "70": "22"})
        assert one.encode(message) == data
    with pytest.raises(
        DecodeError, match=r"^bitmap at byte 4: expected hex digits in lower case, got byte 0x43$"
    ):
        one.decode(data.replace(b"c", b"C"))


REFUSED = (
    (PLAIN, "bcd", "0200" + "4000", "bitmap at byte 2: expected 8 bytes, got 2"),
    (PLAIN, "bcd", "0200" + "c000000000000000" + "00", "bitmap at byte 2: expected 16 bytes, got 9"),
    (
        PLAIN,
        "bcd",
        "0200" + "c" + "0" * 31 + "11",
        "bitmap at byte 10: expected a field above 64 in the secondary bitmap, got none",
    ),
    (PLAIN, "bcd", "0200" + "2" + "0" * 15, "3 at byte 2: expected a field of this dialect, got bit 3 set"),
    (
        'encoding = "hex"',
        "ascii",
        b"0200400000000000000g".hex(),
        "bitmap at byte 19: expected hex digits in upper case, got byte 0x67",
    ),
    ('encoding = "hex"', "ascii", b"02004000".hex(), "bitmap at byte 4: expected 16 bytes, got 4"),
    (
        'encoding = "hex"',
        "ascii",
        b"02000000000000000100".hex(),
        "56 at byte 16: expected a field of this dialect, got bit 56 set",
    ),
    ('encoding = "hex"', "ascii", b"02a04".hex(), "mti at byte 2: expected digits, got byte 0x61"),
    ('encoding = "hex"', "ascii", b"020".hex(), "mti at byte 0: expected 4 bytes, got 3"),
    (PLAIN, "ebcdic", b"0200".hex(), "mti at byte 0: expected digits in EBCDIC, got byte 0x30"),
    (
        'encoding = "binary", always = 16',
        "bcd",
        "0200" + "c" + "0" * 31 + "11",
        "bitmap at byte 2: expected bit 1 clear without fields above 64, got bit 1 set",
    ),
    (
        'encoding = "binary", always = 16',
        "bcd",
        "0200" + "0" * 16 + "04" + ZEROS[2:] + "22",
        "bitmap at byte 2: expected bit 1 set for fields above 64, got bit 1 clear",
    ),
    (
        'encoding = "binary", always = 16, first_bit = "set"',
        "bcd",
        "0200" + "4" + "0" * 31 + "11",
        "bitmap at byte 2: expected bit 1 set, got bit 1 clear",
    ),
    (
        'encoding = "binary", always = 16, first_bit = "clear"',
        "bcd",
        "0200" + "c" + "0" * 31 + "11",
        "bitmap at byte 2: expected bit 1 clear, got bit 1 set",
    ),
    ('encoding = "binary", always = 16', "bcd", ONE, "bitmap at byte 2: expected 16 bytes, got 9"),
)


@pytest.mark.parametrize(("bitmap", "mti", "data", "words"), REFUSED)
def test_refused(tmp_path: Path, bitmap: str, mti: str, data: str, words: str) -> None:
    with pytest.raises(DecodeError) as caught:
        dialect(tmp_path, bitmap, mti).decode(bytes.fromhex(data))
    assert str(caught.value) == words


@pytest.mark.parametrize(
    ("bitmap", "data", "words"),
    [
        (
            'encoding = "binary", tertiary = 65',
            "0200" + "8" + "0" * 15 + "8" + "0" * 15 + ZEROS,
            "bitmap at byte 18: expected a field above 128 in the tertiary bitmap, got none",
        ),
        (
            'encoding = "binary", tertiary_field = 60',
            "0200" + "0000000000000010" + ZEROS,
            "bitmap at byte 10: expected a field above 128 in the tertiary bitmap, got none",
        ),
        (
            'encoding = "binary", tertiary_field = 60',
            "0200" + "0000000000000010" + "4" + "0" * 15,
            "130 at byte 10: expected a field of this dialect, got bit 130 set",
        ),
        (
            'encoding = "binary", tertiary_field = 60',
            "0200" + "0000000000000010" + "80",
            "bitmap at byte 10: expected 8 bytes, got 1",
        ),
        (
            'encoding = "binary", always = 24, tertiary = 65',
            "0200" + "c" + "0" * 31 + "8" + "0" * 15 + "1122",
            "bitmap at byte 10: expected bit 65 set for fields above 128, got bit 65 clear",
        ),
    ],
)
def test_third_bitmaps_refused(tmp_path: Path, bitmap: str, data: str, words: str) -> None:
    with pytest.raises(DecodeError) as caught:
        dialect(tmp_path, bitmap, third=True).decode(bytes.fromhex(data))
    assert str(caught.value) == words


@pytest.mark.parametrize("encoding", ["binary", "hex"])
def test_the_mac_is_found_in_every_form(tmp_path: Path, encoding: str) -> None:
    one = dialect(tmp_path, 'encoding = "hex"', "ascii", mac=encoding)
    for fields, place in (({"2": "11"}, "64"), ({"2": "11", "70": "22"}, "128")):
        sealed = Message("0200", {**fields, place: b"\xab\xcd"})
        data = one.encode(sealed)
        body, mac = one.split_mac(data)
        assert mac == b"\xab\xcd"
        assert body == one.encode_body(sealed) == one.encode_body(Message("0200", dict(fields)))
        assert body + (b"\xab\xcd" if encoding == "binary" else b"ABCD") == data
        assert one.split_mac(data[:9]) == (data[:9], None)
    assert one.split_mac(b"0200" + b"4" + b"0" * 15 + b"\x11")[1] is None


def test_the_mac_behind_a_header() -> None:
    one = any_dialect.dialect("kitchen-sink")
    header = {"1": "ISO", "2": "0250", "3": b"\x01\x02"}
    sealed = Message("0200", {"header": header, "3": "12345", "64": b"\x01\x02\x03\x04"})
    data = one.encode(sealed)
    assert one.split_mac(data) == (one.encode_body(sealed), b"\x01\x02\x03\x04")
    assert one.decode(data)["header.3"] == b"\x01\x02"
    with pytest.raises(EncodeError, match=r"^message: expected no field above 128 beside a MAC, got one$"):
        one.encode_body(Message("0200", {"header": header, "130": "123456"}))


def test_an_empty_secondary_bitmap_is_nothing_else(tmp_path: Path) -> None:
    one = dialect(tmp_path, 'encoding = "binary", empty_secondary = true')
    with pytest.raises(EncodeError) as caught:
        one.encode(Message("0200", {"1": b"\x01" * 8, "2": "11"}))
    assert str(caught.value) == "1: expected 8 zero bytes (an empty bitmap), got something else"
    with pytest.raises(EncodeError, match=r"^message: expected fields of this dialect"):
        dialect(tmp_path, PLAIN).encode(Message("0200", {"1": bytes(8)}))
