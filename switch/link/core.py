"""One link without sockets: bytes, events and the time go in, actions come out. Both ends are this.

No I/O, no clock, no asyncio: `now` is passed to every call (one monotonic clock, seconds) and each call
returns what is to be done, in order. `switch.link.stream` does it on real sockets; a test plays hours in
milliseconds. What may happen in which state stands in `switch.link.states`, not here.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import NamedTuple, Protocol

from switch.iso8583 import DecodeError, EncodeError, Message
from switch.link import matching
from switch.link.errors import DuplicateInFlight, LinkDown, LinkError, LinkTimeout, RemoteProtocolError
from switch.link.framing import (
    DEFAULT_FRAMING,
    MAXIMUM_FRAME_BYTES,
    Frame,
    Framing,
    FramingError,
    answer_tpdu,
)
from switch.link.matching import InFlight, MatchKey, is_answer, wants_answer
from switch.link.network import NetworkMessages
from switch.link.states import CONNECTED_STATES, Do, Event, Life, Role, State

# Messages that don't decode, or that the state doesn't allow, on one connection: one may be a partner's
# oddity, so many say that the two sides don't speak the same language.
FAULTS_MAXIMUM = 16
# Keep-alives are answered at most once in this time: two sides that both answer would never stop.
KEEP_ALIVE_ANSWER_S = 1.0
# 2 to the power of this, times the first back-off, is beyond any longest one.
DOUBLINGS_MAXIMUM = 32
LAST_STAN = 999_999
STAN_TRIES = 3  # our STANs count up: meeting a key that the owner uses is rare, three times running a mistake


class Codec(Protocol):
    """Messages <-> bytes: a `Dialect`, or something of yours around it that makes and checks MACs.

    `decode` raises `ValueError` (as `DecodeError` is) for what it refuses, `encode` for what it can't carry.
    """

    def encode(self, message: Message) -> bytes: ...

    def decode(self, data: bytes) -> Message: ...


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """What both ends have in common. Times are seconds; None switches a rule off.

    codec, framing: how messages stand on the wire. network: the partner's 08xx. key: how answers are matched.
    max_in_flight: our requests waiting for an answer. max_at_handler: the peer's, at the handler, before we
    stop reading. answer_timeout_s: for requests that name none.
    echo_after_s: an echo is sent when nothing was heard for so long; unanswered for echo_timeout_s, and
    nothing else heard, the link counts as dead. idle_timeout_s: the same without asking.
    frame_timeout_s: for the end of a frame that has begun.
    drain_timeout_s: for what is under way when the link is stopped.
    answer_network: sign-on, sign-off and echo of the peer are answered by the link, else by the handler.
    answer_keep_alives: zero-length frames get one back, else they are only noted.
    """

    codec: Codec
    framing: Framing = DEFAULT_FRAMING
    network: NetworkMessages = field(default_factory=NetworkMessages)
    key: MatchKey = field(default_factory=MatchKey)
    max_frame_bytes: int = MAXIMUM_FRAME_BYTES
    max_in_flight: int = matching.MAXIMUM_IN_FLIGHT
    max_at_handler: int = 256
    remember_s: float = matching.REMEMBER_S
    answer_timeout_s: float = 15.0
    echo_after_s: float | None = None
    echo_timeout_s: float = 15.0
    idle_timeout_s: float | None = None
    frame_timeout_s: float = 15.0
    sign_on_timeout_s: float = 30.0
    drain_timeout_s: float = 20.0
    answer_network: bool = True
    answer_keep_alives: bool = False


# ---------------------------------------------------------------- what is to be done


class Open(NamedTuple):
    """Open the connection; then call `connected` or `connect_failed`."""


class Write(NamedTuple):
    data: bytes

    def __repr__(self) -> str:  # may hold a card number
        return f"<Write {len(self.data)} bytes>"


class HoldReading(NamedTuple):
    """Stop (or go on) taking bytes from the connection."""

    hold: bool


class Close(NamedTuple):
    """End the connection after what was written; `lost` need not be called for it."""


class Abort(NamedTuple):
    """End the connection, or the attempt, at once; `lost` need not be called for it."""


class Ended(NamedTuple):
    """A request of ours has ended: with its answer, or with the reason why there is none."""

    ticket: int
    outcome: Message | LinkError


class Received(NamedTuple):
    """A message of the peer for the handler. Call `answer` with this token once, in any case."""

    token: int
    message: Message


class LateAnswer(NamedTuple):
    """The answer of a request that ended without one: the handler may reverse it, or take it after all."""

    request: Message
    answer: Message


class Unsolicited(NamedTuple):
    """An answer that nobody asked for."""

    message: Message


class Changed(NamedTuple):
    """The link's state is another now. `why`: what led to it, for a person."""

    state: State
    why: str


