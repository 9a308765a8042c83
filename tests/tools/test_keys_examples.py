"""The page docs/keys.md shows what the commands really print, and knows every command, option and reason."""

from __future__ import annotations

import re

import typer

from switch.server.zone_keys import GRACE_S, ZoneProfile
from tests.tools.keys_examples import BLOCK, PAGE, rendered
from tools.keys import app
from tools.keys_room import COUNTER_STEP, LOADED, NOT_REPLACED, NOT_REVOKED, OFFERED, UNDONE


def page() -> str:
    return PAGE.read_text(encoding="utf-8")


def test_every_command_prints_what_the_page_shows() -> None:
    assert len(BLOCK.findall(page())) >= 5
    assert rendered(page()) == page(), "run python -m tests.tools.keys_examples"


def test_every_command_is_there() -> None:
    group = typer.main.get_command(app)
    names = group.list_commands(None)  # type: ignore[attr-defined]
    assert len(names) > 8
    for name in names:
        assert f"vafa keys {name}" in page(), name


def test_every_option_shown_is_one() -> None:
    group = typer.main.get_command(app)
    known = {
        option
        for name in group.list_commands(None)  # type: ignore[attr-defined]
        for parameter in group.get_command(None, name).params  # type: ignore[attr-defined]
        for option in parameter.opts
    }
    assert set(re.findall(r"(?<![\w-])--[a-z]+", page())) <= known


def test_what_can_t_be_replaced_stands_in_the_table() -> None:
    rows = [row for row in page().splitlines() if row.startswith("| `")]
    for name in NOT_REPLACED:
        shown = f"`{name}…`" if name.endswith("/") else f"`{name}`"
        assert any(shown in row.split("|")[1] for row in rows), name
    for name in NOT_REVOKED:
        assert any(f"`{name}`" in row and "never revoked" in row for row in rows), name


def test_figures_are_those_of_the_code() -> None:
    assert f"multiple of {COUNTER_STEP} " in page()
    assert f"`{OFFERED}`" in page()
    assert f"`{LOADED}`" in page()
    assert f"`…{UNDONE}`" in page()
    assert f"{GRACE_S:.0f} s" in page().replace("\n", " ")
    assert f"DE 70 = {ZoneProfile().code}, DE {ZoneProfile().key_field}" in page()
