"""A message as values: reading by path, order, equality."""

from __future__ import annotations

import pytest

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
