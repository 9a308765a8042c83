"""How the PostgreSQL ledger is reached: connections, what is wrong with them, and a ledger's first tables.

The password of the connection string is in no text of this module.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from threading import Lock
from typing import Any

import psycopg
from psycopg import conninfo, errors

from switch.ledger import postgres_statements as statements
from switch.ledger.engine import LedgerSilent, LedgerUnavailable
from switch.ledger.model import BUCKETS
from switch.ledger.postgres_schema import VERSIONS
from switch.ledger.postgres_statements import columns, register_arrays
from switch.ledger.schema import FIRST_VERSION, SCHEMA_VERSION
from switch.ledger.seal import SEAL_BYTES, Sealer

OLDEST_SERVER = 15
# A server that says nothing for so long counts as lost; a terminal waits 30 seconds for its answer.
ANSWER_SECONDS = 10.0
CONNECT_SECONDS = 3
# Connections of a switch are called so, with the ledger's id; those of commands that only read are not.
SWITCH_NAME = "vafa switch "
# Of what the connection string leaves open. A hot standby never takes a batch; a dead peer is noticed.
_PARAMETERS: Mapping[str, str | int] = {
    "application_name": "vafa",
    "client_encoding": "UTF8",
    "connect_timeout": CONNECT_SECONDS,
    "target_session_attrs": "read-write",
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": int(ANSWER_SECONDS * 1000),
}
# All statements find rows by key: plans that read whole tables, and time for choosing them, are kept away.
# A commit reaches the disk before it is told, whatever the server's default.
_SETTINGS = ", ".join(
    f"set_config('{name}', {value}, false)"
    for name, value in (
        (
            "synchronous_commit",
            "CASE current_setting('synchronous_commit') WHEN 'remote_apply' THEN 'remote_apply'"
            " ELSE 'on' END",
        ),
        ("plan_cache_mode", "'force_generic_plan'"),
        ("enable_seqscan", "'off'"),
        ("enable_hashjoin", "'off'"),
        ("enable_mergejoin", "'off'"),
        ("jit", "'off'"),
        ("default_transaction_isolation", "'read committed'"),
    )
)

# What the server says (the beginning of its SQLSTATE) -> what the operator reads. The longest one fits.
_FAILURES: Mapping[str, str] = {
    "": "can't be used; look into the server's log",
    "08": "the connection is lost; the switch goes on by itself when the server answers",
    "25006": "is read-only (a standby?); name the primary server in the connection string",
    "28": "refuses the user or its password; check the connection string in the settings",
    "3D": "there is no such database; create it, or check the connection string in the settings",
    "3F": "there is no such schema; create it, or check the connection string in the settings",
    "42": "isn't as this program made it; run `vafa ledger verify`",
    "42501": "the user may not do that; give it the tables (or the right to create them)",
    "53": "is out of memory or connections; look into the server's log",
    "53100": "the disk is full; free some space, then the switch goes on by itself",
    "55P03": "another session holds a lock; stop the tool that holds it",
    "57": "is stopping or starting; the switch goes on by itself when it runs again",
    "58": "the server's disk reports an error; look into its log before starting again",
    "XX": "is damaged; stop the switch, keep the data, run `vafa ledger verify`, restore a backup",
}

# What the driver and the system say when nothing came, however long they waited.
_SILENCE = ("timeout expired", "timed out", "No route to host")

ALL = (0, BUCKETS - 1)
Row = tuple[Any, ...]


class Connection(psycopg.Connection[Row]):
    """One that doesn't wait for ever."""

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        return super().wait(gen, interval, ANSWER_SECONDS if timeout is None else timeout)


