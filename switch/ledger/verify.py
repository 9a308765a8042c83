"""Checks a ledger against its seals, its entries and its checkpoints, and names each wrong row, the first one
first.

Everything that follows from the entries is made again and compared. It works on snapshots (a switch may go on
writing), changes nothing, and runs in as many processes as there are cores: each reads the entries of some
buckets at a time, so that the members it holds take about MEMBERS_BYTES, whatever the size of the ledger.
Counters are compared by one weighed sum; what else is over all buckets goes through sorted files in a
temporary directory.
"""

from __future__ import annotations

import gc
import os
import secrets
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from switch.ledger.checking import (
    COMBINE,
    MOST_PROBLEMS,
    SEAL,
    WRONG_VALUES,
    Chain,
    ChainCheck,
    Checked,
    Findings,
    MemberCheck,
    Part,
    Problem,
    check_part,
    entry_name,
    row_fits,
)
from switch.ledger.checkpoint import Checkpoint, Mac, RegistryHead, digest_heads, read_checkpoints
from switch.ledger.counting import Count, Counter
from switch.ledger.engine import Head, LedgerUnavailable
from switch.ledger.model import (
    BUCKETS,
    AccountKind,
    Entry,
    Followed,
    HoldClosed,
    HoldOpened,
    Identified,
    IdentifierKind,
    MemberAdded,
    OriginalReversed,
    Unit,
    bucket_of_member,
)
from switch.ledger.reading import Damaged, Reading, Row, SqliteStore, Store, Value, text_of
from switch.ledger.rows import entry_of, packed_row
from switch.ledger.schema import SCHEMA_VERSION
from switch.ledger.seal import SEAL_BYTES, Sealer
from switch.ledger.sorted_runs import read_runs
from switch.ledger.sqlite import ALL_BUCKETS, META_NAMES
from switch.ledger.weighing import SECRET_BYTES, WeighedSum, together

__all__ = ["Problem", "Report", "verify", "verify_member", "verify_since_checkpoint"]

# Of the rows of meta that hold together what each owner but that of bucket 0 answered without an entry: the
# first bucket follows.
ANSWERED_OF = "answered."
# What the members may take in a process; with pages, counters and the program itself it uses twice as much.
MEMBERS_BYTES = 200_000_000
# A member takes so much more in memory than its packed row does, and so much beside.
_BYTES_A_PACKED_BYTE, _BYTES_A_MEMBER = 8, 300
_MEMBERS_LOOKED_AT = 2_000
# Starting processes takes half a second: below this one is as quick.
ENTRIES_FOR_ONE_PROCESS = 20_000

# Tables in the order in which a report tells of them: where the truth lies first, then what follows from it.
_ORDER = (
    "schema",
    "meta",
    "owner",
    "entry",
    "bucket_head",
    "checkpoint",
    "member",
    "account",
    "counter",
    "reversed",
    "followed",
    "hold",
    "code_count",
    "batch",
    "key_mark",
    "directory",
    "answered",
    "database",
)


@dataclass
class Report:
    """What was read and what is wrong. `problems` holds the first MOST_PROBLEMS of `found`; warnings are
    true of right ledgers too, for a while."""

    entries: int = 0
    transfers: int = 0
    postings: int = 0
    members: int = 0
    checkpoints: int = 0
    found: int = 0
    problems: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    registry: RegistryHead | None = None  # at the last checkpoint


def verify(
    ledger: Store | Path,
    seal_key: bytes,
    checkpoint_path: Path | None = None,
    checkpoint_mac: Mac | None = None,
    *,
    processes: int | None = None,
    members_at_once: int | None = None,
) -> Report:
    """Check all of a ledger; with a checkpoint file also that its end wasn't cut off.

    ledger: a store, or the path of a SQLite ledger. processes: None for one a core, one when the ledger is
    small. members_at_once: in a process; None for as many as MEMBERS_BYTES hold.

    Raises LedgerUnavailable when it can't be checked: no file, another program's, locked, another seal key.
    """
    run = _Run(ledger, seal_key)
    return run.report(lambda: run.whole(checkpoint_path, checkpoint_mac, processes, members_at_once))


