"""Closing the batch: the queue first, totals to the switch, each transaction when they differ, a report.

Every step stands in the journal before its message leaves, with the STAN and moment it leaves under, so that
a close that was cut goes on with the same messages. Nothing is counted or changed because totals differ.
"""

from terminal.batch import (
    AGREED,
    CLOSE,
    DIFFERENT,
    NOTHING,
    REFUSED,
    REPORT,
    TRAILER,
    UPLOAD,
    counted,
    following,
)
from terminal.flows.dialogue import tell
from terminal.flows.exchange import insist, line_up
from terminal.flows.member import card_number
from terminal.flows.offline import send_next
from terminal.flows.outcome import APPROVED_CODE, Outcome, number_of, packed, reversal_of, unpacked
from terminal.flows.present import print_rows
from terminal.message_tables import TAG_POINTS, TAG_REASON, TAG_REASON_NUMBER
from terminal.text import grouped
from terminal.ui.strings import LOCALES, text_of

TOTALS, END = "920000", "960000"  # processing codes
MESSAGES = {CLOSE: ("0500", "0501"), UPLOAD: ("0320", "0321"), TRAILER: ("0500", "0501")}
NOT_AS_HERE = "95"
CLOSED_BEFORE, UPLOAD_FIRST = "0206", "0207"  # reasons
RESULTS = {AGREED: "agreed", DIFFERENT: "different", REFUSED: "refused"}
LABELS = ("earn", "redeem", "hold", "capture", "refund", "return", "void", "transfer")  # by tag of DE 63


async def close_batch(app):
    """Close the open batch; return an event that is left to handle, or None. Raises JournalError, NoKey."""
    app.screens.show("batch", app.batch.number, text="batch_closing")
    while len(app.queue):
        head = app.queue.head
        if not await line_up(app):
            return await tell(app, "batch_no_line")
        await send_next(app)
        if app.queue.head == head:
            return await tell(app, "batch_not_sent", len(app.queue))
    if not await line_up(app):
        return await tell(app, "batch_no_line")
    _next_step(app, CLOSE, 0, AGREED)
    return await go_on(app, is_new=True)


async def go_on(app, is_new=False):
    """Bring a close that is under way to its end; returns as close_batch(). is_new: nothing of its step was
    sent yet."""
    items = None
    number = app.batch.current
    while app.batch.step is not None:
        place, item, _, stan, result = app.batch.step
        app.screens.show("batch", "%06d" % number, text="batch_closing")
        if place == REPORT:
            await report(app)
            return await tell(app, "batch_closed" if result == AGREED else "batch_differs", "%06d" % number)
        if place == UPLOAD:
            if items is None:
                items = claimed(app, item)
            found = next(items, None)
            if found is None:
                _next_step(app, TRAILER, 0, DIFFERENT)
                is_new = True
                continue
            fields = uploaded(app, *found)
        else:
            fields = heading(app, TOTALS if place == CLOSE else END)
            if place == CLOSE:
                fields[63] = app.batch.totals_field()
        answer = await asked(app, MESSAGES[place][not is_new], MESSAGES[place][1], fields)
        is_new = True
        if place == UPLOAD:
            if answer[39] != APPROVED_CODE:
                app.log("warning", "batch: the switch answers %s for %s" % (answer[39], fields[90][4:10]))
            _next_step(app, UPLOAD, item + 1, DIFFERENT)
        elif place == TRAILER:
            _next_step(app, REPORT, 0, DIFFERENT, stan)
        elif not await closed(app, answer, stan):
            return await tell(app, "batch_refused", answer[39])
    return None


async def closed(app, answer, stan):
    """Act on what the switch says to the totals; False when the batch stays open."""
    code, tags = answer[39], answer.get(48, {})
    reason, told = tags.get(TAG_REASON), number_of(tags, TAG_REASON_NUMBER)
    if code == APPROVED_CODE:
        _next_step(app, REPORT, 0, AGREED, stan)
    elif code == NOT_AS_HERE:
        app.log("warning", "batch %06d: totals differ" % app.batch.current)
        _next_step(app, UPLOAD, 0, DIFFERENT)
    elif reason == CLOSED_BEFORE:
        app.log("error", "batch %06d: the switch has closed up to %06d" % (app.batch.current, told))
        _next_step(app, REPORT, told, REFUSED, stan)
    elif reason == UPLOAD_FIRST:
        # What was to be uploaded is not known here any more: people settle it.
        fields = heading(app, END)
        fields[11], fields[60] = "%06d" % app.stans.take(), "%06d" % told
        await asked(app, "0500", "0501", fields)
        _next_step(app, CLOSE, 0, AGREED)
    else:
        app.log("error", "batch %06d: not closed, the switch answers %s" % (app.batch.current, code))
        _next_step(app, NOTHING, 0, AGREED, stan)
        return False
    return True


