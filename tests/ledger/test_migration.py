"""Ledgers of other schema versions: of before the first release refused, older ones brought forward."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest

from switch.ledger import EntryLoad, LedgerUnavailable
from switch.ledger import sqlite as sqlite_engine
from switch.ledger.schema import FIRST_VERSION, SCHEMA_VERSION, VERSIONS
from switch.ledger.seal import Sealer
from switch.ledger.sqlite import SqliteEngine
from tests.ledger.book import SEAL_KEY, Book, Request, stored

ACTIVATE, EARN = Request("activate", 1, 1), Request("earn", 2, 1, points=7)
NEXT = SCHEMA_VERSION + 1
ADDED = """
ALTER TABLE member ADD COLUMN note TEXT NOT NULL DEFAULT '';
CREATE TABLE novelty (id INTEGER PRIMARY KEY) STRICT;
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


def write_version(path: Path, version: int) -> None:
    """Make a ledger say that it is of another version, under a good seal."""
    row = ("schema", str(version))
    connection = apsw.Connection(str(path))
    connection.execute("REPLACE INTO meta VALUES (?,?,?)", (*row, Sealer(SEAL_KEY).row("meta", row)))
    connection.close()


def version_of(path: Path) -> str:
    return str(apsw.Connection(str(path)).execute("SELECT value FROM meta WHERE name = 'schema'").get)


def tables_of(path: Path) -> list[tuple[str, str]]:
    rows = apsw.Connection(str(path)).execute("SELECT name, sql FROM sqlite_schema ORDER BY name")
    return [(name, sql) for name, sql in rows]


def test_every_version_since_the_first_has_its_statements() -> None:
    assert list(VERSIONS) == list(range(FIRST_VERSION, SCHEMA_VERSION + 1))


@pytest.mark.parametrize("version", range(1, FIRST_VERSION))
def test_a_ledger_of_before_the_first_release_is_left_alone(path: Path, version: int) -> None:
    SqliteEngine(path, SEAL_KEY).close()
    write_version(path, version)
    with pytest.raises(LedgerUnavailable) as raised:
        SqliteEngine(path, SEAL_KEY)
    text = f"{path}: schema version {version} is of before the first release and can't be brought forward;"
    assert str(raised.value).startswith(text)
    assert "empty data directory" in str(raised.value)
    assert version_of(path) == str(version)


def with_a_next_version(monkeypatch: pytest.MonkeyPatch, statements: str = ADDED) -> None:
    monkeypatch.setitem(VERSIONS, NEXT, statements)
    monkeypatch.setattr(sqlite_engine, "SCHEMA_VERSION", NEXT)


def test_an_older_ledger_is_brought_forward(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    book = Book(lambda: SqliteEngine(path, SEAL_KEY))
    entries = book.book(ACTIVATE, EARN)
    heads = book.engine.heads()
    book.engine.close()
    with_a_next_version(monkeypatch)
    monkeypatch.setattr(sqlite_engine, "_ADD_MEMBER", sqlite_engine._ADD_MEMBER.replace("?)", "?,'')"))
    for _ in range(2):
        book.restart()
        assert version_of(path) == str(NEXT)
        assert book.engine.heads() == heads
        assert [book.engine.load(EntryLoad(entry.identity)) for entry in entries] == list(
            map(stored, entries)
        )
    book.book(Request("activate", 3, 2), Request("earn", 4, 1, points=1))
    assert book.balance(1) == 8
    book.engine.close()
    newer = path.with_name("new.sqlite")
    SqliteEngine(newer, SEAL_KEY).close()
    assert tables_of(newer) == tables_of(path)


def test_a_step_that_fails_changes_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    SqliteEngine(path, SEAL_KEY).close()
    before = tables_of(path)
    with monkeypatch.context() as patched:
        with_a_next_version(patched, ADDED + "CREATE TABLE entry (id INTEGER);")
        with pytest.raises(LedgerUnavailable, match="is not as this program made it"):
            SqliteEngine(path, SEAL_KEY)
    assert tables_of(path) == before
    SqliteEngine(path, SEAL_KEY).close()
