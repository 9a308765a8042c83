"""NTAG 424 DNA: diversified keys (NXP AN10922), SUN messages (AN12196) and mutual authentication; and the
cryptograms of our own chip cards, whose keys come from the same master.

Keys of single cards come from one master; nothing of a card is stored here. A read counter that doesn't rise
is the caller's to refuse.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from switch.hsm.crypto.ciphers import (
    AES_BLOCK_BYTES,
    aes_cbc_decrypt,
    aes_cbc_encrypt,
    aes_ecb_encrypt,
    same,
    xor,
)
from switch.hsm.crypto.macs import cmac

IDENTIFIER_BYTES = 7
SUN_MAC_BYTES = 8
RANDOM_BYTES = 16
REPLY_BYTES = 32
STATE_BYTES = 12 + RANDOM_BYTES + 16  # nonce, our random number, tag
CHALLENGE_BYTES = 16
CHIP_COUNTER_BYTES = 4
CRYPTOGRAM_BYTES = 8
CARD_KEY_USAGE = "14"  # ours, of an X9.143 block: one key of one card, on its way there

_PICC_TAG = 0xC7  # mirrors a 7-byte UID and the read counter
_COUNTER_BYTES = 3
_LONGEST_INPUT = 31  # bytes of a diversification input
_FILE_MAC_LABEL = bytes.fromhex("3CC300010080")
_FILE_CIPHER_LABEL = bytes.fromhex("C33C00010080")
_SESSION_CIPHER_LABEL = bytes.fromhex("A55A00010080")
_SESSION_MAC_LABEL = bytes.fromhex("5AA500010080")

# Our diversification inputs: one meta key for all cards (it opens a message before the card is known), all
# others by card.
_META_INPUT = b"VAFA-META"
_FILE_PREFIX = b"\x01"
_AUTHENTICATION_PREFIX = b"\x02"
_STATE_PREFIX = b"\x03"
_PROOF_PREFIX = b"\x04"
_SYSTEM = b"VAFA"

Random = Callable[[int], bytes]


class Picc(NamedTuple):
    """What a card says of itself when it is read. counter: how often it was."""

    identifier: bytes
    counter: int


class Session(NamedTuple):
    """The outcome of AuthenticateEV2First: transaction identifier (4 bytes) and both session keys."""

    transaction: bytes
    cipher_key: bytes
    mac_key: bytes

    def __repr__(self) -> str:
        return "Session(hidden)"


# ---------------------------------------------------------------- keys


def diversified_key(master: bytes, diversification: bytes) -> bytes:
    """An AES-128 key from a 16-byte master and 1 to 31 bytes (AN10922 clause 2.2). Raises ValueError."""
    if not 1 <= len(diversification) <= _LONGEST_INPUT:
        raise ValueError(f"a diversification input has 1 to {_LONGEST_INPUT} bytes")
    if len(master) != AES_BLOCK_BYTES:
        raise ValueError(f"an AES-128 master has {AES_BLOCK_BYTES} bytes, not {len(master)}")
    data = b"\x01" + diversification
    if len(data) > AES_BLOCK_BYTES:
        return cmac(master, data)
    # AN10922 fills up to two blocks where CMAC would stop after one, and takes CMAC's second subkey.
    filled = (data + b"\x80").ljust(2 * AES_BLOCK_BYTES, b"\0")
    last = xor(filled[AES_BLOCK_BYTES:], _second_subkey(master))
    return aes_cbc_encrypt(master, filled[:AES_BLOCK_BYTES] + last)[AES_BLOCK_BYTES:]


def meta_key(master: bytes) -> bytes:
    return diversified_key(master, _META_INPUT)


def file_key(master: bytes, identifier: bytes) -> bytes:
    return diversified_key(master, _of_card(_FILE_PREFIX, identifier))


def authentication_key(master: bytes, identifier: bytes) -> bytes:
    return diversified_key(master, _of_card(_AUTHENTICATION_PREFIX, identifier))


def proof_key(master: bytes, identifier: bytes) -> bytes:
    return diversified_key(master, _of_card(_PROOF_PREFIX, identifier))


def card_key(master: bytes, kind: str, identifier: bytes) -> bytes:
    """A card's key by the letter that host commands name it with: M, F, A or P."""
    if kind == "M":
        return meta_key(master)
    return {"F": file_key, "A": authentication_key, "P": proof_key}[kind](master, identifier)


