"""TDES DUKPT against ANSI X9.24-1 and another implementation."""

from __future__ import annotations

from typing import Any

import pydukpt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from switch.hsm.crypto import dukpt_tdes
from switch.hsm.crypto.ciphers import tdes_cbc_encrypt, tdes_ecb_encrypt
from switch.hsm.crypto.dukpt_tdes import Use
from switch.hsm.crypto.macs import algorithm_3, pad_1
from tests.hsm.crypto.published import h, published, rows

TABLE = published("dukpt_tdes")
INITIAL = h(TABLE["initial_key"])
COUNTERS = st.lists(st.integers(0, 20), min_size=1, max_size=10, unique=True).map(
    lambda places: sum(1 << place for place in places)
)
PEERS = {
    Use.PIN: pydukpt.pin_key,
    Use.MAC_REQUEST: pydukpt.mac_request_key,
    Use.MAC_RESPONSE: pydukpt.mac_response_key,
    Use.DATA_REQUEST: pydukpt.data_request_key,
    Use.DATA_RESPONSE: pydukpt.data_response_key,
}


def test_published_initial_key() -> None:
    serial = h(TABLE["vectors"][0]["serial"])
    assert dukpt_tdes.initial_key(h(TABLE["base_key"]), serial) == INITIAL


@pytest.mark.parametrize("vector", rows("dukpt_tdes"))
def test_published_sequence(vector: dict[str, Any]) -> None:
    serial = h(vector["serial"])
    assert dukpt_tdes.transaction_key(INITIAL, serial) == h(vector["key"])
    pin_key = dukpt_tdes.working_key(INITIAL, serial, Use.PIN)
    assert tdes_ecb_encrypt(pin_key, h(TABLE["pin_block"])) == h(vector["enciphered"])


@pytest.mark.parametrize("vector", rows("dukpt_tdes", "variants"))
def test_published_variants(vector: dict[str, Any]) -> None:
    made = dukpt_tdes.working_key(INITIAL, h(vector["serial"]), Use[vector["use"]])
    assert made == h(vector["key"])


@pytest.mark.parametrize("vector", rows("dukpt_tdes", "messages"))
def test_published_messages(vector: dict[str, Any]) -> None:
    text, serial = TABLE["message"].encode(), h(vector["serial"])
    for direction in ("request", "response"):
        key = dukpt_tdes.working_key(INITIAL, serial, Use[f"MAC_{direction.upper()}"])
        assert algorithm_3(key, text) == h(vector[f"mac_{direction}"])
        key = dukpt_tdes.working_key(INITIAL, serial, Use[f"DATA_{direction.upper()}"])
        assert tdes_cbc_encrypt(key, pad_1(text), bytes(8)) == h(vector[f"data_{direction}"])


@given(st.binary(min_size=16, max_size=16), st.integers(0, (1 << 59) - 1), COUNTERS)
def test_agrees_with_another_implementation(base_key: bytes, name: int, counter: int) -> None:
    serial = (name << 21 | counter).to_bytes(10)
    initial = dukpt_tdes.initial_key(base_key, serial)
    assert initial == pydukpt.derive_ipek(base_key, serial)
    key = dukpt_tdes.transaction_key(initial, serial)
    assert key == pydukpt.derive_key(initial, serial)
    for use, peer in PEERS.items():
        assert dukpt_tdes.working_key(initial, serial, use) == peer(key)


def test_counter_zero_is_the_initial_key() -> None:
    assert dukpt_tdes.transaction_key(INITIAL, h("FFFF9876543210E00000")) == INITIAL


@pytest.mark.parametrize("serial", ["FFFF9876543210E007FF", "FFFF9876543210FFFFFF"])
def test_counters_with_more_than_ten_ones_are_refused(serial: str) -> None:
    with pytest.raises(ValueError, match="no terminal uses counter"):
        dukpt_tdes.working_key(INITIAL, h(serial), Use.PIN)


@pytest.mark.parametrize("size", [0, 8, 9, 11, 12])
def test_other_serial_lengths_are_refused(size: int) -> None:
    with pytest.raises(ValueError, match="10 bytes"):
        dukpt_tdes.initial_key(INITIAL, bytes(size))
    with pytest.raises(ValueError, match="10 bytes"):
        dukpt_tdes.transaction_key(INITIAL, bytes(size))


@pytest.mark.parametrize("size", [0, 8, 24, 32])
def test_other_keys_are_refused(size: int) -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        dukpt_tdes.initial_key(bytes(size), bytes(10))
    with pytest.raises(ValueError, match="16 bytes"):
        dukpt_tdes.transaction_key(bytes(size), bytes(10))
