"""Compiling the firmware: whole, incremental, clean, and loadable by the MicroPython it is made for."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from simulators.process import ROOT
from tools import micropython
from tools.firmware_source import known, restored, valued
from tools.firmware_tree import CompileError, build, compile_tree, names_of


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
    assert b"flows/earn" in (target / "terminal" / "flows" / "earn.mpy").read_bytes()


def run(tree: Path, program: str) -> str:
    done = subprocess.run(
        [micropython.provide(), "-c", program], cwd=tree, capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr


def test_asserts_are_kept(source: Path, tmp_path: Path) -> None:
    (source / "rules.py").write_text(
        "def one(x):\n    assert x == 1, 'one is %d' % x\n\ndef all(*x):\n    assert (\n        x\n    )\n"
    )
    tree = compile_tree(source, tmp_path / "out")
    from_rules = "import terminal.rules as rules; "
    assert run(tree, from_rules + "rules.one(1); rules.all(1)") == ""
    assert run(tree, from_rules + "rules.one(2)").splitlines()[-1].rstrip(": ") == "AssertionError"
    told = run(tree, from_rules + "rules.all()").splitlines()
    assert told[-1].startswith("AssertionError")
    assert told[-2].endswith(", in all")


def test_what_one_module_names_others_know(source: Path, tmp_path: Path) -> None:
    (source / "names.py").write_text(
        'WIDE = 3\n_MORE = WIDE * 2\nMOST = WIDE + _MORE\nSHORT = "s"\nmost = 7\n'
    )
    (source / "flows" / "earn.py").write_text(
        "from terminal import names\nfrom terminal.names import MOST, SHORT, most\n\n\n"
        "def all(length, most_of_all=most, *, kind=SHORT):\n"
        "    def inner(length):\n        return length, most_of_all, names.WIDE\n\n"
        "    return inner(length + 1), [length for length in range(2)], MOST, kind\n"
    )
    (source / "main.py").write_text(
        "from terminal.flows.earn import all\nprint(all(1, kind='k'), all(length=2))\n"
    )
    tree = compile_tree(source, tmp_path / "out")
    assert run(tree, "import terminal.main") == "((2, 7, 3), [0, 1], 9, 'k') ((3, 7, 3), [0, 1], 9, 's')\n"
    assert b"MOST" not in (tree / "terminal" / "flows" / "earn.mpy").read_bytes()
    (source / "names.py").write_text(
        'WIDE = 4\n_MORE = WIDE * 2\nMOST = WIDE + _MORE\nSHORT = "s"\nmost = 7\n'
    )
    compile_tree(source, tree)  # what others took of it changes with it
    assert run(tree, "import terminal.main") == "((2, 7, 4), [0, 1], 12, 'k') ((3, 7, 4), [0, 1], 12, 's')\n"


def test_what_changes_or_is_set_elsewhere_is_no_constant(source: Path, tmp_path: Path) -> None:
    (source / "names.py").write_text(
        "LEFT = 1\nSET = 1\n\n\ndef take():\n    global LEFT\n    LEFT = 0\n    return LEFT, SET\n"
    )
    (source / "main.py").write_text(
        "from terminal import names\n\nnames.SET = 5\nprint(names.LEFT, names.take(), names.LEFT)\n"
    )
    assert run(compile_tree(source, tmp_path / "out"), "import terminal.main") == "1 (0, 5) 0\n"


# Whatever a short name could be mistaken for: what others say, inherit, ask for by a text, set, or shadow.
NAMED = """\
_LIMITS = (1, "one", b"1")
_FIRST, _SECOND, THIRD = range(3)
_TABLE = {_FIRST: "first", _SECOND: "second"}
_count = 0


def _counted(by, a=1):
    global _count
    _count += by * a
    return _count


def _asked():
    return "asked"


class Root:
    _pairs = ()
    size = len(_pairs)

    def __init__(self, first, *rest, **named):
        self._first, self._rest, self._named, self.b = first, rest, named, "b"

    @property
    def _twice(self):
        return [a * 2 for a in self._rest]

    def told(self, other=None):
        inner = lambda rest, first=self._first: (first, rest, _TABLE[_SECOND], self._twice)
        return inner(self._pairs), other and other._secret, self._made(), _asked(), self.b

    def _made(self):
        return _counted(2), _LIMITS

    def _by_name(self):
        return "by name"


