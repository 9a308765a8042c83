"""docs/cards.md names commands, options, keys and numbers as they are."""

from __future__ import annotations

import re
from pathlib import Path

from typer.main import get_command

from switch.card_issuing import DESK
from switch.hsm.key_store import NAMES
from switch.keys import CARD_MASTER, transport_key_name
from terminal.flows import member
from tools.cards import app

PAGE = (Path(__file__).resolve().parent.parent.parent / "docs" / "cards.md").read_text(encoding="utf-8")


def test_every_command_and_option_exists() -> None:
    commands = get_command(app).commands  # type: ignore[attr-defined]
    for name, command in commands.items():
        options = {option for one in command.params for option in one.opts}
        for line in re.findall(rf"^vafa cards {name}(.*)$", PAGE, re.MULTILINE):
            assert set(re.findall(r"--[a-z-]+", line)) <= options, name
    assert set(re.findall(r"^vafa cards ([a-z]+)", PAGE, re.MULTILINE)) == set(commands)
    options = {option for command in commands.values() for one in command.params for option in one.opts}
    assert set(re.findall(r"`(--[a-z-]+)", PAGE)) <= options


def test_entry_modes_and_keys_are_as_they_are_told() -> None:
    taken = {
        "magnetic stripe": member.by_swipe("9364001234567898=2912101"),
        "chip": member.by_chip("9364001234567898"),
        "barcode": member.by_code("9364001234567898"),
        "keyed in": member.by_number("09121234567"),
    }
    for name, fields in taken.items():
        [row] = re.findall(rf"^\| {name}[^|]*\| (\d{{3}}) \|", PAGE, re.MULTILINE)
        assert row == fields[22]
    assert f"`{CARD_MASTER}`" in PAGE
    desk = transport_key_name(DESK)
    assert f"vafa keys ceremony {desk}" in PAGE
    assert any(re.fullmatch(pattern, desk) for _, pattern, _ in NAMES)
