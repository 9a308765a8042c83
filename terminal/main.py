"""Runs the terminal on a board: `-m terminal.main --board BOARD.json`.

Only carries bytes and time between the board's doors and the application, on asyncio; decides nothing. Bytes
are handed over as they come: no queue could overflow, and a device waits while the application is busy.
"""

import asyncio
import sys

import terminal
from terminal.app import Application
from terminal.hal import CertificateError
from terminal.hal.chosen import Board
from terminal.hal.report import emit
from terminal.journal import JournalError

FAULT_PAUSE_S = 1
REOPEN_S = 0.5  # a device that has gone is looked for this often
FIRST_PAUSE_S = 0.25  # before the line is tried again; doubles up to the longest
LONGEST_PAUSE_S = 10
STEADY_MS = 2000  # a connection that stood so long starts the pauses anew
CONNECT_S = 10
TURNS = 3  # of the loop: descriptors are looked at, their tasks woken, their bytes handed over
STORAGE_RETRY_S = 5

SETTINGS_WRONG = 2  # exit codes
INTERRUPTED = 130

# MicroPython keeps each letter that a text is taken apart into among its names, and their table grows by as
# much again: far more than a hole of a heap in use. So the letters come while the heap is whole.
LETTERS = ((0x20, 0x7E), (0x621, 0x64A), (0x6F0, 0x6F9))
for _first, _last in LETTERS:
    for _point in range(_first, _last + 1):
        chr(_point)


class Driver:
    """Board and application, joined by a task per door that reads, and one that writes while there is
    something to write: a slow device holds up nobody else. Is the application's `ports`."""

    def __init__(self, board, terminal_settings):
        self._board = board
        self._settings = terminal_settings
        self._new_line = board.secure(terminal_settings.tls) if terminal_settings.tls else board.line
        self._changed = asyncio.Event()
        self._connect = asyncio.Event()
        self._held = asyncio.Event()
        self._held.set()
        self._doors = {}  # the serial ports of the fitted devices
        self._writing = {}  # door -> task
        self._line = None
        self._line_task = None
        self._app = Application(board, terminal_settings, self)

    async def run(self):
        """Never returns."""
        app = self._app
        board = self._board
        for name in board.devices:
            if app.fitted(name):
                self._doors[name] = board.door(name)
        self._tell(app.start)
        self._line_task = asyncio.create_task(self._forever(self._hold_line))
        tasks = [asyncio.create_task(self._forever(self._listen, name)) for name in self._doors]
        await self._forever(self._pass_time)
        return tasks

    async def _forever(self, task, *arguments):
        """Do `task` again whenever it ends, by itself or by a fault."""
        while True:
            try:
                await task(*arguments)
            except Exception as error:
                self._tell_fault(error)
                await asyncio.sleep(FAULT_PAUSE_S)

    def _tell_fault(self, error):
        self._app.log("error", "fault: " + self._board.fault(error))

    def _tell(self, call, *arguments):
        """Call the application, then carry what it has for the devices and look at the time again."""
        call(*arguments)
        for name in self._doors:
            if name not in self._writing:
                data = self._app.to_send(name)
                if data:
                    self._writing[name] = asyncio.create_task(self._write(name, data))
        self._changed.set()

    async def _pass_time(self):
        self._changed.clear()
        deadline_ms = self._app.deadline_ms()
        if deadline_ms is None:
            await self._changed.wait()
            return
        left_ms = deadline_ms - self._board.clock.now_ms()
        if left_ms > 0:
            try:
                await asyncio.wait_for(self._changed.wait(), left_ms / 1000)
                return
            except asyncio.TimeoutError:
                pass
        for _ in range(TURNS):  # what was said in time is heard first, and nobody waits for ever
            await asyncio.sleep(0)
        self._tell(self._app.tick)

    # ---------------------------------------------------------------- devices

    async def _listen(self, name):
        """Open a port, hand over what it says, until the device has gone."""
        port = self._doors[name]
        try:
            port.open()
            self._tell(self._app.device, name, True)
            while True:
                data = await port.read()
                if not data:
                    break
                self._tell(self._app.heard, name, data)
        except OSError:
            pass
        finally:
            if name in self._writing:
                self._writing.pop(name).cancel()
            port.close()
        self._tell(self._app.device, name, False)
        await asyncio.sleep(REOPEN_S)

    async def _write(self, name, data):
        """Carry what the application has for a device, until it has no more."""
        try:
            while data:
                await self._doors[name].write(data)
                data = self._app.to_send(name)
        except OSError:
            pass  # gone, or not there: the application hears silence
        except Exception as error:
            self._tell_fault(error)
        self._writing.pop(name, None)

    # ---------------------------------------------------------------- line

    async def _hold_line(self):
        """Keep a connection; a broken one is made again after a pause, or at once when it is wanted."""
        pause_s = FIRST_PAUSE_S
        while True:
            await self._held.wait()
            if await self._one_connection():
                pause_s = FIRST_PAUSE_S
            try:
                await asyncio.wait_for(self._connect.wait(), pause_s)
            except asyncio.TimeoutError:
                pass
            self._connect.clear()
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _one_connection(self):
        """Connect and read until the connection ends. True when it stood for a while."""
        clock = self._board.clock
        line = began_ms = None
        try:
            line = self._new_line(self._settings.host, self._settings.port)
            await asyncio.wait_for(line.connect(), CONNECT_S)
            began_ms = clock.now_ms()
            self._line = line
            self._tell(self._app.line_up)
            while self._line is line:
                data = await line.read()
                if not data:
                    break
                self._tell(self._app.received, data)
        except CertificateError as error:
            self._tell(self._app.line_refused, error.what)
        except (OSError, asyncio.TimeoutError):
            pass
        finally:
            if line is not None:
                line.close()
                if self._line is line:
                    self._line = None
                    self._tell(self._app.line_down)
        return began_ms is not None and clock.now_ms() - began_ms >= STEADY_MS

    # ---------------------------------------------------------------- the application's ports

    def connect(self):
        self._connect.set()

    def hold(self, is_wanted):
        if is_wanted:
            self._held.set()
        elif self._held.is_set():
            self._held.clear()
            self.hang_up()

    def hang_up(self):
        self._line = None
        if self._line_task is not None and self._line_task is not asyncio.current_task():
            self._line_task.cancel()
            self._line_task = asyncio.create_task(self._forever(self._hold_line))

    def send(self, data):
        return self._line.send(data) if self._line else 0


