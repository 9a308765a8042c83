"""`vafa partner`: the partners of a switch, and the mappings that say what their messages mean.

Nothing here shows a key; a mapping's pages are made from the mapping itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from switch import iso8583
from switch.hsm import KeyState, KeyStore
from switch.keys import KeysError, open_store
from switch.partners import MappingError, PartnerMapping, Source, load, shipped
from switch.partners.mapping import Unit
from switch.server.partner_files import mapping_of
from switch.server.partners import BLOCKED
from switch.settings import Partner, Settings, SettingsError, load_for
from tools.cli import CommandError, ExitCode
from tools.ledger_options import Config, Data

app = typer.Typer(help="Partners' links: check mappings, list and block partners.", no_args_is_help=True)

KEY_NAMES = ("zmk", "mac-receive", "mac-send", "pin-receive", "pin-send")
Name = Annotated[str, typer.Argument(metavar="PARTNER", help="The partner's name in the settings.")]
_WORDS = {Unit.POINTS: "in points", Unit.RIAL: "in rial"}


@app.command()
def check(
    mapping: Annotated[
        str | None, typer.Argument(metavar="[MAPPING]", help="A mapping file (TOML) or a shipped one.")
    ] = None,
    data: Data = None,
    config: Config = None,
) -> None:
    """Report every mistake in a mapping with file, line and a remedy; without one, check all partners.

    \b
    Example:
      vafa partner check mine.toml
      vafa partner check --data data
    """
    if mapping is not None:
        typer.echo(_described(_loaded(mapping)))
        return
    settings = load_for(data, config)
    wrong = 0
    for partner in settings.partners:
        problems = _problems(settings, partner)
        wrong += bool(problems)
        for problem in problems:
            typer.echo(f"{partner.name}: {problem}", err=True)
        if not problems:
            typer.echo(f"{partner.name}: good")
    if not settings.partners:
        typer.echo(f"{settings.source} names no partners")
    if wrong:
        raise CommandError(f"{wrong} of {len(settings.partners)} partners can't be served", ExitCode.NEGATIVE)


@app.command("list")
def list_partners(
    format: Annotated[str, typer.Option("--format", help="text or json")] = "text",
    data: Data = None,
    config: Config = None,
) -> None:
    """The partners of the settings, and the check values of their keys.

    \b
    Example:
      vafa partner list --data data
    """
    if format not in ("text", "json"):
        raise CommandError(f"--format {format!r}: expected text or json", ExitCode.USAGE, "choose one")
    settings = load_for(data, config)
    store = _store(settings)
    found = [_document(settings, partner, store) for partner in settings.partners]
    if format == "json":
        typer.echo(json.dumps({"partners": found}, ensure_ascii=False, indent=1))
        return
    for one in found:
        typer.echo(f"{one['name']}  {one['address']}  {one['state']}  mapping {one['mapping']}")
        typer.echo(f"  acquirers {', '.join(one['acquirers'])}")
        for name, check_value in one["keys"].items():
            typer.echo(f"  {name:12}  {'KCV ' + check_value if check_value else 'missing'}")


@app.command()
def show(
    mapping: Annotated[str, typer.Argument(metavar="MAPPING", help="A mapping file or a shipped one.")],
) -> None:
    """What a mapping makes of messages, as tables (Markdown).

    \b
    Example:
      vafa partner show iso87-ascii
    """
    typer.echo(tables_of(_loaded(mapping)), nl=False)


@app.command()
def block(partner: Name, data: Data = None, config: Config = None) -> None:
    """Refuse a partner from now on; a running switch knows within a second.

    \b
    Example:
      vafa partner block BANK --data data
    """
    place = _blocked_place(partner, data, config)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.touch()
    typer.echo(f"{partner} is blocked")


@app.command()
def unblock(partner: Name, data: Data = None, config: Config = None) -> None:
    """Serve a partner again.

    \b
    Example:
      vafa partner unblock BANK --data data
    """
    place = _blocked_place(partner, data, config)
    place.unlink(missing_ok=True)
    if next(one for one in load_for(data, config).partners if one.name == partner).blocked:
        raise CommandError(
            f"{partner} stays blocked by the settings",
            ExitCode.CONFIGURATION,
            "set blocked = false there",
        )
    typer.echo(f"{partner} is served")


# ---------------------------------------------------------------- what the commands say


def tables_of(mapping: PartnerMapping) -> str:
    """A mapping as Markdown."""
    ours = iso8583.load("vafa").dictionary
    theirs = mapping.dialect.dictionary
    lines = [f"Messages of `{mapping.dialect.name}`. {mapping.description.en}.", ""]
    lines += _table(
        ("asks for", "MTI", "DE 3", "beside the fields below"),
        (
            (
                one.name,
                ", ".join(sorted(one.mtis)),
                ", ".join(one.codes),
                ", ".join(
                    [f"our {path} = {_words(source)}" for path, source in _own(mapping, one.request)]
                    + ([f"DE 39 of an approval {one.approved}"] if one.approved else [])
                ),
            )
            for one in mapping.operations
        ),
    )
    identity = mapping.identity
    lines += [
        f"A transaction is known by DE 32, 11, {identity.sent} ({identity.clock.value} time) and the class of"
        f" its MTI; a reversal names it in DE {identity.original}.",
        "",
    ]
    lines += _table(
        ("our field", "comes from", "which is"),
        (
            (f"{path} {ours.title_of(path)}", _words(source), theirs.title_of(source.path))
            for path, source in _common(mapping).items()
        ),
    )
    lines += [f"Answers bring back DE {', '.join(mapping.echo)} as they came, and", ""]
    rows = [(path, _words(source), ours.title_of(source.path)) for path, source in mapping.answer.items()]
    rows += [
        (
            mapping.amounts_field,
            f"{row.source} as {row.account} {row.kind} {row.currency} {row.sign}",
            ours.title_of(row.source),
        )
        for row in mapping.amounts
    ]
    lines += _table(("their DE", "comes from our", "which is"), rows)
    lines += _table(
        ("DE 39", "when", "ours"),
        (
            (theirs_code, ours.response_codes[code].title.en, code)
            for code, theirs_code in mapping.response_codes.items()
        ),
    )
    return "\n".join(lines[:-1]) + "\n"


def _common(mapping: PartnerMapping) -> dict[str, Source]:
    """What all operations take from the same place."""
    first, *others = [one.request for one in mapping.operations]
    return {path: source for path, source in first.items() if all(one.get(path) == source for one in others)}


def _own(mapping: PartnerMapping, request: Any) -> list[tuple[str, Source]]:
    common = _common(mapping)
    return [(path, source) for path, source in request.items() if path not in common]


def _words(source: Source) -> str:
    words = [f"{source.path}, place {source.at}" if source.at else source.path]
    if source.values is not None:
        words.append("as " + " ".join(f"{theirs}={ours}" for theirs, ours in source.values.items()))
    if source.unit in _WORDS:
        words.append(_WORDS[source.unit])
    if source.last:
        words.append(f"last {source.last} characters")
    if source.only_approved:
        words.append("when approved")
    if source.default is not None:
        words.append(f"else {source.default}")
    return ", ".join(words)


def _table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(heading)} |", f"|{'---|' * len(heading)}"]
    return [*lines, *(f"| {' | '.join(row)} |" for row in rows), ""]


def _described(mapping: PartnerMapping) -> str:
    operations = ", ".join(one.name for one in mapping.operations)
    return f"{mapping.name}: good, for messages of {mapping.dialect.name}: {operations}"


def _loaded(name: str) -> PartnerMapping:
    try:
        return load(name)
    except MappingError as error:
        for line in str(error).splitlines():
            typer.echo(line, err=True)
        count = "1 mistake" if len(error.located) == 1 else f"{len(error.located)} mistakes"
        raise CommandError(
            f"{name}: {count}", ExitCode.CONFIGURATION, f"shipped mappings: {', '.join(shipped())}"
        ) from None


def _problems(settings: Settings, partner: Partner) -> list[str]:
    """Why a partner can't be served as it is."""
    problems = []
    try:
        mapping_of(partner)
    except SettingsError as error:
        problems += str(error).splitlines()
    if partner.needs_mac:
        keys = _keys(partner, _store(settings))
        problems += [
            f"key zone/{partner.name}/{name} is missing; see docs/keys.md"
            for name in ("mac-receive", "mac-send")
            if not keys[name]
        ]
    files = (
        partner.listener.tls_certificate,
        partner.listener.tls_key,
        partner.listener.tls_clients,
    )
    problems += [f"{file}: no such file; see vafa keys ca" for file in files if file and not file.is_file()]
    return problems


