"""A switch with a planted defect: an assertion that fails for one amount. `python -m
tests.server.planted_switch` takes the arguments of `vafa`."""

from __future__ import annotations

from typing import Any

from switch.authorizer import Authorizer, Request
from switch.ledger.sqlite import SqliteEngine
from tools.cli import main

POISON_WHEN_DECIDED = 66_660_000
POISON_WHEN_STORED = 77_770_000


def plant() -> None:
    """Both defects."""
    decide, stage = Authorizer.decide, SqliteEngine.stage

    def planted_decide(self: Authorizer, state: Any, request: Request, *rest: Any) -> Any:
        assert request.amount != POISON_WHEN_DECIDED, "planted"
        return decide(self, state, request, *rest)

    def planted_stage(self: SqliteEngine, batch: Any, epoch: int) -> None:
        stage(self, batch, epoch)
        assert all(entry.amount != POISON_WHEN_STORED for entry in batch.entries), "planted"

    Authorizer.decide = planted_decide  # type: ignore[method-assign]
    SqliteEngine.stage = planted_stage  # type: ignore[method-assign]


if __name__ == "__main__":
    plant()
    main()
