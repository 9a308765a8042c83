"""The simulated scanners, and the driver against each: torn, boots, sleep, lamps left on, every fault."""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulators.cards import Deck
from simulators.readers.scanner import (
    BOOT_MS,
    MODULES,
    Gm65,
    Gm72,
    M3y,
    ScannerFaults,
    ScannerModule,
    ScannerReader,
    once,
)
from terminal.drivers.codes import Card, code_of, member_code
from terminal.drivers.scanner import Failed, Found, Ready, Scanned, Scanner, Started, Stopped

TEXT = b"VAFA1:936400123456789828"
FAMILIES = sorted(MODULES)
LONGEST_WAIT_S = 60


class Desk:
    """Driver and module on one cable. cuts: after how many bytes each piece ends, over and over."""

    def __init__(self, family: str, cuts: list[int] | None = None, **options: object) -> None:
        self.module: ScannerModule = MODULES[family]()
        self.driver: Any = Scanner(family, **options)
        self.now_ms = 0
        self._cuts = cuts or [1000]
        self._turn = 0

    def hears(self, said: bytes) -> list[Any]:
        events: list[Any] = []
        place = 0
        while place < len(said):
            count = self._cuts[self._turn % len(self._cuts)]
            self._turn += 1
            events += self.driver.feed(said[place : place + count], self.now_ms)
            place += count
        return events

    def waits(self, until_ms: int | None = None) -> list[Any]:
        """Until something happens, or the time has come, or there is nothing to wait for."""
        events: list[Any] = []
        while not events:
            while out := self.driver.to_send():
                events += self.hears(self.module.feed(out, self.now_ms))
            deadline = self.driver.deadline_ms()
            if events or deadline is None or (until_ms is not None and deadline > until_ms):
                break
            self.now_ms = max(self.now_ms, deadline)
            events += self.driver.tick(self.now_ms)
        return events

    def asked(self, ask: str) -> Any:
        """The event that a command ends with, the last one."""
        getattr(self.driver, ask)(self.now_ms)
        return self.waits()[-1]

    def shown(self, text: bytes = TEXT) -> list[Any]:
        return self.hears(self.module.show(text)) or self.waits(self.now_ms + 2000)

    def ready(self) -> Desk:
        assert isinstance(self.asked("begin"), Ready)
        return self


def texts(events: list[Any]) -> list[bytes]:
    return [event.text for event in events if isinstance(event, Scanned)]


@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=25)
@given(cuts=st.lists(st.integers(1, 30), min_size=1, max_size=6), continuous=st.booleans())
def test_codes_through_the_driver(family: str, cuts: list[int], continuous: bool) -> None:
    desk = Desk(family, cuts, continuous=continuous)
    ready = desk.asked("begin")
    assert isinstance(ready, Ready)
    assert ready.version == {"gm65": "87", "m3y": "V2.3.0.7", "gm72": ""}[family]
    assert not desk.module.is_reading
    for card in Deck(3).hand(2):
        if not desk.driver.is_scanning:
            assert isinstance(desk.asked("start"), Started)
        [event] = desk.shown(member_code(card.number).encode())
        code = code_of(event.text, ["936400"])
        assert isinstance(code, Card)
        assert code.number == card.number
        assert desk.driver.is_scanning == desk.module.is_reading == continuous
    assert isinstance(desk.asked("stop"), Stopped)
    assert not desk.module.is_reading
    assert desk.shown() == []


@pytest.mark.parametrize("family", FAMILIES)
def test_two_seconds_of_boot_are_waited_for(family: str) -> None:
    desk = Desk(family)
    desk.module.reset(0)
    assert isinstance(desk.asked("begin"), Ready)
    assert BOOT_MS <= desk.now_ms < BOOT_MS + 1000


@pytest.mark.parametrize("family", FAMILIES)
def test_a_probe_finds_it(family: str) -> None:
    desk = Desk(family)
    assert isinstance(desk.asked("probe"), Found)
    desk.module.wrong(ScannerFaults(asleep=99))
    assert desk.asked("probe").reason == "silent"


