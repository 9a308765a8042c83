"""A disk that can lose its power: what SQLite and the switch write is overheard, and what a cut leaves of it
is made up from a seed.

The recorder stands in the very VFS that production uses: shared memory, locks and all connections are as
always, only writes, truncations, deletions and syncs pass through here. Nothing is written differently.
"""

from __future__ import annotations

import ctypes
import os
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum, auto
from pathlib import Path
from typing import Any, Final, NamedTuple

import apsw

SECTOR_BYTES: Final = 512  # what a disk writes whole or not at all


class Written(NamedTuple):
    """Bytes of a file."""

    file: int
    offset: int
    data: bytes


class Resized(NamedTuple):
    """A file cut or grown to so many bytes."""

    file: int
    size: int


class Synced(NamedTuple):
    """All that was written to a file is durable."""

    file: int


class Created(NamedTuple):
    """A name that leads to a new file."""

    name: str
    file: int


class Deleted(NamedTuple):
    """A name that leads nowhere any more."""

    name: str


class DirectorySynced(NamedTuple):
    """All names are durable as they are."""


class Forgotten(NamedTuple):
    """A sync failed: what of a file's writes hasn't reached the disk never will, though whoever reads the
    file finds it in the system's memory. seed: of what reached it."""

    file: int
    seed: int


class Told(NamedTuple):
    """So many steps were acknowledged to somebody: from here on they have to be there."""

    steps: int


Event = Written | Resized | Synced | Forgotten | Created | Deleted | DirectorySynced | Told


class Tape:
    """What happened to the files of one directory, in order.

    during_write: called with a file's name before each write, to let something else happen meanwhile.
    failing_sync: of the file with this name the next sync fails.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.events: list[Event] = []
        self.during_write: Callable[[str], None] | None = None
        self.failing_sync = ""
        self.failures: list[BaseException] = []
        self._files: dict[str, int] = {}  # by name
        self._count = 0
        self._open: dict[int, str] = {}  # name by address of SQLite's file
        self._directory_due: set[int] = set()  # journals: their first sync makes the directory durable

    def told(self, steps: int) -> None:
        """Say that these steps were acknowledged."""
        self.events.append(Told(steps))

    # ---------------------------------------------------------------- what SQLite does

    def opened(self, address: int, path: str, *, is_journal: bool) -> None:
        """SQLite has a file open at this address."""
        name = os.path.basename(path)
        self._open[address] = name
        if name not in self._files:
            self._create(name)
            if is_journal:
                self._directory_due.add(self._files[name])

    def written(self, address: int, offset: int, data: bytes) -> None:
        name = self._open[address]
        interrupt, self.during_write = self.during_write, None
        if interrupt is not None:
            try:
                interrupt(name)
            except BaseException as error:  # nothing may leave a function that C called
                self.failures.append(error)
            self.during_write = interrupt
        self.events.append(Written(self._files[name], offset, data))

    def resized(self, address: int, size: int) -> None:
        self.events.append(Resized(self._files[self._open[address]], size))

    def fails_to_sync(self, address: int) -> bool:
        """Whether this sync is the one that fails."""
        name = self._open[address]
        if name != self.failing_sync:
            return False
        self.failing_sync = ""
        self.events.append(Forgotten(self._files[name], len(self.events)))
        return True

    def synced(self, address: int) -> None:
        file = self._files[self._open[address]]
        self.events.append(Synced(file))
        if file in self._directory_due:
            self._directory_due.discard(file)
            self.events.append(DirectorySynced())

    def deleted(self, path: str, *, durably: bool) -> None:
        name = os.path.basename(path)
        if self._files.pop(name, None) is not None:
            self.events.append(Deleted(name))
        if durably:
            self.events.append(DirectorySynced())

    # ---------------------------------------------------------------- what Python does

    def fsynced(self, descriptor: int) -> None:
        """A file that Python writes to, or the directory, was synced."""
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        if path == self.directory:
            self.events.append(DirectorySynced())
        elif path.parent == self.directory:
            if path.name not in self._files:
                self._create(path.name)
            file = self._files[path.name]
            self.events += (Written(file, 0, path.read_bytes()), Synced(file))

    def _create(self, name: str) -> None:
        self._count += 1
        self._files[name] = self._count
        self.events.append(Created(name, self._count))


class _Vfs(ctypes.Structure):
    """The beginning of sqlite3_vfs, https://www.sqlite.org/c3ref/vfs.html."""

    _fields_ = (
        ("version", ctypes.c_int),
        ("file_bytes", ctypes.c_int),
        ("longest_path", ctypes.c_int),
        ("next", ctypes.c_void_p),
        ("name", ctypes.c_char_p),
        ("data", ctypes.c_void_p),
        ("open", ctypes.c_void_p),
        ("delete", ctypes.c_void_p),
    )


