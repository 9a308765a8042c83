"""Which bucket the newest identities of a PostgreSQL ledger lie in, so that a look-up that names none needn't
ask all of them. Holds what the owner read and wrote itself; knows no connection and decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heapify, heappush, heappushpop

from switch.ledger.engine import ANY_BUCKET

# Some 120 bytes each, 25 MB: ten seconds of full speed, or a day of a small network.
NEWEST = 200_000
# Of an identity: the terminal (or acquirer) that it is of. See `switch.authorizer.identity`: time (7), class
# (1), terminal (8), number (3).
_SENDER = slice(8, 16)


class Newest:
    """Keys that begin with a moment, each with its bucket: all that are above a floor, and of each sender
    that is known the greatest.

    A sender's clock only goes on. So what is new of it is above its greatest, even where another sender's
    clock is far ahead, or this one's far behind.
    """

    def __init__(self, floor: bytes, stored: Iterable[tuple[bytes, int]], limit: int) -> None:
        """floor: everything above it that is stored is in `stored`."""
        self._floor = floor
        self._limit = limit
        self._buckets = {key: bucket for key, bucket in stored if key > floor}
        self._order = list(self._buckets)
        heapify(self._order)
        self._greatest: dict[bytes, bytes] = {}
        for key in self._order:
            self._see(key)

    @classmethod
    def of_buckets(cls, found: Iterable[tuple[int, list[bytes]]], most: int, limit: int) -> Newest:
        """found: of each bucket its greatest keys, `most` of them or all that it has."""
        rows = list(found)
        floor = max((min(keys) for _, keys in rows if len(keys) >= most), default=b"")
        return cls(floor, ((key, bucket) for bucket, keys in rows for key in keys), limit)

    def bucket_of(self, key: bytes) -> int | None:
        """Where a key is stored; None: nowhere; ANY_BUCKET: it isn't known here."""
        bucket = self._buckets.get(key)
        if bucket is not None:
            return bucket
        if key > self._floor or key > self._greatest.get(key[_SENDER], self._floor):
            return None
        return ANY_BUCKET

    def add(self, key: bytes, bucket: int) -> None:
        """It is stored now. The smallest leave first, so a clock far ahead doesn't raise the floor."""
        if key <= self._floor:
            # Of a sender that isn't known something greater may have left before.
            if key[_SENDER] in self._greatest:
                self._see(key)
            return
        self._buckets[key] = bucket
        self._see(key)
        if len(self._buckets) <= self._limit:
            heappush(self._order, key)
            return
        smallest = heappushpop(self._order, key)
        del self._buckets[smallest]
        self._floor = smallest
        if len(self._greatest) > 2 * self._limit:
            self._forget_senders()

    def _see(self, key: bytes) -> None:
        sender = key[_SENDER]
        known = self._greatest.get(sender)
        if known is None or key > known:
            self._greatest[sender] = key

    def _forget_senders(self) -> None:
        """The floor says of these what is enough."""
        floor = self._floor
        self._greatest = {sender: key for sender, key in self._greatest.items() if key > floor}
