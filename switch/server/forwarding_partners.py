"""Partners' requests on a ledger of several owners: each is decided by the owner of its bucket, once.

A partner's request is known by its identity alone; when it comes again, it may name another card, or its card
may lead elsewhere since. So whatever may have come before is looked up in the buckets of all owners before it
goes to one, and waits for those under way that have its identity or are what it takes back: one process has
the partners' lines, so nobody else hands such a one on meanwhile. An owner that goes away with a
request says nothing about it; the request is asked again, and its identity decides. Nothing is guessed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from enum import Enum
from functools import partial
from typing import NamedTuple, Protocol, TypeVar

from switch.authorizer import Origin, Request
from switch.authorizer.identity import parse_rrn
from switch.hsm.port import Key, ZonePin
from switch.iso8583 import Message
from switch.ledger import LedgerError
from switch.ledger.model import bucket_of_member
from switch.ledger.postgres_owners import Owner, PostgresOwners, Sought, Whereabouts
from switch.server import forwarding_link as link
from switch.server.pipeline import MALFUNCTION, PIN_UNAVAILABLE, UNAVAILABLE, Decision, ZoneBlock

# Requests that are looked up together; what waits behind them waits no longer for it.
MOST_AT_ONCE = 256
# So long an owner that went away with a request is asked again, and how often: a partner waits half a minute
# at most, an owner that is started again is there after one or two seconds.
AGAIN_S = 25.0
AGAIN_INTERVAL_S = 0.2
# What an earlier process may have had is not remembered here. A partner's clock goes forward: what is stamped
# later than anything that came in so long a time is new, if it isn't remembered. Ten minutes are more than
# the clocks of one partner's hosts differ, and than anybody waits before he asks again.
WATCHED_S = 600.0
# So many identities are remembered, 20 MB; what is as old as a forgotten one is looked up.
MOST_REMEMBERED = 200_000
_TIME_BYTES = 7  # of an identity: day and time, in their order
# Nobody remembers these: once somebody may have booked the request they say nothing about it.
_TRANSIENT = frozenset({UNAVAILABLE, PIN_UNAVAILABLE, MALFUNCTION})

Found = TypeVar("Found")


class Decider(Protocol):
    """What decides partners' requests of this process's buckets. The pipeline."""

    @property
    def acceptors(self) -> Mapping[str, bool]: ...

    def partners_request(
        self, message: Message, operation: str, origin: Origin, *, is_private: bool
    ) -> Request | Decision: ...

    async def decided(
        self, request: Request, message: Message, block: ZoneBlock | None
    ) -> Decision | None: ...

    async def decide(
        self, message: Message, operation: str, origin: Origin, block: ZoneBlock | None, *, is_private: bool
    ) -> Decision | None: ...


class Owners(Protocol):
    """The way to the other processes: see `Forwarding`."""

    def owns(self, bucket: int) -> bool: ...

    def is_owner(self, owners: tuple[Owner, ...]) -> bool: ...

    async def look(self, ask: Callable[[], Found]) -> Found: ...

    def ask(
        self, bucket: int, question: link.Question, told: link.Told, unsent: Callable[[], None]
    ) -> None: ...

    def next_number(self) -> int: ...

    def tell(self, what: str, **details: str | int) -> None: ...


class _Silence(Enum):
    """What is heard instead of a decision."""

    UNSENT = 1  # no owner was asked
    UNKNOWN = 2  # one was, and nobody can say what it did


class _Waiting(NamedTuple):
    """A request to be looked up. identities: that may be in the ledger; bucket: where it belongs, None when
    that can't be found out."""

    request: Request
    identities: Sequence[bytes]
    bucket: asyncio.Future[int | None]


