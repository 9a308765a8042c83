"""What the cash register asks for: a sale with points, its void, totals, close, the last receipt once more.

The cashier stays master: a sale from the register can be cancelled at the terminal, and the register is told.
"""

from terminal.doors.till import CANCELLED, CARD, NO_CARD, NO_LINE, NOT_DONE, STORAGE, TRAINING, UNKNOWN
from terminal.drivers.till import CLOSE, REPRINT, REVERSE, SALE, TOTALS, Sold
from terminal.flows.dialogue import CANCEL, Cancelled, tell
from terminal.flows.outcome import Outcome, reversal_of
from terminal.flows.wait import BAD_CARD, FOREIGN, KEY, TIMEOUT, Wait
from terminal.flows.wait import CARD as MEMBER
from terminal.journal import JournalError
from terminal.message_tables import TAG_BASKET
from terminal.ui.strings import pair_of

CARD_MS = 90000  # a customer looks for a card; longer than a till waits is no use
WITH_POINTS, TYPED = "B", "A"
LONGEST_RECEIPT = 32  # letters of DE 62
LONGEST_BASKET = 128  # letters; items that are too many are left out


async def serve(app, asked):
    """Do what the register wants; return an event that is left to handle, or None. Raises JournalError."""
    till = app.till
    if app.training is not None:
        till.refuse(asked, TRAINING)
        return None
    if asked.what in (SALE, REVERSE):
        try:
            till.begin(asked)
        except JournalError as error:
            app.log("error", str(error))
            till.refuse(asked, STORAGE)
            return await tell(app, "storage")
        return await ended(app, sale(app, asked) if asked.what == SALE else void(app, asked))
    if asked.what == TOTALS:
        till.tell_totals(TOTALS, till.totals())
    elif asked.what == CLOSE:
        return await close(app, asked)
    elif asked.what == REPRINT:
        from terminal.flows.reprint import reprint

        till.finished()
        return await reprint(app, "copy")
    else:
        till.refuse(asked, UNKNOWN)
    return None


async def ended(app, work):
    """What a sale or void comes to is told, however it ends."""
    sold, left = Sold(False, NOT_DONE), None
    try:
        sold, left = await work
    except Cancelled:
        sold = Sold(False, CANCELLED)
    except JournalError as error:
        app.log("error", str(error))
        sold = Sold(False, STORAGE)
    finally:
        app.opened_journal().watch = None
        app.till.done(sold)
    return left


async def sale(app, asked):
    """(Sold, event that is left or None) of a sale the register has sent. Raises Cancelled, JournalError."""
    from terminal.flows.trade import sell

    app.till.progress(CARD)
    member, flow = await choice(app, asked.amount)
    if flow is None:
        return Sold(False, NO_CARD), None
    outcome, left = await sell(app, flow, member, asked.amount, told_of(asked))
    return told(app, outcome), left


async def choice(app, amount):
    """(member or None, flow): a card earns; points are paid with, or a number typed, by a key. Raises
    Cancelled."""
    from terminal.flows.trade import Refused, member_of_program

    event, text = None, "till_sale"
    while True:
        if event is None:
            app.screens.show("till_sale", amount, text=text)
            event = await Wait((MEMBER, BAD_CARD, KEY), CARD_MS)
        (kind, value), event = event, None
        if kind == MEMBER:
            try:
                return await member_of_program(app, None, "earn", value), "earn"
            except Refused as refused:  # the next card may be the right one
                event = refused.left
        elif kind == TIMEOUT:
            return None, None
        elif kind == BAD_CARD:
            text = "till_sale_again"
            if value == FOREIGN:
                event = await tell(app, "card_refused")
        elif value == CANCEL:
            raise Cancelled
        elif value in (WITH_POINTS, TYPED):
            return None, "split" if value == WITH_POINTS else "earn"


