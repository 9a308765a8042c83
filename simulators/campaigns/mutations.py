"""Planted bugs: what must never happen to a ledger is made to happen in a copy of the program, and the check
that should notice is run. `docs/faults.md` shows which check caught what, written by `--write`.

The bugs are the table of `planted_bugs`. This program never changes the tree that it is started from.

Run: `python -m simulators.campaigns.mutations --write`
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Final, NamedTuple

from simulators.campaigns.planted_bugs import PLANTED_BUGS, PlantedBug
from simulators.process import ROOT

# What Python compiled of a source holds while size and second of change are the same.
ANOTHER_TIME_NS: Final = 10**12
COPIED: Final = ("simulators", "switch", "terminal", "tests", "tools", "pyproject.toml")
LINKED: Final = (".tools",)  # only read
PAGE: Final = ROOT / "docs" / "faults.md"
BEGIN, END = "<!-- planted bugs: made by simulators.campaigns.mutations -->", "<!-- end of planted bugs -->"
_UNFINISHED: Final = shutil.ignore_patterns("*.pyc.*")  # what a process is about to rename
LONGEST_CHECK_SECONDS: Final = 900.0  # all checks together on a busy machine; one takes seconds
PASSED, FAILED = 0, 1  # pytest's exit codes; others say that a test didn't run
# No cache, no further processes, no line of the tests' summary but what failed.
_PYTEST: Final = ("-m", "pytest", "-x", "-q", "--no-header", "-p", "no:cacheprovider", "-p", "no:xdist")


class Misplaced(Exception):
    """The text to be changed isn't in the file, or more than once."""


class Unsound(Exception):
    """A check that doesn't hold in the program as it is, or didn't run: it says nothing."""


class Verdict(NamedTuple):
    """What a check said of a planted bug; empty when it noticed nothing. seconds: until then."""

    bug: PlantedBug
    words: str
    seconds: float


def planted(bug: PlantedBug, root: Path) -> str:
    """The text of the file with the bug in it. Raises Misplaced."""
    text = (root / bug.file).read_text(encoding="utf-8")
    if text.count(bug.old) != 1:
        raise Misplaced(
            f"{bug.name!r}: its text stands {text.count(bug.old)} times in {bug.file};"
            " bring the row of simulators/campaigns/planted_bugs.py up to date"
        )
    return text.replace(bug.old, bug.new)


def copy_of_program(directory: Path) -> Path:
    """The program and its tests, to be changed; compiled files come along, they save half the time."""
    directory.mkdir(exist_ok=True)
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, directory / name, ignore=_UNFINISHED)
        else:
            shutil.copyfile(ROOT / name, directory / name)
    for name in LINKED:
        (directory / name).symlink_to(ROOT / name)
    return directory


