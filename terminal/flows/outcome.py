"""What is kept of a request in the journal, and what came of it: the same data now and after a restart.

The record of a request is its reversal, packed without MAC, behind the full date and time: everything that
must be sent, shown or printed can be made from it and the answer alone.
"""

from binascii import hexlify, unhexlify

from terminal.flows.member import card_number
from terminal.message import pack, unpack
from terminal.message_tables import (
    TAG_BALANCE,
    TAG_DEBT,
    TAG_EARNED_WITH,
    TAG_EXPIRING,
    TAG_HELD,
    TAG_MOBILE,
    TAG_NEXT_REWARD,
    TAG_OTHER_CARD,
    TAG_PENDING,
    TAG_POINTS,
    TAG_REASON,
    TAG_REASON_NUMBER,
    TAG_SALE_AMOUNT,
    TAG_TAP,
)
from terminal.message_texts import meaning
from terminal.text import grouped, is_date, masked, moment_digits, moment_of
from terminal.ui.strings import LOCALES

APPROVED_CODE = "00"
_GIVEN_BACK = "0105"  # reason: points of the member are back; else what follows a sale took some
_MOMENT_BYTES = 7
_DAY_DIGITS = 8  # before the points that end then
_COPIED = (2, 3, 4, 12, 13, 35, 37, 41, 42, 49, 60, 62)  # fields of a request that its reversal repeats
_NAMING = (2, 35, 37)  # a reversal names its member by one thing: a mobile number beside these stays out

# Never a code, a PIN, a proof: those belong to one sending.
_COPIED_TAGS = (TAG_POINTS, TAG_MOBILE, TAG_SALE_AMOUNT, TAG_OTHER_CARD, TAG_TAP)

# flow: MTI, processing code (DE 3)
MESSAGES = {
    "earn": ("0200", "210060"),
    "redeem": ("0200", "006000"),
    "balance": ("0100", "306000"),
    "activate": ("0300", "720000"),
    "pin_change": ("0300", "700000"),
    "code": ("0100", "336000"),
    "split": ("0200", "006000"),
    "void": ("0200", "020060"),
    "refund": ("0200", "200060"),
    "return": ("0200", "206000"),
    "transfer": ("0200", "406060"),
    "block": ("0300", "730000"),
    "unblock": ("0300", "740000"),
    "replace": ("0300", "750000"),
}
VOID_REDEMPTION = ("0200", "026000")
FINANCIAL = "0200"
MOVING = ("earn", "redeem", "split", "void", "refund", "return", "transfer")  # flows whose answer has points
BACK = MOVING[4:6]  # refund and return, the flows that bring points or goods of a sale back
# What the cashier keys in for a flow that moves points: the screen that asks for it.
ASKED = {"earn": "amount", "redeem": "points", "split": "points", "transfer": "points"}


# Attribute of an Outcome: the tag of its answer that has it.
_NUMBERS = (
    ("points", TAG_POINTS),
    ("earned", TAG_EARNED_WITH),
    ("balance", TAG_BALANCE),
    ("pending", TAG_PENDING),
    ("held", TAG_HELD),
    ("debt", TAG_DEBT),
    ("next_reward", TAG_NEXT_REWARD),
    ("reason_number", TAG_REASON_NUMBER),
)


def record_of(mti, fields, reversal_stan, moment):
    """The journal's record (bytes) of a request about to leave. moment: (year, month, ... second)."""
    reversal = {number: fields[number] for number in _COPIED if number in fields}
    reversal[11] = "%06d" % reversal_stan
    reversal[90] = mti + fields[11] + fields[13] + fields[12] + "0" * 22
    tags = fields.get(48, {})
    tags = {tag: tags[tag] for tag in _COPIED_TAGS if tag in tags}
    if TAG_MOBILE in tags and (TAG_TAP in tags or any(number in reversal for number in _NAMING)):
        del tags[TAG_MOBILE]
    if tags:
        reversal[48] = tags
    return packed(moment) + pack("0420", reversal)


def packed(moment):
    """A moment as it stands before a message."""
    return unhexlify(moment_digits(moment))


def unpacked(record):
    """The moment before a message."""
    return moment_of(str(hexlify(record[:_MOMENT_BYTES]), "ascii"))


def reversal_of(record):
    """The fields of the 0420 or 0421 that takes a recorded request back."""
    return unpack(record[_MOMENT_BYTES:])[1]


