"""Every command of docs/settlement.md runs, on a ledger with a batch that differs and a day's sales."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
from contextlib import closing
from pathlib import Path

import pytest

from switch.authorizer.batches import FINDINGS, Totals
from switch.iso8583 import load
from switch.ledger.model import BUCKETS
from switch.ledger.reading import SqliteStore
from switch.settings import load_for
from tests.ledger.conftest import schema_url
from tests.server.test_batches import differing_day
from tools.cli import run

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "settlement.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^\$ vafa (.*)$", PAGE, flags=re.MULTILINE)


def first_member(data: Path) -> int:
    settings = load_for(data, None)
    with closing(SqliteStore(settings.ledger_path).open()) as reading:
        [member] = reading.members(0, BUCKETS - 1)
    return int(member[0])


def test_the_commands_of_the_page_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "data"
    asyncio.run(differing_day(data))
    member = str(first_member(data))
    assert len(COMMANDS) == 11
    for command in COMMANDS:
        arguments = [str(data) if word == "data" else word for word in shlex.split(command)]
        if "--member" in arguments:
            arguments[arguments.index("--member") + 1] = member
        if arguments[:2] == ["ledger", "refuse"]:
            assert run([*arguments_of_correct(data, member)]) == 0
        differs = arguments[0] == "batch" and arguments[1] in ("show", "differences")
        assert run(arguments) == int(differs), (command, capsys.readouterr().err)
        assert capsys.readouterr().out


def test_batches_totals_and_corrections_are_the_same_on_postgres(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    day = asyncio.run(differing_day(data))
    member = str(first_member(data))

    def told(command: str, code: int = 0) -> str:
        assert run([*command.split(), "--data", str(data)]) == code, capsys.readouterr().err
        return capsys.readouterr().out

    def looked_at() -> list[str]:
        return [
            told("batch list --format json"),
            told("batch list --differences"),
            told(f"batch show {day.terminal} 2 --format json", 1),
            told(f"batch differences {day.terminal} 2 --format json", 1),
            told("settlement totals --format json"),
            told(f"settlement totals --terminal {day.terminal}"),
        ]

    before = looked_at()
    settings = load_for(data, None)
    url = data / "ledger.url"
    url.write_text(schema_url(tmp_path), encoding="ascii")
    url.chmod(0o600)
    told(f"ledger migrate --to postgres --url-file {url} --finish")
    with settings.source.open("a", encoding="utf-8") as file:
        file.write('\n[ledger]\nengine = "postgres"\nurl_file = "ledger.url"\n')
    assert looked_at() == before
    for number, (unit, many) in enumerate([("points", -7), ("stamps", 3), ("cash", 5_000)], start=1):
        what = f"--member {member} --points {many} --unit {unit} --reason other"
        assert json.loads(told(f"ledger correct {what} --by Sara --json"))["state"] == "pending"
        assert json.loads(told(f"ledger approve {number} --by Reza --json"))["state"] == "booked"
    wallets = json.loads(told(f"ledger balance --member {member} --format json"))["wallets"]
    assert {wallet["unit"]: wallet["balance"] for wallet in wallets} == {
        "points": str(110 - 7),
        "stamps": "3",
        "cash": "5000",
    }
    rows = json.loads(told("ledger corrections --json"))["corrections"]
    assert [row["unit"] for row in rows] == ["points", "stamps", "cash"]
    assert "the ledger is as it was written" in told("ledger verify")


def arguments_of_correct(data: Path, member: str) -> list[str]:
    asked = ["ledger", "correct", "--member", member, "--points", "5", "--reason", "other"]
    return [*asked, "--by", "Sara Karimi", "--data", str(data)]


def test_the_page_names_every_finding_and_total() -> None:
    for finding, (code, reason) in FINDINGS.items():
        assert f"| {finding} | {code}{', ' + reason if reason else ''} |" in PAGE
    for number, operation in enumerate(Totals(load("vafa")).operations, start=1):
        assert f"{operation} {number:02d}" in PAGE
