"""docs/owners.md says what a shared ledger needs; and what can't share one is refused with reasons."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from switch.defaults import create_defaults
from switch.settings import Settings, SettingsError, load
from tests.server.sharing import HIGH, LOW, Owner

PAGE = Path(__file__).resolve().parents[2] / "docs" / "owners.md"
POSTGRES = '[ledger]\nengine = "postgres"\nurl = "postgresql://somewhere/ledger"\n'


def page(language: str) -> str:
    [text] = re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert isinstance(text, str)
    return text


def settings_with(directory: Path, more: str) -> Settings:
    create_defaults(directory)
    path = directory / "switch.toml"
    path.write_text(path.read_text(encoding="utf-8") + "\n" + more, encoding="utf-8")
    return load(path)


def test_the_settings_are_read_and_the_commands_are_those_of_the_tests(tmp_path: Path) -> None:
    settings = settings_with(tmp_path, page("toml"))
    commands = [shlex.split(line.removeprefix("$ ")) for line in page("console").splitlines()]
    for command, buckets in zip(commands, (LOW, HIGH), strict=True):
        assert command[:3] == ["vafa", "switch", "run"]
        options = dict(zip(command[3::2], command[4::2], strict=True))
        assert options["--buckets"] == buckets
        assert set(options) == {word for word in Owner.arguments(Path(), Path(), buckets) if word[:2] == "--"}
        first, last = buckets.split("-")
        assert settings.with_buckets(buckets).ledger.buckets == (int(first), int(last))


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ("", "of a SQLite ledger one process owns all"),
        (POSTGRES + 'archive = "archive"\n', "ledger.archive would hold this part alone"),
    ],
)
def test_what_needs_all_buckets_is_refused_with_a_part(tmp_path: Path, more: str, reason: str) -> None:
    settings = settings_with(tmp_path, more)
    assert settings.ledger.buckets == (0, 255)
    with pytest.raises(SettingsError, match=rf"switch\.toml: ledger\.buckets 0-127: .*{reason}"):
        settings.with_buckets(LOW)


@pytest.mark.parametrize("buckets", ["", "0", "128-127", "0-256", "-1-5", "0-127 ", "a-b", "٠-٧"])
def test_a_range_that_is_none_is_refused(tmp_path: Path, buckets: str) -> None:
    with pytest.raises(SettingsError, match=r"ledger\.buckets"):
        settings_with(tmp_path, POSTGRES + f'buckets = "{buckets}"\n')
    if buckets:
        with pytest.raises(SettingsError, match="first and last are expected"):
            settings_with(tmp_path / "good", POSTGRES).with_buckets(buckets)
