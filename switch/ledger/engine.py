"""What every ledger engine is: the port between the owner's memory and the durable store, and its errors.

Engines store whole batches or nothing and answer look-ups from committed data only; nothing is decided here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple, Protocol

from switch.ledger.counting import Count, Counter
from switch.ledger.model import BUCKETS, Account, CodeCount, Entry, Hold, Member, Mobile

NO_MARKS: Mapping[bytes, int] = MappingProxyType({})


class LedgerError(Exception):
    """The ledger did not do what was asked."""


class LedgerUnavailable(LedgerError):
    """The store can't be used now; nothing was acknowledged. The text says what, where and what next.

    After it the outcome of the batch is unknown: drop the `State`, start again from `Engine.start()`.
    """


class LedgerSilent(LedgerUnavailable):
    """Where the store is, nobody says anything: whoever asks waits in vain, each time as long."""


class NotSynced(LedgerUnavailable):
    """The disk failed to make durable what it had taken, and may never try again: the system's memory and the
    disk differ, and what is read proves nothing. Close, end the process, and start again."""


class FencedError(LedgerError):
    """Another owner took these buckets over (its epoch is higher): stop writing, nothing was stored."""


class ConflictError(LedgerError):
    """The batch contradicts what is stored (identity, id or member there already, a member not as it was
    read). Nothing was stored."""


# Of a look-up that names no bucket: all that are owned are looked into. An engine that spreads rows by bucket
# is a hundred times quicker when the bucket is named.
ANY_BUCKET = -1
# Every owner's: for the little that can't be found in one's own buckets.
EVERY_BUCKET = -2


class EntryLoad(NamedTuple):
    """Look up the entry with this identity: `Entry`, or None."""

    identity: bytes
    bucket: int = ANY_BUCKET


class EntryIdLoad(NamedTuple):
    """Look up the entry with this id: `Entry`, or None."""

    entry: int
    bucket: int = ANY_BUCKET


class ReversedLoad(NamedTuple):
    """Look up whether the transaction with this identity counts as reversed: bool."""

    original: bytes
    bucket: int = ANY_BUCKET


class FollowedLoad(NamedTuple):
    """Look up what was done to an entry since: `FollowUp`, an empty one when nothing was."""

    entry: int
    bucket: int = ANY_BUCKET


class IdentifierLoad(NamedTuple):
    """Look up the member id behind a keyed hash: int, or None."""

    identifier: bytes


class MemberLoad(NamedTuple):
    """Look up a member by id: `Member`. The id must exist."""

    member: int


class MobileLoad(NamedTuple):
    """Look up a member's mobile number: `Mobile`, or None."""

    member: int


class CardLoad(NamedTuple):
    """Look up the cards that a member is found by: a tuple of keyed hash and masked number each."""

    member: int


class CodeCountLoad(NamedTuple):
    """Look up how many one-time codes were sent for a subject: `CodeCount`, an empty one when none was."""

    subject: str


class CounterLoad(NamedTuple):
    """Look up a counter: `Count`, zeros when nothing was ever counted."""

    counter: Counter


class LastBatchLoad(NamedTuple):
    """Look up the last batch that a terminal (DE 41) closed: `LastBatch`, or None."""

    terminal: str


class BalanceLoad(NamedTuple):
    """Look up the balance of an account that is no member's, over all buckets: int."""

    account: Account


class FollowUp(NamedTuple):
    """What was done to an entry since it was decided, see `model.Followed`."""

    amount: int = 0
    units: int = 0
    ended: bool = False


class LastBatch(NamedTuple):
    """A closed batch: the entry that closed it, whether totals differed, the entry that ended the upload of
    its items, or 0."""

    number: int
    entry: int
    differs: bool
    ended: int = 0


Cards = tuple[tuple[bytes, str], ...]
Load = (
    EntryLoad
    | EntryIdLoad
    | ReversedLoad
    | FollowedLoad
    | IdentifierLoad
    | MemberLoad
    | MobileLoad
    | CardLoad
    | CodeCountLoad
    | CounterLoad
    | LastBatchLoad
    | BalanceLoad
)
Loaded = Entry | Member | Mobile | CodeCount | FollowUp | Count | LastBatch | Cards | int | bool | None


