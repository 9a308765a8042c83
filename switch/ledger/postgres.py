"""The ledger on PostgreSQL: batches and seals as in every engine, several owners, each of a range of buckets.

A batch is one statement and one transaction, fenced by its owner's row. Nothing is guessed: when a connection
is lost the outcome is unknown, the caller drops its memory and starts again from what is stored, and nothing
that the lost connection still has under way can be stored after that. The password of the connection string
is in no text of this module.

Connections: one writes, possibly on a thread of its own, one answers look-ups from committed data, one
searches what is due (reads a lot, possibly on another thread).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import psycopg
from psycopg import errors

from switch.ledger import postgres_statements as statements
from switch.ledger.counting import NOTHING, Count
from switch.ledger.engine import (
    ANY_BUCKET,
    EVERY_BUCKET,
    FIRST_DUE,
    BalanceLoad,
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
    OpenHold,
    ReversedLoad,
    Start,
)
from switch.ledger.model import (
    BUCKETS,
    CodeCount,
    Followed,
    HoldClosed,
    IdentifierKind,
    Member,
    Mobile,
    Named,
    OriginalReversed,
    bucket_of_member,
)
from switch.ledger.postgres_connection import ALL, Connection, Reader, Row, Server, open_ledger, sealed_owner
from switch.ledger.postgres_newest import NEWEST, Newest
from switch.ledger.postgres_statements import (
    FENCED,
    PARTS,
    Array,
    Numbers,
    Strings,
    Texts,
    batch_statement,
    columns,
)
from switch.ledger.rows import UNREADABLE, Chain, entry_of, member_of, member_row, sealed
from switch.ledger.seal import SEAL_BYTES, Sealer

# A batch that met a deadlock or a serialization failure was rolled back; it is sent again as it was.
MOST_TRIES = 5
# Claims of neighbouring ranges that are made at the same moment; each try sees one more of them.
MOST_CLAIM_TRIES = 20
_REFUSED = ("22", "23")  # data exceptions and integrity violations: the batch's own fault, nothing is stored


class _Owned(NamedTuple):
    """What the owner of a range knows of its own rows. answered: counters of its first bucket's `answered`;
    together: the XOR of their seals."""

    heads: dict[int, Chain]
    answered: dict[bytes, int]
    together: int


class _Known(NamedTuple):
    """Where the newest identities and reversed originals of the owned buckets are. Nobody else adds any."""

    identities: Newest
    reversed: Newest


class _Staged(NamedTuple):
    """A batch that is ready to be sent. parameters and statement never change: it is sent again as it is."""

    statement: str
    parameters: list[object]
    heads: dict[int, Chain]
    answered: Mapping[bytes, int]
    together: int
    note: str
    identities: Sequence[tuple[bytes, int]]  # each with its bucket
    reversals: Sequence[Row]


class PostgresEngine:
    """`switch.ledger.engine.Engine` on a PostgreSQL database.

    url: connection string (URI or key=value); tables are made in the first schema of its search path.
    seal_key: at least 32 bytes, the same for ever. Raises LedgerUnavailable from every method when the
    database can't be used; the next call tries again.
    """

    is_remote = True  # a look-up costs a round trip: ask for many at once, off the event loop

    def __init__(self, url: str, seal_key: bytes) -> None:
        self._server = Server(url)
        self._sealer = Sealer(seal_key)
        self._writer: Connection | None = None
        # Look-ups wait for nobody; what reads a lot (searches, heads) may do so on threads of its own.
        self._reader = Reader(self._server)
        self._searcher = Reader(self._server)
        self._range = ALL
        self._name = ""
        self._epoch: int | None = None  # of the last claim
        self._writer_number = 0
        self._owned: _Owned | None = None
        self._known: _Known | None = None  # None: look-ups without a bucket ask all of them
        self._staged: _Staged | None = None
        self._noted = ""
        self._closed = False
        # Of the batch staged last, for the archive.
        self.sealed_rows: Sequence[tuple[object, ...]] = ()
        try:
            self._ledger = open_ledger(self._server, self._sealer)
            self._server.is_switch_on(self._ledger)
        except BaseException:
            self.close()
            raise

    @property
    def ledger(self) -> str:
        """The random id of this ledger."""
        return self._ledger

    # ---------------------------------------------------------------- owning

    def claim(self, owner: str, first_bucket: int = 0, last_bucket: int = BUCKETS - 1) -> int:
        """See `Engine.claim`. owner: a name for people, e.g. host and process."""
        assert 0 <= first_bucket <= last_bucket < BUCKETS, "a range of buckets"
        self.rollback()
        self._owned = self._known = None
        with self._writing() as connection:
            for _ in range(MOST_CLAIM_TRIES):
                with connection.transaction():
                    taken = self._take(connection, owner, first_bucket, last_bucket)
                if taken is not None:
                    break
            else:
                raise self._contradiction("the owners' rows don't cover all buckets")
        self._range = (first_bucket, last_bucket)
        self._name = owner
        self._epoch, self._writer_number = taken
        return self._epoch

    def _take(self, connection: Connection, owner: str, first: int, last: int) -> tuple[int, int] | None:
        """Epoch and writer of the new owner; None when a claim at the same moment changed the rows."""
        rows = connection.execute(statements.OVERLAPPING_OWNERS, (last, first, first)).fetchall()
        ranges = [(row[0], row[1]) for row in rows if row[0] <= row[1]]
        if not _covered(ranges, first, last):
            return None
        epoch = 1 + max(row[3] for row in rows)
        writer = 1 + max(row[4] for row in rows)
        for row_first, row_last in ranges:
            if row_first < first:
                self._set_owner(connection, (row_first, first - 1, "", epoch), writer)
            elif row_first > first:
                # Its sums stay in its first bucket, so its row stays, of no bucket.
                self._set_owner(connection, (row_first, row_first - 1, "", epoch), writer)
            if row_last > last:
                self._set_owner(connection, (last + 1, row_last, "", epoch), writer)
        self._set_owner(connection, (first, last, owner, epoch), writer)
        return epoch, writer

    def _set_owner(self, connection: Connection, row: tuple[int, int, str, int], writer: int) -> None:
        seal = self._sealer.row("owner", sealed_owner(*row, writer))
        connection.execute(statements.SET_OWNER, (*row, writer, seal))

    def start(self) -> Start:
        """See `Engine.start`. What a lost connection has under way is over before this looks."""
        if self._epoch is not None and self._writer is None:
            with self._writing():
                pass
        with self._reader.reading() as connection, connection.transaction():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            get = connection.execute
            newest = get(statements.NEWEST_ENTRY, self._range, binary=True).fetchone()
            newest_of_all = get(statements.NEWEST_ENTRY, ALL, binary=True).fetchone()
            identity = get(statements.LAST_IDENTITY, self._range, binary=True).fetchone()
            original = get(statements.LAST_REVERSED, self._range, binary=True).fetchone()
            marks: dict[bytes, int] = dict(get(statements.MARKS, binary=True).fetchall())
            owned = self._read_owned(connection)
            known = self._read_known(connection)
        if self._staged is None:
            self._owned, self._known = owned, known
        members = {bucket: count for bucket, (_, _, count) in owned.heads.items() if count}
        return Start(
            newest_of_all[0] if newest_of_all else 0,
            identity[0] if identity else b"",
            original[0] if original else b"",
            newest[1] if newest else "",
            members,
            marks,
            self._range,
        )

    def _read_owned(self, connection: Connection) -> _Owned:
        heads = self._read_heads(connection, self._range)
        rows = connection.execute(statements.ANSWERED, (self._range[0],), binary=True).fetchall()
        together = 0
        for row in rows:
            together ^= int.from_bytes(self._sealer.row("answered", row), "big")
        return _Owned(heads, dict(rows), together)

    def _read_heads(self, connection: Connection, buckets: tuple[int, int]) -> dict[int, Chain]:
        rows = connection.execute(statements.HEADS, buckets, binary=True).fetchall()
        first, last = buckets
        if len(rows) != last - first + 1:
            raise self._contradiction(f"bucket_head has {len(rows)} rows of {last - first + 1}")
        return {bucket: (sequence, seal, members) for bucket, sequence, seal, members in rows}

    def _read_known(self, connection: Connection) -> _Known:
        first, last = self._range
        most = NEWEST // (last - first + 1)
        found = [
            connection.execute(statement, (first, last, most), binary=True).fetchall()
            for statement in (statements.NEWEST_IDENTITIES, statements.NEWEST_REVERSED)
        ]
        return _Known(*(Newest.of_buckets(rows, most, NEWEST) for rows in found))

    def heads(self) -> list[Head]:
        """See `Engine.heads`."""
        with self._searcher.reading() as connection:
            return [Head(*chain) for chain in self._read_heads(connection, ALL).values()]

    # ---------------------------------------------------------------- writing

    def stage(self, batch: Batch, epoch: int) -> None:
        """See `Engine.stage`. Sends nothing; only the first after a claim or a failure reads."""
        assert self._staged is None, "one batch at a time"
        first, last = self._range
        for entry in batch.entries:
            if not first <= entry.bucket <= last:
                raise ConflictError(
                    f"{self._server}: an entry of bucket {entry.bucket}, this owner has {first} to {last}"
                )
        if self._owned is None:
            with self._reader.reading() as connection:
                self._owned = self._read_owned(connection)
        owned = self._owned
        rows, ends, marks = sealed(batch.entries, owned.heads, self._sealer)
        self.sealed_rows = rows
        answered = {key: value for key, value in batch.answered.items() if value > owned.answered.get(key, 0)}
        together = owned.together
        together_row: tuple[Row, ...] = ()
        if answered:
            together = self._together(owned, answered)
            value = together.to_bytes(SEAL_BYTES, "big").hex()
            together_row = (self._meta(_answered_name(first), value, first),)
        note = self._noted
        noted = (self._meta("checkpoint", note, 0),) if note else ()
        beside = _rows_beside(batch)
        parts: dict[str, Iterable[Row]] = {
            "heads_moved": [(bucket, *end, owned.heads[bucket][0]) for bucket, end in sorted(ends.items())],
            "entries_added": rows,
            **self._member_rows(batch),
            "accounts": _account_rows(batch, first),
            "counters": sorted(
                (first, counter.scope, counter.period, counter.holder, counter.operation, *count)
                for counter, count in batch.counters.items()
            ),
            "marks": [(first, key, counter) for key, counter in sorted(marks.items())],
            **beside,
            "codes_counted": sorted((first, subject, *count) for subject, count in batch.code_counts.items()),
            "batches_closed": sorted(
                (first, terminal, *last) for (terminal, _), last in batch.batches.items()
            ),
            **self._name_rows(batch),
            "answers_marked": [
                (first, key, counter, self._sealer.row("answered", (key, counter)))
                for key, counter in sorted(answered.items())
            ],
            "noted": [*noted, *together_row],
        }
        statement, parameters = _compose(parts)
        fence = [first, last, epoch, self._writer_number]
        self._staged = _Staged(
            statement,
            fence + parameters,
            ends,
            answered,
            together,
            note,
            [(entry.identity, entry.bucket) for entry in batch.entries],
            beside["reversals"],
        )

    def _together(self, owned: _Owned, answered: Mapping[bytes, int]) -> int:
        together = owned.together
        for key, counter in answered.items():
            for value in (owned.answered.get(key), counter):
                if value is not None:
                    together ^= int.from_bytes(self._sealer.row("answered", (key, value)), "big")
        return together

    def _meta(self, name: str, value: str, bucket: int) -> tuple[int, str, str, bytes]:
        return (bucket, name, value, self._sealer.row("meta", (name, value)))

    def _member_rows(self, batch: Batch) -> dict[str, list[Row]]:
        before: dict[int, int] = {}  # each member's newest entry before this batch; 0: not there
        for entry in batch.entries:
            before.setdefault(entry.member, entry.previous)
        added: list[Row] = []
        changed: list[Row] = []
        for member in sorted(batch.members.values(), key=_member_id):
            row, last_entry = member_row(member), before[member.id]
            if last_entry:
                changed.append((bucket_of_member(member.id), *row, last_entry))
            else:
                added.append((bucket_of_member(member.id), *row))
        return {"members_added": added, "members_changed": changed}

    def _name_rows(self, batch: Batch) -> dict[str, list[Row]]:
        """What becomes of each identifier that the batch names, the first and the last naming told apart: a
        row that is there changes or goes, one that isn't comes."""
        was_there: dict[bytes, bool] = {}
        rows: dict[bytes, Row | None] = {}
        for entry in batch.entries:
            for naming in entry.namings:
                identifier = naming.identifier
                was_there.setdefault(identifier, not isinstance(naming, Named))
                if isinstance(naming, Named):
                    row = (identifier, naming.member, int(naming.kind), naming.masked, naming.sealed)
                    rows[identifier] = (identifier[0], *row, self._sealer.row("directory", row))
                else:
                    rows[identifier] = None
        there = sorted(rows.items())
        return {
            "names_added": [row for identifier, row in there if row and not was_there[identifier]],
            "names_changed": [row for identifier, row in there if row and was_there[identifier]],
            "names_removed": [
                (identifier[0], identifier) for identifier, row in there if not row and was_there[identifier]
            ],
        }

    def sync(self) -> None:
        """See `Engine.sync`. Raises FencedError and ConflictError (nothing was stored), or LedgerUnavailable:
        the outcome is then unknown."""
        staged, self._staged = self._staged, None
        assert staged is not None, "a batch is staged"
        # Known again when it is stored.
        owned, self._owned = self._owned, None
        known, self._known = self._known, None
        with self._writing() as connection:
            answer = self._send(connection, staged)
        if answer == FENCED:
            first, last = self._range
            raise FencedError(f"{self._server}: another owner took over of buckets {first} to {last}; stop")
        assert owned is not None
        owned.heads.update(staged.heads)
        owned.answered.update(staged.answered)
        self._owned = owned._replace(together=staged.together)
        if known is not None:
            for identity, bucket in staged.identities:
                known.identities.add(identity, bucket)
            for bucket, original, _entry in staged.reversals:
                known.reversed.add(original, bucket)
            self._known = known
        if self._noted == staged.note:
            self._noted = ""

    def _send(self, connection: Connection, staged: _Staged) -> int:
        for tries in range(1, MOST_TRIES + 1):
            try:
                cursor = psycopg.RawCursor(connection)
                row = cursor.execute(
                    staged.statement, staged.parameters, prepare=True, binary=True
                ).fetchone()
            except (errors.SerializationFailure, errors.DeadlockDetected):
                if tries == MOST_TRIES:
                    raise
                continue
            except psycopg.Error as error:
                if error.sqlstate is not None and error.sqlstate.startswith(_REFUSED):
                    raise ConflictError(f"{self._server}: {_refusal(error)}; nothing was stored") from None
                raise
            assert row is not None
            return int(row[0])
        raise AssertionError("the last try returns or raises")

    def rollback(self) -> None:
        """See `Engine.rollback`. Nothing that is staged has been sent."""
        self._staged = None

    def note_checkpoint(self, number: int, mac: str) -> None:
        """See `Engine.note_checkpoint`. For the owner of bucket 0."""
        assert self._range[0] == 0, "the owner of bucket 0 writes checkpoints"
        self._noted = f"{number}:{mac}"

    # ---------------------------------------------------------------- look-ups

    def load(self, load: Load) -> Loaded:
        """See `Engine.load`. Raises LedgerUnavailable, also when what is stored contradicts itself."""
        return self.load_many((load,))[0]

    def load_many(self, loads: Sequence[Load]) -> list[Loaded]:
        """See `Engine.load_many`: one round trip in all. Raises LedgerUnavailable."""
        found: list[Loaded] = [None] * len(loads)
        wanted: dict[type[Load], list[tuple[int, Load]]] = {}
        for place, load in enumerate(loads):
            if isinstance(load, EntryLoad | ReversedLoad) and load.bucket == ANY_BUCKET:
                bucket = self._bucket_of(load)
                if bucket is None:
                    found[place] = None if isinstance(load, EntryLoad) else False
                    continue
                load = load._replace(bucket=bucket)
            wanted.setdefault(type(load), []).append((place, load))
        if not wanted:
            return found
        with self._reader.reading() as connection:
            if len(wanted) == 1:
                asked = [self._ask(connection, kind, of_kind) for kind, of_kind in wanted.items()]
            else:
                with connection.pipeline():
                    asked = [self._ask(connection, kind, of_kind) for kind, of_kind in wanted.items()]
            answers = [cursor.fetchall() for cursor in asked]
        for (kind, of_kind), rows in zip(wanted.items(), answers, strict=True):
            try:
                values = _LOOK_UPS[kind].answer(self, [load for _, load in of_kind], rows)
            except UNREADABLE as error:
                raise self._contradiction(
                    f"what {kind.__name__} finds was changed ({type(error).__name__})"
                ) from error
            for (place, _), value in zip(of_kind, values, strict=True):
                found[place] = value
        return found

    def _bucket_of(self, load: EntryLoad | ReversedLoad) -> int | None:
        """Where what is looked for lies; None: nowhere; ANY_BUCKET: nobody knows."""
        known = self._known
        if known is None:
            return ANY_BUCKET
        if isinstance(load, EntryLoad):
            return known.identities.bucket_of(load.identity)
        return known.reversed.bucket_of(load.original)

    def _ask(
        self, connection: Connection, kind: type[Load], wanted: Sequence[tuple[int, Load]]
    ) -> psycopg.Cursor[Row]:
        look_up = _LOOK_UPS[kind]
        parameters = look_up.parameters([load for _, load in wanted], self._range)
        return connection.execute(look_up.statement, parameters, prepare=True, binary=True)

    def check_name(self, row: Row) -> None:
        """Hold a directory row against its seal. Raises LedgerUnavailable."""
        _, *named, seal = row
        if self._sealer.row("directory", named) != seal:
            raise self._contradiction(f"the directory row of member {named[1]} was changed")

    def missing_member(self, member: int) -> LedgerUnavailable:
        """The error of a member that must be there."""
        return self._contradiction(f"member {member} is missing")

    def due_members(self, day: int, after: DueMember, limit: int) -> list[DueMember]:
        """See `Engine.due_members`: by bucket, day and id; a round trip a bucket."""
        first, last = self._range
        begin = max(bucket_of_member(after.member), first)
        found: list[DueMember] = []
        with self._searcher.reading() as connection:
            for bucket in range(begin, last + 1):
                least = after if bucket == bucket_of_member(after.member) else FIRST_DUE
                values = (bucket, day, *least, limit - len(found))
                found += [DueMember(*row) for row in connection.execute(statements.DUE_MEMBERS, values)]
                if len(found) == limit:
                    break
        return found

    def due_holds(self, now_ms: int, limit: int) -> list[OpenHold]:
        """See `Engine.due_holds`, of the owned buckets."""
        with self._searcher.reading() as connection:
            rows = connection.execute(statements.DUE_HOLDS, (*self._range, now_ms, limit, limit))
            return [OpenHold(*row) for row in rows]

    def _contradiction(self, what: str) -> LedgerUnavailable:
        return LedgerUnavailable(f"{self._server}: {what}; run `vafa ledger verify`")

    # ---------------------------------------------------------------- connections

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        """The writing connection. It is closed after any failure but a refused batch, so that nothing of it
        can be stored later without being fenced."""
        assert not self._closed, "the engine is open"
        try:
            with self._server.failures():
                if self._writer is None:
                    self._writer = self._server.connect()
                    self._renew_writer(self._writer)
                yield self._writer
        except ConflictError:
            raise
        except BaseException:
            self._drop_writer()
            raise

    def _renew_writer(self, connection: Connection) -> None:
        """Fence what an earlier connection of this owner has under way, waiting for it when it has begun."""
        if self._epoch is None:
            return
        with connection.transaction():
            row = connection.execute(statements.WRITER, (*self._range, self._epoch)).fetchone()
            # Without a row another owner took over: the next batch finds that out.
            writer = row[0] + 1 if row else 0
            if row:
                self._set_owner(connection, (*self._range, self._name, self._epoch), writer)
        self._writer_number = writer

    def _drop_writer(self) -> None:
        writer, self._writer = self._writer, None
        self._owned = None
        if writer is not None:
            with suppress(psycopg.Error):
                writer.close()

    def close(self) -> None:
        """See `Engine.close`."""
        self._closed = True
        self._staged = None
        self._drop_writer()
        self._reader.close()
        self._searcher.close()


