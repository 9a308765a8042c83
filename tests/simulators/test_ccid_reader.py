"""The simulated contact reader and card: what the real PC/SC stack says of them; and our driver on
them."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulators.readers.ccid import CcidFaults, CcidReader, SerialCcid
from simulators.readers.chip import APPLICATION, ChipCard, pin_block
from switch.hsm.crypto.ntag424 import answer_challenge, session_of
from terminal.drivers.ccid import Block, Ccid, Failed, Moved, Powered, Present
from terminal.drivers.chip_blocks import link_of
from terminal.drivers.chip_card import CardError, told

KEY = bytes(range(16))
IDENTIFIER = b"1234567"
TRACK_2 = "9364001234567890=29121010000"
IDENTITY = bytes.fromhex("01 31323334353637 0e 9364001234567890d29121010000")
SELECT = b"\x00\xa4\x04\x00\x06" + APPLICATION
SELECT_IDENTITY = b"\x00\xa4\x00\x0c\x02\x00\x01"
LONGEST_WAIT_S = 60


def card(pin: str | None = "1234") -> ChipCard:
    return ChipCard(IDENTIFIER, TRACK_2, KEY, pin)


# ---------------------------------------------------------------- the real PC/SC stack


# Daemon and client with a /run/pcscd of their own, so that one which the machine runs is left alone.
SCENE = """\
mkdir -p /run/pcscd && mount -t tmpfs pcscd /run/pcscd || exit 3
"$1" -f -c "$2" >"$3/daemon" 2>&1 &
daemon=$!
until "$4" <"$3/script" >"$3/said" 2>&1 && grep -q "90 00" "$3/said"; do
    kill -0 $daemon || exit 4
