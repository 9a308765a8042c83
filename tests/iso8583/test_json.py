"""Messages as JSON: masked unless revealed, restored exactly, never made of what a mask left over."""

from __future__ import annotations

import json
from typing import Any

import pytest

from switch import iso8583
from switch.iso8583 import EncodeError, Message
from tests.iso8583 import any_dialect, mini

ISO = iso8583.load("iso87-bcd")
SINK = any_dialect.dialect("kitchen-sink")
GROUPS = mini.dialect(
    """
    class = "positional"
    repeat = 2
    length = { prefix = "ascii", digits = 2, max = 20 }
    [.subfields.1]
    @
    class = "n"
    encoding = "ascii"
    length = { fixed = 2 }
    """,
    54,
)
CARD = "4111111111111111"
MESSAGE = Message(
    "0200",
    {
        "2": CARD,
        "4": "000000002500",
        "35": CARD + "=29121010000",
        "52": bytes(8),
        "55": {"9F36": b"\x00\x1c", "57": CARD + "=2912", "DF01": b"\x01"},
        "60": "* stars and [hidden] are content =...",
    },
    ISO.dictionary,
)


def test_masked_json() -> None:
    assert json.loads(MESSAGE.to_json()) == {
        "schema": "vafa.message/1",
        "dialect": "iso87-bcd",
        "mti": "0200",
        "masked": True,
        "fields": {
            "2": "411111******1111",
            "4": "000000002500",
            "35": "411111******1111=...",
            "52": "[hidden]",
            "55": {"9F36": "001C", "57": "411111******1111=...", "DF01": "01"},
            "60": "* stars and [hidden] are content =...",
        },
    }
    assert MESSAGE.to_document() == json.loads(MESSAGE.to_json())


def test_revealed_json_is_restored_exactly() -> None:
    text = MESSAGE.to_json(reveal=True)
    document = json.loads(text)
    assert document["masked"] is False
    assert document["fields"]["2"] == CARD
    assert document["fields"]["55"] == {"9F36": "0x001C", "57": CARD + "=2912", "DF01": "0x01"}
    restored = Message.from_json(text, ISO)
    assert restored == MESSAGE
    assert ISO.encode(restored) == ISO.encode(MESSAGE)
    assert list(restored) == list(MESSAGE), "tags keep their order"


def test_masked_json_is_refused() -> None:
    with pytest.raises(EncodeError) as caught:
        Message.from_json(MESSAGE.to_json(), ISO)
    assert str(caught.value) == "message: expected a message that is not masked, got a masked one"


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"2": "411111******1111"}, "2"),
        ({"35": "411111******1111=..."}, "35"),
        ({"45": "411111******1111^..."}, "45"),
        ({"52": "[hidden]"}, "52"),
        ({"64": "[8 bytes hidden]"}, "64"),
        ({"55": {"5A": "411111******1111"}}, "55.5A"),
        ({"48": "paid with 411111******1111"}, "48"),
    ],
)
@pytest.mark.parametrize("told", [{}, {"masked": False}])
def test_masked_values_are_refused(fields: dict[str, Any], path: str, told: dict[str, bool]) -> None:
    document = {"mti": "0200", "fields": fields, **told}
    if told and path == "48":
        return_value = Message.from_document(document, ISO)
        assert return_value["48"] == fields["48"], (
            "in free text that is told not to be masked, stars are content"
        )
        return
    with pytest.raises(EncodeError) as caught:
        Message.from_document(document, ISO)
    assert str(caught.value) == f"{path}: expected a value that is not masked, got a masked one"


