"""A call over a Hayes modem as one connection: it stands when the host is ready for a message, and carries
whole frames. Drivers below, `doors.modem` above; no I/O, no clock.
"""

from terminal.doors.modem import DATA, DOWN, FAILED, NEWS, UP
from terminal.drivers import dial_line, modem

_FRAME_HEAD_BYTES = 2  # of a frame of terminal.line: its length, which a frame of the call has as well

_IDLE, _CALLING, _GREETED, _UP, _CLOSING = range(5)


class Call:
    """line: settings of a "dial" line. feed() and tick() return events of doors.modem."""

    signal = None

    def __init__(self, app, line, kind):
        self._line = line
        self._modem = modem.Modem(line.commands, not line.pulse, line.outside)
        self._talk = None  # over the line, while somebody is there
        self._is_set_up = False
        self._is_wanted = False
        self._state = _IDLE
        self._until_ms = None

    def connect(self, now_ms):
        """Call the numbers, after an earlier call has ended: UP or FAILED."""
        self._is_wanted = True
        if self._state == _IDLE:
            self._begin(now_ms)

    def send(self, data, now_ms):
        """Hand over a frame; how many of its bytes may have left: none of them is the only certain answer."""
        if self._state != _UP or not self._talk.is_quiet:
            return 0
        # A host that has never asked is not waited for.
        self._talk.ask(data[_FRAME_HEAD_BYTES:], now_ms, dial_line.ENQUIRY_MS if self._line.invites else 0)
        self._carry()
        return len(data)

    def hang_up(self, now_ms):
        """End the call, whatever it is doing; nothing more is told of it."""
        self._is_wanted = False
        if self._state in (_IDLE, _CLOSING):
            return
        if self._state in (_GREETED, _UP):
            self._talk.finish()
            self._carry()
        self._talk = None
        self._state = _CLOSING
        self._modem.hang_up(now_ms)

    def unplugged(self):
        """The modem has gone; events."""
        was_wanted = self._is_wanted and self._state == _CLOSING
        return self._ended(modem.SILENT) + ([(FAILED, modem.SILENT)] if was_wanted else [])

    def to_send(self):
        return self._modem.to_send()

    def deadline_ms(self):
        times = [self._modem.deadline_ms(), self._until_ms]
        if self._talk is not None:
            times.append(self._talk.deadline_ms())
        times = [time for time in times if time is not None]
        return min(times) if times else None

    def feed(self, data, now_ms):
        return self._happened(self._modem.feed(data, now_ms), now_ms)

    def tick(self, now_ms):
        events = self._happened(self._modem.tick(now_ms), now_ms)
        if self._talk is not None:
            events += self._said(self._talk.tick(now_ms), now_ms)
        if self._state == _GREETED and now_ms >= self._until_ms:
            events += self._ready()  # some never say so
        self._carry()
        return events

    # ---------------------------------------------------------------- what happens

    def _begin(self, now_ms):
        self._state = _CALLING
        if self._is_set_up:
            self._modem.dial(self._line.numbers, now_ms)
        else:
            self._modem.begin(now_ms)

    def _happened(self, happened, now_ms):
        events = []
        for event in happened:
            if isinstance(event, modem.Received):
                if self._talk is not None:
                    events += self._said(self._talk.feed(event.data, now_ms), now_ms)
                    if self._state == _GREETED and self._talk.is_invited:
                        events += self._ready()
            elif isinstance(event, modem.Ready):
                self._is_set_up = True
                events.append((NEWS, "dialling"))
                self._modem.dial(self._line.numbers, now_ms)
            elif isinstance(event, modem.Connected):
                self._talk = dial_line.DialLine()
                self._state = _GREETED
                self._until_ms = now_ms + (dial_line.ENQUIRY_MS if self._line.invites else 0)
            elif isinstance(event, modem.Failed):
                events += self._ended(event.reason)
            elif isinstance(event, modem.HungUp):
                events += self._ended(modem.NO_CARRIER)
                if self._is_wanted and self._state == _IDLE:
                    self._begin(now_ms)
        self._carry()
        return events

    def _ready(self):
        self._state = _UP
        self._until_ms = None
        return [(UP, None)]

    def _said(self, happened, now_ms):
        """What the line between the modems brought."""
        events = []
        for event in happened:
            if isinstance(event, dial_line.Answered):
                head = len(event.message).to_bytes(_FRAME_HEAD_BYTES, "big")
                events.append((DATA, head + event.message))
            else:
                was_up = self._state == _UP
                self.hang_up(now_ms)
                events.append((DOWN, None) if was_up else (FAILED, modem.NO_ANSWER))
        return events

    def _ended(self, reason):
        """The call is over, or never came about."""
        state, self._state = self._state, _IDLE
        self._talk = None
        self._until_ms = None
        if reason in (modem.SILENT, modem.NOISE, modem.ERROR):
            self._is_set_up = False
        if state == _CLOSING:
            return []
        self._is_wanted = False
        if state == _UP:
            return [(DOWN, None)]
        return [(FAILED, reason)] if state != _IDLE else []

    def _carry(self):
        if self._talk is not None and self._modem.is_online:
            said = self._talk.to_send()
            if said:
                self._modem.send(said)
