"""Boards: the file of one, read and checked whole before anything is made of it.

Every mistake is told with file, line, what was expected and what to do. What a file may say is the table
KEYS; nothing here knows a profile.
"""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple

from switch.iso8583.toml_lines import KeyLines, KeyPath
from tools.cli import CommandError, ExitCode

CHECKOUT: Final = Path(__file__).resolve().parent.parent
BOARDS: Final = CHECKOUT / "terminal" / "boards"
PROCESS: Final = "unix"  # the chip of a board that is a process: no loader, no flash, no pins
ESPTOOL, MPREMOTE = "esptool", "mpremote"
FILES: Final = "files"  # a board's software kept as plain files, when its MicroPython has no ROMFS
UART, I2C, SPI = "uart", "i2c", "spi"
WIRES: Final[Mapping[str, tuple[str, ...]]] = {
    UART: ("tx", "rx"),
    I2C: ("scl", "sda"),
    SPI: ("sck", "mosi", "cs"),
}

SMALLEST_BLOCK: Final = 512  # bytes that a block of littlefs has at least on a board
ERASED_BYTES: Final = {"esp32": 4096, "rp2": 4096}  # what their flash erases at once
FEWEST_BLOCKS: Final = 4  # with less littlefs has no room for a directory
MOST_KIB: Final = 1 << 20  # of a flash: 1 GiB
MOST_BUS: Final = 15
MOST_PIN: Final = 255
TABLE_KIB: Final = 4  # of a partition table: ESP-IDF Programming Guide, Partition Tables
APP, APP_ALIGNED_KIB = 0, 64  # a partition of that type begins at a multiple of 64 KiB (the same)
NAME_LONGEST: Final = 15  # of a partition, 16 bytes with the last one 0 (the same)
MOST_BYTE: Final = 255
TEXT_LONGEST: Final = 64


class Mistake(NamedTuple):
    """One thing that is wrong. where: file and line."""

    where: str
    what: str
    expected: str
    try_next: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}; expected {self.expected}\n  try: {self.try_next}"


class ProfileError(CommandError):
    """A profile or a board file with mistakes; the text has all of them."""

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

    def pins_for(self, bus: str, number: int, wire: str) -> Sequence[int] | None:
        """The pins that can be this wire of this bus; None: any."""
        wires = self.content.get("functions", {}).get(f"{bus}{number}", {})
        pins: Sequence[int] | None = wires.get(wire)
        return pins

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

    def where(self, path: KeyPath) -> str:
        """File and line of a key of its file."""
        return place(self.path, KeyLines(self.path.read_text("utf-8")), path)


def boards() -> tuple[str, ...]:
    """Names of the boards that are there."""
    return tuple(sorted(path.stem for path in BOARDS.glob("*.toml")))


def board_named(name: str, beside: Path | None = None) -> Board:
    """A board by its name, or by its file's path, from the directory `beside`. Raises CommandError; with
    mistakes in the file it is a ProfileError."""
    return _BoardFile(board_path(name, beside)).board()


def board_path(name: str, beside: Path | None = None) -> Path:
    """Where the file of a board is to be: one of ours, or a vendor's own from the directory `beside`."""
    if name in boards():
        return BOARDS / f"{name}.toml"
    told = name if name.endswith(".toml") else f"{name}.toml"
    return (beside or Path()) / told


def place(path: Path, lines: KeyLines, key: KeyPath) -> str:
    """File and line of a key, or of what holds it."""
    line = lines.line_of(key)
    return f"{path}:{line}" if line else f"{path}"


def read(path: Path, expected: str) -> tuple[dict[str, Any], str]:
    """What a TOML file says, and its text. Raises CommandError."""
    try:
        text = path.read_text("utf-8")
    except (OSError, ValueError) as error:  # a path with a NUL; UnicodeDecodeError
        why = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise CommandError(f"{path}: {why}; expected {expected}", ExitCode.CONFIGURATION) from None
    try:
        return tomllib.loads(text), text
    except tomllib.TOMLDecodeError as error:
        raise CommandError(
            f"{path}: not TOML: {error}", ExitCode.CONFIGURATION, "look at that line; texts stand in quotes"
        ) from None


