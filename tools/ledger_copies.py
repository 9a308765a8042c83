"""`vafa ledger checkpoint`, `backup`, `restore`: what keeps a ledger when its disk is lost."""

from __future__ import annotations

import time
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from switch.keys import checkpoint_mac
from switch.ledger import Batch, Head
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
    cut_checkpoints,
    prepare,
    prepare_checkpoints,
    put_in_place,
    replay,
    summary_of,
)
from switch.ledger.checkpoint import CheckpointFile, Mac
from switch.ledger.history import TEHRAN, moment_text
from switch.ledger.opening import EngineKind, Place
from switch.ledger.reading import SqliteStore, Store
from switch.ledger.verify import verify
from switch.server.past_rules import FILE_NAME as PAST_RULES
from switch.server.past_rules import bring_over
from switch.settings import Settings, SettingsError, load_for
from tools.cli import CommandError, ExitCode
from tools.ledger_options import Config, Data, parse_moment, told, without_switch

DAY_MS = 86_400_000


def checkpoint(data: Data = None, config: Config = None) -> None:
    """Write a checkpoint now, of a ledger that no switch runs on; a running switch writes one every minute.

    Exit code 1: a switch runs.
    """
    with told():
        settings = load_for(data, config)
        settings.ledger_place.store().open().close()  # one that isn't there is not made
        with without_switch(settings, "it writes a checkpoint every minute by itself"):
            made = _checkpoint(settings)
    typer.echo(
        "nothing was added since the last checkpoint" if made is None else f"checkpoint {made} written"
    )


