"""What boards with MicroPython's `machine` have in common: UARTs, keys, a display's bus, wireless TCP.

A board file names a device's wires in its "path": "uart:NUMBER:TX:RX", "matrix:ROWS:COLUMNS" (pins with
commas), "i2c:NUMBER:SCL:SDA", "spi:NUMBER:SCK:MOSI:CS", or "console", where the interpreter's own prompt is.
What is of one chip only stands in that chip's file.
"""

import asyncio
import errno
import sys

import machine

from terminal.hal import board
from terminal.hal.clock import Clock
from terminal.hal.streams import PIECE_BYTES, TcpLine, readable, write_all

BAUD = 9600  # of a UART whose board file names none
RECEIVED_BYTES = 1024  # kept of a device while a flow works: a long QR code, a card's three tracks
CONSOLE = "console"
I2C_HZ = 400000
SPI_HZ = 500000  # ST7920: 72 us an operation, and nobody waits for it
NETWORK_RETRY_MS = 250


class Board(board.Board):
    """The doors of a microcontroller, as its board file says. network: the chip's, see Wifi. Raises
    OSError, ValueError."""

    def __init__(self, file, network):
        super().__init__(file, ChipClock(), bus_of)
        self._network = network

    def line(self, host, port):
        return NetworkLine(self._network, host, port)

    def secure(self, paths):
        return super().secure(paths, self.clock)

    def door(self, name):
        device = self.devices.get(name)
        return port_of(device["path"], device.get("baud", BAUD)) if device else None


# RFC 5280, 4.1.2.5: what is before the time from which a certificate is good, "YYMMDDHHMMSSZ". The time until
# which it is good has two digits more from 2050 on.
VALIDITY = b"\x30\x1e\x17\x0d", b"\x30\x20\x17\x0d"


class ChipClock(Clock):
    """Tells the chip, too, which holds certificates against its own clock, and has forgotten the time at each
    start."""

    def __init__(self):
        super().__init__()
        self._begins = b""  # when the last of the certificates that were seen becomes good
        self._set_to = b""

    def set_wall(self, moment):
        super().set_wall(moment)
        self._tell_chip(moment)

    def seen(self, certificate):
        """One of the chain that a peer showed."""
        for mark in VALIDITY:
            at = certificate.find(mark) + len(mark)
            if at >= len(mark):
                self._begins = max(self._begins, certificate[at : at + 12])

    def follows(self):
        """All that was seen is good, but not yet: the chip's clock stands, and is set to when it is. Nobody
        can set it back. False: that was done already."""
        if self._set_to == self._begins:
            return False
        self._set_to = self._begins
        pairs = [int(self._begins[at : at + 2]) for at in range(0, 12, 2)]
        self._tell_chip([2000 + pairs[0]] + pairs[1:])
        return True

    def _tell_chip(self, moment):
        """Its zone is the shop's: some hours matter to no certificate."""
        machine.RTC().datetime(tuple(moment[:3]) + (0,) + tuple(moment[3:6]) + (0,))


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
        self.stream = None

    def open(self):
        tx, rx = self._pins
        self.stream = machine.UART(
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
        while True:
            await readable(self.stream)
            data = self.stream.read(PIECE_BYTES)
            if data:  # MicroPython may wake up for nothing: None
                return data

    async def write(self, data):
        await write_all(self, data)

    def close(self):
        if self.stream is not None:
            self.stream.deinit()
            self.stream = None


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


class NetworkLine(TcpLine):
    """A TCP connection over a network that may have to be joined first."""

    def __init__(self, network, host, port):
        super().__init__(host, port)
        self._network = network

    async def connect(self):
        await self._network.up()
        await super().connect()

    def _finish(self, address):
        """Only reading tells: what asking once more answers differs from port to port."""
