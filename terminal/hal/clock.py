"""Time on every board: MicroPython's ticks where they are, the monotonic clock elsewhere."""

import time

from terminal.text import later


class Clock:
    """Milliseconds since start, over any wrap of the machine's counter, and the wall time once it is set."""

    def __init__(self):
        self._last = _ticks_ms()
        self._now_ms = 0
        self._set_at_ms = None
        self._wall = None

    def now_ms(self):
        ticks = _ticks_ms()
        self._now_ms += _ticks_diff(ticks, self._last)
        self._last = ticks
        return self._now_ms

    def set_wall(self, moment):
        self._wall = moment
        self._set_at_ms = self.now_ms()

    def wall(self):
        if self._wall is None:
            return None
        return later(self._wall, (self.now_ms() - self._set_at_ms) // 1000)


if hasattr(time, "ticks_ms"):
    _ticks_ms = time.ticks_ms
    _ticks_diff = time.ticks_diff
else:

    def _ticks_ms():
        return time.monotonic_ns() // 1000000

    def _ticks_diff(end, start):
        return end - start
