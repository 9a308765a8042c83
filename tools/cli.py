"""The `vafa` command: finds the command asked for, runs it, and turns what went wrong into an exit code.

Only the group in use is imported, so start-up stays quick. No traceback reaches a user unless `--debug` asks
for it, and no traceback shows local variables: they can hold keys and card numbers.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer


class ExitCode(IntEnum):
    """What a command's exit code means, the same for every command."""

    OK = 0
    NEGATIVE = 1  # the command worked and its answer is no: declined, invalid, different, not reached
    USAGE = 2
    NETWORK = 3
    CONFIGURATION = 4
    INTERNAL = 70
    INTERRUPTED = 130


class CommandError(Exception):
    """Something a user can act on. `what` happened and where, `try_next` what to do; both are printed."""

    def __init__(self, what: str, code: ExitCode, try_next: str = "") -> None:
        super().__init__(what)
        self.code = code
        self.try_next = try_next


@contextmanager
def written_to(path: Path, try_next: str) -> Iterator[None]:
    """Makes what the system has against a path, which somebody chose, a CommandError."""
    try:
        yield
    except OSError as error:
        raise CommandError(
            f"{path}: can't be written: {error.strerror or error}", ExitCode.CONFIGURATION, try_next
        ) from None


class Command(NamedTuple):
    """One word after `vafa`. `attribute` is a typer.Typer (a group) or a function (a single command)."""

    name: str
    module: str
    attribute: str
    summary: str


# In the order of the help page. A command whose module is not there yet is left out.
COMMANDS = (
    Command("demo", "tools.demo", "demo", "Play one scripted visit: real firmware, line, switch, ledger."),
    Command("switch", "tools.switch", "app", "Run the switch."),
    Command("merchant", "tools.registry", "merchant_app", "Merchants: add, block, list, show."),
    Command("terminal", "tools.registry", "terminal_app", "Terminals: add, block, assign, list, show."),
    Command("partner", "tools.partner", "app", "Partners' links: check mappings, list, block."),
    Command("fw", "tools.fw", "app", "Firmware: profiles, builds, signatures, flashing, logs."),
    Command("keys", "tools.keys", "app", "Keys and certificates: make, load, rotate, revoke."),
    Command("cards", "tools.cards", "app", "The card desk: make, read and verify chip cards and stripes."),
    Command("hsm", "tools.hsm", "app", "Run a simulated HSM, be its officers."),
    Command("batch", "tools.batch", "app", "Batches that terminals closed, and their differences."),
    Command("settlement", "tools.settlement", "app", "Totals of a day, what merchants are owed."),
    Command("ledger", "tools.ledger", "app", "The ledger: verify, tell, back up, correct, move."),
    Command("sim", "tools.sim", "app", "Simulated readers, keypads and printers for a running firmware."),
    Command("message", "tools.message", "app", "Look at messages, check, convert, send and answer them."),
    Command("spec", "tools.spec", "app", "Check message dictionaries, generate what is made from them."),
)

# Errors that are not the program's fault, by class name so that nothing is imported to know them.
EXIT_CODES = {
    "builtins.ConnectionError": ExitCode.NETWORK,
    "builtins.TimeoutError": ExitCode.NETWORK,
    "socket.gaierror": ExitCode.NETWORK,
    "switch.settings.SettingsError": ExitCode.CONFIGURATION,
    "tools.micropython.MicroPythonMissing": ExitCode.CONFIGURATION,
}

HELP = """\
Vafa: a loyalty network, from the swipe to the ledger.

\b
Example:
  vafa demo --once          one visit through the real firmware, then stop
  vafa switch run           a switch on this machine, port 8583

\b
Exit codes: 0 ok, 1 negative answer, 2 usage, 3 network, 4 configuration,
70 internal error, 130 interrupted.
"""


def available() -> tuple[Command, ...]:
    """The commands whose module exists."""
    return tuple(command for command in COMMANDS if find_spec(command.module) is not None)


