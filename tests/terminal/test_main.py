"""The driver of a board's doors: each has a task of its own, and none can hold up or end another."""

import asyncio
import errno

from terminal import main
from terminal.injection import frame
from tests.terminal.desk import DEVICES, Desk

LONGEST_WAIT_S = 20  # only ends a test that hangs


class Port:
    """A serial port as the test wants it: what it says, one piece after the other, or raises, then silence or
    its end."""

    def __init__(self, *pieces, opens=True, takes=True, ends=False):
        self.pieces = list(pieces)
        self.opens = opens
        self.takes = takes
        self.ends = ends
        self.opened = self.closed = self.writes = self.given_up = 0
        self.written = b""
        self.wrote = asyncio.Event()
        self.said = asyncio.Event()  # something new is to be read

    def open(self):
        if not self.opens:
            raise OSError(errno.ENOENT)
        self.opened += 1

    async def read(self):
        while not self.pieces and not self.ends:
            self.said.clear()
            await self.said.wait()
        if not self.pieces:
            await asyncio.sleep(0)
            return b""
        piece = self.pieces.pop(0)
        if not isinstance(piece, bytes):
            raise piece
        return piece

    async def write(self, data):
        self.writes += 1
        if not self.takes:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.given_up += 1
                raise
        self.written += data
        self.wrote.set()

    def close(self):
        self.closed += 1


class NoLine:
    def __init__(self, host, port):
        pass

    async def connect(self):
        raise OSError(errno.ECONNREFUSED)

    def close(self):
        pass


class Board:
    """A desk's board with ports at its doors."""

    def __init__(self, desk, ports):
        self.ports = ports
        self.devices = {name: {"kind": DEVICES[name]} for name in ports}
        self.line = NoLine
        self.events = []
        for name in ("clock", "storage", "random", "aes", "display", "fault", "forget_given_keys"):
            setattr(self, name, getattr(desk, name))

    def emit(self, event):
        self.events.append(event)

    def door(self, name):
        return self.ports[name]

    def logged(self):
        return [event["what"] for event in self.events if event["event"] == "log"]


def ran(ports, script):
    """What a script returns that is given driver and board while the driver runs, without pauses."""

    async def scene():
        desk = Desk()
        board = Board(desk, ports)
        driver = main.Driver(board, desk.app.settings)
        running = asyncio.create_task(driver.run())
        try:
            return await asyncio.wait_for(script(driver, board), LONGEST_WAIT_S)
        finally:
            await end(running)

    pauses = main.REOPEN_S, main.FAULT_PAUSE_S
    main.REOPEN_S = main.FAULT_PAUSE_S = 0
    try:
        return asyncio.run(scene())
    finally:
        main.REOPEN_S, main.FAULT_PAUSE_S = pauses


async def end(running):
    """End all tasks; CPython's wait_for() may take a cancelling for its own, so it is said again."""
    others = asyncio.all_tasks() - {asyncio.current_task()} if hasattr(asyncio, "all_tasks") else {running}
    while not all(task.done() for task in others):
        for task in others:
            task.cancel()
        await asyncio.sleep(0)


async def until(holds):
    """Let the others run until this is so; no one event says it."""
    for _ in range(MOST_TURNS):
        if holds():
            return
        await asyncio.sleep(0)
    raise AssertionError("it did not come about")


QUESTION = frame("V1?")
BABBLE = [b"@" * 64] * 60
MOST_TURNS = 1000  # of the loop; nothing here takes ten, and what never comes fails


def test_what_a_door_has_to_say_is_written():
    async def script(driver, board):
        await board.ports["service"].wrote.wait()
        return board.ports["service"].written

    assert ran({"service": Port(QUESTION)}, script)[:12] == b"\x02V1|10000001"


def test_a_device_that_takes_nothing_holds_up_nobody():
    ports = {"service": Port(QUESTION, takes=False), "reader": Port(*BABBLE), "keypad": Port(opens=False)}

    async def script(driver, board):
        await until(lambda: "reader: babbling" in board.logged() and "keypad: missing" in board.logged())
        assert not ports["service"].closed

    ran(ports, script)


def test_a_device_that_comes_later_goes_and_comes_again():
    port = Port(opens=False)

    async def script(driver, board):
        await until(lambda: "keypad: missing" in board.logged())
        port.opens = True
        await until(lambda: "keypad: back" in board.logged())
        port.ends = True
        port.said.set()
        await until(lambda: board.logged().count("keypad: missing") == 2)
        await until(lambda: port.opened > 3)
        assert port.closed >= port.opened - 1

    ran({"keypad": port}, script)


def test_what_was_being_written_ends_with_the_device():
    port = Port(QUESTION, takes=False)

    async def script(driver, board):
        await until(lambda: port.writes == 1)
        port.pieces.append(QUESTION)
        port.said.set()
        await until(lambda: not port.pieces)
        for _ in range(10):
            await asyncio.sleep(0)
        assert port.writes == 1, "one after the other"
        port.ends = True
        port.said.set()
        await until(lambda: port.opened > 2)
        assert port.given_up == 1
        port.ends = False
        port.takes = True
        port.pieces.append(QUESTION)
        await port.wrote.wait()
        assert port.written.count(b"V1|") == 1, "the answer of before is nobody's now"
        assert [what for what in board.logged() if what.startswith("fault")] == []

    ran({"service": port}, script)


def test_a_fault_at_one_door_is_told_and_the_door_opened_again():
    port = Port(ValueError("9364001234567898"))

    async def script(driver, board):
        await until(lambda: port.opened > 1)
        assert "fault: ValueError" in board.logged()

    ran({"reader": port}, script)
