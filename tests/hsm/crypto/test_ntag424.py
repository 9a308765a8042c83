"""NTAG 424 DNA against NXP's application notes, and a card of our own against the whole way."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from switch.hsm.crypto import ntag424
from switch.hsm.crypto.ciphers import aes_cbc_decrypt, aes_cbc_encrypt
from switch.hsm.crypto.macs import cmac
from switch.hsm.crypto.ntag424 import Picc
from tests.hsm.crypto.published import h, rows

MASTER = bytes(range(16))
IDENTIFIER = h("04958CAA5C5E80")
NUMBER = h("13C5DB8A5930439FC3DEF9A4C675360F")


@pytest.mark.parametrize("vector", rows("ntag424", "diversified"))
def test_published_diversified_keys(vector: dict[str, Any]) -> None:
    assert ntag424.diversified_key(h(vector["master"]), h(vector["input"])) == h(vector["key"])


@pytest.mark.parametrize("vector", rows("ntag424", "sun"))
def test_published_sun_messages(vector: dict[str, Any]) -> None:
    picc = ntag424.open_picc(h(vector["meta_key"]), h(vector["picc"]))
    assert picc == (h(vector["identifier"]), vector["counter"])
    assert picc is not None
    assert ntag424.sun_mac(h(vector["file_key"]), picc, h(vector["mirrored"])) == h(vector["mac"])
    if "file" in vector:
        enciphered = h(vector["file_enciphered"])
        assert ntag424.open_file_data(h(vector["file_key"]), picc, enciphered) == h(vector["file"])


@pytest.mark.parametrize("vector", rows("ntag424", "sun_plain"))
def test_published_plain_sun(vector: dict[str, Any]) -> None:
    picc = Picc(h(vector["identifier"]), vector["counter"])
    assert ntag424.sun_mac(h(vector["file_key"]), picc) == h(vector["mac"])


@pytest.mark.parametrize("vector", rows("ntag424", "sun_diversified"))
def test_published_sun_under_a_diversified_key(vector: dict[str, Any]) -> None:
    key = ntag424.diversified_key(h(vector["master"]), h(vector["input"]))
    picc = Picc(h(vector["identifier"]), vector["counter"])
    assert ntag424.sun_mac(key, picc) == h(vector["mac"])


@pytest.mark.parametrize("vector", rows("ntag424", "authentication"))
def test_published_authentication(vector: dict[str, Any]) -> None:
    key, ours = h(vector["key"]), h(vector["ours"])
    answer, theirs = ntag424.answer_challenge(key, h(vector["challenge"]), ours)
    assert (answer, theirs) == (h(vector["answer"]), h(vector["theirs"]))
    session = ntag424.session_of(key, ours, theirs, h(vector["reply"]))
    assert session == (h(vector["transaction"]), h(vector["cipher_key"]), h(vector["mac_key"]))


@given(st.binary(min_size=1, max_size=31))
def test_diversified_keys_differ_from_cmac_only_below_two_blocks(data: bytes) -> None:
    plain = cmac(MASTER, b"\1" + data)
    assert (ntag424.diversified_key(MASTER, data) == plain) == (len(data) >= 16)


def test_diversification_inputs_of_ours() -> None:
    assert ntag424.meta_key(MASTER) == ntag424.diversified_key(MASTER, b"VAFA-META")
    expected = ntag424.diversified_key(MASTER, b"\1" + IDENTIFIER + b"VAFA")
    assert ntag424.file_key(MASTER, IDENTIFIER) == expected
    expected = ntag424.diversified_key(MASTER, b"\2" + IDENTIFIER + b"VAFA")
    assert ntag424.authentication_key(MASTER, IDENTIFIER) == expected


@pytest.mark.parametrize("data", [b"", bytes(32)])
def test_other_inputs_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="1 to 31 bytes"):
        ntag424.diversified_key(MASTER, data)


def test_other_masters_and_identifiers_are_refused() -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        ntag424.diversified_key(bytes(32), b"x")
    with pytest.raises(ValueError, match="7 bytes"):
        ntag424.file_key(MASTER, bytes(4))


# ---------------------------------------------------------------- a card of ours


def tap(counter: int, mirrored: bytes = b"", tag: int = 0xC7) -> tuple[bytes, bytes]:
    """What a card of ours shows when it is read."""
    picc = bytes((tag,)) + IDENTIFIER + counter.to_bytes(3, "little") + b"\xa5" * 5
    session = cmac(
        ntag424.file_key(MASTER, IDENTIFIER), h("3CC300010080") + IDENTIFIER + counter.to_bytes(3, "little")
    )
    return aes_cbc_encrypt(ntag424.meta_key(MASTER), picc), cmac(session, mirrored)[1::2]


@given(st.integers(0, 0xFFFFFF), st.binary(max_size=60))
def test_a_genuine_tap_tells_card_and_counter(counter: int, mirrored: bytes) -> None:
    enciphered, mac = tap(counter, mirrored)
    assert ntag424.verify_tap(MASTER, enciphered, mac, mirrored) == (IDENTIFIER, counter)
    assert ntag424.verify_tap(MASTER, enciphered, mac, mirrored + b"x") is None
    assert ntag424.verify_tap(bytes(16), enciphered, mac, mirrored) is None


def test_a_tap_with_any_bit_changed_is_not_genuine() -> None:
    enciphered, mac = tap(7)
    for bit in range(128):
        changed = (int.from_bytes(enciphered) ^ 1 << bit).to_bytes(16)
        assert ntag424.verify_tap(MASTER, changed, mac) is None or bit < 40  # the last 5 bytes are random
    for bit in range(64):
        changed = (int.from_bytes(mac) ^ 1 << bit).to_bytes(8)
        assert ntag424.verify_tap(MASTER, enciphered, changed) is None


@pytest.mark.parametrize("size", [0, 7, 9, 15, 17, 32])
def test_taps_of_other_lengths_are_not_genuine(size: int) -> None:
    enciphered, mac = tap(7)
    assert ntag424.verify_tap(MASTER, bytes(size), mac) is None
    assert ntag424.verify_tap(MASTER, enciphered, (mac * 5)[:size]) is None


@pytest.mark.parametrize("tag", [0x87, 0x47, 0xC4, 0x07, 0x00, 0xFF])
def test_a_card_that_mirrors_less_is_not_ours(tag: int) -> None:
    assert ntag424.verify_tap(MASTER, *tap(7, tag=tag)) is None


def reply_of(to_card: bytes, key: bytes, challenge: bytes) -> bytes:
    """The card's side: checks its own number, and proves ours."""
    clear = aes_cbc_decrypt(key, to_card)
    assert clear[16:] == challenge[1:] + challenge[:1]
    return aes_cbc_encrypt(key, b"\x9d\0\xc4\xdf" + clear[1:16] + clear[:1] + bytes(12))


