"""TDES DUKPT (ANSI X9.24-1:2009): for bank dialects and old terminals, never for our own."""

from __future__ import annotations

from enum import Enum

from switch.hsm.crypto.ciphers import tdes_ecb_encrypt, xor

SERIAL_BYTES = 10  # key serial number: 59 bits that name the key, 21 bits of counter
BASE_KEY_BYTES = 16
COUNTER_BITS = 21
MOST_COUNTER_ONES = 10  # X9.24-1: bounds the derivation steps of the receiver

_COUNTER_MASK = (1 << COUNTER_BITS) - 1
_HALF_VARIANT = bytes.fromhex("C0C0C0C000000000C0C0C0C000000000")


class Use(Enum):
    """What a transaction key is used for. Value: the variant added to it (X9.24-1 annex A)."""

    PIN = bytes.fromhex("00000000000000FF00000000000000FF")
    MAC_REQUEST = bytes.fromhex("000000000000FF00000000000000FF00")
    MAC_RESPONSE = bytes.fromhex("00000000FF00000000000000FF000000")
    DATA_REQUEST = bytes.fromhex("0000000000FF00000000000000FF0000")
    DATA_RESPONSE = bytes.fromhex("000000FF00000000000000FF00000000")


_ONE_WAY = (Use.DATA_REQUEST, Use.DATA_RESPONSE)


def counter_of(serial: bytes) -> int:
    """The 21-bit counter of a 10-byte serial; 0 stands for the initial key itself. Raises ValueError for a
    counter that no terminal uses (more than 10 ones)."""
    if len(serial) != SERIAL_BYTES:
        raise ValueError(f"a key serial number has {SERIAL_BYTES} bytes, not {len(serial)}")
    counter = int.from_bytes(serial) & _COUNTER_MASK
    if counter.bit_count() > MOST_COUNTER_ONES:
        raise ValueError(f"no terminal uses counter {counter:06X}: {MOST_COUNTER_ONES} ones are the most")
    return counter


def initial_key(base_key: bytes, serial: bytes) -> bytes:
    """A terminal's initial key (IPEK), 16 bytes, from its serial; the counter is left out. Raises
    ValueError."""
    _check_key(base_key)
    if len(serial) != SERIAL_BYTES:
        raise ValueError(f"a key serial number has {SERIAL_BYTES} bytes, not {len(serial)}")
    name = (int.from_bytes(serial) & ~_COUNTER_MASK).to_bytes(SERIAL_BYTES)[:8]
    return tdes_ecb_encrypt(base_key, name) + tdes_ecb_encrypt(xor(base_key, _HALF_VARIANT), name)


def transaction_key(initial: bytes, serial: bytes) -> bytes:
    """The key of this serial before any variant, 16 bytes. Raises ValueError."""
    _check_key(initial)
    counter = counter_of(serial)
    register = int.from_bytes(serial[2:]) & ~_COUNTER_MASK
    key = initial
    for place in range(COUNTER_BITS - 1, -1, -1):
        if counter >> place & 1:
            register |= 1 << place
            key = _next_key(key, register.to_bytes(8))
    return key


def working_key(initial: bytes, serial: bytes, use: Use) -> bytes:
    """The key of one use under this serial, 16 bytes. Data keys go through the one-way step of the 2009
    edition: enciphered under themselves. Raises ValueError."""
    key = xor(transaction_key(initial, serial), use.value)
    return tdes_ecb_encrypt(key, key) if use in _ONE_WAY else key


def _next_key(key: bytes, register: bytes) -> bytes:
    """The non-reversible key generation process: two single DES steps, one under the key's variant."""
    return _half(xor(key, _HALF_VARIANT), register) + _half(key, register)


def _half(key: bytes, register: bytes) -> bytes:
    left, right = key[:8], key[8:]
    return xor(tdes_ecb_encrypt(left, xor(register, right)), right)


def _check_key(key: bytes) -> None:
    if len(key) != BASE_KEY_BYTES:
        raise ValueError(f"TDES DUKPT derives from keys of {BASE_KEY_BYTES} bytes, not {len(key)}")
