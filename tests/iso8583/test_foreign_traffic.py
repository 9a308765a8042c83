"""Messages as other networks and libraries write them, described by their settings alone.

Each row: settings of the whole, of the fields, the bytes, the values. All cards are test numbers. What is
told apart here is the format; the bytes are facts of public traffic, or made by its settings.
"""

from __future__ import annotations

import base64
import tempfile
from pathlib import Path
from typing import NamedTuple

import pytest

from switch.iso8583 import DecodeError, Dialect, Message
from switch.iso8583.message import Value


class Part(NamedTuple):
    """A field ("2"), part or tag ("48.tags.01") of a dialect: class, encoding, length, further lines."""

    place: str
    content: str
    encoding: str
    length: str
    more: str = ""


class Traffic(NamedTuple):
    name: str
    head: str  # lines of [dialect]
    parts: tuple[Part, ...]
    data: bytes
    values: dict[str, Value]


def dialect(traffic: Traffic) -> Dialect:
    lines = [
        "[dialect]",
        'name = "foreign"',
        "version = 1",
        'description = { en = "F", fa = "ب" }',
        traffic.head,
    ]
    for part in traffic.parts:
        place = part.place if part.place.startswith("header.") else f"fields.{part.place}"
        lines += [
            f"[{place}]",
            f'name = "at_{place.replace(".", "_").lower()}"',
            'title = { en = "Part", fa = "بخش" }',
            f'class = "{part.content}"',
        ]
        lines += [f'encoding = "{part.encoding}"'] if part.encoding else []
        lines += [f"length = {{ {part.length} }}", part.more]
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "foreign.toml"
        file.write_text("\n".join(lines), encoding="utf-8")
        return Dialect.load(file)


def hexed(*parts: str | bytes) -> bytes:
    """Hex digits, and bytes as they are, put together."""
    return b"".join(part if isinstance(part, bytes) else bytes.fromhex(part) for part in parts)


LEFT_0, RIGHT_0 = 'pad = { side = "left", nibble = "0" }', 'pad = { side = "right", nibble = "0" }'
LL, ONE = 'prefix = "ascii", digits = 2', 'prefix = "binary", bytes = 1'
LLB = 'prefix = "bcd", digits = 2'
EBCDIC_PDS = (
    """tlv = { tag = { encoding = "ebcdic", digits = 4 }, length = { encoding = "ebcdic", digits = 3 } }"""
)
INCLUSIVE = (
    'tlv = { first = "length", length_covers = "tag and value", tag = { encoding = "ebcdic", digits = 2 }, '
    'length = { encoding = "ebcdic", digits = 3 } }'
)

