"""Text as dots: how wide it is, where it breaks, and its letters put on a canvas. Knows no display
and no printer.

A canvas is of `terminal.hal.canvas`. A font is one of terminal.ui.fonts; its letters have their own
widths.
"""

from terminal.ui.shaping import shaped, visual

# What stands before the dots of a letter, a byte each, behind how wide it is.
_LEFT, _TOP, _ACROSS, _DOWN, _HEAD_BYTES = 1, 2, 3, 4, 5
UNKNOWN = 0x3F  # drawn for what a font lacks


def width(font, text):
    """Dots that a text takes. Its letters' order doesn't matter for that, their forms do."""
    dots = 0
    for point in shaped(text):
        dots += font.GLYPHS[_place(font, point)]
    return dots


def draw(canvas, font, text, x, y, is_rtl, right=None):
    """Put a line of text on the canvas, its top at y. It begins at x, or ends before `right`."""
    points = visual(text, is_rtl)
    glyphs = font.GLYPHS
    places = [_place(font, point) for point in points]
    if right is not None:
        x = right - sum([glyphs[place] for place in places])
    for place in places:
        across = glyphs[place + _ACROSS]
        if across:
            left = glyphs[place + _LEFT]
            left = x + (left - 256 if left > 127 else left)
            top = y + glyphs[place + _TOP]
            canvas.blit(glyphs, place + _HEAD_BYTES, across, glyphs[place + _DOWN], left, top)
        x += glyphs[place]
    return x


def wrapped(font, text, dots):
    """The text broken between words into lines of at most so many dots; a longer word is broken
    anywhere."""
    lines = []
    line = ""
    taken = 0
    space = width(font, " ")
    for word in text.split(" "):
        across = width(font, word)  # no letter joins over a space: a line is as wide as its words
        if line and taken + space + across <= dots:
            line += " " + word
            taken += space + across
            continue
        if line:
            lines.append(line)
        while across > dots:
            count = 1
            while width(font, word[: count + 1]) <= dots:
                count += 1
            lines.append(word[:count])
            word = word[count:]
            across = width(font, word)
        line = word
        taken = across
    if line:
        lines.append(line)
    return lines


def has(font, text):
    """Whether the font has all of a text's letters."""
    unknown = _place(font, UNKNOWN)
    return all(point == UNKNOWN or _place(font, point) != unknown for point in shaped(text))


def is_persian(text):
    """Whether a text has Arabic letters (digits alone have no direction of their own)."""
    return any("\u0620" <= letter <= "\u064a" or "\u066e" <= letter <= "\u06d3" for letter in text)


def fitted(font, text, dots, ending):
    """The text, or as much of it as fits in so many dots with `ending` behind it."""
    if width(font, text) <= dots:
        return text
    while text and width(font, text + ending) > dots:
        text = text[:-1]
    return text.rstrip(" ") + ending


def _place(font, point):
    """Where a form's dots begin; binary search, for a table of so many would need four times the
    memory."""
    points = font.POINTS
    low, high = 0, len(points) // 2
    while low < high:
        middle = (low + high) // 2
        if (points[2 * middle] << 8 | points[2 * middle + 1]) < point:
            low = middle + 1
        else:
            high = middle
    if 2 * low < len(points) and points[2 * low] << 8 | points[2 * low + 1] == point:
        return font.PLACES[2 * low] << 8 | font.PLACES[2 * low + 1]
    assert point != UNKNOWN, "every font has a question mark"
    return _place(font, UNKNOWN)
