"""The simulated PN532: what libnfc, which knows the real one, says of it; and the driver against it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators.readers.ntag424 import Ntag424
from simulators.readers.pn532 import ChipFaults, MifareClassic, Pn532Chip, Pn532Reader, TapCard
from switch.hsm.crypto.ntag424 import Picc, file_key, mirrored_of, open_file_data, verify_tap
from terminal.drivers.chip_card import CardError, read_tap
from terminal.drivers.pn532 import Answer, Card, Failed, NoCard, Pn532, Ready

MASTER = bytes(range(16))
TAG_UID = bytes.fromhex("04112233445566")
NUMBER = "9364001234567898"
CLASSIC_UID = bytes.fromhex("deadbeef")
LONGEST_WAIT_S = 60


def tag(counter: int = 0) -> Ntag424:
    return Ntag424(TAG_UID, MASTER, NUMBER, counter=counter)


@pytest.mark.parametrize(
    ("card", "said"),
    [
        (None, ["0 ISO14443A passive target(s) found."]),
        (
            MifareClassic(CLASSIC_UID),
            ["1 ISO14443A passive target(s) found", "NFCID1): de  ad  be  ef", "* MIFARE Classic 1K"],
        ),
        (
            tag(),
            ["NFCID1): 04  11  22  33  44  55  66", "* Compliant with ISO/IEC 14443-4", "PICC: 128 bytes"],
        ),
    ],
)
def test_libnfc_takes_it_for_a_real_one(tmp_path: Path, card: TapCard | None, said: list[str]) -> None:
    async def listed() -> str:
        reader = Pn532Reader(tmp_path / "nfc")
        reader.open()
        if card is not None:
            reader.chip.place(card)
        process = await asyncio.create_subprocess_exec(
            "nfc-list",
            "-v",
            env={**os.environ, "LIBNFC_DEFAULT_DEVICE": f"pn532_uart:{tmp_path / 'nfc'}:115200"},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await asyncio.wait_for(process.communicate(), LONGEST_WAIT_S)
        reader.close()
        assert process.returncode == 0
        return output.decode()

    output = asyncio.run(listed())
    for line in said:
        assert line in output


class Desk:
    """Driver and chip on one cable. cuts: after how many bytes each piece ends, over and over."""

    def __init__(self, cuts: list[int] | None = None) -> None:
        self.chip = Pn532Chip()
        self.driver: Any = Pn532()
        self._cuts = cuts or [1000]
        self._now_ms = 0

    def asked(self, ask: str, *what: object) -> Any:
        """The one event that a command ends with."""
        getattr(self.driver, ask)(*what, self._now_ms)
        events: list[Any] = []
        while not events:
            said = self.chip.feed(self.driver.to_send())
            if said:
                place = turn = 0
                while place < len(said):
                    count = self._cuts[turn % len(self._cuts)]
                    events += self.driver.feed(said[place : place + count], self._now_ms)
                    place, turn = place + count, turn + 1
            else:
                assert self.driver.is_busy, "it would wait for ever"
                self._now_ms = self.driver.deadline_ms()
                events += self.driver.tick(self._now_ms)
        [event] = events
        return event

    def said(self, conversation: Generator[bytes, bytes, object]) -> Any:
        """What a conversation with the card returns."""
        answer: bytes | None = None
        try:
            while True:
                command = next(conversation) if answer is None else conversation.send(answer)
                event = self.asked("exchange", command)
                assert isinstance(event, Answer), event
                answer = event.data
        except StopIteration as end:
            return end.value


@given(st.lists(st.integers(1, 40), min_size=1, max_size=6))
def test_a_tap_through_the_driver_is_genuine_to_the_switch(cuts: list[int]) -> None:
    desk = Desk(cuts)
    assert isinstance(desk.asked("begin"), Ready)
    assert isinstance(desk.asked("look"), NoCard)
    desk.chip.place(tag(counter=6))
    card = desk.asked("look")
    assert isinstance(card, Card)
    assert (card.uid, card.is_chip) == (TAG_UID, True)
    tap = desk.said(read_tap())
    assert verify_tap(MASTER, tap.picc, tap.mac, mirrored_of(tap.data)) == Picc(TAG_UID, 7)
    assert open_file_data(file_key(MASTER, TAG_UID), Picc(TAG_UID, 7), tap.data) == NUMBER.encode()
    assert repr(tap) == "Tap(hidden)"
    assert desk.asked("release")
    again = desk.asked("look")
    assert again.uid == TAG_UID
    second = desk.said(read_tap())
    assert verify_tap(MASTER, second.picc, second.mac, mirrored_of(second.data)) == Picc(TAG_UID, 8)
    assert tap.picc != second.picc


def test_a_card_of_another_kind_is_told() -> None:
    desk = Desk()
    desk.asked("begin")
    desk.chip.place(MifareClassic(CLASSIC_UID))
    card = desk.asked("look")
    assert (card.uid, card.is_chip) == (CLASSIC_UID, False)
    authentication = b"\x60\x04" + b"\xff" * 6 + CLASSIC_UID
    assert desk.asked("exchange", authentication).data == b""
    assert desk.asked("exchange", b"\x30\x04").data == bytes(16)
    assert desk.asked("exchange", b"\x30\x08").reason == "gone"
    wrong = desk.asked("exchange", b"\x60\x04" + bytes(6) + CLASSIC_UID)
    assert (wrong.reason, wrong.status) == ("card", 0x14)


def test_a_card_that_leaves_is_told() -> None:
    desk = Desk()
    desk.asked("begin")
    desk.chip.place(tag())
    desk.asked("look")
    desk.chip.take_away()
    gone = desk.asked("exchange", b"\x00\xa4\x04\x00\x00")
    assert isinstance(gone, Failed)
    assert gone.reason == "gone"


@pytest.mark.parametrize(
    ("faults", "reason"),
    [
        (ChipFaults(silent=9), "silent"),
        (ChipFaults(mute=9), "silent"),
        (ChipFaults(damaged=9), "damaged"),
        (ChipFaults(refuses=9), "refused"),
        (ChipFaults(lies=9), "lying"),
        (ChipFaults(babbles=9), "noise"),
    ],
)
def test_every_wrong_of_the_chip_is_told_and_gone_on_from(faults: ChipFaults, reason: str) -> None:
    desk = Desk([7])
    assert isinstance(desk.asked("begin"), Ready)
    desk.chip.wrong(faults)
    failed = desk.asked("look")
    assert isinstance(failed, Failed)
    assert failed.reason == reason
    desk.chip.wrong(ChipFaults())
    assert isinstance(desk.asked("begin"), Ready)
    assert isinstance(desk.asked("look"), NoCard)


def test_what_happens_once_is_not_noticed() -> None:
    for faults in (ChipFaults(silent=1), ChipFaults(damaged=1), ChipFaults(damaged=2)):
        desk = Desk([5])
        desk.asked("begin")
        desk.chip.place(tag())
        desk.chip.wrong(faults)
        assert isinstance(desk.asked("look"), Card), faults


@given(st.data())
def test_a_tag_that_lies_is_no_card_of_ours(data: st.DataObject) -> None:
    """Whatever it answers: a CardError, never another exception, and never without end."""
    genuine = Pn532Chip()
    genuine.place(tag())
    card = tag()
    conversation = read_tap()
    command = next(conversation)
    for _ in range(200):
        answer = card.command(command)
        if data.draw(st.integers(0, 4)) == 0:
            status = data.draw(st.sampled_from([b"", b"\x90\x00", b"\x61\x10"]))
            answer = data.draw(st.binary(max_size=300)) + status
        try:
            command = conversation.send(answer)
        except (CardError, StopIteration):
            return
    raise AssertionError("a conversation without end")
