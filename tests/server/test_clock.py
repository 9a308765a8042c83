"""The switch's clock: business days are those of Tehran, whatever zone the machine is in."""

from __future__ import annotations

import time
from datetime import date

import pytest

from switch.server.clock import SystemClock

MIDNIGHT_IN_TEHRAN_S = 1_772_310_600  # 2026-02-28 20:30 UTC


@pytest.mark.parametrize(("second", "day"), [(-1, date(2026, 2, 28)), (0, date(2026, 3, 1))])
def test_a_day_begins_at_midnight_in_tehran(second: int, day: date, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: float(MIDNIGHT_IN_TEHRAN_S + second))
    assert SystemClock().local().date() == day
