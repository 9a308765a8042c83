"""Source text of functions for one shape: straight-line code for one bitmap, made from the dictionary alone.

A generated function either does all the work and is right, or raises one of `DOUBTS`; it never explains.
No value of a message ever enters a source text: names of fields, lengths, tables, and the four digits of an
MTI that the reference has accepted.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from switch.iso8583.characters import CLASSES, CODE_PAGES
from switch.iso8583.dictionary import Field, Prefix
from switch.iso8583.lengths import number_writer
from switch.iso8583.message import Value

# (data, offset of the field, its prefix included) -> value, offset behind it
Read = Callable[[bytes, int], tuple[Value, int]]
# value -> the field's bytes, its prefix included
Write = Callable[[Value], bytes]

# What a generated function raises when it isn't sure. UnicodeError is a ValueError.
DOUBTS = (AttributeError, IndexError, KeyError, TypeError, ValueError)

# Stands in tables for a length that isn't allowed: carries every cursor beyond the end of any message.
BEYOND = 1 << 30
# Lengths of up to three digits are looked up (1000 entries); longer prefixes are computed.
LONGEST_TABLE = 999
ANY_PAGE = "cp500"  # digits stand at the same place in every EBCDIC code page
# Values of up to three BCD digits that stand alone are looked up, in both directions.
SHORTEST_RUN = 3

# Content classes of characters that one C-level test of a whole ASCII string decides; others are looked
# through character by character.
TEXT_TESTS = {"n": "isdigit", "a": "isalpha", "an": "isalnum", "ans": "isprintable"}


class Wire(NamedTuple):
    """What the generator knows of a field on the wire.

    form: "bcd", "text", "bytes", or "opaque": its content is left to the field's own closures.
    content: n or z (bcd), a key of `CLASSES` (text). minimum, maximum: in digits, characters or bytes.
    frame: "fixed" or "prefixed" when its end can be found without looking at the content, else "unknown".
    halved: two units of its length stand in a byte. page: table from EBCDIC to Latin-1; None for ASCII.
    """

    key: str
    form: str
    content: str
    frame: str
    halved: bool
    minimum: int
    maximum: int
    prefix: Prefix | None
    pad_side: str
    pad: str
    page: bytes | None
    only: frozenset[str]

    def size(self, length: int) -> int:
        """Bytes of content of a value this long."""
        return (length + 1) // 2 if self.halved else length

    @property
    def fixed_size(self) -> int:
        """Bytes on the wire of a field of one length."""
        assert self.frame == "fixed", "only a fixed field has one size"
        return self.size(self.maximum)

    @property
    def is_nibbles(self) -> bool:
        """Whether it is all BCD nibbles, its prefix one byte, and every value of a length is as good."""
        is_short = self.prefix is None or (self.prefix.encoding, self.prefix.size) == ("bcd", 1)
        return self.form == "bcd" and is_short and not self.only

    def end(self, data: bytes, at: int) -> int:
        """Where the field at `at` ends, by its length alone; one of `DOUBTS` when that is wrong."""
        prefix = self.prefix
        if prefix is None:
            return at + self.fixed_size
        start = at + prefix.size
        if prefix.size == 1 and prefix.encoding in ("bcd", "binary"):
            return start + lengths_by_byte(prefix.encoding, self.minimum, self.maximum, self.halved)[data[at]]
        if self.maximum <= LONGEST_TABLE:
            return start + lengths_by_prefix(prefix, self.minimum, self.maximum, self.halved)[data[at:start]]
        length = int(data[at:start].hex(), 10 if prefix.encoding == "bcd" else 16)
        if not self.minimum <= length <= self.maximum:
            raise ValueError
        return start + self.size(length)


def wire_of(field: Field) -> Wire:
    """`field` as the generator sees it."""
    minimum, maximum, _digits = field.length
    halved = field.encoding == "bcd"
    frame = _frame(field)
    page = ebcdic_page(field.code_page) if field.encoding == "ebcdic" else None
    pad = field.pad
    return Wire(
        key=field.path,
        form="opaque" if frame == "unknown" else _form(field),
        content=field.content,
        frame=frame,
        halved=halved,
        minimum=minimum,
        maximum=maximum,
        prefix=field.prefix,
        pad_side=pad.side if pad is not None else "",
        pad=pad.nibble if pad is not None else "",
        page=page,
        only=frozenset(field.only),
    )


def _frame(field: Field) -> str:
    units = {"bcd": ("digits", "nibbles"), "ascii": ("digits", "characters", "bytes"), "binary": ("bytes",)}
    units["ebcdic"] = units["ascii"]
    if field.content == "x+n" or field.unit not in units.get(field.encoding, ()):
        return "unknown"
    prefix = field.prefix
    if field.sizing == "fixed" and prefix is None:
        return "fixed"
    if field.sizing == "prefixed" and prefix is not None and not prefix.inclusive and _is_known(prefix):
        return "prefixed"
    return "unknown"


def _form(field: Field) -> str:
    if field.fill is not None or field.all_nibbles or (field.only and field.content == "b"):
        return "opaque"
    if field.content in ("n", "z") and field.encoding == "bcd":
        can_be_odd = field.length.minimum < field.length.maximum or field.length.maximum % 2 == 1
        return "opaque" if can_be_odd and field.pad is None else "bcd"
    if field.content in CLASSES and field.encoding == "ascii":
        return "text"
    if field.content in CLASSES and field.encoding == "ebcdic" and ebcdic_page(field.code_page) is not None:
        return "text"
    if field.content == "b" and field.encoding == "binary":
        return "bytes"
    return "opaque"


def _is_known(prefix: Prefix) -> bool:
    if prefix.encoding in ("bcd", "binary"):
        return prefix.size <= 2
    return prefix.size <= 3


@functools.cache
def ebcdic_page(name: str) -> bytes | None:
    """Translation of a code page's bytes into ASCII, 0xFF for the rest; None when some ASCII is missing."""
    page = CODE_PAGES.get(name)
    if page is None or any(page.encode(chr(code)) is None for code in range(0x20, 0x7F)):
        return None
    characters = page.decode(bytes(range(256)))
    return bytes(ord(character) if character.isascii() else 0xFF for character in characters)


