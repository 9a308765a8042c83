"""What the terminal does of itself: finish what is pending, sign on, wait for a card or a key."""

import terminal
from terminal.doors import MISSING
from terminal.flows.dialogue import MENU, MORE, Cancelled, ask_member, ask_sale, choose, tell
from terminal.flows.present import present
from terminal.flows.reverse import reverse
from terminal.flows.trade import Refused, trade
from terminal.flows.wait import (
    BAD_CARD,
    CARD,
    DEVICE,
    FOREIGN,
    KEY,
    KEYS_LOADED,
    LINE_UP,
    TILL,
    TIMEOUT,
    Wait,
)
from terminal.journal import QUEUED, SENT, JournalError
from terminal.keys import NoKey
from terminal.ui.strings import pair_of

QUEUE_CONNECT_MS = 30000  # how often a line is wanted for what is queued
DAY_HOURS, HOUR_S = 24, 3600
CLOSE_AGAIN_MS = 900000  # after a batch was to be closed by itself, whatever came of it

# Modules imported where they are needed and given back at rest: where code is loaded into the heap, they take
# memory only while they work.
SELDOM = """
flows.chip flows.diagnostics flows.follow flows.membership flows.offline flows.batch flows.pin_change
flows.cashier flows.proof flows.reprint flows.sign_on flows.update flows.supervisor flows.till flows.training
bundle signature ui.receipt ui.paper
"""


# Key of the menu of what is wanted seldom: flow, its module in terminal.flows, the function there; each is
# called with the application and the flow, and returns an event that is left to handle, or None.
SELDOM_WANTED = """
1 void follow void
2 return follow give_back
3 copy reprint reprint
4 split trade trade
5 replace membership replace
6 pin_change pin_change change_pin
7 block membership block
8 unblock membership unblock
9 transfer membership transfer
0 supervisor supervisor open_menu
A cashier cashier sign_in
"""
SELDOM_KEYS = "0123456789A" + MORE  # on every page of it


async def run(app):
    """The terminal's life; never returns. Keys and pending requests go before everything else."""
    event = None
    while True:
        try:
            event = await step(app if app.training is None else app.training, event)
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
        if pending.state == QUEUED:
            from terminal.flows.offline import present_queued

            await present_queued(app, pending.stan, pending.request, again=True)
            return None
        await present(app, pending, again=True)
        return None
    if app.sign_on_due():
        from terminal.flows.sign_on import sign_on

        await sign_on(app)
        return None  # whoever swiped before may have left
    if app.batch.step is not None:
        from terminal.flows.batch import go_on

        return await go_on(app)
    if event is None and _close_wait_ms(app) == 0:
        from terminal.flows.batch import close_batch

        app.batch_close_ms = app.clock.now_ms() + CLOSE_AGAIN_MS
        return await close_batch(app)
    if event is None and _queue_wait_ms(app) == 0:
        if app.line_is_up:
            from terminal.flows.offline import send_next

            return await send_next(app)
        app.ports.connect()
        app.queue.next_ms = app.clock.now_ms() + QUEUE_CONNECT_MS
    return await handle(app, event or await idle(app))


def _queue_wait_ms(app):
    """How long the oldest queued earn waits before it is sent; None: there is none."""
    if not len(app.queue):
        return None
    return max(0, app.queue.next_ms - app.clock.now_ms())


def _close_wait_ms(app):
    """How long until the batch is to be closed by itself; None: it isn't."""
    hour, now = app.settings.batch_close_hour, app.clock.wall()
    if hour is None or now is None or not (app.batch.entries or len(app.queue)):
        return None
    past_s = ((now[3] - hour) % DAY_HOURS * 60 + now[4]) * 60 + now[5]
    if past_s < HOUR_S:
        return max(0, app.batch_close_ms - app.clock.now_ms())
    return (DAY_HOURS * HOUR_S - past_s) * 1000


