"""Key blocks of ANSI X9.143 (TR-31), version D: keys that travel under this terminal's transport key.

Read only, and only what a terminal takes: AES-128. An error says what is wrong and quotes nothing. Loaded
when keys are, and dropped again.
"""

from binascii import unhexlify

from terminal.hal.crypto import BLOCK, CBC
from terminal.security import Cmac, same, wipe
from terminal.text import is_digits

_HEAD = 16  # letters before the optional blocks
_KEY_BITS = 128
# Counter, usage (0000 hides, 0001 proves), separator, algorithm (AES-128), bits: X9.143, 7.2.
_HIDING = b"\x01\x00\x00\x00\x00\x02\x00\x80"
_PROVING = b"\x01\x00\x01\x00\x00\x02\x00\x80"
_MODES = "XN"  # derivation; no restriction
_CONTEXTS = "012"  # X9.143: where the key may be stored
_LENGTHS_MOST = 16  # letters that an extended length may take
_HEX = "0123456789ABCDEF"


class KeyBlockError(ValueError):
    """A block that this terminal can't or may not take."""

    def __init__(self, what):
        super().__init__("key block: " + what)


def unwrap(aes, transport_key, block, usage):
    """(key as bytearray, {optional block id: text}) of a block (str) whose header says `usage`, e.g. "B1".

    Raises KeyBlockError; a block with any bit changed is refused before its content is looked at.
    """
    optional_count = _check_head(block, usage)
    body, blocks = _optional_blocks(block, optional_count)
    hidden = _bytes(block[body:])
    if len(hidden) < 3 * BLOCK or len(hidden) % BLOCK:
        raise KeyBlockError("length of the key")
    proof = hidden[-BLOCK:]
    transport = Cmac(aes, transport_key)
    covered = bytearray(block[:body].encode())
    covered.extend(bytes(len(hidden) - BLOCK))
    clear = memoryview(covered)[body:]
    aes(transport.tag(_HIDING), CBC, proof).decrypt(hidden[:-BLOCK], clear)
    try:
        if not same(Cmac(aes, transport.tag(_PROVING)).tag(covered), proof):
            raise KeyBlockError("changed, or under another transport key")
        if clear[0] << 8 | clear[1] != _KEY_BITS:
            raise KeyBlockError("expected a key of 128 bits")
        return bytearray(clear[2 : 2 + _KEY_BITS // 8]), blocks
    finally:
        wipe(covered)


def _check_head(block, usage):
    """Version, length, usage, algorithm, mode, count of optional blocks, reserve; returns the count."""
    for letter in block:
        if not " " <= letter <= "~":
            raise KeyBlockError("expected printable ASCII")
    if len(block) < _HEAD or block[0] != "D":
        raise KeyBlockError("expected version D")
    if not is_digits(block[1:5]) or int(block[1:5]) != len(block):
        raise KeyBlockError("its length field is wrong")
    if block[5:7] != usage:
        raise KeyBlockError("expected usage " + usage)
    if block[7] != "A":
        raise KeyBlockError("expected an AES key")
    if block[8] not in _MODES:
        raise KeyBlockError("expected mode X, derivation")
    if not is_digits(block[12:14]) or block[14] not in _CONTEXTS or block[15] != "0":
        raise KeyBlockError("its header is wrong")
    return int(block[12:14])


def _optional_blocks(block, count):
    """(where the key begins, {id: text}) of the optional blocks."""
    at = _HEAD
    found = {}
    for _ in range(count):
        name = block[at : at + 2]
        size, head = _size(block, at)
        if len(name) != 2 or name in found or size < head or at + size > len(block):
            raise KeyBlockError("an optional block is wrong")
        found[name] = block[at + head : at + size]
        at += size
    if (at - _HEAD) % BLOCK:
        raise KeyBlockError("optional blocks of no whole length")
    return at, found


def _size(block, at):
    """(letters of an optional block, letters before its text); a length of 00 is told at length behind."""
    size = _number(block[at + 2 : at + 4])
    if size:
        return size, 4
    letters = _number(block[at + 4 : at + 6])
    if not 0 < letters <= _LENGTHS_MOST:
        return 0, 4
    return _number(block[at + 6 : at + 6 + letters]), 6 + letters


def _number(text):
    if not _is_hexadecimal(text):
        raise KeyBlockError("a length is not hexadecimal")
    return int(text or "0", 16)


def _bytes(text):
    if len(text) % 2:
        raise KeyBlockError("expected hexadecimal digits")
    if not _is_hexadecimal(text):
        raise KeyBlockError("expected hexadecimal digits, upper case")
    return unhexlify(text)


def _is_hexadecimal(text):
    return all(letter in _HEX for letter in text)
