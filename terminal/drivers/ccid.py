"""Contact card reader on a serial line: CCID messages in the frames of a GemPC Twin.

The reader echoes what it is sent, answers, and says by itself that a card came or went. It carries T=0
commands and T=1 blocks as they are; `chip_blocks` makes them. USB CCID 1.1 clause 6. No I/O, no clock;
the buffer is bounded and wiped.
"""

from terminal.drivers import Asking, Hidden, Reason, exclusive_or, wipe

LONGEST_DATA = 261  # of one message: 5 bytes of head, 255 of data, one more
ANSWER_MS = 2000
SLOW_MS = 5000  # more, each time the reader says that the card needs it
LONGEST_MS = 30000  # of one command, however often that is said: no card of ours computes for so long
TRIES = 3  # of what changes nothing in the card
NOISE_BYTES = 600

SILENT, DAMAGED, NO_CARD, MUTE, REFUSED, LYING, NOISE = (
    "silent",
    "damaged",
    "no card",
    "mute",  # a card is there, and says nothing: upside down, broken, another kind
    "refused",
    "lying",
    "noise",
)

_SYNC, _ACK, _NAK = 0x03, 0x06, 0x15
_MOVED, _GONE, _CAME = 0x50, 0x02, 0x03
_HEAD_BYTES = 10
_POWER_ON, _POWER_OFF, _STATUS, _TRANSFER = 0x62, 0x63, 0x65, 0x6F
_FIVE_VOLTS = 1  # class A, which every card takes
_DATA, _SLOT = 0x80, 0x81
_ANSWERS = {_POWER_ON: _DATA, _POWER_OFF: _SLOT, _STATUS: _SLOT, _TRANSFER: _DATA}
_FAILED, _MORE_TIME = 0x40, 0x80  # of the status byte
_NO_CARD_BITS = 0x02
_NO_CARD_ERROR, _MUTE_ERROR = 0xFB, 0xFE

_QUIET, _KIND, _HEAD, _BODY, _CHECK, _MOVE, _NAK_CHECK = range(7)


class Present:
    """begin() has found the reader; is_in: whether a card lies in it."""

    def __init__(self, is_in):
        self.is_in = is_in


class Moved:
    """A card came (is_in) or went."""

    def __init__(self, is_in):
        self.is_in = is_in


class Powered:
    """The card woke up. atr: its answer to reset."""

    def __init__(self, atr):
        self.atr = atr


class Off:
    """The card has no power any more."""


class Block(Hidden):
    """What the card answered to transmit()."""

    def __init__(self, data):
        self.data = data


class Failed(Reason):
    """What was asked came to nothing; reason: see above."""


