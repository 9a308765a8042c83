"""Frames on a byte stream to a host: a 2-byte big-endian length that counts what follows, then the message:
header (fixed length, given back unchanged), command, body. Pure: bytes in, messages out; no sockets here.

Any split or join of the same bytes gives the same messages; the buffer holds less than one frame beyond what
was just fed.
"""

from __future__ import annotations

from typing import NamedTuple

LENGTH_BYTES = 2
COMMAND_BYTES = 2
LARGEST_MESSAGE_BYTES = 0xFFFF  # what two bytes can say
LARGEST_HEADER_BYTES = 255  # the setting's range on the real box
MOST_SEGMENTS = 256  # of one frame held apart: a peer that sends byte by byte shall not fill the memory


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
    """Cuts one connection's bytes into messages. Whatever the segments: a byte is copied when its frame is
    whole, not with every segment that comes."""

    __slots__ = (
        "_at",
        "_buffer",
        "_header_bytes",
        "_needed",
        "_segments",
        "_shortest",
        "failed",
        "pending_bytes",
    )

    def __init__(self, header_bytes: int = 4) -> None:
        assert 0 <= header_bytes <= LARGEST_HEADER_BYTES
        self._header_bytes = header_bytes
        self._shortest = header_bytes + COMMAND_BYTES
        self._buffer = b""  # messages are cut out of it, from `_at` on
        self._at = 0
        self._segments: list[bytes] = []  # what came after it
        self._needed = LENGTH_BYTES  # pending bytes with which there may be a message
        # Bytes of a frame whose end is still to come, or of messages not taken yet.
        self.pending_bytes = 0
        self.failed = ""  # why the stream can't be followed any further

    def feed(self, data: bytes) -> None:
        """Take what arrived."""
        if not data:
            return
        self.pending_bytes += len(data)
        if self._at == len(self._buffer) and not self._segments:
            self._buffer, self._at = data, 0
        else:
            self._segments.append(data)
            if len(self._segments) > MOST_SEGMENTS:
                self._segments[:] = (b"".join(self._segments),)

    def take(self, data: bytes, limit: int) -> list[Message]:
        """`feed`, then `messages`; for one whole request that comes alone, as most do, with less ado."""
        if not self.pending_bytes and len(data) > LENGTH_BYTES:
            length = data[0] << 8 | data[1]
            if len(data) == LENGTH_BYTES + length and length >= self._shortest:
                body = LENGTH_BYTES + self._shortest
                command = body - COMMAND_BYTES
                parts = (data[LENGTH_BYTES:command], data[command:body], data[body:])
                return [tuple.__new__(Message, parts)]  # at half the price of Message(...)
        self.feed(data)
        return self.messages(limit)

    def messages(self, limit: int) -> list[Message]:
        """Up to `limit` complete messages, which are taken out. Fewer than that are all there are.

        Raises FramingError at a frame that can't be a request. What comes before it is given first: `failed`
        tells then that the next call will raise.
        """
        if self.pending_bytes < self._needed:
            return []
        if self.failed:
            raise FramingError(self.failed)
        if self._segments:
            self._buffer = b"".join((self._buffer[self._at :], *self._segments))
            self._at = 0
            self._segments.clear()
        buffer, at, header_bytes, held = self._buffer, self._at, self._header_bytes, len(self._buffer)
        taken: list[Message] = []
        self._needed = LENGTH_BYTES
        while len(taken) < limit and held - at >= LENGTH_BYTES:
            body = at + LENGTH_BYTES
            length = buffer[at] << 8 | buffer[at + 1]
            if length < self._shortest:
                self.failed = f"frame of {length} bytes can't hold a header and a command"
                if not taken:
                    raise FramingError(self.failed)
                break
            end = body + length
            if held < end:
                self._needed = LENGTH_BYTES + length
                break
            command = body + header_bytes
            rest = command + COMMAND_BYTES
            parts = (buffer[body:command], buffer[command:rest], buffer[rest:end])
            taken.append(tuple.__new__(Message, parts))
            at = end
        self._at, self.pending_bytes = at, held - at
        return taken


def answer_command(command: bytes) -> bytes:
    """The command of the answer: its second character one higher (A0 is answered by A1, NO by NP)."""
    return bytes((command[0], (command[1] + 1) & 0xFF))


def frame(header: bytes, command: bytes, body: bytes) -> bytes:
    """One answer as it goes on the wire. Raises ValueError when it is too long for its length field."""
    length = len(header) + len(command) + len(body)
    if length > LARGEST_MESSAGE_BYTES:
        raise ValueError(f"an answer of {length} bytes does not fit a frame")
    return b"".join((length.to_bytes(LENGTH_BYTES, "big"), header, command, body))
