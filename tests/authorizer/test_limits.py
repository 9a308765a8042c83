"""Velocity limits, the double-swipe question, and till receipts that are used once."""

from __future__ import annotations

from typing import Any

import pytest

from switch.ledger import Entry
from switch.loyalty.limits import Checks, Limit
from tests.authorizer.shop import DAY_MS, OTHER_ACCEPTOR, Shop, rrn, tag

CARD, FRIEND = "9364000000000001", "9364000000000019"


def limited(*limits: Limit, **more: Any) -> Shop:
    shop = Shop(checks=Checks(limits, **more))
    shop.activate(CARD)
    shop.activate(FRIEND)
    return shop


def said(entry: Entry) -> tuple[str, str]:
    """Response code and reason."""
    return entry.response_code, tag(entry, "04")


# ---------------------------------------------------------------- limits


@pytest.mark.parametrize(
    ("scope", "reason"), [("card", "0501"), ("terminal", "0503"), ("merchant", "0505"), ("cashier", "0507")]
)
@pytest.mark.parametrize(("measure", "most", "code"), [("count", 2, "65"), ("points", 25, "61")])
def test_a_limit_of_a_day(scope: str, reason: str, measure: str, most: int, code: str) -> None:
    shop = limited(Limit(scope, "day", "earn", measure, most))
    for _ in range(2):
        assert shop.earn(CARD, 10, cashier="00000007").response_code == "00"
    declined = shop.earn(CARD, 10, cashier="00000007")
    assert (said(declined), tag(declined, "05")) == ((code, reason), f"{most:012d}")
    assert not declined.transfers
    assert shop.wallet(CARD).balance == 20
    shop.later(days=1)
    assert shop.earn(CARD, 10, cashier="00000007").response_code == "00"


@pytest.mark.parametrize("scope", ["terminal", "merchant", "cashier"])
def test_a_limit_of_rial(scope: str) -> None:
    shop = limited(Limit(scope, "day", "redeem", "amount", 1_000))
    shop.earn(CARD, 100)
    assert shop.redeem(CARD, 10, cashier="00000007").response_code == "00"
    declined = shop.redeem(CARD, 1, cashier="00000007")
    assert declined.response_code == "61"


def test_limits_of_one_are_not_anothers() -> None:
    shop = limited(
        Limit("card", "day", "earn", "count", 1),
        Limit("terminal", "day", "earn", "count", 2),
        Limit("merchant", "day", "earn", "count", 3),
        Limit("cashier", "day", "earn", "count", 1),
    )
    first = {"cashier": "00000001"}
    assert said(shop.earn(CARD, 1, **first))[0] == "00"
    assert said(shop.earn(CARD, 1, cashier="00000002")) == ("65", "0501")
    assert said(shop.earn(FRIEND, 1, **first)) == ("65", "0507")
    assert said(shop.earn(FRIEND, 1, cashier="00000002"))[0] == "00"
    new = "9364000000000027"
    shop.activate(new)
    assert said(shop.earn(new, 1)) == ("65", "0503")
    assert said(shop.earn(new, 1, terminal="10000002"))[0] == "00"
    other = "9364000000000035"
    shop.activate(other)
    assert said(shop.earn(other, 1, terminal="10000003")) == ("65", "0505")
    assert said(shop.earn(other, 1, terminal="10000003", acceptor=OTHER_ACCEPTOR))[0] == "00"


@pytest.mark.parametrize(
    ("scope", "reason"), [("card", "0502"), ("terminal", "0504"), ("merchant", "0506"), ("cashier", "0508")]
)
def test_a_limit_of_a_month(scope: str, reason: str) -> None:
    shop = limited(Limit(scope, "month", "redeem", "points", 30))
    shop.earn(CARD, 100)
    shop.later(days=20)  # 1 Farvardin 1405
    for _ in range(3):
        assert shop.redeem(CARD, 10, cashier="00000007").response_code == "00"
        shop.later(days=10)
    assert shop.day == 50  # 31 Farvardin
    assert said(shop.redeem(CARD, 1, cashier="00000007")) == ("61", reason)
    shop.later(days=1)
    assert shop.redeem(CARD, 30, cashier="00000007").response_code == "00"


