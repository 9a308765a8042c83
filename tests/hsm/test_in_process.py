"""The in-process adapter beyond the contract: what it keeps, how it is shown, modes of use."""

from __future__ import annotations

import asyncio
import copy
import gc
import pickle
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest

from switch.hsm import InProcessHsm
from switch.hsm.crypto import key_blocks
from switch.hsm.crypto.key_blocks import Header
from switch.hsm.crypto.master_keys import BlockMasterKey
from switch.hsm.crypto.transaction_keys import SERIALS_KEPT, TransactionKeys
from switch.hsm.in_process import KEYS_KEPT
from switch.hsm.port import Direction, Fault, HsmError, Key, KeyAlgorithm, KeyUse

MASTER_KEY = bytes(range(32))
ZONE_KEY = bytes(range(1, 33))
SERIAL = bytes.fromhex("123456789012345600000001")
Result = TypeVar("Result")


def run(call: Coroutine[Any, Any, Result]) -> Result:
    """The result of an operation that never waits: one step ends it."""
    try:
        call.send(None)
    except StopIteration as done:
        result: Result = done.value
        return result
    raise AssertionError("the operation waited")


def fault_of(call: Coroutine[Any, Any, object]) -> Fault:
    with pytest.raises(HsmError) as refused:
        run(call)
    return refused.value.fault


@pytest.mark.parametrize("size", [0, 16, 24, 31, 33])
def test_a_master_key_has_32_bytes(size: int) -> None:
    with pytest.raises(ValueError, match=f"32 bytes, not {size}"):
        InProcessHsm(bytes(size))


@pytest.mark.parametrize("identifier", ["", "0", "000", "AB", "۰۱"])
def test_a_master_keys_id_has_two_digits(identifier: str) -> None:
    with pytest.raises(ValueError, match="two digits"):
        InProcessHsm(MASTER_KEY, master_key_id=identifier)


def test_tokens_carry_the_master_keys_id() -> None:
    hsm = InProcessHsm(MASTER_KEY, master_key_id="07")
    key = run(hsm.generate_key(KeyUse.MAC, KeyAlgorithm.AES_128))
    assert BlockMasterKey(MASTER_KEY).unwrap(key.reference).header.reserved == "07"


def test_tokens_outlive_the_process() -> None:
    key = run(InProcessHsm(MASTER_KEY).generate_key(KeyUse.MAC, KeyAlgorithm.AES_128))
    mac = run(InProcessHsm(MASTER_KEY).mac_generate(key, b"data"))
    assert run(InProcessHsm(MASTER_KEY).mac_verify(key, b"data", mac))


def test_no_operation_waits_inside_a_loop_either() -> None:
    async def scenario() -> list[bytes]:
        hsm = InProcessHsm(MASTER_KEY)
        key = await hsm.generate_key(KeyUse.MAC, KeyAlgorithm.AES_128)
        return await asyncio.gather(*(hsm.mac_generate(key, b"data") for _ in range(3)))

    assert len(set(asyncio.run(scenario()))) == 1


def kept_keys() -> int:
    """Of all adapters in this process."""
    gc.collect()
    everything = gc.get_objects()
    serials = sum(one.serials for one in everything if type(one) is TransactionKeys)
    return serials + sum(type(one).__name__ == "_Held" for one in everything)


def test_neither_keys_nor_serials_are_kept_without_bound() -> None:
    hsm, before = InProcessHsm(MASTER_KEY), kept_keys()
    for _ in range(KEYS_KEPT + 50):
        run(hsm.check_value(run(hsm.generate_key(KeyUse.MAC, KeyAlgorithm.AES_128))))
    base = run(hsm.generate_key(KeyUse.BASE_DERIVATION, KeyAlgorithm.AES_128))
    first = run(hsm.dukpt_mac_generate(base, SERIAL, b"data", Direction.REQUEST))
    used = 0
    for counter in range(2, SERIALS_KEPT + 3000):
        if counter.bit_count() <= 16:
            run(hsm.dukpt_mac_generate(base, SERIAL[:8] + counter.to_bytes(4), b"", Direction.REQUEST))
            used += 1
    assert used > SERIALS_KEPT
    assert run(hsm.dukpt_mac_generate(base, SERIAL, b"data", Direction.REQUEST)) == first
    assert kept_keys() - before <= KEYS_KEPT + SERIALS_KEPT


def test_a_transactions_keys_are_gone_with_its_answer_and_all_with_the_adapter() -> None:
    hsm = InProcessHsm(MASTER_KEY)
    base = run(hsm.generate_key(KeyUse.BASE_DERIVATION, KeyAlgorithm.AES_128))
    run(hsm.dukpt_mac_generate(base, SERIAL, b"data", Direction.REQUEST))
    under_way = kept_keys()
    answer = run(hsm.dukpt_mac_generate(base, SERIAL, b"data", Direction.RESPONSE))
    assert kept_keys() == under_way - 1
    assert run(hsm.dukpt_mac_verify(base, SERIAL, b"data", answer, Direction.RESPONSE))
    assert kept_keys() == under_way
    run(hsm.close())
    assert kept_keys() == under_way - 2
    assert fault_of(hsm.dukpt_mac_generate(base, SERIAL, b"data", Direction.REQUEST)) is Fault.UNAVAILABLE


@pytest.mark.parametrize("copied", [pickle.dumps, copy.copy, copy.deepcopy])
def test_an_hsm_is_not_copied_or_stored(copied: Any) -> None:
    hsm = InProcessHsm(MASTER_KEY)
    run(hsm.generate_key(KeyUse.MAC, KeyAlgorithm.AES_128))
    with pytest.raises(TypeError, match="not copied or stored"):
        copied(hsm)


