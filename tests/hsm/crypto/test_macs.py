"""MACs and paddings against NIST SP 800-38B, ISO/IEC 9797-1 and other implementations."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import psec
import pytest
from Crypto.Cipher import AES, DES3
from Crypto.Hash import CMAC
from hypothesis import given
from hypothesis import strategies as st

from switch.hsm.crypto import macs
from tests.hsm.crypto.published import h, rows

MESSAGES = st.binary(max_size=200)


@pytest.mark.parametrize("vector", rows("cmac"))
def test_published_cmac(vector: dict[str, Any]) -> None:
    key, data, mac = h(vector["key"]), h(vector["data"]), h(vector["mac"])
    assert macs.cmac(key, data) == mac
    keyed = macs.KeyedCmac(key)
    assert [keyed.mac(data), keyed.mac(data)] == [mac, mac]


@pytest.mark.parametrize("vector", rows("mac"))
def test_published_macs_under_tdes(vector: dict[str, Any]) -> None:
    key, data, padding = h(vector["key"]), h(vector["data"]), vector["padding"]
    full = {
        "tdes-cmac": lambda: macs.tdes_cmac(key, data),
        "algorithm-1": lambda: macs.algorithm_1(key, data, padding),
        "algorithm-3": lambda: macs.algorithm_3(key, data, padding),
    }[vector["method"]]()
    assert len(full) == 8
    assert full.hex().upper().startswith(vector["mac"])


@given(st.sampled_from((16, 24, 32)).flatmap(lambda n: st.binary(min_size=n, max_size=n)), MESSAGES)
def test_cmac_agrees_with_another_implementation(key: bytes, data: bytes) -> None:
    assert macs.cmac(key, data) == CMAC.new(key, data, ciphermod=AES).digest()


@given(st.binary(min_size=24, max_size=24), MESSAGES)
def test_tdes_cmac_agrees_with_another_implementation(key: bytes, data: bytes) -> None:
    if key[:8] == key[8:16] or key[8:16] == key[16:]:
        key = bytes(range(24))
    adjusted = DES3.adjust_key_parity(key)
    assert macs.tdes_cmac(adjusted, data) == CMAC.new(adjusted, data, ciphermod=DES3).digest()


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
@given(st.binary(min_size=16, max_size=16), MESSAGES, st.sampled_from((1, 2, 3)))
def test_algorithms_of_iso_9797_agree_with_psec(key: bytes, data: bytes, padding: int) -> None:
    assert macs.algorithm_3(key, data, padding) == psec.mac.generate_retail_mac(
        key[:8], key[8:], data, padding, 8
    )
    assert macs.algorithm_1(key, data, padding) == psec.mac.generate_cbc_mac(key, data, padding, 8)


@given(st.binary(max_size=80), MESSAGES)
def test_hmac_is_that_of_the_standard_library(key: bytes, data: bytes) -> None:
    assert macs.hmac_sha256(key, data) == hmac.new(key, data, hashlib.sha256).digest()


def test_hmac_of_rfc_4231() -> None:
    expected = "5BDCC146BF60754E6A042426089575C75A003F089D2739839DEC58B964EC3843"
    assert macs.hmac_sha256(b"Jefe", b"what do ya want for nothing?") == h(expected)


def test_a_third_key_part_ends_algorithm_3() -> None:
    key = bytes(range(16))
    assert macs.algorithm_3(key + key[:8], b"data") == macs.algorithm_3(key, b"data")
    assert macs.algorithm_3(key + bytes(8), b"data") != macs.algorithm_3(key, b"data")


def test_algorithm_3_of_one_block_is_tdes() -> None:
    assert macs.algorithm_3(bytes(range(16)), b"8 bytes!") == macs.algorithm_1(bytes(range(16)), b"8 bytes!")


@pytest.mark.parametrize("size", [8, 15, 32])
def test_algorithm_3_refuses_other_keys(size: int) -> None:
    with pytest.raises(ValueError, match="algorithm 3 takes a key of 16 or 24 bytes"):
        macs.algorithm_3(bytes(size), b"data")


@pytest.mark.parametrize("data", [b"", b"seven b"])
def test_without_padding_only_whole_blocks_are_taken(data: bytes) -> None:
    with pytest.raises(ValueError, match="without padding"):
        macs.algorithm_1(bytes(8), data, 0)


def test_unknown_paddings_are_refused() -> None:
    with pytest.raises(ValueError, match="padding is one of"):
        macs.algorithm_1(bytes(8), b"data", 4)


def test_paddings_of_nothing_and_of_whole_blocks() -> None:
    assert macs.pad_1(b"") == bytes(8)
    assert macs.pad_1(bytes(8)) == bytes(8)
    assert macs.pad_2(b"") == h("8000000000000000")
    assert macs.pad_2(b"\1" * 8) == b"\1" * 8 + h("8000000000000000")
    assert macs.pad_3(b"") == bytes(16)
    assert macs.pad_3(b"abc") == h("0000000000000018") + b"abc" + bytes(5)


@given(MESSAGES, st.sampled_from((8, 16)))
def test_padding_2_comes_off_again(data: bytes, block: int) -> None:
    padded = macs.pad_2(data, block)
    assert len(padded) % block == 0
    assert macs.unpad_2(padded, block) == data


@pytest.mark.parametrize(
    "data", [b"", bytes(16), b"\x80" + bytes(16), b"\x01" * 16, b"\x80", b"\x80" + bytes(31), b"a" * 15]
)
def test_what_is_no_padding_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="padding"):
        macs.unpad_2(data, 16)
