"""Magnetic card writer of an issuing desk: commands after ESC out, what the device and its cards say in.

MSR605, MSR206, MSRE206 and their clones (MSR605 Programmer's Manual, revision B, sections 6 to 8). What is
written is read back. No I/O, no clock, no exception for what a device does; buffers are bounded and wiped.
"""

from terminal.drivers.magstripe import TRACK_1_LONGEST, TRACK_2_LONGEST

TRACK_3_LONGEST = 107  # characters with sentinels and LRC (ISO/IEC 4909)
ANSWER_MS = 500
RESET_MS = 100  # a reset isn't answered; what comes until then is of before
SWIPE_MS = 30000  # so long a card is waited for
BLOCK_MS = 1000  # a card's data that stop for so long are over
TRIES = 3  # of what needs no card
NOISE_BYTES = 64  # so many bytes that are no answer: this is no card writer
_LONGEST_BLOCK = 256  # three tracks, their marks and the end

# What went wrong, of Failed.reason.
SILENT, NOISE, DAMAGED, LYING, REFUSED, FORMAT, CARD, BAD_SWIPE, NO_CARD, DIFFERENT, CANCELLED = (
    "silent",  # no answer, each time it was asked
    "noise",  # something else is on this line
    "damaged",  # a card's data came with bytes missing or wrong
    "lying",  # an answer to another command, or one that can't be
    "refused",  # it can't do this
    "format",  # it didn't understand
    "card",  # the card couldn't be read or written
    "swipe",  # it was drawn unevenly or the wrong way
    "no card",  # none came in time
    "different",  # the card doesn't hold what was written
    "cancelled",
)

_ESC, _FILE_SEPARATOR, _BLOCK_BEGINS, _BLOCK_ENDS = 0x1B, 0x1C, ord("s"), ord("?")
_YES, _NO = ord("0"), ord("A")
_UNSURE = (SILENT, NOISE, DAMAGED, LYING, CARD, BAD_SWIPE)  # after these a card may be written, or half so
_STATUS = {0x31: CARD, 0x32: FORMAT, 0x34: REFUSED, 0x39: BAD_SWIPE}

_RESET, _TEST, _MODEL, _FIRMWARE = b"\x1ba", b"\x1be", b"\x1bt", b"\x1bv"
_READ, _WRITE, _ERASE = b"\x1br", b"\x1bw\x1bs", b"\x1bc"
_HIGH, _LOW, _WHICH = b"\x1bx", b"\x1by", b"\x1bd"
OFF, ON, GREEN, YELLOW, RED = b"\x1b\x81", b"\x1b\x82", b"\x1b\x83", b"\x1b\x84", b"\x1b\x85"

# Answers: nothing, a byte that is awaited, yes or no, two or eight letters, and those after a swipe.
_PAUSE, _EXACT, _YES_OR_NO, _TWO, _EIGHT, _ERASED, _WRITTEN, _DATA = range(8)
_OPTIONAL = (_TWO, _EIGHT)  # clones leave them out
_SWIPED = (_ERASED, _WRITTEN, _DATA)

# Steps of conversations: what is sent, what is answered, the byte that is awaited.
_GREETING = (_RESET, _PAUSE, 0), (_TEST, _EXACT, ord("y"))
_BEGINNING = _GREETING + ((_RESET, _PAUSE, 0), (_MODEL, _TWO, 0), (_FIRMWARE, _EIGHT, 0))
_READING = ((_READ, _DATA, 0),)

# (start sentinels, longest data, lowest and highest character) of a track
_TRACKS = (
    ("%", TRACK_1_LONGEST - 3, " ", "_"),
    (";", TRACK_2_LONGEST - 3, "0", "?"),
    (";+", TRACK_3_LONGEST - 3, "0", "?"),
)
_NOTHING_READ = (0x2A, 0x2B)  # after a track's mark, with clones: nothing on it, or nothing readable

# What the next byte is taken for.
_HUNT, _ESCAPED, _LETTERS, _BLOCK = range(4)


class Ready:
    """The device is there. model, firmware: as it says, "" when it doesn't."""

    def __init__(self, model, firmware):
        self.model = model
        self.firmware = firmware


