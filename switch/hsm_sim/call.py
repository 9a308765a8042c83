"""What a command handler is given and gives back: the state of the box, one parsed request with its LMK, an
answer. Handlers are pure functions of a Call; nothing here reads sockets, files or clocks by itself.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final, NamedTuple

from switch.hsm.crypto.dukpt_aes import Deriver
from switch.hsm_sim.audit import AuditEvent
from switch.hsm_sim.authorised import AuthorisedState
from switch.hsm_sim.errors import OK, Refused
from switch.hsm_sim.fields import Suffix, Token
from switch.hsm_sim.key_usage import OPERANDS, needs_officers
from switch.hsm_sim.slots import OpenKey, Random, Slot, Slots

# Base derivation keys whose derivers are kept with their parent keys.
MOST_DERIVERS: Final = 16


@dataclass(frozen=True, slots=True)
class Limits:
    """What an installation allows. allowed_formats: PIN block formats that translation takes beside 01, 47
    and 48: 05 as a source, 03 both ways."""

    allowed_formats: frozenset[str] = frozenset()


@dataclass(slots=True)
class State:
    """All that handlers can know of a box. clock: seconds, monotonic."""

    slots: Slots
    limits: Limits = field(default_factory=Limits)
    authorised: AuthorisedState = field(default_factory=AuthorisedState)
    random: Random = os.urandom
    clock: Callable[[], float] = monotonic
    derivers: dict[bytes, Deriver] = field(default_factory=dict, repr=False)

    def deriver(self, base_key: bytes) -> Deriver:
        """The deriver of an AES base derivation key; a few are kept."""
        deriver = self.derivers.get(base_key)
        if deriver is None:
            if len(self.derivers) >= MOST_DERIVERS:
                self.derivers.clear()
            deriver = self.derivers[base_key] = Deriver(base_key)
        return deriver


class Answer(NamedTuple):
    """What a handler found. fields: of the layout's answer. code: 00 or one of the layout's warnings.
    event: to be recorded before the answer goes out."""

    fields: dict[str, Any]
    code: str = OK
    event: AuditEvent | None = None
    cancels_authorisation: bool = False


class Call(NamedTuple):
    """One request on its way through a handler. named: the request said which LMK."""

    state: State
    code: str
    request: Any
    suffix: Suffix
    slot: Slot
    named: bool

    def __repr__(self) -> str:
        return f"<Call {self.code}>"

    def key(self, operand: str, case: str = "", key_type: str | None = None) -> OpenKey:
        """The key of an operand, if the table allows it here. case: a name after the operand in the table.
        key_type: what the request says of it. Raises Refused."""
        accepted = OPERANDS[(self.code, f"{operand} {case}" if case else operand)]
        token: Token = self.request[operand]
        return self.state.slots.open(self.slot, token, accepted, key_type, strict=self.named)

    def require_officers(self, action: str, key: str) -> None:
        """Raises Refused 17 unless two officers allow this now, or nobody has to."""
        if needs_officers(action, key) and not self.state.authorised.allows(action, key, self.state.clock()):
            raise Refused("17", f"{action}.{key}.host is not authorised")

    def recorded(self, action: str, details: Mapping[str, str]) -> AuditEvent:
        """What the audit log says of a key command."""
        return AuditEvent(action, {"command": self.code, "lmk": self.slot.identifier, **details})
