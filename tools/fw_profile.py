"""Device profiles: `terminal.toml` and the board it names, read, checked whole, and made into what firmware
reads.

Every mistake is told with file, line, what was expected and what to do; nothing is built of a profile that
has one. Secrets have no place in a profile: what makes a terminal that very terminal comes at flashing.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from switch.iso8583.toml_lines import KeyLines, KeyPath
from terminal.doors import KINDS
from terminal.settings import BAUDS, FIELDS, KEY_NAMES
from tools.cli import CommandError, ExitCode

CHECKOUT: Final = Path(__file__).resolve().parent.parent
BOARDS: Final = CHECKOUT / "terminal" / "boards"
PROFILE: Final = "terminal.toml"
MODEL_LONGEST: Final = 16  # bytes in a bundle
VERSION_MOST: Final = 99_999_999  # digits in a message
KEY_DIGITS: Final = 128  # a public key: x and y in hexadecimal
MOST_SIGNERS: Final = 8
KEYPAD_WIRES: Final = 4  # a matrix of 4 lines and 4 columns
# What only the terminal itself may be given: never in a profile, which is shared by all of its kind.
OF_ONE_TERMINAL: Final = ("terminal_id", "acceptor_id", "acceptor_name", "transport_key", "tls", *KEY_NAMES)

UART, I2C, SPI = "uart", "i2c", "spi"
FILES: Final = "files"  # a board's software kept as plain files, when its MicroPython has no ROMFS
CONSOLE: Final = "console"  # a device's port: the cable that the board is flashed by
WIRES: Final[Mapping[str, tuple[str, ...]]] = {
    UART: ("tx", "rx"),
    I2C: ("scl", "sda"),
    SPI: ("sck", "mosi", "cs"),
}
DEVICE_KEYS: Final = frozenset(
    {"kind", "baud", "port", "rows", "columns", *WIRES, *(pin for pins in WIRES.values() for pin in pins)}
)
TABLES: Final = ("device", "devices", "network", "settings", "storage", "signing", "budget")
DEVICE_FIELDS: Final = ("board", "model", "version", "replaces")
WITHOUT_WIRES: Final = {("display", "memory"), ("line", "tcp")}
# Of a wireless network: names, and how long each may be (IEEE 802.11; ISO 3166). The password is asked.
NETWORK: Final = {"ssid": 32, "country": 2}
DEFAULT_KIB: Final = {"code_kib": 146, "fonts_kib": 39}  # 150 and 40 KB
MOST_KIB: Final = 4096  # that a profile may allow itself, on a board of its own


class Mistake(NamedTuple):
    """One thing that is wrong. where: file and line."""

    where: str
    what: str
    expected: str
    try_next: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}; expected {self.expected}\n  try: {self.try_next}"


class ProfileError(CommandError):
    """A profile with mistakes; the text has all of them."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        many = f"{len(mistakes)} mistakes\n" if len(mistakes) > 1 else ""
        super().__init__(many + "\n".join(map(str, mistakes)), ExitCode.NEGATIVE)
        self.mistakes = tuple(mistakes)


@dataclass(frozen=True, slots=True)
class Board:
    """A kind of board: its file, chip, and what the file says."""

    name: str
    path: Path
    chip: str
    content: Mapping[str, Any]

    @property
    def loader(self) -> str | None:
        """What flashes it: "esptool", "mpremote", or nothing for a directory."""
        return self.content.get("loader")

    @property
    def uarts(self) -> Mapping[int, Mapping[str, int]]:
        """Number of each UART -> its pins unless told otherwise."""
        return {int(number): pins for number, pins in self.content["serial"].get("uarts", {}).items()}

    @property
    def has_paths(self) -> bool:
        """Whether devices are at paths of a file system."""
        return bool(self.content["serial"].get("paths", False))

    @property
    def has_slots(self) -> bool:
        """Whether its storage can take software over the line: two slots, and a place that it is run from."""
        return self.loader is None or self.content["storage"].get("software") != FILES

    @property
    def has_tls(self) -> bool:
        """Whether its MicroPython has TLS."""
        return bool(self.content.get("tls", False))


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
        line = KeyLines(self.path.read_text("utf-8")).line_of(path)
        return f"{self.path}:{line}" if line else f"{self.path}"

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
            told = {"kind": device["kind"]}
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


def boards() -> tuple[str, ...]:
    """Names of the boards that are there."""
    return tuple(sorted(path.stem for path in BOARDS.glob("*.toml")))


