"""Receipts as dots, in both languages: the very dots that were looked at, whole strips, both ends
of a line."""

import hashlib
from binascii import hexlify

from terminal.ui.fonts import paper
from terminal.ui.lettering import width
from terminal.ui.paper import CUT, MIDDLE, PAIR, RULE, SPACE, STRIP_LINES, SUM, TEXT, TITLE, strips

DOTS = 384
PERSIAN = (
    (TITLE, "فروشگاه کتاب شهر"),
    (MIDDLE, "کسب امتیاز"),
    (RULE,),
    (PAIR, "تاریخ", "۱۴۰۵/۰۹/۰۱ ۱۵:۲۰:۳۰"),
    (PAIR, "شمارهٔ مرجع", "250V812PDYBK"),
    (PAIR, "کارت", "۹۳۶۴۰۰******۰۰۰۱"),
    (TEXT, "سه برابر امتیاز برای خرید کتاب تا پایان آذر (Black Friday)"),
    (SUM, "مانده", "۱٬۲۴۰"),
    (PAIR, "تا ۳۰ اسفند منقضی می‌شود", "۱۲۰ امتیاز"),
    (CUT,),
)
ENGLISH = (
    (TITLE, "City Books"),
    (MIDDLE, "Points earned"),
    (RULE,),
    (PAIR, "Card", "936400******0001"),
    (TEXT, "Three times the points for books until the end of November"),
    (SUM, "Balance", "1,240"),
    (CUT,),
    (SPACE,),
)
# What their dots came to when they were looked at and found right.
LOOKED_AT = {"fa": "6e692b463d7e36fa", "en": "62697b029f5a9d37"}


def dots(rows, is_rtl):
    found = [bytes(strip) for strip in strips(rows, DOTS, is_rtl)]
    for strip in found:
        assert 0 < len(strip) <= STRIP_LINES * DOTS // 8
        assert len(strip) % (DOTS // 8) == 0
    return b"".join(found)


def test_the_dots_are_those_that_were_looked_at():
    for name, rows, is_rtl in (("fa", PERSIAN, True), ("en", ENGLISH, False)):
        digest = hashlib.sha256(dots(rows, is_rtl)).digest()
        assert str(hexlify(digest), "ascii")[:16] == LOOKED_AT[name], (name, hexlify(digest))


def columns(data):
    """First and last column with ink."""
    line = DOTS // 8
    first, last = DOTS, -1
    for at in range(0, len(data), line):
        for column in range(DOTS):
            if data[at + column // 8] >> (7 - column % 8) & 1:
                first, last = min(first, column), max(last, column)
    return first, last


def test_labels_stand_where_a_line_begins():
    for is_rtl in (True, False):
        first, last = columns(dots([(PAIR, "ا", "1")], is_rtl))
        assert first < 12
        assert last > DOTS - 12
        first, last = columns(dots([(TEXT, "abc")], is_rtl))
        assert (last > DOTS - 12) == is_rtl
        assert (first < 12) == (not is_rtl)


def test_a_value_that_does_not_fit_beside_its_label_stands_below():
    label, value = "شمارهٔ پیگیری تراکنش بازگشتی", "250V812PDYBK 250V812PDYBK"
    assert width(paper, label) + width(paper, value) > DOTS
    one, two = dots([(PAIR, "ا", "1")], True), dots([(PAIR, label, value)], True)
    assert len(two) >= 2 * len(one)
    first, last = columns(two)
    assert first >= 0
    assert last < DOTS


def test_narrow_and_wide_paper():
    for wide in (192, 384, 576):
        for rows, is_rtl in ((PERSIAN, True), (ENGLISH, False)):
            for strip in strips(rows, wide, is_rtl):
                assert len(strip) % (wide // 8) == 0
