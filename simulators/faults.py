"""A line that goes wrong: a TCP proxy between terminal and switch, with toxiproxy's names for the faults.

It forwards whole frames (2-byte length in front); a toxic gets a frame and says what becomes of it. Chance
comes from the seed alone. It never reads more of a message than its type, and never logs one.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

READ_BYTES: Final = 64 * 1024
LENGTH_BYTES: Final = 2
TPDU_BYTES: Final = 5
TPDU_FIRST_BYTE: Final = 0x60
UNLIMITED: Final = -1
WAIT_SECONDS: Final = 60.0  # for a frame that must come; only ends a hang


class Stream(StrEnum):
    """Direction: `upstream` towards the switch, `downstream` towards the terminal."""

    UPSTREAM = "upstream"
    DOWNSTREAM = "downstream"


class Ending(StrEnum):
    """What happens to the connection after a piece: it stays, is closed in order, or is reset."""

    STAY = "stay"
    CLOSE = "close"
    RESET = "reset"


class Piece(NamedTuple):
    """Bytes to send after `delay_ms`, and what happens to the connection then."""

    delay_ms: float
    data: bytes
    ending: Ending = Ending.STAY


def framed(message: bytes) -> bytes:
    """A message with its length in front, without a TPDU."""
    return len(message).to_bytes(LENGTH_BYTES) + message


def frame_message(frame: bytes) -> bytes:
    """The message in a frame: without the length and, when there is one, without the TPDU."""
    body = frame[LENGTH_BYTES:]
    if body[:1] == bytes((TPDU_FIRST_BYTE,)):
        body = body[TPDU_BYTES:]
    return body


def message_type(frame: bytes) -> str:
    """The MTI of a frame's message (four BCD digits), or "" when it is too short."""
    message = frame_message(frame)
    return message[:2].hex() if len(message) >= 2 else ""


class Frames:
    """Cuts a byte stream into frames (length included); pure, bounded by the largest frame, 65 537 bytes."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The frames that `data` completes."""
        self._buffer += data
        frames = []
        while len(self._buffer) >= LENGTH_BYTES:
            end = LENGTH_BYTES + int.from_bytes(self._buffer[:LENGTH_BYTES])
            if len(self._buffer) < end:
                break
            frames.append(bytes(self._buffer[:end]))
            del self._buffer[:end]
        return frames

    def rest(self) -> bytes:
        """What has come of an unfinished frame."""
        return bytes(self._buffer)


@dataclass(slots=True)
class Toxic:
    """A fault on one direction of the line.

    toxicity: chance per frame that it strikes; times: how often it may strike at all;
    message_types: only frames with these MTIs, empty for all.
    """

    stream: Stream = Stream.DOWNSTREAM
    toxicity: float = 1.0
    times: int = UNLIMITED
    message_types: frozenset[str] = frozenset()
    struck: int = 0

    def strikes(self, frame: bytes, choice: random.Random) -> bool:
        """Whether this frame is hit; counts it."""
        if self.struck == self.times:
            return False
        if self.message_types and message_type(frame) not in self.message_types:
            return False
        if self.toxicity < 1.0 and choice.random() >= self.toxicity:
            return False
        self.struck += 1
        return True

    def apply(self, pieces: list[Piece], choice: random.Random) -> list[Piece]:
        """What becomes of a frame (in pieces already when another toxic cut it)."""
        raise NotImplementedError


@dataclass(slots=True)
class Latency(Toxic):
    """Every frame comes `latency` ± `jitter` milliseconds late."""

    latency: float = 0
    jitter: float = 0

    def apply(self, pieces: list[Piece], choice: random.Random) -> list[Piece]:
        delay_ms = max(0.0, self.latency + choice.uniform(-self.jitter, self.jitter))
        return _later(pieces, delay_ms)


@dataclass(slots=True)
class LateResponse(Toxic):
    """One answer is held back `latency` milliseconds: long enough, and it comes after the terminal gave
    up."""

    latency: float = 0
    times: int = 1

    def apply(self, pieces: list[Piece], choice: random.Random) -> list[Piece]:
        return _later(pieces, self.latency)


@dataclass(slots=True)
class Bandwidth(Toxic):
    """At most `rate` kilobytes a second."""

    rate: float = 1.0

    def apply(self, pieces: list[Piece], choice: random.Random) -> list[Piece]:
        return [piece._replace(delay_ms=piece.delay_ms + len(piece.data) / self.rate) for piece in pieces]


