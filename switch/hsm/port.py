"""The HSM port: the operations, named as the switch means them. Adapters must answer alike.

Operations are coroutines because a real box is behind a network; the in-process adapter never waits in them.
"""

from __future__ import annotations

from typing import Protocol

MAC_BYTES = 8  # the length of a message MAC on the wire: AES-CMAC cut to its left half


class UnknownKey(LookupError):
    """No key has this name. The text is the name, never the key."""


class Hsm(Protocol):
    """Keys are named: `terminal/<DE 41>/request`, `terminal/<DE 41>/answer`, `ledger/checkpoint`."""

    async def mac_generate(self, key: str, data: bytes) -> bytes:
        """AES-CMAC (NIST SP 800-38B) of `data`, left 8 bytes. Raises UnknownKey."""
        ...

    async def mac_verify(self, key: str, data: bytes, mac: bytes) -> bool:
        """True when `mac` (8 bytes) is the AES-CMAC of `data`; compared in constant time. Raises
        UnknownKey."""
        ...
