"""What an entry makes of its member, and that no entry is taken whose books don't agree."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from msgspec import structs

from switch.ledger import (
    LOTS_PER_ENTRY,
    AccountKind,
    Entry,
    HoldClosed,
    HoldOpened,
    Lot,
    LotKind,
    LotMove,
    Member,
    MemberAdded,
    MemberStatus,
    MemberStatusSet,
    Posting,
    Recounted,
    Transfer,
    TransferKind,
    Unit,
    Usage,
    Wallet,
)
from switch.ledger.book import add_to_accounts, day_number, fund_of, member_after
from switch.ledger.lots import spend, value
from switch.ledger.model import ENTRY_ID_EPOCH_MS, ENTRY_IDS_PER_MS
from tests.ledger.book import DAY_MS, START_MS, changed, day_of

MEMBER, BUCKET, ACCEPTOR = (7 << 40) + 1, 7, "A"
OWN, PENDING, HELD = AccountKind.MEMBER, AccountKind.PENDING, AccountKind.HELD
ISSUED, REDEEMED = AccountKind.ISSUED, AccountKind.REDEEMED
FUND, MARGIN = AccountKind.FUND, AccountKind.MARGIN
POINTS, RIAL = Unit.POINTS, Unit.RIAL
FIRST = (START_MS - ENTRY_ID_EPOCH_MS) * ENTRY_IDS_PER_MS
PRICE = 100_000


def entry_of(id_: int, *transfers: Transfer, **changes: object) -> Entry:
    entry = Entry(
        id=id_,
        bucket=BUCKET,
        identity=id_.to_bytes(19, "big"),
        fingerprint=b"",
        operation="test",
        terminal="T",
        acceptor=ACCEPTOR,
        business_date="2026-09-21",
        decided_ms=START_MS,
        member=MEMBER,
        previous=0,
        response_code="00",
        amount=0,
        batch=1,
        answer=b"",
        transfers=transfers,
    )
    return changed(entry, **changes)


def lot(entry_id: int, number: int = 0, **changes: Any) -> Lot:
    made = Lot(
        id=entry_id * LOTS_PER_ENTRY + number,
        issuer=ACCEPTOR,
        price=PRICE,
        kind=LotKind.BOUGHT,
        priority=0,
        active_from=day_of(START_MS),
        expires=day_of(START_MS) + 100,
        rules=1,
    )
    return structs.replace(made, **changes)


Leg = tuple[AccountKind, int]


def transfer(kind: TransferKind, legs: list[Leg], moves: list[LotMove], rial: int = 0, **of: Any) -> Transfer:
    """A transfer of points, and `rial` that the fund gains."""
    postings = [Posting(account, "", POINTS, amount) for account, amount in legs]
    if rial:
        postings += [Posting(FUND, "", RIAL, rial), Posting(MARGIN, "", RIAL, -rial)]
    return Transfer(
        kind, of.pop("program", "vafa"), of.pop("unit", POINTS), tuple(postings), tuple(moves), **of
    )


def award(entry_id: int, points: int, account: AccountKind = OWN, **changes: Any) -> Transfer:
    one = lot(entry_id, **changes)
    moves = [LotMove(account, one, points)]
    return transfer(TransferKind.EARN, [(account, points), (ISSUED, -points)], moves, value(one, points))


ADDED = entry_of(FIRST, sides=(MemberAdded(MEMBER),))
LOT, WAITING = lot(FIRST + 1), lot(FIRST + 2)


def kept(points: int, **of: Any) -> Transfer:
    """Points of LOT put into a hold."""
    moves = [LotMove(OWN, LOT, -points), LotMove(HELD, LOT, points)]
    return transfer(TransferKind.HOLD, [(OWN, -points), (HELD, points)], moves, **of)


def spent(points: int, **of: Any) -> Transfer:
    rial = of.pop("rial", value(LOT, 60 - points) - value(LOT, 60) if points else 0)
    moves = of.pop("moves", [LotMove(OWN, LOT, -points)])
    return transfer(TransferKind.REDEEM, [(OWN, -points), (REDEEMED, points)], moves, rial, **of)


@pytest.fixture
def member() -> Member:
    """It has 50 points of LOT open, 10 in a hold, and 30 of WAITING."""
    made = member_after(None, ADDED)
    hold = kept(10)
    for number, entry in enumerate(
        (
            entry_of(FIRST + 1, award(FIRST + 1, 60)),
            entry_of(FIRST + 2, award(FIRST + 2, 30, PENDING, active_from=day_of(START_MS) + 3)),
            entry_of(FIRST + 3, hold, sides=(HoldOpened(MEMBER, START_MS + 1),)),
        )
    ):
        made = member_after(made, changed(entry, previous=FIRST + number))
    return made


def test_the_member_is_what_its_entries_made(member: Member) -> None:
    (wallet,) = member.wallets
    assert (wallet.balance, wallet.pending, wallet.held) == (50, 30, 10)
    assert [(part.lot, part.amount) for part in wallet.lots] == [(LOT, 50)]
    assert member.holds[0].id == FIRST + 3
    assert member.holds[0].expires_ms == START_MS + 1
    assert member.due == day_of(START_MS) + 3
    assert fund_of([member], "vafa") == value(LOT, 60) + value(WAITING, 30)
    assert fund_of([member], "other") == 0


NEXT = FIRST + 4
CLOSED = HoldClosed(MEMBER, FIRST + 3)
FREED = transfer(
    TransferKind.RELEASE,
    [(HELD, -10), (OWN, 10)],
    [LotMove(HELD, LOT, -10), LotMove(OWN, LOT, 10)],
    hold=FIRST + 3,
)
OTHER_LOT = structs.replace(LOT, price=1)
OTHER_HOLD = transfer(
    TransferKind.HOLD,
    [(OWN, -5), (HELD, 5)],
    [LotMove(OWN, LOT, -5), LotMove(HELD, LOT, 5)],
    hold=FIRST,
)
# An entry's transfers and sides -> why it isn't taken.
REFUSED: dict[str, tuple[tuple[Transfer, ...], tuple[object, ...], str]] = {
    "balance without lots": ((spent(5, moves=[], rial=0),), (), "open lots - debt"),
    "lots without balance": (
        (spent(5, moves=[LotMove(OWN, LOT, -6)], rial=-600),),
        (),
        "open lots - debt",
    ),
    "debt beside open lots": ((spent(55, moves=[LotMove(OWN, LOT, -45)], rial=-4_500),), (), "lots - debt"),
    "more than a lot has": ((spent(51),), (), "no lot is negative"),
    "a lot that isn't open": (
        (spent(5, moves=[LotMove(OWN, lot(FIRST), -5)], rial=500),),
        (),
        "no lot is negative|the fund",
    ),
    "a lot that comes": ((award(NEXT + 1, 5),), (), "opened before it is used"),
    "pending without lots": (
        (transfer(TransferKind.EARN, [(PENDING, 5), (ISSUED, -5)], []),),
        (),
        "waiting lots",
    ),
    "nothing moved": (
        (spent(5, moves=[LotMove(OWN, LOT, -5), LotMove(OWN, LOT, 0)]),),
        (),
        "moves something",
    ),
    "fund without lots": ((spent(5, rial=-499),), (), "the fund holds"),
    "no fund": ((spent(5, rial=0),), (), "the fund holds"),
    "other price": ((spent(5, moves=[LotMove(OWN, OTHER_LOT, -5)], rial=-1),), (), "as it is open|the fund"),
    "lot changed": (
        (
            transfer(
                TransferKind.REFUND,
                [(OWN, 5), (REDEEMED, -5)],
                [LotMove(OWN, structs.replace(LOT, priority=9), 5)],
                500,
            ),
        ),
        (),
        "all but its last day",
    ),
    "hold untold": ((kept(5),), (), "opened hold is told"),
    "hold told without points": ((), (HoldOpened(MEMBER, 5),), "opened hold is told"),
    "two holds": ((kept(5),), (HoldOpened(MEMBER, 5), HoldOpened(MEMBER, 6)), "opens one hold"),
    "end untold": ((FREED,), (), "closed hold is told"),
    "end told too early": ((), (CLOSED,), "closed hold is told"),
    "end of another's hold": ((), (HoldClosed(MEMBER, 5),), "closed hold is told"),
    "end told twice": ((FREED,), (CLOSED, CLOSED), "closed once"),
    "hold with another id": ((OTHER_HOLD,), (HoldOpened(MEMBER, 5),), "the id of the entry"),
    "hold not there": (
        (structs.replace(FREED, hold=FIRST + 2),),
        (),
        "opened before it is used",
    ),
    "more than is held": (
        (
            transfer(
                TransferKind.RELEASE,
                [(HELD, -11), (OWN, 11)],
                [LotMove(HELD, LOT, -11), LotMove(OWN, LOT, 11)],
                hold=FIRST + 3,
            ),
        ),
        (CLOSED,),
        "than was held",
    ),
    "another lot than is held": (
        (
            transfer(
                TransferKind.CAPTURE,
                [(HELD, -5), (REDEEMED, 5)],
                [LotMove(HELD, WAITING, -5)],
                -500,
                hold=FIRST + 3,
            ),
        ),
        (),
        "than was held",
    ),
    "held without a posting": (
        (spent(5, moves=[LotMove(OWN, LOT, -5), LotMove(HELD, LOT, 5)], rial=0, hold=FIRST + 3),),
        (),
        "held lies in holds",
    ),
    "posted without a hold": (
        (transfer(TransferKind.HOLD, [(OWN, -5), (HELD, 5)], [LotMove(OWN, LOT, -5)], -500),),
        (),
        "held lies in holds",
    ),
    "hold of another program": (
        (structs.replace(FREED, program="other"),),
        (CLOSED,),
        "of one wallet|no lot is negative",
    ),
    "another's side": ((), (MemberStatusSet(MEMBER + 1, MemberStatus.BLOCKED),), "its own member"),
    "added again": ((), (MemberAdded(MEMBER),), "added once"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_books_that_do_not_agree_are_refused(member: Member, name: str) -> None:
    transfers, sides, words = REFUSED[name]
    entry = entry_of(NEXT, *transfers, sides=sides, previous=FIRST + 3)
    with pytest.raises(AssertionError, match=words):
        member_after(member, entry)


def test_the_same_with_books_that_agree(member: Member) -> None:
    for transfers, sides in (
        ((spent(5),), ()),
        ((spent(50, rial=value(LOT, 10) - value(LOT, 60)),), ()),
        ((kept(5),), (HoldOpened(MEMBER, 5),)),
        ((FREED,), (CLOSED,)),
    ):
        after = member_after(member, entry_of(NEXT, *transfers, sides=sides, previous=FIRST + 3))
        assert after.last_entry == NEXT


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"previous": FIRST + 2}, "follows its member's newest"),
        ({"bucket": 8}, "own bucket"),
        ({"member": MEMBER + 1}, "its own member"),
    ],
)
def test_an_entry_of_another_place_is_refused(member: Member, changes: dict[str, object], words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        member_after(member, entry_of(NEXT, **{"previous": FIRST + 3, **changes}))


def test_a_member_is_added_by_its_first_entry() -> None:
    with pytest.raises(AssertionError, match="added first"):
        member_after(None, entry_of(FIRST))
    assert member_after(None, ADDED) == Member(MEMBER, MemberStatus.ACTIVE, FIRST)


@pytest.mark.parametrize(
    ("postings", "words"),
    [
        ([(OWN, POINTS, 5)], "at least two"),
        ([(OWN, POINTS, 5), (ISSUED, POINTS, -4)], "balances per unit"),
        ([(OWN, POINTS, 5), (ISSUED, POINTS, -5), (FUND, RIAL, 5)], "rial balances too"),
        ([(OWN, POINTS, 5), (ISSUED, RIAL, -5)], "balances per unit"),
        ([(OWN, POINTS, 0), (ISSUED, POINTS, 0)], "moves something"),
        ([(OWN, POINTS, 5), (ISSUED, Unit.STAMPS, -5)], "moves rial only"),
    ],
)
def test_a_transfer_balances(postings: list[tuple[AccountKind, Unit, int]], words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        Transfer(
            TransferKind.EARN,
            "vafa",
            POINTS,
            tuple(Posting(kind, "", unit, amount) for kind, unit, amount in postings),
        )


# ---------------------------------------------------------------- usage


class History:
    """Entries of a member, decided one after the other; each moves so many points."""

    def __init__(self) -> None:
        self.member = member_after(None, ADDED)
        self.now_ms = START_MS

    def add(self, operation: str, points: int = 0, *sides: Recounted) -> int:
        by_clock = (self.now_ms - ENTRY_ID_EPOCH_MS) * ENTRY_IDS_PER_MS
        id_ = max(by_clock, self.member.last_entry + 1)
        transfers: tuple[Transfer, ...] = ()
        if points:
            moves = award(id_, points, price=0).lots if points > 0 else spend(self.wallet, -points)
            other = ISSUED if operation.startswith("earn") else REDEEMED
            legs = [(OWN, points), (other, -points)]
            transfers = (transfer(TransferKind.REDEEM, legs, list(moves)),)
        day = date.fromordinal(day_of(self.now_ms)).isoformat()
        entry = entry_of(id_, *transfers, operation=operation, business_date=day, sides=sides)
        self.member = member_after(self.member, changed(entry, previous=self.member.last_entry))
        return id_

    @property
    def wallet(self) -> Wallet:
        return self.member.wallet("vafa", POINTS)

    @property
    def usage(self) -> Usage:
        return self.member.usage


def test_usage_counts_what_was_done_on_the_active_day_and_in_its_month() -> None:
    history = History()
    history.now_ms += 2 * DAY_MS  # 1 Mehr
    history.add("earn", 100)
    history.add("earn", 50)
    history.add("redeem", -30)
    history.add("test", -30)
    assert history.usage == Usage(2, 150, 1, 30, 2, 150, 1, 30)
    history.now_ms += 29 * DAY_MS  # its last day
    history.add("capture", -5)
    assert history.usage == Usage(0, 0, 1, 5, 2, 150, 2, 35)
    history.now_ms += DAY_MS
    history.add("earn", 7)
    assert history.usage == Usage(1, 7, 0, 0, 1, 7, 0, 0)
    assert history.member.active_day == day_of(history.now_ms)


def less(day: int, operation: str, entries: int, points: int) -> Recounted:
    """So much that was done on the history's day `day` counts no more."""
    iso = date.fromordinal(day_of(START_MS) + day).isoformat()
    return Recounted(ADDED.member, operation, iso, "10000001", "100000000000001", "", entries, 0, points)


