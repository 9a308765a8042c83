"""Messages as a registered terminal sends them now: its identity, a fresh number and time, its MAC
under a fresh key serial.

For trying a switch by hand with the settings it wrote for a terminal. Keys are read here and never shown.
"""

from __future__ import annotations

import fcntl
import json
import re
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from switch.iso8583 import Dialect, EncodeError, Message, Value
from tools.cli import CommandError, ExitCode

if TYPE_CHECKING:
    from simulators.terminal_keys import TerminalKeys, Transmission

KEY_SERIAL = "53"
# Fields that carry the moment: number -> how strftime writes it, by the length of the value that was there.
MOMENTS = {
    "7": {10: "%m%d%H%M%S"},
    "12": {6: "%H%M%S", 12: "%y%m%d%H%M%S", 14: "%Y%m%d%H%M%S"},
    "13": {4: "%m%d"},
}
UTC_FIELD = "7"


class Terminal:
    """Who sends: DE 41, DE 42 and its keys. counters: the file that keeps where its key serials stand, so
    that none is used twice; a terminal that real firmware uses has its own count and must not share it."""

    def __init__(self, identifier: str, acceptor: str, keys: TerminalKeys, counters: Path) -> None:
        self.id = identifier
        self.acceptor = acceptor
        self._keys = keys
        self._counters = counters
        self._sent: list[Transmission] = []

    def signed(self, dialect: Dialect, message: Message) -> bytes:
        """`message` from this terminal, with its key serial and MAC. CommandError when the dialect has
        none."""
        known: dict[str, Value] = {"41": self.id, "42": self.acceptor}
        transmission = self._next()
        fields = {path: known.get(path, value) for path, value in message.fields.items()}
        fields[KEY_SERIAL] = transmission.field_53
        try:
            body = dialect.encode_body(Message(message.mti, fields, dialect.dictionary))
        except EncodeError as error:
            raise CommandError(
                f"no MAC can be made: {error}", ExitCode.NEGATIVE, "another --dialect"
            ) from None
        self._sent.append(transmission)
        return body + transmission.request_mac(body)

    def mac_is_right(self, dialect: Dialect, answer: bytes) -> bool:
        """Whether the MAC of an answer is that of something this terminal sent; False without one."""
        body, mac = dialect.split_mac(answer)
        return any(transmission.is_genuine(body, mac) for transmission in self._sent)

    def _next(self) -> Transmission:
        """The next serial, noted as used before anybody sees it."""
        try:
            with self._counters.open("a+", encoding="ascii") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                file.seek(0)
                self._keys.next_counter = max(self._keys.next_counter, int(file.read() or 0))
                transmission = self._keys.transmission()
                file.truncate(0)
                file.write(str(self._keys.next_counter))
        except (OSError, ValueError):
            raise CommandError(
                f"{self._counters}: can't keep the terminal's key serials",
                ExitCode.CONFIGURATION,
                "check the file and its directory",
            ) from None
        return transmission


def read_terminal(file: Path) -> Terminal:
    """The terminal whose settings a switch wrote as terminals/ID.json."""
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
        from simulators.terminal_keys import TerminalKeys  # here, for most verbs have no keys

        keys = TerminalKeys.of(told)
        return Terminal(
            str(told["terminal_id"]), str(told["acceptor_id"]), keys, file.with_suffix(".counter")
        )
    except OSError as error:
        what = error.strerror
    except (ValueError, KeyError, TypeError):
        what = "no settings of a terminal with its identity and keys"
    raise CommandError(f"{file}: {what}", ExitCode.CONFIGURATION, "name DATA/terminals/ID.json of the switch")


def fresh(message: Message, now: datetime) -> Message:
    """`message` of this moment: a new number in 11, local date and time in 12 and 13, UTC in 7, where it has
    them."""
    fields: dict[str, Value] = dict(message.fields)
    for path, forms in MOMENTS.items():
        value = fields.get(path)
        form = forms.get(len(value)) if isinstance(value, str) else None
        if form is not None:
            fields[path] = (now.astimezone(UTC) if path == UTC_FIELD else now).strftime(form)
    number = fields.get("11")
    if isinstance(number, str) and re.fullmatch("[0-9]+", number):
        fields["11"] = f"{1 + secrets.randbelow(10 ** min(len(number), 6) - 1):0{len(number)}}"
    return Message(message.mti, fields)
