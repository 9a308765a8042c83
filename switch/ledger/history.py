"""What happened to one member, entry by entry, and what it had at a moment; what all entries moved, as rows.

Members are found by following `previous`, so it takes as long as the member did much, whatever the size of
the ledger. Seals are not checked here: `switch.ledger.verify` does that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta, timezone
from typing import Any, NamedTuple

from switch.ledger.book import member_after
from switch.ledger.engine import LedgerUnavailable
from switch.ledger.lots import last_day, value
from switch.ledger.model import (
    BUCKETS,
    NEVER,
    Entry,
    IdentifierKind,
    Lot,
    Member,
    Unit,
    Wallet,
)
from switch.ledger.reading import Damaged, Reading, Row, text_of
from switch.ledger.rows import ENTRY_COLUMNS, UNREADABLE, entry_of, member_of

TEHRAN = timezone(timedelta(hours=3, minutes=30))  # since 2022 without summer time
_BUSINESS_DATE = ENTRY_COLUMNS.index("business_date")


class Change(NamedTuple):
    """What an entry did to one wallet: by how much each part changed, and what it came to."""

    program: str
    unit: Unit
    balance: int
    pending: int
    held: int
    after: Wallet


class Event(NamedTuple):
    """An entry of a member, what it changed, and the member after it."""

    entry: Entry
    changes: tuple[Change, ...]
    member: Member


class FoundBy(NamedTuple):
    """What a member is found by, as people may see it."""

    kind: IdentifierKind
    masked: str


def member_of_entry(reading: Reading, entry_id: int) -> int | None:
    """The member of an entry; None when there is no such entry, 0 when it has none."""
    row = reading.entry(entry_id)
    return None if row is None else int(row[ENTRY_COLUMNS.index("member")])


def member_of_identifier(reading: Reading, identifier: bytes) -> int | None:
    """The member behind a keyed hash, or None."""
    row = reading.identified(identifier)
    return None if row is None else int(row[1])


def found_by(reading: Reading, member: int) -> list[FoundBy]:
    """Cards and mobile number of a member, masked."""
    return [FoundBy(IdentifierKind(row[2]), str(text_of(row[3]))) for row in reading.found_by(member)]


def events(reading: Reading, member: int) -> list[Event]:
    """All that happened to a member, oldest first.

    Raises LedgerUnavailable when there is no such member, or its entries contradict each other.
    """
    row = reading.member(member)
    if row is None:
        raise LedgerUnavailable(f"member {member} isn't there; check --member")
    found: list[Event] = []
    after: Member | None = None
    try:
        for entry in _entries(reading, member, row):
            before, after = after, member_after(after, entry)
            found.append(Event(entry, tuple(_changes(before, after)), after))
        agrees = after == member_of(row)
    except (*UNREADABLE, Damaged):
        agrees = False
    if not agrees:
        raise LedgerUnavailable(
            f"member {member}: its entries don't agree with what is stored of it; run `vafa ledger verify"
            f" --member {member}`"
        )
    return found


def _entries(reading: Reading, member: int, row: Row) -> list[Entry]:
    entries: list[Entry] = []
    entry_id = row[2]
    while entry_id:
        stored = reading.entry(entry_id)
        entry = None if stored is None else entry_of(stored[:-1])
        if entry is None or entry.member != member or entry.previous >= entry.id:
            raise ValueError("a link that leads nowhere")
        entries.append(entry)
        entry_id = entry.previous
    return entries[::-1]


def _changes(before: Member | None, after: Member) -> Iterator[Change]:
    for wallet in after.wallets:
        was = Wallet(wallet.program, wallet.unit)
        if before is not None:
            was = before.wallet(wallet.program, wallet.unit)
        change = Change(
            wallet.program,
            wallet.unit,
            wallet.balance - was.balance,
            wallet.pending - was.pending,
            wallet.held - was.held,
            wallet,
        )
        if change.balance or change.pending or change.held:
            yield change


def member_at(
    history: Sequence[Event], *, until_ms: int | None = None, until_date: str = ""
) -> Member | None:
    """The member after its last entry decided by a moment (milliseconds since 1970, UTC), or booked by a
    business date (YYYY-MM-DD); None when it wasn't there yet."""
    member = None
    for event in history:
        if until_ms is not None and event.entry.decided_ms > until_ms:
            break
        if until_date and event.entry.business_date > until_date:
            break
        member = event.member
    return member


# ---------------------------------------------------------------- rows for accountants and auditors

