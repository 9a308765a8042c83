"""Nothing that prints a message shows a card number, a track, a PIN block or a MAC."""

from __future__ import annotations

import pytest

from switch.iso8583 import DecodeError, Mask, Message, mask_card_number, mask_text
from switch.iso8583.masks import (
    luhn_valid,
    mask_bytes,
    mask_joined,
    mask_track1,
    mask_track2,
    mask_value,
    standard_mask,
)
from tests.iso8583.oracle import sample
from tests.iso8583.strategies import VAFA

CARD = "9364001234567898"  # right check digit
TRACK = CARD + "=29121010000012345678"


@pytest.mark.parametrize(
    ("number", "masked"),
    [
        ("9364001234567898", "936400******7898"),
        ("9364001234567890123", "936400*********0123"),
        ("936400123456789", "93***********89"),
        ("93640012", "93****12"),
        ("93640", "93*40"),
        ("9364", "****"),
        ("", ""),
    ],
)
def test_card_numbers(number: str, masked: str) -> None:
    assert mask_card_number(number) == masked


@pytest.mark.parametrize(
    ("track", "masked"),
    [
        (TRACK, "936400******7898=..."),
        (CARD + "D2912", "936400******7898=..."),
        (CARD + "=", "936400******7898=..."),
        (CARD, "[hidden]"),
        ("=2912", "=..."),
    ],
)
def test_tracks_are_reduced_to_the_masked_card_number(track: str, masked: str) -> None:
    assert mask_track2(track) == masked


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        (f"card {CARD}, till 7", "card 936400******7898, till 7"),
        (f"{CARD}x4222222222222", "936400******7898x42*********22"),
        ("9364001234567890", "9364001234567890"),  # wrong check digit: no card number
        ("000000000000", "000000000000"),
        (f"0200{CARD}0000", "0200936400******78980000"),
        ("", ""),
    ],
)
def test_card_numbers_in_free_text(text: str, masked: str) -> None:
    assert mask_text(text) == masked


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("4111 1111 1111 1111", "4111 11** **** 1111"),
        ("4111-1111-1111-1111.", "4111-11**-****-1111."),
        ("card 3782 822463 10005 here", "card 37** ****** ***05 here"),
        ("۴۱۱۱۱۱۱۱۱۱۱۱۱۱۱۱", "۴۱۱۱۱۱******۱۱۱۱"),
        ("4111111111111111=29121010000", "411111******1111=..."),
        ("9364001234567890D2912", "936400******7890=..."),  # a track, whatever its check digit
        ("%B4111111111111111^DOE/J^2912101?", "411111******1111^..."),
        ("34313131313131313131313131313131", "*" * 32),  # the digits as hex of ASCII
        ("F4F1F1F1F1F1F1F1F1F1F1F1F1F1F1F1", "*" * 32),  # of EBCDIC
        ("123378282246310005", "123378********0005"),
        ("no card: 4111 1111 1111 1112", "no card: 4111 1111 1111 1112"),
    ],
)
def test_card_numbers_in_disguise(text: str, masked: str) -> None:
    assert mask_text(text) == masked


@pytest.mark.parametrize(
    ("number", "masked"),
    [("09121234567", "0912*****67"), ("+989121234567", "+989*******67"), ("123456", "******")],
)
def test_mobile_numbers(number: str, masked: str) -> None:
    assert mask_value(Mask.MOBILE, number) == masked


@pytest.mark.parametrize(
    ("track", "masked"),
    [
        (f"%B{CARD}^DOE/JANE^2912101000?", "936400******7898^..."),
        (f"B{CARD}^^2912", "936400******7898^..."),
        ("anything else", "[hidden]"),
        ("", "[hidden]"),
    ],
)
def test_track_1(track: str, masked: str) -> None:
    assert mask_track1(track) == masked


@pytest.mark.parametrize(
    ("path", "content", "mask"),
    [
        ("2", "n", Mask.PAN),
        ("2", "b", Mask.HIDDEN),
        ("35", "z", Mask.TRACK2),
        ("35", "b", Mask.HIDDEN),
        ("45", "ans", Mask.TRACK1),
        ("52", "b", Mask.HIDDEN),
        ("55", "b", Mask.HIDDEN),
        ("55", "tlv", Mask.NONE),
        ("55.57", "z", Mask.TRACK2),
        ("55.57", "b", Mask.HIDDEN),
        ("48.70.5A#2", "n", Mask.PAN),
        ("55.5F24", "n", Mask.HIDDEN),
        ("48.2", "n", Mask.NONE),
        ("11", "n", Mask.NONE),
    ],
)
def test_what_is_masked_when_a_dictionary_forgets(path: str, content: str, mask: Mask) -> None:
    assert standard_mask(path, content) is mask


