"""Draws screens and receipts for people who watch a terminal from a text console.

Text in, text out. Persian is left in logical order: the console turns it, so only the left edge is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from simulators.firmware import Screen

SCREEN_COLUMNS: Final = 22  # 128 pixels of a 6-pixel font, rounded up
RECEIPT_COLUMNS: Final = 42
INDENT: Final = "    "


def draw_screen(screen: Screen) -> str:
    """A screen as a small box that names it."""
    return _framed(f" {screen.name} ", screen.lines, SCREEN_COLUMNS, "╭─╮│╰╯")


def draw_receipt(receipt: str) -> str:
    """A receipt as paper, torn at both ends."""
    return _framed("", receipt.rstrip().splitlines(), RECEIPT_COLUMNS, "┌╌┐╎└┘")


def heading(text: str) -> str:
    """A line that begins a step of a visit."""
    return f"\n── {text} " + "─" * max(4, 60 - len(text))


def _framed(title: str, lines: Sequence[str], columns: int, edges: str) -> str:
    top_left, across, top_right, side, bottom_left, bottom_right = tuple(edges)
    drawn = [f"{INDENT}{top_left}{title.center(columns, across)}{top_right}"]
    drawn += [f"{INDENT}{side} {line}".rstrip() for line in lines]
    drawn.append(f"{INDENT}{bottom_left}{across * columns}{bottom_right}")
    return "\n".join(drawn)