# sqlite3_io_methods: a version and 18 functions, https://www.sqlite.org/c3ref/io_methods.html.
_Methods = ctypes.c_void_p * 19
_WRITE, _TRUNCATE, _SYNC = 3, 4, 5
_OPEN = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p
)
_DELETE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int)
_WRITES = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_longlong
)
_TRUNCATES = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_longlong)
_SYNCS = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int)
_JOURNALS = apsw.SQLITE_OPEN_MAIN_JOURNAL | apsw.SQLITE_OPEN_WAL


class _Recorder:
    """Stands between SQLite and its VFS: the VFS's own functions do everything, this one listens."""

    def __init__(self, vfs: _Vfs) -> None:
        self._vfs = vfs
        self._tapes: dict[str, Tape] = {}
        self._by_file: dict[int, Tape] = {}
        self._open_really = _OPEN(vfs.open)
        self._delete_really = _DELETE(vfs.delete)
        self._methods: dict[int, Any] = {}  # ours by the address of the VFS's
        # ctypes keeps no reference to what C holds.
        self._open, self._delete = _OPEN(self._opens), _DELETE(self._deletes)

    def listen(self, tape: Tape) -> None:
        self._tapes[str(tape.directory)] = tape
        self._stand_in(self._open, self._delete)

    def forget(self, tape: Tape) -> None:
        del self._tapes[str(tape.directory)]
        self._by_file = {file: one for file, one in self._by_file.items() if one is not tape}
        if not self._tapes:
            self._stand_in(self._open_really, self._delete_really)

    def _stand_in(self, opens: Any, deletes: Any) -> None:
        self._vfs.open = ctypes.cast(opens, ctypes.c_void_p).value
        self._vfs.delete = ctypes.cast(deletes, ctypes.c_void_p).value

    def _tape_of(self, path: str) -> Tape | None:
        return self._tapes.get(os.path.dirname(path))

    def _opens(self, vfs: int, name: int | None, file: int, flags: int, out: int | None) -> int:
        code = int(self._open_really(vfs, name, file, flags, out))
        path = "" if name is None else os.fsdecode(ctypes.string_at(name))
        tape = self._tape_of(path)
        if code == apsw.SQLITE_OK and tape is not None:
            pointer = ctypes.c_void_p.from_address(file)
            assert pointer.value is not None
            pointer.value = ctypes.addressof(self._overheard(pointer.value))
            self._by_file[file] = tape
            tape.opened(file, path, is_journal=bool(flags & _JOURNALS))
        return code

    def _deletes(self, vfs: int, name: int, durably: int) -> int:
        code = int(self._delete_really(vfs, name, durably))
        path = os.fsdecode(ctypes.string_at(name))
        tape = self._tape_of(path)
        if code == apsw.SQLITE_OK and tape is not None:
            tape.deleted(path, durably=bool(durably))
        return code

    def _overheard(self, address: int) -> Any:
        """The VFS's functions on files with three of them overheard."""
        if address in self._methods:
            return self._methods[address][0]
        methods = _Methods.from_buffer_copy(_Methods.from_address(address))
        write, truncate, sync = (
            kind(methods[place] or 0)
            for kind, place in ((_WRITES, _WRITE), (_TRUNCATES, _TRUNCATE), (_SYNCS, _SYNC))
        )

        def writes(file: int, data: int, count: int, offset: int) -> int:
            tape = self._by_file.get(file)
            if tape is not None:
                tape.written(file, offset, ctypes.string_at(data, count))
            return int(write(file, data, count, offset))

        def truncates(file: int, size: int) -> int:
            tape = self._by_file.get(file)
            if tape is not None:
                tape.resized(file, size)
            return int(truncate(file, size))

        def syncs(file: int, flags: int) -> int:
            tape = self._by_file.get(file)
            if tape is not None and tape.fails_to_sync(file):
                return apsw.SQLITE_IOERR_FSYNC
            code = int(sync(file, flags))
            if tape is not None and code == apsw.SQLITE_OK:
                tape.synced(file)
            return code

        kept = (_WRITES(writes), _TRUNCATES(truncates), _SYNCS(syncs))
        for place, function in zip((_WRITE, _TRUNCATE, _SYNC), kept, strict=True):
            methods[place] = ctypes.cast(function, ctypes.c_void_p).value
        self._methods[address] = (methods, kept)
        return methods


