"""`vafa terminal supervisor-code`: what it prints opens the supervisor's menu, and the code is not in it."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from terminal.settings import check
from tests.terminal.desk import SETTINGS, BlindDesk
from tools.registry import terminal_app

CODE = "73519"


@pytest.mark.parametrize("typed", [CODE, "۷۳۵۱۹"])
def test_the_setting_it_prints_opens_the_menu(typed: str) -> None:
    run = CliRunner().invoke(terminal_app, ["supervisor-code"], input=f"{typed}\n{typed}\n")
    assert run.exit_code == 0
    assert CODE not in run.stdout
    settings = check({**SETTINGS, **json.loads(run.stdout)})
    desk = BlindDesk(supervisor=settings.supervisor)  # type: ignore[no-untyped-call]
    desk.keys(f"#0{CODE}#")  # type: ignore[no-untyped-call]
    assert desk.screens[-1] == "manager"


@pytest.mark.parametrize("code", ["123", "123456789", "12a4"])
def test_what_no_keypad_could_type_is_refused(code: str) -> None:
    run = CliRunner().invoke(terminal_app, ["supervisor-code"], input=f"{code}\n{code}\n")
    assert "4 to 8 digits" in str(run.exception)
