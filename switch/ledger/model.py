"""What the ledger is made of: accounts, lots, transfers, entries, members.

Immutable values shared by whoever decides (authorizer) and whoever stores (engines). No I/O, no clock here.
Amounts are whole numbers; a posting's sign is from the account holder's view: plus is a credit. Days are
proleptic Gregorian ordinals (1 is 0001-01-01) of the business calendar, Asia/Tehran.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from msgspec import Struct

BUCKETS = 256  # fixed for ever: the bucket is part of every member id and RRN
OWNERS_BUCKETS = -1  # in an account's name: the sum over the buckets of one owner
LOTS_PER_ENTRY = 64  # lot ids are entry id * 64 + number; entry ids end below 2**51
# 2024-01-01 UTC in milliseconds since 1970, where entry ids begin: 2**41 ms then reach to 2093.
ENTRY_ID_EPOCH_MS = 1_704_067_200_000
ENTRY_IDS_PER_MS = 1024  # more than a hundred times what one process decides in a millisecond
ENTRY_ID_LIMIT = 2**51
NEVER = 2**31 - 1  # a day that doesn't come: of lots without expiry, of members with nothing due
PRICE_POINTS = 1_000  # a lot's price is rial for so many


class Unit(IntEnum):
    """What is counted. Below 100 the ISO 8583 account type of DE 3, else the ISO 4217 number of a money."""

    POINTS = 60
    STAMPS = 61
    CASH = 62  # cash credit, in rial
    TICKETS = 63
    RIAL = 364


_RIAL = Unit.RIAL  # looked up once: an enum's member costs as much as a call


class AccountKind(IntEnum):
    """Role of an account.

    MEMBER, PENDING, HELD are the entry's member's own (holder ""): what can be spent (below zero: debt), what
    becomes active later, what holds keep. The others belong to an acceptor (holder: DE 42) or to the program
    (holder ""), with one sub-account in each bucket.
    """

    MEMBER = 1
    ISSUED = 2
    REDEEMED = 3
    PENDING = 4
    HELD = 5
    EXPIRED = 6
    ADJUSTED = 7  # corrections and goodwill; holder: the reason
    IN_TRANSIT = 8  # between two members; its sub-accounts sum to zero
    RECEIVABLE = 20  # rial that an issuer owes for the points it gave
    FUND = 21  # rial held for all open lots: the sum of their values
    PAYABLE = 22  # rial owed to an acceptor that took points
    BREAKAGE = 23  # rial of expired lots
    MARGIN = 24  # rial between what points were bought and redeemed for
    ROUNDING = 25  # parts of a rial that dividing a price leaves


OF_MEMBER = frozenset({AccountKind.MEMBER, AccountKind.PENDING, AccountKind.HELD})


class TransferKind(IntEnum):
    """Why something moved."""

    EARN = 1
    REDEEM = 2
    REVERSAL = 3
    ACTIVATION = 4  # pending to active
    EXPIRY = 5
    HOLD = 6
    CAPTURE = 7
    RELEASE = 8
    REFUND = 9  # points of a redemption given back
    RETURN = 10  # points of an earn taken back, whole or part
    TRANSFER_OUT = 11
    TRANSFER_IN = 12
    CORRECTION = 13


class LotKind(IntEnum):
    """In the order of use, other things equal."""

    PROMOTIONAL = 1
    BOUGHT = 2


class MemberStatus(IntEnum):
    """A member may earn and redeem only while ACTIVE."""

    ACTIVE = 1
    INACTIVE = 2
    BLOCKED = 3


class Account(NamedTuple):
    """Name of an account that is not a member's own."""

    bucket: int
    kind: AccountKind
    holder: str
    program: str
    unit: Unit


