"""A GPRS modem with its own TCP, of the SIM800 or M95 family: commands out, results and news in.

begin() looks at SIM, signal and registration and brings the network up; open() makes a connection,
send() and Received carry bytes, close() ends it. Received bytes are fetched on news, so nothing of a
burst is lost. No I/O, no clock. Commands after the makers' manuals (SIM800 TCP/IP application note, M95
TCP/IP application note).
"""

COMMAND_MS = 3000
REGISTER_MS = 60000  # until the network has taken us; a cold start in a cellar takes as long
RETRY_MS = 2000  # between looks at SIM, signal and registration
ATTACH_MS = 75000
ACTIVATE_MS = 150000
CONNECT_MS = 75000
SEND_MS = 20000
WAKE_TRIES = 5  # of AT: the first ones only teach it the speed
FETCH_BYTES = 512  # fetched at once
SEND_BYTES = 512  # handed over at once
LONGEST_LINE = 128
NOISE_BYTES = 1024
WEAKEST_SIGNAL = 5  # of +CSQ, 0 to 31; below it nothing lasts

SILENT, NO_SIM, SIM_LOCKED, WRONG_PIN, NO_SIGNAL, NOT_REGISTERED, DENIED, NO_DATA, NO_HOST, NOISE, REFUSED = (
    "silent",
    "no sim",
    "sim locked",  # it wants a PIN that nobody gave us, or was locked for good
    "wrong pin",  # of the SIM; never given twice, the third one locks it
    "no signal",
    "not registered",
    "denied",  # the network won't have this SIM
    "no data",  # registered, but no data service, or the access point is wrong
    "no host",  # nobody takes the connection
    "noise",
    "refused",  # a command that the modem doesn't do
)


class Family:
    """How one kind is spoken to. up: commands that bring the network up, as (command, result, milliseconds),
    with {0} access point, {1} user, {2} password; result "." is a bare address."""

    def __init__(self, up, connect, send, sent, news, fetch, fetched, end, lost):
        self.up = up
        self.connect = connect
        self.send = send
        self.sent = sent
        self.news = news
        self.fetch = fetch
        self.fetched = fetched
        self.end = end
        self.lost = lost


ADDRESS = "."
SIM800 = Family(
    (
        ("AT+CIPSHUT", "SHUT OK", COMMAND_MS * 5),
        ("AT+CIPMUX=1", "OK", COMMAND_MS),
        ("AT+CIPQSEND=1", "OK", COMMAND_MS),
        ("AT+CIPRXGET=1", "OK", COMMAND_MS),
        ('AT+CSTT="{0}","{1}","{2}"', "OK", COMMAND_MS),
        ("AT+CIICR", "OK", ACTIVATE_MS),
        ("AT+CIFSR", ADDRESS, COMMAND_MS),
    ),
    'AT+CIPSTART=0,"TCP","{0}",{1}',
    "AT+CIPSEND=0,{0}",
    ("DATA ACCEPT:0,", "0, SEND OK"),
    "+CIPRXGET: 1,0",
    "AT+CIPRXGET=2,0,{0}",
    "+CIPRXGET: 2,0,",
    ("AT+CIPCLOSE=0,1", "0, CLOSE OK"),
    ("0, CLOSED", "+PDP: DEACT", "+PDP DEACT"),
)
M95 = Family(
    (
        ("AT+QIDEACT", "DEACT OK", COMMAND_MS * 5),
        ("AT+QIMUX=0", "OK", COMMAND_MS),
        ("AT+QINDI=1", "OK", COMMAND_MS),
        ('AT+QICSGP=1,"{0}","{1}","{2}"', "OK", COMMAND_MS),
        ("AT+QIREGAPP", "OK", COMMAND_MS),
        ("AT+QIACT", "OK", ACTIVATE_MS),
        ("AT+QILOCIP", ADDRESS, COMMAND_MS),
    ),
    'AT+QIOPEN="TCP","{0}",{1}',
    "AT+QISEND={0}",
    ("SEND OK",),
    "+QIRDI: ",
    "AT+QIRD=0,1,0,{0}",
    "+QIRD: ",
    ("AT+QICLOSE", "CLOSE OK"),
    ("CLOSED", "+PDP DEACT"),
)
FAMILIES = {"sim800": SIM800, "m95": M95}

