"""Nothing in a ledger can be changed, taken away, added or moved without `verify` naming the row."""

from __future__ import annotations

import random
import shutil
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import apsw
import pytest

from switch.ledger import (
    CardTried,
    CodesCounted,
    CodeSent,
    CodeTried,
    LedgerUnavailable,
    MobileRemoved,
    MobileSet,
    PinSet,
    PinTried,
)
from switch.ledger.checkpoint import CheckpointFile
from switch.ledger.seal import Sealer
from switch.ledger.sqlite import SqliteEngine
from switch.ledger.verify import Report, verify
from tests.ledger.book import SEAL_KEY, Book, Request

Value = int | str | bytes
Row = dict[str, Any]

# Columns that find a row; with them every table's rows can be told apart.
KEYS = {
    "entry": ("id",),
    "transfer": ("entry", "number"),
    "posting": ("entry", "transfer", "leg"),
    "side": ("entry", "number"),
    "account": ("kind", "holder", "program", "unit", "bucket"),
    "member": ("id",),
    "directory": ("identifier",),
    "reversed": ("original",),
    "bucket_head": ("bucket",),
    "owner": ("first_bucket",),
    "meta": ("name",),
    "key_mark": ("initial_key",),
    "answered": ("initial_key",),
    "credential": ("member",),
    "code_count": ("subject",),
    "mobile": ("identifier",),
}
# The column whose value a report names a row by.
NAMES = {
    "entry": "id",
    "transfer": "entry",
    "posting": "entry",
    "side": "entry",
    "account": "holder",
    "member": "id",
    "directory": "member",
    "reversed": "original",
    "bucket_head": "bucket",
    "owner": "first_bucket",
    "meta": "name",
    "key_mark": "initial_key",
    "answered": "initial_key",
    "credential": "member",
    "code_count": "subject",
    "mobile": "member",
}


def checkpoint_mac(data: bytes) -> bytes:
    return Sealer(b"the key of the checkpoints......").seal(data)[:8]


class Files(NamedTuple):
    """One ledger on disk."""

    directory: Path

    @property
    def database(self) -> Path:
        return self.directory / "ledger.sqlite"

    @property
    def checkpoints(self) -> Path:
        return self.directory / "ledger.checkpoints"

    def verify(self) -> Report:
        return verify(self.database, SEAL_KEY, self.checkpoints, checkpoint_mac)

    def open(self) -> SqliteEngine:
        return SqliteEngine(self.database, SEAL_KEY)

    def edit(self, statement: str, values: tuple[Value, ...] = ()) -> None:
        connection = apsw.Connection(str(self.database))
        connection.execute(statement, values)
        connection.close()

    def rows(self, table: str) -> list[Row]:
        connection = apsw.Connection(str(self.database))
        cursor = connection.execute(f"SELECT * FROM {table}")
        rows = [dict(zip([name for name, _ in cursor.get_description()], row, strict=True)) for row in cursor]
        connection.close()
        return rows


def write_ledger(files: Files) -> None:
    """Earns, redemptions, declines, every kind of reversal; two checkpoints, the first one noted inside."""
    book = Book(files.open)
    checkpoints = CheckpointFile(files.checkpoints, checkpoint_mac)
    for card in (1, 2, 3):
        book.send(Request("activate", card, card))
    book.book(
        Request("earn", 10, 1, points=250),
        Request("redeem", 11, 1, points=100),
        Request("earn", 12, 2, points=7),
    )
    first = checkpoints.append(book.engine.heads(), book.now_ms)
    assert first is not None
    book.engine.note_checkpoint(first.number, first.mac)
    book.book(
        Request("change", 40, 1, change=lambda member: [PinSet(member, b"v" * 16), CodeTried(member, 1)]),
        Request("change", 41, 1, change=lambda member: [MobileSet(member, b"m" * 16, "98**12", b"sealed")]),
        Request("change", 42, 2, change=lambda member: [CodeSent(member, b"h" * 16, 1_790_000_000_000, 0)]),
        Request("change", 43, 2, change=lambda member: [MobileSet(member, b"n" * 16, "98**13", b"other")]),
    )
    book.book(
        Request("change", 44, 1, change=lambda member: [PinSet(member, b"w" * 16, b"v" * 16)]),
        Request("change", 45, 1, change=lambda member: [PinTried(member, 2), CardTried(member, 1)]),
        Request("change", 47, 2, change=lambda member: [CodesCounted(member, "member 2", 1_790_000, 3)]),
        Request("change", 46, 2, change=lambda member: [MobileRemoved(member, b"n" * 16)]),
    )
    book.book(
        Request("redeem", 20, 2, points=9999),
        Request("reverse", 21, 1, original=Request("redeem", 11, 1).identity),
        Request("reverse", 22, 2, original=Request("earn", 99, 2).identity),
        Request("reverse", 23, 3, original=Request("activate", 3, 3).identity),
    )
    assert checkpoints.append(book.engine.heads(), book.now_ms) is not None
    book.book(Request("earn", 30, 1, points=1, acceptor="100000000000002"), Request("activate", 31, 3))
    book.engine.stage([], book.epoch, {b"initial1": 70, b"initial2": 9})
    book.engine.sync()
    book.engine.close()


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Files:
    files = Files(tmp_path_factory.mktemp("original"))
    write_ledger(files)
    return files


