"""Card verification values: what a swiped track 2 proves, asked of the HSM and remembered when it was right.

Neither a value nor a card number is kept, logged or told; what is remembered is a keyed hash.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from switch.hsm.port import Hsm, Key

VALUE_DIGITS = 3  # CVV
FIXED_DIGITS = 7  # behind the separator (ISO/IEC 7813): expiry 4, service code 3; then discretionary data
# Right values remembered: the cards of a busy day, some 10 MB. The HSM takes 40 us for one, this 1 us.
MOST_KNOWN = 65_536
_HASH_BYTES = 16


class CardValues:
    """Checks tracks under these keys, the likeliest first.

    offset: digits of the discretionary data before the value. secret: what known tracks are hashed under.
    """

    def __init__(self, hsm: Hsm, keys: Sequence[Key], offset: int, secret: bytes) -> None:
        self._hsm = hsm
        self._keys = keys
        self._value = slice(FIXED_DIGITS + offset, FIXED_DIGITS + offset + VALUE_DIGITS)
        self._hash = hashlib.blake2b(digest_size=_HASH_BYTES, key=secret, person=b"card value")
        self._known: dict[bytes, None] = {}  # oldest first

    def is_known(self, track: str) -> bool:
        """Whether the value of this track 2 (DE 35, complete) was found right before."""
        return self._name(track) in self._known

    async def is_right(self, track: str) -> bool | None:
        """Whether the value of this track 2 is the card's; None when it holds none. Raises HsmError."""
        card, _, rest = track.partition("=")
        value = rest[self._value]
        if len(value) < VALUE_DIGITS:
            return None
        for key in self._keys:
            if await self._hsm.card_value_verify(key, card, rest[:4], rest[4:FIXED_DIGITS], value):
                self._remember(self._name(track))
                return True
        return False

    def _name(self, track: str) -> bytes:
        """Card, expiry, service code and value as one keyed hash."""
        card, _, rest = track.partition("=")
        named = self._hash.copy()
        named.update(f"{card}={rest[:FIXED_DIGITS]}{rest[self._value]}".encode("ascii"))
        return named.digest()

    def _remember(self, name: bytes) -> None:
        if len(self._known) >= MOST_KNOWN:
            del self._known[next(iter(self._known))]
        self._known[name] = None
