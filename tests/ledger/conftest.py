"""Engines under test. A second engine joins by one more line in ENGINES and passes the same tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from switch.ledger import Engine
from switch.ledger.sqlite import SqliteEngine
from tests.ledger.book import SEAL_KEY, Book

EngineFactory = Callable[[], Engine]  # every call opens the same ledger


def open_sqlite(directory: Path) -> Engine:
    return SqliteEngine(directory / "ledger.sqlite", SEAL_KEY)


ENGINES: dict[str, Callable[[Path], Engine]] = {"sqlite": open_sqlite}


@pytest.fixture(params=ENGINES)
def engine_factory(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EngineFactory]:
    opened: list[Engine] = []

    def open_engine() -> Engine:
        opened.append(ENGINES[request.param](tmp_path))
        return opened[-1]

    yield open_engine
    for engine in opened:
        engine.close()


@pytest.fixture
def book(engine_factory: EngineFactory) -> Book:
    return Book(engine_factory)