@pytest.mark.parametrize("module", [Gm65, M3y])
def test_its_makers_barcodes_change_nothing_once_it_is_set_up(module: type[ScannerModule]) -> None:
    family = next(name for name, kind in MODULES.items() if kind is module)
    desk = Desk(family).ready()
    desk.asked("start")
    desk.module.show_set_up_code()
    assert not desk.module.is_continuous
    fresh = module()
    fresh.show_set_up_code()
    assert fresh.is_continuous


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    ("faults", "reason"),
    [
        (ScannerFaults(asleep=9), "silent"),
        (ScannerFaults(mute=9), "silent"),
        (ScannerFaults(damaged=9), "silent"),
        (ScannerFaults(refuses=9), "refused"),
        (ScannerFaults(babbles=9), "noise"),
    ],
)
def test_every_wrong_of_a_scanner_is_told_and_gone_on_from(
    family: str, faults: ScannerFaults, reason: str
) -> None:
    desk = Desk(family, [7]).ready()
    desk.module.wrong(faults)
    failed = desk.asked("start")
    assert isinstance(failed, Failed)
    assert failed.reason == ("silent" if (family, reason) == ("m3y", "refused") else reason)
    assert not desk.driver.is_scanning
    desk.module.wrong(ScannerFaults())
    desk.now_ms += 1000
    desk.ready()
    assert isinstance(desk.asked("start"), Started)
    assert texts(desk.shown()) == [TEXT]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("fault", ["asleep", "mute", "damaged", "bare"])
def test_what_happens_once_is_not_noticed(family: str, fault: str) -> None:
    desk = Desk(family, [5]).ready()
    desk.module.wrong(once(fault))
    assert isinstance(desk.asked("start"), Started)
    desk.now_ms += 1000
    assert texts(desk.shown()) == [TEXT]


@pytest.mark.parametrize("family", FAMILIES)
def test_an_answer_in_the_midst_of_a_text(family: str) -> None:
    desk = Desk(family, [3]).ready()
    desk.module.wrong(once("between"))
    desk.driver.start(desk.now_ms)
    said = b""
    while not desk.module.is_reading:
        said += desk.module.feed(desk.driver.to_send(), desk.now_ms)
        if not desk.module.is_reading:
            desk.now_ms = desk.driver.deadline_ms()
            desk.driver.tick(desk.now_ms)
    assert said == b""
    started, scanned = desk.hears(desk.module.show(TEXT))
    assert isinstance(started, Started)
    assert scanned.text == TEXT


@pytest.mark.parametrize("family", FAMILIES)
def test_another_scan_while_it_is_told_to_stop(family: str) -> None:
    desk = Desk(family, [4], continuous=True).ready()
    assert isinstance(desk.asked("start"), Started)
    desk.module.wrong(once("late"))
    assert isinstance(desk.asked("stop"), Stopped)
    assert not desk.module.is_reading


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    ("fault", "reason"), [("cut", "damaged"), ("spoilt", "damaged"), ("endless", "long")]
)
def test_a_bad_text_is_told_and_the_next_is_good(family: str, fault: str, reason: str) -> None:
    desk = Desk(family, [9], continuous=True).ready()
    desk.asked("start")
    desk.module.wrong(once(fault))
    module_end, desk.module.end = desk.module.end, b"" if fault == "cut" else desk.module.end
    [failed] = desk.shown()
    assert failed.reason == reason
    desk.module.end = module_end
    desk.now_ms += 1000
    assert texts(desk.shown()) == [TEXT]


