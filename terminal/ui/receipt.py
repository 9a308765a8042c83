"""Receipts as rows, in English and Persian: what stands on them and in which order.

`paper` makes dots of rows, lines() text of 32 columns for those who watch. Lines are in reading order;
whoever renders a Persian line runs it right to left. No printer language here, and no card but a masked one.
"""

from terminal.message_texts import meaning
from terminal.text import digits_of, grouped, jalali
from terminal.ui.paper import BANNER, CUT, MIDDLE, PAIR, RULE, SIGNATURE, SPACE, SUM, TEXT, TITLE
from terminal.ui.strings import LOCALES, text_of

COLUMNS = 32
_RULE = "-" * COLUMNS
# Code points that take no column of their own, first to last: joiners and direction marks, Arabic marks.
_NO_COLUMN = ((0x200B, 0x200F), (0x064B, 0x0655), (0x0670, 0x0670))

CUSTOMER, MERCHANT = "customer", "merchant"  # whose copy it is

# flow: the label of its points
_POINTS = {
    "earn": "receipt_earned",
    "redeem": "receipt_redeemed",
    "split": "receipt_redeemed",
    "void": "receipt_given",
    "refund": "receipt_given",
    "return": "receipt_given",
    "transfer": "receipt_sent",
}
SIGNED = ("redeem", "split", "void", "refund", "return", "transfer")  # flows a merchant's copy is signed of
WITHOUT_BALANCE = ("block",)  # flows whose answer has none


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
    elif outcome.flow not in WITHOUT_BALANCE:
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
        pair("receipt_terminal", settings.terminal_id, locale),
        pair("receipt_stan", outcome.stan, locale),
    ]
    # Letters and digits of an RRN belong together: it stays Latin.
    if outcome.rrn:
        out.append((PAIR, text_of("receipt_rrn", locale), outcome.rrn))
    if outcome.follows:
        out.append((PAIR, text_of("receipt_follows", locale), outcome.follows))
    if outcome.till_receipt:
        out.append(pair("receipt_till", outcome.till_receipt, locale))
    if outcome.card:  # a mobile number is not printed
        out.append(pair("receipt_card", outcome.card, locale))
    if outcome.other_card:
        out.append(pair("receipt_other", outcome.other_card, locale))
    return out


def _movement(outcome, locale):
    """What came and went, and why."""
    out = []
    for label, rial in (
        ("receipt_sale", outcome.sale),
        ("receipt_by_points" if outcome.sale else "receipt_amount", outcome.amount),
        ("receipt_to_pay", max(0, outcome.sale - outcome.amount) if outcome.sale else 0),
    ):
        if rial:
            out.append((PAIR, text_of(label, locale), text_of("rial", locale).format(grouped(rial, locale))))
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
    kind = PAIR if outcome.flow in _POINTS else SUM
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
    """A row of a label's name and a value whose digits become the locale's."""
    return (PAIR, text_of(label, locale), digits_of(value, locale))


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
    count = len(text)
    for letter in text:
        for first, last in _NO_COLUMN:
            if first <= ord(letter) <= last:
                count -= 1
    return count
