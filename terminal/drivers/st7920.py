"""A 128 x 64 display with an ST7920 on its serial interface: what goes over the wire for a frame.

Sitronix ST7920 datasheet, clauses on serial interface and extended instructions. Frames are lines
of 16 bytes, the left dot in the highest bit (MicroPython's MONO_HLSB). Its memory is 256 x 32: the
lower half of the glass is the right half of it. Pure: the bus, and a pause of 72 us after each
message, are the board's.
"""

WIDTH, HEIGHT = 128, 64
PAUSE_US = 72
CLEAR_PAUSE_US = 1600
_LINE_BYTES = WIDTH // 8
_SYNC = 0xF8  # five ones, RW, RS, zero
_RS = 0x02

_BASIC, _EXTENDED, _GRAPHIC = 0x30, 0x34, 0x36
_DISPLAY_ON, _CLEAR = 0x0C, 0x01


class St7920:
    """Messages of the wire: start() once and after every trouble, then frame()."""

    def __init__(self):
        self._shown = bytearray(_LINE_BYTES * HEIGHT)
        self._is_known = False

    def start(self):
        """Set it up; nothing is known of what it shows. After the third message CLEAR_PAUSE_US."""
        self._is_known = False
        return [_command(code) for code in (_BASIC, _DISPLAY_ON, _CLEAR, _EXTENDED, _GRAPHIC)]

    def frame(self, dots):
        """Yields what makes it show these dots: the lines that are new."""
        for line in range(HEIGHT):
            at = line * _LINE_BYTES
            new = dots[at : at + _LINE_BYTES]
            if self._is_known and new == self._shown[at : at + _LINE_BYTES]:
                continue
            yield _command(0x80 | line & 31)
            yield _command(0x80 | (line >> 5) << 3)
            yield _data(new)
            self._shown[at : at + _LINE_BYTES] = new
        self._is_known = True


def _command(code):
    return bytes((_SYNC, code & 0xF0, code << 4 & 0xF0))


def _data(values):
    message = bytearray(1 + 2 * len(values))
    message[0] = _SYNC | _RS
    at = 1
    for value in values:
        message[at] = value & 0xF0
        message[at + 1] = value << 4 & 0xF0
        at += 2
    return bytes(message)
