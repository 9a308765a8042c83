"""The working keys of transactions under way: right in any order, derived once, bounded, wiped."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from switch.hsm.crypto import dukpt_aes, pin_blocks
from switch.hsm.crypto.ciphers import aes_cbc_encrypt
from switch.hsm.crypto.dukpt_aes import Usage
from switch.hsm.crypto.macs import cmac, pad_2
from switch.hsm.crypto.pin_blocks import PinBlockError
from switch.hsm.crypto.transaction_keys import TransactionKeys
from tests.hsm.crypto.published import h

BASE_KEY = h("FEDCBA9876543210F1F1F1F1F1F1F1F1")
INITIAL_KEY_ID = h("1234567890123456")
CARD = "9364001234567890"


def serial(counter: int, terminal: int = 1) -> bytes:
    return INITIAL_KEY_ID[:4] + terminal.to_bytes(4) + counter.to_bytes(4)


def key(base_key: bytes, one: bytes, usage: Usage) -> bytes:
    return dukpt_aes.working_key(dukpt_aes.initial_key(base_key, one[:8]), one, usage)


@given(
    st.lists(st.tuples(st.integers(1, 40), st.integers(0, 2), st.integers(0, 4)), min_size=1, max_size=20),
    st.sampled_from((16, 24, 32)),
    st.integers(1, 4),
    st.binary(max_size=40),
)
def test_any_order_of_operations_is_as_with_keys_derived_one_by_one(
    steps: list[tuple[int, int, int]], size: int, kept: int, data: bytes
) -> None:
    base_key = (BASE_KEY * 2)[:size]
    keys = TransactionKeys(base_key, serials_kept=kept)
    for counter, terminal, step in steps:
        one = serial(counter, terminal)
        if step == 0:
            assert keys.request_mac(one, data) == cmac(key(base_key, one, Usage.MAC_GENERATION), data)
        elif step == 1:
            assert keys.response_mac(one, data) == cmac(key(base_key, one, Usage.MAC_VERIFICATION), data)
        elif step == 2:
            block = pin_blocks.seal_iso_4(key(base_key, one, Usage.PIN), "123456", CARD)
            assert keys.open_pin(one, block, CARD) == "123456"
        elif step == 3:
            for usage, from_terminal in ((Usage.DATA_ENCRYPT, True), (Usage.DATA_DECRYPT, False)):
                enciphered = aes_cbc_encrypt(key(base_key, one, usage), pad_2(data, 16))
                assert keys.encrypt(one, data, from_terminal=from_terminal) == enciphered
                assert keys.decrypt(one, enciphered, from_terminal=from_terminal) == data
        else:
            keys.forget(one)
        assert keys.serials <= kept


def test_a_transaction_is_derived_once_however_many_others_are_under_way() -> None:
    keys = TransactionKeys(BASE_KEY, serials_kept=500)
    under_way = [serial(counter, terminal) for counter in range(1, 6) for terminal in range(100)]
    for one in under_way:
        keys.request_mac(one, b"request")
    derived: list[bytes] = []
    derive = keys.deriver.working_keys_into

    class Counting:
        def working_keys_into(self, room: bytearray, one: bytes, heads: tuple[bytes, ...]) -> None:
            derived.append(one)
            derive(room, one, heads)

    keys.deriver = Counting()  # type: ignore[assignment]
    for one in under_way:
        with pytest.raises(PinBlockError):
            keys.open_pin(one, bytes(16), CARD)
        keys.response_mac(one, b"answer")
    assert derived == []
    keys.request_mac(serial(9), b"request")
    keys.response_mac(under_way[0], b"answer")
    assert derived == [serial(9), under_way[0]]  # one more than fit: only the oldest had to leave


def test_what_is_forgotten_leaves_no_key_in_any_buffer() -> None:
    keys = TransactionKeys(BASE_KEY)
    one, other = serial(1), serial(2)
    for each in (one, other):
        keys.request_mac(each, b"request")
    buffers = [*keys._kept.values(), keys._room]
    assert all(any(buffer) for buffer in buffers)
    keys.forget(other)
    keys.forget(other)
    assert [any(buffer) for buffer in buffers] == [True, False, False]
    keys.request_mac(one, b"request")
    keys.close()
    assert not any(any(buffer) for buffer in buffers)
    assert keys.serials == 0
    assert keys.response_mac(one, b"") == cmac(key(BASE_KEY, one, Usage.MAC_VERIFICATION), b"")


def test_who_is_pushed_out_is_wiped() -> None:
    keys = TransactionKeys(BASE_KEY, serials_kept=1)
    keys.request_mac(serial(1), b"")
    first = keys._kept[serial(1)]
    keys.request_mac(serial(2), b"")
    assert not any(first)


@pytest.mark.parametrize("counter", [0, 0x1FFFF, 0xFFFFFFFF])
def test_a_serial_no_terminal_uses_leaves_nothing_behind(counter: int) -> None:
    keys = TransactionKeys(BASE_KEY)
    for refused in (b"", bytes(11)):
        with pytest.raises(ValueError, match="12 bytes"):
            keys.request_mac(refused, b"data")
    right = keys.request_mac(serial(1), b"data")
    for refused in (serial(counter), b"", bytes(11)):
        with pytest.raises(ValueError, match=r"12 bytes|no terminal uses"):
            keys.request_mac(refused, b"data")
    assert keys.serials == 1
    assert keys.request_mac(serial(1), b"data") == right


@pytest.mark.parametrize("size", [1, 15, 17])
def test_enciphered_data_are_whole_blocks(size: int) -> None:
    with pytest.raises(ValueError, match="whole blocks"):
        TransactionKeys(BASE_KEY).decrypt(serial(1), bytes(size), from_terminal=True)
