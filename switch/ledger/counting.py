"""What entries are counted by: totals of a terminal's batch, of terminals, acceptors and cashiers a day, and
till receipts. Pure; all of it can be counted again from the entries."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from enum import IntEnum
from functools import lru_cache
from typing import NamedTuple, Protocol, TypeVar

from switch.ledger.model import (
    OF_MEMBER,
    AccountKind,
    BackBefore,
    BookedLate,
    Entry,
    Recounted,
    Side,
    Transfer,
    TransferKind,
)
from terminal.text import jalali

APPROVED = "00"
COUNTERS_KEPT = 8_192  # names of what terminals of a busy hour count in, about 8 MB
# An enum's member costs as much as a call.
_HELD, _REDEEMED, _REVERSAL = AccountKind.HELD, AccountKind.REDEEMED, TransferKind.REVERSAL

Key = TypeVar("Key")


class Scope(IntEnum):
    """What a counter counts over. holder and period: BATCH terminal and batch number, TERMINAL, ACCEPTOR,
    CASHIER (acceptor and cashier) and business date, RECEIPT acceptor and receipt number. RECOUNTED_…: the
    same holders; what limits count otherwise since, of a business date or of a month (see `month_period`)."""

    BATCH = 1
    TERMINAL = 2
    ACCEPTOR = 3
    CASHIER = 4
    RECEIPT = 5
    RECOUNTED_TERMINAL = 6
    RECOUNTED_ACCEPTOR = 7
    RECOUNTED_CASHIER = 8


DAILY = frozenset({Scope.TERMINAL, Scope.ACCEPTOR, Scope.CASHIER})  # of a business date each


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
# What follows the operation in a counter of what was recounted: whole ones that limits count no more, or
# again; parts of one.
BACK, AGAIN, PART = ".back", ".again", ".part"
LATE = ".late"  # and in one of those that were booked late, beside that of all


class Moving(Protocol):
    """What has transfers: an entry, or the outcome that one is made of."""

    @property
    def transfers(self) -> tuple[Transfer, ...]: ...

    @property
    def sides(self) -> tuple[Side, ...]: ...


def units_moved(entry: Moving) -> int:
    """What the member's accounts gained or lost by what was asked for, without its sign: the entry's first
    transfer. Of a sale that spends and earns (and of what undoes it, the other way round) what was spent."""
    transfers = entry.transfers
    if not transfers and not entry.sides:
        return 0
    asked = transfers[0] if transfers else None
    if asked is None or asked.kind is _REVERSAL:
        told = next((side.units for side in entry.sides if isinstance(side, BackBefore)), None)
        if told is not None or asked is None:
            return told or 0
    if len(transfers) > 1 and not _spends(asked):
        asked = next((transfer for transfer in transfers if _spends(transfer)), asked)
    moved = inside = 0
    for posting in asked.postings:
        if posting.kind in OF_MEMBER:
            moved += posting.amount
            if posting.kind is _HELD:
                inside = posting.amount
    return abs(moved or inside)


def _spends(transfer: Transfer) -> bool:
    return any(posting.kind is _REDEEMED for posting in transfer.postings)


class Tally:
    """What entries change in counters, added up: of approved requests of a terminal that move something, or
    would (an earn too small for a point counts). Most entries share their counters."""

    def __init__(self) -> None:
        self._shared: dict[tuple[str, str, str, str, int, str], list[int]] = {}
        self._receipts: dict[tuple[str, str, str], list[int]] = {}
        self._beside: dict[Counter, list[int]] = {}

    def add(self, entry: Entry, units: int | None = None) -> None:
        """Count an entry. units: what `units_moved` says of it, from who has asked."""
        if units is None:
            units = units_moved(entry)
        for side in entry.sides:
            if type(side) is Recounted:
                for counter, count in _recounted(side):
                    _add(self._beside, counter, count.amount, count.units)
            elif type(side) is BookedLate:
                for counter in _counters_of_late(entry):
                    _add(self._beside, counter, entry.amount, units)
        if entry.response_code != APPROVED or not entry.batch:
            return
        shared = (
            entry.operation,
            entry.terminal,
            entry.acceptor,
            entry.business_date,
            entry.batch,
            entry.cashier,
        )
        _add(self._shared, shared, entry.amount, units)
        if entry.receipt:
            _add(self._receipts, (entry.operation, entry.acceptor, entry.receipt), entry.amount, units)

    def __len__(self) -> int:
        return len(self._shared) + len(self._receipts) + len(self._beside)

    def take(self) -> Iterator[tuple[Counter, Count]]:
        """What has been counted, some counters more than once; counting begins anew."""
        shared, self._shared = self._shared, {}
        receipts, self._receipts = self._receipts, {}
        beside, self._beside = self._beside, {}
        for counter, numbers in beside.items():
            yield counter, Count(*numbers)
        for (operation, terminal, acceptor, day, batch, cashier), numbers in shared.items():
            count = Count(*numbers)
            for counter in _counters(operation, terminal, acceptor, day, batch, cashier):
                yield counter, count
        for (operation, acceptor, receipt), numbers in receipts.items():
            yield Counter(Scope.RECEIPT, acceptor, receipt, operation), Count(*numbers)


def _add(counts: dict[Key, list[int]], key: Key, amount: int, units: int) -> None:
    numbers = counts.get(key)
    if numbers is None:
        counts[key] = [1, amount, units]
    else:
        numbers[0] += 1
        numbers[1] += amount
        numbers[2] += units


@lru_cache(maxsize=COUNTERS_KEPT)
def _counters(
    operation: str, terminal: str, acceptor: str, day: str, batch: int, cashier: str
) -> tuple[Counter, ...]:
    """The counters of an entry but its receipt's."""
    counters = [
        Counter(Scope.BATCH, terminal, f"{batch:06d}", operation),
        Counter(Scope.TERMINAL, terminal, day, operation),
        Counter(Scope.ACCEPTOR, acceptor, day, operation),
    ]
    if cashier:
        counters.append(Counter(Scope.CASHIER, f"{acceptor}/{cashier}", day, operation))
    return tuple(counters)


