"""Checks a whole SQLite ledger against its seals, its sums and its checkpoints, and names each wrong row.

It reads rows, never objects made from them, in one snapshot (a switch may go on writing), and streams: memory
holds 256 chain ends and a few rows, sorting is SQLite's, on disk. It changes nothing. While it runs, the
write-ahead log of a busy switch can't start over and grows.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import apsw

from switch.ledger.checkpoint import Checkpoint, Mac, digest_heads, read_checkpoints
from switch.ledger.engine import Head, LedgerUnavailable
from switch.ledger.model import (
    BUCKETS,
    CREDENTIAL_SIDES,
    AccountKind,
    CodesCounted,
    Credential,
    MemberAdded,
    MemberStatusSet,
    MobileRemoved,
    MobileSet,
    OriginalReversed,
)
from switch.ledger.schema import SCHEMA_VERSION, TABLES
from switch.ledger.seal import Sealer
from switch.ledger.sqlite import (
    ALL_BUCKETS,
    INITIAL_KEY_BYTES,
    META_NAMES,
    SIDE_KINDS,
    open_connection,
    side_of,
)

# A report is for people: beyond this the ledger is past naming rows. Counting goes on.
MOST_PROBLEMS = 1_000

_Row = tuple[Any, ...]  # values straight from a database that may have been edited
# What Python says about values of a type or size that no ledger stores.
_UNREADABLE = (struct.error, TypeError, ValueError, AttributeError, OverflowError)
# What SQLite says about pages that it didn't write so.
_DAMAGED = (apsw.CorruptError, apsw.NotADBError, apsw.SQLError, apsw.TooBigError)
_KIND_NAMES = {int(kind): kind.name.lower() for kind in AccountKind}
_ADDED = SIDE_KINDS[MemberAdded]


class _Table(NamedTuple):
    """A table that is streamed in the order of its key."""

    name: str
    key: tuple[str, ...]
    columns: tuple[str, ...]
    texts: tuple[str, ...] = ()


_ENTRY = _Table(
    "entry",
    ("id",),
    (
        "id",
        "bucket",
        "sequence",
        "identity",
        "fingerprint",
        "terminal",
        "acceptor",
        "business_date",
        "decided_ms",
        "member",
        "response_code",
        "answer",
        "key_serial",
        "request_mac",
        "seal",
    ),
    ("terminal", "acceptor", "business_date", "response_code"),
)
_SEAL_PLACE = _ENTRY.columns.index("seal")
_TRANSFER = _Table("transfer", ("entry", "number"), ("entry", "number", "kind", "reverses"))
_POSTING = _Table(
    "posting",
    ("entry", "transfer", "leg"),
    ("entry", "transfer", "leg", "bucket", "kind", "holder", "program", "unit", "amount"),
    ("holder", "program"),
)
_SIDE = _Table("side", ("entry", "number"), ("entry", "number", "kind", "member", "status", "original"))

# Below, texts come as bytes: an edited one may not be UTF-8. Sums come in two halves, so that no edited
# amount overflows them.
_SUMS = (
    "SELECT kind, CAST(holder AS BLOB), CAST(program AS BLOB), unit,"
    f" CASE kind WHEN {int(AccountKind.MEMBER)} THEN bucket ELSE {ALL_BUCKETS} END AS place,"
    " sum(amount >> 32), sum(amount & 4294967295) FROM posting"
    " GROUP BY kind, holder, program, unit, place ORDER BY kind, holder, program, unit, place"
)
_ACCOUNTS = (
    "SELECT kind, CAST(holder AS BLOB), CAST(program AS BLOB), unit, bucket, balance FROM account"
    " ORDER BY kind, holder, program, unit, bucket"
)
_STATUSES = (
    f"SELECT member, status FROM side WHERE kind IN ({_ADDED}, {SIDE_KINDS[MemberStatusSet]})"
    " ORDER BY member, entry, number"
)
_MEMBERS = "SELECT id, status FROM member ORDER BY id"
_REVERSALS = (
    f"SELECT original, entry FROM side WHERE kind = {SIDE_KINDS[OriginalReversed]} ORDER BY original, entry"
)
_REVERSED = "SELECT original, entry FROM reversed ORDER BY original"
_LOST_ORIGINALS = (
    "SELECT entry, number, reverses FROM transfer"
    " WHERE reverses != 0 AND NOT EXISTS (SELECT 1 FROM entry WHERE id = transfer.reverses)"
)
_HEADS = "SELECT bucket, sequence, seal, members FROM bucket_head ORDER BY bucket"
_DIRECTORY = "SELECT identifier, member, CAST(masked_card AS BLOB), seal FROM directory"
_SUMMED_MARKS = (
    f"SELECT substr(key_serial, 1, {INITIAL_KEY_BYTES}) AS initial_key, max(key_serial) FROM entry"
    " WHERE key_serial != x'' GROUP BY initial_key ORDER BY initial_key"
)
_ANSWERED = "SELECT initial_key, counter, seal FROM answered ORDER BY initial_key"
_MARKS = "SELECT initial_key, counter FROM key_mark ORDER BY initial_key"
_PROOFS = (
    "SELECT member, kind, status, original FROM side"
    f" WHERE kind IN ({', '.join(str(SIDE_KINDS[side]) for side in CREDENTIAL_SIDES)})"
    " ORDER BY member, entry, number"
)
_CREDENTIALS = (
    "SELECT member, verifier, pin_wrong, code, code_expires_ms, code_wrong, card_wrong FROM credential"
    " ORDER BY member"
)
_COUNTED = (
    "SELECT substr(original, 9) AS subject, kind, member, status, original FROM side"
    f" WHERE kind = {SIDE_KINDS[CodesCounted]} ORDER BY subject, entry, number"
)
_CODE_COUNTS = "SELECT CAST(subject AS BLOB), since_ms, sent FROM code_count ORDER BY 1"
_MOBILE_CHANGES = (
    f"SELECT member, kind FROM side WHERE kind IN ({SIDE_KINDS[MobileSet]}, {SIDE_KINDS[MobileRemoved]})"
    " ORDER BY member, entry, number"
)
_MOBILE_MEMBERS = "SELECT member, 1 FROM mobile ORDER BY member"
_MOBILES = "SELECT identifier, member, CAST(masked AS BLOB), sealed, seal FROM mobile"
_STRANGERS = (
    "SELECT member FROM directory WHERE NOT EXISTS (SELECT 1 FROM member WHERE id = directory.member)"
)
_NAMELESS = (
    "SELECT id FROM member WHERE NOT EXISTS (SELECT 1 FROM directory WHERE directory.member = member.id)"
)
_META = "SELECT CAST(name AS BLOB), CAST(value AS BLOB), seal FROM meta"
_OWNERS = "SELECT first_bucket, last_bucket, CAST(name AS BLOB), epoch, seal FROM owner"
_SCHEMA = "SELECT name, type, tbl_name, sql FROM sqlite_schema"


class Problem(NamedTuple):
    """One thing that is wrong: the table or file, its row, and what about it."""

    table: str
    row: str
    what: str

    def __str__(self) -> str:
        return f"{self.table} {self.row}: {self.what}" if self.row else f"{self.table}: {self.what}"


@dataclass
class Report:
    """What was read and what is wrong. `problems` holds the first MOST_PROBLEMS of `found`."""

    entries: int = 0
    transfers: int = 0
    postings: int = 0
    members: int = 0
    checkpoints: int = 0
    found: int = 0
    problems: list[Problem] = field(default_factory=list)

    def add(self, table: str, row: object, what: str) -> None:
        """Note a problem."""
        self.found += 1
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(Problem(table, str(row), what))


def verify(
    database: Path, seal_key: bytes, checkpoint_path: Path | None = None, checkpoint_mac: Mac | None = None
) -> Report:
    """Check all of a ledger; with a checkpoint file also that its end wasn't cut off.

    Raises LedgerUnavailable when it can't be checked: no file, another program's, locked, another seal key.
    """
    if not database.exists():
        raise LedgerUnavailable(f"{database}: there is no ledger; check --data, or start the switch once")
    report = Report()
    sealer = Sealer(seal_key)
    try:
        connection = open_connection(database, read_only=True)
        try:
            verification = _Verification(connection, database, sealer, report)
            verification.run(checkpoint_path, checkpoint_mac)
        finally:
            connection.close()
    except _DAMAGED as error:
        report.add("database", database.name, f"is damaged, reading stopped: {error}")
    except LedgerUnavailable as error:
        if not isinstance(error.__cause__, _DAMAGED):
            raise
        report.add("database", database.name, f"is damaged, reading stopped: {error.__cause__}")
    return report


@dataclass(slots=True)
class _Chain:
    """Where one bucket's chain is: the last entry read, its seal as stored and as computed from its rows."""

    entry: int
    sequence: int
    stored: bytes
    computed: bytes
    members: int = 0


