"""A dialect ready for work: whole messages <-> bytes, presence, the MAC's place.

Pure: no I/O but reading the dictionary once, no clock, no keys (a MAC is cut off or left out, never made).
For any bytes `decode` returns a message or raises `DecodeError`, nothing else.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from switch.iso8583 import dictionary_file, shapes
from switch.iso8583.bitmaps import bitmap_bytes, bitmap_reader, bitmap_width, set_bits
from switch.iso8583.characters import CODE_PAGES, DIGITS
from switch.iso8583.codec import Decode, Encode, FieldCodec, FieldCodecs, Span
from switch.iso8583.dictionary import HEADER, HIGHEST_FIELD, Dictionary, ResponseCode, Text
from switch.iso8583.dictionary_file import SHIPPED
from switch.iso8583.errors import DecodeError, DialectError, EncodeError, Mistake
from switch.iso8583.lengths import count_bytes, truncated
from switch.iso8583.masks import Mask, torn_places
from switch.iso8583.message import EMPTY_SECONDARY, Message, Value, message_bytes, message_of, paths_of
from switch.iso8583.presence import Presence, Problem

HALF_BYTES = 8  # of a bitmap: what one of its bits 1, 65 announces
# Prepared loops per bitmap. The bitmap comes from outside, so their number is bounded: honest terminals use a
# few dozen; when strangers fill the table it is emptied, and a message costs a few us more.
PLANS_MAXIMUM = 256

# The decoders of a bitmap, and which field of them (by place) is the tertiary bitmap, -1 for none.
_DecodePlan = tuple[tuple[Decode, ...], int]
_EncodePlan = tuple[bytes, tuple[tuple[str, Encode], ...], bytes]


class Dialect:
    """Codec of one dictionary. Immutable for its users and safe to share.

    response_codes: DE 39 -> title (en, fa) and whether the refusal is transient.
    reasons, network_codes: code -> title (en, fa).
    """

    def __init__(self, dictionary: Dictionary) -> None:
        self.dictionary = dictionary
        self.name: str = dictionary.name
        self.version: int = dictionary.version
        self.response_codes: Mapping[str, ResponseCode] = dictionary.response_codes
        self.reasons: Mapping[str, Text] = dictionary.reasons
        self.network_codes: Mapping[str, Text] = dictionary.network_codes
        codecs = FieldCodecs()
        self._codecs = {number: codecs.of(field) for number, field in dictionary.fields.items()}
        self._header = {key: codecs.of(part) for key, part in dictionary.header.items()}
        self._layout = _Layout(dictionary)
        self._presence = Presence(dictionary)
        self._decode_plans: dict[bytes, _DecodePlan] = {}
        self._encode_plans: dict[tuple[str, ...], _EncodePlan] = {}
        self._body_plans: dict[tuple[str, ...], _EncodePlan] = {}
        self._noting: tuple[Dialect, list[Span]] | None = None
        # From here on decode, encode, encode_body, peek and walk of this object are the fast ones; the
        # class's own are the reference they fall back to.
        self.shapes = shapes.attach(self)

    @classmethod
    def load(cls, path: Path | str) -> Dialect:
        """The dialect of a TOML dictionary; `DialectError` names every mistake with line and remedy.

        A shipped dialect is had by its name: `load("iso87-ascii")` of this module.
        """
        file = Path(path)
        if str(path) in shipped() and not file.exists():
            mistake = Mistake(None, "no such file, but a shipped dialect", f'use iso8583.load("{path}")')
            raise DialectError(file, [mistake])
        return cls(dictionary_file.read(file))

    # ------------------------------------------------------------ decode

    def decode(self, data: bytes) -> Message:
        """The message in `data` (from the header or MTI, without length and TPDU), wholly checked.

        `DecodeError` names the first fault in the order of bytes: header, MTI, bitmap, fields, then bytes
        left over. Presence is `check`'s business. `encode(decode(data)) == data` for all that decodes.
        """
        data = message_bytes(data)
        hexed, characters, end = data.hex(), data.decode("latin-1"), len(data)
        fields: dict[str, Value] = {}
        mti: str | None = None
        try:
            at = self._decode_header(data, hexed, characters, end, fields) if self._header else 0
            layout = self._layout
            mti, start = layout.mti(data, hexed, characters, at)
            bitmap, at = layout.bitmap(data, start)
            decoders, tertiary = self._decode_plans.get(bitmap) or self._plan_decode(data, bitmap, start)
            if layout.marks:
                mark = layout.mark(bitmap)
                if mark is not None:
                    fields[EMPTY_SECONDARY] = mark
            if tertiary >= 0:
                at = self._decode_with_tertiary(data, hexed, characters, at, end, fields, decoders, tertiary)
            else:
                for decode in decoders:
                    at = decode(data, hexed, characters, at, end, fields)
            if at != end:
                raise DecodeError("message", at, "the end", f"{count_bytes(end - at)} more")
        except DecodeError as error:
            error.response_code = self.dictionary.format_error
            if mti is not None:
                error.partial = Message(mti, fields, _TornCaptions(self, data), is_partial=True)
            raise
        return Message(mti, fields, self.dictionary)

    def _decode_header(
        self, data: bytes, hexed: str, characters: str, end: int, fields: dict[str, Value]
    ) -> int:
        parts: dict[str, Value] = {}
        fields[HEADER] = parts
        at = 0
        for codec in self._header.values():
            at = codec.decode(data, hexed, characters, at, end, parts)
        return at

    def _decode_with_tertiary(
        self,
        data: bytes,
        hexed: str,
        characters: str,
        at: int,
        end: int,
        fields: dict[str, Value],
        decoders: tuple[Decode, ...],
        place: int,
    ) -> int:
        """Fields up to 128 with the tertiary bitmap standing at `place` among them, then those above."""
        for decode in decoders[:place]:
            at = decode(data, hexed, characters, at, end, fields)
        start = at
        bitmap, at = self._layout.read(data, at, end, HALF_BYTES)
        if not any(bitmap):
            raise DecodeError("bitmap", start, "a field above 128 in the tertiary bitmap", "none")
        further = [self._codec_at(number + 128, start, number, data).decode for number in set_bits(bitmap)]
        for decode in (*decoders[place:], *further):
            at = decode(data, hexed, characters, at, end, fields)
        return at

    def _codec_at(self, number: int, start: int, bit: int, data: bytes) -> FieldCodec:
        codec = self._codecs.get(number)
        if codec is None:
            at = start + self._layout.width((bit - 1) // 8)
            raise DecodeError(str(number), at, "a field of this dialect", f"bit {number} set")
        return codec

    def _plan_decode(self, data: bytes, bitmap: bytes, start: int) -> _DecodePlan:
        """The decoders of a bitmap seen for the first time; raises when the bitmap is no good."""
        layout = self._layout
        decoders: list[Decode] = []
        tertiary = -1
        for number in set_bits(bitmap):
            if number in layout.announcers:
                continue
            if number == layout.tertiary_field:
                tertiary = len(decoders)
                continue
            decoders.append(self._codec_at(number, start, number, data).decode)
        layout.judge(bitmap, start)
        if len(self._decode_plans) >= PLANS_MAXIMUM:
            self._decode_plans.clear()
        plan = (tuple(decoders), tertiary)
        self._decode_plans[bitmap] = plan
        return plan

    def peek(self, data: bytes, fields: Sequence[str]) -> dict[str, Value]:
        """The values at the paths of `fields` ("mti", "2", "48.01") that `data` carries, in that order.

        Checks what it reads and the lengths of all it walks over, to the end, not the content of the rest
        (where a header or a tertiary bitmap stands before the fields: everything); `DecodeError` as `decode`
        raises it.
        """
        return self.shapes.peeked(data, paths_of(fields))

    def walk(self, data: bytes) -> int:
        """Where the last field ends, which is the end of `data`; every length on the way is checked.

        `DecodeError` as `decode` raises it. No value is looked at.
        """
        return self.shapes.walked(data)

    def spans(self, data: bytes) -> list[Span]:
        """Which bytes carry what: (path, start, stop), outer before inner, a field with its length prefix.

        Of a message that does not decode: what was understood before the fault; the last spans then reach to
        where their field would have to end at most.
        """
        data = message_bytes(data)
        if self._noting is None:
            self._noting = self._made_noting()
        noting, spans = self._noting
        spans.clear()
        with contextlib.suppress(DecodeError):
            Dialect.decode(noting, data)
        return list(spans)

    def _made_noting(self) -> tuple[Dialect, list[Span]]:
        """A copy on the reference path whose decoders note in the list where everything stands."""
        spans: list[Span] = []
        codecs = FieldCodecs(spans)
        noting = Dialect.__new__(Dialect)
        noting.dictionary = self.dictionary
        noting._layout = self._layout.noting(spans)
        noting._header = {key: codecs.of(part) for key, part in self.dictionary.header.items()}
        noting._codecs = {number: codecs.of(field) for number, field in self.dictionary.fields.items()}
        noting._decode_plans = {}
        return noting, spans

    # ------------------------------------------------------------ encode

    def encode(self, message: Message) -> bytes:
        """The bytes of `message` with all its fields, the MAC too if it carries one; or `EncodeError`."""
        names = tuple(message_of(message).fields)
        plan = self._encode_plans.get(names)
        if plan is None:
            plan = self._plan_encode(names, names)
            _remember(self._encode_plans, names, plan)
        return self._encode(message, plan)

    def encode_body(self, message: Message) -> bytes:
        """Everything a MAC covers: from the MTI up to the MAC, the MAC's bit already set in the bitmap.

        The whole message is this body and the MAC's bytes behind it; a header stands before the MTI and is
        part of the body, as `split_mac` cuts it. A MAC the message carries is left out:
        `encode_body(decode(data)) == split_mac(data)[0]` for a message whose MAC stands where it belongs.
        """
        names = tuple(message_of(message).fields)
        plan = self._body_plans.get(names)
        if plan is None:
            plan = self._plan_body(names)
            _remember(self._body_plans, names, plan)
        return self._encode(message, plan)

    def _plan_body(self, names: tuple[str, ...]) -> _EncodePlan:
        mac = self.dictionary.mac
        if mac is None:
            raise EncodeError("message", "a dialect with a MAC", self.name)
        body = tuple(name for name in names if name not in mac.names)
        if any(number > HIGHEST_FIELD for number in self._numbers(body)):
            raise EncodeError("message", f"no field above {HIGHEST_FIELD} beside a MAC", "one")
        is_long = self._layout.has_secondary(self._numbers(body))
        return self._plan_encode((*body, mac.names[-1] if is_long else mac.names[0]), body)

    def _plan_encode(self, in_bitmap: tuple[str, ...], written: tuple[str, ...]) -> _EncodePlan:
        layout = self._layout
        bitmap, inner = layout.written(self._numbers(in_bitmap))
        steps = [
            (number, str(number), self._codecs[number].encode)
            for number in self._numbers(written)
            if number != 1
        ]
        if inner:
            steps.append((layout.tertiary_field, "", _no_field))
        return bitmap, tuple((name, encode) for _number, name, encode in sorted(steps)), inner

    def _numbers(self, names: Collection[str]) -> list[int]:
        numbers = []
        for name in names:
            if name == HEADER and self._header:
                continue
            if name == EMPTY_SECONDARY and self._layout.marks:
                numbers.append(1)
                continue
            number = int(name) if _is_number(name) else 0
            if number not in self._codecs or str(number) != name:
                raise EncodeError("message", "fields of this dialect, by number", "another name")
            numbers.append(number)
        return numbers

    def _encode(self, message: Message, plan: _EncodePlan) -> bytes:
        mti = message.mti
        if not _is_number(mti) or len(mti) != 4:
            raise EncodeError("mti", "4 digits", "something else")
        bitmap, encoders, inner = plan
        fields = message.fields
        pieces = [self._layout.mti_bytes(mti), bitmap]
        if inner:
            pieces += [encode(fields[name]) if name else inner for name, encode in encoders]
        else:
            pieces += [encode(fields[name]) for name, encode in encoders]
        if self._layout.marks and EMPTY_SECONDARY in fields:
            self._layout.judge_mark(fields[EMPTY_SECONDARY], self._numbers(fields))
        if self._header:
            return self._encode_header(fields.get(HEADER)) + b"".join(pieces)
        return b"".join(pieces)

    def _encode_header(self, parts: Value | None) -> bytes:
        """The header as the message has it; parts with one allowed value alone may be left out."""
        given = {} if parts is None else parts
        if not isinstance(given, Mapping):
            raise EncodeError(HEADER, "a mapping of parts", type(parts).__name__)
        if any(key not in self._header for key in given):
            raise EncodeError(HEADER, "parts of the header, by number", "another name")
        pieces = []
        for key, codec in self._header.items():
            field = self.dictionary.header[key]
            value: object = given.get(key)
            if value is None and len(field.only) == 1:
                value = bytes.fromhex(field.only[0]) if field.content == "b" else field.only[0]
            if value is None:
                raise EncodeError(field.path, "this part of the header", "none")
            pieces.append(codec.encode(value))
        return b"".join(pieces)

    # ------------------------------------------------------------ MAC and presence

    def split_mac(self, data: bytes) -> tuple[bytes, bytes | None]:
        """(what the MAC covers, the MAC); (data, None) when the bitmap shows none or `data` is too short.

        Looks at header and bitmap only: neither part is checked otherwise.
        """
        data = message_bytes(data)
        mac = self.dictionary.mac
        if mac is None:
            return data, None
        try:
            at = 0
            if self._header:
                at = self._decode_header(data, data.hex(), data.decode("latin-1"), len(data), {})
            at += self._layout.mti_size
            bitmap, at = self._layout.bitmap(data, at)
        except DecodeError:
            return data, None
        is_long = len(bitmap) > HALF_BYTES and self._layout.is_long(bitmap)
        number = mac.numbers[-1] if is_long else mac.primary
        field = self.dictionary.fields[number]
        cut = len(data) - mac.size * (1 if field.encoding == "binary" else 2)
        if cut < at or not bitmap[(number - 1) // 8] & (0x80 >> (number - 1) % 8):
            return data, None
        if field.encoding == "binary":
            return data[:cut], data[cut:]
        try:
            values: dict[str, Value] = {}
            decode = self._codecs[number].decode
            decode(data, data.hex(), data.decode("latin-1"), cut, len(data), values)
        except DecodeError:
            return data, None
        code = values[str(number)]
        return data[:cut], code if isinstance(code, bytes) else None

    def check(self, message: Message, *, mac_required: bool = True) -> list[Problem]:
        """What MTI and DE 3 don't allow: missing, unnamed and excluding fields, conditions, a MAC misplaced.

        Each problem has path, words, and the DE 39 to answer with; [] = complete. `mac_required=False` for a
        message whose MAC is still to come. A dialect without messages has nothing to say.
        """
        return self._presence.problems(message_of(message), mac_required)

    def name_of(self, message: Message) -> str | None:
        """What the dictionary calls the message ("earn", "reversal"); None when MTI and DE 3 name none."""
        return self._presence.name_of(message_of(message))


class _KeptCaptions:
    """Captions of a broken message that has left the process of its dialect: the places to hide are known."""

    def __init__(self, dictionary: Dictionary, hidden: frozenset[str]) -> None:
        self._dictionary = dictionary
        self._hidden = hidden
        self.name = dictionary.name

    def mask_of(self, path: str) -> Mask:
        mask = self._dictionary.mask_of(path)
        return Mask.HIDDEN if mask in (Mask.NONE, Mask.MOBILE) and path in self._hidden else mask

    def title_of(self, path: str) -> str:
        return self._dictionary.title_of(path)


class _TornCaptions(_KeptCaptions):
    """Captions of a broken message: whatever may hold a piece of a card number is hidden."""

    def __init__(self, dialect: Dialect, data: bytes) -> None:
        self._dialect = dialect
        self._data = data
        self._dictionary = dialect.dictionary
        self.name = dialect.dictionary.name

    def __reduce__(self) -> tuple[type[_KeptCaptions], tuple[Dictionary, frozenset[str]]]:
        return _KeptCaptions, (self._dictionary, self._hidden)  # no bytes of the message travel

    @functools.cached_property
    def _hidden(self) -> frozenset[str]:  # type: ignore[override]
        places = torn_places(self._data)
        spans = self._dialect.spans(self._data) if places else []
        return frozenset(path for path, start, stop in spans if not places.isdisjoint(range(start, stop)))


class _Layout:
    """MTI and bitmaps of a dialect: where they stand and how they look."""

    def __init__(self, dictionary: Dictionary) -> None:
        form = dictionary.bitmap
        self._form = form
        self._mti_encoding = dictionary.mti_encoding
        self._page = CODE_PAGES[dictionary.code_page]
        self.mti_size = 2 if dictionary.mti_encoding == "bcd" else 4
        # whether messages carry field "1": an empty secondary bitmap, a bit 1 that isn't as announced
        self.marks = form.allows_empty or form.first_bit == "any"
        self.read = bitmap_reader(form, "bitmap", dictionary.code_page)
        self._code_page = dictionary.code_page
        self.tertiary_field = (form.tertiary or 0) if form.tertiary_in_field else 0
        self._third = form.tertiary is not None and not form.tertiary_in_field
        # bits that only say that more bitmap follows
        self.announcers = frozenset((1, 65) if self._third else (1,))
        self._spans: list[Span] | None = None

    def noting(self, spans: list[Span]) -> _Layout:
        """The same, noting in `spans` where MTI and bitmaps stand."""
        other = _Layout.__new__(_Layout)
        other.__dict__.update(self.__dict__, _spans=spans)
        read = self.read

        def noting_read(data: bytes, at: int, end: int, size: int) -> tuple[bytes, int]:
            bitmap, stop = read(data, at, end, size)
            if spans and spans[-1].path == "bitmap" and spans[-1].stop == at:
                spans[-1] = Span("bitmap", spans[-1].start, stop)
            else:
                spans.append(Span("bitmap", at, stop))
            return bitmap, stop

        other.read = noting_read
        return other

    def width(self, size: int) -> int:
        return bitmap_width(self._form, size)

    def mti(self, data: bytes, hexed: str, characters: str, at: int) -> tuple[str, int]:
        """(MTI, offset behind it)."""
        stop = at + self.mti_size
        if stop > len(data):
            raise truncated("mti", at, self.mti_size, max(len(data) - at, 0))
        if self._mti_encoding == "bcd":
            mti = hexed[at * 2 : stop * 2]
            if not mti.isdigit():
                place = next(place for place, nibble in enumerate(mti) if nibble not in DIGITS)
                raise DecodeError("mti", at + place // 2, "digits", f"nibble {mti[place].upper()}")
        else:
            is_ebcdic = self._mti_encoding == "ebcdic"
            mti = self._page.decode(data[at:stop]) if is_ebcdic else characters[at:stop]
            if not (mti.isdigit() and mti.isascii()):
                place = next(place for place, character in enumerate(mti) if character not in DIGITS)
                words = "digits in EBCDIC" if is_ebcdic else "digits"
                raise DecodeError("mti", at + place, words, f"byte 0x{data[at + place]:02X}")
        if self._spans is not None:
            self._spans.append(Span("mti", at, stop))
        return mti, stop

    def mti_bytes(self, mti: str) -> bytes:
        if self._mti_encoding == "bcd":
            return bytes.fromhex(mti)
        if self._mti_encoding == "ascii":
            return mti.encode("ascii")
        return self._page.encode(mti) or b""

    def bitmap(self, data: bytes, at: int) -> tuple[bytes, int]:
        """(all bitmaps that stand together, offset behind them)."""
        form, end = self._form, len(data)
        size = form.size
        if size == HALF_BYTES and self._announces(data, at):
            size *= 2  # both halves at once: what is missing is told of the whole
        bitmap, stop = self.read(data, at, end, size)
        if self._third and size == 2 * HALF_BYTES and bitmap[HALF_BYTES] & 0x80:
            more, stop = self.read(data, stop, end, HALF_BYTES)
            bitmap += more
        return bitmap, stop

    def _announces(self, data: bytes, at: int) -> bool:
        if self._form.encoding == "binary":
            return at < len(data) and data[at] >= 0x80
        first = data[at : at + 1]
        text = self._page.decode(first) if self._form.encoding == "ebcdic" else first.decode("latin-1")
        return text in tuple("89ABCDEFabcdef")

    def is_long(self, bitmap: bytes) -> bool:
        """Whether the secondary bitmap counts: where it always stands, only with fields in it."""
        return self._form.size == HALF_BYTES or any(bitmap[HALF_BYTES:])

    def judge(self, bitmap: bytes, start: int) -> None:
        """Refuses bits that announce what isn't there, or don't announce what is."""
        form = self._form
        first = bool(bitmap[0] & 0x80)
        half = start + self.width(HALF_BYTES)
        if form.size == HALF_BYTES:
            if len(bitmap) > HALF_BYTES and not any(bitmap[HALF_BYTES:]) and not form.allows_empty:
                raise DecodeError("bitmap", half, "a field above 64 in the secondary bitmap", "none")
        else:
            needed = any(bitmap[HALF_BYTES:])
            if form.first_bit == "set" and not first:
                raise DecodeError("bitmap", start, "bit 1 set", "bit 1 clear")
            if form.first_bit == "clear" and first:
                raise DecodeError("bitmap", start, "bit 1 clear", "bit 1 set")
            if form.first_bit == "announces" and first != needed:
                words = "bit 1 set for fields above 64" if needed else "bit 1 clear without fields above 64"
                raise DecodeError("bitmap", start, words, "bit 1 set" if first else "bit 1 clear")
        if self._third and len(bitmap) > 2 * HALF_BYTES:
            further = any(bitmap[2 * HALF_BYTES :])
            announced = bool(bitmap[HALF_BYTES] & 0x80)
            if announced != further:
                at = start + self.width(2 * HALF_BYTES) if announced else half
                if announced:
                    raise DecodeError("bitmap", at, "a field above 128 in the tertiary bitmap", "none")
                raise DecodeError("bitmap", at, "bit 65 set for fields above 128", "bit 65 clear")

    def mark(self, bitmap: bytes) -> bytes | None:
        """What the message carries as field "1": eight zero bytes for a secondary bitmap that is announced
        and empty, none for one that isn't announced; None when bit 1 is as it should be.
        """
        is_needed = any(bitmap[HALF_BYTES:])
        if self._form.size == HALF_BYTES:
            return bytes(HALF_BYTES) if len(bitmap) > HALF_BYTES and not is_needed else None
        if bool(bitmap[0] & 0x80) == is_needed:
            return None
        return b"" if is_needed else bytes(HALF_BYTES)

    def judge_mark(self, mark: object, numbers: Collection[int]) -> None:
        if self._form.first_bit == "any" and any(number > 64 for number in numbers):
            if mark != b"":
                raise EncodeError(EMPTY_SECONDARY, "no bytes (bit 1 clear above fields)", "something else")
        elif mark != bytes(HALF_BYTES):
            raise EncodeError(EMPTY_SECONDARY, f"{HALF_BYTES} zero bytes (an empty bitmap)", "something else")

    def has_secondary(self, numbers: Collection[int]) -> bool:
        is_short = self._form.size == HALF_BYTES
        return any(number > 64 or (number == 1 and is_short) for number in numbers)

    def written(self, numbers: Collection[int]) -> tuple[bytes, bytes]:
        """(the bitmaps of a message with these fields, the bitmap inside a field or b"")."""
        form = self._form
        above = [number - 128 for number in numbers if number > 128]
        bits = {number for number in numbers if number <= 128}
        size, inner = form.size, b""
        if above and self.tertiary_field:
            bits.add(self.tertiary_field)
            inner = bitmap_bytes(form, _bytes_of(above, HALF_BYTES), self._code_page)
        elif above:
            bits.add(65)
            bits.update(number + 128 for number in above)
            size = 3 * HALF_BYTES
        is_turned = form.first_bit == "any" and 1 in bits
        if max(bits, default=0) > 64:
            size = max(size, 2 * HALF_BYTES)
            bits.add(1)
            if is_turned:
                bits.discard(1)
        elif 1 in bits:
            size = max(size, 2 * HALF_BYTES)
        if form.first_bit == "set":
            bits.add(1)
        elif form.first_bit == "clear":
            bits.discard(1)
        return bitmap_bytes(form, _bytes_of(bits, size), self._code_page), inner


def _bytes_of(numbers: Collection[int], size: int) -> bytes:
    bits = 0
    for number in numbers:
        bits |= 1 << (size * 8 - number)
    return bits.to_bytes(size, "big")


def _no_field(value: object) -> bytes:
    raise AssertionError("the bitmap inside a field is written as it is")


@functools.cache
def load(name: str) -> Dialect:
    """A dialect that is shipped with the kit, by name ("vafa"); read once."""
    if name not in shipped():
        mistake = Mistake(None, f"no dialect {name!r} is shipped", f"use {', '.join(shipped())}")
        raise DialectError(SHIPPED / f"{name}.toml", [mistake])
    return Dialect.load(SHIPPED / f"{name}.toml")


def shipped() -> tuple[str, ...]:
    """Names of the dialects that are shipped with the kit."""
    return tuple(sorted(path.stem for path in SHIPPED.glob("*.toml")))


def _is_number(text: object) -> bool:
    return isinstance(text, str) and text.isdigit() and text.isascii()


def _remember(plans: dict[tuple[str, ...], _EncodePlan], names: tuple[str, ...], plan: _EncodePlan) -> None:
    if len(plans) >= PLANS_MAXIMUM:
        plans.clear()
    plans[names] = plan
