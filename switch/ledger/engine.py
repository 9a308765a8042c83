"""What every ledger engine is: the port between the owner's memory and the durable store, and its errors.

Engines store whole batches or nothing and answer look-ups from committed data only; nothing is decided here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple, Protocol

from switch.ledger.model import Account, CodeCount, Credential, Entry, Member, Mobile

NO_MARKS: Mapping[bytes, int] = MappingProxyType({})


class LedgerError(Exception):
    """The ledger did not do what was asked."""


class LedgerUnavailable(LedgerError):
    """The store can't be used now; nothing was acknowledged. The text says what, where and what next.

    After it the outcome of the batch is unknown: drop the `State`, start again from `Engine.start()`.
    """


class FencedError(LedgerError):
    """Another owner took these buckets over (its epoch is higher): stop writing, nothing was stored."""


class ConflictError(LedgerError):
    """The batch contradicts what is stored (identity, id or member there already). Nothing was stored."""


@dataclass(frozen=True, slots=True)
class EntryLoad:
    """Look up the entry with this identity: `Entry`, or None."""

    identity: bytes


@dataclass(frozen=True, slots=True)
class ReversedLoad:
    """Look up whether the transaction with this identity counts as reversed: bool."""

    original: bytes


@dataclass(frozen=True, slots=True)
class IdentifierLoad:
    """Look up the member id behind a keyed hash: int, or None."""

    identifier: bytes


@dataclass(frozen=True, slots=True)
class MemberLoad:
    """Look up a member by id: `Member`. The id must exist."""

    member: int


@dataclass(frozen=True, slots=True)
class BalanceLoad:
    """Look up the balance of an account: int, 0 when nothing was ever posted to it.

    Of an acceptor's account: the sum of its sub-accounts in all buckets.
    """

    account: Account


@dataclass(frozen=True, slots=True)
class CredentialLoad:
    """Look up what a member proves itself with: `Credential`, an empty one when nothing was ever set."""

    member: int


@dataclass(frozen=True, slots=True)
class MobileLoad:
    """Look up a member's mobile number: `Mobile`, or None."""

    member: int


@dataclass(frozen=True, slots=True)
class CodeCountLoad:
    """Look up how many one-time codes were sent for a subject: `CodeCount`, an empty one when none was."""

    subject: str


Load = (
    EntryLoad
    | ReversedLoad
    | IdentifierLoad
    | MemberLoad
    | BalanceLoad
    | CredentialLoad
    | MobileLoad
    | CodeCountLoad
)
Loaded = Entry | Member | Credential | Mobile | CodeCount | int | bool | None


class Start(NamedTuple):
    """What an owner's memory begins with. Empty ledger: 0, b"", b"", {}.

    last_identity and last_reversed are the greatest ones stored: whatever is greater isn't in the store.
    member_counts: highest member number of each bucket that has members.
    key_marks: highest counter of each initial key id (8 bytes) in the entries and among what was answered
    without one.
    """

    last_entry_id: int
    last_identity: bytes
    last_reversed: bytes
    member_counts: Mapping[int, int]
    key_marks: Mapping[bytes, int] = MappingProxyType({})


class Head(NamedTuple):
    """The end of one bucket's chain: entries so far, the last one's seal, members so far."""

    sequence: int
    seal: bytes
    members: int


class Engine(Protocol):
    """A durable ledger with one writer at a time.

    `stage` and `sync` are `commit` in two halves: statements on the caller's thread, the wait for the disk
    (`sync`) possibly on another. Between them only `load` may be called. When either raises, nothing is left
    open; an error of `stage` means nothing was stored, an error of `sync` that the outcome is unknown.
    """

    def claim(self, owner: str) -> int:
        """Become the owner of all buckets; returns the epoch `stage` wants. Fences all earlier owners."""

    def start(self) -> Start:
        """Where an owner's memory begins, from committed data."""

    def load(self, load: Load) -> Loaded:
        """Answer one look-up from committed data."""

    def stage(self, entries: Sequence[Entry], epoch: int, answered: Mapping[bytes, int] = NO_MARKS) -> None:
        """Open a batch and write all of it, not durable yet. answered: the highest counter of each initial
        key (8 bytes) among the sendings that get an answer and make no entry."""

    def sync(self) -> None:
        """Make the staged batch durable."""

    def rollback(self) -> None:
        """Forget a staged batch; harmless when there is none."""

    def commit(self, entries: Sequence[Entry], epoch: int) -> None:
        """`stage` and `sync`: all of the batch or nothing."""

    def heads(self) -> list[Head]:
        """The ends of the 256 chains, by bucket, from committed data."""

    def note_checkpoint(self, number: int, mac: str) -> None:
        """Remember, with the next batch, that this checkpoint was written outside: its loss is then found."""

    def close(self) -> None:
        """Close the store; a staged batch is forgotten. Harmless when it is closed."""
