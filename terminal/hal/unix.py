"""The unix board: serial ports and a display on tty or pty paths, TCP, files in a directory.

Runs on MicroPython's unix port and on CPython: what one of them lacks is looked for here and nowhere else.
Other modules get a Board (see `terminal.hal`) and never ask which interpreter or machine it is.
"""

import errno
import os
import socket
import termios

import terminal
from terminal.hal import CertificateError
from terminal.hal.clock import Clock
from terminal.hal.crypto import aes
from terminal.hal.display import Display
from terminal.hal.report import emit, fault
from terminal.hal.slot_files import Update

PIECE_BYTES = 64  # read from a serial port or written to one at once
LINE_BYTES = 512  # read from the line at once: more than one frame
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


class Board:
    """The doors of this machine, as its board file says (see settings.board()). Raises OSError."""

    def __init__(self, file):
        _outlive_hang_ups()
        _umask(_OWNER_ONLY)
        self._settings = file["settings"]
        self.devices = file["devices"]
        self.clock = Clock()
        self.storage = Storage(file["storage"])
        self.random = os.urandom
        self.aes = aes
        display = self.devices.get("display", {})
        bus = Bus(display["path"]) if "path" in display else None
        self.display = Display(display["kind"] if bus else "memory", bus)
        self.line = TcpLine
        self.secure = secure
        self.emit = emit
        self.fault = fault
        self.update = Update(file["update"], file["storage"], _to_disk) if file.get("update") else None

    def door(self, name):
        device = self.devices.get(name)
        if not device:
            return None
        if device["path"][0].isdigit():
            from terminal.hal.listening import ListeningPort

            return ListeningPort(device["path"])
        return SerialPort(device["path"], device.get("baud", BAUD))

    def forget_given_keys(self):
        from terminal.settings import without_keys

        name = self._settings.rfind("/") + 1
        place = Storage(self._settings[:name] or ".")
        try:
            content = without_keys(place.read(self._settings[name:]) or b"{}")
        finally:
            terminal.forget("terminal.settings")
        if content is not None:
            place.replace(self._settings[name:], content)


# ---------------------------------------------------------------- storage


class Storage:
    """Files in one directory, made when missing. What a call has written is on the disk when it returns."""

    def __init__(self, directory):
        self._directory = directory
        _make_directory(directory)

    def read(self, name):
        try:
            file = open(self._path(name), "rb")
        except OSError as error:
            if error.errno == errno.ENOENT:
                return None
            raise
        try:
            return file.read()
        finally:
            file.close()

    def size(self, name):
        try:
            return os.stat(self._path(name))[6]
        except OSError as error:
            if error.errno == errno.ENOENT:
                return None
            raise

    def piece(self, name, at, count):
        with open(self._path(name), "rb") as file:
            file.seek(at)
            return file.read(count)

    def append(self, name, data):
        with open(self._path(name), "ab") as file:
            file.write(data)
            _to_disk(file)

    def replace(self, name, data):
        new = self._path(name) + ".new"
        with open(new, "wb") as file:
            file.write(data)
            _to_disk(file)
        os.rename(new, self._path(name))
        self._directory_to_disk()

    def remove(self, name):
        try:
            os.remove(self._path(name))
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise
        self._directory_to_disk()

    def _path(self, name):
        return self._directory + "/" + name

    def _directory_to_disk(self):
        """Names too must survive a power cut."""
        if hasattr(os, "fsync"):
            descriptor = os.open(self._directory, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        else:
            directory = open(self._directory, "rb")
            try:
                directory.flush()
            finally:
                directory.close()


def _to_disk(file):
    file.flush()  # MicroPython's is an fsync
    if hasattr(os, "fsync"):
        os.fsync(file.fileno())


def _make_directory(path):
    made = ""
    for part in path.split("/"):
        made += part
        if part:
            try:
                os.mkdir(made)
            except OSError as error:
                if error.errno != errno.EEXIST:
                    raise
        made += "/"


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


# ---------------------------------------------------------------- serial ports and line


class SerialPort:
    """A tty or pty, 8N1, raw. It may vanish and come back: close(), then open() again."""

    def __init__(self, path, baud=BAUD):
        self._path = path
        self._speed = _SPEEDS[baud]
        self._stream = None

    def open(self):
        self._stream = _open_without_blocking(self._path)
        try:
            _make_raw(self._stream.fileno(), self._speed)
        except OSError:
            self.close()
            raise

    async def read(self):
        await readable(self._stream)
        return self._stream.read(PIECE_BYTES) or b""

    async def write(self, data):
        stream = self._stream
        view = memoryview(data)
        at = 0
        while at < len(view):
            if stream is None or stream is not self._stream:
                raise OSError(errno.ENODEV)
            count = stream.write(view[at : at + PIECE_BYTES])
            if count:
                at += count
            else:
                await writable(stream)

    def close(self):
        if self._stream is not None:
            try:
                self._stream.close()
            except OSError:
                pass  # it had gone already
            self._stream = None


class TcpLine:
    """One TCP connection. host: a dotted address; looking up a name would stop all else meanwhile."""

    def __init__(self, host, port):
        self._host = host
        self._port = port
        self._socket = None

    async def connect(self):
        address = socket.getaddrinfo(self._host, self._port, socket.AF_INET, socket.SOCK_STREAM)[0][-1]
        self._socket = socket.socket()
        self._socket.setblocking(False)
        try:
            self._socket.connect(address)
        except OSError as error:
            if error.errno != errno.EINPROGRESS:
                raise
            await writable(self._socket)
            self._finish(address)

    def _finish(self, address):
        """Learn how the connecting ended: asking once more tells."""
        try:
            self._socket.connect(address)
        except OSError as error:
            if error.errno != _EISCONN:
                raise

    def send(self, data):
        try:
            return self._socket.send(data)
        except OSError:
            return 0  # the kernel took nothing

    async def read(self):
        while True:
            await readable(self._socket)
            try:
                return self._socket.recv(LINE_BYTES)
            except OSError as error:
                if error.errno != errno.EAGAIN:
                    raise

    def close(self):
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def secure(paths):
    """A line with TLS; its files are read for the first connection, and a mistake in them is told then."""
    silence = Silence()
    contexts = []

    def line(host, port):
        if _core:
            from terminal.hal.tls import TlsLine, context_of
        else:
            from terminal.hal.cpython import TlsLine, context_of
        if not contexts:
            contexts.append(context_of(paths))
        return TlsLine(contexts[0], silence, host, port)

    return line


class Silence:
    """Connections that ended before the switch said anything, one after the other.

    A switch that refuses the terminal's certificate says so only after the terminal has begun to talk (TLS
    1.3), and that word is often lost with the connection; that each one ends at once is what remains of it.
    """

    def __init__(self):
        self.count = 0

    def heard(self, data):
        """What read() brought: something, or the end. Raises CertificateError."""
        self.count = 0 if data else self.count + 1
        if self.count >= _SILENCES:
            raise CertificateError("the switch ends the line at once: is this terminal's certificate good?")


_SILENCES = 3  # a switch that is being restarted ends one or two
_EISCONN = 106  # Linux; MicroPython's errno has no name for it


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


# ---------------------------------------------------------------- asyncio


try:
    from asyncio import core as _core
except ImportError:
    _core = None

if _core:
    # What MicroPython's own streams do, without their buffers.

    def readable(stream):
        """`await` it: returns when there is something to read."""
        yield _core._io_queue.queue_read(stream)

    def writable(stream):
        """`await` it: returns when something can be written."""
        yield _core._io_queue.queue_write(stream)

else:
    from terminal.hal.cpython import readable, writable
