"""Formats as integrators write them, each held to bytes put together by hand, and what each refuses.

A row: what it shows, the field's lines in TOML ("@": name and title of a part), the field's bytes as hex, and
the value or the exact text of the error.
"""

from __future__ import annotations

from typing import Any

import pytest

from switch.iso8583 import DecodeError, Dialect, Message
from tests.iso8583.formats import (
    AMOUNT_BCD,
    AMOUNT_NIBBLE,
    AMOUNT_TEXT,
    BCD_BYTES,
    BCD_BYTES_PADDED,
    BCD_PAD_LEFT,
    BCD_PAD_RIGHT,
    BER_TAGS,
    BITMAPPED,
    BYTES_IN_NIBBLES,
    DIGITS,
    EBCDIC_FIXED,
    EBCDIC_TEXT,
    FILLED_TEXT,
    GROUPS,
    HEX_BITMAP,
    HEX_BYTES,
    HEX_CHARACTERS,
    LENGTH_COUNTS_ITSELF,
    LETTER_TAGS,
    NESTED_TAGS,
    ONE_VALUE,
    PARTS,
    REPEATED_TAGS,
    TAGS_IN_HEX,
    TEXT,
    TEXT_BINARY_LENGTH,
    TEXT_HEX_LENGTH,
    TRACK_PACKED,
    TRACK_TEXT,
)
from tests.iso8583.mini import dialect, head

