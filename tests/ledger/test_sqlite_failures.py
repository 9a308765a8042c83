"""What goes wrong with a file or a disk is told plainly, loses nothing and, once mended, is over."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw
import pytest

from switch.ledger import EntryLoad, IdentifierLoad, LedgerUnavailable, MemberLoad, State
from switch.ledger import sqlite as sqlite_engine
from switch.ledger.sqlite import SqliteEngine
from switch.ledger.verify import verify
from tests.ledger.book import SEAL_KEY, Book, Request, identifier_of

ACTIVATE = Request("activate", 1, card=1)
EARN = Request("earn", 2, card=1, points=250)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


@pytest.fixture
def sqlite_book(path: Path) -> Iterator[Book]:
    book = Book(lambda: SqliteEngine(path, SEAL_KEY))
    yield book
    book.engine.close()


def book_until_refused(book: Book, committed: list[Request]) -> None:
    for number in range(2, 2000):
        request = Request("earn", number, card=1, points=1)
        book.book(request)
        committed.append(request)


@contextmanager
def no_file_larger_than(limit_bytes: int) -> Iterator[None]:
    """Writes beyond the limit fail (EFBIG; Python ignores the signal): a disk that takes no more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_an_older_sqlite_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apsw, "sqlite_lib_version", lambda: "3.51.2")
    with pytest.raises(
        LedgerUnavailable, match=r"SQLite 3\.51\.2 can corrupt a ledger; install apsw 3\.51\.3"
    ):
        SqliteEngine(path, SEAL_KEY)
    assert not path.exists()


def test_a_new_ledger_is_readable_by_its_owner_only(path: Path) -> None:
    engine = SqliteEngine(path, SEAL_KEY)
    modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
    engine.close()
    assert set(modes.values()) == {0o600}


def test_a_missing_directory_is_told(tmp_path: Path) -> None:
    with pytest.raises(LedgerUnavailable, match=r"can't be opened \(No such file or directory\)"):
        SqliteEngine(tmp_path / "nowhere" / "ledger.sqlite", SEAL_KEY)


def test_what_is_no_database_is_left_alone(path: Path) -> None:
    path.write_bytes(b"these are not the pages you are looking for" * 100)
    before = path.read_bytes()
    with pytest.raises(LedgerUnavailable, match="is not a ledger"):
        SqliteEngine(path, SEAL_KEY)
    assert path.read_bytes() == before


def test_another_programs_database_is_left_alone(path: Path) -> None:
    connection = apsw.Connection(str(path))
    connection.execute("CREATE TABLE cats (name TEXT)")
    with pytest.raises(LedgerUnavailable, match="another program's database"):
        SqliteEngine(path, SEAL_KEY)
    assert connection.execute("SELECT name FROM sqlite_schema").fetchall() == [("cats",)]


def test_another_seal_key_is_refused(path: Path) -> None:
    SqliteEngine(path, SEAL_KEY).close()
    with pytest.raises(LedgerUnavailable, match=r"the seal key doesn't fit .* check keys\.seal"):
        SqliteEngine(path, bytes(32))


def test_a_short_seal_key_is_refused(path: Path) -> None:
    with pytest.raises(ValueError, match="at least 32 bytes"):
        SqliteEngine(path, b"short")


def test_a_newer_schema_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_engine, "SCHEMA_VERSION", 999)
    SqliteEngine(path, SEAL_KEY).close()
    monkeypatch.undo()
    with pytest.raises(LedgerUnavailable, match="schema version 999, this program knows 3"):
        SqliteEngine(path, SEAL_KEY)


def test_a_locked_ledger_refuses_and_goes_on_when_it_is_free(sqlite_book: Book, path: Path) -> None:
    sqlite_book.book(ACTIVATE)
    other = apsw.Connection(str(path))
    other.execute("BEGIN IMMEDIATE")
    entry = sqlite_book.send(EARN)
    with pytest.raises(LedgerUnavailable, match="is locked by another process"):
        sqlite_book.engine.commit([entry], sqlite_book.epoch)
    other.execute("ROLLBACK")
    sqlite_book.engine.commit([entry], sqlite_book.epoch)
    assert sqlite_book.engine.load(EntryLoad(EARN.identity)) == entry


