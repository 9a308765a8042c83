"""The unix board's doors on the real machine: files, clock, display, TCP. Serial ports are met end to end."""

import asyncio
import json
import os
import socket
from binascii import hexlify

from terminal.hal import clock as ticking
from terminal.hal.canvas import Canvas
from terminal.hal.clock import Clock
from terminal.hal.display import Display
from terminal.hal.files import Storage, make_directory
from terminal.hal.report import fault
from terminal.hal.streams import TcpLine
from terminal.hal.unix import Board, SerialPort
from terminal.ui.fonts import small
from terminal.ui.lettering import draw


class Directory:
    """A directory that is gone again at the end of `with`, and what a board may do to the process with it."""

    def __enter__(self):
        self.mask = os.umask(0o022) if hasattr(os, "umask") else None
        self.path = (os.getenv("TMPDIR") or "/tmp") + "/vafa-" + str(hexlify(os.urandom(8)), "ascii")
        os.mkdir(self.path)
        return self.path

    def __exit__(self, *_):
        if self.mask is not None:
            os.umask(self.mask)
        remove(self.path)


def remove(path):
    for name in os.listdir(path):
        if is_directory(path + "/" + name):
            remove(path + "/" + name)
        else:
            os.remove(path + "/" + name)
    os.rmdir(path)


def is_directory(path):
    return os.stat(path)[0] & 0o170000 == 0o040000


def raised(call, *arguments):
    try:
        call(*arguments)
    except OSError:
        return True
    return False


def test_storage():
    with Directory() as path:
        storage = Storage(path + "/deep/er")
        assert storage.read("a") is None
        storage.remove("a")
        storage.replace("a", b"one")
        storage.append("a", b", two")
        storage.append("b", b"new")
        assert storage.read("a") == b"one, two"
        assert sorted(os.listdir(path + "/deep/er")) == ["a", "b"]
        storage.replace("a", b"three")
        assert Storage(path + "/deep/er").read("a") == b"three"
        storage.remove("a")
        assert storage.read("a") is None and storage.read("b") == b"new"