class _Followers:
    """Rows of a table that belong to entries, read beside them. What no entry claims is reported."""

    def __init__(self, table: _Table, rows: Iterator[_Row], report: Report) -> None:
        self._table = table
        self._rows = rows
        self._report = report
        self._next: _Row | None = next(rows, None)
        self.count = 0

    def take(self, entry_id: int) -> list[_Row]:
        """The rows of this entry, which is above all asked for before."""
        taken: list[_Row] = []
        row = self._next
        while row is not None and row[0] <= entry_id:
            if row[0] == entry_id:
                taken.append(row)
            else:
                self._report_orphan(row)
            self.count += 1
            row = self._next = next(self._rows, None)
        return taken

    def rest(self) -> None:
        """All that is left belongs to no entry."""
        while self._next is not None:
            self._report_orphan(self._next)
            self.count += 1
            self._next = next(self._rows, None)

    def _report_orphan(self, row: _Row) -> None:
        self._report.add(self._table.name, _name(self._table, row), f"entry {row[0]} is missing")


class _Verification:
    """One run over one connection. The checks are methods; each reads its tables from beginning to end."""

    def __init__(self, connection: apsw.Connection, database: Path, sealer: Sealer, report: Report) -> None:
        self._connection = connection
        self._database = database
        self._sealer = sealer
        self._report = report
        self._ledger: str | None = None  # its id, when that can be trusted
        self._last: Checkpoint | None = None
        self._at_checkpoint: list[Head | None] = []
        self._chains: list[_Chain] = []
        self._chains_whole = False

    def run(self, checkpoint_path: Path | None, checkpoint_mac: Mac | None) -> None:
        """Do all checks. Raises LedgerUnavailable when nothing can be checked."""
        noted = self._check_meta()
        if checkpoint_path is not None and checkpoint_mac is not None:
            # Before the snapshot begins, so that no checkpoint can be ahead of it.
            self._check_checkpoints(checkpoint_path, checkpoint_mac, noted)
        checks: tuple[tuple[str, Callable[[], None]], ...] = (
            ("owner", self._check_owner),
            ("entry", self._check_entries),
            ("bucket_head", self._check_heads),
            ("checkpoint", self._compare_checkpoint),
            ("account", self._check_accounts),
            ("member", self._check_members),
            ("reversed", self._check_reversed),
            ("transfer", self._check_originals),
            ("directory", self._check_directory),
            ("key_mark", self._check_marks),
            ("credential", self._check_credentials),
            ("code_count", self._check_code_counts),
            ("mobile", self._check_mobiles),
            ("answered", self._check_answered),
            ("database", self._check_pages),
        )
        with self._connection:
            if not self._check_schema():
                return
            for table, check in checks:
                try:
                    check()
                except _DAMAGED as error:
                    self._report.add(table, "", f"is damaged, reading it stopped: {error}")
                except _UNREADABLE as error:
                    self._report.add(table, "", f"holds values that no ledger stores: {error}")

    # ------------------------------------------------------- schema and rows with a seal of their own

    def _check_schema(self) -> bool:
        """Whether all our tables are as they were made; what was added is a problem but can be read past."""
        expected = _schema_of(apsw.Connection(":memory:"), make=True)
        try:
            found = _schema_of(self._connection)
        except UnicodeDecodeError:
            self._report.add("schema", "", "holds text that is not UTF-8")
            return False
        for name in sorted(found.keys() - expected.keys(), key=str):
            self._report.add("schema", name, "was added")
        changed = [name for name, made in expected.items() if found.get(name) != made]
        for name in changed:
            self._report.add("schema", name, "was changed" if name in found else "is missing")
        return not changed

    def _check_meta(self) -> str:
        """Check the ledger's own data; returns what it knows of its last checkpoint, "number:MAC"."""
        try:
            rows = {_text(name): (value, seal) for name, value, seal in self._connection.execute(_META)}
        except apsw.SQLError:
            raise LedgerUnavailable(f"{self._database}: is not a ledger; check --data") from None
        values = {
            name: _text(value)
            for name, (value, seal) in rows.items()
            if self._row_fits("meta", (name, _text(value)), seal)
        }
        if not values:
            raise LedgerUnavailable(
                f"{self._database}: the seal key doesn't fit this ledger; check keys.seal in the settings"
            )
        version = values.get("schema", str(SCHEMA_VERSION))
        if version != str(SCHEMA_VERSION):
            older = version.isdecimal() and int(version) < SCHEMA_VERSION
            remedy = "start the switch once to bring it forward" if older else "use the program that wrote it"
            raise LedgerUnavailable(
                f"{self._database}: schema version {version}, this program knows {SCHEMA_VERSION}; {remedy}"
            )
        for name in sorted(rows.keys() | set(META_NAMES)):
            if name not in rows:
                self._report.add("meta", name, "is missing")
            elif name not in values or name not in META_NAMES:
                self._report.add("meta", name, "its seal does not match: the row was changed or added")
        self._ledger = values.get("ledger")
        return values.get("checkpoint", "0:")

    def _row_fits(self, table: str, values: Sequence[Any], seal: object) -> bool:
        try:
            return self._sealer.row(table, values) == seal
        except (KeyError, UnicodeError):  # a value of another type, a text that isn't UTF-8
            return False

    def _check_owner(self) -> None:
        rows = self._connection.execute(_OWNERS).fetchall()
        for first, last, name, epoch, seal in rows:
            if not self._row_fits("owner", (first, last, _text(name), epoch), seal):
                self._report.add(
                    "owner", f"of bucket {first}", "its seal does not match: the row was changed"
                )
        if len(rows) != 1:
            self._report.add("owner", "", f"{len(rows)} rows where 1 was written")

    def _check_directory(self) -> None:
        for identifier, member, masked_card, seal in self._connection.execute(_DIRECTORY):
            if not self._row_fits("directory", (identifier, member, _text(masked_card)), seal):
                self._report.add(
                    "directory", f"of member {member}", "its seal does not match: it was changed or added"
                )
        for (member,) in self._connection.execute(_STRANGERS):
            self._report.add("directory", f"of member {member}", "the member is missing")
        for (member,) in self._connection.execute(_NAMELESS):
            self._report.add("directory", f"of member {member}", "is missing")

    # ------------------------------------------------------- the chains

    def _check_entries(self) -> None:
        report = self._report
        for bucket in range(BUCKETS):
            start = b"" if self._ledger is None else self._sealer.genesis(self._ledger, bucket)
            self._chains.append(_Chain(0, 0, start, start))
            wanted = self._last is not None and self._last.sequences[bucket] == 0
            self._at_checkpoint.append(Head(0, start, 0) if wanted else None)
        transfers, postings, sides = (
            _Followers(table, _stream(self._connection, table), report)
            for table in (_TRANSFER, _POSTING, _SIDE)
        )
        for row in _stream(self._connection, _ENTRY):
            report.entries += 1
            entry_id = row[0]
            self._check_entry(row, transfers.take(entry_id), postings.take(entry_id), sides.take(entry_id))
        for followers in (transfers, postings, sides):
            followers.rest()
        report.transfers = transfers.count
        report.postings = postings.count
        report.members = sum(chain.members for chain in self._chains)
        self._chains_whole = True

    def _check_entry(self, row: _Row, transfers: list[_Row], postings: list[_Row], sides: list[_Row]) -> None:
        bucket, sequence, seal = row[1], row[2], row[_SEAL_PLACE]
        if not 0 <= bucket < BUCKETS:
            self._report.add("entry", _name_entry(row), "there is no such bucket")
            return
        chain = self._chains[bucket]
        if sequence == chain.sequence + 1:
            computed = self._compute_seal(chain, row, transfers, postings, sides)
            if computed != seal:
                what = _describe_parts(transfers, postings, sides)
                self._report.add("entry", _name_entry(row), f"seal does not match: {what}")
        else:
            computed = seal
            self._report_gap(chain, row)
        self._check_transfers(row, transfers, postings)
        chain.entry = row[0]
        chain.sequence = sequence
        chain.stored = seal
        chain.computed = computed
        for side in sides:
            if side[2] == _ADDED:
                chain.members += 1
        if self._last is not None and self._last.sequences[bucket] == sequence:
            self._at_checkpoint[bucket] = Head(sequence, seal, chain.members)

    def _compute_seal(
        self, chain: _Chain, row: _Row, transfers: list[_Row], postings: list[_Row], sides: list[_Row]
    ) -> bytes:
        """The seal these rows should have; b"" when they can't be sealed at all."""
        if not chain.stored:
            return bytes(row[_SEAL_PLACE])  # the ledger's id was changed: first entries can't be checked
        entry: Any = row[:_SEAL_PLACE]
        rows: Any = (transfers, postings, sides)
        try:
            computed = self._sealer.entry(chain.stored, entry, *rows)
            if computed != row[_SEAL_PLACE] and chain.computed != chain.stored:
                # The entry before was reported; whether its seal or its rows were changed shows here.
                other = self._sealer.entry(chain.computed, entry, *rows)
                if other == row[_SEAL_PLACE]:
                    return other
        except _UNREADABLE:
            return b""
        return computed

    def _report_gap(self, chain: _Chain, row: _Row) -> None:
        bucket, sequence = row[1], row[2]
        missing = sequence - chain.sequence - 1
        after = f"entry {chain.entry}" if chain.entry else "the beginning"
        if missing > 0:
            what = f"{missing} of bucket {bucket} missing between {after} and entry {row[0]}"
            self._report.add("entry", "", what)
        else:
            self._report.add("entry", _name_entry(row), f"out of order: follows number {chain.sequence}")

    def _check_transfers(self, row: _Row, transfers: list[_Row], postings: list[_Row]) -> None:
        """Every posting has its transfer and bucket, every transfer sums to zero per unit."""
        if len(postings) == 2 and len(transfers) == 1:  # nearly all
            (_, number, _, _), (one, other) = transfers[0], postings
            if (
                one[1] == other[1] == number
                and one[3] == other[3] == row[1]
                and one[7] == other[7]
                and one[8] == -other[8]
            ):
                return
        sums: dict[int, dict[int, int]] = {transfer[1]: {} for transfer in transfers}
        for posting in postings:
            if posting[3] != row[1]:
                what = f"is in bucket {posting[3]}, its entry in {row[1]}"
                self._report.add("posting", _name(_POSTING, posting), what)
            of_transfer = sums.get(posting[1])
            if of_transfer is None:
                what = f"entry {row[0]} has no transfer {posting[1]}"
                self._report.add("posting", _name(_POSTING, posting), what)
                continue
            of_transfer[posting[7]] = of_transfer.get(posting[7], 0) + posting[8]
        for transfer in transfers:
            units = sums[transfer[1]]
            if not units:
                self._report.add("transfer", _name(_TRANSFER, transfer), "has no postings")
            for unit, total in units.items():
                if total:
                    what = f"does not balance: its postings of unit {unit} sum to {total}"
                    self._report.add("transfer", _name(_TRANSFER, transfer), what)

    def _check_heads(self) -> None:
        if not self._chains_whole:
            return
        ends = ((at, [chain.sequence, chain.stored, chain.members]) for at, chain in enumerate(self._chains))
        heads = ((bucket, values) for bucket, *values in self._connection.execute(_HEADS))
        for bucket, end, head in _differences(ends, heads):
            if end is None:
                what = "was added"
            elif head is None:
                what = "is missing"
            elif head[0] != end[0]:
                what = f"says {head[0]} entries, there are {end[0]}: it was changed, or entries were cut off"
            elif head[2] != end[2]:
                what = f"says {head[2]} members, there are {end[2]}"
            elif end[1]:
                what = "its seal is not that of the last entry: one of them was changed"
            else:
                continue  # an empty chain of a ledger whose id was changed: reported already
            self._report.add("bucket_head", bucket, what)

    # ------------------------------------------------------- checkpoints

    def _check_checkpoints(self, path: Path, mac: Mac, noted: str) -> None:
        number, _, noted_mac = noted.partition(":")
        found = number == "0"
        if path.exists():
            for place, line in read_checkpoints(path, mac):
                if isinstance(line, Checkpoint):
                    self._report.checkpoints += 1
                    self._last = line
                    found = found or (line.number, line.mac) == (int(number), noted_mac)
                else:
                    self._report.add(path.name, f"line {place}", str(line))
        if not found:
            self._report.add(path.name, "", f"checkpoint {number} is missing: the file was cut or replaced")

    def _compare_checkpoint(self) -> None:
        """What the HSM put its MAC on must still be there: all entries of then, and the same seals."""
        last = self._last
        if last is None or not self._chains_whole:
            return
        for bucket, chain in enumerate(self._chains):
            cut = last.sequences[bucket] - chain.sequence
            if cut > 0:
                what = f"{cut} cut off at the end of bucket {bucket} since checkpoint {last.number}"
                self._report.add("entry", "", what)
        heads = [head for head in self._at_checkpoint if head is not None]
        # With other problems the heads can't be the same, and those name the rows.
        if len(heads) == BUCKETS and not self._report.found and digest_heads(heads) != last.heads:
            what = "entries up to here are not those of then: they were replaced and sealed anew"
            self._report.add("checkpoint", last.number, what)

    # ------------------------------------------------------- what follows from the chains

    def _check_accounts(self) -> None:
        sums = ((key, (high << 32) + low) for *key, high, low in self._connection.execute(_SUMS))
        balances = ((key, balance) for *key, balance in self._connection.execute(_ACCOUNTS))
        for key, total, balance in _differences(sums, balances):
            kind, holder, program, unit, bucket = key
            place = "all buckets" if bucket == ALL_BUCKETS else f"bucket {bucket}"
            name = f"{_KIND_NAMES.get(kind, kind)} {_text(holder)} {_text(program)} unit {unit} {place}"
            if balance is None:
                what = f"is missing, its postings sum to {total}"
            elif total is None:
                what = f"was added: it has no postings, its balance is {balance}"
            else:
                what = f"its balance is {balance}, its postings sum to {total}"
            self._report.add("account", name, what)

    def _check_members(self) -> None:
        changes = groupby(self._connection.execute(_STATUSES), itemgetter(0))
        expected = ((member, list(rows)[-1][1]) for member, rows in changes)
        for member, should, status in _differences(expected, iter(self._connection.execute(_MEMBERS))):
            if status is None:
                what = "is missing"
            elif should is None:
                what = "was added: no entry adds this member"
            else:
                what = f"its status is {status}, by the entries it should be {should}"
            self._report.add("member", member, what)

    def _check_reversed(self) -> None:
        reversals = groupby(self._connection.execute(_REVERSALS), itemgetter(0))
        expected = ((original, [entry for _, entry in rows]) for original, rows in reversals)
        stored = ((original, [entry]) for original, entry in self._connection.execute(_REVERSED))
        for original, entries, row in _differences(expected, stored):
            name = f"original {original.hex()}"
            if row is None:
                what = f"is missing, entry {entries[0]} reverses it"
            elif entries is None:
                what = "was added: no entry reverses it"
            elif len(entries) > 1:
                what = f"reversed more than once, by entries {', '.join(map(str, entries))}"
            else:
                what = f"names entry {row[0]}, entry {entries[0]} reverses it"
            self._report.add("reversed", name, what)

    def _check_marks(self) -> None:
        """A mark that was lowered would let old sendings in again."""
        marks = self._connection.execute(_SUMMED_MARKS)
        expected = ((key, int.from_bytes(serial[INITIAL_KEY_BYTES:], "big")) for key, serial in marks)
        for key, should, counter in _differences(expected, iter(self._connection.execute(_MARKS))):
            if counter is None:
                what = f"is missing, entries used counters up to {should}"
            elif should is None:
                what = "was added: no entry used this key"
            else:
                what = f"says counter {counter}, entries used counters up to {should}"
            self._report.add("key_mark", f"of initial key {key.hex()}", what)

    def _check_credentials(self) -> None:
        """PIN verifiers, codes and tries are what the entries made of them."""
        changes = groupby(self._connection.execute(_PROOFS), itemgetter(0))
        expected = ((member, _credential(rows)) for member, rows in changes)
        stored = ((member, tuple(values)) for member, *values in self._connection.execute(_CREDENTIALS))
        for member, should, values in _differences(expected, stored):
            if values is None:
                what = "is missing"
            elif should is None:
                what = "was added: no entry sets it"
            else:
                names = zip(Credential._fields, should, values, strict=True)
                changed = [name for name, one, other in names if one != other]
                what = f"is not what the entries made of it: {', '.join(changed)}"
            self._report.add("credential", f"of member {member}", what)

    def _check_code_counts(self) -> None:
        """How many codes were sent is what the last entry that counted them says."""
        last = groupby(self._connection.execute(_COUNTED), itemgetter(0))
        expected = ((subject, _code_count(deque(rows, maxlen=1)[0])) for subject, rows in last)
        stored = ((subject, tuple(values)) for subject, *values in self._connection.execute(_CODE_COUNTS))
        for subject, should, values in _differences(expected, stored):
            if values is None:
                what = "is missing"
            elif should is None:
                what = "was added: no entry counts it"
            else:
                what = "is not what the entries made of it"
            self._report.add("code_count", f"of {_text(subject)}", what)

    def _check_mobiles(self) -> None:
        for identifier, member, masked, sealed, seal in self._connection.execute(_MOBILES):
            if not self._row_fits("mobile", (identifier, member, _text(masked), sealed), seal):
                what = "its seal does not match: it was changed or added"
                self._report.add("mobile", f"of member {member}", what)
        last = (
            (member, list(rows)[-1][1])
            for member, rows in groupby(self._connection.execute(_MOBILE_CHANGES), itemgetter(0))
        )
        expected = ((member, 1) for member, kind in last if kind == SIDE_KINDS[MobileSet])
        for member, _, stored in _differences(expected, iter(self._connection.execute(_MOBILE_MEMBERS))):
            what = "is missing" if stored is None else "was added: no entry sets it"
            self._report.add("mobile", f"of member {member}", what)

    def _check_answered(self) -> None:
        """A mark without an entry has only its own seal."""
        for initial_key, counter, seal in self._connection.execute(_ANSWERED):
            if not self._row_fits("answered", (initial_key, counter), seal):
                what = "its seal does not match: it was changed or added"
                self._report.add("answered", f"of initial key {initial_key.hex()}", what)

    def _check_originals(self) -> None:
        for entry, number, reverses in self._connection.execute(_LOST_ORIGINALS):
            self._report.add("transfer", f"{entry}.{number}", f"reverses entry {reverses}, which is missing")

    def _check_pages(self) -> None:
        """SQLite's own check: pages, value types, and that each index has what its table has."""
        for (text,) in self._connection.execute(f"PRAGMA integrity_check({MOST_PROBLEMS})"):
            if text != "ok":
                self._report.add("database", self._database.name, str(text))


