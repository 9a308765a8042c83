"""Messages with secrets replaced so that they stay messages: same lengths, valid card numbers.

The same secret is always replaced by the same stand-in, so that a card can still be followed through a file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from switch.iso8583 import Dialect, Mask, Message, Value, mask_text
from switch.iso8583.dictionary import Field
from switch.iso8583.masks import (
    BETWEEN_DIGITS,
    LONGEST_CARD_NUMBER,
    SHORTEST_CARD_NUMBER,
    luhn_valid,
    mask_mobile,
)
from tools.message_view import shown

_EBCDIC = "cp500"
_DIGIT_RUN = re.compile(rf"[0-9](?:{BETWEEN_DIGITS}[0-9]){{{SHORTEST_CARD_NUMBER - 1},}}")
_HEX_RUN = re.compile(rf"(?:3[0-9]){{{SHORTEST_CARD_NUMBER},}}|(?:[Ff][0-9]){{{SHORTEST_CARD_NUMBER},}}")
_TRACK_1 = re.compile(r"(%?B)([0-9][0-9 ]{7,22}[0-9])(\^[^?\n]*\??)")
_TRACK_2 = re.compile(r"(?<![0-9])([0-9]{8,19})([=Dd])([0-9]{4,})")
_TRACK_REST = "4912101" + "0" * 30  # expiry December 2049, service code 101, nothing else


class Change(NamedTuple):
    """One value that was replaced. was, now: as a person may see them."""

    path: str
    was: str
    now: str
    why: str


class Redacted(NamedTuple):
    """A message without secrets, and what became of them."""

    message: Message
    changes: tuple[Change, ...]


def redact(dialect: Dialect, message: Message) -> Redacted:
    """`message` with every value that its mask rule hides replaced."""
    changes: list[Change] = []
    fields = {number: _value(dialect, number, value, changes) for number, value in message.fields.items()}
    return Redacted(Message(message.mti, fields, dialect.dictionary), tuple(changes))


def test_card_number(number: str) -> str:
    """A number of the same length, issuer (first six digits) and last four, with a right check digit.

    Shorter than 16: first two and last two. What lies between is zeros and one digit that makes it valid.
    """
    head, tail = (6, 4) if len(number) >= 16 else (2, 2)
    if len(number) <= head + tail:
        return "0" * len(number)
    middle = len(number) - head - tail
    for filler in ("0", "1"):
        for digit in "0123456789":
            made = number[:head] + filler * (middle - 1) + digit + number[-tail:]
            if luhn_valid(made) and made != number:
                return made
    return number[:head] + "1" * middle + number[-tail:]


def without_cards(text: str) -> str:
    """`text` with every run of digits that could be a card number, and every track, replaced."""
    if mask_text(text) == text:
        return text
    text = _TRACK_1.sub(lambda track: f"{track[1]}{_any_card(track[2])}{_blanked(track[3])}", text)
    text = _TRACK_2.sub(lambda track: f"{_any_card(track[1])}{track[2]}{_track_rest(track[3])}", text)
    text = _HEX_RUN.sub(_hex_without_cards, text)
    return _DIGIT_RUN.sub(_run_without_cards, text)


def bytes_without_cards(content: bytes) -> bytes:
    """The same for bytes that hold digits as ASCII, EBCDIC or BCD."""
    content = without_cards(content.decode("latin-1")).encode("latin-1")
    content = without_cards(content.decode(_EBCDIC)).encode(_EBCDIC)
    made = without_cards(content.hex().upper())
    # a track's separator and the letters behind it are nibbles here: what is no hex any more becomes zeros
    return bytes.fromhex(re.sub("[^0-9A-F]", "0", made))


def _run_without_cards(run: re.Match[str]) -> str:
    places = [place for place, character in enumerate(run[0]) if character in "0123456789"]
    digits = "".join(run[0][place] for place in places)
    made = list(run[0])
    for place, digit in zip(places, _digits_without_cards(digits), strict=True):
        made[place] = digit
    return "".join(made)


def _digits_without_cards(digits: str) -> str:
    if len(digits) <= LONGEST_CARD_NUMBER and luhn_valid(digits):
        return test_card_number(digits)
    masked = mask_text(digits)
    for filler in "01":
        made = _filled(digits, masked, filler)
        if made != digits:
            return made
    return digits


def _filled(digits: str, masked: str, filler: str) -> str:
    """`digits` with `filler` for those that are stars in `masked`."""
    return "".join(filler if shown == "*" else digit for digit, shown in zip(digits, masked, strict=True))


def _hex_without_cards(run: re.Match[str]) -> str:
    digits = _digits_without_cards(run[0][1::2])
    return "".join(zone + digit for zone, digit in zip(run[0][::2], digits, strict=True))


def _any_card(number: str) -> str:
    """A stand-in for a number in a track, whatever its check digit; blanks in it stay."""
    made = iter(test_card_number(re.sub("[^0-9]", "", number)))
    return re.sub("[0-9]", lambda _digit: next(made), number)


def _track_rest(rest: str) -> str:
    return _TRACK_REST[: len(rest)].ljust(len(rest), "0")


def _blanked(rest: str) -> str:
    return re.sub("[A-Za-z]", "X", re.sub("[0-9]", "0", rest))


def _value(dialect: Dialect, path: str, value: Value, changes: list[Change]) -> Value:
    if isinstance(value, Mapping):
        return {key: _value(dialect, f"{path}.{key}", inner, changes) for key, inner in value.items()}
    mask = dialect.dictionary.mask_of(path)
    made, why = _replaced(dialect.dictionary.field_at(path), mask, value)
    if made != value:
        changes.append(Change(mask_text(path), shown(dialect, path, value), shown(dialect, path, made), why))
    return made


def _replaced(field: Field | None, mask: Mask, value: str | bytes) -> tuple[str | bytes, str]:
    if mask is Mask.NONE:
        if isinstance(value, bytes):
            return bytes_without_cards(value), "held what could be a card number"
        return without_cards(value), "held what could be a card number"
    if isinstance(value, bytes):
        return bytes(len(value)), "secret, now zeros"
    if mask is Mask.PAN:
        return test_card_number(value), "card number, now a test number"
    if mask is Mask.TRACK2:
        return _track_2(value), "track 2, now a test card's"
    if mask is Mask.TRACK1:
        return _track_1(value), "track 1, now a test card's"
    if mask is Mask.MOBILE:
        return _filled(value, mask_mobile(value), "0"), "mobile number, its middle now zeros"
    return _filler(field, value), "secret, now filler"


def _track_2(track: str) -> str:
    separator = next((character for character in track if character in "=Dd"), "")
    number, separator, rest = track.partition(separator) if separator else (track, "", "")
    if not separator:
        return "0" * len(track)
    return _any_card(number) + separator + _track_rest(rest)  # a sentinel may stand before the number


def _track_1(track: str) -> str:
    format_code, number, rest = track[:1], track[1:].partition("^")[0], track[1:].partition("^")[2]
    if "^" not in track or not re.fullmatch("[0-9 ]+", number):
        return _blanked(track)
    return f"{format_code}{_any_card(number)}^{_blanked(rest)}"


def _filler(field: Field | None, value: str) -> str:
    """Zeros for digits, X for letters; signs and separators stay. Whole where only digits may stand."""
    if field is not None and field.content == "h":
        return "0" * len(value)
    if field is not None and field.content == "x+n":
        return re.sub("[0-9]", "0", value)
    return _blanked(value)
