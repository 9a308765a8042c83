"""Where a ledger is, and how it is opened, to be written or to be read. Decides nothing.

PostgreSQL's driver is loaded only where it is asked for. The connection string, which may hold a password,
is in no text and no repr of this module.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from switch.ledger import marks
from switch.ledger.engine import Engine, LedgerUnavailable
from switch.ledger.reading import SqliteStore, Store
from switch.ledger.sqlite import SqliteEngine

if TYPE_CHECKING:
    from switch.ledger.postgres_owners import PostgresOwners

MOVED_SUFFIX = ".moved"  # of the SQLite file of a ledger that was moved to PostgreSQL


class LedgerInUse(LedgerUnavailable):
    """A switch has the ledger open."""


class EngineKind(StrEnum):
    """Where a ledger is kept."""

    SQLITE = "sqlite"
    POSTGRES = "postgres"


@dataclass(frozen=True, slots=True)
class Place:
    """Where the settings say that a ledger is. Every method raises LedgerUnavailable.

    path: of SQLite's file; with PostgreSQL, where the file would be that hasn't been moved yet. url,
    url_file: one of them names PostgreSQL's database.
    """

    kind: EngineKind
    path: Path
    url: str = field(default="", repr=False)
    url_file: Path | None = None

    @property
    def is_postgres(self) -> bool:
        """Whether it is in a database that others may have open too."""
        return self.kind is EngineKind.POSTGRES

    def check(self) -> None:
        """That no other engine has this ledger: a switch must never begin a second one beside it."""
        if self.is_postgres and self.path.exists():
            raise LedgerUnavailable(
                f"{self.path}: is a ledger, and the settings name PostgreSQL; move it there with `vafa ledger"
                ' migrate --to postgres` (with ledger.engine = "sqlite"), or move the file away'
            )
        moved = self.path.with_name(self.path.name + MOVED_SUFFIX)
        if not self.is_postgres and moved.exists() and not self.path.exists():
            raise LedgerUnavailable(
                f"{moved}: this ledger was moved to PostgreSQL; set ledger.engine and ledger.url_file in the"
                " settings (or finish the move, or move the file away to begin a new ledger)"
            )

    def open_engine(self, seal_key: bytes) -> Engine:
        """The ledger, made when it isn't there yet."""
        self.check()
        if not self.is_postgres:
            return SqliteEngine(self.path, seal_key)
        with driver_needed():
            from switch.ledger.postgres import PostgresEngine
        return PostgresEngine(self._url(), seal_key)

    def owners(self, seal_key: bytes) -> PostgresOwners:
        """What lies between the owners of a PostgreSQL ledger. Nothing is opened yet."""
        with driver_needed():
            from switch.ledger.postgres_owners import PostgresOwners
        return PostgresOwners(self._url(), seal_key)

    def store(self) -> Store:
        """The same, for whoever only reads. Nothing is opened yet."""
        self.check()
        if not self.is_postgres:
            return SqliteStore(self.path)
        with driver_needed():
            from switch.ledger.postgres_reading import PostgresStore
        return PostgresStore(self._url())

    def last_counter(self, initial_key_id: bytes) -> int:
        """The highest KSN counter that the ledger has of an initial key id (8 bytes), 0 for none or no
        ledger."""
        if not self.is_postgres:
            return marks.last_counter(self.path, initial_key_id)
        with driver_needed():
            from switch.ledger.postgres_reading import last_counter
        return last_counter(self._url(), initial_key_id)

    def check_unused(self) -> None:
        """That no switch has this database open now, wherever it runs, else LedgerInUse. A file's switch is
        known by the lock of its data directory."""
        if self.is_postgres:
            with driver_needed():
                from switch.ledger.postgres_reading import session_of_switch
            session = session_of_switch(self._url())
            if session:
                raise LedgerInUse(f"a switch has this ledger open: {session}")

    def _url(self) -> str:
        return read_url(self.url, self.url_file)


def read_url(url: str, url_file: Path | None) -> str:
    """The connection string: as given, or the first line of a file, where a password belongs.

    Raises LedgerUnavailable for none, for both, and for a file that others may read.
    """
    if bool(url) == (url_file is not None):
        raise LedgerUnavailable(
            "ledger.url or ledger.url_file names the database of the ledger; set one of them"
        )
    if url_file is None:
        return url
    try:
        if url_file.stat().st_mode & 0o077:
            raise LedgerUnavailable(f"{url_file}: others may read it; chmod 600 it, it may hold a password")
        lines = url_file.read_text().split()
    except (OSError, UnicodeDecodeError) as error:
        raise LedgerUnavailable(
            f"{url_file}: the connection string can't be read ({type(error).__name__}); check ledger.url_file"
        ) from None
    if len(lines) != 1:
        raise LedgerUnavailable(f"{url_file}: holds {len(lines)} words, one connection string is expected")
    return lines[0]


@contextmanager
def driver_needed() -> Iterator[None]:
    """Around imports of what needs PostgreSQL's driver."""
    try:
        yield
    except ImportError:
        raise LedgerUnavailable(
            "the driver of PostgreSQL is not installed; pip install 'vafa[postgres]'"
        ) from None
