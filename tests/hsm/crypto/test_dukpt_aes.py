"""AES DUKPT against the published tables, and a receiver that keeps parents against one that doesn't."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from switch.hsm.crypto import dukpt_aes
from switch.hsm.crypto.ciphers import aes_cbc_encrypt
from switch.hsm.crypto.dukpt_aes import Algorithm, Deriver, Usage
from switch.hsm.crypto.macs import cmac, hmac_sha256, pad_1
from tests.hsm.crypto.published import h, published, rows

BASE_KEY = h("FEDCBA9876543210F1F1F1F1F1F1F1F1")
INITIAL_KEY_ID = h("1234567890123456")
ALL_WORKING = tuple(usage for usage in Usage if usage is not Usage.INITIAL_KEY)
COUNTERS = st.lists(st.integers(0, 31), min_size=1, max_size=16, unique=True).map(
    lambda places: sum(1 << place for place in places)
)


def serial(counter: int) -> bytes:
    return INITIAL_KEY_ID + counter.to_bytes(4)


@pytest.mark.parametrize("vector", rows("dukpt_aes", "initial"))
def test_published_initial_keys(vector: dict[str, Any]) -> None:
    made = dukpt_aes.initial_key(h(vector["base_key"]), h(vector["initial_key_id"]))
    assert made == h(vector["key"])


@pytest.mark.parametrize("vector", rows("dukpt_aes", "transaction"))
def test_published_transaction_keys(vector: dict[str, Any]) -> None:
    made = dukpt_aes.transaction_key(h(vector["initial_key"]), h(vector["serial"]))
    assert made == h(vector["key"])


@pytest.mark.parametrize("vector", rows("dukpt_aes", "working"))
def test_published_working_keys(vector: dict[str, Any]) -> None:
    usage, algorithm = Usage[vector["usage"]], Algorithm[vector["algorithm"]]
    made = dukpt_aes.working_key(h(vector["initial_key"]), h(vector["serial"]), usage, algorithm)
    assert made == h(vector["key"])


@pytest.mark.parametrize("vector", rows("dukpt_aes", "update"))
def test_published_update_keys(vector: dict[str, Any]) -> None:
    made = dukpt_aes.update_key(
        h(vector["initial_key"]), h(vector["initial_key_id"]), Algorithm[vector["algorithm"]]
    )
    assert made == h(vector["key"])


@pytest.mark.parametrize("vector", rows("dukpt_aes", "message"))
def test_published_messages(vector: dict[str, Any]) -> None:
    initial = dukpt_aes.initial_key(h(vector["base_key"]), h(vector["serial"])[:8])
    data = h(vector["data"])

    def key(usage: Usage, algorithm: Algorithm = Algorithm.AES_128) -> bytes:
        return dukpt_aes.working_key(initial, h(vector["serial"]), usage, algorithm)

    for usage, cipher_usage, side in (
        (Usage.MAC_GENERATION, Usage.DATA_ENCRYPT, "request"),
        (Usage.MAC_VERIFICATION, Usage.DATA_DECRYPT, "response"),
    ):
        assert cmac(key(usage), data) == h(vector[f"cmac_{side}"])
        assert hmac_sha256(key(usage, Algorithm.HMAC_128), data) == h(vector[f"hmac_128_{side}"])
        enciphered = aes_cbc_encrypt(key(cipher_usage), pad_1(data, 16))
        assert enciphered == h(vector[f"cbc_zero_padded_{side}"])


@pytest.mark.parametrize("text", published("dukpt_aes")["refused_serials"])
def test_a_serial_no_terminal_uses_is_never_derived_for(text: str) -> None:
    deriver = Deriver(BASE_KEY)
    for derive in (
        lambda: dukpt_aes.working_key(BASE_KEY, h(text), Usage.PIN),
        lambda: dukpt_aes.transaction_key(BASE_KEY, h(text)),
        lambda: deriver.working_keys(h(text), (Usage.PIN,)),
        lambda: deriver.working_key(h(text), Usage.PIN),
    ):
        with pytest.raises(ValueError, match="no terminal uses counter"):
            derive()


def test_valid_counters_have_one_to_sixteen_ones() -> None:
    assert not dukpt_aes.valid_counter(0)
    assert dukpt_aes.valid_counter(1)
    assert dukpt_aes.valid_counter(0xFFFF)
    assert not dukpt_aes.valid_counter(0x1FFFF)
    assert dukpt_aes.valid_counter(0xFFFF0000)
    assert not dukpt_aes.valid_counter(0xFFFF0001)
    assert not dukpt_aes.valid_counter(0xFFFFFFFF)
    assert not dukpt_aes.valid_counter(1 << 32)
    assert not dukpt_aes.valid_counter(-1)


@pytest.mark.parametrize("size", [0, 8, 10, 11, 13])
def test_other_serial_lengths_are_refused(size: int) -> None:
    with pytest.raises(ValueError, match="12 bytes"):
        dukpt_aes.working_key(BASE_KEY, b"\1" * size, Usage.PIN)
    with pytest.raises(ValueError, match="12 bytes"):
        Deriver(BASE_KEY).working_keys(b"\1" * size, (Usage.PIN,))


@pytest.mark.parametrize("size", [0, 7, 9, 12])
def test_other_initial_key_ids_are_refused(size: int) -> None:
    for derive in (dukpt_aes.initial_key, dukpt_aes.update_key):
        with pytest.raises(ValueError, match="8 bytes"):
            derive(BASE_KEY, bytes(size))


@pytest.mark.parametrize("size", [0, 8, 15, 17, 31, 33])
def test_other_base_keys_are_refused(size: int) -> None:
    with pytest.raises(ValueError, match="16, 24 or 32 bytes"):
        dukpt_aes.initial_key(bytes(size), INITIAL_KEY_ID)
    with pytest.raises(ValueError, match="16, 24 or 32 bytes"):
        Deriver(bytes(size))


@pytest.mark.parametrize("size", [16, 24, 32])
@pytest.mark.parametrize("algorithm", Algorithm)
def test_a_working_key_is_never_stronger_than_its_source(size: int, algorithm: Algorithm) -> None:
    strength = {Algorithm.TDES_2: 80, Algorithm.TDES_3: 112}.get(algorithm, algorithm.bits)
    deriver = Deriver(bytes(size))
    initial = deriver.initial_key(INITIAL_KEY_ID)
    for usage in ALL_WORKING:
        if strength <= size * 8:
            key = dukpt_aes.working_key(initial, serial(5), usage, algorithm)
            assert len(key) * 8 == algorithm.bits
            assert deriver.working_key(serial(5), usage, algorithm) == key
        else:
            with pytest.raises(ValueError, match="stronger than the key"):
                dukpt_aes.working_key(initial, serial(5), usage, algorithm)


def test_an_initial_key_is_no_working_key() -> None:
    with pytest.raises(ValueError, match="no working key"):
        dukpt_aes.working_key(BASE_KEY, serial(1), Usage.INITIAL_KEY)
    with pytest.raises(ValueError, match="no working key"):
        Deriver(BASE_KEY).working_keys(serial(1), (Usage.PIN, Usage.INITIAL_KEY))


def test_all_keys_of_one_serial_differ() -> None:
    initial = dukpt_aes.initial_key(BASE_KEY * 2, INITIAL_KEY_ID)
    keys = {
        dukpt_aes.working_key(initial, serial(7), usage, algorithm)[:16]
        for usage in ALL_WORKING
        for algorithm in Algorithm
    }
    assert len(keys) == len(ALL_WORKING) * len(Algorithm)


@given(st.lists(COUNTERS, min_size=1, max_size=12), st.sampled_from((16, 24, 32)), st.integers(1, 5))
def test_kept_parents_change_nothing(counters: list[int], size: int, kept: int) -> None:
    base_key = (BASE_KEY * 2)[:size]
    deriver = Deriver(base_key, parents_kept=kept)
    initial = dukpt_aes.initial_key(base_key, INITIAL_KEY_ID)
    usages = (Usage.PIN, Usage.MAC_GENERATION, Usage.MAC_VERIFICATION)
    for counter in counters:
        expected = tuple(dukpt_aes.working_key(initial, serial(counter), usage) for usage in usages)
        assert deriver.working_keys(serial(counter), usages) == expected
        assert deriver.working_key(serial(counter), Usage.PIN) == expected[0]


def test_a_run_of_counters_over_several_terminals() -> None:
    deriver = Deriver(BASE_KEY, parents_kept=8)
    for counter in range(1, 70):
        for terminal in (b"\0\0\0\1", b"\0\0\0\2", b"\xff" * 4):
            name = INITIAL_KEY_ID[:4] + terminal
            initial = dukpt_aes.initial_key(BASE_KEY, name)
            one = name + counter.to_bytes(4)
            assert deriver.working_keys(one, (Usage.PIN,)) == (
                dukpt_aes.working_key(initial, one, Usage.PIN),
            )


def test_no_more_parents_are_kept_than_allowed() -> None:
    deriver = Deriver(BASE_KEY, parents_kept=3)
    for terminal in range(50):
        deriver.working_keys(bytes(4) + terminal.to_bytes(4) + b"\0\0\0\3", (Usage.PIN,))
        assert deriver.parents <= 3
