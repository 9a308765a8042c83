"""Training: every flow as it is, at an application that sends, keeps and counts nothing.

A Training stands between the flows and the application. Requests are answered here, made up; no STAN, no key
serial, no journal, no batch, no queue is touched. Each screen and receipt is marked. It ends with the menu's
key of the supervisor, or with the power.
"""

from terminal.flows.dialogue import tell
from terminal.flows.outcome import APPROVED_CODE
from terminal.hal.crypto import BLOCK
from terminal.journal import APPROVED, Open
from terminal.message import pack
from terminal.message_tables import TAG_BALANCE, TAG_EARNED_WITH, TAG_POINTS, TAG_SALE_AMOUNT

MARK = "training"  # the text above each screen and receipt
BATCH = "000000"
RRN = "TRAINING%04d"
BALANCE = 1000  # points that every member has
RIAL_PER_POINT = 10000  # what a purchase earns
REDEMPTION_RATIO = 100  # while the switch told none
DAY_MS = 24 * 3600 * 1000
KEPT = 9  # transactions that can be voided
EARN, REDEEM = "210060", "006000"


async def begin(app):
    """From now on nothing is real."""
    app.training = Training(app)
    app.screens.mark = app.receipt_mark = MARK
    app.log("info", "training: begun")
    return await tell(app, "training_on")


async def end(app):
    """From now on everything is."""
    real = app.real
    real.training = real.screens.mark = real.receipt_mark = None
    real.log("info", "training: ended")
    return await tell(real, "training_off")


class Training:
    """What flows see as the application."""

    percent = None  # of the downloads

    def __init__(self, app):
        self.real = app
        self.training = self
        self.journal = PracticeJournal()
        self.keys = PracticeKeys()
        self.stans = self.batch = self.queue = self.downloads = self
        self.number, self.step = BATCH, None  # of the batch: nothing of it is being closed
        self.step = None  # of its close
        self.entries = 0
        self.last = None
        self.count = 0  # of answers
        self.line_is_up = True
        self.line_trouble = None
        self.ratio = app.ratio or REDEMPTION_RATIO

    def __getattr__(self, name):
        return getattr(self.real, name)

    def __len__(self):
        return 0  # of the queue

    def opened_journal(self):
        return self.journal

    def sign_on_due(self):
        return False

    def sign_on_again(self):
        pass

    def sign_on_left_ms(self):
        return DAY_MS

    def wait_ms(self, now_ms):
        """Of the downloads: nothing is fetched."""

    def take(self):
        """Of the STANs: none is spent."""
        return 0

    def request(self, mti, fields, transmission=None):
        self.count = (self.count + 1) % 10000
        return Practice(mti, fields, RRN % self.count)

    def emit(self, event):
        """Whoever listens has to know that it isn't real."""
        if event["event"] == "transaction":
            event["training"] = True
        self.real.emit(event)


class PracticeKeys:
    """As the keys, and as a transmission under them: no serial is spent, and a PIN block says nothing."""

    trouble = None

    def transmission(self):
        return self

    def pin_block(self, pin, digits):
        return bytes(BLOCK)


class Practice:
    """A request that nobody gets; exchange() takes its answer from here. frame: None, that tells it apart."""

    def __init__(self, mti, fields, rrn):
        self.frame = None
        self._rrn = rrn
        self._mti = mti
        self._fields = fields

    def answer(self):
        """(fields, message) as the switch could answer."""
        fields = self._fields
        answer = {number: fields[number] for number in (11, 12, 41) if number in fields}
        answer[39] = APPROVED_CODE
        answer[37] = self._rrn
        answer[48] = _made_up(fields)
        mti = self._mti[:2] + chr(ord(self._mti[2]) + 1) + "0"
        return answer, pack(mti, answer)


def _made_up(fields):
    """Tags of an answer."""
    tags = fields.get(48, {})
    amount = int(fields.get(4, "0"))
    points = int(tags.get(TAG_POINTS, "0")) or amount // RIAL_PER_POINT
    answer = {TAG_BALANCE: "%012d" % BALANCE}
    if fields.get(3) in (EARN, REDEEM) or TAG_POINTS in tags or 37 in fields:
        answer[TAG_POINTS] = "%012d" % points
    if TAG_SALE_AMOUNT in tags:
        answer[TAG_EARNED_WITH] = "%012d" % ((int(tags[TAG_SALE_AMOUNT]) - amount) // RIAL_PER_POINT)
    return answer


class PracticeJournal:
    """As a Journal, in memory: what is open, and the last few for a void to choose from."""

    def __init__(self):
        self._open = None
        self._done = []
        self.batch = None
        self.is_full = False

    def pending(self):
        return self._open

    def begin(self, stan, request):
        self._open = Open(stan, request)

    def approve(self, stan, answer):
        self._open.state = APPROVED
        self._open.answer = answer
        self._done = self._done[1 - KEPT :] + [(self._open.request, answer)]

    def close(self, stan, state):
        self._open = None

    def transactions(self, newest=None):
        return self._done
