"""An operator moves a ledger to PostgreSQL, loses the database, restores a dump and brings it forward."""

from __future__ import annotations

import fcntl
import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from secrets import token_hex

import psycopg
import pytest

from switch.defaults import create_defaults
from switch.keys import checkpoint_mac
from switch.ledger.checkpoint import CheckpointFile
from switch.ledger.sqlite import SqliteEngine
from switch.server.archiving import Archiving
from switch.server.log import open_log
from switch.server.quarantine import Quarantine
from switch.settings import Settings
from tests.ledger.book import Book, Request
from tests.ledger.conftest import on_postgres, schema_url, shared_server
from tools.cli import run

Capture = pytest.CaptureFixture[str]
Told = Callable[..., str]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return create_defaults(tmp_path / "data")


@pytest.fixture
def told(settings: Settings, capsys: Capture) -> Told:
    """What a command of `vafa ledger` prints."""

    def ask(*arguments: str, code: int = 0) -> str:
        assert run(["ledger", *arguments, "--data", str(settings.data)]) == code, capsys.readouterr()
        printed = capsys.readouterr()
        return printed.out if code == 0 else printed.out + printed.err

    return ask


# ---------------------------------------------------------------- migrate


@pytest.fixture
def url_file(settings: Settings, tmp_path: Path) -> Path:
    path = settings.data / "ledger.url"
    path.write_text(schema_url(tmp_path))
    path.chmod(0o600)
    return path


def test_a_ledger_is_moved_beside_its_switch_and_then_served_from_there(
    settings: Settings, told: Told, url_file: Path
) -> None:
    book = Book(lambda: SqliteEngine(settings.ledger_path, settings.seal_key))
    book.book(Request("activate", 1, 1), Request("earn", 2, 1, points=7))
    to = ("migrate", "--to", "postgres", "--url-file", str(url_file))
    assert told(*to).startswith("2 entries copied; the switch may go on\nnext: ")
    book.book(Request("earn", 3, 1, points=5))  # it did
    assert told(*to).startswith("1 entries copied")
    before = told("verify")
    book.engine.close()
    lines = told(*to, "--finish").splitlines()
    assert lines[:2] == ["3 entries and 1 members moved, every seal as it was", "kept: ledger.sqlite.moved"]
    assert lines[2:] == [
        "set in switch.toml:",
        "[ledger]",
        'engine = "postgres"',
        'url_file = "ledger.url"',
    ]
    assert "was moved to PostgreSQL" in told("verify", code=4)
    with settings.source.open("a") as file:
        file.write("\n" + "\n".join(lines[3:]) + "\n")
    assert told("verify").split(" read in ")[0] == before.split(" read in ")[0]
    assert "points:  balance 12" in told("statement", "--member", str(book.member(1).id))
    assert "already" in told(*to, code=2)


def test_a_move_isn_t_finished_beside_a_switch(settings: Settings, told: Told, url_file: Path) -> None:
    engine = SqliteEngine(settings.ledger_path, settings.seal_key)
    with closing(engine), settings.lock_path.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        said = told("migrate", "--to", "postgres", "--url-file", str(url_file), "--finish", code=1)
    assert "a switch serves this directory" in said
    assert settings.ledger_path.exists()


def test_a_password_is_not_taken_from_the_command_line(settings: Settings, told: Told) -> None:
    for url in ("postgresql://u:hidden@h/d", "host=h password=hidden"):
        said = told("migrate", "--to", "postgres", "--url", url, code=2)
        assert "give --url-file" in said
        assert "hidden" not in said
    assert "give one of --url, --url-file" in told("migrate", "--to", "postgres", code=2)


# ---------------------------------------------------------------- dump, restore, archive


