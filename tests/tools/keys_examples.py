"""The commands shown in docs/keys.md, run for real. `python -m tests.tools.keys_examples` writes their output
into the page again; a test says when it is stale.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
import tempfile
from pathlib import Path

from switch.defaults import create_defaults
from tests import forked
from tests.tools.kit import CHECKOUT

PAGE = CHECKOUT / "docs" / "keys.md"
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.DOTALL | re.MULTILINE)
# A command is a line behind "$ ", with its here-document.
COMMAND = re.compile(r"^\$ (.*?<<'END'\n.*?^END|.*?)$", re.DOTALL | re.MULTILINE)
# What differs from run to run, and what the page shows instead.
VOLATILE = (
    (re.compile(r"^D0144M6AC00E0000[0-9A-F]+$", re.MULTILINE), "D0144M6AC00E0000" + "9C" * 64),
    (re.compile(r"(KCV|check_value) (?!377822)[0-9A-F]{6}"), r"\1 4F2A91"),  # but the zone key's own
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d"), "2026-09-01T08:30:00"),
    (re.compile(r"^(936400\*+\d{4}  3012  101  )\d{3}$", re.MULTILINE), r"\g<1>512"),
    (re.compile(r"until \d{4}-\d\d-\d\d"), "until 2026-12-01"),
)


def rendered(page: str) -> str:
    """The page with the output of every command as it is now."""
    with tempfile.TemporaryDirectory() as directory:
        create_defaults(Path(directory) / "data")
        return BLOCK.sub(lambda block: _run_block(block[1], Path(directory)), page)


def _run_block(block: str, directory: Path) -> str:
    shown = ""
    for command in COMMAND.findall(block):
        ended = forked.shown(command, directory, _environment(directory))
        assert ended.returncode == 0, ended.stdout
        shown += f"$ {command}\n{_settled(ended.stdout)}"
    return f"```console\n{shown}```"


def _settled(output: str) -> str:
    for pattern, instead in VOLATILE:
        output = pattern.sub(instead, output)
    return re.sub(r" +$", "", output, flags=re.MULTILINE)


def _environment(directory: Path) -> dict[str, str]:
    command = directory / "bin" / "vafa"
    if not command.exists():
        command.parent.mkdir()
        program = f"exec {shlex.quote(sys.executable)} -c 'from tools.cli import main; main()' \"$@\"\n"
        command.write_text(f"#!/bin/sh\n{program}")
        command.chmod(0o755)
    path = f"{command.parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONPATH": str(CHECKOUT), "COLUMNS": "100"}


if __name__ == "__main__":
    PAGE.write_text(rendered(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
