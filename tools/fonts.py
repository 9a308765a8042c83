"""Makes the firmware's fonts: every form that its texts may need, drawn once here, dot by dot.

    python -m tools.fonts [--check]

From DejaVu Sans (Debian fonts-dejavu-core, Bitstream Vera licence), which has Latin and Persian of
one hand. The result is in the repository, so that a build needs neither font nor Pillow; --check
says whether it is as made.
"""

from __future__ import annotations

import argparse
import struct
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

from PIL import Image, ImageDraw, ImageFont

FONTS: Final = Path("/usr/share/fonts/truetype/dejavu")
TARGET: Final = Path(__file__).resolve().parent.parent / "terminal" / "ui" / "fonts"
THRESHOLD: Final = 128  # of a grey dot, from which on it is black

PERSIAN: Final = "ءآأؤإئابپتثجچحخدذرزژسشصضطظعغفقکكگلمنهوۀیيىة"
PUNCTUATION: Final = "،؛؟٪٫٬«»×÷°–—…•→←✓✗ـ"
# Forms that the font lacks: a letter, and the mark above it.
COMPOSED: Final = {0xFBA4: (0xFEE9, 0x0654), 0xFBA5: (0xFEEA, 0x0654)}
DIGITS: Final = "۰۱۲۳۴۵۶۷۸۹"


# What is written large: numbers, how they are parted, and the currency's name.
NUMBERS: Final = f"0123456789{DIGITS} ,.٬٫+-*/:%?"
CURRENCY: Final = ("rial", "ریال")
# The small font's Persian zero would be one dot: drawn by hand, three by three.
SMALL_ZERO: Final = (0x06F0, 3, (0b01000000, 0b11100000, 0b01000000))


class Kind(NamedTuple):
    """A font to make. size: of DejaVu, in dots; lines are as high as its letters need. latin: the file of
    narrower Latin letters; is_whole: with all letters, else what is written large only."""

    name: str
    file: str
    latin: str
    size: int
    is_whole: bool
    what: str


KINDS: Final = (
    Kind(
        "small",
        "DejaVuSans.ttf",
        "DejaVuSansCondensed.ttf",
        13,
        True,
        "for displays of 64 lines: four lines of text, five close together",
    ),
    Kind("paper", "DejaVuSans.ttf", "DejaVuSans.ttf", 22, True, "for receipts at 8 dots a millimetre"),
    Kind(
        "heading",
        "DejaVuSans-Bold.ttf",
        "DejaVuSans-Bold.ttf",
        30,
        False,
        "for sums on receipts and short numbers on displays, and the currency's name",
    ),
    Kind(
        "figures",
        "DejaVuSans-Bold.ttf",
        "DejaVuSans-Bold.ttf",
        17,
        False,
        "for numbers of a display that are too long for the heading",
    ),
)


class Glyph(NamedTuple):
    """Ink and advance of one form; rows: packed, the left dot in the highest bit."""

    advance: int
    left: int
    top: int
    width: int
    height: int
    rows: bytes


def forms() -> list[int]:
    """Every code point that shaping may ask for."""
    from terminal.ui.shaping import shaped

    points = {*range(0x20, 0x7F), *map(ord, PUNCTUATION), *map(ord, DIGITS)}
    for letter in PERSIAN:
        for around in ("{0}", "ب{0}", "{0}ب", "ب{0}ب"):
            points |= set(shaped(around.format(letter)))
    for alef in "آأإا":
        points |= set(shaped(f"ل{alef}")) | set(shaped(f"بل{alef}"))
    return sorted(points)


def large_forms() -> list[int]:
    """The code points of what is written large."""
    from terminal.ui.shaping import shaped

    return sorted({*map(ord, NUMBERS)}.union(*(shaped(word) for word in CURRENCY)))


def drawn(font: ImageFont.FreeTypeFont, point: int, baseline: int) -> Glyph:
    """One form, its top counted from the line's."""
    base, mark = COMPOSED.get(point, (point, 0))
    advance = round(font.getlength(chr(base)))
    margin = int(font.size)
    black = _ink(font, base, advance, baseline)
    if mark:
        over = _ink(font, mark, advance, baseline)
        letter, sign = black.getbbox(), over.getbbox()
        assert letter is not None, "a letter has ink"
        assert sign is not None, "a mark has ink"
        middle = (letter[0] + letter[2] - (sign[2] - sign[0])) // 2
        black.paste(255, (middle, letter[1] - (sign[3] - sign[1]) - 1), over.crop(sign))
    box = black.getbbox()
    if box is None:
        return Glyph(advance, 0, 0, 0, 0, b"")
    ink = black.crop(box).convert("1")
    return Glyph(advance, box[0] - margin, box[1] - margin, ink.width, ink.height, ink.tobytes())


