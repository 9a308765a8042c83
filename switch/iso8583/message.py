"""A message as values: what the codec decodes to and encodes from. No bytes of the wire live here.

A message is never changed after it was made, and nothing that prints it shows more than the masks allow; the
one way to see all is to ask `to_json` or `to_document` to reveal it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, Union

from switch.iso8583.dictionary import HEADER
from switch.iso8583.errors import EncodeError
from switch.iso8583.masks import Mask, mask_joined, mask_text, mask_value, standard_mask

if TYPE_CHECKING:
    from switch.iso8583.dictionary import Dictionary, Field

Scalar: TypeAlias = str | bytes
Value: TypeAlias = Union[str, bytes, Mapping[str, "Value"]]  # noqa: UP007 (an alias that names itself)
Tags: TypeAlias = Mapping[str, Value]

SCHEMA = "vafa.message/1"
# The name under which a decoded message carries a secondary bitmap that announces nothing, in dialects that
# allow it (bitmap.empty_secondary).
EMPTY_SECONDARY = "1"
MTI = "mti"  # the path of the message type
BYTES_MARK = "0x"
LONGEST_JSON = 8_000_000  # characters; the greatest message as revealed JSON is far smaller
# What masks put in the place of content, as `from_json` recognises it where it can't be content.
_MASKED = re.compile(r"\[hidden\]|\[\d+ bytes hidden\]|.*[=^]\.\.\.|\d{2,6}\*+\d{2,4}", re.DOTALL)


class Captions(Protocol):
    """What a message asks its dialect for when it is shown. Paths are "35" or "48.01"."""

    def mask_of(self, path: str) -> Mask: ...

    def title_of(self, path: str) -> str: ...


class Speaker(Protocol):
    """What `from_json` asks of a dialect."""

    @property
    def name(self) -> str: ...

    @property
    def dictionary(self) -> Dictionary: ...


# Fields that ISO 8583 (all versions) makes sensitive; a message without a dialect is masked by these.
STANDARD_MASKS = {
    "2": Mask.PAN,
    "14": Mask.HIDDEN,
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
        first, dot, _rest = path.partition(".")
        mask = STANDARD_MASKS.get(first, Mask.NONE)
        if dot and mask is Mask.NONE:  # an EMV tag, wherever it stands
            return Mask.NONE if standard_mask(path, "b") is Mask.NONE else Mask.HIDDEN
        return Mask.HIDDEN if dot and mask is not Mask.NONE else mask

    def title_of(self, path: str) -> str:
        return ""


_STANDARD_CAPTIONS: Captions = _StandardCaptions()


class Message:
    """MTI and fields.

    Fields are named by their number as text, a header's parts stand under "header". Values: `str` for
    digits, characters, amounts and tracks (track 2 in BCD with "=" as separator, digits without pad),
    `bytes` for b, a mapping for composites: tag or part -> value, nested as the dialect nests them. A binary
    tag's name is its bytes in upper-case hex ("01", "9F36"); tags the dialect doesn't know are `bytes`.

        message = Message("0210", {"11": "000123", "39": "00", "48": {"01": "000000000250"}})
        message["48.01"]            "000000000250"
        message["mti"]              "0210"
        message.get("35")           None
        "39" in message             True
        list(message)               ["11", "39", "48.01"]; composites give what is in them
        message.fields              the mapping as given

    The mapping is taken over, not copied: never change it afterwards, make a new message. Two messages are
    equal when MTI and fields are; the order of fields and tags doesn't count.
    """

    __slots__ = ("_captions", "fields", "is_partial", "mti")

    mti: str
    fields: Mapping[str, Value]
    # what was decoded before a fault: bytes out of step may have put anything anywhere
    is_partial: bool

    def __init__(
        self,
        mti: str,
        fields: Mapping[str, Value],
        captions: Captions | None = None,
        is_partial: bool = False,
    ) -> None:
        self.mti = mti
        self.fields = fields
        self._captions = _STANDARD_CAPTIONS if captions is None else captions
        self.is_partial = is_partial

    def __getitem__(self, path: str) -> Value:
        """The value at `path`; KeyError when the message doesn't carry it."""
        value = self.get(path)
        if value is None:
            raise KeyError(path)
        return value

    def get(self, path: str) -> Value | None:
        """The value at `path` ("35", "55.9F36", "127.25.3", "mti"), or None."""
        if not isinstance(path, str):
            raise TypeError(f"a path is text, not {type(path).__name__}: write {str(path)!r}")
        value = self.fields.get(path)
        if value is not None:
            return value
        if "." not in path:
            return self.mti if path == MTI else None
        first, *steps = path.split(".")
        value = self.fields.get(first)
        for step in steps:
            value = value.get(step) if isinstance(value, Mapping) else None
        return value

    def text(self, path: str) -> str:
        """The value at `path` where the dialect makes it text; KeyError when absent, TypeError otherwise."""
        value = self[path]
        if not isinstance(value, str):
            raise TypeError(f"{path} is no text")
        return value

    def __contains__(self, path: object) -> bool:
        return isinstance(path, str) and self.get(path) is not None

    def __iter__(self) -> Iterator[str]:
        for path, _value in self.leaves():
            yield path

    def leaves(self) -> Iterator[tuple[str, Value]]:
        """Every path with its value, fields by number, what is in composites as it came."""
        for number in sorted(self.fields, key=_field_order):
            yield from _leaves(number, self.fields[number])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Message):
            return NotImplemented
        return self.mti == other.mti and self.fields == other.fields

    __hash__ = None  # type: ignore[assignment]  # fields may be plain dictionaries

    # ------------------------------------------------------------ as a person sees it

    def masked(self) -> Iterator[tuple[str, str]]:
        """Every path with its value as a person may see it; an empty composite shows nothing."""
        paths, shown = [], []
        for path, value in self.leaves():
            paths.append(mask_text(str(path)))
            if isinstance(value, str | bytes):
                shown.append(mask_value(self._captions.mask_of(path), value))
            else:
                shown.append("")
        if self.is_partial:
            shown = mask_joined(shown)
        return iter(list(zip(paths, shown, strict=True)))

    def describe(self) -> str:
        """One line per value: path, masked value, meaning."""
        lines = [f"MTI    {mask_text(str(self.mti))}"]
        titles = (self._captions.title_of(path) for path, _value in self.leaves())
        for (path, shown), title in zip(self.masked(), titles, strict=True):
            lines.append(f"{path:<6} {shown}  {title}".rstrip())
        return "\n".join(lines)

    def __repr__(self) -> str:
        shown = " ".join(f"{path}={value}" for path, value in self.masked())
        return f"<Message {mask_text(str(self.mti))} {shown}>"

    __str__ = __repr__

    # ------------------------------------------------------------ JSON

    def to_document(self, reveal: bool = False) -> dict[str, Any]:
        """The message as plain values: schema, dialect, mti, masked, fields.

        Fields nest as in the message. Revealed, bytes are written "0x..." in upper-case hex and `from_json`
        restores everything exactly; otherwise every value is what a person may see.
        """
        document: dict[str, Any] = {"schema": SCHEMA}
        name = getattr(self._captions, "name", None)
        if isinstance(name, str):
            document["dialect"] = name
        document["mti"] = str(self.mti) if reveal else mask_text(str(self.mti))
        document["masked"] = not reveal
        if reveal:
            document["fields"] = {
                number: _plain(self.fields[number]) for number in sorted(self.fields, key=_field_order)
            }
        else:
            document["fields"] = self._masked_tree()
        return document

    def to_json(self, reveal: bool = False) -> str:
        """`to_document` as JSON text, non-ASCII as it is."""
        return json.dumps(self.to_document(reveal), ensure_ascii=False, indent=1)

    @classmethod
    def from_json(cls, text: str, dialect: Speaker) -> Message:
        """The message that `to_json(reveal=True)` wrote, or one written by hand in the same form.

        The dialect says which values are bytes. EncodeError when the text is no such message, or when a
        value is masked: what a mask took away can't be sent.
        """
        if not isinstance(text, str):
            raise TypeError(f"from_json takes JSON as str, not {type(text).__name__}: decode bytes first")
        if len(text) > LONGEST_JSON:
            raise EncodeError("message", f"at most {LONGEST_JSON} characters of JSON", "more")
        try:
            document = json.loads(text, object_pairs_hook=_once)
        except (ValueError, RecursionError) as error:
            is_twice = isinstance(error, _Twice)
        else:
            return cls.from_document(document, dialect)
        # outside of `except`: the error would carry the text as its context
        if is_twice:
            raise EncodeError("message", "every name once in an object", "one twice")
        raise EncodeError("message", "JSON", "something else")

    @classmethod
    def from_document(cls, document: object, dialect: Speaker) -> Message:
        """`from_json` for what is parsed already."""
        if not isinstance(document, dict):
            raise EncodeError("message", "a JSON object", _kind(document))
        if document.get("schema", SCHEMA) != SCHEMA:
            raise EncodeError("message", f"schema {SCHEMA}", "another")
        named = document.get("dialect", dialect.name)
        if named != dialect.name:
            raise EncodeError("message", f"a message of {dialect.name}", "one of another dialect")
        masked = document.get("masked", None)
        if masked not in (None, False):
            raise EncodeError("message", "a message that is not masked", "a masked one")
        strangers = set(document) - {"schema", "dialect", "mti", "masked", "fields"}
        if strangers:
            raise EncodeError("message", "schema, dialect, mti, masked, fields", "another key")
        mti, fields = document.get("mti"), document.get("fields")
        if not isinstance(mti, str) or not (len(mti) == 4 and mti.isascii() and mti.isdigit()):
            raise EncodeError("mti", "4 digits", _kind(mti) if not isinstance(mti, str) else "another text")
        if not isinstance(fields, dict):
            raise EncodeError("message", "fields as a JSON object", _kind(fields))
        is_told = masked is False
        dictionary = dialect.dictionary
        values = {number: _field_value(number, fields[number], dictionary, is_told) for number in fields}
        return cls(mti, values, dictionary)

    def _masked_tree(self) -> dict[str, Any]:
        tree: dict[str, Any] = {}
        for (path, value), (_path, shown) in zip(self.leaves(), self.masked(), strict=True):
            *holders, last = [mask_text(step) for step in str(path).split(".")]
            inner = tree
            for step in holders:
                inner = inner.setdefault(step, {})
            inner[last] = {} if isinstance(value, Mapping) else shown
        return tree


