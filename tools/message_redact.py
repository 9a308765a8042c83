"""Messages with secrets replaced so that they stay messages: same lengths, valid card numbers.

The same secret is always replaced by the same stand-in, so that a card can still be followed through a file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from switch.iso8583 import Dialect, Mask, Message, Value, mask_text
from switch.iso8583.dictionary import Field
from switch.iso8583.masks import LONGEST_CARD_NUMBER, SHORTEST_CARD_NUMBER, luhn_valid
from tools.message_view import shown

_EBCDIC = "cp500"
_DIGIT_RUN = re.compile(rf"[0-9]{{{SHORTEST_CARD_NUMBER},}}")
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
    """`text` with every run of digits that could be a card number replaced."""
    return _DIGIT_RUN.sub(lambda run: _run_without_cards(run.group()), text)


def bytes_without_cards(content: bytes) -> bytes:
    """The same for bytes that hold digits as ASCII, EBCDIC or BCD."""
    content = without_cards(content.decode("latin-1")).encode("latin-1")
    content = without_cards(content.decode(_EBCDIC)).encode(_EBCDIC)
    return bytes.fromhex(without_cards(content.hex()))


def _run_without_cards(run: str) -> str:
    if len(run) <= LONGEST_CARD_NUMBER and luhn_valid(run):
        return test_card_number(run)
    masked = mask_text(run)
    made = "".join("0" if shown == "*" else digit for digit, shown in zip(run, masked, strict=True))
    if made == run and masked != run:
        made = "".join("1" if shown == "*" else digit for digit, shown in zip(run, masked, strict=True))
    return made


def _value(dialect: Dialect, path: str, value: Value, changes: list[Change]) -> Value:
    if isinstance(value, Mapping):
        return {key: _value(dialect, f"{path}.{key}", inner, changes) for key, inner in value.items()}  # type: ignore[misc]
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
    return _filler(field, value), "secret, now filler"


def _track_2(track: str) -> str:
    number, separator, rest = track.partition("=")
    if not separator:
        return "0" * len(track)
    return test_card_number(number) + separator + _TRACK_REST[: len(rest)].ljust(len(rest), "0")


def _filler(field: Field | None, value: str) -> str:
    """Zeros for digits, X for letters; signs and separators stay. Whole where only digits may stand."""
    if field is not None and field.content == "h":
        return "0" * len(value)
    zeros = re.sub("[0-9]", "0", value)
    return zeros if field is not None and field.content == "x+n" else re.sub("[A-Za-z]", "X", zeros)
