"""The owner's memory alone: what it asks for, what it lets later requests see, what it may forget."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from switch.ledger import (
    Account,
    AccountKind,
    BalanceLoad,
    CardLoad,
    Count,
    Counter,
    CounterLoad,
    Entry,
    EntryIdLoad,
    EntryLoad,
    Followed,
    FollowedLoad,
    FollowUp,
    IdentifierKind,
    IdentifierLoad,
    Load,
    Loaded,
    Member,
    MemberAdded,
    MemberLoad,
    MemberStatus,
    MemberStatusSet,
    Mobile,
    MobileLoad,
    Named,
    Naming,
    NotLoaded,
    OriginalReversed,
    PinTried,
    Posting,
    ReversedLoad,
    Scope,
    Side,
    Start,
    State,
    Transfer,
    TransferKind,
    Unit,
    Unnamed,
)
from switch.ledger.book import member_after
from switch.ledger.model import ENTRY_ID_EPOCH_MS, ENTRY_ID_LIMIT, OWNERS_BUCKETS
from tests.ledger.book import changed

EMPTY = Start(0, b"", b"", "", {})
BUCKET, ACCEPTOR, TERMINAL = 7, "100000000000001", "10000001"
MEMBER = (BUCKET << 40) + 1
NOW_MS = 1_790_000_000_000
CARD, MOBILE = IdentifierKind.CARD, IdentifierKind.MOBILE
BATCH_EARNS = Counter(Scope.BATCH, TERMINAL, "000001", "earn")
# A balanced transfer that needs no lot: what is owed becomes more.
OWED = Transfer(
    TransferKind.CORRECTION,
    "vafa",
    Unit.POINTS,
    (
        Posting(AccountKind.MEMBER, "", Unit.POINTS, -5),
        Posting(AccountKind.ADJUSTED, "test", Unit.POINTS, 5),
    ),
)


def identity(number: int) -> bytes:
    return number.to_bytes(19, "big")


def entry_of(state: State, number: int, **changes: object) -> Entry:
    now_ms = changes.pop("now_ms", NOW_MS)
    assert isinstance(now_ms, int)
    entry = Entry(
        id=state.next_entry_id(now_ms),
        bucket=BUCKET,
        identity=identity(number),
        fingerprint=bytes(16),
        operation="earn",
        terminal=TERMINAL,
        acceptor=ACCEPTOR,
        business_date="2026-09-21",
        decided_ms=now_ms,
        member=0,
        previous=0,
        response_code="00",
        amount=7,
        batch=1,
        answer=b"",
    )
    return changed(entry, **changes)


def applied(state: State, number: int, **changes: object) -> Entry:
    entry = entry_of(state, number, **changes)
    state.apply(entry)
    return entry


def followed_by(state: State, number: int, *sides: Side, **changes: object) -> Entry:
    """An entry of MEMBER after its newest one."""
    previous = state.member(MEMBER).last_entry
    return applied(state, number, member=MEMBER, previous=previous, sides=sides, **changes)


def with_member(number: int = 1, namings: tuple[Naming, ...] = ()) -> State:
    state = State(EMPTY)
    for naming in namings:
        state.fill(IdentifierLoad(naming.identifier), None)
    applied(state, number, member=MEMBER, sides=(MemberAdded(MEMBER),), namings=namings)
    return state


# ---------------------------------------------------------------- asking and filling

QUESTIONS: Sequence[tuple[Callable[[State], object], Load, Loaded]] = [
    (lambda state: state.entry(identity(5)), EntryLoad(identity(5)), None),
    (lambda state: state.entry_of_id(9), EntryIdLoad(9), None),
    (lambda state: state.is_reversed(identity(5)), ReversedLoad(identity(5)), True),
    (lambda state: state.followed(9), FollowedLoad(9), FollowUp(1, 2, True)),
    (lambda state: state.member_of(b"card"), IdentifierLoad(b"card"), MEMBER),
    (lambda state: state.member_of(b"unknown"), IdentifierLoad(b"unknown"), None),
    (
        lambda state: state.member(MEMBER),
        MemberLoad(MEMBER),
        Member(MEMBER, MemberStatus.INACTIVE, 5),
    ),
    (lambda state: state.mobile(MEMBER), MobileLoad(MEMBER), Mobile(b"m", "98", b"s")),
    (lambda state: state.mobile(MEMBER), MobileLoad(MEMBER), None),
    (lambda state: state.cards(MEMBER), CardLoad(MEMBER), ((b"card", "9364"),)),
    (lambda state: state.counter(BATCH_EARNS), CounterLoad(BATCH_EARNS), Count(1, 2, 3)),
]


@pytest.mark.parametrize(("question", "load", "answer"), QUESTIONS)
def test_what_is_not_in_memory_is_asked_for_once(
    question: Callable[[State], object], load: Load, answer: Loaded
) -> None:
    state = State(Start(10, identity(9), identity(9), "2026-09-21", {}))
    with pytest.raises(NotLoaded) as raised:
        question(state)
    assert raised.value.load == load
    state.fill(load, answer)
    assert question(state) == answer
    assert question(state) == answer


def test_entries_found_are_remembered_and_reversals_absent_too() -> None:
    state = State(Start(10, identity(9), identity(9), "2026-09-21", {}))
    found = entry_of(state, 5)
    state.fill(EntryLoad(identity(5)), found)
    state.fill(EntryIdLoad(3), found)
    state.fill(ReversedLoad(identity(6)), False)
    assert state.entry(identity(5)) is found
    assert state.entry_of_id(3) is found
    assert state.is_reversed(identity(6)) is False


def test_balances_of_acceptors_are_not_kept() -> None:
    account = Account(0, AccountKind.FUND, "", "vafa", Unit.RIAL)
    with pytest.raises(AssertionError):
        State(EMPTY).fill(BalanceLoad(account), 5)


def test_what_is_newer_than_the_store_is_known_to_be_absent() -> None:
    state = State(Start(10, identity(9), identity(20), "2026-09-21", {}))
    assert state.entry(identity(10)) is None
    assert state.entry_of_id(11) is None
    assert state.is_reversed(identity(21)) is False
    with pytest.raises(NotLoaded):
        state.is_reversed(identity(20))


def test_an_id_that_was_asked_for_too_early_is_found_when_its_entry_comes() -> None:
    """Found in reading: what wasn't there was remembered for good."""
    state = with_member()
    coming = state.next_entry_id(NOW_MS)
    assert state.entry_of_id(coming) is None
    entry = followed_by(state, 2)
    assert entry.id == coming
    assert state.entry_of_id(coming) is entry
    state.committed()
    with pytest.raises(NotLoaded):
        state.entry_of_id(coming)