_CONNECTED = ("0, CONNECT OK", "CONNECT OK", "0, ALREADY CONNECT", "ALREADY CONNECT")
_NOT_CONNECTED = ("0, CONNECT FAIL", "CONNECT FAIL")
_WAKE, _ECHO, _SIM, _SIGNAL, _REGISTRATION, _ATTACH, _UP, _CONNECT, _SEND, _FETCH, _END, _PIN = range(12)
_REGISTERED, _NOT_WANTED = ("1", "5"), "3"  # at home or roaming; the network won't have it
_CHECKS = {
    _WAKE: "AT",
    _ECHO: "ATE0",
    _SIM: "AT+CPIN?",
    _SIGNAL: "AT+CSQ",
    _REGISTRATION: "AT+CREG?",
    _ATTACH: "AT+CGATT=1",
}
_WAITS = {_ATTACH: ATTACH_MS, _CONNECT: CONNECT_MS, _SEND: SEND_MS}
_TROUBLES = {_SIM: NO_SIM, _SIGNAL: NO_SIGNAL, _REGISTRATION: NOT_REGISTERED, _ATTACH: NO_DATA, _UP: NO_DATA}


class Ready:
    """The network is up. signal: 0 to 31 of +CSQ."""

    def __init__(self, signal):
        self.signal = signal


class Opened:
    """The connection stands."""


class Received:
    """Bytes of the other side."""

    def __init__(self, data):
        self.data = data

    def __repr__(self):
        return "Received(hidden)"


class Closed:
    """The connection is down, as asked or (is_lost) by the other side or the network."""

    def __init__(self, is_lost):
        self.is_lost = is_lost


class Failed:
    """What was asked came to nothing; reason: see above. was_sent: bytes of ours may have left."""

    def __init__(self, reason, was_sent=False):
        self.reason = reason
        self.was_sent = was_sent

    def __repr__(self):
        return "Failed(" + self.reason + ")"


