"""Ends transfers between members that two owners have: the ledger itself is the list of what is left to do.

A transfer's first half is committed by the sender's owner; the second half follows at the receiver's owner,
once, because its identity is made of the first. Whoever owns the sender's bucket asks for it, after each such
commit and at start for all that a killed process may have left. Nothing is decided here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import NamedTuple, Protocol, TypeVar

from switch.authorizer.transfers import place_of_second
from switch.ledger import Entry, LedgerError
from switch.ledger.model import ENTRY_ID_EPOCH_MS, ENTRY_IDS_PER_MS, bucket_of_member
from switch.ledger.postgres_owners import PostgresOwners
from switch.server.log import Log

PAGE = 256  # first halves looked at together
# How far back a start looks: a range of buckets is not without an owner for so long.
LOOK_BACK_MS = 30 * 86_400_000
# Without being asked for: for a commit whose outcome wasn't known, and an owner that was away.
LOOK_INTERVAL_S = 5.0

Found = TypeVar("Found")


class Hand(Protocol):
    """Ends a first half at its receiver, see `Forwarding.take_in`."""

    async def __call__(self, member: int, bucket: int, entry: int) -> bool: ...


class _Half(NamedTuple):
    """A first half, and where its second one is to be."""

    entry: Entry
    member: int
    second: bytes


class TransferJob:
    """Looks for first halves of the owned buckets that nothing follows.

    wanted: set when there may be one. search: a thread for look-ups.
    """

    def __init__(
        self,
        owners: PostgresOwners,
        buckets: tuple[int, int],
        hand: Hand,
        wanted: asyncio.Event,
        now_ms: Callable[[], int],
        search: Executor,
        log: Log,
    ) -> None:
        self._owners = owners
        self._buckets = buckets
        self._hand = hand
        self._wanted = wanted
        self._search = search
        self._log = log
        # All first halves up to this entry id are ended.
        self._ended = max(now_ms() - LOOK_BACK_MS - ENTRY_ID_EPOCH_MS, 0) * ENTRY_IDS_PER_MS

    async def run(self) -> None:
        """For ever."""
        while True:
            self._wanted.clear()
            try:
                await self.once()
            except LedgerError as error:
                self._log.error("transfers can't be looked up", error=str(error))
            try:
                async with asyncio.timeout(LOOK_INTERVAL_S):
                    await self._wanted.wait()
            except TimeoutError:
                pass

    async def once(self) -> int:
        """Have all ended that is left; how many couldn't be. Raises LedgerError."""
        after, left = self._ended, 0
        while halves := await self._look(partial(self._page, after)):
            for half in halves:
                after = half.entry.id
                if half.second and not await self._hand(half.member, half.entry.bucket, half.entry.id):
                    left += 1
                if not left:
                    self._ended = after
        return left

    def _page(self, after: int) -> list[_Half]:
        """The next first halves; `second` is empty of those that are ended."""
        sent = self._owners.sent_away(*self._buckets, after, PAGE)
        moved = [entry for entry in sent if entry.transfers]  # the others were declined
        originals = self._originals(moved)
        halves = [
            _Half(entry, *place_of_second(entry, original))
            for entry, original in zip(moved, originals, strict=True)
        ]
        there = self._owners.have([(bucket_of_member(half.member), half.second) for half in halves])
        found = [
            half._replace(second=b"") if is_there else half
            for half, is_there in zip(halves, there, strict=True)
        ]
        if sent and (not moved or moved[-1].id != sent[-1].id):
            found.append(_Half(sent[-1], 0, b""))  # so that the next page begins behind it
        return found

    def _originals(self, moved: Sequence[Entry]) -> list[Entry]:
        """The transfer of each: itself, or what it takes back."""
        reversals = [entry for entry in moved if entry.transfers[0].reverses]
        found = self._owners.entries([(one.bucket, one.transfers[0].reverses) for one in reversals])
        by_id = {entry.id: entry for entry in found if entry is not None}
        return [
            by_id[entry.transfers[0].reverses] if entry.transfers[0].reverses else entry for entry in moved
        ]

    async def _look(self, ask: Callable[[], Found]) -> Found:
        return await asyncio.get_running_loop().run_in_executor(self._search, ask)
