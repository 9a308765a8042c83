"""The adapters of the HSM port as the contract suite meets them: each with a way to hold keys a test knows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from switch.hsm.crypto.check_values import check_value
from switch.hsm.crypto.key_blocks import Header
from switch.hsm.crypto.master_keys import BlockMasterKey
from switch.hsm.inputs import ALGORITHMS
from switch.hsm.port import Capability, Fault, Hsm, HsmError, Key, KeyAlgorithm, KeyUse

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

Known = dict[KeyUse, Key]


@dataclass(frozen=True)
class Box:
    """One adapter. put: brings a clear key in. tokens: whether references are tokens of a master key."""

    name: str
    hsm: Hsm
    runner: asyncio.Runner
    put: Callable[[KeyUse, bytes, str], Key]
    tokens: bool

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

    def key(self, use: KeyUse, clear: bytes, *, exportable: bool = False) -> Key:
        return self.put(use, clear, "E" if exportable else "N")

    def a_key(self, use: KeyUse, *, exportable: bool = False) -> Key:
        """Any key of a use."""
        _, size = ALGORITHMS[use][0].value
        return self.key(use, bytes(range(1, size + 1)), exportable=exportable)


def letter_of(use: KeyUse, size: int) -> str:
    """The algorithm of a key of this use and size; where both fit: AES."""
    return next(one.value[0] for one in ALGORITHMS[use] if one.value[1] == size)


def token(
    master: BlockMasterKey, use: KeyUse, clear: bytes, exportability: str, letter: str = "", mode: str = ""
) -> Key:
    """A token made outside the box, under a master key that the test knows too."""
    letter = letter or letter_of(use, len(clear))
    header = Header(
        version="1",
        usage=use.value,
        algorithm=letter,
        mode=mode or MODES[use],
        exportability=exportability,
    )
    return Key(master.wrap(header, clear), use, check_value(clear, letter))


def algorithms(use: KeyUse) -> tuple[KeyAlgorithm, ...]:
    return ALGORITHMS[use]
