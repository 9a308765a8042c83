"""Magnetic stripe reader on a serial line: bytes in, swipes out. ISO/IEC 7811 tracks 1 and 2 as ASCII.

The reader sends `%...?L;...?L` and CR: each track with start and end sentinel and LRC; `%E?` or `;E?` stands
for a track it could not read. A track 3 after them, which begins with `;` or `+`, is let pass.
No I/O, no clock, no exception here; buffers are bounded and wiped after use.
"""

from terminal.drivers import Hidden, Reason, wipe

TRACK_1_LONGEST = 79  # characters with sentinels and LRC (ISO/IEC 7811-2)
TRACK_2_LONGEST = 40
GAP_MS = 1000  # a swipe whose bytes stop for this long is over; one at 9600 baud takes 125 ms
SWIPE_LONGEST_BYTES = 512  # both tracks twice over; a reader that talks on without CR is babbling
NOISE_BYTES = 8  # so many bytes without a track are a swipe that went wrong; fewer are a glitch of the line

_LINE_ENDS = b"\r\n"
_END = ord("?")
_UNREADABLE = ord("E")  # alone between sentinels: the reader could not read this track

# start sentinel: (slot of the track, longest data, lowest and highest character); values start at the lowest
_TRACKS = {
    ord("%"): (0, TRACK_1_LONGEST - 3, 0x20, 0x5F),
    ord(";"): (1, TRACK_2_LONGEST - 3, 0x30, 0x3F),
}
_SECOND, _SECOND_SLOT = ord(";"), 1
_TRACK_3 = (2, TRACK_1_LONGEST - 3, 0x30, 0x3F)  # nothing of it is used

# What the next byte is taken for.
_OUTSIDE, _INSIDE, _CHECK, _MUTE = range(4)


class Swipe(Hidden):
    """A card went through. Tracks without sentinels and LRC; track 1 is None when missing or damaged."""

    def __init__(self, track1, track2):
        self.track1 = track1
        self.track2 = track2


class BadSwipe(Reason):
    """Something went through, but no track 2 can be trusted.

    reason: "lrc", "parity" (a byte no track has), "long", "end" (sentinel or LRC missing), "empty",
    "unreadable" (the reader said so), "missing" (no track 2), "noise".
    """


class MagneticStripe:
    """feed() bytes as they come, tick() when deadline_ms() has come."""

    def __init__(self):
        self._buffer = bytearray(TRACK_1_LONGEST - 3)
        self._reset()

    def feed(self, data, now_ms):
        """Take bytes, torn anywhere; return a list of Swipe and BadSwipe, usually empty."""
        events = self.tick(now_ms)
        for byte in data:
            self._take(byte, events)
            self._last_ms = now_ms
        return events

    def tick(self, now_ms):
        """Close a swipe whose bytes have stopped; return a list like feed()."""
        events = []
        deadline = self.deadline_ms()
        if deadline is not None and now_ms >= deadline:
            self._finish(events)
            self._reset()
        return events

    def deadline_ms(self):
        """When tick() has something to do; None while no swipe is under way."""
        return self._last_ms + GAP_MS if self._count else None

    def _take(self, byte, events):
        if byte in _LINE_ENDS:
            self._finish(events)
            self._reset()
            return
        self._count += 1
        if self._state == _MUTE:
            return
        if self._count > SWIPE_LONGEST_BYTES:
            self._finish(events)
            self._wipe()
            self._state = _MUTE  # until it stops or says CR: one event for a babbling reader
        elif self._state == _CHECK:
            self._check(byte)
        elif byte in _TRACKS:  # never a data character: inside a track it means that the end is missing
            if self._state == _INSIDE:
                self._fail("end")
            self._start(byte)
        elif self._state == _INSIDE:
            self._inside(byte)

    def _start(self, byte):
        self._track = _TRACK_3 if byte == _SECOND and self._second_was else _TRACKS[byte]
        self._length = 0
        self._lrc = byte - self._track[2]
        self._state = _INSIDE

    def _inside(self, byte):
        _, longest, lowest, highest = self._track
        if self._length and self._buffer[0] > highest and byte != _END:
            byte = 0  # letters after an E that this track's alphabet lacks
        if byte == _END and not self._length:
            self._fail("empty")  # an LRC after it is noise
        elif byte == _END and self._length == 1 and self._buffer[0] == _UNREADABLE:
            self._fail("unreadable")
        elif byte == _END:
            self._lrc ^= byte - lowest
            self._state = _CHECK
        elif not (lowest <= byte <= highest or (byte == _UNREADABLE and not self._length)):
            self._fail("parity")
        elif self._length == longest:
            self._fail("long")
        else:
            self._buffer[self._length] = byte
            self._length += 1
            self._lrc ^= byte - lowest

    def _check(self, byte):
        slot, _, lowest, _ = self._track
        self._second_was = self._second_was or slot == _SECOND_SLOT
        if byte - lowest == self._lrc:
            self._texts[slot] = str(bytes(memoryview(self._buffer)[: self._length]), "ascii")
            self._state = _OUTSIDE
        elif byte in _TRACKS:
            self._fail("end")
            self._start(byte)
        else:
            self._fail("lrc")

    def _fail(self, reason):
        if self._length or reason != "end":  # a start sentinel alone is noise
            self._second_was = self._second_was or self._track[0] == _SECOND_SLOT
        self._reasons[self._track[0]] = reason
        self._state = _OUTSIDE

    def _finish(self, events):
        """One event for all that came since the last one, or none for nothing and for a glitch."""
        if self._state == _MUTE:
            return
        if self._state != _OUTSIDE:
            self._fail("end")
        track1, track2, _ = self._texts
        if track2 is not None:
            events.append(Swipe(track1, track2))
        elif track1 is not None or self._reasons != [None, None, None]:
            events.append(BadSwipe(self._reasons[1] or self._reasons[0] or "missing"))
        elif self._count >= NOISE_BYTES:
            events.append(BadSwipe("noise"))

    def _reset(self):
        self._wipe()
        self._state = _OUTSIDE
        self._count = 0
        self._last_ms = 0

    def _wipe(self):
        wipe(self._buffer)
        self._track = None
        self._length = 0
        self._lrc = 0
        self._second_was = False
        self._texts = [None, None, None]
        self._reasons = [None, None, None]
