"""Small conversations with the cashier that flows share: a number, a card, a message.

Each returns what was given, or None when it was cancelled or nobody came.
"""

from terminal.flows.wait import BAD_CARD, CARD, KEY, TIMEOUT, Wait
from terminal.text import is_digits, luhn_valid

ENTRY_MS = 60000  # a half-typed amount is dropped when the cashier walks away
MESSAGE_MS = 3000
RESULT_MS = 5000
LONGEST_NUMBER = 12  # digits of DE 4 and of the points tag

CANCEL = "*"
ENTER = "#"
# Key at idle: the flow it starts.
MENU = {"A": "earn", "B": "redeem", "C": "balance", "D": "activate"}

CARD_DIGITS = 16


class Cancelled(Exception):
    """The cashier went back, or away."""


async def ask_number(app, screen, title):
    """A whole number above zero, keyed in and confirmed. Raises Cancelled."""
    digits = ""
    while True:
        app.screens.show(screen, title, int(digits or "0"))
        kind, key = await Wait((KEY,), ENTRY_MS)
        if kind == TIMEOUT or (key == CANCEL and not digits):
            raise Cancelled
        if key == CANCEL:
            digits = ""
        elif key == ENTER:
            if digits:
                return int(digits)
        elif "0" <= key <= "9" and len(digits) < LONGEST_NUMBER and (digits or key != "0"):
            digits += key


async def ask_card(app, title):
    """Track 2 of a swipe. Raises Cancelled."""
    text = "swipe"
    while True:
        app.screens.show("swipe", title, text=text)
        kind, value = await Wait((CARD, BAD_CARD, KEY), ENTRY_MS)
        if kind == CARD:
            return value
        if kind == TIMEOUT or value == CANCEL:
            raise Cancelled
        if kind == BAD_CARD:
            text = "swipe_again"


async def tell(app, text, *values):
    """Show a message for a while; return the event that ended it early and still wants to be handled."""
    app.screens.show("message", *values, text=text)
    return await hold(MESSAGE_MS)


async def hold(time_ms):
    """Leave the screen as it is; a swipe or a menu key ends that and is returned, another key ends it."""
    kind, value = await Wait((CARD, BAD_CARD, KEY), time_ms)
    if kind == TIMEOUT or (kind == KEY and value not in MENU):
        return None
    return kind, value


def is_program_card(track2, prefixes):
    """Whether track 2 is of a card of the program: 16 digits, one of the prefixes, Luhn, then digits only."""
    number, _, rest = track2.partition("=")
    if len(number) != CARD_DIGITS or not luhn_valid(number):
        return False
    if not is_digits("0" + rest.replace("=", "")):
        return False
    return any(number.startswith(prefix) for prefix in prefixes)
