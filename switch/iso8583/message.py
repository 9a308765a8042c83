"""A message as values: what the codec decodes to and encodes from. No bytes of the wire live here.

A message is never changed after it was made, and nothing that prints it shows more than the masks allow.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

from switch.iso8583.masks import Mask, mask_text, mask_value

Scalar = str | bytes
Tags = Mapping[str, Scalar]
Value = Scalar | Tags


class Captions(Protocol):
    """What a message asks its dialect for when it is shown. Paths are "35" or "48.01"."""

    def mask_of(self, path: str) -> Mask: ...

    def title_of(self, path: str) -> str: ...


# Fields that ISO 8583 (all versions) makes sensitive; a message without a dialect is masked by these.
STANDARD_MASKS = {
    "2": Mask.PAN,
    "34": Mask.HIDDEN,
    "35": Mask.TRACK2,
    "36": Mask.HIDDEN,
    "45": Mask.HIDDEN,
    "52": Mask.HIDDEN,
    "55": Mask.HIDDEN,
    "64": Mask.HIDDEN,
    "96": Mask.HIDDEN,
    "125": Mask.HIDDEN,
    "128": Mask.HIDDEN,
}


class _StandardCaptions:
    def mask_of(self, path: str) -> Mask:
        return STANDARD_MASKS.get(path, Mask.NONE)

    def title_of(self, path: str) -> str:
        return ""


_STANDARD_CAPTIONS: Captions = _StandardCaptions()


class Message:
    """MTI and fields.

    Fields are named by their number as text. Values: `str` for n, an, ans and z (track 2 with "=" as
    separator, digits without pad), `bytes` for b, a mapping of tag -> value for tagged data. A tag's name is
    its byte in upper-case hex ("01", "AB"); tags the dialect doesn't know are `bytes`.

        message = Message("0210", {"11": "000123", "39": "00", "48": {"01": "000000000250"}})
        message["48.01"]            "000000000250"
        message.get("35")           None
        "39" in message             True
        list(message)               ["11", "39", "48.01"]; tagged fields give their tags, an empty one itself
        message.fields              the mapping as given

    The mapping is taken over, not copied: never change it afterwards, make a new message. Two messages are
    equal when MTI and fields are; the order of fields and tags doesn't count.
    """

    __slots__ = ("_captions", "fields", "mti")

    mti: str
    fields: Mapping[str, Value]

    def __init__(self, mti: str, fields: Mapping[str, Value], captions: Captions | None = None) -> None:
        self.mti = mti
        self.fields = fields
        self._captions = _STANDARD_CAPTIONS if captions is None else captions

    def __getitem__(self, path: str) -> Value:
        """The value at `path`; KeyError when the message doesn't carry it."""
        value = self.get(path)
        if value is None:
            raise KeyError(path)
        return value

    def get(self, path: str) -> Value | None:
        """The value at `path`, or None."""
        value = self.fields.get(path)
        if value is not None or "." not in path:
            return value
        number, _dot, tag = path.partition(".")
        tags = self.fields.get(number)
        return tags.get(tag) if isinstance(tags, Mapping) else None

    def text(self, path: str) -> str:
        """The value at `path` where the dialect makes it text; KeyError when absent, TypeError otherwise."""
        value = self[path]
        if not isinstance(value, str):
            raise TypeError(f"{path} is no text")
        return value

    def __contains__(self, path: object) -> bool:
        return isinstance(path, str) and self.get(path) is not None

    def __iter__(self) -> Iterator[str]:
        for number in sorted(self.fields, key=_field_order):
            value = self.fields[number]
            if isinstance(value, Mapping) and value:
                for tag in value:
                    yield f"{number}.{tag}"
            else:
                yield number

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Message):
            return NotImplemented
        return self.mti == other.mti and self.fields == other.fields

    __hash__ = None  # type: ignore[assignment]  # fields may be plain dictionaries

    def masked(self) -> Iterator[tuple[str, str]]:
        """Every path with its value as a person may see it; an empty tagged field shows nothing."""
        for path in self:
            value = self[path]
            shown = ""
            if isinstance(value, str | bytes):
                shown = mask_value(self._captions.mask_of(path), value)
            yield mask_text(path), shown

    def describe(self) -> str:
        """One line per value: path, masked value, meaning."""
        lines = [f"MTI    {mask_text(self.mti)}"]
        for path, shown in self.masked():
            lines.append(f"{path:<6} {shown}  {self._captions.title_of(path)}".rstrip())
        return "\n".join(lines)

    def __repr__(self) -> str:
        shown = " ".join(f"{path}={value}" for path, value in self.masked())
        return f"<Message {mask_text(self.mti)} {shown}>"

    __str__ = __repr__


def _field_order(number: str) -> tuple[int, str]:
    return (int(number), "") if number.isdecimal() and number.isascii() else (1 << 16, number)
