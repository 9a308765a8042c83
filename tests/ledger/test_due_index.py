"""What is due is found by the day it is due on: of members without anything due nobody reads a row."""

from __future__ import annotations

from pathlib import Path

import apsw
import psycopg

from switch.ledger import FIRST_DUE, NEVER, DueMember
from switch.ledger.postgres_statements import DUE_MEMBERS as POSTGRES_DUE_MEMBERS
from switch.ledger.sqlite import DUE_MEMBERS
from tests.ledger.conftest import open_postgres, open_sqlite, schema_url

MEMBERS = 20_000
TODAY = 739_700
BUCKET = 7
DUE = {3: TODAY - 1, 15_000: TODAY, 19_999: TODAY, 100: TODAY + 1, 101: TODAY + 300}
FOUND = sorted(DueMember(day, (BUCKET << 40) + number) for number, day in DUE.items() if day <= TODAY)


def test_sqlite_reads_the_index_of_what_is_due(tmp_path: Path) -> None:
    engine = open_sqlite(tmp_path)
    with apsw.Connection(str(tmp_path / "ledger.sqlite")) as ledger:
        rows = (((BUCKET << 40) + n, 1, 1, 0, DUE.get(n, NEVER), b"") for n in range(1, MEMBERS))
        ledger.executemany("INSERT INTO member VALUES (?,?,?,?,?,?)", rows)
        plan = ledger.execute(f"EXPLAIN QUERY PLAN {DUE_MEMBERS}", (TODAY, 0, 0, 256)).fetchall()
        assert [row[3] for row in plan] == ["SEARCH member USING COVERING INDEX member_due (due>? AND due<?)"]
    assert engine.due_members(TODAY, FIRST_DUE, 256) == FOUND
    assert engine.due_members(TODAY, FOUND[0], 1) == FOUND[1:2]
    engine.close()


def test_postgres_reads_the_index_of_what_is_due(tmp_path: Path) -> None:
    engine = open_postgres(tmp_path)
    with psycopg.connect(schema_url(tmp_path), autocommit=True) as ledger:
        ledger.execute(
            "INSERT INTO member SELECT %s, (%s::bigint << 40) + n, 1, 1, 0, %s, ''"
            " FROM generate_series(1, %s) n",
            (BUCKET, BUCKET, NEVER, MEMBERS),
        )
        for number, day in DUE.items():
            ledger.execute("UPDATE member SET due = %s WHERE id = %s", (day, (BUCKET << 40) + number))
        ledger.execute("ANALYZE member")
        explained = ledger.execute(f"EXPLAIN {POSTGRES_DUE_MEMBERS}".encode(), (BUCKET, TODAY, 0, 0, 256))
        plan = "\n".join(row[0] for row in explained)
    assert "using member_due on member" in plan
    assert "Seq Scan" not in plan
    assert "Sort" not in plan
    assert engine.due_members(TODAY, FIRST_DUE, 256) == FOUND
    assert engine.due_members(TODAY, FOUND[0], 1) == FOUND[1:2]
    assert engine.due_members(TODAY, FOUND[-1], 256) == []
    engine.close()
