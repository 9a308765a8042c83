"""The contract of the HSM port, on every adapter that knows cards: CVV, taps, challenges."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from switch.hsm.crypto import key_blocks, ntag424
from switch.hsm.crypto.ciphers import aes_cbc_decrypt, aes_cbc_encrypt
from switch.hsm.crypto.ntag424 import Picc
from switch.hsm.port import Capability, CardKey, Fault, Key, KeyUse, OpenedTap, Tap
from tests.hsm.boxes import Box, for_boxes

VECTORS = Path(__file__).parent.parent / "vectors"
CVK = bytes.fromhex("0123456789ABCDEFFEDCBA9876543210")
CARD = "9364001234567890"
MASTER = bytes.fromhex("00112233445566778899AABBCCDDEEFF")
UID = bytes.fromhex("04DE5F1EACC040")

CVVS = json.loads((VECTORS / "crypto_verification.json").read_text())["cvv"]


# ---------------------------------------------------------------- card verification value


@for_boxes(Capability.CARD_VALUE)
@pytest.mark.parametrize("vector", CVVS, ids=lambda one: one["source"])
def test_the_card_value_is_the_published_one(box: Box, vector: dict[str, str]) -> None:
    key = box.key(KeyUse.CARD_VALUE, bytes.fromhex(vector["key"]))
    track = (vector["card"], vector["expiry"], vector["service"])
    assert box.run(box.hsm.card_value_generate(key, *track)) == vector["value"]
    assert box.run(box.hsm.card_value_verify(key, *track, vector["value"]))


@for_boxes(Capability.CARD_VALUE)
def test_only_the_right_card_value_verifies(box: Box) -> None:
    key = box.key(KeyUse.CARD_VALUE, CVK)
    value = box.run(box.hsm.card_value_generate(key, CARD, "2912", "101"))
    assert box.run(box.hsm.card_value_verify(key, CARD, "2912", "101", value))
    others = [f"{number:03}" for number in range(0, 1000, 37) if f"{number:03}" != value]
    for wrong in ["", value[:2], value + "0", "abc", "۱۲۳", *others]:
        assert not box.run(box.hsm.card_value_verify(key, CARD, "2912", "101", wrong)), wrong
    for track in ((CARD[:-1] + "1", "2912", "101"), (CARD, "2911", "101"), (CARD, "2912", "102")):
        assert box.run(box.hsm.card_value_generate(key, *track)) != value


@for_boxes(Capability.CARD_VALUE)
@pytest.mark.parametrize(
    "track",
    [
        ("", "2912", "101"),
        (CARD, "291", "101"),
        (CARD, "29122", "101"),
        (CARD, "2912", "10"),
        (CARD, "2912", "1011"),
        (CARD, "29a2", "101"),
        (CARD + ";", "2912", "101"),
        ("1" * 20, "2912", "101"),
        ("1" * 11, "2912", "101"),
    ],
)
def test_what_is_no_track_is_refused(box: Box, track: tuple[str, str, str]) -> None:
    key = box.key(KeyUse.CARD_VALUE, CVK)
    assert box.fault_of(box.hsm.card_value_generate(key, *track)) is Fault.BAD_INPUT
    assert box.fault_of(box.hsm.card_value_verify(key, *track, "123")) is Fault.BAD_INPUT


@for_boxes(Capability.CARD_VALUE)
@pytest.mark.parametrize("digits", [12, 15, 16, 19])
def test_cards_of_every_length_have_values(box: Box, digits: int) -> None:
    key, card = box.key(KeyUse.CARD_VALUE, CVK), "9364001234567890123"[:digits]
    value = box.run(box.hsm.card_value_generate(key, card, "2912", "101"))
    assert box.run(box.hsm.card_value_verify(key, card, "2912", "101", value))


# ---------------------------------------------------------------- taps


def tap_of(
    identifier: bytes, counter: int, mirrored: bytes = b"", master: bytes = MASTER
) -> tuple[bytes, bytes]:
    """What a card with keys of this master sends: enciphered PICC data, SDMMAC."""
    clear = b"\xc7" + identifier + counter.to_bytes(3, "little") + os.urandom(5)
    picc = Picc(identifier, counter)
    mac = ntag424.sun_mac(ntag424.file_key(master, identifier), picc, mirrored)
    return aes_cbc_encrypt(ntag424.meta_key(master), clear), mac


def master_key(box: Box) -> Key:
    return box.key(KeyUse.CARD_MASTER, MASTER)


@for_boxes(Capability.CARD_TAP)
@pytest.mark.parametrize("counter", [0, 1, 61, 0xFFFF, 0xFFFFFF])
@pytest.mark.parametrize("mirrored", [b"", b"serial=%00;#", bytes(256)], ids=len)
def test_a_genuine_tap_says_who_and_how_often(box: Box, counter: int, mirrored: bytes) -> None:
    enciphered, mac = tap_of(UID, counter, mirrored)
    tap = box.run(box.hsm.tap_verify(master_key(box), enciphered, mac, mirrored))
    assert tap == Tap(UID, counter)


@for_boxes(Capability.CARD_TAP)
def test_a_tap_with_any_bit_changed_is_not_genuine(box: Box) -> None:
    enciphered, mac = tap_of(UID, 7, b"mirrored")
    key = master_key(box)
    for at in range(16):
        changed = enciphered[:at] + bytes((enciphered[at] ^ 1,)) + enciphered[at + 1 :]
        assert box.run(box.hsm.tap_verify(key, changed, mac, b"mirrored")) is None
    for at in range(8):
        changed = mac[:at] + bytes((mac[at] ^ 0x80,)) + mac[at + 1 :]
        assert box.run(box.hsm.tap_verify(key, enciphered, changed, b"mirrored")) is None
    assert box.run(box.hsm.tap_verify(key, enciphered, mac, b"mirrore")) is None
    assert box.run(box.hsm.tap_verify(key, enciphered, mac)) is None


@for_boxes(Capability.CARD_TAP)
def test_a_tap_of_another_shape_or_master_is_not_genuine(box: Box) -> None:
    enciphered, mac = tap_of(UID, 7)
    key = master_key(box)
    for block in (b"", enciphered[:15], enciphered + b"\0", enciphered * 2):
        assert box.run(box.hsm.tap_verify(key, block, mac)) is None
    for tag in (b"", mac[:7], mac + b"\0", bytes(8)):
        assert box.run(box.hsm.tap_verify(key, enciphered, tag)) is None
    assert box.run(box.hsm.tap_verify(key, *tap_of(UID, 7, master=MASTER[::-1]))) is None
    other_enciphered, _ = tap_of(UID, 8)
    assert box.run(box.hsm.tap_verify(key, other_enciphered, mac)) is None


@for_boxes(Capability.CARD_TAP)
def test_a_card_mirrors_no_more_than_its_file(box: Box) -> None:
    call = box.hsm.tap_verify(master_key(box), *tap_of(UID, 1), bytes(257))
    assert box.fault_of(call) is Fault.BAD_INPUT


# ---------------------------------------------------------------- taps with a card number


def opened_of(identifier: bytes, counter: int, file: bytes = CARD.encode()) -> tuple[bytes, bytes, bytes]:
    """What one of our cards sends: enciphered PICC data, SDMMAC, enciphered file data."""
    picc = Picc(identifier, counter)
    data = ntag424.seal_file_data(ntag424.file_key(MASTER, identifier), picc, file)
    return *tap_of(identifier, counter, ntag424.mirrored_of(data)), data


@for_boxes(Capability.CARD_TAP)
def test_a_genuine_tap_is_opened(box: Box) -> None:
    opened = box.run(box.hsm.tap_open(master_key(box), *opened_of(UID, 0xFFFFFF)))
    assert opened == OpenedTap(UID, 0xFFFFFF, CARD.encode())
    assert CARD not in repr(opened)


@for_boxes(Capability.CARD_TAP)
def test_a_tap_with_a_changed_part_is_not_opened(box: Box) -> None:
    key, parts = master_key(box), opened_of(UID, 7)
    for part in range(3):
        for at in range(len(parts[part])):
            changed = bytearray(parts[part])
            changed[at] ^= 1 << at % 8
            given = [*parts[:part], bytes(changed), *parts[part + 1 :]]
            assert box.run(box.hsm.tap_open(key, *given)) is None, (part, at)
    other = opened_of(UID[::-1], 7)
    for part in range(3):  # of another card of ours
        given = [*parts[:part], other[part], *parts[part + 1 :]]
        assert box.run(box.hsm.tap_open(key, *given)) is None, part
    assert box.run(box.hsm.tap_open(key, parts[0], parts[1], parts[2] * 2)) is None
    assert box.run(box.hsm.tap_open(box.key(KeyUse.CARD_MASTER, MASTER[::-1]), *parts)) is None


# ---------------------------------------------------------------- cryptograms


@for_boxes(Capability.CARD_PROOF)
@pytest.mark.parametrize("counter", [0, 1, 0xFFFFFFFF])
def test_only_the_cards_own_cryptogram_verifies(box: Box, counter: int) -> None:
    key, challenge = master_key(box), bytes(range(16))
    said = ntag424.cryptogram(ntag424.proof_key(MASTER, UID), counter, challenge)
    verify = box.hsm.chip_verify
    assert box.run(verify(key, UID, counter, challenge, said))
    assert not box.run(verify(key, UID, counter ^ 1, challenge, said))
    assert not box.run(verify(key, UID[::-1], counter, challenge, said))
    assert not box.run(verify(key, UID, counter, challenge[::-1], said))
    for wrong in (b"", said[:7], said + b"\0", bytes(8)):
        assert not box.run(verify(key, UID, counter, challenge, wrong))
    for at in range(8):
        assert not box.run(verify(key, UID, counter, challenge, said[:at] + bytes(1) + said[at + 1 :])) or (
            said[at] == 0
        )


@for_boxes(Capability.CARD_PROOF)
def test_what_is_no_cryptogram_is_refused(box: Box) -> None:
    key, verify = master_key(box), box.hsm.chip_verify
    for identifier, counter, challenge in (
        (UID[:6], 1, bytes(16)),
        (UID, -1, bytes(16)),
        (UID, 1 << 32, bytes(16)),
    ):
        assert box.fault_of(verify(key, identifier, counter, challenge, bytes(8))) is Fault.BAD_INPUT
    assert box.fault_of(verify(key, UID, 1, bytes(15), bytes(8))) is Fault.BAD_INPUT


@for_boxes(Capability.CARD_KEY)
@pytest.mark.parametrize("kind", list(CardKey))
def test_a_cards_key_leaves_only_under_a_transport_key(box: Box, kind: CardKey) -> None:
    transport = bytes(range(32, 48))
    under = box.key(KeyUse.TRANSPORT, transport)
    exported = box.run(box.hsm.card_key(master_key(box), kind, UID, under))
    header, key = key_blocks.unwrap(transport, exported.block)
    assert (header.version, header.usage, header.exportability) == ("D", "14", "N")
    assert key == ntag424.card_key(MASTER, kind.value, UID)
    assert box.fault_of(box.hsm.card_key(master_key(box), kind, UID, master_key(box))) is Fault.KEY_USE
    assert box.fault_of(box.hsm.card_key(under, kind, UID, under)) is Fault.KEY_USE
    assert box.fault_of(box.hsm.card_key(master_key(box), kind, UID[:6], under)) is Fault.BAD_INPUT


# ---------------------------------------------------------------- challenges


class Card:
    """The card's side of AuthenticateEV2First."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._random = os.urandom(16)

    def challenge(self) -> bytes:
        return aes_cbc_encrypt(self._key, self._random)

    def reply(self, to_card: bytes) -> bytes:
        clear = aes_cbc_decrypt(self._key, to_card)
        theirs, mine = clear[:16], clear[16:]
        assert mine == self._random[1:] + self._random[:1], "the terminal's side doesn't know the card's key"
        return aes_cbc_encrypt(self._key, os.urandom(4) + theirs[1:] + theirs[:1] + bytes(12))


