"""`vafa ledger`: checks a ledger, tells what is in it, copies it and puts it back.

All but `checkpoint`, `restore`, `migrate`, `quarantine clear` and the corrections only read, beside a running
switch or without.
"""

from __future__ import annotations

import json
import time
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import Annotated

import typer

from switch.authorizer.identity import parse_rrn
from switch.keys import checkpoint_mac
from switch.ledger.checkpoint import RegistryHead
from switch.ledger.history import member_of_entry
from switch.ledger.verify import Problem, Report, verify_member, verify_since_checkpoint
from switch.ledger.verify import verify as verify_ledger
from switch.registry import read
from switch.settings import Settings, load_for
from tools.cli import CommandError, ExitCode
from tools.corrections import approve, correct, corrections, refuse
from tools.ledger_copies import backup, checkpoint, restore
from tools.ledger_migrate import migrate
from tools.ledger_options import Config, Data, reading_of, told
from tools.ledger_quarantine import app as quarantine
from tools.ledger_statement import balance, export, statement

app = typer.Typer(no_args_is_help=True)


class Format(StrEnum):
    """How a report is printed."""

    TEXT = "text"
    JSON = "json"


@app.callback()
def ledger() -> None:
    """Check a ledger, tell what is in it, copy it and put it back."""


@app.command()
def verify(
    data: Data = None,
    config: Config = None,
    checkpoints: Annotated[
        Path | None,
        typer.Option(help="Checkpoint file to hold it against, e.g. a copy kept elsewhere."),
    ] = None,
    since_checkpoint: Annotated[
        bool, typer.Option(help="Only what came after the last checkpoint: quick, and blind to the rest.")
    ] = False,
    member: Annotated[int | None, typer.Option(help="Only this member, along its entries.")] = None,
    rrn: Annotated[str | None, typer.Option(help="Only the member of this entry (DE 37).")] = None,
    processes: Annotated[
        int | None, typer.Option(min=1, help="How many; else one a core, one for a small ledger.")
    ] = None,
    format: Annotated[Format, typer.Option(help="How to print the report.")] = Format.TEXT,
) -> None:
    """Check every row of the ledger against seals, entries and checkpoints; name each that is wrong, the
    first one first.

    Exit code 0: nothing wrong; 1: problems, each printed; 4: the ledger or its keys can't be read.
    """
    if sum((since_checkpoint, member is not None, rrn is not None)) > 1:
        raise CommandError("give one of --since-checkpoint, --member, --rrn", ExitCode.USAGE)
    if rrn is not None:
        member = _member_of(rrn, data, config)
    begun = time.monotonic()
    with told():
        settings = load_for(data, config)
        store, key = settings.ledger_place.store(), settings.seal_key
        if member is not None:
            report = verify_member(store, key, member)
        else:
            file = checkpoints or settings.checkpoint_path
            with checkpoint_mac(settings) as mac:
                if since_checkpoint:
                    report = verify_since_checkpoint(store, key, file, mac)
                else:
                    report = verify_ledger(store, key, file, mac, processes=processes)
            _compare_registry(settings, report)
    typer.echo(_as_json(report) if format is Format.JSON else _as_text(report, time.monotonic() - begun))
    if report.found:
        raise typer.Exit(ExitCode.NEGATIVE)


def _compare_registry(settings: Settings, report: Report) -> None:
    """A registry that was put back with its log shows itself only against what a checkpoint knew."""
    if report.registry is None:
        return
    registry, known = read(settings).registry, report.registry
    now = RegistryHead(registry.changes, sha256(registry.last.encode()).hexdigest())
    log = settings.registry_log_path.read_bytes().splitlines() if known.changes < now.changes else []
    then = sha256(log[known.changes - 1]).hexdigest() if 0 < known.changes <= len(log) else known.last
    if now.is_behind(known) or then != known.last:
        what = (
            f"has {now.changes} changes, the last checkpoint knew {report.registry.changes} or others:"
            " an older copy was put back with its log"
        )
        report.found += 1
        report.problems.append(Problem("registry", "", what))


def _member_of(rrn: str, data: Path | None, config: Path | None) -> int:
    try:
        _bucket, entry = parse_rrn(rrn.upper())
    except ValueError as error:
        raise CommandError(f"{rrn!r}: {error}", ExitCode.USAGE, "copy it from the receipt") from None
    with reading_of(data, config) as (_, reading):
        member = member_of_entry(reading, entry)
    if not member:
        raise CommandError(f"no member has an entry {rrn}", ExitCode.NEGATIVE)
    return member


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
        "warnings": report.warnings,
    }
    return json.dumps(document, ensure_ascii=False)


def _as_text(report: Report, seconds: float) -> str:
    lines = [str(problem) for problem in report.problems]
    if report.found > len(lines):
        lines.append(f"... and {report.found - len(lines)} more")
    lines += (f"note: {warning}" for warning in report.warnings)
    lines.append(
        f"{report.entries} entries, {report.transfers} transfers, {report.postings} postings,"
        f" {report.members} members, {report.checkpoints} checkpoints read in {seconds:.1f} s"
    )
    lines.append(f"{report.found} problems" if report.found else "the ledger is as it was written")
    return "\n".join(lines)


for command in (statement, balance, export, checkpoint, backup, restore, migrate):
    app.command()(command)
for correction in (correct, approve, refuse, corrections):
    app.command()(correction)
app.add_typer(quarantine, name="quarantine")
