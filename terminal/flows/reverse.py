"""The reversal of a request that got no verified answer: repeated until it has one, before anything new."""

from terminal.flows.dialogue import tell
from terminal.flows.exchange import TRANSIENT, NoAnswer, NotSent, exchange, line_up
from terminal.flows.outcome import APPROVED_CODE, Outcome, original_stan, reversal_of
from terminal.flows.wait import Wait
from terminal.journal import REVERSED
from terminal.line import Request


async def reverse(app, pending):
    """Take back a SENT journal entry; return the event that ended the closing message, as `tell`."""
    fields = reversal_of(pending.request)
    stan = original_stan(fields)
    mti = "0420"
    while True:
        app.screens.show("reversal", stan)
        answer = message = None
        if await line_up(app):
            try:
                answer, message = await exchange(app, Request(mti, fields, app.keys, app.settings.tpdu))
                mti = "0421"
            except NotSent:
                pass
            except NoAnswer:
                mti = "0421"
        if answer is not None and answer[39] not in TRANSIENT:
            break
        await Wait((), app.settings.reversal_interval_ms)
    app.journal.close(pending.stan, REVERSED)
    outcome = Outcome(pending.request, message)
    if outcome.response_code != APPROVED_CODE:
        app.log("error", "reversal of STAN %s refused with %s" % (stan, outcome.response_code))
    event = outcome.event("reversal")
    event["stan"] = fields[11]
    event["original_stan"] = stan
    app.emit(event)
    return await tell(app, "reversed")