class CardRead:
    """A card went through. tracks: three texts without sentinels, None for an empty track."""

    def __init__(self, tracks):
        self.tracks = tracks

    def __repr__(self):
        return "CardRead(hidden)"


class SwipeAgain:
    """The card is written; it has to go through once more, to be read back."""


class Verified:
    """The card holds what was written."""


class Done:
    """The card is erased, or the coercivity set."""


class Failed:
    """What was asked for came to nothing; reason: see above. written: the card may hold the new data."""

    def __init__(self, reason, written=False):
        self.reason = reason
        self.written = written

    def __repr__(self):
        return "Failed(%s, %s)" % (self.reason, self.written)


class StripeWriter:
    """begin() once; after Ready one of read(), write(), erase(), set_coercivity() at a time. Each ends with
    one event; write() says SwipeAgain before it. cancel() ends them early."""

    def __init__(self):
        self._buffer = bytearray(_LONGEST_BLOCK)
        self._out = b""
        self._ends_with = None
        self._was_late = False
        self._forget()
        self._hunt()

    # ---------------------------------------------------------------- what is asked for

    def begin(self, now_ms):
        """Out of whatever it was about, and who is it: Ready or Failed."""
        self._told = []
        self._converse(Ready, _BEGINNING, now_ms)

    def read(self, now_ms):
        """Wait for a card: CardRead or Failed."""
        self._converse(CardRead, _READING, now_ms)

    def write(self, tracks, now_ms):
        """Wait for a card, write these tracks (three texts without sentinels, None leaves one as it is), wait
        for it again, read it back: SwipeAgain, then Verified; or Failed. Raises ValueError for a text that
        doesn't fit its track."""
        data = b""
        for slot, text in enumerate(tracks):
            data += bytes((_ESC, slot + 1)) + (text.encode() if text else b"")
            if text and not _fits(text, slot):
                raise ValueError("track %d: too long, or has letters that it can't hold" % (slot + 1))
        if not any(tracks):
            raise ValueError("nothing to write")
        self._expected = tracks
        step = (_WRITE + data + bytes((_BLOCK_ENDS, _FILE_SEPARATOR)), _WRITTEN, 0)
        self._converse(Verified, (step,) + _READING, now_ms)

    def erase(self, now_ms, tracks=(1, 2, 3)):
        """Wait for a card and erase these of its tracks: Done or Failed."""
        which = 0
        for track in tracks:
            which |= 1 << (track - 1)
        self._converse(Done, ((_ERASE + bytes((which,)), _ERASED, 0),), now_ms)

    def set_coercivity(self, is_high, now_ms):
        """From now on for cards of high (2750 Oe and more) or low coercivity (300 Oe): Done or Failed."""
        command, letter = (_HIGH, "H") if is_high else (_LOW, "L")
        self._converse(Done, ((command, _YES_OR_NO, 0), (_WHICH, _EXACT, ord(letter))), now_ms)

    def light(self, lamps):
        """OFF, ON, GREEN, YELLOW or RED; never answered."""
        assert self._ends_with is None, "it would take this for the end of a wait"
        self._out += lamps

    def cancel(self, now_ms):
        """No card will come: Failed(CANCELLED), or what else is wrong."""
        if self._ends_with is not None:
            self._give_up(CANCELLED, now_ms)

    @property
    def is_busy(self):
        """Whether something is under way."""
        return self._ends_with is not None

    # ---------------------------------------------------------------- what a driver does

    def to_send(self):
        out, self._out = self._out, b""
        return out

    def deadline_ms(self):
        return self._waits_ms

    def feed(self, data, now_ms):
        events = self.tick(now_ms)
        for byte in data:
            self._take(byte, now_ms, events)
        return events

    def tick(self, now_ms):
        events = []
        if self._waits_ms is not None and now_ms >= self._waits_ms:
            self._timed_out(now_ms, events)
        return events

    # ---------------------------------------------------------------- conversations

    def _converse(self, ends_with, steps, now_ms):
        assert self._ends_with is None, "one thing at a time"
        self._ends_with = ends_with
        self._left = steps
        self._tries = TRIES
        self._put(now_ms)

    def _put(self, now_ms):
        """The first step of those that are left."""
        self._hunt()
        self._was_late = False
        self._noise = 0
        self._tries -= 1
        self._out += self._left[0][0]
        self._wait(now_ms)

    def _wait(self, now_ms):
        answer = self._left[0][1]
        longest_ms = RESET_MS if answer == _PAUSE else SWIPE_MS if answer in _SWIPED else ANSWER_MS
        self._waits_ms = now_ms + longest_ms

    def _step_done(self, now_ms, events):
        self._left = self._left[1:]
        self._tries = TRIES
        if self._left:
            self._put(now_ms)
        elif self._ends_with == Failed:
            self._fail(self._reason, events)
        elif self._ends_with == Ready:
            self._end(Ready(*self._told), events)
        else:
            self._end(self._ends_with(), events)

    def _end(self, event, events):
        self._forget()
        self._ends_with = None
        events.append(event)

    def _forget(self):
        self._left = ()
        self._waits_ms = None
        self._reason = None
        self._told = []
        self._expected = None
        self._written = False

    def _fail(self, reason, events):
        self._end(Failed(reason, self._written or (self._expected is not None and reason in _UNSURE)), events)

    def _give_up(self, reason, now_ms):
        """Take it out of what it is about, which it may do for ever; then Failed."""
        self._wipe()
        if self._ends_with == Failed:
            return  # already
        self._reason = reason
        self._ends_with = Failed
        self._left = _GREETING
        self._tries = TRIES
        self._put(now_ms)

    def _babbles(self, now_ms, events):
        """More data than a card has, or again some that nobody asked for."""
        self._wipe()
        if self._ends_with == Failed:
            self._fail(self._reason, events)
        else:
            self._give_up(NOISE, now_ms)

    def _timed_out(self, now_ms, events):
        answer = self._left[0][1]
        if answer == _PAUSE:
            self._step_done(now_ms, events)
        elif self._state == _BLOCK:
            self._give_up(DAMAGED, now_ms)
        elif answer in _SWIPED:
            self._give_up(NO_CARD, now_ms)
        elif self._tries and not self._count:
            self._put(now_ms)
        elif answer in _OPTIONAL:
            self._lettered(now_ms, events)
        else:
            self._fail(NOISE if self._reason == NOISE else SILENT, events)

    # ---------------------------------------------------------------- bytes

    def _take(self, byte, now_ms, events):
        if self._ends_with is None or self._left[0][1] == _PAUSE:
            return  # late, of something that was given up
        if self._state == _HUNT:
            if byte == _ESC:
                self._state = _ESCAPED
            else:
                self._noisy(now_ms)
        elif self._state == _ESCAPED:
            self._escaped(byte, now_ms, events)
        else:
            self._collect(byte, now_ms, events)

    def _noisy(self, now_ms):
        self._noise += 1
        if self._noise > NOISE_BYTES:
            self._give_up(NOISE, now_ms)

    def _escaped(self, byte, now_ms, events):
        answer = self._left[0][1]
        self._state = _HUNT
        if byte == _ESC:
            self._state = _ESCAPED
        elif byte == _BLOCK_BEGINS:
            self._state = _BLOCK
            self._count = 0
            self._waits_ms = now_ms + BLOCK_MS
        elif answer in _OPTIONAL:
            self._state = _LETTERS
            self._buffer[0] = byte
            self._count = 1
        else:
            self._answered(byte, now_ms, events)

    def _collect(self, byte, now_ms, events):
        buffer, count = self._buffer, self._count
        if count == _LONGEST_BLOCK:
            self._babbles(now_ms, events)
            return
        buffer[count] = byte
        self._count = count = count + 1
        if self._state == _BLOCK:
            self._waits_ms = now_ms + BLOCK_MS
            if count > 2 and buffer[count - 3] == _FILE_SEPARATOR:
                self._block(now_ms, events)
        elif count == (2 if self._left[0][1] == _TWO else 8):
            self._lettered(now_ms, events)

    def _lettered(self, now_ms, events):
        """All letters of a model (an S comes after it) or a version, or all that came."""
        count = 1 if self._left[0][1] == _TWO else 8
        self._told.append(_letters(memoryview(self._buffer)[: min(count, self._count)]))
        self._step_done(now_ms, events)

    def _hunt(self):
        self._state = _HUNT
        self._count = 0

    def _wipe(self):
        for place in range(len(self._buffer)):
            self._buffer[place] = 0
        self._hunt()

    # ---------------------------------------------------------------- answers

    def _answered(self, byte, now_ms, events):
        """A byte after ESC."""
        command, answer, awaited = self._left[0]
        if answer == _EXACT:
            if byte == awaited:
                self._step_done(now_ms, events)
            elif command == _WHICH:
                self._fail(LYING, events)  # else late, of something before the reset
        elif byte == _YES and answer != _DATA:
            self._written = self._written or answer == _WRITTEN
            if answer == _WRITTEN:
                events.append(SwipeAgain())
            self._step_done(now_ms, events)
        elif byte == _NO and answer != _WRITTEN:
            self._fail(REFUSED, events)
        else:
            self._fail(_STATUS.get(byte, LYING), events)

    def _block(self, now_ms, events):
        """A card's data are whole: tracks, `?`, FS, ESC, status."""
        if self._left[0][1] != _DATA:
            self._wipe()  # late, of a card that nobody waited for
            if self._was_late:
                self._babbles(now_ms, events)
            else:
                self._was_late = True
                self._wait(now_ms)
            return
        data = memoryview(self._buffer)[: self._count - 3]
        good = self._buffer[self._count - 2] == _ESC
        status = self._buffer[self._count - 1]
        tracks = tracks_of(data) if good and status == _YES else None
        self._wipe()
        if not good:
            self._fail(DAMAGED, events)
        elif status != _YES:
            self._fail(_STATUS.get(status, LYING), events)
        elif tracks is None:
            self._fail(DAMAGED, events)
        elif self._ends_with == CardRead:
            self._end(CardRead(tracks), events)
        elif _same(self._expected, tracks):
            self._step_done(now_ms, events)
        else:
            self._fail(DIFFERENT, events)


