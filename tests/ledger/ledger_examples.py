"""The commands shown in docs/ledger.md, run for real. `python -m tests.ledger.ledger_examples` writes their
output into the page again; a test says when it is stale.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
import tempfile
from pathlib import Path

from switch.defaults import create_defaults
from switch.keys import checkpoint_mac
from switch.ledger.backup import back_up
from switch.ledger.checkpoint import CheckpointFile
from switch.settings import Settings
from tests import forked
from tests.ledger.archived import Archived
from tests.ledger.book import Request, Terms
from tests.ledger.conftest import schema_url

CHECKOUT = Path(__file__).resolve().parent.parent.parent
PAGE = CHECKOUT / "docs" / "ledger.md"
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.DOTALL | re.MULTILINE)
# What differs from run to run, and what the page shows instead.
VOLATILE = (
    (re.compile(r"read in \d+\.\d s"), "read in 0.1 s"),
    (re.compile(r"before-\d{8}T\d{6}"), "before-20260923T181502"),
)


def write_example(directory: Path) -> None:
    """Two members and three days, archived; a backup of the first."""
    settings = create_defaults(directory / "data")
    owner = Archived(settings.ledger_path, settings.seal_key)
    owner.commit(Request("activate", 1, card=1), Request("activate", 2, card=2))
    _checkpoint(settings, owner)
    with checkpoint_mac(settings) as mac:
        back_up(settings.ledger_path, settings.checkpoint_path, directory / "copies" / "sunday", mac)
    lasting = Terms(lasts=30)
    owner.commit(Request("earn", 4, 1, points=250, amount=2_500_000, terms=lasting))
    owner.commit(Request("earn", 5, 2, points=30, amount=300_000, terms=lasting))
    owner.book.pass_days(1)
    owner.commit(Request("redeem", 6, 1, points=100, amount=10_000), Request("redeem", 7, 1, points=999))
    _checkpoint(settings, owner)
    owner.book.pass_days(1)
    owner.commit(Request("hold", 8, 1, points=50), Request("earn", 9, 1, 40, terms=Terms(pending_days=3)))
    owner.commit(Request("redeem", 10, 2, points=5_000))
    owner.archive.close()
    owner.book.engine.close()
    secret = settings.data / "ledger.url"
    secret.write_text(schema_url(directory), encoding="ascii")
    secret.chmod(0o600)


def _checkpoint(settings: Settings, owner: Archived) -> None:
    with checkpoint_mac(settings) as mac:
        made = CheckpointFile(settings.checkpoint_path, mac).append(
            owner.book.engine.heads(), owner.book.now_ms
        )
    assert made is not None
    owner.book.engine.note_checkpoint(made.number, made.mac)


def rendered(page: str) -> str:
    """The page with the output of every command as it is now."""
    with tempfile.TemporaryDirectory() as directory:
        write_example(Path(directory))
        return BLOCK.sub(lambda block: _run_block(block[1], Path(directory)), page)


def _run_block(block: str, directory: Path) -> str:
    shown = ""
    for command in re.findall(r"^\$ (.*)$", block, re.MULTILINE):
        ended = forked.shown(command, directory, _environment(directory))
        assert ended.returncode == 0, ended.stdout
        shown += f"$ {command}\n{_settled(ended.stdout)}"
    return f"```console\n{shown}```"


def _settled(output: str) -> str:
    for pattern, instead in VOLATILE:
        output = pattern.sub(instead, output)
    return output


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
