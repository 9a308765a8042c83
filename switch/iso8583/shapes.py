"""The CPython accelerator: functions for the bitmaps, field orders and tag orders that come again and again.

A dialect's own methods are the reference. `attach` puts fast ones in their places, which try a function made
for the shape at hand and ask the reference at any doubt: only the reference explains what is wrong, so fast
and slow can differ in time alone. The reference is never asked from within an `except`: what was caught may
hold bytes of the message, and would travel with the error as its context. No lock: a dialect belongs to one
event loop.
"""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Generic, TypeVar

from switch.iso8583.bitmaps import bitmap_width, set_bits
from switch.iso8583.codec import Decode
from switch.iso8583.dictionary import HIGHEST_FIELD, Dictionary, Field
from switch.iso8583.lengths import number_writer
from switch.iso8583.message import MTI, Message, Value, message_bytes, message_of, paths_of
from switch.iso8583.presence import PROCESSING_CODE, Problem
from switch.iso8583.shape_source import (
    DOUBTS,
    Read,
    Reading,
    Wire,
    Write,
    Writing,
    nibbles_pattern,
    prefix_bytes,
    wire_of,
)

if TYPE_CHECKING:
    from switch.iso8583.dialect import Dialect

# A shape is made once it has been used so often. Making one takes about as long (0.5 to 1.4 ms) as so many
# messages on the reference path: who sends bitmaps of his own choice can but double what each message costs.
USES_BEFORE_COMPILING = 128
# Functions kept, in two generations: a full young one becomes the old one, and what is used of the old comes
# back. So the least recently used go first, a hit costs nothing, and twice this number is the bound.
SHAPES_IN_A_GENERATION = 128
# Keys whose uses are being counted; when strangers fill the table, counting starts anew.
COUNTED_MAXIMUM = 1024

Key = TypeVar("Key", bound=Hashable)
Function = TypeVar("Function")
Made = TypeVar("Made")

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
        if not numbers or not all(2 <= number <= HIGHEST_FIELD for number in numbers):
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
        if layout.marks and layout.mark(bitmap) is not None:
            raise ValueError  # the message carries the bitmap's mark as a field
        return mti, numbers, start


