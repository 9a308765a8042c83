"""A port that is no serial line: whoever connects to it over TCP talks, the newest one; for a cash register.

Only `hal.unix` makes one, where the board file names "address/port" as a device's path.
"""

import asyncio
import errno
import socket

from terminal.hal.streams import PIECE_BYTES, readable, writable

TAKE_OVER_S = 1  # so often it is looked whether somebody new has connected


class ListeningPort:
    """As hal.unix.SerialPort; one at a time talks."""

    def __init__(self, path):
        self._path = path
        self._listener = None
        self._stream = None

    def open(self):
        if self._listener is not None:
            return
        host, _, port = self._path.partition("/")
        listener = socket.socket()
        listener.setblocking(False)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(socket.getaddrinfo(host, int(port), socket.AF_INET, socket.SOCK_STREAM)[0][-1])
            listener.listen(1)
        except OSError:
            listener.close()
            raise
        self._listener = listener

    async def read(self):
        while True:
            self._take_over()  # one that fell silent without a word must not keep another out
            if self._stream is None:
                await readable(self._listener)
                continue
            try:
                await asyncio.wait_for(readable(self._stream), TAKE_OVER_S)
                return self._stream.recv(PIECE_BYTES)
            except asyncio.TimeoutError:
                pass
            except OSError as error:
                if error.errno != errno.EAGAIN:
                    raise

    async def write(self, data):
        stream = self._stream
        view = memoryview(data)
        at = 0
        while at < len(view):
            if stream is None or stream is not self._stream:
                raise OSError(errno.ENODEV)
            try:
                at += stream.send(view[at : at + PIECE_BYTES])
            except OSError as error:
                if error.errno != errno.EAGAIN:
                    raise
                await writable(stream)

    def close(self):
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _take_over(self):
        try:
            stream, _ = self._listener.accept()
        except OSError:
            return  # nobody new
        self.close()
        stream.setblocking(False)
        self._stream = stream
