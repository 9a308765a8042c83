"""The archive: every committed batch once, whatever a crash leaves of its end, and nothing edited goes in."""

from __future__ import annotations

from pathlib import Path

import pytest

from switch.ledger.archive import HEADER, Archive, ArchiveError, archive_files, read_archive
from switch.ledger.backup import Replayed, replay
from switch.ledger.sqlite import SqliteEngine
from switch.ledger.verify import verify
from tests.ledger.archived import Archived
from tests.ledger.book import SEAL_KEY, Request
from tests.ledger.files import KEYS, Files


@pytest.fixture
def archived(tmp_path: Path) -> Archived:
    (tmp_path / "data").mkdir()
    return Archived(tmp_path / "data" / "ledger.sqlite", SEAL_KEY)


def rebuilt(archived: Archived, directory: Path, empty: Files) -> Files:
    """A ledger made of the archive alone, on a copy of the empty ledger."""
    directory.mkdir()
    files = Files(directory)
    files.database.write_bytes(empty.database.read_bytes())
    engine = files.open()
    replay(engine, read_archive(archived.place, engine.ledger))
    engine.close()
    return files


def emptied(archived: Archived, directory: Path) -> Files:
    """A copy of the ledger as it is now, which must be closed."""
    directory.mkdir()
    files = Files(directory)
    files.database.write_bytes(archived.database.read_bytes())
    return files


@pytest.fixture
def empty(tmp_path: Path, archived: Archived) -> Files:
    archived.book.engine.close()
    files = emptied(archived, tmp_path / "empty")
    archived.book.open()
    return files


def same(one: Files, other: Files) -> None:
    """Two ledgers with the same rows, but for who owned them."""
    for table in KEYS:
        if table not in ("owner", "meta"):
            assert one.rows(table) == other.rows(table), table
    assert verify(other.database, SEAL_KEY).problems == []


def test_a_ledger_is_made_again_from_its_archive(tmp_path: Path, archived: Archived, empty: Files) -> None:
    archived.story()
    assert archive_files(archived.place) == ["2026-09-21.vafa", "2026-09-22.vafa", "2026-09-23.vafa"]
    same(Files(archived.place.parent), rebuilt(archived, tmp_path / "rebuilt", empty))


def test_it_is_readable_by_its_owner_only(archived: Archived) -> None:
    archived.story()
    modes = {path.stat().st_mode & 0o777 for path in archived.place.iterdir()}
    assert (modes, archived.place.stat().st_mode & 0o777) == ({0o600}, 0o700)


def test_it_goes_on_after_a_restart_and_leaves_out_what_it_has(archived: Archived) -> None:
    archived.story()
    before = archived.records()
    archived.reopen()
    assert archived.archive.last_entry == Files(archived.place.parent).rows("entry")[-1]["id"]
    engine = archived.book.engine
    assert isinstance(engine, SqliteEngine)
    archived.commit(Request("earn", 40, 1, points=1))
    batch = archived.book.state.batch()
    archived.archive.append(engine.sealed_rows, batch)  # once more
    assert archived.records() == before + 1


@pytest.mark.parametrize("lost", [1, 7, 60, 400, 100_000])
def test_what_a_crash_tears_off_is_read_from_the_ledger_again(
    tmp_path: Path, archived: Archived, empty: Files, lost: int
) -> None:
    archived.story()
    archived.archive.close()
    path = archived.place / archive_files(archived.place)[-1]  # the one before is durable when it begins
    data = path.read_bytes()
    path.write_bytes(data[: max(0, len(data) - lost)])
    archived.reopen()
    archived.catch_up()
    archived.commit(Request("earn", 50, 2, points=4))
    same(Files(archived.place.parent), rebuilt(archived, tmp_path / "rebuilt", empty))


def test_a_hole_that_a_power_cut_left_is_filled(tmp_path: Path, archived: Archived, empty: Files) -> None:
    archived.story()
    archived.archive.close()
    path = archived.place / archive_files(archived.place)[-2]
    (archived.place / archive_files(archived.place)[-1]).unlink()
    data = bytearray(path.read_bytes())
    data[60:200] = bytes(140)
    path.write_bytes(data)
    archived.reopen()
    assert archived.catch_up() > 0
    same(Files(archived.place.parent), rebuilt(archived, tmp_path / "rebuilt", empty))


