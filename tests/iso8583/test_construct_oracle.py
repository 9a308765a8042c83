"""`construct` reads what we write and writes what we read, for layouts declared here by hand.

An independent oracle: the attributes are those of the table of data elements of ISO 8583:1987 (55 with the
chip data that networks put there), the tags those of EMV book 3 annex A and of the vafa protocol; nothing is
taken from the dictionaries, and no byte is made by our code.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import construct as c  # type: ignore[import-untyped]
import pytest
from construct import this
from hypothesis import given, settings
from hypothesis import strategies as st

from switch.iso8583 import Message, load

# ---------------------------------------------------------------- what the standards print

ISO_1987 = """
2 n..19 3 n6 4-6 n12 7 n10 8-10 n8 11-12 n6 13-18 n4 19-24 n3 25-26 n2 27 n1 28-31 x+n8 32-33 n..11
34 ns..28 35 z..37 36 z...104 37 an12 38 an6 39 an2 40 an3 41 ans8 42 ans15 43 ans40 44 ans..25
45 ans..76 46-48 ans...999 49-51 an3 52 b64 53 n16 54 ans...120 55 ber...999 56-63 ans...999 64 b64
66 n1 67 n2 68-70 n3 71-72 n4 73 n6 74-81 n10 82-85 n12 86-89 n16 90 n42 91 an1 92 an2 93 an5 94 an7 95 an42
96 b64 97 x+n16 98 ans25 99-100 n..11 101 ans..17 102-103 ans..28 104 ans...100 105-127 ans...999 128 b64
"""
VAFA = """
2 n..19 3 n6 4 n12 7 n10 11-12 n6 13 n4 22 n3 24 n3 25 n2 35 z..37 37 an12 38 an6 39 an2 41 ans8 42 ans15
48 tlv...255 49 n3 52 b128 53 b..104 60 n...6 61 b...7200 62 ans...32 63 totals...255
64 b64 70 n3 90 n42 128 b64
"""
# fewest characters, where that isn't 0; in vafa 53 and 60 have a prefix and one length
LEAST = {2: 8, 35: 1}
LEAST_VAFA = {**LEAST, 53: 13, 60: 6, 61: 1, 62: 1}

VAFA_TAGS = {"01": 12, "02": 12, "03": 12, "04": 4, "05": 12, "10": 14, "11": 4, "12": 8}  # digits
TOTAL_TAGS = {f"{number:02d}": 38 for number in range(1, 9)}
EMV_TAGS = {
    "82": "b2", "84": "b5..16", "95": "b5", "9A": "n6", "9C": "n2", "5F2A": "n3", "9F02": "n12",
    "9F10": "b0..32", "9F1A": "n3", "9F1E": "an8", "9F26": "b8", "9F27": "b1", "9F36": "b2", "9F37": "b4",
    "DF7E": "b0..20",
}  # fmt: skip

ALPHABETS = {
    "n": string.digits,
    "an": string.digits + string.ascii_letters,
    "ns": string.digits + "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~ ",
    "ans": "".join(map(chr, range(0x20, 0x7F))),
}


class Element(NamedTuple):
    """One data element: attribute, prefix digits (0: fixed), fewest and most characters (bytes for b)."""

    kind: str
    digits: int
    least: int
    most: int


def elements(printed: str, least: Mapping[int, int]) -> dict[int, Element]:
    """The table as data."""
    table = {}
    for numbers, kind, dots, size in re.findall(r"(\d+(?:-\d+)?) ([a-z+]+)(\.*)(\d+)", printed):
        first, _dash, last = numbers.partition("-")
        most = int(size) // 8 if kind == "b" else int(size) + (kind == "x+n")
        for number in range(int(first), int(last or first) + 1):
            fewest = least.get(number, 0) if dots else most
            table[number] = Element(kind, len(dots), fewest, most)
    return table


# ---------------------------------------------------------------- the layouts in construct


def adapted(inner: Any, parse: Callable[[Any], Any], build: Callable[[Any], Any]) -> Any:
    return c.ExprAdapter(inner, lambda value, _context: parse(value), lambda value, _context: build(value))


def text(size: Any) -> Any:
    return adapted(c.Bytes(size), lambda raw: raw.decode("ascii"), lambda value: value.encode("ascii"))


def hexed(size: int) -> Any:
    return adapted(
        c.Bytes(size * 2), lambda raw: bytes.fromhex(raw.decode()), lambda raw: raw.hex().upper().encode()
    )


def ascii_number(digits: int) -> Any:
    return adapted(c.Bytes(digits), int, lambda number: b"%0*d" % (digits, number))


def bcd_number(digits: int) -> Any:
    size = (digits + 1) // 2
    return adapted(
        c.Bytes(size), lambda raw: int(raw.hex()), lambda number: bytes.fromhex(f"{number:0{size * 2}}")
    )


class Packed(c.Adapter):  # type: ignore[misc]
    """Nibbles of `size` digits, an odd number with a pad nibble on one side; D separates a track."""

    def __init__(self, size: Any, pad: str, is_left: bool) -> None:
        super().__init__(c.Bytes(lambda context: (self._digits(context) + 1) // 2))
        self._size, self._pad, self._is_left = size, pad, is_left

    def _digits(self, context: Any) -> int:
        return int(self._size(context) if callable(self._size) else self._size)

    def _decode(self, raw: bytes, context: Any, path: str) -> str:
        nibbles, digits = raw.hex().upper(), self._digits(context)
        if digits % 2:
            pad, nibbles = (nibbles[0], nibbles[1:]) if self._is_left else (nibbles[-1], nibbles[:-1])
            if pad != self._pad:
                raise c.ValidationError("another pad", path)
        return nibbles.replace("D", "=")

    def _encode(self, value: str, context: Any, path: str) -> bytes:
        nibbles = value.replace("=", "D")
        if len(nibbles) % 2:
            nibbles = self._pad + nibbles if self._is_left else nibbles + self._pad
        return bytes.fromhex(nibbles)


def counted(number: Any, content: Callable[[Any], Any]) -> Any:
    """`content` of as many units as the number before it says."""
    return c.FocusedSeq(
        "value",
        "count" / c.Rebuild(number, lambda context: len(context.value)),
        "value" / content(this.count),
    )


def ber_tag() -> Any:
    first = c.Byte
    more = c.RepeatUntil(lambda byte, _all, _context: byte < 0x80, c.Byte)
    tag = c.Struct("first" / first, "more" / c.If(this.first & 0x1F == 0x1F, more))
    return adapted(
        tag,
        lambda parsed: bytes([parsed.first, *(parsed.more or [])]).hex().upper(),
        lambda name: {"first": bytes.fromhex(name)[0], "more": list(bytes.fromhex(name)[1:])},
    )


def ber_objects() -> Any:
    """BER-TLV objects as {tag: bytes}; lengths up to 127 in one byte, others not needed here."""
    pair = c.Sequence(ber_tag(), c.Prefixed(c.Byte, c.GreedyBytes))
    return adapted(c.GreedyRange(pair), dict, lambda tags: list(tags.items()))


def one_byte_objects() -> Any:
    """The vafa protocol's: tag byte, length byte, value."""
    name = adapted(c.Byte, lambda byte: f"{byte:02X}", lambda name: int(name, 16))
    pair = c.Sequence(name, c.Prefixed(c.Byte, c.GreedyBytes))
    return adapted(c.GreedyRange(pair), dict, lambda tags: list(tags.items()))


