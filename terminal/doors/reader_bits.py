"""Card reader whose front end sends the levels of the head's clock and data lines, a byte for each change."""

from terminal.doors.reader import AsciiReader
from terminal.drivers.stripe_bits import StripeBits


class BitsReader(AsciiReader):
    """As the other one, from bits."""

    def _new_driver(self):
        return StripeBits()
