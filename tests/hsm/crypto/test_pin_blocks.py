"""PIN blocks: published ones, another implementation, and everything that must not open."""

from __future__ import annotations

import traceback
from typing import Any

import psec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from switch.hsm.crypto import pin_blocks
from switch.hsm.crypto.ciphers import aes_ecb_decrypt, aes_ecb_encrypt
from switch.hsm.crypto.pin_blocks import BAD_BLOCK, BAD_CARD, BAD_FORMAT, BAD_PIN, PinBlockError
from tests.hsm.crypto.published import h, rows

KEY = h("AF8CB133A78F8DC2D1359F18527593FB")
CARD = "9364001234567890"
PINS = st.text("0123456789", min_size=4, max_size=12)
CARDS = st.text("0123456789", min_size=1, max_size=19)
LONG_CARDS = st.text("0123456789", min_size=13, max_size=19)
FORMATS = (0, 1, 2, 3)
BAD_TEXTS = ["", "1", "123", "1234567890123", "12a4", "-123", " 1234", "۱۲۳۴", "1²34", "12 34", "0x12"]
BAD_CARDS = ["", "1" * 20, "936400123456789x", "۹۳۶۴۰۰۱۲۳۴۵۶۷۸۹۰", "9364 0012 3456"]


@pytest.mark.parametrize("vector", rows("pin_clear"))
def test_published_clear_blocks(vector: dict[str, Any]) -> None:
    number, pin, card, block = vector["format"], vector["pin"], vector["card"], h(vector["block"])
    assert pin_blocks.decode(number, block, card) == pin
    if number in (0, 2):
        assert pin_blocks.encode(number, pin, card) == block
    elif number == 1:
        assert pin_blocks.encode(1, pin, random=lambda size: b"\xff" * size) == block


@pytest.mark.parametrize("vector", rows("pin_iso_4"))
def test_published_format_4(vector: dict[str, Any]) -> None:
    key, pin, card, block = h(vector["key"]), vector["pin"], vector["card"], h(vector["block"])
    assert pin_blocks.open_iso_4(key, block, card) == pin
    if vector["random"] is not None:
        assert pin_blocks.seal_iso_4(key, pin, card, lambda _size: h(vector["random"])) == block


@pytest.mark.parametrize("number", FORMATS)
@given(pin=PINS, card=CARDS)
def test_a_clear_block_gives_its_pin_back(number: int, pin: str, card: str) -> None:
    assert pin_blocks.decode(number, pin_blocks.encode(number, pin, card), card) == pin


@given(PINS, LONG_CARDS)
def test_clear_blocks_agree_with_psec(pin: str, card: str) -> None:
    assert pin_blocks.encode(0, pin, card) == psec.pinblock.encode_pinblock_iso_0(pin, card)
    assert pin_blocks.encode(2, pin) == psec.pinblock.encode_pinblock_iso_2(pin)
    assert pin_blocks.decode(3, psec.pinblock.encode_pinblock_iso_3(pin, card), card) == pin
    assert psec.pinblock.decode_pinblock_iso_3(pin_blocks.encode(3, pin, card), card) == pin


@given(st.sampled_from((16, 24, 32)), PINS, CARDS)
def test_format_4_agrees_with_psec(size: int, pin: str, card: str) -> None:
    key = (KEY * 2)[:size]
    theirs = psec.pinblock.encipher_pinblock_iso_4(key, pin, card)
    assert pin_blocks.open_iso_4(key, theirs, card) == pin
    assert psec.pinblock.decipher_pinblock_iso_4(key, pin_blocks.seal_iso_4(key, pin, card), card) == pin


@pytest.mark.parametrize("text", BAD_TEXTS)
def test_what_is_no_pin_makes_no_block(text: str) -> None:
    for number in FORMATS:
        with pytest.raises(PinBlockError, match=f"^{BAD_PIN}$"):
            pin_blocks.encode(number, text, CARD)
    with pytest.raises(PinBlockError, match=f"^{BAD_PIN}$"):
        pin_blocks.seal_iso_4(KEY, text, CARD)


@pytest.mark.parametrize("card", BAD_CARDS)
def test_what_is_no_card_number_is_refused(card: str) -> None:
    block = pin_blocks.seal_iso_4(KEY, "1234", CARD)
    for refused in (
        lambda: pin_blocks.encode(0, "1234", card),
        lambda: pin_blocks.encode(3, "1234", card),
        lambda: pin_blocks.decode(0, bytes(8), card),
        lambda: pin_blocks.seal_iso_4(KEY, "1234", card),
        lambda: pin_blocks.open_iso_4(KEY, block, card),
    ):
        with pytest.raises(PinBlockError, match=f"^{BAD_CARD}$"):
            refused()


