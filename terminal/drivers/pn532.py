"""Contactless reader PN532 on a serial line: frames in, cards and their answers out.

NXP UM0701-02: frames, acknowledgements and error frames 6.2.1, commands 7. One command at a time, each
acknowledged and then answered. No I/O, no clock; the buffer is bounded, and wiped after each frame.
"""

from terminal.drivers import Asking, Hidden, Reason, wipe

LONGEST_EXCHANGE = 253  # bytes to or from a card at once: what one APDU of 256 bytes less its frame allows
_LONGEST_FRAME = 3 + 262  # TFI, code, status, and the most that the chip's own buffer holds
_FRAME_END = 2  # check byte and postamble
ACK_MS = 60  # the chip acknowledges within 15 ms
ANSWER_MS = 1000  # a card may take half a second for its cryptography
TRIES = 3  # of what a card isn't asked to do twice by
NOISE_BYTES = 512  # so many bytes without a frame: this is no PN532

# What went wrong, of Failed.reason.
SILENT, DAMAGED, REFUSED, LYING, NOISE, GONE, CARD = (
    "silent",  # no acknowledgement, or no answer in time
    "damaged",  # the answer came damaged each time it was asked for
    "refused",  # an error frame: the chip didn't understand
    "lying",  # an answer to another command, or one that can't be
    "noise",  # something else is on this line
    "gone",  # the card has left the field
    "card",  # the card or the field didn't do it; Failed.status says what (table 14)
)

_HOST, _CHIP = 0xD4, 0xD5
_ERROR = 0x7F
_ACK = b"\x00\x00\xff\x00\xff\x00"
_NACK = b"\x00\x00\xff\xff\x00\x00"
_WAKE_UP = b"\x55\x55" + bytes(14)  # out of power down: two bytes, then time

_SAM, _VERSION, _FIELD, _LOOK, _EXCHANGE, _RELEASE = 0x14, 0x02, 0x32, 0x4A, 0x40, 0x52
# Asked one after the other at the start: normal mode, who are you, look for a card two times and no more.
_BEGINNING = (
    (_SAM, b"\x14\x01\x14\x01"),
    (_VERSION, b"\x02"),
    (_FIELD, b"\x32\x05\xff\x01\x02"),
)
_LOOK_106A = b"\x4a\x01\x00"  # one card, ISO/IEC 14443 type A
_RELEASE_ALL = b"\x52\x00"
_TIMED_OUT, _RELEASED, _DISAPPEARED = 0x01, 0x29, 0x2B  # of a card that was there
_STATUS, _MORE = 0x3F, 0x40  # of the status byte; an APDU's answer fits in one, so there never is more
_IS_CHIP = 0x20  # SAK: ISO/IEC 14443-4

# What the next byte is taken for.
_HUNT, _LENGTH, _EXTENDED, _BODY = range(4)


class Ready:
    """The reader is there. version: of its firmware, (1, 6)."""

    def __init__(self, version):
        self.version = version


class Card(Hidden):
    """A card lies on the reader. uid: 4, 7 or 10 bytes; is_chip: it takes APDUs; ats: what it says of itself
    then."""

    def __init__(self, uid, sak, atqa, ats):
        self.uid = uid
        self.sak = sak
        self.atqa = atqa
        self.ats = ats
        self.is_chip = bool(sak & _IS_CHIP)


class NoCard:
    """Looked for, and none was there."""


class Answer(Hidden):
    """What the card answered to exchange()."""

    def __init__(self, data):
        self.data = data


class Released:
    """The card was let go of."""


class Failed(Reason):
    """The command under way came to nothing; reason: see above. status: of the chip, 0 without one."""

    def __init__(self, reason, status=0):
        super().__init__(reason)
        self.status = status

    def __repr__(self):
        return "Failed(%s, %d)" % (self.reason, self.status)


