"""A cash register that speaks fields with pipes (Transbank "POS Integrado"): `0200|amount|ticket|...|`.

The till asks, this side answers; the last result is kept by whoever has a storage. Command numbers and
fields as the maker publishes them; points and balance, which they have no fields for, are in the
receipt's lines.
"""

from terminal.drivers.till import (
    CLOSE,
    FIELDS_CHECK,
    LAST,
    PRINTING,
    REVERSE,
    SALE,
    STATUS,
    TOTALS,
    Asked,
    Profile,
)

VOUCHER_LETTERS = 40  # of one line of a receipt that the till prints
LONGEST_AMOUNT = 9  # digits
LONGEST_TICKET = 20
PROGRESS = "0900"

APPROVED, DECLINED, NOTHING_THERE = "00", "01", "11"
# Of progress(): what the terminal is about, by their numbers.
WAITS_FOR_CARD, WAITS_FOR_PIN, ASKS_HOST = "78", "81", "82"

# command: (what, command of the answer)
_COMMANDS = {
    "0200": (SALE, "0210"),
    "0250": (LAST, "0260"),
    "0280": (LAST, "0290"),
    "1200": (REVERSE, "1210"),
    "0700": (TOTALS, "0710"),
    "0500": (CLOSE, "0510"),
    "0100": (STATUS, ""),
    "0300": (PRINTING, ""),
}


class TillFields(Profile):
    """As till.Profile. A poll (STATUS) and the change to working alone (PRINTING) are answered by their
    acknowledgement."""

    def __init__(self, terminal_id, acceptor_id, kept=b""):
        super().__init__(terminal_id, FIELDS_CHECK, kept)
        self._acceptor = acceptor_id
        self._ticket = ""
        self._answer = ""
        self._wants_progress = False
        self._wants_lines = False

    @property
    def asked(self):
        """What keep() needs of the request, as text; to be given back after a restart."""
        return self._ticket

    @asked.setter
    def asked(self, text):
        self._ticket = text

    def progress(self, code, now_ms):
        """Tell a till that asked for it what is under way."""
        if self._wants_progress:
            self._line.send((PROGRESS + "|" + code + "|").encode(), now_ms)

    # ---------------------------------------------------------------- what the till asks

    def _asked(self, text):
        fields = text.split("|") + ["", "", "", "", "", ""]
        what, answer = _COMMANDS.get(fields[0], (None, ""))
        if what == SALE:
            amount, ticket = fields[1], fields[2]
            if not (amount.isdigit() and len(amount) <= LONGEST_AMOUNT and len(ticket) <= LONGEST_TICKET):
                return None
            self._ticket, self._answer = ticket, answer
            self._wants_progress = fields[5] == "1"
            return Asked(SALE, int(amount), ticket, fields[3])
        if what == REVERSE:
            self._answer = answer
            if not fields[1].isdigit():
                return None
            return Asked(REVERSE, reference="%06d" % int(fields[1]))
        if what is None:
            return None
        self._answer = answer
        self._wants_lines = fields[0] == "0280" and fields[1] == "1"
        return Asked(what, flag=self._wants_lines)

    # ---------------------------------------------------------------- what it is told

    def keep(self, sold):
        """The fields of a Sold behind the command, with its lines; to be kept before it is told."""
        year, month, day, hour, minute, second = sold.moment or (0, 0, 0, 0, 0, 0)
        fields = [
            APPROVED if sold.approved else DECLINED,
            self._acceptor,
            self._terminal,
            self._ticket,
            sold.rrn[-6:],
            "%d" % sold.amount,
            "",  # instalments, and the amount of each
            "",
            sold.card,
            sold.stan,
            "LY",
            "",
            "",
            "VAFA",
            "%02d%02d%04d" % (day, month, year),
            "%02d%02d%02d" % (hour, minute, second),
            "",  # who served, tip
            "",
            "".join([(line + " " * VOUCHER_LETTERS)[:VOUCHER_LETTERS] for line in sold.lines]),
        ]
        self.kept = "|".join(fields).encode()
        return self.kept

    def tell(self, now_ms):
        """The result last kept, as answer to what was asked."""
        if not self.kept:
            self.refuse(NOTHING_THERE, now_ms)
            return
        fields = str(self.kept, "ascii").split("|")
        if self._answer == "1210":
            fields = fields[:3] + [fields[4], fields[9]]
        elif self._wants_lines:
            fields += ["0", ""]  # change, and the code of another merchant
        else:
            fields = fields[:-1]
        self._say("|".join(fields), now_ms)

    def refuse(self, code, now_ms):
        """What was asked for can't be now; what was kept stays. code: two digits of the maker's table."""
        self._say("|".join((code, self._acceptor, self._terminal)) + "|" * 18, now_ms)

    def tell_totals(self, count, amount, now_ms):
        """Answer to TOTALS: sales since the last close."""
        self._say("%s|%d|%d" % (APPROVED, count, amount), now_ms)

    def tell_closed(self, now_ms):
        """Answer to CLOSE."""
        self._say("|".join((APPROVED, self._acceptor, self._terminal)), now_ms)

    def _say(self, text, now_ms):
        self._line.send((self._answer + "|" + text).encode(), now_ms)
