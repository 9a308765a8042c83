"""Dots in memory that letters and lines are put on: MicroPython's framebuf where it is, the same by
hand elsewhere.

Packed by lines (the left dot in the highest bit, printers and ST7920) or by columns of eight (the
upper dot in the lowest bit, SSD1306). What would lie outside is left out.
"""

try:
    import framebuf
except ImportError:
    framebuf = None


# The picture that is put on a canvas just now: used again and again, for a text has hundreds of letters.
_picture = bytearray(256)


class Canvas:
    """width: a multiple of 8; height: too, when packed by columns. dots: the bytes."""

    def __init__(self, width, height, by_columns=False):
        self.width = width
        self.height = height
        self.dots = bytearray(width * height // 8)
        self._by_columns = by_columns
        if framebuf:
            kind = framebuf.MONO_VLSB if by_columns else framebuf.MONO_HLSB
            self._frame = framebuf.FrameBuffer(self.dots, width, height, kind)

    def clear(self):
        self.rectangle(0, 0, self.width, self.height, False)

    def invert(self, y, height):
        """Turn these lines black on white into white on black. With packing by columns both are
        multiples of 8."""
        line = self.width // 8
        if self._by_columns:
            first, last = y // 8 * self.width, (y + height) // 8 * self.width
        else:
            first, last = y * line, (y + height) * line
        for place in range(first, min(last, len(self.dots))):
            self.dots[place] ^= 0xFF

    if framebuf:

        def blit(self, bits, at, width, height, x, y):
            """Put black dots of a picture, packed by lines, on it. They begin at this place of the bytes."""
            for place in range((width + 7) // 8 * height):
                _picture[place] = bits[at + place]
            picture = framebuf.FrameBuffer(_picture, width, height, framebuf.MONO_HLSB)
            self._frame.blit(picture, x, y, 0)

        def rectangle(self, x, y, width, height, is_black=True):
            """Fill with black, or with white."""
            self._frame.fill_rect(x, y, width, height, 1 if is_black else 0)

        def copy(self, other):
            """Take the dots of another of the same size, packed as they may be."""
            self._frame.blit(other._frame, 0, 0)

    else:

        def blit(self, bits, at, width, height, x, y):
            """Put black dots of a picture, packed by lines, on it. They begin at this place of the bytes."""
            line = (width + 7) // 8
            for row in range(max(0, -y), min(height, self.height - y)):
                begin = at + row * line
                dots = int.from_bytes(bits[begin : begin + line], "big") >> (8 * line - width)
                self._put(dots, width, x, y + row, True)

        def rectangle(self, x, y, width, height, is_black=True):
            """Fill with black, or with white."""
            dots = (1 << max(0, width)) - 1
            for row in range(max(0, y), min(y + height, self.height)):
                self._put(dots, width, x, row, is_black)

        def copy(self, other):
            """Take the dots of another of the same size, packed as they may be."""
            self.clear()
            for y in range(self.height):
                self._put(other._line(y), self.width, 0, y, True)

        def _line(self, y):
            """The dots of a line as a number, the left one its highest bit; packed by lines only."""
            line = self.width // 8
            return int.from_bytes(self.dots[y * line : (y + 1) * line], "big")

        def _put(self, dots, width, x, y, is_black):
            """Dots of a number, its highest the left one, on one line."""
            shift = self.width - x - width
            dots = dots << shift if shift >= 0 else dots >> -shift
            dots &= (1 << self.width) - 1
            if self._by_columns:
                for column in range(self.width):
                    if dots >> (self.width - 1 - column) & 1:
                        place, bit = (y >> 3) * self.width + column, 1 << (y & 7)
                        self.dots[place] = self.dots[place] | bit if is_black else self.dots[place] & ~bit
            elif dots:
                line = self.width // 8
                now = self._line(y)
                now = now | dots if is_black else now & ~dots
                self.dots[y * line : (y + 1) * line] = now.to_bytes(line, "big")