@pytest.fixture
def files(original: Files, tmp_path: Path) -> Files:
    """A copy to tamper with."""
    return copy(original, tmp_path / "copy")


def copy(original: Files, directory: Path) -> Files:
    shutil.copytree(original.directory, directory)
    return Files(directory)


def other_value(value: Value) -> Value:
    """A value of the same type that no row has in its key."""
    if isinstance(value, int):
        return value + 1_000_003
    if isinstance(value, str):
        return value[:-1] + "!"
    return value[:-1] + bytes([value[-1] ^ 0x40]) if value else b"\x01"


def where(table: str) -> str:
    return " AND ".join(f"{column} = ?" for column in KEYS[table])


def key_of(table: str, row: Row) -> tuple[Value, ...]:
    return tuple(row[column] for column in KEYS[table])


def named(report: Report, table: str, *rows: Row) -> bool:
    """Whether some problem names one of these rows."""
    names = [row[NAMES[table]] for row in rows]
    texts = [name.hex() if isinstance(name, bytes) else str(name) for name in names]
    return any(text in str(problem) for problem in report.problems for text in texts)


def test_an_honest_ledger_has_no_problem(files: Files) -> None:
    report = files.verify()
    assert report.problems == []
    assert (report.entries, report.transfers, report.postings) == (20, 5, 10)
    assert (report.members, report.checkpoints, report.found) == (3, 2, 0)


def test_the_tests_below_know_every_table(files: Files) -> None:
    assert {row["name"] for row in files.rows("sqlite_schema") if row["type"] == "table"} == set(KEYS)
    assert all(files.rows(table) for table in KEYS)


def some_rows(files: Files, table: str) -> list[Row]:
    """All rows; of the 256 heads only those in use and one that isn't."""
    rows = files.rows(table)
    if table != "bucket_head":
        return rows
    return [row for row in rows if row["sequence"]] + [row for row in rows if not row["sequence"]][:1]


@pytest.mark.parametrize("table", KEYS)
def test_every_changed_value_is_found(original: Files, tmp_path: Path, table: str) -> None:
    for number, row in enumerate(some_rows(original, table)):
        for column, value in row.items():
            files = copy(original, tmp_path / f"{number}.{column}")
            changed = other_value(value)
            statement = f"UPDATE {table} SET {column} = ? WHERE {where(table)}"
            files.edit(statement, (changed, *key_of(table, row)))
            report = files.verify()
            assert named(report, table, row, {**row, column: changed}), (column, row, report.problems)


# Nothing else in the ledger knows of an answer that made no entry: its mark can be taken away unseen.
@pytest.mark.parametrize("table", [table for table in KEYS if table != "answered"])
def test_every_deleted_row_is_found(original: Files, tmp_path: Path, table: str) -> None:
    for number, row in enumerate(some_rows(original, table)):
        files = copy(original, tmp_path / str(number))
        files.edit(f"DELETE FROM {table} WHERE {where(table)}", key_of(table, row))
        report = files.verify()
        assert {problem.table for problem in report.problems} & {table, "entry", "bucket_head"}
        if table == "entry":
            assert any(f"bucket {row['bucket']}" in str(problem) for problem in report.problems) or any(
                problem.table == "bucket_head" and problem.row == str(row["bucket"])
                for problem in report.problems
            )
        elif table != "owner":
            assert named(report, table, row)


