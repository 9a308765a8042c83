"""What entries are counted by: totals of a terminal's batch, of terminals, acceptors and cashiers a day, and
till receipts. Pure; all of it can be counted again from the entries."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from switch.ledger.model import OF_MEMBER, AccountKind, Entry

APPROVED = "00"


class Scope(IntEnum):
    """What a counter counts over. holder and period: BATCH terminal and batch number, TERMINAL, ACCEPTOR,
    CASHIER (acceptor and cashier) and business date, RECEIPT acceptor and receipt number."""

    BATCH = 1
    TERMINAL = 2
    ACCEPTOR = 3
    CASHIER = 4
    RECEIPT = 5


class Counter(NamedTuple):
    """Name of a counter. operation: as in the entry."""

    scope: Scope
    holder: str
    period: str
    operation: str


class Count(NamedTuple):
    """How many entries, their rial and their units (of points, stamps, … as the operation moves)."""

    entries: int
    amount: int
    units: int

    def __add__(self, other: object) -> Count:
        assert isinstance(other, Count)
        return Count(self.entries + other.entries, self.amount + other.amount, self.units + other.units)


NOTHING = Count(0, 0, 0)


def units_moved(entry: Entry) -> int:
    """What the member's accounts gained or lost by the entry's first transfer, without its sign."""
    if not entry.transfers:
        return 0
    moved = inside = 0
    for posting in entry.transfers[0].postings:
        if posting.kind in OF_MEMBER:
            moved += posting.amount
            if posting.kind is AccountKind.HELD:
                inside = posting.amount
    return abs(moved or inside)


def counted(entry: Entry) -> tuple[tuple[Counter, Count], ...]:
    """The counters that an entry changes: of approved requests of a terminal that move something, or would
    (an earn too small for a point counts)."""
    if entry.response_code != APPROVED or not entry.batch:
        return ()
    count = Count(1, entry.amount, units_moved(entry))
    operation, day = entry.operation, entry.business_date
    counters = [
        (Counter(Scope.BATCH, entry.terminal, f"{entry.batch:06d}", operation), count),
        (Counter(Scope.TERMINAL, entry.terminal, day, operation), count),
        (Counter(Scope.ACCEPTOR, entry.acceptor, day, operation), count),
    ]
    if entry.cashier:
        holder = f"{entry.acceptor}/{entry.cashier}"
        counters.append((Counter(Scope.CASHIER, holder, day, operation), count))
    if entry.receipt:
        counters.append((Counter(Scope.RECEIPT, entry.acceptor, entry.receipt, operation), count))
    return tuple(counters)