FORMATS: tuple[tuple[str, str, str, Any], ...] = (
    (
        "ascii LLVAR digits",
        """
        class = "n"
        encoding = "ascii"
        length = { prefix = "ascii", digits = 2, max = 19 }
        """,
        "303431323334",
        "1234",
    ),
    (
        "ascii LVAR digits",
        """
        class = "n"
        encoding = "ascii"
        length = { prefix = "ascii", digits = 1, max = 9 }
        """,
        "3431323334",
        "1234",
    ),
    (
        "ascii LLLLLLVAR",
        """
        class = "ans"
        encoding = "ascii"
        length = { prefix = "ascii", digits = 6, max = 999999 }
        """,
        "303030303033612063",
        "a c",
    ),
    (
        "bcd prefix, ascii digits",
        """
        class = "n"
        encoding = "ascii"
        length = { prefix = "bcd", digits = 3, max = 999 }
        """,
        "000431323334",
        "1234",
    ),
    (
        "binary prefix of two bytes",
        TEXT_BINARY_LENGTH,
        "0003616263",
        "abc",
    ),
    (
        "hex prefix",
        TEXT_HEX_LENGTH,
        "30426162636465666768696a6b",
        "abcdefghijk",
    ),
    (
        "ebcdic prefix and text",
        EBCDIC_TEXT,
        "f0f3814083",
        "a c",
    ),
    (
        "cp1047 brackets",
        """
        class = "ans"
        encoding = "ebcdic"
        code_page = "cp1047"
        length = { fixed = 3 }
        """,
        "adbd5f",
        "[]^",
    ),
    (
        "cp037 brackets",
        """
        class = "ans"
        encoding = "ebcdic"
        code_page = "cp037"
        length = { fixed = 3 }
        """,
        "babbb0",
        "[]^",
    ),
    (
        "prefix counts itself",
        LENGTH_COUNTS_ITSELF,
        "03aabb",
        b"\xaa\xbb",
    ),
    (
        "bcd odd, left 0",
        BCD_PAD_LEFT,
        "05012345",
        "12345",
    ),
    (
        "bcd odd, right F",
        BCD_PAD_RIGHT,
        "0512345f",
        "12345",
    ),
    (
        "bcd odd, right 0",
        """
        class = "n"
        encoding = "bcd"
        length = { prefix = "bcd", digits = 2, max = 19 }
        pad = { side = "right", nibble = "0" }
        """,
        "05123450",
        "12345",
    ),
    (
        "bcd odd, left A",
        """
        class = "n"
        encoding = "bcd"
        length = { fixed = 3 }
        pad = { side = "left", nibble = "A" }
        """,
        "a123",
        "123",
    ),
    (
        "bcd, length in bytes, F tells odd",
        BCD_BYTES_PADDED,
        "0312345f",
        "12345",
    ),
    (
        "bcd, length in bytes, even only",
        BCD_BYTES,
        "03012345",
        "012345",
    ),
    (
        "packed track 2, digit count",
        TRACK_PACKED,
        "1112345678d12f",
        "12345678=12",
    ),
    (
        "packed track 2, byte count",
        """
        class = "z"
        encoding = "bcd"
        length = { prefix = "binary", bytes = 1, max = 19, unit = "bytes" }
        pad = { side = "right", nibble = "F" }
        """,
        "0612345678d12f",
        "12345678=12",
    ),
    (
        "track 2 as text",
        TRACK_TEXT,
        "303731323334353d36",
        "12345=6",
    ),
    (
        "track 2 with D as text",
        TRACK_TEXT,
        "303731323334354436",
        "12345D6",
    ),
    (
        "any nibbles",
        """
        class = "h"
        encoding = "bcd"
        length = { prefix = "bcd", digits = 2, max = 20, unit = "nibbles" }
        pad = { side = "left", nibble = "0" }
        """,
        "050abcde",
        "ABCDE",
    ),
    (
        "digits as nibbles of text",
        """
        class = "n"
        encoding = "ascii"
        length = { prefix = "bcd", digits = 2, max = 20, unit = "nibbles" }
        """,
        "0831323334",
        "1234",
    ),
    (
        "bytes counted in nibbles",
        BYTES_IN_NIBBLES,
        "3034abcd",
        b"\xab\xcd",
    ),
    (
        "bytes as hex, counted in bytes",
        """
        class = "b"
        encoding = "hex"
        length = { prefix = "ascii", digits = 2, max = 20, unit = "bytes" }
        """,
        "303241424344",
        b"\xab\xcd",
    ),
    (
        "bytes as hex, counted in characters",
        HEX_CHARACTERS,
        "303441424344",
        b"\xab\xcd",
    ),
    (
        "bytes as lower-case hex",
        """
        class = "b"
        encoding = "hex"
        hex_case = "lower"
        length = { fixed = 2, unit = "bytes" }
        """,
        "61626364",
        b"\xab\xcd",
    ),
    (
        "bytes as hex in EBCDIC",
        """
        class = "b"
        encoding = "ebcdic"
        length = { fixed = 2, unit = "bytes" }
        """,
        "c1c2c3c4",
        b"\xab\xcd",
    ),
    (
        "amount in ASCII",
        AMOUNT_TEXT,
        "443030303030303530",
        "D00000050",
    ),
    (
        "amount, ASCII sign and BCD",
        AMOUNT_BCD,
        "4300000050",
        "C00000050",
    ),
    (
        "amount, EBCDIC sign and BCD",
        """
        class = "x+n"
        encoding = "bcd"
        sign = "ebcdic"
        length = { fixed = 9 }
        """,
        "c400000050",
        "D00000050",
    ),
    (
        "amount, sign nibble",
        AMOUNT_NIBBLE,
        "0d00000050",
        "D00000050",
    ),
    (
        "spaces behind are stripped",
        """
        class = "ans"
        encoding = "ascii"
        length = { fixed = 8 }
        pad = { side = "right", character = " " }
        """,
        "4142204320202020",
        "AB C",
    ),
    (
        "zeros before are stripped",
        """
        class = "n"
        encoding = "ascii"
        length = { fixed = 6 }
        pad = { side = "left", character = "0" }
        """,
        "303030313230",
        "120",
    ),
    (
        "all zeros leave one",
        """
        class = "n"
        encoding = "bcd"
        length = { fixed = 6 }
        pad = { side = "left", character = "0" }
        """,
        "000000",
        "0",
    ),
    (
        "only spaces leave nothing",
        FILLED_TEXT,
        "202020",
        "",
    ),
    (
        "bytes filled behind",
        """
        class = "b"
        encoding = "binary"
        length = { fixed = 4 }
        pad = { side = "right", byte = "FF" }
        """,
        "0100ffff",
        b"\x01\x00",
    ),
    (
        "tags of two letters",
        LETTER_TAGS,
        "30313641423030333132335a5a303033612e62",
        {"AB": "123", "ZZ": b"a.b"},
    ),
    (
        "tags in BCD, lengths in BCD",
        """
        class = "tlv"
        length = { prefix = "bcd", digits = 3, max = 999 }
        tlv = { tag = { encoding = "bcd", digits = 4 }, length = { encoding = "bcd", digits = 2 } }
        """,
        "0008000102aabb000200",
        {"0001": b"\xaa\xbb", "0002": b""},
    ),
    (
        "EBCDIC tags",
        """
        class = "tlv"
        encoding = "ebcdic"
        length = { prefix = "ebcdic", digits = 3, max = 999 }
        tlv = { tag = { encoding = "ebcdic", characters = 4 }, length = { encoding = "ebcdic", digits = 3 } }
        [.tags.0023]
        @
        class = "ans"
        encoding = "ebcdic"
        length = { max = 9 }
        """,
        "f0f1f0f0f0f2f3f0f0f3c3e3f1",
        {"0023": "CT1"},
    ),
    (
        "length before the tag, covering it",
        """
        class = "tlv"
        length = { prefix = "bcd", digits = 3, max = 999 }
        [.tlv]
        tag = { encoding = "ascii", characters = 2 }
        length = { encoding = "bcd", digits = 4 }
        first = "length"
        length_covers = "tag and value"
        """,
        "000700053136aabbcc",
        {"16": b"\xaa\xbb\xcc"},
    ),
    (
        "repeated tags keep their order",
        REPEATED_TAGS,
        "00110101aa02000101bb0101cc",
        {"01": b"\xaa", "02": b"", "01#2": b"\xbb", "01#3": b"\xcc"},
    ),
    (
        "BER-TLV, long tag, long length",
        """
        class = "tlv"
        length = { prefix = "binary", bytes = 2, max = 999 }
        tlv = { form = "ber" }
        """,
        "0088df812901aa5a8180" + "11" * 128,
        {"DF8129": b"\xaa", "5A": b"\x11" * 128},
    ),
    (
        "BER-TLV padding",
        """
        class = "tlv"
        length = { prefix = "binary", bytes = 1, max = 99 }
        tlv = { form = "ber", padding = ["00", "FF"] }
        """,
        "0900009c010000ffff00",
        {"00": b"\x00\x00", "9C": b"\x00", "00#2": b"\x00", "FF": b"\xff\xff", "00#3": b"\x00"},
    ),
    (
        "BER-TLV nested",
        NESTED_TAGS,
        "0770059f36020001",
        {"70": {"9F36": b"\x00\x01"}},
    ),
    (
        "tags within tags",
        """
        class = "tlv"
        length = { prefix = "bcd", digits = 3, max = 999 }
        tlv = { tag_bytes = 1, length_bytes = 2 }
        [.tags.66]
        @
        class = "tlv"
        length = { max = 500 }
        tlv = { tag = { encoding = "ascii", digits = 2 }, length = { encoding = "ascii", digits = 2 } }
        """,
        "0009660006303130323141",
        {"66": {"01": b"1A"}},
    ),
    (
        "positional, last parts missing",
        PARTS,
        "30323132",
        {"1": "12"},
    ),
    (
        "a code, then tags",
        """
        class = "positional"
        length = { prefix = "ascii", digits = 3, max = 999 }
        [.subfields.1]
        @
        class = "a"
        encoding = "ascii"
        length = { fixed = 1 }
        [.subfields.2]
        @
        class = "tlv"
        optional = true
        length = { rest = true }
        tlv = { tag = { encoding = "ascii", digits = 2 }, length = { encoding = "ascii", digits = 2 } }
        """,
        "3030385234323033303141",
        {"1": "R", "2": {"42": b"01A"}},
    ),
    (
        "groups",
        """
        class = "positional"
        repeat = 3
        length = { prefix = "ascii", digits = 3, max = 99 }
        [.subfields.1]
        @
        class = "n"
        encoding = "ascii"
        length = { fixed = 2 }
        [.subfields.2]
        @
        class = "x+n"
        encoding = "ascii"
        length = { fixed = 4 }
        """,
        "303132303143303031303244303032",
        {"1": {"1": "01", "2": "C001"}, "2": {"1": "02", "2": "D002"}},
    ),
    (
        "bitmapped",
        BITMAPPED,
        "0780001042326f6b",
        {"1": "42", "20": "ok"},
    ),
    (
        "bitmapped, hex bitmap",
        """
        class = "bitmapped"
        length = { prefix = "ascii", digits = 4, max = 999 }
        bitmap = { encoding = "hex", bytes = 1 }
        [.subfields.3]
        @
        class = "ans"
        encoding = "ascii"
        length = { fixed = 2 }
        """,
        "3030303432306f6b",
        {"3": "ok"},
    ),
    (
        "composite as hex digits",
        TAGS_IN_HEX,
        "30313039463336303230303031",
        {"9F36": b"\x00\x01"},
    ),
)