def message_bytes(data: object) -> bytes:
    """`data` as bytes; TypeError for what is no message at all, such as its hex digits as text."""
    if isinstance(data, bytes):
        return data
    if isinstance(data, bytearray | memoryview):
        return bytes(data)
    remedy = "use bytes.fromhex(...) for hex digits" if isinstance(data, str) else "pass bytes"
    raise TypeError(f"a message is bytes, not {type(data).__name__}: {remedy}")


def message_of(message: object) -> Message:
    """`message`; TypeError for what is none, such as the mapping of its fields alone."""
    if not isinstance(message, Message):
        raise TypeError(f"a Message is wanted, not {type(message).__name__}: use Message(mti, fields)")
    if not isinstance(message.fields, Mapping):
        raise TypeError(f"a Message has a mapping of fields, not {type(message.fields).__name__}")
    return message


def paths_of(fields: Iterable[str]) -> tuple[str, ...]:
    """`fields` as paths; TypeError for one path alone, whose characters would be taken for paths."""
    if isinstance(fields, str | bytes) or not isinstance(fields, Iterable):
        raise TypeError(f'fields is a sequence of paths, not {type(fields).__name__}: write ["mti", "11"]')
    paths = tuple(fields)
    if not all(isinstance(path, str) for path in paths):
        raise TypeError('a path is text: write ["mti", "11"]')
    return paths


