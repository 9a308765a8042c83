"""`vafa ledger` as an operator runs it: what it prints, its exit codes, and that no card number gets out."""

from __future__ import annotations

import csv
import fcntl
import io
import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import apsw
import psycopg
import pytest

from switch.authorizer.identity import card_identifier, rrn_of
from switch.defaults import create_defaults
from switch.keys import checkpoint_mac
from switch.ledger import Batch, Entry, IdentifierKind, Named
from switch.ledger.checkpoint import CheckpointFile
from switch.ledger.history import KINDS
from switch.ledger.sqlite import SqliteEngine
from switch.server.log import open_log
from switch.server.registered import Registered
from switch.settings import Settings
from tests.ledger.book import Book, Request, Terms
from tests.ledger.conftest import on_postgres, schema_url
from tests.ledger.files import give_name
from tools.cli import run

CARD = "9364001234567898"
SHOWN = "936400******7898"
Capture = pytest.CaptureFixture[str]


class Shop(NamedTuple):
    """A data directory with a small ledger: one member's three days."""

    settings: Settings
    entries: list[Entry]
    member: int

    @property
    def data(self) -> list[str]:
        return ["--data", str(self.settings.data)]


ON_BOTH_ENGINES = pytest.mark.parametrize("shop", ["sqlite", "postgres"], indirect=True)


@pytest.fixture
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Shop:
    settings = create_defaults(tmp_path / "data")
    if getattr(request, "param", "sqlite") == "postgres":
        settings = on_postgres(settings, schema_url(tmp_path))
    book = Book(lambda: settings.ledger_place.open_engine(settings.seal_key))
    entries = book.book(Request("activate", 1, card=1), Request("activate", 2, card=2))
    identifier = card_identifier(CARD, settings.directory_key)
    member = book.member(1).id
    give_name(book, 1, 3, Named(identifier, member, IdentifierKind.CARD, SHOWN))
    entries += book.commit()
    entries += book.book(Request("earn", 4, 1, points=250, amount=2_500_000, terms=Terms(lasts=30)))
    with checkpoint_mac(settings) as mac:
        CheckpointFile(settings.checkpoint_path, mac).append(book.engine.heads(), book.now_ms)
    book.pass_days(1)
    entries += book.book(
        Request("redeem", 5, 1, points=100, amount=10_000), Request("redeem", 6, 1, points=999)
    )
    book.pass_days(1)
    entries += book.book(
        Request("hold", 7, 1, points=50), Request("earn", 8, 1, points=40, terms=Terms(pending_days=3))
    )
    book.engine.close()
    return Shop(settings, entries, member)


def edit(shop: Shop, statement: str) -> None:
    """Change the ledger behind the program's back."""
    place = shop.settings.ledger_place
    if place.is_postgres:
        assert place.url_file is not None
        with psycopg.connect(place.url_file.read_text().strip(), autocommit=True) as connection:
            connection.execute(statement.encode())
    else:
        with closing(apsw.Connection(str(place.path))) as file:
            file.execute(statement)


def out(capsys: Capture, arguments: list[str], code: int = 0) -> str:
    assert run(["ledger", *arguments]) == code, capsys.readouterr().err
    return capsys.readouterr().out


def failed(capsys: Capture, arguments: list[str], code: int) -> str:
    assert run(["ledger", *arguments]) == code
    return capsys.readouterr().err


# ---------------------------------------------------------------- verify


def test_a_right_ledger_is_told_in_words(shop: Shop, capsys: Capture) -> None:
    counts, verdict = out(capsys, ["verify", *shop.data]).splitlines()
    assert counts.startswith("8 entries, 4 transfers, 14 postings, 2 members, 1 checkpoints read in ")
    assert verdict == "the ledger is as it was written"


