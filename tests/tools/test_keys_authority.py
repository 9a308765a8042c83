"""`vafa keys ca`, as a user runs it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from tests.tools.keys_kit import quick_and_open
from tools.cli import run
from tools.keys_authority import AUTHORITY_DAYS, open_authority


@pytest.fixture(autouse=True)
def _open() -> Iterator[None]:
    with quick_and_open():
        yield


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
        ("--days", "826"),
        ("--switch", "a", "--address", "no host"),
        ("--switch", "a", "--address", ""),
        ("--switch", "a", "--address", "سوییچ"),
        ("--switch", "a", "--partner", "BANK", "--address", "switch.example"),
        ("--hsm", "a", "--partner", "BANK", "--address", "box.example"),
        ("--partner", "BANK", "--partner", "OTHER", "--address", "bank.example"),
    ],
)
def test_bad_names_make_nothing(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    assert keys(tmp_path / "tls", *arguments) == 2
    assert not (tmp_path / "tls").exists()


def test_nobody_can_stand_in_for_a_server_but_who_runs_it(tmp_path: Path) -> None:
    everybody = ("--terminal", "10000001", "--switch", "main", "--hsm", "box", "--address", "switch.example")
    assert keys(tmp_path, *everybody) == 0
    assert keys(tmp_path, "--partner", "BANK", "--address", "bank.example") == 0
    named = {
        path.stem: x509.load_pem_x509_certificate(path.read_bytes())
        .extensions.get_extension_for_class(x509.SubjectAlternativeName)
        .value.get_values_for_type(x509.DNSName)
        for path in tmp_path.glob("*-*.crt")
    }
    assert named == {
        "switch-main": ["switch.example"],
        "hsm-box": ["switch.example"],
        "partner-BANK": ["bank.example"],
        "terminal-10000001": [],
    }


def test_half_an_authority_is_not_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert keys(tmp_path) == 0
    (tmp_path / "authority.key").unlink()
    assert keys(tmp_path, "--switch", "main") == 4
    assert "authority.key is missing" in capsys.readouterr().err
    assert not (tmp_path / "switch-main.crt").exists()


def test_nothing_outlives_its_authority(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    open_authority(tmp_path, datetime.now(UTC) - timedelta(days=AUTHORITY_DAYS - 30))
    assert keys(tmp_path, "--switch", "main", "--days", "20") == 0
    assert keys(tmp_path, "--switch", "late") == 4
    assert "the authority ends on" in capsys.readouterr().err
    assert not (tmp_path / "switch-late.crt").exists()


def test_a_file_that_is_no_certificate_is_said_to_be_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert keys(tmp_path, "--switch", "main") == 0
    (tmp_path / "other.crt").write_text("nothing", "utf-8")
    capsys.readouterr()
    assert keys(tmp_path) == 0
    assert "other.crt  WARNING: " in capsys.readouterr().out


@pytest.mark.parametrize("change", ["another key", "no key", "no certificate"])
def test_an_authority_that_does_not_fit_issues_nothing(
    tmp_path: Path, change: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert keys(tmp_path / "tls") == 0
    assert keys(tmp_path / "other") == 0
    if change == "another key":
        (tmp_path / "other" / "authority.key").rename(tmp_path / "tls" / "authority.key")
    else:
        (tmp_path / "tls" / f"authority.{'key' if change == 'no key' else 'crt'}").write_text("x", "utf-8")
    assert keys(tmp_path / "tls", "--switch", "main") == 4
    assert "try: " in capsys.readouterr().err
    assert not (tmp_path / "tls" / "switch-main.crt").exists()
