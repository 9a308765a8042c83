"""A profile in a directory of the test's own, and `vafa fw` run on it in this process."""

from __future__ import annotations

import contextlib
import io
import sys
from pathlib import Path
from typing import NamedTuple

from tools import cli

PROFILE = """\
[device]
board = "{board}"
model = "SHOP-1"
version = 7
replaces = 5

[devices]
{devices}

[settings]
locale = "fa"

[budget]
code_kib = 146

[signing]
needed = {needed}
keys = [{keys}]
"""


class Told(NamedTuple):
    """What a command said and how it ended."""

    code: int
    out: str
    err: str


def fw(*arguments: object, given: str = "") -> Told:
    """`vafa fw ARGUMENTS` in this process, `given` on its standard input."""
    out, err = io.StringIO(), io.StringIO()
    before, sys.stdin = sys.stdin, io.TextIOWrapper(io.BytesIO(given.encode()))
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = cli.run(["fw", *map(str, arguments)])
    finally:
        sys.stdin = before
    return Told(code, out.getvalue(), err.getvalue())


def profile(
    directory: Path, board: str = "unix", devices: str = "", keys: tuple[str, ...] = (), needed: int = 1
) -> Path:
    """A profile file."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "terminal.toml"
    shown = ", ".join(f'"{key}"' for key in keys)
    path.write_text(PROFILE.format(board=board, devices=devices, keys=shown, needed=needed), "utf-8")
    return path
