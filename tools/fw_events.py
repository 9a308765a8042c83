"""Event log and counters that a terminal keeps, read over its service port (docs/terminal_records.md).

Nothing is changed in the terminal, and no card data is there to be read.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import typer

from tools.cli import CommandError, ExitCode
from tools.firmware_source import restored
from tools.firmware_tree import Names
from tools.keys_inject import Line, SerialLine, exchange

TRIES: Final = 3
_FIELDS: Final = 5  # E1, number, moment, level, text


class Event(NamedTuple):
    """One event. moment: YYYYMMDDhhmmss, or + and seconds since the start."""

    number: int
    moment: str
    level: str
    text: str

    def __str__(self) -> str:
        moment = self.moment
        if len(moment) == len("YYYYMMDDhhmmss"):
            clock = ":".join((moment[8:10], moment[10:12], moment[12:]))
            moment = f"{moment[:4]}-{moment[4:6]}-{moment[6:8]} {clock}"
        return f"{moment:<19}  {self.level:<7}  {self.text}"


def events(line: Line, clock: Callable[[], float] = time.monotonic) -> Iterator[Event]:
    """What the log has, oldest first. Raises CommandError."""
    number = 0
    while True:
        answer = _asked(line, f"E1?|{number}", "E1", clock)
        if answer == "E1":
            return
        parts = answer.split("|", _FIELDS - 1)
        if len(parts) != _FIELDS or not parts[1].isdecimal() or int(parts[1]) < number:
            raise _strange(answer)
        event = Event(int(parts[1]), *parts[2:])
        yield event
        number = event.number + 1


def counters(line: Line, clock: Callable[[], float] = time.monotonic) -> dict[str, int]:
    """The counters by name. Raises CommandError."""
    answer = _asked(line, "C1?", "C1", clock)
    found = {}
    for pair in answer.split("|")[1:]:
        name, _, count = pair.partition("=")
        if not count.isdecimal():
            raise _strange(answer)
        found[name] = int(count)
    return found


def show(port: Path, as_json: bool, names: Names) -> None:
    """Print both. names: see firmware_source.restored. Raises CommandError."""
    with SerialLine(port) as line:
        for kept in events(line):
            event = kept._replace(text=restored(kept.text, names))
            typer.echo(json.dumps(event._asdict()) if as_json else str(event))
        counted = counters(line)
    texts = {name: str(count) for name, count in counted.items()}
    typer.echo(
        json.dumps(texts) if as_json else "  ".join(f"{name} {count}" for name, count in texts.items())
    )


def _asked(line: Line, payload: str, kind: str, clock: Callable[[], float]) -> str:
    for _ in range(TRIES):
        answer = exchange(line, payload, (kind, "ERR"), clock)
        if answer.startswith("ERR|COMMAND"):
            raise CommandError("this terminal tells no events", ExitCode.NETWORK, "update its firmware")
        if answer and not answer.startswith("ERR"):
            return answer
    raise CommandError(
        "no terminal answers",
        ExitCode.NETWORK,
        "check the cable and that the terminal is on; its service port is meant",
    )


def _strange(answer: str) -> CommandError:
    return CommandError(
        f"the terminal's answer can't be understood: {answer}", ExitCode.NETWORK, "update its firmware"
    )
