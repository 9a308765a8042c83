"""Receipts as dots: through the driver onto the paper, and python-escpos' commands onto the same paper."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from escpos.printer import Dummy
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from simulators.paper import Mechanism, dots_of
from terminal.drivers.receipt_printer import ROWS, Done, ReceiptPrinter, Stopped, raster

WIDTH = 384
LINE = WIDTH // 8


def pattern(rows: int, seed: int = 1) -> list[bytes]:
    """Lines of dots, packed, none like another."""
    lines = []
    for row in range(rows):
        value = (seed * 2654435761 + row * 40503) & 0xFFFFFFFF
        lines.append((value.to_bytes(4, "big") * LINE)[: LINE - row % 7].ljust(LINE, b"\x00"))
    return lines


def strips(lines: list[bytes]) -> Iterator[bytes]:
    for start in range(0, len(lines), ROWS):
        yield b"".join(lines[start : start + ROWS])


class Desk:
    """Driver and printer on one cable. Time goes on when nothing else does."""

    def __init__(self, mechanism: Mechanism | None = None, **options: object) -> None:
        self.mechanism = mechanism or Mechanism()
        self.driver: Any = ReceiptPrinter(**options)  # type: ignore[no-untyped-call]
        self.now_ms = 0

    def printed(self, lines: list[bytes], *, opens_drawer: bool = False) -> Any:
        self.driver.print(strips(lines), self.now_ms, opens_drawer)
        for _ in range(10_000):
            said = self.mechanism.feed(self.driver.to_send())
            events = self.driver.feed(said, self.now_ms)
            if not said:
                self.now_ms = self.driver.deadline_ms()
                events = self.driver.tick(self.now_ms)
            if events:
                [event] = events
                return event
        raise AssertionError("a receipt without end")


@given(st.integers(1, 200), st.integers(1, 1000), st.booleans(), st.booleans())
def test_what_was_drawn_stands_on_the_paper(rows: int, seed: int, cuts: bool, has_after: bool) -> None:
    lines = pattern(rows, seed)
    desk = Desk(cuts=cuts, has_after=has_after)
    done = desk.printed(lines, opens_drawer=True)
    assert isinstance(done, Done)
    assert done.is_near_end is False
    receipt = desk.mechanism.receipts[-1] if cuts else desk.mechanism.torn_off
    assert receipt.lines[:rows] == [dots_of(line) for line in lines]
    assert not any(any(line) for line in receipt.lines[rows:])
    assert desk.mechanism.drawer_pulses == 1
    assert desk.mechanism.unknown_commands == 0
    assert receipt.png().startswith(b"\x89PNG")
    # The next one is a receipt of its own.
    assert isinstance(desk.printed(pattern(3, seed + 1)), Done)


def test_white_on_the_right_is_not_sent() -> None:
    narrow, wide = Desk(), Desk()
    narrow.driver.print(strips([b"\xff".ljust(LINE, b"\x00")] * 24), 0)
    wide.driver.print(strips([b"\xff" * LINE] * 24), 0)
    for desk in (narrow, wide):
        for _ in range(3):
            desk.driver.feed(desk.mechanism.feed(desk.driver.to_send()), 0)
        desk.driver.tick(desk.driver.deadline_ms())
    assert len(wide.driver.to_send()) > 20 * len(narrow.driver.to_send())


def test_paper_that_ends_in_the_middle_is_told_and_the_receipt_begun_again() -> None:
    for left in (1, 23, 24, 25, 99, 100):
        desk = Desk(Mechanism(paper_lines=left))
        stopped = desk.printed(pattern(100))
        assert isinstance(stopped, Stopped), left
        assert stopped.reason == "paper out"
        stopped = desk.printed(pattern(100))
        assert stopped.reason == "paper out"
        desk.mechanism.paper_lines = 10_000
        assert isinstance(desk.printed(pattern(100)), Done)
        whole = desk.mechanism.receipts[-1].lines[-100:]
        assert whole == [dots_of(line) for line in pattern(100)]


def test_what_a_printer_says_of_itself() -> None:
    for name, reason in (("cover_is_open", "cover open"), ("is_broken", "broken"), ("is_silent", "silent")):
        desk = Desk()
        setattr(desk.mechanism, name, True)
        stopped = desk.printed(pattern(10))
        assert (type(stopped), stopped.reason) == (Stopped, reason)
        assert desk.mechanism.receipts == []
        setattr(desk.mechanism, name, False)
        assert isinstance(desk.printed(pattern(10)), Done)
    desk = Desk(Mechanism(paper_lines=300))
    assert desk.printed(pattern(10)).is_near_end is True


def test_a_printer_unplugged_in_the_middle() -> None:
    desk = Desk()
    desk.driver.print(strips(pattern(100)), 0)
    for _ in range(2):
        desk.driver.feed(desk.mechanism.feed(desk.driver.to_send()), desk.now_ms)
    desk.mechanism.is_silent = True
    events: list[Any] = []
    while not events:
        desk.mechanism.feed(desk.driver.to_send())
        desk.now_ms = desk.driver.deadline_ms()
        events = desk.driver.tick(desk.now_ms)
    assert events[0].reason == "silent"


def test_a_slow_line_is_not_overrun() -> None:
    """What has left never runs ahead of what the line can carry by more than a strip."""
    desk = Desk(baud=9600)
    desk.driver.print(strips(pattern(240)), 0)
    sent = 0
    events: list[Any] = []
    while not events:
        out = desk.driver.to_send()
        sent += len(out)
        assert sent <= desk.now_ms * 960 / 1000 + ROWS * LINE + 100
        said = desk.mechanism.feed(out)
        events = desk.driver.feed(said, desk.now_ms)
        if not said and not events:
            desk.now_ms = desk.driver.deadline_ms()
            events = desk.driver.tick(desk.now_ms)
    assert isinstance(events[0], Done)


def test_a_terminal_without_power_in_the_middle_of_a_picture_spoils_nothing_afterwards() -> None:
    whole = list(strips(pattern(100)))
    picture = bytes(raster(whole[0], LINE * 8))
    for left in (1, 7, 9, 60, len(picture) - 1):
        desk = Desk()
        desk.mechanism.feed(picture[:left])
        desk.mechanism.tear_off()
        assert isinstance(desk.printed(pattern(100)), Done), left
        receipt = desk.mechanism.receipts[-1]
        printed = [dots_of(line) for line in pattern(100)]
        assert printed in [receipt.lines[torn : torn + 100] for torn in range(ROWS + 1)], left


@pytest.mark.parametrize("implementation", ["bitImageRaster", "bitImageColumn"])
def test_others_print_on_it(implementation: str) -> None:
    picture = Image.new("1", (160, 48), 1)
    for place in range(48):
        picture.putpixel((place * 3, place), 0)
        picture.putpixel((159 - place, 47), 0)
    other = Dummy()
    other.image(picture, impl=implementation)
    mechanism = Mechanism()
    mechanism.feed(other.output)
    there = [line[:160] for line in mechanism.torn_off.lines if any(line)]
    drawn = [bytes(0 if picture.getpixel((x, y)) else 1 for x in range(160)) for y in range(48)]
    assert there == drawn