class Server:
    """Where the ledger lies: makes connections and tells people what is wrong with them.

    Raises LedgerUnavailable for a connection string that is none.
    """

    def __init__(self, url: str) -> None:
        try:
            given = conninfo.conninfo_to_dict(url)
        except psycopg.Error:
            raise LedgerUnavailable(
                "the connection string of the ledger is none (postgresql://user@host:port/database);"
                " check the settings"
            ) from None  # the driver's text repeats the string, and its password
        self._given = {**_PARAMETERS, **{name: value for name, value in given.items() if value is not None}}
        self._secrets = [str(given[name]) for name in ("password", "sslpassword") if given.get(name)]
        place = given.get("host") or given.get("hostaddr") or "localhost"
        self._name = f"PostgreSQL {place}:{given.get('port') or 5432}/{given.get('dbname') or ''}"

    def __str__(self) -> str:
        return self._name

    def is_switch_on(self, ledger: str) -> None:
        """From the next connection on the server's list of sessions tells that a switch has this ledger."""
        self._given["application_name"] = SWITCH_NAME + ledger

    def connect(self) -> Connection:
        """A new connection, checked and set up. Raises LedgerUnavailable and psycopg's errors."""
        try:
            connection = Connection.connect(
                **self._given,  # type: ignore[arg-type]
                autocommit=True,
            )
        except psycopg.Error as error:
            # Its frames hold the socket, and it holds its frames: open until garbage is looked for.
            error.__traceback__ = None
            raise
        try:
            self._set_up(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _set_up(self, connection: Connection) -> None:
        version = connection.info.server_version // 10_000
        if version < OLDEST_SERVER:
            raise LedgerUnavailable(f"{self}: is version {version}; use {OLDEST_SERVER} or newer")
        connection.execute(f"SELECT {_SETTINGS}")
        for name in ("fsync", "full_page_writes"):
            row = connection.execute("SELECT current_setting(%s, true)", (name,)).fetchone()
            if row == ("off",):
                raise LedgerUnavailable(
                    f"{self}: its setting {name} is off, so a power failure loses what it acknowledged;"
                    " turn it on"
                )
        register_arrays(connection)

    @contextmanager
    def failures(self) -> Iterator[None]:
        """Turn psycopg's errors into LedgerUnavailable with a text for the operator."""
        try:
            yield
        except psycopg.Error as error:
            kind = LedgerSilent if _is_silence(error) else LedgerUnavailable
            raise kind(self._told(error)) from None  # its detail holds values of rows

    def _told(self, error: psycopg.Error) -> str:
        state = error.sqlstate or "08"
        text = next(_FAILURES[state[:length]] for length in range(5, -1, -1) if state[:length] in _FAILURES)
        said = error.diag.message_primary or " ".join(str(error).split())
        for secret in self._secrets:
            said = said.replace(secret, "***")
        return f"{self}: {text} ({type(error).__name__}: {said})"


def _is_silence(error: psycopg.Error) -> bool:
    """Whether it isn't the server that says it, but a clock."""
    return error.sqlstate is None and any(text in str(error) for text in _SILENCE)


class Reader:
    """A connection that reads, made when it is needed and again after a failure. One thread at a time."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._one = Lock()
        self._closed = False
        self.connection: Connection | None = None

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """The connection. Raises LedgerUnavailable."""
        assert not self._closed, "the engine is open"
        with self._one:
            try:
                with self._server.failures():
                    if self.connection is None:
                        self.connection = self._server.connect()
                        self.connection.execute("SET default_transaction_read_only = on")
                    yield self.connection
            except BaseException:
                self._drop()
                raise

    def _drop(self) -> None:
        connection, self.connection = self.connection, None
        if connection is not None:
            with suppress(psycopg.Error):
                connection.close()

    def close(self) -> None:
        """No more; harmless when it is closed."""
        self._closed = True
        self._drop()


def sealed_owner(first: int, last: int, name: str, epoch: int, writer: int) -> tuple[int, int, str, int]:
    """What the seal of an owner's row is made over: its columns as they are on every engine, the connection
    that writes behind the name. No text of the database holds a NUL."""
    return first, last, f"{name}\0{writer}" if writer else name, epoch


# ---------------------------------------------------------------- a ledger's beginning

# Rows of meta in bucket 0, as in every engine: see `switch.ledger.sqlite.META_NAMES`.
MOVING = "moving"  # instead of them while a move from another engine fills the tables
_META_NAMES = ("ledger", "schema", "checkpoint", "answered")


def open_ledger(server: Server, sealer: Sealer) -> str:
    """Make the tables of a new ledger, or check version and key of an old one; returns the ledger's id.

    Raises LedgerUnavailable.
    """
    with server.failures():
        connection = server.connect()
        try:
            tables = tables_of(connection, server)
            if not tables:
                # Unless another switch makes it at the same moment.
                with suppress(errors.DuplicateTable, errors.UniqueViolation):
                    create_ledger(connection, sealer, secrets.token_hex(16))
            elif "meta" not in tables:
                raise LedgerUnavailable(
                    f"{server}: another program's tables are there; use a schema or database of its own"
                )
            return _check_meta(connection, server, sealer)
        finally:
            connection.close()


def tables_of(connection: Connection, server: Server) -> set[str]:
    """The tables of the schema that the connection string leads to. Raises LedgerUnavailable."""
    row = connection.execute("SELECT current_schema()").fetchone()
    if row is None or row[0] is None:
        raise LedgerUnavailable(
            f"{server}: its search path names no schema that is there; create it, or check the connection"
            " string in the settings"
        )
    rows = connection.execute("SELECT tablename FROM pg_catalog.pg_tables WHERE schemaname = %s", row)
    return {str(name) for (name,) in rows}


def create_tables(connection: Connection) -> None:
    """Make all tables, empty."""
    for number in sorted(VERSIONS):
        connection.execute(VERSIONS[number].encode())


def create_ledger(connection: Connection, sealer: Sealer, ledger: str) -> None:
    """Make all tables and the rows that an empty ledger has, in one transaction."""
    with connection.transaction():
        create_tables(connection)
        values = (ledger, str(SCHEMA_VERSION), "0:", "00" * SEAL_BYTES)
        for name, value in zip(_META_NAMES, values, strict=True):
            connection.execute(statements.SET_META, (0, name, value, sealer.row("meta", (name, value))))
        genesis = [(bucket, 0, sealer.genesis(ledger, bucket), 0) for bucket in range(BUCKETS)]
        connection.execute(statements.ADD_HEADS, columns("nnbn", genesis))
        row = (*ALL, "", 0)
        connection.execute(statements.SET_OWNER, (*row, 0, sealer.row("owner", row)))


def _check_meta(connection: Connection, server: Server, sealer: Sealer) -> str:
    """Bring an older ledger forward; returns its id. Raises LedgerUnavailable."""
    with connection.transaction():
        connection.execute("SELECT 1 FROM meta WHERE bucket = 0 AND name = 'schema' FOR UPDATE")
        rows = {name: (value, seal) for name, value, seal in connection.execute(statements.META, ALL)}
        for name, (value, seal) in rows.items():
            if sealer.row("meta", (name, value)) != seal:
                raise LedgerUnavailable(
                    f"{server}: the seal key doesn't fit this ledger (or its meta row {name!r} was changed);"
                    " check keys.seal in the settings"
                )
        if MOVING in rows:
            raise LedgerUnavailable(
                f"{server}: a move of a ledger into it isn't finished; run `vafa ledger migrate` again"
            )
        if not rows.keys() >= set(_META_NAMES):
            raise LedgerUnavailable(f"{server}: meta rows are missing; restore a backup")
        version = int(rows["schema"][0])
        if not FIRST_VERSION <= version <= SCHEMA_VERSION:
            raise LedgerUnavailable(
                f"{server}: schema version {version}, this program knows {FIRST_VERSION} to"
                f" {SCHEMA_VERSION}; use the program that wrote it"
            )
        for newer in range(version + 1, SCHEMA_VERSION + 1):
            connection.execute(VERSIONS[newer].encode())
        if version != SCHEMA_VERSION:
            value = str(SCHEMA_VERSION)
            seal = sealer.row("meta", ("schema", value))
            connection.execute(statements.SET_META, (0, "schema", value, seal))
        return str(rows["ledger"][0])
