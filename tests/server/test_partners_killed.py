"""Partners' lines while switch and bank are killed and keys change: every message once, none lost."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from simulators.partner import Bank, points_of
from switch.ledger.verify import verify
from switch.link.errors import LinkDown, LinkError, LinkTimeout
from switch.link.stream import Client
from switch.server.zone_keys import MAC, ZoneKeyError
from tests.server.killed_partner_switch import FATAL_AMOUNT
from tests.server.partner_kit import (
    BANK,
    COMPONENTS,
    UP_S,
    PartneredSwitch,
    ask_for_change,
    connected,
    exchange_keys,
    free_port,
    played,
)
from tests.server.running_switch import TerminalSide

PLANTED = "tests.server.killed_partner_switch"
CUSTOMERS = 2
ROUNDS = 2
RATE = 10_000
ANSWER_S = 2.0  # a lost answer is asked for again after so long; the test doesn't judge how long it takes


Begin = Callable[..., PartneredSwitch]


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Begin]:
    """Makes a switch that doesn't outlive a test that failed."""
    begun: list[PartneredSwitch] = []

    def make(**how: Any) -> PartneredSwitch:
        begun.append(PartneredSwitch(tmp_path / "switch", **how))
        return begun[-1]

    yield make
    for switch in begun:
        switch.process.kill()


def test_what_was_decided_before_the_kill_is_answered_after_it(tmp_path: Path, begin: Begin) -> None:
    switch = begin(module=PLANTED)
    bank = Bank(tmp_path, BANK, COMPONENTS)
    terminal = TerminalSide(switch)
    card = terminal.activated_card(100)
    earn = bank.earn(card, int(FATAL_AMOUNT))
    redemption = bank.redemption(None, int(FATAL_AMOUNT) // 100, switch.track(card))

    async def until_the_kill() -> None:
        async with connected(bank, switch) as link:
            await exchange_keys(bank, switch, link)
            with pytest.raises(LinkDown) as raised:
                await bank.ask(link, earn)
            assert raised.value.sent

    async def afterwards() -> None:
        async with connected(bank, switch) as link:
            answer = await bank.ask(link, bank.again(earn))
            assert (answer["39"], points_of(answer)) == ("00", 166)
            assert await bank.ask(link, earn) == answer
            assert (await bank.ask(link, redemption))["39"] == "00"
            assert (await bank.ask(link, bank.reversal_of(earn)))["39"] == "00"

    played(until_the_kill)
    switch.process.wait()
    switch.module = "tools.cli"
    switch.start()
    played(afterwards)
    assert TerminalSide(switch).points(card) == 100 - 66
    assert switch.stop() == 0
    assert verify(switch.settings.ledger_path, switch.settings.seal_key).problems == []


class Traffic:
    """Customers of a bank, each with one earn after the other; what isn't answered is asked for again."""

    def __init__(self, bank: Bank, link: Client, cards: list[str]) -> None:
        self.bank = bank
        self.link = link
        self.booked = dict.fromkeys(cards, 0)
        self._stopping = asyncio.Event()

    async def customer(self, card: str) -> None:
        while not self._stopping.is_set():
            await self._earn(card)
            self.booked[card] += 1

    async def _earn(self, card: str) -> None:
        message = self.bank.earn(card, RATE)
        while True:
            try:
                answer = await self.bank.ask(self.link, message, ANSWER_S)
            except (LinkDown, LinkTimeout):
                await self.link.up(UP_S)
                message = self.bank.again(message)
                continue
            assert answer["39"] == "00"
            return

    async def during(self, trouble: asyncio.Task[None]) -> None:
        """Trade until the trouble is over."""
        customers = [asyncio.create_task(self.customer(card)) for card in self.booked]
        await asyncio.wait([trouble, *customers], return_when=asyncio.FIRST_COMPLETED)
        self._stopping.set()
        await asyncio.gather(trouble, *customers)


def test_keys_change_both_ways_under_traffic_while_each_side_is_killed(tmp_path: Path, begin: Begin) -> None:
    switch = begin(port=free_port())
    bank = Bank(tmp_path, BANK, COMPONENTS)
    cards = [TerminalSide(switch).activated_card() for _ in range(CUSTOMERS)]
    drawn = random.Random(7)
    changed: list[str] = []

    async def change_ours(link: Client) -> None:
        """Until the switch has it: a change whose answer was lost is made again."""
        while True:
            with suppress(LinkError, ZoneKeyError):
                await bank.change_key(MAC, link)
                changed.append("ours")
                return
            await link.up(UP_S)

    async def change_theirs() -> None:
        taken = bank.taken
        while bank.taken == taken:
            ask_for_change(switch, "mac")
            await asyncio.sleep(drawn.random())  # asked for again until it has happened
        changed.append("theirs")

    async def kill_switch(link: Client) -> None:
        await asyncio.to_thread(switch.kill)
        await asyncio.to_thread(switch.start)
        await link.up(UP_S)

    async def trouble(link: Client) -> None:
        for turn in range(ROUNDS):
            theirs, ours = asyncio.create_task(change_theirs()), asyncio.create_task(change_ours(link))
            if turn % 2:
                bank.forgets_to_answer = 1  # and is killed with the switch's new key on its disk
            else:
                bank.restart()
            await asyncio.sleep(drawn.random() / 4)
            await kill_switch(link)
            await asyncio.gather(theirs, ours)

    async def story() -> Traffic:
        async with connected(bank, switch) as link:
            await exchange_keys(bank, switch, link)
            traffic = Traffic(bank, link, cards)
            await traffic.during(asyncio.create_task(trouble(link)))
            return traffic

    traffic = played(story)
    terminal = TerminalSide(switch)
    assert {card: terminal.points(card) for card in cards} == traffic.booked
    assert min(traffic.booked.values()) > ROUNDS
    assert sorted(changed) == ["ours"] * ROUNDS + ["theirs"] * ROUNDS
    assert switch.stop() == 0
    assert "bad MAC" not in {line["event"] for line in switch.log}
    assert verify(switch.settings.ledger_path, switch.settings.seal_key).problems == []
