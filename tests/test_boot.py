"""Which software starts when the files of the one that runs were damaged: started for real, with a program of
a few lines in each slot."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from terminal import slots
from terminal.hal.files import SlotFiles, Storage
from tools import firmware_bundle, firmware_modules

STARTS = ("terminal.boot", "terminal.bundle", "terminal.signature", "terminal.slots", "terminal.hal.files")
PROGRAM = """\
def start(board_path):
    import terminal.screens
    print("runs %s")
    return 0
"""


def program(name: str) -> dict[str, bytes]:
    return {
        "terminal/__init__.py": b"",
        "terminal/main.py": (PROGRAM % name).encode(),
        "terminal/screens.py": b"WIDTH = 128\n",
        "terminal/never.py": b"",
    }


class Place:
    """A board that came with "flashed" and keeps its slots below `directory`."""

    def __init__(self, directory: Path) -> None:
        self.tree = directory / "flashed"
        for path, data in {**program("flashed"), "terminal/hal/__init__.py": b""}.items():
            (self.tree / path).parent.mkdir(parents=True, exist_ok=True)
            (self.tree / path).write_bytes(data)
        for name in STARTS:
            source = firmware_modules.path_of(name)
            shutil.copy(source, self.tree / source.relative_to(firmware_modules.CHECKOUT))
        self.storage = Storage(str(directory / "storage"))
        self.board = directory / "board.json"
        self.board.write_text(json.dumps({"storage": self.storage.directory, "update": {"model": "x"}}))

    def slot(self, number: int) -> Path:
        return Path(self.storage.directory, f"slot_{slots.NAMES[number]}")

    def comes(self, version: int) -> None:
        """Fetched, tried, and well."""
        number = slots.read(self.storage).free
        files = SlotFiles(self.storage.directory, number)
        files.clear()
        content = program(str(version))
        bundle = firmware_bundle.unsigned("x", version, 0, content, 1)
        files.append("TABLE", bundle[: -sum(map(len, content.values()))])
        for name, data in content.items():
            files.append(name, data)
        files.append(slots.WHOLE, b"%d" % version)
        slots.put_on_trial(self.storage, version)
        assert self.starts() == f"runs {version}"
        slots.is_well(self.storage)

    def starts(self, code: int = 0) -> str:
        """What the terminal says; it ends with this code."""
        command = [sys.executable, "-m", "terminal.boot", "--board", str(self.board)]
        done = subprocess.run(command, cwd=self.tree, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == code, done.stderr
        return done.stdout.strip() or done.stderr

    def fails(self, why: str) -> None:
        """Three starts that say why; the last that the version is given up."""
        for count in (1, 2, 3):
            said = json.loads(self.starts(75))
            assert said["level"] == "error"
            assert said["what"].startswith("software does not start: ")
            assert why in said["what"]
            assert ("given up" in said["what"]) == (count == 3)


DAMAGES: dict[str, tuple[str, Callable[[Path], object]]] = {
    "empty": ("terminal/screens.py is damaged", lambda slot: (slot / "terminal/screens.py").write_bytes(b"")),
    "away": ("terminal/main.py is damaged", lambda slot: (slot / "terminal/main.py").unlink()),
    "short": ("Error", lambda slot: (slot / "TABLE").write_bytes(b"VAFB")),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_version_that_was_well_gives_way_to_what_the_board_came_with(
    damage: str, tmp_path: Path
) -> None:
    place = Place(tmp_path)
    place.comes(2)
    why, spoil = DAMAGES[damage]
    spoil(place.slot(1))
    place.fails(why)
    assert place.starts() == place.starts() == "runs flashed"
    place.comes(3)
    assert place.starts() == "runs 3"


def test_a_damaged_version_gives_way_to_the_one_before_and_that_to_what_the_board_came_with(
    tmp_path: Path,
) -> None:
    place = Place(tmp_path)
    place.comes(2)
    place.comes(3)
    (place.slot(0) / "terminal/screens.py").write_bytes(b"")
    place.fails("terminal/screens.py")
    assert place.starts() == place.starts() == "runs 2"
    (place.slot(1) / "terminal/never.py").unlink()
    place.fails("terminal/never.py")
    assert place.starts() == place.starts() == "runs flashed"
    assert slots.read(place.storage).newest == 3


def test_a_version_that_failed_its_trial_is_not_what_a_damaged_one_gives_way_to(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.comes(2)
    shutil.copytree(place.slot(1), place.slot(0))
    slots.put_on_trial(place.storage, 3)
    for _ in range(slots.TRIES):
        place.starts()
    assert place.starts() == "runs 2"
    assert slots.read(place.storage).failed == 3
    (place.slot(1) / "terminal/main.py").write_bytes(b"")
    place.fails("terminal/main.py")
    assert place.starts() == "runs flashed"


def test_what_the_board_came_with_dies_with_its_own_words(tmp_path: Path) -> None:
    place = Place(tmp_path)
    (place.tree / "terminal/screens.py").unlink()
    assert "ModuleNotFoundError" in place.starts(1)