# gc=False: what can't be part of a cycle needs no looking at; a memory of a million such values is what would
# make a collection long.
class Posting(Struct, frozen=True, array_like=True, gc=False):
    """One leg of a transfer: `amount` is added to the balance of the account (signed, never zero).

    The account lies in the entry's bucket and the transfer's program; holder is empty for the entry's member
    and for the program itself.
    """

    kind: AccountKind
    holder: str
    unit: Unit
    amount: int


class Lot(Struct, frozen=True, array_like=True, gc=False):
    """What is the same about all points of one award.

    price: rial for 1 000. active_from: first day. expires: last day; NEVER; or -n: n days after the member's
    last activity or, when that is later, active_from (sliding). rules: version of the program's rules that
    made it. priority: lower goes first.
    """

    id: int
    issuer: str
    price: int
    kind: LotKind
    priority: int
    active_from: int
    expires: int
    rules: int


class LotPart(Struct, frozen=True, array_like=True, gc=False):
    """So much of a lot: what is left of an open one, or what a transfer adds to it (signed)."""

    lot: Lot
    amount: int


class LotMove(Struct, frozen=True, array_like=True, gc=False):
    """What a transfer does to a lot in one of the member's accounts (MEMBER, PENDING, HELD)."""

    account: AccountKind
    lot: Lot
    amount: int


class Transfer(Struct, frozen=True, array_like=True, gc=False):
    """A balanced movement: its postings sum to zero per unit.

    unit: of the wallet whose lots move. lots: how. reverses: the entry id it undoes or follows, or 0. hold:
    the hold that HELD postings belong to (entry id of its opening), or 0. rules: version of the program's
    rules that an award was made under, or 0.
    """

    kind: TransferKind
    program: str
    unit: Unit
    postings: tuple[Posting, ...]
    lots: tuple[LotMove, ...] = ()
    reverses: int = 0
    hold: int = 0
    rules: int = 0

    def __post_init__(self) -> None:
        unit, postings = self.unit, self.postings
        assert len(postings) >= 2, "a transfer has at least two postings"
        of_unit = rial = 0
        for posting in postings:
            amount = posting.amount
            assert amount, "a posting moves something"
            if posting.unit is unit:
                of_unit += amount
            else:
                assert posting.unit is _RIAL, "beside its own unit a transfer moves rial only"
                rial += amount
        assert not of_unit, "a transfer balances per unit"
        assert not rial, "a transfer's rial balances too"


# ---------------------------------------------------------------- what else an entry changes


class MemberAdded(Struct, frozen=True, array_like=True, tag=1):
    """A new member, ACTIVE."""

    member: int


class MemberStatusSet(Struct, frozen=True, array_like=True, tag=2):
    """The member's status becomes `status`."""

    member: int
    status: MemberStatus


class OriginalReversed(Struct, frozen=True, array_like=True, tag=3):
    """The transaction with identity `original` counts as reversed, whether it has been seen or not."""

    original: bytes


class PinSet(Struct, frozen=True, array_like=True, tag=4):
    """The member's PIN has this verifier (16 bytes; empty: no PIN) instead of `before`; wrong tries start
    over."""

    member: int
    verifier: bytes
    before: bytes = b""

    def __repr__(self) -> str:
        return f"PinSet(member={self.member})"


class PinTried(Struct, frozen=True, array_like=True, tag=5):
    """So many wrong PINs in a row; 0 after a right one."""

    member: int
    wrong: int


class CodeSent(Struct, frozen=True, array_like=True, tag=6):
    """A one-time code was made, known by its keyed hash (16 bytes). wrong: tries an earlier one leaves."""

    member: int
    hashed: bytes
    expires_ms: int
    wrong: int

    def __repr__(self) -> str:
        return f"CodeSent(member={self.member}, expires_ms={self.expires_ms}, wrong={self.wrong})"


class CodeTried(Struct, frozen=True, array_like=True, tag=7):
    """So many wrong tries of the one-time code that is out."""

    member: int
    wrong: int


class CodeSpent(Struct, frozen=True, array_like=True, tag=8):
    """The one-time code was used: it is worth nothing from now on."""

    member: int


