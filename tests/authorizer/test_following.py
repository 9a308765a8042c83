"""What follows an earlier transaction: captures, refunds, returns, voids, and reversals of all of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from switch.authorizer import NewCode
from switch.authorizer.identity import card_identifier
from switch.ledger import AccountKind, Entry, MemberStatus, Mobile, Unit, lots
from switch.ledger.counting import units_moved
from switch.ledger.lots import LOTS_APART
from switch.loyalty.program import Rules
from tests.authorizer.shop import FIRST_DAY, KEY, OTHER_ACCEPTOR, Shop, rrn, tag

CARD, FRIEND, NEW = "9364000000000001", "9364000000000019", "9364000000000027"


def shop_with(points: int, **rules: object) -> Shop:
    shop = Shop(**rules)
    shop.activate(CARD)
    shop.earn(CARD, points)
    return shop


# ---------------------------------------------------------------- returns


@given(st.lists(st.integers(1, 30), min_size=1, max_size=6), st.integers(0, 9_999))
def test_partial_returns_sum_to_exactly_the_award(parts: list[int], rest: int) -> None:
    shop = Shop(largest_award=20, points_per_step=3, smallest_purchase=50_000)
    shop.activate(CARD)
    amounts = [part * 3_333 for part in parts]
    total = sum(amounts) + rest
    earn = shop.decide(shop.request("earn", CARD, amount=total))
    award = shop.wallet(CARD).balance
    for amount in amounts:
        assert shop.follow("return", earn, amount).response_code == "00"
    if rest:
        assert shop.follow("return", earn, rest).response_code == "00"
    assert shop.wallet(CARD).balance == 0
    assert shop.total(AccountKind.ISSUED) == 0
    assert shop.total(AccountKind.RECEIVABLE, Unit.RIAL) == 0
    assert shop.follow("return", earn, 1).response_code == "13"
    assert award == shop.authorizer._program.on(1).award(total)


def test_a_return_is_judged_by_the_rules_that_made_the_award() -> None:
    shop = Shop(Rules(), Rules(number=2, starts=739_680, points_per_step=5))
    shop.activate(CARD)
    earn = shop.earn(CARD, 10)
    assert shop.wallet(CARD).balance == 10
    shop.later(days=739_700 - 739_676)
    assert shop.follow("return", earn, 35_000).response_code == "00"
    assert shop.wallet(CARD).balance == 6


def test_a_spent_award_is_taken_from_other_lots_and_then_owed() -> None:
    shop = shop_with(100)
    earn = shop.entries[-1]
    other = shop.earn(CARD, 30)
    shop.redeem(CARD, 90)
    assert shop.follow("return", earn).response_code == "00"
    assert shop.wallet(CARD).balance == -60
    assert shop.lots(CARD) == []
    later = shop.earn(CARD, 100)
    assert tag(later, "02") == f"{40:012d}"
    assert shop.lots(CARD) == [(later.id, 40)]
    assert other.id not in [lot for lot, _ in shop.lots(CARD)]


def test_a_return_that_its_terminal_reverses_leaves_what_was_before() -> None:
    shop = shop_with(100)
    earn = shop.entries[-1]
    shop.redeem(CARD, 30)
    before = shop.wallet(CARD)
    taken = shop.follow("return", earn, 500_000)
    assert shop.wallet(CARD).balance == 20
    assert shop.reverse(taken, follows=rrn(earn)).response_code == "00"
    assert shop.wallet(CARD) == before
    assert shop.follow("return", earn).response_code == "00"
    assert shop.wallet(CARD).balance == -30


def test_a_return_of_what_waits_and_its_reversal_leave_it_waiting() -> None:
    for operation, amount in (("return", 400_000), ("void", 1_000_000)):
        shop = shop_with(100, pending_days=14)
        earn, before = shop.entries[-1], shop.wallet(CARD)
        taken = shop.follow(operation, earn, amount)
        assert shop.reverse(taken, follows=rrn(earn)).response_code == "00"
        assert shop.wallet(CARD) == before


def test_a_reversed_return_whose_debt_was_paid_since_brings_its_points_back() -> None:
    shop = shop_with(50)
    earn = shop.entries[-1]
    shop.redeem(CARD, 50)
    taken = shop.follow("return", earn)
    shop.earn(CARD, 70)
    assert shop.wallet(CARD).balance == 20
    assert shop.reverse(taken, follows=rrn(earn)).response_code == "00"
    assert shop.wallet(CARD).balance == 70
    assert shop.redeem(CARD, 70).response_code == "00"


# ---------------------------------------------------------------- refunds


def test_a_refund_goes_back_to_the_lots_it_came_from_last_taken_first() -> None:
    shop = Shop(expiry="rolling", expiry_days=30)
    shop.activate(CARD)
    first = shop.earn(CARD, 50)
    shop.later(days=1)
    second = shop.earn(CARD, 50)
    redeem = shop.redeem(CARD, 70)
    assert shop.lots(CARD) == [(second.id, 30)]
    assert shop.follow("refund", redeem, 3_000).response_code == "00"
    assert shop.lots(CARD) == [(first.id, 10), (second.id, 50)]
    assert shop.follow("refund", redeem, 4_000).response_code == "00"
    assert shop.lots(CARD) == [(first.id, 50), (second.id, 50)]
    more = shop.follow("refund", redeem, 100)
    assert (more.response_code, tag(more, "04")) == ("13", "0203")


@pytest.mark.parametrize(("reopen_days", "left"), [(30, 40), (0, 0)])
def test_points_refunded_after_their_lot_is_over(reopen_days: int, left: int) -> None:
    shop = Shop(expiry="rolling", expiry_days=10, reopen_days=reopen_days)
    shop.activate(CARD)
    shop.earn(CARD, 100)
    redeem = shop.redeem(CARD, 40)
    shop.later(days=11)
    assert shop.decide(shop.request("balance", CARD)).response_code == "00"
    assert shop.wallet(CARD).balance == 0
    assert shop.follow("refund", redeem).response_code == "00"
    shop.later(days=1)
    shop.decide(shop.request("balance", CARD))
    assert shop.wallet(CARD).balance == left
    shop.later(days=30)
    shop.decide(shop.request("balance", CARD))
    assert shop.wallet(CARD).balance == 0


def test_a_lot_that_lives_on_already_lives_no_longer_for_what_comes_back_next() -> None:
    shop = Shop(expiry="rolling", expiry_days=10)
    shop.activate(CARD)
    shop.earn(CARD, 100)
    redeem = shop.redeem(CARD, 40)
    shop.later(days=11)
    shop.follow("refund", redeem, 1_000)
    [first] = shop.wallet(CARD).lots
    shop.later(days=5)
    shop.follow("refund", redeem, 3_000)
    [both] = shop.wallet(CARD).lots
    assert (both.lot, both.amount) == (first.lot, 40)


@pytest.mark.parametrize("operation", ["earn", "redeem"])
@pytest.mark.parametrize("rial", [50, 3_000])  # 50 give no point back
def test_what_was_given_back_in_part_is_not_reversed_whole(operation: str, rial: int) -> None:
    shop = shop_with(100)
    original = shop.entries[-1] if operation == "earn" else shop.redeem(CARD, 60)
    shop.follow("return" if operation == "earn" else "refund", original, rial)
    assert shop.reverse(original, CARD).response_code == "12"


def test_an_acceptor_gives_back_the_rial_of_whole_points_however_a_refund_is_cut() -> None:
    shop = shop_with(100)
    redeem = shop.redeem(CARD, 3)
    for owed, left in ((300, 97), (200, 98), (200, 98), (100, 99), (100, 99), (0, 100)):
        assert shop.follow("refund", redeem, 50).response_code == "00"
        assert shop.wallet(CARD).balance == left
        assert shop.total(AccountKind.PAYABLE, Unit.RIAL) == owed


def test_refunds_go_on_after_an_earlier_one_was_reversed() -> None:
    shop = shop_with(100, rial_per_redeemed_point=130)
    redeem = shop.decide(shop.request("redeem", CARD, amount=130, points=1))
    first = shop.follow("refund", redeem, 65)
    shop.follow("refund", redeem, 65)
    assert shop.wallet(CARD).balance == 100
    shop.reverse(first, follows=rrn(redeem))
    assert shop.follow("refund", redeem, 10).response_code == "00"
    assert shop.follow("refund", redeem, 55).response_code == "00"
    assert shop.wallet(CARD).balance == 100


def test_a_reversed_refund_takes_from_each_lot_what_it_gave_it() -> None:
    shop = Shop(expiry="rolling", expiry_days=30)
    shop.activate(CARD)
    shop.earn(CARD, 50)
    shop.later(days=1)
    shop.earn(CARD, 50)
    first, second = shop.redeem(CARD, 30), shop.redeem(CARD, 30)
    shop.follow("refund", first)
    before = shop.wallet(CARD)
    given = shop.follow("refund", second)
    assert shop.reverse(given, follows=rrn(second)).response_code == "00"
    assert shop.wallet(CARD) == before


# ---------------------------------------------------------------- split sales


def split_sale(**rules: object) -> tuple[Shop, Entry]:
    """10 000 rial of 510 000 are paid with 100 points, the rest earns 50."""
    shop = shop_with(100, **rules)
    sale = shop.redeem(CARD, 100, sale_amount=510_000)
    assert shop.wallet(CARD).balance == 50
    return shop, sale


def test_a_refund_of_a_split_sale_gives_the_points_back_that_paid() -> None:
    shop, sale = split_sale()
    assert tag(shop.follow("refund", sale, 5_000), "01") == f"{50:012d}"
    assert shop.wallet(CARD).balance == 100
    assert shop.follow("refund", sale, 5_001).response_code == "13"
    assert shop.follow("refund", sale, 5_000).response_code == "00"
    assert shop.wallet(CARD).balance == 150
    assert shop.total(AccountKind.PAYABLE, Unit.RIAL) == 0


def test_goods_of_a_split_sale_bring_points_and_money_back_as_they_paid() -> None:
    shop, sale = split_sale()
    half = shop.follow("return", sale, 255_000)
    assert (tag(half, "01"), tag(half, "0E"), tag(half, "04")) == (f"{50:012d}", f"{25:012d}", "0105")
    assert shop.wallet(CARD).balance == 75
    assert shop.follow("return", sale, 255_001).response_code == "13"
    assert shop.follow("return", sale, 255_000).response_code == "00"
    assert shop.wallet(CARD).balance == 100
    for kind, unit in ((AccountKind.ISSUED, Unit.POINTS), (AccountKind.REDEEMED, Unit.POINTS)):
        assert abs(shop.total(kind, unit)) == (100 if kind is AccountKind.ISSUED else 0)


@given(st.lists(st.integers(1, 500_000), max_size=6), st.integers(0, 3))
def test_partial_returns_of_a_split_sale_sum_to_the_whole(parts: list[int], refunded: int) -> None:
    shop = Shop(smallest_purchase=50_000, points_per_step=3, largest_award=120)
    shop.activate(CARD)
    shop.decide(shop.request("earn", CARD, amount=400_000))
    before = shop.wallet(CARD).balance
    sale = shop.redeem(CARD, 70, sale_amount=507_000)
    left = 507_000
    if refunded:
        shop.follow("refund", sale, refunded * 130)
        left -= refunded * 130
    for part in parts:
        if part < left:
            assert shop.follow("return", sale, part).response_code == "00"
            left -= part
    assert shop.follow("return", sale, left).response_code == "00"
    assert shop.wallet(CARD).balance == before
    assert shop.total(AccountKind.REDEEMED) == 0
    assert shop.total(AccountKind.PAYABLE, Unit.RIAL) == 0
    assert shop.follow("return", sale, 1).response_code == "13"


# Goods of 1 000 rial, paid with 3 points of 100 rial and 700 rial in money, which earn a point each 350 rial.
# By policy and the rial of each return: points that come back, points that are taken.
BACK = [
    ("proportional", (250, 250, 250, 250), (0, 1, 1, 1), (1, 1, 0, 0)),
    ("points_first", (250, 250, 250, 250), (2, 1, 0, 0), (1, 0, 1, 0)),
    ("money_first", (250, 250, 250, 250), (0, 0, 1, 2), (1, 1, 0, 0)),
    ("proportional", (600, 400), (1, 2), (2, 0)),
    ("points_first", (600, 400), (3, 0), (1, 1)),
    ("money_first", (600, 400), (0, 3), (2, 0)),
    ("points_first", (99, 1, 900), (0, 0, 3), (1, 0, 1)),
    ("money_first", (700, 300), (0, 3), (2, 0)),
    ("money_first", (701, 299), (1, 2), (2, 0)),
    ("proportional", (1_000,), (3,), (2,)),
    ("points_first", (1_000,), (3,), (2,)),
    ("money_first", (1_000,), (3,), (2,)),
]


@pytest.mark.parametrize(("policy", "goods", "points", "taken"), BACK)
def test_what_comes_back_first_is_what_the_program_says(
    policy: str, goods: tuple[int, ...], points: tuple[int, ...], taken: tuple[int, ...]
) -> None:
    shop = Shop(rial_per_earned_point=350, split_return=policy)
    shop.activate(CARD)
    shop.decide(shop.request("earn", CARD, amount=3_500))
    sale = shop.redeem(CARD, 3, sale_amount=1_000)
    balance, redeemed = 10 - 3 + 2, 3
    for part, back, less in zip(goods, points, taken, strict=True):
        assert shop.follow("return", sale, part).response_code == "00"
        balance, redeemed = balance + back - less, redeemed - back
        assert (shop.wallet(CARD).balance, shop.total(AccountKind.REDEEMED)) == (balance, redeemed)
    assert (balance, redeemed) == (10, 0)
    assert shop.total(AccountKind.PAYABLE, Unit.RIAL) == 0


def test_the_policy_is_that_of_the_day_of_the_sale() -> None:
    later = FIRST_DAY.toordinal() + 1
    shop = Shop(Rules(split_return="points_first"), Rules(number=2, starts=later, split_return="money_first"))
    shop.activate(CARD)
    shop.earn(CARD, 100)
    sale = shop.redeem(CARD, 50, sale_amount=10_000)
    shop.later(days=1)
    assert tag(shop.follow("return", sale, 5_000), "01") == f"{50:012d}"
    new = shop.redeem(CARD, 50, sale_amount=10_000)
    assert tag(shop.follow("return", new, 5_000), "04") == "0106"
    assert tag(shop.follow("return", new, 5_000), "01") == f"{50:012d}"


@pytest.mark.parametrize("policy", ["proportional", "points_first", "money_first"])
def test_many_small_goods_bring_no_more_money_back_than_was_paid(policy: str) -> None:
    """A point is worth more than each of the goods: 9 000 of 10 000 rial were paid with 9."""
    shop = Shop(rial_per_redeemed_point=1_000, split_return=policy)
    shop.activate(CARD)
    shop.earn(CARD, 9)
    values = {"amount": 9_000, "points": 9, "sale_amount": 10_000}
    sale = shop.decide(shop.request("redeem", CARD, **values))
    for number in range(1, 21):
        assert shop.follow("return", sale, 500).response_code == "00"
        back = 9 - shop.total(AccountKind.REDEEMED)
        assert 500 * number - 1_000 * back <= 1_000
        assert 1_000 * back <= 500 * number + 500, "nor more points than these goods, but for a part of one"
    assert back == 9


def test_a_reversed_return_of_a_split_sale_leaves_what_was_before() -> None:
    shop, sale = split_sale()
    shop.follow("return", sale, 51_000)
    before = shop.wallet(CARD)
    taken = shop.follow("return", sale, 100_000)
    assert shop.reverse(taken, follows=rrn(sale)).response_code == "00"
    assert shop.wallet(CARD) == before
    assert shop.follow("return", sale, 459_000).response_code == "00"
    assert shop.wallet(CARD).balance == 100


def test_goods_worth_less_than_a_point_bring_none_back() -> None:
    shop = shop_with(100)
    sale = shop.redeem(CARD, 100, sale_amount=20_000)
    for goods, points in ((199, 0), (50, 0), (100, 1), (19_651, 100)):
        assert shop.follow("return", sale, goods).response_code == "00"
        assert shop.total(AccountKind.REDEEMED) == 100 - points


def test_a_void_of_a_split_sale_tells_the_points_that_paid() -> None:
    shop, sale = split_sale()
    assert tag(shop.follow("void", sale), "01") == f"{100:012d}"
    assert shop.wallet(CARD).balance == 100


# ---------------------------------------------------------------- any order of returns and their reversals

# What is done one after another: a part of the sale in thousandths, or the reversal of an earlier one.
STEPS = st.lists(
    st.one_of(st.integers(1, 400), st.integers(0, 9).map(lambda which: -1 - which)), min_size=3, max_size=9
)


def back_and_forth(
    shop: Shop, sale: Entry, operation: str, whole: int, steps: list[int]
) -> Iterator[list[Entry]]:
    """Play the steps, then give all back that is left; what stands after each."""
    there: list[Entry] = []
    for step in [*steps, 1_000]:
        back = sum(entry.amount for entry in there)
        if step > 0:
            amount = min(max(whole * step // 1_000, 1), whole - back)
            if amount:
                there.append(shop.follow(operation, sale, amount))
                assert there[-1].response_code == "00"
        elif there:
            entry = there.pop((-1 - step) % len(there))
            assert shop.reverse(entry, follows=rrn(sale)).response_code == "00"
        yield there


def told(there: list[Entry]) -> int:
    """Points of all these answers."""
    return sum(int(tag(entry, "01")) for entry in there)


@given(STEPS)
def test_returns_take_what_their_answers_told_whatever_was_reversed(steps: list[int]) -> None:
    shop = Shop(smallest_purchase=30_000, points_per_step=3, largest_award=40, price=333)
    shop.activate(CARD)
    sale = shop.decide(shop.request("earn", CARD, amount=163_333))
    award = shop.authorizer._program.on(1).award
    before = 0
    for there in back_and_forth(shop, sale, "return", 163_333, steps):
        taken, left = told(there), 40 - told(there)
        assert shop.lots(CARD) == ([(sale.id, left)] if left else [])
        assert -shop.total(AccountKind.RECEIVABLE, Unit.RIAL) == 40 * 333 // 1_000 * left // 40
        if there and there[-1] is shop.entries[-1]:  # a return mends what reversals left too small
            back = sum(entry.amount for entry in there)
            assert taken == max(40 - award(163_333 - back), before)
        before = taken
    assert before == 40


@given(STEPS)
def test_refunds_give_what_their_answers_told_whatever_was_reversed(steps: list[int]) -> None:
    """And the lots are those that were taken last, however the points came back."""
    shop = Shop(expiry="rolling", expiry_days=30)
    shop.activate(CARD)
    lots = []
    for _ in range(4):
        lots.append(shop.earn(CARD, 5).id)
        shop.later(days=1)
    sale = shop.redeem(CARD, 20)
    before = 0
    for there in back_and_forth(shop, sale, "refund", 2_000, steps):
        points = told(there)
        last_taken_first = [(lot, min(points - 5 * place, 5)) for place, lot in enumerate(reversed(lots))]
        assert shop.lots(CARD) == [(lot, count) for lot, count in reversed(last_taken_first) if count > 0]
        assert shop.total(AccountKind.PAYABLE, Unit.RIAL) == 2_000 - 100 * points
        if there and there[-1] is shop.entries[-1]:
            assert points == max(sum(entry.amount for entry in there) // 100, before)
        before = points
    assert before == 20


@given(
    STEPS, st.sampled_from(["proportional", "points_first", "money_first"]), st.sampled_from([7, 100, 900])
)
def test_goods_of_a_split_sale_are_worth_what_comes_back_whatever_was_reversed(
    steps: list[int], policy: str, ratio: int
) -> None:
    """Each return brings its goods' worth in points and money, its reversal takes just that back; what the
    money part earned is always the award of the money that remains."""
    shop = Shop(rial_per_earned_point=350, split_return=policy, rial_per_redeemed_point=ratio)
    shop.activate(CARD)
    shop.decide(shop.request("earn", CARD, amount=3_500))
    sale = shop.decide(
        shop.request("redeem", CARD, amount=9 * ratio, points=9, sale_amount=9 * ratio + 2_000)
    )
    award = shop.authorizer._program.on(1).award
    points = 0
    for there in back_and_forth(shop, sale, "return", 9 * ratio + 2_000, steps):
        points, back = 9 - shop.total(AccountKind.REDEEMED), sum(entry.amount for entry in there)
        money = min(max(back - points * ratio, 0), 2_000)
        assert shop.wallet(CARD).balance == 1 + points + award(2_000 - money)
        assert -shop.total(AccountKind.ISSUED) == 10 + award(2_000 - money)
        assert shop.total(AccountKind.PAYABLE, Unit.RIAL) == (9 - points) * ratio
    assert points == 9
    assert shop.wallet(CARD).balance == 10


def test_a_batch_counts_a_reversed_return_as_its_terminal_does() -> None:
    """What the money part earned is the award of what is left: the first return takes one of two points, the
    second none, the reversal of the first none as well."""
    shop = shop_with(100)
    sale = shop.redeem(CARD, 1, sale_amount=20_100)
    first, second = shop.follow("return", sale, 99), shop.follow("return", sale, 99)
    assert [units_moved(entry) for entry in (first, second)] == [1, 0]
    undone = shop.reverse(first, follows=rrn(sale))
    assert (units_moved(undone), shop.wallet(CARD).balance) == (1, 100)
    undone = shop.reverse(second, follows=rrn(sale))
    assert (units_moved(undone), shop.wallet(CARD).balance) == (0, 101)


# ---------------------------------------------------------------- voids


def test_a_void_takes_all_back_once_and_only_in_the_open_batch() -> None:
    shop = shop_with(100)
    earn = shop.entries[-1]
    assert shop.follow("void", earn, earn.amount - 1).response_code == "13"
    late = shop.follow("void", earn, batch=2)
    assert (late.response_code, tag(late, "04")) == ("12", "0202")
    assert shop.follow("void", earn, accounts="6000").response_code == "25"
    assert shop.follow("void", earn).response_code == "00"
    assert shop.wallet(CARD).balance == 0
    again = shop.follow("void", earn)
    assert (again.response_code, tag(again, "04")) == ("12", "0204")
    assert shop.follow("return", earn).response_code == "12"


@pytest.mark.parametrize("how", ["void", "reversal"])
def test_an_award_that_is_spent_is_taken_from_lots_that_came_later(how: str) -> None:
    shop = shop_with(100)
    earn = shop.entries[-1]
    shop.redeem(CARD, 90)
    later = shop.earn(CARD, 150)
    taken = shop.follow("void", earn) if how == "void" else shop.reverse(earn, CARD)
    assert taken.response_code == "00"
    assert shop.lots(CARD) == [(later.id, 60)]


def test_a_void_that_its_terminal_reverses_leaves_what_was_before() -> None:
    shop = shop_with(100)
    redeem = shop.redeem(CARD, 60)
    before = shop.wallet(CARD)
    void = shop.follow("void", redeem)
    assert shop.wallet(CARD).balance == 100
    assert shop.reverse(void, follows=rrn(redeem)).response_code == "00"
    assert shop.wallet(CARD) == before
    assert shop.follow("refund", redeem).response_code == "00"
    assert shop.wallet(CARD).balance == 100


@pytest.mark.parametrize("operation", ["void", "refund", "return", "capture"])
def test_an_original_is_followed_only_by_its_acceptor_and_its_card(operation: str) -> None:
    shop = shop_with(100)
    shop.activate(FRIEND)
    earn = shop.entries[1]
    assert shop.follow(operation, earn, acceptor=OTHER_ACCEPTOR).response_code == "25"
    friend = shop.request("balance", FRIEND).identifier
    assert shop.follow(operation, earn, identifier=friend).response_code == "25"
    assert shop.decide(shop.request(operation, follows="00AAAAAAAAAA", amount=1)).response_code == "25"
    assert shop.decide(shop.request(operation, follows="no number", amount=1)).response_code == "25"


def test_what_was_reversed_is_not_followed() -> None:
    shop = shop_with(100)
    earn = shop.entries[-1]
    shop.reverse(earn, CARD)
    assert shop.follow("return", earn).response_code == "12"


# ---------------------------------------------------------------- holds


def test_a_hold_keeps_points_until_a_capture_takes_some_and_lets_the_rest_go() -> None:
    shop = shop_with(100)
    hold = shop.redeem(CARD, 60, "hold")
    wallet = shop.wallet(CARD)
    assert (wallet.balance, wallet.held) == (40, 60)
    assert tag(hold, "0D") == f"{60:012d}"
    assert shop.redeem(CARD, 41).response_code == "51"
    more = shop.follow("capture", hold, 6_100, points=61)
    assert (more.response_code, tag(more, "04")) == ("12", "0203")
    assert shop.follow("capture", hold, 2_500, points=25).response_code == "00"
    wallet = shop.wallet(CARD)
    assert (wallet.balance, wallet.held, shop.member(CARD).holds) == (75, 0, ())
    ended = shop.follow("capture", hold, 2_500, points=25)
    assert (ended.response_code, tag(ended, "04")) == ("12", "0205")


def test_a_hold_is_released_by_its_reversal_by_a_void_or_by_time() -> None:
    shop = shop_with(100)
    before = shop.wallet(CARD)
    shop.reverse(shop.redeem(CARD, 60, "hold"), CARD)
    assert shop.wallet(CARD) == before
    shop.follow("void", shop.redeem(CARD, 60, "hold"))
    assert shop.wallet(CARD) == before
    hold = shop.redeem(CARD, 60, "hold")
    shop.later(ms=3_599_999)
    assert shop.redeem(CARD, 60).response_code == "51"
    shop.later(ms=1)
    shop.decide(shop.request("balance", CARD))
    assert shop.wallet(CARD) == before
    assert shop.follow("capture", hold, 6_000, points=60).response_code == "12"


def test_a_hold_that_has_run_out_is_released_and_a_captured_one_is_not() -> None:
    shop = shop_with(100)
    over, captured = shop.redeem(CARD, 30, "hold"), shop.redeem(CARD, 60, "hold")
    assert shop.follow("capture", captured, 2_000, points=20).response_code == "00"
    assert shop.reverse(captured, CARD).response_code == "12"
    shop.later(ms=3_600_000)
    released = shop.reverse(over, CARD)
    assert released.response_code == "00"
    assert shop.wallet(CARD).balance == 80
    assert (released.operation, released.amount, units_moved(released)) == ("hold.reversal", 3_000, 30)


def test_a_void_of_a_hold_tells_what_it_freed_and_stays() -> None:
    shop = shop_with(100)
    hold = shop.redeem(CARD, 60, "hold")
    void = shop.follow("void", hold)
    assert tag(void, "01") == f"{60:012d}"
    assert shop.reverse(void, follows=rrn(hold)).response_code == "12"
    assert shop.follow("capture", hold, 6_000, points=60).response_code == "12"
    assert shop.wallet(CARD).balance == 100


def test_a_capture_pays_the_ratio_of_its_hold() -> None:
    shop = Shop(Rules(), Rules(number=2, starts=FIRST_DAY.toordinal() + 1, rial_per_redeemed_point=200))
    shop.activate(CARD)
    shop.earn(CARD, 100)
    hold = shop.redeem(CARD, 60, "hold")
    shop.day += 1  # past midnight
    assert shop.follow("capture", hold, 12_000, points=60).response_code == "13"
    assert shop.follow("capture", hold, 6_000, points=60).response_code == "00"


def test_a_capture_can_be_refunded() -> None:
    shop = shop_with(100)
    hold = shop.redeem(CARD, 60, "hold")
    capture = shop.follow("capture", hold, 6_000, points=60)
    assert shop.follow("refund", capture, 2_000).response_code == "00"
    assert shop.wallet(CARD).balance == 60
    assert shop.total(AccountKind.PAYABLE, Unit.RIAL) == 4_000


# ---------------------------------------------------------------- split tender, pending, expiry


def test_the_money_part_of_a_split_sale_earns_and_one_reversal_takes_both_back() -> None:
    shop = shop_with(100)
    before = shop.wallet(CARD)
    sale = shop.redeem(CARD, 100, sale_amount=510_000)
    assert (sale.response_code, tag(sale, "0E")) == ("00", f"{50:012d}")
    assert shop.wallet(CARD).balance == 50
    shop.reverse(sale, CARD)
    assert shop.wallet(CARD) == before


def test_an_award_that_waits_can_be_spent_from_its_day_on() -> None:
    shop = Shop(pending_days=14)
    shop.activate(CARD)
    earn = shop.earn(CARD, 100)
    assert (tag(earn, "02"), tag(earn, "0C"), tag(earn, "04")) == (f"{0:012d}", f"{100:012d}", "0103")
    shop.later(days=13)
    assert shop.redeem(CARD, 1).response_code == "51"
    shop.later(days=1)
    assert shop.redeem(CARD, 100).response_code == "00"


def test_a_queued_earn_whose_first_day_has_come_does_not_wait() -> None:
    shop = Shop(pending_days=3)
    shop.activate(CARD)
    shop.later(days=9)
    day = FIRST_DAY.toordinal() + 9
    queued = {"amount": 100_000, "mti": "0220"}
    over = shop.decide(shop.request("earn", CARD, transaction_day=day - 3, **queued))
    assert (tag(over, "02"), tag(over, "04"), shop.wallet(CARD).balance) == (f"{10:012d}", "0101", 10)
    waits = shop.decide(shop.request("earn", CARD, transaction_day=day - 2, **queued))
    assert (tag(waits, "04"), shop.wallet(CARD).pending) == ("0103", 10)


def test_a_returned_award_is_taken_from_what_waits_first() -> None:
    shop = Shop(pending_days=14)
    shop.activate(CARD)
    earn = shop.earn(CARD, 100)
    assert shop.follow("return", earn, 400_000).response_code == "00"
    wallet = shop.wallet(CARD)
    assert (wallet.balance, wallet.pending) == (0, 60)


def test_a_lot_can_be_used_on_its_last_day_and_not_on_the_next() -> None:
    shop = Shop(expiry="rolling", expiry_days=10)
    shop.activate(CARD)
    shop.earn(CARD, 100)
    shop.later(days=10)
    assert shop.redeem(CARD, 40).response_code == "00"
    shop.later(days=1)
    assert shop.redeem(CARD, 1).response_code == "51"
    assert shop.total(AccountKind.EXPIRED) == 60
    assert shop.total(AccountKind.BREAKAGE, Unit.RIAL) == 6_000
    assert len([entry for entry in shop.entries if entry.operation == "due"]) == 1


# ---------------------------------------------------------------- the most there can be


def rich(points: int) -> Shop:
    """One rial earns a million points."""
    shop = Shop(rial_per_earned_point=1, points_per_step=10**6)
    shop.activate(CARD)
    shop.activate(FRIEND)
    while points:
        part = min(points, 999_999)
        assert shop.decide(shop.request("earn", CARD, amount=part)).response_code == "00"
        points -= part
    return shop


def test_points_that_come_back_into_a_full_wallet_are_told_as_the_most_a_tag_says() -> None:
    shop = rich(999_999)
    redeem = shop.redeem(CARD, 10**9)
    assert shop.decide(shop.request("earn", CARD, amount=1_001)).response_code == "13"
    assert shop.decide(shop.request("earn", CARD, amount=1_000)).response_code == "00"
    assert tag(shop.follow("refund", redeem), "02") == "9" * 12
    assert shop.wallet(CARD).balance == 999_999 * 10**6 + 10**9
    assert shop.decide(shop.request("balance", CARD)).response_code == "00"


def test_a_split_sale_earns_no_more_than_a_wallet_holds() -> None:
    shop = rich(999_000)
    assert shop.redeem(CARD, 1, sale_amount=100 + 1_001).response_code == "13"
    assert shop.redeem(CARD, 1, sale_amount=100 + 1_000).response_code == "00"


# ---------------------------------------------------------------- many lots


def test_a_card_that_earns_all_day_has_a_bounded_number_of_lots() -> None:
    shop = Shop(expiry="rolling", expiry_days=30, price=333)
    shop.activate(CARD)
    earned = [shop.earn(CARD, 7) for _ in range(200)]
    assert len(shop.wallet(CARD).lots) == LOTS_APART
    before = shop.wallet(CARD)
    shop.reverse(shop.earn(CARD, 7, acceptor=OTHER_ACCEPTOR), CARD)
    shop.reverse(shop.earn(CARD, 7), CARD)
    assert shop.wallet(CARD) == before
    redeemed = shop.redeem(CARD, 1_000)
    for earn in earned[150:]:
        assert shop.follow("return", earn).response_code == "00"
    assert shop.wallet(CARD).balance == 50
    shop.follow("refund", redeemed)
    assert shop.wallet(CARD).balance == 1_050
    shop.later(days=31)
    shop.decide(shop.request("balance", CARD))
    assert shop.total(AccountKind.EXPIRED) == 1_050


def test_lots_of_other_days_stay_apart_until_there_are_very_many(monkeypatch: pytest.MonkeyPatch) -> None:
    most = 100
    monkeypatch.setattr(lots, "MOST_LOTS", most)
    shop = Shop(expiry="rolling", expiry_days=3_000, pending_days=1)
    shop.activate(CARD)
    for _ in range(most + 20):
        shop.later(days=1)
        shop.earn(CARD, 3)
    wallet = shop.wallet(CARD)
    assert most <= len(wallet.lots) + len(wallet.waiting) <= most + 2
    assert wallet.balance + wallet.pending == 3 * (most + 20)
    last = wallet.lots[-1]
    assert last.amount > 3
    assert last.lot.expires == FIRST_DAY.toordinal() + shop.day - 1 + 3_000, "nobody's points end earlier"


def test_waiting_lots_of_a_day_and_transferred_ones_join_too() -> None:
    shop = Shop(pending_days=5)
    shop.activate(CARD)
    shop.activate(FRIEND)
    for _ in range(100):
        shop.earn(CARD, 2)
    assert len(shop.wallet(CARD).waiting) == LOTS_APART
    shop.later(days=5)
    other = shop.request("balance", FRIEND).identifier
    for _ in range(10):
        assert shop.decide(shop.request("transfer", CARD, points=20, other=other)).response_code == "00"
    assert shop.wallet(CARD).lots == ()
    assert len(shop.wallet(FRIEND).lots) < LOTS_APART + 10
    assert shop.wallet(FRIEND).balance == 200


# ---------------------------------------------------------------- cards


def test_points_move_to_another_card_with_their_lots_and_back_again() -> None:
    shop = Shop(expiry="rolling", expiry_days=30)
    shop.activate(CARD)
    shop.activate(FRIEND)
    shop.earn(CARD, 50)
    shop.later(days=5)
    shop.earn(CARD, 50)
    before = shop.wallet(CARD)
    other = shop.request("balance", FRIEND).identifier
    sent = shop.decide(shop.request("transfer", CARD, points=70, other=other))
    assert sent.response_code == "00"
    assert shop.wallet(CARD).balance == 30
    assert [part.amount for part in shop.wallet(FRIEND).lots] == [50, 20]
    assert [part.lot.expires for part in shop.wallet(FRIEND).lots] == [
        part.lot.expires for part in before.lots
    ]
    assert shop.reverse(sent, CARD).response_code == "00"
    assert shop.wallet(CARD) == before
    assert shop.wallet(FRIEND).balance == 0


def test_a_reversed_transfer_whose_points_are_spent_leaves_the_receiver_in_debt() -> None:
    shop = shop_with(100)
    shop.activate(FRIEND)
    other = shop.request("balance", FRIEND).identifier
    sent = shop.decide(shop.request("transfer", CARD, points=70, other=other))
    shop.redeem(FRIEND, 50)
    shop.reverse(sent, CARD)
    assert shop.wallet(CARD).balance == 100
    assert shop.wallet(FRIEND).balance == -50


def test_what_is_due_for_the_receiver_comes_before_a_transfer_and_before_its_reversal() -> None:
    shop = Shop(expiry="rolling", expiry_days=10, pending_days=2)
    shop.activate(CARD)
    shop.activate(FRIEND)
    earned = shop.earn(FRIEND, 40)
    shop.later(days=2)
    shop.redeem(FRIEND, 40)
    shop.follow("return", earned)
    shop.earn(FRIEND, 50)
    shop.earn(CARD, 50)
    shop.later(days=2)
    other = shop.request("balance", FRIEND).identifier
    sent = shop.decide(shop.request("transfer", CARD, points=50, other=other))
    assert [part.amount for part in shop.wallet(FRIEND).lots] == [10, 50]
    shop.later(days=9)
    assert shop.reverse(sent, CARD).response_code == "00"
    assert shop.wallet(FRIEND).balance == -50, "its lots were over before"


def test_a_transfer_needs_another_active_card_and_points() -> None:
    shop = shop_with(100)
    shop.activate(FRIEND)
    friend, own = (shop.request("balance", card).identifier for card in (FRIEND, CARD))
    assert shop.decide(shop.request("transfer", CARD, points=101, other=friend)).response_code == "51"
    assert shop.decide(shop.request("transfer", CARD, points=1, other=own)).response_code == "12"
    assert shop.decide(shop.request("transfer", CARD, points=1, other=b"nobody")).response_code == "12"
    shop.decide(shop.request("block", FRIEND))
    assert shop.decide(shop.request("transfer", CARD, points=1, other=friend)).response_code == "12"


def test_a_transfer_moves_no_more_lots_than_an_entry_can_name() -> None:
    shop = shop_with(1, expiry="rolling", expiry_days=100)
    shop.activate(FRIEND)
    other = shop.request("balance", FRIEND).identifier
    for _ in range(64):
        shop.later(days=1)
        shop.earn(CARD, 1)
    assert shop.decide(shop.request("transfer", CARD, points=65, other=other)).response_code == "61"
    assert shop.decide(shop.request("transfer", CARD, points=64, other=other)).response_code == "00"
    assert shop.wallet(FRIEND).balance == 64


def test_a_late_reversal_of_a_block_does_not_undo_the_next_block() -> None:
    shop = Shop()
    mobile = Mobile(b"its mobile phone", "98912****567", b"sealed")
    shop.decide(shop.request("activate", CARD, mobile=mobile))
    first = shop.decide(shop.request("block", CARD))
    shop.decide(shop.request("balance", CARD))
    assert shop.reverse(first, CARD).response_code == "00"
    second = shop.decide(shop.request("block", CARD))
    shop.decide(shop.request("code", CARD), {NewCode(second.member): "123456"})
    assert shop.decide(shop.request("unblock", CARD, code="123456")).response_code == "00"
    third = shop.decide(shop.request("block", CARD))
    assert shop.reverse(second, CARD).response_code == "12"
    assert shop.member(CARD).status is MemberStatus.BLOCKED
    assert shop.reverse(third, CARD).response_code == "00"
    assert shop.member(CARD).status is MemberStatus.ACTIVE


def test_a_blocked_card_does_nothing_and_a_proof_unblocks_it() -> None:
    shop = shop_with(100)
    block = shop.decide(shop.request("block", CARD))
    for operation in ("earn", "redeem", "hold", "transfer", "block"):
        assert shop.redeem(CARD, 1, operation).response_code == "62"
    assert shop.decide(shop.request("activate", CARD)).response_code == "62"
    assert shop.decide(shop.request("unblock", CARD)).response_code == "1A"
    assert shop.earn(CARD, 5, mti="0220").response_code == "00", "a queued sale is over"
    assert shop.wallet(CARD).balance == 105
    shop.reverse(block, CARD)
    assert shop.member(CARD).status is MemberStatus.ACTIVE
    assert shop.redeem(CARD, 1).response_code == "00"


# ---------------------------------------------------------------- replaced cards

MOBILE = Mobile(b"mobile", "98912***0001", b"sealed")


def replaced(shop: Shop, old: str = CARD, new: str = NEW, code: str = "123456") -> Entry:
    sent = shop.decide(shop.request("code", old), {NewCode(shop.member(old).id): code})
    assert sent.response_code == "00"
    other = {"other": card_identifier(new, KEY), "masked_other": "936400******0027", "other_valid": True}
    entry = shop.decide(shop.request("replace", old, code=code, **other))
    assert entry.response_code == "00"
    return entry


def shop_with_mobile() -> Shop:
    shop = Shop()
    shop.decide(shop.request("activate", CARD, mobile=MOBILE))
    shop.earn(CARD, 100)
    return shop


def found(shop: Shop, card: str) -> bool:
    return shop.state.member_of(card_identifier(card, KEY)) is not None


def test_a_reversed_replacement_brings_the_old_card_back() -> None:
    shop = shop_with_mobile()
    before = shop.member(CARD)
    replacement = replaced(shop)
    assert shop.member(NEW).credential.spend_from_ms > 0
    assert shop.decide(shop.request("balance", CARD)).response_code == "14"
    shop.decide(shop.request("balance", NEW))
    reversal = shop.reverse(replacement, CARD)
    assert (reversal.response_code, tag(reversal, "02")) == ("00", f"{100:012d}")
    assert not found(shop, NEW)
    assert (shop.member(CARD).id, shop.wallet(CARD)) == (before.id, before.wallets[0])
    assert shop.redeem(CARD, 100).response_code == "00", "no delay is left"
    assert shop.reverse(replacement, CARD).response_code == "00"
    shop.activate(NEW)
    assert shop.member(NEW).id != before.id


def test_a_blocked_card_comes_back_blocked_and_an_earlier_delay_stays() -> None:
    shop = shop_with_mobile()
    shop.reverse(replaced(shop), CARD)
    replaced(shop, CARD, FRIEND)
    until_ms = shop.member(FRIEND).credential.spend_from_ms
    sent = shop.decide(shop.request("code", FRIEND), {NewCode(shop.member(FRIEND).id): "654321"})
    assert sent.response_code == "00"
    shop.decide(shop.request("block", FRIEND))
    shop.later(ms=60_000)
    other = {"other": card_identifier(NEW, KEY), "masked_other": "936400******0027", "other_valid": True}
    second = shop.decide(shop.request("replace", FRIEND, code="654321", **other))
    assert shop.member(NEW).credential.spend_from_ms == until_ms + 60_000
    assert shop.reverse(second, FRIEND).response_code == "00"
    member = shop.member(FRIEND)
    assert (member.status, member.credential.spend_from_ms) == (MemberStatus.BLOCKED, until_ms)


def test_time_alone_is_no_reason_to_keep_the_new_card() -> None:
    shop = Shop(expiry="rolling", expiry_days=3)
    shop.decide(shop.request("activate", CARD, mobile=MOBILE))
    shop.earn(CARD, 100)
    replacement = replaced(shop)
    shop.later(days=5)
    assert shop.reverse(replacement, CARD).response_code == "00"
    assert shop.wallet(CARD).balance == 0


@pytest.mark.parametrize("since", ["earn", "block", "code"])
def test_a_new_card_that_was_used_stays(since: str) -> None:
    shop = shop_with_mobile()
    replacement = replaced(shop)
    shop.decide(shop.request(since, NEW, amount=10_000), {NewCode(shop.member(NEW).id): "111111"})
    declined = shop.reverse(replacement, CARD)
    assert (declined.response_code, tag(declined, "04")) == ("12", "0307")
    assert found(shop, NEW)
    assert not found(shop, CARD)


def test_nobody_elses_card_comes_back() -> None:
    shop = shop_with_mobile()
    replacement = replaced(shop)
    for card in (FRIEND, NEW, ""):
        declined = shop.reverse(replacement, card)
        assert (declined.response_code, tag(declined, "04")) == ("12", "0307"), card
    assert not found(shop, FRIEND)
    shop.activate(CARD)  # the old number is somebody else's by now
    assert shop.reverse(replacement, CARD).response_code == "12"
    assert shop.wallet(NEW).balance == 100