@ON_BOTH_ENGINES
def test_a_right_ledger_is_told_as_json(shop: Shop, capsys: Capture) -> None:
    told = out(capsys, ["verify", "--config", str(shop.settings.source), "--format", "json"])
    assert json.loads(told) == {
        "verified": True,
        "entries": "8",
        "transfers": "4",
        "postings": "14",
        "members": "2",
        "checkpoints": "1",
        "found": "0",
        "problems": [],
        "warnings": [],
    }


@ON_BOTH_ENGINES
def test_every_problem_is_printed_the_first_wrong_row_first(shop: Shop, capsys: Capture) -> None:
    earn = shop.entries[3]
    edit(shop, f"UPDATE entry SET amount = 2 WHERE id = {earn.id}")
    lines = out(capsys, ["verify", *shop.data, "--processes", "2"], 1).splitlines()
    assert lines[0].startswith(
        f"entry {earn.id} (terminal 10000001, bucket {earn.bucket}, number 3): its seal"
    )
    assert any(
        line.startswith("counter ") and "its amount is 2500000, by the entries 2" in line for line in lines
    )
    assert lines[-1].endswith(" problems")
    report = json.loads(out(capsys, ["verify", *shop.data, "--format", "json"], 1))
    assert report["verified"] is False
    assert report["problems"][0]["table"] == "entry"
    for mode in (["--member", str(shop.member)], ["--rrn", rrn_of(earn.bucket, earn.id)]):
        assert out(capsys, ["verify", *shop.data, *mode], 1).startswith(f"entry {earn.id} ")
    # Before the last checkpoint: what this mode says it doesn't see.
    assert out(capsys, ["verify", *shop.data, "--since-checkpoint"]).startswith("4 entries, 3 transfers, ")


def test_modes_don_t_go_together(shop: Shop, capsys: Capture) -> None:
    told = failed(capsys, ["verify", *shop.data, "--since-checkpoint", "--member", "1"], 2)
    assert "give one of --since-checkpoint, --member, --rrn" in told


@ON_BOTH_ENGINES
def test_a_missing_ledger_is_told(shop: Shop, capsys: Capture) -> None:
    if shop.settings.ledger_place.is_postgres:
        edit(shop, "DO $$ BEGIN EXECUTE 'DROP SCHEMA ' || current_schema() || ' CASCADE'; END $$")
        schema_url(shop.settings.data.parent)
    else:
        shop.settings.ledger_path.unlink()
    for command in (["verify"], ["statement", "--member", "1"], ["checkpoint"], ["export", "lots"]):
        assert "there is no ledger" in failed(capsys, [*command, *shop.data], 4)
    assert not shop.settings.ledger_path.exists()


def test_missing_settings_are_told(tmp_path: Path, capsys: Capture) -> None:
    assert "no settings here" in failed(capsys, ["verify", "--data", str(tmp_path)], 4)


def test_keys_of_another_ledger_are_told(shop: Shop, tmp_path: Path, capsys: Capture) -> None:
    other = create_defaults(tmp_path / "other")
    told = failed(capsys, ["verify", *shop.data, "--config", str(other.source)], 4)
    assert "the seal key doesn't fit this ledger; check keys.seal" in told


# ---------------------------------------------------------------- statement, balance


@ON_BOTH_ENGINES
def test_a_statement_tells_every_entry_and_what_it_came_to(shop: Shop, capsys: Capture) -> None:
    lines = out(capsys, ["statement", "--member", str(shop.member), *shop.data]).splitlines()
    assert lines[0] == f"member {shop.member}  active  936400******0001  {SHOWN}"
    assert lines[1] == "vafa points:  balance 100  pending 40  held 50"
    rows = [line.split() for line in lines[4:]]
    assert [row[2] for row in rows] == ["activate", "change", "earn", "redeem", "redeem", "hold", "earn"]
    assert rows[2][0] == "2026-09-21"
    assert rows[2][3:7] == ["00", "10000001", "+250", "250"]
    assert rows[3][5:7] == ["-100", "150"]
    assert rows[4][3] == "51"
    assert " ".join(rows[5][5:9]) == "-50, +50 held 100"
    assert " ".join(rows[6][5:8]) == "+40 pending 100"
    assert rows[3][-1] == rrn_of(shop.entries[4].bucket, shop.entries[4].id)


