"""The contract of the HSM port, on every adapter: capabilities, random, keys and key blocks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from switch.hsm.crypto import key_blocks
from switch.hsm.crypto.check_values import check_value
from switch.hsm.crypto.dukpt_aes import initial_key
from switch.hsm.crypto.key_blocks import Header, OptionalBlock
from switch.hsm.crypto.master_keys import TEST_AES_BLOCK_KEY, BlockMasterKey
from switch.hsm.inputs import ALGORITHMS
from switch.hsm.port import Capability, Fault, Key, KeyAlgorithm, KeyUse
from tests.hsm.boxes import EVERYTHING, MADE, MODES, NEEDED_FOR, OFFERED, Box, for_boxes, token

VECTORS = Path(__file__).parent.parent / "vectors"
ZONE_KEY = bytes.fromhex("88E1AB2A2E3DD38C1FA039A536500CC8A87AB9D62DC92C01058FA79F44657DE6")
ZONE_KEY_TDES = bytes.fromhex("DD7515F2BFC17F85CE48F3CA25CB21F6")
PIN_KEY = bytes.fromhex("3F419E1CB7079442AA37474C2EFBF8B8")
BASE_KEY = bytes.fromhex("FEDCBA9876543210F1F1F1F1F1F1F1F1")
INITIAL_KEY_ID = bytes.fromhex("1234567890123456")


def block_of(
    use: KeyUse, clear: bytes, letter: str, under: bytes, version: str = "D", export: str = "E"
) -> str:
    header = Header(version=version, usage=use.value, algorithm=letter, mode=MODES[use], exportability=export)
    return key_blocks.wrap(under, header, clear)


@for_boxes()
def test_an_adapter_offers_exactly_its_capabilities(box: Box) -> None:
    assert box.hsm.capabilities & EVERYTHING == OFFERED[box.name]


def test_no_capability_is_forgotten_here() -> None:
    assert set(EVERYTHING) == set(Capability)


@for_boxes()
def test_a_box_without_tamper_protection_says_so(box: Box) -> None:
    status = box.run(box.hsm.status())
    assert status.simulated
    assert status.firmware


@for_boxes(Capability.RANDOM)
def test_random_bytes_come_as_asked_for(box: Box) -> None:
    assert [len(box.run(box.hsm.random(size))) for size in (1, 8, 255, 256)] == [1, 8, 255, 256]
    assert len({box.run(box.hsm.random(16)) for _ in range(20)}) == 20
    for size in (-1, 0, 257):
        assert box.fault_of(box.hsm.random(size)) is Fault.BAD_INPUT


# ---------------------------------------------------------------- generate, check value


@for_boxes(Capability.KEYS)
@pytest.mark.parametrize("use", MADE)
def test_a_generated_key_has_its_use_and_check_value(box: Box, use: KeyUse) -> None:
    for algorithm in ALGORITHMS[use]:
        if not box.can(NEEDED_FOR[use]):
            assert box.fault_of(box.hsm.generate_key(use, algorithm)) is Fault.UNSUPPORTED
            continue
        key = box.run(box.hsm.generate_key(use, algorithm))
        assert key.use is use
        assert len(key.check_value) == 6
        assert box.run(box.hsm.check_value(key)) == key.check_value
        assert key.reference not in repr(key)


@for_boxes(Capability.KEYS)
@pytest.mark.parametrize("use", KeyUse)
def test_a_key_of_an_algorithm_that_its_use_has_not_is_refused(box: Box, use: KeyUse) -> None:
    for algorithm in set(KeyAlgorithm) - set(ALGORITHMS[use]):
        assert box.fault_of(box.hsm.generate_key(use, algorithm)) is Fault.BAD_INPUT


@for_boxes(Capability.KEYS)
def test_no_key_is_made_twice(box: Box) -> None:
    keys = [box.run(box.hsm.generate_key(KeyUse.MAC, KeyAlgorithm.AES_128)) for _ in range(10)]
    assert len({key.reference for key in keys}) == len({key.check_value for key in keys}) == 10


CHECK_VALUES = json.loads((VECTORS / "crypto_check_value.json").read_text())["vectors"]


USES_BY_LETTER = {
    "A": (KeyUse.ZONE, KeyUse.MAC, KeyUse.BASE_DERIVATION),
    "T": (KeyUse.ZONE,),
    "H": (KeyUse.MAC_HMAC,),
}


@for_boxes(Capability.KEYS)
@pytest.mark.parametrize(
    "vector",
    [one for one in CHECK_VALUES if len(one["digits"]) >= 6 and len(one["key"]) >= 32],
    ids=lambda vector: str(vector["key"][:8]),
)
def test_check_values_are_the_published_ones(box: Box, vector: dict[str, str]) -> None:
    for use in USES_BY_LETTER[vector["algorithm"]]:
        if box.can(NEEDED_FOR[use]):
            key = box.key(use, bytes.fromhex(vector["key"]), letter=vector["algorithm"])
            assert box.run(box.hsm.check_value(key)) == vector["digits"][:6]


# ---------------------------------------------------------------- tokens


@for_boxes(Capability.KEY_BLOCKS)
def test_tokens_move_between_adapters_under_one_master_key(box: Box) -> None:
    """What a box made is opened by a process that has the same master key: same key, same use."""
    key = box.run(box.hsm.generate_key(KeyUse.MAC, KeyAlgorithm.AES_256))
    opened = BlockMasterKey(TEST_AES_BLOCK_KEY).unwrap(key.reference)
    assert (opened.header.usage, opened.header.algorithm, len(opened.key)) == ("M6", "A", 32)
    assert check_value(opened.key, "A") == key.check_value


@for_boxes(Capability.KEY_BLOCKS)
def test_no_character_of_a_token_can_be_changed(box: Box) -> None:
    key = box.a_key(KeyUse.ZONE)
    for at, character in enumerate(key.reference):
        for other in {chr(ord(character) ^ 1), "0", "F"} - {character}:
            changed = key.reference[:at] + other + key.reference[at + 1 :]
            fault = box.fault_of(box.hsm.check_value(Key(changed, KeyUse.ZONE, key.check_value)))
            assert fault in (Fault.KEY_DAMAGED, Fault.UNKNOWN_KEY, Fault.KEY_USE), (at, other)


@for_boxes(Capability.KEY_BLOCKS)
def test_a_token_of_another_master_key_is_of_no_use(box: Box) -> None:
    master = BlockMasterKey(bytes(range(32)))
    foreign = token(master, KeyUse.MAC, bytes(16), "N", "A", master_key_id=box.master_key_id)
    assert box.fault_of(box.hsm.check_value(foreign)) is Fault.KEY_DAMAGED
    assert box.fault_of(box.hsm.mac_generate(foreign, b"data")) is Fault.KEY_DAMAGED


@for_boxes()
@pytest.mark.parametrize("reference", ["", "S", "nothing", "U0123456789ABCDEF0123456789ABCDEF", "ی" * 40])
def test_what_is_no_reference_is_refused(box: Box, reference: str) -> None:
    fault = box.fault_of(box.hsm.mac_generate(Key(reference, KeyUse.MAC, "000000"), b"data"))
    assert fault in (Fault.UNKNOWN_KEY, Fault.KEY_DAMAGED)


@for_boxes(Capability.KEY_BLOCKS)
def test_nothing_rides_behind_a_token(box: Box) -> None:
    key = box.a_key(KeyUse.MAC)
    for tail in ("0", "%01", ";", "#", "&N", "\x19"):
        longer = Key(key.reference + tail, KeyUse.MAC, key.check_value)
        fault = box.fault_of(box.hsm.mac_generate(longer, b"data"))
        assert fault in (Fault.KEY_DAMAGED, Fault.UNKNOWN_KEY)


# ---------------------------------------------------------------- export, import


@for_boxes(Capability.KEY_BLOCKS)
@pytest.mark.parametrize("use", MADE)
def test_an_exported_key_is_the_key_and_says_its_use(box: Box, use: KeyUse) -> None:
    zone = box.key(KeyUse.ZONE, ZONE_KEY)
    key = box.a_key(use, exportable=True)
    exported = box.run(box.hsm.export_key(key, zone))
    inside = key_blocks.unwrap(ZONE_KEY, exported.block)
    assert inside.header.version == "D"
    assert inside.header.usage == use.value
    assert inside.header.mode == MODES[use]
    assert exported.check_value == key.check_value == check_value(inside.key, inside.header.algorithm)
    assert exported.block not in repr(exported)


@for_boxes(Capability.KEY_BLOCKS)
@pytest.mark.parametrize("use", MADE)
def test_an_exported_key_can_be_imported_again(box: Box, use: KeyUse) -> None:
    zone = box.key(KeyUse.ZONE, ZONE_KEY)
    exported = box.run(box.hsm.export_key(box.a_key(use, exportable=True), zone))
    again = box.run(box.hsm.import_key(exported.block, zone, use))
    assert again.use is use
    assert again.check_value == exported.check_value == box.run(box.hsm.check_value(again))


@for_boxes(Capability.KEY_BLOCKS)
def test_under_a_tdes_zone_key_keys_travel_in_b_blocks(box: Box) -> None:
    zone = box.key(KeyUse.ZONE, ZONE_KEY_TDES, letter="T")
    key = box.a_key(KeyUse.MAC_TDES, exportable=True)
    exported = box.run(box.hsm.export_key(key, zone))
    assert exported.block[0] == "B"
    assert check_value(key_blocks.unwrap(ZONE_KEY_TDES, exported.block).key, "T") == key.check_value
    again = box.run(box.hsm.import_key(exported.block, zone, KeyUse.MAC_TDES))
    assert again.check_value == key.check_value


@for_boxes(Capability.KEY_BLOCKS)
def test_an_aes_key_never_goes_under_a_tdes_key(box: Box) -> None:
    zone = box.key(KeyUse.ZONE, ZONE_KEY_TDES, letter="T")
    assert box.fault_of(box.hsm.export_key(box.a_key(KeyUse.MAC, exportable=True), zone)) is Fault.KEY_USE


@for_boxes(Capability.KEY_BLOCKS)
def test_an_aes_key_never_goes_under_a_shorter_one(box: Box) -> None:
    for use in (KeyUse.ZONE, KeyUse.TRANSPORT):
        under = box.key(use, bytes(range(16)))
        for size, fits in ((16, True), (24, False), (32, False)):
            key = box.key(KeyUse.MAC, bytes(range(size)), exportable=True)
            if fits:
                box.run(box.hsm.export_key(key, under))
            else:
                assert box.fault_of(box.hsm.export_key(key, under)) is Fault.KEY_USE


@for_boxes(Capability.KEY_BLOCKS)
@pytest.mark.parametrize("use", MADE)
def test_a_key_that_is_not_exportable_stays(box: Box, use: KeyUse) -> None:
    zone = box.key(KeyUse.ZONE, ZONE_KEY)
    assert box.fault_of(box.hsm.export_key(box.a_key(use), zone)) is Fault.KEY_USE


@for_boxes(Capability.KEY_BLOCKS)
def test_published_blocks_are_imported(box: Box) -> None:
    """TR-31:2018 A.7.4: an AES-128 PIN key under an AES-256 protection key."""
    zone = box.key(KeyUse.ZONE, ZONE_KEY)
    block = (
        "D0112P0AE00E0000B82679114F470F540165EDFBF7E250FCEA43F810D215F8D207E2E417C07156A2"
        "7E8E31DA05F7425509593D03A457DC34"
    )
    key = box.run(box.hsm.import_key(block, zone, KeyUse.PIN))
    assert key.check_value == check_value(PIN_KEY, "A") == "08793E"


@for_boxes(Capability.KEY_BLOCKS)
def test_an_imported_key_keeps_what_its_block_allows(box: Box) -> None:
    zone = box.key(KeyUse.ZONE, ZONE_KEY)
    fixed = block_of(KeyUse.MAC, bytes(range(16)), "A", ZONE_KEY, export="N")
    key = box.run(box.hsm.import_key(fixed, zone, KeyUse.MAC))
    assert box.fault_of(box.hsm.export_key(key, zone)) is Fault.KEY_USE


@for_boxes(Capability.KEY_BLOCKS)
@pytest.mark.parametrize("use", KeyUse)
def test_a_key_is_imported_for_the_use_its_block_says_only(box: Box, use: KeyUse) -> None:
    zone = box.key(KeyUse.ZONE, ZONE_KEY)
    block = block_of(KeyUse.MAC, bytes(range(16)), "A", ZONE_KEY)
    if use is KeyUse.MAC:
        assert box.run(box.hsm.import_key(block, zone, use)).use is use
    else:
        assert box.fault_of(box.hsm.import_key(block, zone, use)) is Fault.KEY_USE


@for_boxes(Capability.KEY_BLOCKS)
def test_no_key_comes_in_under_a_weaker_one(box: Box) -> None:
    """Its MAC is good, so it isn't damage: the partner is told what to change."""
    header = Header("D", KeyUse.MAC_HMAC.value, "H", MODES[KeyUse.MAC_HMAC], exportability="E")
    for under, fault in ((bytes(range(16)), Fault.KEY_USE), (ZONE_KEY, None)):
        block = key_blocks.seal(key_blocks.BINDINGS["D"], under, header, bytes(range(32)), bytes)
        importing = box.hsm.import_key(block, box.key(KeyUse.ZONE, under), KeyUse.MAC_HMAC)
        if fault is None:
            assert box.run(importing).use is KeyUse.MAC_HMAC
        else:
            assert box.fault_of(importing) is fault


