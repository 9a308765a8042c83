"""`vafa ledger`: looks at a ledger from outside, beside a running switch or without; never writes to it."""

from __future__ import annotations

import json
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from switch.hsm.port import HsmError
from switch.keys import KeysError, checkpoint_mac
from switch.ledger import LedgerUnavailable
from switch.ledger.verify import Report
from switch.ledger.verify import verify as verify_ledger
from switch.settings import SettingsError, load_for
from tools.cli import CommandError, ExitCode

app = typer.Typer(no_args_is_help=True)


class Format(StrEnum):
    """How a report is printed."""

    TEXT = "text"
    JSON = "json"


@app.callback()
def ledger() -> None:
    """Look at a ledger: its seals, its sums."""


@app.command()
def verify(
    data: Annotated[Path | None, typer.Option(help="Data directory that holds the ledger.")] = None,
    config: Annotated[
        Path | None, typer.Option(help="Settings file, when not the data directory's own.")
    ] = None,
    checkpoints: Annotated[
        Path | None,
        typer.Option(help="Checkpoint file to hold it against, e.g. a copy kept elsewhere."),
    ] = None,
    format: Annotated[Format, typer.Option(help="How to print the report.")] = Format.TEXT,
) -> None:
    """Check every row of the ledger against seals, sums and checkpoints; name each that is wrong.

    Exit code 0: nothing wrong; 1: problems, each printed; 4: the ledger or its keys can't be read.
    """
    try:
        settings = load_for(data, config)
        begun = time.monotonic()
        with checkpoint_mac(settings) as mac:
            report = verify_ledger(
                settings.ledger_path, settings.seal_key, checkpoints or settings.checkpoint_path, mac
            )
        seconds = time.monotonic() - begun
    except (SettingsError, KeysError, LedgerUnavailable, HsmError) as error:
        raise CommandError(str(error), ExitCode.CONFIGURATION) from None
    typer.echo(_as_json(report) if format is Format.JSON else _as_text(report, seconds))
    if report.found:
        raise typer.Exit(ExitCode.NEGATIVE)


def _as_json(report: Report) -> str:
    document = {
        "verified": not report.found,
        "entries": str(report.entries),
        "transfers": str(report.transfers),
        "postings": str(report.postings),
        "members": str(report.members),
        "checkpoints": str(report.checkpoints),
        "found": str(report.found),
        "problems": [problem._asdict() for problem in report.problems],
    }
    return json.dumps(document, ensure_ascii=False)


def _as_text(report: Report, seconds: float) -> str:
    lines = [str(problem) for problem in report.problems]
    if report.found > len(lines):
        lines.append(f"... and {report.found - len(lines)} more")
    lines.append(
        f"{report.entries} entries, {report.transfers} transfers, {report.postings} postings,"
        f" {report.members} members, {report.checkpoints} checkpoints read in {seconds:.1f} s"
    )
    lines.append(f"{report.found} problems" if report.found else "the ledger is as it was written")
    return "\n".join(lines)