def test_a_statement_in_persian_has_jalali_dates_and_persian_digits(shop: Shop, capsys: Capture) -> None:
    told = out(capsys, ["statement", "--member", str(shop.member), "--language", "fa", *shop.data])
    assert "۱۴۰۵-۰۶-۳۰ " in told
    assert "کسب" in told
    assert "موجودی ۱۰۰" in told
    assert "نگه‌داشته ۵۰" in told


def test_a_statement_as_documents(shop: Shop, capsys: Capture) -> None:
    arguments = ["statement", "--member", str(shop.member), *shop.data]
    document = json.loads(out(capsys, [*arguments, "--format", "json"]))
    assert document["member"] == str(shop.member)
    (wallet,) = document["wallets"]
    assert (wallet["balance"], wallet["pending"], wallet["held"]) == ("100", "40", "50")
    assert [lot["amount"] for lot in wallet["lots"]] == ["100"]
    lines = [json.loads(line) for line in out(capsys, [*arguments, "--format", "jsonl"]).splitlines()]
    assert lines == document["entries"]
    rows = list(csv.DictReader(io.StringIO(out(capsys, [*arguments, "--format", "csv"]))))
    assert [row["balance"] for row in rows] == ["", "", "250", "150", "", "100", "100"]
    assert [row["change"] for row in rows][2:4] == ["250", "-100"]


def test_only_some_days_and_the_newest(shop: Shop, capsys: Capture) -> None:
    arguments = ["statement", "--member", str(shop.member), *shop.data, "--format", "jsonl"]
    of_day = out(capsys, [*arguments, "--from", "1405-06-31", "--to", "2026-09-22"]).splitlines()
    assert [json.loads(line)["operation"] for line in of_day] == ["redeem", "redeem"]
    (newest,) = out(capsys, [*arguments, "--last", "1"]).splitlines()
    assert json.loads(newest)["operation"] == "earn"


def by_rrn(shop: Shop) -> list[str]:
    return ["--rrn", rrn_of(shop.entries[3].bucket, shop.entries[3].id).lower()]


def test_the_member_is_found_by_an_entry(shop: Shop, capsys: Capture) -> None:
    assert out(capsys, ["statement", *by_rrn(shop), *shop.data]).startswith(f"member {shop.member} ")


@ON_BOTH_ENGINES
def test_the_member_is_found_by_a_card_that_is_typed_or_in_a_file(
    shop: Shop, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{CARD}\n"))
    assert run(["ledger", "balance", "--card", *shop.data]) == 0
    typed = capsys.readouterr()
    file = tmp_path / "card"
    file.write_text("۹۳۶۴ ۰۰۱۲ ۳۴۵۶ ۷۸۹۸\n", encoding="utf-8")
    assert out(capsys, ["balance", "--card-file", str(file), *shop.data]) == typed.out
    assert CARD not in typed.out + typed.err


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        ([], 2, "whose? give one of --member, --rrn, --card, --card-file"),
        (["--member", "1", "--card"], 2, "whose? give one of"),
        (["--member", "77"], 1, "there is no member 77"),
        (["--rrn", "123"], 2, "an RRN has 12 letters or digits"),
        (["--rrn", "000000000001"], 1, "no entry has the reference number"),
        (["--card-file", "nowhere"], 2, "can't be read"),
    ],
)
def test_who_can_t_be_found_is_told(
    shop: Shop, capsys: Capture, arguments: list[str], code: int, text: str
) -> None:
    assert text in failed(capsys, ["statement", *arguments, *shop.data], code)