def test_storage_in_pieces():
    with Directory() as path:
        storage = Storage(path)
        assert storage.size("a") is None and raised(storage.piece, "a", 0, 9)
        for at in range(0, 9000, 1000):
            storage.append("a", bytes([at // 1000]) * 1000)
        assert storage.size("a") == 9000
        assert storage.piece("a", 1999, 2) == b"\x01\x02" and storage.piece("a", 8999, 9) == b"\x08"
        assert storage.piece("a", 9000, 9) == b"" and storage.piece("a", 0, 0) == b""


def test_only_what_is_fitted_has_a_door():
    with Directory() as path:
        board = board_in(path)
        assert board.door("tap") is None and raised(board.door("reader").open)


def board_in(path):
    """With its settings and storage in a directory."""
    return Board(
        {
            "settings": path + "/settings.json",
            "storage": path + "/storage",
            "devices": {"reader": {"kind": "ascii", "path": path + "/reader"}},
        }
    )


def mode(path):
    return os.stat(path)[0] & 0o777


def test_what_a_terminal_keeps_is_for_its_owner_only():
    with Directory() as path:
        storage = board_in(path).storage
        storage.replace("keys", b"one")
        storage.append("journal.1", b"two")
        assert mode(path + "/storage") == 0o700
        assert mode(path + "/storage/keys") == mode(path + "/storage/journal.1") == 0o600


def test_given_keys_leave_the_settings_and_nothing_else_does():
    with Directory() as path:
        board = board_in(path)
        kept = {"transport_key": "ab", "unknown": [1, None], "acceptor_name": {"fa": "فروشگاه"}}
        given = dict(kept)
        given.update({"key_block": "D0112", "key_serial": "12"})
        Storage(path).replace("settings.json", json.dumps(given).encode())
        board.forget_given_keys()
        with open(path + "/settings.json", "rb") as file:
            after = file.read()
        assert json.loads(str(after, "utf-8")) == kept
        assert mode(path + "/settings.json") == 0o600
        assert sorted(os.listdir(path)) == ["settings.json", "storage"]
        board.forget_given_keys()
        with open(path + "/settings.json", "rb") as file:
            assert file.read() == after


def test_storage_that_can_not_be_made_or_used():
    with Directory() as path:
        storage = Storage(path)
        storage.replace("file", b"")
        assert raised(Storage, path + "/file/below")
        os.mkdir(path + "/directory")
        assert raised(storage.append, "directory", b"x")
        assert raised(storage.replace, "directory", b"x")
        assert raised(storage.read, "directory")


def test_a_replacement_that_was_cut_leaves_the_old_content():
    with Directory() as path:
        storage = Storage(path)
        storage.replace("a", b"old")
        with open(path + "/a.new", "wb") as file:
            file.write(b"half of the n")
        assert Storage(path).read("a") == b"old"
        storage.replace("a", b"new")
        assert os.listdir(path) == ["a"]


def test_the_clock_goes_on_over_the_wrap_of_its_counter():
    kept = ticking._ticks_ms, ticking._ticks_diff
    ticks = [65000]
    try:
        ticking._ticks_ms = lambda: ticks[0]
        ticking._ticks_diff = lambda end, start: (end - start + 32768) % 65536 - 32768
        clock = Clock()
        assert clock.now_ms() == 0 and clock.wall() is None
        clock.set_wall((2026, 12, 31, 23, 59, 58))
        ticks[0] = (65000 + 1500) % 65536
        assert clock.now_ms() == 1500
        assert clock.wall() == (2026, 12, 31, 23, 59, 59)
        ticks[0] = (65000 + 2000) % 65536
        assert clock.wall() == (2027, 1, 1, 0, 0, 0)
    finally:
        ticking._ticks_ms, ticking._ticks_diff = kept


def test_the_real_clock_never_goes_back():
    clock = Clock()
    last = clock.now_ms()
    for _ in range(1000):
        now = clock.now_ms()
        assert now >= last
        last = now


def picture(*texts):
    canvas = Canvas(128, 64)
    for place, text in enumerate(texts):
        draw(canvas, small, text, 0, place * 16, False)
    return Display().show(canvas)


def test_equal_pictures_and_no_others_have_equal_digests():
    assert picture("Approved", "Points 250") == picture("Approved", "Points 250")
    texts = ("Approved", "Points 250"), ("Approved", "Points 251"), ("Points 250", "Approved"), (), ("I",)
    assert len({picture(*lines) for lines in texts}) == len(texts)
    assert len(picture()) == 64


class Wire:
    """A display's bus that notes what goes over it; broken: nobody is there."""

    def __init__(self):
        self.messages = []
        self.broken = False

    def open(self):
        self.messages.append("open")

    def send(self, message):
        if self.broken:
            raise OSError(19)
        self.messages.append(message)

    def close(self):
        self.messages.append("close")


def test_a_display_gets_its_controllers_bytes_and_is_set_up_again_after_trouble():
    blank, canvas = Canvas(128, 64), Canvas(128, 64)
    canvas.rectangle(8, 8, 8, 1)
    for kind, change in (
        ("ssd1306", [b"\x00\xb1\x08\x10", b"\x40" + b"\x01" * 8]),
        ("st7920", [b"\xf8\x80\x80", b"\xf8\x80\x00", b"\xfa\x00\x00\xf0\xf0" + bytes(28)]),
    ):
        wire = Wire()
        display = Display(kind, wire)
        assert display.show(blank) == Display().show(blank)
        assert wire.messages[0] == "open"
        setting_up = wire.messages[1]
        del wire.messages[:]
        assert display.show(canvas) == Display().show(canvas)
        assert sorted(wire.messages) == sorted(change)
        wire.broken = True
        display.show(blank)
        assert wire.messages[-1] == "close"
        wire.broken = False
        del wire.messages[:]
        display.show(blank)
        assert wire.messages[:2] == ["open", setting_up]


def test_a_fault_says_kind_and_place_but_not_its_text():
    try:
        make_directory(5)
    except Exception as error:
        said = fault(error)
    kind, place = said.split(" at ")
    assert kind in ("AttributeError", "TypeError")
    module, function = place.split(", ")
    assert module.endswith("terminal/hal/files.py") and function == "make_directory"
    try:
        raise ValueError("9364001234567898")
    except ValueError as error:
        assert "9364" not in fault(error)


def test_a_serial_port_that_is_none():
    with Directory() as path:
        Storage(path).replace("file", b"not a terminal")
        for name in ("/nothing", "/file", ""):
            assert raised(SerialPort(path + name).open)


def listening():
    """A listening socket and its port: some free one, because MicroPython's sockets can't tell theirs."""
    for _ in range(100):
        port = 20000 + int.from_bytes(os.urandom(2), "big") // 2
        server = socket.socket()
        try:
            server.bind(socket.getaddrinfo("127.0.0.1", port)[0][-1])
            server.listen(1)
            return server, port
        except OSError:
            server.close()
    raise RuntimeError("no free port")


async def talk(port, server):
    line = TcpLine("127.0.0.1", port)
    await line.connect()
    peer, _ = server.accept()
    assert line.send(b"question") == 8
    assert peer.recv(100) == b"question"
    peer.send(b"answer")
    assert await line.read() == b"answer"
    peer.close()
    assert await line.read() == b""
    line.close()
    line.close()
    return True


async def refused(port):
    line = TcpLine("127.0.0.1", port)
    try:
        await line.connect()
    except OSError:
        return True
    finally:
        line.close()
    return False


def test_a_line_carries_bytes_both_ways_and_tells_its_end():
    server, port = listening()
    assert asyncio.run(talk(port, server))
    server.close()


def test_a_line_that_nobody_answers_is_refused():
    server, port = listening()
    server.close()
    assert asyncio.run(refused(port))


async def send_to_a_peer_that_has_gone(port, server):
    line = TcpLine("127.0.0.1", port)
    await line.connect()
    peer, _ = server.accept()
    peer.close()
    assert await line.read() == b""
    line.send(b"into the void")  # the reset comes back over loopback before send() returns
    return line.send(b"more")


def test_a_broken_line_takes_no_byte():
    server, port = listening()
    assert asyncio.run(send_to_a_peer_that_has_gone(port, server)) == 0
    server.close()
