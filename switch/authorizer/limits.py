"""What is too often, too much, or looks like the same sale again. Pure; all counts come from the ledger.

A queued earn (an advice) is a sale that is over: of these checks only its terminal's limits a day hold it.
What is taken back counts no more, in the periods and for all whom it was counted for: whoever decides that
puts `taken_back` or `part_back` into the entry.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date

from msgspec import structs

from switch.authorizer.outcome import APPROVED, DUPLICATE, OUT_OF_RANGE, Outcome
from switch.authorizer.proof import TOO_MANY
from switch.authorizer.request import Request
from switch.ledger import (
    Count,
    Counter,
    Entry,
    Followed,
    Member,
    OriginalReversed,
    Recounted,
    Scope,
    Side,
    State,
)
from switch.ledger.book import REVERSED, first_id, usage_on
from switch.ledger.counting import AGAIN, BACK, NOTHING, PART, month_period, month_start, units_moved
from switch.ledger.model import ENTRY_ID_EPOCH_MS, ENTRY_IDS_PER_MS
from switch.loyalty.limits import (
    AMOUNT,
    CARD,
    CASHIER,
    COUNT,
    DAY,
    EARN,
    MERCHANT,
    MONTH,
    POINTS,
    REDEEM,
    TERMINAL,
    Checks,
    Limit,
)

REASON_DOUBLE_SWIPE = "0601"
REASON_RECEIPT = "0602"
_REASONS = {
    (CARD, DAY): "0501",
    (CARD, MONTH): "0502",
    (TERMINAL, DAY): "0503",
    (TERMINAL, MONTH): "0504",
    (MERCHANT, DAY): "0505",
    (MERCHANT, MONTH): "0506",
    (CASHIER, DAY): "0507",
    (CASHIER, MONTH): "0508",
}
# What a limit judges, and what counts towards it: a hold while it is open, then its capture.
HOLD = "hold"
JUDGED = {"earn": EARN, "redeem": REDEEM, HOLD: REDEEM}
_COUNTED = {EARN: ("earn",), REDEEM: ("redeem", "capture", HOLD)}
_COUNTED_AS = {"earn": EARN, "redeem": REDEEM, "capture": REDEEM, HOLD: HOLD}  # in `Recounted`
_RECOUNTED = {EARN: (EARN,), REDEEM: (REDEEM, HOLD)}
_SCOPES = {
    TERMINAL: (Scope.TERMINAL, Scope.RECOUNTED_TERMINAL),
    MERCHANT: (Scope.ACCEPTOR, Scope.RECOUNTED_ACCEPTOR),
    CASHIER: (Scope.CASHIER, Scope.RECOUNTED_CASHIER),
}
_PLACES = {COUNT: 0, AMOUNT: 1, POINTS: 2}  # in a Count
# Fields of a member's usage.
_USAGE: Mapping[tuple[str, str, str], str] = {
    (DAY, EARN, COUNT): "earns",
    (DAY, EARN, POINTS): "earned",
    (DAY, REDEEM, COUNT): "redemptions",
    (DAY, REDEEM, POINTS): "redeemed",
    (MONTH, EARN, COUNT): "month_earns",
    (MONTH, EARN, POINTS): "month_earned",
    (MONTH, REDEEM, COUNT): "month_redemptions",
    (MONTH, REDEEM, POINTS): "month_redeemed",
}
# What uses a till receipt up.
_USES_RECEIPT = ("earn", "redeem")
# Entries of a member looked back at for the same sale; more in a few seconds is no sale.
LONGEST_LOOK = 16


def check(
    state: State,
    request: Request,
    member: Member,
    points: int,
    checks: Checks,
    now_ms: int,
    sides: tuple[Side, ...] = (),
    earned: int = 0,
    money: int = 0,
) -> Outcome | None:
    """The decline of an earn, redemption or hold of so many points by these checks; None when they let it
    pass. sides: what deciding changed so far; earned: points that the money part of a split sale earns, so
    many rial. Raises NotLoaded."""
    is_advice = request.mti[2] == "2"
    if not is_advice:
        if checks.double_swipe_ms and _is_again(state, request, member, checks.double_swipe_ms, now_ms):
            return _declined(DUPLICATE, REASON_DOUBLE_SWIPE, checks.double_swipe_ms // 1000, sides)
        if checks.unique_receipts and request.receipt and _is_used(state, request):
            return Outcome(DUPLICATE, {"04": REASON_RECEIPT}, sides=sides)
    for limit in checks.limits:
        units, amount = points, request.amount
        if limit.operation != JUDGED[request.operation]:
            if not earned:
                continue
            units, amount = earned, money
        if is_advice and (limit.scope, limit.period) != (TERMINAL, DAY):
            continue
        if limit.scope == CASHIER and not request.cashier:
            continue  # nobody to count for
        more = {COUNT: 1, POINTS: units, AMOUNT: amount}[limit.measure]
        if more and _used(state, request, member, limit) + more > limit.most:
            code = TOO_MANY if limit.measure == COUNT else OUT_OF_RANGE
            return _declined(code, _REASONS[limit.scope, limit.period], limit.most, sides)
    return None


def _declined(code: str, reason: str, number: int, sides: tuple[Side, ...]) -> Outcome:
    return Outcome(code, {"04": reason, "05": f"{number:012d}"}, sides=sides)


# ---------------------------------------------------------------- limits


def _used(state: State, request: Request, member: Member, limit: Limit) -> int:
    """What of a limit is used up before this request."""
    today = date.fromisoformat(request.business_date).toordinal()
    if limit.scope == CARD:
        usage = usage_on(member, today)
        used = int(getattr(usage, _USAGE[limit.period, limit.operation, limit.measure]))
        return used + (_kept(member, limit, today) if limit.operation == REDEEM else 0)
    place = _PLACES[limit.measure]
    used = sum(state.counter(counter)[place] for counter in _counters(request, limit, today))
    for counter in _recounted(request, limit, today):
        count = state.counter(counter)
        if counter.operation.endswith(AGAIN):
            used += count[place]
        elif place or counter.operation.endswith(BACK):  # parts of one are none
            used -= count[place]
    return used


def _kept(member: Member, limit: Limit, today: int) -> int:
    """What of a card's limit its open holds use."""
    since = first_id(today if limit.period == DAY else month_start(today))
    holds = [hold for hold in member.holds if hold.id >= since]
    if limit.measure == COUNT:
        return len(holds)
    return sum(part.amount for hold in holds for part in hold.lots)


