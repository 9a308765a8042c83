"""A small ledger on disk with a row of every kind in every table, and ways to edit it behind the program's
back."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import apsw

from switch.ledger import (
    BatchClosed,
    BatchTotal,
    CodesCounted,
    CodeSent,
    CodeTried,
    Engine,
    Entry,
    Identified,
    IdentifierKind,
    ItemUploaded,
    Member,
    Named,
    Naming,
    PinSet,
    PinTried,
    Side,
    Unnamed,
    UploadEnded,
    of_member,
    of_terminal,
)
from switch.ledger.checkpoint import CheckpointFile
from switch.ledger.seal import Sealer
from switch.ledger.sqlite import SqliteEngine
from switch.ledger.verify import Report, verify
from tests.ledger.book import SEAL_KEY, Book, Request, Terms, changed, decision

Value = int | str | bytes
Row = dict[str, Any]

PRICED = Terms(price=12_345, lasts=400)  # parts of a rial come up
LATER = Terms(price=10_000, pending_days=3)
OTHER_ACCEPTOR = "100000000000002"

# Columns that find a row; with them every table's rows can be told apart.
KEYS = {
    "entry": ("id",),
    "member": ("id",),
    "account": ("kind", "holder", "program", "unit", "bucket"),
    "counter": ("scope", "period", "holder", "operation", "bucket"),
    "reversed": ("original",),
    "followed": ("entry",),
    "hold": ("id",),
    "code_count": ("subject",),
    "batch": ("terminal", "number"),
    "directory": ("identifier",),
    "bucket_head": ("bucket",),
    "key_mark": ("initial_key",),
    "answered": ("initial_key",),
    "owner": ("first_bucket",),
    "meta": ("name",),
}


def checkpoint_mac(data: bytes) -> bytes:
    return Sealer(b"the key of the checkpoints......").seal(data)[:8]


class Files(NamedTuple):
    """One ledger on disk."""

    directory: Path

    @property
    def database(self) -> Path:
        return self.directory / "ledger.sqlite"

    @property
    def checkpoints(self) -> Path:
        return self.directory / "ledger.checkpoints"

    def verify(self, processes: int | None = None) -> Report:
        return verify(self.database, SEAL_KEY, self.checkpoints, checkpoint_mac, processes=processes)

    def open(self) -> Engine:
        return SqliteEngine(self.database, SEAL_KEY)

    def edit(self, statement: str, values: tuple[Value, ...] = ()) -> None:
        connection = apsw.Connection(str(self.database))
        connection.execute("PRAGMA synchronous = OFF")  # a copy that nobody keeps
        connection.execute(statement, values)
        connection.close()

    def rows(self, table: str) -> list[Row]:
        connection = apsw.Connection(str(self.database))
        cursor = connection.execute(f"SELECT * FROM {table}")
        rows = [dict(zip([name for name, _ in cursor.get_description()], row, strict=True)) for row in cursor]
        connection.close()
        return rows


def copy(original: Files, directory: Path) -> Files:
    shutil.copytree(original.directory, directory)
    return Files(directory)


def where(table: str) -> str:
    return " AND ".join(f"{column} = ?" for column in KEYS[table])


def key_of(table: str, row: Row) -> tuple[Value, ...]:
    return tuple(row[column] for column in KEYS[table])


def checkpoint(files: Files, book: Book, *, noted: bool = True) -> None:
    """What the switch does every minute."""
    made = CheckpointFile(files.checkpoints, checkpoint_mac).append(book.engine.heads(), book.now_ms)
    if made is not None and noted:
        book.engine.note_checkpoint(made.number, made.mac)


def give_name(book: Book, card: int, number: int, naming: Naming) -> Entry:
    """The member gets a card or mobile number, or loses it."""
    member: Member = book.member(card)
    side = Identified(member.id, naming.kind, isinstance(naming, Named))
    request = Request("change", number, card, change=lambda _: [side])

    def decide() -> Entry:
        entry = changed(decision(book.state, request, member, book.now_ms), namings=(naming,))
        book.state.apply(entry)
        return entry

    entry = book.ask(decide)
    book.gathered.append(entry)
    return entry


def give_mobile(book: Book, card: int, number: int, *, added: bool = True) -> Entry:
    """The member gets a mobile number, or loses it."""
    member = book.member(card).id
    identifier = b"mobile" + card.to_bytes(10, "big")
    if not added:
        return give_name(book, card, number, Unnamed(identifier, member, IdentifierKind.MOBILE))
    naming = Named(identifier, member, IdentifierKind.MOBILE, f"9891******{card:02d}", b"sealed" * 4)
    return give_name(book, card, number, naming)


def close_batches(book: Book, number: int) -> None:
    """A batch whose totals agree; one whose totals don't, an item of it, and the end of its upload."""
    claimed, booked = BatchTotal("earn", 1, 50_000, 5), BatchTotal("earn", 2, 2_550_000, 255)
    item = ItemUploaded("10000001", 2, b"original", "unknown", "earn", 10_000, 1, "")
    steps: list[Callable[[Entry | None], Side]] = [
        lambda _: BatchClosed("10000001", 1, False, (claimed,), (claimed,)),
        lambda _: BatchClosed("10000001", 2, True, (claimed,), (booked,)),
        lambda _: item,
        lambda closed: UploadEnded("10000001", 2, closed.id if closed else 0),
    ]
    closed: Entry | None = None
    for place, step in enumerate(steps):
        request = Request("close", number + place, 77)
        refused = decision(book.state, request, None, book.now_ms)
        entry = changed(refused, response_code="00", batch=0, sides=(step(closed),))
        book.ask(lambda entry=entry: book.state.apply(entry))  # type: ignore[misc]
        book.gathered.append(entry)
        if type(entry.sides[0]) is BatchClosed:
            closed = entry


