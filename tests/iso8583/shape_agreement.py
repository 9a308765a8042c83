"""Holds the generated functions against the reference: the same values, the same errors, on broken messages.

    python -m tests.iso8583.shape_agreement [--messages 1000000] [--seed 1]

The long version of what tests/iso8583/test_shapes.py does with fewer messages. Beside the shipped dialects
stands one of every form that a field can have (`MIXED`).
"""

from __future__ import annotations

import argparse
import functools
import string
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Any, NamedTuple
from unittest import mock

from switch.iso8583 import DecodeError, Dialect, EncodeError, Message, Value, load, samples, shipped
from switch.iso8583 import shapes as shapes_module
from switch.iso8583.characters import CLASSES, HEX_DIGITS
from switch.iso8583.dictionary import Field
from switch.iso8583.shape_source import DOUBTS
from tests.iso8583.strategies import damage

PEEKED = ("mti", "2", "3", "4", "11", "41", "42")
SEEDS = 40  # messages that are damaged, for each dialect

# No shapes are made for these.
WITHOUT_SHAPES = ("mixed-third", "mixed-header")
_HEADER = """
[header.1]
name = "marker"
title = { en = "Marker", fa = "نشانه" }
class = "n"
encoding = "bcd"
length = { fixed = 4, unit = "digits" }
only = ["6000"]

[messages]"""
_MIXED = Path(__file__).parent / "mixed.toml"
_HEAD = 'mti = { encoding = "bcd" }\nbitmap = { encoding = "binary" }\n'
_HEADS = {
    "mixed": _HEAD,
    "mixed-text": 'mti = { encoding = "ascii" }\nbitmap = { encoding = "hex" }\n',
    "mixed-long": 'mti = { encoding = "ebcdic" }\nbitmap = { encoding = "binary", always = 16 }\n',
    "mixed-set": (
        'mti = { encoding = "bcd" }\nbitmap = { encoding = "ebcdic", always = 16, first_bit = "set" }\n'
    ),
    "mixed-empty": 'mti = { encoding = "bcd" }\nbitmap = { encoding = "binary", empty_secondary = true }\n',
    "mixed-any": (
        'mti = { encoding = "bcd" }\nbitmap = { encoding = "binary", always = 16, first_bit = "any" }\n'
    ),
    "mixed-third": 'mti = { encoding = "bcd" }\nbitmap = { encoding = "binary", tertiary = 65 }\n',
    "mixed-header": _HEAD,
}
MIXED = tuple(_HEADS)


@functools.cache
def dialect(name: str) -> Dialect:
    """A shipped dialect, or a mixed one."""
    if name not in MIXED:
        return Dialect(load(name).dictionary)  # with functions of its own
    text = _MIXED.read_text(encoding="utf-8")
    assert _HEAD in text
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "mixed.toml"
        text = text.replace(_HEAD, _HEADS[name])
        if name == "mixed-header":
            text = text.replace("[messages]", _HEADER)
        path.write_text(text, encoding="utf-8")
        return Dialect.load(path)


def names() -> tuple[str, ...]:
    return (*shipped(), *MIXED)


# ---------------------------------------------------------------- messages


def value_of(field: Field, random: Random) -> Value | None:
    """A value that fits most fields; None for composites that are not simply tagged."""
    length = field.length
    size = random.choice((length.minimum, length.maximum, random.randint(length.minimum, length.maximum)))
    size = min(size, 60 + length.minimum)
    if field.only:
        only = random.choice(field.only)
        return bytes.fromhex(only) if field.content == "b" else only
    if field.content == "b":
        return random.randbytes(size)
    if field.content == "x+n":
        return random.choice(field.signs) + _text(string.digits, size - 1, random)
    if field.content == "h":
        return _text(HEX_DIGITS[field.hex_case], size, random)
    if field.content == "z" and field.encoding == "bcd":
        pan = _text(string.digits, max(size - 20, 1), random)
        return (pan + "=" + _text(string.digits, size, random))[:size]
    if field.content == "tlv":
        return _tags(field, random)
    if field.is_composite:
        return None
    if field.encoding == "bcd" and field.pad is None:
        size -= size % 2  # half a byte can't be sent
    return _text(CLASSES[field.content].characters, size, random)


def _text(alphabet: str, size: int, random: Random) -> str:
    return "".join(random.choices(alphabet, k=max(size, 0)))


def _tags(field: Field, random: Random) -> Value | None:
    if field.tlv is None or field.tlv.tag_encoding != "binary" or not field.tags:
        return None
    chosen = random.sample(sorted(field.tags), random.randint(0, min(4, len(field.tags))))
    tags = {name: value_of(field.tags[name], random) for name in chosen}
    if random.random() < 0.3 and field.tlv.keeps_unknown and field.tlv.tag_size == 1:
        tags["EE"] = random.randbytes(random.randint(0, 9))
    return {name: value for name, value in tags.items() if value is not None}


def seeds(name: str, random: Random) -> list[bytes]:
    """The samples of a dialect and messages made of random fields, as bytes."""
    made = [sample.data for sample in samples(name)] if name in shipped() else []
    speaker = dialect(name)
    fields = speaker.dictionary.fields
    for _ in range(SEEDS * 20):
        if len(made) >= SEEDS:
            break
        values: dict[str, Value] = {}
        for number in sorted(random.sample(sorted(fields), min(random.randint(3, 20), len(fields)))):
            value = value_of(fields[number], random)
            if value is None:
                continue
            try:
                Dialect.encode(speaker, Message("0200", {str(number): value}))
            except EncodeError:
                continue
            values[str(number)] = value
        made.append(Dialect.encode(speaker, Message(random.choice(("0200", "0210", "0420")), values)))
    return made