# ---------------------------------------------------------------- what a board file may say


def is_number(value: object, least: int = 0, most: float = MOST_KIB) -> bool:
    """Whether it is a whole number within these; true and 1.0 are none."""
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def is_truth(value: object) -> bool:
    """Whether it is true or false."""
    return isinstance(value, bool)


def is_text(value: object, longest: int = TEXT_LONGEST) -> bool:
    """Whether it is a text of printable letters."""
    return isinstance(value, str) and 0 < len(value) <= longest and value.isprintable()


def is_table(value: object) -> bool:
    """Whether it is a table."""
    return isinstance(value, dict)


def _is_word(value: object) -> bool:
    return is_text(value) and str(value).isascii() and str(value).isidentifier()


def _is_size(value: object) -> bool:
    return is_number(value, 1)


def _numbers(most: int) -> Callable[[object], bool]:
    def is_right(value: object) -> bool:
        return (
            isinstance(value, list)
            and all(is_number(one, 0, most) for one in value)
            and len(set(value)) == len(value)
        )

    return is_right


def _is_numbered(value: object, most: int, is_right: Callable[[object], bool]) -> bool:
    return isinstance(value, dict) and all(
        name.isdecimal() and str(int(name)) == name and int(name) <= most and is_right(one)
        for name, one in value.items()
    )


def _are_uarts(value: object) -> bool:
    def is_right(pins: object) -> bool:
        return (
            isinstance(pins, dict)
            and pins.keys() == set(WIRES[UART])
            and all(is_number(pin, 0, MOST_PIN) for pin in pins.values())
        )

    return _is_numbered(value, MOST_BUS, is_right)


def _are_taken(value: object) -> bool:
    return _is_numbered(value, MOST_PIN, is_text)


def _are_functions(value: object) -> bool:
    wires = {f"{bus}{number}": set(names) for bus, names in WIRES.items() for number in range(MOST_BUS + 1)}
    is_right = _numbers(MOST_PIN)
    return isinstance(value, dict) and all(
        isinstance(pins, dict)
        and pins.keys() <= wires.get(name, set())
        and all(is_right(one) for one in pins.values())
        for name, pins in value.items()
    )


def _are_partitions(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(one, dict)
        and one.keys() == {"name", "at_kib", "size_kib", "type", "subtype"}
        and is_text(one["name"], NAME_LONGEST)
        and one["name"].isascii()
        and is_number(one["at_kib"])
        and is_number(one["size_kib"], 1)
        and is_number(one["type"], 0, MOST_BYTE)
        and is_number(one["subtype"], 0, MOST_BYTE)
        for one in value
    )


# When a key must be there: always, on what is flashed, on what one tool flashes; or it may be missing.
ALWAYS, FLASHED, MAYBE = "always", "flashed", "maybe"


class Key(NamedTuple):
    """What a board file says under a path: what is expected there, and whether it must say it."""

    path: KeyPath
    need: str
    expected: str
    is_right: Callable[[object], bool]