def _holder(request: Request, limit: Limit) -> str:
    """Whose counters a limit looks at; empty: nobody's."""
    if limit.scope == CASHIER:
        return f"{request.acceptor}/{request.cashier}" if request.cashier else ""
    return request.terminal if limit.scope == TERMINAL else request.acceptor


def _counters(request: Request, limit: Limit, today: int) -> Iterable[Counter]:
    """What a limit adds up, but for a card's."""
    holder = _holder(request, limit)
    first = today if limit.period == DAY else month_start(today)
    return (
        Counter(_SCOPES[limit.scope][0], holder, date.fromordinal(day).isoformat(), operation)
        for day in range(first, today + 1)
        for operation in _COUNTED[limit.operation]
        if holder
    )


def _recounted(request: Request, limit: Limit, today: int) -> Iterable[Counter]:
    """What counts otherwise than when it was booked, but for a card."""
    holder = _holder(request, limit)
    period = month_period(today) if limit.period == MONTH else date.fromordinal(today).isoformat()
    return (
        Counter(_SCOPES[limit.scope][1], holder, period, operation + kind)
        for operation in _RECOUNTED[limit.operation]
        for kind in (BACK, AGAIN, PART)
        if holder
    )


def counters(request: Request, checks: Checks) -> list[Counter]:
    """What `check` will look at for this request, its card's usage left out."""
    judged = JUDGED.get(request.operation)
    if judged is None:
        return []
    today = date.fromisoformat(request.business_date).toordinal()
    found: list[Counter] = []
    for limit in checks.limits:
        if limit.scope != CARD and (limit.operation == judged or request.sale_amount):
            found += (*_counters(request, limit, today), *_recounted(request, limit, today))
    if checks.unique_receipts and request.receipt:
        receipts = [
            Counter(Scope.RECEIPT, request.acceptor, request.receipt, operation)
            for operation in (*_USES_RECEIPT, "void")
        ]
        found += receipts
        found += (one._replace(operation=one.operation + REVERSED) for one in receipts)
    return found


