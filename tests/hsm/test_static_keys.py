"""The in-process HSM against published vectors, and what it never shows."""

from __future__ import annotations

import asyncio

import pytest

from switch.hsm import StaticKeyHsm, UnknownKey

KEY = bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c")
TEXT = bytes.fromhex(
    "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
    "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
)


# RFC 4493, section 4, examples 1 to 4, cut to eight bytes
@pytest.mark.parametrize(
    ("size", "mac"),
    [(0, "bb1d6929e9593728"), (16, "070a16b46b4d4144"), (40, "dfa66747de9ae630"), (64, "51f0bebf7e3b9d92")],
)
def test_cmac_matches_rfc_4493(size: int, mac: str) -> None:
    hsm = StaticKeyHsm({"key": KEY})
    assert asyncio.run(hsm.mac_generate("key", TEXT[:size])).hex() == mac
    assert asyncio.run(hsm.mac_verify("key", TEXT[:size], bytes.fromhex(mac)))


@pytest.mark.parametrize(
    "mac", [b"", b"\x00" * 8, bytes.fromhex("070a16b46b4d41"), bytes.fromhex("070a16b46b4d4145")]
)
def test_another_mac_is_refused(mac: bytes) -> None:
    assert not asyncio.run(StaticKeyHsm({"key": KEY}).mac_verify("key", TEXT[:16], mac))


def test_an_unknown_key_is_named_and_no_key_is_shown() -> None:
    hsm = StaticKeyHsm({"key": KEY})
    with pytest.raises(UnknownKey, match="other"):
        asyncio.run(hsm.mac_generate("other", b""))
    assert KEY.hex() not in repr(hsm) + str(vars(hsm)).lower()
