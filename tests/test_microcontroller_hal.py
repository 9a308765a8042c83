"""What microcontrollers have in common, as far as it runs without their hardware: on the real MicroPython.

Storage on a littlefs in memory, the wires that a board file names, a matrix of keys on pins that are played,
TCP over a real socket, TLS 1.2, which is what chips have, by a clock that stands. How they start: slots on a
littlefs, the image run from a ROMFS in memory, and the power cut at each write to either. UART, I2C, SPI and
the network itself need the chip.
"""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from switch.tls import Peer, Role
from tools import firmware_bundle, firmware_tree, fw_build, micropython
from tools.keys_authority import issue, open_authority

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
    tree = firmware_tree.build()  # before anybody waits
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
            cwd=tree,
            env={**os.environ, "MICROPYPATH": ".frozen:"},
            capture_output=True,
            text=True,
            check=False,
        )
        peer.join()
    assert run.stdout.split() == ["storage", "wires", "line", "keys"], run.stdout + run.stderr


STARTING = """\
import json, os, sys, vfs
from terminal import slots
from terminal.hal import rom as rom_of
from terminal.hal.files import SlotFiles, Storage

BLOCK, ROM_BLOCK = 4096, 256

class Cut(Exception):
    pass

class Power:
    left = -1

def cut():
    Power.left -= 1
    return Power.left == -1

class Flash(bytearray):
    # A block device that can be read as memory. Erased is all ones, and writing only makes zeros.
    block = BLOCK
    def readblocks(self, number, buffer, at=0):
        start = number * self.block + at
        buffer[:] = self[start : start + len(buffer)]
    def writeblocks(self, number, buffer, at=None):
        if at is None:
            self.ioctl(6, number)
        is_cut = cut()
        start = number * self.block + (at or 0)
        for place in range(len(buffer) // 2 if is_cut else len(buffer)):
            self[start + place] &= buffer[place]
        if is_cut:
            raise Cut
    def ioctl(self, operation, number):
        if operation == 6:
            is_cut = cut()
            start, count = number * self.block, self.block // 2 if is_cut else self.block
            self[start : start + count] = b"\\xff" * count
            if is_cut:
                raise Cut
        return {4: len(self) // self.block, 5: self.block}.get(operation, 0)

class Rom(Flash):
    block = ROM_BLOCK

class Machine:
    @staticmethod
    def reset():
        raise SystemExit("reset")

class Vfs:
    VfsRom = vfs.VfsRom
    mount, umount = vfs.mount, vfs.umount
    @staticmethod
    def rom_ioctl(operation, number):
        assert (operation, number) == (2, 0)
        return rom

sys.modules["machine"], sys.modules["vfs"] = Machine, Vfs
slot_of = lambda number: SlotFiles("/flash/storage", number)

def mounted():
    try:
        vfs.umount("/flash")
    except OSError:
        pass
    vfs.mount(vfs.VfsLfs2(flash), "/flash")

def filled(number, version):
    files = slot_of(number)
    files.remove(slots.WHOLE)
    files.clear()
    table, image = bundles[version]
    for name, data in (("TABLE", table), ("firmware.romfs", image), (slots.WHOLE, b"%d" % version)):
        files.append(name, data)

def started():
    # What ran: its version; and whether it asked for a start.
    mounted()
    ran.clear()
    try:
        rom_of.start("/flash/board.json")
    except SystemExit as ended:
        return ran, ended.args[0]
    return ran, None

bundles = {}
for version, path in ((1, sys.argv[1]), (2, sys.argv[2]), (3, sys.argv[3])):
    with open(path, "rb") as file:
        data = file.read()
    bundles[version] = data[: -int(sys.argv[4 + version - 1])], data[-int(sys.argv[4 + version - 1]) :]
ran = []
sys.modules["ran"] = type("ran", (), {"versions": ran})
image_of = lambda version: bundles[version][1]
holds = lambda version: bytes(rom[: len(image_of(version))]) == image_of(version)

flash, rom = Flash(b"\\xff" * BLOCK * 64), Rom(b"\\xff" * ROM_BLOCK * 16)
vfs.VfsLfs2.mkfs(flash)
mounted()
storage = Storage("/flash/storage")
with open("/flash/board.json", "w") as file:
    json.dump({"storage": "/flash/storage", "update": {"model": "X"}}, file)
filled(0, 1)

# As it was flashed: no version is on trial, and ROMFS is filled at the first start.
assert started() == ([1], None) and holds(1)

def at_each_cut(prepare, expected):
    # However often a start is cut, the next one runs what is expected, whole.
    mounted()
    prepare()
    kept, kept_rom, cuts = bytes(flash), bytes(rom), 0
    while True:
        flash[:], rom[:] = kept, kept_rom
        Power.left = cuts
        try:
            # A cut in the copy raises; the file system says it as an OSError, or so does what runs.
            started()
            done = Power.left >= 0
        except (Cut, OSError):
            done = False
        Power.left = -1
        if done:
            return cuts
        assert started()[0] == [expected] and holds(expected), (cuts, ran)
        cuts += 1

def trial():
    filled(1, 2)
    slots.put_on_trial(storage, 2)
print("trial", at_each_cut(trial, 2) > 10)
slots.is_well(storage)
assert slots.read(storage).newest == 2

# Version 3 dies at once: three starts, each asks for the next; then 2 is back, cut or not.
filled(0, 3)
slots.put_on_trial(storage, 3)
for _ in range(3):
    assert started() == ([3], "reset") and holds(3)
print("back", at_each_cut(lambda: None, 2) > 10)
assert slots.read(storage).failed == 3

# A damaged file of the slot is no trouble while ROMFS is right; when it is not, the other slot runs.
filled(0, 1)
slots.write(storage, slots.Boot(1, 0, True, 3, 2))
files = slot_of(1)
image = bytearray(files.read("firmware.romfs")); image[40] ^= 1
files.replace("firmware.romfs", image)
assert started()[0] == [2] and holds(2)
rom[70] ^= 1
assert started()[0] == [1] and holds(1)
other = bytearray(slot_of(0).read("firmware.romfs")); other[40] ^= 1
slot_of(0).replace("firmware.romfs", other)
assert started()[0] == [1] and holds(1)
files.remove("TABLE")
assert started()[0] == [1]
print("damage")
"""

