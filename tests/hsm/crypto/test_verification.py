"""PVV, IBM 3624 and CVV against captured answers of a real box and another implementation."""

from __future__ import annotations

from typing import Any

import psec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from switch.hsm.crypto import pin_blocks, verification
from switch.hsm.crypto.ciphers import tdes_ecb_decrypt
from switch.hsm.crypto.master_keys import TEST_TDES_BLOCK_KEY, BlockMasterKey
from tests.hsm.crypto.published import h, rows

pytestmark = pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")

KEY = h("0123456789ABCDEFFEDCBA9876543210")
MASTER = BlockMasterKey(TEST_TDES_BLOCK_KEY)
TABLE = "0123456789012345"  # what the captures' enciphered table 709F26B22464E96A stands for
DIGITS = "0123456789"
KEYS = st.binary(min_size=16, max_size=16)
CARDS = st.text(DIGITS, min_size=13, max_size=19)


def captured_pin(vector: dict[str, Any]) -> str:
    """The PIN of an enciphered format 0 block; boxes take the 12 digits before the check digit."""
    block = tdes_ecb_decrypt(MASTER.unwrap(vector["zone_pin"]).key, h(vector["block"]))
    return pin_blocks.decode(0, block, vector["account"] + "0")


@pytest.mark.parametrize("vector", rows("verification", "cvv"))
def test_published_cvvs(vector: dict[str, Any]) -> None:
    made = verification.cvv(h(vector["key"]), vector["card"], vector["expiry"], vector["service"])
    assert made == vector["value"]


@pytest.mark.parametrize("vector", rows("verification", "cvv_tokens"))
def test_captured_cvvs(vector: dict[str, Any]) -> None:
    key = MASTER.unwrap(vector["token"]).key
    assert verification.cvv(key, vector["card"], vector["expiry"], vector["service"]) == vector["value"]


@pytest.mark.parametrize("vector", rows("verification", "pvv"))
def test_published_pvvs(vector: dict[str, Any]) -> None:
    made = verification.pvv(h(vector["key"]), vector["card"], vector["index"], vector["pin"])
    assert made == vector["value"]


@pytest.mark.parametrize("vector", rows("verification", "pvv_tokens"))
def test_captured_pvvs(vector: dict[str, Any]) -> None:
    key, card = MASTER.unwrap(vector["token"]).key, vector["account"] + "0"
    made = verification.pvv(key, card, vector["index"], captured_pin(vector))
    assert made == vector["value"]


@pytest.mark.parametrize("vector", rows("verification", "ibm_3624"))
def test_published_offsets(vector: dict[str, Any]) -> None:
    key, validation, table = h(vector["key"]), vector["validation"], vector["table"]
    assert verification.ibm_3624_offset(key, vector["pin"], validation, table) == vector["offset"]


@pytest.mark.parametrize("vector", rows("verification", "ibm_3624_tokens"))
def test_captured_offsets(vector: dict[str, Any]) -> None:
    key = MASTER.unwrap(vector["token"]).key
    # N stands for the last five account digits.
    validation = vector["validation"].replace("N", vector["account"][-5:])
    pin, offset = captured_pin(vector), vector["offset"]
    assert verification.ibm_3624_offset(key, pin, validation, TABLE) == offset
    assert verification.ibm_3624_chosen_pin(key, offset, validation, TABLE) == pin
    assert verification.ibm_3624_matches(key, pin, offset, validation, TABLE)
    assert not verification.ibm_3624_matches(key, pin[::-1], offset, validation, TABLE)


@given(KEYS, CARDS, st.integers(0, 9), st.text(DIGITS, min_size=4, max_size=4))
def test_pvv_agrees_with_psec(key: bytes, card: str, index: int, pin: str) -> None:
    value = verification.pvv(key, card, index, pin)
    assert value == psec.pin.generate_visa_pvv(key, str(index), pin, card)
    assert verification.pvv(key, card, index, pin + "99") == value
    assert verification.pvv_matches(key, card, index, pin, value)


@given(KEYS, CARDS, st.text(DIGITS, min_size=4, max_size=4), st.text(DIGITS, min_size=3, max_size=3))
def test_cvv_agrees_with_psec(key: bytes, card: str, expiry: str, service: str) -> None:
    value = verification.cvv(key, card, expiry, service)
    peer = psec.cvv.generate_cvv(key, card, expiry, service)
    assert len(value) == 3
    assert value.startswith(peer)  # psec gives fewer digits where the block has fewer
    assert verification.cvv_matches(key, card, expiry, service, value)


