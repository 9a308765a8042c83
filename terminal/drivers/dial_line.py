"""Messages over a dialled line: ENQ, STX, message, ETX, LRC, ACK or NAK, EOT. After Visa's second generation.

The host says ENQ when it is ready; either side's message is acknowledged, or asked for again; EOT ends
the call. Our messages are bytes of any value, so their length (2 bytes, big-endian) stands before them.
No I/O, no clock.
"""

LONGEST_MESSAGE = 1024  # TPDU and message
ENQUIRY_MS = 20000  # until the host is ready; some never say so, and then it is sent all the same
ACK_MS = 4000
ANSWER_MS = 45000
GAP_MS = 2000  # between bytes of a message
TRIES = 4

_STX, _ETX, _EOT, _ENQ, _ACK, _NAK = 0x02, 0x03, 0x04, 0x05, 0x06, 0x15
_HEAD_BYTES, _TAIL_BYTES = 3, 2

NOT_TAKEN, NO_ANSWER, ENDED = (
    "not taken",  # not acknowledged, each time: it may have arrived all the same
    "no answer",
    "ended",  # the host said EOT
)


class Answered:
    """A message of the host."""

    def __init__(self, message):
        self.message = message

    def __repr__(self):
        return "Answered(hidden)"


class Failed:
    """The exchange ends without an answer; reason: see above. was_sent: whether a byte of it went out."""

    def __init__(self, reason, was_sent):
        self.reason = reason
        self.was_sent = was_sent


_QUIET, _WAITING, _SENT, _TAKEN = range(4)


class DialLine:
    """One exchange at a time: ask(), then Answered or Failed."""

    def __init__(self):
        self._buffer = bytearray(_HEAD_BYTES + LONGEST_MESSAGE + _TAIL_BYTES)
        self._count = 0
        self._out = b""
        self._state = _QUIET
        self._frame = b""
        self._tries = 0
        self._waits_ms = None
        self._gap_ms = None
        self.is_invited = False  # the host has said that it is ready

    @property
    def is_quiet(self):
        """Whether ask() is possible."""
        return self._state == _QUIET

    def ask(self, message, now_ms, enquiry_ms=ENQUIRY_MS):
        """Send this when the host is ready, or hasn't said so for `enquiry_ms`."""
        assert self._state == _QUIET, "one exchange at a time"
        assert 0 < len(message) <= LONGEST_MESSAGE, "longer than a frame"
        self._frame = framed(message)
        self._tries = TRIES
        self._state = _WAITING
        self._waits_ms = now_ms + enquiry_ms
        if self.is_invited or not enquiry_ms:
            self._put(now_ms)

    def finish(self):
        """Nothing more is to be asked: the host may go."""
        self._out += bytes((_EOT,))
        self._rest()

    def to_send(self):
        out, self._out = self._out, b""
        return out

    def deadline_ms(self):
        if self._gap_ms is None or (self._waits_ms is not None and self._waits_ms < self._gap_ms):
            return self._waits_ms
        return self._gap_ms

    def feed(self, data, now_ms):
        events = self.tick(now_ms)
        for byte in data:
            self._take(byte, now_ms, events)
        return events

    def tick(self, now_ms):
        events = []
        if self._gap_ms is not None and now_ms >= self._gap_ms:
            self._count = 0
            self._gap_ms = None
            self._out += bytes((_NAK,))
        if self._waits_ms is None or now_ms < self._waits_ms:
            return events
        if self._state == _TAKEN:
            self._failed(NO_ANSWER, events)
        elif self._tries:
            self._put(now_ms)
        else:
            self._failed(NOT_TAKEN, events)
        return events

    def _put(self, now_ms):
        self._tries -= 1
        self._state = _SENT
        self.is_invited = False
        self._out += self._frame
        self._waits_ms = now_ms + ACK_MS

    def _take(self, byte, now_ms, events):
        if self._count:
            self._of_frame(byte, now_ms, events)
        elif byte == _STX:
            self._buffer[0] = byte
            self._count = 1
            self._gap_ms = now_ms + GAP_MS
        elif byte == _ENQ and self._state == _QUIET:
            self.is_invited = True
        elif byte == _ENQ and self._state in (_WAITING, _SENT):
            if self._tries:
                self._put(now_ms)
        elif byte == _ACK and self._state == _SENT:
            self._state = _TAKEN
            self._waits_ms = now_ms + ANSWER_MS
        elif byte == _NAK and self._state == _SENT:
            self._waits_ms = now_ms  # at once
            events += self.tick(now_ms)
        elif byte == _EOT:
            self._failed(ENDED, events)
        # Anything else is noise of the line.

    def _of_frame(self, byte, now_ms, events):
        buffer = self._buffer
        buffer[self._count] = byte
        self._count += 1
        self._gap_ms = now_ms + GAP_MS
        if self._count < _HEAD_BYTES:
            return
        length = buffer[1] << 8 | buffer[2]
        if not 0 < length <= LONGEST_MESSAGE:
            self._count = 0
            self._gap_ms = None
            self._out += bytes((_NAK,))
            return
        end = _HEAD_BYTES + length
        if self._count < end + _TAIL_BYTES:
            return
        message = bytes(memoryview(buffer)[_HEAD_BYTES:end])
        good = buffer[end] == _ETX and buffer[end + 1] == _check(memoryview(buffer)[1 : end + 1])
        self._count = 0
        self._gap_ms = None
        self._out += bytes((_ACK if good else _NAK,))
        if good and self._state in (_SENT, _TAKEN):  # else the answer again: our ACK was lost
            self._rest()
            events.append(Answered(message))

    def _failed(self, reason, events):
        was_sent = self._state != _QUIET and self._tries < TRIES
        self._rest()
        events.append(Failed(reason, was_sent))

    def _rest(self):
        self._state = _QUIET
        self._frame = b""
        self._waits_ms = None


def framed(message):
    """A message as it goes over the line."""
    body = bytes((len(message) >> 8, len(message) & 0xFF)) + message + bytes((_ETX,))
    return bytes((_STX,)) + body + bytes((_check(body),))


def _check(data):
    value = 0
    for byte in data:
        value ^= byte
    return value