def _counters_of_late(entry: Entry) -> Iterator[Counter]:
    for scope, holder in ((Scope.TERMINAL, entry.terminal), (Scope.ACCEPTOR, entry.acceptor)):
        yield Counter(scope, holder, entry.business_date, entry.operation + LATE)


def _recounted(side: Recounted) -> Iterator[tuple[Counter, Count]]:
    """The counters of what is counted otherwise. Of whole ones and parts apart, so that a counter's entries
    only rise and a row of it is never worth nothing."""
    kind = {1: BACK, 0: PART, -1: AGAIN}[side.entries]
    sign = side.entries or 1
    count = Count(1, sign * side.amount, sign * side.units)
    holders = [(Scope.RECOUNTED_TERMINAL, side.terminal), (Scope.RECOUNTED_ACCEPTOR, side.acceptor)]
    if side.cashier:
        holders.append((Scope.RECOUNTED_CASHIER, f"{side.acceptor}/{side.cashier}"))
    for scope, holder in holders:
        for period in (side.day, month_period(date.fromisoformat(side.day).toordinal())):
            yield Counter(scope, holder, period, side.operation + kind), count


def month_period(day: int) -> str:
    """The period of counters of a day's month: its first day and `/month`."""
    return f"{date.fromordinal(month_start(day)).isoformat()}/month"


@lru_cache(maxsize=2048)
def month_start(day: int) -> int:
    """The first day of a day's month, as limits count: of the Jalali calendar, as all months of a program."""
    of_day = date.fromordinal(day)
    return day - int(jalali(of_day.year, of_day.month, of_day.day)[2]) + 1
