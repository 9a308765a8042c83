"""Software updates of the real firmware through a real switch, while its power is cut at random moments.

`python -m simulators.campaigns.updates --cuts 50 --seed 1`: a terminal fetches version 2 over its line and is
killed again and again, at any byte of it; in the end version 2 runs and a card earns points. A version that
dies at its start, or says nothing, must give way to the one before.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec

from simulators.campaigns.scene import approved
from simulators.campaigns.shop import HASTE, Shop
from simulators.cashier import Cashier
from simulators.firmware import DEVICES, Interpreter, Options, Place, Terminal, prepare_micropython
from switch.registry import DEFAULT_GROUP, Author, Bundle, Draft, Rollout, changing, keep_content
from switch.settings import Settings, load_for
from tools import firmware_modules, firmware_tree
from tools.firmware_bundle import Signer, made, public_point

MODEL: Final = "unix"
TERMINAL: Final = "10000001"
WAIT_SECONDS: Final = 600.0  # for an update over a line; only ends a hang
EARN_RIAL: Final = 500_000
PIECE_BYTES: Final = 900


@dataclass(slots=True)
class Summary:
    """What a campaign came to."""

    kills: int = 0
    boots: int = 0
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)


def software() -> dict[str, bytes]:
    """The firmware of a counter with the usual devices: path -> `.mpy`."""
    tree = firmware_tree.build()
    files = {}
    for name in firmware_modules.needed("unix", DEVICES):
        path = firmware_modules.path_of(name).relative_to(firmware_modules.CHECKOUT).with_suffix(".mpy")
        files[path.as_posix()] = (tree / path).read_bytes()
    return files


class Counter:
    """A terminal whose software can be updated, and the office that offers it versions."""

    def __init__(self, shop: Shop, terminal: Terminal, key: ec.EllipticCurvePrivateKey) -> None:
        self.shop = shop
        self.terminal = terminal
        self._key = key
        self.settings: Settings = load_for(shop.data, None)
        self.said: list[str] = []
        self.known = 0  # changes that the switch has in force
        self._news = asyncio.Event()
        terminal.on_line = self.hear

    def hear(self, line: str) -> None:
        """What the terminal or the switch said."""
        with contextlib.suppress(ValueError):
            event = json.loads(line)
            if event.get("event") == "log":
                self.said.append(event["what"])
            elif event.get("event") == "registry in force":
                self.known = event["changes"]
        self._news.set()

    async def change(self, make: Callable[[Draft], object]) -> None:
        """Change the registry; returns when the switch knows it."""
        with changing(self.settings) as session:
            make(session.draft)
            author = Author("campaign", "campaign", "", datetime.now().astimezone())
            changes = session.commit("campaign", author).registry.changes
        async with asyncio.timeout(WAIT_SECONDS):
            while self.known < changes:
                self._news.clear()
                await self._news.wait()

    async def offer(self, version: int, files: Mapping[str, bytes]) -> None:
        """Sign these files and roll them out to everybody."""
        content = made(MODEL, version, 1, files, [Signer(0, self._key)])
        digest = keep_content(self.settings, content)

        def roll_out(draft: Draft) -> None:
            draft.add_bundle(Bundle(MODEL, version, 1, digest, len(content)))
            draft.roll_out(DEFAULT_GROUP, Rollout(MODEL, version))

        await self.change(roll_out)

    async def set_parameters(self, values: Mapping[str, object]) -> None:
        """A new parameter version for everybody."""
        content = json.dumps(values).encode()
        digest = keep_content(self.settings, content)
        await self.change(lambda draft: draft.set_parameters(DEFAULT_GROUP, digest, len(content)))

    async def hears(self, what: str, times: int = 1) -> None:
        """Returns when the terminal's log has said so, so often since the start."""
        async with asyncio.timeout(WAIT_SECONDS):
            while sum(what in said for said in self.said) < times:
                self._news.clear()
                await self._news.wait()

    async def sale(self) -> None:
        """A card is activated and earns: whatever runs, runs well."""
        (card, *_) = await self.shop.own_cards()
        cashier = Cashier(self.terminal)
        approved(await cashier.activate(card), "activate")
        approved(await cashier.earn(card, EARN_RIAL), "earn")


