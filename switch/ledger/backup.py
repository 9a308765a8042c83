"""Copies of a ledger: made beside a running switch, put back, and brought forward from the archive.

A copy is made under another name and takes its own only when it is whole; a ledger that it takes the place of
is kept aside. Nothing here verifies: callers run `switch.ledger.verify` on what was made.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import apsw
import msgspec

from switch.ledger.archive import ArchiveError, Record, naming_of
from switch.ledger.checkpoint import Checkpoint, Mac, read_checkpoints
from switch.ledger.engine import Engine, Head, LedgerError, LedgerUnavailable
from switch.ledger.model import Entry, IdentifierKind, MemberAdded, Named, Naming, Unnamed
from switch.ledger.reading import SqliteStore, Store, text_of
from switch.ledger.rows import ENTRY_COLUMNS, entry_of
from switch.ledger.sqlite import failures_at, open_connection
from switch.ledger.state import NotLoaded, State

LEDGER_NAME, CHECKPOINTS_NAME = "ledger.sqlite", "ledger.checkpoints"
# Pages copied before another look at the clock and at interrupts: 4 MiB.
PAGES_AT_ONCE = 1_000
_PARTIAL = ".partial"
_MAKING = ".restoring"

Value = TypeVar("Value")

_SQLITE_FILES = ("", "-wal", "-shm")
_BUCKET, _SEQUENCE, _DECIDED_MS = (ENTRY_COLUMNS.index(name) for name in ("bucket", "sequence", "decided_ms"))


class RestoreError(LedgerError):
    """A ledger is not put back. The text says why and what to do."""


class Summary(NamedTuple):
    """What tells ledgers apart. newest_ms: when the newest entry was decided, 0 for none."""

    ledger: str
    entries: int
    newest_ms: int
    heads: tuple[Head, ...]


def summary_of(ledger: Store | Path) -> Summary:
    """Look at a ledger; a path is a SQLite file's. Raises LedgerUnavailable, Damaged."""
    store = SqliteStore(ledger) if isinstance(ledger, Path) else ledger
    with closing(store.open()) as reading:
        meta = {text_of(name): text_of(value) for name, value, _ in reading.table("meta")}
        heads = tuple(Head(*row[1:]) for row in reading.table("bucket_head"))
        newest = reading.entry(reading.newest())
    entries = sum(head.sequence for head in heads)
    return Summary(str(meta.get("ledger", "")), entries, newest[_DECIDED_MS] if newest else 0, heads)


# ---------------------------------------------------------------- making one


def back_up(ledger: Path, checkpoints: Path, directory: Path, mac: Mac) -> Summary:
    """Copy a ledger and its checkpoints into a directory that holds no backup; a switch may run meanwhile.

    The copy is the ledger at one moment. While it is made the write-ahead log can't start over and grows.
    Raises LedgerUnavailable, LedgerError.
    """
    target = directory / LEDGER_NAME
    made = directory / (LEDGER_NAME + _PARTIAL)
    if not ledger.exists():
        raise LedgerUnavailable(f"{ledger}: there is no ledger; check --data, or start the switch once")
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in (target, directory / CHECKPOINTS_NAME):
            if path.exists():
                raise LedgerError(f"{path} is there already; give each backup a directory of its own")
        _remove(made)
        _copy_ledger(ledger, made)
        summary = summary_of(made)
        _copy_checkpoints(checkpoints, directory / CHECKPOINTS_NAME, summary.heads, mac)
        _settle(made)
        os.rename(made, target)
        sync_directory(directory)
    except OSError as error:
        raise LedgerError(
            f"{directory}: can't be written ({error.strerror}); nothing was backed up"
        ) from None
    return summary


def _copy_ledger(source: Path, target: Path) -> None:
    with (
        failures_at(source),
        closing(open_connection(source, read_only=True)) as reader,
        closing(open_connection(target)) as writer,
    ):
        # One snapshot from beginning to end: without it every commit of the switch starts the copy over.
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM sqlite_schema").fetchall()
        with writer.backup("main", reader, "main") as copying:
            while not copying.done:
                copying.step(PAGES_AT_ONCE)


def _settle(path: Path) -> None:
    """One file without a log beside it, durable."""
    with failures_at(path), closing(open_connection(path)) as connection:
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    for suffix in _SQLITE_FILES[1:]:
        with suppress(FileNotFoundError):
            os.remove(f"{path}{suffix}")
    sync_file(path)


def _copy_checkpoints(source: Path, target: Path, heads: Sequence[Head], mac: Mac) -> None:
    """The lines that don't know more than these heads."""
    lines = kept_checkpoints(source, heads, mac)
    if lines:
        write_file(target, b"".join(lines))


