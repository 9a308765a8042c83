"""What boards with MicroPython's `machine` have in common: UARTs, keys, a display's bus, littlefs, TCP.

A board file names a device's wires in its "path": "uart:NUMBER:TX:RX", "matrix:ROWS:COLUMNS" (pins with
commas), "i2c:NUMBER:SCL:SDA", "spi:NUMBER:SCK:MOSI:CS", or "console", where the interpreter's own prompt is.
What is of one chip only stands in that chip's file.
"""

import asyncio
import errno
import os
import socket
import sys
from asyncio import core

import machine

import terminal
from terminal.hal import CertificateError
from terminal.hal.clock import Clock
from terminal.hal.crypto import aes
from terminal.hal.display import Display
from terminal.hal.report import emit, fault

PIECE_BYTES = 64  # read from a serial port or written to one at once
LINE_BYTES = 512  # read from the line at once: more than one frame
BAUD = 9600  # of a UART whose board file names none
RECEIVED_BYTES = 1024  # kept of a device while a flow works: a long QR code, a card's three tracks
CONSOLE = "console"
I2C_HZ = 400000
SPI_HZ = 500000  # ST7920: 72 us an operation, and nobody waits for it
NETWORK_RETRY_MS = 250


class Board:
    """The doors of a microcontroller, as its board file says. network: the chip's, see Network. Raises
    OSError."""

    def __init__(self, file, network):
        self._settings = file["settings"]
        self._network = network
        self.devices = file["devices"]
        self.clock = Clock()
        self.storage = Storage(file["storage"])
        self.random = os.urandom
        self.aes = aes
        display = self.devices.get("display", {})
        bus = bus_of(display.get("path", ""))
        self.display = Display(display["kind"] if bus else "memory", bus)
        self.emit = emit
        self.fault = fault
        self.update = None  # software comes by flashing: docs/boards.md

    def line(self, host, port):
        return TcpLine(self._network, host, port)

    def secure(self, paths):
        def refused(host, port):
            raise CertificateError("this board has no TLS")

        return refused

    def door(self, name):
        device = self.devices.get(name)
        return port_of(device["path"], device.get("baud", BAUD)) if device else None

    def forget_given_keys(self):
        from terminal.settings import without_keys

        cut = self._settings.rfind("/")
        place = Storage(self._settings[:cut] or "/")
        name = self._settings[cut + 1 :]
        try:
            content = without_keys(place.read(name) or b"{}")
        finally:
            terminal.forget("terminal.settings")
        if content is not None:
            place.replace(name, content)


# ---------------------------------------------------------------- wires


def numbers_of(path):
    """The parts of a path behind its kind: numbers, or tuples of them. Raises ValueError."""
    parts = []
    for part in path.split(":")[1:]:
        pins = tuple([int(pin) for pin in part.split(",")])
        parts.append(pins if len(pins) > 1 else pins[0])
    return parts


def port_of(path, baud):
    """The port of a device on these wires. Raises ValueError."""
    if path == CONSOLE:
        return Console()
    if path.startswith("uart:"):
        number, tx, rx = numbers_of(path)
        return Uart(number, tx, rx, baud)
    if path.startswith("matrix:"):
        rows, columns = numbers_of(path)
        return Matrix(rows, columns)
    raise ValueError(path)


def bus_of(path):
    """The bus of a display on these wires; None for "". Raises ValueError."""
    if not path:
        return None
    if path.startswith("i2c:"):
        return I2cBus(*numbers_of(path))
    if path.startswith("spi:"):
        return SpiBus(*numbers_of(path))
    raise ValueError(path)


class Uart:
    """A UART, 8N1. It never says that its device has gone: the device's own silence does."""

    def __init__(self, number, tx, rx, baud):
        self._number = number
        self._pins = tx, rx
        self._baud = baud
        self._uart = None

    def open(self):
        tx, rx = self._pins
        self._uart = machine.UART(
            self._number,
            baudrate=self._baud,
            bits=8,
            parity=None,
            stop=1,
            tx=machine.Pin(tx),
            rx=machine.Pin(rx),
            rxbuf=RECEIVED_BYTES,
            timeout=0,
        )

    async def read(self):
        uart = self._uart
        while True:
            await readable(uart)
            data = uart.read(PIECE_BYTES)
            if data:  # MicroPython may wake up for nothing: None
                return data

    async def write(self, data):
        await write_all(self._uart, data)

    def close(self):
        if self._uart is not None:
            self._uart.deinit()
            self._uart = None


class Console:
    """The cable that the board is flashed by: the service port of a board with no other UART to spare.

    ETX is Control-C there, so that no longer stops the program while the port is open.
    """

    def open(self):
        import micropython

        micropython.kbd_intr(-1)

    async def read(self):
        await readable(sys.stdin.buffer)
        return sys.stdin.buffer.read(1)  # more would wait until there is as much

    async def write(self, data):
        sys.stdout.buffer.write(data)

    def close(self):
        import micropython

        micropython.kbd_intr(3)


