"""What a process has beside the rest when its ledger is in PostgreSQL: the socket where others find it, the
way to them, and the job that ends transfers between owners. Nothing is decided here.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial

from switch.ledger import LedgerError, LedgerUnavailable
from switch.ledger.model import BUCKETS
from switch.ledger.postgres_owners import PostgresOwners
from switch.server.forwarding import NOT_OWNER, Forwarding, is_among, owner_name
from switch.server.forwarding_link import bind
from switch.server.forwarding_transfers import TransferJob
from switch.server.log import Log
from switch.server.pipeline import Pipeline
from switch.settings import Settings

# How often a process that nothing arrives at looks whether it is an owner still.
OWNER_INTERVAL_S = 1


class Beside:
    """Made before the ledger is claimed: whoever reads of an owner finds it listening. With all buckets it
    listens to nobody and asks nobody.

    Raises LedgerUnavailable.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._buckets = settings.ledger.buckets
        self._owners: PostgresOwners = settings.ledger_place.owners(settings.seal_key)
        self._listening: socket.socket | None = None
        self._jobs: list[asyncio.Task[None]] = []
        self.forwarding: Forwarding | None = None
        self.name = f"switch {os.getpid()}"
        if self._buckets != (0, BUCKETS - 1):
            path = settings.owner_path
            try:
                self._listening = bind(path)
            except (OSError, ValueError) as error:
                why = error.strerror if isinstance(error, OSError) else "its name is too long for a socket"
                raise LedgerUnavailable(f"{path}: other switches can't be heard there ({why})") from error
            self.name = owner_name(self.name, path)

    def place_for(
        self, epoch: int, search: Executor, log: Log, stop: Callable[[str], None]
    ) -> Forwarding | None:
        """What the pipeline hands frames to; None for an owner of all buckets. epoch: of the claim; search: a
        thread for look-ups; stop: called with a reason when the claim stands no more."""
        self._jobs.append(asyncio.get_running_loop().create_task(self._watch(epoch, search, stop)))
        if self._listening is not None:
            self.forwarding = Forwarding(
                self._owners, self._buckets, epoch, self._settings.directory_key, search, log, stop
            )
        return self.forwarding

    async def _watch(self, epoch: int, search: Executor, stop: Callable[[str], None]) -> None:
        """A process that has nothing to commit hears so that it is an owner no more."""
        while True:
            await asyncio.sleep(OWNER_INTERVAL_S)
            with contextlib.suppress(LedgerError):  # whoever asks for something hears of it
                if self.forwarding is not None:
                    await self.forwarding.learn_owners()
                    continue
                look = partial(self._owners.look, (), ())
                where = await asyncio.get_running_loop().run_in_executor(search, look)
                if not is_among(where.owners, self._buckets, epoch):
                    stop(NOT_OWNER)

    async def begin(
        self,
        pipeline: Pipeline,
        now_ms: Callable[[], int],
        search: Executor,
        log: Log,
    ) -> None:
        """Serve the other processes, and end what an earlier one has left."""
        forwarding, wanted = self.forwarding, asyncio.Event()
        hand = pipeline.take_in
        if forwarding is not None:
            assert self._listening is not None, "who hands over is handed to"
            await forwarding.serve(pipeline, self._listening)
            hand, wanted = forwarding.take_in, forwarding.transfers_wanted
        job = TransferJob(self._owners, self._buckets, hand, wanted, now_ms, search, log)
        self._jobs.append(asyncio.get_running_loop().create_task(job.run()))

    async def stop(self) -> None:
        """Take nothing more, and wait for what others still have to answer."""
        for job in self._jobs:
            job.cancel()
        await asyncio.gather(*self._jobs, return_exceptions=True)
        if self.forwarding is not None:
            self.forwarding.stop_reading()
            await self.forwarding.drain()

    async def close(self) -> None:
        """After the last answer."""
        if self.forwarding is not None:
            await self.forwarding.close()
            with contextlib.suppress(OSError):
                self._settings.owner_path.unlink()
        self._owners.close()
