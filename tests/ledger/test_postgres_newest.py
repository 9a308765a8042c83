"""Where the newest identities are: what is stored is never told as absent, what is new needs no question."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from switch.ledger import EntryLoad, Load, ReversedLoad
from switch.ledger.engine import ANY_BUCKET
from switch.ledger.postgres import PostgresEngine
from switch.ledger.postgres_newest import Newest
from tests.ledger.book import SEAL_KEY, Book, Request, bucket_of_card, stored
from tests.ledger.conftest import schema_url

SENDERS = b"ABC"


def key(moment: int, sender: int, number: int = 0) -> bytes:
    return moment.to_bytes(7, "big") + b"2" + bytes([sender]) * 8 + number.to_bytes(3, "big")


Keys = st.builds(key, st.integers(0, 12), st.sampled_from(SENDERS))


@given(
    st.dictionaries(Keys, st.integers(0, 3), max_size=30),
    st.lists(st.tuples(Keys, st.integers(0, 3)), max_size=30),
    st.integers(1, 6),
    st.integers(4, 12),
)
def test_what_is_stored_is_never_told_as_absent(
    before: dict[bytes, int], added: list[tuple[bytes, int]], most: int, limit: int
) -> None:
    found = []
    for bucket in range(4):
        keys = sorted((one for one, at in before.items() if at == bucket), reverse=True)
        if keys:
            found.append((bucket, keys[:most]))
    newest = Newest.of_buckets(found, most, limit)
    there = dict(before)
    for one, bucket in added:
        if one not in there:
            there[one] = bucket
            newest.add(one, bucket)
        for moment in range(13):
            for sender in SENDERS:
                asked = key(moment, sender)
                assert newest.bucket_of(asked) in (there.get(asked), ANY_BUCKET)


def test_what_is_new_of_a_sender_is_known_to_be_new_whatever_other_clocks_say() -> None:
    newest = Newest(b"", [], 4)
    for moment in range(100):
        newest.add(key(moment, b"A"[0]), 1)
        newest.add(key(moment + 1_000, b"B"[0]), 2)
    assert newest.bucket_of(key(99, b"A"[0], 1)) is None
    assert newest.bucket_of(key(100, b"B"[0])) == ANY_BUCKET, "older than what it sent last"
    assert newest.bucket_of(key(1_099, b"B"[0])) == 2
    assert newest.bucket_of(key(2_000, b"C"[0])) is None


def test_no_more_is_kept_than_was_said() -> None:
    newest = Newest(b"", [], 50)
    for moment in range(1_000):
        newest.add(moment.to_bytes(7, "big") + b"2" + moment.to_bytes(8, "big") + b"\0\0\0", 7)
    assert len(newest._buckets) == len(newest._order) == 50
    assert len(newest._greatest) <= 101


# ---------------------------------------------------------------- in the engine


@pytest.fixture
def url(tmp_path: Path) -> str:
    return schema_url(tmp_path)


@pytest.fixture
def books(url: str) -> Iterator[Callable[[], Book]]:
    opened: list[Book] = []

    def open_book() -> Book:
        opened.append(Book(lambda: PostgresEngine(url, SEAL_KEY)))
        return opened[-1]

    yield open_book
    for book in opened:
        book.engine.close()


def asked(engine: PostgresEngine, url: str, loads: list[Load]) -> list[object]:
    """What the ledger says when it may not be asked."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("BEGIN")
        connection.execute("LOCK TABLE entry, reversed IN ACCESS EXCLUSIVE MODE")
        return list(engine.load_many(loads))


def test_new_identities_are_no_question_to_the_database(url: str, books: Callable[[], Book]) -> None:
    book = books()
    book.book(*(Request("activate", 10 * card, card) for card in range(1, 40)))
    book.book(Request("reverse", 500, 3, original=Request("", 30, 3).identity))
    for again in (book, books()):
        engine = again.engine
        assert isinstance(engine, PostgresEngine)
        fresh = [Request("", number, 1).identity for number in range(1_000, 1_128)]
        # Older than the newest, of another terminal.
        fresh += [one.replace(b"10000001", b"10000002") for one in (Request("", 5, 1).identity,)]
        loads: list[Load] = [EntryLoad(one) for one in fresh] + [ReversedLoad(one) for one in fresh]
        assert asked(engine, url, loads) == [None] * len(fresh) + [False] * len(fresh)


@pytest.mark.parametrize("kept", [256, 200_000])
def test_a_duplicate_and_a_late_reversal_are_found_however_little_is_kept(
    books: Callable[[], Book], monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    """Of before a start and of after it; also what left the memory meanwhile."""
    monkeypatch.setattr("switch.ledger.postgres.NEWEST", kept)
    cards = range(1, 30)
    book = books()
    sent = [Request("activate", card, card) for card in cards]
    sent += [Request("earn", 100 * turn + card, card, points=5) for turn in range(1, 12) for card in cards]
    entries = book.book(*sent[:200])
    reversals = [
        Request("reverse", 5_000 + number, one.card, original=one.identity)
        for number, one in enumerate(sent[40:200:9])
    ]
    book.book(*reversals)
    book = books()
    entries += book.book(*sent[200:])
    assert len({bucket_of_card(card) for card in cards}) == len(cards)
    loads = [EntryLoad(one.identity) for one in sent]
    assert book.engine.load_many(loads) == [stored(entry) for entry in entries]
    taken_back = {one.original for one in reversals}
    marks = [ReversedLoad(one.identity) for one in sent]
    assert book.engine.load_many(marks) == [one.identity in taken_back for one in sent]
    again = [book.send(one) for one in sent]
    assert [one.id for one in again] == [one.id for one in entries], "each is repeated, none is booked"
    absent = [Request("", number, 1).identity for number in (99, 1_500, 9_999)]
    assert book.engine.load_many([EntryLoad(one) for one in absent]) == [None] * 3


def test_what_a_lost_commit_stored_is_found_at_the_next_start(
    books: Callable[[], Book], monkeypatch: pytest.MonkeyPatch
) -> None:
    book = books()
    book.book(Request("activate", 1, 1))
    earn = Request("earn", 2, 1, points=9)
    entry = book.send(earn)
    book.stage()
    engine = book.engine
    assert isinstance(engine, PostgresEngine)
    with monkeypatch.context() as patched:
        send = engine._send
        patched.setattr(engine, "_send", lambda *given: (send(*given), 1 / 0))
        with pytest.raises(ZeroDivisionError):
            engine.sync()
    assert engine.load(EntryLoad(earn.identity)) == stored(entry), "before the start, too"
    book.forget()
    assert book.send(earn).id == entry.id