class Seen:
    """Which identities of partners can't be in the ledger. now: monotonic seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._since: dict[str, float] = {}  # by partner: when its first request came
        self._newest: dict[
            str, bytes
        ] = {}  # and the latest time that one had which came while it was watched
        self._remembered: dict[bytes, None] = {}  # the oldest first
        self._forgotten = b""  # the latest time of them

    def is_new(self, partner: str, identity: bytes) -> bool:
        """Whether nobody has had it so far; from now on it isn't new."""
        stamp, now = identity[:_TIME_BYTES], self._now()
        is_watched = now - self._since.setdefault(partner, now) < WATCHED_S
        if is_watched:
            self._newest[partner] = max(stamp, self._newest.get(partner, b""))
        old = is_watched or stamp <= max(self._newest.get(partner, b""), self._forgotten)
        known = identity in self._remembered
        self._remembered[identity] = None
        if len(self._remembered) > MOST_REMEMBERED:
            oldest = next(iter(self._remembered))
            del self._remembered[oldest]
            self._forgotten = max(self._forgotten, oldest[:_TIME_BYTES])
        return not (old or known)


class SharedDecider:
    """Decides partners' requests of all buckets: a `partner_link.Decider`. now: monotonic seconds."""

    def __init__(
        self, owners: Owners, ledger: PostgresOwners, decider: Decider, now: Callable[[], float]
    ) -> None:
        self._owners = owners
        self._ledger = ledger
        self._decider = decider
        self._now = now
        self._seen = Seen(now)
        self._under_way: dict[bytes, asyncio.Future[None]] = {}  # by identity: the last one that came
        self._waiting: list[_Waiting] = []
        self._placing: asyncio.Task[None] | None = None

    @property
    def acceptors(self) -> Mapping[str, bool]:
        """See `partner_link.Decider`."""
        return self._decider.acceptors

    async def decide(
        self, message: Message, operation: str, origin: Origin, block: ZoneBlock | None, *, is_private: bool
    ) -> Decision | None:
        """As `Pipeline.decide`, whoever owns the bucket."""
        request = self._decider.partners_request(message, operation, origin, is_private=is_private)
        if isinstance(request, Decision):
            return request
        question = link.Asked(
            self._owners.next_number(),
            message.mti,
            dict(message.fields),
            operation,
            origin._replace(content=dict(origin.content)),
            () if block is None else tuple(block.under()),
            is_private,
        )
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        identities = [one for one in (request.identity, request.original) if one]
        before = [self._under_way[one] for one in identities if one in self._under_way]
        self._under_way |= dict.fromkeys(identities, ended)
        known = [one for one in identities if not self._seen.is_new(origin.partner, one)]
        try:
            for one in before:
                await asyncio.wait((one,))
            return await self._decide(request, known, message, block, question)
        finally:
            ended.set_result(None)
            for identity in identities:
                if self._under_way[identity] is ended:
                    del self._under_way[identity]

    async def _decide(
        self,
        request: Request,
        known: Sequence[bytes],
        message: Message,
        block: ZoneBlock | None,
        question: link.Asked,
    ) -> Decision | None:
        """known: the identities that may be in the ledger."""
        until, in_doubt = self._now() + AGAIN_S, False
        while True:
            bucket = await self._bucket_of(request, known)
            if bucket is None:
                heard: Decision | _Silence = _Silence.UNSENT
            elif self._owners.owns(bucket):
                heard = await self._decider.decided(request, message, block) or _Silence.UNKNOWN
            else:
                heard = await self._asked(bucket, question, block)
            if heard is _Silence.UNSENT and not in_doubt:
                return Decision(UNAVAILABLE)
            if isinstance(heard, Decision) and not (in_doubt and heard.code in _TRANSIENT):
                return heard
            if heard is _Silence.UNKNOWN:
                in_doubt, known = True, (request.identity, *known)
            if self._now() > until:
                return None
            await asyncio.sleep(AGAIN_INTERVAL_S)
            question = _with_number(question, self._owners.next_number())

    # ------------------------------------------------------------ where it belongs

    async def _bucket_of(self, request: Request, known: Sequence[bytes]) -> int | None:
        waiting = _Waiting(request, known, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._placing is None:
            self._placing = asyncio.get_running_loop().create_task(self._place())
        return await waiting.bucket

    async def _place(self) -> None:
        while self._waiting:
            waiting, self._waiting = self._waiting[:MOST_AT_ONCE], self._waiting[MOST_AT_ONCE:]
            buckets: Sequence[int | None] = [None] * len(waiting)
            try:
                where, decided = await self._owners.look(partial(self._looked_up, waiting))
            except LedgerError as error:
                self._owners.tell("owners can't be looked up", error=str(error))
            else:
                if self._owners.is_owner(where.owners):
                    buckets = _places([one.request for one in waiting], where, decided)
            for one, bucket in zip(waiting, buckets, strict=True):
                if not one.bucket.done():  # who asked may have gone
                    one.bucket.set_result(bucket)
        self._placing = None

    def _looked_up(self, waiting: Sequence[_Waiting]) -> tuple[Whereabouts, dict[bytes, int]]:
        """Owners and members of identifiers; and where what was decided before is, or was reversed before it
        came. On a thread."""
        identifiers = [one.request.identifier for one in waiting if one.request.identifier]
        where = self._ledger.look(identifiers, ())
        identities = list({identity for one in waiting for identity in one.identities})
        places = self._ledger.places_of([Sought(one) for one in identities]) if identities else []
        own = {one.request.identity for one in waiting}
        found = {}
        for identity, place in zip(identities, places, strict=True):
            bucket = place.decided
            if bucket is None and identity in own:
                bucket = place.reversed
            if bucket is not None:
                found[identity] = bucket
        return where, found

    # ------------------------------------------------------------ asking

    async def _asked(self, bucket: int, question: link.Asked, block: ZoneBlock | None) -> Decision | _Silence:
        heard: asyncio.Future[Decision | _Silence] = asyncio.get_running_loop().create_future()

        def told(reply: link.Reply | None) -> None:
            if not heard.done():
                heard.set_result(_heard(reply, question, block))

        def unsent() -> None:
            if not heard.done():
                heard.set_result(_Silence.UNSENT)

        self._owners.ask(bucket, question, told, unsent)
        return await heard


def _places(requests: Sequence[Request], where: Whereabouts, decided: dict[bytes, int]) -> list[int]:
    """The bucket of each request: where it was decided, or what it takes back was; else where what it names
    lies, as the authorizer has it."""
    members = iter(where.members)
    buckets = []
    for request in requests:
        member = next(members) if request.identifier else None
        bucket = decided.get(request.identity, decided.get(request.original))
        if bucket is None and request.follows:
            with suppress(ValueError):
                bucket = parse_rrn(request.follows)[0]
        if bucket is None:
            bucket = request.bucket_without_member if member is None else bucket_of_member(member)
        buckets.append(bucket)
    return buckets


def _with_number(question: link.Asked, number: int) -> link.Asked:
    """The same question once more: a line has only one of a number."""
    return link.Asked(
        number,
        question.mti,
        question.fields,
        question.operation,
        question.origin,
        question.pins,
        question.private,
    )


def _heard(reply: link.Reply | None, question: link.Asked, block: ZoneBlock | None) -> Decision | _Silence:
    if not isinstance(reply, link.Decided) or not reply.known:
        return _Silence.UNKNOWN
    if reply.under is not None and block is not None and reply.under < len(question.pins):
        block.came_under(question.pins[reply.under].key)
    return Decision(reply.code, reply.body, reply.path, reply.what)


# ---------------------------------------------------------------- at the owner


class _HandedBlock:
    """A PIN block that came to another process."""

    def __init__(self, pins: Sequence[ZonePin]) -> None:
        self._pins = pins
        self.came: int | None = None

    def __repr__(self) -> str:
        return "_HandedBlock(hidden)"

    def under(self) -> Sequence[ZonePin]:
        return self._pins

    def came_under(self, key: Key) -> None:
        self.came = next(number for number, pin in enumerate(self._pins) if pin.key == key)


async def decide_for(line: link.ReceiverLine, asked: link.Asked, decider: Decider) -> None:
    """Decide what another process hands over, and answer it."""
    block = _HandedBlock(asked.pins) if asked.pins else None
    message = Message(asked.mti, asked.fields)
    decision = await decider.decide(message, asked.operation, asked.origin, block, is_private=asked.private)
    if decision is None:
        line.say(link.Decided(asked.number, known=False))
        return
    under = None if block is None else block.came
    line.say(link.Decided(asked.number, True, *decision, under))
