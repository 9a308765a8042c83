"""A stored ledger as rows, for whoever checks or copies it: what a store has to offer, and SQLite's way.

Rows come as they are stored and in the order of their keys; nothing is decoded or believed here, for any of
it may have been edited. It never writes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import apsw

from switch.ledger.engine import LedgerUnavailable
from switch.ledger.model import BUCKETS
from switch.ledger.rows import ENTRY_COLUMNS, MEMBER_COLUMNS
from switch.ledger.schema import VERSIONS
from switch.ledger.sqlite import failures_at, open_connection

Row = tuple[Any, ...]  # values straight from a store that may have been edited
Value = int | str | bytes
MEMBER_NUMBER_BITS = 40
LOWEST, HIGHEST = -(2**63), 2**63 - 1  # of a number that a table can hold
# What SQLite says about pages that it didn't write so.
DAMAGED = (apsw.CorruptError, apsw.NotADBError, apsw.SQLError, apsw.TooBigError, apsw.IOError)


class Damaged(Exception):
    """What is stored can't be read. The text is the store's own."""


class NotText(Damaged):
    """A text that is not UTF-8."""

    def __init__(self) -> None:
        super().__init__("holds text that is not UTF-8")


class Table(NamedTuple):
    """A table beside `entry` and `member`: its columns, the key's first. texts: columns that come as bytes,
    because an edited text may not be UTF-8."""

    name: str
    columns: tuple[str, ...]
    key: int
    texts: tuple[str, ...] = ()


TABLES = {
    table.name: table
    for table in (
        Table(
            "account",
            ("kind", "holder", "program", "unit", "bucket", "balance"),
            5,
            ("holder", "program"),
        ),
        Table(
            "counter",
            ("scope", "period", "holder", "operation", "bucket", "entries", "amount", "units"),
            5,
            ("period", "holder", "operation"),
        ),
        Table("reversed", ("original", "entry"), 1),
        Table("followed", ("entry", "amount", "units", "ended"), 1),
        Table("hold", ("id", "member", "expires_ms"), 1),
        Table("code_count", ("subject", "since_ms", "sent"), 1, ("subject",)),
        Table("batch", ("terminal", "number", "entry", "differs", "ended"), 2, ("terminal",)),
        Table("directory", ("identifier", "member", "kind", "masked", "sealed", "seal"), 1, ("masked",)),
        Table("bucket_head", ("bucket", "sequence", "seal", "members"), 1),
        Table("key_mark", ("initial_key", "counter"), 1),
        Table("answered", ("initial_key", "counter", "seal"), 1),
        Table("owner", ("first_bucket", "last_bucket", "name", "epoch", "seal"), 1, ("name",)),
        Table("meta", ("name", "value", "seal"), 1, ("name", "value")),
    )
}
_ENTRY_TEXTS = ("operation", "terminal", "acceptor", "business_date", "response_code")


class Reading(Protocol):
    """One snapshot of a ledger. Every method raises `Damaged`, or LedgerUnavailable when it can't go on.

    Accounts and counters have one row for all buckets, their bucket is -1.
    """

    def schema(self) -> Iterator[tuple[str, str]]:
        """Tables, indexes and the like that are not as they were made: name and what is wrong."""

    def table(self, name: str) -> Iterator[Row]:
        """All rows of one of `TABLES`, in the order of the key; texts as bytes."""

    def beside(self, name: str, bucket: int, keys: Collection[Value]) -> Iterator[Row]:
        """Rows of `reversed`, `followed` or `hold` with these keys, of entries of this bucket, in any
        order."""

    def newest(self) -> int:
        """The highest id of an entry, 0 for none."""

    def entries(self, first: int, last: int, after: int | None = None) -> Iterator[Row]:
        """`ENTRY_COLUMNS` of the entries of these buckets above an id, or all, by id. Text that isn't UTF-8
        comes with lone surrogates, which no seal fits."""

    def entries_back(self) -> Iterator[Row]:
        """All entries, the newest first."""

    def entry(self, entry_id: int, bucket: int | None = None) -> Row | None:
        """One entry's `ENTRY_COLUMNS`. bucket: where it is known, which may be quicker."""

    def strays(self) -> Iterator[Row]:
        """Entries that are in none of the 256 buckets."""

    def before(self, entry_id: int, bucket: int) -> Row | None:
        """The entry before this id in the bucket: id, sequence, seal."""

    def members(self, first: int, last: int) -> Iterator[Row]:
        """`MEMBER_COLUMNS` of the members of these buckets, by id; bucket 0 begins and bucket 255 ends where
        the table does."""

    def member(self, member: int) -> Row | None:
        """One member's `MEMBER_COLUMNS`."""

    def directory(self, first: int, last: int) -> Iterator[Row]:
        """Directory rows of members of these buckets, in any order."""

    def identified(self, identifier: bytes) -> Row | None:
        """The directory row of a keyed hash."""

    def found_by(self, member: int) -> Iterator[Row]:
        """Directory rows of one member."""

    def damage(self, limit: int) -> Iterator[str]:
        """What the store finds by its own check of pages, value types and indexes."""

    def close(self) -> None:
        """Let go of the snapshot."""


