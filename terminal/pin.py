"""PIN blocks of ISO 9564-1 format 4. A clear PIN enters as a bytearray and leaves enciphered only.

No digit of it may reach an exception, a log, a screen or a str.
"""

from terminal.hal.crypto import BLOCK, ECB
from terminal.security import wipe

SHORTEST_PIN = 4
LONGEST_PIN = 12
_CONTROL = 4  # the format
_FILL = 0xA
_PIN_DIGITS = 14  # room for digits and fill in the first half
_CARD_DIGITS = 12  # a shorter number gets zeros in front


def pin_block(aes, key, pin, card, random):
    """The enciphered block (16 bytes) of a PIN (bytearray of digits as numbers) and a card number (digits).

    Both fields of ISO 9564-1, 9.4.2, joined by two encipherings. Raises ValueError: a PIN of another length.
    """
    if not SHORTEST_PIN <= len(pin) <= LONGEST_PIN:
        raise ValueError("PIN: length")
    field = bytearray(BLOCK)
    out = bytearray(BLOCK)
    cipher = aes(key, ECB)
    try:
        field[0] = _CONTROL << 4 | len(pin)
        for place in range(_PIN_DIGITS):
            digit = pin[place] if place < len(pin) else _FILL
            field[1 + (place >> 1)] |= digit if place & 1 else digit << 4
        field[BLOCK // 2 :] = random(BLOCK // 2)
        cipher.encrypt(field, out)
        number = card_field(card)
        for place in range(BLOCK):
            field[place] = out[place] ^ number[place]
        return cipher.encrypt(field)
    finally:
        wipe(field)
        wipe(out)


def card_field(card):
    """The card number as it enters the block: digits beyond 12 counted in front, zeros behind."""
    digits = "0" * (_CARD_DIGITS - len(card)) + card
    text = "%d" % (len(digits) - _CARD_DIGITS) + digits
    return bytes.fromhex(text + "0" * (2 * BLOCK - len(text)))
