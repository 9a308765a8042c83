"""The page docs/ledger.md shows what the commands print, and knows every command, option and account."""

from __future__ import annotations

import re

import typer

from switch.ledger import AccountKind
from switch.ledger.archive import SYNC_INTERVAL_S
from switch.ledger.checking import MOST_PROBLEMS
from switch.ledger.history import KINDS
from switch.ledger.verify import MEMBERS_BYTES
from tests.ledger.ledger_examples import BLOCK, PAGE, rendered
from tools.ledger import app


def page() -> str:
    return PAGE.read_text(encoding="utf-8")


def test_every_command_prints_what_the_page_shows() -> None:
    assert len(BLOCK.findall(page())) >= 7
    assert rendered(page()) == page(), "run python -m tests.ledger.ledger_examples"


def test_every_command_is_there_and_every_option_shown_is_one() -> None:
    group = typer.main.get_command(app)
    names = group.list_commands(None)  # type: ignore[attr-defined]
    commands = {name: group.get_command(None, name) for name in names}  # type: ignore[attr-defined]
    mounted = {"correct", "approve", "refuse", "corrections"}  # told in docs/settlement.md
    assert set(re.findall(r"vafa ledger ([a-z]+)", page())) - mounted == set(commands) - mounted
    known = {
        option
        for command in commands.values()
        for parameter in command.params
        for option in (*parameter.opts, *parameter.secondary_opts)
    }
    assert set(re.findall(r"(?<![\w-])--[a-z]+(?:-[a-z]+)*", page())) <= known


def test_accounts_exports_and_figures_are_those_of_the_code() -> None:
    accounts = [row.split("|")[1] for row in page().splitlines() if row.startswith("| ")]
    names = {name.strip() for cell in accounts for name in cell.split(",")}
    assert {kind.name.lower().replace("_", " ") for kind in AccountKind} <= names
    for kind in KINDS:
        assert f"`{kind}`" in page() or f" {kind} " in page()
    text = page().replace("\n", " ")
    assert f"at most {MOST_PROBLEMS:,} of them printed".replace(",", " ") in text
    assert f"members of {MEMBERS_BYTES // 1_000_000} MB at a time" in text
    assert (SYNC_INTERVAL_S, "once a second" in text) == (1, True)