def verify_since_checkpoint(
    ledger: Store | Path, seal_key: bytes, checkpoint_path: Path, checkpoint_mac: Mac
) -> Report:
    """Check the entries after the last good checkpoint, and that they follow what the HSM put its MAC on.

    It doesn't see edits of earlier entries, nor of members, accounts, counters and whatever else follows
    from entries; the schema, meta, owner, answered and bucket_head are checked whole. Raises
    LedgerUnavailable, also when there is no checkpoint.
    """
    run = _Run(ledger, seal_key)
    return run.report(lambda: run.since_checkpoint(checkpoint_path, checkpoint_mac))


def verify_member(ledger: Store | Path, seal_key: bytes, member: int) -> Report:
    """Check one member: its entries along `previous`, each against its seal and the one before it in the
    bucket, its row, its cards and mobile number, what its entries reversed, followed and hold.

    It doesn't see that newest entries were cut off together with the member's row, nor an edit of sums that
    many members share. Raises LedgerUnavailable, also for a member that isn't there.
    """
    run = _Run(ledger, seal_key)
    return run.report(lambda: run.member(member))


class _Run:
    """One verification."""

    def __init__(self, ledger: Store | Path, seal_key: bytes) -> None:
        self._store: Store = SqliteStore(ledger) if isinstance(ledger, Path) else ledger
        self._seal_key = seal_key
        self._sealer = Sealer(seal_key)
        self._report = Report()
        self._findings = Findings()
        self._ledger = ""
        self._answered: int | None = None
        self._last: Checkpoint | None = None

    def report(self, check: Callable[[], None]) -> Report:
        """Run a check; its findings in the order of a report."""
        try:
            check()
        except Damaged as error:
            self._findings.add("database", 0, self._store.name, f"is damaged, reading stopped: {error}")
        report, findings = self._report, self._findings
        report.found = findings.found
        others = sorted(findings.problems.keys() - set(_ORDER))
        for table in (*_ORDER, *others):
            problems = sorted(findings.problems.get(table, ()), key=lambda item: item[0])
            report.problems += (problem for _, problem in problems)
        del report.problems[MOST_PROBLEMS:]
        return report

    # ---------------------------------------------------------------- the whole ledger

    def whole(
        self, path: Path | None, mac: Mac | None, processes: int | None, members_at_once: int | None
    ) -> None:
        if not self._begin(path, mac):
            return
        reading = self._store.open()
        try:
            with tempfile.TemporaryDirectory(prefix="vafa-verify-") as directory:
                parts = self._parts(reading, Path(directory), processes, members_at_once)
                self._check_parts(reading, *parts)
                self._compare_tables(reading, Path(directory))
            self._guarded("entry", lambda: self._check_strays(reading))
            self._guarded("owner", lambda: self._check_owner(reading))
            self._guarded("answered", lambda: self._check_answered(reading))
        finally:
            reading.close()

    def _begin(self, path: Path | None, mac: Mac | None) -> bool:
        """Schema, meta, checkpoints; False when the tables can't be read at all.

        Before any other snapshot begins, so that no checkpoint can be ahead of it.
        """
        reading = self._store.open()
        try:
            changed = False
            for name, what in reading.schema():
                self._findings.add("schema", 0, name, what)
                changed |= what != "was added"
            if changed and any(
                problem.row in ("meta", "") for _, problem in self._findings.problems["schema"]
            ):
                raise LedgerUnavailable(f"{self._store.name}: is not a ledger; check --data")
            noted = self._check_meta(reading)
        finally:
            reading.close()
        if path is not None and mac is not None:
            self._read_checkpoints(path, mac, noted)
        return not changed

    def _guarded(self, table: str, check: Callable[[], None]) -> None:
        """Values of any type may come: what can't be compared is told as a problem of the table."""
        try:
            check()
        except Damaged as error:
            self._findings.add(table, 0, "", f"is damaged, reading it stopped: {error}")
        except WRONG_VALUES as error:
            self._findings.add(table, 0, "", f"holds values that no ledger stores: {error}")

    def _check_meta(self, reading: Reading) -> str:
        """Check the ledger's own data; returns what it knows of its last checkpoint, "number:MAC"."""
        rows = {text_of(row[0]): row for row in reading.table("meta")}
        values = {name: text_of(row[1]) for name, row in rows.items() if row_fits(self._sealer, "meta", row)}
        if not values:
            raise LedgerUnavailable(
                f"{self._store.name}: the seal key doesn't fit this ledger; check keys.seal in the settings"
            )
        version = values.get("schema", str(SCHEMA_VERSION))
        if version != str(SCHEMA_VERSION):
            older = version.isdecimal() and int(version) < SCHEMA_VERSION
            remedy = "start the switch once to bring it forward" if older else "use the program that wrote it"
            raise LedgerUnavailable(
                f"{self._store.name}: schema version {version}, this program knows {SCHEMA_VERSION}; {remedy}"
            )
        for name in sorted({*map(str, rows), *META_NAMES}):
            if name not in rows:
                self._findings.add("meta", 0, name, "is missing")
            elif name not in values or (name not in META_NAMES and not name.startswith(ANSWERED_OF)):
                what = "its seal does not match: the row was changed or added"
                self._findings.add("meta", 0, name, what)
        self._ledger = values.get("ledger", "")
        if "answered" in values:
            self._answered = 0
            for name, value in values.items():
                if name == "answered" or name.startswith(ANSWERED_OF):
                    self._answered ^= int(value, 16)
        return str(values.get("checkpoint", "0:"))

    def _parts(
        self, reading: Reading, directory: Path, processes: int | None, members_at_once: int | None
    ) -> tuple[list[Part], int]:
        """What is checked at a time, and by how many processes."""
        sizes = [0] * BUCKETS
        entries = 0
        for bucket, sequence, _seal, members in reading.table("bucket_head"):
            if isinstance(bucket, int) and 0 <= bucket < BUCKETS and isinstance(members, int):
                sizes[bucket] = max(members, 0)  # only sizes: an edited one costs memory or time
                entries += sequence if isinstance(sequence, int) else 0
        if processes is None:
            processes = 1 if entries < ENTRIES_FOR_ONE_PROCESS else os.cpu_count() or 1
        if members_at_once is None:
            members_at_once = _fitting(reading, sizes)
        weights = secrets.token_bytes(SECRET_BYTES)
        parts = [
            Part(
                self._store,
                self._seal_key,
                self._ledger,
                first,
                last,
                reading.newest(),
                self._last.sequences if self._last is not None else (),
                directory,
                weights,
            )
            for first, last in _ranges(sizes, processes, members_at_once)
        ]
        return parts, processes

    def _check_parts(self, reading: Reading, parts: list[Part], processes: int) -> None:
        heads: dict[int, Head | None] = {}
        counted: list[int] = []
        stored: list[int | None] = []

        def meanwhile() -> None:
            stored.append(_weighed(reading, parts[0].weights))
            for text in _damage(self._store):
                self._findings.add("database", 0, self._store.name, text)

        for checked in _each(parts, processes, meanwhile):
            self._take(checked)
            heads.update(checked.heads)
            counted.append(checked.counters)
        self._compare_checkpoint(heads)
        if stored != [together(counted)]:
            # Which ones shows when each is counted by itself: slower, and needed only for a wrong ledger.
            for _ in _each([part._replace(each_counter=True) for part in parts], processes):
                pass
            self._guarded("counter", partial(self._compare_table, reading, parts[0].directory, "counter"))

    def _take(self, checked: Checked) -> None:
        report = self._report
        report.entries += checked.entries
        report.transfers += checked.transfers
        report.postings += checked.postings
        report.members += checked.members
        self._findings.found += checked.findings.found
        for table, problems in checked.findings.problems.items():
            self._findings.problems.setdefault(table, []).extend(problems)

    def _check_strays(self, reading: Reading) -> None:
        for row in reading.strays():
            self._report.entries += 1
            self._findings.add("entry", row[0], entry_name(row), "there is no such bucket")

    # ---------------------------------------------------------------- what follows, over all buckets

    def _compare_tables(self, reading: Reading, directory: Path) -> None:
        for table in _NAMES:
            if table == "counter":
                continue  # compared already
            self._guarded(table, partial(self._compare_table, reading, directory, table))

    def _compare_table(self, reading: Reading, directory: Path, table: str) -> None:
        names = _NAMES[table]
        expected: Iterable[tuple[Any, Any]] = read_runs(directory, f"{table}.*", COMBINE[table])
        if table == "account":
            expected = self._in_transit(expected)
        elif table == "hold":
            expected = (item for item in expected if item[1])
        elif table == "code_count":
            expected = ((key, value[1:]) for key, value in expected)
        elif table == "reversed":
            expected = self._reversed_once(expected)
        width = len(_KEYS[table])
        stored = ((row[:width], row[width:]) for row in reading.table(table))
        for key, should, there in _differences(expected, stored):
            if there is None:
                parts = (f"{name} {value}" for name, value in zip(names, should, strict=True))
                what = f"is missing, with {', '.join(parts)} by the entries"
            elif should is None:
                what = "was added: no entry made it"
            else:
                what = ", ".join(
                    f"its {name} is {stands}, by the entries {value}"
                    for name, stands, value in zip(names, there, should, strict=True)
                    if stands != value
                )
            self._findings.add(table, key[0] if isinstance(key[0], int) else 0, _row_name(table, key), what)

    def _in_transit(self, accounts: Iterable[tuple[Any, Any]]) -> Iterator[tuple[Any, Any]]:
        """Pass accounts on; what is under way between two members is warned of."""
        under_way: dict[tuple[str, int], int] = {}
        for key, value in accounts:
            kind, _holder, program, unit, _bucket = key
            if kind == AccountKind.IN_TRANSIT:
                name = text_of(program), unit
                under_way[name] = under_way.get(name, 0) + value[0]
            yield key, value
        for (program, unit), total in under_way.items():
            if total:
                self._report.warnings.append(
                    f"{total} {Unit(unit).name.lower()} of {program} are between two members: while a"
                    " transfer is under way that is right, later it isn't"
                )

    def _reversed_once(self, reversals: Iterable[tuple[Any, Any]]) -> Iterator[tuple[Any, Any]]:
        for key, entries in reversals:
            if len(entries) > 1:
                what = f"reversed more than once, by entries {', '.join(map(str, entries))}"
                self._findings.add("reversed", 0, _row_name("reversed", key), what)
            yield key, entries[:1]

    def _check_owner(self, reading: Reading) -> None:
        rows = list(reading.table("owner"))
        for row in rows:
            if not row_fits(self._sealer, "owner", row):
                what = "its seal does not match: the row was changed"
                self._findings.add("owner", row[0], f"of bucket {row[0]}", what)
        following = 0
        # Where the owned ranges were divided otherwise before, a row of no bucket is left.
        for first, last in sorted((first, last) for first, last, *_ in rows if last != first - 1):
            following = last + 1 if first == following <= last else BUCKETS + 1
        if following != BUCKETS:
            self._findings.add("owner", 0, "", "its rows don't give every bucket one owner")

    def _check_answered(self, reading: Reading) -> None:
        """A mark without an entry has only its own seal; all together are held by meta."""
        together = 0
        for row in reading.table("answered"):
            if isinstance(row[2], bytes) and len(row[2]) == SEAL_BYTES:
                together ^= int.from_bytes(row[2], "big")
            if not row_fits(self._sealer, "answered", row):
                what = "its seal does not match: it was changed or added"
                self._findings.add("answered", 0, _row_name("answered", row[:1]), what)
        if self._answered is not None and together != self._answered:
            what = "its rows are not those that were written: one is missing, or an old one was put back"
            self._findings.add("answered", 0, "", what)

    # ---------------------------------------------------------------- checkpoints

    def _read_checkpoints(self, path: Path, mac: Mac, noted: str) -> None:
        number, _, noted_mac = noted.partition(":")
        found = number == "0"
        if path.exists():
            for place, line in read_checkpoints(path, mac):
                if isinstance(line, Checkpoint):
                    self._report.checkpoints += 1
                    self._last = line
                    self._report.registry = line.registry
                    found = found or (line.number, line.mac) == (int(number), noted_mac)
                else:
                    self._findings.add(path.name, place, f"line {place}", str(line))
        if not found:
            what = f"checkpoint {number} is missing: the file was cut or replaced"
            self._findings.add(path.name, 0, "", what)

    def _compare_checkpoint(self, heads: dict[int, Head | None]) -> None:
        """What the HSM put its MAC on must still be there: all entries of then, and the same seals."""
        last = self._last
        if last is None:
            return
        missing = [bucket for bucket, head in sorted(heads.items()) if head is None]
        if "entry" not in self._findings.problems:
            for bucket in missing:
                what = f"entries cut off at the end of bucket {bucket} since checkpoint {last.number}"
                self._findings.add("entry", 0, "", what)
        # With other problems the heads can't be the same, and those name the rows.
        then = [head for _, head in sorted(heads.items()) if head is not None]
        if len(then) == BUCKETS and not self._findings.found and digest_heads(then) != last.heads:
            what = "entries up to here are not those of then: they were replaced and sealed anew"
            self._findings.add("checkpoint", last.number, last.number, what)

    # ---------------------------------------------------------------- since the last checkpoint

    def since_checkpoint(self, path: Path, mac: Mac) -> None:
        if not self._begin(path, mac):
            return
        last = self._last
        if last is None:
            raise LedgerUnavailable(f"{path}: holds no good checkpoint; run `vafa ledger verify` without it")
        reading = self._store.open()
        try:
            self._guarded("owner", lambda: self._check_owner(reading))
            self._guarded("answered", lambda: self._check_answered(reading))
            self._guarded("entry", lambda: self._check_tail(reading, last))
        finally:
            reading.close()

    def _check_tail(self, reading: Reading, last: Checkpoint) -> None:
        stored = {row[0]: row[1:] for row in reading.table("bucket_head")}
        for bucket in range(BUCKETS):
            if bucket not in stored:
                self._findings.add("bucket_head", bucket, bucket, "is missing")
        if self._findings.found:
            return
        tail, chains = self._tail(reading, last, stored)
        at_checkpoint = [Head(chain.sequence, chain.stored, 0) for chain in chains.values()]
        check = ChainCheck(self._sealer, chains, self._findings)
        newest: dict[int, int] = {}
        for row in reversed(tail):
            self._report.entries += 1
            if not check.follows(row):
                continue
            try:
                entry = entry_of(row[:SEAL])
            except WRONG_VALUES as error:
                self._findings.add("entry", row[0], entry_name(row), f"can't be read: {error}")
                continue
            chain = chains[entry.bucket]
            chain.members += sum(type(side) is MemberAdded for side in entry.sides)
            self._report.transfers += len(entry.transfers)
            self._report.postings += sum(len(transfer.postings) for transfer in entry.transfers)
            if entry.member:
                newest[entry.member] = entry.id
        self._compare_tail(reading, last, chains, stored, at_checkpoint, newest)

    def _tail(
        self, reading: Reading, last: Checkpoint, stored: dict[int, Row]
    ) -> tuple[list[Row], dict[int, Chain]]:
        """Entries after the checkpoint, newest first, and the chains as they were at it."""
        chains = {
            bucket: Chain(self._sealer.genesis(self._ledger, bucket))
            for bucket in range(BUCKETS)
            if last.sequences[bucket] == 0
        }
        for bucket, (sequence, seal, _members) in stored.items():
            if bucket not in chains and sequence == last.sequences[bucket]:
                chains[bucket] = Chain(seal, sequence)
        # Nothing new in these; in the others back to the entry that the checkpoint ends with.
        tail: list[Row] = []
        open_buckets = {bucket for bucket in range(BUCKETS) if bucket not in chains}
        untouched = {bucket for bucket, chain in chains.items() if chain.sequence == stored[bucket][0]}
        starting = {bucket: 0 for bucket in chains if bucket not in untouched}
        for row in reading.entries_back():
            bucket, sequence = row[1], row[2]
            if not open_buckets and not starting:
                break
            if bucket in open_buckets and sequence == last.sequences[bucket]:
                open_buckets.discard(bucket)
                chains[bucket] = Chain(row[SEAL], sequence, row[0])
            elif bucket in open_buckets or bucket not in chains:
                tail.append(row)
            elif bucket in starting:
                tail.append(row)
                if sequence == 1:
                    del starting[bucket]
            elif isinstance(sequence, int) and sequence > last.sequences[bucket]:
                tail.append(row)
        for bucket in open_buckets:
            what = f"the entry that checkpoint {last.number} ends with is missing in bucket {bucket}"
            self._findings.add("entry", 0, "", what)
            chains[bucket] = Chain(b"", last.sequences[bucket])
        return tail, chains

    def _compare_tail(
        self,
        reading: Reading,
        last: Checkpoint,
        chains: dict[int, Chain],
        stored: dict[int, Row],
        at_checkpoint: list[Head],
        newest: dict[int, int],
    ) -> None:
        then: list[Head] = []
        begun = dict(zip(chains, at_checkpoint, strict=True))
        for bucket in range(BUCKETS):
            chain, head = chains[bucket], stored[bucket]
            chain.end()
            if head[0] != chain.sequence or head[1] != chain.stored:
                what = "isn't where the entries end: it was changed, or entries were cut off"
                self._findings.add("bucket_head", bucket, bucket, what)
            then.append(begun[bucket]._replace(members=head[2] - chain.members))
        if not self._findings.found and digest_heads(then) != last.heads:
            what = "what it ends with isn't what is stored: entries up to here were changed or replaced"
            self._findings.add("checkpoint", last.number, last.number, what)
        for member, entry in sorted(newest.items()):
            row = reading.member(member)
            if row is None or row[2] != entry:
                says = "is missing" if row is None else f"says {row[2]}"
                what = f"its newest entry is {entry}, its row {says}"
                self._findings.add("member", member, member, what)
        self._report.members = len(newest)

    # ---------------------------------------------------------------- one member

    def member(self, member: int) -> None:
        if not self._begin(None, None):
            return
        reading = self._store.open()
        try:
            row = reading.member(member)
            if row is None:
                raise LedgerUnavailable(f"{self._store.name}: member {member} isn't there")
            self._guarded("member", lambda: self._check_one(reading, member, row))
        finally:
            reading.close()

    def _check_one(self, reading: Reading, member: int, stored: Row) -> None:
        check = MemberCheck(self._findings)
        entries: list[Entry] = []
        for row in reversed(list(self._walk(reading, member, stored[2]))):
            self._report.entries += 1
            if not self._seal_fits(reading, row):
                self._findings.add(
                    "entry", row[0], entry_name(row), "its seal does not match: the entry was changed"
                )
            try:
                entry = entry_of(row[:SEAL])
            except WRONG_VALUES as error:
                check.breaks(row, f"can't be read: {error}", member)
                continue
            self._report.transfers += len(entry.transfers)
            self._report.postings += sum(len(transfer.postings) for transfer in entry.transfers)
            check.apply(row, entry)
            entries.append(entry)
        self._report.members = 1
        check.compare(member, stored)
        self._check_found_by(reading, member, entries)
        self._check_beside(reading, member, entries)

    def _walk(self, reading: Reading, member: int, newest: int) -> Iterator[Row]:
        """The member's entries, newest first."""
        entry, after = newest, None
        while entry:
            row = reading.entry(entry, bucket_of_member(member))
            if row is None:
                follower = "the member's row" if after is None else f"entry {after}"
                self._findings.add("entry", entry, entry, f"is missing, {follower} follows it")
                return
            if row[10] != member:
                self._findings.add(
                    "entry", entry, entry_name(row), f"is of member {row[10]}, not of {member}"
                )
                return
            if after is not None and row[0] >= after:
                return  # an edited link must not lead in circles; its seal says so
            yield row
            after, entry = row[0], row[11]

    def _seal_fits(self, reading: Reading, row: Row) -> bool:
        before = reading.before(row[0], row[1])
        previous = self._sealer.genesis(self._ledger, row[1]) if before is None else before[2]
        number = 1 if before is None else before[1] + 1
        try:
            computed = self._sealer.entry(previous, packed_row(row[:SEAL]))
            return bool((number, computed) == (row[2], row[SEAL]))
        except WRONG_VALUES:
            return False

    def _check_found_by(self, reading: Reading, member: int, entries: list[Entry]) -> None:
        there = dict.fromkeys(IdentifierKind, 0)
        for row in reading.found_by(member):
            if not row_fits(self._sealer, "directory", row):
                what = "its seal does not match: it was changed or added"
                self._findings.add("directory", member, f"of member {member}", what)
            there[IdentifierKind(row[2])] += 1
        should = dict.fromkeys(IdentifierKind, 0)
        for entry in entries:
            for side in entry.sides:
                if isinstance(side, Identified):
                    should[IdentifierKind(side.kind)] += 1 if side.added else -1
        if there != should:
            what = "has not the cards and mobile numbers that its entries gave it"
            self._findings.add("directory", member, f"of member {member}", what)

    def _check_beside(self, reading: Reading, member: int, entries: list[Entry]) -> None:
        """What its entries reversed, followed and hold; and that nothing else follows or is held."""
        reversed_by: dict[Value, Row] = {}
        followed: dict[Value, Row] = {}
        holds: dict[Value, Row] = {}
        for entry in entries:
            for side in entry.sides:
                if isinstance(side, OriginalReversed):
                    reversed_by[side.original] = (entry.id,)
                elif isinstance(side, Followed):
                    followed[side.original] = (side.amount, side.units, int(side.ended))
                elif isinstance(side, HoldOpened):
                    holds[entry.id] = (side.member, side.expires_ms)
                elif isinstance(side, HoldClosed):
                    holds.pop(side.hold, None)
        own: set[Value] = {entry.id for entry in entries}
        for table, should, others in (
            ("reversed", reversed_by, set()),  # an early reversal may be nobody's
            ("followed", followed, own),
            ("hold", holds, own),
        ):
            keys = should.keys() | others
            there = {row[0]: row[1:] for row in reading.beside(table, bucket_of_member(member), keys)}
            for key in sorted(keys, key=str):
                stored, values = there.get(key), should.get(key)
                if stored != values:
                    self._findings.add(table, 0, _row_name(table, (key,)), _told_beside(stored, values))


