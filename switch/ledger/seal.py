"""The keyed seals: one HMAC-SHA-256 chain per bucket over whole entries, and seals of single rows beside it.

What is sealed is the very row that is stored. The encoding never changes: old seals could not be verified.

Canonical bytes of an entry: the previous seal of its bucket (32 bytes), then its entry row, transfer rows by
number, posting rows by transfer and leg, side rows by number. A row is its letter (E, T, P, S; F for an entry
with the mark of its sending, key serial and request MAC), its whole
numbers as big-endian two's complement (8 bytes, small ones 2), the lengths of its byte strings (in bytes) and
texts (in characters; 4 bytes each), then these (texts as UTF-8), all in the order written below. So every row
says where it ends, and no two entries have equal bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from struct import Struct

SEAL_BYTES = 32
SHORTEST_KEY_BYTES = 32  # as strong as the seal itself

_BLOCK_BYTES = 64  # of SHA-256, where RFC 2104 pads the key to

EntryRow = tuple[int, int, int, bytes, bytes, str, str, str, int, int, str, bytes, bytes, bytes]
"""id, bucket, sequence, identity, fingerprint, terminal, acceptor, business date, decided ms, member,
response code, answer, key serial, request MAC."""
TransferRow = tuple[int, int, int, int]
"""entry, number, kind, reverses."""
PostingRow = tuple[int, int, int, int, int, str, str, int, int]
"""entry, transfer, leg, bucket, kind, holder, program, unit, amount."""
SideRow = tuple[int, int, int, int, int, bytes]
"""entry, number, kind, member, status, original."""

_ENTRY = Struct(">cqhqqqLLLLLLL")  # E id bucket sequence decided_ms member, lengths
_MARKED_ENTRY = Struct(">cqhqqqLLLLLLLLL")  # F, then as E with two more lengths
_TRANSFER = Struct(">cqhhq")  # T entry number kind reverses
_POSTING = Struct(">cqhhhhhqLL")  # P entry transfer leg bucket kind unit amount, lengths
_SIDE = Struct(">cqhhqhL")  # S entry number kind member status, length
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

    def entry(
        self,
        previous: bytes,
        entry: EntryRow,
        transfers: Sequence[TransferRow],
        postings: Sequence[PostingRow],
        sides: Sequence[SideRow],
    ) -> bytes:
        """The seal of an entry that follows the seal `previous` in its bucket.

        Raises struct.error, TypeError or AttributeError for values of a type or size that no ledger stores.
        """
        return self.seal(canonical(previous, entry, transfers, postings, sides))

    def row(self, table: str, values: Sequence[int | str | bytes]) -> bytes:
        """The seal of one row outside the chains (directory, owner, meta): its table's name and values."""
        parts = [b"R"]
        for value in (table, *values):
            data = value if isinstance(value, bytes) else str(value).encode()
            parts += (_ROW_LETTERS[type(value)], _LENGTH.pack(len(data)), data)
        return self.seal(b"".join(parts))

    def genesis(self, ledger: str, bucket: int) -> bytes:
        """What a bucket's first entry follows: differs between ledgers and buckets."""
        return self.row("genesis", (ledger, bucket))


def canonical(
    previous: bytes,
    entry: EntryRow,
    transfers: Sequence[TransferRow],
    postings: Sequence[PostingRow],
    sides: Sequence[SideRow],
) -> bytes:
    """The bytes that are sealed; see the module's text."""
    (
        entry_id,
        bucket,
        sequence,
        identity,
        fingerprint,
        terminal,
        acceptor,
        business_date,
        decided_ms,
        member,
        response_code,
        answer,
        key_serial,
        request_mac,
    ) = entry
    lengths: tuple[int, ...] = (
        len(identity),
        len(fingerprint),
        len(terminal),
        len(acceptor),
        len(business_date),
        len(response_code),
        len(answer),
    )
    layout, letter = _ENTRY, b"E"
    if key_serial or request_mac:
        layout, letter = _MARKED_ENTRY, b"F"
        lengths += (len(key_serial), len(request_mac))
    parts = [
        previous,
        layout.pack(letter, entry_id, bucket, sequence, decided_ms, member, *lengths),
        identity,
        fingerprint,
        (terminal + acceptor + business_date + response_code).encode(),
        answer,
        key_serial,
        request_mac,
    ]
    for transfer in transfers:
        parts.append(_TRANSFER.pack(b"T", *transfer))
    for of_entry, number, leg, of_bucket, kind, holder, program, unit, amount in postings:
        whole = (of_entry, number, leg, of_bucket, kind, unit, amount, len(holder), len(program))
        parts.append(_POSTING.pack(b"P", *whole))
        parts.append((holder + program).encode())
    for of_entry, number, kind, of_member, status, original in sides:
        parts.append(_SIDE.pack(b"S", of_entry, number, kind, of_member, status, len(original)))
        parts.append(original)
    return b"".join(parts)