class Report(NamedTuple):
    """Something worth a line in a log. Free of card data."""

    what: str
    why: str = ""


Action = (
    Open
    | Write
    | HoldReading
    | Close
    | Abort
    | Ended
    | Received
    | LateAnswer
    | Unsolicited
    | Changed
    | Report
)


@dataclass(slots=True)
class Counters:
    """What happened on a link since it was made. All only count up."""

    connections: int = 0
    failures: int = 0  # attempts that failed and connections that broke
    sign_ons: int = 0
    requests: int = 0  # sent by us, business and network
    answers: int = 0  # that ended a request
    timeouts: int = 0
    lost: int = 0  # requests that a broken connection ended
    late: int = 0
    duplicates: int = 0  # second answers, dropped
    unsolicited: int = 0
    received: int = 0  # requests, advices and notifications of the peer
    refused: int = 0  # of these, answered without the handler
    answered: int = 0  # of these, answered
    echoes: int = 0  # sent by us
    echoes_unanswered: int = 0
    keep_alives: int = 0  # received
    undecodable: int = 0
    bytes_in: int = 0
    bytes_out: int = 0

    def as_dict(self) -> dict[str, int]:
        return asdict(self)


class _Waiting(NamedTuple):
    """A message of the peer that is at the handler."""

    message: Message
    tpdu: bytes | None


