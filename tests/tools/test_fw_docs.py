"""docs/boards.md, followed to the letter: its files are written, its commands run, what it shows is said."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.tools.fw_kit import fw

CHECKOUT = Path(__file__).resolve().parent.parent.parent
PAGE = (CHECKOUT / "docs" / "boards.md").read_text("utf-8")
BLOCK = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for kind, name, content in BLOCK.findall(PAGE):
        if kind == "toml":
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(content, "utf-8")
    return tmp_path


def commands() -> list[tuple[str, list[str]]]:
    """Each command of the page with the lines shown below it."""
    found: list[tuple[str, list[str]]] = []
    for kind, _, content in BLOCK.findall(PAGE):
        if kind == "console":
            for line in content.splitlines():
                if line.startswith("$ "):
                    found.append((line.removeprefix("$ vafa fw "), []))
                else:
                    found[-1][1].append(line)
    return found


# These need a switch and stay up: they are run in tests/end_to_end.
ELSEWHERE = ("flash", "run", "sign", "check --profile shop-1", "build --profile shop-1")


def test_the_page_is_true(work: Path) -> None:
    done = 0
    for command, shown in commands():
        if command.startswith(ELSEWHERE):
            continue
        told = fw(*shlex.split(command), given="correct horse\ncorrect horse\n")
        assert told.code == 0, f"{command}: {told.err}"
        for line in shown:
            assert line in told.out.splitlines(), f"{command}: {told.out}"
        done += 1
    assert done >= 5
    assert (work / "acme-2" / "firmware.romfs").is_file()


def test_the_mistake_of_the_page_is_told_so(work: Path) -> None:
    path = work / "shop-2" / "terminal.toml"
    path.write_text(
        path.read_text("utf-8").replace("reader = { uart = 1 }", "reader = { uart = 2 }"), "utf-8"
    )
    [shown] = [content for kind, _, content in BLOCK.findall(PAGE) if kind == "text"]
    assert fw("check", "--profile", "shop-2").err.startswith(shown.rstrip("\n"))
