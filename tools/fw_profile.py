"""Device profiles: `terminal.toml` and the board it names, read, checked whole, and made into what firmware
reads.

Every mistake is told with file, line, what was expected and what to do; nothing is built of a profile that
has one. Secrets have no place in a profile: what makes a terminal that very terminal comes at flashing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from switch.iso8583.toml_lines import KeyLines, KeyPath
from terminal.doors import KINDS
from terminal.settings import BAUDS, FIELDS, KEY_NAMES, MODEMS
from tools.fw_board import (
    BOARDS,
    CHECKOUT,
    FEWEST_BLOCKS,
    FILES,
    I2C,
    SPI,
    UART,
    WIRES,
    Board,
    Mistake,
    ProfileError,
    Reading,
    board_named,
    board_path,
    boards,
    is_number,
    is_text,
    is_truth,
    place,
)

__all__ = [
    "BOARDS",
    "CHECKOUT",
    "FILES",
    "MODEL",
    "MODEL_LONGEST",
    "PROFILE",
    "UART",
    "Board",
    "Mistake",
    "Profile",
    "ProfileError",
    "board_named",
    "boards",
    "load",
    "wire_of",
]

PROFILE: Final = "terminal.toml"
MODEL_LONGEST: Final = 16  # bytes in a bundle
# It names a directory of a build, too: of letters that need no care there, and never "..".
MODEL: Final = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{MODEL_LONGEST - 1}}}")
VERSION_MOST: Final = 99_999_999  # digits in a message
PATH_LONGEST: Final = 256  # of a device's, as the firmware takes it
KIB: Final = 1024
KEY_DIGITS: Final = 128  # a public key: x and y in hexadecimal
MOST_SIGNERS: Final = 8
KEYPAD_WIRES: Final = 4  # a matrix of 4 lines and 4 columns
# What only the terminal itself may be given: never in a profile, which is shared by all of its kind.
OF_ONE_TERMINAL: Final = ("terminal_id", "acceptor_id", "acceptor_name", "transport_key", "tls", *KEY_NAMES)

CONSOLE: Final = "console"  # a device's port: the cable that the board is flashed by
DEVICE_KEYS: Final = frozenset(
    {"kind", "baud", "port", "rows", "columns", *WIRES, *(pin for pins in WIRES.values() for pin in pins)}
)


class Option(NamedTuple):
    """What a door takes of its device beside kind and wires; it goes into board.json as it is."""

    name: str
    expected: str
    is_right: Callable[[object], bool]


WIDTHS: Final = range(384, 577, 8)  # dots of a line, whole bytes: paper of 58 to 80 mm
PREFIX_LONGEST: Final = 16
OF_EVERY_DEVICE: Final = (Option("optional", "true or false", is_truth),)
OPTIONS: Final[Mapping[str, tuple[Option, ...]]] = {
    "printer": (
        Option(
            "width",
            f"dots of a line, a multiple of 8 from {WIDTHS[0]} to {WIDTHS[-1]}",
            lambda value: is_number(value) and value in WIDTHS,
        ),
        Option("cuts", "true or false", is_truth),
        Option("handshake", "true or false", is_truth),
        Option("tells_after", "true or false", is_truth),
    ),
    "scanner": (
        Option(
            "prefix",
            f"up to {PREFIX_LONGEST} letters that it sets before each text",
            lambda value: is_text(value, PREFIX_LONGEST),
        ),
        Option("ends_by_line", "true or false", is_truth),
    ),
}
# What a device's driver can be reached over; all others: a UART, or the console.
HANGS: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    ("display", "ssd1306"): (I2C,),
    ("display", "st7920"): (SPI,),
    ("keypad", "bytes"): ("rows", UART, "port"),
}
USUALLY: Final = (UART, "port")
TABLES: Final = ("device", "devices", "network", "settings", "storage", "signing", "budget")
DEVICE_FIELDS: Final = ("board", "model", "version", "replaces")
SIGNING_FIELDS: Final = ("needed", "keys")
WITHOUT_WIRES: Final = {("display", "memory"), ("line", "tcp")}
# Of a wireless network: names, and how long each may be (IEEE 802.11; ISO 3166). The password is asked.
NETWORK: Final = {"ssid": 32, "country": 2}
COUNTRY: Final = re.compile("[A-Z]{2}")
DEFAULT_KIB: Final = {"code_kib": 147, "fonts_kib": 39}  # 150 and 40 KB, to the KiB
MOST_KIB: Final = 4096  # that a profile may allow itself, on a board of its own


@dataclass(frozen=True, slots=True)
class Profile:
    """A checked profile. devices: door -> what is fitted there; settings: of all its terminals."""

    path: Path
    board: Board
    model: str
    version: int
    replaces: int
    devices: Mapping[str, Mapping[str, Any]]
    settings: Mapping[str, Any]
    storage: Mapping[str, int]
    budget: Mapping[str, int]
    network: Mapping[str, str] = field(default_factory=dict)
    tls: bool = False
    signers: tuple[str, ...] = ()
    signatures_needed: int = 1
    name: str = field(default="")

    @property
    def takes_updates(self) -> bool:
        """Whether software comes over the line: who signs it is known, and the board has two places."""
        return bool(self.signers) and self.board.has_slots

    def where(self, path: KeyPath) -> str:
        """File and line of a key of the profile, for what only a build can tell."""
        return place(self.path, KeyLines(self.path.read_text("utf-8")), path)

    @property
    def kinds(self) -> Mapping[str, str]:
        """Door -> kind."""
        return {door: device["kind"] for door, device in self.devices.items()}

    def board_file(
        self, storage: str, settings: str, port_of: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """The board file (see `terminal.settings.board`). port_of: door -> path, for those that name none."""
        devices: dict[str, dict[str, Any]] = {}
        for door, device in self.devices.items():
            told = {"kind": device["kind"], **told_options(door, device)}
            path = wire_of(device) or (port_of or {}).get(door)
            if path is not None and (door, device["kind"]) not in WITHOUT_WIRES:
                told["path"] = path
            if "baud" in device:
                told["baud"] = device["baud"]
            devices[door] = told
        file: dict[str, Any] = {"settings": settings, "storage": storage, "devices": devices}
        if self.network:
            file["network"] = dict(self.network)
        if self.takes_updates:
            file["update"] = {
                "model": self.model,
                "version": self.version,
                "keys": list(self.signers),
                "needed": self.signatures_needed,
            }
        return file


def told_options(door: str, device: Mapping[str, Any]) -> dict[str, Any]:
    """What a profile says of a device's options."""
    names = [option.name for option in (*OF_EVERY_DEVICE, *OPTIONS.get(door, ()))]
    return {name: device[name] for name in names if name in device}


