"""The ledger on SQLite, the embedded default: one file, one writer, whole batches, sealed.

Only apsw opens the file, never a second SQLite library. Decisions are not taken here, and nothing is guessed
after a failed write: the caller drops its memory and starts again from what is stored.

Connections: one writes (statements on the caller's thread, COMMIT possibly on another), one answers look-ups
from committed data, one searches what is due (reads a lot, possibly on another thread), one copies the
write-ahead log into the database (`checkpoint`).
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import apsw

from switch.ledger.counting import NOTHING, Count
from switch.ledger.engine import (
    Batch,
    CardLoad,
    CodeCountLoad,
    ConflictError,
    CounterLoad,
    DueMember,
    EntryIdLoad,
    EntryLoad,
    FencedError,
    FollowedLoad,
    FollowUp,
    Head,
    IdentifierLoad,
    LastBatch,
    LastBatchLoad,
    LedgerUnavailable,
    Load,
    Loaded,
    MemberLoad,
    MobileLoad,
    NotSynced,
    OpenHold,
    ReversedLoad,
    Start,
)
from switch.ledger.model import (
    BUCKETS,
    NEVER,
    Account,
    CodeCount,
    Entry,
    IdentifierKind,
    Member,
    Mobile,
    Named,
    OriginalReversed,
)
from switch.ledger.rows import (
    ENTRY_COLUMNS,
    UNREADABLE,
    Chain,
    entry_of,
    member_of,
    member_row,
    sealed,
)
from switch.ledger.schema import FIRST_VERSION, SCHEMA_VERSION, VERSIONS
from switch.ledger.seal import SEAL_BYTES, Sealer

# Before it two connections that checkpoint at once can corrupt a write-ahead log.
OLDEST_SQLITE = (3, 51, 3)
# The bucket of an acceptor's account row. Postings name the sub-account of their bucket, but one writer owns
# all buckets of this file, so one row per account netted per batch saves a page write an entry.
ALL_BUCKETS = -1
# Rows of meta: the ledger's random id, the schema version, "number:MAC" of the last checkpoint, and the XOR
# of the seals of all rows of `answered`, in hexadecimal, so that none is put back or taken away.
META_NAMES = ("ledger", "schema", "checkpoint", "answered")
# One writer has nobody to wait for but a predecessor that is just closing.
BUSY_TIMEOUT_MS = 250
# Pages in the write-ahead log when `checkpoint` is worth calling: 8 MiB, a tenth of a second at full speed.
CHECKPOINT_PAGES = 2_000
# Pages at which the writer itself copies the log after a commit: bounds it near 64 MiB.
LONGEST_LOG_PAGES = 16_000
# Of the write-ahead log at a time, when it is written anew.
REWRITTEN_BYTES = 1 << 20
# Page cache of the writing and of the reading connection, KiB: the hot part of a million accounts.
PAGE_CACHE_KIB = 65_536

_INSERT_ENTRY = f"INSERT INTO entry VALUES ({','.join('?' * len(ENTRY_COLUMNS))})"
_ADD_MEMBER = "INSERT INTO member VALUES (?,?,?,?,?,?)"
# Only when nobody changed the member since it was read.
_SET_MEMBER = (
    "UPDATE member SET status = ?, last_entry = ?, active_day = ?, due = ?, body = ?"
    " WHERE id = ? AND last_entry = ?"
)
# SQLite writes an index anew for each column that is named, changed or not: twice the time. So the day is set
# apart, where it is one and another one.
_SET_MEMBER_BUT_DUE = (
    "UPDATE member SET status = ?, last_entry = ?, active_day = ?, body = ? WHERE id = ? AND last_entry = ?"
)
_SET_DUE = "UPDATE member SET due = ? WHERE id = ? AND due <> ?"
_ADD_TO_ACCOUNT = (
    "INSERT INTO account VALUES (?,?,?,?,?,?) ON CONFLICT DO UPDATE SET balance = balance + excluded.balance"
)
_ADD_TO_COUNTER = (
    "INSERT INTO counter VALUES (?,?,?,?,?,?,?,?) ON CONFLICT DO UPDATE SET"
    " entries = entries + excluded.entries, amount = amount + excluded.amount, units = units + excluded.units"
)
_RAISE_MARK = (
    "INSERT INTO key_mark VALUES (?,?) ON CONFLICT DO UPDATE SET counter = max(counter, excluded.counter)"
)
_SET_HEAD = "UPDATE bucket_head SET sequence = ?, seal = ?, members = ? WHERE bucket = ?"
_ENTRY = f"SELECT {', '.join(ENTRY_COLUMNS[:-1])} FROM entry"
_ENTRY_BY_IDENTITY = f"{_ENTRY} WHERE identity = ?"
_ENTRY_BY_ID = f"{_ENTRY} WHERE id = ?"
_MEMBER = "SELECT id, status, last_entry, active_day, due, body FROM member WHERE id = ?"
_IS_REVERSED = "SELECT 1 FROM reversed WHERE original = ?"
_FOLLOWED = "SELECT amount, units, ended FROM followed WHERE entry = ?"
_COUNTER = (
    "SELECT entries, amount, units FROM counter"
    " WHERE scope = ? AND period = ? AND holder = ? AND operation = ? AND bucket = ?"
)
_BY_IDENTIFIER = "SELECT member, kind, masked, sealed, seal FROM directory WHERE identifier = ?"
_BY_MEMBER = "SELECT identifier, kind, masked, sealed, seal FROM directory WHERE member = ? AND kind = ?"
_BALANCE = (
    "SELECT balance FROM account WHERE kind = ? AND holder = ? AND program = ? AND unit = ? AND bucket = ?"
)
_CODE_COUNT = "SELECT since_ms, sent FROM code_count WHERE subject = ?"
_LAST_BATCH = (
    "SELECT number, entry, differs, ended FROM batch WHERE terminal = ? ORDER BY number DESC LIMIT 1"
)
_ANSWERED = "SELECT counter, seal FROM answered WHERE initial_key = ?"
_MARKS = (
    "SELECT initial_key, max(counter) FROM (SELECT initial_key, counter FROM key_mark"
    " UNION ALL SELECT initial_key, counter FROM answered) GROUP BY 1"
)
# The number is NEVER: the index has only days that come.
DUE_MEMBERS = (
    "SELECT due, id FROM member WHERE due < 2147483647 AND due <= ? AND (due, id) > (?, ?)"
    " ORDER BY due, id LIMIT ?"
)
_DUE_HOLDS = "SELECT id, member, expires_ms FROM hold WHERE expires_ms <= ? ORDER BY expires_ms, id LIMIT ?"

# What SQLite says -> what the operator reads: what is wrong, what to do next.
_FAILURES: tuple[tuple[type[apsw.Error], str], ...] = (
    (apsw.FullError, "the disk is full; free some space, then the switch goes on by itself"),
    (
        apsw.ReadOnlyError,
        "can't be written; check the permissions of file and directory and how the disk is mounted",
    ),
    (apsw.BusyError, "is locked by another process; stop the other switch or the tool that holds it"),
    (apsw.LockedError, "is locked by another process; stop the other switch or the tool that holds it"),
    (
        apsw.CorruptError,
        "is damaged; stop the switch, keep the file, run `vafa ledger verify`, restore a backup",
    ),
    (apsw.NotADBError, "is not a ledger (not a SQLite file); check the data directory"),
    (apsw.CantOpenError, "can't be opened; check that the directory exists and may be written"),
    (apsw.PermissionsError, "can't be opened; check the permissions of file and directory"),
    (apsw.SQLError, "is not as this program made it; run `vafa ledger verify`"),
    (apsw.ProtocolError, "is opened by too many processes at once; try again"),
    (apsw.IOError, "the disk reports an error; check the disk and the system log before starting again"),
)


def open_connection(path: Path, *, read_only: bool = False) -> apsw.Connection:
    """A connection to a ledger file, which is made (empty, for its owner only) unless read_only.

    Raises LedgerUnavailable.
    """
    if tuple(int(part) for part in apsw.sqlite_lib_version().split(".")) < OLDEST_SQLITE:
        raise LedgerUnavailable(
            f"SQLite {apsw.sqlite_lib_version()} can corrupt a ledger; install apsw"
            f" {'.'.join(map(str, OLDEST_SQLITE))} or newer"
        )
    with failures_at(path):
        try:
            os.close(os.open(path, os.O_RDONLY if read_only else os.O_RDWR | os.O_CREAT, 0o600))
        except OSError as error:
            raise LedgerUnavailable(
                f"{path}: can't be opened ({error.strerror}); check the data directory and its permissions"
            ) from None
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
        connection.set_busy_timeout(BUSY_TIMEOUT_MS)
        connection.execute(f"PRAGMA cache_size = -{PAGE_CACHE_KIB}")
        connection.execute("PRAGMA synchronous = FULL")  # every commit and every copied log reaches the disk
        if read_only:
            connection.execute("PRAGMA query_only = ON")
        return connection


@contextmanager
def failures_at(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into LedgerUnavailable with a text for the operator."""
    try:
        yield
    except apsw.Error as error:
        raise _unavailable(path, error) from error


