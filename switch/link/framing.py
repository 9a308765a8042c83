"""Frames on a byte stream: a length, then an optional 5-byte TPDU, then the message. Our terminals write the
length as 2 bytes big-endian, not counting itself; `framing_named` knows how others write it. Pure state
machines: bytes in, frames out, the clock passed in; no socket is touched here.

The rules: the buffer never grows beyond one frame and what was just fed; every byte is copied a fixed number
of times however the stream is cut; any split or join of the same bytes gives the same frames.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

LENGTH_BYTES = 2
TPDU_BYTES = 5
TPDU_IDENTIFIER = 0x60  # first byte of a TPDU (NAC family); no MTI begins with it

# MTI and primary bitmap in BCD and binary: nothing shorter can be an ISO 8583 message.
SHORTEST_MESSAGE_BYTES = 10
# Our longest message is below 700 bytes. 4 KiB leaves room for downloads in pieces and keeps what a thousand
# hostile connections can make us hold below 4 MiB.
MAXIMUM_FRAME_BYTES = 4096

TpduRule = Literal["auto", "required", "none"]


class Frame(NamedTuple):
    """One message as it came: from the MTI on, and its TPDU if it had one."""

    payload: bytes
    tpdu: bytes | None

    def __repr__(self) -> str:  # the payload may hold a card number, which no print may show
        return f"<Frame {len(self.payload)} bytes, TPDU {self.tpdu.hex() if self.tpdu else 'none'}>"


class FramingError(ValueError):
    """The stream can't be followed any further: answer `frames` (complete before the fault), then close."""

    def __init__(self, what: str, frames: Sequence[Frame] = ()) -> None:
        super().__init__(what)
        self.frames = tuple(frames)


class FrameReader:
    """Cuts one direction of a connection into frames.

    max_frame_bytes: longest length accepted (TPDU and message).
    tpdu: "auto" takes a first byte 0x60 for a TPDU, "required" refuses frames without, "none" looks for none.
    A length of zero is a keep-alive and is skipped.
    """

    __slots__ = (
        "_error",
        "_maximum",
        "_minimum",
        "_needed",
        "_pending",
        "_pending_since",
        "_tpdu",
        "keep_alives",
    )

    def __init__(self, max_frame_bytes: int = MAXIMUM_FRAME_BYTES, tpdu: TpduRule = "auto") -> None:
        assert max_frame_bytes < 1 << 16, "the length has 2 bytes"
        assert tpdu in ("auto", "required", "none")
        self._maximum = max_frame_bytes
        self._minimum = SHORTEST_MESSAGE_BYTES + (TPDU_BYTES if tpdu == "required" else 0)
        self._tpdu = tpdu
        self._pending = bytearray()  # a frame of which the end is still to come
        self._needed = 0  # bytes of `_pending` at which looking again is worth while
        self._pending_since: float | None = None
        self._error: str | None = None
        self.keep_alives = 0  # how many came so far; a host that wants them back counts on this

    @property
    def pending_since(self) -> float | None:
        """The `now` at which the first byte of an unfinished frame came; None when no frame is unfinished."""
        return self._pending_since

    def feed(self, data: bytes, now: float) -> list[Frame]:
        """The frames that `data` completes. `now`: the caller's monotonic clock, any unit.

        FramingError (with the frames before the fault) for a length too small or too great or a bad TPDU;
        after that every call raises it again.
        """
        if self._error is not None:
            raise FramingError(self._error)
        pending = self._pending
        if pending:
            pending += data
            if len(pending) < self._needed:
                return []
            data = bytes(pending)
            pending.clear()
        frames: list[Frame] = []
        at, end = 0, len(data)
        minimum, maximum, look_for_tpdu = self._minimum, self._maximum, self._tpdu != "none"
        while end - at >= 2:
            size = data[at] << 8 | data[at + 1]
            if not minimum <= size <= maximum:
                if size:
                    raise self._fault(f"length {size}, expected {minimum} to {maximum}", frames)
                self.keep_alives += 1
                at += 2
                continue
            start = at + 2
            stop = start + size
            if stop > end:
                break
            if look_for_tpdu and (data[start] == TPDU_IDENTIFIER or self._tpdu == "required"):
                if data[start] != TPDU_IDENTIFIER:
                    raise self._fault(f"TPDU begins with 0x{data[start]:02X}, expected 0x60", frames)
                if size < TPDU_BYTES + SHORTEST_MESSAGE_BYTES:
                    raise self._fault(f"length {size} with a TPDU, expected 15 or more", frames)
                frames.append(Frame(data[start + TPDU_BYTES : stop], data[start : start + TPDU_BYTES]))
            else:
                frames.append(Frame(data[start:stop], None))
            at = stop
        self._keep(data, at, now, bool(frames))
        return frames

    def _keep(self, data: bytes, at: int, now: float, begins_anew: bool) -> None:
        """Notes the unfinished frame that begins at `at`, if any, and when it is worth looking again."""
        needed = LENGTH_BYTES
        if len(data) - at >= LENGTH_BYTES:
            needed += data[at] << 8 | data[at + 1]
        self._keep_until(needed, data, at, now, begins_anew)

    def _keep_until(self, needed: int, data: bytes, at: int, now: float, begins_anew: bool) -> None:
        if at == len(data):
            self._pending_since = None
            return
        if at or begins_anew or self._pending_since is None:
            self._pending_since = now
        self._needed = needed
        self._pending += data[at:] if at else data

    def _fault(self, what: str, frames: list[Frame]) -> FramingError:
        self._error = what
        self._pending_since = None
        return FramingError(what, frames)


