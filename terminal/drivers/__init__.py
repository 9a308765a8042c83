"""A device's own language, as bytes in and events out: readers, scanners, printers, modems and the others.

A driver knows no board and waits for nothing; `terminal.hal` brings it its bytes. Those that hold a
conversation with their device all have these four calls; what is to be done is asked of them beside:

feed(data, now_ms)   bytes of the device, torn anywhere -> list of events
tick(now_ms)         -> list of events; when deadline_ms() has come
deadline_ms()        when tick() has something to do, None while nothing is waited for
to_send()            bytes for the device, each once; b"" when there are none

A device that is unplugged, silent, babbling or lying is an event, never an exception. Buffers are bounded,
and wiped when they held what a card said. What several drivers do alike stands below.
"""


class Reason:
    """An event: why not. reason: a word or two, of those that its driver has."""

    def __init__(self, reason):
        self.reason = reason

    def __repr__(self):
        return type(self).__name__ + "(" + self.reason + ")"


class Hidden:
    """Holds what a card said: it is never shown."""

    def __repr__(self):
        return type(self).__name__ + "(hidden)"


class Speaking:
    """A driver that has something to send: a child puts it into _out."""

    _out = b""

    def to_send(self):
        out, self._out = self._out, b""
        return out


class Asking(Speaking):
    """One that waits for an answer until _waits_ms. A child has _take(byte, now_ms, events) and
    _timed_out(now_ms, events)."""

    _waits_ms = None

    def deadline_ms(self):
        return self._waits_ms

    def feed(self, data, now_ms):
        events = []
        for byte in data:
            self._take(byte, now_ms, events)
        return events + self.tick(now_ms)  # last: what came in time may be looked at late

    def tick(self, now_ms):
        events = []
        if self._waits_ms is not None and now_ms >= self._waits_ms:
            self._timed_out(now_ms, events)
        return events


def exclusive_or(data, value=0):
    """Of all bytes, begun with a value."""
    for byte in data:
        value ^= byte
    return value


def wipe(buffer, count=None):
    """Make a buffer's bytes zeros, or the first so many."""
    for place in range(len(buffer) if count is None else count):
        buffer[place] = 0
