"""A receipt printer's mechanics: ESC/POS bytes in, paper with dots on it out, and what it says of
itself.

Pure. It prints bitmaps (GS v 0, and in strips ESC *), feeds, cuts, opens a drawer; text is kept as
bytes beside the dots. Of its commands it knows those that receipts use; others are counted.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

WIDTH: Final = 384  # dots of 58 mm paper
_LINE_FEED_DOTS: Final = 30
_REALTIME_BYTES: Final = 3
# Commands with a fixed number of bytes after their two letters.
_FIXED: Final = {
    b"\x1b@": 0,
    b"\x1bE": 1,
    b"\x1b-": 1,
    b"\x1ba": 1,
    b"\x1bd": 1,
    b"\x1bJ": 1,
    b"\x1bM": 1,
    b"\x1bt": 1,
    b"\x1b3": 1,
    b"\x1b2": 0,
    b"\x1bp": 3,
    b"\x1b7": 3,
    b"\x1d!": 1,
    b"\x1dB": 1,
    b"\x1dr": 1,
    b"\x10\x04": 1,
}


@dataclass
class Receipt:
    """Paper between two cuts: lines of dots, one byte a dot (1 is black), and the text that came
    beside."""

    lines: list[bytes] = field(default_factory=list)
    text: bytes = b""

    def png(self) -> bytes:
        """As a grey PNG."""
        width = len(self.lines[0]) if self.lines else WIDTH
        rows = b"".join(b"\x00" + line.translate(_GREYS) for line in self.lines)
        head = struct.pack(">IIBBBBB", width, len(self.lines), 8, 0, 0, 0, 0)
        return b"\x89PNG\r\n\x1a\n" + b"".join(
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
            for kind, data in ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
        )


class Mechanism:
    """The printer. paper_lines: dots of paper left, None: plenty; cover_is_open, is_broken,
    is_silent: as it is; overrun_bytes: size of a buffer that the line may overrun, 0: none."""

    def __init__(self, width: int = WIDTH, paper_lines: int | None = None) -> None:
        self.width = width
        self.paper_lines = paper_lines
        self.near_end_lines = 400
        self.cover_is_open = self.is_broken = self.is_silent = False
        self.receipts: list[Receipt] = []
        self.drawer_pulses = 0
        self.unknown_commands = 0
        self._paper = Receipt()
        self._received = bytearray()

    @property
    def torn_off(self) -> Receipt:
        """What stands on the paper that isn't cut yet."""
        return self._paper

    def tear_off(self) -> Receipt:
        """Take the paper that isn't cut yet."""
        torn, self._paper = self._paper, Receipt()
        return torn

    def feed(self, data: bytes) -> bytes:
        """Bytes of the terminal; what the printer says to them. Asked for its state it answers at once, also
        in the middle of a picture that a terminal without power left unfinished."""
        if self._received and len(data) == _REALTIME_BYTES and data[:2] == b"\x10\x04":
            return b"" if self.is_silent else self._realtime(data[2])
        self._received += data
        said = b"".join(self._done())
        return b"" if self.is_silent else said

    # ---------------------------------------------------------------- state

    @property
    def has_paper(self) -> bool:
        return self.paper_lines is None or self.paper_lines > 0

    @property
    def is_near_end(self) -> bool:
        return self.paper_lines is not None and self.paper_lines <= self.near_end_lines

    def _realtime(self, kind: int) -> bytes:
        """Answer to DLE EOT n."""
        status = 0x12
        offline = self.cover_is_open or self.is_broken or not self.has_paper
        if kind == 1 and offline:
            status |= 0x08
        if kind == 2:
            status |= 0x04 * self.cover_is_open | 0x20 * (not self.has_paper) | 0x40 * self.is_broken
        if kind == 4:
            status |= 0x0C * self.is_near_end | 0x60 * (not self.has_paper)
        return bytes((status,))

    def _after(self) -> bytes:
        """Answer to GS r 1."""
        return bytes((0x03 * self.is_near_end | 0x0C * (not self.has_paper),))

    # ---------------------------------------------------------------- commands

    def _done(self) -> Iterator[bytes]:
        received = self._received
        while received:
            size = self._size()
            if size == 0 or len(received) < size:
                return
            command = bytes(received[:size])
            del received[:size]
            yield self._obey(command)

    def _size(self) -> int:
        """Bytes of the command that begins here; 0: not known yet."""
        received = self._received
        if received[0] not in (0x1B, 0x1D, 0x10):
            return 1
        if len(received) < 2:
            return 0
        head = bytes(received[:2])
        if head == b"\x1dv":
            return 8 + self._raster_bytes() if len(received) >= 8 else 0
        if head == b"\x1dV":
            return 0 if len(received) < 3 else 4 if received[2] in (0x41, 0x42) else 3
        if head == b"\x1b*":
            if len(received) < 5:
                return 0
            columns = received[3] + 256 * received[4]
            return 5 + columns * (3 if received[2] in (32, 33) else 1)
        if head in _FIXED:
            return 2 + _FIXED[head]
        self.unknown_commands += 1
        return 2

    def _raster_bytes(self) -> int:
        low, high, rows_low, rows_high = self._received[4:8]
        return (low + 256 * high) * (rows_low + 256 * rows_high)

    def _obey(self, command: bytes) -> bytes:
        head = command[:2]
        if head == b"\x10\x04":
            return self._realtime(command[2])
        if head == b"\x1dr":
            return self._after()
        if head == b"\x1dv":
            self._raster(command)
        elif head == b"\x1b*":
            self._columns(command)
        elif head == b"\x1dV":
            self._cut()
        elif head == b"\x1bd":
            self._blank(command[2] * _LINE_FEED_DOTS)
        elif head == b"\x1bJ":
            self._blank(command[2])
        elif head == b"\x1bp":
            self.drawer_pulses += 1
        elif len(command) == 1 and command != b"\0":
            self._paper.text += command
            if command == b"\n":
                self._blank(_LINE_FEED_DOTS)
        return b""

    def _raster(self, command: bytes) -> None:
        across = command[4] + 256 * command[5]
        for start in range(8, len(command), across):
            self._line(dots_of(command[start : start + across]))

    def _columns(self, command: bytes) -> None:
        """ESC * with 24 dots a column: 24 lines."""
        depth = 3 if command[2] in (32, 33) else 1
        data = command[5:]
        for bit in range(8 * depth):
            self._line(data[bit // 8 :: depth].translate(_BITS[bit % 8]))

    def _line(self, dots: bytes) -> None:
        if not self.has_paper or self.cover_is_open or self.is_broken:
            return
        if self.paper_lines is not None:
            self.paper_lines -= 1
        self._paper.lines.append(dots[: self.width].ljust(self.width, b"\x00"))

    def _blank(self, count: int) -> None:
        for _ in range(count):
            self._line(b"")

    def _cut(self) -> None:
        if self._paper.lines or self._paper.text:
            self.receipts.append(self._paper)
        self._paper = Receipt()


def dots_of(packed: bytes) -> bytes:
    """One byte a dot, the left first."""
    return b"".join(_DOTS[byte] for byte in packed)


_DOTS: Final = tuple(bytes(byte >> bit & 1 for bit in range(7, -1, -1)) for byte in range(256))
_BITS: Final = tuple(bytes(byte >> bit & 1 for byte in range(256)) for bit in range(7, -1, -1))  # of a byte
_GREYS: Final = b"\xff" + bytes(255)  # of a dot: white, black