# ---------------------------------------------------------------- applying


def test_an_applied_entry_is_seen_by_the_next_request() -> None:
    named = (Named(b"card", MEMBER, CARD, "9364"), Named(b"mobile", MEMBER, MOBILE, "98", b"s"))
    state = with_member(namings=named)
    assert state.member_of(b"card") == state.member_of(b"mobile") == MEMBER
    assert state.mobile(MEMBER) == Mobile(b"mobile", "98", b"s")
    assert state.member(MEMBER).status is MemberStatus.ACTIVE
    assert state.next_member_id(BUCKET) == MEMBER + 1
    state.fill(FollowedLoad(5), FollowUp())
    state.fill(CounterLoad(BATCH_EARNS), Count(10, 100, 1_000))
    entry = followed_by(
        state,
        2,
        OriginalReversed(identity(1)),
        MemberStatusSet(MEMBER, MemberStatus.INACTIVE),
        Followed(5, 10, 20, ended=False),
        transfers=(OWED,),
    )
    assert state.entry(identity(2)) is entry
    assert state.entry_of_id(entry.id) is entry
    assert state.is_reversed(identity(1))
    assert state.member(MEMBER) == member_after(member_after(None, state.entry(identity(1))), entry)  # type: ignore[arg-type]
    assert state.followed(5) == FollowUp(10, 20, False)
    assert state.counter(BATCH_EARNS) == Count(12, 114, 1_005)


def test_a_decline_is_the_members_entry_too() -> None:
    state = with_member()
    before = state.member(MEMBER)
    declined = followed_by(state, 2, response_code="51")
    assert declined.previous == before.last_entry
    assert state.member(MEMBER).last_entry == declined.id
    wrong = followed_by(state, 3, PinTried(MEMBER, 1), response_code="55")
    assert (wrong.previous, state.member(MEMBER).credential.pin_wrong) == (declined.id, 1)


