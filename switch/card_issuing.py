"""Keys of single chip and contactless cards, for whoever writes them: the HSM gives them under the transport
key of the card desk, which has it in a file of its own, as a terminal does.

Nothing of a card's keys is kept here, told or logged. Who may ask for them is the caller's to see.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from switch.hsm import KeyNotFound, KeyStore
from switch.hsm.crypto import key_blocks
from switch.hsm.crypto.key_blocks import KeyBlockError
from switch.hsm.crypto.ntag424 import CARD_KEY_USAGE, chip_identifier
from switch.hsm.port import Capability, CardKey, Hsm
from switch.keys import CARD_MASTER, KeysError, transport_key_name
from switch.settings import Settings

DESK = "CARDDESK"  # stands where a terminal's id stands in the name of a transport key
TRANSPORT_KEY_BYTES = 16
TAP_KEYS = (CardKey.TAP_META, CardKey.TAP_FILE)
CHIP_KEYS = (CardKey.AUTHENTICATION, CardKey.PROOF)

__all__ = ["CHIP_KEYS", "DESK", "TAP_KEYS", "card_keys", "chip_identifier", "desk_file", "desk_key"]


def desk_file(settings: Settings) -> Path:
    """Where the desk has its transport key, its owner's alone."""
    return settings.data / "cards" / "desk.json"


def desk_key(settings: Settings) -> bytes:
    """The desk's transport key. Raises KeysError."""
    path = desk_file(settings)
    try:
        key = bytes.fromhex(json.loads(path.read_text(encoding="ascii"))["transport_key"])
    except (OSError, ValueError, KeyError, TypeError):
        key = b""
    if len(key) != TRANSPORT_KEY_BYTES:
        raise KeysError(f"{path}: no transport key of the card desk; docs/cards.md says how one is made")
    return key


async def card_keys(
    hsm: Hsm, store: KeyStore, transport_key: bytes, identifier: bytes, kinds: Iterable[CardKey]
) -> Mapping[CardKey, bytes]:
    """These keys of the card with this identifier (7 bytes), in clear. Raises KeysError, HsmError."""
    if Capability.CARD_KEY not in hsm.capabilities:
        raise KeysError("this HSM gives no keys of single cards; use another one to issue cards")
    try:
        master, under = store.key(CARD_MASTER), store.key(transport_key_name(DESK))
    except KeyNotFound as error:
        raise KeysError(str(error)) from None
    keys = {}
    for kind in kinds:
        exported = await hsm.card_key(master, kind, identifier, under)
        try:
            opened = key_blocks.unwrap(transport_key, exported.block)
        except KeyBlockError:
            raise KeysError("the card desk's transport key is not the one that the key store has") from None
        if opened.header.usage != CARD_KEY_USAGE:
            raise KeysError("the HSM gave another kind of key")
        keys[kind] = opened.key
    return keys
