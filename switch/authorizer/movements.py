"""The transfers that operations make: points between a member's lots and an acceptor, the rial beside them.

Pure. Each takes the member as it stands and returns one balanced transfer; the entry carries it, and
`switch.ledger.book` holds that it fits. See `docs/ledger.md` for the accounts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date

from msgspec import structs

from switch.ledger import (
    LOTS_PER_ENTRY,
    NEVER,
    AccountKind,
    Entry,
    Hold,
    Lot,
    LotKind,
    LotMove,
    LotPart,
    Member,
    Posting,
    Transfer,
    TransferKind,
    Unit,
    Wallet,
)
from switch.ledger.lots import (
    claw_back,
    debt,
    expired,
    fund_change,
    home,
    last_day,
    open_lot,
    restore,
    ripe,
    spend,
    take_again,
    value,
)
from switch.ledger.model import OF_MEMBER
from switch.loyalty.program import Rules

MEMBER, PENDING, HELD = AccountKind.MEMBER, AccountKind.PENDING, AccountKind.HELD
# What every authorization asks for, looked up once: an enum's member costs as much as a call.
_ISSUED, _REDEEMED, _RECEIVABLE = AccountKind.ISSUED, AccountKind.REDEEMED, AccountKind.RECEIVABLE
_FUND, _PAYABLE, _MARGIN = AccountKind.FUND, AccountKind.PAYABLE, AccountKind.MARGIN
_EARN, _REDEEM = TransferKind.EARN, TransferKind.REDEEM
_BOUGHT, _RIAL = LotKind.BOUGHT, Unit.RIAL


def earn(
    member: Member,
    wallet: Wallet,
    entry: int,
    points: int,
    rules: Rules,
    acceptor: str,
    day: int,
    waits: bool,
) -> Transfer:
    """An award of `points` (not 0) for a purchase of `day`. entry: the id of the entry that will carry it;
    waits: its first day has still to come."""
    lot = _awarded(entry, rules, acceptor, day, rules.first_day(day))
    account = PENDING if waits else MEMBER
    moves = open_lot(wallet, lot, points, account)
    owed = value(lot, points)
    kept = moves[0].amount if moves else 0
    rial: tuple[Posting, ...] = ()
    if kept < points or moves[0].lot is not lot:
        fund, paid = fund_change(wallet, member.holds, moves), value(lot, points - kept)
        rial = _rial((_RECEIVABLE, acceptor, -owed), (_FUND, "", fund), (_MARGIN, "", paid))
    elif owed:  # nothing was left of a new lot, so the fund gains what is owed
        rial = (Posting(_RECEIVABLE, acceptor, _RIAL, -owed), Posting(_FUND, "", _RIAL, owed))
    against = (_ISSUED, acceptor)
    return _transfer(_EARN, wallet, (account, "", points), against, rial, moves, rules=rules.number)


def redeem(member: Member, wallet: Wallet, points: int, amount: int, acceptor: str) -> Transfer:
    """Spend `points`, which the wallet holds, for `amount` rial owed to the acceptor."""
    moves = spend(wallet, points)
    rial = _between(fund_change(wallet, member.holds, moves), amount, acceptor)
    return _transfer(_REDEEM, wallet, (MEMBER, "", -points), (_REDEEMED, acceptor), rial, moves)


def hold(wallet: Wallet, points: int) -> Transfer:
    """Keep `points`, which the wallet holds, for a capture."""
    moves = spend(wallet, points)
    kept = tuple(LotMove(HELD, move.lot, -move.amount) for move in moves)
    return Transfer(
        TransferKind.HOLD,
        wallet.program,
        wallet.unit,
        (Posting(MEMBER, "", wallet.unit, -points), Posting(HELD, "", wallet.unit, points)),
        (*moves, *kept),
    )


def capture(member: Member, wallet: Wallet, held: Hold, points: int, amount: int, acceptor: str) -> Transfer:
    """Spend the first `points` of a hold for `amount` rial owed to the acceptor."""
    moves = tuple(LotMove(HELD, part.lot, -part.amount) for part in _first(held.lots, points))
    rial = _between(fund_change(wallet, member.holds, moves), amount, acceptor)
    return _transfer(
        TransferKind.CAPTURE,
        wallet,
        (HELD, "", -points),
        (AccountKind.REDEEMED, acceptor),
        rial,
        moves,
        reverses=held.id,
        hold=held.id,
    )


def release(member: Member, wallet: Wallet, held: Hold, today: int, reopen_days: int) -> Transfer:
    """Give back to their lots all that a hold keeps."""
    points = sum(part.amount for part in held.lots)
    given = restore(wallet, held.lots, points, today, member.active_day, reopen_days)
    moves = (*(LotMove(HELD, part.lot, -part.amount) for part in held.lots), *given)
    rial = _rial_rest(fund_change(wallet, member.holds, moves))
    return Transfer(
        TransferKind.RELEASE,
        wallet.program,
        wallet.unit,
        (Posting(HELD, "", wallet.unit, -points), Posting(MEMBER, "", wallet.unit, points), *rial),
        moves,
        reverses=held.id,
        hold=held.id,
    )


def undo(
    member: Member,
    wallet: Wallet,
    original: Entry,
    transfer: Transfer,
    today: int,
    reopen_days: int,
    rules: Rules,
) -> Transfer:
    """The transfer that takes back what one of an entry's transfers did to a member's points.

    What it gave is clawed back, from the lots that got it first; what it took goes back to the lots it came
    from. What it took as debt, paid by others since, is a new lot under `rules` that can be spent at once.
    Legs of acceptors are the same with the other sign; the fund follows the lots, the margin the difference.
    """
    gained = sum(posting.amount for posting in transfer.postings if posting.kind in OF_MEMBER)
    if gained > 0:
        given = [LotPart(move.lot, move.amount) for move in transfer.lots if move.amount > 0]
        moves = take_again(wallet, given, gained)
    else:
        back = [LotMove(move.account, move.lot, -move.amount) for move in transfer.lots if move.amount < 0]
        # What it had to take as debt is paid by what comes back beside the lots.
        owed = -gained - sum(move.amount for move in back)
        lot = _awarded(original.id, rules, original.acceptor, today, today)
        moves = _brought_back(member, wallet, back, owed, lot, today, reopen_days)
    pending = sum(move.amount for move in moves if move.account is PENDING)
    postings = [
        Posting(MEMBER, "", wallet.unit, -gained - pending),
        Posting(PENDING, "", wallet.unit, pending),
    ]
    fund = fund_change(wallet, member.holds, moves)
    rial = 0
    for posting in transfer.postings:
        if posting.kind in OF_MEMBER or posting.kind in _FOLLOWING_LOTS:
            continue
        postings.append(Posting(posting.kind, posting.holder, posting.unit, -posting.amount))
        if posting.unit is Unit.RIAL:
            rial -= posting.amount
    postings += (
        Posting(AccountKind.FUND, "", Unit.RIAL, fund),
        Posting(AccountKind.MARGIN, "", Unit.RIAL, -fund - rial),
    )
    return Transfer(
        TransferKind.REVERSAL,
        wallet.program,
        wallet.unit,
        tuple(posting for posting in postings if posting.amount),
        moves,
        reverses=original.id,
        rules=transfer.rules,
    )


def take_back(
    member: Member, wallet: Wallet, original: Entry, award: Transfer, before: int, points: int
) -> Transfer:
    """Take `points` of an award back, `before` of it having been taken already: own lots, others, debt."""
    own = {move.lot.id for move in award.lots}
    moves = claw_back(wallet, own, points)
    returned = _charged(award, before) - _charged(award, before + points)
    fund = fund_change(wallet, member.holds, moves)
    rial = _rial(
        (AccountKind.RECEIVABLE, original.acceptor, returned),
        (AccountKind.FUND, "", fund),
        (AccountKind.MARGIN, "", -returned - fund),
    )
    pending = -sum(move.amount for move in moves if move.account is PENDING)
    postings = (
        Posting(MEMBER, "", wallet.unit, pending - points),
        Posting(PENDING, "", wallet.unit, -pending),
        Posting(AccountKind.ISSUED, original.acceptor, wallet.unit, points),
        *rial,
    )
    return Transfer(
        TransferKind.RETURN,
        wallet.program,
        wallet.unit,
        tuple(posting for posting in postings if posting.amount),
        moves,
        reverses=original.id,
        rules=award.rules,
    )


def give_again(
    member: Member,
    wallet: Wallet,
    original: Entry,
    award: Transfer,
    undone: Entry | None,
    entry: int,
    before: int,
    points: int,
    today: int,
    reopen_days: int,
    rules: Rules,
) -> Transfer:
    """Give `points` of an award again, of the `before` that returns took: what the return that is undone
    took, the last first; beyond that, for others took it, into the award's own lot.

    entry: an id that has opened no lot, for what was owed and is paid since.
    """
    by = () if undone is None else undone.transfers
    taking = [transfer for transfer in by if transfer.kind is TransferKind.RETURN]
    took = [move for transfer in taking for move in transfer.lots]
    of_lots = -sum(move.amount for move in took)
    taken = sum(
        posting.amount
        for transfer in taking
        for posting in transfer.postings
        if posting.kind is AccountKind.ISSUED
    )
    owed = min(points, taken - of_lots)
    skipped = max(of_lots - (points - owed), 0)
    back: list[LotMove] = []
    for move in took:
        kept = min(-move.amount, skipped)
        skipped -= kept
        if kept < -move.amount:
            back.append(LotMove(move.account, move.lot, -move.amount - kept))
    more = max(points - taken, 0)
    if more and award.lots:
        own = award.lots[0]
        same = next((move.lot for move in back if move.lot.id == own.lot.id), own.lot)  # reopened since
        back.insert(0, LotMove(own.account, same, more))
    elif more:
        owed += more
    lot = _awarded(entry, rules, original.acceptor, today, today)
    moves = _brought_back(member, wallet, back, owed, lot, today, reopen_days)
    charged = _charged(award, before - points) - _charged(award, before)
    fund = fund_change(wallet, member.holds, moves)
    rial = _rial(
        (AccountKind.RECEIVABLE, original.acceptor, -charged),
        (AccountKind.FUND, "", fund),
        (AccountKind.MARGIN, "", charged - fund),
    )
    pending = sum(move.amount for move in moves if move.account is PENDING)
    postings = (
        Posting(MEMBER, "", wallet.unit, points - pending),
        Posting(PENDING, "", wallet.unit, pending),
        Posting(AccountKind.ISSUED, original.acceptor, wallet.unit, -points),
        *rial,
    )
    return Transfer(
        TransferKind.REVERSAL,
        wallet.program,
        wallet.unit,
        tuple(posting for posting in postings if posting.amount),
        moves,
        reverses=original.id if undone is None else undone.id,
        rules=award.rules,
    )


def _brought_back(
    member: Member,
    wallet: Wallet,
    back: Sequence[LotMove],
    owed: int,
    fresh: Lot,
    today: int,
    reopen_days: int,
) -> tuple[LotMove, ...]:
    """Moves that put back what was taken: of lots, in the order in which it was taken, amounts positive; and
    `owed`, that was taken as debt. What of that has been paid since comes into the fresh lot."""
    waiting = [move for move in back if move.account is PENDING and move.lot.active_from > today]
    taken = tuple(LotPart(move.lot, move.amount) for move in back if move not in waiting)
    of_lots = sum(part.amount for part in taken)
    owing = structs.replace(wallet, balance=wallet.balance + owed)
    moves = (*waiting, *restore(owing, taken, of_lots, today, member.active_day, reopen_days))
    paid_since = owed - min(owed, debt(wallet))
    return (*moves, LotMove(MEMBER, fresh, paid_since)) if paid_since else moves


def _charged(award: Transfer, taken: int) -> int:
    """Rial that the issuer of an award owes for what is left of it when so many points were taken."""
    whole = sum(-posting.amount for posting in award.postings if posting.kind is AccountKind.ISSUED)
    charged = -sum(posting.amount for posting in award.postings if posting.kind is AccountKind.RECEIVABLE)
    return charged * (whole - taken) // whole


def give_back(
    member: Member,
    wallet: Wallet,
    original: Entry,
    spent: Transfer,
    before: int,
    points: int,
    amount: int,
    today: int,
    reopen_days: int,
) -> Transfer:
    """Give `points` of a redemption back to its lots for `amount` rial, `before` of it being back already."""
    still = _first(_taken(spent), _points(spent) - before)
    moves = restore(wallet, still, points, today, member.active_day, reopen_days)
    rial = _between(fund_change(wallet, member.holds, moves), -amount, original.acceptor)
    return _transfer(
        TransferKind.REFUND,
        wallet,
        (MEMBER, "", points),
        (AccountKind.REDEEMED, original.acceptor),
        rial,
        moves,
        reverses=original.id,
    )


def spend_again(
    member: Member,
    wallet: Wallet,
    original: Entry,
    spent: Transfer,
    undone: int,
    before: int,
    points: int,
    amount: int,
) -> Transfer:
    """Take `points` of a redemption again, which came back the last of `before`, for `amount` rial; `undone`
    is one of the entries that gave them back."""
    left = _points(spent) - before
    given = tuple(_without_first(_first(_taken(spent), left + points), left))
    moves = take_again(wallet, given, points)
    rial = _between(fund_change(wallet, member.holds, moves), amount, original.acceptor)
    return _transfer(
        TransferKind.REVERSAL,
        wallet,
        (MEMBER, "", -points),
        (AccountKind.REDEEMED, original.acceptor),
        rial,
        moves,
        reverses=undone,
    )


def _taken(spent: Transfer) -> tuple[LotPart, ...]:
    """What a redemption or capture took, in its order."""
    return tuple(LotPart(move.lot, -move.amount) for move in spent.lots if move.amount < 0)


def _points(spent: Transfer) -> int:
    return -sum(move.amount for move in spent.lots)


def activate(member: Member, wallet: Wallet, today: int) -> Transfer | None:
    """Waiting lots whose first day has come become spendable; debt is paid first. None when there is none."""
    parts = ripe(wallet, today)
    points = sum(part.amount for part in parts)
    if not points:
        return None
    paid = min(points, max(-wallet.balance, 0))
    moves = [LotMove(PENDING, part.lot, -part.amount) for part in parts]
    for part in _without_first(parts, paid):
        moves.append(LotMove(MEMBER, home(wallet, part.lot, MEMBER), part.amount))
    rial = _rial_rest(fund_change(wallet, member.holds, moves))
    return Transfer(
        TransferKind.ACTIVATION,
        wallet.program,
        wallet.unit,
        (Posting(PENDING, "", wallet.unit, -points), Posting(MEMBER, "", wallet.unit, points), *rial),
        tuple(moves),
    )


def expire(member: Member, wallet: Wallet, today: int) -> Transfer | None:
    """Open lots whose last day is over end. None when there is none."""
    parts = expired(wallet, today, member.active_day)
    points = sum(part.amount for part in parts)
    if not points:
        return None
    moves = tuple(LotMove(MEMBER, part.lot, -part.amount) for part in parts)
    fund = fund_change(wallet, member.holds, moves)
    rial = _rial((AccountKind.FUND, "", fund), (AccountKind.BREAKAGE, "", -fund))
    return _transfer(
        TransferKind.EXPIRY, wallet, (MEMBER, "", -points), (AccountKind.EXPIRED, ""), rial, moves
    )


def adjust(
    member: Member, wallet: Wallet, entry: int, points: int, rules: Rules, reason: str, business_date: str
) -> Transfer:
    """A correction by `points` (not 0): a new lot under today's rules that can be spent at once, or taken
    from what is there; the rest is debt. The program pays, and keeps, its rial: see `correction_price`."""
    today = date.fromisoformat(business_date).toordinal()
    if points > 0:
        lot = structs.replace(_awarded(entry, rules, "", today, today), price=rules.correction_price)
        moves = open_lot(wallet, lot, points)
    else:
        # Waiting points are the member's, too; a purchase that was none may have made them.
        moves = claw_back(wallet, (part.lot.id for part in wallet.waiting), -points)
    pending = sum(move.amount for move in moves if move.account is PENDING)
    rial = _rial_rest(fund_change(wallet, member.holds, moves))
    postings = (
        Posting(MEMBER, "", wallet.unit, points - pending),
        Posting(PENDING, "", wallet.unit, pending),
        Posting(AccountKind.ADJUSTED, reason, wallet.unit, -points),
        *rial,
    )
    return Transfer(
        TransferKind.CORRECTION,
        wallet.program,
        wallet.unit,
        tuple(posting for posting in postings if posting.amount),
        tuple(moves),
        rules=rules.number,
    )


def send_away(member: Member, wallet: Wallet, points: int) -> Transfer:
    """Move `points`, which the wallet holds, towards another member; lots keep issuer, price and last day."""
    moves = spend(wallet, points)
    fund = fund_change(wallet, member.holds, moves)
    rial = _rial((AccountKind.FUND, "", fund), (AccountKind.IN_TRANSIT, "", -fund))
    return _transfer(
        TransferKind.TRANSFER_OUT, wallet, (MEMBER, "", -points), (AccountKind.IN_TRANSIT, ""), rial, moves
    )


def take_in(
    member: Member, wallet: Wallet, entry: int, sent: Transfer, original: int, sender_active: int
) -> Transfer:
    """What another member sent away: its lots under new ids, the same otherwise; debt is paid first.

    original: the entry that sent it; sender_active: the sender's active day, where sliding lots count from.
    """
    points = -sum(move.amount for move in sent.lots)
    paid = min(points, max(-wallet.balance, 0))
    parts = [LotPart(move.lot, -move.amount) for move in sent.lots]
    moves = []
    for number, part in enumerate(_without_first(parts, paid)):
        old = part.lot
        lot = Lot(
            id=entry * LOTS_PER_ENTRY + number,
            issuer=old.issuer,
            price=old.price,
            kind=old.kind,
            priority=old.priority,
            active_from=old.active_from,
            expires=last_day(old, sender_active),
            rules=old.rules,
        )
        moves.append(LotMove(MEMBER, home(wallet, lot, MEMBER), part.amount))
    in_transit = sum(
        posting.amount
        for posting in sent.postings
        if posting.unit is Unit.RIAL and posting.kind is AccountKind.IN_TRANSIT
    )
    fund = fund_change(wallet, member.holds, moves)
    rial = _rial(
        (AccountKind.IN_TRANSIT, "", -in_transit),
        (AccountKind.FUND, "", fund),
        (AccountKind.MARGIN, "", in_transit - fund),
    )
    return _transfer(
        TransferKind.TRANSFER_IN,
        wallet,
        (MEMBER, "", points),
        (AccountKind.IN_TRANSIT, ""),
        rial,
        tuple(moves),
        reverses=original,
    )


def _awarded(entry: int, rules: Rules, issuer: str, day: int, active_from: int) -> Lot:
    """The lot of an award of `day`."""
    last = rules.last_day(day)
    expires = NEVER if last is None else last
    lot = entry * LOTS_PER_ENTRY  # by place, not by name: half the time
    return Lot(lot, issuer, rules.price, _BOUGHT, rules.priority, active_from, expires, rules.number)


# ---------------------------------------------------------------- postings

# What follows the lots wherever they are; never simply taken with the other sign.
_FOLLOWING_LOTS = frozenset({AccountKind.FUND, AccountKind.MARGIN, AccountKind.ROUNDING})
_Leg = tuple[AccountKind, str, int]


def _transfer(
    kind: TransferKind,
    wallet: Wallet,
    leg: _Leg,
    against: tuple[AccountKind, str],
    rial: tuple[Posting, ...],
    moves: Sequence[LotMove],
    *,
    reverses: int = 0,
    hold: int = 0,
    rules: int = 0,
) -> Transfer:
    account, holder, amount = leg
    other, other_holder = against
    unit = wallet.unit
    postings = (Posting(account, holder, unit, amount), Posting(other, other_holder, unit, -amount), *rial)
    return Transfer(kind, wallet.program, unit, postings, tuple(moves), reverses, hold, rules)


def _rial(*legs: _Leg) -> tuple[Posting, ...]:
    """Rial postings of these legs; what they lack to zero are parts of a rial."""
    rest, postings = 0, []
    for kind, holder, amount in legs:
        if amount:
            rest -= amount
            postings.append(Posting(kind, holder, _RIAL, amount))
    if rest:
        postings.append(Posting(AccountKind.ROUNDING, "", _RIAL, rest))
    return tuple(postings)


def _rial_rest(fund: int) -> tuple[Posting, ...]:
    """The fund's change against the program's margin: what debt takes or lots of different prices make."""
    return _rial((AccountKind.FUND, "", fund), (AccountKind.MARGIN, "", -fund))


def _between(fund: int, amount: int, acceptor: str) -> tuple[Posting, ...]:
    """The fund's change, what is owed to the acceptor more (or less) and the margin between."""
    return _rial((_FUND, "", fund), (_PAYABLE, acceptor, amount), (_MARGIN, "", -fund - amount))


def _first(parts: Iterable[LotPart], amount: int) -> tuple[LotPart, ...]:
    found = []
    for part in parts:
        if amount <= 0:
            break
        found.append(LotPart(part.lot, min(part.amount, amount)))
        amount -= part.amount
    return tuple(found)


def _without_first(parts: Iterable[LotPart], amount: int) -> Iterable[LotPart]:
    """Parts without their first `amount`."""
    for part in parts:
        left = part.amount - max(amount, 0)
        amount -= part.amount
        if left > 0:
            yield LotPart(part.lot, min(left, part.amount))