@pytest.mark.parametrize(
    ("load", "changes"),
    [
        (MemberLoad(MEMBER), {"member": MEMBER, "transfers": (OWED,)}),
        (FollowedLoad(3), {"member": MEMBER, "sides": (Followed(3, 1, 1, ended=False),)}),
        (IdentifierLoad(b"card"), {"member": MEMBER, "namings": (Named(b"card", MEMBER, CARD, ""),)}),
        (ReversedLoad(identity(4)), {"sides": (OriginalReversed(identity(4)),)}),
    ],
    ids=["member", "followed", "identifier", "reversed"],
)
def test_an_entry_that_lacks_something_changes_nothing(load: Load, changes: dict[str, object]) -> None:
    state = State(Start(5, identity(1), identity(5), "2026-09-21", {}))
    sides = (OriginalReversed(identity(9)), *changes.pop("sides", ()))  # type: ignore[misc]
    entry = entry_of(state, 2, sides=sides, **changes)
    with pytest.raises(NotLoaded) as raised:
        state.apply(entry)
    assert raised.value.load == load
    assert state.entry(identity(2)) is None
    assert not state.is_reversed(identity(9))
    assert state.next_entry_id(NOW_MS) == entry.id
    assert state.batch().entries == []


def test_an_answer_that_comes_late_does_not_undo_what_was_applied() -> None:
    named = Named(b"card", MEMBER, CARD, "9364")
    state = with_member(namings=(named,))
    state.fill(FollowedLoad(5), FollowUp())
    entry = followed_by(state, 2, OriginalReversed(identity(1)), Followed(5, 1, 1, ended=True))
    state.fill(CardLoad(MEMBER), ())
    member, cards = state.member(MEMBER), ((b"card", "9364"),)
    late: list[tuple[Load, Loaded]] = [
        (EntryLoad(identity(2)), None),
        (EntryIdLoad(entry.id), None),
        (IdentifierLoad(b"card"), None),
        (ReversedLoad(identity(1)), False),
        (MemberLoad(MEMBER), Member(MEMBER, MemberStatus.BLOCKED, 0)),
        (FollowedLoad(5), FollowUp()),
        (CardLoad(MEMBER), ()),
        (MobileLoad(MEMBER), None),
    ]
    for _ in range(2):
        for load, value in late:
            state.fill(load, value)
        assert state.entry(identity(2)) is entry
        assert state.member_of(b"card") == MEMBER
        assert state.is_reversed(identity(1))
        assert state.member(MEMBER) == member
        assert state.followed(5).ended
        assert state.cards(MEMBER) == cards
        state.committed()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sides": (MemberAdded(MEMBER),)}, "no gaps"),
        ({"member": MEMBER + 2, "sides": (MemberAdded(MEMBER + 2),)}, "no gaps"),
        ({"member": MEMBER + 1, "sides": (MemberAdded(MEMBER + 1),) * 2}, "is added first"),
        ({"member": MEMBER + 1, "bucket": 8, "sides": (MemberAdded(MEMBER + 1),)}, "no gaps"),
        ({"bucket": 8}, "own bucket"),
        ({"namings": (Named(b"card", MEMBER, CARD, ""),)}, "names one member"),
        ({"namings": (Named(b"new", MEMBER, CARD, ""), Named(b"new", MEMBER, CARD, ""))}, "names one"),
        ({"namings": (Named(b"new", MEMBER + 1, CARD, ""),)}, "names its own member"),
        ({"namings": (Unnamed(b"new", MEMBER, CARD),)}, "only what is there"),
        ({"namings": (Named(b"new", MEMBER, MOBILE, ""),)}, "one mobile number"),
        ({"sides": (OriginalReversed(identity(1)),)}, "reversed once"),
        ({"sides": (OriginalReversed(identity(4)),) * 2}, "reversed once"),
        ({"sides": (Followed(5, 1, 1, ended=True),)}, "what has ended"),
        ({"sides": (PinTried(MEMBER + 1, 1),)}, "its own member"),
        ({"sides": (MemberStatusSet(MEMBER + 1, MemberStatus.BLOCKED),)}, "its own member"),
        ({"previous": 0}, "newest one"),
        ({"member": 0, "previous": 0, "transfers": (OWED,)}, "only members'"),
        ({"member": 0}, "only members'"),
        ({"member": 0, "previous": 0, "sides": (PinTried(MEMBER, 1),)}, "nobody's"),
        ({"business_date": "2026-09-20"}, "closed day"),
        ({"identity": identity(1)}, "decided once"),
        ({"id": 1}, "ids rise"),
    ],
)
def test_an_entry_that_breaks_a_rule_stops_and_changes_nothing(
    changes: dict[str, object], words: str
) -> None:
    named = (Named(b"card", MEMBER, CARD, ""), Named(b"mobile", MEMBER, MOBILE, ""))
    state = with_member(namings=named)
    state.fill(IdentifierLoad(b"new"), None)
    state.fill(FollowedLoad(5), FollowUp(0, 0, True))
    newest = followed_by(state, 2, OriginalReversed(identity(1)))
    before = state.member(MEMBER)
    entry = entry_of(state, 3, **{"member": MEMBER, "previous": newest.id, **changes})
    with pytest.raises(AssertionError, match=words):
        state.apply(entry)
    assert state.member(MEMBER) == before
    assert [entry.identity for entry in state.batch().entries] == [identity(1), identity(2)]