class Shapes:
    """The fast paths of one dialect."""

    def __init__(
        self,
        dialect: Dialect,
        readers: Mapping[str, Read],
        writers: Mapping[str, Write],
        tags: Mapping[str, TagShapes],
    ) -> None:
        kind = type(dialect)
        self._decode_reference: Callable[[bytes], Message] = functools.partial(kind.decode, dialect)
        self._encode_reference: Callable[[Message], bytes] = functools.partial(kind.encode, dialect)
        self._body_reference: Callable[[Message], bytes] = functools.partial(kind.encode_body, dialect)
        self._check_reference: Callable[..., list[Problem]] = functools.partial(kind.check, dialect)
        self._split_reference: Callable[[bytes], tuple[bytes, bytes | None]] = functools.partial(
            kind.split_mac, dialect
        )
        self._dictionary = dialect.dictionary
        self._readers, self._writers, self.tags = readers, writers, tags
        self._wires = {str(number): wire_of(field) for number, field in dialect.dictionary.fields.items()}
        self._head = Head(dialect)
        # The bytes of each MTI written so far: four digits, so never more than 10 000.
        self._mtis: dict[str, bytes] = {}
        self.decoders: Hot[bytes, Callable[[bytes], Message]] = Hot()
        self.walkers: Hot[bytes, Callable[[bytes], int]] = Hot()
        self.peekers: Hot[tuple[bytes, tuple[str, ...]], Callable[[bytes], dict[str, Value]]] = Hot()
        self.encoders: Hot[tuple[str, ...], Callable[[str, Mapping[str, Value]], bytes]] = Hot()
        # What `check` has found complete: MAC wanted, MTI, DE 3, names of fields, names of tags.
        self.complete: Hot[tuple[object, ...], bool] = Hot()
        paths = set(_asked_paths(dialect.dictionary))
        self._tagged_in_rules = tuple(sorted({path.partition(".")[0] for path in paths if "." in path}))
        self._rules_see_names_alone = all(path.count(".") <= 1 for path in paths) and all(
            how in ("present", "absent") or path in (MTI, PROCESSING_CODE)
            for path, how, _values in _tests(dialect.dictionary)
        )
        self.body_encoders: Hot[tuple[str, ...], Callable[[str, Mapping[str, Value]], bytes]] = Hot()

    # ------------------------------------------------------------ the methods' places

    def decode(self) -> Callable[[bytes], Message]:
        return self._by_bitmap(self.decoders.young, self._decode_cold)

    def walk(self) -> Callable[[bytes], int]:
        return self._by_bitmap(self.walkers.young, self._walk_cold)

    def _by_bitmap(
        self, hot: Mapping[bytes, Callable[[bytes], Made]], cold: Callable[[bytes], Made]
    ) -> Callable[[bytes], Made]:
        get, short, long = hot.get, self._head.short, self._head.long

        def read(data: bytes) -> Made:
            try:
                return (get(data[:short]) or hot[data[:long]])(data)
            except DOUBTS:
                pass
            return cold(data)

        return read

    def peek(self) -> Callable[[bytes, Sequence[str]], dict[str, Value]]:
        hot, cold = self.peekers.young, self._peek_cold
        get, short, long = hot.get, self._head.short, self._head.long

        def peek(data: bytes, fields: Sequence[str]) -> dict[str, Value]:
            kind = fields.__class__
            names = tuple(fields) if kind is list or kind is tuple else paths_of(fields)
            try:
                return (get((data[:short], names)) or hot[data[:long], names])(data)
            except DOUBTS:
                pass
            return cold(data, paths_of(names))

        return peek

    def encode(self) -> Callable[[Message], bytes]:
        return _by_names(self.encoders.young, self._encode_cold)

    def encode_body(self) -> Callable[[Message], bytes]:
        return _by_names(self.body_encoders.young, self._body_cold)

    def check(self) -> Callable[..., list[Problem]]:
        """Remembers which names of fields and tags make a complete message; of no use where values count
        beside MTI and DE 3.
        """
        if not self._rules_see_names_alone:
            return self._check_reference
        complete, cold, tagged = self.complete.young, self._check_cold, self._tagged_in_rules

        def check(message: Message, *, mac_required: bool = True) -> list[Problem]:
            try:
                fields = message.fields
                key: tuple[object, ...] = (mac_required, message.mti, fields.get(PROCESSING_CODE), *fields)
                for name in tagged:
                    if name in fields:
                        value = fields[name]
                        key += (type(value), tuple(value))
                if key in complete:
                    return []
            except DOUBTS:
                pass
            else:
                return cold(message, mac_required, key)
            return self._check_reference(message, mac_required=mac_required)

        return check

    def split_mac(self) -> Callable[[bytes], tuple[bytes, bytes | None]]:
        """For binary bitmaps behind the MTI: two bytes tell all. Else the reference itself."""
        mac, form, reference = self._dictionary.mac, self._dictionary.bitmap, self._split_reference
        is_simple = form.encoding == "binary" and form.size == HALF_BITMAP and self._head.short > 0
        if (
            mac is None
            or mac.secondary is None
            or not is_simple
            or not all(self._dictionary.fields[number].encoding == "binary" for number in mac.numbers)
        ):
            return reference
        first, size, short, long = self._head.mti_size, mac.size, self._head.short, self._head.long
        near, near_bit = first + (mac.primary - 1) // 8, 0x80 >> (mac.primary - 1) % 8
        far, far_bit = first + (mac.secondary - 1) // 8, 0x80 >> (mac.secondary - 1) % 8

        def split_mac(data: bytes) -> tuple[bytes, bytes | None]:
            if type(data) is not bytes:
                data = message_bytes(data)
            cut = len(data) - size
            if cut >= long and data[first] & 0x80:
                if data[far] & far_bit:
                    return data[:cut], data[cut:]
            elif cut >= short and data[near] & near_bit and not data[first] & 0x80:
                return data[:cut], data[cut:]
            return data, None

        return split_mac

    # ------------------------------------------------------------ the long way

    def _check_cold(self, message: Message, mac_required: bool, key: tuple[object, ...]) -> list[Problem]:
        problems = self._check_reference(message, mac_required=mac_required)
        if not problems and self.complete.back(key) is None and self.complete.is_due(key):
            self.complete.keep(key, True)
        return problems

    def _decode_cold(self, data: bytes) -> Message:
        data = message_bytes(data)
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
        data = message_bytes(data)
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
        data = message_bytes(data)
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
        message = None
        with contextlib.suppress(*DOUBTS):
            message = self._looked_at(data, names)
        if message is None:
            message = self._decode_reference(data)
        values = ((name, message.get(name)) for name in names)
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
        left_out = () if mac is None else mac.names
        return self._written(message, self.body_encoders, self._body_reference, left_out)

    def _written(
        self,
        message: Message,
        hot: Hot[tuple[str, ...], Callable[[str, Mapping[str, Value]], bytes]],
        reference: Callable[[Message], bytes],
        left_out: tuple[str, ...],
    ) -> bytes:
        names = tuple(message_of(message).fields)
        function = hot.back(names)
        if function is not None:
            try:
                return function(message.mti, message.fields)
            except DOUBTS:
                pass
        data = reference(message)
        size = self._head.size_with([name for name in names if name not in left_out])
        if size:
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