class Matrix:
    """Keys between rows, driven low one after the other, and columns with pull-ups; a byte a key."""

    def __init__(self, rows, columns):
        self._rows = rows
        self._columns = columns
        self._wires = None
        self._keypad = None
        self._clock = Clock()

    def open(self):
        from terminal.drivers.keypad import Keypad

        rows = [machine.Pin(pin, machine.Pin.OUT, value=1) for pin in self._rows]
        columns = [machine.Pin(pin, machine.Pin.IN, machine.Pin.PULL_UP) for pin in self._columns]
        self._wires = rows, columns
        self._keypad = Keypad()

    async def read(self):
        from terminal.drivers.keypad import SCAN_MS, Pressed

        lines = [0] * len(self._rows)
        while True:
            await asyncio.sleep_ms(SCAN_MS)
            self._scan(lines)
            for event in self._keypad.scan(lines, self._clock.now_ms()):
                if isinstance(event, Pressed):
                    return event.key.encode()

    def _scan(self, lines):
        rows, columns = self._wires
        for place, row in enumerate(rows):
            row.value(0)
            closed = 0
            for number, column in enumerate(columns):
                closed |= (1 - column.value()) << number
            row.value(1)
            lines[place] = closed

    async def write(self, data):
        """Keys take nothing."""

    def close(self):
        self._wires = None


class I2cBus:
    """A display's messages over I2C."""

    def __init__(self, number, scl, sda):
        self._wires = number, scl, sda
        self._bus = None

    def open(self):
        number, scl, sda = self._wires
        self._bus = machine.I2C(number, scl=machine.Pin(scl), sda=machine.Pin(sda), freq=I2C_HZ)

    def send(self, message):
        from terminal.drivers.ssd1306 import ADDRESS

        self._bus.writeto(ADDRESS, message)

    def close(self):
        self._bus = None


class SpiBus:
    """A display's messages over SPI; the display is chosen while its wire is high, as ST7920 has it."""

    def __init__(self, number, sck, mosi, cs):
        self._wires = number, sck, mosi
        self._chosen = cs
        self._bus = None

    def open(self):
        number, sck, mosi = self._wires
        self._bus = machine.SPI(
            number, baudrate=SPI_HZ, polarity=1, phase=1, sck=machine.Pin(sck), mosi=machine.Pin(mosi)
        )
        if isinstance(self._chosen, int):
            self._chosen = machine.Pin(self._chosen, machine.Pin.OUT, value=0)

    def send(self, message):
        self._chosen.value(1)
        self._bus.write(message)
        self._chosen.value(0)

    def close(self):
        if self._bus is not None:
            self._bus.deinit()
            self._bus = None


# ---------------------------------------------------------------- storage


class Storage:
    """Files in one directory of a littlefs: a closed file is in the flash, a name is replaced whole."""

    def __init__(self, directory):
        self._directory = directory.rstrip("/")
        if self._directory:
            try:
                os.mkdir(self._directory)
            except OSError as error:
                if error.errno != errno.EEXIST:
                    raise

    def read(self, name):
        try:
            with open(self._path(name), "rb") as file:
                return file.read()
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise
            return None

    def size(self, name):
        try:
            return os.stat(self._path(name))[6]
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise
            return None

    def piece(self, name, at, count):
        with open(self._path(name), "rb") as file:
            file.seek(at)
            return file.read(count)

    def append(self, name, data):
        with open(self._path(name), "ab") as file:
            file.write(data)

    def replace(self, name, data):
        new = self._path(name) + ".new"
        with open(new, "wb") as file:
            file.write(data)
        os.rename(new, self._path(name))

    def remove(self, name):
        try:
            os.remove(self._path(name))
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise

    def _path(self, name):
        return self._directory + "/" + name


# ---------------------------------------------------------------- line


class Wifi:
    """A wireless network that is joined when the line is wanted, and again when it was lost.

    values: of the board file's "network": ssid, password.
    """

    def __init__(self, values):
        self._values = values
        self._station = None

    async def up(self):
        """Returns when it is; the caller bounds the time. Raises OSError where there is no network."""
        if not self._values:
            raise OSError(errno.ENODEV)
        if self._station is None:
            import network

            self._station = network.WLAN(network.STA_IF)
            self._station.active(True)
        station = self._station
        if station.isconnected():
            return
        station.disconnect()
        station.connect(self._values["ssid"], self._values.get("password"))
        while not station.isconnected():
            await asyncio.sleep_ms(NETWORK_RETRY_MS)


class TcpLine:
    """One TCP connection. host: a dotted address; looking up a name would stop all else meanwhile."""

    def __init__(self, network, host, port):
        self._network = network
        self._host = host
        self._port = port
        self._socket = None

    async def connect(self):
        await self._network.up()
        address = socket.getaddrinfo(self._host, self._port, 0, socket.SOCK_STREAM)[0][-1]
        self._socket = socket.socket()
        self._socket.setblocking(False)
        try:
            self._socket.connect(address)
        except OSError as error:
            if error.errno != errno.EINPROGRESS:
                raise
            await writable(self._socket)

    def send(self, data):
        try:
            return self._socket.send(data)
        except OSError:
            return 0  # nothing was taken

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


# ---------------------------------------------------------------- asyncio


def readable(stream):
    """`await` it: returns when there is something to read. As MicroPython's own streams, without buffers."""
    yield core._io_queue.queue_read(stream)


def writable(stream):
    """`await` it: returns when something can be written."""
    yield core._io_queue.queue_write(stream)


async def write_all(stream, data):
    """Write it piece by piece, as the stream takes them. Raises OSError when it has been closed."""
    view = memoryview(data)
    at = 0
    while at < len(view):
        if stream is None:
            raise OSError(errno.ENODEV)
        count = stream.write(view[at : at + PIECE_BYTES])
        if count:
            at += count
        else:
            await writable(stream)
