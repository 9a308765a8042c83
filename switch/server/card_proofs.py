"""What cards prove themselves with, asked of the HSM: taps that are opened, cryptograms of chip cards.

Card numbers come out of taps here and go into the request's keyed hash; none is kept, logged or told. That a
reading is a new one is the authorizer's to see.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from switch.authorizer.request import CHIP_COUNTER_BYTES, CHIP_PROOF_TAG, Tapped
from switch.hsm.crypto.ntag424 import SUN_MAC_BYTES, chip_identifier
from switch.hsm.port import Fault, Hsm, HsmError, Key
from switch.iso8583 import Message
from switch.iso8583.masks import luhn_valid

_BLOCK_BYTES = 16  # of a tap: PICC data, card number; then the MAC
NUMBER_DIGITS = 16  # of the cards that count: as many as fill the block, and as their identifier holds

# What a chip card's challenge is made of, as `terminal.flows.member` does it: fields and tags of DE 48 with
# their length, zeros where one is absent.
_CHALLENGE = "VAFA-CHIP1"
_PROVEN = (("3", 6), ("4", 12), ("11", 6), ("12", 6), ("13", 4), ("41", 8))
_PROVEN_TAGS = (("48.01", 12), ("48.0B", 19))
CHALLENGE_BYTES = 16


class CardProofs:
    """Checks them under these card master keys, the likeliest first."""

    def __init__(self, hsm: Hsm, masters: Sequence[Key]) -> None:
        self._hsm = hsm
        self._masters = masters

    async def tapped(self, message: Message, tap: bytes) -> Tapped:
        """The message with what its tap (48.15) says. Raises HsmError, also when there is no key to ask it
        about."""
        self._check_keys("tap_open")
        picc, data, mac = tap[:_BLOCK_BYTES], tap[_BLOCK_BYTES:-SUN_MAC_BYTES], tap[-SUN_MAC_BYTES:]
        for master in self._masters:
            opened = await self._hsm.tap_open(master, picc, mac, data)
            if opened is not None:
                return Tapped(message, _number_of(opened.file), opened.counter)
        return Tapped(message, "", 0)

    async def is_right(self, message: Message) -> bool:
        """Whether the cryptogram (48.16) is that of the chip card that DE 2 names, over this very message.
        Raises as `tapped`."""
        self._check_keys("chip_verify")
        number, proof = message.text("2"), message[f"48.{CHIP_PROOF_TAG}"]
        assert isinstance(proof, bytes)
        if len(number) != NUMBER_DIGITS:
            return False
        counter, said = int.from_bytes(proof[:CHIP_COUNTER_BYTES]), proof[CHIP_COUNTER_BYTES:]
        identifier, challenge = chip_identifier(number), challenge_of(message)
        for master in self._masters:
            if await self._hsm.chip_verify(master, identifier, counter, challenge, said):
                return True
        return False

    def _check_keys(self, operation: str) -> None:
        if not self._masters:
            raise HsmError(operation, Fault.UNSUPPORTED, "the key store has no card/master")


def challenge_of(message: Message) -> bytes:
    """What the chip card was asked to prove of this message: 16 bytes."""
    parts = [_CHALLENGE]
    for path, length in (*_PROVEN, *_PROVEN_TAGS):
        value = message.get(path)
        parts.append((value if isinstance(value, str) else "").rjust(length, "0"))
    return hashlib.sha256("".join(parts).encode("ascii")).digest()[:CHALLENGE_BYTES]


def _number_of(file: bytes) -> str:
    """The card number that fills the card's file; empty when that is none."""
    text = file.decode("latin-1")
    return text if text.isascii() and text.isdigit() and luhn_valid(text) else ""
