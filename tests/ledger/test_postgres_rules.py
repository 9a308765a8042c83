"""What lets the PostgreSQL ledger spread by bucket: catalogue and statements are held to the rules."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from switch.ledger import postgres_statements
from switch.ledger.postgres import PostgresEngine
from switch.ledger.postgres_schema import BUCKET_COLUMNS
from switch.ledger.postgres_statements import PARTS, batch_statement
from tests.ledger.book import SEAL_KEY
from tests.ledger.conftest import schema_url

Connection = psycopg.Connection[tuple[object, ...]]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Connection]:
    PostgresEngine(schema_url(tmp_path), SEAL_KEY).close()
    with psycopg.connect(schema_url(tmp_path), autocommit=True) as connection:
        yield connection


def test_bucket_leads_every_key_and_index(database: Connection) -> None:
    rows = database.execute(
        "SELECT c.relname, a.attname FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid"
        " JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0]"
        " WHERE c.relnamespace = current_schema()::regnamespace"
    ).fetchall()
    assert {table for table, _ in rows} == set(BUCKET_COLUMNS)
    assert all(BUCKET_COLUMNS[str(table)] == column for table, column in rows)


def test_every_table_has_a_primary_key_and_no_null(database: Connection) -> None:
    tables = database.execute(
        "SELECT c.relname FROM pg_class c WHERE c.relkind = 'r' AND c.relhasindex"
        " AND c.relnamespace = current_schema()::regnamespace"
        " AND EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary)"
    ).fetchall()
    assert {name for (name,) in tables} == set(BUCKET_COLUMNS)
    nullable = database.execute(
        "SELECT c.relname, a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
        " WHERE c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace"
        " AND a.attnum > 0 AND NOT a.attnotnull"
    ).fetchall()
    assert nullable == []


@pytest.mark.parametrize(
    ("what", "query"),
    [
        (
            "constraints other than keys",
            "SELECT conname FROM pg_constraint WHERE connamespace = current_schema()::regnamespace"
            " AND contype NOT IN ('p', 'u', 'n')",
        ),
        (
            "triggers",
            "SELECT tgname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid"
            " WHERE c.relnamespace = current_schema()::regnamespace",
        ),
        (
            "sequences, views and partitions",
            "SELECT relname FROM pg_class WHERE relkind NOT IN ('r', 'i', 't')"
            " AND relnamespace = current_schema()::regnamespace",
        ),
        (
            "defaults",
            "SELECT c.relname FROM pg_attrdef d JOIN pg_class c ON c.oid = d.adrelid"
            " WHERE c.relnamespace = current_schema()::regnamespace",
        ),
        (
            "functions",
            "SELECT proname FROM pg_proc WHERE pronamespace = current_schema()::regnamespace",
        ),
        (
            "rules",
            "SELECT rulename FROM pg_rules WHERE schemaname = current_schema()",
        ),
    ],
)
def test_nothing_reaches_over_buckets(database: Connection, what: str, query: str) -> None:
    assert database.execute(query.encode()).fetchall() == [], what


STATEMENTS = {
    **{
        name: value
        for name, value in vars(postgres_statements).items()
        if name.isupper() and not name.startswith("_") and isinstance(value, str)
    },
    **{part.name: part.sql for part in PARTS},
}
# Tables that a statement reads or changes by condition, with their short names.
_READ = re.compile(
    r"\b(?:FROM|JOIN|UPDATE|USING)\s+(\w+)(?:\s+(?!WHERE|ON|SET|CROSS|JOIN|ORDER|USING)(\w+))?"
)
_WRITTEN = re.compile(r"\bINSERT INTO (\w+) \(([^)]+)\)")
_CONFLICT = re.compile(r"\bON CONFLICT \((\w+)")


@pytest.mark.parametrize("name", STATEMENTS)
def test_every_statement_names_the_bucket_of_each_table_it_touches(name: str) -> None:
    statement = STATEMENTS[name]
    for table, alias in _READ.findall(statement):
        if table not in BUCKET_COLUMNS:
            continue
        if (table, alias) == ("owner", "o"):
            continue  # every owner's: one row a range, whose bucket the tables are then joined by
        column = BUCKET_COLUMNS[table]
        place = rf"\b{alias}\.{column}" if alias else rf"\b{column}"
        assert re.search(rf"(WHERE|AND|ON)\s+\(?{place}\b\s*(=|BETWEEN|<=|,)", statement), (table, statement)
    for table, columns in _WRITTEN.findall(statement):
        assert BUCKET_COLUMNS[table] in columns.split(", ")
        for led_by in _CONFLICT.findall(statement):
            assert BUCKET_COLUMNS[table] == led_by


def test_the_statements_of_a_batch_are_among_those_held() -> None:
    assert set(BUCKET_COLUMNS) - {"meta"} <= {
        table for statement in STATEMENTS.values() for table in re.findall(r"\w+", statement)
    }
    whole = batch_statement(PARTS)
    assert whole.startswith("WITH fence AS (SELECT 1 FROM owner WHERE first_bucket = $1")
    assert "%s" not in whole
    for word in ("advisory", "nextval", "LOCK TABLE", "TRUNCATE"):
        assert not any(word.lower() in statement.lower() for statement in STATEMENTS.values())


def test_a_statement_without_a_bucket_would_be_noticed() -> None:
    STATEMENTS["planted"] = "SELECT e.id FROM entry e WHERE e.identity = %s"
    try:
        with pytest.raises(AssertionError):
            test_every_statement_names_the_bucket_of_each_table_it_touches("planted")
    finally:
        del STATEMENTS["planted"]