def test_a_card_of_ours_proves_its_key() -> None:
    key, challenge = ntag424.authentication_key(MASTER, IDENTIFIER), b"B" * 16
    to_card, state = ntag424.challenge(MASTER, IDENTIFIER, aes_cbc_encrypt(key, challenge))
    reply = reply_of(to_card, key, challenge)
    assert len(state) == ntag424.STATE_BYTES
    assert ntag424.confirm(MASTER, IDENTIFIER, state, reply)
    for bit in range(160):  # transaction id and our number; capabilities behind them are not checked
        changed = (int.from_bytes(reply) ^ 1 << 255 - bit).to_bytes(32)
        assert not ntag424.confirm(MASTER, IDENTIFIER, state, changed)
    for wrong in (b"", reply[:31], reply + b"\0", bytes(32)):
        assert not ntag424.confirm(MASTER, IDENTIFIER, state, wrong)


def test_a_reply_to_another_challenge_proves_nothing() -> None:
    key, challenge = ntag424.authentication_key(MASTER, IDENTIFIER), b"B" * 16
    to_card, _state = ntag424.challenge(MASTER, IDENTIFIER, aes_cbc_encrypt(key, challenge))
    _again, other = ntag424.challenge(MASTER, IDENTIFIER, aes_cbc_encrypt(key, challenge))
    assert not ntag424.confirm(MASTER, IDENTIFIER, other, reply_of(to_card, key, challenge))


def test_a_state_of_another_card_or_a_changed_one_is_refused() -> None:
    _to_card, state = ntag424.challenge(MASTER, IDENTIFIER, bytes(16))
    for identifier, wrong in (
        (bytes(7), state),
        (IDENTIFIER, state[:-1]),
        (IDENTIFIER, b""),
        (IDENTIFIER, bytes(len(state))),
        (IDENTIFIER, bytes((state[0] ^ 1,)) + state[1:]),
        (IDENTIFIER, state[:20] + bytes((state[20] ^ 1,)) + state[21:]),
    ):
        with pytest.raises(ValueError, match="not made for this card"):
            ntag424.confirm(MASTER, identifier, wrong, bytes(32))


def test_our_number_is_not_readable_in_the_state() -> None:
    _to_card, state = ntag424.challenge(MASTER, IDENTIFIER, bytes(16), lambda size: NUMBER[:size])
    assert NUMBER not in state


@pytest.mark.parametrize("size", [0, 15, 17, 32])
def test_challenges_of_other_lengths_are_refused(size: int) -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        ntag424.challenge(MASTER, IDENTIFIER, bytes(size))
