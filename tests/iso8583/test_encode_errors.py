"""What can't be sent: values of ours that the dialect doesn't carry, refused before a byte is made."""

from __future__ import annotations

from typing import Any

import pytest

from switch.iso8583 import EncodeError, Message
from terminal import message as terminal_message
from tests.iso8583.strategies import VAFA

CARD = "9364001234567890"

# what is wrong, fields, the switch's words, the path the terminal names
ROWS = (
    ("too few digits", {"11": "1"}, "11: expected 6 digits, got 1"),
    ("too many digits", {"11": "1234567"}, "11: expected 6 digits, got 7"),
    ("no digits", {"11": "12345a"}, "11: expected digits, got 'a' at 5"),
    ("a sign", {"11": "+12345"}, "11: expected digits, got '+' at 0"),
    ("a space", {"11": " 12345"}, "11: expected digits, got ' ' at 0"),
    ("digits of another script", {"11": "۱۲۳۴۵۶"}, "11: expected digits, got '\\u06f1' at 0"),
    ("superscript digits", {"11": "12345²"}, "11: expected digits, got '\\xb2' at 5"),
    ("a number", {"11": 123456}, "11: expected a text of digits, got int"),
    ("bytes for digits", {"11": b"123456"}, "11: expected a text of digits, got bytes"),
    ("nothing", {"11": None}, "11: expected a text of digits, got NoneType"),
    ("a card number with a space", {"2": CARD[:8] + " " + CARD[8:]}, "2: expected digits, got ' ' at 8"),
    ("a card number too short", {"2": "9364001"}, "2: expected 8 to 19 digits, got 7"),
    ("a track with another separator", {"35": CARD + "D2912"}, "35: expected digits and =, got 'D' at 16"),
    ("a track too long", {"35": CARD + "=" + "1" * 21}, "35: expected 1 to 37 digits, got 38"),
    ("an empty track", {"35": ""}, "35: expected 1 to 37 digits, got 0"),
    ("bytes for a track", {"35": b"1"}, "35: expected a text of digits and =, got bytes"),
    ("a track in another script", {"35": "۱=۲"}, "35: expected digits and =, got '\\u06f1' at 0"),
    ("an accent", {"39": "0é"}, "39: expected letters and digits, got '\\xe9' at 1"),
    ("a space", {"37": "0A1B2C3D4E5 "}, "37: expected letters and digits, got ' ' at 11"),
    ("a control character", {"41": "1000000\n"}, "41: expected printable ASCII, got '\\n' at 7"),
    ("Persian letters", {"62": "فاکتور"}, "62: expected printable ASCII, got '\\u0641' at 0"),
    ("no characters", {"62": ""}, "62: expected 1 to 32 characters, got 0"),
    ("text for bytes", {"64": "12345678"}, "64: expected bytes, got str"),
    ("too few bytes", {"64": b"1234567"}, "64: expected 8 bytes, got 7"),
    ("text for tags", {"48": "0106"}, "48: expected a mapping of tags, got str"),
    (
        "too much tagged data",
        {"48": {"7F": bytes(200), "7E": bytes(52)}},
        "48: expected 0 to 255 bytes, got 256",
    ),
    ("a tag too long", {"48": {"7F": bytes(256)}}, "48.7F: expected at most 255 bytes, got 256"),
    ("text in an unknown tag", {"48": {"7F": "1"}}, "48.7F: expected bytes (the tag is unknown), got str"),
    ("bytes in a known tag", {"48": {"01": bytes(6)}}, "48.01: expected a text of digits, got bytes"),
    ("a known tag too short", {"48": {"01": "1"}}, "48.01: expected 12 digits, got 1"),
)


@pytest.mark.parametrize(("fields", "words"), [pytest.param(row[1], row[2], id=row[0]) for row in ROWS])
def test_exact_error(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(EncodeError) as caught:
        VAFA.encode(Message("0200", fields))
    error = caught.value
    assert str(error) == words == f"{error.path}: expected {error.expected}, got {error.got}"
    packed = {
        int(number): {int(tag, 16): scalar for tag, scalar in value.items()}
        if isinstance(value, dict)
        else value
        for number, value in fields.items()
    }
    with pytest.raises(terminal_message.EncodeError) as at_the_terminal:
        terminal_message.pack("0200", packed)
    assert at_the_terminal.value.path == error.path


@pytest.mark.parametrize("name", ["5", "1", "65", "129", "011", "0", "-1", "", "x", "۱۱", "48.01", CARD])
def test_a_field_the_dialect_has_not(name: str) -> None:
    with pytest.raises(EncodeError) as caught:
        VAFA.encode(Message("0200", {name: "000001"}))
    assert str(caught.value) == "message: expected fields of this dialect, by number, got another name"


@pytest.mark.parametrize("name", ["1", "7f", "001", "", "points"])
def test_a_tag_that_is_no_byte(name: str) -> None:
    with pytest.raises(EncodeError) as caught:
        VAFA.encode(Message("0200", {"48": {name: b""}}))
    assert str(caught.value) == "48: expected tags of two upper-case hex digits, got another name"


@pytest.mark.parametrize("mti", ["", "020", "02000", "02a0", " 200", "۰۲۰۰"])
def test_an_mti_that_is_none(mti: str) -> None:
    with pytest.raises(EncodeError) as caught:
        VAFA.encode(Message(mti, {}))
    assert str(caught.value) == "mti: expected 4 digits, got something else"
    with pytest.raises(terminal_message.EncodeError) as at_the_terminal:
        terminal_message.pack(mti, {})
    assert at_the_terminal.value.path == caught.value.path


def test_a_body_is_held_to_the_same_rules() -> None:
    with pytest.raises(EncodeError, match=r"^11: expected 6 digits, got 1$"):
        VAFA.encode_body(Message("0200", {"11": "1"}))


def test_the_firmware_makes_one_mac_only() -> None:
    with pytest.raises(terminal_message.EncodeError) as caught:
        terminal_message.pack("0200", {64: bytes(8)}, lambda body: bytes(8))
    assert str(caught.value) == "64 can't be packed"


def test_the_firmware_refuses_a_mac_of_another_size() -> None:
    with pytest.raises(terminal_message.EncodeError) as caught:
        terminal_message.pack("0800", {70: "001"}, lambda body: bytes(16))
    assert str(caught.value) == "128 can't be packed"