# ---------------------------------------------------------------- tables


@functools.cache
def lengths_by_byte(encoding: str, minimum: int, maximum: int, halved: bool) -> tuple[int, ...]:
    """Length (in bytes of content when `halved`) for each value of a prefix of one byte."""
    table = [BEYOND] * 256
    for length in range(minimum, min(maximum, 99 if encoding == "bcd" else 255) + 1):
        place = int(f"{length:02}", 16) if encoding == "bcd" else length
        table[place] = (length + 1) // 2 if halved else length
    return tuple(table)


@functools.cache
def lengths_by_prefix(prefix: Prefix, minimum: int, maximum: int, halved: bool) -> Mapping[bytes, int]:
    """Length (in bytes of content when `halved`) for each prefix that is allowed."""
    return {
        prefix_bytes(prefix, length): (length + 1) // 2 if halved else length
        for length in range(minimum, maximum + 1)
    }


@functools.cache
def prefixes_by_length(
    prefix: Prefix, minimum: int, maximum: int, as_text: bool
) -> tuple[bytes | str | None, ...]:
    """The prefix for each length, None for those too short. `as_text`: as hex digits or characters."""
    prefixes: list[bytes | str | None] = [None] * minimum
    for length in range(minimum, maximum + 1):
        content = prefix_bytes(prefix, length)
        if as_text:
            prefixes.append(content.hex() if prefix.encoding == "bcd" else f"{length:0{prefix.digits}}")
        else:
            prefixes.append(content)
    return tuple(prefixes)


def prefix_bytes(prefix: Prefix, length: int) -> bytes:
    """A length as it stands before the content."""
    return number_writer(prefix.encoding, prefix.digits, ANY_PAGE)(length)


def checked_prefix(prefix: Prefix, minimum: int, maximum: int, length: int) -> bytes:
    """The prefix for `length`; ValueError when it isn't allowed."""
    if not minimum <= length <= maximum:
        raise ValueError
    return prefix_bytes(prefix, length)


@functools.cache
def pads(nibble: str) -> tuple[str, str]:
    """What an even and an odd number of digits is filled with."""
    return "", nibble


