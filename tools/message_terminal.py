"""Messages as a registered terminal sends them now: its identity, a fresh number and time, its MAC.

For trying a switch by hand with the settings it wrote for a terminal. Keys are read here and never shown.
"""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hmac import compare_digest
from pathlib import Path

from switch.hsm import StaticKeyHsm
from switch.iso8583 import Dialect, EncodeError, Message, Value
from tools.cli import CommandError, ExitCode

REQUEST, ANSWER = "request", "answer"
# Fields that carry the moment: number -> how strftime writes it, by the length of the value that was there.
MOMENTS = {
    "7": {10: "%m%d%H%M%S"},
    "12": {6: "%H%M%S", 12: "%y%m%d%H%M%S", 14: "%Y%m%d%H%M%S"},
    "13": {4: "%m%d"},
}
UTC_FIELD = "7"


@dataclass(frozen=True, slots=True)
class Terminal:
    """Who sends: DE 41, DE 42, and the MAC keys of both directions."""

    id: str
    acceptor: str
    hsm: StaticKeyHsm = field(repr=False)

    def signed(self, dialect: Dialect, message: Message) -> bytes:
        """`message` from this terminal, with its MAC. CommandError when the dialect has none."""
        known = {"41": self.id, "42": self.acceptor}
        fields = {path: known.get(path, value) for path, value in message.fields.items()}
        try:
            body = dialect.encode_body(Message(message.mti, fields, dialect.dictionary))
        except EncodeError as error:
            raise CommandError(
                f"no MAC can be made: {error}", ExitCode.NEGATIVE, "another --dialect"
            ) from None
        return body + self.hsm.mac(REQUEST, body)

    def mac_is_right(self, dialect: Dialect, answer: bytes) -> bool:
        """Whether the MAC of an answer is that of the answer key; False without one."""
        body, mac = dialect.split_mac(answer)
        return mac is not None and compare_digest(self.hsm.mac(ANSWER, body), mac)


def read_terminal(file: Path) -> Terminal:
    """The terminal whose settings a switch wrote as terminals/ID.json."""
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
        keys = {
            REQUEST: bytes.fromhex(told["mac_request_key"]),
            ANSWER: bytes.fromhex(told["mac_answer_key"]),
        }
        return Terminal(str(told["terminal_id"]), str(told["acceptor_id"]), StaticKeyHsm(keys))
    except OSError as error:
        what = error.strerror
    except (ValueError, KeyError, TypeError):
        what = "no settings of a terminal with its identity and MAC keys"
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
