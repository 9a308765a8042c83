"""What an entry makes of its member and of the accounts beside: the one place that knows.

Pure. The owner's memory, the engines' stored state, verification, restoring and migration all come from here.
Every rule of the books is asserted on every entry; assertions stay on.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from functools import lru_cache
from typing import Any

import msgspec

from switch.ledger.counting import month_start, units_moved
from switch.ledger.lots import amount_of, first_due, fund_change, order_of_use, reopened, value
from switch.ledger.model import (
    ENTRY_ID_EPOCH_MS,
    ENTRY_IDS_PER_MS,
    LOTS_PER_ENTRY,
    NEVER,
    OF_MEMBER,
    OF_TERMINALS,
    Account,
    AccountKind,
    CardShown,
    CardTried,
    CodeSent,
    CodeSpent,
    CodeTried,
    Credential,
    Entry,
    Followed,
    Hold,
    HoldClosed,
    HoldOpened,
    Lot,
    LotMove,
    LotPart,
    Member,
    MemberAdded,
    MemberStatus,
    MemberStatusSet,
    OriginalReversed,
    PinSet,
    PinTried,
    Recounted,
    Shown,
    Side,
    SpendingDelayed,
    Transfer,
    TransferKind,
    Usage,
    Wallet,
    bucket_of_member,
)

APPROVED = "00"
# A member that does one of these on a day was active on it (sliding lots live on), and what limits count: as
# an earn or as a redemption.
EARN, REDEEM = "earn", "redeem"
EARNS = frozenset({EARN})
REDEMPTIONS = frozenset({REDEEM, "capture"})
ACTIVITIES = EARNS | REDEMPTIONS
REVERSED = ".reversal"  # what follows the original's operation in a reversal's
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_TEHRAN_OFFSET_S = 12_600  # since 2022 without summer time
_MEMBER, _PENDING, _HELD = AccountKind.MEMBER, AccountKind.PENDING, AccountKind.HELD
_FUND = AccountKind.FUND


def member_after(member: Member | None, entry: Entry, units: int | None = None) -> Member:
    """The entry's member after it. None: a member that the entry adds. units: what `units_moved` says of the
    entry, from who has asked it.

    Raises AssertionError when the books would not agree.
    """
    sides = entry.sides
    assert bucket_of_member(entry.member) == entry.bucket, "an entry changes a member of its own bucket"
    added = sum(type(side) is MemberAdded for side in sides) if sides else 0
    if member is None:
        assert added == 1, "a member that isn't there is added first"
        member = Member(entry.member, MemberStatus.ACTIVE, 0)
    else:
        assert not added, "a member is added once"
        assert entry.member == member.id, "an entry changes its own member"
    assert entry.previous == member.last_entry, "an entry follows its member's newest one"
    wallets, holds = member.wallets, member.holds
    active_day, due, usage = member.active_day, member.due, member.usage
    if entry.response_code == APPROVED and entry.operation in ACTIVITIES:
        day = day_number(entry.business_date)
        if day != active_day:
            usage = _begun(usage, active_day, day)
            active_day = day
            if _any_slides(wallets):
                wallets = tuple([_sorted(wallet, active_day) for wallet in wallets])
                due = 0
        usage = _used(usage, entry.operation, units_moved(entry) if units is None else units)
    if sides and active_day:
        usage = _recounted(usage, active_day, sides)
    for transfer in entry.transfers:
        wallets, holds = _moved(wallets, holds, entry.id, transfer, active_day)
        due = 0
    status, credential = member.status, member.credential
    if sides:
        status, credential = _beside(entry, status, credential)
    if sides or holds is not member.holds:
        holds = _kept(member.holds, holds, entry)
    if not due:
        due = NEVER
        for wallet in wallets:
            first = first_due(wallet, active_day)
            if first < due:
                due = first
    return Member(member.id, status, entry.id, active_day, due, usage, credential, wallets, holds)


def _beside(entry: Entry, status: MemberStatus, credential: Credential) -> tuple[MemberStatus, Credential]:
    """Status and credential after an entry's sides."""
    for side in entry.sides:
        if isinstance(side, OriginalReversed | Followed):
            continue
        assert not isinstance(side, OF_TERMINALS), "what a terminal does to its batches is no member's"
        assert side.member == entry.member, "an entry changes its own member"
        if isinstance(side, MemberStatusSet):
            status = side.status
        elif type(side) in _CREDENTIAL_SIDES:
            credential = credential_after(credential, side)
    return status, credential


