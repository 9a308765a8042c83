"""Power cuts: a short, seeded version of the campaign, and that the campaign has teeth."""

from __future__ import annotations

from pathlib import Path

import pytest

from simulators.campaigns import power_cuts
from simulators.campaigns.disk import recorded
from switch.ledger import EntryLoad, NotSynced
from switch.ledger.sqlite import SqliteEngine
from tests.ledger.book import SEAL_KEY, Book, Request

CUTS = 1_200


def test_no_power_cut_loses_what_was_told_or_leaves_half_of_anything() -> None:
    result = power_cuts.run(CUTS, seed=1, processes=1)
    assert result.problems == []
    assert result.cuts == CUTS
    assert len(result.damages) == 6
    assert result.under_way > 0
    assert result.deep > 0


def test_what_is_planted_and_not_shown_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(power_cuts, "PLANTED", {"HARMLESS": power_cuts.production})
    monkeypatch.setattr(power_cuts, "PLANTED_STORIES", 1)
    assert power_cuts.teeth() == ["HARMLESS was planted and nothing shows it"]


def test_after_a_failed_sync_nothing_more_is_written_and_a_new_process_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    log = path.with_name("ledger.sqlite-wal")
    first, second = Request("activate", 1, card=1), Request("earn", 2, card=1, points=5)
    with recorded(tmp_path) as tape:
        book = Book(lambda: SqliteEngine(path, SEAL_KEY))
        book.book(first)
        book.send(second)
        tape.failing_sync = log.name
        with pytest.raises(NotSynced, match=r"failed to make durable.*start again"):
            book.commit()
        book.engine.rollback()
        book.forget()
        book.send(second)
        with pytest.raises(NotSynced, match="start again"):
            book.stage()
        with pytest.raises(NotSynced, match="start again"):
            book.engine.claim("test")
        book.engine.close()
        assert log.exists(), "the log is all that has what the database lost"
        book.open()
        book.book(second)
        assert book.balance(1) == 5
        assert all(book.engine.load(EntryLoad(request.identity)) for request in (first, second))
        book.engine.close()


def test_a_log_that_was_not_copied_durably_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with recorded(tmp_path) as tape:
        engine = SqliteEngine(path, SEAL_KEY)
        Book(lambda: engine).book(Request("activate", 1, card=1))
        tape.failing_sync = path.name
        for _ in range(2):
            with pytest.raises(NotSynced):
                engine.checkpoint()
        assert not engine.checkpoint_due
        engine.close()
    assert path.with_name("ledger.sqlite-wal").exists()
