"""docs/partners.md shows what the commands print, every setting with its default, every line of the log."""

from __future__ import annotations

import inspect
import re
import tomllib

import typer

from switch.server import partner_link, partners
from switch.settings import PARTNER_KEYS
from tests.tools.partner_examples import PAGE, rendered
from tools.partner import app

TEXT = PAGE.read_text(encoding="utf-8")


def test_every_command_prints_what_the_page_shows() -> None:
    assert rendered(TEXT) == TEXT, "run python -m tests.tools.partner_examples"


def test_every_command_is_there() -> None:
    group = typer.main.get_command(app)
    for name in group.list_commands(None):  # type: ignore[attr-defined]
        assert f"vafa partner {name}" in TEXT, name


def test_every_setting_is_shown_with_its_default() -> None:
    [shown] = re.findall(r"```toml\n(.*?)```", TEXT, flags=re.DOTALL)
    [table] = tomllib.loads(shown)["partners"]
    assert set(table) == set(PARTNER_KEYS)
    for key, rule in PARTNER_KEYS.items():
        if rule.default is not None:
            assert table[key] == rule.default, key


def test_every_line_of_the_log_is_told() -> None:
    source = inspect.getsource(partner_link) + inspect.getsource(partners)
    said = set(re.findall(r'(?:_tell|_alarm|log\.\w+)\(\s*"([^"]+)"', source))
    said |= {"partner blocked", "partner unblocked", "partner signed on", "partner signed off"}
    flat = " ".join(TEXT.split())
    assert len(said) >= 15
    assert [line for line in sorted(said) if f"`{line}`" not in flat] == []
