"""`vafa keys ca`, as a user runs it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.cli import run


def keys(*arguments: str | Path) -> int:
    return run(["keys", "ca", *map(str, arguments)])


def test_issue_and_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = tmp_path / "tls"
    assert keys(directory, "--switch", "main", "--terminal", "10000001") == 0
    assert keys(directory, "--partner", "bank") == 0
    capsys.readouterr()
    assert keys(directory) == 0
    listed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in listed] == [
        "authority.crt",
        "partner-bank.crt",
        "switch-main.crt",
        "terminal-10000001.crt",
    ]
    assert not any("WARNING" in line for line in listed)
    for key in directory.glob("*.key"):
        assert key.stat().st_mode & 0o777 == 0o600


def test_a_short_life_is_warned_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert keys(tmp_path, "--switch", "main", "--days", "20") == 0
    capsys.readouterr()
    assert keys(tmp_path) == 0
    assert "WARNING" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        ("--terminal", "1000001"),
        ("--terminal", "../../../x"),
        ("--switch", "a/b"),
        ("--partner", ""),
        ("--address", "host"),
        ("--days", "0"),
    ],
)
def test_bad_names_make_nothing(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    assert keys(tmp_path / "tls", *arguments) == 2
    assert not (tmp_path / "tls").exists()


def test_half_an_authority_is_not_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert keys(tmp_path) == 0
    (tmp_path / "authority.key").unlink()
    assert keys(tmp_path, "--switch", "main") == 4
    assert "authority.key is missing" in capsys.readouterr().err
    assert not (tmp_path / "switch-main.crt").exists()
