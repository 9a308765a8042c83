"""The owner's memory: what deciding a request may look at, ahead of what is durable.

Pure: no I/O, no clock. A look-up whose answer isn't here raises `NotLoaded`; the shell asks the engine, calls
`fill` and decides again, so look-ups have no effects. `apply` is speculative: later requests of the batch see
it before it is committed. When a commit fails or its outcome is unknown the whole State is dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import date, timedelta
from functools import lru_cache
from heapq import heappop, heappush
from typing import Generic, TypeVar, cast

from switch.ledger.book import add_to_accounts, member_after
from switch.ledger.counting import DAILY, Count, Counter, Tally, units_moved
from switch.ledger.engine import (
    ANY_BUCKET,
    EVERY_BUCKET,
    NO_MARKS,
    Batch,
    CardLoad,
    Cards,
    CodeCountLoad,
    CounterLoad,
    EntryIdLoad,
    EntryLoad,
    FollowedLoad,
    FollowUp,
    IdentifierLoad,
    LastBatch,
    LastBatchLoad,
    Load,
    Loaded,
    MemberLoad,
    MobileLoad,
    OpenHold,
    ReversedLoad,
    Start,
)
from switch.ledger.model import (
    BUCKETS,
    ENTRY_ID_EPOCH_MS,
    ENTRY_ID_LIMIT,
    ENTRY_IDS_PER_MS,
    OF_NO_MEMBER,
    OWNERS_BUCKETS,
    Account,
    BatchClosed,
    CodeCount,
    CodesCounted,
    Entry,
    Followed,
    HoldClosed,
    HoldOpened,
    IdentifierKind,
    Member,
    MemberAdded,
    Mobile,
    Named,
    OriginalReversed,
    UploadEnded,
    bucket_of_member,
)

# Whole entries kept for repeats and reversals, which come within seconds: about 10 s at full speed, ~200 MB.
RECENT_ENTRIES = 100_000
# Early reversals kept in memory; a hundred bytes each, and reversals are rare.
RECENT_REVERSED = 100_000
# Members, identifiers, counters and whatever else is looked up, each kind: two of these generations, 300
# bytes to a kilobyte an item.
CACHE_GENERATION = 100_000
# Identities looked up and found absent, older than all in memory (queued earns): forgotten together.
ABSENT_IDENTITIES = 10_000

_MEMBER_NUMBER_BITS = 40
_SLOTS_OF_BUCKET = ENTRY_IDS_PER_MS // BUCKETS
_NO_MOBILE = Mobile(b"", "", b"")
_NOT_FOLLOWED = FollowUp()
_NO_BATCH = LastBatch(0, 0, differs=False)

Value = TypeVar("Value")
Key = TypeVar("Key")


class NotLoaded(Exception):
    """The answer of a look-up isn't in memory: hand the engine's answer for `load` to `State.fill`."""

    def __init__(self, load: Load) -> None:
        super().__init__(load)
        self.load: Load = load


class _Recent(Generic[Value]):
    """What is stored under time-ordered keys: everything above `floor` is here, below it one has to look.

    Only committed keys can leave; the smallest leave first, so a clock far ahead doesn't raise the floor.
    """

    def __init__(self, floor: bytes, limit: int) -> None:
        self._floor = floor
        self._limit = limit
        self._values: dict[bytes, Value] = {}
        self._committed: list[bytes] = []  # heap
        self._absent: set[bytes] = set()
        self.get: Callable[[bytes], Value | None] = self._values.get

    def knows(self, key: bytes) -> bool:
        return key > self._floor or key in self._values or key in self._absent

    def add(self, key: bytes, value: Value) -> None:
        self._values[key] = value
        if self._absent:
            self._absent.discard(key)

    def fill(self, key: bytes, value: Value | None) -> None:
        if self.knows(key):
            return
        if value is None:
            self._absent.add(key)
        else:
            self._values[key] = value
            heappush(self._committed, key)

    def committed(self, keys: Iterable[bytes]) -> None:
        heap = self._committed
        for key in keys:
            heappush(heap, key)
        while len(heap) > self._limit:
            smallest = heappop(heap)
            del self._values[smallest]
            self._floor = max(self._floor, smallest)
        if len(self._absent) > ABSENT_IDENTITIES:
            self._absent.clear()


class _Generations(Generic[Key, Value]):
    """A cache in two generations: what wasn't touched while the young one filled up leaves together."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._young: dict[Key, Value] = {}
        self._old: dict[Key, Value] = {}

    def __contains__(self, key: Key) -> bool:
        return key in self._young or key in self._old

    def __bool__(self) -> bool:
        return bool(self._young or self._old)

    def get(self, key: Key) -> Value | None:
        value = self._young.get(key)
        if value is None and (value := self._old.get(key)) is not None:
            self._young[key] = value
        return value

    def put(self, key: Key, value: Value) -> None:
        self._young[key] = value

    def forget(self, key: Key) -> None:
        self._young.pop(key, None)
        self._old.pop(key, None)

    def clear(self) -> None:
        self._young.clear()
        self._old.clear()

    def make_room(self) -> None:
        """Drop the old generation when the young one is full. Only between batches: nothing here is newer
        than the store."""
        if len(self._young) > self._limit:
            self._old = self._young
            self._young = {}