async def main(board_path):
    """Run the terminal that a board file describes. Returns an exit code when that file is wrong."""
    try:
        paths, terminal_settings = _read_settings(board_path)
        board = Board(paths)
    except ValueError as error:
        return refuse(str(error))
    except OSError:
        return refuse(board_path + ": the storage directory can't be made")
    while True:
        try:
            driver = Driver(board, terminal_settings)
            break
        except JournalError as error:
            emit({"event": "log", "level": "error", "what": str(error)})
            await asyncio.sleep(STORAGE_RETRY_S)
    await driver.run()
    return 0


def _read_settings(board_path):
    """(paths, settings) of a board file. Raises ValueError: what is wrong with them."""
    from terminal import settings

    try:
        paths = settings.board(board_path)
        terminal_settings = settings.load(paths["settings"])
        settings.check_lines(terminal_settings.lines, paths["devices"])
        return paths, terminal_settings
    except settings.SettingsError as error:
        raise ValueError(str(error))
    finally:
        terminal.forget("terminal.settings")
        terminal.collect()


def refuse(what):
    """Tell why the terminal can't start."""
    emit({"event": "log", "level": "error", "what": what})
    sys.stderr.write("error: " + what + "\n")
    return SETTINGS_WRONG


def start(board_path):
    """Run the terminal; its exit code."""
    try:
        return asyncio.run(main(board_path))
    except KeyboardInterrupt:
        return INTERRUPTED


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] != "--board":
        sys.stderr.write("usage: -m terminal.main --board BOARD.json\n")
        sys.exit(SETTINGS_WRONG)
    sys.exit(start(sys.argv[2]))
