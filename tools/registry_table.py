"""Lists of merchants and terminals out of a file (CSV): read whole, every mistake told with its line.

UTF-8, with or without byte order mark; columns parted by commas, or semicolons as some spreadsheets do.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from switch.registry import RegistryError
from tools.cli import CommandError, ExitCode

MOST_ROWS = 10_000  # of one change, which is one line of the log
MOST_BYTES = 16 << 20


class Row(NamedTuple):
    """A row and the line that it ends in. values: by column; a column that isn't there is empty."""

    line: int
    values: dict[str, str]


def rows_of(path: Path, columns: Sequence[str], needed: int) -> list[Row]:
    """The rows of a file, whose first line names its columns; the first `needed` ones have to be there.
    Raises CommandError."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise _refused(f"{path}: too large for a list")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise _refused(f"{path}: can't be read ({error.strerror})", "check --file") from None
    except UnicodeDecodeError as error:
        raise _refused(f"{path}: not UTF-8 at byte {error.start}", "save it as UTF-8") from None
    lines = text.splitlines(keepends=True)
    head = lines[0] if lines else ""
    reader = csv.reader(lines, delimiter=";" if ";" in head and "," not in head else ",", strict=True)
    wanted = f"the first line names the columns: {', '.join(columns)}"
    try:
        names = [name.strip().casefold() for name in next(reader, [])]
        if missing := [name for name in columns[:needed] if name not in names]:
            raise _refused(f"{path}:1: no column {missing[0]!r}", wanted)
        if strange := [name for name in names if name not in columns]:
            raise _refused(f"{path}:1: unknown column {strange[0]!r}", wanted)
        if len(set(names)) != len(names):
            raise _refused(f"{path}:1: a column stands twice", wanted)
        found = [(reader.line_num, row) for row in reader if any(value.strip() for value in row)]
    except csv.Error as error:
        raise _refused(f"{path}:{reader.line_num}: {error}", "correct that line") from None
    if len(found) > MOST_ROWS:
        raise _refused(f"{path}: {len(found)} rows, {MOST_ROWS} at most", "make several files of it")
    if not found:
        raise _refused(f"{path}: no rows", wanted)
    mistakes = Mistakes(path)
    for line, row in found:
        if len(row) != len(names):
            mistakes.add(line, f"{len(row)} values, the first line has {len(names)} columns")
    mistakes.refuse()
    empty = dict.fromkeys(columns, "")
    return [Row(line, {**empty, **dict(zip(names, row, strict=True))}) for line, row in found]


class Mistakes:
    """The mistakes of a file, all of them told at once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._found: list[tuple[int, str]] = []

    def add(self, line: int, what: str | RegistryError) -> None:
        self._found.append((line, str(what)))

    def refuse(self) -> None:
        """Raises CommandError when there is any."""
        if not self._found:
            return
        told = "".join(f"\n  line {line}: {what}" for line, what in sorted(self._found))
        number = "1 mistake" if len(self._found) == 1 else f"{len(self._found)} mistakes"
        raise _refused(f"{self._path}: {number}, nothing was changed:{told}", "correct them all, then again")


def _refused(what: str, try_next: str = "") -> CommandError:
    return CommandError(what, ExitCode.USAGE, try_next)
