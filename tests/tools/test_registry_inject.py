"""A terminal registered while the switch runs: keys over its service port, then a sale by the firmware."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from simulators.cards import Deck
from simulators.cashier import Cashier
from simulators.firmware import INTERPRETERS, Options, Terminal
from simulators.firmware import Place as TerminalPlace
from simulators.switch_process import SwitchProcess
from tests import forked
from tests.tools.keys_kit import BOTH, FOUNDING, Place

NEW, BOOKS = "10000011", "100000000000002"


async def vafa(place: Place, *words: str | Path, answers: tuple[str, ...] = ()) -> str:
    """A command that has to work; what it printed."""
    given = "".join(f"{one}\n" for one in answers)
    command = [*map(str, words), "--data", str(place.data)]
    ended = await asyncio.to_thread(forked.vafa, *command, given=given)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def without_keys(place: Place) -> None:
    """As it is flashed where keys are loaded later."""
    path = place.data / "terminals" / f"{NEW}.json"
    told = json.loads(path.read_text("utf-8"))
    del told["key_block"], told["key_serial"]
    path.write_text(json.dumps(told), "utf-8")


def test_registered_loaded_and_trading_without_a_restart_of_the_switch(tmp_path: Path) -> None:
    async def play() -> None:
        place = Place(tmp_path / "data")
        await vafa(place, "keys", "officer", "add", answers=FOUNDING)
        switch = SwitchProcess(place.data)
        await switch.start()
        await vafa(place, "merchant", "add", BOOKS, "--name-en", "City Books")
        await vafa(place, "terminal", "add", NEW, "--merchant", BOOKS)
        without_keys(place)
        terminal = Terminal(TerminalPlace(place.data, NEW), INTERPRETERS["cpython"](), Options())
        await terminal.start()
        try:
            await terminal.screen("no_keys")
            bench = terminal.place.service_bench
            told = await vafa(place, "keys", "inject", "--terminal", NEW, "--port", bench, answers=BOTH)
            assert told.startswith(f"terminal {NEW}: KSN ")
            cashier, card = Cashier(terminal), Deck().draw()
            await cashier.wait_until_idle()
            activated = (await cashier.activate(card)).of("activate")
            assert activated is not None, terminal.explain("no end")
            assert activated.approved, terminal.explain("declined")
            visit = await cashier.earn(card, 2_500_000)
            earned = visit.of("earn")
            assert earned is not None, terminal.explain(str(visit))
            assert (earned.approved, earned.balance) == (True, "250")
            assert "City Books" in "\n".join(visit.receipts)
        finally:
            await terminal.stop()
        assert switch.starts == 1
        assert await switch.stop() == 0

    asyncio.run(play())
