"""Small conversations with the cashier that flows share: a number, a card, a message.

Each returns what was given, or None when it was cancelled or nobody came.
"""

from terminal.flows.member import CARD_DIGITS, by_number
from terminal.flows.wait import BAD_CARD, CARD, FOREIGN, KEY, SCAN, TIMEOUT, Wait
from terminal.journal import JournalError
from terminal.text import masked

ENTRY_MS = 60000  # a half-typed amount is dropped when the cashier walks away
MESSAGE_MS = 3000
RESULT_MS = 5000
STORAGE_RETRY_MS = 2000
LONGEST_NUMBER = 12  # digits of DE 4 and of the points tag

CANCEL = "*"
ENTER = "#"
NEXT_LETTER = "A"  # key that makes the next letter of the phone key of a digit
PHONE_KEYS = ("0", "1", "2ABC", "3DEF", "4GHI", "5JKL", "6MNO", "7PQRS", "8TUV", "9WXYZ")
# Key at idle: the flow it starts.
MENU = {"A": "earn", "B": "redeem", "C": "balance", "D": "activate"}
MORE = "#"  # key at idle: the menu of what is wanted seldom

_SHOWN_DIGITS = 4  # of a number being typed: within the mask of a card and of a mobile number
_TOLD_DIGITS = 8  # of an amount being typed, which may turn out to be a card number: those of an issuer


class Cancelled(Exception):
    """The cashier went back, or away."""


async def ask_number(app, screen, title, offered=0):
    """A whole number above zero, keyed in. Raises Cancelled. offered: what ENTER alone takes."""
    return (await ask_sale(app, screen, title, offered=offered))[0]


async def ask_sale(app, screen, title, digits="", kinds=(KEY,), offered=0):
    """As ask_number(), and the member whose card ended the entry instead of a key, or None.

    digits: keyed in already; kinds: with CARD and BAD_CARD a card may come.
    """
    text = None
    while True:
        told = None
        if len(digits) > _TOLD_DIGITS:
            told = title, digits[:_TOLD_DIGITS] + "*" * (len(digits) - _TOLD_DIGITS)
        app.screens.show(screen, title, int(digits or offered), text=text, told=told)
        kind, key = await Wait(kinds, ENTRY_MS)
        text = None
        if kind == CARD and digits:
            return int(digits), key
        if key == ENTER and (digits or offered):
            return int(digits or offered), None
        if kind == BAD_CARD:
            text = screen + "_again"
        digits = edited(digits, kind, key, LONGEST_NUMBER + 1).lstrip("0")
        if len(digits) > LONGEST_NUMBER:
            await number_wrong(app)
            digits = ""


def edited(digits, kind, key, longest):
    """What digits become by an event: CANCEL takes them away, a digit comes behind. Raises Cancelled: there
    were none to take away, or nobody came."""
    if kind == TIMEOUT or (key == CANCEL and not digits):
        raise Cancelled
    if key == CANCEL:
        return ""
    if kind == KEY and "0" <= key <= "9" and len(digits) < longest:
        return digits + key
    return digits


async def ask_text(app, screen, title, longest, letters=False, scanned=None):
    """A text of keyed digits, empty when only ENTER came. Raises Cancelled.

    letters: NEXT_LETTER makes letters of digits; scanned(bytes) -> text or None: what a code that was held
    under the scanner stands for.
    """
    text = ""
    while True:
        app.screens.show(screen, title, text)
        kind, key = await Wait((KEY,) if scanned is None else (KEY, SCAN), ENTRY_MS)
        if kind == SCAN:
            found = scanned(key)
            if found is not None:
                return found
            continue
        if key == ENTER:
            return text
        if key == NEXT_LETTER and letters and text:
            text = text[:-1] + _letter_after(text[-1])
        text = edited(text, kind, key, longest)


def _letter_after(letter):
    """What the next-letter key makes of a letter: the next one of its phone key, after the last its digit."""
    for group in PHONE_KEYS:
        at = group.find(letter)
        if at >= 0:
            return group[(at + 1) % len(group)]
    return letter


async def choose(app, screen, keys, *values, text=None):
    """The key of `keys` that the cashier presses. Raises Cancelled on CANCEL, and when nobody comes."""
    app.screens.show(screen, *values, text=text)
    while True:
        kind, key = await Wait((KEY,), ENTRY_MS)
        if kind == TIMEOUT or key == CANCEL:
            raise Cancelled
        if key in keys:
            return key


async def ask_member(app, title, text="swipe", digits=""):
    """The member by a card, or by a typed card or mobile number. Raises Cancelled. text: who is asked for;
    digits: keyed in already."""
    asked = text
    while True:
        if digits:
            app.screens.show("card_number", title, typed(digits))
        else:
            app.screens.show("swipe", title, text=text)
        kind, value = await Wait((CARD, BAD_CARD, KEY), ENTRY_MS)
        if kind == CARD:
            return value
        digits = edited(digits, kind, value, CARD_DIGITS)
        if value == CANCEL:
            text = asked
        elif kind == BAD_CARD:
            text = "card_refused" if value == FOREIGN else "swipe_again"
            digits = ""
        elif value == ENTER:
            member = by_number(digits)
            if member is not None:
                return member
            if digits:
                await number_wrong(app)
                digits = ""


def typed(digits):
    """What a screen may show of a number being typed: in all its states together no more than its mask."""
    if len(digits) == CARD_DIGITS:
        return masked(digits)
    return digits[:_SHOWN_DIGITS] + "*" * (len(digits) - _SHOWN_DIGITS)


async def number_wrong(app):
    """Say that a number can't be. What is still typed of it goes with it."""
    app.screens.show("message", text="number_wrong")
    await until_read()


async def until_read():
    """Leave the screen until ENTER or CANCEL, or until nobody types; other keys go nowhere."""
    key = None
    while key not in (ENTER, CANCEL):
        kind, key = await Wait((KEY,), MESSAGE_MS)
        if kind == TIMEOUT:
            return


async def until_kept(app, keep, *values):
    """Call what keeps something; while the storage fails the cashier is told, and it is tried again."""
    while True:
        try:
            keep(*values)
            return
        except JournalError as error:
            app.log("error", str(error))
        app.screens.show("message", text="storage")
        await Wait((KEY,), STORAGE_RETRY_MS)


async def tell(app, text, *values):
    """Show a message for a while; return the event that ended it early and still wants to be handled."""
    app.screens.show("message", *values, text=text)
    return await hold(MESSAGE_MS)


async def hold(time_ms):
    """Leave the screen as it is; a card, a digit or a menu key ends that and is returned, another key ends
    it."""
    kind, value = await Wait((CARD, BAD_CARD, KEY), time_ms)
    if kind == TIMEOUT or (kind == KEY and value not in MENU and not "1" <= value <= "9"):
        return None
    return kind, value