def _told_beside(stored: Row | None, values: Row | None) -> str:
    if stored is None:
        return "is missing"
    if values is None:
        return "was added: no entry made it"
    return f"is {stored}, by the entries {values}"


def _begin_process() -> None:
    """Verification makes no cycles; looking for them among a hundred thousand members takes half the time."""
    gc.disable()


def _each(
    parts: list[Part], processes: int, meanwhile: Callable[[], None] = lambda: None
) -> Iterator[Checked]:
    """What comes of each part. meanwhile: what this process does while others check."""
    if processes == 1:
        meanwhile()
        yield from map(check_part, parts)
        return
    # Here, for a ledger of usual size is read by one process.
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool
    from multiprocessing import get_context

    with ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=_begin_process) as pool:
        try:
            checked = pool.map(check_part, parts)
            meanwhile()
            yield from checked
        except BrokenProcessPool:
            raise LedgerUnavailable(
                "a process of the verification was ended, maybe for want of memory; try fewer (--processes)"
            ) from None


def _weighed(reading: Reading, weights: bytes) -> int | None:
    """The weighed sum of the counters as they are stored; None for a table that can't be right."""
    stored = WeighedSum(weights)
    before: tuple[Any, ...] = ()
    try:
        for row in reading.table("counter"):
            scope, period, holder, operation, bucket, entries, amount, units = row
            if row[:5] <= before or bucket != ALL_BUCKETS or entries <= 0:
                return None
            before = row[:5]
            names = text_of(holder), text_of(period), text_of(operation)
            stored.add(Counter(scope, *names), Count(entries, amount, units))
    except (Damaged, *WRONG_VALUES):
        return None
    return stored.value()


