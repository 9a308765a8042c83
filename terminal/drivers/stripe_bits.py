"""Magnetic stripe head with clock and data lines: levels of its lines in, swipes out. ISO/IEC 7811-2.

A bit is the inverse of a track's data line when its clock falls; a bare head has neither line and tells the
times between changes of flux (F2F). Characters come lowest bit first, each with odd parity, either way round.
No I/O, no clock, no exception here; buffers are bounded and wiped after use.
"""

from terminal.drivers import wipe
from terminal.drivers.magstripe import TRACK_1_LONGEST, TRACK_2_LONGEST, BadSwipe, Swipe

# The lines of a head as bits of one byte, a snapshot of their levels. The card line is low while one passes.
CARD, CLOCK_1, DATA_1, CLOCK_2, DATA_2 = 1, 2, 4, 8, 16
IDLE = CARD | CLOCK_1 | DATA_1 | CLOCK_2 | DATA_2

GAP_MS = (
    150  # a swipe without a bit for so long is over, whatever the card line says; the slowest has one in 3
)
NOISE_BITS = 40  # fewer bits without a track are a glitch of the lines; no track of a card is shorter
_INCHES = 4  # a card has 3.375 of stripe; a head that clocks on is out of order

# (clock, data, bits a character, lowest character, start sentinel, longest data, bits kept)
_TRACKS = (
    (CLOCK_1, DATA_1, 7, 0x20, ord("%") - 0x20, TRACK_1_LONGEST - 3, 210 * _INCHES),
    (CLOCK_2, DATA_2, 5, 0x30, ord(";") - 0x30, TRACK_2_LONGEST - 3, 75 * _INCHES),
)
_END = ord("?")
_LEARNED_FROM = 8  # changes of flux, of the zeros that each stripe begins with