done
kill $daemon
"""


@pytest.mark.parametrize("protocol", [0, 1])
def test_pcscd_reads_the_card(tmp_path: Path, protocol: int) -> None:
    pcscd, scriptor = shutil.which("pcscd", path="/usr/sbin"), shutil.which("scriptor")
    assert pcscd, "Debian's pcscd is missing: see tools/system-packages.txt"
    assert scriptor, "Debian's pcsc-tools is missing: see tools/system-packages.txt"
    readers = tmp_path / "readers"
    readers.mkdir()
    (readers / "vafa").write_text(
        f"DEVICENAME {tmp_path / 'reader'}:GemPCTwin\nFRIENDLYNAME vafa\n"
        "LIBPATH /usr/lib/pcsc/drivers/serial/libccidtwin.so\n",
        encoding="ascii",
    )
    commands = [
        SELECT,
        SELECT_IDENTITY,
        b"\x00\xb0\x00\x00\x00",
        b"\x00\x20\x00\x80\x08" + pin_block("9999"),
        b"\x00\x20\x00\x80\x08" + pin_block("1234"),
    ]
    script = "".join(command.hex(" ").upper() + "\n" for command in commands)
    (tmp_path / "script").write_text(script, encoding="ascii")
    (tmp_path / "scene").write_text(SCENE, encoding="ascii")
    own = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--map-root-user"]

    async def talked() -> int | None:
        reader = CcidReader(tmp_path / "reader", protocol)
        reader.open()
        reader.reader.put_in(card())
        try:
            scene = await asyncio.create_subprocess_exec(
                *own, "sh", str(tmp_path / "scene"), pcscd, str(readers), str(tmp_path), scriptor
            )
            return await asyncio.wait_for(scene.wait(), LONGEST_WAIT_S)
        finally:
            reader.close()

    assert asyncio.run(talked()) == 0
    output = (tmp_path / "said").read_text(encoding="ascii", errors="replace")
    assert f"Using T={protocol} protocol" in output
    said = [re.sub(r"\s+", "", answer) for answer in re.findall(r"< ([0-9A-F\s]+?) :", output)]
    assert said == ["9000", "9000", IDENTITY.hex().upper() + "9000", "63C2", "9000"]


# ---------------------------------------------------------------- our driver


class Desk:
    """Driver and reader on one cable, bytes torn. Time goes on when nothing else does."""

    def __init__(self, protocol: int, cuts: list[int] | None = None, field: int = 254) -> None:
        self.reader = SerialCcid(protocol, field)
        self.driver: Any = Ccid()
        self.moved: list[bool] = []
        self._cuts = cuts or [1000]
        self._now_ms = 0

    def asked(self, ask: str, *what: object) -> Any:
        getattr(self.driver, ask)(*what, self._now_ms)
        for _ in range(1000):
            said = self.reader.feed(self.driver.to_send())
            events = self.heard(said)
            if not said:
                self._now_ms = self.driver.deadline_ms()
                events = self.driver.tick(self._now_ms)
            if events:
                [event] = events
                return event
        raise AssertionError("a command without end")

    def heard(self, said: bytes) -> list[Any]:
        events: list[Any] = []
        place = turn = 0
        while place < len(said):
            count = self._cuts[turn % len(self._cuts)]
            for event in self.driver.feed(said[place : place + count], self._now_ms):
                if isinstance(event, Moved):
                    self.moved.append(event.is_in)
                else:
                    events.append(event)
            place, turn = place + count, turn + 1
        return events

    def powered(self) -> Any:
        event = self.asked("power_on")
        assert isinstance(event, Powered), event
        return link_of(event.atr)

    def said(self, conversation: Generator[bytes, bytes, object]) -> Any:
        """What a generator that talks to the card returns."""
        answer: bytes | None = None
        try:
            while True:
                command = next(conversation) if answer is None else conversation.send(answer)
                event = self.asked("transmit", command)
                assert isinstance(event, Block), event
                answer = event.data
        except StopIteration as end:
            return end.value

    def talked(self, link: Any, conversation: Generator[bytes, bytes, object]) -> Any:
        """The same for one that speaks in commands."""
        answer: bytes | None = None
        try:
            while True:
                command = next(conversation) if answer is None else conversation.send(answer)
                answer = self.said(link.exchange(command))
        except StopIteration as end:
            return end.value


def proof(desk: Desk, link: Any) -> Any:
    """Whether the card proves its key, step by step as terminal and switch do it."""
    enciphered = desk.talked(link, told(b"\x00\x88\x00\x00\x00"))
    ours = bytes(range(100, 116))
    to_card, theirs = answer_challenge(KEY, enciphered, ours)
    reply = desk.talked(link, told(b"\x00\x82\x00\x00\x20" + to_card + b"\x00"))
    return session_of(KEY, ours, theirs, reply)


@settings(max_examples=25)
@given(
    st.integers(0, 1),
    st.lists(st.integers(2, 60), min_size=1, max_size=5),
    st.integers(5, 254),
    st.integers(0, 2),
    st.integers(0, 2),
    st.integers(0, 2),
)
def test_a_visit_of_a_card(
    protocol: int, cuts: list[int], field: int, slow: int, block_damage: int, waits: int
) -> None:
    desk = Desk(protocol, cuts, field)
    assert desk.asked("begin").is_in is False
    assert desk.heard(desk.reader.put_in(card())) == []
    assert desk.moved == [True]
    present = desk.asked("begin")
    assert isinstance(present, Present)
    assert present.is_in
    link = desk.powered()
    desk.reader.wrong(CcidFaults(slow=slow, block_damage=block_damage, waits=waits))
    desk.talked(link, told(SELECT))
    desk.talked(link, told(SELECT_IDENTITY))
    assert desk.talked(link, told(b"\x00\xb0\x00\x00\x00")) == IDENTITY
    assert proof(desk, link) is not None
    with pytest.raises(CardError) as wrong:
        desk.talked(link, told(b"\x00\x20\x00\x80\x08" + pin_block("0000")))
    assert wrong.value.status == 0x63C2
    desk.talked(link, told(b"\x00\x20\x00\x80\x08" + pin_block("1234")))
    desk.heard(desk.reader.take_out())
    assert desk.moved == [True, False]
    gone = desk.asked("transmit", b"\x00\xb0\x00\x00\x00")
    assert isinstance(gone, Failed)
    assert gone.reason == "no card"


def test_a_card_with_another_key_proves_nothing() -> None:
    desk = Desk(1)
    desk.reader.put_in(ChipCard(IDENTIFIER, TRACK_2, bytes(16)))
    link = desk.powered()
    desk.talked(link, told(SELECT))
    enciphered = desk.talked(link, told(b"\x00\x88\x00\x00\x00"))
    to_card, _theirs = answer_challenge(KEY, enciphered, os.urandom(16))
    with pytest.raises(CardError):
        desk.talked(link, told(b"\x00\x82\x00\x00\x20" + to_card + b"\x00"))


@pytest.mark.parametrize(
    ("faults", "reason"),
    [
        (CcidFaults(silent=9), "silent"),
        (CcidFaults(damaged=9), "damaged"),
        (CcidFaults(naks=9), "silent"),
        (CcidFaults(mute=9), "mute"),
    ],
)
def test_every_wrong_is_told_and_gone_on_from(faults: CcidFaults, reason: str) -> None:
    desk = Desk(1, [3])
    desk.reader.put_in(card())
    desk.reader.wrong(faults)
    failed = desk.asked("power_on")
    assert (type(failed), failed.reason) == (Failed, reason)
    desk.reader.wrong(CcidFaults())
    desk.talked(desk.powered(), told(SELECT))


def test_a_pin_is_locked_after_three_tries() -> None:
    locked = card()
    locked.command(SELECT)
    wrong, right = (b"\x00\x20\x00\x80\x08" + pin_block(pin) for pin in ("0000", "1234"))
    assert [locked.command(wrong).hex() for _ in range(4)] == ["63c2", "63c1", "6983", "6983"]
    assert locked.command(right).hex() == "6983"
    assert "1234" not in repr(locked)
