"""The asyncio shell: listening sockets (TCP, TLS with client certificates), one protocol object a connection,
limits on everything a peer can make us hold.

Requests of a connection are answered in their order, many per write. A peer that does not read is not read
from; a peer that stops in the middle of a frame, sends nothing for long or sends what can't be a frame is let
go, with one log line. No field of a request is ever logged.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol, cast

from switch.handshakes import Allowance, Handshakes
from switch.hsm_sim.framing import FrameReader, FramingError
from switch.hsm_sim.machine import Machine, Refusal
from switch.tls import Role, peer_of, says_whose

# Requests answered before other connections get their turn: some ms of work.
BATCH_REQUESTS: Final = 64
# Answers waiting for a slow reader; beyond it the peer is not read from. One large answer fits.
WRITE_HIGH_WATER_BYTES: Final = 128 * 1024
SWEEP_S: Final = 1.0  # how often timeouts are looked after
REFUSAL_LINES_A_SECOND: Final = 20  # the rest is counted; garbage must not fill the disk
QUIET_CODES: Final = frozenset({"01"})  # a wrong PIN or MAC is an answer, not an event
WAITING_CONNECTIONS: Final = 1024  # backlog of the listening socket


class Log(Protocol):
    """What of the switch's log is used."""

    def info(self, event: str, **fields: Any) -> Any: ...

    def warning(self, event: str, **fields: Any) -> Any: ...


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Where to listen and how much to bear. header_bytes: length of the hosts' message header. lmk_ports:
    listen on port + 1 + n too for every LMK n, where requests that name no LMK mean this one."""

    host: str = "127.0.0.1"
    port: int = 1500
    header_bytes: int = 4
    max_connections: int = 2048
    idle_timeout_s: float = 3600.0
    frame_timeout_s: float = 10.0  # from the first byte of a frame to its last
    write_timeout_s: float = 20.0  # for a peer that reads nothing
    lmk_ports: bool = False


class HsmServer:
    """Listens for hosts until `stop`."""

    def __init__(
        self, machine: Machine, settings: ServerSettings, log: Log, tls: ssl.SSLContext | None = None
    ) -> None:
        self.machine = machine
        self.settings = settings
        self._log = log
        self._tls = tls
        self._connections: set[_Connection] = set()
        self._servers: list[asyncio.Server] = []
        self._ports: list[int] = []
        self._handshakes: list[Handshakes] = []
        self._handshake_lines = Allowance()
        self._sweeper: asyncio.TimerHandle | None = None
        self._second = -1
        self._lines = self._left_out = 0

    @property
    def ports(self) -> tuple[int, ...]:
        """Ports listened on; the first is that of the default LMK."""
        return tuple(self._ports)

    @property
    def has_tls(self) -> bool:
        return self._tls is not None

    @property
    def connections(self) -> int:
        return len(self._connections)

    async def start(self) -> None:
        """Listen. Raises OSError."""
        slots = self.machine.state.slots
        await self._listen(self.settings.port, slots.default)
        if self.settings.lmk_ports:
            first = self.ports[0]
            for identifier in slots.identifiers:
                await self._listen(first + 1 + int(identifier), identifier)
        self._sweep()

    async def _listen(self, port: int, default: str) -> None:
        loop = asyncio.get_running_loop()

        def make() -> asyncio.Protocol:
            return _Connection(self, default)

        family = socket.AF_INET6 if ":" in self.settings.host else socket.AF_INET
        listening = socket.create_server(
            (self.settings.host, port), family=family, backlog=WAITING_CONNECTIONS
        )
        bound: int = listening.getsockname()[1]
        self._ports.append(bound)
        if self._tls is None:
            server = await loop.create_server(make, sock=listening, backlog=WAITING_CONNECTIONS)
            self._servers.append(server)
        else:
            timeout_s = self.settings.frame_timeout_s
            handshakes = Handshakes(self._tls, timeout_s, make, self._handshake_failed)
            self._handshakes.append(handshakes)
            handshakes.serve(listening)
        self._log.info(
            "listening",
            host=self.settings.host,
            port=bound,
            lmk=default,
            tls=self._tls is not None,
        )

    async def stop(self) -> None:
        """Close everything; answers already made are written first."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        for server in self._servers:
            server.close()
        for handshakes in self._handshakes:
            handshakes.close()
        for connection in list(self._connections):
            connection.close()
        for server in self._servers:
            await server.wait_closed()

    def admit(self, connection: _Connection) -> None:
        """Bear one more connection. Full: the longest idle one goes, first of those that never asked
        anything; else whoever holds the most would keep all others out."""
        if len(self._connections) >= self.settings.max_connections:
            longest_idle = min(self._connections, key=lambda one: (one.has_asked, one.active_at))
            longest_idle.let_go("too many connections, the longest idle goes")
            self._connections.discard(longest_idle)
        self._connections.add(connection)

    def leave(self, connection: _Connection) -> None:
        self._connections.discard(connection)

    def refused(self, refusal: Refusal, peer: str) -> None:
        """One line for a request that got an error."""
        if refusal.code not in QUIET_CODES:
            self.say(
                "request refused",
                peer=peer,
                command=refusal.command,
                code=refusal.code,
                bytes=refusal.size,
                detail=refusal.detail,
            )

    def _handshake_failed(self, peer: str, reason: str) -> None:
        left_out = self._handshake_lines.take(asyncio.get_running_loop().time())
        if left_out is not None:
            self._log.warning("TLS handshake failed", peer=peer, reason=reason, left_out=left_out)

    def say(self, event: str, **fields: Any) -> None:
        """A warning, unless this second had its share already."""
        second = int(asyncio.get_running_loop().time())
        if second != self._second:
            if self._left_out:
                self._log.warning("lines left out", count=self._left_out)
            self._second, self._lines, self._left_out = second, 0, 0
        self._lines += 1
        if self._lines > REFUSAL_LINES_A_SECOND:
            self._left_out += 1
        else:
            self._log.warning(event, **fields)

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for connection in list(self._connections):
            connection.check_time(now)
        self._sweeper = loop.call_later(SWEEP_S, self._sweep)


