"""The queue of advices that must reach a host, however long it is away, and through any power cut.

Pure but for `FileStorage`: the clock is passed in, nothing is sent here (`switch.link.forwarder` sends). What
the queue stores is opaque to it and goes through the caller's seal: no card data stands in the file.

Rules: what `put` returned is kept. What `take` returned is on record as sent, so after a cut it goes out
again as a repeat and never twice as new. Messages of one key leave in order, one at a time. Nothing ends
silently: every message ends in an `Outcome` that stays until it is acknowledged.

The file: a head (magic, next number, CRC-32), then frames: marker, length (4), records, CRC-32 of all that.
One append is one frame, so a cut loses a whole append or nothing. Numbers are big-endian. The layout of a
record is `_RECORD`; only a queued one has content: the seal's, over key and message.
"""

from __future__ import annotations

import contextlib
import fcntl
import heapq
import os
import struct
import zlib
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple, Protocol

# One day of a busy till chain with the host away; at 200 bytes a message some MiB of memory and disk.
CAPACITY_MESSAGES = 10_000
CAPACITY_BYTES = 16 * 1024 * 1024
# A frame of a link has at most 64 KiB.
CONTENT_BYTES_MAXIMUM = 64 * 1024
KEY_BYTES_MAXIMUM = 255
# The file is written anew when so much of it is dead, and more than is alive: each byte is copied about once.
DEAD_BYTES_WORTH_COMPACTING = 64 * 1024
DOUBLINGS_MAXIMUM = 32

_MAGIC = b"VSF1"
_HEAD = struct.Struct(">4sQ")
_RECORD = struct.Struct(">BQQI4sI")  # stage, number, at (ms), attempts, DE 39 (blank-filled), content's size
_FRAME = struct.Struct(">2sI")
_MARKER = b"\xf5\xaf"
_CHECK_BYTES = 4
_HEAD_BYTES = _HEAD.size + _CHECK_BYTES


class Stage(IntEnum):
    """How far a message got; the numbers stand in the file."""

    QUEUED = 1
    SENT = 2  # at least once, as far as we know
    ANSWERED = 3  # with a valid response code
    REFUSED = 4  # with a code that is neither valid nor worth a retry, or it can't be sent at all
    EXPIRED = 5
    EXHAUSTED = 6  # as many attempts as the rules allow
    ACKNOWLEDGED = 7  # its outcome was taken note of; the queue has forgotten it


NEXT_STAGES = {
    Stage.QUEUED: frozenset({Stage.SENT, Stage.REFUSED, Stage.EXPIRED}),
    Stage.SENT: frozenset(
        {Stage.QUEUED, Stage.SENT, Stage.ANSWERED, Stage.REFUSED, Stage.EXPIRED, Stage.EXHAUSTED}
    ),
    Stage.ANSWERED: frozenset({Stage.ACKNOWLEDGED}),
    Stage.REFUSED: frozenset({Stage.ACKNOWLEDGED}),
    Stage.EXPIRED: frozenset({Stage.ACKNOWLEDGED}),
    Stage.EXHAUSTED: frozenset({Stage.ACKNOWLEDGED}),
    Stage.ACKNOWLEDGED: frozenset(),
}
OPEN_STAGES = frozenset({Stage.QUEUED, Stage.SENT})


class QueueError(Exception):
    """The queue can't do what was asked."""


class QueueFull(QueueError):
    """No room; nothing was stored. Hold back, or take note of outcomes."""


class QueueUnavailable(QueueError):
    """The storage can't keep a record now: what depends on it must not be done. Trying again is allowed."""


class QueueDamaged(QueueError):
    """The file was changed by something other than a power cut, or sealed under another key."""


class Seal(NamedTuple):
    """What keeps card data out of the file. `decrypt` raises for what is not of this key."""

    encrypt: Callable[[bytes], bytes]
    decrypt: Callable[[bytes], bytes]


# For messages that carry no card data, no PIN and no key.
UNSEALED = Seal(bytes, bytes)


