"""Screens by name: a text of the table with its values, laid out by widgets, shown and told as an event.

A text's first line is the title bar; marks of terminal.ui.strings say what the others are. Everything is
drawn in the terminal's own locale, Persian from the right. Values are int (grouped), (English, Persian)
pairs, or plain str.
"""

from terminal.hal.canvas import Canvas
from terminal.text import digits_of, grouped, latin_digits, said
from terminal.ui.fonts import figures, heading, paper, small
from terminal.ui.lettering import draw, fitted, has, is_persian, width, wrapped
from terminal.ui.strings import LARGE, LOCALES, PROGRESS, SECRET, SOFT_KEYS, text_of

WIDTH, HEIGHT = 128, 64
BAR_HEIGHT = 15
MARGIN = 2  # dots left free on both sides
_ROOM = WIDTH - 2 * MARGIN
_CLOSE, _FAR = 12, 16  # dots from one line to the next, at least and at most
_CAPITAL = (
    10  # dots of the small font above the base line, most letters; below it 3, in the next line's place
)
_DESCENT = 3
_LARGE_MOST = 26
_APART = 2  # up to so many lines below the title, a label too long for its number stands above it
_GAP = 6  # between a label and its number
_DOT, _DOT_STEP = 5, 9  # of a secret: across, and from one to the next
_PROGRESS_HEIGHT = 9
_FIGURES = ((heading, 22, 0), (paper, 16, 1), (figures, 13, 0), (small, 9, 0))  # how high, how much bolder

# Letter that ends a line too long for its place.
ELLIPSIS = "…"


class Screens:
    """Shows on `display` (None: there is none, nothing is drawn), tells by `emit`."""

    def __init__(self, display, emit, locale):
        self._display = display
        self._emit = emit
        self._locale = locale
        self._canvas = display and Canvas(WIDTH, HEIGHT)
        self.mark = None  # name of a text that begins each title

    def speak(self, locale):
        """From the next screen on."""
        self._locale = locale

    def show(self, name, *values, text=None, told=None):
        """Show the screen `name`. text: its entry in the string table, when it isn't the name itself.
        told: what the event says instead of the values."""
        lines = marked_lines(text or name, values, self._locale)
        if self.mark:
            lines[0] = text_of(self.mark, self._locale) + " " + lines[0]
        frame = ""
        if self._display is not None:
            picture(self._canvas, lines, self._locale == "fa")
            frame = self._display.show(self._canvas)
        if told is not None:
            lines[1:] = marked_lines(text or name, told, self._locale)[1:]
        lines = [line[1:] if line[:1] in _WIDGETS else line for line in lines]
        self._emit({"event": "screen", "name": name, "lines": lines, "frame": frame})


def lines_of(text, values, locale):
    """The lines of a text with its values, as people read them; empty ones at the end are dropped."""
    return [line[1:] if line[:1] in _WIDGETS else line for line in marked_lines(text, values, locale)]


def marked_lines(text, values, locale):
    """As lines_of(), with the marks that say how each is drawn."""
    lines = [_said(value, locale) for value in values]
    lines = _with_digits(text_of(text, locale), locale).format(*lines).split("\n")
    while len(lines) > 1 and (not lines[-1] or lines[-1] in _WIDGETS):
        lines.pop()
    return lines


def _with_digits(text, locale):
    """A text with the locale's digits, but for the places of its values."""
    first, *others = text.split("{")
    out = [digits_of(first, locale)]
    for other in others:
        place, _, rest = other.partition("}")
        out.append("{" + place + "}" + digits_of(rest, locale))
    return "".join(out)


def _said(value, locale):
    if isinstance(value, int):
        return grouped(value, locale)
    if isinstance(value, tuple):
        return value[LOCALES.index(locale)]
    return said(value, locale)


# ---------------------------------------------------------------- widgets


