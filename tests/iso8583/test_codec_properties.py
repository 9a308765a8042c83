"""What holds for every message and for every run of bytes, on both sides of the line."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from switch.iso8583 import DecodeError, Message, Value
from terminal import message as terminal_message
from tests.iso8583.oracle import SAMPLES
from tests.iso8583.strategies import VAFA, damage, messages
from tests.whole import WHOLE

WIRE = [bytes.fromhex(sample.hex) for sample in SAMPLES]
CORPUS_SIZE = 6000  # enough to reach every error row; about a second


def as_the_terminal_has_it(fields: Mapping[str, Value]) -> dict[int, Any]:
    return {
        int(number): {int(tag, 16): scalar for tag, scalar in value.items()}
        if isinstance(value, Mapping)
        else value
        for number, value in fields.items()
    }


def compare_both_sides(data: bytes) -> Message | None:
    """Decodes `data` on both sides: the same message, or an error at the same place."""
    decoded: Message | None = None
    refused = refused_there = ""
    there: tuple[str, dict[int, Any]] | None = None
    try:
        decoded = VAFA.decode(data)
    except DecodeError as error:
        refused = f"{error.path} {error.offset} {error.response_code}"
        offset = error.offset
    try:
        there = terminal_message.unpack(data)
    except terminal_message.DecodeError as error:
        refused_there = f"{error.path} {error.offset} {error.response_code}"
    assert refused == refused_there
    if decoded is None:
        assert 0 <= offset <= len(data)
    else:
        assert there == (decoded.mti, as_the_terminal_has_it(decoded.fields))
    return decoded


@given(messages())
def test_what_was_encoded_is_decoded(message: Message) -> None:
    before = repr(message), dict(message.fields)
    data = VAFA.encode(message)
    assert VAFA.decode(data) == message
    assert (repr(message), dict(message.fields)) == before
    assert compare_both_sides(data) == message


@given(messages())
def test_both_sides_write_the_same_bytes(message: Message) -> None:
    """Tags in ascending order, as the terminal sends them."""
    fields = {
        number: dict(sorted(value.items())) if isinstance(value, Mapping) else value
        for number, value in message.fields.items()
    }
    data = VAFA.encode(Message(message.mti, fields))
    assert terminal_message.pack(message.mti, as_the_terminal_has_it(fields)) == data
    assert terminal_message.split_mac(data) == VAFA.split_mac(data)


@given(messages())
def test_the_body_is_all_before_the_mac(message: Message) -> None:
    fields = {number: value for number, value in message.fields.items() if number not in ("64", "128")}
    place = "128" if any(int(number) > 64 for number in fields) else "64"
    mac = bytes(range(8))
    sealed = Message(message.mti, {**fields, place: mac})
    assert VAFA.encode_body(sealed) + mac == VAFA.encode(sealed)
    assert VAFA.encode_body(Message(message.mti, fields)) == VAFA.encode_body(sealed)
    assert VAFA.split_mac(VAFA.encode(sealed)) == (VAFA.encode_body(sealed), mac)


@settings(max_examples=500 if WHOLE else 250)
@given(st.sampled_from(WIRE), st.randoms(use_true_random=False))
def test_damaged_messages_meet_the_same_answer_on_both_sides(data: bytes, random: Random) -> None:
    decoded = compare_both_sides(damage(data, random))
    if decoded is not None:
        assert VAFA.decode(VAFA.encode(decoded)) == decoded


@given(st.binary(max_size=200))
@example(b"")
@example(b"\x02\x00" + b"\xff" * 40)
def test_any_bytes_meet_the_same_answer_on_both_sides(data: bytes) -> None:
    compare_both_sides(data)


@given(st.binary(max_size=60))
def test_any_tagged_data_meets_the_same_answer_on_both_sides(content: bytes) -> None:
    length = bytes.fromhex(f"{len(content):04}")
    compare_both_sides(bytes.fromhex("08000000000000010000") + length + content)


def test_a_seeded_corpus_meets_the_same_answer_and_survives_re_encoding() -> None:
    random = Random(8583)
    accepted = 0
    for number in range(CORPUS_SIZE):
        data = damage(WIRE[number % len(WIRE)], random)
        decoded = compare_both_sides(data)
        if decoded is not None:
            accepted += 1
            assert VAFA.encode(decoded) == data
    assert CORPUS_SIZE // 20 < accepted < CORPUS_SIZE // 2, "the damage is neither too mild nor too wild"


def test_bitmaps_from_strangers_do_not_pile_up() -> None:
    """Whatever shapes come, a message decodes as before and what is remembered stays bounded."""
    random = Random(1)
    numbers = [number for number in VAFA.dictionary.fields if number <= 64 and number != 48]
    values: dict[str, Value] = {}
    for sample in WIRE:
        values.update(VAFA.decode(sample).fields)
    for _ in range(2000):
        chosen = random.sample(numbers, random.randint(1, 8))
        message = Message("0200", {str(number): values[str(number)] for number in chosen})
        assert VAFA.decode(VAFA.encode(message)) == message
        VAFA.encode_body(message)
    for plans in (VAFA._decode_plans, VAFA._encode_plans, VAFA._body_plans):
        assert len(plans) <= 256
