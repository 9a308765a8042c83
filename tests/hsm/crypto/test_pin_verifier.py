"""Our own PIN verifier: its exact bytes, and that nothing else matches."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from switch.hsm.crypto.macs import cmac
from switch.hsm.crypto.pin_blocks import PinBlockError
from switch.hsm.crypto.pin_verifier import PinVerifier

KEY = bytes(range(32))
PINS = st.text("0123456789", min_size=4, max_size=12)
BINDINGS = st.binary(min_size=1, max_size=255)


@given(PINS, BINDINGS, st.sampled_from((16, 24, 32)))
def test_the_bytes_of_a_verifier(pin: str, binding: bytes, size: int) -> None:
    made = PinVerifier(KEY[:size]).make(pin, binding)
    assert made == cmac(KEY[:size], b"vafa pin 1" + bytes((len(binding),)) + binding + pin.encode())
    assert PinVerifier(KEY[:size]).matches(pin, binding, made)


@given(PINS, BINDINGS, PINS, BINDINGS)
def test_only_the_same_pin_and_binding_match(pin: str, binding: bytes, other: str, another: bytes) -> None:
    verifier = PinVerifier(KEY)
    made = verifier.make(pin, binding)
    assert verifier.matches(other, another, made) == ((other, another) == (pin, binding))


def test_binding_and_pin_never_flow_into_each_other() -> None:
    verifier = PinVerifier(KEY)
    assert verifier.make("123456", b"member1") != verifier.make("23456", b"member11")


def test_another_key_or_a_changed_verifier_never_matches() -> None:
    made = PinVerifier(KEY).make("1234", b"member")
    assert not PinVerifier(bytes(32)).matches("1234", b"member", made)
    for wrong in (b"", made[:8], made + b"\0", bytes(16), bytes((made[0] ^ 1,)) + made[1:]):
        assert not PinVerifier(KEY).matches("1234", b"member", wrong)


@pytest.mark.parametrize("pin", ["", "123", "1234567890123", "12a4", "۱۲۳۴", "12 4"])
def test_what_is_no_pin_is_refused(pin: str) -> None:
    with pytest.raises(PinBlockError):
        PinVerifier(KEY).make(pin, b"member")


@pytest.mark.parametrize("size", [0, 256])
def test_bindings_have_1_to_255_bytes(size: int) -> None:
    with pytest.raises(ValueError, match="a binding has 1 to 255 bytes"):
        PinVerifier(KEY).make("1234", bytes(size))