def board_named(name: str, beside: Path | None = None) -> Board:
    """A board by its name, or by its file's path, from the directory `beside`. Raises CommandError."""
    if name in boards():
        path = BOARDS / f"{name}.toml"
    else:
        path = ((beside or Path()) / name).with_suffix(".toml")
    content, _ = _read(path, f"one of {', '.join(boards())}, or a board file of your own (docs/boards.md)")
    missing = [key for key in ("chip", "serial", "storage", "devices") if key not in content]
    if missing:
        raise CommandError(
            f"{path}: a board file without {', '.join(missing)}",
            ExitCode.CONFIGURATION,
            f"compare it with {BOARDS.relative_to(CHECKOUT)}/esp32.toml",
        )
    hal = CHECKOUT / "terminal" / "hal" / f"{content['chip']}.py"
    if not hal.is_file():
        raise CommandError(
            f"{path}: chip = {content['chip']!r}: there is no {hal.relative_to(CHECKOUT)}",
            ExitCode.CONFIGURATION,
            "write it, or name the chip of a HAL file that is there",
        )
    return Board(path.stem, path, content["chip"], content)


def _read(path: Path, expected: str) -> tuple[dict[str, Any], str]:
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise CommandError(f"{path}: {why}; expected {expected}", ExitCode.CONFIGURATION) from None
    try:
        return tomllib.loads(text), text
    except tomllib.TOMLDecodeError as error:
        raise CommandError(
            f"{path}: not TOML: {error}", ExitCode.CONFIGURATION, "look at that line; texts stand in quotes"
        ) from None


