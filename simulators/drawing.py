"""Draws screens and receipts for people who watch a terminal from a text console.

Text in, text out. Persian is left in logical order: the console turns it, so only the left edge is drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from simulators.firmware import Screen

SCREEN_COLUMNS: Final = 20
RECEIPT_COLUMNS: Final = 36
INDENT: Final = "    "
# Screens that are drawn anew with every key: the first and the last of them are worth a box.
TYPED_INTO: Final = ("amount", "points")


def draw_screen(screen: Screen) -> str:
    """A screen as a small box that names it."""
    return _framed(f" {screen.name} ", screen.lines, SCREEN_COLUMNS, "╭─╮│╰╯")


def draw_receipt(receipt: str) -> str:
    """A receipt as paper, torn at both ends."""
    return _framed("", receipt.rstrip().splitlines(), RECEIPT_COLUMNS, "┌╌┐╎└┘")


def heading(text: str) -> str:
    """A line that begins a step of a visit."""
    return f"\n── {text} " + "─" * max(4, 70 - len(text))


class Watcher:
    """Draws what a terminal shows and prints, as it happens, through `write` (one drawing a call). picture:
    where the newest receipt is kept as it looks, if it is."""

    def __init__(
        self, write: Callable[[str], None], picture: Callable[[], Path | None] = lambda: None
    ) -> None:
        self._write = write
        self._picture = picture
        self._typed: Screen | None = None  # the last of the screens that are being typed into
        self._drawn: Screen | None = None

    def screen(self, screen: Screen) -> None:
        """A screen came. One that is typed into is drawn when it comes and, filled in, when it goes."""
        typed = self._typed
        if typed is not None and typed.name == screen.name:
            self._typed = screen
            return
        if typed is not None and typed != self._drawn:
            self._write(draw_screen(typed))
        self._typed = screen if screen.name in TYPED_INTO else None
        self._drawn = screen
        self._write(draw_screen(screen))

    def receipt(self, receipt: str) -> None:
        """A receipt was printed."""
        picture = self._picture()
        where = "" if picture is None else f"\n{INDENT}{picture}"
        self._write(draw_receipt(receipt) + where)


def _framed(title: str, lines: Sequence[str], columns: int, edges: str) -> str:
    top_left, across, top_right, side, bottom_left, bottom_right = tuple(edges)
    drawn = [f"{INDENT}{top_left}{title.center(columns, across)}{top_right}"]
    drawn += [f"{INDENT}{side} {line}".rstrip() for line in lines]
    drawn.append(f"{INDENT}{bottom_left}{across * columns}{bottom_right}")
    return "\n".join(drawn)
