"""The modem, and which line when: stands before the application's `ports` and offers the same calls.

The settings name lines in order. A TCP line in front is held all the time; a call is made when a connection
is wanted and the lines before it don't come about, and ended when nothing was said for a while. Nothing here
dials without end: attempts are counted, the pauses between rounds grow. No I/O, no clock but the
application's.
"""

from terminal.doors import Device

UP, DATA, DOWN, FAILED, NEWS = "up", "data", "down", "failed", "news"  # events of a call: (kind, value)

TCP_MS = 5000  # a held TCP line that is wanted gets so long before the next line is tried
PATIENCE_MS = 240000  # the longest that a cashier waits for a line; each failure is told before
ATTEMPT_PAUSE_MS = 3000  # between attempts of one round: exchanges need a while to let go
FIRST_REST_MS = 5000  # after a round without success; doubles, and an answer from a line ends that
LONGEST_REST_MS = 300000
BETWEEN_MS = 1000  # news of a rest are told so late at the least: who asks again and again gets no quicker

TCP = "tcp"
_CALLS = {"dial": "call_dial", "gprs": "call_gprs"}

_RESTING, _TRYING, _PAUSING, _STANDING = range(4)

# What a call's failure is told as, by its driver's reason; the rest is the modem's.
_TEXTS = (
    "busy",
    "no carrier",
    "no dial tone",
    "no answer",
    "no sim",
    "sim locked",
    "wrong pin",
    "no signal",
    "not registered",
    "denied",
    "no data",
    "no host",
)


