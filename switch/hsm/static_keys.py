"""MACs under static keys that this process holds by name; no part of the HSM port."""

from __future__ import annotations

import hmac
from collections.abc import Mapping

from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.cmac import CMAC

from switch.hsm.port import MAC_BYTES


class UnknownKey(LookupError):
    """No key has this name. The text is the name, never the key."""


class StaticKeyHsm:
    """Holds AES keys (16, 24 or 32 bytes) by name. Its operations never wait."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        # A keyed CMAC object is copied for each message: four times faster than keying a new one.
        self._macs = {name: CMAC(AES(key)) for name, key in keys.items()}

    def __repr__(self) -> str:
        return f"StaticKeyHsm({len(self._macs)} keys)"

    def mac(self, key: str, data: bytes) -> bytes:
        """AES-CMAC of `data` cut to 8 bytes. Raises UnknownKey."""
        try:
            keyed = self._macs[key]
        except KeyError:
            raise UnknownKey(key) from None
        running = keyed.copy()
        running.update(data)
        return running.finalize()[:MAC_BYTES]

    async def mac_generate(self, key: str, data: bytes) -> bytes:
        return self.mac(key, data)

    async def mac_verify(self, key: str, data: bytes, mac: bytes) -> bool:
        return hmac.compare_digest(self.mac(key, data), mac)
