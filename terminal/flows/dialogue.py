"""Small conversations with the cashier that flows share: a number, a card, a message.

Each returns what was given, or None when it was cancelled or nobody came.
"""

from terminal.flows.member import CARD_DIGITS, MOBILE_DIGITS, by_number
from terminal.flows.wait import BAD_CARD, CARD, KEY, TIMEOUT, Wait
from terminal.text import masked

ENTRY_MS = 60000  # a half-typed amount is dropped when the cashier walks away
MESSAGE_MS = 3000
RESULT_MS = 5000
LONGEST_NUMBER = 12  # digits of DE 4 and of the points tag

CANCEL = "*"
ENTER = "#"
# Key at idle: the flow it starts.
MENU = {"A": "earn", "B": "redeem", "C": "balance", "D": "activate"}
MORE = "#"  # key at idle: the menu of what is wanted seldom

_SHOWN_DIGITS = 4  # of a number being typed: within the mask of a card and of a mobile number


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


async def ask_member(app, title):
    """The member by a swipe, or by a typed card or mobile number. Raises Cancelled."""
    text = "swipe"
    digits = ""
    while True:
        if digits:
            app.screens.show("card_number", title, typed(digits))
        else:
            app.screens.show("swipe", title, text=text)
        kind, value = await Wait((CARD, BAD_CARD, KEY), ENTRY_MS)
        if kind == CARD:
            return value
        if kind == TIMEOUT or (value == CANCEL and not digits):
            raise Cancelled
        if kind == BAD_CARD or value == CANCEL:
            text = "swipe_again" if kind == BAD_CARD else text
            digits = ""
        elif value == ENTER:
            member = by_number(digits)
            if member is not None:
                return member
            if len(digits) >= MOBILE_DIGITS:
                app.screens.show("message", text="number_wrong")
                await Wait((KEY,), MESSAGE_MS)
        elif "0" <= value <= "9" and len(digits) < CARD_DIGITS:
            digits += value


def typed(digits):
    """What a screen may show of a number being typed: in all its states together no more than its mask."""
    if len(digits) == CARD_DIGITS:
        return masked(digits)
    return digits[:_SHOWN_DIGITS] + "*" * (len(digits) - _SHOWN_DIGITS)


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