def test_a_number_is_replaced_in_one_entry() -> None:
    """Found in reading: a member's mobile number could not be changed, only removed and set."""
    named = (Named(b"card", MEMBER, CARD, "1"), Named(b"mobile", MEMBER, MOBILE, "2"))
    state = with_member(namings=named)
    for identifier in (b"other card", b"other mobile"):
        state.fill(IdentifierLoad(identifier), None)
    state.fill(CardLoad(MEMBER), ())
    followed_by(
        state,
        2,
        namings=(
            Unnamed(b"mobile", MEMBER, MOBILE),
            Named(b"other mobile", MEMBER, MOBILE, "3"),
            Unnamed(b"card", MEMBER, CARD),
            Named(b"other card", MEMBER, CARD, "4"),
        ),
    )
    assert state.mobile(MEMBER) == Mobile(b"other mobile", "3", b"")
    assert [state.member_of(name) for name in (b"card", b"mobile")] == [None, None]
    state.fill(CardLoad(MEMBER), ())
    assert state.cards(MEMBER) == ((b"other card", "4"),)


def test_cards_are_those_of_the_store_and_of_this_batch() -> None:
    state = with_member()
    state.fill(CardLoad(MEMBER), ((b"a", "1"), (b"b", "2")))
    state.fill(IdentifierLoad(b"a"), MEMBER)
    state.fill(IdentifierLoad(b"c"), None)
    followed_by(state, 2, namings=(Unnamed(b"a", MEMBER, CARD), Named(b"c", MEMBER, CARD, "3")))
    with pytest.raises(NotLoaded):
        state.cards(MEMBER)
    state.fill(CardLoad(MEMBER), ((b"a", "1"), (b"b", "2")))
    assert state.cards(MEMBER) == ((b"b", "2"), (b"c", "3"))
    state.committed()
    assert state.cards(MEMBER) == ((b"b", "2"), (b"c", "3"))


# ---------------------------------------------------------------- ids


@given(st.lists(st.integers(-100_000, 100_000), min_size=1, max_size=60), st.integers(0, 2**50))
def test_entry_ids_rise_whatever_the_clock_does(steps_ms: list[int], last_id: int) -> None:
    state = State(Start(last_id, b"", b"", "", {}))
    now_ms = NOW_MS
    for number, step_ms in enumerate(steps_ms, start=1):
        now_ms += step_ms
        assert state.next_entry_id(now_ms) == state.next_entry_id(now_ms)
        entry = entry_of(state, number, now_ms=now_ms)
        assert last_id < entry.id < ENTRY_ID_LIMIT
        by_clock = (now_ms - ENTRY_ID_EPOCH_MS) * 1024
        assert entry.id == max(by_clock, last_id + 1)
        state.apply(entry)
        last_id = entry.id


def test_the_business_date_is_the_newest_entrys() -> None:
    assert State(EMPTY).business_date == ""
    state = State(Start(1, b"", b"", "2026-09-20", {}))
    assert state.business_date == "2026-09-20"
    applied(state, 1, business_date="2026-10-01")
    assert state.business_date == "2026-10-01"


# ---------------------------------------------------------------- batches