@pytest.mark.parametrize("family", FAMILIES)
def test_power_lost_while_it_scans(family: str) -> None:
    """It comes back as it left the factory; what it reads then is not lost, or the failure is told."""
    desk = Desk(family).ready()
    desk.asked("start")
    desk.module.reset(desk.now_ms)
    events = desk.waits(desk.now_ms + 60_000)
    # It takes its trigger in continuous mode for a mistake; an M3Y's way to say so is silence.
    assert [event.reason for event in events] == ["silent" if family == "m3y" else "refused"]
    desk.ready()
    assert isinstance(desk.asked("start"), Started)
    assert texts(desk.shown()) == [TEXT]


@given(st.sampled_from(FAMILIES), st.lists(st.binary(max_size=80), max_size=12), st.integers(0, 3))
def test_no_bytes_harm_the_driver(family: str, pieces: list[bytes], when: int) -> None:
    driver: Any = Scanner(family, continuous=bool(when & 1))
    now_ms = 0
    for name in ("begin", "start", "stop", "probe")[: when + 1]:
        getattr(driver, name)(now_ms)
        for piece in pieces:
            driver.feed(piece, now_ms)
            now_ms += 7
        driver.to_send()
    while (deadline := driver.deadline_ms()) is not None and now_ms < 100_000:
        now_ms = max(now_ms, deadline)
        driver.tick(now_ms)
    assert now_ms < 100_000


def test_at_its_pty(tmp_path: Path) -> None:
    """Driver and module on a real serial line."""

    async def conversation() -> list[Any]:
        loop = asyncio.get_running_loop()
        reader = ScannerReader(tmp_path / "scanner", M3y())
        reader.open()
        reader.module.reset(-BOOT_MS)
        line = os.open(tmp_path / "scanner", os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        driver: Any = Scanner("m3y")
        events: list[Any] = []
        heard = asyncio.Event()

        def now_ms() -> int:
            return int(loop.time() * 1000)

        def read() -> None:
            events.extend(driver.feed(os.read(line, 999), now_ms()))
            os.write(line, driver.to_send())
            heard.set()

        loop.add_reader(line, read)
        for ask in (driver.begin, driver.start, lambda now_ms: reader.show(TEXT)):
            count = len(events)
            ask(now_ms())
            os.write(line, driver.to_send())
            while len(events) == count:
                heard.clear()
                await asyncio.wait_for(heard.wait(), LONGEST_WAIT_S)
        loop.remove_reader(line)
        os.close(line)
        reader.close()
        return events

    ready, started, scanned = asyncio.run(conversation())
    assert isinstance(ready, Ready)
    assert isinstance(started, Started)
    assert scanned.text == TEXT


def test_member_codes_are_as_their_page_says() -> None:
    page = (Path(__file__).parents[2] / "docs" / "member_code.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d{16}) \| `(\S+)` \|$", page, re.MULTILINE)
    assert len(rows) == 2
    for number, code in rows:
        assert member_code(number) == code


def test_the_modules_speak_as_published() -> None:
    trigger = bytes.fromhex("7E000801000201ABCD")
    gm65 = Gm65()
    gm65.feed(bytes.fromhex("7E0008010000D5ABCD"))
    assert gm65.feed(trigger) == bytes.fromhex("02000001003331")
    assert gm65.feed(bytes.fromhex("7E000901000000DEC8")) == bytes.fromhex("02000001003331")
    assert gm65.feed(bytes.fromhex("7E000901000000DEC9")) == b""
    assert M3y().feed(bytes.fromhex("5A00000A535F434D445F3032304465A5")) == bytes.fromhex("5A010002900093A5")
    gm72 = Gm72()
    assert gm72.feed(bytes.fromhex("04E40400FF14")) == b""  # it sleeps
    assert gm72.feed(b"\x00", 100) == b""
    assert gm72.feed(bytes.fromhex("04E40400FF14"), 150) == bytes.fromhex(
        "05D1000006FF24"
    )  # not in host mode
    assert gm72.feed(bytes.fromhex("07C60408008A08FE95"), 200) == bytes.fromhex("04D00000FF2C")
    assert gm72.feed(bytes.fromhex("04E40400FF14"), 250) == bytes.fromhex("04D00000FF2C")
