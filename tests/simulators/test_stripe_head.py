"""Raw bits of stripes and levels of a head's lines: published blocks, and drawn cards through the driver."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulators.cards import Deck
from simulators.readers.tracks import (
    TRACK_1,
    TRACK_2,
    Alphabet,
    bits_of,
    character_with_parity,
    flux_times,
    head_levels,
    packed,
    stripe_of,
    tracks_of,
    with_sentinels,
)
from terminal.drivers.magstripe import MagneticStripe
from terminal.drivers.stripe_bits import StripeBits


@pytest.mark.parametrize(
    ("alphabet", "body", "eight", "own"),
    [
        (TRACK_1, "ABC123", "c5b07814954e3e2a", "456162235152131f2a"),
        (TRACK_2, "12345", "2b8849eaaf", "0b01021304151f15"),
    ],
)
def test_raw_blocks_of_the_msr206_manual(alphabet: Alphabet, body: str, eight: str, own: str) -> None:
    """At 8 bits a character, and at 7 and 5."""
    text = with_sentinels(alphabet, body)
    assert packed(bits_of(alphabet, text)).hex() == eight
    assert bytes(character_with_parity(alphabet, character) for character in text).hex() == own


def test_published_bits() -> None:
    bits = "".join(map(str, bits_of(TRACK_2, ";123?4")))
    assert bits == "110101000001000110011111100100"


@settings(max_examples=30)
@given(st.integers(0, 2**32), st.booleans(), st.lists(st.integers(1, 200), min_size=1, max_size=5))
def test_a_bare_head_and_a_serial_reader_say_the_same(seed: int, is_backwards: bool, cuts: list[int]) -> None:
    card = Deck(seed).draw()
    tracks = tracks_of(card)
    stripes = stripe_of(TRACK_1, tracks.track_1), stripe_of(TRACK_2, tracks.track_2)
    step = -1 if is_backwards else 1
    said = head_levels(stripes[0][::step], stripes[1][::step])
    head: Any = StripeBits()
    events: list[Any] = []
    place = turn = 0
    while place < len(said):
        events += head.feed(said[place : place + cuts[turn % len(cuts)]], turn)
        place, turn = place + cuts[turn % len(cuts)], turn + 1
    [swipe] = events
    serial: Any = MagneticStripe()
    [expected] = serial.feed("".join(tracks).encode() + b"\r", 0)
    assert (swipe.track1, swipe.track2) == (expected.track1, expected.track2)
    assert card.number not in repr(swipe)


@settings(max_examples=30)
@given(
    st.integers(0, 2**32),
    st.floats(5, 50),
    st.floats(0.6, 1.7),
    st.booleans(),
)
def test_a_bare_head_at_any_speed_of_the_hand(
    seed: int, speed: float, change: float, is_backwards: bool
) -> None:
    """5 to 50 inches a second, faster or slower towards the end, changes of flux up to a tenth off."""
    card = Deck(seed).draw()
    step = -1 if is_backwards else 1
    head: Any = StripeBits()
    for slot, (alphabet, text) in enumerate(zip((TRACK_1, TRACK_2), tracks_of(card), strict=True)):
        bits = stripe_of(alphabet, text)[::step]
        head.flux(slot, flux_times(alphabet, bits, (speed, speed * change), 0.1, seed), 0)
    [swipe] = head.tick(1000)
    assert swipe.track2 == card.track_2
    assert swipe.track1 is not None


@given(st.lists(st.integers(0, 100_000), max_size=300), st.integers(0, 1))
def test_no_times_harm_it(times: list[int], slot: int) -> None:
    head: Any = StripeBits()
    head.flux(slot, times, 0)
    assert len(head.tick(1000)) <= 1
    assert head.deadline_ms() is None


@given(st.binary(max_size=300), st.integers(1, 40))
def test_no_levels_harm_it(said: bytes, cut: int) -> None:
    head: Any = StripeBits()
    for place in range(0, len(said), cut):
        head.feed(said[place : place + cut], place)
    head.tick(10_000)
    assert head.deadline_ms() is None


@given(st.integers(0, 2**32), st.sets(st.integers(0, 252), min_size=1, max_size=3))
def test_damage_is_told_or_harmless(seed: int, places: set[int]) -> None:
    """Up to three wrong bits, which parity and LRC always find: the same card, or a bad swipe."""
    card = Deck(seed).draw()
    bits = stripe_of(TRACK_2, tracks_of(card).track_2)
    for place in places:
        bits[place] ^= 1
    head: Any = StripeBits()
    for event in head.feed(head_levels([], bits), 0):
        track = getattr(event, "track2", None)
        assert track is None or track == card.track_2