def test_a_full_disk_refuses_loses_nothing_and_goes_on_when_it_has_room(
    sqlite_book: Book, path: Path
) -> None:
    sqlite_book.book(ACTIVATE)
    committed = [ACTIVATE]
    log = path.with_name("ledger.sqlite-wal")
    with no_file_larger_than(log.stat().st_size + 200_000), pytest.raises(LedgerUnavailable, match="disk"):
        book_until_refused(sqlite_book, committed)
    assert len(committed) > 2
    engine = sqlite_book.engine
    engine.rollback()
    sqlite_book.state = State(engine.start())
    assert all(engine.load(EntryLoad(request.identity)) for request in committed)
    assert sqlite_book.balance(1) == len(committed) - 1
    sqlite_book.book(Request("earn", 5000, card=1, points=1))
    assert sqlite_book.balance(1) == len(committed)
    assert verify(path, SEAL_KEY).problems == []


def test_a_damaged_page_is_told_and_not_read_past(sqlite_book: Book, path: Path) -> None:
    sqlite_book.book(ACTIVATE, *(Request("earn", number, card=1, points=1) for number in range(2, 500)))
    sqlite_book.engine.close()
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xa5" * (len(data) - 4096)
    path.write_bytes(data)
    with pytest.raises(LedgerUnavailable, match="is damaged; stop the switch"):
        SqliteEngine(path, SEAL_KEY)
    assert "is damaged" in str(verify(path, SEAL_KEY).problems[0])


@pytest.mark.parametrize(
    ("statement", "load", "words"),
    [
        ("UPDATE directory SET member = member + 1", IdentifierLoad(identifier_of(1)), "directory row"),
        ("DELETE FROM member", MemberLoad((37 << 40) + 1), "is missing"),
        ("UPDATE posting SET amount = 1", EntryLoad(EARN.identity), "was changed"),
        ("UPDATE transfer SET kind = 99", EntryLoad(EARN.identity), "was changed"),
        ("UPDATE entry SET terminal = CAST(x'ff' AS TEXT)", EntryLoad(EARN.identity), "was changed"),
        ("UPDATE member SET status = 99", MemberLoad((37 << 40) + 1), "was changed"),
        ("DROP TABLE member", MemberLoad((37 << 40) + 1), "is not as this program made it"),
    ],
    ids=["directory", "member", "posting", "transfer", "text", "status", "table"],
)
def test_a_row_that_was_tampered_with_is_not_acted_on(
    sqlite_book: Book,
    path: Path,
    statement: str,
    load: IdentifierLoad | MemberLoad | EntryLoad,
    words: str,
) -> None:
    sqlite_book.book(ACTIVATE, EARN)
    apsw.Connection(str(path)).execute(statement)
    with pytest.raises(LedgerUnavailable, match=f"{words}.*run `vafa ledger verify`"):
        sqlite_book.engine.load(load)


@pytest.mark.parametrize("table", ["owner", "bucket_head"])
def test_a_missing_row_that_writing_needs_is_told(sqlite_book: Book, path: Path, table: str) -> None:
    sqlite_book.book(ACTIVATE)
    sqlite_book.engine.rollback()  # what memory held of it is read again
    apsw.Connection(str(path)).execute(f"DELETE FROM {table}")
    with pytest.raises(LedgerUnavailable, match=r"run `vafa ledger verify`"):
        sqlite_book.engine.stage([sqlite_book.send(EARN)], sqlite_book.epoch)


@pytest.mark.parametrize("paced", [True, False], ids=["paced", "by the writer"])
def test_the_write_ahead_log_starts_over(path: Path, paced: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = SqliteEngine(path, SEAL_KEY)
    book = Book(lambda: engine)
    monkeypatch.setattr(sqlite_engine, "CHECKPOINT_PAGES", 50)
    monkeypatch.setattr(sqlite_engine, "LONGEST_LOG_PAGES", 10_000 if paced else 100)
    log = path.with_name("ledger.sqlite-wal")
    book.book(ACTIVATE)
    number, longest = 2, 0
    for _ in range(300):
        book.book(*(Request("earn", number + more, card=1, points=1) for more in range(10)))
        number += 10
        if paced and engine.checkpoint_due:
            engine.checkpoint()
        longest = max(longest, log.stat().st_size)
    engine.close()
    assert longest < 300 * 4200
    assert os.path.getsize(path) > longest