class Gprs:
    """One modem, one connection at a time. pin: of the SIM, "" when it has none. was_pin_refused: the SIM
    didn't take it; whoever has a storage keeps that, and gives no PIN then."""

    def __init__(self, family, access_point, user="", password="", pin=""):
        for text in (access_point, user, password, pin):
            assert '"' not in text, "a quote ends the command"
        self._family = family
        self._names = (access_point, user, password)
        self._pin = pin
        self.was_pin_refused = False
        self._out = b""
        self._step = None
        self._at = 0  # of the family's commands that bring the network up
        self._tries = 0
        self._waits_ms = None
        self._until_ms = None
        self._pauses = False
        self._line = bytearray()
        self._raw = None  # bytes of a fetch that are still to come
        self._raw_left = 0
        self._noise = 0
        self._told = ""
        self._signal = 0
        self._is_open = False
        self._to_carry = b""
        self._carrying = b""
        self._has_news = False
        self._wants_close = False
        self._after_fetch = 0

    @property
    def is_open(self):
        """Whether send() is possible."""
        return self._is_open

    # ---------------------------------------------------------------- what is asked for

    def begin(self, now_ms):
        """Bring the network up: Ready or Failed."""
        self._forget()
        self._until_ms = now_ms + REGISTER_MS
        self._tries = WAKE_TRIES
        self._go(_WAKE, now_ms)

    def open(self, host, port, now_ms):
        """Connect to a dotted address: Opened or Failed."""
        assert self._step is None, "one command at a time"
        assert not self._is_open, "one connection at a time"
        self._to_carry = self._carrying = b""
        self._has_news = self._wants_close = False
        self._command(_CONNECT, self._family.connect.format(host, port), now_ms)

    def send(self, data, now_ms):
        """Bytes to the other side, in order."""
        assert self._is_open, "no connection"
        self._to_carry += data
        self._next(now_ms)

    def close(self, now_ms):
        """End the connection: Closed."""
        assert self._is_open, "no connection"
        self._wants_close = True
        self._next(now_ms)

    # ---------------------------------------------------------------- what a driver does

    def to_send(self):
        out, self._out = self._out, b""
        return out

    def deadline_ms(self):
        return self._waits_ms

    def feed(self, data, now_ms):
        events = self.tick(now_ms)
        for byte in data:
            if self._raw is not None:
                self._raw_byte(byte, now_ms, events)
            elif byte in (0x0D, 0x0A):
                if self._line:
                    self._end_line(now_ms, events)
            else:
                self._letter(byte, now_ms, events)
        return events

    def tick(self, now_ms):
        events = []
        if self._waits_ms is None or now_ms < self._waits_ms:
            return events
        if self._pauses:
            self._pauses = False
            self._go(self._step, now_ms)
        elif self._step == _WAKE and self._tries:
            self._go(_WAKE, now_ms)
        elif self._step == _SEND:
            self._broken(events, True)
        elif self._step in (_FETCH, _END):
            self._broken(events, False)
        elif self._step == _CONNECT:
            self._failed(NO_HOST, events)
        elif self._step in (_ATTACH, _UP):
            self._failed(NO_DATA, events)
        else:
            self._failed(SILENT, events)
        return events

    # ---------------------------------------------------------------- commands

    def _go(self, step, now_ms):
        """The next look at SIM, signal, registration, service."""
        self._tries -= 1
        self._command(step, _CHECKS[step], now_ms)

    def _command(self, step, command, now_ms, wait_ms=0):
        self._step = step
        self._told = ""
        self._line = bytearray()
        self._noise = 0
        self._out += command.encode() + b"\r"
        self._waits_ms = now_ms + (wait_ms or _WAITS.get(step, COMMAND_MS))

    def _bring_up(self, now_ms):
        command, _, wait_ms = self._family.up[self._at]
        self._command(_UP, command.format(*self._names), now_ms, wait_ms)

    def _again(self, now_ms, events, reason):
        """Look once more in a while, until it has taken too long."""
        if now_ms + RETRY_MS >= self._until_ms:
            self._failed(reason, events)
            return
        self._pauses = True
        self._waits_ms = now_ms + RETRY_MS

    def _next(self, now_ms):
        """What the connection needs now: news first, then what is to be sent, then the end."""
        if self._step is not None or not self._is_open:
            return
        if self._has_news:
            self._has_news = False
            self._command(_FETCH, self._family.fetch.format(FETCH_BYTES), now_ms)
        elif self._to_carry:
            self._carrying = self._to_carry[:SEND_BYTES]
            self._command(_SEND, self._family.send.format(len(self._carrying)), now_ms)
        elif self._wants_close:
            self._command(_END, self._family.end[0], now_ms)

    def _forget(self):
        self._step = None
        self._waits_ms = None
        self._pauses = False
        self._raw = None
        self._line = bytearray()
        self._is_open = False
        self._to_carry = self._carrying = b""
        self._has_news = self._wants_close = False

    def _failed(self, reason, events):
        self._forget()
        events.append(Failed(reason))

    def _broken(self, events, was_sent):
        """The connection doesn't answer any more."""
        self._forget()
        events.append(Failed(SILENT, was_sent))

    def _done(self, now_ms):
        self._step = None
        self._waits_ms = None
        self._next(now_ms)

    # ---------------------------------------------------------------- what it says

    def _letter(self, byte, now_ms, events):
        if byte == 0x3E and self._step == _SEND and not self._line and self._carrying:  # ">"
            self._out += self._carrying
            self._to_carry = self._to_carry[len(self._carrying) :]
            self._carrying = b""
            return
        if byte == 0x20 and not self._line:
            return
        self._noise += 1
        if len(self._line) < LONGEST_LINE:
            self._line.append(byte)
        if self._noise > NOISE_BYTES and self._step is not None:
            self._failed(NOISE, events)

    def _end_line(self, now_ms, events):
        line = bytes(self._line)
        self._line = bytearray()
        for byte in line:
            if not 0x20 <= byte < 0x7F:
                return
        self._noise = 0
        self._read(str(line, "ascii").strip(), now_ms, events)

    def _read(self, line, now_ms, events):
        if self._is_news(line, now_ms, events):
            return
        step = self._step
        if step is None or self._pauses:
            return
        failed = line == "ERROR" or line.startswith("+CME ERROR") or line.startswith("+CMS ERROR")
        if step == _UP:
            self._upward(line, failed, now_ms, events)
        elif step == _CONNECT:
            self._connected(line, failed, now_ms, events)
        elif step == _SEND:
            if failed:
                self._broken(events, True)
            elif line.startswith(self._family.sent):
                self._done(now_ms)
        elif step == _FETCH:
            self._fetched(line, failed, now_ms, events)
        elif step == _PIN:
            if failed:
                self.was_pin_refused = True
                self._pin = ""
                self._failed(WRONG_PIN, events)
            elif line == "OK":
                self._step = _SIM
                self._again(now_ms, events, NO_SIM)  # it takes a while until it says READY
        elif step == _END:
            if line == self._family.end[1] or failed:
                self._forget()
                events.append(Closed(False))
        elif failed:
            self._check_failed(line, now_ms, events)
        elif line == "OK":
            self._checked(now_ms, events)
        else:
            self._told = line

    def _is_news(self, line, now_ms, events):
        if self._is_open and line in self._family.lost:
            was_sending = self._step == _SEND
            self._forget()
            events.append(Failed(SILENT, True) if was_sending else Closed(True))
            return True
        if self._is_open and line.startswith(self._family.news):
            self._has_news = True
            self._next(now_ms)
            return True
        return False

    def _check_failed(self, line, now_ms, events):
        if self._step in (_SIM, _SIGNAL, _REGISTRATION):
            self._again(now_ms, events, _TROUBLES[self._step])
        else:
            self._failed(_TROUBLES.get(self._step, REFUSED), events)

    def _checked(self, now_ms, events):
        step, told = self._step, self._told
        if step == _SIM and told != "+CPIN: READY":
            if told == "+CPIN: SIM PIN" and self._pin:
                self._command(_PIN, 'AT+CPIN="' + self._pin + '"', now_ms)
                self._pin = ""  # once
            elif told.startswith("+CPIN: SIM P"):
                self._failed(WRONG_PIN if self.was_pin_refused else SIM_LOCKED, events)
            else:
                self._again(now_ms, events, NO_SIM)
        elif step == _SIGNAL and not self._is_signal(told):
            self._again(now_ms, events, NO_SIGNAL)
        elif step == _REGISTRATION and _registration(told) not in _REGISTERED:
            if _registration(told) == _NOT_WANTED:
                self._failed(DENIED, events)
            else:
                self._again(now_ms, events, NOT_REGISTERED)
        elif step == _ATTACH:
            self._at = 0
            self._bring_up(now_ms)
        else:
            self._go(step + 1, now_ms)

    def _is_signal(self, told):
        digits = told[6:].split(",")[0] if told.startswith("+CSQ: ") else ""
        if not digits.isdigit() or not WEAKEST_SIGNAL <= int(digits) <= 31:
            return False
        self._signal = int(digits)
        return True

    def _upward(self, line, failed, now_ms, events):
        wanted = self._family.up[self._at][1]
        # What is torn down first may not have been up: that is no failure.
        if line == wanted or (wanted == ADDRESS and _is_address(line)) or (failed and not self._at):
            self._at += 1
            if self._at < len(self._family.up):
                self._bring_up(now_ms)
                return
            signal = self._signal
            self._forget()
            events.append(Ready(signal))
        elif failed:
            self._failed(NO_DATA, events)

    def _connected(self, line, failed, now_ms, events):
        if line in _CONNECTED:
            self._is_open = True
            events.append(Opened())
            self._done(now_ms)
        elif failed or line in _NOT_CONNECTED:
            self._failed(NO_HOST, events)

    def _fetched(self, line, failed, now_ms, events):
        if failed:
            self._broken(events, False)
        elif line.startswith(self._family.fetched):
            numbers = line[len(self._family.fetched) :].split(",")
            if self._family is SIM800:
                count, left = numbers[0], numbers[1] if len(numbers) > 1 else "0"
            else:
                count, left = numbers[-1], "1"  # it doesn't say: asked until there is nothing
            if not (count.isdigit() and left.isdigit()) or int(count) > FETCH_BYTES:
                self._broken(events, False)
                return
            self._after_fetch = int(left)
            if int(count):
                self._raw = bytearray()
                self._raw_left = int(count) + 1  # and the line feed of the header
        elif line == "OK":
            self._has_news = self._has_news or self._after_fetch > 0
            self._after_fetch = 0
            self._done(now_ms)

    def _raw_byte(self, byte, now_ms, events):
        self._raw_left -= 1
        self._raw.append(byte)
        if self._raw_left:
            return
        data = bytes(self._raw)
        self._raw = None
        if data[0] != 0x0A:
            self._broken(events, False)
            return
        events.append(Received(data[1:]))


def _registration(told):
    """The state in an answer to AT+CREG?; a modem that was told so names its cell behind it (27.007, 7.2)."""
    fields = told.split(",") if told.startswith("+CREG:") else ()
    return fields[1].strip() if len(fields) > 1 else ""


def _is_address(line):
    parts = line.split(".")
    return len(parts) == 4 and all(part.isdigit() for part in parts)
