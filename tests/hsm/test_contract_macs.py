"""The contract of the HSM port, on every adapter: MACs, AES DUKPT, enciphered data."""

from __future__ import annotations

import hmac
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from switch.hsm.crypto.ciphers import aes_cbc_encrypt, odd_parity
from switch.hsm.crypto.dukpt_aes import Usage, initial_key, working_key
from switch.hsm.crypto.macs import algorithm_3, cmac, pad_2
from switch.hsm.inputs import MOST_DATA_BYTES
from switch.hsm.port import Capability, Direction, Fault, Key, KeyUse, MacAlgorithm
from tests.hsm.boxes import Box, for_boxes

VECTORS = Path(__file__).parent.parent / "vectors"
DUKPT = json.loads((VECTORS / "crypto_dukpt_aes.json").read_text())
BASE_KEY = bytes.fromhex("FEDCBA9876543210F1F1F1F1F1F1F1F1")
SERIAL = bytes.fromhex("123456789012345600000001")
DATA = b"all before the MAC"
OTHER = {Direction.REQUEST: Direction.RESPONSE, Direction.RESPONSE: Direction.REQUEST}
KINDS = [
    (Capability.MAC, MacAlgorithm.CMAC, KeyUse.MAC),
    (Capability.MAC_TDES, MacAlgorithm.RETAIL, KeyUse.MAC_TDES),
    (Capability.MAC_HMAC, MacAlgorithm.HMAC_SHA_256, KeyUse.MAC_HMAC),
]
EVERY_KIND = pytest.mark.parametrize(("capability", "algorithm", "use"), KINDS, ids=lambda value: str(value))


def not_the(mac: bytes) -> list[bytes]:
    """What a MAC must never be taken for."""
    flipped = [mac[:at] + bytes((mac[at] ^ 1 << bit,)) + mac[at + 1 :] for at in range(8) for bit in (0, 7)]
    return [b"", mac[:7], mac + b"\0", mac[:4], mac + mac, bytes(8), mac[::-1], *flipped]


# ---------------------------------------------------------------- static keys


@for_boxes(Capability.MAC)
@pytest.mark.parametrize(
    "vector",
    json.loads((VECTORS / "crypto_cmac.json").read_text())["vectors"],
    ids=lambda one: one["mac"][:8],
)
def test_cmac_is_the_published_one(box: Box, vector: dict[str, str]) -> None:
    key = box.key(KeyUse.MAC, bytes.fromhex(vector["key"]))
    data, mac = bytes.fromhex(vector["data"]), bytes.fromhex(vector["mac"])[:8]
    assert box.run(box.hsm.mac_generate(key, data)) == mac
    assert box.run(box.hsm.mac_verify(key, data, mac))


RETAIL = [
    one
    for one in json.loads((VECTORS / "crypto_mac.json").read_text())["vectors"]
    if one["method"] == "algorithm-3" and one["padding"] == 1
]


@for_boxes(Capability.MAC_TDES)
@pytest.mark.parametrize("vector", RETAIL, ids=lambda one: str(one["mac"]))
def test_the_retail_mac_is_the_published_one(box: Box, vector: dict[str, str]) -> None:
    clear, data = bytes.fromhex(vector["key"]), bytes.fromhex(vector["data"])
    key = box.key(KeyUse.MAC_TDES, odd_parity(clear))
    mac = box.run(box.hsm.mac_generate(key, data, MacAlgorithm.RETAIL))
    assert mac.hex().upper().startswith(vector["mac"][:16])
    assert mac == algorithm_3(clear, data)


@for_boxes(Capability.MAC_HMAC)
@pytest.mark.parametrize("size", [0, 1, 63, 64, 65, 1000])
def test_the_hmac_is_that_of_the_standard_library(box: Box, size: int) -> None:
    clear, data = bytes(range(32)), bytes(size)
    key = box.key(KeyUse.MAC_HMAC, clear)
    expected = hmac.digest(clear, data, "sha256")[:8]
    assert box.run(box.hsm.mac_generate(key, data, MacAlgorithm.HMAC_SHA_256)) == expected


@for_boxes()
@EVERY_KIND
def test_only_the_whole_right_mac_verifies(
    box: Box, capability: Capability, algorithm: MacAlgorithm, use: KeyUse
) -> None:
    key = box.a_key(use)
    if not box.can(capability):
        assert box.fault_of(box.hsm.mac_generate(key, DATA, algorithm)) is Fault.UNSUPPORTED
        assert box.fault_of(box.hsm.mac_verify(key, DATA, bytes(8), algorithm)) is Fault.UNSUPPORTED
        return
    mac = box.run(box.hsm.mac_generate(key, DATA, algorithm))
    assert box.run(box.hsm.mac_verify(key, DATA, mac, algorithm))
    for wrong in not_the(mac):
        assert not box.run(box.hsm.mac_verify(key, DATA, wrong, algorithm))
    assert not box.run(box.hsm.mac_verify(key, DATA + b"\0", mac, algorithm)) or use is KeyUse.MAC_TDES
    assert not box.run(box.hsm.mac_verify(key, DATA[1:], mac, algorithm))


