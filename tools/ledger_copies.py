"""`vafa ledger checkpoint`, `backup`, `restore`: what keeps a ledger when its disk is lost."""

from __future__ import annotations

import time
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from switch.keys import checkpoint_mac
from switch.ledger import Batch, Head, LedgerUnavailable
from switch.ledger.archive import read_archive
from switch.ledger.backup import (
    CHECKPOINTS_NAME,
    LEDGER_NAME,
    RestoreError,
    Summary,
    Target,
    abandon,
    back_up,
    check_replaceable,
    prepare,
    prepare_checkpoints,
    put_in_place,
    replay,
    summary_of,
)
from switch.ledger.checkpoint import CheckpointFile, Mac
from switch.ledger.history import TEHRAN, moment_text
from switch.ledger.sqlite import SqliteEngine
from switch.ledger.verify import verify
from switch.settings import Settings, load_for
from tools.cli import CommandError, ExitCode
from tools.ledger_options import Config, Data, parse_moment, told, without_switch

DAY_MS = 86_400_000


def checkpoint(data: Data = None, config: Config = None) -> None:
    """Write a checkpoint now, of a ledger that no switch runs on; a running switch writes one every minute.

    Exit code 1: a switch runs.
    """
    with told():
        settings = load_for(data, config)
        if not settings.ledger_path.exists():
            raise LedgerUnavailable(f"{settings.ledger_path}: there is no ledger; start the switch once")
        with without_switch(settings, "it writes a checkpoint every minute by itself"):
            made = _checkpoint(settings)
    typer.echo(
        "nothing was added since the last checkpoint" if made is None else f"checkpoint {made} written"
    )


def _checkpoint(settings: Settings) -> int | None:
    with (
        checkpoint_mac(settings) as mac,
        closing(SqliteEngine(settings.ledger_path, settings.seal_key)) as engine,
    ):
        made = CheckpointFile(settings.checkpoint_path, mac).append(
            engine.heads(), time.time_ns() // 1_000_000
        )
        if made is None:
            return None
        engine.note_checkpoint(made.number, made.mac)
        engine.stage(Batch([]), engine.claim("vafa ledger checkpoint"))
        engine.sync()
        return made.number


def backup(
    directory: Annotated[Path, typer.Argument(help="Where to; it must hold no backup yet.")],
    check: Annotated[
        bool, typer.Option("--verify/--no-verify", help="Verify the copy; without it the copy is only whole.")
    ] = True,
    data: Data = None,
    config: Config = None,
) -> None:
    """Copy the ledger and its checkpoints as they are at this moment, beside a running switch or without.

    Keys are not in it: keep the settings and the key files elsewhere. Exit code 1: the copy was made and has
    problems.
    """
    with told():
        settings = load_for(data, config)
        with checkpoint_mac(settings) as mac:
            summary = back_up(settings.ledger_path, settings.checkpoint_path, directory, mac)
            typer.echo(f"{_of(summary)} copied to {directory}")
            if check:
                _check(directory / LEDGER_NAME, directory / CHECKPOINTS_NAME, settings, mac)


def restore(
    source: Annotated[Path, typer.Option("--from", help="Directory that `backup` made.")],
    archive: Annotated[Path | None, typer.Option(help="Archive directory: bring the backup forward.")] = None,
    until: Annotated[
        str | None,
        typer.Option(help="Only as far as a day (its end) or a moment, 2026-09-21T14:05 in Tehran."),
    ] = None,
    check: Annotated[
        bool, typer.Option("--verify/--no-verify", help="Verify before it is put in place.")
    ] = True,
    force: Annotated[
        bool, typer.Option(help="Also in place of a ledger that knows more, or another one.")
    ] = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Put a backup in the place of the ledger, brought forward from the archive as far as is asked for.

    What was there is kept aside, never overwritten. Exit code 1: a switch runs, or the restored ledger has
    problems; nothing was changed.
    """
    until_ms = _until(until)
    if until is not None and archive is None:
        raise CommandError("--until needs --archive", ExitCode.USAGE, "give the archive's directory")
    with told():
        settings = load_for(data, config)
        target = Target(settings.ledger_path, settings.checkpoint_path)
        with without_switch(settings, "stop it first"), checkpoint_mac(settings) as mac:
            try:
                aside = _restore(settings, target, source, archive, until_ms, mac, check=check, force=force)
            except BaseException:
                abandon(target)
                raise
    for path in aside:
        typer.echo(f"kept aside: {path.name}")


def _restore(
    settings: Settings,
    target: Target,
    source: Path,
    archive: Path | None,
    until_ms: int | None,
    mac: Mac,
    *,
    check: bool,
    force: bool,
) -> list[Path]:
    summary = prepare(source, target)
    typer.echo(f"{_of(summary)} in the backup")
    if until_ms is not None and summary.newest_ms > until_ms:
        raise RestoreError(f"{source}: is of a later time than --until; take an older backup")
    if archive is not None:
        _bring_forward(settings, target, summary, archive, until_ms)
        summary = summary_of(target.making)
    if not force:
        check_replaceable(target, summary)
    prepare_checkpoints(target, source, summary, mac)
    if check:
        _check(target.making, target.making_checkpoints, settings, mac)
    aside = put_in_place(target, datetime.now(TEHRAN).strftime("%Y%m%dT%H%M%S"))
    typer.echo(f"{_of(summary)} restored")
    return aside


def _bring_forward(
    settings: Settings, target: Target, summary: Summary, archive: Path, until_ms: int | None
) -> None:
    with closing(SqliteEngine(target.making, settings.seal_key)) as engine:
        replayed = replay(engine, read_archive(archive, summary.ledger), until_ms)
    if replayed.entries:
        typer.echo(
            f"{replayed.entries} entries from the archive, the last of {moment_text(replayed.last_ms)}; every"
            " chain ends as archived"
        )
    else:
        typer.echo("the archive has nothing newer")


def _until(text: str | None) -> int | None:
    """A moment in milliseconds since 1970; the end of a day."""
    if text is None:
        return None
    moment = parse_moment(text)
    if moment.ms is not None:
        return moment.ms
    begin = datetime.fromisoformat(moment.date).replace(tzinfo=TEHRAN)
    return int(begin.timestamp() * 1000) + DAY_MS - 1


def _check(ledger: Path, checkpoints: Path, settings: Settings, mac: Mac) -> None:
    report = verify(ledger, settings.seal_key, checkpoints, mac)
    if report.found:
        first = "\n".join(str(problem) for problem in report.problems[:10])
        raise CommandError(
            f"{ledger.name} has {report.found} problems, first:\n{first}",
            ExitCode.NEGATIVE,
            "take an older backup, and verify the ledger that it is of",
        )
    typer.echo(f"verified: {report.entries} entries, {report.members} members, as they were written")


def _of(summary: Summary) -> str:
    newest = f", the newest of {moment_text(summary.newest_ms)}" if summary.newest_ms else ""
    return f"{_count(summary.heads)} entries{newest}"


def _count(heads: tuple[Head, ...]) -> int:
    return sum(head.sequence for head in heads)