@for_boxes(Capability.KEY_BLOCKS)
def test_no_bit_of_a_block_can_be_changed(box: Box) -> None:
    zone = box.key(KeyUse.ZONE, ZONE_KEY)
    block = block_of(KeyUse.PIN, PIN_KEY, "A", ZONE_KEY)
    for at, character in enumerate(block):
        for bit in range(8):
            changed = block[:at] + chr(ord(character) ^ 1 << bit) + block[at + 1 :]
            fault = box.fault_of(box.hsm.import_key(changed, zone, KeyUse.PIN))
            assert fault is Fault.KEY_DAMAGED, (at, bit)


@for_boxes(Capability.KEY_BLOCKS)
def test_a_block_cut_or_grown_is_refused(box: Box) -> None:
    zone = box.key(KeyUse.ZONE, ZONE_KEY)
    block = block_of(KeyUse.PIN, PIN_KEY, "A", ZONE_KEY)
    for changed in ("", block[:1], block[:15], block[:-1], block[:-2], block + "0", block + "00", block * 2):
        assert box.fault_of(box.hsm.import_key(changed, zone, KeyUse.PIN)) is Fault.KEY_DAMAGED


@for_boxes(Capability.KEY_BLOCKS)
def test_a_block_under_another_zone_key_is_refused(box: Box) -> None:
    block = block_of(KeyUse.PIN, PIN_KEY, "A", ZONE_KEY)
    other = box.key(KeyUse.ZONE, bytes(range(32)))
    assert box.fault_of(box.hsm.import_key(block, other, KeyUse.PIN)) is Fault.KEY_DAMAGED


