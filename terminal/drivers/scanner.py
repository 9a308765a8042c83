"""Barcode and QR scanner on a serial line: commands and their answers, and between them the scanned texts.

Modules of three families and scanners that take no commands; a table each. What a text is, codes.py says.
No I/O, no clock, no exception here; the buffer is bounded, and wiped after each text.
"""

from terminal.drivers import Hidden, Reason, Speaking, exclusive_or, wipe

LONGEST_TEXT = 256  # bytes of one scan: no code of ours has more than 48
GAP_MS = 300  # a text or an answer that stops for this long is over; at 9600 baud a byte takes 1 ms
WAKE_MS = 50  # from the wake byte to the command, where a family needs one
ANSWER_MS = 250  # these modules answer within 100 ms
TRIES = 4  # of each command: one that sleeps ignores the first
BOOT_TRIES = 12  # of begin()'s first: after power-on or reset nothing is heard for two seconds
WATCH_MS = 3000  # while it should scan it is told so again: so one that was unplugged is found out
NOISE_BYTES = 512  # so many bytes instead of an answer: this is no scanner
GLITCH_BYTES = 4  # fewer bytes that are no text are a glitch of the line
_LONGEST_ANSWER = 64  # a version is the longest

# What went wrong, of Failed.reason. The last two are of a scan, the others of a command.
SILENT, REFUSED, NOISE, DAMAGED, LONG = (
    "silent",  # no answer, each time it was asked
    "refused",  # it understood and won't; one that started anew has to begin() again
    "noise",  # something else is on this line, or another baud rate
    "damaged",  # bytes are missing or wrong
    "long",  # longer than any code of ours
)

_LINE_ENDS = b"\r\n"
_TABULATOR, _GROUP_SEPARATOR, _SPACE, _DELETE = 0x09, 0x1D, 0x20, 0x7F  # GS: what GS1 codes say for FNC1
_MORE, _NO_FRAME = 0, -1  # instead of the length of an answer
_ACCEPTED, _REJECTED, _AGAIN, _ALREADY = range(4)  # what an answer says
_PROBE, _BEGIN, _START, _STOP, _WATCH, _HUSH = range(1, 7)  # what is asked for


# ---------------------------------------------------------------- family "gm65": Grow GM65, GM805, GM861


def gm65_command(kind, zone, *values):
    """A command to a zone: kind 07 reads so many bytes, 08 writes them. AB CD: its CRC isn't looked at."""
    count = len(values) if kind == 8 else 1
    return bytes((0x7E, 0x00, kind, count, zone >> 8, zone & 0xFF) + values) + b"\xab\xcd"


def crc_16(data):
    """CRC-16 of polynomial 1021, begun with 0, most significant bit first."""
    register = 0
    for byte in data:
        register ^= byte << 8
        for _ in range(8):
            register = (register << 1 ^ 0x1021 if register & 0x8000 else register << 1) & 0xFFFF
    return register


def _gm65_length(frame, count):
    """02 00, type, length, data, CRC."""
    if frame[0] != 0x02 or (count > 1 and frame[1]):
        return _NO_FRAME
    if count < 4:
        return _MORE
    return frame[3] + 6 if 0 < frame[3] <= _LONGEST_ANSWER - 6 else _NO_FRAME


def _gm65_answer(frame):
    if crc_16(frame[2:-2]) != frame[-2] << 8 | frame[-1]:
        return None
    return (_ACCEPTED if frame[2] == 0 else _REJECTED), "".join("%02X" % byte for byte in frame[4:-2])


# ---------------------------------------------------------------- family "m3y": ZhongShan M3Y and its like


def m3y_command(text):
    """5A, 00, length, command, exclusive or of all but the 5A, A5."""
    return _m3y_frame(b"\x00" + bytes((len(text) >> 8, len(text) & 0xFF)) + text)


def _m3y_frame(body):
    return b"\x5a" + body + bytes((exclusive_or(body), 0xA5))


def _m3y_length(frame, count):
    """5A 01, length, body, check, A5; or 90 00 alone, also in the midst of a text."""
    if frame[0] == 0x90:
        return _MORE if count < 2 else 2 if frame[1] == 0x00 else _NO_FRAME
    if frame[0] != 0x5A or (count > 1 and frame[1] != 0x01):
        return _NO_FRAME
    if count < 4:
        return _MORE
    length = (frame[2] << 8 | frame[3]) + 6
    return length if 6 < length <= _LONGEST_ANSWER else _NO_FRAME


def _m3y_answer(frame):
    if len(frame) == 2:
        return _ACCEPTED, ""
    if frame[-1] != 0xA5 or exclusive_or(frame[1:-1]):
        return None
    body = frame[4:-2]
    if body == b"\x90\x00":
        return _ACCEPTED, ""
    for byte in body:
        if not _SPACE <= byte < _DELETE:
            return _REJECTED, ""
    return _ACCEPTED, str(body, "ascii")


