"""`vafa ledger quarantine`: requests that a switch stopped on, and how they are let through again."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from switch.ledger.history import moment_text
from switch.server.quarantine import DIGEST_BYTES, STOPS, QuarantineError, Suspect, clear, suspects
from switch.settings import load_for
from tools.cli import CommandError, ExitCode
from tools.ledger_options import Config, Data, told

app = typer.Typer(no_args_is_help=True)

HELD, SUSPECTED = "held", "suspected"


@app.callback()
def quarantine() -> None:
    """Requests that a switch stopped on: after the second time they are answered 96 and never decided."""


@app.command("list")
def list_suspects(
    data: Data = None,
    config: Config = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List them, the oldest first, beside a running switch too. Suspected ones are decided alone, once more.

    Exit code 0: nothing is held; 1: something is.

    \b
    Example:
      vafa ledger quarantine list --data data
    """
    with told():
        settings = load_for(data, config)
    try:
        found = suspects(settings.quarantine_path)
    except QuarantineError as error:
        raise CommandError(str(error), ExitCode.CONFIGURATION) from None
    if as_json:
        typer.echo(json.dumps({"quarantine": [_document(suspect) for suspect in found]}))
    else:
        for suspect in found:
            who = f"terminal {suspect.terminal}" if suspect.terminal else "terminal unknown"
            typer.echo(
                f"{suspect.digest.hex()}  {_state(suspect)}  {suspect.stops} stops"
                f"  {moment_text(suspect.noted_ms)}  {who}  {suspect.operation}".rstrip()
            )
        if not found:
            typer.echo("nothing")
    if any(suspect.stops >= STOPS for suspect in found):
        raise typer.Exit(ExitCode.NEGATIVE)


@app.command("clear")
def clear_one(
    digest: Annotated[str, typer.Argument(help="As `list` and the switch's alarm tell it.")],
    data: Data = None,
    config: Config = None,
) -> None:
    """Let one be decided again, in a running switch too.

    Exit code 1: it isn't there.

    \b
    Example:
      vafa ledger quarantine clear 6f1e... --data data
    """
    try:
        wanted = bytes.fromhex(digest)
    except ValueError:
        wanted = b""
    if len(wanted) != DIGEST_BYTES:
        raise CommandError(
            f"{digest!r}: a digest has {2 * DIGEST_BYTES} hexadecimal digits",
            ExitCode.USAGE,
            "copy it from `vafa ledger quarantine list`",
        )
    with told():
        settings = load_for(data, config)
    try:
        was_there = clear(settings.quarantine_path, wanted)
    except QuarantineError as error:
        raise CommandError(str(error), ExitCode.CONFIGURATION) from None
    if not was_there:
        raise CommandError(f"{digest} is not there", ExitCode.NEGATIVE, "vafa ledger quarantine list")
    typer.echo(f"{digest} is decided again when it comes")


def _state(suspect: Suspect) -> str:
    return HELD if suspect.stops >= STOPS else SUSPECTED


def _document(suspect: Suspect) -> dict[str, str]:
    return {
        "digest": suspect.digest.hex(),
        "state": _state(suspect),
        "stops": str(suspect.stops),
        "noted": moment_text(suspect.noted_ms),
        "terminal": suspect.terminal,
        "operation": suspect.operation,
    }
