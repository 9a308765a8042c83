"""What the PostgreSQL ledger is asked and told: SQL over whole arrays, and arrays in its binary form.

Every statement names the bucket of each row that it reads, writes or joins; nothing here decides anything.
A batch is one statement, so that it is one round trip, one transaction, and holds its locks no longer than
the server needs: a stopped process never keeps one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from struct import Struct
from typing import ClassVar

from psycopg import Connection
from psycopg.abc import Buffer
from psycopg.adapt import Dumper
from psycopg.pq import Format

from switch.ledger.rows import ENTRY_COLUMNS, MEMBER_COLUMNS

# ---------------------------------------------------------------- arrays as parameters

_HEADER = Struct(">iiiii")  # dimensions, has nulls, element type, length, lower bound
_EMPTY = Struct(">iii")
_LENGTH = Struct(">i").pack
_NUMBER = Struct(">q").pack
_NUMBER_LENGTH = _LENGTH(8)
# Object ids of types, the same on every server (pg_type.dat).
_INT8, _BYTEA, _TEXT = 20, 17, 25


class Numbers(bytes):
    """A bigint[] as it is sent: packing it here takes a fifth of what the driver takes."""

    oid: ClassVar[int] = 1016

    @classmethod
    def of(cls, values: Sequence[int]) -> Numbers:
        """Of whole numbers below 2**63."""
        if not values:
            return cls(_EMPTY.pack(0, 0, _INT8))
        parts = [_HEADER.pack(1, 0, _INT8, len(values), 1)]
        parts += map(_NUMBER, values)
        return cls(_NUMBER_LENGTH.join(parts))


class Strings(bytes):
    """A bytea[] as it is sent."""

    oid: ClassVar[int] = 1001

    @classmethod
    def of(cls, values: Sequence[bytes]) -> Strings:
        """Of byte strings."""
        return cls(_packed(_BYTEA, values))


class Texts(bytes):
    """A text[] as it is sent."""

    oid: ClassVar[int] = 1009

    @classmethod
    def of(cls, values: Sequence[str]) -> Texts:
        """Of texts, which hold no NUL: the server refuses it."""
        different = set(values)
        if 2 * len(different) > len(values):
            return cls(_packed(_TEXT, [value.encode() for value in values]))
        # Most columns hold few different ones: each is made once.
        pieces = {}
        for value in different:
            text = value.encode()
            pieces[value] = _LENGTH(len(text)) + text
        header = _HEADER.pack(1, 0, _TEXT, len(values), 1)
        return cls(header + b"".join(map(pieces.__getitem__, values)))


def _packed(element: int, values: Sequence[bytes]) -> bytes:
    if not values:
        return _EMPTY.pack(0, 0, element)
    header = _HEADER.pack(1, 0, element, len(values), 1)
    lengths = set(map(len, values))
    if len(lengths) == 1:  # hashes and serials: as in `Numbers`
        length = _LENGTH(lengths.pop())
        return header + length + length.join(values)
    parts = [b""] * (2 * len(values))
    parts[::2] = map(_LENGTH, map(len, values))
    parts[1::2] = values
    return header + b"".join(parts)


Array = Numbers | Strings | Texts
_KINDS: dict[str, type[Array]] = {"n": Numbers, "b": Strings, "t": Texts}


def columns(kinds: str, rows: Iterable[Sequence[object]]) -> list[Array]:
    """Rows as one array a column. kinds: a letter a column, n number, b bytes, t text."""
    turned = list(zip(*rows, strict=True)) or [()] * len(kinds)
    return [_KINDS[kind].of(values) for kind, values in zip(kinds, turned, strict=True)]


class _ArrayDumper(Dumper):
    """Hands an array on as it is."""

    format = Format.BINARY

    def dump(self, obj: Buffer) -> Buffer:
        return obj


def register_arrays(connection: Connection[tuple[object, ...]]) -> None:
    """Let a connection take these arrays as parameters."""
    for kind in _KINDS.values():
        dumper = type(f"{kind.__name__}Dumper", (_ArrayDumper,), {"oid": kind.oid})
        connection.adapters.register_dumper(kind, dumper)


# ---------------------------------------------------------------- writing a batch

# Each part is a common table expression of the batch's one statement; only those that have rows are in it.
# `fence` finds no row when another owner (or a later connection of this one) has taken over: then nothing is
# written. Its lock makes whoever takes over wait for the end of the batch.
FENCE = (
    "fence AS (SELECT 1 FROM owner WHERE first_bucket = %s AND last_bucket = %s AND epoch = %s"
    " AND writer = %s FOR SHARE)"
)


def _unnested(kinds: str) -> str:
    return f"unnest({', '.join(['%s'] * len(kinds))})"


class Part:
    """A set of rows of a batch. kinds: of its columns; sql: what is done with them.

    counted: each of its rows must meet one that is there, or the batch is refused.
    """

    def __init__(self, name: str, kinds: str, sql: str, counted: bool = False) -> None:
        self.name = name
        self.kinds = kinds
        self.counted = counted
        self.sql = f"{name} AS ({sql.replace('ROWS', _unnested(kinds))}{' RETURNING 1' if counted else ''})"


# Of `rows.ENTRY_COLUMNS`, see `columns`.
ENTRY_KINDS = "nnnbbttttnnntnnbbbbb"
assert len(ENTRY_KINDS) == len(ENTRY_COLUMNS)

# In the order in which rows are locked.
PARTS = (
    Part(
        "heads_moved",
        "nnbnn",
        "UPDATE bucket_head h SET sequence = r.sequence, seal = r.seal, members = r.members FROM fence,"
        " ROWS AS r(bucket, sequence, seal, members, before)"
        " WHERE h.bucket = r.bucket AND h.sequence = r.before",
        counted=True,
    ),
    Part(
        "entries_added",
        ENTRY_KINDS,
        f"INSERT INTO entry ({', '.join(ENTRY_COLUMNS)}) SELECT r.* FROM fence, ROWS AS r",
    ),
    Part(
        "members_added",
        "nnnnnnb",
        "INSERT INTO member (bucket, id, status, last_entry, active_day, due, body)"
        " SELECT r.* FROM fence, ROWS AS r",
    ),
    # Only when nobody changed the member since it was read.
    Part(
        "members_changed",
        "nnnnnnbn",
        "UPDATE member m SET status = r.status, last_entry = r.last_entry, active_day = r.active_day,"
        " due = r.due, body = r.body FROM fence,"
        " ROWS AS r(bucket, id, status, last_entry, active_day, due, body, before)"
        " WHERE m.bucket = r.bucket AND m.id = r.id AND m.last_entry = r.before",
        counted=True,
    ),
    Part(
        "accounts",
        "nnttnn",
        "INSERT INTO account (bucket, kind, holder, program, unit, balance) SELECT r.* FROM fence, ROWS AS r"
        " ON CONFLICT (bucket, kind, holder, program, unit)"
        " DO UPDATE SET balance = account.balance + excluded.balance",
    ),
    Part(
        "counters",
        "nntttnnn",
        "INSERT INTO counter (bucket, scope, period, holder, operation, entries, amount, units)"
        " SELECT r.* FROM fence, ROWS AS r ON CONFLICT (bucket, scope, period, holder, operation)"
        " DO UPDATE SET entries = counter.entries + excluded.entries,"
        " amount = counter.amount + excluded.amount, units = counter.units + excluded.units",
    ),
    Part(
        "marks",
        "nbn",
        "INSERT INTO key_mark (bucket, initial_key, counter) SELECT r.* FROM fence, ROWS AS r"
        " ON CONFLICT (bucket, initial_key)"
        " DO UPDATE SET counter = greatest(key_mark.counter, excluded.counter)",
    ),
    Part(
        "reversals",
        "nbn",
        "INSERT INTO reversed (bucket, original, entry) SELECT r.* FROM fence, ROWS AS r",
    ),
    Part(
        "follow_ups",
        "nnnnn",
        "INSERT INTO followed (bucket, entry, amount, units, ended) SELECT r.* FROM fence, ROWS AS r"
        " ON CONFLICT (bucket, entry)"
        " DO UPDATE SET amount = excluded.amount, units = excluded.units, ended = excluded.ended",
    ),
    Part(
        "holds_opened",
        "nnnn",
        "INSERT INTO hold (bucket, id, member, expires_ms) SELECT r.* FROM fence, ROWS AS r",
    ),
    Part(
        "holds_closed",
        "nn",
        "DELETE FROM hold h USING fence, ROWS AS r(bucket, id) WHERE h.bucket = r.bucket AND h.id = r.id",
    ),
    Part(
        "codes_counted",
        "ntnn",
        "INSERT INTO code_count (bucket, subject, since_ms, sent) SELECT r.* FROM fence, ROWS AS r"
        " ON CONFLICT (bucket, subject) DO UPDATE SET since_ms = excluded.since_ms, sent = excluded.sent",
    ),
    Part(
        "batches_closed",
        "ntnnnn",
        "INSERT INTO batch (bucket, terminal, number, entry, differs, ended) SELECT r.* FROM fence, ROWS AS r"
        " ON CONFLICT (bucket, terminal, number)"
        " DO UPDATE SET entry = excluded.entry, differs = excluded.differs, ended = excluded.ended",
    ),
    Part(
        "names_added",
        "nbnntbb",
        "INSERT INTO directory (bucket, identifier, member, kind, masked, sealed, seal)"
        " SELECT r.* FROM fence, ROWS AS r",
    ),
    Part(
        "names_changed",
        "nbnntbb",
        "UPDATE directory d SET member = r.member, kind = r.kind, masked = r.masked, sealed = r.sealed,"
        " seal = r.seal FROM fence, ROWS AS r(bucket, identifier, member, kind, masked, sealed, seal)"
        " WHERE d.bucket = r.bucket AND d.identifier = r.identifier",
        counted=True,
    ),
    Part(
        "names_removed",
        "nb",
        "DELETE FROM directory d USING fence, ROWS AS r(bucket, identifier)"
        " WHERE d.bucket = r.bucket AND d.identifier = r.identifier",
    ),
    Part(
        "answers_marked",
        "nbnb",
        "INSERT INTO answered (bucket, initial_key, counter, seal) SELECT r.* FROM fence, ROWS AS r"
        " ON CONFLICT (bucket, initial_key) DO UPDATE SET counter = excluded.counter, seal = excluded.seal",
    ),
    Part(
        "noted",
        "nttb",
        "INSERT INTO meta (bucket, name, value, seal) SELECT r.* FROM fence, ROWS AS r"
        " ON CONFLICT (bucket, name) DO UPDATE SET value = excluded.value, seal = excluded.seal",
    ),
)

# What a batch's statement answers.
FENCED, WRITTEN = 0, 1


def batch_statement(parts: Sequence[Part]) -> str:
    """The one statement of a batch with these parts; its parameters are the fence's (first and last bucket,
    epoch, writer), each part's columns, and the number of rows of each part that is counted.

    It answers FENCED or WRITTEN; a counted part that met fewer rows fails with division_by_zero, so that
    nothing of the batch is left. Its parameters are numbered, $1 and so on: the driver reads a statement of
    this size anew each time when they aren't.
    """
    met = " AND ".join(f"(SELECT count(*) FROM {part.name}) = %s" for part in parts if part.counted)
    statement = (
        f"WITH {', '.join([FENCE, *(part.sql for part in parts)])} SELECT CASE"
        f" WHEN NOT EXISTS (SELECT 1 FROM fence) THEN {FENCED}"
        f" WHEN {met or 'true'} THEN {WRITTEN}"
        " ELSE 1 / ((SELECT count(*) FROM fence) - 1) END"
    )
    first, *others = statement.split("%s")
    return first + "".join(f"${number}{text}" for number, text in enumerate(others, start=1))


# ---------------------------------------------------------------- look-ups
# Each answers many at once: parameters are arrays, the first column is the place in them.

_ENTRY = f"SELECT {', '.join(ENTRY_COLUMNS[:-1])} FROM entry"
# Where only a range of buckets is known each of its buckets is looked into. OFFSET 0 keeps a look-up one: a
# planner that joins in another order reads whole indexes.
_EACH_BUCKET = "CROSS JOIN LATERAL generate_series(q.first_bucket, q.last_bucket) AS b(bucket)"


def _looked_up(select: str) -> str:
    return f"CROSS JOIN LATERAL ({select} OFFSET 0) AS f"


ENTRIES_BY_IDENTITY = (
    "SELECT q.place, f.* FROM unnest(%s, %s, %s) WITH ORDINALITY AS"
    f" q(first_bucket, last_bucket, identity, place) {_EACH_BUCKET}"
    f" {_looked_up(f'{_ENTRY} e WHERE e.bucket = b.bucket AND e.identity = q.identity')}"
)
ENTRIES_BY_ID = (
    "SELECT q.place, f.* FROM unnest(%s, %s, %s) WITH ORDINALITY AS"
    f" q(first_bucket, last_bucket, id, place) {_EACH_BUCKET}"
    f" {_looked_up(f'{_ENTRY} e WHERE e.bucket = b.bucket AND e.id = q.id')}"
)
REVERSED = (
    "SELECT q.place FROM unnest(%s, %s, %s) WITH ORDINALITY AS"
    f" q(first_bucket, last_bucket, original, place) {_EACH_BUCKET}"
    f" {_looked_up('SELECT 1 FROM reversed r WHERE r.bucket = b.bucket AND r.original = q.original')}"
)
FOLLOWED = (
    "SELECT q.place, f.* FROM unnest(%s, %s, %s) WITH ORDINALITY AS"
    f" q(first_bucket, last_bucket, entry, place) {_EACH_BUCKET} "
    + _looked_up(
        "SELECT amount, units, ended FROM followed d WHERE d.bucket = b.bucket AND d.entry = q.entry"
    )
)
MEMBERS = "SELECT q.place, f.* FROM unnest(%s, %s) WITH ORDINALITY AS q(bucket, id, place) " + _looked_up(
    f"SELECT {', '.join(MEMBER_COLUMNS)} FROM member m WHERE m.bucket = q.bucket AND m.id = q.id"
)
_NAME = "SELECT identifier, member, kind, masked, sealed, seal FROM directory"
BY_IDENTIFIER = (
    "SELECT q.place, f.* FROM unnest(%s, %s) WITH ORDINALITY AS q(bucket, identifier, place)"
    f" {_looked_up(f'{_NAME} d WHERE d.bucket = q.bucket AND d.identifier = q.identifier')}"
)
NAMES_OF_MEMBER = (
    "SELECT q.place, f.* FROM unnest(%s, %s, %s) WITH ORDINALITY AS"
    f" q(first_bucket, last_bucket, member, place) {_EACH_BUCKET}"
    f" {_looked_up(f'{_NAME} d WHERE d.bucket = b.bucket AND d.member = q.member')} ORDER BY f.identifier"
)
# Owners' sums stand in the first buckets of their ranges.
_EACH_OWNER = "CROSS JOIN owner o"
COUNTERS = (
    "SELECT q.place, sum(f.entries)::bigint, sum(f.amount)::bigint, sum(f.units)::bigint"
    " FROM unnest(%s, %s, %s, %s) WITH ORDINALITY AS q(scope, period, holder, operation, place)"
    f" {_EACH_OWNER} "
    + _looked_up(
        "SELECT entries, amount, units FROM counter c WHERE c.bucket = o.first_bucket AND c.scope = q.scope"
        " AND c.period = q.period AND c.holder = q.holder AND c.operation = q.operation"
    )
    + " GROUP BY q.place"
)
# The latest: buckets may have had another owner before.
CODE_COUNTS = (
    "SELECT q.place, f.* FROM unnest(%s) WITH ORDINALITY AS q(subject, place)"
    f" {_EACH_OWNER} "
    + _looked_up(
        "SELECT since_ms, sent FROM code_count c WHERE c.bucket = o.first_bucket AND c.subject = q.subject"
    )
    + " ORDER BY f.since_ms, f.sent"
)
# The highest last: it is the one that counts.
LAST_BATCHES = (
    "SELECT q.place, f.* FROM unnest(%s) WITH ORDINALITY AS q(terminal, place)"
    f" {_EACH_OWNER} "
    + _looked_up(
        "SELECT number, entry, differs, ended FROM batch t WHERE t.bucket = o.first_bucket"
        " AND t.terminal = q.terminal ORDER BY number DESC LIMIT 1"
    )
    + " ORDER BY f.number"
)
BALANCES = (
    "SELECT q.place, sum(f.balance)::bigint"
    " FROM unnest(%s, %s, %s, %s) WITH ORDINALITY AS q(kind, holder, program, unit, place)"
    f" {_EACH_OWNER} "
    + _looked_up(
        "SELECT balance FROM account a WHERE a.bucket = o.first_bucket AND a.kind = q.kind"
        " AND a.holder = q.holder AND a.program = q.program AND a.unit = q.unit"
    )
    + " GROUP BY q.place"
)
# Of one bucket; the number is NEVER: the index has only days that come.
DUE_MEMBERS = (
    "SELECT due, id FROM member WHERE bucket = %s AND due < 2147483647 AND due <= %s AND (due, id) > (%s, %s)"
    " ORDER BY due, id LIMIT %s"
)
_RANGE = "generate_series(%s::integer, %s::integer) AS b(bucket)"
DUE_HOLDS = (
    f"SELECT d.id, d.member, d.expires_ms FROM {_RANGE} CROSS JOIN LATERAL"
    " (SELECT h.id, h.member, h.expires_ms FROM hold h WHERE h.bucket = b.bucket AND h.expires_ms <= %s"
    " ORDER BY h.expires_ms, h.id LIMIT %s) AS d ORDER BY d.expires_ms, d.id LIMIT %s"
)

# ---------------------------------------------------------------- between owners

# First halves of transfers, oldest first.
SENT_AWAY = (
    f"SELECT d.* FROM {_RANGE} CROSS JOIN LATERAL ({_ENTRY} e WHERE e.bucket = b.bucket AND e.id > %s"
    " AND e.operation IN ('transfer', 'transfer.reversal') ORDER BY e.id LIMIT %s) AS d"
    " ORDER BY d.id LIMIT %s"
)
OWNERS = (
    "SELECT o.first_bucket, o.last_bucket, o.name, o.epoch, o.writer, o.seal FROM owner o"
    " WHERE o.first_bucket <= o.last_bucket ORDER BY o.first_bucket"
)
# The highest counter of each initial key, whoever answered.
MARKS_OF = (
    "SELECT q.place, max(f.counter) FROM unnest(%s) WITH ORDINALITY AS q(initial_key, place)"
    f" {_EACH_OWNER} "
    + _looked_up(
        "SELECT k.counter FROM key_mark k WHERE k.bucket = o.first_bucket AND k.initial_key = q.initial_key"
        " UNION ALL SELECT a.counter FROM answered a"
        " WHERE a.bucket = o.first_bucket AND a.initial_key = q.initial_key"
    )
    + " GROUP BY q.place"
)
BUCKETS_BY_IDENTITY = (
    "SELECT q.place, f.bucket FROM unnest(%s, %s, %s) WITH ORDINALITY AS"
    f" q(first_bucket, last_bucket, identity, place) {_EACH_BUCKET}"
    f" {_looked_up('SELECT e.bucket FROM entry e WHERE e.bucket = b.bucket AND e.identity = q.identity')}"
)
# Where an identity was decided (true), or reversed before it came (false).
PLACES_BY_IDENTITY = (
    "SELECT q.place, f.bucket, f.decided FROM unnest(%s, %s, %s) WITH ORDINALITY AS"
    f" q(first_bucket, last_bucket, identity, place) {_EACH_BUCKET} "
    + _looked_up(
        "SELECT e.bucket, true AS decided FROM entry e WHERE e.bucket = b.bucket AND e.identity = q.identity"
        " UNION ALL"
        " SELECT r.bucket, false FROM reversed r WHERE r.bucket = b.bucket AND r.original = q.identity"
    )
)

# ---------------------------------------------------------------- where memory begins

NEWEST_ENTRY = (
    f"SELECT n.id, n.business_date FROM {_RANGE} CROSS JOIN LATERAL"
    " (SELECT e.id, e.business_date FROM entry e WHERE e.bucket = b.bucket ORDER BY e.id DESC LIMIT 1) AS n"
    " ORDER BY n.id DESC LIMIT 1"
)
LAST_IDENTITY = (
    f"SELECT n.identity FROM {_RANGE} CROSS JOIN LATERAL"
    " (SELECT e.identity FROM entry e WHERE e.bucket = b.bucket ORDER BY e.identity DESC LIMIT 1) AS n"
    " ORDER BY n.identity DESC LIMIT 1"
)
LAST_REVERSED = (
    f"SELECT n.original FROM {_RANGE} CROSS JOIN LATERAL"
    " (SELECT r.original FROM reversed r WHERE r.bucket = b.bucket ORDER BY r.original DESC LIMIT 1) AS n"
    " ORDER BY n.original DESC LIMIT 1"
)
# The greatest of each bucket, so many at most.
NEWEST_IDENTITIES = (
    f"SELECT b.bucket, array_agg(n.identity) FROM {_RANGE} CROSS JOIN LATERAL"
    " (SELECT e.identity FROM entry e WHERE e.bucket = b.bucket ORDER BY e.identity DESC LIMIT %s) AS n"
    " GROUP BY b.bucket"
)
NEWEST_REVERSED = (
    f"SELECT b.bucket, array_agg(n.original) FROM {_RANGE} CROSS JOIN LATERAL"
    " (SELECT r.original FROM reversed r WHERE r.bucket = b.bucket ORDER BY r.original DESC LIMIT %s) AS n"
    " GROUP BY b.bucket"
)
HEADS = (
    "SELECT bucket, sequence, seal, members FROM bucket_head WHERE bucket BETWEEN %s AND %s ORDER BY bucket"
)
# Of all owners: a counter only rises, whoever answered.
MARKS = (
    "SELECT t.initial_key, max(t.counter) FROM owner o CROSS JOIN LATERAL"
    " (SELECT k.initial_key, k.counter FROM key_mark k WHERE k.bucket = o.first_bucket"
    " UNION ALL SELECT a.initial_key, a.counter FROM answered a WHERE a.bucket = o.first_bucket) AS t"
    " GROUP BY t.initial_key"
)
ANSWERED = "SELECT initial_key, counter FROM answered WHERE bucket = %s"

# ---------------------------------------------------------------- owners and the ledger's own rows

OVERLAPPING_OWNERS = (
    "SELECT first_bucket, last_bucket, name, epoch, writer FROM owner"
    " WHERE first_bucket <= %s AND (last_bucket >= %s OR first_bucket = %s) ORDER BY first_bucket FOR UPDATE"
)
SET_OWNER = (
    "INSERT INTO owner (first_bucket, last_bucket, name, epoch, writer, seal) VALUES (%s, %s, %s, %s, %s, %s)"
    " ON CONFLICT (first_bucket) DO UPDATE SET last_bucket = excluded.last_bucket, name = excluded.name,"
    " epoch = excluded.epoch, writer = excluded.writer, seal = excluded.seal"
)
# A later connection of the same owner: what an earlier one may still have under way is fenced.
WRITER = "SELECT writer FROM owner WHERE first_bucket = %s AND last_bucket = %s AND epoch = %s FOR UPDATE"
ADD_HEADS = (
    "INSERT INTO bucket_head (bucket, sequence, seal, members) SELECT r.* FROM unnest(%s, %s, %s, %s) AS r"
)
META = "SELECT name, value, seal FROM meta WHERE bucket BETWEEN %s AND %s"
SET_META = (
    "INSERT INTO meta (bucket, name, value, seal) VALUES (%s, %s, %s, %s)"
    " ON CONFLICT (bucket, name) DO UPDATE SET value = excluded.value, seal = excluded.seal"
)
REMOVE_META = "DELETE FROM meta WHERE bucket = %s AND name = %s"
# Where the entries of each bucket end: bucket, sequence, seal, id.
CHAIN_ENDS = (
    f"SELECT b.bucket, n.sequence, n.seal, n.id FROM {_RANGE} CROSS JOIN LATERAL"
    " (SELECT e.sequence, e.seal, e.id FROM entry e WHERE e.bucket = b.bucket"
    " ORDER BY e.id DESC LIMIT 1) AS n"
)
