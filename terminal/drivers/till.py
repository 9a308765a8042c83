"""The line to a cash register: frames with a check byte, acknowledged and repeated; for two profiles.

STX, message, ETX, LRC; ACK or NAK for each; SOH, 20 letters, EOT in between tell how far things are.
What the messages say is `till_columns` (ECR17) and `till_fields` (pipes). A message that comes again
because our ACK was lost is acknowledged again and not asked twice. No I/O, no clock; the buffer is
bounded.
"""

from terminal.drivers import Reason, Speaking, exclusive_or

LONGEST_MESSAGE = 1100  # bytes between STX and ETX: the longest of either profile has 1 024 and a head
ACK_MS = 2000  # before an answer of ours is sent once more
TRIES = 3
GAP_MS = 1000  # a message whose bytes stop for this long is given up
PROGRESS_LETTERS = 20
NOISE_BYTES = 512  # so many bytes outside of frames: this is no till

_SOH, _STX, _ETX, _EOT, _ACK, _NAK = 0x01, 0x02, 0x03, 0x04, 0x06, 0x15

# What a till asks for, of Asked.what; either profile has them under codes of its own.
SALE, REVERSE, LAST, STATUS, TOTALS, CLOSE, REPRINT, PRINTING = (
    "sale",
    "reverse",
    "last",  # the result of the last sale, whatever became of it
    "status",
    "totals",
    "close",
    "reprint",
    "printing",  # where receipts are printed: Asked.flag, True for the till
)


class Asked:
    """What the till wants. amount: in its own smallest unit; reference: its register, ticket or, of a
    reversal, the STAN ("" when it names none); text: basket or whatever it wrote beside; flag: see
    above."""

    def __init__(self, what, amount=0, reference="", text="", flag=False):
        self.what = what
        self.amount = amount
        self.reference = reference
        self.text = text
        self.flag = flag


class Sold:
    """What became of a sale or reversal, as either profile tells it.

    approved; reason: of a refusal, ASCII; card: last four digits; entry: "MAG", "ICC", "CLI", "MAN";
    stan, rrn; moment: (year, month, day, hour, minute, second); amount: to be paid in money still;
    points, balance; lines: of the receipt, ASCII.
    """

    def __init__(self, approved, reason="", card="", entry="MAG", stan="", rrn="", moment=None):
        self.approved = approved
        self.reason = reason
        self.card = card
        self.entry = entry
        self.stan = stan
        self.rrn = rrn
        self.moment = moment
        self.amount = 0
        self.points = 0
        self.balance = 0
        self.lines = ()


class Told:
    """The till has acknowledged all that was to be said."""


class NotTold:
    """The till doesn't acknowledge: it can ask for the last result when it is back."""


class Trouble(Reason):
    """Something else is on this line, or a message that can't be. reason: "noise", "message"."""


class Check:
    """How the check byte is made: its first value, and what beside the message goes into it. is_long: an ACK
    has ETX and a check byte as well."""

    def __init__(self, base, with_start, with_end, is_long):
        self.base = base
        self.with_start = with_start
        self.with_end = with_end
        self.is_long = is_long

    def of(self, message):
        value = self.base
        if self.with_start:
            value ^= _STX
        value = exclusive_or(message, value)
        return value ^ _ETX if self.with_end else value


# Till makers read the one sentence of the standard in four ways.
ECR17_CHECKS = {
    "message": Check(0x7F, False, False, True),
    "message, end": Check(0x7F, False, True, True),
    "start, message, end": Check(0x7F, True, True, True),
    "start, message": Check(0x7F, True, False, True),
}
FIELDS_CHECK = Check(0x00, False, True, False)

_IDLE, _TEXT, _CHECKED, _LONG_END, _LONG_CHECK = range(5)