def a_card(identifier: bytes = UID) -> Card:
    return Card(ntag424.authentication_key(MASTER, identifier))


@for_boxes(Capability.CARD_CHALLENGE)
def test_a_card_that_knows_its_key_is_confirmed(box: Box) -> None:
    key, card = master_key(box), a_card()
    challenge = box.run(box.hsm.card_challenge(key, UID, card.challenge()))
    assert len(challenge.to_card) == 32
    assert box.run(box.hsm.card_confirm(key, UID, challenge.state, card.reply(challenge.to_card)))


@for_boxes(Capability.CARD_CHALLENGE)
def test_a_card_that_does_not_prove_its_key_is_not(box: Box) -> None:
    key, card = master_key(box), a_card()
    first = box.run(box.hsm.card_challenge(key, UID, card.challenge()))
    reply = card.reply(first.to_card)
    second = box.run(box.hsm.card_challenge(key, UID, card.challenge()))
    foreign = aes_cbc_encrypt(bytes(16), bytes(32))
    for wrong in (bytes(32), foreign, reply[::-1], first.to_card, b"", reply[:16], reply + bytes(16)):
        assert not box.run(box.hsm.card_confirm(key, UID, first.state, wrong))
    assert not box.run(box.hsm.card_confirm(key, UID, second.state, reply)), "the reply to another challenge"
    other_master = box.key(KeyUse.CARD_MASTER, MASTER[::-1])
    other_card = bytes(7)
    for call in (
        box.hsm.card_confirm(other_master, UID, first.state, reply),
        box.hsm.card_confirm(key, other_card, first.state, reply),
    ):
        assert box.fault_of(call) is Fault.BAD_INPUT