@dataclass(slots=True)
class Slicer(Toxic):
    """Frames come in slices of `average_size` ± `size_variation` bytes, `delay` microseconds apart."""

    average_size: int = 1
    size_variation: int = 0
    delay: float = 0

    def apply(self, pieces: list[Piece], choice: random.Random) -> list[Piece]:
        sliced: list[Piece] = []
        for piece in pieces:
            delay_ms, start = piece.delay_ms, 0
            while start < len(piece.data):
                size = max(1, self.average_size + choice.randint(-self.size_variation, self.size_variation))
                sliced.append(Piece(delay_ms, piece.data[start : start + size]))
                delay_ms, start = self.delay / 1000, start + size
        return sliced


@dataclass(slots=True)
class Timeout(Toxic):
    """Nothing passes any more; `timeout` milliseconds later the connection is closed (0: never)."""

    timeout: float = 0

    def apply(self, pieces: list[Piece], choice: random.Random) -> list[Piece]:
        return [Piece(self.timeout, b"", Ending.CLOSE)] if self.timeout else []


@dataclass(slots=True)
class ResetPeer(Toxic):
    """The connection is reset instead of the frame being passed on, after `timeout` milliseconds."""

    timeout: float = 0

    def apply(self, pieces: list[Piece], choice: random.Random) -> list[Piece]:
        return [Piece(self.timeout, b"", Ending.RESET)]


@dataclass(slots=True)
class LimitData(Toxic):
    """The connection is closed after `bytes` bytes; the last frame may come torn."""

    bytes: int = 0
    passed: int = 0

    def apply(self, pieces: list[Piece], choice: random.Random) -> list[Piece]:
        left: list[Piece] = []
        for piece in pieces:
            data = piece.data[: self.bytes - self.passed]
            self.passed += len(data)
            left.append(Piece(piece.delay_ms, data, piece.ending))
        if left and self.passed >= self.bytes:
            left[-1] = left[-1]._replace(ending=Ending.CLOSE)
        return left


@dataclass(slots=True)
class Drop(Toxic):
    """The frame is lost; the connection stays."""

    def apply(self, pieces: list[Piece], choice: random.Random) -> list[Piece]:
        return []


@dataclass(slots=True)
class Duplicate(Toxic):
    """The frame comes twice."""

    def apply(self, pieces: list[Piece], choice: random.Random) -> list[Piece]:
        return pieces * 2


@dataclass(slots=True)
class Corrupt(Toxic):
    """One bit of the message is flipped; the length stays right."""

    def apply(self, pieces: list[Piece], choice: random.Random) -> list[Piece]:
        frame = bytearray(b"".join(piece.data for piece in pieces))
        if len(frame) > LENGTH_BYTES:
            frame[choice.randrange(LENGTH_BYTES, len(frame))] ^= 1 << choice.randrange(8)
        return [Piece(pieces[0].delay_ms, bytes(frame))]


TOXICS: Final[dict[str, type[Toxic]]] = {
    "latency": Latency,
    "bandwidth": Bandwidth,
    "slicer": Slicer,
    "timeout": Timeout,
    "reset_peer": ResetPeer,
    "limit_data": LimitData,
    "late_response": LateResponse,
    "duplicate": Duplicate,
    "corrupt": Corrupt,
    "drop": Drop,
}


