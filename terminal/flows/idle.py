"""What the terminal does of itself: finish what is pending, sign on, wait for a card or a key."""

import terminal
from terminal.doors import MISSING
from terminal.flows.dialogue import ENTRY_MS, MENU, MORE, Cancelled, tell
from terminal.flows.present import present
from terminal.flows.reverse import reverse
from terminal.flows.trade import trade
from terminal.flows.wait import BAD_CARD, CARD, DEVICE, KEY, KEYS_LOADED, TIMEOUT, Wait
from terminal.journal import SENT, JournalError
from terminal.keys import NoKey
from terminal.ui.strings import pair_of

# Modules imported where they are needed and given back at rest: where code is loaded into the heap, they take
# memory only while they work.
SELDOM = (
    "terminal.flows.pin_change",
    "terminal.flows.proof",
    "terminal.flows.sign_on",
    "terminal.ui.receipt",
)


async def run(app):
    """The terminal's life; never returns. Keys and pending requests go before everything else."""
    event = None
    while True:
        try:
            event = await step(app, event)
        except NoKey:
            event = None  # the next step says so and waits for one


async def step(app, event):
    """The next thing to do; returns an event that is left to handle, or None."""
    if app.keys.trouble:
        return await stop(app)
    pending = app.opened_journal().pending()
    if pending is not None:
        if pending.state == SENT:
            return await reverse(app, pending)
        await present(app, pending, again=True)
        return None
    if app.sign_on_due():
        from terminal.flows.sign_on import sign_on

        await sign_on(app)
        return None  # whoever swiped before may have left
    return await handle(app, event or await idle(app))


async def stop(app):
    """There is no key to send under: say so until one was loaded."""
    app.log("error", app.keys.trouble)
    app.screens.show(app.keys.trouble)
    await Wait((KEYS_LOADED,))


async def idle(app):
    """Wait for a card or a menu key; None when the sign-on has run out."""
    app.rest()
    for name in SELDOM:
        terminal.forget(name)
    terminal.collect()  # between transactions nobody waits for it
    kind = DEVICE
    while True:
        if kind == DEVICE:
            app.screens.show("idle", app.settings.acceptor_name, trouble(app))
        kind, value = await Wait((CARD, BAD_CARD, KEY, DEVICE), app.sign_on_left_ms())
        if kind == TIMEOUT:
            return None
        if kind in (CARD, BAD_CARD) or value in MENU or value == MORE:
            return kind, value


def trouble(app):
    """What to say (English, Persian) of the device that can't be used, nothing when all can."""
    told = app.trouble()
    return pair_of(("no_" if told[1] == MISSING else "bad_") + told[0]) if told else ("", "")


async def handle(app, event):
    """Act on an event of `idle`; return one that is left to handle, or None."""
    if event is None:
        return None
    kind, value = event
    try:
        if kind == CARD:
            return await trade(app, "earn", value)
        if kind == KEY and value == MORE:
            return await more(app)
        if kind == KEY:
            return await trade(app, MENU[value])
        return await tell(app, "swipe_again")
    except Cancelled:
        return None
    except JournalError as error:
        app.log("error", str(error))
        return await tell(app, "storage")


async def more(app):
    """What is wanted seldom, by number."""
    app.screens.show("menu")
    _, key = await Wait((KEY,), ENTRY_MS)
    if key != "1":
        return None
    from terminal.flows.pin_change import change_pin

    return await change_pin(app)
