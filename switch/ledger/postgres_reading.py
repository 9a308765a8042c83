"""A PostgreSQL ledger as rows, for whoever checks or copies it: `switch.ledger.reading` for this engine.

Rows come as they are stored, sums of owners added up as a look-up adds them; nothing is believed here, for
any of it may have been edited. It never writes.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, suppress
from itertools import count
from typing import NamedTuple

import psycopg

from switch.ledger.engine import LedgerUnavailable
from switch.ledger.model import BUCKETS, ENTRY_IDS_PER_MS
from switch.ledger.postgres_connection import ALL, SWITCH_NAME, Connection, Server, sealed_owner, tables_of
from switch.ledger.postgres_schema import BUCKET_COLUMNS, VERSIONS
from switch.ledger.postgres_statements import Array, Numbers, Strings
from switch.ledger.reading import LOWEST, TABLES, Damaged, Row, Value
from switch.ledger.rows import ENTRY_COLUMNS, MEMBER_COLUMNS

AT_ONCE = 2_000  # rows that a cursor fetches: some 2 MB
# Readers see whole tables, which the settings of the engine's connections keep away from.
_SETTINGS = (
    "SET enable_seqscan = on",
    "SET enable_hashjoin = on",
    "SET enable_mergejoin = on",
    "SET work_mem = '64MB'",
    "SET statement_timeout = 0",
)
_ENTRY = f"SELECT {', '.join(ENTRY_COLUMNS)} FROM entry"
# A range of buckets would be read whole: every key begins with the bucket, so each is looked into by itself.
_ANY_BUCKET = f"bucket = ANY('{{{','.join(map(str, range(BUCKETS)))}}}'::integer[])"
_EACH_BUCKET = "FROM generate_series(%s::integer, %s::integer) AS b(bucket) CROSS JOIN LATERAL"
_NEWEST = (
    f"SELECT max(n.id) {_EACH_BUCKET}"
    " (SELECT e.id FROM entry e WHERE e.bucket = b.bucket ORDER BY e.id DESC LIMIT 1) AS n"
)
_ENTRIES_AFTER = (
    f"SELECT n.* {_EACH_BUCKET} ({_ENTRY} e WHERE e.bucket = b.bucket AND e.id > %s) AS n ORDER BY n.id"
)
_ENTRIES_BETWEEN = (
    f"SELECT n.* {_EACH_BUCKET} ({_ENTRY} e WHERE e.bucket = b.bucket AND e.id > %s AND e.id <= %s) AS n"
    " ORDER BY n.id DESC"
)
_NAMES = "SELECT identifier, member, kind, masked, sealed, seal FROM directory"
_NAMES_OF_MEMBER = f"{_NAMES} WHERE {_ANY_BUCKET} AND member = %s ORDER BY kind, identifier"
# Newest first without sorting everything: so many ids at first (a minute of them), then twice as many.
_FIRST_WINDOW = 60_000 * ENTRY_IDS_PER_MS
_MEMBER = f"SELECT {', '.join(MEMBER_COLUMNS)} FROM member"
# Owners' sums that a look-up finds are one row of bucket -1, as where one owner nets all buckets; a row where
# no owner's range begins keeps its bucket and so is told as added.
_PLACE = "CASE WHEN bucket IN (SELECT first_bucket FROM owner) THEN -1 ELSE bucket END"
_TABLES = {
    "account": (
        f"SELECT kind, holder, program, unit, {_PLACE} AS place, sum(balance)::bigint FROM account"
        " GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5"
    ),
    "counter": (
        f"SELECT scope, period, holder, operation, {_PLACE} AS place, sum(entries)::bigint,"
        " sum(amount)::bigint, sum(units)::bigint FROM counter GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5"
    ),
    "code_count": (
        "SELECT DISTINCT ON (subject) subject, since_ms, sent FROM code_count"
        " ORDER BY subject, since_ms DESC, sent DESC"
    ),
    # A batch that one owner closed and another ended: the later row.
    "batch": (
        "SELECT DISTINCT ON (terminal, number) terminal, number, entry, differs, ended FROM batch"
        " ORDER BY terminal, number, entry DESC, ended DESC"
    ),
    "key_mark": "SELECT initial_key, max(counter) FROM key_mark GROUP BY 1 ORDER BY 1",
}
_OWNERS = "SELECT first_bucket, last_bucket, name, epoch, writer, seal FROM owner ORDER BY first_bucket"


class PostgresStore(NamedTuple):
    """A ledger in a PostgreSQL database, switches running on it or not."""

    url: str

    @property
    def name(self) -> str:
        return str(Server(self.url))

    def __repr__(self) -> str:
        return f"PostgresStore({self.name})"  # the string may hold a password

    def open(self) -> PostgresReading:
        """See `Store.open`."""
        return PostgresReading(Server(self.url))


class PostgresReading:
    """`Reading` of a PostgreSQL ledger: one transaction that sees one moment."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._cursors = count()
        with server.failures():
            self._connection: Connection = server.connect()
            try:
                if "meta" not in tables_of(self._connection, server):
                    raise LedgerUnavailable(f"{server}: there is no ledger; start the switch once")
                for setting in _SETTINGS:
                    self._connection.execute(setting.encode())
                self._connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                self._connection.execute("SELECT 1 FROM pg_catalog.pg_class LIMIT 1")  # the moment
            except BaseException:
                self._connection.close()
                raise

    def _rows(self, statement: str, values: Sequence[object] = ()) -> Iterator[Row]:
        """Rows through a cursor of the server's, which never sends more than AT_ONCE."""
        with self._failures():
            cursor = self._connection.cursor(f"reading_{next(self._cursors)}", binary=True)
        try:
            with self._failures():
                cursor.itersize = AT_ONCE
                cursor.execute(statement.encode(), values)
            while True:
                with self._failures():
                    rows = cursor.fetchmany(AT_ONCE)
                yield from rows
                if len(rows) < AT_ONCE:
                    return
        finally:
            with suppress(psycopg.Error):
                cursor.close()

    def _row(self, statement: str, values: Sequence[object]) -> Row | None:
        with self._failures():
            return self._connection.execute(statement.encode(), values, binary=True).fetchone()

    def _failures(self) -> _Failures:
        return _Failures(self._server)

    def schema(self) -> Iterator[tuple[str, str]]:
        expected = dict(_expected())
        found: dict[str, str] = {}
        for name, what in self._rows(_LAYOUT):
            found[name] = what
        for name in sorted(found.keys() - expected.keys()):
            yield name, "was added"
        for name, what in expected.items():
            if found.get(name) != what:
                yield name, "was changed" if name in found else "is missing"

    def table(self, name: str) -> Iterator[Row]:
        if name == "owner":
            return self._owners()
        return self._table(name)

    def _owners(self) -> Iterator[Row]:
        for *owner, seal in self._rows(_OWNERS):
            first, last, named, epoch = sealed_owner(*owner)
            yield first, last, named.encode(), epoch, seal

    def _table(self, name: str) -> Iterator[Row]:
        table = TABLES[name]
        statement = _TABLES.get(name)
        if statement is None:
            key = ", ".join(table.columns[: table.key])
            statement = f"SELECT {', '.join(table.columns)} FROM {name} ORDER BY {key}"
        texts = [table.columns.index(column) for column in table.texts]
        for row in self._rows(statement):
            values = list(row)
            for place in texts:
                values[place] = values[place].encode()
            yield tuple(values)

    def beside(self, name: str, bucket: int, keys: Collection[Value]) -> Iterator[Row]:
        table = TABLES[name]
        columns = ", ".join(table.columns)
        wanted: Array = (
            Strings.of([key for key in keys if isinstance(key, bytes)])
            if name == "reversed"
            else Numbers.of([key for key in keys if isinstance(key, int)])
        )
        statement = (
            f"SELECT {columns} FROM unnest(%s) AS q(key)"
            f" JOIN {name} t ON t.bucket = %s AND t.{table.columns[0]} = q.key"
        )
        with self._failures():
            yield from self._connection.execute(statement.encode(), (wanted, bucket), binary=True).fetchall()

    def newest(self) -> int:
        row = self._row(_NEWEST, ALL)
        return row[0] or 0 if row else 0

    def entries(self, first: int, last: int, after: int | None = None) -> Iterator[Row]:
        if after:
            return self._rows(_ENTRIES_AFTER, (first, last, after))
        at = LOWEST if after is None else 1
        where = "bucket BETWEEN %s AND %s AND id >= %s"
        return self._rows(f"{_ENTRY} WHERE {where} ORDER BY id", (first, last, at))

    def entries_back(self) -> Iterator[Row]:
        last, window = self.newest(), _FIRST_WINDOW
        while last > 0:
            yield from self._rows(_ENTRIES_BETWEEN, (*ALL, last - window, last))
            last, window = last - window, window * 2

    def entry(self, entry_id: int, bucket: int | None = None) -> Row | None:
        if bucket is None:
            return self._row(f"{_ENTRY} WHERE {_ANY_BUCKET} AND id = %s", (entry_id,))
        return self._row(f"{_ENTRY} WHERE bucket = %s AND id = %s", (bucket, entry_id))

    def strays(self) -> Iterator[Row]:
        return self._rows(f"{_ENTRY} WHERE bucket < 0 OR bucket > 255 ORDER BY id")

    def before(self, entry_id: int, bucket: int) -> Row | None:
        return self._row(
            "SELECT id, sequence, seal FROM entry WHERE bucket = %s AND id < %s ORDER BY id DESC LIMIT 1",
            (bucket, entry_id),
        )

    def members(self, first: int, last: int) -> Iterator[Row]:
        where, values = _range("bucket", first, last)
        return self._rows(f"{_MEMBER} WHERE {where} ORDER BY id", values)

    def member(self, member: int) -> Row | None:
        return self._row(f"{_MEMBER} WHERE bucket = %s AND id = %s", (member >> 40, member))

    def directory(self, first: int, last: int) -> Iterator[Row]:
        return self._names(*_range("member >> 40", first, last))

    def identified(self, identifier: bytes) -> Row | None:
        return next(self._names("bucket = %s AND identifier = %s", (identifier[0], identifier)), None)

    def found_by(self, member: int) -> Iterator[Row]:
        with self._failures():  # a handful of rows: without a cursor's round trips
            rows = self._connection.execute(_NAMES_OF_MEMBER.encode(), (member,), binary=True).fetchall()
        return map(_with_bytes, rows)

    def _names(self, where: str, values: Sequence[object]) -> Iterator[Row]:
        return map(_with_bytes, self._rows(f"{_NAMES} WHERE {where}", values))

    def damage(self, limit: int) -> Iterator[str]:
        """Rows in a bucket that isn't theirs: a look-up doesn't find those."""
        for table, bucket in _BUCKET_OF_ROW.items():
            statement = f"SELECT bucket, {bucket} FROM {table} WHERE bucket <> {bucket} LIMIT %s"
            for at, right in self._rows(statement, (limit,)):
                yield f"{table}: a row of bucket {right} stands in bucket {at}"
        for table, is_right, what in _PLACES:
            statement = f"SELECT bucket FROM {table} t WHERE NOT ({is_right}) LIMIT %s"
            for (at,) in self._rows(statement, (limit,)):
                yield f"{table}: a row stands in bucket {at}, where {what}"
        if self._row("SELECT 1 FROM pg_catalog.pg_proc WHERE proname = 'bt_index_check' LIMIT 1", ()):
            yield from self._check_indexes()

    def _check_indexes(self) -> Iterator[str]:
        """What the extension amcheck finds, where it is installed."""
        for (name,) in list(self._rows(_INDEXES)):
            try:
                self._row("SELECT bt_index_check(%s::text::regclass, true)", (name,))
            except Damaged as error:
                yield f"{name}: {error}"
                return  # the transaction is over

    def close(self) -> None:
        self._connection.close()