def test_what_was_reversed_is_free_again_and_a_decline_uses_nothing() -> None:
    shop = limited(*(Limit(scope, "day", "earn", "points", 10) for scope in ("card", "terminal", "merchant")))
    earned = shop.earn(CARD, 10)
    assert shop.earn(CARD, 1).response_code == "61"
    shop.reverse(earned, CARD)
    assert shop.earn(CARD, 11).response_code == "61"
    assert shop.earn(CARD, 10).response_code == "00"


@pytest.mark.parametrize("period", ["day", "month"])
def test_what_was_voided_refunded_or_returned_is_free_for_its_card_again(period: str) -> None:
    shop = limited(
        Limit("card", period, "redeem", "points", 60),
        Limit("card", period, "redeem", "count", 3),
        Limit("card", period, "earn", "points", 100),
    )
    earned = shop.earn(CARD, 100)
    shop.follow("return", earned, 200_000)
    assert shop.earn(CARD, 21).response_code == "61"
    assert shop.earn(CARD, 20).response_code == "00"
    first = shop.redeem(CARD, 60)
    void = shop.follow("void", first)
    second = shop.redeem(CARD, 60)
    assert second.response_code == "00"
    shop.follow("refund", second, 1_000)
    assert shop.redeem(CARD, 11).response_code == "61"
    assert shop.redeem(CARD, 10).response_code == "00"
    assert shop.reverse(void, follows=rrn(first)).response_code == "00"
    usage = shop.member(CARD).usage
    assert (usage.redemptions, usage.redeemed, usage.month_redeemed) == (3, 120, 120)
    assert (usage.earned, usage.month_earned) == (100, 100)


def test_what_was_used_before_is_not_freed_by_what_comes_back_of_it_later() -> None:
    shop = limited(Limit("card", "day", "redeem", "points", 60))
    shop.earn(CARD, 100)
    old = shop.redeem(CARD, 40)
    shop.later(days=1)
    assert shop.redeem(CARD, 50).response_code == "00"
    shop.follow("refund", old)
    assert shop.redeem(CARD, 11).response_code == "61"
    assert shop.redeem(CARD, 10).response_code == "00"


def test_captures_and_open_holds_count() -> None:
    shop = limited(
        Limit("card", "day", "redeem", "points", 30), Limit("terminal", "day", "redeem", "count", 2)
    )
    shop.earn(CARD, 100)
    held = shop.redeem(CARD, 25, "hold")
    assert held.response_code == "00"
    assert shop.follow("capture", held, 2_500, points=25).response_code == "00"
    assert said(shop.redeem(CARD, 10, "hold")) == ("61", "0501")
    shop.redeem(CARD, 1, "hold", terminal="10000002")
    assert said(shop.redeem(CARD, 5)) == ("61", "0501")
    shop.later(ms=3_600_000)
    assert shop.redeem(CARD, 5).response_code == "00"
    shop.earn(FRIEND, 5)
    assert said(shop.redeem(FRIEND, 5)) == ("65", "0503")


def test_a_queued_earn_is_held_by_its_terminals_day_only() -> None:
    shop = limited(
        Limit("card", "day", "earn", "count", 0),
        Limit("merchant", "day", "earn", "points", 0),
        Limit("terminal", "month", "earn", "points", 0),
        Limit("terminal", "day", "earn", "points", 50),
        double_swipe_ms=60_000,
        unique_receipts=True,
    )
    for _ in range(5):
        assert shop.earn(CARD, 10, mti="0220", receipt="r").response_code == "00"
    assert said(shop.earn(CARD, 1, mti="0220")) == ("61", "0503")


def test_a_cashiers_limit_holds_nobody_without_a_name() -> None:
    shop = limited(Limit("cashier", "day", "earn", "points", 10))
    assert shop.earn(CARD, 11).response_code == "00"
    assert said(shop.earn(CARD, 11, cashier="00000007")) == ("61", "0507")


# ---------------------------------------------------------------- what is taken back

SCOPES = ("card", "terminal", "merchant", "cashier")
HERE = {"cashier": "00000007"}
ELSEWHERE = {"cashier": "00000008", "terminal": "10000002"}


