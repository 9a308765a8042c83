"""The keyed seals: one HMAC-SHA-256 chain per bucket over whole entries, and seals of single rows beside it.

What is sealed is the very row that is stored. The encoding never changes: old seals could not be verified.

The seal of an entry is over the previous seal of its bucket (32 bytes) and its row packed as
`switch.ledger.rows.packed_row` does, which says where every value ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from struct import Struct

SEAL_BYTES = 32
SHORTEST_KEY_BYTES = 32  # as strong as the seal itself

_BLOCK_BYTES = 64  # of SHA-256, where RFC 2104 pads the key to
_LENGTH = Struct(">L")
# A row beside the chains: R, then table name and each value as letter, length, bytes (numbers decimal).
_ROW_LETTERS = {int: b"i", str: b"t", bytes: b"b"}


class Sealer:
    """HMAC-SHA-256 (RFC 2104) under one key. The padded key is hashed only once: half the time."""

    def __init__(self, key: bytes) -> None:
        if len(key) < SHORTEST_KEY_BYTES:
            raise ValueError(f"a seal key has at least {SHORTEST_KEY_BYTES} bytes, this one {len(key)}")
        padded = (sha256(key).digest() if len(key) > _BLOCK_BYTES else key).ljust(_BLOCK_BYTES, b"\0")
        self._inner = sha256(bytes(byte ^ 0x36 for byte in padded))
        self._outer = sha256(bytes(byte ^ 0x5C for byte in padded))

    def seal(self, data: bytes) -> bytes:
        """The 32-byte seal of some canonical bytes."""
        inner = self._inner.copy()
        inner.update(data)
        outer = self._outer.copy()
        outer.update(inner.digest())
        return outer.digest()

    def entry(self, previous: bytes, packed: bytes) -> bytes:
        """The seal of an entry's packed row that follows the seal `previous` in its bucket."""
        inner = self._inner.copy()
        inner.update(previous)
        inner.update(packed)
        outer = self._outer.copy()
        outer.update(inner.digest())
        return outer.digest()

    def row(self, table: str, values: Sequence[int | str | bytes]) -> bytes:
        """The seal of one row outside the chains (directory, owner, meta): its table's name and values."""
        parts = [b"R"]
        for value in (table, *values):
            data = value if isinstance(value, bytes) else str(value).encode()
            # A damaged row may hold what no row can: it fits no seal.
            parts += (_ROW_LETTERS.get(type(value), b"?"), _LENGTH.pack(len(data)), data)
        return self.seal(b"".join(parts))

    def genesis(self, ledger: str, bucket: int) -> bytes:
        """What a bucket's first entry follows: differs between ledgers and buckets."""
        return self.row("genesis", (ledger, bucket))
