"""What the terminal does of itself: finish what is pending, sign on, wait for a card or a key."""

import gc

from terminal.flows.dialogue import MENU, Cancelled, tell
from terminal.flows.present import present
from terminal.flows.reverse import reverse
from terminal.flows.sign_on import sign_on
from terminal.flows.trade import trade
from terminal.flows.wait import BAD_CARD, CARD, DEVICE, KEY, TIMEOUT, Wait
from terminal.journal import SENT
from terminal.ui.strings import STRINGS


async def run(app):
    """The terminal's life; never returns. Pending requests go before everything else."""
    event = None
    while True:
        pending = app.journal.pending()
        if pending is not None:
            if pending.state == SENT:
                event = await reverse(app, pending)
            else:
                await present(app, pending, again=True)
        elif app.sign_on_due():
            event = None  # whoever swiped before may have left
            await sign_on(app)
        else:
            event = await handle(app, event or await idle(app))


async def idle(app):
    """Wait for a card or a menu key; None when the sign-on has run out."""
    gc.collect()  # between transactions nobody waits for it
    kind = DEVICE
    while True:
        if kind == DEVICE:
            missing = app.missing_device()
            status = STRINGS["no_" + missing] if missing else ("", "")
            app.screens.show("idle", app.settings.acceptor_name, status)
        kind, value = await Wait((CARD, BAD_CARD, KEY, DEVICE), app.sign_on_left_ms())
        if kind == TIMEOUT:
            return None
        if kind in (CARD, BAD_CARD) or value in MENU:
            return kind, value


async def handle(app, event):
    """Act on an event of `idle`; return one that is left to handle, or None."""
    if event is None:
        return None
    kind, value = event
    try:
        if kind == CARD:
            return await trade(app, "earn", value)
        if kind == KEY:
            return await trade(app, MENU[value])
        return await tell(app, "swipe_again")
    except Cancelled:
        return None