@functools.cache
def inverted(page: bytes) -> bytes:
    """The translation back from ASCII; other codes are never asked for."""
    return bytes(max(page.find(code), 0) for code in range(256))


@functools.cache
def short_numbers(digits: int, pad_side: str, pad: str) -> tuple[Mapping[bytes, str], Mapping[str, bytes]]:
    """Every BCD value of so few digits: bytes -> text, text -> bytes."""
    values = [f"{number:0{digits}}" for number in range(10**digits)]
    written = {}
    for value in values:
        padded = value if digits % 2 == 0 else pad + value if pad_side == "left" else value + pad
        written[value] = bytes.fromhex(padded)
    return {content: value for value, content in written.items()}, written


# ---------------------------------------------------------------- source


class Source:
    """Lines of one function and the objects it refers to."""

    def __init__(self, **names: Any) -> None:
        self.names: dict[str, Any] = names
        self.lines: list[str] = []
        self._count = 0
        self._constants: dict[int, str] = {}

    def line(self, text: str) -> None:
        self.lines.append(text)

    def fresh(self, stem: str) -> str:
        """A local variable not used yet."""
        self._count += 1
        return f"{stem}{self._count}"

    def constant(self, thing: object, stem: str = "K") -> str:
        """The name under which the function finds `thing`."""
        name = self._constants.get(id(thing))
        if name is None:
            name = f"{stem}_{len(self._constants)}"
            self._constants[id(thing)] = name
            self.names[name] = thing
        return name

    def compiled(self, head: str) -> Callable[..., Any]:
        """The function."""
        text = f"def shape({head}):\n" + "".join(f"    {line}\n" for line in self.lines)
        exec(compile(text, "<shape>", "exec"), self.names)
        function: Callable[..., Any] = self.names.pop("shape")
        return function


def joined(parts: Sequence[str]) -> str:
    """An expression that puts strings together, refusing what is no string."""
    if len(parts) == 1:
        return parts[0]
    return " + ".join(parts) if len(parts) <= 3 else f"join(({', '.join(parts)}))"


def _place(cursor: str, offset: int) -> str:
    if not cursor:
        return str(offset)
    return f"{cursor} + {offset}" if offset else cursor


# ---------------------------------------------------------------- bytes -> values


