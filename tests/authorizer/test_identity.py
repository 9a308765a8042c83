"""Identities, dates and reference numbers."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from switch.authorizer.identity import (
    IDENTITY_BYTES,
    bucket_of_identifier,
    card_identifier,
    dated,
    fingerprint_of,
    identity_of,
    parse_rrn,
    rrn_of,
    within_horizon,
)


@pytest.mark.parametrize(
    ("local_date", "business_date", "expected"),
    [
        ("1231", date(2027, 1, 1), date(2026, 12, 31)),
        ("0101", date(2026, 12, 31), date(2027, 1, 1)),
        ("0615", date(2026, 6, 16), date(2026, 6, 15)),
        ("0229", date(2028, 3, 1), date(2028, 2, 29)),
        ("0229", date(2027, 3, 1), date(2028, 2, 29)),
    ],
)
def test_the_year_is_the_nearest(local_date: str, business_date: date, expected: date) -> None:
    assert dated(local_date, business_date) == expected


@given(st.dates(date(2024, 1, 2), date(2090, 12, 30)), st.integers(-180, 180))
def test_every_date_near_the_business_date_gets_its_own_year(business_date: date, days: int) -> None:
    day = date.fromordinal(business_date.toordinal() + days)
    assert dated(day.strftime("%m%d"), business_date) == day


@pytest.mark.parametrize("local_date", ["0000", "1301", "0230", "0431"])
def test_no_date(local_date: str) -> None:
    with pytest.raises(ValueError, match=local_date):
        dated(local_date, date(2026, 1, 1))


def test_the_horizon_ends_on_both_sides() -> None:
    today = date(2026, 3, 10)
    assert [within_horizon(date(2026, 3, day), today, 7) for day in (2, 3, 11, 12)] == [
        False,
        True,
        True,
        False,
    ]


def test_identities_sort_by_time_and_tell_class_terminal_and_stan_apart() -> None:
    parts = (date(2026, 3, 10), "101112", "2", "10000001", "000001")
    first = identity_of(*parts)
    assert len(first) == IDENTITY_BYTES
    later = identity_of(date(2026, 3, 10), "101113", "1", "00000000", "000000")
    assert first < later
    others = [
        identity_of(date(2026, 3, 10), "101112", "4", "10000001", "000001"),
        identity_of(date(2026, 3, 10), "101112", "2", "10000002", "000001"),
        identity_of(date(2026, 3, 10), "101112", "2", "10000001", "000002"),
    ]
    assert len({first, later, *others}) == 5


@given(st.integers(0, 255), st.integers(0, 2**51 - 1))
def test_an_rrn_gives_back_bucket_and_entry(bucket: int, entry: int) -> None:
    rrn = rrn_of(bucket, entry)
    assert len(rrn) == 12
    assert rrn.isascii()
    assert rrn.isalnum()
    assert parse_rrn(rrn) == (bucket, entry)


@pytest.mark.parametrize("rrn", ["", "00", "0000000000000", "00000000000-", "۰۰۰۰۰۰۰۰۰۰۰۰", "ZZ0000000000"])
def test_what_is_no_rrn(rrn: str) -> None:
    with pytest.raises(ValueError):
        parse_rrn(rrn)


def test_a_repeat_has_the_fingerprint_of_its_first_sending() -> None:
    assert fingerprint_of(b"\x02\x20abc", b"k") == fingerprint_of(b"\x02\x21abc", b"k")
    assert fingerprint_of(b"\x02\x20abc", b"k") != fingerprint_of(b"\x02\x00abc", b"k")
    assert fingerprint_of(b"\x02\x20abc", b"k") != fingerprint_of(b"\x02\x20abd", b"k")


def test_fingerprint_and_card_hash_are_keyed() -> None:
    assert fingerprint_of(b"\x02\x20abc", b"k") != fingerprint_of(b"\x02\x20abc", b"l")
    assert card_identifier("9364000000000001", b"k") != card_identifier("9364000000000001", b"l")


@given(st.binary(min_size=16, max_size=16))
def test_a_bucket_is_one_of_256(identifier: bytes) -> None:
    assert 0 <= bucket_of_identifier(identifier) < 256