def test_what_was_taken_back_is_used_no_more() -> None:
    history = History()
    history.now_ms += 2 * DAY_MS
    history.add("earn", 100)
    history.now_ms += DAY_MS
    history.add("earn", 40)
    history.add("redeem", -20)
    history.add("test", 0, less(3, "earn", 1, 40))
    assert history.usage == Usage(0, 0, 1, 20, 1, 100, 1, 20)
    history.now_ms += DAY_MS
    history.add("test", 0, less(3, "redeem", 1, 20))
    assert history.usage == Usage(0, 0, 0, 0, 1, 100, 0, 0)
    history.add("test", 0, less(2, "earn", 0, 50), less(3, "hold", 1, 7))
    assert history.usage == Usage(0, 0, 0, 0, 1, 50, 0, 0)
    history.add("test", 0, less(3, "redeem", -1, -20))
    assert history.usage == Usage(0, 0, 1, 20, 1, 50, 1, 20)
    assert history.member.active_day == day_of(history.now_ms) - 1  # that is no activity


def test_what_was_done_last_month_counts_nowhere() -> None:
    history = History()
    history.add("earn", 100)
    history.now_ms += 30 * DAY_MS
    history.add("earn", 1, less(0, "earn", 1, 100))
    assert history.usage == Usage(1, 1, 0, 0, 1, 1, 0, 0)


def test_usage_never_falls_below_nothing() -> None:
    history = History()
    history.add("earn", 100)
    with pytest.raises(AssertionError, match="was counted before"):
        history.add("test", 0, less(0, "earn", 0, 101))


# ---------------------------------------------------------------- accounts


def test_accounts_of_others_are_summed_by_bucket_program_and_holder() -> None:
    balances: dict[Any, int] = {}
    for number in (1, 2):
        add_to_accounts(balances, entry_of(FIRST + number, award(FIRST + number, 10)))
    add_to_accounts(balances, entry_of(FIRST + 3, kept(5)))
    assert {account[1:]: balance for account, balance in balances.items()} == {
        (ISSUED, "", "vafa", POINTS): -20,
        (FUND, "", "vafa", RIAL): 2_000,
        (MARGIN, "", "vafa", RIAL): -2_000,
    }
    assert {account.bucket for account in balances} == {BUCKET}


def test_days_are_ordinals() -> None:
    assert day_number("0001-01-01") == 1
    assert day_number("2026-09-21") == day_of(START_MS)
