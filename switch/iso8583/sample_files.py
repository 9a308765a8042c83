"""Sample messages of a dialect: bytes and the values they carry, as data beside the dialect's file.

Those of the shipped dialects are made apart from the codec, so that both can be held against each other;
nothing here encodes or decodes.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any, NamedTuple

from switch.iso8583 import toml_text
from switch.iso8583.dictionary_file import SHIPPED
from switch.iso8583.dictionary_keys import ANY_TEXT, HEX_BYTES, SAMPLE, SAMPLES_FILE
from switch.iso8583.dictionary_tables import Findings, Table
from switch.iso8583.errors import DialectError
from switch.iso8583.message import SCHEMA


class Sample(NamedTuple):
    """One message. data: its bytes; document: what `Message.to_document(reveal=True)` gives for it.

    A sample that says its bytes alone has an empty document.
    """

    name: str
    data: bytes
    document: dict[str, Any]

    @property
    def hex(self) -> str:
        return self.data.hex().upper()


def samples_file(dialect_file: Path) -> Path:
    """Where the samples of the dialect in `dialect_file` stand: `samples/`, beside it, by the same name."""
    return dialect_file.parent / "samples" / dialect_file.name


@functools.cache
def samples(dialect: str) -> tuple[Sample, ...]:
    """The samples of a shipped dialect, by its name; empty when there are none."""
    return samples_beside(SHIPPED / f"{dialect}.toml", dialect)


def samples_beside(dialect_file: Path, dialect: str) -> tuple[Sample, ...]:
    """The samples of the dialect called `dialect` in `dialect_file`; empty when there is no file of them.

    `DialectError` names every mistake in that file with line and remedy.
    """
    file = samples_file(dialect_file)
    if not file.is_file():
        return ()
    text = toml_text.read(file)
    findings = Findings(text.lines, text.content, text.damaged)
    root = Table(findings, (), text.content, SAMPLES_FILE)
    found: list[Sample] = []
    for entry in root.items("sample"):
        if not isinstance(entry, dict):
            root.refuse("sample", "not every item is a table", f"write {SAMPLES_FILE['sample']}")
            continue
        sample = _sample(dialect, Table(findings, ("sample",), entry, SAMPLE))
        if any(sample.name == other.name for other in found):
            root.refuse("sample", f"{sample.name!r} stands twice", "give each its own name", sample.name)
        found.append(sample)
    root.close()
    mistakes = [*text.mistakes, *findings.mistakes]
    if mistakes:
        raise DialectError(file, mistakes)
    return tuple(found)


def _sample(dialect: str, table: Table) -> Sample:
    name = table.text("name", ANY_TEXT)
    digits = "".join(table.text("hex", HEX_BYTES).split())
    document: dict[str, Any] = {}
    if "mti" in table or "fields" in table:
        document = {
            "schema": SCHEMA,
            "dialect": dialect,
            "mti": table.text("mti"),
            "masked": False,
            "fields": dict(table.table("fields", None).content),
        }
    table.close()
    return Sample(name, bytes.fromhex(digits), document)
