"""Parsers of requests generated from their declarations, for the commands a switch sends all day.

A generated parser knows the usual request only: a key block for every key, at most an LMK identifier behind
it. Anything else gives None, and the declaration itself parses the request and says what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from switch.hsm_sim.fields import (
    NO_SUFFIX,
    Counted,
    Key,
    Part,
    Record,
    Sized,
    Suffix,
    SuffixField,
    Text,
    Token,
    Values,
)

Parser = Callable[[bytes], Values | None]

MOST_TOKENS: Final = 1024  # key blocks whose form is known: those in use
_SUFFIXES: Final = {b"": NO_SUFFIX} | {b"%%%02d" % number: Suffix(f"{number:02d}") for number in range(100)}
_PRINTABLE: Final = bytes(range(0x20, 0x7F))
_SHORTEST_BLOCK: Final = 16  # its header

_tokens: dict[bytes, Token] = {}


def compiled(record: Record) -> Parser | None:
    """The parser of a request's record, or None when a field of it is of a kind that isn't generated."""
    source = _Source()
    try:
        for field in record.subcons:
            source.field(field.name, field.subcon)
    except NotImplementedError:
        return None
    return source.parser()


class _Source:
    """The text of one parser while it is written. `place`: where the next field begins, as an expression."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._known: dict[str, Any] = {"Values": Values, "tokens": _tokens, "token_of": _token_of}
        self._indent = "    "
        self._beyond = 0  # characters since `at` was set last

    def parser(self) -> Parser:
        text = "\n".join(["def parse(body):", "    values = Values()", "    at = 0", *self._lines])
        exec(compile(text + "\n    return values\n", "<request parser>", "exec"), self._known)
        parse: Parser = self._known["parse"]
        return parse

    def field(self, name: str, field: Any) -> None:
        if type(field) is Part:
            self._part(name, field)
            return
        write = _WRITERS.get(type(field))
        if write is None:
            raise NotImplementedError
        write(self, name, field)

    def say(self, line: str) -> None:
        self._lines.append(self._indent + line)

    def know(self, value: object) -> str:
        """A name for a value that the text needs."""
        name = f"known_{len(self._known)}"
        self._known[name] = value
        return name

    def place(self, further: int = 0) -> str:
        return f"at + {self._beyond + further}"

    def went(self, count: int) -> None:
        self._beyond += count

    def set_place(self, expression: str) -> None:
        self.say(f"at = {expression}")
        self._beyond = 0

    def _part(self, name: str, part: Part) -> None:
        if part.mark or part.there is None:
            raise NotImplementedError
        self.set_place(self.place())
        self.say(f"if {self.know(part.there)}(values):")
        before, self._indent = self._indent, self._indent + "    "
        self.field(name, part.subcon)
        self.set_place(self.place())
        self._indent = before
        self.say("else:")
        self.say(f"    values[{name!r}] = None")


def _text(source: _Source, name: str, field: Text) -> None:
    source.say(f"raw = body[{source.place()}:{source.place(field.count)}]")
    if field.one_of:
        texts = {one.encode("ascii"): one for one in field.one_of}
        source.say(f"text = {source.know(texts)}.get(raw)")
        source.say("if text is None: return None")
        source.say(f"values[{name!r}] = text")
    else:
        allowed = source.know(field.allowed)
        source.say(f"if len(raw) != {field.count} or raw.translate(None, {allowed}): return None")
        source.say(f"values[{name!r}] = raw.decode()")
    source.went(field.count)


def _sized(source: _Source, name: str, field: Sized) -> None:
    source.say(f"count = {source.know(field.size)}(values)")
    source.say(f"raw = body[{source.place()}:{source.place()} + count]")
    allowed = source.know(field.allowed)
    source.say(f"if len(raw) != count or raw.translate(None, {allowed}): return None")
    source.say(f"values[{name!r}] = raw.decode().upper()")
    source.set_place(f"{source.place()} + count")


def _counted(source: _Source, name: str, field: Counted) -> None:
    digits = source.know(b"0123456789ABCDEFabcdef" if field.base == 16 else b"0123456789")
    source.say(f"raw = body[{source.place()}:{source.place(field.count_digits)}]")
    source.say(f"if len(raw) != {field.count_digits} or raw.translate(None, {digits}): return None")
    source.say(f"count = int(raw, {field.base}) * {field.per}")
    source.went(field.count_digits)
    source.say(f"raw = body[{source.place()}:{source.place()} + count]")
    if field.kind:
        allowed = source.know(Text(1, field.kind).allowed)
        source.say(f"if len(raw) != count or raw.translate(None, {allowed}): return None")
        source.say(f"values[{name!r}] = raw.decode().upper()")
    else:
        source.say("if len(raw) != count: return None")
        source.say(f"values[{name!r}] = raw")
    source.set_place(f"{source.place()} + count")


def _key(source: _Source, name: str, field: Key) -> None:
    source.say(f"raw = body[{source.place(2)}:{source.place(6)}]")
    source.say(f"if body[{source.place()}:{source.place(1)}] != b'S' or not raw.isdigit(): return None")
    source.say(f"end = {source.place(1)} + int(raw)")
    source.say(f"raw = body[{source.place(1)}:end]")
    source.say("token = tokens.get(raw) or token_of(raw)")
    source.say("if token is None: return None")
    source.say(f"values[{name!r}] = token")
    source.set_place("end")


def _suffix(source: _Source, name: str, field: SuffixField) -> None:
    source.say(f"suffix = {source.know(_SUFFIXES)}.get(body[{source.place()}:])")
    source.say("if suffix is None: return None")
    source.say(f"values[{name!r}] = suffix")


_WRITERS: Final[dict[type, Callable[[_Source, str, Any], None]]] = {
    Text: _text,
    Sized: _sized,
    Counted: _counted,
    Key: _key,
    SuffixField: _suffix,
}


def _token_of(block: bytes) -> Token | None:
    """The token of an S block (without its tag) that is as long as it says; kept, for it comes again."""
    length = block[1:5]
    if len(block) < _SHORTEST_BLOCK or not length.isdigit() or int(length) != len(block):
        return None
    if block.translate(None, _PRINTABLE):
        return None
    if len(_tokens) >= MOST_TOKENS:
        _tokens.clear()
    token = _tokens[block] = Token("S", block.decode("ascii"))
    return token