class FaultProxy:
    """Listens on 127.0.0.1 and forwards to the upstream address, through the toxics that are in force.

    Besides toxics it can hold answers back (`hold_answers`, `release_answers`) and refuse the line altogether
    (`pull_line`, `mend_line`).
    """

    def __init__(self, upstream_host: str, upstream_port: int, seed: int = 0) -> None:
        self.upstream_host = upstream_host
        self.upstream_port = upstream_port
        self.port = 0
        self.toxics: list[Toxic] = []
        self.connections = 0
        self.forwarded = {Stream.UPSTREAM: 0, Stream.DOWNSTREAM: 0}
        self.held_answers = 0
        self._random = random.Random(seed)
        self._server: asyncio.Server | None = None
        self._running: set[asyncio.Task[None]] = set()
        self._answers_pass = asyncio.Event()
        self._answers_pass.set()
        self._changed = asyncio.Event()
        self._is_pulled = False

    async def start(self) -> None:
        """Listen; the port is in `port`."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = int(self._server.sockets[0].getsockname()[1])

    async def unplug(self) -> None:
        """Cut every connection and be not there: a caller is refused, where `pull_line` lets it in and drops
        it. `plug_in` ends it."""
        await self.stop()

    async def plug_in(self) -> None:
        """Listen again, on the same port."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)

    async def stop(self) -> None:
        """Cut all connections and stop listening."""
        if self._server is not None:
            self._server.close()
            self._server = None
        await self._cut_all()

    def add(self, toxic: Toxic) -> Toxic:
        """Put a toxic in force, for frames from now on."""
        self.toxics.append(toxic)
        return toxic

    def remove(self, toxic: Toxic) -> None:
        """Take a toxic away."""
        self.toxics.remove(toxic)

    def hold_answers(self) -> None:
        """From now on answers stop here until `release_answers`."""
        self._answers_pass.clear()

    def release_answers(self) -> None:
        """Let the held answers go on."""
        self._answers_pass.set()

    async def answer_held_after(self, count: int) -> None:
        """Returns as soon as more than `count` answers have been stopped here since the start.

        Raises TimeoutError when none comes.
        """
        await self._until(lambda: self.held_answers > count, "no answer came to be held")

    async def pull_line(self) -> None:
        """Cut every connection and refuse new ones."""
        self._is_pulled = True
        await self._cut_all()

    def mend_line(self) -> None:
        """Accept connections again."""
        self._is_pulled = False

    async def toxic_struck(self, toxic: Toxic) -> None:
        """Returns as soon as `toxic` has struck. Raises TimeoutError when nothing comes that it could hit."""
        await self._until(lambda: toxic.struck > 0, f"no frame came for {type(toxic).__name__} to hit")

    async def _until(self, happened: Callable[[], bool], otherwise: str) -> None:
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                while not happened():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            forwarded = ", ".join(f"{count} {stream}" for stream, count in self.forwarded.items())
            raise TimeoutError(
                f"{otherwise} within {WAIT_SECONDS:g} s; forwarded so far: {forwarded}"
            ) from None

    async def _cut_all(self) -> None:
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        self.connections += 1
        try:
            await self._connect(reader, writer)
        except asyncio.CancelledError:
            _reset(writer)
        finally:
            self._running.discard(task)
            writer.close()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_pulled:
            _reset(writer)
            return
        try:
            far_reader, far_writer = await asyncio.open_connection(self.upstream_host, self.upstream_port)
        except OSError:
            _reset(writer)
            return
        pumps = (
            asyncio.create_task(self._pump(Stream.UPSTREAM, reader, far_writer)),
            asyncio.create_task(self._pump(Stream.DOWNSTREAM, far_reader, writer)),
        )
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            # The end of one direction is the end of both.
            if any(pump.done() and pump.result() is Ending.RESET for pump in pumps):
                _reset(writer)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            far_writer.close()

    async def _pump(
        self, stream: Stream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> Ending:
        """Forward one direction until it ends; how the connection ends with it."""
        frames = Frames()
        try:
            while data := await reader.read(READ_BYTES):
                for frame in frames.feed(data):
                    ending = await self._forward(stream, frame, writer)
                    if ending is not Ending.STAY:
                        return ending
            writer.write(frames.rest())
            await writer.drain()
        except ConnectionError:
            return Ending.RESET
        return Ending.CLOSE

    async def _forward(self, stream: Stream, frame: bytes, writer: asyncio.StreamWriter) -> Ending:
        if stream is Stream.DOWNSTREAM and not self._answers_pass.is_set():
            self.held_answers += 1
            self._changed.set()
            await self._answers_pass.wait()
        for piece in self._poisoned(stream, frame):
            if piece.delay_ms:
                await asyncio.sleep(piece.delay_ms / 1000)
            writer.write(piece.data)
            await writer.drain()
            if piece.ending is not Ending.STAY:
                return piece.ending
        self.forwarded[stream] += 1
        return Ending.STAY

    def _poisoned(self, stream: Stream, frame: bytes) -> list[Piece]:
        pieces = [Piece(0, frame)]
        for toxic in self.toxics:
            if pieces and toxic.stream is stream and toxic.strikes(frame, self._random):
                pieces = toxic.apply(pieces, self._random)
        self._changed.set()
        return pieces


def _later(pieces: list[Piece], delay_ms: float) -> list[Piece]:
    first = pieces[0]
    return [first._replace(delay_ms=first.delay_ms + delay_ms), *pieces[1:]]


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST instead of FIN: what a pulled line or a dead modem looks like."""
    connection = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