class Link:
    """One link. What a client or a server does differently stands in its methods with an underscore.

    Every call brings the link up to `now` first, so a deadline that has passed is never overtaken by bytes
    that came later.
    """

    def __init__(
        self,
        role: Role,
        settings: LinkSettings,
        next_stan: Callable[[], int] | None = None,
    ) -> None:
        self.settings = settings
        self.counters = Counters()
        self.sign_on_answer: Message | None = None  # the last approving one: may bring date, keys, versions
        self._life = Life(role)
        self._network = settings.network
        self._flights = InFlight(settings.key, settings.max_in_flight, settings.remember_s)
        self._own: dict[int, Event] = {}  # our network messages: ticket -> what its end without a yes means
        self._at_handler: dict[int, _Waiting] = {}
        self._next_token = 0
        self._reader = settings.framing.reader(settings.max_frame_bytes)
        self._next_stan = next_stan or _counting_stans()
        self._timers: dict[Event, float] = {}
        self._heard_at = 0.0
        self._keep_alive_answered_at: float | None = None
        self._echo_sent_at: float | None = None  # while its answer is awaited
        self._has_signed_on = False  # on this connection
        self._signing_off = False
        self._holding = False
        self._deaf = False
        self._faults = 0
        self._reported: set[str] = set()
        self._why = ""
        self._out: list[Action] = []

    @property
    def state(self) -> State:
        return self._life.state

    @property
    def is_up(self) -> bool:
        return self._life.state is State.UP

    @property
    def in_flight(self) -> int:
        """Our requests that wait for an answer, the link's own network messages too."""
        return len(self._flights)

    @property
    def at_handler(self) -> int:
        """The peer's messages that the handler has not answered yet."""
        return len(self._at_handler)

    # ------------------------------------------------------------ what goes in

    def stop(self, now: float, why: str = "stopped") -> list[Action]:
        """End the link: nothing new, what is under way is brought to its end within drain_timeout_s."""
        self._catch_up(now)
        self._on(Event.STOP, now, why)
        return self._done(now)

    def received(self, data: bytes, now: float) -> list[Action]:
        """Bytes from the connection."""
        self._catch_up(now)
        if self.state not in CONNECTED_STATES or self._deaf:
            return self._done(now)
        self.counters.bytes_in += len(data)
        fault: FramingError | None = None
        keep_alives = self._reader.keep_alives
        frames: Sequence[Frame]
        try:
            frames = self._reader.feed(data, now)
        except FramingError as error:
            frames, fault = error.frames, error
        came = self._reader.keep_alives - keep_alives
        if frames or came:
            self._heard_at = now
        if came:
            self._take_keep_alives(came, now)
        for one in frames:
            if self.state not in CONNECTED_STATES or self._deaf:
                break
            self._take_frame(one, now)
        if fault is not None and self.state in CONNECTED_STATES:
            self._report("bad framing", str(fault))
            self._on(Event.UNREADABLE, now, f"bad framing: {fault}")
        return self._done(now)

    def lost(self, now: float, why: str = "connection ended by the peer") -> list[Action]:
        """The connection ended without our doing."""
        self._catch_up(now)
        if self.state in CONNECTED_STATES:
            if self._reader.pending_since is not None:
                why += ", inside a frame"
            self._on(Event.BROKEN, now, why)
        return self._done(now)

    def tick(self, now: float) -> list[Action]:
        """The time is `now`. To be called at `next_deadline`, or more often."""
        self._catch_up(now)
        return self._done(now)

    def next_deadline(self) -> float | None:
        """When `tick` has something to do, if nothing else happens; None = never."""
        deadlines = [*self._timers.values()]
        flight = self._flights.next_deadline()
        if flight is not None:
            deadlines.append(flight)
        if self.state in CONNECTED_STATES:
            if self._reader.pending_since is not None and not self._deaf:
                deadlines.append(self._reader.pending_since + self.settings.frame_timeout_s)
            echo_at, idle_at = self._echo_at(), self._idle_at()
            deadlines += [at for at in (echo_at, idle_at) if at is not None]
        return min(deadlines, default=None)

    def request(
        self, message: Message, now: float, timeout_s: float | None = None
    ) -> tuple[int, list[Action]]:
        """Send a request, advice or instruction. Its ticket; an `Ended` with this ticket will come once.

        `LinkDown` when the link is not up, `DuplicateInFlight`, `LinkBusy`, `ValueError` (`EncodeError`)
        for a message that can't be sent: then nothing was sent and no `Ended` comes. Actions that were due
        before are not lost: they come with the next call, so make one (`tick`).
        """
        self._catch_up(now)
        if not wants_answer(message.mti):
            raise ValueError(f"{message.mti} asks for no answer: use send")
        self._must_be_up(message)
        timeout_s = self.settings.answer_timeout_s if timeout_s is None else timeout_s
        ticket = self._send_request(message, now, timeout_s)
        self._life.on(Event.SEND)
        return ticket, self._done(now)

    def send(self, message: Message, now: float) -> list[Action]:
        """Send a notification, or an answer that is not `answer`'s business: nothing is awaited."""
        self._catch_up(now)
        self._must_be_up(message)
        self._write(self.settings.codec.encode(message), None)
        self._life.on(Event.SEND)
        return self._done(now)

    def abandon(self, ticket: int, now: float) -> list[Action]:
        """Nobody waits for this request any more: no `Ended` comes, its answer will be a `LateAnswer`."""
        self._catch_up(now)
        self._out = [
            action for action in self._out if not (isinstance(action, Ended) and action.ticket == ticket)
        ]
        self._flights.abandon(ticket, now)
        return self._done(now)

    def answer(self, token: int, message: Message | None, now: float) -> list[Action]:
        """The handler is done with the message of this token; None = no answer is to be sent.

        An answer that can't be encoded is reported, and the peer is told that its request failed.
        """
        self._catch_up(now)
        waiting = self._at_handler.pop(token, None)
        if waiting is None:  # its connection has ended meanwhile
            return self._done(now)
        if self._holding and not self._deaf and len(self._at_handler) < self.settings.max_at_handler:
            self._holding = False
            self._out.append(HoldReading(False))
        if message is not None:
            self._answer_or_tell(waiting, message)
        return self._done(now)

    def answer_failed(self, token: int, now: float) -> list[Action]:
        """The handler failed: the peer is told so, when it waits for an answer at all."""
        waiting = self._at_handler.get(token)
        if waiting is None or not wants_answer(waiting.message.mti):
            return self.answer(token, None, now)
        return self.answer(token, self._network.answer(waiting.message, self._network.failed), now)

    def _answer_or_tell(self, waiting: _Waiting, message: Message) -> None:
        answered = self.counters.answered
        self._answer_at_once(waiting, message)
        if self.counters.answered == answered and wants_answer(waiting.message.mti):
            self._answer_at_once(waiting, self._network.answer(waiting.message, self._network.failed))

    # ------------------------------------------------------------ time

    def _catch_up(self, now: float) -> None:
        """Everything whose time has come, in the order that favours the peer least."""
        for ended in self._flights.expire(now):
            self._request_unanswered(ended, now)
        if self.state in CONNECTED_STATES:
            self._check_line(now)
        for event in [event for event, at in self._timers.items() if at <= now]:
            if self._timers.pop(event, None) is not None and self._life.allows(event):
                self._on(event, now, _TIMER_WORDS.get(event, ""))

    def _check_line(self, now: float) -> None:
        settings = self.settings
        began = self._reader.pending_since
        if began is not None and not self._deaf and began + settings.frame_timeout_s <= now:
            self._report("frame not finished in time")
            self._on(Event.SILENT, now, f"frame not finished in {settings.frame_timeout_s:g} s")
            return
        idle_at = self._idle_at()
        if idle_at is not None and idle_at <= now:
            self._on(Event.SILENT, now, f"nothing heard for {settings.idle_timeout_s:g} s")
            return
        echo_at = self._echo_at()
        if echo_at is not None and echo_at <= now and self._network.echo is not None:
            self.counters.echoes += 1
            self._echo_sent_at = now
            self._send_own(self._network.echo, Event.SILENT, settings.echo_timeout_s, now)

    def _echo_at(self) -> float | None:
        after = self.settings.echo_after_s
        if after is None or self._network.echo is None or self.state is not State.UP:
            return None
        if self._echo_sent_at is not None:
            return None
        return self._heard_at + after

    def _idle_at(self) -> float | None:
        limit = self.settings.idle_timeout_s
        return None if limit is None or self._at_handler or self._deaf else self._heard_at + limit

    # ------------------------------------------------------------ messages of the peer

    def _take_keep_alives(self, count: int, now: float) -> None:
        self.counters.keep_alives += count
        if not self.settings.answer_keep_alives:
            return
        before = self._keep_alive_answered_at
        if before is None or now - before >= KEEP_ALIVE_ANSWER_S:
            self._keep_alive_answered_at = now
            self._write_bytes(self.settings.framing.keep_alive())

    def _take_frame(self, one: Frame, now: float) -> None:
        try:
            message = self.settings.codec.decode(one.payload)
        except ValueError as error:
            self.counters.undecodable += 1
            self._fault("message that doesn't decode", _content_free(error), now)
            return
        if is_answer(message.mti):
            self._take_answer(message, now)
        else:
            self.counters.received += 1
            self._take_request(message, one.tpdu, now)

    def _take_answer(self, message: Message, now: float) -> None:
        found = self._flights.answer(message, now)
        if isinstance(found, matching.Matched):
            self.counters.answers += 1
            purpose = self._own.pop(found.ticket, None)
            if purpose is None:
                self._out.append(Ended(found.ticket, message))
            else:
                self._own_answered(purpose, message, now)
        elif isinstance(found, matching.Late):
            self.counters.late += 1
            if message.mti[1] != matching.NETWORK_CLASS:
                self._out.append(LateAnswer(found.request, message))
        elif isinstance(found, matching.Duplicate):
            self.counters.duplicates += 1
            self._report("second answer dropped", self.settings.key.describe(message))
        else:
            self.counters.unsolicited += 1
            self._out.append(Unsolicited(message))

    def _take_request(self, message: Message, tpdu: bytes | None, now: float) -> None:
        waiting = _Waiting(message, tpdu)
        event, answer = self._judge(message)
        if event is None:
            assert answer is not None, "what is no event is refused"
            self._report("sign-on of the peer declined", self.settings.key.describe(message))
            self._answer_at_once(waiting, answer, refused=True)
            return
        before = self.state
        try:
            actions = self._life.on(event)
        except RemoteProtocolError as error:
            self._answer_at_once(waiting, self._refusal(message), refused=True)
            self._fault("message out of turn", str(error), now)
            return
        if answer is not None:
            self._answer_at_once(waiting, answer)
        if self.state is not before:
            self._announce(event.value)
        for do in actions:
            if do not in (Do.DELIVER, Do.REFUSE):
                self._do(do, now)
            elif answer is None and do is Do.DELIVER:
                self._deliver(waiting)
            elif answer is None:
                self._answer_at_once(waiting, self._refusal(message), refused=True)

    def _judge(self, message: Message) -> tuple[Event | None, Message | None]:
        """What a message of the peer means, and the link's own answer where it has one.

        No event: it is a sign-on that the answer declines.
        """
        network = self._network
        if message.mti[1] != matching.NETWORK_CLASS:
            return Event.MESSAGE, None
        code = message.get(network.code_field)
        if not self.settings.answer_network or code is None or not wants_answer(message.mti):
            return Event.NETWORK_MESSAGE, None
        if code == network.sign_on:
            answer = self._sign_on_answer(message)
            return (Event.PEER_SIGNED_ON if network.approves(answer) else None), answer
        if code == network.sign_off:
            return Event.PEER_SIGNED_OFF, network.answer(message, network.approved[0])
        if code == network.echo:
            return Event.NETWORK_MESSAGE, network.answer(message, network.approved[0])
        return Event.NETWORK_MESSAGE, None

    def _sign_on_answer(self, message: Message) -> Message:
        return self._network.answer(message, self._network.approved[0])

    def _refusal(self, message: Message) -> Message | None:
        if not wants_answer(message.mti):
            return None
        return self._network.answer(message, self._network.unavailable)

    def _deliver(self, waiting: _Waiting) -> None:
        self._next_token += 1
        self._at_handler[self._next_token] = waiting
        self._out.append(Received(self._next_token, waiting.message))
        if len(self._at_handler) >= self.settings.max_at_handler and not self._holding:
            self._holding = True
            self._out.append(HoldReading(True))

    def _answer_at_once(self, waiting: _Waiting, answer: Message | None, *, refused: bool = False) -> None:
        """Answer without the handler."""
        self.counters.refused += refused
        if answer is None:
            return
        try:
            self._write(self.settings.codec.encode(answer), waiting.tpdu)
        except ValueError as error:
            self._report("an answer can't be sent", _content_free(error))
        else:
            self.counters.answered += 1

    def _fault(self, what: str, why: str, now: float) -> None:
        self._report(what, why)
        self._faults += 1
        if self._faults >= FAULTS_MAXIMUM:
            self._on(Event.UNREADABLE, now, f"{self._faults} faults, the last one: {what}")

    # ------------------------------------------------------------ our messages

    def _must_be_up(self, message: Message) -> None:
        if not self._life.allows(Event.SEND):
            why = f" ({self._why})" if self._why else ""
            what = f"{self.settings.key.describe(message)} not sent: the link is {self.state}{why}"
            raise LinkDown(what, sent=False)

    def _send_request(
        self, message: Message, now: float, timeout_s: float, *, beyond_limit: bool = False
    ) -> int:
        data = self.settings.framing.frame(self.settings.codec.encode(message))
        ticket = self._flights.add(message, now + timeout_s, now, beyond_limit=beyond_limit)
        self.counters.requests += 1
        self._write_bytes(data)
        return ticket

    def _send_own(self, code: str, without_answer: Event, timeout_s: float, now: float) -> None:
        """One of our network messages; an own that can't be sent counts as unanswered at once."""
        for _try in range(STAN_TRIES):
            try:
                message = self._network.request(code, self._next_stan())
                ticket = self._send_request(message, now, timeout_s, beyond_limit=True)
            except DuplicateInFlight:
                continue
            except ValueError as error:
                self._report("a network message of ours can't be sent", _content_free(error))
                break
            self._own[ticket] = without_answer
            return
        self._own_failed(without_answer, now, "it could not be sent")

    def _own_answered(self, purpose: Event, answer: Message, now: float) -> None:
        approved = self._network.approves(answer)
        if purpose is Event.SIGN_ON_FAILED:
            if approved:
                self.counters.sign_ons += 1
                self.sign_on_answer = answer
                self._on(Event.SIGNED_ON, now)
            else:
                code = str(answer.get("39"))[:4]
                self._on(Event.SIGN_ON_FAILED, now, f"sign-on declined with {code}")
        elif purpose is Event.SIGNED_OFF:
            self._on(Event.SIGNED_OFF, now)
        else:
            self._echo_sent_at = None  # whatever it says: the peer is there

    def _own_failed(self, purpose: Event, now: float, why: str) -> None:
        if purpose is Event.SILENT:
            sent_at, self._echo_sent_at = self._echo_sent_at, None
            self.counters.echoes_unanswered += 1
            if sent_at is not None and self._heard_at > sent_at:
                return  # something else was heard since
            why = f"echo unanswered: {why}"
        elif purpose is Event.SIGN_ON_FAILED:
            why = f"sign-on unanswered: {why}"
        if self._life.allows(purpose):
            self._on(purpose, now, why)

    def _request_unanswered(self, ended: matching.Ended, now: float) -> None:
        self.counters.timeouts += 1
        purpose = self._own.pop(ended.ticket, None)
        if purpose is None:
            what = f"no answer to {self.settings.key.describe(ended.request)} in time"
            self._out.append(Ended(ended.ticket, LinkTimeout(what)))
        else:
            self._own_failed(purpose, now, "no answer in time")

    def _write(self, payload: bytes, peers_tpdu: bytes | None) -> None:
        tpdu = None if peers_tpdu is None else answer_tpdu(peers_tpdu)
        self._write_bytes(self.settings.framing.frame(payload, tpdu))

    def _write_bytes(self, data: bytes) -> None:
        self.counters.bytes_out += len(data)
        self._out.append(Write(data))

    # ------------------------------------------------------------ states

    def _on(self, event: Event, now: float, why: str = "") -> None:
        """Take a transition and do what it says."""
        before = self.state
        actions = self._life.on(event)
        if self.state is not before:
            self._announce(why or event.value)
        self._why = why or event.value
        for do in actions:
            self._do(do, now)

    def _announce(self, why: str) -> None:
        self._why = why
        self._timers.clear()  # they belong to a state
        self._out.append(Changed(self.state, why))
        if self.state is State.UP:
            self._has_signed_on = True

    def _do(self, do: Do, now: float) -> None:
        if do is Do.CLOSE:
            self._out.append(Close())
        elif do is Do.ABORT:
            self._out.append(Abort())
        else:  # DELIVER and REFUSE are done where the message is at hand
            _DOINGS[do](self, now)

    def _begin_connection(self, now: float) -> None:
        """Nothing of an earlier connection may stay."""
        self.counters.connections += 1
        self._reader = self.settings.framing.reader(self.settings.max_frame_bytes)
        self._at_handler.clear()
        self._has_signed_on = self._signing_off = self._holding = self._deaf = False
        self._echo_sent_at = None
        self._faults = 0
        self._reported.clear()
        self._heard_at = now

    def _fail(self, now: float) -> None:
        self._at_handler.clear()
        for ended in self._flights.end_all(now):
            if self._own.pop(ended.ticket, None) is None:
                self.counters.lost += 1
                what = f"{self.settings.key.describe(ended.request)} sent, no answer yet: {self._why}"
                self._out.append(Ended(ended.ticket, LinkDown(what, sent=True)))

    def _deafen(self, now: float) -> None:
        self._deaf = True
        self._out.append(HoldReading(True))

    def _await_end(self, now: float) -> None:
        self._timers[Event.DRAIN_EXPIRED] = now + self.settings.drain_timeout_s

    def _sign_off(self, now: float) -> None:
        code = self._network.sign_off
        self._signing_off = True
        if code is None or not self._has_signed_on:
            self._on(Event.SIGNED_OFF, now)
        else:
            self._send_own(code, Event.SIGNED_OFF, self.settings.answer_timeout_s, now)

    def _sign_on(self, now: float) -> None:
        raise NotImplementedError

    def _await_sign_on(self, now: float) -> None:
        raise NotImplementedError

    def _open(self, now: float) -> None:
        raise NotImplementedError

    def _back_off(self, now: float) -> None:
        raise NotImplementedError

    def _forget_failures(self, now: float) -> None:
        raise NotImplementedError

    def _report(self, what: str, why: str = "") -> None:
        """Each kind once per connection: a peer can't fill a log. The counters tell how often."""
        if what not in self._reported:
            self._reported.add(what)
            self._out.append(Report(what, why))

    def _done(self, now: float) -> list[Action]:
        """The actions of this call; a drained link ends with it."""
        under_way = len(self._at_handler) + len(self._flights) - len(self._own)
        if self.state is State.DRAINING and not under_way and not self._signing_off:
            self._on(Event.EMPTY, now, "drained")
        out, self._out = self._out, []
        return out