# ---------------------------------------------------------------- rows of a batch


def _compose(parts: Mapping[str, Iterable[Row]]) -> tuple[str, list[object]]:
    """Statement and parameters (without the fence's) of the parts that have rows."""
    used = []
    parameters: list[object] = []
    counts: list[object] = []
    for part in PARTS:
        rows = list(parts[part.name])
        if rows:
            used.append(part)
            parameters += columns(part.kinds, rows)
            if part.counted:
                counts.append(len(rows))
    return _statement_of(tuple(used)), parameters + counts


_STATEMENTS: dict[tuple[statements.Part, ...], str] = {}


def _statement_of(parts: tuple[statements.Part, ...]) -> str:
    statement = _STATEMENTS.get(parts)
    if statement is None:
        statement = _STATEMENTS[parts] = batch_statement(parts)
    return statement


def _member_id(member: Member) -> int:
    return member.id


def _account_rows(batch: Batch, bucket: int) -> list[Row]:
    accounts: dict[tuple[int, str, str, int], int] = {}
    for (_bucket, kind, holder, program, unit), amount in batch.accounts.items():
        key = (kind, holder, program, unit)
        accounts[key] = accounts.get(key, 0) + amount
    return [(bucket, *account, amount) for account, amount in sorted(accounts.items())]


