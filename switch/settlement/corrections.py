"""The list of corrections that people ask for, approve or refuse, and what became of them.

One file, appended to only: a line of JSON a step, each with a seal over the line before and itself under the
ledger's seal key, so no step is changed, taken out or put in by who doesn't have it. Nothing is booked here.
A correction that a second person has to approve waits until one does whose name couldn't be the first one's.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from switch.ledger.seal import Sealer
from switch.people import UnusableName, check_name, same_person

FILE_NAME = "corrections.log"
REASON = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}")
MOST_POINTS = 10**12 - 1  # what a wallet holds
POINTS = "points"
UNITS = (POINTS, "stamps", "cash", "tickets")
# Steps, and the states that they lead to.
ASKED, APPROVED, REFUSED, BOOKED, IMPOSSIBLE = "asked", "approved", "refused", "booked", "impossible"
PENDING, RELEASED = "pending", "released"

_DAY_MS = 86_400_000
_TEHRAN_MS = 12_600_000


class CorrectionError(Exception):
    """A step that isn't taken, or a list that can't be used. The text says why and what next."""


class Step(NamedTuple):
    """One line. number: of the correction, from 1. alone: asked for within what one person may do alone.
    entry: that booked it, or 0. member, points (of the unit), reason: of what is asked for."""

    what: str
    number: int
    at_ms: int
    by: str = ""
    member: int = 0
    points: int = 0
    reason: str = ""
    alone: bool = False
    entry: int = 0
    unit: str = POINTS


class Listed(NamedTuple):
    """A correction as its steps made it. state: PENDING, RELEASED (to be booked), REFUSED, BOOKED,
    IMPOSSIBLE. settled_by: who approved or refused it, or empty."""

    asked: Step
    state: str
    settled_by: str = ""
    settled_ms: int = 0
    entry: int = 0


def listed(path: Path, seal_key: bytes) -> list[Listed]:
    """All corrections, oldest first. Raises CorrectionError."""
    if not path.exists():
        return []
    with _locked(path) as file:
        return _listed(_read(path, file, seal_key)[0])


def ask(
    path: Path,
    seal_key: bytes,
    member: int,
    points: int,
    reason: str,
    by: str,
    at_ms: int,
    alone_points: int,
    unit: str = POINTS,
) -> Listed:
    """Ask for a correction. alone_points: by so much one person may correct a day without a second one, of
    points and nothing else. Raises CorrectionError."""
    name = _name(by)
    if unit not in UNITS:
        raise CorrectionError(f"unit: give {', '.join(UNITS)}")
    if not points or abs(points) > MOST_POINTS:
        raise CorrectionError(f"points: give 1 to {MOST_POINTS}, with - to take them")
    if not REASON.fullmatch(reason):
        raise CorrectionError("reason: give a code of 1 to 32 letters, digits, - _ or .")

    def step(steps: list[Step]) -> Step:
        own = (one for one in steps if one.what == ASKED and one.alone and same_person(one.by, name))
        used = sum(abs(one.points) for one in own if _day(one.at_ms) == _day(at_ms))
        number = sum(one.what == ASKED for one in steps) + 1
        alone = unit == POINTS and used + abs(points) <= alone_points
        return Step(ASKED, number, at_ms, name, member, points, reason, alone, unit=unit)

    return _append(path, seal_key, step)


def settle(path: Path, seal_key: bytes, number: int, what: str, by: str, at_ms: int) -> Listed:
    """Let a second person approve (APPROVED) or anybody refuse (REFUSED) a pending correction. Raises
    CorrectionError."""
    name = _name(by)

    def step(steps: list[Step]) -> Step:
        there = _one(steps, number)
        if there.state != PENDING:
            raise CorrectionError(f"correction {number} is {there.state} already")
        if what == APPROVED and same_person(name, there.asked.by):
            raise CorrectionError(
                f"correction {number}: {name} and {there.asked.by} could be one person;"
                " a second one has to approve"
            )
        return Step(what, number, at_ms, name)

    return _append(path, seal_key, step)


def note(path: Path, seal_key: bytes, number: int, entry: int, at_ms: int) -> Listed:
    """Note that a released correction was booked by this entry, or (0) that it can't be. Raises
    CorrectionError."""

    def step(steps: list[Step]) -> Step | None:
        if _one(steps, number).state in (BOOKED, IMPOSSIBLE):
            return None
        return Step(BOOKED if entry else IMPOSSIBLE, number, at_ms, entry=entry)

    return _append(path, seal_key, step, number)


# ---------------------------------------------------------------- the file


def _append(
    path: Path, seal_key: bytes, make: Callable[[list[Step]], Step | None], number: int = 0
) -> Listed:
    with _locked(path) as file:
        steps, seal = _read(path, file, seal_key)
        step = make(steps)
        if step is not None:
            text = json.dumps(step._asdict(), ensure_ascii=False)
            sealed = {**step._asdict(), "seal": _seal(seal_key, seal, text).hex()}
            data = json.dumps(sealed, ensure_ascii=False).encode() + b"\n"
            end = os.lseek(file, 0, os.SEEK_END)
            try:
                if os.write(file, data) != len(data):
                    raise OSError(None, "the disk is full")
                os.fsync(file)
            except OSError as error:
                os.ftruncate(file, end)
                raise CorrectionError(f"{path}: can't be written ({error.strerror})") from None
            steps.append(step)
        return _one(steps, number if step is None else step.number)


def _read(path: Path, file: int, seal_key: bytes) -> tuple[list[Step], bytes]:
    """All steps and the last seal; an unfinished last line, of a power cut, is cut off."""
    os.lseek(file, 0, os.SEEK_SET)
    with os.fdopen(os.dup(file), "rb") as reader:
        data = reader.read()
    whole = data.rpartition(b"\n")[0]
    if len(whole) + bool(whole) < len(data):
        os.ftruncate(file, len(whole) + bool(whole))
    steps: list[Step] = []
    seal = b""
    for place, line in enumerate(whole.splitlines(), start=1):
        try:
            document = json.loads(line)
            stored = bytes.fromhex(document.pop("seal"))
            step = Step(**document)
            # As it stands: earlier lines have fewer names.
            seal = _seal(seal_key, seal, json.dumps(document, ensure_ascii=False))
        except (ValueError, TypeError, KeyError, AttributeError):
            stored, seal = b"", b"unreadable"
        if stored != seal:
            raise CorrectionError(
                f"{path}: line {place} was changed, or one before it is missing; restore the file"
            )
        steps.append(step)
    return steps, seal


def _seal(key: bytes, before: bytes, text: str) -> bytes:
    return Sealer(key).row("correction", (before, text))


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    except OSError as error:
        raise CorrectionError(f"{path}: can't be opened ({error.strerror}); check its permissions") from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file
    finally:
        os.close(file)


# ---------------------------------------------------------------- what steps come to


def _listed(steps: list[Step]) -> list[Listed]:
    found: dict[int, Listed] = {}
    for step in steps:
        before = found.get(step.number)
        if step.what == ASKED:
            found[step.number] = Listed(step, RELEASED if step.alone else PENDING)
        elif before is None:
            raise CorrectionError(f"correction {step.number} was never asked for; restore the file")
        elif step.what in (APPROVED, REFUSED):
            state = RELEASED if step.what == APPROVED else REFUSED
            found[step.number] = before._replace(state=state, settled_by=step.by, settled_ms=step.at_ms)
        else:
            found[step.number] = before._replace(state=step.what, entry=step.entry)
    return list(found.values())


def _one(steps: list[Step], number: int) -> Listed:
    there = next((one for one in _listed(steps) if one.asked.number == number), None)
    if there is None:
        raise CorrectionError(f"there is no correction {number}; see `vafa ledger corrections`")
    return there


def _name(by: str) -> str:
    try:
        return check_name(by)
    except UnusableName as error:
        raise CorrectionError(f"--by: {error}") from None


def _day(ms: int) -> int:
    return (ms + _TEHRAN_MS) // _DAY_MS
