"""Opens the ledger that the settings name. PostgreSQL's driver is loaded only where it is asked for."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from switch.ledger.engine import Engine, LedgerUnavailable
from switch.ledger.sqlite import SqliteEngine


class EngineKind(StrEnum):
    """Where a ledger is kept."""

    SQLITE = "sqlite"
    POSTGRES = "postgres"


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


def open_engine(
    kind: EngineKind, seal_key: bytes, *, path: Path, url: str = "", url_file: Path | None = None
) -> Engine:
    """The ledger: path for SQLite, url or url_file for PostgreSQL. Raises LedgerUnavailable."""
    if kind is EngineKind.SQLITE:
        return SqliteEngine(path, seal_key)
    try:
        from switch.ledger.postgres import PostgresEngine
    except ImportError:
        raise LedgerUnavailable(
            "the driver of PostgreSQL is not installed; pip install 'vafa[postgres]'"
        ) from None
    return PostgresEngine(read_url(url, url_file), seal_key)