def _rows_beside(batch: Batch) -> dict[str, list[Row]]:
    """Reversals, follow-ups and holds, each in the bucket of the entry that tells of it."""
    bucket_of: dict[int, int] = {}  # of each entry that was followed, of each hold that was closed
    reversals: list[Row] = []
    if not (batch.followed or batch.opened or batch.closed) and not any(e.sides for e in batch.entries):
        return dict.fromkeys(("reversals", "follow_ups", "holds_opened", "holds_closed"), reversals)
    for entry in batch.entries:
        for side in entry.sides:
            if type(side) is OriginalReversed:
                reversals.append((entry.bucket, side.original, entry.id))
            elif type(side) is HoldClosed:
                bucket_of[side.hold] = entry.bucket
            elif type(side) is Followed:
                bucket_of[side.original] = entry.bucket
    followed: list[Row] = [
        (bucket_of[entry], entry, follow_up.amount, follow_up.units, int(follow_up.ended))
        for entry, follow_up in batch.followed.items()
    ]
    opened = {hold.id for hold in batch.opened}
    closed = set(batch.closed)
    return {
        "reversals": sorted(reversals),
        "follow_ups": sorted(followed),
        "holds_opened": sorted(
            (bucket_of_member(hold.member), *hold) for hold in batch.opened if hold.id not in closed
        ),
        "holds_closed": sorted((bucket_of[hold], hold) for hold in closed - opened),
    }