class TagShapes:
    """Tagged data of one field: the orders of known tags with fixed lengths that come again and again.

    Written: by the names in their order. Read: by the size and the first byte, one order for each; another
    order of the same size and beginning is read by the field's closure.
    """

    def __init__(self, field: Field, read: Read, write: Write) -> None:
        form = field.tlv
        assert form is not None, "tagged data has a form"
        self._field, self._form, self._wire = field, form, wire_of(field)
        self._read_reference, self._write_reference = read, write
        self._wires = {name: wire_of(replace(tag, sizing="fixed")) for name, tag in field.tags.items()}
        self.readers: Hot[tuple[int, int], Callable[[bytes], dict[str, Value]]] = Hot()
        self.writers: Hot[tuple[str, ...], Callable[[Value], bytes]] = Hot()

    @staticmethod
    def fits(field: Field) -> bool:
        """Whether shapes can be made for a field."""
        form, prefix = field.tlv, field.prefix
        if field.content != "tlv" or form is None or prefix is None or wire_of(field).frame != "prefixed":
            return False
        is_plain = form.kind == "simple" and form.tag_encoding == "binary" and not form.keeps_misfits
        return is_plain and not form.length_first and not form.length_covers_tag

    def read(self) -> Read:
        young, cold, wire = self.readers.young, self._read_cold, self._wire
        assert wire.prefix is not None, "only prefixed fields have tag shapes"
        prefix_size = wire.prefix.size

        def read(data: bytes, at: int) -> tuple[Value, int]:
            start, stop = at + prefix_size, wire.end(data, at)
            try:
                return young[stop - start, data[start]](data[start:stop]), stop
            except DOUBTS:
                pass
            return cold(data, at)

        return read

    def write(self) -> Write:
        young, cold = self.writers.young, self._write_cold

        def write(value: Value) -> bytes:
            try:
                return young[tuple(value)](value)  # type: ignore[arg-type]
            except DOUBTS:
                pass
            return cold(value)

        return write

    def _read_cold(self, data: bytes, at: int) -> tuple[Value, int]:
        value, stop = self._read_reference(data, at)
        names = tuple(value)
        if self._is_regular(names) and all(self._wires[str(name)].is_nibbles for name in names):
            start = stop - sum(len(self._header(str(name))) + self._size(str(name)) for name in names)
            key = (stop - start, data[start])
            if self.readers.back(key) is None and self.readers.is_due(key):
                self.readers.keep(key, self._reader(tuple(map(str, names))))
        return value, stop

    def _write_cold(self, value: Value) -> bytes:
        data = self._write_reference(value)
        names = tuple(value)
        if self._is_regular(names):
            function = self.writers.back(names)  # type: ignore[arg-type]
            if function is None and self.writers.is_due(names):  # type: ignore[arg-type]
                self.writers.keep(names, self._writer(tuple(map(str, names))))  # type: ignore[arg-type]
        return data

    def _is_regular(self, names: Sequence[object]) -> bool:
        """Whether all tags are known and of one length, so that all that isn't value is always the same."""
        wires = [self._wires.get(str(name)) for name in names]
        return bool(wires) and all(
            wire is not None and wire.form != "opaque" and wire.minimum == wire.maximum for wire in wires
        )

    def _size(self, name: str) -> int:
        return self._wires[name].fixed_size

    def _header(self, name: str) -> bytes:
        form = self._form
        length = number_writer(form.length_encoding, form.length_digits, self._field.code_page)
        return bytes.fromhex(name) + length(self._size(name))

    def _reader(self, names: tuple[str, ...]) -> Callable[[bytes], dict[str, Value]]:
        pattern = ""
        for name in names:
            example = "0" * self._wires[name].maximum
            pattern += self._header(name).hex() + nibbles_pattern(self._wires[name], example)
        match = re.compile(pattern).fullmatch

        def read(content: bytes) -> dict[str, Value]:
            found = match(content.hex())
            if found is None:
                raise ValueError
            return dict(zip(names, found.groups(), strict=True))

        return read

    def _writer(self, names: tuple[str, ...]) -> Callable[[Value], bytes]:
        wires = [self._wires[name] for name in names]
        headers = [self._header(name) for name in names]
        size = sum(map(len, headers)) + sum(self._size(name) for name in names)
        assert self._wire.prefix is not None, "only prefixed fields have tag shapes"
        headers[0] = prefix_bytes(self._wire.prefix, size) + headers[0]
        source = Writing([wire.key for wire in wires], {})
        befores = [header.hex() for header in headers]
        parts = source.parts(list(zip(befores, wires, strict=True)), "fields")
        source.line(f"return concatenate(({', '.join(parts)},))")
        return source.compiled("fields")