_recorder: _Recorder | None = None


def move_on(tape: Tape, directory: Path) -> None:
    """The process that wrote is killed, and the system goes on: whoever opens the files now finds them in
    this directory, as they were in the system's memory. What the killed one still does isn't heard."""
    assert _recorder is not None
    _recorder.forget(tape)
    for path in tape.directory.iterdir():
        if not path.name.endswith("-shm"):
            shutil.copyfile(path, directory / path.name)
    tape.directory = directory
    _recorder.listen(tape)


@contextmanager
def recorded(directory: Path) -> Iterator[Tape]:
    """Overhear all that this process does to the files of `directory`. Every connection to them has to be
    opened and closed inside."""
    global _recorder
    if _recorder is None:
        _recorder = _Recorder(_default_vfs(directory))
    tape = Tape(directory)
    fsync = os.fsync

    def overheard(descriptor: int) -> None:
        fsync(descriptor)
        tape.fsynced(descriptor)

    _recorder.listen(tape)
    os.fsync = overheard  # type: ignore[assignment]
    try:
        yield tape
    finally:
        os.fsync = fsync
        _recorder.forget(tape)
    if tape.failures:
        raise tape.failures[0]


def _default_vfs(directory: Path) -> _Vfs:
    """The VFS of connections that name none, in place."""
    connection = apsw.Connection(str(directory / "of-the-vfs"))
    found = ctypes.c_void_p()
    connection.file_control("main", apsw.SQLITE_FCNTL_VFS_POINTER, ctypes.addressof(found))
    connection.close()
    (directory / "of-the-vfs").unlink(missing_ok=True)
    assert found.value is not None
    return _Vfs.from_address(found.value)


# ---------------------------------------------------------------- what a cut leaves


class Damage(Enum):
    """What becomes of writes that no sync made durable."""

    NOTHING_LOST = auto()  # all reached the disk: as after kill -9
    ALL_LOST = auto()
    CUT_OFF = auto()  # the first ones reached it, one in part
    SOME_LOST = auto()  # each one or not, as the disk pleased
    TORN = auto()  # each sector of each one or not
    SHUFFLED = auto()  # in any order, and torn


_DAMAGES: Final = tuple(Damage)