MAIN = """\
import ran
def start(board_path):
    ran.versions.append(VERSION)
    if VERSION == 3:
        raise ValueError(board_path)
"""


def bundle_of(version: int, place: Path) -> tuple[Path, int]:
    """A bundle with an image of some blocks, whose one module says its version; and the image's length."""
    source = place / str(version) / "terminal"
    source.mkdir(parents=True)
    (source / "__init__.py").write_text(f"FILLED = {bytes([64 + version]) * 900!r}\n")
    (source / "main.py").write_text(f"VERSION = {version}\n" + MAIN)
    tree = firmware_tree.compile_tree(source, place / str(version) / "out")
    files = {path.relative_to(tree).as_posix(): path.read_bytes() for path in tree.rglob("*.mpy")}
    image = fw_build.romfs(files)
    path = place / f"{version}.bundle"
    path.write_bytes(firmware_bundle.unsigned("X", version, 0, {"firmware.romfs": image}, 1))
    return path, len(image)


def test_a_start_puts_the_slot_into_romfs_wherever_the_power_is_cut(tmp_path: Path) -> None:
    bundles = [bundle_of(version, tmp_path) for version in (1, 2, 3)]
    arguments = [str(path) for path, _ in bundles] + [str(length) for _, length in bundles]
    run = subprocess.run(
        [micropython.provide(), "-X", "heapsize=2M", "-c", STARTING, *arguments],
        cwd=firmware_tree.build(),
        env={**os.environ, "MICROPYPATH": ".frozen:"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    said = [line for line in run.stdout.splitlines() if not line.startswith("{")]
    assert said == ["trial True", "back True", "damage"]


SECURE = """\
import asyncio, sys
from terminal.hal import CertificateError, microcontroller
from terminal.hal import tls as door

directory, port, early_port = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
names = ("authority.crt", "terminal-10000001.crt", "terminal-10000001.key")
paths = [directory + "/" + name for name in names]

class Rtc:
    set_to = None
    def datetime(self, moment):
        Rtc.set_to = moment

class Up:
    async def up(self):
        pass

microcontroller.machine = type("machine", (), {"RTC": Rtc})
board = microcontroller.Board({"settings": "", "devices": {}, "storage": directory + "/kept"}, Up())

async def talk(secure):
    line = secure("127.0.0.1", port)
    await asyncio.wait_for(line.connect(), 20)
    assert line.send(b"ask") == 3  # hands are not shaken to the end yet
    assert await asyncio.wait_for(line.read(), 20) == b"answer"
    assert line.send(b"more") == 4
    assert await asyncio.wait_for(line.read(), 20) == b""
    line.close()
    line.close()

async def refused(secure):
    line = secure("127.0.0.1", early_port)
    try:
        await asyncio.wait_for(line.connect(), 20)
    except CertificateError as error:
        return error.what
    except OSError:
        return None
    finally:
        line.close()
    raise AssertionError("a certificate of tomorrow")

async def main():
    secure = board.secure(paths)
    await talk(secure)
    assert Rtc.set_to is None
    # One that is good but for the time: the clock goes forward to it, once; here it can't be set.
    assert await refused(secure) is None
    print(*Rtc.set_to)
    Rtc.set_to = None
    print(await refused(secure))
    assert Rtc.set_to is None
    board.clock.set_wall((2026, 11, 22, 17, 5, 9))
    assert Rtc.set_to == (2026, 11, 22, 0, 17, 5, 9, 0)

    class Without(door.tls.SSLContext):
        def get_ciphers(self):
            return ["TLS-RSA-WITH-AES-128-CBC-SHA"]
    door.tls = type("tls", (), {
        "SSLContext": Without, "PROTOCOL_TLS_CLIENT": door.tls.PROTOCOL_TLS_CLIENT, "CERT_REQUIRED": 2})
    try:
        board.secure(paths)("127.0.0.1", port)
    except CertificateError as error:
        print(error.what)

asyncio.run(main())
"""


def test_tls_on_what_every_port_has(tmp_path: Path) -> None:
    tree = firmware_tree.build()  # before anybody waits
    now = datetime.now(UTC).replace(microsecond=0)
    early = now + timedelta(days=3)
    authority, _ = open_authority(tmp_path, now)
    issue(tmp_path, authority, Peer(Role.TERMINAL, "10000001"), [], now, 30)
    peers = []
    for name, since, visits in (("main", now, 1), ("early", early, 2)):
        certificate = issue(tmp_path, authority, Peer(Role.SWITCH, name), ["127.0.0.1"], since, 30)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(tmp_path / "authority.crt")
        context.load_cert_chain(certificate, certificate.with_suffix(".key"))
        server = socket.create_server(("127.0.0.1", 0))
        server.settimeout(30)  # for a program that fails before it connects
        peers.append((server, threading.Thread(target=serve, args=(server, context, visits))))
        begins = x509.load_pem_x509_certificate(certificate.read_bytes()).not_valid_before_utc
    for _, peer in peers:
        peer.start()
    run = subprocess.run(
        [micropython.provide(), "-X", "heapsize=512k", "-c", SECURE, tmp_path]
        + [str(server.getsockname()[1]) for server, _ in peers],
        cwd=tree,
        env={**os.environ, "MICROPYPATH": ".frozen:"},
        capture_output=True,
        text=True,
        check=False,
    )
    for server, peer in peers:
        peer.join()
        server.close()
    assert run.stdout.splitlines() == [
        begins.strftime("%Y %-m %-d 0 %-H %-M %-S 0"),
        "the switch's certificate is refused: The certificate validity starts in the future",
        "this MicroPython was built without AES-GCM: no TLS that is good enough",
    ], run.stdout + run.stderr


def serve(server: socket.socket, context: ssl.SSLContext, visits: int) -> None:
    """Answer `ask`, hear the rest and end; or be refused."""
    for _ in range(visits):
        peer, _ = server.accept()
        with peer:
            peer.settimeout(30)
            try:
                with context.wrap_socket(peer, server_side=True) as line:
                    assert line.recv(16) == b"ask"
                    line.sendall(b"answer")
                    assert line.recv(16) == b"more"
            except ssl.SSLError:
                continue
