"""CMAC, check values and the sealing of records at rest, over the AES that the board gives.

A key lives in one object here and leaves it nowhere: not in an error, a log or a repr.
"""

from terminal.hal.crypto import BLOCK, CBC, ECB

MAC_BYTES = 8
CHECK_VALUE_BYTES = 3  # of a key, as people compare it
# What a seal's key is made into: one key that hides, one that proves.
_HIDING, _PROVING = b"vafa seal hides", b"vafa seal proves"


class Cmac:
    """AES-CMAC under one key (RFC 4493, NIST SP 800-38B)."""

    def __init__(self, aes, key):
        self._aes = aes
        self._key = key
        self._subkey = bytearray(BLOCK)
        aes(key, ECB).encrypt(self._subkey, self._subkey)
        _double(self._subkey)

    def tag(self, data):
        """The 16-byte tag over `data` (bytes)."""
        left = len(data) % BLOCK or (BLOCK if data else 0)
        whole = len(data) - left
        last = bytearray(self._subkey)
        if left < BLOCK:
            _double(last)
            last[left] ^= 0x80
        for place in range(left):
            last[place] ^= data[whole + place]
        chain = self._aes(self._key, CBC, bytes(BLOCK))
        if whole:
            chain.encrypt(memoryview(data)[:whole])
        chain.encrypt(last, last)
        return bytes(last)


class Seal:
    """Hides records and proves that nobody changed them: AES-CBC with a random vector, then CMAC.

    Whoever can write the storage can put back an old record, or take one away; nothing else goes unnoticed.
    """

    def __init__(self, aes, key, random):
        self._aes = aes
        self._random = random
        cmac = Cmac(aes, key)
        self._key = cmac.tag(_HIDING)
        self._proof = Cmac(aes, cmac.tag(_PROVING))

    def close(self, plain, place=b""):
        """Vector, hidden bytes of `plain` and proof; 25 to 40 bytes longer.

        place: what the record is, at most 255 bytes; it opens for the same `place` only.
        """
        vector = self._random(BLOCK)
        sealed = vector + self._aes(self._key, CBC, vector).encrypt(padded(plain))
        return sealed + self._prove(sealed, place)

    def open(self, sealed, place=b""):
        """The plain bytes again. Raises ValueError when changed, or sealed under another key or place."""
        hidden = len(sealed) - MAC_BYTES
        if hidden < 2 * BLOCK or hidden % BLOCK:
            raise ValueError("sealed record: length")
        if not same(self._prove(sealed[:hidden], place), sealed[hidden:]):
            raise ValueError("sealed record: proof")
        return unpadded(self._aes(self._key, CBC, sealed[:BLOCK]).decrypt(sealed[BLOCK:hidden]))

    def _prove(self, sealed, place):
        return self._proof.tag(bytes([len(place)]) + place + sealed)[:MAC_BYTES]


def check_value(aes, key):
    """What may be told of a key: 6 hexadecimal digits, from the CMAC of a zero block (X9.24-1 annex A)."""
    return hexadecimal(Cmac(aes, key).tag(bytes(BLOCK))[:CHECK_VALUE_BYTES])


def hexadecimal(data):
    """Upper-case digits."""
    return "".join(["%02X" % byte for byte in data])


def same(left, right):
    """Whether two byte strings are equal, in a time that tells their lengths at most."""
    if len(left) != len(right):
        return False
    difference = 0
    for a, b in zip(left, right):
        difference |= a ^ b
    return difference == 0


def wipe(buffer):
    """Overwrite a bytearray that held a secret; what an AES object made of a key stays until collected."""
    for place in range(len(buffer)):
        buffer[place] = 0


def padded(data):
    """Whole blocks: `data`, a byte 80, zeros. ISO/IEC 9797-1 padding method 2."""
    return bytes(data) + b"\x80" + bytes(BLOCK - 1 - len(data) % BLOCK)


def unpadded(data):
    """Opposite of `padded`. Raises ValueError."""
    end = len(data) - 1
    while end > 0 and data[end] == 0:
        end -= 1
    if end < 0 or data[end] != 0x80 or len(data) - end > BLOCK:
        raise ValueError("padding")
    return data[:end]


def _double(block):
    """Multiply a block by x in GF(2^128), in place: the subkeys of RFC 4493, 2.3."""
    carry = 0
    for place in range(BLOCK - 1, -1, -1):
        value = block[place] << 1 | carry
        block[place] = value & 0xFF
        carry = value >> 8
    block[BLOCK - 1] ^= 0x87 * carry