class _Connection(asyncio.Protocol):
    """One host. Times are of the event loop's clock."""

    __slots__ = (
        "_default",
        "_ended",
        "_frame_since",
        "_idle_since",
        "_loop",
        "_peer",
        "_queued",
        "_reader",
        "_reading_paused",
        "_server",
        "_stalled_since",
        "_transport",
        "active_at",
        "has_asked",
    )

    def __init__(self, server: HsmServer, default: str) -> None:
        self._server = server
        self._default = default
        self._reader = FrameReader(server.settings.header_bytes)
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self._peer = ""
        self._queued = False  # a turn of _work is already waiting
        self._reading_paused = False
        self._ended = False  # the peer sends no more
        self._frame_since: float | None = None
        self._stalled_since: float | None = None
        self._idle_since = self._loop.time()
        self.active_at = self._idle_since  # when the last whole request came; bytes alone don't count
        self.has_asked = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)  # other loops' transports don't inherit from it
        self._peer = _name_of(transport.get_extra_info("peername"))
        if self._server.has_tls and not _is_a_hosts(transport.get_extra_info("peercert")):
            self._server.say("connection closed", peer=self._peer, reason="not a host's certificate")
            transport.abort()
            return
        transport.set_write_buffer_limits(high=WRITE_HIGH_WATER_BYTES)
        self._transport = transport
        self._server.admit(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._server.leave(self)

    def data_received(self, data: bytes) -> None:
        self._idle_since = self._loop.time()
        if self._queued:
            self._reader.feed(data)
        else:
            self._work(data)

    def eof_received(self) -> bool:
        self._ended = True
        if (self._queued or self._stalled_since is not None) and not self._server.has_tls:
            return True  # what came before the end is answered first; then the last turn closes
        if self._reader.pending_bytes:
            self._server.say("connection closed", peer=self._peer, reason="it ended inside a frame")
        return False

    def pause_writing(self) -> None:
        self._stalled_since = self._loop.time()
        if self._transport is not None:
            self._pause_reading(self._transport)

    def resume_writing(self) -> None:
        self._stalled_since = None
        if not self._queued:
            self._queued = True
            self._loop.call_soon(self._next_turn)

    def _next_turn(self) -> None:
        self._queued = False
        self._work()

    def _work(self, data: bytes = b"") -> None:
        """Answer up to a batch of requests; the rest waits for the next turn, unread bytes in the kernel.
        data: what came just now."""
        transport, server, reader = self._transport, self._server, self._reader
        if transport is None or transport.is_closing() or self._stalled_since is not None:
            reader.feed(data)
            return
        try:
            messages = reader.take(data, BATCH_REQUESTS)
        except FramingError:
            messages = []  # said below
        answer, answers = server.machine.answer, []
        for message in messages:
            answered, refusal = answer(message, self._default)
            answers.append(answered)
            if refusal is not None:
                server.refused(refusal, self._peer)
        if answers:
            self.active_at, self.has_asked = self._idle_since, True
            transport.write(b"".join(answers))
        if reader.failed:
            server.say("connection closed", peer=self._peer, reason=reader.failed)
            transport.close()
        elif len(answers) == BATCH_REQUESTS:
            self._pause_reading(transport)
            self._queued = True
            self._loop.call_soon(self._next_turn)
        elif reader.pending_bytes or self._frame_since is not None or self._reading_paused or self._ended:
            self._after_turn(transport, bool(answers))

    def _after_turn(self, transport: asyncio.Transport, answered: bool) -> None:
        """All that is whole is answered."""
        if not self._reader.pending_bytes:
            self._frame_since = None
        elif answered or self._frame_since is None:
            self._frame_since = self._loop.time()
        if self._stalled_since is not None:
            return
        if self._ended:
            transport.close()
        elif self._reading_paused:
            self._reading_paused = False
            transport.resume_reading()

    def _pause_reading(self, transport: asyncio.Transport) -> None:
        if not self._reading_paused:
            self._reading_paused = True
            transport.pause_reading()

    def check_time(self, now: float) -> None:
        """Let a peer go that stalls, or that has been silent for too long."""
        settings = self._server.settings
        reason = ""
        if self._stalled_since is not None and now - self._stalled_since > settings.write_timeout_s:
            reason = "it does not read its answers"
        elif self._frame_since is not None and now - self._frame_since > settings.frame_timeout_s:
            reason = "a frame did not come to its end"
        elif now - self._idle_since > settings.idle_timeout_s:
            reason = "it was silent for too long"
        if reason:
            self.let_go(reason)

    def let_go(self, reason: str) -> None:
        """Close at once, with a line that says why."""
        if self._transport is not None:
            self._server.say("connection closed", peer=self._peer, reason=reason)
            self._transport.abort()

    def close(self) -> None:
        """Let the peer go: with what is written to it, unless it does not read."""
        if self._transport is None:
            return
        if self._stalled_since is not None:
            self._transport.abort()
        else:
            self._transport.close()


def _is_a_hosts(certificate: Mapping[str, Any] | None) -> bool:
    """Whether keys may be used by who holds this verified certificate: a switch, or somebody of an authority
    that names nobody our way. A terminal's is of the same authority, and stands in a shop."""
    if not says_whose(certificate):
        return True
    holder = peer_of(certificate)
    return holder is not None and holder.role is Role.SWITCH


def _name_of(peer: Any) -> str:
    return f"{peer[0]}:{peer[1]}" if isinstance(peer, tuple) and len(peer) >= 2 else "unknown"