class Identified(Struct, frozen=True, array_like=True, tag=9):
    """The member got (or lost) a card or mobile number; which one stands in the entry's `Names`. proof: of a
    card that was replaced, a keyed hash by which it is known when it is to come back."""

    member: int
    kind: int  # IdentifierKind
    added: bool
    proof: bytes = b""


class HoldOpened(Struct, frozen=True, array_like=True, tag=10):
    """The transfer of this entry opened a hold (its id is the entry's) until `expires_ms`."""

    member: int
    expires_ms: int


class HoldClosed(Struct, frozen=True, array_like=True, tag=11):
    """The hold is captured or released; none of it is left."""

    member: int
    hold: int


class Followed(Struct, frozen=True, array_like=True, tag=12):
    """What was done to an earlier entry of the same bucket, in all: rial and units given or taken back.
    ended: nothing may follow any more (voided, reversed)."""

    original: int
    amount: int
    units: int
    ended: bool


class SpendingDelayed(Struct, frozen=True, array_like=True, tag=13):
    """The member can't spend before `until_ms`: its card was replaced. before_ms: until when it couldn't
    already."""

    member: int
    until_ms: int
    before_ms: int = 0


class SentTo(Struct, frozen=True, array_like=True, tag=14):
    """What this entry sent away goes to the member `to`; an entry of that member takes it in."""

    member: int
    to: int


class CardTried(Struct, frozen=True, array_like=True, tag=15):
    """So many wrong card verification values since the member last proved itself; 0 after it did."""

    member: int
    wrong: int


class CardShown(Struct, frozen=True, array_like=True, tag=25):
    """A card that counts its readings was shown. card: see `Shown`; counter: as it said; terminal: where this
    reading may be shown once more, empty when something was done with it."""

    member: int
    card: bytes
    counter: int
    terminal: str = ""


class CodesCounted(Struct, frozen=True, array_like=True, tag=16):
    """So many one-time codes were sent for `subject` (see `of_member`, `of_terminal`) since `since_ms`.

    member: whom the latest one was for.
    """

    member: int
    subject: str
    since_ms: int
    sent: int


class PaidInMoney(Struct, frozen=True, array_like=True, tag=17):
    """This entry's points paid a part of a sale; so many rial of it were paid in money, and earned."""

    member: int
    amount: int


class BackBefore(Struct, frozen=True, array_like=True, tag=18):
    """So many units count as reversed, whatever this entry moved: what it reverses had run out before, or
    others followed the same original since."""

    member: int
    units: int


class Recounted(Struct, frozen=True, array_like=True, tag=19):
    """What limits count of a card, terminal, acceptor and cashier on a business day (YYYY-MM-DD) is so much
    less since this entry; below zero: more.

    operation: earn, redeem (captures, too) or hold. entries: 1 or -1 for a whole one, 0 for a part of one.
    """

    member: int
    operation: str
    day: str
    terminal: str
    acceptor: str
    cashier: str
    entries: int
    amount: int
    units: int


class Corrected(Struct, frozen=True, array_like=True, tag=23):
    """What this entry moves is a correction that people decided. correction: its number in their list;
    approved_by: the second person, empty when none was needed."""

    member: int
    correction: int
    reason: str
    asked_by: str
    approved_by: str


class BookedLate(Struct, frozen=True, array_like=True, tag=24):
    """The sale of this entry was on an earlier business day (YYYY-MM-DD) than it is booked on: it waited in
    its terminal's queue."""

    member: int
    sold: str


class Basket(Struct, frozen=True, array_like=True, tag=26):
    """What was sold, as the cash register said it: items like `bread=120000`, joined by semicolons."""

    member: int
    items: str


class BatchTotal(Struct, frozen=True, array_like=True):
    """How many of an operation a batch holds, their rial and their units."""

    operation: str
    entries: int
    amount: int
    units: int


