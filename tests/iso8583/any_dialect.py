"""Every dialect under test, and messages of any of them made at random from its dictionary."""

from __future__ import annotations

import functools
import string
from pathlib import Path
from random import Random
from typing import Any

from switch import iso8583
from switch.iso8583 import Dialect, Field, Message
from switch.iso8583.characters import CLASSES, HEX_DIGITS
from switch.iso8583.dictionary import TlvForm
from switch.iso8583.lengths import value_bounds

OWN = Path(__file__).parent / "dialects"
OWN_NAMES = tuple(sorted(path.stem for path in OWN.glob("*.toml")))
NAMES = (*iso8583.shipped(), *OWN_NAMES)

LONGEST = 40  # of a value: longer ones find nothing more


@functools.cache
def dialect(name: str) -> Dialect:
    return Dialect.load(OWN / f"{name}.toml") if name in OWN_NAMES else iso8583.load(name)


def message(one: Dialect, random: Random) -> Message:
    """Any message the formats allow, whatever the presence rules say."""
    dictionary = one.dictionary
    numbers = random.sample(sorted(dictionary.fields), random.randint(0, min(12, len(dictionary.fields))))
    fields: dict[str, Any] = {str(number): value(dictionary.fields[number], random) for number in numbers}
    if dictionary.header:
        fields["header"] = {key: value(part, random) for key, part in dictionary.header.items()}
    if (
        dictionary.bitmap.allows_empty
        and not any(number > 64 for number in numbers)
        and random.random() < 0.3
    ):
        fields["1"] = bytes(8)
    if dictionary.bitmap.first_bit == "any" and random.random() < 0.5:
        fields["1"] = b"" if any(number > 64 for number in numbers) else bytes(8)
    return Message("".join(random.choices(string.digits, k=4)), fields, dictionary)


def value(field: Field, random: Random) -> Any:
    if field.content == "tlv":
        return _tags(field, random)
    if field.content == "positional":
        return _parts(field, random)
    if field.content == "bitmapped":
        keys = random.sample(list(field.subfields), random.randint(0, len(field.subfields)))
        return {key: value(field.subfields[key], random) for key in keys}
    if field.only:
        chosen = random.choice(field.only)
        return bytes.fromhex(chosen) if field.content == "b" else chosen
    minimum, maximum = value_bounds(field)
    size = random.choice((minimum, maximum, random.randint(minimum, maximum)))
    size = max(minimum, min(size, LONGEST)) if field.sizing != "fixed" or field.fill else size
    if field.content == "b":
        return _unfilled(random.randbytes(size), field)
    if field.content == "x+n":
        digits = size - 1
        if field.encoding == "bcd" and field.unit == "bytes":
            digits -= digits % 2
        return random.choice(field.signs) + _text(string.digits, digits, random) if size else ""
    if field.encoding == "bcd":
        return _packed(field, size, minimum, random)
    letters = HEX_DIGITS[field.hex_case] if field.content == "h" else CLASSES[field.content].characters
    text = _text(letters, size, random)
    return _unfilled(text, field)


def _packed(field: Field, size: int, minimum: int, random: Random) -> str:
    letters = string.digits
    if field.content == "h":
        letters = HEX_DIGITS[field.hex_case]
    if field.content == "z":
        letters += ":;<=>?" if field.all_nibbles else "="
    is_told = field.pad is not None and field.pad.nibble.upper() not in letters.upper().replace("=", "D")
    if field.all_nibbles and field.unit == "bytes":  # what ends in the pad is one digit shorter
        return _text(string.digits + "=", size, random)
    if (field.unit == "bytes" or field.sizing == "given") and size % 2 and not is_told:
        size += 1 if size < value_bounds(field)[1] else -1
    text = _text(letters, size, random)
    if field.fill is not None:
        text = str(_unfilled(text, field))
    return text


def _unfilled(given: Any, field: Field) -> Any:
    """Without the fill at its edge, which reading would strip."""
    if field.fill is None:
        return given
    fill: Any = bytes.fromhex(field.fill.character) if field.content == "b" else field.fill.character
    stripped = given.lstrip(fill) if field.fill.side == "left" else given.rstrip(fill)
    least = field.length.minimum
    return stripped if len(stripped) >= least else fill * least


def _text(letters: str, size: int, random: Random) -> str:
    return "".join(random.choices(letters, k=size))


def _parts(field: Field, random: Random) -> dict[str, Any]:
    if field.repeat:
        groups = random.randint(0 if field.length.minimum == 0 else 1, field.repeat)
        return {str(number + 1): _group(field, random) for number in range(groups)}
    return _group(field, random)


def _group(field: Field, random: Random) -> dict[str, Any]:
    group = {}
    for key, part in field.subfields.items():
        if part.optional and random.random() < 0.3:
            break
        made = value(part, random)
        if part.optional and not made:
            break  # nothing behind the others is no part
        group[key] = made
    return group


def _tags(field: Field, random: Random) -> dict[str, Any]:
    form = field.tlv
    assert form is not None
    names = random.sample(list(field.tags), min(random.randint(0, 3), len(field.tags)))
    if form.keeps_unknown:
        names += [unknown_tag(form, field, random) for _ in range(random.randint(0, 2))]
    random.shuffle(names)
    tags: dict[str, Any] = {}
    for name in names:
        if name in tags:
            continue
        known = field.tags.get(name)
        made = value(known, random) if known is not None else random.randbytes(random.randint(0, 6))
        if form.keeps_misfits and known is not None and not known.is_composite and random.random() < 0.3:
            made = misfit(known, random)
        if form.any_length and isinstance(made, bytes) and random.random() < 0.3:
            width = random.randint(1, 4)
            tags[f"{name}@length"] = bytes((0x80 | width,)) + len(made).to_bytes(width, "big")
        tags[name] = made
        if form.repeats and random.random() < 0.2:
            again = value(known, random) if known is not None else random.randbytes(2)
            tags[f"{name}#2"] = again
    if form.padding and random.random() < 0.3:
        tags[form.padding[0]] = bytes.fromhex(form.padding[0]) * random.randint(1, 3)
    return tags


def misfit(known: Field, random: Random) -> bytes:
    """Bytes that are no value of `known`: too many of them, no characters, no digits."""
    return b"\xff" * (known.length.maximum % 64 + random.randint(1, 3))


def unknown_tag(form: TlvForm, field: Field, random: Random) -> str:
    if form.kind == "ber":
        name = random.choice(("C1", "DF01", "DF8129", "9F7F"))
    elif form.tag_encoding == "binary":
        name = random.randbytes(form.tag_size).hex().upper()
    elif form.tag_encoding == "bcd":
        name = _text(string.digits, form.tag_size, random)
    else:
        letters = "0123456789ABCDEF" if form.tag_encoding == "hex" else string.ascii_uppercase
        name = _text(letters, form.tag_size, random)
    return name if name not in field.tags else unknown_tag(form, field, random)