@for_boxes(Capability.MAC)
def test_data_may_hold_any_byte_and_has_a_limit(box: Box) -> None:
    clear = bytes(range(16))
    key = box.key(KeyUse.MAC, clear)
    for data in (b"", bytes(range(256)), b"%00#&;~\x19" * 40, bytes(MOST_DATA_BYTES)):
        assert box.run(box.hsm.mac_generate(key, data)) == cmac(clear, data)[:8]
    assert box.fault_of(box.hsm.mac_generate(key, bytes(MOST_DATA_BYTES + 1))) is Fault.BAD_INPUT


# ---------------------------------------------------------------- DUKPT


@for_boxes(Capability.DUKPT)
@pytest.mark.parametrize("vector", DUKPT["message"], ids=lambda one: one["serial"])
def test_dukpt_macs_are_the_published_ones(box: Box, vector: dict[str, str]) -> None:
    base = box.key(KeyUse.BASE_DERIVATION, bytes.fromhex(vector["base_key"]))
    serial, data = bytes.fromhex(vector["serial"]), bytes.fromhex(vector["data"])
    for direction, name in ((Direction.REQUEST, "cmac_request"), (Direction.RESPONSE, "cmac_response")):
        mac = bytes.fromhex(vector[name])[:8]
        assert box.run(box.hsm.dukpt_mac_generate(base, serial, data, direction)) == mac
        assert box.run(box.hsm.dukpt_mac_verify(base, serial, data, mac, direction))
        assert not box.run(box.hsm.dukpt_mac_verify(base, serial, data, mac, OTHER[direction]))


@for_boxes(Capability.DUKPT)
@pytest.mark.parametrize("vector", DUKPT["transaction"], ids=lambda one: one["serial"])
def test_every_published_counter_is_derived_for(box: Box, vector: dict[str, str]) -> None:
    """The transaction keys themselves never leave a box: their MACs are compared."""
    bases = {one["key"]: one for one in DUKPT["initial"]}
    origin = bases.get(vector["initial_key"])
    assert origin is not None
    serial = bytes.fromhex(vector["serial"])
    base = box.key(KeyUse.BASE_DERIVATION, bytes.fromhex(origin["base_key"]))
    key = working_key(bytes.fromhex(vector["initial_key"]), serial, Usage.MAC_GENERATION)
    mac = box.run(box.hsm.dukpt_mac_generate(base, serial, DATA, Direction.REQUEST))
    assert mac == cmac(key, DATA)[:8]


@for_boxes(Capability.DUKPT)
@pytest.mark.parametrize("size", [16, 24, 32])
def test_base_keys_of_every_size_derive(box: Box, size: int) -> None:
    clear = bytes(range(7, 7 + size))
    base = box.key(KeyUse.BASE_DERIVATION, clear)
    initial = initial_key(clear, SERIAL[:8])
    for counter in (1, 2, 3, 0x10000, 0xFFFF, 0xFFFF0000, 0x80000000, 0x0001FFFE):
        serial = SERIAL[:8] + counter.to_bytes(4)
        expected = cmac(working_key(initial, serial, Usage.MAC_VERIFICATION), DATA)[:8]
        assert box.run(box.hsm.dukpt_mac_generate(base, serial, DATA, Direction.RESPONSE)) == expected


@settings(max_examples=30)
@for_boxes(Capability.DUKPT)
@given(counter=st.integers(1, 0xFFFFFFFF), terminal=st.binary(min_size=8, max_size=8))
def test_every_serial_has_its_own_key_or_none(box: Box, counter: int, terminal: bytes) -> None:
    base = box.key(KeyUse.BASE_DERIVATION, BASE_KEY) if box.tokens else box.a_key(KeyUse.BASE_DERIVATION)
    clear = BASE_KEY if box.tokens else bytes(range(1, 17))
    serial = terminal + counter.to_bytes(4)
    call = box.hsm.dukpt_mac_generate(base, serial, DATA, Direction.REQUEST)
    if counter.bit_count() > 16:
        assert box.fault_of(call) is Fault.BAD_INPUT
    else:
        key = working_key(initial_key(clear, terminal), serial, Usage.MAC_GENERATION)
        assert box.run(call) == cmac(key, DATA)[:8]


