"""The real firmware sells over the phone and over the air, at the real switch: points are never lost or twice."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from simulators.campaigns.scene import BEFORE_POINTS, BEFORE_RIAL, approved
from simulators.campaigns.shop import FIRST_TERMINAL, HASTE, Shop
from simulators.cards import Card
from simulators.cashier import Cashier
from simulators.firmware import Interpreter, Options, Place, Terminal
from simulators.modem import Number
from simulators.phone_line import BACKUP_NUMBER, FIRST_NUMBER, MobileNetwork, PhoneLine

EARN_RIAL = 1_000_000
AFTER_EARN = str(int(BEFORE_POINTS) + 100)
FAR = 40  # bytes of the sign-on's answer and a few more: in the middle of a message
Play = Callable[["Counter"], Awaitable[None]]


class Counter:
    """A terminal whose only line goes over a modem."""

    def __init__(self, shop: Shop, terminal: Terminal, line: PhoneLine | MobileNetwork, card: Card) -> None:
        self.terminal = terminal
        self.line = line
        self.card = card
        self.cashier = Cashier(terminal)

    async def balance(self) -> str:
        return approved(await self.cashier.balance(self.card), "balance").balance


def run(directory: Path, interpreter: Interpreter, kind: str, play: Play) -> None:
    async def acts() -> list[str]:
        shop = Shop(directory, interpreter, terminals=0, seed=1)
        async with shop.open():
            host, port = shop.switch.host, shop.switch.port
            line = PhoneLine(host, port) if kind == "dial" else MobileNetwork(host, port, kind)
            options = Options(
                settings={**HASTE, "host": host, "port": port, "lines": [line.line]},
                reader_pace=0,
                further={"modem": line},
            )
            terminal = Terminal(Place(directory, str(FIRST_TERMINAL)), interpreter, options)
            shop.records.watch(terminal)
            shop.terminals.append(terminal)
            try:
                await terminal.start()
                (card, *_rest) = await shop.own_cards()
                counter = Counter(shop, terminal, line, card)
                await counter.cashier.wait_until_idle()
                approved(await counter.cashier.activate(card), "activate")
                approved(await counter.cashier.earn(card, BEFORE_RIAL), "earn")
                await play(counter)
                assert terminal.boots == 1
            finally:
                await terminal.stop()
        return await shop.audit()

    assert asyncio.run(acts()) == []


def test_over_the_phone(tmp_path: Path, micropython: Interpreter) -> None:
    async def play(at: Counter) -> None:
        line = at.line
        assert isinstance(line, PhoneLine)
        assert line.modem.dialled == [FIRST_NUMBER]  # one call for all of it
        # The host has booked it and its answer never comes.
        line.loses_answers = 1
        visit = await at.cashier.earn(at.card, EARN_RIAL)
        assert approved(visit, "reversal").original_stan
        assert visit.of("earn") is None
        assert await at.balance() == BEFORE_POINTS
        # Damaged on the way: asked for again, booked once.
        line.host.mishears, line.host.spoils = 1, 1
        assert approved(await at.cashier.earn(at.card, EARN_RIAL), "earn").balance == AFTER_EARN
        # The call ends in the middle of the answer, the next one finds the first number busy.
        line.numbers[FIRST_NUMBER] = Number(result=7)
        line.modem.drop_after(FAR)
        visit = await at.cashier.earn(at.card, EARN_RIAL)
        assert approved(visit, "reversal").original_stan
        assert line.modem.dialled[-1] == BACKUP_NUMBER
        assert await at.balance() == AFTER_EARN
        assert approved(await at.cashier.redeem(at.card, 5), "redeem").points == "5"

    run(tmp_path, micropython, "dial", play)


@pytest.mark.parametrize("family", ["sim800", "m95"])
def test_over_the_air(tmp_path: Path, micropython: Interpreter, family: str) -> None:
    async def play(at: Counter) -> None:
        line = at.line
        assert isinstance(line, MobileNetwork)
        line.loses_answers, line.by = 1, "deactivate"
        visit = await at.cashier.earn(at.card, EARN_RIAL)
        assert approved(visit, "reversal").original_stan
        assert await at.balance() == BEFORE_POINTS
        line.air.drops_after = FAR
        visit = await at.cashier.earn(at.card, EARN_RIAL)
        assert visit.of("earn") is None
        line.air.drops_after = 0
        await at.cashier.wait_until_idle()
        assert await at.balance() == BEFORE_POINTS
        assert approved(await at.cashier.earn(at.card, EARN_RIAL), "earn").balance == AFTER_EARN

    run(tmp_path, micropython, family, play)
