"""`vafa keys`: keys and certificates of terminals, partners and HSM.

No clear key is ever shown but a component in its ceremony, on its custodian's own letter. Every change takes
two officers and is logged.
"""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, NoReturn, TypeVar

import typer

from switch.hsm import KeyState, KeyVersion
from switch.hsm.inputs import ALGORITHMS
from switch.hsm.key_store import NAMES, how_to_make, uses_of
from switch.hsm.port import KeyAlgorithm, KeyUse
from switch.hsm_sim.process import harden
from switch.settings import load_for
from switch.tls import Role
from tools import keys_cards, keys_ceremony, keys_change, keys_inject, keys_place
from tools.cli import CommandError, ExitCode
from tools.keys_officers import NotAgreed
from tools.keys_prompt import StandardPrompt, letter_printer
from tools.keys_room import LOADED, NOT_REVOKED, KeyRoom, ask

app = typer.Typer(help="Keys: ceremony, injection, rotation; certificates of a test authority.")
officer_app = typer.Typer(help="The officers who agree to every change of keys.", no_args_is_help=True)
app.add_typer(officer_app, name="officer")

Choice = TypeVar("Choice", KeyUse, KeyAlgorithm)

Data = Annotated[Path | None, typer.Option(help="The switch's data directory. Default: data.")]
Config = Annotated[Path | None, typer.Option(help="The switch's settings file.")]
Name = Annotated[str, typer.Argument(help="One of: " + "; ".join(shown for shown, _, _ in NAMES))]
Under = Annotated[
    str | None, typer.Option(help="The zone key that protects the block. Default: the partner's, zone/…/zmk.")
]
Algorithm = Annotated[
    str | None,
    typer.Option(help=", ".join(algorithm.name for algorithm in KeyAlgorithm) + ". Default: by the name."),
]
Use = Annotated[str | None, typer.Option(help="What the key is for, where its name leaves a choice.")]

LONGEST_DAYS = 825  # of a certificate: what TLS stacks still take for a leaf
SHARED = "zone/"  # these are shared with a partner; all others stay in the HSM for good
SHARED_WHOLE = (KeyUse.ZONE, KeyUse.TRANSPORT)  # somebody else needs them, and no block can carry them
PREFERRED = {KeyUse.ZONE: KeyAlgorithm.AES_256}  # it is to outlive the keys under it


MOST_SHOWN = 10  # terminals in one message; a network has thousands
HIDDEN_IN_TEXT = ("n", "time", "what", "file", "seal")


@app.callback()
def _group() -> None:
    """Keys: ceremony, injection, rotation; certificates of a test authority."""
    for what in harden():
        typer.echo(f"warning: {what}", err=True)


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
    _check_format(format)
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
def show_log(
    format: Annotated[str, typer.Option(help="text or json")] = "text",
    data: Data = None,
    config: Config = None,
) -> None:
    """The sealed log of key changes; a changed, missing or cut-off line is an error.

    \b
    Example:
      vafa keys log
    """
    _check_format(format)

    async def show(room: KeyRoom) -> None:
        for record in room.log_records():
            if format == "json":
                typer.echo(json.dumps(record, ensure_ascii=False))
                continue
            details = [f"{name} {record[name]}" for name in record if name not in HIDDEN_IN_TEXT]
            typer.echo(f"{record['n']:4}  {record['time'][:19]}Z  {record['what']:16} {', '.join(details)}")

    _in_room(data, config, show)


@officer_app.command("add")
def add_officer(data: Data = None, config: Config = None) -> None:
    """Name one more officer; the first two are named together.

    \b
    Example:
      vafa keys officer add
    """

    async def add(room: KeyRoom) -> None:
        change = room.officers.added(StandardPrompt())
        room.change_officers("officer-added", change)
        for name in change.names:
            typer.echo(f"{name} is an officer")

    _in_room(data, config, add)


@officer_app.command("remove")
def remove_officer(
    name: Annotated[str, typer.Argument(help="Who is no officer any more.")],
    data: Data = None,
    config: Config = None,
) -> None:
    """Take an officer out; two have to be left.

    \b
    Example:
      vafa keys officer remove "A. Rahimi"
    """

    async def remove(room: KeyRoom) -> None:
        room.change_officers("officer-removed", room.officers.removed(StandardPrompt(), name))
        typer.echo(f"{name} is no officer any more")

    _in_room(data, config, remove)


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
    name: Name, algorithm: Algorithm = None, use: Use = None, data: Data = None, config: Config = None
) -> None:
    """Make a key in the HSM under a name that has none in use.

    \b
    Example:
      vafa keys generate zone/BANK/mac-send
    """

    async def make(room: KeyRoom) -> None:
        kind, chosen = _kind_of(name, use, algorithm)
        if kind in SHARED_WHOLE:
            raise CommandError(f"{name} is shared", ExitCode.USAGE, f"form it: vafa keys ceremony {name}")
        if room.is_active(name):
            raise CommandError(f"{name} exists", ExitCode.USAGE, f"a new version: vafa keys rotate {name}")
        room.check_replaceable(name)
        officers = room.officers.two(StandardPrompt(), f"making {name}")
        _tell(room, await room.generate(name, kind, chosen, officers, "generate"))

    _in_room(data, config, make)