@pytest.mark.parametrize(("typed", "code"), [("9364001234567890", 2), ("4111111111111111", 1), ("", 2)])
def test_a_card_that_is_none_is_told_without_its_number(
    shop: Shop, tmp_path: Path, capsys: Capture, typed: str, code: int
) -> None:
    file = tmp_path / "card"
    file.write_text(typed)
    told = failed(capsys, ["statement", "--card-file", str(file), *shop.data], code)
    assert "card" in told
    assert not typed or typed not in told


@pytest.mark.parametrize(
    ("at", "balance", "held"),
    [
        ("2026-09-21", "250", "0"),
        ("1405-06-31", "150", "0"),
        ("2026/09/23", "100", "50"),
        ("2026-09-22T00:00", "250", "0"),
        ("۲۰۲۶-۰۹-۲۳ ۲۳:۵۹:۵۹", "100", "50"),
    ],
)
def test_a_balance_at_a_moment(shop: Shop, capsys: Capture, at: str, balance: str, held: str) -> None:
    told = out(capsys, ["balance", "--member", str(shop.member), "--at", at, "--format", "json", *shop.data])
    (wallet,) = json.loads(told)["wallets"]
    assert (wallet["balance"], wallet["held"]) == (balance, held)


def test_a_balance_tells_its_lots(shop: Shop, capsys: Capture) -> None:
    lines = out(capsys, ["balance", "--member", str(shop.member), *shop.data]).splitlines()
    assert lines[2:] == ["  100  until 2026-10-21", "  40  pending  from 2026-09-26"]


def test_before_there_was_a_member_there_is_no_balance(shop: Shop, capsys: Capture) -> None:
    arguments = ["balance", "--member", str(shop.member), "--at", "2026-09-20", *shop.data]
    assert "was not there yet" in failed(capsys, arguments, 1)
    wrong = ["balance", "--member", str(shop.member), "--at", "yesterday", *shop.data]
    assert "is no date: give 2026-09-21 or 1405-06-30" in failed(capsys, wrong, 2)


def test_an_edited_member_gets_no_statement(shop: Shop, capsys: Capture) -> None:
    edit(shop, f"UPDATE member SET active_day = 1 WHERE id = {shop.member}")
    told = failed(capsys, ["statement", "--member", str(shop.member), *shop.data], 4)
    assert f"run `vafa ledger verify --member {shop.member}`" in told


# ---------------------------------------------------------------- export


def exported(capsys: Capture, shop: Shop, kind: str, *more: str) -> list[dict[str, Any]]:
    told = out(capsys, ["export", kind, "--format", "jsonl", *more, *shop.data])
    return [json.loads(line) for line in told.splitlines()]


def test_postings_of_each_transfer_sum_to_nothing(shop: Shop, capsys: Capture) -> None:
    rows = exported(capsys, shop, "postings")
    sums: dict[tuple[str, str, str], int] = {}
    for row in rows:
        key = row["entry"], row["transfer"], row["unit"]
        sums[key] = sums.get(key, 0) + int(row["amount"])
    assert len(rows) == 14
    assert set(sums.values()) == {0}


@ON_BOTH_ENGINES
def test_lots_are_those_of_now_and_what_they_are_worth(shop: Shop, capsys: Capture) -> None:
    rows = exported(capsys, shop, "lots")
    assert [(row["state"], row["amount"], row["value"]) for row in rows] == [
        ("open", "100", "10000"),
        ("pending", "40", "4000"),
        ("held", "50", "5000"),
    ]
    assert {row["issuer"] for row in rows} == {"100000000000001"}
    moved: dict[str, int] = {}
    for row in exported(capsys, shop, "moves"):
        moved[row["account"]] = moved.get(row["account"], 0) + int(row["amount"])
    assert moved == {"member": 100, "pending": 40, "held": 50}