class State:
    """Memory of the one owner of the buckets. Look-ups raise `NotLoaded`; see the module's text.

    One batch at a time: `apply` gathers entries, `batch` is what the engine has to store, `committed` says
    that it did.
    """

    def __init__(
        self,
        start: Start,
        *,
        recent_entries: int = RECENT_ENTRIES,
        recent_reversed: int = RECENT_REVERSED,
        cache_generation: int = CACHE_GENERATION,
    ) -> None:
        self._last_entry_id = start.last_entry_id
        # The ids of a millisecond are divided among the buckets, so that no two owners make the same.
        self._buckets = first, last = start.buckets
        self._first_slot = first * _SLOTS_OF_BUCKET
        self._last_slot = (last + 1) * _SLOTS_OF_BUCKET - 1
        # The newest entry's, YYYY-MM-DD; empty in an empty ledger. It never goes back.
        self.business_date = start.business_date
        self._member_counts = dict(start.member_counts)
        self._entries: _Recent[Entry] = _Recent(start.last_identity, recent_entries)
        self._reversed: _Recent[bool] = _Recent(start.last_reversed, recent_reversed)
        self._identifiers: _Generations[bytes, int] = _Generations(cache_generation)  # 0: no such member
        self._members: _Generations[int, Member] = _Generations(cache_generation)
        self._mobiles: _Generations[int, Mobile] = _Generations(cache_generation)
        self._cards: _Generations[int, Cards] = _Generations(cache_generation)
        self._by_id: _Generations[int, Entry | None] = _Generations(cache_generation)
        self._followed: _Generations[int, FollowUp] = _Generations(cache_generation)
        self._counters: _Generations[Counter, Count] = _Generations(cache_generation)
        self._code_counts: _Generations[str, CodeCount] = _Generations(cache_generation)
        self._last_batches: _Generations[str, LastBatch] = _Generations(cache_generation)
        self._lent = _Lent()
        self._batch = _NewBatch()

    # ---------------------------------------------------------------- look-ups

    def owns(self, bucket: int) -> bool:
        """Whether this is the memory of the owner of this bucket."""
        first, last = self._buckets
        return first <= bucket <= last

    @property
    def _owns_all(self) -> bool:
        return self._buckets == (0, BUCKETS - 1)

    # bucket: where the caller knows it to be; a store that spreads rows by bucket is then much quicker.

    def entry(self, identity: bytes, bucket: int = ANY_BUCKET) -> Entry | None:
        """The entry with this identity, or None when it was never decided."""
        entry = self._entries.get(identity)
        if entry is None and not self._entries.knows(identity):
            raise NotLoaded(EntryLoad(identity, bucket))
        return entry

    def entry_of_id(self, entry_id: int, bucket: int = ANY_BUCKET) -> Entry | None:
        """The entry with this id, or None."""
        if (entry := self._batch.by_id.get(entry_id)) is not None:
            return entry
        if bucket >= 0 and not self.owns(bucket):
            return cast("Entry | None", self._lent.value(EntryIdLoad(entry_id, bucket)))
        if entry_id > self._last_entry_id:
            return None  # not remembered: an entry will have this id one day
        if entry_id not in self._by_id:
            raise NotLoaded(EntryIdLoad(entry_id, bucket))
        return self._by_id.get(entry_id)

    def is_reversed(self, identity: bytes, bucket: int = ANY_BUCKET) -> bool:
        """Whether a reversal of this identity is in the ledger, the original seen or not."""
        is_reversed = self._reversed.get(identity)
        if is_reversed is None and not self._reversed.knows(identity):
            raise NotLoaded(ReversedLoad(identity, bucket))
        return is_reversed is not None

    def entry_of_any_owner(self, identity: bytes) -> Entry | None:
        """As `entry`, whoever owns its bucket; of other owners what is committed."""
        entry = self._entries.get(identity)
        if entry is not None or self._owns_all:
            return entry or self.entry(identity)
        return cast("Entry | None", self._lent.value(EntryLoad(identity, EVERY_BUCKET)))

    def is_reversed_by_any_owner(self, identity: bytes) -> bool:
        """As `is_reversed`, whoever owns its bucket; of other owners what is committed."""
        if self._reversed.get(identity) is not None or self._owns_all:
            return self.is_reversed(identity)
        return bool(self._lent.value(ReversedLoad(identity, EVERY_BUCKET)))

    def followed(self, entry_id: int, bucket: int = ANY_BUCKET) -> FollowUp:
        """What was done to an entry since it was decided."""
        follow_up = self._followed.get(entry_id)
        if follow_up is None:
            raise NotLoaded(FollowedLoad(entry_id, bucket))
        return follow_up

    def member_of(self, identifier: bytes) -> int | None:
        """The member id behind a keyed hash, or None."""
        member = self._identifiers.get(identifier)
        if member is None:
            raise NotLoaded(IdentifierLoad(identifier))
        return member or None

    def member(self, member_id: int) -> Member:
        """The member with this id, which must exist (it came from `member_of` or an entry)."""
        member = self._members.get(member_id)
        if member is None:
            raise NotLoaded(MemberLoad(member_id))
        return member

    def mobile(self, member_id: int) -> Mobile | None:
        """The member's mobile number, or None."""
        mobile = self._mobiles.get(member_id)
        if mobile is None:
            raise NotLoaded(MobileLoad(member_id))
        return mobile if mobile.identifier else None

    def cards(self, member_id: int) -> Cards:
        """Keyed hash and masked number of each card that the member is found by."""
        cards = self._cards.get(member_id)
        if cards is None:
            raise NotLoaded(CardLoad(member_id))
        return cards

    def code_count(self, subject: str) -> CodeCount:
        """How many one-time codes were sent for a subject (see `of_member`, `of_terminal`)."""
        count = self._code_counts.get(subject)
        if count is None:
            raise NotLoaded(CodeCountLoad(subject))
        return count

    def last_batch(self, terminal: str) -> LastBatch:
        """The last batch that a terminal closed; number 0 when it closed none."""
        last = self._last_batches.get(terminal)
        if last is None:
            raise NotLoaded(LastBatchLoad(terminal))
        return last

    def counter(self, counter: Counter) -> Count:
        """What a counter came to, this batch included."""
        stored = self._counters.get(counter)
        if stored is None:
            raise NotLoaded(CounterLoad(counter))
        added = self._batch.counted().get(counter)
        return stored if added is None else stored + added

    def next_entry_id(self, now_ms: int) -> int:
        """The id an entry decided now has to take: above all earlier ones whatever the clock does.

        now_ms: milliseconds since 1970, UTC. Asking takes nothing; `apply` does.
        """
        by_clock = (now_ms - ENTRY_ID_EPOCH_MS) * ENTRY_IDS_PER_MS + self._first_slot
        entry_id = by_clock if by_clock > self._last_entry_id else self._last_entry_id + 1
        slot = entry_id % ENTRY_IDS_PER_MS
        if slot < self._first_slot:
            entry_id += self._first_slot - slot
        elif slot > self._last_slot:
            entry_id += ENTRY_IDS_PER_MS - slot + self._first_slot
        assert entry_id < ENTRY_ID_LIMIT, "the clock is past 2093"
        return entry_id

    def next_member_id(self, bucket: int) -> int:
        """The id a member added to this bucket has to take. Asking takes nothing; `apply` does."""
        return (bucket << _MEMBER_NUMBER_BITS) + self._member_counts.get(bucket, 0) + 1

    def knows(self, load: Load) -> bool:
        """Whether the look-up that `load` is about would be answered from memory."""
        if isinstance(load, EntryLoad | ReversedLoad) and load.bucket == EVERY_BUCKET:
            return (type(load), load) in self._lent.values
        if isinstance(load, EntryLoad):
            return self._entries.knows(load.identity)
        if isinstance(load, ReversedLoad):
            return self._reversed.knows(load.original)
        if isinstance(load, IdentifierLoad):
            return load.identifier in self._identifiers
        if isinstance(load, MemberLoad):
            return load.member in self._members
        if isinstance(load, LastBatchLoad):
            return load.terminal in self._last_batches
        if isinstance(load, CounterLoad):
            return load.counter in self._counters
        if isinstance(load, EntryIdLoad):
            if load.bucket >= 0 and not self.owns(load.bucket):
                return (EntryIdLoad, load) in self._lent.values
            is_new = load.entry in self._batch.by_id or load.entry > self._last_entry_id
            return is_new or load.entry in self._by_id
        if isinstance(load, FollowedLoad):
            return load.entry in self._followed
        if isinstance(load, MobileLoad):
            return load.member in self._mobiles
        if isinstance(load, CardLoad):
            return load.member in self._cards
        if isinstance(load, CodeCountLoad):
            return load.subject in self._code_counts
        return False

    # ---------------------------------------------------------------- changes

    def apply(self, entry: Entry) -> None:
        """Let later look-ups see this decided entry. Changes nothing when it raises `NotLoaded`."""
        batch, entry_id, identity = self._batch, entry.id, entry.identity
        assert not batch.taken, "what is being stored takes no more entries"
        assert entry_id > self._last_entry_id, "entry ids rise"
        assert entry.business_date >= self.business_date, "a closed day never opens again"
        assert self.entry(identity) is None, "an identity is decided once"
        units = units_moved(entry)
        member = self._checked(entry, units)
        if member is not None:
            self._members.put(member.id, member)
            batch.members[member.id] = member
        if entry.sides:
            self._apply_sides(entry, batch)
        if entry.namings:
            self._name(entry)
        add_to_accounts(batch.accounts, entry, OWNERS_BUCKETS)
        batch.tally.add(entry, units)
        self._last_entry_id = entry_id
        self.business_date = entry.business_date
        self._entries.add(entry.identity, entry)
        batch.by_id[entry_id] = entry

    def _apply_sides(self, entry: Entry, batch: _NewBatch) -> None:
        for side in entry.sides:
            if isinstance(side, MemberAdded):
                bucket = bucket_of_member(side.member)
                self._member_counts[bucket] = self._member_counts.get(bucket, 0) + 1
            elif isinstance(side, OriginalReversed):
                self._reversed.add(side.original, True)
            elif isinstance(side, Followed):
                batch.followed[side.original] = FollowUp(side.amount, side.units, side.ended)
                self._followed.put(side.original, batch.followed[side.original])
            elif isinstance(side, CodesCounted):
                batch.code_counts[side.subject] = CodeCount(side.since_ms, side.sent)
                self._code_counts.put(side.subject, batch.code_counts[side.subject])
            elif isinstance(side, BatchClosed):
                self._close(side.terminal, LastBatch(side.batch, entry.id, side.differs))
            elif isinstance(side, UploadEnded):
                self._close(side.terminal, LastBatch(side.batch, side.closed, differs=True, ended=entry.id))
            elif isinstance(side, HoldOpened):
                batch.opened.append(OpenHold(entry.id, side.member, side.expires_ms))
            elif isinstance(side, HoldClosed):
                batch.closed.append(side.hold)

    def _close(self, terminal: str, last: LastBatch) -> None:
        self._batch.batches[terminal, last.number] = last
        self._last_batches.put(terminal, last)

    def _check_batch(self, entry: Entry) -> None:
        """What closes a batch or ends its upload."""
        for side in entry.sides:
            if isinstance(side, BatchClosed):
                last = self.last_batch(side.terminal)
                again = side.batch == last.number and last.differs and not last.ended
                assert side.batch > last.number or again, "a closed batch never opens again"
            elif isinstance(side, UploadEnded):
                last = self.last_batch(side.terminal)
                assert last == LastBatch(side.batch, side.closed, differs=True), "an upload ends once"

    def _checked(self, entry: Entry, units: int) -> Member | None:
        """The entry's member after it, everything it relies on being loaded and true. units: see
        `member_after`."""
        if entry.sides:
            self._check_sides(entry)
        if entry.namings:
            self._check_namings(entry)
        if not entry.member:
            assert not entry.transfers, "only members' entries move something"
            assert not entry.previous, "only members' entries follow each other"
            assert all(type(side) in OF_NO_MEMBER for side in entry.sides), "nobody's change"
            self._check_batch(entry)
            return None
        is_added = entry.sides and _is_added(entry)
        return member_after(None if is_added else self.member(entry.member), entry, units)

    def _check_sides(self, entry: Entry) -> None:
        reversals: set[bytes] = set()
        for side in entry.sides:
            if isinstance(side, OriginalReversed):
                assert not self.is_reversed(side.original), "an original is reversed once"
                assert side.original not in reversals, "an original is reversed once"
                reversals.add(side.original)
            elif isinstance(side, Followed):
                ended = self.followed(side.original).ended
                assert not (ended and side.ended), "nothing follows what has ended"
            elif isinstance(side, MemberAdded):
                assert side.member == self.next_member_id(entry.bucket), "member numbers have no gaps"

    def _check_namings(self, entry: Entry) -> None:
        """Each naming against what is known and the ones before it."""
        changed: dict[bytes, int | None] = {}
        has_mobile = False if _is_added(entry) else None  # None: not looked up yet
        for naming in entry.namings:
            assert naming.member == entry.member, "an entry names its own member"
            identifier = naming.identifier
            known = changed[identifier] if identifier in changed else self.member_of(identifier)
            is_mobile = naming.kind is IdentifierKind.MOBILE
            if isinstance(naming, Named):
                assert known is None, "an identifier names one member"
                if is_mobile:
                    if has_mobile is None:
                        has_mobile = self.mobile(naming.member) is not None
                    assert not has_mobile, "a member has one mobile number"
                    has_mobile = True
                changed[identifier] = naming.member
            else:
                assert known == naming.member, "only what is there is removed"
                changed[identifier] = None
                if is_mobile:
                    has_mobile = False

    def _name(self, entry: Entry) -> None:
        for naming in entry.namings:
            if isinstance(naming, Named):
                self._identifiers.put(naming.identifier, naming.member)
                if naming.kind is IdentifierKind.MOBILE:
                    self._mobiles.put(naming.member, Mobile(naming.identifier, naming.masked, naming.sealed))
            else:
                self._identifiers.put(naming.identifier, 0)
                if naming.kind is IdentifierKind.MOBILE:
                    self._mobiles.put(naming.member, _NO_MOBILE)
            if naming.kind is IdentifierKind.CARD:
                self._cards.forget(naming.member)
                self._batch.cards_changed.add(naming.member)

    def fill(self, load: Load, value: Loaded) -> None:
        """Take the engine's answer to a `NotLoaded.load`. What memory knows already is newer and stays.

        The answer must be of the ledger without the batch that gathers here: no `stage` to `committed` may
        lie between asking and filling.
        """
        if isinstance(load, EntryLoad | ReversedLoad) and load.bucket == EVERY_BUCKET:
            self._lent.values[type(load), load] = value
        elif isinstance(load, EntryLoad):
            self._entries.fill(load.identity, cast("Entry | None", value))
        elif isinstance(load, ReversedLoad):
            self._reversed.fill(load.original, True if value else None)
        elif isinstance(load, IdentifierLoad):
            if load.identifier not in self._identifiers:
                member = cast("int | None", value) or 0
                self._identifiers.put(load.identifier, member)
                if not member or not self.owns(bucket_of_member(member)):
                    self._lent.identifiers.append(load.identifier)
        elif isinstance(load, MemberLoad):
            if load.member not in self._members:
                self._members.put(load.member, cast(Member, value))
                if not self.owns(bucket_of_member(load.member)):
                    self._lent.members.append(load.member)
        elif isinstance(load, MobileLoad):
            if load.member not in self._mobiles:
                self._mobiles.put(load.member, cast("Mobile | None", value) or _NO_MOBILE)
        elif isinstance(load, EntryIdLoad):
            if load.bucket >= 0 and not self.owns(load.bucket):
                self._lent.values[EntryIdLoad, load] = value
            elif load.entry not in self._by_id:
                self._by_id.put(load.entry, cast("Entry | None", value))
        elif isinstance(load, FollowedLoad):
            if load.entry not in self._followed:
                self._followed.put(load.entry, cast(FollowUp, value))
        elif isinstance(load, CodeCountLoad):
            if load.subject not in self._code_counts:
                self._code_counts.put(load.subject, cast(CodeCount, value))
        elif isinstance(load, LastBatchLoad):
            if load.terminal not in self._last_batches:
                self._last_batches.put(load.terminal, cast("LastBatch | None", value) or _NO_BATCH)
        elif isinstance(load, CounterLoad):
            if load.counter not in self._counters:
                self._counters.put(load.counter, cast(Count, value))
                if not self._is_of_the_past(load.counter):
                    self._lent.counters.append(load.counter)
        elif isinstance(load, CardLoad):
            if load.member not in self._cards:
                self._cards.put(load.member, self._cards_with_batch(load.member, cast(Cards, value)))
        else:
            raise AssertionError("balances of acceptors aren't kept in memory")

    def _is_of_the_past(self, counter: Counter) -> bool:
        """Whether nobody counts in it any more. Owners' business dates are a moment apart at most."""
        if counter.scope not in DAILY:
            return False
        return bool(self.business_date) and counter.period < _day_before(self.business_date)

    def _cards_with_batch(self, member: int, stored: Cards) -> Cards:
        """Stored cards, brought up to what this batch changes."""
        if member not in self._batch.cards_changed:
            return stored
        cards = dict(stored)
        for entry in self._batch.by_id.values():
            for naming in entry.namings:
                if naming.member == member and naming.kind is IdentifierKind.CARD:
                    if isinstance(naming, Named):
                        cards[naming.identifier] = naming.masked
                    else:
                        cards.pop(naming.identifier, None)
        return tuple(cards.items())

    # ---------------------------------------------------------------- batches

    def forget_lent(self) -> None:
        """Forget what other owners may have changed since it was looked up: the next batch asks again.
        Nothing when all buckets are this owner's. Only between batches."""
        assert not self._batch.by_id, "between batches"
        lent, self._lent = self._lent, _Lent()
        if self._owns_all:
            return
        for identifier in lent.identifiers:
            self._identifiers.forget(identifier)
        for member in lent.members:
            self._members.forget(member)
        for counter in lent.counters:
            self._counters.forget(counter)
        self._code_counts.clear()
        self._last_batches.clear()

    def batch(self, answered: Mapping[bytes, int] = NO_MARKS) -> Batch:
        """What has been applied since the last `committed`: what the engine has to store. answered: see
        `Batch`. Nothing more may be applied until `committed`, unless nothing was yet."""
        new = self._batch
        new.taken = bool(new.by_id)
        return Batch(
            list(new.by_id.values()),
            new.members,
            new.accounts,
            new.counted(),
            new.followed,
            new.opened,
            new.closed,
            new.code_counts,
            new.batches,
            answered,
        )

    def committed(self) -> None:
        """The batch is durable: what it changed may leave memory when room is needed."""
        batch, self._batch = self._batch, _NewBatch()
        entries = batch.by_id.values()
        self._entries.committed([entry.identity for entry in entries])
        sides = [side for entry in entries for side in entry.sides]
        self._reversed.committed([side.original for side in sides if isinstance(side, OriginalReversed)])
        if self._counters:
            for counter, added in batch.counted().items():
                stored = self._counters.get(counter)
                if stored is not None:
                    self._counters.put(counter, stored + added)
        for cache in (
            self._identifiers,
            self._members,
            self._mobiles,
            self._cards,
            self._by_id,
            self._followed,
            self._counters,
            self._code_counts,
            self._last_batches,
        ):
            cache.make_room()


