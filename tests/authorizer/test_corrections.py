"""Corrections as entries: points given and taken, debt, rial, once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from switch.authorizer import Correction
from switch.ledger import AccountKind, Corrected, Entry, TransferKind, Unit, Wallet
from switch.loyalty.program import Rules
from tests.authorizer.shop import FIRST_DAY, START_MS, Shop, tag

CARD = "9364000000000001"


def shop_with(points: int, **rules: Any) -> Shop:
    shop = Shop(**rules)
    shop.activate(CARD)
    if points:
        shop.earn(CARD, points)
    return shop


def correct(
    shop: Shop, points: int, number: int = 1, at_ms: int = START_MS, unit: Unit = Unit.POINTS
) -> Entry | None:
    correction = Correction(number, shop.member(CARD).id, points, "goodwill", "Sara", "Reza", at_ms, unit)
    today = (FIRST_DAY + timedelta(days=shop.day)).isoformat()
    entry = shop._loaded(lambda: shop.authorizer.corrected(shop.state, correction, today, shop.now_ms))
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


# ---------------------------------------------------------------- stamps, cash credit, draw tickets

OTHERS = (Unit.STAMPS, Unit.CASH, Unit.TICKETS)


def wallet(shop: Shop, unit: Unit) -> Wallet:
    return shop.member(CARD).wallet("vafa", unit)


def balance(shop: Shop, unit: Unit) -> str:
    operation = "balance" if unit is Unit.POINTS else "unit_balance"
    answer = shop.decide(shop.request(operation, CARD, accounts=f"{int(unit)}00"))
    assert answer.response_code == "00"
    return tag(answer, "02")


@pytest.mark.parametrize("unit", OTHERS)
def test_each_unit_has_a_wallet_of_its_own(unit: Unit) -> None:
    shop = shop_with(100)
    correct(shop, 7, unit=unit)
    assert balance(shop, unit) == f"{7:012d}"
    for other in {Unit.POINTS, *OTHERS} - {unit}:
        assert balance(shop, other) == f"{100 if other is Unit.POINTS else 0:012d}"
    assert shop.redeem(CARD, 101).response_code == "51", "what is in another wallet pays nothing"
    correct(shop, -9, number=2, unit=unit)
    assert (wallet(shop, unit).balance, shop.wallet(CARD).balance) == (-2, 100)
    correct(shop, 5, number=3, unit=unit)
    assert (wallet(shop, unit).balance, [part.amount for part in wallet(shop, unit).lots]) == (3, [3])
    assert shop.total(AccountKind.ADJUSTED, unit) == -3


def test_the_same_correction_of_another_unit_is_another_one() -> None:
    shop = shop_with(0)
    for unit in (Unit.POINTS, *OTHERS):
        assert correct(shop, 5, unit=unit) is not None
        assert correct(shop, 5, unit=unit) is None
    assert {unit: wallet(shop, unit).balance for unit in OTHERS} == dict.fromkeys(OTHERS, 5)


def test_cash_credit_is_worth_what_it_says_and_the_others_nothing() -> None:
    shop = shop_with(0)
    for unit in OTHERS:
        correct(shop, 1_234, unit=unit)
    assert shop.total(AccountKind.FUND, Unit.RIAL) == 1_234
    assert shop.total(AccountKind.MARGIN, Unit.RIAL) == -1_234


def test_each_unit_ends_by_rules_of_its_own() -> None:
    shop = shop_with(
        100,
        expiry="rolling",
        expiry_days=9,
        units={
            "stamps": Rules(expiry="rolling", expiry_days=3),
            "cash": Rules(expiry="calendar", correction_price=1_000),
            "tickets": Rules(expiry="sliding", expiry_days=5),
        },
    )
    for unit in OTHERS:
        correct(shop, 10, unit=unit)
    left = []
    for day in range(21):  # from 10 to 30 Esfand 1404, which has 29 days
        assert shop.day == day
        left.append([int(balance(shop, unit)) for unit in (Unit.POINTS, *OTHERS)])
        shop.later(days=1)
    assert [day.count(0) for day in left] == [0] * 4 + [1] * 2 + [2] * 4 + [3] * 10 + [4]
    assert left[3] == [100, 10, 10, 10]
    assert left[4] == [100, 0, 10, 10]
    assert left[6] == [100, 0, 10, 0]
    assert left[10] == left[19] == [0, 0, 10, 0]
    assert left[20] == [0, 0, 0, 0]
    assert [shop.total(AccountKind.EXPIRED, unit) for unit in OTHERS] == [10, 10, 10]
    assert shop.total(AccountKind.FUND, Unit.RIAL) == 0


def test_a_balance_of_what_there_isnt() -> None:
    shop = shop_with(1)
    assert shop.decide(shop.request("unit_balance", CARD, accounts="6900")).response_code == "12"
