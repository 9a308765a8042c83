"""Earns while the switch can't be reached: kept as advices, told as recorded, sent when the line is back.

Only earns, and only within the limits of the parameters; a refusal is told at once and keeps nothing. A
member is never promised points or told a balance here.
"""

from terminal.flows.dialogue import RESULT_MS, Cancelled, hold, tell, until_kept
from terminal.flows.exchange import TRANSIENT, NoAnswer, NotSent, exchange
from terminal.flows.member import joined
from terminal.flows.outcome import Outcome, event_of, packed, record_of, reversal_of, unpacked
from terminal.flows.present import print_receipt
from terminal.journal import DECLINED, JournalError
from terminal.message import DecodeError, pack
from terminal.message_tables import TAG_BASKET
from terminal.queue import MOST
from terminal.text import later
from terminal.ui.strings import pair_of

ADVICE, REPEAT = "0220", "0221"
ANSWER = "0230"
HOUR_S = 3600
FIRST_PAUSE_MS = 1000  # after a sending without an answer
LONGEST_PAUSE_MS = 60000


# ---------------------------------------------------------------- taking one


async def sale(app, member):
    """An earn from card to slip while something else waits for the line; nothing is left to handle."""
    from terminal.flows.trade import asked_fields, booked, member_of_program, of_till

    title = pair_of("earn")
    try:
        member = await member_of_program(app, title, "earn", member)
        more = await asked_fields(app, "earn", title, None)
        more = joined(more, await of_till(app, "earn", title))
        moment = app.clock.wall()
        fields = app.heading("210060", moment)
        fields = booked(app, joined(joined(fields, member), more))
        fields[11] = "%06d" % app.stans.take()
        await earn(app, moment, fields)
    except Cancelled:
        pass
    except JournalError as error:
        app.log("error", str(error))
        await tell(app, "storage")


async def earn(app, moment, fields, pending=None):
    """Keep an earn; return (Outcome or None, event left to handle or None), as trade.attempt().

    fields: of the 0200 that did not come to anything; pending: its journal entry, when there is one. Raises
    JournalError: nothing was kept.
    """
    amount = int(fields[4])
    why = refusal(app, moment, amount)
    if why is not None:
        if pending is not None:
            app.journal.close(pending.stan, DECLINED)
        app.log("warning", "offline: refused: " + why)
        return None, await tell(app, why)
    if TAG_BASKET in fields.get(48, {}):  # there is no room for it in the queue
        fields = joined(fields, {})
        fields[48] = {tag: fields[48][tag] for tag in fields[48] if tag != TAG_BASKET}
    content = packed(moment) + pack(ADVICE, fields)
    try:
        number = app.queue.put(content)
    except JournalError:
        if pending is not None:
            app.journal.close(pending.stan, DECLINED)
        raise
    stan = int(fields[11])
    app.journal.defer(stan, content, number)
    return await present_queued(app, stan, content)


def refusal(app, moment, amount):
    """The name of the text that says why an earn of so many rial can't be kept now, or None."""
    limits, batch, queue = app.settings, app.batch, app.queue
    if app.journal.is_full:
        return "batch_full"
    if amount > limits.offline_rial_each:
        return "offline_amount"
    if len(queue) >= min(limits.offline_most, MOST):
        return "offline_full"
    is_today = batch.day == day_of(moment)
    count = batch.day_count if is_today else 0
    rial = (batch.day_amount if is_today else 0) + amount
    if count >= limits.offline_day or rial > limits.offline_rial:
        return "offline_day"
    if rial // limits.offline_rial_per_point > limits.offline_points:
        return "offline_day"
    if len(queue):
        oldest = queue.item(queue.head)
        if oldest is not None and later(unpacked(oldest), limits.offline_hours * HOUR_S) < tuple(moment):
            return "offline_age"
    return None


def recorded(content):
    """The Outcome of an item, which says nothing that only the switch knows."""
    fields = reversal_of(content)
    answer = {number: fields[number] for number in (11, 12, 41)}
    answer[39] = "00"
    record = record_of(ADVICE, fields, int(fields[11]), unpacked(content))
    outcome = Outcome(record, pack(ANSWER, answer))
    outcome.is_queued = True
    return outcome


async def present_queued(app, stan, content, again=False):
    """Tell the member that an earn is recorded, print the slip, note that; return as earn().

    again: after a restart.
    """
    outcome = app.last = recorded(content)
    app.screens.show("approved", pair_of("earn"), text="offline_kept")
    await print_receipt(app, outcome, "last_transaction" if again else None)
    await until_kept(app, app.journal.told, stan, day_of(outcome.moment), outcome.amount)
    event = outcome.event("queued")
    event["queued"] = str(len(app.queue))
    app.emit(event)
    return outcome, (None if again else await hold(RESULT_MS))


# ---------------------------------------------------------------- sending them


async def send_next(app):
    """Send the oldest one and keep what the switch says; return an event that came meanwhile, or None.

    Without an answer it stays, and is repeated later. Raises NoKey.
    """
    queue = app.queue
    number = queue.head
    content = queue.item(number)
    try:
        if content is None:
            raise DecodeError("advice", 0)
        moment, fields = unpacked(content), reversal_of(content)
    except DecodeError:
        # Nothing can be sent of it; that it was there stays in the batch.
        app.journal.answered(0, number, b"", b"")
        queue.drop()
        app.log("error", "queue: item %d can't be sent, and is given up" % number)
        return None
    mti = REPEAT if number < queue.sent else ADVICE
    aside = []
    answer = message = None
    try:
        request = app.request(mti, fields)
        queue.sent = max(queue.sent, number + 1)
        answer, message = await exchange(app, request, aside)
    except NotSent:
        if mti == ADVICE:
            queue.sent = number
    except NoAnswer:
        pass
    except JournalError as error:
        app.log("error", str(error))
    if answer is None or answer[39] in TRANSIENT:
        queue.pause_ms = min(2 * queue.pause_ms or FIRST_PAUSE_MS, LONGEST_PAUSE_MS)
        queue.next_ms = app.clock.now_ms() + queue.pause_ms
        return aside[0] if aside else None
    queue.pause_ms = 0
    try:
        app.journal.answered(int(fields[11]), number, record_of(ADVICE, fields, 0, moment), message)
    except JournalError as error:
        # It is sent again, and answered with the same.
        app.log("error", str(error))
        queue.next_ms = app.clock.now_ms() + LONGEST_PAUSE_MS
        return aside[0] if aside else None
    queue.drop()
    event = event_of("advice", fields[11], answer)
    event["queued"] = str(len(queue))
    app.emit(event)
    if answer[39] != "00":
        app.log("warning", "queue: STAN %s refused with %s" % (fields[11], answer[39]))
    return aside[0] if aside else None


# ---------------------------------------------------------------- moments


def day_of(moment):
    """YYYYMMDD as a number."""
    return (moment[0] * 100 + moment[1]) * 100 + moment[2]


def stan_of(content):
    """The STAN of an item of the queue."""
    return int(reversal_of(content)[11])
