"""What terminals counted of themselves, as they told at their last sign-on: a small file each.

They decide nothing and prove nothing, so they stand beside the registry and not in it; a lost one comes again
with the next sign-on.
"""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple

from switch.settings import Settings

DIRECTORY: Final = "counters"
DIGITS: Final = 8  # of each, in tag 39 of DE 48
# In the order of the tag; a newer terminal may tell more.
NAMES: Final = (
    "boots",
    "swipes_read",
    "swipes_failed",
    "transactions",
    "reversals",
    "printer_faults",
    "line_drops",
    "faults",
    "journal_damages",
)
_OWNER_ONLY: Final = 0o600


class Told(NamedTuple):
    """What a terminal told, and when (local time with its offset)."""

    at: str
    counters: dict[str, int]


def counters_of(digits: str) -> dict[str, int]:
    """The counters of tag 39, by name; those that are not known here are left out."""
    values = [int(digits[at : at + DIGITS]) for at in range(0, len(digits) - DIGITS + 1, DIGITS)]
    return dict(zip(NAMES, values, strict=False))


def keep(settings: Settings, terminal: str, counters: dict[str, int], now: datetime) -> None:
    """Keep what a terminal told instead of what it told before. Raises OSError."""
    path = _path(settings, terminal)
    if path is None:
        return
    path.parent.mkdir(mode=0o700, exist_ok=True)
    written = path.with_suffix(".new")
    text = json.dumps({"at": now.isoformat(timespec="seconds"), "counters": counters})
    written.write_text(text + "\n", encoding="ascii")
    written.chmod(_OWNER_ONLY)
    written.replace(path)


def told_by(settings: Settings, terminal: str) -> Told | None:
    """What a terminal told at its last sign-on; None when it told nothing that can be read."""
    path = _path(settings, terminal)
    if path is None:
        return None
    try:
        found = json.loads(path.read_text(encoding="ascii"))
        counters = {str(name): int(value) for name, value in found["counters"].items()}
        return Told(str(found["at"]), counters)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _path(settings: Settings, terminal: str) -> Path | None:
    """Where a terminal's counters are; None for an id that is no file's name."""
    if not (terminal.isascii() and terminal.isalnum()):
        return None
    return settings.registry_path.parent / DIRECTORY / f"{terminal}.json"
