"""Bytes <-> values of single fields: one prebuilt pair of functions per field, made from the dictionary.

A field is sized (fixed, by a prefix, or by what holds it) and has content (how a value looks in bytes);
composites build the pairs of their parts. Readers get the message three ways at once - bytes, their hex
digits, their characters - because slicing text made in one go is several times faster than converting field
by field; nothing at or beyond `end` is ever looked at. Doubt is cheap to notice and explained on a second,
slow look. Nothing here knows bitmaps of messages, or raises but the kit's own errors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from switch.iso8583 import tag_names
from switch.iso8583.bitmaps import bitmap_bytes, bitmap_reader, set_bits
from switch.iso8583.characters import CODE_PAGES, HEX_CLASSES
from switch.iso8583.contents import (
    Read,
    Write,
    amount_content,
    bytes_content,
    character_fault,
    characters_content,
    digits_content,
    track_content,
)
from switch.iso8583.dictionary import LENGTH_MARK, Field, TlvForm
from switch.iso8583.errors import DecodeError, EncodeError
from switch.iso8583.lengths import (
    NoNumber,
    count_bytes,
    highest_number,
    needs_even,
    number_reader,
    number_writer,
    range_words,
    shown_length,
    size_bytes,
    truncated,
    units_of,
)
from switch.iso8583.message import BYTES_MARK, Value

Values = dict[str, Any]
# (data, the same as lower-case hex, the same as Latin-1, offset, end of what may be read, values to add to)
# -> offset behind the field
Decode = Callable[[bytes, str, str, int, int, Values], int]
Encode = Callable[[Any], bytes]
# the same, putting the value into a mapping under a key
Take = Callable[[bytes, str, str, int, int, int, Values, str], None]
# Prefixes of a field that are remembered once they were worked out: all that two digits can say, and more.
TABLED_LENGTHS = 256


class Span(NamedTuple):
    """A range of bytes and what stands there: "mti", "bitmap", "35", "48.01", "header.1"."""

    path: str
    start: int
    stop: int


class FieldCodec(NamedTuple):
    """The pair for one field. `decode` raises `DecodeError` without the partial message."""

    decode: Decode
    encode: Encode


class _Content(NamedTuple):
    take: Take
    write: Write
    read: Read | None = None  # of scalars


class FieldCodecs:
    """Builds the pairs. With `spans`, decoders note there where everything stands, outer before inner."""

    def __init__(self, spans: list[Span] | None = None) -> None:
        self._spans = spans

    def of(self, field: Field) -> FieldCodec:
        """The pair for `field`."""
        content = self._content(field)
        if field.sizing == "prefixed":
            decode, encode = _prefixed_decode(field, content), _prefixed_encode(field, content.write)
        elif field.sizing == "given":
            decode, encode = _rest_decode(field, content), _sized_write(field, content.write)
        elif field.content == "n" and field.encoding == "bcd" and _is_plain_digits(field):
            assert content.read is not None
            decode, encode = _fixed_digits_decode(field, content.read), content.write
        else:
            decode, encode = _fixed_decode(field, content), _sized_write(field, content.write)
        return FieldCodec(self._noted(field.path, decode), encode)

    def _content(self, field: Field) -> _Content:
        if field.content == "tlv":
            content = self._tlv(field)
        elif field.content == "positional":
            content = self._positional(field)
        elif field.content == "bitmapped":
            content = self._bitmapped(field)
        else:
            return _only(field, _scalar(field))
        return self._in_hex(field, content) if field.encoding == "hex" else content

    def _noted(self, path: str, decode: Decode) -> Decode:
        spans = self._spans
        if spans is None:
            return decode

        def noted(data: bytes, hexed: str, characters: str, at: int, end: int, values: Values) -> int:
            place = len(spans)
            spans.append(Span(path, at, end))
            stop = decode(data, hexed, characters, at, end, values)
            spans[place] = Span(path, at, stop)
            return stop

        return noted

    # ------------------------------------------------------------ composites

    def _in_hex(self, field: Field, content: _Content) -> _Content:
        """The composite's bytes stand as hex digits: two for each."""
        fill, write = content.take, content.write
        spans = self._spans
        hex_class = HEX_CLASSES[field.hex_case]

        def take(
            data: bytes, hexed: str, characters: str, at: int, stop: int, count: int, values: Values, key: str
        ) -> None:
            text = characters[at:stop]
            if not hex_class.allows(text):
                raise character_fault(field.path, text, at, hex_class, None)
            if len(text) % 2:
                raise DecodeError(field.path, at, "an even number of hex digits", f"{len(text)}")
            inner = bytes.fromhex(text)
            before = len(spans) if spans is not None else 0
            try:
                fill(inner, inner.hex(), inner.decode("latin-1"), 0, len(inner), len(inner), values, key)
            except DecodeError as error:
                raise error.moved(at + error.offset * 2) from None
            finally:
                if spans is not None:
                    spans[before:] = [
                        Span(path, at + start * 2, at + end * 2) for path, start, end in spans[before:]
                    ]

        def write_hex(value: Any) -> bytes:
            text = write(value).hex()
            return (text.upper() if field.hex_case == "upper" else text).encode("ascii")

        return _Content(take, write_hex)

    def _positional(self, field: Field) -> _Content:
        parts = [(key, part, self.of(part)) for key, part in field.subfields.items()]
        decoders = [(codec.decode, part) for _key, part, codec in parts]

        def take_one(data: bytes, hexed: str, characters: str, at: int, stop: int, values: Values) -> int:
            for decode, part in decoders:
                if at == stop and part.optional:
                    break
                at = decode(data, hexed, characters, at, stop, values)
            return at

        def write_one(path: str, value: Any) -> bytes:
            if not isinstance(value, Mapping):
                raise EncodeError(path, "a mapping of parts", type(value).__name__)
            pieces: list[bytes] = []
            missing = ""
            for key, part, codec in parts:
                if key in value:
                    if missing:
                        raise EncodeError(missing, "this part before those behind it", "none")
                    pieces.append(codec.encode(value[key]))
                elif part.optional:
                    missing = missing or part.path
                else:
                    raise EncodeError(part.path, "this part of its field", "none")
            if any(key not in field.subfields for key in value):
                raise EncodeError(path, "parts of this field, by number", "another name")
            return b"".join(pieces)

        if field.repeat:
            return self._repeated(field, take_one, write_one)

        def take(
            data: bytes, hexed: str, characters: str, at: int, stop: int, count: int, values: Values, key: str
        ) -> None:
            inner: Values = {}
            values[key] = inner
            at = take_one(data, hexed, characters, at, stop, inner)
            if at != stop:
                raise DecodeError(field.path, at, "the end of the field", f"{count_bytes(stop - at)} more")

        return _Content(take, lambda value: write_one(field.path, value))

    def _repeated(
        self,
        field: Field,
        take_one: Callable[[bytes, str, str, int, int, Values], int],
        write_one: Callable[[str, Any], bytes],
    ) -> _Content:
        spans, path, most = self._spans, field.path, field.repeat

        def take(
            data: bytes, hexed: str, characters: str, at: int, stop: int, count: int, values: Values, key: str
        ) -> None:
            groups: Values = {}
            values[key] = groups
            while at < stop:
                number = len(groups) + 1
                if number > most:
                    raise DecodeError(path, at, f"at most {most} groups", "one more")
                group: Values = {}
                groups[f"{number}"] = group
                before = len(spans) if spans is not None else 0
                if spans is not None:
                    spans.append(Span(path, at, stop))
                start = at
                try:
                    at = take_one(data, hexed, characters, at, stop, group)
                except DecodeError as error:
                    raise error.moved(error.offset, _renamed(error.path, path, f"{path}.{number}")) from None
                finally:
                    if spans is not None:
                        spans[before] = Span(path, start, at if at > start else stop)
                        _rename_spans(spans, before, path, f"{path}.{number}")

        def write(value: Any) -> bytes:
            if not isinstance(value, Mapping):
                raise EncodeError(path, "a mapping of groups", type(value).__name__)
            names = [f"{number + 1}" for number in range(len(value))]
            if len(names) > most:
                raise EncodeError(path, f"at most {most} groups", f"{len(names)}")
            if any(name not in value for name in names):
                raise EncodeError(path, "groups named 1, 2, 3 ...", "another name")
            pieces = []
            for name in names:
                try:
                    pieces.append(write_one(path, value[name]))
                except EncodeError as error:
                    inner = _renamed(error.path, path, f"{path}.{name}")
                    raise EncodeError(inner, error.expected, error.got) from None
            return b"".join(pieces)

        return _Content(take, write)

    def _bitmapped(self, field: Field) -> _Content:
        form = field.bitmap
        assert form is not None, "a bitmapped field has a bitmap"
        path = field.path
        codecs = {int(key): (key, self.of(part)) for key, part in field.subfields.items()}
        numbers = {key: number for number, (key, _codec) in codecs.items()}
        is_open = form.first_bit == "announces"
        reader = bitmap_reader(form, path, field.code_page)

        def take(
            data: bytes, hexed: str, characters: str, at: int, stop: int, count: int, values: Values, key: str
        ) -> None:
            inner: Values = {}
            values[key] = inner
            start = at
            bits, at = reader(data, at, stop, form.size)
            size = form.size
            if is_open and bits[0] & 0x80:
                more, at = reader(data, at, stop, form.size)
                bits, size = bits + more, size * 2
                if not any(more):
                    raise DecodeError(path, start, "a bitmap no longer than its fields need", "an empty half")
            width = (at - start) // size
            for number in set_bits(bits):
                if is_open and number == 1:
                    continue
                found = codecs.get(number)
                if found is None:
                    place = start + (number - 1) // 8 * width
                    raise DecodeError(f"{path}.{number}", place, "a part of this field", f"bit {number} set")
                at = found[1].decode(data, hexed, characters, at, stop, inner)
            if at != stop:
                raise DecodeError(path, at, "the end of the field", f"{count_bytes(stop - at)} more")

        def write(value: Any) -> bytes:
            if not isinstance(value, Mapping):
                raise EncodeError(path, "a mapping of parts", type(value).__name__)
            present = []
            for key in value:
                if key not in numbers:
                    raise EncodeError(path, "parts of this field, by number", "another name")
                present.append(numbers[key])
            size = form.size
            if is_open and any(number > size * 8 for number in present):
                size *= 2
                present.append(1)
            bits = 0
            for number in present:
                bits |= 1 << (size * 8 - number)
            pieces = [bitmap_bytes(form, bits.to_bytes(size, "big"), field.code_page)]
            for number in sorted(present):
                if number in codecs:
                    key, codec = codecs[number]
                    pieces.append(codec.encode(value[key]))
            return b"".join(pieces)

        return _Content(take, write)

    # ------------------------------------------------------------ tagged data

    def _tlv(self, field: Field) -> _Content:
        form = field.tlv
        assert form is not None, "tagged data has a form"
        known = {
            name: _Tag(tag, self._content(tag), form.keeps_misfits, self._spans)
            for name, tag in field.tags.items()
        }
        if form.kind == "ber":
            return _Content(self._ber_take(field, form, known), _ber_write(field, form, known))
        return _Content(self._simple_take(field, form, known), _simple_write(field, form, known))

    def _simple_take(self, field: Field, form: TlvForm, known: Mapping[str, _Tag]) -> Take:
        path, spans = field.path, self._spans
        tag_bytes, length_bytes = form.tag_bytes, form.length_bytes
        head = tag_bytes + length_bytes
        head_words = "a tag and a length byte" if head == 2 else f"a tag and its length ({head} bytes)"
        name_of = tag_names.decoder(form, field.code_page)
        if form.tag_encoding == "binary" and tag_bytes == 1:
            single = [f"{tag:02X}" for tag in range(256)]
        else:
            single = []
        length_of = number_reader(form.length_encoding, form.length_digits, length_bytes, field.code_page)
        tag_at, length_at = (length_bytes, 0) if form.length_first else (0, tag_bytes)
        covered = tag_bytes if form.length_covers_tag else 0

        def take(
            data: bytes, hexed: str, characters: str, at: int, stop: int, count: int, values: Values, key: str
        ) -> None:
            tags: Values = {}
            values[key] = tags
            while at < stop:
                start = at + head
                if start > stop:
                    raise DecodeError(path, at, head_words, count_bytes(stop - at))
                place = at + tag_at
                name = single[data[place]] if single else name_of(data[place : place + tag_bytes])
                if name is None:
                    raise _tag_name_fault(field, form, data, place)
                try:
                    size = length_of(data, hexed, characters, at + length_at, stop)
                except NoNumber as fault:
                    raise fault.explained(f"{path}.{name}") from None
                size -= covered
                tag = known.get(name)
                if name in tags:
                    if not form.repeats:
                        raise DecodeError(f"{path}.{name}", place, "each tag once", "a second one")
                    name = _again(name, tags)
                left = stop - start
                if not 0 <= size <= left:
                    if size < 0:
                        words = f"a length of at least {covered}"
                        raise DecodeError(f"{path}.{name}", at + length_at, words, f"{size + covered}")
                    got = f"a length of {shown_length(size + covered, form.length_digits)}"
                    words = f"at most {count_bytes(left + covered)}"
                    raise DecodeError(f"{path}.{name}", at + length_at, words, got)
                end = start + size
                if spans is not None:
                    spans.append(Span(f"{path}.{name}", at, end))
                if tag is not None:
                    tag.take(data, hexed, characters, start, end, at + length_at, tags, name, path)
                elif form.keeps_unknown:
                    tags[name] = data[start:end]
                else:
                    raise DecodeError(f"{path}.{name}", place, "a tag of this dialect", "another")
                at = end

        return take

    def _ber_take(self, field: Field, form: TlvForm, known: Mapping[str, _Tag]) -> Take:
        path, spans = field.path, self._spans
        padding = {int(byte, 16): byte for byte in form.padding}
        any_length = form.any_length
        length_of = _any_ber_length if any_length else _ber_length

        def take(
            data: bytes, hexed: str, characters: str, at: int, stop: int, count: int, values: Values, key: str
        ) -> None:
            tags: Values = {}
            values[key] = tags
            while at < stop:
                first = data[at]
                if first in padding:
                    end = at + 1
                    while end < stop and data[end] == first:
                        end += 1
                    name = padding[first]
                    name = _again(name, tags) if name in tags else name
                    tags[name] = data[at:end]
                    if spans is not None:
                        spans.append(Span(f"{path}.{name}", at, end))
                    at = end
                    continue
                if first in (0x00, 0xFF):
                    raise DecodeError(path, at, "a BER tag", f"byte 0x{first:02X}")
                tag_size = tag_names.ber_tag_size(data, at, stop)
                if tag_size == 0:
                    left = min(stop - at, tag_names.LONGEST_BER_TAG)
                    words = f"a BER tag of at most {tag_names.LONGEST_BER_TAG} bytes"
                    raise DecodeError(path, at, words, f"{count_bytes(left)} without an end")
                name = data[at : at + tag_size].hex().upper()
                length_at = at + tag_size
                size, start = length_of(f"{path}.{name}", data, length_at, stop)
                tag = known.get(name)
                if name in tags:
                    if not form.repeats:
                        raise DecodeError(f"{path}.{name}", at, "each tag once", "a second one")
                    name = _again(name, tags)
                if size > stop - start:
                    words = f"at most {count_bytes(stop - start)}"
                    got = f"a length of {size}" if size <= 9999 else "a greater length"
                    raise DecodeError(f"{path}.{name}", length_at, words, got)
                end = start + size
                if spans is not None:
                    spans.append(Span(f"{path}.{name}", at, end))
                if any_length and data[length_at:start] != _ber_length_bytes(size):
                    tags[name + LENGTH_MARK] = data[length_at:start]
                    if spans is not None:
                        spans.append(Span(f"{path}.{name}{LENGTH_MARK}", length_at, start))
                if tag is not None:
                    tag.take(data, hexed, characters, start, end, length_at, tags, name, path)
                elif form.keeps_unknown:
                    tags[name] = data[start:end]
                else:
                    raise DecodeError(f"{path}.{name}", at, "a tag of this dialect", "another")
                at = end

        return take