def _checkpoint(settings: Settings) -> int | None:
    with (
        checkpoint_mac(settings) as mac,
        closing(settings.ledger_place.open_engine(settings.seal_key)) as engine,
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
    """Copy ledger, checkpoints and remembered rules as they are at this moment; a switch may run.

    Keys are not in it: keep the settings and the key files elsewhere. Exit code 1: the copy was made and has
    problems. A ledger in PostgreSQL is backed up with PostgreSQL's own tools.
    """
    with told():
        settings = load_for(data, config)
        if settings.ledger_place.is_postgres:
            raise CommandError(
                "this ledger is in PostgreSQL, which has tools of its own for that",
                ExitCode.USAGE,
                "pg_dump --format=custom, or pg_basebackup; and copy ledger.checkpoints and program.rules",
            )
        with checkpoint_mac(settings) as mac:
            summary = back_up(settings.ledger_path, settings.checkpoint_path, directory, mac)
            # After the ledger: rules are in the file before an award is made under them.
            bring_over(directory / PAST_RULES, settings.data / PAST_RULES)
            typer.echo(f"{_of(summary)} copied to {directory}")
            if check:
                _check(SqliteStore(directory / LEDGER_NAME), directory / CHECKPOINTS_NAME, settings, mac)


def restore(
    source: Annotated[
        Path | None,
        typer.Option("--from", help="Directory that `backup` made; else the ledger that is there goes on."),
    ] = None,
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
    problems; nothing was changed. Without --from the ledger that is there is brought forward, and checkpoints
    that know more than it are kept aside: for one that PostgreSQL's own tools restored.
    """
    until_ms = _until(until)
    if until is not None and archive is None:
        raise CommandError("--until needs --archive", ExitCode.USAGE, "give the archive's directory")
    with told():
        settings = load_for(data, config)
        if source is not None and settings.ledger_place.is_postgres:
            raise CommandError(
                "this ledger is in PostgreSQL, which has tools of its own for that",
                ExitCode.USAGE,
                "restore the database with them, then the same command without --from",
            )
        wanted = _Wanted(archive, until_ms, check, force)
        with without_switch(settings, "stop it first"), checkpoint_mac(settings) as mac:
            if source is None:
                aside = _go_on(settings, wanted, mac)
            else:
                aside = _restore(settings, source, wanted, mac)
    for path in aside:
        typer.echo(f"kept aside: {path.name}")


class _Wanted(NamedTuple):
    """What `restore` is told beside the backup."""

    archive: Path | None
    until_ms: int | None
    check: bool
    force: bool


def _restore(settings: Settings, source: Path, wanted: _Wanted, mac: Mac) -> list[Path]:
    target = Target(settings.ledger_path, settings.checkpoint_path)
    try:
        summary = prepare(source, target)
        typer.echo(f"{_of(summary)} in the backup")
        if wanted.until_ms is not None and summary.newest_ms > wanted.until_ms:
            raise RestoreError(f"{source}: is of a later time than --until; take an older backup")
        summary = _forward(Place(EngineKind.SQLITE, target.making), settings, summary, wanted)
        if not wanted.force:
            check_replaceable(target, summary)
        prepare_checkpoints(target, source, summary, mac)
        if wanted.check:
            _check(SqliteStore(target.making), target.making_checkpoints, settings, mac)
        stamp = _stamp()
        aside = _bring_rules(settings, source, wanted, stamp)
        aside += put_in_place(target, stamp)
    except BaseException:
        abandon(target)
        raise
    typer.echo(f"{_of(summary)} restored")
    return aside


def _go_on(settings: Settings, wanted: _Wanted, mac: Mac) -> list[Path]:
    """Bring the ledger forward where it is."""
    place = settings.ledger_place
    summary = summary_of(place.store())
    typer.echo(f"{_of(summary)} in the ledger")
    if wanted.until_ms is not None and summary.newest_ms > wanted.until_ms:
        raise RestoreError("the ledger is of a later time than --until; restore an older backup")
    summary = _forward(place, settings, summary, wanted)
    stamp = _stamp()
    aside = _bring_rules(settings, None, wanted, stamp)
    aside += cut_checkpoints(settings.checkpoint_path, summary, mac, stamp, force=wanted.force)
    if wanted.check:
        _check(place.store(), settings.checkpoint_path, settings, mac)
    return aside


def _bring_rules(settings: Settings, backup: Path | None, wanted: _Wanted, stamp: str) -> list[Path]:
    """Add the rules that the restored awards were made under to those that are known. Returns what was kept
    aside: with --force the file that is there, when it is of another ledger. Raises RestoreError."""
    path, aside = settings.data / PAST_RULES, []
    sources = [place / PAST_RULES for place in (backup, wanted.archive) if place is not None]
    for again in (False, True):
        try:
            for source in sources:
                bring_over(path, source)
            break
        except SettingsError as error:
            if again or not wanted.force or not path.exists():
                raise RestoreError(f"{error}; nothing was put in place; --force keeps it aside") from None
            aside.append(path.with_name(f"{path.name}.before-{stamp}"))
            path.rename(aside[0])
    return aside


def _stamp() -> str:
    return datetime.now(TEHRAN).strftime("%Y%m%dT%H%M%S")


def _forward(place: Place, settings: Settings, summary: Summary, wanted: _Wanted) -> Summary:
    """Add what the archive has; the ledger as it is then."""
    if wanted.archive is None:
        return summary
    with closing(place.open_engine(settings.seal_key)) as engine:
        replayed = replay(engine, read_archive(wanted.archive, summary.ledger), wanted.until_ms)
    if replayed.entries:
        typer.echo(
            f"{replayed.entries} entries from the archive, the last of {moment_text(replayed.last_ms)}; every"
            " chain ends as archived"
        )
    else:
        typer.echo("the archive has nothing newer")
    return summary_of(place.store())


def _until(text: str | None) -> int | None:
    """A moment in milliseconds since 1970; the end of a day."""
    if text is None:
        return None
    moment = parse_moment(text)
    if moment.ms is not None:
        return moment.ms
    begin = datetime.fromisoformat(moment.date).replace(tzinfo=TEHRAN)
    return int(begin.timestamp() * 1000) + DAY_MS - 1


def _check(ledger: Store, checkpoints: Path, settings: Settings, mac: Mac) -> None:
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
