"""`vafa keys`: keys and certificates of terminals, partners and HSM.

No clear key is ever shown but a component in its ceremony, on its custodian's own letter. Every change takes
two officers and is logged.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from switch.hsm import KeyVersion
from switch.hsm.key_store import NAMES, uses_of
from switch.hsm.port import KeyAlgorithm, KeyUse
from switch.tls import Role
from tools import keys_authority, keys_ceremony, keys_inject, keys_place
from tools.cli import CommandError, ExitCode
from tools.keys_prompt import StandardPrompt, letter_printer
from tools.keys_room import KeyRoom

app = typer.Typer(help="Keys: ceremony, injection, rotation; certificates of a test authority.")
officer_app = typer.Typer(help="The officers who agree to every change of keys.", no_args_is_help=True)
app.add_typer(officer_app, name="officer")

Result = TypeVar("Result")

Data = Annotated[Path | None, typer.Option(help="The switch's data directory. Default: data.")]
Config = Annotated[Path | None, typer.Option(help="The switch's settings file.")]
Name = Annotated[str, typer.Argument(help="One of: " + "; ".join(shown for shown, _, _ in NAMES))]
Under = Annotated[str, typer.Option(help="The zone key that protects the block, e.g. zone/BANK/zmk.")]
Algorithm = Annotated[str, typer.Option(help=", ".join(algorithm.name for algorithm in KeyAlgorithm))]
Use = Annotated[str | None, typer.Option(help="What the key is for, where its name leaves a choice.")]

# Zone keys are made here and given to the partner; all others stay in the HSM for good.
EXPORTABLE = ("zone/",)


@app.callback()
def _group() -> None:
    """Keys: ceremony, injection, rotation; certificates of a test authority."""


# ---------------------------------------------------------------- what is there


@app.command("list")
def list_keys(
    data: Data = None,
    config: Config = None,
    format: Annotated[str, typer.Option(help="text or json")] = "text",
) -> None:
    """Every key's versions, states and check values; never a key.

    \b
    Example:
      vafa keys list --format json
    """
    if format not in ("text", "json"):
        raise CommandError(f"--format {format!r}: expected text or json", ExitCode.USAGE)
    store = keys_place.store_of(data, config)
    versions = [version for name in store.names() for version in store.versions(name)]
    if format == "json":
        typer.echo(json.dumps([_as_json(version) for version in versions], ensure_ascii=False, indent=1))
        return
    for version in versions:
        officers = ", ".join(version.officers) or "-"
        typer.echo(
            f"{version.name:32} v{version.version:<3} {version.state.value:8} {version.algorithm.name:8} "
            f"KCV {version.check_value}  {version.created}  {officers}"
        )


@app.command("log")
def show_log(data: Data = None, config: Config = None) -> None:
    """The sealed log of key changes; a changed, missing or cut-off line is an error."""

    async def show(room: KeyRoom) -> None:
        for line in room.log_lines():
            typer.echo(line)

    _in_room(data, config, show)


@officer_app.command("add")
def add_officer(data: Data = None, config: Config = None) -> None:
    """Name one more officer; the first two are named together."""

    async def add(room: KeyRoom) -> None:
        for name in room.officers.add(StandardPrompt()):
            room.record("officer", (), name=name)
            typer.echo(f"{name} is an officer")

    _in_room(data, config, add)


@officer_app.command("list")
def list_officers(data: Data = None, config: Config = None) -> None:
    """Their names."""

    async def show(room: KeyRoom) -> None:
        for name in room.officers.names():
            typer.echo(name)

    _in_room(data, config, show)


# ---------------------------------------------------------------- changes


@app.command("generate")
def generate(
    name: Name,
    algorithm: Algorithm = KeyAlgorithm.AES_128.name,
    use: Use = None,
    data: Data = None,
    config: Config = None,
) -> None:
    """Make a key in the HSM under a name that has none yet.

    \b
    Example:
      vafa keys generate zone/BANK/mac-send
    """

    async def make(room: KeyRoom) -> None:
        if room.store.versions(name):
            raise CommandError(f"{name} exists", ExitCode.USAGE, f"a new version: vafa keys rotate {name}")
        kind, chosen = _use_of(name, use), _algorithm(algorithm)
        officers = room.officers.two(StandardPrompt(), f"making {name}")
        _tell(await room.generate(name, kind, chosen, officers, exportable=name.startswith(EXPORTABLE)))

    _in_room(data, config, make)


@app.command("rotate")
def rotate(name: Name, data: Data = None, config: Config = None) -> None:
    """Make a new version of a key; the one so far is retired and still understood where that is safe.

    \b
    Example:
      vafa keys rotate zone/BANK/pin-send
    """

    async def make(room: KeyRoom) -> None:
        versions = room.store.versions(name)
        if not versions:
            raise CommandError(f"no key {name!r}", ExitCode.USAGE, f"make it: vafa keys generate {name}")
        for prefix, instead in keys_place.NOT_ROTATED.items():
            if name.startswith(prefix):
                raise CommandError(f"{name} can't be rotated in place", ExitCode.USAGE, instead)
        officers = room.officers.two(StandardPrompt(), f"rotating {name}")
        last = versions[-1]
        exportable = name.startswith(EXPORTABLE)
        _tell(await room.generate(name, last.use, last.algorithm, officers, exportable=exportable))

    _in_room(data, config, make)


@app.command("export")
def export(name: Name, under: Under, data: Data = None, config: Config = None) -> None:
    """Print a key as an X9.143 block for the partner who shares the zone key.

    \b
    Example:
      vafa keys export zone/BANK/mac-send --under zone/BANK/zmk
    """

    async def give(room: KeyRoom) -> None:
        room.key(name), room.key(under)
        officers = room.officers.two(StandardPrompt(), f"exporting {name}")
        exported = await room.give(name, under, officers)
        typer.echo(exported.block)
        typer.echo(f"check value {exported.check_value}", err=True)

    _in_room(data, config, give)


@app.command("import")
def import_key(
    name: Name,
    under: Under,
    block: Annotated[str, typer.Option(help="The X9.143 block, or - for the standard input.")] = "-",
    algorithm: Algorithm = KeyAlgorithm.AES_128.name,
    use: Use = None,
    data: Data = None,
    config: Config = None,
) -> None:
    """Take a partner's key out of its X9.143 block.

    \b
    Example:
      vafa keys import zone/BANK/mac-receive --under zone/BANK/zmk --block D0112M6...
    """

    async def take(room: KeyRoom) -> None:
        kind, chosen = _use_of(name, use), _algorithm(algorithm)
        room.key(under)
        text = sys.stdin.readline().strip() if block == "-" else block
        officers = room.officers.two(StandardPrompt(), f"importing {name}")
        _tell(await room.take(name, text, under, kind, chosen, officers))

    _in_room(data, config, take)


@app.command("revoke")
def revoke(
    name: Name,
    version: Annotated[int, typer.Option(min=1, help="Which version; see vafa keys list.")],
    data: Data = None,
    config: Config = None,
) -> None:
    """Take a version out of use for good."""

    async def end(room: KeyRoom) -> None:
        if version not in [known.version for known in room.store.versions(name)]:
            raise CommandError(f"no version {version} of {name!r}", ExitCode.USAGE, "see: vafa keys list")
        officers = room.officers.two(StandardPrompt(), f"revoking {name} v{version}")
        _tell(room.revoke(name, version, officers))

    _in_room(data, config, end)


@app.command("ceremony")
def ceremony(
    name: Name,
    custodian: Annotated[list[str], typer.Option(help="A custodian's name; two or three of them.")],
    enter: Annotated[
        bool, typer.Option("--enter", help="Type components in from letters, instead of making them.")
    ] = False,
    letters: Annotated[
        Path | None, typer.Option(help="A printer's device for the letters. Default: this terminal.")
    ] = None,
    algorithm: Algorithm = KeyAlgorithm.AES_256.name,
    use: Use = None,
    data: Data = None,
    config: Config = None,
) -> None:
    """Form a key out of three components that no one person ever has together.

    \b
    Example:
      vafa keys ceremony zone/BANK/zmk --custodian "A. Rahimi" --custodian "S. Karimi"
    """

    async def form(room: KeyRoom) -> None:
        kind, chosen = _use_of(name, use), _algorithm(algorithm)
        keys_ceremony.check_custodians(custodian)
        printer = None if enter else letter_printer(letters)
        prompt = StandardPrompt()
        officers = room.officers.two(prompt, f"the ceremony of {name}")
        shares = []
        for number in range(1, keys_ceremony.COMPONENTS + 1):
            owner = keys_ceremony.component_owner(custodian, number)
            if printer is None:
                share = keys_ceremony.take_in(prompt, chosen, number, owner)
            else:
                fresh = await room.hsm.random(chosen.value[1])
                share = keys_ceremony.make_share(fresh, chosen, number, owner)
                keys_ceremony.hand_out(prompt, printer, name, share, chosen)
            shares.append(share)
        components = [share.component for share in shares]
        added = await room.form(name, kind, chosen, components, custodian, officers)
        for line in keys_ceremony.report(shares, added.check_value, chosen):
            typer.echo(line)
        _tell(added)

    _in_room(data, config, form)


@app.command("inject")
def inject(
    terminal: Annotated[str, typer.Option(help="The terminal's id, DE 41.")],
    port: Annotated[Path, typer.Option(help="The serial device that its service port is on.")],
    replace: Annotated[
        bool, typer.Option("--replace", help="Load new keys into a terminal that has some.")
    ] = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Derive a terminal's initial key in the HSM and load it over the serial line.

    \b
    Example:
      vafa keys inject --terminal 10000001 --port /dev/ttyUSB0
    """

    async def load(room: KeyRoom) -> None:
        place = keys_place.terminal_of(data, config, terminal)
        with keys_inject.SerialLine(port) as line:
            found = keys_inject.identify(line)
            if found.identifier != terminal:
                raise CommandError(
                    f"on {port} is terminal {found.identifier}, not {terminal}",
                    ExitCode.NEGATIVE,
                    "check the cable",
                )
            if found.transport_check_value != room.key(f"transport/{terminal}").check_value:
                raise CommandError(
                    f"terminal {terminal} has another transport key than the store",
                    ExitCode.NEGATIVE,
                    "flash the settings that this switch made for it",
                )
            if found.loaded and not replace:
                raise CommandError(
                    f"terminal {terminal} has keys", ExitCode.USAGE, "give --replace to load new ones"
                )
            officers = room.officers.two(StandardPrompt(), f"loading keys into terminal {terminal}")
            made = await room.derive(terminal, place.initial_key_id, place.last_counter)
            check_value = made.exported.check_value
            keys_inject.load(line, terminal, made.serial, check_value, made.exported.block)
        room.record("inject", officers, terminal=terminal, ksn=made.serial, check_value=check_value)
        names = ", ".join(officers)
        typer.echo(f"terminal {terminal}: KSN {made.serial}, KCV {check_value}, officers {names}")

    _in_room(data, config, load)


