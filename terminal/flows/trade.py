"""One request with the member there: earn, redeem, split sale, balance, activate. They differ by tables.

Who asks for something else about a member or an earlier transaction uses `attempt`, and `member_of_program`
for who it is.
"""

import terminal
from terminal.flows.dialogue import (
    LONGEST_NUMBER,
    RESULT_MS,
    Cancelled,
    ask_member,
    ask_number,
    ask_text,
    choose,
    hold,
    tell,
    until_kept,
    until_read,
)
from terminal.flows.exchange import TRANSIENT, NoAnswer, NotSent, exchange, line_up
from terminal.flows.member import has_card, has_chip, is_of_program, is_taken, joined, names_card, pin_digits
from terminal.flows.outcome import APPROVED_CODE, ASKED, FINANCIAL, MESSAGES, Outcome, number_of, record_of
from terminal.flows.present import present
from terminal.flows.reverse import reverse
from terminal.journal import DECLINED, NOT_SENT
from terminal.message_tables import TAG_CASHIER, TAG_CONFIRMED, TAG_POINTS, TAG_SALE_AMOUNT
from terminal.ui.strings import pair_of

CURRENCY = "364"  # rial
INVALID_AMOUNT = "13"
PROOF_NEEDED = "1A"  # PIN or one-time code
WRONG_PIN = "55"  # and there are tries left
BATCH_CLOSED = "0206"  # reason: the switch has closed this batch
DOUBLE_SWIPE = "0601"  # reason: the same card and amount as just before
SALES = ("earn", "redeem", "split")  # flows that a till's receipt number goes with
PROVEN = ("redeem", "split", "transfer")  # flows that may need a proof
CARD_ONLY = ("activate", "replace")  # flows that a mobile number alone can't name a card for
TILL_RECEIPT_DIGITS = 12  # as many as a person types; a till sends up to 32 letters

SENDINGS = 2  # a connection found dead before a byte left it is replaced once


class Refused(Cancelled):
    """There is nothing to send; left: the event that ended the message which said why, or None."""

    def __init__(self, left):
        super().__init__()
        self.left = left


async def trade(app, flow, member=None, number=None):
    """One transaction of the flow from card to receipt; return an event that is left to handle, or None.

    member: who was there already; number: keyed in already, rial of a sale or points. Raises
    Cancelled, JournalError.
    """
    return (await sell(app, flow, member, number))[1]


async def sell(app, flow, member=None, number=None, told=None):
    """As trade(); return (Outcome or None, event that is left or None). told: fields that a till has sent."""
    title = pair_of(flow)
    try:
        member = await member_of_program(app, title, flow, member)
        more = await asked_fields(app, flow, title, number)
        if flow == "activate":
            from terminal.flows.proof import ask_newcomer

            more, proof = await ask_newcomer(app, title, pin_digits(member))
            terminal.forget("terminal.flows.proof")
        else:
            proof = await first_proof(app, flow, title, member, points_of(more))
        told = await of_till(app, flow, title, told)
    except Refused as refused:
        return None, refused.left
    return await decided(app, flow, member, joined(more, told), proof)


async def decided(app, flow, member, more, proof):
    """Send, and again when the switch wants a proof or to hear that it is no double swipe."""
    title = pair_of(flow)
    answered = [DOUBLE_SWIPE] if flow in SALES else []
    if flow in PROVEN and proof is None:
        answered.append(PROOF_NEEDED)
    while True:
        wrong = [WRONG_PIN] if proof and proof.transmission else []
        outcome, left = await attempt(app, flow, joined(member, more), proof, answered + wrong)
        if outcome is None or outcome.approved():
            return outcome, left
        if outcome.response_code in wrong:  # a PIN that is typed again at once is shown nowhere
            app.screens.show("declined", title, WRONG_PIN, outcome.why())
            await until_read()
            proof = await needed_proof(app, title, member)
        elif outcome.response_code in answered:
            answered.remove(PROOF_NEEDED)
            proof = await needed_proof(app, title, member)
        elif outcome.reason in answered:
            answered.remove(DOUBLE_SWIPE)
            await choose(app, "double_swipe", "#", title, outcome.why())
            more = joined(more, {48: {TAG_CONFIRMED: "01"}})
            if proof is not None:  # it was of that one sending
                proof = await needed_proof(app, title, member)
        else:
            return outcome, left


async def member_of_program(app, title, flow, member=None, text="swipe"):
    """Who it is about. Raises Cancelled; Refused when the card is another's, which nothing keeps."""
    if member is None:
        member = await ask_member(app, title, text)
    is_ours = is_of_program(member, app.settings.card_prefixes)
    is_ours = is_ours and is_taken(member, app.settings.entry_modes)
    if is_ours and (flow not in CARD_ONLY or names_card(member)):
        if not app.line_is_up:
            app.ports.connect()  # a call is made while the rest is keyed in
        return member
    member.clear()
    app.log("info", "card: not of the program")
    raise Refused(await tell(app, "card_refused"))


