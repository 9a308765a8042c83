"""What microcontrollers have in common, as far as it runs without their hardware: on the real MicroPython.

Storage on a littlefs in memory, the wires that a board file names, a matrix of keys on pins that are played,
TCP over a real socket. UART, I2C, SPI and the network itself need the chip.
"""

from __future__ import annotations

import os
import socket
import subprocess
import threading

from tools import firmware_tree, micropython

PROGRAM = """\
import asyncio, os, sys, vfs
from terminal.drivers.keypad import KEYS
from terminal.hal import microcontroller as hal
from terminal.hal.files import Storage

port = int(sys.argv[1])

class Memory:
    def __init__(self, blocks):
        self.data = bytearray(blocks * 4096)
    def readblocks(self, block, buffer, at=0):
        buffer[:] = self.data[block * 4096 + at :][: len(buffer)]
    def writeblocks(self, block, buffer, at=0):
        self.data[block * 4096 + at : block * 4096 + at + len(buffer)] = buffer
    def ioctl(self, operation, argument):
        return {4: len(self.data) // 4096, 5: 4096}.get(operation, 0)

def storage():
    memory = Memory(16)
    vfs.VfsLfs2.mkfs(memory)
    vfs.mount(vfs.VfsLfs2(memory), "/flash")
    files = Storage("/flash/kept/")
    assert files.read("a") is None and files.size("a") is None
    files.append("a", b"12"); files.append("a", b"345")
    assert files.read("a") == b"12345" and files.size("a") == 5 and files.piece("a", 1, 3) == b"234"
    files.replace("a", b"new")
    assert files.read("a") == b"new" and os.listdir("/flash/kept") == ["a"]
    Storage("/flash/kept").remove("a"); files.remove("a")
    assert files.read("a") is None
    try:
        files.append("b", bytes(100000))
    except OSError as error:
        assert error.errno == 28
    else:
        raise AssertionError("a full flash takes everything")

def wires():
    assert hal.numbers_of("uart:2:17:16") == [2, 17, 16]
    assert hal.numbers_of("matrix:1,2,3,4:5,6,7,8") == [(1, 2, 3, 4), (5, 6, 7, 8)]
    assert isinstance(hal.port_of("uart:2:17:16", 9600), hal.Uart)
    assert isinstance(hal.port_of("console", 9600), hal.Console)
    assert isinstance(hal.bus_of("spi:1:18:23:5"), hal.SpiBus)
    assert isinstance(hal.bus_of("i2c:0:22:21"), hal.I2cBus) and hal.bus_of("") is None
    for path in ("usb:1", "uart:1", "uart:x:1:2", "i2c"):
        try:
            (hal.port_of if path[0] == "u" else hal.bus_of)(path, *([9600] if path[0] == "u" else []))
        except (ValueError, TypeError):
            continue
        raise AssertionError(path)

class Pin:
    OUT, IN, PULL_UP = 1, 0, 2
    low = None
    pressed = None
    def __init__(self, number, kind=0, pull=0, value=0):
        self.number = number
    def value(self, level=None):
        if level is not None:
            Pin.low = self.number if level == 0 else None
            return None
        return 0 if Pin.pressed == (Pin.low, self.number) else 1

async def keys():
    hal.machine = type("machine", (), {"Pin": Pin})
    matrix = hal.port_of("matrix:1,2,3,4:5,6,7,8", 9600)
    matrix.open()
    for row, letters in enumerate(KEYS):
        for column, letter in enumerate(letters):
            Pin.pressed = (row + 1, column + 5)
            assert await asyncio.wait_for(matrix.read(), 5) == letter.encode()
            Pin.pressed = None
            try:
                await asyncio.wait_for(matrix.read(), 0.1)
                raise AssertionError("a key that nobody pressed")
            except asyncio.TimeoutError:
                pass
    matrix.close()

class Up:
    async def up(self):
        pass

async def line():
    tcp = hal.NetworkLine(Up(), "127.0.0.1", port)
    await asyncio.wait_for(tcp.connect(), 5)
    assert tcp.send(b"ask") == 3
    assert await asyncio.wait_for(tcp.read(), 5) == b"answer"
    assert await asyncio.wait_for(tcp.read(), 5) == b""
    tcp.close()
    try:
        await hal.Wifi(None).up()
    except OSError as error:
        assert error.errno == 19
    else:
        raise AssertionError("a network without a name")

storage(); print("storage")
wires(); print("wires")
asyncio.run(line()); print("line")
asyncio.run(keys()); print("keys")
"""


def test_what_runs_without_the_hardware() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(30)  # for a program that fails before it connects

        def answer() -> None:
            peer, _ = server.accept()
            with peer:
                assert peer.recv(16) == b"ask"
                peer.sendall(b"answer")

        peer = threading.Thread(target=answer)
        peer.start()
        run = subprocess.run(
            [micropython.provide(), "-X", "heapsize=512k", "-c", PROGRAM, str(server.getsockname()[1])],
            cwd=firmware_tree.build(),
            env={**os.environ, "MICROPYPATH": ".frozen:"},
            capture_output=True,
            text=True,
            check=False,
        )
        peer.join()
    assert run.stdout.split() == ["storage", "wires", "line", "keys"], run.stdout + run.stderr
