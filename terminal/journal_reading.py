"""The journal as it lies in the storage, read at start, or for a batch's transactions; what a cut has torn is
told and left out.

Imported for that moment and given back. It writes nothing but the removal of a segment that was left over.
"""

import binascii

from terminal.batch import Batch, unpack_step
from terminal.journal import (
    ANSWERED,
    APPROVED,
    APPROVED_AGAIN,
    CHECK_BYTES,
    FRAME_BYTES,
    HEAD_BYTES,
    MAGIC,
    NEXT_STATES,
    QUEUED,
    SEGMENTS,
    SENT,
    STATE,
    STEP,
    Open,
    records,
    remove,
    stored,
    unchecked,
)

_NUMBER = 4  # bytes of a queued item's number


def read(storage, seal, log, counted):
    """(generation, segment, its bytes that are whole, whether its end is torn, [Open], Batch, whether it has
    something of the batch); None without any.

    The newer segment counts; the older one is a leftover of a cut between turning and dropping. Raises
    JournalError.
    """
    found = []
    for index, name in enumerate(SEGMENTS):
        data = _content_of(storage, name)
        if data is None:
            continue
        head = unchecked(data[:HEAD_BYTES])
        if head is not None and head[:4] == MAGIC and len(data) >= HEAD_BYTES:
            found.append((int.from_bytes(head[4:], "big"), index, data))
        else:
            log("error", "journal: " + name + " has no head")
    if not found:
        return None
    found.sort(key=lambda segment: segment[0])
    generation, segment, data = found[-1]
    state = _State(seal, log, counted)
    size = _replay(data, state.apply)
    if size != len(data):
        log("warning", "journal: torn tail of %d bytes ignored" % (len(data) - size))
    for _, index, _ in found[:-1]:
        remove(storage, SEGMENTS[index], log)
    return generation, segment, size, size != len(data), state.requests, state.batch, state.holds


def _content_of(storage, name):
    return stored(storage, name, "journal: " + name)


def _replay(data, apply):
    """Give every whole record to `apply`, as (kind and STAN, sealed content); return where the first damaged
    one begins."""
    last = HEAD_BYTES
    for at, end in records(data, HEAD_BYTES, FRAME_BYTES):
        apply(data[at + 2 : at + FRAME_BYTES], data[at + FRAME_BYTES : end])
        last = end + CHECK_BYTES
    return last


class _State:
    """What the records come to, one after the other."""

    def __init__(self, seal, log, counted):
        self.requests = []
        self.batch = Batch()
        self.holds = False
        self._seal = seal
        self._log = log
        self._counted = counted

    def apply(self, place, sealed):
        kind = place[0]
        if kind in (STATE, STEP, ANSWERED, QUEUED):
            content = _opened(place, sealed, self._seal, self._log)
            if content is not None:
                self._of_batch(kind, _stan(place), content)
            return
        entry = self._request(_stan(place))
        if kind == SENT and entry is None:
            content = _opened(place, sealed, self._seal, self._log)
            if content is not None:
                self.requests.append(Open(_stan(place), content))
        elif entry is not None and (kind == APPROVED_AGAIN or kind in NEXT_STATES[entry.state]):
            if kind not in (APPROVED, APPROVED_AGAIN):
                self.requests.remove(entry)
                return
            content = _opened(place, sealed, self._seal, self._log)
            if content is not None:
                entry.state = APPROVED
                entry.answer = content
                if kind == APPROVED:
                    self._count(self._counted(entry.request, content))

    def _of_batch(self, kind, stan, content):
        if kind == STATE:
            self.batch.unpack(content)
        elif kind == STEP:
            self.batch.step = unpack_step(content)
        else:
            entry = self._request(stan)
            if entry is not None and entry.state == SENT:
                self.requests.remove(entry)
            number = int.from_bytes(content[:_NUMBER], "big")
            if kind == QUEUED:
                day, amount = content[_NUMBER : 2 * _NUMBER], content[2 * _NUMBER :]
                self.batch.queued(number, int.from_bytes(day, "big"), int.from_bytes(amount, "big"))
            else:
                record, answer = _parts(content)
                found = self._counted(record, answer) if answer else None
                self.batch.answered(number, found is None)
                self._count(found)
                self.holds = True

    def _count(self, found):
        self.batch.count(found)
        self.holds = self.holds or found is not None

    def _request(self, stan):
        for candidate in self.requests:
            if candidate.stan == stan:
                return candidate
        return None


def rejoin(journal, queue, stan_of):
    """Join what a cut has parted: a request that is in the queue is not to be reversed, and whoever wasn't
    told of an item is told. stan_of(content): of an item. Raises JournalError."""
    for number in range(max(queue.head, journal.batch.shown), queue.tail):
        content = queue.item(number)
        if content is not None:
            journal.defer(stan_of(content), content, number)


def transactions(storage, name, seal, log):
    """[(record, answer)] of a segment, kept or not. Raises JournalError."""
    data = _content_of(storage, name)
    if data is None:
        log("error", "journal: " + name + " is missing")
        return []
    requests = {}
    found = []

    def apply(place, sealed):
        kind, stan = place[0], _stan(place)
        if kind == SENT:
            requests[stan] = place, sealed
        elif kind == ANSWERED:
            content = _opened(place, sealed, seal, log)
            if content is not None:
                found.append(_parts(content))
        elif kind == APPROVED and stan in requests:
            record, answer = _opened(*(requests.pop(stan) + (seal, log))), _opened(place, sealed, seal, log)
            if record is not None and answer is not None:
                found.append((record, answer))

    _replay(data, apply)
    return found


def _parts(content):
    """Record and answer of an ANSWERED."""
    length = int.from_bytes(content[_NUMBER : _NUMBER + 2], "big")
    at = _NUMBER + 2
    return content[at : at + length], content[at + length :]


def _stan(place):
    return int(str(binascii.hexlify(place[1:]), "ascii"))


def _opened(place, sealed, seal, log):
    """The plain content; None (logged) when changed or sealed under another key: nobody can act on it."""
    try:
        return seal.open(sealed, place)
    except ValueError:
        what = "the batch" if place[0] == STATE else "STAN %06d" % _stan(place)
        log("error", "journal: " + what + " was changed, or sealed under another key")
        return None
