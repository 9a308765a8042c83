"""Our own PIN verifier: 16 bytes of AES-CMAC that say later whether a PIN is the member's.

Unlike a PVV it is no four-digit value with a thousand PINs behind it, and it doesn't hang on the card number,
so that it outlives a replaced card. Without the key, which only an HSM has, it tells nothing.
"""

from __future__ import annotations

from switch.hsm.crypto.ciphers import same
from switch.hsm.crypto.macs import KeyedCmac
from switch.hsm.crypto.pin_blocks import BAD_PIN, LONGEST_PIN, SHORTEST_PIN, PinBlockError

VERIFIER_BYTES = 16
LONGEST_BINDING = 255  # bytes: its length stands in one byte before it

_LABEL = b"vafa pin 1"
_BEGINNINGS = [_LABEL + bytes((length,)) for length in range(LONGEST_BINDING + 1)]


class PinVerifier:
    """Makes and checks verifiers under one AES key."""

    __slots__ = ("_mac",)

    def __init__(self, key: bytes) -> None:
        self._mac = KeyedCmac(key).mac

    def __repr__(self) -> str:
        return "PinVerifier(hidden)"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a key is not copied or stored")

    def make(self, pin: str, binding: bytes) -> bytes:
        """CMAC over a label, the binding with its length, and the PIN's digits in ASCII. binding: whom the
        PIN belongs to, 1 to 255 bytes. Raises PinBlockError for anything but 4 to 12 digits, ValueError."""
        if not (SHORTEST_PIN <= len(pin) <= LONGEST_PIN and pin.isascii() and pin.isdigit()):
            raise PinBlockError(BAD_PIN)
        if not 1 <= len(binding) <= LONGEST_BINDING:
            raise ValueError(f"a binding has 1 to {LONGEST_BINDING} bytes, not {len(binding)}")
        return self._mac(_BEGINNINGS[len(binding)] + binding + pin.encode())

    def matches(self, pin: str, binding: bytes, verifier: bytes) -> bool:
        """Whether the verifier was made for this PIN and binding. Raises as `make`."""
        made = self.make(pin, binding)
        return len(verifier) == VERIFIER_BYTES and same(made, verifier)
