"""A copy of all that was committed, batch after batch, in a directory on another disk: what a backup lacks.

One file a business day, `YYYY-MM-DD.vafa`, only ever appended to. A file begins with HEADER and the ledger's
id; a record is the length and CRC-32 of its packed bytes (big-endian, 4 bytes each), the bytes, the length
again. The bytes are a MessagePack array: entry rows with their seals, what the directory learnt, marks of
answers without an entry, members' whole directories (see `Record`).

The seals prove the entries; the rest of a record is personal or unsealed, so the directory of the archive is
its owner's alone. The ledger is the truth: what the archive lacks after a crash is read from it at the next
start.
"""

from __future__ import annotations

import os
import re
import threading
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from struct import Struct
from typing import IO, Any

import msgspec

from switch.ledger.engine import Batch, LedgerError
from switch.ledger.model import Identified, IdentifierKind, Named, Naming, Unnamed
from switch.ledger.reading import Reading, Row, text_of
from switch.ledger.rows import entry_of

SYNC_INTERVAL_S = 1  # how often `Archive.sync` is to be called: what a lost machine can cost
HEADER = b"VAFA-ARCHIVE-1\n"
FILE_NAME = re.compile(r"\d{4}-\d\d-\d\d\.vafa")
# A record is a batch: a few hundred entries of a few hundred bytes. More is no length but damage.
LONGEST_RECORD_BYTES = 1 << 28
# At opening, so much of the end is checked: more than is written between two syncs at full speed.
CHECKED_BYTES = 1 << 26
# Rows read from the ledger at a time when the archive catches up.
ROWS_AT_ONCE = 1_000

_LEDGER_ID_BYTES = 32
_BEGIN_BYTES = len(HEADER) + _LEDGER_ID_BYTES
_FRAME = Struct(">LL")
_END = Struct(">L")
_BUSINESS_DATE = 8  # its place in ENTRY_COLUMNS
_pack = msgspec.msgpack.Encoder().encode


class ArchiveError(LedgerError):
    """The archive can't be used. The text says what, where and what next."""


class ArchiveAhead(ArchiveError):
    """The archive knows entries that the ledger doesn't: it lost them, or was restored to an earlier time."""


class Record(msgspec.Struct, array_like=True, frozen=True):
    """One batch.

    rows: of all ENTRY_COLUMNS. namings: entry id, then what `Named` or (shorter) `Unnamed` holds. answered:
    see `Batch`. directories: entry id and member, then identifier, kind, masked, sealed of all that the
    member is found by after that entry; of entries whose namings were lost with the machine.
    """

    rows: tuple[tuple[Any, ...], ...] = ()
    namings: tuple[tuple[Any, ...], ...] = ()
    answered: dict[bytes, int] = {}
    directories: tuple[tuple[int, int, tuple[tuple[bytes, int, str, bytes], ...]], ...] = ()


_record = msgspec.msgpack.Decoder(Record).decode


