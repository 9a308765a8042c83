"""Track 1 and track 2 of a magnetic stripe: as ASCII text with sentinels and LRC (ISO/IEC 7811-2, 7813), as
the bits on the stripe, and as the levels of a head's lines while it passes.

Pure. The LRC is the exclusive or of the characters' code values, start and end sentinel included; of each
character the lowest bit comes first and odd parity last, which never reaches a serial line.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import pairwise
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
    bits_per_inch: int
    leading_zeros: int  # as card writers set them, MSR605 among them

    @property
    def bits(self) -> int:
        """Of one character, parity included."""
        return self.values.bit_length()

    def value(self, character: str) -> int:
        """Code value of one character."""
        value = ord(character) - ord(self.first)
        if not 0 <= value < self.values:
            raise ValueError(f"character {character!r} does not exist on this track")
        return value


TRACK_1: Final = Alphabet("%", " ", 64, 79, bits_per_inch=210, leading_zeros=61)
TRACK_2: Final = Alphabet(";", "0", 16, 40, bits_per_inch=75, leading_zeros=22)
TRACK_3: Final = Alphabet(";", "0", 16, 107, bits_per_inch=210, leading_zeros=61)
STRIPE_INCHES: Final = 3.375

# Levels of a head's lines, one bit each; the card's line is low while it passes, a data line is inverted.
LINE_CARD, LINE_CLOCK_1, LINE_DATA_1, LINE_CLOCK_2, LINE_DATA_2 = 0x01, 0x02, 0x04, 0x08, 0x10
LINES_IDLE: Final = 0x1F


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


def character_with_parity(alphabet: Alphabet, character: str) -> int:
    """Its code value, and above it the bit that makes the number of ones odd."""
    value = alphabet.value(character)
    return value if value.bit_count() % 2 else value | alphabet.values


def bits_of(alphabet: Alphabet, text: str) -> list[int]:
    """The bits of `text`, which holds sentinels and LRC, as a head meets them."""
    codes = [character_with_parity(alphabet, character) for character in text]
    return [code >> place & 1 for code in codes for place in range(alphabet.bits)]


def stripe_of(alphabet: Alphabet, text: str) -> list[int]:
    """The bits of `text` with clocking zeros before and after it, as long as the stripe is."""
    bits = [0] * alphabet.leading_zeros + bits_of(alphabet, text)
    return bits + [0] * (int(STRIPE_INCHES * alphabet.bits_per_inch) - len(bits))


def text_of(alphabet: Alphabet, bits: list[int]) -> str | None:
    """The text that bits from the start sentinel on hold, without LRC; None: something is wrong with it."""
    text = ""
    for at in range(0, len(bits) - alphabet.bits + 1, alphabet.bits):
        group = bits[at : at + alphabet.bits]
        if sum(group) % 2 == 0:
            return None
        value = sum(bit << place for place, bit in enumerate(group[:-1]))
        text += chr(ord(alphabet.first) + value)
        if len(text) > 2 and text[-2] == END_SENTINEL:
            good = text[0] == alphabet.start_sentinel and lrc(alphabet, text) == alphabet.first
            return text[:-1] if good else None
    return None


def packed(bits: list[int]) -> bytes:
    """Eight bits a byte, the first one lowest: how card writers take raw tracks at 8 bits a character."""
    return bytes(
        sum(bit << place for place, bit in enumerate(bits[at : at + 8])) for at in range(0, len(bits), 8)
    )


def flux_times(
    alphabet: Alphabet,
    bits: list[int],
    inches_per_second: tuple[float, float],
    jitter: float = 0.0,
    seed: int = 0,
) -> list[int]:
    """Microseconds between changes of flux (F2F) while a card with these bits passes.

    inches_per_second: at the beginning and at the end; jitter: so far may a change be off its place, in bits.
    """
    choice = random.Random(seed)
    first, last = inches_per_second
    moment = 0.0
    moments = [moment]
    for place, bit in enumerate(bits):
        speed = first + (last - first) * place / len(bits)
        length = 1_000_000 / (speed * alphabet.bits_per_inch)
        if bit:
            moments.append(moment + length * (0.5 + choice.uniform(-jitter, jitter)))
        moment += length
        moments.append(moment + length * choice.uniform(-jitter, jitter))
    return [round(later - earlier) for earlier, later in pairwise(moments)]


def head_levels(track_1: list[int], track_2: list[int]) -> bytes:
    """The levels of a head's lines while a card with these bits passes, one byte for each change.

    Both tracks begin together; track 1 has 210 bits an inch, track 2 has 75.
    """
    edges = [(place / TRACK_1.bits_per_inch, 0, bit) for place, bit in enumerate(track_1)]
    edges += [(place / TRACK_2.bits_per_inch, 1, bit) for place, bit in enumerate(track_2)]
    levels = LINES_IDLE & ~LINE_CARD
    said = [levels]
    for _, track, bit in sorted(edges):
        clock, data = ((LINE_CLOCK_1, LINE_DATA_1), (LINE_CLOCK_2, LINE_DATA_2))[track]
        levels = levels & ~data if bit else levels | data
        said += [levels, levels & ~clock, levels]
    return bytes([*said, LINES_IDLE])
