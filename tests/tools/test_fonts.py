"""Fonts are as they are made; joining and order are as two libraries have them that others wrote."""

from __future__ import annotations

import pytest
from arabic_reshaper import ArabicReshaper
from bidi import get_display
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ImageFont

from terminal.ui.shaping import shaped, visual
from tests.whole import WHOLE
from tools.fonts import FONTS, KINDS, Kind, drawn, forms, main

LETTERS = "ابپتثجچحخدذرزژسشصضطظعغفقکگلمنوهیآئءأإؤۀ \u200c"
LINES = "ابپکلم ABCabc 0123 ۰۱۲۳ ٠١ ,.:/+-%!?،؟ "
RESHAPER = ArabicReshaper(
    configuration={"delete_harakat": True, "support_ligatures": True, "RIAL SIGN": False}
)


def test_fonts_are_as_made() -> None:
    assert main(["--check"]) == 0


@settings(max_examples=300 if WHOLE else 150)
@given(st.text(LETTERS, max_size=14))
def test_letters_join_as_others_join_them(text: str) -> None:
    joined = RESHAPER.reshape(text).replace("\u200c", "")
    assert "".join(map(chr, shaped(text))) == joined


@settings(max_examples=500 if WHOLE else 200)
@given(st.text(LINES, max_size=20), st.booleans())
def test_lines_have_the_order_that_others_give_them(text: str, is_rtl: bool) -> None:
    logical = "".join(map(chr, shaped(text)))
    assert "".join(map(chr, visual(text, is_rtl))) == get_display(logical, base_dir="R" if is_rtl else "L")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_form_is_in_the_font(kind: Kind) -> None:
    font = ImageFont.truetype(FONTS / kind.file, kind.size, layout_engine=ImageFont.Layout.BASIC)
    missing = drawn(font, 0xFFFE, 2 * kind.size)
    assert [hex(point) for point in forms() if drawn(font, point, 2 * kind.size) == missing] == []