@pytest.mark.parametrize("number", [-1, 4, 5, 47])
def test_other_formats_are_refused(number: int) -> None:
    with pytest.raises(PinBlockError, match=f"^{BAD_FORMAT}$"):
        pin_blocks.encode(number, "1234", CARD)
    with pytest.raises(PinBlockError, match=f"^{BAD_FORMAT}$"):
        pin_blocks.decode(number, bytes(8), CARD)


@pytest.mark.parametrize("size", [0, 7, 9, 15, 17, 32])
def test_other_lengths_are_refused(size: int) -> None:
    for number in FORMATS:
        with pytest.raises(PinBlockError, match=f"^{BAD_BLOCK}$"):
            pin_blocks.decode(number, bytes(size), CARD)
    with pytest.raises(PinBlockError, match=f"^{BAD_BLOCK}$"):
        pin_blocks.open_iso_4(KEY, bytes(size), CARD)


NO_CARD = "0" * 16  # adds nothing to formats 0 and 3
BAD_FIELDS = [
    (0, "141234ffffffffff", "control digit of another format"),
    (0, "f41234ffffffffff", "control digit of no format"),
    (0, "031234ffffffffff", "3 digits"),
    (0, "0d1234567890123f", "13 digits"),
    (0, "00ffffffffffffff", "no digits"),
    (0, "0412a4ffffffffff", "a letter among the digits"),
    (0, "04123fffffffffff", "fill among the digits"),
    (0, "041234fffffffff0", "a zero in the fill"),
    (0, "041234ffffeFffff", "another fill"),
    (0, "0512345ffffffff5", "a digit in the fill"),
    (1, "131234ffffffffff", "3 digits"),
    (1, "14123affffffffff", "a letter among the digits"),
    (1, "041234ffffffffff", "control digit of another format"),
    (2, "241234fffffffffa", "another fill"),
    (2, "2c12345678901fff", "fill among the digits"),
    (3, "341234aaaaaaaaa9", "a digit in the fill"),
    (3, "3412349aaaaaaaaa", "a digit behind the PIN"),
    (3, "041234aaaaaaaaaa", "control digit of another format"),
]


@pytest.mark.parametrize(("number", "block", "_why"), BAD_FIELDS)
def test_bad_clear_blocks_are_refused(number: int, block: str, _why: str) -> None:
    with pytest.raises(PinBlockError, match=f"^{BAD_BLOCK}$"):
        pin_blocks.decode(number, h(block), NO_CARD)


def test_format_3_takes_every_letter_as_fill() -> None:
    assert pin_blocks.decode(3, h("341234abcdefabcd"), NO_CARD) == "1234"


def sealed_field(field: str, card_field: str) -> bytes:
    """A format 4 block around any field: two encipherments with the card number between."""
    inner = int.from_bytes(aes_ecb_encrypt(KEY, h(field))) ^ int(card_field, 16)
    return aes_ecb_encrypt(KEY, inner.to_bytes(16))


RANDOM = "2f69adde2e9e7ace"


@pytest.mark.parametrize(
    "field",
    [
        "341234aaaaaaaaaa",
        "431234aaaaaaaaaa",
        "4d1234567890123a",
        "4412a4aaaaaaaaaa",
        "44123aaaaaaaaaaa",
        "441234aaaaaaaaab",
        "441234ffffffffff",
        "441234aaaa0aaaaa",
        "40aaaaaaaaaaaaaa",
    ],
)
def test_bad_format_4_fields_are_refused(field: str) -> None:
    block = sealed_field(field + RANDOM, "4" + CARD + "0" * 15)
    with pytest.raises(PinBlockError, match=f"^{BAD_BLOCK}$"):
        pin_blocks.open_iso_4(KEY, block, CARD)


def test_format_4_opens_any_random_half() -> None:
    for random in ("00" * 8, "ff" * 8, RANDOM):
        block = sealed_field("441234aaaaaaaaaa" + random, "4" + CARD + "0" * 15)
        assert pin_blocks.open_iso_4(KEY, block, CARD) == "1234"