def _damage(store: Store) -> list[str]:
    """What the store's own check finds: pages, value types, and that each index has what its table has."""
    reading = store.open()
    try:
        return list(reading.damage(MOST_PROBLEMS))
    except Damaged as error:
        return [f"is damaged, its check stopped: {error}"]
    finally:
        reading.close()


def _fitting(reading: Reading, sizes: list[int]) -> int:
    """How many members MEMBERS_BYTES hold, judged by some of the fullest bucket."""
    fullest = sizes.index(max(sizes))
    lengths = []
    try:
        for row in islice(reading.members(fullest, fullest), _MEMBERS_LOOKED_AT):
            lengths.append(len(row[-1]) if isinstance(row[-1], bytes) else 0)
    except Damaged:
        pass  # told when all are read
    packed = sum(lengths) // len(lengths) if lengths else 0
    return MEMBERS_BYTES // (_BYTES_A_MEMBER + _BYTES_A_PACKED_BYTE * packed)


def _ranges(sizes: list[int], processes: int, members_at_once: int) -> list[tuple[int, int]]:
    """Ranges of buckets with so many members at most (but at least one bucket), at least one a process."""
    most = min(members_at_once, sum(sizes) // processes + 1)
    ranges: list[tuple[int, int]] = []
    first = members = 0
    for bucket, size in enumerate(sizes):
        if bucket > first and members + size > most:
            ranges.append((first, bucket - 1))
            first, members = bucket, 0
        members += size
    return [*ranges, (first, len(sizes) - 1)]


_KEYS = {
    "account": ("kind", "holder", "program", "unit", "bucket"),
    "counter": ("scope", "period", "holder", "operation", "bucket"),
    "reversed": ("original",),
    "followed": ("entry",),
    "hold": ("id",),
    "code_count": ("subject",),
    "batch": ("terminal", "number"),
    "key_mark": ("initial_key",),
}
_NAMES = {
    "account": ("balance",),
    "counter": ("entries", "amount", "units"),
    "reversed": ("entry",),
    "followed": ("amount", "units", "ended"),
    "hold": ("member", "expires_ms"),
    "code_count": ("since_ms", "sent"),
    "batch": ("entry", "differs", "ended"),
    "key_mark": ("counter",),
}


def _row_name(table: str, key: tuple[Any, ...]) -> str:
    """The key of a row for people."""
    if table == "account":
        kind, holder, program, unit, bucket = key
        name = AccountKind(kind).name.lower() if kind in set(AccountKind) else kind
        place = "all buckets" if bucket == -1 else f"bucket {bucket}"
        return f"{name} {text_of(holder)} {text_of(program)} unit {unit} {place}".replace("  ", " ")
    if table == "counter":
        return " ".join(str(text_of(value)) for value in key[:4])
    if table == "batch":
        return f"{text_of(key[0])} {key[1]}"
    if table == "reversed":
        return f"original {key[0].hex()}"
    if table in ("key_mark", "answered"):
        return f"of initial key {key[0].hex()}"
    return str(text_of(key[0]))


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
            if tuple(one[1]) != tuple(other[1]):
                yield one[0], one[1], other[1]
            one, other = next(left, None), next(right, None)
