"""The audit log: one JSON line for each thing that officers or key commands did, chained and sealed.

A record holds who, what, which key type and check value, and the result; never a key, token, PIN or card
number. Each line's seal is an HMAC over the seal before it and the line itself, so an edit, a gap, a swap or
a line taken out of the middle shows. What the chain alone can't show, lines cut off at the end, shows against
the sealed head that is written beside the log after every record.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

from switch.hsm.crypto.ciphers import same
from switch.hsm.crypto.macs import hmac_sha256

FIRST_SEAL: Final = "0" * 64
LONGEST_VALUE: Final = 200  # characters: a detail is a word or a name, never data that a host sent
_JOINER: Final = "\u200c"  # within Persian names; not printable by Unicode's classes


class AuditError(Exception):
    """The log can't be written or its chain is broken. The text says where."""


class AuditEvent(NamedTuple):
    """Something to record. details: short words by name."""

    what: str
    details: dict[str, str]


class Record(NamedTuple):
    """One line of the log."""

    number: int
    time: str  # UTC, ISO 8601
    what: str
    details: dict[str, str]
    seal: str

    def line(self) -> str:
        fields = {"n": self.number, "time": self.time, "what": self.what, **self.details, "seal": self.seal}
        return json.dumps(fields, ensure_ascii=True) + "\n"


def sealed(key: bytes, previous: str, number: int, time: str, event: AuditEvent) -> Record:
    """The next record of a chain. previous: the seal before it (FIRST_SEAL at the start)."""
    details = {name: _printable(str(value))[:LONGEST_VALUE] for name, value in event.details.items()}
    assert not details.keys() & {"n", "time", "what", "seal"}, "a detail would hide a field"
    seal = _seal(key, previous, number, time, event.what, details)
    return Record(number, time, event.what, details, seal)


def _printable(text: str) -> str:
    """Letters of any script stay; what could hide or turn a line does not."""
    return "".join(one if one.isprintable() or one == _JOINER else "?" for one in text)


def _seal(key: bytes, previous: str, number: int, time: str, what: str, details: dict[str, str]) -> str:
    content = json.dumps([previous, number, time, what, details], sort_keys=True, ensure_ascii=True)
    return hmac_sha256(key, content.encode()).hex()


class Chain(NamedTuple):
    """Where a chain stands: how many records, the last seal."""

    records: int
    seal: str


def verify(lines: Iterable[str], key: bytes, head: str | None = None) -> Chain:
    """Check a whole log against its key, and against the sealed head when it is given.

    Raises AuditError with the line that is edited, missing or out of order, or says that the end is cut off.
    """
    chain = Chain(0, FIRST_SEAL)
    for line in lines:
        number = chain.records + 1
        try:
            fields = json.loads(line)
            stated, time, what = fields.pop("n"), fields.pop("time"), fields.pop("what")
            seal = fields.pop("seal")
            expected = _seal(key, chain.seal, number, time, what, fields)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise AuditError(f"line {number} is no audit record") from None
        if stated != number:
            raise AuditError(f"line {number} says it is record {stated}: records are missing or out of order")
        if not isinstance(seal, str) or not seal.isascii() or not same(seal, expected):
            raise AuditError(f"line {number} was changed, or written under another key")
        chain = Chain(number, seal)
    if head is not None and not same(head.strip(), sealed_head(key, chain)):
        raise AuditError(f"the log ends after record {chain.records}: by its head, lines are cut off")
    return chain


def sealed_head(key: bytes, chain: Chain) -> str:
    """What the file beside the log says: count, last seal and an HMAC over both."""
    tag = hmac_sha256(key, f"head {chain.records} {chain.seal}".encode()).hex()
    return f"{chain.records} {chain.seal} {tag}"


class AuditLog:
    """An audit log on disk, appended by one process. It is verified whole when it is opened."""

    def __init__(self, path: Path, key: bytes) -> None:
        self._path = path
        self._head_path = path.with_name(path.name + ".head")
        self._key = key
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._file = os.fdopen(descriptor, "w", encoding="ascii")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._chain = self._read_chain()
            self._write_head()
        except BlockingIOError:
            self._file.close()
            raise AuditError(f"another box writes {path}") from None
        except BaseException:
            self._file.close()
            raise

    def _read_chain(self) -> Chain:
        path = self._path
        try:
            text = path.read_text("ascii")
            head = self._head_path.read_text("ascii") if self._head_path.exists() else None
        except (OSError, UnicodeDecodeError) as error:
            raise AuditError(f"{path} can't be read: {error}") from None
        whole = text[: text.rfind("\n") + 1]  # a stop inside a record: it was not done, nobody relied on it
        lines = whole.splitlines()
        if lines and head is None:
            raise AuditError(f"{self._head_path} is missing: whether lines were cut off can't be told")
        if head is not None and self._is_one_behind(lines, head):
            head = None  # a stop between record and head: the record is whole, the head is written again
        chain = verify(lines, self._key, head)
        if whole != text:
            self._file.truncate(len(whole))
        return chain

    @property
    def chain(self) -> Chain:
        return self._chain

    def record(self, event: AuditEvent, time: datetime | None = None) -> None:
        """Append one record; it is on disk when this returns. Raises AuditError."""
        stamp = (time or datetime.now(UTC)).isoformat(timespec="milliseconds")
        made = sealed(self._key, self._chain.seal, self._chain.records + 1, stamp, event)
        try:
            self._file.write(made.line())
            self._file.flush()
            os.fsync(self._file.fileno())
            self._chain = Chain(made.number, made.seal)
            self._write_head()
        except (OSError, ValueError) as error:
            raise AuditError(f"{self._path} can't be written: {error}") from None

    def close(self) -> None:
        self._file.close()

    def _is_one_behind(self, lines: list[str], head: str) -> bool:
        try:
            before = verify(lines[:-1], self._key)
        except AuditError:
            return False
        return bool(lines) and same(head.strip(), sealed_head(self._key, before))

    def _write_head(self) -> None:
        temporary = self._head_path.with_name(self._head_path.name + ".new")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(sealed_head(self._key, self._chain) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, self._head_path)
