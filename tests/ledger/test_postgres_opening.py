"""Which ledger the settings open, and what is said when they don't name one."""

from __future__ import annotations

import builtins
import sys
from contextlib import closing
from pathlib import Path

import pytest

from switch.ledger import LedgerUnavailable
from switch.ledger.opening import MOVED_SUFFIX, EngineKind, LedgerInUse, Place, read_url
from switch.ledger.postgres import PostgresEngine
from switch.ledger.sqlite import SqliteEngine
from tests.ledger.book import SEAL_KEY, Book, Request
from tests.ledger.conftest import schema_url


def secret_file(directory: Path, text: str, mode: int = 0o600) -> Path:
    path = directory / "ledger.url"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_sqlite_is_a_file(tmp_path: Path) -> None:
    place = Place(EngineKind.SQLITE, tmp_path / "ledger.sqlite")
    assert place.last_counter(bytes(8)) == 0
    with pytest.raises(LedgerUnavailable, match="there is no ledger"):
        place.store().open()
    with closing(place.open_engine(SEAL_KEY)) as engine:
        assert isinstance(engine, SqliteEngine)
    place.check_unused()
    place.store().open().close()


@pytest.mark.parametrize("from_file", [True, False])
def test_postgres_is_a_connection_string(tmp_path: Path, from_file: bool) -> None:
    url = schema_url(tmp_path)
    path = tmp_path / "ledger.sqlite"
    if from_file:
        place = Place(EngineKind.POSTGRES, path, url_file=secret_file(tmp_path, url + "\n"))
    else:
        place = Place(EngineKind.POSTGRES, path, url)
    assert place.last_counter(bytes(8)) == 0
    place.check_unused()
    with pytest.raises(LedgerUnavailable, match="there is no ledger"):
        place.store().open()
    with closing(place.open_engine(SEAL_KEY)) as engine:
        assert isinstance(engine, PostgresEngine)
    place.store().open().close()
    assert not path.exists()


def test_a_string_with_a_password_is_in_no_repr(tmp_path: Path) -> None:
    place = Place(EngineKind.POSTGRES, tmp_path / "ledger.sqlite", "postgresql://u:hidden@h/d")
    assert "hidden" not in repr(place) + str(place) + repr(place.store()) + place.store().name


def test_counters_come_from_the_database(tmp_path: Path) -> None:
    place = Place(EngineKind.POSTGRES, tmp_path / "ledger.sqlite", schema_url(tmp_path))
    book = Book(lambda: place.open_engine(SEAL_KEY))
    request = Request("activate", 70_000, card=1)
    book.book(request)
    book.stage({b"answered": 5})
    book.engine.sync()
    assert place.last_counter(request.serial[:8]) == 70_000
    assert place.last_counter(b"answered") == 5
    assert place.last_counter(bytes(8)) == 0
    book.engine.close()


def test_a_ledger_that_a_switch_has_open_is_seen(tmp_path: Path) -> None:
    place = Place(EngineKind.POSTGRES, tmp_path / "ledger.sqlite", schema_url(tmp_path))
    other = Place(EngineKind.POSTGRES, tmp_path / "ledger.sqlite", schema_url(tmp_path / "other"))
    other.open_engine(SEAL_KEY).close()
    engine = place.open_engine(SEAL_KEY)
    engine.claim("a switch")
    with pytest.raises(LedgerInUse, match=r"a switch has this ledger open: session \d+ from this ma"):
        place.check_unused()
    other.check_unused()
    with closing(place.store().open()):  # who only reads is no switch
        other.check_unused()
    engine.close()


def test_a_second_ledger_is_not_begun_beside_one_that_was_not_moved(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    SqliteEngine(path, SEAL_KEY).close()
    place = Place(EngineKind.POSTGRES, path, schema_url(tmp_path))
    for ask in (lambda: place.open_engine(SEAL_KEY), place.store):
        with pytest.raises(LedgerUnavailable, match="move it there with `vafa ledger migrate --to postgres`"):
            ask()


def test_a_ledger_that_was_moved_is_not_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    SqliteEngine(path, SEAL_KEY).close()
    path.rename(path.with_name(path.name + MOVED_SUFFIX))
    place = Place(EngineKind.SQLITE, path)
    for ask in (lambda: place.open_engine(SEAL_KEY), place.store):
        with pytest.raises(LedgerUnavailable, match=r"was moved to PostgreSQL; set ledger\.engine"):
            ask()
    assert not path.exists()


def test_one_of_both_names_the_database(tmp_path: Path) -> None:
    for url, file in (("", None), ("postgresql:///x", tmp_path / "ledger.url")):
        with pytest.raises(LedgerUnavailable, match=r"ledger\.url or ledger\.url_file"):
            read_url(url, file)


@pytest.mark.parametrize(
    ("text", "mode", "said"),
    [
        ("postgresql://u:pw@h/d", 0o644, "others may read it; chmod 600 it"),
        ("postgresql://u:pw@h/d two", 0o600, "holds 2 words, one connection string is expected"),
        ("", 0o600, "holds 0 words"),
    ],
)
def test_a_file_that_holds_no_secret_is_told(tmp_path: Path, text: str, mode: int, said: str) -> None:
    with pytest.raises(LedgerUnavailable, match=said) as caught:
        read_url("", secret_file(tmp_path, text, mode))
    assert "pw" not in str(caught.value)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(LedgerUnavailable, match=r"can't be read \(FileNotFoundError\)"):
        read_url("", tmp_path / "nowhere")


def test_without_its_driver_postgres_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *rest: object) -> object:
        if name.startswith("psycopg"):
            raise ImportError(name)
        return real(name, *rest)  # type: ignore[arg-type]

    for module in [name for name in sys.modules if name.startswith("switch.ledger.postgres")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(LedgerUnavailable, match=r"pip install 'vafa\[postgres\]'"):
        Place(EngineKind.POSTGRES, tmp_path / "ledger.sqlite", "postgresql:///x").open_engine(SEAL_KEY)
