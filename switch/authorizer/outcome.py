"""What deciding comes to: response codes, reasons, and the outcome that an entry is made of. Pure values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from msgspec import Struct, structs

from switch.ledger import NEVER, AccountKind, Member, Naming, Side, Transfer, Wallet
from switch.ledger.lots import last_day
from switch.loyalty.limits import NO_CHECKS, Checks
from switch.loyalty.program import Program

APPROVED = "00"
INVALID_TRANSACTION = "12"
INVALID_AMOUNT = "13"
UNKNOWN_CARD = "14"
ALREADY_ACTIVE = "21"
NO_ORIGINAL = "25"
FORMAT_ERROR = "30"
NOT_ENOUGH_POINTS = "51"
NOT_NOW = "57"
OUT_OF_RANGE = "61"
CARD_BLOCKED = "62"
CARD_NOT_ACTIVE = "78"
DUPLICATE = "94"

REASON_EARNED = "0101"
REASON_REDEEMED = "0102"
REASON_PENDING = "0103"
REASON_OUT_OF_RANGE = "0104"
REASON_GIVEN_BACK = "0105"
REASON_TAKEN_BACK = "0106"
REASON_BATCH_CLOSED = "0202"
REASON_MORE_THAN_LEFT = "0203"
REASON_ENDED = "0204"
REASON_HOLD_ENDED = "0205"
REASON_MOBILE_TAKEN = "0301"
REASON_NO_MOBILE = "0302"
REASON_OTHER_CARD = "0305"
REASON_REPLACED = "0306"
REASON_REPLACEMENT_STAYS = "0307"
REASON_CARD_LOCKED = "0308"

_MEMBER, _PENDING, _HELD = AccountKind.MEMBER, AccountKind.PENDING, AccountKind.HELD
LARGEST_BALANCE = 10**12 - 1  # what tag 02 of an answer can say


# Not a tuple: made and read in half the time.
class Outcome(Struct, frozen=True, gc=False):
    """What an operation came to: DE 39, DE 48 tags of the answer, and what it changes.

    operation, amount, batch, receipt, cashier: what the entry counts as, where that isn't what was asked for.
    totals: tags of the answer's DE 63.
    """

    response_code: str
    tags: dict[str, str]
    transfers: tuple[Transfer, ...] = ()
    sides: tuple[Side, ...] = ()
    namings: tuple[Naming, ...] = ()
    operation: str | None = None
    amount: int | None = None
    batch: int | None = None
    receipt: str | None = None
    cashier: str | None = None
    totals: Mapping[str, str] | None = None

    def _replace(self, **changes: Any) -> Outcome:
        """The same with other values, as a named tuple does it."""
        return structs.replace(self, **changes)


@dataclass(frozen=True, slots=True)
class Terms:
    """The program that requests are decided by. hold_ms: how long a hold lives; replaced_ms: how long points
    can't be spent after a card was replaced."""

    name: str
    currency: str
    program: Program
    hold_ms: int
    replaced_ms: int
    checks: Checks = NO_CHECKS


def refused(code: str, reason: str = "", sides: tuple[Side, ...] = ()) -> Outcome:
    """A decline, with its reason."""
    return Outcome(code, {"04": reason} if reason else {}, sides=sides)


def spendable(transfer: Transfer) -> int:
    """What a transfer adds to what the member can spend (or owes)."""
    return sum(posting.amount for posting in transfer.postings if posting.kind is AccountKind.MEMBER)


def balances(wallet: Wallet, *transfers: Transfer) -> dict[str, str]:
    """Tags of a wallet after these transfers of its unit: balance, debt, what is pending and held. What is
    more than a tag can say (points given back into a full wallet) is told as the most it can."""
    balance, pending, held = wallet.balance, wallet.pending, wallet.held
    for transfer in transfers:
        for posting in transfer.postings:
            kind = posting.kind
            if kind is _MEMBER:
                balance += posting.amount
            elif kind is _PENDING:
                pending += posting.amount
            elif kind is _HELD:
                held += posting.amount
    return told(balance, pending, held)


def told(balance: int, pending: int, held: int) -> dict[str, str]:
    """As `balances`, of what they are known to be."""
    if 0 <= balance <= LARGEST_BALANCE and not pending and not held:  # nearly all are
        return {"02": f"{balance:012d}"}
    tags = {"02": f"{min(max(balance, 0), LARGEST_BALANCE):012d}"}
    if balance < 0:
        tags["03"] = f"{min(-balance, LARGEST_BALANCE):012d}"
    if pending:
        tags["0C"] = f"{min(pending, LARGEST_BALANCE):012d}"
    if held:
        tags["0D"] = f"{min(held, LARGEST_BALANCE):012d}"
    return tags


def ending(wallet: Wallet, today: int, active_day: int, *transfers: Transfer) -> dict[str, str]:
    """Tag of the points that end first after these transfers, with their last day; none when all stay.
    active_day: of the member's last activity, the one decided now included."""
    days: dict[int, int] = {}
    left: dict[int, int] = {}
    for parts in (wallet.lots, wallet.waiting):
        for part in parts:
            if part.lot.expires < NEVER:
                lot = part.lot
                left[lot.id] = left.get(lot.id, 0) + part.amount
                days[lot.id] = last_day(lot, active_day)
    for transfer in transfers:
        for move in transfer.lots:
            lot = move.lot
            if lot.expires < NEVER and move.account is not _HELD:
                left[lot.id] = left.get(lot.id, 0) + move.amount
                days[lot.id] = last_day(lot, active_day)
    if not days:
        return {}
    ends = [day for lot_id, day in days.items() if left[lot_id] > 0 and day >= today]
    if not ends:
        return {}
    first = min(ends)
    points = sum(left[lot_id] for lot_id, day in days.items() if day == first and left[lot_id] > 0)
    return {"18": f"{date.fromordinal(first):%Y%m%d}{min(points, LARGEST_BALANCE):012d}"}


def changed(member: Member, wallet: Wallet) -> Wallet:
    """The wallet of the same unit as the member has it now."""
    return member.wallet(wallet.program, wallet.unit)
