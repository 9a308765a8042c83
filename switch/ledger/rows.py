"""Entries and members as the rows that engines store, and back; the same for every engine.

An entry's transfers and sides are packed (MessagePack, arrays) into one column: one row an entry is what
makes a commit fast, and the packed bytes are what is sealed. The formats never change: old seals could not be
verified. New values go to the end of an array, with a default.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, get_args

import msgspec

from switch.ledger.model import (
    Credential,
    Entry,
    Hold,
    Member,
    MemberAdded,
    MemberStatus,
    Side,
    Transfer,
    Usage,
    Wallet,
)
from switch.ledger.seal import Sealer

ENTRY_COLUMNS = (
    "id",
    "bucket",
    "sequence",
    "identity",
    "fingerprint",
    "operation",
    "terminal",
    "acceptor",
    "business_date",
    "decided_ms",
    "member",
    "previous",
    "response_code",
    "amount",
    "batch",
    "answer",
    "key_serial",
    "request_mac",
    "body",
    "seal",
)
EntryRow = tuple[
    int, int, int, bytes, bytes, str, str, str, str, int, int, int, str, int, int, bytes, bytes, bytes, bytes
]
"""The values of `ENTRY_COLUMNS` without the seal."""
INITIAL_KEY_BYTES = 8  # of a key serial: BDK id and derivation id; the counter follows
MEMBER_COLUMNS = ("id", "status", "last_entry", "active_day", "due", "body")
MemberRow = tuple[int, int, int, int, int, bytes]


class _EntryBody(msgspec.Struct, array_like=True, frozen=True, gc=False):
    transfers: tuple[Transfer, ...]
    sides: tuple[Side, ...]
    cashier: str = ""
    receipt: str = ""


class _MemberBody(msgspec.Struct, array_like=True, frozen=True, gc=False):
    wallets: tuple[Wallet, ...]
    holds: tuple[Hold, ...]
    usage: Usage
    credential: Credential


_pack = msgspec.msgpack.Encoder().encode
_entry_body = msgspec.msgpack.Decoder(_EntryBody).decode
_member_body = msgspec.msgpack.Decoder(_MemberBody).decode
# What reading an edited row raises.
UNREADABLE = (msgspec.MsgspecError, AssertionError, ValueError, TypeError)


Chain = tuple[int, bytes, int]
"""As `engine.Head`: entries so far, the last one's seal, members so far."""


class Sealed(NamedTuple):
    """A batch's entries as rows of all `ENTRY_COLUMNS`, the ends of the chains they belong to, by bucket, and
    the highest counter of each initial key among them."""

    rows: list[tuple[object, ...]]
    heads: dict[int, Chain]
    marks: dict[bytes, int]


def sealed(entries: Sequence[Entry], heads: Sequence[Chain] | Mapping[int, Chain], sealer: Sealer) -> Sealed:
    """Rows of a batch, sealed after `heads`. The hottest Python of a commit."""
    rows: list[tuple[object, ...]] = []
    ends: dict[int, Chain] = {}
    marks: dict[bytes, int] = {}
    seal_entry, pack = sealer.entry, _pack
    for entry in entries:
        bucket = entry.bucket
        sequence, previous, members = ends[bucket] if bucket in ends else heads[bucket]
        sequence += 1
        row = entry_row(entry, sequence)
        seal = seal_entry(previous, pack(row))
        rows.append((*row, seal))
        if entry.sides:
            members += sum([type(side) is MemberAdded for side in entry.sides])
        ends[bucket] = (sequence, seal, members)
        serial = entry.key_serial
        if serial:
            initial_key = serial[:INITIAL_KEY_BYTES]
            counter = int.from_bytes(serial[INITIAL_KEY_BYTES:], "big")
            if counter > marks.get(initial_key, 0):
                marks[initial_key] = counter
    return Sealed(rows, ends, marks)


def entry_row(entry: Entry, sequence: int) -> EntryRow:
    """The row of an entry, the `sequence`th of its bucket (from 1)."""
    return (
        entry.id,
        entry.bucket,
        sequence,
        entry.identity,
        entry.fingerprint,
        entry.operation,
        entry.terminal,
        entry.acceptor,
        entry.business_date,
        entry.decided_ms,
        entry.member,
        entry.previous,
        entry.response_code,
        entry.amount,
        entry.batch,
        entry.answer,
        entry.key_serial,
        entry.request_mac,
        # As an `_EntryBody` is packed, and a `_MemberBody` below.
        _pack((entry.transfers, entry.sides, entry.cashier, entry.receipt)),
    )


def entry_of(row: EntryRow) -> Entry:
    """The entry of a row, without its namings. Raises one of UNREADABLE for a row that nobody wrote so."""
    body = _entry_body(row[18])
    # By place: half the time of names, and verification does it ten million times.
    return Entry(
        row[0],
        row[1],
        row[3],
        row[4],
        row[5],
        row[6],
        row[7],
        row[8],
        row[9],
        row[10],
        row[11],
        row[12],
        row[13],
        row[14],
        row[15],
        body.transfers,
        body.sides,
        body.cashier,
        body.receipt,
        row[16],
        row[17],
    )


def check_types(row: tuple[object, ...]) -> None:
    """Raises TypeError for a row with a value of a type that no ledger stores (SQLite keeps any anywhere)."""
    if tuple(map(type, row)) != get_args(EntryRow):
        raise TypeError("a value of a type that no ledger stores")


def packed_row(row: EntryRow) -> bytes:
    """A row's bytes for its seal: the MessagePack array of its values."""
    return _pack(row)


def member_row(member: Member) -> MemberRow:
    """The row of a member."""
    return (
        member.id,
        member.status,
        member.last_entry,
        member.active_day,
        member.due,
        _pack((member.wallets, member.holds, member.usage, member.credential)),
    )


def member_of(row: MemberRow) -> Member:
    """The member of a row. Raises one of UNREADABLE for a row that nobody wrote so."""
    body = _member_body(row[5])
    return Member(
        id=row[0],
        status=MemberStatus(row[1]),
        last_entry=row[2],
        active_day=row[3],
        due=row[4],
        usage=body.usage,
        credential=body.credential,
        wallets=body.wallets,
        holds=body.holds,
    )