def behind(app, outcome):
    """Begin the batch that the switch expects, when it has closed this one and nothing is in it."""
    if outcome.reason != CLOSED_BEFORE or app.batch.entries or app.batch.step is not None:
        return
    if outcome.reason_number >= app.batch.current:
        app.journal.begin_batch(following(outcome.reason_number))
        app.log("warning", "batch: now %s, the switch has closed those before" % app.batch.number)


def _next_step(app, place, item, result, stan=None):
    """Write the next step, under a STAN of its own unless it sends nothing. Raises JournalError."""
    stan = app.stans.take() if stan is None else stan
    app.journal.step((place, item, packed(app.clock.wall()), stan, result))


def heading(app, code):
    """What every message of a close has, under the STAN and moment of its step."""
    _, _, moment, stan, _ = app.batch.step
    fields = app.heading(code, unpacked(moment))
    fields[11] = "%06d" % stan
    fields[60] = "%06d" % app.batch.current
    return fields


def claimed(app, first):
    """The transactions that the totals count, from the first one that wasn't uploaded yet."""
    place = 0
    for record, answer in app.journal.transactions():
        if answer and counted(record, answer) is not None:
            if place >= first:
                yield record, answer
            place += 1


def uploaded(app, record, answer):
    """The fields of an item."""
    request, outcome = reversal_of(record), Outcome(record, answer)
    fields = heading(app, request[3])
    fields[90] = request[90]
    fields[4] = request.get(4, "0" * 12)
    fields[48] = {TAG_POINTS: "%012d" % outcome.points}
    if outcome.rrn:
        fields[37] = outcome.rrn
    number = card_number(request)
    if number:
        fields[2] = number
    return fields


async def asked(app, first, repeat, fields):
    """Send until the switch has answered for good; the answer's fields."""

    def show(line_is_up):
        if not line_is_up:
            app.screens.show("batch", fields[60], text="batch_waits")

    return (await insist(app, first, repeat, fields, show))[0]


# ---------------------------------------------------------------- the report


async def report(app):
    """Print what the batch came to, then begin the next one. Raises JournalError."""
    batch = app.batch
    _, item, _, _, result = batch.step
    for locale in app.settings.receipt_locales:
        if app.fitted("printer"):
            await print_rows(app, _report_rows(app, locale), locale)
    number, totals = batch.current, batch.totals_field()
    app.journal.begin_batch(following(max(number, item)))
    event = {"event": "batch", "number": "%06d" % number, "result": RESULTS[result]}
    event["totals"] = {"%02X" % tag: totals[tag] for tag in totals}
    app.emit(event)


def _report_rows(app, locale):
    """The report of the batch that is being closed, as rows of ui.paper."""
    from terminal.ui.paper import BANNER, CUT, PAIR, RULE, SPACE, TEXT, TITLE
    from terminal.ui.receipt import amount, moment_texts, pair

    batch, settings = app.batch, app.settings
    _, _, moment, _, result = batch.step
    date, time = moment_texts(unpacked(moment), locale)
    rows = [
        (TITLE, settings.acceptor_name[LOCALES.index(locale)]),
        (BANNER, text_of("receipt_close", locale)),
        (PAIR, text_of("receipt_date", locale) + " " + date, time),
        pair("receipt_terminal", settings.terminal_id, locale),
        pair("receipt_batch", "%06d" % batch.current, locale),
    ]
    for tag in sorted(batch.totals):
        entries, rial, points = batch.totals[tag]
        in_rial = text_of("rial", locale).format(grouped(rial, locale))
        rows += [
            (RULE,),
            amount(LABELS[tag - 1], entries, locale),
            (PAIR, text_of("receipt_amount", locale), in_rial),
            amount("receipt_points", points, locale),
        ]
    rows.append((RULE,))
    if batch.refused:
        rows.append(amount("receipt_refused", batch.refused, locale))
    rows += [(TEXT, text_of("batch_result_" + RESULTS[result], locale)), (SPACE,), (CUT,)]
    return rows