@contextlib.asynccontextmanager
async def counter(data: Path, interpreter: Interpreter, port: int | None = None) -> AsyncIterator[Counter]:
    """A switch on `data` and one terminal, not started yet. port: where its line goes, the switch's unless
    given."""
    key = ec.generate_private_key(ec.SECP256R1())
    heard: list[Counter] = []

    def hear(line: str) -> None:
        for one in heard:
            one.hear(line)

    shop = Shop(data, interpreter, terminals=0, seed=1, on_log=hear)
    async with shop.open():
        update = {
            "model": MODEL,
            "version": 1,
            "keys": [public_point(key.public_key()).hex()],
            "needed": 1,
        }
        options = Options(settings={**HASTE, "port": port or shop.switch.port}, reader_pace=0, update=update)
        terminal = Terminal(Place(data, TERMINAL), interpreter, options)
        shop.records.watch(terminal)
        at = Counter(shop, terminal, key)
        heard.append(at)
        try:
            yield at
        finally:
            await terminal.stop()


async def cut_while_updating(at: Counter, cuts: int, seed: int) -> Summary:
    """Version 2 comes while the power is cut at random moments; then it is well, and trades."""
    choice, summary, begun = random.Random(seed), Summary(), time.monotonic()
    await at.set_parameters({"piece_bytes": PIECE_BYTES, "receipt_copies": 1})
    await at.offer(2, software())
    await at.terminal.start()
    watch = asyncio.create_task(at.hears("software: version 2 is well"))
    while summary.kills < cuts and not watch.done():
        # Mostly within the fetching of a few pieces, sometimes later.
        await asyncio.wait([watch], timeout=choice.expovariate(1.0) * choice.choice((0.2, 1.0, 3.0)))
        if not watch.done():
            await at.terminal.kill()
            await at.terminal.restart()
            summary.kills += 1
    await watch
    await Cashier(at.terminal).wait_until_idle()
    await at.sale()
    summary.boots = at.terminal.boots
    summary.problems += at.terminal.faults
    summary.seconds = time.monotonic() - begun
    return summary


async def versions_that_fail(at: Counter) -> Summary:
    """Versions that die at their start: after the third one the version before is back and goes on."""
    summary, begun = Summary(), time.monotonic()
    await at.set_parameters({"piece_bytes": PIECE_BYTES})
    await at.offer(2, {"terminal/__init__.mpy": b"no bytecode", "terminal/main.mpy": b"none either"})
    await at.terminal.start()
    await at.hears("restart: software: version 2 is on trial")
    await at.hears("software on trial does not start", 3)
    await at.hears("signed on", 2)
    await Cashier(at.terminal).wait_until_idle()
    await at.sale()
    summary.problems += at.terminal.faults
    summary.seconds = time.monotonic() - begun
    return summary


async def campaign(cuts: int, seed: int) -> Summary:
    """Both, each on a fresh data directory."""
    interpreter = prepare_micropython()
    with tempfile.TemporaryDirectory() as directory:
        async with counter(Path(directory) / "failing", interpreter) as at:
            failing = await versions_that_fail(at)
        failing.problems += await at.shop.audit()
        async with counter(Path(directory) / "cut", interpreter) as at:
            summary = await cut_while_updating(at, cuts, seed)
        summary.problems += await at.shop.audit()
    summary.problems += failing.problems
    summary.seconds += failing.seconds
    return summary


def main() -> int:
    """0 when every update came to a good end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cuts", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    summary = asyncio.run(campaign(arguments.cuts, arguments.seed))
    for problem in summary.problems:
        print(problem)
    print(f"{summary.kills} cuts, {summary.boots} starts, {summary.seconds:.0f} s, seed {arguments.seed}")
    return 1 if summary.problems else 0


if __name__ == "__main__":
    sys.exit(main())