def _kept(before: tuple[Hold, ...], after: tuple[Hold, ...], entry: Entry) -> tuple[Hold, ...]:
    """The holds after an entry, a new one with its end. What opens and closes is told beside, to be found
    when it runs out."""
    opened = [side.expires_ms for side in entry.sides if isinstance(side, HoldOpened)]
    closed = [side.hold for side in entry.sides if isinstance(side, HoldClosed)]
    there, left = {hold.id for hold in before}, {hold.id for hold in after}
    assert left - there == ({entry.id} if opened else set()), "an opened hold is told, and keeps something"
    assert there - left == set(closed), "a closed hold is told, and keeps nothing"
    assert len(opened) <= 1, "an entry opens one hold"
    assert len(closed) == len(set(closed)), "a hold is closed once"
    if not opened:
        return after
    return tuple(
        Hold(hold.id, hold.program, hold.unit, opened[0], hold.lots) if hold.id == entry.id else hold
        for hold in after
    )


def _used(usage: Usage, operation: str, units: int) -> Usage:
    """The usage with one more earn or redemption of so many units."""
    if operation in EARNS:
        return Usage(
            usage.earns + 1,
            usage.earned + units,
            usage.redemptions,
            usage.redeemed,
            usage.month_earns + 1,
            usage.month_earned + units,
            usage.month_redemptions,
            usage.month_redeemed,
        )
    return Usage(
        usage.earns,
        usage.earned,
        usage.redemptions + 1,
        usage.redeemed + units,
        usage.month_earns,
        usage.month_earned,
        usage.month_redemptions + 1,
        usage.month_redeemed + units,
    )


def _recounted(usage: Usage, active_day: int, sides: tuple[Side, ...]) -> Usage:
    """The usage less what isn't counted any more of the active day or of its month. Holds count while they
    are open, not here."""
    for side in sides:
        if type(side) is not Recounted or side.operation not in (EARN, REDEEM):
            continue
        day = day_number(side.day)
        of_day, of_month = day == active_day, month_start(day) == month_start(active_day)
        if not of_month:
            continue
        earns, earned = (side.entries, side.units) if side.operation == EARN else (0, 0)
        redemptions, redeemed = (0, 0) if side.operation == EARN else (side.entries, side.units)
        usage = Usage(
            usage.earns - earns * of_day,
            usage.earned - earned * of_day,
            usage.redemptions - redemptions * of_day,
            usage.redeemed - redeemed * of_day,
            usage.month_earns - earns,
            usage.month_earned - earned,
            usage.month_redemptions - redemptions,
            usage.month_redeemed - redeemed,
        )
        assert min(msgspec.structs.astuple(usage)) >= 0, "what counts no more was counted before"
    return usage


def usage_on(member: Member, day: int) -> Usage:
    """What was earned and redeemed on this day (not before the last active one) and in its month."""
    return member.usage if day == member.active_day else _begun(member.usage, member.active_day, day)


def _begun(usage: Usage, before: int, day: int) -> Usage:
    """The usage at the beginning of a day that isn't the one before."""
    if before and month_start(before) == month_start(day):
        return Usage(
            0,
            0,
            0,
            0,
            usage.month_earns,
            usage.month_earned,
            usage.month_redemptions,
            usage.month_redeemed,
        )
    return Usage()


def first_id(day: int) -> int:
    """The first entry id of a day, Asia/Tehran."""
    seconds = (day - _EPOCH_DAY) * 86_400 - _TEHRAN_OFFSET_S
    return (seconds * 1000 - ENTRY_ID_EPOCH_MS) * ENTRY_IDS_PER_MS


def moved(member: Member, entry: int, transfer: Transfer) -> Member:
    """The member after one transfer of an entry that is still being made: what the next one starts from."""
    wallets, holds = _moved(member.wallets, member.holds, entry, transfer, member.active_day)
    return msgspec.structs.replace(member, wallets=wallets, holds=holds)


