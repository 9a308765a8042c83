"""Planted bugs: what must never happen to a ledger is made to happen in a copy of the program, and the checks
that should notice are run.

The table is the list of ways in which ledgers are known to lose or double something. A row is a change of a
source line that has to be there once; whoever changes that line changes the row. `docs/faults.md` shows which
check caught what, written by `--write`.

Run: `python -m simulators.campaigns.mutations --write`
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from simulators.process import ROOT

COPIED: Final = ("simulators", "switch", "terminal", "tests", "tools", "pyproject.toml")
LINKED: Final = (".tools",)
PAGE: Final = ROOT / "docs" / "faults.md"
BEGIN, END = "<!-- mutations: made by simulators.campaigns.mutations -->", "<!-- end of mutations -->"
LONGEST_CHECK_SECONDS: Final = 600.0
TEST_FAILED: Final = 1  # pytest's exit code; others say that the test didn't run


class Misplaced(Exception):
    """The line to be changed isn't there, or more than once."""


class Unsound(Exception):
    """A check doesn't hold in the program as it is: it would catch everything."""


@dataclass(frozen=True, slots=True)
class Mutation:
    """A planted bug: `old` in `file` becomes `new`. check: the test that has to notice."""

    name: str
    file: str
    old: str
    new: str
    check: str
    note: str = ""


class Caught(NamedTuple):
    """What a check said of a mutation; empty when it noticed nothing. seconds: until then."""

    mutation: Mutation
    words: str
    seconds: float


_TRANSACTIONS: Final = "tests/server/test_transactions.py"
_FAILURES: Final = "tests/ledger/test_sqlite_failures.py"

