"""The page docs/registry.md shows what the commands really print, and knows all commands, options, limits."""

from __future__ import annotations

import inspect
import re

import typer

from switch.server import pipeline
from tests.tools.keys_examples import BLOCK
from tests.tools.registry_examples import PAGE, rendered
from tools.registry import MERCHANT_COLUMNS, TERMINAL_COLUMNS, merchant_app, terminal_app
from tools.registry_table import MOST_ROWS

GROUPS = {"merchant": typer.main.get_command(merchant_app), "terminal": typer.main.get_command(terminal_app)}


def page() -> str:
    return PAGE.read_text(encoding="utf-8")


def test_every_command_prints_what_the_page_shows() -> None:
    assert len(BLOCK.findall(page())) >= 5
    assert rendered(page()) == page(), "run python -m tests.tools.registry_examples"


def test_every_command_is_there() -> None:
    for kind, group in GROUPS.items():
        for name in group.list_commands(None):  # type: ignore[attr-defined]
            assert f"vafa {kind} {name}" in page(), name


def test_every_option_shown_is_one() -> None:
    known = {
        option
        for group in GROUPS.values()
        for name in group.list_commands(None)  # type: ignore[attr-defined]
        for parameter in group.get_command(None, name).params  # type: ignore[attr-defined]
        for option in parameter.opts
    }
    lines = [line for line in page().splitlines() if "vafa keys" not in line]
    assert set(re.findall(r"(?<![\w-])--[a-z]+(?:-[a-z]+)*", "\n".join(lines))) <= known


def test_columns_limits_and_problems_are_those_of_the_code() -> None:
    text = " ".join(page().split())
    for name in (*MERCHANT_COLUMNS, *TERMINAL_COLUMNS):
        assert f"`{name}`" in text
    assert f"up to {MOST_ROWS:,} rows".replace(",", " ") in text
    source = inspect.getsource(pipeline.Pipeline)
    problems = re.findall(r'problem = "([^"]+)"', source[source.index("def _sender") :])
    assert len(problems) >= 7
    for problem in problems[:7]:
        assert f"`{problem}`" in text, problem
