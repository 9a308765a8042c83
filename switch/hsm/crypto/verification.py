"""Values that verify a PIN or a card under TDES: Visa PVV, IBM 3624 offset, CVV.

A value is compared with `ciphers.same`. Raises ValueError for input that is no digits; the text never repeats
it.
"""

from __future__ import annotations

from switch.hsm.crypto.ciphers import same, tdes_ecb_encrypt, xor

CVV_DIGITS = 3
PVV_DIGITS = 4
_PVV_CARD_DIGITS = 11
_PVV_PIN_DIGITS = 4
_VALIDATION_DIGITS = 16
_HEX_TO_DIGITS = str.maketrans("ABCDEF", "012345")


def pvv(key: bytes, card: str, index: int, pin: str) -> str:
    """The PIN verification value, 4 digits: from the 11 rightmost card digits before the check digit, the
    key index (0 to 9) and the first 4 PIN digits. Key of 16 or 24 bytes."""
    _check_digits("card number", card)
    _check_digits("PIN", pin)
    if len(card) <= _PVV_CARD_DIGITS or len(pin) < _PVV_PIN_DIGITS or not 0 <= index <= 9:
        raise ValueError("a PVV takes 12 card digits or more, a key index of one digit and 4 PIN digits")
    _check_double(key)
    data = card[-1 - _PVV_CARD_DIGITS : -1] + str(index) + pin[:_PVV_PIN_DIGITS]
    return _decimalised(tdes_ecb_encrypt(key, bytes.fromhex(data)))[:PVV_DIGITS]


def pvv_matches(key: bytes, card: str, index: int, pin: str, value: str) -> bool:
    return len(value) == PVV_DIGITS and same(pvv(key, card, index, pin), value)


def ibm_3624_pin(key: bytes, validation: str, table: str, digits: int) -> str:
    """The natural PIN (4 to 16 digits): the left digits of the enciphered validation data, decimalised.
    validation: 16 hex digits. table: what each hex digit becomes, 16 digits. Key of 8, 16 or 24 bytes."""
    if len(validation) != _VALIDATION_DIGITS or not set(validation) <= set("0123456789ABCDEF"):
        raise ValueError("validation data are 16 upper case hex digits")
    _check_digits("decimalisation table", table)
    if len(table) != _VALIDATION_DIGITS or not 4 <= digits <= _VALIDATION_DIGITS:
        raise ValueError("a decimalisation table has 16 digits, a PIN 4 to 16")
    enciphered = tdes_ecb_encrypt(key, bytes.fromhex(validation)).hex()
    return "".join(table[int(digit, 16)] for digit in enciphered[:digits])


def ibm_3624_offset(key: bytes, pin: str, validation: str, table: str) -> str:
    """What must be added to the natural PIN, digit by digit without carry, to become this PIN."""
    _check_digits("PIN", pin)
    natural = ibm_3624_pin(key, validation, table, len(pin))
    return _digit_by_digit(pin, natural, -1)


def ibm_3624_chosen_pin(key: bytes, offset: str, validation: str, table: str) -> str:
    """The PIN that has this offset, as long as the offset."""
    _check_digits("offset", offset)
    return _digit_by_digit(ibm_3624_pin(key, validation, table, len(offset)), offset, 1)


def ibm_3624_matches(key: bytes, pin: str, offset: str, validation: str, table: str) -> bool:
    """Whether the first digits of a PIN, as many as the offset has, belong to the offset."""
    chosen = ibm_3624_chosen_pin(key, offset, validation, table)
    return len(pin) >= len(offset) and same(chosen, pin[: len(offset)])


def cvv(key: bytes, card: str, expiry: str, service: str) -> str:
    """The card verification value, 3 digits. expiry: 4 digits in the order the track has them, service: 3
    digits. Key of 16 bytes: CVK A and CVK B."""
    _check_digits("card number", card)
    if len(card) > 19 or len(expiry) != 4 or len(service) != 3:
        raise ValueError("a CVV takes a card number of at most 19 digits, 4 of expiry, 3 of service code")
    _check_digits("expiry", expiry)
    _check_digits("service code", service)
    if len(key) != 16:
        raise ValueError(f"a CVK has 16 bytes, not {len(key)}")
    data = bytes.fromhex((card + expiry + service).ljust(32, "0"))
    first = tdes_ecb_encrypt(key[:8], data[:8])
    return _decimalised(tdes_ecb_encrypt(key, xor(first, data[8:])))[:CVV_DIGITS]


def cvv_matches(key: bytes, card: str, expiry: str, service: str, value: str) -> bool:
    return len(value) == CVV_DIGITS and same(cvv(key, card, expiry, service), value)


def _decimalised(block: bytes) -> str:
    """First the digits among its hex digits in their order, then the letters as 0 to 5."""
    text = block.hex().upper()
    letters = "".join(character for character in text if character > "9")
    return "".join(character for character in text if character <= "9") + letters.translate(_HEX_TO_DIGITS)


def _digit_by_digit(left: str, right: str, sign: int) -> str:
    return "".join(str((int(one) + sign * int(other)) % 10) for one, other in zip(left, right, strict=True))


def _check_digits(what: str, text: str) -> None:
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"the {what} is not digits")


def _check_double(key: bytes) -> None:
    if len(key) not in (16, 24):
        raise ValueError(f"a PVK has 16 or 24 bytes, not {len(key)}")
