"""Line numbers for the keys of a TOML file, which the standard parser doesn't keep.

Made for pointing at mistakes only: reads the headers and assignments, judges nothing.
"""

from __future__ import annotations

import re

KeyPath = tuple[str, ...]

_KEY = r"""[A-Za-z0-9_-]+|"[^"]*"|'[^']*'"""
_DOTTED = rf"(?:{_KEY})(?:\s*\.\s*(?:{_KEY}))*"
_HEADER = re.compile(rf"\s*\[\[?\s*({_DOTTED})\s*\]\]?\s*(?:#.*)?$")
_ASSIGNMENT = re.compile(rf"\s*({_DOTTED})\s*=")
_PART = re.compile(_KEY)
_TEXT_BLOCK = re.compile(r'"""|' + "'''")


class KeyLines:
    """Where each key of a TOML text stands. Keys inside inline tables and arrays have their holder's line.

    Looked for when it is asked the first time: a file without mistakes costs nothing.
    """

    def __init__(self, text: str) -> None:
        self._lines: dict[KeyPath, int] = {}
        self._implied: dict[KeyPath, int] = {}
        self._text = text.split("\n")  # as TOML counts lines; others would also end one at U+2028
        self._is_read = False

    def _read(self) -> None:
        self._is_read = True
        table: KeyPath = ()
        in_block = False
        for number, line in enumerate(self._text, start=1):
            if in_block:
                in_block = len(_TEXT_BLOCK.findall(line)) % 2 == 0
                continue
            if header := header_path(line):
                table = header
                self._note(header, number, len(header))
            elif assigned := assigned_path(line):
                self._note(table + assigned, number, len(table) + 1)
            in_block = len(_TEXT_BLOCK.findall(line)) % 2 == 1

    def line_of(self, path: KeyPath) -> int | None:
        """Line of the key at `path`, or of the nearest thing that holds it; None when nothing does.

        `[fields.11]` says nothing of `fields` as a whole: that alone is nobody's holder.
        """
        if not self._is_read:
            self._read()
        for size in range(len(path), 0, -1):
            is_told = size > 1 or len(path) == 1
            line = self._lines.get(path[:size]) or (self._implied.get(path[:size]) if is_told else None)
            if line is not None:
                return line
        return None

    def line_of_text(self, path: KeyPath, text: str) -> int | None:
        """Line of the first `text` in the value at `path`, which may go over many; else `line_of(path)`."""
        first = self.line_of(path)
        if first is None:
            return None
        for number in range(first, len(self._text) + 1):
            line = self._text[number - 1]
            if number > first and (header_path(line) or assigned_path(line)):
                break
            if re.search(rf"(?<![\w.]){re.escape(text)}(?![\w.])", line):
                return number
        return first

    def _note(self, path: KeyPath, number: int, explicit_from: int) -> None:
        for size in range(1, len(path) + 1):
            (self._lines if size >= explicit_from else self._implied).setdefault(path[:size], number)


def header_path(line: str) -> KeyPath:
    """The path of a table header; empty when the line is none."""
    header = _HEADER.match(line)
    return _parts(header.group(1)) if header else ()


def assigned_path(line: str) -> KeyPath:
    """The path a line assigns to, within its table; empty when it assigns nothing."""
    assignment = _ASSIGNMENT.match(line)
    return _parts(assignment.group(1)) if assignment else ()


def _parts(dotted: str) -> KeyPath:
    return tuple(part.strip("\"'") for part in _PART.findall(dotted))
