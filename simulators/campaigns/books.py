"""Holds what the terminals printed against what the ledger holds. Pure but for reading the ledger.

Every difference is a sentence; an empty list means that both tell the same story.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence, Set
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from switch.authorizer.batches import OF_BATCHES
from switch.authorizer.identity import parse_rrn, rrn_of
from switch.ledger.model import BUCKETS, AccountKind, Entry, TransferKind
from switch.ledger.reading import SqliteStore, Store
from switch.ledger.rows import entry_of, member_of

APPROVED = "00"
REVERSAL_CLASS = "4"
OF_BATCH = "5"  # an uploaded item too
CLASSES_WITH_RECEIPT = frozenset("123")


class Outcome(NamedTuple):
    """A transaction as its terminal knows it, from the printed receipt. Points, balance and debt as printed;
    None: the receipt doesn't say."""

    terminal: str
    flow: str
    stan: str
    rrn: str
    points: int | None
    balance: int | None
    debt: int | None = None


class Undone(NamedTuple):
    """A request that its terminal reversed, or that was declined: it must have had no effect."""

    terminal: str
    stan: str


@dataclass(slots=True)
class Row:
    """An entry of the ledger. points: what it gave the member (signed); balance: the member's after it; hold:
    the one that a capture ended, or 0."""

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
    hold: int = 0
    kinds: list[TransferKind] = field(default_factory=list)
    reverses: list[int] = field(default_factory=list)

    def __str__(self) -> str:
        return f"entry {self.id} (terminal {self.terminal}, class {self.mti_class}, STAN {self.stan})"


class Books(NamedTuple):
    """The whole ledger, and the balance it keeps for each member."""

    rows: dict[int, Row]
    balances: dict[int, int]


def read_books(ledger: Store | Path) -> Books:
    """Read a ledger that no switch is writing to; a path is a SQLite file's."""
    store = SqliteStore(ledger) if isinstance(ledger, Path) else ledger
    with closing(store.open()) as reading:
        originals = {original for original, _ in reading.table("reversed")}
        rows: dict[int, Row] = {}
        members: defaultdict[int, int] = defaultdict(int)
        for values in reading.entries(0, BUCKETS - 1):
            entry = entry_of(values[:-1])
            members[entry.member] += (points := _points(entry))
            rows[entry.id] = Row(
                id=entry.id,
                bucket=entry.bucket,
                terminal=entry.terminal,
                mti_class=OF_BATCH if entry.operation in OF_BATCHES else chr(entry.identity[7]),
                stan=entry.identity[16:19].hex(),
                member=entry.member,
                response_code=entry.response_code,
                is_reversed=entry.identity in originals,
                points=points,
                balance=members[entry.member],
                hold=sum(one.hold for one in entry.transfers if one.kind is TransferKind.CAPTURE),
                kinds=[transfer.kind for transfer in entry.transfers],
                reverses=[transfer.reverses for transfer in entry.transfers],
            )
        kept = {}
        for values in reading.members(0, BUCKETS - 1):
            member = member_of(values)
            if member.wallets:
                kept[member.id] = sum(wallet.balance for wallet in member.wallets)
        return Books(rows, kept)


def _points(entry: Entry) -> int:
    """What an entry added to its member's spendable balance (or debt)."""
    return sum(
        posting.amount
        for transfer in entry.transfers
        for posting in transfer.postings
        if posting.kind is AccountKind.MEMBER
    )


def differences(
    books: Books,
    outcomes: Sequence[Outcome],
    undone: Iterable[Undone],
    unheard: Iterable[Undone] = (),
) -> list[str]:
    """What the ledger and the terminals do not agree on. A receipt printed twice counts once. unheard: what
    no terminal was told, nor could take back: activations of cards that were used already."""
    return [
        *_receipts_without_entry(books, outcomes),
        *_entries_without_receipt(books, outcomes, set(unheard)),
        *_effects_of_undone(books, undone),
        *_wrong_balances(books, outcomes),
    ]


