"""A view as text for people and as a record for programs. Masked already when it comes here."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from switch.iso8583 import DecodeError, Dialect, mask_text
from tools.message_bytes import BITMAP
from tools.message_input import Given
from tools.message_view import Part, View

BYTES_PER_ROW = 12
VALUE_COLUMNS = 24


def view_record(dialect: Dialect, one: Given, seen: View, unsafe: bool) -> dict[str, Any]:
    return {
        "where": one.where,
        "dialect": mask_text(dialect.name),
        "bytes": len(one.data),
        "tpdu": None if one.tpdu is None else one.tpdu.hex(),
        "mti": None if seen.message is None else mask_text(seen.message.mti),
        "name": None if seen.name is None else mask_text(seen.name),
        "valid": seen.error is None,
        "masked": not unsafe,
        "parts": [part._asdict() for part in seen.parts],
        "rest": seen.rest,
        "error": None if seen.error is None else _error_record(seen.error),
    }


def _error_record(error: DecodeError) -> dict[str, Any]:
    return {
        "path": mask_text(error.path),
        "offset": error.offset,
        "expected": mask_text(error.expected),
        "got": mask_text(error.got),
        "response_code": error.response_code,
    }


def view_text(dialect: Dialect, one: Given, seen: View, unsafe: bool) -> Iterator[str]:
    tpdu = f", TPDU {one.tpdu.hex()}" if one.tpdu is not None else ""
    what = "no message" if seen.message is None else mask_text(seen.message.mti)
    name = f" {mask_text(seen.name)}" if seen.name else ""
    yield f"{one.where}: {what}{name}, {len(one.data)} bytes, dialect {mask_text(dialect.name)}{tpdu}"
    path_width = max([6, *(len(part.path) for part in seen.parts)])
    widths = (BYTES_PER_ROW * 3 - 1, path_width, VALUE_COLUMNS)
    yield _row("at", ("bytes", "field", "value"), widths, "meaning")
    for part in seen.parts:
        pairs, values = part.raw.split(), _value_rows(part)
        rows = max(1, -(-len(pairs) // BYTES_PER_ROW), len(values))
        meaning = ": ".join(filter(None, (part.title, part.meaning)))
        for row in range(rows):
            held = " ".join(pairs[row * BYTES_PER_ROW : (row + 1) * BYTES_PER_ROW])
            at = str(part.start + row * BYTES_PER_ROW) if held or not row else ""
            path, words = ("", "") if row else (part.path, meaning)
            value = values[row] if row < len(values) else ""
            yield _row(at, (held, path, value), widths, words)
    if seen.error is not None:
        yield f"fault: {mask_text(str(seen.error))}; answer with DE 39 = {seen.error.response_code}"
        if seen.rest:
            yield f"rest: {seen.rest}{'' if unsafe else ' (--unsafe shows them)'}"


def _row(at: str, cells: Sequence[str], widths: Sequence[int], words: str) -> str:
    filled = "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
    return f"{at:>5}  {filled}  {words}".rstrip()


def _value_rows(part: Part) -> list[str]:
    if part.path.rpartition(".")[2] == BITMAP:
        return textwrap.wrap(part.value, VALUE_COLUMNS)
    return [part.value[at : at + VALUE_COLUMNS] for at in range(0, len(part.value), VALUE_COLUMNS)]
