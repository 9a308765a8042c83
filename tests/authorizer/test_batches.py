"""Closing a terminal's batch: totals that agree, totals that don't, the upload, and what comes too late."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from switch.authorizer.batches import AFTER_CLOSE, FINDINGS, Totals
from switch.ledger import BatchClosed, Count, Counter, Entry, ItemUploaded, Scope, UploadEnded
from tests.authorizer.shop import ACCEPTOR, DIALECT, Shop, rrn, tag

CARD, FRIEND = "9364000000000001", "9364000000000019"
TERMINAL = "10000001"
TAGS = {
    "earn": "01",
    "redeem": "02",
    "hold": "03",
    "capture": "04",
    "refund": "05",
    "return": "06",
    "void": "07",
    "transfer": "08",
}


def totals(**operations: tuple[int, int, int]) -> dict[str, str]:
    """DE 63: number, rial and points of operations; `return_` for return."""
    return {
        TAGS[name.rstrip("_")]: f"{count:06d}{amount:016d}{points:016d}"
        for name, (count, amount, points) in operations.items()
    }


def close(shop: Shop, claimed: dict[str, str], batch: int = 1) -> Entry:
    return shop.decide(shop.request("batch_close", batch=batch, totals=claimed))


def trailer(shop: Shop, batch: int = 1) -> Entry:
    return shop.decide(shop.request("batch_trailer", batch=batch))


def upload(shop: Shop, entry: Entry, **more: Any) -> Entry:
    values = {
        "original": entry.identity,
        "original_operation": entry.operation,
        "amount": entry.amount,
        "follows": rrn(entry),
        "batch": entry.batch,
        **more,
    }
    return shop.decide(shop.request("batch_upload", **values))


def said(entry: Entry) -> tuple[str, str]:
    """Response code and reason."""
    return entry.response_code, tag(entry, "04")


def shop_with(points: int, **rules: Any) -> Shop:
    shop = Shop(**rules)
    shop.activate(CARD)
    shop.earn(CARD, points)
    return shop


# ---------------------------------------------------------------- totals that agree


def test_the_dictionary_names_every_operation_that_a_batch_takes() -> None:
    assert Totals(DIALECT).operations == tuple(TAGS)


def test_equal_totals_close_a_batch() -> None:
    shop = shop_with(100)
    shop.redeem(CARD, 30)
    closed = close(shop, totals(earn=(1, 1_000_000, 100), redeem=(1, 3_000, 30)))
    assert said(closed) == ("00", "")
    [side] = closed.sides
    assert isinstance(side, BatchClosed)
    assert (side.terminal, side.batch, side.differs) == (TERMINAL, 1, False)
    assert side.claimed == side.booked
    assert (closed.member, closed.previous, closed.batch) == (0, 0, 0)
    assert closed.bucket == shop.request("batch_close").bucket_without_member


def test_an_empty_batch_closes_with_totals_of_nothing() -> None:
    shop = Shop()
    assert close(shop, {}).response_code == "00"
    assert close(shop, totals(earn=(0, 0, 0)), batch=2).response_code == "00"


def test_every_operation_has_its_total() -> None:
    shop = shop_with(100)
    shop.activate(FRIEND)
    earned, returned = shop.entries[-2], shop.earn(CARD, 50)
    spent = shop.redeem(CARD, 20)
    kept = shop.redeem(CARD, 30, "hold")
    shop.follow("capture", kept, 2_500, points=25)
    shop.follow("refund", spent, 500)
    shop.follow("return", returned, 100_000)
    friend = shop.request("balance", FRIEND).identifier
    shop.decide(shop.request("transfer", CARD, points=7, other=friend))
    shop.follow("void", earned)
    claimed = totals(
        earn=(2, 1_500_000, 150),
        redeem=(1, 2_000, 20),
        hold=(1, 3_000, 30),
        capture=(1, 2_500, 25),
        refund=(1, 500, 5),
        return_=(1, 100_000, 10),
        void=(1, 1_000_000, 100),
        transfer=(1, 0, 7),
    )
    assert said(close(shop, claimed)) == ("00", "")


def test_what_was_reversed_or_declined_counts_nowhere() -> None:
    shop = shop_with(100)
    shop.reverse(shop.earn(CARD, 40), CARD)
    shop.reverse(shop.redeem(CARD, 10), CARD)
    assert shop.redeem(CARD, 1_000).response_code == "51"
    never_seen = shop.request("earn", CARD, amount=10_000)
    shop.decide(
        shop.request("reversal", CARD, original=never_seen.identity, original_operation="earn", batch=1)
    )
    void = shop.follow("void", shop.earn(CARD, 3))
    shop.reverse(void, follows=rrn(shop.entries[-2]))
    claimed = totals(earn=(2, 1_030_000, 103))
    assert said(close(shop, claimed)) == ("00", "")


def test_a_reversed_split_sale_leaves_no_total() -> None:
    shop = shop_with(100)
    sale = shop.redeem(CARD, 50, sale_amount=500_000)
    assert int(tag(sale, "0E")) > 0
    shop.reverse(sale, CARD)
    assert said(close(shop, totals(earn=(1, 1_000_000, 100)))) == ("00", "")


def test_batches_and_terminals_have_their_own_totals() -> None:
    shop = shop_with(100)
    shop.earn(CARD, 5, batch=2)
    shop.earn(CARD, 7, terminal="10000002")
    assert close(shop, totals(earn=(1, 1_000_000, 100))).response_code == "00"
    assert close(shop, totals(earn=(1, 50_000, 5)), batch=2).response_code == "00"


@given(st.lists(st.tuples(st.sampled_from(["earn", "redeem", "reverse", "void"]), st.integers(1, 9))))
def test_any_day_closes_with_what_its_terminal_counted(steps: list[tuple[str, int]]) -> None:
    shop = shop_with(1_000)
    counted = {"earn": [1, 10_000_000, 1_000], "redeem": [0, 0, 0], "void": [0, 0, 0]}
    standing: list[Entry] = []

    def count(operation: str, entry: Entry, points: int, sign: int = 1) -> None:
        for place, value in enumerate((1, entry.amount, points)):
            counted[operation][place] += sign * value

    for step, value in steps:
        if step in ("earn", "redeem"):
            entry = shop.earn(CARD, value) if step == "earn" else shop.redeem(CARD, value)
            assert entry.response_code == "00"
            count(step, entry, value)
            standing.append(entry)
        elif standing:
            entry = standing.pop(value % len(standing))
            points = int(tag(entry, "01"))
            if step == "reverse":
                assert shop.reverse(entry, CARD).response_code == "00"
                count(entry.operation, entry, points, -1)
            else:
                assert shop.follow("void", entry).response_code == "00"
                count("void", entry, points)
    claimed = totals(**{name: (one, two, three) for name, (one, two, three) in counted.items()})
    assert said(close(shop, claimed)) == ("00", "")


# ---------------------------------------------------------------- after it


@pytest.mark.parametrize("operation", ["earn", "redeem", "hold", "transfer"])
def test_a_closed_batch_takes_no_more(operation: str) -> None:
    shop = shop_with(100)
    shop.activate(FRIEND)
    close(shop, totals(earn=(1, 1_000_000, 100)))
    friend = shop.request("balance", FRIEND).identifier
    points, amount = (0, 10_000) if operation == "earn" else (1, 100)
    values = {"amount": amount, "points": points, "other": friend}
    late = shop.decide(shop.request(operation, CARD, **values))
    assert (said(late), tag(late, "05")) == (("12", "0206"), f"{1:012d}")
    assert shop.decide(shop.request(operation, CARD, batch=2, **values)).response_code == "00"


def test_an_advice_older_than_the_last_closed_batch_is_refused() -> None:
    shop = shop_with(100)
    close(shop, {}, batch=7)
    assert said(shop.earn(CARD, 1, mti="0220", batch=6)) == ("12", "0206")
    assert said(shop.earn(CARD, 1, mti="0220", batch=7)) == ("12", "0206")
    assert said(shop.earn(CARD, 1, mti="0220", batch=8)) == ("00", "0101")


def test_there_is_no_batch_0() -> None:
    shop = shop_with(100)
    assert said(shop.earn(CARD, 1, batch=0)) == ("12", "0206")
    assert said(close(shop, {}, batch=0)) == ("12", "0206")


def test_a_void_after_the_close_is_told_to_refund() -> None:
    shop = shop_with(100)
    earned = shop.entries[-1]
    spent = shop.redeem(CARD, 10)
    close(shop, totals(earn=(1, 1_000_000, 100), redeem=(1, 1_000, 10)))
    assert said(shop.follow("void", earned)) == ("12", "0202")
    assert said(shop.follow("void", earned, batch=2)) == ("12", "0202")
    assert shop.follow("refund", spent, batch=2).response_code == "00"
    assert shop.wallet(CARD).balance == 100


def test_what_names_no_batch_of_its_own_goes_on() -> None:
    shop = shop_with(100)
    close(shop, totals(earn=(1, 1_000_000, 100)))
    balance = shop.decide(shop.request("balance", CARD))
    assert (balance.response_code, balance.batch) == ("00", 0)


def count_of(shop: Shop, scope: Scope, holder: str, period: str, operation: str) -> Count:
    counter = Counter(scope, holder, period, operation)
    return shop._loaded(lambda: shop.state.counter(counter))  # type: ignore[no-any-return]


@pytest.mark.parametrize("named", [1, 2])
def test_a_reversal_after_the_close_is_an_item_of_the_day_it_comes_on(named: int) -> None:
    shop = shop_with(100)
    earned = shop.entries[-1]
    close(shop, totals(earn=(1, 1_000_000, 100)))
    shop.later(days=1)
    late = shop.reverse(earned, CARD, batch=named)
    assert (late.response_code, late.batch, late.operation) == ("00", AFTER_CLOSE, "earn.reversal")
    assert late.business_date > earned.business_date
    assert shop.wallet(CARD).balance == 0
    item = Count(1, 1_000_000, 100)
    assert count_of(shop, Scope.ACCEPTOR, ACCEPTOR, late.business_date, "earn.reversal") == item
    assert count_of(shop, Scope.ACCEPTOR, ACCEPTOR, earned.business_date, "earn.reversal").entries == 0
    for batch in ("000001", "000002"):
        assert count_of(shop, Scope.BATCH, TERMINAL, batch, "earn.reversal").entries == 0
    assert close(shop, {}, batch=2).response_code == "00"


def test_a_reversal_before_its_original_counts_in_no_closed_batch() -> None:
    shop = shop_with(100)
    close(shop, totals(earn=(1, 1_000_000, 100)))
    never_seen = shop.request("earn", CARD, amount=10_000)
    reversal = shop.decide(
        shop.request("reversal", CARD, original=never_seen.identity, original_operation="earn", batch=1)
    )
    assert (reversal.response_code, reversal.batch) == ("00", AFTER_CLOSE)
    assert shop.decide(never_seen).response_code == "94"


# ---------------------------------------------------------------- closing again


def test_a_repeated_close_has_the_same_answer() -> None:
    shop = Shop()
    request = shop.request("batch_close", totals={})
    entry = shop.decide(request)
    again = shop.again(request._replace(mti="0501"))
    assert again.entry is entry  # type: ignore[union-attr]
    assert len([one for one in shop.entries if one.operation == "batch_close"]) == 1


def test_a_batch_is_closed_once_and_agreed_on_for_ever() -> None:
    shop = shop_with(100)
    claimed = totals(earn=(1, 1_000_000, 100))
    close(shop, claimed)
    again = close(shop, claimed)
    assert (said(again), again.sides) == (("00", ""), ())
    other = close(shop, totals(earn=(1, 1_000_000, 99)))
    assert (said(other), other.sides) == (("12", "0206"), ())
    close(shop, {}, batch=5)
    for batch in (1, 3, 4):
        assert said(close(shop, {}, batch)) == ("12", "0206")


def test_nobody_reverses_a_close_or_an_upload() -> None:
    shop = shop_with(100)
    closed = close(shop, {})
    item = upload(shop, shop.entries[1])
    assert item.response_code == "00"
    for entry, operation in ((closed, "batch_close"), (item, "batch_upload")):
        reversal = shop.request("reversal", original=entry.identity, original_operation=operation)
        assert shop.decide(reversal).response_code == "12"


# ---------------------------------------------------------------- totals that don't agree


@pytest.mark.parametrize(
    "claimed",
    [
        {},
        totals(earn=(2, 1_000_000, 100)),
        totals(earn=(1, 1_000_001, 100)),
        totals(earn=(1, 1_000_000, 99)),
        totals(earn=(1, 1_000_000, 100), redeem=(1, 100, 1)),
        totals(redeem=(1, 1_000_000, 100)),
        totals(earn=(1, 1_000_000, 100)) | {"1F": b"?"},
        totals(earn=(1, 1_000_000, 100)) | {"01#2": "0" * 38},
    ],
)
def test_any_difference_asks_for_the_items(claimed: dict[str, str]) -> None:
    shop = shop_with(100)
    closed = close(shop, claimed)
    assert closed.response_code == "95"
    answer = DIALECT.decode(closed.answer + bytes(8))
    assert answer["63"] == totals(earn=(1, 1_000_000, 100))
    [side] = closed.sides
    assert isinstance(side, BatchClosed)
    assert side.differs
    assert said(shop.earn(CARD, 1)) == ("12", "0206"), "its cut-off has come all the same"
    assert shop.earn(CARD, 1, batch=2).response_code == "00"


def test_the_upload_says_of_each_item_how_it_compares() -> None:
    shop = shop_with(100)
    equal = shop.entries[-1]
    elsewhere = shop.earn(CARD, 10, batch=2)
    reversed_ = shop.earn(CARD, 20)
    shop.reverse(reversed_, CARD)
    declined = shop.redeem(CARD, 9_999)
    never_seen = shop.request("earn", CARD, amount=10_000)
    close(shop, {})
    before = shop.wallet(CARD)
    findings = {
        "equal": upload(shop, equal, points=100, tells_points=True),
        "unknown": upload(shop, equal, original=never_seen.identity, follows=""),
        "other_batch": upload(shop, elsewhere, batch=1),
        "reversed": upload(shop, reversed_),
        "declined": upload(shop, declined),
        "other_values": upload(shop, equal, amount=equal.amount + 1),
    }
    for finding, entry in findings.items():
        [side] = entry.sides
        assert isinstance(side, ItemUploaded)
        assert side.finding == finding
        assert said(entry) == FINDINGS[finding]
        assert not entry.transfers
    assert shop.wallet(CARD) == before, "an upload books nothing"
    assert trailer(shop).response_code == "00"


@pytest.mark.parametrize(
    "change",
    [
        {"amount": 1},
        {"points": 99, "tells_points": True},
        {"points": 0, "tells_points": True},
        {"original_operation": "redeem"},
        {"follows": "0" * 12},
    ],
)
def test_an_item_with_another_value_is_not_equal(change: dict[str, Any]) -> None:
    shop = shop_with(100)
    earned = shop.entries[-1]
    close(shop, {})
    assert said(upload(shop, earned, **change)) == ("95", "0405")


def test_an_item_that_names_another_card_is_not_equal() -> None:
    shop = shop_with(100)
    shop.activate(FRIEND)
    earned = shop.entries[1]
    close(shop, {})
    friend, own = (shop.request("balance", card).identifier for card in (FRIEND, CARD))
    assert said(upload(shop, earned, identifier=friend)) == ("95", "0405")
    assert said(upload(shop, earned, identifier=own)) == ("00", "")


def test_the_trailer_ends_the_upload_and_the_batch_stays_closed() -> None:
    shop = shop_with(100)
    closed = close(shop, {})
    early = close(shop, {}, batch=2)
    assert (said(early), tag(early, "05")) == (("12", "0207"), f"{1:012d}")
    ended = trailer(shop)
    assert ended.response_code == "00"
    assert ended.sides == (UploadEnded(TERMINAL, 1, closed.id),)
    assert (trailer(shop).response_code, shop.entries[-1].sides) == ("00", ())
    assert said(upload(shop, shop.entries[1])) == ("12", "0208")
    assert said(close(shop, totals(earn=(1, 1_000_000, 100)))) == ("12", "0206")
    assert close(shop, {}, batch=2).response_code == "00"


def test_totals_put_right_before_the_trailer_close_the_batch() -> None:
    shop = shop_with(100)
    assert close(shop, {}).response_code == "95"
    assert close(shop, totals(earn=(2, 2, 2))).response_code == "95"
    assert close(shop, totals(earn=(1, 1_000_000, 100))).response_code == "00"
    assert said(trailer(shop)) == ("12", "0208")


def test_no_upload_and_no_trailer_without_a_difference() -> None:
    shop = shop_with(100)
    earned = shop.entries[-1]
    assert said(upload(shop, earned)) == ("12", "0208")
    assert said(trailer(shop)) == ("12", "0208")
    close(shop, totals(earn=(1, 1_000_000, 100)))
    assert said(upload(shop, earned)) == ("12", "0208")
    assert said(trailer(shop)) == ("12", "0208")
    close(shop, totals(earn=(1, 1, 1)), batch=2)
    assert said(upload(shop, earned)) == ("12", "0208")
    assert said(trailer(shop)) == ("12", "0208")