def ascii_element(element: Element) -> Any:
    """Everything as characters, bytes as hex digits."""
    if element.kind == "b":
        return hexed(element.most)
    if not element.digits:
        return text(element.most)
    number = ascii_number(element.digits)
    if element.kind == "ber":  # in hex too, the length counts characters
        raw = counted(number, c.Bytes)
        return adapted(
            raw,
            lambda digits: ber_objects().parse(bytes.fromhex(digits.decode())),
            lambda tags: ber_objects().build(tags).hex().upper().encode(),
        )
    return counted(number, text)


def bcd_element(element: Element, variable_pad: tuple[str, bool]) -> Any:
    """Digits packed, their number in BCD; characters and bytes as they are."""
    number = bcd_number(element.digits) if element.digits else None
    if element.kind == "z":
        return counted(number, lambda size: Packed(size, "F", is_left=False))
    if element.kind == "n" and number is None:
        return Packed(element.most, "0", is_left=True)
    if element.kind == "n":
        return counted(number, lambda size: Packed(size, *variable_pad))
    if element.kind == "x+n":
        pair = c.Sequence(text(1), Packed(element.most - 1, "0", is_left=True))
        return adapted(pair, "".join, lambda value: [value[0], value[1:]])
    if element.kind in ("ber", "tlv", "totals"):
        return c.Prefixed(number, ber_objects() if element.kind == "ber" else one_byte_objects())
    if element.kind == "b":
        return c.Bytes(element.most) if number is None else counted(number, c.Bytes)
    return text(element.most) if number is None else counted(number, text)


