"""Backups made beside a writer, put back, brought forward; nothing is ever overwritten or lost on the way."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import apsw
import pytest

from switch.defaults import create_defaults
from switch.keys import checkpoint_mac
from switch.ledger.backup import back_up, summary_of
from switch.ledger.checkpoint import CheckpointFile, read_checkpoints
from switch.ledger.history import TEHRAN
from switch.loyalty.program import Rules
from switch.server.past_rules import FILE_NAME as PAST_RULES
from switch.server.past_rules import with_past
from switch.settings import Settings
from tests.ledger.archived import Archived
from tests.ledger.book import Request
from tests.ledger.files import KEYS, Files
from tools.cli import run

Capture = pytest.CaptureFixture[str]


class Shop:
    """A data directory, its owner and its archive."""

    def __init__(self, directory: Path) -> None:
        self.settings: Settings = create_defaults(directory / "data")
        self.owner = Archived(self.settings.ledger_path, self.settings.seal_key)
        self.files = Files(self.settings.data)
        self.backup = directory / "backup"
        self._numbers = iter(range(1, 10_000))

    def number(self) -> int:
        return next(self._numbers)

    def earn(self, card: int, points: int) -> None:
        self.owner.commit(Request("earn", self.number(), card, points=points))

    def checkpoint(self) -> None:
        engine = self.owner.book.engine
        with checkpoint_mac(self.settings) as mac:
            made = CheckpointFile(self.settings.checkpoint_path, mac).append(
                engine.heads(), self.owner.book.now_ms
            )
        if made is not None:
            engine.note_checkpoint(made.number, made.mac)

    def stop(self) -> None:
        self.owner.archive.close()
        self.owner.book.engine.close()

    def run(self, *arguments: str, code: int = 0) -> None:
        assert run(["ledger", *arguments, "--data", str(self.settings.data)]) == code

    def rows(self) -> dict[str, object]:
        return {table: self.files.rows(table) for table in KEYS if table not in ("owner", "meta")}


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    shop = Shop(tmp_path)
    shop.owner.commit(*(Request("activate", shop.number(), card) for card in (1, 2, 3)))
    shop.earn(1, 100)
    shop.checkpoint()
    shop.earn(2, 50)
    return shop


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def tell(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, TEHRAN).strftime("%Y-%m-%dT%H:%M:%S")


def test_a_backup_beside_a_writer_is_the_ledger_at_one_moment(
    tmp_path: Path, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writer commits between every two steps of the copy."""
    monkeypatch.setattr("switch.ledger.backup.PAGES_AT_ONCE", 5)
    steps = 0
    true_backup = apsw.Connection.backup

    class Between:
        def __init__(self, copying: apsw.Backup) -> None:
            self._copying = copying

        def __enter__(self) -> Between:
            return self

        def __exit__(self, *error: object) -> None:
            self._copying.finish()

        @property
        def done(self) -> bool:
            return bool(self._copying.done)

        def step(self, pages: int) -> None:
            nonlocal steps
            steps += 1
            shop.earn(1, steps)
            shop.checkpoint()
            self._copying.step(pages)

    class Copied(apsw.Connection):
        def backup(self, *arguments: object) -> Between:  # type: ignore[override]
            return Between(true_backup(self, *arguments))  # type: ignore[arg-type]

    monkeypatch.setattr("switch.ledger.sqlite.apsw.Connection", Copied)
    before = summary_of(shop.settings.ledger_path)
    with checkpoint_mac(shop.settings) as mac:
        summary = back_up(shop.settings.ledger_path, shop.settings.checkpoint_path, shop.backup, mac)
        assert steps > 3
        assert summary == before
        lines = list(read_checkpoints(shop.backup / "ledger.checkpoints", mac))
    assert len(lines) == 1
    assert summary_of(shop.backup / "ledger.sqlite") == before
    assert sorted(path.name for path in shop.backup.iterdir()) == ["ledger.checkpoints", "ledger.sqlite"]
    shop.stop()


def test_a_backup_is_verified_and_put_back(shop: Shop, capsys: Capture) -> None:
    shop.run("backup", str(shop.backup))
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("5 entries, the newest of 2026-09-21T")
    assert told[1] == "verified: 5 entries, 3 members, as they were written"
    before = shop.rows()
    shop.stop()
    shop.settings.ledger_path.unlink()
    shop.settings.checkpoint_path.unlink()
    shop.run("restore", "--from", str(shop.backup))
    assert shop.rows() == before
    shop.run("verify")
    assert " 1 checkpoints read" in capsys.readouterr().out
    assert {
        path.stat().st_mode & 0o777 for path in (shop.settings.ledger_path, shop.backup / "ledger.sqlite")
    } == {0o600}


