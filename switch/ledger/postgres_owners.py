"""What lies between the owners of a PostgreSQL ledger: who owns which buckets, where something is that names
no bucket, and the transfers that one owner has begun and another has to end.

Reads committed data of all owners, on a connection of its own; writes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from switch.ledger import postgres_statements as statements
from switch.ledger.engine import LedgerUnavailable
from switch.ledger.model import BUCKETS, Entry
from switch.ledger.postgres_connection import ALL, Reader, Row, Server, sealed_owner
from switch.ledger.postgres_statements import Numbers, Strings
from switch.ledger.rows import UNREADABLE, entry_of
from switch.ledger.seal import Sealer


class Owner(NamedTuple):
    """Whose a range of buckets is. name: as it called itself; epoch: of its claim."""

    first_bucket: int
    last_bucket: int
    name: str
    epoch: int


class Whereabouts(NamedTuple):
    """All owners; of each identifier that was asked about its member, or None; of each initial key (8 bytes)
    the highest counter that is committed anywhere."""

    owners: tuple[Owner, ...]
    members: tuple[int | None, ...]
    marks: tuple[int, ...]


class Sought(NamedTuple):
    """A transaction to be looked for in a range of buckets: all 256, or the one that it can be in."""

    identity: bytes
    buckets: tuple[int, int] = ALL


class Place(NamedTuple):
    """The bucket in which a transaction was decided, and that of its reversal; None: it wasn't there."""

    decided: int | None
    reversed: int | None


class PostgresOwners:
    """url: connection string; seal_key: as of the engine. Every method raises LedgerUnavailable; the next
    call tries again. One thread at a time."""

    def __init__(self, url: str, seal_key: bytes) -> None:
        self._server = Server(url)
        self._sealer = Sealer(seal_key)
        self._reader = Reader(self._server)
        self._known: dict[Row, Owner] = {}  # rows whose seal fitted

    def look(self, identifiers: Sequence[bytes], initial_keys: Sequence[bytes]) -> Whereabouts:
        """Where requests belong, in one round trip."""
        with self._reader.reading() as connection:
            with connection.pipeline():
                owners = connection.execute(statements.OWNERS, prepare=True, binary=True)
                named = connection.execute(
                    statements.BY_IDENTIFIER,
                    (Numbers.of([one[0] for one in identifiers]), Strings.of(identifiers)),
                    prepare=True,
                    binary=True,
                )
                marked = connection.execute(
                    statements.MARKS_OF, (Strings.of(initial_keys),), prepare=True, binary=True
                )
            rows, names = owners.fetchall(), named.fetchall()
            marks: dict[int, int] = dict(marked.fetchall())
        return Whereabouts(
            tuple(self._owner(row) for row in rows),
            self._members(names, len(identifiers)),
            tuple(marks.get(place, 0) for place in range(1, len(initial_keys) + 1)),
        )

    def _members(self, rows: Sequence[Row], count: int) -> tuple[int | None, ...]:
        members: dict[int, int] = {}
        for place, *named, seal in rows:
            if self._sealer.row("directory", named) != seal:
                raise self._contradiction(f"the directory row of member {named[1]} was changed")
            members[place] = named[1]
        return tuple(members.get(place) for place in range(1, count + 1))

    def _owner(self, row: Row) -> Owner:
        owner = self._known.get(row)
        if owner is None:
            *values, writer, seal = row
            owner = Owner(*values)
            if self._sealer.row("owner", sealed_owner(*owner, writer)) != seal:
                raise self._contradiction(f"the owner row of bucket {owner.first_bucket} was changed")
            if len(self._known) >= BUCKETS:
                self._known.clear()
            self._known[row] = owner
        return owner

    def places_of(self, sought: Sequence[Sought]) -> list[Place]:
        """Where these transactions were decided or reversed, whoever did it."""
        spans = [one.buckets for one in sought]
        first, last = (Numbers.of([span[end] for span in spans]) for end in (0, 1))
        values = (first, last, Strings.of([one.identity for one in sought]))
        with self._reader.reading() as connection:
            rows = connection.execute(
                statements.PLACES_BY_IDENTITY, values, prepare=True, binary=True
            ).fetchall()
        decided = {place: bucket for place, bucket, is_decided in rows if is_decided}
        reversed_in = {place: bucket for place, bucket, is_decided in rows if not is_decided}
        return [Place(decided.get(number), reversed_in.get(number)) for number in range(1, len(sought) + 1)]

    def sent_away(self, first_bucket: int, last_bucket: int, after: int, limit: int) -> list[Entry]:
        """Transfers between members and their reversals in these buckets, above the entry id `after`, in the
        order of their ids."""
        values = (first_bucket, last_bucket, after, limit, limit)
        with self._reader.reading() as connection:
            rows = connection.execute(statements.SENT_AWAY, values, prepare=True, binary=True).fetchall()
        try:
            return [entry_of(row) for row in rows]
        except UNREADABLE as error:
            raise self._contradiction(f"a transfer was changed ({type(error).__name__})") from error

    def entries(self, places: Sequence[tuple[int, int]]) -> list[Entry | None]:
        """Entries by bucket and id."""
        buckets = Numbers.of([bucket for bucket, _ in places])
        values = (buckets, buckets, Numbers.of([entry for _, entry in places]))
        with self._reader.reading() as connection:
            rows = connection.execute(statements.ENTRIES_BY_ID, values, prepare=True, binary=True).fetchall()
        found = {row[0]: entry_of(row[1:]) for row in rows}
        return [found.get(place) for place in range(1, len(places) + 1)]

    def have(self, places: Sequence[tuple[int, bytes]]) -> list[bool]:
        """Whether entries with these buckets and identities are there."""
        buckets = Numbers.of([bucket for bucket, _ in places])
        values = (buckets, buckets, Strings.of([identity for _, identity in places]))
        with self._reader.reading() as connection:
            rows = connection.execute(
                statements.BUCKETS_BY_IDENTITY, values, prepare=True, binary=True
            ).fetchall()
        found = {row[0] for row in rows}
        return [place in found for place in range(1, len(places) + 1)]

    def _contradiction(self, what: str) -> LedgerUnavailable:
        return LedgerUnavailable(f"{self._server}: {what}; run `vafa ledger verify`")

    def close(self) -> None:
        """Close the connection."""
        self._reader.close()