class Kept:
    """A ledger in a database of its own, with its archive."""

    def __init__(self, settings: Settings, name: str, directory: Path) -> None:
        server = shared_server()
        self.name = name
        with psycopg.connect(server.url(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        self.settings = on_postgres(settings, self.url)
        self.archive = directory / "archive"
        self.numbers = iter(range(1, 1000))
        self.open()

    @property
    def url(self) -> str:
        return shared_server().url().replace("@/postgres?", f"@/{self.name}?")

    def open(self) -> None:
        place = self.settings.ledger_place
        engine = place.open_engine(self.settings.seal_key)
        self.archiving = Archiving(engine, place.store(), self.archive, open_log())
        self.archiving.begin()
        self.book = Book(lambda: self.archiving.engine)

    def go_on(self, *cards: int) -> None:
        for card in cards:
            self.book.book(Request("activate", next(self.numbers), card=card))

    def checkpoint(self) -> None:
        with checkpoint_mac(self.settings) as mac:
            made = CheckpointFile(self.settings.checkpoint_path, mac).append(
                self.book.engine.heads(), self.book.now_ms
            )
        assert made is not None
        self.book.engine.note_checkpoint(made.number, made.mac)

    def close(self) -> None:
        self.archiving.close()
        self.book.engine.close()

    def tool(self, program: str, *options: str) -> None:
        subprocess.run([shared_server().programs / program, *options], check=True, capture_output=True)

    def dump(self, path: Path) -> None:
        self.tool("pg_dump", "--format=custom", f"--file={path}", self.url)

    def lose_and_restore(self, dump: Path) -> None:
        with psycopg.connect(shared_server().url(), autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {self.name} WITH (FORCE)".encode())
            connection.execute(f"CREATE DATABASE {self.name}".encode())
        self.tool("pg_restore", f"--dbname={self.url}", str(dump))


@pytest.fixture
def kept(settings: Settings, tmp_path: Path) -> Iterator[Kept]:
    made = Kept(settings, f"ledger_{token_hex(8)}", tmp_path)
    yield made
    made.close()


def test_a_lost_database_is_made_up_for_by_dump_and_archive(kept: Kept, told: Told, tmp_path: Path) -> None:
    dump = tmp_path / "dump"
    kept.go_on(1, 2)
    kept.checkpoint()
    kept.dump(dump)
    kept.go_on(3, 4)
    kept.checkpoint()
    kept.go_on(5)
    kept.close()
    whole = told("verify").split(" read in ")[0]
    kept.lose_and_restore(dump)

    assert "since checkpoint 2" in told("verify", code=1)
    said = told("restore", code=4)  # not without a word about what is gone
    assert "1 checkpoints know of entries that the ledger hasn't; bring it forward with --archive" in said
    said = told("restore", "--archive", str(kept.archive))
    assert said.splitlines()[0].startswith("2 entries, the newest of ")
    assert said.splitlines()[1].startswith("3 entries from the archive, the last of ")
    assert "kept aside" not in said
    assert told("verify").split(" read in ")[0] == whole
    kept.open()
    kept.go_on(6)
    kept.close()
    assert told("verify").startswith("6 entries")


def test_without_the_archive_what_is_gone_is_let_go_only_by_force(
    kept: Kept, told: Told, tmp_path: Path
) -> None:
    kept.go_on(1)
    kept.checkpoint()
    kept.go_on(2)
    kept.dump(tmp_path / "dump")
    kept.go_on(3)
    kept.checkpoint()
    kept.close()
    kept.lose_and_restore(tmp_path / "dump")
    said = told("restore", "--force")
    assert "verified: 2 entries, 2 members, as they were written" in said
    assert "kept aside: ledger.checkpoints.before-" in said
    assert told("verify").startswith("2 entries")


def test_a_ledger_that_a_switch_elsewhere_has_open_is_left_alone(kept: Kept, told: Told) -> None:
    kept.go_on(1)
    for command in (["checkpoint"], ["restore", "--archive", str(kept.archive)]):
        assert "a switch has this ledger open: session " in told(*command, code=1)
    kept.go_on(2)  # nobody fenced it


def test_backups_are_postgresql_s_own(kept: Kept, told: Told, tmp_path: Path) -> None:
    kept.go_on(1)
    kept.close()
    assert "pg_dump" in told("backup", str(tmp_path / "backup"), code=2)
    assert not (tmp_path / "backup").exists()
    assert "without --from" in told("restore", "--from", str(tmp_path), code=2)


# ---------------------------------------------------------------- quarantine


def stopped_on(settings: Settings, digest: bytes, times: int) -> None:
    for _ in range(times):
        quarantine = Quarantine(settings.quarantine_path, 1_790_000_000_000)
        quarantine.begin(digest)
        del quarantine  # the process ends without a word
    Quarantine(settings.quarantine_path, 1_790_000_000_000).close()


def test_what_a_switch_stopped_on_is_listed_and_let_through(settings: Settings, told: Told) -> None:
    assert told("quarantine", "list") == "nothing\n"
    once, twice = bytes(range(16)), bytes(range(16, 32))
    stopped_on(settings, once, 1)
    assert told("quarantine", "list") == (
        f"{once.hex()}  suspected  1 stops  2026-09-21T17:43:20.000+03:30  terminal unknown\n"
    )
    stopped_on(settings, twice, 2)
    document = json.loads(told("quarantine", "list", "--json", code=1))
    states = {suspect["digest"]: (suspect["state"], suspect["stops"]) for suspect in document["quarantine"]}
    assert states == {once.hex(): ("suspected", "1"), twice.hex(): ("held", "2")}
    assert told("quarantine", "clear", twice.hex().upper()).endswith(" is decided again when it comes\n")
    assert once.hex() in told("quarantine", "list")
    assert "is not there" in told("quarantine", "clear", twice.hex(), code=1)
    assert "a digest has 32 hexadecimal digits" in told("quarantine", "clear", "12", code=2)