MUTATIONS: Final = (
    Mutation(
        "answer before the commit",
        "switch/server/pipeline.py",
        "        future = asyncio.get_running_loop().run_in_executor(self._writer, self._engine.sync)\n",
        "        self._release(answers)\n        answers = []\n"
        "        future = asyncio.get_running_loop().run_in_executor(self._writer, self._engine.sync)\n",
        "tests/server/test_failing_ledger.py::test_where_nobody_knows_whether_it_is_booked_nothing_is_said",
    ),
    Mutation(
        "synchronous=NORMAL",
        "switch/ledger/sqlite.py",
        '"PRAGMA synchronous = FULL"',
        '"PRAGMA synchronous = NORMAL"',
        "tests/ledger/test_power_cuts.py::test_no_power_cut_loses_what_was_told_or_leaves_half_of_anything",
    ),
    Mutation(
        "no look whether it was seen before",
        "switch/authorizer/decide.py",
        "        if seen is not None:\n            return Repeat(seen)",
        "        if seen is not None and not request:\n            return Repeat(seen)",
        f"{_TRANSACTIONS}::test_a_repeated_advice_counts_once",
    ),
    Mutation(
        "identity without fingerprint",
        "switch/authorizer/decide.py",
        "Repeat(seen) if seen.fingerprint == request.fingerprint else Refusal(DUPLICATE)",
        "Repeat(seen)",
        f"{_TRANSACTIONS}::test_the_same_identity_with_another_content_is_a_duplicate",
    ),
    Mutation(
        "a decline isn't stored",
        "switch/server/pipeline.py",
        "            if isinstance(outcome, Entry):\n                self._apply(state, outcome)\n",
        "            if isinstance(outcome, Entry) and outcome.response_code != APPROVED:\n"
        "                return Refusal(outcome.response_code)\n"
        "            if isinstance(outcome, Entry):\n                self._apply(state, outcome)\n",
        f"{_TRANSACTIONS}::test_a_decline_is_remembered_too",
    ),
    Mutation(
        "the same identity twice in one batch",
        "switch/ledger/state.py",
        "        self._entries.add(entry.identity, entry)\n",
        "",
        "tests/ledger/test_state.py::test_an_applied_entry_is_seen_by_the_next_request",
    ),
    Mutation(
        "identity of the sending, not of the transaction",
        "switch/authorizer/request.py",
        "            identity=identity_of(day, local_time, mti[1], terminal, stan),\n"
        "            fingerprint=fingerprint_of(self._of_transaction(message), self._key),\n"
        "            terminal=terminal,",
        "            identity=identity_of(\n"
        "                day, local_time, mti[1], terminal, key_serial[-3:].hex() or stan\n"
        "            ),\n"
        "            fingerprint=fingerprint_of(self._of_transaction(message), self._key),\n"
        "            terminal=terminal,",
        f"{_TRANSACTIONS}::test_a_repeated_advice_counts_once",
    ),
    Mutation(
        "balance changed, posting missing",
        "switch/ledger/rows.py",
        "_pack(_EntryBody(entry.transfers, ",
        "_pack(_EntryBody((), ",
        "tests/ledger/test_crash.py",
    ),
    Mutation(
        "funds looked at too late",
        "switch/authorizer/decide.py",
        "        if points > wallet.balance:\n"
        "            return Outcome(NOT_ENOUGH_POINTS, balances(wallet), sides=proof.sides)\n"
        "        spent = ",
        "        spent = ",
        f"{_TRANSACTIONS}::test_more_points_than_there_are",
    ),
    Mutation(
        "a hold is released and stays open",
        "switch/authorizer/decide.py",
        "            sides.append(HoldClosed(member.id, held.id))\n",
        "",
        "tests/server/test_due.py::test_holds_run_out_by_themselves",
    ),
    Mutation(
        "an original that comes after its reversal counts",
        "switch/authorizer/decide.py",
        "        if state.is_reversed(request.identity):\n"
        "            return refused(DUPLICATE)  # its reversal came first\n",
        "",
        f"{_TRANSACTIONS}::test_a_reversal_before_its_original",
    ),
    Mutation(
        "a reversal before its original is forgotten",
        "switch/authorizer/decide.py",
        "            return Outcome(APPROVED, self._known_balances(member), sides=(reversed_mark,))\n",
        "            return Outcome(APPROVED, self._known_balances(member))\n",
        f"{_TRANSACTIONS}::test_an_activation_reversed_before_it_arrives_stays_undone",
    ),
    Mutation(
        "points end by any wall clock",
        "switch/server/business_day.py",
        "        if today > self._seen + elapsed + timedelta(days=LEAP_DAYS):",
        "        if today > self._seen + elapsed + timedelta(days=1_000):",
        "tests/server/test_business_day.py::test_while_the_clock_is_not_believed_nothing_is_booked",
    ),
    Mutation(
        "a retry goes to another bucket",
        "switch/authorizer/decide.py",
        "bucket_without_member if member is None else member >> 40\n",
        "bucket_without_member if member is None else member >> 40 ^ int(request.mti[3])\n",
        f"{_TRANSACTIONS}::test_a_repeat_may_arrive_first",
    ),
    Mutation(
        "an owner that lost its buckets writes",
        "switch/ledger/sqlite.py",
        "                if current != epoch:\n",
        "                if current < epoch:\n",
        "tests/ledger/test_engine.py::test_only_the_newest_owner_writes[sqlite]",
    ),
    Mutation(
        "the write-ahead log never starts over",
        "switch/ledger/sqlite.py",
        "        if self._finish_checkpoint or self._log_pages >= LONGEST_LOG_PAGES:\n",
        "        if self._log_pages >= LONGEST_LOG_PAGES ** 2:\n",
        f"{_FAILURES}::test_the_write_ahead_log_starts_over",
    ),
    Mutation(
        "half a frame is taken when the line ends",
        "switch/link/framing.py",
        "            stop = start + size\n            if stop > end:\n",
        "            stop = min(start + size, end)\n            if stop > end:\n",
        "tests/link/test_framing.py::test_byte_by_byte",
    ),
    Mutation(
        "a sum counted twice",
        "switch/ledger/sqlite.py",
        " entries = entries + excluded.entries, ",
        " entries = entries + 2 * excluded.entries, ",
        "tests/ledger/test_engine.py::test_counters_add_up_over_batches[sqlite]",
        note="for a quota that is rebalanced twice: there are none, limits are held by one owner",
    ),
    Mutation(
        "a lot that isn't the next one is spent",
        "switch/ledger/lots.py",
        "for part in _first(wallet.lots, amount))",
        "for part in _first(wallet.lots[::-1], amount))",
        "tests/ledger/test_lots.py::test_spending_takes_from_the_first_lots_to_the_point",
    ),
    Mutation(
        "an error of the commit is swallowed",
        "switch/ledger/sqlite.py",
        '                self._writer.execute("COMMIT")\n            except BaseException:\n'
        "                self.rollback()\n                raise\n",
        '                self._writer.execute("COMMIT")\n            except BaseException:\n'
        "                return\n",
        "tests/ledger/test_power_cuts.py::"
        "test_after_a_failed_sync_nothing_more_is_written_and_a_new_process_goes_on",
    ),
    Mutation(
        "what the system remembers of the log is believed",
        "switch/ledger/sqlite.py",
        "            self._write_log_anew()\n",
        "",
        "tests/ledger/test_power_cuts.py::test_no_power_cut_loses_what_was_told_or_leaves_half_of_anything",
    ),
    Mutation(
        "a clock set back makes today's requests too new",
        "switch/server/pipeline.py",
        "return now if now.date() >= self._newest_day else",
        "return now if now else",
        "tests/server/test_business_day.py::"
        "test_a_clock_that_is_set_back_books_and_takes_back_on_the_ledgers_day",
    ),
)


