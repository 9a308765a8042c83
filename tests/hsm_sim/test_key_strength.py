"""A key leaves under one that is at least as strong, and an initial key under its terminal's own only."""

from __future__ import annotations

import pytest

from tests.hsm_sim.boxes import ODD, Box, aes_token

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


@pytest.mark.parametrize(("usage", "code"), [("K1", "00"), ("K0", "A6"), ("51", "A6"), ("52", "A6")])
def test_an_initial_key_leaves_under_a_transport_key_never_under_a_zone_key(usage: str, code: str) -> None:
    box = Box()
    request = f"XE{aes_token(AES_128, 'B0')}1234567890123456{aes_token(AES_256, usage)}%02"
    assert box.code(request) == code
    assert len(box.recorded) == (code == "00")