def field_codec(field: Field) -> FieldCodec:
    """The pair for `field`."""
    return FieldCodecs().of(field)


class _Tag:
    """A known tag: its content, and which sizes its length may give."""

    def __init__(
        self, field: Field, content: _Content, keeps_misfits: bool, spans: list[Span] | None
    ) -> None:
        self.field = field
        self._spans = spans
        self.write = _sized_write(field, content.write)
        self._take = content.take
        if keeps_misfits and not field.is_composite:
            self.take = self._take_any  # type: ignore[method-assign]
            self.write = _any_write(self.write)
        self._minimum = size_bytes(
            field, field.length.minimum if field.fill is None else field.length.maximum
        )
        self._maximum = size_bytes(field, field.length.maximum)
        self._count = field.length.maximum if field.sizing == "fixed" else -1

    def take(
        self,
        data: bytes,
        hexed: str,
        characters: str,
        start: int,
        end: int,
        length_at: int,
        values: Values,
        name: str,
        holder: str,
    ) -> None:
        size = end - start
        if not self._minimum <= size <= self._maximum:
            if self._minimum == self._maximum:
                words = f"a length of {count_bytes(self._maximum)}"
            else:
                words = f"a length of {self._minimum} to {count_bytes(self._maximum)}"
            raise DecodeError(f"{holder}.{name}", length_at, words, f"{size}")
        path = self.field.path
        count = self._count if self._count >= 0 else units_of(self.field, size)
        if tag_names.REPETITION not in name:
            self._take(data, hexed, characters, start, end, count, values, name)
            return
        spans = self._spans
        before = len(spans) if spans is not None else 0
        try:  # a repetition: what goes wrong is told of "TAG#2", and so are the places of its parts
            self._take(data, hexed, characters, start, end, count, values, name)
        except DecodeError as error:
            raise error.moved(error.offset, _renamed(error.path, path, f"{holder}.{name}")) from None
        finally:
            if spans is not None:
                _rename_spans(spans, before, path, f"{holder}.{name}")

    def _take_any(
        self,
        data: bytes,
        hexed: str,
        characters: str,
        start: int,
        end: int,
        length_at: int,
        values: Values,
        name: str,
        holder: str,
    ) -> None:
        """`take` that keeps misfits as bytes, and texts that would look like bytes in JSON."""
        try:
            _Tag.take(self, data, hexed, characters, start, end, length_at, values, name, holder)
        except DecodeError:
            values[name] = data[start:end]
        value = values[name]
        if isinstance(value, str) and value.startswith(BYTES_MARK):
            values[name] = data[start:end]


