"""Limits, the double-swipe question, till receipts and all that follows a sale, as partners meet them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from simulators.partner import points_of
from switch.iso8583 import Message
from switch.loyalty.limits import Limit
from switch.partners import shipped
from switch.partners.mapping_file import SHIPPED
from switch.server.partner_link import Others
from tests.server.partner_bench import PartnerBench

OTHER_SHOP = "700000000000002"
Story = Callable[[PartnerBench], Awaitable[None]]


def played(directory: Path, story: Story, **how: Any) -> None:
    async def play() -> None:
        bench = PartnerBench(directory / "data", **how)
        await bench.exchange_keys()
        await story(bench)
        await bench.close()

    asyncio.run(play())


def words(answer: Message) -> tuple[str, str]:
    """Response code and reason."""
    return answer.text("39"), answer.text("44") if "44" in answer else ""


@pytest.mark.parametrize(
    ("scope", "measure", "most", "elsewhere", "told"),
    [
        ("merchant", "points", 20, "other card", ("61", "0505")),
        ("merchant", "count", 2, "other card", ("65", "0505")),
        ("merchant", "amount", 2_000, "other card", ("61", "0505")),
        ("terminal", "points", 20, "other card", ("61", "0503")),
        ("card", "points", 20, "other shop", ("61", "0501")),
    ],
)
def test_limits_count_a_partners_sales_and_what_is_taken_back_counts_no_more(
    tmp_path: Path, scope: str, measure: str, most: int, elsewhere: str, told: tuple[str, str]
) -> None:
    async def story(bench: PartnerBench) -> None:
        card, other = await bench.card(100), await bench.card(100)
        for _ in range(2):
            last = bench.spending(card, 10)
            assert words(await bench.said(last)) == ("00", "0102")
        who = other if elsewhere == "other card" else card
        where = {"f42": OTHER_SHOP, "f41": "70000002"} if elsewhere == "other shop" else {}
        refused = bench.spending(who, 10, **where)
        assert words(await bench.said(refused)) == told
        assert words(await bench.said(bench.bank.again(refused))) == told
        free = {"f42": OTHER_SHOP, "f41": "70000002"} if scope != "card" else {}
        assert words(await bench.said(bench.spending(other, 10, **free))) == ("00", "0102")
        assert (await bench.said(bench.bank.reversal_of(last)))["39"] == "00"
        assert words(await bench.said(bench.spending(who, 10, **where))) == ("00", "0102")

    played(tmp_path, story, limits=(Limit(scope, "day", "redeem", measure, most),))


def test_a_merchants_limit_is_one_for_its_own_terminals_and_a_partners(tmp_path: Path) -> None:
    """Of a partner that lists one of our acceptors."""

    async def story(bench: PartnerBench) -> None:
        card = await bench.card(0)
        shop = bench.settings.terminals[0].acceptor
        listing = replace(bench.link.partner, acceptors=(shop,))
        bench.link.use(listing, bench.link.mapping, Others(frozenset()))
        assert (await bench.said(bench.earning(card, 30, f42=shop)))["39"] == "00"
        assert (await bench.one(bench.earn(card, 30)))["39"] == "61"
        assert (await bench.one(bench.earn(card, 10)))["39"] == "00"
        assert words(await bench.said(bench.earning(card, 1, f42=shop))) == ("61", "0505")

    played(tmp_path, story, limits=(Limit("merchant", "day", "earn", "points", 40),))


def test_the_same_sale_again_is_asked_about_and_a_mapping_may_let_the_partner_confirm(tmp_path: Path) -> None:
    copy = tmp_path / "confirming.toml"
    text = (SHIPPED / "iso87-ascii.toml").read_text(encoding="utf-8")
    confirming = '"62" = "62"\n"48.14" = { from = "60", values = { "CONFIRMED" = "01" } }'
    copy.write_text(text.replace('"62" = "62"', confirming, 1), encoding="utf-8")

    async def story(bench: PartnerBench) -> None:
        card = await bench.card(100)
        first = bench.spending(card, 10)
        assert words(await bench.said(first)) == ("00", "0102")
        assert words(await bench.said(bench.bank.again(first))) == ("00", "0102"), (
            "a repeat is no second sale"
        )
        assert words(await bench.said(bench.spending(card, 10))) == ("94", "0601")
        assert words(await bench.said(bench.spending(card, 11))) == ("00", "0102")
        assert words(await bench.said(bench.spending(card, 10, f41="70000002"))) == ("00", "0102")
        assert words(await bench.said(bench.spending(card, 10, f60="CONFIRMED"))) == ("00", "0102")
        assert (await bench.said(bench.spending(card, 10, f60="PERHAPS")))["39"] == "30"
        assert (await bench.said(bench.bank.reversal_of(first)))["39"] == "00"
        assert points_of(await bench.said(bench.bank.balance(card))) == 100 - 31

    played(tmp_path, story, copy=copy, double_swipe_s=60)


def test_a_till_receipt_is_a_merchants_only_one_whether_a_partner_or_a_terminal_brings_it(
    tmp_path: Path,
) -> None:
    async def story(bench: PartnerBench) -> None:
        card = await bench.card(100)
        first = bench.earning(card, 5, f62="R-1")
        assert (await bench.said(first))["39"] == "00"
        assert (await bench.said(bench.bank.again(first)))["39"] == "00"
        for again in (bench.earning(card, 7, f62="R-1"), bench.spending(card, 3, f62="R-1")):
            assert words(await bench.said(again)) == ("94", "0602")
        assert (await bench.said(bench.earning(card, 5, f62="R-1", f42=OTHER_SHOP)))["39"] == "00"
        assert (await bench.said(bench.bank.reversal_of(first)))["39"] == "00"
        assert (await bench.said(bench.earning(card, 7, f62="R-1")))["39"] == "00", "it is free again"
        advice = bench.earning(card, 1, f62="R-1", mti="0220")
        assert (await bench.said(advice))["39"] == "00", "an advice's sale is over"

    played(tmp_path, story, unique_receipts=True)


@pytest.mark.parametrize("mapping", shipped())
def test_what_follows_a_sale_is_held_to_it(tmp_path: Path, mapping: str) -> None:
    async def story(bench: PartnerBench) -> None:
        card, other, bank = await bench.card(100), await bench.card(100), bench.bank
        held = await bench.said(Message("0100", bench.spending(card, 40).fields))
        assert (held["39"], points_of(held)) == ("00", 60)

        def capture(points: int, named: Message, **more: Any) -> Message:
            amount = points * bench.program.rial_per_redeemed_point
            return Message("0220", bank.redemption(None, amount, **{"f63": named.text("63"), **more}).fields)

        assert (await bench.said(capture(41, held)))["39"] == "12", "more than is held"
        assert (await bench.said(capture(40, held, f2=other)))["39"] == "25", "another's card"
        assert (await bench.said(capture(40, held, f42=OTHER_SHOP)))["39"] == "25", "another merchant's hold"
        taken = capture(30, held)
        answer = await bench.said(taken)
        assert (answer["39"], points_of(answer)) == ("00", 70)
        assert await bench.said(bank.again(taken)) == answer
        assert (await bench.said(capture(10, held)))["39"] == "12", "the rest was given back"

        def refund(points: int, named: Message, **more: Any) -> Message:
            return Message("0200", {**capture(points, named, **more).fields, "3": "200000"})

        back = refund(20, answer)
        assert points_of(await bench.said(back)) == 90
        assert (await bench.said(refund(11, answer)))["39"] == "13", "more than is left"
        assert (await bench.said(refund(1, held)))["39"] == "25", "a hold paid nothing"
        undone = bank.reversal_of(back, f63=answer.text("63"))
        assert points_of(await bench.said(undone)) == 70

        again = Message("0100", bench.spending(card, 40).fields)
        assert points_of(await bench.said(again)) == 30
        released = await bench.said(bank.reversal_of(again))
        assert (released["39"], points_of(released)) == ("00", 70)
        assert points_of(await bench.said(bank.balance(card))) == 70

    played(tmp_path, story, mapping=mapping)


NOBODY_HAS = (
    ("0200", "020000", True),  # void: of an open batch, which partners have not
    ("0220", "200000", True),  # a refund is asked for, not told
    ("0100", "210000", False),
    ("0200", "400000", False),  # transfer
    ("0300", "720000", False),  # activation
    ("0500", "920000", False),  # batches
)


@pytest.mark.parametrize("mapping", shipped())
def test_what_no_mapping_has_is_refused(tmp_path: Path, mapping: str) -> None:
    async def story(bench: PartnerBench) -> None:
        card = await bench.card(10)
        earned = await bench.said(bench.earning(card, 5))
        for mti, code, is_named in NOBODY_HAS:
            more = {"f63": earned.text("63")} if is_named else {}
            fields = {**bench.bank.earn(card, 50_000, **more).fields, "3": code}
            assert (await bench.said(Message(mti, fields)))["39"] == "12", (mti, code)
        assert points_of(await bench.said(bench.bank.balance(card))) == 15

    played(tmp_path, story, mapping=mapping)


def test_goods_come_back_where_a_mapping_has_a_code_for_it(tmp_path: Path) -> None:
    copy = tmp_path / "returning.toml"
    text = (SHIPPED / "iso87-ascii.toml").read_text(encoding="utf-8")
    operation = '[operations.return]\nmti = { "0200" = "0200" }\nprocessing_code = ["22****"]\n'
    operation += 'request = { "37" = "63" }\n\n'
    copy.write_text(
        text.replace("[operations.reversal]", operation + "[operations.reversal]"), encoding="utf-8"
    )

    async def story(bench: PartnerBench) -> None:
        card, bank, rate = await bench.card(), bench.bank, bench.program.rial_per_earned_point
        earned = await bench.said(bench.earning(card, 50))
        part = bank.redemption(None, 20 * rate, f63=earned.text("63"))
        given = await bench.said(Message("0200", {**part.fields, "3": "220000"}))
        assert (given["39"], points_of(given)) == ("00", 30)

    played(tmp_path, story, copy=copy)