def run_checks(checks: Sequence[str], copy: Path) -> str:
    """Run tests of the copy; what the first that failed says, empty when all passed. Raises Unsound."""
    process = subprocess.Popen(
        [sys.executable, *_PYTEST, *checks],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": str(copy)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        told, _ = process.communicate(timeout=LONGEST_CHECK_SECONDS)
    except subprocess.TimeoutExpired:
        raise Unsound(f"{', '.join(checks)} didn't end") from None
    finally:
        _end(process)
    if process.returncode not in (PASSED, FAILED):
        raise Unsound(f"{', '.join(checks)} didn't run (pytest ended with {process.returncode}): {told}")
    if process.returncode == PASSED:
        return ""
    errors = [line[1:].strip() for line in told.splitlines() if line.startswith("E  ")]
    return errors[0] if errors else told[-500:]


def _end(process: subprocess.Popen[str]) -> None:
    """End a check and whatever it started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.wait()


def judge(bug: PlantedBug, copy: Path) -> Verdict:
    """Plant one bug in a copy, run its check, and take it out again. Raises Misplaced, Unsound."""
    path = copy / bug.file
    changed = planted(bug, copy)
    stat, before = path.stat(), path.read_bytes()
    begun = time.monotonic()
    try:
        path.write_text(changed, encoding="utf-8")
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + ANOTHER_TIME_NS))
        words = run_checks([bug.check], copy)
    finally:
        path.write_bytes(before)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # what was compiled of it holds again
    return Verdict(bug, words, time.monotonic() - begun)


def hold(checks: Iterable[str], copy: Path) -> None:
    """All checks hold in the program as it is. Raises Unsound."""
    words = run_checks(sorted(set(checks)), copy)
    if words:
        raise Unsound(f"without any planted bug a check fails: {words}")


def judge_all(bugs: Sequence[PlantedBug], copies: Sequence[Path]) -> Iterator[Verdict]:
    """Verdicts in the order of the bugs, as many at a time as there are copies; every check is first seen to
    hold without them. Raises Misplaced, Unsound."""
    for bug in bugs:
        planted(bug, copies[0])
    checks = sorted({bug.check for bug in bugs})
    free: SimpleQueue[Path] = SimpleQueue()
    for copy in copies:
        free.put(copy)

    def one(bug: PlantedBug) -> Verdict:
        copy = free.get()
        try:
            return judge(bug, copy)
        finally:
            free.put(copy)

    with ThreadPoolExecutor(len(copies)) as pool:
        shares = [checks[first :: len(copies)] for first in range(len(copies))]
        list(pool.map(hold, filter(None, shares), copies))
        verdicts = [pool.submit(one, bug) for bug in bugs]
        try:
            for verdict in verdicts:
                yield verdict.result()
        finally:
            pool.shutdown(cancel_futures=True)


# ---------------------------------------------------------------- page


def rows(bugs: Iterable[PlantedBug]) -> list[str]:
    """The table of the page."""
    lines = ["| planted bug | where | caught by |", "|---|---|---|"]
    for bug in bugs:
        place, _, test = bug.check.partition("::")
        caught_by = f"`{test}` of `{place}`" if test else f"`{place}`"
        lines.append(f"| {bug.name} | `{bug.file}` | {caught_by} |")
    return lines


def table_of(page: str) -> list[str]:
    """The lines of the table in the page's text."""
    return page.partition(BEGIN)[2].partition(END)[0].strip().splitlines()


def write_page(bugs: Iterable[PlantedBug]) -> None:
    """Put the table into the page."""
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    table = "\n".join(rows(bugs))
    PAGE.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; 0 when every planted bug is caught, else 1."""
    parser = argparse.ArgumentParser(prog="simulators.campaigns.mutations", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the table into docs/faults.md")
    parser.add_argument("--only", default="", help="bugs whose name has this in it")
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)), help="at a time")
    options = parser.parse_args(arguments)
    chosen = [bug for bug in PLANTED_BUGS if options.only in bug.name]
    if not chosen:
        parser.error(f"no planted bug has {options.only!r} in its name")
    survived = []
    with tempfile.TemporaryDirectory(prefix="vafa-mutations-") as directory:
        count = max(1, min(options.processes, len(chosen)))
        copies = [copy_of_program(Path(directory) / str(number)) for number in range(count)]
        try:
            for bug, words, seconds in judge_all(chosen, copies):
                caught = "caught" if words else "SURVIVED"
                print(f"{caught}: {bug.name}: {words} ({seconds:.0f} s)", flush=True)
                if not words:
                    survived.append(bug)
        except (Misplaced, Unsound) as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
    print(f"{len(chosen) - len(survived)} of {len(chosen)} planted bugs caught")
    for bug in survived:
        print(f"error: {bug.name!r} in {bug.file} survived {bug.check}", file=sys.stderr)
    if survived:
        return 1
    if options.write and chosen == list(PLANTED_BUGS):
        write_page(chosen)
    return 0


if __name__ == "__main__":
    sys.exit(main())
