"""Screens: every text has room in both languages, widgets stand where they belong, events tell the lines."""

from terminal.hal.canvas import Canvas
from terminal.message_texts import codes, meaning
from terminal.text import grouped
from terminal.ui.fonts import small
from terminal.ui.lettering import width
from terminal.ui.screens import BAR_HEIGHT, ELLIPSIS, HEIGHT, WIDTH, Screens, marked_lines, picture
from terminal.ui.strings import LARGE, LOCALES, SECRET, SOFT_KEYS, names, pair_of

TITLE = ("Redeem points", "فعال‌سازی کارت")
LONGEST_POINTS = 999999999
# Longer than what other screens show: of an amount its twelve digits, of a card number its mask.
LONGEST = {
    ("amount", 1): 999999999999,
    ("card_number", 1): "936400******7898",
    ("declined", 1): "51",
    ("reversal", 0): "999999",
    ("reversal_refused", 0): "999999",
    ("reversal_refused", 1): "94",
    ("signing_on", 0): ("Connecting by the second number", "اتصال با شمارهٔ دوم"),
    ("idle_trouble", 1): ("No card reader", "صفحه‌کلید خراب است"),
    ("last", 0): TITLE,
    ("rrn", 1): "5C0X4UDL9HXC",
    ("mobile", 1): "0912*******",
    ("batch_closing", 0): "999999",
    ("batch_waits", 0): "999999",
    ("batch_closed", 0): "999999",
    ("batch_differs", 0): "999999",
    ("state_devices", 0): "keypad +  line +",
    ("state_devices", 1): "printer -  reader +",
    ("state_devices", 2): "scanner -  service +",
    ("state_software", 1): "999999",
    ("state_software", 2): 999,
}


def screens():
    """Names of the texts that are whole screens."""
    return [name for name in names() if "\n" in pair_of(name)[0]]


def count_of(name):
    """How many values a text takes, those between that it leaves out too."""
    named = [place for place in range(9) if any("{%d" % place in text for text in pair_of(name))]
    return max(named) + 1 if named else 0


def longest(name):
    """Values that are as long as they get."""
    values = []
    for place in range(count_of(name)):
        mark = "{%d}" % place
        lines = pair_of(name)[0].split("\n")
        if (name, place) in LONGEST:
            values.append(LONGEST[name, place])
        elif mark in lines[0]:
            values.append(TITLE)
        elif SECRET + mark in lines:
            values.append("*" * 12)
        else:
            values.append(LONGEST_POINTS)
    return values


def left_out(name, values, locale):
    """What of a screen finds no room: whole lines, or the end of its title or of its keys."""
    lines = marked_lines(name, values, locale)
    left = picture(Canvas(WIDTH, HEIGHT), lines, locale == "fa")
    for line in lines[:1] + [line[1:] for line in lines if line[:1] == SOFT_KEYS]:
        if width(small, line) > WIDTH - 4:
            left.append(line)
    for line in lines:
        if line[:1] == LARGE and " " not in line and width(small, line[1:]) > WIDTH - 4:
            left.append(line)
    return left


def test_every_screen_has_room_for_its_longest_values():
    assert len(screens()) > 30
    for name in screens():
        for locale in LOCALES:
            assert not left_out(name, longest(name), locale), (name, locale)


def test_every_answer_of_the_switch_has_room():
    for locale in LOCALES:
        place = LOCALES.index(locale)
        number = grouped(9999, locale)  # rial, seconds, minutes
        for code in codes():
            why = meaning(code)[place].format(number)
            assert not left_out("declined", (TITLE, "51", (why, why)), locale), why


def test_what_has_no_room_is_told():
    assert left_out("declined", (TITLE, "51", ("word " * 40, "")), "en")
    assert left_out("declined", (("word " * 10, ""), "51", ("", "")), "en")


