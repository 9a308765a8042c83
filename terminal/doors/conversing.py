"""A device that is asked and answers: begun when it is plugged in, and again when it fails; used while
somebody waits for what it brings."""

from terminal.doors import Device
from terminal.doors.babble import earliest

RETRY_MS = 3000  # until a device that didn't begin is begun again
SOON_MS = 250
BAD_BEGINNINGS, FAULTS = 2, 3  # in a row, of one that doesn't begin, that begins and then fails; fewer are
# not worth telling


class Conversing(Device):
    """What the three kinds have in common. A child has KINDS, the events it can bring, and _new_driver(),
    _take(event, now_ms, told), which is given each event of the driver, and _turn(now_ms): do what is to be
    done next, if anything, with a driver that isn't busy."""

    KINDS = ()

    def __init__(self, app, kind):
        self._app = app
        self._kind = kind
        self._is_wanted = False
        self._start_over()

    def _start_over(self):
        self.trouble = None
        self._driver = self._new_driver()
        self._is_ready = False
        self._faults = 0
        self._due_ms = None

    def plugged(self, present, now_ms):
        self._start_over()
        if present:
            self._driver.begin(now_ms)
        return ()

    def wanted(self, kinds, now_ms):
        is_wanted = any(kind in kinds for kind in self.KINDS)
        if is_wanted != self._is_wanted:
            self._is_wanted = is_wanted
            self._turn_if_free(now_ms)

    def feed(self, data, now_ms):
        return self._told(self._driver.feed(data, now_ms), now_ms)

    def tick(self, now_ms):
        return self._told(self._driver.tick(now_ms), now_ms)

    def deadline_ms(self):
        return earliest(self._driver.deadline_ms(), self._due_ms)

    def to_send(self):
        return self._driver.to_send()

    def _told(self, events, now_ms):
        told = []
        for event in events:
            self._take(event, now_ms, told)
        if self._due_ms is not None and now_ms >= self._due_ms:
            self._due_ms = None
            if self._is_ready:
                self._turn_if_free(now_ms)
            elif not self._driver.is_busy:
                self._driver.begin(now_ms)
        return told

    def _turn_if_free(self, now_ms):
        if self._is_ready and self._due_ms is None and not self._driver.is_busy:
            self._turn(now_ms)

    def _begun(self, now_ms):
        self._is_ready = True
        if self._faults < FAULTS:
            self.trouble = None
        self._turn_if_free(now_ms)

    def _worked(self):
        """It did what it is there for."""
        self._faults = 0
        self.trouble = None

    def _failed(self, reason, now_ms):
        """The device, not a card: begin it again."""
        self._faults += 1
        if self._faults >= (FAULTS if self._is_ready else BAD_BEGINNINGS):
            self.trouble = reason
        self._is_ready = False
        self._due_ms = now_ms + (RETRY_MS if self.trouble else SOON_MS)