def _moved(
    wallets: tuple[Wallet, ...], holds: tuple[Hold, ...], entry: int, transfer: Transfer, active_day: int
) -> tuple[tuple[Wallet, ...], tuple[Hold, ...]]:
    """Wallets and holds after one transfer."""
    program, unit, moves = transfer.program, transfer.unit, transfer.lots
    place = 0
    for before in wallets:
        if before.unit is unit and before.program == program:
            break
        place += 1
    else:
        before = Wallet(program, unit)
    balance, pending, held, fund = before.balance, before.pending, before.held, 0
    for posting in transfer.postings:
        kind = posting.kind
        if kind is _FUND:
            fund += posting.amount
        elif kind is _MEMBER:
            balance += posting.amount
        elif kind is _PENDING:
            pending += posting.amount
        elif kind is _HELD:
            held += posting.amount
    assert fund == fund_change(before, holds, moves), "the fund holds the value of what is left"
    lots, waiting, kept_before = before.lots, before.waiting, holds
    for move in moves:
        assert move.lot.id // LOTS_PER_ENTRY <= entry, "a lot is opened before it is used"
        account = move.account
        if account is _MEMBER:
            lots = _changed(lots, move, active_day)
        elif account is _PENDING:
            waiting = _changed(waiting, move, active_day)
        else:
            holds = _held(holds, transfer, move, entry)
    after = Wallet(program, unit, balance, pending, held, lots, waiting)
    assert sum(map(amount_of, lots)) == (balance if balance > 0 else 0), "balance is open lots - debt"
    assert sum(map(amount_of, waiting)) == pending, "what is pending lies in waiting lots"
    if held or before.held or holds is not kept_before:
        kept = sum(
            part.amount
            for hold in holds
            if hold.unit is unit and hold.program == program
            for part in hold.lots
        )
        assert kept == held, "what is held lies in holds"
    if len(wallets) <= 1 and not place:
        return (after,), holds
    return (*wallets[:place], after, *wallets[place + 1 :]), holds


def _changed(parts: tuple[LotPart, ...], move: LotMove, active_day: int) -> tuple[LotPart, ...]:
    """Open parts after a move, in the order of use. A lot that nothing is left of is open no more."""
    lot, amount = move.lot, move.amount
    lot_id = lot.id
    assert amount != 0, "a move moves something"
    for part in parts:
        if part.lot.id == lot_id:
            place = parts.index(part)
            left = part.amount + amount
            assert left >= 0, "no lot is negative"
            if part.lot == lot:
                if left == 0:
                    return parts[:place] + parts[place + 1 :]
                return (*parts[:place], LotPart(lot, left), *parts[place + 1 :])
            assert amount > 0, "points are taken out of a lot as it is open"
            assert reopened(part.lot, lot.expires) == lot, "a lot keeps all but its last day"
            parts = parts[:place] + parts[place + 1 :]  # reopened: its place may be another
            amount = left
            break
    assert amount > 0, "no lot is negative"
    place = len(parts)
    if place:
        key = order_of_use(lot, active_day)
        while place and order_of_use(parts[place - 1].lot, active_day) > key:
            place -= 1
    return (*parts[:place], LotPart(lot, amount), *parts[place:])


def _held(holds: tuple[Hold, ...], transfer: Transfer, move: LotMove, entry: int) -> tuple[Hold, ...]:
    hold_id = transfer.hold or entry
    place = next((place for place, hold in enumerate(holds) if hold.id == hold_id), len(holds))
    if place == len(holds):
        assert transfer.kind is TransferKind.HOLD, "a hold is opened before it is used"
        assert hold_id == entry, "a hold has the id of the entry that opens it"
        hold = Hold(entry, transfer.program, transfer.unit, 0, ())
    else:
        hold = holds[place]
        same = hold.unit is transfer.unit and hold.program == transfer.program
        assert same, "a hold is of one wallet"
    parts: list[LotPart] = []
    found = False
    for part in hold.lots:
        amount = part.amount
        if part.lot.id == move.lot.id:
            assert part.lot == move.lot, "points are taken out of a lot as it is held"
            amount += move.amount
            found = True
            assert amount >= 0, "no more of a lot is released than was held"
        if amount:
            parts.append(LotPart(part.lot, amount))
    if not found:
        assert move.amount > 0, "no more of a lot is released than was held"
        parts.append(LotPart(move.lot, move.amount))
    left = (Hold(hold.id, hold.program, hold.unit, hold.expires_ms, tuple(parts)),) if parts else ()
    return holds[:place] + left + holds[place + 1 :]