def proofs(member: int) -> list[Side]:
    return [
        PinSet(member, b"v" * 16),
        CodeSent(member, b"h" * 16, 1_790_000_000_000, 0),
        CodeTried(member, 1),
        CodesCounted(member, of_member(member), 1_790_000_000_000, 1),
    ]


def write_ledger(files: Files) -> None:
    """Awards, redemptions, declines, holds, reversals, early ones too; two checkpoints, one noted."""
    book = Book(files.open)
    book.book(*(Request("activate", card, card) for card in (1, 2, 3)))
    book.book(
        Request("earn", 10, 1, points=250, terms=PRICED, amount=2_500_000, receipt="r1", cashier="7"),
        Request("redeem", 11, 1, points=100, amount=10_000),
        Request("earn", 12, 2, points=77, terms=LATER, amount=770_000, acceptor=OTHER_ACCEPTOR),
    )
    checkpoint(files, book)
    book.send(Request("change", 20, 1, change=proofs))
    give_mobile(book, 1, 21)
    give_mobile(book, 2, 22)
    book.send(Request("hold", 23, 1, points=50))
    book.commit()
    book.send(Request("capture", 24, 1, points=30, original=Request("hold", 23, 1).identity, amount=3_000))
    book.send(Request("reverse", 25, 1, original=Request("redeem", 11, 1).identity))
    book.send(Request("reverse", 26, 2, original=Request("earn", 99, 2).identity))
    book.send(Request("redeem", 27, 2, points=9_999))
    book.send(Request("redeem", 28, 77, points=1))  # a card that nobody has
    book.send(Request("change", 29, 1, change=lambda member: [PinTried(member, 2)]))
    again = of_terminal("10000001")
    book.send(Request("change", 32, 2, change=lambda member: [CodesCounted(member, again, 5, 2)]))
    book.send(Request("block", 30, 3))
    give_mobile(book, 2, 31, added=False)
    book.commit()
    checkpoint(files, book, noted=False)
    book.pass_days(4)
    book.send(Request("earn", 40, 2, points=5, terms=PRICED, amount=50_000, batch=2))
    book.send(Request("replace", 41, 1, other=11))
    book.send(Request("hold", 42, 11, points=20))
    close_batches(book, 90)
    book.stage({b"initial1": 70, b"initial2": 9})
    book.engine.sync()
    book.state.committed()
    book.send(Request("activate", 43, 3))
    book.stage({b"initial1": 71})
    book.engine.sync()
    book.engine.close()
