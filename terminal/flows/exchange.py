"""A request over the line, and its verified answer or the certainty that there is none."""

from terminal.flows.wait import CARD, KEY, LINE_DOWN, LINE_NEWS, LINE_REFUSED, LINE_UP, MESSAGE, TIMEOUT, Wait
from terminal.journal import JournalError
from terminal.line import Ignored
from terminal.ui.strings import pair_of

LONGEST_AMOUNT = 12  # digits
GIVE_UP = "*"  # key that ends the waiting for a call; the call goes on for whoever comes next

# Transient refusals (DE 39): the switch remembers nothing of them, the same request may succeed later.
TRANSIENT = ("63", "86", "91", "96")


class NotSent(Exception):
    """Certainly no byte of the request left the terminal."""


class NoAnswer(Exception):
    """The request left, or part of it, and no verified answer came."""


async def line_up(app):
    """Whether the line is up, after waiting for it; how far a call is stands on the screen meanwhile."""
    if app.line_is_up:
        return True
    app.ports.connect()
    end_ms = app.clock.now_ms() + app.line_patience_ms
    kinds = (LINE_UP, LINE_REFUSED, LINE_NEWS)
    while True:
        if app.line_told:
            app.screens.show("line", text=app.line_told)
            kinds = (LINE_UP, LINE_REFUSED, LINE_NEWS, KEY)
        kind, key = await Wait(kinds, max(0, end_ms - app.clock.now_ms()))
        if kind == LINE_UP and len(kinds) == 4:
            app.screens.show("line", text="line_stands")
        if kind in (LINE_UP, LINE_REFUSED, TIMEOUT) or key == GIVE_UP:
            return kind == LINE_UP


async def meanwhile(app, time_ms, kinds=()):
    """Wait for an event of `kinds`, so long at most; an earn that comes instead is kept offline."""
    if app.clock.wall() is None or app.journal is None or not app.settings.offline_most:
        await Wait(kinds, time_ms)
        return
    kind, member = await Wait(kinds + (CARD,), time_ms)
    if kind == CARD:
        from terminal.flows.offline import sale

        await sale(app, member)


async def exchange(app, request, aside=None):
    """Send a line.Request; return (fields, message) of its answer. Raises NotSent or NoAnswer.

    aside: a list, for the event of a card or key that comes meanwhile; else they are in vain.
    A connection that failed or stayed silent is dropped, so that the next attempt gets a fresh one.
    """
    if request.frame is None:  # training: it goes nowhere
        return request.answer()
    left = app.ports.send(request.frame)
    if left < len(request.frame):
        app.drop_line()
        if left:
            raise NoAnswer
        raise NotSent
    deadline_ms = app.clock.now_ms() + app.settings.answer_timeout_ms
    kinds = (MESSAGE, LINE_DOWN) if aside is None else (MESSAGE, LINE_DOWN, CARD, KEY)
    while True:
        kind, message = await Wait(kinds, max(0, deadline_ms - app.clock.now_ms()))
        if kind in (CARD, KEY):
            _put_aside(aside, kind, message)
            app.screens.show("processing", pair_of("earn"))
            continue
        if kind != MESSAGE:
            if kind != LINE_DOWN:
                app.drop_line()
            raise NoAnswer
        try:
            answer = request.answered_by(message)
            app.line_trouble = None
            return answer, message
        except Ignored as why:
            app.ignored(str(why))


async def ask(app, mti, fields, transmission=None):
    """(fields of the answer or None, name of the text that says why there is none) of a request that is never
    repeated nor reversed; it gets a STAN. Raises JournalError."""
    if await line_up(app):
        fields[11] = "%06d" % app.stans.take()
        try:
            answer, _ = await exchange(app, app.request(mti, fields, transmission))
            return answer, None
        except NotSent:
            pass
        except NoAnswer:
            return None, "no_answer"
    return None, app.line_trouble or "no_line"


async def insist(app, first, repeat, fields, show):
    """(fields, message) of the answer: sent until the switch has answered for good, as `repeat` (MTI) once it
    may have left. show(whether the line is up): tells the cashier, before each try."""
    mti = first
    while True:
        show(app.line_is_up)
        kinds = ()
        if app.line_is_up:
            try:
                answer, message = await exchange(app, app.request(mti, fields))
                if answer[39] not in TRANSIENT:
                    return answer, message
                mti = repeat
            except NotSent:
                pass
            except NoAnswer:
                mti = repeat
            except JournalError as error:
                app.log("error", str(error))  # no key serial can be reserved: later, then
        else:
            app.ports.connect()
            kinds = (LINE_UP,)
        await meanwhile(app, app.settings.reversal_interval_ms, kinds)


def _put_aside(aside, kind, value):
    """Keep a card, a menu's key, or the digits of an amount so far, for when the exchange is over."""
    before = aside[0] if aside else (None, "")
    if kind == KEY:
        if before[0] == CARD and value != GIVE_UP:
            return  # its amount is asked for
        if value == GIVE_UP:
            aside[:] = []
            return
        if "0" <= value <= "9":
            digits = before[1] if "0" <= before[1][:1] <= "9" else ""
            value = (digits + value)[:LONGEST_AMOUNT].lstrip("0")
    aside[:] = [(kind, value)] if value else []
