"""Which ledger the settings open, and what is said when they don't name one."""

from __future__ import annotations

import builtins
import sys
from pathlib import Path

import pytest

from switch.ledger import LedgerUnavailable
from switch.ledger.opening import EngineKind, open_engine, read_url
from switch.ledger.postgres import PostgresEngine
from switch.ledger.sqlite import SqliteEngine
from tests.ledger.book import SEAL_KEY
from tests.ledger.conftest import schema_url


def secret_file(directory: Path, text: str, mode: int = 0o600) -> Path:
    path = directory / "ledger.url"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_sqlite_is_a_file(tmp_path: Path) -> None:
    engine = open_engine(EngineKind.SQLITE, SEAL_KEY, path=tmp_path / "ledger.sqlite")
    assert isinstance(engine, SqliteEngine)
    engine.close()


@pytest.mark.parametrize("from_file", [True, False])
def test_postgres_is_a_connection_string(tmp_path: Path, from_file: bool) -> None:
    url = schema_url(tmp_path)
    path = tmp_path / "ledger.sqlite"
    if from_file:
        file = secret_file(tmp_path, url + "\n")
        engine = open_engine(EngineKind.POSTGRES, SEAL_KEY, path=path, url_file=file)
    else:
        engine = open_engine(EngineKind.POSTGRES, SEAL_KEY, path=path, url=url)
    assert isinstance(engine, PostgresEngine)
    engine.close()
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
        open_engine(EngineKind.POSTGRES, SEAL_KEY, path=tmp_path, url="postgresql:///x")
