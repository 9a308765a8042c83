"""Barcode and QR scanner: looks for a code while one could be used; member codes become members."""

from terminal.doors.conversing import Conversing
from terminal.drivers import codes
from terminal.drivers.scanner import DAMAGED, LONG, Failed, Ready, Scanned, Scanner, Started
from terminal.flows.member import by_code
from terminal.flows.wait import BAD_CARD, CARD, FOREIGN, SCAN

PAUSE_MS = 700  # after a code, before the next one is looked for: the hand takes the last one away meanwhile
BAD_SCANS = 4  # in a row that can't be read: this scanner is out of order


class ScannerDoor(Conversing):
    """Events CARD, SCAN and BAD_CARD. kind: family of the scanner."""

    KINDS = (CARD, SCAN)

    def _new_driver(self):
        self._bad = 0
        options = self._app.options("scanner")
        prefix = options.get("prefix", "").encode()
        return Scanner(self._kind, prefix=prefix, ends_by_line=options.get("ends_by_line", True))

    def _turn(self, now_ms):
        if self._is_wanted and not self._driver.is_scanning:
            self._driver.start(now_ms)
        elif not self._is_wanted and self._driver.is_scanning:
            self._driver.stop(now_ms)

    def _take(self, event, now_ms, told):
        if isinstance(event, Ready):
            self._begun(now_ms)
        elif isinstance(event, Scanned):
            self._bad = 0
            self.trouble = None
            told.append(self._event(event.text))
            self._due_ms = now_ms + PAUSE_MS
        elif not isinstance(event, Failed):
            if isinstance(event, Started) and self._bad < BAD_SCANS:
                self._worked()
            self._turn_if_free(now_ms)
        elif event.reason in (DAMAGED, LONG):
            self._not_read(event.reason, now_ms, told)
        else:
            self._failed(event.reason, now_ms)

    def _not_read(self, reason, now_ms, told):
        self._bad += 1
        if self._bad >= BAD_SCANS:
            self.trouble = reason
        else:
            self._app.log("info", "scan: " + reason)
            told.append((BAD_CARD, reason))
        self._due_ms = now_ms + PAUSE_MS

    def _event(self, text):
        code = codes.code_of(text, self._app.settings.card_prefixes)
        if isinstance(code, codes.Card):
            return CARD, by_code(code.number)
        if isinstance(code, codes.Refused):
            self._app.log("info", "scan: " + code.reason)
            return BAD_CARD, FOREIGN if code.reason == codes.FOREIGN else code.reason
        return SCAN, (code.number if isinstance(code, codes.Goods) else code.text).encode()