POSTINGS = (
    "entry",
    "transfer",
    "posting",
    "business_date",
    "decided",
    "operation",
    "terminal",
    "acceptor",
    "member",
    "transfer_kind",
    "program",
    "account",
    "holder",
    "unit",
    "amount",
)
TRANSFERS = (
    "entry",
    "transfer",
    "business_date",
    "decided",
    "operation",
    "response_code",
    "terminal",
    "acceptor",
    "member",
    "request_amount",
    "transfer_kind",
    "program",
    "unit",
    "amount",
    "reverses",
    "hold",
)
_LOT = ("lot", "issuer", "price", "lot_kind", "active_from", "last_day", "rules")
MOVES = (
    "entry",
    "transfer",
    "business_date",
    "member",
    "transfer_kind",
    "program",
    "unit",
    "account",
    "amount",
    *_LOT,
)
LOTS = ("member", "program", "unit", "state", "amount", "value", *_LOT)
KINDS = {"postings": POSTINGS, "transfers": TRANSFERS, "moves": MOVES, "lots": LOTS}


def exported(
    reading: Reading, kind: str, first_date: str = "", last_date: str = ""
) -> Iterator[tuple[Any, ...]]:
    """Rows of one of KINDS: of entries booked from one business date to another, oldest first; lots as they
    are now. Numbers are whole, days YYYY-MM-DD. Raises LedgerUnavailable for a row that can't be read."""
    if kind == "lots":
        yield from _lots(reading)
        return
    rows = {"postings": _postings, "transfers": _transfers, "moves": _moves}[kind]
    for row in reading.entries(0, BUCKETS - 1):
        if first_date and row[_BUSINESS_DATE] < first_date:
            continue
        if last_date and row[_BUSINESS_DATE] > last_date:
            break  # a closed day never opens again
        try:
            yield from rows(entry_of(row[:-1]))
        except UNREADABLE as error:
            raise LedgerUnavailable(
                f"entry {row[0]} can't be read ({type(error).__name__}); run `vafa ledger verify`"
            ) from None


def _postings(entry: Entry) -> Iterator[tuple[Any, ...]]:
    for number, transfer in enumerate(entry.transfers):
        for place, posting in enumerate(transfer.postings):
            yield (
                entry.id,
                number,
                place,
                entry.business_date,
                moment_text(entry.decided_ms),
                entry.operation,
                entry.terminal,
                entry.acceptor,
                entry.member,
                transfer.kind.name.lower(),
                transfer.program,
                posting.kind.name.lower(),
                posting.holder,
                posting.unit.name.lower(),
                posting.amount,
            )


def _transfers(entry: Entry) -> Iterator[tuple[Any, ...]]:
    for number, transfer in enumerate(entry.transfers):
        moved = sum(
            posting.amount
            for posting in transfer.postings
            if posting.unit is transfer.unit and posting.amount > 0
        )
        yield (
            entry.id,
            number,
            entry.business_date,
            moment_text(entry.decided_ms),
            entry.operation,
            entry.response_code,
            entry.terminal,
            entry.acceptor,
            entry.member,
            entry.amount,
            transfer.kind.name.lower(),
            transfer.program,
            transfer.unit.name.lower(),
            moved,
            transfer.reverses,
            transfer.hold,
        )


def _moves(entry: Entry) -> Iterator[tuple[Any, ...]]:
    for number, transfer in enumerate(entry.transfers):
        for move in transfer.lots:
            yield (
                entry.id,
                number,
                entry.business_date,
                entry.member,
                transfer.kind.name.lower(),
                transfer.program,
                transfer.unit.name.lower(),
                move.account.name.lower(),
                move.amount,
                *_of_lot(move.lot),
            )


def _lots(reading: Reading) -> Iterator[tuple[Any, ...]]:
    for row in reading.members(0, BUCKETS - 1):
        try:
            member = member_of(row)
        except UNREADABLE as error:
            raise LedgerUnavailable(
                f"member {row[0]} can't be read ({type(error).__name__}); run `vafa ledger verify`"
            ) from None
        parts = [
            (wallet.program, wallet.unit, state, part)
            for wallet in member.wallets
            for state, lots in (("open", wallet.lots), ("pending", wallet.waiting))
            for part in lots
        ]
        parts += [(hold.program, hold.unit, "held", part) for hold in member.holds for part in hold.lots]
        for program, unit, state, part in parts:
            worth = value(part.lot, part.amount)
            lot = _of_lot(part.lot, member.active_day)
            yield (member.id, program, unit.name.lower(), state, part.amount, worth, *lot)


def _of_lot(lot: Lot, active_day: int = 0) -> tuple[Any, ...]:
    if lot.expires > 0:
        ends = day_text(lot.expires)
    else:
        ends = day_text(last_day(lot, active_day)) if active_day else f"{-lot.expires} days after activity"
    return (
        lot.id,
        lot.issuer,
        lot.price,
        lot.kind.name.lower(),
        day_text(lot.active_from),
        ends,
        lot.rules,
    )


def day_text(day: int) -> str:
    """A day's ordinal as YYYY-MM-DD; empty for one that doesn't come."""
    return "" if day >= NEVER else date.fromordinal(day).isoformat()


def moment_text(ms: int) -> str:
    """A moment as local time, Asia/Tehran, with its offset."""
    return datetime.fromtimestamp(ms / 1000, TEHRAN).isoformat(timespec="milliseconds")
