"""Signatures that `cryptography` makes, and changes of them, judged by the firmware's own check."""

from __future__ import annotations

import hashlib

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from hypothesis import given, settings
from hypothesis import strategies as st

from terminal.signature import is_signed


@settings(max_examples=25)
@given(st.integers(1, 2**255), st.binary(max_size=200), st.integers(0, 511))
def test_it_takes_what_others_sign_and_nothing_else(secret: int, message: bytes, bit: int) -> None:
    private = ec.derive_private_key(secret, ec.SECP256R1())
    numbers = private.public_key().public_numbers()
    key = numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")
    r, s = decode_dss_signature(private.sign(message, ec.ECDSA(SHA256())))
    signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    digest = hashlib.sha256(message).digest()
    assert is_signed(key, digest, signature)
    changed = (int.from_bytes(signature, "big") ^ 1 << bit).to_bytes(64, "big")
    assert not is_signed(key, digest, changed)
    assert not is_signed(key, hashlib.sha256(message + b"\x00").digest(), signature)
