"""The driver on the simulated GPRS modem: bytes that come torn, networks that take their time or let go."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators.gprs import FAMILIES, Air, GprsModem
from terminal.drivers.gprs import FAMILIES as SPOKEN
from terminal.drivers.gprs import Closed, Failed, Gprs, Opened, Ready, Received

HOST = ("10.1.1.1", 8583)


class Echo:
    """Says back what it hears, so many times over."""

    def __init__(self, times: int = 1) -> None:
        self.heard_bytes = b""
        self._times = times

    def called(self) -> bytes:
        return b"\x05"

    def heard(self, data: bytes) -> bytes:
        self.heard_bytes += data
        return data * self._times


class Desk:
    """Driver and modem on one cable. Time goes on when nothing else does."""

    def __init__(self, family: str, air: Air, cuts: list[int] | None = None, point: str = "vafa") -> None:
        self.modem = GprsModem(family, air)
        self.driver: Any = Gprs(SPOKEN[family], point)
        self.now_ms = 0
        self.received = b""
        self._cuts = cuts or [1000]

    def do(self, what: str, *arguments: object) -> None:
        getattr(self.driver, what)(*arguments, self.now_ms)

    def until(self, *kinds: type, received: int = -1) -> Any:
        """The next event of these kinds, or None when so many bytes have come; others fail."""
        while len(self.received) < received or received < 0:
            said = self.modem.feed(self.driver.to_send())
            events = self._hear(said) if said else []
            if not said:
                due = self.driver.deadline_ms()
                assert due is not None, "it would wait for ever"
                self.now_ms = due
                events = self.driver.tick(due)
            for event in events:
                if isinstance(event, Received):
                    self.received += event.data
                else:
                    assert isinstance(event, kinds), event
                    return event
        return None

    def _hear(self, said: bytes) -> list[Any]:
        events: list[Any] = []
        place = turn = 0
        while place < len(said):
            count = self._cuts[turn % len(self._cuts)]
            events += self.driver.feed(said[place : place + count], self.now_ms)
            place, turn = place + count, turn + 1
        return events


@pytest.mark.parametrize("family", FAMILIES)
@given(
    cuts=st.lists(st.integers(1, 60), min_size=1, max_size=5),
    pieces=st.lists(st.binary(min_size=1, max_size=700), min_size=1, max_size=4),
    times=st.integers(1, 3),
)
def test_all_bytes_in_order(family: str, cuts: list[int], pieces: list[bytes], times: int) -> None:
    echo = Echo(times)
    air = Air(boots=2, sim=1, weak=2, searching=3, hosts={HOST: echo})
    desk = Desk(family, air, cuts)
    desk.do("begin")
    assert desk.until(Ready, Failed).signal == 17
    desk.do("open", *HOST)
    assert isinstance(desk.until(Opened, Failed), Opened)
    for piece in pieces:
        desk.do("send", piece)
    sent = b"".join(pieces)
    desk.until(received=1 + times * len(sent))
    assert echo.heard_bytes == sent
    assert len(desk.received) == 1 + times * len(sent)
    if times == 1:
        assert desk.received == b"\x05" + sent
    desk.do("close")
    closed = desk.until(Closed)
    assert closed.is_lost is False
    desk.do("open", *HOST)  # and again
    assert isinstance(desk.until(Opened), Opened)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    ("air", "reason"),
    [
        (Air(is_fitted=False), "silent"),
        (Air(sim=1000), "no sim"),
        (Air(sim_state="SIM PIN"), "sim locked"),
        (Air(weak=1000), "no signal"),
        (Air(searching=1000), "not registered"),
        (Air(registration=3), "denied"),
        (Air(attaches=False), "no data"),
        (Air(activates=False), "no data"),
        (Air(access_points=("other",)), "no data"),
    ],
)
def test_what_is_missing_is_told(family: str, air: Air, reason: str) -> None:
    desk = Desk(family, Air(**vars(air)))
    desk.do("begin")
    failed = desk.until(Ready, Failed)
    assert (type(failed), failed.reason) == (Failed, reason)


@pytest.mark.parametrize("family", FAMILIES)
def test_nobody_there_and_lost_in_the_middle(family: str) -> None:
    desk = Desk(family, Air())
    desk.do("begin")
    desk.until(Ready)
    desk.do("open", *HOST)
    assert desk.until(Failed).reason == "no host"
    for count in (2, 50):
        echo = Echo()
        desk = Desk(family, Air(hosts={HOST: echo}, drops_after=count))
        desk.do("begin")
        desk.until(Ready)
        desk.do("open", *HOST)
        desk.until(Opened)
        desk.do("send", bytes(100))
        lost = desk.until(Closed, Failed)
        assert isinstance(lost, Failed) or lost.is_lost
        assert echo.heard_bytes == bytes(100)  # it may have been booked: the terminal reverses
    desk = Desk(family, Air(hosts={HOST: Echo()}, loses_send=1))
    desk.do("begin")
    desk.until(Ready)
    desk.do("open", *HOST)
    desk.until(Opened)
    desk.do("send", b"hello")
    failed = desk.until(Failed)
    assert (failed.reason, failed.was_sent) == ("silent", True)
