"""`vafa ledger migrate`: moves a ledger from its SQLite file to PostgreSQL, beside the running switch at
first."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from switch.ledger.opening import driver_needed, read_url
from switch.settings import POSTGRES, SQLITE, Settings, load_for
from tools.cli import CommandError, ExitCode
from tools.ledger_options import Config, Data, told, without_switch

if TYPE_CHECKING:
    from switch.ledger.migrate import Moved

TOLD_EVERY = 100_000  # entries


class Engine(StrEnum):
    """Where a ledger can be moved to."""

    POSTGRES = POSTGRES


def migrate(
    to: Annotated[Engine, typer.Option(help="Where to.")],
    url: Annotated[
        str, typer.Option(help="Connection string of an empty database or schema, without a password.")
    ] = "",
    url_file: Annotated[
        Path | None, typer.Option(help="File of mode 0600 with the connection string, password and all.")
    ] = None,
    finish: Annotated[
        bool, typer.Option("--finish", help="Copy the rest and make the new ledger the one.")
    ] = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Move the ledger as it is, seal for seal. Without --finish entries are copied beside the running switch,
    as often as you like; then stop the switch, give --finish, and name the database in the settings.

    The file is renamed, not removed. Exit code 1: a switch runs and --finish is given.

    \b
    Example:
      vafa ledger migrate --to postgres --url-file data/ledger.url
    """
    with told():
        settings = load_for(data, config)
        if settings.ledger.engine != SQLITE:
            raise CommandError(
                f'the settings name ledger.engine = "{settings.ledger.engine}" already',
                ExitCode.USAGE,
                f'a move begins, and is finished, with "{SQLITE}" in {settings.source}',
            )
        target = _target(url, url_file)
        if not finish:
            copied = _moved(settings, target, finish=False)
            typer.echo(f"{copied} entries copied; the switch may go on")
            typer.echo("next: the same again while there are many; then stop the switch and add --finish")
            return
        with without_switch(settings, "stop it, then finish the move"):
            moved = _moved(settings, target, finish=True)
    assert not isinstance(moved, int)
    typer.echo(f"{moved.entries} entries and {moved.members} members moved, every seal as it was")
    typer.echo(f"kept: {moved.kept.name}")
    typer.echo(f"set in {settings.source.name}:")
    named = f'url = "{url}"'
    if url_file is not None:
        named = f'url_file = "{os.path.relpath(url_file, settings.source.parent)}"'
    typer.echo(f'[ledger]\nengine = "{to}"\n{named}')


def _target(url: str, url_file: Path | None) -> str:
    if bool(url) == (url_file is not None):
        raise CommandError("where to? give one of --url, --url-file", ExitCode.USAGE)
    if url and (urlsplit(url).password or "password" in url):
        raise CommandError(
            "a password on the command line is seen by all users of this machine",
            ExitCode.USAGE,
            "write the connection string into a file of mode 0600 and give --url-file",
        )
    return read_url(url, url_file)


def _moved(settings: Settings, target: str, *, finish: bool) -> Moved | int:
    with driver_needed():
        from switch.ledger.migrate import migrate as move
    told_at = 0

    def tell(entries: int) -> None:
        nonlocal told_at
        if entries - told_at >= TOLD_EVERY:
            told_at = entries
            typer.echo(f"{entries} entries", err=True)

    return move(settings.ledger_path, target, settings.seal_key, finish=finish, progress=tell)
