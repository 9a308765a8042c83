"""What the ledger is made of: accounts, postings, transfers, entries, members.

Immutable values shared by whoever decides (authorizer) and whoever stores (engines). No I/O, no clock here.
Points are whole numbers; a posting's sign is from the account holder's view: plus is a credit.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

BUCKETS = 256  # fixed for ever: the bucket is part of every member id and RRN


class Unit(IntEnum):
    """What is counted. The numbers are the ISO 8583 account types of DE 3."""

    POINTS = 60


class AccountKind(IntEnum):
    """Role of an account. Holder: a member id for MEMBER, an acceptor id (DE 42) for the others."""

    MEMBER = 1
    ISSUED = 2
    REDEEMED = 3


class TransferKind(IntEnum):
    """Why points moved."""

    EARN = 1
    REDEEM = 2
    REVERSAL = 3


class MemberStatus(IntEnum):
    """A member may earn and redeem only while ACTIVE."""

    ACTIVE = 1
    INACTIVE = 2


class Account(NamedTuple):
    """Name of one account. Every account belongs to one bucket; an acceptor has one sub-account in each."""

    bucket: int
    kind: AccountKind
    holder: str
    program: str
    unit: Unit


class Posting(NamedTuple):
    """One leg of a transfer: `amount` is added to the balance of `account` (signed, never zero)."""

    account: Account
    amount: int


@dataclass(frozen=True, slots=True)
class Transfer:
    """A balanced movement: its postings sum to zero per unit. `reverses` is the entry id it undoes, or 0."""

    kind: TransferKind
    postings: tuple[Posting, ...]
    reverses: int = 0

    def __post_init__(self) -> None:
        assert len(self.postings) >= 2, "a transfer has at least two postings"
        sums: dict[Unit, int] = {}
        for posting in self.postings:
            assert posting.amount != 0, "a posting moves something"
            sums[posting.account.unit] = sums.get(posting.account.unit, 0) + posting.amount
        assert not any(sums.values()), "a transfer balances per unit"


class MemberAdded(NamedTuple):
    """A new member, ACTIVE, found by `identifier` (keyed hash of the card number) from now on."""

    member: int
    identifier: bytes
    masked_card: str


class MemberStatusSet(NamedTuple):
    """The member's status becomes `status`."""

    member: int
    status: MemberStatus


class OriginalReversed(NamedTuple):
    """The transaction with identity `original` counts as reversed, whether it has been seen or not."""

    original: bytes


Side = MemberAdded | MemberStatusSet | OriginalReversed


@dataclass(frozen=True, slots=True)
class Entry:
    """All that one decided request changes: committed whole or not at all.

    id: time-ordered, unique in the ledger, below 2**51 (ten base-36 digits of the RRN).
    identity: 19 bytes, see `switch.authorizer.identity`; unique in the ledger, time-ordered.
    fingerprint: 16 bytes over the request's fields (keyed).
    answer: the encoded answer without its MAC.
    member: member id, or 0 when no member was found.
    """

    id: int
    bucket: int
    identity: bytes
    fingerprint: bytes
    terminal: str
    acceptor: str
    business_date: str  # YYYY-MM-DD, Asia/Tehran
    decided_ms: int  # milliseconds since 1970, UTC
    member: int
    response_code: str
    answer: bytes
    transfers: tuple[Transfer, ...] = ()
    sides: tuple[Side, ...] = ()

    def __post_init__(self) -> None:
        assert 0 <= self.bucket < BUCKETS
        for transfer in self.transfers:
            assert all(posting.account.bucket == self.bucket for posting in transfer.postings), (
                "a transaction never leaves its bucket"
            )


@dataclass(frozen=True, slots=True)
class Member:
    """A member as the owner of the bucket knows it. The bucket is the id's top byte of 48 bits."""

    id: int
    status: MemberStatus
    masked_card: str


def bucket_of_member(member: int) -> int:
    """The bucket stored inside a member id (id = bucket * 2**40 + number within the bucket, from 1)."""
    return member >> 40
