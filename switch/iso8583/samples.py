"""Sample messages of the shipped dialects: bytes and the values they carry, as data beside the dialects.

Made apart from the codec, so that both can be held against each other; nothing here encodes or decodes.
"""

from __future__ import annotations

import functools
import tomllib
from typing import Any, NamedTuple

from switch.iso8583.dictionary_file import SHIPPED
from switch.iso8583.message import SCHEMA

SAMPLES = SHIPPED / "samples"


class Sample(NamedTuple):
    """One message. data: its bytes; document: what `Message.to_document(reveal=True)` gives for it."""

    name: str
    data: bytes
    document: dict[str, Any]

    @property
    def hex(self) -> str:
        return self.data.hex().upper()


@functools.cache
def samples(dialect: str) -> tuple[Sample, ...]:
    """The samples of a shipped dialect, by its name; empty when there are none."""
    file = SAMPLES / f"{dialect}.toml"
    if not file.is_file():
        return ()
    content = tomllib.loads(file.read_text(encoding="utf-8"))
    return tuple(_sample(dialect, entry) for entry in content["sample"])


def _sample(dialect: str, entry: dict[str, Any]) -> Sample:
    document = {
        "schema": SCHEMA,
        "dialect": dialect,
        "mti": entry["mti"],
        "masked": False,
        "fields": entry["fields"],
    }
    return Sample(entry["name"], bytes.fromhex(entry["hex"]), document)
