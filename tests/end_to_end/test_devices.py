"""The real firmware with a device of every kind: each brings a sale, and each may go wrong and come back."""

from __future__ import annotations

import asyncio
from pathlib import Path

from simulators.cards import Card, Deck
from simulators.cashier import Cashier
from simulators.counter import ScannerPlace, TapPlace
from simulators.firmware import ALL_DEVICES, Interpreter, Options, Place, Terminal, Transaction
from simulators.issuing import issued
from simulators.smart_cards import SmartCard, made
from simulators.switch_process import SwitchProcess
from switch.settings import load_for
from terminal.drivers.codes import member_code

PULLED = {
    "tap": "No tap reader",
    "chip": "No chip reader",
    "scanner": "No scanner",
    "printer": "No printer",
    "reader": "No card reader",
    "keypad": "No keypad",
}
SILENCED = {"tap": ("silent", "Tap error"), "scanner": ("asleep", "Scanner error")}
PURCHASE = "2500000#"


def test_a_device_of_every_kind(tmp_path: Path, micropython: Interpreter) -> None:
    async def scene() -> None:
        switch = SwitchProcess(tmp_path)
        await switch.start()
        options = Options({"port": switch.port}, devices=ALL_DEVICES, reader_pace=0)
        terminal = Terminal(Place(tmp_path, "10000001"), micropython, options)
        try:
            await terminal.start()
            settings = load_for(tmp_path, None)
            [card] = await issued(settings, [Deck().draw()])
            cashier = Cashier(terminal)
            await cashier.wait_until_idle()
            assert (await cashier.activate(card)).of("activate") is not None
            smart = await made(settings, tmp_path, card)
            await trade(terminal, card, smart)
            await spend(terminal, smart)
            await pull_each(terminal)
            await silence_each(terminal)
            babble_all(terminal)
            visit = await cashier.earn(card, 2_500_000)
            assert [one.balance for one in visit.transactions] == ["800"]
            assert terminal.boots == 1
            assert terminal.faults == []
        finally:
            await terminal.stop()
            await switch.stop()

    asyncio.run(scene())


async def trade(terminal: Terminal, card: Card, smart: SmartCard) -> None:
    await terminal.ask("chip", **smart.to_insert(0))
    assert (await sale(terminal)).balance == "250"
    await terminal.ask("chip", do="take_out")

    tap = asyncio.create_task(terminal.ask("tap", **smart.to_tap(0)))
    assert (await sale(terminal)).balance == "500"
    assert (await tap)["counter"] == 1, "it was read once"

    assert (await terminal.ask("scanner", do="scan", text=member_code(card.number)))["read"]
    assert (await sale(terminal)).balance == "750"


async def spend(terminal: Terminal, smart: SmartCard) -> None:
    """A card that proves itself spends without a PIN; what it said once spends nothing more."""
    for counter, expected in ((50, ("00", "650")), (20, ("82", "0"))):
        await terminal.press("B")
        await terminal.screen("swipe")
        await terminal.ask("chip", **smart.to_insert(counter))
        assert await redeemed(terminal) == expected
        await terminal.ask("chip", do="take_out")
    await terminal.press("B")
    await terminal.screen("swipe")
    tap = asyncio.create_task(terminal.ask("tap", **smart.to_tap(50)))
    assert await redeemed(terminal) == ("00", "550")
    await tap


async def redeemed(terminal: Terminal) -> tuple[str, str]:
    await terminal.screen("points")
    await terminal.press("100#")
    transaction = await terminal.transaction("redeem")
    await terminal.press("*")
    await terminal.screen("idle")
    return transaction.response_code, transaction.balance


async def sale(terminal: Terminal) -> Transaction:
    """What comes of a card that is there: the amount, and the result put away."""
    await terminal.screen("amount")
    await terminal.press(PURCHASE)
    transaction = await terminal.transaction("earn")
    assert transaction.approved
    await terminal.press("*")
    await terminal.screen("idle")
    return transaction


async def pull_each(terminal: Terminal) -> None:
    for name, text in PULLED.items():
        terminal.forget_events()
        await terminal.unplug(name)
        await told(terminal, text, True)
        await terminal.plug(name)
        await told(terminal, text, False)


async def silence_each(terminal: Terminal) -> None:
    """Two say nothing at the same time; one is told after the other, and both come back."""
    terminal.forget_events()
    for name, (fault, _) in SILENCED.items():
        await terminal.ask(name, do="wrong", **{fault: 1000})
    for name, (_, text) in SILENCED.items():
        await told(terminal, text, True)
        await terminal.ask(name, do="wrong")
        await told(terminal, text, False)


async def told(terminal: Terminal, text: str, is_told: bool) -> None:
    """A screen comes with this text, or without it."""
    current = terminal.current_screen
    while current is None or (text in current.lines) != is_told:
        current = await terminal.screen()


def babble_all(terminal: Terminal) -> None:
    """Something else is on the lines: one burst for each."""
    for name in ("tap", "scanner"):
        place = terminal.counter[name]
        assert isinstance(place, TapPlace | ScannerPlace)
        place.reader.babble()