def picture(canvas, lines, is_rtl):
    """Draw marked lines on a canvas of WIDTH x HEIGHT; returns those lines that found no room (none, for the
    texts of the table)."""
    canvas.clear()
    _title_bar(canvas, lines[0], is_rtl)
    body, keys = _laid_out(lines[1:])
    bottom = HEIGHT - _DESCENT
    if keys is not None:
        bottom -= _CLOSE
    room = bottom + 2 - BAR_HEIGHT
    fitting = body[: room // _CLOSE]
    spare = room - len(fitting) * _CLOSE
    if keys is not None:
        _soft_keys(canvas, keys, is_rtl, spare > _DESCENT)
        spare = max(0, spare - _DESCENT)
    y = BAR_HEIGHT
    grows = [line[:1] == LARGE for line in fitting]
    share = spare // (sum(grows) or len(fitting) + 1)
    share = min(share, _LARGE_MOST - _CLOSE if any(grows) else _FAR - _CLOSE)
    if not any(grows):
        y += min(spare - share * (len(fitting) - 1), spare) // 2 if fitting else 0
    for line, is_large in zip(fitting, grows):
        height = _CLOSE + (share if is_large or not any(grows) else 0)
        _WIDGETS.get(line[:1], _text)(canvas, line, y, height if is_large else _CLOSE, is_rtl)
        y += height
    return body[len(fitting) :]


def _laid_out(lines):
    """Body lines, each as wide as the display, and the line of keys or None."""
    body = []
    keys = None
    for line in lines:
        if line[:1] == SOFT_KEYS:
            keys = line[1:]
        elif line[:1] == LARGE and len(lines) <= _APART and width(figures, line[1:]) > _ROOM:
            label, _, number = line[1:].rpartition(" ")
            body.extend((label, LARGE + number) if label else (line,))
        elif line[:1] in _WIDGETS:
            body.append(line)
        else:
            body.extend(wrapped(small, line, _ROOM))
    return body, keys


def _title_bar(canvas, text, is_rtl):
    """White on black; what is too long ends in dots."""
    text = fitted(small, text, _ROOM, ELLIPSIS)
    base = BAR_HEIGHT - _DESCENT
    draw(canvas, small, text, (WIDTH - width(small, text)) // 2, base - small.BASELINE, is_rtl)
    canvas.invert(0, BAR_HEIGHT)


def _soft_keys(canvas, text, is_rtl, is_apart):
    """What keys do, at the bottom; below a line when there is room for one."""
    top = HEIGHT - _DESCENT - _CAPITAL
    if is_apart:
        for x in range(0, WIDTH, 2):
            canvas.rectangle(x, top - 2, 1, 1)
    _text(canvas, fitted(small, text, _ROOM, ELLIPSIS), top, _CLOSE, is_rtl)


def _text(canvas, line, y, height, is_rtl):
    x = WIDTH - MARGIN - width(small, line) if is_rtl else MARGIN
    # What has no Persian letter (a masked number, names of devices) is read from the left there too.
    draw(canvas, small, line, x, y + _CAPITAL - small.BASELINE, is_rtl and is_persian(line))


def _number(canvas, line, y, height, is_rtl):
    """A number as large as it can be, behind its label if it has one."""
    label, _, number = line[1:].rpartition(" ")
    room = _ROOM - (width(small, label) + _GAP if label else 0)
    for font, high, bold in _FIGURES:
        dots = width(font, number) + bold
        if dots <= room and high + 2 <= height and has(font, number):
            break
    if dots > room:
        label = fitted(small, label, _ROOM - _GAP - dots, ELLIPSIS)
    base = y + (height + high) // 2
    x = (WIDTH - dots) // 2 if not label else MARGIN if is_rtl else WIDTH - MARGIN - dots
    for left in range(x, x + bold + 1):
        draw(canvas, font, number, left, base - font.BASELINE, False)
    if label:
        start = WIDTH - MARGIN - width(small, label) if is_rtl else MARGIN
        draw(canvas, small, label, start, base - small.BASELINE, is_rtl)


def _secret(canvas, line, y, height, is_rtl):
    """One dot for each star, and a place for the next."""
    count = len(line) - 1
    x = (WIDTH - (count + 1) * _DOT_STEP + _DOT_STEP - _DOT) // 2
    for _ in range(count):
        canvas.rectangle(x + 1, y + 3, _DOT - 2, _DOT)
        canvas.rectangle(x, y + 4, _DOT, _DOT - 2)
        x += _DOT_STEP
    canvas.rectangle(x, y + 8, _DOT, 1)


def _progress(canvas, line, y, height, is_rtl):
    """A bar, full at 100; it grows from where lines begin."""
    done = int(latin_digits(line[1:]) or "0")
    top = y + (_CLOSE - _PROGRESS_HEIGHT) // 2
    canvas.rectangle(MARGIN, top, _ROOM, _PROGRESS_HEIGHT)
    canvas.rectangle(MARGIN + 1, top + 1, _ROOM - 2, _PROGRESS_HEIGHT - 2, False)
    dots = (_ROOM - 4) * min(done, 100) // 100
    x = WIDTH - MARGIN - 2 - dots if is_rtl else MARGIN + 2
    canvas.rectangle(x, top + 2, dots, _PROGRESS_HEIGHT - 4)


_WIDGETS = {SOFT_KEYS: _text, LARGE: _number, SECRET: _secret, PROGRESS: _progress}