class Storage(Protocol):
    """One durable sequence of bytes. What an append that raised `OSError` left behind is unknown."""

    def read(self) -> bytes: ...

    def append(self, data: bytes) -> None: ...

    def replace(self, data: bytes) -> None:
        """All of the old or all of the new, whatever happens."""


@dataclass(frozen=True, slots=True)
class ForwardRules:
    """Times are milliseconds; None = no limit.

    inter_message_delay_ms: between two sendings, whatever their keys.
    retry_delay_ms: after an unanswered sending or a retry code; doubles up to retry_delay_longest_ms.
    maximum_attempts, expire_after_ms (since `put`): when a message is given up.
    valid_codes: DE 39 that end a message well. retry_codes: that mean "later". Any other refuses it.
    capacity, capacity_bytes: messages (with unacknowledged outcomes) and their bytes in the queue.
    maximum_outstanding: sent and not answered at one time, each of another key.
    """

    inter_message_delay_ms: int = 0
    retry_delay_ms: int = 5_000
    retry_delay_longest_ms: int = 300_000
    maximum_attempts: int | None = None
    expire_after_ms: int | None = None
    valid_codes: frozenset[str] = frozenset({"00"})
    retry_codes: frozenset[str] = frozenset({"91", "96", "ZZ"})
    capacity: int = CAPACITY_MESSAGES
    capacity_bytes: int = CAPACITY_BYTES
    maximum_outstanding: int = 8


class Sending(NamedTuple):
    """A message to be sent now. `repeat`: an earlier sending may have arrived: MTI xxx1."""

    number: int
    content: bytes
    attempt: int
    repeat: bool

    def __repr__(self) -> str:  # the content may hold a card number
        return f"<Sending {self.number} attempt {self.attempt}{' repeat' if self.repeat else ''}>"


class Outcome(NamedTuple):
    """How a message ended. `response_code`: the last DE 39 that was received, None without."""

    number: int
    key: str
    content: bytes
    stage: Stage
    response_code: str | None
    attempts: int
    queued_at_ms: int
    ended_at_ms: int

    def __repr__(self) -> str:  # key and content may hold a card number
        return f"<Outcome {self.number} {self.stage.name} {self.response_code} attempts {self.attempts}>"


@dataclass(slots=True)
class QueueMetrics:
    """size, outstanding, bytes: now. The others count up since the queue was opened."""

    size: int = 0  # messages that have not ended
    outcomes: int = 0  # ended, not acknowledged
    outstanding: int = 0
    bytes: int = 0
    queued: int = 0
    sent: int = 0
    retried: int = 0  # of these, again
    answered: int = 0
    refused: int = 0
    expired: int = 0
    exhausted: int = 0
    full: int = 0  # puts without room
    tail_bytes_dropped: int = 0  # of an append that a power cut tore

    @property
    def discarded(self) -> int:
        """Given up for another reason than age."""
        return self.refused + self.exhausted

    def as_dict(self) -> dict[str, int]:
        return {**asdict(self), "discarded": self.discarded}


@dataclass(slots=True)
class _Entry:
    number: int
    key: str
    content: bytes
    sealed: bytes  # as it stands in the file
    stage: Stage
    queued_at_ms: int
    attempts: int = 0
    sent_at_ms: int = 0
    ended_at_ms: int = 0
    response_code: str | None = None
    due_at_ms: int = 0
    outstanding: bool = False