def frame(payload: bytes, tpdu: bytes | None = None) -> bytes:
    """`payload` with its length and, when given, its 5-byte TPDU in front."""
    if tpdu is None:
        return len(payload).to_bytes(LENGTH_BYTES, "big") + payload
    assert len(tpdu) == TPDU_BYTES, "a TPDU has 5 bytes"
    return (len(payload) + TPDU_BYTES).to_bytes(LENGTH_BYTES, "big") + tpdu + payload


def answer_tpdu(tpdu: bytes) -> bytes:
    """The TPDU of an answer: destination and source addresses swapped."""
    assert len(tpdu) == TPDU_BYTES, "a TPDU has 5 bytes"
    return tpdu[:1] + tpdu[3:5] + tpdu[1:3]


# ---------------------------------------------------------------- how others write the length

NO_TPDU_ADDRESSES = bytes((TPDU_IDENTIFIER, 0, 0, 0, 0))


class _Notation(NamedTuple):
    """How a length is written. `read`: None for bytes that are no length; `largest`: per size in bytes."""

    read: Callable[[bytes], int | None]
    write: Callable[[int, int], bytes]
    largest: Callable[[int], int]
    words: str


_EBCDIC_DIGITS = bytes.maketrans(b"0123456789", bytes(range(0xF0, 0xFA)))


def _digits(content: bytes) -> int | None:
    return int(content) if content.isdigit() else None  # bytes.isdigit: 0-9 alone, no sign, blank or _


def _ebcdic_digits(content: bytes) -> int | None:
    return int(content.hex()[1::2]) if all(0xF0 <= byte <= 0xF9 for byte in content) else None


def _hexadecimal(content: bytes) -> int | None:
    return int(content, 16) if re.fullmatch(rb"[0-9A-Fa-f]+", content) else None


_NOTATIONS: Mapping[str, _Notation] = {
    "be": _Notation(
        lambda content: int.from_bytes(content, "big"),
        lambda size, width: size.to_bytes(width, "big"),
        lambda width: 256**width - 1,
        "binary, big-endian",
    ),
    "le": _Notation(
        lambda content: int.from_bytes(content, "little"),
        lambda size, width: size.to_bytes(width, "little"),
        lambda width: 256**width - 1,
        "binary, little-endian",
    ),
    "ascii": _Notation(
        _digits, lambda size, width: b"%0*d" % (width, size), lambda width: 10**width - 1, "ASCII digits"
    ),
    "hex": _Notation(
        _hexadecimal, lambda size, width: b"%0*X" % (width, size), lambda width: 16**width - 1, "ASCII hex"
    ),
    "ebcdic": _Notation(
        _ebcdic_digits,
        lambda size, width: (b"%0*d" % (width, size)).translate(_EBCDIC_DIGITS),
        lambda width: 10**width - 1,
        "EBCDIC digits",
    ),
    "bcd": _Notation(
        lambda content: _digits(content.hex().encode()),
        lambda size, width: bytes.fromhex(f"{size:0{width * 2}}"),
        lambda width: 100**width - 1,
        "BCD",
    ),
}


class LengthHeader(NamedTuple):
    """What stands before a frame.

    notation: a key of the notations; size: bytes of the length; inclusive: it counts the whole header too.
    fill: constant bytes behind the length; trailer: constant bytes behind the message, counted by the length.
    """

    notation: str
    size: int
    inclusive: bool = False
    fill: bytes = b""
    trailer: bytes = b""