def message(mti: Any, half: Any, table: Mapping[int, Element], field: Callable[[Element], Any]) -> Any:
    """MTI, one or two halves of the bitmap, the elements whose bits are set."""

    def is_set(number: int) -> Callable[[Any], bool]:
        def look(context: Any) -> bool:
            bits = context.primary if number <= 64 else context.secondary
            return bool(bits and bits[(number - 1) % 64])

        return look

    fields = [str(number) / c.If(is_set(number), field(element)) for number, element in table.items()]
    secondary = "secondary" / c.If(lambda context: context.primary[0], half)
    return c.Struct("mti" / mti, "primary" / half, secondary, *fields, c.Terminated)


BITS = c.Bitwise(c.Array(64, c.Flag))
BITS_IN_HEX = adapted(
    c.Bytes(16),
    lambda digits: BITS.parse(bytes.fromhex(digits.decode())),
    lambda bits: BITS.build(bits).hex().upper().encode(),
)
TABLES = {
    "vafa": elements(VAFA, LEAST_VAFA),
    "iso87-ascii": elements(ISO_1987, LEAST),
    "iso87-bcd": elements(ISO_1987, LEAST),
}
LAYOUTS = {
    "vafa": message(
        Packed(4, "0", is_left=True), BITS, TABLES["vafa"], lambda element: bcd_element(element, ("F", False))
    ),
    "iso87-ascii": message(text(4), BITS_IN_HEX, TABLES["iso87-ascii"], ascii_element),
    "iso87-bcd": message(
        Packed(4, "0", is_left=True),
        BITS,
        TABLES["iso87-bcd"],
        lambda element: bcd_element(element, ("0", True)),
    ),
}


# ---------------------------------------------------------------- values


@st.composite
def values(draw: st.DrawFn, element: Element) -> Any:
    """A value as our messages have it."""
    size = draw(st.integers(element.least, min(element.most, element.least + 40)))
    if element.kind == "b":
        return draw(st.binary(min_size=size, max_size=size))
    if element.kind == "z":
        digits = draw(st.text(string.digits, min_size=size, max_size=size))
        place = draw(st.integers(1, 19))
        return digits[:place] + "=" + digits[place + 1 :] if place < size - 1 else digits
    if element.kind == "x+n":
        digits = draw(st.text(string.digits, min_size=element.most - 1, max_size=element.most - 1))
        return draw(st.sampled_from("CD")) + digits
    if element.kind in ("tlv", "totals"):
        known = VAFA_TAGS if element.kind == "tlv" else TOTAL_TAGS
        chosen = draw(st.lists(st.sampled_from(sorted(known)), unique=True, max_size=6))
        tags: dict[str, Any] = {
            tag: draw(st.text(string.digits, min_size=known[tag], max_size=known[tag])) for tag in chosen
        }
        if draw(st.booleans()):
            tags["E7"] = draw(st.binary(max_size=20))
        return tags
    if element.kind == "ber":
        return {
            tag: draw(emv_values(EMV_TAGS[tag]))
            for tag in draw(st.lists(st.sampled_from(sorted(EMV_TAGS)), unique=True))
        }
    alphabet = ALPHABETS[element.kind]
    return draw(st.text(alphabet, min_size=size, max_size=size))


