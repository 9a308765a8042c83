"""Key tokens as payShield boxes make them: captured and published ones, and what must not open."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from switch.hsm.crypto import master_keys
from switch.hsm.crypto.check_values import check_value
from switch.hsm.crypto.ciphers import odd_parity
from switch.hsm.crypto.key_blocks import Header, KeyBlockError, KeyBlockMacError, OptionalBlock
from switch.hsm.crypto.master_keys import (
    TEST_AES_BLOCK_KEY,
    TEST_TDES_BLOCK_KEY,
    TEST_VARIANT_PAIRS,
    BlockMasterKey,
    TokenError,
    TokenParityError,
    VariantMasterKeys,
)
from tests.hsm.crypto.published import h, rows

AES_MASTER = BlockMasterKey(TEST_AES_BLOCK_KEY)
TDES_MASTER = BlockMasterKey(TEST_TDES_BLOCK_KEY)
VARIANTS = VariantMasterKeys(TEST_VARIANT_PAIRS)
S1 = Header("1", "B0", "A", "X", exportability="N", reserved="00")
S0 = Header("0", "P0", "T", "B", exportability="E", reserved="01")
KEY = odd_parity(bytes(range(16)))
SCHEMES = {"Z": 8, "U": 16, "X": 16, "T": 24, "Y": 24}
KEY_TYPES = [
    variant + pair for variant in "0123456789" for pair in ("00", "01", "02", "03", "08", "09", "0A")
]


@pytest.mark.parametrize("vector", rows("master_key_token", "block"))
def test_published_blocks(vector: dict[str, Any]) -> None:
    scheme = vector["token"][1]
    header, key = BlockMasterKey(h(vector["master_key"]), scheme).unwrap(vector["token"])
    if "key" in vector:
        assert key == h(vector["key"])
    else:
        assert check_value(key, header.algorithm) == vector["check_value"]
    fill = 30 if scheme == "1" else 22
    again = BlockMasterKey(h(vector["master_key"]), scheme).wrap(header, key)
    assert len(again) == len(vector["token"])
    assert len(key) <= fill


@pytest.mark.parametrize(
    ("token", "fill"),
    [
        (
            "S10096B0TN00E0002F21247ABCAF1AAB60415020B95858FA2D3D35DCE0B9CA675739A1C6EC367061107D66472D5097626",
            "53F831C75646159457F7FDC0B5D3",
        ),
        (
            "S10096B0AN00E00021DFDC97FED3ACD531E0F85F811B10D8700B58E7D5CD72CB465DCCE8B79B67CDE6298505CCB7BAD47",
            "1FCF86E2401375FF98B3D12C6D0D",
        ),
    ],
)
def test_published_blocks_byte_for_byte(token: str, fill: str) -> None:
    header, key = AES_MASTER.unwrap(token)
    assert AES_MASTER.wrap(header, key, lambda _size: h(fill)) == token


@pytest.mark.parametrize("vector", rows("master_key_token", "zone"))
def test_published_blocks_under_a_zone_key(vector: dict[str, Any]) -> None:
    zone = BlockMasterKey(h(vector["master_key"])).unwrap(vector["zone_token"]).key
    header, key = BlockMasterKey(zone).unwrap(vector["token"])
    assert header.reserved == "FF"
    assert check_value(key, "T") == vector["check_value"]


@pytest.mark.parametrize("vector", rows("master_key_token", "variant"))
def test_published_variant_tokens(vector: dict[str, Any]) -> None:
    key_type, token = vector["key_type"], vector["token"]
    key = VARIANTS.unwrap(token, key_type)
    if "key" in vector:
        assert key == h(vector["key"])
    else:
        digits = vector["check_value"]
        assert check_value(key, "T", len(digits)) == digits
    assert VARIANTS.wrap(key, key_type, token[0] if token[0] in "UTXY" else "Z") == token


@pytest.mark.parametrize("vector", rows("master_key_token", "variant_zone"))
def test_published_tokens_under_a_zone_key(vector: dict[str, Any]) -> None:
    zone, key = (
        VARIANTS.unwrap(vector["zone_token"], "000"),
        VARIANTS.unwrap(vector["token"], vector["key_type"]),
    )
    under_zone = vector["under_zone"]
    assert master_keys.unwrap_under_zone(zone, under_zone) == key
    scheme = under_zone[0] if under_zone[0] in "UX" else "Z"
    assert master_keys.wrap_under_zone(zone, key, scheme) == under_zone


@given(st.sampled_from((16, 24, 32)).flatmap(lambda n: st.binary(min_size=n, max_size=n)))
def test_what_is_wrapped_unwraps(key: bytes) -> None:
    assert AES_MASTER.unwrap(AES_MASTER.wrap(S1, key)) == (S1, key)
    tdes = (key * 2)[:24]
    assert TDES_MASTER.unwrap(TDES_MASTER.wrap(S0, tdes)) == (S0, tdes)


def test_optional_blocks_go_with_a_token() -> None:
    header = replace(S1, optional=(OptionalBlock("IK", "1234567890123456"),))
    assert AES_MASTER.unwrap(AES_MASTER.wrap(header, KEY)).header == header


@pytest.mark.parametrize(("master", "header"), [(AES_MASTER, S1), (TDES_MASTER, S0)])
def test_every_changed_bit_of_a_block_is_refused(master: BlockMasterKey, header: Header) -> None:
    token = master.wrap(header, KEY)
    for at, character in enumerate(token):
        for bit in range(8):
            with pytest.raises(KeyBlockError):
                master.unwrap(token[:at] + chr(ord(character) ^ 1 << bit) + token[at + 1 :])


@pytest.mark.parametrize(("master", "header"), [(AES_MASTER, S1), (TDES_MASTER, S0)])
def test_every_truncation_is_refused(master: BlockMasterKey, header: Header) -> None:
    token = master.wrap(header, KEY)
    for end in range(len(token)):
        with pytest.raises(KeyBlockError):
            master.unwrap(token[:end])
        with pytest.raises(KeyBlockError):
            master.unwrap(f"{token[:2]}{max(end - 1, 0):04}{token[6:end]}")


def test_another_master_key_is_a_wrong_mac() -> None:
    with pytest.raises(KeyBlockMacError):
        BlockMasterKey(bytes(32)).unwrap(AES_MASTER.wrap(S1, KEY))
    with pytest.raises(KeyBlockMacError):
        BlockMasterKey(bytes(24)).unwrap(TDES_MASTER.wrap(S0, KEY))


def test_blocks_of_the_other_scheme_are_refused() -> None:
    with pytest.raises(TokenError, match="blocks of scheme 1"):
        AES_MASTER.unwrap(TDES_MASTER.wrap(S0, KEY))
    with pytest.raises(TokenError, match="blocks of scheme 0"):
        TDES_MASTER.wrap(S1, KEY)
    with pytest.raises(KeyBlockError, match="version is one of 0, 1"):
        AES_MASTER.unwrap("SD0112P0AE00E0000" + "0" * 95)


@pytest.mark.parametrize(
    "change",
    [
        {"usage": "b0"},
        {"usage": "B"},
        {"algorithm": "Q"},
        {"mode": "Q"},
        {"exportability": "Q"},
        {"reserved": "GG"},
        {"reserved": "1"},
        {"key_version": "-1"},
    ],
)
def test_headers_that_mean_nothing_are_refused(change: dict[str, str]) -> None:
    with pytest.raises(TokenError):
        AES_MASTER.wrap(replace(S1, **change), KEY)


@pytest.mark.parametrize(
    ("size", "scheme"), [(0, None), (8, None), (17, None), (33, None), (16, "2"), (32, "0")]
)
def test_master_keys_that_can_not_be(size: int, scheme: str | None) -> None:
    with pytest.raises(ValueError, match=r"scheme"):
        BlockMasterKey(bytes(size), scheme)


def test_master_key_lengths_and_schemes() -> None:
    assert [BlockMasterKey(bytes(size)).scheme for size in (16, 24, 32)] == ["0", "0", "1"]
    assert BlockMasterKey(bytes(16), "1").scheme == "1"


# ---------------------------------------------------------------- variants


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("key_type", KEY_TYPES)
def test_a_variant_token_gives_its_key_back(scheme: str, key_type: str) -> None:
    key = odd_parity(bytes(range(SCHEMES[scheme])))
    token = VARIANTS.wrap(key, key_type, scheme)
    assert token[0] == scheme or scheme == "Z"
    assert VARIANTS.unwrap(token, key_type) == key


def test_another_key_type_gives_no_key() -> None:
    """What separates uses is the parity alone: one in 65536 wrong uses of a double key would pass it."""
    refused = 0
    token = VARIANTS.wrap(KEY, "001", "U")
    for key_type in KEY_TYPES:
        if key_type != "001":
            try:
                assert VARIANTS.unwrap(token, key_type) != KEY
            except TokenParityError:
                refused += 1
    assert refused == len(KEY_TYPES) - 1


def test_scheme_u_protects_parts_from_being_swapped() -> None:
    token = VARIANTS.wrap(KEY, "001", "U")
    with pytest.raises(TokenParityError):
        VARIANTS.unwrap("U" + token[17:] + token[1:17], "001")
    plain = VARIANTS.wrap(KEY, "001", "X")
    assert VARIANTS.unwrap("X" + plain[17:] + plain[1:17], "001") == KEY[8:] + KEY[:8]


@pytest.mark.parametrize(
    "token",
    ["", "U", "U0123456789ABCDEF", "T" + "0" * 32, "Z", "0" * 15, "0" * 17, "U" + "g" * 32, "U" + "a" * 32],
)
def test_malformed_tokens_are_refused(token: str) -> None:
    with pytest.raises(TokenError, match="upper case hex digits"):
        VARIANTS.unwrap(token, "001")


@pytest.mark.parametrize("key_type", ["", "00", "0000", "A01", "0FF", "00a", "-01", "01 "])
def test_unknown_key_types_are_refused(key_type: str) -> None:
    with pytest.raises(TokenError, match="key type"):
        VARIANTS.wrap(KEY, key_type, "U")


@pytest.mark.parametrize(("scheme", "size"), [("U", 8), ("U", 24), ("T", 16), ("Z", 16), ("R", 16), ("", 16)])
def test_schemes_fit_the_key(scheme: str, size: int) -> None:
    with pytest.raises(TokenError, match="scheme"):
        VARIANTS.wrap(bytes(size), "001", scheme)
    with pytest.raises(TokenError, match="scheme"):
        master_keys.wrap_under_zone(KEY, bytes(size), scheme)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("zone", [16, 24])
def test_keys_under_a_zone_key(scheme: str, zone: int) -> None:
    key = odd_parity(bytes(range(SCHEMES[scheme])))
    token = master_keys.wrap_under_zone(bytes(range(zone)), key, scheme)
    assert master_keys.unwrap_under_zone(bytes(range(zone)), token) == key


def test_twenty_pairs_are_needed() -> None:
    for pairs in ((), TEST_VARIANT_PAIRS[:19], (*TEST_VARIANT_PAIRS[:19], bytes(8))):
        with pytest.raises(ValueError, match="20 master key pairs"):
            VariantMasterKeys(pairs)
