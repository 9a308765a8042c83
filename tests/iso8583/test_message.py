"""A message as values: reading by path, order, equality."""

from __future__ import annotations

from typing import Any

import pytest

from switch import iso8583
from switch.iso8583 import Message

MESSAGE = Message(
    "0210", {"39": "00", "11": "000123", "48": {"7F": b"\x01", "01": "000000000250"}, "64": b"12345678"}
)


def test_reading_by_path() -> None:
    assert MESSAGE["11"] == "000123"
    assert MESSAGE["48.01"] == "000000000250"
    assert MESSAGE["48"] == {"7F": b"\x01", "01": "000000000250"}
    assert MESSAGE.get("35") is None
    assert MESSAGE.get("48.02") is None
    assert MESSAGE.get("11.01") is None
    assert MESSAGE.text("48.01") == "000000000250"


def test_membership() -> None:
    assert "39" in MESSAGE
    assert "48.7F" in MESSAGE
    assert "48.02" not in MESSAGE
    assert 39 not in MESSAGE


@pytest.mark.parametrize("path", ["35", "48.02", "11.01", "", "."])
def test_what_is_absent_is_named(path: str) -> None:
    with pytest.raises(KeyError) as caught:
        MESSAGE[path]
    assert caught.value.args == (path,)


@pytest.mark.parametrize("path", [3, b"39", None, ["39"], ("39",)])
def test_paths_are_text(path: Any) -> None:
    for call in (MESSAGE.get, MESSAGE.__getitem__):
        with pytest.raises(TypeError, match=r"^a path is text, not "):
            call(path)
    assert path not in MESSAGE


def test_the_mti_is_a_path_too() -> None:
    assert MESSAGE["mti"] == MESSAGE.text("mti") == "0210"
    assert "mti" in MESSAGE
    assert "mti" not in list(MESSAGE)
    assert "mti.1" not in MESSAGE


@pytest.mark.parametrize("path", ["48.01.", "48.", "11.", ".11", "48..01"])
def test_a_path_has_no_empty_steps(path: str) -> None:
    assert MESSAGE.get(path) is None


@pytest.mark.parametrize("uses", [1, 300])
@pytest.mark.parametrize("fields", ["11", b"11", 11, [11], None])
def test_peek_takes_a_sequence_of_paths(fields: Any, uses: int) -> None:
    dialect = iso8583.Dialect(iso8583.load("iso87-bcd").dictionary)
    data = bytes.fromhex("0800" + "0020000000000000" + "000001")
    for _use in range(uses - 1):
        assert dialect.peek(data, ["11"]) == {"11": "000001"}
        assert dialect.peek(data, ["1", "1"]) == {}
    with pytest.raises(TypeError, match=r'write \["mti", "11"\]$'):
        dialect.peek(data, fields)
    assert dialect.peek(data, ["11.", "mti"]) == {"mti": "0800"}
    assert dialect.peek(data, iter(["11"])) == {"11": "000001"}  # type: ignore[arg-type]


def test_text_refuses_bytes() -> None:
    with pytest.raises(TypeError, match=r"48\.7F is no text"):
        MESSAGE.text("48.7F")


def test_paths_go_by_number_and_tags_as_they_came() -> None:
    assert list(MESSAGE) == ["11", "39", "48.7F", "48.01", "64"]
    assert list(Message("0800", {"48": {}, "11": "000001"})) == ["11", "48"]


def test_equality_is_by_content() -> None:
    assert Message("0200", {"11": "1", "12": "2"}) == Message("0200", {"12": "2", "11": "1"})
    assert Message("0200", {"11": "1"}) != Message("0210", {"11": "1"})
    assert Message("0200", {"11": "1"}) != Message("0200", {"11": "2"})
    assert Message("0200", {}) != "0200"


@pytest.mark.parametrize("asked", ["abc", 5, None, [48, 56], {"2": "1"}])
@pytest.mark.parametrize("uses", [1, 300])
def test_what_is_no_bytes_is_a_mistake_of_the_program(asked: Any, uses: int) -> None:
    dialect = iso8583.load("iso87-bcd")
    for _use in range(uses - 1):
        dialect.decode(bytes.fromhex("0800" + "0020000000000000" + "000001"))
    for call in (
        dialect.decode,
        dialect.walk,
        dialect.spans,
        dialect.split_mac,
        lambda data: dialect.peek(data, ["11"]),
    ):
        with pytest.raises(TypeError, match=r"^a message is bytes, not "):
            call(asked)
    for call in (dialect.encode, iso8583.load("vafa").encode_body, dialect.check, dialect.name_of):
        with pytest.raises(TypeError, match=r"^a Message is wanted, not "):
            call(asked)


def test_a_text_is_told_how_to_become_bytes() -> None:
    with pytest.raises(TypeError, match=r"use bytes\.fromhex"):
        iso8583.load("iso87-bcd").decode("08002020")  # type: ignore[arg-type]


def test_any_kind_of_bytes_is_read() -> None:
    dialect = iso8583.load("iso87-bcd")
    data = bytes.fromhex("0800" + "0020000000000000" + "000001")
    for kind in (data, bytearray(data), memoryview(data)):
        assert dialect.decode(kind)["11"] == "000001"
        assert len(dialect.spans(kind)) == 3
