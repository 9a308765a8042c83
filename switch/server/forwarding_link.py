"""The line between two switch processes on one ledger: a Unix socket for what one hands to another.

Both sides are the same program on the same machine. A message is a length (4 bytes, big-endian) and a
MessagePack array; answers come in any order and name what they answer. Frames hold card numbers: nothing of
them is in a log, an exception or a repr. What was sent and not answered when a line tears is unknown, and is
never sent again.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import msgspec

from switch.authorizer import Correction, Origin
from switch.hsm.port import ZonePin
from switch.server.log import Log

# A frame has at most 65 535 bytes. A partner's is sent in its words and in ours, digits as characters where
# they were packed: four times as much, and a few more around it.
LARGEST_MESSAGE_BYTES = 1 << 19
# Waiting for one owner; above it the receiver says 91 instead of growing. As the owner's own queue.
MOST_HANDED = 8192
# An owner that says nothing for so long is stopped or gone; the terminals have given up before.
ANSWER_S = 30.0
CONNECT_S = 3.0
LONGEST_PATH_BYTES = 107  # unix(7)
_LENGTH_BYTES = 4


class Frame(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """A terminal's frame, its MAC found good. mark: the highest counter of its key that was committed
    anywhere when it arrived. private, certified, peer: of the line it came on, see `Peer`."""

    number: int
    payload: bytes
    mark: int
    private: bool
    certified: str | None
    peer: str

    def __repr__(self) -> str:
        return f"Frame({self.number})"


class TakeIn(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """End at this member what the entry in that bucket has begun."""

    number: int
    member: int
    bucket: int
    entry: int


class Book(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """Book a correction."""

    number: int
    correction: Correction


class Asked(msgspec.Struct, frozen=True, array_like=True, tag=6):
    """A partner's request, its MAC found good. mti, fields: in our dialect; origin: the partner's own words;
    pins: its PIN block under each key that it may be under; private: of its line, see `Peer`."""

    number: int
    mti: str
    fields: dict[str, Any]
    operation: str
    origin: Origin
    pins: tuple[ZonePin, ...]
    private: bool

    def __repr__(self) -> str:
        return f"Asked({self.number})"


class Answer(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """To a Frame. payload: of the answer, with its MAC if it has one; None: nobody is answered."""

    number: int
    payload: bytes | None

    def __repr__(self) -> str:
        return f"Answer({self.number})"


class Done(msgspec.Struct, frozen=True, array_like=True, tag=5):
    """To TakeIn and Book. entry: that was booked, 0 for none; None: it isn't known, ask again."""

    number: int
    entry: int | None


class Decided(msgspec.Struct, frozen=True, array_like=True, tag=7):
    """To Asked. known: somebody can say what became of it; the others as of a `Decision`. under: which of
    the keys the PIN block was under, where it was a good one."""

    number: int
    known: bool
    code: str = ""
    body: bytes = b""
    path: str = ""
    what: str = ""
    under: int | None = None

    def __repr__(self) -> str:
        return f"Decided({self.number})"


Question = Frame | TakeIn | Book | Asked
Said = Question | Answer | Done | Decided
Reply = Answer | Done | Decided
Told = Callable[[Reply | None], None]

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(Said).decode


def packed(said: Said) -> bytes:
    """A message's bytes on the line."""
    body = _pack(said)
    return len(body).to_bytes(_LENGTH_BYTES, "big") + body


class LineError(ValueError):
    """Bytes that aren't of this program."""


class Reader:
    """Bytes of one line to messages."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> Iterator[Said]:
        """The messages that are whole now. Raises LineError; nothing more is to be read then."""
        buffer = self._buffer + data if self._buffer else data
        start = 0
        while len(buffer) - start >= _LENGTH_BYTES:
            length = int.from_bytes(buffer[start : start + _LENGTH_BYTES], "big")
            if length > LARGEST_MESSAGE_BYTES:
                raise LineError(f"a message of {length} bytes, at most {LARGEST_MESSAGE_BYTES} are sent")
            end = start + _LENGTH_BYTES + length
            if end > len(buffer):
                break
            try:
                said = _unpack(buffer[start + _LENGTH_BYTES : end])
            except msgspec.MsgspecError:
                raise LineError("a message of another program, or of another version of it") from None
            yield said
            start = end
        self._buffer = buffer[start:]


# ---------------------------------------------------------------- towards an owner


class OwnerLine(asyncio.Protocol):
    """To the process that listens at one path. `lost` is called once, when nothing more can be sent."""

    def __init__(self, lost: Callable[[], None]) -> None:
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._reader = Reader()
        self._transport: asyncio.Transport | None = None
        # By number, in the order of sending: whom to tell, and when to give up.
        self._asked: dict[int, tuple[Told, float]] = {}

    @property
    def waiting(self) -> int:
        """How many wait for a reply."""
        return len(self._asked)

    def ask(self, question: Question, told: Told) -> None:
        """Send it. `told` hears the reply, or None: nobody knows what became of it."""
        assert self._transport is not None, "who is told that the line is lost asks nothing more"
        self._asked[question.number] = (told, self._loop.time() + ANSWER_S)
        self._transport.write(packed(question))

    def give_up(self, now: float) -> None:
        """Tear the line when the first question waits too long: its owner is stopped, or worse."""
        for _, until in self._asked.values():
            if now > until:
                self.close()
            return

    def close(self) -> None:
        """Tear the line."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._lost()
        asked, self._asked = self._asked, {}
        for told, _ in asked.values():
            told(None)

    def data_received(self, data: bytes) -> None:
        try:
            for said in self._reader.feed(data):
                told, _ = self._asked.pop(said.number, (None, 0.0))
                if told is None or not isinstance(said, Reply):
                    raise LineError("an answer to nothing")
                told(said)
        except LineError:
            self.close()


