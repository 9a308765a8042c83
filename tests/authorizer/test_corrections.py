"""Corrections as entries: points given and taken, debt, rial, once."""

from __future__ import annotations

from typing import Any

import pytest

from switch.authorizer import Correction
from switch.ledger import AccountKind, Corrected, Entry, TransferKind, Unit
from tests.authorizer.shop import FIRST_DAY, START_MS, Shop

CARD = "9364000000000001"


def shop_with(points: int, **rules: Any) -> Shop:
    shop = Shop(**rules)
    shop.activate(CARD)
    if points:
        shop.earn(CARD, points)
    return shop


def correct(shop: Shop, points: int, number: int = 1, at_ms: int = START_MS) -> Entry | None:
    correction = Correction(number, shop.member(CARD).id, points, "goodwill", "Sara", "Reza", at_ms)
    entry = shop._loaded(
        lambda: shop.authorizer.corrected(shop.state, correction, FIRST_DAY.isoformat(), shop.now_ms)
    )
    assert entry is None or isinstance(entry, Entry)
    if entry is not None:
        shop._apply(entry)
        shop.check()
    return entry


def test_points_are_given_in_a_lot_of_their_own() -> None:
    shop = shop_with(100, expiry="rolling", expiry_days=30, correction_price=50_000)
    entry = correct(shop, 40)
    assert entry is not None
    assert shop.wallet(CARD).balance == 140
    lot = shop.wallet(CARD).lots[-1].lot
    assert (lot.id // 64, lot.issuer, lot.price, lot.expires) == (
        entry.id,
        "",
        50_000,
        FIRST_DAY.toordinal() + 30,
    )
    [transfer] = entry.transfers
    assert transfer.kind is TransferKind.CORRECTION
    assert [p.holder for p in transfer.postings if p.kind is AccountKind.ADJUSTED] == ["goodwill"]
    assert shop.total(AccountKind.ADJUSTED) == -40
    assert shop.total(AccountKind.MARGIN, Unit.RIAL) == -2_000
    assert entry.sides == (Corrected(entry.member, 1, "goodwill", "Sara", "Reza"),)
    assert (entry.batch, entry.terminal, entry.operation) == (0, "", "correction")
    assert shop.redeem(CARD, 140).response_code == "00"


@pytest.mark.parametrize(("taken", "left"), [(30, 70), (100, 0), (130, -30)])
def test_points_are_taken_and_the_rest_is_owed(taken: int, left: int) -> None:
    shop = shop_with(100)
    correct(shop, -taken)
    assert shop.wallet(CARD).balance == left
    assert shop.total(AccountKind.ADJUSTED) == taken


def test_points_that_wait_are_taken_first() -> None:
    shop = shop_with(100, pending_days=5)
    correct(shop, -30)
    wallet = shop.wallet(CARD)
    assert (wallet.balance, wallet.pending) == (0, 70)


def test_given_points_pay_a_debt_first() -> None:
    shop = shop_with(0)
    correct(shop, -30)
    correct(shop, 50, 2)
    assert shop.wallet(CARD).balance == 20
    assert sum(part.amount for part in shop.wallet(CARD).lots) == 20


def test_without_a_price_no_rial_moves() -> None:
    shop = shop_with(0, correction_price=0)
    correct(shop, 50)
    assert shop.total(AccountKind.FUND, Unit.RIAL) == 0


def test_a_correction_is_booked_once_and_another_like_it_too() -> None:
    shop = shop_with(100)
    assert correct(shop, 5) is not None
    shop.later(ms=5_000)
    assert correct(shop, 5) is None
    assert correct(shop, 5, number=2) is not None
    assert shop.wallet(CARD).balance == 110


def test_no_wallet_grows_beyond_what_an_answer_can_say() -> None:
    shop = shop_with(1)
    assert correct(shop, 10**12 - 1) is None
    assert correct(shop, 10**12 - 2) is not None