@for_boxes(Capability.KEY_BLOCKS)
def test_a_block_of_another_version_than_the_zone_keys_is_refused(box: Box) -> None:
    zone = box.key(KeyUse.ZONE, ZONE_KEY_TDES, letter="T")
    for version in "AC":
        block = block_of(
            KeyUse.MAC_TDES, bytes.fromhex("0123456789ABCDEFFEDCBA9876543210"), "T", ZONE_KEY_TDES, version
        )
        assert box.fault_of(box.hsm.import_key(block, zone, KeyUse.MAC_TDES)) is Fault.KEY_DAMAGED


@for_boxes(Capability.KEY_BLOCKS)
def test_optional_blocks_are_taken_along_when_they_fit(box: Box) -> None:
    zone = box.key(KeyUse.ZONE, ZONE_KEY)
    header = Header(
        version="D",
        usage="P0",
        algorithm="A",
        mode="B",
        exportability="E",
        optional=(OptionalBlock("KC", "01" + check_value(PIN_KEY, "A", 10)),),
    )
    block = key_blocks.wrap(ZONE_KEY, header, PIN_KEY)
    assert box.run(box.hsm.import_key(block, zone, KeyUse.PIN)).check_value == check_value(PIN_KEY, "A")


# ---------------------------------------------------------------- initial keys


