"""A switch whose wall clock is so many days ahead. `python -m tests.server.shifted_switch` takes the
arguments of `vafa`. DAYS_AHEAD: how many."""

from __future__ import annotations

import os
import time
from types import SimpleNamespace

from switch.server import clock
from tools.cli import main

DAY_S = 86_400


def shift(days: int) -> None:
    """Put the wall clock ahead; monotonic time stays."""
    clock.time = SimpleNamespace(  # type: ignore[assignment]
        time=lambda: time.time() + days * DAY_S,
        time_ns=lambda: time.time_ns() + days * DAY_S * 10**9,
        monotonic=time.monotonic,
        monotonic_ns=time.monotonic_ns,
    )


if __name__ == "__main__":
    shift(int(os.environ["DAYS_AHEAD"]))
    main()