# ---------------------------------------------------------------- SUN


def open_picc(key: bytes, enciphered: bytes) -> Picc | None:
    """UID and read counter from the 16 enciphered bytes of a SUN message, under the meta key. None: they are
    not what a card of ours mirrors."""
    if len(enciphered) != AES_BLOCK_BYTES:
        return None
    data = aes_cbc_decrypt(key, enciphered)
    if data[0] != _PICC_TAG:
        return None
    return Picc(data[1:8], int.from_bytes(data[8:11], "little"))


def sun_mac(key: bytes, picc: Picc, mirrored: bytes = b"") -> bytes:
    """The 8-byte SDMMAC under a card's file key over what it mirrors behind the MAC's input offset."""
    session = cmac(key, _FILE_MAC_LABEL + picc.identifier + picc.counter.to_bytes(_COUNTER_BYTES, "little"))
    return _shortened(cmac(session, mirrored))


def mirrored_of(file_data: bytes) -> bytes:
    """What the MAC of our cards' links covers: the letters `HEX&m=` of the enciphered file data."""
    return file_data.hex().upper().encode("ascii") + b"&m="


def open_file_data(key: bytes, picc: Picc, enciphered: bytes) -> bytes:
    """The clear part of a mirrored file (SDMENCFileData) under a card's file key. Raises ValueError for
    anything but whole blocks."""
    session, vector = _file_session(key, picc)
    return aes_cbc_decrypt(session, enciphered, vector)


def seal_file_data(key: bytes, picc: Picc, clear: bytes) -> bytes:
    """Opposite of open_file_data, as a card does it."""
    session, vector = _file_session(key, picc)
    return aes_cbc_encrypt(session, clear, vector)


def open_tap(master: bytes, enciphered: bytes, mac: bytes, file_data: bytes) -> tuple[Picc, bytes] | None:
    """Who tapped and the file data in clear, when the message of one of our links is genuine; else None."""
    if len(file_data) != AES_BLOCK_BYTES:
        return None
    picc = verify_tap(master, enciphered, mac, mirrored_of(file_data))
    return (
        None if picc is None else (picc, open_file_data(file_key(master, picc.identifier), picc, file_data))
    )


def verify_tap(master: bytes, enciphered: bytes, mac: bytes, mirrored: bytes = b"") -> Picc | None:
    """Who tapped, when the SUN message is genuine under keys of this master; else None."""
    picc = open_picc(meta_key(master), enciphered)
    # A message that can't be opened costs the same steps as one that can.
    asked = picc or Picc(bytes(IDENTIFIER_BYTES), 0)
    expected = sun_mac(file_key(master, asked.identifier), asked, mirrored)
    genuine = len(mac) == SUN_MAC_BYTES and same(expected, mac)
    return picc if genuine else None


# ---------------------------------------------------------------- our chip cards


def cryptogram(key: bytes, counter: int, challenge: bytes) -> bytes:
    """What a chip card says to a challenge (16 bytes): AES-CMAC under its proof key over its counter (4
    bytes) and the challenge, left 8 bytes."""
    return cmac(key, counter.to_bytes(CHIP_COUNTER_BYTES) + challenge)[:CRYPTOGRAM_BYTES]


def verify_cryptogram(master: bytes, identifier: bytes, counter: int, challenge: bytes, said: bytes) -> bool:
    expected = cryptogram(proof_key(master, identifier), counter, challenge)
    return len(said) == CRYPTOGRAM_BYTES and same(expected, said)


def chip_identifier(number: str) -> bytes:
    """What the keys of the chip card with this number (up to 16 digits) come from, 7 bytes."""
    return int(number).to_bytes(IDENTIFIER_BYTES)