def _with_bytes(row: Row) -> Row:
    """A directory row, its masked number as bytes."""
    return (*row[:3], row[3].encode(), *row[4:])


def last_counter(url: str, initial_key_id: bytes) -> int:
    """See `switch.ledger.opening.Place.last_counter`."""
    server = Server(url)
    with server.failures(), closing(server.connect()) as connection:
        if "meta" not in tables_of(connection, server):
            return 0  # a switch that never ran
        row = connection.execute(_HIGHEST_COUNTER, (initial_key_id, initial_key_id)).fetchone()
    return row[0] or 0 if row else 0


def session_of_switch(url: str) -> str:
    """Whose connection tells that a switch has this ledger open; empty when none does. A switch of another
    database user isn't seen, unless this one may see all sessions (pg_read_all_stats)."""
    server = Server(url)
    with server.failures(), closing(server.connect()) as connection:
        if "meta" not in tables_of(connection, server):
            return ""
        ledger = connection.execute("SELECT value FROM meta WHERE bucket = 0 AND name = 'ledger'").fetchone()
        name = SWITCH_NAME + (ledger[0] if ledger else "")
        session = connection.execute(_SESSIONS, (name,)).fetchone()
    return "" if session is None else f"session {session[0]} from {session[1]} of {server}"


class _Failures:
    """Turns what the server says of damage into `Damaged`, the rest into LedgerUnavailable."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if not isinstance(error, psycopg.Error):
            return
        if (error.sqlstate or "").startswith(("XX", "58", "22", "42")):
            raise Damaged(error.diag.message_primary or type(error).__name__) from None
        with self._server.failures():
            raise error


def _range(column: str, first: int, last: int) -> tuple[str, tuple[int, ...]]:
    """These buckets; at both ends also what lies in none."""
    if first > 0 and last < BUCKETS - 1:
        return f"{column} BETWEEN %s AND %s", (first, last)
    if first > 0:
        return f"{column} >= %s", (first,)
    if last < BUCKETS - 1:
        return f"{column} <= %s", (last,)
    return "true", ()


_BUCKET_OF_ROW = {
    "member": "id >> 40",
    "hold": "member >> 40",
    "directory": "get_byte(identifier, 0)",
}
_OF_OWNER = "t.bucket IN (SELECT first_bucket FROM owner)", "no owner's range begins"
_OF_ENTRY = "EXISTS (SELECT FROM entry e WHERE (e.bucket, e.id) = (t.bucket, t.entry))", "its entry isn't"
_OF_NAME = (
    "t.bucket::text = CASE WHEN t.name LIKE 'answered.%%' THEN substr(t.name, 10) ELSE '0' END",
    "its name doesn't belong",
)
# Table, condition of a row that stands where it should, what is wrong with the place of another.
_PLACES = (
    *((table, *_OF_OWNER) for table in ("account", "counter", "code_count", "batch", "key_mark", "answered")),
    *((table, *_OF_ENTRY) for table in ("reversed", "followed")),
    ("meta", *_OF_NAME),
)
# Tables with their columns, indexes with theirs, and whatever else lies in the schema.
_LAYOUT = """
SELECT c.relname::text, string_agg(
    a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
    || CASE WHEN a.attcollation = 'pg_catalog."C"'::regcollation THEN ' COLLATE "C"' ELSE '' END
    || CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END, ', ' ORDER BY a.attnum)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r' AND a.attnum > 0