def test_transfers_of_some_days_in_a_file(shop: Shop, tmp_path: Path, capsys: Capture) -> None:
    output = tmp_path / "transfers.csv"
    arguments = ["export", "transfers", "--from", "2026-09-22", "--to", "1405-06-31", "--output", str(output)]
    assert out(capsys, [*arguments, *shop.data]) == f"1 rows in {output}\n"
    (row,) = csv.DictReader(output.open())
    assert tuple(row) == KINDS["transfers"]
    assert (row["operation"], row["transfer_kind"], row["amount"]) == ("redeem", "redeem", "100")
    assert "choose another --output" in failed(capsys, [*arguments, *shop.data], 2)


@pytest.mark.parametrize("kind", KINDS)
def test_every_export_has_a_head(shop: Shop, capsys: Capture, kind: str) -> None:
    assert out(capsys, ["export", kind, *shop.data]).splitlines()[0] == ",".join(KINDS[kind])


# ---------------------------------------------------------------- checkpoint


@ON_BOTH_ENGINES
def test_a_checkpoint_is_written_and_noted(shop: Shop, capsys: Capture) -> None:
    assert out(capsys, ["checkpoint", *shop.data]) == "checkpoint 2 written\n"
    assert out(capsys, ["checkpoint", *shop.data]) == "nothing was added since the last checkpoint\n"
    assert " 2 checkpoints read" in out(capsys, ["verify", *shop.data])
    lines = shop.settings.checkpoint_path.read_bytes().splitlines(keepends=True)
    shop.settings.checkpoint_path.write_bytes(lines[0])
    assert "checkpoint 2 is missing" in out(capsys, ["verify", *shop.data], 1)


@ON_BOTH_ENGINES
@pytest.mark.parametrize(
    "command",
    [lambda shop: ["checkpoint"], lambda shop: ["restore", "--archive", str(shop.settings.data / "none")]],
    ids=["checkpoint", "restore"],
)
def test_beside_a_running_switch_nothing_is_written(
    shop: Shop, capsys: Capture, command: Callable[[Shop], list[str]]
) -> None:
    with shop.settings.lock_path.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "a switch serves this directory" in failed(capsys, [*command(shop), *shop.data], 1)


def test_a_registry_put_back_with_its_log_is_found(tmp_path: Path, capsys: Capture) -> None:
    settings = create_defaults(tmp_path / "data")
    place = ["--data", str(settings.data)]
    files = (settings.registry_path, settings.registry_log_path)
    log = io.StringIO()

    def write_checkpoint() -> None:
        engine = SqliteEngine(settings.ledger_path, settings.seal_key)
        registered = Registered(settings, open_log(log))
        with closing(engine), checkpoint_mac(settings) as mac:
            file = CheckpointFile(settings.checkpoint_path, mac)
            made = file.append(engine.heads(), 1, registered.head)
            registered.check_not_behind(file.registry)
            if made is not None:
                engine.note_checkpoint(made.number, made.mac)
                engine.stage(Batch([]), engine.claim("test"))
                engine.sync()

    block = ["terminal", "block", "--reason", "stolen", *place]
    assert run([*block, "10000001"]) == 0
    old = [path.read_bytes() for path in files]
    assert run([*block, "10000002"]) == 0
    newest = [path.read_bytes() for path in files]
    write_checkpoint()
    capsys.readouterr()
    assert run(["ledger", "verify", *place]) == 0
    for path, content in zip(files, old, strict=True):
        path.write_bytes(content)
    assert run(["ledger", "verify", *place]) == 1
    assert "registry: has 1 changes, the last checkpoint knew 2 or others" in capsys.readouterr().out
    assert "older than the last checkpoint" not in log.getvalue()
    write_checkpoint()
    assert "registry older than the last checkpoint" in log.getvalue()
    assert run([*block, "10000003"]) == 0  # as many changes, others
    assert run(["ledger", "verify", *place]) == 1
    assert run([*block, "10000002"]) == 0  # and more
    assert run(["ledger", "verify", *place]) == 1
    for path, content in zip(files, newest, strict=True):
        path.write_bytes(content)
    assert run(["ledger", "verify", *place]) == 0
    assert run([*block, "10000003"]) == 0
    assert run(["ledger", "verify", *place]) == 0
