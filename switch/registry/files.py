"""The registry on disk: read by everybody, changed by one at a time, replaced whole or not at all.

The registry is written first and carries its last change; the log gets that line after it. So one rename does
a change, and a stop anywhere leaves the change done or not done, and never unlogged.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from switch.registry.errors import RegistryError
from switch.registry.lines import (
    Agreed,
    Change,
    RegistryBroken,
    Seals,
    agreed,
    log_line,
    next_change,
    registry_bytes,
    registry_of,
    seal_of,
)
from switch.registry.records import Draft, Registry, in_force
from switch.settings import Settings, Terminal
from terminal.text import jalali

OWNER_ONLY = 0o600
LARGEST_FILE_BYTES = 256 << 20  # a million terminals; more is another file by mistake
LOCK_PATIENCE_S = 10.0  # a change takes milliseconds; who holds the lock longer hangs
_LOCK_INTERVAL_S = 0.02
_PUT_BACK = "find out who changed it, and put the newest true copies of registry.jsonl and registry.log back"


class InForce(NamedTuple):
    """A registry as it was read, and the terminals that are registered with it."""

    registry: Registry
    terminals: tuple[Terminal, ...]


class Author(NamedTuple):
    """Who changes the registry, why, and when (local time with its offset). by: who is answerable; user: the
    system's account."""

    by: str
    user: str
    reason: str
    now: datetime


def registered_terminals(settings: Settings) -> tuple[Terminal, ...]:
    """All terminals of an installation: those of its settings and those of its registry. Raises
    RegistryError."""
    return read(settings).terminals


def read(settings: Settings) -> InForce:
    """The registry of an installation; empty before its first change. Raises RegistryError."""
    try:
        registry = _read_registry(settings)
        return InForce(registry, in_force(settings.terminals, registry))
    except RegistryBroken as error:
        raise _broken(settings.registry_path, error) from None
    except RegistryError as error:
        raise RegistryError(f"{settings.registry_path}: {error.what}", error.try_next) from None


def read_after(settings: Settings, before: InForce) -> InForce:
    """As `read`, for one who knows how the registry was before: of the next change only its own records are
    looked at, which its seal joins to the change before. Raises RegistryError."""
    try:
        with settings.registry_path.open("rb") as file:
            head = file.readline()
    except OSError:
        return read(settings)  # which says what is wrong
    try:
        change = next_change(head, before.registry, Seals(settings.seal_key))
    except RegistryBroken as error:
        raise _broken(settings.registry_path, error) from None
    if change is None:
        return read(settings)
    registry = before.registry.with_records(change.records, change.number, change.line)
    return InForce(registry, in_force(settings.terminals, registry))


def history(settings: Settings) -> Agreed:
    """The registry held against its log: every change that made it. Raises RegistryError, which names the
    first line that was edited, moved or cut off."""
    try:
        with _locked(settings.registry_log_path.parent, fcntl.LOCK_SH):
            content, log = _content(settings.registry_path), _content(settings.registry_log_path)
    except OSError as error:
        raise RegistryError(f"{error.filename}: can't be read ({error.strerror})", "check --data") from None
    try:
        registry = _registry(settings, content, log)
    except RegistryBroken as error:
        raise _broken(settings.registry_path, error) from None
    try:
        return agreed(registry, log or b"", Seals(settings.seal_key))
    except RegistryBroken as error:
        raise _broken(settings.registry_log_path, error) from None


