"""Waiting for what can be read and written, and TCP: on every board, MicroPython and CPython.

As MicroPython's own streams do it, without their buffers. Which board this is, is not asked here.
"""

import errno
import socket

PIECE_BYTES = 64  # read from a serial port or written to one at once
LINE_BYTES = 512  # read from the line at once: more than one frame
_EISCONN = 106  # Linux; MicroPython's errno has no name for it

try:
    from asyncio import core

    def readable(stream):
        """`await` it: returns when there is something to read."""
        yield core._io_queue.queue_read(stream)

    def writable(stream):
        """`await` it: returns when something can be written."""
        yield core._io_queue.queue_write(stream)

except ImportError:
    from terminal.hal.cpython import readable, writable


async def write_all(port, data):
    """Write it piece by piece, as the port's `stream` takes them. Raises OSError when that was closed or is
    another one by now."""
    stream = port.stream
    view = memoryview(data)
    at = 0
    while at < len(view):
        if stream is None or stream is not port.stream:
            raise OSError(errno.ENODEV)
        count = stream.write(view[at : at + PIECE_BYTES])
        if count:
            at += count
        else:
            await writable(stream)


class TcpLine:
    """One TCP connection. host: a dotted address; looking up a name would stop all else meanwhile."""

    def __init__(self, host, port):
        self.host = host
        self._port = port
        self.socket = None

    async def connect(self):
        address = socket.getaddrinfo(self.host, self._port, socket.AF_INET, socket.SOCK_STREAM)[0][-1]
        self.socket = socket.socket()
        self.socket.setblocking(False)
        try:
            self.socket.connect(address)
        except OSError as error:
            if error.errno != errno.EINPROGRESS:
                raise
            await writable(self.socket)
            self._finish(address)

    def _finish(self, address):
        """Learn how the connecting ended: asking once more tells."""
        try:
            self.socket.connect(address)
        except OSError as error:
            if error.errno != _EISCONN:
                raise

    def send(self, data):
        try:
            return self.socket.send(data)
        except OSError:
            return 0  # nothing was taken

    async def read(self):
        while True:
            await readable(self.socket)
            try:
                return self.socket.recv(LINE_BYTES)
            except OSError as error:
                if error.errno != errno.EAGAIN:
                    raise

    def close(self):
        if self.socket is not None:
            self.socket.close()
            self.socket = None
