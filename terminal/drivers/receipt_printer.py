"""A receipt printer that speaks ESC/POS: bitmaps strip by strip, its state in between, cut and drawer.

Any such printer prints any script, because lines come as dots. A receipt counts as printed when the
printer says so after all of it (GS r); paper that ends in the middle is told, and the receipt begun
again. No I/O, no clock; strips are asked for one by one, so a receipt needs no memory of its own.
"""

from terminal.drivers import Asking, Reason

INIT = b"\x1b@"
CUT = b"\x1dVB\x00"  # feeds to the cutter, and leaves a bridge
TEAR_FEED = b"\x1bd\x03"  # between print head and tear bar, where nothing cuts
DRAWER = b"\x1bp\x00\x19\xfa"  # pin 2: 50 ms on, 500 ms off
_PAPER_AFTER = b"\x1dr\x01"  # answered when all before it is printed
_STATES = (b"\x10\x04\x02", b"\x10\x04\x04")  # why it is offline, paper: answered at once
ROWS = 24  # of a strip at most
STATE_MS = 1000
PRINT_MS = 15000  # from the last strip to the answer: two hand's breadths of paper on a slow head
STALL_MS = 15000  # a printer that holds the line takes up the next strip within this
TRIES = 2  # of asking how it is
_BITS_A_BYTE = 11  # of a serial line, with a margin: buffers overrun without a word

PRINTED_OUT, PAPER_OUT, COVER_OPEN, BROKEN, SILENT = (
    "printed",
    "paper out",
    "cover open",
    "broken",  # cutter, head or temperature: somebody has to look
    "silent",
)

# Answers to DLE EOT are 0xx1xx10, to GS r 0xx0xxxx. What a printer tells by itself (GS a, which a switch in
# it may turn on) are four bytes: 0xx1xx00, and three that look like answers to GS r.
_REALTIME_MASK, _REALTIME_BITS = 0x93, 0x12
_COVER, _STOPPED, _ERROR = 0x04, 0x20, 0x40
_PAPER_GONE, _PAPER_NEAR = 0x60, 0x0C
_AFTER_MASK, _AFTER_GONE, _AFTER_NEAR = 0x90, 0x0C, 0x03
_NEWS_BITS, _NEWS_COVER, _NEWS_BYTES = 0x10, 0x20, 4
_NEWS_PAPER = 3  # which of them
NEWS_MS = 500  # they come together

_IDLE, _ASKING, _SENDING, _WAITING = range(4)


class Done:
    """The receipt came out. is_near_end: the roll will end soon."""

    def __init__(self, is_near_end):
        self.is_near_end = is_near_end


class Stopped(Reason):
    """It didn't, or not whole; reason: see above."""


