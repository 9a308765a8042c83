"""A dial-up modem of the Hayes family: commands, and a line of bytes in between. ITU-T V.250.

begin() once, then dial(), send() and feed() while online, hang_up(). Results come as words or digits,
with or without echo. No I/O, no clock, no framing: what goes over the line is `dial_line`'s.
"""

COMMAND_MS = 2000
HANG_UP_MS = 5000
DIAL_MS = 60000  # dialling, ringing and V.22bis training; S7 makes the modem give up before
GUARD_MS = 1100  # of silence around +++ (S12 is one second)
TRIES = 2  # of a command that isn't answered; the first may have met a modem that was online
LONGEST_LINE = 80  # letters of a result; what is longer is noise
NOISE_BYTES = 512

BUSY, NO_CARRIER, NO_TONE, NO_ANSWER, ERROR, SILENT, NOISE = (
    "busy",
    "no carrier",
    "no dial tone",
    "no answer",
    "error",  # the modem doesn't know a command
    "silent",  # it says nothing
    "noise",  # something else is on this port
)

ESCAPE = b"+++"
_INITIAL = ("AT&F", "ATE0V1X4&C1&D2", "ATS7=45S0=0")
# Words and digits (ATV0) of the same results.
_CONNECT = "CONNECT"
_FAILURES = {
    "BUSY": BUSY,
    "7": BUSY,
    "NO CARRIER": NO_CARRIER,
    "3": NO_CARRIER,
    "NO DIALTONE": NO_TONE,
    "NO DIAL TONE": NO_TONE,
    "6": NO_TONE,
    "NO ANSWER": NO_ANSWER,
    "8": NO_ANSWER,
    "DELAYED": BUSY,  # these two: it was busy too often, and the modem itself lets it rest for a while
    "BLACKLISTED": BUSY,
    "ERROR": ERROR,
    "4": ERROR,
}
_OK = ("OK", "0")
_SPEEDS = {"1": 300, "5": 1200, "10": 2400}
_LOST = b"\r\nNO CARRIER\r\n"

_OFF, _COMMAND, _DIALLING, _ONLINE, _ESCAPING, _PAUSING = range(6)


class Ready:
    """The modem answers and is set up."""


class Connected:
    """Online. speed: bits a second, 0 when the modem doesn't say."""

    def __init__(self, speed):
        self.speed = speed


class Received:
    """Bytes of the other side."""

    def __init__(self, data):
        self.data = data

    def __repr__(self):
        return "Received(hidden)"


class HungUp:
    """The line is down: as asked, or because the other side or the network let go (is_lost)."""

    def __init__(self, is_lost):
        self.is_lost = is_lost


class Failed:
    """What was asked came to nothing; reason: see above. number: of the numbers dialled, the last tried."""

    def __init__(self, reason, number=0):
        self.reason = reason
        self.number = number

    def __repr__(self):
        return "Failed(" + self.reason + ")"