class Store(Protocol):
    """Where a ledger lies. Pickled for the processes that read it."""

    @property
    def name(self) -> str:
        """For people."""

    def open(self) -> Reading:
        """Take a snapshot. Raises LedgerUnavailable."""


class SqliteStore(NamedTuple):
    """A ledger in a SQLite file, a switch running on it or not. While a reading is open the write-ahead log
    can't start over and grows."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    def open(self) -> SqliteReading:
        """See `Store.open`."""
        if not self.path.exists():
            raise LedgerUnavailable(
                f"{self.path}: there is no ledger; check --data, or start the switch once"
            )
        return SqliteReading(self.path)


_ENTRY_SELECT = f"SELECT {', '.join(ENTRY_COLUMNS)} FROM entry NOT INDEXED"
# Whatever is text comes in a way that it can come in: bytes, or a mark where no text belongs.
_ENTRY_AS_BYTES = "SELECT {} FROM entry NOT INDEXED".format(
    ", ".join(
        f"CAST({name} AS BLOB)"
        if name in _ENTRY_TEXTS
        else f"CASE typeof({name}) WHEN 'text' THEN 'text' ELSE {name} END"
        for name in ENTRY_COLUMNS
    )
)
_TEXT_PLACES = tuple(ENTRY_COLUMNS.index(name) for name in _ENTRY_TEXTS)
_OF_BUCKETS = "bucket BETWEEN ? AND ?"
_MEMBER_SELECT = f"SELECT {', '.join(MEMBER_COLUMNS)} FROM member"
_DIRECTORY_SELECT = "SELECT identifier, member, kind, CAST(masked AS BLOB), sealed, seal FROM directory"
_SCHEMA = "SELECT name, type, tbl_name, sql FROM sqlite_schema"


class SqliteReading:
    """`Reading` of a SQLite ledger."""

    def __init__(self, path: Path) -> None:
        try:
            self._connection = open_connection(path, read_only=True)
        except LedgerUnavailable as error:
            if isinstance(error.__cause__, DAMAGED):
                raise Damaged(str(error.__cause__)) from None
            raise
        try:
            with failures_at(path):
                self._connection.execute("BEGIN")
                self._connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()
        except LedgerUnavailable as error:
            self._connection.close()
            if isinstance(error.__cause__, DAMAGED):
                raise Damaged(str(error.__cause__)) from None
            raise

    def _rows(self, statement: str, values: tuple[Any, ...] = ()) -> Iterator[Row]:
        try:
            yield from self._connection.execute(statement, values)
        except DAMAGED as error:
            raise Damaged(str(error)) from error
        except UnicodeDecodeError:
            raise NotText from None

    def _row(self, statement: str, values: tuple[Any, ...]) -> Row | None:
        return next(self._rows(statement, values), None)

    def schema(self) -> Iterator[tuple[str, str]]:
        made = apsw.Connection(":memory:")
        for number in sorted(VERSIONS):
            made.execute(VERSIONS[number])
        expected = {row[0]: row[1:] for row in made.execute(_SCHEMA)}
        try:
            found = {row[0]: row[1:] for row in self._rows(_SCHEMA)}
        except NotText as error:
            yield "", str(error)
            return
        for name in sorted(found.keys() - expected.keys(), key=str):
            yield name, "was added"
        for name, row in expected.items():
            if found.get(name) != row:
                yield name, "was changed" if name in found else "is missing"

    def table(self, name: str) -> Iterator[Row]:
        table = TABLES[name]
        columns = ", ".join(
            f"CAST({column} AS BLOB)" if column in table.texts else column for column in table.columns
        )
        key = ", ".join(table.columns[: table.key])
        return self._rows(f"SELECT {columns} FROM {name} NOT INDEXED ORDER BY {key}")

    def beside(self, name: str, bucket: int, keys: Collection[Value]) -> Iterator[Row]:
        columns = TABLES[name].columns
        for key in keys:
            yield from self._rows(f"SELECT {', '.join(columns)} FROM {name} WHERE {columns[0]} = ?", (key,))

    def newest(self) -> int:
        row = self._row("SELECT max(id) FROM entry NOT INDEXED", ())
        return row[0] or 0 if row else 0

    def entries(self, first: int, last: int, after: int | None = None) -> Iterator[Row]:
        at = LOWEST if after is None else after + 1
        return self._entries(f"{_OF_BUCKETS} AND id >= ? ORDER BY id", (first, last), at)

    def strays(self) -> Iterator[Row]:
        return self._entries(f"({_OF_BUCKETS}) IS NOT 1 AND id >= ? ORDER BY id", (0, BUCKETS - 1), LOWEST)

    def _entries(self, where: str, values: tuple[Any, ...], at: int) -> Iterator[Row]:
        row: Row | None = None
        while at <= HIGHEST:
            try:
                # Not through another generator: this is read ten million times.
                for row in self._connection.execute(f"{_ENTRY_SELECT} WHERE {where}", (*values, at)):
                    yield row
                return
            except DAMAGED as error:
                raise Damaged(str(error)) from error
            except UnicodeDecodeError:
                at = at if row is None else row[0] + 1
                raw = self._row(f"{_ENTRY_AS_BYTES} WHERE {where} LIMIT 1", (*values, at))
                assert raw is not None, "the row that could not be read as text"
                row = _with_text(raw)
                yield row
                at = row[0] + 1

    def entries_back(self) -> Iterator[Row]:
        at = HIGHEST
        while at >= LOWEST:
            try:
                for row in self._rows(f"{_ENTRY_SELECT} WHERE id <= ? ORDER BY id DESC", (at,)):
                    yield row
                    at = row[0] - 1
                return
            except NotText:
                raw = self._row(f"{_ENTRY_AS_BYTES} WHERE id <= ? ORDER BY id DESC LIMIT 1", (at,))
                assert raw is not None, "the row that could not be read as text"
                yield _with_text(raw)
                at = raw[0] - 1

    def entry(self, entry_id: int, bucket: int | None = None) -> Row | None:
        try:
            return self._row(f"{_ENTRY_SELECT} WHERE id = ?", (entry_id,))
        except NotText:
            raw = self._row(f"{_ENTRY_AS_BYTES} WHERE id = ?", (entry_id,))
            return None if raw is None else _with_text(raw)

    def before(self, entry_id: int, bucket: int) -> Row | None:
        return self._row(
            "SELECT id, sequence, seal FROM entry NOT INDEXED WHERE id < ? AND bucket = ?"
            " ORDER BY id DESC LIMIT 1",
            (entry_id, bucket),
        )

    def members(self, first: int, last: int) -> Iterator[Row]:
        where, values = _range("id", first, last)
        return self._rows(f"{_MEMBER_SELECT} WHERE {where} ORDER BY id", values)

    def member(self, member: int) -> Row | None:
        return self._row(f"{_MEMBER_SELECT} WHERE id = ?", (member,))

    def directory(self, first: int, last: int) -> Iterator[Row]:
        where, values = _range("member", first, last)
        return self._rows(f"{_DIRECTORY_SELECT} NOT INDEXED WHERE {where}", values)

    def identified(self, identifier: bytes) -> Row | None:
        return self._row(f"{_DIRECTORY_SELECT} WHERE identifier = ?", (identifier,))

    def found_by(self, member: int) -> Iterator[Row]:
        return self._rows(f"{_DIRECTORY_SELECT} WHERE member = ? ORDER BY kind, identifier", (member,))

    def damage(self, limit: int) -> Iterator[str]:
        try:
            for (text,) in self._rows(f"PRAGMA integrity_check({limit})"):
                if text != "ok":
                    yield str(text)
        except NotText as error:
            yield str(error)

    def close(self) -> None:
        self._connection.close()


def _range(column: str, first: int, last: int) -> tuple[str, tuple[int, ...]]:
    """The members of these buckets; at both ends also ids that no bucket has, and values of other types."""
    conditions, values = [], []
    if first > 0:
        conditions.append(f"{column} >= ?")
        values.append(first << MEMBER_NUMBER_BITS)
    if last < BUCKETS - 1:
        conditions.append(f"{column} < ?" if first > 0 else f"({column} >= ?) IS NOT 1")
        values.append((last + 1) << MEMBER_NUMBER_BITS)
    return " AND ".join(conditions) or "1", tuple(values)


def _with_text(row: Row) -> Row:
    values = list(row)
    for place in _TEXT_PLACES:
        values[place] = text_of(values[place])
    return tuple(values)


def text_of(value: Any) -> Any:
    """Text that was read as bytes; what isn't UTF-8 becomes lone surrogates, which no seal fits."""
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value