def wire_of(device: Mapping[str, Any]) -> str | None:
    """How a board file names what a device hangs on: "uart:2:17:16", "i2c:0:22:21", "matrix:1,2,3,4:5,6,7,8",
    a path; None: nothing is told."""
    if "port" in device:
        return str(device["port"])
    if "rows" in device:
        return "matrix:" + ":".join(",".join(map(str, device[side])) for side in ("rows", "columns"))
    for bus, pins in WIRES.items():
        if bus in device:
            return ":".join([bus, str(device[bus]), *(str(device[pin]) for pin in pins)])
    return None


# ---------------------------------------------------------------- reading


def load(path: Path) -> Profile:
    """The profile in a file or in a directory. Raises ProfileError, CommandError."""
    return _Check(path / PROFILE if path.is_dir() else path).profile()


class _Check(Reading):
    """One reading of a profile."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "a profile; `vafa fw init` makes one")
        self._board: Board | None = None
        self._pins: dict[int, str] = {}
        self._uarts: dict[int, str] = {}
        self._ports: dict[str, str] = {}

    def profile(self) -> Profile:
        for name in self.content.keys() - set(TABLES):
            self._wrong((name,), f"[{name}] is unknown", "the tables " + ", ".join(TABLES), "remove it")
        device = self._table("device")
        for name in device.keys() - set(DEVICE_FIELDS):
            self._wrong(("device", name), f"{name} is unknown", ", ".join(DEVICE_FIELDS), "remove it")
        board = self._named_board(device.get("board"))
        model = self._model(device.get("model"))
        version = self._number(("device", "version"), device.get("version"), 1, VERSION_MOST)
        replaces = self._replaces(device.get("replaces", 0), version)
        fitted = self._devices(board)
        settings = self._settings()
        network, tls = self._network(board)
        storage = self._storage(board)
        budget = self._sizes("budget", DEFAULT_KIB, MOST_KIB)
        signers, needed = self._signing(board)
        self._lines(board, fitted, network)
        self.done()
        return Profile(
            path=self.path,
            board=board,
            model=model,
            version=version,
            replaces=replaces,
            devices=fitted,
            settings=settings,
            storage=storage,
            budget=budget,
            network=network,
            tls=tls,
            signers=signers,
            signatures_needed=needed,
            name=model.lower(),
        )

    def _wrong(self, path: KeyPath, what: str, expected: str, try_next: str) -> None:
        """Where it stands: what a profile doesn't say of a device, the board's file does."""
        board = self._board
        if board is not None and path[0] == "devices" and path[1:] and path[1] not in self._told_devices():
            self.mistakes.append(Mistake(board.where(path), what, expected, try_next))
        else:
            self.wrong(path, what, expected, try_next)

    def _told_devices(self) -> Mapping[str, Any]:
        told = self.content.get("devices", {})
        return told if isinstance(told, dict) else {}

    def _table(self, name: str) -> dict[str, Any]:
        value = self.content.get(name, {})
        if isinstance(value, dict):
            return value
        self._wrong(
            (name,), f"{name} = {value!r}", f"a table [{name}]", f"write [{name}] on a line of its own"
        )
        return {}

    # ------------------------------------------------------------ device

    def _named_board(self, name: object) -> Board:
        known = ", ".join(boards())
        path = ("device", "board")
        if not isinstance(name, str):
            what = "board is missing" if name is None else f"board = {name!r}"
            self._wrong(path, what, f"one of {known}", "name the board")
            raise ProfileError(self.mistakes)
        file = board_path(name, self.path.parent)
        if not _is_file(file):
            self._wrong(
                path,
                f"board = {name!r}: there is no {file}",
                f"one of {known}, or the path of a board file of your own",
                "see docs/boards.md",
            )
            raise ProfileError(self.mistakes)
        try:
            self._board = board_named(name, self.path.parent)
        except ProfileError as error:
            raise ProfileError([*self.mistakes, *error.mistakes]) from None
        return self._board

    def _model(self, model: object) -> str:
        if isinstance(model, str) and MODEL.fullmatch(model):
            return model
        expected = f"1 to {MODEL_LONGEST} ASCII letters, digits, '-', '_', '.', the first no sign"
        what = "model is missing" if model is None else f"model = {model!r}"
        try_next = 'for example model = "SHOP-1", the same in all bundles for this hardware'
        self._wrong(("device", "model"), what, expected, try_next)
        return "?"

    def _replaces(self, value: object, version: int) -> int:
        if is_number(value, 0, max(version - 1, 0)):
            return int(str(value))
        self._wrong(
            ("device", "replaces"),
            f"replaces = {value!r}",
            f"a number from 0 to {max(version - 1, 0)}, below version = {version}",
            f"write replaces = {max(version - 1, 0)}, or a higher version",
        )
        return 0

    def _number(self, path: KeyPath, value: object, least: int, most: int) -> int:
        if isinstance(value, int) and is_number(value, least, most):
            return value
        what = f"{path[-1]} is missing" if value is None else f"{path[-1]} = {value!r}"
        nearest = most if is_number(value, most, float("inf")) else least
        self._wrong(path, what, f"a number from {least} to {most}", f"write {path[-1]} = {nearest}")
        return least

    # ------------------------------------------------------------ devices

    def _devices(self, board: Board) -> dict[str, dict[str, Any]]:
        told = self._table("devices")
        both = {**board.content["devices"], **told}
        fitted: dict[str, dict[str, Any]] = {}
        for door in sorted(
            both, key=lambda door: door in told
        ):  # the board's own first: who comes later errs
            given = both[door]
            if given is False:
                continue  # the board's own, not fitted here
            if not isinstance(given, dict):
                self._wrong(
                    ("devices", door), f"{door} = {given!r}", "a table, or false", f"write [devices.{door}]"
                )
                continue
            device = self._device(door, given, board)
            if device is not None:
                fitted[door] = device
        for door in ("keypad", "display"):
            if door not in both or both[door] is False:
                self._wrong(
                    ("devices",), f"no {door} is fitted", f"a {door}", f"write [devices.{door}] with its kind"
                )
        return {door: fitted[door] for door in both if door in fitted}

    def _device(self, door: str, given: Mapping[str, Any], board: Board) -> dict[str, Any] | None:
        kinds = [kind for name, kind, *_ in KINDS if name == door]
        path = ("devices", door)
        if not kinds:
            known = sorted({name for name, *_ in KINDS})
            self._wrong(
                path, f"device {door!r} is unknown", "one of " + ", ".join(known), "see docs/devices.md"
            )
            return None
        kind = given.get("kind", kinds[0])
        if kind not in kinds:
            self._wrong(
                (*path, "kind"), f"kind = {kind!r}", "one of " + ", ".join(kinds), "see docs/devices.md"
            )
            return None
        options = (*OF_EVERY_DEVICE, *OPTIONS.get(door, ()))
        takes = DEVICE_KEYS | {option.name for option in options}
        for key in given.keys() - takes:
            self._wrong((*path, key), f"{key} is unknown", ", ".join(sorted(takes)), "remove it")
        for option in options:
            if option.name in given and not option.is_right(given[option.name]):
                what = f"{option.name} = {given[option.name]!r}"
                self._wrong((*path, option.name), what, option.expected, "see docs/devices.md")
        device = {**given, "kind": kind}
        if not is_number(device.get("baud", BAUDS[0])) or device.get("baud", BAUDS[0]) not in BAUDS:
            speeds = ", ".join(str(baud) for baud in sorted(BAUDS))
            self._wrong(
                (*path, "baud"), f"baud = {device['baud']!r}", f"one of {speeds}", "ask the device's manual"
            )
        if not is_text(device.get("port", CONSOLE), PATH_LONGEST):
            self._wrong((*path, "port"), f"port = {device['port']!r}", "a path", "write it in quotes")
        elif (door, kind) not in WITHOUT_WIRES:
            self._wires(door, device, board)
        elif wires := [way for way in (*WIRES, "port", "rows") if way in device]:
            self._wrong(
                (*path, wires[0]), f"{door} of kind {kind} hangs on {wires[0]}", "nothing", "remove it"
            )
        return device

    def _wires(self, door: str, device: dict[str, Any], board: Board) -> None:
        path = ("devices", door)
        given = [way for way in (*WIRES, "port", "rows") if way in device]
        if len(given) > 1:
            self._wrong(path, f"{door} hangs on {' and '.join(given)}", "one of them", "remove the others")
            return
        if board.has_paths:
            if given not in ([], ["port"]):
                self._wrong(
                    (*path, given[0]), f"{door} hangs on {given[0]}", "port, a path", "write port = …"
                )
            elif given:
                self._port(door, device["port"])
            return
        if given == ["port"] and device["port"] == CONSOLE and board.content["serial"].get("console"):
            self._port(door, CONSOLE)
            console = board.content["serial"].get("console_uart")
            if console is not None:
                self._claim_uart(door, console, board)
            return
        if not given or given == ["port"]:
            self._wrong(
                path, f"{door} hangs on nothing", "uart, i2c, spi, or rows and columns", "write its pins"
            )
            return
        ways = HANGS.get((door, device["kind"]), USUALLY)
        if given[0] not in ways:
            self._wrong(
                (*path, given[0]),
                f"{door} of kind {device['kind']} hangs on {given[0]}",
                " or ".join(ways),
                f"write {ways[0]} = …",
            )
        elif given == ["rows"]:
            self._matrix(door, device, board)
        else:
            self._bus(door, given[0], device, board)

    def _port(self, door: str, port: str) -> None:
        """Two devices on one path would read each other's bytes."""
        other = self._ports.setdefault(port, door)
        if other != door:
            self._wrong(
                ("devices", door, "port"),
                f"port {port} is used by {other} and {door}",
                "each port once",
                f"give {door} another one",
            )

    def _bus(self, door: str, bus: str, device: dict[str, Any], board: Board) -> None:
        path = ("devices", door)
        if bus == UART:
            if not self._uart(door, device, board):
                return
        else:
            numbers = board.content.get("buses", {}).get(bus, [])
            if not is_number(device[bus]) or device[bus] not in numbers:
                known = ", ".join(map(str, numbers)) or "none"
                self._wrong(
                    (*path, bus), f"{bus} = {device[bus]!r}", f"{bus} {known} of {board.name}", "choose one"
                )
                return
        for wire in WIRES[bus]:
            if wire not in device:
                self._wrong(
                    path, f"{door}: {wire} is missing", f"the number of a pin for {wire}", f"write {wire} = …"
                )
            elif self._pin(door, wire, device[wire], board, is_output=wire not in ("rx", "sda")):
                self._function(door, bus, device[bus], wire, device[wire], board)

    def _function(self, door: str, bus: str, number: int, wire: str, pin: int, board: Board) -> None:
        can = board.pins_for(bus, number, wire)
        if can is not None and pin not in can:
            usable = [one for one in can if one in board.content.get("pins", {}).get("usable", [])]
            free = ", ".join(str(one) for one in usable if one not in self._pins) or "none"
            self._wrong(
                ("devices", door, wire),
                f"{wire}: pin {pin} can't be {wire} of {bus} {number}",
                f"pin {' or '.join(map(str, usable))}",
                f"free: {free}",
            )

    def _uart(self, door: str, device: dict[str, Any], board: Board) -> bool:
        path = ("devices", door, "uart")
        number = device["uart"]
        if not is_number(number) or number not in board.uarts:
            known = ", ".join(map(str, board.uarts))
            self._wrong(path, f"uart = {number!r}", f"uart {known} of {board.name}", "choose one")
            return False
        if not self._claim_uart(door, number, board):
            return False
        for pin, usual in board.uarts[number].items():
            device.setdefault(pin, usual)
        return True

    def _claim_uart(self, door: str, number: int, board: Board) -> bool:
        other = self._uarts.setdefault(number, door)
        if other == door:
            return True
        self._wrong(
            ("devices", door, UART),
            f"uart {number} is used by {other} and {door}",
            "each UART once",
            f"give {door} another one; free: {self._free(board)}",
        )
        return False

    def _free(self, board: Board) -> str:
        devices = {**board.content["devices"], **self._told_devices()}.values()
        used = [device.get(UART) for device in devices if isinstance(device, dict)]
        free = (number for number in board.uarts if number not in used and number not in self._uarts)
        return ", ".join(map(str, free)) or "none"

    def _matrix(self, door: str, device: Mapping[str, Any], board: Board) -> None:
        for side, is_output in (("rows", True), ("columns", False)):
            pins = device.get(side)
            if not isinstance(pins, list) or len(pins) != KEYPAD_WIRES:
                self._wrong(
                    ("devices", door, side),
                    f"{side} = {pins!r}",
                    f"{KEYPAD_WIRES} pins",
                    f"write {side} = […]",
                )
                continue
            for pin in pins:
                self._pin(door, side, pin, board, is_output)

    def _pin(self, door: str, what: str, pin: object, board: Board, is_output: bool) -> bool:
        path = ("devices", door, what)
        pins = board.content.get("pins", {})
        usable = pins.get("usable", [])
        free = ", ".join(str(one) for one in usable if one not in self._pins)
        taken = pins.get("taken", {}).get(str(pin)) if is_number(pin) else None
        if taken is not None:
            self._wrong(path, f"{what}: pin {pin} is {taken}'s", "a free pin", f"free: {free}")
        elif isinstance(pin, bool) or not isinstance(pin, int) or pin not in usable:
            self._wrong(path, f"{what}: {pin!r} is no pin of {board.name}", "a free pin", f"free: {free}")
        elif pin in self._pins:
            self._wrong(
                path,
                f"{what}: pin {pin} is used by {self._pins[pin]} and {door}",
                "each pin once",
                f"free: {free}",
            )
        elif is_output and pin in pins.get("input_only", []):
            self._wrong(path, f"{what}: pin {pin} can only read", "a pin that can be driven", f"free: {free}")
        else:
            self._pins[pin] = f"{door}'s {what}"
            return True
        return False

    # ------------------------------------------------------------ settings, sizes, keys

    def _settings(self) -> dict[str, Any]:
        given = self._table("settings")
        known = {name: (expected, convert) for name, expected, convert in FIELDS}
        for name, value in given.items():
            path = ("settings", name)
            if name in OF_ONE_TERMINAL:
                self._wrong(path, f"{name} is of one terminal", "what all of this profile have", "remove it")
            elif name not in known:
                names = ", ".join(one for one in known if one not in OF_ONE_TERMINAL)
                self._wrong(path, f"{name} is unknown", f"one of {names}", "remove it")
            else:
                expected, convert = known[name]
                try:
                    convert(value)
                    json.dumps(value)  # a date of TOML's, where nobody looks
                except (ValueError, TypeError, AttributeError):
                    self._wrong(path, f"{name} has a wrong value", expected, "change it")
        return given

    def _network(self, board: Board) -> tuple[dict[str, str], bool]:
        given = dict(self._table("network"))
        tls = given.pop("tls", False)
        if not isinstance(tls, bool):
            self._wrong(("network", "tls"), f"tls = {tls!r}", "true or false", "write tls = true")
        elif tls and not board.has_tls:
            self._wrong(
                ("network", "tls"),
                f"the line is to be in TLS, and {board.name} has none",
                "a board whose file says tls = true, because its MicroPython has the module",
                "remove it, or choose another board",
            )
        for name, value in given.items():
            if name not in NETWORK:
                known = ", ".join([*NETWORK, "tls"])
                self._wrong(("network", name), f"{name} is unknown", known, "remove it")
            elif name == "country" and not (isinstance(value, str) and COUNTRY.fullmatch(value)):
                expected = 'two capital letters of ISO 3166, for example "IR"'
                self._wrong(("network", name), f"country = {value!r}", expected, "change it")
            elif not is_text(value, NETWORK[name]):
                most = NETWORK[name]
                self._wrong(
                    ("network", name), f"{name} has a wrong value", f"up to {most} letters", "change it"
                )
        return given, tls is True

    def _lines(self, board: Board, fitted: Mapping[str, Any], network: Mapping[str, str]) -> None:
        """Whether what is fitted can carry the lines."""
        told = self._table("settings").get("lines")
        of_lines = ("settings", "lines")
        modem = fitted.get("modem", {}).get("kind")
        has_line = "line" in fitted
        if not has_line and modem is None:
            if "line" not in self._told_devices():
                what, do = "neither line nor modem is fitted", "write line = {}, or fit a modem"
            else:
                what, do = "line is not fitted, and there is no modem", "remove line = false, or fit a modem"
            path = ("devices", "line") if "line" in self._told_devices() else ("devices",)
            self._wrong(path, what, "a way to the switch", do)
            return
        kinds = (
            [line.get("kind") for line in told if isinstance(line, dict)]
            if isinstance(told, list)
            else ["tcp"] * has_line
        )
        for kind in kinds:
            if isinstance(kind, str) and kind in MODEMS and modem not in MODEMS[kind]:
                self._wrong(
                    of_lines,
                    f"a line of kind {kind}, and " + (f"a modem of kind {modem}" if modem else "no modem"),
                    f"a modem of kind {' or '.join(MODEMS[kind])}",
                    f'write modem = {{ kind = "{MODEMS[kind][0]}", … }} into [devices], or change the line',
                )
        if "tcp" not in kinds:
            return
        if not has_line:
            self._wrong(
                of_lines,
                "a line of kind tcp, and line is not fitted",
                "line = {}",
                "fit it, or change the line",
            )
        elif not board.has_paths and "ssid" not in network:
            told_at = [("network",)] if "network" in self.content else [("device", "board")]
            self._wrong(
                of_lines if told is not None else told_at[0],
                f"the line is over TCP, {board.name} has a wireless network, and [network] names none",
                "ssid in [network], or lines over a modem only",
                'write ssid = "…" into [network]; its password is asked at flashing',
            )

    def _storage(self, board: Board) -> dict[str, int]:
        known = board.content["storage"]
        sizes = self._sizes("storage", known)
        block = known.get("block_bytes")
        size = sizes["data_kib"] * KIB
        is_taken = sizes["data_kib"] == self._table("storage").get("data_kib", known["data_kib"])
        if block and is_taken and (size % block or size < FEWEST_BLOCKS * block):
            self._wrong(
                ("storage", "data_kib"),
                f"data_kib = {sizes['data_kib']}",
                f"whole blocks of {block} bytes, {FEWEST_BLOCKS} at least",
                f"write data_kib = {known['data_kib']}",
            )
        return sizes

    def _sizes(self, table: str, known: Mapping[str, Any], most_kib: int | None = None) -> dict[str, int]:
        numbers = {name: value for name, value in known.items() if name.endswith("_kib")}
        given = self._table(table)
        for name, value in given.items():
            most = most_kib or numbers.get(name, 0)
            if name not in numbers:
                self._wrong((table, name), f"{name} is unknown", ", ".join(numbers), "remove it")
            else:
                numbers[name] = self._number((table, name), value, 1, most)
        return numbers

    def _signing(self, board: Board) -> tuple[tuple[str, ...], int]:
        given = self._table("signing")
        for name in given.keys() - set(SIGNING_FIELDS):
            self._wrong(("signing", name), f"{name} is unknown", ", ".join(SIGNING_FIELDS), "remove it")
        keys = given.get("keys", [])
        path = ("signing", "keys")
        if not isinstance(keys, list) or len(keys) > MOST_SIGNERS:
            self._wrong(path, "keys", f"a list of up to {MOST_SIGNERS} public keys", "see `vafa fw key`")
            return (), 1
        for key in keys:
            if not isinstance(key, str) or not _is_point(key):
                self._wrong(
                    path,
                    "a key is no public key of P-256",
                    f"{KEY_DIGITS} hexadecimal digits, x and y of a point on the curve",
                    "`vafa fw key FILE.pem` prints it",
                )
        if keys and not board.has_slots:
            self._wrong(
                path,
                f"software is to come over the line, and {board.name} keeps it as files",
                "a board that runs it from ROMFS, or no keys",
                "remove the keys; `vafa fw flash` brings this board new software",
            )
        if any(keys.count(key) > 1 for key in keys):
            self._wrong(path, "a key stands there twice", "each once", "remove one")
        needed = self._number(("signing", "needed"), given.get("needed", 1), 1, max(1, len(keys)))
        return tuple(keys), needed


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that is too long, or has a NUL
        return False


def _is_point(key: str) -> bool:
    from cryptography.hazmat.primitives.asymmetric import ec  # here: a profile without keys needs none of it

    try:
        raw = bytes.fromhex(key)
        ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + raw)
    except ValueError:
        return False
    return len(key) == KEY_DIGITS
