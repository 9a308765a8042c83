"""That it is really the member: PIN or one-time code; and PINs chosen anew.

A clear PIN lives in one bytearray from its first key to its block and is overwritten then. Screens and events
show stars.
"""

from terminal.flows.dialogue import (
    CANCEL,
    ENTER,
    ENTRY_MS,
    MESSAGE_MS,
    Cancelled,
    choose,
    edited,
    number_wrong,
    tell,
    typed,
)
from terminal.flows.exchange import ask
from terminal.flows.member import MOBILE_DIGITS, by_number, joined, pin_digits
from terminal.flows.outcome import APPROVED_CODE, MESSAGES, why
from terminal.flows.wait import KEY, TIMEOUT, Wait
from terminal.message_tables import TAG_ONE_TIME_CODE, TAG_SUPERVISOR
from terminal.pin import LONGEST_PIN, SHORTEST_PIN
from terminal.security import same, wipe
from terminal.ui.strings import pair_of

CODE_DIGITS = 6
CODE_INSTEAD = "A"  # key at a PIN screen: a one-time code, please
BY_SUPERVISOR = "B"  # key that has a supervisor answer for the member
WITH_PIN = "A"  # key that ends a new member's mobile number: a PIN is chosen, too


class Proof:
    """Fields that prove the member; transmission: the one they are enciphered for, None when any will do."""

    def __init__(self, fields, transmission=None):
        self.fields = fields
        self.transmission = transmission


async def ask_proof(app, title, member, by_code=False):
    """A Proof by PIN, or by a code when the member wants or has no card. Raises Cancelled, JournalError."""
    number = pin_digits(member)
    while True:
        if number is not None and not by_code:
            pin = await ask_secret(app, "pin", title, SHORTEST_PIN, LONGEST_PIN, other=CODE_INSTEAD)
            if pin is not None:
                return enciphered(app, pin, number)
        by_code = False
        code = await _ask_code(app, title, member)
        if code is not None:
            return Proof({48: {TAG_ONE_TIME_CODE: code}})
        if number is None:
            raise Cancelled


async def ask_voucher(app, title, member):
    """A Proof as ask_proof(), or of a supervisor who answers for the member. Raises as ask_proof()."""
    key = await choose(app, "proof", ENTER + CODE_INSTEAD + BY_SUPERVISOR, title)
    if key != BY_SUPERVISOR:
        return await ask_proof(app, title, member, by_code=key == CODE_INSTEAD)
    from terminal.flows.supervisor import admitted

    if not await admitted(app):
        raise Cancelled
    return Proof({48: {TAG_SUPERVISOR: "01"}})


def enciphered(app, pin, number):
    """The Proof of a PIN, which is overwritten."""
    try:
        transmission = app.keys.transmission()
        return Proof({52: transmission.pin_block(pin, number)}, transmission)
    finally:
        wipe(pin)


async def ask_secret(app, screen, title, shortest, longest, other=None):
    """Digits as numbers in a bytearray, shown as stars; None: `other` was pressed first. Raises Cancelled."""
    digits = bytearray(longest)
    count = 0
    try:
        while True:
            app.screens.show(screen, title, "*" * count)
            kind, key = await Wait((KEY,), ENTRY_MS)
            if kind == TIMEOUT or (key == CANCEL and not count):
                raise Cancelled
            if key == CANCEL:
                wipe(digits)
                count = 0
            elif key == other and not count:
                return None
            elif key == ENTER:
                if count >= shortest:
                    return bytearray(memoryview(digits)[:count])
            elif "0" <= key <= "9" and count < longest:
                digits[count] = ord(key) - ord("0")
                count += 1
    finally:
        wipe(digits)


async def ask_twice(app, screen, again, title, shortest, longest, other=None):
    """Digits keyed in twice, at screens of these names, until both agree; as ask_secret()."""
    while True:
        first = await ask_secret(app, screen, title, shortest, longest, other)
        if first is None:
            return None
        agreed = False
        try:
            second = await ask_secret(app, again, title, shortest, longest)
            agreed = same(first, second)
            wipe(second)
            if agreed:
                return first
        finally:
            if not agreed:
                wipe(first)
        app.screens.show("message", text="pins_differ")
        await Wait((KEY,), MESSAGE_MS)


async def ask_new_pin(app, title, other=None):
    """A PIN keyed in twice, as ask_secret()."""
    return await ask_twice(app, "new_pin", "new_pin_again", title, SHORTEST_PIN, LONGEST_PIN, other)


async def ask_newcomer(app, title, number):
    """(fields, Proof or None): the mobile number of a new member, when one is given, and its first PIN, when
    it is asked for by WITH_PIN. number: what the PIN block is made over. Raises as ask_proof()."""
    digits = ""
    while True:
        app.screens.show("mobile", title, typed(digits))
        kind, key = await Wait((KEY,), ENTRY_MS)
        digits = edited(digits, kind, key, MOBILE_DIGITS)
        if key in (ENTER, WITH_PIN):
            named = by_number(digits)
            if digits and (named is None or 48 not in named):
                await number_wrong(app)
                continue
            pin = await ask_new_pin(app, title) if key == WITH_PIN else None
            fields = {48: named[48]} if digits else {}
            return fields, None if pin is None else enciphered(app, pin, number)


async def _ask_code(app, title, member):
    """Have a one-time code sent to the member and take it (str); None when none was sent.

    Raises Cancelled, JournalError.
    """
    app.screens.show("processing", title)
    mti, processing_code = MESSAGES["code"]
    answer, trouble = await ask(app, mti, joined(app.heading(processing_code), member))
    if answer is None:
        await tell(app, trouble)
        return None
    code = answer[39]
    if code != APPROVED_CODE:
        app.screens.show("declined", pair_of("code"), code, why(answer))
        await Wait((KEY,), MESSAGE_MS)
        return None
    secret = await ask_secret(app, "one_time_code", title, CODE_DIGITS, CODE_DIGITS)
    text = "".join([chr(ord("0") + digit) for digit in secret])
    wipe(secret)
    return text
