"""TOML as an editor leaves it: read as far as it can be, every fault in its syntax with line and remedy.

The standard parser stops at its first fault. Here what is at fault is blanked out and the rest is read again,
so that one run names them all; what was lost with it is told as `damaged`, so that nobody misses it.
"""

from __future__ import annotations

import codecs
import re
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

from switch.iso8583.errors import DialectError, Mistake
from switch.iso8583.toml_lines import KeyLines, KeyPath, assigned_path, header_path

FAULTS_MAXIMUM = 50  # a file with more faults is no TOML at all; each costs one more reading
NO_UTF8 = "save the file as UTF-8"
# How the parser's sentence begins -> what to do about it.
_REMEDIES = {
    "Invalid value": 'write texts as "text", lists as ["a", "b"], tables as { key = value }',
    "Expected '='": "write key = value",
    "Expected ']'": "close the header with ]",
    "Expected newline": "end the line behind the value",
    "Invalid statement": "write key = value or [table]",
    "Invalid initial character": "write key = value; keys of other characters stand in quotation marks",
    "Illegal character": "end the text with a quotation mark on its line",
    "Unterminated string": "end the text with a quotation mark",
    "Expected": "end the text with its quotation marks",
    "Unclosed array": "close the list with ], part its items with commas",
    "Unclosed inline table": "close the table with }, part its keys with commas",
    "Duplicate inline table key": "name it once",
    "Unescaped": "write the backslash twice",
}
# What was to be a header: no key = value, no item of a list.
_BROKEN_HEADER = re.compile(r"""(?=[^=]*$)\s*(?:[^\s"'#,{}=\[]{0,2}\[[^"'\[\]]|[\w.+-]+\]\s*(?:\#.*)?$)""")
_NAME = re.compile(r"[A-Za-z0-9_-]+")


class TomlText(NamedTuple):
    """content: what could be read; damaged: tables in which something was lost."""

    content: dict[str, Any]
    lines: KeyLines
    mistakes: tuple[Mistake, ...]
    damaged: frozenset[KeyPath]


def read(file: Path) -> TomlText:
    """The TOML in `file`, with or without a byte order mark; `DialectError` when nothing can be read."""
    text = _text(file)
    return _Recovery(text).read(file)


def _text(file: Path) -> str:
    try:
        data = file.read_bytes()
    except OSError as error:
        what = error.strerror or "the file can't be read"
        raise DialectError(file, [Mistake(None, what, "name a readable TOML file in UTF-8")]) from error
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        what = "the file is UTF-16, as some Windows editors and shells write"
        raise DialectError(file, [Mistake(1, what, NO_UTF8)])
    try:
        # Windows editors put a byte order mark before UTF-8; it says nothing, so it's nobody's mistake
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        what = f"the file is not UTF-8: byte 0x{data[error.start]:02X}"
        raise DialectError(file, [Mistake(line, what, NO_UTF8)]) from error
    return text.replace("\r\n", "\n")


