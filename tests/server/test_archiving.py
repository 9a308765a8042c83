"""The switch's archive has every committed batch in the end, whatever its disk or the ledger do meanwhile."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from threading import Event
from typing import Any

import pytest

import switch.server.archiving as archiving_module
from switch.ledger import LedgerUnavailable
from switch.ledger.archive import Archive, ArchiveAhead, read_archive
from switch.ledger.opening import EngineKind, Place
from switch.ledger.reading import Row
from switch.server.archiving import Archiving
from switch.server.log import open_log
from tests.ledger.book import SEAL_KEY, Book, Request
from tests.ledger.conftest import schema_url


class Kept:
    """A ledger, its archive, and what the log says."""

    def __init__(self, place: Place, directory: Path) -> None:
        self.place = place
        self.directory = directory
        self.log = io.StringIO()
        self.requests = 0
        self.open()

    def open(self) -> None:
        engine = self.place.open_engine(SEAL_KEY)
        self.archiving = Archiving(engine, self.place.store(), self.directory, open_log(self.log))
        self.archiving.begin()
        self.book = Book(lambda: self.archiving.engine)

    def go_on(self, batches: int) -> None:
        for _ in range(batches):
            self.requests += 1
            self.book.book(Request("activate", self.requests, card=self.requests))

    def close(self) -> None:
        self.archiving.close()
        self.book.engine.close()

    def said(self, event: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.log.getvalue().splitlines()]
        return [line for line in lines if line["event"] == event]

    def archived(self) -> list[Row]:
        records = read_archive(self.directory, self.archiving.engine.ledger)
        return [row for record in records for row in record.rows]

    def stored(self) -> list[Row]:
        with closing(self.place.store().open()) as reading:
            return list(reading.entries(0, 255))

    def assert_whole(self) -> None:
        """Of a closed one: every entry once, in order, as the ledger has it."""
        assert self.archived() == self.stored()


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    path = tmp_path / "ledger.sqlite"
    if request.param == "sqlite":
        return Place(EngineKind.SQLITE, path)
    return Place(EngineKind.POSTGRES, path, schema_url(tmp_path))


@pytest.fixture
def kept(place: Place, tmp_path: Path) -> Iterator[Kept]:
    made = Kept(place, tmp_path / "archive")
    yield made
    made.close()


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tried again without waiting."""
    monkeypatch.setattr(archiving_module, "SYNC_INTERVAL_S", 0.01)
    monkeypatch.setattr(archiving_module, "RETRY_INTERVAL_S", 0.0)


def until(condition: Callable[[], bool]) -> None:
    """Waits for the archive's thread, half a minute at most."""
    for _ in range(3000):
        if condition():
            return
        Event().wait(0.01)
    raise AssertionError("it never came")


def test_every_batch_is_archived(kept: Kept) -> None:
    kept.go_on(20)
    kept.close()
    kept.assert_whole()
    assert len(kept.stored()) == 20
    kept.open()  # another start goes on
    kept.go_on(3)
    kept.close()
    kept.assert_whole()
    assert kept.said("archive filled") == []


def test_what_a_killed_switch_left_out_is_filled_in_at_the_start(kept: Kept) -> None:
    kept.go_on(2)
    kept.close()
    engine = kept.place.open_engine(SEAL_KEY)
    book = Book(lambda: engine)
    book.book(Request("activate", 98, card=98), Request("activate", 99, card=99))
    engine.close()
    kept.open()
    assert [line["entries"] for line in kept.said("archive filled")] == [2]
    kept.go_on(1)
    kept.close()
    kept.assert_whole()


def test_a_commit_that_was_stored_though_nobody_knew_leaves_no_hole(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.go_on(2)
    real = kept.archiving.engine._engine.sync

    def lost_afterwards() -> None:
        real()
        raise LedgerUnavailable("the connection broke after the commit")

    monkeypatch.setattr(kept.archiving.engine._engine, "sync", lost_afterwards)
    with pytest.raises(LedgerUnavailable):
        kept.go_on(1)
    monkeypatch.setattr(kept.archiving.engine._engine, "sync", real)
    kept.book.engine.rollback()
    kept.book.forget()
    kept.go_on(3)
    kept.close()
    kept.assert_whole()
    assert len(kept.stored()) == 6


@pytest.mark.usefixtures("at_once")
def test_a_disk_that_fails_costs_nothing_and_is_filled_later(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.go_on(1)
    write, writable = os.write, Event()

    def failing(file: int, data: bytes) -> int:
        if writable.is_set() or not data.startswith((b"\0\0", b"VAFA")):
            return write(file, data)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", failing)
    kept.go_on(5)
    until(lambda: bool(kept.said("archive not written")))
    told = kept.said("archive not written")[0]
    assert told["alarm"] is True
    assert told["error"].startswith(f"{kept.directory}: can't be written (No space left on device)")
    kept.go_on(2)
    writable.set()
    until(lambda: bool(kept.said("archive filled")))
    kept.go_on(2)
    kept.close()
    kept.assert_whole()
    assert len(kept.stored()) == 10


def test_a_slow_disk_holds_up_nobody(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archiving_module, "MOST_WAITING", 3)
    going_on, real = Event(), Archive.append

    def slow(archive: Archive, *arguments: Any) -> None:
        assert going_on.wait(60)
        real(archive, *arguments)

    monkeypatch.setattr(Archive, "append", slow)
    kept.go_on(12)  # far more than may wait
    assert len(kept.stored()) == 12
    going_on.set()
    until(lambda: kept.archiving._waiting.empty())
    kept.go_on(1)
    kept.close()
    kept.assert_whole()


def test_a_ledger_that_lost_what_the_archive_has_is_not_served_from(place: Place, tmp_path: Path) -> None:
    kept = Kept(place, tmp_path / "archive")
    kept.go_on(2)
    kept.close()
    later = Archive(kept.directory, kept.archiving.engine.ledger)
    row = list(kept.stored()[-1])
    later.append([(row[0] + 1, *row[1:])], archiving_module.Batch(()))
    later.close()
    with pytest.raises(ArchiveAhead, match="which the ledger hasn't; bring it forward"):
        kept.open()


def test_an_archive_that_can_t_be_used_stops_no_switch(place: Place, tmp_path: Path) -> None:
    (tmp_path / "archive").write_text("a file")
    kept = Kept(place, tmp_path / "archive")
    assert [line["alarm"] for line in kept.said("archive not written")] == [True]
    kept.go_on(2)
    kept.close()
    assert len(kept.stored()) == 2
