"""The owner's memory: what deciding a request may look at, ahead of what is durable.

Pure: no I/O, no clock. A look-up whose answer isn't here raises `NotLoaded`; the shell asks the engine, calls
`fill` and decides again, so look-ups have no effects. `apply` is speculative: later requests of the batch see
it before it is committed. When a commit fails or its outcome is unknown the whole State is dropped.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from heapq import heappop, heappush
from typing import Generic, TypeVar, cast

from switch.ledger.engine import (
    BalanceLoad,
    CodeCountLoad,
    CredentialLoad,
    EntryLoad,
    IdentifierLoad,
    Load,
    Loaded,
    MemberLoad,
    MobileLoad,
    ReversedLoad,
    Start,
)
from switch.ledger.model import (
    CREDENTIAL_SIDES,
    Account,
    AccountKind,
    CodeCount,
    CodesCounted,
    Credential,
    Entry,
    Member,
    MemberAdded,
    MemberStatus,
    Mobile,
    MobileRemoved,
    MobileSet,
    OriginalReversed,
    Side,
    bucket_of_member,
)

# 2024-01-01 UTC in milliseconds since 1970, where entry ids begin: 2**41 ms then reach to 2093.
ENTRY_ID_EPOCH_MS = 1_704_067_200_000
ENTRY_IDS_PER_MS = 1024  # more than a hundred times what one process decides in a millisecond
ENTRY_ID_LIMIT = 2**51

# Whole entries kept for repeats and reversals, which come within seconds: about 10 s at full speed, ~200 MB.
RECENT_ENTRIES = 100_000
# Early reversals kept in memory; a hundred bytes each, and reversals are rare.
RECENT_REVERSED = 100_000
# Members, identifiers and balances kept, each: two of these generations, some 300 bytes an item.
CACHE_GENERATION = 100_000
# Identities looked up and found absent, older than all in memory (queued earns): forgotten together.
ABSENT_IDENTITIES = 10_000

_MEMBER_NUMBER_BITS = 40
_NO_MOBILE = Mobile(b"", "", b"")

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

    def knows(self, key: bytes) -> bool:
        return key > self._floor or key in self._values or key in self._absent

    def get(self, key: bytes) -> Value | None:
        return self._values.get(key)

    def add(self, key: bytes, value: Value) -> None:
        self._values[key] = value
        self._absent.discard(key)

    def fill(self, key: bytes, value: Value | None) -> None:
        if self.knows(key):
            return
        if value is None:
            self._absent.add(key)
        else:
            self._values[key] = value
            heappush(self._committed, key)

    def committed(self, key: bytes) -> None:
        heappush(self._committed, key)
        while len(self._committed) > self._limit:
            smallest = heappop(self._committed)
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

    def get(self, key: Key) -> Value | None:
        value = self._young.get(key)
        if value is None and (value := self._old.get(key)) is not None:
            self._young[key] = value
        return value

    def put(self, key: Key, value: Value) -> None:
        self._young[key] = value

    @property
    def full(self) -> bool:
        return len(self._young) > self._limit

    def turn(self, pinned: Iterable[Key]) -> None:
        """Drop the old generation, except what is pinned."""
        kept = {key: value for key in pinned if (value := self.get(key)) is not None}
        self._old = self._young
        self._young = kept


class State:
    """Memory of the one owner of the buckets. Look-ups raise `NotLoaded`; see the module's text."""

    def __init__(
        self,
        start: Start,
        *,
        recent_entries: int = RECENT_ENTRIES,
        recent_reversed: int = RECENT_REVERSED,
        cache_generation: int = CACHE_GENERATION,
    ) -> None:
        self._last_entry_id = start.last_entry_id
        self._member_counts = dict(start.member_counts)
        self._entries: _Recent[Entry] = _Recent(start.last_identity, recent_entries)
        self._reversed: _Recent[bool] = _Recent(start.last_reversed, recent_reversed)
        self._identifiers: _Generations[bytes, int] = _Generations(cache_generation)  # 0: no such member
        self._members: _Generations[int, Member] = _Generations(cache_generation)
        self._balances: _Generations[Account, int] = _Generations(cache_generation)
        self._credentials: _Generations[int, Credential] = _Generations(cache_generation)
        self._mobiles: _Generations[int, Mobile] = _Generations(cache_generation)
        self._code_counts: _Generations[str, CodeCount] = _Generations(cache_generation)
        self._uncommitted: deque[Entry] = deque()

    # ---------------------------------------------------------------- look-ups

    def entry(self, identity: bytes) -> Entry | None:
        """The entry with this identity, or None when it was never decided."""
        if not self._entries.knows(identity):
            raise NotLoaded(EntryLoad(identity))
        return self._entries.get(identity)

    def is_reversed(self, identity: bytes) -> bool:
        """Whether a reversal of this identity is in the ledger, the original seen or not."""
        if not self._reversed.knows(identity):
            raise NotLoaded(ReversedLoad(identity))
        return self._reversed.get(identity) is not None

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

    def credential(self, member_id: int) -> Credential:
        """What this member can prove itself with; an empty one when nothing was ever set."""
        credential = self._credentials.get(member_id)
        if credential is None:
            raise NotLoaded(CredentialLoad(member_id))
        return credential

    def mobile(self, member_id: int) -> Mobile | None:
        """The member's mobile number, or None."""
        mobile = self._mobiles.get(member_id)
        if mobile is None:
            raise NotLoaded(MobileLoad(member_id))
        return mobile if mobile.identifier else None

    def code_count(self, subject: str) -> CodeCount:
        """How many one-time codes were sent for a subject; an empty count when none was."""
        count = self._code_counts.get(subject)
        if count is None:
            raise NotLoaded(CodeCountLoad(subject))
        return count

    def balance(self, account: Account) -> int:
        """Balance of a member's account; 0 when nothing was ever posted to it."""
        assert account.kind is AccountKind.MEMBER, "only members' balances are kept in memory"
        balance = self._balances.get(account)
        if balance is None:
            raise NotLoaded(BalanceLoad(account))
        return balance

    def next_entry_id(self, now_ms: int) -> int:
        """The id an entry decided now has to take: above all earlier ones whatever the clock does.

        now_ms: milliseconds since 1970, UTC. Asking takes nothing; `apply` does.
        """
        by_clock = (now_ms - ENTRY_ID_EPOCH_MS) * ENTRY_IDS_PER_MS
        entry_id = max(by_clock, self._last_entry_id + 1)
        assert entry_id < ENTRY_ID_LIMIT, "the clock is past 2093"
        return entry_id

    def next_member_id(self, bucket: int) -> int:
        """The id a member added to this bucket has to take. Asking takes nothing; `apply` does."""
        return (bucket << _MEMBER_NUMBER_BITS) + self._member_counts.get(bucket, 0) + 1

    # ---------------------------------------------------------------- changes

    def apply(self, entry: Entry) -> None:
        """Let later look-ups see this decided entry. Changes nothing when it raises `NotLoaded`."""
        assert entry.id > self._last_entry_id, "entry ids rise"
        assert self.entry(entry.identity) is None, "an identity is decided once"
        for side in entry.sides:
            self._check_side(entry, side)
        balances = self._moved_balances(entry)
        self._last_entry_id = entry.id
        self._entries.add(entry.identity, entry)
        for account, balance in balances.items():
            self._balances.put(account, balance)
        for side in entry.sides:
            self._apply_side(side)
        self._uncommitted.append(entry)

    def _check_side(self, entry: Entry, side: Side) -> None:
        if isinstance(side, OriginalReversed):
            assert not self.is_reversed(side.original), "an original is reversed once"
            return
        assert bucket_of_member(side.member) == entry.bucket, "an entry changes members of its own bucket"
        if isinstance(side, MemberAdded):
            assert side.member == self.next_member_id(entry.bucket), "member numbers have no gaps"
            assert self.member_of(side.identifier) is None, "an identifier names one member"
            return
        if not any(isinstance(other, MemberAdded) and other.member == side.member for other in entry.sides):
            self.member(side.member)
        if isinstance(side, MobileSet):
            assert self.mobile(side.member) is None, "a member has one mobile number"
            assert self.member_of(side.identifier) is None, "a mobile number names one member"
        elif isinstance(side, MobileRemoved):
            assert self.member_of(side.identifier) == side.member, "only what is there is removed"
        elif isinstance(side, CREDENTIAL_SIDES):
            self.credential(side.member)

    def _apply_side(self, side: Side) -> None:
        if isinstance(side, OriginalReversed):
            self._reversed.add(side.original, True)
        elif isinstance(side, MemberAdded):
            bucket = bucket_of_member(side.member)
            self._member_counts[bucket] = self._member_counts.get(bucket, 0) + 1
            self._identifiers.put(side.identifier, side.member)
            self._members.put(side.member, Member(side.member, MemberStatus.ACTIVE, side.masked_card))
        elif isinstance(side, MobileSet):
            self._identifiers.put(side.identifier, side.member)
            self._mobiles.put(side.member, Mobile(side.identifier, side.masked, side.sealed))
        elif isinstance(side, MobileRemoved):
            self._identifiers.put(side.identifier, 0)
            self._mobiles.put(side.member, _NO_MOBILE)
        elif isinstance(side, CREDENTIAL_SIDES):
            self._credentials.put(side.member, self.credential(side.member).after(side))
        elif isinstance(side, CodesCounted):
            self._code_counts.put(side.subject, CodeCount(side.since_ms, side.sent))
        else:
            member = self.member(side.member)
            self._members.put(side.member, Member(member.id, side.status, member.masked_card))

    def _moved_balances(self, entry: Entry) -> dict[Account, int]:
        balances: dict[Account, int] = {}
        for transfer in entry.transfers:
            for account, amount in transfer.postings:
                if account.kind is AccountKind.MEMBER:
                    before = balances[account] if account in balances else self.balance(account)
                    balances[account] = before + amount
        return balances

    def fill(self, load: Load, value: Loaded) -> None:
        """Take the engine's answer to a `NotLoaded.load`. What memory knows already is newer and stays."""
        if isinstance(load, EntryLoad):
            self._entries.fill(load.identity, cast("Entry | None", value))
        elif isinstance(load, ReversedLoad):
            self._reversed.fill(load.original, True if value else None)
        elif isinstance(load, IdentifierLoad):
            if load.identifier not in self._identifiers:
                self._identifiers.put(load.identifier, cast("int | None", value) or 0)
        elif isinstance(load, MemberLoad):
            if load.member not in self._members:
                self._members.put(load.member, cast(Member, value))
        elif isinstance(load, CredentialLoad):
            if load.member not in self._credentials:
                self._credentials.put(load.member, cast(Credential, value))
        elif isinstance(load, MobileLoad):
            if load.member not in self._mobiles:
                self._mobiles.put(load.member, cast("Mobile | None", value) or _NO_MOBILE)
        elif isinstance(load, CodeCountLoad):
            if load.subject not in self._code_counts:
                self._code_counts.put(load.subject, cast(CodeCount, value))
        elif load.account not in self._balances:
            self._balances.put(load.account, cast(int, value))

    def committed(self, entries: Iterable[Entry]) -> None:
        """These entries, applied in this order, are durable: they may leave memory when room is needed."""
        for entry in entries:
            assert self._uncommitted.popleft() is entry, "entries commit in the order they were applied"
            self._entries.committed(entry.identity)
            for side in entry.sides:
                if isinstance(side, OriginalReversed):
                    self._reversed.committed(side.original)
        if self._balances.full:
            self._balances.turn(self._uncommitted_accounts())
        if self._members.full:
            self._members.turn(self._uncommitted_members())
        if self._credentials.full:
            self._credentials.turn(self._uncommitted_members())
        if self._mobiles.full:
            self._mobiles.turn(self._uncommitted_members())
        if self._code_counts.full:
            self._code_counts.turn(self._uncommitted_subjects())
        if self._identifiers.full:
            self._identifiers.turn(self._uncommitted_identifiers())

    def _uncommitted_accounts(self) -> Iterator[Account]:
        for entry in self._uncommitted:
            for transfer in entry.transfers:
                for account, _ in transfer.postings:
                    if account.kind is AccountKind.MEMBER:
                        yield account

    def _uncommitted_members(self) -> Iterator[int]:
        for entry in self._uncommitted:
            for side in entry.sides:
                if not isinstance(side, OriginalReversed):
                    yield side.member

    def _uncommitted_subjects(self) -> Iterator[str]:
        for entry in self._uncommitted:
            for side in entry.sides:
                if isinstance(side, CodesCounted):
                    yield side.subject

    def _uncommitted_identifiers(self) -> Iterator[bytes]:
        for entry in self._uncommitted:
            for side in entry.sides:
                if isinstance(side, MemberAdded | MobileSet | MobileRemoved):
                    yield side.identifier
