"""A real switch with a partner, and the partner: for the tests of partners' lines."""

from __future__ import annotations

import asyncio
import hashlib
import random
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TypeVar

from simulators.partner import ACQUIRER, Bank, share_zone_key
from switch.defaults import create_defaults
from switch.link.stream import Client
from switch.settings import load
from tests.server.running_switch import RunningSwitch
from tests.server.sharing import Owner

BANK = "BANK"
COMPONENTS = [bytes([number]) * 31 + bytes([number + 8]) for number in (1, 2, 4)]
UP_S = 30.0  # only a hanging switch is this slow

Result = TypeVar("Result")


def components_of(partner: str) -> list[bytes]:
    """Of the zone key that a partner shares with the switch."""
    return [hashlib.sha256(f"{partner} {number}".encode()).digest() for number in range(3)]


class Partnered(RunningSwitch):
    """What a switch with partners has beside."""

    def told_of(self, kind: str, partner: str = BANK) -> None:
        """Returns when the switch says that its sending key of this kind has changed."""
        told = self.events("kind", kind)
        while not any(line["partner"] == partner for line in told):
            told = self.events("kind", kind, len(told) + 1)

    @property
    def partner_port(self) -> int:
        """Where the bank connects, since the last start."""
        return self.port_of(BANK)

    def port_of(self, partner: str) -> int:
        """Where a partner connects, since the last start."""
        listening = self.events("event", "partner listening")
        return int([line["port"] for line in listening if line["partner"] == partner][-1])


class PartneredSwitch(Partnered):
    """A switch whose settings name one partner, with a zone key. more: lines of its [[partners]]; port: where
    the partner connects, 0 for any; zones: other partners in `more` that have zone keys."""

    def __init__(
        self,
        directory: Path,
        more: str = "",
        changes: dict[str, str] | None = None,
        module: str = "tools.cli",
        port: int = 0,
        zones: Iterable[str] = (),
    ) -> None:
        create_defaults(directory)
        add_partner(directory / "switch.toml", more, port)
        for partner in zones:
            share_zone_key(load(directory / "switch.toml"), partner, components_of(partner))
        super().__init__(directory, changes, module)


class PartneredOwner(Partnered, Owner):
    """One of several on a ledger; the one with bucket 0 has the partners' lines."""


def add_partner(path: Path, more: str = "", port: int = 0) -> None:
    """Name the bank in a settings file and give the switch its zone key."""
    table = f'\n[[partners]]\nname = "{BANK}"\nport = {port}\nacquirers = ["{ACQUIRER}"]\n{more}\n'
    path.write_text(path.read_text(encoding="utf-8") + table, encoding="utf-8")
    share_zone_key(load(path), BANK, COMPONENTS)


def free_port() -> int:
    """A port that a switch can have at each start: below those that the system hands out meanwhile."""
    while True:
        port = random.SystemRandom().randrange(10_000, 32_000)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


@asynccontextmanager
async def connected(bank: Bank, switch: Partnered) -> AsyncIterator[Client]:
    """A line of the bank, up."""
    async with bank.client(switch.port_of(bank.name)) as client:
        await client.up(UP_S)
        yield client


async def exchange_keys(bank: Bank, switch: Partnered, link: Client) -> None:
    """First keys both ways: ours by 0800, the switch's as an operator asks for them."""
    await bank.first_keys(link)
    for kind in ("mac", "pin"):
        ask_for_change(switch, kind, bank.name)
        await asyncio.to_thread(switch.told_of, kind, bank.name)


def ask_for_change(switch: RunningSwitch, kind: str, partner: str = BANK) -> None:
    """What `vafa keys change` leaves in the data directory."""
    directory = switch.directory / "zone-changes"
    directory.mkdir(exist_ok=True)
    (directory / f"{partner}.{kind}").touch()


def played(story: Callable[[], Awaitable[Result]]) -> Result:
    """Run a story to its end; it hangs for two minutes at most."""

    async def play() -> Result:
        async with asyncio.timeout(120):
            return await story()

    return asyncio.run(play())
