"""How often and how much: limits of a program, as its settings name them. Pure values; nothing is counted
here."""

from __future__ import annotations

from typing import NamedTuple

CARD, TERMINAL, MERCHANT, CASHIER = "card", "terminal", "merchant", "cashier"
DAY, MONTH = "day", "month"
EARN, REDEEM = "earn", "redeem"
COUNT, POINTS, AMOUNT = "count", "points", "amount"
SCOPES = (CARD, TERMINAL, MERCHANT, CASHIER)
PERIODS = (DAY, MONTH)
OPERATIONS = (EARN, REDEEM)
MEASURES = (COUNT, POINTS, AMOUNT)


class Limit(NamedTuple):
    """At most `most` of a measure (transactions, points, rial of DE 4), for each card, terminal, merchant or
    cashier, in a business day or a Jalali month. A card's rial isn't counted."""

    scope: str
    period: str
    operation: str
    measure: str
    most: int


class Checks(NamedTuple):
    """What is looked at before an earn or a redemption is approved. double_swipe_ms: the same card, amount
    and terminal within it needs a confirmation, 0: never; unique_receipts: a merchant's till receipt is used
    once."""

    limits: tuple[Limit, ...] = ()
    double_swipe_ms: int = 0
    unique_receipts: bool = False


NO_CHECKS = Checks()
