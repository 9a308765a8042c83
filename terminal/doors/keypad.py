"""Keypad on a serial line: one byte a key."""

from terminal.doors import Device
from terminal.doors.babble import BABBLING, Babble
from terminal.flows.wait import KEY, KEYS

NOISE_BYTES = 256  # that are no key
SAME_KEYS = 64  # one after the other: nobody types that, something lies on the key
STUCK = "stuck"


class Keypad(Device):
    """Events KEY; bytes that are no key are noise."""

    def __init__(self, app, kind):
        self._noise = Babble(NOISE_BYTES)
        self._same = Babble(SAME_KEYS)
        self._last = 0

    @property
    def trouble(self):
        return STUCK if self._same.is_on else BABBLING if self._noise.is_on else None

    def plugged(self, present, now_ms):
        self._noise.clear()
        self._same.clear()
        return ()

    def feed(self, data, now_ms):
        events = []
        for byte in data:
            if chr(byte) not in KEYS:
                self._noise.heard(1, now_ms)
                continue
            if byte != self._last:
                self._same.clear()
            self._last = byte
            self._same.heard(1, now_ms)
            if self.trouble is None:
                events.append((KEY, chr(byte)))
        return events

    def tick(self, now_ms):
        self._noise.tick(now_ms)
        self._same.tick(now_ms)
        return ()

    def deadline_ms(self):
        return (self._same if self._same.is_on else self._noise).deadline_ms()
