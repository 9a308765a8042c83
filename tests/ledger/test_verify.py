"""Nothing in a ledger can be changed, taken away, added or moved without `verify` naming the row."""

from __future__ import annotations

import random
import shutil
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import apsw
import pytest

import switch.ledger.verify
from switch.ledger import IdentifierKind, LedgerUnavailable, MemberLoad
from switch.ledger.checkpoint import Checkpoint, CheckpointFile, read_checkpoints
from switch.ledger.reading import TABLES
from switch.ledger.rows import ENTRY_COLUMNS, MEMBER_COLUMNS, member_of, member_row
from switch.ledger.seal import Sealer
from switch.ledger.verify import Report, verify, verify_member, verify_since_checkpoint
from tests.ledger.book import SEAL_KEY, Book, Request
from tests.ledger.files import (
    KEYS,
    Files,
    Row,
    Value,
    checkpoint,
    checkpoint_mac,
    copy,
    key_of,
    where,
    write_ledger,
)
from tests.ledger.under_way import send_away
from tests.whole import WHOLE

# The column whose value a report names a row by.
NAMES = {
    **{table: columns[0] for table, columns in KEYS.items()},
    "directory": "member",
    "account": "program",
    "counter": "holder",
}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Files:
    files = Files(tmp_path_factory.mktemp("original"))
    write_ledger(files)
    return files


@pytest.fixture
def files(original: Files, tmp_path: Path) -> Files:
    """A copy to tamper with."""
    return copy(original, tmp_path / "copy")


def other_value(value: Value) -> Value:
    """A value of the same type that no row has in its key."""
    if isinstance(value, int):
        return value + 1_000_003
    if isinstance(value, str):
        return value[:-1] + "!"
    return value[:-1] + bytes([value[-1] ^ 0x40]) if value else b"\x01"


def flipped(value: Value, chooser: random.Random) -> Value:
    """The value with one bit changed, one that it has if it is empty; a text as its bytes."""
    if isinstance(value, int):
        return value ^ 1 << chooser.randrange(63)
    data = bytearray(value.encode() if isinstance(value, str) else value) or bytearray(1)
    data[chooser.randrange(len(data))] ^= 1 << chooser.randrange(8)
    return bytes(data)


def named(report: Report, table: str, *rows: Row) -> bool:
    """Whether some problem names one of these rows, by its table and key."""
    names = [row[NAMES[table]] for row in rows]
    texts = [name.hex() if isinstance(name, bytes) else str(name) for name in names]
    return any(
        problem.table == table and (text in problem.row or table in ("owner",))
        for problem in report.problems
        for text in texts
    )


def test_an_honest_ledger_has_no_problem(files: Files) -> None:
    report = files.verify()
    assert report.problems == []
    assert report.warnings == []
    assert (report.entries, report.members, report.checkpoints) == (28, 3, 2)
    assert (report.transfers, report.found) == (10, 0)
    assert report.postings > 2 * report.transfers


def test_several_processes_say_the_same(files: Files) -> None:
    assert files.verify(processes=3) == files.verify(processes=1)
    entry = files.rows("entry")[7]
    files.edit("UPDATE entry SET answer = x'00' WHERE id = ?", (entry["id"],))
    assert files.verify(processes=3) == files.verify(processes=1)
    assert files.verify(processes=3).found == 1


def test_members_are_checked_a_few_at_a_time_when_there_are_many(files: Files) -> None:
    assert verify(files.database, SEAL_KEY, members_at_once=1) == verify(files.database, SEAL_KEY)


