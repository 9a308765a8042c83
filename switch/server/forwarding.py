"""Several switch processes on one ledger: each request is decided by the process that owns its bucket.

A frame goes to its owner before anything of it is noted here; the owner treats it as one of its own and is
the only authority for marks, identities and limits of its buckets. Nothing is guessed: an owner that can't be
reached is an honest 91 without a MAC, a line that tears after sending is silence, and the terminal's reversal
goes the same way as its original.

One look into the ledger, for everything that arrived meanwhile, says whose each frame is and how far its
key's counters have come anywhere. So a counter that one owner has committed is no new one for another, and
frames of one terminal keep their order.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from functools import partial
from itertools import count
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

from switch.authorizer import Correction
from switch.authorizer.batches import OF_BATCHES
from switch.authorizer.identity import (
    bucket_of_identifier,
    bucket_of_terminal,
    card_identifier,
    parse_rrn,
)
from switch.authorizer.mobile import Mobiles
from switch.authorizer.request import TAP_TAG, Tapped, identifying_digits
from switch.hsm.port import HsmError
from switch.iso8583 import Message
from switch.ledger import Entry, LedgerError
from switch.ledger.model import bucket_of_member
from switch.ledger.postgres_owners import Owner, Place, PostgresOwners, Sought
from switch.link.framing import Frame
from switch.server import forwarding_link as link
from switch.server.enciphered import ENCIPHERED, EncipheredError
from switch.server.forwarding_partners import Decider as PartnersDecider
from switch.server.forwarding_partners import SharedDecider, decide_for
from switch.server.log import Log
from switch.server.pipeline import Arrived, Peer

# Frames that are looked up together: what waits behind them waits no longer for it.
MOST_AT_ONCE = 1024
SWEEP_INTERVAL_S = 1
# The same trouble is told so often.
LOG_INTERVAL_S = 10.0
NOT_OWNER = "the ledger has another owner"
_AT = " at "  # between an owner's name and the path where it listens

Found = TypeVar("Found")


def owner_name(name: str, path: Path) -> str:
    """How an owner calls itself in the ledger, so that others find it."""
    return f"{name}{_AT}{path}"


def path_of(owner: Owner) -> Path | None:
    """Where an owner listens; None for one that doesn't."""
    _, at, path = owner.name.partition(_AT)
    return Path(path) if at else None


def is_among(owners: Sequence[Owner], buckets: tuple[int, int], epoch: int) -> bool:
    """Whether a claim of these buckets still stands."""
    return any((*one[:2], one.epoch) == (*buckets, epoch) for one in owners)


class Decider(PartnersDecider, Protocol):
    """What decides frames of this process's buckets. The pipeline."""

    def receive(self, peer: Peer, frame: Frame) -> None: ...

    def placed(self, arrived: Arrived, mark: int) -> None: ...

    def unplaced(self, arrived: Arrived) -> None: ...

    async def opened(self, arrived: Arrived) -> Message: ...

    def identities_of(self, arrived: Arrived, message: Message) -> tuple[bytes, ...]: ...

    async def take_in(self, member: int, bucket: int, entry: int) -> bool: ...

    async def correct(self, correction: Correction) -> Entry | None: ...


class HandedOver:
    """A frame that another process received: a `Peer` for the pipeline. known_mark: the highest counter of
    its key that any owner had committed when it arrived."""

    def __init__(self, line: link.ReceiverLine, handed: link.Frame, log: Log) -> None:
        self._line = line
        self._number = handed.number
        self._name = handed.peer
        self._log = log
        self.known_mark = handed.mark
        self.is_private = handed.private
        self.certified = handed.certified

    def answer(self, payload: bytes, tpdu: bytes | None) -> None:
        self._line.say(link.Answer(self._number, payload))

    def drop(self) -> None:
        self._line.say(link.Answer(self._number, None))

    def report(self, what: str, **details: str | int) -> None:
        self._log.warning(what, peer=self._name, **details)

    def alarm(self, what: str, **details: str | int) -> None:
        self._log.error(what, alarm=True, peer=self._name, **details)

    def close_after_fault(self) -> None:
        """Whoever received the frame decides about its line."""

    def known(self) -> None:
        """Whoever received the frame knows."""


