"""A ledger moves from SQLite to PostgreSQL as it is, beside a running switch, whatever stops it."""

from __future__ import annotations

import random
from pathlib import Path

import apsw
import psycopg
import pytest

import switch.ledger.migrate as migrating
from switch.ledger import EntryLoad, FencedError, LedgerUnavailable, MemberLoad
from switch.ledger.migrate import Migration, Moved, migrate
from switch.ledger.postgres import PostgresEngine
from switch.ledger.sqlite import SqliteEngine
from tests.ledger.book import SEAL_KEY, Book, Request, replayed, stored
from tests.ledger.conftest import schema_url
from tests.ledger.test_engine import random_request

CARDS = range(1, 40)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


@pytest.fixture
def url(tmp_path: Path) -> str:
    return schema_url(tmp_path)


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrating, "CHUNK", 50)


class Played:
    """A switch on a SQLite ledger, with a bit of everything."""

    def __init__(self, path: Path) -> None:
        self.book = Book(lambda: SqliteEngine(path, SEAL_KEY))
        self._chooser = random.Random(3)
        self.sent = [Request("activate", card, card) for card in CARDS]
        self.entries = self.book.book(*self.sent)

    def go_on(self, requests: int) -> None:
        for _ in range(requests):
            self.sent.append(random_request(self._chooser, len(self.sent) + 1, self.sent[-200:]))
            self.book.send(self.sent[-1])
        self.entries += self.book.commit()
        self.book.stage({b"initial1": len(self.sent)})
        self.book.engine.sync()
        self.book.state.committed()


def assert_same(played: Played, old: SqliteEngine, new: PostgresEngine) -> None:
    assert new.ledger == old.ledger
    assert new.heads() == old.heads()
    assert new.start() == old.start()
    identities = [EntryLoad(entry.identity) for entry in played.entries]
    assert new.load_many(identities) == list(map(stored, played.entries))
    members = sorted({entry.member for entry in played.entries if entry.member})
    loads = [MemberLoad(member) for member in members]
    assert new.load_many(loads) == old.load_many(loads)
    assert [replayed(new, member) for member in members] == old.load_many(loads)
    assert new.due_holds(2**60, 10_000) == old.due_holds(2**60, 10_000)


@pytest.mark.usefixtures("small_chunks")
def test_a_live_ledger_moves_and_goes_on(path: Path, url: str) -> None:
    played = Played(path)
    played.go_on(300)
    migration = Migration(path, url, SEAL_KEY)
    told: list[int] = []
    assert migration.copy_entries(told.append) == len(played.entries)
    assert told == sorted(told)
    assert told[-1] == len(played.entries)
    with pytest.raises(LedgerUnavailable, match="isn't finished; run `vafa ledger migrate` again"):
        PostgresEngine(url, SEAL_KEY)
    played.go_on(120)  # the switch runs on
    before = len(played.entries)
    played.go_on(80)
    moved = Migration(path, url, SEAL_KEY).finish()  # another process, later
    assert moved.entries == len(played.entries) > before
    assert moved.members == len(CARDS)
    assert not path.exists()
    played.book.send(Request("earn", 9_999, 1, points=1))
    with pytest.raises(FencedError):
        played.book.commit()
    played.book.engine.close()
    old = SqliteEngine(moved.kept, SEAL_KEY)
    new = PostgresEngine(url, SEAL_KEY)
    assert_same(played, old, new)
    old.close()
    again = Book(lambda: new)
    again.now_ms = played.book.now_ms
    (earn,) = again.book(Request("earn", 9_999, 1, points=1))[-1:]
    assert earn.response_code == "00"
    assert again.engine.load(EntryLoad(earn.identity)) == stored(earn)
    new.close()


def test_the_command_copies_or_finishes(path: Path, url: str) -> None:
    played = Played(path)
    played.book.engine.close()
    assert migrate(path, url, SEAL_KEY, finish=False) == len(played.entries)
    assert migrate(path, url, SEAL_KEY, finish=False) == 0
    moved = migrate(path, url, SEAL_KEY, finish=True)
    assert isinstance(moved, Moved)
    assert moved.kept.exists()
    assert migrate(path, url, SEAL_KEY, finish=True) == moved  # once more does no harm


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("statement", range(1, 40, 3))
def test_a_move_that_breaks_anywhere_can_be_finished(
    path: Path, url: str, monkeypatch: pytest.MonkeyPatch, statement: int
) -> None:
    played = Played(path)
    played.go_on(150)
    played.book.engine.close()
    real = migrating._insert
    left = statement

    def breaking(*arguments: object) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise psycopg.OperationalError("broken on purpose")
        real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(migrating, "_insert", breaking)
    broke = False
    try:
        migrate(path, url, SEAL_KEY, finish=True)
    except LedgerUnavailable:
        broke = True
    assert broke == (left <= 0)
    assert path.exists() == broke
    migrate(path, url, SEAL_KEY, finish=True)
    old = SqliteEngine(path.with_name(path.name + migrating.MOVED_SUFFIX), SEAL_KEY)
    new = PostgresEngine(url, SEAL_KEY)
    assert_same(played, old, new)
    old.close()
    new.close()


def test_a_move_that_breaks_after_the_renaming_is_finished(
    path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    played = Played(path)
    played.book.engine.close()
    rename = Migration._rename

    def renamed_and_lost(migration: Migration) -> None:
        rename(migration)
        raise psycopg.OperationalError("broken on purpose")

    monkeypatch.setattr(Migration, "_rename", renamed_and_lost)
    with pytest.raises(LedgerUnavailable):
        migrate(path, url, SEAL_KEY, finish=True)
    assert not path.exists()
    with pytest.raises(LedgerUnavailable, match="isn't finished"):
        PostgresEngine(url, SEAL_KEY)  # neither is a ledger now, never both
    monkeypatch.setattr(Migration, "_rename", rename)
    migrate(path, url, SEAL_KEY, finish=True)
    PostgresEngine(url, SEAL_KEY).close()


def test_an_edited_entry_is_not_moved(path: Path, url: str) -> None:
    played = Played(path)
    played.book.engine.close()
    entry = played.entries[20].id
    connection = apsw.Connection(str(path))
    connection.execute("UPDATE entry SET amount = amount + 1 WHERE id = ?", (entry,))
    connection.close()
    with pytest.raises(LedgerUnavailable, match=f"entry {entry} isn't as it was written"):
        migrate(path, url, SEAL_KEY, finish=True)
    assert path.exists()


def test_entries_that_were_cut_off_are_not_overlooked(path: Path, url: str) -> None:
    played = Played(path)
    played.book.engine.close()
    connection = apsw.Connection(str(path))
    connection.execute("DELETE FROM entry WHERE id = ?", (played.entries[-1].id,))
    connection.close()
    with pytest.raises(LedgerUnavailable, match="run `vafa ledger verify`"):
        migrate(path, url, SEAL_KEY, finish=True)
    assert path.exists()


def test_a_ledger_is_not_moved_onto_another(path: Path, url: str) -> None:
    Played(path).book.engine.close()
    PostgresEngine(url, SEAL_KEY).close()
    with pytest.raises(LedgerUnavailable, match="isn't empty, and no move of this ledger has begun there"):
        Migration(path, url, SEAL_KEY)
    assert path.exists()


def test_no_ledger_no_move(path: Path, url: str) -> None:
    with pytest.raises(LedgerUnavailable, match="there is no ledger to move"):
        Migration(path, url, SEAL_KEY)
