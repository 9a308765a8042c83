"""Contact card reader: asks a card that was put in who it is, and later to prove a request.

The card keeps its power while it is in: what it proves hangs on what it was asked before.
"""

from terminal.doors.conversing import Conversing
from terminal.drivers import ccid
from terminal.drivers.chip_blocks import BlockError, link_of
from terminal.drivers.chip_card import CardError, prove, read_chip
from terminal.flows.member import by_chip
from terminal.flows.wait import BAD_CARD, CARD, CHIP, FOREIGN

WATCH_MS = 5000  # the reader says by itself when a card comes; so often it is asked whether it is still there

# What is said to the card now.
_NOTHING, _WAKING, _READING, _PROVING = range(4)


class ChipReader(Conversing):
    """Events CARD, BAD_CARD, and CHIP once for each prove()."""

    KINDS = (CARD,)

    def _new_driver(self):
        self._now = _NOTHING
        self._conversation = None
        self._challenge = None
        self._asked_ms = 0
        self._card(False)
        return ccid.Ccid()

    def _card(self, is_in):
        """Another state of the slot than before: whatever was known of a card is of no use now."""
        self._is_in = is_in
        self._was_read = False
        self._link = None

    def prove(self, challenge, now_ms):
        """Have the card that was read prove these bytes: CHIP follows, never at once."""
        self._challenge = challenge
        self._due_ms = now_ms

    def dropped(self):
        self._was_read = False

    def plugged(self, present, now_ms):
        was_asked = self._challenge is not None or self._now == _PROVING
        super().plugged(present, now_ms)
        return ((CHIP, None),) if was_asked else ()

    def _told(self, events, now_ms):
        told = super()._told(events, now_ms)
        if self._challenge is not None and self._link is None:
            self._challenge = None  # no card, or none that can prove anything
            told.append((CHIP, None))
        return told

    def _turn(self, now_ms):
        if self._challenge is not None and self._link is not None:
            challenge, self._challenge = self._challenge, None
            self._converse(_PROVING, prove(challenge), now_ms)
        elif self._is_in and self._is_wanted and not self._was_read:
            self._was_read = True
            self._now = _WAKING
            self._driver.power_on(now_ms)
        elif now_ms >= self._asked_ms + WATCH_MS:
            self._driver.begin(now_ms)
        else:
            self._due_ms = self._asked_ms + WATCH_MS

    def _take(self, event, now_ms, told):
        if isinstance(event, ccid.Present):
            self._asked_ms = now_ms
            if event.is_in != self._is_in:
                self._card(event.is_in)
            self._worked()
            self._begun(now_ms)
        elif isinstance(event, ccid.Moved):
            if self._now != _NOTHING:
                self._not_read(ccid.NO_CARD, told)
            self._card(event.is_in)
            self._turn_soon(now_ms)
        elif isinstance(event, ccid.Powered):
            self._powered(event.atr, now_ms, told)
        elif isinstance(event, ccid.Block):
            self._go_on(event.data, now_ms, told)
        else:
            if self._now != _NOTHING:
                self._not_read(event.reason, told)
            if event.reason not in (ccid.NO_CARD, ccid.MUTE):
                self._failed(event.reason, now_ms)
            else:
                self._turn_soon(now_ms)

    def _powered(self, atr, now_ms, told):
        if self._now == _NOTHING:
            self._turn_soon(now_ms)  # of a card that has gone
            return
        try:
            self._link = link_of(atr)
        except BlockError as error:
            self._not_read(error.what, told)
            self._turn_soon(now_ms)
            return
        self._converse(_READING, read_chip(), now_ms, told)

    def _converse(self, what, conversation, now_ms, told=None):
        self._now = what
        self._conversation = carried(self._link, conversation)
        self._go_on(None, now_ms, told)

    def _go_on(self, answer, now_ms, told):
        """Give the card's answer to the conversation, and carry what it says next. told: None at its start,
        when nothing can be over yet."""
        if self._now == _NOTHING:
            self._turn_soon(now_ms)
            return
        try:
            self._driver.transmit(self._conversation.send(answer), now_ms)
            return
        except StopIteration as end:
            was, self._now = self._now, _NOTHING
            told.append((CHIP, end.value) if was == _PROVING else (CARD, by_chip(end.value)))
        except BlockError as error:
            self._not_read(error.what, told)
        except CardError as error:
            self._not_read(FOREIGN if error.status and self._now == _READING else error.what, told)
        self._conversation = None
        self._turn_soon(now_ms)

    def _not_read(self, reason, told):
        was, self._now = self._now, _NOTHING
        self._conversation = None
        self._link = None
        self._app.log("info", "chip: " + reason)
        told.append((CHIP, None) if was == _PROVING else (BAD_CARD, reason))

    def _turn_soon(self, now_ms):
        """After all that came with this event: that was said to the command before."""
        if self._is_ready:
            self._due_ms = now_ms


def carried(link, conversation):
    """What goes through the reader, of a conversation in commands: a generator as it is one, of what `link`
    makes of them."""
    answer = None
    while True:
        try:
            command = conversation.send(answer)
        except StopIteration as end:
            return end.value
        answer = yield from link.exchange(command)
