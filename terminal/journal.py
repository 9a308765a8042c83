"""What the terminal must not forget: how far each request got, and which STANs are spent.

A request is written as SENT, durably, before a byte of it leaves, then APPROVED and PRESENTED, or closed as
DECLINED, REVERSED, REFUSED or NOT_SENT. Records are appended and never changed. Their content is sealed;
this module takes it as plain bytes and knows no message. Never show or send anything that depends on a
record before the call that writes it has returned.

A segment file is a head (magic, generation, CRC-32) and records: length of the content (2), kind (1), STAN
(3, BCD), content (may be empty), CRC-32 of all that (4). Numbers are big-endian. A torn tail is ignored.

What a batch has come to stands in the same records: a new segment begins with it (STATE), and what follows
adds to it. So its totals are what the journal closed, wherever the power is cut. A full segment that holds
transactions of the batch is kept as it is (batch.0, batch.1 ...) until the batch is closed.
"""

import binascii

import terminal
from terminal.batch import NOTHING, Batch, pack_step

# States and closing states of a request, as they stand in records.
SENT = 1
APPROVED = 2
PRESENTED = 3
DECLINED = 4
REVERSED = 5
NOT_SENT = 6
REFUSED = 7  # the switch would not reverse it
QUEUED = 8  # it is in the queue of offline earns, and the member was told so

# Records that close no request: what the switch said of a queued earn, the batch so far, a step of its close,
# an approval written once more because its segment was full.
ANSWERED = 9
STATE = 10
STEP = 11
APPROVED_AGAIN = 12

NEXT_STATES = {
    SENT: (APPROVED, DECLINED, REVERSED, NOT_SENT, REFUSED, QUEUED),
    APPROVED: (PRESENTED,),
}

SEGMENTS = ("journal.0", "journal.1")
SEGMENT_BYTES = 4000  # then the other segment is begun: read at start, in one piece of the heap
OPEN_RECORDS = 4  # requests under way at once; one is the rule
CONTENT_BYTES = 512  # of one record, sealed; a request and its reversal need about 200
BATCH_FILE = "batch.%d"
BATCH_FILES = 128  # of 4 KiB: about 1 600 transactions, then the batch has to be closed
SPARE_FILES = 20  # beyond them, for what was begun or queued before: a full queue takes 15

MAGIC = b"VJ1\n"
HEAD_BYTES = 12
FRAME_BYTES = 6
CHECK_BYTES = 4

STAN_FILE = "stan"
STAN_BLOCK = 64  # STANs reserved by one write; so many may be lost by a power cut
LAST_STAN = 999999

FULL = ": the storage is full or broken"


class JournalError(Exception):
    """The storage can't keep a record now. Nothing may be sent or shown that depends on it."""


class Open:
    """A request that is not closed: STAN, state (SENT, APPROVED or QUEUED), contents of both records.

    QUEUED: it is in the queue under `number`, and the member hasn't been told.
    """

    def __init__(self, stan, request):
        self.stan = stan
        self.state = SENT
        self.request = request
        self.answer = None
        self.number = None


