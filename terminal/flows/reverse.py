"""The reversal of a request that got no verified answer: repeated until it has one, before anything new."""

from terminal.flows.dialogue import ENTER, tell
from terminal.flows.exchange import insist
from terminal.flows.outcome import APPROVED_CODE, Outcome, original_stan, reversal_of
from terminal.flows.wait import KEY, Wait
from terminal.journal import REFUSED, REVERSED

REPLACEMENT_STAYS = "0307"  # reason: it was booked, and the old card is no more


async def reverse(app, pending):
    """Take back a SENT journal entry; return the event that ended the closing message, as `tell`.

    A switch that refuses for good ends it too; the cashier then has to confirm having read so.
    """
    fields = reversal_of(pending.request)
    stan = original_stan(fields)
    _, message = await insist(app, "0420", "0421", fields, lambda is_up: app.screens.show("reversal", stan))
    outcome = Outcome(pending.request, message)
    code = outcome.response_code
    app.journal.close(pending.stan, REVERSED if code == APPROVED_CODE else REFUSED)
    event = outcome.event("reversal")
    event["stan"] = fields[11]
    event["original_stan"] = stan
    app.emit(event)
    if code == APPROVED_CODE:
        return await tell(app, "reversed")
    if outcome.reason == REPLACEMENT_STAYS:
        return await tell(app, "card_stays")
    # Whether points moved is open: a person has to ask, so a person has to see it.
    app.log("error", "reversal of STAN %s refused with %s" % (stan, code))
    app.screens.show("message", stan, code, text="reversal_refused")
    while (await Wait((KEY,)))[1] != ENTER:
        pass
    return None
