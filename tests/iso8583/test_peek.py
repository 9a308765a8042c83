"""A few values without the rest, and the lengths alone: what is looked at, what isn't, what is refused."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from switch.iso8583 import DecodeError, Dialect, Message, load, samples, shapes, shipped
from tests.iso8583.oracle import sample
from tests.iso8583.strategies import messages

EARN = sample("earn, swiped, odd track 2")
REDEEM = sample("redeem, typed card number, PIN block, key serial")
ROUTING = ("mti", "2", "3", "4", "11", "41", "42")


@pytest.fixture(params=["cold", "hot"])
def vafa(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Dialect:
    """The dialect before and after it made functions for what it sees."""
    uses = shapes.USES_BEFORE_COMPILING if request.param == "cold" else 1
    monkeypatch.setattr(shapes, "USES_BEFORE_COMPILING", uses)
    dialect = Dialect(load("vafa").dictionary)
    if request.param == "hot":
        for data in (EARN, REDEEM):
            for names in (ROUTING, ("11", "41"), ("48", "52"), ("64",)):
                dialect.peek(data, names)
                dialect.walk(data)
        assert len(dialect.shapes.peekers) == 8
        assert len(dialect.shapes.walkers) == 2
    return dialect


def test_values_come_in_the_order_asked_for(vafa: Dialect) -> None:
    assert list(vafa.peek(EARN, ROUTING).items()) == [
        ("mti", "0200"),
        ("3", "210060"),
        ("4", "000002500000"),
        ("11", "000004"),
        ("41", "10000001"),
        ("42", "100000000000001"),
    ]
    assert list(vafa.peek(REDEEM, ["42", "2", "mti"])) == ["42", "2", "mti"]


@pytest.mark.parametrize(
    "names", [(), ("99",), ("128", "70"), ("nothing", "", "0", "-1", "2.3.4", "48.99", "header.1")]
)
def test_what_isnt_there_is_left_out(vafa: Dialect, names: Sequence[str]) -> None:
    for _ in range(3):
        assert vafa.peek(EARN, names) == {}


def test_bytes_tags_and_paths_into_tags(vafa: Dialect) -> None:
    for _ in range(3):
        found = vafa.peek(REDEEM, ("48.01", "52", "53", "48"))
        assert found == {
            "48.01": "000000000100",
            "52": bytes.fromhex("00112233445566778899aabbccddeeff"),
            "53": bytes.fromhex("010102030405060708090a0b0c"),
            "48": {"01": "000000000100"},
        }


def test_the_content_of_other_fields_isnt_looked_at(vafa: Dialect) -> None:
    """DE 25 is no number here: who asks for other fields doesn't hear of it, who asks for it does."""
    at = EARN.index(bytes.fromhex("0021000300")) + 4
    damaged = EARN[:at] + b"\xaa" + EARN[at + 1 :]
    assert vafa.peek(damaged, ("11", "41")) == {"11": "000004", "41": "10000001"}
    assert vafa.peek(damaged, ROUTING) == vafa.peek(EARN, ROUTING)
    assert vafa.walk(damaged) == len(damaged)
    with pytest.raises(DecodeError) as caught:
        vafa.peek(damaged, ("25",))
    assert (caught.value.path, caught.value.offset) == ("25", at)


def test_lengths_are_checked_to_the_end(vafa: Dialect) -> None:
    """The length of DE 60, behind all that is asked for, says too much."""
    at = EARN.rindex(bytes.fromhex("0006000001"))
    for damaged, path in (
        (EARN[:at] + b"\x09\x99" + EARN[at + 2 :], "60"),
        (EARN[:at] + b"\x00\x0a" + EARN[at + 2 :], "60"),
        (EARN[:-1], "64"),
        (EARN + b"\0", "message"),
        (EARN[:10], "3"),
    ):
        with pytest.raises(DecodeError) as peeked:
            vafa.peek(damaged, ("11", "41"))
        with pytest.raises(DecodeError) as walked:
            vafa.walk(damaged)
        with pytest.raises(DecodeError) as decoded:
            vafa.decode(damaged)
        assert decoded.value.path == path
        assert str(peeked.value) == str(walked.value) == str(decoded.value)
        assert peeked.value.response_code == "30"


@pytest.mark.parametrize("data", [b"", b"\x02", b"\x02\x00", EARN[:9], b"\xff" * 40, b"\x0a" + EARN[1:]])
def test_what_has_no_head_is_refused(vafa: Dialect, data: bytes) -> None:
    for _ in range(3):
        with pytest.raises(DecodeError) as peeked:
            vafa.peek(data, ("mti",))
        with pytest.raises(DecodeError) as decoded:
            Dialect.decode(vafa, data)
        assert str(peeked.value) == str(decoded.value)


def test_walk_gives_the_end(vafa: Dialect) -> None:
    assert vafa.walk(EARN) == len(EARN)
    assert vafa.walk(REDEEM) == len(REDEEM)


PEEKER = Dialect(load("vafa").dictionary)


@given(messages(), st.lists(st.sampled_from(sorted(PEEKER.dictionary.fields)), unique=True))
def test_peek_sees_what_decode_sees(message: Message, numbers: list[int]) -> None:
    data = PEEKER.encode(message)
    names = tuple(map(str, numbers))
    wanted = {name: message.fields[name] for name in names if name in message.fields}
    for _ in range(2):
        assert PEEKER.peek(data, names) == wanted
    assert PEEKER.walk(data) == len(data)


@pytest.mark.parametrize("name", shipped())
def test_every_path_of_every_sample(name: str) -> None:
    dialect = load(name)
    for entry in samples(name):
        message = dialect.decode(entry.data)
        paths = ("mti", *message)
        expected = {"mti": message.mti, **{path: message[path] for path in message}}
        assert dialect.peek(entry.data, paths) == expected
        assert dialect.walk(entry.data) == len(entry.data)
        for path in paths:
            assert dialect.peek(entry.data, [path]) == {path: expected[path]}