_KIB: Final = "a number of KiB, from 1"
KEYS: Final = (
    Key(("chip",), ALWAYS, 'the name of a HAL file, for example "esp32"', _is_word),
    Key(("loader",), FLASHED, f'"{ESPTOOL}" or "{MPREMOTE}"', lambda value: value in (ESPTOOL, MPREMOTE)),
    Key(("name_of_chip",), ESPTOOL, 'the chip as esptool says it, for example "esp32"', is_text),
    Key(("web_family",), ESPTOOL, 'the chip as ESP Web Tools names it, for example "ESP32"', is_text),
    Key(("platform",), MAYBE, "what sys.platform says on the board", is_text),
    Key(("tls",), MAYBE, "true or false", is_truth),
    Key(("serial",), ALWAYS, "a table [serial]", is_table),
    Key(("serial", "paths"), MAYBE, "true or false", is_truth),
    Key(("serial", "console"), MAYBE, "true or false", is_truth),
    Key(("serial", "console_uart"), MAYBE, "a UART's number", lambda value: is_number(value, 0, MOST_BUS)),
    Key(("serial", "uarts"), MAYBE, "a table of UARTs, for example { 1 = { tx = 4, rx = 5 } }", _are_uarts),
    Key(("buses",), MAYBE, "a table [buses]", is_table),
    Key(("buses", I2C), MAYBE, "a list of numbers, each once", _numbers(MOST_BUS)),
    Key(("buses", SPI), MAYBE, "a list of numbers, each once", _numbers(MOST_BUS)),
    Key(("pins",), FLASHED, "a table [pins]", is_table),
    Key(("pins", "usable"), FLASHED, "a list of pins, each once", _numbers(MOST_PIN)),
    Key(("pins", "input_only"), MAYBE, "a list of pins, each once", _numbers(MOST_PIN)),
    Key(("pins", "taken"), MAYBE, 'pins and by what, for example { 6 = "the flash" }', _are_taken),
    Key(
        ("functions",),
        MAYBE,
        "pins by bus and wire, for example uart0 = { tx = [0], rx = [1] }",
        _are_functions,
    ),
    Key(("flash",), ESPTOOL, "a table [flash]", is_table),
    Key(("flash", "size_kib"), ESPTOOL, _KIB, _is_size),
    Key(("flash", "partition_table_kib"), ESPTOOL, _KIB, _is_size),
    Key(
        ("flash", "partitions"),
        ESPTOOL,
        "a list of { name, at_kib, size_kib, type, subtype }: a name of up to 15 letters and numbers",
        _are_partitions,
    ),
    Key(("storage",), ALWAYS, "a table [storage]", is_table),
    Key(("storage", "software"), MAYBE, f'"{FILES}", or nothing for ROMFS', lambda value: value == FILES),
    Key(("storage", "software_partition"), ESPTOOL, "the name of a partition of [flash]", is_text),
    Key(("storage", "data_partition"), ESPTOOL, "the name of a partition of [flash]", is_text),
    Key(("storage", "software_kib"), ALWAYS, _KIB, _is_size),
    Key(("storage", "data_kib"), ALWAYS, _KIB, _is_size),
    Key(("storage", "free_kib"), FLASHED, _KIB, _is_size),
    Key(("storage", "block_bytes"), FLASHED, "a number of bytes", _is_size),
    Key(("devices",), ALWAYS, "a table [devices]", is_table),
)
# Tables whose names are the file's own: what stands there is looked at as a whole, or by the profile's check.
FREE: Final = (("devices",), ("functions",))


class Reading:
    """One reading of a file; collects its mistakes."""

    def __init__(self, path: Path, expected: str) -> None:
        self.path = path
        self.content, text = read(path, expected)
        self.lines = KeyLines(text)
        self.mistakes: list[Mistake] = []

    def wrong(self, path: KeyPath, what: str, expected: str, try_next: str) -> None:
        """Note a mistake at a key."""
        self.mistakes.append(Mistake(place(self.path, self.lines, path), what, expected, try_next))

    def done(self) -> None:
        """Raises ProfileError when there were any."""
        if self.mistakes:
            raise ProfileError(self.mistakes)


