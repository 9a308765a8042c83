"""Card reader that sends its tracks as text: swipes become members."""

from terminal.doors import Device
from terminal.drivers.magstripe import MagneticStripe, Swipe
from terminal.flows.member import by_swipe
from terminal.flows.wait import BAD_CARD, CARD


class AsciiReader(Device):
    """Events CARD and BAD_CARD."""

    def __init__(self, app, kind):
        self._app = app
        self._stripe = MagneticStripe()
        self.deadline_ms = self._stripe.deadline_ms

    def feed(self, data, now_ms):
        return self._told(self._stripe.feed(data, now_ms))

    def tick(self, now_ms):
        return self._told(self._stripe.tick(now_ms))

    def _told(self, swipes):
        return [self._event(swipe) for swipe in swipes]

    def _event(self, swipe):
        if isinstance(swipe, Swipe):
            return CARD, by_swipe(swipe.track2)
        self._app.log("info", "swipe: " + swipe.reason)
        return BAD_CARD, swipe.reason
