"""Checkpoints: what the ledger looked like, under a MAC of the HSM, in a file outside the database.

A chain of seals can't show that its end was cut off; the checkpoints can. The file is only ever appended to,
one JSON line a checkpoint, durable when `append` returns. A line is
{"number", "made_ms", "heads", "sequences", "previous", "registry", "mac"}: numbers rise by one; `sequences`
are the entries of each bucket; `heads` is SHA-256 over the 256 heads (sequence and members as 8 bytes
big-endian, then the seal); `previous` is the MAC of the line before; `registry`, where it is known, how many
changes made the registry and SHA-256 of the last one's line; `mac` covers the line's bytes before `,"mac"`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from itertools import chain
from pathlib import Path
from struct import Struct
from typing import NamedTuple

from switch.ledger.engine import Head, LedgerUnavailable
from switch.ledger.model import BUCKETS

Mac = Callable[[bytes], bytes]

# A line has 256 numbers of up to 19 digits and some 200 bytes besides.
LONGEST_LINE_BYTES = 8_192

_MAC_MARK = b',"mac":"'
_HOLE = b"\0"
_HEAD_NUMBERS = Struct(">qq")


class RegistryHead(NamedTuple):
    """How many changes made the registry, and SHA-256 (hexadecimal) of the last one's line in its log."""

    changes: int
    last: str

    def is_behind(self, other: RegistryHead) -> bool:
        """Whether this is an older state, or another one, than a state that was."""
        return self.changes < other.changes or (self.changes == other.changes and self != other)


class Checkpoint(NamedTuple):
    """One line of the file. made_ms: milliseconds since 1970, UTC. heads, previous, mac: hexadecimal."""

    number: int
    made_ms: int
    heads: str
    sequences: tuple[int, ...]
    previous: str
    mac: str
    registry: RegistryHead | None = None


class CheckpointError(ValueError):
    """A line that isn't a checkpoint, or whose MAC doesn't fit."""


def digest_heads(heads: Sequence[Head]) -> str:
    """The `heads` of a checkpoint."""
    parts = ((_HEAD_NUMBERS.pack(head.sequence, head.members), head.seal) for head in heads)
    return sha256(b"".join(chain.from_iterable(parts))).hexdigest()


def parse_line(line: bytes, mac: Mac) -> Checkpoint:
    """Read and check one line, with or without its newline. Raises CheckpointError."""
    body, mark, _ = line.rpartition(_MAC_MARK)
    try:
        fields = json.loads(line)
        registry = fields.pop("registry", None)
        checkpoint = Checkpoint(*(fields.pop(name) for name in Checkpoint._fields[:-1]))
        checkpoint = checkpoint._replace(
            sequences=tuple(checkpoint.sequences),
            registry=None if registry is None else RegistryHead(*registry),
        )
    except (ValueError, TypeError, KeyError, AttributeError):
        raise CheckpointError("is not a checkpoint") from None
    if not mark or _line(checkpoint) != line.rstrip(b"\n") or mac(body).hex() != checkpoint.mac:
        raise CheckpointError("its MAC does not fit: the line was changed")
    if fields or len(checkpoint.sequences) != BUCKETS:
        raise CheckpointError("is not a checkpoint of this program")
    return checkpoint


def _whole(tail: bytes) -> int:
    """Bytes up to the end of the last line that is whole. What was being appended when the power failed has
    no end, or holes where sectors were not written: bytes of zero, which no line has."""
    end = tail.rfind(b"\n") + 1
    begin = tail.rfind(b"\n", 0, max(end - 1, 0)) + 1
    return begin if _HOLE in tail[begin:end] else end


def _line(checkpoint: Checkpoint) -> bytes:
    fields = checkpoint._asdict()
    registry, mac = fields.pop("registry"), fields.pop("mac")
    beside = {} if registry is None else {"registry": registry}
    return json.dumps({**fields, **beside, "mac": mac}, separators=(",", ":")).encode()