AND NOT a.attisdropped GROUP BY 1
UNION ALL SELECT c.relname::text, CASE WHEN i.indisprimary THEN 'PRIMARY KEY '
    WHEN i.indisunique THEN 'UNIQUE ' ELSE '' END || t.relname || ' ('
    || string_agg(a.attname, ', ' ORDER BY a.attnum) || ')'
    || coalesce(' WHERE ' || pg_get_expr(i.indpred, i.indrelid), '')
FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
JOIN pg_catalog.pg_class t ON t.oid = i.indrelid JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid
WHERE c.relnamespace = current_schema()::regnamespace AND i.indexprs IS NULL AND i.indisvalid
GROUP BY c.relname, t.relname, i.indisprimary, i.indisunique, i.indpred, i.indrelid
UNION ALL SELECT c.relname::text, 'other' FROM pg_catalog.pg_class c
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind NOT IN ('r', 'i')
UNION ALL SELECT t.tgname::text, 'trigger' FROM pg_catalog.pg_trigger t
JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid WHERE c.relnamespace = current_schema()::regnamespace
UNION ALL SELECT r.rulename::text, 'rule' FROM pg_catalog.pg_rules r WHERE r.schemaname = current_schema()
"""
_HIGHEST_COUNTER = (
    "SELECT max(counter) FROM (SELECT counter FROM key_mark WHERE initial_key = %s"
    " UNION ALL SELECT counter FROM answered WHERE initial_key = %s) AS marks"
)
_SESSIONS = (
    "SELECT pid, coalesce(host(client_addr), 'this machine') FROM pg_catalog.pg_stat_activity"
    " WHERE application_name = %s AND datname = current_database() LIMIT 1"
)
_INDEXES = (
    "SELECT c.oid::regclass::text FROM pg_catalog.pg_class c WHERE c.relkind = 'i'"
    " AND c.relnamespace = current_schema()::regnamespace"
)
_TABLE = re.compile(r"CREATE TABLE (\w+) \((.*?)\n\)", re.DOTALL)
_INDEX = re.compile(r"CREATE INDEX (\w+) ON (\w+ \([^)]*\)(?:\s+WHERE [^;]*)?);")
_KEY = re.compile(r"^(PRIMARY KEY|UNIQUE) (\(.*\))$")


def _expected() -> Iterator[tuple[str, str]]:
    """Names and layouts of what `VERSIONS` makes, in the form of `_LAYOUT`."""
    for number in sorted(VERSIONS):
        for table, body in _TABLE.findall(VERSIONS[number]):
            layout = []
            for line in re.split(r",\n", body.strip()):
                if key := _KEY.match(line.strip()):
                    yield _key_name(table, key[1], key[2]), f"{key[1]} {table} {key[2]}"
                    continue
                column = line.strip()
                if column.endswith(" PRIMARY KEY"):
                    column = column.removesuffix(" PRIMARY KEY")
                    yield f"{table}_pkey", f"PRIMARY KEY {table} ({column.split()[0]})"
                layout.append(column)
            yield table, ", ".join(layout)
        for index, layout in _INDEX.findall(VERSIONS[number]):
            yield index, " ".join(layout.split())


def _key_name(table: str, kind: str, columns: str) -> str:
    """What PostgreSQL calls the index of a key."""
    if kind == "PRIMARY KEY":
        return f"{table}_pkey"
    return "_".join([table, *columns.strip("()").split(", "), "key"])


assert {name for name, what in _expected() if name in BUCKET_COLUMNS} == set(BUCKET_COLUMNS)