class _Check:
    """One reading of a profile; collects mistakes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._content, text = _read(path, "a profile; `vafa fw init` makes one")
        self._lines = KeyLines(text)
        self._mistakes: list[Mistake] = []
        self._pins: dict[int, str] = {}
        self._uarts: dict[int, str] = {}

    def profile(self) -> Profile:
        for name in self._content.keys() - set(TABLES):
            self._wrong((name,), f"[{name}] is unknown", "the tables " + ", ".join(TABLES), "remove it")
        device = self._table("device")
        for name in device.keys() - set(DEVICE_FIELDS):
            self._wrong(("device", name), f"{name} is unknown", ", ".join(DEVICE_FIELDS), "remove it")
        board = self._board(device.get("board"))
        model = self._model(device.get("model"))
        version = self._number(("device", "version"), device.get("version"), 1, VERSION_MOST)
        replaces = self._number(("device", "replaces"), device.get("replaces", 0), 0, max(version - 1, 0))
        fitted = self._devices(board)
        settings = self._settings()
        network, tls = self._network(board)
        storage = self._sizes("storage", board.content["storage"])
        budget = self._sizes("budget", DEFAULT_KIB, MOST_KIB)
        signers, needed = self._signing(board)
        if self._mistakes:
            raise ProfileError(self._mistakes)
        return Profile(
            path=self._path,
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
        line = self._lines.line_of(path)
        where = f"{self._path}:{line}" if line else f"{self._path}"
        self._mistakes.append(Mistake(where, what, expected, try_next))

    def _table(self, name: str) -> dict[str, Any]:
        value = self._content.get(name, {})
        if isinstance(value, dict):
            return value
        self._wrong(
            (name,), f"{name} = {value!r}", f"a table [{name}]", f"write [{name}] on a line of its own"
        )
        return {}

    # ------------------------------------------------------------ device

    def _board(self, name: object) -> Board:
        if not isinstance(name, str):
            self._wrong(
                ("device", "board"), "board is missing", "one of " + ", ".join(boards()), "name the board"
            )
            raise ProfileError(self._mistakes)
        try:
            return board_named(name, self._path.parent)
        except CommandError as error:
            known = ", ".join(boards())
            self._wrong(
                ("device", "board"), f"board = {name!r}: {error}", f"one of {known}", "see docs/boards.md"
            )
            raise ProfileError(self._mistakes) from None

    def _model(self, model: object) -> str:
        if (
            isinstance(model, str)
            and 0 < len(model) <= MODEL_LONGEST
            and model.isascii()
            and model.isprintable()
        ):
            return model
        expected = f"1 to {MODEL_LONGEST} ASCII letters, the same in all bundles for this hardware"
        self._wrong(("device", "model"), f"model = {model!r}", expected, 'for example model = "SHOP-1"')
        return "?"

    def _number(self, path: KeyPath, value: object, least: int, most: int) -> int:
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
            return value
        what = f"{path[-1]} is missing" if value is None else f"{path[-1]} = {value!r}"
        self._wrong(path, what, f"a number from {least} to {most}", f"write {path[-1]} = {least or 1}")
        return least

    # ------------------------------------------------------------ devices

    def _devices(self, board: Board) -> dict[str, dict[str, Any]]:
        told = self._table("devices")
        fitted: dict[str, dict[str, Any]] = {}
        for door, given in {**board.content["devices"], **told}.items():
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
            if door not in fitted:
                self._wrong(
                    ("devices",), f"no {door} is fitted", f"a {door}", f"write [devices.{door}] with its kind"
                )
        return fitted

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
        for key in given.keys() - DEVICE_KEYS:
            self._wrong((*path, key), f"{key} is unknown", ", ".join(sorted(DEVICE_KEYS)), "remove it")
        device = {**given, "kind": kind}
        if device.get("baud", BAUDS[0]) not in BAUDS:
            speeds = ", ".join(str(baud) for baud in sorted(BAUDS))
            self._wrong(
                (*path, "baud"), f"baud = {device['baud']!r}", f"one of {speeds}", "ask the device's manual"
            )
        if (door, kind) not in WITHOUT_WIRES:
            self._wires(door, device, board)
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
            return
        if given == ["port"] and device["port"] == CONSOLE and board.content["serial"].get("console"):
            return
        if not given or given == ["port"]:
            self._wrong(
                path, f"{door} hangs on nothing", "uart, i2c, spi, or rows and columns", "write its pins"
            )
            return
        if given == ["rows"]:
            self._matrix(door, device, board)
            return
        [bus] = given
        if bus == UART:
            if not self._uart(door, device, board):
                return
        elif device[bus] not in board.content.get("buses", {}).get(bus, []):
            known = ", ".join(map(str, board.content.get("buses", {}).get(bus, []))) or "none"
            self._wrong(
                (*path, bus), f"{bus} = {device[bus]!r}", f"{bus} {known} of {board.name}", "choose one"
            )
        for pin in WIRES[bus]:
            if pin not in device:
                self._wrong(
                    path, f"{door}: {pin} is missing", f"the number of a pin for {pin}", f"write {pin} = …"
                )
            else:
                self._pin(door, pin, device[pin], board, is_output=pin not in ("rx", "sda"))

    def _uart(self, door: str, device: dict[str, Any], board: Board) -> bool:
        path = ("devices", door, "uart")
        number = device["uart"]
        if number not in board.uarts:
            known = ", ".join(map(str, board.uarts))
            self._wrong(path, f"uart = {number!r}", f"uart {known} of {board.name}", "choose one")
            return False
        if number in self._uarts:
            self._wrong(
                path,
                f"uart {number} is used by {self._uarts[number]} and {door}",
                "each UART once",
                f"give {door} another one; free: {self._free(board)}",
            )
            return False
        self._uarts[number] = door
        for pin, usual in board.uarts[number].items():
            device.setdefault(pin, usual)
        return True

    def _free(self, board: Board) -> str:
        used = {
            device.get("uart")
            for device in {**board.content["devices"], **self._table("devices")}.values()
            if isinstance(device, dict)
        }
        return ", ".join(str(number) for number in board.uarts if number not in used) or "none"

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

    def _pin(self, door: str, what: str, pin: object, board: Board, is_output: bool) -> None:
        path = ("devices", door, what)
        pins = board.content.get("pins", {})
        usable = pins.get("usable", [])
        free = ", ".join(str(one) for one in usable if one not in self._pins)
        taken = pins.get("taken", {}).get(str(pin))
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
            elif not isinstance(value, str) or not 0 < len(value) <= NETWORK[name]:
                most = NETWORK[name]
                self._wrong(
                    ("network", name), f"{name} has a wrong value", f"up to {most} letters", "change it"
                )
        return given, tls is True

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
        if len(set(keys)) != len(keys):
            self._wrong(path, "a key stands there twice", "each once", "remove one")
        needed = self._number(("signing", "needed"), given.get("needed", 1), 1, max(1, len(keys)))
        return tuple(keys), needed


def _is_point(key: str) -> bool:
    from cryptography.hazmat.primitives.asymmetric import ec  # here: a profile without keys needs none of it

    try:
        raw = bytes.fromhex(key)
        ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + raw)
    except ValueError:
        return False
    return len(key) == KEY_DIGITS
