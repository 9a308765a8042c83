"""A made-up card's verification value is asked of the HSM once; then it is swiped without."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from simulators.cards import Deck
from simulators.control import ControlServer, JsonObject
from simulators.issuing import issued
from simulators.wallet import Wallet
from switch.defaults import create_defaults
from switch.hsm import InProcessHsm, KeyStore
from switch.hsm.port import Key, KeyAlgorithm, KeyUse
from switch.keys import KeysError, read_master_key
from switch.settings import load
from tests.tools.kit import COMMAND_LINE
from tools import cli


@dataclass
class Desk:
    """A switch's data directory, and a reader that notes which cards pass it."""

    data: Path
    control: Path
    swiped: list[dict[str, Any]] = field(default_factory=list)

    def swipe(self, *arguments: str) -> tuple[int, str]:
        said, place = io.StringIO(), ("--data", str(self.data), "--control", str(self.control))
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            code = cli.run(["sim", "swipe", *arguments, *place], make=COMMAND_LINE)
        return code, said.getvalue()

    def stripe(self, *arguments: str) -> tuple[str, str]:
        """Number and discretionary data of a card that was swiped."""
        code, said = self.swipe(*arguments)
        assert code == 0, said
        return self.swiped[-1]["card"], self.swiped[-1]["discretionary"]

    def take_the_box_away(self) -> None:
        load(self.data / "switch.toml").hsm.master_key_file.unlink()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    create_defaults(tmp_path)
    desk = Desk(tmp_path, tmp_path / "reader.control")

    async def swiped(request: JsonObject) -> JsonObject:
        desk.swiped.append(request)
        return {"sent_bytes": 60}

    loop, socket = asyncio.new_event_loop(), ControlServer(desk.control, swiped)
    loop.run_until_complete(socket.start())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield desk
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.run_until_complete(socket.stop())
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


def test_a_card_is_swiped_again_without_the_box(desk: Desk) -> None:
    first = desk.stripe()
    named = desk.stripe("--card", Deck(1).draw().number)
    desk.take_the_box_away()
    assert desk.stripe() == first
    assert desk.stripe("--card", named[0]) == named
    code, said = desk.swipe("--new")  # a card that nobody issued yet
    assert code == 4
    assert "hsm-master.key" in said


def test_the_stripe_is_the_one_that_the_box_writes(desk: Desk) -> None:
    card = Deck(2).draw()
    [written] = asyncio.run(issued(load(desk.data / "switch.toml"), [card]))
    for _ in range(2):
        assert desk.stripe("--card", card.number) == (card.number, written.discretionary)


def test_after_a_rotation_cards_get_new_stripes(desk: Desk) -> None:
    before = desk.stripe()
    settings = load(desk.data / "switch.toml")

    async def rotated() -> Key:
        hsm = InProcessHsm(read_master_key(settings.hsm.master_key_file))
        return await hsm.generate_key(KeyUse.CARD_VALUE, KeyAlgorithm.TDES_2)

    store = KeyStore.load(settings.hsm.key_store)
    store.add("card/value", asyncio.run(rotated()), KeyAlgorithm.TDES_2, ("A", "B"))
    store.save()
    desk.take_the_box_away()
    code, said = desk.swipe()
    assert code == 4  # the kept stripe is no longer what would be written
    assert "hsm-master.key" in said
    assert before[0] not in said


def test_a_drawer_of_before_keeps_its_cards(desk: Desk) -> None:
    card, file = Deck(3).draw(), desk.data / "run" / "wallet.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps([card.number]))
    assert Wallet(desk.data).cards() == [card]
    assert desk.stripe()[0] == card.number
    assert file.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "7",
        '{"cards": 7}',
        '{"cards": [7, "1234"], "stripes": 7}',
        '{"stripes": {"9364001234567898": 7, "x": ["12", 3], "y": ["", ""], "z": ["1x", "a"]}}',
    ],
)
def test_a_damaged_drawer_is_empty(desk: Desk, content: str) -> None:
    file = desk.data / "run" / "wallet.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(content)
    assert Wallet(desk.data).cards() == []
    assert desk.stripe()[0]


def test_production_gives_made_up_cards_no_values(desk: Desk) -> None:
    settings = replace(load(desk.data / "switch.toml"), environment="production")
    with pytest.raises(KeysError, match="vafa keys card-value"):
        asyncio.run(issued(settings, [Deck(4).draw()]))
