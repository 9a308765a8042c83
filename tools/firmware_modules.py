"""Which modules of the firmware a device profile needs, by following imports from `terminal.main`.

What stands at a door is needed only when its device is fitted, a board's own module only on that board:
imports of such modules count as asked for by the profile, never by the code that could load them. Nothing
is executed here.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping, Set
from functools import cache
from pathlib import Path
from typing import Final

from terminal.doors import KINDS

CHECKOUT: Final = Path(__file__).resolve().parent.parent
ROOT: Final = "terminal.main"
FONTS_AND_STRINGS: Final = ("terminal.ui.fonts", "terminal.ui.strings", "terminal.message_texts")

# What the board itself loads for a device, beside what stands at its door.
OF_DEVICES: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    ("line", "dial"): ("terminal.drivers.modem", "terminal.drivers.dial_line"),
    ("line", "gprs"): ("terminal.drivers.modem", "terminal.drivers.gprs"),
    ("display", "ssd1306"): ("terminal.drivers.ssd1306",),
    ("display", "st7920"): ("terminal.drivers.st7920",),
}
# What runs on one chip only; a chip that is not named here has a HAL file named after it.
OF_CHIPS: Final[Mapping[str, tuple[str, ...]]] = {
    "unix": ("terminal.hal.unix", "terminal.hal.tls"),
}
# For bundles; without keys to check them by there are none.
OF_UPDATES: Final = ("terminal.bundle", "terminal.signature", "terminal.hal.update")
# What starts a board that takes updates. On a microcontroller it stands apart from what it starts.
BOOT: Final = "terminal.boot"
OF_START: Final = "terminal.hal.rom"
TLS: Final = "terminal.hal.tls"
# Only where MicroPython is missing, or has no AES of its own: on none of the boards.
NEVER: Final = frozenset({"terminal.hal.cpython", "terminal.hal.aes"})


def hal_of(chip: str) -> tuple[str, ...]:
    """The modules that run on this chip only."""
    return OF_CHIPS.get(chip, (f"terminal.hal.{chip}",))


def needed(chip: str, devices: Mapping[str, str], updates: bool = True, tls: bool = False) -> tuple[str, ...]:
    """Full names of the modules that a board with these devices (door -> kind) may load, sorted. updates:
    whether it takes software over its line; tls: whether its line is in TLS, as one of `unix` may always be.

    Raises FileNotFoundError for a chip that has no HAL file.
    """
    wanted = {ROOT, *hal_of(chip)}
    if tls:
        wanted.add(TLS)
    for door, kind, module, _ in KINDS:
        if devices.get(door) == kind and module is not None:
            wanted.add(f"terminal.doors.{module}")
    for (door, kind), modules in OF_DEVICES.items():
        if devices.get(door) == kind:
            wanted.update(modules)
    if updates:
        wanted.update(OF_UPDATES)
        if chip in OF_CHIPS:
            wanted.add(BOOT)
    return _followed(wanted, _gated() - wanted)


def starting() -> tuple[str, ...]:
    """Full names of the modules that start a microcontroller which takes updates, sorted. Its slots are one
    image, whose SHA-256 `OF_START` looks at: it needs nothing of bundles."""
    return _followed({OF_START}, frozenset({ROOT, *OF_UPDATES}))


def _followed(wanted: set[str], gated: Set[str]) -> tuple[str, ...]:
    found: set[str] = set()
    while wanted:
        name = wanted.pop()
        if name not in found and name not in gated and name not in NEVER:
            found.add(name)
            wanted.update(imported(name))
    return tuple(sorted(found))


def _gated() -> set[str]:
    gated = {
        BOOT,
        OF_START,
        TLS,
        *(f"terminal.doors.{module}" for _, _, module, _ in KINDS if module is not None),
    }
    for modules in (*OF_DEVICES.values(), *OF_CHIPS.values(), OF_UPDATES):
        gated.update(modules)
    chips = {path.stem for path in (CHECKOUT / "terminal" / "boards").glob("*.toml")}
    return gated | {f"terminal.hal.{chip}" for chip in chips}


def imported(name: str) -> frozenset[str]:
    """The firmware's modules that this one imports or names anywhere, and the packages it stands in."""
    path = path_of(name)
    return _imported(name, path, path.stat().st_mtime_ns)


@cache
def _imported(name: str, path: Path, changed_ns: int) -> frozenset[str]:
    found = set(_packages(name))
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add(node.value)  # a module named for __import__; other texts name no file
    return frozenset(module for module in found if module != name and _is_ours(module))


def _packages(name: str) -> Iterable[str]:
    parts = name.split(".")
    return (".".join(parts[:count]) for count in range(1, len(parts)))


def _is_ours(name: str) -> bool:
    if not name.startswith("terminal") or not all(part.isidentifier() for part in name.split(".")):
        return False
    try:
        path_of(name)
    except FileNotFoundError:
        return False
    return True


def path_of(name: str) -> Path:
    """The source of a module. Raises FileNotFoundError."""
    place = CHECKOUT.joinpath(*name.split("."))
    for path in (place.with_suffix(".py"), place / "__init__.py"):
        if path.is_file():
            return path
    raise FileNotFoundError(f"no module {name}")


def is_font_or_string(name: str) -> bool:
    """Whether a module counts to the budget of fonts and strings."""
    return name.startswith(FONTS_AND_STRINGS)
