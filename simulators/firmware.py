"""The real firmware as a process, with its devices: what a terminal on a shop counter is.

Starts it under MicroPython or CPython, reads its events, swipes cards and presses keys. Nothing of the
firmware
is imported or replaced; whatever happens, happens through its serial ports, its line and its storage
directory.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final, NamedTuple, NoReturn, Protocol

from simulators.cards import Card
from simulators.control import ControlServer, JsonObject, ask
from simulators.counter import PLACES, CounterDevice
from simulators.keypad import Keypad
from simulators.printer import Printer
from simulators.process import ROOT, Process, ProcessEnded
from simulators.readers.magstripe import MagstripeReader, Swipe, SwipeFaults, swipe_request
from simulators.serial_port import PACE_9600_8N1, forget_unread
from simulators.service_cable import ServiceCable
from switch.defaults import write_private
from tools import firmware_source, firmware_tree, micropython

# On a 64-bit machine, the firmware's code included, which boards run from flash. Data alone stays far below:
# at rest 90 KiB, at its peak 150.
HEAP: Final = "heapsize=512k"
MODULE: Final = "terminal.main"
BOOT_MODULE: Final = "terminal.boot"  # of a terminal whose software can be updated
RESTART: Final = 75  # exit code by which the firmware asks to be started again, see terminal.hal.update
# Door -> kind, as in terminal.doors.KINDS: what a terminal has when nobody says otherwise.
DEVICES: Final[Mapping[str, str]] = {
    "reader": "ascii",
    "keypad": "bytes",
    "printer": "escpos",
    "service": "keys",
}
# What else the board file says of a device: this printer holds its line while it is busy.
OPTIONS: Final[Mapping[str, Mapping[str, object]]] = {"printer": {"handshake": True}}
# And with a device of every kind of card.
ALL_DEVICES: Final[Mapping[str, str]] = {**DEVICES, "tap": "pn532", "chip": "ccid", "scanner": "gm65"}
UNPLUG, PLUG = "unplug", "plug"  # what every device can be asked for
KEY_NAMES: Final = ("key_block", "key_serial")  # handed over to the firmware, never kept beside it
WAIT_SECONDS: Final = 60.0  # for an event that must come; only ends a hang
KEPT_EVENTS: Final = 500  # of each kind, not asked for yet
FAULT: Final = "fault:"  # how the firmware's log begins when one of its own invariants broke
TRANSCRIPT_LINES: Final = 120  # shown when something fails


class TerminalInUse(Exception):
    """Another process drives this terminal of this data directory."""


class NoSuchTerminal(Exception):
    """The data directory has no settings for this terminal."""


@dataclass(frozen=True, slots=True)
class Interpreter:
    """How to run the firmware: the command up to the module, where, and with which environment."""

    name: str
    command: tuple[str, ...]
    directory: Path
    environment: Mapping[str, str]


def prepare_micropython() -> Interpreter:
    """The real MicroPython with the firmware compiled to `.mpy`. May unpack the one and compile the other."""
    executable, tree = micropython.provide(), firmware_tree.build()
    return Interpreter(
        "micropython", (str(executable), "-X", HEAP, "-m", MODULE), tree, {"MICROPYPATH": ".frozen"}
    )


def prepare_cpython() -> Interpreter:
    """The firmware's sources under this Python."""
    return Interpreter("cpython", (sys.executable, "-m", MODULE), ROOT, {})


