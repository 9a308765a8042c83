"""`vafa sim tap, scan, insert, take-out, wrong`: a hand at the devices of a counter."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from simulators.cards import Deck
from simulators.control import ControlServer, JsonObject
from simulators.counter import PLACES, ChipPlace, CounterDevice, ScannerPlace, TapPlace
from simulators.firmware import ALL_DEVICES, Place
from simulators.wallet import Wallet
from tools.sim import app

KEYS = {"meta": "11" * 16, "file": "22" * 16}


@contextlib.asynccontextmanager
async def counter(data: Path) -> AsyncIterator[dict[str, CounterDevice]]:
    """The devices of a terminal that seems to run, without its firmware."""
    place = Place(data, "10000001")
    place.run.mkdir(parents=True)
    with (place.run / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        devices = {name: make(place.run / name, ALL_DEVICES[name]) for name, make in PLACES.items()}
        servers = [ControlServer(place.control(name), device.control) for name, device in devices.items()]
        for device, server in zip(devices.values(), servers, strict=True):
            device.open()
            await server.start()
        try:
            yield devices
        finally:
            for device, server in zip(devices.values(), servers, strict=True):
                device.close()
                await server.stop()


async def said(data: Path, *arguments: str) -> str:
    """What a command prints; "exit N" before it when it fails."""
    result = await asyncio.to_thread(CliRunner().invoke, app, [*arguments, "--data", str(data)])
    return result.output if result.exit_code == 0 else f"exit {result.exit_code} {result.exception}"


def test_a_hand_at_each_device(tmp_path: Path) -> None:
    async def scene() -> None:
        async with counter(tmp_path) as devices:
            tap, scanner = devices["tap"], devices["scanner"]
            assert isinstance(tap, TapPlace)
            assert isinstance(scanner, ScannerPlace)
            assert "a card with a UID only" in await said(
                tmp_path, "tap", "--uid", "01020304", "--hold-ms", "1"
            )
            assert tap.reader.chip.card is None, "it was taken away"
            assert "uid must be 8 or 14" in await said(tmp_path, "tap", "--uid", "0102")
            assert "scanned a code" in await said(tmp_path, "scan", "6260000000019")
            card = Deck(1).draw()
            shown = await said(tmp_path, "scan", "--card", card.number)
            assert card.masked in shown
            assert card.number not in shown
            assert "silent 3 times" in await said(tmp_path, "wrong", "tap", "silent", "3")
            assert "known: silent, mute" in await said(tmp_path, "wrong", "tap", "sings")
            assert "taken out" in await said(tmp_path, "take-out")

    asyncio.run(scene())


def test_a_card_in_each_reader(tmp_path: Path) -> None:
    async def scene() -> None:
        async with counter(tmp_path) as devices:
            tap, chip = devices["tap"], devices["chip"]
            assert isinstance(tap, TapPlace)
            assert isinstance(chip, ChipPlace)
            number = Deck(2).draw().number
            await tap.control({"do": "lay", "uid": "01" * 7, "number": number, **KEYS, "counter": 5})
            assert tap.reader.chip.card is not None
            await tap.control({"do": "lift"})
            assert tap.reader.chip.card is None
            inserted: JsonObject = {
                "do": "insert",
                "identifier": "01" * 7,
                "track_2": number + "=2912",
                "key": "33" * 16,
                "proof_key": "44" * 16,
                "counter": 9,
            }
            await chip.control(inserted)
            assert await chip.control({"do": "take_out"}) == {"counter": 9}
            for wrong in ({**inserted, "key": "33"}, {**inserted, "counter": -1}, {"do": "sing"}):
                with pytest.raises(ValueError, match=r"must be|unknown"):
                    await chip.control(wrong)

    asyncio.run(scene())


def test_a_cards_chip_never_counts_twice(tmp_path: Path) -> None:
    first, second = Deck(3).hand(2)
    wallet = Wallet(tmp_path)
    wallet.put(first)
    assert [wallet.count(first, 100), Wallet(tmp_path).count(first, 1000), wallet.count(second, 100)] == [
        0,
        100,
        0,
    ]
    assert Wallet(tmp_path).count(first, 1) == 1100
    assert wallet.cards() == [first]
