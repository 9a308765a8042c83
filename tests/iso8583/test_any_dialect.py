"""What holds for every dialect: whatever was encoded is decoded, and nothing but a DecodeError comes out."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from switch.iso8583 import Dialect
from tests.iso8583 import any_dialect, fuzz
from tests.whole import WHOLE

MESSAGES = 150  # of each dialect
DAMAGED = 400  # of each dialect; `python -m tests.iso8583.fuzz` goes on for as long as one likes


@pytest.mark.parametrize("name", any_dialect.NAMES)
def test_what_was_encoded_is_decoded(name: str) -> None:
    one, random = any_dialect.dialect(name), Random(8583)
    for _ in range(MESSAGES):
        message = any_dialect.message(one, random)
        before = message.to_json(reveal=True)
        data = Dialect.encode(one, message)
        assert fuzz.judge(one, data) == "decoded"
        assert Dialect.decode(one, data) == message
        assert message.to_json(reveal=True) == before, "encoding changes nothing"
        assert one.walk(data) == len(data)


@pytest.mark.parametrize("name", any_dialect.NAMES)
def test_damage_meets_a_decode_error_or_a_message(name: str) -> None:
    one, random = any_dialect.dialect(name), Random(name)
    corpus = fuzz.corpus(name, random)
    outcomes = [fuzz.judge(one, fuzz.damaged(random.choice(corpus), random)) for _ in range(DAMAGED)]
    assert len(set(outcomes)) > 5, "the damage reached different places"


@settings(max_examples=400 if WHOLE else 200)
@given(st.sampled_from(any_dialect.NAMES), st.binary(max_size=200))
@example("kitchen-sink", b"")
@example("vafa", b"\x02\x00" + b"\xff" * 40)
@example("ebcdic93", b"\xf1\xf2\xf0\xf0" + b"\xff" * 40)
def test_any_bytes_meet_a_decode_error_or_a_message(name: str, data: bytes) -> None:
    fuzz.judge(any_dialect.dialect(name), data)


@pytest.mark.parametrize("name", any_dialect.NAMES)
def test_bytes_like_things_are_read_too(name: str) -> None:
    one, random = any_dialect.dialect(name), Random(3)
    data = one.encode(any_dialect.message(one, random))
    assert one.decode(bytearray(data)) == one.decode(memoryview(data)) == one.decode(data)
