"""The rules of a program as versioned settings: what is earned and redeemed, when lots begin and end.

Pure. A version is in force from its first day until the next one's; what was earned under a version is
taken back under it. Amounts are rial, points whole, days ordinals of the business calendar (Asia/Tehran).
Months and years are those of the Jalali calendar.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from itertools import pairwise
from types import MappingProxyType

from terminal.text import jalali

NONE, ROLLING, SLIDING, CALENDAR = "none", "rolling", "sliding", "calendar"
EXPIRIES = (NONE, ROLLING, SLIDING, CALENDAR)
PROPORTIONAL, POINTS_FIRST, MONEY_FIRST = "proportional", "points_first", "money_first"
SPLIT_RETURNS = (PROPORTIONAL, POINTS_FIRST, MONEY_FIRST)
# What else than points a member may have; cash credit is counted in rial.
STAMPS, CASH, TICKETS = "stamps", "cash", "tickets"
OTHER_UNITS = (STAMPS, CASH, TICKETS)
CASH_PRICE = 1_000  # rial for 1 000: cash credit is worth what it says


NO_UNITS: Mapping[str, Rules] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Rules:
    """One version of a program's rules.

    points_per_step for every full rial_per_earned_point of a purchase of smallest_purchase or more, at most
    largest_award (0: no cap). rial_per_redeemed_point: the exchange ratio; redemptions are from
    smallest_redemption to largest_redemption points (0: no cap). price: rial per 1 000 points that the issuer
    pays and the fund holds. pending_days until an award can be spent. expiry: none; rolling, expiry_days or
    expiry_months after the purchase; sliding, expiry_days after the member's last activity; calendar, the end
    of the Jalali month expiry_months later, or with expiry_years of its year (1), of the next (2), … until
    Esfand. reopen_days: how long points that a refund gives back live when their lot is over (0: not at all).
    correction_price: as price, of points that a correction gives; the program pays it. split_return: what
    comes back first for goods of a sale that was paid in part with points.
    """

    number: int = 1
    starts: int = 1
    rial_per_earned_point: int = 10_000
    points_per_step: int = 1
    smallest_purchase: int = 0
    largest_award: int = 0
    rial_per_redeemed_point: int = 100
    smallest_redemption: int = 1
    largest_redemption: int = 0
    price: int = 100_000
    pending_days: int = 0
    expiry: str = NONE
    expiry_days: int = 0
    expiry_months: int = 0
    expiry_years: int = 0
    reopen_days: int = 30
    priority: int = 0
    correction_price: int = 100_000
    split_return: str = PROPORTIONAL

    def award(self, amount: int) -> int:
        """Points for a purchase of `amount` rial (not negative)."""
        if amount < self.smallest_purchase:
            return 0
        points = amount // self.rial_per_earned_point * self.points_per_step
        return min(points, self.largest_award) if self.largest_award else points

    def points_back(self, spent: int, ratio: int, whole: int, goods: int) -> int:
        """Of `spent` points that paid a part of a sale of `whole` rial, `ratio` rial each: how many have come
        back when goods of so many rial have. Rounded down, the rest is money."""
        if self.split_return == POINTS_FIRST:
            return min(goods // ratio, spent)
        if self.split_return == MONEY_FIRST:
            return max(goods - (whole - spent * ratio), 0) // ratio
        return spent * goods // whole

    def first_day(self, day: int) -> int:
        """The first day on which an award of `day` can be spent."""
        return day + self.pending_days

    def last_day(self, day: int) -> int | None:
        """The last day of an award of `day`: None when it has none; -n: n days after the last activity."""
        if self.expiry == NONE:
            return None
        if self.expiry == SLIDING:
            return -self.expiry_days
        if self.expiry == CALENDAR:
            return _calendar_end(day, self.expiry_months, self.expiry_years)
        return _months_later(day, self.expiry_months) + self.expiry_days


class Program:
    """All versions of a program's rules. Raises ValueError for none, a number twice, or days that don't
    rise.

    units: rules of OTHER_UNITS, which have no versions: of them only expiry, reopen_days, priority and
    correction_price count.
    """

    def __init__(self, versions: Sequence[Rules], units: Mapping[str, Rules] = NO_UNITS) -> None:
        self._units = units
        self._versions = tuple(versions)
        self._starts = [rules.starts for rules in versions]
        self._by_number = {rules.number: rules for rules in versions}
        numbers = [rules.number for rules in versions]
        if not versions:
            raise ValueError("a program has rules")
        if len(set(numbers)) < len(numbers):
            raise ValueError("each version has a number of its own")
        if any(a >= b for a, b in pairwise(self._starts)):
            raise ValueError("each version starts after the one before")

    def on(self, day: int) -> Rules:
        """The version in force on a day; before the first one's, the first."""
        place = bisect_right(self._starts, day)
        return self._versions[place - 1 if place else 0]

    def of_unit(self, unit: str, day: int) -> Rules:
        """The rules of points, or of one of OTHER_UNITS, on a day."""
        if unit not in OTHER_UNITS:
            return self.on(day)
        return self._units.get(unit) or Rules(correction_price=CASH_PRICE if unit == CASH else 0)

    def version(self, number: int) -> Rules:
        """The version with this number; the first one's rules for a number that there isn't."""
        return self._by_number.get(number, self._versions[0])


def _jalali(day: int) -> tuple[int, int, int]:
    gregorian = date.fromordinal(day)
    year, month, of_month = jalali(gregorian.year, gregorian.month, gregorian.day)
    return year, month, of_month


@lru_cache(maxsize=512)
def _next_month(day: int) -> int:
    """The first day of the Jalali month after that of `day`."""
    month = _jalali(day)[1]
    while _jalali(day)[1] == month:
        day += 1
    return day


@lru_cache(maxsize=512)
def _months_later(day: int, months: int) -> int:
    """The same day of a later Jalali month, or its last one when that is shorter (30 Esfand to 29)."""
    if not months:
        return day
    of_month = _jalali(day)[2]
    first = day - of_month + 1
    for _ in range(months):
        first = _next_month(first)
    return min(first + of_month - 1, _next_month(first) - 1)


@lru_cache(maxsize=512)
def _calendar_end(day: int, months: int, years: int) -> int:
    """The last day of the Jalali month `months` later; with years, of Esfand that many years later."""
    first = day - _jalali(day)[2] + 1
    for _ in range(months):
        first = _next_month(first)
    if years:
        year = _jalali(first)[0] + years - 1
        while _jalali(first)[0] <= year and _jalali(_next_month(first))[0] <= year:
            first = _next_month(first)
    return _next_month(first) - 1
