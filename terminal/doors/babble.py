"""A device that says more than anybody could mean."""

QUIET_MS = 1500  # silence for so long and it is taken for healed; nobody swipes or types that seldom in a row

BABBLING = "babbling"


class Babble:
    """Counts what was said in vain; is_on from more than `most` without a pause until the next pause."""

    def __init__(self, most):
        self._most = most
        self._last_ms = 0
        self.clear()

    def clear(self):
        """It made sense, or something new is plugged in."""
        self._count = 0
        self.is_on = False

    def heard(self, count, now_ms):
        """So much more."""
        self.tick(now_ms)
        self._last_ms = now_ms
        self._count += count
        self.is_on = self._count > self._most

    def tick(self, now_ms):
        """Forget it after a pause."""
        if now_ms - self._last_ms >= QUIET_MS:
            self.clear()

    def deadline_ms(self):
        """When tick() ends it; None while nothing is the matter."""
        return self._last_ms + QUIET_MS if self.is_on else None


def earliest(*moments):
    """The first of moments in ms, None among them for never."""
    first = None
    for moment in moments:
        if moment is not None and (first is None or moment < first):
            first = moment
    return first