class _Recovery:
    """Reads again and again, each time without the statement that was at fault."""

    def __init__(self, text: str) -> None:
        self._lines = text.split("\n")
        self._keys = KeyLines(text)
        self._mistakes: list[Mistake] = []
        self._damaged: set[KeyPath] = set()
        self._faulty: set[int] = set()  # first lines of the tables that had a fault in their syntax
        self._twice: dict[int, list[tuple[str, int]]] = {}  # table -> (key, line) of what stands there twice

    def read(self, file: Path) -> TomlText:
        content: dict[str, Any] = {}
        for _ in range(FAULTS_MAXIMUM):
            try:
                content = tomllib.loads("\n".join(self._lines))
                break
            except tomllib.TOMLDecodeError as error:
                self._leave_out(str(error))
            except RecursionError as error:
                mistake = Mistake(
                    None, "no TOML: nested too deep", "write tables as [a.b], not within each other"
                )
                raise DialectError(file, [mistake]) from error
        else:
            raise DialectError(file, self._all())
        return TomlText(content, self._keys, tuple(self._all()), frozenset(self._damaged))

    def _all(self) -> list[Mistake]:
        return [*self._mistakes, *(self._stands_twice(found) for found in self._twice.values())]

    def _leave_out(self, told: str) -> None:
        place = re.search(r"at line (\d+)", told)
        line = int(place.group(1)) if place else self._last_opened()
        if told.startswith("Unclosed array"):
            line = self._before(line)
        start, end = self._table_around(line)
        if told.startswith("Cannot "):
            self._leave_out_second(line, start, end)
            return
        if start in self._faulty:  # a fault behind a fault: the table can't be followed any more
            self._blank(start + 1, end)
            if line <= start:
                self._blank(line, start)
            return
        self._faulty.add(start)
        remedy = next(
            (remedy for begin, remedy in _REMEDIES.items() if told.startswith(begin)), "correct the syntax"
        )
        self._mistakes.append(Mistake(line, f"no TOML: {told}", remedy))
        if line == start and line > 0:  # the header itself: what stands under it belongs nowhere
            self._damaged.add(tuple(_NAME.findall(self._lines[line - 1].partition("#")[0])))
            self._blank(start, end)
            return
        statement = self._statement_start(line, start)
        holder = assigned_path(self._lines[statement - 1])[:-1]
        self._damaged |= {self._path_at(start), self._path_at(start) + holder}
        self._blank(statement, line)

    def _leave_out_second(self, line: int, start: int, end: int) -> None:
        """What is named a second time: a table with all that belongs to it, or one key."""
        path = self._path_at(start)
        assigned = assigned_path(self._lines[line - 1])
        if line == start and not assigned:
            first = self._keys.line_of(path)
            what = f"{'.'.join(path)}: stands twice, first on line {first}"
            self._mistakes.append(Mistake(line, what, "take one away, or give it another name"))
            self._blank(start, end)
            while end < len(self._lines) and header_path(self._lines[end])[: len(path)] == path:
                start, end = self._table_around(end + 1)  # copied with it
                self._blank(start, end)
            return
        statement = self._statement_start(line, start)
        named = assigned_path(self._lines[statement - 1])
        self._twice.setdefault(start, []).append((".".join((*path, *named)), statement))
        self._blank(statement, line)

    def _stands_twice(self, found: list[tuple[str, int]]) -> Mistake:
        key, line = found[0]
        first = self._keys.line_of(tuple(key.split(".")))
        what = f"{key}: stands twice, first on line {first}"
        if len(found) > 1:
            others = ", ".join(key.rpartition(".")[2] for key, _line in found[1:])
            return Mistake(
                line, f"{what}; so do {others}", "name each once, or add the [header] that is missing"
            )
        return Mistake(line, what, "name it once")

    def _last_opened(self) -> int:
        """Line of the last quotation marks of a text of many lines: the one that nothing closes."""
        opened = [place for place, line in enumerate(self._lines, start=1) if '"""' in line or "'''" in line]
        return opened[-1] if opened else len(self._lines)

    def _before(self, line: int) -> int:
        while line > 1 and not self._lines[line - 2].partition("#")[0].strip():
            line -= 1
        return max(line - 1, 1)

    def _table_around(self, line: int) -> tuple[int, int]:
        """First (its header, 0 above all headers) and last line of the table that `line` stands in."""
        start = line
        while start > 0 and not self._is_header(start):
            start -= 1
        end = max(line, 1)
        while end < len(self._lines) and not self._is_header(end + 1):
            end += 1
        return start, end

    def _is_header(self, line: int) -> bool:
        text = self._lines[line - 1]
        return bool(header_path(text) or _BROKEN_HEADER.match(text))

    def _path_at(self, start: int) -> KeyPath:
        return header_path(self._lines[start - 1]) if start else ()

    def _statement_start(self, line: int, start: int) -> int:
        """Where what is at fault on `line` begins: there, or where a value of many lines does."""
        first = line
        while first > start + 1 and not assigned_path(self._lines[first - 1]):
            first -= 1
        try:
            tomllib.loads("\n".join(self._lines[first - 1 : line - 1]))
        except tomllib.TOMLDecodeError:
            return first  # it goes on
        return line

    def _blank(self, first: int, last: int) -> None:
        for line in range(max(first, 1), last + 1):
            self._lines[line - 1] = ""
