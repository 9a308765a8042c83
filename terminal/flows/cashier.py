"""Which cashier works here: a number that goes with all that moves points, until another one signs in."""

from terminal.flows.dialogue import ask_text, tell
from terminal.journal import JournalError, checked, store, stored, unchecked
from terminal.ui.strings import pair_of

FILE = "cashier"
DIGITS = 8  # of DE 48 tag 0F


async def sign_in(app, flow):
    """Ask who works here; no number: nobody from now on. Raises Cancelled, JournalError."""
    title = pair_of(flow)
    number = await ask_text(app, "cashier_number", title, DIGITS)
    number = "%08d" % int(number) if number.strip("0") else ""
    if app.training is None:
        store(app.storage, FILE, checked(number.encode()), flow)
    app.cashier = number
    return await tell(app, "approved_done", title)


def kept(storage):
    """Who had signed in before the power went, "" for nobody."""
    try:
        return str(unchecked(stored(storage, FILE, FILE) or b"") or b"", "ascii")
    except JournalError:
        return ""