def _any_write(write: Write) -> Write:
    """`write`, or the bytes of a misfit as they are."""

    def write_any(value: Any) -> bytes:
        try:
            return write(value)
        except EncodeError:
            if isinstance(value, bytes):
                return value
            raise

    return write_any


def _again(name: str, tags: Mapping[str, object]) -> str:
    """The name of a further tag of the same kind: TAG#2, TAG#3 ..."""
    number = 2
    while f"{name}{tag_names.REPETITION}{number}" in tags:
        number += 1
    return f"{name}{tag_names.REPETITION}{number}"


def _renamed(path: str, old: str, new: str) -> str:
    return new + path[len(old) :] if path == old or path.startswith(old + ".") else path


def _rename_spans(spans: list[Span], first: int, old: str, new: str) -> None:
    """Has the spans from `first` on that are named `old` or lie in it named `new`."""
    spans[first:] = [Span(_renamed(path, old, new), start, stop) for path, start, stop in spans[first:]]


def _ber_length(path: str, data: bytes, at: int, stop: int) -> tuple[int, int]:
    """(length, offset behind it) by ISO/IEC 8825-1 8.1.3, definite and in the fewest bytes only."""
    size, start = _any_ber_length(path, data, at, stop)
    count = start - at - 1
    if count and (size < 0x80 or size < 1 << 8 * (count - 1)):
        raise DecodeError(path, at, "the shortest form of the length", "a longer one")
    return size, start