# What a failed fsync comes to.
_NOT_SYNCED = (apsw.SQLITE_IOERR_FSYNC, apsw.SQLITE_IOERR_DIR_FSYNC)


def _unavailable(path: Path, error: apsw.Error) -> Exception:
    if getattr(error, "extendedresult", 0) in _NOT_SYNCED:
        return NotSynced(
            f"{path}: the disk failed to make durable what it took; check the disk and the system log, then"
            f" start again (SQLite: {error})"
        )
    for kind, text in _FAILURES:
        if isinstance(error, kind):
            return LedgerUnavailable(f"{path}: {text} (SQLite: {error})")
    return error


class SqliteEngine:
    """`switch.ledger.engine.Engine` on one SQLite file. seal_key: at least 32 bytes, the same for ever.

    Raises LedgerUnavailable from every method when the file can't be used.
    """

    def __init__(self, path: Path, seal_key: bytes) -> None:
        self._path = path
        self._sealer = Sealer(seal_key)
        # Of the batch staged last, for the archive.
        self.sealed_rows: Sequence[tuple[object, ...]] = ()
        self._heads: list[Chain] | None = None
        self._staged: dict[int, Chain] | None = None
        self._noted = ""
        self._staged_note = ""
        self._log_pages = 0
        self._finish_checkpoint = False
        self._distrusted = ""  # why nothing is written any more, see `NotSynced`
        self._connections: list[apsw.Connection] = []
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    # ---------------------------------------------------------------- opening

    def _open(self) -> None:
        self._writer = self._connect()
        with self._failures():
            if self._writer.execute("PRAGMA journal_mode = WAL").get != "wal":
                raise LedgerUnavailable(
                    f"{self._path}: this file system has no shared memory; use a local disk"
                )
            self._writer.set_wal_hook(self._note_log)
            self._ledger = self._create_or_check()
            self._write_log_anew()
        self._reader = self._connect(read_only=True)
        self._searcher = self._connect(read_only=True)
        self._checkpointer = self._connect()

    def _write_log_anew(self) -> None:
        """Write the log's bytes once more, and sync them, before anything in it is relied on.

        Where a predecessor's sync failed the system remembers what the disk never got and doesn't try again:
        read, it looks stored, and of what follows it in the log nothing would survive a power cut.
        """
        with self._transaction():  # nobody else writes to the log meanwhile
            try:
                with open(f"{self._path}-wal", "r+b", buffering=0) as log:
                    while chunk := log.read(REWRITTEN_BYTES):
                        log.seek(-len(chunk), os.SEEK_CUR)
                        log.write(chunk)
                    os.fsync(log.fileno())
            except FileNotFoundError:
                return
            except OSError as error:
                raise NotSynced(
                    f"{self._path}-wal: can't be written ({error.strerror}); check the disk"
                ) from error

    def _connect(self, *, read_only: bool = False) -> apsw.Connection:
        self._connections.append(open_connection(self._path, read_only=read_only))
        return self._connections[-1]

    def _create_or_check(self) -> str:
        """Make the tables of a new ledger, or check version and key of an old one; returns its id."""
        with self._transaction():
            if not self._writer.execute("SELECT count(*) FROM sqlite_schema").get:
                self._create()
            elif not self._writer.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'meta'").get:
                raise LedgerUnavailable(
                    f"{self._path}: is another program's database; check the data directory"
                )
            ledger, version = read_meta(self._writer, self._path, self._sealer)
            if version != SCHEMA_VERSION:
                for newer in range(version + 1, SCHEMA_VERSION + 1):
                    self._writer.execute(VERSIONS[newer])
                self._write_meta("schema", str(SCHEMA_VERSION))
            return ledger

    def _create(self) -> None:
        for number in sorted(VERSIONS):
            self._writer.execute(VERSIONS[number])
        ledger = secrets.token_hex(16)
        values = (ledger, str(SCHEMA_VERSION), "0:", "00" * SEAL_BYTES)
        for name, value in zip(META_NAMES, values, strict=True):
            self._write_meta(name, value)
        self._writer.executemany(
            "INSERT INTO bucket_head VALUES (?,0,?,0)",
            ((bucket, self._sealer.genesis(ledger, bucket)) for bucket in range(BUCKETS)),
        )
        owner = (0, BUCKETS - 1, "", 0)
        self._writer.execute(
            "INSERT INTO owner VALUES (?,?,?,?,?)", (*owner, self._sealer.row("owner", owner))
        )

    def _write_meta(self, name: str, value: str) -> None:
        seal = self._sealer.row("meta", (name, value))
        self._writer.execute("REPLACE INTO meta VALUES (?,?,?)", (name, value, seal))

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._writer.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._writer.execute("COMMIT")
        finally:
            self.rollback()

    def claim(self, owner: str, first_bucket: int = 0, last_bucket: int = BUCKETS - 1) -> int:
        """See `Engine.claim`. owner: a name for people, e.g. host and process. Only all buckets together: a
        SQLite file has one writer."""
        if (first_bucket, last_bucket) != (0, BUCKETS - 1):
            raise LedgerUnavailable(
                f"{self._path}: one process owns all buckets of a SQLite ledger; several need PostgreSQL"
            )
        with self._failures(), self._transaction():
            epoch = self._epoch() + 1
            row = (0, BUCKETS - 1, owner, epoch)
            seal = self._sealer.row("owner", row)
            self._writer.execute("REPLACE INTO owner VALUES (?,?,?,?,?)", (*row, seal))
        return epoch

    def _epoch(self) -> int:
        epoch = self._writer.execute("SELECT epoch FROM owner WHERE first_bucket = 0").get
        if epoch is None:
            raise self._contradiction("the owner's row is missing")
        return int(epoch)

    # ---------------------------------------------------------------- writing

    def stage(self, batch: Batch, epoch: int) -> None:
        """See `Engine.stage`. Raises FencedError, ConflictError, LedgerUnavailable."""
        assert self._staged is None, "one batch at a time"
        with self._failures():
            try:
                self._writer.execute("BEGIN IMMEDIATE")
                current = self._epoch()
                if current != epoch:
                    raise FencedError(
                        f"{self._path}: epoch {epoch} is over, {current} owns the ledger now; stop"
                    )
                if self._heads is None:
                    self._heads = self._read_heads(self._writer)
                heads = self._write(batch, self._heads)
                noted = self._noted
                if noted:
                    self._write_meta("checkpoint", noted)
            except apsw.ConstraintError as error:
                self.rollback()
                raise ConflictError(f"{self._path}: {error}") from error
            except BaseException:
                self.rollback()
                raise
        self._staged = heads
        self._staged_note = noted

    def _write(self, batch: Batch, heads: Sequence[Chain]) -> dict[int, Chain]:
        many = self._writer.executemany
        rows, ends, marks = sealed(batch.entries, heads, self._sealer)
        self.sealed_rows = rows
        many(_INSERT_ENTRY, rows)
        self._write_members(batch)
        # In the order of their keys, a fifth quicker: neighbours lie on one page.
        of_accounts = [
            (kind, holder, program, unit, ALL_BUCKETS, amount)
            for (_bucket, kind, holder, program, unit), amount in batch.accounts.items()
        ]
        many(_ADD_TO_ACCOUNT, sorted(of_accounts))
        of_counters = [
            (scope, period, holder, operation, ALL_BUCKETS, entries, amount, units)
            for (scope, holder, period, operation), (entries, amount, units) in batch.counters.items()
        ]
        many(_ADD_TO_COUNTER, sorted(of_counters))
        many(_RAISE_MARK, sorted(marks.items()))
        many(_SET_HEAD, ((*head, bucket) for bucket, head in ends.items()))
        for entry in batch.entries:
            if entry.sides or entry.namings:
                self._write_beside(entry)
        for entry_id, follow_up in batch.followed.items():
            self._writer.execute("REPLACE INTO followed VALUES (?,?,?,?)", (entry_id, *follow_up))
        many("INSERT INTO hold VALUES (?,?,?)", batch.opened)
        many("DELETE FROM hold WHERE id = ?", ((hold,) for hold in batch.closed))
        for subject, count in batch.code_counts.items():
            self._writer.execute("REPLACE INTO code_count VALUES (?,?,?)", (subject, *count))
        many(
            "REPLACE INTO batch VALUES (?,?,?,?,?)",
            ((terminal, *last) for (terminal, _), last in batch.batches.items()),
        )
        if batch.answered:
            self._raise_answered(batch.answered)
        return ends

    def _write_members(self, batch: Batch) -> None:
        before: dict[int, int] = {}  # each member's newest entry before this batch; 0: not there
        for entry in batch.entries:
            before.setdefault(entry.member, entry.previous)
        added, changed, but_due, due = [], [], [], []
        for member in batch.members.values():
            row = number, status, newest, active_day, first_due, body = member_row(member)
            last_entry = before[number]
            if not last_entry:
                added.append(row)
            elif first_due < NEVER:
                but_due.append((status, newest, active_day, body, number, last_entry))
                due.append((first_due, number, first_due))
            else:
                changed.append((status, newest, active_day, first_due, body, number, last_entry))
        self._writer.executemany(_ADD_MEMBER, added)
        others = self._writer.total_changes()
        self._writer.executemany(_SET_MEMBER, changed)
        self._writer.executemany(_SET_MEMBER_BUT_DUE, but_due)
        if self._writer.total_changes() - others != len(changed) + len(but_due):
            raise ConflictError(f"{self._path}: a member of the batch is not as it was read")
        self._writer.executemany(_SET_DUE, due)

    def _write_beside(self, entry: Entry) -> None:
        execute = self._writer.execute
        for side in entry.sides:
            if type(side) is OriginalReversed:
                execute("INSERT INTO reversed VALUES (?,?)", (side.original, entry.id))
        for naming in entry.namings:
            if isinstance(naming, Named):
                row = (naming.identifier, naming.member, int(naming.kind), naming.masked, naming.sealed)
                execute(
                    "INSERT INTO directory VALUES (?,?,?,?,?,?)", (*row, self._sealer.row("directory", row))
                )
            else:
                execute("DELETE FROM directory WHERE identifier = ?", (naming.identifier,))

    def _raise_answered(self, answered: Mapping[bytes, int]) -> None:
        value = self._writer.execute("SELECT value FROM meta WHERE name = 'answered'").get
        together = int(str(value), 16)
        for initial_key, counter in answered.items():
            stored = self._writer.execute(_ANSWERED, (initial_key,)).fetchone()
            if stored is not None and stored[0] >= counter:
                continue
            row = (initial_key, counter)
            seal = self._sealer.row("answered", row)
            if stored is not None:
                together ^= int.from_bytes(stored[1], "big")
            together ^= int.from_bytes(seal, "big")
            self._writer.execute("REPLACE INTO answered VALUES (?,?,?)", (*row, seal))
        self._write_meta("answered", together.to_bytes(SEAL_BYTES, "big").hex())

    def sync(self) -> None:
        """See `Engine.sync`. Raises LedgerUnavailable: the outcome is then unknown."""
        assert self._staged is not None, "a batch is staged"
        assert self._heads is not None
        with self._failures():
            try:
                self._writer.execute("COMMIT")
            except BaseException:
                self.rollback()
                raise
            if self._noted == self._staged_note:
                self._noted = ""
            for bucket, head in self._staged.items():
                self._heads[bucket] = head
            self._staged = None
        if self._finish_checkpoint or self._log_pages >= LONGEST_LOG_PAGES:
            self._finish_checkpoint = False
            with suppress(LedgerUnavailable):  # the batch is durable; a bad disk shows at the next one
                self._copy_log(self._writer)

    @contextmanager
    def _failures(self) -> Iterator[None]:
        """As `failures_at`, where something is written: after a failed sync nothing more is. A second one
        would succeed without writing what the first one lost, and the log that has it would be let go."""
        if self._distrusted:
            raise NotSynced(self._distrusted)
        try:
            with failures_at(self._path):
                yield
        except NotSynced as error:
            self._distrusted = str(error)
            raise

    def rollback(self) -> None:
        """See `Engine.rollback`."""
        self._staged = None
        self._heads = None
        if self._writer.in_transaction:
            with failures_at(self._path):
                self._writer.execute("ROLLBACK")

    def note_checkpoint(self, number: int, mac: str) -> None:
        """See `Engine.note_checkpoint`."""
        self._noted = f"{number}:{mac}"

    # ---------------------------------------------------------------- write-ahead log

    def _note_log(self, connection: apsw.Connection, database: str, pages: int) -> int:
        self._log_pages = pages
        return apsw.SQLITE_OK

    @property
    def checkpoint_due(self) -> bool:
        """Whether `checkpoint` is worth calling now."""
        return self._log_pages >= CHECKPOINT_PAGES and not self._finish_checkpoint

    def checkpoint(self) -> None:
        """Copy the write-ahead log into the database; call it on a thread of its own when `checkpoint_due`.

        It never blocks the writer. The log starts over after the next `sync`, which copies the few pages that
        came meanwhile. Without these calls the writer copies all of it, less often and in one longer pause.
        """
        self._copy_log(self._checkpointer)
        self._finish_checkpoint = True

    def _copy_log(self, connection: apsw.Connection) -> None:
        with self._failures(), suppress(apsw.BusyError):  # busy: the other connection is at it
            connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)

    # ---------------------------------------------------------------- look-ups

    def start(self) -> Start:
        """See `Engine.start`."""
        with failures_at(self._path), self._reader:
            get = self._reader.execute
            newest = get("SELECT id, business_date FROM entry ORDER BY id DESC LIMIT 1").fetchone()
            last_identity = get("SELECT max(identity) FROM entry").get or b""
            last_reversed = get("SELECT max(original) FROM reversed").get or b""
            members = dict(get("SELECT bucket, members FROM bucket_head WHERE members > 0"))
            marks = dict(get(_MARKS))
        last_entry_id, business_date = newest or (0, "")
        return Start(last_entry_id, last_identity, last_reversed, business_date, members, marks)

    def load_many(self, loads: Sequence[Load]) -> list[Loaded]:
        """See `Engine.load_many`. Raises LedgerUnavailable."""
        return [self.load(load) for load in loads]

    def load(self, load: Load) -> Loaded:
        """See `Engine.load`. Raises LedgerUnavailable, also when what is stored contradicts itself."""
        try:
            return self._load(load)
        except apsw.Error as error:
            raise _unavailable(self._path, error) from error
        except UNREADABLE as error:
            raise self._contradiction(
                f"what {type(load).__name__} finds was changed ({type(error).__name__})"
            ) from error

    def _load(self, load: Load) -> Loaded:
        get = self._reader.execute
        if isinstance(load, EntryLoad):
            return self._entry(_ENTRY_BY_IDENTITY, load.identity)
        if isinstance(load, EntryIdLoad):
            return self._entry(_ENTRY_BY_ID, load.entry)
        if isinstance(load, MemberLoad):
            return self._load_member(load.member)
        if isinstance(load, IdentifierLoad):
            return self._load_identifier(load.identifier)
        if isinstance(load, ReversedLoad):
            return get(_IS_REVERSED, (load.original,)).fetchone() is not None
        if isinstance(load, FollowedLoad):
            row = get(_FOLLOWED, (load.entry,)).fetchone()
            return FollowUp() if row is None else FollowUp(row[0], row[1], bool(row[2]))
        if isinstance(load, CounterLoad):
            scope, holder, period, operation = load.counter
            row = get(_COUNTER, (scope, period, holder, operation, ALL_BUCKETS)).fetchone()
            return NOTHING if row is None else Count(*row)
        if isinstance(load, CodeCountLoad):
            return CodeCount(*get(_CODE_COUNT, (load.subject,)).fetchone() or ())
        if isinstance(load, LastBatchLoad):
            row = get(_LAST_BATCH, (load.terminal,)).fetchone()
            return None if row is None else LastBatch(row[0], row[1], bool(row[2]), row[3])
        if isinstance(load, MobileLoad):
            for identifier, masked, mobile in self._named(load.member, IdentifierKind.MOBILE):
                return Mobile(identifier, masked, mobile)
            return None
        if isinstance(load, CardLoad):
            cards = self._named(load.member, IdentifierKind.CARD)
            return tuple((identifier, masked) for identifier, masked, _ in cards)
        return self._load_balance(load.account)

    def _entry(self, statement: str, key: bytes | int) -> Entry | None:
        row = self._reader.execute(statement, (key,)).fetchone()
        return None if row is None else entry_of(row)

    def _load_member(self, member: int) -> Member:
        row = self._reader.execute(_MEMBER, (member,)).fetchone()
        if row is None:
            raise self._contradiction(f"member {member} is missing")
        return member_of(row)

    def _load_identifier(self, identifier: bytes) -> int | None:
        row = self._reader.execute(_BY_IDENTIFIER, (identifier,)).fetchone()
        if row is None:
            return None
        *named, seal = row
        if self._sealer.row("directory", (identifier, *named)) != seal:
            raise self._contradiction(f"the directory row of member {named[0]} was changed")
        assert isinstance(named[0], int)
        return named[0]

    def _named(self, member: int, kind: IdentifierKind) -> tuple[tuple[bytes, str, bytes], ...]:
        """Identifier, masked and sealed number of what a member is found by."""
        found = []
        for identifier, of_kind, masked, number, seal in self._reader.execute(
            _BY_MEMBER, (member, int(kind))
        ):
            if self._sealer.row("directory", (identifier, member, of_kind, masked, number)) != seal:
                raise self._contradiction(f"the directory row of member {member} was changed")
            found.append((identifier, masked, number))
        return tuple(found)

    def _load_balance(self, account: Account) -> int:
        row = self._reader.execute(_BALANCE, (*account[1:], ALL_BUCKETS)).fetchone()
        if row is None:
            return 0
        assert isinstance(row[0], int)
        return row[0]

    def due_members(self, day: int, after: DueMember, limit: int) -> list[DueMember]:
        """See `Engine.due_members`: by day, then by id."""
        with failures_at(self._path):
            return [DueMember(*row) for row in self._searcher.execute(DUE_MEMBERS, (day, *after, limit))]

    def due_holds(self, now_ms: int, limit: int) -> list[OpenHold]:
        """See `Engine.due_holds`."""
        with failures_at(self._path):
            return [OpenHold(*row) for row in self._searcher.execute(_DUE_HOLDS, (now_ms, limit))]

    def _contradiction(self, what: str) -> LedgerUnavailable:
        return LedgerUnavailable(f"{self._path}: {what}; run `vafa ledger verify`")

    def heads(self) -> list[Head]:
        """See `Engine.heads`."""
        with failures_at(self._path):
            return [Head(*chain) for chain in self._read_heads(self._reader)]

    def _read_heads(self, connection: apsw.Connection) -> list[Chain]:
        rows = connection.execute("SELECT sequence, seal, members FROM bucket_head ORDER BY bucket")
        heads = [(sequence, seal, members) for sequence, seal, members in rows]
        if len(heads) != BUCKETS:
            raise self._contradiction(f"bucket_head has {len(heads)} rows of {BUCKETS}")
        return heads

    @property
    def ledger(self) -> str:
        """The random id of this ledger."""
        return self._ledger

    def close(self) -> None:
        """See `Engine.close`. SQLite forgets a transaction that is open."""
        for connection in reversed(self._connections):
            if self._distrusted:  # or the last one would copy the log and delete it
                connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
            connection.close()


def read_meta(connection: apsw.Connection, path: Path, sealer: Sealer) -> tuple[str, int]:
    """The ledger's id and schema version, after checking both and the seal key. Raises LedgerUnavailable."""
    rows = {name: (value, seal) for name, value, seal in connection.execute("SELECT * FROM meta")}
    for name, (value, seal) in rows.items():
        if sealer.row("meta", (name, value)) != seal:
            raise LedgerUnavailable(
                f"{path}: the seal key doesn't fit this ledger (or its meta row {name!r} was changed);"
                " check keys.seal in the settings"
            )
    version = int(rows["schema"][0]) if "schema" in rows else SCHEMA_VERSION
    if version < FIRST_VERSION:
        raise LedgerUnavailable(
            f"{path}: schema version {version} is of before the first release and can't be brought forward;"
            " begin with an empty data directory"
        )
    if version > SCHEMA_VERSION:
        raise LedgerUnavailable(
            f"{path}: schema version {version}, this program knows {SCHEMA_VERSION} at most; use the program"
            " that wrote it"
        )
    if not rows.keys() >= set(META_NAMES):
        raise LedgerUnavailable(f"{path}: meta rows are missing; restore a backup")
    return str(rows["ledger"][0]), version
