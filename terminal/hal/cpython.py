"""What CPython does in MicroPython's place on the unix board; never imported there.

Waiting for a descriptor in asyncio, a frame buffer, the place of an exception.
"""

import asyncio

LETTER = 8  # dots, either way


class Dots:
    """What the display needs of `framebuf.FrameBuffer`, for an interpreter without it.

    Letters are bit patterns made of their codes: equal texts look equal, others differ, nobody can read them.
    """

    def __init__(self, dots, width):
        self._dots = dots
        self._width = width

    def fill(self, _):
        for place in range(len(self._dots)):
            self._dots[place] = 0

    def hline(self, x, y, length, _):
        for column in range(x, min(x + length, self._width)):
            self._dots[y // 8 * self._width + column] |= 1 << y % 8

    def text(self, letters, x, y, _):
        for letter in letters:
            pattern = ord(letter) * 0x9E3779B1 if letter != " " else 0
            for column in range(x, min(x + LETTER, self._width)):
                bits = (pattern >> 4 * (column - x) & 0xFF) << y % 8
                place = y // 8 * self._width + column
                self._dots[place] |= bits & 0xFF
                if bits > 0xFF and place + self._width < len(self._dots):
                    self._dots[place + self._width] |= bits >> 8
            x += LETTER


async def readable(stream):
    """Returns when there is something to read."""
    loop = asyncio.get_running_loop()
    await _ready(stream, loop.add_reader, loop.remove_reader)


async def writable(stream):
    """Returns when something can be written."""
    loop = asyncio.get_running_loop()
    await _ready(stream, loop.add_writer, loop.remove_writer)


async def _ready(stream, add, remove):
    descriptor = stream.fileno()
    ready = asyncio.get_running_loop().create_future()
    add(descriptor, _set, ready)
    try:
        await ready
    finally:
        remove(descriptor)


def _set(ready):
    if not ready.done():
        ready.set_result(None)


def place_of(error):
    """File and line where an exception was raised."""
    trace = error.__traceback__
    while trace.tb_next:
        trace = trace.tb_next
    return "%s:%d" % (trace.tb_frame.f_code.co_filename, trace.tb_lineno)
