"""Closed batches as the ledger tells of them, and what is to be settled by people where totals differed.

Reads a snapshot (`switch.ledger.reading`), changes nothing, decides nothing: a difference stays on the list
for ever, as the entries that it follows from do.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from switch.ledger import (
    BatchClosed,
    BatchTotal,
    Entry,
    ItemUploaded,
    LedgerUnavailable,
    OriginalReversed,
)
from switch.ledger.book import REVERSED
from switch.ledger.counting import APPROVED, units_moved
from switch.ledger.model import BUCKETS
from switch.ledger.reading import Reading, Row, text_of
from switch.ledger.rows import ENTRY_COLUMNS, entry_of

# States of a closed batch.
AGREED, UPLOADING, DIFFERENT = "agreed", "uploading", "different"
# What an item of the work list is, beside how an uploaded one compares.
EQUAL, TWICE, NOT_UPLOADED = "equal", "twice", "not_uploaded"

_TERMINAL, _BATCH = ENTRY_COLUMNS.index("terminal"), ENTRY_COLUMNS.index("batch")


class Closed(NamedTuple):
    """A batch that its terminal (DE 41) closed. entry: which closed it; ended: which ended its upload, or
    0."""

    terminal: str
    number: int
    entry: int
    differs: bool
    ended: int

    @property
    def state(self) -> str:
        """AGREED, UPLOADING (its upload isn't ended) or DIFFERENT."""
        if not self.differs:
            return AGREED
        return DIFFERENT if self.ended else UPLOADING


class Line(NamedTuple):
    """One operation of a batch: what the terminal claims, what is booked."""

    operation: str
    claimed: BatchTotal
    booked: BatchTotal

    @property
    def agrees(self) -> bool:
        return self.claimed == self.booked


class Item(NamedTuple):
    """One item to be looked into. finding: see above. claimed: as uploaded, None when it wasn't; booked: as
    the ledger has it, None when it doesn't."""

    finding: str
    claimed: ItemUploaded | None
    booked: Entry | None


def closed_batches(reading: Reading, terminal: str = "") -> list[Closed]:
    """All closed batches, or those of one terminal, by terminal and number. Raises Damaged."""
    rows = (Closed(text_of(row[0]), row[1], row[2], bool(row[3]), row[4]) for row in reading.table("batch"))
    return [closed for closed in rows if terminal in ("", closed.terminal)]


def closed_batch(reading: Reading, terminal: str, number: int) -> Closed | None:
    """One closed batch, or None. Raises Damaged."""
    return next((one for one in closed_batches(reading, terminal) if one.number == number), None)


def lines(reading: Reading, closed: Closed) -> list[Line]:
    """The totals of a batch, operation by operation. Raises Damaged, LedgerUnavailable."""
    side = _closing(reading, closed)
    claimed = {total.operation: total for total in side.claimed}
    booked = {total.operation: total for total in side.booked}
    return [
        Line(name, claimed.get(name, _nothing(name)), booked.get(name, _nothing(name)))
        for name in dict.fromkeys((*booked, *claimed))
    ]


def differences(reading: Reading, closed: Closed) -> list[Item]:
    """What a batch that differs has on the work list: uploaded items that aren't as booked, booked ones that
    weren't uploaded. It reads all entries up to the batch's close. Raises Damaged, LedgerUnavailable."""
    if not closed.differs:
        return []
    uploaded = list(_uploaded(reading, closed))
    booked = _booked(reading, closed)
    items: list[Item] = []
    seen: set[bytes] = set()
    for item in uploaded:
        finding = TWICE if item.original in seen and item.finding == EQUAL else item.finding
        seen.add(item.original)
        if finding != EQUAL:
            items.append(Item(finding, item, booked.get(item.original)))
    return items + [Item(NOT_UPLOADED, None, entry) for key, entry in booked.items() if key not in seen]


def _nothing(operation: str) -> BatchTotal:
    return BatchTotal(operation, 0, 0, 0)


def _closing(reading: Reading, closed: Closed) -> BatchClosed:
    row = reading.entry(closed.entry)
    for side in () if row is None else _entry(row).sides:
        if isinstance(side, BatchClosed) and (side.terminal, side.batch) == (closed.terminal, closed.number):
            return side
    raise LedgerUnavailable(
        f"the entry that closed batch {closed.number} of terminal {closed.terminal} is missing;"
        " run `vafa ledger verify`"
    )


def _uploaded(reading: Reading, closed: Closed) -> Iterator[ItemUploaded]:
    """The items uploaded of a batch, in their order."""
    row = reading.entry(closed.entry)
    assert row is not None, "closing was found before"
    before = max((one.entry for one in closed_batches(reading, closed.terminal) if one < closed), default=0)
    bucket = row[ENTRY_COLUMNS.index("bucket")]
    for row in reading.entries(bucket, bucket, before):
        if closed.ended and row[0] > closed.ended:
            return
        if row[_TERMINAL] != closed.terminal:
            continue
        for side in _entry(row).sides:
            if isinstance(side, ItemUploaded) and side.batch == closed.number:
                yield side


def _booked(reading: Reading, closed: Closed) -> dict[bytes, Entry]:
    """The items of a batch when it was closed, by identity: without what was reversed before."""
    operations = {total.operation for total in _closing(reading, closed).booked}
    found: dict[bytes, Entry] = {}
    for row in reading.entries(0, BUCKETS - 1):
        if row[0] > closed.entry:
            break
        if row[_TERMINAL] != closed.terminal or row[_BATCH] != closed.number:
            continue
        entry = _entry(row)
        if entry.response_code != APPROVED:
            continue
        if entry.operation in operations:
            found[entry.identity] = entry
        elif entry.operation.endswith(REVERSED):
            for side in entry.sides:
                if isinstance(side, OriginalReversed):
                    found.pop(side.original, None)
    return found


def _entry(row: Row) -> Entry:
    return entry_of(row[:-1])


def points_of(entry: Entry) -> int:
    """Points that an item counts with."""
    return units_moved(entry)
