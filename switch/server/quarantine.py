"""Requests that a process stopped on: noted before they are decided, the second time decided alone, then
never.

A small file that is mapped into memory: noting costs no system call and outlives the process, though not the
machine. Holds digests only, no card or member. A process that is killed counts like one that stopped by
itself, so one stop proves nothing; the second, with nothing else decided beside, does.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterable
from pathlib import Path
from struct import Struct
from typing import NamedTuple

DIGEST_BYTES = 16
STOPS = 2  # of the process on one digest, until an operator looks at it
# Digests remembered; a batch that broke as a whole leaves 208. When all are taken the oldest suspect leaves.
PLACES = 512

_MAGIC = b"vafa under way 1"
_RECORD = Struct(f">{DIGEST_BYTES}sBQ8s16s")  # digest, stops, first noted (ms since 1970), DE 41, operation
_NOW = slice(len(_MAGIC), len(_MAGIC) + DIGEST_BYTES)  # what is being decided; zeros: nothing
_TABLE = 64
_FILE_BYTES = _TABLE + PLACES * _RECORD.size
_NOTHING = bytes(DIGEST_BYTES)


class QuarantineError(Exception):
    """The file can't be used. The text says what is wrong and what to do."""


class Suspect(NamedTuple):
    """A request that a process stopped on. stops: how often; from `STOPS` on it is never decided.

    terminal, operation: of the request, empty when the process ended before they were noted. noted_ms:
    milliseconds since 1970, UTC.
    """

    digest: bytes
    stops: int
    noted_ms: int
    terminal: str
    operation: str


class Quarantine:
    """The open file of one process. path: in the data directory; made when it isn't there.

    Raises QuarantineError.
    """

    def __init__(self, path: Path, now_ms: int) -> None:
        self._path = path
        self._map = _mapped(path, writable=True)
        self._places: dict[bytes, int] = {}
        for place in range(PLACES):
            suspect = self._at(place)
            if suspect is not None:
                self._places[suspect.digest] = place
        interrupted = self._map[_NOW]
        if interrupted != _NOTHING:
            self._stopped_on(interrupted, now_ms)
            self.nothing_under_way()

    def begin(self, digest: bytes) -> None:
        """Note that this is decided from now on."""
        self._map[_NOW] = digest

    def nothing_under_way(self) -> None:
        """What was noted last is decided."""
        self._map[_NOW] = _NOTHING

    def broke(self, digests: Iterable[bytes], now_ms: int) -> None:
        """The process stops on a batch of these. What is under way was it, and counts at the next start; else
        each of them may have been."""
        if self._map[_NOW] == _NOTHING:
            for digest in digests:
                if digest:
                    self._stopped_on(digest, now_ms)

    @property
    def is_empty(self) -> bool:
        """Nothing is suspected: nobody needs to look further."""
        return not self._places

    def is_suspect(self, digest: bytes) -> bool:
        """Whether a process stopped on it once: it is decided alone."""
        return digest in self._places

    def is_held(self, digest: bytes) -> bool:
        """Whether it is never decided. Looks into the file: an operator clears it beside a running switch."""
        place = self._places.get(digest)
        if place is None:
            return False
        suspect = self._at(place)
        if suspect is None or suspect.digest != digest:
            del self._places[digest]
            return False
        return suspect.stops >= STOPS

    def tell(self, digest: bytes, terminal: str, operation: str) -> None:
        """Say of a suspect who asked and for what, for those who look at it."""
        suspect = self._at(self._places[digest])
        if suspect is not None and not suspect.operation:
            self._put(self._places[digest], suspect._replace(terminal=terminal, operation=operation))

    def passed(self, digest: bytes) -> None:
        """A suspect was decided and stored: it wasn't that."""
        place = self._places.pop(digest, None)
        if place is not None:
            self._clear(place)

    def close(self) -> None:
        """The process ends as it should."""
        self._map.close()

    def _stopped_on(self, digest: bytes, now_ms: int) -> None:
        place = self._places.get(digest)
        if place is not None:
            suspect = self._at(place)
            if suspect is not None:
                self._put(place, suspect._replace(stops=min(suspect.stops + 1, 255)))
            return
        place = self._free_place()
        if place is not None:
            self._places[digest] = place
            self._put(place, Suspect(digest, 1, now_ms, "", ""))

    def _free_place(self) -> int | None:
        """A place for another suspect; what is held never leaves by itself."""
        taken = [self._at(place) for place in range(PLACES)]
        if None in taken:
            return taken.index(None)
        leaving = [suspect for suspect in taken if suspect is not None and suspect.stops < STOPS]
        if not leaving:
            return None
        return self._places.pop(min(leaving, key=lambda suspect: suspect.noted_ms).digest)

    def _at(self, place: int) -> Suspect | None:
        return _suspect(self._map, place)

    def _put(self, place: int, suspect: Suspect) -> None:
        _RECORD.pack_into(
            self._map,
            _TABLE + place * _RECORD.size,
            suspect.digest,
            suspect.stops,
            suspect.noted_ms,
            suspect.terminal.encode(),
            suspect.operation.encode(),
        )

    def _clear(self, place: int) -> None:
        start = _TABLE + place * _RECORD.size
        self._map[start : start + _RECORD.size] = bytes(_RECORD.size)


