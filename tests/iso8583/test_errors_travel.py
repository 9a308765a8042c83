"""Errors of the kit go through copies and pickles whole, as pools of processes send them."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TypeVar

import pytest

from switch import iso8583
from switch.iso8583 import DecodeError, Dialect, DialectError, EncodeError, Message

CARD = "4000001234562"
Thing = TypeVar("Thing")


def pickled(thing: Thing) -> Thing:
    return pickle.loads(pickle.dumps(thing))  # type: ignore[no-any-return]


WAYS: tuple[Callable[[Exception], Exception], ...] = (copy.copy, copy.deepcopy, pickled)


def torn() -> DecodeError:
    """A message whose field 41 breaks off, with a card number in a field that isn't masked for it."""
    dialect = iso8583.load("iso87-ascii")
    data = dialect.encode(
        Message("0200", {"3": "000000", "11": "000123", "37": f"{CARD[:12]}", "41": "TERM0001"})
    )
    with pytest.raises(DecodeError) as caught:
        dialect.decode(data[:-3])
    return caught.value


@pytest.mark.parametrize("way", WAYS)
def test_a_decode_error_arrives_whole(way: Callable[[DecodeError], DecodeError]) -> None:
    error = torn()
    error.add_note("seen on line 7")
    other = way(error)
    assert (other.path, other.offset, other.expected, other.got) == ("41", 44, "8 bytes", "5")
    assert (str(other), other.response_code) == (str(error), "30")
    assert other.__notes__ == ["seen on line 7"]
    assert error.partial is not None
    assert other.partial == error.partial
    assert other.partial is not None
    assert other.partial.describe() == error.partial.describe()
    assert other.partial.to_document() == error.partial.to_document()
    assert repr(other.partial) == repr(error.partial)


def test_no_bytes_of_the_message_travel_beside_its_fields() -> None:
    dialect = iso8583.load("iso87-ascii")
    data = dialect.encode(Message("0200", {"2": CARD, "11": "000123"}))
    with pytest.raises(DecodeError) as caught:
        dialect.decode(data[: 22 + len(CARD) + 1])  # within 11
    assert caught.value.partial is not None
    assert caught.value.partial.fields == {"2": CARD}
    assert pickle.dumps(caught.value).count(CARD.encode()) == 1
    with pytest.raises(DecodeError) as caught:
        dialect.decode(data[: 21 + len(CARD)])  # within the card number: nothing was decoded
    assert CARD[:12].encode() not in pickle.dumps(caught.value)


def decode_in_worker(data: bytes) -> Message:
    return iso8583.load("iso87-ascii").decode(data)


def test_a_pool_of_processes_tells_what_is_wrong() -> None:
    with ProcessPoolExecutor(1) as pool, pytest.raises(DecodeError) as caught:
        pool.submit(decode_in_worker, b"0200ZZ").result()
    assert (caught.value.path, caught.value.offset) == ("bitmap", 4)
    assert caught.value.response_code == "30"


@pytest.mark.parametrize("way", WAYS)
def test_an_encode_error_arrives_whole(way: Callable[[EncodeError], EncodeError]) -> None:
    other = way(EncodeError("48.01", "6 digits", "5"))
    assert (other.path, other.expected, other.got) == ("48.01", "6 digits", "5")
    assert str(other) == "48.01: expected 6 digits, got 5"


@pytest.mark.parametrize("way", WAYS)
def test_a_dialect_error_arrives_whole(way: Callable[[DialectError], DialectError], tmp_path: Path) -> None:
    base, file = tmp_path / "base.toml", tmp_path / "mine.toml"
    base.write_text('[dialect]\nname = "Base"\n', encoding="utf-8")
    file.write_text('[dialect]\nname = "Mine"\nextends = "base.toml"\nversion = 0\n', encoding="utf-8")
    with pytest.raises(DialectError) as caught:
        Dialect.load(file)
    error, other = caught.value, way(caught.value)
    assert len({where for where, _mistake in error.located}) == 2
    assert (other.located, other.mistakes, other.file) == (error.located, error.mistakes, error.file)
    assert (str(other), other.line, other.remedy) == (str(error), error.line, error.remedy)
