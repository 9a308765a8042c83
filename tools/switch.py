"""`vafa switch`: run the switch, check its settings. Options in, exit codes out; the work is in
`switch.server`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from switch.defaults import create_defaults
from switch.registry import registered_terminals
from switch.settings import Settings, SettingsError, load, load_for

app = typer.Typer(no_args_is_help=True, help="Run the loyalty switch.")

EXIT_NETWORK, EXIT_CONFIGURATION = 3, 4

Config = Annotated[
    Path | None, typer.Option(help="Settings file (TOML). Without: those of the data directory.")
]
Data = Annotated[
    Path | None, typer.Option(help="Data directory. Default: data, or what the settings file says.")
]


@app.command()
def run(
    config: Config = None,
    data: Data = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Listen here; 0 takes any free port.")
    ] = None,
    buckets: Annotated[
        str | None, typer.Option(help="Own these buckets of the ledger instead, like 0-127 (docs/owners.md).")
    ] = None,
) -> None:
    """Serve terminals until SIGTERM or Ctrl-C.

    Example: vafa switch run --data data

    Without --config the data directory gets settings with random keys and ten demo terminals at its first
    start.
    """
    # The server's parts are imported here so that `vafa --help` stays quick.
    from switch.hsm_sim.process import harden
    from switch.server.log import open_log
    from switch.server.run import PortError, StartError, serve

    log = open_log()
    for what in harden():  # whichever adapter: the seal key and the directory key are here
        log.warning("not hardened", reason=what)
    try:
        settings = create_defaults(data or Path("data")) if config is None else load_for(data, config)
        if port is not None:
            settings = dataclasses.replace(
                settings, listener=dataclasses.replace(settings.listener, port=port)
            )
        if buckets is not None:
            settings = settings.with_buckets(buckets)
        code = serve(settings, log)
    except SettingsError as error:
        typer.echo(f"vafa switch run: {error}", err=True)
        raise typer.Exit(EXIT_CONFIGURATION) from None
    except StartError as error:
        typer.echo(f"vafa switch run: {error}", err=True)
        raise typer.Exit(EXIT_NETWORK if isinstance(error, PortError) else EXIT_CONFIGURATION) from None
    raise typer.Exit(code)


@app.command("check-config")
def check_config(config: Config = None, data: Data = None) -> None:
    """Read the settings and print what is in force, without keys.

    Example: vafa switch check-config --config switch.toml
    """
    try:
        settings = load(config) if config is not None and data is None else load_for(data, config)
        lines = _effective(settings)
    except SettingsError as error:
        typer.echo(f"vafa switch check-config: {error}", err=True)
        raise typer.Exit(EXIT_CONFIGURATION) from None
    for line in lines:
        typer.echo(line)


def _effective(settings: Settings) -> list[str]:
    from switch.server.partner_files import mapping_of  # here, for `vafa --help` needs nothing of it

    lines = [
        f"settings        {settings.source}",
        f"environment     {settings.environment}",
        f"data            {settings.data}",
    ]
    for entry in dataclasses.fields(settings.ledger):
        if entry.repr:  # the connection string may hold a password
            lines.append(f"ledger.{entry.name} = {_shown(getattr(settings.ledger, entry.name))}")
    for section in (settings.listener, settings.program, settings.hsm):
        name = type(section).__name__.lower().removesuffix("settings")
        for entry in dataclasses.fields(section):
            lines.append(f"{name}.{entry.name} = {_shown(getattr(section, entry.name))}")
    for partner in settings.partners:
        mapping = mapping_of(partner)
        state = "blocked" if partner.blocked else "in service"
        place = f"{partner.listener.host}:{partner.listener.port}"
        lines.append(f"partner {partner.name} at {place}, mapping {mapping.name}: {state}")
    for terminal in registered_terminals(settings):
        state = "blocked" if terminal.blocked else "in service"
        state = "acceptor blocked" if terminal.acceptor_blocked else state
        key = terminal.initial_key_id.hex().upper()
        lines.append(f"terminal {terminal.id} of acceptor {terminal.acceptor}, initial key {key}: {state}")
    return lines


def _shown(value: object) -> str:
    return str(value) if isinstance(value, Path) else repr(value)