@given(
    st.sampled_from((8, 16, 24)).flatmap(lambda n: st.binary(min_size=n, max_size=n)),
    st.text(DIGITS, min_size=16, max_size=16),
    st.text(DIGITS, min_size=4, max_size=12),
    st.text(DIGITS, min_size=16, max_size=16),
)
def test_offsets_agree_with_psec(key: bytes, card: str, pin: str, table: str) -> None:
    offset = verification.ibm_3624_offset(key, pin, card, table)
    assert offset == psec.pin.generate_ibm3624_offset(key, table, pin, card, 0, 16, "F")
    assert verification.ibm_3624_chosen_pin(key, offset, card, table) == pin
    assert verification.ibm_3624_matches(key, pin, offset, card, table)


def test_letters_become_digits_when_digits_run_out() -> None:
    """Blocks with fewer than four decimal digits: the letters of the second pass fill up."""
    found = 0
    for number in range(3000):
        card = f"9364{number:011}0"
        block = verification.tdes_ecb_encrypt(KEY, h(card[-12:-1] + "1" + "1234")).hex()
        digits = [one for one in block if one.isdigit()]
        if len(digits) < 4:
            found += 1
            letters = [str("abcdef".index(one)) for one in block if one.isalpha()]
            assert verification.pvv(KEY, card, 1, "1234") == "".join([*digits, *letters][:4])
    assert found


@pytest.mark.parametrize(
    ("card", "index", "pin"),
    [
        ("93640012345", 1, "1234"),
        ("936400123456789x", 1, "1234"),
        ("9364001234567890", 10, "1234"),
        ("9364001234567890", -1, "1234"),
        ("9364001234567890", 1, "123"),
        ("9364001234567890", 1, "12a4"),
        ("9364001234567890", 1, "۱۲۳۴"),
    ],
)
def test_bad_pvv_input_is_refused(card: str, index: int, pin: str) -> None:
    with pytest.raises(ValueError, match=r"a PVV takes|is not digits") as caught:
        verification.pvv(KEY, card, index, pin)
    assert card not in str(caught.value)


def test_other_keys_are_refused() -> None:
    with pytest.raises(ValueError, match="a PVK has"):
        verification.pvv(KEY[:8], "9364001234567890", 1, "1234")
    with pytest.raises(ValueError, match="a CVK has"):
        verification.cvv(KEY + KEY[:8], "9364001234567890", "2912", "101")


@pytest.mark.parametrize(
    ("card", "expiry", "service"),
    [
        ("", "2912", "101"),
        ("1" * 20, "2912", "101"),
        ("9364001234567890", "291", "101"),
        ("9364001234567890", "29123", "101"),
        ("9364001234567890", "2912", "10"),
        ("9364001234567890", "2912", "1 1"),
        ("9364001234567890", "29/2", "101"),
    ],
)
def test_bad_cvv_input_is_refused(card: str, expiry: str, service: str) -> None:
    with pytest.raises(ValueError, match=r"a CVV takes|is not digits"):
        verification.cvv(KEY, card, expiry, service)


@pytest.mark.parametrize(
    ("validation", "table", "digits"),
    [
        ("1" * 15, TABLE, 4),
        ("1" * 15 + "a", TABLE, 4),
        ("1" * 15 + "N", TABLE, 4),
        ("1" * 16, TABLE[:15], 4),
        ("1" * 16, TABLE[:15] + "F", 4),
        ("1" * 16, TABLE, 3),
        ("1" * 16, TABLE, 17),
    ],
)
def test_bad_ibm_input_is_refused(validation: str, table: str, digits: int) -> None:
    with pytest.raises(ValueError, match=r"validation data|decimalisation table|PIN 4 to 16"):
        verification.ibm_3624_pin(KEY, validation, table, digits)


@pytest.mark.parametrize("value", ["", "1", "12345", "abcd", "۱۲۳۴"])
def test_values_of_another_form_never_match(value: str) -> None:
    assert not verification.pvv_matches(KEY, "9364001234567890", 1, "1234", value)
    assert not verification.cvv_matches(KEY, "9364001234567890", "2912", "101", value)
