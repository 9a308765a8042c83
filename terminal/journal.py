"""What the terminal must not forget: how far each request got, and which STANs are spent.

A request is written as SENT, durably, before a byte of it leaves, then APPROVED and PRESENTED, or closed as
DECLINED, REVERSED, REFUSED or NOT_SENT. Records are appended and never changed. Their content is sealed;
this module takes it as plain bytes and knows no message. Never show or send anything that depends on a
record before the call that writes it has returned.

A segment file is a head (magic, generation, CRC-32) and records: length of the content (2), kind (1), STAN
(3, BCD), content (may be empty), CRC-32 of all that (4). Numbers are big-endian. A torn tail is ignored.
"""

import binascii

# States and closing states of a request, as they stand in records.
SENT = 1
APPROVED = 2
PRESENTED = 3
DECLINED = 4
REVERSED = 5
NOT_SENT = 6
REFUSED = 7  # the switch would not reverse it

NEXT_STATES = {
    SENT: (APPROVED, DECLINED, REVERSED, NOT_SENT, REFUSED),
    APPROVED: (PRESENTED,),
}

SEGMENTS = ("journal.0", "journal.1")
SEGMENT_BYTES = 4096  # then the other segment is begun: what is read at start stays small
OPEN_RECORDS = 4  # requests under way at once; one is the rule
CONTENT_BYTES = 512  # of one record, sealed; a request and its reversal need about 200

_MAGIC = b"VJ1\n"
_HEAD_BYTES = 12
_FRAME_BYTES = 6
_CHECK_BYTES = 4

STAN_FILE = "stan"
STAN_BLOCK = 64  # STANs reserved by one write; so many may be lost by a power cut
LAST_STAN = 999999


class JournalError(Exception):
    """The storage can't keep a record now. Nothing may be sent or shown that depends on it."""


class Open:
    """A request that is not closed: STAN, state (SENT or APPROVED), contents of both records."""

    def __init__(self, stan, request):
        self.stan = stan
        self.state = SENT
        self.request = request
        self.answer = None


