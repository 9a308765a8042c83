"""Card readers: swipes become members, whichever way the reader tells its tracks."""

from terminal.doors import Device
from terminal.doors.babble import BABBLING, Babble, earliest
from terminal.drivers.magstripe import MagneticStripe, Swipe
from terminal.flows.member import by_swipe
from terminal.flows.wait import BAD_CARD, CARD

BAD_SWIPE_BYTES = 512  # counted for a swipe that went wrong: so many of them are six in a row
BABBLE_BYTES = 6 * BAD_SWIPE_BYTES


class AsciiReader(Device):
    """One that sends text. Events CARD and BAD_CARD."""

    def __init__(self, app, kind):
        self._app = app
        self._stripe = self._new_driver()
        self._babble = Babble(BABBLE_BYTES)

    def _new_driver(self):
        return MagneticStripe()

    @property
    def trouble(self):
        return BABBLING if self._babble.is_on else None

    def plugged(self, present, now_ms):
        self._stripe = self._new_driver()
        self._babble.clear()
        return ()

    def feed(self, data, now_ms):
        self._babble.heard(len(data), now_ms)
        return self._told(self._stripe.feed(data, now_ms), now_ms)

    def tick(self, now_ms):
        told = self._told(self._stripe.tick(now_ms), now_ms)
        self._babble.tick(now_ms)
        return told

    def deadline_ms(self):
        return earliest(self._stripe.deadline_ms(), self._babble.deadline_ms())

    def _told(self, swipes, now_ms):
        events = []
        for swipe in swipes:
            if isinstance(swipe, Swipe):
                self._babble.clear()
                events.append((CARD, by_swipe(swipe.track2)))
                continue
            self._babble.heard(BAD_SWIPE_BYTES, now_ms)
            if not self._babble.is_on:
                self._app.log("info", "swipe: " + swipe.reason)
                events.append((BAD_CARD, swipe.reason))
        return events
