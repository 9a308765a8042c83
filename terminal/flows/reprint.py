"""The receipt of the last transaction once more, marked as a copy. Nothing is sent."""

from terminal.flows.dialogue import tell
from terminal.flows.outcome import Outcome
from terminal.flows.present import print_receipt, show


async def reprint(app, flow):
    """Print it; return an event that is left to handle, or None. Raises JournalError."""
    outcome = app.last or _last_of_batch(app)
    if outcome is None:
        return await tell(app, "no_receipt")
    show(app, "printing", outcome, again=True)
    await print_receipt(app, outcome, "receipt_copy")
    app.log("info", "receipt: a copy")
    return None


def _last_of_batch(app):
    """What a restart left of it: the newest approval of the open batch, or None."""
    found = None
    for record, answer in app.journal.transactions():
        if answer:
            outcome = Outcome(record, answer)
            found = outcome if outcome.approved() else found
    if len(app.queue):
        from terminal.flows.offline import recorded

        content = app.queue.item(app.queue.tail - 1)
        if content is not None and (found is None or recorded(content).moment > found.moment):
            return recorded(content)
    return found and found.of_original(app)