class _Lent:
    """What was looked up and isn't this owner's alone, so that it may be another thing in a moment."""

    __slots__ = ("counters", "identifiers", "members", "values")

    def __init__(self) -> None:
        self.counters: list[Counter] = []
        self.identifiers: list[bytes] = []
        self.members: list[int] = []
        self.values: dict[tuple[type[Load], Load], Loaded] = {}

    def value(self, load: Load) -> Loaded:
        key = (type(load), load)
        if key not in self.values:
            raise NotLoaded(load)
        return self.values[key]


class _NewBatch:
    """What was applied and isn't durable yet."""

    __slots__ = (
        "_counters",
        "accounts",
        "batches",
        "by_id",
        "cards_changed",
        "closed",
        "code_counts",
        "followed",
        "members",
        "opened",
        "taken",
        "tally",
    )

    def __init__(self) -> None:
        self.by_id: dict[int, Entry] = {}
        self.members: dict[int, Member] = {}
        self.accounts: dict[Account, int] = {}
        self._counters: dict[Counter, Count] = {}
        self.tally = Tally()  # of entries that aren't in the counters yet
        self.followed: dict[int, FollowUp] = {}
        self.opened: list[OpenHold] = []
        self.closed: list[int] = []
        self.code_counts: dict[str, CodeCount] = {}
        self.batches: dict[tuple[str, int], LastBatch] = {}
        self.cards_changed: set[int] = set()
        self.taken = False  # by `State.batch`

    def counted(self) -> dict[Counter, Count]:
        """What all entries so far add to counters."""
        counters = self._counters
        if len(self.tally):
            for counter, count in self.tally.take():
                added = counters.get(counter)
                counters[counter] = count if added is None else added + count
        return counters


@lru_cache(maxsize=8)
def _day_before(iso: str) -> str:
    return (date.fromisoformat(iso) - timedelta(days=1)).isoformat()


def _is_added(entry: Entry) -> bool:
    return any(type(side) is MemberAdded for side in entry.sides)