class Neighbour:
    """Another process, and the line to it, which is made when it is needed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._line: OwnerLine | None = None
        self._unsent: list[tuple[Question, Told, Callable[[], None]]] = []
        self._connecting: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """How many questions have no reply yet."""
        return len(self._unsent) + (0 if self._line is None else self._line.waiting)

    def ask(self, question: Question, told: Told, unsent: Callable[[], None]) -> None:
        """Ask it, behind all that was asked before. Either `told` is called, as by `OwnerLine.ask`, or
        `unsent`: it never heard of the question."""
        if self.waiting >= MOST_HANDED:
            unsent()
        elif self._line is not None:
            self._line.ask(question, told)
        else:
            self._unsent.append((question, told, unsent))
            if self._connecting is None:
                self._connecting = asyncio.get_running_loop().create_task(self._connect())

    async def _connect(self) -> None:
        line = OwnerLine(self._lost)
        try:
            async with asyncio.timeout(CONNECT_S):
                await asyncio.get_running_loop().create_unix_connection(lambda: line, os.fspath(self._path))
        except OSError:
            waiting, self._unsent = self._unsent, []
            for _, _, unsent in waiting:
                unsent()
        else:
            self._line = line
            waiting, self._unsent = self._unsent, []
            for question, told, _ in waiting:
                line.ask(question, told)
        finally:
            self._connecting = None

    def _lost(self) -> None:
        self._line = None

    def give_up(self, now: float) -> None:
        """See `OwnerLine.give_up`."""
        if self._line is not None:
            self._line.give_up(now)

    def tear(self) -> None:
        """It is an owner no more: whatever it hasn't answered it can't store, and need not be waited for."""
        if self._line is not None:
            self._line.close()

    def close(self) -> None:
        """Tear the line, for good."""
        if self._connecting is not None:
            self._connecting.cancel()
        if self._line is not None:
            self._line.close()


# ---------------------------------------------------------------- at the owner


class ReceiverLine(asyncio.Protocol):
    """From another process, which hands over what belongs here. asked: answers each question through the
    line, now or later."""

    def __init__(
        self,
        asked: Callable[[ReceiverLine, Question], None],
        lines: set[ReceiverLine],
        log: Log,
    ) -> None:
        self._asked = asked
        self._lines = lines
        self._log = log
        self._reader = Reader()
        self._transport: asyncio.Transport | None = None

    def say(self, reply: Reply) -> None:
        """Send a reply; into nothing when the line is gone."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(packed(reply))

    def stop_reading(self) -> None:
        """Take no more; what was taken is still answered."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def close(self) -> None:
        """Close it behind what is already said."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._lines.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._lines.discard(self)

    def data_received(self, data: bytes) -> None:
        try:
            for said in self._reader.feed(data):
                if isinstance(said, Reply):
                    raise LineError("an answer to nothing")
                self._asked(self, said)
        except LineError as error:
            self._log.error("line of another switch closed", reason=str(error))
            if self._transport is not None:
                self._transport.abort()


def bind(path: Path) -> socket.socket:
    """A listening socket for this user alone, in the place of one that a killed process left.

    Raises OSError, ValueError for a path that is too long.
    """
    if len(os.fsencode(path)) > LONGEST_PATH_BYTES:
        raise ValueError(f"{path}: longer than {LONGEST_PATH_BYTES} bytes")
    path.unlink(missing_ok=True)
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        bound.bind(os.fspath(path))
        path.chmod(0o600)  # before anybody can connect
        bound.listen()
        bound.setblocking(False)
    except BaseException:
        bound.close()
        raise
    return bound
