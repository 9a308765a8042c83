"""The cash register: what it asks becomes events of flows, and what became of it is kept before it is told.

A sale leaves three marks, each durable before what follows: it has begun, under which STAN its request is
about to leave, and its result. Whoever starts after a power cut finds out by the journal what became of one
that has no result yet; until then the register hears nothing of it, least of all the sale before. One sale at
a time; a register that asks for it again hears its result and moves no points twice.
"""

import binascii

from terminal.doors import Device
from terminal.drivers.till import CLOSE, ECR17_CHECKS, LAST, PRINTING, STATUS, Asked, Sold, Trouble
from terminal.flows.wait import TILL
from terminal.journal import APPROVED, QUEUED, SENT, JournalError

FILE = "till"
# Marks of the file: what it tells of the newest sale. STAN 0: none of its requests has been about to leave.
BEGUN, KEPT = b"B", b"K"
_STAN_DIGITS = 6
_CHECK_BYTES = 4
EARNED = 0x01  # tag of the purchases in the batch's totals
WAIT_MS = 20000  # a sale that comes while the terminal is at something else; then it is refused

RELEASE = "VAFA0001"
BUSY, STORAGE, NOT_DONE, NO_CARD, CANCELLED, TRAINING, NO_LINE, UNKNOWN = (
    "BUSY",
    "STORAGE ERROR",
    "NOT DONE",
    "NO CARD",
    "CANCELLED",
    "TRAINING",
    "NO LINE",
    "NOT POSSIBLE",
)
# Of progress(): the text of one profile, the code of the other.
CARD, HOST = ("SWIPE CARD", "78"), ("PLEASE WAIT", "82")