# ---------------------------------------------------------------- AuthenticateEV2First


def answer_challenge(key: bytes, enciphered: bytes, ours: bytes) -> tuple[bytes, bytes]:
    """The 32 bytes that answer a card's enciphered random number (16 bytes), with our own (16 bytes); and the
    card's number in clear. Raises ValueError."""
    if len(enciphered) != RANDOM_BYTES or len(ours) != RANDOM_BYTES:
        raise ValueError(f"the random numbers of an authentication have {RANDOM_BYTES} bytes")
    theirs = aes_cbc_decrypt(key, enciphered)
    return aes_cbc_encrypt(key, ours + _rotated(theirs)), theirs


def session_of(key: bytes, ours: bytes, theirs: bytes, reply: bytes) -> Session | None:
    """The session, when the card's 32-byte reply shows our random number; else None."""
    transaction = _transaction_of(key, ours, reply)
    if transaction is None:
        return None
    mixed = ours[:2] + xor(ours[2:8], theirs[:6]) + theirs[6:] + ours[8:]
    return Session(
        transaction, cmac(key, _SESSION_CIPHER_LABEL + mixed), cmac(key, _SESSION_MAC_LABEL + mixed)
    )


def challenge(
    master: bytes, identifier: bytes, enciphered: bytes, random: Random = os.urandom
) -> tuple[bytes, bytes]:
    """What to send to the card, and a sealed state for `confirm`. Raises ValueError."""
    ours = random(RANDOM_BYTES)
    to_card, _theirs = answer_challenge(authentication_key(master, identifier), enciphered, ours)
    nonce = random(12)
    return to_card, nonce + AESGCM(_state_key(master, identifier)).encrypt(nonce, ours, None)


def confirm(master: bytes, identifier: bytes, state: bytes, reply: bytes) -> bool:
    """Whether the card's reply proves its key. Raises ValueError for a state that was not sealed for this
    card."""
    try:
        ours = AESGCM(_state_key(master, identifier)).decrypt(state[:12], state[12:], None)
    except (InvalidTag, ValueError):
        raise ValueError("the state was not made for this card") from None
    return _transaction_of(authentication_key(master, identifier), ours, reply) is not None


def _transaction_of(key: bytes, ours: bytes, reply: bytes) -> bytes | None:
    if len(reply) != REPLY_BYTES:
        return None
    clear = aes_cbc_decrypt(key, reply)
    return clear[:4] if same(clear[4:20], _rotated(ours)) else None


# ---------------------------------------------------------------- small parts


def _of_card(prefix: bytes, identifier: bytes) -> bytes:
    if len(identifier) != IDENTIFIER_BYTES:
        raise ValueError(f"a card's UID has {IDENTIFIER_BYTES} bytes, not {len(identifier)}")
    return prefix + identifier + _SYSTEM


def _file_session(key: bytes, picc: Picc) -> tuple[bytes, bytes]:
    """Key and vector that a card's mirrored file is enciphered with (SesSDMFileReadENCKey)."""
    counter = picc.counter.to_bytes(_COUNTER_BYTES, "little")
    session = cmac(key, _FILE_CIPHER_LABEL + picc.identifier + counter)
    return session, aes_ecb_encrypt(session, counter.ljust(AES_BLOCK_BYTES, b"\0"))


def _state_key(master: bytes, identifier: bytes) -> bytes:
    return diversified_key(master, _of_card(_STATE_PREFIX, identifier))


def _second_subkey(key: bytes) -> bytes:
    """CMAC's K2: the enciphered zero block, doubled twice in its field."""
    value = int.from_bytes(aes_ecb_encrypt(key, bytes(AES_BLOCK_BYTES)))
    for _ in range(2):
        value = (value << 1 & (1 << 128) - 1) ^ (0x87 if value >> 127 else 0)
    return value.to_bytes(AES_BLOCK_BYTES)


def _shortened(mac: bytes) -> bytes:
    return mac[1::2]


def _rotated(value: bytes) -> bytes:
    return value[1:] + value[:1]