def black(canvas, left, top, right, bottom):
    """How many dots are black in a part of the canvas."""
    count = 0
    for y in range(top, bottom):
        for x in range(left, right):
            count += canvas.dots[y * 16 + x // 8] >> (7 - x % 8) & 1
    return count


def drawn(lines, is_rtl=False):
    canvas = Canvas(WIDTH, HEIGHT)
    assert not picture(canvas, lines, is_rtl)
    return canvas


def test_the_title_is_white_on_black_and_cut_when_it_is_too_long():
    canvas = drawn(["Earn"])
    assert 1200 < black(canvas, 0, 0, WIDTH, BAR_HEIGHT) < WIDTH * BAR_HEIGHT
    assert not black(canvas, 0, BAR_HEIGHT, WIDTH, HEIGHT)
    shop = "The very long name of a shop in the bazaar"
    assert drawn([shop]).dots == drawn([shop + " of books"]).dots
    assert drawn(["The very long nam" + ELLIPSIS]).dots != drawn([shop[:12]]).dots


def test_lines_begin_where_people_read():
    for is_rtl in (False, True):
        canvas = drawn(["", "ab", SOFT_KEYS + "cd"], is_rtl)
        near = 64 if is_rtl else 0
        assert black(canvas, near, BAR_HEIGHT, near + 64, HEIGHT) > 64
        # In the other half there is nothing but every second dot above the keys.
        other = 64 - near
        assert black(canvas, other, BAR_HEIGHT, other + 64, HEIGHT) == 32


def test_a_number_is_as_large_as_fits():
    heights = []
    for number in ("250", "2,500,000", "999,999,999", "999,999,999,999"):
        canvas = drawn(["", "a", LARGE + number, "b"])
        rows = [y for y in range(28, 50) if black(canvas, 0, y, WIDTH, y + 1)]
        heights.append(max(rows) - min(rows) + 1)
    assert heights == sorted(heights, reverse=True)
    assert heights[0] >= 20 > 8 <= heights[-1] < 13


def test_a_secret_is_dots_and_a_place_for_the_next():
    dots = [black(drawn(["", SECRET + "*" * count]), 0, BAR_HEIGHT, WIDTH, HEIGHT) for count in range(13)]
    assert dots[0] == 5
    assert [more - less for more, less in zip(dots[1:], dots)] == [21] * 12


def test_progress_grows_from_where_lines_begin():
    for is_rtl in (False, True):
        halves = [[], []]
        for percent in ("0", "50", "100", "250"):
            canvas = drawn(["", "%" + percent], is_rtl)
            for place, half in enumerate(halves):
                half.append(black(canvas, 64 * place, BAR_HEIGHT, 64 * place + 64, HEIGHT))
        first, second = halves[::-1] if is_rtl else halves
        assert first[0] < first[1] == first[2] == first[3]
        assert second[0] == second[1] < second[2] == second[3]


class Glass:
    """A display that notes what it shows."""

    def show(self, canvas):
        self.dots = bytes(canvas.dots)
        return "digest"


def test_a_screen_is_drawn_and_told_in_the_terminals_language():
    values = ("Earn points", "کسب امتیاز"), 1250
    told = []
    for locale, lines in (
        ("en", ["Earn points", "Amount, rial", "1,250", "# ok  * clear"]),
        ("fa", ["کسب امتیاز", "مبلغ به ریال", "۱٬۲۵۰", "# تأیید  * پاک"]),
    ):
        glass, events = Glass(), []
        screens = Screens(glass, events.append, locale)
        screens.show("amount", *values)
        event = {"event": "screen", "name": "amount", "lines": lines, "frame": "digest"}
        assert events == [event]
        expected = Canvas(WIDTH, HEIGHT)
        picture(expected, marked_lines("amount", values, locale), locale == "fa")
        assert glass.dots == bytes(expected.dots)
        told.append(glass.dots)
        screens.show("amount", values[0], 0)
        assert glass.dots != told[-1]
    assert told[0] != told[1]