def alone(scope: str, operation: str, measure: str, most: int, period: str = "day") -> Shop:
    return limited(Limit(scope, period, operation, measure, most))


def earns(shop: Shop, points: int) -> str:
    return shop.earn(CARD, points, **HERE).response_code


def spends(shop: Shop, points: int) -> str:
    return shop.redeem(CARD, points, **HERE).response_code


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("how", ["reversal", "void"])
def test_a_sale_that_was_taken_back_is_free_for_all(scope: str, how: str) -> None:
    for measure, most in (("count", 1), ("points", 10)):
        shop = alone(scope, "earn", measure, most)
        earned = shop.earn(CARD, 10, **HERE)
        assert earns(shop, 10) in ("61", "65")
        taken = shop.reverse(earned, CARD) if how == "reversal" else shop.follow("void", earned, **HERE)
        assert taken.response_code == "00"
        assert earns(shop, 10) == "00"
        assert earns(shop, 10) in ("61", "65")


@pytest.mark.parametrize("scope", SCOPES)
def test_a_reversed_void_counts_again(scope: str) -> None:
    shop = alone(scope, "redeem", "points", 30)
    shop.earn(CARD, 100, **HERE)
    sale = shop.redeem(CARD, 30, **HERE)
    void = shop.follow("void", sale, **ELSEWHERE | {"terminal": "10000001"})
    assert shop.reverse(void, follows=rrn(sale)).response_code == "00"
    assert spends(shop, 1) == "61"
    assert shop.follow("void", sale).response_code == "00"
    assert spends(shop, 30) == "00"


@pytest.mark.parametrize("scope", SCOPES)
def test_a_refund_frees_points_where_they_were_spent_and_no_count(scope: str) -> None:
    shop = limited(Limit(scope, "day", "redeem", "points", 30), Limit(scope, "day", "redeem", "count", 2))
    shop.earn(CARD, 100)
    sale = shop.redeem(CARD, 30, **HERE)
    refund = shop.follow("refund", sale, 2_000, **ELSEWHERE)
    assert spends(shop, 21) == "61"
    assert shop.reverse(refund, follows=rrn(sale), terminal="10000002").response_code == "00"
    assert spends(shop, 1) == "61"
    shop.follow("refund", sale, 2_000, **ELSEWHERE)
    assert spends(shop, 20) == "00"
    assert spends(shop, 1) in ("61", "65")


@pytest.mark.parametrize("scope", ["terminal", "merchant", "cashier"])
def test_rial_is_free_again_as_points_are(scope: str) -> None:
    shop = alone(scope, "earn", "amount", 1_000_000)
    earned = shop.earn(CARD, 100, **HERE)
    assert shop.follow("return", earned, 250_000, **ELSEWHERE).response_code == "00"
    assert earns(shop, 26) == "61"
    assert earns(shop, 25) == "00"
    assert earns(shop, 1) == "61"


@pytest.mark.parametrize("scope", SCOPES)
def test_a_day_is_not_freed_by_what_comes_back_of_another(scope: str) -> None:
    shop = alone(scope, "redeem", "points", 60)
    shop.earn(CARD, 100, **HERE)
    old = shop.redeem(CARD, 40, **HERE)
    older = shop.redeem(CARD, 10, **HERE)
    shop.later(days=1)
    assert spends(shop, 30) == "00"
    assert shop.reverse(old, CARD).response_code == "00"
    assert shop.follow("refund", older, **HERE).response_code == "00"
    assert spends(shop, 31) == "61"
    assert spends(shop, 30) == "00"


