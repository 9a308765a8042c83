"""A connection over a GPRS modem: brings the network up when it isn't, and carries bytes. Driver below,
`doors.modem` above; no I/O, no clock.

A SIM's PIN that was refused is never given again, not after a restart either: the third one locks the SIM.
"""

import binascii

from terminal.doors.modem import DATA, DOWN, FAILED, NEWS, UP
from terminal.drivers import gprs

PIN_FILE = "sim"  # check value of a PIN that its SIM refused

_IDLE, _CALLING, _UP, _CLOSING = range(4)


class Call:
    """line: settings of a "gprs" line; kind: the modem's family. signal: 0 to 31, None when not known."""

    def __init__(self, app, line, kind):
        self._storage = app.storage
        self._host = line.host or app.settings.host
        self._port = line.port or app.settings.port
        self._check = b"%08x" % (binascii.crc32(line.pin.encode()) & 0xFFFFFFFF)
        pin = "" if _read(app.storage) == self._check else line.pin
        self._modem = gprs.Gprs(gprs.FAMILIES[kind], line.access_point, line.user, line.password, pin)
        self._modem.was_pin_refused = pin != line.pin
        self._is_network_up = False
        self._is_wanted = False
        self._state = _IDLE
        self.signal = None

    def connect(self, now_ms):
        """Connect to the switch, after an earlier connection has ended: UP or FAILED."""
        self._is_wanted = True
        if self._state == _IDLE:
            self._begin(now_ms)

    def send(self, data, now_ms):
        """Hand over bytes; how many of them may have left: none of them is the only certain answer."""
        if self._state != _UP:
            return 0
        self._modem.send(data, now_ms)
        return len(data)

    def hang_up(self, now_ms):
        """End the connection, whatever it is doing; nothing more is told of it."""
        self._is_wanted = False
        if self._state == _UP:
            self._state = _CLOSING
            self._modem.close(now_ms)
        elif self._state == _CALLING:
            self._state = _CLOSING  # what has begun ends first

    def unplugged(self):
        """The modem has gone; events."""
        was_wanted = self._is_wanted and self._state == _CLOSING
        self._is_network_up = False
        return self._ended(gprs.SILENT) + ([(FAILED, gprs.SILENT)] if was_wanted else [])

    def to_send(self):
        return self._modem.to_send()

    def deadline_ms(self):
        return self._modem.deadline_ms()

    def feed(self, data, now_ms):
        return self._happened(self._modem.feed(data, now_ms), now_ms)

    def tick(self, now_ms):
        return self._happened(self._modem.tick(now_ms), now_ms)

    # ---------------------------------------------------------------- what happens

    def _begin(self, now_ms):
        self._state = _CALLING
        if self._is_network_up:
            self._modem.open(self._host, self._port, now_ms)
        else:
            self._modem.begin(now_ms)

    def _happened(self, happened, now_ms):
        events = []
        for event in happened:
            if isinstance(event, gprs.Received):
                if self._state == _UP:
                    events.append((DATA, event.data))
            elif isinstance(event, gprs.Ready):
                self._is_network_up = True
                self.signal = event.signal
                events.append((NEWS, "connecting"))
                self._go_on(now_ms)
            elif isinstance(event, gprs.Opened):
                if self._state == _CLOSING and not self._is_wanted:
                    self._modem.close(now_ms)
                else:
                    self._state = _UP
                    events.append((UP, None))
            else:
                if isinstance(event, gprs.Failed):
                    self._failed(event.reason)
                events += self._ended(getattr(event, "reason", gprs.NO_HOST))
                if self._is_wanted:
                    self._begin(now_ms)
        return events

    def _go_on(self, now_ms):
        """The network is up: on to the switch, unless nobody wants it any more."""
        if self._state == _CALLING or self._is_wanted:
            self._state = _CALLING
            self._modem.open(self._host, self._port, now_ms)
        else:
            self._state = _IDLE

    def _failed(self, reason):
        """The network is looked at anew next time."""
        self._is_network_up = False
        if reason == gprs.WRONG_PIN:
            try:
                self._storage.replace(PIN_FILE, self._check)
            except OSError:
                pass  # it isn't given again until the next start
        if reason in (gprs.NO_SIGNAL, gprs.NOT_REGISTERED, gprs.NO_SIM):
            self.signal = None

    def _ended(self, reason):
        """The connection is over, or never came about."""
        state, self._state = self._state, _IDLE
        if state == _CLOSING:
            return []
        self._is_wanted = False
        if state == _UP:
            return [(DOWN, None)]
        return [(FAILED, reason)] if state == _CALLING else []


def _read(storage):
    try:
        return storage.read(PIN_FILE)
    except OSError:
        return None
