"""`vafa terminal parameters` and `vafa terminal software`: what terminals download, group by group.

Every value and every bundle is checked here as a terminal checks it, so that nothing is offered that all of
them would refuse. Changes stand in the registry and its log like all others.
"""

from __future__ import annotations

import json
import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from switch.registry import (
    DEFAULT_GROUP,
    Bundle,
    ChangeRefused,
    Draft,
    Group,
    Registry,
    Rollout,
    changing,
    history,
    keep_content,
    open_content,
    read,
)
from switch.registry.downloads import directory_of
from switch.server.downloads import REASONS, TOLD_FILE
from switch.server.told import Told, read_told
from switch.settings import Settings, load_for
from terminal import parameters as schema
from terminal.bundle import BundleError, is_right, parts, read_table
from terminal.flows.supervisor import LONGEST, SALT_BYTES, SHORTEST, hashed
from terminal.settings import SettingsError as WrongParameter
from terminal.text import digits_of
from tools.cli import CommandError, ExitCode
from tools.registry_change import Doing, Format, Way, author_of, explained, identifier
from tools.registry_options import By, Config, Data, Language, Printed, Reason
from tools.registry_words import Locale

parameters_app = typer.Typer(help="Parameters that terminals fetch: set, show, list, roll back.")
software_app = typer.Typer(help="Software that terminals fetch: add, assign, list, withdraw.")


GroupName = Annotated[str, typer.Option("--group", help="Whose: 1 to 16 small letters, digits or hyphens.")]
Bundles = Annotated[str, typer.Argument(metavar="MODEL/VERSION", help="As `software list` names it.")]


class Version(NamedTuple):
    """The change that made a parameter version."""

    time: str
    jalali: str
    by: str
    reason: str


# ---------------------------------------------------------------- parameters


@parameters_app.command("set")
def set_parameters(
    values: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME=VALUE]...", help="A value as JSON, or text as it is.")
    ] = None,
    file: Annotated[Path | None, typer.Option(help="Parameters as a JSON object; others are gone.")] = None,
    unset: Annotated[
        list[str] | None, typer.Option(help="A parameter that goes back to its default.")
    ] = None,
    supervisor_code: Annotated[
        bool, typer.Option("--supervisor-code", help="Ask for a supervisor's code; only its hash is kept.")
    ] = False,
    group: GroupName = DEFAULT_GROUP,
    reason: Reason = "",
    by: By = None,
    data: Data = None,
    config: Config = None,
    format: Printed = Format.TEXT,
    locale: Language = Locale.EN,
) -> None:
    """Make a new version of a group's parameters: those it has, with these changes.

    \b
    Example:
      vafa terminal parameters set receipt_copies=1 locale=fa
      vafa terminal parameters set --group kiosks 'receipt_footer={"en": "Thanks", "fa": "سپاس"}'
    """
    typed = dict(_typed(one) for one in values or ())
    if supervisor_code:
        typed["supervisor"] = _supervisor()
    if not (typed or unset or file):
        raise CommandError(
            "nothing is set", ExitCode.USAGE, "give NAME=VALUE, --file, --unset or --supervisor-code"
        )
    from_file = None if file is None else _object(file)

    def change(settings: Settings, draft: Draft) -> str:
        newest = draft.group(group).newest
        before = {} if newest is None else _content(settings, newest.digest, newest.length)
        after = {**(before if from_file is None else from_file), **typed}
        for name in unset or ():
            if name not in after:
                raise ChangeRefused(f"{name}: is not set", "vafa terminal parameters show tells what is")
            del after[name]
        content = _checked(after)
        version = draft.set_parameters(group, keep_content(settings, content), len(content))
        return f"group {group}: parameters version {version}"

    _do(Way(data, config, format, locale), "parameters", "set", by, reason, change)


