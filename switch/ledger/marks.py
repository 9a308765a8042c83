"""How far the counters of a terminal's keys have come, for whoever gives a terminal keys.

Reads a ledger file beside the switch that may run on it; never writes, never makes one.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from switch.ledger.sqlite import failures_at, open_connection

_HIGHEST = (
    "SELECT max(counter) FROM (SELECT counter FROM key_mark WHERE initial_key = ?1"
    " UNION ALL SELECT counter FROM answered WHERE initial_key = ?1)"
)


def last_counter(ledger: Path, initial_key_id: bytes) -> int:
    """The highest KSN counter that a ledger file has of an initial key id (8 bytes), 0 for none or no file.

    Raises LedgerUnavailable.
    """
    if not ledger.exists():
        return 0  # a switch that never ran
    with failures_at(ledger), closing(open_connection(ledger, read_only=True)) as connection:
        if not connection.execute("SELECT count(*) FROM sqlite_schema").get:
            return 0  # one that was stopped while it made the file
        return int(connection.execute(_HIGHEST, (initial_key_id,)).get or 0)
