"""A cash register that speaks ECR17 (Nexi "traditional POS"): messages of fixed columns, both ways.

The till asks, this side answers; the last result is kept by whoever has a storage, and told again on
demand, so a till that heard nothing never has to send money twice. Columns are 1-based as in the
published tables.
"""

from terminal.drivers.till import (
    CLOSE,
    LAST,
    PRINTING,
    REPRINT,
    REVERSE,
    SALE,
    STATUS,
    TOTALS,
    Asked,
    Profile,
)

ANY_TERMINAL = "00000000"
TEXT_LETTERS = 128
_REASON_LETTERS = 24
_LINE_LETTERS = 24
_TICKET_LETTERS = 200  # of one message of receipt lines
_NEW_LINE = "\x7d"
_TICKET_END = _NEW_LINE * 6 + "\x1b"
_OPERATIVE = "2"  # status: set up, and its parameters are there

# code: (what, length of the message)
_ASKED = {
    "P": (SALE, 167),
    "X": (SALE, 167),
    "S": (REVERSE, 26),
    "G": (LAST, 22),
    "s": (STATUS, 10),
    "T": (TOTALS, 26),
    "C": (CLOSE, 26),
    "R": (REPRINT, 22),
    "E": (PRINTING, 11),
}


class TillColumns(Profile):
    """As till.Profile. check: of till.ECR17_CHECKS."""

    def __init__(self, terminal_id, check, kept=b""):
        super().__init__(terminal_id, check, kept)
        self._is_extended = False

    @property
    def asked(self):
        """What keep() needs of the request, as text; to be given back after a restart."""
        return "1" if self._is_extended else ""

    @asked.setter
    def asked(self, text):
        self._is_extended = text == "1"

    def progress(self, text):
        """Up to 20 letters of how far things are."""
        self._line.progress(text)

    # ---------------------------------------------------------------- what the till asks

    def _asked(self, text):
        what, length = _ASKED.get(text[9:10], (None, 0))
        if len(text) != length or text[:8] not in (ANY_TERMINAL, self._terminal):
            return None
        if what == SALE:
            self._is_extended = text[9] == "X"
            if not text[23:31].isdigit():
                return None
            return Asked(SALE, int(text[23:31]), text[10:18], text[31:159].strip(), text[21] == "1")
        if what == REVERSE:
            stan = text[18:24]
            return Asked(REVERSE, reference="" if stan == "000000" else stan)
        if what in (PRINTING, REPRINT):
            return Asked(what, flag=text[10] == "1")
        return Asked(what)

    # ---------------------------------------------------------------- what it is told

    def keep(self, sold):
        """The message for a Sold; to be kept before it is told."""
        self.kept = self._result(sold).encode()
        return self.kept

    def tell(self, now_ms, lines=()):
        """The result last kept, after receipt lines that the till prints."""
        for message in self._tickets(lines):
            self._line.send(message, now_ms)
        self._line.send(self.kept or self._result_of_nothing().encode(), now_ms)

    def refuse(self, what, reason, now_ms):
        """Something asked for that can't be now; what was kept stays."""
        if what in (TOTALS, CLOSE):
            self._line.send(self._totals_message(what, reason, 0), now_ms)
        else:
            self._line.send(self._refusal(reason).encode(), now_ms)

    def tell_status(self, moment, release, now_ms):
        """moment: (year, month, day, hour, minute, second), None when not known."""
        year, month, day, hour, minute = moment[:5] if moment else (2000, 0, 0, 0, 0)
        when = "%02d%02d%02d%02d%02d" % (day, month, year % 100, hour, minute)
        head = self._terminal + "0s" + "0" * 10
        self._line.send((head + when + _OPERATIVE + release[:8]).encode(), now_ms)

    def tell_totals(self, what, amount, now_ms):
        """what: TOTALS or CLOSE; amount: in money since the last close."""
        self._line.send(self._totals_message(what, None, amount), now_ms)

    def _result(self, sold):
        if not sold.approved:
            return self._refusal(sold.reason, sold.stan)
        days, hour, minute = _day_of_year(sold.moment)
        text = self._terminal + "0E00"
        text += "%019d" % int(sold.card or 0) + _left(sold.entry, 3) + _right(sold.rrn[-6:], 6)
        text += "%03d%02d%02d" % (days, hour, minute)
        return text + _common(sold.stan) + self._extension(sold)

    def _refusal(self, reason, stan=""):
        return self._terminal + "0E01" + _left(reason, _REASON_LETTERS) + "0" * 11 + _common(stan)

    def _result_of_nothing(self):
        return self._refusal("NO SALE YET")

    def _extension(self, sold):
        """Of an extended result: action code, and what is left to be paid in money."""
        return "000%08d" % min(sold.amount, 99999999) + "0" * 10 if self._is_extended else ""

    def _totals_message(self, what, reason, amount):
        head = self._terminal + "0" + ("T" if what == TOTALS else "C")
        if reason is not None and what == CLOSE:
            text = head + "01" + _left(reason, 19) + "000" + "0" * 10
        elif reason is not None:
            text = head + "01" + "0" * 22
        elif what == TOTALS:
            text = head + "00%016d" % amount + "0" * 6
        else:
            text = head + "00%016d%016d" % (amount, amount)
        return text.encode()

    def _tickets(self, lines):
        """Messages of receipt lines; the last one ends the ticket."""
        text = ""
        for line in lines:
            line = line[:_LINE_LETTERS] + _NEW_LINE
            if len(text) + len(line) + len(_TICKET_END) > _TICKET_LETTERS:
                yield self._ticket(text)
                text = ""
            text += line
        if text:
            yield self._ticket(text + _TICKET_END)

    def _ticket(self, text):
        return (self._terminal + "0S" + text).encode()


def _common(stan):
    """Card type (other), acquirer, STAN, number online: the end of every result."""
    return "3" + _left("VAFA", 11) + _number(stan, 6) + "0" * 6


def _left(text, width):
    return (text + " " * width)[:width]


def _right(text, width):
    return (" " * width + text)[-width:]


def _number(digits, width):
    return ("0" * width + digits)[-width:]


def _day_of_year(moment):
    """(day of the year, hour, minute); zeros when the terminal doesn't know the time."""
    if not moment:
        return 0, 0, 0
    year, month, day = moment[:3]
    days = day
    for earlier in range(1, month):
        days += 30 + (earlier + earlier // 8) % 2 if earlier != 2 else 28
    if month > 2 and year % 4 == 0 and (year % 100 or year % 400 == 0):
        days += 1
    return days, moment[3], moment[4]