# ---------------------------------------------------------------- what counts no more


def taken_back(original: Entry) -> tuple[Recounted, ...]:
    """All that an entry made limits count, or count no more, the other way round. A captured hold stays
    captured."""
    operation = _COUNTED_AS.get(original.operation, "")
    own = (_back(original, operation, 1, original.amount, units_moved(original)),) if operation else ()
    if original.operation == "capture":
        return own
    return (*own, *(again(side) for side in original.sides if isinstance(side, Recounted)))


def again(side: Recounted) -> Recounted:
    """The same the other way round."""
    return structs.replace(side, entries=-side.entries, amount=-side.amount, units=-side.units)


def part_back(original: Entry, operation: str, amount: int, units: int) -> tuple[Recounted, ...]:
    """A part of what an entry made limits count, given or taken back."""
    return (_back(original, operation, 0, amount, units),) if amount or units else ()


def earned_beside(request: Request, member: int, money: int, earned: int) -> tuple[Recounted, ...]:
    """What the money part of a split sale makes limits count, as an earn."""
    if not earned:
        return ()
    holders = (request.business_date, request.terminal, request.acceptor, request.cashier)
    return (Recounted(member, EARN, *holders, -1, -money, -earned),)


def _back(original: Entry, operation: str, entries: int, amount: int, units: int) -> Recounted:
    holders = (original.business_date, original.terminal, original.acceptor, original.cashier)
    return Recounted(original.member, operation, *holders, entries, amount, units)


# ---------------------------------------------------------------- till receipts


def net(state: State, scope: Scope, holder: str, period: str, operation: str) -> Count:
    """What was counted of an operation, less what was reversed of it. Raises NotLoaded."""
    count = state.counter(Counter(scope, holder, period, operation))
    back = state.counter(Counter(scope, holder, period, operation + REVERSED))
    return (
        Count(count.entries - back.entries, count.amount - back.amount, count.units - back.units)
        if back.entries
        else count
    )


# ---------------------------------------------------------------- the same sale again


def _is_again(state: State, request: Request, member: Member, within_ms: int, now_ms: int) -> bool:
    """Whether the member had the same operation for the same amount at the same terminal just now, and
    nothing took it back."""
    if request.confirmed:
        return False
    # Ids are made by the clock: what is below is older, and needn't be looked up.
    oldest = (now_ms - within_ms - ENTRY_ID_EPOCH_MS) * ENTRY_IDS_PER_MS
    reversed_: set[bytes] = set()
    ended: dict[int, bool] = {}
    entry_id = member.last_entry
    for _ in range(LONGEST_LOOK):
        entry = state.entry_of_id(entry_id, member.id >> 40) if entry_id >= oldest else None
        if entry is None:
            return False
        for side in entry.sides:
            if isinstance(side, OriginalReversed):
                reversed_.add(side.original)
            elif isinstance(side, Followed):
                ended.setdefault(side.original, side.ended)
        is_same = (entry.operation, entry.terminal, entry.amount) == (
            request.operation,
            request.terminal,
            request.amount,
        )
        stands = entry.response_code == APPROVED and entry.identity not in reversed_
        if is_same and stands and not ended.get(entry.id) and now_ms - entry.decided_ms < within_ms:
            return True
        entry_id = entry.previous
    return False


def _is_used(state: State, request: Request) -> bool:
    """Whether a sale that stands has this till receipt of the acceptor."""
    holder, receipt = request.acceptor, request.receipt
    uses = sum(
        (net(state, Scope.RECEIPT, holder, receipt, operation) for operation in _USES_RECEIPT), NOTHING
    )
    return uses.entries > net(state, Scope.RECEIPT, holder, receipt, "void").entries
