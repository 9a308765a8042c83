"""Pictures of dots as PNG, and pages of HTML that show them side by side; a page needs no other file."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from PIL import Image, ImageChops, ImageOps

HEAD: Final = """<!doctype html><meta charset="utf-8"><title>{title}</title>
<style>
body {{ font: 14px sans-serif; background: #ddd; margin: 1em }}
h2 {{ font-size: 1em; margin: 1em 0 .3em }}
figure {{ display: inline-block; margin: 0 1em 1em 0; vertical-align: top }}
img {{ image-rendering: pixelated; border: 1px solid #888; background: #fff }}
</style>
<h1>{title}</h1>
"""
NARROW: Final = 200  # dots across, up to which a picture is shown three times as large


class Difference(NamedTuple):
    """A picture that isn't as recorded. expected: None when it isn't kept here or not recorded; actual: None
    when nothing is drawn any more."""

    key: str
    expected: bytes | None
    actual: bytes | None


def png(dots: bytes, across: int) -> bytes:
    """Packed dots, the left one in the highest bit, black on white."""
    picture = Image.frombytes("1", (across, len(dots) * 8 // across), dots)
    return _saved(ImageOps.invert(picture.convert("L")).convert("1"))


def report(differences: Sequence[Difference]) -> str:
    """Expected, actual and what differs of each: red is new, blue is gone."""
    parts = [HEAD.format(title=f"{len(differences)} pictures are not as recorded")]
    for difference in differences:
        parts.append(f"<h2>{html.escape(difference.key)}</h2>\n")
        for title, picture in (
            ("expected", difference.expected),
            ("actual", difference.actual),
            ("difference", _difference(difference)),
        ):
            what = "none here" if picture is None else _image(picture)
            parts.append(f"<figure><figcaption>{title}</figcaption>{what}</figure>\n")
    return "".join(parts)


def gallery(pictures: Mapping[str, bytes]) -> str:
    """All of them."""
    parts = [HEAD.format(title="Screens and receipts")]
    for key, picture in pictures.items():
        parts.append(f"<figure><figcaption>{html.escape(key)}</figcaption>{_image(picture)}</figure>\n")
    return "".join(parts)


def _difference(difference: Difference) -> bytes | None:
    if difference.expected is None or difference.actual is None:
        return None
    before, after = (Image.open(io.BytesIO(data)).convert("L") for data in difference[1:])
    size = max(before.width, after.width), max(before.height, after.height)
    sheets = []
    for picture in (before, after):
        sheet = Image.new("L", size, 255)
        sheet.paste(picture, (0, 0))
        sheets.append(sheet)
    # Black in both stays; what only the new one has keeps its red, what only the old one has its blue.
    old, new = sheets
    return _saved(Image.merge("RGB", (old, ImageChops.darker(old, new), new)))


def _image(picture: bytes) -> str:
    across = Image.open(io.BytesIO(picture)).width
    shown = across * 3 if across <= NARROW else across
    return f'<img width="{shown}" src="data:image/png;base64,{base64.b64encode(picture).decode()}">'


def _saved(picture: Image.Image) -> bytes:
    data = io.BytesIO()
    picture.save(data, "PNG")
    return data.getvalue()
