"""One terminal with a line that can be cut, and a card that has some points: where single mishaps are
played."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final

from simulators.campaigns.shop import Shop
from simulators.cards import Card
from simulators.cashier import Cashier, Visit
from simulators.faults import FaultProxy
from simulators.firmware import Interpreter, Terminal, Transaction

BEFORE_POINTS: Final = "50"  # a balance to start with, so that a wrong zero is seen
BEFORE_RIAL: Final = 500_000


class Scene:
    """One terminal with a fault proxy on its line and a card that has some points."""

    def __init__(self, shop: Shop, terminal: Terminal, line: FaultProxy, card: Card) -> None:
        self.shop = shop
        self.terminal = terminal
        self.line = line
        self.card = card
        self.cashier = Cashier(terminal)

    async def balance(self) -> str:
        """The card's balance as the terminal shows it."""
        visit = await self.cashier.balance(self.card)
        return approved(visit, "balance").balance


@contextlib.asynccontextmanager
async def scene(
    data: Path, interpreter: Interpreter, seed: int, on_line: Callable[[str], None] | None = None
) -> AsyncIterator[Scene]:
    """A fresh switch on `data`, one terminal, its line through a proxy; the card has BEFORE_POINTS.

    `on_line` gets every line that switch and firmware write.
    """
    shop = Shop(data, interpreter, terminals=0, seed=seed, on_log=on_line)
    async with shop.open():
        line = FaultProxy(shop.switch.host, shop.switch.port, seed)
        await line.start()
        terminal = shop.new_terminal(0, {"port": line.port})
        terminal.on_line = on_line
        try:
            await terminal.start()
            (card, *_rest) = await shop.own_cards()
            cashier = Cashier(terminal)
            await cashier.wait_until_idle()
            approved(await cashier.activate(card), "activate")
            approved(await cashier.earn(card, BEFORE_RIAL), "earn")
            yield Scene(shop, terminal, line, card)
        finally:
            await terminal.stop()
            await line.stop()


def approved(visit: Visit, flow: str) -> Transaction:
    """The transaction of this flow, which must be approved. Raises AssertionError."""
    transaction = visit.of(flow)
    if transaction is None or not transaction.approved:
        raise AssertionError(f"{flow} was not approved: {visit.transactions}")
    return transaction
