"""Engines under test. A further engine joins by one more line in ENGINES and passes the same tests.

PostgreSQL runs in a server of this test process's own, started when the first test needs it; each directory
has a schema of its own there.
"""

from __future__ import annotations

import atexit
from collections.abc import Callable, Iterator
from functools import cache
from hashlib import blake2b
from pathlib import Path

import pytest

from simulators.postgres_server import PostgresServer
from switch.ledger import Engine
from switch.ledger.postgres import PostgresEngine
from switch.ledger.sqlite import SqliteEngine
from switch.settings import Settings, load
from tests.ledger.book import SEAL_KEY, Book

EngineFactory = Callable[[], Engine]  # every call opens the same ledger


def open_sqlite(directory: Path) -> Engine:
    return SqliteEngine(directory / "ledger.sqlite", SEAL_KEY)


def open_postgres(directory: Path) -> Engine:
    return PostgresEngine(schema_url(directory), SEAL_KEY)


ENGINES: dict[str, Callable[[Path], Engine]] = {"sqlite": open_sqlite, "postgres": open_postgres}


@cache
def shared_server() -> PostgresServer:
    server = PostgresServer()
    atexit.register(server.stop)
    server.start()
    return server


def schema_url(directory: Path) -> str:
    """The connection string of the schema that belongs to a directory."""
    return shared_server().schema(f"test_{blake2b(bytes(directory), digest_size=8).hexdigest()}")


def on_postgres(settings: Settings, url: str) -> Settings:
    """The same settings, with their ledger in PostgreSQL."""
    secret = settings.source.with_name("ledger.url")
    secret.write_text(f"{url}\n", encoding="ascii")
    secret.chmod(0o600)
    with settings.source.open("a", encoding="utf-8") as file:
        file.write(f'\n[ledger]\nengine = "postgres"\nurl_file = "{secret.name}"\n')
    return load(settings.source)


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
