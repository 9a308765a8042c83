"""Card numbers of the program, and tracks against published check vectors."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators.cards import Card, Deck, foreign_card, is_luhn_valid, leaks, luhn_digit, masked
from simulators.readers.tracks import TRACK_1, TRACK_2, lrc, tracks_of, with_sentinels


@pytest.mark.parametrize(
    ("alphabet", "text", "expected"),
    [
        (TRACK_1, "%AT3?", "<"),
        (TRACK_2, ";123?", "4"),
        (TRACK_2, ";6219861234567890=2912101000000001?", "3"),
    ],
)
def test_lrc_agrees_with_the_check_vectors(alphabet, text, expected):
    assert lrc(alphabet, text) == expected


def test_tracks_carry_number_expiry_and_name():
    tracks = tracks_of(Card("9364001234567894", expiry="2912", name="VAFA/TEST", discretionary="0001"))
    assert tracks.track_1[:-1] == "%B9364001234567894^VAFA/TEST^29121010001?"
    assert tracks.track_2[:-1] == ";9364001234567894=29121010001?"


@given(st.integers(min_value=0, max_value=2**32))
def test_every_drawn_card_fits_its_tracks_and_their_lrc_cancels_out(seed):
    card = Deck(seed).draw()
    assert is_luhn_valid(card.number)
    assert len(card.number) == 16
    assert card.number.startswith("936400")
    for alphabet, track in zip((TRACK_1, TRACK_2), tracks_of(card), strict=True):
        assert len(track) <= alphabet.maximum_characters
        assert lrc(alphabet, track) == alphabet.first


def test_a_track_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="41 characters, at most 40"):
        with_sentinels(TRACK_2, "1" * 38)


def test_a_character_the_track_does_not_have_is_refused():
    with pytest.raises(ValueError, match="does not exist on this track"):
        with_sentinels(TRACK_2, "12A")


def test_a_seed_gives_the_same_cards_and_no_seed_gives_others():
    assert Deck(7).hand(3) == Deck(7).hand(3)
    assert Deck().draw() != Deck().draw()


def test_a_deck_gives_no_card_twice():
    cards = Deck(1).hand(500)
    assert len({card.number for card in cards}) == 500


def test_luhn_digit_of_a_known_number():
    assert luhn_digit("7992739871") == "3"


@pytest.mark.parametrize("body", ["", "12a4", "۱۲۳"])
def test_luhn_digit_wants_digits(body):
    with pytest.raises(ValueError, match="0-9"):
        luhn_digit(body)


def test_a_foreign_card_is_valid_in_form_and_not_of_the_program():
    assert is_luhn_valid(foreign_card().number)
    assert not foreign_card().number.startswith("936400")


@pytest.mark.parametrize(
    ("number", "shown"),
    [("9364001234567894", "936400******7894"), ("12345678", "12****78"), ("1234", "****"), ("", "")],
)
def test_masked(number, shown):
    assert masked(number) == shown


def test_a_card_never_shows_its_number():
    card = Deck(3).draw()
    shown = f"{card} {card!r} {[card]!r} {card.masked}"
    assert card.number not in shown
    assert card.number[6:12] not in shown


def test_leaks_finds_a_number_as_text_and_as_bcd_at_either_nibble():
    card, other = Deck(5).hand(2)
    noise = random.Random(1).randbytes(50)
    assert leaks(noise, [card, other]) == []
    assert leaks(noise + card.number.encode() + noise, [card, other]) == [card.masked]
    assert leaks(noise + bytes.fromhex(card.number) + noise, [card, other]) == [card.masked]
    assert leaks(noise + bytes.fromhex("3" + card.number + "d") + noise, [card, other]) == [card.masked]
