"""Log and counters of a terminal, read over its service port: against the firmware's own end of it."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from terminal.event_log import EventLog
from terminal.injection import Service
from tools.cli import CommandError
from tools.fw_events import Event, counters, events


class Files:
    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    def read(self, name: str) -> bytes | None:
        return self.files.get(name)

    def append(self, name: str, data: bytes) -> None:
        self.files[name] = self.files.get(name, b"") + data

    def replace(self, name: str, data: bytes) -> None:
        self.files[name] = data


class Clock:
    def wall(self) -> tuple[int, ...]:
        return (2026, 8, 24, 14, 3, 5)

    def now_ms(self) -> int:
        return 0


class Cable:
    """The service port, byte by byte. damages: frames that come damaged; silent: nobody is there."""

    def __init__(self, service: Service, damages: int = 0, silent: bool = False) -> None:
        self._service = service
        self._damages = damages
        self._silent = silent
        self._said = b""

    def write(self, data: bytes) -> None:
        if self._silent:
            return
        if self._damages:
            self._damages -= 1
            data = data[:-1] + bytes([data[-1] ^ 1])
        self._said += self._service.feed(data)

    def read(self) -> bytes:
        said, self._said = self._said[:7], self._said[7:]
        return said


def told(log: EventLog | None, **faults: bool | int) -> tuple[Cable, Callable[[], float]]:
    service = Service(None, "10000001", lambda level, what: None, log)
    return Cable(service, **faults), itertools.count(0.0, 0.001).__next__  # type: ignore[arg-type]


def test_all_events_and_counters_come_in_their_order() -> None:
    log = EventLog(Files(), Clock())
    for number in range(30):
        log.add("warning", f"printer: {number} | out of paper")
    cable, clock = told(log, damages=2)
    found = list(events(cable, clock))
    assert [event.number for event in found] == list(range(30))
    assert found[3] == Event(3, "20260824140305", "warning", "printer: 3 | out of paper")
    assert str(found[3]) == "2026-08-24 14:03:05  warning  printer: 3 | out of paper"
    assert counters(cable, clock)["printer_faults"] == 30


def test_nobody_there_and_an_older_terminal_are_told() -> None:
    with pytest.raises(CommandError, match="no terminal answers"):
        list(events(*told(EventLog(Files(), Clock()), silent=True)))
    with pytest.raises(CommandError, match="tells no events"):
        counters(*told(None))