class _Place(NamedTuple):
    """Where a frame belongs: its bucket or, with an identifier, that of the member it leads to."""

    bucket: int
    identifier: bytes = b""
    message: Message | None = None  # with enciphered tags opened, where that was needed


class Forwarding:
    """Finds owners, hands over and takes what others hand over. One for a process, on its event loop.

    buckets, epoch: of this process's claim. directory_key: for identifiers. search: a thread for look-ups.
    stop: called with a reason when this process is an owner no more.
    """

    def __init__(
        self,
        owners: PostgresOwners,
        buckets: tuple[int, int],
        epoch: int,
        directory_key: bytes,
        search: Executor,
        log: Log,
        stop: Callable[[str], None],
    ) -> None:
        self._owners = owners
        self._buckets = buckets
        self._epoch = epoch
        self._key = directory_key
        self._mobiles = Mobiles(directory_key)
        self._search = search
        self._log = log
        self._stop = stop
        self._decider: Decider
        self._numbers = count(1)
        self._arrived: list[Arrived] = []
        self._placing: asyncio.Task[None] | None = None
        self._known: tuple[Owner, ...] = ()
        self._neighbours: dict[Path, link.Neighbour] = {}
        self._asked: set[asyncio.Future[None]] = set()
        self._received: set[link.ReceiverLine] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._told_s: dict[str, float] = {}
        self.transfers_wanted = asyncio.Event()

    # ------------------------------------------------------------ life

    async def serve(self, decider: Decider, listening: socket.socket) -> None:
        """Hand frames of own buckets to `decider` from now on, and take those that others hand over."""
        self._decider = decider

        def received() -> link.ReceiverLine:
            return link.ReceiverLine(self._handed, self._received, self._log)

        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(received, sock=listening)
        self._go(self._sweep())

    def stop_reading(self) -> None:
        """Take nothing more from other processes; what was taken is still answered."""
        if self._server is not None:
            self._server.close()
        for line in self._received:
            line.stop_reading()

    async def drain(self) -> None:
        """Wait until all that arrived is handed on, and for the owners' answers."""
        while self._placing is not None or self._asked:
            await asyncio.wait([*self._asked, *([self._placing] if self._placing is not None else [])])

    async def close(self) -> None:
        """Close all lines behind what is already said."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for neighbour in self._neighbours.values():
            neighbour.close()
        for line in list(self._received):
            line.close()

    def _go(self, job: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(job)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_INTERVAL_S)
            now = asyncio.get_running_loop().time()
            for neighbour in self._neighbours.values():
                neighbour.give_up(now)

    # ------------------------------------------------------------ frames that arrive here

    def place(self, arrived: Arrived) -> None:
        """See `Placing.place`."""
        self._arrived.append(arrived)
        if self._placing is None:
            self._placing = asyncio.get_running_loop().create_task(self._place_arrived())

    async def _place_arrived(self) -> None:
        try:
            while self._arrived:
                arrived, self._arrived = self._arrived[:MOST_AT_ONCE], self._arrived[MOST_AT_ONCE:]
                try:
                    found = await self._find(arrived)
                except LedgerError as error:
                    self.tell("owners can't be looked up", error=str(error))
                    found = None
                for number, one in enumerate(arrived):
                    if found is None:
                        self._decider.unplaced(one)
                    else:
                        self._hand_on(one, *found[number])
        finally:
            self._placing = None

    async def _find(self, arrived: Sequence[Arrived]) -> list[tuple[int, int]] | None:
        """Bucket of each, and mark of its key; None when this process is an owner no more."""
        places = [await self._place_of(one) for one in arrived]
        identifiers = [place.identifier for place in places if place.identifier]
        initial_keys = [one.sending.initial_key for one in arrived]
        where = await self.look(partial(self._owners.look, identifiers, initial_keys))
        if not self.is_owner(where.owners):
            return None
        members = iter(where.members)
        buckets: list[int] = []
        doubtful: dict[int, list[Sought]] = {}
        for number, (one, place, mark) in enumerate(zip(arrived, places, where.marks, strict=True)):
            member = next(members) if place.identifier else None
            bucket = place.bucket if member is None else bucket_of_member(member)
            buckets.append(bucket)
            if place.identifier and (member is None or bucket != place.bucket):
                doubtful[number] = self._sought(one, place, member, mark)
        if doubtful:
            await self._find_old(doubtful, buckets)
        return list(zip(buckets, where.marks, strict=True))

    def _sought(self, one: Arrived, place: _Place, member: int | None, mark: int) -> list[Sought]:
        """What may have been decided, or reversed before it came, when its card or mobile number led
        elsewhere: in any bucket what isn't new; what is, where the number led when it was nobody's."""
        is_old = _may_be_old(one, mark)
        if not is_old and member is None:
            return []
        identities = self._decider.identities_of(one, place.message or one.message)
        if is_old:
            return [Sought(identity) for identity in identities]
        return [Sought(identity, (place.bucket, place.bucket)) for identity in identities[:1]]

    async def _find_old(self, doubtful: Mapping[int, Sequence[Sought]], buckets: list[int]) -> None:
        """Correct the buckets of what was decided or reversed, or whose original was decided, in another."""
        wanted = [sought for own in doubtful.values() for sought in own]
        if not wanted:
            return
        found = iter(await self.look(partial(self._owners.places_of, wanted)))
        for number, sought in doubtful.items():
            own, *originals = [next(found) for _ in sought] or [Place(None, None)]
            before = (own.decided, own.reversed, *(original.decided for original in originals))
            buckets[number] = next((bucket for bucket in before if bucket is not None), buckets[number])

    async def _place_of(self, arrived: Arrived) -> _Place:
        """What a frame's own bytes say of its bucket: the same for ever."""
        fields = arrived.message.fields
        of_terminal = _Place(bucket_of_terminal(arrived.sending.terminal))
        if arrived.operation is None or arrived.operation == "network" or arrived.operation in OF_BATCHES:
            return of_terminal
        reference = fields.get("37")
        if isinstance(reference, str):
            with suppress(ValueError):
                return _Place(parse_rrn(reference)[0])
        message, opened = arrived.message, None
        digits = identifying_digits(message)
        if not digits and (f"48.{ENCIPHERED}" in message or f"48.{TAP_TAG}" in message):
            try:
                message = opened = await self._decider.opened(arrived)
            except (EncipheredError, HsmError):
                return of_terminal  # where it is refused for the same reason
            digits = identifying_digits(message)
        if not digits:
            return of_terminal
        if "35" in fields or "2" in fields or isinstance(message, Tapped):
            identifier = card_identifier(digits, self._key)
        else:
            identifier = self._mobiles.identifier(digits)
        return _Place(bucket_of_identifier(identifier), identifier, opened)

    def _hand_on(self, one: Arrived, bucket: int, mark: int) -> None:
        if self.owns(bucket):
            self._decider.placed(one, mark)
            return
        peer, tpdu = one.peer, one.frame.tpdu

        def told(reply: link.Reply | None) -> None:
            if isinstance(reply, link.Answer) and reply.payload is not None:
                peer.answer(reply.payload, tpdu)
            else:
                peer.drop()

        handed = link.Frame(
            self.next_number(),
            one.frame.payload,
            mark,
            peer.is_private,
            peer.certified,
            str(getattr(peer, "name", "?")),
        )
        self.ask(bucket, handed, told, partial(self._decider.unplaced, one))

    # ------------------------------------------------------------ owners

    def owns(self, bucket: int) -> bool:
        first, last = self._buckets
        return first <= bucket <= last

    def is_owner(self, owners: tuple[Owner, ...]) -> bool:
        """Whether this process is one of them; stops it when it isn't. Who is none any more is waited for no
        longer."""
        if owners != self._known:
            self._known = owners
            listening = {path_of(one) for one in owners}
            for path, neighbour in self._neighbours.items():
                if path not in listening:
                    neighbour.tear()
        if is_among(owners, self._buckets, self._epoch):
            return True
        self._stop(NOT_OWNER)
        return False

    async def learn_owners(self) -> bool:
        """Look who the owners are. False when this process is none of them. Raises LedgerError."""
        where = await self.look(partial(self._owners.look, (), ()))
        return self.is_owner(where.owners)

    async def look(self, ask: Callable[[], Found]) -> Found:
        return await asyncio.get_running_loop().run_in_executor(self._search, ask)

    def ask(self, bucket: int, question: link.Question, told: link.Told, unsent: Callable[[], None]) -> None:
        """Ask the owner of a bucket, as last looked up."""
        path = next(
            (path_of(one) for one in self._known if one.first_bucket <= bucket <= one.last_bucket), None
        )
        if path is None:
            self.tell("buckets without an owner that listens", bucket=bucket)
            unsent()
            return
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._asked.add(ended)

        def end() -> None:
            self._asked.discard(ended)
            ended.set_result(None)

        def told_and_ended(reply: link.Reply | None) -> None:
            end()
            told(reply)

        def never_sent() -> None:
            end()
            self.tell("owner can't be reached", bucket=bucket, path=str(path))
            unsent()

        neighbour = self._neighbours.get(path)
        if neighbour is None:
            neighbour = self._neighbours[path] = link.Neighbour(path)
        neighbour.ask(question, told_and_ended, never_sent)

    async def _done_by_owner(self, bucket: int, question: link.Question) -> int | None:
        """What the owner of a bucket says is done: an entry, or 0; None when nobody knows."""
        if not await self.learn_owners():
            return None
        answered: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()

        def told(reply: link.Reply | None) -> None:
            if not answered.done():
                answered.set_result(reply.entry if isinstance(reply, link.Done) else None)

        self.ask(bucket, question, told, partial(told, None))
        return await answered

    def tell(self, what: str, **details: str | int) -> None:
        """Log it, each kind not too often."""
        now = asyncio.get_running_loop().time()
        if now - self._told_s.get(what, -LOG_INTERVAL_S) >= LOG_INTERVAL_S:
            self._told_s[what] = now
            self._log.error(what, alarm=True, **details)

    # ------------------------------------------------------------ what others hand over

    def _handed(self, line: link.ReceiverLine, question: link.Question) -> None:
        if isinstance(question, link.Frame):
            self._decider.receive(HandedOver(line, question, self._log), Frame(question.payload, None))
        elif isinstance(question, link.Asked):
            self._go(decide_for(line, question, self._decider))
        elif isinstance(question, link.TakeIn):
            self._go(self._take_in_for(line, question))
        else:
            self._go(self._correct_for(line, question))

    async def _take_in_for(self, line: link.ReceiverLine, asked: link.TakeIn) -> None:
        is_ours = self.owns(bucket_of_member(asked.member))
        done = is_ours and await self._decider.take_in(asked.member, asked.bucket, asked.entry)
        line.say(link.Done(asked.number, 0 if done else None))

    async def _correct_for(self, line: link.ReceiverLine, asked: link.Book) -> None:
        entry: int | None = None
        if self.owns(bucket_of_member(asked.correction.member)):
            with suppress(LedgerError):
                booked = await self._decider.correct(asked.correction)
                entry = 0 if booked is None else booked.id
        line.say(link.Done(asked.number, entry))

    # ------------------------------------------------------------ what this process asks of others

    def for_partners(self) -> SharedDecider:
        """What partners' requests are decided by, whoever owns their members."""
        return SharedDecider(self, self._owners, self._decider, asyncio.get_running_loop().time)

    def next_number(self) -> int:
        """For the next question."""
        return next(self._numbers)

    def sent_away(self) -> None:
        """See `Placing.sent_away`."""
        self.transfers_wanted.set()

    async def take_in(self, member: int, bucket: int, entry: int) -> bool:
        """End at this member what the entry in that bucket has begun, whoever owns the member. False when
        that isn't known to be done. Raises LedgerError."""
        there = bucket_of_member(member)
        if self.owns(there):
            return await self._decider.take_in(member, bucket, entry)
        asked = link.TakeIn(self.next_number(), member, bucket, entry)
        return await self._done_by_owner(there, asked) is not None

    async def correct(self, correction: Correction) -> Entry | None:
        """As `Pipeline.correct`, whoever owns the member."""
        bucket = bucket_of_member(correction.member)
        if self.owns(bucket):
            return await self._decider.correct(correction)
        entry = await self._done_by_owner(bucket, link.Book(self.next_number(), correction))
        if entry is None:
            raise LedgerError("the owner of the correction's member can't be asked; it is tried again")
        if not entry:
            return None
        [booked] = await self.look(partial(self._owners.entries, [(bucket, entry)]))
        return booked


def _may_be_old(arrived: Arrived, mark: int) -> bool:
    """Whether the transaction, or the one that it takes back, may have been decided before: a repeat, a
    reversal, or a key serial that isn't new."""
    mti = arrived.message.mti
    return mti[1] == "4" or mti[3] == "1" or arrived.sending.counter <= mark
