"""`vafa ledger verify` as an operator runs it: what it prints and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import apsw
import pytest

from switch.defaults import create_defaults
from switch.keys import checkpoint_mac
from switch.ledger.checkpoint import CheckpointFile
from switch.ledger.sqlite import SqliteEngine
from tests.ledger.book import Book, Request
from tools.cli import run


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory with a small ledger."""
    settings = create_defaults(tmp_path / "data")
    book = Book(lambda: SqliteEngine(settings.ledger_path, settings.seal_key))
    book.book(Request("activate", 1, card=1), Request("earn", 2, card=1, points=250))
    with checkpoint_mac(settings) as mac:
        CheckpointFile(settings.checkpoint_path, mac).append(book.engine.heads(), book.now_ms)
    book.engine.close()
    return settings.data


def test_a_right_ledger_is_told_in_words(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["ledger", "verify", "--data", str(data)]) == 0
    counts, verdict = capsys.readouterr().out.splitlines()
    assert counts.startswith("2 entries, 1 transfers, 2 postings, 1 members, 1 checkpoints read in ")
    assert verdict == "the ledger is as it was written"


def test_a_right_ledger_is_told_as_json(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["ledger", "verify", "--config", str(data / "switch.toml"), "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "verified": True,
        "entries": "2",
        "transfers": "1",
        "postings": "2",
        "members": "1",
        "checkpoints": "1",
        "found": "0",
        "problems": [],
    }


def test_every_problem_is_printed(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    connection = apsw.Connection(str(data / "ledger.sqlite"))
    connection.execute("UPDATE posting SET amount = 251 WHERE leg = 0")
    connection.close()
    assert run(["ledger", "verify", "--data", str(data)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "seal does not match: the entry, its transfer or one of its 2 postings was changed" in lines[0]
    assert lines[1].endswith("does not balance: its postings of unit 60 sum to 1")
    assert lines[2].endswith("its balance is 250, its postings sum to 251")
    assert lines[-1] == "3 problems"
    assert run(["ledger", "verify", "--data", str(data), "--format", "json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["verified"] is False
    assert [problem["table"] for problem in report["problems"]] == ["entry", "transfer", "account"]


def test_a_missing_ledger_is_told(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (data / "ledger.sqlite").unlink()
    assert run(["ledger", "verify", "--data", str(data)]) == 4
    assert "there is no ledger; check --data, or start the switch once" in capsys.readouterr().err
    assert not (data / "ledger.sqlite").exists()


def test_missing_settings_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["ledger", "verify", "--data", str(tmp_path)]) == 4
    assert "no settings here" in capsys.readouterr().err


def test_keys_of_another_ledger_are_told(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = create_defaults(tmp_path / "other")
    assert run(["ledger", "verify", "--data", str(data), "--config", str(other.source)]) == 4
    assert "the seal key doesn't fit this ledger; check keys.seal" in capsys.readouterr().err
