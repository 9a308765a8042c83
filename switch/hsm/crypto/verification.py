"""Values that verify a PIN or a card under TDES: Visa PVV, IBM 3624 offset, CVV.

A value is compared with `ciphers.same`. Raises ValueError for input that is no digits; the text never repeats
it.
"""

from __future__ import annotations

from switch.hsm.crypto.ciphers import same, tdes_block_encryptor, tdes_ecb_encrypt, xor

CVV_DIGITS = 3
PVV_DIGITS = 4
_PVV_CARD_DIGITS = 11
_PVV_PIN_DIGITS = 4
_VALIDATION_DIGITS = 16
_DIGITS_ALONE = str.maketrans("", "", "abcdef")
_LETTERS_ALONE = str.maketrans("abcdef", "012345", "0123456789")


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
    return KeyedCvv(key).value(card, expiry, service)


class KeyedCvv:
    """Card verification values under one key of 16 bytes (CVK A and CVK B), set up once: a fifth of what a
    value costs."""

    __slots__ = ("_first", "_whole")

    def __init__(self, key: bytes) -> None:
        if len(key) != 16:
            raise ValueError(f"a CVK has 16 bytes, not {len(key)}")
        self._first, self._whole = tdes_block_encryptor(key[:8]), tdes_block_encryptor(key)

    def __repr__(self) -> str:
        return "KeyedCvv(hidden)"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a key is not copied or stored")

    def value(self, card: str, expiry: str, service: str) -> str:
        """See `cvv`."""
        _check_digits("card number", card)
        if len(card) > 19 or len(expiry) != 4 or len(service) != 3:
            raise ValueError("a CVV takes a card number of at most 19 digits, 4 of expiry, 3 of service code")
        _check_digits("expiry", expiry)
        _check_digits("service code", service)
        data = bytes.fromhex((card + expiry + service).ljust(32, "0"))
        first = self._first.update(data[:8])
        return _decimalised(self._whole.update(xor(first, data[8:])))[:CVV_DIGITS]


def cvv_matches(key: bytes, card: str, expiry: str, service: str, value: str) -> bool:
    return len(value) == CVV_DIGITS and same(cvv(key, card, expiry, service), value)


def _decimalised(block: bytes) -> str:
    """First the digits among its hex digits in their order, then the letters as 0 to 5."""
    text = block.hex()
    return text.translate(_DIGITS_ALONE) + text.translate(_LETTERS_ALONE)


def _digit_by_digit(left: str, right: str, sign: int) -> str:
    return "".join(str((int(one) + sign * int(other)) % 10) for one, other in zip(left, right, strict=True))


def _check_digits(what: str, text: str) -> None:
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"the {what} is not digits")


def _check_double(key: bytes) -> None:
    if len(key) not in (16, 24):
        raise ValueError(f"a PVK has 16 or 24 bytes, not {len(key)}")