class Ccid(Asking):
    """One command at a time: begin(), power_on(), transmit(), power_off(). Moved comes whenever it
    happens."""

    def __init__(self):
        self._buffer = bytearray(_HEAD_BYTES + LONGEST_DATA)
        self._message = b""
        self._kind = None
        self._sequence = 0
        self._tries = 0
        self._until_ms = 0
        self._noise = 0
        self._count = 0
        self._rest()

    @property
    def is_busy(self):
        return self._kind is not None

    def begin(self, now_ms):
        """Is the reader there? Present or Failed."""
        self._ask(_STATUS, b"", now_ms)

    def power_on(self, now_ms):
        """Powered or Failed."""
        self._ask(_POWER_ON, b"", now_ms)

    def power_off(self, now_ms):
        """Off or Failed."""
        self._ask(_POWER_OFF, b"", now_ms)

    def transmit(self, block, now_ms):
        """A T=0 command or T=1 block to the card: Block or Failed. Never sent twice by itself."""
        assert len(block) <= LONGEST_DATA, "longer than the reader's buffer"
        self._ask(_TRANSFER, block, now_ms)

    # ---------------------------------------------------------------- one command

    def _timed_out(self, now_ms, events):
        self._rest()
        if self._tries and self._kind != _TRANSFER and now_ms < self._until_ms:
            self._put(now_ms)
        else:
            self._failed(SILENT, events)

    def _ask(self, kind, data, now_ms):
        assert self._kind is None, "one command at a time"
        self._kind = kind
        self._sequence = (self._sequence + 1) & 0xFF
        length = len(data)
        first = _FIVE_VOLTS if kind == _POWER_ON else 0
        head = bytes((kind, length & 0xFF, length >> 8, 0, 0, 0, self._sequence, first, 0, 0))
        self._message = head + data
        self._tries = TRIES
        self._noise = 0
        self._until_ms = now_ms + LONGEST_MS
        self._put(now_ms)

    def _put(self, now_ms):
        self._tries -= 1
        self._out += framed(self._message)
        self._waits_ms = now_ms + ANSWER_MS

    def _done(self, event, events):
        self._kind = None
        self._message = b""
        self._waits_ms = None
        events.append(event)

    def _failed(self, reason, events):
        self._done(Failed(reason), events)

    # ---------------------------------------------------------------- frames

    def _take(self, byte, now_ms, events):
        state = self._state
        if state == _QUIET:
            self._begin_frame(byte, now_ms, events)
        elif state == _MOVE:
            self._rest()
            if byte in (_GONE, _CAME):
                events.append(Moved(byte == _CAME))
        elif state == _KIND:
            self._check = _SYNC ^ byte
            if byte == _ACK:
                self._state = _HEAD
                self._count = 0
            elif byte == _NAK:
                self._state = _NAK_CHECK
            else:
                self._rest()
        elif state == _NAK_CHECK:
            self._rest()
            if self._kind is not None and byte == _SYNC ^ _NAK:
                self._waits_ms = now_ms  # it has heard nothing: once more, if that is allowed
                events += self.tick(now_ms)
        elif state == _CHECK:
            self._end_frame(byte == self._check, now_ms, events)
        else:
            self._collect(byte, events)

    def _begin_frame(self, byte, now_ms, events):
        if byte == _SYNC:
            self._state = _KIND
        elif byte == _MOVED:
            self._state = _MOVE
        else:
            self._noise += 1
            if byte & 0x80 and self._kind is not None:
                self._wait_longer(now_ms)
        if self._noise > NOISE_BYTES and self._kind is not None:
            self._failed(NOISE, events)

    def _collect(self, byte, events):
        self._buffer[self._count] = byte
        self._count += 1
        self._check ^= byte
        if self._state == _HEAD and self._count == _HEAD_BYTES:
            low, high, more, most = self._buffer[1:5]
            self._length = low | high << 8
            if more or most or self._length > LONGEST_DATA:
                self._rest()
                return
            self._state = _BODY
        if self._state == _BODY and self._count == _HEAD_BYTES + self._length:
            self._state = _CHECK

    def _end_frame(self, good, now_ms, events):
        count = self._count
        message = bytes(memoryview(self._buffer)[:count])
        self._rest()
        if self._kind is None or message == self._message:
            return  # late; or its echo
        self._noise = 0
        if not good:
            self._damaged(now_ms, events)
        elif message[6] == self._sequence:
            self._answered(message, now_ms, events)

    def _damaged(self, now_ms, events):
        """An echo that isn't ours, or an answer: ask again where that does no harm."""
        if self._kind == _TRANSFER or not self._tries:
            self._failed(DAMAGED, events)
        else:
            self._put(now_ms)

    def _wait_longer(self, now_ms):
        """The card asks for time."""
        self._waits_ms = min(now_ms + SLOW_MS, self._until_ms)

    def _rest(self):
        """No frame any more, or only a part of one: it may be of a card."""
        wipe(self._buffer, self._count)
        self._state = _QUIET
        self._count = 0
        self._length = 0
        self._check = 0

    # ---------------------------------------------------------------- answers

    def _answered(self, message, now_ms, events):
        kind, status, error = message[0], message[7], message[8]
        if status & 0xC0 == _MORE_TIME:
            self._wait_longer(now_ms)
        elif kind != _ANSWERS[self._kind]:
            self._failed(LYING, events)
        elif self._kind == _STATUS:
            self._done(Present(status & 0x03 != _NO_CARD_BITS), events)
        elif status & _FAILED:
            is_away = error == _NO_CARD_ERROR or status & 0x03 == _NO_CARD_BITS
            self._failed(NO_CARD if is_away else MUTE if error == _MUTE_ERROR else REFUSED, events)
        elif self._kind == _POWER_ON:
            self._done(Powered(message[_HEAD_BYTES:]), events)
        elif self._kind == _POWER_OFF:
            self._done(Off(), events)
        else:
            self._done(Block(message[_HEAD_BYTES:]), events)


def framed(message):
    """A CCID message as it goes over the line."""
    return bytes((_SYNC, _ACK)) + message + bytes((exclusive_or(message, _SYNC ^ _ACK),))
