"""Weighed sums are the same for the same counters, however they are added up, and for no others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from switch.ledger import Count, Counter, Scope
from switch.ledger.weighing import SECRET_BYTES, WeighedSum, together

SECRET = bytes(range(SECRET_BYTES))
names = st.sampled_from(["", "earn", "redeem", "10000001", "2026-09-21"])
counters = st.builds(Counter, st.sampled_from(Scope), names, names, names)
numbers = st.integers(0, 2**63 - 1)
counts = st.builds(Count, st.integers(1, 2**40), numbers, numbers)
additions = st.lists(st.tuples(counters, counts), max_size=8)


def weighed(added: list[tuple[Counter, Count]], secret: bytes = SECRET) -> int:
    total = WeighedSum(secret)
    for counter, count in added:
        total.add(counter, count)
    return total.value()


def summed(added: list[tuple[Counter, Count]]) -> dict[Counter, Count]:
    sums: dict[Counter, Count] = {}
    for counter, count in added:
        sums[counter] = sums[counter] + count if counter in sums else count
    return sums


@given(additions, additions)
def test_sums_are_the_same_just_when_the_counters_are(
    one: list[tuple[Counter, Count]], other: list[tuple[Counter, Count]]
) -> None:
    assert (weighed(one) == weighed(other)) == (summed(one) == summed(other))


@given(additions, additions, st.randoms(use_true_random=False))
def test_parts_add_up_in_any_order(
    one: list[tuple[Counter, Count]], other: list[tuple[Counter, Count]], chooser: object
) -> None:
    mixed = [*one, *other]
    chooser.shuffle(mixed)  # type: ignore[attr-defined]
    assert together([weighed(one), weighed(other)]) == weighed(mixed) == weighed(list(summed(mixed).items()))


@given(counters, counts, st.integers(0, 2), st.integers(1, 2**62))
def test_each_number_counts(counter: Counter, count: Count, place: int, more: int) -> None:
    changed = list(count)
    changed[place] += more
    assert weighed([(counter, count)]) != weighed([(counter, Count(*changed))])


def test_numbers_don_t_stand_in_for_each_other() -> None:
    counter = Counter(Scope.BATCH, "10000001", "000001", "earn")
    sums = {weighed([(counter, Count(*numbers))]) for numbers in ((1, 2, 3), (1, 3, 2), (2, 1, 3), (3, 2, 1))}
    assert len(sums) == 4


def test_parts_of_two_names_exchanged_are_seen() -> None:
    one = [(Counter(Scope.BATCH, a, b, c), Count(1, 1, 1)) for a, b, c in ("abc", "dbf", "aef", "dec")]
    other = [(Counter(Scope.BATCH, a, b, c), Count(1, 1, 1)) for a, b, c in ("dbc", "abf", "def", "aec")]
    assert weighed(one) != weighed(other)


def test_weights_are_new_for_each_secret() -> None:
    counter = Counter(Scope.BATCH, "10000001", "000001", "earn")
    other = bytes(SECRET_BYTES)
    assert weighed([(counter, Count(1, 2, 3))]) != weighed([(counter, Count(1, 2, 3))], other)


def test_a_name_that_isn_t_text_is_refused() -> None:
    with pytest.raises(UnicodeEncodeError):
        weighed([(Counter(Scope.BATCH, "\udcff", "", ""), Count(1, 0, 0))])
