"""The commands of a terminal's transaction in their usual form, straight from the request's bytes to the
answer's: MACs under AES DUKPT, a PIN by its verifier, a card's verification value.

What is right is answered here, and nothing else: whatever is wrong or unusual in a request is left to the
handlers, who say what. Both give the same answers; tests hold them against each other.
"""

from __future__ import annotations

from binascii import hexlify
from collections.abc import Callable
from typing import Final, NamedTuple

from switch.hsm.crypto.ciphers import same
from switch.hsm_sim.call import MOST_ACCEPTED, State
from switch.hsm_sim.cuts import cut_of
from switch.hsm_sim.errors import Refused
from switch.hsm_sim.fields import Token
from switch.hsm_sim.framing import COMMAND_BYTES, answer_command
from switch.hsm_sim.key_usage import OPERANDS
from switch.hsm_sim.layouts import COMMANDS


class Act(NamedTuple):
    """How requests of one form are answered: with `answered`'s bytes behind the answer's `command`. The name
    is for the counters. `answered` gives None, or raises ValueError or Refused, for the handlers to look."""

    answered: Callable[[bytes], bytes | None]
    command: bytes
    name: str


FORM_BYTES: Final = 2  # of a request's body: they say which form it may have
MAC_BYTES: Final = 8
_SUFFIX_BYTES: Final = 3  # `%` and two digits: without a named LMK there is more to decide

_VERIFY_REQUEST = cut_of(COMMANDS["XA"].request, mode="1", direction="1")
_MAKE_RESPONSE = cut_of(COMMANDS["XA"].request, mode="4", direction="2")
_VERIFY_PIN = cut_of(COMMANDS["XK"].request, source="D", source_format="48")
_VERIFY_CARD = cut_of(COMMANDS["CY"].request)


class _Keys(dict[tuple[bytes, bytes], bytes]):
    """Clear keys that one operand of a command accepted, by token and suffix. Bounded: all leave at once."""

    __slots__ = ("_operand", "_state")

    def __init__(self, state: State, code: str, operand: str) -> None:
        super().__init__()
        self._state, self._operand = state, OPERANDS[code, operand]

    def __repr__(self) -> str:
        return f"<_Keys {len(self)}>"

    def __missing__(self, place: tuple[bytes, bytes]) -> bytes:
        """Raises Refused, ValueError."""
        token, suffix = place
        slots = self._state.slots
        named = suffix[1:].decode("ascii")
        if len(suffix) != _SUFFIX_BYTES or suffix[:1] != b"%" or named not in slots:
            raise ValueError("no LMK is named, or there is more behind the fields")
        opened = slots.open(
            slots[named], Token("S", token[1:].decode("ascii")), self._operand, None, strict=True
        )
        if len(self) >= MOST_ACCEPTED:
            self.clear()
        self[place] = opened.key
        return opened.key


class Usual:
    """What answers requests of the usual forms. For one box."""

    __slots__ = ("_bases", "_card_keys", "_pin_bases", "_state", "_verifiers", "acts")

    def __init__(self, state: State) -> None:
        self._state = state
        self._bases = _Keys(state, "XA", "bdk")
        self._pin_bases = _Keys(state, "XK", "source_key D")
        self._verifiers = _Keys(state, "XK", "verifier_key")
        self._card_keys = _Keys(state, "CY", "cvk")
        # By command and the first bytes of the body.
        self.acts: dict[bytes, Act] = {
            form: Act(answered, answer_command(form[:COMMAND_BYTES]), form[:COMMAND_BYTES].decode())
            for form, answered in (
                (b"XA11", self._verify_request),
                (b"XA42", self._make_response),
                (b"XKDS", self._verify_pin),
                (b"CYS0", self._verify_card),
                (b"CYS1", self._verify_card),
            )
        }

    def answer(self, command: bytes, body: bytes) -> bytes | None:
        """The answer's body from its error code on, or None: the handlers have to look at it."""
        act = self.acts.get(command + body[:FORM_BYTES])
        try:
            return None if act is None else act.answered(body)
        except (ValueError, Refused):
            return None

    def _verify_request(self, body: bytes) -> bytes | None:
        cut = _VERIFY_REQUEST(body)
        if cut is None:
            return None
        token, serial, mac, data, suffix = cut
        keys = self._state.transactions(self._bases[token, suffix])
        return b"00" if same(keys.request_mac(serial, data)[:MAC_BYTES], mac) else None

    def _make_response(self, body: bytes) -> bytes | None:
        cut = _MAKE_RESPONSE(body)
        if cut is None:
            return None
        token, serial, data, suffix = cut
        keys = self._state.transactions(self._bases[token, suffix])
        mac = keys.response_mac(serial, data)[:MAC_BYTES]
        keys.forget(serial)  # the transaction is over
        return b"00" + hexlify(mac).upper()

    def _verify_pin(self, body: bytes) -> bytes | None:
        cut = _VERIFY_PIN(body)
        if cut is None:
            return None
        token, serial, verifier_token, block, card, binding, verifier, suffix = cut
        keys = self._state.transactions(self._pin_bases[token, suffix])
        checking = self._state.verifier(self._verifiers[verifier_token, suffix])
        pin = keys.open_pin(serial, block, card)
        return b"00" if checking.matches(pin, binding, verifier) else None

    def _verify_card(self, body: bytes) -> bytes | None:
        cut = _VERIFY_CARD(body)
        if cut is None:
            return None
        token, value, card, expiry, service, suffix = cut
        values = self._state.card_values(self._card_keys[token, suffix])
        return b"00" if same(values.value(card, expiry, service), value) else None
