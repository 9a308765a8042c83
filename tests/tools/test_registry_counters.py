"""What a terminal counted of itself: kept beside the registry, shown by `vafa terminal`."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import pytest

from switch.defaults import create_defaults
from switch.registry import counters_of, keep_counters, told_by
from switch.registry.counters import DIRECTORY, NAMES
from switch.settings import Settings, load
from terminal.event_log import COUNTERS
from tests.tools.kit import COMMAND_LINE
from tools import cli

TERMINAL = "10000001"
NOW = datetime.fromisoformat("2026-08-24T14:03:05+03:30")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    create_defaults(tmp_path)
    return load(tmp_path / "switch.toml")


def vafa(capsys: pytest.CaptureFixture[str], settings: Settings, *words: str) -> str:
    capsys.readouterr()
    assert cli.run([*words, "--data", str(settings.data)], make=COMMAND_LINE) == 0
    return capsys.readouterr().out


def test_switch_and_terminal_name_them_alike() -> None:
    assert NAMES == COUNTERS
    told = counters_of("".join(f"{number:08d}" for number in range(1, len(NAMES) + 1)))
    assert told == dict(zip(NAMES, range(1, len(NAMES) + 1), strict=True))
    assert counters_of("00000007" + "0" * 3) == {"boots": 7}
    assert len(counters_of("0" * 240)) == len(NAMES), "a newer terminal tells more"


def test_the_newest_stand_in_the_place_of_those_before(settings: Settings) -> None:
    assert told_by(settings, TERMINAL) is None
    keep_counters(settings, TERMINAL, {"boots": 1}, NOW)
    keep_counters(settings, TERMINAL, {"boots": 2, "faults": 1}, NOW)
    told = told_by(settings, TERMINAL)
    assert told is not None
    assert told.counters == {"boots": 2, "faults": 1}
    assert told.at == "2026-08-24T14:03:05+03:30"
    directory = settings.registry_path.parent / DIRECTORY
    assert [path.name for path in directory.iterdir()] == [f"{TERMINAL}.json"]


def test_a_damaged_file_and_an_id_that_is_no_name_tell_nothing(settings: Settings) -> None:
    keep_counters(settings, "../../x0", {"boots": 1}, NOW)
    assert not (settings.registry_path.parent / DIRECTORY).exists()
    keep_counters(settings, TERMINAL, {"boots": 1}, NOW)
    for content in ("", "{}", "[]", '{"at": "x", "counters": {"boots": "many"}}'):
        (settings.registry_path.parent / DIRECTORY / f"{TERMINAL}.json").write_text(content)
        assert told_by(settings, TERMINAL) is None


def test_show_tells_all_and_list_what_somebody_should_look_at(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    keep_counters(settings, TERMINAL, {"boots": 12, "printer_faults": 3, "faults": 0}, NOW)
    keep_counters(settings, "10000002", {"boots": 1, "journal_damages": 2}, NOW)
    page = vafa(capsys, settings, "terminal", "show", TERMINAL)
    for label, value in (("starts", "12"), ("printer faults", "3"), ("last sign-on", NOW.isoformat())):
        assert f"{label:15} {value}" in page, page
    assert "۱۲" in vafa(capsys, settings, "terminal", "show", TERMINAL, "--locale", "fa")
    lines = vafa(capsys, settings, "terminal", "list").splitlines()
    assert "[" not in lines[0]
    assert lines[1].endswith("[journal damages 2]")
    shown = json.loads(vafa(capsys, settings, "terminal", "show", TERMINAL, "--format", "json"))
    assert '"boots": "12"' in json.dumps(shown)
