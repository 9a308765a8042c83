"""AES, CMAC and the sealing of records, against published vectors, on our AES and the board's."""

import binascii
import os

from terminal.hal.aes import aes as plain_aes
from terminal.hal.crypto import CBC, ECB
from terminal.security import Cmac, Seal, check_value, padded, same, unpadded, wipe
from tests.terminal.board_aes import aes as board_aes

unhex = binascii.unhexlify

# FIPS 197 appendix C: key, cipher text of 00112233445566778899aabbccddeeff.
FIPS_197 = (
    ("000102030405060708090a0b0c0d0e0f", "69c4e0d86a7b0430d8cdb78070b4c55a"),
    ("000102030405060708090a0b0c0d0e0f1011121314151617", "dda97ca4864cdfe06eaf70a0ec0d7191"),
    (
        "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
        "8ea2b7ca516745bfeafc49904b496089",
    ),
)
# SP 800-38A F.2.1, also the message of RFC 4493.
KEY = unhex("2b7e151628aed2a6abf7158809cf4f3c")
MESSAGE = unhex(
    "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
    "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
)
CBC_TEXT = unhex(
    "7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2"
    "73bed6b8e3c1743b7116e69e222295163ff1caa1681fac09120eca307586e1a7"
)
# RFC 4493 section 4: length, tag.
RFC_4493 = (
    (0, "bb1d6929e95937287fa37d129b756746"),
    (16, "070a16b46b4d4144f79bdd9dd04a287c"),
    (40, "dfa66747de9ae63030ca32611497c827"),
    (64, "51f0bebf7e3b9d92fc49741779363cfe"),
)


def test_plain_aes_fips_197():
    block = unhex("00112233445566778899aabbccddeeff")
    for key, text in FIPS_197:
        assert plain_aes(unhex(key), ECB).encrypt(block) == unhex(text)
        assert plain_aes(unhex(key), ECB).decrypt(unhex(text)) == block


def test_plain_aes_chains_over_calls():
    vector = bytes(range(16))
    assert plain_aes(KEY, CBC, vector).encrypt(MESSAGE) == CBC_TEXT
    assert plain_aes(KEY, CBC, vector).decrypt(CBC_TEXT) == MESSAGE
    chain = plain_aes(KEY, CBC, vector)
    assert chain.encrypt(MESSAGE[:16]) + chain.encrypt(MESSAGE[16:]) == CBC_TEXT


def test_plain_aes_and_the_boards_aes_agree():
    vector = os.urandom(16)
    key = os.urandom(16)
    data = os.urandom(96)
    text = board_aes(key, CBC, vector).encrypt(data)
    assert plain_aes(key, CBC, vector).encrypt(data) == text
    assert plain_aes(key, CBC, vector).decrypt(text) == data


def test_plain_aes_refuses_what_has_no_meaning():
    for arguments in ((b"short", ECB), (KEY, CBC), (KEY, CBC, b"short"), (KEY, 6, bytes(16))):
        try:
            plain_aes(*arguments)
        except ValueError:
            continue
        raise AssertionError(arguments)
    try:
        plain_aes(KEY, ECB).encrypt(b"part of a block")
    except ValueError:
        return
    raise AssertionError("part of a block")


def test_cmac_rfc_4493():
    for aes in (plain_aes, board_aes):
        cmac = Cmac(aes, KEY)
        for length, tag in RFC_4493:
            assert cmac.tag(MESSAGE[:length]) == unhex(tag)


def test_check_value():
    for aes in (plain_aes, board_aes):
        assert check_value(aes, unhex("1273671EA26AC29AFA4D1084127652A1")) == "05EF45"


def test_aes_writes_into_a_buffer():
    for aes in (plain_aes, board_aes):
        out = bytearray(16)
        aes(KEY, ECB).encrypt(MESSAGE[:16], out)
        assert bytes(out) == aes(KEY, ECB).encrypt(MESSAGE[:16])
        aes(bytearray(KEY), ECB).decrypt(bytes(out), memoryview(out))
        assert bytes(out) == MESSAGE[:16]


def test_padding():
    for length in range(40):
        data = os.urandom(length)
        assert len(padded(data)) % 16 == 0 and unpadded(padded(data)) == data
    for wrong in (bytes(16), b"\x80" + bytes(16), b"\x01" * 16, b""):
        try:
            unpadded(wrong)
        except ValueError:
            continue
        raise AssertionError(wrong)


def test_wiped_is_wiped():
    secret = bytearray(b"1234")
    wipe(secret)
    assert secret == bytes(4)


def test_comparison():
    assert same(b"", b"") and same(b"ab", b"ab")
    assert not same(b"ab", b"aB") and not same(b"ab", b"abc")


def test_seal_round_trip_of_every_length():
    seal = Seal(board_aes, KEY, os.urandom)
    for length in range(50):
        plain = bytes(range(length))
        sealed = seal.close(plain)
        assert seal.open(sealed) == plain
        assert len(sealed) <= length + 40
        assert length < 4 or plain not in sealed


def test_equal_records_look_different():
    seal = Seal(board_aes, KEY, os.urandom)
    assert seal.close(b"the same") != seal.close(b"the same")


def test_a_damaged_or_foreign_record_does_not_open():
    seal = Seal(board_aes, KEY, os.urandom)
    sealed = seal.close(b"card data of a member, sealed")
    damaged = [sealed[:cut] for cut in range(len(sealed))]
    for place in range(len(sealed)):
        copy = bytearray(sealed)
        copy[place] ^= 0x40
        damaged.append(bytes(copy))
    refused = 0
    for record in damaged:
        try:
            seal.open(record)
        except ValueError:
            refused += 1
    assert refused == len(damaged)
    for other, place in ((Seal(board_aes, bytes(16), os.urandom), b""), (seal, b"elsewhere")):
        try:
            other.open(sealed, place)
        except ValueError:
            continue
        raise AssertionError("opened under another key or place")
