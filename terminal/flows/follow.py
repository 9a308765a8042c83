"""What follows an earlier transaction by its reference number (RRN): void, goods or points that come back.

The original is chosen among the newest of the open batch, or its reference is typed or scanned from a
receipt; whose points it moved, the switch knows by it.
"""

from terminal.flows.dialogue import CANCEL, ENTRY_MS, MORE, Cancelled, ask_number, ask_text, choose, tell
from terminal.flows.outcome import MESSAGES, VOID_REDEMPTION, Outcome
from terminal.flows.trade import CURRENCY, SALES, attempt
from terminal.flows.wait import KEY, SCAN, TIMEOUT, Wait
from terminal.text import grouped
from terminal.ui.strings import pair_of

RRN_LETTERS = 12
BY_REFERENCE = "A"
ON_A_PAGE = 3
NEWEST_SEGMENTS = 4  # of the batch that are looked into for them: some fifty transactions
MOST = 9  # originals to choose from; older ones by their reference


class Original:
    """What a receipt tells of a transaction: rrn, flow, stan, points; left: the rial of it that the flow can
    take or bring back, but for what this terminal's records don't tell."""

    def __init__(self, rrn, flow, stan="", left=0, points=0):
        self.rrn = rrn
        self.flow = flow
        self.stan = stan
        self.left = left
        self.points = points


async def void(app, flow):
    """Take back a whole transaction of the open batch. Returns as trade()."""
    title = pair_of(flow)
    original = await _ask_original(app, title, flow)
    if not original.flow:
        key = await choose(app, "void_of", "12", title)
        original = Original(original.rrn, "earn" if key == "1" else "redeem")
    if not original.left:
        original.left = await ask_number(app, "amount", title)
    kind = MESSAGES["void"] if original.flow == "earn" else VOID_REDEMPTION
    return await follow(app, flow, original.rrn, original.left, kind)


async def give_back(app, flow):
    """Goods come back, or points that paid for them; in part, too. Returns as trade()."""
    flow = "return" if await choose(app, "return_of", "12", pair_of(flow)) == "1" else "refund"
    title = pair_of(flow)
    original = await _ask_original(app, title, flow)
    amount = await ask_number(app, "amount", title, original.left)
    if flow == "refund" and amount < app.ratio:
        return await tell(app, "below_a_point")
    return await follow(app, flow, original.rrn, amount)


async def follow(app, flow, rrn, amount, kind=None):
    """Send what follows the transaction of this reference number."""
    more = {4: "%012d" % amount, 37: rrn, 49: CURRENCY}
    return (await attempt(app, flow, more, kind=kind))[1]


async def _ask_original(app, title, flow):
    """The Original that is meant; its flow is "" when only the reference is known. Raises Cancelled."""
    found = recent(app, flow)
    first = 0
    while found:
        page = found[first : first + ON_A_PAGE]
        rows = [row(place + 1, original, app.settings.locale) for place, original in enumerate(page)]
        rows += [""] * (ON_A_PAGE - len(rows))
        app.screens.show("which", title, *rows)
        kind, key = await Wait((KEY, SCAN), ENTRY_MS)
        if kind == TIMEOUT or key == CANCEL:
            raise Cancelled
        if kind == SCAN and reference(key) is not None:
            return known(reference(key), found)
        if key == BY_REFERENCE:
            break
        if key == MORE:
            first = first + ON_A_PAGE if first + ON_A_PAGE < len(found) else 0
        elif kind == KEY and "1" <= key <= "9" and int(key) <= len(page):
            return page[int(key) - 1]
    while True:
        rrn = await ask_text(app, "rrn", title, RRN_LETTERS, letters=True, scanned=reference)
        if len(rrn) == RRN_LETTERS:
            return known(rrn, found)
        await tell(app, "number_wrong")


def known(rrn, found):
    """The Original with a reference number: as the batch has it, if it has."""
    for original in found:
        if original.rrn == rrn:
            return original
    return Original(rrn, "")


def reference(scanned):
    """The reference number in a code's text (bytes); None when it is none."""
    if len(scanned) != RRN_LETTERS:
        return None
    for byte in scanned:
        if not (0x30 <= byte <= 0x39 or 0x41 <= byte <= 0x5A):
            return None
    return str(scanned, "ascii")


def recent(app, flow):
    """The newest Originals in the open batch of which something is left for the flow, the newest first: for a
    void all, for a return the rial of the sale, for a refund at most what points paid."""
    found = []
    flows = SALES[1:] if flow == "refund" else SALES
    for record, answer in app.journal.transactions(newest=NEWEST_SEGMENTS):
        if not answer:
            continue  # an earn of the queue that could not be sent
        outcome = Outcome(record, answer)
        if not outcome.approved():
            continue
        for original in found:
            if original.rrn == outcome.follows:
                rial = outcome.amount
                if flow == "refund" and original.flow == "split":
                    rial = outcome.back * original.ratio
                original.left -= original.left if "void" in (flow, outcome.flow) else rial
        found = [original for original in found if original.left > 0]
        if outcome.flow in flows:
            left = outcome.sale if flow == "return" and outcome.sale else outcome.amount
            found.append(Original(outcome.rrn, outcome.flow, outcome.stan, left, outcome.points))
            found[-1].ratio = outcome.amount // (outcome.points or 1)
            found = found[-MOST:]
    found.reverse()
    return found


def row(number, original, locale):
    """A line to choose by: number, STAN, points."""
    sign = "+" if original.flow == "earn" else "-"
    return "%d  %s  %s%s" % (number, original.stan, sign, grouped(original.points, locale))
