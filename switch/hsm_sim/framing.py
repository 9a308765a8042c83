"""Frames on a byte stream to a host: a 2-byte big-endian length that counts what follows, then the message:
header (fixed length, given back unchanged), command, body. Pure: bytes in, messages out; no sockets here.

Any split or join of the same bytes gives the same messages; the buffer holds less than one frame beyond what
was just fed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

LENGTH_BYTES = 2
COMMAND_BYTES = 2
LARGEST_MESSAGE_BYTES = 0xFFFF  # what two bytes can say
LARGEST_HEADER_BYTES = 255  # the setting's range on the real box


class Message(NamedTuple):
    """One request: the host's header, the command's two bytes, everything after them."""

    header: bytes
    command: bytes
    body: bytes

    def __repr__(self) -> str:  # the body holds key tokens and PIN blocks
        return f"<Message {self.command!r} {len(self.body)} bytes>"


class FramingError(ValueError):
    """The stream can't be followed: a frame too short to hold header and command. Close the connection."""


class FrameReader:
    """Cuts one connection's bytes into messages."""

    __slots__ = ("_buffer", "_header_bytes", "_shortest")

    def __init__(self, header_bytes: int = 4) -> None:
        assert 0 <= header_bytes <= LARGEST_HEADER_BYTES
        self._header_bytes = header_bytes
        self._shortest = header_bytes + COMMAND_BYTES
        self._buffer = bytearray()

    @property
    def pending_bytes(self) -> int:
        """Bytes of a frame whose end is still to come, or of messages not taken yet."""
        return len(self._buffer)

    def feed(self, data: bytes) -> None:
        """Take what arrived."""
        self._buffer += data

    def messages(self, limit: int) -> Iterator[Message]:
        """Up to `limit` complete messages; each is taken out as it is given.

        Raises FramingError at a frame that can't be a request; what came before it has been given.
        """
        start = 0
        buffer = self._buffer
        try:
            for _ in range(limit):
                body = start + LENGTH_BYTES
                if len(buffer) < body:
                    return
                length = (buffer[start] << 8) | buffer[start + 1]
                if length < self._shortest:
                    raise FramingError(f"frame of {length} bytes can't hold a header and a command")
                end = body + length
                if len(buffer) < end:
                    return
                command = body + self._header_bytes
                rest = command + COMMAND_BYTES
                start = end
                yield Message(
                    bytes(buffer[body:command]), bytes(buffer[command:rest]), bytes(buffer[rest:end])
                )
        finally:
            if start:
                del buffer[:start]


def answer_command(command: bytes) -> bytes:
    """The command of the answer: its second character one higher (A0 is answered by A1, NO by NP)."""
    return bytes((command[0], (command[1] + 1) & 0xFF))


def frame(header: bytes, command: bytes, body: bytes) -> bytes:
    """One answer as it goes on the wire. Raises ValueError when it is too long for its length field."""
    length = len(header) + len(command) + len(body)
    if length > LARGEST_MESSAGE_BYTES:
        raise ValueError(f"an answer of {length} bytes does not fit a frame")
    return length.to_bytes(LENGTH_BYTES, "big") + header + command + body