@parameters_app.command("show")
def show_parameters(
    group: GroupName = DEFAULT_GROUP,
    version: Annotated[int | None, typer.Option(help="Another version than the newest.")] = None,
    data: Data = None,
    config: Config = None,
    format: Printed = Format.TEXT,
    locale: Language = Locale.EN,
) -> None:
    """The parameters of a group, and which stand at their default.

    \b
    Example:
      vafa terminal parameters show --group kiosks
    """
    with explained():
        settings = load_for(data, config)
        found = Draft(read(settings).registry, settings.terminals).group(group)
        chosen = found.newest
        if version is not None:
            chosen = next((one for one in found.parameters if one.version == version), None)
        if chosen is None:
            what = "no parameters" if version is None else f"no parameters version {version}"
            raise CommandError(
                f"group {group} has {what}", ExitCode.NEGATIVE, "vafa terminal parameters list"
            )
        values = _content(settings, chosen.digest, chosen.length)
    if format is Format.JSON:
        document = {"group": group, "version": str(chosen.version), "sha256": chosen.digest, "values": values}
        typer.echo(json.dumps(document, ensure_ascii=False, indent=1))
        return
    typer.echo(f"group {group}, version {_digits(chosen.version, locale)}, {chosen.length} bytes")
    for name in sorted(values):
        typer.echo(f"  {name} = {json.dumps(values[name], ensure_ascii=False)}")
    others = [name for name, *_ in schema.FIELDS if name not in values]
    typer.echo(f"as the terminal's settings or its default: {', '.join(others)}")


@parameters_app.command("list")
def list_parameters(
    group: Annotated[str | None, typer.Option(help="Only this group's.")] = None,
    data: Data = None,
    config: Config = None,
    format: Printed = Format.TEXT,
    locale: Language = Locale.EN,
) -> None:
    """Versions of each group, who made them, and how many terminals have which.

    \b
    Example:
      vafa terminal parameters list
    """
    with explained():
        settings = load_for(data, config)
        registry = read(settings).registry
        told = _told(settings)
        rows = []
        for found in sorted(registry.groups.values(), key=lambda one: one.id):
            if group not in (None, found.id):
                continue
            made = _made(settings, found.id)
            for one in reversed(found.parameters):
                at = made.get(one.version)
                group_told = _of_group(registry, told, found.id)
                having = sum(row.parameters == one.version for _, row in group_told)
                refusing = [
                    (name, row.parameters_refused[1])
                    for name, row in group_told
                    if row.parameters_refused and row.parameters_refused[0] == one.version
                ]
                rows.append((found.id, one, at, having, refusing))
    if format is Format.JSON:
        document = [
            {
                "group": name,
                "version": str(one.version),
                "sha256": one.digest,
                "time": at.time if at else "",
                "by": at.by if at else "",
                "reason": at.reason if at else "",
                "terminals": str(having),
                "refused": [
                    {"terminal": terminal, "why": REASONS.get(why, str(why))} for terminal, why in refusing
                ],
            }
            for name, one, at, having, refusing in rows
        ]
        typer.echo(json.dumps(document, ensure_ascii=False, indent=1))
        return
    for name, one, at, having, refusing in rows:
        day = f"{digits_of(at.jalali, locale)} by {at.by}" if at else ""
        why = f": {at.reason}" if at and at.reason else ""
        typer.echo(
            f"{name:16}  version {_digits(one.version, locale)}  {day}{why}"
            f"  {_digits(having, locale)} terminals"
        )
        _tell_refused(refusing)


@parameters_app.command("roll-back")
def roll_back(
    version: Annotated[int | None, typer.Option(help="To this version. Default: the one before.")] = None,
    group: GroupName = DEFAULT_GROUP,
    reason: Reason = "",
    by: By = None,
    data: Data = None,
    config: Config = None,
    format: Printed = Format.TEXT,
    locale: Language = Locale.EN,
) -> None:
    """Make an earlier version's values the newest version.

    \b
    Example:
      vafa terminal parameters roll-back --group kiosks --reason "receipts too long"
    """

    def change(settings: Settings, draft: Draft) -> str:
        known = draft.group(group).parameters
        earlier = [one for one in known[:-1] if version in (None, one.version)]
        if not earlier:
            what = "earlier version" if version is None else f"version {version} before the newest"
            raise ChangeRefused(
                f"group {group} has no {what}", "vafa terminal parameters list tells what there is"
            )
        _content(settings, earlier[-1].digest, earlier[-1].length)
        made = draft.set_parameters(group, earlier[-1].digest, earlier[-1].length)
        return f"group {group}: parameters version {made}, as version {earlier[-1].version}"

    _do(Way(data, config, format, locale), "parameters", "roll-back", by, reason, change)


