"""What a command handler is given and gives back: the state of the box, one parsed request with its LMK, an
answer. Handlers are pure functions of a Call; nothing here reads sockets, files or clocks by itself.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final, NamedTuple

from switch.hsm.crypto.pin_verifier import PinVerifier
from switch.hsm.crypto.transaction_keys import TransactionKeys
from switch.hsm.crypto.verification import KeyedCvv
from switch.hsm_sim.audit import AuditEvent
from switch.hsm_sim.authorised import AuthorisedState
from switch.hsm_sim.errors import OK, Refused
from switch.hsm_sim.fields import Suffix, Token
from switch.hsm_sim.key_usage import OPERANDS, needs_officers
from switch.hsm_sim.slots import OpenKey, Random, Slot, Slots

# Base derivation keys whose terminals' keys are kept, keys of PIN verifiers and card values that are set up.
MOST_BASE_KEYS: Final = 16
MOST_VERIFIERS: Final = 64
MOST_CARD_VALUES: Final = 64
# Keys that an operand of a command has accepted: the same token there again needs no second look.
MOST_ACCEPTED: Final = 4096

_Place = tuple[str, str, str, str, str | None, bool, Token]


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
    accepted: dict[_Place, OpenKey] = field(default_factory=dict, repr=False)
    _transactions: dict[bytes, TransactionKeys] = field(default_factory=dict, repr=False)
    _verifiers: dict[bytes, PinVerifier] = field(default_factory=dict, repr=False)
    _card_values: dict[bytes, KeyedCvv] = field(default_factory=dict, repr=False)

    def transactions(self, base_key: bytes) -> TransactionKeys:
        """The terminals' keys of an AES base derivation key; those of a few are kept."""
        kept = self._transactions.get(base_key)
        if kept is None:
            if len(self._transactions) >= MOST_BASE_KEYS:
                oldest = next(iter(self._transactions))
                self._transactions.pop(oldest).close()
            kept = self._transactions[base_key] = TransactionKeys(base_key)
        return kept

    def verifier(self, key: bytes) -> PinVerifier:
        """What makes and checks PIN verifiers under a key; a few are kept."""
        kept = self._verifiers.get(key)
        if kept is None:
            if len(self._verifiers) >= MOST_VERIFIERS:
                del self._verifiers[next(iter(self._verifiers))]
            kept = self._verifiers[key] = PinVerifier(key)
        return kept

    def card_values(self, key: bytes) -> KeyedCvv:
        """What makes card verification values under a key; a few are kept. Raises ValueError for a key that
        is no pair."""
        kept = self._card_values.get(key)
        if kept is None:
            if len(self._card_values) >= MOST_CARD_VALUES:
                del self._card_values[next(iter(self._card_values))]
            kept = self._card_values[key] = KeyedCvv(key)
        return kept


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
        state, token = self.state, self.request[operand]
        place = (self.slot.identifier, self.code, operand, case, key_type, self.named, token)
        opened = state.accepted.get(place)
        if opened is None:
            accepted = OPERANDS[(self.code, f"{operand} {case}" if case else operand)]
            opened = state.slots.open(self.slot, token, accepted, key_type, strict=self.named)
            if len(state.accepted) >= MOST_ACCEPTED:
                state.accepted.clear()
            state.accepted[place] = opened
        return opened

    def require_officers(self, action: str, key: str) -> None:
        """Raises Refused 17 unless two officers allow this now, or nobody has to."""
        if needs_officers(action, key) and not self.state.authorised.allows(action, key, self.state.clock()):
            raise Refused("17", f"{action}.{key}.host is not authorised")

    def recorded(self, action: str, details: Mapping[str, str]) -> AuditEvent:
        """What the audit log says of a key command."""
        return AuditEvent(action, {"command": self.code, "lmk": self.slot.identifier, **details})
