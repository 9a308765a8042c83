"""A change of the registry as a command makes it: what was typed, who does it, what comes with it.

All of a command's changes are made in one, or none. What a change means is `switch.registry`'s.
"""

from __future__ import annotations

import json
import os
import pwd
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

import typer

from switch.defaults import (
    make_keys_in_process,
    read_terminal_settings,
    tell_terminal,
    write_terminal_settings,
)
from switch.hsm import KeyStore, KeyStoreError
from switch.hsm.port import HsmError
from switch.iso8583 import mask_text
from switch.keys import KeysError, base_key_name, open_store, transport_key_name
from switch.ledger import LedgerUnavailable
from switch.people import UnusableName, check_name
from switch.registry import (
    Author,
    ChangeRefused,
    Draft,
    InForce,
    RegistryBroken,
    RegistryError,
    TerminalRecord,
    changing,
    read,
)
from switch.registry.records import KEY_ID_BYTES, spelled
from switch.settings import IN_PROCESS, Settings, SettingsError, load_for
from terminal.text import latin_digits
from tools.cli import CommandError, ExitCode
from tools.registry_table import Mistakes, Row, rows_of
from tools.registry_words import Locale, word

MOST_NOTED = 10  # terminals that a note names; a list has thousands
BUSINESS_ZONE = ZoneInfo("Asia/Tehran")


class Format(StrEnum):
    """How it is printed."""

    TEXT = "text"
    JSON = "json"


class Way(NamedTuple):
    """The options that every command has."""

    data: Path | None
    config: Path | None
    format: Format
    locale: Locale


class Doing(NamedTuple):
    """What is done, by whom and why."""

    kind: str
    verb: str
    by: str | None
    reason: str


def do_each(way: Way, doing: Doing, names: Sequence[str], change: Callable[[Draft, str], bool]) -> None:
    rows = [Row(0, {doing.kind: identifier(name)}) for name in names]
    do(way, doing, rows, lambda draft, row: change(draft, row.values[doing.kind]), None)


def do(
    way: Way, doing: Doing, rows: Sequence[Row], change: Callable[[Draft, Row], bool], file: Path | None
) -> None:
    """Make all changes in one, or none; then what comes with them. Raises CommandError."""
    with explained():
        settings = load_for(way.data, way.config)
        author = author_of(doing)
        with changing(settings) as session:
            done = _changed(session.draft, doing, rows, change, file)
            after = session.commit(f"{doing.kind} {doing.verb}", author)
            notes = ["the log's last line was missing and is there again"] if session.repaired else []
            number = after.registry.changes if any(done.values()) else None
        notes += _consequences(settings, doing, done, after)
    _tell(way, doing, done, number, notes)


def _changed(
    draft: Draft, doing: Doing, rows: Sequence[Row], change: Callable[[Draft, Row], bool], file: Path | None
) -> dict[str, bool]:
    """Whether each one was changed."""
    done: dict[str, bool] = {}
    mistakes = None if file is None else Mistakes(file)
    for row in rows:
        try:
            name = identifier(row.values[doing.kind])
            if file is not None and name in done:
                raise ChangeRefused(f"{doing.kind} {name} stands twice", "remove one of the lines")
            done[name] = change(draft, row) or done.get(name, False)
        except ChangeRefused as error:
            if mistakes is None:
                raise
            mistakes.add(row.line, error)
    if mistakes is not None:
        mistakes.refuse()
    return done


def _consequences(settings: Settings, doing: Doing, done: dict[str, bool], after: InForce) -> list[str]:
    """Do what a change brings with it beside the registry; what is left to the operator."""
    changed = {name for name, was in done.items() if was}
    merchants = after.registry.merchants
    if doing.verb == "add" and doing.kind == "merchant":
        for one in after.terminals:
            if one.acceptor in changed:
                tell_terminal(settings, one, merchants)
    if doing.verb == "assign" and changed:
        for one in after.terminals:
            if one.id in changed:
                tell_terminal(settings, one, merchants)
        return [
            f"{_shown(changed)}: whether a batch is open is not known here; an open one is settled with the"
            " merchant so far",
            f"{_shown(changed)}: refused with 58 until its firmware names the new merchant: start it again,"
            " or load its settings",
        ]
    if doing.verb == "add" and doing.kind == "terminal":
        return _keys_for(settings, done, after)
    return []


def _running_port(settings: Settings) -> int | None:
    """Where the switch of this directory listens, when one runs."""
    try:
        return int(settings.port_path.read_text("ascii"))
    except (OSError, ValueError):
        return None


def _keys_for(settings: Settings, done: dict[str, bool], after: InForce) -> list[str]:
    """Make the keys of new terminals where this is a test installation; else say how they get them."""
    from tools import demo_hsm  # the simulators come with it, and most commands need none

    try:
        if not settings.is_production:
            if settings.hsm.adapter == IN_PROCESS:
                make_keys_in_process(settings)
            elif demo_hsm.works_here(settings.source.parent):
                import asyncio

                asyncio.run(demo_hsm.make_missing(settings, settings.source.parent))
        write_terminal_settings(settings, _running_port(settings))
        store = open_store(settings)
    except (KeysError, KeyStoreError, HsmError, LedgerUnavailable, CommandError) as error:
        raise CommandError(
            f"{_shown(done)} registered; the keys could not be made: {error}",
            ExitCode.CONFIGURATION,
            "the same command again when that is put right, or load keys: vafa keys inject",
        ) from None
    names = set(store.names())
    without = [name for name in done if transport_key_name(name) not in names]
    notes = []
    if without:
        notes.append(
            f"{_shown(without)}: no transport key yet: vafa keys ceremony {transport_key_name(without[0])}"
        )
    known = {one.id: one for one in after.terminals}
    unloaded = [name for name in done if "key_block" not in read_terminal_settings(settings, known[name])]
    if unloaded:
        notes.append(
            f"{_shown(unloaded)}: load keys: vafa keys inject --terminal {unloaded[0]} --port DEVICE"
        )
    return notes


