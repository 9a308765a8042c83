"""Arrays in PostgreSQL's binary form: the server reads out of them what was put in."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from switch.ledger.postgres_statements import Array, Numbers, Strings, Texts, register_arrays
from tests.ledger.conftest import shared_server

Connection = psycopg.Connection[tuple[object, ...]]


@pytest.fixture(scope="module")
def connection() -> Iterator[Connection]:
    with psycopg.connect(shared_server().url(), autocommit=True) as connection:
        register_arrays(connection)
        yield connection


@pytest.mark.parametrize(
    ("array", "values"),
    [
        (Numbers.of, []),
        (Numbers.of, [0]),
        (Numbers.of, [-(2**63), -1, 0, 1, 2**63 - 1]),
        (Strings.of, []),
        (Strings.of, [b""]),
        (Strings.of, [b"", b""]),
        (Strings.of, [b"same", b"size"]),
        (Strings.of, [b"", b"a", b"\0" * 300, b"a", b"bc"]),
        (Texts.of, []),
        (Texts.of, [""]),
        (Texts.of, ["x"] * 5),
        (Texts.of, ["earn", "redeem", "earn", "", "earn", "earn"]),
        (Texts.of, ["one", "two", "three"]),
        (Texts.of, ["کسب", "کسب", "کسب", "خرج", "خرج"]),
        (Texts.of, ["کسب", "é", "ß"]),
    ],
)
def test_the_server_reads_what_was_put_in(connection: Connection, array: Array, values: list[object]) -> None:
    [row] = connection.execute("SELECT %s", (array(values),), binary=True).fetchall()  # type: ignore[operator]
    assert row == (values,)