def test_a_batch_is_all_that_was_applied_since_the_last() -> None:
    state = with_member()
    state.fill(FollowedLoad(5), FollowUp())
    entry = followed_by(state, 2, Followed(5, 1, 2, ended=True), transfers=(OWED,))
    batch = state.batch({b"initial1": 7})
    assert [one.id for one in batch.entries] == [entry.previous, entry.id]
    assert batch.members == {MEMBER: state.member(MEMBER)}
    assert batch.followed == {5: FollowUp(1, 2, True)}
    assert batch.accounts == {
        Account(OWNERS_BUCKETS, AccountKind.ADJUSTED, "test", "vafa", Unit.POINTS): 5
    }
    assert batch.counters[BATCH_EARNS] == Count(2, 14, 5)
    assert batch.answered == {b"initial1": 7}
    state.committed()
    empty = state.batch()
    assert (empty.entries, empty.members, empty.accounts, empty.counters) == ([], {}, {}, {})


def test_a_batch_that_is_being_stored_takes_no_more_entries() -> None:
    """Found in reading: such an entry was answered and never stored."""
    state = with_member()
    assert state.batch().entries
    with pytest.raises(AssertionError, match="takes no more"):
        followed_by(state, 2)
    state.committed()
    followed_by(state, 2)


def test_a_counter_is_the_same_when_its_batch_is_committed() -> None:
    state = with_member()
    state.fill(CounterLoad(BATCH_EARNS), Count(5, 5, 5))
    for number in range(2, 5):
        followed_by(state, number)
        before = state.counter(BATCH_EARNS)
        state.committed()
        assert state.counter(BATCH_EARNS) == before
        state.fill(CounterLoad(BATCH_EARNS), Count(0, 0, 0))
    assert before == Count(9, 33, 5)


# ---------------------------------------------------------------- forgetting


def test_what_is_not_committed_is_never_forgotten() -> None:
    state = State(EMPTY, recent_entries=2, recent_reversed=2, cache_generation=2)
    state.fill(IdentifierLoad(b"card"), None)
    state.fill(FollowedLoad(5), FollowUp())
    waiting = applied(
        state,
        1_000_000,
        member=MEMBER,
        sides=(MemberAdded(MEMBER), OriginalReversed(identity(0)), Followed(5, 1, 1, ended=True)),
        namings=(Named(b"card", MEMBER, CARD, ""),),
    )
    for number in range(1, 30):
        state.fill(IdentifierLoad(bytes([number])), None)
        state.fill(MemberLoad(number), Member(number, MemberStatus.ACTIVE, 1))
        state.fill(FollowedLoad(100 + number), FollowUp())
        state.fill(EntryLoad(identity(number)), None)
        state.fill(ReversedLoad(identity(number)), False)
    assert state.member_of(b"card") == MEMBER
    assert state.member(MEMBER).last_entry == waiting.id
    assert state.followed(5).ended
    assert state.entry(waiting.identity) is waiting
    assert state.entry_of_id(waiting.id) is waiting
    assert state.is_reversed(identity(0))


def test_committed_things_leave_and_are_asked_for_again() -> None:
    state = State(EMPTY, recent_entries=2, recent_reversed=2, cache_generation=2)
    entries = [
        applied(state, number, sides=(OriginalReversed(identity(100 + number)),)) for number in range(1, 6)
    ]
    applied(state, 6, member=MEMBER, sides=(MemberAdded(MEMBER),))
    state.committed()
    assert state.entry(identity(5)) is entries[4]
    assert state.is_reversed(identity(105))
    questions: list[Callable[[], object]] = [
        lambda: state.entry(identity(3)),
        lambda: state.is_reversed(identity(103)),
        lambda: state.member(MEMBER),
    ]
    for number in range(10):
        state.fill(MemberLoad(number), Member(number, MemberStatus.ACTIVE, 1))
        state.committed()
    for question in questions:
        with pytest.raises(NotLoaded):
            question()


def test_an_identity_of_the_future_does_not_make_all_others_unknown() -> None:
    state = State(EMPTY, recent_entries=3)
    future = applied(state, 10**9)
    state.committed()
    for number in range(1, 20):
        applied(state, number)
        state.committed()
    assert state.entry(identity(20)) is None
    assert state.entry(future.identity) is future


def test_an_answer_given_twice_leaves_memory_once() -> None:
    state = State(Start(10, identity(9), b"", "2026-09-21", {}), recent_entries=1)
    old = entry_of(state, 5)
    for _ in range(2):
        state.fill(EntryLoad(identity(5)), old)
    applied(state, 20)
    applied(state, 21)
    state.committed()
    with pytest.raises(NotLoaded):
        state.entry(identity(5))
    assert state.entry(identity(21)) is not None
