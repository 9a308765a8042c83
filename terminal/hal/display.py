"""A display's door: takes a canvas, sends what its controller wants over the board's bus, gives the digest.

The digest is of the dots as a canvas packed by lines has them: the same whatever controller shows them.
A bus is the board's: open() and send(message), which raise OSError; close().
"""

import hashlib
from binascii import hexlify

from terminal.hal.canvas import Canvas


class Display:
    """kind: "memory", which nobody but the digest sees, "ssd1306" or "st7920". bus: None for memory."""

    def __init__(self, kind="memory", bus=None):
        self._bus = bus
        self._columns = None
        self._driver = None
        self._is_on = False
        if kind == "ssd1306":
            from terminal.drivers.ssd1306 import HEIGHT, WIDTH, Ssd1306

            self._driver = Ssd1306()
            self._columns = Canvas(WIDTH, HEIGHT, True)
        elif kind == "st7920":
            from terminal.drivers.st7920 import St7920

            self._driver = St7920()

    def show(self, canvas):
        """Show a canvas of 128 x 64, packed by lines; returns the digest of its dots (str). A display that
        can't be reached is set up again, at once and with each picture from then on."""
        if self._driver is not None and not self._sent(canvas):
            self._sent(canvas)
        return str(hexlify(hashlib.sha256(canvas.dots).digest()), "ascii")

    def _sent(self, canvas):
        try:
            self._send(canvas)
        except OSError:
            self._is_on = False
            self._bus.close()
        return self._is_on

    def _send(self, canvas):
        if not self._is_on:
            self._bus.open()
            for message in self._driver.start():
                self._bus.send(message)
        if self._columns is not None:
            self._columns.copy(canvas)
            canvas = self._columns
        for message in self._driver.frame(canvas.dots):
            self._bus.send(message)
        self._is_on = True
