"""The switch's clock: the one place that asks the machine for the time. Everything else is handed the
time."""

from __future__ import annotations

import time
from datetime import datetime
from zoneinfo import ZoneInfo

BUSINESS_ZONE = ZoneInfo("Asia/Tehran")


# A wall clock that was set is followed by one part in so many: a minute in under two hours. Holds and
# one-time codes then end when they should, give or take a hundredth.
_FOLLOWING = 100


class SystemClock:
    """Wall time for business dates; monotonic time for timeouts; between them the time that entries have."""

    def __init__(self) -> None:
        self._second = -1
        self._local = datetime.now(BUSINESS_ZONE)
        self._steady_ns = time.time_ns()
        self._monotonic_ns = time.monotonic_ns()

    def now_ms(self) -> int:
        """Milliseconds since 1970, UTC. Never leaps and never goes back: at the start the wall clock, from
        then on monotonic time that slowly follows it."""
        monotonic_ns = time.monotonic_ns()
        elapsed_ns = monotonic_ns - self._monotonic_ns
        most_ns = elapsed_ns // _FOLLOWING
        self._monotonic_ns = monotonic_ns
        self._steady_ns += elapsed_ns
        self._steady_ns += max(-most_ns, min(time.time_ns() - self._steady_ns, most_ns))
        return self._steady_ns // 1_000_000

    def local(self) -> datetime:
        """Local date and time in Asia/Tehran, to the second (conversions are cached for the second)."""
        second = int(time.time())
        if second != self._second:
            self._second, self._local = second, datetime.fromtimestamp(second, BUSINESS_ZONE)
        return self._local

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; never steps back."""
        return time.monotonic()
