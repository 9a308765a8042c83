"""The glass of a display: bytes of its bus in, dots out. SSD1306 on I2C, ST7920 on its serial wire.

Pure, but for the pty of DisplayPort. What a real one doesn't take it doesn't take here: an AssertionError
says so.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from simulators.serial_port import SerialPort

WIDTH, HEIGHT = 128, 64

# SSD1306 commands with bytes behind them.
_ARGUMENTS: Final = {0xD5: 1, 0xA8: 1, 0xD3: 1, 0x8D: 1, 0x20: 1, 0xDA: 1, 0x81: 1, 0xD9: 1, 0xDB: 1}


class Ssd1306Glass:
    """dots: lines of 128 bytes, 1 is lit, as seen by who reads it. bytes_taken: over the bus."""

    def __init__(self) -> None:
        self._memory = bytearray(1024)
        self._page = self._column = 0
        self.is_on = False
        self.contrast = 0x7F
        self.bytes_taken = 0

    def take(self, message: bytes) -> None:
        """One message to its address."""
        self.bytes_taken += len(message)
        if message[0] == 0x40:
            for byte in message[1:]:
                self._memory[self._page * 128 + self._column] = byte
                self._column = (self._column + 1) % 128
            return
        assert message[0] == 0x00, "commands or data"
        rest = message[1:]
        while rest:
            count = _ARGUMENTS.get(rest[0], 0)
            self._command(rest[0], rest[1 : 1 + count])
            rest = rest[1 + count :]

    def _command(self, code: int, arguments: bytes) -> None:
        if code == 0x20:
            assert arguments == b"\x02", "page addressing is what this glass shows"
        elif code == 0x81:
            self.contrast = arguments[0]
        elif code in (0xAE, 0xAF):
            self.is_on = code == 0xAF
        elif 0xB0 <= code <= 0xB7:
            self._page = code & 7
        elif code < 0x10:
            self._column = self._column & 0x70 | code
        elif code < 0x20:
            self._column = self._column & 0x0F | (code & 7) << 4

    def dots(self) -> list[bytes]:
        return [
            bytes(self._memory[y // 8 * 128 + x] >> (y % 8) & 1 for x in range(WIDTH)) for y in range(HEIGHT)
        ]


class St7920Glass:
    """dots: lines of 128 bytes, 1 is dark. bytes_taken: over the wire."""

    def __init__(self) -> None:
        self._memory = [bytearray(32) for _ in range(32)]  # 256 x 32
        self._line = self._column = 0
        self._wants_line = True
        self._is_extended = False
        self.shows_graphics = False
        self.is_on = False
        self.bytes_taken = 0

    def take(self, message: bytes) -> None:
        """One message on the wire."""
        self.bytes_taken += len(message)
        assert message[0] & 0xF9 == 0xF8, "synchronization: five ones"
        assert len(message) % 2 == 1, "two bytes for each"
        for at in range(1, len(message), 2):
            high, low = message[at : at + 2]
            assert not (high | low) & 0x0F, "nibbles stand in the upper half"
            value = high | low >> 4
            if message[0] & 0x02:
                self._write(value)
            else:
                self._command(value)

    def _command(self, code: int) -> None:
        if code & 0xF0 == 0x30:
            self._is_extended = bool(code & 4)
            if self._is_extended:
                self.shows_graphics = bool(code & 2)
        elif code & 0x80:
            assert self._is_extended, "an address of the graphic memory"
            if self._wants_line:
                self._line = code & 31
            else:
                self._column = (code & 15) * 2
            self._wants_line = not self._wants_line
        elif code == 0x0C:
            self.is_on = True

    def _write(self, value: int) -> None:
        self._wants_line = True
        self._memory[self._line][self._column] = value
        self._column = (self._column + 1) % 32

    def dots(self) -> list[bytes]:
        lines = []
        for y in range(HEIGHT):
            row = self._memory[y % 32][16 * (y // 32) : 16 * (y // 32) + 16]
            lines.append(bytes(byte >> bit & 1 for byte in row for bit in range(7, -1, -1)))
        return lines


END: Final = 0xC0  # RFC 1055: between messages of the unix board's bus
_ESCAPE: Final = 0xDB
_ESCAPED: Final = {0xDC: END, 0xDD: _ESCAPE}


class DisplayPort:
    """A display at the pty that a unix board has in place of a bus. kind: "ssd1306" or "st7920"."""

    def __init__(self, link: Path, kind: str) -> None:
        self.glass: Ssd1306Glass | St7920Glass = Ssd1306Glass() if kind == "ssd1306" else St7920Glass()
        self._port = SerialPort(link, self._receive)
        self._message = bytearray()
        self._is_escaped = False
        self.changed = asyncio.Event()

    def open(self) -> None:
        """Plug it in. Needs the running event loop."""
        self._port.open()

    def close(self) -> None:
        """Unplug it."""
        self._port.close()

    def packed(self) -> bytes:
        """What it shows, the left dot of a line in the highest bit."""
        return b"".join(
            bytes(int("".join(map(str, line[x : x + 8])), 2) for x in range(0, WIDTH, 8))
            for line in self.glass.dots()
        )

    def _receive(self, data: bytes) -> None:
        self.changed.set()
        for byte in data:
            if byte == END:
                if self._message:
                    self.glass.take(bytes(self._message))
                self._message.clear()
                self._is_escaped = False
            elif self._is_escaped:
                self._message.append(_ESCAPED.get(byte, byte))
                self._is_escaped = False
            elif byte == _ESCAPE:
                self._is_escaped = True
            else:
                self._message.append(byte)