def _any_ber_length(path: str, data: bytes, at: int, stop: int) -> tuple[int, int]:
    """The same in any definite form of up to five bytes."""
    if at >= stop:
        raise DecodeError(path, at, "a length", "nothing")
    first = data[at]
    if first < 0x80:
        return first, at + 1
    count = first & 0x7F
    if count == 0:
        raise DecodeError(path, at, "a definite length", "byte 0x80")
    if count > 4:
        raise DecodeError(path, at, "a length of at most 4 bytes", f"byte 0x{first:02X}")
    start = at + 1 + count
    if start > stop:
        raise DecodeError(path, at, count_bytes(count + 1), f"{stop - at}")
    return int.from_bytes(data[at + 1 : start], "big"), start


def _ber_length_bytes(size: int) -> bytes:
    if size < 0x80:
        return bytes((size,))
    content = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((0x80 | len(content),)) + content


def _ber_write(field: Field, form: TlvForm, known: Mapping[str, _Tag]) -> Write:
    path = field.path

    heads = {name: bytes.fromhex(name) for name in known}
    length_bytes = _any_length_bytes if form.any_length else _shortest_length_bytes

    def write(value: Any) -> bytes:
        pieces: list[bytes] = []
        for name, scalar in _tag_items(path, value):
            head = heads.get(name)
            if head is not None:
                content = known[name].write(scalar)
                pieces += head, length_bytes(path, name, value, len(content)), content
                continue
            if form.any_length and isinstance(name, str) and name.endswith(LENGTH_MARK):
                if name.removesuffix(LENGTH_MARK) not in value:
                    raise EncodeError(f"{path}.{name}", "the tag whose length this is", "none")
                continue
            base, again = _tag_base(path, name, form, value)
            if base in form.padding:
                if not isinstance(scalar, bytes) or not scalar or scalar.strip(bytes.fromhex(base)):
                    raise EncodeError(f"{path}.{name}", f"bytes {base} only", "something else")
                pieces.append(scalar)
                continue
            if tag_names.problem(form, base):
                raise EncodeError(path, "BER tags in upper-case hex", "another name")
            content = _tag_content(path, name, base, again, scalar, known, form)
            pieces += bytes.fromhex(base), length_bytes(path, name, value, len(content)), content
        return b"".join(pieces)

    return write


