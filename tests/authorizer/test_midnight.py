"""Requests that are read before midnight and decided after it: a closed day never opens again."""

from __future__ import annotations

from tests.authorizer.shop import Shop

CARD, OTHER = "9364000000000001", "9364000000000019"


def test_what_was_read_before_midnight_is_booked_on_the_day_it_is_decided() -> None:
    shop = Shop(expiry="rolling", expiry_days=1)
    shop.activate(CARD)
    shop.activate(OTHER)
    waiting = shop.request("earn", CARD, amount=50_000)
    shop.later(days=1)
    first = shop.earn(OTHER, 3)
    late = shop.decide(waiting)
    assert waiting.business_date < late.business_date == first.business_date
    [lot] = [part.lot for part in shop.wallet(CARD).lots]
    assert lot.expires == waiting.transaction_day + 1, "its rules and days are those of the purchase"
    shop.later(days=1)
    assert shop.decide(shop.request("balance", CARD)).response_code == "00"
    assert shop.wallet(CARD).balance == 0
    assert shop.wallet(OTHER).balance == 3
