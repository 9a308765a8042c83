"""The planted bugs: each still fits its source, a few are caught here, and the page tells of all of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from simulators.campaigns.mutations import (
    PAGE,
    Misplaced,
    Unsound,
    copy_of_program,
    hold,
    judge,
    judge_all,
    planted,
    rows,
    run_checks,
    table_of,
)
from simulators.campaigns.planted_bugs import PLANTED_BUGS, PlantedBug
from simulators.process import ROOT

# One of each kind that costs little; `make mutations` plays all.
QUICK = ("points end twice", "a ledger that went back gets a new checkpoint", "the business date goes back")


@pytest.mark.parametrize("bug", PLANTED_BUGS, ids=lambda bug: bug.name)
def test_it_fits_its_source_and_its_check_is_there(bug: PlantedBug) -> None:
    changed = planted(bug, ROOT)
    assert changed != (ROOT / bug.file).read_text(encoding="utf-8")
    compile(changed, bug.file, "exec")
    place, _, test = bug.check.partition("::")
    assert f"def {test.partition('[')[0]}(" in (ROOT / place).read_text(encoding="utf-8")


def test_no_bug_is_planted_twice() -> None:
    assert len({bug.name for bug in PLANTED_BUGS}) == len(PLANTED_BUGS)
    assert len({(bug.file, bug.new, bug.old) for bug in PLANTED_BUGS}) == len(PLANTED_BUGS)


def test_some_are_caught_and_leave_no_trace(tmp_path: Path) -> None:
    copy = copy_of_program(tmp_path / "copy")
    bugs = [bug for bug in PLANTED_BUGS if bug.name in QUICK]
    assert len(bugs) == len(QUICK)
    for bug in bugs:
        assert judge(bug, copy).words
        assert (copy / bug.file).read_bytes() == (ROOT / bug.file).read_bytes()


def test_the_page_shows_every_planted_bug_and_its_check() -> None:
    assert table_of(PAGE.read_text(encoding="utf-8")) == rows(PLANTED_BUGS)


# ---------------------------------------------------------------- the runner itself

HARMLESS = PlantedBug("harmless", "module.py", "VALUE = 1", "VALUE = 2", "test_it.py::test_it")


def program(directory: Path, test: str) -> Path:
    """A program of one module with one test."""
    (directory / "module.py").write_text("VALUE = 1\n", encoding="utf-8")
    (directory / "test_it.py").write_text(f"import module\n\ndef test_it():\n    {test}\n", encoding="utf-8")
    return directory


def test_what_a_check_notices_is_caught_and_what_it_does_not_is_not(tmp_path: Path) -> None:
    copy = program(tmp_path, "assert module.VALUE == 1")
    [verdict] = judge_all([HARMLESS], [copy])
    assert verdict.words == "assert 2 == 1"
    assert run_checks([HARMLESS.check], copy) == ""
    copy = program(tmp_path, "assert module.VALUE")
    assert judge(HARMLESS, copy).words == ""


def test_a_check_that_fails_anyway_is_none(tmp_path: Path) -> None:
    copy = program(tmp_path, "assert not module.VALUE")
    with pytest.raises(Unsound, match="without any planted bug a check fails: assert not 1"):
        hold([HARMLESS.check], copy)


def test_a_check_that_does_not_run_catches_nothing(tmp_path: Path) -> None:
    copy = program(tmp_path, "pass")
    with pytest.raises(Unsound, match="didn't run"):
        judge(replace(HARMLESS, check="test_it.py::test_gone"), copy)
    with pytest.raises(Unsound, match="didn't run"):
        judge(replace(HARMLESS, new="VALUE ="), copy)


@pytest.mark.parametrize(("text", "times"), [("", 0), ("VALUE = 1\nVALUE = 1\n", 2)])
def test_a_text_that_is_not_there_once_is_told(tmp_path: Path, text: str, times: int) -> None:
    copy = program(tmp_path, "pass")
    (copy / "module.py").write_text(text, encoding="utf-8")
    with pytest.raises(Misplaced, match=rf"'harmless': its text stands {times} times in module\.py"):
        next(judge_all([HARMLESS], [copy]))