def _credential(rows: Iterable[_Row]) -> tuple[Any, ...]:
    """What these side rows of one member, in order, come to."""
    credential = Credential()
    for member, kind, status, original in rows:
        credential = credential.after(side_of(kind, member, status, original))
    return tuple(credential)


def _code_count(row: _Row) -> tuple[Any, ...]:
    """What this side row says."""
    _subject, *values = row
    side = side_of(*values)
    assert isinstance(side, CodesCounted)
    return side.since_ms, side.sent


def _stream(connection: apsw.Connection, table: _Table) -> Iterator[_Row]:
    """All rows in the order of the key. Text that isn't UTF-8 becomes lone surrogates, which no seal fits."""
    key = ", ".join(table.key)
    after = f"WHERE ({key}) > ({', '.join('?' * len(table.key))})"
    plain = ", ".join(table.columns)
    as_bytes = ", ".join(f"CAST({name} AS BLOB)" if name in table.texts else name for name in table.columns)
    select = "SELECT {} FROM " + table.name + " NOT INDEXED {} ORDER BY " + key
    row: _Row | None = None
    while True:
        where, last = ("", ()) if row is None else (after, row[: len(table.key)])
        try:
            for row in connection.execute(select.format(plain, where), last):
                yield row
            return
        except UnicodeDecodeError:
            where, last = ("", ()) if row is None else (after, row[: len(table.key)])
            raw = connection.execute(select.format(as_bytes, where) + " LIMIT 1", last).fetchone()
            assert raw is not None, "the row that could not be read as text"
            row = tuple(
                _text(value) if name in table.texts else value
                for name, value in zip(table.columns, raw, strict=True)
            )
            yield row