def _answered_name(first_bucket: int) -> str:
    """The row of meta that holds the seals of a range's `answered` together."""
    return f"answered.{first_bucket}" if first_bucket else "answered"


def _covered(ranges: Sequence[tuple[int, int]], first: int, last: int) -> bool:
    """Whether ranges in order, none twice, leave no bucket out."""
    at = first
    for row_first, row_last in ranges:
        if row_first > at or row_last < at:
            return False
        at = row_last + 1
    return at > last


def _refusal(error: psycopg.Error) -> str:
    if isinstance(error, errors.DivisionByZero):
        return "a member, a name or a chain of the batch is not as it was read"
    return error.diag.message_primary or "the batch contradicts what is stored"


# ---------------------------------------------------------------- look-ups


class _LookUp(NamedTuple):
    """How one kind of look-up is asked, many at once. answer: what the rows say of each."""

    statement: str
    parameters: Callable[[Sequence[Any], tuple[int, int]], list[Array]]
    answer: Callable[[PostgresEngine, Sequence[Any], Sequence[Row]], list[Loaded]]


_Ranged = EntryLoad | EntryIdLoad | ReversedLoad | FollowedLoad


def _where(loads: Sequence[_Ranged], owned: tuple[int, int]) -> list[Array]:
    """First and last bucket to look into: the one that is named, all that are owned, or all."""
    spans = {ANY_BUCKET: owned, EVERY_BUCKET: ALL}
    places = [spans.get(load.bucket) or (load.bucket, load.bucket) for load in loads]
    return [Numbers.of([first for first, _ in places]), Numbers.of([last for _, last in places])]


