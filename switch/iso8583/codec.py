"""Bytes <-> values of single fields: one prebuilt pair of functions per field, made from the dictionary.

A pair is composed of content (how values look in bytes) and length (fixed, or a prefix before it). The
readers get the message three ways at once - bytes, their hex digits, their characters - because slicing text
made in one go is several times faster than converting field by field. Doubt is cheap to notice and is
explained on a second, slow look. Nothing here knows bitmaps or messages, or raises but the kit's own errors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from switch.iso8583.dictionary import Field
from switch.iso8583.errors import DecodeError, EncodeError
from switch.iso8583.message import Scalar, Value

# (data, the same as lower-case hex, the same as Latin-1, byte offset, length in the field's unit) -> value.
# The offset may lie at the end of the data, never beyond it.
Read = Callable[[bytes, str, str, int, int], Value]
# value -> its bytes, without a prefix
Write = Callable[[Value], bytes]
# (data, hex, characters, byte offset, fields to put the value into) -> offset behind the field
Decode = Callable[[bytes, str, str, int, dict[str, Value]], int]
Encode = Callable[[Value], bytes]

DIGITS = "0123456789"
TRACK_CHARACTERS = DIGITS + "="
TAG_NAMES = tuple(f"{tag:02X}" for tag in range(256))
TAG_BYTES = tuple(bytes((tag,)) for tag in range(256))
TAG_NUMBERS = {name: tag for tag, name in enumerate(TAG_NAMES)}
LONGEST_TAG_VALUE = 255  # one length byte


class FieldCodec(NamedTuple):
    """The pair for one field. `decode` raises `DecodeError` without the partial message."""

    decode: Decode
    encode: Encode


class _Content(NamedTuple):
    read: Read
    write: Write


def field_codec(field: Field) -> FieldCodec:
    """The pair for `field`."""
    content = _CONTENTS[field.content](field)
    if field.length.prefix_digits:
        return FieldCodec(_prefixed_decode(field, content.read), _prefixed_encode(field, content.write))
    if field.content == "n" and field.length.maximum % 2 == 0:
        return FieldCodec(_fixed_digits_decode(field, content.read), content.write)
    return FieldCodec(_fixed_decode(field, content.read), content.write)


# ---------------------------------------------------------------- length


def _size_bytes(field: Field, length: int) -> int:
    return (length + 1) // 2 if field.encoding == "bcd" else length


def _fixed_decode(field: Field, read: Read) -> Decode:
    key, length = field.path, field.length.maximum
    size = _size_bytes(field, length)

    def decode(data: bytes, hexed: str, characters: str, at: int, fields: dict[str, Value]) -> int:
        fields[key] = read(data, hexed, characters, at, length)
        return at + size

    return decode


def _fixed_digits_decode(field: Field, read: Read) -> Decode:
    """`_fixed_decode` in one step for the commonest kind of field; `read` explains what is wrong."""
    key, length = field.path, field.length.maximum
    size = length // 2

    def decode(data: bytes, hexed: str, characters: str, at: int, fields: dict[str, Value]) -> int:
        end = at + size
        value = hexed[at * 2 : end * 2]
        if not value.isdigit() or len(value) != length:
            read(data, hexed, characters, at, length)
        fields[key] = value
        return end

    return decode


def _prefixed_decode(field: Field, read: Read) -> Decode:
    key = field.path
    minimum, maximum, digits = field.length
    prefix_bytes = (digits + 1) // 2
    # every prefix that is allowed, as hex -> (length, bytes of content)
    allowed = {
        f"{length:0{prefix_bytes * 2}}": (length, _size_bytes(field, length))
        for length in range(minimum, maximum + 1)
    }

    def decode(data: bytes, hexed: str, characters: str, at: int, fields: dict[str, Value]) -> int:
        start = at + prefix_bytes
        found = allowed.get(hexed[at * 2 : start * 2])
        if found is None:
            raise _prefix_fault(field, hexed[at * 2 : start * 2], at)
        length, size = found
        fields[key] = read(data, hexed, characters, start, length)
        return start + size

    return decode


def _prefixed_encode(field: Field, write: Write) -> Encode:
    minimum, maximum, digits = field.length
    prefix_digits = (digits + 1) // 2 * 2
    prefixes = [bytes.fromhex(f"{length:0{prefix_digits}}") for length in range(maximum + 1)]
    if field.content == "tlv":

        def encode_tagged(value: Value) -> bytes:
            content = write(value)
            if minimum <= len(content) <= maximum:
                return prefixes[len(content)] + content
            raise EncodeError(field.path, _range_words(field), f"{len(content)}")

        return encode_tagged

    def encode(value: Value) -> bytes:
        content = write(value)
        return prefixes[len(value)] + content

    return encode


def _prefix_fault(field: Field, prefix: str, at: int) -> DecodeError:
    prefix_bytes = (field.length.prefix_digits + 1) // 2
    if len(prefix) < prefix_bytes * 2:
        return _truncated(field.path, at, prefix_bytes, len(prefix) // 2)
    for place, nibble in enumerate(prefix):
        if nibble not in DIGITS:
            return DecodeError(field.path, at + place // 2, "a length in BCD", f"nibble {nibble.upper()}")
    return DecodeError(field.path, at, f"a length of {_range_words(field)}", f"{int(prefix)}")


def _range_words(field: Field) -> str:
    unit = {"bcd": "digits", "ascii": "characters", "binary": "bytes"}[field.encoding]
    minimum, maximum, _digits = field.length
    return f"{maximum} {unit}" if minimum == maximum else f"{minimum} to {maximum} {unit}"


def count_bytes(count: int) -> str:
    """ "1 byte", "2 bytes", as errors write it."""
    return f"{count} byte" if count == 1 else f"{count} bytes"


def _truncated(path: str, at: int, wanted: int, got: int) -> DecodeError:
    return DecodeError(path, at, count_bytes(wanted), f"{got}")


# ---------------------------------------------------------------- BCD content: n, z


def _digits_content(field: Field) -> _Content:
    minimum, maximum, _digits = field.length
    left = field.pad is not None and field.pad.side == "left"
    pad = field.pad.nibble if field.pad is not None else ""
    fromhex = bytes.fromhex

    def read(data: bytes, hexed: str, characters: str, at: int, length: int) -> str:
        if length & 1:
            end = at * 2 + length + 1
            if left:
                value, nibble = hexed[end - length : end], hexed[end - length - 1 : end - length]
            else:
                value, nibble = hexed[end - length - 1 : end - 1], hexed[end - 1 : end]
            if len(value) == length and value.isdigit() and nibble == pad:
                return value
        else:
            value = hexed[at * 2 : at * 2 + length]
            if len(value) == length and value.isdigit():
                return value
        if length == 0:
            return ""
        raise _nibble_fault(field, hexed, at, length, DIGITS)

    def write(value: Value) -> bytes:
        if (
            isinstance(value, str)
            and minimum <= len(value) <= maximum
            and value.isdigit()
            and value.isascii()
        ):
            if len(value) & 1:
                return fromhex(pad + value if left else value + pad)
            return fromhex(value)
        if value == "" and minimum == 0:
            return b""
        raise _text_refusal(field, value, "digits", DIGITS)

    return _Content(read, write)


def _track_content(field: Field) -> _Content:
    minimum, maximum, _digits = field.length
    left = field.pad is not None and field.pad.side == "left"
    pad = field.pad.nibble if field.pad is not None else ""
    fromhex = bytes.fromhex

    def read(data: bytes, hexed: str, characters: str, at: int, length: int) -> str:
        start = at * 2
        if length & 1:
            nibble = hexed[start : start + 1] if left else hexed[start + length : start + length + 1]
            if nibble != pad:
                raise _nibble_fault(field, hexed, at, length, DIGITS + "d")
            start += left
        value = hexed[start : start + length]
        if len(value) == length and (value.replace("d", "").isdigit() or not value.strip("d")):
            return value.replace("d", "=")
        raise _nibble_fault(field, hexed, at, length, DIGITS + "d")

    def write(value: Value) -> bytes:
        if isinstance(value, str) and minimum <= len(value) <= maximum and value.isascii():
            digits = value.replace("=", "")
            if digits.isdigit() or not digits:
                nibbles = value.replace("=", "d")
                if len(value) & 1:
                    nibbles = pad + nibbles if left else nibbles + pad
                return fromhex(nibbles)
        raise _text_refusal(field, value, "digits and =", TRACK_CHARACTERS)

    return _Content(read, write)


def _nibble_fault(field: Field, hexed: str, at: int, length: int, good: str) -> DecodeError:
    """Why the digits at byte `at` are refused: too few, or the first wrong nibble in the order of bytes."""
    size = (length + 1) // 2
    raw = hexed[at * 2 : (at + size) * 2]
    if len(raw) < size * 2:
        return _truncated(field.path, at, size, len(raw) // 2)
    pad_place = -1
    if length & 1:
        assert field.pad is not None, "only a field with a pad has an odd length"
        pad_place = 0 if field.pad.side == "left" else len(raw) - 1
    for place, nibble in enumerate(raw):
        if place == pad_place:
            assert field.pad is not None
            if nibble != field.pad.nibble:
                expected = f"pad nibble {field.pad.nibble.upper()}"
                return DecodeError(field.path, at + place // 2, expected, _nibble_words(nibble))
        elif nibble not in good:
            words = "digits" if good == DIGITS else "digits and separators"
            return DecodeError(field.path, at + place // 2, words, _nibble_words(nibble))
    raise AssertionError("a field without fault was refused")


def _nibble_words(nibble: str) -> str:
    # a digit may belong to a card number (a pad in the wrong place): not shown
    return "a digit" if nibble in DIGITS else f"nibble {nibble.upper()}"


# ---------------------------------------------------------------- characters: an, ans


def _is_alphanumeric(value: str) -> bool:
    return value.isalnum() and value.isascii()


def _is_printable(value: str) -> bool:
    return value.isascii() and value.isprintable()


_CLASS_CHECKS: dict[str, tuple[Callable[[str], bool], str]] = {
    "an": (_is_alphanumeric, "letters and digits"),
    "ans": (_is_printable, "printable ASCII"),
}


def _characters_content(field: Field) -> _Content:
    minimum, maximum, _digits = field.length
    is_good, words = _CLASS_CHECKS[field.content]

    def read(data: bytes, hexed: str, characters: str, at: int, length: int) -> str:
        value = characters[at : at + length]
        if len(value) == length and is_good(value):
            return value
        if len(value) < length:
            raise _truncated(field.path, at, length, len(value))
        for place, character in enumerate(value):
            if not is_good(character):
                raise DecodeError(field.path, at + place, words, f"byte 0x{ord(character):02X}")
        return value

    def write(value: Value) -> bytes:
        if isinstance(value, str) and minimum <= len(value) <= maximum and is_good(value):
            return value.encode("ascii")
        if value == "" and minimum == 0:
            return b""
        good = "".join(chr(code) for code in range(128) if is_good(chr(code)))
        raise _text_refusal(field, value, words, good)

    return _Content(read, write)


def _text_refusal(field: Field, value: Value, words: str, good: str) -> EncodeError:
    """Why `value` can't be written: no text, wrong length, or the first wrong character."""
    if not isinstance(value, str):
        return EncodeError(field.path, f"a text of {words}", type(value).__name__)
    if not field.length.minimum <= len(value) <= field.length.maximum:
        return EncodeError(field.path, _range_words(field), f"{len(value)}")
    for place, character in enumerate(value):
        if character not in good:
            return EncodeError(field.path, words, f"{character!a} at {place}")
    raise AssertionError("a value without fault was refused")