# ---------------------------------------------------------------- certificates


@app.command("ca")
def certificates(
    directory: Annotated[Path, typer.Argument(help="Where the authority and its certificates are.")],
    terminal: Annotated[list[str] | None, typer.Option(help="A terminal's certificate: DE 41.")] = None,
    partner: Annotated[list[str] | None, typer.Option(help="A partner's certificate: its name.")] = None,
    switch: Annotated[list[str] | None, typer.Option(help="A switch's certificate: its name.")] = None,
    hsm: Annotated[list[str] | None, typer.Option(help="An HSM's certificate: its name.")] = None,
    address: Annotated[
        list[str] | None,
        typer.Option(help="Name or IP address of the servers issued now. Default: localhost, 127.0.0.1."),
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


# ---------------------------------------------------------------- shared by the commands


def _in_room(data: Path | None, config: Path | None, work: Callable[[KeyRoom], Awaitable[Result]]) -> Result:
    async def run() -> Result:
        async with keys_place.room_of(data, config) as room:
            return await work(room)

    return asyncio.run(run())


def _tell(version: KeyVersion) -> None:
    typer.echo(
        f"{version.name} v{version.version}: {version.state.value}, {version.algorithm.name}, "
        f"KCV {version.check_value}"
    )


def _algorithm(text: str) -> KeyAlgorithm:
    try:
        return KeyAlgorithm[text.upper()]
    except KeyError:
        known = ", ".join(algorithm.name for algorithm in KeyAlgorithm)
        raise CommandError(f"--algorithm {text!r}: expected one of {known}", ExitCode.USAGE) from None


def _use_of(name: str, asked: str | None) -> KeyUse:
    allowed = uses_of(name)
    if not allowed:
        shown = ", ".join(shown for shown, _, _ in NAMES)
        raise CommandError(f"no key is called {name!r}", ExitCode.USAGE, f"names are {shown}")
    if asked is None:
        return allowed[0]
    for use in allowed:
        if use.name == asked.upper():
            return use
    known = ", ".join(use.name for use in allowed)
    raise CommandError(f"--use {asked!r}: a key of this name is for {known}", ExitCode.USAGE)


def _as_json(version: KeyVersion) -> dict[str, object]:
    return {
        "name": version.name,
        "version": version.version,
        "state": version.state.value,
        "use": version.use.name,
        "algorithm": version.algorithm.name,
        "check_value": version.check_value,
        "created": version.created,
        "officers": list(version.officers),
    }
