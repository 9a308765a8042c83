"""The shared sample messages: both codecs make fields of the bytes and the bytes of the fields."""

from __future__ import annotations

import json
from typing import Any

import pytest

from switch.iso8583 import Message, Value, load
from terminal import message as terminal_message
from tests.iso8583 import oracle

VAFA = load("vafa")
VECTORS = json.loads(oracle.VECTORS.read_text(encoding="utf-8"))
EVERY_VECTOR = pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])


def value_of(written: Any) -> Any:
    """A value of the file as the codecs hold it."""
    if isinstance(written, dict):
        return {tag: value_of(value) for tag, value in written.items()}
    return bytes.fromhex(written[2:]) if written.startswith("0x") else written


def switch_fields(vector: dict[str, Any]) -> dict[str, Value]:
    return {number: value_of(value) for number, value in vector["fields"].items()}


def terminal_fields(vector: dict[str, Any]) -> dict[int, Any]:
    fields: dict[int, Any] = {}
    for number, value in switch_fields(vector).items():
        if isinstance(value, dict):
            fields[int(number)] = {int(tag, 16): content for tag, content in value.items()}
        else:
            fields[int(number)] = value
    return fields


def test_the_file_is_what_the_oracle_writes() -> None:
    assert oracle.VECTORS.read_text(encoding="utf-8") == oracle.rendered(), (
        "run python -m tests.iso8583.oracle"
    )


def test_every_message_of_the_dialect_has_a_vector() -> None:
    named = {mti for rule in VAFA.dictionary.messages for mti in rule.mtis}
    assert {vector["mti"] for vector in VECTORS} == named


def test_every_field_and_tag_of_the_dialect_stands_in_a_vector() -> None:
    fields = VAFA.dictionary.fields.values()
    known = {field.path for field in fields} | {tag.path for field in fields for tag in field.tags.values()}
    used = {path for vector in VECTORS for path in Message(vector["mti"], switch_fields(vector))}
    assert known - used == set()
    assert used - known == {"48.7F", "48.A0"}


@EVERY_VECTOR
def test_the_switch_decodes_it(vector: dict[str, Any]) -> None:
    message = VAFA.decode(bytes.fromhex(vector["hex"]))
    assert message.mti == vector["mti"]
    assert message.fields == switch_fields(vector)


@EVERY_VECTOR
def test_the_switch_encodes_it(vector: dict[str, Any]) -> None:
    fields = switch_fields(vector)
    message = Message(vector["mti"], dict(reversed(fields.items())))
    assert VAFA.encode(message).hex() == vector["hex"]
    assert message.fields == fields


@EVERY_VECTOR
def test_the_switch_finds_it_complete(vector: dict[str, Any]) -> None:
    assert VAFA.check(VAFA.decode(bytes.fromhex(vector["hex"]))) == []


@EVERY_VECTOR
def test_body_and_mac_are_told_apart(vector: dict[str, Any]) -> None:
    data = bytes.fromhex(vector["hex"])
    body, mac = VAFA.split_mac(data)
    assert (body, mac) == (data[:-8], bytes.fromhex(oracle.MAC))
    assert VAFA.encode_body(VAFA.decode(data)) == body
    fields = switch_fields(vector)
    without_mac = {number: value for number, value in fields.items() if number not in ("64", "128")}
    assert VAFA.encode_body(Message(vector["mti"], without_mac)) == body


@EVERY_VECTOR
def test_the_firmware_unpacks_it(vector: dict[str, Any]) -> None:
    mti, fields = terminal_message.unpack(bytes.fromhex(vector["hex"]))
    assert mti == vector["mti"]
    assert fields == terminal_fields(vector)


@EVERY_VECTOR
def test_the_firmware_packs_it(vector: dict[str, Any]) -> None:
    assert terminal_message.pack(vector["mti"], terminal_fields(vector)).hex() == vector["hex"]


@EVERY_VECTOR
def test_the_firmware_makes_room_for_the_mac(vector: dict[str, Any]) -> None:
    data = bytes.fromhex(vector["hex"])
    fields = terminal_fields(vector)
    for number in (64, 128):
        fields.pop(number, None)
    covered: list[bytes] = []

    def mac(body: bytes) -> bytes:
        covered.append(body)
        return bytes.fromhex(oracle.MAC)

    assert terminal_message.pack(vector["mti"], fields, mac) == data
    assert covered == [data[:-8]]
    assert terminal_message.split_mac(data) == (data[:-8], data[-8:])


KEY_SERIAL_BYTES = 15  # DE 53 with its length, which comes with the keys of part C
REQUEST_BUDGET_BYTES = 120
ANSWER_BUDGET_BYTES = 90


def test_the_reference_earn_stays_within_its_budget_on_the_wire() -> None:
    request = {
        3: "210060",
        4: "000002500000",
        11: "000004",
        12: "204514",
        13: "1121",
        22: "021",
        24: "003",
        25: "00",
        35: "9364001234567890=29121010000",
        41: "10000001",
        42: "100000000000001",
        48: {0x7F: bytes(16)},  # 20 bytes in all
        49: "364",
        60: "000001",
    }
    packed = terminal_message.pack("0200", request, lambda body: bytes(8))
    assert len(packed) + KEY_SERIAL_BYTES <= REQUEST_BUDGET_BYTES
    answer = next(vector for vector in VECTORS if vector["name"] == "earn answer")
    assert list(answer["fields"]["48"]) == ["01", "02", "04", "05"]
    assert len(answer["hex"]) // 2 <= ANSWER_BUDGET_BYTES