def _shortest_length_bytes(path: str, name: str, tags: Mapping[str, Any], size: int) -> bytes:
    return _ber_length_bytes(size)


def _any_length_bytes(path: str, name: str, tags: Mapping[str, Any], size: int) -> bytes:
    """As the message has it, else in the shortest form."""
    asked = tags.get(name + LENGTH_MARK)
    if asked is None:
        return _ber_length_bytes(size)
    inner = f"{path}.{name}{LENGTH_MARK}"
    if not isinstance(asked, bytes):
        raise EncodeError(inner, "bytes", type(asked).__name__)
    try:
        told, end = _any_ber_length(inner, asked, 0, len(asked))
    except DecodeError:
        told, end = -1, 0
    if told != size or end != len(asked):
        raise EncodeError(inner, f"a length of {size} in BER", "another")
    return asked


def _simple_write(field: Field, form: TlvForm, known: Mapping[str, _Tag]) -> Write:
    path = field.path
    encode_tag = tag_names.encoder(form, field.code_page)
    encode_length = number_writer(form.length_encoding, form.length_digits, field.code_page)
    longest = highest_number(form.length_encoding, form.length_digits)
    covered = form.tag_bytes if form.length_covers_tag else 0
    longest -= covered
    if form.tag_encoding == "binary" and form.tag_bytes == 1:
        words = "tags of two upper-case hex digits"
    else:
        words = tag_names.problem(form, "").replace("write", "tags of")

    heads = {name: tag for name in known if (tag := encode_tag(name)) is not None}

    def write(value: Any) -> bytes:
        pieces: list[bytes] = []
        for name, scalar in _tag_items(path, value):
            tag = heads.get(name)
            if tag is not None:
                content = known[name].write(scalar)
            else:
                base, again = _tag_base(path, name, form, value)
                tag = encode_tag(base)
                if tag is None:
                    raise EncodeError(path, words, "another name")
                content = _tag_content(path, name, base, again, scalar, known, form)
            if len(content) > longest:
                raise EncodeError(f"{path}.{name}", f"at most {longest} bytes", f"{len(content)}")
            length = encode_length(len(content) + covered)
            pieces += (length, tag, content) if form.length_first else (tag, length, content)
        return b"".join(pieces)

    return write


