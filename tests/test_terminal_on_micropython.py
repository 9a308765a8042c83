"""The firmware and its tests on the real MicroPython, from `.mpy`, with the heap a terminal has."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tools import firmware_tree, micropython

CHECKOUT = Path(__file__).resolve().parent.parent
TERMINAL = CHECKOUT / "terminal"
TESTS = CHECKOUT / "tests" / "terminal"
HEAP = "heapsize=512k"  # on a 64-bit machine, with all code in it, which boards run from flash
TIMEOUT_SECONDS = 600  # far more than any module needs on a busy machine: only ends a test that hangs

TEST_MODULES = sorted(TESTS.glob("test_*.py"))
RUNNER = TESTS / "run_on_micropython.py"
# What several test modules use, imported there under the name it has here: `from tests.terminal.x import y`.
SHARED_MODULES = sorted({*TESTS.glob("*.py")} - {*TEST_MODULES, RUNNER, TESTS / "conftest.py"})

# Imports each module named on the command line with nothing of the firmware loaded before it.
IMPORT_PROGRAM = """\
import gc, sys
for name in sys.argv[1:]:
    for loaded in [key for key in sys.modules if key == "terminal" or key.startswith("terminal.")]:
        del sys.modules[loaded]
    gc.collect()
    try:
        __import__(name)
        print("ok", name)
    except BaseException as failure:
        print("FAIL", name)
        sys.print_exception(failure, sys.stdout)
"""


def firmware_modules() -> list[str]:
    found = []
    for path in sorted(TERMINAL.rglob("*.py")):
        parts = path.relative_to(CHECKOUT).with_suffix("").parts
        found.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return found


def run_micropython(tree: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it in `tree`, whose modules are the only ones it can import beside its own."""
    return subprocess.run(
        [micropython.provide(), "-X", HEAP, *arguments],
        cwd=tree,
        env={**os.environ, "MICROPYPATH": ".frozen"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=TIMEOUT_SECONDS,
        check=False,
    )


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An import root: the compiled firmware and runner, the shared vectors at the path they have here."""
    target = tmp_path_factory.mktemp("firmware")
    shutil.copytree(firmware_tree.build(), target, dirs_exist_ok=True)  # compiled once for all workers
    firmware_tree.compile_module(RUNNER, target)
    shared = target / "tests" / "terminal"
    shared.mkdir(parents=True)
    for module in SHARED_MODULES:
        firmware_tree.compile_module(module, shared)
    (target / "tests" / "vectors").symlink_to(CHECKOUT / "tests" / "vectors")
    return target


@pytest.fixture(scope="module")
def import_report(tree: Path) -> str:
    return run_micropython(tree, "-c", IMPORT_PROGRAM, *firmware_modules()).stdout


@pytest.mark.parametrize("module", firmware_modules())
def test_module_imports(module: str, import_report: str) -> None:
    assert f"ok {module}" in import_report.splitlines(), import_report


@pytest.mark.parametrize("module", TEST_MODULES, ids=lambda path: path.stem)
def test_module_passes(module: Path, tree: Path) -> None:
    firmware_tree.compile_module(module, tree)
    run = run_micropython(tree, "-m", "run_on_micropython", module.stem)
    assert run.returncode == 0, run.stdout
    passed = {line.removeprefix("ok ") for line in run.stdout.splitlines() if line.startswith("ok ")}
    assert passed == names_of_tests(module)
    assert passed, f"{module} holds no test"


def names_of_tests(module: Path) -> set[str]:
    body = ast.parse(module.read_bytes()).body
    return {node.name for node in body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("def test_a():\n    assert 1 == 2\n", "FAIL test_a"),
        ("def test_a():\n    import typing\n", "FAIL test_a"),
        ("def test_a():\n    return bytearray(600_000)\n", "FAIL test_a"),
        ("import typing\ndef test_a():\n    pass\n", "ImportError: no module named 'typing'"),
        ("def test_a():\n    import sys\n    assert sys.implementation.name == 'micropython'\n", "ok test_a"),
    ],
)
def test_what_fails_there_is_told(tree: Path, tmp_path: Path, text: str, outcome: str) -> None:
    planted = tmp_path / "test_planted.py"
    planted.write_text(text)
    firmware_tree.compile_module(planted, tree)
    run = run_micropython(tree, "-m", "run_on_micropython", "test_planted")
    assert outcome in run.stdout.splitlines(), run.stdout
    assert (run.returncode == 0) == outcome.startswith("ok")


def test_a_test_imports_what_it_shares_by_its_name_here(tree: Path, tmp_path: Path) -> None:
    shared = tmp_path / "planted_shop.py"
    shared.write_text("def price():\n    return 250\n")
    firmware_tree.compile_module(shared, tree / "tests" / "terminal")
    planted = tmp_path / "test_sharing.py"
    planted.write_text(
        "from tests.terminal.planted_shop import price\n\ndef test_a():\n    assert price() == 250\n"
    )
    firmware_tree.compile_module(planted, tree)
    run = run_micropython(tree, "-m", "run_on_micropython", "test_sharing")
    assert "ok test_a" in run.stdout.splitlines(), run.stdout
