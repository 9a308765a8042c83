"""Frames on a byte stream: 2-byte big-endian length (not counting itself), then an optional 5-byte TPDU, then
the message. A pure state machine: bytes in, frames out, the clock passed in; no socket is touched here.

The rules: the buffer never grows beyond one frame and what was just fed; every byte is copied a fixed number
of times however the stream is cut; any split or join of the same bytes gives the same frames.
"""

from __future__ import annotations

from collections.abc import Sequence
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

    __slots__ = ("_error", "_maximum", "_minimum", "_needed", "_pending", "_pending_since", "_tpdu")

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
        left = len(data) - at
        if not left:
            self._pending_since = None
            return
        if at or begins_anew or self._pending_since is None:
            self._pending_since = now
        self._needed = LENGTH_BYTES if left < LENGTH_BYTES else LENGTH_BYTES + (data[at] << 8 | data[at + 1])
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
