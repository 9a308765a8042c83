"""Frames survive every way a stream is cut; what can't be a frame ends the connection."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from switch.hsm_sim.framing import FrameReader, FramingError, Message, answer_command, frame

MESSAGES = st.lists(
    st.builds(
        Message, st.binary(min_size=4, max_size=4), st.binary(min_size=2, max_size=2), st.binary(max_size=300)
    ),
    max_size=12,
)


def on_the_wire(messages: list[Message]) -> bytes:
    return b"".join(frame(*message) for message in messages)


@given(MESSAGES, st.lists(st.integers(min_value=1, max_value=50)))
def test_any_cut_gives_the_same_messages(messages: list[Message], pieces: list[int]) -> None:
    stream, reader, found = on_the_wire(messages), FrameReader(), []
    for size in [*pieces, len(stream)]:
        reader.feed(stream[:size])
        stream = stream[size:]
        found += reader.messages(1000)
    assert found == messages
    assert reader.pending_bytes == 0


@given(MESSAGES, st.integers(min_value=1, max_value=3))
def test_messages_are_given_in_turns_of_any_size(messages: list[Message], turn: int) -> None:
    reader, found = FrameReader(), []
    reader.feed(on_the_wire(messages))
    while taken := reader.messages(turn):
        assert len(taken) <= turn
        found += taken
    assert found == messages


@pytest.mark.parametrize("header_bytes", [0, 1, 4, 12, 255])
def test_the_header_is_as_long_as_told(header_bytes: int) -> None:
    header = bytes(number % 256 for number in range(header_bytes))
    reader = FrameReader(header_bytes)
    reader.feed(frame(header, b"NC", b"rest"))
    assert reader.messages(1) == [Message(header, b"NC", b"rest")]


@pytest.mark.parametrize("length", [0, 1, 5])
def test_a_frame_too_short_for_header_and_command_is_an_error(length: int) -> None:
    reader = FrameReader()
    reader.feed(frame(b"HEAD", b"NC", b"") + length.to_bytes(2, "big") + bytes(length))
    assert reader.messages(10) == [Message(b"HEAD", b"NC", b"")]
    assert reader.failed
    for _ in range(2):
        with pytest.raises(FramingError):
            reader.messages(10)
    alone = FrameReader()
    alone.feed(length.to_bytes(2, "big") + bytes(length))
    with pytest.raises(FramingError):
        alone.messages(10)


def test_the_longest_frame_is_taken_and_held_once() -> None:
    reader = FrameReader()
    message = Message(b"HEAD", b"B2", bytes(0xFFFF - 6))
    reader.feed(frame(*message)[:-1])
    assert reader.messages(1) == []
    assert reader.pending_bytes == 0xFFFF + 1
    reader.feed(b"\0")
    assert reader.messages(1) == [message]
    assert reader.pending_bytes == 0


@pytest.mark.parametrize(
    ("command", "answer"),
    [(b"A0", b"A1"), (b"NC", b"ND"), (b"NO", b"NP"), (b"CY", b"CZ"), (b"\xff\xff", b"\xff\0")],
)
def test_the_answers_command_is_one_higher(command: bytes, answer: bytes) -> None:
    assert answer_command(command) == answer


def test_no_print_of_a_message_shows_its_body() -> None:
    assert "SECRET" not in repr(Message(b"HEAD", b"CC", b"SECRET"))


@given(st.lists(st.binary(max_size=600), max_size=20))
def test_any_stream_gives_messages_or_ends_and_holds_no_more_than_came(pieces: list[bytes]) -> None:
    reader, fed, taken = FrameReader(), 0, 0
    for piece in pieces:
        reader.feed(piece)
        fed += len(piece)
        try:
            taken += sum(2 + 4 + 2 + len(message.body) for message in reader.messages(1000))
        except FramingError:
            return
        assert reader.pending_bytes == fed - taken
        assert reader.pending_bytes < 2 + 0xFFFF