class Session:
    """The registry while one command changes it. draft: where the changes are made, then `commit`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._seals = Seals(settings.seal_key)
        self.before = _read_registry(settings)
        self.draft = Draft(self.before, settings.terminals)
        self.repaired = self._complete_log()

    def _complete_log(self) -> bool:
        """Give the log the line that a stopped command left out. Whether there was one."""
        try:
            known = agreed(self.before, _content(self._settings.registry_log_path) or b"", self._seals)
        except RegistryBroken as error:
            raise _broken(self._settings.registry_log_path, error) from None
        if known.missing:
            self._append(known.missing, known.keep)
        return bool(known.missing)

    def commit(self, what: str, author: Author) -> InForce:
        """Make the draft's changes, if there are any, in force for every switch; durable when it returns.
        Raises RegistryError."""
        records = self.draft.changed
        if not records:
            return InForce(self.before, in_force(self._settings.terminals, self.before))
        number = self.before.changes + 1
        day = "/".join(f"{part:02d}" for part in jalali(author.now.year, author.now.month, author.now.day))
        stamp = author.now.isoformat(timespec="seconds")
        change = Change(number, stamp, day, author.by, author.user, what, author.reason, records)
        line = log_line(change, seal_of(self.before.last), self._seals)
        after = self.before.with_records(records, number, line)
        terminals = in_force(self._settings.terminals, after)  # else a switch would not start with it
        _replace(self._settings.registry_path, registry_bytes(after, self._seals))
        try:
            self._append(line)
        except OSError as error:
            raise RegistryError(
                f"{self._settings.registry_log_path}: can't be written ({error.strerror}); the change is in"
                " force and in the registry",
                "make room: the next change, or the same command again, brings the log's line",
            ) from None
        return InForce(after, terminals)

    def _append(self, line: str, keep: int | None = None) -> None:
        """keep: so many bytes of the log are whole lines; None: all."""
        path = self._settings.registry_log_path
        log = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, OWNER_ONLY)
        try:
            _adopt_owner(log, path.parent)
            if keep is not None:
                os.ftruncate(log, keep)
            data = line.encode() + b"\n"
            while data:
                data = data[os.write(log, data) :]
            os.fsync(log)
            _sync_directory(path.parent)
        finally:
            os.close(log)


@contextmanager
def changing(settings: Settings) -> Iterator[Session]:
    """The registry, for one who changes it; others wait. Raises RegistryError."""
    try:
        with _locked(settings.registry_log_path.parent, fcntl.LOCK_EX):
            yield _session(settings)
    except OSError as error:
        raise RegistryError(
            f"{error.filename or settings.registry_path}: can't be written ({error.strerror})",
            "check permissions and space",
        ) from None


def _session(settings: Settings) -> Session:
    try:
        return Session(settings)
    except RegistryBroken as error:
        raise _broken(settings.registry_path, error) from None


def _read_registry(settings: Settings) -> Registry:
    content = _content(settings.registry_path)
    return _registry(settings, content, _content(settings.registry_log_path) if content is None else None)


def _registry(settings: Settings, content: bytes | None, log: bytes | None) -> Registry:
    if content is not None:
        return registry_of(content, Seals(settings.seal_key))
    if log:
        raise RegistryBroken("the file is gone, and its log is there")
    return Registry()


def _content(path: Path) -> bytes | None:
    """A file's bytes; None when there is no such file. Raises RegistryError."""
    try:
        if path.stat().st_size > LARGEST_FILE_BYTES:
            raise RegistryBroken("the file is too large for a registry")
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RegistryError(f"{path}: can't be read ({error.strerror})", "check its permissions") from None


def _broken(path: Path, error: RegistryBroken) -> RegistryError:
    return RegistryBroken(f"{path}: {error.what}", _PUT_BACK)


@contextmanager
def _locked(directory: Path, kind: int) -> Iterator[None]:
    """One writer at a time, or readers: between its two files a change is only half told. The directory: the
    registry itself is replaced."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        deadline = time.monotonic() + LOCK_PATIENCE_S
        while True:
            try:
                fcntl.flock(handle, kind | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise RegistryError(
                        f"{directory}: another command changes its files and does not end",
                        "end it, then try again",
                    ) from None
                time.sleep(_LOCK_INTERVAL_S)
        yield
    finally:
        os.close(handle)


def _adopt_owner(descriptor: int, directory: Path) -> None:
    """What the superuser writes belongs to whoever owns the directory: the switch has to read it."""
    owner = directory.stat()
    if os.geteuid() == 0:
        os.fchown(descriptor, owner.st_uid, owner.st_gid)


def _replace(path: Path, content: bytes) -> None:
    """Replace a file durably. Only whoever has the lock may call this."""
    fresh = path.with_name(f".{path.name}.new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, OWNER_ONLY)
    with os.fdopen(descriptor, "wb") as file:
        _adopt_owner(file.fileno(), path.parent)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(fresh, path)
    _sync_directory(path.parent)


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
