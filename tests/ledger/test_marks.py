"""How far a terminal's counters have come, read beside the switch."""

from __future__ import annotations

from pathlib import Path

import pytest

from switch.ledger import LedgerUnavailable
from switch.ledger.marks import last_counter
from switch.ledger.sqlite import SqliteEngine
from tests.ledger.book import SEAL_KEY, Book, Request

FIRST, SECOND = Request("activate", 70_000, 1), Request("activate", 9, 2)


def test_the_highest_counter_of_each_initial_key_also_while_the_ledger_is_open(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    assert last_counter(path, FIRST.serial[:8]) == 0
    assert not path.exists()
    book = Book(lambda: SqliteEngine(path, SEAL_KEY))
    book.book(FIRST, SECOND)
    assert last_counter(path, FIRST.serial[:8]) == 70_000
    assert last_counter(path, SECOND.serial[:8]) == 9
    assert last_counter(path, bytes(8)) == 0
    book.engine.close()


def test_answers_without_an_entry_count_too(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    book = Book(lambda: SqliteEngine(path, SEAL_KEY))
    book.send(SECOND)
    book.stage({SECOND.serial[:8]: 80_000, bytes(8): 5})
    book.engine.sync()
    assert last_counter(path, SECOND.serial[:8]) == 80_000
    assert last_counter(path, bytes(8)) == 5
    book.engine.close()


def test_a_file_that_a_switch_has_only_begun_to_make_has_none(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    path.touch()
    assert last_counter(path, bytes(8)) == 0


def test_what_is_no_ledger_is_told(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(b"no ledger at all" * 300)
    with pytest.raises(LedgerUnavailable, match="ledger"):
        last_counter(path, bytes(8))
