"""The ledgers that benchmarks are run on are ledgers: everything in them follows from their entries."""

from __future__ import annotations

from pathlib import Path

from benchmarks.ledger_building import build, card_of
from switch.authorizer.identity import card_identifier
from switch.defaults import create_defaults
from switch.ledger import IdentifierLoad
from switch.ledger.sqlite import SqliteEngine
from switch.ledger.verify import verify

MEMBERS, TRANSFERS = 60, 600


def test_what_is_built_for_benchmarks_verifies(tmp_path: Path) -> None:
    settings = create_defaults(tmp_path)
    three_alike = TRANSFERS // 3
    made = build(settings, MEMBERS, TRANSFERS, lambda _: None, three_alike)
    report = verify(settings.ledger_path, settings.seal_key)
    assert report.problems == []
    assert (report.entries, report.transfers, report.members) == (made.entries, made.transfers, MEMBERS)
    assert made.transfers >= TRANSFERS
    engine = SqliteEngine(settings.ledger_path, settings.seal_key)
    for number in range(MEMBERS):
        assert engine.load(IdentifierLoad(card_identifier(card_of(number).number, settings.directory_key)))
    engine.close()
