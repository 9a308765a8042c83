"""Batches of terminals: what a batch still takes, what closes it, and the upload of one whose totals differ.

Pure. The ledger's own totals come from its counters, so they are what is booked and nothing else. Nothing is
ever booked because a terminal's totals or items say so: differences are kept, people settle them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from switch.authorizer.identity import rrn_of
from switch.authorizer.outcome import (
    APPROVED,
    INVALID_TRANSACTION,
    NO_ORIGINAL,
    REASON_BATCH_CLOSED,
    Outcome,
    refused,
)
from switch.authorizer.request import OUTSIDE_BATCHES, Request
from switch.iso8583 import Dialect
from switch.ledger import (
    BatchClosed,
    BatchTotal,
    Count,
    Counter,
    Entry,
    ItemUploaded,
    Scope,
    State,
    UploadEnded,
)
from switch.ledger.book import REVERSED
from switch.ledger.counting import units_moved

NOT_AS_HERE = "95"  # ISO 8583:1987: reconcile error

REASON_BATCHES_CLOSED = "0206"
REASON_UPLOAD_FIRST = "0207"
REASON_NO_UPLOAD = "0208"

CLOSE, UPLOAD, TRAILER = "batch_close", "batch_upload", "batch_trailer"
OF_BATCHES = frozenset({CLOSE, UPLOAD, TRAILER})
TOTALS_FIELD = 63
_SUFFIX = "_total"  # of the tags of DE 63, after the operation's name
# Digits of a tag of DE 63: how many, rial, units.
ENTRIES_DIGITS, AMOUNT_DIGITS, UNITS_DIGITS = 6, 16, 16
# A reversal that comes after its original's batch was closed is in no batch of its terminal, only in the
# totals of the day it is booked on.
AFTER_CLOSE = OUTSIDE_BATCHES

# How an uploaded item compares, with its response code and reason.
EQUAL = "equal"
FINDINGS: Mapping[str, tuple[str, str]] = {
    EQUAL: (APPROVED, ""),
    "unknown": (NO_ORIGINAL, "0401"),
    "other_batch": (NOT_AS_HERE, "0402"),
    "declined": (NOT_AS_HERE, "0403"),
    "reversed": (NOT_AS_HERE, "0404"),
    "other_values": (NOT_AS_HERE, "0405"),
}


class Totals:
    """The table of what is totalled: the tags of DE 63 in the dictionary, named after operations."""

    def __init__(self, dialect: Dialect) -> None:
        field = dialect.dictionary.fields.get(TOTALS_FIELD)
        tags = {} if field is None else field.tags
        self._operations = {tag: tags[tag].name.removesuffix(_SUFFIX) for tag in sorted(tags)}
        self._tags = {operation: tag for tag, operation in self._operations.items()}

    @property
    def operations(self) -> tuple[str, ...]:
        """The operations that a batch takes, all of them totalled."""
        return tuple(self._tags)

    def read(self, tags: Mapping[str, object]) -> tuple[BatchTotal, ...]:
        """A terminal's totals without those that are nothing, in the table's order. What the table doesn't
        name stays under its tag: then the batch differs."""
        found = []
        for tag, value in sorted(tags.items()):
            operation = self._operations.get(tag)
            if operation is None or not isinstance(value, str):
                found.append(BatchTotal(f"tag {tag}", 0, 0, 0))
                continue
            entries, rest = value[:ENTRIES_DIGITS], value[ENTRIES_DIGITS:]
            total = BatchTotal(operation, int(entries), int(rest[:AMOUNT_DIGITS]), int(rest[AMOUNT_DIGITS:]))
            if any((total.entries, total.amount, total.units)):
                found.append(total)
        return tuple(found)

    def written(self, totals: Iterable[BatchTotal]) -> dict[str, str]:
        """Totals as tags of DE 63."""
        return {
            self._tags[total.operation]: f"{total.entries:0{ENTRIES_DIGITS}d}"
            f"{total.amount:0{AMOUNT_DIGITS}d}{total.units:0{UNITS_DIGITS}d}"
            for total in totals
        }

    def counters(self, terminal: str, batch: int) -> list[Counter]:
        """What `booked` adds up."""
        period = f"{batch:06d}"
        return [
            Counter(Scope.BATCH, terminal, period, operation + taken_back)
            for operation in self._tags
            for taken_back in ("", REVERSED)
        ]

    def booked(self, state: State, terminal: str, batch: int) -> tuple[BatchTotal, ...]:
        """The ledger's totals of a batch, without those that are nothing. Raises NotLoaded."""
        found = []
        for operation in self._tags:
            count = _counted(state, terminal, batch, operation)
            back = _counted(state, terminal, batch, operation + REVERSED)
            total = BatchTotal(
                operation, count.entries - back.entries, count.amount - back.amount, count.units - back.units
            )
            assert min(total.entries, total.amount, total.units) >= 0, "a batch's reversals are of its own"
            if any((total.entries, total.amount, total.units)):
                found.append(total)
        return tuple(found)