class BatchClosed(Struct, frozen=True, array_like=True, tag=20):
    """The terminal's batch takes no more requests. claimed: the terminal's totals; booked: the ledger's, of
    the same operations. differs: they aren't the same, and the terminal's items are to be uploaded."""

    terminal: str
    batch: int
    differs: bool
    claimed: tuple[BatchTotal, ...]
    booked: tuple[BatchTotal, ...]


class ItemUploaded(Struct, frozen=True, array_like=True, tag=21):
    """A terminal's own record of one transaction (by identity) of a batch that differs. finding: how it
    compares, see `switch.settlement.work_list`. rrn: the reference number that the terminal has, or empty."""

    terminal: str
    batch: int
    original: bytes
    finding: str
    operation: str
    amount: int
    units: int
    rrn: str


class UploadEnded(Struct, frozen=True, array_like=True, tag=22):
    """The terminal has uploaded all of a batch that differs. closed: the entry that closed it."""

    terminal: str
    batch: int
    closed: int


Side = (
    MemberAdded
    | MemberStatusSet
    | OriginalReversed
    | PinSet
    | PinTried
    | CodeSent
    | CodeTried
    | CodeSpent
    | Identified
    | HoldOpened
    | HoldClosed
    | Followed
    | SpendingDelayed
    | SentTo
    | CardTried
    | CardShown
    | CodesCounted
    | PaidInMoney
    | BackBefore
    | Recounted
    | BookedLate
    | Basket
    | Corrected
    | BatchClosed
    | ItemUploaded
    | UploadEnded
)
OF_TERMINALS = (BatchClosed, ItemUploaded, UploadEnded)
OF_NO_MEMBER = frozenset({OriginalReversed, *OF_TERMINALS})  # what an entry without a member may change


# ---------------------------------------------------------------- personal: outside the sealed chain


class IdentifierKind(IntEnum):
    """What a keyed hash in the directory was made of."""

    CARD = 1
    MOBILE = 2


class Named(NamedTuple):
    """The member is found by `identifier` (keyed hash) from now on. masked: what people may see of the
    number; sealed: a mobile number enciphered, for sending to it; empty for cards."""

    identifier: bytes
    member: int
    kind: IdentifierKind
    masked: str
    sealed: bytes = b""

    def __repr__(self) -> str:
        return f"Named(member={self.member}, {self.kind.name})"


class Unnamed(NamedTuple):
    """The member is no longer found by this keyed hash."""

    identifier: bytes
    member: int
    kind: IdentifierKind

    def __repr__(self) -> str:
        return f"Unnamed(member={self.member}, {self.kind.name})"


Naming = Named | Unnamed


class Entry(Struct, frozen=True, gc=False):
    """All that one decided request changes: committed whole or not at all.

    id: time-ordered, unique in the ledger, below 2**51 (ten base-36 digits of the RRN).
    identity: 19 bytes, see `switch.authorizer.identity`; unique in the ledger, time-ordered.
    fingerprint: 16 bytes over the request's fields (keyed).
    operation: what was asked for, by the dictionary's name (earn, redeem, …) or that of a job (due, …); of a
    reversal whose original is known, the original's and ".reversal".
    member: member id, or 0 when none was found. previous: the member's entry before this one, or 0.
    amount: rial of the request (DE 4); of a reversal or void, of its original. batch: DE 60, or 0. answer:
    encoded, without its MAC. receipt: of the till (DE 62), cashier: as sent, or empty.
    key_serial: the request's key serial number (12 bytes), request_mac: its MAC (8 bytes): one sending's
    mark; empty in the ledger's own entries.
    namings: what the directory learns with it; personal, so it isn't sealed with the rest.
    """

    id: int
    bucket: int
    identity: bytes
    fingerprint: bytes
    operation: str
    terminal: str
    acceptor: str
    business_date: str  # YYYY-MM-DD, Asia/Tehran
    decided_ms: int  # milliseconds since 1970, UTC
    member: int
    previous: int
    response_code: str
    amount: int
    batch: int
    answer: bytes
    transfers: tuple[Transfer, ...] = ()
    sides: tuple[Side, ...] = ()
    cashier: str = ""
    receipt: str = ""
    key_serial: bytes = b""
    request_mac: bytes = b""
    namings: tuple[Naming, ...] = ()