def _document(settings: Settings, partner: Partner, store: KeyStore) -> dict[str, Any]:
    is_blocked = partner.blocked or (settings.data / BLOCKED / partner.name).exists()
    tls = " (TLS)" if partner.listener.tls_certificate is not None else ""
    return {
        "name": partner.name,
        "address": f"{partner.listener.host}:{partner.listener.port}{tls}",
        "state": "blocked" if is_blocked else "in service",
        "mapping": partner.mapping,
        "acquirers": list(partner.acquirers),
        "keys": _keys(partner, store),
    }


def _keys(partner: Partner, store: KeyStore) -> dict[str, str]:
    """Check values of the keys in use, empty for those that are missing."""
    found = {}
    for name in KEY_NAMES:
        versions = store.versions(f"zone/{partner.name}/{name}")
        found[name] = next((one.check_value for one in versions if one.state is KeyState.ACTIVE), "")
    return found


def _store(settings: Settings) -> KeyStore:
    try:
        return open_store(settings)
    except KeysError as error:
        raise CommandError(str(error), ExitCode.CONFIGURATION) from None


def _blocked_place(name: str, data: Path | None, config: Path | None) -> Path:
    settings = load_for(data, config)
    names = [one.name for one in settings.partners]
    if name not in names:
        known = ", ".join(names) or "none"
        raise CommandError(
            f"no partner {name!r} in {settings.source}", ExitCode.USAGE, f"partners there: {known}"
        )
    return settings.data / BLOCKED / name