@app.command("rotate")
def rotate(name: Name, data: Data = None, config: Config = None) -> None:
    """Make a new version of a key; the one so far is retired.

    \b
    Example:
      vafa keys rotate zone/BANK/pin-send
    """

    async def make(room: KeyRoom) -> None:
        if not room.is_active(name):
            raise CommandError(f"no key {name!r} in use", ExitCode.USAGE, f"make it: {how_to_make(name)}")
        room.check_replaceable(name)
        last = next(one for one in room.store.versions(name) if one.state is KeyState.ACTIVE)
        if last.use in SHARED_WHOLE:
            raise CommandError(f"{name} is shared", ExitCode.USAGE, f"form it: vafa keys ceremony {name}")
        officers = room.officers.two(StandardPrompt(), f"rotating {name}")
        _tell(room, await room.generate(name, last.use, last.algorithm, officers, "rotate"))

    _in_room(data, config, make)


@app.command("change")
def change(name: Name, data: Data = None, config: Config = None) -> None:
    """Have the switch that runs here change a key with the partner, by 0800; no message is lost meanwhile.

    \b
    Example:
      vafa keys change zone/BANK/mac-send
    """
    settings = load_for(data, config)
    partner, kind = keys_change.check_changeable(settings, name)

    async def agree(room: KeyRoom) -> None:
        if not room.is_serving:
            raise CommandError(
                "no switch runs here", ExitCode.USAGE, "start it: the partner hears of it there"
            )
        officers = room.officers.two(StandardPrompt(), f"changing {name}")
        room.record("change", officers, partner_key=name)

    _in_room(data, config, agree)
    told = keys_change.outcome_of(keys_change.asked(settings, partner, kind))
    typer.echo(f"{name} v{told['version']}: active, KCV {told['check_value']}")


@app.command("export")
def export(name: Name, under: Under = None, data: Data = None, config: Config = None) -> None:
    """Print a partner's key as an X9.143 block under the zone key that the partner shares.

    \b
    Example:
      vafa keys export zone/BANK/mac-send
    """

    async def give(room: KeyRoom) -> None:
        if not name.startswith(SHARED):
            raise CommandError(f"{name} never leaves the HSM", ExitCode.USAGE, "only zone/… keys are shared")
        zone = _zone_key(room, name, under)
        room.key(name)
        officers = room.officers.two(StandardPrompt(), f"exporting {name}")
        exported = await room.give(name, zone, officers)
        typer.echo(exported.block)
        typer.echo(f"{name}: under {zone}, KCV {exported.check_value}", err=True)

    _in_room(data, config, give)


@app.command("import")
def import_key(
    name: Name,
    under: Under = None,
    block: Annotated[str, typer.Option(help="The block, or - to be asked for it.")] = "-",
    token: Annotated[
        bool, typer.Option("--token", help="The block is the HSM's own, under its master key.")
    ] = False,
    algorithm: Algorithm = None,
    use: Use = None,
    data: Data = None,
    config: Config = None,
) -> None:
    """Take a partner's key out of its X9.143 block.

    \b
    Example:
      vafa keys import zone/BANK/mac-receive --block D0112M6AC00E0000...
    """

    async def take(room: KeyRoom) -> None:
        kind, chosen = _kind_of(name, use, algorithm)
        if token and under:
            raise CommandError("--token and --under exclude each other", ExitCode.USAGE, "give one of them")
        room.check_replaceable(name)
        zone = None if token else _zone_key(room, name, under)
        prompt = StandardPrompt()
        text = prompt.ask("block") if block == "-" else block.strip()
        # A block says its usage and algorithm behind version and length; a token has its scheme before that.
        letter = text[8:9] if token else text[7:8]
        if letter not in ("", chosen.value[0]):
            raise CommandError(
                f"the block holds no {chosen.name} key", ExitCode.NEGATIVE, "say which: --algorithm"
            )
        officers = room.officers.two(prompt, f"importing {name}")
        _tell(room, await room.take(name, text, zone, kind, chosen, officers))

    _in_room(data, config, take)