REFUSED = (
    ("nothing", "", "message: expected JSON, got something else"),
    ("half", '{"mti": "0200", ', "message: expected JSON, got something else"),
    ("a list", "[]", "message: expected a JSON object, got list"),
    ("no MTI", '{"fields": {}}', "mti: expected 4 digits, got nothing"),
    ("a number as MTI", '{"mti": 200, "fields": {}}', "mti: expected 4 digits, got int"),
    ("no fields", '{"mti": "0200"}', "message: expected fields as a JSON object, got nothing"),
    (
        "another schema",
        '{"schema": "other/1", "mti": "0200", "fields": {}}',
        "message: expected schema vafa.message/1, got another",
    ),
    (
        "another dialect",
        '{"dialect": "vafa", "mti": "0200", "fields": {}}',
        "message: expected a message of iso87-bcd, got one of another dialect",
    ),
    (
        "a key too many",
        '{"mti": "0200", "fields": {}, "field": {}}',
        "message: expected schema, dialect, mti, masked, fields, got another key",
    ),
    ("a number", '{"mti": "0200", "fields": {"4": 2500}}', "4: expected a text, got int"),
    ("null", '{"mti": "0200", "fields": {"4": null}}', "4: expected a text, got nothing"),
    (
        "bytes without mark",
        '{"mti": "0200", "fields": {"64": "0102030405060708"}}',
        "64: expected bytes as 0x and hex digits, got another text",
    ),
    (
        "odd hex",
        '{"mti": "0200", "fields": {"64": "0x012"}}',
        "64: expected bytes as 0x and hex digits, got another text",
    ),
    (
        "no hex",
        '{"mti": "0200", "fields": {"64": "0x01 2"}}',
        "64: expected bytes as 0x and hex digits, got another text",
    ),
    (
        "an unknown tag as text",
        '{"mti": "0200", "fields": {"55": {"DF01": "01"}}}',
        "55.DF01: expected bytes as 0x and hex digits, got another text",
    ),
    (
        "deeper than any dialect",
        '{"mti": "0200", "fields": ' + '{"55":' * 500 + '"1"' + "}" * 501,
        "55.55: expected bytes as 0x and hex digits, got dict",
    ),
    (
        "tags as a text",
        '{"mti": "0200", "fields": {"55": "0x0"}}',
        "55: expected a JSON object of tags, got str",
    ),
    (
        "tags as null",
        '{"mti": "0200", "fields": {"55": null}}',
        "55: expected a JSON object of tags, got nothing",
    ),
    (
        "tags as a list",
        '{"mti": "0200", "fields": {"55": []}}',
        "55: expected a JSON object of tags, got list",
    ),
    ("a text as an object", '{"mti": "0200", "fields": {"4": {"1": "2"}}}', "4: expected a text, got dict"),
    (
        "bytes as an object",
        '{"mti": "0200", "fields": {"64": {}}}',
        "64: expected bytes as 0x and hex digits, got dict",
    ),
    (
        "a tag as an object",
        '{"mti": "0200", "fields": {"55": {"9F02": {"1": "2"}}}}',
        "55.9F02: expected a text, got dict",
    ),
    (
        "an unknown tag as an object",
        '{"mti": "0200", "fields": {"55": {"DF01": {}}}}',
        "55.DF01: expected bytes as 0x and hex digits, got dict",
    ),
    ("true", '{"mti": "0200", "fields": {"4": true}}', "4: expected a text, got bool"),
    (
        "half a character",
        '{"mti": "0200", "fields": {"43": "caf\\ud800"}}',
        "43: expected a text, got half a character (a lone surrogate)",
    ),
    (
        "half a character in a name",
        '{"mti": "0200", "fields": {"55": {"\\udfff": "0x01"}}}',
        "55: expected names this dialect gives its parts, got another name",
    ),
    (
        "an unknown field",
        '{"mti": "0200", "fields": {"1999": "0x01"}}',
        "message: expected fields of this dialect, by number, got another name",
    ),
    (
        "a path for a field",
        '{"mti": "0200", "fields": {"55.9F02": "000000000100"}}',
        "message: expected fields of this dialect, by number, got another name",
    ),
    (
        "a field twice",
        '{"mti": "0200", "fields": {"11": "000001", "11": "000002"}}',
        "message: expected every name once in an object, got one twice",
    ),
    ("letters as MTI", '{"mti": "02x0", "fields": {}}', "mti: expected 4 digits, got another text"),
    ("deep nesting", '{"mti": "0200", "fields": ' + '{"55":' * 5000 + "1" + "}" * 5001, None),
)


@pytest.mark.parametrize(("text", "words"), [pytest.param(*row[1:], id=row[0]) for row in REFUSED])
def test_refused(text: str, words: str | None) -> None:
    with pytest.raises(EncodeError) as caught:
        Message.from_json(text, ISO)
    if words is not None:
        assert str(caught.value) == words


def test_too_much_is_refused() -> None:
    with pytest.raises(
        EncodeError, match=r"^message: expected at most 8000000 characters of JSON, got more$"
    ):
        Message.from_json(" " * 8_000_001, ISO)


def test_a_message_by_hand_has_no_dialect_in_its_json() -> None:
    assert "dialect" not in Message("0800", {"11": "000001"}).to_document()
    text = '{"mti": "0800", "fields": {"11": "000001"}}'
    assert Message.from_json(text, ISO) == Message("0800", {"11": "000001"})


def test_an_empty_secondary_bitmap_is_restored() -> None:
    one = any_dialect.dialect("loose-bitmap")
    message = one.decode(bytes.fromhex("0200" + "a" + "0" * 31 + "000000"))
    assert message["1"] == bytes(8)
    assert Message.from_json(message.to_json(reveal=True), one) == message
    assert one.check(message) == []


def test_parts_and_groups_are_held_to_their_names() -> None:
    sink = Message.from_json('{"mti": "0200", "fields": {"54": {"1": {"1": "00"}}}}', GROUPS)
    assert sink["54.1.1"] == "00"
    for fields, words in (
        ('{"54": {"1": "00"}}', "54.1: expected a JSON object of parts, got str"),
        ('{"54": {"first": {}}}', "54: expected names this dialect gives its parts, got another name"),
        ('{"54": {"1": {"9": "00"}}}', "54.1: expected names this dialect gives its parts, got another name"),
        ('{"54": "00"}', "54: expected a JSON object of groups, got str"),
    ):
        with pytest.raises(EncodeError) as caught:
            Message.from_json(f'{{"mti": "0200", "fields": {fields}}}', GROUPS)
        assert str(caught.value) == words


def test_what_is_no_json_text_is_a_mistake_of_the_program() -> None:
    with pytest.raises(TypeError, match="from_json takes JSON as str, not bytes: decode bytes first"):
        Message.from_json(b"{}", ISO)  # type: ignore[arg-type]
