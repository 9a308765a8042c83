"""Dots in memory that letters and lines are put on: MicroPython's framebuf where it is, the same by
hand elsewhere.

Packed by lines (the left dot in the highest bit, printers and ST7920) or by columns of eight (the
upper dot in the lowest bit, SSD1306). What would lie outside is left out.
"""

try:
    import framebuf
except ImportError:
    framebuf = None


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
        for place in range(len(self.dots)):
            self.dots[place] = 0

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

        def blit(self, bits, width, height, x, y):
            """Put black dots of a picture, packed by lines, on it."""
            picture = framebuf.FrameBuffer(bytearray(bits), width, height, framebuf.MONO_HLSB)
            self._frame.blit(picture, x, y, 0)

        def rectangle(self, x, y, width, height):
            """Fill with black."""
            self._frame.fill_rect(x, y, width, height, 1)

    else:

        def blit(self, bits, width, height, x, y):
            """Put black dots of a picture, packed by lines, on it."""
            line = (width + 7) // 8
            for row in range(height):
                for column in range(width):
                    if bits[row * line + (column >> 3)] >> (7 - (column & 7)) & 1:
                        self._dot(x + column, y + row)

        def rectangle(self, x, y, width, height):
            """Fill with black."""
            for row in range(y, y + height):
                for column in range(x, x + width):
                    self._dot(column, row)

        def _dot(self, x, y):
            if not (0 <= x < self.width and 0 <= y < self.height):
                return
            if self._by_columns:
                self.dots[(y >> 3) * self.width + x] |= 1 << (y & 7)
            else:
                self.dots[y * (self.width >> 3) + (x >> 3)] |= 0x80 >> (x & 7)
