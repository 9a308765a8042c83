"""What is too often, too much, or looks like the same sale again. Pure; all counts come from the ledger.

A queued earn (an advice) is a sale that is over: of these checks only its terminal's limits a day hold it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, timedelta

from switch.authorizer.outcome import APPROVED, DUPLICATE, OUT_OF_RANGE, Outcome
from switch.authorizer.proof import TOO_MANY
from switch.authorizer.request import Request
from switch.ledger import Count, Counter, Followed, Member, OriginalReversed, Scope, Side, State
from switch.ledger.book import REVERSED, month_start, usage_on
from switch.ledger.counting import NOTHING
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
# What a limit judges, and what counts towards it: a hold is judged, its capture counts.
JUDGED = {"earn": EARN, "redeem": REDEEM, "hold": REDEEM}
_COUNTED = {EARN: ("earn",), REDEEM: ("redeem", "capture")}
_SCOPES = {TERMINAL: Scope.TERMINAL, MERCHANT: Scope.ACCEPTOR, CASHIER: Scope.CASHIER}
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
) -> Outcome | None:
    """The decline of an earn, redemption or hold of so many points by these checks; None when they let it
    pass. sides: what deciding changed so far; earned: points that the money part of a split sale earns, which
    count for its card. Raises NotLoaded."""
    is_advice = request.mti[2] == "2"
    if not is_advice:
        if checks.double_swipe_ms and _is_again(state, request, member, checks.double_swipe_ms, now_ms):
            return _declined(DUPLICATE, REASON_DOUBLE_SWIPE, checks.double_swipe_ms // 1000, sides)
        if checks.unique_receipts and request.receipt and _is_used(state, request):
            return Outcome(DUPLICATE, {"04": REASON_RECEIPT}, sides=sides)
    for limit in checks.limits:
        units = points
        if limit.operation != JUDGED[request.operation]:
            if not earned or limit.scope != CARD:
                continue
            units = earned
        if is_advice and (limit.scope, limit.period) != (TERMINAL, DAY):
            continue
        more = {COUNT: 1, POINTS: units, AMOUNT: request.amount}[limit.measure]
        if more and _used(state, request, member, limit) + more > limit.most:
            code = TOO_MANY if limit.measure == COUNT else OUT_OF_RANGE
            return _declined(code, _REASONS[limit.scope, limit.period], limit.most, sides)
    return None


def _declined(code: str, reason: str, number: int, sides: tuple[Side, ...]) -> Outcome:
    return Outcome(code, {"04": reason, "05": f"{number:012d}"}, sides=sides)


# ---------------------------------------------------------------- limits


def _used(state: State, request: Request, member: Member, limit: Limit) -> int:
    """What of a limit is used up before this request."""
    today = date.fromisoformat(request.business_date)
    if limit.scope == CARD:
        usage = usage_on(member, today.toordinal())
        return int(getattr(usage, _USAGE[limit.period, limit.operation, limit.measure]))
    counts = (net(state, *name) for name in _counters(request, limit, today))
    place = {COUNT: 0, AMOUNT: 1, POINTS: 2}[limit.measure]
    return max(sum(count[place] for count in counts), 0)


def _counters(request: Request, limit: Limit, today: date) -> Iterable[Counter]:
    """What a limit adds up, but for a card's."""
    if limit.scope == CASHIER and not request.cashier:
        return ()  # nobody to count for
    holder = {
        TERMINAL: request.terminal,
        MERCHANT: request.acceptor,
        CASHIER: f"{request.acceptor}/{request.cashier}",
    }[limit.scope]
    days = [today] if limit.period == DAY else _month_until(today)
    return (
        Counter(_SCOPES[limit.scope], holder, day.isoformat(), operation)
        for day in days
        for operation in _COUNTED[limit.operation]
    )


def counters(request: Request, checks: Checks) -> list[Counter]:
    """What `check` will look at for this request, its card's usage left out."""
    judged = JUDGED.get(request.operation)
    if judged is None:
        return []
    today = date.fromisoformat(request.business_date)
    found = [
        counter
        for limit in checks.limits
        if limit.operation == judged and limit.scope != CARD
        for counter in _counters(request, limit, today)
    ]
    if checks.unique_receipts and request.receipt:
        found += (
            Counter(Scope.RECEIPT, request.acceptor, request.receipt, operation)
            for operation in (*_USES_RECEIPT, "void")
        )
    return found + [one._replace(operation=one.operation + REVERSED) for one in found]


def _month_until(day: date) -> Iterable[date]:
    ordinal = day.toordinal()
    return (day - timedelta(days=back) for back in range(ordinal - month_start(ordinal) + 1))


def net(state: State, scope: Scope, holder: str, period: str, operation: str) -> Count:
    """What was counted of an operation, less what was reversed of it in the same period. Raises NotLoaded."""
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
        entry = state.entry_of_id(entry_id) if entry_id >= oldest else None
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
