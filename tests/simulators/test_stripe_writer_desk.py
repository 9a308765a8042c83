"""The simulated card writer by its manual, and the driver against it: issuing, clones, every fault."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulators.cards import Deck
from simulators.readers.stripe_writer import StripeCard, WriterDesk, WriterDevice, WriterFaults, once
from simulators.readers.tracks import tracks_of
from terminal.drivers.stripe_writer import (
    CardRead,
    Done,
    Failed,
    Ready,
    StripeWriter,
    SwipeAgain,
    Verified,
)

TRACKS = ("B9364001234567898^VAFA/TEST^29121010000", "9364001234567898=29121010000", None)
LONGEST_WAIT_S = 60


class Desk:
    """Driver and device on one cable, and a hand with a card. cuts: after how many bytes each piece ends."""

    def __init__(self, device: WriterDevice | None = None, cuts: list[int] | None = None) -> None:
        self.device = device or WriterDevice()
        self.driver: Any = StripeWriter()
        self.card: StripeCard | None = StripeCard()
        self._cuts = cuts or [1000]
        self._turn = 0
        self._now_ms = 0

    def hears(self, said: bytes) -> list[Any]:
        events: list[Any] = []
        place = 0
        while place < len(said):
            count = self._cuts[self._turn % len(self._cuts)]
            self._turn += 1
            events += self.driver.feed(said[place : place + count], self._now_ms)
            place += count
        return events

    def asked(self, ask: str, *what: object) -> list[Any]:
        """All events of what is asked for; the card is drawn through whenever the device waits for one."""
        getattr(self.driver, ask)(*what, self._now_ms)
        events: list[Any] = []
        while self.driver.is_busy:
            if out := self.driver.to_send():
                events += self.hears(self.device.feed(out))
            elif self.device.is_waiting and self.card is not None:
                events += self.hears(self.device.swipe(self.card))
            else:
                self._now_ms = self.driver.deadline_ms()
                events += self.driver.tick(self._now_ms)
        return events

    def ready(self) -> Desk:
        assert isinstance(self.asked("begin")[-1], Ready)
        return self


def reasons(events: list[Any]) -> list[str]:
    return [event.reason for event in events if isinstance(event, Failed)]


def test_it_speaks_as_its_manual_says() -> None:
    device = WriterDevice()
    for command, answer in (
        ("1b61", ""),
        ("1b65", "1b79"),
        ("1b87", "1b30"),
        ("1b81", ""),
        ("1b7a3d16", "1b30"),
        ("1b6c", "1b3d16"),
        ("1b624b", "1b30"),
        ("1b6299", "1b41"),
        ("1b6f080808", "1b30080808"),
        ("1b6f090808", "1b41"),
        ("1b78", "1b30"),
        ("1b64", "1b48"),
        ("1b79", "1b30"),
        ("1b64", "1b4c"),
        ("1b74", "1b3353"),
        ("1b76", "1b52455653322e3331"),
        ("1b7f", "1b34"),
        ("1b771b731b0161", ""),  # not yet whole
        ("1b023f1c", "1b32"),
    ):
        assert device.feed(bytes.fromhex(command)).hex() == answer, command
    assert device.lamps == b"\x81"


@pytest.mark.parametrize(
    ("bits", "tracks"),
    [
        ("080808", ("C5B07814954E3E2A", "2B8849EAAF", "2B8849EAAF")),
        ("070505", ("456162235152131F2A", "0B01021304151F15", "0B01021304151F15")),
    ],
)
def test_raw_blocks_of_the_manual(bits: str, tracks: tuple[str, ...]) -> None:
    device = WriterDevice()
    block = b""
    for slot, text in enumerate(tracks):
        raw = bytes.fromhex(text)
        block += bytes((0x1B, slot + 1, len(raw))) + raw
    card = StripeCard()
    assert device.feed(bytes.fromhex("1b6f" + bits)) == b"\x1b0" + bytes.fromhex(bits)
    assert device.feed(b"\x1bn\x1bs" + block + b"?\x1c") == b""
    assert device.swipe(card) == b"\x1b0"
    assert card.texts == ("ABC123", "12345", "12345")
    assert device.feed(b"\x1bm") == b""
    assert device.swipe(card) == b"\x1bs" + block + b"?\x1c\x1b0"
    assert device.feed(b"\x1br") == b""
    assert device.swipe(card) == b"\x1bs\x1b\x01%ABC123?\x1b\x02;12345?\x1b\x03;12345??\x1c\x1b0"


def test_a_card_with_track_2_alone_as_in_the_manual() -> None:
    device = WriterDevice()
    device.feed(b"\x1br")
    assert device.swipe(StripeCard.holding(None, "23")) == b"\x1bs\x1b\x01\x1b\x02;23?\x1b\x03?\x1c\x1b0"


def test_nothing_but_a_reset_ends_its_wait() -> None:
    device = WriterDevice()
    device.feed(b"\x1br")
    assert device.feed(b"\x1be") == b""
    assert device.feed(b"\x1ba\x1be") == b"\x1by"
    assert device.swipe(StripeCard()) == b""


@settings(max_examples=30)
@given(
    st.integers(0, 2**32),
    st.lists(st.integers(1, 40), min_size=1, max_size=6),
    st.sampled_from([b"", b"\x1b\x2a", b"\x1b\x2b"]),
    st.booleans(),
)
def test_cards_are_issued(seed: int, cuts: list[int], empty_mark: bytes, is_clone: bool) -> None:
    desk = Desk(WriterDevice(empty_mark, is_clone), cuts)
    [ready] = desk.asked("begin")
    assert (ready.model, ready.firmware) == (("", "") if is_clone else ("3", "REVS2.31"))
    assert isinstance(desk.asked("set_coercivity", True)[-1], Done)
    card = Deck(seed).draw()
    tracks = tracks_of(card)
    texts = (tracks.track_1[1:-2], tracks.track_2[1:-2], None)
    again, verified = desk.asked("write", texts)
    assert isinstance(again, SwipeAgain)
    assert isinstance(verified, Verified)
    assert desk.card is not None
    assert desk.card.texts == texts
    [read] = desk.asked("read")
    assert isinstance(read, CardRead)
    assert read.tracks == texts
    assert isinstance(desk.asked("erase")[-1], Done)
    assert desk.card.texts == (None, None, None)
    [blank] = desk.asked("read")
    assert blank.tracks == (None, None, None)


def test_one_track_is_erased() -> None:
    for track in (1, 2, 3):
        desk = Desk().ready()
        desk.card = StripeCard.holding("A", "1", "2")
        desk.driver.erase(0, (track,))
        assert desk.device.feed(desk.driver.to_send()) == b""
        assert isinstance(desk.hears(desk.device.swipe(desk.card))[-1], Done)
        assert [text is None for text in desk.card.texts] == [slot + 1 == track for slot in range(3)]


def test_too_weak_a_field_is_found_out() -> None:
    """The device says that the card is written; only reading it back shows that it isn't."""
    desk = Desk().ready()
    desk.asked("set_coercivity", False)
    desk.card = StripeCard.holding("OLD", "1")
    again, failed = desk.asked("write", TRACKS)
    assert isinstance(again, SwipeAgain)
    assert (failed.reason, failed.written) == ("different", True)
    desk.card = StripeCard(is_high=False)
    assert isinstance(desk.asked("write", TRACKS)[-1], Verified)