def _any_slides(wallets: tuple[Wallet, ...]) -> bool:
    for wallet in wallets:
        for part in wallet.lots:
            if part.lot.expires <= 0:
                return True
    return False


def _sorted(wallet: Wallet, active_day: int) -> Wallet:
    """The wallet with its lots in the order of use again: activity moves the last day of sliding lots."""
    lots = tuple(sorted(wallet.lots, key=lambda part: order_of_use(part.lot, active_day)))
    return Wallet(
        wallet.program, wallet.unit, wallet.balance, wallet.pending, wallet.held, lots, wallet.waiting
    )


_CREDENTIAL_SIDES = frozenset(
    {PinSet, PinTried, CodeSent, CodeTried, CodeSpent, SpendingDelayed, CardTried, CardShown}
)
# Cards that count, of one member: a family's, each with chip and contactless, and those that were replaced.
MOST_SHOWN = 16


def credential_after(credential: Credential, side: Side) -> Credential:
    """What one change makes of what a member can prove itself with."""
    verifier, pin_wrong = credential.verifier, credential.pin_wrong
    code, expires_ms, code_wrong = credential.code, credential.code_expires_ms, credential.code_wrong
    spend_from_ms, card_wrong, shown = credential.spend_from_ms, credential.card_wrong, credential.shown
    if isinstance(side, PinSet):
        verifier, pin_wrong = side.verifier, 0
    elif isinstance(side, PinTried):
        pin_wrong = side.wrong
    elif isinstance(side, CodeSent):
        code, expires_ms, code_wrong = side.hashed, side.expires_ms, side.wrong
    elif isinstance(side, CodeTried):
        code_wrong = side.wrong
    elif isinstance(side, CodeSpent):
        code, expires_ms, code_wrong = b"", 0, 0
    elif isinstance(side, SpendingDelayed):
        spend_from_ms = side.until_ms
    elif isinstance(side, CardTried):
        card_wrong = side.wrong
    elif isinstance(side, CardShown):
        others = tuple(one for one in shown if one.card != side.card)
        shown = (*others, Shown(side.card, side.counter, side.terminal))[-MOST_SHOWN:]
    return Credential(verifier, pin_wrong, code, expires_ms, code_wrong, spend_from_ms, card_wrong, shown)


def add_to_accounts(balances: dict[Account, int], entry: Entry, bucket: int | None = None) -> None:
    """Add the entry's postings on accounts that are no member's own. bucket: what stands for all buckets."""
    if bucket is None:
        bucket = entry.bucket
    for transfer in entry.transfers:
        program = transfer.program
        for posting in transfer.postings:
            kind = posting.kind
            if kind not in OF_MEMBER:
                # Equal to the account, and found by it, without making one.
                named: Any = (bucket, kind, posting.holder, program, posting.unit)
                if named in balances:
                    balances[named] += posting.amount
                else:
                    balances[tuple.__new__(Account, named)] = posting.amount


def fund_of(members: Iterable[Member], program: str) -> int:
    """What the fund of these members' bucket has to hold: the value of every lot that is open, waiting or
    held."""
    left: dict[int, tuple[Lot, int]] = {}
    for member in members:
        for wallet in member.wallets:
            if wallet.program == program:
                for part in (*wallet.lots, *wallet.waiting):
                    left[part.lot.id] = part.lot, left.get(part.lot.id, (part.lot, 0))[1] + part.amount
        for hold in member.holds:
            if hold.program == program:
                for part in hold.lots:
                    left[part.lot.id] = part.lot, left.get(part.lot.id, (part.lot, 0))[1] + part.amount
    return sum(value(lot, amount) for lot, amount in left.values())


@lru_cache(maxsize=512)
def day_number(iso: str) -> int:
    """The ordinal of a business date, YYYY-MM-DD. Raises ValueError."""
    return date.fromisoformat(iso).toordinal()
