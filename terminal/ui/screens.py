"""Screens by name: a text of the table with its values, drawn on the display and told as an event.

The display draws Latin letters; the event carries the lines of the terminal's own locale. Values are int
(grouped), (English, Persian) pairs, or plain str.
"""

from terminal.text import digits_of, grouped
from terminal.ui.strings import LOCALES, text_of

COLUMNS = 16  # letters of 8 dots on a line of 128
_TITLE_RULE_Y = 9
_BODY_Y = 12
_LINE_HEIGHT = 9
_BODY_LINES = 5  # what fits below the title


class Screens:
    """Draws on `display`, tells by `emit`."""

    def __init__(self, display, emit, locale):
        self._display = display
        self._emit = emit
        self._locale = locale

    def speak(self, locale):
        """From the next screen on."""
        self._locale = locale

    def show(self, name, *values, text=None):
        """Show the screen `name`. text: its entry in the string table, when it isn't the name itself."""
        frame = self._draw(lines_of(text or name, values, "en"))
        lines = lines_of(text or name, values, self._locale)
        self._emit({"event": "screen", "name": name, "lines": lines, "frame": frame})

    def _draw(self, lines):
        display = self._display
        display.clear()
        display.text(lines[0][:COLUMNS], 0, 0)
        display.line(_TITLE_RULE_Y)
        y = _BODY_Y
        body = [piece for line in lines[1:] for piece in _broken(line)]
        for piece in body[:_BODY_LINES]:
            display.text(piece, 0, y)
            y += _LINE_HEIGHT
        return display.show()


def _broken(line):
    """A line broken between words into pieces that fit the display; a longer word is cut."""
    pieces = []
    while len(line) > COLUMNS:
        at = line.rfind(" ", 1, COLUMNS + 1)
        if at < 0:
            at = COLUMNS
        pieces.append(line[:at])
        line = line[at:].lstrip(" ")
    pieces.append(line)
    return pieces


def lines_of(text, values, locale):
    """The lines of a text with its values; empty lines at the end are dropped."""
    said = [_said(value, locale) for value in values]
    lines = text_of(text, locale).format(*said).split("\n")
    while len(lines) > 1 and not lines[-1]:
        lines.pop()
    return lines


def _said(value, locale):
    if isinstance(value, int):
        return grouped(value, locale)
    if isinstance(value, tuple):
        return value[LOCALES.index(locale)]
    return digits_of(value, locale)
