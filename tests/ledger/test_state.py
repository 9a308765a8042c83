"""The owner's memory alone: what it asks for, what it lets later requests see, what it may forget."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from switch.ledger import (
    Account,
    AccountKind,
    BalanceLoad,
    Entry,
    EntryLoad,
    IdentifierLoad,
    Load,
    Member,
    MemberAdded,
    MemberLoad,
    MemberStatus,
    MemberStatusSet,
    NotLoaded,
    OriginalReversed,
    Posting,
    ReversedLoad,
    Side,
    Start,
    State,
    Transfer,
    TransferKind,
    Unit,
)
from switch.ledger.state import ENTRY_ID_EPOCH_MS, ENTRY_ID_LIMIT

EMPTY = Start(0, b"", b"", {})
MEMBER = (7 << 40) + 1
ACCOUNT = Account(7, AccountKind.MEMBER, str(MEMBER), "vafa", Unit.POINTS)
ISSUED = Account(7, AccountKind.ISSUED, "100000000000001", "vafa", Unit.POINTS)
NOW_MS = 1_790_000_000_000


def identity(number: int) -> bytes:
    return number.to_bytes(19, "big")


def entry_of(
    state: State, number: int, points: int = 0, sides: tuple[Side, ...] = (), now_ms: int = NOW_MS
) -> Entry:
    transfers: tuple[Transfer, ...] = ()
    if points:
        transfers = (Transfer(TransferKind.EARN, (Posting(ACCOUNT, points), Posting(ISSUED, -points))),)
    return Entry(
        id=state.next_entry_id(now_ms),
        bucket=7,
        identity=identity(number),
        fingerprint=bytes(16),
        terminal="10000001",
        acceptor="100000000000001",
        business_date="2026-09-21",
        decided_ms=now_ms,
        member=MEMBER,
        response_code="00",
        answer=b"",
        transfers=transfers,
        sides=sides,
    )


def applied(state: State, number: int, points: int = 0, sides: tuple[Side, ...] = ()) -> Entry:
    entry = entry_of(state, number, points, sides)
    state.apply(entry)
    return entry


@pytest.mark.parametrize(
    ("question", "load"),
    [
        (lambda state: state.entry(identity(5)), EntryLoad(identity(5))),
        (lambda state: state.is_reversed(identity(5)), ReversedLoad(identity(5))),
        (lambda state: state.member_of(b"card"), IdentifierLoad(b"card")),
        (lambda state: state.member(MEMBER), MemberLoad(MEMBER)),
        (lambda state: state.balance(ACCOUNT), BalanceLoad(ACCOUNT)),
    ],
    ids=lambda value: type(value).__name__ if not callable(value) else "",
)
def test_what_is_not_in_memory_is_asked_for(question: Callable[[State], object], load: Load) -> None:
    state = State(Start(10, identity(9), identity(9), {}))
    with pytest.raises(NotLoaded) as raised:
        question(state)
    assert raised.value.load == load


def test_answers_of_the_engine_are_given_from_then_on() -> None:
    state = State(Start(10, identity(9), identity(9), {7: 1}))
    found = entry_of(state, 5)
    member = Member(MEMBER, MemberStatus.INACTIVE, "936400******0001")
    state.fill(EntryLoad(identity(5)), found)
    state.fill(EntryLoad(identity(6)), None)
    state.fill(ReversedLoad(identity(5)), True)
    state.fill(ReversedLoad(identity(6)), False)
    state.fill(IdentifierLoad(b"card"), MEMBER)
    state.fill(IdentifierLoad(b"unknown"), None)
    state.fill(MemberLoad(MEMBER), member)
    state.fill(BalanceLoad(ACCOUNT), 250)
    assert (state.entry(identity(5)), state.entry(identity(6))) == (found, None)
    assert (state.is_reversed(identity(5)), state.is_reversed(identity(6))) == (True, False)
    assert (state.member_of(b"card"), state.member_of(b"unknown")) == (MEMBER, None)
    assert state.member(MEMBER) == member
    assert state.balance(ACCOUNT) == 250


def test_what_is_newer_than_the_store_is_known_to_be_absent() -> None:
    state = State(Start(10, identity(9), identity(20), {}))
    assert state.entry(identity(10)) is None
    assert state.is_reversed(identity(21)) is False
    with pytest.raises(NotLoaded):
        state.is_reversed(identity(20))


def test_an_applied_entry_is_seen_by_the_next_request() -> None:
    state = State(EMPTY)
    state.fill(IdentifierLoad(b"card"), None)
    applied(state, 1, sides=(MemberAdded(MEMBER, b"card", "936400******0001"),))
    assert state.member_of(b"card") == MEMBER
    assert state.member(MEMBER) == Member(MEMBER, MemberStatus.ACTIVE, "936400******0001")
    assert state.next_member_id(7) == MEMBER + 1
    state.fill(BalanceLoad(ACCOUNT), 0)
    earn = applied(state, 2, points=250)
    assert state.balance(ACCOUNT) == 250
    assert state.entry(identity(2)) is earn
    applied(state, 3, sides=(OriginalReversed(identity(2)), MemberStatusSet(MEMBER, MemberStatus.INACTIVE)))
    assert state.is_reversed(identity(2))
    assert state.member(MEMBER).status is MemberStatus.INACTIVE


def test_an_entry_that_lacks_a_balance_changes_nothing() -> None:
    state = State(EMPTY)
    entry = entry_of(state, 1, points=250, sides=(OriginalReversed(identity(9)),))
    with pytest.raises(NotLoaded) as raised:
        state.apply(entry)
    assert raised.value.load == BalanceLoad(ACCOUNT)
    assert state.entry(identity(1)) is None
    assert not state.is_reversed(identity(9))
    assert state.next_entry_id(NOW_MS) == entry.id


def test_an_answer_that_comes_late_does_not_undo_what_was_applied() -> None:
    state = State(EMPTY)
    state.fill(BalanceLoad(ACCOUNT), 100)
    state.fill(IdentifierLoad(b"card"), None)
    applied(state, 1, sides=(MemberAdded(MEMBER, b"card", "936400******0001"), OriginalReversed(identity(9))))
    entry = applied(state, 2, points=250)
    state.fill(BalanceLoad(ACCOUNT), 100)
    state.fill(EntryLoad(identity(2)), None)
    state.fill(IdentifierLoad(b"card"), None)
    state.fill(ReversedLoad(identity(9)), False)
    assert state.balance(ACCOUNT) == 350
    assert state.entry(identity(2)) is entry
    assert state.member_of(b"card") == MEMBER
    assert state.is_reversed(identity(9))


@pytest.mark.parametrize(
    ("sides", "words"),
    [
        ((MemberAdded(MEMBER + 1, b"card 2", ""),), "no gaps"),
        ((MemberAdded((8 << 40) + 1, b"card 2", ""),), "own bucket"),
        ((MemberAdded(MEMBER, b"card", ""),), "names one member"),
        ((OriginalReversed(identity(1)),), "reversed once"),
    ],
    ids=["number", "bucket", "identifier", "reversal"],
)
def test_a_side_that_breaks_an_invariant_stops(sides: tuple[Side, ...], words: str) -> None:
    state = State(EMPTY)
    state.fill(IdentifierLoad(b"card"), (7 << 40) + 9)
    state.fill(IdentifierLoad(b"card 2"), None)
    applied(state, 2, sides=(OriginalReversed(identity(1)),))
    with pytest.raises(AssertionError, match=words):
        applied(state, 3, sides=sides)


def test_an_identity_is_applied_once_and_ids_rise() -> None:
    state = State(EMPTY)
    entry = applied(state, 1)
    with pytest.raises(AssertionError, match="decided once"):
        applied(state, 1)
    with pytest.raises(AssertionError, match="ids rise"):
        state.apply(entry)


def test_entries_commit_in_the_order_they_were_applied() -> None:
    state = State(EMPTY)
    applied(state, 1)
    second = applied(state, 2)
    with pytest.raises(AssertionError, match="in the order"):
        state.committed([second])


@given(st.lists(st.integers(-100_000, 100_000), min_size=1, max_size=60), st.integers(0, 2**50))
def test_entry_ids_rise_whatever_the_clock_does(steps_ms: list[int], last_id: int) -> None:
    state = State(Start(last_id, b"", b"", {}))
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


def test_what_is_not_committed_is_never_forgotten() -> None:
    state = State(EMPTY, recent_entries=2, recent_reversed=2, cache_generation=2)
    state.fill(BalanceLoad(ACCOUNT), 0)
    state.fill(IdentifierLoad(b"card"), None)
    added = MemberAdded(MEMBER, b"card", "936400******0001")
    waiting = applied(state, 1_000_000, points=5, sides=(added, OriginalReversed(identity(0))))
    for number in range(1, 30):
        other = Account(7, AccountKind.MEMBER, str(number), "vafa", Unit.POINTS)
        state.fill(BalanceLoad(other), number)
        state.fill(IdentifierLoad(bytes([number])), None)
        state.fill(MemberLoad(number), Member(number, MemberStatus.ACTIVE, ""))
        state.committed([])
    assert state.balance(ACCOUNT) == 5
    assert state.member_of(b"card") == MEMBER
    assert state.member(MEMBER).status is MemberStatus.ACTIVE
    assert state.entry(waiting.identity) is waiting
    assert state.is_reversed(identity(0))


def test_committed_things_leave_and_are_asked_for_again() -> None:
    state = State(EMPTY, recent_entries=2, recent_reversed=2, cache_generation=2)
    state.fill(BalanceLoad(ACCOUNT), 0)
    entries = [
        applied(state, number, 1, (OriginalReversed(identity(100 + number)),)) for number in range(1, 6)
    ]
    state.committed(entries)
    assert [state.entry(identity(number)) for number in (4, 5)] == entries[3:]
    assert state.is_reversed(identity(105))
    for question in (lambda: state.entry(identity(3)), lambda: state.is_reversed(identity(103))):
        with pytest.raises(NotLoaded):
            question()
    for number in range(10):
        state.fill(BalanceLoad(ACCOUNT._replace(holder=str(number))), 0)
        state.committed([])
    with pytest.raises(NotLoaded):
        state.balance(ACCOUNT)


def test_an_identity_of_the_future_does_not_make_all_others_unknown() -> None:
    state = State(EMPTY, recent_entries=3)
    future = applied(state, 10**9)
    state.committed([future])
    for number in range(1, 20):
        state.committed([applied(state, number)])
    assert state.entry(identity(20)) is None
    assert state.entry(future.identity) is future


def test_an_answer_given_twice_leaves_memory_once() -> None:
    state = State(Start(10, identity(9), b"", {}), recent_entries=1)
    old = entry_of(state, 5)
    for _ in range(2):
        state.fill(EntryLoad(identity(5)), old)
    state.committed([applied(state, 20), applied(state, 21)])
    with pytest.raises(NotLoaded):
        state.entry(identity(5))
    assert state.entry(identity(21)) is not None
