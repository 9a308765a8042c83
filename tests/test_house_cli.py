"""The `vafa` command itself: what it lists, what it imports, and what its exit codes mean."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from typing import Any, NoReturn

import pytest
import typer

from switch.settings import SettingsError
from tools import cli
from tools.cli import CommandError, ExitCode

CARD = "9364001234567898"
CARD_IN_A_LOCAL = "0123456789abcdef"


def command_that_raises(error: BaseException) -> Any:
    app = typer.Typer(rich_markup_mode=None)

    @app.callback()
    def options(debug: bool = False) -> None:
        """Options as the real command line has them."""

    @app.command()
    def fail() -> NoReturn:
        secret = CARD_IN_A_LOCAL
        assert secret
        raise error

    return typer.main.get_command(app)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (typer.Exit(), ExitCode.OK),
        (typer.Exit(1), ExitCode.NEGATIVE),
        (typer.BadParameter("no"), ExitCode.USAGE),
        (ConnectionRefusedError("refused"), ExitCode.NETWORK),
        (TimeoutError("late"), ExitCode.NETWORK),
        (SettingsError("port: not a number"), ExitCode.CONFIGURATION),
        (CommandError("the ledger is gone", ExitCode.CONFIGURATION), ExitCode.CONFIGURATION),
        (ValueError("a bug"), ExitCode.INTERNAL),
        (KeyboardInterrupt(), ExitCode.INTERRUPTED),
    ],
)
def test_exit_code(error: BaseException, code: ExitCode) -> None:
    assert cli.run(["fail"], make=lambda chosen: command_that_raises(error)) == code


def test_an_interrupt_while_a_command_is_imported_is_an_interrupt() -> None:
    def interrupted(chosen: str | None) -> NoReturn:
        raise KeyboardInterrupt

    assert cli.run(["fail"], make=interrupted) == ExitCode.INTERRUPTED


def test_an_error_a_user_can_act_on_says_what_and_what_next(capsys: pytest.CaptureFixture[str]) -> None:
    error = CommandError("no ledger in data", ExitCode.CONFIGURATION, "vafa switch run")
    cli.run(["fail"], make=lambda chosen: command_that_raises(error))
    captured = capsys.readouterr()
    assert captured.err == "error: no ledger in data\ntry: vafa switch run\n"
    assert captured.out == ""


def test_an_unexpected_error_is_told_without_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    cli.run(["fail"], make=lambda chosen: command_that_raises(ValueError("a bug")))
    told = capsys.readouterr().err
    assert told.splitlines()[0] == "error: internal: ValueError: a bug"
    assert "--debug" in told
    assert "Traceback" not in told


def test_debug_shows_where_but_no_local_variables(capsys: pytest.CaptureFixture[str]) -> None:
    code = cli.run(["--debug", "fail"], make=lambda chosen: command_that_raises(ValueError("a bug")))
    told = capsys.readouterr().err
    assert code == ExitCode.INTERNAL
    assert "Traceback" in told
    assert CARD_IN_A_LOCAL not in told


@pytest.mark.parametrize(
    "arguments",
    [
        [CARD],
        ["message", CARD],
        ["message", "view", "--format", CARD],
        ["message", "view", f"--{CARD}"],
        ["message", "diff", "one", "two", CARD],
        ["message", "convert", "--year", CARD],
        ["switch", "run", "--port", CARD],
    ],
)
def test_a_card_number_on_the_command_line_is_not_repeated(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(arguments) == ExitCode.USAGE
    told = capsys.readouterr()
    assert told.err
    assert CARD[6:12] not in told.out + told.err


@pytest.mark.parametrize("options", [[], ["--debug"]])
def test_a_card_number_in_an_unexpected_error_is_masked(
    options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    error = ValueError(f"no such thing: {CARD}")
    assert cli.run([*options, "fail"], make=lambda chosen: command_that_raises(error)) == ExitCode.INTERNAL
    assert CARD[6:12] not in capsys.readouterr().err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["--version"]) == ExitCode.OK
    assert capsys.readouterr().out == f"vafa {version('vafa')}\n"


def test_an_unknown_command_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["nothing-like-it"]) == ExitCode.USAGE
    assert "nothing-like-it" in capsys.readouterr().err


def test_help_shows_an_example_before_the_list_of_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["--help"]) == ExitCode.OK
    page = capsys.readouterr().out
    commands = cli.available()
    assert commands
    for command in commands:
        assert 0 < page.index("Example") < page.index("Commands:") < page.rindex(command.name)


def test_every_listed_command_is_there() -> None:
    assert cli.available() == cli.COMMANDS


@pytest.mark.parametrize("command", [command.name for command in cli.COMMANDS])
def test_every_command_has_a_help_page(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run([command, "--help"]) == ExitCode.OK
    assert f"vafa {command}" in capsys.readouterr().out


# What a command must not bring along: hundreds are started in a test run, and an operator waits for each.
HEAVY = {"pydantic", "rich", "email", "importlib.metadata"}
SERVING = {"asyncio", "switch.server.pipeline", "switch.server.run", "switch.authorizer.decide", "psycopg"}
HSM_CLIENTS = {"switch.hsm.payshield", "switch.hsm.pkcs11"}
CODEC = {"switch.iso8583.codec", "switch.iso8583.dialect"}
CERTIFICATES = {"cryptography.x509"}
COMMAND_MODULES = {command.module for command in cli.COMMANDS}


@pytest.mark.parametrize(
    ("arguments", "unwanted"),
    [
        (["--help"], {"switch", "simulators", "apsw", "cryptography", *COMMAND_MODULES} | SERVING),
        (["ledger", "verify"], {"cryptography", "switch.tls"} | SERVING | HSM_CLIENTS | CODEC),
        (["switch", "run"], SERVING | HSM_CLIENTS | CODEC | CERTIFICATES),
        (["keys", "list"], (SERVING - {"asyncio"}) | HSM_CLIENTS | CODEC | CERTIFICATES),
        (["terminal", "list"], SERVING | HSM_CLIENTS | CODEC | CERTIFICATES),
        (["hsm", "status"], (SERVING - {"asyncio"}) | HSM_CLIENTS | CODEC | CERTIFICATES),
        (["message", "view"], {"cryptography", "switch.server"} | SERVING | HSM_CLIENTS),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_command_imports_what_it_needs_only(arguments: list[str], unwanted: set[str]) -> None:
    program = (
        "import sys\n"
        "from tools import cli\n"
        "code = cli.run([*sys.argv[1:], '--help'])\n"
        "print(code, *sys.modules, file=sys.stderr)\n"
    )
    command = [sys.executable, "-c", program, *(one for one in arguments if one != "--help")]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    code, *imported = run.stderr.split()
    assert (code, unwanted & set(imported), HEAVY & set(imported)) == ("0", set(), set())