def bdk_id_of(settings: Settings, store: KeyStore, asked: str) -> bytes:
    """The BDK that new terminals get their keys from: the one asked for, the only one there is, or the one
    that all terminals have. Raises ChangeRefused, RegistryError."""
    if asked:
        bdk_id = _hexadecimal("--bdk", asked, 4)
        check_base_key(store, bdk_id)
        return bdk_id
    there = {name for name in store.names() if name.startswith("bdk/") and _is_active(store, name)}
    used = {base_key_name(one.initial_key_id) for one in read(settings).terminals}
    for choice in (there, used & there):
        if len(choice) == 1:
            return bytes.fromhex(choice.pop().removeprefix("bdk/"))
    if not there:
        raise ChangeRefused(
            "no BDK in the key store", "make one: vafa keys generate bdk/0A0B0C0D, with an id of your own"
        )
    raise ChangeRefused(f"several BDKs: {', '.join(sorted(there))}", "say which: --bdk 0A0B0C0D")


def check_base_key(store: KeyStore, key_id: bytes) -> None:
    name = base_key_name(key_id)
    if not _is_active(store, name):
        raise ChangeRefused(f"{name} is not in the key store", f"make it first: vafa keys generate {name}")


def _is_active(store: KeyStore, name: str) -> bool:
    try:
        store.key(name)
    except KeyStoreError:
        return False
    return True


# ---------------------------------------------------------------- input


def rows_typed(
    kind: str,
    name: str | None,
    values: dict[str, str],
    file: Path | None,
    columns: Sequence[str],
    needed: int,
) -> list[Row]:
    """What the options say, or the file."""
    if file is not None:
        if any(values.values()):
            raise CommandError(f"--file and a {kind} exclude each other", ExitCode.USAGE, "give one of them")
        return rows_of(file, columns, needed)
    if name is None:
        raise CommandError(f"no {kind} is named", ExitCode.USAGE, f"give a {kind}, or --file")
    return [Row(0, values)]


def texts_of(values: dict[str, str], kind: str, *ids: str) -> dict[str, str]:
    """A row's values as they are kept; the one named `kind` becomes the id."""
    kept = {
        name: identifier(value) if name in (kind, *ids) else text_of(name, value)
        for name, value in values.items()
    }
    if "category" in kept:
        kept["category"] = latin_digits(kept["category"])
    return {"id": kept.pop(kind), **kept}


def identifier(text: str) -> str:
    """As typed, on a Persian keyboard too."""
    return str(latin_digits(text.strip()))


def text_of(name: str, text: str) -> str:
    kept = spelled(text)
    if mask_text(kept) != kept:
        raise ChangeRefused(f"{name}: looks like a card number", "leave it away")
    return kept


def key_id_of(text: str) -> bytes:
    return _hexadecimal("initial_key_id", text, KEY_ID_BYTES)


def _hexadecimal(name: str, text: str, size: int) -> bytes:
    digits = identifier(text)
    try:
        value = bytes.fromhex(digits)
    except ValueError:
        value = b""
    if len(value) != size or len(digits) != 2 * size:
        raise ChangeRefused(f"{name}: expected {2 * size} hexadecimal digits", "correct it")
    return value


def author_of(doing: Doing) -> Author:
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        user = str(os.getuid())
    try:
        by = user if doing.by is None else check_name(doing.by)
    except UnusableName as error:
        raise ChangeRefused(f"--by: {error}", "give the name of a person") from None
    reason = text_of("reason", doing.reason)
    # Held against the limits of a record's text; the record of another verb doesn't carry it.
    TerminalRecord("0" * 8, "0" * 15, bytes(KEY_ID_BYTES), reason=reason)
    return Author(by, user, reason, datetime.now(BUSINESS_ZONE))


@contextmanager
def explained() -> Iterator[None]:
    """What the registry, the settings or the keys refuse, as an error that an operator can act on."""
    try:
        yield
    except ChangeRefused as error:
        raise CommandError(error.what, ExitCode.USAGE, error.try_next) from None
    except RegistryBroken as error:
        raise CommandError(error.what, ExitCode.NEGATIVE, error.try_next) from None
    except RegistryError as error:
        raise CommandError(error.what, ExitCode.CONFIGURATION, error.try_next) from None
    except (SettingsError, KeysError) as error:
        raise CommandError(str(error), ExitCode.CONFIGURATION) from None


def _tell(way: Way, doing: Doing, done: dict[str, bool], number: int | None, notes: Sequence[str]) -> None:
    if way.format is Format.JSON:
        document = {
            "what": f"{doing.kind} {doing.verb}",
            "change": None if number is None else str(number),
            "changed": [name for name, was in done.items() if was],
            "unchanged": [name for name, was in done.items() if not was],
            "notes": list(notes),
        }
        typer.echo(json.dumps(document, ensure_ascii=False))
        return
    for name, was in done.items():
        verb = "grouped" if doing.verb == "group" else doing.verb
        said = word(verb if was else "unchanged", way.locale)
        typer.echo(f"{word(doing.kind, way.locale)} {name}: {said}")
    for note in notes:
        typer.echo(f"note: {note}", err=True)


def _shown(names: Iterable[str]) -> str:
    """Some of them, for a note."""
    some = sorted(names)
    more = f" and {len(some) - MOST_NOTED} more" if len(some) > MOST_NOTED else ""
    return f"terminal {' and '.join(some[:MOST_NOTED])}{more}"
