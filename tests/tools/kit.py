"""Runs `vafa message` for the tests: in this process for speed, as a process where that is what is proved."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tools import cli

CHECKOUT = Path(__file__).resolve().parent.parent.parent
VECTORS = json.loads((CHECKOUT / "tests/vectors/messages.json").read_text(encoding="utf-8"))
PROGRAM = (sys.executable, "-m", "tools.cli", "message")

# Built once: that takes longer than most commands.
COMMAND_LINE = functools.cache(cli.command_line)


class Told(NamedTuple):
    """What a command said and how it ended. `raw`: its standard output as bytes."""

    code: int
    raw: bytes
    err: str

    @property
    def out(self) -> str:
        return self.raw.decode("utf-8")

    @property
    def document(self) -> Any:
        return json.loads(self.out)

    @property
    def records(self) -> list[Any]:
        """One object a line."""
        return [json.loads(line) for line in self.out.splitlines()]


def run(*arguments: str, given: bytes = b"") -> Told:
    """`vafa message ARGUMENTS` in this process, `given` on its standard input."""
    output, errors = io.BytesIO(), io.StringIO()
    standard = io.TextIOWrapper(output, encoding="utf-8", write_through=True)
    before = sys.stdin
    sys.stdin = io.TextIOWrapper(io.BytesIO(given), encoding="utf-8")
    try:
        with contextlib.redirect_stdout(standard), contextlib.redirect_stderr(errors):
            code = cli.run(["message", *arguments], make=COMMAND_LINE)
    finally:
        sys.stdin = before
    return Told(code, output.getvalue(), errors.getvalue())


def run_process(
    *arguments: str,
    given: bytes = b"",
    environment: Mapping[str, str] | None = None,
    directory: Path = CHECKOUT,
) -> Told:
    """The same as a process of its own."""
    ended = subprocess.run(
        [*PROGRAM, *arguments],
        input=given,
        capture_output=True,
        cwd=directory,
        env=None if environment is None else dict(environment),
        check=False,
        timeout=120,
    )
    return Told(ended.returncode, ended.stdout, ended.stderr.decode("utf-8"))


def vector(name: str) -> bytes:
    """A sample message of the vafa dialect."""
    return bytes.fromhex(next(one["hex"] for one in VECTORS if one["name"] == name))
