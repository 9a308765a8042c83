"""Frames come out of the stream the same however it was cut, and what is no frame ends it."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from switch.link.framing import (
    MAXIMUM_FRAME_BYTES,
    Frame,
    FrameReader,
    FramingError,
    TpduRule,
    answer_tpdu,
    frame,
)

TPDU = bytes.fromhex("6000030000")
PAYLOAD = bytes.fromhex("08000020000000000000000001")
KEEP_ALIVE = b"\x00\x00"

payloads = st.binary(min_size=10, max_size=300).filter(lambda payload: payload[0] != 0x60)
tpdus = st.none() | st.binary(min_size=4, max_size=4).map(lambda addresses: b"\x60" + addresses)
frames = st.lists(st.builds(Frame, payloads, tpdus), max_size=12)


def stream_of(sent: list[Frame]) -> bytes:
    return b"".join(frame(payload, tpdu) for payload, tpdu in sent)


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(min(place, len(stream)) for place in places), len(stream)]
    return [stream[start:stop] for start, stop in itertools.pairwise(edges)]


def read(pieces: list[bytes], tpdu: TpduRule = "auto") -> tuple[list[Frame], str | None]:
    """All frames of the pieces and the fault that ended the stream, if any."""
    reader = FrameReader(tpdu=tpdu)
    received: list[Frame] = []
    for now, piece in enumerate(pieces):
        try:
            received += reader.feed(piece, float(now))
        except FramingError as error:
            return [*received, *error.frames], str(error)
    return received, None


@given(frames, st.lists(st.integers(0, 4000)))
def test_frames_come_out_as_they_went_in(sent: list[Frame], places: list[int]) -> None:
    assert read(cut(stream_of(sent), places)) == (sent, None)


@given(frames)
def test_byte_by_byte(sent: list[Frame]) -> None:
    stream = stream_of(sent)
    assert read([stream[at : at + 1] for at in range(len(stream))]) == (sent, None)


@given(st.binary(max_size=400), st.lists(st.integers(0, 400)), st.sampled_from(["auto", "required", "none"]))
@example(frame(PAYLOAD) + KEEP_ALIVE + frame(PAYLOAD, TPDU) + b"\x00\x01x", [3, 17, 18, 30], "auto")
def test_any_bytes_read_the_same_however_they_are_cut(
    stream: bytes, places: list[int], tpdu: TpduRule
) -> None:
    assert read(cut(stream, places), tpdu) == read([stream], tpdu)


@given(frames, st.integers(0, 5000), st.integers(0, 255), st.lists(st.integers(0, 4000)))
def test_a_damaged_stream_reads_the_same_however_it_is_cut(
    sent: list[Frame], place: int, byte: int, places: list[int]
) -> None:
    damaged = bytearray(stream_of(sent) + frame(PAYLOAD))
    damaged[place % len(damaged)] = byte
    assert read(cut(bytes(damaged), places)) == read([bytes(damaged)])


def test_keep_alives_are_skipped() -> None:
    stream = KEEP_ALIVE * 3 + frame(PAYLOAD) + KEEP_ALIVE + frame(PAYLOAD)
    assert read([stream]) == ([Frame(PAYLOAD, None)] * 2, None)
    reader = FrameReader()
    assert reader.feed(KEEP_ALIVE, 1.0) == []
    assert reader.pending_since is None


FAULTS = (
    ("a length of one", "auto", b"\x00\x01", "length 1, expected 10 to 4096"),
    ("a length of nine", "none", b"\x00\x09", "length 9, expected 10 to 4096"),
    ("one byte too many", "auto", b"\x10\x01", "length 4097, expected 10 to 4096"),
    ("the greatest length there is", "auto", b"\xff\xff", "length 65535, expected 10 to 4096"),
    ("text", "auto", b"GET / HTTP/1.1\r\n", "length 18245, expected 10 to 4096"),
    ("no room behind the TPDU", "required", b"\x00\x0e", "length 14, expected 15 to 4096"),
    (
        "no TPDU where one must be",
        "required",
        frame(PAYLOAD + bytes(5)),
        "TPDU begins with 0x08, expected 0x60",
    ),
    (
        "a TPDU and nearly nothing",
        "auto",
        b"\x00\x0e" + TPDU + bytes(9),
        "length 14 with a TPDU, expected 15 or more",
    ),
)


@pytest.mark.parametrize(("tpdu", "stream", "words"), [pytest.param(*row[1:], id=row[0]) for row in FAULTS])
def test_a_fault_ends_the_stream_and_gives_what_was_before(tpdu: TpduRule, stream: bytes, words: str) -> None:
    before = Frame(PAYLOAD, TPDU if tpdu == "required" else None)
    reader = FrameReader(tpdu=tpdu)
    with pytest.raises(FramingError) as caught:
        reader.feed(frame(*before) + stream, 0.0)
    assert (str(caught.value), caught.value.frames) == (words, (before,))
    assert reader.pending_since is None
    with pytest.raises(FramingError) as again:
        reader.feed(frame(*before), 1.0)
    assert (str(again.value), again.value.frames) == (words, ())


def test_a_frame_of_the_greatest_length_passes() -> None:
    longest = Frame(bytes(MAXIMUM_FRAME_BYTES), None)
    assert read([frame(*longest)]) == ([longest], None)
    assert FrameReader(max_frame_bytes=20).feed(frame(bytes(20)), 0.0) == [Frame(bytes(20), None)]


def test_where_no_tpdu_is_looked_for_none_is_taken() -> None:
    assert read([frame(PAYLOAD, TPDU)], "none") == ([Frame(TPDU + PAYLOAD, None)], None)


def test_an_unfinished_frame_says_since_when() -> None:
    reader = FrameReader()
    assert reader.pending_since is None
    stream = frame(PAYLOAD)
    reader.feed(stream[:1], 10.0)
    assert reader.pending_since == 10.0
    reader.feed(stream[1:5], 11.0)
    assert reader.pending_since == 10.0, "bytes that trickle in don't make a frame younger"
    reader.feed(b"", 11.5)
    assert reader.pending_since == 10.0
    assert len(reader.feed(stream[5:] + stream[:4], 12.0)) == 1
    assert reader.pending_since == 12.0, "the next frame began with this piece"
    assert len(reader.feed(stream[4:], 13.0)) == 1
    assert reader.pending_since is None


def test_a_half_length_behind_keep_alives_is_young() -> None:
    reader = FrameReader()
    reader.feed(b"\x00", 1.0)
    reader.feed(b"\x00\x00", 2.0)  # ends the keep-alive that began at 1.0
    assert reader.pending_since == 2.0


def test_no_more_is_held_than_one_frame_and_the_last_piece() -> None:
    """A peer that never ends its frame makes us hold that frame and no more."""
    reader = FrameReader()
    reader.feed(MAXIMUM_FRAME_BYTES.to_bytes(2, "big"), 0.0)
    for _ in range(MAXIMUM_FRAME_BYTES - 1):
        assert reader.feed(b"\x08", 0.0) == []
        assert len(reader._pending) <= MAXIMUM_FRAME_BYTES + 1
    assert len(reader.feed(b"\x08", 0.0)) == 1
    assert len(reader._pending) == 0


def test_the_answer_goes_back_where_the_request_came_from() -> None:
    assert answer_tpdu(bytes.fromhex("6012345678")).hex() == "6056781234"
    assert answer_tpdu(answer_tpdu(TPDU)) == TPDU


def test_a_frame_prints_without_its_content() -> None:
    assert repr(Frame(PAYLOAD, TPDU)) == "<Frame 13 bytes, TPDU 6000030000>"
    assert str(Frame(PAYLOAD, None)) == "<Frame 13 bytes, TPDU none>"


def test_bytes_of_a_frame() -> None:
    assert frame(PAYLOAD).hex() == "000d" + PAYLOAD.hex()
    assert frame(PAYLOAD, TPDU).hex() == "0012" + "6000030000" + PAYLOAD.hex()
