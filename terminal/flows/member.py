"""Who the member is: by a swiped card, a typed card number or a typed mobile number.

A member is a dictionary of the fields that name it in a message; only a swipe counts as having the card.
"""

from terminal.message_tables import TAG_MOBILE
from terminal.text import is_digits, luhn_valid

CARD_DIGITS = 16
MOBILE_DIGITS = 11  # as people say it, with the leading zero
_COUNTRY = "98"
_MOBILE_BEGIN = "09"

# DE 22: how the card number came; the last digit says that the terminal takes a PIN.
_SWIPED, _TYPED = "021", "011"


def by_swipe(track2):
    """The member whose card went through the reader."""
    return {22: _SWIPED, 35: track2}


def by_number(digits):
    """The member of a typed card number or mobile number; None when it is neither."""
    if len(digits) == MOBILE_DIGITS and digits.startswith(_MOBILE_BEGIN):
        return {22: _TYPED, 48: {TAG_MOBILE: _COUNTRY + digits[1:]}}
    if len(digits) == CARD_DIGITS and luhn_valid(digits):
        return {22: _TYPED, 2: digits}
    return None


def has_card(member):
    """Whether the card itself was there."""
    return 35 in member


def card_number(member):
    """The card number; None of a member named by a mobile number."""
    if 35 in member:
        return member[35].split("=")[0]
    return member.get(2)


def is_of_program(member, prefixes):
    """Whether a card is the program's: 16 digits, one of the prefixes, Luhn, track data of digits only."""
    number = card_number(member)
    if number is None:
        return True  # a mobile number: the switch knows whose it is
    if len(number) != CARD_DIGITS or not luhn_valid(number):
        return False
    if not is_digits("0" + member.get(35, "").replace("=", "")):
        return False
    return any(number.startswith(prefix) for prefix in prefixes)


def joined(fields, more):
    """Fields with more of them; tags of DE 48 come together."""
    both = dict(fields)
    both.update(more)
    if 48 in fields and 48 in more:
        both[48] = dict(fields[48])
        both[48].update(more[48])
    return both
