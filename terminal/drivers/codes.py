"""What a scanned text is: goods, a card of the program, a member code, other text; or why it is nothing.

Texts come from scanners as bytes. No device, no look-up of whose card it is: the switch knows. A refused
text is never shown or kept.
"""

from terminal.drivers import Hidden, Reason
from terminal.text import is_digits, luhn_valid

CARD_DIGITS = 16
EAN_DIGITS = 13
LONGEST_TEXT = 48  # characters of a Code 128 that is no card: as many as fit on a paper slip
MEMBER_CODE = "VAFA"  # what every member code begins with, then its version and a colon
MEMBER_CODE_VERSION = "1"
_CHECK_DIGITS = 2

# Why a text is refused, of Refused.reason.
EMPTY, LETTERS, LONG, KIND, CHECK, VERSION, FOREIGN = (
    "empty",
    "letters",  # other characters than printable ASCII
    "long",
    "kind",  # a code of a kind that this terminal has no use for
    "check",  # a digit is wrong
    "version",  # a member code of a later version
    "foreign",  # a card of somebody else's
)

# AIM code identifiers (ISO/IEC 15424), which a scanner may set before a text: EAN, Code 128, QR, Code 39.
_GOODS, _CARD, _MEMBER, _TEXT = 1, 2, 4, 8
_ANY = _GOODS | _CARD | _MEMBER | _TEXT
_AIM = {"E": _GOODS, "C": _CARD | _MEMBER | _TEXT, "Q": _CARD | _MEMBER, "A": _CARD | _TEXT}
_AIM_LETTERS = 3
_AIM_EAN_13 = "]E0"


class Goods:
    """An EAN-13 (GS1 General Specifications 7.9). number: 13 digits."""

    def __init__(self, number):
        self.number = number


class Card(Hidden):
    """A card of the program. number: 16 digits; is_member_code: not printed as such, but shown as a code."""

    def __init__(self, number, is_member_code=False):
        self.number = number
        self.is_member_code = is_member_code


class Text(Hidden):
    """Anything else that a Code 128 holds, such as a voucher's number."""

    def __init__(self, text):
        self.text = text


class Refused(Reason):
    """Nothing for us; reason: see above."""


def code_of(scanned, prefixes):
    """What the bytes of a scan are: Goods, Card, Text or Refused. prefixes: of the program's card numbers."""
    for byte in scanned:
        if not 0x20 <= byte <= 0x7E:
            return Refused(LETTERS)
    text = str(scanned, "ascii").strip(" ")
    may_be = _ANY
    if text.startswith("]") and len(text) >= _AIM_LETTERS:
        may_be = _AIM.get(text[1], 0)
        if may_be == _GOODS and not text.startswith(_AIM_EAN_13):
            may_be = 0  # UPC-E, EAN-8, or the two and five digits beside a code
        text = text[_AIM_LETTERS:]
    return _code(text, may_be, prefixes)


def _code(text, may_be, prefixes):
    if not text:
        return Refused(EMPTY)
    if text.startswith(MEMBER_CODE) and text[len(MEMBER_CODE) + 1 : len(MEMBER_CODE) + 2] == ":":
        return _member_code(text, prefixes) if may_be & _MEMBER else Refused(KIND)
    if is_digits(text):
        if len(text) == CARD_DIGITS and may_be & _CARD:
            return _card(text, prefixes)
        if len(text) == EAN_DIGITS and may_be & _GOODS:
            return Goods(text) if ean_valid(text) else Refused(CHECK)
    if not may_be & _TEXT or "://" in text or _longest_number(text) > EAN_DIGITS:
        return Refused(KIND)  # a link, or maybe somebody's card number
    return Text(text) if len(text) <= LONGEST_TEXT else Refused(LONG)


def _longest_number(text):
    """How many digits stand together in it, at most."""
    longest = count = 0
    for letter in text:
        count = count + 1 if "0" <= letter <= "9" else 0
        longest = max(longest, count)
    return longest


def _card(number, prefixes, is_member_code=False):
    if not luhn_valid(number):
        return Refused(CHECK)
    for prefix in prefixes:
        if number.startswith(prefix):
            return Card(number, is_member_code)
    return Refused(FOREIGN)


def _member_code(text, prefixes):
    version, body = text[len(MEMBER_CODE)], text[len(MEMBER_CODE) + 2 :]
    if version != MEMBER_CODE_VERSION:
        return Refused(VERSION)
    if len(body) != CARD_DIGITS + _CHECK_DIGITS or not is_digits(body):
        return Refused(KIND)
    if _remainder(body) != 1:
        return Refused(CHECK)
    return _card(body[:CARD_DIGITS], prefixes, True)


def member_code(number):
    """The text of a member code: `VAFA1:`, the card number, two check digits (ISO/IEC 7064 MOD 97-10)."""
    assert luhn_valid(number), "no card number"
    check = 98 - _remainder(number + "00")
    return "%s%s:%s%02d" % (MEMBER_CODE, MEMBER_CODE_VERSION, number, check)


def _remainder(digits):
    """Of the division by 97; digit after digit, so that numbers stay small."""
    rest = 0
    for digit in digits:
        rest = (rest * 10 + ord(digit) - 0x30) % 97
    return rest


def ean_valid(number):
    """Whether the last of 13 digits is the check digit of the others: weights 1 and 3, from the left."""
    total = 0
    for place, digit in enumerate(number):
        total += (ord(digit) - 0x30) * (3 if place % 2 else 1)
    return total % 10 == 0
