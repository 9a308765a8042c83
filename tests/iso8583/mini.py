"""Dialects of one field, written as an integrator would: for tables of formats and their errors."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

from switch.iso8583 import Dialect

HEAD = """\
[dialect]
name = "mini"
version = 1
description = {{ en = "Mini", fa = "کوچک" }}
mti = {{ encoding = "bcd" }}
bitmap = {{ encoding = "binary" }}

[fields.{number}]
name = "it"
title = {{ en = "It", fa = "آن" }}
"""
PART = 'name = "part"\ntitle = { en = "Part", fa = "بخش" }\n'


def head(number: int = 48) -> str:
    """MTI and bitmap of a message with that one field, as hex."""
    return "0200" + f"{1 << (64 - number):016x}"


@functools.cache
def dialect(body: str, number: int = 48) -> Dialect:
    """A dialect whose field `number` is `body`; "@" in it stands for name and title of a part.

    Headers of parts are written [.subfields.1] for [fields.48.subfields.1].
    """
    lines = []
    for line in body.strip().splitlines():
        lines.append(line.strip().replace("[.", f"[fields.{number}.").replace("@", PART))
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "mini.toml"
        file.write_text(HEAD.format(number=number) + "\n".join(lines) + "\n", encoding="utf-8")
        return Dialect.load(file)
