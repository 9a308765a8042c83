"""Card numbers, track data and keys stay where they belong: not in a log, an event, a journal or the
ledger."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from simulators.campaigns import firmware_kills
from simulators.campaigns.scene import Scene, scene
from simulators.cards import Card, Deck, foreign_card, leaks
from simulators.faults import Corrupt, ResetPeer
from simulators.firmware import Interpreter
from simulators.readers.magstripe import SwipeFaults
from simulators.readers.tracks import tracks_of
from switch.defaults import create_defaults
from switch.hsm.crypto import key_blocks
from switch.keys import read_master_key
from switch.settings import load_for

# Where keys or made-up cards are kept on purpose, each readable by its owner only.
KEPT_ON_PURPOSE = (
    "switch.toml",
    "hsm-master.key",
    "terminals/10000001.json",
    "run/10000001/settings.json",
)


def keys_of(data: Path) -> dict[str, bytes]:
    """Every key of switch and terminal, by name."""
    settings = load_for(data, None)
    told = json.loads((data / "terminals" / "10000001.json").read_text("utf-8"))
    transport_key = bytes.fromhex(told["transport_key"])
    return {
        "seal": settings.seal_key,
        "directory": settings.directory_key,
        "master": read_master_key(settings.hsm.master_key_file),
        "transport": transport_key,
        "initial": key_blocks.unwrap(transport_key, told["key_block"]).key,
    }


def found_in(text: bytes, cards: list[Card], keys: dict[str, bytes]) -> list[str]:
    """What of cards and keys stands in `text`."""
    found = leaks(text, cards)
    found += [
        f"track of {card}" for card in cards if any(track.encode() in text for track in tracks_of(card))
    ]
    for name, key in keys.items():
        if key in text or key.hex().encode() in text.lower():
            found.append(f"key {name}")
    return found


async def live_through_everything(at: Scene, unknown: Card) -> None:
    """Approvals, declines, damage, lost answers, a kill with a request under way."""
    await at.cashier.redeem(at.card, 10)
    await at.cashier.redeem(at.card, 999)
    await at.cashier.earn(unknown, 100_000)
    await at.terminal.swipe(foreign_card())
    await at.terminal.screen("message")
    await at.terminal.press("*")
    await at.terminal.swipe(at.card, SwipeFaults.from_json({"corrupt": "bad_lrc"}))
    await at.terminal.screen("message")
    await at.terminal.press("*")
    await at.terminal.screen("idle")
    at.line.add(Corrupt(message_types=frozenset({"0110"}), times=1))
    await at.cashier.balance(at.card)
    at.line.add(ResetPeer(message_types=frozenset({"0210"}), times=1))
    await at.cashier.earn(at.card, 100_000)
    await firmware_kills.kill_before_verified(at, "redeem")


def test_nothing_secret_is_written_or_said(tmp_path: Path, micropython: Interpreter) -> None:
    unknown = Deck(9).draw()
    said: list[str] = []

    create_defaults(tmp_path)
    keys = keys_of(tmp_path)

    async def play() -> list[Card]:
        async with scene(tmp_path, micropython, seed=9, on_line=said.append) as at:
            await live_through_everything(at, unknown)
            cards = [at.card, unknown, foreign_card()]
            receipts = list(at.terminal.printer.receipts)
            # While a request is under way its journal holds the card, sealed: look before it is closed.
            at.line.hold_answers()
            held = at.line.held_answers
            await at.cashier.begin_earn(at.card, 100_000)
            await at.line.answer_held_after(held)
            problems = [
                f"{path.name}: {found}"
                for path in sorted(at.terminal.place.storage.iterdir())
                for found in found_in(path.read_bytes(), cards, keys)
            ]
            assert problems == []
            await at.terminal.kill()
        assert receipts
        assert leaks("".join(receipts).encode(), cards) == []
        return cards

    cards = asyncio.run(play())
    assert any("transaction" in line for line in said)
    assert any("signed on" in line for line in said)
    assert found_in("\n".join(said).encode(), cards, keys) == []

    files = [path for path in sorted(tmp_path.rglob("*")) if path.is_file()]
    assert "ledger.sqlite" in {path.name for path in files}
    problems = [
        f"{path.relative_to(tmp_path)}: {found}"
        for path in files
        if str(path.relative_to(tmp_path)) not in KEPT_ON_PURPOSE
        and not (path.parent.name == "terminals" and path.suffix == ".json")
        for found in found_in(path.read_bytes(), cards, keys)
    ]
    assert problems == []
    for name in KEPT_ON_PURPOSE:
        assert (tmp_path / name).stat().st_mode & 0o077 == 0, f"{name} can be read by others"


def test_the_search_itself_finds_what_it_looks_for(tmp_path: Path) -> None:
    card = Deck(1).draw()
    keys = {"seal": bytes(range(16))}
    for secret in (card.number.encode(), bytes.fromhex(card.number), bytes(range(16)).hex().upper().encode()):
        assert found_in(b"before" + secret + b"after", [card], keys)
    assert found_in(card.masked.encode(), [card], keys) == []
