"""The seals: HMAC-SHA-256 over what is stored, and no two rows share one."""

from __future__ import annotations

import hmac
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from switch.ledger.seal import SHORTEST_KEY_BYTES, Sealer

KEY = bytes(range(32))
keys = st.binary(min_size=SHORTEST_KEY_BYTES, max_size=200)


@given(keys, st.binary(max_size=500))
def test_a_seal_is_hmac_sha256(key: bytes, data: bytes) -> None:
    assert Sealer(key).seal(data) == hmac.digest(key, data, "sha256")


@given(keys, st.binary(min_size=32, max_size=32), st.binary(max_size=500))
def test_an_entrys_seal_is_over_the_one_before_and_its_row(
    key: bytes, previous: bytes, packed: bytes
) -> None:
    assert Sealer(key).entry(previous, packed) == hmac.digest(key, previous + packed, "sha256")


def test_a_short_key_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 32 bytes, this one 31"):
        Sealer(bytes(31))


def test_row_seals_tell_table_type_and_column_apart() -> None:
    rows: list[tuple[str, Sequence[int | str | bytes]]] = [
        ("meta", ("a", "b")),
        ("met", ("aa", "b")),
        ("owner", ("a", "b")),
        ("meta", ("ab", "")),
        ("meta", ("ab",)),
        ("meta", (1, "b")),
        ("meta", ("1", "b")),
        ("meta", (b"1", "b")),
        ("meta", (11,)),
        ("meta", (1, 1)),
    ]
    sealer = Sealer(KEY)
    assert len({sealer.row(table, values) for table, values in rows}) == len(rows)
    assert sealer.genesis("ledger", 1) != sealer.genesis("ledger", 2) != sealer.genesis("other", 2)
