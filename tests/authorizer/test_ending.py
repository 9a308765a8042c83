"""Answers to balance, earn and redeem say which points end first, with their last day, as they stand then."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.authorizer.shop import FIRST_DAY, Shop, tag

CARD = "9364001234567898"


def told(shop: Shop, days: int, points: int) -> str:
    """The tag of so many points that end so many days after the shop's first one."""
    return f"{FIRST_DAY + timedelta(days=days):%Y%m%d}{points:012d}"


def test_what_ends_first_is_told_and_goes_on_as_it_is_spent() -> None:
    shop = Shop(expiry="rolling", expiry_days=30)
    shop.activate(CARD)
    assert tag(shop.earn(CARD, 100), "18") == told(shop, 30, 100)
    assert tag(shop.earn(CARD, 20), "18") == told(shop, 30, 120), "one day's points end together"
    shop.later(days=1)
    assert tag(shop.earn(CARD, 50), "18") == told(shop, 30, 120)
    assert tag(shop.redeem(CARD, 90), "18") == told(shop, 30, 30)
    assert tag(shop.redeem(CARD, 40), "18") == told(shop, 31, 40)
    assert tag(shop.decide(shop.request("balance", CARD)), "18") == told(shop, 31, 40)
    assert tag(shop.redeem(CARD, 40), "18") == ""
    assert tag(shop.decide(shop.request("balance", CARD)), "18") == ""


def test_points_that_wait_and_points_of_a_split_sale_count() -> None:
    shop = Shop(expiry="rolling", expiry_days=30, pending_days=3)
    shop.activate(CARD)
    assert tag(shop.earn(CARD, 100), "18") == told(shop, 30, 100)
    shop.later(days=3)
    sale = shop.redeem(CARD, 60, sale_amount=1_000_000)
    assert tag(sale, "18") == told(shop, 30, 40)


def test_activity_moves_what_slides() -> None:
    shop = Shop(expiry="sliding", expiry_days=10)
    shop.activate(CARD)
    assert tag(shop.earn(CARD, 100), "18") == told(shop, 10, 100)
    shop.later(days=4)
    assert tag(shop.decide(shop.request("balance", CARD)), "18") == told(shop, 10, 100)
    assert tag(shop.redeem(CARD, 1), "18") == told(shop, 14, 99)


@pytest.mark.parametrize("points", [1, 100])
def test_points_without_an_end_are_not_told(points: int) -> None:
    shop = Shop()
    shop.activate(CARD)
    assert tag(shop.earn(CARD, points), "18") == ""
    assert tag(shop.decide(shop.request("balance", CARD)), "18") == ""
