"""What must not go wrong on PostgreSQL alone: a takeover while a batch is under way, a directory that leads
elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from switch.ledger import CardLoad, IdentifierLoad, LedgerUnavailable, Load
from switch.ledger.postgres import PostgresEngine
from tests.ledger.book import SEAL_KEY, Book, Request, identifier_of
from tests.ledger.conftest import schema_url

ACTIVATE, EARN = Request("activate", 1, card=1), Request("earn", 2, card=1, points=250)


def wait_for_locks(url: str, count: int, working: Sequence[Future[object]]) -> None:
    """Until so many sessions wait for a row, or a thread that should has ended."""
    with psycopg.connect(url, autocommit=True) as connection:
        while not any(one.done() for one in working):
            waiting = connection.execute(
                "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'"
            ).fetchone()
            if waiting == (count,):
                return


def test_who_takes_over_waits_for_the_batch_under_way(tmp_path: Path) -> None:
    """Or it would read a ledger that the batch, sent before it came, still changes."""
    url = schema_url(tmp_path)
    book = Book(lambda: PostgresEngine(url, SEAL_KEY))
    book.book(ACTIVATE)
    entry = book.send(EARN)
    book.stage()
    with closing(book.engine), closing(PostgresEngine(url, SEAL_KEY)) as successor:
        with ThreadPoolExecutor(2) as pool, psycopg.connect(url) as other:
            other.execute("SELECT 1 FROM bucket_head WHERE bucket = %s FOR UPDATE", (entry.bucket,))
            under_way: Future[object] = pool.submit(book.engine.sync)
            wait_for_locks(url, 1, [under_way])
            takeover: Future[object] = pool.submit(successor.claim, "another")
            wait_for_locks(url, 2, [under_way, takeover])
            waits = not takeover.done() and not under_way.done()
            other.rollback()
        assert waits
        assert under_way.result() is None
        assert takeover.result() == book.epoch + 1
        assert successor.start().last_entry_id == entry.id


@pytest.mark.parametrize(
    ("statement", "by_card"),
    [("UPDATE directory SET member = member + 1", True), ("UPDATE directory SET masked = 'x'", False)],
)
def test_a_directory_row_that_was_changed_is_not_followed(
    tmp_path: Path, statement: str, by_card: bool
) -> None:
    url = schema_url(tmp_path)
    book = Book(lambda: PostgresEngine(url, SEAL_KEY))
    (entry,) = book.book(ACTIVATE)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.encode())
    load: Load = IdentifierLoad(identifier_of(1)) if by_card else CardLoad(entry.member)
    with closing(book.engine), pytest.raises(LedgerUnavailable, match="the directory row of member"):
        book.engine.load(load)
