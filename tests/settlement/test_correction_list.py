"""The list of corrections: two people, limits of one, nothing changed or lost, booked by whoever runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from switch.ledger.verify import verify
from switch.settlement import corrections
from switch.settlement.corrections import CorrectionError, ask, listed, note, settle
from tests.server.running_switch import RunningSwitch, TerminalSide
from tools.cli import run

KEY = bytes(range(32))
NOON_MS = 1_790_000_000_000
DAY_MS = 86_400_000
SARA, REZA = "Sara Karimi", "Reza Ahmadi"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / corrections.FILE_NAME


def asked(path: Path, points: int = 50, by: str = SARA, alone: int = 0, at_ms: int = NOON_MS) -> str:
    return ask(path, KEY, 7, points, "goodwill", by, at_ms, alone).state


# ---------------------------------------------------------------- two people


def test_a_second_person_approves(path: Path) -> None:
    assert asked(path) == "pending"
    one = settle(path, KEY, 1, "approved", REZA, NOON_MS + 1)
    assert (one.state, one.settled_by, one.asked.by) == ("released", REZA, SARA)
    assert note(path, KEY, 1, 99, NOON_MS + 2).state == "booked"
    [one] = listed(path, KEY)
    assert (one.state, one.entry, one.asked.points) == ("booked", 99, 50)


@pytest.mark.parametrize("name", [SARA, "sara  karimi", "SARA.KARIMI", "Sara Karimí", "Ѕаrа Каrіmі"])
def test_nobody_approves_his_own(path: Path, name: str) -> None:
    asked(path)
    with pytest.raises(CorrectionError):
        settle(path, KEY, 1, "approved", name, NOON_MS)
    assert listed(path, KEY)[0].state == "pending"


def test_a_correction_is_settled_once(path: Path) -> None:
    asked(path)
    assert settle(path, KEY, 1, "refused", SARA, NOON_MS).state == "refused"
    for what in ("approved", "refused"):
        with pytest.raises(CorrectionError, match="is refused already"):
            settle(path, KEY, 1, what, REZA, NOON_MS)
    with pytest.raises(CorrectionError, match="no correction 2"):
        settle(path, KEY, 2, "approved", REZA, NOON_MS)


def test_one_person_corrects_alone_within_a_days_limit(path: Path) -> None:
    assert asked(path, 60, alone=100) == "released"
    assert asked(path, -40, by="SARA karimi", alone=100) == "released"
    assert asked(path, 1, alone=100) == "pending"
    assert asked(path, 100, by=REZA, alone=100) == "released"
    assert asked(path, 100, alone=100, at_ms=NOON_MS + DAY_MS) == "released"
    assert asked(path, 101, by="Omid", alone=100) == "pending"


@pytest.mark.parametrize(
    ("points", "reason", "by"),
    [
        (0, "x", SARA),
        (10**12, "x", SARA),
        (1, "", SARA),
        (1, "a b", SARA),
        (1, "x" * 33, SARA),
        (1, "x", "!"),
    ],
)
def test_what_makes_no_sense_is_not_asked_for(path: Path, points: int, reason: str, by: str) -> None:
    with pytest.raises(CorrectionError):
        ask(path, KEY, 7, points, reason, by, NOON_MS, 0)
    assert listed(path, KEY) == []


# ---------------------------------------------------------------- nothing changed


def change_points(lines: list[str]) -> list[str]:
    return [lines[0].replace('"points": 50', '"points": 5000'), *lines[1:]]


def approve_by_hand(lines: list[str]) -> list[str]:
    step = {**json.loads(lines[0]), "what": "approved", "by": REZA}
    return [*lines, json.dumps(step)]


@pytest.mark.parametrize(
    "edit",
    [
        change_points,
        approve_by_hand,
        lambda lines: lines[1:],
        lambda lines: [lines[1], lines[0]],
        lambda lines: [*lines, lines[1]],
        lambda lines: [*lines, "{}"],
        lambda lines: [*lines, "nothing"],
    ],
)
def test_an_edited_list_is_not_believed(path: Path, edit: Callable[[list[str]], list[str]]) -> None:
    asked(path)
    asked(path, 51)
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join(edit(lines)) + "\n", encoding="utf-8")
    with pytest.raises(CorrectionError, match="was changed, or one before it is missing"):
        listed(path, KEY)
    with pytest.raises(CorrectionError):
        settle(path, KEY, 1, "approved", REZA, NOON_MS)


def test_an_unfinished_line_is_no_step(path: Path) -> None:
    asked(path)
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:40])
    assert len(listed(path, KEY)) == 1
    assert asked(path, 51) == "pending"
    assert [one.asked.points for one in listed(path, KEY)] == [50, 51]


def test_it_is_its_owners_alone(path: Path) -> None:
    asked(path)
    assert path.stat().st_mode & 0o777 == 0o600


# ---------------------------------------------------------------- the commands


def out(capsys: pytest.CaptureFixture[str], arguments: list[str], code: int = 0) -> Any:
    assert run(["ledger", *arguments]) == code, capsys.readouterr().err
    text = capsys.readouterr().out
    return json.loads(text) if "--json" in arguments else text


@pytest.mark.parametrize("running", [True, False])
def test_a_correction_reaches_the_ledger(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], running: bool
) -> None:
    switch = RunningSwitch(tmp_path / "data")
    data = ["--data", str(tmp_path / "data")]
    terminal = TerminalSide(switch)
    card = terminal.activated_card(points=100)
    rrn = terminal.ask(terminal.earn(card, 10_000)).text("37")
    terminal.line.close()
    if not running:
        switch.stop()
    arguments = ["--rrn", rrn, "--reason", "wrong-card", "--by", SARA, *data, "--json"]
    given = out(capsys, ["correct", "--points", "-21", *arguments])
    assert (given["correction"], given["state"], given["rrn"]) == ("1", "pending", "")
    assert run(["ledger", "approve", "1", "--by", "sara karimi", *data]) == 1
    assert "a second one has to approve" in capsys.readouterr().err
    approved = out(capsys, ["approve", "1", "--by", REZA, *data, "--json"])
    assert (approved["state"], approved["settled_by"]) == ("booked", REZA)
    assert approved["rrn"][:2] == rrn[:2]
    refused = out(capsys, ["correct", "--points", "5000", *arguments])
    out(capsys, ["refuse", refused["correction"], "--by", SARA, *data])
    [first, second] = out(capsys, ["corrections", *data, "--json"])["corrections"]
    assert (first["points"], first["asked_by"], first["state"]) == ("-21", SARA, "booked")
    assert (second["points"], second["state"]) == ("5000", "refused")
    assert out(capsys, ["corrections", "--pending", *data]) == "none\n"
    assert "ثبت شد" in out(capsys, ["corrections", "--language", "fa", *data])
    if not running:
        switch.start()
    terminal = TerminalSide(switch)
    assert terminal.points(card) == 80
    terminal.line.close()
    switch.stop()
    assert verify(switch.settings.ledger_path, switch.settings.seal_key).problems == []


def test_nobody_is_corrected_who_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    switch = RunningSwitch(tmp_path / "data")
    switch.stop()
    data = ["--data", str(tmp_path / "data")]
    base = ["ledger", "correct", "--points", "5", "--reason", "x", "--by", SARA, *data]
    for wrong, code in (
        (["--member", "12345"], 1),
        (["--rrn", "000000000009"], 1),
        (["--rrn", "?"], 2),
        ([], 2),
        (["--member", "1", "--rrn", "000000000009"], 2),
    ):
        assert run([*base, *wrong]) == code, wrong
    assert "no such member" in capsys.readouterr().err
    assert not (tmp_path / "data" / corrections.FILE_NAME).exists()
