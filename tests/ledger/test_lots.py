"""Which lots points come from and go back to, rule by rule; the days on which they begin and end."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from switch.ledger import (
    LOTS_PER_ENTRY,
    NEVER,
    AccountKind,
    Entry,
    Hold,
    Lot,
    LotKind,
    LotMove,
    LotPart,
    TransferKind,
    Unit,
    Wallet,
)
from switch.ledger.book import add_to_accounts, fund_of
from switch.ledger.lots import (
    claw_back,
    expired,
    first_due,
    fund_change,
    last_day,
    open_lot,
    order_of_use,
    restore,
    ripe,
    spend,
    value,
)
from switch.ledger.sqlite import SqliteEngine
from tests.ledger.book import HOLD_MS, SEAL_KEY, Book, Request, Terms, replayed

MEMBER, PENDING, HELD = AccountKind.MEMBER, AccountKind.PENDING, AccountKind.HELD
TODAY, ACTIVE = 1_000, 990


def lot(number: int, **changes: object) -> Lot:
    values: dict[str, object] = {
        "issuer": "A",
        "price": 100_000,
        "kind": LotKind.BOUGHT,
        "priority": 0,
        "active_from": 900,
        "expires": NEVER,
        "rules": 1,
    }
    return Lot(id=number, **{**values, **changes})  # type: ignore[arg-type]


def wallet(*parts: tuple[Lot, int], debt: int = 0, waiting: Sequence[tuple[Lot, int]] = ()) -> Wallet:
    lots = tuple(LotPart(*part) for part in parts)
    later = tuple(LotPart(*part) for part in waiting)
    balance = sum(part.amount for part in lots) - debt
    return Wallet("vafa", Unit.POINTS, balance, sum(part.amount for part in later), 0, lots, later)


def numbers(moves: Sequence[LotMove | LotPart]) -> list[tuple[int, int]]:
    return [(move.lot.id, move.amount) for move in moves]


# ---------------------------------------------------------------- order

# Each is used before the next; what differs stands at the right.
IN_ORDER = [
    lot(90, priority=-1),  # the smallest priority, though without end and the newest
    lot(80, expires=1_005),  # the earliest end
    lot(70, expires=-16),  # sliding: ends at 990 + 16 = 1 006
    lot(60, expires=1_007, kind=LotKind.PROMOTIONAL, active_from=950),  # promotional first
    lot(50, expires=1_007, active_from=890),  # the earliest beginning
    lot(30, expires=1_007),  # the first in sequence
    lot(40, expires=1_007),
    lot(20, kind=LotKind.PROMOTIONAL),  # no end is last
    lot(21),
    lot(10, priority=1, expires=1_001),  # the largest priority
]


def test_lots_are_used_in_this_order() -> None:
    keys = [order_of_use(one, ACTIVE) for one in IN_ORDER]
    assert keys == sorted(keys)
    assert len(set(keys)) == len(keys)


def test_a_sliding_lot_moves_back_with_every_activity() -> None:
    sliding, fixed = lot(1, expires=-30), lot(2, expires=1_025)
    assert order_of_use(sliding, 990) < order_of_use(fixed, 990)
    assert order_of_use(sliding, 996) > order_of_use(fixed, 996)
    assert (last_day(sliding, 990), last_day(sliding, 996), last_day(fixed, 996)) == (1_020, 1_026, 1_025)


def test_a_sliding_lot_does_not_end_before_it_begins() -> None:
    sliding = lot(1, expires=-5, active_from=1_100)
    assert last_day(sliding, 990) == 1_105
    assert last_day(sliding, 1_102) == 1_107
    assert last_day(sliding, 0) == 1_105


def test_spending_takes_from_the_first_lots_to_the_point() -> None:
    full = wallet((lot(3), 10), (lot(1), 5), (lot(2), 20))
    assert numbers(spend(full, 10)) == [(3, -10)]
    assert numbers(spend(full, 11)) == [(3, -10), (1, -1)]
    assert numbers(spend(full, 35)) == [(3, -10), (1, -5), (2, -20)]
    assert all(move.account is MEMBER for move in spend(full, 35))
    with pytest.raises(AssertionError, match="no more is taken than there is"):
        spend(full, 36)


# ---------------------------------------------------------------- debt


@pytest.mark.parametrize(("owed", "award", "kept"), [(0, 10, 10), (4, 10, 6), (10, 10, 0), (14, 10, 0)])
def test_an_award_pays_debt_first(owed: int, award: int, kept: int) -> None:
    moves = open_lot(wallet(debt=owed), lot(9), award)
    assert numbers(moves) == ([(9, kept)] if kept else [])


def test_an_award_that_waits_pays_nothing_yet() -> None:
    (move,) = open_lot(wallet(debt=5), lot(9), 10, PENDING)
    assert move == LotMove(PENDING, lot(9), 10)


# ---------------------------------------------------------------- claw-back


def test_claw_back_takes_own_pending_own_active_others_and_leaves_the_rest_as_debt() -> None:
    others = [(lot(1), 5), (lot(2, kind=LotKind.PROMOTIONAL), 7)]
    full = wallet(others[0], (lot(8), 3), others[1], waiting=[(lot(6), 50), (lot(9), 4)])
    steps = [(PENDING, 9, -4), (MEMBER, 8, -3), (MEMBER, 1, -5), (MEMBER, 2, -7)]
    for amount in range(1, 25):
        moves = claw_back(full, [8, 9], amount)
        assert -sum(move.amount for move in moves) == min(amount, 19)
        expected = []
        left = amount
        for account, number, most in steps:
            taken = min(left, -most)
            left -= taken
            if taken:
                expected.append((account, number, -taken))
        assert [(move.account, move.lot.id, move.amount) for move in moves] == expected


# ---------------------------------------------------------------- giving back


def test_what_is_given_back_goes_to_the_same_lots_the_last_taken_first() -> None:
    taken = [LotPart(lot(1), 5), LotPart(lot(2), 10), LotPart(lot(3), 1)]
    for amount, expected in (
        (1, [(3, 1)]),
        (4, [(3, 1), (2, 3)]),
        (12, [(3, 1), (2, 10), (1, 1)]),
        (16, [(3, 1), (2, 10), (1, 5)]),
    ):
        assert numbers(restore(wallet(), taken, amount, TODAY, ACTIVE, 30)) == expected


def test_what_is_given_back_pays_debt_before() -> None:
    taken = [LotPart(lot(1), 5), LotPart(lot(2), 10)]
    assert numbers(restore(wallet(debt=4), taken, 15, TODAY, ACTIVE, 30)) == [(2, 10), (1, 1)]
    assert numbers(restore(wallet(debt=4), taken, 6, TODAY, ACTIVE, 30)) == [(2, 2)]
    assert numbers(restore(wallet(debt=15), taken, 15, TODAY, ACTIVE, 30)) == []


@pytest.mark.parametrize(
    ("expires", "reopen_days", "until"),
    [
        (TODAY - 1, 30, TODAY + 30),
        (TODAY - 1, 0, TODAY - 1),
        (TODAY, 30, TODAY),  # today is its last day: it hasn't expired
        (TODAY + 90, 30, TODAY + 90),
        (-9, 30, TODAY + 30),  # sliding: ended at 999
        (-10, 30, -10),  # sliding: ends today
        (NEVER, 30, NEVER),
    ],
)
def test_a_lot_that_expired_meanwhile_is_reopened(expires: int, reopen_days: int, until: int) -> None:
    taken = [LotPart(lot(1, expires=expires), 5)]
    (move,) = restore(wallet(), taken, 5, TODAY, ACTIVE, reopen_days)
    assert move == LotMove(MEMBER, lot(1, expires=until), 5)


def test_a_lot_that_was_reopened_before_keeps_its_later_end() -> None:
    """Found in reading: a part held since before the first reopening took the later end away again."""
    reopened = wallet((lot(1, expires=1_030), 3))
    held = [LotPart(lot(1, expires=1_005), 5)]
    (move,) = restore(reopened, held, 5, TODAY, ACTIVE, 30)
    assert move == LotMove(MEMBER, lot(1, expires=1_030), 5)
    (again,) = restore(reopened, held, 5, 1_010, ACTIVE, 10)
    assert again.lot.expires == 1_030
    (later,) = restore(reopened, held, 5, 1_031, ACTIVE, 30)
    assert later.lot.expires == 1_061


# ---------------------------------------------------------------- days


@pytest.mark.parametrize(("expires", "last"), [(1_010, 1_010), (-20, 1_010), (NEVER, None)])
def test_a_lot_expires_the_day_after_its_last(expires: int, last: int | None) -> None:
    full = wallet((lot(1, expires=expires), 5))
    if last is None:
        assert first_due(full, ACTIVE) == NEVER
        assert expired(full, NEVER, ACTIVE) == ()
        return
    assert first_due(full, ACTIVE) == last + 1
    assert expired(full, last, ACTIVE) == ()
    assert expired(full, last + 1, ACTIVE) == full.lots


def test_a_lot_ripens_on_its_first_day_oldest_first() -> None:
    waiting = [(lot(3, active_from=1_002), 1), (lot(2, active_from=1_001), 1), (lot(1, active_from=1_002), 1)]
    full = wallet((lot(9), 5), waiting=waiting)
    assert first_due(full, ACTIVE) == 1_001
    assert ripe(full, 1_000) == ()
    assert [part.lot.id for part in ripe(full, 1_001)] == [2]
    assert [part.lot.id for part in ripe(full, 1_002)] == [2, 1, 3]


# ---------------------------------------------------------------- the fund

amounts = st.integers(1, 10_000)
prices = st.integers(0, 2_000_000)


@given(price=prices, parts=st.lists(amounts, min_size=1, max_size=5))
def test_the_fund_does_not_depend_on_the_way_a_lot_is_used_up(price: int, parts: list[int]) -> None:
    one = lot(1, price=price)
    whole = sum(parts)
    full = wallet((one, whole))
    assert fund_change(wallet(), (), [LotMove(MEMBER, one, whole)]) == value(one, whole)
    for way in list(permutations(parts))[:6]:
        left, change = whole, 0
        for amount in way:
            change += fund_change(wallet((one, left)), (), [LotMove(MEMBER, one, -amount)])
            left -= amount
        assert change == -value(one, whole)
    at_once = [LotMove(MEMBER, one, -amount) for amount in parts]
    assert fund_change(full, (), at_once) == -value(one, whole)


@given(price=prices, active=amounts, waiting=amounts, held=amounts, moved=st.integers(1, 100))
def test_points_that_stay_the_members_change_no_fund(
    price: int, active: int, waiting: int, held: int, moved: int
) -> None:
    one = lot(1, price=price)
    hold = Hold(7, "vafa", Unit.POINTS, 0, (LotPart(one, held),))
    full = wallet((one, active), waiting=[(one, waiting)])
    for source, target in ((PENDING, MEMBER), (MEMBER, HELD), (HELD, MEMBER)):
        moves = [LotMove(source, one, -moved), LotMove(target, one, moved)]
        assert fund_change(full, (hold,), moves) == 0
    spent = fund_change(full, (hold,), [LotMove(MEMBER, one, -active)])
    assert spent == value(one, waiting + held) - value(one, active + waiting + held)


# ---------------------------------------------------------------- whole stories, through State and a store


@pytest.fixture
def story(tmp_path: Path) -> Book:
    book = Book(lambda: SqliteEngine(tmp_path / "ledger.sqlite", SEAL_KEY))
    book.book(Request("activate", 1, 1))
    return book


def open_lots(book: Book, unit: Unit = Unit.POINTS, program: str = "vafa") -> list[tuple[int, int]]:
    """Number (of the request that awarded it) and what is left of each open lot, in the order of use."""
    found = []
    for part in book.wallet(1, unit, program).lots:
        entry = book.ask(lambda id_=part.lot.id: book.state.entry_of_id(id_ // LOTS_PER_ENTRY))  # type: ignore[misc]
        assert entry is not None
        found.append((int.from_bytes(entry.identity[2:7], "big"), part.amount))
    return found


def booked(book: Book, request: Request, code: str = "00") -> Entry:
    (entry,) = book.book(request)
    assert entry.response_code == code
    assert replayed(book.engine, entry.member) == book.member(1)
    return entry


def test_hold_capture_and_release_keep_to_the_same_lots(story: Book) -> None:
    booked(story, Request("earn", 2, 1, 30, terms=Terms(lasts=5)))
    booked(story, Request("earn", 3, 1, 30, terms=Terms(lasts=3)))
    hold = Request("hold", 4, 1, 40)
    booked(story, hold)
    assert open_lots(story) == [(2, 20)]
    capture = booked(story, Request("capture", 5, 1, 35, original=hold.identity))
    assert [transfer.kind for transfer in capture.transfers] == [TransferKind.CAPTURE, TransferKind.RELEASE]
    assert open_lots(story) == [(2, 25)]
    assert story.member(1).holds == ()
    booked(story, Request("capture", 6, 1, 1, original=hold.identity), "51")
    booked(story, Request("refund", 7, 1, 8, original=Request("capture", 5, 1).identity))
    assert open_lots(story) == [(3, 3), (2, 30)]


def test_a_capture_may_leave_the_rest_of_a_hold_open(story: Book) -> None:
    booked(story, Request("earn", 2, 1, 50))
    hold = Request("hold", 3, 1, 40)
    booked(story, hold)
    booked(story, Request("capture", 4, 1, 15, original=hold.identity, keeps=True))
    assert [part.amount for part in story.member(1).holds[0].lots] == [25]
    booked(story, Request("capture", 5, 1, 26, original=hold.identity), "51")
    booked(story, Request("capture", 6, 1, 5, original=hold.identity, keeps=True))
    booked(story, Request("release", 7, 1, original=hold.identity))
    assert open_lots(story) == [(2, 30)]
    assert story.wallet(1).held == 0


def test_a_hold_that_ran_out_goes_back_before_the_next_request(story: Book) -> None:
    booked(story, Request("earn", 2, 1, 50))
    hold = Request("hold", 3, 1, 40)
    booked(story, hold)
    story.now_ms += HOLD_MS - 1
    booked(story, Request("redeem", 4, 1, 11), "51")
    story.now_ms += 1
    booked(story, Request("capture", 5, 1, 40, original=hold.identity), "51")
    assert open_lots(story) == [(2, 50)]


def test_lots_begin_and_end_on_their_day(story: Book) -> None:
    booked(story, Request("earn", 2, 1, 10, terms=Terms(pending_days=2, lasts=3)))
    for _ in range(2):
        assert (story.balance(1), story.wallet(1).pending) == (0, 10)
        booked(story, Request("redeem", 3 + story.day, 1, 1), "51")
        story.pass_days(1)
    booked(story, Request("redeem", 50, 1, 1))  # the second day
    story.pass_days(3)
    booked(story, Request("redeem", 51, 1, 1))  # its last
    story.pass_days(1)
    booked(story, Request("redeem", 52, 1, 1), "51")
    assert story.wallet(1).lots == ()
    entry = story.ask(lambda: story.state.entry_of_id(story.member(1).last_entry))
    assert entry is not None
    due = story.ask(lambda: story.state.entry_of_id(entry.previous))
    assert due is not None
    assert [(transfer.kind, transfer.postings[0].amount) for transfer in due.transfers] == [
        (TransferKind.EXPIRY, -8)
    ]


def test_sliding_lots_live_as_long_as_the_member_is_active(story: Book) -> None:
    booked(story, Request("earn", 2, 1, 100, terms=Terms(lasts=-10)))
    for number in range(3, 6):
        story.pass_days(10)
        booked(story, Request("redeem", number, 1, 1))
    story.pass_days(10)
    booked(story, Request("redeem", 10, 1, 1_000), "51")  # a refusal is no activity
    story.pass_days(1)
    booked(story, Request("redeem", 11, 1, 1), "51")
    assert story.balance(1) == 0


def test_activity_changes_the_order_of_sliding_lots(story: Book) -> None:
    booked(story, Request("earn", 2, 1, 10, terms=Terms(lasts=-20)))
    booked(story, Request("earn", 3, 1, 10, terms=Terms(lasts=25)))
    assert open_lots(story) == [(2, 10), (3, 10)]
    story.pass_days(6)
    booked(story, Request("earn", 4, 1, 10))
    assert open_lots(story) == [(3, 10), (2, 10), (4, 10)]


def test_points_given_back_after_their_lot_ended_live_for_the_days_of_the_terms(story: Book) -> None:
    booked(story, Request("earn", 2, 1, 30, terms=Terms(lasts=5)))
    redeem = Request("redeem", 3, 1, 20)
    booked(story, redeem)
    story.pass_days(6)
    booked(story, Request("refund", 4, 1, 5, original=redeem.identity, terms=Terms(reopen_days=7)))
    assert open_lots(story) == [(2, 5)]
    story.pass_days(7)
    booked(story, Request("refund", 5, 1, 5, original=redeem.identity, terms=Terms(reopen_days=0)))
    assert open_lots(story) == [(2, 10)]  # joins what is still open
    story.pass_days(1)
    booked(story, Request("refund", 6, 1, 5, original=redeem.identity, terms=Terms(reopen_days=0)))
    booked(story, Request("redeem", 7, 1, 1), "51")  # over at once
    assert open_lots(story) == []


def test_partial_refunds_add_up_to_the_whole_and_not_more(story: Book) -> None:
    booked(story, Request("earn", 2, 1, 10, terms=Terms(price=333, lasts=5)))
    booked(story, Request("earn", 3, 1, 10, terms=Terms(price=777)))
    before = story.wallet(1)
    redeem = Request("redeem", 4, 1, 17, amount=1_700)
    booked(story, redeem)
    for number, points in ((5, 5), (6, 6), (7, 6)):
        booked(story, Request("refund", number, 1, points, original=redeem.identity, amount=points * 100))
    booked(story, Request("refund", 8, 1, 1, original=redeem.identity), "51")
    assert story.wallet(1) == before


def test_partial_returns_add_up_to_the_whole_and_not_more(story: Book) -> None:
    earn = Request("earn", 2, 1, 17, terms=Terms(price=333))
    booked(story, earn)
    for number, points in ((3, 5), (4, 11)):
        booked(story, Request("return", number, 1, points, original=earn.identity))
    booked(story, Request("return", 5, 1, 2, original=earn.identity), "51")
    booked(story, Request("return", 6, 1, 1, original=earn.identity))
    assert story.wallet(1).lots == ()


def test_debt_is_paid_by_the_next_points_however_they_come(story: Book) -> None:
    earn = Request("earn", 2, 1, 100)
    booked(story, earn)
    redeem = Request("redeem", 3, 1, 80)
    booked(story, redeem)
    booked(story, Request("return", 4, 1, 90, original=earn.identity))
    assert (story.balance(1), open_lots(story)) == (-70, [])
    booked(story, Request("earn", 5, 1, 30))
    assert (story.balance(1), open_lots(story)) == (-40, [])
    booked(story, Request("earn", 6, 1, 25, terms=Terms(pending_days=1)))
    assert (story.balance(1), story.wallet(1).pending) == (-40, 25)
    story.pass_days(1)
    booked(story, Request("earn", 7, 1, 5))
    assert (story.balance(1), open_lots(story)) == (-10, [])
    booked(story, Request("refund", 8, 1, 80, original=redeem.identity))
    assert (story.balance(1), open_lots(story)) == (70, [(2, 70)])


def test_units_and_programs_have_wallets_of_their_own(story: Book) -> None:
    wallets = [
        (unit, program)
        for unit in (Unit.POINTS, Unit.STAMPS, Unit.CASH, Unit.TICKETS)
        for program in ("vafa", "friends")
    ]
    for number, (unit, program) in enumerate(wallets, start=2):
        booked(story, Request("earn", number, 1, number, unit=unit, program=program))
    story.now_ms += 1
    for number, (unit, program) in enumerate(wallets, start=2):
        booked(story, Request("redeem", 20 + number, 1, number + 1, unit=unit, program=program), "51")
        hold = Request("hold", 40 + number, 1, 1, unit=unit, program=program)
        booked(story, hold)
        booked(story, Request("redeem", 60 + number, 1, 1, unit=unit, program=program))
        assert story.balance(1, unit, program) == number - 2
        assert story.wallet(1, unit, program).held == 1
        assert open_lots(story, unit, program) == ([(number, number - 2)] if number > 2 else [])
    assert len(story.member(1).holds) == len(wallets)


def test_a_reversal_brings_back_the_very_state_of_before(story: Book) -> None:
    for number, terms in enumerate((Terms(lasts=5), Terms(price=3), Terms(lasts=-9, priority=1)), start=2):
        booked(story, Request("earn", number, 1, 10, terms=terms))
    for number, points in ((10, 5), (20, 25), (30, 30)):
        before = story.wallet(1)
        redeem = Request("redeem", number, 1, points, amount=points * 90)
        booked(story, redeem)
        booked(story, Request("reverse", number + 1, 1, original=redeem.identity))
        assert story.wallet(1) == before
        earn = Request("earn", number + 2, 1, points, terms=Terms(pending_days=number % 20))
        booked(story, earn)
        booked(story, Request("reverse", number + 3, 1, original=earn.identity))
        assert story.wallet(1) == before
        hold = Request("hold", number + 4, 1, points)
        booked(story, hold)
        booked(story, Request("reverse", number + 5, 1, original=hold.identity))
        assert story.wallet(1) == before
        booked(story, Request("reverse", number + 6, 1, original=hold.identity))
        assert story.wallet(1) == before


def test_the_fund_holds_the_value_of_every_open_lot(story: Book) -> None:
    entries: list[Entry] = []
    balances: dict[object, int] = {}
    hold, redeem = Request("hold", 20, 1, 7), Request("redeem", 21, 1, 9, amount=1_234)
    for request in (
        Request("earn", 2, 1, 11, terms=Terms(price=333)),
        Request("earn", 3, 1, 13, terms=Terms(price=1_499, lasts=-3)),
        Request("earn", 4, 1, 17, terms=Terms(price=1, pending_days=2)),
        hold,
        redeem,
        Request("capture", 22, 1, 3, original=hold.identity, keeps=True),
        Request("return", 23, 1, 10, original=Request("earn", 2, 1).identity),
        Request("refund", 24, 1, 4, original=redeem.identity, amount=500),
        Request("release", 25, 1, original=hold.identity),
    ):
        entries.append(booked(story, request))
        add_to_accounts(balances, entries[-1])  # type: ignore[arg-type]
        fund = sum(
            amount for account, amount in balances.items() if getattr(account, "kind", 0) is AccountKind.FUND
        )
        assert fund == fund_of([story.member(1)], "vafa")
