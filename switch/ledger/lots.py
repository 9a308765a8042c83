"""Which lots points come from and go back to: order of use, debt, claw-back, restoring, expiry, activation.

Pure: a wallet and a day in, lot moves out. Nothing here writes; `switch.ledger.book` applies what comes out
and holds that the sums agree. Moves are signed: plus puts points into a lot, minus takes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import attrgetter

from switch.ledger.model import NEVER, PRICE_POINTS, AccountKind, Hold, Lot, LotMove, LotPart, Wallet

MEMBER, PENDING, HELD = AccountKind.MEMBER, AccountKind.PENDING, AccountKind.HELD

# A member's lots stand in its row, written with each of its entries: some 46 bytes a lot. So many stay apart
# whatever they are; a member that earns twice a week and spends once a month has never more.
LOTS_APART = 64
# Of one that earns daily for years and spends nothing even lots of different days join, at 46 KB a row.
MOST_LOTS = 1_024

amount_of = attrgetter("amount")  # of a part: by `map` it takes half of what a loop does


def last_day(lot: Lot, active_day: int) -> int:
    """The last day on which a lot can be used. active_day: the member's last activity: a sliding lot counts
    from there, though not from before its own first day."""
    if lot.expires > 0:
        return lot.expires
    return (active_day if active_day > lot.active_from else lot.active_from) - lot.expires


def order_of_use(lot: Lot, active_day: int) -> tuple[int, int, int, int, int]:
    """What lots are sorted by: priority, expiry (none last), promotional first, active-from, sequence."""
    return lot.priority, last_day(lot, active_day), lot.kind, lot.active_from, lot.id


def value(lot: Lot, points: int) -> int:
    """Rial that so many points of a lot stand for, rounded down."""
    return points * lot.price // PRICE_POINTS


def debt(wallet: Wallet) -> int:
    """What the member owes: debt and open lots never stand together."""
    return -wallet.balance if wallet.balance < 0 else 0


def spend(wallet: Wallet, amount: int) -> tuple[LotMove, ...]:
    """Take `amount` from the open lots in their order. Asserts that they hold as much."""
    return tuple(LotMove(MEMBER, part.lot, -part.amount) for part in _first(wallet.lots, amount))


def open_lot(wallet: Wallet, lot: Lot, amount: int, account: AccountKind = MEMBER) -> tuple[LotMove, ...]:
    """Put an award into a new lot; what is owed is paid first (when it becomes spendable, not before)."""
    paid = min(debt(wallet), amount) if account is MEMBER else 0
    return (LotMove(account, home(wallet, lot, account), amount - paid),) if amount > paid else ()


def home(wallet: Wallet, lot: Lot, account: AccountKind) -> Lot:
    """The lot that points of a new lot go into: itself, or of a wallet of many lots one that is worth the
    same until the same day, of one of very many the one that lasts longest, until the later day."""
    count = len(wallet.lots) + len(wallet.waiting)
    if count < LOTS_APART:
        return lot
    found = None
    for part in wallet.lots if account is MEMBER else wallet.waiting:
        other = part.lot
        same = (other.issuer, other.price, other.kind, other.priority)
        if same != (lot.issuer, lot.price, lot.kind, lot.priority):
            continue
        fits = other.active_from == lot.active_from or (
            account is MEMBER and other.active_from < lot.active_from
        )
        if fits and other.expires == lot.expires:
            return other
        if fits and account is MEMBER and other.expires > 0 and (not found or other.expires > found.expires):
            found = other
    if found and count >= MOST_LOTS and lot.expires > 0:
        return reopened(found, max(found.expires, lot.expires))
    return lot


def claw_back(wallet: Wallet, own: Iterable[int], amount: int) -> tuple[LotMove, ...]:
    """Take back an award: own lots pending, then active, then other lots in their order; the rest is debt.

    own: ids of the lots that the award opened.
    """
    own = frozenset(own)
    moves: list[LotMove] = []
    for account, parts in (
        (PENDING, [part for part in wallet.waiting if part.lot.id in own]),
        (MEMBER, [part for part in wallet.lots if part.lot.id in own]),
        (MEMBER, [part for part in wallet.lots if part.lot.id not in own]),
    ):
        available = min(amount, sum(part.amount for part in parts))
        moves += (LotMove(account, part.lot, -part.amount) for part in _first(parts, available))
        amount -= available
    return tuple(moves)


def take_again(wallet: Wallet, given: Sequence[LotPart], amount: int) -> tuple[LotMove, ...]:
    """Take `amount` back that lots were given: from each what it got, if it is there still (waiting or open);
    what is missing as any claw-back."""
    moves: list[LotMove] = []
    left: list[list[LotPart]] = []
    got = {part.lot.id: part.amount for part in given}
    for account, parts in ((PENDING, wallet.waiting), (MEMBER, wallet.lots)):
        rest: list[LotPart] = []
        for part in parts:
            taken = min(part.amount, got.get(part.lot.id, 0), amount)
            if taken:
                moves.append(LotMove(account, part.lot, -taken))
                got[part.lot.id] -= taken
                amount -= taken
            if part.amount > taken:
                rest.append(LotPart(part.lot, part.amount - taken))
        left.append(rest)
    if amount:
        waiting, lots = map(tuple, left)
        without = Wallet(wallet.program, wallet.unit, lots=lots, waiting=waiting)
        moves += claw_back(without, (), amount)
    return tuple(moves)


def restore(
    wallet: Wallet, taken: Sequence[LotPart], amount: int, today: int, active_day: int, reopen_days: int
) -> tuple[LotMove, ...]:
    """Give `amount` of what was taken back to the same lots, last-taken first; debt is paid before.

    taken: parts in the order in which they were taken, amounts positive. A lot that has expired meanwhile is
    reopened until `reopen_days` from today; with 0 it stays as it was and expires at once. One that is open
    until later, reopened before, stays so.
    """
    given = _first(tuple(reversed(taken)), amount)
    paid = min(debt(wallet), amount)
    # What was taken first would be spent first: the debt takes that.
    kept = _first(given, amount - paid)
    is_open = {part.lot.id: part.lot for part in wallet.lots}
    moves = []
    for part in kept:
        lot = part.lot
        there = is_open.get(lot.id, lot)
        if last_day(there, active_day) > last_day(lot, active_day):
            lot = there
        if reopen_days and last_day(lot, active_day) < today:
            lot = reopened(lot, today + reopen_days)
        moves.append(LotMove(MEMBER, lot, part.amount))
    return tuple(moves)


def reopened(lot: Lot, until: int) -> Lot:
    """The same lot with another last day."""
    return Lot(lot.id, lot.issuer, lot.price, lot.kind, lot.priority, lot.active_from, until, lot.rules)


def expired(wallet: Wallet, today: int, active_day: int) -> tuple[LotPart, ...]:
    """Open lots whose last day is over."""
    return tuple(part for part in wallet.lots if last_day(part.lot, active_day) < today)


def ripe(wallet: Wallet, today: int) -> tuple[LotPart, ...]:
    """Waiting lots whose first day has come, oldest first."""
    parts = [part for part in wallet.waiting if part.lot.active_from <= today]
    return tuple(sorted(parts, key=lambda part: (part.lot.active_from, part.lot.id)))


def first_due(wallet: Wallet, active_day: int) -> int:
    """The first day on which a lot of the wallet has expired or becomes active; NEVER for none."""
    last = NEVER
    for part in wallet.lots:
        end = part.lot.expires
        if end < last:  # of most lots it is not, and they are looked at with each entry
            if end <= 0:
                end = last_day(part.lot, active_day)
            if end < last:
                last = end
    day = last + 1 if last < NEVER else NEVER
    for part in wallet.waiting:
        if part.lot.active_from < day:
            day = part.lot.active_from
    return day


def fund_change(wallet: Wallet, holds: Sequence[Hold], moves: Sequence[LotMove]) -> int:
    """Rial that the fund gains by these moves: it holds the value of what is left of each lot, wherever it
    lies. Summing what is left before rounding makes the parts of a lot add up to its whole."""
    if len(moves) == 1 and not holds:  # nearly all are: half the time
        move = moves[0]
        lot = move.lot.id
        left_of_one = 0
        for parts in (wallet.lots, wallet.waiting):
            for part in parts:
                if part.lot.id == lot:
                    left_of_one += part.amount
        return value(move.lot, left_of_one + move.amount) - value(move.lot, left_of_one)
    net: dict[int, int] = {}
    left: dict[int, int] = {}
    for move in moves:
        lot = move.lot.id
        net[lot] = net.get(lot, 0) + move.amount
        left[lot] = 0
    for parts in (wallet.lots, wallet.waiting, *(hold.lots for hold in holds)):
        for part in parts:
            if part.lot.id in left:
                left[part.lot.id] += part.amount
    change = 0
    for move in moves:
        lot = move.lot.id
        if moved := net.pop(lot, 0):
            change += value(move.lot, left[lot] + moved) - value(move.lot, left[lot])
    return change


def _first(parts: Sequence[LotPart], amount: int) -> tuple[LotPart, ...]:
    """The first `amount` of these parts."""
    found: list[LotPart] = []
    for part in parts:
        if amount <= 0:
            break
        taken = min(part.amount, amount)
        found.append(LotPart(part.lot, taken))
        amount -= taken
    assert amount <= 0, "no more is taken than there is"
    return tuple(found)