def _differences(
    expected: Iterable[tuple[Any, Any]], stored: Iterable[tuple[Any, Any]]
) -> Iterator[tuple[Any, Any, Any]]:
    """(key, expected or None, stored or None) where two sequences sorted by key are not the same."""
    left, right = iter(expected), iter(stored)
    one, other = next(left, None), next(right, None)
    while one is not None or other is not None:
        if other is None or (one is not None and one[0] < other[0]):
            assert one is not None
            yield one[0], one[1], None
            one = next(left, None)
        elif one is None or other[0] < one[0]:
            yield other[0], None, other[1]
            other = next(right, None)
        else:
            if one[1] != other[1]:
                yield one[0], one[1], other[1]
            one, other = next(left, None), next(right, None)


def _schema_of(connection: apsw.Connection, *, make: bool = False) -> dict[Any, _Row]:
    if make:
        connection.execute(TABLES)
    return {name: (kind, table, sql) for name, kind, table, sql in connection.execute(_SCHEMA)}


def _text(value: Any) -> str:
    """Text that was read as bytes; what isn't UTF-8 becomes lone surrogates, which no seal fits."""
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)


def _name(table: _Table, row: _Row) -> str:
    """The key of a row as one word: entry, transfer, leg."""
    return ".".join(str(value) for value in row[: len(table.key)])


def _name_entry(row: _Row) -> str:
    return f"{row[0]} (terminal {row[5]}, bucket {row[1]}, number {row[2]})"


def _describe_parts(transfers: list[_Row], postings: list[_Row], sides: list[_Row]) -> str:
    parts = ["the entry"]
    for rows, name in ((transfers, "transfer"), (postings, "posting"), (sides, "side")):
        if rows:
            parts.append(f"its {name}" if len(rows) == 1 else f"one of its {len(rows)} {name}s")
    return f"{', '.join(parts[:-1])} or {parts[-1]} was changed" if parts[1:] else "the entry was changed"
