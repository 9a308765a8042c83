"""A new device profile: a `terminal.toml` that says in comments what may be written in it."""

from __future__ import annotations

from typing import Final

from terminal.doors import KINDS
from tools.fw_profile import UART, Board

_WHAT: Final = {
    "reader": "magnetic stripe reader",
    "tap": "contactless reader",
    "chip": "contact chip reader",
    "scanner": "barcode and QR scanner",
    "keypad": "keys",
    "printer": "receipt printer",
    "display": "128 x 64 dots",
    "service": "port that keys are loaded through",
    "till": "cash register",
    "modem": "modem, dial-up or GPRS; its lines are in [settings]",
    "line": "line to the switch: how is in [settings]",
}
_REST: Final = """\

[settings]  # of all terminals of this profile; what is missing comes from the switch at flashing
locale = "fa"  # of screens: "fa" or "en"
receipt_locales = ["fa"]  # of receipts, one copy each
# host = "192.0.2.10"  # of the switch, as seen from the shop
# port = 8583
# tpdu = "6000030000"  # 10 hexadecimal digits; left away: none
# answer_timeout_ms = 15000
# lines = [{ kind = "tcp" }]  # first choice first: "tcp", "dial" (numbers), "gprs" (access_point)

# [network]  # of boards with a wireless network; its password is asked at flashing
# ssid = "shop"
# country = "IR"
# tls = true  # the line to the switch; its certificates are given at flashing: --tls

# [storage]  # in KiB; at most what the board has
# data_kib = 512

# [budget]  # in KiB of compiled modules; a build over it fails and names the largest; a board may have more
# code_kib = 146
# fonts_kib = 39

[signing]  # who may sign software for these terminals
needed = 1  # so many different keys must have signed
keys = []  # public keys, 128 hexadecimal digits each; `vafa fw key FILE.pem` prints one. None: no updates
"""


def template(board: Board, model: str) -> str:
    """The profile's text. Devices that the board has anyway stand there in comments."""
    lines = [
        f"# Device profile of {model}. `vafa fw check` explains mistakes; docs/boards.md tells the rest.",
        "",
        "[device]",
        f'board = "{board.name}"  # or the path of a board file of your own',
        f'model = "{model}"  # up to 16 ASCII letters; a terminal takes only software for its model',
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
    return "\n".join(lines) + "\n" + _REST


def _example(board: Board, kind: str) -> str:
    if board.has_paths:
        return f'{{ kind = "{kind}" }}'
    taken = {device.get(UART) for device in board.content["devices"].values()}
    free = next((number for number in board.uarts if number not in taken), 0)
    return f'{{ kind = "{kind}", uart = {free}, baud = 9600 }}'


def _inline(device: dict[str, object]) -> str:
    def value(given: object) -> str:
        return f'"{given}"' if isinstance(given, str) else str(given)

    return (
        "{ " + ", ".join(f"{name} = {value(given)}" for name, given in device.items()) + " }"
        if device
        else "{}"
    )