@pytest.mark.parametrize("scope", SCOPES)
def test_a_month_is_freed_by_what_comes_back_of_its_other_days(scope: str) -> None:
    shop = alone(scope, "redeem", "points", 60, "month")
    shop.earn(CARD, 200, **HERE)
    old = shop.redeem(CARD, 60, **HERE)
    shop.later(days=1)
    assert spends(shop, 1) == "61"
    assert shop.follow("refund", old, 4_000, **ELSEWHERE).response_code == "00"
    assert spends(shop, 41) == "61"
    assert spends(shop, 40) == "00"
    shop.later(days=18)
    assert spends(shop, 1) == "61"
    shop.later(days=1)  # 1 Farvardin 1405
    assert shop.follow("refund", old, 1_000, **HERE).response_code == "00"
    assert spends(shop, 61) == "61"
    assert spends(shop, 60) == "00"


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("how", ["reversal", "void", "running out"])
def test_an_open_hold_counts_until_it_ends(scope: str, how: str) -> None:
    shop = limited(Limit(scope, "day", "redeem", "count", 1), Limit(scope, "day", "redeem", "points", 30))
    shop.earn(CARD, 100, **HERE)
    held = shop.redeem(CARD, 25, "hold", **HERE)
    assert spends(shop, 5) == "65"
    assert shop.redeem(CARD, 5, "hold", **HERE).response_code == "65"
    if how == "reversal":
        shop.reverse(held, CARD)
    elif how == "void":
        shop.follow("void", held, **HERE)
    else:
        shop.later(ms=3_600_000)
    assert spends(shop, 31) == "61"
    assert spends(shop, 30) == "00"
    assert spends(shop, 1) == "65"


@pytest.mark.parametrize("scope", SCOPES)
def test_a_capture_counts_in_the_place_of_its_hold(scope: str) -> None:
    shop = alone(scope, "redeem", "points", 30)
    shop.earn(CARD, 100, **HERE)
    held = shop.redeem(CARD, 25, "hold", **HERE)
    captured = shop.follow("capture", held, 1_000, points=10, **HERE)
    assert spends(shop, 21) == "61"
    assert shop.reverse(captured, follows=rrn(held)).response_code == "00"
    assert spends(shop, 31) == "61"
    assert spends(shop, 30) == "00"


@pytest.mark.parametrize("scope", SCOPES)
def test_a_split_sale_counts_as_an_earn_too(scope: str) -> None:
    for measure, most in (("points", 150), ("count", 2)):
        shop = alone(scope, "earn", measure, most)
        shop.earn(CARD, 100, **HERE)
        sale = shop.redeem(CARD, 10, sale_amount=501_000, **HERE)
        assert sale.response_code == "00"
        assert shop.redeem(CARD, 1, sale_amount=20_000, **HERE).response_code in ("61", "65")
        assert earns(shop, 1) in ("61", "65")
        assert spends(shop, 1) == "00"
        assert shop.reverse(sale, CARD).response_code == "00"
        assert earns(shop, 50) == "00"
        assert earns(shop, 1) in ("61", "65")


@pytest.mark.parametrize("scope", ["terminal", "merchant", "cashier"])
def test_goods_of_a_split_sale_free_what_each_part_counted(scope: str) -> None:
    shop = limited(
        Limit(scope, "day", "redeem", "amount", 1_000),
        Limit(scope, "day", "earn", "amount", 10_500_000),
        Limit(scope, "day", "earn", "points", 1_050),
    )
    shop.earn(CARD, 1_000, **HERE)
    sale = shop.redeem(CARD, 10, sale_amount=500_000, **HERE)  # 1 000 rial in points, 499 000 in money: 49
    assert sale.response_code == "00"
    half = shop.follow("return", sale, 250_000, **ELSEWHERE)  # 5 points; 249 500 rial earn 24, 25 are taken
    assert (tag(half, "01"), tag(half, "0E")) == (f"{5:012d}", f"{25:012d}")
    assert spends(shop, 6) == "61"
    assert spends(shop, 5) == "00"
    assert earns(shop, 27) == "61"  # 10 249 500 rial, 1 024 points
    assert shop.decide(shop.request("earn", CARD, amount=250_501, **HERE)).response_code == "61"
    assert shop.decide(shop.request("earn", CARD, amount=250_500, **HERE)).response_code == "00"


# ---------------------------------------------------------------- double swipe


def swiping() -> Shop:
    return limited(double_swipe_ms=60_000)


def test_the_same_sale_again_is_asked_about() -> None:
    shop = swiping()
    assert shop.earn(CARD, 10).response_code == "00"
    again = shop.earn(CARD, 10)
    assert (said(again), tag(again, "05")) == (("94", "0601"), f"{60:012d}")
    assert shop.wallet(CARD).balance == 10
    assert shop.earn(CARD, 10, confirmed=True).response_code == "00"


