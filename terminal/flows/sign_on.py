"""Sign-on (0800/001): brings date, time, redemption ratio and the limit of redemptions without a proof.

There is no trading before it.
"""

from terminal.flows.exchange import ask, line_up, meanwhile
from terminal.flows.outcome import APPROVED_CODE
from terminal.flows.wait import LINE_UP
from terminal.journal import JournalError
from terminal.message_tables import (
    TAG_COUNTERS,
    TAG_PIN_FROM_POINTS,
    TAG_REDEMPTION_RATIO,
    TAG_SWITCH_DATE_TIME,
)
from terminal.message_texts import meaning
from terminal.text import is_date, moment_of
from terminal.ui.strings import pair_of

SIGN_ON = "001"  # DE 70
FIRST_PAUSE_MS = 1000
LONGEST_PAUSE_MS = 30000  # a switch that came back is noticed within this


async def sign_on(app):
    """Sign on; return when it is done, however long the switch takes to come."""
    pause_ms = FIRST_PAUSE_MS
    text = ("", "")
    while True:
        app.screens.show("signing_on", text)
        app.downloads.check_trial(app.clock.now_ms())
        if app.line_is_up or app.clock.wall() is None:
            text = await attempt(app)
            if text is None:
                return
        else:
            app.ports.connect()  # the date is known: earns can be kept until the line stands
        await meanwhile(app, pause_ms, () if app.line_is_up else (LINE_UP,))
        pause_ms = min(2 * pause_ms, LONGEST_PAUSE_MS)


async def attempt(app):
    """One sign-on. None when it succeeded, else a text (English, Persian) for the cashier."""
    if not await line_up(app):
        return trouble(app)
    try:
        answer, _ = await ask(app, "0800", fields_of(app))
    except (OSError, JournalError) as error:
        app.log("error", str(error))
        return "", ""
    return trouble(app) if answer is None else taken(app, answer)


def fields_of(app):
    """The fields of a sign-on, but for its STAN. Raises OSError."""
    fields = {
        41: app.settings.terminal_id,
        42: app.settings.acceptor_id,
        48: dict(app.downloads.told()),
        70: SIGN_ON,
    }
    fields[48][TAG_COUNTERS] = app.events.digits()
    app.events.save()
    return fields


def taken(app, answer):
    """Take an answer's fields; returns as attempt(). Raises OSError."""
    if answer[39] != APPROVED_CODE:
        app.log("warning", "sign-on refused with " + answer[39])
        return meaning(answer[39]) or (answer[39], answer[39])
    tags = answer.get(48, {})
    moment = _told_moment(tags.get(TAG_SWITCH_DATE_TIME, ""))
    ratio = int(tags.get(TAG_REDEMPTION_RATIO, "0"))
    if moment is None or not ratio:
        app.log("error", "sign-on: the answer brings no date or no ratio")
        return "", ""
    limit = tags.get(TAG_PIN_FROM_POINTS)
    app.signed_on(moment, ratio, None if limit is None else int(limit))
    app.downloads.offered(tags)
    return None


def trouble(app):
    """What is known of why the switch can't be reached (English, Persian)."""
    if app.line_trouble is None:
        return "", ""
    return tuple([text.split("\n")[0] for text in pair_of(app.line_trouble)])


def _told_moment(digits):
    """(year, month, day, hour, minute, second) of YYYYMMDDhhmmss; None when there is no such moment."""
    if len(digits) != 14:
        return None
    moment = moment_of(digits)
    if not is_date(*moment[:3]) or moment[3] > 23 or moment[4] > 59 or moment[5] > 59:
        return None
    return moment
