"""What a blank chip card of ours is loaded with, sealed for this card and this moment.

The card maker gives each batch of blanks one key. Each load is enciphered and carries a MAC over the card's
fresh challenge, so that no load is good for another card or a second time. Pure.
"""

from __future__ import annotations

from enum import IntEnum

from switch.hsm.crypto.ciphers import aes_cbc_decrypt, aes_cbc_encrypt, aes_ecb_encrypt, same
from switch.hsm.crypto.macs import cmac, pad_2, unpad_2

KEY_BYTES = 16
CHALLENGE_BYTES = 8
MAC_BYTES = 8
LONGEST_LOAD = 240  # bytes of one command less the MAC
_HIDING, _PROVING = b"\x01VAFA-BLANK", b"\x02VAFA-BLANK"


class Load(IntEnum):
    """What a load is: P1 of the card's command STORE DATA."""

    IDENTITY = 1  # file 01
    MEMBER = 2  # file 02
    AUTHENTICATION_KEY = 3
    PROOF_KEY = 4
    PIN = 5  # a block of format 2
    COUNTER = 6  # of cryptograms, 4 bytes: for a card that takes another's place
    FINISH = 15  # nothing can be loaded any more


def sealed(key: bytes, challenge: bytes, kind: Load, data: bytes) -> bytes:
    """Enciphered data and MAC."""
    hidden = aes_cbc_encrypt(_key(key, _HIDING), pad_2(data, KEY_BYTES), _vector(key, challenge))
    return hidden + _mac(key, challenge, kind, hidden)


def opened(key: bytes, challenge: bytes, kind: int, load: bytes) -> bytes:
    """Opposite of sealed(). Raises ValueError."""
    hidden, mac = load[:-MAC_BYTES], load[-MAC_BYTES:]
    if not hidden or len(hidden) % KEY_BYTES or not same(_mac(key, challenge, kind, hidden), mac):
        raise ValueError("not sealed for this card and moment")
    return unpad_2(aes_cbc_decrypt(_key(key, _HIDING), hidden, _vector(key, challenge)), KEY_BYTES)


def _mac(key: bytes, challenge: bytes, kind: int, hidden: bytes) -> bytes:
    return cmac(_key(key, _PROVING), challenge + bytes((kind,)) + hidden)[:MAC_BYTES]


def _vector(key: bytes, challenge: bytes) -> bytes:
    return aes_ecb_encrypt(_key(key, _HIDING), challenge * 2)


def _key(key: bytes, label: bytes) -> bytes:
    return cmac(key, label)
