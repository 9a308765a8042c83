"""The simulated modem: what pppd's `chat`, which knows real ones, says of it; and the driver on its line."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators.dial_host import DialHost
from simulators.modem import HayesModem, ModemPort, Number
from terminal.drivers.dial_line import Answered, DialLine
from terminal.drivers.modem import Connected, Failed, HungUp, Modem, Ready, Received

LONGEST_WAIT_S = 60
MESSAGE = bytes(range(100, 220))
ANSWER = bytes(range(256))


def answering(message: bytes) -> bytes | None:
    return ANSWER if message == MESSAGE else None


@pytest.mark.parametrize(
    ("dialled", "code"),
    [("100", 0), ("101", 5), ("102", 6), ("103", 3)],  # of chat: done, its second and third abort, timeout
)
def test_chat_takes_it_for_a_real_one(tmp_path: Path, dialled: str, code: int) -> None:
    numbers = {
        "100": Number(DialHost(answering)),
        "101": Number(result=7),
        "102": Number(result=3, seconds=0.05),
        "103": Number(result=8, seconds=30.0),
    }
    script = (
        "ABORT ERROR ABORT BUSY ABORT 'NO CARRIER' TIMEOUT 5 '' AT&F OK ATE0V1X4 OK "
        f"ATDT{dialled} TIMEOUT 1 CONNECT '\\c'"
    )

    async def talked() -> int | None:
        port = ModemPort(tmp_path / "modem", HayesModem(numbers))
        port.open()
        line = os.open(tmp_path / "modem", os.O_RDWR | os.O_NOCTTY)
        try:
            process = await asyncio.create_subprocess_exec(
                "/usr/sbin/chat", "-f", str(_written(tmp_path, script)), stdin=line, stdout=line, stderr=line
            )
            return await asyncio.wait_for(process.wait(), LONGEST_WAIT_S)
        finally:
            os.close(line)
            port.close()

    assert asyncio.run(talked()) == code


def _written(directory: Path, script: str) -> Path:
    path = directory / "script"
    path.write_text(script, encoding="ascii")
    return path


class Desk:
    """The terminal's modem and line on the simulated one. Time goes on when nothing else does."""

    def __init__(self, modem: HayesModem, cuts: list[int] | None = None) -> None:
        self.modem = modem
        self.driver: Any = Modem()
        self.line: Any = DialLine()
        self.events: list[Any] = []
        self._cuts = cuts or [1000]
        self._now_ms = 0

    def until(self, *kinds: type) -> Any:
        """The next event of these kinds."""
        for _ in range(10_000):
            for place, event in enumerate(self.events):
                if isinstance(event, kinds):
                    del self.events[: place + 1]
                    return event
            self._go_on()
        raise AssertionError(f"nothing of {kinds} ever happened")

    def _go_on(self) -> None:
        if self.driver.is_online and (said := self.line.to_send()):
            self.driver.send(said)
        out = self.driver.to_send()
        now = self._now_ms / 1000
        said = self.modem.feed(out, now) if out else self.modem.pass_time(now)
        if said:
            self._hear(said)
        elif not out:
            moments = [self.driver.deadline_ms(), self.line.deadline_ms() if self.driver.is_online else None]
            due = self.modem.due()
            moments.append(None if due is None else int(due * 1000) + 1)
            coming = [moment for moment in moments if moment is not None]
            assert coming, "it would wait for ever"
            self._now_ms = max(self._now_ms, min(coming))
            self._happened(self.driver.tick(self._now_ms))
            if self.driver.is_online:
                self.events += self.line.tick(self._now_ms)

    def _hear(self, said: bytes) -> None:
        place = turn = 0
        while place < len(said):
            count = self._cuts[turn % len(self._cuts)]
            self._happened(self.driver.feed(said[place : place + count], self._now_ms))
            place, turn = place + count, turn + 1

    def _happened(self, events: list[Any]) -> None:
        for event in events:
            if isinstance(event, Received):
                self.events += self.line.feed(event.data, self._now_ms)
            else:
                self.events.append(event)

    def do(self, what: str, *arguments: object) -> None:
        getattr(self.driver, what)(*arguments, self._now_ms)

    def ask(self, message: bytes) -> None:
        self.line.ask(message, self._now_ms)


@given(
    st.lists(st.integers(1, 50), min_size=1, max_size=5),
    st.booleans(),
    st.integers(0, 2),
    st.integers(0, 2),
    st.integers(0, 2),
)
def test_a_message_over_the_backup_number(
    cuts: list[int], says_ready: bool, mishears: int, spoils: int, forgets: int
) -> None:
    host = DialHost(answering, says_ready, mishears, spoils)
    if forgets + mishears < 3:
        host.forgets = forgets
    numbers = {"1": Number(result=7, seconds=3), "2": Number(host, seconds=9, speed=1200)}
    desk = Desk(HayesModem(numbers), cuts)
    desk.do("begin")
    assert isinstance(desk.until(Ready, Failed), Ready)
    desk.do("dial", ["1", "2"])
    connected = desk.until(Connected, Failed)
    assert connected.speed == 1200
    for _ in range(2):
        desk.ask(MESSAGE)
        answered = desk.until(Answered)
        assert answered.message == ANSWER
    assert set(host.heard_messages) == {MESSAGE}
    desk.line.finish()
    desk._go_on()
    assert host.is_ended
    desk.do("hang_up")
    assert desk.until(HungUp).is_lost is False
    assert not desk.modem.is_online
    assert desk.modem.dialled == ["1", "2"]


def test_a_call_that_the_network_drops_in_the_answer() -> None:
    for count in (1, 2, 7, 100, 200):
        host = DialHost(answering)
        desk = Desk(HayesModem({"1": Number(host, drops_after=count)}))
        desk.do("begin")
        desk.until(Ready)
        desk.do("dial", ["1"])
        desk.until(Connected)
        desk.ask(MESSAGE)
        assert desk.until(HungUp, Answered).is_lost is True
        assert host.heard_messages == [MESSAGE]  # it may have been booked: the terminal reverses


def test_no_line_and_no_modem() -> None:
    desk = Desk(HayesModem({}, has_tone=False))
    desk.do("begin")
    desk.until(Ready)
    desk.do("dial", ["1"])
    assert desk.until(Failed).reason == "no dial tone"
    desk = Desk(HayesModem({}, is_fitted=False))
    desk.do("begin")
    assert desk.until(Failed).reason == "silent"
