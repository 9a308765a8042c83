"""What `vafa keys` needs of a switch's settings: its HSM, its key store, its terminals and their counters."""

from __future__ import annotations

import fcntl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from switch.hsm import KeyStore
from switch.keys import KeysError, base_key_name, open_hsm, open_store
from switch.ledger import LedgerUnavailable
from switch.registry import registered_terminals
from switch.settings import Settings, load_for
from tools.cli import CommandError, ExitCode
from tools.keys_room import KeyRoom


class TerminalPlace(NamedTuple):
    """A registered terminal. last_counter: the highest KSN counter that the ledger has of it, 0 for none."""

    initial_key_id: bytes
    last_counter: int


def store_of(data: Path | None, config: Path | None) -> KeyStore:
    """The key store. Raises CommandError."""
    try:
        return open_store(load_for(data, config))
    except KeysError as error:
        raise CommandError(str(error), ExitCode.CONFIGURATION) from None


@asynccontextmanager
async def room_of(data: Path | None, config: Path | None) -> AsyncIterator[KeyRoom]:
    """The room of a switch's data directory, for one command. Raises CommandError."""
    settings = load_for(data, config)
    try:
        hsm = await open_hsm(settings)
    except KeysError as error:
        raise CommandError(str(error), ExitCode.CONFIGURATION) from None
    try:
        directory = settings.hsm.key_store.parent
        serving = _is_serving(settings)
        room = await KeyRoom.open(hsm, store_of(data, config), directory, is_serving=serving)
        try:
            yield room
        finally:
            room.close()
    finally:
        await hsm.close()


def terminal_of(data: Path | None, config: Path | None, terminal: str) -> TerminalPlace:
    """A registered terminal, and how far its counters have come. Raises CommandError."""
    settings = load_for(data, config)
    for registered in registered_terminals(settings):
        if registered.id == terminal:
            if registered.blocked or registered.acceptor_blocked:
                whose = "" if registered.blocked else f"'s merchant {registered.acceptor}"
                raise CommandError(
                    f"terminal {terminal}{whose} is blocked",
                    ExitCode.NEGATIVE,
                    f"unblock it first; vafa terminal show {terminal} says why it is",
                )
            counter = _last_counter(settings, registered.initial_key_id)
            return TerminalPlace(registered.initial_key_id, counter)
    raise CommandError(
        f"no terminal {terminal} in {settings.source} or its registry",
        ExitCode.USAGE,
        f"register it: vafa terminal add {terminal}, or a [[terminals]] table",
    )


def terminals_under(data: Path | None, config: Path | None, name: str) -> list[str]:
    """The registered terminals, blocked ones too, whose initial keys come from the BDK of this name."""
    registered = registered_terminals(load_for(data, config))
    return [one.id for one in registered if base_key_name(one.initial_key_id) == name]


def _is_serving(settings: Settings) -> bool:
    """Whether a switch runs on this directory: it holds the lock."""
    try:
        with settings.lock_path.open("r") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def _last_counter(settings: Settings, initial_key_id: bytes) -> int:
    try:
        return settings.ledger_place.last_counter(initial_key_id)
    except LedgerUnavailable as error:
        raise CommandError(
            f"the terminal's counters can't be read: {error}",
            ExitCode.CONFIGURATION,
            "start the switch of this directory once: it repairs its ledger, or says what to do",
        ) from None