def suspects(path: Path) -> list[Suspect]:
    """All that a process stopped on, oldest first; beside a running switch too. Raises QuarantineError."""
    if not path.exists():
        return []
    mapped = _mapped(path, writable=False)
    try:
        found = [_suspect(mapped, place) for place in range(PLACES)]
    finally:
        mapped.close()
    return sorted((suspect for suspect in found if suspect), key=lambda suspect: suspect.noted_ms)


def clear(path: Path, digest: bytes) -> bool:
    """Let a request be decided again, in a running switch too; False when it isn't there.

    Raises QuarantineError.
    """
    if not path.exists():
        return False
    mapped = _mapped(path, writable=True)
    try:
        for place in range(PLACES):
            suspect = _suspect(mapped, place)
            if suspect is not None and suspect.digest == digest:
                start = _TABLE + place * _RECORD.size
                mapped[start : start + _RECORD.size] = bytes(_RECORD.size)
                return True
    finally:
        mapped.close()
    return False


def _suspect(mapped: mmap.mmap, place: int) -> Suspect | None:
    digest, stops, noted_ms, terminal, operation = _RECORD.unpack_from(mapped, _TABLE + place * _RECORD.size)
    if not stops:
        return None
    return Suspect(
        digest,
        stops,
        noted_ms,
        terminal.rstrip(b"\0").decode("ascii", "replace"),
        operation.rstrip(b"\0").decode("ascii", "replace"),
    )


def _mapped(path: Path, *, writable: bool) -> mmap.mmap:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT if writable else os.O_RDONLY, 0o600)
        try:
            size, magic = os.fstat(descriptor).st_size, os.pread(descriptor, len(_MAGIC), 0)
            if writable and size in (0, _FILE_BYTES) and not magic.strip(b"\0"):
                # Room for all of it now, or a full disk would stop the process at some later note; on the
                # disk, because a power cut keeps the length of a file before its bytes.
                os.posix_fallocate(descriptor, 0, _FILE_BYTES)
                os.pwrite(descriptor, _MAGIC, 0)
                os.fsync(descriptor)
            elif size != _FILE_BYTES or magic != _MAGIC:
                raise QuarantineError(f"{path}: not a list of requests under way; move the file away")
            return mmap.mmap(
                descriptor, _FILE_BYTES, access=mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ
            )
        finally:
            os.close(descriptor)
    except OSError as error:
        raise QuarantineError(f"{path}: can't be used ({error.strerror}); check its permissions") from error
