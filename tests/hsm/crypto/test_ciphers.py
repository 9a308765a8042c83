"""Block ciphers against other implementations and FIPS 197; the one comparison of secrets."""

from __future__ import annotations

import warnings

import pytest
from Crypto.Cipher import AES, DES, DES3
from cryptography.utils import CryptographyDeprecationWarning
from hypothesis import given
from hypothesis import strategies as st

from switch.hsm.crypto import ciphers, macs
from tests.hsm.crypto.published import h

AES_KEYS = st.sampled_from((16, 24, 32)).flatmap(lambda size: st.binary(min_size=size, max_size=size))
DATA = st.integers(1, 8).flatmap(lambda count: st.binary(min_size=16 * count, max_size=16 * count))


def test_aes_of_fips_197() -> None:
    data, key = h("00112233445566778899AABBCCDDEEFF"), bytes(range(32))
    for size, expected in (
        (16, "69C4E0D86A7B0430D8CDB78070B4C55A"),
        (24, "DDA97CA4864CDFE06EAF70A0EC0D7191"),
        (32, "8EA2B7CA516745BFEAFC49904B496089"),
    ):
        assert ciphers.aes_ecb_encrypt(key[:size], data) == h(expected)
        assert ciphers.aes_ecb_decrypt(key[:size], h(expected)) == data


@given(AES_KEYS, DATA, st.binary(min_size=16, max_size=16))
def test_aes_agrees_with_another_implementation(key: bytes, data: bytes, vector: bytes) -> None:
    enciphered = AES.new(key, AES.MODE_CBC, vector).encrypt(data)
    assert ciphers.aes_cbc_encrypt(key, data, vector) == enciphered
    assert ciphers.aes_cbc_decrypt(key, enciphered, vector) == data
    assert ciphers.aes_ecb_encrypt(key, data) == AES.new(key, AES.MODE_ECB).encrypt(data)
    assert ciphers.aes_block_encryptor(key).update(data) == AES.new(key, AES.MODE_ECB).encrypt(data)
    assert ciphers.aes_chained_decryptor(key).update(ciphers.aes_cbc_encrypt(key, data)) == data
    assert ciphers.aes_cbc_encrypt(key, data) == AES.new(key, AES.MODE_CBC, bytes(16)).encrypt(data)


def test_a_kept_key_has_no_memory_of_what_it_enciphered() -> None:
    key = ciphers.aes_block_encryptor(bytes(16))
    first = key.update(bytes(16))
    assert key.update(bytes(32)) == first * 2
    assert key.update(bytes(16)) == first


@given(st.lists(st.binary(min_size=16, max_size=16), min_size=2, max_size=5), DATA)
def test_a_place_works_under_the_key_that_lies_there_now(keys: list[bytes], data: bytes) -> None:
    place = ciphers.AesPlace(bytearray(16))
    made = []
    for key in keys:
        place.key[:] = key
        assert macs.cmac_in(place, data) == macs.cmac(key, data)
        made.append((place.block_encryptor(), place.chained_encryptor(), place.chained_decryptor()))
    place.key[:] = bytes(16)  # what was made before keeps its key
    for key, (block, chained, back) in zip(keys, made, strict=True):
        assert block.update(data) == ciphers.aes_ecb_encrypt(key, data)
        assert chained.update(data) == ciphers.aes_cbc_encrypt(key, data)
        assert back.update(data) == ciphers.aes_cbc_decrypt(key, data)


@given(st.binary(min_size=8, max_size=8), DATA, st.binary(min_size=8, max_size=8))
def test_single_des_is_tdes_of_one_key(key: bytes, data: bytes, vector: bytes) -> None:
    enciphered = DES.new(key, DES.MODE_CBC, vector).encrypt(data)
    assert ciphers.tdes_cbc_encrypt(key, data, vector) == enciphered
    assert ciphers.tdes_cbc_decrypt(key, enciphered, vector) == data
    assert ciphers.tdes_ecb_encrypt(key, data) == DES.new(key, DES.MODE_ECB).encrypt(data)
    assert ciphers.tdes_ecb_decrypt(key, ciphers.tdes_ecb_encrypt(key, data)) == data


@pytest.mark.parametrize("size", [16, 24])
def test_tdes_agrees_with_another_implementation(size: int) -> None:
    key, data = bytes(range(1, size + 1)), bytes(range(64))
    peer = DES3.new(DES3.adjust_key_parity(key), DES3.MODE_CBC, bytes(8))
    assert ciphers.tdes_cbc_encrypt(key, data) == peer.encrypt(data)


def test_tdes_never_warns_of_short_keys() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", CryptographyDeprecationWarning)
        for size in ciphers.TDES_KEY_BYTES:
            ciphers.tdes_ecb_encrypt(bytes(range(size)), bytes(8))


@pytest.mark.parametrize("size", [0, 1, 8, 15, 17, 31, 33])
def test_other_aes_key_lengths_are_refused(size: int) -> None:
    with pytest.raises(ValueError, match="an AES key has"):
        ciphers.aes_ecb_encrypt(bytes(size), bytes(16))


@pytest.mark.parametrize("size", [0, 7, 9, 15, 17, 23, 25, 32])
def test_other_tdes_key_lengths_are_refused(size: int) -> None:
    with pytest.raises(ValueError, match="a TDES key has"):
        ciphers.tdes_ecb_encrypt(bytes(size), bytes(8))


@pytest.mark.parametrize("size", [1, 15, 17])
def test_parts_of_blocks_are_refused(size: int) -> None:
    for cipher in (ciphers.aes_ecb_encrypt, ciphers.aes_ecb_decrypt):
        with pytest.raises(ValueError, match="no whole blocks"):
            cipher(bytes(16), bytes(size))
    for chain in (ciphers.aes_cbc_encrypt, ciphers.aes_cbc_decrypt, ciphers.tdes_cbc_encrypt):
        with pytest.raises(ValueError, match="no whole blocks"):
            chain(bytes(16), bytes(size))


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_same_is_equality(left: bytes, right: bytes) -> None:
    assert ciphers.same(left, left)
    assert ciphers.same(left, right) == (left == right)
    assert ciphers.same(left.hex(), right.hex()) == (left == right)


def test_same_takes_any_text() -> None:
    assert not ciphers.same("۱۲۳۴", "1234")
    assert ciphers.same("۱۲۳۴", "۱۲۳۴")


@given(st.binary(min_size=1, max_size=24))
def test_odd_parity_changes_only_lowest_bits(key: bytes) -> None:
    odd = ciphers.odd_parity(key)
    assert ciphers.has_odd_parity(odd)
    assert all((one ^ other) in (0, 1) for one, other in zip(key, odd, strict=True))


def test_sums_need_equal_lengths() -> None:
    assert ciphers.xor(b"\x00\xff", b"\x0f\x0f") == b"\x0f\xf0"
    assert ciphers.xor(b"", b"") == b""
    with pytest.raises(ValueError, match="have no sum"):
        ciphers.xor(b"a", b"ab")
