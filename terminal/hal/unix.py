"""The unix board: serial ports and a display on tty or pty paths, TCP.

Runs on MicroPython's unix port and on CPython: what one of them lacks is looked for here and nowhere else.
Other modules get a Board (see `terminal.hal`) and never ask which interpreter or machine it is.
"""

import errno
import os
import termios

from terminal.hal import board
from terminal.hal.clock import Clock
from terminal.hal.streams import PIECE_BYTES, TcpLine, readable, write_all

BAUD = 9600  # of a serial port whose board file names none

# By their Linux numbers, MicroPython's termios names few of them: 8N1, receiver on, no modem control.
_CS8, _CREAD, _CLOCAL = 0o60, 0o200, 0o4000
_SPEEDS = {
    1200: 0o11,
    2400: 0o13,
    4800: 0o14,
    9600: 0o15,
    19200: 0o16,
    38400: 0o17,
    57600: 0o10001,
    115200: 0o10002,
}
_VTIME, _VMIN = 5, 6
_SIGHUP, _IGNORE = 1, 1
_OWNER_ONLY = 0o077  # what is kept here holds keys and card numbers, even if sealed


class Board(board.Board):
    """The doors of this machine, as its board file says (see settings.board()). Raises OSError."""

    def __init__(self, file):
        _outlive_hang_ups()
        _umask(_OWNER_ONLY)
        super().__init__(file, Clock(), lambda path: Bus(path) if path else None)
        self.line = TcpLine

    def door(self, name):
        device = self.devices.get(name)
        if not device:
            return None
        if device["path"][0].isdigit():
            from terminal.hal.listening import ListeningPort

            return ListeningPort(device["path"])
        return SerialPort(device["path"], device.get("baud", BAUD))


# ---------------------------------------------------------------- display


class Bus:
    """A display's bus on a tty or pty: each message between two END bytes, as RFC 1055 has it."""

    def __init__(self, path):
        self._path = path
        self._stream = None

    def open(self):
        self._stream = _open_without_blocking(self._path)

    def send(self, message):
        data = message.replace(_ESCAPE, _ESCAPED_ESCAPE).replace(_END, _ESCAPED_END)
        data = _END + data + _END
        if self._stream.write(data) != len(data):
            raise OSError(errno.EAGAIN)  # nobody looks

    def close(self):
        if self._stream is not None:
            self._stream.close()
            self._stream = None


_END, _ESCAPE = b"\xc0", b"\xdb"
_ESCAPED_END, _ESCAPED_ESCAPE = b"\xdb\xdc", b"\xdb\xdd"


# ---------------------------------------------------------------- serial ports


class SerialPort:
    """A tty or pty, 8N1, raw. It may vanish and come back: close(), then open() again."""

    def __init__(self, path, baud=BAUD):
        self._path = path
        self._speed = _SPEEDS[baud]
        self.stream = None

    def open(self):
        self.stream = _open_without_blocking(self._path)
        try:
            _make_raw(self.stream.fileno(), self._speed)
        except OSError:
            self.close()
            raise

    async def read(self):
        await readable(self.stream)
        return self.stream.read(PIECE_BYTES) or b""

    async def write(self, data):
        await write_all(self, data)

    def close(self):
        if self.stream is not None:
            try:
                self.stream.close()
            except OSError:
                pass  # it had gone already
            self.stream = None


def _make_raw(descriptor, speed):
    """8N1 without any translation. Raises OSError when it is no serial line."""
    try:
        attributes = termios.tcgetattr(descriptor)
        attributes[0] = attributes[1] = attributes[3] = 0
        attributes[2] = _CS8 | _CREAD | _CLOCAL | speed
        attributes[4] = attributes[5] = speed
        attributes[6][_VMIN] = 1
        attributes[6][_VTIME] = 0
        termios.tcsetattr(descriptor, termios.TCSANOW, attributes)
    except getattr(termios, "error", OSError) as error:
        raise OSError(error.args[0])


if hasattr(os, "set_blocking"):

    def _open_without_blocking(path):
        descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        return open(descriptor, "r+b", 0)

    def _outlive_hang_ups():
        """No port becomes the controlling terminal here, so none can send a signal."""

    def _umask(mask):
        os.umask(mask)

else:
    _F_SETFL, _NONBLOCKING = 4, 0o4002  # O_RDWR | O_NONBLOCK

    def _open_without_blocking(path):
        stream = open(path, "r+b", 0)
        _c_function("fcntl", "iii")(stream.fileno(), _F_SETFL, _NONBLOCKING)
        return stream

    def _outlive_hang_ups():
        """A process without a terminal gets the first tty it opens as its own, and SIGHUP when that goes."""
        _c_function("signal", "iP")(_SIGHUP, _IGNORE)

    def _umask(mask):
        _c_function("umask", "i")(mask)

    def _c_function(name, arguments):
        import ffi

        return ffi.open(None).func("i", name, arguments)
