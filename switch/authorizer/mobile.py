"""Mobile numbers as the ledger may keep them: a keyed hash to find the member, a mask for people, and the
number enciphered, to send a code to.

Pure: the encipherment is deterministic (AES-SIV, RFC 5297), so no random number is needed.
"""

from __future__ import annotations

from hashlib import blake2b

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from switch.authorizer.identity import IDENTIFIER_BYTES
from switch.ledger import Mobile

SHOWN_FIRST, SHOWN_LAST = 4, 2
_SEAL_KEY_BYTES = 64  # AES-256-SIV takes two keys


class Mobiles:
    """Makes and opens them under keys derived from the directory key."""

    def __init__(self, directory_key: bytes) -> None:
        self._key = directory_key
        self._seal = AESSIV(
            blake2b(b"vafa mobile seal", digest_size=_SEAL_KEY_BYTES, key=directory_key).digest()
        )

    def of(self, number: str) -> Mobile:
        """What the ledger keeps of a number (digits with country code)."""
        return Mobile(self.identifier(number), masked(number), self._seal.encrypt(number.encode(), None))

    def identifier(self, number: str) -> bytes:
        """The keyed hash under which the member is found. Differs from that of a card of the same digits."""
        data = b"mobile:" + number.encode("ascii")
        return blake2b(data, digest_size=IDENTIFIER_BYTES, key=self._key).digest()

    def open(self, sealed: bytes) -> str:
        """The number again. Raises ValueError when it was changed or is of another key."""
        try:
            return self._seal.decrypt(sealed, None).decode()
        except InvalidTag:
            raise ValueError("a sealed mobile number was changed") from None


def masked(number: str) -> str:
    """The number as people may see it: 4 digits, stars, 2 digits."""
    hidden = len(number) - SHOWN_FIRST - SHOWN_LAST
    return number[:SHOWN_FIRST] + "*" * hidden + number[-SHOWN_LAST:]