def _everywhere(loads: Sequence[object]) -> list[Array]:
    return [Numbers.of([0] * len(loads)), Numbers.of([BUCKETS - 1] * len(loads))]


def _each(
    loads: Sequence[object], rows: Sequence[Row], value: Callable[[Row], Loaded], absent: Loaded = None
) -> list[Loaded]:
    found = {row[0]: value(row[1:]) for row in rows}
    return [found.get(place, absent) for place in range(1, len(loads) + 1)]


def _entries(_: PostgresEngine, loads: Sequence[object], rows: Sequence[Row]) -> list[Loaded]:
    return _each(loads, rows, lambda row: entry_of(row))


def _members(engine: PostgresEngine, loads: Sequence[MemberLoad], rows: Sequence[Row]) -> list[Loaded]:
    found = _each(loads, rows, lambda row: member_of(row))
    for load, member in zip(loads, found, strict=True):
        if member is None:
            raise engine.missing_member(load.member)
    return found


def _member_ids(engine: PostgresEngine, loads: Sequence[object], rows: Sequence[Row]) -> list[Loaded]:
    for row in rows:
        engine.check_name(row)
    return _each(loads, rows, lambda row: int(row[1]))


def _named(
    engine: PostgresEngine, kind: IdentifierKind, count: int, rows: Sequence[Row]
) -> list[list[Mobile]]:
    """Identifier, masked and sealed number of what each member is found by."""
    found: list[list[Mobile]] = [[] for _ in range(count)]
    for row in rows:
        place, identifier, _member, of_kind, masked, number, _seal = row
        if of_kind == kind:
            engine.check_name(row)
            found[place - 1].append(Mobile(identifier, masked, number))
    return found