def test_rules_that_awards_are_taken_back_by_come_with_the_backup_and_the_archive(shop: Shop) -> None:
    rules = shop.settings.data / PAST_RULES
    first, second, third = Rules(), Rules(number=2, points_per_step=2), Rules(number=3, points_per_step=3)
    with_past(rules, [first, second])
    shop.run("backup", str(shop.backup))
    assert (shop.backup / PAST_RULES).read_bytes() == rules.read_bytes()
    archive = shop.owner.place
    with_past(archive / PAST_RULES, [first, second, third])
    shop.stop()
    for path in (rules, shop.settings.ledger_path, shop.settings.checkpoint_path):
        path.unlink()
    shop.run("restore", "--from", str(shop.backup))
    assert rules.read_bytes() == (shop.backup / PAST_RULES).read_bytes()
    shop.run("restore", "--from", str(shop.backup), "--archive", str(archive))
    assert rules.read_bytes() == (archive / PAST_RULES).read_bytes()


def test_rules_of_another_ledger_are_not_mixed_in_unless_forced(shop: Shop, capsys: Capture) -> None:
    rules = shop.settings.data / PAST_RULES
    with_past(rules, [Rules()])
    shop.run("backup", str(shop.backup))
    rules.unlink()
    with_past(rules, [Rules(points_per_step=9)])
    shop.stop()
    before, ledger = rules.read_bytes(), digest(shop.settings.ledger_path)
    shop.run("restore", "--from", str(shop.backup), code=4)
    assert "version 1 has other rules than in" in capsys.readouterr().err
    assert (rules.read_bytes(), digest(shop.settings.ledger_path)) == (before, ledger)
    shop.run("restore", "--from", str(shop.backup), "--force")
    assert "kept aside: program.rules.before-" in capsys.readouterr().out
    assert rules.read_bytes() == (shop.backup / PAST_RULES).read_bytes()


def test_each_backup_has_a_directory_of_its_own(shop: Shop, capsys: Capture) -> None:
    shop.run("backup", str(shop.backup), "--no-verify")
    before = digest(shop.backup / "ledger.sqlite")
    shop.run("backup", str(shop.backup), code=4)
    assert "give each backup a directory of its own" in capsys.readouterr().err
    assert digest(shop.backup / "ledger.sqlite") == before
    shop.stop()


def test_a_backup_of_an_edited_ledger_is_told(shop: Shop, capsys: Capture) -> None:
    shop.stop()
    shop.files.edit("UPDATE entry SET amount = 7")
    shop.run("backup", str(shop.backup), code=1)
    assert "problems, first:\nentry " in capsys.readouterr().err


def test_a_backup_that_can_t_be_written_is_told(tmp_path: Path, shop: Shop, capsys: Capture) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    shop.run("backup", str(blocked / "backup"), code=4)
    assert "nothing was backed up" in capsys.readouterr().err
    shop.stop()


def test_a_ledger_that_knows_more_is_not_replaced_unless_forced(shop: Shop, capsys: Capture) -> None:
    shop.run("backup", str(shop.backup))
    old = shop.rows()
    shop.earn(1, 5)
    shop.checkpoint()
    shop.stop()
    before, checkpoints = digest(shop.settings.ledger_path), shop.settings.checkpoint_path.read_bytes()
    shop.run("restore", "--from", str(shop.backup), code=4)
    assert (
        "has 1 entries that would be gone; bring the backup forward with --archive" in capsys.readouterr().err
    )
    assert digest(shop.settings.ledger_path) == before
    shop.run("restore", "--from", str(shop.backup), "--force")
    told = capsys.readouterr().out
    assert shop.rows() == old
    kept = [path for path in shop.settings.data.iterdir() if ".before-" in path.name]
    assert {path.name.split(".before-")[0] for path in kept} == {"ledger.sqlite", "ledger.checkpoints"}
    assert all(f"kept aside: {path.name}" in told for path in kept)
    assert checkpoints in [path.read_bytes() for path in kept]
    # The switch starts on it: its checkpoints know of no more than it has.
    shop.run("verify")
    shop.owner.book.open()
    shop.earn(2, 5)
    shop.checkpoint()
    shop.stop()
    shop.run("verify")


def test_another_ledger_is_not_replaced_unless_forced(tmp_path: Path, shop: Shop, capsys: Capture) -> None:
    (tmp_path / "other").mkdir()
    other = Shop(tmp_path / "other")
    other.earn(1, 1)
    other.stop()
    shop.run("backup", str(shop.backup))
    shop.stop()
    arguments = ["restore", "--from", str(shop.backup), "--config", str(shop.settings.source)]
    assert run(["ledger", *arguments, "--data", str(shop.settings.data)]) == 0
    shop.settings.ledger_path.write_bytes(other.settings.ledger_path.read_bytes())
    capsys.readouterr()
    shop.run("restore", "--from", str(shop.backup), code=4)
    assert "is another ledger" in capsys.readouterr().err
    shop.run("restore", "--from", str(shop.backup), "--force")


