"""The bank host on a TCP port: sockets, TLS, delays, and rules that are read again when their file changes.

What a message gets is `host`'s business. Everything told about messages is masked.
"""

from __future__ import annotations

import asyncio
import resource
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from simulators.bank_host.host import BankHost, Close, Reaction, Send
from simulators.bank_host.rules import HostRules, RulesError, read
from switch.iso8583 import Dialect, Message, mask_text
from switch.link.framing import Framing, FramingError, answer_tpdu

READ_BYTES: Final = 64 * 1024
UNREAD_BYTES: Final = 64 * 1024  # the system keeps these for a client that doesn't read, then we read no more
LONGEST_MESSAGE_BYTES: Final = 0xFFFF  # whatever the framing can say: a test host takes what comes
MOST_CONNECTIONS: Final = 10_000  # when the limit of open files allows as many
FILES_KEPT: Final = 64  # of that limit, for everything that is no connection
BACKLOG: Final = 1024  # connections that wait to be accepted
MOST_WAITING: Final = 10_000  # answers held back at once, of all clients; more are dropped and told
RELOAD_SECONDS: Final = 0.5  # how often the rules file is looked at

Told = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Place:
    """Where the host listens. `tls`: None for plain TCP. port 0: any free one."""

    host: str = "127.0.0.1"
    port: int = 0
    tls: ssl.SSLContext | None = None


class BankHostServer:
    """Many clients, one `BankHost`. `tell` gets one mapping per event, for a log or a person."""

    def __init__(
        self,
        dialect: Dialect,
        framing: Framing,
        rules: HostRules,
        tell: Callable[[Told], None],
        rules_file: Path | None = None,
        most_connections: int | None = None,
    ) -> None:
        self.host = BankHost(dialect, rules)
        self._dialect = dialect
        self._framing = framing
        self._tell = tell
        self._rules_file = rules_file
        self._stamp = _stamp(rules_file)
        self._server: asyncio.Server | None = None
        # the one that has been silent longest stands first
        self._connections: dict[_Connection, None] = {}
        self._most_connections = most_connections or _connections_allowed()
        self._timers = _Timers()
        self._serving: set[asyncio.Task[None]] = set()
        self._watch: asyncio.Task[None] | None = None

    async def start(self, place: Place) -> int:
        """Listen; returns the port. OSError when that can't be."""
        self._server = await asyncio.start_server(
            self._serve, place.host, place.port, ssl=place.tls, limit=READ_BYTES, backlog=BACKLOG
        )
        port = int(self._server.sockets[0].getsockname()[1])
        self._tell(
            {
                "event": "listening",
                "host": place.host,
                "port": port,
                "dialect": mask_text(self._dialect.name),
                "framing": self._framing.name,
                "tls": place.tls is not None,
            }
        )
        if self._rules_file is not None:
            self._watch = asyncio.create_task(self._reload_on_change())
        return port

    async def stop(self) -> None:
        """Stop listening and close every connection; answers held back are lost."""
        if self._watch is not None:
            self._watch.cancel()
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.abort()  # a client that doesn't read would be waited for
        if self._serving:
            await asyncio.wait(self._serving)

    def reload(self) -> None:
        """Read the rules file again; a file with mistakes changes nothing."""
        if self._rules_file is None:
            return
        self._stamp = _stamp(self._rules_file)
        try:
            rules = read(self._rules_file, self._dialect)
        except RulesError as error:
            self._tell({"event": "rules refused, the old ones stay", "error": str(error)})
            return
        self.host.use(rules)
        self._tell({"event": "rules read", "rules": len(rules.rules)})

    async def _reload_on_change(self) -> None:
        while True:
            await asyncio.sleep(RELOAD_SECONDS)
            if _stamp(self._rules_file) != self._stamp:
                self.reload()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection(self.host, self._framing, writer, self._tell, self._timers, self._heard_from)
        while len(self._connections) >= self._most_connections:
            silent = next(iter(self._connections))
            del self._connections[silent]
            self._tell({"event": "closed for a new one, too many connections", "peer": silent.peer})
            silent.abort()
        self._connections[connection] = None
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        try:
            await connection.run(reader)
        finally:
            self._connections.pop(connection, None)
            self._serving.discard(task)

    def _heard_from(self, connection: _Connection) -> None:
        if connection in self._connections:
            del self._connections[connection]
            self._connections[connection] = None


class _Timers:
    """How many answers of all connections are held back."""

    count = 0


