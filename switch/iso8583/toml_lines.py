"""Line numbers for the keys of a TOML file, which the standard parser doesn't keep.

Made for pointing at mistakes only: reads the headers and assignments of a file that has already parsed.
"""

from __future__ import annotations

import re

KeyPath = tuple[str, ...]

_KEY = r"""[A-Za-z0-9_-]+|"[^"]*"|'[^']*'"""
_DOTTED = rf"(?:{_KEY})(?:\s*\.\s*(?:{_KEY}))*"
_HEADER = re.compile(rf"\s*\[\[?\s*({_DOTTED})\s*\]\]?\s*(?:#.*)?$")
_ASSIGNMENT = re.compile(rf"\s*({_DOTTED})\s*=")
_PART = re.compile(_KEY)


class KeyLines:
    """Where each key of a TOML text stands. Keys inside inline tables and arrays have their holder's line."""

    def __init__(self, text: str) -> None:
        self._lines: dict[KeyPath, int] = {}
        table: KeyPath = ()
        for number, line in enumerate(text.splitlines(), start=1):
            if header := _HEADER.match(line):
                table = _parts(header.group(1))
                self._note(table, number)
            elif assignment := _ASSIGNMENT.match(line):
                self._note(table + _parts(assignment.group(1)), number)

    def line_of(self, path: KeyPath) -> int | None:
        """Line of the key at `path`, or of the nearest thing that holds it; None when nothing does."""
        for size in range(len(path), 0, -1):
            if path[:size] in self._lines:
                return self._lines[path[:size]]
        return None

    def _note(self, path: KeyPath, number: int) -> None:
        for size in range(1, len(path) + 1):
            self._lines.setdefault(path[:size], number)


def _parts(dotted: str) -> KeyPath:
    return tuple(part.strip("\"'") for part in _PART.findall(dotted))