class Archive:
    """Appends batches. Used by one thread, but for `sync`, which may be called on another.

    Raises ArchiveError from every method; nothing is then appended any more until it is opened anew: the
    ledger itself is not concerned.
    """

    def __init__(self, directory: Path, ledger: str) -> None:
        """Open or begin an archive of the ledger with this id; an unfinished end is cut off."""
        self._directory = directory
        self._ledger = ledger.encode("ascii")
        self._lock = threading.Lock()
        self._file = -1
        self._date = ""
        self._unsynced = False
        self._answered: dict[bytes, int] = {}  # waiting for a record with a date
        self.last_entry = 0  # the highest id that is here
        self._last_seal = b""
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._recover()
        except OSError as error:
            raise self._failed(error) from error

    def _recover(self) -> None:
        names = archive_files(self._directory)
        for name in reversed(names):
            path = self._directory / name
            whole, last = _whole_end(path, self._ledger)
            if whole < path.stat().st_size:
                os.truncate(path, whole)
            if last is not None:
                self.last_entry, self._last_seal = last.rows[-1][0], last.rows[-1][-1]
                return

    def append(self, rows: Sequence[tuple[object, ...]], batch: Batch) -> None:
        """Add a batch that is durable in the ledger. rows: of its entries, sealed, as the engine stored them.

        Written, not yet durable: see `sync`. Entries that are here already are left out.
        """
        namings = [_packed_naming(entry.id, one) for entry in batch.entries for one in entry.namings]
        self._append(rows, namings, batch.answered, ())

    def _append(
        self,
        rows: Sequence[tuple[Any, ...]],
        namings: Sequence[tuple[object, ...]],
        answered: Mapping[bytes, int],
        directories: Sequence[tuple[object, ...]],
    ) -> None:
        for initial_key, counter in answered.items():
            self._answered[initial_key] = max(counter, self._answered.get(initial_key, 0))
        if not rows and self._file < 0:
            return  # no day yet
        if rows and rows[0][0] <= self.last_entry:
            rows = [row for row in rows if row[0] > self.last_entry]
        if not rows and not self._answered:
            return
        payload = _pack((rows, namings, self._answered, directories))
        size = len(payload)
        data = b"".join((_FRAME.pack(size, zlib.crc32(payload)), payload, _END.pack(size)))
        try:
            if rows and rows[0][_BUSINESS_DATE] != self._date:
                self._open(str(rows[0][_BUSINESS_DATE]))
            self._write(data)
        except OSError as error:
            raise self._failed(error) from error
        self._answered = {}
        if rows:
            self.last_entry, self._last_seal = rows[-1][0], rows[-1][-1]

    def _write(self, data: bytes) -> None:
        if self._file < 0:
            raise OSError(None, "it was closed after an earlier failure")
        if os.write(self._file, data) != len(data):
            raise OSError(None, "the disk is full")
        self._unsynced = True

    def _open(self, date: str) -> None:
        """The file of this day; the one before is durable from now on."""
        path = self._directory / f"{date}.vafa"
        new = not path.exists()
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        if os.fstat(file).st_size < _BEGIN_BYTES:
            os.ftruncate(file, 0)
            os.write(file, HEADER + self._ledger)
        with self._lock:
            self._close_file()
            self._file = file
        self._date = date
        if new:
            _sync_directory(self._directory)

    def sync(self) -> None:
        """Make durable what was appended. Call it at least every SYNC_INTERVAL_S, on a thread of its own."""
        with self._lock:
            if self._file >= 0 and self._unsynced:
                self._unsynced = False
                try:
                    os.fsync(self._file)
                except OSError as error:
                    raise self._failed(error) from error

    def catch_up(self, reading: Reading) -> int:
        """Append what the ledger has and the archive doesn't: after a crash, or when it is new beside an old
        ledger. Returns how many entries. What the directory learnt meanwhile is taken as it is now.

        Raises ArchiveAhead.
        """
        if self.last_entry:
            newest = reading.entry(self.last_entry)
            if newest is None or newest[-1] != self._last_seal:
                raise ArchiveAhead(
                    f"{self._directory}: ends with entry {self.last_entry}, which the ledger hasn't; bring it"
                    " forward with `vafa ledger restore`, or, when it was restored to an earlier"
                    " moment on purpose, keep this archive aside and begin a new directory"
                )
        missing = 0
        last_named = _last_named(reading, self.last_entry)
        rows: list[Row] = []
        marks = {row[0]: row[1] for row in reading.table("answered")}
        for row in reading.entries(0, 255, self.last_entry):
            if rows and (len(rows) == ROWS_AT_ONCE or row[_BUSINESS_DATE] != rows[0][_BUSINESS_DATE]):
                self._append(rows, (), {}, _directories(reading, rows, last_named))
                missing += len(rows)
                rows = []
            rows.append(row)
        self._append(rows, (), marks, _directories(reading, rows, last_named))
        self.sync()
        return missing + len(rows)

    def close(self) -> None:
        """Make all of it durable and close. Harmless when it is closed."""
        with self._lock:
            self._close_file()

    def _close_file(self) -> None:
        file, self._file = self._file, -1
        if file >= 0:
            try:
                os.fsync(file)
            finally:
                os.close(file)

    def _failed(self, error: OSError) -> ArchiveError:
        file, self._file = self._file, -1
        if file >= 0:
            os.close(file)
        return ArchiveError(
            f"{self._directory}: can't be written ({error.strerror or error}); check the disk and the"
            " permissions; what is missing is filled in from the ledger when it can be written again"
        )


def archive_files(directory: Path) -> list[str]:
    """Names of the archive's files, oldest first."""
    return sorted(path.name for path in directory.iterdir() if FILE_NAME.fullmatch(path.name))


def read_archive(directory: Path, ledger: str) -> Iterator[Record]:
    """All records, oldest first. An unfinished one ends the newest file: a crash leaves that.

    Raises ArchiveError for anything else that can't be read, and for another ledger's archive.
    """
    try:
        names = archive_files(directory)
    except OSError as error:
        raise ArchiveError(f"{directory}: can't be read ({error.strerror}); check --archive") from None
    if not names:
        raise ArchiveError(f"{directory}: holds no archive files (YYYY-MM-DD.vafa); check --archive")
    for name in names:
        yield from _read_file(directory / name, ledger.encode("ascii"), is_newest=name == names[-1])