def imported(hsm: InProcessHsm, use: KeyUse, algorithm: str, mode: str, clear: bytes) -> Key:
    """A key whose block allows one mode of use."""
    header = Header(version="D", usage=use.value, algorithm=algorithm, mode=mode, exportability="E")
    zone_token = BlockMasterKey(MASTER_KEY).wrap(
        Header(version="1", usage="K0", algorithm="A", mode="B"), ZONE_KEY
    )
    zone = Key(zone_token, KeyUse.ZONE, "000000")
    return run(hsm.import_key(key_blocks.wrap(ZONE_KEY, header, clear), zone, use))


def test_a_key_that_may_only_verify_generates_nothing() -> None:
    hsm = InProcessHsm(MASTER_KEY)
    verifying = imported(hsm, KeyUse.MAC, "A", "V", bytes(16))
    generating = imported(hsm, KeyUse.MAC, "A", "G", bytes(16))
    mac = run(hsm.mac_generate(generating, b"data"))
    assert run(hsm.mac_verify(verifying, b"data", mac))
    assert fault_of(hsm.mac_generate(verifying, b"data")) is Fault.KEY_USE
    assert fault_of(hsm.mac_verify(generating, b"data", mac)) is Fault.KEY_USE


def test_a_zone_key_of_one_direction_keeps_to_it() -> None:
    hsm = InProcessHsm(MASTER_KEY)
    sending = imported(hsm, KeyUse.ZONE, "A", "E", ZONE_KEY)
    receiving = imported(hsm, KeyUse.ZONE, "A", "D", ZONE_KEY)
    key = run(hsm.generate_key(KeyUse.MAC, KeyAlgorithm.AES_128, exportable=True))
    block = run(hsm.export_key(key, sending)).block
    assert run(hsm.import_key(block, receiving, KeyUse.MAC)).check_value == key.check_value
    assert fault_of(hsm.export_key(key, receiving)) is Fault.KEY_USE
    assert fault_of(hsm.import_key(block, sending, KeyUse.MAC)) is Fault.KEY_USE


@pytest.mark.parametrize(
    ("use", "algorithm", "size"),
    [
        (KeyUse.CARD_MASTER, "A", 32),
        (KeyUse.PIN_VALUE, "T", 24),
        (KeyUse.CARD_VALUE, "A", 16),
        (KeyUse.PIN_VERIFIER, "T", 16),
    ],
)
def test_a_key_of_another_algorithm_or_size_than_its_use_takes_is_not_imported(
    use: KeyUse, algorithm: str, size: int
) -> None:
    header = Header(version="D", usage=use.value, algorithm=algorithm, mode="C" if use.value != "11" else "X")
    zone_token = BlockMasterKey(MASTER_KEY).wrap(
        Header(version="1", usage="K0", algorithm="A", mode="B"), ZONE_KEY
    )
    block = key_blocks.wrap(ZONE_KEY, header, bytes(range(1, size + 1)))
    call = InProcessHsm(MASTER_KEY).import_key(block, Key(zone_token, KeyUse.ZONE, "000000"), use)
    assert fault_of(call) is Fault.KEY_USE


def test_a_closed_hsm_keeps_no_key() -> None:
    hsm = InProcessHsm(MASTER_KEY)
    key = run(hsm.generate_key(KeyUse.MAC, KeyAlgorithm.AES_128))
    run(hsm.mac_generate(key, b"data"))
    run(hsm.close())
    assert fault_of(hsm.mac_generate(key, b"data")) is Fault.UNAVAILABLE


@pytest.mark.parametrize(
    "components",
    [
        (b"\x10" * 16, b"\x10" * 16, b"\x02" * 16),
        (b"\x02" * 16, b"\x10" * 16, b"\x10" * 16),
        (b"\x10" * 16, b"\x02" * 16, b"\x10" * 16),
        (b"\x02" * 16, b"\x04" * 16, b"\x05" * 16),  # the last two differ in parity bits only
    ],
)
def test_no_key_is_formed_of_equal_components(components: tuple[bytes, ...]) -> None:
    with pytest.raises(HsmError, match="two components are equal") as refused:
        InProcessHsm(MASTER_KEY).form_key(components, KeyUse.PIN, KeyAlgorithm.TDES_2)
    assert refused.value.fault is Fault.BAD_INPUT


@pytest.mark.parametrize("algorithm", [KeyAlgorithm.TDES_2, KeyAlgorithm.TDES_3])
def test_no_key_as_weak_as_single_des_is_formed(algorithm: KeyAlgorithm) -> None:
    hsm, size = InProcessHsm(MASTER_KEY), algorithm.value[1]
    strong = bytes(range(0, 2 * size, 2))
    use = KeyUse.MAC_TDES
    assert len(hsm.form_key([strong, b"\x40" * size], use, algorithm).check_value) == 6
    for at in range(0, size - 8, 8):
        weak = bytearray(strong)
        weak[at + 8 : at + 16] = bytes(byte ^ 1 for byte in weak[at : at + 8])  # parity alone differs
        with pytest.raises(HsmError, match="as weak as single DES") as refused:
            hsm.form_key([bytes(weak), b"\x40" * size], use, algorithm)
        assert refused.value.fault is Fault.BAD_INPUT


def test_of_an_aes_key_every_bit_of_a_component_counts() -> None:
    hsm, parts = InProcessHsm(MASTER_KEY), [b"\x02" * 16, b"\x04" * 16, b"\x05" * 16]
    assert len(hsm.form_key(parts, KeyUse.ZONE, KeyAlgorithm.AES_128).check_value) == 6
    with pytest.raises(HsmError, match="two components are equal"):
        hsm.form_key([*parts, parts[0]], KeyUse.ZONE, KeyAlgorithm.AES_128)
