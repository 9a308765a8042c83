"""The seals: what they are made of never changes, and no two entries share them."""

from __future__ import annotations

import hmac
from collections.abc import Sequence

from hypothesis import assume, given
from hypothesis import strategies as st

from switch.ledger.seal import EntryRow, PostingRow, Sealer, SideRow, TransferRow, canonical

KEY = bytes(range(32))
UNMARKED = (b"", b"")  # as in entries from before there were marks
ENTRY: EntryRow = (
    5,
    7,
    1,
    b"identity",
    b"fp",
    "10000001",
    "1",
    "2026-09-21",
    9,
    11,
    "00",
    b"answer",
    *UNMARKED,
)
TRANSFERS: list[TransferRow] = [(5, 0, 1, 0)]
POSTINGS: list[PostingRow] = [
    (5, 0, 0, 7, 1, "11", "vafa", 60, 250),
    (5, 0, 1, 7, 2, "1", "vafa", 60, -250),
]
SIDES: list[SideRow] = [(5, 0, 3, 0, 0, b"original")]
CANONICAL = (
    "00" * 32
    + "45 0000000000000005 0007 0000000000000001 0000000000000009 000000000000000b"
    + "00000008 00000002 00000008 00000001 0000000a 00000002 00000006"
    + b"identity".hex()
    + b"fp".hex()
    + b"1000000112026-09-2100".hex()
    + b"answer".hex()
    + "54 0000000000000005 0000 0001 0000000000000000"
    + "50 0000000000000005 0000 0000 0007 0001 003c 00000000000000fa 00000002 00000004"
    + b"11vafa".hex()
    + "50 0000000000000005 0000 0001 0007 0002 003c ffffffffffffff06 00000001 00000004"
    + b"1vafa".hex()
    + "53 0000000000000005 0000 0003 0000000000000000 0000 00000008"
    + b"original".hex()
)

MARKED: EntryRow = (*ENTRY[:12], b"serial", b"mac")
MARKED_CANONICAL = (
    "00" * 32
    + "46 0000000000000005 0007 0000000000000001 0000000000000009 000000000000000b"
    + "00000008 00000002 00000008 00000001 0000000a 00000002 00000006 00000006 00000003"
    + b"identityfp1000000112026-09-2100answerserialmac".hex()
)

numbers = st.integers(-(2**63), 2**63 - 1)
small = st.integers(-(2**15), 2**15 - 1)
texts = st.text(max_size=3)
blobs = st.binary(max_size=3)
entries = st.tuples(
    numbers, small, numbers, blobs, blobs, texts, texts, texts, numbers, numbers, texts, blobs, blobs, blobs
)
transfers = st.lists(st.tuples(numbers, small, small, numbers), max_size=2)
postings = st.lists(st.tuples(numbers, small, small, small, small, texts, texts, small, numbers), max_size=2)
sides = st.lists(st.tuples(numbers, small, small, numbers, small, blobs), max_size=2)
sealed = st.tuples(st.binary(min_size=32, max_size=32), entries, transfers, postings, sides)


def test_the_canonical_bytes_are_these_for_ever() -> None:
    assert canonical(bytes(32), ENTRY, TRANSFERS, POSTINGS, SIDES) == bytes.fromhex(CANONICAL)
    assert canonical(bytes(32), MARKED, [], [], []) == bytes.fromhex(MARKED_CANONICAL)


@given(st.binary(min_size=32, max_size=200), st.binary(max_size=500))
def test_a_seal_is_hmac_sha256(key: bytes, data: bytes) -> None:
    assert Sealer(key).seal(data) == hmac.digest(key, data, "sha256")


@given(sealed, sealed)
def test_different_rows_have_different_bytes(
    one: tuple[bytes, EntryRow, list[TransferRow], list[PostingRow], list[SideRow]],
    other: tuple[bytes, EntryRow, list[TransferRow], list[PostingRow], list[SideRow]],
) -> None:
    assume(one != other)
    assert canonical(*one) != canonical(*other)


@given(texts, texts, texts)
def test_a_letter_that_moves_to_the_next_column_is_seen(one: str, moved: str, other: str) -> None:
    assume(moved)
    left = (*ENTRY[:5], one + moved, other, *ENTRY[7:])
    right = (*ENTRY[:5], one, moved + other, *ENTRY[7:])
    assert canonical(bytes(32), left, [], [], []) != canonical(bytes(32), right, [], [], [])


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
