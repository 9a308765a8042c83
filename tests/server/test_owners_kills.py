"""A short campaign against two owners of one ledger. The full one: `simulators.campaigns.owners_kills`."""

from __future__ import annotations

import asyncio
from pathlib import Path

from simulators.campaigns.owners_kills import Harm, run
from tests.ledger.conftest import shared_server


def test_receipts_fit_the_ledger_though_owners_are_killed_and_stand_still(tmp_path: Path) -> None:
    server = shared_server()
    url = server.schema("owners_kills")
    harms = (Harm.KILLED, Harm.FROZEN)
    summary = asyncio.run(run(tmp_path, server, url, 1_000, harms, seed=3, terminals=4))
    assert summary.problems == []
    assert summary.kills == len(harms)
    assert summary.approved > 100
