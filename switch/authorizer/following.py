"""What follows an earlier transaction by its reference number: capture, refund, return, void; and reversals.

Pure. An original is followed only by its acceptor, no further than what is left of it. Partial returns make
the award again for what remains, under the rules that made it, and take the difference: their sum is exactly
the award. Goods of a split sale bring points and money back as the program says: as they paid, points first
or money first. A reversal undoes whatever its original did, to the lots it came from.
"""

from __future__ import annotations

from datetime import date
from typing import NamedTuple

from switch.authorizer import movements
from switch.authorizer.limits import part_back, taken_back
from switch.authorizer.outcome import (
    APPROVED,
    INVALID_AMOUNT,
    INVALID_TRANSACTION,
    NO_ORIGINAL,
    REASON_BATCH_CLOSED,
    REASON_ENDED,
    REASON_GIVEN_BACK,
    REASON_HOLD_ENDED,
    REASON_MORE_THAN_LEFT,
    REASON_TAKEN_BACK,
    Outcome,
    Terms,
    balances,
    refused,
)
from switch.authorizer.request import Request
from switch.ledger import (
    AccountKind,
    BackBefore,
    Entry,
    Followed,
    HoldClosed,
    Member,
    PaidInMoney,
    Side,
    State,
    Transfer,
    TransferKind,
)
from switch.ledger.book import moved
from switch.ledger.counting import units_moved
from switch.ledger.engine import FollowUp
from switch.loyalty.limits import EARN, REDEEM

FOLLOWS = frozenset({"capture", "refund", "return", "void"})  # operations that name an original by DE 37
_SPENDING = frozenset({TransferKind.REDEEM, TransferKind.CAPTURE})
VOIDABLE = {"earn": "0060", "redeem": "6000", "hold": "6000"}  # with the account types of DE 3


class _Original(NamedTuple):
    entry: Entry
    amount: int  # rial that followed it so far
    units: int  # points that followed it so far: of an earn taken back, else given back
    follower: int  # the id of the entry that follows it now


def follow(
    state: State, request: Request, member: Member, original: Entry, terms: Terms, entry: int
) -> Outcome:
    """Decide a capture, refund, return or void of an approved entry of this member. entry: the id of the one
    that will carry it."""
    if original.acceptor != request.acceptor or original.response_code != APPROVED:
        return refused(NO_ORIGINAL)
    if request.identifier and state.member_of(request.identifier) != member.id:
        return refused(NO_ORIGINAL)
    if request.amount == 0 or request.currency != terms.currency:
        return refused(INVALID_AMOUNT)
    if request.operation == "capture":
        return _capture(request, member, original, terms)
    done = state.followed(original.id, original.bucket)
    if done.ended or state.is_reversed(original.identity, original.bucket):
        return refused(INVALID_TRANSACTION, REASON_ENDED)
    known = _Original(original, done.amount, done.units, entry)
    if request.operation == "void":
        return _void(request, member, known, terms)
    if request.operation == "refund":
        return _refund(request, member, known, terms)
    return _return(request, member, known, terms)


def _capture(request: Request, member: Member, original: Entry, terms: Terms) -> Outcome:
    held = next((hold for hold in member.holds if hold.id == original.id), None)
    if original.operation != "hold":
        return refused(NO_ORIGINAL)
    if held is None:
        return refused(INVALID_TRANSACTION, REASON_HOLD_ENDED)
    today = _day(request.business_date)
    ratio = original.amount // units_moved(original)
    points = request.points
    if points == 0 or request.amount != points * ratio:
        return refused(INVALID_AMOUNT)
    if points > sum(part.amount for part in held.lots):
        return refused(INVALID_TRANSACTION, REASON_MORE_THAN_LEFT)
    wallet = member.wallet(held.program, held.unit)
    taken = movements.capture(member, wallet, held, points, request.amount, request.acceptor)
    after = moved(member, member.last_entry + 1, taken)
    rest = next((hold for hold in after.holds if hold.id == held.id), None)
    transfers: tuple[Transfer, ...] = (taken,)
    if rest is not None:
        reopen_days = terms.program.on(today).reopen_days
        released = movements.release(after, after.wallet(held.program, held.unit), rest, today, reopen_days)
        transfers += (released,)
    tags = {"01": f"{points:012d}", **balances(wallet, *transfers)}
    followed = Followed(original.id, request.amount, points, ended=False)
    sides: tuple[Side, ...] = (HoldClosed(member.id, held.id), followed, *taken_back(original))
    return Outcome(APPROVED, tags, transfers, sides)


