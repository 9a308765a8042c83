"""Rows of entries and members: they come back as they were, are packed in one way, every byte counts."""

from __future__ import annotations

from typing import Any, cast

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from switch.ledger import (
    NEVER,
    AccountKind,
    Basket,
    BookedLate,
    CodeSent,
    CodeSpent,
    CodeTried,
    Credential,
    Entry,
    Followed,
    Hold,
    HoldClosed,
    HoldOpened,
    Identified,
    IdentifierKind,
    Lot,
    LotKind,
    LotMove,
    LotPart,
    Member,
    MemberAdded,
    MemberStatus,
    MemberStatusSet,
    Named,
    OriginalReversed,
    PinSet,
    PinTried,
    Posting,
    Recounted,
    Side,
    SpendingDelayed,
    Transfer,
    TransferKind,
    Unit,
    Usage,
    Wallet,
)
from switch.ledger.rows import (
    ENTRY_COLUMNS,
    MEMBER_COLUMNS,
    UNREADABLE,
    EntryRow,
    entry_of,
    entry_row,
    member_of,
    member_row,
    packed_row,
    sealed,
)
from switch.ledger.seal import Sealer
from tests.ledger.book import SEAL_KEY, changed, stored

# An entry has many parts to draw: fewer of them than of other things.
few = settings(max_examples=settings().max_examples // 4)
SEALER = Sealer(SEAL_KEY)
GENESIS = bytes(32)

numbers = st.integers(0, 2**63 - 1)
signed = st.integers(-(2**62), 2**62)
texts = st.text(st.characters(codec="utf-8"), max_size=12)
blobs = st.binary(max_size=20)
units = st.sampled_from(Unit)
wallet_units = st.sampled_from([unit for unit in Unit if unit is not Unit.RIAL])
kinds = st.sampled_from(AccountKind)
days = st.integers(-400, NEVER)
lots = st.builds(Lot, numbers, texts, numbers, st.sampled_from(LotKind), signed, days, days, numbers)
moves = st.builds(LotMove, kinds, lots, signed)
parts = st.lists(st.builds(LotPart, lots, signed), max_size=2).map(tuple)


@st.composite
def transfers(draw: st.DrawFn) -> Transfer:
    unit = draw(wallet_units)
    postings: list[Posting] = []
    of_units: list[Unit] = draw(st.sampled_from([[unit], [unit, Unit.RIAL]]))
    for of_unit in of_units:
        amounts = draw(st.lists(st.integers(-(2**40), 2**40).filter(bool), min_size=1, max_size=2))
        rest = -sum(amounts)
        for amount in (*amounts, *([rest] if rest else [])):
            postings.append(Posting(draw(kinds), draw(texts), of_unit, amount))
    if len(postings) < 2:
        postings.append(Posting(AccountKind.ISSUED, "", unit, -postings[0].amount))
    assert sum(posting.amount for posting in postings) == 0
    return Transfer(
        draw(st.sampled_from(TransferKind)),
        draw(texts),
        unit,
        tuple(postings),
        tuple(draw(st.lists(moves, max_size=2))),
        draw(numbers),
        draw(numbers),
        draw(numbers),
    )


sides: st.SearchStrategy[Side] = st.one_of(
    st.builds(MemberAdded, numbers),
    st.builds(MemberStatusSet, numbers, st.sampled_from(MemberStatus)),
    st.builds(OriginalReversed, blobs),
    st.builds(PinSet, numbers, blobs, blobs),
    st.builds(PinTried, numbers, numbers),
    st.builds(CodeSent, numbers, blobs, numbers, numbers),
    st.builds(CodeTried, numbers, numbers),
    st.builds(CodeSpent, numbers),
    st.builds(
        Identified, numbers, st.sampled_from([int(kind) for kind in IdentifierKind]), st.booleans(), blobs
    ),
    st.builds(HoldOpened, numbers, numbers),
    st.builds(HoldClosed, numbers, numbers),
    st.builds(Followed, numbers, signed, signed, st.booleans()),
    st.builds(SpendingDelayed, numbers, numbers, numbers),
    st.builds(Recounted, numbers, texts, texts, texts, texts, texts, signed, signed, signed),
    st.builds(BookedLate, numbers, texts),
    st.builds(Basket, numbers, texts),
)
entries = st.builds(
    Entry,
    id=numbers,
    bucket=st.integers(0, 255),
    identity=blobs,
    fingerprint=blobs,
    operation=texts,
    terminal=texts,
    acceptor=texts,
    business_date=texts,
    decided_ms=numbers,
    member=numbers,
    previous=numbers,
    response_code=texts,
    amount=numbers,
    batch=numbers,
    answer=blobs,
    transfers=st.lists(transfers(), max_size=2).map(tuple),
    sides=st.lists(sides, max_size=2).map(tuple),
    cashier=texts,
    receipt=texts,
    key_serial=blobs,
    request_mac=blobs,
)
credentials = st.builds(Credential, blobs, numbers, blobs, numbers, numbers)
members = st.builds(
    Member,
    id=numbers,
    status=st.sampled_from(MemberStatus),
    last_entry=numbers,
    active_day=days,
    due=days,
    usage=st.builds(Usage, *[numbers] * 8),
    credential=credentials,
    wallets=st.lists(
        st.builds(Wallet, texts, wallet_units, signed, numbers, numbers, parts, parts), max_size=2
    ).map(tuple),
    holds=st.lists(st.builds(Hold, numbers, texts, wallet_units, numbers, parts), max_size=2).map(tuple),
)


@few
@given(entries, numbers)
def test_an_entry_comes_back_from_its_row(entry: Entry, sequence: int) -> None:
    row = entry_row(entry, sequence)
    assert entry_of(row) == entry
    assert len(row) == len(ENTRY_COLUMNS) - 1
    assert row[2] == sequence
    assert entry_row(entry_of(row), sequence) == row


@few
@given(members)
def test_a_member_comes_back_from_its_row(member: Member) -> None:
    row = member_row(member)
    assert member_of(row) == member
    assert len(row) == len(MEMBER_COLUMNS)
    assert member_row(member_of(row)) == row


def test_what_is_personal_is_in_no_row() -> None:
    entry = changed(ENTRY, namings=(Named(b"a keyed hash", 5, IdentifierKind.CARD, "936400******0001"),))
    assert entry_row(entry, 1) == entry_row(ENTRY, 1)
    assert entry_of(entry_row(entry, 1)) == stored(entry)


LOT = Lot(320, "A", 100_000, LotKind.PROMOTIONAL, -1, 739_880, -30, 2)
ENTRY = Entry(
    id=5,
    bucket=7,
    identity=b"identity",
    fingerprint=b"fp",
    operation="earn",
    terminal="10000001",
    acceptor="A",
    business_date="2026-09-21",
    decided_ms=9,
    member=11,
    previous=3,
    response_code="00",
    amount=250,
    batch=1,
    answer=b"answer",
    transfers=(
        Transfer(
            TransferKind.EARN,
            "vafa",
            Unit.POINTS,
            (
                Posting(AccountKind.MEMBER, "", Unit.POINTS, 25),
                Posting(AccountKind.ISSUED, "A", Unit.POINTS, -25),
            ),
            (LotMove(AccountKind.MEMBER, LOT, 25),),
            rules=2,
        ),
    ),
    sides=(OriginalReversed(b"o"), HoldOpened(11, 99)),
    cashier="07",
    receipt="r",
    key_serial=b"serial",
    request_mac=b"mac",
)
# What every version has to go on writing and reading: the seals of old ledgers are made of it.
PACKED = (
    "dc0013 05 07 01 c408" + b"identity".hex() + "c402" + b"fp".hex() + "a4" + b"earn".hex()
    + "a8" + b"10000001".hex() + "a141 aa" + b"2026-09-21".hex() + "09 0b 03 a23030 ccfa 01 c406"
    + b"answer".hex() + "c406" + b"serial".hex() + "c403" + b"mac".hex() + "c440"
    # body: transfers, sides, cashier, receipt
    + "94 91 98 01 a4" + b"vafa".hex() + "3c 92 9401a03c19 9402a1413ce7"
    + "91 9301 98cd0140a141ce000186a001ffce000b4a28e202 19 00 00 02"
    + "92 9203c4016f 930a0b63 a23037 a172"
)  # fmt: skip


def test_an_entry_is_packed_into_these_bytes() -> None:
    row = entry_row(ENTRY, 1)
    assert packed_row(row).hex() == PACKED.replace(" ", "")
    assert packed_row(entry_row(entry_of(row), 1)) == packed_row(row)


def test_what_was_packed_once_is_read_for_ever() -> None:
    row = msgspec.msgpack.decode(bytes.fromhex(PACKED), type=EntryRow)
    assert entry_of(row) == ENTRY
    assert packed_row(row) == bytes.fromhex(PACKED)


@few
@given(entries, numbers, entries, numbers)
def test_different_rows_are_packed_differently(one: Entry, first: int, other: Entry, second: int) -> None:
    rows = entry_row(one, first), entry_row(other, second)
    assert (packed_row(rows[0]) == packed_row(rows[1])) == (rows[0] == rows[1])


@few
@given(entries, st.data())
def test_a_changed_byte_of_a_row_changes_the_seal(entry: Entry, data: st.DataObject) -> None:
    packed = packed_row(entry_row(entry, 1))
    place = data.draw(st.integers(0, len(packed) - 1))
    flipped = bytearray(packed)
    flipped[place] ^= data.draw(st.integers(1, 255))
    seal = SEALER.entry(GENESIS, packed)
    assert SEALER.entry(GENESIS, bytes(flipped)) != seal
    assert SEALER.entry(b"\1" + GENESIS[1:], packed) != seal


@pytest.mark.parametrize("column", range(len(ENTRY_COLUMNS) - 1), ids=ENTRY_COLUMNS[:-1])
def test_every_column_is_sealed(column: int) -> None:
    row: list[Any] = list(entry_row(ENTRY, 1))
    value = row[column]
    row[column] = value + 1 if isinstance(value, int) else value[:-1]
    assert SEALER.entry(GENESIS, packed_row(tuple(row))) != SEALER.entry(
        GENESIS, packed_row(entry_row(ENTRY, 1))
    )


@few
@given(st.lists(st.tuples(entries, st.integers(0, 3)), max_size=3))
def test_a_batch_is_sealed_as_one_chain_a_bucket(batch: list[tuple[Entry, int]]) -> None:
    in_order = [changed(entry, bucket=bucket) for entry, bucket in batch]
    heads = {bucket: (10 * bucket, bytes([bucket]) * 32, bucket) for bucket in range(4)}
    rows, ends, _ = sealed(in_order, heads, SEALER)
    chains = dict(heads)
    for entry, row in zip(in_order, rows, strict=True):
        sequence, previous, count = chains[entry.bucket]
        expected = entry_row(entry, sequence + 1)
        seal = SEALER.entry(previous, packed_row(expected))
        assert row == (*expected, seal)
        added = sum(isinstance(side, MemberAdded) for side in entry.sides)
        chains[entry.bucket] = sequence + 1, seal, count + added
    assert {**heads, **ends} == chains


def test_the_highest_counter_of_each_initial_key_is_marked() -> None:
    serials = [b"initial1" + bytes([0, 0, 1, counter]) for counter in (5, 9, 7)]
    serials += [b"initial2" + bytes([0, 0, 0, 3]), b""]
    batch = [changed(ENTRY, key_serial=serial) for serial in serials]
    assert sealed(batch, {7: (0, GENESIS, 0)}, SEALER).marks == {b"initial1": 265, b"initial2": 3}


@pytest.mark.parametrize(
    ("column", "value"),
    [
        (18, b""),
        (18, b"\x90"),
        (18, b"\x92\x91\x01\x90"),
        (18, entry_row(ENTRY, 1)[18][:-1]),
        (18, entry_row(ENTRY, 1)[18].replace(b"\x3c\x19", b"\x3c\x18", 1)),  # no longer balanced
        (18, entry_row(ENTRY, 1)[18].replace(b"\x01\xa4vafa", b"\x63\xa4vafa")),  # a kind that there isn't
    ],
    ids=["empty", "no transfers", "no transfer", "cut", "unbalanced", "kind"],
)
def test_a_row_that_nobody_wrote_so_is_not_read(column: int, value: bytes) -> None:
    row: list[object] = list(entry_row(ENTRY, 1))
    row[column] = value
    with pytest.raises(UNREADABLE):
        entry_of(cast(EntryRow, tuple(row)))


def test_secrets_are_in_no_repr() -> None:
    secret = b"s3cret-s3cret-16"
    for value in (
        PinSet(1, secret, secret),
        CodeSent(1, secret, 5, 0),
        Credential(secret, 1, secret),
        Named(secret, 1, IdentifierKind.CARD, "936400******0001", secret),
        changed(ENTRY, sides=(PinSet(1, secret),), namings=(Named(secret, 1, IdentifierKind.CARD, ""),)),
    ):
        assert "s3cret" not in repr(value)


def row_types(row: EntryRow) -> list[type]:
    return [type(value) for value in row]


@few
@given(entries)
def test_rows_hold_plain_values_only(entry: Entry) -> None:
    assert set(row_types(entry_row(entry, 1))) <= {int, str, bytes}
