"""Receipt printer: a receipt is asked for strip by strip while its line takes them, and one event says how it
went."""

from terminal.doors import MISSING, Device
from terminal.drivers.receipt_printer import PRINTED_OUT, Done, ReceiptPrinter
from terminal.flows.wait import PRINTER

WIDTH = 384  # dots of 58 mm paper, when the board file names no width


class EscPosPrinter(Device):
    """Events PRINTER: PRINTED_OUT, or why not. is_near_end: the roll will end soon, as far as is known."""

    def __init__(self, app, kind):
        options = app.options("printer")
        self.width = options.get("width", WIDTH)
        # Over USB or with a handshake a printer holds its line; any other is paced, or it would overrun.
        baud = None if options.get("handshake") else options.get("baud", 9600)
        self._printer = ReceiptPrinter(
            self.width, baud, options.get("cuts", True), options.get("tells_after", True)
        )
        self._clock = app.clock
        self._is_missing = False
        self._fails_ms = None  # a receipt was asked of a printer that isn't there
        self.is_near_end = False

    def print(self, strips):
        """A receipt as bytes of dots, strip by strip; see drivers.receipt_printer."""
        self._fails_ms = self._clock.now_ms() if self._is_missing else None
        if not self._is_missing:
            self._printer.print(strips, self._clock.now_ms())

    def plugged(self, present, now_ms):
        self._is_missing = not present
        if present or not self._printer.is_busy:
            return ()
        self._printer.stop()
        return ((PRINTER, MISSING),)

    def feed(self, data, now_ms):
        return self._told(self._printer.feed(data, now_ms))

    def tick(self, now_ms):
        if self._fails_ms is not None:
            self._fails_ms = None
            return ((PRINTER, MISSING),)
        return self._told(self._printer.tick(now_ms))

    def deadline_ms(self):
        return self._printer.deadline_ms() if self._fails_ms is None else self._fails_ms

    def to_send(self):
        self._printer.more(self._clock.now_ms())
        return self._printer.to_send()

    def _told(self, events):
        told = []
        for event in events:
            if isinstance(event, Done):
                self.is_near_end = event.is_near_end
                told.append((PRINTER, PRINTED_OUT))
            else:
                told.append((PRINTER, event.reason))
        return told