@pytest.mark.parametrize(
    ("fault", "ask", "reason"),
    [
        ("silent", "begin", "silent"),
        ("silent", "read", "silent"),
        ("babbles", "begin", "noise"),
        ("babbles", "read", "noise"),
        ("wrong", "read", "lying"),
        ("wrong", "write", "lying"),
        ("refuses", "read", "refused"),
        ("refuses", "write", "refused"),
        ("refuses", "erase", "refused"),
        ("misunderstands", "write", "format"),
        ("bad_swipe", "read", "swipe"),
        ("bad_swipe", "write", "swipe"),
        ("unreadable", "read", "card"),
        ("unreadable", "write", "card"),
        ("unreadable", "erase", "refused"),
        ("keeps", "write", "different"),
        ("spoils", "write", "different"),
        ("cut", "read", "damaged"),
        ("cut", "write", "damaged"),
        ("garbled", "read", "damaged"),
        ("garbled", "write", "damaged"),
    ],
)
def test_every_wrong_of_the_device_is_told_and_gone_on_from(fault: str, ask: str, reason: str) -> None:
    lasting = fault in ("silent", "babbles")
    desk = Desk(cuts=[5]).ready()
    desk.card = StripeCard.holding("OLD", "1")
    desk.device.wrong(once(fault, 99 if lasting else 1))
    events = desk.asked(ask, *([TRACKS] if ask == "write" else []))
    assert reasons(events) == [reason]
    desk.device.wrong(WriterFaults())
    desk.ready()
    assert isinstance(desk.asked("write", TRACKS)[-1], Verified)
    assert desk.card.texts == TRACKS


