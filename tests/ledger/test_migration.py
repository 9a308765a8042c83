"""A ledger of the first schema is brought forward when it is opened, and all its seals still fit."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest

from switch.ledger import LedgerUnavailable
from switch.ledger.schema import VERSIONS
from switch.ledger.seal import Sealer
from switch.ledger.sqlite import SqliteEngine
from switch.ledger.verify import verify
from tests.ledger.book import SEAL_KEY, Book, Request

# The tables of the first schema; entry's columns without what came later.
TABLES = ("transfer", "posting", "side", "account", "member", "directory", "reversed", "bucket_head", "owner")
ENTRY_COLUMNS = (
    "id, bucket, sequence, identity, fingerprint, terminal, acceptor, business_date, decided_ms, member,"
    " response_code, answer, seal"
)


def write_first_schema(path: Path) -> None:
    """A ledger as the first version wrote it: its tables, entries without marks."""
    newer = path.with_suffix(".newer")
    book = Book(lambda: SqliteEngine(newer, SEAL_KEY))
    book.unmarked = True
    for card in (1, 2, 3):
        book.book(Request("activate", card, card), Request("earn", card + 10, card, points=card))
    book.book(Request("reverse", 20, 1, original=Request("earn", 11, 1).identity))
    book.engine.close()
    connection = apsw.Connection(str(path))
    connection.execute(VERSIONS[0])
    connection.execute("ATTACH ? AS newer", (str(newer),))
    connection.execute(f"INSERT INTO entry SELECT {ENTRY_COLUMNS} FROM newer.entry")
    for table in TABLES:
        connection.execute(f"INSERT INTO {table} SELECT * FROM newer.{table}")
    connection.execute("INSERT INTO meta SELECT * FROM newer.meta WHERE name != 'schema'")
    row = ("schema", "1")
    connection.execute("INSERT INTO meta VALUES (?,?,?)", (*row, Sealer(SEAL_KEY).row("meta", row)))
    connection.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_first_schema(tmp_path / "ledger.sqlite")
    return tmp_path / "ledger.sqlite"


def test_an_older_ledger_is_brought_forward_and_verified(path: Path) -> None:
    book = Book(lambda: SqliteEngine(path, SEAL_KEY))
    assert [book.balance(card) for card in (1, 2, 3)] == [0, 2, 3]
    assert book.engine.start().key_marks == {}
    (marked,) = book.book(Request("earn", 30, 2, points=5))
    assert book.engine.start().key_marks == {marked.key_serial[:8]: 30}
    book.engine.close()
    report = verify(path, SEAL_KEY)
    assert report.problems == []
    assert report.entries == 8


def test_an_older_entry_that_was_changed_is_still_found(path: Path) -> None:
    SqliteEngine(path, SEAL_KEY).close()
    connection = apsw.Connection(str(path))
    connection.execute("UPDATE entry SET request_mac = x'00' WHERE sequence = 1")
    connection.close()
    assert verify(path, SEAL_KEY).found


def test_a_mark_cannot_be_taken_out_of_an_entry(path: Path) -> None:
    book = Book(lambda: SqliteEngine(path, SEAL_KEY))
    book.book(Request("earn", 30, 2, points=5))
    book.engine.close()
    connection = apsw.Connection(str(path))
    connection.execute("UPDATE entry SET key_serial = x'', request_mac = x'' WHERE key_serial != x''")
    connection.execute("DELETE FROM key_mark")
    connection.close()
    assert any("seal does not match" in str(problem) for problem in verify(path, SEAL_KEY).problems)


def test_verify_says_what_to_do_with_an_older_ledger(path: Path) -> None:
    with pytest.raises(LedgerUnavailable, match="start the switch once"):
        verify(path, SEAL_KEY)
