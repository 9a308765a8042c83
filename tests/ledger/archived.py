"""An owner that archives what it commits."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from switch.ledger.archive import Archive, read_archive
from switch.ledger.engine import NO_MARKS
from switch.ledger.reading import SqliteStore
from switch.ledger.sqlite import SqliteEngine
from tests.ledger.book import Book, Request
from tests.ledger.files import give_mobile


class Archived:
    """database: where the ledger is, or is made; its archive lies beside it."""

    def __init__(self, database: Path, seal_key: bytes) -> None:
        self.database = database
        self.place = database.parent / "archive"
        self.book = Book(lambda: SqliteEngine(database, seal_key))
        self.archive = Archive(self.place, self.book.engine.ledger)

    def commit(self, *requests: Request, answered: Mapping[bytes, int] = NO_MARKS) -> None:
        """One batch."""
        for request in requests:
            self.book.send(request)
        batch = self.book.state.batch(answered)
        engine = self.book.engine
        assert isinstance(engine, SqliteEngine)
        engine.stage(batch, self.book.epoch)
        engine.sync()
        self.book.state.committed()
        self.archive.append(engine.sealed_rows if batch.entries else (), batch)

    def story(self) -> None:
        """Three days with cards, a mobile number and marks of answers."""
        self.commit(*(Request("activate", card, card) for card in (1, 2, 3)), answered={b"initial0": 3})
        self.commit(Request("earn", 10, 1, points=500), Request("earn", 11, 2, points=90))
        self.commit(answered={b"initial1": 7})
        self.book.pass_days(1)
        give_mobile(self.book, 2, 20)
        self.commit(Request("hold", 21, 1, points=100))
        self.commit(Request("replace", 22, 3, other=33), answered={b"initial1": 9})
        self.book.pass_days(1)
        self.commit(Request("redeem", 30, 1, points=50, amount=5_000))
        self.archive.sync()

    def reopen(self) -> None:
        self.archive.close()
        self.archive = Archive(self.place, self.book.engine.ledger)

    def catch_up(self) -> int:
        with closing(SqliteStore(self.database).open()) as reading:
            return self.archive.catch_up(reading)

    def records(self) -> int:
        return len(list(read_archive(self.place, self.book.engine.ledger)))
