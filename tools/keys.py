"""`vafa keys`: certificates and keys of terminals, partners and HSM. No clear key is ever printed but in the
ceremony, on its custodian's own letter."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from switch.tls import Role
from tools import keys_authority
from tools.cli import CommandError, ExitCode

app = typer.Typer(help="Keys: ceremony, injection, rotation; certificates of a test authority.")


@app.callback()
def _group() -> None:
    """Keys: ceremony, injection, rotation; certificates of a test authority."""


@app.command("ca")
def certificates(
    directory: Annotated[Path, typer.Argument(help="Where the authority and its certificates are.")],
    terminal: Annotated[
        list[str] | None, typer.Option(help="A terminal's client certificate: DE 41.")
    ] = None,
    partner: Annotated[
        list[str] | None, typer.Option(help="A bank's or partner's certificate: its name.")
    ] = None,
    switch: Annotated[list[str] | None, typer.Option(help="A switch's certificate: its name.")] = None,
    hsm: Annotated[list[str] | None, typer.Option(help="An HSM's certificate: its name.")] = None,
    address: Annotated[
        list[str] | None,
        typer.Option(
            help="Host name or IP address of the servers issued now. Default: localhost, 127.0.0.1."
        ),
    ] = None,
    days: Annotated[
        int, typer.Option(min=1, max=keys_authority.LONGEST_DAYS, help="How long they live.")
    ] = 90,
) -> None:
    """Make a test authority, issue certificates, list them with their ends.

    \b
    Example:
      vafa keys ca tls --switch main --terminal 10000001 --terminal 10000002
      vafa keys ca tls                   what is there, and what ends soon
    """
    now = datetime.now(UTC)
    wanted = [
        keys_authority.check_name(role, name)
        for role, names in (
            (Role.SWITCH, switch),
            (Role.HSM, hsm),
            (Role.PARTNER, partner),
            (Role.TERMINAL, terminal),
        )
        for name in names or []
    ]
    if address and not any(peer.role is not Role.TERMINAL for peer in wanted):
        raise CommandError("--address without a server", ExitCode.USAGE, "add --switch, --hsm or --partner")
    authority, made = keys_authority.open_authority(directory, now)
    if made:
        typer.echo(f"made the authority {directory / 'authority.crt'}")
    servers = address or ["localhost", "127.0.0.1"]
    for peer in wanted:
        addresses = [] if peer.role is Role.TERMINAL else servers
        path = keys_authority.issue(directory, authority, peer, addresses, now, days)
        typer.echo(f"issued {path}")
    if not wanted:
        for line in keys_authority.listed(directory, now):
            typer.echo(line)
