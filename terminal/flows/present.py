"""A durable approval is shown and printed, until the printer says that the paper came out."""

from terminal.drivers.printer import OK, PAPER_OUT, receipt_bytes
from terminal.flows.dialogue import ENTER
from terminal.flows.outcome import MOVING, Outcome
from terminal.flows.wait import KEY, PRINTER, TIMEOUT, Wait
from terminal.journal import PRESENTED
from terminal.ui.strings import pair_of

WITHOUT_BALANCE = ("block",)  # flows whose answer has none
PRINTER_MS = 3000  # beyond the time that the bytes themselves take
MS_PER_BYTE = 2  # 1.04 at 9600 baud, and a slow head


async def present(app, pending, again=False):
    """Show and print an APPROVED journal entry, close it and tell the outcome; return the Outcome.

    again: it is the last transaction after a restart.
    """
    outcome = app.last = Outcome(pending.request, pending.answer)
    show(app, "printing" if again else "approved", outcome, again)
    await print_receipt(app, outcome, "last_transaction" if again else app.receipt_mark)
    app.journal.close(pending.stan, PRESENTED)
    app.emit(outcome.event("last" if again else None))
    return outcome


async def print_receipt(app, outcome, mark=None):
    """Print the receipt of an Outcome until the printer says that it came out.

    mark: name of the text that heads it: last_transaction, receipt_copy or training.
    """
    for locale in app.settings.receipt_locales:
        while True:
            status = await printed(app, receipt_lines(outcome, app.settings, locale, mark))
            if status == OK:
                break
            app.log("warning", "printer: " + (status or "silent"))
            app.screens.show("paper", text="paper_out" if status == PAPER_OUT else "printer_silent")
            while (await Wait((KEY,)))[1] != ENTER:
                pass
            show(app, "printing", outcome, mark is not None)


def receipt_lines(*arguments):
    """As ui.receipt.lines()."""
    from terminal.ui import receipt

    return receipt.lines(*arguments)


async def printed(app, lines):
    """Print lines; return the printer's paper status, None when it says nothing."""
    data = receipt_bytes(lines)
    app.print(data)
    kind, status = await Wait((PRINTER,), PRINTER_MS + MS_PER_BYTE * len(data))
    return None if kind == TIMEOUT else status


def show(app, screen, outcome, again=False):
    """The outcome on a screen of this name."""
    text = "last" if again else text_of(outcome)
    if outcome.debt and not again:
        text += "_debt"
    to_pay = max(outcome.sale - outcome.amount, 0)
    values = outcome.points, outcome.balance, outcome.debt, to_pay
    app.screens.show(screen, pair_of(outcome.flow), *values, text=text)


def text_of(outcome):
    """The text that says what has come of it."""
    if outcome.sale:
        return "approved_split"
    if outcome.flow in WITHOUT_BALANCE:
        return "approved_done"
    return "approved" if outcome.flow in MOVING else "approved_balance"