CLEARING_FILE = Traffic(
    "clearing in EBCDIC with tagged data elements, bit 1 set without need",
    'mti = { encoding = "ebcdic" }\nbitmap = { encoding = "binary", always = 16, first_bit = "set" }',
    (
        Part("2", "n", "ebcdic", 'prefix = "ebcdic", digits = 2, max = 19'),
        Part("43", "ans", "ebcdic", 'prefix = "ebcdic", digits = 2, max = 99'),
        Part("48", "tlv", "ebcdic", 'prefix = "ebcdic", digits = 3, max = 999', EBCDIC_PDS),
        Part("48.tags.0001", "a", "ebcdic", "max = 1"),
    ),
    hexed("1144".encode("cp500"), "C0" + "00" * 3 + "00210000" + "00" * 8)
    + "164444555544445555".encode("cp500")
    + "24BIG BOBS\\DANERLEY\\VICAUS".encode("cp500")
    + "0180001001Y0999003ABC".encode("cp500"),
    {
        "2": "4444555544445555",
        "43": "BIG BOBS\\DANERLEY\\VICAUS",
        "48.0001": "Y",
        "48.0999": "ABC".encode("cp500"),
    },
)
HEADER_PARTS = {2: 1, 3: 1, 4: 2, 5: 3, 6: 3, 7: 1, 8: 2, 9: 3, 10: 1, 11: 3, 12: 1}
VISA = (
    Part("header.1", "positional", "", 'prefix = "binary", bytes = 1, max = 26, inclusive = true'),
    *(
        Part(f"header.1.subfields.{number}", "b", "binary", f"fixed = {size}")
        for number, size in HEADER_PARTS.items()
    ),
    Part("header.1.subfields.13", "b", "binary", "fixed = 2", "optional = true"),
    Part("header.1.subfields.14", "b", "binary", "fixed = 2", "optional = true"),
    Part("7", "n", "bcd", "fixed = 10"),
    Part("11", "n", "bcd", "fixed = 6"),
    Part("35", "z", "bcd", f"{ONE}, max = 37", LEFT_0),
    Part("37", "ans", "ebcdic", "fixed = 12"),
    Part("39", "ans", "ebcdic", "fixed = 2"),
    Part("55", "tlv", "", f"{ONE}, max = 255", "tlv = { tag_bytes = 1, length_bytes = 2 }"),
    Part("55.tags.01", "tlv", "", "max = 255", 'tlv = { form = "ber", tags = "emv" }'),
    Part("63", "bitmapped", "", f"{ONE}, max = 255", 'bitmap = { encoding = "binary", bytes = 3 }'),
    Part("63.subfields.1", "n", "bcd", "fixed = 4"),
    Part("70", "n", "bcd", "fixed = 3", LEFT_0),
)
VISA_HEAD = 'mti = { encoding = "bcd" }\nbitmap = { encoding = "binary" }'
SIGN_ON_ANSWER = Traffic(
    "a header that says its own length, bits within a field",
    VISA_HEAD,
    VISA,
    base64.b64decode(
        "FgECAEYSkSgAAAABEABBBAAWAQZ2AAgQgiAAAAoAAAIEAAAAAAAAABIWIik2FoGC9PP18fLy8fb48fjy8PAFgAAAAAIAcQ=="
    ),
    {
        "header.1.4": b"\x00\x46",
        "header.1.12": b"\x00",
        "7": "1216222936",
        "11": "168182",
        "37": "435122168182",
        "39": "00",
        "63.1": "0002",
        "70": "071",
    },
)
CHIP_DATA_SET = Traffic(
    "EMV data in a numbered data set, track 2 packed with its digits counted in a byte",
    VISA_HEAD,
    VISA,
    hexed(
        "16 01 02 0000" + "00" * 17 + "0100 0000000020000200",
        "25 04123709999000029D31122011212120531127",
        "15 01 0012 9F3303204000 95058000010000 9F36020001",
    ),
    {
        "35": "4123709999000029=31122011212120531127",
        "55.01.9F33": bytes.fromhex("204000"),
        "55.01.95": bytes.fromhex("8000010000"),
        "55.01.9F36": b"\x00\x01",
    },
)
REJECTED = Traffic(
    "a header in front of the header of what was refused",
    VISA_HEAD,
    (*VISA, *(part._replace(place=part.place.replace("header.1", "header.2")) for part in VISA[:14])),
    base64.b64decode(
        "GgECAGASkSgAAAABEABBBAAWAQZ2AIAAEjQWAQIARhKRKAAAAAEQAEEEABYBBnYACBCCIAAACgAAAgQAAAAAAAAAEhYiKTYWgYL0"
        "8/Xx8vLx9vjx+PLw8AWAAAAAAgBx"
    ),
    {"header.1.14": b"\x12\x34", "header.2.4": b"\x00\x46", "39": "00", "70": "071"},
)
MIXED = Traffic(
    "BCD on either side and spaces on the left between ASCII fields, text in EMV tags",
    'mti = { encoding = "ascii" }\nbitmap = { encoding = "binary" }',
    (
        Part("3", "positional", "ascii", "fixed = 6"),
        *(Part(f"3.subfields.{number}", "n", "ascii", "fixed = 2") for number in (1, 2, 3)),
        Part("19", "n", "bcd", "fixed = 3", LEFT_0),
        Part("43", "ans", "ascii", "fixed = 12", 'pad = { side = "left", character = " " }'),
        Part("49", "n", "bcd", "fixed = 3", RIGHT_0),
        Part(
            "55",
            "tlv",
            "",
            'prefix = "ascii", digits = 3, max = 999',
            'tlv = { form = "ber", tags = "emv", misfits = "keep" }',
        ),
    ),
    hexed(b"0100", "2000200000208200", b"000102", "0643", b"   Test text", "6430")
    + b"023\x9a\x06210720\x9f\x02\x0c000000000501",
    {
        "3.1": "00",
        "3.2": "01",
        "3.3": "02",
        "19": "643",
        "43": "Test text",
        "49": "643",
        "55.9A": b"210720",
        "55.9F02": b"000000000501",
    },
)
GERMAN = Traffic(
    "lengths in EBCDIC that stand before the tag and count it, nested",
    'mti = { encoding = "bcd" }\nbitmap = { encoding = "binary" }',
    (
        Part("60", "tlv", "", 'prefix = "ebcdic", digits = 3, max = 999', INCLUSIVE),
        Part("60.tags.40", "n", "ebcdic", "max = 2"),
        Part("60.tags.47", "tlv", "", "max = 99", INCLUSIVE),
        Part("60.tags.47.tags.01", "n", "ebcdic", "max = 4"),
    ),
    hexed("0200 0000000000000010 F0F2F0 F0F0F4F4F0F0F7 F0F1F0F4F7F0F0F5F0F1F1F0F1"),
    {"60.40": "07", "60.47.01": "101"},
)
THIRD_BITMAP = Traffic(
    "a third bitmap as field 127",
    'mti = { encoding = "ascii" }\nbitmap = { encoding = "binary", tertiary_field = 127 }',
    (
        Part("11", "n", "ascii", "fixed = 6"),
        Part("70", "n", "ascii", "fixed = 3"),
        Part("129", "ans", "ascii", 'prefix = "ascii", digits = 3, max = 999'),
        Part("170", "positional", "ascii", 'prefix = "ascii", digits = 3, max = 999'),
        Part("170.subfields.1", "b", "binary", 'prefix = "binary", bytes = 2, max = 900'),
        Part("170.subfields.2", "n", "ascii", "fixed = 2"),
    ),
    hexed(b"0810", "8020000000000000 0400000000000002", b"001298301", "8000000000400000")
    + hexed(b"0044.01008", "0004 0002AABB", b"01"),
    {"11": "001298", "70": "301", "129": "4.01", "170.1": bytes.fromhex("0002AABB"), "170.2": "01"},
)
SENTINELS = Traffic(
    "a packed track with sentinels, digits on the left of their bytes, an amount with its sign in front",
    'mti = { encoding = "bcd" }\nbitmap = { encoding = "binary" }',
    (
        Part("2", "n", "bcd", f"{LLB}, max = 19", RIGHT_0),
        Part("28", "x+n", "bcd", "fixed = 9"),
        Part("35", "z", "bcd", f"{LLB}, max = 37", f'nibbles = "all"\n{RIGHT_0}'),
        Part("37", "ans", "ascii", "fixed = 12", 'pad = { side = "right", character = " " }'),
    ),
    hexed("0221 4000001028000000 17 152345678901234560 44 00000022")
    + hexed("35 B1234123412341234D0305101193010877F0", b"A1          "),
    {
        "2": "15234567890123456",
        "28": "D00000022",
        "37": "A1",
        "35": ";1234123412341234=0305101193010877?",
    },
)
LONG_LENGTHS = Traffic(
    "lengths of digits and of bytes as numbers of one and two bytes",
    'mti = { encoding = "bcd" }\nbitmap = { encoding = "binary" }',
    (
        Part("2", "n", "bcd", f"{ONE}, max = 255", LEFT_0),
        Part("4", "b", "binary", f"{ONE}, max = 255"),
        Part("7", "n", "bcd", 'prefix = "binary", bytes = 2, max = 9999', LEFT_0),
        Part("8", "b", "binary", 'prefix = "binary", bytes = 2, max = 9999'),
    ),
    hexed("0100 5300000000000000 09 0666666666 12" + "C0" * 18 + "1112" + "6" * 4370 + "0112" + "C2" * 274),
    {"2": "666666666", "4": b"\xc0" * 18, "7": "6" * 4370, "8": b"\xc2" * 274},
)
TRACK_WITH_F = Traffic(
    "track 2 packed, an odd number of digits filled up with F",
    'mti = { encoding = "bcd" }\nbitmap = { encoding = "binary" }',
    (
        Part("22", "n", "bcd", "fixed = 3", LEFT_0),
        Part("35", "z", "bcd", f"{LLB}, max = 37", 'pad = { side = "right", nibble = "F" }'),
    ),
    hexed("0200 0000040020000000 0071 37 5111111211111111d11110000000000000000f"),
    {"22": "071", "35": "5111111211111111=11110000000000000000"},
)
ODD_IN_BYTES = Traffic(
    "odd digits where the length counts bytes: the zero in front can't be told from a digit",
    'mti = { encoding = "bcd" }\nbitmap = { encoding = "binary" }',
    (Part("4", "n", "bcd", f'{ONE}, max = 5, unit = "bytes"', LEFT_0),),
    hexed("0200 1000000000000000 02 0123"),
    {"4": "0123"},
)
TRAFFIC = (
    *(CLEARING_FILE, SIGN_ON_ANSWER, CHIP_DATA_SET, REJECTED, MIXED, GERMAN, THIRD_BITMAP, SENTINELS),
    *(LONG_LENGTHS, TRACK_WITH_F, ODD_IN_BYTES),
)


@pytest.mark.parametrize("traffic", TRAFFIC, ids=lambda traffic: traffic.name)
def test_foreign_messages_are_read_and_written_as_they_were(traffic: Traffic) -> None:
    one = dialect(traffic)
    message = one.decode(traffic.data)
    assert {path: message[path] for path in traffic.values} == traffic.values
    assert one.encode(message) == traffic.data
    assert one.walk(traffic.data) == len(traffic.data)
    assert Message.from_json(message.to_json(reveal=True), one) == message


@pytest.mark.parametrize("traffic", TRAFFIC, ids=lambda traffic: traffic.name)
def test_foreign_messages_that_end_early_are_refused(traffic: Traffic) -> None:
    one = dialect(traffic)
    for size in range(min(len(traffic.data), 300)):
        with pytest.raises(DecodeError):
            one.decode(traffic.data[:size])
    with pytest.raises(DecodeError):
        one.decode(traffic.data + b"\x00")