class Flux:
    """The bits of one track out of the times between changes of flux: a zero is one whole bit long, a one is
    two halves. The length of a bit is learned, and follows the hand."""

    def __init__(self):
        self.clear()

    def clear(self):
        """The next time is the first of a card."""
        self._first = []
        self._whole = 0
        self._half = 0

    def bit(self, time):
        """0, 1, or None while there is none yet. time: since the last change, in any unit small enough."""
        if not self._whole:
            self._first.append(time)
            if len(self._first) == _LEARNED_FROM:
                self._whole = sorted(self._first)[_LEARNED_FROM // 2]
            return None
        whole, half = self._whole, self._half
        is_short = time * 4 < whole * 3
        self._half = 0
        if half and is_short:
            self._whole = (whole * 3 + half + time) // 4
            return 1
        if is_short:
            self._half = time
            return None
        if time * 2 < whole * 3:  # longer ones have lost a change, and say nothing of the hand
            self._whole = (whole * 3 + time) // 4
        return 0


class StripeBits:
    """feed() snapshots of the lines as they change, or flux() of a bare head; tick() when deadline_ms() has
    come."""

    def __init__(self):
        self._bits = [bytearray((track[6] + 7) // 8) for track in _TRACKS]
        self._text = bytearray(TRACK_1_LONGEST)
        self._counts = [0, 0]
        self._flux = (Flux(), Flux())
        self._fluxes = False  # since the last swipe
        self._levels = IDLE
        self._last_ms = 0

    def feed(self, data, now_ms):
        """Take snapshots, one a byte, one at least for each edge of a clock; return a list of Swipe and
        BadSwipe, usually empty."""
        events = self.tick(now_ms)
        for levels in data:
            fell = self._levels & ~levels
            rose = levels & ~self._levels
            self._levels = levels
            if fell & CLOCK_1:
                self._bit(0, not levels & DATA_1)
            if fell & CLOCK_2:
                self._bit(1, not levels & DATA_2)
            if fell & (CLOCK_1 | CLOCK_2):
                self._last_ms = now_ms
            if rose & CARD:
                self._finish(events)
        return events

    def flux(self, slot, times, now_ms):
        """Take times between changes of flux of track 1 (slot 0) or 2 (slot 1); return a list like feed().

        Such a swipe ends by silence.
        """
        events = self.tick(now_ms)
        for time in times:
            value = self._flux[slot].bit(time)
            if value is not None:
                self._bit(slot, value)
            self._last_ms = now_ms
            self._fluxes = True
        return events

    def tick(self, now_ms):
        """Close a swipe whose clocks have stopped; return a list like feed()."""
        events = []
        deadline = self.deadline_ms()
        if deadline is not None and now_ms >= deadline:
            self._finish(events)
        return events

    def deadline_ms(self):
        """When tick() has something to do; None while no swipe is under way."""
        return self._last_ms + GAP_MS if self._fluxes or self._counts != [0, 0] else None

    def _bit(self, slot, value):
        count = self._counts[slot]
        if count < _TRACKS[slot][6]:
            if value:
                self._bits[slot][count >> 3] |= 1 << (count & 7)
            self._counts[slot] = count + 1

    def _finish(self, events):
        """One event for all bits since the last one, or none for nothing and for a glitch."""
        texts = [None, None]
        reasons = [None, None]
        for slot in range(2):
            texts[slot], reasons[slot] = self._decoded(slot)
        if texts[1] is not None:
            events.append(Swipe(texts[0], texts[1]))
        elif texts[0] is not None or max(self._counts) >= NOISE_BITS:
            events.append(BadSwipe(reasons[1] or reasons[0] or "missing"))
        for buffer in (self._bits[0], self._bits[1], self._text):
            wipe(buffer)
        self._counts = [0, 0]
        self._fluxes = False
        for flux in self._flux:
            flux.clear()

    # ---------------------------------------------------------------- one track

    def _decoded(self, slot):
        """(text, None), or (None, why not); (None, None) of a track without anything on it."""
        count = self._counts[slot]
        text, reason, length = self._one_way(slot, 0, 1)
        if text is None:
            other, why, reached = self._one_way(slot, count - 1, -1)
            if other is not None or reached > length:
                text, reason = other, why
        return text, reason

    def _one_way(self, slot, place, step):
        """(text, None, its length), or (None, reason, how many characters were good) from one end on.

        A track begins with the first bit that is set, or after more zeros than characters can have between
        them: what stands before is noise of the card's edge.
        """
        bits, left = self._bits[slot], self._counts[slot]
        most_zeros = 2 * (_TRACKS[slot][2] - 1)
        zeros = most_zeros + 1
        found = None, None, -2
        while left:
            if not bits[place >> 3] >> (place & 7) & 1:
                zeros += 1
            else:
                if zeros > most_zeros:
                    attempt = self._from(slot, place, step, left)
                    if attempt[0] is not None:
                        return attempt
                    if attempt[2] > found[2]:
                        found = attempt
                zeros = 0
            place += step
            left -= 1
        return found

    def _from(self, slot, place, step, left):
        """As _one_way(), beginning here."""
        _, _, width, lowest, start, longest, _ = _TRACKS[slot]
        bits = self._bits[slot]
        check = length = 0
        begun = ended = False
        while left >= width:
            value = ones = 0
            for at in range(width):
                if bits[place >> 3] >> (place & 7) & 1:
                    value |= 1 << at
                    ones += 1
                place += step
            left -= width
            value &= (1 << (width - 1)) - 1
            if not begun and (value != start or not ones & 1):
                return None, "end", -1  # no start sentinel
            if not ones & 1:
                return None, "parity", length
            check ^= value
            if ended:
                return self._closed(slot, length, check, place, step, left)
            character = value + lowest
            if character == _END:
                ended = True
            elif not begun:
                begun = True
            elif value == start:
                return None, "end", length
            elif length == longest:
                return None, "long", length
            else:
                self._text[length] = character
                length += 1
        return None, "end", length

    def _closed(self, slot, length, check, place, step, left):
        """The LRC came last: does it hold, and do zeros follow?"""
        if check:
            return None, "lrc", length
        if not length:
            return None, "empty", 0
        for _ in range(min(left, 2 * _TRACKS[slot][2] - 1)):
            if self._bits[slot][place >> 3] >> (place & 7) & 1:
                return None, "noise", length
            place += step
        return str(bytes(memoryview(self._text)[:length]), "ascii"), None, length