# ---------------------------------------------------------------- bytes: b


def _bytes_content(field: Field) -> _Content:
    minimum, maximum, _digits = field.length

    def read(data: bytes, hexed: str, characters: str, at: int, length: int) -> bytes:
        value = data[at : at + length]
        if len(value) == length:
            return value
        raise _truncated(field.path, at, length, len(value))

    def write(value: Value) -> bytes:
        if not isinstance(value, bytes):
            raise EncodeError(field.path, "bytes", type(value).__name__)
        if not minimum <= len(value) <= maximum:
            raise EncodeError(field.path, _range_words(field), f"{len(value)}")
        return value

    return _Content(read, write)


# ---------------------------------------------------------------- tagged data: tlv


class _TagFormat(NamedTuple):
    size: int
    length: int
    read: Read
    write: Write


def _tagged_content(field: Field) -> _Content:
    formats = {}
    for name, tag in field.tags.items():
        content = _CONTENTS[tag.content](tag)
        length = tag.length.maximum
        formats[name] = _TagFormat(_size_bytes(tag, length), length, content.read, content.write)

    def read(data: bytes, hexed: str, characters: str, at: int, length: int) -> dict[str, Scalar]:
        end = at + length
        if end > len(data):
            raise _truncated(field.path, at, length, len(data) - at)
        tags: dict[str, Scalar] = {}
        while at < end:
            start = at + 2
            if start > end:
                raise DecodeError(field.path, at, "a tag and a length byte", "1 byte")
            name = TAG_NAMES[data[at]]
            stop = start + data[at + 1]
            known = formats.get(name)
            if name in tags or stop > end or (known is not None and stop - start != known.size):
                raise _tag_fault(field, name in tags, data, at, end, known)
            if known is None:
                tags[name] = data[start:stop]
            else:
                tags[name] = known.read(data, hexed, characters, start, known.length)  # type: ignore[assignment]
            at = stop
        return tags

    def write(value: Value) -> bytes:
        if not isinstance(value, Mapping):
            raise EncodeError(field.path, "a mapping of tags", type(value).__name__)
        parts: list[bytes] = []
        for name, scalar in value.items():
            tag = TAG_NUMBERS.get(name)
            if tag is None:
                raise EncodeError(field.path, "tags of two upper-case hex digits", "another name")
            known = formats.get(name)
            if known is not None:
                content = known.write(scalar)
            elif not isinstance(scalar, bytes):
                path = f"{field.path}.{name}"
                raise EncodeError(path, "bytes (the tag is unknown)", type(scalar).__name__)
            elif len(scalar) > LONGEST_TAG_VALUE:
                path = f"{field.path}.{name}"
                raise EncodeError(path, f"at most {LONGEST_TAG_VALUE} bytes", f"{len(scalar)}")
            else:
                content = scalar
            parts += TAG_BYTES[tag], TAG_BYTES[len(content)], content
        return b"".join(parts)

    return _Content(read, write)


def _tag_fault(
    field: Field, is_second: bool, data: bytes, at: int, end: int, known: _TagFormat | None
) -> DecodeError:
    """Why the tag at byte `at` is refused before its value was looked at."""
    path, size, left = f"{field.path}.{TAG_NAMES[data[at]]}", data[at + 1], end - at - 2
    if is_second:
        return DecodeError(path, at, "each tag once", "a second one")
    if size > left:
        return DecodeError(path, at + 1, f"at most {count_bytes(left)}", f"a length of {size}")
    assert known is not None, "a tag without fault was refused"
    return DecodeError(path, at + 1, f"a length of {count_bytes(known.size)}", f"{size}")


_CONTENTS: dict[str, Callable[[Field], _Content]] = {
    "n": _digits_content,
    "z": _track_content,
    "an": _characters_content,
    "ans": _characters_content,
    "b": _bytes_content,
    "tlv": _tagged_content,
}