def test_a_new_archive_beside_an_old_ledger_has_all_of_it(
    tmp_path: Path, archived: Archived, empty: Files
) -> None:
    archived.story()
    archived.archive.close()
    for path in archived.place.iterdir():
        path.unlink()
    archived.reopen()
    assert archived.catch_up() == len(Files(archived.place.parent).rows("entry"))
    assert archived.catch_up() == 0
    same(Files(archived.place.parent), rebuilt(archived, tmp_path / "rebuilt", empty))


def test_only_so_far_as_it_is_asked_for(archived: Archived, empty: Files) -> None:
    archived.story()
    rows = Files(archived.place.parent).rows("entry")
    engine = empty.open()
    replayed = replay(engine, read_archive(archived.place, engine.ledger), rows[4]["decided_ms"])
    assert replayed == Replayed(5, rows[4]["decided_ms"])
    engine.close()
    assert [row["id"] for row in empty.rows("entry")] == [row["id"] for row in rows[:5]]


def test_replaying_twice_changes_nothing(archived: Archived, empty: Files) -> None:
    archived.story()
    for expected in (len(Files(archived.place.parent).rows("entry")), 0):
        engine = empty.open()
        assert replay(engine, read_archive(archived.place, engine.ledger)).entries == expected
        engine.close()


@pytest.mark.parametrize("seed", range(3))
def test_an_edited_archive_is_refused(archived: Archived, empty: Files, seed: int) -> None:
    """A changed byte in the middle; also with its CRC put right, for the seals don't fit then."""
    archived.story()
    archived.archive.close()
    path = archived.place / archive_files(archived.place)[0]
    data = bytearray(path.read_bytes())
    data[len(HEADER) + 100 + 41 * seed] ^= 0x10
    path.write_bytes(data)
    engine = empty.open()
    with pytest.raises(ArchiveError, match="damaged at byte 47"):
        replay(engine, read_archive(archived.place, engine.ledger))
    engine.close()


def test_an_archive_with_other_entries_is_refused(tmp_path: Path, archived: Archived, empty: Files) -> None:
    archived.story()
    records = list(read_archive(archived.place, archived.book.engine.ledger))
    row = list(records[1].rows[0])
    row[13] += 1  # its amount
    forged = records[1].__class__((tuple(row), *records[1].rows[1:]))
    engine = empty.open()
    with pytest.raises(ArchiveError, match="are not those that were archived"):
        replay(engine, [records[0], forged])
    engine.close()


def test_an_archive_that_begins_too_late_is_refused(archived: Archived, empty: Files) -> None:
    archived.story()
    (archived.place / archive_files(archived.place)[0]).unlink()
    engine = empty.open()
    with pytest.raises(ArchiveError, match="take a newer backup, or an archive that begins earlier"):
        replay(engine, read_archive(archived.place, engine.ledger))
    engine.close()


def test_an_archive_that_knows_more_than_the_ledger_is_not_gone_on_with(
    archived: Archived, empty: Files
) -> None:
    """The ledger went back to an earlier moment: what came after would stand in the archive for ever."""
    archived.story()
    archived.archive.close()
    archived.book.engine.close()
    archived.database.write_bytes(empty.database.read_bytes())
    archived.book.open()
    archived.reopen()
    with pytest.raises(ArchiveError, match="begin a new directory"):
        archived.catch_up()


def test_another_ledger_s_archive_is_refused(tmp_path: Path, archived: Archived) -> None:
    archived.story()
    with pytest.raises(ArchiveError, match="archive of another ledger"):
        list(read_archive(archived.place, "0" * 32))
    with pytest.raises(ArchiveError, match="archive of another ledger"):
        Archive(archived.place, "0" * 32)
    (tmp_path / "none").mkdir()
    with pytest.raises(ArchiveError, match="holds no archive files"):
        list(read_archive(tmp_path / "none", "0" * 32))
    with pytest.raises(ArchiveError, match="can't be read"):
        list(read_archive(tmp_path / "nowhere", "0" * 32))


def test_a_disk_that_can_t_be_written_is_told(tmp_path: Path, archived: Archived) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_text("")
    with pytest.raises(ArchiveError, match="check the disk and the permissions"):
        Archive(blocked, "0" * 32)
    archived.commit(Request("activate", 1, 1))
    archived.archive.close()
    with pytest.raises(ArchiveError, match="it was closed after an earlier failure"):
        archived.commit(Request("earn", 2, 1, points=5))