@pytest.mark.parametrize("table", KEYS)
def test_every_added_row_is_found(original: Files, tmp_path: Path, table: str) -> None:
    """A copy of a true row under a key that isn't used."""
    for number, row in enumerate(some_rows(original, table)):
        files = copy(original, tmp_path / str(number))
        added = dict(row)
        for column in {"entry": ("id", "identity"), "mobile": ("identifier", "member")}.get(
            table, KEYS[table][-1:]
        ):
            added[column] = other_value(added[column])
        marks = ",".join("?" * len(added))
        files.edit(f"INSERT INTO {table} VALUES ({marks})", tuple(added.values()))
        report = files.verify()
        if table == "owner":
            assert any(problem.table == "owner" for problem in report.problems)
        else:
            assert named(report, table, added), (added, report.problems)


@pytest.mark.parametrize("table", KEYS)
def test_rows_with_exchanged_contents_are_found(original: Files, tmp_path: Path, table: str) -> None:
    rows = some_rows(original, table)
    pairs = [(one, other) for one in rows for other in rows if key_of(table, one) < key_of(table, other)]
    for number, (one, other) in enumerate(pairs[:: max(1, len(pairs) // 20)]):
        columns = [name for name in one if name not in KEYS[table] and one[name] != other[name]]
        if not columns:
            continue
        files = copy(original, tmp_path / str(number))
        connection = apsw.Connection(str(files.database))
        with connection:
            if table == "entry":  # unique: out of the way first
                connection.execute("UPDATE entry SET identity = ? WHERE id = ?", (b"", one["id"]))
            for target, source in ((other, one), (one, other)):
                sets = ", ".join(f"{name} = ?" for name in columns)
                values = tuple(source[name] for name in columns)
                if table == "entry" and target is other:
                    connection.execute("UPDATE entry SET identity = ? WHERE id = ?", (b"-", other["id"]))
                connection.execute(
                    f"UPDATE {table} SET {sets} WHERE {where(table)}", (*values, *key_of(table, target))
                )
        connection.close()
        report = files.verify()
        assert named(report, table, one), (one, other, report.problems)
        assert named(report, table, other), (one, other, report.problems)


def test_only_the_changed_entry_is_named(files: Files) -> None:
    """The chain goes on from what is stored: one edit is one row, not all after it."""
    entry = files.rows("entry")[4]
    files.edit("UPDATE entry SET answer = x'00' WHERE id = ?", (entry["id"],))
    (problem,) = files.verify().problems
    number = f"number {entry['sequence']}"
    assert str(problem) == (
        f"entry {entry['id']} (terminal 10000001, bucket {entry['bucket']}, {number}): seal does not match:"
        " the entry, its transfer or one of its 2 postings was changed"
    )


def test_only_the_entry_with_the_changed_seal_is_named(files: Files) -> None:
    entry = files.rows("entry")[4]
    files.edit("UPDATE entry SET seal = zeroblob(32) WHERE id = ?", (entry["id"],))
    (problem,) = files.verify().problems
    assert problem.row.startswith(f"{entry['id']} ")


def test_an_edit_that_keeps_all_sums_right_is_found(files: Files) -> None:
    """Points moved between two members with balances put right."""
    one, two = (row["holder"] for row in files.rows("account") if row["kind"] == 1)
    connection = apsw.Connection(str(files.database))
    for table in ("posting", "account"):
        connection.execute(f"UPDATE {table} SET holder = 'x' WHERE holder = ?", (one,))
        connection.execute(f"UPDATE {table} SET holder = ? WHERE holder = ?", (one, two))
        connection.execute(f"UPDATE {table} SET holder = ? WHERE holder = 'x'", (two,))
    connection.close()
    assert {problem.table for problem in files.verify().problems} >= {"entry"}


@pytest.mark.parametrize(
    ("statement", "name"),
    [
        ("DROP INDEX directory_member", "directory_member"),
        ("CREATE TRIGGER quiet AFTER INSERT ON posting BEGIN DELETE FROM side; END", "quiet"),
        ("CREATE TABLE more (id INTEGER)", "more"),
        ("ALTER TABLE posting ADD COLUMN more INTEGER", "posting"),
        ("DROP TABLE reversed", "reversed"),
    ],
)
def test_a_changed_schema_is_found(files: Files, statement: str, name: str) -> None:
    files.edit(statement)
    assert ("schema", name) in {(problem.table, problem.row) for problem in files.verify().problems}


def cut_entries(files: Files, count: int) -> None:
    """Take away the last entries of the fullest bucket with all that follows from them, heads put right."""
    connection = apsw.Connection(str(files.database))
    bucket, left = connection.execute("SELECT bucket, max(sequence) FROM bucket_head").fetchone() or (0, 0)
    cut = [
        row[0] for row in connection.execute("SELECT id FROM entry WHERE bucket = ? ORDER BY id", (bucket,))
    ]
    for entry in cut[-count:]:
        for table in ("transfer", "posting", "side", "reversed"):
            connection.execute(f"DELETE FROM {table} WHERE entry = ?", (entry,))
        connection.execute("DELETE FROM entry WHERE id = ?", (entry,))
    connection.execute("UPDATE account SET balance = 0")
    connection.execute(
        "INSERT INTO account SELECT kind, holder, program, unit, iif(kind = 1, bucket, -1), sum(amount)"
        " FROM posting GROUP BY 1, 2, 3, 4, 5 ON CONFLICT DO UPDATE SET balance = excluded.balance"
    )
    connection.execute("DELETE FROM account WHERE balance = 0")
    connection.execute("DELETE FROM key_mark")
    connection.execute(
        "INSERT INTO key_mark SELECT DISTINCT substr(key_serial, 1, 8), 0 FROM entry ORDER BY key_serial"
    )
    for (serial,) in connection.execute("SELECT key_serial FROM entry ORDER BY key_serial").fetchall():
        counter = int.from_bytes(serial[8:], "big")
        connection.execute("UPDATE key_mark SET counter = ? WHERE initial_key = ?", (counter, serial[:8]))
    seal = connection.execute("SELECT seal FROM entry WHERE id = ?", (cut[-count - 1],)).get
    connection.execute(
        "UPDATE bucket_head SET sequence = ?, seal = ? WHERE bucket = ?", (left - count, seal, bucket)
    )
    connection.close()


def test_a_well_made_cut_behind_the_last_checkpoint_is_found(files: Files) -> None:
    cut_entries(files, 2)
    (problem,) = files.verify().problems
    assert str(problem) == "entry: 1 cut off at the end of bucket 37 since checkpoint 2"


def test_a_whole_older_copy_is_found(original: Files, tmp_path: Path) -> None:
    files = Files(tmp_path)
    write_ledger(files)
    old = copy(files, tmp_path / "old")
    book = Book(files.open)
    book.book(Request("earn", 50, 1, points=5))
    CheckpointFile(files.checkpoints, checkpoint_mac).append(book.engine.heads(), book.now_ms)
    book.engine.close()
    assert files.verify().problems == []
    shutil.copy(old.database, files.database)
    assert "since checkpoint 3" in str(files.verify().problems[0])
    engine = files.open()
    with pytest.raises(LedgerUnavailable, match=r"it was cut or an old copy was put in place"):
        CheckpointFile(files.checkpoints, checkpoint_mac).append(engine.heads(), 0)
    engine.close()


def test_a_ledger_sealed_anew_with_the_stolen_key_is_found(original: Files, tmp_path: Path) -> None:
    files = Files(tmp_path)
    book = Book(files.open)
    book.book(*(Request("activate", card, card) for card in (1, 2, 3)))
    heads = book.engine.heads()
    book.engine.close()
    shutil.copy(original.checkpoints, files.checkpoints)
    with pytest.raises(LedgerUnavailable):
        CheckpointFile(files.checkpoints, checkpoint_mac).append(heads, 0)
    forged = [head._replace(seal=bytes(32)) for head in heads]
    files.checkpoints.unlink()
    CheckpointFile(files.checkpoints, checkpoint_mac).append(forged, 0)
    (problem,) = files.verify().problems
    assert (problem.table, problem.row) == ("checkpoint", "1")


@pytest.mark.parametrize("place", [0, 1])
def test_every_changed_byte_of_a_checkpoint_is_found(files: Files, place: int) -> None:
    lines = files.checkpoints.read_bytes().splitlines(keepends=True)
    begin = sum(len(line) for line in lines[:place])
    data = files.checkpoints.read_bytes()
    for at in range(begin, begin + len(lines[place]), 23):
        files.checkpoints.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        problems = files.verify().problems
        assert any(problem.table == "ledger.checkpoints" for problem in problems), at


@pytest.mark.parametrize(
    "tamper",
    [
        lambda lines: lines[1:],
        lambda lines: [],
        lambda lines: [lines[1], lines[0]],
        lambda lines: [lines[0], lines[0], lines[1]],
        lambda lines: [*lines, b"{}\n"],
    ],
    ids=["first missing", "emptied", "order", "twice", "added"],
)
def test_a_changed_checkpoint_file_is_found(
    files: Files, tamper: Callable[[list[bytes]], list[bytes]]
) -> None:
    lines = files.checkpoints.read_bytes().splitlines(keepends=True)
    files.checkpoints.write_bytes(b"".join(tamper(lines)))
    assert any(problem.table == "ledger.checkpoints" for problem in files.verify().problems)


def test_a_lost_checkpoint_file_is_found(files: Files) -> None:
    files.checkpoints.unlink()
    (problem,) = files.verify().problems
    assert str(problem) == "ledger.checkpoints: checkpoint 1 is missing: the file was cut or replaced"


def test_a_ledger_without_checkpoints_yet_is_fine(tmp_path: Path) -> None:
    files = Files(tmp_path)
    files.open().close()
    assert files.verify().problems == []


def test_another_key_is_told_and_not_taken_for_tampering(files: Files) -> None:
    with pytest.raises(LedgerUnavailable, match="seal key doesn't fit"):
        verify(files.database, bytes(32))


def test_what_is_no_ledger_is_told(tmp_path: Path) -> None:
    with pytest.raises(LedgerUnavailable, match="there is no ledger"):
        verify(tmp_path / "ledger.sqlite", SEAL_KEY)
    assert not (tmp_path / "ledger.sqlite").exists()
    other = tmp_path / "other.sqlite"
    apsw.Connection(str(other)).execute("CREATE TABLE cats (name TEXT)")
    with pytest.raises(LedgerUnavailable, match="is not a ledger"):
        verify(other, SEAL_KEY)


def contents(files: Files) -> list[object] | None:
    """Everything SQLite can read, or None when it can't."""
    connection = apsw.Connection(str(files.database))
    try:
        names = [
            name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
        ]
        tables: list[object] = [
            (name, connection.execute(f"SELECT * FROM {name}").fetchall()) for name in names
        ]
        return [*tables, connection.execute("SELECT * FROM sqlite_schema").fetchall()]
    except (apsw.Error, UnicodeDecodeError):
        return None
    finally:
        connection.close()


@pytest.mark.parametrize("seed", range(4))
def test_no_changed_byte_of_the_file_goes_unseen(files: Files, seed: int) -> None:
    """Bytes that hold nothing (free space) may change; whatever can be read from the file may not."""
    data = files.database.read_bytes()
    before = contents(files)
    chooser = random.Random(seed)
    used = [at for at, byte in enumerate(data) if byte]
    for _ in range(60):
        at = chooser.choice(used)
        changed = bytearray(data)
        changed[at] ^= 1 << chooser.randrange(8)
        files.database.write_bytes(changed)
        try:
            found = files.verify().found
        except LedgerUnavailable:
            found = 1
        assert found or contents(files) == before, at


def test_it_runs_beside_a_writer_and_sees_whole_batches(tmp_path: Path) -> None:
    files = Files(tmp_path)
    book = Book(files.open)
    book.book(*(Request("activate", card, card) for card in range(1, 20)))
    book.send(Request("earn", 100, 1, points=5))
    book.engine.stage(book.gathered, book.epoch)
    assert files.verify().entries == 19
    book.engine.sync()
    book.state.committed(book.gathered)
    book.gathered = []
    with ThreadPoolExecutor(max_workers=1) as pool:
        for round_number in range(5):
            running = pool.submit(files.verify)
            first = 1000 * (round_number + 1)
            for number in range(first, first + 40):
                book.book(
                    Request("earn", number, number % 19 + 1, points=3),
                    Request("earn", 500 + number, 1, points=1),
                )
            report = running.result()
            assert report.problems == []
            assert (report.entries - 20) % 2 == 0
    assert files.verify().entries == 20 + 5 * 80
    book.engine.close()


def test_memory_does_not_grow_with_the_ledger(tmp_path: Path) -> None:
    def peak(entries: int) -> int:
        files = Files(tmp_path / str(entries))
        files.directory.mkdir()
        book = Book(files.open)
        book.send(Request("activate", 1, 1))
        for number in range(2, entries):
            book.send(Request("earn", number, 1, points=1))
        book.commit()
        book.engine.close()
        tracemalloc.start()
        assert files.verify().entries == entries - 1
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return highest

    peak(10)
    assert peak(4000) < peak(400) + 100_000