def test_no_card_comes_and_the_next_one_is_not_overwritten() -> None:
    desk = Desk().ready()
    card, desk.card = desk.card, None
    assert card is not None
    [failed] = desk.asked("write", TRACKS)
    assert (failed.reason, failed.written) == ("no card", False)
    assert not desk.device.is_waiting
    assert desk.device.swipe(card) == b""
    assert card.texts == (None, None, None)


def test_a_wait_that_is_cancelled() -> None:
    desk = Desk().ready()
    desk.driver.read(0)
    desk.device.feed(desk.driver.to_send())
    assert desk.device.is_waiting
    assert reasons(desk.asked("cancel")) == ["cancelled"]
    assert not desk.device.is_waiting
    assert isinstance(desk.asked("read")[-1], CardRead)


def test_a_driver_that_starts_anew_ends_the_wait_of_before() -> None:
    desk = Desk()
    desk.device.feed(b"\x1br")
    desk.ready()
    assert not desk.device.is_waiting


@given(st.lists(st.binary(max_size=60), max_size=8), st.sampled_from(["begin", "read", "write", "erase"]))
def test_no_bytes_harm_the_driver(pieces: list[bytes], ask: str) -> None:
    driver: Any = StripeWriter()
    now_ms = 0
    getattr(driver, ask)(*([TRACKS] if ask == "write" else []), now_ms)
    for piece in pieces:
        driver.feed(piece, now_ms)
        now_ms += 7
    events: list[Any] = []
    for _ in range(60):
        if not driver.is_busy:
            break
        driver.to_send()
        now_ms = driver.deadline_ms()
        events += driver.tick(now_ms)
    assert not driver.is_busy
    assert driver.deadline_ms() is None


@given(st.lists(st.binary(max_size=60), max_size=8))
def test_no_bytes_harm_the_device(pieces: list[bytes]) -> None:
    device = WriterDevice()
    for piece in pieces:
        device.feed(piece)
        device.swipe(StripeCard())


def test_at_its_pty(tmp_path: Path) -> None:
    async def conversation() -> bytes:
        desk = WriterDesk(tmp_path / "writer")
        desk.open()
        line = os.open(tmp_path / "writer", os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        heard: asyncio.Queue[bytes] = asyncio.Queue()
        asyncio.get_running_loop().add_reader(line, lambda: heard.put_nowait(os.read(line, 999)))
        os.write(line, b"\x1be")
        said = await asyncio.wait_for(heard.get(), LONGEST_WAIT_S)
        os.write(line, b"\x1bt\x1br")
        said += await asyncio.wait_for(heard.get(), LONGEST_WAIT_S)
        desk.swipe(StripeCard.holding(None, "23"))
        said += await asyncio.wait_for(heard.get(), LONGEST_WAIT_S)
        asyncio.get_running_loop().remove_reader(line)
        os.close(line)
        desk.close()
        return said

    assert asyncio.run(conversation()) == b"\x1by\x1b3S\x1bs\x1b\x01\x1b\x02;23?\x1b\x03?\x1c\x1b0"


def test_a_card_shows_nothing_of_itself() -> None:
    assert repr(StripeCard.holding(*TRACKS)) == "StripeCard(is_high=True)"
