"""Earn, redeem, balance and activate: member, number, proof, request, answer. They differ by tables only."""

import terminal
from terminal.flows.dialogue import LONGEST_NUMBER, RESULT_MS, ask_member, ask_number, hold, tell
from terminal.flows.exchange import NoAnswer, NotSent, exchange, line_up
from terminal.flows.member import card_number, has_card, is_of_program, joined
from terminal.flows.outcome import APPROVED_CODE, ASKED, MESSAGES, Outcome, record_of
from terminal.flows.present import present
from terminal.flows.reverse import reverse
from terminal.flows.wait import KEY, Wait
from terminal.journal import DECLINED, NOT_SENT, JournalError
from terminal.message_tables import TAG_POINTS
from terminal.ui.strings import pair_of

CURRENCY = "364"  # rial
BATCH = "000001"  # until batches are closed
INVALID_AMOUNT = "13"
PROOF_NEEDED = "1A"  # PIN or one-time code
PROVEN = ("redeem",)  # flows that may need one
CARD_ONLY = ("activate",)  # flows that a mobile number can't name the member for

STORAGE_RETRY_MS = 2000
SENDINGS = 2  # a connection found dead before a byte left it is replaced once


async def trade(app, flow, member=None):
    """One transaction of the flow from card to receipt; return an event that is left to handle, or None.

    Raises Cancelled, JournalError. member: who was there already.
    """
    title = pair_of(flow)
    if member is None:
        member = await ask_member(app, title)
    if not is_of_program(member, app.settings.card_prefixes) or (
        flow in CARD_ONLY and card_number(member) is None
    ):
        app.log("info", "card: not of the program")
        return await tell(app, "card_refused")
    number = await ask_number(app, ASKED[flow], title) if flow in ASKED else 0
    if flow == "redeem" and len(str(number * app.ratio)) > LONGEST_NUMBER:
        return await tell(app, "too_much")
    proof = await first_proof(app, flow, title, member, number)
    code, left = await attempt(app, flow, member, number, proof)
    if code == PROOF_NEEDED and flow in PROVEN and proof is None:
        proof = await needed_proof(app, title, member)
        _, left = await attempt(app, flow, member, number, proof)
    return left


async def first_proof(app, flow, title, member, number):
    """What goes along from the start: proof of a redemption, the first PIN of a new member; else None."""
    if flow in PROVEN:
        limit = app.pin_from_points
        if not has_card(member) or (limit is not None and number > limit):
            return await needed_proof(app, title, member)
    if flow == "activate":
        from terminal.flows.proof import ask_first_pin

        proof = await ask_first_pin(app, title, card_number(member))
        terminal.forget("terminal.flows.proof")
        return proof
    return None


async def needed_proof(app, title, member):
    """As proof.ask_proof(), whose memory is wanted for what follows."""
    from terminal.flows.proof import ask_proof

    proof = await ask_proof(app, title, member)
    terminal.forget("terminal.flows.proof")
    return proof


async def attempt(app, flow, member, number, proof):
    """One request of the flow and what comes of it: (response code or None, event left to handle or None)."""
    app.screens.show("processing", pair_of(flow))
    if not await line_up(app):
        return None, await tell(app, app.line_trouble or "no_line")
    moment = app.clock.wall()
    mti, fields = request_fields(app, flow, member, number, moment)
    stan = app.stans.take()
    fields[11] = "%06d" % stan
    record = record_of(mti, fields, app.stans.take(), moment)
    transmission = proof.transmission if proof else None
    request = app.request(mti, joined(fields, proof.fields) if proof else fields, transmission)
    app.journal.begin(stan, record)
    return await settle(app, request, proof is None and flow in PROVEN)


def request_fields(app, flow, member, number, moment):
    """MTI and fields of a request, without STAN and proof. number: rial for earn, points for redeem."""
    mti, code = MESSAGES[flow]
    fields = joined(app.heading(code, moment), member)
    if flow in ASKED:
        fields[4] = "%012d" % (number * app.ratio if flow == "redeem" else number)
        fields[49] = CURRENCY
        fields[60] = BATCH
    if flow == "redeem":
        fields = joined(fields, {48: {TAG_POINTS: "%012d" % number}})
    return mti, fields


async def settle(app, request, may_prove):
    """Send the request that the journal holds as SENT, and act on what comes of it; returns as attempt().

    may_prove: a demand for PIN or code is not the end, the caller asks for one.
    """
    pending = app.journal.pending()
    try:
        answer, message = await send(app, request)
    except NotSent:
        app.journal.close(pending.stan, NOT_SENT)
        return None, await tell(app, app.line_trouble or "no_line")
    except NoAnswer:
        return None, await reverse(app, pending)
    code = answer[39]
    if code == APPROVED_CODE:
        await keep(app, pending, message)
        await present(app, pending)
        return code, await hold(RESULT_MS)
    app.journal.close(pending.stan, DECLINED)
    outcome = Outcome(pending.request, message)
    if may_prove and code == PROOF_NEEDED:
        app.emit(outcome.event())
        return code, None
    return code, await declined(app, outcome)


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
    app.screens.show("declined", pair_of(outcome.flow), outcome.response_code, outcome.why())
    app.emit(outcome.event())
    return await hold(RESULT_MS)