class Reading(Source):
    """A function of the bytes: cursor and offset say where the next field stands, tests what must hold."""

    def __init__(self, start: int, wanted: frozenset[str], readers: Mapping[str, Read], **names: Any) -> None:
        super().__init__(**names)
        self._readers = readers
        self._cursor = ""
        self._offset = start
        self._wanted = wanted
        self._digits: list[str] = []  # variables that must be digits, known to be ASCII
        self._tests: list[str] = []
        self.values: dict[str, str] = {}  # key -> expression

    def fields(self, wires: Sequence[Wire], example: Mapping[str, Value]) -> None:
        """Code for all fields in their order, then for what must hold.

        `example`: values whose lengths are expected to come again, for those wanted.
        """
        for are_nibbles, run in _neighbours(wires, lambda wire: wire.is_nibbles and wire.key in self._wanted):
            if are_nibbles and len(run) >= SHORTEST_RUN and any(wire.prefix for wire in run):
                self._expected(run, example)
            else:
                self._one_by_one(run)
        tests = [f"{_place(self._cursor, self._offset)} != len(data)", *self._collected()]
        if any(wire.form == "bytes" and wire.key in self._wanted for wire in wires):
            tests.append("type(data) is not bytes")  # a slice of something else is something else
        self.line(f"if {' or '.join(tests)}: raise ValueError")

    def _collected(self) -> list[str]:
        """What must hold of the values so far, as the opposite."""
        tests = [f"not {text}.isdigit()" for text in _in_threes(self._digits)] + self._tests
        self._digits, self._tests = [], []
        return tests

    def _one_by_one(self, wires: Sequence[Wire]) -> None:
        stretch: list[Wire] = []
        for wire in wires:
            is_read = wire.key in self._wanted
            is_opaque = wire.frame == "unknown" or (wire.form == "opaque" and is_read)
            if wire.frame == "fixed" and not is_opaque:
                stretch.append(wire)
                continue
            self._stretch(stretch)
            stretch = []
            if is_opaque:
                self._opaque(wire)
            else:
                self._prefixed(wire)
        self._stretch(stretch)

    # ---- neighbours in BCD

    def _expected(self, run: Sequence[Wire], example: Mapping[str, Value]) -> None:
        """Neighbours in BCD at one stroke when their prefixes are those of the example, else one by one.

        A card number has nearly always the same length: then no place in the run depends on the message.
        """
        lines, tests = self.lines, self._collected()
        self.lines = []
        start_cursor, start = self._cursor, self._offset
        conditions, patterns, offset = [], [], start
        for wire in run:
            value = example[wire.key]
            assert isinstance(value, str), "BCD fields have text values"
            if wire.prefix is not None:
                prefix = prefix_bytes(wire.prefix, len(value))
                conditions.append(f"data[{_place(start_cursor, offset)}] == {prefix[0]}")
                patterns.append(prefix.hex())
            patterns.append(nibbles_pattern(wire, value))
            offset += (0 if wire.prefix is None else wire.prefix.size) + wire.size(len(value))
        cut = f"data[{_place(start_cursor, start)}:{_place(start_cursor, offset)}].hex()"
        names = [self.fresh("v") for _ in run]
        end = self.fresh("p")
        match = self.constant(re.compile("".join(patterns)).fullmatch, "MATCH")
        outer = [f"m = {match}({cut}) if {' and '.join(conditions)} else None"]
        outer += ["if m is not None:", f"    {', '.join(names)}, = m.groups()"]
        tracks = [name for name, wire in zip(names, run, strict=True) if wire.content == "z"]
        outer += [f"    {name} = {_track(name)}" for name in tracks]
        outer += [f"    {end} = {_place(start_cursor, offset)}", "else:"]
        self._one_by_one(run)
        self.line(f"if {' or '.join(self._collected())}: raise ValueError")
        for name, wire in zip(names, run, strict=True):
            self.line(f"{name} = {self.values[wire.key]}")
            self.values[wire.key] = name
        self.line(f"{end} = {_place(self._cursor, self._offset)}")
        self.lines = lines + outer + [f"    {line}" for line in self.lines]
        self._tests = tests
        self._cursor, self._offset = end, 0

    # ---- fields of one length

    def _stretch(self, stretch: Sequence[Wire]) -> None:
        """Fixed fields side by side: one cut per kind of bytes, from the first wanted to the last."""
        offset = self._offset
        run: list[tuple[Wire, int]] = []
        for wire in stretch:
            if run and (run[-1][0].form, run[-1][0].page) != (wire.form, wire.page):
                self._run(run)
                run = []
            run.append((wire, offset))
            offset += wire.fixed_size
        self._run(run)
        self._offset = offset

    def _run(self, run: Sequence[tuple[Wire, int]]) -> None:
        places = [place for place, (wire, _at) in enumerate(run) if wire.key in self._wanted]
        if not places:
            return
        part = run[places[0] : places[-1] + 1]
        if part[0][0].form == "bytes":
            for wire, at in part:
                self._take(wire, self._cut(at, at + wire.maximum))
        elif part[0][0].form == "bcd":
            self._bcd_run(part)
        else:
            self._text_run(part)

    def _cut(self, start: int, stop: int) -> str:
        return f"data[{_place(self._cursor, start)}:{_place(self._cursor, stop)}]"

    def _bcd_run(self, run: Sequence[tuple[Wire, int]]) -> None:
        start, stop = run[0][1], run[-1][1] + run[-1][0].size(run[-1][0].maximum)
        if len(run) == 1 and run[0][0].maximum <= SHORTEST_RUN and run[0][0].content == "n":
            wire = run[0][0]
            table = self.constant(short_numbers(wire.maximum, wire.pad_side, wire.pad)[0], "SHORT")
            value = self.fresh("v")
            self.line(f"{value} = {table}[{self._cut(start, stop)}]")
            self._take(wire, value)
            return
        if len(run) >= SHORTEST_RUN and all(wire.content == "n" for wire, _at in run):
            pattern = "".join(nibbles_pattern(wire, "0" * wire.maximum) for wire, _at in run)
            self._match(pattern, f"{self._cut(start, stop)}.hex()", [wire for wire, _at in run])
            return
        cut = self.fresh("h")
        self.line(f"{cut} = {self._cut(start, stop)}.hex()")
        for wire, at in run:
            first = (at - start) * 2
            if wire.maximum % 2:
                pad_at = first if wire.pad_side == "left" else first + wire.maximum
                first += wire.pad_side == "left"
                self._tests.append(f"{cut}[{pad_at}] != {wire.pad!r}")
            whole = len(run) == 1 and wire.maximum % 2 == 0
            value = cut if whole else self.fresh("v")
            if not whole:
                self.line(f"{value} = {cut}[{first}:{first + wire.maximum}]")
            self._take_nibbles(wire, value)

    def _text_run(self, run: Sequence[tuple[Wire, int]]) -> None:
        start, stop = run[0][1], run[-1][1] + run[-1][0].maximum
        cut = self._as_text(run[0][0], self._cut(start, stop))
        classes = {wire.content for wire, _at in run}
        if len(classes) > 1 and len(run) >= SHORTEST_RUN:
            pattern = "".join(_text_pattern(wire) for wire, _at in run)
            self._match(pattern, cut, [wire for wire, _at in run])
            return
        text = self.fresh("t")
        self.line(f"{text} = {cut}")
        if len(classes) == 1:
            self._check_text(run[0][0].content, text)
        for wire, at in run:
            value = text
            if len(run) > 1:
                value = self.fresh("v")
                self.line(f"{value} = {text}[{at - start}:{at - start + wire.maximum}]")
            if len(classes) > 1:
                self._check_text(wire.content, value)
            self._take(wire, value)

    def _match(self, pattern: str, text: str, wires: Sequence[Wire]) -> None:
        matcher = self.constant(re.compile(pattern).fullmatch, "MATCH")
        names = [self.fresh("v") for _ in wires]
        self.line(f"{', '.join(names)}, = {matcher}({text}).groups()")
        for wire, name in zip(wires, names, strict=True):
            self._take(wire, name)

    # ---- fields with a prefix

    def _prefixed(self, wire: Wire) -> None:
        assert wire.prefix is not None, "only a field with a prefix has many lengths"
        start = self._offset + wire.prefix.size
        if wire.key not in self._wanted:
            size = self._length(wire, wire.prefix, halved=wire.halved)
            self._move(f"{_place(self._cursor, start)} + {size}")
            return
        if wire.form == "bcd":
            self._prefixed_nibbles(wire, wire.prefix, start)
            return
        stop = self.fresh("p")
        self.line(f"{stop} = {_place(self._cursor, start)} + {self._length(wire, wire.prefix)}")
        value = self.fresh("v")
        cut = f"data[{_place(self._cursor, start)}:{stop}]"
        if wire.form == "bytes":
            self.line(f"{value} = {cut}")
        else:
            self.line(f"{value} = {self._as_text(wire, cut)}")
            self._check_text(wire.content, value)
        self._take(wire, value)
        self._cursor, self._offset = stop, 0

    def _prefixed_nibbles(self, wire: Wire, prefix: Prefix, start: int) -> None:
        count, stop, value = self.fresh("n"), self.fresh("p"), self.fresh("v")
        first = _place(self._cursor, start)
        self.line(f"{count} = {self._length(wire, prefix)}")
        self.line(f"{stop} = {first} + ({count} + 1 >> 1)")
        self.line(f"{value} = data[{first}:{stop}].hex()")
        if wire.pad:
            self.line(f"if {count} & 1:")
            pad_at, rest = ("0", "1:") if wire.pad_side == "left" else ("-1", ":-1")
            self.line(f"    if {value}[{pad_at}] != {wire.pad!r}: raise ValueError")
            self.line(f"    {value} = {value}[{rest}]")
        self._take_nibbles(wire, value)
        self._cursor, self._offset = stop, 0

    def _length(self, wire: Wire, prefix: Prefix, halved: bool = False) -> str:
        """An expression for the length at the cursor; too large for any message when it isn't allowed."""
        at = _place(self._cursor, self._offset)
        if prefix.size == 1 and prefix.encoding in ("bcd", "binary"):
            table = lengths_by_byte(prefix.encoding, wire.minimum, wire.maximum, halved)
            return f"{self.constant(table, 'LENGTH')}[data[{at}]]"
        behind = _place(self._cursor, self._offset + prefix.size)
        if wire.maximum <= LONGEST_TABLE:
            by_prefix = lengths_by_prefix(prefix, wire.minimum, wire.maximum, halved)
            return f"{self.constant(by_prefix, 'LENGTH')}[data[{at}:{behind}]]"
        raw, count = self.fresh("b"), self.fresh("n")
        self.line(f"{raw} = data[{at}:{behind}]")
        self.line(f"{count} = int({raw}.hex(){'' if prefix.encoding == 'bcd' else ', 16'})")
        self.line(f"if not {wire.minimum} <= {count} <= {wire.maximum}: raise ValueError")
        return f"({count} + 1 >> 1)" if halved else count

    def _move(self, expression: str) -> None:
        cursor = self.fresh("p")
        self.line(f"{cursor} = {expression}")
        self._cursor, self._offset = cursor, 0

    def _as_text(self, wire: Wire, cut: str) -> str:
        if wire.page is not None:
            cut += f".translate({self.constant(wire.page, 'PAGE')})"
        return f'{cut}.decode("ascii")'

    def _opaque(self, wire: Wire) -> None:
        value, stop = self.fresh("v"), self.fresh("p")
        read = self.constant(self._readers[wire.key], "READ")
        self.line(f"{value}, {stop} = {read}(data, {_place(self._cursor, self._offset)})")
        self._take(wire, value)
        self._cursor, self._offset = stop, 0

    # ---- values

    def _take(self, wire: Wire, value: str) -> None:
        if wire.key in self._wanted:
            self.values[wire.key] = value
            if wire.only:
                self._tests.append(f"{value} not in {self.constant(frozenset(wire.only), 'ONLY')}")

    def _take_nibbles(self, wire: Wire, value: str) -> None:
        if wire.content == "n":
            self._digits.append(value)
            self._take(wire, value)
        else:
            self._tests.append(f'not {value}.replace("d", "").isdigit()')
            self._take(wire, _track(value))

    def _check_text(self, content: str, value: str) -> None:
        test = TEXT_TESTS.get(content)
        if test is None:
            self._tests.append(f"not {self.constant(CLASSES[content].allows, 'ALLOWS')}({value})")
        else:
            self._tests.append(f"not {value}.{test}()")


