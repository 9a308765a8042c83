"""A row put into any table of either engine is found, wherever it stands in the table's order; on PostgreSQL
every changed column too, as `test_verify` shows it for SQLite."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import zip_longest
from typing import Any, NamedTuple

import apsw
import psycopg
import pytest
from psycopg.sql import SQL, Identifier, Placeholder

from switch.ledger.migrate import migrate
from switch.ledger.postgres_reading import PostgresReading, PostgresStore
from switch.ledger.postgres_schema import BUCKET_COLUMNS
from switch.ledger.reading import Reading, SqliteReading, SqliteStore, Store
from switch.ledger.verify import verify, verify_member
from tests.ledger.book import SEAL_KEY
from tests.ledger.conftest import schema_url
from tests.ledger.files import KEYS, Files, Row, write_ledger
from tests.ledger.test_verify import other_value


class Planted(NamedTuple):
    """A column of a table and the value that it gets."""

    table: str
    column: str
    value: Any

    def row(self, rows: list[Row]) -> Row:
        """A copy of a true row with it, none of the others' keys."""
        row = {**rows[len(rows) // 2], self.column: self.value}
        if self.table == "entry":
            if self.column != "id":
                row["id"] = max(one["id"] for one in rows) + 7
            if self.column != "identity":
                row["identity"] = b"planted"
        return row


class Ledger:
    """A small ledger, one of its engine's tables at a time. lowest, highest: of a column's numbers."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.rows = {table: self.read(table) for table in KEYS}

    def read(self, table: str) -> list[Row]:
        raise NotImplementedError

    def change(self, statement: str, values: tuple[Any, ...]) -> None:
        raise NotImplementedError

    def limits(self, table: str, column: str) -> tuple[int, int]:
        return -(2**63), 2**63 - 1

    def keys(self, table: str) -> tuple[str, ...]:
        return (*KEYS[table], "identity", "bucket") if table == "entry" else KEYS[table]

    def extremes(self, table: str, column: str) -> Iterator[Any]:
        value = self.rows[table][0][column]
        if isinstance(value, int):
            lowest, highest = self.limits(table, column)
            found: list[Any] = [lowest, -1, 0, highest]
        elif isinstance(value, str):
            found = ["", "\x01", "~" * 40]
        else:
            found = [b"", bytes(40), b"\xff" * 40]
        there = {row[column] for row in self.rows[table]}
        yield from (one for one in found if one not in there)

    def plantings(self, table: str) -> list[Planted]:
        """All extremes of the column that leads the key, of others the lowest and the highest."""
        found = []
        for place, column in enumerate(self.keys(table)):
            extremes = list(self.extremes(table, column))
            found += [Planted(table, column, value) for value in extremes[:: 1 if place == 0 else 3]]
        return found

    def plant(self, table: str, row: Row) -> None:
        marks = ", ".join(["?"] * len(row))
        self.change(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", tuple(row.values()))

    def unplant(self, table: str, row: Row) -> None:
        keys = [*KEYS[table], *({"bucket"} & row.keys())]
        where = " AND ".join(f"{key} = ?" for key in keys)
        self.change(f"DELETE FROM {table} WHERE {where}", tuple(row[key] for key in keys))

    def told(self) -> set[str]:
        """The tables that verification tells of."""
        problems = verify(self.store, SEAL_KEY, processes=1).problems
        return {problem.table for problem in problems} | {
            problem.what.partition(":")[0] for problem in problems if problem.table == "database"
        }


class OnSqlite(Ledger):
    def __init__(self, files: Files) -> None:
        self._connection = apsw.Connection(str(files.database))
        super().__init__(SqliteStore(files.database))

    def read(self, table: str) -> list[Row]:
        cursor = self._connection.execute(f"SELECT * FROM {table}")
        names = [name for name, _ in cursor.get_description()]
        return [dict(zip(names, row, strict=True)) for row in cursor]

    def change(self, statement: str, values: tuple[Any, ...]) -> None:
        self._connection.execute(statement, values)


class OnPostgres(Ledger):
    def __init__(self, url: str) -> None:
        self.connection = psycopg.connect(url, autocommit=True)
        self._types = {
            (table, column): kind
            for table, column, kind in self.connection.execute(
                "SELECT table_name, column_name, data_type FROM information_schema.columns"
                " WHERE table_schema = current_schema()"
            )
        }
        super().__init__(PostgresStore(url))

    def read(self, table: str) -> list[Row]:
        cursor = self.connection.execute(SQL("SELECT * FROM {}").format(Identifier(table)))
        names = [column.name for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor]

    def change(self, statement: str, values: tuple[Any, ...]) -> None:
        self.connection.execute(statement.replace("?", "%s").encode(), values)

    def limits(self, table: str, column: str) -> tuple[int, int]:
        bits = 31 if self._types[table, column] == "integer" else 63
        return -(2**bits), 2**bits - 1

    def keys(self, table: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys([*super().keys(table), BUCKET_COLUMNS[table]]))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    made = Files(tmp_path_factory.mktemp("planted"))
    write_ledger(made)
    return made


@pytest.fixture
def on_sqlite(files: Files) -> OnSqlite:
    return OnSqlite(files)


@pytest.fixture(scope="module")
def on_postgres(files: Files, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OnPostgres]:
    directory = tmp_path_factory.mktemp("moved")
    url = schema_url(directory)
    copied = Files(directory)
    write_ledger(copied)
    migrate(copied.database, url, SEAL_KEY, finish=True)
    ledger = OnPostgres(url)
    yield ledger
    ledger.connection.close()


@pytest.fixture(params=["sqlite", "postgres"])
def ledger(request: pytest.FixtureRequest) -> Ledger:
    found: Ledger = request.getfixturevalue(f"on_{request.param}")
    return found


# What their rows change is told in other tables, too.
ALONE = ("entry", "owner")


def test_a_row_put_into_any_table_is_found_wherever_it_stands(ledger: Ledger) -> None:
    assert ledger.told() == set()
    rounds: list[list[Planted]] = [[one] for table in ALONE for one in ledger.plantings(table)]
    together = [ledger.plantings(table) for table in KEYS if table not in ALONE]
    rounds += [[one for one in some if one] for some in zip_longest(*together)]
    assert {one.table for some in rounds for one in some} == set(KEYS)
    for some in rounds:
        rows = [(one.table, one.row(ledger.rows[one.table])) for one in some]
        for table, row in rows:
            ledger.plant(table, row)
        told = ledger.told()
        missed = [one for one in some if one.table not in told]
        assert missed == []
        for table, row in rows:
            ledger.unplant(table, row)
    assert ledger.told() == set()


def test_an_entry_of_a_bucket_that_is_none_is_found(ledger: Ledger) -> None:
    for bucket, entry_id in ((-1, -(2**63)), (256, 0), (256, 2**63 - 1)):
        row = {**Planted("entry", "bucket", bucket).row(ledger.rows["entry"]), "id": entry_id}
        ledger.plant("entry", row)
        assert "entry" in ledger.told(), (bucket, entry_id)
        ledger.unplant("entry", row)


def test_an_owner_of_no_bucket_is_found(ledger: Ledger) -> None:
    """It would make sums count that stand in its first bucket."""
    row = {**ledger.rows["owner"][0], "first_bucket": 7, "last_bucket": 6, "name": ""}
    ledger.plant("owner", row)
    assert "owner" in ledger.told()
    ledger.unplant("owner", row)


def test_every_changed_value_is_found_on_postgresql(on_postgres: OnPostgres) -> None:
    """Of entries each column in another row, all at once; of other tables one column of each at a time."""
    changes: dict[str, list[Change]] = {}
    for table, rows in on_postgres.rows.items():
        used = [row for row in rows if row.get("sequence", 1)]  # heads of chains that began
        changes[table] = [Change(table, used[at % len(used)], column) for at, column in enumerate(rows[0])]
    of_entries = changes.pop("entry")
    with changed(on_postgres, of_entries):
        problems = verify(on_postgres.store, SEAL_KEY, processes=1).problems
        named = {problem.row.split()[0] for problem in problems if problem.table == "entry"}
        assert [one for one in of_entries if str(one.after["id"]) not in named] == []
    rounds = [[change] for change in changes.pop("owner")]
    rounds += [[change for change in some if change] for some in zip_longest(*changes.values())]
    for some in rounds:
        with changed(on_postgres, some):
            told = on_postgres.told()
            assert [(one.table, one.column) for one in some if one.table not in told] == []
    assert on_postgres.told() == set()


class Change(NamedTuple):
    """A row as it was written, and the column that is changed."""

    table: str
    row: Row
    column: str

    @property
    def after(self) -> Row:
        return {**self.row, self.column: other(self.row[self.column])}


@contextmanager
def changed(ledger: OnPostgres, changes: list[Change]) -> Iterator[None]:
    for one in changes:
        edit(ledger, one.table, one.row, one.column, one.after[one.column])
    yield
    for one in changes:
        edit(ledger, one.table, one.after, one.column, one.row[one.column])


def other(value: Any) -> Any:
    return value + 1_003 if isinstance(value, int) else other_value(value)


def edit(ledger: OnPostgres, table: str, row: Row, column: str, value: Any) -> None:
    where = SQL(" AND ").join(SQL("{} = {}").format(Identifier(name), Placeholder()) for name in row)
    statement = SQL("UPDATE {} SET {} = {} WHERE {}").format(
        Identifier(table), Identifier(column), Placeholder(), where
    )
    changed = ledger.connection.execute(statement, (value, *row.values())).rowcount
    assert changed == 1


# ---------------------------------------------------------------- one member


def test_what_is_put_beside_a_member_s_own_entries_is_found_by_looking_at_it_alone(ledger: Ledger) -> None:
    member = ledger.rows["member"][0]["id"]
    entry = next(row for row in ledger.rows["entry"] if row["member"] == member)
    assert verify_member(ledger.store, SEAL_KEY, member).problems == []
    for table, columns in (("followed", {"entry": entry["id"]}), ("hold", {"id": entry["id"]})):
        row = {**ledger.rows[table][0], **columns}
        if "bucket" in row:
            row["bucket"] = entry["bucket"]
        ledger.plant(table, row)
        (problem,) = verify_member(ledger.store, SEAL_KEY, member).problems
        assert (problem.table, problem.what) == (table, "was added: no entry made it")
        ledger.unplant(table, row)


def test_one_member_is_read_alone(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """No table of what others have is gone through for it."""
    tables: list[str] = []
    for reading in (PostgresReading, SqliteReading):
        monkeypatch.setattr(reading, "table", noting(tables, reading.table))
        for whole in ("entries", "entries_back", "strays", "members", "directory"):
            monkeypatch.delattr(reading, whole)
    member = ledger.rows["member"][0]["id"]
    assert verify_member(ledger.store, SEAL_KEY, member).problems == []
    assert tables == ["meta"]


def noting(tables: list[str], table: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
    def noted(reading: Reading, name: str) -> Iterator[Any]:
        tables.append(name)
        return table(reading, name)

    return noted