@app.command("revoke")
def revoke(
    name: Name,
    version: Annotated[int, typer.Option(min=1, help="Which version; see vafa keys list.")],
    force: Annotated[
        bool, typer.Option("--force", help="Also a BDK that registered terminals depend on.")
    ] = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Take a version out of use for good.

    \b
    Example:
      vafa keys revoke zone/BANK/mac-send --version 1
    """

    async def end(room: KeyRoom) -> None:
        if name in NOT_REVOKED:
            raise CommandError(
                f"{name} can't be revoked", ExitCode.USAGE, "what it sealed could not be checked"
            )
        found = next((one for one in room.store.versions(name) if one.version == version), None)
        if found is None or found.state is KeyState.REVOKED:
            state = (
                f"version {version} of {name!r} is revoked" if found else f"no version {version} of {name!r}"
            )
            raise CommandError(state, ExitCode.USAGE, "see: vafa keys list")
        if found.state is KeyState.ACTIVE:
            _check_dependants(name, keys_place.terminals_under(data, config, name), force)
        officers = room.officers.two(StandardPrompt(), f"revoking {name} v{version}")
        _tell(room, room.revoke(name, version, officers))

    _in_room(data, config, end)


@app.command("ceremony")
def ceremony(
    name: Name,
    custodian: Annotated[list[str], typer.Option(help="A custodian's name; two or three of them.")],
    enter: Annotated[
        bool, typer.Option("--enter", help="Type components in from letters, instead of making them.")
    ] = False,
    letters: Annotated[
        Path | None, typer.Option(help="A printer's device for the letters. Default: the standard output.")
    ] = None,
    algorithm: Algorithm = None,
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
        kind, chosen = _kind_of(name, use, algorithm)
        keys_ceremony.check_custodians(custodian)
        room.check_forming()
        room.check_replaceable(name)
        prompt = StandardPrompt()
        with nullcontext() if enter else letter_printer(letters) as printer:
            officers = room.officers.two(prompt, f"the ceremony of {name}")
            shares: list[keys_ceremony.Share] = []
            for number in range(1, keys_ceremony.COMPONENTS + 1):
                owner = keys_ceremony.component_owner(custodian, number)
                if printer is None:
                    share = keys_ceremony.take_in(prompt, chosen, number, owner, shares)
                else:
                    fresh = await ask(room.hsm.random(chosen.value[1]))
                    share = keys_ceremony.make_share(fresh, chosen, number, owner)
                    keys_ceremony.hand_out(prompt, printer, name, share, chosen)
                shares.append(share)
        added = room.form(name, kind, chosen, [one.component for one in shares], custodian, officers)
        for line in keys_ceremony.report(shares, added.check_value, chosen):
            typer.echo(line)
        _tell(room, added)

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
        transport = room.key(f"transport/{terminal}")
        with keys_inject.SerialLine(port) as line:
            found = keys_inject.identify(line)
            if found.identifier != terminal:
                raise CommandError(
                    f"on {port} is terminal {found.identifier}, not {terminal}",
                    ExitCode.NEGATIVE,
                    "check the cable",
                )
            if found.transport_check_value != transport.check_value:
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
            made = await keys_inject.load(
                line, lambda: room.derive(terminal, place.initial_key_id, place.last_counter, officers)
            )
        check_value = made.exported.check_value
        room.record(LOADED, officers, terminal=terminal, ksn=made.serial, check_value=check_value)
        names = ", ".join(officers)
        typer.echo(f"terminal {terminal}: KSN {made.serial}, KCV {check_value}, officers {names}")

    _in_room(data, config, load)


@app.command("card-value")
def card_value(
    expiry: Annotated[str, typer.Option(help="Expiry on track 2: YYMM.")],
    service: Annotated[str, typer.Option(help="Service code on track 2: three digits.")],
    card: Annotated[
        list[str] | None,
        typer.Option(help="A card number; others can see it, prefer --cards."),
    ] = None,
    cards: Annotated[Path | None, typer.Option(help="A file of card numbers, one a line.")] = None,
    format: Annotated[str, typer.Option(help="text or json")] = "text",
    data: Data = None,
    config: Config = None,
) -> None:
    """Make the verification values that cards are written with, in the order of the cards.

    \b
    Example:
      vafa keys card-value --cards new-cards.txt --expiry 3012 --service 101
    """
    _check_format(format)
    stripe = keys_cards.stripe_of(expiry, service)
    numbers = keys_cards.numbers_of(card or [], cards)

    async def make(room: KeyRoom) -> None:
        room.key(keys_cards.KEY)
        officers = room.officers.two(StandardPrompt(), f"making card values, {len(numbers)} in all")
        for masked, value in await keys_cards.values(room, numbers, stripe, officers):
            if format == "json":
                typer.echo(json.dumps({"card": masked, **stripe._asdict(), "value": value}))
            else:
                typer.echo(f"{masked}  {stripe.expiry}  {stripe.service}  {value}")

    _in_room(data, config, make)


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
        int, typer.Option(min=1, max=LONGEST_DAYS, help="How long they live.")
    ] = 90,
) -> None:
    """Make a test authority, issue certificates, list them with their ends.

    \b
    Example:
      vafa keys ca tls --switch main --terminal 10000001 --terminal 10000002
      vafa keys ca tls                   what is there, and what ends soon
    """
    from tools import keys_authority  # here, for no other command makes certificates

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
    if address and partner and len(partner) + len(switch or []) + len(hsm or []) > 1:
        raise CommandError(
            "--address would be of several parties' servers: a partner could stand in for the others",
            ExitCode.USAGE,
            "issue each partner's certificate with its own addresses",
        )
    servers = [keys_authority.check_address(one) for one in address or ["localhost", "127.0.0.1"]]
    authority, made = keys_authority.open_authority(directory, now)
    if made:
        typer.echo(f"made the authority {directory / 'authority.crt'}")
    for peer in wanted:
        addresses = [] if peer.role is Role.TERMINAL else servers
        path = keys_authority.issue(directory, authority, peer, addresses, now, days)
        typer.echo(f"issued {path}")
    if not wanted:
        for line in keys_authority.listed(directory, now):
            typer.echo(line)


# ---------------------------------------------------------------- shared by the commands


def _in_room(data: Path | None, config: Path | None, work: Callable[[KeyRoom], Awaitable[None]]) -> None:
    async def run() -> None:
        async with keys_place.room_of(data, config) as room:
            try:
                await work(room)
            except NotAgreed as error:
                room.record("not-agreed", (), activity=error.activity)
                raise

    # asyncio's own handler would wait for the answer to a question before it stops.
    before = signal.signal(signal.SIGINT, _interrupted)
    try:
        asyncio.run(run())
    finally:
        signal.signal(signal.SIGINT, before)


def _interrupted(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _check_dependants(name: str, terminals: Sequence[str], force: bool) -> None:
    """That no registered terminal has its keys from this one, or that this is meant. Raises CommandError."""
    if not terminals:
        return
    # A word between the ids: side by side their digits can look like a card number and would be masked.
    shown = " and ".join(terminals[:MOST_SHOWN])
    more = f" and {len(terminals) - MOST_SHOWN} more" if len(terminals) > MOST_SHOWN else ""
    what = f"terminals registered with {name}: {shown}{more}; without it the switch does not start"
    if not force:
        raise CommandError(
            what,
            ExitCode.USAGE,
            "register them with an initial_key_id of another BDK first; if somebody knows the key, stop the"
            f" switch, revoke it with --force, then {how_to_make(name)}",
        )
    typer.echo(f"warning: {what}; next: {how_to_make(name)}", err=True)


def _check_format(text: str) -> None:
    if text not in ("text", "json"):
        raise CommandError(f"--format {text!r}: expected text or json", ExitCode.USAGE, "choose one")


def _tell(room: KeyRoom, version: KeyVersion) -> None:
    typer.echo(
        f"{version.name} v{version.version}: {version.state.value}, {version.algorithm.name}, "
        f"KCV {version.check_value}"
    )
    if room.is_serving:
        typer.echo("the switch that runs here works with this from its next start", err=True)


def _kind_of(name: str, use: str | None, algorithm: str | None) -> tuple[KeyUse, KeyAlgorithm]:
    """What a key of this name is for, and its algorithm: as asked, or the usual ones."""
    uses = uses_of(name)
    if not uses:
        shown = ", ".join(shown for shown, _, _ in NAMES)
        raise CommandError(f"no key is called {name!r}", ExitCode.USAGE, f"names are {shown}")
    kind = uses[0] if use is None else _choice("--use", use, uses)
    algorithms = ALGORITHMS[kind]
    if algorithm is not None:
        return kind, _choice("--algorithm", algorithm, algorithms)
    return kind, PREFERRED.get(kind, algorithms[0])


def _choice(option: str, asked: str, choices: Sequence[Choice]) -> Choice:
    for one in choices:
        if one.name == asked.upper():
            return one
    known = ", ".join(one.name for one in choices)
    raise CommandError(f"{option} {asked!r}: for this key one of {known}", ExitCode.USAGE, "choose one")


def _zone_key(room: KeyRoom, name: str, under: str | None) -> str:
    """The zone key that a block of this name is under: the partner's own, no other's."""
    own = name.rpartition("/")[0] + "/zmk" if name.startswith(SHARED) else None
    zone = under or own
    if zone is None:
        raise CommandError(f"{name}: under which zone key?", ExitCode.USAGE, "give --under zone/…/zmk")
    if own is not None and zone != own:
        raise CommandError(f"{name} travels under {own}, not {zone}", ExitCode.USAGE, "leave --under away")
    if room.key(zone).use is not KeyUse.ZONE:
        raise CommandError(f"{zone} is no zone key", ExitCode.USAGE, "give --under zone/…/zmk")
    return zone


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