def _void(request: Request, member: Member, original: _Original, terms: Terms) -> Outcome:
    entry = original.entry
    if VOIDABLE.get(entry.operation) != request.accounts:
        return refused(NO_ORIGINAL)
    if (entry.terminal, entry.batch) != (request.terminal, request.batch):
        return refused(INVALID_TRANSACTION, REASON_BATCH_CLOSED)
    if original.amount or original.units:
        return refused(INVALID_TRANSACTION, REASON_ENDED)
    if request.amount != entry.amount:
        return refused(INVALID_AMOUNT)
    undone = undo(member, entry, terms, _day(request.business_date))
    if undone is None:
        return refused(INVALID_TRANSACTION, REASON_HOLD_ENDED)
    transfers, sides = undone
    sides += (Followed(entry.id, entry.amount, units_followed(entry, entry), ended=True), *taken_back(entry))
    reason = REASON_TAKEN_BACK if entry.operation == "earn" else REASON_GIVEN_BACK
    return _outcome(member, entry, transfers, sides, reason)._replace(receipt=entry.receipt)


def _refund(request: Request, member: Member, original: _Original, terms: Terms) -> Outcome:
    """Redeemed points back, for the rial they paid: as many as that rial is worth at the original's ratio."""
    entry = original.entry
    spent = next((t for t in entry.transfers if t.kind in _SPENDING), None)
    if spent is None:
        return refused(NO_ORIGINAL)
    money = _paid_in_money(entry)
    if money:
        return _of_split_sale(request, member, original, spent, money, terms)
    amount = original.amount + request.amount
    if amount > entry.amount:
        return refused(INVALID_AMOUNT, REASON_MORE_THAN_LEFT)
    # Points rounded down, the rest in money; the last part brings what is left. A refund that was reversed
    # since may have left more given back than that.
    units = max(units_followed(entry, entry) * amount // entry.amount, original.units)
    given = _given_back(request, member, original, spent, units - original.units, terms)
    followed = Followed(entry.id, amount, units, ended=False)
    points = units - original.units
    counts = part_back(entry, REDEEM, points * _ratio(entry), points)
    return _outcome(member, entry, given, (followed, *counts), REASON_GIVEN_BACK)


def _return(request: Request, member: Member, original: _Original, terms: Terms) -> Outcome:
    """Earned points taken back: the award for what remains of the purchase, and the difference."""
    entry = original.entry
    money = _paid_in_money(entry)
    if money:
        spent = next(transfer for transfer in entry.transfers if transfer.kind is TransferKind.REDEEM)
        return _of_split_sale(request, member, original, spent, money, terms)
    if entry.operation != "earn":
        return refused(NO_ORIGINAL)
    amount = original.amount + request.amount
    if amount > entry.amount:
        return refused(INVALID_AMOUNT, REASON_MORE_THAN_LEFT)
    earned = _award_of(entry)
    transfers: tuple[Transfer, ...] = ()
    units = original.units
    if earned is not None:
        units = max(_award_taken(terms, earned, entry.amount, amount), original.units)
        points = units - original.units
        if points:
            wallet = member.wallet(earned.program, earned.unit)
            transfers = (movements.take_back(member, wallet, entry, earned, original.units, points),)
    followed = Followed(entry.id, amount, units, ended=False)
    counts = part_back(entry, EARN, request.amount, units - original.units)
    return _outcome(member, entry, transfers, (followed, *counts), REASON_TAKEN_BACK)


def _of_split_sale(
    request: Request, member: Member, original: _Original, spent: Transfer, money: int, terms: Terms
) -> Outcome:
    """A refund of the points that paid a part of a sale, or a return of goods of the whole sale.

    What followed counts points at their rial and the rest as money; for that the award of the money part is
    made again, as for any other purchase.
    """
    entry = original.entry
    whole, spent_points = entry.amount + money, units_followed(entry, entry)
    ratio = _ratio(entry)
    amount = original.amount + request.amount
    units = original.units + request.amount // ratio
    of_points = original.units * ratio + request.amount
    if amount > whole or (request.operation == "refund" and of_points > entry.amount):
        return refused(INVALID_AMOUNT, REASON_MORE_THAN_LEFT)
    if request.operation == "return":
        # No more points than these goods are worth, and no more money than was paid: that comes first, so the
        # last part brings what is left.
        rules = terms.program.on(_day(entry.business_date))
        share = min(rules.points_back(spent_points, ratio, whole, amount), units)
        units = max(share, -(-max(amount - money, 0) // ratio), original.units)
    points = units - original.units
    transfers = _given_back(request, member, original, spent, points, terms)
    tags: dict[str, str] = {}
    counts = part_back(entry, REDEEM, points * ratio, points)
    earned = _award_of(entry)
    if earned is not None:
        before = _award_taken(terms, earned, money, original.amount - original.units * ratio)
        taken = _award_taken(terms, earned, money, amount - units * ratio) - before
        after = member
        for transfer in transfers:
            after = moved(after, member.last_entry + 1, transfer)
        if taken > 0:
            wallet = after.wallet(earned.program, earned.unit)
            transfers += (movements.take_back(after, wallet, entry, earned, before, taken),)
        elif taken < 0:  # more points came back than these goods are worth, so less money than before
            today = _day(request.business_date)
            given = _given_again(after, entry, earned, None, original.follower, before, -taken, today, terms)
            transfers += (given,)
        if taken > 0 and points:
            tags = {"0E": f"{taken:012d}"}
        counts += part_back(entry, EARN, request.amount - points * ratio, taken)
    followed = Followed(entry.id, amount, units, ended=False)
    reason = REASON_GIVEN_BACK if points else REASON_TAKEN_BACK
    outcome = _outcome(member, entry, transfers, (followed, *counts), reason)
    return outcome._replace(tags=outcome.tags | tags)


def _given_back(
    request: Request,
    member: Member,
    original: _Original,
    spent: Transfer,
    points: int,
    terms: Terms,
) -> tuple[Transfer, ...]:
    """The transfer that gives points of a redemption back, for the rial that its acceptor got for them; none
    for no points. What a refund says beyond is the acceptor's own money."""
    if not points:
        return ()
    amount = points * _ratio(original.entry)
    today = _day(request.business_date)
    wallet = member.wallet(spent.program, spent.unit)
    reopen_days = terms.program.on(today).reopen_days
    before = original.units
    return (
        movements.give_back(
            member, wallet, original.entry, spent, before, points, amount, today, reopen_days
        ),
    )


class Undone(NamedTuple):
    """What takes an entry back: transfers, and what else ends or counts otherwise with it."""

    transfers: tuple[Transfer, ...]
    sides: tuple[Side, ...]


def undo_follower(
    member: Member, original: Entry, now: FollowUp, follower: Entry, terms: Terms, today: int
) -> Undone:
    """Take back a refund or return that others came after. (The last one is simply undone.)

    It takes the points back that its answer told, so that receipts and ledger agree: a refund's from the lots
    that got theirs last, a return's as it took them. What the money part of a split sale earned is always the
    award of the money that is left.
    """
    amount, units = now.amount - follower.amount, now.units - units_followed(original, follower)
    money, earned = _paid_in_money(original), _award_of(original)
    spent = next((t for t in original.transfers if t.kind in _SPENDING), None)
    given = now.units - units if spent is not None else 0
    taken = before = 0
    if earned is not None and money:
        before = _award_taken(terms, earned, money, now.amount - now.units * _ratio(original))
        taken = before - _award_taken(terms, earned, money, amount - units * _ratio(original))
    elif earned is not None:
        before, taken = now.units, now.units - units
    transfers: list[Transfer] = []
    after = member
    if taken and earned is not None:
        wallet = after.wallet(earned.program, earned.unit)
        if taken > 0:
            made = _given_again(after, original, earned, follower, follower.id, before, taken, today, terms)
        else:
            made = movements.take_back(after, wallet, original, earned, before, -taken)
        transfers.append(made)
        after = moved(after, member.last_entry + 1, made)
    sides: list[Side] = [Followed(original.id, amount, units, ended=False)]
    if given and spent is not None:
        wallet = after.wallet(spent.program, spent.unit)
        rial = given * _ratio(original)
        transfers.append(
            movements.spend_again(after, wallet, original, spent, follower.id, now.units, given, rial)
        )
    if spent is not None:
        sides += part_back(original, REDEEM, -given * _ratio(original), -given)
    if earned is not None:
        goods = follower.amount - given * _ratio(original) if money else follower.amount
        sides += part_back(original, EARN, -goods, -taken)
    sides.append(BackBefore(member.id, units_moved(follower)))
    return Undone(tuple(transfers), tuple(sides))


def undo(member: Member, entry: Entry, terms: Terms, today: int) -> Undone | None:
    """Take back an entry. None: it can't be undone any more.

    Of a hold nothing is left to undo when it was captured or has run out.
    """
    transfers: list[Transfer] = []
    sides: list[Side] = []
    after = member
    reopen_days = terms.program.on(today).reopen_days
    for transfer in reversed(entry.transfers):
        wallet = after.wallet(transfer.program, transfer.unit)
        if transfer.kind is TransferKind.RELEASE:
            continue  # what a capture let go is the member's
        if transfer.kind is TransferKind.HOLD:
            held = next((hold for hold in after.holds if hold.id == entry.id), None)
            if held is None:
                return None
            made = movements.release(after, wallet, held, today, reopen_days)
            sides.append(HoldClosed(member.id, held.id))
        else:
            rules = terms.program.version(transfer.rules)
            made = movements.undo(after, wallet, entry, transfer, today, reopen_days, rules)
        transfers.append(made)
        after = moved(after, member.last_entry + 1, made)
    return Undone(tuple(transfers), tuple(sides))


def _outcome(
    member: Member, entry: Entry, transfers: tuple[Transfer, ...], sides: tuple[Side, ...], reason: str
) -> Outcome:
    first = entry.transfers[0] if entry.transfers else None
    outcome = Outcome(APPROVED, {"04": reason}, transfers, sides)
    tags = {"01": f"{units_moved(outcome):012d}", "04": reason}
    if first is not None:
        tags |= balances(member.wallet(first.program, first.unit), *transfers)
    return outcome._replace(tags=tags)


def units_followed(original: Entry, entry: Entry) -> int:
    """Units of an entry that count against `original` in `Followed`: of an earn those awarded or taken back,
    of all else those spent or given back. Of the original itself: all that can follow."""
    kind = AccountKind.ISSUED if original.operation == "earn" else AccountKind.REDEEMED
    return sum(
        abs(posting.amount)
        for transfer in entry.transfers
        for posting in transfer.postings
        if posting.kind is kind
    )


def _left_of(money: int, back: int) -> int:
    """What is left of a sale, or its money part, when so much came back. Reversed returns may leave more
    points given back than goods came back: then nothing of the money did."""
    return money - min(max(back, 0), money)


def _award_of(entry: Entry) -> Transfer | None:
    return next((transfer for transfer in entry.transfers if transfer.kind is TransferKind.EARN), None)


def _award_taken(terms: Terms, earned: Transfer, whole: int, back: int) -> int:
    """What is taken of an award, under its own rules, when so many rial of the `whole` are back."""
    award = terms.program.version(earned.rules).award
    return award(whole) - award(_left_of(whole, back))


def _given_again(
    member: Member,
    original: Entry,
    earned: Transfer,
    undone: Entry | None,
    entry: int,
    before: int,
    points: int,
    today: int,
    terms: Terms,
) -> Transfer:
    """Points of an award again, see `movements.give_again`."""
    reopen_days = terms.program.on(today).reopen_days
    wallet = member.wallet(earned.program, earned.unit)
    rules = terms.program.version(earned.rules)
    return movements.give_again(
        member, wallet, original, earned, undone, entry, before, points, today, reopen_days, rules
    )


def _ratio(entry: Entry) -> int:
    """Rial that an entry's points paid each."""
    return entry.amount // units_followed(entry, entry)


def _paid_in_money(entry: Entry) -> int:
    """Rial of a split sale that were paid in money; 0 for all else."""
    return sum(side.amount for side in entry.sides if isinstance(side, PaidInMoney))


def _day(iso: str) -> int:
    return date.fromisoformat(iso).toordinal()
