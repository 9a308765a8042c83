"""Earn, redeem, balance and activate: card, number, request, answer. They differ by tables only."""

from terminal.flows.dialogue import (
    LONGEST_NUMBER,
    RESULT_MS,
    ask_card,
    ask_number,
    hold,
    is_program_card,
    tell,
)
from terminal.flows.exchange import NoAnswer, NotSent, exchange, line_up
from terminal.flows.outcome import APPROVED_CODE, ASKED, MESSAGES, Outcome, record_of
from terminal.flows.present import present
from terminal.flows.reverse import reverse
from terminal.flows.wait import KEY, Wait
from terminal.journal import DECLINED, NOT_SENT, JournalError
from terminal.line import Request
from terminal.message_tables import RESPONSES, TAG_POINTS
from terminal.ui.strings import title_of

ENTRY_MODE = "022"  # DE 22: magnetic stripe, no PIN pad
CURRENCY = "364"  # rial
BATCH = "000001"  # until batches are closed
INVALID_AMOUNT = "13"

STORAGE_RETRY_MS = 2000
SENDINGS = 2  # a connection found dead before a byte left it is replaced once


async def trade(app, flow, track2=None):
    """One transaction of the flow from card to receipt; return an event that is left to handle, or None.

    Raises Cancelled. track2: of a card that was swiped already.
    """
    title = title_of(flow)
    if track2 is None:
        track2 = await ask_card(app, title)
    if not is_program_card(track2, app.settings.card_prefixes):
        app.log("info", "card: not of the program")
        return await tell(app, "card_refused")
    number = await ask_number(app, ASKED[flow], title) if flow in ASKED else 0
    if flow == "redeem" and len(str(number * app.ratio)) > LONGEST_NUMBER:
        return await tell(app, "too_much")
    app.screens.show("processing", title)
    if not await line_up(app):
        return await tell(app, "no_line")
    moment = app.clock.wall()
    mti, fields = request_fields(app, flow, track2, number, moment)
    try:
        stan = app.stans.take()
        fields[11] = "%06d" % stan
        record = record_of(mti, fields, app.stans.take(), moment)
        app.journal.begin(stan, record)
    except JournalError as error:
        app.log("error", str(error))
        return await tell(app, "storage")
    return await settle(app, Request(mti, fields, app.keys, app.settings.tpdu))


def request_fields(app, flow, track2, number, moment):
    """MTI and fields of a request, without STAN. number: rial for earn, points for redeem."""
    mti, code = MESSAGES[flow]
    fields = {
        3: code,
        12: "%02d%02d%02d" % moment[3:],
        13: "%02d%02d" % moment[1:3],
        22: ENTRY_MODE,
        35: track2,
        41: app.settings.terminal_id,
        42: app.settings.acceptor_id,
    }
    if flow in ASKED:
        fields[4] = "%012d" % (number * app.ratio if flow == "redeem" else number)
        fields[49] = CURRENCY
        fields[60] = BATCH
    if flow == "redeem":
        fields[48] = {TAG_POINTS: "%012d" % number}
    return mti, fields


async def settle(app, request):
    """Send the request that the journal holds as SENT, and act on what comes of it."""
    pending = app.journal.pending()
    try:
        answer, message = await send(app, request)
    except NotSent:
        app.journal.close(pending.stan, NOT_SENT)
        return await tell(app, "no_line")
    except NoAnswer:
        return await reverse(app, pending)
    if answer[39] == APPROVED_CODE:
        await keep(app, pending, message)
        await present(app, pending)
        return await hold(RESULT_MS)
    app.journal.close(pending.stan, DECLINED)
    return await declined(app, Outcome(pending.request, message))


async def send(app, request):
    """As `exchange`, on a second connection when the first one took no byte."""
    for _ in range(SENDINGS - 1):
        try:
            return await exchange(app, request)
        except NotSent:
            if not await line_up(app):
                raise
    return await exchange(app, request)


async def keep(app, pending, message):
    """Make the approval durable. Nothing is shown of it before; a storage that fails is tried again."""
    while True:
        try:
            app.journal.approve(pending.stan, message)
            return
        except JournalError as error:
            app.log("error", str(error))
        app.screens.show("message", text="storage")
        await Wait((KEY,), STORAGE_RETRY_MS)


async def declined(app, outcome):
    """Show why; declines are not printed."""
    if outcome.response_code == INVALID_AMOUNT:
        app.sign_on_again()  # the redemption ratio may have changed
    code = outcome.response_code
    app.screens.show("declined", title_of(outcome.flow), code, RESPONSES.get(code, ("", "")))
    app.emit(outcome.event())
    return await hold(RESULT_MS)