class StoreAndForward:
    """The queue on a storage. One owner; every `now_ms` is wall time, milliseconds.

    Every call that changes something may raise `QueueUnavailable`; then it changed nothing that counts.
    `QueueDamaged` when the file can't be trusted: nothing is dropped silently.
    """

    def __init__(self, storage: Storage, seal: Seal, rules: ForwardRules | None = None) -> None:
        self.rules = rules or ForwardRules()
        self._storage = storage
        self._seal = seal
        self._entries: dict[int, _Entry] = {}
        self._lines: dict[str, deque[int]] = {}  # per key, in order
        self._due: list[tuple[int, int]] = []  # heads of lines: (when, number); stale entries stay in
        self._expiries: list[tuple[int, int]] = []
        self._ended: dict[int, None] = {}
        self._outstanding = 0
        self._bytes = 0
        self._next_number = 1
        self._next_sending_ms = 0
        self._latest_ms = 0
        self._file_bytes = 0
        self._torn = True  # the file's end can't be trusted: the next write writes it anew
        self._metrics = QueueMetrics()
        self._load()

    # ------------------------------------------------------------ in

    def put(self, key: str, content: bytes, now_ms: int) -> int:
        """Store a message; its number. It is kept when this returns. `QueueFull`, `QueueUnavailable`.

        key: messages with the same key leave in order (a terminal, a member).
        """
        return self.put_all([(key, content)], now_ms)[0]

    def put_all(self, messages: Iterable[tuple[str, bytes]], now_ms: int) -> list[int]:
        """Store several with one write: all or none."""
        entries = []
        number, size = self._next_number, self._bytes
        for key, content in messages:
            if len(content) > CONTENT_BYTES_MAXIMUM or len(key.encode()) > KEY_BYTES_MAXIMUM:
                raise ValueError(f"key or content longer than {KEY_BYTES_MAXIMUM}, {CONTENT_BYTES_MAXIMUM}")
            sealed = self._seal.encrypt(_packed(key, content))
            entries.append(_Entry(number, key, content, sealed, Stage.QUEUED, now_ms))
            number += 1
            size += len(sealed)
        if len(self._entries) + len(entries) > self.rules.capacity or size > self.rules.capacity_bytes:
            self._metrics.full += 1
            raise QueueFull(f"{len(self._entries)} messages, {self._bytes} bytes: no room for more")
        self._write(entries, b"".join(_records_of(entry) for entry in entries))
        for entry in entries:
            self._admit(entry)
        self._next_number = number
        self._metrics.queued += len(entries)
        return [entry.number for entry in entries]

    # ------------------------------------------------------------ out

    def take(self, now_ms: int) -> Sending | None:
        """The next message to send now, already on record as sent; None when nothing is due.

        Tell what became of it by `answered`, `unanswered` or `not_sent`.
        """
        self._follow_clock(now_ms)
        self.expire(now_ms)
        if self._outstanding >= self.rules.maximum_outstanding or now_ms < self._next_sending_ms:
            return None
        head = self._first_due()
        if head is None or head[0] > now_ms:
            return None
        entry = self._entries[head[1]]
        repeat = entry.stage is Stage.SENT
        self._set(entry, Stage.SENT, now_ms, entry.attempts + 1, entry.response_code)
        heapq.heappop(self._due)
        entry.outstanding = True
        self._outstanding += 1
        self._next_sending_ms = now_ms + self.rules.inter_message_delay_ms
        self._metrics.sent += 1
        self._metrics.retried += repeat
        return Sending(entry.number, entry.content, entry.attempts, repeat)

    def next_at(self) -> int | None:
        """When `take` or `expire` has something to do, if nothing else happens; None = never."""
        times = []
        head = self._first_due()
        if head is not None and self._outstanding < self.rules.maximum_outstanding:
            times.append(max(head[0], self._next_sending_ms))
        while self._expiries and not self._may_expire(self._expiries[0][1]):
            heapq.heappop(self._expiries)
        if self._expiries:
            times.append(self._expiries[0][0])
        return min(times, default=None)

    def answered(self, number: int, response_code: str | None, now_ms: int) -> Stage:
        """The host answered. The stage that follows: ANSWERED, REFUSED, or SENT when it is tried again.

        Also for the late answer of a message that waits for its next attempt. None: an answer without DE 39.
        """
        entry = self._open(number)
        if response_code in self.rules.valid_codes:
            self._end(entry, Stage.ANSWERED, response_code, now_ms)
        elif response_code is None or response_code in self.rules.retry_codes:
            self._try_again(entry, response_code, now_ms)
        else:
            self._end(entry, Stage.REFUSED, response_code, now_ms)
        return entry.stage

    def unanswered(self, number: int, now_ms: int) -> Stage:
        """It left, and no answer came. The stage that follows: SENT, EXPIRED or EXHAUSTED."""
        entry = self._open(number)
        self._try_again(entry, entry.response_code, now_ms)
        return entry.stage

    def not_sent(self, number: int, now_ms: int) -> None:
        """Nothing of it left: the attempt doesn't count, and the next one is not a repeat on its account."""
        entry = self._open(number)
        attempts = entry.attempts - 1
        self._set(entry, Stage.SENT if attempts else Stage.QUEUED, now_ms, attempts, entry.response_code)
        self._metrics.sent -= 1
        self._metrics.retried -= attempts > 0
        self._release(entry)
        self._plan(entry, now_ms + self.rules.retry_delay_ms)

    def postpone(self, number: int, now_ms: int) -> None:
        """Forget the attempt without a record: it stays on record as sent, and is tried again later.

        For when the storage keeps nothing now; never raises. What has ended stays so.
        """
        if self.is_open(number):
            self._release(self._entries[number])
            self._plan(self._entries[number], now_ms + self.rules.retry_delay_ms)

    def refuse(self, number: int, now_ms: int) -> None:
        """It can never be sent as it is (it doesn't encode any more)."""
        self._end(self._open(number), Stage.REFUSED, None, now_ms)

    def expire(self, now_ms: int) -> None:
        """End what is too old. A message whose answer is awaited expires when it doesn't come."""
        while self._expiries and self._expiries[0][0] <= now_ms:
            number = self._expiries[0][1]
            if self._may_expire(number):
                entry = self._entries[number]
                self._end(entry, Stage.EXPIRED, entry.response_code, now_ms)
            else:
                heapq.heappop(self._expiries)

    def is_open(self, number: int) -> bool:
        """Whether a message has not ended yet."""
        entry = self._entries.get(number)
        return entry is not None and entry.stage in OPEN_STAGES

    def is_outstanding(self, number: int) -> bool:
        entry = self._entries.get(number)
        return entry is not None and entry.outstanding

    # ------------------------------------------------------------ outcomes

    def outcomes(self) -> list[Outcome]:
        """Every message that ended and was not acknowledged, in the order they ended."""
        return [self._outcome(self._entries[number]) for number in self._ended]

    def acknowledge(self, *numbers: int) -> None:
        """The outcomes of these messages were taken note of: the queue may forget them."""
        entries = [self._entries[number] for number in numbers]
        for entry in entries:
            assert Stage.ACKNOWLEDGED in NEXT_STAGES[entry.stage], "only what has ended is acknowledged"
        gone = set(numbers)
        stay = [entry for entry in self._entries.values() if entry.number not in gone]
        records = b"".join(_record(Stage.ACKNOWLEDGED, number, 0, 0, None) for number in numbers)
        self._write([], records, only=stay)
        for entry in entries:
            self._forget(entry)

    @property
    def metrics(self) -> QueueMetrics:
        metrics = self._metrics
        metrics.size = len(self._entries) - len(self._ended)
        metrics.outcomes = len(self._ended)
        metrics.outstanding = self._outstanding
        metrics.bytes = self._bytes
        return metrics

    # ------------------------------------------------------------ entries

    def _open(self, number: int) -> _Entry:
        entry = self._entries[number]
        assert entry.stage in OPEN_STAGES, "what has ended stays as it ended"
        return entry

    def _try_again(self, entry: _Entry, response_code: str | None, now_ms: int) -> None:
        rules = self.rules
        if rules.maximum_attempts is not None and entry.attempts >= rules.maximum_attempts:
            self._end(entry, Stage.EXHAUSTED, response_code, now_ms)
            return
        entry.response_code = response_code
        self._release(entry)
        doublings = min(max(entry.attempts - 1, 0), DOUBLINGS_MAXIMUM)
        delay = min(rules.retry_delay_ms * 2**doublings, rules.retry_delay_longest_ms)
        self._plan(entry, now_ms + delay)
        self._watch_age(entry)
        self.expire(now_ms)

    def _end(self, entry: _Entry, stage: Stage, response_code: str | None, now_ms: int) -> None:
        self._set(entry, stage, now_ms, entry.attempts, response_code)
        entry.ended_at_ms = now_ms
        self._release(entry)
        self._ended[entry.number] = None
        line = self._lines[entry.key]
        was_head = line[0] == entry.number
        line.remove(entry.number)
        if not line:
            del self._lines[entry.key]
        elif was_head:
            self._plan(self._entries[line[0]], 0)
        name = stage.name.lower()
        setattr(self._metrics, name, getattr(self._metrics, name) + 1)

    def _set(
        self, entry: _Entry, stage: Stage, now_ms: int, attempts: int, response_code: str | None
    ) -> None:
        """Put a stage on record, then take it."""
        assert stage in NEXT_STAGES[entry.stage], f"{entry.stage.name} is not followed by {stage.name}"
        before = (entry.stage, entry.sent_at_ms, entry.attempts, entry.response_code, entry.ended_at_ms)
        entry.stage, entry.attempts, entry.response_code = stage, attempts, response_code
        if stage is Stage.SENT:
            entry.sent_at_ms = now_ms
        elif stage is not Stage.QUEUED:
            entry.ended_at_ms = now_ms
        try:
            self._write([], _record(stage, entry.number, now_ms, attempts, response_code))
        except QueueUnavailable:
            (entry.stage, entry.sent_at_ms, entry.attempts, entry.response_code, entry.ended_at_ms) = before
            raise

    def _admit(self, entry: _Entry) -> None:
        self._entries[entry.number] = entry
        self._bytes += len(entry.sealed)
        if entry.stage not in OPEN_STAGES:
            self._ended[entry.number] = None
            return
        line = self._lines.setdefault(entry.key, deque())
        line.append(entry.number)
        if len(line) == 1:
            self._plan(entry, 0)
        self._watch_age(entry)

    def _forget(self, entry: _Entry) -> None:
        del self._entries[entry.number]
        self._ended.pop(entry.number, None)
        self._bytes -= len(entry.sealed)

    def _release(self, entry: _Entry) -> None:
        if entry.outstanding:
            entry.outstanding = False
            self._outstanding -= 1

    def _plan(self, entry: _Entry, at_ms: int) -> None:
        entry.due_at_ms = at_ms
        heapq.heappush(self._due, (at_ms, entry.number))

    def _first_due(self) -> tuple[int, int] | None:
        """The earliest head of a line that is not outstanding."""
        while self._due:
            at_ms, number = self._due[0]
            entry = self._entries.get(number)
            if entry is not None and entry.due_at_ms == at_ms and self._waits_at_head(entry):
                return at_ms, number
            heapq.heappop(self._due)
        return None

    def _waits_at_head(self, entry: _Entry) -> bool:
        if entry.stage not in OPEN_STAGES or entry.outstanding:
            return False
        return self._lines[entry.key][0] == entry.number

    def _follow_clock(self, now_ms: int) -> None:
        """A clock that was set back must not hold up what was planned by the old time."""
        if now_ms < self._latest_ms:
            self._next_sending_ms = min(self._next_sending_ms, now_ms + self.rules.inter_message_delay_ms)
            latest = now_ms + self.rules.retry_delay_longest_ms
            for line in self._lines.values():
                head = self._entries[line[0]]
                if head.due_at_ms > latest:
                    self._plan(head, latest)
        self._latest_ms = now_ms

    def _watch_age(self, entry: _Entry) -> None:
        if self.rules.expire_after_ms is not None:
            heapq.heappush(self._expiries, (entry.queued_at_ms + self.rules.expire_after_ms, entry.number))

    def _may_expire(self, number: int) -> bool:
        entry = self._entries.get(number)
        return entry is not None and entry.stage in OPEN_STAGES and not entry.outstanding

    def _outcome(self, entry: _Entry) -> Outcome:
        return Outcome(
            entry.number,
            entry.key,
            entry.content,
            entry.stage,
            entry.response_code,
            entry.attempts,
            entry.queued_at_ms,
            entry.ended_at_ms,
        )

    # ------------------------------------------------------------ writing

    def _write(self, new: list[_Entry], records: bytes, only: list[_Entry] | None = None) -> None:
        """One append; or the whole file anew when its end can't be trusted or too much of it is dead.

        new: entries that are not in memory yet. only: the entries that are left when this is written.
        """
        frame = _frame(records)
        alive = [*(self._entries.values() if only is None else only), *new]
        try:
            if self._torn or self._is_worth_compacting(len(frame)):
                self._write_anew(alive)
                return
            self._torn = True  # until the append is known to be whole
            self._storage.append(frame)
            self._torn = False
        except OSError as error:
            raise QueueUnavailable(f"the queue can't be written: {error.strerror or error}") from error
        self._file_bytes += len(frame)

    def _write_anew(self, alive: list[_Entry]) -> None:
        next_number = max([self._next_number, *(entry.number + 1 for entry in alive)])
        head = _HEAD.pack(_MAGIC, next_number)
        frames = [_frame(_records_of(entry)) for entry in alive]
        data = b"".join([head, _check(head), *frames])
        self._torn = True
        self._storage.replace(data)
        self._torn = False
        self._file_bytes = len(data)

    def _is_worth_compacting(self, more: int) -> bool:
        dead = self._file_bytes + more - self._bytes - len(self._entries) * 2 * (_RECORD.size + 10)
        return dead > max(DEAD_BYTES_WORTH_COMPACTING, self._bytes)

    # ------------------------------------------------------------ reading

    def _load(self) -> None:
        try:
            data = self._storage.read()
        except OSError as error:
            raise QueueUnavailable(f"the queue can't be read: {error.strerror or error}") from error
        if len(data) < _HEAD_BYTES and _MAGIC.startswith(data[: len(_MAGIC)]):  # cut while it was begun
            self._metrics.tail_bytes_dropped = len(data)
            return
        head = data[: _HEAD.size]
        if data[:4] != _MAGIC or data[_HEAD.size : _HEAD_BYTES] != _check(head):
            raise QueueDamaged("no queue of ours: the head of the file is damaged or of another format")
        _magic, self._next_number = _HEAD.unpack(head)
        entries: dict[int, _Entry] = {}
        end = _HEAD_BYTES
        while (stop := _end_of_frame(data, end)) is not None:
            self._replay(data[end + _FRAME.size : stop - _CHECK_BYTES], entries, end)
            end = stop
        self._refuse_damage(data, end)
        self._torn = end != len(data)
        self._metrics.tail_bytes_dropped = len(data) - end
        self._file_bytes = end
        for entry in sorted(entries.values(), key=lambda entry: entry.ended_at_ms):
            if entry.stage not in OPEN_STAGES:
                self._admit(entry)
        for entry in entries.values():
            if entry.stage in OPEN_STAGES:
                self._admit(entry)

    def _replay(self, records: bytes, entries: dict[int, _Entry], place: int) -> None:
        at = 0
        try:
            while at < len(records):
                kind, number, at_ms, attempts, code, size = _RECORD.unpack_from(records, at)
                at += _RECORD.size
                content = records[at : at + size]
                at += size
                self._apply(Stage(kind), number, at_ms, attempts, code, content, entries)
        except (KeyError, ValueError, struct.error):
            what = f"a record of the frame at byte {place} doesn't follow from those before it"
            raise QueueDamaged(what) from None

    def _opened(self, sealed: bytes) -> tuple[str, bytes]:
        try:
            return _unpacked(self._seal.decrypt(sealed))
        except Exception:  # whatever a caller's decryption raises; its text may be anything
            raise QueueDamaged("a message can't be opened: was it sealed under another key?") from None

    def _apply(
        self,
        stage: Stage,
        number: int,
        at_ms: int,
        attempts: int,
        code: bytes,
        sealed: bytes,
        entries: dict[int, _Entry],
    ) -> None:
        self._next_number = max(self._next_number, number + 1)
        if stage is Stage.QUEUED and sealed:
            key, content = self._opened(sealed)
            entries[number] = _Entry(number, key, content, sealed, stage, at_ms)
            return
        entry = entries[number]
        if stage not in NEXT_STAGES[entry.stage]:
            raise KeyError(number)
        if stage is Stage.ACKNOWLEDGED:
            del entries[number]
            return
        entry.stage, entry.attempts = stage, attempts
        entry.response_code = code.decode("latin-1").rstrip() or None
        if stage is Stage.SENT:
            entry.sent_at_ms = at_ms
        elif stage is not Stage.QUEUED:
            entry.ended_at_ms = at_ms

    def _refuse_damage(self, data: bytes, end: int) -> None:
        """A cut tears the last append only: a whole frame behind the first bad one means other damage."""
        at = data.find(_MARKER, end + 1)
        while at != -1:
            if _end_of_frame(data, at) is not None:
                raise QueueDamaged(
                    f"byte {end} is no frame, but byte {at} is: damaged by something other than a power cut; "
                    "restore the file, or cut it there and reconcile with the host"
                )
            at = data.find(_MARKER, at + 1)