@st.composite
def emv_values(draw: st.DrawFn, attribute: str) -> str | bytes:
    kind, fewest, most = re.fullmatch(r"([a-z]+)(\d+)(?:\.\.(\d+))?", attribute).groups()  # type: ignore[union-attr]
    size = draw(st.integers(int(fewest), int(most or fewest)))
    if kind == "b":
        return draw(st.binary(min_size=size, max_size=size))
    return draw(st.text(ALPHABETS[kind], min_size=size, max_size=size))


@st.composite
def any_message(draw: st.DrawFn, name: str) -> Message:
    table = TABLES[name]
    numbers = draw(st.lists(st.sampled_from(sorted(table)), unique=True, max_size=30))
    mti = draw(st.sampled_from(("0100", "0210", "0420", "0800")))
    return Message(mti, {str(number): draw(values(table[number])) for number in sorted(numbers)})


def as_construct_has_it(name: str, number: str, value: Any) -> Any:
    """A value of ours as the layouts give it: tags as bytes."""
    if not isinstance(value, Mapping):
        return value
    kinds = dict.fromkeys((*VAFA_TAGS, *TOTAL_TAGS), "n") if name == "vafa" else EMV_TAGS
    raw = {}
    for tag, inner in value.items():
        if isinstance(inner, bytes):
            raw[tag] = inner
        elif kinds[tag].startswith("n"):
            raw[tag] = bytes.fromhex(inner if len(inner) % 2 == 0 else "0" + inner)
        else:
            raw[tag] = inner.encode("ascii")
    return raw


def bits_of(fields: Mapping[str, Any]) -> tuple[list[bool], list[bool] | None]:
    numbers = {int(number) for number in fields}
    has_secondary = max(numbers, default=0) > 64
    primary = [number in numbers or (number == 1 and has_secondary) for number in range(1, 65)]
    return primary, [number in numbers for number in range(65, 129)] if has_secondary else None


# ---------------------------------------------------------------- the oracle's word


@pytest.mark.parametrize("name", LAYOUTS)
@settings(max_examples=150)
@given(data=st.data())
def test_construct_reads_what_we_write_and_writes_what_we_read(name: str, data: st.DataObject) -> None:
    dialect, layout = load(name), LAYOUTS[name]
    ours = data.draw(any_message(name))
    encoded = dialect.encode(ours)

    parsed = layout.parse(encoded)
    assert parsed.mti == ours.mti
    for number in TABLES[name]:
        expected = as_construct_has_it(name, str(number), ours.fields.get(str(number)))
        assert parsed[str(number)] == expected, f"field {number}"

    theirs = {number: as_construct_has_it(name, number, value) for number, value in ours.fields.items()}
    primary, secondary = bits_of(ours.fields)
    built = layout.build(
        {"mti": ours.mti, "primary": primary, "secondary": secondary, **absent(name), **theirs}
    )
    assert built == encoded
    decoded = dialect.decode(built)
    assert decoded == ours
    for number, value in ours.fields.items():
        assert decoded[number] == value, f"field {number}"


def absent(name: str) -> dict[str, None]:
    return dict.fromkeys(map(str, TABLES[name]))


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_declarations_cover_the_dialect(name: str) -> None:
    assert set(TABLES[name]) == set(load(name).dictionary.fields)


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_oracle_can_say_no(name: str) -> None:
    """A layout that reads anything would prove nothing."""
    dialect = load(name)
    encoded = dialect.encode(Message("0200", {"3": "000000", "11": "000001", "49": "364"}))
    with pytest.raises(c.ConstructError):
        LAYOUTS[name].parse(encoded[:-1])
    with pytest.raises(c.ConstructError):
        LAYOUTS[name].parse(encoded + b"\0")
