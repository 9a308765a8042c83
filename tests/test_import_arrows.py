"""Holds the arrows: which package may import which. Every import counts, wherever it stands in a module."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent
ROOTS = ("terminal", "switch", "simulators", "tools")
NOT_SHIPPED = ("tests", "benchmarks")  # they may import everything and nothing may import them

# Below: unit -> the other units it may import. A module belongs to the unit with the longest matching name.
# Whatever is in `switch` may also use the pure leaf terminal.text, and a unit may always use itself.
PURE = ("switch.iso8583", "switch.hsm", "switch.hsm.crypto", "switch.ledger", "switch.loyalty")
BELOW_THE_TOP = (
    *PURE,
    "switch.link",
    "switch.authorizer",
    "switch.settlement",
    "switch.events",
    "switch.partners",
)
TOP_OF_SWITCH = (
    *BELOW_THE_TOP,
    "switch.settings",
    "switch.tls",
    "switch.handshakes",
    "switch.keys",
    "switch.card_issuing",
    "switch.defaults",
    "switch.people",
    "switch.registry",
)
ALLOWED: dict[str, tuple[str, ...]] = {
    "terminal": ("terminal.text",),
    "terminal.text": (),
    "switch": (),
    "switch.iso8583": (),
    "switch.hsm": ("switch.hsm.crypto", "switch.people", "switch.tls"),
    "switch.hsm.crypto": (),
    "switch.ledger": (),
    "switch.loyalty": (),
    "switch.link": ("switch.iso8583",),
    "switch.partners": ("switch.iso8583", "switch.link"),
    "switch.authorizer": (
        "switch.iso8583",
        "switch.ledger",
        "switch.loyalty",
        "switch.hsm",
        "switch.hsm.crypto",
    ),
    "switch.settlement": ("switch.ledger", "switch.people"),
    "switch.events": ("switch.ledger",),
    "switch.hsm_sim": ("switch.hsm.crypto", "switch.tls", "switch.handshakes", "switch.people"),
    "switch.people": (),
    "switch.tls": (),
    "switch.handshakes": (),
    "switch.settings": (*BELOW_THE_TOP, "switch.tls"),
    "switch.keys": ("switch.hsm", "switch.settings", "switch.tls"),
    "switch.registry": ("switch.ledger", "switch.settings"),
    "switch.card_issuing": ("switch.hsm", "switch.hsm.crypto", "switch.keys", "switch.settings"),
    "switch.defaults": (
        "switch.card_issuing",
        "switch.hsm",
        "switch.hsm.crypto",
        "switch.ledger",
        "switch.keys",
        "switch.registry",
        "switch.settings",
    ),
    "switch.console": TOP_OF_SWITCH,
    "switch.server": (*TOP_OF_SWITCH, "switch.console"),
    "simulators": ("terminal", "terminal.text", "switch", *TOP_OF_SWITCH, "switch.server", "switch.console"),
    "tools": ("terminal", "terminal.text", "switch", *TOP_OF_SWITCH, "switch.server", "switch.console"),
}
ALLOWED["simulators"] += ("switch.hsm_sim", "tools")
ALLOWED["tools"] += ("switch.hsm_sim", "simulators")


class Import(NamedTuple):
    """`importer` names `imported` in `line`; both are dotted module names."""

    importer: str
    line: int
    imported: str

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.imported}"


def module_name(path: Path, checkout: Path) -> str:
    parts = path.relative_to(checkout).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path, checkout: Path) -> Iterator[Import]:
    """Every import of a module of ours: absolute, relative, in a function, for typing only, or by name."""
    name = module_name(path, checkout)
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_bytes(), str(path))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(name, node.lineno, alias.name)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*base, *(node.module.split(".") if node.module else [])])
            for alias in node.names:
                whole = f"{origin}.{alias.name}"
                yield Import(name, node.lineno, whole if is_module(whole, checkout) else origin)
        elif isinstance(node, ast.Call) and called_name(node) in ("import_module", "__import__"):
            for argument in node.args[:1]:
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    yield Import(name, node.lineno, argument.value)


def called_name(call: ast.Call) -> str:
    function = call.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def is_module(name: str, checkout: Path) -> bool:
    place = checkout.joinpath(*name.split("."))
    return place.with_suffix(".py").is_file() or place.is_dir()


def unit_of(module: str) -> str | None:
    """The unit in ALLOWED that a module belongs to; None for modules that are not ours."""
    parts = module.split(".")
    for length in range(len(parts), 0, -1):
        if ".".join(parts[:length]) in ALLOWED:
            return ".".join(parts[:length])
    return None


def is_allowed(imported: Import) -> bool:
    if imported.imported.split(".")[0] in NOT_SHIPPED:
        return False
    importer, target = unit_of(imported.importer), unit_of(imported.imported)
    if target is None or importer == target:
        return True
    if importer is None:
        return False
    leaf = importer.split(".")[0] == "switch" and target == "terminal.text"
    return leaf or target in ALLOWED[importer]


def violations(checkout: Path) -> list[str]:
    modules = [path for root in ROOTS for path in sorted((checkout / root).rglob("*.py"))]
    found = [imported for path in modules for imported in imports_of(path, checkout)]
    return [str(imported) for imported in found if not is_allowed(imported)]


def test_every_import_follows_the_arrows() -> None:
    assert violations(CHECKOUT) == []


def test_every_package_of_the_switch_has_its_arrows() -> None:
    packages = {f"switch.{path.parent.name}" for path in (CHECKOUT / "switch").glob("*/__init__.py")}
    modules = {f"switch.{path.stem}" for path in (CHECKOUT / "switch").glob("*.py")} - {"switch.__init__"}
    assert packages | modules <= set(ALLOWED)


def plant(checkout: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = checkout / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


PACKAGES = {
    "terminal/__init__.py": "",
    "terminal/text.py": "",
    "terminal/flows/__init__.py": "",
    "switch/__init__.py": "",
    "switch/iso8583/__init__.py": "",
    "switch/link/__init__.py": "",
    "switch/hsm/__init__.py": "",
    "switch/hsm/crypto.py": "",
    "switch/hsm_sim/__init__.py": "",
    "switch/ledger/__init__.py": "",
    "switch/authorizer/__init__.py": "",
    "switch/events/__init__.py": "",
    "switch/server/__init__.py": "",
    "simulators/__init__.py": "",
    "tools/__init__.py": "",
}


@pytest.mark.parametrize(
    ("module", "text", "imported"),
    [
        ("terminal/flows/earn.py", "import switch.iso8583", "switch.iso8583"),
        ("terminal/text.py", "from terminal import flows", "terminal.flows"),
        ("terminal/flows/earn.py", "from tests import vectors", "tests"),
        ("switch/iso8583/codec.py", "from switch import link", "switch.link"),
        ("switch/iso8583/codec.py", "from .. import ledger", "switch.ledger"),
        ("switch/iso8583/codec.py", "def late():\n    from ..server import run", "switch.server"),
        ("switch/ledger/engine.py", "if False:\n    from switch.events import x", "switch.events"),
        ("switch/ledger/__init__.py", "from ..hsm import port", "switch.hsm"),
        ("switch/hsm/port.py", "import switch.ledger", "switch.ledger"),
        ("switch/hsm/crypto.py", "from switch.hsm import port", "switch.hsm"),
        ("switch/hsm_sim/server.py", "from switch.hsm import port", "switch.hsm"),
        ("switch/link/shell.py", "import switch.ledger", "switch.ledger"),
        ("switch/link/shell.py", "from switch import anything", "switch"),
        ("switch/authorizer/decide.py", "import switch.link", "switch.link"),
        ("switch/authorizer/decide.py", "import terminal.flows", "terminal.flows"),
        ("switch/server/run.py", "from importlib import import_module\nimport_module('tools')", "tools"),
        ("switch/server/run.py", "__import__('simulators.readers')", "simulators.readers"),
        ("switch/stray.py", "import switch.ledger", "switch.ledger"),
        ("tools/cli.py", "import benchmarks.codec", "benchmarks.codec"),
    ],
)
def test_a_planted_violation_is_found(tmp_path: Path, module: str, text: str, imported: str) -> None:
    plant(tmp_path, {**PACKAGES, module: text})
    name = module_name(tmp_path / module, tmp_path)
    assert violations(tmp_path) == [f"{name}:{text.count(chr(10)) + 1} imports {imported}"]


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("terminal/flows/earn.py", "from terminal import text\nimport json"),
        ("switch/ledger/seal.py", "from terminal.text import digits\nfrom . import engine"),
        ("switch/link/shell.py", "from ..iso8583 import codec"),
        ("switch/authorizer/decide.py", "from switch import hsm, iso8583, ledger"),
        ("switch/hsm_sim/server.py", "from switch.hsm import crypto\nfrom switch.hsm.crypto import cmac"),
        ("switch/server/run.py", "import switch.link\nimport switch.authorizer"),
        ("simulators/world.py", "import terminal.flows\nimport switch.server\nimport tools"),
        ("tools/cli.py", "import simulators\nimport switch.server"),
    ],
)
def test_an_import_along_the_arrows_is_not_reported(tmp_path: Path, module: str, text: str) -> None:
    plant(tmp_path, {**PACKAGES, module: text})
    assert violations(tmp_path) == []
