"""Earns of a shop whose line is down: kept until the switch has answered each, the oldest first.

An item is an advice packed without key serial and MAC, sealed. Items are numbered and never changed; which
one comes next stands in the journal (Batch.head), in the same record as what the switch said of the one
before, so that none is lost and none counts twice. Never let an item go before the journal has its answer.

A file holds ITEMS of them: length of the content (2), number (4), content, CRC-32 of all that (4).
"""

from terminal.journal import CHECK_BYTES, FULL, JournalError, record, records, stored

FILE = "queue.%d"
FILES = 16
ITEMS = 16  # of a file; a file stays below 4 KiB, the largest piece of memory a board has to find
MOST = FILES * ITEMS - ITEMS  # items at once: the oldest file may be spent in part
NUMBER_BYTES = 4
FRAME_BYTES = 2 + NUMBER_BYTES
CONTENT_BYTES = 246  # of an item, sealed; the longest earn needs about 200


class Queue:
    """The queue in a storage. head: number of the oldest item, tail: of the next one, as the journal knows;
    log(level, what). An item that was put and never noted there is found. sent, next_ms, pause_ms: whoever
    sends them notes there how far that is.

    Raises JournalError when the storage can't be read.
    """

    def __init__(self, storage, seal, log, head, tail):
        self._storage = storage
        self._seal = seal
        self._log = log
        self.head = head
        self.tail = tail
        self.next_ms = 0  # when the oldest is to be sent, and how long was waited before
        self.pause_ms = 0
        self._torn = True  # the newest file's end can't be trusted: it is written again with the next item
        self._load()
        self.sent = self.tail  # items below it may have left once already

    def __len__(self):
        return self.tail - self.head

    def _load(self):
        """Find the end; at most FILES files are looked at."""
        first = self.head // ITEMS
        for place in range(first, first + FILES):
            items, is_whole = self._items(place)
            if not items:
                break
            self.tail = max(self.tail, max(items) + 1)
            if not is_whole:
                self._log("warning", "queue: a torn or damaged item is ignored")

    def put(self, content):
        """Keep an item (bytes), durably; return its number. Raises JournalError; then nothing was kept."""
        if len(self) >= MOST:
            raise JournalError("queue: it is full")
        number = self.tail
        sealed = self._seal.close(content, _place(number))
        if len(sealed) > CONTENT_BYTES:
            raise JournalError("queue: item too long")
        item = record(number.to_bytes(NUMBER_BYTES, "big"), sealed)
        name = _name(number // ITEMS)
        try:
            if number % ITEMS == 0:
                self._storage.replace(name, item)
            elif self._torn:
                self._storage.replace(name, self._before(number) + item)
            else:
                self._torn = True  # until the append is known to be whole
                self._storage.append(name, item)
        except OSError:
            raise JournalError("journal" + FULL)
        self._torn = False
        self.tail = number + 1
        return number

    def item(self, number):
        """The content of an item; None (logged) when it is damaged. Raises JournalError."""
        found = self._items(number // ITEMS)[0].get(number)
        if found is not None:
            try:
                return self._seal.open(found, _place(number))
            except ValueError:
                pass
        self._log("error", "queue: item %d is damaged, or sealed under another key" % number)
        return None

    def drop(self):
        """Let the oldest item go: the journal has its answer. Its file goes with the last one in it."""
        place = self.head // ITEMS
        self.head += 1
        self.tail = max(self.head, self.tail)
        if self.head // ITEMS != place:
            try:
                self._storage.remove(_name(place))
            except OSError:
                self._log("warning", "queue: an old file stays")

    def _items(self, place):
        """({number: sealed content} of a file, whether all of it is whole). Raises JournalError."""
        data = stored(self._storage, _name(place), "queue: " + _name(place))
        found = {}
        for number, at, end in _frames(data or b"", place):
            found[number] = data[at + FRAME_BYTES : end]
        return found, not data or _end(data, place) == len(data)

    def _before(self, number):
        """What a file has before an item. Raises OSError."""
        data = self._storage.read(_name(number // ITEMS)) or b""
        return data[: _end(data, number // ITEMS, number)]


def _frames(data, place):
    """Yield (number, begin, end of the content) of each whole item of a file; an older file's is none."""
    for at, end in records(data, 0, FRAME_BYTES):
        number = int.from_bytes(data[at + 2 : at + FRAME_BYTES], "big")
        if number // ITEMS != place:
            return
        yield number, at, end


def _end(data, place, before=None):
    end = 0
    for number, _, last in _frames(data, place):
        if before is None or number < before:
            end = last + CHECK_BYTES
    return end


def _name(place):
    return FILE % (place % FILES)


def _place(number):
    return b"queue" + number.to_bytes(NUMBER_BYTES, "big")
