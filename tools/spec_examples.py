"""A sample message taken apart: which bytes belong to what, what they say, and what may be shown of them.

Whatever a view of the message masks is masked in its bytes too; lengths and tags before it stay readable.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple, Protocol

from switch.iso8583 import Dialect, Message, Text
from switch.iso8583.dictionary import HIGHEST_FIELD, Dictionary, Field

HIDDEN_BYTE = "**"
RESPONSE_CODE = "39"
# What `reasons` and `network_codes` are the values of, by the field's name: its path differs from dialect to
# dialect.
REASON = "reason"
REASON_NUMBER = "reason_number"  # what stands for {0} in a reason's text
NETWORK_CODE = "network_code"


class Example(Protocol):
    """A sample message as it stands beside its dialect: a name and the bytes in hex."""

    @property
    def name(self) -> str: ...

    @property
    def hex(self) -> str: ...


class Part(NamedTuple):
    """Bytes `start` to `stop` (exclusive) of a message: hex and value as they may be shown."""

    path: str
    start: int
    stop: int
    hex: str
    shown: str
    meaning: Text | None


def annotated(dialect: Dialect, data: bytes) -> Iterator[Part]:
    """The bytes of the valid message `data` in order, without gap or overlap."""
    message = dialect.decode(data)
    shown = dict(message.masked())
    places = list(leaves(dialect, data))
    bitmaps = _bitmap_words(message, sum(path == "bitmap" for path, _start, _stop in places))
    for path, start, stop in places:
        value = message.get(path) if path in shown else None
        text = shown.get(path, "")
        hexed = data[start:stop].hex().upper()
        if value is not None and text != _plain(value):
            head = _head_bytes(dialect.dictionary, path)
            hexed = hexed[: head * 2] + HIDDEN_BYTE * (stop - start - head)
        if path == "mti":
            text = message.mti
        elif path == "bitmap":
            text = next(bitmaps)
        meaning = meaning_of(dialect.dictionary, path, value) if isinstance(value, str) else None
        yield Part(path, start, stop, hexed, text, meaning)


def _bitmap_words(message: Message, count: int) -> Iterator[str]:
    """What each of `count` bitmaps says; a second one stands within a field and is of those above 128."""
    numbers = [number for number in message.fields if number.isdecimal()]
    if count > 1:
        yield " ".join(number for number in numbers if int(number) <= HIGHEST_FIELD)
        numbers = [number for number in numbers if int(number) > HIGHEST_FIELD]
    yield " ".join(numbers)


def leaves(dialect: Dialect, data: bytes) -> Iterator[tuple[str, int, int]]:
    """The bytes of the valid message `data` by what is innermost there: path, start, stop.

    What a group has beside its members (its length, its bitmap) stands under the group's own path.
    """
    owners: list[str] = [""] * len(data)
    for path, start, stop in sorted(dialect.spans(data), key=lambda span: (span[1] - span[2], span[0])):
        owners[start:stop] = [path] * (stop - start)
    start = 0
    for at in range(1, len(data) + 1):
        if at == len(data) or owners[at] != owners[start]:
            yield owners[start], start, at
            start = at


def meaning_of(dictionary: Dictionary, path: str, value: str) -> Text | None:
    """What the dictionary says a value means, if it does."""
    field = dictionary.field_at(path)
    if field is None:
        return None
    if value in field.meanings:
        return field.meanings[value]
    return codes_of(dictionary, field).get(value)


def codes_of(dictionary: Dictionary, field: Field) -> Mapping[str, Text]:
    """The dictionary's own list of codes that `field` carries, if it does."""
    if field.path == RESPONSE_CODE:
        return {code: response.title for code, response in dictionary.response_codes.items()}
    if field.name == REASON:
        return dictionary.reasons
    if field.name == NETWORK_CODE:
        return dictionary.network_codes
    return {}


def _head_bytes(dictionary: Dictionary, path: str) -> int:
    """Bytes at the beginning of a span that are its length or tag, no content; 0 when that isn't certain."""
    field = dictionary.field_at(path)
    if field is None:
        return 0
    holder = dictionary.field_at(path.rpartition(".")[0]) if "." in path else None
    if holder is not None and holder.tlv is not None:
        return holder.tlv.tag_bytes + holder.tlv.length_bytes if holder.tlv.kind == "simple" else 0
    is_on_its_own = holder is None or holder.encoding != "hex"
    return field.prefix.size if field.prefix is not None and is_on_its_own else 0


def _plain(value: object) -> str:
    return value.hex().upper() if isinstance(value, bytes) else value if isinstance(value, str) else ""