def _tag_items(path: str, value: Any) -> Iterable[tuple[Any, Any]]:
    if not isinstance(value, Mapping):
        raise EncodeError(path, "a mapping of tags", type(value).__name__)
    return value.items()


def _tag_base(path: str, name: object, form: TlvForm, value: Mapping[str, Any]) -> tuple[str, bool]:
    """The tag without its repetition's number, and whether it is one."""
    if not isinstance(name, str):
        raise EncodeError(path, "tags named by text", "another name")
    base, again, number = name.partition(tag_names.REPETITION)
    if not again:
        return base, False
    if not form.repeats and base not in form.padding:
        raise EncodeError(path, "each tag once", "a second one")
    before = base if number == "2" else f"{base}{again}{int(number) - 1 if _is_count(number) else 0}"
    names = list(value)
    if not _is_count(number) or before not in names or names.index(before) > names.index(name):
        raise EncodeError(path, "repeated tags as TAG, TAG#2, TAG#3 in this order", "another name")
    return base, True


def _is_count(number: str) -> bool:
    return number.isascii() and number.isdigit() and len(number) < 6 and number[0] != "0" and number != "1"


def _tag_content(
    path: str, name: str, base: str, again: bool, scalar: Any, known: Mapping[str, _Tag], form: TlvForm
) -> bytes:
    tag = known.get(base)
    if tag is not None:
        if not again:
            return tag.write(scalar)
        try:
            return tag.write(scalar)
        except EncodeError as error:
            inner = _renamed(error.path, f"{path}.{base}", f"{path}.{name}")
            raise EncodeError(inner, error.expected, error.got) from None
    if not form.keeps_unknown:
        raise EncodeError(path, "tags of this dialect", "another")
    if not isinstance(scalar, bytes):
        raise EncodeError(f"{path}.{name}", "bytes (the tag is unknown)", type(scalar).__name__)
    return scalar


