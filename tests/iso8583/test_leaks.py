"""Card numbers are fed into every field, tag and part of every dialect, whole and damaged: none is shown.

What is looked for is the middle of the number, as digits, as BCD, and as hex of its ASCII or EBCDIC digits;
in damaged messages, where the damage may have cut the number, all of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from switch import iso8583
from switch.iso8583 import DecodeError, Dialect, EncodeError, Field, Message
from switch.iso8583.lengths import value_bounds
from switch.iso8583.masks import luhn_valid
from tests.iso8583 import any_dialect

# Luhn-valid, 16, 19, 15 and 13 digits, no digit group twice
CARDS = ("4929371860527303", "6304937186052743163", "378293716052480", "4929371860525")
EXPIRY_AND_MORE = "29121015317700000"


def middle(card: str) -> str:
    """What must never be seen: the digits between the first six and the last four, at least five of them."""
    return card[6:-4] if len(card) >= 16 else card[3:-3]


def texts(card: str) -> Iterator[str]:
    yield card
    yield f"paid with {card}, thanks"
    yield " ".join(card[at : at + 4] for at in range(0, len(card), 4))
    yield "-".join(card[at : at + 4] for at in range(0, len(card), 4))
    yield f"%B{card}^DOE/JANE^{EXPIRY_AND_MORE}?"
    yield f"{card}={EXPIRY_AND_MORE}"
    yield f"{card}D{EXPIRY_AND_MORE}"
    yield card.encode("ascii").hex()
    yield card.encode("cp500").hex().upper()


def contents(card: str) -> Iterator[bytes]:
    yield card.encode("ascii")
    yield card.encode("cp500")
    yield bytes.fromhex("0" * (len(card) % 2) + card)
    yield bytes.fromhex(card + "F" * (len(card) % 2))
    yield bytes.fromhex("F" + card + "F" * (1 - len(card) % 2))
    yield card.encode("ascii").hex().encode("ascii")
    track = f"{card}D{EXPIRY_AND_MORE}"
    yield bytes.fromhex(track + "F" * (len(track) % 2))
    yield track.replace("D", "=").encode("cp500")


def planted(field: Field, card: str, random: Random) -> Iterator[Any]:
    """Values of `field` with the card number somewhere in them."""
    if field.is_composite:
        for key, child in field.children.items():
            base = any_dialect.value(field, random)
            for inner in planted(child, card, random):
                if field.repeat:
                    group = any_dialect.value(field, random).get("1") or {}
                    yield {"1": {**group, key: inner}}
                elif field.content == "positional":
                    parts = {one: any_dialect.value(part, random) for one, part in field.subfields.items()}
                    yield {**parts, key: inner}
                else:
                    yield {**base, key: inner}
        if field.tlv is not None and field.tlv.keeps_unknown:
            name = any_dialect.unknown_tag(field.tlv, field, random)
            for content in contents(card):
                yield {name: content}
        return
    minimum, maximum = value_bounds(field)
    if field.content == "b":
        for content in contents(card):
            if len(content) <= maximum:
                yield content.ljust(minimum, b"\x00")
    elif field.content in ("n", "x+n"):
        sign = "C" if field.content == "x+n" else ""
        for digits in (card, "0" + card, card + "0"):
            if len(sign + digits) <= maximum:
                yield sign + digits + "0" * (minimum - len(sign + digits))
                yield sign + digits.rjust(minimum - len(sign), "0")
    elif field.content == "z":
        yield f"{card}={EXPIRY_AND_MORE}"[:maximum]
        yield card
    else:
        for text in texts(card):
            if len(text) <= maximum:
                yield text.ljust(minimum)


def shown_by(message: Message) -> Iterator[str]:
    """All that shows a message; a test below says what shows the same as one of these."""
    yield repr(message)
    yield message.describe()
    yield message.to_json()
    yield "".join(shown for _path, shown in message.masked())


def refuse_to_see(card: str, outputs: Iterator[str], where: str, whole: bool = False) -> None:
    wanted = card if whole else middle(card)
    forms = (wanted, wanted.encode("ascii").hex(), wanted.encode("cp500").hex())
    for output in outputs:
        flat = re.sub(r"(?<=\d)[ \-](?=\d)", "", output).lower()
        for form in forms:
            assert form not in flat, f"{where} shows a card number"


def damages(data: bytes, random: Random) -> Iterator[bytes]:
    yield data[:-1]
    yield data + b"0"
    for _ in range(4):
        place = random.randrange(len(data))
        yield data[:place] + data[place + 1 :]
        yield data[:place] + bytes([random.randrange(256)]) + data[place:]
        yield data[:place] + bytes([data[place] ^ 1 << random.randrange(8)]) + data[place + 1 :]


def everything_told(one: Dialect, data: bytes) -> Iterator[str]:
    """All that decoding, looking at and checking `data` says."""
    yield repr(one.spans(data))
    try:
        message = one.decode(data)
    except DecodeError as error:
        yield f"{error} {error!r} {error.args} {error.path} {error.expected} {error.got}"
        if error.partial is not None:
            yield from shown_by(error.partial)
            yield repr(one.check(error.partial))
        return
    yield from shown_by(message)
    yield repr(one.check(message))


def test_the_cards_are_cards() -> None:
    assert all(luhn_valid(card) for card in CARDS)


def test_text_and_document_show_what_is_looked_at() -> None:
    assert Message.__str__ is Message.__repr__
    for name in iso8583.shipped():
        for sample in iso8583.samples(name):
            message = iso8583.load(name).decode(sample.data)
            assert json.loads(message.to_json()) == message.to_document()


@pytest.mark.parametrize("name", any_dialect.NAMES)
def test_no_field_shows_a_card_number(name: str) -> None:
    one, random = any_dialect.dialect(name), Random(1)
    planted_ones = 0
    header = {key: any_dialect.value(part, random) for key, part in one.dictionary.header.items()}
    for number, field in one.dictionary.fields.items():
        for card in [random.choice(CARDS)] if field.is_composite else CARDS:
            for value in planted(field, card, random):
                fields = {"header": header} if header else {}
                message = Message("0200", {**fields, str(number): value}, one.dictionary)
                refuse_to_see(card, shown_by(message), f"{name} {number}")
                refuse_to_see(card, shown_by(Message("0200", {str(number): value})), f"by hand {number}")
                try:
                    data = one.encode(message)
                except EncodeError as error:
                    refuse_to_see(card, iter([f"{error} {error!r} {error.args}"]), f"{name} {number}: error")
                    continue
                planted_ones += 1
                refuse_to_see(card, everything_told(one, data), f"{name} {number} decoded")
    assert planted_ones >= len(one.dictionary.fields) // 4, "the numbers got somewhere"


@pytest.mark.parametrize("name", any_dialect.NAMES)
def test_no_damaged_message_shows_a_card_number(name: str) -> None:
    """Whole messages out of step: digits land in fields that have nothing to do with cards."""
    one, random = any_dialect.dialect(name), Random(2)
    numbers = sorted(one.dictionary.fields)
    header = {key: any_dialect.value(part, random) for key, part in one.dictionary.header.items()}
    refused = 0
    for _ in range(60):
        card = random.choice(CARDS)
        around = random.sample(numbers, min(6, len(numbers)))
        fields: dict[str, Any] = {"header": header} if header else {}
        for number in around:
            candidates = list(planted(one.dictionary.fields[number], card, random))
            if candidates:
                fields[str(number)] = random.choice(candidates)
        try:
            data = one.encode(Message("0200", fields))
        except EncodeError:
            continue
        for wounded in damages(data, random):
            refuse_to_see(card, everything_told(one, wounded), f"{name} damaged {wounded.hex()}", True)
            refused += 1
    assert refused > 50


@pytest.mark.parametrize("other", iso8583.shipped())
def test_the_wrong_dialect_shows_no_card_number(other: str) -> None:
    """What `doctor` does: messages of one dialect read as if they were of another."""
    one = iso8583.load(other)
    for name in iso8583.shipped():
        for sample in iso8583.samples(name):
            refuse_to_see("4111111111111111", everything_told(one, sample.data), f"{name} as {other}", True)


def test_names_made_of_card_numbers_are_masked() -> None:
    card = CARDS[0]
    for message in (
        Message(card, {}),
        Message("0200", {card: "1"}),
        Message("0200", {"48": {card: b"\x01"}}),
        Message("0200", {"48": {"01": {card: "1"}}}),
    ):
        refuse_to_see(card, shown_by(message), "a name")
        refuse_to_see(card, iter([repr(iso8583.load("vafa").check(message))]), "a problem")
        with pytest.raises(EncodeError) as caught:
            iso8583.load("vafa").encode(message)
        refuse_to_see(card, iter([f"{caught.value} {caught.value!r}"]), "an error")


# A message whose card number stands where other fields are expected: the bitmap says so, or bytes are lost.
MOVED = (
    ("3 and 4 in its place", (3, 4, 7), 0),
    ("a length taken from it", (32, 33), 0),
    ("a byte too late", (3, 4, 11), 1),
    ("free text", (43,), 0),
    ("bytes", (52, 37), 0),
    ("dates", (7, 12, 13, 14), 0),
)


@pytest.mark.parametrize("name", ["iso87-ascii", "iso87-bcd", "ebcdic93", "iso93-bcd"])
@pytest.mark.parametrize(("numbers", "skipped"), [pytest.param(*row[1:], id=row[0]) for row in MOVED])
@pytest.mark.parametrize("kept", [7, 10, 13, 15, 16])
def test_a_card_number_in_pieces_is_shown_in_none(
    name: str, numbers: tuple[int, ...], skipped: int, kept: int
) -> None:
    one, card, is_packed = iso8583.load(name), CARDS[0], name.endswith("bcd")
    whole = one.encode(Message("0200", {"2": card}))
    bitmap = sum(1 << (64 - number) for number in numbers).to_bytes(8, "big")
    if name == "iso87-ascii":
        bitmap = bitmap.hex().upper().encode()
    mti_size, prefix_size = (2, 1) if is_packed else (4, 2)
    content = whole[mti_size + len(bitmap) + prefix_size :]
    lost = (len(card) - kept) // (2 if is_packed else 1)
    broken = whole[:mti_size] + bitmap + b"\x12"[:skipped] + content[: len(content) - lost]
    with pytest.raises(DecodeError) as caught:
        one.decode(broken)
    partial = caught.value.partial
    assert partial is not None
    digits = "".join(filter(str.isdigit, "".join(shown for _path, shown in partial.masked())))
    for piece in (middle(card)[:-1], middle(card)[1:]):
        assert piece not in digits, repr(partial)
