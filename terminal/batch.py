"""The open batch as the journal keeps it: number, totals, how far the queue of offline earns and a close are.

Only counts and packs itself; the journal writes it, so totals can't differ from what the journal closed.
Nothing here is card data.
"""

from terminal.message import unpack
from terminal.message_tables import TAG_POINTS

# What is totalled: tag of its total in DE 63, processing code (DE 3; "*" any digit), MTI of the request.
KINDS = (
    (0x01, "210060", "02"),  # earn
    (0x02, "006000", "0200"),  # redeem
    (0x03, "006000", "0100"),  # hold
    (0x04, "006000", "022"),  # capture
    (0x05, "200060", "0200"),  # refund
    (0x06, "206000", "0200"),  # return
    (0x07, "02****", "0200"),  # void
    (0x08, "406060", "0200"),  # transfer
)
APPROVED_CODE = "00"
MOMENT_BYTES = 7  # of a record, before its message: YYYYMMDDhhmmss in BCD
FIRST = 1
LAST = 999999

# Steps of a close, as they stand in the journal; each is written before its message leaves.
NOTHING, CLOSE, UPLOAD, TRAILER, REPORT = 0, 1, 2, 3, 4
AGREED, DIFFERENT, REFUSED = 0, 1, 2  # what a close has come to

_HEAD = (3, 4, 2, 4, 4, 4, 4, 7)  # widths of the numbers in a packed state, see Batch.pack()
_TOTAL = (1, 4, 8, 8)


def counted(record, answer):
    """(tag of its total, rial, points) of an approved request; None when it is in no total.

    record, answer: as the journal has them.
    """
    request = unpack(record[MOMENT_BYTES:])[1]
    fields = unpack(answer)[1]
    if fields.get(39) != APPROVED_CODE or 60 not in request:
        return None
    mti, code = request[90][:4], request[3]
    for tag, wanted, beginning in KINDS:
        if mti.startswith(beginning) and code.startswith(wanted.rstrip("*")):
            points = fields.get(48, {}).get(TAG_POINTS, "0")
            return tag, int(request.get(4, "0")), int(points)
    return None


class Batch:
    """What a journal knows beside its open requests.

    current: number of the batch whose totals these are; totals: {tag: [how many, rial, points]}; files: of
    the batch that lie in the storage; head: number of the queued item that is sent next; shown: number of
    the first queued item whose slip was not printed; refused: queued items the switch would not take; day:
    YYYYMMDD of the newest queued earn, with how many there were on it and their rial; step: of a close under
    way, as (step, item, moment, STAN, what it has come to), else None.
    """

    def __init__(self):
        self.current = FIRST
        self.totals = {}
        self.files = 0
        self.head = self.shown = 0
        self.refused = 0
        self.day = self.day_count = self.day_amount = 0
        self.step = None

    @property
    def number(self):
        """DE 60 of a new request: of the next batch while this one is being closed."""
        return "%06d" % (self.current if self.step is None else following(self.current))

    @property
    def entries(self):
        """How many transactions the totals have."""
        return sum([total[0] for total in self.totals.values()])

    def count(self, found):
        """Add what `counted` has found."""
        if found is not None:
            tag, amount, points = found
            total = self.totals.setdefault(tag, [0, 0, 0])
            total[0] += 1
            total[1] += amount
            total[2] += points

    def queued(self, number, day, amount):
        """A queued earn of so many rial, sold on a day (YYYYMMDD), was told to the member."""
        self.shown = max(self.shown, number + 1)
        if day != self.day:
            self.day, self.day_count, self.day_amount = day, 0, 0
        self.day_count += 1
        self.day_amount += amount

    def answered(self, number, is_refused):
        """The switch has answered for a queued earn."""
        self.head = max(self.head, number + 1)
        self.shown = max(self.shown, self.head)
        self.refused += is_refused

    def begin(self, number):
        """A new batch: nothing is in it."""
        self.current = number
        self.totals = {}
        self.files = self.refused = 0
        self.step = None

    def totals_field(self):
        """DE 63: each total as 6, 16 and 16 digits."""
        return {tag: "%06d%016d%016d" % tuple(self.totals[tag]) for tag in sorted(self.totals)}

    def pack(self):
        """As bytes, for the journal."""
        step = pack_step(self.step) if self.step else b""
        head = (
            self.current,
            self.head,
            self.files,
            self.shown,
            self.refused,
            self.day,
            self.day_count,
            self.day_amount,
        )
        parts = [_packed(_HEAD, head), bytes([len(step)]), step]
        for tag in sorted(self.totals):
            parts.append(_packed(_TOTAL, [tag] + self.totals[tag]))
        return b"".join(parts)

    def unpack(self, data):
        """Become what `pack` has packed."""
        head = _unpacked(_HEAD, data)
        self.current, self.head, self.files, self.shown, self.refused = head[:5]
        self.day, self.day_count, self.day_amount = head[5:]
        at = sum(_HEAD)
        length = data[at]
        self.step = unpack_step(data[at + 1 : at + 1 + length]) if length else None
        at += 1 + length
        self.totals = {}
        while at < len(data):
            total = _unpacked(_TOTAL, data[at:])
            self.totals[total[0]] = total[1:]
            at += sum(_TOTAL)


def following(number):
    """The number of the batch after this one."""
    return number % LAST + 1


def pack_step(step):
    """step, item, moment (bytes), STAN, what it has come to."""
    place, item, moment, stan, result = step
    return _packed((1, 4), (place, item)) + moment + _packed((3, 2), (stan, result))


def unpack_step(data):
    """Opposite of `pack_step`; None of a close that was given up."""
    place, item = _unpacked((1, 4), data)
    if place == NOTHING:
        return None
    stan, result = _unpacked((3, 2), data[5 + MOMENT_BYTES :])
    return place, item, bytes(data[5 : 5 + MOMENT_BYTES]), stan, result


def _packed(widths, numbers):
    return b"".join([number.to_bytes(width, "big") for number, width in zip(numbers, widths)])


def _unpacked(widths, data):
    found = []
    at = 0
    for width in widths:
        found.append(int.from_bytes(data[at : at + width], "big"))
        at += width
    return found
