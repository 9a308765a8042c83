"""The planted bugs: each still finds its line, some are caught here, and the page tells of all of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from simulators.campaigns.mutations import (
    BEGIN,
    END,
    MUTATIONS,
    PAGE,
    ROOT,
    Caught,
    Misplaced,
    Mutation,
    Unsound,
    catch,
    copy_of_program,
    hold,
    mutated,
    rows,
)

QUICK = ("half a frame is taken", "a lot that isn't the next one")


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_its_line_is_there_once(mutation: Mutation) -> None:
    assert mutated(mutation, ROOT) != (ROOT / mutation.file).read_text(encoding="utf-8")


def test_a_line_that_is_not_there_is_told(tmp_path: Path) -> None:
    (tmp_path / "lost.py").write_text("x = 1\n", encoding="utf-8")
    with pytest.raises(Misplaced, match=r"'gone': its line stands 0 times in lost\.py"):
        mutated(Mutation("gone", "lost.py", "y", "z", ""), tmp_path)


def test_some_are_caught_and_leave_no_trace(tmp_path: Path) -> None:
    copy = copy_of_program(tmp_path)
    for name in QUICK:
        [mutation] = [one for one in MUTATIONS if one.name.startswith(name)]
        assert catch(mutation, copy).words
        assert (copy / mutation.file).read_text("utf-8") == (ROOT / mutation.file).read_text("utf-8")


def small_copy(directory: Path, test: str) -> Path:
    """A program of one module with one test."""
    (directory / "switch").mkdir()
    (directory / "switch" / "module.py").write_text("VALUE = 1\n", encoding="utf-8")
    (directory / "test_it.py").write_text(test, encoding="utf-8")
    return directory


HARMLESS = Mutation("harmless", "switch/module.py", "VALUE = 1", "VALUE = 2", "test_it.py")


def test_what_no_check_notices_is_not_caught(tmp_path: Path) -> None:
    copy = small_copy(tmp_path, "def test_nothing():\n    pass\n")
    assert catch(HARMLESS, copy).words == ""


def test_a_check_that_fails_anyway_or_does_not_run_is_no_check(tmp_path: Path) -> None:
    copy = small_copy(tmp_path, "def test_always():\n    assert False, 'always'\n")
    with pytest.raises(Unsound, match=r"without any mutation a check fails: .*always"):
        hold([HARMLESS], copy)
    with pytest.raises(Unsound, match="didn't run"):
        catch(replace(HARMLESS, check="test_it.py::test_gone"), copy)


def test_the_page_shows_every_planted_bug_and_its_check() -> None:
    shown = PAGE.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0].strip().splitlines()
    made = rows(Caught(mutation, "", 0) for mutation in MUTATIONS)
    assert [line.rpartition(" | ")[0] for line in shown] == [line.rpartition(" | ")[0] for line in made]
    assert all(line.rpartition(" | ")[2].strip(" |").isdigit() for line in shown[2:])