def damage(path: Path) -> None:
    connection = apsw.Connection(str(path))
    connection.execute("UPDATE member SET active_day = active_day + 1")
    connection.close()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:20_000])


@pytest.mark.parametrize("harm", [damage, cut, lambda path: path.unlink()], ids=["edited", "cut", "missing"])
def test_a_bad_backup_is_not_put_in_place(shop: Shop, capsys: Capture, harm: Callable[[Path], None]) -> None:
    shop.run("backup", str(shop.backup))
    shop.stop()
    harm(shop.backup / "ledger.sqlite")
    files = {path.name: digest(path) for path in shop.settings.data.iterdir() if path.is_file()}
    assert run(["ledger", "restore", "--from", str(shop.backup), "--data", str(shop.settings.data)]) in (1, 4)
    assert {path.name: digest(path) for path in shop.settings.data.iterdir() if path.is_file()} == {
        **files,
        "switch.lock": digest(shop.settings.lock_path),
    }


# ---------------------------------------------------------------- point in time


def test_a_lost_disk_is_made_up_for_by_backup_and_archive(shop: Shop, capsys: Capture) -> None:
    shop.run("backup", str(shop.backup))
    for days in range(3):
        shop.owner.book.pass_days(1)
        shop.earn(1 + days, 10)
        shop.owner.commit(Request("replace", shop.number(), 3 + 30 * days, other=33 + 30 * days))
        shop.owner.commit(answered={b"initial9": 5 + days})
    shop.owner.archive.sync()
    before = shop.rows()
    shop.stop()
    shop.settings.ledger_path.unlink()
    shop.settings.checkpoint_path.unlink()
    capsys.readouterr()
    shop.run("restore", "--from", str(shop.backup), "--archive", str(shop.owner.place))
    told = capsys.readouterr().out
    assert "6 entries from the archive, the last of 2026-09-24T" in told
    assert "every chain ends as archived" in told
    assert "verified: 11 entries" in told
    assert shop.rows() == before


def test_as_far_as_a_moment(shop: Shop, capsys: Capture) -> None:
    shop.run("backup", str(shop.backup))
    moments, states = [], []
    for days in range(3):
        shop.owner.book.pass_days(days)
        shop.earn(1, 10 + days)
        moments.append(shop.owner.book.now_ms)
        states.append(shop.rows())
        shop.owner.book.now_ms += 60_000
    shop.stop()
    for moment, state in zip(moments, states, strict=True):
        shop.run(
            "restore",
            "--from",
            str(shop.backup),
            "--archive",
            str(shop.owner.place),
            "--until",
            tell(moment + 1_000),
            "--force",
        )
        assert shop.rows() == state
    shop.run(
        "restore",
        "--from",
        str(shop.backup),
        "--archive",
        str(shop.owner.place),
        "--until",
        "1405-06-30",
        "--force",
    )
    assert shop.rows() == states[0]


def test_a_backup_of_a_later_time_is_refused(shop: Shop, capsys: Capture) -> None:
    shop.run("backup", str(shop.backup))
    before = shop.rows()
    shop.stop()
    archive = ["--archive", str(shop.owner.place), "--until", "2026-09-20", "--force"]
    shop.run("restore", "--from", str(shop.backup), *archive, code=4)
    assert "is of a later time than --until; take an older backup" in capsys.readouterr().err
    assert shop.rows() == before


def test_until_needs_an_archive(shop: Shop, capsys: Capture) -> None:
    shop.stop()
    shop.run("restore", "--from", str(shop.backup), "--until", "2026-09-21", code=2)
    assert "--until needs --archive" in capsys.readouterr().err


def test_an_archive_that_is_none_changes_nothing(tmp_path: Path, shop: Shop, capsys: Capture) -> None:
    shop.run("backup", str(shop.backup))
    before = shop.rows()
    shop.stop()
    shop.run("restore", "--from", str(shop.backup), "--archive", str(tmp_path / "none"), code=4)
    assert "check --archive" in capsys.readouterr().err
    assert shop.rows() == before


def test_without_a_ledger_there_is_nothing_to_back_up(shop: Shop, capsys: Capture) -> None:
    shop.stop()
    shop.settings.ledger_path.unlink()
    shop.run("backup", str(shop.backup), code=4)
    assert "there is no ledger" in capsys.readouterr().err
    assert not shop.backup.exists()