_TIMER_WORDS = {
    Event.CONNECT_FAILED: "no connection in time",
    Event.SIGN_ON_FAILED: "no sign-on in time",
    Event.DRAIN_EXPIRED: "drain time is over",
}


# Methods by name, so that a client's and a server's own are found.
_DOINGS: dict[Do, Callable[[Link, float], None]] = {
    Do.OPEN: lambda link, now: link._open(now),
    Do.SIGN_ON: lambda link, now: link._sign_on(now),
    Do.AWAIT_SIGN_ON: lambda link, now: link._await_sign_on(now),
    Do.BACK_OFF: lambda link, now: link._back_off(now),
    Do.FORGET_FAILURES: lambda link, now: link._forget_failures(now),
    Do.DEAFEN: lambda link, now: link._deafen(now),
    Do.AWAIT_END: lambda link, now: link._await_end(now),
    Do.SIGN_OFF: lambda link, now: link._sign_off(now),
    Do.FAIL: lambda link, now: link._fail(now),
}


def _content_free(error: ValueError) -> str:
    """What may be said of a codec's error: only our own are known to be free of content."""
    return str(error) if isinstance(error, DecodeError | EncodeError) else type(error).__name__


def _counting_stans() -> Callable[[], int]:
    """1 to 999999 and round again, from a random start: so that a restart repeats no STAN at once."""
    last = random.randrange(LAST_STAN)

    def next_stan() -> int:
        nonlocal last
        last = last % LAST_STAN + 1
        return last

    return next_stan
