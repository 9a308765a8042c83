"""Block ciphers as everything else in here uses them, and the one comparison of secrets.

No padding is ever added or removed here. TDES keys of 8 and 16 bytes are stretched to 24: single DES as
K K K, double length as K1 K2 K1 (ISO/IEC 18033-3).
"""

from __future__ import annotations

from collections.abc import Callable
from hmac import compare_digest
from itertools import pairwise

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.algorithms import AES, AES128
from cryptography.hazmat.primitives.ciphers.modes import CBC, ECB

AES_BLOCK_BYTES = 16
TDES_BLOCK_BYTES = 8
AES_KEY_BYTES = (16, 24, 32)
TDES_KEY_BYTES = (8, 16, 24)

_ECB = ECB()
_AES_ZEROS = bytes(AES_BLOCK_BYTES)
_CBC_ZEROS = CBC(_AES_ZEROS)
_TDES_ZEROS = bytes(TDES_BLOCK_BYTES)


def same(left: bytes | str, right: bytes | str) -> bool:
    """Whether two secrets are equal, in a time that tells nothing about where they differ.

    The only comparison allowed for MACs, check values, PVVs, CVVs and verifiers.
    """
    if type(left) is bytes and type(right) is bytes:
        return compare_digest(left, right)
    if isinstance(left, str):
        left = left.encode()
    if isinstance(right, str):
        right = right.encode()
    return compare_digest(left, right)


class AesPlace:
    """A place that short-lived AES keys pass through, one after another: what `cryptography` sets up for a
    key's object is set up once for all of them, which is half of what a fresh key costs. Whoever puts a key
    in writes over the one before. For one thread.

    key: 16, 24 or 32 bytes to write into. Each of the others makes a context of the key that lies here now:
    block_encryptor: ECB, without state between calls. chained_encryptor, chained_decryptor: CBC from a zero
    vector; each call goes on where the last one ended. All of them only for whole blocks.
    """

    __slots__ = ("algorithm", "block_encryptor", "chained_decryptor", "chained_encryptor", "key")

    block_encryptor: Callable[[], CipherContext]
    chained_encryptor: Callable[[], CipherContext]
    chained_decryptor: Callable[[], CipherContext]

    def __init__(self, key: bytearray | memoryview) -> None:
        self.key = key
        self.algorithm = aes(key)
        self.block_encryptor = Cipher(self.algorithm, _ECB).encryptor
        chained = Cipher(self.algorithm, _CBC_ZEROS)
        self.chained_encryptor, self.chained_decryptor = chained.encryptor, chained.decryptor

    def __repr__(self) -> str:
        return "AesPlace(hidden)"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a key is not copied or stored")


def aes_block_encryptor(key: bytes) -> CipherContext:
    """Block encryption (ECB) set up once, without state between calls. Only for whole blocks. Raises
    ValueError for a key that AES doesn't know."""
    return Cipher(aes(key), _ECB).encryptor()


def tdes_block_encryptor(key: bytes) -> CipherContext:
    """As `aes_block_encryptor`; key of 8, 16 or 24 bytes, parity ignored."""
    return Cipher(tdes(key), _ECB).encryptor()


def aes_chained_decryptor(key: bytes) -> CipherContext:
    """CBC decryption from a zero vector; each call goes on where the last one ended. Only for whole blocks.
    Raises ValueError for a key that AES doesn't know."""
    return Cipher(aes(key), _CBC_ZEROS).decryptor()


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


def is_single_des(key: bytes) -> bool:
    """Whether a TDES key of 16 or 24 bytes is as weak as single DES: two neighbouring parts are equal but for
    their parity (NIST SP 800-67, 3.2)."""
    bare = odd_parity(key)
    parts = [bare[at : at + TDES_BLOCK_BYTES] for at in range(0, len(bare), TDES_BLOCK_BYTES)]
    return any(one == other for one, other in pairwise(parts))


def xor(left: bytes, right: bytes) -> bytes:
    """Byte by byte; both must have the same length."""
    if len(left) != len(right):
        raise ValueError(f"{len(left)} and {len(right)} bytes have no sum")
    return (int.from_bytes(left) ^ int.from_bytes(right)).to_bytes(len(left))


def aes(key: bytes | bytearray | memoryview) -> AES | AES128:
    """The key as an algorithm object. Raises ValueError for a length that AES doesn't know."""
    if len(key) == 16:
        return AES128(key)  # whose length is known without asking
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
