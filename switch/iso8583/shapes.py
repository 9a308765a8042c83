"""The CPython accelerator: functions for the bitmaps, field orders and tag orders that come again and again.

A dialect's own methods are the reference. `attach` puts fast ones in their places, which try a function made
for the shape at hand and ask the reference at any doubt: only the reference explains what is wrong, so fast
and slow can differ in time alone. No lock: a dialect belongs to one event loop.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Generic, TypeVar

from switch.iso8583.codec import Decode, bitmap_width, set_bits
from switch.iso8583.dictionary import HIGHEST_FIELD
from switch.iso8583.message import Message, Value
from switch.iso8583.shape_source import DOUBTS, Read, Reading, Wire, Write, Writing, wire_of

if TYPE_CHECKING:
    from switch.iso8583.dialect import Dialect

# A shape is made once it has been used so often. Making one takes about 0.3 ms, 64 messages on the reference
# path take more: who sends bitmaps of his own choice can no more than double what each message costs.
USES_BEFORE_COMPILING = 64
# Functions kept, in two generations: a full young one becomes the old one, and what is used of the old comes
# back. So the least recently used go first, a hit costs nothing, and twice this number is the bound.
SHAPES_IN_A_GENERATION = 128
# Keys whose uses are being counted; when strangers fill the table, counting starts anew.
COUNTED_MAXIMUM = 1024
# MTIs whose bytes are kept: all that ISO 8583 defines for one version and more.
MTIS_MAXIMUM = 512

Key = TypeVar("Key", bound=Hashable)
Function = TypeVar("Function")

MTI = "mti"
# A message is put together without calling its __init__ (a tenth of the time of a decode) as long as it is
# made of these and nothing else.
_MESSAGE_SLOTS = ("_captions", "fields", "is_partial", "mti")
_MESSAGE_NAMES = {"Message": Message, "new": object.__new__}
HALF_BITMAP = 8
LONG_BITMAP = 16


class Hot(Generic[Key, Function]):
    """The functions in use, by key: bounded, filled after repeated use only.

    young: look here first, by the mapping's own methods; it stays the same object.
    """

    def __init__(self) -> None:
        self.young: dict[Key, Function] = {}
        self._old: dict[Key, Function] = {}
        self._uses: dict[Key, int] = {}

    def __len__(self) -> int:
        return len(self.young) + len(self._old)

    def back(self, key: Key) -> Function | None:
        """The function of the old generation, young again from now on."""
        function = self._old.pop(key, None)
        if function is not None:
            self.keep(key, function)
        return function

    def is_due(self, key: Key) -> bool:
        """Count a use of a key without function; whether it has earned one."""
        if key in self.young:
            return False  # it has one, which was in doubt
        uses = self._uses.pop(key, 0) + 1
        if uses >= USES_BEFORE_COMPILING:
            return True
        if len(self._uses) >= COUNTED_MAXIMUM:
            self._uses.clear()
        self._uses[key] = uses
        return False

    def keep(self, key: Key, function: Function) -> None:
        if len(self.young) >= SHAPES_IN_A_GENERATION:
            self._old.clear()
            self._old.update(self.young)
            self.young.clear()
        self.young[key] = function


class Head:
    """MTI and bitmaps of a dialect, as far as shapes are made for it.

    short, long: bytes before the fields without and with a secondary bitmap; both 0 when the dialect has a
    header or a tertiary bitmap: these are left to the reference.
    """

    def __init__(self, dialect: Dialect) -> None:
        form = dialect.dictionary.bitmap
        self._dialect = dialect
        self.mti_size = dialect._layout.mti_size
        has_shapes = not dialect.dictionary.header and form.tertiary is None
        self.short = self.mti_size + bitmap_width(form, form.size) if has_shapes else 0
        self.long = self.mti_size + bitmap_width(form, LONG_BITMAP) if has_shapes else 0

    def size_with(self, names: Iterable[str]) -> int:
        """Bytes before the fields of a message with these; 0 when shapes are not made for it."""
        numbers = [int(name) if name.isdecimal() and name.isascii() else 0 for name in names]
        if not all(2 <= number <= HIGHEST_FIELD for number in numbers):
            return 0
        return self.long if any(number > 64 for number in numbers) else self.short

    def read(self, data: bytes) -> tuple[str, list[int], int]:
        """MTI, numbers of the fields, where they begin; one of `DOUBTS` at any doubt."""
        if not self.short:
            raise ValueError
        layout = self._dialect._layout
        mti, at = layout.mti(data, data[: self.mti_size].hex(), data.decode("latin-1"), 0)
        bitmap, start = layout.bitmap(data, at)
        layout.judge(bitmap, at)
        numbers = [number for number in set_bits(bitmap) if number not in layout.announcers]
        if len(bitmap) > HALF_BITMAP and not any(bitmap[HALF_BITMAP:]) and layout.allows_empty:
            raise ValueError  # the message carries an empty bitmap as a field
        return mti, numbers, start


class Shapes:
    """The fast paths of one dialect."""

    def __init__(self, dialect: Dialect, readers: Mapping[str, Read], writers: Mapping[str, Write]) -> None:
        kind = type(dialect)
        self._decode_reference: Callable[[bytes], Message] = functools.partial(kind.decode, dialect)
        self._encode_reference: Callable[[Message], bytes] = functools.partial(kind.encode, dialect)
        self._body_reference: Callable[[Message], bytes] = functools.partial(kind.encode_body, dialect)
        self._dictionary = dialect.dictionary
        self._readers, self._writers = readers, writers
        self._wires = {str(number): wire_of(field) for number, field in dialect.dictionary.fields.items()}
        self._head = Head(dialect)
        self._mtis: dict[str, bytes] = {}
        self.decoders: Hot[bytes, Callable[[bytes], Message]] = Hot()
        self.walkers: Hot[bytes, Callable[[bytes], int]] = Hot()
        self.peekers: Hot[tuple[bytes, tuple[str, ...]], Callable[[bytes], dict[str, Value]]] = Hot()
        self.encoders: Hot[tuple[str, ...], Callable[[str, Mapping[str, Value]], bytes]] = Hot()
        self.body_encoders: Hot[tuple[str, ...], Callable[[str, Mapping[str, Value]], bytes]] = Hot()

    # ------------------------------------------------------------ the methods' places

    def decode(self) -> Callable[[bytes], Message]:
        hot, cold = self.decoders.young, self._decode_cold
        get, short, long = hot.get, self._head.short, self._head.long

        def decode(data: bytes) -> Message:
            try:
                return (get(data[:short]) or hot[data[:long]])(data)
            except DOUBTS:
                return cold(data)

        return decode

    def walk(self) -> Callable[[bytes], int]:
        hot, cold = self.walkers.young, self._walk_cold
        get, short, long = hot.get, self._head.short, self._head.long

        def walk(data: bytes) -> int:
            try:
                return (get(data[:short]) or hot[data[:long]])(data)
            except DOUBTS:
                return cold(data)

        return walk

    def peek(self) -> Callable[[bytes, Sequence[str]], dict[str, Value]]:
        hot, cold = self.peekers.young, self._peek_cold
        get, short, long = hot.get, self._head.short, self._head.long

        def peek(data: bytes, fields: Sequence[str]) -> dict[str, Value]:
            names = tuple(fields)
            try:
                return (get((data[:short], names)) or hot[data[:long], names])(data)
            except DOUBTS:
                return cold(data, names)

        return peek

    def encode(self) -> Callable[[Message], bytes]:
        hot, cold = self.encoders.young, self._encode_cold

        def encode(message: Message) -> bytes:
            fields = message.fields
            try:
                return hot[tuple(fields)](message.mti, fields)
            except DOUBTS:
                return cold(message)

        return encode

    def encode_body(self) -> Callable[[Message], bytes]:
        hot, cold = self.body_encoders.young, self._body_cold

        def encode_body(message: Message) -> bytes:
            fields = message.fields
            try:
                return hot[tuple(fields)](message.mti, fields)
            except DOUBTS:
                return cold(message)

        return encode_body

    # ------------------------------------------------------------ the long way

    def _decode_cold(self, data: bytes) -> Message:
        data = bytes(data)
        function = self.decoders.back(data[: self._head.short]) or self.decoders.back(data[: self._head.long])
        if function is not None:
            try:
                return function(data)
            except DOUBTS:
                pass
        message = self._decode_reference(data)
        size = self._head.size_with(message.fields)
        if size and self.decoders.is_due(data[:size]):
            self.decoders.keep(data[:size], self._decoder(message, size))
        return message

    def _walk_cold(self, data: bytes) -> int:
        data = bytes(data)
        function = self.walkers.back(data[: self._head.short]) or self.walkers.back(data[: self._head.long])
        if function is not None:
            try:
                return function(data)
            except DOUBTS:
                pass
        size = self.walked(data)
        start = self._start(data)
        if start and self.walkers.is_due(data[:start]):
            self.walkers.keep(data[:start], self._walker(data, start))
        return size

    def _peek_cold(self, data: bytes, names: tuple[str, ...]) -> dict[str, Value]:
        data = bytes(data)
        for size in (self._head.short, self._head.long):
            function = self.peekers.back((data[:size], names))
            if function is not None:
                try:
                    return function(data)
                except DOUBTS:
                    break
        found = self.peeked(data, names)
        start = 0 if any("." in name for name in names) else self._start(data)
        if start and self.peekers.is_due((data[:start], names)):
            self.peekers.keep((data[:start], names), self._peeker(data, start, names, found))
        return found

    # ------------------------------------------------------------ peek and walk without generated functions

    def peeked(self, data: bytes, names: tuple[str, ...]) -> dict[str, Value]:
        """The named values; what `decode` raises when it would refuse what is read or walked over."""
        try:
            message = self._looked_at(data, names)
        except DOUBTS:
            message = self._decode_reference(data)
        values = ((name, message.mti if name == MTI else message.get(name)) for name in names)
        return {name: value for name, value in values if value is not None}

    def walked(self, data: bytes) -> int:
        """Where the last field ends, which is the end of `data`; or what `decode` raises."""
        self.peeked(data, ())
        return len(data)

    def _start(self, data: bytes) -> int:
        """Where the fields begin; 0 when no shapes are made for such a message."""
        try:
            return self._head.read(data)[2]
        except DOUBTS:
            return 0

    def _looked_at(self, data: bytes, names: tuple[str, ...]) -> Message:
        """A message of the named fields alone, the others walked over; one of `DOUBTS` at any doubt."""
        mti, numbers, at = self._head.read(data)
        wanted = {name.partition(".")[0] for name in names}
        fields: dict[str, Value] = {}
        for number in numbers:
            wire = self._wires[str(number)]
            if wire.key in wanted or wire.frame == "unknown":
                if at > len(data):
                    raise ValueError
                fields[wire.key], at = self._readers[wire.key](data, at)
            else:
                at = wire.end(data, at)
        if at != len(data):
            raise ValueError
        return Message(mti, fields, self._dictionary)

    def _encode_cold(self, message: Message) -> bytes:
        return self._written(message, self.encoders, self._encode_reference, ())

    def _body_cold(self, message: Message) -> bytes:
        mac = self._dictionary.mac
        left_out = () if mac is None else (str(mac.primary), str(mac.secondary))
        return self._written(message, self.body_encoders, self._body_reference, left_out)

    def _written(
        self,
        message: Message,
        hot: Hot[tuple[str, ...], Callable[[str, Mapping[str, Value]], bytes]],
        reference: Callable[[Message], bytes],
        left_out: tuple[str, ...],
    ) -> bytes:
        names = tuple(message.fields)
        function = hot.back(names)
        if function is not None:
            try:
                return function(message.mti, message.fields)
            except DOUBTS:
                pass
        data = reference(message)
        size = self._head.size_with([name for name in names if name not in left_out])
        if size:
            if len(self._mtis) < MTIS_MAXIMUM:
                self._mtis[message.mti] = data[: self._head.mti_size]
            if hot.is_due(names):
                hot.keep(names, self._encoder(names, left_out, data[self._head.mti_size : size]))
        return data

    # ------------------------------------------------------------ making functions

    def _decoder(self, message: Message, start: int) -> Callable[[bytes], Message]:
        wires = self._in_order(message.fields)
        keys = [wire.key for wire in wires]
        source = Reading(start, frozenset(keys), self._readers, **_MESSAGE_NAMES, captions=self._dictionary)
        source.fields(wires, message.fields)
        values = ", ".join(f"{key!r}: {source.values[key]}" for key in keys)
        if Message.__slots__ == _MESSAGE_SLOTS:
            source.line("message = new(Message)")
            source.line(f"message.mti = {message.mti!r}")
            source.line("message._captions = captions")
            source.line("message.is_partial = False")
            source.line(f"message.fields = {{{values}}}")
            source.line("return message")
        else:
            source.line(f"return Message({message.mti!r}, {{{values}}}, captions)")
        return source.compiled("data")

    def _walker(self, data: bytes, start: int) -> Callable[[bytes], int]:
        source = Reading(start, frozenset(), self._readers)
        source.fields(self._in_order(self._head.read(data)[1]), {})
        source.line("return len(data)")
        return source.compiled("data")

    def _peeker(
        self, data: bytes, start: int, names: tuple[str, ...], found: Mapping[str, Value]
    ) -> Callable[[bytes], dict[str, Value]]:
        mti, numbers, _start = self._head.read(data)
        source = Reading(start, frozenset(names), self._readers)
        source.fields(self._in_order(numbers), found)
        values = {MTI: repr(mti), **source.values}
        found_values = ", ".join(f"{name!r}: {values[name]}" for name in names if name in values)
        source.line(f"return {{{found_values}}}")
        return source.compiled("data")

    def _encoder(
        self, names: tuple[str, ...], left_out: tuple[str, ...], bitmap: bytes
    ) -> Callable[[str, Mapping[str, Value]], bytes]:
        source = Writing(names, self._writers)
        wires = self._in_order([name for name in names if name not in left_out])
        parts = source.parts([("", wire) for wire in wires], "fields")
        head = [f"{source.constant(self._mtis, 'MTIS')}[mti]", source.constant(bitmap, "BITMAP")]
        source.line(f"return concatenate(({', '.join(head + parts)},))")
        return source.compiled("mti, fields")

    def _in_order(self, names: Iterable[str | int]) -> list[Wire]:
        return [self._wires[str(number)] for number in sorted(map(int, names))]


def attach(dialect: Dialect) -> Shapes:
    """Put the fast paths in the places of `dialect`'s methods; the class's own stay the reference."""
    readers: dict[str, Read] = {}
    writers: dict[str, Write] = {}
    for number, codec in dialect._codecs.items():
        readers[str(number)] = _reader(str(number), codec.decode)
        writers[str(number)] = codec.encode
    shapes = Shapes(dialect, readers, writers)
    for name in ("decode", "encode", "encode_body", "peek", "walk"):
        fast = functools.update_wrapper(getattr(shapes, name)(), getattr(type(dialect), name))
        setattr(dialect, name, fast)
    return shapes


def _reader(key: str, decode: Decode) -> Read:
    def read(data: bytes, at: int) -> tuple[Value, int]:
        fields: dict[str, Value] = {}
        end = decode(data, data.hex(), data.decode("latin-1"), at, len(data), fields)
        return fields[key], end

    return read
