"""What `vafa keys` needs of a switch's settings: its HSM, its key store, its terminals and their counters."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import NamedTuple

from switch.hsm import KeyStore
from switch.keys import KeysError, open_hsm, open_store
from switch.ledger import LedgerUnavailable
from switch.ledger.sqlite import open_connection
from switch.settings import Settings, load_for
from tools.cli import CommandError, ExitCode
from tools.keys_room import KeyRoom

# Keys that other keys or records hang on, by the beginning of their names, and what to do instead.
NOT_ROTATED = {
    "bdk/": "a BDK's id is part of every terminal's serials: generate one with a new id, register the terminals"
    " with it, inject them again",
    "pin/verifier": "every member's PIN verifier was made under it: a new one would make all PINs wrong",
    "card/master": "the keys in the members' cards come from it: issue new cards",
    "card/value": "the verification values on the members' cards come from it: issue new cards",
    "ledger/checkpoint": "the checkpoints written so far carry its MAC: revoke nothing, keep it",
    "keys/log": "the log's seals are made under it: it stays",
    "transport/": "a terminal holds it since it was flashed: flash it again, then generate it anew",
}


class TerminalPlace(NamedTuple):
    """A registered terminal. last_counter: the highest KSN counter that the ledger has of it, 0 for none."""

    initial_key_id: bytes
    last_counter: int


def settings_of(data: Path | None, config: Path | None) -> Settings:
    """The settings that the options mean."""
    return load_for(data, config)


def store_of(data: Path | None, config: Path | None) -> KeyStore:
    """The key store. Raises CommandError."""
    try:
        return open_store(settings_of(data, config))
    except KeysError as error:
        raise CommandError(str(error), ExitCode.CONFIGURATION) from None


@asynccontextmanager
async def room_of(data: Path | None, config: Path | None) -> AsyncIterator[KeyRoom]:
    """The room of a switch's data directory, for one command. Raises CommandError."""
    settings = settings_of(data, config)
    try:
        hsm = await open_hsm(settings)
    except KeysError as error:
        raise CommandError(str(error), ExitCode.CONFIGURATION) from None
    try:
        room = await KeyRoom.open(hsm, store_of(data, config), settings.hsm.key_store.parent)
        try:
            yield room
        finally:
            room.close()
    finally:
        await hsm.close()


def terminal_of(data: Path | None, config: Path | None, terminal: str) -> TerminalPlace:
    """A terminal of the settings, and how far its counters have come. Raises CommandError."""
    settings = settings_of(data, config)
    for registered in settings.terminals:
        if registered.id == terminal:
            if registered.blocked:
                raise CommandError(f"terminal {terminal} is blocked", ExitCode.NEGATIVE, "unblock it first")
            counter = _last_counter(settings.ledger_path, registered.initial_key_id)
            return TerminalPlace(registered.initial_key_id, counter)
    raise CommandError(
        f"no terminal {terminal} in {settings.source}", ExitCode.USAGE, "register it: a [[terminals]] table"
    )


def _last_counter(ledger: Path, initial_key_id: bytes) -> int:
    if not ledger.exists():
        return 0  # a switch that never ran
    try:
        with closing(open_connection(ledger, read_only=True)) as connection:
            rows = connection.execute("SELECT counter FROM key_mark WHERE initial_key = ?", (initial_key_id,))
            return max((int(row[0]) for row in rows), default=0)
    except LedgerUnavailable as error:
        raise CommandError(str(error), ExitCode.CONFIGURATION) from None