class _File:
    """Durable bytes, and what was written since the last sync."""

    __slots__ = ("durable", "pending")

    def __init__(self) -> None:
        self.durable = bytearray()
        self.pending: list[Written | Resized] = []

    def sync(self) -> None:
        for change in self.pending:
            _put(self.durable, change)
        self.pending.clear()

    def forget(self, seed: int) -> None:
        chance = random.Random(seed)
        for change in _survivors(self.pending, chance.choice(_DAMAGES), chance):
            _put(self.durable, change)
        self.pending.clear()

    def after_cut(self, damage: Damage, chance: random.Random) -> bytearray:
        content = bytearray(self.durable)
        for change in _survivors(self.pending, damage, chance):
            _put(content, change)
        return content


class Disk:
    """The files of a tape up to some event."""

    def __init__(self) -> None:
        self._files: dict[int, _File] = {}
        self._names: dict[str, int] = {}  # durable
        self._renamed: list[Created | Deleted] = []

    def take(self, event: Event) -> None:
        """The next event of the tape."""
        if isinstance(event, Written | Resized):
            self._files[event.file].pending.append(event)
        elif isinstance(event, Synced):
            self._files[event.file].sync()
        elif isinstance(event, Forgotten):
            self._files[event.file].forget(event.seed)
        elif isinstance(event, Created):
            self._files[event.file] = _File()
            self._renamed.append(event)
        elif isinstance(event, Deleted):
            self._renamed.append(event)
        elif isinstance(event, DirectorySynced):
            for change in self._renamed:
                _rename(self._names, change)
            self._renamed.clear()

    def after_cut(self, chance: random.Random) -> tuple[Damage, dict[str, bytearray]]:
        """What a power cut now leaves: how it damaged, and the files by name."""
        damage = chance.choice(_DAMAGES)
        names = dict(self._names)
        # A file system keeps the order of names: it has a journal, or writes them in place at once.
        kept = len(self._renamed)
        if damage is Damage.ALL_LOST:
            kept = 0
        elif damage is not Damage.NOTHING_LOST:
            kept = chance.randint(0, kept)
        for change in self._renamed[:kept]:
            _rename(names, change)
        return damage, {
            name: self._files[file].after_cut(damage, chance) for name, file in names.items()
        }


def _rename(names: dict[str, int], change: Created | Deleted) -> None:
    if isinstance(change, Created):
        names[change.name] = change.file
    else:
        names.pop(change.name, None)


def _put(content: bytearray, change: Written | Resized) -> None:
    if isinstance(change, Resized):
        if change.size < len(content):
            del content[change.size :]
        else:
            content.extend(bytes(change.size - len(content)))
        return
    if change.offset > len(content):
        content.extend(bytes(change.offset - len(content)))
    content[change.offset : change.offset + len(change.data)] = change.data


def _survivors(
    pending: list[Written | Resized], damage: Damage, chance: random.Random
) -> Iterator[Written | Resized]:
    """What of these changes reached the disk, in the order in which it did."""
    if damage is Damage.NOTHING_LOST:
        yield from pending
    elif damage is Damage.CUT_OFF:
        whole = chance.randint(0, len(pending))
        yield from pending[:whole]
        if whole < len(pending):
            yield from _torn(pending[whole], chance)
    elif damage is Damage.SOME_LOST:
        share = chance.random()
        yield from (change for change in pending if chance.random() < share)
    elif damage is Damage.TORN:
        for change in pending:
            yield from _torn(change, chance)
    elif damage is Damage.SHUFFLED:
        for change in chance.sample(pending, len(pending)):
            yield from _torn(change, chance)


def _torn(change: Written | Resized, chance: random.Random) -> Iterator[Written | Resized]:
    """The sectors of a write that reached the disk."""
    if isinstance(change, Resized):
        if chance.random() < 0.5:
            yield change
        return
    end = change.offset + len(change.data)
    start = change.offset
    lot = chance.getrandbits(len(change.data) // SECTOR_BYTES + 2)
    while start < end:
        stop = min(end, (start // SECTOR_BYTES + 1) * SECTOR_BYTES)
        if lot & 1:
            yield Written(change.file, start, change.data[start - change.offset : stop - change.offset])
        lot >>= 1
        start = stop