class Journal:
    """The journal of one terminal. seal: security.Seal for contents; log(level, what) hears of damage;
    counted(record, answer): what an approval counts as, see terminal.batch.

    batch: a Batch, what the open batch has come to.

    Raises JournalError when the storage can't be read: without its journal a terminal may not trade.
    """

    def __init__(self, storage, seal, log, counted=lambda record, answer: None):
        self._storage = storage
        self._seal = seal
        self._log = log
        self._counted = counted
        self._open = []
        self.batch = Batch()
        self.watch = None  # called before SENT and after what follows with state, STAN, request, answer
        self._holds = False  # whether the segment has something of the batch
        self._segment = 0
        self._generation = 0
        self._size = 0
        self._torn = True  # the file's end can't be trusted: the next record starts a new segment
        self._load()

    def _load(self):
        """Take what the storage holds; the code for it is needed once a start."""
        from terminal.journal_reading import read

        found = read(self._storage, self._seal, self._log, self._counted)
        terminal.forget("terminal.journal_reading")
        if found is not None:
            self._generation, self._segment, self._size, self._torn = found[:4]
            self._open, self.batch, self._holds = found[4:]

    def pending(self):
        """The oldest Open request, or None."""
        return self._open[0] if self._open else None

    def begin(self, stan, request):
        """Write a request (bytes) as SENT. Raises JournalError; then nothing may be sent."""
        if len(self._open) >= OPEN_RECORDS:
            raise JournalError("journal: too many open requests")
        request = bytes(request)
        self._watched(SENT, stan, request)
        self._write(SENT, stan, request)
        self._open.append(Open(stan, request))

    def approve(self, stan, answer):
        """Write the verified approval (bytes). Raises JournalError; then it may be tried again, not shown."""
        entry = self._entry(stan, APPROVED)
        answer = bytes(answer)
        found = self._counted(entry.request, answer)
        self._write(APPROVED, stan, answer)
        self._holds = self._holds or found is not None
        self.batch.count(found)
        entry.state = APPROVED
        entry.answer = answer
        self._watched(APPROVED, stan, entry.request, answer)

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

    # ---------------------------------------------------------------- offline earns

    def expect(self, stan):
        """A request that was never open here is about to be queued. Raises JournalError: who watches can't
        keep that."""
        self._watched(SENT, stan, b"")

    def defer(self, stan, request, number):
        """A request is in the queue now, under a number, whether it is open here or not. Writes nothing."""
        entry = self._found(stan, SENT)
        if entry is None:
            entry = Open(stan, request)
            self._open.append(entry)
        entry.state = QUEUED
        entry.request = request
        entry.number = number
        self._watched(QUEUED, stan, request)

    def told(self, stan, day, amount):
        """Write that the member was told of a queued earn. Raises JournalError; then it has to be tried
        again."""
        entry = self._found(stan, QUEUED)
        assert entry is not None, "journal: no such request"
        content = entry.number.to_bytes(4, "big") + day.to_bytes(4, "big") + amount.to_bytes(8, "big")
        self._open.remove(entry)
        try:
            self._write(QUEUED, stan, content)
        except JournalError:
            self._open.append(entry)
            raise
        self.batch.queued(entry.number, day, amount)

    def answered(self, stan, number, record, answer):
        """Write what the switch said of a queued earn: its record as of any request, the answer (b"": it
        can't be sent, its item is damaged). Raises JournalError; then nothing is changed."""
        found = self._counted(record, answer) if answer else None
        content = number.to_bytes(4, "big") + len(record).to_bytes(2, "big") + record + answer
        self._write(ANSWERED, stan, content)
        self._holds = True
        self.batch.answered(number, found is None)
        self.batch.count(found)

    # ---------------------------------------------------------------- the batch

    @property
    def is_full(self):
        """Whether the batch takes no more transactions."""
        return self.batch.files >= BATCH_FILES

    def step(self, step):
        """Write how far the close of the batch is, see Batch. Raises JournalError; then it was not."""
        self._write(STEP, step[3], pack_step(step))
        self.batch.step = step if step[0] != NOTHING else None

    def begin_batch(self, number):
        """Begin a batch of this number with nothing in it. Raises JournalError; then nothing is changed."""
        batch = self.batch
        before, files = batch.pack(), batch.files
        holds, self._holds = self._holds, False
        batch.begin(number)
        try:
            self._turn(b"")
        except OSError:
            batch.unpack(before)
            self._holds = holds
            raise JournalError("journal" + FULL)
        for index in range(files):
            remove(self._storage, BATCH_FILE % index, self._log)

    def transactions(self, newest=None):
        """Yield what the batch has, oldest first: (record, answer) as of `counted`. Also what was refused of
        the queue, with b"" for one that could not be sent. newest: look into so many segments only, each of a
        dozen transactions. Raises JournalError."""
        from terminal.journal_reading import transactions

        terminal.forget("terminal.journal_reading")
        names = [BATCH_FILE % index for index in range(self.batch.files)]
        if self._holds:
            names.append(SEGMENTS[self._segment])
        for name in names[-newest:] if newest else names:
            for found in transactions(self._storage, name, self._seal, self._log):
                yield found

    def _watched(self, state, stan, request, answer=b""):
        if self.watch is not None:
            self.watch(state, stan, request, answer)

    def _entry(self, stan, state):
        entry = self._found(stan)
        assert entry is not None, "journal: no such request"
        assert state in NEXT_STATES[entry.state], "journal: states go forward only"
        return entry

    def _found(self, stan, state=None):
        for entry in self._open:
            if entry.stan == stan and state in (None, entry.state):
                return entry
        return None

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
            raise JournalError("journal" + FULL)

    def _turn(self, last):
        """Begin the other segment with the batch, what is open and `last`, in one replacement, then drop the
        old one. What the old one has of the batch was copied before."""
        batch = self.batch
        if self._holds:
            self._keep()
        head = MAGIC + (self._generation + 1).to_bytes(4, "big")
        files = batch.files
        batch.files = files + self._holds
        parts = [checked(head), self._record(STATE, 0, batch.pack())]
        batch.files = files
        for entry in self._open:
            if entry.state == QUEUED:
                continue  # the queue has it
            parts.append(self._record(SENT, entry.stan, entry.request))
            if entry.state == APPROVED:
                parts.append(self._record(APPROVED_AGAIN, entry.stan, entry.answer))
        parts.append(last)
        data = b"".join(parts)
        self._torn = True
        self._storage.replace(SEGMENTS[1 - self._segment], data)
        self._segment = 1 - self._segment
        self._generation += 1
        self._size = len(data)
        self._torn = False
        batch.files = files + self._holds
        self._holds = False
        remove(self._storage, SEGMENTS[1 - self._segment], self._log)

    def _keep(self):
        """Keep the segment's whole records among the files of the batch. Raises OSError, JournalError."""
        if self.batch.files >= BATCH_FILES + SPARE_FILES:
            raise JournalError("journal: the batch is full")
        data = self._storage.read(SEGMENTS[self._segment]) or b""
        self._storage.replace(BATCH_FILE % self.batch.files, data[: self._size])

    def _record(self, kind, stan, content):
        number = binascii.unhexlify("%06d" % stan)
        sealed = self._seal.close(content, bytes([kind]) + number) if content else b""
        if len(sealed) > CONTENT_BYTES:
            raise JournalError("journal: record too long")
        return record(bytes([kind]) + number, sealed)


