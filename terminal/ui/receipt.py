"""Receipts as rows, in English and Persian: what stands on them and in which order.

`paper` makes dots of rows, lines() text of 32 columns for those who watch. Lines are in reading order;
whoever renders a Persian line runs it right to left. No printer language here, and no card but a masked one.
"""

from terminal.flows.outcome import MOVING
from terminal.message_texts import meaning
from terminal.text import digits_of, grouped, jalali, said
from terminal.ui.paper import BANNER, CUT, MIDDLE, PAIR, RULE, SIGNATURE, SPACE, SUM, TEXT, TITLE
from terminal.ui.strings import LOCALES, text_of

COLUMNS = 32
_RULE = "-" * COLUMNS
# Letters that take no column of their own: joiners and direction marks, Arabic marks.
_NO_COLUMN = (
    "\u200b\u200c\u200d\u200e\u200f\u064b\u064c\u064d\u064e\u064f\u0650\u0651\u0652\u0653\u0654\u0655\u0670"
)

CUSTOMER, MERCHANT = "customer", "merchant"  # whose copy it is

# flow: the label of its points; of what follows a sale they are back or taken
_POINTS = {
    "earn": "receipt_earned",
    "redeem": "receipt_redeemed",
    "split": "receipt_redeemed",
    "transfer": "receipt_sent",
}
SIGNED = MOVING[1:]  # flows a merchant's copy is signed of: all but an earn


def rows(outcome, settings, locale, mark=None, copy=CUSTOMER):
    """The rows of a flows.outcome.Outcome. mark: name of the text that heads it, as last_transaction; copy:
    CUSTOMER's or MERCHANT's."""
    place = LOCALES.index(locale)
    out = [(TITLE, settings.acceptor_name[place])]
    if settings.receipt_header:
        out.append((MIDDLE, settings.receipt_header[place]))
    for name in (mark, "merchant_copy" if copy == MERCHANT else None):
        if name:
            out.append((BANNER, text_of(name, locale)))
    out += [(MIDDLE, text_of(outcome.flow, locale)), (RULE,)]
    out += _identity(outcome, settings, locale)
    body = _movement(outcome, locale)
    if outcome.is_queued:  # nothing is promised that only the switch knows
        body.append((TEXT, text_of("receipt_later", locale)))
    elif outcome.flow != "block":  # its answer has none
        body += _state(outcome, locale)
    if body:
        out += [(RULE,)] + body
    if copy == MERCHANT and outcome.flow in SIGNED:
        out.append((SIGNATURE, text_of("receipt_signature", locale)))
    elif settings.receipt_footer:
        out += [(RULE,), (MIDDLE, settings.receipt_footer[place])]
    out += [(SPACE,), (CUT,)]
    return out


def _identity(outcome, settings, locale):
    """Which transaction it is."""
    date, time = moment_texts(outcome.moment, locale)
    out = [
        (PAIR, text_of("receipt_date", locale) + " " + date, time),
    ]
    for label, value in (
        ("receipt_terminal", settings.terminal_id),
        ("receipt_stan", outcome.stan),
        ("receipt_rrn", outcome.rrn),
        ("receipt_rrn_of", outcome.follows),
        ("receipt_till", outcome.till_receipt),
        ("receipt_card", outcome.card),  # a mobile number is not printed
        ("receipt_other", outcome.other_card),
    ):
        if value:
            row = pair(label, value, locale)
            # A reference number stays Latin, be it without a letter.
            out.append(row[:2] + (value,) if "rrn" in label else row)
    return out


def _movement(outcome, locale):
    """What came and went, and why."""
    out = []
    for label, rial in (
        ("receipt_sale", outcome.sale),
        ("receipt_by_points" if outcome.sale else "receipt_amount", outcome.amount),
        ("receipt_to_pay" if outcome.sale else "receipt_money", outcome.money),
    ):
        if rial:
            out.append((PAIR, text_of(label, locale), text_of("rial", locale).format(grouped(rial, locale))))
    if outcome.follows:  # these words say why, too
        for label, points in (("receipt_back", outcome.back), ("receipt_taken", outcome.taken)):
            if points:
                out.append((SUM, text_of(label, locale), grouped(points, locale)))
        return out
    if outcome.flow in _POINTS and not outcome.is_queued:
        out.append((SUM, text_of(_POINTS[outcome.flow], locale), grouped(outcome.points, locale)))
    if outcome.earned:
        out.append(amount("receipt_earned", outcome.earned, locale))
    why = reason(outcome, locale)
    if why:
        out.append((TEXT, why))
    return out


