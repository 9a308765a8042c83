"""Devices at the terminal's doors, each played by its simulator: members come of them, troubles are told and
end, and a way on is left."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from simulators.cards import Card
from simulators.readers.ccid import CcidFaults, SerialCcid
from simulators.readers.chip import ChipCard
from simulators.readers.ntag424 import Ntag424
from simulators.readers.pn532 import ChipFaults, MifareClassic, Pn532Chip
from simulators.readers.scanner import MODULES, ScannerModule, once
from simulators.readers.tracks import TRACK_1, TRACK_2, head_levels, stripe_of, tracks_of
from terminal.doors import KINDS
from terminal.drivers.codes import member_code
from terminal.message_tables import TAG_CHIP_PROOF
from tests.terminal import desk as terminal_desk
from tests.terminal.desk import CARD, DEVICES, TRACK2

KEY = bytes(range(16))
ISSUED = tracks_of(Card(CARD))
GOODS = b"6260000000019"


Desk: Any = terminal_desk.Desk  # the firmware's side carries no annotations


class Shop(Desk):
    """A desk whose devices are simulated. peers: door -> what a device says to bytes of the terminal."""

    def __init__(self, kinds: dict[str, str], **peers: Callable[[bytes, int], bytes]) -> None:
        self.peers = peers
        super().__init__(devices={**DEVICES, **kinds})
        for name in self.devices:
            self.app.device(name, True)
        self.run()
        self.wait(3000)

    def run(self) -> None:
        super().run()
        while any(self._answered(name) for name in self.peers):
            super().run()

    def _answered(self, name: str) -> bool:
        data = self.sent.pop(name, b"")
        said = self.peers[name](data, self.now) if data else b""
        if said:
            self.app.heard(name, said)
        return bool(data)

    def says(self, name: str, data: bytes) -> None:
        """A device says something by itself."""
        self.app.heard(name, data)
        self.run()

    def sell(self) -> None:
        """Key in an amount; a chip card is asked for its proof in the next moment."""
        self.keys("2500000#")
        self.wait(100)

    def pull(self, name: str) -> None:
        self.app.device(name, False)
        self.run()

    def plug(self, name: str) -> None:
        self.app.device(name, True)
        self.run()

    @property
    def heard_lines(self) -> str:
        return " ".join(self.lines)


def tag() -> Ntag424:
    return Ntag424(bytes.fromhex("04112233445566"), KEY, CARD)


def chip_card(**more: Any) -> ChipCard:
    return ChipCard(bytes(7), TRACK2, KEY, **more)


def member_of(shop: Shop) -> dict[int, Any]:
    """What the last request told of the member."""
    _, fields = shop.requests[-1]
    return {number: fields[number] for number in (2, 22, 35) if number in fields}


def with_tap() -> tuple[Shop, Pn532Chip]:
    chip = Pn532Chip()
    return Shop({"tap": "pn532"}, tap=lambda data, now_ms: chip.feed(data)), chip


def with_chip(protocol: int = 1) -> tuple[Shop, SerialCcid]:
    reader = SerialCcid(protocol)
    return Shop({"chip": "ccid"}, chip=lambda data, now_ms: reader.feed(data)), reader


def with_scanner(family: str) -> tuple[Shop, ScannerModule]:
    module = MODULES[family]()
    return Shop({"scanner": family}, scanner=module.feed), module


# ---------------------------------------------------------------- taps


def test_a_tap_is_a_sale() -> None:
    shop, chip = with_tap()
    chip.place(tag())
    shop.wait(1000)
    shop.keys("2500000#")
    assert shop.transactions[-1]["approved"]
    assert member_of(shop) == {22: "071"}
    shop.wait(20000)
    assert len(shop.transactions) == 1, "it lies there still, and is not read twice"
    chip.take_away()
    shop.wait(1000)
    chip.place(tag())
    shop.wait(1000)
    shop.keys("2500000#")
    assert len(shop.transactions) == 2


def test_a_tap_that_nobody_waited_for_is_read_when_it_is_waited_for() -> None:
    shop, chip = with_tap()
    shop.keys("B")
    shop.keys("*")  # back at idle
    shop.keys("1")  # an amount comes first
    chip.place(tag())
    shop.wait(1000)
    shop.keys("00000#")
    shop.wait(1000)
    assert member_of(shop)[22] == "071"


def test_a_card_taken_away_while_nobody_looks_for_one_is_noticed() -> None:
    shop, chip = with_tap()
    chip.place(tag())
    shop.wait(1000)
    chip.take_away()
    shop.wait(2000)  # at the amount
    shop.keys("*")
    chip.place(tag())
    shop.wait(400)
    assert shop.screens[-1] == "amount"


def test_a_card_that_was_read_when_nobody_waited_any_more_is_read_again() -> None:
    shop, chip = with_tap()

    class Slow(Ntag424):
        commands = 0

        def command(self, apdu: bytes) -> bytes:
            self.commands += 1
            if self.commands == 3:
                shop.app.heard("keypad", b"#")  # the cashier opens the menu
            return super().command(apdu)

    card = Slow(bytes(7), KEY, CARD)
    chip.place(card)
    shop.wait(1000)
    assert shop.screens[-1] == "menu"
    assert card.counter == 1
    shop.keys("*")
    shop.wait(1000)
    assert shop.screens[-1] == "amount"


def test_a_card_with_a_number_only_is_not_of_the_program() -> None:
    shop, chip = with_tap()
    chip.place(MifareClassic(bytes.fromhex("01020304")))
    shop.wait(1000)
    assert "tap: foreign" in shop.logs
    assert shop.lines[:2] == ["Card", "Not of this"]
    shop.wait(10000)
    assert shop.logs.count("tap: foreign") == 1
    assert shop.screens[-1] == "idle"


def test_a_contactless_card_of_somebody_else() -> None:
    class Bank(Ntag424):
        def command(self, apdu: bytes) -> bytes:
            return b"\x6a\x82"

    shop, chip = with_tap()
    chip.place(Bank(bytes(7), KEY, CARD))
    shop.wait(1000)
    assert shop.lines[:2] == ["Card", "Not of this"]


def test_a_card_that_left_too_early() -> None:
    class Short(Ntag424):
        left = 2

        def command(self, apdu: bytes) -> Any:
            self.left -= 1
            return super().command(apdu) if self.left >= 0 else None

    shop, chip = with_tap()
    chip.place(Short(bytes(7), KEY, CARD))
    shop.wait(300)
    assert "tap: gone" in shop.logs
    chip.place(tag())
    shop.wait(4000)
    shop.keys("2500000#")
    assert member_of(shop) == {22: "071"}


# ---------------------------------------------------------------- chips


@pytest.mark.parametrize("protocol", [0, 1])
def test_a_chip_is_a_sale(protocol: int) -> None:
    shop, reader = with_chip(protocol)
    shop.says("chip", reader.put_in(chip_card(proof_key=KEY)))
    shop.sell()
    assert shop.transactions[-1]["approved"]
    assert member_of(shop) == {2: CARD, 22: "051"}
    assert shop.requests[-1][1][48][TAG_CHIP_PROOF][:4] == (1).to_bytes(4)
    shop.wait(30000)
    assert len(shop.transactions) == 1
    shop.says("chip", reader.take_out())
    shop.says("chip", reader.put_in(chip_card(proof_key=KEY)))
    shop.sell()
    assert len(shop.transactions) == 2


def test_a_card_lies_in_the_reader_from_before() -> None:
    reader = SerialCcid()
    reader.put_in(chip_card(proof_key=KEY))
    shop = Shop({"chip": "ccid"}, chip=lambda data, now_ms: reader.feed(data))
    assert shop.screens[-1] == "amount"


def test_a_chip_that_is_gone_when_it_should_prove_is_asked_for_again() -> None:
    shop, reader = with_chip()
    card = chip_card(proof_key=KEY)
    shop.says("chip", reader.put_in(card))
    shop.says("chip", reader.take_out())
    shop.sell()
    assert "chip: nothing proved" in shop.logs
    assert len(shop.requests) == 1, "the sign-on alone"
    shop.says("chip", reader.put_in(card))
    shop.wait(100)
    assert shop.transactions[-1]["approved"]


def test_a_chip_reader_that_is_pulled_while_a_card_should_prove() -> None:
    shop, reader = with_chip()
    shop.says("chip", reader.put_in(chip_card(proof_key=KEY)))
    reader.wrong(CcidFaults(silent=99))
    shop.sell()
    shop.pull("chip")
    assert "chip: nothing proved" in shop.logs
    shop.keys("*")
    assert shop.screens[-1] == "idle"


def test_a_chip_upside_down() -> None:
    shop, reader = with_chip()
    reader.wrong(CcidFaults(mute=9))
    shop.says("chip", reader.put_in(chip_card()))
    assert "chip: mute" in shop.logs
    assert shop.lines[0] == "Card not read"
    reader.wrong(CcidFaults())
    shop.says("chip", reader.take_out())
    shop.says("chip", reader.put_in(chip_card()))
    assert shop.screens[-1] == "amount"


def test_a_chip_taken_out_while_it_speaks() -> None:
    shop, reader = with_chip()
    reader.wrong(CcidFaults(silent=99))
    shop.says("chip", reader.put_in(chip_card()))
    shop.says("chip", reader.take_out())
    assert "chip: no card" in shop.logs
    reader.wrong(CcidFaults())
    shop.wait(20000)
    shop.says("chip", reader.put_in(chip_card()))
    assert shop.screens[-1] == "amount"


# ---------------------------------------------------------------- scanners


@pytest.mark.parametrize("family", sorted(MODULES))
def test_a_scanned_member_code_counts_as_typed(family: str) -> None:
    shop, module = with_scanner(family)
    shop.wait(4000)
    shop.says("scanner", module.show(member_code(CARD).encode()))
    shop.keys("2500000#")
    assert shop.transactions[-1]["approved"]
    assert member_of(shop) == {2: CARD, 22: "031"}


def test_what_is_no_member_code() -> None:
    shop, module = with_scanner("gm65")
    shop.wait(4000)
    for text, told in (
        (b"6037991234567893", "foreign"),
        (b"VAFA1:936400123456789800", "check"),
        (b"https://vafa.example/app", "kind"),
    ):
        shop.says("scanner", module.show(text))
        assert shop.logs[-1] == "scan: " + told
        shop.wait(5000)
    count = len(shop.screens)
    shop.says("scanner", module.show(GOODS))
    assert len(shop.screens) == count, "goods say nothing at idle"


def test_the_scanner_looks_only_while_a_card_is_waited_for() -> None:
    shop, module = with_scanner("gm65")
    shop.wait(4000)
    assert module.is_reading
    shop.swipe()
    assert not module.is_reading
    shop.keys("*")
    assert module.is_reading


# ---------------------------------------------------------------- troubles

Peer = Callable[[bytes, int], bytes]


def mute(data: bytes, now_ms: int) -> bytes:
    return b""


def letters(data: bytes, now_ms: int) -> bytes:
    return b"Login incorrect\r\n" * 60


def backwards(data: bytes, now_ms: int) -> bytes:
    return data[::-1] + bytes(3)


DOORS: dict[str, tuple[str, Callable[[], Peer]]] = {
    "tap": ("pn532", lambda: (lambda chip: lambda data, now_ms: chip.feed(data))(Pn532Chip())),
    "chip": ("ccid", lambda: (lambda reader: lambda data, now_ms: reader.feed(data))(SerialCcid())),
    "scanner": ("gm65", lambda: MODULES["gm65"]().feed),
}


@pytest.mark.parametrize("door", sorted(DOORS))
@pytest.mark.parametrize("wrong", [mute, letters, backwards])
def test_a_device_that_answers_wrongly_is_told_and_comes_back(door: str, wrong: Peer) -> None:
    kind, make = DOORS[door]
    shop = Shop({door: kind}, **{door: wrong})
    shop.wait(10000)
    assert shop.app.trouble()[0] == door
    assert not shop.app.usable(door)
    assert shop.screens[-1] == "idle"
    assert any(log.startswith(door + ": ") for log in shop.logs)
    shop.earn()
    assert shop.transactions[-1]["approved"], "a card can be swiped still"
    shop.peers[door] = make()
    shop.wait(30000)
    assert shop.app.trouble() is None
    assert shop.app.usable(door)
    assert door + ": back" in shop.logs


@pytest.mark.parametrize("door", sorted(DOORS))
def test_a_device_that_goes_and_comes(door: str) -> None:
    kind, make = DOORS[door]
    shop = Shop({door: kind}, **{door: make()})
    shop.wait(5000)
    assert shop.app.usable(door)
    shop.pull(door)
    assert shop.app.trouble() == (door, "missing")
    sent = shop.sent.get(door, b"")
    shop.wait(20000)
    assert shop.sent.get(door, b"") == sent, "nothing is said to a device that isn't there"
    shop.peers[door] = make()
    shop.plug(door)
    shop.wait(5000)
    assert shop.app.trouble() is None
    assert door + ": back" in shop.logs


def test_a_silent_spell_in_the_midst_of_work() -> None:
    shop, chip = with_tap()
    chip.wrong(ChipFaults(silent=6))
    shop.wait(2000)
    chip.place(tag())
    shop.wait(5000)
    assert shop.screens[-1] == "amount"


def test_a_reader_that_babbles_is_told_once_and_is_back_when_it_is_quiet() -> None:
    shop = Shop({})
    before = len(shop.logs)
    for _ in range(400):
        shop.says("reader", b"U-Boot 2016.01 DRAM: 64 MiB\r\n")
        shop.wait(30)
    assert shop.app.trouble() == ("reader", "babbling")
    assert len(shop.logs) < before + 10
    shop.keys("A09123456789#")
    assert shop.screens[-1] != "fault"
    shop.wait(70000)
    assert shop.app.trouble() is None
    shop.earn()
    assert shop.transactions[-1]["approved"]


def test_a_key_that_is_stuck() -> None:
    shop = Shop({})
    for _ in range(100):
        shop.says("keypad", b"7")
        shop.wait(20)
    assert shop.app.trouble() == ("keypad", "stuck")
    shop.wait(70000)
    assert shop.app.trouble() is None
    shop.earn()
    assert shop.transactions[-1]["approved"]


@pytest.mark.parametrize("backwards", [False, True])
def test_a_head_that_sends_bits(backwards: bool) -> None:
    stripes = [stripe_of(TRACK_1, ISSUED.track_1), stripe_of(TRACK_2, ISSUED.track_2)]
    if backwards:
        stripes = [stripe[::-1] for stripe in stripes]
    shop = Shop({"reader": "bits"})
    shop.swipe(head_levels(*stripes))
    shop.keys("2500000#")
    assert shop.transactions[-1]["approved"]
    assert member_of(shop)[35].startswith(CARD + "=")


def test_a_scanner_that_reads_badly_again_and_again() -> None:
    shop, module = with_scanner("gm65")
    shop.wait(4000)
    module.wrong(once("spoilt", 8))
    for _ in range(8):
        shop.says("scanner", module.show(GOODS))
        shop.wait(800)
    assert shop.app.trouble() == ("scanner", "damaged")
    assert shop.logs.count("scan: damaged") < 5
    shop.says("scanner", module.show(GOODS))
    assert shop.app.trouble() is None


def test_each_kind_stands_in_the_documentation() -> None:
    text = (Path(__file__).parents[2] / "docs" / "devices.md").read_text("utf-8")
    rows = {line.split("|")[1].strip(" `"): line for line in text.splitlines() if line.startswith("| `")}
    for door, kind, _, _ in KINDS:
        assert f"`{kind}`" in rows[door]