def _typed(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise CommandError(f"{text!r}: expected NAME=VALUE", ExitCode.USAGE, "for instance receipt_copies=1")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _object(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise CommandError(
            f"{file}: can't be read ({error.strerror})", ExitCode.USAGE, "check --file"
        ) from None
    except ValueError:
        raise CommandError(f"{file}: is no JSON", ExitCode.USAGE, "check --file") from None
    if not isinstance(found, dict):
        raise CommandError(f"{file}: expected a JSON object", ExitCode.USAGE, "check --file")
    return found


def _supervisor() -> dict[str, str]:
    code = identifier(typer.prompt("supervisor's code", hide_input=True, confirmation_prompt=True))
    if not (code.isascii() and code.isdigit() and SHORTEST <= len(code) <= LONGEST):
        expected = f"expected {SHORTEST} to {LONGEST} digits"
        raise CommandError(f"supervisor's code: {expected}", ExitCode.USAGE, "another one")
    salt = secrets.token_bytes(SALT_BYTES)
    found = hashed(bytearray(int(digit) for digit in code), salt)
    return {"salt": salt.hex(), "hash": found.hex()}


def _checked(values: Mapping[str, Any]) -> bytes:
    """The content of these values. Raises ChangeRefused, which names the parameter."""
    known = {name for name, *_ in schema.FIELDS}
    for name in values:
        if name not in known:
            raise ChangeRefused(f"{name}: no such parameter", f"these are: {', '.join(sorted(known))}")
    content = json.dumps(values, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
    try:
        schema.parsed(content)
    except WrongParameter as error:
        raise ChangeRefused(str(error), "correct it") from None
    return content


def _content(settings: Settings, digest: str, length: int) -> dict[str, Any]:
    values = json.loads(open_content(settings, digest, length).piece(0, length))
    assert isinstance(values, dict)
    return values


def _made(settings: Settings, group: str) -> dict[int, Version]:
    """When and by whom each version of a group was made."""
    made: dict[int, Version] = {}
    for change in history(settings).changes:
        for record in change.records:
            if isinstance(record, Group) and record.id == group and record.parameters:
                version = record.parameters[-1].version
                made.setdefault(version, Version(change.time, change.jalali, change.by, change.reason))
    return made


# ---------------------------------------------------------------- software


@software_app.command("add")
def add_software(
    file: Annotated[Path, typer.Argument(metavar="BUNDLE", help="A bundle that was signed.")],
    model: Annotated[str, typer.Option(help="The hardware model that it must be for.")],
    keys: Annotated[
        Path, typer.Option(help="The public keys of those terminals (PEM, in their order), in one file.")
    ],
    needed: Annotated[int, typer.Option(help="How many signatures those terminals ask for.")] = 1,
    reason: Reason = "",
    by: By = None,
    data: Data = None,
    config: Config = None,
    format: Printed = Format.TEXT,
    locale: Language = Locale.EN,
) -> None:
    """Take a bundle, checked as a terminal checks it: signatures, model, every file, newer than all before.

    \b
    Example:
      vafa terminal software add vafa-2.bundle --model vafa-esp32 --keys vendor.pem
    """
    content = _read_bundle(file)

    def change(settings: Settings, draft: Draft) -> str:
        newest = max((one.version for one in draft.bundles if one.model == model), default=0)
        version, replaces = _check_bundle(file, content, model, keys, needed, newest)
        digest = keep_content(settings, content)
        draft.add_bundle(Bundle(model, version, replaces, digest, len(content)))
        return f"software {model}/{version}: added"

    _do(Way(data, config, format, locale), "software", "add", by, reason, change)


@software_app.command("assign")
def assign_software(
    software: Bundles,
    group: GroupName = DEFAULT_GROUP,
    share: Annotated[int, typer.Option(help="Of 100 terminals so many; who has it keeps it.")] = 100,
    terminals: Annotated[
        list[str] | None, typer.Option("--terminal", help="This terminal in any case; alone when no --share.")
    ] = None,
    reason: Reason = "",
    by: By = None,
    data: Data = None,
    config: Config = None,
    format: Printed = Format.TEXT,
    locale: Language = Locale.EN,
) -> None:
    """Roll software out to a group: to all of it, to a share, or to terminals that are named.

    \b
    Example:
      vafa terminal software assign vafa-esp32/2 --terminal 10000001 --share 0
      vafa terminal software assign vafa-esp32/2 --share 10
    """

    def change(settings: Settings, draft: Draft) -> str:
        bundle = draft.bundle(software)
        names = tuple(sorted({identifier(one) for one in terminals or ()}))
        draft.roll_out(group, Rollout(bundle.model, bundle.version, share, names))
        return f"group {group}: software {software}, {_reach(share, names)}"

    _do(Way(data, config, format, locale), "software", "assign", by, reason, change)


@software_app.command("list")
def list_software(
    data: Data = None,
    config: Config = None,
    format: Printed = Format.TEXT,
    locale: Language = Locale.EN,
) -> None:
    """Bundles, who gets them, how many terminals run which, and who refused one and why.

    \b
    Example:
      vafa terminal software list
    """
    with explained():
        settings = load_for(data, config)
        registry = read(settings).registry
        told = _told(settings)
    rows = []
    for bundle in sorted(registry.bundles.values(), key=lambda one: (one.model, -one.version)):
        rollouts = [
            (group.id, one)
            for group in sorted(registry.groups.values(), key=lambda one: one.id)
            for one in group.software
            if (one.model, one.version) == (bundle.model, bundle.version)
        ]
        own = {name: row for name, row in told.items() if row.model == bundle.model}
        running = sum(row.software == bundle.version for row in own.values())
        refusing = [
            (name, row.software_refused[1])
            for name, row in sorted(own.items())
            if row.software_refused and row.software_refused[0] == bundle.version
        ]
        rows.append((bundle, rollouts, running, refusing))
    others = Counter(
        (row.model, row.software)
        for row in told.values()
        if row.model and f"{row.model}/{row.software}" not in registry.bundles
    )
    if format is Format.JSON:
        typer.echo(json.dumps([_as_object(*row) for row in rows], ensure_ascii=False, indent=1))
        return
    for bundle, rollouts, running, refusing in rows:
        state = "withdrawn" if bundle.withdrawn else f"{bundle.length} bytes"
        typer.echo(f"{bundle.id:24}  {state:14}  runs on {_digits(running, locale)} terminals")
        for name, rollout in rollouts:
            typer.echo(f"    group {name}: {_reach(rollout.share, rollout.terminals)}")
        _tell_refused(refusing)
    for (model, version), count in sorted(others.items()):
        name = f"{model}/{version}"
        typer.echo(f"{name:24}  {'not of here':14}  runs on {_digits(count, locale)} terminals")


@software_app.command("withdraw")
def withdraw_software(
    software: Bundles,
    reason: Reason = "",
    by: By = None,
    data: Data = None,
    config: Config = None,
    format: Printed = Format.TEXT,
    locale: Language = Locale.EN,
) -> None:
    """Give software to nobody any more. Terminals that run it go on: a newer version replaces it.

    \b
    Example:
      vafa terminal software withdraw vafa-esp32/2 --reason "prints nothing"
    """

    def change(settings: Settings, draft: Draft) -> str:
        draft.withdraw(software)
        return f"software {software}: withdrawn"

    _do(Way(data, config, format, locale), "software", "withdraw", by, reason, change)


LARGEST_BUNDLE = 8 << 20  # no board has more room


def _read_bundle(file: Path) -> bytes:
    try:
        if file.stat().st_size > LARGEST_BUNDLE:
            raise CommandError(f"{file}: too large for a bundle", ExitCode.USAGE, "give a bundle")
        return file.read_bytes()
    except OSError as error:
        raise CommandError(
            f"{file}: can't be read ({error.strerror})", ExitCode.USAGE, "give a bundle"
        ) from None


def _check_bundle(
    file: Path, content: bytes, model: str, keys: Path, needed: int, newest: int
) -> tuple[int, int]:
    """(version, oldest version it may replace). Raises ChangeRefused: what a terminal would say."""

    def read_at(at: int, count: int) -> bytes:
        return content[at : at + count]

    try:
        # A terminal's own version isn't known here: that it is high enough is told by the terminal.
        replaces = int.from_bytes(content[25:29], "big")
        table = read_table(read_at, len(content), model, max(newest, replaces), _points(keys), needed)
        if table.length != len(content):
            raise BundleError("cut short" if len(content) < table.length else "longer than it says")
        for part in parts(read_at):
            at = table.table_length + part.at
            if not is_right(
                part,
                lambda place, count, at=at, end=at + part.length: content[
                    at + place : min(at + place + count, end)
                ],
            ):
                raise BundleError(f"{part.name} is damaged")
    except BundleError as error:
        what = f"not newer than {model}/{newest}, which is there" if error.what == "not newer" else error.what
        raise ChangeRefused(f"{file}: {what}", "no terminal of that model would take it") from None
    return table.version, table.replaces


def _points(keys: Path) -> list[bytes]:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    from tools.firmware_bundle import public_point

    end = b"-----END PUBLIC KEY-----"
    try:
        blocks = [block + end for block in keys.read_bytes().split(end)[:-1]]
        loaded = [load_pem_public_key(block.strip()) for block in blocks]
    except (OSError, ValueError):
        loaded = []
    points = [public_point(key) for key in loaded if isinstance(key, EllipticCurvePublicKey)]
    if not points or len(points) != len(loaded) or any(len(point) != 64 for point in points):
        raise CommandError(f"{keys}: expected public keys of P-256 (PEM)", ExitCode.USAGE, "check --keys")
    return points


def _reach(share: int, terminals: Sequence[str]) -> str:
    named = f"{len(terminals)} named" if terminals else ""
    return " and ".join(filter(None, (f"{share} % of its terminals" if share or not named else "", named)))


def _as_object(
    bundle: Bundle, rollouts: Iterable[tuple[str, Rollout]], running: int, refusing: Iterable[tuple[str, int]]
) -> dict[str, Any]:
    return {
        "software": bundle.id,
        "sha256": bundle.digest,
        "bytes": str(bundle.length),
        "replaces": str(bundle.replaces),
        "withdrawn": bundle.withdrawn,
        "groups": [
            {"group": name, "share": str(one.share), "terminals": list(one.terminals)}
            for name, one in rollouts
        ],
        "running": str(running),
        "refused": [{"terminal": name, "why": REASONS.get(why, str(why))} for name, why in refusing],
    }


# ---------------------------------------------------------------- both


def _do(
    way: Way, kind: str, verb: str, by: str | None, reason: str, change: Callable[[Settings, Draft], str]
) -> None:
    """Make a change and say what it came to. Raises CommandError."""
    with explained():
        settings = load_for(way.data, way.config)
        author = author_of(Doing(kind, verb, by, reason))
        with changing(settings) as session:
            said = change(settings, session.draft)
            is_new = bool(session.draft.changed)
            after = session.commit(f"{kind} {verb}", author)
    number = after.registry.changes if is_new else None
    if way.format is Format.JSON:
        document = {"what": f"{kind} {verb}", "change": None if number is None else str(number), "said": said}
        typer.echo(json.dumps(document, ensure_ascii=False))
    else:
        typer.echo(said if is_new else f"{said}: nothing to change")


def _told(settings: Settings) -> dict[str, Told]:
    return read_told(directory_of(settings) / TOLD_FILE)


def _of_group(registry: Registry, told: Mapping[str, Told], group: str) -> list[tuple[str, Told]]:
    return [(name, row) for name, row in sorted(told.items()) if registry.group_of(name).id == group]


def _tell_refused(refusing: Iterable[tuple[str, int]]) -> None:
    for name, why in refusing:
        typer.echo(f"    refused by {name}: {REASONS.get(why, f'reason {why}')}")


def _digits(number: int, locale: Locale) -> str:
    return str(digits_of(str(number), locale))
