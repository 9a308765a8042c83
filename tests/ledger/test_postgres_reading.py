"""Verification of a PostgreSQL ledger: a right one is right with any owners, every edited table is told."""

from __future__ import annotations

import random
from pathlib import Path

import psycopg
import pytest

from switch.ledger.migrate import migrate
from switch.ledger.postgres import PostgresEngine
from switch.ledger.postgres_reading import PostgresStore
from switch.ledger.sqlite import SqliteEngine
from switch.ledger.verify import verify, verify_member
from tests.ledger.book import SEAL_KEY, Book, Request, bucket_of_card
from tests.ledger.conftest import schema_url
from tests.ledger.files import KEYS
from tests.ledger.test_engine import random_request
from tests.ledger.test_verify import flipped


def played(book: Book, cards: list[int], seed: int = 5) -> None:
    """A bit of everything on these cards."""
    chooser = random.Random(seed)
    sent = [Request("activate", 1_000 * seed + card, card) for card in cards]
    book.book(*sent)
    for number in range(200):
        sent.append(random_request(chooser, 1_000 * seed + 500 + number, sent[-100:]))
        book.send(sent[-1])
        if number % 20 == 0:
            book.commit()
    book.commit()
    book.stage({b"initial%d" % seed: 7})
    book.engine.sync()
    book.state.committed()


@pytest.fixture
def url(tmp_path: Path) -> str:
    return schema_url(tmp_path)


@pytest.fixture
def store(url: str) -> PostgresStore:
    book = Book(lambda: PostgresEngine(url, SEAL_KEY))
    played(book, list(range(1, 12)))
    book.engine.close()
    return PostgresStore(url)


def test_a_right_ledger_is_right(store: PostgresStore) -> None:
    report = verify(store, SEAL_KEY)
    assert report.problems == []
    assert report.members == 11
    assert report.entries > 200


def test_it_is_right_in_several_processes(store: PostgresStore) -> None:
    assert verify(store, SEAL_KEY, processes=2, members_at_once=3).problems == []


def test_a_moved_ledger_is_right(url: str, tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    book = Book(lambda: SqliteEngine(path, SEAL_KEY))
    played(book, list(range(1, 12)))
    before = verify(path, SEAL_KEY)
    member = book.member(3).id
    book.engine.close()
    migrate(path, url, SEAL_KEY, finish=True)
    assert verify(PostgresStore(url), SEAL_KEY) == before
    assert verify_member(PostgresStore(url), SEAL_KEY, member).problems == []


def test_a_ledger_of_several_owners_is_right(url: str) -> None:
    for seed, buckets in ((1, (0, 99)), (2, (100, 255)), (3, (0, 255)), (4, (200, 220))):
        engine = PostgresEngine(url, SEAL_KEY)
        book = Book(lambda engine=engine: engine)  # type: ignore[misc]
        book.epoch = engine.claim("test", *buckets)
        book.forget()
        cards = [card for card in range(1, 120) if buckets[0] <= bucket_of_card(card) <= buckets[1]]
        played(book, [card for card in cards if not book.knows(card)][:9], seed)
        engine.close()
    assert verify(PostgresStore(url), SEAL_KEY).problems == []


EDITS = (
    ("entry", "UPDATE entry SET amount = amount + 1 WHERE id = (SELECT min(id) FROM entry)"),
    ("bucket_head", "DELETE FROM entry WHERE id = (SELECT max(id) FROM entry)"),
    ("entry", "UPDATE entry SET bucket = 300 WHERE id = (SELECT min(id) FROM entry)"),
    ("member", "UPDATE member SET body = set_byte(body, 8, 99) WHERE id = (SELECT min(id) FROM member)"),
    ("member", "DELETE FROM member WHERE id = (SELECT min(id) FROM member)"),
    ("account", "UPDATE account SET balance = balance + 1 WHERE kind = 2"),
    ("account", "UPDATE account SET bucket = 9 WHERE kind = 2"),
    ("counter", "UPDATE counter SET entries = entries + 1 WHERE scope = 1"),
    ("reversed", "DELETE FROM reversed"),
    ("followed", "UPDATE followed SET units = units + 1"),
    ("hold", "DELETE FROM hold"),
    ("directory", "UPDATE directory SET masked = 'x'"),
    ("directory", "DELETE FROM directory WHERE identifier = (SELECT identifier FROM directory LIMIT 1)"),
    ("bucket_head", "UPDATE bucket_head SET sequence = sequence + 1 WHERE bucket = 37"),
    ("key_mark", "UPDATE key_mark SET counter = counter + 1"),
    ("answered", "DELETE FROM answered"),
    ("answered", "UPDATE answered SET counter = 3"),
    ("owner", "UPDATE owner SET epoch = 1000"),
    ("owner", "UPDATE owner SET last_bucket = 254"),
    ("meta", "UPDATE meta SET value = '5:aa' WHERE name = 'checkpoint'"),
    ("meta", "DELETE FROM meta WHERE name = 'answered'"),
    ("database", "UPDATE member SET bucket = bucket + 1"),
    ("schema", "CREATE INDEX extra ON entry (bucket, member)"),
    ("schema", "ALTER TABLE hold ADD extra integer"),
    ("schema", "DROP INDEX hold_expires"),
    ("schema", "CREATE VIEW extra AS SELECT 1"),
)


@pytest.mark.parametrize(("table", "edit"), EDITS)
def test_an_edit_of_any_table_is_told(store: PostgresStore, table: str, edit: str) -> None:
    with psycopg.connect(store.url, autocommit=True) as connection:
        connection.execute(edit.encode())
    report = verify(store, SEAL_KEY)
    assert report.found
    assert table in {problem.table for problem in report.problems}


def test_any_changed_bit_of_any_value_is_told(store: PostgresStore) -> None:
    chooser = random.Random(6)
    with psycopg.connect(store.url, autocommit=True) as connection:
        for _ in range(12):
            table = chooser.choice(sorted(KEYS))
            found = connection.execute(f"SELECT ctid::text, * FROM {table}".encode())
            names = [column.name for column in found.description or ()]
            rows = found.fetchall()
            if not rows:
                continue
            row = chooser.choice(rows)
            place = chooser.randrange(1, len(row))
            if names[place] == "writer":
                continue  # which session writes: it says nothing of what is in the ledger
            value = row[place]
            changed = value ^ 1 if isinstance(value, int) else flipped(value, chooser)
            if isinstance(value, str):
                changed = value[:-1] + chr(ord(value[-1]) ^ 1) if value else "x"
            statement = (
                f"UPDATE {table} SET {names[place]} = %s WHERE ctid = %s RETURNING ctid::text".encode()
            )
            try:
                now = connection.execute(statement, (changed, row[0])).fetchone()
            except psycopg.errors.UniqueViolation:
                continue  # another row has that key
            assert now is not None
            problems = verify(store, SEAL_KEY).problems
            told = {problem.table for problem in problems}
            is_told = table in told or (names[place] == "bucket" and "database" in told)
            assert is_told, (table, names[place], row, problems)
            connection.execute(statement, (value, now[0]))
    assert verify(store, SEAL_KEY).problems == []


def test_a_store_tells_no_password() -> None:
    assert "secret" not in repr(PostgresStore("postgresql://vafa:secret@host/ledger"))
    assert PostgresStore("postgresql://vafa:secret@host/ledger").name == "PostgreSQL host:5432/ledger"
