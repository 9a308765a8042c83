"""Which day the switch may book on: the clock's, as long as the clock can be believed.

A clock that leaps ahead would expire everybody's points at once, and no clock that is set back gives them
back. Pure: wall date, monotonic time and the ledger's newest date in, a verdict out. Going back needs nothing
here: entries keep the ledger's date.
"""

from __future__ import annotations

from datetime import date, timedelta

# The wall clock may be set ahead by so many days while the process runs: midnights and repairs.
LEAP_DAYS = 3
# A switch that was away longer than this, from its newest entry to its start, has its date confirmed.
ABSENCE_DAYS = 31
_DAY_S = 86_400


class BusinessDay:
    """Believes the clock's date, or not until somebody confirms it.

    newest: the ledger's business date, YYYY-MM-DD, or empty when nothing was booked yet.
    """

    def __init__(self, newest: str, today: date, monotonic_s: float) -> None:
        self.believed: date | None = None
        self._seen, self._seen_s = today, monotonic_s
        if not newest or today <= date.fromisoformat(newest) + timedelta(days=ABSENCE_DAYS):
            self.believed = today

    def is_believed(self, today: date, monotonic_s: float) -> bool:
        """Whether `today`, what the clock says now, may be booked on."""
        if today == self.believed:
            return True
        if self.believed is None:
            return False
        elapsed = timedelta(days=-(-(monotonic_s - self._seen_s) // _DAY_S))
        if today > self._seen + elapsed + timedelta(days=LEAP_DAYS):  # all leaps together, not each
            return False
        self.believed = today
        return True

    def confirm(self, confirmed: date, today: date, monotonic_s: float) -> bool:
        """Somebody says which day it is: believed when the clock says the same."""
        if confirmed != today:
            return False
        self.believed = self._seen = today
        self._seen_s = monotonic_s
        return True
