"""Copies committed batches to the archive, on a thread of its own: a disk that is slow, full or gone costs no
answer.

The ledger is the truth. What goes wrong here is told, and the archive is filled from the ledger as soon as it
can be written again; nothing waits for it but the end of the process, and that not for long.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import NamedTuple

from switch.ledger.archive import SYNC_INTERVAL_S, Archive, ArchiveAhead, ArchiveError
from switch.ledger.engine import Batch, Engine, LedgerError, LedgerUnavailable
from switch.ledger.reading import Damaged, Store
from switch.server.log import Log

# Batches that wait for a slow disk: some seconds at full speed, 100 MB. Beyond it they are read from the
# ledger later.
MOST_WAITING = 1_000
# After a failure; each try is told.
RETRY_INTERVAL_S = 60.0
# What the end of the process waits for: longer than the disk of a living machine takes.
CLOSING_S = 10.0

Rows = Sequence[tuple[object, ...]]
_TROUBLE = (LedgerError, Damaged, OSError)


class _Committed(NamedTuple):
    """A durable batch. follows_gap: before it something became durable that never came here."""

    rows: Rows
    batch: Batch
    follows_gap: bool


class ArchivedEngine:
    """`Engine` that hands on what became durable. All but writing is the engine's own."""

    def __init__(
        self, engine: Engine, committed: Callable[[Rows, Batch], None], unknown: Callable[[], None]
    ) -> None:
        self._engine = engine
        self._committed = committed
        self._unknown = unknown
        self._batch = Batch(())
        self.is_remote: bool = getattr(engine, "is_remote", False)
        self.ledger = engine.ledger
        self.claim = engine.claim
        self.start = engine.start
        self.load = engine.load
        self.load_many = engine.load_many
        self.due_members = engine.due_members
        self.due_holds = engine.due_holds
        self.rollback = engine.rollback
        self.heads = engine.heads
        self.note_checkpoint = engine.note_checkpoint
        self.close = engine.close

    @property
    def sealed_rows(self) -> Rows:
        """See `Engine.sealed_rows`."""
        return self._engine.sealed_rows

    def stage(self, batch: Batch, epoch: int) -> None:
        """See `Engine.stage`."""
        self._engine.stage(batch, epoch)
        self._batch = batch

    def sync(self) -> None:
        """See `Engine.sync`."""
        try:
            self._engine.sync()
        except LedgerUnavailable:
            self._unknown()
            raise
        self._committed(self._engine.sealed_rows, self._batch)


class Archiving:
    """The archive of one switch: `engine` instead of the engine that it was given.

    store: the same ledger, to be read. directory: the archive's.
    """

    def __init__(self, engine: Engine, store: Store, directory: Path, log: Log) -> None:
        self.engine = ArchivedEngine(engine, self._committed, self._unknown)
        self._store = store
        self._directory = directory
        self._log = log
        self._archive: Archive | None = None  # None: it can't be written
        self._waiting: SimpleQueue[_Committed | None] = SimpleQueue()
        self._gap = False
        self._tried_s = 0.0
        self._thread = Thread(target=self._run, name="ledger-archive", daemon=True)

    def begin(self) -> None:
        """Fill the archive up from the ledger; from now on batches are copied. Call it before the first one.
        Takes long where the archive is new beside an old ledger.

        Raises ArchiveAhead: the archive has what the ledger lost, so no switch may go on with that ledger.
        """
        try:
            self._fill()
        except ArchiveAhead:
            raise
        except _TROUBLE as error:
            self._failed(error)
        self._thread.start()

    def close(self) -> None:
        """Write what waits, make it durable, end. Harmless before `begin`."""
        if not self._thread.is_alive():
            return
        self._waiting.put(None)
        self._thread.join(CLOSING_S)
        if self._thread.is_alive():
            self._log.error("archive not closed in time", alarm=True)

    # ---------------------------------------------------------------- where the ledger is written

    def _committed(self, rows: Rows, batch: Batch) -> None:
        if self._waiting.qsize() >= MOST_WAITING:
            self._gap = True
            return
        self._waiting.put(_Committed(rows, batch, self._gap))
        self._gap = False

    def _unknown(self) -> None:
        """Maybe the batch is durable. Before the next one is, that is settled: it is looked for then."""
        self._gap = True

    # ---------------------------------------------------------------- on the archive's thread

    def _run(self) -> None:
        sync_s = time.monotonic() + SYNC_INTERVAL_S
        open_ = True
        while open_:
            try:
                committed = self._waiting.get(timeout=max(sync_s - time.monotonic(), 0))
                open_ = committed is not None
            except Empty:
                committed = None
            try:
                if committed is not None:
                    self._append(committed)
                if time.monotonic() >= sync_s or not open_:
                    sync_s = time.monotonic() + SYNC_INTERVAL_S
                    self._sync()
            except _TROUBLE as error:
                self._failed(error)
        self._forget()

    def _append(self, committed: _Committed) -> None:
        if self._archive is None:
            return  # the ledger has it
        if committed.follows_gap:
            self._fill()
        else:
            self._archive.append(committed.rows, committed.batch)

    def _sync(self) -> None:
        if self._archive is not None:
            self._archive.sync()
        elif time.monotonic() - self._tried_s >= RETRY_INTERVAL_S:
            self._fill()

    def _fill(self) -> None:
        """Open the archive and take over from the ledger what isn't there."""
        begun = self._tried_s = time.monotonic()
        if self._archive is None:
            self._archive = Archive(self._directory, self.engine.ledger)
        with closing(self._store.open()) as reading:
            entries = self._archive.catch_up(reading)
        if entries:
            self._log.info("archive filled", entries=entries, seconds=round(time.monotonic() - begun, 1))

    def _failed(self, error: Exception) -> None:
        self._forget()
        self._log.error("archive not written", alarm=True, error=str(error))

    def _forget(self) -> None:
        archive, self._archive = self._archive, None
        if archive is not None:
            with suppress(ArchiveError, OSError):
                archive.close()
