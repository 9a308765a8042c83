"""A 128 x 64 display with an SSD1306: what goes over I2C for a frame, and only what has changed.

Solomon Systech SSD1306 datasheet, clause 9 and application note 3. Frames are pages of eight lines,
a byte eight dots one below the other (MicroPython's MONO_VLSB). Pure: the bus is the board's.
"""

ADDRESS = 0x3C
WIDTH, HEIGHT = 128, 64
_PAGE_BYTES = WIDTH
_PAGES = HEIGHT // 8
_COMMANDS, _DATA = 0x00, 0x40  # first byte of each message

# Off; clock; lines; offset; first line; charge pump on; page addressing; mirrored as the glass is
# mounted; pins; contrast; precharge; level; show memory; not inverted; on.
_START = bytes.fromhex(
    "ae d5 80 a8 3f d3 00 40 8d 14 20 02 a1 c8 da 12 81 cf d9 f1 db 40 a4 a6 af".replace(" ", "")
)


class Ssd1306:
    """messages of the bus, each to ADDRESS: start() once and after every trouble, then frame()."""

    def __init__(self):
        self._shown = bytearray(_PAGE_BYTES * _PAGES)
        self._is_known = False

    def start(self):
        """Set it up; nothing is known of what it shows."""
        self._is_known = False
        return [bytes((_COMMANDS,)) + _START]

    def frame(self, dots):
        """Yields what makes it show these dots: for each page the columns that are new."""
        for page in range(_PAGES):
            first, last = self._changed(dots, page)
            if first > last:
                continue
            yield bytes((_COMMANDS, 0xB0 | page, first & 0x0F, 0x10 | first >> 4))
            at = page * _PAGE_BYTES
            yield bytes((_DATA,)) + bytes(dots[at + first : at + last + 1])
            self._shown[at + first : at + last + 1] = dots[at + first : at + last + 1]
        self._is_known = True

    def contrast(self, level):
        """0 to 255."""
        return [bytes((_COMMANDS, 0x81, level))]

    def lit(self, is_on):
        """Light on or off; what is shown stays."""
        return [bytes((_COMMANDS, 0xAF if is_on else 0xAE))]

    def _changed(self, dots, page):
        """First and last column of a page that differ from what is shown."""
        if not self._is_known:
            return 0, WIDTH - 1
        at = page * _PAGE_BYTES
        first, last = 0, WIDTH - 1
        while first < WIDTH and dots[at + first] == self._shown[at + first]:
            first += 1
        while last > first and dots[at + last] == self._shown[at + last]:
            last -= 1
        return first, last if first < WIDTH else -1
