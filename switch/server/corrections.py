"""Books what people decided: follows the list of corrections and hands the released ones to the pipeline.

Decides nothing, and writes only what became of them. One that is handed in twice is booked once: its identity
says so.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from switch.authorizer import Correction
from switch.ledger import Entry, LedgerError, Unit
from switch.server.log import Log
from switch.settlement.corrections import RELEASED, CorrectionError, Listed, listed, note

LOOK_INTERVAL_S = 1  # an operator waits for it


class Booker(Protocol):
    """What books a correction, see `Pipeline.correct`."""

    async def correct(self, correction: Correction) -> Entry | None: ...


def correction_of(one: Listed) -> Correction:
    """A released correction as the authorizer takes it."""
    asked = one.asked
    return Correction(
        asked.number,
        asked.member,
        asked.points,
        asked.reason,
        asked.by,
        one.settled_by,
        asked.at_ms,
        Unit[asked.unit.upper()],
    )


class CorrectionsJob:
    """Looks whether the list has grown; one look at a time."""

    def __init__(
        self,
        path: Path,
        seal_key: bytes,
        booker: Booker,
        now_ms: Callable[[], int],
        log: Log,
    ) -> None:
        self._path = path
        self._seal_key = seal_key
        self._booker = booker
        self._now_ms = now_ms
        self._log = log
        self._seen: tuple[int, int] | None = None  # size and time of change of a list with nothing to do

    async def run(self) -> None:
        """For ever."""
        while True:
            await self.once()
            await asyncio.sleep(LOOK_INTERVAL_S)

    async def once(self) -> None:
        """Book all that is released; whatever fails is tried again the next time."""
        found = _form(self._path)
        if found is None or found == self._seen:
            return
        try:
            for one in await asyncio.to_thread(listed, self._path, self._seal_key):
                if one.state == RELEASED:
                    await self._book(one)
        except CorrectionError as error:
            self._log.error("corrections can't be read", error=str(error), alarm=True)
            self._seen = found
        except LedgerError as error:
            self._log.error("correction not booked", error=str(error))
        else:
            self._seen = found if _form(self._path) == found else None

    async def _book(self, one: Listed) -> None:
        entry = await self._booker.correct(correction_of(one))
        entry_id = 0 if entry is None else entry.id
        number = one.asked.number
        await asyncio.to_thread(note, self._path, self._seal_key, number, entry_id, self._now_ms())
        self._log.info("correction", number=number, entry=entry_id, member=one.asked.member)


def _form(path: Path) -> tuple[int, int] | None:
    try:
        there = os.stat(path)
    except OSError:
        return None
    return there.st_size, there.st_mtime_ns