@for_boxes(Capability.CARD_CHALLENGE)
def test_a_challenges_state_tells_nothing_and_can_not_be_changed(box: Box) -> None:
    key, card = master_key(box), a_card()
    challenge = box.run(box.hsm.card_challenge(key, UID, card.challenge()))
    reply = card.reply(challenge.to_card)
    state = challenge.state
    ours = aes_cbc_decrypt(ntag424.authentication_key(MASTER, UID), challenge.to_card)[:16]
    assert ours not in state
    for at in range(len(state)):
        changed = state[:at] + bytes((state[at] ^ 1,)) + state[at + 1 :]
        assert box.fault_of(box.hsm.card_confirm(key, UID, changed, reply)) is Fault.BAD_INPUT


@for_boxes(Capability.CARD_CHALLENGE)
def test_what_is_no_challenge_is_refused(box: Box) -> None:
    key, hsm = master_key(box), box.hsm
    for identifier, enciphered in ((b"", bytes(16)), (bytes(8), bytes(16)), (UID, b""), (UID, bytes(15))):
        assert box.fault_of(hsm.card_challenge(key, identifier, enciphered)) is Fault.BAD_INPUT
    for identifier, state in ((bytes(6), bytes(44)), (UID, b""), (UID, bytes(256))):
        assert box.fault_of(hsm.card_confirm(key, identifier, state, bytes(32))) is Fault.BAD_INPUT