def _mobiles(engine: PostgresEngine, loads: Sequence[object], rows: Sequence[Row]) -> list[Loaded]:
    found = _named(engine, IdentifierKind.MOBILE, len(loads), rows)
    return [mobiles[0] if mobiles else None for mobiles in found]


def _cards(engine: PostgresEngine, loads: Sequence[object], rows: Sequence[Row]) -> list[Loaded]:
    found = _named(engine, IdentifierKind.CARD, len(loads), rows)
    return [tuple((card.identifier, card.masked) for card in cards) for cards in found]


def _names_of(loads: Sequence[MobileLoad | CardLoad], _: tuple[int, int]) -> list[Array]:
    return [*_everywhere(loads), Numbers.of([load.member for load in loads])]


_LOOK_UPS: Mapping[type[Load], _LookUp] = {
    EntryLoad: _LookUp(
        statements.ENTRIES_BY_IDENTITY,
        lambda loads, owned: [*_where(loads, owned), Strings.of([load.identity for load in loads])],
        _entries,
    ),
    EntryIdLoad: _LookUp(
        statements.ENTRIES_BY_ID,
        lambda loads, owned: [*_where(loads, owned), Numbers.of([load.entry for load in loads])],
        _entries,
    ),
    ReversedLoad: _LookUp(
        statements.REVERSED,
        lambda loads, owned: [*_where(loads, owned), Strings.of([load.original for load in loads])],
        lambda _, loads, rows: _each(loads, rows, lambda row: True, False),
    ),
    FollowedLoad: _LookUp(
        statements.FOLLOWED,
        lambda loads, owned: [*_where(loads, owned), Numbers.of([load.entry for load in loads])],
        lambda _, loads, rows: _each(
            loads, rows, lambda row: FollowUp(row[0], row[1], bool(row[2])), FollowUp()
        ),
    ),
    IdentifierLoad: _LookUp(
        statements.BY_IDENTIFIER,
        lambda loads, _: [
            Numbers.of([load.identifier[0] for load in loads]),
            Strings.of([load.identifier for load in loads]),
        ],
        _member_ids,
    ),
    MemberLoad: _LookUp(
        statements.MEMBERS,
        lambda loads, _: [
            Numbers.of([bucket_of_member(load.member) for load in loads]),
            Numbers.of([load.member for load in loads]),
        ],
        _members,
    ),
    MobileLoad: _LookUp(statements.NAMES_OF_MEMBER, _names_of, _mobiles),
    CardLoad: _LookUp(statements.NAMES_OF_MEMBER, _names_of, _cards),
    CounterLoad: _LookUp(
        statements.COUNTERS,
        lambda loads, _: [
            Numbers.of([load.counter.scope for load in loads]),
            Texts.of([load.counter.period for load in loads]),
            Texts.of([load.counter.holder for load in loads]),
            Texts.of([load.counter.operation for load in loads]),
        ],
        lambda _, loads, rows: _each(loads, rows, lambda row: Count(*row), NOTHING),
    ),
    CodeCountLoad: _LookUp(
        statements.CODE_COUNTS,
        lambda loads, _: [Texts.of([load.subject for load in loads])],
        lambda _, loads, rows: _each(loads, rows, lambda row: CodeCount(*row), CodeCount()),
    ),
    LastBatchLoad: _LookUp(
        statements.LAST_BATCHES,
        lambda loads, _: [Texts.of([load.terminal for load in loads])],
        lambda _, loads, rows: _each(
            loads, rows, lambda row: LastBatch(row[0], row[1], bool(row[2]), row[3]), None
        ),
    ),
    BalanceLoad: _LookUp(
        statements.BALANCES,
        lambda loads, _: [
            Numbers.of([load.account.kind for load in loads]),
            Texts.of([load.account.holder for load in loads]),
            Texts.of([load.account.program for load in loads]),
            Numbers.of([load.account.unit for load in loads]),
        ],
        lambda _, loads, rows: _each(loads, rows, lambda row: int(row[0]), 0),
    ),
}