class CheckpointFile:
    """Appends checkpoints. mac: what the HSM does with the bytes of a line."""

    def __init__(self, path: Path, mac: Mac) -> None:
        self._path = path
        self._mac = mac
        self._last: Checkpoint | None = None
        self._read = False

    def append(
        self, heads: Sequence[Head], now_ms: int, registry: RegistryHead | None = None
    ) -> Checkpoint | None:
        """Write what the ledger looks like now, durably. None when nothing was added since the last time.

        heads: from `Engine.heads`. registry: its state now; the last one known stays. Raises
        LedgerUnavailable when the file can't be read or written, its last line was changed, or the ledger has
        fewer entries than at the last checkpoint.
        """
        try:
            if not self._read:
                self._last = self._open()
                self._read = True
            checkpoint = self._next(heads, now_ms, registry)
            if checkpoint is not None:
                self._write(_line(checkpoint) + b"\n")
                self._last = checkpoint
        except OSError as error:
            self._read = False
            raise LedgerUnavailable(
                f"{self._path}: can't be written ({error.strerror}); check the disk and the permissions"
            ) from error
        return checkpoint

    @property
    def registry(self) -> RegistryHead | None:
        """The state of the registry at the last checkpoint that knew it; None before the first `append`."""
        return None if self._last is None else self._last.registry

    def _next(self, heads: Sequence[Head], now_ms: int, registry: RegistryHead | None) -> Checkpoint | None:
        sequences = tuple(head.sequence for head in heads)
        last = self._last
        if last is not None:
            for bucket, (now, before) in enumerate(zip(sequences, last.sequences, strict=True)):
                if now < before:
                    raise LedgerUnavailable(
                        f"{self._path}: checkpoint {last.number} counted {before} entries in bucket"
                        f" {bucket}, the ledger has {now}: it was cut or an old copy was put in place;"
                        " run `vafa ledger verify`"
                    )
            # An older state than was known is told by whoever looks; it doesn't become the known one.
            if registry is None or (last.registry is not None and registry.is_behind(last.registry)):
                registry = last.registry
            if sequences == last.sequences and registry == last.registry:
                return None
        digest = digest_heads(heads)
        number = last.number + 1 if last else 1
        previous = last.mac if last else ""
        checkpoint = Checkpoint(number, now_ms, digest, sequences, previous, "", registry)
        body, _, _ = _line(checkpoint).rpartition(_MAC_MARK)
        return checkpoint._replace(mac=self._mac(body).hex())

    def _open(self) -> Checkpoint | None:
        """The last checkpoint; cuts off a line that a crash left unfinished."""
        if not self._path.exists():
            return None
        with self._path.open("r+b") as file:
            size = file.seek(0, os.SEEK_END)
            begin = max(0, size - 2 * LONGEST_LINE_BYTES)
            file.seek(begin)
            tail = file.read()
            whole = _whole(tail)
            if whole < len(tail):
                file.truncate(begin + whole)
                os.fsync(file.fileno())
        lines = tail[:whole].splitlines()
        if not lines:
            return None
        try:
            return parse_line(lines[-1], self._mac)
        except CheckpointError as error:
            raise LedgerUnavailable(
                f"{self._path}: the last line {error}; run `vafa ledger verify`"
            ) from None

    def _write(self, line: bytes) -> None:
        new = not self._path.exists()
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "ab") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        if new:
            directory = os.open(self._path.parent, os.O_RDONLY)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)


def read_checkpoints(path: Path, mac: Mac) -> Iterator[tuple[int, Checkpoint | CheckpointError]]:
    """Every line, its number in the file (from 1) and what it holds or what is wrong with it.

    Checked are each line's MAC, numbers that rise by one, `previous`. A last line without its end, or with
    holes, is what a crash leaves while appending; it never counted. Raises OSError.
    """
    last: Checkpoint | None = None
    with path.open("rb") as file:
        for place, line in enumerate(file, start=1):
            if not line.endswith(b"\n") or (_HOLE in line and not file.peek(1)):
                return
            try:
                checkpoint = parse_line(line, mac)
            except CheckpointError as error:
                yield place, error
                last = None
                continue
            if last is None and place == 1 and (checkpoint.number != 1 or checkpoint.previous):
                yield place, CheckpointError(f"checkpoints before number {checkpoint.number} are missing")
            if last is not None and (checkpoint.number, checkpoint.previous) != (last.number + 1, last.mac):
                yield place, CheckpointError(f"checkpoint {checkpoint.number} doesn't follow {last.number}")
            yield place, checkpoint
            last = checkpoint
