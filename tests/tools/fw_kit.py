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
{network}
[settings]
locale = "fa"

[budget]
code_kib = 146

[signing]
needed = {needed}
keys = [{keys}]
"""


# A public key, as profiles have it: the generator of P-256.
KEY = (
    "6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296"
    "4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5"
)


class Told(NamedTuple):
    """What a command said and how it ended."""

    code: int
    out: str
    err: str


PASSWORD = "the shop's network\n"  # asked when a board with a wireless network is flashed


def fw(*arguments: object, given: str = PASSWORD) -> Told:
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
    directory: Path,
    board: str = "unix",
    devices: str = "",
    keys: tuple[str, ...] = (),
    needed: int = 1,
    network: str = "",
) -> Path:
    """A profile file. A board with a chip gets the name of its network."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "terminal.toml"
    shown = ", ".join(f'"{key}"' for key in keys)
    network = "\n".join(filter(None, (network, "" if board == "unix" else 'ssid = "shop"')))
    table = f"\n[network]\n{network}\n" if network else ""
    text = PROFILE.format(board=board, devices=devices, keys=shown, needed=needed, network=table)
    path.write_text(text, "utf-8")
    return path