REFUSALS = (
    (
        "a sign in a length",
        TEXT,
        "2b30356162636465",
        "48 at byte 10: expected a length in ASCII digits, got byte 0x2B",
    ),
    (
        "a minus in a length",
        TEXT,
        "2d30356162636465",
        "48 at byte 10: expected a length in ASCII digits, got byte 0x2D",
    ),
    (
        "a space in a length",
        TEXT,
        "2030356162636465",
        "48 at byte 10: expected a length in ASCII digits, got byte 0x20",
    ),
    (
        "an underscore in a length",
        TEXT,
        "305f356162636465",
        "48 at byte 11: expected a length in ASCII digits, got byte 0x5F",
    ),
    (
        "a letter at the end of a length",
        TEXT,
        "3030786162636465",
        "48 at byte 12: expected a length in ASCII digits, got byte 0x78",
    ),
    (
        "a superscript in a length",
        TEXT,
        "b23030",
        "48 at byte 10: expected a length in ASCII digits, got byte 0xB2",
    ),
    (
        "half a length",
        TEXT,
        "3030",
        "48 at byte 10: expected 3 bytes, got 2",
    ),
    (
        "no length",
        TEXT,
        "",
        "48 at byte 10: expected 3 bytes, got 0",
    ),
    (
        "content cut",
        TEXT,
        "303035616263",
        "48 at byte 13: expected 5 bytes, got 3",
    ),
    (
        "a greater length than allowed",
        DIGITS,
        "32303131313131313131313131313131313131313131",
        "48 at byte 10: expected a length of 2 to 19 characters, got 20",
    ),
    (
        "a smaller length than allowed",
        DIGITS,
        "303131",
        "48 at byte 10: expected a length of 2 to 19 characters, got 1",
    ),
    (
        "a long number that is no length",
        """
        class = "ans"
        encoding = "ascii"
        length = { prefix = "ascii", digits = 6, max = 5000 }
        """,
        "343131313131",
        "48 at byte 10: expected a length of 0 to 5000 characters, got another number",
    ),
    (
        "a sign in an EBCDIC length",
        EBCDIC_TEXT,
        "4ef3818283",
        "48 at byte 10: expected a length in EBCDIC digits, got byte 0x4E",
    ),
    (
        "ASCII where EBCDIC should be",
        EBCDIC_TEXT,
        "3033616263",
        "48 at byte 10: expected a length in EBCDIC digits, got byte 0x30",
    ),
    (
        "a lower-case hex length",
        TEXT_HEX_LENGTH,
        "30626162636465666768696a6b",
        "48 at byte 11: expected a length in hex digits, got byte 0x62",
    ),
    (
        "a binary length cut",
        TEXT_BINARY_LENGTH,
        "00",
        "48 at byte 10: expected 2 bytes, got 1",
    ),
    (
        "a binary length too great",
        """
        class = "ans"
        encoding = "ascii"
        length = { prefix = "binary", bytes = 2, max = 600 }
        """,
        "ffff",
        "48 at byte 10: expected a length of 0 to 600 characters, got 65535",
    ),
    (
        "a length that counts itself and is smaller",
        LENGTH_COUNTS_ITSELF,
        "00",
        "48 at byte 10: expected a length of 1 to 31 bytes, itself included, got 0",
    ),
    (
        "an odd number of nibbles",
        BYTES_IN_NIBBLES,
        "3033abcd",
        "48 at byte 10: expected an even number of nibbles, got 3",
    ),
    (
        "an odd number of hex characters",
        HEX_CHARACTERS,
        "3033414243",
        "48 at byte 10: expected an even number of characters, got 3",
    ),
    (
        "lower-case hex",
        HEX_BYTES,
        "41426364",
        "48 at byte 12: expected hex digits in upper case, got byte 0x63",
    ),
    (
        "no hex at all",
        HEX_BYTES,
        "41422b31",
        "48 at byte 12: expected hex digits in upper case, got byte 0x2B",
    ),
    (
        "a wrong left pad",
        BCD_PAD_LEFT,
        "05912345",
        "48 at byte 11: expected pad nibble 0, got a digit",
    ),
    (
        "a wrong right pad",
        BCD_PAD_RIGHT,
        "0512345e",
        "48 at byte 13: expected pad nibble F, got nibble E",
    ),
    (
        "a pad too many",
        BCD_BYTES_PADDED,
        "031234ff",
        "48 at byte 13: expected digits, got nibble F",
    ),
    (
        "letters in EBCDIC digits",
        """
        class = "n"
        encoding = "ebcdic"
        length = { fixed = 4 }
        """,
        "f1f2c1f4",
        "48 at byte 12: expected digits in EBCDIC, got byte 0xC1",
    ),
    (
        "a control character in EBCDIC",
        EBCDIC_FIXED,
        "c125c1",
        "48 at byte 11: expected printable ASCII in EBCDIC, got byte 0x25",
    ),
    (
        "a letter beyond ASCII in EBCDIC",
        EBCDIC_FIXED,
        "c14a51",
        "48 at byte 12: expected printable ASCII in EBCDIC, got byte 0x51",
    ),
    (
        "a byte above ASCII",
        TEXT,
        "30303361e962",
        "48 at byte 14: expected printable ASCII, got byte 0xE9",
    ),
    (
        "digits among letters",
        """
        class = "a"
        encoding = "ascii"
        length = { fixed = 3 }
        """,
        "616231",
        "48 at byte 12: expected letters, got byte 0x31",
    ),
    (
        "a dot among letters, digits and spaces",
        """
        class = "anp"
        encoding = "ascii"
        length = { fixed = 3 }
        """,
        "61202e",
        "48 at byte 12: expected letters, digits and spaces, got byte 0x2E",
    ),
    (
        "a letter among digits and specials",
        """
        class = "ns"
        encoding = "ascii"
        length = { fixed = 3 }
        """,
        "312d61",
        "48 at byte 12: expected digits and special characters, got byte 0x61",
    ),
    (
        "a digit among letters and specials",
        """
        class = "as"
        encoding = "ascii"
        length = { fixed = 3 }
        """,
        "612d31",
        "48 at byte 12: expected letters and special characters, got byte 0x31",
    ),
    (
        "a wrong sign letter",
        AMOUNT_TEXT,
        "583030303030303530",
        "48 at byte 10: expected C or D, got another sign",
    ),
    (
        "no sign at all",
        AMOUNT_TEXT,
        "303030303030303530",
        "48 at byte 10: expected C or D, got another sign",
    ),
    (
        "a letter behind the sign",
        AMOUNT_TEXT,
        "433030303078303530",
        "48 at byte 15: expected digits, got byte 0x78",
    ),
    (
        "a wrong sign byte before BCD",
        AMOUNT_BCD,
        "5800000050",
        "48 at byte 10: expected C or D, got another sign",
    ),
    (
        "a wrong sign nibble",
        AMOUNT_NIBBLE,
        "0e00000050",
        "48 at byte 10: expected sign nibble C or D, got another sign",
    ),
    (
        "a letter among an amount's digits",
        AMOUNT_BCD,
        "43000a0050",
        "48 at byte 12: expected digits, got nibble A",
    ),
    (
        "a separator that is none",
        TRACK_TEXT,
        "303731323334355e36",
        "48 at byte 17: expected track 2 characters, got byte 0x5E",
    ),
    (
        "F within packed track 2",
        TRACK_PACKED,
        "0612f45d",
        "48 at byte 12: expected digits and separators, got nibble F",
    ),
    (
        "a value that isn't the only one",
        ONE_VALUE,
        "4f5349",
        "48 at byte 10: expected ISO, got another value",
    ),
    (
        "a value that is none of some",
        """
        class = "b"
        encoding = "binary"
        length = { fixed = 1 }
        only = ["00", "FF"]
        """,
        "01",
        "48 at byte 10: expected one of 00, FF, got another value",
    ),
    (
        "another character as filler",
        """
        class = "an"
        encoding = "ascii"
        length = { fixed = 6 }
        pad = { side = "right", character = " " }
        """,
        "414220432020",
        "48 at byte 12: expected letters and digits, got byte 0x20",
    ),
    (
        "a tag's length beyond its field",
        LETTER_TAGS,
        "3030384142393939313233",
        "48.AB at byte 15: expected at most 3 bytes, got a length of 999",
    ),
    (
        "a tag cut",
        LETTER_TAGS,
        "30303441423030",
        "48 at byte 13: expected a tag and its length (5 bytes), got 4 bytes",
    ),
    (
        "a sign in a tag's length",
        LETTER_TAGS,
        "30303841422b3033313233",
        "48.AB at byte 15: expected a length in ASCII digits, got byte 0x2B",
    ),
    (
        "a tag longer than it may be",
        LETTER_TAGS,
        "3031314142303036313233343536",
        "48.AB at byte 15: expected a length of 1 to 5 bytes, got 6",
    ),
    (
        "a tag twice",
        LETTER_TAGS,
        "303132414230303131414230303131",
        "48.AB at byte 19: expected each tag once, got a second one",
    ),
    (
        "a letter in a tag's digits",
        LETTER_TAGS,
        "3030384142303033313278",
        "48.AB at byte 20: expected digits, got byte 0x78",
    ),
    (
        "a tag beyond ASCII",
        LETTER_TAGS,
        "303038e942303033313233",
        "48 at byte 13: expected printable characters (a tag), got byte 0xE9",
    ),
    (
        "an indefinite length",
        BER_TAGS,
        "069f3680000100",
        "48.9F36 at byte 13: expected a definite length, got byte 0x80",
    ),
    (
        "a length of five bytes",
        BER_TAGS,
        "089f36850000000002",
        "48.9F36 at byte 13: expected a length of at most 4 bytes, got byte 0x85",
    ),
    (
        "a length longer than need be",
        BER_TAGS,
        "069f3681020001",
        "48.9F36 at byte 13: expected the shortest form of the length, got a longer one",
    ),
    (
        "a long length longer than need be",
        BER_TAGS,
        "079f368200020001",
        "48.9F36 at byte 13: expected the shortest form of the length, got a longer one",
    ),
    (
        "a long length cut",
        BER_TAGS,
        "049f368201",
        "48.9F36 at byte 13: expected 3 bytes, got 2",
    ),
    (
        "a BER tag without a length",
        BER_TAGS,
        "029f36",
        "48.9F36 at byte 13: expected a length, got nothing",
    ),
    (
        "half a BER tag",
        BER_TAGS,
        "019f",
        "48 at byte 11: expected a BER tag of at most 4 bytes, got 1 byte without an end",
    ),
    (
        "a BER tag without end",
        BER_TAGS,
        "069fffffffff01",
        "48 at byte 11: expected a BER tag of at most 4 bytes, got 4 bytes without an end",
    ),
    (
        "a BER tag beyond its field",
        BER_TAGS,
        "059f36040001",
        "48.9F36 at byte 13: expected at most 2 bytes, got a length of 4",
    ),
    (
        "a BER tag twice",
        BER_TAGS,
        "0a9f360200019f36020002",
        "48.9F36 at byte 16: expected each tag once, got a second one",
    ),
    (
        "padding where none is allowed",
        BER_TAGS,
        "069f3602000100",
        "48 at byte 16: expected a BER tag, got byte 0x00",
    ),
    (
        "a known BER tag of another size",
        BER_TAGS,
        "069f3603000102",
        "48.9F36 at byte 13: expected a length of 2 bytes, got 3",
    ),
    (
        "nested: a letter in the digits",
        NESTED_TAGS,
        "0770059a032611b1",
        "48.70.9A at byte 17: expected digits, got nibble B",
    ),
    (
        "nested: beyond what holds it",
        NESTED_TAGS,
        "0770059a04261121",
        "48.70.9A at byte 14: expected at most 3 bytes, got a length of 4",
    ),
    (
        "in hex: an odd digit",
        TAGS_IN_HEX,
        "303039394633363032303030",
        "48 at byte 10: expected an even number of characters, got 9",
    ),
    (
        "in hex: lower case",
        TAGS_IN_HEX,
        "30313039663336303230303031",
        "48 at byte 14: expected hex digits in upper case, got byte 0x66",
    ),
    (
        "in hex: a fault inside, its place in the message",
        TAGS_IN_HEX,
        "303132394130333236313142313030",
        "48.9A at byte 21: expected digits, got nibble B",
    ),
    (
        "a part missing",
        PARTS,
        "303131",
        "48.1 at byte 12: expected 2 bytes, got 1",
    ),
    (
        "a last part cut",
        PARTS,
        "303431326162",
        "48.2 at byte 14: expected 3 bytes, got 2",
    ),
    (
        "bytes behind the last part",
        PARTS,
        "3036313261626364",
        "48 at byte 17: expected the end of the field, got 1 byte more",
    ),
    (
        "a group too many",
        GROUPS,
        "3138303143303031303244303032303343303033",
        "48 at byte 24: expected at most 2 groups, got one more",
    ),
    (
        "a fault in the second group",
        GROUPS,
        "3132303143303031303258303032",
        "48.2.2 at byte 20: expected C or D, got another sign",
    ),
    (
        "a group cut",
        GROUPS,
        "30383031433030313032",
        "48.2.2 at byte 20: expected 4 bytes, got 0",
    ),
    (
        "a bit the field hasn't",
        BITMAPPED,
        "059000004200",
        "48.4 at byte 11: expected a part of this field, got bit 4 set",
    ),
    (
        "bytes behind the last bit's part",
        BITMAPPED,
        "058000004200",
        "48 at byte 15: expected the end of the field, got 1 byte more",
    ),
    (
        "a bitmap cut",
        BITMAPPED,
        "028000",
        "48 at byte 11: expected 3 bytes, got 2",
    ),
    (
        "a part of a bitmap cut",
        BITMAPPED,
        "0680001042326f6b",
        "48.20 at byte 16: expected 2 bytes, got 1",
    ),
    (
        "a hex bitmap with a letter",
        HEX_BITMAP,
        "3030303432476f6b",
        "48 at byte 15: expected hex digits in upper case, got byte 0x47",
    ),
    (
        "an announced half without need",
        HEX_BITMAP,
        "30303036413030306f6b",
        "48 at byte 14: expected a bitmap no longer than its fields need, got an empty half",
    ),
    (
        "a bit beyond, in hex",
        HEX_BITMAP,
        "3030303434306f6b",
        "48.2 at byte 14: expected a part of this field, got bit 2 set",
    ),
)


