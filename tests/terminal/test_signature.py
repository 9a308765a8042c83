"""Signatures on P-256: the published one, and everything that only looks like one."""

import hashlib

from terminal.signature import is_signed

# RFC 6979 A.2.5: the key, and its signature of "sample" with SHA-256.
KEY = bytes.fromhex(
    "60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6"
    "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299"
)
SIGNATURE = bytes.fromhex(
    "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716"
    "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8"
)
DIGEST = hashlib.sha256(b"sample").digest()
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
P = (1 << 256) - (1 << 224) + (1 << 192) + (1 << 96) - 1


def number(value):
    return value.to_bytes(32, "big")


def test_the_published_signature():
    assert is_signed(KEY, DIGEST, SIGNATURE)


def test_another_byte_anywhere():
    for place in range(0, 64, 9):
        for bit in (1, 128):
            changed = bytearray(SIGNATURE)
            changed[place] ^= bit
            assert not is_signed(KEY, DIGEST, bytes(changed)), place
            changed = bytearray(KEY)
            changed[place] ^= bit
            assert not is_signed(bytes(changed), DIGEST, SIGNATURE), place
    changed = bytearray(DIGEST)
    changed[31] ^= 1
    assert not is_signed(KEY, bytes(changed), SIGNATURE)


def test_numbers_that_no_signature_has():
    r, s = SIGNATURE[:32], SIGNATURE[32:]
    for one in (0, N, N + 1, P, (1 << 256) - 1):
        assert not is_signed(KEY, DIGEST, number(one) + s)
        assert not is_signed(KEY, DIGEST, r + number(one))
    # The other root is a signature too, as the standard has it.
    assert is_signed(KEY, DIGEST, r + number(N - int.from_bytes(s, "big")))


def test_keys_that_are_none():
    for key in (bytes(64), KEY[:32] + bytes(32), number(P) + KEY[32:], KEY[:63], KEY + b"\x00", b""):
        assert not is_signed(key, DIGEST, SIGNATURE)
    assert not is_signed(KEY, DIGEST[:31], SIGNATURE)
    assert not is_signed(KEY, DIGEST, SIGNATURE[:63])


def test_a_sum_that_is_nowhere():
    # u1 G + u2 Q is the point at infinity when Q = -(u1/u2) G: key of private number d, e = -r d.
    gx = 0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296
    gy = 0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5
    r = 12345
    assert not is_signed(number(gx) + number(gy), number(N - r), number(r) + number(1))
    # Both products the same point: doubled on the way.
    assert not is_signed(number(gx) + number(gy), number(r), number(r) + number(1))