# ---------------------------------------------------------------- family "gm72": Grow GM67, GM72, GM73


_GM72_CAUSES = {0x01: _AGAIN, 0x02: _ALREADY}  # its check was wrong; not now


def gm72_command(body):
    """A command, its length first, and the two's complement of its sum in 16 bits."""
    check = -sum(body) & 0xFFFF
    return body + bytes((check >> 8, check & 0xFF))


def _gm72_length(frame, count):
    """Length, D0 (done) or D1 (not done, and why), two bytes, check."""
    if frame[0] not in (0x04, 0x05) or (count > 1 and frame[1] not in (0xD0, 0xD1)):
        return _NO_FRAME
    return frame[0] + 2 if count > 1 else _MORE


def _gm72_answer(frame):
    if (sum(frame[:-2]) + (frame[-2] << 8 | frame[-1])) & 0xFFFF:
        return None
    if frame[1] == 0xD0:
        return _ACCEPTED, ""
    return (_GM72_CAUSES.get(frame[4], _REJECTED) if frame[0] == 5 else _REJECTED), ""


# ---------------------------------------------------------------- the table


class Family:
    """How scanners of one kind are spoken to. length, answer: of what they say; probe: asks who is there;
    set_up: sent after it; once, stop_once: for one scan; many, stop_many: for one after the other; wake: sent
    before each command."""

    def __init__(self, length, answer, probe, set_up, once, stop_once, many, stop_many, wake=b""):
        self.length = length
        self.answer = answer
        self.probe = probe
        self.set_up = set_up
        self.once = once
        self.stop_once = stop_once
        self.many = many
        self.stop_many = stop_many
        self.wake = wake


_GM65_COMMAND_MODE = gm65_command(8, 0x0000, 0xD5)  # with lamp, aiming light and sound
_GM65_CONTINUOUS = gm65_command(8, 0x0000, 0xD6)
_M3Y_COMMAND_MODE = m3y_command(b"S_CMD_020D")
_M3Y_CONTINUOUS = m3y_command(b"S_CMD_020E")
_GM72_HOST_MODE = gm72_command(b"\x07\xc6\x04\x08\x00\x8a\x08")
_GM72_CONTINUOUS = gm72_command(b"\x07\xc6\x04\x08\x00\x8a\x04")

FAMILIES = {
    "gm65": Family(
        _gm65_length,
        _gm65_answer,
        gm65_command(7, 0x00E2, 1),
        (
            gm65_command(8, 0x0003, 0x02),  # set-up barcodes change nothing
            gm65_command(8, 0x0006, 0x00),  # a scan has as much time as it needs
            gm65_command(8, 0x0013, 0x85),  # in continuous mode the same code again after 5 s
            _GM65_COMMAND_MODE,
        ),
        gm65_command(8, 0x0002, 0x01),
        gm65_command(8, 0x0002, 0x00),
        _GM65_CONTINUOUS,
        _GM65_COMMAND_MODE,
    ),
    "m3y": Family(
        _m3y_length,
        _m3y_answer,
        m3y_command(b"T_OUT_CVER"),
        (
            _M3Y_COMMAND_MODE,
            m3y_command(b"S_CMD_059A"),  # CR and LF after each text
            m3y_command(b"S_CMD_MTRS0000"),  # a scan has as much time as it needs
            m3y_command(b"S_CMD_MA31"),  # in continuous mode not the same code again
            m3y_command(b"S_CMD_0000"),  # set-up barcodes change nothing
        ),
        m3y_command(b"SR030301"),
        m3y_command(b"SR030300"),
        _M3Y_CONTINUOUS,
        _M3Y_COMMAND_MODE,
    ),
    "gm72": Family(
        _gm72_length,
        _gm72_answer,
        _GM72_HOST_MODE,
        (
            gm72_command(b"\x07\xc6\x04\x08\x00\xee\x00"),  # bare text, not in packets
            gm72_command(b"\x08\xc6\x04\x08\x00\xf2\x05\x01"),  # CR and LF after each text
        ),
        gm72_command(b"\x04\xe4\x04\x00"),
        gm72_command(b"\x04\xe5\x04\x00"),
        _GM72_CONTINUOUS,
        _GM72_HOST_MODE,
        b"\x00",
    ),
    # A scanner with a trigger of its own: it is never spoken to.
    "plain": Family(None, None, b"", (), b"", b"", b"", b""),
}


# ---------------------------------------------------------------- events


