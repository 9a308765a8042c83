"""The host's end of a dialled line: takes messages in frames, hands them on, brings the answers back.

Pure; whoever answers is a function, now or later by `answered`. It says ENQ when it is ready, unless it is of
those that never do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

STX, ETX, EOT, ENQ, ACK, NAK = b"\x02", b"\x03", b"\x04", b"\x05", b"\x06", b"\x15"
HEAD_BYTES: Final = 3


def check_of(data: bytes) -> bytes:
    value = 0
    for byte in data:
        value ^= byte
    return bytes((value,))


def framed(message: bytes) -> bytes:
    """STX, length, message, ETX, LRC over all but STX."""
    body = len(message).to_bytes(2, "big") + message + ETX
    return STX + body + check_of(body)


@dataclass
class DialHost:
    """answer: a message's answer, None for silence. mishears, spoils, forgets: so often it says NAK to good
    frames, damages its answer, doesn't acknowledge."""

    answer: Callable[[bytes], bytes | None]
    says_ready: bool = True
    mishears: int = 0
    spoils: int = 0
    forgets: int = 0
    heard_messages: list[bytes] = field(default_factory=list)
    is_ended: bool = False
    _received: bytearray = field(default_factory=bytearray)
    _answer: bytes = b""

    def called(self) -> bytes:
        """A call came in."""
        self._received.clear()
        self._answer = b""
        self.is_ended = False
        return ENQ if self.says_ready else b""

    def heard(self, data: bytes) -> bytes:
        """Bytes of the terminal; what is said to them."""
        self._received += data
        return b"".join(self._said())

    def answered(self, answer: bytes) -> bytes:
        """The answer to what was heard has come by itself; what is said."""
        self._answer = answer
        return self._spoilt(framed(answer))

    def _said(self) -> Iterator[bytes]:
        received = self._received
        while received:
            first = bytes(received[:1])
            if first == STX:
                if len(received) < HEAD_BYTES:
                    return
                end = HEAD_BYTES + int.from_bytes(received[1:3], "big")
                if len(received) < end + 2:
                    return
                frame = bytes(received[: end + 2])
                del received[: end + 2]
                yield self._taken(frame)
                continue
            del received[:1]
            if first == NAK and self._answer:
                yield self._spoilt(framed(self._answer))
            elif first == ACK and self._answer:
                self._answer = b""
                if self.says_ready:
                    yield ENQ
            elif first == EOT:
                self.is_ended = True

    def _taken(self, frame: bytes) -> bytes:
        message = frame[HEAD_BYTES:-2]
        if self.forgets:
            self.forgets -= 1
            return b""
        if frame != framed(message) or self.mishears:
            self.mishears = max(0, self.mishears - 1)
            return NAK
        self.heard_messages.append(message)
        answer = self.answer(message)
        if answer is None:
            return ACK
        self._answer = answer
        return ACK + self._spoilt(framed(answer))

    def _spoilt(self, frame: bytes) -> bytes:
        if not self.spoils:
            return frame
        self.spoils -= 1
        return frame[:5] + bytes((frame[5] ^ 0x10,)) + frame[6:]