@for_boxes(Capability.INITIAL_KEY)
@pytest.mark.parametrize("vector", json.loads((VECTORS / "crypto_dukpt_aes.json").read_text())["initial"])
def test_a_terminals_initial_key_is_the_published_one(box: Box, vector: dict[str, str]) -> None:
    transport_key = bytes(range(32))
    base = box.key(KeyUse.BASE_DERIVATION, bytes.fromhex(vector["base_key"]))
    transport = box.key(KeyUse.TRANSPORT, transport_key)
    identifier = bytes.fromhex(vector["initial_key_id"])
    exported = box.run(box.hsm.derive_initial_key(base, identifier, transport))
    inside = key_blocks.unwrap(transport_key, exported.block)
    assert inside.key.hex().upper() == vector["key"]
    assert (inside.header.version, inside.header.usage, inside.header.mode) == ("D", "B1", "X")
    assert inside.header.exportability == "N"
    assert inside.header.value_of("IK") == vector["initial_key_id"]
    assert exported.check_value == check_value(inside.key, "A")


@for_boxes(Capability.INITIAL_KEY)
def test_an_initial_key_needs_an_id_of_8_bytes(box: Box) -> None:
    base, transport = box.key(KeyUse.BASE_DERIVATION, BASE_KEY), box.a_key(KeyUse.TRANSPORT)
    for size in (0, 7, 9, 12):
        fault = box.fault_of(box.hsm.derive_initial_key(base, bytes(size), transport))
        assert fault is Fault.BAD_INPUT


@for_boxes(Capability.INITIAL_KEY)
def test_an_initial_key_never_goes_under_a_shorter_transport_key(box: Box) -> None:
    base = box.key(KeyUse.BASE_DERIVATION, bytes(range(32)))
    transport = box.key(KeyUse.TRANSPORT, bytes(range(16)))
    assert box.fault_of(box.hsm.derive_initial_key(base, INITIAL_KEY_ID, transport)) is Fault.KEY_USE


@for_boxes(Capability.INITIAL_KEY)
def test_terminals_get_different_keys(box: Box) -> None:
    base, transport = box.key(KeyUse.BASE_DERIVATION, BASE_KEY), box.a_key(KeyUse.TRANSPORT)
    identifiers = [INITIAL_KEY_ID[:7] + bytes((last,)) for last in range(5)]
    values = [box.run(box.hsm.derive_initial_key(base, one, transport)).check_value for one in identifiers]
    assert values == [check_value(initial_key(BASE_KEY, one), "A") for one in identifiers]
