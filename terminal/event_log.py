"""What happened, for whoever looks after the terminal: the newest events in two files, and counters.

Events are gathered and written together, an error at once; what was gathered is lost with the power, trade
never waits for it and never stops because of it. No card data comes here: see Application.log.
"""

from terminal.journal import checked, unchecked
from terminal.text import moment_digits

FILES = ("log.0", "log.1")
FILE_BYTES = 4000  # of each, which is read in one piece; the older one is given up for a new one
GATHERED_BYTES = 512  # written together: a page or two of flash for some ten events
KEPT_BYTES = 2048  # gathered at most while the storage takes nothing
TEXT_LETTERS = 160

COUNTERS_FILE = "counters"
# In this order they stand in the storage and in tag 39 of a sign-on; new ones come at the end.
COUNTERS = (
    "boots",
    "swipes_read",
    "swipes_failed",
    "transactions",
    "reversals",
    "printer_faults",
    "line_drops",
    "faults",
    "journal_damages",
)
COUNTER_DIGITS = 8
MOST = 10**COUNTER_DIGITS - 1
UNSAVED = 64  # changes that a power cut may lose

# What an event begins with, and the counter it counts for.
COUNTED = (
    ("warning printer: ", "printer_faults"),
    ("info line: d", "line_drops"),  # down, dropped
    ("error fault", "faults"),
    ("error journal: ", "journal_damages"),
    ("warning journal: ", "journal_damages"),
    ("error queue: ", "journal_damages"),
    ("warning queue: a torn", "journal_damages"),
)


class EventLog:
    """Events as lines `number|moment|level|text`; the moment is YYYYMMDDhhmmss, or seconds since the start
    with a + before the date is known."""

    def __init__(self, storage, clock):
        self._storage = storage
        self._clock = clock
        self._gathered = []
        self._gathered_bytes = 0
        self._file = 0
        self._size = 0
        self._number = 0
        self._load()
        self.counters = [0] * len(COUNTERS)
        self._changes = 0
        self._load_counters()

    def add(self, level, what):
        """Note an event, and count it."""
        for beginning, name in COUNTED:
            if (level + " " + what).startswith(beginning):
                self.count(name)
        line = "%d|%s|%s|%s\n" % (self._number, self._moment(), level, printable(what))
        self._number += 1
        self._gathered.append(line)
        self._gathered_bytes += len(line)
        if level == "error" or self._gathered_bytes >= GATHERED_BYTES:
            self.write()

    def count(self, name):
        """One more of a counter."""
        place = COUNTERS.index(name)
        self.counters[place] = min(self.counters[place] + 1, MOST)
        self._changes += 1
        if self._changes >= UNSAVED:
            self.save()

    def save(self):
        """Keep the counters."""
        if not self._changes:
            return
        try:
            self._storage.replace(COUNTERS_FILE, checked(self.digits().encode()))
            self._changes = 0
        except OSError:
            pass

    def digits(self):
        """All counters, as tag 39 has them."""
        return "".join(["%08d" % value for value in self.counters])

    def write(self):
        """Write what was gathered."""
        if not self._gathered:
            return
        data = "".join(self._gathered).encode()
        try:
            if self._size + len(data) > FILE_BYTES:
                self._storage.replace(FILES[1 - self._file], data)
                self._file = 1 - self._file
                self._size = len(data)
            else:
                self._storage.append(FILES[self._file], data)
                self._size += len(data)
        except OSError:
            self._size = FILE_BYTES  # its end can't be trusted
            while self._gathered_bytes > KEPT_BYTES:
                self._gathered_bytes -= len(self._gathered.pop(0))
            return
        self._gathered = []
        self._gathered_bytes = 0

    def first_from(self, number):
        """The oldest event from this number on, as its line without the end; None when there is none."""
        for name in (FILES[1 - self._file], FILES[self._file]):
            for line in self._lines(name):
                if number_of(line) >= number:
                    return line
        for line in self._gathered:
            if number_of(line) >= number:
                return line[:-1]
        return None

    def _moment(self):
        moment = self._clock.wall()
        if moment is None:
            return "+%d" % (self._clock.now_ms() // 1000)
        return moment_digits(moment)

    def _lines(self, name):
        """Whole events of a file, oldest first; what is damaged is left out."""
        try:
            data = self._storage.read(name) or b""
        except OSError:
            return
        at = 0
        while True:
            end = data.find(b"\n", at)
            if end < 0:
                return
            line = data[at:end]
            at = end + 1
            if line.count(b"|") >= 3 and line[: line.find(b"|")].isdigit() and not any(b > 126 for b in line):
                yield str(line, "ascii")

    def _load(self):
        newest = [-1, -1]
        for place in range(len(FILES)):
            for line in self._lines(FILES[place]):
                newest[place] = number_of(line)
        self._file = 0 if newest[0] >= newest[1] else 1
        self._number = max(newest) + 1
        if self._number:
            self._size = FILE_BYTES  # a cut may have torn its end: the other file is begun

    def _load_counters(self):
        try:
            data = self._storage.read(COUNTERS_FILE) or b""
        except OSError:
            return
        digits = unchecked(data)
        if digits is not None:
            for place in range(min(len(COUNTERS), len(digits) // COUNTER_DIGITS)):
                self.counters[place] = int(digits[place * COUNTER_DIGITS : (place + 1) * COUNTER_DIGITS])


def number_of(line):
    """The number of an event's line."""
    return int(line[: line.find("|")])


def printable(what):
    """A text as it may stand in a line: printable ASCII."""
    return "".join([letter if " " <= letter <= "~" else "?" for letter in what[:TEXT_LETTERS]])
