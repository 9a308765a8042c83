"""The contract of the HSM port, on every adapter that knows PINs: translate, PVV, our own verifier."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import pytest

from switch.hsm.crypto import pin_blocks
from switch.hsm.crypto.ciphers import tdes_ecb_decrypt, tdes_ecb_encrypt
from switch.hsm.crypto.dukpt_aes import Usage, initial_key, working_key
from switch.hsm.crypto.macs import cmac
from switch.hsm.port import Capability, DukptPin, EncipheredPin, Fault, Key, KeyUse, PinFormat, ZonePin
from tests.hsm.boxes import Box, for_boxes

VECTORS = Path(__file__).parent.parent / "vectors"
BASE_KEY = bytes.fromhex("FEDCBA9876543210F1F1F1F1F1F1F1F1")
SERIAL = bytes.fromhex("123456789012345600000001")
AES_ZONE_KEY = bytes(range(16))
TDES_ZONE_KEY = bytes.fromhex("0123456789ABCDEFFEDCBA9876543210")
PVK = bytes.fromhex("0123456789ABCDEFFEDCBA9876543210")
CARD = "9364001234567890"
OTHER_CARD = "9364001234567908"
PIN = "1234"
BINDING = b"member 1"
NUMBERS = {PinFormat.ISO_0: 0, PinFormat.ISO_1: 1, PinFormat.ISO_3: 3}
BOUND = (PinFormat.ISO_0, PinFormat.ISO_3, PinFormat.ISO_4)


def zone_key(box: Box, pin_format: PinFormat) -> Key:
    if pin_format is PinFormat.ISO_4:
        return box.key(KeyUse.PIN, AES_ZONE_KEY, letter="A")
    return box.key(KeyUse.PIN, TDES_ZONE_KEY, letter="T")


def block_of(pin_format: PinFormat, pin: str = PIN, card: str = CARD) -> bytes:
    if pin_format is PinFormat.ISO_4:
        return pin_blocks.seal_iso_4(AES_ZONE_KEY, pin, card)
    return tdes_ecb_encrypt(TDES_ZONE_KEY, pin_blocks.encode(NUMBERS[pin_format], pin, card))


def pin_in(pin_format: PinFormat, block: bytes, card: str = CARD) -> str:
    if pin_format is PinFormat.ISO_4:
        return pin_blocks.open_iso_4(AES_ZONE_KEY, block, card)
    return pin_blocks.decode(NUMBERS[pin_format], tdes_ecb_decrypt(TDES_ZONE_KEY, block), card)


def zone_pin(
    box: Box, pin: str = PIN, card: str = CARD, pin_format: PinFormat = PinFormat.ISO_4
) -> EncipheredPin:
    return ZonePin(zone_key(box, pin_format), block_of(pin_format, pin, card), pin_format)


def dukpt_pin(box: Box, pin: str = PIN, card: str = CARD, serial: bytes = SERIAL) -> EncipheredPin:
    key = working_key(initial_key(BASE_KEY, serial[:8]), serial, Usage.PIN)
    base = box.key(KeyUse.BASE_DERIVATION, BASE_KEY)
    return DukptPin(base, serial, pin_blocks.seal_iso_4(key, pin, card))


def verifier_key(box: Box) -> Key:
    return box.key(KeyUse.PIN_VERIFIER, bytes(range(16)))


# ---------------------------------------------------------------- our own verifier


@for_boxes(Capability.PIN_VERIFIER)
@pytest.mark.parametrize("pin", ["0000", "1234", "99999", "123456", "123456789012"])
def test_the_verifier_is_the_cmac_of_binding_and_pin(box: Box, pin: str) -> None:
    expected = cmac(bytes(range(16)), b"vafa pin 1" + bytes((len(BINDING),)) + BINDING + pin.encode())
    made = box.run(box.hsm.pin_verifier(dukpt_pin(box, pin), CARD, verifier_key(box), BINDING))
    assert made == expected
    for source in (dukpt_pin(box, pin), *(zone_pin(box, pin, pin_format=one) for one in BOUND)):
        assert box.run(box.hsm.pin_verify(source, CARD, verifier_key(box), BINDING, expected))


@for_boxes(Capability.PIN_VERIFIER, Capability.DUKPT_PIN)
def test_another_pin_binding_or_verifier_is_wrong(box: Box) -> None:
    key, hsm = verifier_key(box), box.hsm
    made = box.run(hsm.pin_verifier(dukpt_pin(box), CARD, key, BINDING))
    for pin in ("1235", "4321", "12345", "0000"):
        assert not box.run(hsm.pin_verify(dukpt_pin(box, pin), CARD, key, BINDING, made))
    for binding in (b"member 2", BINDING + b"\0", b"1", bytes(255)):
        assert not box.run(hsm.pin_verify(dukpt_pin(box), CARD, key, binding, made))
    for wrong in (bytes(16), made[::-1], made[:-1] + bytes((made[-1] ^ 1,))):
        assert not box.run(hsm.pin_verify(dukpt_pin(box), CARD, key, BINDING, wrong))
    other_key = box.key(KeyUse.PIN_VERIFIER, bytes(range(1, 17)))
    assert not box.run(hsm.pin_verify(dukpt_pin(box), CARD, other_key, BINDING, made))


@for_boxes(Capability.PIN_VERIFIER)
def test_a_verifier_outlives_the_card(box: Box) -> None:
    made = box.run(box.hsm.pin_verifier(dukpt_pin(box), CARD, verifier_key(box), BINDING))
    replaced = dukpt_pin(box, card=OTHER_CARD)
    assert box.run(box.hsm.pin_verify(replaced, OTHER_CARD, verifier_key(box), BINDING, made))


@for_boxes(Capability.PIN_VERIFIER)
@pytest.mark.parametrize("size", [0, 256])
def test_a_binding_has_its_limits(box: Box, size: int) -> None:
    call = box.hsm.pin_verifier(dukpt_pin(box), CARD, verifier_key(box), bytes(size))
    assert box.fault_of(call) is Fault.BAD_INPUT


@for_boxes(Capability.PIN_VERIFIER)
@pytest.mark.parametrize("size", [0, 8, 15, 17, 32])
def test_what_is_no_verifier_is_refused(box: Box, size: int) -> None:
    call = box.hsm.pin_verify(dukpt_pin(box), CARD, verifier_key(box), BINDING, bytes(size))
    assert box.fault_of(call) is Fault.BAD_INPUT


# ---------------------------------------------------------------- bad blocks


def bad_pins(box: Box) -> list[EncipheredPin]:
    """Blocks in which there is no PIN for this card."""
    base = box.key(KeyUse.BASE_DERIVATION, BASE_KEY)
    good = dukpt_pin(box).block
    garbage = [DukptPin(base, SERIAL, block) for block in (bytes(16), good[::-1], good[1:] + good[:1])]
    sizes = [DukptPin(base, SERIAL, block) for block in (b"", good[:8], good[:15], good + b"\0")]
    clear_lengths = [
        ZonePin(zone_key(box, PinFormat.ISO_0), tdes_ecb_encrypt(TDES_ZONE_KEY, bytes.fromhex(block)), one)
        for block, one in (
            ("0312BFFFFFFFFFFF", PinFormat.ISO_0),
            ("0F12345678901234", PinFormat.ISO_0),
            ("3312BFFFFFFFFFFF", PinFormat.ISO_3),
            ("FFFFFFFFFFFFFFFF", PinFormat.ISO_3),
        )
    ]
    other_card = [zone_pin(box, card=OTHER_CARD, pin_format=one) for one in BOUND]
    other_serial = DukptPin(base, SERIAL[:-1] + b"\x02", good)
    return [
        *garbage,
        *sizes,
        *clear_lengths,
        *other_card,
        dukpt_pin(box, card=OTHER_CARD),
        other_serial,
        ZonePin(zone_key(box, PinFormat.ISO_4), block_of(PinFormat.ISO_0), PinFormat.ISO_4),
        ZonePin(zone_key(box, PinFormat.ISO_0), block_of(PinFormat.ISO_0), PinFormat.ISO_3),
    ]


@for_boxes(Capability.PIN_VERIFIER, Capability.PIN_VALUE, Capability.PIN_TRANSLATE)
def test_a_bad_block_is_one_whatever_it_is_for(box: Box) -> None:
    verifier, hsm = verifier_key(box), box.hsm
    value_key, target = box.key(KeyUse.PIN_VALUE, PVK), zone_key(box, PinFormat.ISO_4)
    for pin in bad_pins(box):
        for call in (
            hsm.pin_verifier(pin, CARD, verifier, BINDING),
            hsm.pin_verify(pin, CARD, verifier, BINDING, bytes(16)),
            hsm.pin_value_verify(pin, CARD, value_key, 1, "1234"),
            hsm.pin_translate(pin, CARD, target, PinFormat.ISO_4),
        ):
            assert box.fault_of(call) is Fault.BAD_PIN_BLOCK, pin


@for_boxes(Capability.PIN_VERIFIER)
@pytest.mark.parametrize("card", ["", "1" * 20, "93640012345678 0", "936400123456789A", "۹۳۶۴۰۰۱۲۳۴۵۶۷۸۹۰"])
def test_what_is_no_card_number_is_refused(box: Box, card: str) -> None:
    call = box.hsm.pin_verifier(dukpt_pin(box), card, verifier_key(box), BINDING)
    assert box.fault_of(call) is Fault.BAD_INPUT


@for_boxes(Capability.PIN_VERIFIER)
@pytest.mark.parametrize("card", ["1", "12345678", "936400123456", "9364001234567890123"])
def test_cards_of_every_length_have_pins(box: Box, card: str) -> None:
    made = box.run(box.hsm.pin_verifier(dukpt_pin(box, card=card), card, verifier_key(box), BINDING))
    source = zone_pin(box, card=card)
    assert box.run(box.hsm.pin_verify(source, card, verifier_key(box), BINDING, made))


@for_boxes(Capability.PIN_VERIFIER, Capability.PIN_VALUE, Capability.PIN_TRANSLATE)
def test_a_block_that_is_bound_to_no_card_is_not_taken(box: Box) -> None:
    pin = ZonePin(zone_key(box, PinFormat.ISO_1), block_of(PinFormat.ISO_1), PinFormat.ISO_1)
    hsm, value_key = box.hsm, box.key(KeyUse.PIN_VALUE, PVK)
    for call in (
        hsm.pin_verifier(pin, CARD, verifier_key(box), BINDING),
        hsm.pin_value_verify(pin, CARD, value_key, 1, "1234"),
        hsm.pin_translate(pin, CARD, zone_key(box, PinFormat.ISO_4), PinFormat.ISO_4),
    ):
        assert box.fault_of(call) is Fault.KEY_USE


@for_boxes(Capability.PIN_VERIFIER, Capability.DUKPT_PIN)
def test_aes_dukpt_has_no_other_format(box: Box) -> None:
    base = box.key(KeyUse.BASE_DERIVATION, BASE_KEY)
    for one in (PinFormat.ISO_0, PinFormat.ISO_3):
        pin = DukptPin(base, SERIAL, bytes(8), one)
        assert box.fault_of(box.hsm.pin_verifier(pin, CARD, verifier_key(box), BINDING)) is Fault.BAD_INPUT


@for_boxes(Capability.PIN_VERIFIER, Capability.DUKPT_PIN)
def test_a_pin_under_a_counter_no_terminal_may_use_is_refused(box: Box) -> None:
    base, good = box.key(KeyUse.BASE_DERIVATION, BASE_KEY), dukpt_pin(box).block
    for counter in (0, 0x0001FFFF, 0xFFFFFFFF):
        pin = DukptPin(base, SERIAL[:8] + counter.to_bytes(4), good)
        assert box.fault_of(box.hsm.pin_verifier(pin, CARD, verifier_key(box), BINDING)) is Fault.BAD_INPUT


# ---------------------------------------------------------------- translation


@for_boxes(Capability.PIN_TRANSLATE)
@pytest.mark.parametrize(("source", "target"), list(product(("dukpt", *BOUND), BOUND)))
@pytest.mark.parametrize("pin", ["1234", "123456789012"])
def test_a_translated_pin_is_the_same_pin(
    box: Box, source: str | PinFormat, target: PinFormat, pin: str
) -> None:
    enciphered = (
        zone_pin(box, pin, pin_format=source) if isinstance(source, PinFormat) else dukpt_pin(box, pin)
    )
    block = box.run(box.hsm.pin_translate(enciphered, CARD, zone_key(box, target), target))
    assert pin_in(target, block) == pin


@for_boxes(Capability.PIN_TRANSLATE)
def test_a_format_4_block_is_another_one_every_time(box: Box) -> None:
    target = zone_key(box, PinFormat.ISO_4)
    blocks = {box.run(box.hsm.pin_translate(zone_pin(box), CARD, target, PinFormat.ISO_4)) for _ in range(10)}
    assert len(blocks) == 10


@for_boxes(Capability.PIN_TRANSLATE)
@pytest.mark.parametrize("target", BOUND)
def test_a_pin_is_never_translated_to_another_card(box: Box, target: PinFormat) -> None:
    key = zone_key(box, target)
    same = box.run(box.hsm.pin_translate(dukpt_pin(box), CARD, key, target, to_card=CARD))
    assert pin_in(target, same) == PIN
    for to_card in (OTHER_CARD, "", CARD + "0", CARD[:-1]):
        call = box.hsm.pin_translate(dukpt_pin(box), CARD, key, target, to_card=to_card)
        assert box.fault_of(call) is Fault.KEY_USE


@for_boxes(Capability.PIN_TRANSLATE)
@pytest.mark.parametrize("source", BOUND)
def test_a_pin_is_never_translated_to_a_weaker_format(box: Box, source: PinFormat) -> None:
    for key in (zone_key(box, PinFormat.ISO_0), zone_key(box, PinFormat.ISO_4)):
        call = box.hsm.pin_translate(zone_pin(box, pin_format=source), CARD, key, PinFormat.ISO_1)
        assert box.fault_of(call) is Fault.KEY_USE


@for_boxes(Capability.PIN_TRANSLATE)
def test_a_format_goes_with_its_algorithm_only(box: Box) -> None:
    aes, tdes, hsm = zone_key(box, PinFormat.ISO_4), zone_key(box, PinFormat.ISO_0), box.hsm
    for one in (PinFormat.ISO_0, PinFormat.ISO_3):
        assert box.fault_of(hsm.pin_translate(dukpt_pin(box), CARD, aes, one)) is Fault.KEY_USE
        source = ZonePin(aes, bytes(8), one)
        assert box.fault_of(hsm.pin_translate(source, CARD, tdes, PinFormat.ISO_0)) is Fault.KEY_USE
    assert box.fault_of(hsm.pin_translate(dukpt_pin(box), CARD, tdes, PinFormat.ISO_4)) is Fault.KEY_USE
    source = ZonePin(tdes, bytes(16), PinFormat.ISO_4)
    assert box.fault_of(hsm.pin_translate(source, CARD, aes, PinFormat.ISO_4)) is Fault.KEY_USE


# ---------------------------------------------------------------- PVV

PVVS = json.loads((VECTORS / "crypto_verification.json").read_text())["pvv"]


@for_boxes(Capability.PIN_VALUE)
@pytest.mark.parametrize("vector", PVVS, ids=lambda one: one["value"])
def test_the_published_pvv_verifies_and_no_other(box: Box, vector: dict[str, str]) -> None:
    key = box.key(KeyUse.PIN_VALUE, bytes.fromhex(vector["key"]))
    card, index, value = vector["card"], int(vector["index"]), vector["value"]
    for pin in (
        dukpt_pin(box, vector["pin"], card),
        *(zone_pin(box, vector["pin"], card, one) for one in BOUND),
    ):
        assert box.run(box.hsm.pin_value_verify(pin, card, key, index, value))
        assert not box.run(box.hsm.pin_value_verify(pin, card, key, (index + 1) % 10, value))
        assert not box.run(box.hsm.pin_value_verify(pin, card, key, index, value[::-1]))
    wrong = dukpt_pin(box, vector["pin"][::-1], card)
    assert not box.run(box.hsm.pin_value_verify(wrong, card, key, index, value))


@for_boxes(Capability.PIN_VALUE)
@pytest.mark.parametrize(
    ("index", "value"),
    [(-1, "1234"), (10, "1234"), (1, ""), (1, "123"), (1, "12345"), (1, "12a4"), (1, "۱۲۳۴")],
)
def test_what_is_no_pvv_is_refused(box: Box, index: int, value: str) -> None:
    call = box.hsm.pin_value_verify(dukpt_pin(box), CARD, box.key(KeyUse.PIN_VALUE, PVK), index, value)
    assert box.fault_of(call) is Fault.BAD_INPUT


@for_boxes(Capability.PIN_VALUE)
def test_a_card_too_short_for_a_pvv_is_refused(box: Box) -> None:
    card = "12345678901"
    pin, key = dukpt_pin(box, card=card), box.key(KeyUse.PIN_VALUE, PVK)
    assert box.fault_of(box.hsm.pin_value_verify(pin, card, key, 1, "1234")) is Fault.BAD_INPUT
