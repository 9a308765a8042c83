"""A day of trade: the real firmware on the real MicroPython, every flow, both languages, the real switch."""

from __future__ import annotations

import asyncio
from hashlib import sha256
from pathlib import Path

from simulators.campaigns.scene import approved
from simulators.campaigns.shop import Shop
from simulators.cards import foreign_card, leaks
from simulators.cashier import Cashier, Visit
from simulators.firmware import Interpreter, Transaction

MANAGER = "802466"
MOBILE = "09121234567"
PIN, NEW_PIN = "8642", "7531"
VALUES = {"manager": MANAGER, "mobile": MOBILE, "pin": PIN, "new_pin": NEW_PIN}
ROUNDS = 1000  # of terminal.flows.supervisor


def manager_code() -> dict[str, str]:
    salt = bytes(range(16))
    found = sha256(salt + bytes(int(digit) for digit in MANAGER)).digest()
    for _ in range(ROUNDS):
        found = sha256(found + salt).digest()
    return {"salt": salt.hex(), "hash": found.hex()}


class Day:
    """Two terminals of one shop, one in each language, that take turns."""

    def __init__(self, cashiers: list[Cashier]) -> None:
        self.cashiers = cashiers
        self.count = 0

    async def play(self, script: str, at: int | None = None, **more: object) -> Visit:
        """A script at this terminal, or at the one whose turn it is."""
        self.count += 1
        cashier = self.cashiers[self.count % 2 if at is None else at]
        card, other = more.pop("card", None), more.pop("other", None)
        values = {**VALUES, **{name: str(value) for name, value in more.items()}}
        return await cashier.play(script, card, other, values)  # type: ignore[arg-type]

    async def done(self, script: str, flow: str, at: int | None = None, **more: object) -> Transaction:
        """As play(); the transaction, which is approved and was printed."""
        visit = await self.play(script, at, **more)
        assert visit.receipts, script
        return approved(visit, flow)


def test_all_flows_of_a_day_in_both_languages(tmp_path: Path, micropython: Interpreter) -> None:
    said: list[str] = []

    async def acts() -> list[str]:
        shop = Shop(tmp_path, micropython, terminals=0, seed=7, on_log=said.append)
        async with shop.open():
            cashiers = []
            for number, locale in enumerate(("en", "fa")):
                settings = {"port": shop.switch.port, "locale": locale, "receipt_locales": [locale]}
                terminal = shop.new_terminal(number, {**settings, "supervisor": manager_code()})
                terminal.on_line = said.append
                await terminal.start()
                cashiers.append(Cashier(terminal))
            try:
                await trade(shop, Day(cashiers))
            finally:
                for terminal in shop.terminals:
                    await terminal.stop()
        return [fault for terminal in shop.terminals for fault in terminal.faults]

    assert asyncio.run(acts()) == []
    assert not leaks("\n".join(said).encode(), [foreign_card()])
    for secret in (MANAGER, MOBILE, MOBILE[1:], PIN, NEW_PIN):
        assert not [line for line in said if f'"{secret}' in line or f" {secret} " in line]


async def trade(shop: Shop, day: Day) -> None:
    card, other = await shop.own_cards()
    new, newest = await shop.own_cards()
    # a member comes, earns and spends
    assert (await day.done("enrol_with_pin", "activate", card=card)).balance == "0"
    assert (await day.done("earn", "earn", card=card, amount=6_000_000)).balance == "600"
    assert (await day.done("earn_amount_first", "earn", card=card, amount=900_000)).points == "90"
    assert (await day.done("earn_by_mobile", "earn", amount=100_000)).balance == "700"
    split = await day.done("split", "split", at=0, card=card, sale=2_000_000, points=100)
    assert (split.points, split.balance) == ("100", "799")
    # things come back
    assert (await day.done("void", "void", at=0, item=1)).balance == "700"
    await day.play("cashier", at=1)
    earned = await day.done("earn", "earn", at=1, card=card, amount=900_000)
    assert (await day.done("return", "return", at=1, item=1, amount=300_000)).balance == "760"
    back = await day.done("return_by_reference", "return", at=0, rrn=earned.rrn, amount=600_000)
    assert (back.points, back.balance) == ("60", "700")
    assert (await day.done("redeem", "redeem", at=1, card=card, points=20)).balance == "680"
    assert (await day.done("refund", "refund", at=1, item=1, amount=1_000)).balance == "690"
    # the card itself
    assert approved(await day.play("pin_change", card=card), "pin_change")
    assert (await day.done("enrol", "activate", card=other, mobile="09351234567")).balance == "0"
    assert (await day.done("transfer", "transfer", card=card, other=other, points=90)).balance == "600"
    assert (await day.done("block", "block", card=card)).approved
    refused = (await day.play("earn_amount_first", card=card, amount=90_000)).of("earn")
    assert refused is not None
    assert (refused.approved, refused.response_code) == (False, "62")
    assert (await day.done("unblock", "unblock", card=card, pin=NEW_PIN)).balance == "600"
    assert (await day.done("replace", "replace", card=card, other=new, pin=NEW_PIN)).balance == "600"
    assert (await day.done("replace_by_manager", "replace", other=newest)).balance == "600"
    # what is no transaction
    copies = await day.play("copy", at=0)
    assert len(copies.receipts) == 1
    assert copies.transactions == ()
    tested = await day.play("test", at=1)
    assert len(tested.receipts) == 1
    await day.play("training", at=0)
    assert "TRAINING" in (await day.play("earn", at=0, card=newest)).receipts[0]
    await day.play("end_training", at=0)
    assert (await day.done("balance", "balance", card=newest)).balance == "600"
    foreign = await day.play("earn_amount_first", card=foreign_card())
    assert (foreign.transactions, foreign.receipts) == ((), ())
    for at in (0, 1):
        closed = await day.play("close_batch", at=at)
        assert len(closed.receipts) == 1
