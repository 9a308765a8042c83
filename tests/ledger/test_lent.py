"""What the memory of one of several owners keeps from batch to batch: only what nobody else can change."""

from __future__ import annotations

import pytest

from switch.ledger import Count, Counter, CounterLoad, NotLoaded, Scope, State
from switch.ledger.engine import (
    EVERY_BUCKET,
    EntryIdLoad,
    EntryLoad,
    IdentifierLoad,
    LastBatch,
    LastBatchLoad,
    Load,
    Loaded,
    MemberLoad,
    ReversedLoad,
    Start,
)
from switch.ledger.model import Member, MemberStatus

OWN, OTHERS = (5 << 40) + 1, (200 << 40) + 1
DAY = "2026-11-22"


def state_of(buckets: tuple[int, int]) -> State:
    return State(Start(0, b"", b"", DAY, {}, {}, buckets))


def counter(scope: Scope, period: str) -> Counter:
    return Counter(scope, "10000001", period, "earn")


def member(number: int) -> Member:
    return Member(number, MemberStatus.ACTIVE, 1)


KEPT: list[tuple[Load, Loaded]] = [
    (IdentifierLoad(b"own"), OWN),
    (MemberLoad(OWN), member(OWN)),
    (CounterLoad(counter(Scope.ACCEPTOR, "2026-11-20")), Count(1, 2, 3)),
]
LENT: list[tuple[Load, Loaded]] = [
    (IdentifierLoad(b"others"), OTHERS),
    (IdentifierLoad(b"nobody's"), None),
    (MemberLoad(OTHERS), member(OTHERS)),
    (CounterLoad(counter(Scope.ACCEPTOR, "2026-11-21")), Count(1, 2, 3)),
    (CounterLoad(counter(Scope.TERMINAL, DAY)), Count(1, 2, 3)),
    (CounterLoad(counter(Scope.BATCH, "000001")), Count(1, 2, 3)),
    (CounterLoad(counter(Scope.RECEIPT, "000001")), Count(1, 2, 3)),
    (LastBatchLoad("10000001"), LastBatch(1, 2, differs=False)),
    (EntryIdLoad(7, 200), None),
]


@pytest.mark.parametrize(("load", "value"), KEPT)
def test_what_is_its_own_is_kept(load: Load, value: Loaded) -> None:
    state = state_of((0, 127))
    state.fill(load, value)
    state.forget_lent()
    assert state.knows(load)


@pytest.mark.parametrize(("load", "value"), LENT)
def test_what_others_may_change_is_asked_for_in_each_batch(load: Load, value: Loaded) -> None:
    state = state_of((0, 127))
    state.fill(load, value)
    assert state.knows(load)
    state.forget_lent()
    assert not state.knows(load)


@pytest.mark.parametrize(("load", "value"), [*KEPT, *LENT[:-1]])
def test_who_owns_all_keeps_all(load: Load, value: Loaded) -> None:
    state = state_of((0, 255))
    state.fill(load, value)
    state.forget_lent()
    assert state.knows(load)


def test_identities_are_looked_for_in_every_bucket_only_when_asked_so() -> None:
    state, identity = state_of((0, 127)), b"\x20\x26" + bytes(17)
    assert state.entry(identity) is None  # newer than all that the owner's own buckets have
    with pytest.raises(NotLoaded) as missing:
        state.entry_of_any_owner(identity)
    assert missing.value.load == EntryLoad(identity, EVERY_BUCKET)
    state.fill(EntryLoad(identity, EVERY_BUCKET), None)
    state.fill(ReversedLoad(identity, EVERY_BUCKET), True)
    assert state.entry_of_any_owner(identity) is None
    assert state.is_reversed_by_any_owner(identity)
    assert not state.is_reversed(identity)
    state.forget_lent()
    with pytest.raises(NotLoaded):
        state.is_reversed_by_any_owner(identity)


def test_an_owner_of_all_asks_nobody_else() -> None:
    state = state_of((0, 255))
    assert state.entry_of_any_owner(b"\x20\x26" + bytes(17)) is None
    assert not state.is_reversed_by_any_owner(b"\x20\x26" + bytes(17))
