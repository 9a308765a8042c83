"""Track 1 and track 2 of a magnetic stripe as ASCII text with sentinels and LRC (ISO/IEC 7811-2, 7813).

Pure: text in, text out. The LRC is the exclusive or of the characters' code values, start and end sentinel
included; the parity bits of the stripe never reach the serial line.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from simulators.cards import Card

END_SENTINEL: Final = "?"


@dataclass(frozen=True, slots=True)
class Alphabet:
    """Character set of a track: `first` is the character with code value 0."""

    start_sentinel: str
    first: str
    values: int
    maximum_characters: int  # sentinels and LRC included

    def value(self, character: str) -> int:
        """Code value of one character."""
        value = ord(character) - ord(self.first)
        if not 0 <= value < self.values:
            raise ValueError(f"character {character!r} does not exist on this track")
        return value


TRACK_1: Final = Alphabet("%", " ", 64, 79)
TRACK_2: Final = Alphabet(";", "0", 16, 40)


class Tracks(NamedTuple):
    """Both tracks, each with sentinels and LRC."""

    track_1: str
    track_2: str


def lrc(alphabet: Alphabet, text: str) -> str:
    """The LRC character over `text`, which holds both sentinels."""
    value = 0
    for character in text:
        value ^= alphabet.value(character)
    return chr(ord(alphabet.first) + value)


def with_sentinels(alphabet: Alphabet, body: str) -> str:
    """`body` between sentinels, LRC added. Too long a body raises ValueError."""
    text = alphabet.start_sentinel + body + END_SENTINEL
    text += lrc(alphabet, text)
    if len(text) > alphabet.maximum_characters:
        raise ValueError(
            f"the track would have {len(text)} characters, at most {alphabet.maximum_characters} fit"
        )
    return text


def tracks_of(card: Card) -> Tracks:
    """What a reader finds on `card` (format B of track 1; ISO/IEC 7813)."""
    trailer = card.expiry + card.service_code + card.discretionary
    return Tracks(
        track_1=with_sentinels(TRACK_1, f"B{card.number}^{card.name}^{trailer}"),
        track_2=with_sentinels(TRACK_2, card.track_2),
    )