def told_of(asked):
    """DE 62, the number of the register's receipt, else of the register; DE 48, its basket.

    Its text has both, parted by semicolons: what has an equals sign is an item of the basket.
    """
    number, items = asked.reference, []
    for part in asked.text.split(";"):
        if "=" in part:
            items.append(part.strip())
        elif part.strip():
            number = part
    while len(";".join(items)) > LONGEST_BASKET:
        items.pop()
    told = {48: {TAG_BASKET: ";".join(items)}} if items else {}
    if number.strip("0 "):
        told[62] = number.strip()[:LONGEST_RECEIPT]
    return told


async def void(app, asked):
    """(Sold, event that is left or None): the transaction of this STAN is taken back, else the newest."""
    from terminal.flows.follow import recent
    from terminal.flows.outcome import MESSAGES, VOID_REDEMPTION
    from terminal.flows.trade import CURRENCY, attempt

    found = [one for one in recent(app, "void") if asked.reference in ("", one.stan)]
    if not found:
        return Sold(False, UNKNOWN), await tell(app, "no_receipt")
    original = found[0]
    kind = MESSAGES["void"] if original.flow == "earn" else VOID_REDEMPTION
    more = {4: "%012d" % original.left, 37: original.rrn, 49: CURRENCY}
    outcome, left = await attempt(app, "void", more, kind=kind)
    return told(app, outcome), left


async def close(app, asked):
    """The register closes the batch; its totals are told before they are begun anew."""
    from terminal.flows.batch import close_batch

    number = app.batch.current
    totals = app.till.totals()
    try:
        return await close_batch(app)
    finally:
        if app.batch.current != number:
            app.till.tell_totals(CLOSE, totals)
        else:
            app.till.refuse(asked, NO_LINE)


# ---------------------------------------------------------------- what is told


def told(app, outcome):
    """The Sold of an Outcome; None: there is none, nothing was moved."""
    if outcome is None:
        return Sold(False, NOT_DONE if app.line_is_up else NO_LINE)
    sold = Sold(outcome.approved(), reason(outcome), outcome.card[-4:], "MAN", outcome.stan, outcome.rrn)
    sold.moment = outcome.moment
    if not sold.approved:
        return sold
    sold.points = outcome.points
    sold.balance = outcome.balance
    sold.amount = outcome.amount
    if outcome.flow == "split":
        sold.amount = outcome.sale - outcome.amount
    elif outcome.flow in ("redeem", "void"):
        sold.amount = 0
    sold.lines = lines(app, outcome, sold)
    return sold


def sold_of(app, request, answer):
    """The Sold of a journal's record and answer; answer b"": an earn that is kept until there is a line."""
    if answer:
        sold = told(app, Outcome(request, answer))
    else:
        from terminal.flows.offline import recorded

        sold = told(app, recorded(request))
        sold.lines = ("POINTS FOLLOW", "STAN " + sold.stan)
    sold.entry = "MAG" if 35 in reversal_of(request) else "MAN"
    return sold


def reason(outcome):
    """Why not, in ASCII: registers know no other letters."""
    if outcome.approved():
        return ""
    return _ascii_of(outcome.why()[0] or "CODE " + outcome.response_code).upper()


def lines(app, outcome, sold):
    """What the register may print, 24 letters a line."""
    rows = [
        _ascii_of(app.settings.acceptor_name[0]),
        _ascii_of(pair_of(outcome.flow)[0]).upper(),
        "STAN %s  RRN %s" % (outcome.stan[-6:], outcome.rrn[-6:]),
    ]
    if outcome.card:
        rows.append("CARD " + outcome.card)
    if outcome.flow in ("redeem", "split"):
        rows.append("POINTS PAID   %10d" % outcome.points)
        if outcome.earned:
            rows.append("POINTS EARNED %10d" % outcome.earned)
    else:
        rows.append("POINTS        %10d" % outcome.points)
    rows.append("BALANCE       %10d" % outcome.balance)
    if outcome.flow != "void":
        rows.append("TO PAY   %15d" % sold.amount)
    return tuple(rows)


def _ascii_of(text):
    """Letters that every register has; others become dots."""
    return "".join([letter if " " <= letter <= "~" and letter != "|" else "." for letter in text])