def test_as_many_members_are_checked_at_a_time_as_fit(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    report = verify(files.database, SEAL_KEY)
    parts: list[object] = []
    check_part = switch.ledger.verify.check_part
    monkeypatch.setattr(
        "switch.ledger.verify.check_part", lambda part: parts.append(part) or check_part(part)
    )
    for fitting, several in ((10**9, False), (2_000, True)):
        parts.clear()
        monkeypatch.setattr("switch.ledger.verify.MEMBERS_BYTES", fitting)
        assert verify(files.database, SEAL_KEY) == report
        assert (len(parts) > 1) == several


def test_the_tests_below_know_every_table(files: Files) -> None:
    tables = {row["name"] for row in files.rows("sqlite_schema") if row["type"] == "table"}
    assert tables == set(KEYS) == {"entry", "member", *TABLES}
    for table in KEYS:
        columns = {"entry": ENTRY_COLUMNS, "member": MEMBER_COLUMNS}.get(table) or TABLES[table].columns
        assert tuple(files.rows(table)[0]) == columns


def some_rows(files: Files, table: str) -> list[Row]:
    """All rows; of the 256 heads only those in use and one that isn't."""
    rows = files.rows(table)
    if table != "bucket_head":
        return rows
    return [row for row in rows if row["sequence"]] + [row for row in rows if not row["sequence"]][:1]


def some_values(files: Files, table: str) -> Iterator[tuple[Row, str, Value]]:
    """A row, one of its columns and what stands there: of many rows every fourth, others for each column, so
    that every column and every row comes up several times."""
    rows = some_rows(files, table)
    step = 4 if len(rows) > 20 and not WHOLE else 1
    for number, row in enumerate(rows):
        for place, (column, value) in enumerate(row.items()):
            if (number + place) % step == 0:
                yield row, column, value


@pytest.mark.parametrize("table", KEYS)
def test_every_changed_value_is_found(original: Files, tmp_path: Path, table: str) -> None:
    files = copy(original, tmp_path / "copy")
    data = files.database.read_bytes()
    for row, column, value in some_values(original, table):
        files.database.write_bytes(data)
        changed = other_value(value)
        statement = f"UPDATE {table} SET {column} = ? WHERE {where(table)}"
        files.edit(statement, (changed, *key_of(table, row)))
        report = files.verify()
        assert named(report, table, row, {**row, column: changed}), (column, row, report.problems)


@pytest.mark.parametrize("table", KEYS)
def test_every_deleted_row_is_found(original: Files, tmp_path: Path, table: str) -> None:
    files = copy(original, tmp_path / "copy")
    data = files.database.read_bytes()
    for row in some_rows(original, table):
        files.database.write_bytes(data)
        files.edit(f"DELETE FROM {table} WHERE {where(table)}", key_of(table, row))
        report = files.verify()
        if table == "entry":
            bucket = f"bucket {row['bucket']}"
            assert any(
                (problem.table == "entry" and bucket in str(problem))
                or (problem.table, problem.row) == ("bucket_head", str(row["bucket"]))
                for problem in report.problems
            ), report.problems
        elif table in ("owner", "answered"):
            assert {problem.table for problem in report.problems} == {table}
        else:
            assert named(report, table, row), (row, report.problems)


@pytest.mark.parametrize("table", KEYS)
def test_every_added_row_is_found(original: Files, tmp_path: Path, table: str) -> None:
    """A copy of a true row under a key that isn't used."""
    files = copy(original, tmp_path / "copy")
    data = files.database.read_bytes()
    for row in some_rows(original, table):
        files.database.write_bytes(data)
        added = dict(row)
        for column in ("id", "identity") if table == "entry" else KEYS[table][-1:]:
            added[column] = other_value(added[column])
        marks = ",".join("?" * len(added))
        files.edit(f"INSERT INTO {table} VALUES ({marks})", tuple(added.values()))
        report = files.verify()
        assert named(report, table, added), (added, report.problems)


@pytest.mark.parametrize("table", KEYS)
def test_rows_with_exchanged_contents_are_found(original: Files, tmp_path: Path, table: str) -> None:
    rows = some_rows(original, table)
    pairs = [(one, other) for one in rows for other in rows if key_of(table, one) < key_of(table, other)]
    files = copy(original, tmp_path / "copy")
    data = files.database.read_bytes()
    for one, other in pairs[:: max(1, len(pairs) // 20)]:
        columns = [name for name in one if name not in KEYS[table] and one[name] != other[name]]
        if not columns:
            continue
        files.database.write_bytes(data)
        connection = apsw.Connection(str(files.database))
        with connection:
            if table == "entry":  # unique: out of the way first
                for row, aside in ((one, b""), (other, b"-")):
                    connection.execute("UPDATE entry SET identity = ? WHERE id = ?", (aside, row["id"]))
            for target, source in ((other, one), (one, other)):
                sets = ", ".join(f"{name} = ?" for name in columns)
                values = tuple(source[name] for name in columns)
                connection.execute(
                    f"UPDATE {table} SET {sets} WHERE {where(table)}", (*values, *key_of(table, target))
                )
        connection.close()
        report = files.verify()
        assert named(report, table, one), (one, other, report.problems)
        assert named(report, table, other), (one, other, report.problems)


@pytest.mark.parametrize("seed", range(4))
def test_a_few_edits_at_random_are_found(original: Files, tmp_path: Path, seed: int) -> None:
    chooser = random.Random(seed)
    files = copy(original, tmp_path / "copy")
    data = files.database.read_bytes()
    for _ in range(40):
        files.database.write_bytes(data)
        touched = set()
        for _ in range(chooser.randrange(1, 4)):
            table = chooser.choice(list(KEYS))
            row = chooser.choice(files.rows(table) or original.rows(table))
            if chooser.random() < 0.3:
                files.edit(f"DELETE FROM {table} WHERE {where(table)}", key_of(table, row))
            else:
                column = chooser.choice([name for name in row if name not in KEYS[table]])
                files.edit(
                    f"UPDATE {table} SET {column} = ? WHERE {where(table)}",
                    (other_value(row[column]), *key_of(table, row)),
                )
            touched.add(table)
        found = {problem.table for problem in files.verify().problems}
        assert found & touched or ("entry" in touched and "bucket_head" in found), (touched, found)


@pytest.mark.parametrize("seed", range(2))
def test_any_changed_bit_of_any_value_is_found(original: Files, tmp_path: Path, seed: int) -> None:
    """As a hexadecimal editor does it: texts may be none any more."""
    chooser = random.Random(seed)
    files = copy(original, tmp_path / "copy")
    data = files.database.read_bytes()
    rows = [(table, row) for table in KEYS for row in some_rows(original, table)]
    for _ in range(40):
        files.database.write_bytes(data)
        table, row = chooser.choice(rows)
        column, value = chooser.choice(list(row.items()))
        changed = flipped(value, chooser)
        marker = "CAST(? AS TEXT)" if isinstance(value, str) else "?"
        try:
            files.edit(
                f"UPDATE {table} SET {column} = {marker} WHERE {where(table)}", (changed, *key_of(table, row))
            )
        except apsw.ConstraintError:
            continue  # another row has that key
        problems = files.verify().problems
        assert table in {problem.table for problem in problems}, (table, column, row, changed, problems)


def test_only_the_changed_entry_is_named(files: Files) -> None:
    """The chain goes on from what is stored: one edit is one row, not all after it."""
    entry = files.rows("entry")[4]
    files.edit("UPDATE entry SET answer = x'00' WHERE id = ?", (entry["id"],))
    (problem,) = files.verify().problems
    number = f"number {entry['sequence']}"
    assert str(problem) == (
        f"entry {entry['id']} (terminal 10000001, bucket {entry['bucket']}, {number}): its seal does not"
        " match: the entry was changed"
    )


def test_only_the_entry_with_the_changed_seal_is_named(files: Files) -> None:
    entry = files.rows("entry")[4]
    files.edit("UPDATE entry SET seal = zeroblob(32) WHERE id = ?", (entry["id"],))
    (problem,) = files.verify().problems
    assert problem.row.startswith(f"{entry['id']} ")


def test_only_the_entry_with_the_changed_number_is_named(files: Files) -> None:
    entry = files.rows("entry")[4]
    files.edit("UPDATE entry SET sequence = 100 WHERE id = ?", (entry["id"],))
    (problem,) = files.verify().problems
    assert (problem.row.split()[0], problem.what) == (
        str(entry["id"]),
        f"its number was changed: it was {entry['sequence']}",
    )


def test_a_gap_is_told_once_and_the_rest_goes_on(files: Files) -> None:
    bucket = files.rows("entry")[3]["bucket"]
    rows = [row for row in files.rows("entry") if row["bucket"] == bucket]
    assert len(rows) > 6
    for row in rows[2:4]:
        files.edit("DELETE FROM entry WHERE id = ?", (row["id"],))
    gaps = [problem for problem in files.verify().problems if "missing" in problem.what]
    first = gaps[0]
    assert first.row.startswith(f"{rows[4]['id']} ")
    assert first.what == f"2 before it missing in bucket {bucket}, after entry {rows[1]['id']}"
    assert len([problem for problem in gaps if problem.table == "entry"]) == 1


def test_an_entry_put_in_is_named_and_the_true_ones_are_not(files: Files) -> None:
    rows = files.rows("entry")
    copied = {**rows[5], "id": rows[-1]["id"] - 1_000, "identity": b"new", "sequence": 10_000}
    files.edit(f"INSERT INTO entry VALUES ({','.join('?' * len(copied))})", tuple(copied.values()))
    problems = [problem for problem in files.verify().problems if problem.table == "entry"]
    assert {problem.row.split()[0] for problem in problems} == {str(copied["id"])}


def test_the_first_wrong_row_comes_first(files: Files) -> None:
    rows = files.rows("entry")
    files.edit("UPDATE account SET balance = balance + 1")
    for row in (rows[9], rows[4], rows[12]):
        files.edit("UPDATE entry SET answer = x'00' WHERE id = ?", (row["id"],))
    problems = files.verify().problems
    assert [problem.row.split()[0] for problem in problems[:3]] == [str(rows[at]["id"]) for at in (4, 9, 12)]
    assert {problem.table for problem in problems[3:]} == {"account"}


def test_an_edit_that_keeps_all_sums_right_is_found(files: Files) -> None:
    """A member's row as it would be with more points, the issuer's account put right."""
    engine = files.open()
    (row, *_) = files.rows("member")
    member = engine.load(MemberLoad(row["id"]))
    engine.close()
    assert member == member_of(tuple(row.values()))
    forged = member_row(member.__class__(**{**_fields(member), "active_day": member.active_day + 1}))
    files.edit("UPDATE member SET active_day = ?, body = ? WHERE id = ?", (forged[3], forged[5], forged[0]))
    (problem,) = files.verify().problems
    assert (problem.table, problem.row) == ("member", str(row["id"]))
    assert problem.what == f"active_day is {forged[3]}, by the entries {row['active_day']}"


def _fields(member: object) -> dict[str, object]:
    return {name: getattr(member, name) for name in member.__struct_fields__}  # type: ignore[attr-defined]


def test_members_with_exchanged_wallets_are_told_what_is_in_them(files: Files) -> None:
    one, other = (row for row in files.rows("member") if row["active_day"])
    for target, source in ((one, other), (other, one)):
        files.edit("UPDATE member SET body = ? WHERE id = ?", (source["body"], target["id"]))
    first, second = files.verify().problems
    assert "wallet vafa points: balance" in first.what
    assert {first.row, second.row} == {str(one["id"]), str(other["id"])}


def test_old_rows_put_back_are_found(tmp_path: Path) -> None:
    """Rows as they once were, seals and all, in a ledger that went on."""
    files = Files(tmp_path)
    book = Book(files.open)
    book.book(*(Request("activate", card, card) for card in (1, 2, 3)))
    book.book(Request("earn", 10, 1, points=250), Request("hold", 11, 1, points=5))
    book.stage({b"initial1": 5})
    book.engine.sync()
    book.state.committed()
    before = {table: files.rows(table) for table in KEYS if table not in ("owner", "meta")}
    book.book(
        Request("redeem", 12, 1, points=10, amount=1_000),
        Request("release", 13, 1, original=Request("hold", 11, 1).identity),
        Request("replace", 14, 2, other=22),
    )
    book.stage({b"initial1": 6})
    book.engine.sync()
    book.state.committed()
    book.engine.close()
    assert files.verify().problems == []
    data = files.database.read_bytes()
    for table, rows in before.items():
        for row in rows:
            if row in files.rows(table):
                continue
            files.edit(f"REPLACE INTO {table} VALUES ({','.join('?' * len(row))})", tuple(row.values()))
            report = files.verify()
            assert table in {problem.table for problem in report.problems}, row
            files.database.write_bytes(data)


@pytest.mark.parametrize(
    ("statement", "name"),
    [
        ("DROP INDEX directory_member", "directory_member"),
        ("CREATE TRIGGER quiet AFTER INSERT ON entry BEGIN DELETE FROM member; END", "quiet"),
        ("CREATE TABLE more (id INTEGER)", "more"),
        ("ALTER TABLE entry ADD COLUMN more INTEGER", "entry"),
        ("DROP TABLE reversed", "reversed"),
    ],
)
def test_a_changed_schema_is_found(files: Files, statement: str, name: str) -> None:
    files.edit(statement)
    assert ("schema", name) in {(problem.table, problem.row) for problem in files.verify().problems}


# ---------------------------------------------------------------- the end, and checkpoints


def test_a_whole_older_copy_is_found(tmp_path: Path) -> None:
    files = Files(tmp_path / "now")
    files.directory.mkdir()
    write_ledger(files)
    old = copy(files, tmp_path / "old")
    book = Book(files.open, now_ms=1_790_900_000_000)
    book.book(Request("earn", 50, 11, points=5))
    checkpoint(files, book)
    book.engine.close()
    assert files.verify().problems == []
    shutil.copy(old.database, files.database)
    assert any(
        "cut off" in str(problem) and "checkpoint 3" in str(problem) for problem in files.verify().problems
    )
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
    forged = [head._replace(seal=bytes(32)) for head in heads]
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


# ---------------------------------------------------------------- since a checkpoint, one member


def since(files: Files) -> Report:
    return verify_since_checkpoint(files.database, SEAL_KEY, files.checkpoints, checkpoint_mac)


def around_checkpoint(files: Files) -> tuple[list[Row], list[Row]]:
    """The entries up to the last checkpoint, and those after it."""
    *_, (_, last) = read_checkpoints(files.checkpoints, checkpoint_mac)
    assert isinstance(last, Checkpoint)
    older: list[Row] = []
    newer: list[Row] = []
    for row in files.rows("entry"):
        (older if row["sequence"] <= last.sequences[row["bucket"]] else newer).append(row)
    return older, newer


def test_since_the_last_checkpoint_only_newer_entries_are_read(files: Files) -> None:
    older, newer = around_checkpoint(files)
    report = since(files)
    assert report.problems == []
    assert report.entries == len(newer) > 3
    files.edit("UPDATE entry SET answer = x'00' WHERE id = ?", (older[5]["id"],))
    assert since(files).problems == []  # what it says it doesn't see
    files.edit("UPDATE entry SET answer = x'00' WHERE id = ?", (newer[-2]["id"],))
    (problem,) = since(files).problems
    assert problem.row.startswith(f"{newer[-2]['id']} ")


def test_entries_missing_since_the_last_checkpoint_are_found(original: Files, tmp_path: Path) -> None:
    files = copy(original, tmp_path / "copy")
    data = files.database.read_bytes()
    for row in around_checkpoint(original)[1]:
        files.database.write_bytes(data)
        files.edit("DELETE FROM entry WHERE id = ?", (row["id"],))
        assert since(files).found, row


def test_the_entries_that_a_checkpoint_ends_with_are_held_against_it(files: Files) -> None:
    older, newer = around_checkpoint(files)
    ends = {row["bucket"]: row["id"] for row in older}
    bucket = next(row["bucket"] for row in newer if row["bucket"] in ends)
    files.edit("UPDATE entry SET seal = zeroblob(32) WHERE id = ?", (ends[bucket],))
    assert since(files).found


def test_without_a_checkpoint_there_is_no_since(tmp_path: Path) -> None:
    files = Files(tmp_path)
    files.open().close()
    with pytest.raises(LedgerUnavailable, match="holds no good checkpoint"):
        since(files)


def test_one_member_is_checked_along_its_entries(files: Files) -> None:
    for row in files.rows("member"):
        report = verify_member(files.database, SEAL_KEY, row["id"])
        assert report.problems == []
        assert report.entries == len([entry for entry in files.rows("entry") if entry["member"] == row["id"]])


def test_every_edit_of_a_member_is_found_by_looking_at_it_alone(original: Files, tmp_path: Path) -> None:
    files = copy(original, tmp_path / "copy")
    data = files.database.read_bytes()
    member = files.rows("member")[0]["id"]
    for table, column in (("entry", "member"), ("member", "id"), ("directory", "member")):
        for row in original.rows(table):
            if row[column] != member:
                continue
            for name, value in row.items():
                if name in KEYS[table]:
                    continue
                files.database.write_bytes(data)
                files.edit(
                    f"UPDATE {table} SET {name} = ? WHERE {where(table)}",
                    (other_value(value), *key_of(table, row)),
                )
                assert verify_member(files.database, SEAL_KEY, member).found, (table, name)


def test_a_member_that_isn_t_there_is_told(files: Files) -> None:
    with pytest.raises(LedgerUnavailable, match="member 12345 isn't there"):
        verify_member(files.database, SEAL_KEY, 12345)


# ---------------------------------------------------------------- what is no ledger, and damage


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
    book.stage()
    assert files.verify().entries == 19
    book.engine.sync()
    book.state.committed()
    with ThreadPoolExecutor(max_workers=1) as pool:
        for round_number in range(4):
            running = pool.submit(files.verify, 1 + round_number % 2)
            first = 1000 * (round_number + 1)
            for number in range(first, first + 40):
                book.book(
                    Request("earn", number, number % 19 + 1, points=3),
                    Request("redeem", 500 + number, 1, points=1, amount=100),
                )
            report = running.result()
            assert report.problems == []
            assert report.entries >= 20
    assert files.verify().entries == 20 + 4 * 80
    book.engine.close()


def test_a_transfer_under_way_is_warned_of(tmp_path: Path) -> None:
    """Points that left one member and have not come to the other are told, and are no problem."""
    files = Files(tmp_path)
    send_away(files)
    report = files.verify()
    assert report.problems == []
    (warning,) = report.warnings
    assert warning.startswith("7 points of vafa are between two members")


def test_memory_does_not_grow_with_the_ledger(tmp_path: Path) -> None:
    def peak(entries: int) -> int:
        files = Files(tmp_path / str(entries))
        files.directory.mkdir()
        book = Book(files.open)
        book.send(Request("activate", 1, 1))
        book.send(Request("earn", 2, 1, points=10**6))
        for number in range(3, entries):
            book.send(Request("redeem", number, 1, points=1, amount=100))
        book.commit()
        book.engine.close()
        # The interpreter keeps the first 2 000 freed rows for new ones: not traced from here on.
        assert files.verify().entries == entries - 1
        tracemalloc.start()
        assert files.verify().entries == entries - 1
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return highest

    larger, smaller = peak(2400), peak(400)
    assert larger < smaller + 100_000


def test_a_counter_that_adds_nothing_to_the_sums_is_found(files: Files) -> None:
    files.edit("INSERT INTO counter VALUES (2, '2026-09-21', 'nobody', 'earn', -1, 0, 0, 0)")
    (problem,) = files.verify().problems
    assert str(problem) == "counter 2 2026-09-21 nobody earn: was added: no entry made it"


def test_a_directory_row_counts_for_the_member_and_kind_that_it_names(files: Files) -> None:
    """A card and a mobile number are told apart: one can't stand in for the other."""
    row = next(row for row in files.rows("directory") if row["kind"] == IdentifierKind.MOBILE)
    values = (row["identifier"], row["member"], 1, row["masked"], row["sealed"])
    seal = Sealer(SEAL_KEY).row("directory", values)  # by somebody who has the key
    files.edit("UPDATE directory SET kind = 1, seal = ? WHERE identifier = ?", (seal, row["identifier"]))
    problems = files.verify().problems
    assert {problem.row for problem in problems} == {f"of member {row['member']}"}
    assert len(problems) == 2