class Found:
    """Somebody of the family answered probe(). version: as it says, "" when it doesn't."""

    def __init__(self, version):
        self.version = version


class Ready(Found):
    """begin() is done."""


class Started:
    """It looks for codes."""


class Stopped:
    """It doesn't any more."""


class Scanned(Hidden):
    """text: bytes of a code, without prefix and line end; maybe a card number."""

    def __init__(self, text):
        self.text = text


class Failed(Reason):
    """A command came to nothing, or a scan did; reason: see above."""


class Scanner(Speaking):
    """begin() once; then start() and stop(). These and probe() end with one event each; one called before the
    last one's end takes its place. Between start() and stop(): Scanned, or Failed(DAMAGED) and Failed(LONG).

    family: a key of FAMILIES; continuous: scans until stop(), not only once; prefix: bytes it sets before
    each text; ends_by_line: a text ends with CR or LF, not by silence.
    """

    def __init__(self, family, continuous=False, prefix=b"", ends_by_line=True):
        self._family = FAMILIES[family]
        self._continuous = continuous
        self._prefix = prefix
        self._ends_by_line = ends_by_line
        self._frame = bytearray(_LONGEST_ANSWER)
        self._line = bytearray(LONGEST_TEXT)
        self._what = None
        self._left = ()
        self._version = ""
        self._held = None
        self._tries = TRIES
        self._answer_ms = None
        self._watch_ms = None
        self._last_ms = 0
        self._scanning = False
        self._waking = False
        self._frame_count = 0
        self._clear_line()

    # ---------------------------------------------------------------- what is asked for

    def probe(self, now_ms):
        """Is one of this family there, at this baud rate? Found or Failed, within TRIES * ANSWER_MS."""
        self._ask(_PROBE, (self._family.probe,), TRIES, now_ms)

    def begin(self, now_ms):
        """Wait for it and set it up: Ready or Failed."""
        self._scanning = False
        self._ask(_BEGIN, (self._family.probe,) + self._family.set_up, BOOT_TRIES, now_ms)

    def start(self, now_ms):
        """Look for a code: Started or Failed."""
        self._scanning = True
        self._ask(_START, (self._starting(),), TRIES, now_ms)

    def stop(self, now_ms):
        """Look no more: Stopped or Failed. What is scanned meanwhile is nobody's."""
        self._scanning = False
        self._ask(_STOP, (self._stopping(),), TRIES, now_ms)

    @property
    def is_busy(self):
        """Whether a command is under way."""
        return self._what is not None

    @property
    def is_scanning(self):
        """Whether a scan is waited for."""
        return self._scanning

    # ---------------------------------------------------------------- what a driver does

    def deadline_ms(self):
        deadline = self._last_ms + GAP_MS if self._is_receiving() else None
        for other in (self._answer_ms, self._watch_ms):
            if other is not None and (deadline is None or other < deadline):
                deadline = other
        return deadline

    def feed(self, data, now_ms):
        events = self.tick(now_ms)
        for byte in data:
            self._take(byte, now_ms, events)
        if data:
            self._last_ms = now_ms
        return events

    def tick(self, now_ms):
        events = []
        if self._is_receiving() and now_ms >= self._last_ms + GAP_MS:
            self._silence(now_ms, events)
        if self._answer_ms is not None and now_ms >= self._answer_ms:
            self._timed_out(now_ms, events)
        if self._watch_ms is not None and now_ms >= self._watch_ms:
            self._ask(_WATCH, (self._starting(),), TRIES, now_ms)
        return events

    # ---------------------------------------------------------------- commands

    def _starting(self):
        return self._family.many if self._continuous else self._family.once

    def _stopping(self):
        return self._family.stop_many if self._continuous else self._family.stop_once

    def _ask(self, what, commands, tries, now_ms):
        self._what = what
        self._left = commands if self._family.length else ()
        self._tries = tries
        self._noise = 0
        self._held = None
        self._watch_ms = None
        self._put(now_ms)

    def _put(self, now_ms):
        """The first of the commands that are left."""
        self._tries -= 1
        self._waking = bool(self._left and self._family.wake)
        if not self._left:
            self._answer_ms = now_ms  # nothing to ask: tick() says that it is done
        elif self._waking:
            self._out += self._family.wake
            self._answer_ms = now_ms + WAKE_MS
        else:
            self._say(now_ms)

    def _say(self, now_ms):
        self._waking = False
        self._out += self._left[0]
        self._answer_ms = now_ms + ANSWER_MS

    def _timed_out(self, now_ms, events):
        if not self._left:
            self._done(now_ms, events)
        elif self._waking:
            self._say(now_ms)
        elif self._tries:
            self._put(now_ms)
        else:
            self._failed(SILENT, events)

    def _answered(self, verdict, told, now_ms, events):
        if self._what is None or self._waking or not self._left:
            return  # late, of a command that was given up
        if verdict == _AGAIN and self._tries:
            self._put(now_ms)
        elif verdict != _ACCEPTED and not (verdict == _ALREADY and self._what == _WATCH):
            self._failed(REFUSED, events)
        else:
            if self._left[0] is self._family.probe:
                self._version = told
            self._left = self._left[1:]
            if self._left:
                self._tries = TRIES
                self._put(now_ms)
            else:
                self._done(now_ms, events)

    def _done(self, now_ms, events):
        what, self._what, self._answer_ms = self._what, None, None
        if self._scanning and self._family.length:
            self._watch_ms = now_ms + WATCH_MS
        if what == _PROBE:
            events.append(Found(self._version))
        elif what == _BEGIN:
            events.append(Ready(self._version))
        elif what == _START:
            events.append(Started())
            held, self._held = self._held, None
            if held:
                self._scan_over(held, now_ms, events)
        elif what == _STOP:
            events.append(Stopped())

    def _failed(self, reason, events):
        what, self._what, self._answer_ms = self._what, None, None
        self._left = ()
        self._held = None
        if what != _PROBE:
            self._scanning = False
        if what != _HUSH:
            events.append(Failed(reason))

    # ---------------------------------------------------------------- bytes

    def _is_receiving(self):
        return self._frame_count > 0 or self._seen > 0 or self._spoilt

    def _take(self, byte, now_ms, events):
        """Into an answer when it may be of one, else into a text: each may come in the midst of the other."""
        if not self._family.length:
            self._into_line(byte, now_ms, events)
            return
        frame, count = self._frame, self._frame_count
        frame[count] = byte
        self._frame_count = count = count + 1
        length = self._family.length(frame, count)
        if length == _NO_FRAME:
            others = self._frame_over()
            self._into_line(others[0], now_ms, events)
            for other in others[1:]:
                self._take(other, now_ms, events)
        elif count == length:
            answer = self._family.answer(self._frame_over())
            if answer is None:
                self._spoilt = True  # what it swallowed may have been of a text
            else:
                self._spoilt = self._spoilt and self._seen > 0
                self._answered(answer[0], answer[1], now_ms, events)

    def _silence(self, now_ms, events):
        for byte in self._frame_over():
            self._into_line(byte, now_ms, events)
        if self._ends_by_line:
            self._spoilt = True
        self._line_over(now_ms, events)

    def _frame_over(self):
        """What is in it; wiped, as it may be of a text."""
        count, self._frame_count = self._frame_count, 0
        taken = bytes(memoryview(self._frame)[:count])
        wipe(self._frame, count)
        return taken

    def _into_line(self, byte, now_ms, events):
        if byte in _LINE_ENDS:
            self._line_over(now_ms, events)
            return
        if self._what is not None:
            self._of_answer = True
            self._noise += 1
            if self._noise > NOISE_BYTES:
                self._failed(NOISE, events)
        self._seen += 1
        if self._seen > LONGEST_TEXT:
            if not self._muted:
                self._muted = True  # until it stops or ends the line: one event for a babbling scanner
                self._scan_over(Failed(LONG), now_ms, events)
            return
        if (byte < _SPACE and byte not in (_TABULATOR, _GROUP_SEPARATOR)) or byte == _DELETE:
            self._spoilt = True
        self._line[self._length] = byte
        self._length += 1

    def _line_over(self, now_ms, events):
        text = bytes(memoryview(self._line)[: self._length])
        seen, spoilt, muted = self._seen, self._spoilt, self._muted
        is_noise = seen < GLITCH_BYTES or self._of_answer  # or a damaged answer: its command comes again
        self._clear_line()
        if muted or not seen or (spoilt and is_noise):
            return
        if spoilt or not text.startswith(self._prefix):
            self._scan_over(Failed(DAMAGED), now_ms, events)
        elif len(text) > len(self._prefix):
            self._scan_over(Scanned(text[len(self._prefix) :]), now_ms, events)

    def _scan_over(self, event, now_ms, events):
        if not self._scanning:
            return  # of a scan that nobody waits for
        if self._what == _START:
            self._held = event  # until it is known to be of a scanner
            return
        if not self._continuous:
            self._scanning = False
            self._watch_ms = None
            if self._what == _WATCH or self._tries < TRIES - 1:
                self._ask(_HUSH, (self._stopping(),), TRIES, now_ms)  # told twice, it may have begun again
        events.append(event)

    def _clear_line(self):
        wipe(self._line)
        self._length = 0
        self._seen = 0
        self._spoilt = False
        self._muted = False
        self._of_answer = False  # bytes came while an answer was waited for
