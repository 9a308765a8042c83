"""A receipt as dots: rows of text in either direction become strips for a printer, one after the other.

Nothing of it is in memory longer than its row: a receipt of half a metre takes as much as one line.
What stands on it is `receipt`'s business, how it gets out the driver's.
"""

from terminal.hal.canvas import Canvas
from terminal.ui.fonts import heading, paper
from terminal.ui.lettering import draw, width, wrapped

STRIP_LINES = 24  # as the driver takes them
_GAP = 3  # dots between rows
_RULE_HEIGHT = 9

# Kinds of rows, each a tuple that begins with one of these.
TITLE = "title"  # text: large, in the middle
MIDDLE = "middle"  # text: in the middle
PAIR = "pair"  # label, value: at the two ends of a line, the value below when both don't fit
SUM = "sum"  # label, value: the same, large
TEXT = "text"  # text: as many lines as it needs
RULE = "rule"
CUT = "cut"  # dashed: where a copy is torn off
SPACE = "space"


def strips(rows, dots, is_rtl):
    """Yields bytes of up to STRIP_LINES lines, the left dot in the highest bit. dots: of a line, a
    multiple of 8; is_rtl: lines begin on the right, labels too."""
    assert dots % 8 == 0, "lines of whole bytes"
    for row in rows:
        for canvas in _drawn(row, dots, is_rtl):
            line = dots // 8
            step = STRIP_LINES * line
            view = memoryview(canvas.dots)
            for at in range(0, len(view), step):
                yield bytes(view[at : at + step])


def _drawn(row, dots, is_rtl):
    kind = row[0]
    if kind in (TITLE, MIDDLE):
        font = heading if kind == TITLE else paper
        for line in wrapped(font, row[1], dots):
            yield _line(font, dots, [(line, is_rtl, (dots - width(font, line)) // 2)])
    elif kind in (PAIR, SUM):
        font = heading if kind == SUM else paper
        for places in _pair(font, row[1], row[2], dots, is_rtl):
            yield _line(font, dots, places)
    elif kind == TEXT:
        for line in wrapped(paper, row[1], dots):
            yield _line(paper, dots, [(line, is_rtl, _start(paper, line, dots, is_rtl))])
    elif kind in (RULE, CUT):
        canvas = Canvas(dots, _RULE_HEIGHT)
        step = dots if kind == RULE else 12
        for x in range(0, dots, step):
            canvas.rectangle(x, _RULE_HEIGHT // 2, min(step, dots) if kind == RULE else 6, 2)
        yield canvas
    else:
        assert kind == SPACE, "a kind of row"
        yield Canvas(dots, 2 * _RULE_HEIGHT)


def _pair(font, label, value, dots, is_rtl):
    """Lines of (text, direction, x). Values are numbers, dates, masked cards, codes: they are read
    from the left whatever the line's direction."""
    label_dots, value_dots = width(font, label), width(font, value)
    value_x = 0 if is_rtl else dots - value_dots
    placed = (value, _is_persian(value), value_x)
    if label_dots + value_dots + _GAP * 3 <= dots:
        return [[(label, is_rtl, _start(font, label, dots, is_rtl)), placed]]
    lines = [[(line, is_rtl, _start(font, line, dots, is_rtl))] for line in wrapped(font, label, dots)]
    for line in wrapped(font, value, dots):
        lines.append([(line, _is_persian(line), 0 if is_rtl else dots - width(font, line))])
    return lines


def _start(font, text, dots, is_rtl):
    return dots - width(font, text) if is_rtl else 0


def _is_persian(text):
    """Whether a text has Arabic letters (digits alone have no direction of their own)."""
    return any("\u0620" <= letter <= "\u064a" or "\u066e" <= letter <= "\u06d3" for letter in text)


def _line(font, dots, places):
    canvas = Canvas(dots, font.HEIGHT + _GAP)
    for text, is_rtl, x in places:
        draw(canvas, font, text, x, 0, is_rtl)
    return canvas
