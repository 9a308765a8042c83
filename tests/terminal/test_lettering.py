"""Letters as dots: forms that join, the order of both directions, widths, breaks; the same dots
everywhere."""

import hashlib
from binascii import hexlify

from terminal.hal.canvas import Canvas
from terminal.ui.fonts import small
from terminal.ui.lettering import draw, width, wrapped
from terminal.ui.shaping import shaped, visual

# What the dots of two lines came to when they were looked at and found right.
LOOKED_AT = "1dc7d3f2d5303354"


def forms(text):
    return " ".join(["%04X" % point for point in shaped(text)])


def test_letters_take_their_forms():
    for text, expected in (
        ("کارت", "FB90 FE8E FEAD FE95"),
        ("پذیرفته", "FB58 FEAC FBFE FEAE FED3 FE98 FEEA"),
        ("گچپژ", "FB94 FB7D FB59 FB8B"),
        ("لا", "FEFB"),
        ("بلا", "FE91 FEFC"),
        ("ءا", "FE80 FE8D"),
        ("کسب‌شده", "FB90 FEB4 FE90 FEB7 FEAA FEE9"),
        ("ماندهٔ", "FEE3 FE8E FEE7 FEAA FBA4"),
        ("سَلام", "FEB3 FEFC FEE1"),
        ("ـبـ", "0640 FE92 0640"),
    ):
        assert forms(text) == expected, (text, forms(text))


def test_both_directions_on_one_line():
    for text, is_rtl, expected in (
        ("abc 123", False, "abc 123"),
        ("۱۲۳ ابپ", True, "\ufb57\ufe91\ufe8d ۱۲۳"),
        ("(ا)", True, "(\ufe8d)"),
        ("ا (abc) ب", True, "\ufe8f (abc) \ufe8d"),
        ("RRN: 25V ا", False, "RRN: 25V \ufe8d"),
        ("ا ۱٬۲۳۴ ریال", True, "\ufedd\ufe8e\ufbfe\ufead ۱٬۲۳۴ \ufe8d"),
        ("", True, ""),
    ):
        seen = "".join([chr(point) for point in visual(text, is_rtl)])
        assert seen == expected, (text, seen)


def test_widths_add_up_and_lines_break_between_words():
    assert width(small, "") == 0
    assert width(small, "ab") == width(small, "a") + width(small, "b")
    # Joined letters have other widths than single ones.
    assert width(small, "بب") != 2 * width(small, "ب")
    for text in ("Points can be spent from tomorrow on", "امتیاز از فردا قابل خرج کردن است", "x" * 60):
        lines = wrapped(small, text, 100)
        assert len(lines) > 1
        assert max([width(small, line) for line in lines]) <= 100
        assert "".join("".join(lines).split(" ")) == "".join(text.split(" "))


def drawn(by_columns):
    canvas = Canvas(128, 32, by_columns)
    draw(canvas, small, "مانده: ۱٬۲۳۴", 0, 0, True, 128)
    draw(canvas, small, "Balance 1,234", 0, 16, False)
    canvas.rectangle(0, 31, 128, 1)
    return canvas


def test_the_dots_are_those_that_were_looked_at():
    rows, columns = drawn(False), drawn(True)
    for y in range(32):
        for x in range(128):
            by_row = rows.dots[y * 16 + x // 8] >> (7 - x % 8) & 1
            by_column = columns.dots[y // 8 * 128 + x] >> y % 8 & 1
            assert by_row == by_column, (x, y)
    assert str(hexlify(hashlib.sha256(rows.dots).digest()), "ascii")[:16] == LOOKED_AT


def test_what_is_outside_is_left_out():
    canvas = Canvas(16, 8)
    draw(canvas, small, "WWWWWW", -5, -3, False)
    canvas.rectangle(-3, -3, 100, 100)
    assert canvas.dots == b"\xff" * 16
    canvas.invert(0, 4)
    assert canvas.dots == bytes(8) + b"\xff" * 8
    canvas.clear()
    assert canvas.dots == bytes(16)


def test_a_letter_that_no_font_has_is_a_question_mark():
    assert width(small, "漢") == width(small, "?")
