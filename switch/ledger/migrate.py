"""Moves a ledger from SQLite to PostgreSQL, row by row as it is: same id, same sequences, same seals.

Two steps. `copy_entries` runs beside the switch, in chunks, again and again until little is left; it can be
stopped and goes on where it was. `finish` takes the SQLite ledger over, so that a switch that still runs on
it is fenced, copies what came last and everything that changes (members, sums, names), compares, and only
then makes the new ledger one that a switch opens. Its time follows members and counters, not entries. The old
file is renamed, never removed: there is no moment with two ledgers that a switch would open. Every seal is
checked on the way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import apsw

from switch.ledger import postgres_statements as statements
from switch.ledger.engine import Head, LedgerUnavailable
from switch.ledger.model import BUCKETS
from switch.ledger.opening import MOVED_SUFFIX
from switch.ledger.postgres_connection import ALL, MOVING, Connection, Server, create_tables, tables_of
from switch.ledger.postgres_statements import columns
from switch.ledger.rows import ENTRY_COLUMNS, packed_row
from switch.ledger.seal import Sealer
from switch.ledger.sqlite import SqliteEngine, failures_at, open_connection, read_meta

CHUNK = 2_000  # rows in one statement: some 2 MB

Progress = Callable[[int], None]  # told how many entries have been copied so far


class Moved(NamedTuple):
    """What a finished move came to. kept: where the old file stands."""

    ledger: str
    entries: int
    members: int
    kept: Path


class _Copy(NamedTuple):
    """How the rows of a table are read from SQLite. columns: in PostgreSQL; kinds: theirs, see
    `postgres_statements.columns`. Sums over all buckets go to bucket 0, where the range of all begins."""

    table: str
    columns: str
    kinds: str
    select: str


# Buckets that SQLite doesn't store follow from the member's id, the entry, or the identifier's first byte.
_COPIES = (
    _Copy(
        "member",
        "bucket, id, status, last_entry, active_day, due, body",
        "nnnnnnb",
        "SELECT id >> 40, id, status, last_entry, active_day, due, body FROM member ORDER BY id",
    ),
    _Copy(
        "account",
        "bucket, kind, holder, program, unit, balance",
        "nnttnn",
        "SELECT 0, kind, holder, program, unit, sum(balance) FROM account GROUP BY 2, 3, 4, 5",
    ),
    _Copy(
        "counter",
        "bucket, scope, period, holder, operation, entries, amount, units",
        "nntttnnn",
        "SELECT 0, scope, period, holder, operation, sum(entries), sum(amount), sum(units) FROM counter"
        " GROUP BY 2, 3, 4, 5",
    ),
    _Copy(
        "reversed",
        "bucket, original, entry",
        "nbn",
        "SELECT e.bucket, r.original, r.entry FROM reversed r JOIN entry e ON e.id = r.entry",
    ),
    _Copy(
        "followed",
        "bucket, entry, amount, units, ended",
        "nnnnn",
        "SELECT e.bucket, f.entry, f.amount, f.units, f.ended FROM followed f JOIN entry e ON e.id = f.entry",
    ),
    _Copy(
        "hold",
        "bucket, id, member, expires_ms",
        "nnnn",
        "SELECT member >> 40, id, member, expires_ms FROM hold",
    ),
    _Copy(
        "code_count",
        "bucket, subject, since_ms, sent",
        "ntnn",
        "SELECT 0, subject, since_ms, sent FROM code_count",
    ),
    _Copy(
        "batch",
        "bucket, terminal, number, entry, differs, ended",
        "ntnnnn",
        "SELECT 0, terminal, number, entry, differs, ended FROM batch",
    ),
    _Copy(
        "key_mark",
        "bucket, initial_key, counter",
        "nbn",
        "SELECT 0, initial_key, counter FROM key_mark",
    ),
    _Copy(
        "answered",
        "bucket, initial_key, counter, seal",
        "nbnb",
        "SELECT 0, initial_key, counter, seal FROM answered",
    ),
    _Copy(
        "bucket_head",
        "bucket, sequence, seal, members",
        "nnbn",
        "SELECT bucket, sequence, seal, members FROM bucket_head",
    ),
    _Copy(
        "owner",
        "first_bucket, last_bucket, name, epoch, writer, seal",
        "nntnnb",
        "SELECT first_bucket, last_bucket, name, epoch, 0, seal FROM owner",
    ),
    _Copy(
        "meta",
        "bucket, name, value, seal",
        "nttb",
        "SELECT 0, name, value, seal FROM meta",
    ),
)
_DIRECTORY = _Copy(
    "directory",
    "bucket, identifier, member, kind, masked, sealed, seal",
    "nbnntbb",
    "SELECT identifier, member, kind, masked, sealed, seal FROM directory",
)
_ENTRIES = _Copy(
    "entry",
    ", ".join(ENTRY_COLUMNS),
    statements.ENTRY_KINDS,
    f"SELECT {', '.join(ENTRY_COLUMNS)} FROM entry NOT INDEXED WHERE id > ? ORDER BY id",
)


class Migration:
    """A move of one SQLite ledger to one PostgreSQL database. Raises LedgerUnavailable from every method.

    path: the SQLite file. url: connection string of an empty database or schema, or of one that a move of the
    same ledger has begun to fill.
    """

    def __init__(self, path: Path, url: str, seal_key: bytes) -> None:
        self._kept = path.with_name(path.name + MOVED_SUFFIX)
        if not path.exists():
            if not self._kept.exists():
                raise LedgerUnavailable(f"{path}: there is no ledger to move; check --data")
            path = self._kept  # a move was interrupted at its end
        self._path = path
        self._done = False
        self._seal_key = seal_key
        self._sealer = Sealer(seal_key)
        self._server = Server(url)
        self._chains: dict[int, tuple[int, bytes]] = {}
        self._newest = 0
        self._copied = 0
        with self._source() as source:
            self._ledger, _ = read_meta(source, path, self._sealer)
        with self._target() as target:
            self._begin(target)

    @contextmanager
    def _source(self) -> Iterator[apsw.Connection]:
        """One snapshot of the SQLite ledger."""
        with failures_at(self._path), closing(open_connection(self._path, read_only=True)) as connection:
            connection.execute("BEGIN")
            yield connection

    @contextmanager
    def _target(self) -> Iterator[Connection]:
        with self._server.failures(), closing(self._server.connect()) as connection:
            yield connection

    def _begin(self, target: Connection) -> None:
        """Make the tables, or find how far a move came."""
        row = (MOVING, self._ledger)
        if not tables_of(target, self._server):
            with target.transaction():
                create_tables(target)
                target.execute(statements.SET_META, (0, *row, self._sealer.row("meta", row)))
        else:
            meta = {name: value for name, value, _ in target.execute(statements.META, ALL)}
            self._done = meta.get("ledger") == self._ledger and self._path == self._kept
            if meta.get(MOVING) != self._ledger and not self._done:
                raise LedgerUnavailable(
                    f"{self._server}: isn't empty, and no move of this ledger has begun there; name an empty"
                    " schema or database"
                )
        for bucket, sequence, seal, newest in target.execute(statements.CHAIN_ENDS, ALL, binary=True):
            self._chains[bucket] = (sequence, seal)
            self._newest = max(self._newest, newest)
            self._copied += sequence
        for bucket in range(BUCKETS):
            self._chains.setdefault(bucket, (0, self._sealer.genesis(self._ledger, bucket)))

    # ---------------------------------------------------------------- beside the switch

    def copy_entries(self, progress: Progress | None = None) -> int:
        """Copy the entries that are there now and weren't copied; returns how many those were.

        The switch may run. Call it until it returns little, then stop the switch and `finish`.
        """
        with self._target() as target, self._source() as source:
            return self._copy_entries(source, target, progress)

    def _copy_entries(self, source: apsw.Connection, target: Connection, progress: Progress | None) -> int:
        before = self._copied
        rows = source.execute(_ENTRIES.select, (self._newest,))
        while chunk := list(islice(rows, CHUNK)):
            chains = dict(self._chains)
            for row in chunk:
                self._check(row, chains)
            _insert(target, _ENTRIES, chunk)  # a transaction of its own
            self._chains = chains
            self._newest = int(chunk[-1][0])
            self._copied += len(chunk)
            if progress is not None:
                progress(self._copied)
        return self._copied - before

    def _check(self, row: Sequence[Any], chains: dict[int, tuple[int, bytes]]) -> None:
        """Hold an entry against its seal and its place in the bucket's chain."""
        bucket, sequence, seal = row[1], row[2], row[-1]
        place, previous = chains.get(bucket, (0, b""))
        packed = packed_row(tuple(row[:-1]))
        if sequence != place + 1 or self._sealer.entry(previous, packed) != seal:
            raise LedgerUnavailable(
                f"{self._path}: entry {row[0]} isn't as it was written; run `vafa ledger verify`, nothing was"
                " moved"
            )
        chains[bucket] = (sequence, seal)

    # ---------------------------------------------------------------- with the switch stopped

    def finish(self, progress: Progress | None = None) -> Moved:
        """Take the SQLite ledger over, copy the rest, compare, open the new ledger to switches.

        A switch that still runs is fenced and stops. After an error the SQLite ledger is still the one as
        long as its file has its name, and a switch may start on it; the move can be finished later.
        """
        with closing(SqliteEngine(self._path, self._seal_key)) as engine:
            heads = engine.heads()
            if not self._done:
                engine.claim("moved to PostgreSQL")
                heads = engine.heads()
        if not self._done:
            with self._target() as target:
                with self._source() as source:
                    self._copy_entries(source, target, progress)
                with target.transaction():
                    with self._source() as source:
                        self._copy_rest(source, target)
                    self._compare(target, heads)
                    self._rename()
        return Moved(self._ledger, self._copied, sum(head.members for head in heads), self._kept)

    def _rename(self) -> None:
        """Before the new ledger is one, so that a switch never finds two."""
        if self._path == self._kept:
            return
        try:
            for suffix in ("-wal", "-shm", ""):
                part = self._path.with_name(self._path.name + suffix)
                if part.exists():
                    part.rename(self._kept.with_name(self._kept.name + suffix))
        except OSError as error:
            raise LedgerUnavailable(
                f"{self._path}: can't be renamed ({error.strerror}); check the directory's permissions"
            ) from None

    def _copy_rest(self, source: apsw.Connection, target: Connection) -> None:
        target.execute(statements.REMOVE_META, (0, MOVING))
        for copy in _COPIES:
            rows = source.execute(copy.select)
            while chunk := list(islice(rows, CHUNK)):
                _insert(target, copy, chunk)
        names = source.execute(_DIRECTORY.select)
        while chunk := list(islice(names, CHUNK)):
            _insert(target, _DIRECTORY, [(row[0][0], *row) for row in chunk])

    def _compare(self, target: Connection, heads: Sequence[Head]) -> None:
        """The new heads and the entries below them are the old ones."""
        rows = target.execute(statements.HEADS, ALL, binary=True).fetchall()
        if [Head(*row[1:]) for row in rows] != list(heads):
            raise LedgerUnavailable(
                f"{self._server}: its heads aren't those of {self._path}; nothing was moved"
            )
        ends = {bucket: (0, self._sealer.genesis(self._ledger, bucket)) for bucket in range(BUCKETS)}
        for bucket, sequence, seal, _newest in target.execute(statements.CHAIN_ENDS, ALL, binary=True):
            ends[bucket] = (sequence, seal)
        if any(head[:2] != ends[bucket] for bucket, head in enumerate(heads)):
            raise LedgerUnavailable(
                f"{self._path}: entries don't end where its heads say; run `vafa ledger verify`, nothing"
                " was moved"
            )


def _insert(target: Connection, copy: _Copy, rows: Sequence[Sequence[object]]) -> None:
    values = ", ".join(["%s"] * len(copy.kinds))
    target.execute(
        f"INSERT INTO {copy.table} ({copy.columns}) SELECT r.* FROM unnest({values}) AS r".encode(),
        columns(copy.kinds, rows),
    )


def migrate(
    path: Path, url: str, seal_key: bytes, *, finish: bool, progress: Progress | None = None
) -> Moved | int:
    """What `vafa ledger migrate --to postgres` does: copy what is there beside the switch, or (finish) also
    end the move. Returns how many entries were copied this time, or what the move came to.
    """
    migration = Migration(path, url, seal_key)
    copied = migration.copy_entries(progress)
    return migration.finish(progress) if finish else copied