def mutated(mutation: Mutation, root: Path) -> str:
    """The text of the file with the bug in it. Raises Misplaced."""
    text = (root / mutation.file).read_text(encoding="utf-8")
    if text.count(mutation.old) != 1:
        raise Misplaced(
            f"{mutation.name!r}: its line stands {text.count(mutation.old)} times in {mutation.file};"
            " bring the row of simulators/campaigns/mutations.py up to date"
        )
    return text.replace(mutation.old, mutation.new)


def copy_of_program(directory: Path) -> Path:
    """The program and its tests, to be changed."""
    copy = directory / "program"
    copy.mkdir()
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(ROOT / name, copy / name)
    for name in LINKED:
        (copy / name).symlink_to(ROOT / name)
    return copy


def run_check(checks: Sequence[str], copy: Path) -> tuple[int, str]:
    """Run tests of the copy; pytest's exit code and the line that says what is wrong."""
    command = [
        sys.executable,
        "-B",
        "-m",
        "pytest",
        "-x",
        "-q",
        "--no-header",
        "-p",
        "no:cacheprovider",
    ]
    done = subprocess.run(
        [*command, "-p", "no:xdist", *checks],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": str(copy)},
        capture_output=True,
        text=True,
        timeout=LONGEST_CHECK_SECONDS,
    )
    told = [line[1:].strip() for line in done.stdout.splitlines() if line.startswith("E  ")]
    return done.returncode, told[0] if told else done.stdout[-500:]


def catch(mutation: Mutation, copy: Path) -> Caught:
    """Plant one bug in a copy, run its check, and take it out again. Raises Misplaced, Unsound."""
    path = copy / mutation.file
    before = path.read_text(encoding="utf-8")
    path.write_text(mutated(mutation, copy), encoding="utf-8")
    begun = time.monotonic()
    try:
        code, words = run_check([mutation.check], copy)
    finally:
        path.write_text(before, encoding="utf-8")
    seconds = time.monotonic() - begun
    if code not in (0, TEST_FAILED):
        raise Unsound(f"{mutation.check} didn't run (pytest ended with {code}): {words}")
    return Caught(mutation, words if code else "", seconds)


def hold(mutations: Iterable[Mutation], copy: Path) -> None:
    """All checks hold in the program as it is. Raises Unsound."""
    code, words = run_check(sorted({mutation.check for mutation in mutations}), copy)
    if code:
        raise Unsound(f"without any mutation a check fails: {words}")


# ---------------------------------------------------------------- page


def rows(caught: Iterable[Caught]) -> list[str]:
    """The table of the page."""
    lines = ["| planted | in | caught by | seconds |", "|---|---|---|---|"]
    for mutation, _, seconds in caught:
        place, _, test = mutation.check.partition("::")
        planted = f"{mutation.name} ({mutation.note})" if mutation.note else mutation.name
        shown = f"`{test}` of `{place}`" if test else f"`{place}`"
        lines.append(f"| {planted} | `{mutation.file}` | {shown} | {seconds:.0f} |")
    return lines


def write_page(caught: Iterable[Caught]) -> None:
    """Put the table into the page."""
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    table = "\n".join(rows(caught))
    PAGE.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; 0 when every planted bug is caught, else 1."""
    parser = argparse.ArgumentParser(prog="simulators.campaigns.mutations", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the table into docs/faults.md")
    parser.add_argument("--only", default="", help="mutations whose name has this in it")
    options = parser.parse_args(arguments)
    chosen = [mutation for mutation in MUTATIONS if options.only in mutation.name]
    caught: list[Caught] = []
    with tempfile.TemporaryDirectory(prefix="vafa-mutations-") as directory:
        copy = copy_of_program(Path(directory))
        try:
            hold(chosen, copy)
            for mutation in chosen:
                caught.append(catch(mutation, copy))
                words = caught[-1].words or "NOT CAUGHT"
                print(f"{mutation.name}: {words} ({caught[-1].seconds:.0f} s)", flush=True)
        except (Misplaced, Unsound) as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
    missed = [one.mutation.name for one in caught if not one.words]
    print(f"{len(caught) - len(missed)} of {len(caught)} planted bugs caught")
    if not missed and options.write:
        write_page(caught)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
