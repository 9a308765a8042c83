"""A key moves under one that is at least as strong, is formed of components that are all somebody's own, and
an initial key leaves under its terminal's own only."""

from __future__ import annotations

import pytest

from switch.hsm.crypto.ciphers import odd_parity, xor
from switch.hsm.crypto.key_blocks import BINDINGS, Header, seal
from switch.hsm.crypto.master_keys import wrap_under_zone
from tests.hsm_sim.boxes import AES, ODD, TDES, VARIANT, Box, aes_token, tdes_token

AES_128, AES_256 = bytes(range(16)), bytes(range(32))
ZMK_128, ZMK_256 = aes_token(AES_128, "K0"), aes_token(AES_256, "K0")


@pytest.mark.parametrize("scheme", "SR")
def test_an_aes_key_never_leaves_under_a_shorter_one(scheme: str) -> None:
    box = Box(authorised=True)
    assert box.code(f"A8FFF{ZMK_128}{aes_token(AES_256, 'P0')}{scheme}%02") == "27"
    assert box.code(f"A01FFFS0{ZMK_128}{scheme}%02#P0A3B00E00") == "27"
    assert box.code(f"A8FFF{ZMK_128}{aes_token(AES_128, 'P0')}{scheme}%02") == "00"
    assert box.code(f"A01FFFS0{ZMK_256}{scheme}%02#P0A3B00E00") == "00"
    assert box.code(f"A8FFF{ZMK_128}{aes_token(ODD, 'P0', algorithm='T')}{scheme}%02") == "00"


@pytest.mark.parametrize("scheme", "SR")
def test_an_hmac_key_never_leaves_under_a_weaker_one(scheme: str) -> None:
    box = Box(authorised=True)
    hmac_key = aes_token(AES_256, "M7", "C", algorithm="H")
    assert box.code(f"A8FFF{ZMK_128}{hmac_key}{scheme}%02") == "27"
    assert box.code(f"A8FFF{ZMK_256}{hmac_key}{scheme}%02") == "00"
    assert box.code(f"A01FFFS0{ZMK_128}{scheme}%02#M7H5C00E00") == "27"


@pytest.mark.parametrize("scheme", "SRYT")
def test_a_triple_key_never_leaves_under_a_double_one(scheme: str) -> None:
    box = Box(authorised=True)
    triple = tdes_token(ODD + ODD[:8][::-1], "P0", export="S")
    assert box.code(f"A8FFF{tdes_token(ODD, 'K0')}{triple}{scheme}%01") == "27"
    assert box.code(f"A8FFF{tdes_token(ODD + ODD[:8][::-1], 'K0')}{triple}{scheme}%01") == "00"


@pytest.mark.parametrize("scheme", "SR")
def test_no_aes_key_leaves_under_a_tdes_one(scheme: str) -> None:
    box = Box(authorised=True)
    tdes_zmk = aes_token(ODD, "K0", algorithm="T")
    assert box.code(f"A8FFF{tdes_zmk}{aes_token(AES_128, 'P0')}{scheme}%02") == "A7"


def test_no_key_comes_in_under_a_weaker_one() -> None:
    """What a careless partner would send."""
    box = Box(authorised=True)
    header = Header("D", "M7", "H", "C", exportability="E")
    for zone_key, code in ((AES_128, "27"), (AES_256, "00")):
        block = seal(BINDINGS["D"], zone_key, header, AES_256, bytes)
        assert box.code(f"A6FFF{aes_token(zone_key, 'K0')}R{block}S%02") == code
    triple = wrap_under_zone(ODD, ODD + ODD[:8][::-1], "Y")
    assert box.code(f"A6FFF{tdes_token(ODD, 'K0')}{triple}S%01#P0B00E00") == "27"


# ------------------------------------------------------------------ components

EMPTY = bytes.fromhex("01" * 16)  # no bits but the parity


def formed(*components: bytes, algorithm: str = "T") -> str:
    """A4's code for these components, each in a block that says its number."""
    master, version, lmk = (TDES, "0", "01") if algorithm == "T" else (AES, "1", "02")
    tokens = [
        master.wrap(Header(version, "52", algorithm, "B", f"c{number}", "E", reserved=lmk), component)
        for number, component in enumerate(components, 1)
    ]
    return Box(authorised=True).code(f"A4{len(tokens)}FFFS{''.join(tokens)}%{lmk}#0000")


@pytest.mark.parametrize("algorithm", "TA")
def test_equal_components_are_refused_however_many_there_are(algorithm: str) -> None:
    other = odd_parity(bytes(range(16)))
    assert formed(ODD, other, algorithm=algorithm) == "00"
    assert formed(ODD, ODD, algorithm=algorithm) == "B5"
    for three in ((ODD, ODD, other), (ODD, other, ODD), (other, ODD, ODD), (ODD, ODD, ODD)):
        assert formed(*three, algorithm=algorithm) == "B5"


def test_a_key_as_weak_as_single_des_is_refused() -> None:
    assert formed(ODD, bytes(reversed(ODD))) == "B5"  # its halves are equal
    assert formed(ODD, bytes(reversed(ODD)), algorithm="A") == "00"


def test_an_empty_component_is_refused() -> None:
    assert formed(ODD, EMPTY) == "B5"
    assert formed(ODD, bytes(16)) == "B5"
    assert formed(ODD, bytes(16), algorithm="A") == "B5"
    assert formed(ODD, EMPTY, algorithm="A") == "00"


def test_components_that_differ_in_parity_only_are_equal() -> None:
    assert formed(ODD, bytes(byte ^ 1 for byte in ODD)) == "B5"


def test_components_that_add_up_to_nothing_are_refused() -> None:
    other = bytes(reversed(ODD))
    third = bytes(one ^ two for one, two in zip(ODD, other, strict=True))
    assert formed(ODD, other, third) == "11"
    assert formed(ODD, other, odd_parity(third)) == "11"
    assert formed(ODD, other, third, algorithm="A") == "11"


@pytest.mark.parametrize(("key_type", "scheme"), [("000", "U"), ("002", "X"), ("001", "U")])
def test_variant_components_meet_the_same_rules(key_type: str, scheme: str) -> None:
    other = odd_parity(bytes(range(16)))

    def code(*components: bytes) -> str:
        tokens = "".join(VARIANT.wrap(one, key_type, scheme) for one in components)
        return Box(authorised=True).code(f"A4{len(components)}{key_type}{scheme}{tokens}%00")

    assert code(ODD, other) == "00"
    assert code(ODD, ODD) == "B5"
    assert code(ODD, EMPTY) == "B5"
    assert code(ODD, other, odd_parity(xor(ODD, other))) == "11"


# ------------------------------------------------------------------ initial keys


@pytest.mark.parametrize(("usage", "code"), [("K1", "00"), ("K0", "A6"), ("51", "A6"), ("52", "A6")])
def test_an_initial_key_leaves_under_a_transport_key_never_under_a_zone_key(usage: str, code: str) -> None:
    box = Box()
    request = f"XE{aes_token(AES_128, 'B0')}1234567890123456{aes_token(AES_256, usage)}%02"
    assert box.code(request) == code
    assert len(box.recorded) == (code == "00")
