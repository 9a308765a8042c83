"""A switch two days ahead that kills itself at a chosen commit. `python -m tests.server.tomorrow_switch`
takes the arguments of `vafa`. KILLED_AT: "before 3" or "after 3", the third commit."""

from __future__ import annotations

import os
import signal
from datetime import datetime, timedelta

from switch.ledger.sqlite import SqliteEngine
from switch.server.clock import SystemClock
from tools.cli import main

DAYS = 2


def plant(killed_at: str) -> None:
    """Put the clock ahead, and the end into the commits."""
    local, sync = SystemClock.local, SqliteEngine.sync
    when, _, number = killed_at.partition(" ")
    commits = iter(range(1, 1_000_000))

    def planted_local(self: SystemClock) -> datetime:
        return local(self) + timedelta(days=DAYS)

    def planted_sync(self: SqliteEngine) -> None:
        is_last = next(commits) == int(number or 0)
        if is_last and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        sync(self)
        if is_last:
            os.kill(os.getpid(), signal.SIGKILL)

    SystemClock.local = planted_local  # type: ignore[method-assign]
    SqliteEngine.sync = planted_sync  # type: ignore[method-assign]


if __name__ == "__main__":
    plant(os.environ.get("KILLED_AT", ""))
    main()