def _packed(key: str, content: bytes) -> bytes:
    name = key.encode()
    return bytes([len(name)]) + name + content


def _unpacked(plain: bytes) -> tuple[str, bytes]:
    if not plain or len(plain) < 1 + plain[0]:
        raise ValueError("no key in it")
    return plain[1 : 1 + plain[0]].decode(), plain[1 + plain[0] :]


def _record(
    stage: Stage, number: int, at_ms: int, attempts: int, response_code: str | None, content: bytes = b""
) -> bytes:
    code = (response_code or "").encode("latin-1", "replace")[:4].ljust(4)
    return _RECORD.pack(stage, number, at_ms, attempts, code, len(content)) + content


def _records_of(entry: _Entry) -> bytes:
    """All that must be on record of an entry as it is now."""
    records = _record(Stage.QUEUED, entry.number, entry.queued_at_ms, 0, None, entry.sealed)
    if entry.attempts:
        records += _record(Stage.SENT, entry.number, entry.sent_at_ms, entry.attempts, entry.response_code)
    if entry.stage not in OPEN_STAGES:
        records += _record(entry.stage, entry.number, entry.ended_at_ms, entry.attempts, entry.response_code)
    return records


def _frame(records: bytes) -> bytes:
    body = _FRAME.pack(_MARKER, len(records)) + records
    return body + _check(body)