def nudge(data: bytes, random: Random) -> bytes:
    """`data` with one nibble behind the bitmap changed into another digit: often still a message."""
    nudged = bytearray(data)
    place = random.randrange(min(12, len(data) - 1), len(data))
    digit = random.randrange(10)
    nudged[place] = (
        nudged[place] & 0xF0 | digit if random.random() < 0.7 else nudged[place] & 0x0F | digit << 4
    )
    return bytes(nudged)


# ---------------------------------------------------------------- agreement

Outcome = tuple[Any, ...]


def outcome(call: Callable[..., Any], *arguments: Any) -> Outcome:
    """What a call gives or raises, with all that can be seen of it."""
    try:
        result = call(*arguments)
    except DecodeError as error:
        partial = None if error.partial is None else _seen(error.partial)
        return ("refused", error.path, error.offset, error.expected, error.got, error.response_code, partial)
    except EncodeError as error:
        return ("refused", error.path, error.expected, error.got)
    return ("given", _seen(result) if isinstance(result, Message) else result)


def _seen(message: Message) -> tuple[Any, ...]:
    return (message.mti, list(message.fields), message.fields, message.is_partial)


class Count(NamedTuple):
    """messages: compared; accepted: of these valid; fast: of these read by a generated function."""

    messages: int
    accepted: int
    fast: int


def compare(name: str, count: int, seed: int) -> Count:
    """Damage the seeds of a dialect `count` times; AssertionError where fast and reference differ."""
    random = Random(seed)
    speaker = dialect(name)
    corpus = seeds(name, random)
    with mock.patch.object(shapes_module, "USES_BEFORE_COMPILING", 2):
        for data in corpus * 3:
            message = speaker.decode(data)
            speaker.encode(message)
            speaker.walk(data)
            speaker.peek(data, PEEKED)
    accepted = fast = 0
    for number in range(count):
        data = corpus[number % len(corpus)]
        data = damage(data, random) if number % 2 else nudge(data, random)
        given = outcome(Dialect.decode, speaker, data)
        assert outcome(speaker.decode, data) == given, data.hex()
        function = _function(speaker, data)
        if function is not None:
            alone = _alone(function, data)
            assert alone in (None, given), data.hex()
            fast += alone is not None
        if number % 4 == 0:
            assert outcome(speaker.walk, data) == outcome(Dialect.walk, speaker, data), data.hex()
            peeked = outcome(speaker.peek, data, PEEKED)
            assert peeked == outcome(Dialect.peek, speaker, data, PEEKED), data.hex()
        if given[0] == "given":
            accepted += 1
            _compare_written(speaker, speaker.decode(data), data, random)
    return Count(count, accepted, fast)


def _compare_written(speaker: Dialect, message: Message, data: bytes, random: Random) -> None:
    assert speaker.encode(message) == data == Dialect.encode(speaker, message), data.hex()
    if random.random() < 0.05:
        assert repr(message) == repr(Dialect.decode(speaker, data))
    assert outcome(speaker.encode_body, message) == outcome(Dialect.encode_body, speaker, message)
    assert outcome(speaker.split_mac, data) == outcome(Dialect.split_mac, speaker, data)
    assert speaker.check(message) == Dialect.check(speaker, message)
    spoiled = Message(message.mti, dict(spoil(message.fields, random)))
    assert outcome(speaker.encode, spoiled) == outcome(Dialect.encode, speaker, spoiled), data.hex()


def spoil(fields: Mapping[str, Value], random: Random) -> Iterator[tuple[str, Any]]:
    """The same fields in the same order, one value or two changed into something near, or far off."""
    chosen = random.sample(list(fields), min(len(fields), random.randint(1, 2)))
    for name, value in fields.items():
        yield name, _spoiled(value, random) if name in chosen else value


def _spoiled(value: Any, random: Random) -> Any:
    strange: list[Any] = [None, 7, "", b"", "\u0663", "12 4", b"12", {}, {"01": "1"}, "\xb2\xb3"]
    if isinstance(value, Mapping) and value and random.random() < 0.8:
        return dict(spoil(value, random))
    if isinstance(value, str) and value and random.random() < 0.8:
        place = random.randrange(len(value))
        new = random.choice(("", "0", "A", "=", "D", "\u0661", "\xb2", " ", "\n", "é", value[place] * 2))
        return value[:place] + new + value[place + 1 :]
    if isinstance(value, bytes) and random.random() < 0.8:
        return random.choice((value[:-1], value + b"\0", value.hex(), bytearray(value)))
    return random.choice(strange)


def _function(speaker: Dialect, data: bytes) -> Callable[[bytes], Message] | None:
    young = speaker.shapes.decoders.young
    return next((young[data[:size]] for size in range(2, 37) if data[:size] in young), None)


def _alone(function: Callable[[bytes], Message], data: bytes) -> Outcome | None:
    """What a generated function says without the reference behind it; None in doubt."""
    try:
        return ("given", _seen(function(data)))
    except DOUBTS:
        return None


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    for name in names():
        count = compare(name, options.messages // len(names()), options.seed)
        print(
            f"{name}: {count.messages} agree, {count.accepted} accepted, {count.fast} read fast", flush=True
        )


if __name__ == "__main__":
    main()