class ReceiptPrinter(Asking):
    """print() with strips, then Done or Stopped. width: dots of a line (384 on 58 mm, 576 on 80
    mm); baud: of the line, None when the printer holds the line itself while it is busy, then more()
    is called whenever the line is free; cuts, has_after: whether it has a cutter and knows GS r."""

    def __init__(self, width=384, baud=115200, cuts=True, has_after=True):
        assert width % 8 == 0, "lines of whole bytes"
        self.width = width
        self._bytes_a_second = baud and baud // _BITS_A_BYTE
        self._cuts = cuts
        self._has_after = has_after
        self._state = _IDLE
        self._strips = None
        self._opens_drawer = False
        self._asked = 0
        self._tries = 0
        self._is_near_end = False
        self._news = 0  # bytes of what it tells by itself, of one that isn't whole
        self._news_ms = 0
        self._is_new = True  # nothing was printed yet: who knows what the printer waits for

    @property
    def is_busy(self):
        return self._state != _IDLE

    def print(self, strips, now_ms, opens_drawer=False):
        """Print what an iterator gives: bytes of up to ROWS lines each, dots of the left first, 1
        is black."""
        assert not self.is_busy, "one receipt at a time"
        self._strips = strips
        self._opens_drawer = opens_drawer
        self._is_near_end = False
        self._ask(0, now_ms)
        self._tries = TRIES

    def more(self, now_ms):
        """The line is free: the next strip, when the printer holds the line by itself."""
        if self._state == _SENDING and self._bytes_a_second is None and not self._out:
            self._send(now_ms)

    def stop(self):
        """Give it up; nothing is told."""
        self._stop(SILENT, [])

    def feed(self, data, now_ms):
        events = self.tick(now_ms)
        for byte in data:
            self._take(byte, now_ms, events)
        return events

    # ---------------------------------------------------------------- how it goes on

    def _timed_out(self, now_ms, events):
        if self._state == _SENDING and self._bytes_a_second is not None:
            self._send(now_ms)
        elif self._state == _ASKING and self._tries > 1:
            self._tries -= 1
            self._ask(self._asked, now_ms)
        else:
            self._stop(SILENT, events)

    def _ask(self, question, now_ms):
        self._state = _ASKING
        self._asked = question
        self._out += _STATES[question]
        self._waits_ms = now_ms + STATE_MS

    def _send(self, now_ms):
        """The next strip, and when the one after it may go."""
        strip = next(self._strips, None)
        if strip is None:
            self._finish(now_ms)
            return
        self._put(raster(strip, self.width), now_ms)

    def _put(self, data, now_ms):
        self._out = self._out + data if self._out else data
        if self._bytes_a_second is None:
            self._waits_ms = now_ms + STALL_MS
        else:
            self._waits_ms = now_ms + len(data) * 1000 // self._bytes_a_second + 1

    def _finish(self, now_ms):
        self._strips = None
        self._out += CUT if self._cuts else TEAR_FEED
        if self._opens_drawer:
            self._out += DRAWER
        self._out += _PAPER_AFTER if self._has_after else _STATES[1]
        self._state = _WAITING
        self._waits_ms = now_ms + PRINT_MS

    def _stop(self, reason, events):
        self._state = _IDLE
        self._waits_ms = None
        self._strips = None
        self._out = b""
        events.append(Stopped(reason))

    def _is_news(self, byte, now_ms, events):
        """Whether a byte is of what it tells by itself: that the cover is open, or the paper gone."""
        if self._news and now_ms >= self._news_ms + NEWS_MS:
            self._news = 0
        if byte & _REALTIME_MASK == _NEWS_BITS:
            self._news = 1
            self._news_ms = now_ms
            trouble = COVER_OPEN if byte & _NEWS_COVER else None
        elif self._news and not byte & _AFTER_MASK:
            self._news = (self._news + 1) % _NEWS_BYTES
            trouble = PAPER_OUT if self._news == _NEWS_PAPER and byte & _AFTER_GONE else None
        else:
            return False
        if trouble and self._state in (_SENDING, _WAITING):
            self._stop(trouble, events)
        return True

    def _take(self, byte, now_ms, events):
        if self._is_news(byte, now_ms, events):
            return
        is_realtime = byte & _REALTIME_MASK == _REALTIME_BITS
        if self._state == _ASKING and is_realtime:
            self._told(byte, now_ms, events)
        elif self._state == _WAITING and is_realtime == (not self._has_after):
            if not is_realtime and byte & _AFTER_MASK:
                return  # no answer of a printer
            gone = byte & (_PAPER_GONE if is_realtime else _AFTER_GONE)
            near = byte & (_PAPER_NEAR if is_realtime else _AFTER_NEAR)
            if gone:
                self._stop(PAPER_OUT, events)
                return
            self._state = _IDLE
            self._waits_ms = None
            events.append(Done(bool(near) or self._is_near_end))
        elif self._state == _SENDING and is_realtime and byte & _PAPER_GONE:
            self._stop(PAPER_OUT, events)  # some tell by themselves

    def _told(self, byte, now_ms, events):
        if self._asked == 0 and byte & _COVER:
            self._stop(COVER_OPEN, events)
        elif self._asked == 0 and byte & _ERROR:
            self._stop(BROKEN, events)
        elif (self._asked == 0 and byte & _STOPPED) or (self._asked == 1 and byte & _PAPER_GONE):
            self._stop(PAPER_OUT, events)
        elif self._asked == 0:
            self._tries = TRIES
            self._ask(1, now_ms)
        else:
            self._is_near_end = bool(byte & _PAPER_NEAR)
            self._state = _SENDING
            if self._is_new:
                # The end of a picture that a terminal without power left unfinished; nothing by itself.
                self._is_new = False
                self._put(bytes(ROWS * self.width // 8) + INIT, now_ms)
            else:
                self._out += INIT
                self._send(now_ms)


def raster(strip, width):
    """GS v 0 with these lines, white columns on the right left out."""
    line = width // 8
    rows = len(strip) // line
    assert 0 < rows <= ROWS, "a strip has up to ROWS lines"
    assert rows * line == len(strip), "whole lines"
    used = 1
    for at in range(0, len(strip), line):
        place = line - 1
        while place >= used and not strip[at + place]:
            place -= 1
        if place >= used:
            used = place + 1
    data = bytearray(8 + used * rows)
    data[:8] = bytes((0x1D, 0x76, 0x30, 0, used, 0, rows, 0))
    to = 8
    for at in range(0, len(strip), line):
        for place in range(at, at + used):
            data[to] = strip[place]
            to += 1
    return data