def _state(outcome, locale):
    """What the member has, and what it should know of."""
    kind = PAIR if outcome.flow in MOVING else SUM
    out = [(kind, text_of("receipt_balance", locale), grouped(outcome.balance, locale))]
    for label, points in (
        ("receipt_debt", outcome.debt),
        ("receipt_pending", outcome.pending),
        ("receipt_held", outcome.held),
    ):
        if points:
            out.append(amount(label, points, locale))
    if outcome.next_reward:
        left = max(0, outcome.next_reward - outcome.balance)
        if left:
            out.append(amount("receipt_next", left, locale))
        else:
            out.append((TEXT, text_of("receipt_reached", locale)))
    if outcome.expiring:
        points, day = outcome.expiring
        label = text_of("receipt_expiring", locale).format(_date_text(day, locale))
        out.append((PAIR, label, grouped(points, locale)))
    return out


def reason(outcome, locale):
    """Why it came out so, in words; the code alone when the tables don't know it; "" for no reason."""
    if not outcome.reason:
        return ""
    texts = meaning(outcome.reason)
    if texts is not None:
        text = texts[LOCALES.index(locale)]
        return digits_of(text.format(grouped(outcome.reason_number, locale)), locale)
    return text_of("reason", locale).format(digits_of(outcome.reason, locale))


def _date_text(date, locale):
    """A day: Gregorian in English, Jalali in Persian."""
    if locale == "fa":
        return digits_of("%04d/%02d/%02d" % tuple(jalali(*date)), locale)
    return "%04d-%02d-%02d" % tuple(date)


def moment_texts(moment, locale):
    """Date and time of a moment."""
    return _date_text(moment[:3], locale), digits_of("%02d:%02d:%02d" % tuple(moment[3:]), locale)


def amount(label, number, locale):
    """A row of a label's name and a number in groups."""
    return (PAIR, text_of(label, locale), grouped(number, locale))


def pair(label, value, locale):
    """A row of a label's name and a value, as said()."""
    return (PAIR, text_of(label, locale), said(value, locale))


# ---------------------------------------------------------------- as text


def lines(rows):
    """Rows as lines of text."""
    out = []
    for row in rows:
        kind = row[0]
        if kind in (TITLE, BANNER, MIDDLE):
            out += [_centred(line) for line in wrapped(row[1])]
        elif kind in (PAIR, SUM):
            out.append(spread(row[1], row[2]))
        elif kind == TEXT:
            out += wrapped(row[1])
        elif kind == RULE:
            out.append(_RULE)
        elif kind == SIGNATURE:
            out += ["", "", _RULE, _centred(row[1])]
    return out


def spread(left, right):
    """Two texts at the two ends of a line; at least one space between them."""
    return left + " " * max(1, COLUMNS - width(left) - width(right)) + right


def _centred(text):
    """A text in the middle of a line."""
    return " " * max(0, (COLUMNS - width(text)) // 2) + text


def wrapped(text):
    """A text broken between words into lines of at most COLUMNS; a longer word is cut."""
    found = []
    line = ""
    for word in text.split():
        while width(word) > COLUMNS:
            if line:
                found.append(line)
                line = ""
            found.append(word[:COLUMNS])
            word = word[COLUMNS:]
        if line and width(line) + 1 + width(word) > COLUMNS:
            found.append(line)
            line = word
        else:
            line = line + " " + word if line else word
    if line:
        found.append(line)
    return found


def width(text):
    """Columns that a text takes."""
    return sum([letter not in _NO_COLUMN for letter in text])