async def asked_fields(app, flow, title, number):
    """The fields that say how much. Raises Cancelled; Refused when that is more than fits."""
    if flow not in ASKED:
        return {}
    sale = None
    if flow == "split":
        sale = await ask_number(app, "amount", title) if number is None else number
        number = None
    if number is None:
        number = await ask_number(app, ASKED[flow], title)
    if flow == "earn":
        return {4: "%012d" % number, 49: CURRENCY}
    amount = number * app.ratio
    if len(str(amount)) > LONGEST_NUMBER or (sale is not None and amount > sale):
        raise Refused(await tell(app, "too_much"))
    tags = {TAG_POINTS: "%012d" % number}
    if flow == "transfer":
        return {48: tags}
    if sale is not None:
        tags[TAG_SALE_AMOUNT] = "%012d" % sale
    return {4: "%012d" % amount, 48: tags, 49: CURRENCY}


def points_of(more):
    """The points that fields tell, 0 when they don't."""
    return number_of(more.get(48, {}), TAG_POINTS)


async def first_proof(app, flow, title, member, points):
    """The proof that goes along from the start, or None."""
    if flow in PROVEN:
        limit = app.pin_from_points
        if not has_card(member) or (limit is not None and points > limit):
            return await needed_proof(app, title, member)
    return None


async def needed_proof(app, title, member):
    """As proof.ask_proof(), whose memory is wanted for what follows."""
    from terminal.flows.proof import ask_proof

    proof = await ask_proof(app, title, member)
    terminal.forget("terminal.flows.proof")
    return proof


async def of_till(app, flow, title, told=None):
    """What the till has told of its sale; else its receipt number, where the settings want that: fields."""
    if told is None and flow in SALES and app.settings.till_receipts:
        number = await ask_text(app, "till_receipt", title, TILL_RECEIPT_DIGITS)
        told = {62: number} if number else None
    return told or {}


def booked(app, fields):
    """The fields of what moves points: with the batch, and with the cashier who has signed in."""
    more = {60: app.batch.number}
    if app.cashier:
        more[48] = {TAG_CASHIER: app.cashier}
    return joined(fields, more)


async def attempt(app, flow, more, proof=None, answered=(), kind=None):
    """One request of the flow and what comes of it: (Outcome or None, event left to handle or None).

    more: its fields beside the heading. answered: response codes and reasons that the caller has an answer
    to: they are not shown. kind: MTI and processing code, when they aren't those of the table.
    """
    app.screens.show("processing", pair_of(flow))
    may_keep = flow == "earn" and app.settings.offline_most
    if may_keep and len(app.queue):
        app.ports.connect()  # the line has been away: nobody waits for it again
    elif not await line_up(app) and not may_keep:
        return None, await tell(app, app.line_trouble or "no_line")
    moment = app.clock.wall()
    mti, code = kind or MESSAGES[flow]
    fields = joined(app.heading(code, moment), more)
    if mti == FINANCIAL:
        if app.journal.is_full:
            return None, await tell(app, "batch_full")
        fields = booked(app, fields)
    stan = app.stans.take()
    fields[11] = "%06d" % stan
    if has_chip(fields):
        from terminal.flows.chip import with_proof

        fields = await with_proof(app, fields)
        app.screens.show("processing", pair_of(flow))
    if not app.line_is_up:
        return await _keep_offline(app, moment, fields)
    record = record_of(mti, fields, app.stans.take(), moment)
    transmission = proof.transmission if proof else None
    request = app.request(mti, joined(fields, proof.fields) if proof else fields, transmission)
    app.journal.begin(stan, record)
    return await settle(app, request, answered, (moment, fields) if may_keep else None)


async def _keep_offline(app, moment, fields, pending=None):
    """As offline.earn()."""
    from terminal.flows.offline import earn

    if pending is None:
        app.journal.expect(int(fields[11]))
    return await earn(app, moment, fields, pending)


async def settle(app, request, answered, kept=None):
    """Send the request that the journal holds as SENT, and act on what comes of it; as attempt().

    kept: (moment, fields) of an earn that may be kept for later.
    """
    pending = app.journal.pending()
    try:
        answer, message = await send(app, request)
    except NotSent:
        if kept:
            return await _keep_offline(app, kept[0], kept[1], pending)
        app.journal.close(pending.stan, NOT_SENT)
        return None, await tell(app, app.line_trouble or "no_line")
    except NoAnswer:
        return None, await reverse(app, pending)
    if answer[39] == APPROVED_CODE:
        await until_kept(app, app.journal.approve, pending.stan, message)  # nothing is shown of it before
        outcome = await present(app, pending)
        return outcome, await hold(RESULT_MS)
    if kept and answer[39] in TRANSIENT:
        return await _keep_offline(app, kept[0], kept[1], pending)
    app.journal.close(pending.stan, DECLINED)
    outcome = Outcome(pending.request, message)
    if outcome.response_code in answered or outcome.reason in answered:
        app.emit(outcome.event())
        return outcome, None
    return outcome, await declined(app, outcome)


async def send(app, request):
    """As `exchange`, on a second connection when the first one took no byte."""
    for _ in range(SENDINGS - 1):
        try:
            return await exchange(app, request)
        except NotSent:
            if not await line_up(app):
                raise
    return await exchange(app, request)


async def declined(app, outcome):
    """Show why; declines are not printed."""
    if outcome.response_code == INVALID_AMOUNT:
        app.sign_on_again()  # the redemption ratio may have changed
    if outcome.reason == BATCH_CLOSED:
        from terminal.flows.batch import behind

        behind(app, outcome)
    app.screens.show("declined", pair_of(outcome.flow), outcome.response_code, outcome.why())
    app.emit(outcome.event())
    return await hold(RESULT_MS)
