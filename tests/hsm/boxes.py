"""The adapters of the HSM port as the contract suite meets them, each with a way to bring known keys in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest

from switch.hsm.crypto.check_values import check_value
from switch.hsm.crypto.ciphers import odd_parity
from switch.hsm.crypto.key_blocks import Header
from switch.hsm.crypto.master_keys import BlockMasterKey
from switch.hsm.inputs import ALGORITHMS
from switch.hsm.port import Capability, Fault, Hsm, HsmError, Key, KeyUse

Result = TypeVar("Result")

MODES = {
    KeyUse.ZONE: "B",
    KeyUse.TRANSPORT: "B",
    KeyUse.BASE_DERIVATION: "X",
    KeyUse.INITIAL: "X",
    KeyUse.PIN: "B",
    KeyUse.MAC: "C",
    KeyUse.MAC_TDES: "C",
    KeyUse.MAC_HMAC: "C",
    KeyUse.DATA: "B",
    KeyUse.PIN_VALUE: "C",
    KeyUse.CARD_VALUE: "C",
    KeyUse.PIN_VERIFIER: "C",
    KeyUse.CARD_MASTER: "X",
}

EVERYTHING = (
    Capability.RANDOM
    | Capability.KEYS
    | Capability.KEY_BLOCKS
    | Capability.MAC
    | Capability.MAC_TDES
    | Capability.MAC_HMAC
    | Capability.DUKPT
    | Capability.DUKPT_PIN
    | Capability.INITIAL_KEY
    | Capability.PIN_TRANSLATE
    | Capability.PIN_VALUE
    | Capability.PIN_VERIFIER
    | Capability.CARD_VALUE
    | Capability.CARD_TAP
    | Capability.CARD_CHALLENGE
    | Capability.CARD_PROOF
    | Capability.CARD_KEY
)
# What each adapter must offer, no more and no less.
OFFERED = {
    "in-process": EVERYTHING,
    "payshield": EVERYTHING,
    "payshield over TLS": EVERYTHING,
    "pkcs11": (Capability.RANDOM | Capability.KEYS | Capability.MAC | Capability.MAC_HMAC | Capability.DUKPT),
}


# Keys of a use are made where an operation with them is offered.
NEEDED_FOR = {
    KeyUse.ZONE: Capability.KEY_BLOCKS,
    KeyUse.TRANSPORT: Capability.INITIAL_KEY,
    KeyUse.BASE_DERIVATION: Capability.DUKPT,
    KeyUse.PIN: Capability.PIN_TRANSLATE,
    KeyUse.MAC: Capability.MAC,
    KeyUse.MAC_TDES: Capability.MAC_TDES,
    KeyUse.MAC_HMAC: Capability.MAC_HMAC,
    KeyUse.DATA: Capability.KEY_BLOCKS,  # for others: it is made to be exported
    KeyUse.PIN_VALUE: Capability.PIN_VALUE,
    KeyUse.CARD_VALUE: Capability.CARD_VALUE,
    KeyUse.PIN_VERIFIER: Capability.PIN_VERIFIER,
    KeyUse.CARD_MASTER: Capability.CARD_TAP,
}


def for_boxes(*needed: Capability) -> pytest.MarkDecorator:
    """Runs a test on each adapter that offers all of these."""
    names = [name for name, offered in OFFERED.items() if all(one in offered for one in needed)]
    return pytest.mark.parametrize("box", names, indirect=True)


@dataclass(frozen=True)
class Box:
    """One adapter. put: brings a clear key in. tokens: whether references are tokens of a master key."""

    name: str
    hsm: Hsm
    runner: asyncio.Runner
    put: Callable[[KeyUse, bytes, str, str], Key]
    tokens: bool
    master_key_id: str = "00"

    def run(self, call: Coroutine[Any, Any, Result]) -> Result:
        return self.runner.run(call)

    def fault_of(self, call: Coroutine[Any, Any, object]) -> Fault:
        """The fault that the call must raise."""
        try:
            result = self.run(call)
        except HsmError as error:
            return error.fault
        raise AssertionError(f"{self.name}: {result!r} instead of a fault")

    def can(self, capability: Capability) -> bool:
        return capability in self.hsm.capabilities

    def key(self, use: KeyUse, clear: bytes, *, exportable: bool = False, letter: str = "") -> Key:
        """letter: of the algorithm, where the size fits AES and TDES; AES otherwise."""
        return self.put(use, clear, "E" if exportable else "N", letter or letter_of(use, len(clear)))

    def a_key(self, use: KeyUse, *, exportable: bool = False) -> Key:
        """Any key of a use."""
        return self.key(use, some_clear(use), exportable=exportable)


MADE = tuple(use for use in KeyUse if ALGORITHMS[use])  # all but a terminal's initial key


def some_clear(use: KeyUse) -> bytes:
    letter, size = ALGORITHMS[use][0].value if ALGORITHMS[use] else ("A", 16)
    clear = bytes(range(1, size + 1))
    return odd_parity(clear) if letter == "T" else clear


def letter_of(use: KeyUse, size: int) -> str:
    """The algorithm of a key of this use and size; where both fit: AES."""
    return next((one.value[0] for one in ALGORITHMS[use] if one.value[1] == size), "A")


def token(
    master: BlockMasterKey,
    use: KeyUse,
    clear: bytes,
    exportability: str,
    letter: str,
    *,
    master_key_id: str = "00",
) -> Key:
    """A token made outside the box, under a master key that the test knows too."""
    header = Header(
        version="1",
        usage=use.value,
        algorithm=letter,
        mode=MODES[use],
        exportability=exportability,
        reserved=master_key_id,
    )
    return Key(master.wrap(header, clear), use, check_value(clear, letter))
