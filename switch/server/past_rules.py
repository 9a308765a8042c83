"""Rules of the program that awards were made under and that the settings don't tell any more.

A return makes an award again under the rules that made it. Awards name those by their number, so a version
whose settings were changed in place gets another number here, the same in each switch of a ledger, and the
one before is kept: in a file that is only appended to, a line of JSON a version. Nothing is decided here.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, replace
from hashlib import blake2b
from pathlib import Path

from switch.ledger import NEVER
from switch.loyalty.program import Rules
from switch.settings import SettingsError

FILE_NAME = "program.rules"
CHANGED_IN_PLACE = 10**6 + 1  # numbers from here on; settings give smaller ones
# What an award follows from; all else that rules say is kept in lots and entries, or is of the day.
OF_AN_AWARD = ("rial_per_earned_point", "points_per_step", "smallest_purchase", "largest_award")


def with_past(path: Path, versions: Sequence[Rules]) -> tuple[Rules, ...]:
    """The versions under the numbers that awards name, and behind them those of the past, which are never in
    force. New ones are durable in the file before this returns. Raises SettingsError."""
    known = {rules.number: rules for rules in _read(path)}
    now: dict[int, Rules] = {}
    for rules in versions:
        number = rules.number
        if number in known and _award(known[number]) != _award(rules):
            content = repr((number, _award(rules))).encode()
            number = CHANGED_IN_PLACE + int.from_bytes(blake2b(content, digest_size=3).digest())
        now[number] = replace(rules, number=number)
    assert len(now) == len(versions), "each version has a number of its own"
    _append(path, [rules for number, rules in now.items() if number not in known])
    past = [rules for number, rules in known.items() if number not in now]
    return (*now.values(), *(replace(rules, starts=NEVER + place) for place, rules in enumerate(past)))


def bring_over(path: Path, source: Path) -> None:
    """Add to a file what another one knows and it doesn't; durable before this returns. Nothing when there is
    no other one. Raises SettingsError, also when a number means other rules there; then nothing is added."""
    known = {rules.number: rules for rules in _read(path)}
    added = []
    for rules in _read(source):
        if rules.number not in known:
            added.append(rules)
        elif _award(known[rules.number]) != _award(rules):
            raise SettingsError(
                f"{path}: version {rules.number} has other rules than in {source}: they are of two ledgers"
            )
    _append(path, added)


def _award(rules: Rules) -> tuple[int, ...]:
    return tuple(getattr(rules, name) for name in OF_AN_AWARD)


def _read(path: Path) -> list[Rules]:
    if not path.exists():
        return []
    try:
        lines = path.read_bytes().splitlines(keepends=True)
        # A last line without its end was not finished before the power went; nothing was awarded under it.
        return [Rules(**json.loads(line)) for line in lines if line.endswith(b"\n")]
    except (OSError, ValueError, TypeError) as error:
        raise SettingsError(
            f"{path}: can't be read ({type(error).__name__}): restore it; it says which rules earlier awards"
            " are taken back by"
        ) from None


def _append(path: Path, added: Sequence[Rules]) -> None:
    if not added:
        return
    text = "".join(json.dumps(asdict(rules)) + "\n" for rules in added)
    try:
        with path.open("ab") as file:
            whole = path.read_bytes().rpartition(b"\n")
            file.truncate(len(whole[0]) + len(whole[1]))
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise SettingsError(f"{path}: can't be written ({error.strerror}); check the directory") from None