@pytest.mark.parametrize(("body", "content", "value"), [pytest.param(*row[1:], id=row[0]) for row in FORMATS])
def test_format(body: str, content: str, value: Any) -> None:
    one, data = dialect(body), bytes.fromhex(head() + content)
    for _ in range(80):  # as often as it takes to be compiled
        message = one.decode(data)
        assert message["48"] == value
        assert one.encode(message) == data
    assert Dialect.decode(one, data) == message
    assert Dialect.encode(one, message) == data
    assert one.walk(data) == len(data)
    assert one.peek(data, ["48"]) == {"48": value}
    assert one.spans(data)[2] == ("48", 10, len(data))


@pytest.mark.parametrize(
    ("body", "content", "words"), [pytest.param(*row[1:], id=row[0]) for row in REFUSALS]
)
def test_refusal(body: str, content: str, words: str) -> None:
    one, data = dialect(body), bytes.fromhex(head() + content)
    with pytest.raises(DecodeError) as caught:
        one.decode(data)
    error = caught.value
    assert (
        str(error)
        == words
        == f"{error.path} at byte {error.offset}: expected {error.expected}, got {error.got}"
    )
    assert error.response_code == "30"
    assert isinstance(error.partial, Message)
    assert error.partial.mti == "0200"


@pytest.mark.parametrize(("body", "content"), [pytest.param(*row[1:3], id=row[0]) for row in FORMATS])
def test_every_cut_is_refused(body: str, content: str) -> None:
    one, data = dialect(body), bytes.fromhex(head() + content)
    for end in range(len(data)):
        with pytest.raises(DecodeError) as caught:
            one.decode(data[:end])
        assert caught.value.offset <= end
    with pytest.raises(DecodeError) as caught:
        one.decode(data + b"0")
    assert str(caught.value) == f"message at byte {len(data)}: expected the end, got 1 byte more"
