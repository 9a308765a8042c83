"""Who the member is: by a card that was swiped, tapped or inserted, a scanned code, or a typed number.

A member is a dictionary of the fields that name it in a message. Only swipe, tap and chip count as having the
card; a scanned code counts as typed, for it can be a picture of one. A chip card's own proof is of one
message alone: it comes to the fields last, see `challenge_of` and `proven`.
"""

from hashlib import sha256

from terminal.message_tables import TAG_CHIP_PROOF, TAG_MOBILE, TAG_OTHER_CARD, TAG_POINTS, TAG_TAP
from terminal.text import is_digits, luhn_valid

CARD_DIGITS = 16
MOBILE_DIGITS = 11  # as people say it, with the leading zero
_COUNTRY = "98"
_MOBILE_BEGIN = "09"

# DE 22 (ISO 8583:1987): how the member was named; the last digit says that the terminal takes a PIN.
_TYPED, _SWIPED, _SCANNED, _INSERTED, _TAPPED = "011", "021", "031", "051", "071"
_WITH_CARD = (_SWIPED, _INSERTED, _TAPPED)
_MODES = {_TYPED: "typed", _SWIPED: "swipe", _SCANNED: "code", _INSERTED: "chip", _TAPPED: "tap"}

# What a chip card proves: its challenge is the hash of these fields, in this order, each as its digits or
# letters, zeros of its length when it is absent.
_PROVEN = ((3, 6), (4, 12), (11, 6), (12, 6), (13, 4), (41, 8))
_PROVEN_TAGS = ((TAG_POINTS, 12), (TAG_OTHER_CARD, 19))
_CHALLENGE = "VAFA-CHIP1"
CHALLENGE_BYTES = 16

# A PIN block beside a tap is made over so many digits, of the first so many bytes of the tap as a number.
_TAP_DIGITS, _TAP_BYTES = 15, 6


def by_swipe(track2):
    """The member whose card went through the reader."""
    return {22: _SWIPED, 35: track2}


def by_tap(tap):
    """The member whose contactless card was read. tap: a drivers.chip_card.Tap."""
    return {22: _TAPPED, 48: {TAG_TAP: tap.picc + tap.data + tap.mac}}


def by_chip(number):
    """The member whose chip card lies in the reader. number: the card's, as its file says it."""
    return {22: _INSERTED, 2: number}


def by_code(number):
    """The member of a card number that was scanned. None when it can't be one."""
    return {22: _SCANNED, 2: number} if len(number) == CARD_DIGITS and luhn_valid(number) else None


def by_number(digits):
    """The member of a typed card number or mobile number; None when it is neither."""
    if len(digits) == MOBILE_DIGITS and digits.startswith(_MOBILE_BEGIN):
        return {22: _TYPED, 48: {TAG_MOBILE: _COUNTRY + digits[1:]}}
    if len(digits) == CARD_DIGITS and luhn_valid(digits):
        return {22: _TYPED, 2: digits}
    return None


def has_card(member):
    """Whether the card itself was there."""
    return member.get(22) in _WITH_CARD


def has_chip(member):
    """Whether the card has to prove each message itself."""
    return member.get(22) == _INSERTED


def card_number(member):
    """The card number; None of a member named by a mobile number or a tap, whose number is enciphered."""
    if 35 in member:
        return member[35].split("=")[0]
    return member.get(2)


def pin_digits(member):
    """What a PIN block is made over: the card number, or digits of a tap; None of a mobile number."""
    tags = member.get(48, {})
    if TAG_TAP in tags:
        number = 0
        for byte in tags[TAG_TAP][:_TAP_BYTES]:
            number = number << 8 | byte
        return "%0*d" % (_TAP_DIGITS, number)
    return card_number(member)


def names_card(member):
    """Whether it is a card that names the member, and not a mobile number."""
    return pin_digits(member) is not None


def challenge_of(fields):
    """What a chip card is asked to prove of a request: 16 bytes, of all that must not be changed in it."""
    tags = fields.get(48, {})
    parts = [_CHALLENGE]
    parts += [_padded(fields.get(number, ""), length) for number, length in _PROVEN]
    parts += [_padded(tags.get(tag, ""), length) for tag, length in _PROVEN_TAGS]
    return sha256("".join(parts).encode()).digest()[:CHALLENGE_BYTES]


def _padded(text, length):
    return "0" * (length - len(text)) + text  # MicroPython's str has no rjust


def proven(fields, proof):
    """The fields of a request with what the chip card said to its challenge (12 bytes)."""
    return joined(fields, {48: {TAG_CHIP_PROOF: proof}})


def is_taken(member, modes):
    """Whether members may be named so. modes: the parameter entry_modes."""
    return _MODES[member[22]] in modes


def is_of_program(member, prefixes):
    """Whether a card is the program's: 16 digits, one of the prefixes, Luhn, track data of digits only."""
    number = card_number(member)
    if number is None:
        return True  # a mobile number, or a tap: the switch knows whose it is
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