class Start(NamedTuple):
    """What an owner's memory begins with. Empty ledger: 0, b"", b"", "", {}, {}.

    last_identity and last_reversed are the greatest ones stored: whatever is greater isn't in the store.
    business_date: the newest entry's. member_counts: highest member number of each bucket that has members.
    key_marks: highest counter of each initial key id (8 bytes) in the entries and among what was answered
    without one. last_entry_id and key_marks are of the whole ledger, the rest of the owned buckets. buckets:
    first and last of these; entry ids that two owners make at once differ by them.
    """

    last_entry_id: int
    last_identity: bytes
    last_reversed: bytes
    business_date: str
    member_counts: Mapping[int, int]
    key_marks: Mapping[bytes, int] = MappingProxyType({})
    buckets: tuple[int, int] = (0, BUCKETS - 1)


class Head(NamedTuple):
    """The end of one bucket's chain: entries so far, the last one's seal, members so far."""

    sequence: int
    seal: bytes
    members: int


class DueMember(NamedTuple):
    """A member with the first day on which something of it expires or becomes active."""

    due: int
    member: int


FIRST_DUE = DueMember(0, 0)  # before all


class OpenHold(NamedTuple):
    """A hold that nothing has closed yet."""

    id: int
    member: int
    expires_ms: int


@dataclass(slots=True)
class Batch:
    """What one commit stores. `State.batch` makes it.

    entries: in the order of their ids. The rest follows from them: what these members and counters came to,
    what is added to accounts (of `OWNERS_BUCKETS`), counters and marks. answered: the highest counter of each
    initial key (8 bytes) among the sendings that get an answer and make no entry.
    """

    entries: Sequence[Entry]
    members: Mapping[int, Member] = field(default_factory=dict)
    accounts: Mapping[Account, int] = field(default_factory=dict)
    counters: Mapping[Counter, Count] = field(default_factory=dict)
    followed: Mapping[int, FollowUp] = field(default_factory=dict)
    opened: Sequence[OpenHold] = ()
    closed: Sequence[int] = ()
    code_counts: Mapping[str, CodeCount] = field(default_factory=dict)
    batches: Mapping[tuple[str, int], LastBatch] = field(default_factory=dict)  # by terminal and number
    answered: Mapping[bytes, int] = field(default_factory=dict)


class Engine(Protocol):
    """A durable ledger with one writer at a time.

    `stage` and `sync` are `commit` in two halves: what the caller's thread does, and the wait for the disk or
    the database (`sync`), possibly on another. Between them only look-ups may be asked. When either raises,
    nothing is left open. FencedError and ConflictError come from either half and mean that nothing was
    stored, as any error of `stage` does; LedgerUnavailable from `sync` means that the outcome is unknown.
    """

    @property
    def ledger(self) -> str:
        """The random id of this ledger."""

    @property
    def sealed_rows(self) -> Sequence[tuple[object, ...]]:
        """The entries of the batch that was staged last, as they are stored, with their seals."""

    def claim(self, owner: str, first_bucket: int = 0, last_bucket: int = BUCKETS - 1) -> int:
        """Become the owner of these buckets; returns the epoch `stage` wants. Fences all earlier owners of
        any of them."""

    def start(self) -> Start:
        """Where an owner's memory begins, from committed data of its buckets. After an unknown outcome: the
        batch is stored before this returns, or it never will be."""

    def load(self, load: Load) -> Loaded:
        """Answer one look-up from committed data."""

    def load_many(self, loads: Sequence[Load]) -> list[Loaded]:
        """Answer several look-ups, in their order; at most one round trip each kind."""

    def due_members(self, day: int, after: DueMember, limit: int) -> list[DueMember]:
        """Members of the owned buckets that something of expires or becomes active by `day`, in an order of
        the engine's own: the next ones come after the last one, the first after `FIRST_DUE`. Others aren't
        touched."""

    def due_holds(self, now_ms: int, limit: int) -> list[OpenHold]:
        """Open holds of the owned buckets that have run out, oldest first."""

    def stage(self, batch: Batch, epoch: int) -> None:
        """Open a batch and write all of it, not durable yet."""

    def sync(self) -> None:
        """Make the staged batch durable."""

    def rollback(self) -> None:
        """Forget a staged batch; harmless when there is none."""

    def heads(self) -> list[Head]:
        """The ends of the 256 chains, by bucket, from committed data."""

    def note_checkpoint(self, number: int, mac: str) -> None:
        """Remember, with the next batch, that this checkpoint was written outside: its loss is then found."""

    def close(self) -> None:
        """Close the store; a staged batch is forgotten. Harmless when it is closed."""


def hold_of(holds: Sequence[Hold], hold: int) -> Hold | None:
    """The hold with this id."""
    return next((held for held in holds if held.id == hold), None)