def kept_checkpoints(path: Path, heads: Sequence[Head], mac: Mac) -> list[bytes]:
    """The checkpoints of a file up to the first that counts more entries than a ledger has."""
    if not path.exists():
        return []
    lines = path.read_bytes().splitlines(keepends=True)
    kept = 0
    for place, line in read_checkpoints(path, mac):
        if isinstance(line, Checkpoint) and any(
            then > head.sequence for then, head in zip(line.sequences, heads, strict=True)
        ):
            break
        kept = place
    return lines[:kept]


# ---------------------------------------------------------------- putting one back


class Target(NamedTuple):
    """Where a ledger is put back: its two files, as the settings name them."""

    ledger: Path
    checkpoints: Path

    @property
    def making(self) -> Path:
        """The ledger while it is made."""
        return self.ledger.with_name(self.ledger.name + _MAKING)

    @property
    def making_checkpoints(self) -> Path:
        """Its checkpoints while it is made."""
        return self.checkpoints.with_name(self.checkpoints.name + _MAKING)


def prepare(backup: Path, target: Target) -> Summary:
    """Copy a backup beside the ledger that it is to take the place of. Raises LedgerError."""
    source = backup / LEDGER_NAME
    if not source.exists():
        raise RestoreError(f"{backup}: holds no backup ({LEDGER_NAME}); check --from")
    try:
        target.ledger.parent.mkdir(parents=True, exist_ok=True)
        _remove(target.making)
        _copy_ledger(source, target.making)
    except OSError as error:
        raise RestoreError(f"{target.making}: can't be written ({error.strerror})") from None
    return summary_of(target.making)


def check_replaceable(target: Target, restored: Summary) -> None:
    """Raises RestoreError when the ledger that is there is another one, or knows of more."""
    if not target.ledger.exists():
        return
    try:
        there = summary_of(target.ledger)
    except LedgerError as error:
        raise RestoreError(f"{error}; --force puts the backup in its place and keeps it aside") from None
    if there.ledger != restored.ledger:
        raise RestoreError(
            f"{target.ledger}: is another ledger ({there.entries} entries); --force keeps it aside"
        )
    lost = sum(
        max(now.sequence - then.sequence, 0) for now, then in zip(there.heads, restored.heads, strict=True)
    )
    if lost:
        raise RestoreError(
            f"{target.ledger}: has {lost} entries that would be gone; bring the backup forward with"
            " --archive, or --force: the ledger is kept aside"
        )


def prepare_checkpoints(target: Target, backup: Path, restored: Summary, mac: Mac) -> None:
    """Write the checkpoints that go with the restored ledger beside it: those of the file that is there, as
    far as they are true of it, or the backup's when those go further. Raises RestoreError."""
    lines = max(
        (
            kept_checkpoints(path, restored.heads, mac)
            for path in (target.checkpoints, backup / CHECKPOINTS_NAME)
        ),
        key=len,
    )
    try:
        write_file(target.making_checkpoints, b"".join(lines))
    except OSError as error:
        raise RestoreError(f"{target.making_checkpoints}: can't be written ({error.strerror})") from None


def cut_checkpoints(path: Path, summary: Summary, mac: Mac, stamp: str, *, force: bool) -> list[Path]:
    """Leave out the checkpoints that know more than a ledger that was restored in its place; the file as it
    was is kept aside under a name with `stamp`. Returns what was kept aside. Raises RestoreError: not without
    force."""
    kept = kept_checkpoints(path, summary.heads, mac)
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    if len(kept) == len(lines):
        return []
    if not force:
        raise RestoreError(
            f"{path}: {len(lines) - len(kept)} checkpoints know of entries that the ledger hasn't; bring it"
            " forward with --archive, or --force: the entries are gone, the checkpoints are kept aside"
        )
    aside = path.with_name(f"{path.name}.before-{stamp}")
    try:
        os.rename(path, aside)
        if kept:
            write_file(path, b"".join(kept))
    except OSError as error:
        raise RestoreError(f"{path}: can't be written ({error.strerror})") from None
    return [aside]


def put_in_place(target: Target, stamp: str) -> list[Path]:
    """Let the restored ledger and its checkpoints take their names; what was there is kept aside under names
    with `stamp`. Returns what was kept aside. Raises RestoreError."""
    aside: list[Path] = []
    try:
        _settle(target.making)
        for path in (*(Path(f"{target.ledger}{suffix}") for suffix in _SQLITE_FILES), target.checkpoints):
            if path.exists():
                kept = path.with_name(f"{path.name}.before-{stamp}")
                os.rename(path, kept)
                aside.append(kept)
        if target.making_checkpoints.stat().st_size:
            os.rename(target.making_checkpoints, target.checkpoints)
        os.rename(target.making, target.ledger)
        sync_directory(target.ledger.parent)
    except OSError as error:
        raise RestoreError(
            f"{target.ledger}: can't be put in place ({error.strerror}); kept aside so far:"
            f" {', '.join(path.name for path in aside) or 'nothing'}"
        ) from None
    return aside