@for_boxes(Capability.DUKPT)
@pytest.mark.parametrize("direction", Direction)
def test_only_the_whole_right_dukpt_mac_verifies(box: Box, direction: Direction) -> None:
    base = box.key(KeyUse.BASE_DERIVATION, BASE_KEY)
    mac = box.run(box.hsm.dukpt_mac_generate(base, SERIAL, DATA, direction))
    assert box.run(box.hsm.dukpt_mac_verify(base, SERIAL, DATA, mac, direction))
    for wrong in not_the(mac):
        assert not box.run(box.hsm.dukpt_mac_verify(base, SERIAL, DATA, wrong, direction))
    other_serial = SERIAL[:-1] + b"\x02"
    assert not box.run(box.hsm.dukpt_mac_verify(base, other_serial, DATA, mac, direction))
    assert not box.run(box.hsm.dukpt_mac_verify(base, SERIAL, DATA + b"\0", mac, direction))
    other_key = box.key(KeyUse.BASE_DERIVATION, BASE_KEY[::-1])
    assert not box.run(box.hsm.dukpt_mac_verify(other_key, SERIAL, DATA, mac, direction))


BAD_SERIALS = [
    *(bytes.fromhex(serial) for serial in DUKPT["refused_serials"]),
    SERIAL[:8] + bytes(4),
    SERIAL[:8] + (0x0001FFFF).to_bytes(4),  # 17 ones
    SERIAL[:8] + (0xFFFFFFFF).to_bytes(4),
    b"",
    SERIAL[:11],
    SERIAL + b"\0",
]


@for_boxes(Capability.DUKPT)
@pytest.mark.parametrize("serial", BAD_SERIALS, ids=lambda serial: serial.hex() or "empty")
def test_a_serial_no_terminal_may_use_is_refused(box: Box, serial: bytes) -> None:
    base, hsm = box.key(KeyUse.BASE_DERIVATION, BASE_KEY), box.hsm
    for direction in Direction:
        for call in (
            hsm.dukpt_mac_generate(base, serial, DATA, direction),
            hsm.dukpt_mac_verify(base, serial, DATA, bytes(8), direction),
            hsm.dukpt_encrypt(base, serial, DATA, direction),
            hsm.dukpt_decrypt(base, serial, bytes(16), direction),
        ):
            assert box.fault_of(call) is Fault.BAD_INPUT


# ---------------------------------------------------------------- enciphered data


@for_boxes(Capability.DUKPT)
@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 120, 128])
@pytest.mark.parametrize("direction", Direction)
def test_data_is_enciphered_under_the_serials_data_key(box: Box, size: int, direction: Direction) -> None:
    base = box.key(KeyUse.BASE_DERIVATION, BASE_KEY)
    usage = {Direction.REQUEST: Usage.DATA_ENCRYPT, Direction.RESPONSE: Usage.DATA_DECRYPT}[direction]
    key = working_key(initial_key(BASE_KEY, SERIAL[:8]), SERIAL, usage)
    clear = bytes(range(size))
    enciphered = box.run(box.hsm.dukpt_encrypt(base, SERIAL, clear, direction))
    assert enciphered == aes_cbc_encrypt(key, pad_2(clear, 16))
    assert box.run(box.hsm.dukpt_decrypt(base, SERIAL, enciphered, direction)) == clear


@for_boxes(Capability.DUKPT)
def test_what_is_not_enciphered_data_is_refused(box: Box) -> None:
    base = box.key(KeyUse.BASE_DERIVATION, BASE_KEY)
    key = working_key(initial_key(BASE_KEY, SERIAL[:8]), SERIAL, Usage.DATA_ENCRYPT)
    unpadded = aes_cbc_encrypt(key, bytes(32))
    too_long = aes_cbc_encrypt(key, b"\x80" + bytes(31))
    for wrong in (b"", bytes(1), bytes(15), bytes(17), unpadded, too_long):
        fault = box.fault_of(box.hsm.dukpt_decrypt(base, SERIAL, wrong, Direction.REQUEST))
        assert fault is Fault.BAD_INPUT


@for_boxes(Capability.MAC)
@pytest.mark.parametrize("use", [KeyUse.DATA, KeyUse.MAC_HMAC, KeyUse.BASE_DERIVATION])
def test_a_key_says_its_use_itself(box: Box, use: KeyUse) -> None:
    """A caller that calls a key a MAC key doesn't make it one."""
    other = box.a_key(use)
    disguised = Key(other.reference, KeyUse.MAC, other.check_value)
    assert box.fault_of(box.hsm.mac_generate(disguised, DATA)) is Fault.KEY_USE
