"""A matrix of keys, four lines and four columns: what was seen of its wires in, keys out.

The board drives one line after the other and reads the columns, every SCAN_MS; this makes of it
which key was pressed, once, however it bounces. Two keys that could be three (ghosts) are none. No
I/O, no clock.
"""

SCAN_MS = 5
STEADY_MS = 20  # a contact that has been the same for so long doesn't bounce any more
LONG_MS = 1000
STUCK_MS = 30000  # a key that is down for so long isn't pressed by anybody

KEYS = ("123A", "456B", "789C", "*0#D")


class Pressed:
    """A key went down."""

    def __init__(self, key):
        self.key = key

    def __repr__(self):
        return "Pressed(hidden)"


class Held:
    """The key that went down last is held for LONG_MS."""

    def __init__(self, key):
        self.key = key

    def __repr__(self):
        return "Held(hidden)"


class Stuck:
    """A key doesn't come up again: something lies on it, or its contact is stuck."""

    def __init__(self, key):
        self.key = key


class Keypad:
    """scan() with what was seen; returns a list of Pressed, Held, Stuck."""

    def __init__(self, keys=KEYS):
        self._keys = keys
        self._seen = 0
        self._since_ms = 0
        self._down = 0
        self._down_since_ms = 0
        self._told = 0

    def scan(self, lines, now_ms):
        """lines: for each driven line a number whose bit 0 is the first column, 1 for closed."""
        seen = 0
        for place, columns in enumerate(lines):
            seen |= (columns & 15) << (4 * place)
        if seen != self._seen:
            self._seen = seen
            self._since_ms = now_ms
            return []
        if now_ms - self._since_ms < STEADY_MS:
            return []
        return self._steady(seen, now_ms)

    def _steady(self, seen, now_ms):
        if seen == self._down:
            return self._held(now_ms)
        before, self._down = self._down, seen
        self._down_since_ms = now_ms
        self._told = 0
        new = seen & ~before
        if not _is_one(new) or _is_ghost(seen):
            self._told = 2  # nobody can say which
            return []
        return [Pressed(self._key(new))]

    def _held(self, now_ms):
        if not self._down or not _is_one(self._down):
            return []
        since_ms = now_ms - self._down_since_ms
        if self._told == 0 and since_ms >= LONG_MS:
            self._told = 1
            return [Held(self._key(self._down))]
        if self._told == 1 and since_ms >= STUCK_MS:
            self._told = 2
            return [Stuck(self._key(self._down))]
        return []

    def _key(self, bit):
        place = 0
        while bit > 1:
            bit >>= 1
            place += 1
        return self._keys[place >> 2][place & 3]


def _is_one(bits):
    return bits != 0 and bits & (bits - 1) == 0


def _is_ghost(seen):
    """Whether two lines share two columns: a fourth corner may be a way round through three others."""
    for first in range(3):
        columns = seen >> (4 * first) & 15
        for second in range(first + 1, 4):
            shared = columns & (seen >> (4 * second))
            if shared & (shared - 1):
                return True
    return False