def _ink(font: ImageFont.FreeTypeFont, point: int, advance: int, baseline: int) -> Image.Image:
    """White where ink is, on a sheet with a margin of the font's size."""
    margin = int(font.size)
    image = Image.new("L", (advance + 2 * margin, baseline + 3 * margin), 255)
    ImageDraw.Draw(image).text((margin, baseline + margin), chr(point), font=font, fill=0, anchor="ls")
    return image.point(lambda grey: 255 if grey < THRESHOLD else 0)


def made(kind: Kind) -> str:
    """The module of a font."""
    basic = ImageFont.Layout.BASIC
    font, latin = (
        ImageFont.truetype(FONTS / file, kind.size, layout_engine=basic) for file in (kind.file, kind.latin)
    )
    points = forms() if kind.is_whole else large_forms()
    glyphs = [drawn(latin if point < 0x80 else font, point, 2 * kind.size) for point in points]
    if kind.name == "small":
        _draw_zero(glyphs, points)
    first = min(glyph.top for glyph in glyphs if glyph.height)
    last = max(glyph.top + glyph.height for glyph in glyphs if glyph.height)
    places, bits = [], bytearray()
    for glyph in glyphs:
        places.append(len(bits))
        top = glyph.top - first if glyph.height else 0
        bits += struct.pack(">BbBBB", glyph.advance, glyph.left, top, glyph.width, glyph.height) + glyph.rows
    assert len(bits) < 0x10000, "places have two bytes"
    own = f"POINTS = {_literal(struct.pack(f'>{len(points)}H', *points))}\n"
    shared = "from terminal.ui.fonts.points import POINTS  # noqa: F401\n\n"
    return (
        f'"""DejaVu Sans at {kind.size} dots, {kind.what}.\n\n'
        'Made by tools/fonts.py; not to be changed by hand.\n"""\n\n'
        f"{shared if kind.is_whole else own}"
        f"HEIGHT = {last - first}\nBASELINE = {2 * kind.size - first}\n"
        f"PLACES = {_literal(struct.pack(f'>{len(places)}H', *places))}\n"
        f"GLYPHS = {_literal(bytes(bits))}\n"
    )


def _draw_zero(glyphs: list[Glyph], points: list[int]) -> None:
    """Put the hand-drawn zero in the middle of its line, as wide as the digits beside it."""
    point, width, rows = SMALL_ZERO
    place = points.index(point)
    one = glyphs[place + 1]
    top = one.top + (one.height - len(rows)) // 2 + 1
    glyphs[place] = Glyph(one.advance, (one.advance - width) // 2, top, width, len(rows), bytes(rows))


def made_points() -> str:
    """The module of what all whole fonts have: their code points, in order."""
    points = forms()
    return (
        '"""Code points of all whole fonts, two bytes each, in order.\n\n'
        'Made by tools/fonts.py; not to be changed by hand.\n"""\n\n'
        f"POINTS = {_literal(struct.pack(f'>{len(points)}H', *points))}\n"
    )


def _literal(data: bytes) -> str:
    lines = "".join(f"\n    {data[at : at + 24]!r}" for at in range(0, len(data), 24))
    return f"({lines}\n)"


def main(arguments: Iterable[str] | None = None) -> int:
    plain = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=plain)
    parser.add_argument("--check", action="store_true", help="change nothing, say what differs")
    options = parser.parse_args(None if arguments is None else list(arguments))
    different = 0
    for name, text in (("points", made_points()), *((kind.name, made(kind)) for kind in KINDS)):
        path = TARGET / f"{name}.py"
        if options.check:
            if not path.exists() or path.read_text(encoding="ascii") != text:
                print(f"{path.name} is not what tools/fonts.py makes", file=sys.stderr)
                different += 1
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="ascii")
            print(f"{path.name}: {len(text):,} bytes of source")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