class TillLine(Speaking):
    """Carries messages both ways. feed() and tick() return bytes (a message), Told, NotTold, Trouble."""

    def __init__(self, check):
        self._check = check
        self._buffer = bytearray(LONGEST_MESSAGE)
        self._state = _IDLE
        self._count = 0
        self._noise = 0
        self._gap_ms = None
        self._queue = []
        self._tries = 0
        self._acked_ms = None
        self._asked = None  # the last message, until all that was said to it is acknowledged

    def send(self, message, now_ms):
        """Say this, after what is being said."""
        self._queue.append(message)
        if len(self._queue) == 1:
            self._put(now_ms)

    def progress(self, text):
        """Tell a till that waits how far things are; nobody acknowledges that."""
        letters = (text + " " * PROGRESS_LETTERS)[:PROGRESS_LETTERS]
        self._out += bytes((_SOH,)) + letters.encode() + bytes((_EOT,))

    def deadline_ms(self):
        if self._gap_ms is None or (self._acked_ms is not None and self._acked_ms < self._gap_ms):
            return self._acked_ms
        return self._gap_ms

    def feed(self, data, now_ms):
        events = self.tick(now_ms)
        for byte in data:
            self._take(byte, now_ms, events)
        return events

    def tick(self, now_ms):
        events = []
        if self._gap_ms is not None and now_ms >= self._gap_ms:
            if self._state in (_TEXT, _CHECKED):
                self._acknowledge(_NAK)
            self._rest()
        if self._acked_ms is not None and now_ms >= self._acked_ms:
            self._again(now_ms, events)
        return events

    # ---------------------------------------------------------------- what comes

    def _take(self, byte, now_ms, events):
        state = self._state
        if state == _TEXT:
            self._text(byte, now_ms)
        elif state == _CHECKED:
            self._checked(byte, now_ms, events)
        elif state == _LONG_END and byte == _ETX:
            self._state = _LONG_CHECK
        elif state == _LONG_CHECK:
            self._rest()
        else:
            self._begin(byte, now_ms, events)

    def _begin(self, byte, now_ms, events):
        self._rest()
        if byte == _STX:
            self._state = _TEXT
            self._count = 0
            self._noise = 0
            self._gap_ms = now_ms + GAP_MS
        elif byte in (_ACK, _NAK):
            self._noise = 0
            if self._check.is_long:  # some send the byte alone
                self._state = _LONG_END
                self._gap_ms = now_ms + GAP_MS
            if self._queue:
                self._acknowledged(byte == _ACK, now_ms, events)
        else:
            self._noise += 1
            if self._noise == NOISE_BYTES:
                events.append(Trouble("noise"))

    def _text(self, byte, now_ms):
        self._gap_ms = now_ms + GAP_MS
        if byte == _ETX:
            self._state = _CHECKED
        elif byte == _STX:  # the end of the one before was lost
            self._count = 0
        elif self._count == LONGEST_MESSAGE:
            self._acknowledge(_NAK)
            self._rest()
        else:
            self._buffer[self._count] = byte
            self._count += 1

    def _checked(self, byte, now_ms, events):
        message = bytes(memoryview(self._buffer)[: self._count])
        self._rest()
        if byte != self._check.of(message):
            self._acknowledge(_NAK)
            return
        self._acknowledge(_ACK)
        if message == self._asked:
            if self._queue:
                self._tries = TRIES
                self._put(now_ms)  # it hasn't heard the answer either
            return
        self._asked = message
        events.append(message)

    def _rest(self):
        self._state = _IDLE
        self._gap_ms = None

    # ---------------------------------------------------------------- what goes

    def _acknowledge(self, byte):
        self._out += bytes((byte,))
        if self._check.is_long:
            self._out += bytes((_ETX, self._check.of(bytes((byte,)))))

    def _put(self, now_ms):
        if not self._tries:
            self._tries = TRIES
        self._tries -= 1
        message = self._queue[0]
        self._out += bytes((_STX,)) + message + bytes((_ETX, self._check.of(message)))
        self._acked_ms = now_ms + ACK_MS

    def _acknowledged(self, is_good, now_ms, events):
        if not is_good:
            self._again(now_ms, events)
            return
        self._queue.pop(0)
        self._tries = 0
        self._acked_ms = None
        if self._queue:
            self._put(now_ms)
        else:
            self._asked = None
            events.append(Told())

    def _again(self, now_ms, events):
        if self._tries:
            self._put(now_ms)
            return
        self._queue = []
        self._acked_ms = None
        self._asked = None
        events.append(NotTold())


class Profile:
    """The till's end of a terminal, of either profile. feed() and tick() return Asked, and what TillLine
    returns. kept: the last result, as keep() returned it, or b"". A child has _asked(text): an Asked, or None
    for a message that can't be."""

    def __init__(self, terminal_id, check, kept):
        self._terminal = terminal_id
        self._line = TillLine(check)
        self.kept = kept

    def to_send(self):
        return self._line.to_send()

    def deadline_ms(self):
        return self._line.deadline_ms()

    def feed(self, data, now_ms):
        return self._read(self._line.feed(data, now_ms))

    def tick(self, now_ms):
        return self._read(self._line.tick(now_ms))

    def _read(self, events):
        return [self._wanted(event) if isinstance(event, bytes) else event for event in events]

    def _wanted(self, message):
        for byte in message:
            if not 0x20 <= byte < 0x7F:
                return Trouble("message")
        return self._asked(str(message, "ascii")) or Trouble("message")
