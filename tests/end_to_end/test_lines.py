"""Bad lines and bad swipes at the real firmware: what is approved is booked once, what is not leaves no
trace."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from simulators.campaigns.scene import BEFORE_POINTS, Scene, approved, scene
from simulators.cards import Card, foreign_card
from simulators.faults import (
    Corrupt,
    Drop,
    Duplicate,
    Latency,
    LateResponse,
    ResetPeer,
    Slicer,
    Stream,
    Toxic,
)
from simulators.firmware import Interpreter
from simulators.readers.magstripe import Corruption, SwipeFaults
from tests.whole import WHOLE

EARN_RIAL = 1_000_000
EARN_POINTS = 100
AFTER_EARN = str(int(BEFORE_POINTS) + EARN_POINTS)
ANSWER = frozenset({"0210"})
REQUEST = frozenset({"0200"})
ANSWER_TIMEOUT_MS = 3000

SLOW: dict[str, Toxic] = {
    "latency": Latency(latency=300, jitter=100),
    "answer one byte at a time": Slicer(average_size=1),
    "request in slices": Slicer(stream=Stream.UPSTREAM, average_size=3, size_variation=2),
    "every answer twice": Duplicate(),
    "every request twice": Duplicate(stream=Stream.UPSTREAM),
}
LOSING: dict[str, Toxic] = {
    "line cut before the answer": ResetPeer(message_types=ANSWER, times=1),
    "answer lost": Drop(message_types=ANSWER, times=1),
    "answer corrupt": Corrupt(message_types=ANSWER, times=1),
    "answer too late": LateResponse(message_types=ANSWER, latency=2 * ANSWER_TIMEOUT_MS),
    "line cut before the request": ResetPeer(Stream.UPSTREAM, message_types=REQUEST, times=1),
    "request lost": Drop(Stream.UPSTREAM, message_types=REQUEST, times=1),
}


def run(directory: Path, interpreter: Interpreter, play: Callable[[Scene], Awaitable[None]]) -> None:
    async def acts() -> list[str]:
        async with scene(directory, interpreter, seed=1) as at:
            await play(at)
            assert at.terminal.boots == 1
        return await at.shop.audit()

    assert asyncio.run(acts()) == []


def test_a_slow_or_stuttering_line_changes_nothing(tmp_path: Path, micropython: Interpreter) -> None:
    async def play(at: Scene) -> None:
        balance = int(BEFORE_POINTS)
        for name, toxic in SLOW.items():
            at.line.add(toxic)
            balance += EARN_POINTS
            assert approved(await at.cashier.earn(at.card, EARN_RIAL), "earn").balance == str(balance), name
            assert await at.balance() == str(balance), name
            assert toxic.struck > 0, name
            at.line.remove(toxic)

    run(tmp_path, micropython, play)


def test_an_earn_without_a_verified_answer_is_taken_back(tmp_path: Path, micropython: Interpreter) -> None:
    async def play(at: Scene) -> None:
        for name, toxic in LOSING.items():
            at.line.add(toxic)
            visit = await at.cashier.earn(at.card, EARN_RIAL)
            assert toxic.struck == 1, name
            assert approved(visit, "reversal").original_stan, name
            assert visit.of("earn") is None, name
            assert visit.receipts == (), name
            assert await at.balance() == BEFORE_POINTS, name
            at.line.remove(toxic)

    run(tmp_path, micropython, play)


def test_a_reversal_whose_answer_is_lost_is_repeated(tmp_path: Path, micropython: Interpreter) -> None:
    async def play(at: Scene) -> None:
        at.line.add(ResetPeer(message_types=ANSWER, times=1))
        lost = at.line.add(Drop(message_types=frozenset({"0430"}), times=1))
        cut = at.line.add(ResetPeer(message_types=frozenset({"0430"}), times=1))
        visit = await at.cashier.earn(at.card, EARN_RIAL)
        assert (lost.struck, cut.struck) == (1, 1)
        assert [transaction.flow for transaction in visit.transactions] == ["reversal"]
        assert await at.balance() == BEFORE_POINTS

    run(tmp_path, micropython, play)


def test_paper_out_and_paper_again(tmp_path: Path, micropython: Interpreter) -> None:
    async def play(at: Scene) -> None:
        at.terminal.printer.paper = False
        receipts = at.terminal.printer.receipts_printed
        await at.cashier.begin_earn(at.card, EARN_RIAL)
        await at.terminal.screen("paper")
        assert at.terminal.printer.receipts_printed == receipts
        at.terminal.printer.paper = True
        await at.terminal.press("#")
        assert (await at.terminal.transaction("earn")).approved
        assert at.terminal.printer.receipts_printed == receipts + 2
        await at.terminal.press("*")
        await at.terminal.screen("idle")
        assert await at.balance() == AFTER_EARN

    run(tmp_path, micropython, play)


def test_every_bad_swipe_asks_for_another_and_a_torn_one_is_read(
    tmp_path: Path, micropython: Interpreter
) -> None:
    async def play(at: Scene) -> None:
        for corruption in Corruption:
            for seed in range(5 if WHOLE else 2):
                await at.terminal.swipe(at.card, SwipeFaults(corrupt=corruption, tear=2, seed=seed))
                message = await at.terminal.screen("message", "amount")
                assert "Swipe again" in message.lines, f"{corruption} {seed}"
                await at.terminal.press("*")
                await at.terminal.screen("idle")
                # A good one between them: many bad ones in a row are a reader that babbles.
                await at.terminal.swipe(at.card, SwipeFaults(tear=8, seed=seed))
                await at.terminal.screen("amount")
                await at.terminal.press("*")
                await at.terminal.screen("idle")
        assert await at.balance() == BEFORE_POINTS

    run(tmp_path, micropython, play)


@pytest.mark.parametrize(
    "card", [foreign_card(), Card("9364000000000000")], ids=["another program's card", "wrong Luhn digit"]
)
def test_a_card_of_no_member_of_ours_is_refused_at_the_terminal(
    tmp_path: Path, micropython: Interpreter, card: Card
) -> None:
    async def play(at: Scene) -> None:
        sent = at.line.forwarded[Stream.UPSTREAM]
        await at.terminal.swipe(card)
        await at.terminal.screen("message")
        await at.terminal.press("*")
        await at.terminal.screen("idle")
        assert at.line.forwarded[Stream.UPSTREAM] == sent

    run(tmp_path, micropython, play)


def test_a_made_up_card_earns_and_redeems_nothing(tmp_path: Path, micropython: Interpreter) -> None:
    async def play(at: Scene) -> None:
        value = at.card.discretionary[:3]
        forged = at.card.with_value(f"{(int(value) + 1) % 1000:03d}", 0)
        refused = (await at.cashier.redeem(forged, 5)).of("redeem")
        assert refused is not None
        assert (refused.approved, refused.response_code) == (False, "82")
        assert approved(await at.cashier.earn(forged, EARN_RIAL), "earn").balance == AFTER_EARN
        assert approved(await at.cashier.redeem(at.card, 5), "redeem").points == "5"

    run(tmp_path, micropython, play)
