"""Links on real sockets: the one asyncio shell for both ends. It does what the core says and decides nothing.

Knows sockets, timers and tasks; knows no message and no state. All of it runs on one event loop.
"""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Self, cast

from switch.iso8583 import Message
from switch.link.client import ClientLink, ClientSettings
from switch.link.core import (
    Abort,
    Action,
    Changed,
    Close,
    Counters,
    Ended,
    HoldReading,
    LateAnswer,
    Link,
    Open,
    Received,
    Report,
    Unsolicited,
    Write,
)
from switch.link.errors import LinkDown
from switch.link.server import ServerLink, ServerSettings
from switch.link.states import State

# Bytes that a peer doesn't read wait here; beyond it a server stops reading from that peer.
WRITE_BUFFER_BYTES = 64 * 1024
# Connections of one server: what a process may have open beside its other files (the usual limit is 1024).
MAXIMUM_CONNECTIONS = 512
LISTEN_BACKLOG = 128

# Handlers. A handler's error is logged by its type alone: its text could hold card data.
OnMessage = Callable[[Message, "Peer"], Awaitable[Message | None]]
OnLate = Callable[[Message, Message], Awaitable[None]]
OnUnsolicited = Callable[[Message], Awaitable[None]]
OnState = Callable[[State, str], None]
# What is worth a log line: what happened, and details free of card data.
OnReport = Callable[[str, str], None]

_log = logging.getLogger("switch.link")


def report_to_log(what: str, why: str) -> None:
    _log.warning("%s: %s", what, why) if why else _log.warning("%s", what)


class _Wire(asyncio.Protocol):
    """One connection. Deaf as soon as its peer object let go of it."""

    def __init__(self, peer: Peer | None) -> None:
        self.peer = peer
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class
        transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        if self.peer is None:
            transport.abort()
        else:
            self.peer._made(self)

    def data_received(self, data: bytes) -> None:
        if self.peer is not None:
            self.peer._do(self.peer._link.received(data, self.peer._now()))

    def connection_lost(self, error: Exception | None) -> None:
        if self.peer is not None:
            self.peer._lost(error)

    def pause_writing(self) -> None:
        if self.peer is not None:
            self.peer._hold_for_peer(True)

    def resume_writing(self) -> None:
        if self.peer is not None:
            self.peer._hold_for_peer(False)


