"""Receipts as lines of text, in English and Persian, 32 columns.

Lines are in reading order; whoever renders a Persian line runs it right to left. No printer language here.
"""

from terminal.message_tables import REASONS
from terminal.text import digits_of, grouped, jalali
from terminal.ui.strings import LOCALES, text_of

COLUMNS = 32
_RULE = "-" * COLUMNS
# Code points that take no column of their own, first to last: joiners and direction marks, Arabic marks.
_NO_COLUMN = ((0x200B, 0x200F), (0x064B, 0x0655), (0x0670, 0x0670))

# flow: the label of its points
_POINTS = {"earn": "receipt_earned", "redeem": "receipt_redeemed"}


def lines(outcome, settings, locale, again=False):
    """The receipt of a flows.outcome.Outcome. again: headed as the last transaction."""
    name = settings.acceptor_name[LOCALES.index(locale)]
    out = [centred(line) for line in wrapped(name)]
    if again:
        out.append(centred(text_of("last_transaction", locale)))
    out += [
        centred(text_of(outcome.flow, locale)),
        _RULE,
        row("receipt_terminal", settings.terminal_id, locale),
        row("receipt_date", moment_text(outcome.moment, locale), locale),
        row("receipt_stan", outcome.stan, locale),
    ]
    if outcome.rrn:
        # Letters and digits of an RRN belong together: it stays Latin.
        out.append(spread(text_of("receipt_rrn", locale), outcome.rrn))
    if outcome.card:  # a mobile number is not printed
        out.append(row("receipt_card", outcome.card, locale))
    out.append(_RULE)
    if outcome.amount:
        amount = text_of("rial", locale).format(grouped(outcome.amount, locale))
        out.append(row("receipt_amount", amount, locale))
    if outcome.flow in _POINTS:
        out.append(row(_POINTS[outcome.flow], grouped(outcome.points, locale), locale))
    out += reason_lines(outcome, locale)
    out.append(row("receipt_balance", grouped(outcome.balance, locale), locale))
    if outcome.debt:
        out.append(row("receipt_debt", grouped(outcome.debt, locale), locale))
    out.append(_RULE)
    return out


def reason_lines(outcome, locale):
    """Why it came out so, in words; the code alone when the tables don't know it."""
    if not outcome.reason:
        return []
    if outcome.reason in REASONS:
        text = REASONS[outcome.reason][LOCALES.index(locale)]
        text = text.format(grouped(outcome.reason_number, locale))
    else:
        text = text_of("reason", locale).format(digits_of(outcome.reason, locale))
    return wrapped(text)


def moment_text(moment, locale):
    """Date and time: Gregorian in English, Jalali in Persian."""
    date = jalali(*moment[:3]) if locale == "fa" else moment[:3]
    text = ("%04d/%02d/%02d" if locale == "fa" else "%04d-%02d-%02d") % tuple(date)
    return digits_of(text + " %02d:%02d:%02d" % tuple(moment[3:]), locale)


def row(label, value, locale):
    """A label and its value at the two ends of a line."""
    return spread(text_of(label, locale), digits_of(value, locale))


def spread(left, right):
    """Two texts at the two ends of a line; at least one space between them."""
    return left + " " * max(1, COLUMNS - width(left) - width(right)) + right


def centred(text):
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
