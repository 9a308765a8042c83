"""The ledger on SQLite, the embedded default: one file, one writer, whole batches, sealed.

Only apsw opens the file, never a second SQLite library. Decisions are not taken here, and nothing is guessed
after a failed write: the caller drops its memory and starts again from what is stored.

Connections: one writes (statements on the caller's thread, COMMIT possibly on another), one answers look-ups
from committed data, one copies the write-ahead log into the database (`checkpoint`).
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import apsw

from switch.ledger.engine import (
    NO_MARKS,
    CodeCountLoad,
    ConflictError,
    CredentialLoad,
    EntryLoad,
    FencedError,
    Head,
    IdentifierLoad,
    LedgerUnavailable,
    Load,
    Loaded,
    MemberLoad,
    MobileLoad,
    ReversedLoad,
    Start,
)
from switch.ledger.model import (
    BUCKETS,
    Account,
    AccountKind,
    CardTried,
    CodeCount,
    CodesCounted,
    CodeSent,
    CodeSpent,
    CodeTried,
    Credential,
    Entry,
    Member,
    MemberAdded,
    MemberStatus,
    MemberStatusSet,
    Mobile,
    MobileRemoved,
    MobileSet,
    OriginalReversed,
    PinSet,
    PinTried,
    Posting,
    Side,
    Transfer,
    TransferKind,
    Unit,
)
from switch.ledger.schema import SCHEMA_VERSION, VERSIONS
from switch.ledger.seal import EntryRow, PostingRow, Sealer, SideRow, TransferRow

# Before it two connections that checkpoint at once can corrupt a write-ahead log.
OLDEST_SQLITE = (3, 51, 3)
# The bucket of an acceptor's account row. Postings name the sub-account of their bucket, but one writer owns
# all buckets of this file, so one row per account netted per batch saves a page write an entry.
ALL_BUCKETS = -1
# Rows of meta: the ledger's random id, the schema version, "number:MAC" of the last checkpoint.
META_NAMES = ("ledger", "schema", "checkpoint")
# One writer has nobody to wait for but a predecessor that is just closing.
BUSY_TIMEOUT_MS = 250
# Pages in the write-ahead log when `checkpoint` is worth calling: 8 MiB, a tenth of a second at full speed.
CHECKPOINT_PAGES = 2_000
# Pages at which the writer itself copies the log after a commit: bounds it near 64 MiB.
LONGEST_LOG_PAGES = 16_000
# Page cache of the writing and of the reading connection, KiB: the hot part of a million accounts.
PAGE_CACHE_KIB = 65_536

SIDE_KINDS: dict[type[Side], int] = {
    MemberAdded: 1,
    MemberStatusSet: 2,
    OriginalReversed: 3,
    PinSet: 4,
    PinTried: 5,
    CodeSent: 6,
    CodeTried: 7,
    CodeSpent: 8,
    MobileSet: 9,
    MobileRemoved: 10,
    CardTried: 11,
    CodesCounted: 12,
}
INITIAL_KEY_BYTES = 8  # of a key serial: BDK id and derivation id; the counter follows
_MOMENT_BYTES = 8  # milliseconds, big-endian: when a code ends, or since when codes are counted

_MEMBER_KIND = int(AccountKind.MEMBER)

_INSERT_ENTRY = "INSERT INTO entry VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
_INSERT_TRANSFER = "INSERT INTO transfer VALUES (?,?,?,?)"
_INSERT_POSTING = "INSERT INTO posting VALUES (?,?,?,?,?,?,?,?,?)"
_INSERT_SIDE = "INSERT INTO side VALUES (?,?,?,?,?,?)"
_ADD_TO_ACCOUNT = (
    "INSERT INTO account (bucket, kind, holder, program, unit, balance) VALUES (?,?,?,?,?,?)"
    " ON CONFLICT DO UPDATE SET balance = balance + excluded.balance"
)
_RAISE_MARK = (
    "INSERT INTO key_mark VALUES (?,?) ON CONFLICT DO UPDATE SET counter = max(counter, excluded.counter)"
)
_SET_HEAD = "UPDATE bucket_head SET sequence = ?, seal = ?, members = ? WHERE bucket = ?"
_ENTRY_BY_IDENTITY = (
    "SELECT id, bucket, identity, fingerprint, terminal, acceptor, business_date, decided_ms, member,"
    " response_code, answer, key_serial, request_mac FROM entry WHERE identity = ?"
)
_TRANSFERS = "SELECT number, kind, reverses FROM transfer WHERE entry = ? ORDER BY number"
_POSTINGS = (
    "SELECT transfer, bucket, kind, holder, program, unit, amount FROM posting WHERE entry = ?"
    " ORDER BY transfer, leg"
)
_IS_REVERSED = "SELECT 1 FROM reversed WHERE original = ?"
_DIRECTORY = "SELECT member, masked_card, seal FROM directory WHERE identifier = ?"
_BALANCE = (
    "SELECT balance FROM account WHERE bucket = ? AND kind = ? AND holder = ? AND program = ? AND unit = ?"
)
_SIDES = (
    "SELECT side.kind, side.member, side.status, side.original, directory.identifier, directory.masked_card,"
    " mobile.identifier, mobile.masked, mobile.sealed"
    f" FROM side LEFT JOIN directory ON side.kind = {SIDE_KINDS[MemberAdded]}"
    " AND directory.member = side.member"
    f" LEFT JOIN mobile ON side.kind = {SIDE_KINDS[MobileSet]} AND mobile.member = side.member"
    " WHERE side.entry = ? ORDER BY side.number"
)
_ANSWERED = "SELECT counter FROM answered WHERE initial_key = ?"
_MARKS = (
    "SELECT initial_key, max(counter) FROM (SELECT initial_key, counter FROM key_mark"
    " UNION ALL SELECT initial_key, counter FROM answered) GROUP BY 1"
)
_BY_MOBILE = "SELECT member, masked, sealed, seal FROM mobile WHERE identifier = ?"
_MOBILE = "SELECT identifier, masked, sealed, seal FROM mobile WHERE member = ?"
_CREDENTIAL = (
    "SELECT verifier, pin_wrong, code, code_expires_ms, code_wrong, card_wrong FROM credential"
    " WHERE member = ?"
)
_CODE_COUNT = "SELECT since_ms, sent FROM code_count WHERE subject = ?"
_MEMBER = (
    "SELECT member.status, directory.masked_card FROM member"
    " LEFT JOIN directory ON directory.member = member.id WHERE member.id = ?"
)

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


_Chain = tuple[int, bytes, int]  # as Head: sequence, seal, members


class _Rows(NamedTuple):
    """A batch as rows, in the order of the statements."""

    entries: list[tuple[object, ...]]
    transfers: list[TransferRow]
    postings: list[PostingRow]
    sides: list[SideRow]
    balances: dict[tuple[int, int, str, str, int], int]  # bucket, kind, holder, program, unit
    marks: dict[bytes, int]
    heads: dict[int, _Chain]


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


def _unavailable(path: Path, error: apsw.Error) -> Exception:
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
        self._heads: list[_Chain] | None = None
        self._staged: dict[int, _Chain] | None = None
        self._noted = ""
        self._staged_note = ""
        self._log_pages = 0
        self._finish_checkpoint = False
        self._connections: list[apsw.Connection] = []
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    # ---------------------------------------------------------------- opening

    def _open(self) -> None:
        self._writer = self._connect()
        with failures_at(self._path):
            if self._writer.execute("PRAGMA journal_mode = WAL").get != "wal":
                raise LedgerUnavailable(
                    f"{self._path}: this file system has no shared memory; use a local disk"
                )
            self._writer.set_wal_hook(self._note_log)
            self._ledger = self._create_or_check()
        self._reader = self._connect(read_only=True)
        self._checkpointer = self._connect()

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
                for statements in VERSIONS[version:]:
                    self._writer.execute(statements)
                self._write_meta("schema", str(SCHEMA_VERSION))
            return ledger

    def _create(self) -> None:
        for statements in VERSIONS:
            self._writer.execute(statements)
        ledger = secrets.token_hex(16)
        for name, value in zip(META_NAMES, (ledger, str(SCHEMA_VERSION), "0:"), strict=True):
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

    def claim(self, owner: str) -> int:
        """See `Engine.claim`. owner: a name for people, e.g. host and process."""
        with failures_at(self._path), self._transaction():
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

    def stage(self, entries: Sequence[Entry], epoch: int, answered: Mapping[bytes, int] = NO_MARKS) -> None:
        """See `Engine.stage`. Raises FencedError, ConflictError, LedgerUnavailable."""
        assert self._staged is None, "one batch at a time"
        with failures_at(self._path):
            try:
                self._writer.execute("BEGIN IMMEDIATE")
                current = self._epoch()
                if current != epoch:
                    raise FencedError(
                        f"{self._path}: epoch {epoch} is over, {current} owns the ledger now; stop"
                    )
                if self._heads is None:
                    self._heads = self._read_heads(self._writer)
                rows = self._rows(entries, self._heads)
                self._write(rows)
                for entry in entries:
                    if entry.sides:
                        self._write_sides(entry)
                for initial_key, counter in answered.items():
                    self._raise_answered(initial_key, counter)
                noted = self._noted
                if noted:
                    self._write_meta("checkpoint", noted)
            except apsw.ConstraintError as error:
                self.rollback()
                raise ConflictError(f"{self._path}: {error}") from error
            except BaseException:
                self.rollback()
                raise
        self._staged = rows.heads
        self._staged_note = noted

    def _rows(self, entries: Sequence[Entry], heads: Sequence[_Chain]) -> _Rows:
        """The batch as rows, sealed after `heads`. The hottest Python of a commit: plain loops and names."""
        seal_entry = self._sealer.entry
        entry_rows: list[tuple[object, ...]] = []
        transfer_rows: list[TransferRow] = []
        posting_rows: list[PostingRow] = []
        side_rows: list[SideRow] = []
        balances: dict[tuple[int, int, str, str, int], int] = {}
        marks: dict[bytes, int] = {}
        staged: dict[int, _Chain] = {}
        for entry in entries:
            entry_id = entry.id
            bucket = entry.bucket
            transfers: list[TransferRow] = []
            postings: list[PostingRow] = []
            for number, transfer in enumerate(entry.transfers):
                transfers.append((entry_id, number, transfer.kind, transfer.reverses))
                for leg, (account, amount) in enumerate(transfer.postings):
                    postings.append((entry_id, number, leg, *account, amount))
                    key = account if account[1] == _MEMBER_KIND else (ALL_BUCKETS, *account[1:])
                    balances[key] = balances.get(key, 0) + amount
            sides = [_side_row(entry_id, number, side) for number, side in enumerate(entry.sides)]
            sequence, previous, members = staged.get(bucket) or heads[bucket]
            sequence += 1
            serial = entry.key_serial
            if serial:
                initial_key = serial[:INITIAL_KEY_BYTES]
                counter = int.from_bytes(serial[INITIAL_KEY_BYTES:], "big")
                marks[initial_key] = max(counter, marks.get(initial_key, 0))
            row: EntryRow = (
                entry_id,
                bucket,
                sequence,
                entry.identity,
                entry.fingerprint,
                entry.terminal,
                entry.acceptor,
                entry.business_date,
                entry.decided_ms,
                entry.member,
                entry.response_code,
                entry.answer,
                serial,
                entry.request_mac,
            )
            seal = seal_entry(previous, row, transfers, postings, sides)
            if sides:
                members += sum(isinstance(side, MemberAdded) for side in entry.sides)
                side_rows += sides
            staged[bucket] = (sequence, seal, members)
            entry_rows.append((*row[:-2], seal, *row[-2:]))
            transfer_rows += transfers
            posting_rows += postings
        return _Rows(entry_rows, transfer_rows, posting_rows, side_rows, balances, marks, staged)

    def _write(self, rows: _Rows) -> None:
        many = self._writer.executemany
        many(_INSERT_ENTRY, rows.entries)
        many(_INSERT_TRANSFER, rows.transfers)
        many(_INSERT_POSTING, rows.postings)
        many(_INSERT_SIDE, rows.sides)
        many(_ADD_TO_ACCOUNT, ((*account, amount) for account, amount in rows.balances.items()))
        many(_RAISE_MARK, rows.marks.items())
        many(_SET_HEAD, ((*head, bucket) for bucket, head in rows.heads.items()))

    def _raise_answered(self, initial_key: bytes, counter: int) -> None:
        stored = self._writer.execute(_ANSWERED, (initial_key,)).get
        if stored is None or stored < counter:
            row = (initial_key, counter)
            self._writer.execute(
                "REPLACE INTO answered VALUES (?,?,?)", (*row, self._sealer.row("answered", row))
            )

    def _write_sides(self, entry: Entry) -> None:
        execute = self._writer.execute
        for side in entry.sides:
            if isinstance(side, MemberAdded):
                execute("INSERT INTO member VALUES (?,?)", (side.member, MemberStatus.ACTIVE))
                row = (side.identifier, side.member, side.masked_card)
                execute("INSERT INTO directory VALUES (?,?,?,?)", (*row, self._sealer.row("directory", row)))
            elif isinstance(side, MemberStatusSet):
                execute("UPDATE member SET status = ? WHERE id = ?", (side.status, side.member))
                if self._writer.changes() != 1:
                    raise ConflictError(
                        f"{self._path}: entry {entry.id} changes member {side.member}, who is not there"
                    )
            elif isinstance(side, OriginalReversed):
                execute("INSERT INTO reversed VALUES (?,?)", (side.original, entry.id))
            elif isinstance(side, MobileSet):
                of_mobile = (side.identifier, side.member, side.masked, side.sealed)
                seal = self._sealer.row("mobile", of_mobile)
                execute("INSERT INTO mobile VALUES (?,?,?,?,?)", (*of_mobile, seal))
            elif isinstance(side, MobileRemoved):
                execute("DELETE FROM mobile WHERE member = ?", (side.member,))
            elif isinstance(side, CodesCounted):
                execute("REPLACE INTO code_count VALUES (?,?,?)", (side.subject, side.since_ms, side.sent))
            else:
                # The writer sees what earlier entries of the batch made of it.
                stored = self._writer.execute(_CREDENTIAL, (side.member,)).fetchone()
                credential = Credential(*stored or ()).after(side)
                execute("REPLACE INTO credential VALUES (?,?,?,?,?,?,?)", (side.member, *credential))

    def sync(self) -> None:
        """See `Engine.sync`. Raises LedgerUnavailable: the outcome is then unknown."""
        assert self._staged is not None, "a batch is staged"
        assert self._heads is not None
        with failures_at(self._path):
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

    def rollback(self) -> None:
        """See `Engine.rollback`."""
        self._staged = None
        self._heads = None
        if self._writer.in_transaction:
            with failures_at(self._path):
                self._writer.execute("ROLLBACK")

    def commit(self, entries: Sequence[Entry], epoch: int) -> None:
        """See `Engine.commit`. Raises FencedError, ConflictError, LedgerUnavailable."""
        self.stage(entries, epoch)
        self.sync()

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
        with failures_at(self._path), suppress(apsw.BusyError):  # busy: the other connection is at it
            connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)

    # ---------------------------------------------------------------- look-ups

    def start(self) -> Start:
        """See `Engine.start`."""
        with failures_at(self._path), self._reader:
            get = self._reader.execute
            last_entry_id = get("SELECT max(id) FROM entry").get or 0
            last_identity = get("SELECT max(identity) FROM entry").get or b""
            last_reversed = get("SELECT max(original) FROM reversed").get or b""
            members = dict(get("SELECT bucket, members FROM bucket_head WHERE members > 0"))
            marks = dict(get(_MARKS))
        return Start(last_entry_id, last_identity, last_reversed, members, marks)

    def load(self, load: Load) -> Loaded:
        """See `Engine.load`. Raises LedgerUnavailable, also when what is stored contradicts itself."""
        try:
            if isinstance(load, EntryLoad):
                return self._load_entry(load.identity)
            if isinstance(load, ReversedLoad):
                return self._reader.execute(_IS_REVERSED, (load.original,)).fetchone() is not None
            if isinstance(load, IdentifierLoad):
                return self._load_identifier(load.identifier)
            if isinstance(load, MemberLoad):
                return self._load_member(load.member)
            if isinstance(load, CredentialLoad):
                return Credential(*self._reader.execute(_CREDENTIAL, (load.member,)).fetchone() or ())
            if isinstance(load, MobileLoad):
                return self._load_mobile(load.member)
            if isinstance(load, CodeCountLoad):
                return CodeCount(*self._reader.execute(_CODE_COUNT, (load.subject,)).fetchone() or ())
            return self._load_balance(load.account)
        except apsw.Error as error:
            raise _unavailable(self._path, error) from error
        except (AssertionError, ValueError) as error:
            raise self._contradiction(f"what {type(load).__name__} finds was changed ({error})") from error

    def _load_entry(self, identity: bytes) -> Entry | None:
        row = self._reader.execute(_ENTRY_BY_IDENTITY, (identity,)).fetchone()
        if row is None:
            return None
        *of_entry, key_serial, request_mac = row
        fields = (*of_entry, self._transfers(row[0]), self._sides(row[0]), key_serial, request_mac)
        return Entry(*fields)

    def _transfers(self, entry_id: int) -> tuple[Transfer, ...]:
        postings: dict[int, list[Posting]] = {}
        for number, bucket, kind, holder, program, unit, amount in self._reader.execute(
            _POSTINGS, (entry_id,)
        ):
            account = Account(bucket, AccountKind(kind), holder, program, Unit(unit))
            postings.setdefault(number, []).append(Posting(account, amount))
        return tuple(
            Transfer(TransferKind(kind), tuple(postings.get(number, ())), reverses)
            for number, kind, reverses in self._reader.execute(_TRANSFERS, (entry_id,))
        )

    def _sides(self, entry_id: int) -> tuple[Side, ...]:
        rows = self._reader.execute(_SIDES, (entry_id,))
        return tuple(
            side_of(kind, member, status, original, personal)
            for kind, member, status, original, *personal in rows
        )

    def _load_identifier(self, identifier: bytes) -> int | None:
        row = self._reader.execute(_DIRECTORY, (identifier,)).fetchone()
        if row is None:
            return self._load_by_mobile(identifier)
        member, masked_card, seal = row
        if self._sealer.row("directory", (identifier, member, masked_card)) != seal:
            raise self._contradiction(f"the directory row of member {member} was changed")
        assert isinstance(member, int)
        return member

    def _load_by_mobile(self, identifier: bytes) -> int | None:
        row = self._reader.execute(_BY_MOBILE, (identifier,)).fetchone()
        if row is None:
            return None
        member, masked, sealed, seal = row
        if self._sealer.row("mobile", (identifier, member, masked, sealed)) != seal:
            raise self._contradiction(f"the mobile row of member {member} was changed")
        assert isinstance(member, int)
        return member

    def _load_mobile(self, member: int) -> Mobile | None:
        row = self._reader.execute(_MOBILE, (member,)).fetchone()
        if row is None:
            return None
        identifier, masked, sealed, seal = row
        if self._sealer.row("mobile", (identifier, member, masked, sealed)) != seal:
            raise self._contradiction(f"the mobile row of member {member} was changed")
        return Mobile(identifier, masked, sealed)

    def _load_member(self, member: int) -> Member:
        row = self._reader.execute(_MEMBER, (member,)).fetchone()
        if row is None:
            raise self._contradiction(f"member {member} is missing")
        return Member(member, MemberStatus(row[0]), row[1] or "")

    def _load_balance(self, account: Account) -> int:
        if account.kind is not AccountKind.MEMBER:
            account = account._replace(bucket=ALL_BUCKETS)
        row = self._reader.execute(_BALANCE, account).fetchone()
        if row is None:
            return 0
        assert isinstance(row[0], int)
        return row[0]

    def _contradiction(self, what: str) -> LedgerUnavailable:
        return LedgerUnavailable(f"{self._path}: {what}; run `vafa ledger verify`")

    def heads(self) -> list[Head]:
        """See `Engine.heads`."""
        with failures_at(self._path):
            return [Head(*chain) for chain in self._read_heads(self._reader)]

    def _read_heads(self, connection: apsw.Connection) -> list[_Chain]:
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
    if not rows.keys() >= set(META_NAMES):
        raise LedgerUnavailable(f"{path}: meta rows are missing; restore a backup")
    version = int(rows["schema"][0])
    if not 1 <= version <= SCHEMA_VERSION:
        raise LedgerUnavailable(
            f"{path}: schema version {version}, this program knows {SCHEMA_VERSION};"
            " use the program that wrote it"
        )
    return str(rows["ledger"][0]), version


def _side_row(entry_id: int, number: int, side: Side) -> SideRow:
    member = 0 if isinstance(side, OriginalReversed) else side.member
    return entry_id, number, SIDE_KINDS[type(side)], member, *_side_values(side)


def _side_values(side: Side) -> tuple[int, bytes]:
    """The columns `status` and `original` of a side row. Nothing personal is in them."""
    if isinstance(side, MemberAdded):
        return MemberStatus.ACTIVE, b""
    if isinstance(side, MemberStatusSet):
        return side.status, b""
    if isinstance(side, OriginalReversed):
        return 0, side.original
    if isinstance(side, PinSet):
        return len(side.verifier), side.verifier + side.before
    if isinstance(side, PinTried | CodeTried | CardTried):
        return side.wrong, b""
    if isinstance(side, CodeSent):
        return side.wrong, side.expires_ms.to_bytes(_MOMENT_BYTES, "big") + side.hashed
    if isinstance(side, CodesCounted):
        return side.sent, side.since_ms.to_bytes(_MOMENT_BYTES, "big") + side.subject.encode("ascii")
    return 0, b""


def side_of(kind: int, member: int, status: int, original: bytes, personal: Sequence[object] = ()) -> Side:
    """The side that a row holds. personal: identifier and masked card, identifier, masked and sealed mobile,
    as far as they stand in directory and mobile. Raises ValueError for a kind that there isn't."""
    card_identifier, masked_card, *mobile = personal or (None,) * 5
    if kind == SIDE_KINDS[MemberAdded]:
        return MemberAdded(member, card_identifier or b"", masked_card or "")  # type: ignore[arg-type]
    if kind == SIDE_KINDS[MemberStatusSet]:
        return MemberStatusSet(member, MemberStatus(status))
    if kind == SIDE_KINDS[OriginalReversed]:
        return OriginalReversed(original)
    if kind == SIDE_KINDS[PinSet]:
        return PinSet(member, original[:status], original[status:])
    if kind == SIDE_KINDS[PinTried]:
        return PinTried(member, status)
    if kind == SIDE_KINDS[CodeSent]:
        expires_ms = int.from_bytes(original[:_MOMENT_BYTES], "big")
        return CodeSent(member, original[_MOMENT_BYTES:], expires_ms, status)
    if kind == SIDE_KINDS[CodeTried]:
        return CodeTried(member, status)
    if kind == SIDE_KINDS[CodeSpent]:
        return CodeSpent(member)
    if kind == SIDE_KINDS[MobileSet]:
        identifier, masked, sealed = mobile
        return MobileSet(member, identifier or b"", masked or "", sealed or b"")  # type: ignore[arg-type]
    if kind == SIDE_KINDS[MobileRemoved]:
        return MobileRemoved(member, b"")
    if kind == SIDE_KINDS[CardTried]:
        return CardTried(member, status)
    if kind == SIDE_KINDS[CodesCounted]:
        since_ms = int.from_bytes(original[:_MOMENT_BYTES], "big")
        return CodesCounted(member, original[_MOMENT_BYTES:].decode("ascii"), since_ms, status)
    raise ValueError(f"no side has kind {kind}")