INTERPRETERS: Final[dict[str, Callable[[], Interpreter]]] = {
    "micropython": prepare_micropython,
    "cpython": prepare_cpython,
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where the files of one terminal of a data directory are."""

    data: Path
    terminal_id: str

    @property
    def run(self) -> Path:
        """Serial ports, control sockets and what else lives only while it runs."""
        return self.data / "run" / self.terminal_id

    @property
    def storage(self) -> Path:
        """What the firmware keeps: its flash."""
        return self.data / "terminals" / self.terminal_id

    @property
    def given_settings(self) -> Path:
        """What the switch gave this terminal."""
        return self.data / "terminals" / f"{self.terminal_id}.json"

    @property
    def is_in_use(self) -> bool:
        """Whether a process drives this terminal now."""
        try:
            with (self.run / "lock").open("r") as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except OSError:
            return True
        return False

    @property
    def paper(self) -> Path:
        """Where the receipts are that came out of its printer, as PNG files."""
        return self.data / "paper" / self.terminal_id

    @property
    def reader_control(self) -> Path:
        """Socket that swipes cards."""
        return self.run / "reader.control"

    @property
    def service_bench(self) -> Path:
        """Serial port that keys are loaded through: the far end of the service port's cable."""
        return self.run / "service.bench"

    def control(self, device: str) -> Path:
        """Socket of a device, and "devices": of the cables of all of them."""
        return self.run / f"{device}.control"


class Screen(NamedTuple):
    """A screen the firmware showed. `frame`: digest of its framebuffer."""

    name: str
    lines: tuple[str, ...]
    frame: str


class Transaction(NamedTuple):
    """A transaction whose outcome is final for the terminal. Points are digits, as they came.

    flow "queued": an earn was kept for later; "advice": the switch has answered for one of them.
    """

    flow: str
    approved: bool
    response_code: str
    stan: str
    rrn: str
    points: str
    balance: str
    debt: str
    original_stan: str
    queued: str = ""  # how many earns wait to be sent; of the flows "queued" and "advice"


@dataclass(frozen=True, slots=True)
class Options:
    """How a terminal is set up.

    settings: entries that replace those the switch gave, e.g. port of a fault proxy or shorter timeouts;
    reader_is_process: the reader runs as a process of its own; reader_pace: bytes a second, 0 as fast as
    possible; devices: what is fitted, door -> kind; update: of the board file, where software can be updated;
    further: what else is fitted and plugged in with the rest, door -> device.
    """

    settings: Mapping[str, object] = field(default_factory=dict)
    reader_is_process: bool = False
    reader_pace: int = PACE_9600_8N1
    key_pause_ms: int = 0
    devices: Mapping[str, str] = field(default_factory=lambda: DEVICES)
    update: Mapping[str, object] | None = None
    further: Mapping[str, Plugged] = field(default_factory=dict)


class Plugged(Protocol):
    """A further device: its kind at its door, and how it is plugged in there."""

    @property
    def kind(self) -> str: ...

    async def plug_in(self, link: Path) -> str:
        """Make its port, at `link` when it is a serial one; the path for the board file."""
        ...

    async def unplug(self) -> None: ...


class _Plain(Protocol):
    def open(self) -> None: ...

    def close(self) -> None: ...


class _Reader(Protocol):
    @property
    def pid(self) -> int: ...

    async def swipe(self, card: Card, faults: SwipeFaults | None = None) -> Swipe: ...

    async def plug_in(self) -> None: ...

    async def unplug(self) -> None: ...


class Terminal:
    """One terminal: firmware, reader, keypad, printer.

    `on_screen`, `on_transaction`, `on_receipt` and `on_line` (all it says) are called as things happen. The
    awaitables take events in the order they came, each once; an event that came earlier counts. `faults`:
    internal errors it survived.
    """

    def __init__(self, place: Place, interpreter: Interpreter, options: Options | None = None) -> None:
        self.place = place
        self.printer = Printer(place.run / "printer", self._receipt_printed, place.paper)
        self.keypad = Keypad(place.run / "keypad", (options or Options()).key_pause_ms)
        self._service = ServiceCable(place.run / "service", place.service_bench)
        self.current_screen: Screen | None = None
        self.boots = 0
        self.faults: list[str] = []
        self.on_screen: Callable[[Screen], None] | None = None
        self.on_transaction: Callable[[Transaction], None] | None = None
        self.on_receipt: Callable[[str], None] | None = None
        self.on_line: Callable[[str], None] | None = None
        self._interpreter = interpreter
        self._names = firmware_tree.names_of(interpreter.directory)
        self._options = options or Options()
        self._reader: _Reader = self._make_reader()
        self.counter: dict[str, CounterDevice] = {
            name: PLACES[name](place.run / name, kind)
            for name, kind in self._options.devices.items()
            if name in PLACES
        }
        self._unplugged: set[str] = set()
        self._process: Process | None = None
        self._lock: IO[str] | None = None
        self._controls: list[ControlServer] = []
        self._further: dict[str, str] = {}
        self._events: deque[Screen | Transaction] = deque(maxlen=KEPT_EVENTS)
        self._transcript: deque[str] = deque(maxlen=TRANSCRIPT_LINES)
        self._happened = asyncio.Event()

    # ---------------------------------------------------------------- on and off

    async def start(self) -> None:
        """Plug in the devices and switch it on. Raises TerminalInUse, NoSuchTerminal."""
        if not self.place.given_settings.is_file():
            self._missing()  # before anything is made where there is no switch's directory
        self._take_lock()
        try:
            for door, device in self._options.further.items():
                self._further[door] = await device.plug_in(self.place.run.absolute() / door)
            self._write_files()
            self.keypad.open()
            self.printer.open()
            self._service.open()
            await self._reader.plug_in()
            await self._serve("keypad", self.keypad.control)
            for name, placed in self.counter.items():
                placed.open()
                await self._serve(name, placed.control)
            for door, device in self._options.further.items():
                if (control := getattr(device, "control", None)) is not None:
                    await self._serve(door, control)
            await self._serve("devices", self._control)
        except BaseException:
            await self.stop()
            raise
        await self.switch_on()

    async def switch_on(self) -> None:
        """Start the firmware; the devices are there already."""
        assert self._process is None or not self._process.is_running, "it is on"
        for device in self._options.devices:
            forget_unread(self.place.run / device)
        self.printer.tear_off()
        command = self._interpreter.command
        if self._options.update is not None:
            command = (*command[:-1], BOOT_MODULE)
        self._process = await Process.start(
            f"terminal {self.place.terminal_id}",
            [*command, "--board", str(self.place.run.absolute() / "board.json")],
            directory=self._interpreter.directory,
            environment=self._interpreter.environment,
            on_stdout=self._said,
            on_stderr=self._complained,
        )
        self._pulse_at_end(self._process)

    async def kill(self) -> None:
        """kill -9 of the firmware: a power cut. The devices stay."""
        assert self._process is not None
        self._end_watch.cancel()  # or it would be switched on by itself
        await self._process.kill()
        self._happened.set()  # whoever awaits an event learns that the firmware has died

    async def restart(self) -> None:
        """Switch it on again after `kill`; events of before are forgotten."""
        self._events.clear()
        self.current_screen = None
        await self.switch_on()

    async def stop(self) -> None:
        """Switch off and unplug everything."""
        if self._process is not None:
            self._end_watch.cancel()
            await self._process.kill()  # a terminal has no shutdown: it is unplugged
        for control in self._controls:
            await control.stop()
        self._controls.clear()
        for device in self._options.further.values():
            await device.unplug()
        for name in self.devices:
            await self.unplug(name)
        self._unplugged.clear()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    @property
    def is_running(self) -> bool:
        """Whether the firmware runs."""
        return self._process is not None and self._process.returncode in (None, RESTART)

    @property
    def pid(self) -> int:
        """Process id of the firmware."""
        assert self._process is not None
        return self._process.pid

    @property
    def reader_pid(self) -> int:
        """Process id of the reader: its own when it is a process of its own, else ours."""
        return self._reader.pid

    async def ended(self) -> int:
        """Returns when the firmware ends by itself; its exit code."""
        assert self._process is not None
        return await self._process.wait()

    # ---------------------------------------------------------------- the cashier's hands

    async def swipe(self, card: Card, faults: SwipeFaults | None = None) -> Swipe:
        """Pass a card through the reader."""
        return await self._reader.swipe(card, faults)

    async def press(self, keys: str) -> None:
        """Press keys, e.g. "2500000#"."""
        await self.keypad.press(keys)

    @property
    def devices(self) -> tuple[str, ...]:
        """What can be unplugged."""
        return ("reader", "keypad", "printer", "service", *self.counter)

    async def unplug(self, name: str) -> None:
        """Pull the cable of a device; nothing happens when it is out already."""
        if name in self._unplugged:
            return
        self._unplugged.add(name)
        if name == "reader":
            await self._reader.unplug()
        else:
            self._plain(name).close()

    async def plug(self, name: str) -> None:
        """Put it back."""
        if name not in self._unplugged:
            return
        self._unplugged.discard(name)
        if name == "reader":
            await self._reader.plug_in()
        else:
            self._plain(name).open()

    async def ask(self, name: str, **request: object) -> JsonObject:
        """What the control socket of a device on the counter would be asked. Raises ValueError."""
        return await self.counter[name].control(request)

    def _plain(self, name: str) -> _Plain:
        known: dict[str, _Plain] = {
            "keypad": self.keypad,
            "printer": self.printer,
            "service": self._service,
            **self.counter,
        }
        return known[name]

    async def _control(self, request: JsonObject) -> JsonObject:
        name = request.get("device")
        if name not in self.devices or request.get("do") not in (UNPLUG, PLUG):
            raise ValueError(f"known: do {UNPLUG} or {PLUG}, device one of {', '.join(self.devices)}")
        await (self.unplug if request["do"] == UNPLUG else self.plug)(str(name))
        return {}

    # ---------------------------------------------------------------- the cashier's eyes

    async def event(self, timeout_seconds: float = WAIT_SECONDS) -> Screen | Transaction:
        """The next screen or finished transaction, whichever came first."""
        return await self._next((Screen, Transaction), lambda event: True, "event", timeout_seconds)

    async def screen(self, *names: str, timeout_seconds: float = WAIT_SECONDS) -> Screen:
        """The next screen with one of the names (any screen without names); screens before it are passed
        over."""

        def wanted(event: Screen | Transaction) -> bool:
            return isinstance(event, Screen) and (not names or event.name in names)

        found = await self._next((Screen,), wanted, f"screen {' or '.join(names)}", timeout_seconds)
        assert isinstance(found, Screen)
        return found

    async def transaction(self, *flows: str, timeout_seconds: float = WAIT_SECONDS) -> Transaction:
        """The next finished transaction of one of the flows (any without flows); those before are passed
        over."""

        def wanted(event: Screen | Transaction) -> bool:
            return isinstance(event, Transaction) and (not flows or event.flow in flows)

        what = f"transaction {' or '.join(flows)}"
        found = await self._next((Transaction,), wanted, what, timeout_seconds)
        assert isinstance(found, Transaction)
        return found

    def forget_events(self) -> None:
        """Whatever nobody has asked for yet is passed over."""
        self._events.clear()

    def explain(self, what: str) -> str:
        """`what` happened, with everything the firmware said lately."""
        lines = "\n".join(f"    {line}" for line in self._transcript) or "    (nothing)"
        state = "running" if self.is_running else "not running"
        name = f"terminal {self.place.terminal_id} ({self._interpreter.name}, {state})"
        return f"{name}: {what}; it said:\n{lines}"

    async def _next(
        self,
        kinds: tuple[type[Screen] | type[Transaction], ...],
        wanted: Callable[[Screen | Transaction], bool],
        what: str,
        timeout_seconds: float,
    ) -> Screen | Transaction:
        """Take events of these kinds out of the queue up to the wanted one; the other kinds stay."""
        try:
            async with asyncio.timeout(timeout_seconds):
                while True:
                    for event in [event for event in self._events if isinstance(event, kinds)]:
                        self._events.remove(event)
                        if wanted(event):
                            return event
                    if not self.is_running:
                        raise ProcessEnded(self.explain(f"ended while {what} was awaited"))
                    self._happened.clear()
                    await self._happened.wait()
        except TimeoutError:
            raise TimeoutError(self.explain(f"no {what} within {timeout_seconds:g} s")) from None

    # ---------------------------------------------------------------- what the firmware says

    def _said(self, line: str) -> None:
        line = firmware_source.restored(line, self._names)
        self._note(line)
        try:
            event = json.loads(line)
        except ValueError:
            event = None
        if not isinstance(event, dict):
            return
        match event.get("event"):
            case "boot":
                self.boots += 1
            case "screen":
                self._screen_shown(event)
            case "transaction":
                self._transaction_finished(event)
            case "receipt":
                self.printer.announce("".join(f"{line}\n" for line in event["lines"]))
            case "log" if str(event.get("what", "")).startswith(FAULT):
                self.faults.append(f"terminal {self.place.terminal_id}: {event['what']}")
        self._happened.set()

    def _complained(self, line: str) -> None:
        self._note(f"stderr: {firmware_source.restored(line, self._names)}")

    def _note(self, line: str) -> None:
        self._transcript.append(line)
        if self.on_line is not None:
            self.on_line(line)

    def _screen_shown(self, event: Mapping[str, object]) -> None:
        lines = event.get("lines")
        screen = Screen(
            name=str(event.get("name", "")),
            lines=tuple(str(line) for line in lines) if isinstance(lines, list) else (),
            frame=str(event.get("frame", "")),
        )
        self.current_screen = screen
        self._events.append(screen)
        if self.on_screen is not None:
            self.on_screen(screen)

    def _transaction_finished(self, event: Mapping[str, object]) -> None:
        texts = {
            name: str(event.get(name) or "")
            for name in (
                "flow",
                "stan",
                "rrn",
                "response_code",
                "points",
                "balance",
                "debt",
                "original_stan",
                "queued",
            )
        }
        transaction = Transaction(approved=event.get("approved") is True, **texts)
        self._events.append(transaction)
        if self.on_transaction is not None:
            self.on_transaction(transaction)

    def _receipt_printed(self, receipt: str) -> None:
        if self.on_receipt is not None:
            self.on_receipt(receipt)

    def _pulse_at_end(self, process: Process) -> None:
        async def pulse() -> None:
            if await process.wait() == RESTART:
                await self.restart()  # as a board's reset
            self._happened.set()

        # Whoever awaits an event learns that the firmware has died.
        self._end_watch = asyncio.create_task(pulse())

    # ---------------------------------------------------------------- setting up

    def _make_reader(self) -> _Reader:
        link = self.place.run / "reader"
        if self._options.reader_is_process:
            return _ReaderProcess(link, self.place.reader_control, self._options.reader_pace)
        return _ReaderHere(link, self.place.reader_control, self._options.reader_pace)

    def _take_lock(self) -> None:
        self.place.run.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = (self.place.run / "lock").open("a")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            raise TerminalInUse(
                f"terminal {self.place.terminal_id} of {self.place.data} is in use by another process"
            ) from None
        self._lock = lock

    def _missing(self) -> NoReturn:
        raise NoSuchTerminal(
            f"{self.place.given_settings} is missing: terminal {self.place.terminal_id} is not registered"
        )

    def _write_files(self) -> None:
        given = self._given()
        taken: dict[str, object] = {name: given.pop(name) for name in KEY_NAMES if name in given}
        self.place.storage.mkdir(parents=True, exist_ok=True, mode=0o700)
        run = self.place.run.absolute()
        board = {
            "settings": str(run / "settings.json"),
            "storage": str(self.place.storage.absolute()),
            "devices": {
                name: {"kind": kind, "path": str(run / name), **OPTIONS.get(name, {})}
                for name, kind in self._options.devices.items()
            }
            | {
                door: {"kind": self._options.further[door].kind, "path": path}
                for door, path in self._further.items()
            },
            "update": self._options.update,
        }
        settings: dict[str, object] = {**given, **(taken or self._not_taken(given)), **self._options.settings}
        for partial in run.glob(".settings.json.*"):
            partial.unlink()  # left by a launcher that was killed while writing
        write_private(run / "settings.json", json.dumps(settings, ensure_ascii=False, indent=1))
        if taken:
            # The firmware's copy is the only one from here on; it goes once its key is stored.
            write_private(self.place.given_settings, json.dumps(given, ensure_ascii=False, indent=1) + "\n")
        write_private(run / "board.json", json.dumps(board, ensure_ascii=False, indent=1))

    def _given(self) -> dict[str, object]:
        try:
            given = json.loads(self.place.given_settings.read_text("utf-8"))
        except FileNotFoundError:
            self._missing()
        assert isinstance(given, dict)
        return given

    def _not_taken(self, given: Mapping[str, object]) -> dict[str, object]:
        """The key block that the firmware was given at an earlier start and has not loaded yet."""
        try:
            earlier = json.loads((self.place.run / "settings.json").read_text("utf-8"))
        except (FileNotFoundError, ValueError):
            return {}
        if earlier.get("transport_key") != given.get("transport_key"):
            return {}  # flashed anew since
        return {name: earlier[name] for name in KEY_NAMES if name in earlier}

    async def _serve(self, name: str, handle: Callable[[JsonObject], Awaitable[JsonObject]]) -> None:
        control = ControlServer(self.place.control(name), handle)
        await control.start()
        self._controls.append(control)


class _ReaderHere:
    """The reader in this process, with its control socket."""

    @property
    def pid(self) -> int:
        return os.getpid()

    def __init__(self, link: Path, control: Path, pace: int) -> None:
        self._reader = MagstripeReader(link, pace)
        self._control = ControlServer(control, self._reader.control)

    async def swipe(self, card: Card, faults: SwipeFaults | None = None) -> Swipe:
        return await self._reader.swipe(card, faults)

    async def plug_in(self) -> None:
        self._reader.open()
        await self._control.start()

    async def unplug(self) -> None:
        await self._control.stop()
        self._reader.close()


class _ReaderProcess:
    """The reader as a process of its own, told by its control socket."""

    def __init__(self, link: Path, control: Path, pace: int) -> None:
        self._arguments = ["--link", str(link), "--control", str(control), "--pace", str(pace)]
        self._control = control
        self._process: Process | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def swipe(self, card: Card, faults: SwipeFaults | None = None) -> Swipe:
        answer = await ask(self._control, swipe_request(card, faults), timeout_seconds=WAIT_SECONDS)
        corrupt = answer["corrupt"]
        return Swipe(
            str(answer["card"]), int(str(answer["sent_bytes"])), None if corrupt is None else str(corrupt)
        )

    async def plug_in(self) -> None:
        ready = asyncio.Event()
        command = [sys.executable, "-m", "simulators.readers.magstripe", *self._arguments]
        process = self._process = await Process.start("reader", command, on_stdout=lambda _line: ready.set())
        await process.ready(ready, WAIT_SECONDS)

    async def unplug(self) -> None:
        if self._process is not None and self._process.is_running:
            await self._process.stop()