def _fits(text, slot):
    _, longest, lowest, highest = _TRACKS[slot]
    for letter in text:
        if not lowest <= letter <= highest or letter in "?%" or (slot and letter == ";"):
            return False
    return len(text) <= longest


def _letters(data):
    for byte in data:
        if not 0x20 <= byte <= 0x7E:
            return ""
    return str(bytes(data), "ascii").strip()


def _same(written, tracks):
    """Whether the tracks hold what was written on them; others may hold anything."""
    return all(tracks[slot] == text for slot, text in enumerate(written) if text)


def tracks_of(data):
    """The three tracks of a card's data (manual, section 7), without FS and status; None: they can't be."""
    end = len(data) - 1
    if end < 0 or data[end] != _BLOCK_ENDS:
        return None
    tracks = [None, None, None]
    slot = -1
    place = begins = 0
    while place < end:
        if data[place] != _ESC:
            place += 1
            continue
        mark = data[place + 1]
        if not _take_track(tracks, slot, data[begins:place]):
            return None
        if slot + 1 < mark <= 3:
            slot = mark - 1
        elif mark not in _NOTHING_READ or begins != place:
            return None
        place += 2
        begins = place
    return tuple(tracks) if _take_track(tracks, slot, data[begins:end]) else None


def _take_track(tracks, slot, data):
    """Put a track's characters, sentinels and all, in their place; False: no track can be so."""
    if not len(data):
        return True
    if slot < 0 or len(data) < 2 or max(data) > 0x7E:
        return False
    text = str(bytes(data), "ascii")
    if text[0] not in _TRACKS[slot][0] or text[-1] != "?":
        return False
    if len(text) == 2 or text[1:-1] == "E":  # nothing on it; E: nothing that can be read
        return True
    tracks[slot] = text[1:-1]
    return _fits(tracks[slot], slot)
