"""Compiling the firmware: whole, incremental, clean, and loadable by the MicroPython it is made for."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tools import micropython
from tools.firmware_tree import CompileError, build, compile_tree


@pytest.fixture
def source(tmp_path: Path) -> Path:
    package = tmp_path / "source" / "terminal"
    (package / "flows").mkdir(parents=True)
    (package / "__init__.py").write_text('"""Planted."""\n')
    (package / "flows" / "__init__.py").write_text("")
    (package / "flows" / "earn.py").write_text("def points(rial):\n    return rial // 10_000\n")
    (package / "main.py").write_text("from terminal.flows.earn import points\nprint(points(2_500_000))\n")
    return package


def outputs(target: Path) -> dict[str, int]:
    """Path below the target -> inode, which changes when a file is written anew."""
    return {str(path.relative_to(target)): path.stat().st_ino for path in target.rglob("*.mpy")}


def test_a_package_keeps_its_name_and_runs_on_micropython(source: Path, tmp_path: Path) -> None:
    target = compile_tree(source, tmp_path / "out")
    assert set(outputs(target)) == {
        "terminal/__init__.mpy",
        "terminal/main.mpy",
        "terminal/flows/__init__.mpy",
        "terminal/flows/earn.mpy",
    }
    run = subprocess.run(
        [micropython.provide(), "-X", "heapsize=160k", "-m", "terminal.main"],
        cwd=target,
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout == "250\n"


def test_a_plain_folder_gives_its_own_modules(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "one.py").write_text("x = 1\n")
    (folder / "below").mkdir()
    (folder / "below" / "two.py").write_text("x = 2\n")
    assert set(outputs(compile_tree(folder, tmp_path / "out"))) == {"one.mpy"}


def test_only_what_changed_is_compiled(source: Path, tmp_path: Path) -> None:
    target = compile_tree(source, tmp_path / "out")
    before = outputs(target)
    compile_tree(source, target)
    assert outputs(target) == before
    changed = source / "main.py"
    os.utime(changed, ns=(0, changed.stat().st_mtime_ns - 1))  # an older file put back is a change too
    compile_tree(source, target)
    after = outputs(target)
    assert {name for name in before if before[name] != after[name]} == {"terminal/main.mpy"}


def test_another_compiler_or_option_means_everything_anew(source: Path, tmp_path: Path) -> None:
    target = compile_tree(source, tmp_path / "out")
    before = outputs(target)
    for record in target.rglob(".compiled-with"):
        record.write_text("another compiler\n")
    compile_tree(source, target)
    after = outputs(target)
    assert all(before[name] != after[name] for name in before)


def test_what_lost_its_source_goes(source: Path, tmp_path: Path) -> None:
    target = compile_tree(source, tmp_path / "out")
    for path in (source / "flows").iterdir():
        path.unlink()
    (source / "flows").rmdir()
    compile_tree(source, target)
    assert set(outputs(target)) == {"terminal/__init__.mpy", "terminal/main.mpy"}
    assert not (target / "terminal" / "flows").exists()


def test_a_module_that_does_not_compile_is_named_and_leaves_no_output(source: Path, tmp_path: Path) -> None:
    (source / "main.py").write_text("match 1:\n    case 1:\n        pass\n")
    with pytest.raises(CompileError, match=r"main\.py.*\n.*\n?.*line 1"):
        compile_tree(source, tmp_path / "out")
    assert not list((tmp_path / "out").rglob("main.*"))


def test_outputs_carry_no_path_of_this_machine(source: Path, tmp_path: Path) -> None:
    target = compile_tree(source, tmp_path / "out")
    for path in target.rglob("*.mpy"):
        assert str(tmp_path).encode() not in path.read_bytes()
        assert b"terminal/" in path.read_bytes()


def test_the_firmware_compiles() -> None:
    assert (build() / "terminal" / "__init__.mpy").is_file()
