"""Every way to write a length: exact bytes, the same frames however the stream is cut, faults named."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from switch.link.framing import (
    DEFAULT_FRAMING,
    FRAMING_SYNONYMS,
    LENGTH_HEADERS,
    Frame,
    FrameReader,
    Framing,
    FramingError,
    FramingNameError,
    framing_named,
)

TPDU = bytes.fromhex("6000030000")
PAYLOAD = bytes.fromhex("08000020000000000000000001")  # 13 bytes
NAMES = [*LENGTH_HEADERS, *FRAMING_SYNONYMS]
WITH_TPDU = [name if "tpdu" in framing_named(name).name else f"{name}+tpdu" for name in LENGTH_HEADERS]
every_framing = st.sampled_from([*LENGTH_HEADERS, *WITH_TPDU, "3be", "1be", "ascii6-inclusive"]).map(
    framing_named
)
payloads = st.binary(min_size=10, max_size=120).filter(lambda payload: payload[0] != 0x60)

BYTES = (
    ("2be", "000d"),
    ("2le", "0d00"),
    ("2be-inclusive", "000f"),
    ("2le-inclusive", "0f00"),
    ("4be", "0000000d"),
    ("4le", "0d000000"),
    ("4be-inclusive", "00000011"),
    ("4le-inclusive", "11000000"),
    ("ascii4", b"0013".hex()),
    ("ascii4-inclusive", b"0017".hex()),
    ("hex4", b"000D".hex()),
    ("hex4-inclusive", b"0011".hex()),
    ("ebcdic4", "f0f0f1f3"),
    ("ebcdic4-inclusive", "f0f0f1f7"),
    ("bcd2", "0013"),
    ("bcd2-inclusive", "0015"),
    ("vmlh", "000d0000"),
    ("vmlh-inclusive", "00110000"),
    ("1be", "0d"),
    ("3le", "0d0000"),
    ("ascii6-exclusive", b"000013".hex()),
    ("bcd3-inclusive", "000016"),
    ("NAC", "00126000000000"),
    ("nac+tpdu=6000030000", "00126000030000"),
    ("bcd2+tpdu", "00186000000000"),
    ("2be-inclusive+tpdu=6000030000", "00146000030000"),
    ("Visa", "000d0000"),
)


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(min(place, len(stream)) for place in places), len(stream)]
    return [stream[start:stop] for start, stop in itertools.pairwise(edges)]


def read(framing: Framing, pieces: list[bytes]) -> tuple[list[Frame], str | None, int]:
    reader = framing.reader()
    received: list[Frame] = []
    for now, piece in enumerate(pieces):
        try:
            received += reader.feed(piece, float(now))
        except FramingError as error:
            return [*received, *error.frames], str(error), reader.keep_alives
    return received, None, reader.keep_alives


@pytest.mark.parametrize(("name", "header"), BYTES)
def test_bytes_of_a_frame(name: str, header: str) -> None:
    assert framing_named(name).frame(PAYLOAD).hex() == header + PAYLOAD.hex()


def test_a_trailer_stands_behind_the_message_and_is_counted() -> None:
    assert framing_named("base24").frame(PAYLOAD).hex() == "000e" + PAYLOAD.hex() + "03"


def test_every_preset_stands_in_the_table_of_bytes() -> None:
    assert set(LENGTH_HEADERS) - {name for name, _header in BYTES} == {"2be-etx"}


@pytest.mark.parametrize("name", NAMES)
def test_a_frame_reads_back(name: str) -> None:
    framing = framing_named(name)
    tpdu = framing.addresses
    assert framing.reader().feed(framing.frame(PAYLOAD), 0.0) == [Frame(PAYLOAD, tpdu)]
    assert framing.reader().feed(framing.frame(PAYLOAD, TPDU), 0.0) == [Frame(PAYLOAD, TPDU)]


@given(every_framing, st.lists(payloads | st.none(), max_size=8), st.lists(st.integers(0, 1000)))
def test_frames_and_keep_alives_come_out_as_they_went_in(
    framing: Framing, sent: list[bytes | None], places: list[int]
) -> None:
    stream = b"".join(framing.keep_alive() if one is None else framing.frame(one) for one in sent)
    expected = [Frame(one, framing.addresses) for one in sent if one is not None]
    assert read(framing, cut(stream, places)) == (expected, None, sent.count(None))
    assert read(framing, [bytes((byte,)) for byte in stream]) == (expected, None, sent.count(None))


@given(every_framing, st.binary(max_size=200), st.lists(st.integers(0, 200)))
@example(framing_named("ascii4"), b"0013" + PAYLOAD + b"00+3", [3, 5, 18])
@example(framing_named("vmlh"), b"\0\x0d\0\0" + PAYLOAD + b"\0\x0d\0\1", [2, 3, 18])
def test_any_bytes_read_the_same_however_they_are_cut(
    framing: Framing, stream: bytes, places: list[int]
) -> None:
    assert read(framing, cut(stream, places)) == read(framing, [stream])


@given(every_framing, payloads, st.integers(0, 400), st.integers(0, 255), st.lists(st.integers(0, 400)))
def test_a_damaged_stream_reads_the_same_however_it_is_cut(
    framing: Framing, payload: bytes, place: int, byte: int, places: list[int]
) -> None:
    damaged = bytearray(framing.frame(payload) * 2)
    damaged[place % len(damaged)] = byte
    assert read(framing, cut(bytes(damaged), places)) == read(framing, [bytes(damaged)])


FAULTS = (
    ("ascii4", b"+013", "length bytes 2B303133, expected ASCII digits"),
    ("ascii4", b" 013", "length bytes 20303133, expected ASCII digits"),
    ("ascii4", b"1_00", "length bytes 315F3030, expected ASCII digits"),
    ("hex4", b"0x0D", "length bytes 30783044, expected ASCII hex"),
    ("hex4", b" 00D", "length bytes 20303044, expected ASCII hex"),
    ("ebcdic4", b"0013", "length bytes 30303133, expected EBCDIC digits"),
    ("bcd2", b"\x00\x0d", "length bytes 000D, expected BCD"),
    ("bcd2", b"\x50\x00", "length 5000, expected 10 to 4096"),
    ("2be-inclusive", b"\x00\x03", "length 3, expected 12 to 4098"),
    ("2be-inclusive", b"\x00\x01", "length 1, expected 12 to 4098"),
    ("2le", b"\x0d\xff", "length 65293, expected 10 to 4096"),
    ("4be", b"\xff\xff\xff\xff", "length 4294967295, expected 10 to 4096"),
    ("vmlh", b"\x00\x0d\x01\x00", "0100 behind the length, expected 0000"),
    ("bcd2+tpdu", b"\x00\x15" + bytes(15), "TPDU begins with 0x00, expected 0x60"),
    ("2le", b"\x0b\x00" + TPDU + bytes(6), "11 bytes with a TPDU, expected 15 or more"),
    ("base24", b"\x00\x0e" + PAYLOAD + b"\x04", "frame ends with 0x04, expected 0x03"),
)


@pytest.mark.parametrize(("name", "stream", "words"), FAULTS)
def test_a_fault_ends_the_stream_and_gives_what_was_before(name: str, stream: bytes, words: str) -> None:
    framing = framing_named(name)
    before = framing.frame(PAYLOAD)
    frames, fault, _keep_alives = read(framing, [before + stream])
    assert fault == words
    assert frames == [Frame(PAYLOAD, framing.addresses)]


@pytest.mark.parametrize("name", LENGTH_HEADERS)
def test_zero_is_a_keep_alive_in_an_inclusive_length_too(name: str) -> None:
    framing = framing_named(name)
    header = LENGTH_HEADERS[name]
    exclusive = Framing(name, header._replace(inclusive=False)).keep_alive()
    stream = exclusive + framing.keep_alive() + framing.frame(PAYLOAD)
    assert read(framing, [stream]) == ([Frame(PAYLOAD, None)], None, 2)


@pytest.mark.parametrize("name", LENGTH_HEADERS)
def test_the_longest_frame_passes_and_a_longer_one_is_refused(name: str) -> None:
    framing = framing_named(name)
    most = framing.longest_frame_bytes
    if most < 0xFFFF:
        assert framing.reader(most).feed(framing.frame(bytes(most)), 0.0) == [Frame(bytes(most), None)]
    with pytest.raises(ValueError, match=f"{most + 1} bytes, framing {name} carries {most}"):
        framing.frame(bytes(most + 1))


@pytest.mark.parametrize("name", LENGTH_HEADERS)
def test_no_more_is_held_than_one_frame_and_the_last_piece(name: str) -> None:
    framing = framing_named(name)
    reader = framing.reader(100)
    stream = framing.frame(bytes(100))
    held = 0
    for byte in stream[:-1]:
        assert reader.feed(bytes((byte,)), 0.0) == []
        held = max(held, len(reader._pending))
    assert held == len(stream) - 1
    assert len(reader.feed(stream[-1:], 0.0)) == 1
    assert len(reader._pending) == 0
    assert reader.pending_since is None


def test_an_unfinished_frame_says_since_when() -> None:
    framing = framing_named("ascii4-inclusive")
    reader, stream = framing.reader(), framing.frame(PAYLOAD)
    reader.feed(stream[:1], 10.0)
    reader.feed(stream[1:7], 11.0)
    assert reader.pending_since == 10.0
    assert len(reader.feed(stream[7:] + stream[:2], 12.0)) == 1
    assert reader.pending_since == 12.0
    assert len(reader.feed(stream[2:], 13.0)) == 1
    assert reader.pending_since is None


def test_our_own_framing_is_read_by_the_fast_reader() -> None:
    assert type(DEFAULT_FRAMING.reader()) is FrameReader
    assert type(framing_named("2be").reader()) is FrameReader
    assert DEFAULT_FRAMING.frame(PAYLOAD, TPDU).hex() == "0012" + TPDU.hex() + PAYLOAD.hex()


def test_where_no_tpdu_is_looked_for_none_is_taken() -> None:
    for name in ("2be+no-tpdu", "ascii4+no-tpdu"):
        framing = framing_named(name)
        assert framing.reader().feed(framing.frame(TPDU + PAYLOAD), 0.0) == [Frame(TPDU + PAYLOAD, None)]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("2b", "no framing '2b'; did you mean '2be'"),
        ("asci4", "did you mean 'ascii4'"),
        ("", "known: 2be, 2le"),
        ("9be", "no framing '9be'"),
        ("2be+tpd", r"no '\+tpd' in framings; write \+tpdu"),
        ("2be+tpdu=7000030000", r"write \+tpdu, \+tpdu=6000030000"),
        ("2be+tpdu=60", r"write \+tpdu"),
        ("nac+no-tpdu", r"write \+tpdu"),
    ],
)
def test_an_unknown_name_is_refused_with_what_is_known(name: str, words: str) -> None:
    with pytest.raises(FramingNameError, match=words):
        framing_named(name)
