"""The journal as it lies in the storage, read once at start; what a cut has torn is told and left out.

Imported for that moment and given back. It writes nothing but the removal of a segment that was left over.
"""

import binascii

from terminal.journal import (
    APPROVED,
    CHECK_BYTES,
    CONTENT_BYTES,
    FRAME_BYTES,
    HEAD_BYTES,
    MAGIC,
    NEXT_STATES,
    SEGMENTS,
    SENT,
    JournalError,
    Open,
    check,
    remove,
)


def read(storage, seal, log):
    """(generation, segment, its bytes that are whole, whether its end is torn, [Open]); None without any.

    The newer segment counts; the older one is a leftover of a cut between turning and dropping. Raises
    JournalError.
    """
    found = []
    for index, name in enumerate(SEGMENTS):
        data = _content_of(storage, name)
        if data is None:
            continue
        head = data[: HEAD_BYTES - CHECK_BYTES]
        if data[:HEAD_BYTES] == head + check(head) and head[:4] == MAGIC:
            found.append((int.from_bytes(head[4:], "big"), index, data))
        else:
            log("error", "journal: " + name + " has no head")
    if not found:
        return None
    found.sort(key=lambda segment: segment[0])
    generation, segment, data = found[-1]
    requests = []
    size = _replay(data, requests, seal, log)
    if size != len(data):
        log("warning", "journal: torn tail of %d bytes ignored" % (len(data) - size))
    for _, index, _ in found[:-1]:
        remove(storage, SEGMENTS[index], log)
    return generation, segment, size, size != len(data), requests


def _content_of(storage, name):
    try:
        return storage.read(name)
    except OSError:
        raise JournalError("journal: " + name + " can't be read")


def _replay(data, requests, seal, log):
    """Take every whole record; return where the first damaged one begins."""
    at = HEAD_BYTES
    while at + FRAME_BYTES + CHECK_BYTES <= len(data):
        length = int.from_bytes(data[at : at + 2], "big")
        end = at + FRAME_BYTES + length
        if length > CONTENT_BYTES or data[end : end + CHECK_BYTES] != check(data[at:end]):
            break
        _apply(requests, data[at + 2 : at + FRAME_BYTES], data[at + FRAME_BYTES : end], seal, log)
        at = end + CHECK_BYTES
    return at


def _apply(requests, place, sealed, seal, log):
    """place: kind and STAN of a record, as they stand in it."""
    kind = place[0]
    stan = int(str(binascii.hexlify(place[1:]), "ascii"))
    entry = None
    for candidate in requests:
        if candidate.stan == stan:
            entry = candidate
    if kind == SENT and entry is None:
        content = _opened(place, sealed, seal, log)
        if content is not None:
            requests.append(Open(stan, content))
    elif entry is not None and kind in NEXT_STATES[entry.state]:
        if kind != APPROVED:
            requests.remove(entry)
            return
        content = _opened(place, sealed, seal, log)
        if content is not None:
            entry.state = APPROVED
            entry.answer = content


def _opened(place, sealed, seal, log):
    """The plain content; None (logged) when changed or sealed under another key: nobody can act on it."""
    try:
        return seal.open(sealed, place)
    except ValueError:
        stan = str(binascii.hexlify(place[1:]), "ascii")
        log("error", "journal: STAN " + stan + " was changed, or sealed under another key")
        return None