def test_a_card_number_across_values_is_masked_when_these_are_out_of_step() -> None:
    assert mask_joined(["00 41", "1111111111", "1111 end"]) == ["00 41", "1111******", "**11 end"]
    assert mask_joined(["", "12"]) == ["", "12"]


def test_luhn() -> None:
    assert luhn_valid(CARD)
    assert not luhn_valid("9364001234567890")


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        (b"\x01\xab", "01AB"),
        (b"", ""),
        (bytes.fromhex(CARD), "[8 bytes hidden]"),
        (CARD.encode(), "[16 bytes hidden]"),
        (b"\xff" + bytes.fromhex("0" + CARD + "0"), "[10 bytes hidden]"),
    ],
)
def test_bytes(content: bytes, shown: str) -> None:
    assert mask_bytes(content) == shown


def test_what_is_hidden_is_hidden_whole() -> None:
    assert mask_value(Mask.HIDDEN, "1234") == mask_value(Mask.HIDDEN, b"\x12") == "[hidden]"


def test_a_decoded_message_as_a_person_sees_it() -> None:
    message = VAFA.decode(sample("redeem, typed card number, PIN block, key serial"))
    assert (
        repr(message)
        == str(message)
        == (
            "<Message 0200 2=936400******7890 3=006000 4=000000010000 11=000007 12=204517 13=1121 22=012"
            " 41=10000001 42=100000000000001 48.01=000000000100 49=364 52=[hidden]"
            " 53=010102030405060708090A0B0C 60=000001 64=[hidden]>"
        )
    )
    assert message.describe().splitlines()[:3] == [
        "MTI    0200",
        "2      936400******7890  Card number",
        "3      006000  Processing code",
    ]


PLACES = (
    {"2": CARD},
    {"35": TRACK},
    {"35": TRACK.replace("=", "")},
    {"62": f"paid with {CARD}"},
    {"62": CARD + CARD},
    {"48": {"7F": CARD.encode()}},
    {"48": {"7F": bytes.fromhex(CARD)}},
    {"52": bytes.fromhex(CARD * 2)},
    {"53": CARD[:13].encode()},
    {"64": bytes.fromhex(CARD)},
    {"90": "0200" + CARD + "0" * 22},
    {CARD: "1"},
    {"48": {CARD: b""}},
    {"48": CARD},
)


@pytest.mark.parametrize("fields", PLACES, ids=str)
@pytest.mark.parametrize("captions", [None, VAFA.dictionary], ids=["made by hand", "of the dialect"])
def test_a_card_number_anywhere_is_never_printed(fields: dict[str, str], captions: None) -> None:
    message = Message("0200", dict(fields), captions)
    hidden = CARD[6:12]
    for shown in (repr(message), str(message), message.describe(), f"{message}", f"{message!r}"):
        assert hidden not in shown
        assert hidden.encode().hex() not in shown


def test_a_card_number_as_mti_is_never_printed() -> None:
    assert CARD not in repr(Message(CARD, {}))
    assert CARD not in Message(CARD, {}).describe()


def test_a_decode_error_and_what_it_keeps_show_no_card_number() -> None:
    data = sample("earn, swiped, odd track 2")[:-20]
    with pytest.raises(DecodeError) as caught:
        VAFA.decode(data)
    assert "35" in (caught.value.partial or ())
    assert "001234" not in f"{caught.value!r} {caught.value.partial!r}"


@pytest.mark.parametrize(
    "between", [".", "/", "_", ",", ":", "*", "|", "~", "=", "  ", " - ", "\t", "\n", "\r\n", " : ", "\x00"]
)
def test_whatever_a_person_puts_between_the_digits(between: str) -> None:
    shown = mask_text("to " + between.join(("5288", "7319", "4027", "5615")) + " from")
    assert "7319" not in shown
    assert "4027" not in shown
    assert shown.startswith("to 5288")


@pytest.mark.parametrize(
    ("text", "is_shown"),
    [
        ("expected one of 1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200", True),
        ("free: 2, 4, 5, 12, 13, 14, 15, 16, 17, 18, 19, 21\n  try: 7", True),
        ("5288, 7319, 4027, 5615", False),  # the same number with a comma and a blank between its groups
        ("1234, 2345, 3456, 7897", False),  # rising, but as few groups as a card number has
        ("4, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1", False),
        ("4111 1111 1111, 1111, 2000, 3000, 4000, 5000", False),  # what goes before the list belongs to it
    ],
)
def test_a_rising_list_is_no_card_number(text: str, is_shown: bool) -> None:
    assert (mask_text(text) == text) is is_shown


def test_letters_end_a_run() -> None:
    assert mask_text("5288a7319b4027c5615") == "5288a7319b4027c5615"