# ---------------------------------------------------------------- what entries add up to


class Wallet(Struct, frozen=True, array_like=True, gc=False):
    """What a member has of one unit of a program.

    balance: spendable, below zero it is debt. pending, held: beside it. lots: what is open of each, in the
    order of use; waiting: of lots that become active later. The sums are held by `switch.ledger.book`.
    """

    program: str
    unit: Unit
    balance: int = 0
    pending: int = 0
    held: int = 0
    lots: tuple[LotPart, ...] = ()
    waiting: tuple[LotPart, ...] = ()


class Hold(Struct, frozen=True, array_like=True, gc=False):
    """Points kept for a capture. id: the entry that opened it. lots: what was taken, in the order of use."""

    id: int
    program: str
    unit: Unit
    expires_ms: int
    lots: tuple[LotPart, ...]


class Shown(Struct, frozen=True, array_like=True, gc=False):
    """The last reading of one of a member's cards. card: a keyed hash, 8 bytes; see `CardShown`."""

    card: bytes
    counter: int
    terminal: str = ""


class Credential(Struct, frozen=True, array_like=True, gc=False):
    """What a member can prove itself with. verifier: of the PIN, empty when there is none; code: keyed hash
    of the one-time code that is out, or empty; wrong tries of both, and of card verification values.
    spend_from_ms: nothing is spent before. shown: its cards that count their readings, the latest last.
    """

    verifier: bytes = b""
    pin_wrong: int = 0
    code: bytes = b""
    code_expires_ms: int = 0
    code_wrong: int = 0
    spend_from_ms: int = 0
    card_wrong: int = 0
    shown: tuple[Shown, ...] = ()

    def __repr__(self) -> str:
        wrong = f"pin_wrong={self.pin_wrong}, code_wrong={self.code_wrong}, card_wrong={self.card_wrong}"
        return f"Credential({wrong})"


class Usage(Struct, frozen=True, array_like=True, gc=False):
    """Counts and units of a member's approved earns and redemptions of a day and of its Jalali month, less
    what was reversed, voided, refunded or returned of them while they were the newest. A split sale counts as
    both."""

    earns: int = 0
    earned: int = 0
    redemptions: int = 0
    redeemed: int = 0
    month_earns: int = 0
    month_earned: int = 0
    month_redemptions: int = 0
    month_redeemed: int = 0


class Member(Struct, frozen=True, gc=False):
    """A member as its entries made it. The bucket is the id's top byte of 48 bits.

    last_entry: its newest entry, where its history begins. active_day: the last day it earned or redeemed, or
    0. due: the first day on which something of it expires or becomes active. usage: what was earned and
    redeemed on active_day and in its month, for limits.
    """

    id: int
    status: MemberStatus
    last_entry: int
    active_day: int = 0
    due: int = NEVER
    usage: Usage = Usage()
    credential: Credential = Credential()
    wallets: tuple[Wallet, ...] = ()
    holds: tuple[Hold, ...] = ()

    def wallet(self, program: str, unit: Unit) -> Wallet:
        """The wallet of this unit; an empty one when nothing was ever posted to it."""
        for wallet in self.wallets:
            if wallet.unit is unit and wallet.program == program:
                return wallet
        return Wallet(program, unit)


class Mobile(NamedTuple):
    """A member's mobile number: keyed hash, what people may see of it, the number enciphered."""

    identifier: bytes
    masked: str
    sealed: bytes


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


def bucket_of_member(member: int) -> int:
    """The bucket stored inside a member id (id = bucket * 2**40 + number within the bucket, from 1)."""
    return member >> 40