def _asked_paths(dictionary: Dictionary) -> Iterator[str]:
    """Every path that a rule of presence, or a condition of one, asks for."""
    for rule in dictionary.messages:
        yield from (*rule.mandatory, *rule.optional, *rule.conditional, *sum(rule.one_of, ()))
    for path, _how, _values in _tests(dictionary):
        yield path


def _tests(dictionary: Dictionary) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    for number in {number for rule in dictionary.messages for number in rule.conditional.values()}:
        for group in dictionary.conditions[number].groups:
            yield from group


def _by_names(
    hot: Mapping[tuple[str, ...], Callable[[str, Mapping[str, Value]], bytes]],
    cold: Callable[[Message], bytes],
) -> Callable[[Message], bytes]:
    def write(message: Message) -> bytes:
        try:
            fields = message.fields
            return hot[tuple(fields)](message.mti, fields)
        except DOUBTS:
            pass
        return cold(message)

    return write


def attach(dialect: Dialect) -> Shapes:
    """Put the fast paths in the places of `dialect`'s methods; the class's own stay the reference."""
    readers: dict[str, Read] = {}
    writers: dict[str, Write] = {}
    tags: dict[str, TagShapes] = {}
    for number, codec in dialect._codecs.items():
        key, field = str(number), dialect.dictionary.fields[number]
        readers[key], writers[key] = _reader(wire_of(field), codec.decode), codec.encode
        if TagShapes.fits(field):
            tags[key] = TagShapes(field, readers[key], writers[key])
            readers[key], writers[key] = tags[key].read(), tags[key].write()
    shapes = Shapes(dialect, readers, writers, tags)
    for name in ("decode", "encode", "encode_body", "peek", "walk", "split_mac", "check"):
        fast = functools.update_wrapper(getattr(shapes, name)(), getattr(type(dialect), name))
        setattr(dialect, name, fast)
    return shapes


def _reader(wire: Wire, decode: Decode) -> Read:
    """A field by its closure, which gets no more of the message than the field when that can be told."""
    key, is_framed = wire.key, wire.frame != "unknown"

    def read(data: bytes, at: int) -> tuple[Value, int]:
        stop = wire.end(data, at) if is_framed else len(data)
        part = data[at:stop]
        fields: dict[str, Value] = {}
        end = decode(part, part.hex(), part.decode("latin-1"), 0, len(part), fields)
        return fields[key], at + end

    return read
