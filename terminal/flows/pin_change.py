"""A new PIN for the member: proved by the PIN of now or a one-time code, keyed in twice.

Not reversed when no answer comes: the cashier is told that either PIN may be the valid one.
"""

from terminal.flows.dialogue import RESULT_MS, ask_member, hold, tell
from terminal.flows.exchange import ask
from terminal.flows.member import is_of_program, joined, pin_digits
from terminal.flows.outcome import APPROVED_CODE, MESSAGES, event_of, why
from terminal.flows.proof import ask_new_pin, ask_proof
from terminal.message_tables import TAG_NEW_PIN_BLOCK
from terminal.security import wipe
from terminal.ui.strings import pair_of

FLOW = "pin_change"


async def change_pin(app, flow=FLOW):
    """From card to result; return an event left to handle, or None. Raises Cancelled, JournalError."""
    title = pair_of(flow)
    member = await ask_member(app, title)
    number = pin_digits(member)
    if number is None or not is_of_program(member, app.settings.card_prefixes):
        return await tell(app, "card_refused")
    proof = await ask_proof(app, title, member)
    pin = await ask_new_pin(app, title)
    try:
        transmission = proof.transmission or app.keys.transmission()
        block = transmission.pin_block(pin, number)
    finally:
        wipe(pin)
    app.screens.show("processing", title)
    mti, processing_code = MESSAGES[FLOW]
    fields = joined(joined(app.heading(processing_code), member), proof.fields)
    fields = joined(fields, {48: {TAG_NEW_PIN_BLOCK: block}})
    answer, trouble = await ask(app, mti, fields, transmission)
    if trouble == "no_answer":
        app.log("warning", "PIN change without an answer")
        trouble = "pin_unknown"
    if trouble:
        return await tell(app, trouble)
    app.emit(event_of(FLOW, fields[11], answer))
    code = answer[39]
    if code == APPROVED_CODE:
        return await tell(app, "pin_changed")
    app.screens.show("declined", title, code, why(answer))
    return await hold(RESULT_MS)
