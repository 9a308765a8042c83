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


class PinSet(NamedTuple):
    """The member's PIN has this verifier (16 bytes; empty: no PIN) instead of `before`; wrong tries start
    over."""

    member: int
    verifier: bytes
    before: bytes = b""

    def __repr__(self) -> str:
        return f"PinSet(member={self.member})"


class PinTried(NamedTuple):
    """So many wrong PINs in a row; 0 after a right one."""

    member: int
    wrong: int


class CodeSent(NamedTuple):
    """A one-time code was made, known by its keyed hash (16 bytes). wrong: tries an earlier one leaves."""

    member: int
    hashed: bytes
    expires_ms: int
    wrong: int

    def __repr__(self) -> str:
        return f"CodeSent(member={self.member}, expires_ms={self.expires_ms}, wrong={self.wrong})"


class CodeTried(NamedTuple):
    """So many wrong tries of the one-time code that is out."""

    member: int
    wrong: int


class CodeSpent(NamedTuple):
    """The one-time code was used: it is worth nothing from now on."""

    member: int


class CardTried(NamedTuple):
    """So many wrong card verification values since the member last proved itself; 0 after it did."""

    member: int
    wrong: int


class CodesCounted(NamedTuple):
    """So many one-time codes were sent for `subject` (see `of_member`, `of_terminal`) since `since_ms`.

    member: whom the latest one was for.
    """

    member: int
    subject: str
    since_ms: int
    sent: int


class MobileSet(NamedTuple):
    """The member, who has none yet, is found by `identifier` (keyed hash of its mobile number) too.

    sealed: the number enciphered, for sending a code to it. None of the three is in the sealed chain.
    """

    member: int
    identifier: bytes
    masked: str
    sealed: bytes


class MobileRemoved(NamedTuple):
    """The member is no longer found by this keyed hash of a mobile number (not in the sealed chain)."""

    member: int
    identifier: bytes


Side = (
    MemberAdded
    | MemberStatusSet
    | OriginalReversed
    | PinSet
    | PinTried
    | CodeSent
    | CodeTried
    | CodeSpent
    | CardTried
    | CodesCounted
    | MobileSet
    | MobileRemoved
)


@dataclass(frozen=True, slots=True)
class Entry:
    """All that one decided request changes: committed whole or not at all.

    id: time-ordered, unique in the ledger, below 2**51 (ten base-36 digits of the RRN).
    identity: 19 bytes, see `switch.authorizer.identity`; unique in the ledger, time-ordered.
    fingerprint: 16 bytes over the request's fields (keyed).
    answer: the encoded answer without its MAC.
    member: member id, or 0 when no member was found.
    key_serial: the request's key serial number (12 bytes), request_mac: its MAC (8 bytes): one sending's
    mark; empty in entries from before there were any.
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
    key_serial: bytes = b""
    request_mac: bytes = b""

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


class Credential(NamedTuple):
    """What a member can prove itself with. verifier: of the PIN, empty when there is none; code: keyed hash
    of the one-time code that is out, or empty; wrong tries of both, and of card verification values."""

    verifier: bytes = b""
    pin_wrong: int = 0
    code: bytes = b""
    code_expires_ms: int = 0
    code_wrong: int = 0
    card_wrong: int = 0

    def __repr__(self) -> str:
        wrong = f"pin_wrong={self.pin_wrong}, code_wrong={self.code_wrong}, card_wrong={self.card_wrong}"
        return f"Credential({wrong})"

    def after(self, side: Side) -> Credential:
        """What one change makes of it; the only place that knows."""
        if isinstance(side, PinSet):
            return self._replace(verifier=side.verifier, pin_wrong=0)
        if isinstance(side, PinTried):
            return self._replace(pin_wrong=side.wrong)
        if isinstance(side, CodeSent):
            return self._replace(code=side.hashed, code_expires_ms=side.expires_ms, code_wrong=side.wrong)
        if isinstance(side, CodeTried):
            return self._replace(code_wrong=side.wrong)
        if isinstance(side, CodeSpent):
            return self._replace(code=b"", code_expires_ms=0, code_wrong=0)
        if isinstance(side, CardTried):
            return self._replace(card_wrong=side.wrong)
        return self


CREDENTIAL_SIDES = (PinSet, PinTried, CodeSent, CodeTried, CodeSpent, CardTried)


class CodeCount(NamedTuple):
    """How many one-time codes were sent for somebody since a moment (milliseconds since 1970, UTC)."""

    since_ms: int = 0
    sent: int = 0


def of_member(member: int) -> str:
    """Under what a member's codes are counted."""
    return f"member {member}"


def of_terminal(terminal: str) -> str:
    """Under what the codes that a terminal (DE 41) asked for are counted."""
    return f"terminal {terminal}"


class Mobile(NamedTuple):
    """A member's mobile number: keyed hash, what people may see of it, the number enciphered."""

    identifier: bytes
    masked: str
    sealed: bytes


def bucket_of_member(member: int) -> int:
    """The bucket stored inside a member id (id = bucket * 2**40 + number within the bucket, from 1)."""
    return member >> 40