def asked_for(arguments: Sequence[str]) -> str | None:
    """The first word that is not an option; the options before it take no values."""
    return next((argument for argument in arguments if not argument.startswith("-")), None)


def build(chosen: str | None) -> typer.Typer:
    """The command line with the `chosen` command imported and every other one named only.

    With `_VAFA_COMPLETE` in the environment the shell asks for completions and all are imported.
    """
    app = typer.Typer(
        name="vafa", help=HELP, rich_markup_mode=None, no_args_is_help=True, pretty_exceptions_enable=False
    )
    app.callback()(_options)
    completing = "_VAFA_COMPLETE" in os.environ
    for command in available():
        if completing or command.name == chosen:
            _add(app, command, getattr(import_module(command.module), command.attribute))
        else:
            app.command(command.name, help=command.summary)(_named_only)
    return app


def command_line(chosen: str | None) -> Any:
    """The same, ready to parse arguments. Building it is most of what a quick command takes."""
    return typer.main.get_command(build(chosen))


def _add(app: typer.Typer, command: Command, target: Any) -> None:
    if isinstance(target, typer.Typer):
        app.add_typer(target, name=command.name, no_args_is_help=True, short_help=command.summary)
    else:
        app.command(command.name, short_help=command.summary)(target)


def _named_only() -> None:
    raise AssertionError("a command that was not chosen was run")


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # here and not above, for it reads mails and archives too

        typer.echo(f"vafa {version('vafa')}")
        raise typer.Exit


def _options(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an unexpected error came from.")] = False,
) -> None:
    """Options of `vafa` itself stand before the command; `main` reads --debug, for imports can fail too."""


def run(arguments: Sequence[str], make: Callable[[str | None], Any] = command_line) -> int:
    """Run one command line; returns its exit code, having printed whatever went wrong on stderr."""
    chosen = asked_for(arguments)
    options = arguments[: arguments.index(chosen)] if chosen is not None else arguments
    try:
        ended = make(chosen).main(list(arguments), prog_name="vafa", standalone_mode=False)
    except SystemExit as stopped:
        return stopped.code if isinstance(stopped.code, int) else ExitCode.OK
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except Exception as error:
        if "--debug" in options:
            import traceback  # here, for hardly any command fails like this

            _echo_masked("".join(traceback.format_exception(error)))
        return _explain(error)
    return ended if isinstance(ended, int) else ExitCode.OK


def _explain(error: Exception) -> int:
    """Print one line that says what happened and one that says what next; returns the exit code."""
    if _is_usage(error):
        told = io.StringIO()
        error.show(told)  # type: ignore[attr-defined]
        _echo_masked(told.getvalue())
        return int(error.exit_code)  # type: ignore[attr-defined]
    kinds = [f"{kind.__module__}.{kind.__qualname__}" for kind in type(error).__mro__]
    if isinstance(error, CommandError):
        code, try_next = error.code, error.try_next
    else:
        code = next((EXIT_CODES[kind] for kind in kinds if kind in EXIT_CODES), ExitCode.INTERNAL)
        try_next = ""
    if code == ExitCode.INTERNAL and not isinstance(error, CommandError):
        _echo_masked(f"error: internal: {type(error).__name__}: {error}\n")
        typer.echo("try: the same command as `vafa --debug …` shows where it happened", err=True)
        return code
    _echo_masked(f"error: {error}\n")
    if try_next:
        _echo_masked(f"try: {try_next}\n")
    return code


def _is_usage(error: Exception) -> bool:
    """Whether the command line itself was wrong. The class of all such errors has no public name."""
    return any(kind.__name__ == "ClickException" for kind in type(error).__mro__)


def _echo_masked(text: str) -> None:
    """To stderr; an error may quote what was typed or read, and that may be a card number."""
    from switch.iso8583 import mask_text  # here, for --help and --version need nothing of it

    typer.echo(mask_text(text), err=True, nl=False)


def main() -> None:
    """Entry point of the console script `vafa`."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    # Under its own name: a command's CommandError must be the very class that `run` catches.
    import_module("tools.cli").main()
