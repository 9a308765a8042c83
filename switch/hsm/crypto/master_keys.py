"""Keys under an HSM's master key, as the tokens that payShield boxes give out, byte for byte.

Variant master keys (20 TDES pairs) make tokens U, T, X, Y, Z; a block master key makes S blocks, scheme 0
under TDES and scheme 1 under AES. The test master keys are public: whoever protects real keys with them has
protected nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence

from switch.hsm.crypto.ciphers import has_odd_parity, tdes_ecb_decrypt, tdes_ecb_encrypt, xor
from switch.hsm.crypto.key_blocks import (
    MASTER_KEY_BINDINGS,
    Header,
    KeyBlockError,
    Random,
    Unwrapped,
    open_block,
    read_header,
    seal,
)

TEST_TDES_BLOCK_KEY = bytes.fromhex("0123456789ABCDEF8080808080808080FEDCBA9876543210")
TEST_AES_BLOCK_KEY = bytes.fromhex("9B71333A13F9FAE72F9D0E2DAB4AD6784718012F9244033F3F26A2DE0C8AA11A")
TEST_VARIANT_PAIRS = tuple(
    bytes.fromhex(pair)
    for pair in (
        "01010101010101017902CD1FD36EF8BA",  # 00-01
        "20202020202020203131313131313131",  # 02-03
        "40404040404040405151515151515151",  # 04-05
        "61616161616161617070707070707070",  # 06-07
        "80808080808080809191919191919191",  # 08-09
        "A1A1A1A1A1A1A1A1B0B0B0B0B0B0B0B0",  # 10-11
        "C1C1010101010101D0D0010101010101",  # 12-13
        "E0E0010101010101F1F1010101010101",  # 14-15
        "1C587F1C13924FEF0101010101010101",  # 16-17
        "01010101010101010101010101010101",  # 18-19
        "02020202020202020404040404040404",  # 20-21
        "07070707070707071010101010101010",  # 22-23
        "13131313131313131515151515151515",  # 24-25
        "16161616161616161919191919191919",  # 26-27
        "1A1A1A1A1A1A1A1A1C1C1C1C1C1C1C1C",  # 28-29
        "23232323232323232525252525252525",  # 30-31
        "26262626262626262929292929292929",  # 32-33
        "2A2A2A2A2A2A2A2A2C2C2C2C2C2C2C2C",  # 34-35
        "2F2F2F2F2F2F2F2F3131313131313131",  # 36-37
        "01010101010101010101010101010101",  # 38-39
    )
)

_VARIANTS = bytes.fromhex(
    "00A65A6ADE2B50749CFA"
)  # added to a pair's first byte, by the key type's first digit
_SCHEME_VARIANTS = {
    "U": bytes.fromhex("A65A"),
    "T": bytes.fromhex("6ADE2B"),
}  # to its ninth byte, by key part
_KEY_BYTES = {"Z": 8, "U": 16, "X": 16, "T": 24, "Y": 24}
# The last two digits of a key type, and the index of the master key pair they stand for.
_PAIRS = {
    "00": 2,
    "01": 3,
    "02": 7,
    "03": 8,
    "04": 9,
    "05": 10,
    "06": 11,
    "07": 12,
    "08": 13,
    "09": 14,
    "0A": 15,
    "0B": 16,
    "0C": 17,
    "0D": 18,
    "0E": 19,
}


_Cipher = Callable[[bytes, bytes], bytes]


class TokenError(KeyBlockError):
    """A key token is not what its scheme says. Text: what was expected, never the token."""


class TokenParityError(TokenError):
    """The key that comes out has no odd parity: another master key, another key type, or damage."""


class BlockMasterKey:
    """Makes S blocks; unless the scheme is told, 32 bytes are AES (scheme 1), 16 and 24 TDES (scheme 0)."""

    __slots__ = ("_key", "scheme")

    def __init__(self, key: bytes, scheme: str | None = None) -> None:
        self.scheme = scheme if scheme is not None else "1" if len(key) == 32 else "0"
        if self.scheme not in MASTER_KEY_BINDINGS:
            raise ValueError("the scheme of S blocks is 0 (TDES) or 1 (AES)")
        if len(key) not in MASTER_KEY_BINDINGS[self.scheme].protection_key_bytes:
            raise ValueError(f"no master key of scheme {self.scheme} has {len(key)} bytes")
        self._key = key

    def __repr__(self) -> str:
        return f"BlockMasterKey(scheme={self.scheme})"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a key is not copied or stored")

    def wrap(self, header: Header, key: bytes, random: Random = os.urandom) -> str:
        """The token of a key: `S` and the block. header.version must be this scheme; header.reserved is the
        master key's id, two digits. Raises KeyBlockError."""
        if header.version != self.scheme:
            raise TokenError(f"this master key makes blocks of scheme {self.scheme}")
        _check_block_header(header)
        return "S" + seal(MASTER_KEY_BINDINGS[self.scheme], self._key, header, key, random)

    def unwrap(self, token: str) -> Unwrapped:
        """Header and key of an S token. Raises KeyBlockMacError for another master key or a changed block,
        KeyBlockError otherwise."""
        if token[:1] != "S":
            raise TokenError("a key block token starts with S")
        header, end = read_header(token[1:], MASTER_KEY_BINDINGS)
        if header.version != self.scheme:
            raise TokenError(f"this master key makes blocks of scheme {self.scheme}")
        _check_block_header(header)
        return open_block(MASTER_KEY_BINDINGS[self.scheme], self._key, token[1:], header, end)


