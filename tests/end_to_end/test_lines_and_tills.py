"""The real firmware sells over the phone and over the air, for its cashier and for a cash register, at the
real switch: points are never lost or twice."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

from transbank.POS.POSIntegrado import POSIntegrado

from simulators.campaigns.scene import BEFORE_POINTS, BEFORE_RIAL, approved
from simulators.campaigns.shop import FIRST_TERMINAL, HASTE, Shop
from simulators.cards import Card
from simulators.cashier import Cashier
from simulators.firmware import Interpreter, Options, Place, Plugged, Terminal
from simulators.modem import Number
from simulators.phone_line import BACKUP_NUMBER, FIRST_NUMBER, MobileNetwork, PhoneLine
from simulators.service_cable import ServiceCable
from simulators.till import ECR17, Result, Till, TillPort, sale

EARN_RIAL = 1_000_000
AFTER_EARN = str(int(BEFORE_POINTS) + 100)
MIDDLE = 40  # of the bytes of an answer
SDK_TRIES = 300  # of 0.2 s each


class Cable:
    """To a register that opens a serial port of its own."""

    kind = "fields"

    async def plug_in(self, link: Path) -> str:
        self.far_end = link.with_name("till.far")
        self._cable = ServiceCable(link, self.far_end)
        self._cable.open()
        return str(link)

    async def unplug(self) -> None:
        self._cable.close()


class Counter:
    """A terminal whose only line goes over a modem, with a register beside it and a card that has points."""

    def __init__(self, shop: Shop, number: int, line: PhoneLine | MobileNetwork, till: Plugged) -> None:
        self.shop = shop
        further: dict[str, Plugged] = {"modem": line, "till": till}
        settings = {**HASTE, "host": shop.switch.host, "port": shop.switch.port, "lines": [line.line]}
        self.place = Place(shop.data, str(FIRST_TERMINAL + number))
        options = Options(settings=settings, reader_pace=0, further=further)
        self.terminal = Terminal(self.place, shop._interpreter, options)
        shop.records.watch(self.terminal)
        shop.terminals.append(self.terminal)
        self.cashier = Cashier(self.terminal)
        self.card: Card

    async def open(self) -> None:
        await self.terminal.start()
        self.card = (await self.shop.own_cards())[0]
        await self.cashier.wait_until_idle()
        approved(await self.cashier.activate(self.card), "activate")
        approved(await self.cashier.earn(self.card, BEFORE_RIAL), "earn")


async def over_the_phone(at: Counter, line: PhoneLine, cable: Cable) -> None:
    await at.open()
    assert line.modem.dialled == [FIRST_NUMBER]  # one call for all of it
    # The host has booked it and its answer never comes.
    line.loses_answers = 1
    visit = await at.cashier.earn(at.card, EARN_RIAL)
    assert approved(visit, "reversal").original_stan
    assert visit.of("earn") is None
    # Damaged on the way: asked for again, booked once.
    line.host.mishears, line.host.spoils = 1, 1
    assert approved(await at.cashier.earn(at.card, EARN_RIAL), "earn").balance == AFTER_EARN
    # The call ends in the middle of the answer, the next one finds the first number busy.
    line.numbers[FIRST_NUMBER] = Number(result=7)
    line.modem.drop_after(MIDDLE)
    visit = await at.cashier.earn(at.card, EARN_RIAL)
    assert approved(visit, "reversal").original_stan
    assert line.modem.dialled[-1] == BACKUP_NUMBER
    await a_register_that_others_wrote(at, cable)


async def a_register_that_others_wrote(at: Counter, cable: Cable) -> None:
    register = POSIntegrado()
    assert register.open_port(str(cable.far_end), 9600)
    register.timeout = SDK_TRIES
    assert await asyncio.to_thread(register.poll)
    at.terminal.forget_events()
    asked: asyncio.Task[dict[str, Any]] = asyncio.create_task(
        asyncio.to_thread(register.sale, EARN_RIAL, "A17")
    )
    await at.terminal.screen("till_sale")
    await at.terminal.swipe(at.card)
    answer = await asked
    assert answer["success"] is True
    assert (answer["ticket"], answer["amount"]) == ("A17", str(EARN_RIAL))
    assert answer["terminal_id"] == at.place.terminal_id
    earned = await at.terminal.transaction("earn")
    assert (answer["operation_number"], earned.balance) == (earned.stan, str(int(AFTER_EARN) + 100))
    # Power cut: it asks, and hears of the same sale.
    await at.terminal.kill()
    await at.terminal.restart()
    await at.terminal.screen("idle")
    again = await asyncio.to_thread(register.last_sale)
    assert again["operation_number"] == earned.stan
    register.close_port()


async def over_the_air(at: Counter, line: MobileNetwork, register: TillPort) -> None:
    await at.open()
    line.loses_answers, line.by = 1, "deactivate"
    visit = await at.cashier.earn(at.card, EARN_RIAL)
    assert approved(visit, "reversal").original_stan
    assert visit.of("earn") is None
    line.by = "drop"
    await a_register_on_the_network(at, line, register)


async def a_register_on_the_network(at: Counter, line: MobileNetwork, register: TillPort) -> None:
    terminal = at.place.terminal_id
    last = f"{terminal}0G{7:08d}0000".encode()
    at.terminal.forget_events()
    # The answer is lost after the switch has booked it: taken back, and the register is told so.
    line.loses_answers = 1
    asked = asyncio.create_task(register.ask(sale(terminal, "7", EARN_RIAL, "B-1", "X")))
    await at.terminal.screen("till_sale")
    await at.terminal.swipe(at.card)
    refused = Result.of(await asked or b"")
    assert refused.code == "01"
    assert (await at.terminal.transaction("reversal")).approved
    await at.terminal.press("*")
    await at.terminal.screen("idle")
    # It hangs up in the middle, the terminal finishes alone, and it hears what became of it.
    asked = asyncio.create_task(register.ask(sale(terminal, "7", EARN_RIAL, "B-2", "X")))
    await at.terminal.screen("till_sale")
    asked.cancel()
    await register.disconnect()
    await at.terminal.swipe(at.card)
    earned = await at.terminal.transaction("earn")
    assert (earned.approved, earned.balance) == (True, AFTER_EARN)
    told = Result.of(await register.ask(last) or b"")
    assert (told.code, told.stan, told.amount) == ("00", earned.stan, f"{EARN_RIAL:08d}")
    # The terminal has gone: the register goes on without.
    await at.terminal.kill()
    assert await register.ask(sale(terminal, "7", EARN_RIAL, "B-3", "X")) is None
    await at.terminal.restart()
    await at.terminal.screen("idle")


def test_nothing_is_lost_or_twice(tmp_path: Path, micropython: Interpreter) -> None:
    async def acts() -> list[str]:
        shop = Shop(tmp_path, micropython, terminals=0, seed=1)
        async with shop.open():
            where = shop.switch.host, shop.switch.port
            phone, air = PhoneLine(*where), MobileNetwork(*where)
            cable, register = Cable(), TillPort(Till(ECR17["message"]), address=free_address())
            first, second = Counter(shop, 0, phone, cable), Counter(shop, 1, air, register)
            try:
                await asyncio.gather(over_the_phone(first, phone, cable), over_the_air(second, air, register))
                assert (first.terminal.boots, second.terminal.boots) == (2, 2)
            finally:
                await first.terminal.stop()
                await second.terminal.stop()
        return await shop.audit()

    assert asyncio.run(acts()) == []


def free_address() -> tuple[str, int]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        host, port = free.getsockname()
        return host, port