def _counted(state: State, terminal: str, batch: int, operation: str) -> Count:
    return state.counter(Counter(Scope.BATCH, terminal, f"{batch:06d}", operation))


# ---------------------------------------------------------------- what a batch takes


def refused_by_batch(state: State, request: Request) -> Outcome | None:
    """The decline of a request for a batch that is closed, or that never was one (0). Raises NotLoaded."""
    last = state.last_batch(request.terminal).number
    if request.batch > last:
        return None
    if request.operation == "void":
        return refused(INVALID_TRANSACTION, REASON_BATCH_CLOSED)
    return _told(REASON_BATCHES_CLOSED, last)


def batch_of_reversal(state: State, terminal: str, batch: int) -> int:
    """What a reversal of an item of this batch counts in. Raises NotLoaded."""
    return AFTER_CLOSE if batch and batch <= state.last_batch(terminal).number else batch


def _told(reason: str, number: int) -> Outcome:
    return Outcome(INVALID_TRANSACTION, {"04": reason, "05": f"{number:012d}"})


# ---------------------------------------------------------------- closing one


def settle(state: State, request: Request, totals: Totals) -> Outcome:
    """Decide a close, an uploaded item or a trailer. Raises NotLoaded."""
    if request.operation == CLOSE:
        return _close(state, request, totals)
    last = state.last_batch(request.terminal)
    if last.number != request.batch or not last.differs:
        return refused(INVALID_TRANSACTION, REASON_NO_UPLOAD)
    if request.operation == UPLOAD:
        return refused(INVALID_TRANSACTION, REASON_NO_UPLOAD) if last.ended else _uploaded(state, request)
    ended = () if last.ended else (UploadEnded(request.terminal, last.number, last.entry),)
    return Outcome(APPROVED, {}, sides=ended)


def _close(state: State, request: Request, totals: Totals) -> Outcome:
    terminal, batch = request.terminal, request.batch
    last = state.last_batch(terminal)
    awaits_upload = last.differs and not last.ended
    if batch > last.number:
        if awaits_upload:
            return _told(REASON_UPLOAD_FIRST, last.number)
    elif not batch or batch < last.number or last.ended:
        return _told(REASON_BATCHES_CLOSED, last.number)
    claimed, booked = totals.read(request.totals), totals.booked(state, terminal, batch)
    differs = claimed != booked
    if batch == last.number and not awaits_upload:  # agreed on before
        return _told(REASON_BATCHES_CLOSED, batch) if differs else Outcome(APPROVED, {})
    closed = BatchClosed(terminal, batch, differs, claimed, booked)
    if differs:
        return Outcome(NOT_AS_HERE, {}, sides=(closed,), totals=totals.written(booked))
    return Outcome(APPROVED, {}, sides=(closed,))


def _uploaded(state: State, request: Request) -> Outcome:
    finding = _finding(state, request, state.entry_of_any_owner(request.original))
    code, reason = FINDINGS[finding]
    item = ItemUploaded(
        terminal=request.terminal,
        batch=request.batch,
        original=request.original,
        finding=finding,
        operation=request.original_operation or "",
        amount=request.amount,
        units=request.points,
        rrn=request.follows,
    )
    return refused(code, reason, (item,))


def _finding(state: State, request: Request, entry: Entry | None) -> str:
    """How an uploaded item compares with what the ledger has. Points and the reference number count when
    they are told."""
    if entry is None:
        return "unknown"
    if entry.response_code != APPROVED:
        return "declined"
    if state.is_reversed_by_any_owner(entry.identity):
        return "reversed"
    if entry.batch != request.batch:
        return "other_batch"
    same = entry.operation == request.original_operation and entry.amount == request.amount
    if request.tells_points:
        same = same and units_moved(entry) == request.points
    if request.follows:
        same = same and rrn_of(entry.bucket, entry.id) == request.follows
    if request.identifier:
        same = same and state.member_of(request.identifier) == entry.member
    return EQUAL if same else "other_values"
