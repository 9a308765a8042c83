"""A receipt as dots: rows of text in either direction become strips for a printer, one after the other.

Nothing of it is in memory longer than its row: a receipt of half a metre takes as much as one line.
What stands on it is `receipt`'s business, how it gets out the driver's.
"""

from terminal.hal.canvas import Canvas
from terminal.ui.fonts import heading, paper
from terminal.ui.lettering import draw, is_persian, width, wrapped

STRIP_LINES = 24  # as the driver takes them
_GAP = 3  # dots between rows
_RULE_HEIGHT = 9

# Kinds of rows, each a tuple that begins with one of these.
TITLE = "title"  # text: bold, in the middle
BANNER = "banner"  # text: white on black, in the middle
MIDDLE = "middle"  # text: in the middle
PAIR = "pair"  # label, value: at the two ends of a line, the value below when both don't fit
SUM = "sum"  # label, value: the same, the value large
TEXT = "text"  # text: as many lines as it needs
RULE = "rule"
CUT = "cut"  # dashed: where a copy is torn off
SPACE = "space"
SIGNATURE = "signature"  # label: room to sign, a line, the label below it
_SIGNATURE_DOTS = 72  # nine millimetres


def strips(rows, dots, is_rtl):
    """Yields up to STRIP_LINES lines as packed bytes, the left dot in the highest bit; each is to be used
    before the next is asked for. dots: of a line, a multiple of 8; is_rtl: lines begin on the right, labels
    too."""
    assert dots % 8 == 0, "lines of whole bytes"
    step = STRIP_LINES * dots // 8
    sheets = {}
    for row in rows:
        for canvas in _drawn(row, dots, is_rtl, sheets):
            view = memoryview(canvas.dots)
            for at in range(0, len(view), step):
                yield view[at : at + step]


def _sheet(dots, height, sheets):
    """A blank canvas; one of each height is used again and again."""
    canvas = sheets.get(height)
    if canvas is None:
        canvas = sheets[height] = Canvas(dots, height)
    else:
        canvas.clear()
    return canvas


def _drawn(row, dots, is_rtl, sheets):
    kind = row[0]
    if kind in (TITLE, BANNER, MIDDLE):
        for line in wrapped(paper, row[1], dots - 2):
            x = (dots - width(paper, line)) // 2
            yield _line(sheets, dots, [(paper, line, is_rtl, x)], kind == TITLE, kind == BANNER)
    elif kind in (PAIR, SUM):
        for places in _pair(row[1], heading if kind == SUM else paper, row[2], dots, is_rtl):
            yield _line(sheets, dots, places)
    elif kind == TEXT:
        for line in wrapped(paper, row[1], dots):
            yield _line(sheets, dots, [(paper, line, is_rtl, _start(line, dots, is_rtl))])
    elif kind == SIGNATURE:
        yield _sheet(dots, _SIGNATURE_DOTS, sheets)
        yield _dashes(sheets, dots, 4, 2)
        for line in wrapped(paper, row[1], dots):
            yield _line(sheets, dots, [(paper, line, is_rtl, (dots - width(paper, line)) // 2)])
    elif kind == RULE:
        yield _dashes(sheets, dots, dots, dots)
    elif kind == CUT:
        yield _dashes(sheets, dots, 12, 6)
    else:
        assert kind == SPACE, "a kind of row"
        yield _sheet(dots, 2 * _RULE_HEIGHT, sheets)


def _dashes(sheets, dots, step, black):
    canvas = _sheet(dots, _RULE_HEIGHT, sheets)
    for x in range(0, dots, step):
        canvas.rectangle(x, _RULE_HEIGHT // 2, black, 2)
    return canvas


def _pair(label, font, value, dots, is_rtl):
    """Lines of (font, text, direction, x). Values are numbers, dates, masked cards, codes: they are
    read from the left whatever the line's direction."""
    value_dots = width(font, value)
    value_x = 0 if is_rtl else dots - value_dots
    if width(paper, label) + value_dots + _GAP * 3 <= dots:
        placed = (font, value, is_persian(value), value_x)
        return [[(paper, label, is_rtl, _start(label, dots, is_rtl)), placed]]
    lines = [[(paper, line, is_rtl, _start(line, dots, is_rtl))] for line in wrapped(paper, label, dots)]
    for line in wrapped(font, value, dots):
        lines.append([(font, line, is_persian(line), 0 if is_rtl else dots - width(font, line))])
    return lines


def _start(text, dots, is_rtl):
    return dots - width(paper, text) if is_rtl else 0


def _line(sheets, dots, places, is_bold=False, is_white=False):
    """A line of texts, standing on one base line. is_bold: struck twice; is_white: on black."""
    height = max([place[0].HEIGHT for place in places])
    base = max([place[0].BASELINE for place in places])
    canvas = _sheet(dots, height + _GAP, sheets)
    for font, text, is_rtl, x in places:
        draw(canvas, font, text, x, base - font.BASELINE, is_rtl)
        if is_bold:
            draw(canvas, font, text, x + 1, base - font.BASELINE, is_rtl)
    if is_white:
        canvas.invert(0, canvas.height)
    return canvas
