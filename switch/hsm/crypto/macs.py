"""Message authentication codes and the paddings of ISO/IEC 9797-1.

Full tags come out; who sends a shorter one cuts it to its left bytes. Tags are compared with `ciphers.same`.
"""

from __future__ import annotations

import hmac

from cryptography.hazmat.primitives.cmac import CMAC

from switch.hsm.crypto.ciphers import TDES_BLOCK_BYTES, AesPlace, aes, tdes, tdes_cbc_encrypt

PADDINGS = (0, 1, 2, 3)  # 0: data that is whole blocks already; 1, 2, 3: the methods of ISO/IEC 9797-1


def pad_1(data: bytes, block_bytes: int = TDES_BLOCK_BYTES) -> bytes:
    """ISO/IEC 9797-1 padding method 1: zeros up to a whole block; nothing becomes one block of zeros."""
    return data + bytes(-len(data) % block_bytes if data else block_bytes)


def pad_2(data: bytes, block_bytes: int = TDES_BLOCK_BYTES) -> bytes:
    """ISO/IEC 9797-1 padding method 2: always 80, then zeros up to a whole block."""
    return data + b"\x80" + bytes(-(len(data) + 1) % block_bytes)


def pad_3(data: bytes, block_bytes: int = TDES_BLOCK_BYTES) -> bytes:
    """ISO/IEC 9797-1 padding method 3: a first block with the data's length in bits, then as method 1."""
    return (len(data) * 8).to_bytes(block_bytes) + pad_1(data, block_bytes)


def unpad_2(data: bytes, block_bytes: int = TDES_BLOCK_BYTES) -> bytes:
    """Opposite of pad_2. Raises ValueError when the end is no padding within one block."""
    stripped = data.rstrip(b"\0")
    if not data or len(data) % block_bytes or stripped[-1:] != b"\x80":
        raise ValueError("the data does not end in padding")
    if len(data) - len(stripped) >= block_bytes:
        raise ValueError("the padding is longer than a block")
    return stripped[:-1]


class KeyedCmac:
    """AES-CMAC (NIST SP 800-38B, RFC 4493) under one key, set up once and copied for every message."""

    __slots__ = ("_keyed",)

    def __init__(self, key: bytes) -> None:
        self._keyed = CMAC(aes(key))

    def __repr__(self) -> str:
        return "KeyedCmac(hidden)"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a key is not copied or stored")

    def mac(self, data: bytes) -> bytes:
        """16 bytes."""
        running = self._keyed.copy()
        running.update(data)
        return running.finalize()


def cmac(key: bytes, data: bytes) -> bytes:
    """AES-CMAC (NIST SP 800-38B): 16 bytes. Raises ValueError for a key that AES doesn't know."""
    running = CMAC(aes(key))
    running.update(data)
    return running.finalize()


def cmac_in(place: AesPlace, data: bytes) -> bytes:
    """AES-CMAC under the key that lies in a place now: 16 bytes."""
    running = CMAC(place.algorithm)
    running.update(data)
    return running.finalize()


def tdes_cmac(key: bytes, data: bytes) -> bytes:
    """TDES-CMAC (NIST SP 800-38B; ISO/IEC 9797-1 algorithm 5): 8 bytes; key of 8, 16 or 24 bytes."""
    running = CMAC(tdes(key))
    running.update(data)
    return running.finalize()


def algorithm_1(key: bytes, data: bytes, padding: int = 1) -> bytes:
    """ISO/IEC 9797-1 MAC algorithm 1, CBC-MAC: 8 bytes, DES under 8 key bytes and TDES under 16 or 24."""
    return tdes_cbc_encrypt(key, _padded(data, padding))[-TDES_BLOCK_BYTES:]


def algorithm_3(key: bytes, data: bytes, padding: int = 1) -> bytes:
    """ISO/IEC 9797-1 MAC algorithm 3 with DES (the retail MAC of ANSI X9.19): 8 bytes.

    Key of 16 bytes (K, K'); of 24: the last transformation encrypts under the third part.
    """
    if len(key) not in (16, 24):
        raise ValueError(f"algorithm 3 takes a key of 16 or 24 bytes, not {len(key)}")
    padded = _padded(data, padding)
    body, last = padded[:-TDES_BLOCK_BYTES], padded[-TDES_BLOCK_BYTES:]
    # DES decrypt and encrypt after the chain's last DES encryption is just TDES of the last block.
    chained = tdes_cbc_encrypt(key[:8], body)[-TDES_BLOCK_BYTES:] if body else bytes(TDES_BLOCK_BYTES)
    return tdes_cbc_encrypt(key, last, chained)


def hmac_sha256(key: bytes, data: bytes) -> bytes:
    """HMAC-SHA-256 (FIPS 198-1, RFC 2104): 32 bytes, keys of any length."""
    return hmac.digest(key, data, "sha256")


def _padded(data: bytes, padding: int) -> bytes:
    if padding == 1:
        return pad_1(data)
    if padding == 2:
        return pad_2(data)
    if padding == 3:
        return pad_3(data)
    if padding != 0:
        raise ValueError(f"padding is one of {PADDINGS}, not {padding}")
    if not data or len(data) % TDES_BLOCK_BYTES:
        raise ValueError(f"{len(data)} bytes without padding are no whole blocks")
    return data
