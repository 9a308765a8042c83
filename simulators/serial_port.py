"""The device's end of a serial cable: one pseudo-terminal whose other end the firmware opens by a stable
path.

Bytes only: what they mean is the device's business. Nothing here waits for the firmware; bytes it does not
take in time are lost, as on a real UART.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import termios
import tty
from collections.abc import Callable
from pathlib import Path
from typing import Final

# 8N1 is ten bits a byte: 9600 baud carries 960 bytes a second.
PACE_9600_8N1: Final = 960
AS_FAST_AS_POSSIBLE: Final = 0
READ_BYTES: Final = 4096  # one kernel tty buffer


class SerialPort:
    """A pty in raw mode, its slave linked at `link`.

    The slave stays open here, so the settings and the port survive the firmware's death. `receive` is
    called with the bytes the firmware writes.
    """

    def __init__(self, link: Path, receive: Callable[[bytes], None] | None = None) -> None:
        self.link = link
        self.lost_bytes = 0
        self._receive = receive
        self._master = -1
        self._slave = -1
        self._slave_path = ""

    @property
    def is_open(self) -> bool:
        """True between `open` and `close`."""
        return self._master >= 0

    def open(self) -> None:
        """Make the pty and link it. Needs the running event loop."""
        assert not self.is_open, "a port is opened once"
        self._master, self._slave = os.openpty()
        self._slave_path = os.ttyname(self._slave)
        tty.setraw(self._slave, termios.TCSANOW)
        settings = termios.tcgetattr(self._slave)
        settings[4] = settings[5] = termios.B9600
        termios.tcsetattr(self._slave, termios.TCSANOW, settings)
        os.set_blocking(self._master, False)
        self._publish()
        asyncio.get_running_loop().add_reader(self._master, self._readable)

    def close(self) -> None:
        """Pull the cable: the link goes, the firmware's end reads as hung up."""
        if not self.is_open:
            return
        asyncio.get_running_loop().remove_reader(self._master)
        with contextlib.suppress(OSError):
            if os.readlink(self.link) == self._slave_path:
                self.link.unlink()
        os.close(self._slave)
        os.close(self._master)
        self._master = self._slave = -1

    async def send(self, data: bytes, bytes_per_second: int = AS_FAST_AS_POSSIBLE) -> None:
        """Put `data` on the line, one byte after the other at `bytes_per_second` (0: at once)."""
        if bytes_per_second == AS_FAST_AS_POSSIBLE:
            self.write(data)
            return
        clock = asyncio.get_running_loop().time
        started = clock()
        sent = 0
        while sent < len(data):
            # The line's own clock, not a sum of sleeps: a late wake-up is caught up as a UART's buffer would.
            due = min(len(data), int((clock() - started) * bytes_per_second) + 1)
            if due > sent:
                self.write(data[sent:due])
                sent = due
            else:
                await asyncio.sleep(started + sent / bytes_per_second - clock())

    def forget_unread(self) -> None:
        """Drop bytes the firmware has not read: what a power cut does to a UART's buffer."""
        if self.is_open:
            termios.tcflush(self._slave, termios.TCIFLUSH)

    def _publish(self) -> None:
        temporary = self.link.with_name(f".{self.link.name}.{os.getpid()}")
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(self._slave_path)
        temporary.replace(self.link)

    def write(self, data: bytes) -> None:
        """Put `data` on the line at once; what does not fit is lost."""
        if not self.is_open:
            self.lost_bytes += len(data)
            return
        try:
            written = os.write(self._master, data) if data else 0
        except OSError:
            written = 0
        self.lost_bytes += len(data) - written

    def _readable(self) -> None:
        try:
            data = os.read(self._master, READ_BYTES)
        except OSError:
            return
        if data and self._receive is not None:
            self._receive(data)


def forget_unread(link: Path) -> None:
    """As `SerialPort.forget_unread`, for a port that another process holds. A missing port is left alone."""
    with contextlib.suppress(OSError):
        descriptor = os.open(link, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        try:
            termios.tcflush(descriptor, termios.TCIFLUSH)
        finally:
            os.close(descriptor)
