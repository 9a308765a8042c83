"""Closed batches in every engine: what memory asks for, after a restart too; what a closed batch can't be."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from switch.ledger import (
    BatchClosed,
    Engine,
    Entry,
    LastBatch,
    LastBatchLoad,
    NotLoaded,
    Side,
    UploadEnded,
)
from tests.ledger.book import Book, Request, changed, decision
from tests.ledger.files import close_batches

TERMINAL = "10000001"


def entry_with(book: Book, number: int, side: Side) -> Entry:
    refused = decision(book.state, Request("close", number, 77), None, book.now_ms)
    return changed(refused, response_code="00", batch=0, sides=(side,))


def test_the_last_closed_batch_of_a_terminal_is_found(engine_factory: Callable[[], Engine]) -> None:
    book = Book(engine_factory)
    with pytest.raises(NotLoaded):
        book.state.last_batch(TERMINAL)
    assert book.ask(lambda: book.state.last_batch(TERMINAL)) == LastBatch(0, 0, differs=False)
    close_batches(book, 1)
    _equal, differing, _item, ended = book.commit()
    last = LastBatch(2, differing.id, differs=True, ended=ended.id)
    assert book.state.last_batch(TERMINAL) == last
    book.restart()
    assert book.engine.load_many([LastBatchLoad(TERMINAL), LastBatchLoad("10000002")]) == [last, None]
    assert book.ask(lambda: book.state.last_batch(TERMINAL)) == last


@pytest.mark.parametrize(
    "side",
    [
        BatchClosed(TERMINAL, 1, False, (), ()),
        BatchClosed(TERMINAL, 2, False, (), ()),
        UploadEnded(TERMINAL, 2, 1),
        UploadEnded(TERMINAL, 3, 1),
    ],
)
def test_a_closed_batch_never_opens_again(engine_factory: Callable[[], Engine], side: Side) -> None:
    book = Book(engine_factory)
    close_batches(book, 1)
    book.commit()
    entry = entry_with(book, 50, side)
    with pytest.raises(AssertionError):
        book.ask(lambda: book.state.apply(entry))
    assert book.ask(lambda: book.state.last_batch(TERMINAL)).number == 2
