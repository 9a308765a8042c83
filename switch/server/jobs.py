"""What time brings to members that nobody touches: lots that begin or end, holds that run out.

Finds whom it concerns and hands them to the pipeline in small portions; decides and writes nothing itself. A
member that was settled isn't found again, so a job that is cut off anywhere simply begins again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from datetime import date
from typing import Protocol

from switch.ledger import FIRST_DUE, Engine, LedgerError
from switch.server.log import Log

CHUNK = 256  # members looked for at once
# How often a new day is looked for, and holds that have run out: a hold lives minutes.
LOOK_INTERVAL_S = 5
# After a ledger that couldn't be read or written.
RETRY_INTERVAL_S = 30


class Settler(Protocol):
    """What settles members with something due, beside the requests. The pipeline."""

    def day_now(self) -> str | None:
        """The business date, YYYY-MM-DD; None while the clock is not believed."""
        ...

    async def settle(self, members: Sequence[int]) -> bool:
        """Decide and store what is due for them; False when that failed."""
        ...


class DueJob:
    """Looks once a business day for members that something is due of, and after holds all the time.

    search: a thread for look-ups that read much, so that no request waits for them.
    """

    def __init__(
        self,
        settler: Settler,
        engine: Engine,
        now_ms: Callable[[], int],
        search: Executor,
        log: Log,
    ) -> None:
        self._settler = settler
        self._engine = engine
        self._now_ms = now_ms
        self._search = search
        self._log = log
        self._done = ""  # the last business date that is settled

    async def run(self) -> None:
        """For ever."""
        while True:
            went_well = await self.once()
            await asyncio.sleep(LOOK_INTERVAL_S if went_well else RETRY_INTERVAL_S)

    async def once(self) -> bool:
        """All that is due now; False when the ledger failed on the way."""
        day = self._settler.day_now()
        if day is None:
            return True
        try:
            if day != self._done:
                settled = await self._members(day)
                if settled is None:
                    return False
                if settled:
                    self._log.info("due members settled", business_date=day, members=settled)
                self._done = day
            return await self._holds()
        except LedgerError as error:
            self._log.error("what is due can't be found", error=str(error))
            return False

    async def _members(self, day: str) -> int | None:
        """How many members had something due by `day`; None when one portion failed."""
        ordinal, after, settled = date.fromisoformat(day).toordinal(), FIRST_DUE, 0
        loop = asyncio.get_running_loop()
        while True:
            members = await loop.run_in_executor(
                self._search, self._engine.due_members, ordinal, after, CHUNK
            )
            if not members:
                return settled
            if not await self._settler.settle([due.member for due in members]):
                return None
            after = members[-1]
            settled += len(members)

    async def _holds(self) -> bool:
        loop = asyncio.get_running_loop()
        before: list[int] = []
        while True:
            holds = await loop.run_in_executor(self._search, self._engine.due_holds, self._now_ms(), CHUNK)
            members = sorted({hold.member for hold in holds})
            if not members or members == before:  # the same again: they are quarantined
                return True
            if not await self._settler.settle(members):
                return False
            before = members