class Peer:
    """The other side of one link, as a handler and an owner see it. Made by `Client` and `Server` only."""

    def __init__(
        self,
        link: Link,
        on_message: OnMessage | None,
        on_late: OnLate | None,
        on_unsolicited: OnUnsolicited | None,
        on_state: OnState | None,
        report: OnReport,
    ) -> None:
        self.name = "?"  # "host:port" of the other side
        self._link = link
        self._on_message = on_message
        self._on_late = on_late
        self._on_unsolicited = on_unsolicited
        self._on_state = on_state
        self._report = report
        self._loop = asyncio.get_running_loop()
        self._wire: _Wire | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._waiting: dict[int, asyncio.Future[Message]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._state_changed = asyncio.Event()
        self._held_by_link = False
        self._held_by_peer = False
        self.why = ""  # what led to the present state

    # ------------------------------------------------------------ for users

    @property
    def state(self) -> State:
        return self._link.state

    @property
    def is_up(self) -> bool:
        return self._link.is_up

    @property
    def counters(self) -> Counters:
        return self._link.counters

    @property
    def in_flight(self) -> int:
        return self._link.in_flight

    @property
    def certificate(self) -> Mapping[str, Any] | None:
        """The other side's, verified, as `getpeercert` gives it; None without TLS, empty for none shown."""
        transport = self._wire.transport if self._wire is not None else None
        tls = None if transport is None else transport.get_extra_info("ssl_object")
        return None if tls is None else tls.getpeercert() or {}

    async def request(self, message: Message, timeout_s: float | None = None) -> Message:
        """The answer to `message`.

        `LinkTimeout` when none comes in time, `LinkDown` when the link is not up (`sent` false) or breaks
        before the answer (`sent` true: the outcome is unknown), `DuplicateInFlight`, `LinkBusy`, and
        `ValueError` (`EncodeError`) for a message that can't be sent.
        """
        try:
            ticket, actions = self._link.request(message, self._now(), timeout_s)
        except Exception:
            self._tick()
            raise
        answer: asyncio.Future[Message] = self._loop.create_future()
        self._waiting[ticket] = answer
        self._do(actions)
        try:
            return await answer
        except asyncio.CancelledError:
            if self._waiting.pop(ticket, None) is not None:
                self._do(self._link.abandon(ticket, self._now()))
            elif not answer.cancelled() and answer.exception() is None:
                self._do([LateAnswer(message, answer.result())])  # it came, and the caller will not see it
            raise

    def send(self, message: Message) -> None:
        """Send a message that nobody answers. `LinkDown` when the link is not up; `ValueError`."""
        try:
            actions = self._link.send(message, self._now())
        except Exception:
            self._tick()
            raise
        self._do(actions)

    async def wait_for(self, *states: State) -> None:
        """Return when the link is in one of these states."""
        while self._link.state not in states:
            self._state_changed.clear()
            await self._state_changed.wait()

    async def stop(self) -> None:
        """End the link: what is under way is brought to its end, within drain_timeout_s."""
        self._do(self._link.stop(self._now()))
        await self.wait_for(State.STOPPED)
        await self._end_tasks()

    # ------------------------------------------------------------ the wire calls

    def _made(self, wire: _Wire) -> None:
        raise NotImplementedError

    def _lost(self, error: Exception | None) -> None:
        self._let_go()
        why = "connection ended by the peer" if error is None else f"connection broken: {_words(error)}"
        self._do(self._link.lost(self._now(), why))

    def _hold_for_peer(self, hold: bool) -> None:
        self._held_by_peer = hold
        self._set_reading()

    # ------------------------------------------------------------ doing

    def _now(self) -> float:
        return self._loop.time()

    def _tick(self) -> None:
        self._do(self._link.tick(self._now()))

    def _do(self, actions: Iterable[Action]) -> None:
        for action in actions:
            self._do_one(action)
        self._arm()

    def _do_one(self, action: Action) -> None:
        match action:
            case Write(data):
                if self._wire is not None and self._wire.transport is not None:
                    self._wire.transport.write(data)
            case Ended(ticket, outcome):
                waiting = self._waiting.pop(ticket, None)
                if waiting is None or waiting.done():
                    return
                if isinstance(outcome, Message):
                    waiting.set_result(outcome)
                else:
                    waiting.set_exception(outcome)
            case Received(token, message):
                self._spawn(self._handle(token, message))
            case LateAnswer(request, answer):
                if self._on_late is None:
                    self._report("late answer, no handler", "")
                else:
                    self._spawn(self._guard("late-answer handler", self._on_late(request, answer)))
            case Unsolicited(message):
                if self._on_unsolicited is None:
                    self._report("answer that nobody asked for", self._link.settings.key.describe(message))
                else:
                    self._spawn(self._guard("unsolicited-answer handler", self._on_unsolicited(message)))
            case Changed(state, why):
                self.why = why
                self._state_changed.set()
                self._tell_state(state, why)
            case HoldReading(hold):
                self._held_by_link = hold
                self._set_reading()
            case Close():
                self._drop(lambda transport: transport.close())
            case Abort():
                self._drop(lambda transport: transport.abort())
            case Open():
                self._open()
            case Report(what, why):
                self._report(what, why)

    def _tell_state(self, state: State, why: str) -> None:
        if self._on_state is not None:
            try:
                self._on_state(state, why)
            except Exception as error:
                self._report("state handler failed", type(error).__name__)

    def _open(self) -> None:
        raise NotImplementedError

    def _drop(self, end: Callable[[asyncio.Transport], None]) -> None:
        wire = self._let_go()
        if wire is not None and wire.transport is not None:
            end(wire.transport)

    def _let_go(self) -> _Wire | None:
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.peer = None
        self._held_by_link = self._held_by_peer = False
        return wire

    def _set_reading(self) -> None:
        transport = self._wire.transport if self._wire is not None else None
        if transport is None or transport.is_closing():
            return
        if self._held_by_link or self._held_by_peer:
            transport.pause_reading()
        else:
            transport.resume_reading()

    def _arm(self) -> None:
        """One timer at most, at or before the core's next deadline: early is harmless, often is not."""
        deadline = self._link.next_deadline()
        timer = self._timer
        if deadline is None:
            if timer is not None:
                timer.cancel()
                self._timer = None
        elif timer is None or timer.when() > deadline:
            if timer is not None:
                timer.cancel()
            self._timer = self._loop.call_at(deadline, self._fire)

    def _fire(self) -> None:
        self._timer = None
        self._tick()

    # ------------------------------------------------------------ handlers

    async def _handle(self, token: int, message: Message) -> None:
        """Every token comes back to the link, whatever the handler does."""
        link = self._link
        if self._on_message is None:
            self._do(link.answer(token, None, self._now()))
            if self._on_unsolicited is not None:
                await self._guard("unsolicited-message handler", self._on_unsolicited(message))
            return
        try:
            answer = await self._on_message(message, self)
        except asyncio.CancelledError:
            self._do(link.answer_failed(token, self._now()))
            raise
        except Exception as error:
            self._report("message handler failed", type(error).__name__)
            self._do(link.answer_failed(token, self._now()))
        else:
            self._do(link.answer(token, answer, self._now()))

    async def _guard(self, name: str, work: Awaitable[None]) -> None:
        try:
            await work
        except Exception as error:
            self._report(f"{name} failed", type(error).__name__)

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _end_tasks(self) -> None:
        """Handlers that go on after the link has ended are cancelled."""
        current = asyncio.current_task()
        tasks = [task for task in self._tasks if task is not current]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Client(Peer):
    """A link to a host that is kept up until `stop`.

    host, port: where to; host may be a name. settings: see `ClientSettings`.
    tls: a context; server_hostname: the name in the certificate, when it isn't `host`.
    on_message(message, client) -> answer | None: the host's own requests; None: they are unsolicited.
    on_late(request, answer): the answer of a request that ended without one. on_unsolicited(message).
    on_state(state, why): called at each change, must not wait. report(what, why): default, the log.

        async with Client("host.example", 8583, ClientSettings(dialect)) as client:
            await client.up(30)
            answer = await client.request(message)
    """

    _link: ClientLink

    def __init__(
        self,
        host: str,
        port: int,
        settings: ClientSettings,
        *,
        tls: ssl.SSLContext | None = None,
        server_hostname: str | None = None,
        on_message: OnMessage | None = None,
        on_late: OnLate | None = None,
        on_unsolicited: OnUnsolicited | None = None,
        on_state: OnState | None = None,
        report: OnReport = report_to_log,
        uniform: Callable[[], float] = random.random,
        next_stan: Callable[[], int] | None = None,
    ) -> None:
        link = ClientLink(settings, uniform, next_stan)
        super().__init__(link, on_message, on_late, on_unsolicited, on_state, report)
        self.name = f"{host}:{port}"
        self._host, self._port, self._tls = host, port, tls
        self._server_hostname = server_hostname
        self._opening: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.stop()

    def start(self) -> None:
        """Begin to connect; returns at once."""
        self._do(self._link.start(self._now()))

    async def up(self, timeout_s: float | None = None) -> None:
        """Return when the link is up; `LinkDown`, with the reason so far, when it isn't in time."""
        try:
            async with asyncio.timeout(timeout_s):
                await self.wait_for(State.UP)
        except TimeoutError:
            what = f"{self.name}: not up within {timeout_s:g} s ({self.state}: {self.why})"
            raise LinkDown(what, sent=False) from None

    @property
    def sign_on_answer(self) -> Message | None:
        """The last approving answer to our sign-on."""
        return self._link.sign_on_answer

    def _open(self) -> None:
        self._wire = _Wire(self)
        self._opening = asyncio.ensure_future(self._connect(self._wire))

    async def _connect(self, wire: _Wire) -> None:
        try:
            await self._loop.create_connection(
                lambda: wire,
                self._host,
                self._port,
                ssl=self._tls,
                server_hostname=(self._server_hostname or self._host) if self._tls else None,
            )
        except (OSError, ValueError) as error:  # ValueError: a name that is none, a certificate refused
            if wire.peer is self:
                self._opening = None
                self._let_go()
                self._do(self._link.connect_failed(self._now(), _words(error)))

    def _made(self, wire: _Wire) -> None:
        self._opening = None
        self._do(self._link.connected(self._now()))

    def _drop(self, end: Callable[[asyncio.Transport], None]) -> None:
        opening, self._opening = self._opening, None
        super()._drop(end)
        if opening is not None:
            opening.cancel()

    def _hold_for_peer(self, hold: bool) -> None:
        """A host that is slow to read is still listened to: what we send is bounded by what is in flight."""


class _Accepted(Peer):
    """One connection of a server."""

    _link: ServerLink

    def __init__(self, server: Server) -> None:
        super().__init__(
            ServerLink(server.settings, server._next_stan),
            server._on_message,
            server._on_late,
            server._on_unsolicited,
            None,
            server._report_of,
        )
        self._server = server

    def _made(self, wire: _Wire) -> None:
        assert wire.transport is not None
        self._wire = wire
        address = wire.transport.get_extra_info("peername")
        self.name = f"{address[0]}:{address[1]}" if address else "?"
        if self._server._admits(self):
            self._do(self._link.accepted(self._now()))
        else:
            self._drop(lambda transport: transport.abort())

    def _do(self, actions: Iterable[Action]) -> None:
        super()._do(actions)
        if self._link.state is State.STOPPED:
            self._server._ended(self)


class Server:
    """Accepts links. Each message goes to `on_message`, several at once; its answer goes back the same way.

    on_message(message, peer) -> answer | None. peer: `Peer` (name, request, send, counters …).
    settings: `ServerSettings`, per connection. maximum_connections: further ones are let go at once.
    admit(peer) -> bool: looks at who is there (`Peer.certificate`); whoever isn't admitted is let go.
    tls: a context. The rest as in `Client`. Who listens by other means than `start` makes the protocols of
    connections with `protocol`.

        async with Server(ServerSettings(dialect), decide, port=8583) as server:
            await server.ended()
    """

    def __init__(
        self,
        settings: ServerSettings,
        on_message: OnMessage,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: ssl.SSLContext | None = None,
        maximum_connections: int = MAXIMUM_CONNECTIONS,
        on_late: OnLate | None = None,
        on_unsolicited: OnUnsolicited | None = None,
        admit: Callable[[Peer], bool] | None = None,
        report: OnReport = report_to_log,
        next_stan: Callable[[], int] | None = None,
    ) -> None:
        self.settings = settings
        self.host = host
        self.port = port  # 0: a free one; the true one after the start
        self.turned_away = 0  # connections beyond the limit
        self._on_message = on_message
        self._on_late = on_late
        self._on_unsolicited = on_unsolicited
        self._admit = admit
        self._next_stan = next_stan
        self._report_of = report
        self._tls = tls
        self._maximum = maximum_connections
        self._peers: dict[_Accepted, None] = {}
        self._leftovers: set[asyncio.Task[None]] = set()
        self._listening: asyncio.Server | None = None
        self._ended_event = asyncio.Event()

    @property
    def peers(self) -> tuple[Peer, ...]:
        """Whoever is connected now."""
        return tuple(self._peers)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.stop()

    def protocol(self) -> asyncio.Protocol:
        """Of one more connection."""
        return _Wire(_Accepted(self))

    async def start(self) -> None:
        """Listen. `OSError` when the address can't be had."""
        self._listening = await asyncio.get_running_loop().create_server(
            self.protocol,
            self.host,
            self.port,
            ssl=self._tls,
            ssl_handshake_timeout=self.settings.frame_timeout_s if self._tls else None,
            backlog=LISTEN_BACKLOG,
        )
        self.port = self._listening.sockets[0].getsockname()[1]

    async def ended(self) -> None:
        """Wait until somebody stops the server."""
        await self._ended_event.wait()

    async def stop(self) -> None:
        """Accept nothing more; bring every link to its end, within drain_timeout_s."""
        if self._listening is not None:
            self._listening.close()
        await asyncio.gather(*(peer.stop() for peer in list(self._peers)))
        for task in list(self._leftovers):
            task.cancel()
        await asyncio.gather(*self._leftovers, return_exceptions=True)
        self._ended_event.set()

    def _admits(self, peer: _Accepted) -> bool:
        if len(self._peers) >= self._maximum:
            self.turned_away += 1
            return False
        if self._admit is not None and not self._admit(peer):
            return False
        self._peers[peer] = None
        return True

    def _ended(self, peer: _Accepted) -> None:
        """A link is over; its handlers may go on (a reversal under way), the server's stop ends them."""
        self._peers.pop(peer, None)
        for task in peer._tasks:
            self._leftovers.add(task)
            task.add_done_callback(self._leftovers.discard)


def _words(error: Exception) -> str:
    """What a person needs of a connection's error: it comes from the system and names no content."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate refused: {error.verify_message}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
