"""MACs on messages and the sealing of card data at rest, over the AES that the board gives.

A key lives in one object here and leaves it nowhere: not in an error, a log or a repr.
"""

import binascii

ECB = 1
CBC = 2
BLOCK = 16
MAC_BYTES = 8
_CHECK_BYTES = 4


class Cmac:
    """AES-CMAC under one key (RFC 4493, NIST SP 800-38B)."""

    def __init__(self, aes, key):
        self._aes = aes
        self._key = key
        first = _doubled(aes(key, ECB).encrypt(bytes(BLOCK)))
        self._last_whole = first
        self._last_padded = _doubled(first)

    def tag(self, data):
        """The 16-byte tag over `data` (bytes)."""
        whole = len(data) - (len(data) % BLOCK or (BLOCK if data else 0))
        last = bytes(data[whole:])
        if len(last) == BLOCK:
            last = _xor(last, self._last_whole)
        else:
            last = _xor(last + b"\x80" + bytes(BLOCK - 1 - len(last)), self._last_padded)
        chain = self._aes(self._key, CBC, bytes(BLOCK))
        if whole:
            chain.encrypt(bytes(data[:whole]))
        return chain.encrypt(last)


class Keys:
    """The terminal's MAC keys: one for what it sends, one for what it receives."""

    def __init__(self, aes, request_key, answer_key):
        self._request = Cmac(aes, request_key)
        self._answer = Cmac(aes, answer_key)

    def mac(self, data):
        """The 8 bytes that close a request: the left half of its CMAC."""
        return self._request.tag(data)[:MAC_BYTES]

    def verify(self, data, mac):
        """Whether `mac` closes the answer `data`; takes the same time for every wrong one."""
        return mac is not None and same(self._answer.tag(data)[:MAC_BYTES], mac)


class Seal:
    """AES-CBC with a random vector and a check sum, for records that hold card data.

    It hides; it does not authenticate: whoever can write the storage can make it unreadable, not readable.
    """

    def __init__(self, aes, key, random):
        self._aes = aes
        self._key = key
        self._random = random

    def close(self, plain):
        """Vector and sealed bytes of `plain`; 16 to 36 bytes longer."""
        checked = (binascii.crc32(plain) & 0xFFFFFFFF).to_bytes(_CHECK_BYTES, "big") + plain
        fill = BLOCK - len(checked) % BLOCK
        vector = self._random(BLOCK)
        return vector + self._aes(self._key, CBC, vector).encrypt(checked + bytes([fill]) * fill)

    def open(self, sealed):
        """The plain bytes again. Raises ValueError when damaged or sealed under another key."""
        if len(sealed) < 2 * BLOCK or len(sealed) % BLOCK:
            raise ValueError("sealed record: length")
        plain = self._aes(self._key, CBC, sealed[:BLOCK]).decrypt(sealed[BLOCK:])
        fill = plain[-1]
        content = plain[_CHECK_BYTES : len(plain) - fill]
        check = (binascii.crc32(content) & 0xFFFFFFFF).to_bytes(_CHECK_BYTES, "big")
        if not 1 <= fill <= BLOCK or not same(check, plain[:_CHECK_BYTES]):
            raise ValueError("sealed record: check")
        return content


def same(left, right):
    """Whether two byte strings are equal, in a time that tells their lengths at most."""
    if len(left) != len(right):
        return False
    difference = 0
    for a, b in zip(left, right):
        difference |= a ^ b
    return difference == 0


def _xor(left, right):
    return bytes([a ^ b for a, b in zip(left, right)])


def _doubled(block):
    """A block times x in GF(2^128): the subkeys of RFC 4493, 2.3."""
    number = int.from_bytes(block, "big") << 1
    if number >> 128:
        number ^= (1 << 128) | 0x87
    return number.to_bytes(BLOCK, "big")