class VariantMasterKeys:
    """20 pairs of single DES keys, 00-01 to 38-39, in this order."""

    __slots__ = ("_pairs",)

    def __init__(self, pairs: Sequence[bytes]) -> None:
        if len(pairs) != 20 or any(len(pair) != 16 for pair in pairs):
            raise ValueError("there are 20 master key pairs of 16 bytes")
        self._pairs = tuple(pairs)

    def __repr__(self) -> str:
        return "VariantMasterKeys(hidden)"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a key is not copied or stored")

    def wrap(self, key: bytes, key_type: str, scheme: str) -> str:
        """The token of a key. key_type: variant digit and pair code (`000` ZMK, `001` ZPK, `002` TPK…).
        scheme: Z (8 bytes, no tag), U or X (16), T or Y (24). Raises TokenError."""
        if scheme not in _KEY_BYTES:
            raise TokenError("the key scheme is one of Z, U, T, X, Y")
        if len(key) != _KEY_BYTES[scheme]:
            raise TokenError(f"a key of scheme {scheme} has {_KEY_BYTES[scheme]} bytes, not {len(key)}")
        pair = self._pair(key_type)
        return token_of(scheme, _by_parts(tdes_ecb_encrypt, pair, key, scheme))

    def unwrap(self, token: str, key_type: str) -> bytes:
        """The key of a token. Raises TokenError; TokenParityError when what comes out is no key."""
        scheme, data = split_token(token)
        key = _by_parts(tdes_ecb_decrypt, self._pair(key_type), data, scheme)
        if not has_odd_parity(key):
            raise TokenParityError("the key has no odd parity")
        return key

    def _pair(self, key_type: str) -> bytes:
        if not re.fullmatch("[0-9][0-9A-F]{2}", key_type) or key_type[1:] not in _PAIRS:
            raise TokenError("a key type is a variant digit and a known pair code")
        pair = self._pairs[_PAIRS[key_type[1:]]]
        return xor(pair, bytes((_VARIANTS[int(key_type[0])],)) + bytes(15))


def split_token(token: str) -> tuple[str, bytes]:
    """Scheme (Z for none) and cipher text of a token that is no block. Raises TokenError."""
    scheme, digits = (token[0], token[1:]) if token[:1] in "UTXYZ" and token else ("Z", token)
    if not re.fullmatch(f"[0-9A-F]{{{2 * _KEY_BYTES[scheme]}}}", digits):
        raise TokenError(f"a token of scheme {scheme} has {2 * _KEY_BYTES[scheme]} upper case hex digits")
    return scheme, bytes.fromhex(digits)


def token_of(scheme: str, data: bytes) -> str:
    return (scheme if scheme != "Z" else "") + data.hex().upper()


def wrap_under_zone(zone_key: bytes, key: bytes, scheme: str) -> str:
    """A key under a zone master key: X, Y and Z plain ECB, U and T with the variants of their parts (added to
    the zone key's ninth byte). Raises TokenError."""
    if scheme not in _KEY_BYTES or len(key) != _KEY_BYTES[scheme]:
        raise TokenError("the key scheme is one of Z, U, T, X, Y and fits the key's length")
    return token_of(scheme, _by_parts(tdes_ecb_encrypt, zone_key, key, scheme))


def unwrap_under_zone(zone_key: bytes, token: str) -> bytes:
    """Opposite of wrap_under_zone; the parity is the caller's to check. Raises TokenError."""
    scheme, data = split_token(token)
    return _by_parts(tdes_ecb_decrypt, zone_key, data, scheme)


def _by_parts(cipher: _Cipher, key: bytes, data: bytes, scheme: str) -> bytes:
    variants = _SCHEME_VARIANTS.get(scheme)
    if variants is None:
        return cipher(key, data)
    return b"".join(
        cipher(xor(key, bytes(8) + bytes((variant,)) + bytes(len(key) - 9)), data[8 * part : 8 * part + 8])
        for part, variant in enumerate(variants)
    )


def _check_block_header(header: Header) -> None:
    """The box's own usages are wider than X9.143's: form only."""
    if not re.fullmatch("[0-9A-Z]{2}[ADEHRST][BCDEGNSTVXY][0-9A-Za-z]{2}[ENS]", _fields(header)):
        raise TokenError("the block's usage, algorithm, mode of use, version or exportability is not known")
    if not re.fullmatch("[0-9F]{2}", header.reserved):
        raise TokenError("the last two header characters are the master key's id")


def _fields(header: Header) -> str:
    return f"{header.usage}{header.algorithm}{header.mode}{header.key_version}{header.exportability}"
