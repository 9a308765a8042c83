"""Block ciphers as everything else in here uses them, and the one comparison of secrets.

No padding is ever added or removed here. TDES keys of 8 and 16 bytes are stretched to 24: single DES as
K K K, double length as K1 K2 K1 (ISO/IEC 18033-3).
"""

from __future__ import annotations

import hmac
from collections.abc import Callable

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC, ECB

AES_BLOCK_BYTES = 16
TDES_BLOCK_BYTES = 8
AES_KEY_BYTES = (16, 24, 32)
TDES_KEY_BYTES = (8, 16, 24)

_ECB = ECB()
_AES_ZEROS = bytes(AES_BLOCK_BYTES)
_TDES_ZEROS = bytes(TDES_BLOCK_BYTES)


def same(left: bytes | str, right: bytes | str) -> bool:
    """Whether two secrets are equal, in a time that tells nothing about where they differ.

    The only comparison allowed for MACs, check values, PVVs, CVVs and verifiers.
    """
    return hmac.compare_digest(_as_bytes(left), _as_bytes(right))


def _as_bytes(value: bytes | str) -> bytes:
    return value.encode() if isinstance(value, str) else value


class AesKey:
    """An AES key (16, 24 or 32 bytes) set up once: block encryption (ECB), without state between calls."""

    __slots__ = ("_encryptor", "encrypt")

    def __init__(self, key: bytes) -> None:
        self._encryptor = Cipher(aes(key), _ECB).encryptor()
        # The bound method itself: one call less in the hottest place. Only for whole blocks.
        self.encrypt = self._encryptor.update

    def __repr__(self) -> str:
        return "AesKey(hidden)"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a key is not copied or stored")


def aes_block_decryptor(key: bytes) -> Callable[[bytes], bytes]:
    """Block decryption (ECB) set up once, without state between calls. Only for whole blocks. Raises
    ValueError for a key that AES doesn't know."""
    return Cipher(aes(key), _ECB).decryptor().update


def aes_ecb_encrypt(key: bytes, data: bytes) -> bytes:
    """Whole 16-byte blocks. Raises ValueError for another length of key or data."""
    return Cipher(aes(key), _ECB).encryptor().update(_whole(data, AES_BLOCK_BYTES))


def aes_ecb_decrypt(key: bytes, data: bytes) -> bytes:
    """Whole 16-byte blocks. Raises ValueError for another length of key or data."""
    return Cipher(aes(key), _ECB).decryptor().update(_whole(data, AES_BLOCK_BYTES))


def aes_cbc_encrypt(key: bytes, data: bytes, vector: bytes = _AES_ZEROS) -> bytes:
    """Whole 16-byte blocks, 16-byte vector. Raises ValueError for another length."""
    return Cipher(aes(key), CBC(vector)).encryptor().update(_whole(data, AES_BLOCK_BYTES))


def aes_cbc_decrypt(key: bytes, data: bytes, vector: bytes = _AES_ZEROS) -> bytes:
    """Whole 16-byte blocks, 16-byte vector. Raises ValueError for another length."""
    return Cipher(aes(key), CBC(vector)).decryptor().update(_whole(data, AES_BLOCK_BYTES))


def tdes_ecb_encrypt(key: bytes, data: bytes) -> bytes:
    """Whole 8-byte blocks; key of 8, 16 or 24 bytes, parity ignored. Raises ValueError."""
    return Cipher(tdes(key), _ECB).encryptor().update(_whole(data, TDES_BLOCK_BYTES))


def tdes_ecb_decrypt(key: bytes, data: bytes) -> bytes:
    """Whole 8-byte blocks; key of 8, 16 or 24 bytes, parity ignored. Raises ValueError."""
    return Cipher(tdes(key), _ECB).decryptor().update(_whole(data, TDES_BLOCK_BYTES))


def tdes_cbc_encrypt(key: bytes, data: bytes, vector: bytes = _TDES_ZEROS) -> bytes:
    """Whole 8-byte blocks, 8-byte vector; key of 8, 16 or 24 bytes. Raises ValueError."""
    return Cipher(tdes(key), CBC(vector)).encryptor().update(_whole(data, TDES_BLOCK_BYTES))


def tdes_cbc_decrypt(key: bytes, data: bytes, vector: bytes = _TDES_ZEROS) -> bytes:
    """Whole 8-byte blocks, 8-byte vector; key of 8, 16 or 24 bytes. Raises ValueError."""
    return Cipher(tdes(key), CBC(vector)).decryptor().update(_whole(data, TDES_BLOCK_BYTES))


def tdes_stretched(key: bytes) -> bytes:
    """The same key as 24 bytes. Raises ValueError unless it has 8, 16 or 24."""
    if len(key) == 24:
        return key
    if len(key) == 16:
        return key + key[:8]
    if len(key) == 8:
        return key * 3
    raise ValueError(f"a TDES key has 8, 16 or 24 bytes, not {len(key)}")


def odd_parity(key: bytes) -> bytes:
    """The key with the lowest bit of each byte set so that the byte has an odd number of ones."""
    return bytes(byte ^ (byte.bit_count() & 1 ^ 1) for byte in key)


def has_odd_parity(key: bytes) -> bool:
    return all(byte.bit_count() & 1 for byte in key)


def xor(left: bytes, right: bytes) -> bytes:
    """Byte by byte; both must have the same length."""
    if len(left) != len(right):
        raise ValueError(f"{len(left)} and {len(right)} bytes have no sum")
    return (int.from_bytes(left) ^ int.from_bytes(right)).to_bytes(len(left))


def aes(key: bytes) -> AES:
    """The key as an algorithm object. Raises ValueError for a length that AES doesn't know."""
    if len(key) not in AES_KEY_BYTES:
        raise ValueError(f"an AES key has 16, 24 or 32 bytes, not {len(key)}")
    return AES(key)


def tdes(key: bytes) -> TripleDES:
    """The key as an algorithm object, always of 24 bytes. Raises ValueError."""
    return TripleDES(tdes_stretched(key))


def _whole(data: bytes, block_bytes: int) -> bytes:
    if len(data) % block_bytes:
        raise ValueError(f"{len(data)} bytes are no whole blocks of {block_bytes}")
    return data