@pytest.mark.parametrize(
    ("card", "field"),
    [
        ("1234567890123456789", "71234567890123456789" + "0" * 12),
        ("1234567890123", "11234567890123" + "0" * 18),
        ("123456789012", "0123456789012" + "0" * 19),
        ("123456789", "0000123456789" + "0" * 19),
        ("7", "0000000000007" + "0" * 19),
    ],
)
def test_how_card_numbers_of_all_lengths_enter_format_4(card: str, field: str) -> None:
    assert pin_blocks.open_iso_4(KEY, sealed_field("441234aaaaaaaaaa" + RANDOM, field), card) == "1234"


@given(CARDS, CARDS)
def test_a_format_4_block_of_another_card_tells_nothing(card: str, other: str) -> None:
    assume(card.rjust(12, "0") != other.rjust(12, "0"))
    block = pin_blocks.seal_iso_4(KEY, "1234", card, lambda size: bytes(size))
    with pytest.raises(PinBlockError, match=f"^{BAD_BLOCK}$"):
        pin_blocks.open_iso_4(KEY, block, other)


@given(st.integers(0, 127))
def test_one_bit_changed_never_opens_format_4(bit: int) -> None:
    block = pin_blocks.seal_iso_4(KEY, "1234", CARD, lambda size: b"\x55" * size)
    changed = (int.from_bytes(block) ^ 1 << bit).to_bytes(16)
    with pytest.raises(PinBlockError):
        pin_blocks.open_iso_4(KEY, changed, CARD)


def test_wrong_key_never_opens_format_4() -> None:
    block = pin_blocks.seal_iso_4(KEY, "1234", CARD)
    for key in (bytes(16), KEY[::-1], KEY * 2):
        with pytest.raises(PinBlockError):
            pin_blocks.open_iso_4(key, block, CARD)


def test_another_card_shows_in_format_0_where_digits_meet_fill() -> None:
    block = pin_blocks.encode(0, "1234", CARD)
    with pytest.raises(PinBlockError):
        pin_blocks.decode(0, block, CARD[:-2] + "1" + CARD[-1])


def test_every_block_with_random_parts_is_new() -> None:
    assert len({pin_blocks.seal_iso_4(KEY, "1234", CARD) for _ in range(50)}) == 50
    assert len({pin_blocks.encode(1, "1234") for _ in range(50)}) == 50
    assert len({pin_blocks.encode(3, "1234", CARD) for _ in range(50)}) > 40


def test_the_random_half_is_asked_for_once_with_its_length() -> None:
    asked: list[int] = []

    def random(size: int) -> bytes:
        asked.append(size)
        return bytes(size)

    block = pin_blocks.seal_iso_4(KEY, "1234", CARD, random)
    assert asked == [8]
    inner = int.from_bytes(aes_ecb_decrypt(KEY, block)) ^ int("4" + CARD + "0" * 15, 16)
    assert aes_ecb_decrypt(KEY, inner.to_bytes(16)) == h("441234aaaaaaaaaa") + bytes(8)


def test_fill_letters_of_format_3_are_all_alike_often() -> None:
    """Bytes from 252 on would favour some letters: they are not used."""
    stream = iter(range(256))
    seen = [pin_blocks.encode(3, "1234", NO_CARD, lambda size: bytes(next(stream, 0) for _ in range(size)))]
    assert seen[0].hex()[6:] == "abcdefabcd"
    only_high = iter([b"\xff" * 28, b"\x05" * 28])
    assert pin_blocks.encode(3, "1234", NO_CARD, lambda _size: next(only_high)).hex()[6:] == "f" * 10


def test_no_digit_of_pin_or_card_in_any_error() -> None:
    pin, card = "739518", "9364007777766666"
    block = pin_blocks.encode(0, pin, card)
    other = pin_blocks.seal_iso_4(KEY, pin, card)
    for broken in (
        lambda: pin_blocks.decode(0, block, "1" * 16),
        lambda: pin_blocks.decode(3, block, card),
        lambda: pin_blocks.open_iso_4(KEY, other, "1" * 16),
        lambda: pin_blocks.encode(0, pin * 3, card),
        lambda: pin_blocks.encode(0, pin, card * 2),
    ):
        with pytest.raises(PinBlockError) as caught:
            broken()
        assert str(caught.value) in (BAD_BLOCK, BAD_PIN, BAD_CARD)
        assert caught.value.__cause__ is None
        assert caught.value.__context__ is None
        text = "".join(traceback.format_exception_only(caught.value))
        assert pin not in text
        assert card not in text
