"""PIN blocks of ISO 9564-1: formats 0, 1, 2 and 3 in clear (8 bytes), format 4 enciphered (16 bytes).

A PIN is 4 to 12 digits; card numbers are digits with their check digit. A PinBlockError never tells more than
its kind: what is wrong inside a block must not become an oracle, and no digit of it may reach a log.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from cryptography.hazmat.primitives.ciphers import CipherContext

from switch.hsm.crypto.ciphers import AES_BLOCK_BYTES, aes_block_encryptor, aes_chained_decryptor

SHORTEST_PIN = 4
LONGEST_PIN = 12
LONGEST_CARD = 19  # digits of a PAN, ISO/IEC 7812-1
CLEAR_BLOCK_BYTES = 8

_CARD_DIGITS = 12  # how many digits of the card number formats 0 and 3 bind
_PIN_DIGITS = 14  # room for the PIN and its fill in the first 8 bytes
_FILL_F = frozenset("f")
_FILL_A_TO_F = frozenset("abcdef")
_HEX = frozenset("0123456789abcdef")

# Format: what may fill the room behind the PIN, and whether the card number is added.
_CLEAR_FORMATS = {0: (_FILL_F, True), 1: (_HEX, False), 2: (_FILL_F, False), 3: (_FILL_A_TO_F, True)}
_FORMAT_3_FILL = bytes.maketrans(bytes(range(6)), b"abcdef")

# Format 4: how a clear block begins, and how long the PIN in it is then.
_ISO_4_LENGTHS = {f"4{length:x}": length for length in range(SHORTEST_PIN, LONGEST_PIN + 1)}
_ISO_4_FILL = "a" * _PIN_DIGITS
_number = int.from_bytes

Random = Callable[[int], bytes]


class PinBlockError(ValueError):
    """A PIN block, PIN or card number can't be used. The text is one of the constants below, nothing else."""


BAD_BLOCK = "the PIN block is not valid"
BAD_PIN = f"a PIN has {SHORTEST_PIN} to {LONGEST_PIN} digits"
BAD_CARD = f"a card number has 1 to {LONGEST_CARD} digits"
BAD_FORMAT = "this PIN block format is not known"


def encode(block_format: int, pin: str, card: str = "", random: Random = os.urandom) -> bytes:
    """A clear PIN block of format 0, 1, 2 or 3: 8 bytes. card: for formats 0 and 3. Raises PinBlockError."""
    _check_pin(pin)
    if block_format not in _CLEAR_FORMATS:
        raise PinBlockError(BAD_FORMAT)
    room = _PIN_DIGITS - len(pin)
    if block_format == 1:
        fill = random(_PIN_DIGITS // 2).hex()[:room]
    elif block_format == 3:
        fill = _random_letters(room, random)
    else:
        fill = "f" * room
    block = bytes.fromhex(f"{block_format:x}{len(pin):x}{pin}{fill}")
    return _with_card(block, card) if _CLEAR_FORMATS[block_format][1] else block


def decode(block_format: int, block: bytes, card: str = "") -> str:
    """The PIN of a clear block of format 0, 1, 2 or 3. Raises PinBlockError for any other content, a PIN that
    doesn't fit the card number included."""
    if block_format not in _CLEAR_FORMATS:
        raise PinBlockError(BAD_FORMAT)
    fill, uses_card = _CLEAR_FORMATS[block_format]
    if len(block) != CLEAR_BLOCK_BYTES:
        raise PinBlockError(BAD_BLOCK)
    return _pin_of(block_format, _with_card(block, card) if uses_card else block, fill)


def seal_iso_4(key: bytes, pin: str, card: str, random: Random = os.urandom) -> bytes:
    """A format 4 block enciphered under an AES key: 16 bytes, new ones every time. Raises PinBlockError."""
    _check_pin(pin)
    field = bytes.fromhex(f"4{len(pin):x}{pin}{'a' * (_PIN_DIGITS - len(pin))}") + random(8)
    encrypt = aes_block_encryptor(key).update
    inner = int.from_bytes(encrypt(field)) ^ _card_field(card)
    return encrypt(inner.to_bytes(AES_BLOCK_BYTES))


def open_iso_4(key: bytes, block: bytes, card: str) -> str:
    """The PIN of an enciphered format 4 block. Raises PinBlockError for a block that was not made under this
    key for this card number."""
    return open_iso_4_by(aes_chained_decryptor(key), block, card)


def open_iso_4_by(decryptor: CipherContext, block: bytes, card: str) -> str:
    """As open_iso_4. decryptor: AES-CBC under the block's key from a zero vector, not used yet; a chained
    context is cheaper to make than one for single blocks."""
    if len(block) != AES_BLOCK_BYTES:
        raise PinBlockError(BAD_BLOCK)
    decrypt = decryptor.update
    inner = (_number(decrypt(block)) ^ _card_field(card)).to_bytes(AES_BLOCK_BYTES)
    # What the chain added to the second block, the first one's cryptogram, is taken off again. The second
    # half of the field is random.
    digits = (_number(decrypt(inner)[:8]) ^ _number(block[:8])).to_bytes(8).hex()
    length = _ISO_4_LENGTHS.get(digits[:2], 0)
    pin = digits[2 : 2 + length]
    if not pin.isdigit() or digits[2 + length :] != _ISO_4_FILL[length:]:
        raise PinBlockError(BAD_BLOCK)
    return pin


def _pin_of(block_format: int, field: bytes, fill: frozenset[str]) -> str:
    control, length = field[0] >> 4, field[0] & 15
    digits = field.hex()
    pin = digits[2 : 2 + length]
    if (
        control != block_format
        or not SHORTEST_PIN <= length <= LONGEST_PIN
        or not pin.isdigit()
        or not fill.issuperset(digits[2 + length : 2 + _PIN_DIGITS])
    ):
        raise PinBlockError(BAD_BLOCK)
    return pin


def _check_pin(pin: str) -> None:
    if not (SHORTEST_PIN <= len(pin) <= LONGEST_PIN and pin.isascii() and pin.isdigit()):
        raise PinBlockError(BAD_PIN)


def _check_card(card: str) -> None:
    if not (1 <= len(card) <= LONGEST_CARD and card.isascii() and card.isdigit()):
        raise PinBlockError(BAD_CARD)


def _with_card(block: bytes, card: str) -> bytes:
    """The block, added to the 12 rightmost card digits before the check digit (ISO 9564-1 clause 9.3.2.3)."""
    _check_card(card)
    account = card[:-1][-_CARD_DIGITS:].rjust(_CARD_DIGITS, "0")
    return (int.from_bytes(block) ^ int(account, 16)).to_bytes(CLEAR_BLOCK_BYTES)


def _card_field(card: str) -> int:
    """The card number as format 4 adds it: how many digits beyond 12, then the number (a shorter one with
    zeros before it), then zeros (ISO 9564-1 clause 9.4.2.3)."""
    count = len(card)
    if not (0 < count <= LONGEST_CARD and card.isdigit() and card.isascii()):
        raise PinBlockError(BAD_CARD)
    beyond = count - _CARD_DIGITS
    if beyond <= 0:
        return int(card, 16) << 76
    return (beyond << 4 * count | int(card, 16)) << 76 - 4 * beyond


def _random_letters(count: int, random: Random) -> str:
    """Hex digits A to F, all alike often: bytes that would favour some of them are thrown away."""
    letters = ""
    while len(letters) < count:
        fair = bytes(byte % 6 for byte in random(2 * _PIN_DIGITS) if byte < 252)
        letters += fair.translate(_FORMAT_3_FILL).decode()
    return letters[:count]
