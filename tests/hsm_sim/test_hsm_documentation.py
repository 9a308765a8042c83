"""docs/hsm_simulator.md holds the reference as the layouts make it, and knows every option."""

from __future__ import annotations

import re
from pathlib import Path

from typer.main import get_command

from switch.hsm_sim.reference import BEGIN, END, reference
from switch.hsm_sim.service import TEST_OFFICERS
from tools.hsm import app

PAGE = (Path(__file__).resolve().parent.parent.parent / "docs" / "hsm_simulator.md").read_text()


def test_the_reference_is_as_the_layouts_make_it() -> None:
    assert PAGE.partition(BEGIN)[2].partition(END)[0].strip() == reference().strip(), (
        "docs/hsm_simulator.md is stale: put the output of `vafa hsm reference` between its marks"
    )


def test_every_option_that_the_page_names_exists() -> None:
    commands = get_command(app).commands  # type: ignore[attr-defined]
    options = {option for command in commands.values() for one in command.params for option in one.opts}
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", PAGE))
    assert named
    assert named <= options
    assert set(re.findall(r"vafa hsm ([a-z]+)", PAGE)) == set(commands)


def test_the_test_officers_are_told() -> None:
    for officer in TEST_OFFICERS:
        assert officer.name in PAGE
        assert officer.passphrase in PAGE
