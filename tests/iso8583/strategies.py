"""Messages made at random from the dictionary, and damage done to their bytes."""

from __future__ import annotations

import string
from random import Random

from hypothesis import strategies as st

from switch.iso8583 import Message, Value, load
from switch.iso8583.dictionary import Field

VAFA = load("vafa")
FIELDS = VAFA.dictionary.fields

ALPHABETS = {
    "n": string.digits,
    "z": string.digits + "=",
    "an": string.digits + string.ascii_letters,
    "ans": "".join(chr(code) for code in range(0x20, 0x7F)),
}


def _scalars(field: Field) -> st.SearchStrategy[str | bytes]:
    minimum, maximum, _digits = field.length
    if field.content == "b":
        return st.binary(min_size=minimum, max_size=maximum)
    return st.text(ALPHABETS[field.content], min_size=minimum, max_size=maximum)


@st.composite
def _tags(draw: st.DrawFn, field: Field) -> dict[str, str | bytes]:
    left = field.length.maximum
    tags: dict[str, str | bytes] = {}
    for number in draw(st.lists(st.integers(0, 255), unique=True, max_size=6)):
        name = f"{number:02X}"
        known = field.tags.get(name)
        if known is not None:
            size, value = (known.length.maximum + 1) // 2, draw(_scalars(known))
        else:
            value = draw(st.binary(max_size=40))
            size = len(value)
        left -= 2 + size
        if left < 0:
            break
        tags[name] = value
    return tags


@st.composite
def messages(draw: st.DrawFn) -> Message:
    """Any message the dialect's formats allow, whatever its presence rules say."""
    fields: dict[str, Value] = {}
    for number in draw(st.lists(st.sampled_from(sorted(FIELDS)), unique=True)):
        field = FIELDS[number]
        fields[str(number)] = draw(_tags(field) if field.content == "tlv" else _scalars(field))
    return Message(draw(st.text(string.digits, min_size=4, max_size=4)), fields)


def damage(data: bytes, random: Random) -> bytes:
    """`data` with one to three accidents: a bit turned, bytes changed, lost, doubled, put in, an end cut."""
    damaged = bytearray(data)
    for _ in range(random.randint(1, 3)):
        if not damaged:
            break
        place = random.randrange(len(damaged))
        match random.randrange(7):
            case 0:
                damaged[place] ^= 1 << random.randrange(8)
            case 1:
                damaged[place] = random.randrange(256)
            case 2:
                del damaged[place]
            case 3:
                damaged.insert(place, random.randrange(256))
            case 4:
                del damaged[place:]
            case 5:
                damaged[place:place] = damaged[place : place + random.randint(1, 8)]
            case 6:  # the bitmap, where damage does most
                damaged[min(2 + random.randrange(8), len(damaged) - 1)] ^= 1 << random.randrange(8)
    return bytes(damaged)