class _BoardFile(Reading):
    """A board file's checks. The later ones trust the types that the first have seen."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, f"one of {', '.join(boards())}, or a board file of your own (docs/boards.md)")

    def board(self) -> Board:
        self._keys()
        self.done()
        self._hal()
        self._pins()
        self._partitions()
        self._storage()
        self.done()
        return Board(self.path.stem, self.path, self.content["chip"], self.content)

    def _at(self, path: KeyPath) -> object:
        value: object = self.content
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        return value

    # ------------------------------------------------------------ names and types

    def _keys(self) -> None:
        needs = {ALWAYS}
        if self.content.get("chip") != PROCESS:
            needs |= {FLASHED}
            if self.content.get("loader") == ESPTOOL:
                needs |= {ESPTOOL}
        elif "loader" in self.content:
            self.wrong(("loader",), "a process is flashed by nothing", "no loader", "remove it")
        for key in KEYS:
            if key.path[:-1] and not is_table(self._at(key.path[:-1])):
                continue  # told already, or a table that this board needs not have
            value = self._at(key.path)
            if value is None and key.need in needs:
                self._missing(key)
            elif value is not None and not key.is_right(value):
                name = key.path[-1]
                what = f"[{name}]" if is_table(value) else f"{name} = {_shown(value)}"
                self.wrong(key.path, what, key.expected, f"compare it with {_EXAMPLE}")
        self._unknown()

    def _missing(self, key: Key) -> None:
        name = f"[{key.path[0]}]" if key.expected.startswith("a table [") else key.path[-1]
        self.wrong(
            key.path, f"a board file without {name}", key.expected, f"add it; compare it with {_EXAMPLE}"
        )

    def _unknown(self) -> None:
        known = {key.path for key in KEYS}
        for name, value in self.content.items():
            if (name,) not in known:
                told = ", ".join(path[0] for path in sorted(known) if len(path) == 1)
                self.wrong((name,), f"{name} is unknown", told, "remove it")
            elif isinstance(value, dict) and (name,) not in FREE:
                for inner in value:
                    if (name, inner) not in known:
                        told = ", ".join(path[1] for path in sorted(known) if path[0] == name and path[1:])
                        self.wrong((name, inner), f"{inner} is unknown", told, "remove it")
        devices = self.content.get("devices")
        for door, device in devices.items() if isinstance(devices, dict) else ():
            if not is_table(device):
                self.wrong(("devices", door), f"{door} = {_shown(device)}", "a table", f"write {door} = {{}}")

    # ------------------------------------------------------------ what belongs together

    def _hal(self) -> None:
        chip = self.content["chip"]
        path = CHECKOUT / "terminal" / "hal" / f"{chip}.py"
        shown = path.relative_to(CHECKOUT)
        if not path.is_file():
            self.wrong(
                ("chip",),
                f"chip = {chip!r}: there is no {shown}",
                "the name of a HAL file",
                "write it, or name the chip of a HAL file that is there",
            )
        elif (
            not any(
                isinstance(node, ast.ClassDef) and node.name == "Board"
                for node in ast.parse(path.read_bytes()).body
            )
            or chip in _NO_CHIP
        ):
            chips = ", ".join(
                sorted({str(read(BOARDS / f"{name}.toml", "")[0]["chip"]) for name in boards()})
            )
            self.wrong(
                ("chip",),
                f"chip = {chip!r}: {shown} is no board's",
                f"the name of a HAL file with a class Board, for example {chips}",
                "name the chip that sys.platform says on the board",
            )

    def _pins(self) -> None:
        usable = self.content.get("pins", {}).get("usable", [])
        for number, pins in self.content["serial"].get("uarts", {}).items():
            for wire, pin in pins.items():
                if pin not in usable:
                    self.wrong(
                        ("serial", "uarts"),
                        f"uart {number}: {wire} = {pin} is not usable",
                        "a pin of [pins] usable",
                        "add it there, or name another",
                    )

    def _partitions(self) -> None:
        flash = self.content.get("flash", {})
        partitions = sorted(flash.get("partitions", []), key=lambda one: int(one["at_kib"]))
        begins = flash.get("partition_table_kib", 0) + TABLE_KIB
        size = flash.get("size_kib", MOST_KIB)
        for one in partitions:
            name, at, end = one["name"], one["at_kib"], one["at_kib"] + one["size_kib"]
            if at < begins:
                self._partition(name, f"begins at {at} KiB", f"{begins} or more, behind the partition table")
            if end > size:
                self._partition(name, f"ends at {end} KiB", f"at most size_kib = {size}")
            step = APP_ALIGNED_KIB if one["type"] == APP else TABLE_KIB
            if at % step or one["size_kib"] % TABLE_KIB:
                self._partition(
                    name,
                    f"is {one['size_kib']} KiB at {at}",
                    f"a multiple of {TABLE_KIB}, at a multiple of {step}",
                )
        for first, second in pairwise(partitions):
            end = first["at_kib"] + first["size_kib"]
            if second["at_kib"] < end:
                self._partition(
                    second["name"],
                    f"begins at {second['at_kib']} KiB, within {first['name']}",
                    f"{end} or more",
                )
        names = [one["name"] for one in partitions]
        for name in sorted({name for name in names if names.count(name) > 1}):
            self._partition(name, "is there twice", "each name once")

    def _partition(self, name: str, what: str, expected: str) -> None:
        path = ("flash", "partitions")
        line = self.lines.line_of_text(path, f'"{name}"')
        where = f"{self.path}:{line}" if line else f"{self.path}"
        told = f"partition {name} {what}"
        self.mistakes.append(Mistake(where, told, expected, "change at_kib or size_kib"))

    def _storage(self) -> None:
        storage, flash = self.content["storage"], self.content.get("flash", {})
        if self.content["chip"] == PROCESS:
            return
        self._blocks(storage)
        if storage["free_kib"] > storage["data_kib"]:
            self.wrong(
                ("storage", "free_kib"),
                f"free_kib = {storage['free_kib']}",
                f"less than data_kib = {storage['data_kib']}",
                "a smaller one",
            )
        room = {one["name"]: one["size_kib"] for one in flash.get("partitions", [])}
        if self.content["loader"] != ESPTOOL:
            if "size_kib" in flash and storage["software_kib"] + storage["data_kib"] > flash["size_kib"]:
                self.wrong(
                    ("storage", "data_kib"),
                    f"software_kib and data_kib are {storage['software_kib'] + storage['data_kib']}",
                    f"together at most size_kib = {flash['size_kib']} of [flash]",
                    "smaller ones",
                )
            return
        for what in ("software", "data"):
            self._fits(what, storage, room)

    def _fits(self, what: str, storage: Mapping[str, Any], room: Mapping[str, int]) -> None:
        partition, size = storage[f"{what}_partition"], storage[f"{what}_kib"]
        if partition not in room:
            self.wrong(
                ("storage", f"{what}_partition"),
                f"{what}_partition = {partition!r}",
                f"a partition of [flash]: {', '.join(room) or 'there is none'}",
                "name one of them, or add it there",
            )
        elif size > room[partition]:
            self.wrong(
                ("storage", f"{what}_kib"),
                f"{what}_kib = {size}",
                f"at most {room[partition]}, the size of partition {partition}",
                "a smaller one, or a larger partition",
            )

    def _blocks(self, storage: Mapping[str, Any]) -> None:
        block, data_bytes = storage["block_bytes"], storage["data_kib"] * 1024
        erased = ERASED_BYTES.get(self.content["chip"], SMALLEST_BLOCK)
        if block < SMALLEST_BLOCK or block & (block - 1) or block % erased:
            self.wrong(
                ("storage", "block_bytes"),
                f"block_bytes = {block}",
                f"a power of two from {erased}, which is what this flash erases at once",
                f"write block_bytes = {max(erased, 4096)}",
            )
        elif data_bytes % block or data_bytes < FEWEST_BLOCKS * block:
            self.wrong(
                ("storage", "data_kib"),
                f"data_kib = {storage['data_kib']}",
                f"whole blocks of {block} bytes, {FEWEST_BLOCKS} at least",
                "change it",
            )


_EXAMPLE: Final = (BOARDS / "esp32.toml").relative_to(CHECKOUT)
_NO_CHIP: Final = ("board", "microcontroller", "cpython")  # what boards are made of


def _shown(value: object) -> str:
    return "true" if value is True else "false" if value is False else repr(value)