def _end_of_frame(data: bytes, at: int) -> int | None:
    """Where the frame at `at` ends; None when there is no whole and sound one."""
    if len(data) < at + _FRAME.size + _CHECK_BYTES:
        return None
    marker, size = _FRAME.unpack_from(data, at)
    stop = at + _FRAME.size + size
    if marker != _MARKER or stop + _CHECK_BYTES > len(data):
        return None
    sound = data[stop : stop + _CHECK_BYTES] == _check(data[at:stop])
    return stop + _CHECK_BYTES if sound else None


def _check(data: bytes) -> bytes:
    return zlib.crc32(data).to_bytes(_CHECK_BYTES, "big")


class FileStorage:
    """A file, its directory synced with it. Held by one process at a time (a lock beside the file)."""

    def __init__(self, path: Path) -> None:
        """`QueueUnavailable` when another process holds it, or the directory can't be written."""
        self._path = path
        self._new = path.with_name(path.name + ".new")
        self._lock: int | None = None
        try:
            self._lock = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self.close()
            busy = isinstance(error, BlockingIOError)
            why = "another process holds it" if busy else error.strerror
            raise QueueUnavailable(f"{path}: {why}") from error
        with contextlib.suppress(FileNotFoundError):
            self._new.unlink()  # what a cut left of a file being written anew

    def read(self) -> bytes:
        try:
            return self._path.read_bytes()
        except FileNotFoundError:
            return b""

    def append(self, data: bytes) -> None:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND)
        try:
            _write_all(descriptor, data)
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)

    def replace(self, data: bytes) -> None:
        descriptor = os.open(self._new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            _write_all(descriptor, data)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self._new.replace(self._path)
        directory = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def close(self) -> None:
        """Let another process have it."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
