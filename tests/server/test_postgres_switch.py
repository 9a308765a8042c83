"""The real switch on a real PostgreSQL: refused starts, a database that goes and comes back, a take-over."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from simulators.postgres_server import PostgresServer
from switch.defaults import create_defaults
from switch.ledger.sqlite import SqliteEngine
from switch.ledger.verify import verify
from switch.link.framing import frame
from switch.settings import load
from tests.forked import vafa
from tests.server.running_switch import DIALECT, RunningSwitch, TerminalSide
from tools.cli import run


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


def on(server: PostgresServer, name: str) -> dict[str, str]:
    """Settings of a ledger in a schema of that name."""
    return {"ledger.url": f'"{server.schema(name)}"', "ledger.engine": '"postgres"'}


def refused(directory: Path) -> str:
    """What a switch says that doesn't start."""
    ended = vafa("switch", "run", "--data", str(directory), "--port", "0")
    assert ended.returncode == 4, ended.stderr
    return ended.stderr


def test_a_database_that_goes_away_is_answered_91_and_served_again_when_it_is_back(
    server: PostgresServer, tmp_path: Path
) -> None:
    switch = RunningSwitch(tmp_path, on(server, "away"))
    terminal = TerminalSide(switch)
    card = terminal.activated_card(points=10)
    assert terminal.ask(terminal.redemption(card, 4))["39"] == "00"
    server.kill()
    lost = terminal.earn(card, 50_000)
    terminal.line.send(frame(terminal.sealed(lost)))  # it was on its way: nobody can know, nothing is said
    told = switch.events("event", "ledger unavailable")[0]
    assert "the switch goes on by itself" in told["error"]
    for message in (terminal.earn(card, 70_000), terminal.balance(card)):
        answer = DIALECT.decode(terminal.exchange(terminal.sealed(message)))
        assert (answer["11"], answer["39"]) == (message["11"], "91")
        assert "64" not in answer, "nothing is said under a MAC"
    server.start()
    assert terminal.ask(terminal.reversal_of(lost))["39"] == "00"
    assert terminal.ask(lost)["39"] == "94", "its reversal came first"
    assert terminal.points(card) == 6
    assert terminal.ask(terminal.earn(card, 20_000))["39"] == "00"
    assert terminal.points(card) == 8
    assert switch.process.poll() is None, "all this by one process"
    assert switch.stop() == 0
    assert verify(switch.settings.ledger_place.store(), switch.settings.seal_key).problems == []

    server.kill()
    said = refused(tmp_path)
    assert "the switch goes on by itself when the server answers" in said
    server.start()
    switch.start()  # another process on the same ledger
    assert TerminalSide(switch).points(card) == 8
    assert switch.stop() == 0


def test_what_is_no_ledger_of_this_switch_is_refused(server: PostgresServer, tmp_path: Path) -> None:
    settings = create_defaults(tmp_path)
    with settings.source.open("a") as file:
        file.write(f'\n[ledger]\nengine = "postgres"\nurl = "{server.schema("strange")}"\n')
    SqliteEngine(settings.ledger_path, settings.seal_key).close()
    assert "move it there with `vafa ledger migrate --to postgres`" in refused(tmp_path)
    settings.ledger_path.unlink()
    with psycopg.connect(server.url("strange"), autocommit=True) as connection:
        connection.execute("CREATE TABLE somebody (name text)")
    said = refused(tmp_path)
    assert "another program's tables are there" in said
    assert "vafa switch run: PostgreSQL " in said


def test_a_switch_that_another_one_takes_over_from_stops(server: PostgresServer, tmp_path: Path) -> None:
    first = RunningSwitch(tmp_path / "first", on(server, "taken"))
    terminal = TerminalSide(first)
    card = terminal.activated_card(points=10)
    shutil.copytree(tmp_path / "first", tmp_path / "second", ignore=shutil.ignore_patterns("*.lock"))
    second = RunningSwitch(tmp_path / "second")
    with suppress(ConnectionError):  # it notices by itself, too
        answer = DIALECT.decode(terminal.exchange(terminal.sealed(terminal.earn(card, 10_000))))
        assert (answer["39"], "64" in answer) == ("91", False)
    assert first.process.wait(30) == 1
    assert first.events("reason", "the ledger has another owner")
    second.keys = first.keys  # the same terminals
    assert TerminalSide(second).points(card) == 10
    assert second.stop() == 0


def test_a_running_switch_s_ledger_moves_and_its_terminals_notice_nothing(
    server: PostgresServer, tmp_path: Path
) -> None:
    switch = RunningSwitch(tmp_path, {"ledger.archive": '"archive"'})
    terminal = TerminalSide(switch)
    card = terminal.activated_card(points=10)
    secret = tmp_path / "ledger.url"
    secret.touch(0o600)
    secret.write_text(server.schema("moved"))
    move = ["ledger", "migrate", "--to", "postgres", "--url-file", str(secret), "--data", str(tmp_path)]
    assert run(move) == 0
    frame_of_earn = terminal.sealed(terminal.earn(card, 50_000))  # the switch goes on
    answer = terminal.exchange(frame_of_earn)
    assert run([*move, "--finish"]) == 1, "not beside a switch"
    assert switch.stop() == 0
    assert run([*move, "--finish"]) == 0
    text = switch.settings.source.read_text()
    named = '[ledger]\nengine = "postgres"\nurl_file = "ledger.url"'
    switch.settings.source.write_text(text.replace("[ledger]", named))
    switch.settings = load(switch.settings.source)
    switch.start()
    again = TerminalSide(switch)
    assert again.exchange(frame_of_earn) == answer, "the very frame, the very bytes"
    assert again.points(card) == 15
    assert switch.stop() == 0
    assert [line["event"] for line in switch.log if line["event"].startswith("archive")] == []
    assert run(["ledger", "verify", "--data", str(tmp_path)]) == 0