def original_stan(reversal):
    """The STAN of the request that the fields of a reversal name."""
    return reversal[90][4:10]


def _flow_of(request):
    """The flow of a request's fields."""
    if TAG_SALE_AMOUNT in request.get(48, {}):
        return "split"
    for flow in MESSAGES:
        if MESSAGES[flow][1] == request[3]:
            return flow
    return "void"  # of another kind than in the table


def number_of(tags, tag):
    """The number that a tag of DE 48 says, 0 without it."""
    return int(tags.get(tag, "0"))


class Outcome:
    """A decided request: flow, moment, stan, card and other_card (masked), amount (rial), sale (rial, of a
    split one), money (rial, of a split sale to be paid; see of_original), points, earned (beside a
    redemption), back and taken (points, of what follows a sale), balance, pending, held, debt, next_reward
    (points that it takes), expiring (points, last day), reason, reason_number, rrn, follows (RRN),
    till_receipt, response_code. Numbers are int, 0 when absent; codes are str, "" when absent.
    """

    is_queued = False  # it is an earn that the switch hasn't heard of yet

    def __init__(self, record, answer):
        self.moment = unpacked(record)
        request = reversal_of(record)
        self.flow = _flow_of(request)
        self.stan = original_stan(request)
        number = card_number(request)
        self.card = masked(number) if number else ""
        self.amount = int(request.get(4, "0"))
        self.follows = request.get(37, "")
        self.till_receipt = request.get(62, "")
        asked = request.get(48, {})
        self.sale = number_of(asked, TAG_SALE_AMOUNT)
        self.money = max(self.sale - self.amount, 0)
        self.other_card = masked(asked.get(TAG_OTHER_CARD, ""))
        fields = self.answer = unpack(answer)[1]
        self.response_code = fields[39]
        self.rrn = fields.get(37, "")
        tags = fields.get(48, {})
        for name, tag in _NUMBERS:
            setattr(self, name, number_of(tags, tag))
        self.expiring = _expiring(tags.get(TAG_EXPIRING, ""))
        self.reason = tags.get(TAG_REASON, "")
        is_back = self.reason == _GIVEN_BACK or self.flow == "refund"
        self.back, self.taken = (self.points, self.earned) if is_back else (0, self.points)

    def approved(self):
        """Whether the switch said yes."""
        return self.response_code == APPROVED_CODE

    def why(self):
        """Why it was declined, as (English, Persian): the reason when the switch gives one that the tables
        know, else what the response code means."""
        return why(self.answer)

    def of_original(self, app):
        """Itself, with what the terminal's record of the sale that it follows tells: the card; and the money
        that is to be given back for goods or points, 0 when the rial of a point are unknown."""
        ratio = app.ratio
        if self.follows:
            for record, answer in app.journal.transactions():
                if self.follows.encode() in answer:
                    sale = Outcome(record, answer)
                    self.card = sale.card
                    ratio = sale.amount // (sale.points or 1)
                    break
        if self.flow in BACK and (ratio or not self.back):
            self.money = max(self.amount - self.back * ratio, 0)
        return self

    def event(self, flow=None):
        """The `transaction` event. flow: instead of the request's own."""
        return event_of(flow or self.flow, self.stan, self.answer)


def _expiring(digits):
    """(points, (year, month, day)) of the tag that tells which points end first; None when it has none."""
    if len(digits) < _DAY_DIGITS:
        return None
    day = int(digits[:4]), int(digits[4:6]), int(digits[6:8])
    return (int(digits[_DAY_DIGITS:]), day) if is_date(*day) else None


def why(answer):
    """Why an answer's fields decline, as Outcome.why()."""
    tags = answer.get(48, {})
    texts = meaning(tags.get(TAG_REASON, ""))
    if texts is None:
        return meaning(answer[39]) or ("", "")
    number = number_of(tags, TAG_REASON_NUMBER)
    return tuple([text.format(grouped(number, locale)) for text, locale in zip(texts, LOCALES)])


def event_of(flow, stan, answer):
    """The `transaction` event of an answer's fields."""
    tags = answer.get(48, {})
    return {
        "event": "transaction",
        "flow": flow,
        "stan": stan,
        "rrn": answer.get(37, ""),
        "response_code": answer[39],
        "approved": answer[39] == APPROVED_CODE,
        "points": str(number_of(tags, TAG_POINTS)),
        "balance": str(number_of(tags, TAG_BALANCE)),
        "debt": str(number_of(tags, TAG_DEBT)),
    }
