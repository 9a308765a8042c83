"""A switch whose ledger was last written to long ago, by its own account. `python -m
tests.server.late_switch` takes the arguments of `vafa`."""

from __future__ import annotations

from switch.server import pipeline
from switch.server.business_day import BusinessDay
from tools.cli import main


def _of_long_ago(newest: str, *now: object) -> BusinessDay:
    return BusinessDay(newest or "2020-02-02", *now)  # type: ignore[arg-type]


if __name__ == "__main__":
    pipeline.BusinessDay = _of_long_ago  # type: ignore[assignment,misc]
    main()