def _leaves(path: str, value: Value) -> Iterator[tuple[str, Value]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _leaves(f"{path}.{key}", inner)
    else:
        yield path, value


def _plain(value: Value) -> Any:
    if isinstance(value, bytes):
        return BYTES_MARK + value.hex().upper()
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    return value


class _Twice(ValueError):  # never leaves this module
    """A name that stands twice in a JSON object, where all but the last would be lost."""


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    content = dict(pairs)
    if len(content) < len(pairs):
        raise _Twice
    return content


def _field_value(number: str, plain: object, dictionary: Dictionary, is_told: bool) -> Value:
    """The value of a whole field, of the header, or of the mark of an empty secondary bitmap."""
    is_number = number.isascii() and number.isdecimal() and len(number) < 5
    field = dictionary.fields.get(int(number)) if is_number else None
    if number == HEADER and dictionary.header:
        if not isinstance(plain, dict):
            raise EncodeError(HEADER, "a JSON object of parts", _kind(plain))
        return {
            key: _valued(f"{HEADER}.{key}", inner, dictionary.header.get(key), dictionary, is_told)
            for key, inner in plain.items()
            if _is_part(HEADER, key, key in dictionary.header)
        }
    if number == EMPTY_SECONDARY and field is None:
        return _bytes(EMPTY_SECONDARY, _text(EMPTY_SECONDARY, plain, "bytes as 0x and hex digits"))
    if field is None or field.path != number:
        raise EncodeError("message", "fields of this dialect, by number", "another name")
    return _valued(number, plain, field, dictionary, is_told)


def _valued(
    path: str,
    plain: object,
    field: Field | None,
    dictionary: Dictionary,
    is_told: bool,
    is_lenient: bool = False,
) -> Value:
    """The value at `path` as the codec wants it. field: None for a tag that the dialect doesn't know.

    is_told: the document says that it isn't masked. is_lenient: a tag that may not fit its field.
    """
    if field is not None and field.is_composite:
        return _composite(path, plain, field, dictionary, is_told)
    shown = mask_text(path)
    wanted = "a text" if field is not None and field.content != "b" else "bytes as 0x and hex digits"
    text = _text(shown, plain, wanted)
    if _looks_masked(text, field, is_told):
        raise EncodeError(shown, "a value that is not masked", "a masked one")
    if field is not None and field.content != "b" and not (is_lenient and text.startswith(BYTES_MARK)):
        return text
    return _bytes(shown, text)


def _composite(path: str, plain: object, field: Field, dictionary: Dictionary, is_told: bool) -> Value:
    words = "tags" if field.content == "tlv" else "groups" if field.repeat else "parts"
    shown = mask_text(path)
    if not isinstance(plain, dict):
        if isinstance(plain, str) and _looks_masked(plain, field, is_told):
            raise EncodeError(shown, "a value that is not masked", "a masked one")
        raise EncodeError(shown, f"a JSON object of {words}", _kind(plain))
    is_lenient = field.tlv is not None and field.tlv.keeps_misfits
    values: dict[str, Value] = {}
    for key, inner in plain.items():
        child = dictionary.field_at(f"{path}.{key}")
        knows = child is not None and (child is not field or field.repeat > 0)
        if field.content == "tlv":
            _is_part(path, key, True)
        elif _is_part(path, key, knows) and child is field:  # a group of several
            values[key] = _group(f"{path}.{key}", inner, field, dictionary, is_told)
            continue
        values[key] = _valued(f"{path}.{key}", inner, child, dictionary, is_told, is_lenient)
    return values


def _group(path: str, plain: object, field: Field, dictionary: Dictionary, is_told: bool) -> Value:
    """One of the groups of a repeated field: its parts."""
    if not isinstance(plain, dict):
        raise EncodeError(mask_text(path), "a JSON object of parts", _kind(plain))
    return {
        key: _valued(f"{path}.{key}", inner, field.subfields.get(key), dictionary, is_told)
        for key, inner in plain.items()
        if _is_part(path, key, key in field.subfields)
    }


def _is_part(path: str, key: str, is_known: bool) -> bool:
    """Raises where `key` can't name anything in the composite at `path`."""
    if not is_known or not (key.isascii() and key.isprintable()):
        raise EncodeError(mask_text(path), "names this dialect gives its parts", "another name")
    return True


def _text(shown: str, plain: object, wanted: str) -> str:
    if not isinstance(plain, str):
        raise EncodeError(shown, wanted, _kind(plain))
    if not plain.isascii() and any("\ud800" <= character <= "\udfff" for character in plain):
        raise EncodeError(shown, wanted, "half a character (a lone surrogate)")
    return plain


def _bytes(shown: str, text: str) -> bytes:
    digits = text.removeprefix(BYTES_MARK)
    if digits == text or len(digits) % 2 or digits.strip("0123456789abcdefABCDEF"):
        raise EncodeError(shown, "bytes as 0x and hex digits", "another text")
    try:
        return bytes.fromhex(digits)
    except ValueError:  # something within that isn't hex
        raise EncodeError(shown, "bytes as 0x and hex digits", "another text") from None


def _looks_masked(text: str, field: Field | None, is_told: bool) -> bool:
    """Whether a mask made `text`. Where it is told that nothing is masked, stars and dots are content."""
    if is_told:
        is_free = field is not None and field.mask is Mask.NONE
        return not is_free and _MASKED.fullmatch(text) is not None
    return "*" in text or _MASKED.fullmatch(text) is not None


def _kind(value: object) -> str:
    return "nothing" if value is None else type(value).__name__


def _field_order(number: str) -> tuple[int, str]:
    if number == HEADER:
        return (-1, "")
    return (int(number), "") if number.isdecimal() and number.isascii() else (1 << 16, number)