class Pn532(Asking):
    """begin() once; after Ready one of look(), exchange(), release() at a time, each ends with one event."""

    def __init__(self):
        self._buffer = bytearray(_LONGEST_FRAME + _FRAME_END)
        self._command = None
        self._left_to_begin = ()
        self._version = (0, 0)
        self._noise = 0
        self._hunt()

    # ---------------------------------------------------------------- what is asked for

    def begin(self, now_ms):
        """Wake it and set it up: Ready or Failed."""
        self._left_to_begin = _BEGINNING[1:]
        self._send(_BEGINNING[0][1], now_ms)

    def look(self, now_ms):
        """Is a card there? Card, NoCard or Failed."""
        self._send(_LOOK_106A, now_ms)

    def exchange(self, data, now_ms):
        """Bytes to the card: an APDU, or a command of its own: Answer or Failed. Never sent twice."""
        assert len(data) <= LONGEST_EXCHANGE, "longer than the reader's buffer"
        self._send(b"\x40\x01" + data, now_ms)

    def release(self, now_ms):
        """Let go of the card, which may lie there still: Released or Failed."""
        self._send(_RELEASE_ALL, now_ms)

    @property
    def is_busy(self):
        """Whether a command is under way."""
        return self._command is not None

    # ---------------------------------------------------------------- one command

    def _send(self, command, now_ms):
        assert self._command is None, "one command at a time"
        self._command = command
        self._tries = TRIES
        self._noise = 0
        self._put(now_ms)

    def _put(self, now_ms):
        self._drop_frame()
        self._acknowledged = False
        self._tries -= 1
        wake_up = _WAKE_UP if self._command[0] == _SAM or self._tries < TRIES - 1 else b""
        self._out += wake_up + frame_of(self._command)
        self._waits_ms = now_ms + ACK_MS

    def _timed_out(self, now_ms, events):
        if self._acknowledged:
            self._out += _ACK  # stops what it is still about (7.1: the host aborts by an ACK)
        elif self._tries and self._command[0] != _EXCHANGE:
            self._put(now_ms)
            return
        self._failed(SILENT, events)

    def _done(self, event, events):
        self._command = None
        self._waits_ms = None
        events.append(event)

    def _failed(self, reason, events, status=0):
        self._drop_frame()
        self._left_to_begin = ()
        self._done(Failed(reason, status), events)

    # ---------------------------------------------------------------- frames

    def _take(self, byte, now_ms, events):
        if self._state == _HUNT:
            if byte == 0xFF and self._last == 0x00:
                self._state = _LENGTH
                self._count = 0
            self._last = byte
            self._noise += 1
            if self._noise > NOISE_BYTES and self._command is not None:
                self._failed(NOISE, events)
            return
        self._buffer[self._count] = byte
        self._count += 1
        if self._state == _BODY:
            if self._count == self._length + _FRAME_END:
                self._frame(now_ms, events)
        elif self._state == _EXTENDED:
            if self._count == 3:
                high, low, check = self._buffer[:3]
                self._expect((high << 8) + low, high + low + check)
        elif self._count == 2:
            self._lengths(now_ms, events)

    def _lengths(self, now_ms, events):
        length, check = self._buffer[:2]
        if (length, check) == (0xFF, 0xFF):
            self._state = _EXTENDED
            self._count = 0
        elif (length, check) == (0x00, 0xFF):
            self._hunt()
            self._noise = 0
            if self._command is not None and not self._acknowledged:
                self._acknowledged = True
                self._waits_ms = now_ms + ANSWER_MS
        else:
            self._expect(length, length + check)

    def _expect(self, length, check):
        """A body of so many bytes comes, if the check holds; 0 and more than there is room for are noise."""
        if check & 0xFF or not 0 < length < _LONGEST_FRAME:
            last = self._buffer[self._count - 1]
            self._hunt()
            self._last = last  # maybe the first half of a start code
            return
        self._state = _BODY
        self._length = length
        self._count = 0

    def _frame(self, now_ms, events):
        length = self._length
        body = bytes(memoryview(self._buffer)[:length])
        # A zero that was lost changes no sum: without a look at the postamble, the check byte would be data.
        good = not sum(self._buffer[: length + 1]) & 0xFF and not self._buffer[length + 1]
        self._drop_frame()
        if self._command is None or not self._acknowledged:
            return  # late, of a command that was given up
        self._noise = 0
        if good:
            self._answered(body, now_ms, events)
        elif self._tries > 0:
            self._tries -= 1
            self._out += _NACK  # the same answer again
            self._waits_ms = now_ms + ANSWER_MS
        else:
            self._failed(DAMAGED, events)

    def _hunt(self):
        self._state = _HUNT
        self._last = 0xFF
        self._count = 0
        self._length = 0

    def _drop_frame(self):
        """Wipe it, whole or not, and look for the next one."""
        wipe(self._buffer)
        self._hunt()

    # ---------------------------------------------------------------- answers

    def _answered(self, body, now_ms, events):
        code = self._command[0]
        if body[0] == _ERROR:
            self._failed(REFUSED, events)
        elif len(body) < 2 or body[0] != _CHIP or body[1] != code + 1:
            self._failed(LYING, events)
        elif code in (_SAM, _VERSION, _FIELD):
            self._begun(code, body[2:], now_ms, events)
        elif code == _LOOK:
            self._done(card_of(body[2:]), events) if card_of(body[2:]) else self._failed(LYING, events)
        else:
            self._of_card(code, body[2:], events)

    def _begun(self, code, told, now_ms, events):
        if code == _VERSION:
            if len(told) < 3:
                self._failed(LYING, events)
                return
            self._version = (told[1], told[2])
        left = self._left_to_begin
        if not left:
            self._done(Ready(self._version), events)
            return
        self._left_to_begin = left[1:]
        self._command = None
        self._send(left[0][1], now_ms)

    def _of_card(self, code, told, events):
        status = told[0] & _STATUS if told else 0
        if not told or told[0] & _MORE:
            self._failed(LYING, events)
        elif status in (_TIMED_OUT, _RELEASED, _DISAPPEARED):
            self._failed(GONE, events, status)
        elif status:
            self._failed(CARD, events, status)
        elif code == _RELEASE:
            self._done(Released(), events)
        else:
            self._done(Answer(told[1:]), events)


def frame_of(command):
    """A command (code and parameters) as it goes over the line."""
    length = len(command) + 1
    if length > 0xFF:
        head = b"\x00\x00\xff\xff\xff" + bytes((length >> 8, length & 0xFF, -(length + (length >> 8)) & 0xFF))
    else:
        head = b"\x00\x00\xff" + bytes((length, -length & 0xFF))
    return head + bytes((_HOST,)) + command + bytes((-(_HOST + sum(command)) & 0xFF, 0))


def card_of(told):
    """NoCard, or the Card that an answer to InListPassiveTarget tells of (7.3.5); None: it can't be one."""
    if told == b"\x00":
        return NoCard()
    if len(told) < 6 or told[0] != 1:
        return None
    atqa, sak, length = told[2] << 8 | told[3], told[4], told[5]
    uid, rest = told[6 : 6 + length], told[6 + length :]
    if length not in (4, 7, 10) or len(uid) != length:
        return None
    if not sak & _IS_CHIP:
        return None if rest else Card(uid, sak, atqa, b"")
    if not rest or rest[0] != len(rest):  # its first byte says how long the ATS is
        return None
    return Card(uid, sak, atqa, rest)