# name: header. The length counts TPDU, message and trailer, and itself (with the fill) when inclusive.
LENGTH_HEADERS: Mapping[str, LengthHeader] = {
    "2be": LengthHeader("be", 2),
    "2le": LengthHeader("le", 2),
    "2be-inclusive": LengthHeader("be", 2, inclusive=True),
    "2le-inclusive": LengthHeader("le", 2, inclusive=True),
    "4be": LengthHeader("be", 4),
    "4le": LengthHeader("le", 4),
    "4be-inclusive": LengthHeader("be", 4, inclusive=True),
    "4le-inclusive": LengthHeader("le", 4, inclusive=True),
    "ascii4": LengthHeader("ascii", 4),
    "ascii4-inclusive": LengthHeader("ascii", 4, inclusive=True),
    "hex4": LengthHeader("hex", 4),
    "hex4-inclusive": LengthHeader("hex", 4, inclusive=True),
    "ebcdic4": LengthHeader("ebcdic", 4),
    "ebcdic4-inclusive": LengthHeader("ebcdic", 4, inclusive=True),
    "bcd2": LengthHeader("bcd", 2),
    "bcd2-inclusive": LengthHeader("bcd", 2, inclusive=True),
    "vmlh": LengthHeader("be", 2, fill=bytes(2)),  # Visa message length header: length, two zero bytes
    "vmlh-inclusive": LengthHeader("be", 2, inclusive=True, fill=bytes(2)),
    "2be-etx": LengthHeader("be", 2, trailer=b"\x03"),  # BASE24 over TCP
}
# Names people know them by.
FRAMING_SYNONYMS: Mapping[str, str] = {
    "nac": "2be+tpdu",
    "ncc": "bcd2+tpdu",
    "visa": "vmlh",
    "base24": "2be-etx",
    "ascii": "ascii4",
    "bcd": "bcd2",
}


class FramingNameError(ValueError):
    """A framing that nobody here knows; the text says which are known."""


@dataclass(frozen=True, slots=True)
class Framing:
    """A way to put messages on a stream. `tpdu`: as in `FrameReader`; `addresses`: the TPDU to send with."""

    name: str
    header: LengthHeader
    tpdu: TpduRule = "auto"
    addresses: bytes | None = None

    @property
    def longest_frame_bytes(self) -> int:
        """The longest TPDU + message this framing carries, at most what a `FrameReader` may be asked for."""
        notation = _NOTATIONS[self.header.notation]
        own = len(self.header.trailer) + (_header_bytes(self.header) if self.header.inclusive else 0)
        return min(notation.largest(self.header.size) - own, 0xFFFF)

    def reader(self, max_frame_bytes: int = MAXIMUM_FRAME_BYTES) -> FrameReader:
        """A reader for one direction of a connection; see `FrameReader`."""
        most = min(max_frame_bytes, self.longest_frame_bytes)
        if self.header == LENGTH_HEADERS["2be"]:
            return FrameReader(most, self.tpdu)
        return _HeaderReader(self.header, most, self.tpdu)

    def frame(self, payload: bytes, tpdu: bytes | None = None) -> bytes:
        """`payload` ready to send. Without `tpdu` the framing's own addresses stand, if it has any.

        ValueError when it is too long for the length.
        """
        tpdu = tpdu or self.addresses
        assert tpdu is None or len(tpdu) == TPDU_BYTES, "a TPDU has 5 bytes"
        header, body = self.header, (tpdu or b"") + payload
        if len(body) > self.longest_frame_bytes:
            raise ValueError(f"{len(body)} bytes, framing {self.name} carries {self.longest_frame_bytes}")
        size = len(body) + len(header.trailer) + (_header_bytes(header) if header.inclusive else 0)
        length = _NOTATIONS[header.notation].write(size, header.size)
        return b"".join((length, header.fill, body, header.trailer))

    def keep_alive(self) -> bytes:
        """A frame without anything in it."""
        size = _header_bytes(self.header) if self.header.inclusive else 0
        return _NOTATIONS[self.header.notation].write(size, self.header.size) + self.header.fill


DEFAULT_FRAMING = Framing("2be", LENGTH_HEADERS["2be"])


def framing_named(name: str) -> Framing:
    """The framing of a name: a length header, and `+tpdu` where a TPDU must stand.

    "2be", "bcd2+tpdu", "vmlh", "ascii4-inclusive+tpdu", "nac" (a synonym). `+tpdu=6000030000` also says which
    to send. Without, a first byte 0x60 is taken for a TPDU; `+no-tpdu` takes it for part of the message.
    `FramingNameError` for anything else.
    """
    spelled = name.strip().lower()
    first, _plus, rest = spelled.partition("+")
    header_name, _plus, option = "+".join(filter(None, (FRAMING_SYNONYMS.get(first, first), rest))).partition(
        "+"
    )
    header = LENGTH_HEADERS.get(header_name) or _header_of(header_name)
    if first == "none":
        raise FramingNameError("messages on a line must be framed; 2be is the usual way")
    if header is None:
        raise FramingNameError(f"no framing {first!r}; {_near(first)}")
    if not option:
        return Framing(spelled, header)
    if option == "no-tpdu":
        return Framing(spelled, header, "none")
    if option in ("tpdu", "tpdu+tpdu"):
        return Framing(spelled, header, "required", NO_TPDU_ADDRESSES)
    digits = re.fullmatch(r"(?:tpdu\+)?tpdu=(60[0-9a-f]{8})", option)
    if digits is None:
        raise FramingNameError(f"no {'+' + option!r} in framings; write +tpdu, +tpdu=6000030000 or +no-tpdu")
    return Framing(spelled, header, "required", bytes.fromhex(digits.group(1)))