def remove(storage, name, log):
    """Drop a segment that is out of use; one that stays does no harm."""
    try:
        storage.remove(name)
    except OSError:
        log("warning", "journal: an old segment stays")


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
            store(self._storage, STAN_FILE, checked(b"%06d" % end), "STAN")
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
        digits = unchecked(data)
        if digits is not None and len(digits) == 6:
            return int(digits)
        # Unknown: start somewhere at random, so that no number comes twice within one second.
        log("error", "STAN: the reservation can't be read")
        return 1 + int.from_bytes(random(4), "big") % (LAST_STAN - STAN_BLOCK)


def check(data):
    """What closes a record: CRC-32."""
    return (binascii.crc32(data) & 0xFFFFFFFF).to_bytes(CHECK_BYTES, "big")


def checked(content):
    """What is kept of it: closed by its check."""
    return content + check(content)


def unchecked(data):
    """Opposite of `checked`; None when it was damaged."""
    content = data[:-CHECK_BYTES]
    return content if content and check(content) == data[-CHECK_BYTES:] else None


def record(head, content):
    """A record of a file of records: length, what else stands before the content, content, check."""
    return checked(len(content).to_bytes(2, "big") + head + content)


def records(data, at, head_bytes):
    """Yield (begin, end of content) of each whole record from `at` on; head_bytes: before each content."""
    while at + head_bytes + CHECK_BYTES <= len(data):
        end = at + head_bytes + int.from_bytes(data[at : at + 2], "big")
        if data[end : end + CHECK_BYTES] != check(data[at:end]):
            return
        yield at, end
        at = end + CHECK_BYTES


def stored(storage, name, what):
    """A file's content, None without one. Raises JournalError: `what` can't be read."""
    try:
        return storage.read(name)
    except OSError:
        raise JournalError(what + " can't be read")


def store(storage, name, data, whose):
    """Replace a file, durably. Raises JournalError."""
    try:
        storage.replace(name, data)
    except OSError:
        raise JournalError(whose + FULL)