def _tag_name_fault(field: Field, form: TlvForm, data: bytes, at: int) -> DecodeError:
    if form.tag_encoding == "bcd":
        return DecodeError(field.path, at, "a tag in BCD", "another nibble")
    page = CODE_PAGES[field.code_page].decode
    for place in range(form.tag_bytes):
        raw = data[at + place : at + place + 1]
        character = page(raw) if form.tag_encoding == "ebcdic" else raw.decode("latin-1")
        good = character.isascii() and character.isprintable()
        if not good or (form.tag_encoding == "hex" and character not in "0123456789ABCDEF"):
            words = "hex digits (a tag)" if form.tag_encoding == "hex" else "printable characters (a tag)"
            return DecodeError(field.path, at + place, words, f"byte 0x{raw[0]:02X}")
    raise AssertionError("a tag without fault was refused")


def _is_plain_digits(field: Field) -> bool:
    return (
        field.unit != "bytes"
        and field.length.maximum % 2 == 0
        and field.fill is None
        and not field.only
        and field.sizing == "fixed"
    )


def _fixed_decode(field: Field, content: _Content) -> Decode:
    path, key, count = field.path, field.key, field.length.maximum
    size = size_bytes(field, count)
    read, take = content.read, content.take
    if read is not None:

        def decode(data: bytes, hexed: str, characters: str, at: int, end: int, values: Values) -> int:
            stop = at + size
            if stop > end:
                raise truncated(path, at, size, end - at)
            values[key] = read(data, hexed, characters, at, stop, count)
            return stop

        return decode

    def decode_composite(data: bytes, hexed: str, characters: str, at: int, end: int, values: Values) -> int:
        stop = at + size
        if stop > end:
            raise truncated(path, at, size, end - at)
        take(data, hexed, characters, at, stop, count, values, key)
        return stop

    return decode_composite


def _sized_write(field: Field, write: Write) -> Write:
    """`write` held to the field's length where content isn't: in composites without a prefix of their own."""
    if not field.is_composite:
        return write
    minimum, maximum = size_bytes(field, field.length.minimum), size_bytes(field, field.length.maximum)

    def sized(value: Any) -> bytes:
        content = write(value)
        if not minimum <= len(content) <= maximum:
            raise EncodeError(field.path, range_words(field), f"{units_of(field, len(content))}")
        return content

    return sized


def _fixed_digits_decode(field: Field, read: Read) -> Decode:
    """`_fixed_decode` in one step for the commonest kind of field; `read` explains what is wrong."""
    path, key, length = field.path, field.key, field.length.maximum
    size = length // 2

    def decode(data: bytes, hexed: str, characters: str, at: int, end: int, values: Values) -> int:
        stop = at + size
        value = hexed[at * 2 : stop * 2]
        if stop > end:
            raise truncated(path, at, size, end - at)
        if not value.isdigit():
            read(data, hexed, characters, at, stop, length)
        values[key] = value
        return stop

    return decode


def _rest_decode(field: Field, content: _Content) -> Decode:
    path, key, take = field.path, field.key, content.take
    minimum, maximum = size_bytes(field, field.length.minimum), size_bytes(field, field.length.maximum)

    def decode(data: bytes, hexed: str, characters: str, at: int, end: int, values: Values) -> int:
        size = end - at
        if not minimum <= size <= maximum:
            words = f"{minimum} to {count_bytes(maximum)}" if minimum < maximum else count_bytes(maximum)
            raise DecodeError(path, at, words, f"{size}")
        take(data, hexed, characters, at, end, units_of(field, size), values, key)
        return end

    return decode