class Odd(Root):
    def _made(self):
        return super()._made(), self._lost(key=3)

    def _lost(self, key):
        raise KeyError(key)
"""
NAMING = """\
from terminal import names
from terminal.names import THIRD, Odd, Root, _counted


class Leaf(Root):
    _pairs = (THIRD, names.THIRD)

    def __init__(self, a, *rest):
        super().__init__(a, *rest, by=a)
        self._own, self._secret = a, "secret"

    def _made(self):
        return super()._made(), self._own, self._named, getattr(self, "_by_name")()


print(Leaf(1, 2, 3).told(Leaf(4)), _counted(5, a=2), _counted(by=1), Root.size)
Odd(1).told()
"""


def test_short_names_change_nothing_but_names(source: Path, tmp_path: Path) -> None:
    (source / "names.py").write_text(NAMED)
    (source / "naming.py").write_text(NAMING)
    people = subprocess.run(
        [sys.executable, "-c", "import terminal.naming"],
        cwd=source.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    tree = compile_tree(source, tmp_path / "out")
    *said, error = run(tree, "import terminal.naming").splitlines()
    assert f"{said[0]}\n" == people.stdout
    assert error == people.stderr.splitlines()[-1] == "KeyError: 3"
    small = (tree / "terminal" / "names.mpy").read_bytes()
    for name in (b"_TABLE", b"_asked", b"_made", b"_lost", b"_rest", b"_twice", b"_FIRST", b"THIRD"):
        assert name not in small
    for name in (b"_secret", b"_by_name", b"_counted"):  # said by another, asked for by a text, imported
        assert name in small + (tree / "terminal" / "naming.mpy").read_bytes()
    told = [restored(line, names_of(tree)).rpartition(" in ")[2] for line in said[1:]]
    assert told == ["Traceback (most recent call last):", "<module>", "<module>", "told", "_made", "_lost"]
    assert {*names_of(tree)["names"].values()} == {"_asked", "_twice", "_made", "_lost"}
    event = f'{{"what": "fault: KeyError at terminal/names.py, {said[-1].rpartition(" ")[2]}"}}'
    assert restored(event, names_of(tree)) == '{"what": "fault: KeyError at terminal/names.py, _lost"}'


def test_a_caller_says_values_on_the_lines_where_it_said_names(source: Path, tmp_path: Path) -> None:
    (source / "names.py").write_text(
        'LEAST = -1\nMOST = 3\nTOLD = 5\nHIDDEN = 7\nWORD = "word"\n\n\n'
        "def own():\n    return LEAST, HIDDEN\n"
    )
    caller = tmp_path / "caller.py"
    caller.write_text(
        "from terminal import names\n"
        "from terminal.names import (\n    MOST,\n    TOLD,\n    WORD,\n    own,\n)\n\n"
        "print(2 - names.LEAST, MOST * (\n    MOST\n), f'{TOLD}', WORD, own())\nraise ValueError\n"
    )
    tree = compile_tree(source, tmp_path / "out", (caller,))
    (tree / "caller.py").write_text(valued(caller, known(source, (caller,))))
    said = run(tree, "import caller").splitlines()
    assert said[0] == "3 9 5 word (-1, 7)"
    assert '"caller.py", line 12, in <module>' in said[-2]
    small = (tree / "terminal" / "names.mpy").read_bytes()
    assert b"TOLD" in small
    for name in (b"MOST", b"LEAST", b"HIDDEN", b"WORD"):
        assert name not in small


def test_the_firmware_compiles() -> None:
    assert (build() / "terminal" / "__init__.mpy").is_file()


def test_what_a_module_takes_of_another_is_there() -> None:
    """Imports inside functions are seen by no test that doesn't play that flow."""
    trees = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): ast.parse(path.read_bytes())
        for path in (ROOT / "terminal").rglob("*.py")
    }
    trees = {name.removesuffix(".__init__"): tree for name, tree in trees.items()}
    said = {
        name: {
            part
            for node in ast.walk(tree)
            for part in (getattr(node, named, None) for named in ("id", "name", "asname"))
        }
        for name, tree in trees.items()
    }
    missing = [
        f"{name}: {node.module}.{alias.name}"
        for name, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module in trees
        for alias in node.names
        if alias.name not in said[node.module] and f"{node.module}.{alias.name}" not in trees
    ]
    assert not missing
