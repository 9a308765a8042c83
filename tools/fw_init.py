"""A new device profile: a `terminal.toml` that says in comments what may be written in it."""

from __future__ import annotations

import json
import os
import re
import unicodedata
from pathlib import Path
from typing import Final

from terminal.doors import KINDS
from tools.cli import CommandError, ExitCode
from tools.fw_board import BOARDS
from tools.fw_profile import MODEL, MODEL_LONGEST, UART, Board

_WHAT: Final = {
    "reader": "magnetic stripe reader",
    "tap": "contactless reader",
    "chip": "contact chip reader",
    "scanner": "barcode and QR scanner; prefix, ends_by_line: docs/devices.md",
    "keypad": "keys",
    "printer": "receipt printer; width = 576 on 80 mm, handshake, cuts, tells_after: docs/screens.md",
    "display": "128 x 64 dots",
    "service": "port that keys are loaded through",
    "till": "cash register",
    "modem": "modem, dial-up or GPRS; its lines are in [settings]",
    "line": "line to the switch: how is in [settings]",
}
_WIRED: Final = """\
# [network]  # this board is in its network anyway
# tls = true  # the line to the switch; its certificates are given at flashing: --tls
"""
_WIRELESS: Final = """\
[network]  # wireless; a terminal whose lines are all over a modem needs none
ssid = "shop"  # yours; its password is asked at flashing
# country = "IR"
# tls = true  # the line to the switch; its certificates are given at flashing: --tls
"""
_REST: Final = """\

[settings]  # of all terminals of this profile; what is missing comes from the switch at flashing
locale = "fa"  # of screens: "fa" or "en"
receipt_locales = ["fa"]  # of receipts, one copy each
# host = "192.0.2.10"  # of the switch, as seen from the shop
# port = 8583
# tpdu = "6000030000"  # 10 hexadecimal digits; left away: none
# answer_timeout_ms = 15000
# lines = [{ kind = "tcp" }]  # first choice first: "tcp", "dial" (numbers), "gprs" (access_point)

{network}
# [storage]  # in KiB; at most what the board has
# data_kib = 512

# [budget]  # in KiB of compiled modules; a build over it fails and names the largest; a board may have more
# code_kib = 147
# fonts_kib = 39

[signing]  # who may sign software for these terminals
needed = 1  # so many different keys must have signed
keys = []  # public keys, 128 hexadecimal digits each; `vafa fw key FILE.pem` prints one. None: no updates
"""


def model_of(told: str | None, directory: Path) -> str:
    """A model by what was told, or by the directory's name, of which what a model may not have is left away.
    Raises CommandError."""
    if told is None:
        letters = unicodedata.normalize("NFKD", directory.resolve().name).encode("ascii", "ignore").decode()
        derived = re.sub(r"[^A-Z0-9._-]+", "-", letters.upper()).strip("-._")[:MODEL_LONGEST]
        return derived or "TERMINAL"
    if not MODEL.fullmatch(told.upper()):
        raise CommandError(
            f"--model {told!r}: expected 1 to {MODEL_LONGEST} ASCII letters, digits, '-', '_', '.'",
            ExitCode.USAGE,
            "for example --model SHOP-1",
        )
    return told.upper()


def template(board: Board, model: str, directory: Path) -> str:
    """The text of a profile in a directory. Devices that the board has anyway stand there in comments."""
    is_ours = board.path.parent == BOARDS
    named = (
        board.name
        if is_ours
        else os.path.relpath(board.path.with_suffix("").absolute(), directory.absolute())
    )
    lines = [
        f"# Device profile of {model}. `vafa fw check` explains mistakes; docs/boards.md tells the rest.",
        "",
        "[device]",
        f"board = {_value(named)}  # or the path of a board file of your own",
        f'model = "{model}"  # up to 16 letters, digits, "-", "_", "."; only its software is taken',
        "version = 1  # of the software; only rises",
        "replaces = 0  # the oldest version that may be updated to this one",
        "",
        "# One line a device. What the board has anyway is in comments; `door = false` leaves one out.",
        "[devices]",
    ]
    for door in dict.fromkeys(row[0] for row in KINDS):
        kinds = [row[1] for row in KINDS if row[0] == door]
        what = f"{_WHAT.get(door, 'device')}; kinds: {', '.join(kinds)}"
        given = board.content["devices"].get(door)
        lines.append(
            f"# {door} = {_inline(given) if given is not None else _example(board, kinds[0])}  # {what}"
        )
    return "\n".join(lines) + "\n" + _REST.replace("{network}", _WIRED if board.has_paths else _WIRELESS)


def _example(board: Board, kind: str) -> str:
    if board.has_paths:
        return f'{{ kind = "{kind}" }}'
    taken = [device.get(UART) for device in board.content["devices"].values()]
    taken.append(board.content["serial"].get("console_uart"))
    free = next((number for number in board.uarts if number not in taken), 0)
    return f'{{ kind = "{kind}", uart = {free}, baud = 9600 }}'


def _inline(device: dict[str, object]) -> str:
    told = ", ".join(f"{name} = {_value(given)}" for name, given in device.items())
    return f"{{ {told} }}" if told else "{}"


def _value(given: object) -> str:
    return json.dumps(given, ensure_ascii=False)  # what a device has is written alike in TOML
