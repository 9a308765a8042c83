"""Key check values: how two parties see that they hold the same key (ANSI X9.24-1 annex A).

Never more digits than asked for: the rest of the block would be known plaintext.
"""

from __future__ import annotations

from switch.hsm.crypto.ciphers import tdes_ecb_encrypt
from switch.hsm.crypto.macs import cmac, hmac_sha256

CHECK_DIGITS = 6
_LONGEST = {"A": 32, "T": 16, "H": 64}  # digits in one block of the algorithm


def check_value(key: bytes, algorithm: str, digits: int = CHECK_DIGITS) -> str:
    """Left hex digits, upper case. algorithm: X9.143 letter.

    A: AES-CMAC of a block of zeros. T: TDES encryption of a block of zeros (D the same, single DES).
    H: HMAC-SHA-256 of nothing. Raises ValueError.
    """
    longest = _LONGEST.get("T" if algorithm == "D" else algorithm)
    if longest is None:
        raise ValueError("a check value exists for algorithms A, T, D and H")
    if not 1 <= digits <= longest:
        raise ValueError(f"a check value has 1 to {longest} digits, not {digits}")
    if algorithm == "A":
        block = cmac(key, bytes(16))
    elif algorithm == "H":
        block = hmac_sha256(key, b"")
    else:
        block = tdes_ecb_encrypt(key, bytes(8))
    return block.hex().upper()[:digits]
