"""What terminals said of their software and parameters at sign-on, kept for who watches a roll-out.

Lines of JSON in one file that several switch processes append to; from time to time it is written anew with
the newest line of each terminal, so it grows with the terminals and not with their sign-ons. Nothing of money
or keys depends on it.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

LEAST_BYTES: Final = 1 << 20  # a smaller file is left as it is: some ten thousand lines
TIMES: Final = 4  # so much larger than what counts of it, before it is written anew


class Told(NamedTuple):
    """What a terminal said of itself at a sign-on. Versions: None when it didn't say; refused: version and
    reason, or None."""

    model: str
    software: int | None
    parameters: int | None
    software_refused: tuple[int, int] | None
    parameters_refused: tuple[int, int] | None


class ToldFile:
    """The file, and what all processes have written to it so far. newest: of each terminal."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.newest: dict[str, Told] = {}
        self._read_to = 0  # bytes of it that are in `newest`
        self._file = 0  # its inode: another one was written anew
        self._most = LEAST_BYTES
        self.look()

    def look(self) -> None:
        """Take in what was appended since. A file that can't be read says nothing."""
        try:
            status = self._path.stat()
            if status.st_ino != self._file or status.st_size < self._read_to:
                self._file, self._read_to = status.st_ino, 0
            if status.st_size == self._read_to:
                return
            with self._path.open("rb") as file:
                file.seek(self._read_to)
                lines = file.read()
        except OSError:
            return
        whole = lines[: lines.rfind(b"\n") + 1]
        self._read_to += len(whole)
        self.newest.update(_terminals_in(whole))

    def note(self, terminal: str, told: Told) -> None:
        """Keep it, at once. Raises OSError; what counts here is told all the same."""
        self.newest[terminal] = told
        self._path.parent.mkdir(mode=0o700, exist_ok=True)
        with _held(self._path, fcntl.LOCK_SH) as handle:
            os.write(handle, _line(terminal, told))
            size = os.fstat(handle).st_size
        if size > self._most:
            self._write_anew()

    def _write_anew(self) -> None:
        """Only what counts. Nobody appends meanwhile, and who waits for that finds the new file."""
        with _held(self._path, fcntl.LOCK_EX):
            self.look()
            lines = b"".join(_line(terminal, told) for terminal, told in self.newest.items())
            self._most = max(LEAST_BYTES, TIMES * len(lines))
            if self._path.stat().st_size <= self._most:
                return  # another process has just done so
            new = self._path.with_name(f".{self._path.name}.{os.getpid()}")
            handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(lines)
            new.replace(self._path)


def read_told(path: Path) -> dict[str, Told]:
    """The newest of each terminal."""
    return ToldFile(path).newest


@contextmanager
def _held(path: Path, lock: int) -> Iterator[int]:
    """The file that stands at this path, opened for appending under this lock."""
    while True:
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, lock)
            if os.fstat(handle).st_ino == _inode(path):
                yield handle
                return
        finally:
            os.close(handle)


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return 0


def _line(terminal: str, told: Told) -> bytes:
    return json.dumps([terminal, *told], separators=(",", ":")).encode() + b"\n"


def _terminals_in(lines: bytes) -> Iterator[tuple[str, Told]]:
    """What whole lines say, in their order; one that can't be read is passed over."""
    for line in lines.splitlines():
        try:
            terminal, model, software, parameters, *refused = json.loads(line)
            pair = [None if one is None else (int(one[0]), int(one[1])) for one in refused]
            yield str(terminal), Told(str(model), software, parameters, pair[0], pair[1])
        except (ValueError, TypeError, IndexError):
            continue