def _read_file(path: Path, ledger: bytes, *, is_newest: bool) -> Iterator[Record]:
    try:
        with path.open("rb") as file:
            _check_begin(path, file.read(_BEGIN_BYTES), ledger)
            at = _BEGIN_BYTES
            while frame := file.read(_FRAME.size):
                payload = _payload(frame, file)
                if payload is None:
                    if is_newest and not file.read(1):
                        return
                    raise ArchiveError(
                        f"{path}: damaged at byte {at}; restore another copy of the file, or use --until a"
                        " time before it"
                    )
                try:
                    yield _record(payload)
                except msgspec.MsgspecError as error:
                    raise ArchiveError(f"{path}: not of this program at byte {at} ({error})") from None
                at = file.tell()
    except OSError as error:
        raise ArchiveError(f"{path}: can't be read ({error.strerror})") from None


def _payload(frame: bytes, file: IO[bytes]) -> bytes | None:
    """The bytes of a record whose first ones were read, or None."""
    if len(frame) < _FRAME.size:
        return None
    size, crc = _FRAME.unpack(frame)
    if size > LONGEST_RECORD_BYTES:
        return None
    rest = file.read(size + _END.size)
    payload = rest[:size]
    if len(rest) < size + _END.size or _END.unpack(rest[size:])[0] != size or zlib.crc32(payload) != crc:
        return None
    return payload


def _check_begin(path: Path, begin: bytes, ledger: bytes) -> None:
    if not begin.startswith(HEADER):
        raise ArchiveError(f"{path}: is not an archive file of this program; check --archive")
    if begin[len(HEADER) :] != ledger:
        raise ArchiveError(f"{path}: is the archive of another ledger; check --archive")


def _whole_end(path: Path, ledger: bytes) -> tuple[int, Record | None]:
    """Where the whole records of a file end, and the last one that has entries."""
    with path.open("rb") as file:
        begin = file.read(_BEGIN_BYTES)
        if len(begin) < _BEGIN_BYTES:
            return 0, None
        _check_begin(path, begin, ledger)
        return _end_from_behind(file) or _end_from_before(file)


def _end_from_behind(file: IO[bytes]) -> tuple[int, Record | None] | None:
    """The same, looked for from behind, which takes no time: only what a crash can have left half written is
    checked. None when the end isn't one of a record."""
    size = end = whole = file.seek(0, os.SEEK_END)
    last: Record | None = None
    while end > _BEGIN_BYTES and (size - end < CHECKED_BYTES or last is None):
        file.seek(end - _END.size)
        (length,) = _END.unpack(file.read(_END.size))
        start = end - _END.size - length - _FRAME.size
        if start < _BEGIN_BYTES:
            return None
        file.seek(start)
        frame = file.read(_FRAME.size)
        if _FRAME.unpack(frame)[0] != length:
            return None
        payload = _payload(frame, file)
        if payload is None:
            whole, last = start, None
        elif last is None:
            record = _record(payload)
            last = record if record.rows else None
        end = start
    return whole, last


def _end_from_before(file: IO[bytes]) -> tuple[int, Record | None]:
    """The same, looked for from the beginning."""
    last: Record | None = None
    end = file.seek(_BEGIN_BYTES)
    while (payload := _payload(file.read(_FRAME.size), file)) is not None:
        record = _record(payload)
        last = record if record.rows else last
        end = file.tell()
    return end, last


def _packed_naming(entry: int, naming: Naming) -> tuple[object, ...]:
    if isinstance(naming, Named):
        return (entry, naming.identifier, naming.member, int(naming.kind), naming.masked, naming.sealed)
    return (entry, naming.identifier, naming.member, int(naming.kind))


def naming_of(packed: Sequence[Any]) -> Naming:
    """A naming of a `Record`."""
    _entry, identifier, member, kind, *named = packed
    if named:
        return Named(identifier, member, IdentifierKind(kind), *named)
    return Unnamed(identifier, member, IdentifierKind(kind))


def _last_named(reading: Reading, after: int) -> dict[int, int]:
    """Of each member that got or lost a card or mobile number after an entry: in which one last."""
    return {
        side.member: row[0]
        for row in reading.entries(0, 255, after)
        for side in entry_of(row[:-1]).sides
        if isinstance(side, Identified)
    }


def _directories(
    reading: Reading, rows: Iterable[Row], last_named: Mapping[int, int]
) -> list[tuple[int, int, list[tuple[Any, ...]]]]:
    """What the members that these entries named last are found by now."""
    ids = {row[0] for row in rows}
    named = sorted((entry, member) for member, entry in last_named.items() if entry in ids)
    return [
        (
            entry,
            member,
            [
                (identifier, kind, text_of(masked), sealed)
                for identifier, _member, kind, masked, sealed, _seal in reading.found_by(member)
            ],
        )
        for entry, member in named
    ]


def _sync_directory(directory: Path) -> None:
    file = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
