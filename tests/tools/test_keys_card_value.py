"""`vafa keys card-value`: the values that a switch accepts, and no card number in clear anywhere."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from simulators.cards import Card, Deck
from simulators.issuing import issued
from tests.tools.keys_kit import BOTH, Place

STRIPE = ("--expiry", "3012", "--service", "201")


def values_of(place: Place, cards: list[Card]) -> list[str]:
    made = asyncio.run(issued(place.settings, cards))
    return [card.discretionary[:3] for card in made]


def test_a_file_of_cards_gets_the_values_that_the_switch_knows(place: Place, tmp_path: Path) -> None:
    cards = [Card(card.number, expiry="3012", service_code="201") for card in Deck(3).hand(20)]
    file = tmp_path / "cards.txt"
    file.write_text("\n".join(card.number for card in cards) + "\n\n", "ascii")
    told = place.done("card-value", "--cards", file, *STRIPE)
    expected = values_of(place, cards)
    lines = [f"{card.masked}  3012  201  {value}" for card, value in zip(cards, expected, strict=True)]
    assert told.out.splitlines() == lines
    [record] = [one for one in place.log() if one["what"] == "card-values"]
    assert record["cards"] == "20"
    assert record["check_value"] == place.store.key("card/value").check_value
    files = {name: content for name, content in place.files().items() if name != str(file)}
    for card in cards:
        assert card.number not in told.out + told.err
        assert not [name for name, content in files.items() if card.number.encode() in content]


def test_json_for_a_program(place: Place) -> None:
    card = Card(Deck(4).draw().number, expiry="3012", service_code="201")
    told = place.done("card-value", "--card", card.number, *STRIPE, "--format", "json")
    [value] = values_of(place, [card])
    assert json.loads(told.out) == {"card": card.masked, "expiry": "3012", "service": "201", "value": value}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((*STRIPE,), "0 cards"),
        (("--card", "93640012345", *STRIPE), "--card number 1: a card number has 12 to 19 digits"),
        (("--card", "9364001234567890", "--card", "9364 0012", *STRIPE), "--card number 2"),
        (("--card", "9364001234567890", "--expiry", "3013", "--service", "101"), "--expiry: expected YYMM"),
        (("--card", "9364001234567890", "--expiry", "12/30", "--service", "101"), "--expiry"),
        (("--card", "9364001234567890", "--expiry", "3012", "--service", "1"), "--service"),
        (("--cards", "nowhere.txt", *STRIPE), "can't be read"),
    ],
)
def test_what_is_no_card_makes_nothing(place: Place, arguments: tuple[str, ...], says: str) -> None:
    before = place.log()
    told = place.keys("card-value", *arguments, answers=BOTH)
    assert (told.code, told.out) == (2, "")
    assert says in told.err
    assert "9364001234567890" not in told.err
    assert place.log() == before


def test_without_the_key_it_says_how_to_make_one(place: Place) -> None:
    place.done("revoke", "card/value", "--version", "1")
    told = place.keys("card-value", "--card", "9364001234567890", *STRIPE, answers=BOTH)
    assert told.code != 0
    assert "vafa keys generate card/value" in told.err


def test_after_a_rotation_new_cards_have_other_values(place: Place) -> None:
    cards = Deck(5).hand(20)
    before = values_of(place, cards)
    place.done("rotate", "card/value")
    assert values_of(place, cards) != before
