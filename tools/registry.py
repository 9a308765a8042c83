"""`vafa merchant` and `vafa terminal`: who may send. Changes reach a running switch by themselves.

Options in, exit codes out; what a change means is `switch.registry`'s. No note or name may look like a card
number, for registry and log are no place for one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from switch.keys import open_store
from switch.registry import (
    Change,
    Draft,
    Merchant,
    TerminalRecord,
    history,
    read,
)
from switch.settings import Settings, load_for
from tools.cli import CommandError, ExitCode
from tools.downloads import parameters_app, software_app
from tools.registry_change import (
    Doing,
    Format,
    Way,
    bdk_id_of,
    check_base_key,
    do,
    do_each,
    explained,
    identifier,
    key_id_of,
    rows_typed,
    text_of,
    texts_of,
)
from tools.registry_options import (
    Blocked,
    By,
    Config,
    Data,
    Language,
    MerchantId,
    MerchantIds,
    Printed,
    Reason,
    TerminalId,
    TerminalIds,
    Update,
    Verify,
)
from tools.registry_table import Row
from tools.registry_views import (
    change_lines,
    change_object,
    merchant_line,
    merchant_page,
    merchants_of,
    terminal_line,
    terminal_page,
    terminals_of,
)
from tools.registry_words import Locale, counted
from tools.supervisor_code import supervisor_code

merchant_app = typer.Typer(help="Merchants (DE 42): add, block, list, show.")
terminal_app = typer.Typer(
    help="Terminals (DE 41): add, block, assign, group; what they download; list, show."
)

MERCHANT_COLUMNS = ("merchant", "name_fa", "name_en", "city", "category")
TERMINAL_COLUMNS = ("terminal", "merchant", "initial_key_id", "note")

terminal_app.add_typer(parameters_app, name="parameters")
terminal_app.add_typer(software_app, name="software")
terminal_app.command("supervisor-code")(supervisor_code)


# ---------------------------------------------------------------- merchants


@merchant_app.command("add")
def add_merchant(
    merchant: Annotated[str | None, typer.Argument(help="DE 42: 15 letters or digits.")] = None,
    name_fa: Annotated[str, typer.Option(help="Its name in Persian.")] = "",
    name_en: Annotated[str, typer.Option(help="Its name in English.")] = "",
    city: Annotated[str, typer.Option(help="Where it is.")] = "",
    category: Annotated[str, typer.Option(help="Its category, ISO 18245: four digits.")] = "",
    file: Annotated[
        Path | None, typer.Option(help=f"Many of them: CSV with {', '.join(MERCHANT_COLUMNS)}.")
    ] = None,
    update: Update = False,
    by: By = None,
    reason: Reason = "",
    data: Data = None,
    config: Config = None,
    format: Printed = Format.TEXT,
    locale: Language = Locale.EN,
) -> None:
    """Register a merchant, or all of a file or none.

    \b
    Example:
      vafa merchant add 100000000000002 --name-en "City Books" --name-fa "کتاب شهر" --category 5942
    """
    values = dict(zip(MERCHANT_COLUMNS, (merchant or "", name_fa, name_en, city, category), strict=True))
    rows = rows_typed("merchant", merchant, values, file, MERCHANT_COLUMNS, 1)

    def add(draft: Draft, row: Row) -> bool:
        texts = texts_of(row.values, "merchant")
        added = Merchant(texts["id"], texts["name_fa"], texts["name_en"], texts["city"], texts["category"])
        return draft.add_merchant(added, update=update)

    doing = Doing("merchant", "add", by, reason)
    do(Way(data, config, format, locale), doing, rows, add, file)


@merchant_app.command("block")
def block_merchant(
    merchants: MerchantIds,
    reason: Reason = "",
    by: By = None,
    data: Data = None,
    config: Config = None,
    format: Printed = Format.TEXT,
    locale: Language = Locale.EN,
) -> None:
    """Refuse all terminals of a merchant from now on.

    \b
    Example:
      vafa merchant block 100000000000002 --reason "contract ended"
    """
    doing = Doing("merchant", "block", by, reason)
    do_each(
        Way(data, config, format, locale),
        doing,
        merchants,
        lambda draft, one: draft.block_merchant(one, text_of("reason", reason)),
    )


@merchant_app.command("unblock")
def unblock_merchant(
    merchants: MerchantIds,
    reason: Reason = "",
    by: By = None,
    data: Data = None,
    config: Config = None,
    format: Printed = Format.TEXT,
    locale: Language = Locale.EN,
) -> None:
    """Let a merchant's terminals send again, but for those that are blocked themselves.

    \b
    Example:
      vafa merchant unblock 100000000000002
    """
    doing = Doing("merchant", "unblock", by, reason)
    do_each(Way(data, config, format, locale), doing, merchants, Draft.unblock_merchant)


@merchant_app.command("list")
def list_merchants(
    blocked: Blocked = False,
    verify: Verify = False,
    data: Data = None,
    config: Config = None,
    format: Printed = Format.TEXT,
    locale: Language = Locale.EN,
) -> None:
    """All merchants, also those that only terminals of switch.toml name.

    \b
    Example:
      vafa merchant list --blocked --format json
    """
    with explained():
        settings = load_for(data, config)
        views = [
            one for one in merchants_of(settings, read(settings)) if not blocked or one.state != "in service"
        ]
        if format is Format.JSON:
            _print_json([one.as_object() for one in views])
        else:
            _print(merchant_line(one, locale) for one in views)
        if verify:
            _verify(settings, format, locale)


@merchant_app.command("show")
def show_merchant(
    merchant: MerchantId,
    data: Data = None,
    config: Config = None,
    format: Printed = Format.TEXT,
    locale: Language = Locale.EN,
) -> None:
    """All that is known of a merchant, and what was done to it.

    \b
    Example:
      vafa merchant show 100000000000001 --locale fa
    """
    with explained():
        settings = load_for(data, config)
        found, wanted = read(settings), identifier(merchant)
        Draft(found.registry, settings.terminals).merchant(wanted)
        [view] = [one for one in merchants_of(settings, found) if one.record.id == wanted]
        changes = _changes_of(settings, wanted, Merchant)
        _show(Way(data, config, format, locale), view.as_object(), merchant_page(view, locale), changes)


# ---------------------------------------------------------------- terminals


@terminal_app.command("add")
def add_terminal(
    terminal: Annotated[str | None, typer.Argument(help="DE 41: 8 letters or digits.")] = None,
    merchant: Annotated[str, typer.Option(help="Whose it is: DE 42.")] = "",
    initial_key_id: Annotated[
        str, typer.Option(help="16 hexadecimal digits: BDK id, derivation id. Default: allotted.")
    ] = "",
    bdk: Annotated[
        str, typer.Option(help="The BDK that a key id is allotted under: 8 hexadecimal digits.")
    ] = "",
    note: Annotated[str, typer.Option(help="Anything worth knowing, a till's number.")] = "",
    file: Annotated[
        Path | None, typer.Option(help=f"Many of them: CSV with {', '.join(TERMINAL_COLUMNS)}.")
    ] = None,
    update: Update = False,
    by: By = None,
    reason: Reason = "",
    data: Data = None,
    config: Config = None,
    format: Printed = Format.TEXT,
    locale: Language = Locale.EN,
) -> None:
    """Register a terminal, or all of a file or none; in a test installation with keys, ready to start.

    \b
    Example:
      vafa terminal add 10000011 --merchant 100000000000002 --note "till 3"
      vafa terminal add --file terminals.csv
    """
    values = dict(zip(TERMINAL_COLUMNS, (terminal or "", merchant, initial_key_id, note), strict=True))
    rows = rows_typed("terminal", terminal, values, file, TERMINAL_COLUMNS, 2)
    way = Way(data, config, format, locale)
    with explained():
        settings = load_for(data, config)
        store = open_store(settings)
        default_bdk: list[bytes] = []

        def allotting() -> bytes:
            if not default_bdk:
                default_bdk.append(bdk_id_of(settings, store, bdk))
            return default_bdk[0]

        def add(draft: Draft, row: Row) -> bool:
            texts = texts_of(row.values, "terminal", "merchant", "initial_key_id")
            key_id = key_id_of(texts["initial_key_id"]) if texts["initial_key_id"] else None
            if key_id is not None:
                check_base_key(store, key_id)
            is_new = not draft.knows_terminal(texts["id"])
            return draft.add_terminal(
                texts["id"],
                texts["merchant"],
                initial_key_id=key_id,
                bdk_id=allotting() if is_new and key_id is None else None,
                note=texts["note"],
                update=update,
            )

    do(way, Doing("terminal", "add", by, reason), rows, add, file)


@terminal_app.command("block")
def block_terminal(
    terminals: TerminalIds,
    reason: Reason = "",
    by: By = None,
    data: Data = None,
    config: Config = None,
    format: Printed = Format.TEXT,
    locale: Language = Locale.EN,
) -> None:
    """Refuse a terminal from its next message on.

    \b
    Example:
      vafa terminal block 10000011 --reason stolen
    """
    doing = Doing("terminal", "block", by, reason)
    do_each(
        Way(data, config, format, locale),
        doing,
        terminals,
        lambda draft, one: draft.block_terminal(one, text_of("reason", reason)),
    )


@terminal_app.command("unblock")
def unblock_terminal(
    terminals: TerminalIds,
    reason: Reason = "",
    by: By = None,
    data: Data = None,
    config: Config = None,
    format: Printed = Format.TEXT,
    locale: Language = Locale.EN,
) -> None:
    """Let a terminal send again.

    \b
    Example:
      vafa terminal unblock 10000011 --reason "found again"
    """
    doing = Doing("terminal", "unblock", by, reason)
    do_each(Way(data, config, format, locale), doing, terminals, Draft.unblock_terminal)


@terminal_app.command("assign")
def assign_terminal(
    terminals: TerminalIds,
    merchant: Annotated[str, typer.Option(help="Whose it is from now on: DE 42.")],
    reason: Reason = "",
    by: By = None,
    data: Data = None,
    config: Config = None,
    format: Printed = Format.TEXT,
    locale: Language = Locale.EN,
) -> None:
    """Move a terminal to another merchant. Its key stays; close its batch first.

    \b
    Example:
      vafa terminal assign 10000011 --merchant 100000000000001
    """
    doing = Doing("terminal", "assign", by, reason)
    do_each(
        Way(data, config, format, locale),
        doing,
        terminals,
        lambda draft, one: draft.assign(one, identifier(merchant)),
    )


@terminal_app.command("group")
def group_terminals(
    group: Annotated[str, typer.Argument(metavar="GROUP", help="1 to 16 small letters, digits or hyphens.")],
    terminals: TerminalIds,
    reason: Reason = "",
    by: By = None,
    data: Data = None,
    config: Config = None,
    format: Printed = Format.TEXT,
    locale: Language = Locale.EN,
) -> None:
    """Give terminals the parameters and software of a group; `default` is the group of all others.

    \b
    Example:
      vafa terminal group kiosks 10000001 10000002
    """
    doing = Doing("terminal", "group", by, reason)
    do_each(
        Way(data, config, format, locale),
        doing,
        terminals,
        lambda draft, one: draft.put_in_group(one, group),
    )


@terminal_app.command("list")
def list_terminals(
    merchant: Annotated[str | None, typer.Option(help="Only those of this merchant.")] = None,
    blocked: Blocked = False,
    verify: Verify = False,
    data: Data = None,
    config: Config = None,
    format: Printed = Format.TEXT,
    locale: Language = Locale.EN,
) -> None:
    """All registered terminals, those of switch.toml too.

    \b
    Example:
      vafa terminal list --merchant 100000000000001
      vafa terminal list --verify
    """
    with explained():
        settings = load_for(data, config)
        found = read(settings)
        if merchant is not None:
            Draft(found.registry, settings.terminals).merchant(identifier(merchant))
        views = [
            one
            for one in terminals_of(settings, found)
            if (merchant is None or one.in_force.acceptor == identifier(merchant))
            and (not blocked or one.state != "in service")
        ]
        if format is Format.JSON:
            _print_json([one.as_object() for one in views])
        else:
            _print(terminal_line(one, locale) for one in views)
        if verify:
            _verify(settings, format, locale)


@terminal_app.command("show")
def show_terminal(
    terminal: TerminalId,
    data: Data = None,
    config: Config = None,
    format: Printed = Format.TEXT,
    locale: Language = Locale.EN,
) -> None:
    """All that is known of a terminal, and what was done to it.

    \b
    Example:
      vafa terminal show 10000001
    """
    with explained():
        settings = load_for(data, config)
        found, wanted = read(settings), identifier(terminal)
        Draft(found.registry, settings.terminals).terminal(wanted)
        [view] = [one for one in terminals_of(settings, found) if one.in_force.id == wanted]
        merchant = found.registry.merchants.get(view.in_force.acceptor)
        changes = _changes_of(settings, wanted, TerminalRecord)
        page = terminal_page(view, merchant, locale)
        _show(Way(data, config, format, locale), view.as_object(), page, changes)


# ---------------------------------------------------------------- output


def _changes_of(settings: Settings, name: str, kind: type) -> list[Change]:
    """What was done to one merchant or terminal, the oldest first."""
    return [
        change
        for change in history(settings).changes
        if any(one.id == name and isinstance(one, kind) for one in change.records)
    ]


def _verify(settings: Settings, format: Format, locale: Locale) -> None:
    """Raises CommandError for the first line that is not as it was written, RegistryError."""
    known = history(settings)
    if known.missing:
        raise CommandError(
            f"{settings.registry_log_path}: its last line is missing: a command was stopped before it wrote"
            " that, or it was cut off; the registry has it",
            ExitCode.NEGATIVE,
            "the next change writes it again",
        )
    typer.echo(counted("verified", len(known.changes), locale), err=format is Format.JSON)


def _show(way: Way, document: dict[str, object], page: Iterable[str], changes: Sequence[Change]) -> None:
    if way.format is Format.JSON:
        _print_json({**document, "history": [change_object(one) for one in changes]})
        return
    _print(page)
    if changes:
        _print(change_lines(changes, way.locale))


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        typer.echo(line)


def _print_json(document: object) -> None:
    typer.echo(json.dumps(document, ensure_ascii=False, indent=1))
