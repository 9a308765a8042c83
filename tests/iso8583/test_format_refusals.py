"""Values of ours that a format can't carry: refused in exact words before a byte is made."""

from __future__ import annotations

from typing import Any

import pytest

from switch.iso8583 import Dialect, EncodeError, Message
from tests.iso8583.formats import (
    AMOUNT_BCD_SHORT,
    AMOUNT_SHORT,
    BCD_BYTES,
    BER_TAGS,
    BITMAPPED,
    DIGITS,
    FILLED_TEXT,
    GROUPS,
    HEX_BYTES,
    LETTER_TAGS,
    NESTED_TAGS,
    ONE_VALUE,
    PARTS,
    REPEATED_TAGS,
    TRACK_TEXT,
)
from tests.iso8583.mini import dialect

# what is wrong, the field in TOML ("@": name and title of a part), the value, the text of the error
ROWS: tuple[tuple[str, str, Any, str], ...] = (
    (
        "text too long",
        DIGITS,
        "11111111111111111111",
        "48: expected 2 to 19 characters, got 20",
    ),
    (
        "text too short",
        DIGITS,
        "1",
        "48: expected 2 to 19 characters, got 1",
    ),
    (
        "nibbles are counted, not characters",
        """
        class = "n"
        encoding = "ascii"
        length = { prefix = "bcd", digits = 2, max = 6, unit = "nibbles" }
        """,
        "1234",
        "48: expected 0 to 6 nibbles, got 8",
    ),
    (
        "an odd number of digits where only bytes are counted",
        BCD_BYTES,
        "123",
        "48: expected an even number of digits, got 3",
    ),
    (
        "lower-case hex digits",
        """
        class = "h"
        encoding = "ascii"
        length = { fixed = 4 }
        """,
        "abcd",
        "48: expected hex digits in upper case, got 'a' at 0",
    ),
    (
        "Persian in EBCDIC",
        """
        class = "ans"
        encoding = "ebcdic"
        length = { fixed = 1 }
        """,
        "آ",
        "48: expected printable ASCII, got '\\u0622' at 0",
    ),
    (
        "a wrong sign",
        AMOUNT_SHORT,
        "X123",
        "48: expected C or D, then digits, got another sign",
    ),
    (
        "a letter in an amount",
        AMOUNT_SHORT,
        "C12x",
        "48: expected C or D, then digits, got 'x' at 3",
    ),
    (
        "an amount too long",
        AMOUNT_BCD_SHORT,
        "C12345",
        "48: expected 5 digits, got 6",
    ),
    (
        "a number for an amount",
        AMOUNT_BCD_SHORT,
        1234,
        "48: expected a text of C or D, then digits, got int",
    ),
    (
        "another value than the only one",
        ONE_VALUE,
        "OSI",
        "48: expected ISO, got another value",
    ),
    (
        "a value longer than the fill leaves room for",
        FILLED_TEXT,
        "abcd",
        "48: expected 0 to 3 characters, got 4",
    ),
    (
        "nothing where a digit must stay",
        """
        class = "n"
        encoding = "bcd"
        length = { fixed = 4 }
        pad = { side = "left", character = "0" }
        """,
        "",
        "48: expected 1 to 4 digits, got 0",
    ),
    (
        "bytes too long for hex",
        HEX_BYTES,
        b"abc",
        "48: expected 2 bytes, got 3",
    ),
    (
        "a track with ^",
        TRACK_TEXT,
        "123^4",
        "48: expected track 2 characters, got '^' at 3",
    ),
    (
        "a tag of another size",
        LETTER_TAGS,
        {"ABC": b""},
        "48: expected tags of 2 characters, got another name",
    ),
    (
        "a second tag",
        LETTER_TAGS,
        {"AB": "1", "AB#2": "2"},
        "48: expected each tag once, got a second one",
    ),
    (
        "a tag too long",
        LETTER_TAGS,
        {"AB": "123456"},
        "48.AB: expected 1 to 5 characters, got 6",
    ),
    (
        "an unknown tag as text",
        LETTER_TAGS,
        {"ZZ": "1"},
        "48.ZZ: expected bytes (the tag is unknown), got str",
    ),
    (
        "a number as a tag",
        LETTER_TAGS,
        {7: b""},
        "48: expected tags named by text, got another name",
    ),
    (
        "no BER tag",
        BER_TAGS,
        {"9F": b""},
        "48: expected BER tags in upper-case hex, got another name",
    ),
    (
        "padding that is none",
        BER_TAGS,
        {"00": b"\x00"},
        "48: expected BER tags in upper-case hex, got another name",
    ),
    (
        "a fault within a tag",
        NESTED_TAGS,
        {"70": {"9A": "12"}},
        "48.70.9A: expected 6 digits, got 2",
    ),
    (
        "too much in a composite",
        NESTED_TAGS,
        {"70": {"DF01": bytes(60)}},
        "48.70: expected 0 to 50 bytes, got 63",
    ),
    (
        "text for a composite",
        PARTS,
        "12abc",
        "48: expected a mapping of parts, got str",
    ),
    (
        "a part missing",
        PARTS,
        {"2": "abc"},
        "48.1: expected this part of its field, got none",
    ),
    (
        "a part the field hasn't",
        PARTS,
        {"1": "12", "3": "x"},
        "48: expected parts of this field, by number, got another name",
    ),
    (
        "groups out of order",
        GROUPS,
        {"1": {"1": "01", "2": "C001"}, "3": {"1": "01", "2": "C001"}},
        "48: expected groups named 1, 2, 3 ..., got another name",
    ),
    (
        "a group too many",
        GROUPS,
        {"1": {"1": "01", "2": "C001"}, "2": {"1": "01", "2": "C001"}, "3": {"1": "01", "2": "C001"}},
        "48: expected at most 2 groups, got 3",
    ),
    (
        "a fault in a group",
        GROUPS,
        {"1": {"1": "01", "2": "C001"}, "2": {"1": "0x", "2": "C001"}},
        "48.2.1: expected digits, got 'x' at 1",
    ),
    (
        "a bit the field hasn't",
        BITMAPPED,
        {"2": "42"},
        "48: expected parts of this field, by number, got another name",
    ),
    (
        "bytes for a bitmapped field",
        BITMAPPED,
        b"\x80",
        "48: expected a mapping of parts, got bytes",
    ),
    (
        "repeated tags out of order",
        REPEATED_TAGS,
        {"01#2": b"", "01": b""},
        "48: expected repeated tags as TAG, TAG#2, TAG#3 in this order, got another name",
    ),
    (
        "a repetition without its first",
        REPEATED_TAGS,
        {"01": b"", "01#3": b""},
        "48: expected repeated tags as TAG, TAG#2, TAG#3 in this order, got another name",
    ),
    (
        "an unknown tag where none may be",
        """
        class = "tlv"
        length = { prefix = "bcd", digits = 3, max = 999 }
        tlv = { tag_bytes = 1, length_bytes = 1, unknown = "refuse" }
        """,
        {"01": b""},
        "48: expected tags of this dialect, got another",
    ),
)


@pytest.mark.parametrize(("body", "value", "words"), [pytest.param(*row[1:], id=row[0]) for row in ROWS])
def test_refusal(body: str, value: Any, words: str) -> None:
    one = dialect(body)
    for encode in (one.encode, lambda message: Dialect.encode(one, message)):
        with pytest.raises(EncodeError) as caught:
            encode(Message("0200", {"48": value}))
        assert str(caught.value) == words
        assert words == f"{caught.value.path}: expected {caught.value.expected}, got {caught.value.got}"
