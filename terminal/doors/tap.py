"""Contactless reader: looks for a card while one is waited for, and asks it once a tap who it is."""

from terminal.doors.conversing import Conversing
from terminal.drivers import pn532
from terminal.drivers.chip_card import CardError, read_tap
from terminal.flows.member import by_tap
from terminal.flows.wait import BAD_CARD, CARD, FOREIGN

LOOK_MS = 250
GONE_LOOKS = 2  # so often nothing: the card was taken away, and the next one is a new tap


class TapReader(Conversing):
    """Events CARD and BAD_CARD."""

    KINDS = (CARD,)

    def _new_driver(self):
        self._conversation = None
        self._nothing = GONE_LOOKS
        return pn532.Pn532()

    def dropped(self):
        self._nothing = GONE_LOOKS  # it may lie there still

    def _turn(self, now_ms):
        is_lying = self._nothing < GONE_LOOKS  # until it is gone, nobody can lay down another one
        if (self._is_wanted or is_lying) and self._conversation is None:
            self._driver.look(now_ms)

    def _take(self, event, now_ms, told):
        if isinstance(event, pn532.Ready):
            self._begun(now_ms)
        elif isinstance(event, pn532.NoCard):
            self._worked()
            self._nothing += 1
            self._due_ms = now_ms + LOOK_MS
        elif isinstance(event, pn532.Card):
            self._worked()
            self._found(event, now_ms, told)
        elif isinstance(event, pn532.Answer):
            self._go_on(event.data, now_ms, told)
        elif event.reason in (pn532.GONE, pn532.CARD):
            self._nothing = GONE_LOOKS
            self._not_read(event.reason, now_ms, told)
        else:
            if self._conversation is not None:
                self._not_read(event.reason, now_ms, told)
            self._failed(event.reason, now_ms)

    def _found(self, card, now_ms, told):
        is_new = self._nothing >= GONE_LOOKS
        self._nothing = 0
        if not is_new:
            self._due_ms = now_ms + LOOK_MS
        elif card.is_chip:
            self._conversation = read_tap()
            self._go_on(None, now_ms, told)
        else:
            self._not_read(FOREIGN, now_ms, told)  # an UID alone proves nothing: anybody can make one

    def _go_on(self, answer, now_ms, told):
        try:
            self._driver.exchange(self._conversation.send(answer), now_ms)
        except StopIteration as end:
            self._over(now_ms)
            told.append((CARD, by_tap(end.value)))
        except CardError as error:
            self._not_read(FOREIGN if error.status else error.what, now_ms, told)

    def _not_read(self, reason, now_ms, told):
        self._over(now_ms)
        self._app.log("info", "tap: " + reason)
        told.append((BAD_CARD, reason))

    def _over(self, now_ms):
        self._conversation = None
        self._due_ms = now_ms + LOOK_MS