class Modem:
    """commands: of the profile, after the usual ones: "AT$F2" for fast connect, "AT+MS=1" and the like. tone:
    False for a line that wants pulses. outside: what gets an outside line, "0," or ""."""

    def __init__(self, commands=(), tone=True, outside=""):
        self._commands = _INITIAL + tuple(commands)
        self._dial = ("ATDT" if tone else "ATDP") + outside
        self._state = _OFF
        self._out = b""
        self._waits_ms = None
        self._left = ()
        self._line = bytearray()
        self._noise = 0
        self._tries = 0
        self._numbers = ()
        self._at = 0
        self._tail = b""
        self._feeds = 0  # line feeds that still belong to the result
        self._is_lost = False
        self._is_beginning = False  # else a command under way hangs up
        self._was_freed = False

    @property
    def is_online(self):
        """Whether bytes go to the other side."""
        return self._state == _ONLINE

    # ---------------------------------------------------------------- what is asked for

    def begin(self, now_ms):
        """Set the modem up: Ready or Failed."""
        self._forget()
        self._is_beginning = True
        self._was_freed = False
        self._left = self._commands
        self._command(now_ms)

    def dial(self, numbers, now_ms):
        """Call these numbers, one after the other until one answers: Connected or Failed."""
        assert numbers, "somebody to call"
        self._numbers = tuple(numbers)
        self._at = -1
        self._next_number(now_ms)

    def send(self, data):
        """Bytes to the other side, as they are."""
        assert self.is_online, "nobody is on the line"
        self._out += data

    def hang_up(self, now_ms):
        """Let go of the line, whatever is going on: HungUp."""
        self._is_beginning = False
        if self._state == _ONLINE:
            self._state = _PAUSING
            self._waits_ms = now_ms + GUARD_MS
        elif self._state == _DIALLING:
            self._out += b"\r"  # any byte stops the dialling
            self._hook(now_ms)
        else:
            self._hook(now_ms)

    # ---------------------------------------------------------------- what a driver does

    def to_send(self):
        out, self._out = self._out, b""
        return out

    def deadline_ms(self):
        return self._waits_ms

    def feed(self, data, now_ms):
        events = self.tick(now_ms)
        if self._state in (_ONLINE, _PAUSING):
            self._carried(data, events)
            return events
        for place, byte in enumerate(data):
            self._letter(byte, now_ms, events)
            if self._state == _ONLINE:
                if data[place + 1 :]:
                    self._carried(data[place + 1 :], events)
                break
        return events

    def tick(self, now_ms):
        events = []
        if self._waits_ms is None or now_ms < self._waits_ms:
            return events
        if self._state == _PAUSING:
            self._state = _ESCAPING
            self._out += ESCAPE
            self._waits_ms = now_ms + GUARD_MS + COMMAND_MS
        elif self._state == _ESCAPING:
            self._hook(now_ms)  # deaf to +++: try as it is
        elif self._state == _DIALLING:
            self._out += b"\r"
            self._failed_call(SILENT, now_ms, events)
        elif self._tries:
            self._put(now_ms)
        elif self._is_beginning and not self._was_freed:
            self._was_freed = True  # it may be online still, from before we started
            self._state = _ESCAPING
            self._out += ESCAPE
            self._waits_ms = now_ms + GUARD_MS + COMMAND_MS
        else:
            self._gave_up(SILENT, events)
        return events

    # ---------------------------------------------------------------- commands

    def _command(self, now_ms):
        self._state = _COMMAND
        self._tries = TRIES
        self._put(now_ms)

    def _put(self, now_ms):
        self._tries -= 1
        self._line = bytearray()
        self._noise = 0
        command = self._left[0]
        self._out += command.encode() + b"\r"
        self._waits_ms = now_ms + (HANG_UP_MS if command == "ATH" else COMMAND_MS)

    def _hook(self, now_ms):
        self._left = ("ATH",) + (self._commands if self._is_beginning else ())
        self._command(now_ms)

    def _forget(self):
        self._waits_ms = None
        self._line = bytearray()
        self._tail = b""
        self._is_lost = False

    def _gave_up(self, reason, events):
        """A modem that doesn't hang up is off all the same: nothing more can be done about it from here."""
        events.append(Failed(reason) if self._is_beginning else HungUp(self._is_lost))
        self._off()

    def _off(self):
        self._state = _OFF
        self._is_beginning = False
        self._forget()

    # ---------------------------------------------------------------- results

    def _letter(self, byte, now_ms, events):
        if byte in (0x0D, 0x0A):
            if self._line:
                line = bytes(self._line)
                self._line = bytearray()
                self._result(line, now_ms, events)
            return
        self._noise += 1
        if len(self._line) < LONGEST_LINE:
            self._line.append(byte)
        if self._noise > NOISE_BYTES and self._state != _OFF:
            if self._state == _DIALLING:
                self._is_beginning = True
            self._gave_up(NOISE, events)

    def _result(self, line, now_ms, events):
        for byte in line:
            if not 0x20 <= byte < 0x7F:
                return
        word = str(line, "ascii").strip()
        if self._state == _COMMAND:
            self._answered(word, now_ms, events)
        elif self._state == _ESCAPING and (word in _OK or word in _FAILURES):
            self._hook(now_ms)
        elif self._state == _DIALLING:
            self._called(word, now_ms, events)

    def _answered(self, word, now_ms, events):
        if word in _OK or (self._left[0] == "ATH" and word in _FAILURES):
            self._noise = 0
            self._left = self._left[1:]
            if self._left:
                self._command(now_ms)
                return
            events.append(Ready() if self._is_beginning else HungUp(self._is_lost))
            self._off()
        elif word in _FAILURES:
            self._gave_up(ERROR, events)
        # Anything else is an echo, a ring, a greeting.

    # ---------------------------------------------------------------- a call

    def _next_number(self, now_ms):
        self._at += 1
        self._forget()
        self._noise = 0
        self._state = _DIALLING
        self._out += (self._dial + self._numbers[self._at]).encode() + b"\r"
        self._waits_ms = now_ms + DIAL_MS

    def _called(self, word, now_ms, events):
        if word.startswith(_CONNECT) or word in _SPEEDS:
            speed = word[len(_CONNECT) :].strip() if word.startswith(_CONNECT) else ""
            digits = speed.split("/")[0].split(" ")[0]
            self._forget()
            self._state = _ONLINE
            self._feeds = 0 if word in _SPEEDS else 1
            events.append(Connected(int(digits) if digits.isdigit() else _SPEEDS.get(word, 0)))
        elif word in _FAILURES:
            self._failed_call(_FAILURES[word], now_ms, events)

    def _failed_call(self, reason, now_ms, events):
        if self._at + 1 < len(self._numbers):
            self._next_number(now_ms)
            return
        self._state = _OFF
        self._forget()
        events.append(Failed(reason, self._at))

    def _carried(self, data, events):
        """Bytes of the other side; the modem's word that it has gone comes among them, as the last."""
        if self._feeds and data[0] == 0x0A:  # of the result's own end
            data = data[1:]
        self._feeds = 0
        if not data:
            return
        whole = self._tail + data
        if whole.endswith(_LOST):
            rest = data[: max(0, len(data) - len(_LOST))]
            if rest:
                events.append(Received(rest))
            self._state = _OFF
            self._forget()
            events.append(HungUp(True))
            return
        self._tail = whole[-len(_LOST) + 1 :]
        events.append(Received(bytes(data)))