def nibbles_pattern(wire: Wire, value: str) -> str:
    """The nibbles of `value` and of all values that have the same length and, in a track, separator."""
    digits = "d".join(f"[0-9]{{{len(part)}}}" for part in value.split("="))
    if len(value) % 2 == 0:
        return f"({digits})"
    return f"{wire.pad}({digits})" if wire.pad_side == "left" else f"({digits}){wire.pad}"


def _track(nibbles: str) -> str:
    return f'{nibbles}.replace("d", "=")'


def _neighbours(wires: Sequence[Wire], belongs: Callable[[Wire], bool]) -> Iterator[tuple[bool, list[Wire]]]:
    """`wires` in runs of those that belong and those that don't."""
    for do_belong, run in itertools.groupby(wires, belongs):
        yield do_belong, list(run)


def _text_pattern(wire: Wire) -> str:
    return f"([{re.escape(CLASSES[wire.content].characters)}]{{{wire.maximum}}})"


def _in_threes(names: Sequence[str]) -> Iterator[str]:
    for at in range(0, len(names), 3):
        part = names[at : at + 3]
        yield part[0] if len(part) == 1 else f"({' + '.join(part)})"


# ---------------------------------------------------------------- values -> bytes


class _Token(NamedTuple):
    """A piece of what is written: kind "digits" or "hex" (nibbles as text), "text" or "bytes".

    padded: the same with its pad nibble, where the length says whether one is needed (`odd`, a variable).
    is_value: comes from the message, so it is to be tested.
    """

    kind: str
    expression: str
    page: bytes | None = None
    padded: str = ""
    odd: str = ""
    is_value: bool = False