async def stop(app):
    """There is no key to send under: say so until one was loaded."""
    app.log("error", app.keys.trouble)
    app.screens.show(app.keys.trouble)
    await Wait((KEYS_LOADED,))


async def idle(app):
    """Wait for a card or a menu key; None when the sign-on has run out."""
    app.rest()
    app.downloads.work = None  # of a module that goes: another one would not know its errors
    for name in SELDOM.split():
        terminal.forget("terminal." + name)
    terminal.collect()  # between transactions nobody waits for it
    asked = app.till.take() if app.till else None
    if asked is not None:
        return TILL, asked
    kind, percent = DEVICE, app.downloads.percent
    while True:
        if kind == DEVICE or percent != app.downloads.percent:
            percent = app.downloads.percent
            told = trouble(app)
            text = "idle_trouble" if told[0] else "idle"
            app.screens.show("idle", app.settings.acceptor_name, told, text=text)
        kind, value = await waited(app, (CARD, BAD_CARD, KEY, DEVICE, TILL))
        if kind is None or kind == DEVICE:
            continue
        if kind == LINE_UP:
            app.queue.next_ms = 0
        if kind in (TIMEOUT, LINE_UP):
            return None
        if kind in (CARD, BAD_CARD, TILL) or value in MENU or value == MORE or "0" <= value <= "9":
            return kind, value


async def waited(app, kinds):
    """The next event of `kinds`; (None, None) after a step of a download, which gives way to any of them."""
    left_ms = app.sign_on_left_ms()
    queue_ms = _queue_wait_ms(app)
    if queue_ms is not None:
        left_ms = min(left_ms, queue_ms)
        kinds += (LINE_UP,)
    close_ms = _close_wait_ms(app)
    if close_ms is not None:
        left_ms = min(left_ms, close_ms)
    download_ms = app.downloads.wait_ms(app.clock.now_ms())
    if download_ms is None or download_ms >= left_ms:
        return await Wait(kinds, left_ms)
    if download_ms:
        kind, value = await Wait(kinds, download_ms)
        return (kind, value) if kind in kinds else (None, None)
    from terminal.flows.update import step as next_piece

    return await next_piece(app, kinds)


def trouble(app):
    """What to say (English, Persian) of a device that can't be used, of the paper, or of a download."""
    told = app.trouble()
    if not told:
        if app.is_paper_low():
            return pair_of("paper_low")
        percent = app.downloads.percent
        if percent is None:
            return "", ""
        return tuple([text.format(percent) for text in pair_of("fetching")])
    return pair_of(("no_" if told[1] == MISSING else "bad_") + told[0])


async def handle(app, event):
    """Act on an event of `idle`; return one that is left to handle, or None."""
    if event is None:
        return None
    kind, value = event
    try:
        if kind == CARD:
            return await trade(app, "earn", value)
        if kind == TILL:
            from terminal.flows.till import serve

            return await serve(app, value)
        if kind == BAD_CARD:
            return await tell(app, "card_refused" if value == FOREIGN else "swipe_again")
        if value == MORE:
            return await more(app)
        if value in MENU:
            return await trade(app, MENU[value])
        if value == "0":  # no amount begins so: a mobile number does
            return await trade(app, "earn", await ask_member(app, pair_of("earn"), digits=value))
        amount, member = await ask_sale(app, "amount", pair_of("earn"), value, (KEY, CARD, BAD_CARD))
        return await trade(app, "earn", member, amount)
    except Refused as refused:
        return refused.left
    except Cancelled:
        return None
    except JournalError as error:
        app.log("error", str(error))
        return await tell(app, "storage")


async def more(app):
    """What is wanted seldom, by number."""
    key = MORE
    page = ("menu", "menu_2")
    while key == MORE:
        key = await choose(app, page[0], SELDOM_KEYS)
        page = page[1], page[0]
    _, _, row = SELDOM_WANTED.partition("\n" + key + " ")
    flow, module, function = row.split("\n")[0].split()
    module = __import__("terminal.flows." + module, None, None, (function,))
    return await getattr(module, function)(app, flow)
