"""A partner on a ledger of several owners: its line is with one process, its customers are with any. Each of
its requests is decided once, by the owner of the member, though owners die and stand still."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from simulators.partner import Bank, points_of
from switch.iso8583 import Message
from switch.link.stream import Client
from tests.ledger.conftest import shared_server
from tests.server.killed_partner_switch import FATAL_AMOUNT
from tests.server.partner_kit import (
    BANK,
    COMPONENTS,
    PartneredOwner,
    add_partner,
    connected,
    exchange_keys,
    free_port,
    played,
)
from tests.server.partner_trade import RATE, RATIO, Customer, differing, trade
from tests.server.running_switch import TerminalSide
from tests.server.sharing import HIGH, LOW, Sharing

PLANTED = "tests.server.killed_owner_switch"
CUSTOMERS = 2  # of each owner, who trade while owners die
SECRET_PIN = "4711"

Story = Callable[[Client], Awaitable[None]]


class Town:
    """Two owners, the bank at the lower one, and a terminal there."""

    def __init__(self, home: Path, schema: str = "owners_partners") -> None:
        port = free_port()  # the same after each start of the lower one
        self.sharing = Sharing(
            home,
            shared_server().schema(schema),
            {"program.unique_receipts": "true"},
            lambda path: add_partner(path, port=port),
        )
        self.low = PartneredOwner(self.sharing, LOW)
        self.high = PartneredOwner(self.sharing, HIGH, PLANTED)
        self.high.module = "tools.cli"  # from the next start on
        self.bank = Bank(home, BANK, COMPONENTS)
        self.desk = TerminalSide(self.low, 0)

        async def keys() -> None:
            async with connected(self.bank, self.low) as link:
                await exchange_keys(self.bank, self.low, link)

        played(keys)

    def successor(self) -> PartneredOwner:
        """Another process for the higher half, in a directory of its own."""
        self.sharing.home = self.sharing.home / "next"
        return PartneredOwner(self.sharing, HIGH)

    def play(self, story: Story) -> None:
        async def on_a_line() -> None:
            async with connected(self.bank, self.low) as link:
                await story(link)

        played(on_a_line)

    def card(self, buckets: str, points: int = 0, pin: str = "") -> str:
        card = self.sharing.card_in(buckets)
        more: dict[str, Any] = {"f52": lambda at: at.pin_block(pin, card)} if pin else {}
        assert self.desk.ask(self.desk.activation(card, **more))["39"] == "00"
        if points:
            assert self.desk.ask(self.desk.earn(card, points * RATE))["39"] == "00"
        return card

    def traded(self, harms: Sequence[Callable[[], Awaitable[None]]], chance: random.Random) -> list[Customer]:
        """What customers of both owners did while all this was done to them."""
        self.desk.line.close()  # the lower one may have been started again
        self.desk = TerminalSide(self.low, 0)
        tracks = {card: self.low.track(card) for card in map(self.card, (LOW, HIGH) * CUSTOMERS)}
        customers: list[Customer] = []

        async def story(link: Client) -> None:
            customers.extend(await trade(self.bank, link, tracks, harms, chance))

        self.play(story)
        return customers

    def swiped(self, card: str, points: int, **more: Any) -> Message:
        return self.bank.redemption(None, points * RATIO, self.low.track(card), **more)


def harms_of(town: Town) -> list[Callable[[], Awaitable[None]]]:
    """What can happen to owners."""

    async def killed(*owners: PartneredOwner) -> None:
        for owner in owners:
            await asyncio.to_thread(owner.kill)
        await asyncio.gather(*(asyncio.to_thread(owner.start) for owner in owners))

    async def frozen(owner: PartneredOwner) -> None:
        owner.freeze()
        await asyncio.sleep(0.5)
        owner.thaw()

    async def taken_over() -> None:
        before = town.high
        before.freeze()
        town.high = await asyncio.to_thread(town.successor)
        before.thaw()
        assert await asyncio.to_thread(before.ended) == 1

    return [
        lambda: killed(town.high),
        lambda: frozen(town.high),
        lambda: killed(town.low),
        lambda: frozen(town.low),
        lambda: killed(town.low, town.high),
        taken_over,
    ]


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    place = Town(tmp_path_factory.mktemp("town"))
    yield place
    place.desk.line.close()
    for owner in (place.low, place.high):
        owner.process.kill()


def test_only_the_process_with_bucket_0_has_the_partners_lines(town: Town) -> None:
    assert [line["partner"] for line in town.low.events("event", "partner listening")] == [BANK]
    assert [line for line in town.high.log if line["event"] == "partner listening"] == []


@pytest.mark.parametrize("buckets", [LOW, HIGH])
def test_every_request_of_a_partner_works_whoever_owns_its_member(town: Town, buckets: str) -> None:
    card, bank = town.card(buckets, 100, SECRET_PIN), town.bank

    async def story(link: Client) -> None:
        assert points_of(await bank.ask(link, bank.balance(card))) == 100
        earn = bank.earn(card, 5 * RATE)
        first = await bank.ask(link, earn)
        assert points_of(first) == 105
        assert await bank.ask(link, bank.again(earn)) == first
        block = bank.pin_block(SECRET_PIN, card)
        assert points_of(await bank.ask(link, bank.redemption(card, 5 * RATIO, f52=block))) == 100
        wrong = await bank.ask(link, bank.redemption(card, RATIO, f52=bank.pin_block("1147", card)))
        assert wrong["39"] == "55"
        held = await bank.ask(link, Message("0100", town.swiped(card, 40).fields))
        assert points_of(held) == 60
        capture = Message("0220", bank.redemption(None, 30 * RATIO, f63=held.text("63")).fields)
        taken = await bank.ask(link, capture)
        assert points_of(taken) == 70
        named = {"f63": taken.text("63")}
        refund = Message("0200", {**bank.redemption(None, 10 * RATIO, **named).fields, "3": "200000"})
        assert points_of(await bank.ask(link, refund)) == 80
        assert points_of(await bank.ask(link, bank.reversal_of(refund, **named))) == 70
        assert points_of(await bank.ask(link, bank.reversal_of(earn))) == 65
        never = bank.earn(card, 7 * RATE)
        assert (await bank.ask(link, bank.reversal_of(never)))["39"] == "00"
        assert (await bank.ask(link, never))["39"] == "94"
        assert (await bank.ask(link, town.swiped(card, 1_000)))["39"] == "51"

    town.play(story)
    assert town.desk.points(card) == 65


def test_an_identity_is_decided_once_though_it_names_another_owners_card(town: Town) -> None:
    here, there, bank = town.card(LOW), town.card(HIGH), town.bank

    async def story(link: Client) -> None:
        earn = bank.earn(here, RATE)
        other = Message(earn.mti, {**earn.fields, "2": there})
        assert (await bank.ask(link, earn))["39"] == "00"
        async with connected(bank, town.low) as careless:
            assert (await bank.ask(careless, other))["39"] == "94"
            assert (await bank.ask(link, bank.reversal_of(earn, f2=there)))["39"] == "12"
            # Both at once, on two lines.
            earn = bank.earn(there, RATE)
            other = Message(earn.mti, {**earn.fields, "2": here})
            answers = await asyncio.gather(bank.ask(link, earn), bank.ask(careless, other))
        assert sorted(answer["39"] for answer in answers) == ["00", "94"]

    town.play(story)
    assert town.desk.points(here) + town.desk.points(there) == 2


def test_what_was_decided_is_found_though_its_card_leads_elsewhere_since(town: Town) -> None:
    bank, desk = town.bank, town.desk
    pin: Any = lambda card: lambda at: at.pin_block(SECRET_PIN, card)  # noqa: E731
    old, new, newest = town.card(LOW, 0, SECRET_PIN), town.sharing.card_in(HIGH), town.sharing.card_in(HIGH)

    def replaced(card: str, by: str) -> None:
        tags = {"0B": by}
        assert desk.ask(Message("0300", desk.fields(card, "750000", f48=tags, f52=pin(card))))["39"] == "00"

    async def story(link: Client) -> None:
        early = bank.earn(new, 2 * RATE)
        assert (await bank.ask(link, early))["39"] == "14", "nobody's card yet"
        earn = bank.earn(old, 3 * RATE)
        first = await bank.ask(link, earn)
        await asyncio.to_thread(replaced, old, new)
        assert (await bank.ask(link, bank.again(early)))["39"] == "14", "it stays what it was"
        assert await bank.ask(link, bank.again(earn)) == first
        later = bank.earn(new, 4 * RATE)
        second = await bank.ask(link, later)
        assert points_of(second) == 7
        await asyncio.to_thread(replaced, new, newest)
        assert await bank.ask(link, bank.again(later)) == second
        # That card is nobody's now, and what is reversed is known: no early reversal.
        assert (await bank.ask(link, bank.reversal_of(later)))["39"] == "12"
        assert (await bank.ask(link, bank.again(later))) == second

    town.play(story)


def test_a_till_receipt_counts_once_for_a_merchant_whoever_owns_the_member(town: Town) -> None:
    bank, acceptor = town.bank, "700000000000009"
    cards = [town.card(buckets) for buckets in (LOW, HIGH, LOW, HIGH)]

    async def story(link: Client) -> None:
        for number, (first, second) in enumerate(((0, 1), (1, 0))):
            receipt = {"f62": f"S{number}", "f42": acceptor}
            assert (await bank.ask(link, bank.earn(cards[first], RATE, **receipt)))["39"] == "00"
            again = await bank.ask(link, bank.earn(cards[second], RATE, **receipt))
            assert (again["39"], again["44"]) == ("94", "0602")
        # At once: an owner doesn't see what the other one is about to book. One batch each, and no more.
        receipt = {"f62": "AT-ONCE", "f42": acceptor}
        answers = await asyncio.gather(*(bank.ask(link, bank.earn(card, RATE, **receipt)) for card in cards))
        assert 1 <= [answer["39"] for answer in answers].count("00") <= 2
        assert {answer["39"] for answer in answers} <= {"00", "94"}
        for card in cards:
            assert (await bank.ask(link, bank.earn(card, RATE, **receipt)))["39"] == "94"

    town.play(story)


# ---------------------------------------------------------------- owners come and go


def test_a_request_whose_owner_is_killed_before_it_answers_is_asked_again_and_booked_once(
    town: Town,
) -> None:
    """What comes while the owner is away gets an honest no."""
    card, other, here, bank = town.card(HIGH), town.card(HIGH, 9), town.card(LOW, 9), town.bank

    async def story(link: Client) -> None:
        fatal, later = bank.earn(card, int(FATAL_AMOUNT)), bank.earn(other, RATE)
        asked = asyncio.create_task(bank.ask(link, fatal))
        await asyncio.to_thread(town.high.process.wait)
        assert (await bank.ask(link, later))["39"] == "91"
        assert points_of(await bank.ask(link, bank.balance(here))) == 9
        await asyncio.to_thread(town.high.start)
        answer = await asked
        assert (answer["39"], points_of(answer)) == ("00", int(FATAL_AMOUNT) // RATE)
        assert await bank.ask(link, bank.again(fatal)) == answer
        assert points_of(await bank.ask(link, bank.again(later))) == 10, "91 is not remembered"

    town.play(story)
    assert town.desk.points(card) == int(FATAL_AMOUNT) // RATE


def test_a_request_at_a_frozen_owner_is_decided_by_the_one_that_takes_over(town: Town) -> None:
    card, bank = town.card(HIGH), town.bank
    frozen = town.high
    frozen.freeze()

    async def story(link: Client) -> None:
        asked = asyncio.create_task(bank.ask(link, bank.earn(card, 6 * RATE)))
        await asyncio.sleep(0)
        town.high = await asyncio.to_thread(town.successor)
        assert points_of(await asked) == 6

    town.play(story)
    frozen.thaw()
    assert frozen.ended() == 1
    assert town.desk.points(card) == 6


def test_receipts_fit_the_ledger_though_an_owner_is_killed_and_stands_still(town: Town) -> None:
    kill, freeze = harms_of(town)[:2]
    customers = town.traded([freeze, kill], random.Random(5))
    for owner in (town.low, town.high):
        assert owner.stop() == 0
    assert differing(town.sharing.url, town.sharing.settings.seal_key, customers) == []
    assert all(customer.sold and customer.undone for customer in customers)
