"""The switch's clock: the one place that asks the machine for the time. Everything else is handed the
time."""

from __future__ import annotations

import time
from datetime import datetime
from zoneinfo import ZoneInfo

BUSINESS_ZONE = ZoneInfo("Asia/Tehran")


class SystemClock:
    """Wall time for records and business dates; monotonic time for timeouts."""

    def __init__(self) -> None:
        self._second = -1
        self._local = datetime.now(BUSINESS_ZONE)

    def now_ms(self) -> int:
        """Milliseconds since 1970, UTC."""
        return time.time_ns() // 1_000_000

    def local(self) -> datetime:
        """Local date and time in Asia/Tehran, to the second (conversions are cached for the second)."""
        second = int(time.time())
        if second != self._second:
            self._second, self._local = second, datetime.fromtimestamp(second, BUSINESS_ZONE)
        return self._local

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; never steps back."""
        return time.monotonic()
