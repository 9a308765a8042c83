"""A durable approval is shown and printed, until the printer says that the paper came out."""

import terminal
from terminal.doors import MISSING
from terminal.drivers.receipt_printer import BROKEN, COVER_OPEN, PAPER_OUT, PRINTED_OUT
from terminal.flows.dialogue import CANCEL, ENTER
from terminal.flows.outcome import BACK, MOVING, Outcome
from terminal.flows.wait import DEVICE, KEY, PRINTER, Wait
from terminal.journal import PRESENTED
from terminal.ui.strings import pair_of

PRINTING = ("terminal.ui.receipt", "terminal.ui.paper")  # modules given back after each receipt
# Why a receipt did not come out: what the cashier is told.
TROUBLES = {
    PAPER_OUT: "paper_out",
    COVER_OPEN: "cover_open",
    BROKEN: "printer_broken",
    MISSING: "printer_gone",
}


async def present(app, pending, again=False):
    """Show and print an APPROVED journal entry, close it and tell the outcome; return the Outcome.

    again: it is the last transaction after a restart.
    """
    outcome = app.last = Outcome(pending.request, pending.answer).of_original(app)
    show(app, "printing" if again else "approved", outcome, again)
    await print_receipt(app, outcome, "last_transaction" if again else app.receipt_mark)
    app.journal.close(pending.stan, PRESENTED)
    app.emit(outcome.event("last" if again else None))
    return outcome


async def print_receipt(app, outcome, mark=None):
    """Print the receipts of an Outcome, each until it came out or the cashier goes on without.

    mark: name of the text that heads them: last_transaction, receipt_copy or training.
    """
    if not app.fitted("printer"):
        return
    from terminal.ui.receipt import CUSTOMER, MERCHANT, SIGNED, rows

    copies = [(locale, CUSTOMER) for locale in app.settings.receipt_locales]
    if app.settings.receipt_copies > 1 and outcome.flow in SIGNED:
        copies.append((app.settings.locale, MERCHANT))
    for locale, copy in copies:
        if not await print_rows(app, rows(outcome, app.settings, locale, mark, copy), locale, copy):
            show(app, "printing", outcome, mark is not None)
    for name in PRINTING:
        terminal.forget(name)


async def print_rows(app, rows, locale, copy="report"):
    """Print rows of terminal.ui.paper and tell them as an event, until they came out or the cashier goes on
    without. Whether there was no trouble (the screen is still what it was)."""
    from terminal.ui.receipt import lines

    app.emit({"event": "receipt", "copy": copy, "locale": locale, "lines": lines(rows)})
    trouble = await printed(app, rows, locale)
    if trouble is None:
        return True
    while trouble is not None:
        app.log("warning", "printer: " + trouble)
        app.screens.show("paper", text=TROUBLES.get(trouble, "printer_silent"))
        if not await again(app, trouble):
            app.log("warning", "printer: gone on without")
            break
        app.screens.show("printing", text="printing")
        trouble = await printed(app, rows, locale)
    return False


async def printed(app, rows, locale):
    """Send rows to the printer, strip after strip; None when they came out, else why not."""
    from terminal.ui.paper import strips

    app.print(strips(rows, app.paper_dots(), locale == "fa"))
    _, said = await Wait((PRINTER,))
    return None if said == PRINTED_OUT else said


async def again(app, trouble):
    """Whether to try again: by a key, or because the printer is back."""
    was_usable = app.usable("printer")
    while True:
        kind, value = await Wait((KEY, DEVICE))
        if kind == KEY and value in (ENTER, CANCEL):
            return value == ENTER
        if kind == DEVICE and not was_usable and app.usable("printer"):
            return True
        was_usable = app.usable("printer")


def show(app, screen, outcome, again=False):
    """The outcome on a screen of this name."""
    text = "last" if again and outcome.flow in MOVING and not outcome.is_queued else text_of(outcome)
    if outcome.debt and not (again or outcome.sale):
        text += "_debt"
    values = outcome.points, outcome.balance, outcome.debt, outcome.money, outcome.back, outcome.taken
    app.screens.show(screen, pair_of(outcome.flow), *values, text=text)


def text_of(outcome):
    """The text that says what has come of it."""
    if outcome.is_queued:
        return "offline_kept"
    if outcome.sale:
        return "approved_split"
    if outcome.flow in BACK:
        return "approved_back"
    if outcome.flow == "block":  # its answer has none
        return "approved_done"
    return "approved" if outcome.flow in MOVING else "approved_balance"
