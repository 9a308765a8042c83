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


class Kind(NamedTuple):
    """A font to make. size: of DejaVu, in dots; lines are as high as its letters need."""

    name: str
    file: str
    size: int
    what: str


KINDS: Final = (
    Kind("small", "DejaVuSans.ttf", 13, "for displays of 64 lines: four lines of text"),
    Kind("paper", "DejaVuSans.ttf", 22, "for receipts at 8 dots a millimetre"),
    Kind("heading", "DejaVuSans-Bold.ttf", 30, "for the sums on receipts: Latin and digits, and Persian"),
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
    font = ImageFont.truetype(FONTS / kind.file, kind.size, layout_engine=ImageFont.Layout.BASIC)
    points = forms()
    glyphs = [drawn(font, point, 2 * kind.size) for point in points]
    first = min(glyph.top for glyph in glyphs if glyph.height)
    last = max(glyph.top + glyph.height for glyph in glyphs if glyph.height)
    places, bits = [], bytearray()
    for glyph in glyphs:
        places.append(len(bits))
        top = glyph.top - first if glyph.height else 0
        bits += struct.pack(">BbBBB", glyph.advance, glyph.left, top, glyph.width, glyph.height) + glyph.rows
    assert len(bits) < 0x10000, "places have two bytes"
    return (
        f'"""DejaVu Sans at {kind.size} dots, {kind.what}.\n\n'
        'Made by tools/fonts.py; not to be changed by hand.\n"""\n\n'
        "from terminal.ui.fonts.points import POINTS  # noqa: F401\n\n"
        f"HEIGHT = {last - first}\nBASELINE = {2 * kind.size - first}\n"
        f"PLACES = {_literal(struct.pack(f'>{len(places)}H', *places))}\n"
        f"GLYPHS = {_literal(bytes(bits))}\n"
    )


def made_points() -> str:
    """The module of what all fonts have: their code points, in order."""
    points = forms()
    return (
        '"""Code points of all fonts, two bytes each, in order.\n\n'
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