def _header_of(name: str) -> LengthHeader | None:
    """Headers of further sizes: "3be", "ascii6-inclusive"."""
    found = re.fullmatch(r"(?:([1-4])(be|le)|(ascii|hex|ebcdic|bcd)([1-6]))(-inclusive|-exclusive)?", name)
    if found is None:
        return None
    notation, size = found[2] or found[3], int(found[1] or found[4])
    return LengthHeader(notation, size, inclusive=found[5] == "-inclusive")


def _near(name: str) -> str:
    known = [*LENGTH_HEADERS, *FRAMING_SYNONYMS]
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"


def _header_bytes(header: LengthHeader) -> int:
    return header.size + len(header.fill)


class _HeaderReader(FrameReader):
    """`FrameReader` for any header; same rules, same faults, a few us slower."""

    __slots__ = ("_header", "_header_size", "_read_length", "_uncounted", "_words")

    def __init__(self, header: LengthHeader, max_frame_bytes: int, tpdu: TpduRule) -> None:
        super().__init__(max_frame_bytes, tpdu)
        notation = _NOTATIONS[header.notation]
        self._header = header
        self._header_size = _header_bytes(header)
        # what the length counts beside TPDU and message
        self._uncounted = len(header.trailer) + (self._header_size if header.inclusive else 0)
        self._read_length = notation.read
        self._words = notation.words

    def feed(self, data: bytes, now: float) -> list[Frame]:
        if self._error is not None:
            raise FramingError(self._error)
        pending = self._pending
        if pending:
            pending += data
            if len(pending) < self._needed:
                return []
            data = bytes(pending)
            pending.clear()
        frames: list[Frame] = []
        at, end, needed = 0, len(data), self._header_size
        while end - at >= self._header_size:
            size = self._size_at(data, at, frames)
            start = at + self._header_size
            if size == 0:
                self.keep_alives += 1
                at = start
                continue
            stop = start + size + len(self._header.trailer)
            if stop > end:
                needed = stop - at
                break
            if data[start + size : stop] != self._header.trailer:
                wanted = self._header.trailer.hex().upper()
                raise self._fault(f"frame ends with 0x{data[stop - 1]:02X}, expected 0x{wanted}", frames)
            frames.append(self._frame_in(data[start : start + size], frames))
            at = stop
        self._keep_until(needed, data, at, now, bool(frames))
        return frames

    def _size_at(self, data: bytes, at: int, frames: list[Frame]) -> int:
        """Bytes of TPDU and message of the frame that begins at `at`; 0 for a keep-alive."""
        header = self._header
        written = data[at : at + header.size]
        length = self._read_length(written)
        if length is None:
            raise self._fault(f"length bytes {written.hex().upper()}, expected {self._words}", frames)
        fill = data[at + header.size : at + self._header_size]
        if fill != header.fill:
            wanted = header.fill.hex().upper()
            raise self._fault(f"{fill.hex().upper()} behind the length, expected {wanted}", frames)
        if length in (0, self._header_size if header.inclusive else 0):
            return 0
        size = length - self._uncounted
        if not self._minimum <= size <= self._maximum:
            low, high = self._minimum + self._uncounted, self._maximum + self._uncounted
            raise self._fault(f"length {length}, expected {low} to {high}", frames)
        return size

    def _frame_in(self, content: bytes, frames: list[Frame]) -> Frame:
        if self._tpdu == "none" or (self._tpdu == "auto" and content[0] != TPDU_IDENTIFIER):
            return Frame(content, None)
        if content[0] != TPDU_IDENTIFIER:
            raise self._fault(f"TPDU begins with 0x{content[0]:02X}, expected 0x60", frames)
        if len(content) < TPDU_BYTES + SHORTEST_MESSAGE_BYTES:
            low = TPDU_BYTES + SHORTEST_MESSAGE_BYTES
            raise self._fault(f"{len(content)} bytes with a TPDU, expected {low} or more", frames)
        return Frame(content[TPDU_BYTES:], content[:TPDU_BYTES])