class Writing(Source):
    """A function of a mapping's values, in the order of `names`; the bytes stand in the order of the fields.

    Neighbours of one kind become one string and are converted at once: nibbles by `fromhex`, characters by
    `encode`. The string that is tested is the very one that is written.
    """

    def __init__(self, names: Sequence[str], writers: Mapping[str, Write]) -> None:
        super().__init__(join="".join, concatenate=b"".join, fromhex=bytes.fromhex)
        self._writers = writers
        self._variables = {name: f"v{place}" for place, name in enumerate(names)}
        self._lengths: dict[str, int] = {}  # variable -> the only length allowed
        self._digits: list[str] = []  # expressions that must be digits
        self._bytes: list[str] = []  # variables that must be bytes
        self._texts: dict[str, list[str]] = {}  # C-level test -> variables it must hold for
        self._tests: list[str] = []
        self._padding: list[str] = []  # lines to run once everything has been tested

    def parts(self, fields: Sequence[tuple[str, Wire]], mapping: str) -> list[str]:
        """Code for all fields, each behind fixed bytes in hex; the expressions whose bytes make the whole.

        `mapping`: the expression that has the values.
        """
        tokens: list[_Token] = []
        for place, (before, wire) in enumerate(fields):
            if before:
                tokens.append(_Token("digits" if before.isdigit() else "hex", repr(before)))
            beside = (*fields[max(place - 1, 0) : place], *fields[place + 1 : place + 2])
            is_alone = not before and all(near.form != "bcd" for _before, near in beside)
            tokens += self._tokens(wire, self._variables[wire.key], is_alone)
        made, self.lines = self.lines, []
        parts = self._converted(tokens)
        runs, self.lines = self.lines, []
        self.line(f"{', '.join(self._variables.values())}, = {mapping}.values()")
        if self._lengths:
            lengths = "".join(f"len({name}), " for name in self._lengths)
            wanted = self.constant(tuple(self._lengths.values()), "LENGTHS")
            self.line(f"if ({lengths}) != {wanted}: raise ValueError")
        self.lines += made + runs
        self._refuse()
        self.lines += self._padding
        return parts

    def _refuse(self) -> None:
        tests = [f"not {text}.isdigit()" for text in _in_threes(self._digits)]
        for test, variables in self._texts.items():
            tests.append(f"not ({joined(variables)}).{test}()")
        tests += [f"type({name}) is not bytes" for name in self._bytes]
        tests += self._tests
        if tests:
            self.line(f"if {' or '.join(tests)}: raise ValueError")

    # ---- one field

    def _tokens(self, wire: Wire, value: str, is_alone: bool) -> list[_Token]:
        if wire.form == "opaque":
            return [_Token("bytes", f"{self.constant(self._writers[wire.key], 'WRITE')}({value})")]
        if wire.only:
            self._tests.append(f"{value} not in {self.constant(wire.only, 'ONLY')}")
        if wire.prefix is None:
            if wire.form == "bcd" and is_alone and wire.maximum <= SHORTEST_RUN and wire.content == "n":
                table = self.constant(short_numbers(wire.maximum, wire.pad_side, wire.pad)[1], "SHORT")
                return [_Token("bytes", f"{table}[{value}]")]
            self._lengths[value] = wire.maximum
            return self._content(wire, value, "")
        count = self.fresh("n")
        self.line(f"{count} = len({value})")
        return [self._prefix(wire, wire.prefix, count), *self._content(wire, value, count)]

    def _prefix(self, wire: Wire, prefix: Prefix, count: str) -> _Token:
        kind = "bytes"
        if (prefix.encoding, wire.form) == ("bcd", "bcd"):
            kind = "digits"
        elif wire.form == "text" and prefix.encoding == ("ascii" if wire.page is None else "ebcdic"):
            kind = "text"
        if wire.maximum > LONGEST_TABLE:
            function = functools.partial(checked_prefix, prefix, wire.minimum, wire.maximum)
            return _Token("bytes", f"{self.constant(function, 'PREFIX')}({count})")
        table = prefixes_by_length(prefix, wire.minimum, wire.maximum, kind != "bytes")
        return _Token(
            kind, f"{self.constant(table, 'PREFIX')}[{count}]", wire.page if kind == "text" else None
        )

    def _content(self, wire: Wire, value: str, count: str) -> list[_Token]:
        if wire.form == "bytes":
            self._bytes.append(value)
            return [_Token("bytes", value)]
        if wire.form == "text":
            test = TEXT_TESTS.get(wire.content)
            if test is None:
                self._tests.append(f"not {self.constant(CLASSES[wire.content].allows, 'ALLOWS')}({value})")
            else:
                self._texts.setdefault(test, []).append(value)
            return [_Token("text", value, wire.page, is_value=True)]
        if wire.content == "n":
            return self._digits_content(wire, value, count)
        self._tests.append(f'not {value}.replace("=", "").isdigit()')
        track = _Token("hex", f'{value}.replace("=", "d")')
        if not wire.pad or (not count and wire.maximum % 2 == 0):
            return [track]
        pad = _Token("hex", repr(wire.pad) if not count else self._pad(wire, count))
        return [pad, track] if wire.pad_side == "left" else [track, pad]

    def _digits_content(self, wire: Wire, value: str, count: str) -> list[_Token]:
        if count and wire.pad:
            both = [self._pad(wire, count), value]
            padded = ", ".join(both if wire.pad_side == "left" else both[::-1])
            return [_Token("digits", value, padded=padded, odd=count, is_value=True)]
        digits = _Token("digits", value, is_value=True)
        if count or wire.maximum % 2 == 0:
            return [digits]
        pad = _Token("digits" if wire.pad.isdigit() else "hex", repr(wire.pad))
        return [pad, digits] if wire.pad_side == "left" else [digits, pad]

    def _pad(self, wire: Wire, count: str) -> str:
        return f"{self.constant(pads(wire.pad), 'PAD')}[{count} & 1]"

    # ---- neighbours

    def _converted(self, tokens: Sequence[_Token]) -> list[str]:
        parts = []
        for run in _runs(tokens, _is_one_conversion):
            if run[0].kind == "bytes":
                parts += [token.expression for token in run]
            elif run[0].kind == "text":
                parts.append(self._text_run(run))
            else:
                pieces = [piece for part in _runs(run, _is_one_kind) for piece in self._nibbles(part)]
                parts.append(f"fromhex({joined(pieces)})")
        return parts

    def _nibbles(self, run: Sequence[_Token]) -> list[str]:
        expressions = [token.expression for token in run]
        if run[0].kind == "hex" or not any(token.is_value for token in run):
            return expressions
        text = self.fresh("r")
        self.line(f"{text} = {joined(expressions)}")
        self._digits.append(text)
        counts = [token.odd for token in run if token.odd]
        if counts:
            padded = ", ".join(token.padded or token.expression for token in run)
            odd = counts[0] if len(counts) == 1 else f"({' | '.join(counts)})"
            self._padding.append(f"if {odd} & 1: {text} = join(({padded}))")
        return [text]

    def _text_run(self, run: Sequence[_Token]) -> str:
        text = run[0].expression
        if len(run) > 1:
            text = self.fresh("t")
            self.line(f"{text} = {joined([token.expression for token in run])}")
        self._tests.append(f"not {text}.isascii()")
        values = [token.expression for token in run if token.is_value]
        for variables in self._texts.values():
            if len(variables) > 1 and set(variables) == set(values):
                variables[:] = [text]  # a prefix of digits passes every test
        if run[0].page is None:
            return f"{text}.encode()"
        return f"{text}.encode().translate({self.constant(inverted(run[0].page), 'PAGE')})"


def _runs(tokens: Sequence[_Token], belongs: Callable[[_Token, _Token], bool]) -> list[list[_Token]]:
    runs: list[list[_Token]] = []
    for token in tokens:
        if runs and belongs(runs[-1][-1], token):
            runs[-1].append(token)
        else:
            runs.append([token])
    return runs


def _is_one_conversion(one: _Token, other: _Token) -> bool:
    nibbles = ("digits", "hex")
    return (one.kind in nibbles and other.kind in nibbles) or (one.kind, one.page) == (other.kind, other.page)


def _is_one_kind(one: _Token, other: _Token) -> bool:
    return one.kind == other.kind