class ModemDoor(Device):
    """Device and ports in one. kind: of the modem that is fitted; settings.check_lines() knows that it can
    carry the lines."""

    def __init__(self, app, kind):
        self._app = app
        self._tcp = app.ports
        self._lines = app.settings.lines
        self._call = None
        for line in self._lines:
            if line.kind != TCP:
                module = _CALLS[line.kind]
                name = "terminal.doors." + module
                self._call = __import__(name, None, None, ("Call",)).Call(app, line, kind)
        self._state = _RESTING
        self._place = 0
        self._attempts = 0
        self._until_ms = None
        self._rest_ms = FIRST_REST_MS
        self._rested_ms = None  # a new round is possible from then on
        self._tells_ms = None
        self._text = None
        self._is_asked = False  # a message is under way
        if self._call is not None:
            app.ports = self
            app.line_patience_ms = PATIENCE_MS
            self._tcp.hold(self._lines[0].kind == TCP)

    # ---------------------------------------------------------------- as the application's ports

    def connect(self):
        """A connection is wanted now; a round of attempts begins unless one is under way."""
        now_ms = self._app.clock.now_ms()
        if self._app.line_is_up or self._state != _RESTING:
            return
        if self._rested_ms is not None and now_ms < self._rested_ms:
            self._tells_ms = now_ms + BETWEEN_MS
            return
        self._attempts = 0
        self._try(0, now_ms)

    def send(self, data):
        """How many bytes may have left."""
        if self._state != _STANDING:
            return self._tcp.send(data)
        now_ms = self._app.clock.now_ms()
        self._is_asked = True
        self._quiet_since(now_ms)
        return self._call.send(data, now_ms)

    def hang_up(self):
        """Give up this connection; nothing more is said about it."""
        if self._state == _STANDING:
            self._let_go(self._app.clock.now_ms())
        else:
            self._tcp.hang_up()

    def hold(self, is_wanted):
        """Whether a TCP connection is to be kept."""
        self._tcp.hold(is_wanted)

    def tcp_refused(self):
        """TLS doesn't come about; whether another line is tried, which needs no certificate."""
        if self._state != _TRYING or self._lines[self._place].kind != TCP:
            return False
        self._until_ms = self._app.clock.now_ms()
        return self._place + 1 < len(self._lines)

    def carrier(self):
        """Kind of the line that stands, else of the modem's; and its signal, of 31, where it has one."""
        kinds = [line.kind for line in self._lines if line.kind != TCP]
        if self._app.line_is_up and self._state != _STANDING:
            return " " + TCP
        signal = self._call.signal
        return " " + kinds[0] + ("" if signal is None else " %d/31" % signal)

    # ---------------------------------------------------------------- as a device

    def plugged(self, present, now_ms):
        if not present and self._call is not None:
            self._act(self._call.unplugged(), now_ms)
        return ()

    def feed(self, data, now_ms):
        if self._call is not None:
            self._act(self._call.feed(data, now_ms), now_ms)
        return ()

    def to_send(self):
        return b"" if self._call is None else self._call.to_send()

    def deadline_ms(self):
        if self._call is None:
            return None
        times = [self._call.deadline_ms(), self._until_ms, self._tells_ms]
        times = [time for time in times if time is not None]
        return min(times) if times else None

    def tick(self, now_ms):
        self._act(self._call.tick(now_ms), now_ms)
        if self._until_ms is not None and now_ms >= self._until_ms:
            self._until_ms = None
            self._in_time(now_ms)
        if self._tells_ms is not None and now_ms >= self._tells_ms:
            self._tells_ms = None
            if not self._app.line_is_up:
                self._app.line_failed(self._text)
        return ()

    # ---------------------------------------------------------------- which line

    def _try(self, place, now_ms):
        self._place = place
        self._state = _TRYING
        if self._lines[place].kind == TCP:
            self._tcp.hold(True)
            self._tcp.connect()
            self._until_ms = now_ms + TCP_MS
        else:
            self._tcp.hold(False)  # one line at a time
            self._until_ms = None
            self._app.line_news("line_calling")
            self._call.connect(now_ms)

    def _in_time(self, now_ms):
        """What was waited for has come, or is given up."""
        if self._state == _PAUSING:
            self._try(self._place, now_ms)
        elif self._state == _TRYING:  # a TCP line
            if self._app.line_is_up:
                self._stands_again()
            else:
                self._next("no host", now_ms)
        elif self._state == _STANDING and not self._is_asked:
            self._let_go(now_ms)
            self._app.line_down()

    def _stands_again(self):
        self._state = _RESTING
        self._rest_ms = FIRST_REST_MS
        self._rested_ms = None

    def _act(self, events, now_ms):
        for kind, value in events:
            if kind == UP:
                self._stand(now_ms)
            elif kind == DATA and self._state == _STANDING:
                self._is_asked = False
                self._quiet_since(now_ms)
                self._app.received(value)
            elif kind == DOWN and self._state == _STANDING:
                self._fall()
                self._app.line_down()
            elif kind == FAILED and self._state == _TRYING:
                self._next(value, now_ms)
            elif kind == NEWS and self._state == _TRYING:
                self._app.line_news("line_" + value)

    def _stand(self, now_ms):
        self._stands_again()
        self._state = _STANDING
        self._is_asked = False
        self._quiet_since(now_ms)
        self._app.line_up()

    def _next(self, reason, now_ms):
        """Another attempt, the next line, or none: then the round is over."""
        self._app.log("warning", "line: " + self._lines[self._place].kind + ": " + reason)
        line = self._lines[self._place]
        self._attempts += 1
        if line.kind != TCP and self._attempts < line.attempts:
            self._state = _PAUSING
            self._until_ms = now_ms + ATTEMPT_PAUSE_MS
            self._app.line_news(_text_of(reason))
            return
        self._attempts = 0
        if self._place + 1 < len(self._lines):
            self._try(self._place + 1, now_ms)
            return
        self._rested_ms = now_ms + self._rest_ms
        self._rest_ms = min(2 * self._rest_ms, LONGEST_REST_MS)
        self._text = _text_of(reason)
        self._fall()
        self._app.line_failed(self._text)

    def _let_go(self, now_ms):
        self._call.hang_up(now_ms)
        self._fall()

    def _fall(self):
        """No line: the held one is looked for again."""
        self._state = _RESTING
        self._until_ms = None
        self._is_asked = False
        self._tcp.hold(self._lines[0].kind == TCP)

    def _quiet_since(self, now_ms):
        self._until_ms = now_ms + self._lines[self._place].idle_s * 1000


def _text_of(reason):
    """Name of the text that tells a failure."""
    return "line_" + (reason.replace(" ", "_") if reason in _TEXTS else "modem")
