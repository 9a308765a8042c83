"""A member's history is what the memory saw happen, entry by entry and at every moment."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from switch.ledger import LedgerUnavailable, Member
from switch.ledger.book import day_number
from switch.ledger.history import day_text, events, member_at
from switch.ledger.model import NEVER
from switch.ledger.reading import SqliteStore
from tests.ledger.book import Book, Request, Terms
from tests.ledger.files import Files


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def test_every_entry_with_the_member_after_it(files: Files) -> None:
    book = Book(files.open)
    seen: list[tuple[int, Member]] = []
    requests = [
        Request("activate", 1, 1),
        Request("earn", 2, 1, points=100, terms=Terms(lasts=5)),
        Request("hold", 3, 1, points=30),
        Request("capture", 4, 1, points=10, original=Request("hold", 3, 1).identity, amount=1_000),
        Request("return", 5, 1, points=95, original=Request("earn", 2, 1).identity),
        Request("earn", 6, 1, points=3, terms=Terms(pending_days=2)),
        Request("redeem", 7, 1, points=1_000_000),
    ]
    for request in requests:
        book.book(request)
        seen.append((book.now_ms, book.member(1)))
        book.now_ms += 1_000
    book.engine.close()
    with closing(SqliteStore(files.database).open()) as reading:
        found = events(reading, seen[0][1].id)
    assert [event.member for event in found] == [member for _, member in seen]
    assert [event.entry.operation for event in found] == [request.operation for request in requests]
    for moment, member in seen:
        assert member_at(found, until_ms=moment) == member
        assert member_at(found, until_ms=moment + 999) == member
    assert member_at(found, until_ms=seen[0][0] - 1) is None
    (award,) = found[1].changes
    assert (award.balance, award.pending, award.held, award.after.balance) == (100, 0, 0, 100)
    (taken,) = found[4].changes
    assert (taken.balance, taken.after.balance) == (-95, -5)
    assert found[6].changes == ()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE member SET last_entry = 1",
        "DELETE FROM entry WHERE operation = 'earn'",
        "UPDATE entry SET previous = id WHERE operation = 'redeem'",
        "UPDATE entry SET body = x'93909000' WHERE operation = 'earn'",
        "UPDATE member SET body = x'00'",
    ],
)
def test_entries_that_contradict_each_other_are_no_history(files: Files, statement: str) -> None:
    book = Book(files.open)
    book.book(Request("activate", 1, 1), Request("earn", 2, 1, points=9), Request("redeem", 3, 1, points=4))
    member = book.member(1).id
    book.engine.close()
    files.edit(statement)
    with closing(SqliteStore(files.database).open()) as reading:
        with pytest.raises(LedgerUnavailable, match=f"vafa ledger verify --member {member}"):
            events(reading, member)
        with pytest.raises(LedgerUnavailable, match="isn't there; check --member"):
            events(reading, member + 1)


def test_a_day_that_doesn_t_come_has_no_text() -> None:
    assert day_text(NEVER) == ""
    assert day_text(day_number("2026-03-21")) == "2026-03-21"