def advices(books: Books, queued: Set[Undone], drained: Set[str]) -> tuple[list[Outcome], list[str]]:
    """What the ledger has of earns that terminals kept for later, and what is wrong with it: each is booked
    once; a terminal of `drained` has none left to send."""
    booked: defaultdict[Undone, list[Row]] = defaultdict(list)
    for row in books.rows.values():
        name = Undone(row.terminal, row.stan)
        if name in queued and row.mti_class == "2" and row.response_code == APPROVED and not row.is_reversed:
            booked[name].append(row)
    wrong = [
        f"{rows[0]} is a queued earn and booked {len(rows)} times" for rows in booked.values() if rows[1:]
    ]
    wrong += [
        f"terminal {name.terminal}: the queued earn of STAN {name.stan} is not booked"
        for name in sorted(queued - booked.keys())
        if name.terminal in drained
    ]
    outcomes = [
        Outcome(row.terminal, "earn", row.stan, rrn_of(row.bucket, row.id), abs(row.points), None)
        for rows in booked.values()
        for row in rows
    ]
    return outcomes, wrong


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
        if outcome.points not in (None, abs(row.points)):
            found.append(f"{name} says {outcome.points} points, the ledger {row.points}")
        if outcome.balance not in (None, max(0, row.balance)):
            found.append(f"{name} says balance {outcome.balance}, the ledger {row.balance}")
        if outcome.debt not in (None, max(0, -row.balance)):
            found.append(f"{name} says debt {outcome.debt}, the ledger {row.balance}")
    return found


def _entries_without_receipt(books: Books, outcomes: Sequence[Outcome], unheard: set[Undone]) -> list[str]:
    known = {parse_rrn(outcome.rrn)[1] for outcome in outcomes}
    found = []
    for row in books.rows.values():
        if row.response_code != APPROVED:
            if row.points or row.kinds:
                found.append(f"{row} was declined ({row.response_code}) and moved {row.points} points")
        elif not row.points and Undone(row.terminal, row.stan) in unheard:
            continue
        elif row.mti_class in CLASSES_WITH_RECEIPT and not row.is_reversed and row.id not in known:
            found.append(f"{row} stands in the ledger and no terminal has its receipt")
    return found


def _given_back(books: Books) -> set[int]:
    """The holds whose capture was reversed: what they held is the member's again, not held again."""
    return {row.hold for row in books.rows.values() if row.hold and row.is_reversed}


def _effects_of_undone(books: Books, undone: Iterable[Undone]) -> list[str]:
    by_name: defaultdict[tuple[str, str], list[Row]] = defaultdict(list)
    taken_back: defaultdict[int, int] = defaultdict(int)
    for row in books.rows.values():
        by_name[row.terminal, row.stan].append(row)
        if not row.is_reversed:
            for original in set(row.reverses):
                taken_back[original] += row.points
    given_back = _given_back(books)
    found = []
    for request in undone:
        for row in by_name[request.terminal, request.stan]:
            kept = row.points + taken_back[row.id]
            if row.hold in given_back:
                kept += books.rows[row.hold].points
            if row.id in given_back:
                kept -= row.points
            if kept:
                found.append(f"{row} was undone by its terminal and keeps {kept} points")
            if row.response_code == APPROVED and row.mti_class != REVERSAL_CLASS and not row.is_reversed:
                found.append(f"{row} was undone by its terminal and stands in the ledger")
    return found


def _wrong_balances(books: Books, outcomes: Sequence[Outcome]) -> list[str]:
    expected: defaultdict[int, int] = defaultdict(int)
    for entry in {parse_rrn(outcome.rrn)[1] for outcome in outcomes}:
        if (row := books.rows.get(entry)) is not None:
            expected[row.member] += row.points
    for hold in map(books.rows.__getitem__, _given_back(books)):
        if not hold.is_reversed:  # else it has no receipt
            expected[hold.member] -= hold.points
    return [
        f"member {member} has {books.balances.get(member, 0)} points, its receipts make {expected[member]}"
        for member in sorted(books.balances.keys() | expected.keys())
        if books.balances.get(member, 0) != expected[member]
    ]