class _Connection:
    """One client. Answers wait on the event loop's timers, so that late ones overtake nobody."""

    def __init__(
        self,
        host: BankHost,
        framing: Framing,
        writer: asyncio.StreamWriter,
        tell: Callable[[Told], None],
        timers: _Timers,
        heard: Callable[[_Connection], None],
    ) -> None:
        self._host = host
        self._framing = framing
        self._writer = writer
        self._tell = tell
        self._timers = timers
        self._heard = heard
        self._waiting: set[asyncio.TimerHandle] = set()
        connected = writer.get_extra_info("socket")
        if connected is not None:
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, UNREAD_BYTES)
        address = writer.get_extra_info("peername")
        self.peer = f"{address[0]}:{address[1]}" if address else "?"

    async def run(self, reader: asyncio.StreamReader) -> None:
        """Serve until the client goes away or its bytes can't be followed."""
        frames = self._framing.reader(LONGEST_MESSAGE_BYTES)
        clock = asyncio.get_running_loop().time
        self._tell({"event": "connected", "peer": self.peer})
        ended = "disconnected"
        answered_keep_alives = 0
        try:
            while data := await reader.read(READ_BYTES):
                self._heard(self)
                try:
                    received, fault = frames.feed(data, clock()), ""
                except FramingError as error:
                    received, fault = list(error.frames), f"bad framing: {error}"
                if frames.keep_alives > answered_keep_alives:
                    answered_keep_alives = frames.keep_alives
                    self._writer.write(self._framing.keep_alive())
                for frame in received:
                    self._receive(frame.payload, frame.tpdu)
                if fault:
                    ended = fault
                    break
                await self._writer.drain()
        except (OSError, ssl.SSLError) as error:
            ended = f"connection lost: {type(error).__name__}"
        finally:
            self.close()
            self._tell({"event": ended, "peer": self.peer})

    def close(self) -> None:
        """What is written is still sent; answers held back are not."""
        self._forget_waiting()
        self._writer.close()

    def abort(self) -> None:
        """At once, whatever the client has not read."""
        self._forget_waiting()
        self._writer.transport.abort()

    def _forget_waiting(self) -> None:
        for timer in self._waiting:
            timer.cancel()
        self._timers.count -= len(self._waiting)
        self._waiting.clear()

    def _receive(self, payload: bytes, tpdu: bytes | None) -> None:
        reaction = self._host.receive(payload, datetime.now())
        self._tell({"event": "message", "peer": self.peer, "bytes": len(payload), **told(reaction)})
        for action in reaction.actions:
            if not action.delay_ms:
                self._do(action, tpdu)
            elif self._timers.count < MOST_WAITING:
                self._later(action, tpdu)
            else:
                self._tell({"event": "answer dropped, too many wait", "peer": self.peer})

    def _later(self, action: Send | Close, tpdu: bytes | None) -> None:
        def due() -> None:
            self._waiting.discard(timer)
            self._timers.count -= 1
            self._do(action, tpdu)

        timer = asyncio.get_running_loop().call_later(action.delay_ms / 1000, due)
        self._waiting.add(timer)
        self._timers.count += 1

    def _do(self, action: Send | Close, tpdu: bytes | None) -> None:
        if self._writer.is_closing():
            return
        if isinstance(action, Close):
            self.close()
        elif not action.framed:
            self._writer.write(action.data)
        else:
            addresses = None if tpdu is None else answer_tpdu(tpdu)
            try:
                self._writer.write(self._framing.frame(action.data, addresses))
            except ValueError as error:  # longer than its length can say
                self._tell({"event": "answer dropped", "peer": self.peer, "fault": str(error)})


def _connections_allowed() -> int:
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = MOST_CONNECTIONS + FILES_KEPT if soft == resource.RLIM_INFINITY else soft
    return max(1, min(MOST_CONNECTIONS, files - FILES_KEPT))


def told(reaction: Reaction) -> dict[str, object]:
    """A reaction as an event tells it: masked."""
    event: dict[str, object] = {"decided_by": mask_text(reaction.decided_by)}
    if reaction.request is not None:
        event["request"] = _shown(reaction.request)
    if reaction.fault:
        event["fault"] = reaction.fault
    if reaction.answer is not None:
        event["answer"] = _shown(reaction.answer)
    delays = [action.delay_ms for action in reaction.actions if action.delay_ms]
    if delays:
        event["delay_ms"] = max(delays)
    if not reaction.actions:
        event["silent"] = True
    return event


def _shown(message: Message) -> dict[str, str]:
    return {"mti": message.mti, **dict(message.masked())}


def _stamp(file: Path | None) -> tuple[int, int, int] | None:
    """What changes when the file does; None when there is none."""
    if file is None:
        return None
    try:
        state = file.stat()
    except OSError:
        return None
    return state.st_mtime_ns, state.st_size, state.st_ino