@pytest.mark.parametrize("operation", ["redeem", "hold"])
def test_points_are_not_spent_twice_by_a_double_swipe(operation: str) -> None:
    shop = swiping()
    shop.earn(CARD, 100)
    assert shop.redeem(CARD, 10, operation).response_code == "00"
    assert said(shop.redeem(CARD, 10, operation)) == ("94", "0601")
    assert shop.redeem(CARD, 10, operation, confirmed=True).response_code == "00"


def test_another_sale_is_not() -> None:
    shop = swiping()
    shop.earn(CARD, 10)
    assert shop.earn(CARD, 11).response_code == "00"
    assert shop.earn(FRIEND, 10).response_code == "00"
    assert shop.earn(CARD, 10, terminal="10000002").response_code == "00"
    shop.redeem(CARD, 1)
    shop.later(ms=60_000)
    assert shop.earn(CARD, 10).response_code == "00"


def test_it_is_found_behind_what_came_between() -> None:
    shop = swiping()
    shop.earn(CARD, 10)
    shop.later(ms=59_999)
    shop.decide(shop.request("balance", CARD))
    assert said(shop.earn(CARD, 10)) == ("94", "0601")
    assert said(shop.earn(CARD, 10)) == ("94", "0601")
    shop.later(ms=1)
    assert shop.earn(CARD, 10).response_code == "00"


@pytest.mark.parametrize("how", ["reversal", "void"])
def test_a_sale_that_was_taken_back_may_come_again(how: str) -> None:
    shop = swiping()
    earned = shop.earn(CARD, 10)
    taken = shop.reverse(earned, CARD) if how == "reversal" else shop.follow("void", earned)
    assert taken.response_code == "00"
    assert shop.earn(CARD, 10).response_code == "00"
    assert said(shop.earn(CARD, 10)) == ("94", "0601")


def test_a_reversed_void_leaves_the_sale() -> None:
    shop = swiping()
    earned = shop.earn(CARD, 10)
    void = shop.follow("void", earned)
    shop.reverse(void, follows=rrn(earned))
    assert said(shop.earn(CARD, 10)) == ("94", "0601")


def test_nobody_is_asked_when_the_settings_say_so() -> None:
    shop = limited()
    assert [shop.earn(CARD, 10).response_code for _ in range(3)] == ["00"] * 3


# ---------------------------------------------------------------- till receipts


def test_a_receipt_is_used_once_by_a_merchant() -> None:
    shop = limited(unique_receipts=True)
    assert shop.earn(CARD, 10, receipt="A-1").response_code == "00"
    assert said(shop.earn(FRIEND, 10, receipt="A-1", terminal="10000002")) == ("94", "0602")
    assert said(shop.redeem(CARD, 1, receipt="A-1")) == ("94", "0602")
    assert shop.earn(FRIEND, 10, receipt="A-1", acceptor=OTHER_ACCEPTOR).response_code == "00"
    assert shop.earn(FRIEND, 10, receipt="A-2").response_code == "00"
    assert shop.earn(FRIEND, 10).response_code == "00"
    shop.later(ms=DAY_MS, days=1)
    assert said(shop.earn(CARD, 10, receipt="A-1")) == ("94", "0602")


@pytest.mark.parametrize("how", ["reversal", "void"])
def test_a_receipt_whose_sale_was_taken_back_may_be_used_again(how: str) -> None:
    shop = limited(unique_receipts=True)
    earned = shop.earn(CARD, 10, receipt="A-1")
    taken = shop.reverse(earned, CARD) if how == "reversal" else shop.follow("void", earned)
    assert taken.response_code == "00"
    assert shop.earn(FRIEND, 10, receipt="A-1").response_code == "00"
    assert said(shop.earn(CARD, 10, receipt="A-1")) == ("94", "0602")


def test_receipts_may_repeat_when_the_settings_say_so() -> None:
    shop = limited()
    assert [shop.earn(CARD, 10, receipt="A-1").response_code for _ in range(2)] == ["00"] * 2