def _prefixed_decode(field: Field, content: _Content) -> Decode:
    path, key = field.path, field.key
    minimum, maximum, _digits = field.length
    prefix = field.prefix
    assert prefix is not None, "a prefixed field has a prefix"
    width = prefix.size
    read, take = content.read, content.take
    number_at = number_reader(prefix.encoding, prefix.digits, width, field.code_page)
    in_bytes = width if prefix.inclusive else 0
    halves = needs_even(field)
    # prefixes met, as their bytes -> (length, bytes of content); filled as they come
    known: dict[bytes, tuple[int, int]] = {}

    def measure(data: bytes, hexed: str, characters: str, at: int, end: int) -> tuple[int, int]:
        """(length, bytes) by the prefix at `at`; the slow look that explains."""
        try:
            number = number_at(data, hexed, characters, at, end)
        except NoNumber as fault:
            raise fault.explained(path) from None
        if in_bytes:
            length = units_of(field, number - in_bytes) if number >= in_bytes else -1
        else:
            length = number
        if not minimum <= length <= maximum:
            raise DecodeError(
                path, at, f"a length of {_prefix_words(field, in_bytes)}", shown_length(number, prefix.digits)
            )
        if halves and length % 2:
            raise DecodeError(path, at, f"an even number of {field.unit}", f"{length}")
        return length, number - in_bytes if in_bytes else size_bytes(field, length)

    def decode(data: bytes, hexed: str, characters: str, at: int, end: int, values: Values) -> int:
        start = at + width
        found = known.get(data[at:start]) if start <= end else None
        if found is None:
            found = measure(data, hexed, characters, at, end)
            if len(known) < TABLED_LENGTHS:
                known[data[at:start]] = found
        length, size = found
        stop = start + size
        if stop > end:
            raise truncated(path, start, size, end - start)
        if read is not None:
            values[key] = read(data, hexed, characters, start, stop, length)
        else:
            take(data, hexed, characters, start, stop, length, values, key)
        return stop

    return decode


def _prefix_words(field: Field, in_bytes: int) -> str:
    if not in_bytes:
        return range_words(field)
    low, high = (size_bytes(field, length) + in_bytes for length in field.length[:2])
    return f"{low} to {high} bytes, itself included" if low < high else f"{high} bytes, itself included"


def _prefixed_encode(field: Field, write: Write) -> Encode:
    minimum, maximum, _digits = field.length
    prefix = field.prefix
    assert prefix is not None, "a prefixed field has a prefix"
    number = number_writer(prefix.encoding, prefix.digits, field.code_page)
    if prefix.inclusive:
        highest = highest_number(prefix.encoding, prefix.digits)

        def encode_inclusive(value: Any) -> bytes:
            content = write(value)
            length = units_of(field, len(content))
            if not minimum <= length <= maximum or len(content) + prefix.size > highest:
                raise EncodeError(field.path, range_words(field), f"{length}")
            return number(len(content) + prefix.size) + content

        return encode_inclusive
    if field.encoding == "bcd" and field.unit != "bytes":
        prefixes = [number(length) for length in range(min(maximum, 99) + 1)]

        def encode_digits(value: Any) -> bytes:
            content = write(value)
            length = len(value)
            return (prefixes[length] if length < len(prefixes) else number(length)) + content

        return encode_digits

    def encode(value: Any) -> bytes:
        content = write(value)
        length = units_of(field, len(content))
        if minimum <= length <= maximum:
            return number(length) + content
        raise EncodeError(field.path, range_words(field), f"{length}")

    return encode


def _scalar(field: Field) -> _Content:
    if field.content == "b":
        read, write = bytes_content(field)
    elif field.content == "x+n":
        read, write = amount_content(field)
    elif field.encoding == "bcd":
        read, write = track_content(field) if field.content == "z" else digits_content(field)
    else:
        read, write = characters_content(field)

    def take(
        data: bytes, hexed: str, characters: str, at: int, stop: int, count: int, values: Values, key: str
    ) -> None:
        values[key] = read(data, hexed, characters, at, stop, count)

    return _Content(take, write, read)


def _only(field: Field, content: _Content) -> _Content:
    """Holds the content to the values that alone are allowed, where the dictionary names them."""
    if not field.only:
        return content
    allowed = frozenset(field.only)
    words = f"one of {', '.join(field.only)}" if len(field.only) > 1 else field.only[0]
    path, inner_read, inner_write = field.path, content.read, content.write
    assert inner_read is not None, "composites have no value of their own"

    def is_allowed(value: Value) -> bool:
        return (value.hex().upper() if isinstance(value, bytes) else value) in allowed

    def read(data: bytes, hexed: str, characters: str, at: int, stop: int, count: int) -> Value:
        value = inner_read(data, hexed, characters, at, stop, count)
        if not is_allowed(value):
            raise DecodeError(path, at, words, "another value")
        return value

    def write(value: Any) -> bytes:
        data = inner_write(value)
        if not is_allowed(value):
            raise EncodeError(path, words, "another value")
        return data

    def take(
        data: bytes, hexed: str, characters: str, at: int, stop: int, count: int, values: Values, key: str
    ) -> None:
        values[key] = read(data, hexed, characters, at, stop, count)

    return _Content(take, write, read)