class Journal:
    """The journal of one terminal. seal: security.Seal for contents; log(level, what) hears of damage.

    Raises JournalError when the storage can't be read: without its journal a terminal may not trade.
    """

    def __init__(self, storage, seal, log):
        self._storage = storage
        self._seal = seal
        self._log = log
        self._open = []
        self._segment = 0
        self._generation = 0
        self._size = 0
        self._torn = True  # the file's end can't be trusted: the next record starts a new segment
        self._load()

    def pending(self):
        """The oldest Open request, or None."""
        return self._open[0] if self._open else None

    def begin(self, stan, request):
        """Write a request (bytes) as SENT. Raises JournalError; then nothing may be sent."""
        if len(self._open) >= OPEN_RECORDS:
            raise JournalError("journal: too many open requests")
        request = bytes(request)
        self._write(SENT, stan, request)
        self._open.append(Open(stan, request))

    def approve(self, stan, answer):
        """Write the verified approval (bytes). Raises JournalError; then it may be tried again, not shown."""
        entry = self._entry(stan, APPROVED)
        answer = bytes(answer)
        self._write(APPROVED, stan, answer)
        entry.state = APPROVED
        entry.answer = answer

    def close(self, stan, state):
        """Close a request as PRESENTED, DECLINED, REVERSED, REFUSED or NOT_SENT.

        It counts as closed even when the storage fails (logged): after a restart the terminal then
        reverses or prints once more, which changes nothing.
        """
        entry = self._entry(stan, state)
        self._open.remove(entry)
        try:
            self._write(state, stan, b"")
        except JournalError as error:
            self._log("error", str(error))

    def _entry(self, stan, state):
        for entry in self._open:
            if entry.stan == stan:
                assert state in NEXT_STATES[entry.state], "journal: states go forward only"
                return entry
        raise AssertionError("journal: no such request")

    # ---------------------------------------------------------------- writing

    def _write(self, kind, stan, content):
        record = self._record(kind, stan, content)
        try:
            if self._torn or self._size + len(record) > SEGMENT_BYTES:
                self._turn(record)
            else:
                self._torn = True  # until the append is known to be whole
                self._storage.append(SEGMENTS[self._segment], record)
                self._size += len(record)
                self._torn = False
        except OSError:
            raise JournalError("journal: the storage is full or broken")

    def _turn(self, last):
        """Begin the other segment with what is open and `last`, in one replacement, then drop the old one."""
        head = _MAGIC + (self._generation + 1).to_bytes(4, "big")
        parts = [head + _check(head)]
        for entry in self._open:
            parts.append(self._record(SENT, entry.stan, entry.request))
            if entry.state == APPROVED:
                parts.append(self._record(APPROVED, entry.stan, entry.answer))
        parts.append(last)
        data = b"".join(parts)
        self._torn = True
        self._storage.replace(SEGMENTS[1 - self._segment], data)
        self._segment = 1 - self._segment
        self._generation += 1
        self._size = len(data)
        self._torn = False
        self._remove(SEGMENTS[1 - self._segment])

    def _record(self, kind, stan, content):
        number = binascii.unhexlify("%06d" % stan)
        sealed = self._seal.close(content, bytes([kind]) + number) if content else b""
        if len(sealed) > CONTENT_BYTES:
            raise JournalError("journal: record too long")
        frame = len(sealed).to_bytes(2, "big") + bytes([kind]) + number + sealed
        return frame + _check(frame)

    def _remove(self, name):
        try:
            self._storage.remove(name)
        except OSError:
            self._log("warning", "journal: an old segment stays")

    # ---------------------------------------------------------------- reading

    def _load(self):
        """Take the newer segment; the older one is a leftover of a cut between turning and dropping."""
        found = []
        for index, name in enumerate(SEGMENTS):
            data = self._read(name)
            if data is None:
                continue
            head = data[: _HEAD_BYTES - _CHECK_BYTES]
            if data[:_HEAD_BYTES] == head + _check(head) and head[:4] == _MAGIC:
                found.append((int.from_bytes(head[4:], "big"), index, data))
            else:
                self._log("error", "journal: " + name + " has no head")
        if not found:
            return
        found.sort(key=lambda segment: segment[0])
        self._generation, self._segment, data = found[-1]
        self._size = self._replay(data)
        self._torn = self._size != len(data)
        if self._torn:
            self._log("warning", "journal: torn tail of %d bytes ignored" % (len(data) - self._size))
        for _, index, _ in found[:-1]:
            self._remove(SEGMENTS[index])

    def _read(self, name):
        try:
            return self._storage.read(name)
        except OSError:
            raise JournalError("journal: " + name + " can't be read")

    def _replay(self, data):
        """Take every whole record; return where the first damaged one begins."""
        at = _HEAD_BYTES
        while at + _FRAME_BYTES + _CHECK_BYTES <= len(data):
            length = int.from_bytes(data[at : at + 2], "big")
            end = at + _FRAME_BYTES + length
            if length > CONTENT_BYTES or data[end : end + _CHECK_BYTES] != _check(data[at:end]):
                break
            self._apply(data[at + 2], _stan_of(data[at + 3 : at + 6]), data[at + _FRAME_BYTES : end])
            at = end + _CHECK_BYTES
        return at

    def _apply(self, kind, stan, sealed):
        entry = None
        for candidate in self._open:
            if candidate.stan == stan:
                entry = candidate
        if kind == SENT and entry is None:
            content = self._content(sealed, kind, stan)
            if content is not None:
                self._open.append(Open(stan, content))
        elif entry is not None and kind in NEXT_STATES[entry.state]:
            if kind != APPROVED:
                self._open.remove(entry)
                return
            content = self._content(sealed, kind, stan)
            if content is not None:
                entry.state = APPROVED
                entry.answer = content

    def _content(self, sealed, kind, stan):
        """The plain content; None (logged) when changed or sealed under another key: nobody can act on it."""
        try:
            return self._seal.open(sealed, bytes([kind]) + binascii.unhexlify("%06d" % stan))
        except ValueError:
            self._log("error", "journal: STAN %06d was changed, or sealed under another key" % stan)
            return None


class Stans:
    """System trace audit numbers 1 to 999999, each given out once per round, power cuts included."""

    def __init__(self, storage, random, log):
        self._storage = storage
        self._next = self._end = self._load(random, log)

    def take(self):
        """The next STAN; a new block is reserved first when the last one is spent. Raises JournalError."""
        if self._next == self._end:
            first = self._end if self._end + STAN_BLOCK <= LAST_STAN else 1
            end = first + STAN_BLOCK
            digits = b"%06d" % end
            try:
                self._storage.replace(STAN_FILE, digits + _check(digits))
            except OSError:
                raise JournalError("STAN: the storage is full or broken")
            self._next, self._end = first, end
        stan = self._next
        self._next += 1
        return stan

    def _load(self, random, log):
        try:
            data = self._storage.read(STAN_FILE)
        except OSError:
            data = b""
        if data is None:
            return 1
        digits = data[:6]
        if len(digits) == 6 and data[6:] == _check(digits):
            return int(digits)
        # Unknown: start somewhere at random, so that no number comes twice within one second.
        log("error", "STAN: the reservation can't be read")
        return 1 + int.from_bytes(random(4), "big") % (LAST_STAN - STAN_BLOCK)


def _check(data):
    return (binascii.crc32(data) & 0xFFFFFFFF).to_bytes(_CHECK_BYTES, "big")


def _stan_of(digits):
    return int(str(binascii.hexlify(digits), "ascii"))
