"""Holds what the terminals printed against what the ledger holds. Pure but for reading the ledger's file.

Every difference is a sentence; an empty list means that both tell the same story.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from switch.authorizer.identity import parse_rrn
from switch.ledger.model import AccountKind, TransferKind
from switch.ledger.sqlite import open_connection

APPROVED = "00"
REVERSAL_CLASS = "4"


class Outcome(NamedTuple):
    """A transaction as its terminal knows it, from the printed receipt. Points and balance as printed."""

    terminal: str
    flow: str
    stan: str
    rrn: str
    points: int
    balance: int


class Undone(NamedTuple):
    """A request that its terminal reversed, or that was declined: it must have had no effect."""

    terminal: str
    stan: str


@dataclass(slots=True)
class Row:
    """An entry of the ledger. points: what it gave the member (signed); balance: the member's after it."""

    id: int
    bucket: int
    terminal: str
    mti_class: str
    stan: str
    member: int
    response_code: str
    is_reversed: bool
    points: int = 0
    balance: int = 0
    kinds: list[TransferKind] = field(default_factory=list)
    reverses: list[int] = field(default_factory=list)

    def __str__(self) -> str:
        return f"entry {self.id} (terminal {self.terminal}, class {self.mti_class}, STAN {self.stan})"


class Books(NamedTuple):
    """The whole ledger, and the balance it keeps for each member."""

    rows: dict[int, Row]
    balances: dict[int, int]


def read_books(path: Path) -> Books:
    """Read a ledger file that no switch is writing to."""
    connection = open_connection(path, read_only=True)
    try:
        originals = {bytes(original) for (original,) in connection.execute("SELECT original FROM reversed")}
        rows: dict[int, Row] = {}
        for entry, bucket, identity, terminal, member, code in connection.execute(
            "SELECT id, bucket, identity, terminal, member, response_code FROM entry ORDER BY id"
        ):
            mti_class, stan = chr(identity[7]), bytes(identity[16:19]).hex()
            is_reversed = bytes(identity) in originals
            rows[entry] = Row(entry, bucket, terminal, mti_class, stan, member, code, is_reversed)
        for entry, kind, reverses in connection.execute("SELECT entry, kind, reverses FROM transfer"):
            rows[entry].kinds.append(TransferKind(kind))
            rows[entry].reverses.append(reverses)
        members: defaultdict[int, int] = defaultdict(int)
        of_members = "SELECT entry, holder, amount FROM posting WHERE kind = ? ORDER BY entry"
        moved: defaultdict[int, int] = defaultdict(int)
        for entry, holder, amount in connection.execute(of_members, (AccountKind.MEMBER,)):
            assert int(holder) == rows[entry].member, "an entry posts to its own member"
            moved[entry] += amount
        for row in rows.values():
            row.points = moved[row.id]
            members[row.member] += row.points
            row.balance = members[row.member]
        kept = connection.execute("SELECT holder, balance FROM account WHERE kind = ?", (AccountKind.MEMBER,))
        return Books(rows, {int(holder): balance for holder, balance in kept})
    finally:
        connection.close()


def differences(books: Books, outcomes: Sequence[Outcome], undone: Iterable[Undone]) -> list[str]:
    """What the ledger and the terminals do not agree on. A receipt printed twice counts once."""
    return [
        *_receipts_without_entry(books, outcomes),
        *_entries_without_receipt(books, outcomes),
        *_effects_of_undone(books, undone),
        *_wrong_balances(books, outcomes),
    ]


def _receipts_without_entry(books: Books, outcomes: Sequence[Outcome]) -> list[str]:
    found = []
    for outcome in outcomes:
        name = f"receipt {outcome.rrn} of terminal {outcome.terminal} ({outcome.flow})"
        bucket, entry = parse_rrn(outcome.rrn)
        row = books.rows.get(entry)
        if row is None:
            found.append(f"{name} is not in the ledger")
            continue
        if (row.bucket, row.terminal, row.stan) != (bucket, outcome.terminal, outcome.stan):
            found.append(f"{name} is {row} in the ledger")
        if row.response_code != APPROVED:
            found.append(f"{name} was answered {row.response_code} in the ledger")
        if row.is_reversed:
            found.append(f"{name} is reversed in the ledger")
        if abs(row.points) != outcome.points:
            found.append(f"{name} says {outcome.points} points, the ledger {row.points}")
        if max(0, row.balance) != outcome.balance:
            found.append(f"{name} says balance {outcome.balance}, the ledger {row.balance}")
    return found


def _entries_without_receipt(books: Books, outcomes: Sequence[Outcome]) -> list[str]:
    known = {parse_rrn(outcome.rrn)[1] for outcome in outcomes}
    found = []
    for row in books.rows.values():
        if row.response_code != APPROVED:
            if row.points or row.kinds:
                found.append(f"{row} was declined ({row.response_code}) and moved {row.points} points")
        elif row.mti_class != REVERSAL_CLASS and not row.is_reversed and row.id not in known:
            found.append(f"{row} stands in the ledger and no terminal has its receipt")
    return found


def _effects_of_undone(books: Books, undone: Iterable[Undone]) -> list[str]:
    by_name: defaultdict[tuple[str, str], list[Row]] = defaultdict(list)
    taken_back: defaultdict[int, int] = defaultdict(int)
    for row in books.rows.values():
        by_name[row.terminal, row.stan].append(row)
        for original in set(row.reverses):
            taken_back[original] += row.points
    found = []
    for request in undone:
        for row in by_name[request.terminal, request.stan]:
            if row.points + taken_back[row.id]:
                found.append(
                    f"{row} was undone by its terminal and keeps {row.points + taken_back[row.id]} points"
                )
            if row.response_code == APPROVED and row.mti_class != REVERSAL_CLASS and not row.is_reversed:
                found.append(f"{row} was undone by its terminal and stands in the ledger")
    return found


def _wrong_balances(books: Books, outcomes: Sequence[Outcome]) -> list[str]:
    expected: defaultdict[int, int] = defaultdict(int)
    for entry in {parse_rrn(outcome.rrn)[1] for outcome in outcomes}:
        if (row := books.rows.get(entry)) is not None:
            expected[row.member] += row.points
    return [
        f"member {member} has {books.balances.get(member, 0)} points, its receipts make {expected[member]}"
        for member in sorted(books.balances.keys() | expected.keys())
        if books.balances.get(member, 0) != expected[member]
    ]