def abandon(target: Target) -> None:
    """Leave nothing of a restored ledger that wasn't put in place."""
    _remove(target.making)
    with suppress(FileNotFoundError):
        os.remove(target.making_checkpoints)


# ---------------------------------------------------------------- bringing one forward


class Replayed(NamedTuple):
    """What came from the archive: entries, and when the last one was decided."""

    entries: int
    last_ms: int


def replay(engine: Engine, records: Iterable[Record], until_ms: int | None = None) -> Replayed:
    """Commit what the archive has and the ledger lacks, up to a moment, through the engine; after each batch
    the chains must end as the archive says.

    Raises ArchiveError: the archive begins too late, or is not this ledger's.
    """
    epoch = engine.claim("restore")
    state = State(engine.start())
    heads = engine.heads()
    count = last_ms = 0
    for record in records:
        entries, is_over = _fresh(state, engine, record, heads, until_ms)
        if entries:
            count += len(entries)
            last_ms = entries[-1].decided_ms
        if entries or (record.answered and not is_over):
            engine.stage(state.batch(record.answered), epoch)
            engine.sync()
            if entries:
                state.committed()
        for bucket, (head, wanted) in enumerate(zip(engine.heads(), heads, strict=True)):
            if head != wanted:
                raise ArchiveError(
                    f"entries of bucket {bucket} up to number {head.sequence} are not those that were"
                    " archived: the archive was changed, or is of another ledger"
                )
        if is_over:
            break
    return Replayed(count, last_ms)


def _fresh(
    state: State, engine: Engine, record: Record, heads: list[Head], until_ms: int | None
) -> tuple[list[Entry], bool]:
    """Apply a record's entries that the ledger lacks; whether the moment has come. heads move on."""
    namings: dict[int, list[Naming]] = {}
    for packed in record.namings:
        namings.setdefault(packed[0], []).append(naming_of(packed))
    directories = {(entry, member): found for entry, member, found in record.directories}
    applied: list[Entry] = []
    for row in record.rows:
        bucket, sequence, seal = row[_BUCKET], row[_SEQUENCE], row[-1]
        head = heads[bucket]
        if sequence <= head.sequence:
            if sequence == head.sequence and seal != head.seal:
                raise ArchiveError(f"entry {row[0]} is not the one that the ledger has: another ledger's?")
            continue
        if sequence != head.sequence + 1:
            raise ArchiveError(
                f"{sequence - head.sequence - 1} entries of bucket {bucket} are missing before entry"
                f" {row[0]}: take a newer backup, or an archive that begins earlier"
            )
        if until_ms is not None and row[_DECIDED_MS] > until_ms:
            return applied, True
        entry = entry_of(row[:-1])
        names = namings.get(entry.id, [])
        found = directories.get((entry.id, entry.member))
        if found is not None:
            names = _ask(state, engine, partial(_changes, state, entry, found))
        entry = msgspec.structs.replace(entry, namings=tuple(names))
        added = _ask(state, engine, partial(_apply, state, entry))
        applied.append(entry)
        heads[bucket] = Head(sequence, seal, head.members + added)
    return applied, False


def _apply(state: State, entry: Entry) -> int:
    state.apply(entry)
    return sum(type(side) is MemberAdded for side in entry.sides)


def _changes(state: State, entry: Entry, found: Sequence[tuple[bytes, int, str, bytes]]) -> list[Naming]:
    """What makes the directory hold exactly these of the entry's member; what goes away first."""
    member, there = entry.member, {}
    if entry.previous:
        there = {identifier: IdentifierKind.CARD for identifier, _ in state.cards(member)}
    mobile = state.mobile(member) if entry.previous else None
    if mobile is not None:
        there[mobile.identifier] = IdentifierKind.MOBILE
    wanted = {identifier for identifier, _, _, _ in found}
    gone: list[Naming] = [
        Unnamed(identifier, member, kind) for identifier, kind in there.items() if identifier not in wanted
    ]
    return gone + [
        Named(identifier, member, IdentifierKind(kind), masked, sealed)
        for identifier, kind, masked, sealed in found
        if identifier not in there
    ]


def _ask(state: State, engine: Engine, question: Callable[[], Value]) -> Value:
    """Ask the memory; what it lacks is loaded."""
    while True:
        try:
            return question()
        except NotLoaded as missing:
            state.fill(missing.load, engine.load(missing.load))


# ---------------------------------------------------------------- files


def write_file(path: Path, data: bytes) -> None:
    """A file for its owner only, durable under its name or not there."""
    made = path.with_name(path.name + _PARTIAL)
    descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.rename(made, path)
    sync_directory(path.parent)


def sync_file(path: Path) -> None:
    """Make a file durable."""
    file = os.open(path, os.O_RDWR)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def sync_directory(directory: Path) -> None:
    """Make names in a directory durable."""
    file = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _remove(path: Path) -> None:
    for suffix in _SQLITE_FILES:
        with suppress(FileNotFoundError):
            os.remove(f"{path}{suffix}")
