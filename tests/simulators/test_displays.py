"""Frames through the display drivers onto the glass: the same dots, and no more bytes than have
changed."""

from __future__ import annotations

import asyncio
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulators.displays import HEIGHT, WIDTH, DisplayPort, Ssd1306Glass, St7920Glass
from terminal.drivers.ssd1306 import Ssd1306
from terminal.drivers.st7920 import St7920
from terminal.hal.canvas import Canvas
from terminal.hal.display import Display
from terminal.hal.unix import Bus

Picture = list[bytes]

pictures = st.lists(
    st.tuples(st.integers(0, WIDTH - 1), st.integers(0, HEIGHT - 1)), max_size=40, unique=True
).map(lambda points: [bytes(int((x, y) in points) for x in range(WIDTH)) for y in range(HEIGHT)])


def by_columns(picture: Picture) -> bytes:
    """As MONO_VLSB has it."""
    return bytes(
        sum(picture[page * 8 + bit][x] << bit for bit in range(8)) for page in range(8) for x in range(WIDTH)
    )


def by_lines(picture: Picture) -> bytes:
    """As MONO_HLSB has it."""
    return bytes(
        sum(line[x + bit] << (7 - bit) for bit in range(8)) for line in picture for x in range(0, WIDTH, 8)
    )


def shown(driver: Any, glass: Any, dots: bytes) -> int:
    """Bytes that a frame took."""
    before = glass.bytes_taken
    for message in driver.frame(dots):
        glass.take(message)
    return int(glass.bytes_taken - before)


def started(driver: Any, glass: Any) -> None:
    for message in driver.start():
        glass.take(message)


@settings(max_examples=15)
@given(st.lists(pictures, min_size=1, max_size=4))
def test_ssd1306_shows_every_frame(frames: list[Picture]) -> None:
    driver: Any = Ssd1306()  # type: ignore[no-untyped-call]
    glass = Ssd1306Glass()
    started(driver, glass)
    assert glass.is_on
    for picture in frames:
        shown(driver, glass, by_columns(picture))
        assert glass.dots() == picture
        assert shown(driver, glass, by_columns(picture)) == 0
    # A glass that was without power in between shows it after start().
    other = Ssd1306Glass()
    started(driver, other)
    shown(driver, other, by_columns(frames[-1]))
    assert other.dots() == frames[-1]


@settings(max_examples=15)
@given(st.lists(pictures, min_size=1, max_size=4))
def test_st7920_shows_every_frame(frames: list[Picture]) -> None:
    driver: Any = St7920()  # type: ignore[no-untyped-call]
    glass = St7920Glass()
    started(driver, glass)
    assert glass.is_on
    assert glass.shows_graphics
    for picture in frames:
        shown(driver, glass, by_lines(picture))
        assert glass.dots() == picture
        assert shown(driver, glass, by_lines(picture)) == 0


def test_one_dot_costs_little() -> None:
    blank = [bytes(WIDTH)] * HEIGHT
    dotted = [*blank[:40], bytes(60) + b"\x01" + bytes(67), *blank[41:]]
    driver: Any = Ssd1306()  # type: ignore[no-untyped-call]
    glass: Any = Ssd1306Glass()
    started(driver, glass)
    assert shown(driver, glass, by_columns(blank)) > 1024
    assert shown(driver, glass, by_columns(dotted)) < 10
    driver, glass = St7920(), St7920Glass()  # type: ignore[no-untyped-call]
    started(driver, glass)
    shown(driver, glass, by_lines(blank))
    assert shown(driver, glass, by_lines(dotted)) < 50


def test_contrast_and_light() -> None:
    driver: Any = Ssd1306()  # type: ignore[no-untyped-call]
    glass = Ssd1306Glass()
    for message in (*driver.start(), *driver.contrast(5), *driver.lit(False)):
        glass.take(message)
    assert (glass.contrast, glass.is_on) == (5, False)


@pytest.mark.parametrize("kind", ["ssd1306", "st7920"])
def test_the_unix_boards_display_shows_what_its_digest_says(tmp_path: Path, kind: str) -> None:
    async def scene() -> None:
        port = DisplayPort(tmp_path / "display", kind)
        port.open()
        display: Any = Display(kind, Bus(str(tmp_path / "display")))
        canvas: Any = Canvas(WIDTH, HEIGHT)
        for shift in range(4):
            canvas.clear()
            for x in range(0, WIDTH, 8):  # END and ESCAPE among its bytes
                canvas.blit(bytes((0xC0, 0xDB, 0xDC, 0xDD, x, 255, shift, 0)), 0, 8, 8, x + shift, x % 56)
            assert display.show(canvas) == sha256(bytes(canvas.dots)).hexdigest()
            async with asyncio.timeout(30):
                while port.packed() != bytes(canvas.dots):
                    port.changed.clear()
                    await port.changed.wait()
            if shift == 1:  # unplugged and back: nothing is lost but what was shown meanwhile
                port.close()
                display.show(canvas)
                port.open()
        port.close()

    asyncio.run(scene())