class TillDoor(Device):
    """kind: "columns" or "fields". Events TILL with a drivers.till.Asked; it is the application's `till`."""

    def __init__(self, app, kind):
        self._app = app
        self._storage = app.storage
        self._has_columns = kind == "columns"
        self._state, self._stan, self._request, kept = self._read()
        if self._has_columns:
            from terminal.drivers.till_columns import TillColumns

            check = ECR17_CHECKS[app.settings.till_check]
            self._line = TillColumns(app.settings.terminal_id, check, kept)
        else:
            from terminal.drivers.till_fields import TillFields

            self._line = TillFields(app.settings.terminal_id, app.settings.acceptor_id, kept)
        self._asked = None  # what waits for the flow, or is with it
        self._until_ms = None  # it waits so long
        self._wants_last = False  # the register wants a result that isn't known yet
        self._told = True  # the result of the sale that is with the flow
        self.prints = False  # whether the register prints receipts
        app.till = self

    # ---------------------------------------------------------------- as a device

    def plugged(self, present, now_ms):
        if not present and self._until_ms is not None:
            self._asked = self._until_ms = None  # nobody stands there any more who could want it
        return ()

    def feed(self, data, now_ms):
        return self._heard(self._line.feed(data, now_ms), now_ms)

    def tick(self, now_ms):
        events = self._heard(self._line.tick(now_ms), now_ms)
        if self._until_ms is not None and now_ms >= self._until_ms:
            asked, self._asked, self._until_ms = self._asked, None, None
            self._refuse(asked.what, BUSY, now_ms)
        return events

    def deadline_ms(self):
        line_ms = self._line.deadline_ms()
        if line_ms is None or (self._until_ms is not None and self._until_ms < line_ms):
            return self._until_ms
        return line_ms

    def to_send(self):
        return self._line.to_send()

    def rest(self):
        """The terminal is idle: what became of a sale that has no result is known by now."""
        if self._state == BEGUN and self._app.training is None:
            self._resolve()

    # ---------------------------------------------------------------- what it asks

    def take(self):
        """What waits for the flow; None when nothing does."""
        asked = self._asked if self._until_ms is not None else None
        self._until_ms = None
        return asked

    def _heard(self, events, now_ms):
        told = []
        for event in events:
            if isinstance(event, Asked):
                told += self._wanted(event, now_ms)
            elif isinstance(event, Trouble):
                self._app.log("warning", "till: " + event.reason)
        return told

    def _wanted(self, asked, now_ms):
        if asked.what == STATUS:
            if self._has_columns:
                self._line.tell_status(self._app.clock.wall(), RELEASE, now_ms)
            return ()
        if asked.what == PRINTING:
            self.prints = asked.flag
            return ()
        if asked.what == LAST:
            self._wants_last = self._state == BEGUN
            if self._wants_last:
                self.progress(HOST)
            else:
                self._line.tell(now_ms)
            return ()
        if self._asked is not None or self._state == BEGUN:
            self._refuse(asked.what, BUSY, now_ms)
            return ()
        self._asked = asked
        if self._app.awaits(TILL):
            return ((TILL, asked),)
        self._until_ms = now_ms + WAIT_MS
        self.progress(HOST)
        return ()

    # ---------------------------------------------------------------- what the flow says

    def progress(self, step):
        """How far it is: CARD, HOST."""
        if self._has_columns:
            self._line.progress(step[0])
        else:
            self._line.progress(step[1], self._app.clock.now_ms())

    def begin(self, asked):
        """The sale is begun, durably. Raises JournalError; then it has to be refused."""
        self._write(BEGUN, 0, self._line.asked.encode())
        self._asked = asked
        self._told = False
        self._app.opened_journal().watch = self._watched

    def done(self, sold):
        """What became of the sale: kept, then told; once. A result that can't be kept is told when it can."""
        if self._told:
            return  # by now the next sale may wait
        self._asked = None
        try:
            self._keep(sold)
        except JournalError as error:
            self._app.log("error", str(error))  # at rest it is found out again

    def refuse(self, asked, reason):
        """It was not even begun."""
        self._asked = None
        self._refuse(asked.what, reason, self._app.clock.now_ms())

    def totals(self):
        """(how many transactions, rial of the purchases) of the open batch, for tell_totals()."""
        batch = self._app.batch
        return batch.entries, batch.totals.get(EARNED, (0, 0, 0))[1]

    def tell_totals(self, what, totals):
        """Answer to TOTALS or CLOSE."""
        self._asked = None
        now_ms = self._app.clock.now_ms()
        count, rial = totals
        if self._has_columns:
            self._line.tell_totals(what, rial, now_ms)
        elif what == CLOSE:
            self._line.tell_closed(now_ms)
        else:
            self._line.tell_totals(count, rial, now_ms)

    def finished(self):
        """What was asked needs no more words."""
        self._asked = None

    def _refuse(self, what, reason, now_ms):
        self._line.refuse(what, reason, now_ms) if self._has_columns else self._line.refuse("01", now_ms)

    # ---------------------------------------------------------------- the sale under way

    def _watched(self, state, stan, request, answer):
        """The journal writes a request, or has written what became of it. Raises JournalError."""
        if self._state != BEGUN or self._asked is None:
            return
        if state == SENT:
            self._write(BEGUN, stan, self._request)
            self.progress(HOST)
        elif state in (APPROVED, QUEUED) and stan == self._stan:
            try:
                self._keep(self._sold(request, answer))
            except JournalError as error:
                self._app.log("error", str(error))  # what the journal has must not fail by it
            else:
                self._asked = None  # the register is done with it; the receipt is still to come

    def _resolve(self):
        """The newest sale has no result: the journal knows. Raises JournalError."""
        self._asked = None
        try:
            self._keep(self._found())
        except JournalError as error:
            self._app.log("error", str(error))

    def _found(self):
        journal, queue = self._app.opened_journal(), self._app.queue
        if self._stan:
            from terminal.flows.offline import stan_of
            from terminal.flows.outcome import Outcome

            for record, answer in journal.transactions():
                if answer and int(Outcome(record, answer).stan) == self._stan:
                    return self._sold(record, answer)
            for number in range(queue.head, queue.tail):
                content = queue.item(number)
                if content and stan_of(content) == self._stan:
                    return self._sold(content, b"")
        return Sold(False, NOT_DONE, stan="%06d" % self._stan)

    def _sold(self, request, answer):
        from terminal.flows.till import sold_of

        return sold_of(self._app, request, answer)

    def _keep(self, sold):
        self._line.asked = str(self._request, "ascii")
        before = self._line.kept
        kept = self._line.keep(sold)
        try:
            self._write(KEPT, self._stan, kept)
        except JournalError:
            self._line.kept = before
            raise
        is_wanted = self._wants_last or not self._told
        self._told = True
        self._wants_last = False
        if is_wanted:
            now_ms = self._app.clock.now_ms()
            if self._has_columns:
                self._line.tell(now_ms, sold.lines if self.prints else ())
            else:
                self._line.tell(now_ms)

    # ---------------------------------------------------------------- the file

    def _write(self, state, stan, content):
        """state, STAN, then what keep() needs of the request, or the result; CRC-32."""
        data = state + b"%06d" % stan + content
        data += (binascii.crc32(data) & 0xFFFFFFFF).to_bytes(_CHECK_BYTES, "big")
        try:
            self._storage.replace(FILE, data)
        except OSError:
            raise JournalError("till: the storage is full or broken")
        self._state, self._stan = state, stan
        if state == BEGUN:
            self._request = content

    def _read(self):
        """(state, STAN, what keep() needs of the request, result)."""
        try:
            data = self._storage.read(FILE) or b""
        except OSError:
            data = b""
        body, check = data[:-_CHECK_BYTES], data[-_CHECK_BYTES:]
        if not body or (binascii.crc32(body) & 0xFFFFFFFF).to_bytes(_CHECK_BYTES, "big") != check:
            return KEPT, 0, b"", b""
        state, content = body[:1], body[1 + _STAN_DIGITS :]
        stan = int(body[1 : 1 + _STAN_DIGITS])
        return (state, stan, content, b"") if state == BEGUN else (state, stan, b"", content)
