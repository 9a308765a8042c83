"""Contactless and chip cards of the simulation: the keys that an installation gives a card of its own, and
what the devices on a simulated counter are told of it.

Keys are made in the HSM that the settings name, and come out under the transport key of one of the
installation's simulated terminals, as they would for an issuing desk.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from simulators.cards import Card
from simulators.control import JsonObject
from switch.hsm.crypto import key_blocks
from switch.hsm.crypto.ntag424 import chip_identifier
from switch.hsm.port import CardKey
from switch.keys import CARD_MASTER, KeysError, open_hsm, open_store, transport_key_name
from switch.settings import Settings

_MAKER: Final = b"\x04"  # NXP's, first byte of an UID of 7


class SmartCard(NamedTuple):
    """What is loaded into one card, all of its keys; the UID it shows on a contactless reader."""

    card: Card
    uid: bytes
    meta: bytes
    file: bytes
    authentication: bytes
    proof: bytes

    def __repr__(self) -> str:
        return f"SmartCard({self.card.masked})"

    def to_tap(self, counter: int) -> JsonObject:
        """The request that lays it on the contactless reader."""
        return {
            "do": "tap",
            "uid": self.uid.hex(),
            "number": self.card.number,
            "meta": self.meta.hex(),
            "file": self.file.hex(),
            "counter": counter,
        }

    def to_insert(self, counter: int) -> JsonObject:
        """The request that puts it into the chip reader."""
        return {
            "do": "insert",
            "identifier": chip_identifier(self.card.number).hex(),
            "track_2": self.card.track_2,
            "key": self.authentication.hex(),
            "proof_key": self.proof.hex(),
            "counter": counter,
        }


async def made(settings: Settings, data: Path, card: Card) -> SmartCard:
    """This card as the installation in the directory `data` issues it. Raises KeysError, HsmError."""
    store = open_store(settings)
    if CARD_MASTER not in store.names():
        raise KeysError(f"{settings.hsm.key_store}: no {CARD_MASTER}, which the keys of cards come from")
    known = (one for one in _transport_keys(data) if transport_key_name(one[0]) in store.names())
    terminal, transport = next(known, ("", b""))
    if not terminal:
        raise KeysError(f"{data}: no terminal whose transport key is known; keys of cards travel under one")
    uid = _MAKER + hashlib.sha256(card.number.encode("ascii")).digest()[:6]
    hsm = await open_hsm(settings)
    try:
        master, under = store.key(CARD_MASTER), store.key(transport_key_name(terminal))
        keys = []
        for kind in CardKey:
            is_tap = kind in (CardKey.TAP_META, CardKey.TAP_FILE)
            exported = await hsm.card_key(
                master, kind, uid if is_tap else chip_identifier(card.number), under
            )
            keys.append(key_blocks.unwrap(transport, exported.block).key)
    finally:
        await hsm.close()
    return SmartCard(card, uid, *keys)


def _transport_keys(data: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted((data / "terminals").glob("*.json")):
        try:
            yield path.stem, bytes.fromhex(json.loads(path.read_text("utf-8"))["transport_key"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
