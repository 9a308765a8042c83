"""What cuts a request of one form into its fields, generated from the command's declaration.

A form fixes the fields that others hang on (a mode, a format), so that all but keys and counted data stand
where they stand. A cut that fails says nothing: the declaration itself reads the request then. What is cut
has the declaration's lengths and alphabets; what it means is for whoever asked.
"""

from __future__ import annotations

from binascii import unhexlify
from collections.abc import Callable
from typing import Any, Final

from switch.hsm_sim.fields import Counted, Key, Part, Record, Sized, SuffixField, Text, Until, Values

# Its fields in their order without those that the form fixes: a key as `S` and its block; hex digits as the
# bytes they stand for; digits as text; counted data as bytes; last the bytes behind them all, unread. Raises
# ValueError, or gives None, for a request that isn't of the form.
Cut = Callable[[bytes], tuple[Any, ...] | None]

_LENGTH_IN_BLOCK: Final = slice(2, 6)  # of a key block behind its `S`


def cut_of(record: Record, **fixed: str) -> Cut:
    """The cut of a request whose fields `fixed` have these values. Raises NotImplementedError for a kind of
    field that isn't generated."""
    source = _Source(fixed)
    for field in record.subcons:
        source.field(field.name, field.subcon)
    return source.cut()


class _Source:
    """The text of one cut while it is written. A field begins `beyond` bytes behind `at`; hex digits that
    stand side by side are read in one piece."""

    def __init__(self, fixed: dict[str, str]) -> None:
        self._fixed = Values(fixed)
        self._lines = ["def cut(body):"]
        self._names: list[str] = []
        self._at = ""  # the variable that says where, once a length was read
        self._beyond = 0
        self._wanted = b""  # fixed fields side by side that are not compared yet
        self._hex: list[tuple[str, int]] = []  # values side by side that are not read yet: name, digits

    def cut(self) -> Cut:
        known: dict[str, Any] = {"unhexlify": unhexlify}
        text = "\n".join((*self._lines, f"    return {', '.join(self._names)},"))
        exec(compile(text, "<cut>", "exec"), known)
        made: Cut = known["cut"]
        return made

    def field(self, name: str, field: Any) -> None:
        if type(field) is Part:
            if field.mark or field.there is None:
                raise NotImplementedError
            if field.there(self._fixed):
                self.field(name, field.subcon)
        elif name in self._fixed:
            self._read_hex()
            self._wanted += self._fixed[name].encode("ascii")
        else:
            self._compare()
            _WRITERS[type(field)](self, self._value(name), field)

    def _value(self, name: str) -> str:
        self._names.append(f"{name}_value")
        return self._names[-1]

    def _say(self, line: str) -> None:
        self._lines.append("    " + line)

    def _place(self, further: int = 0) -> str:
        beyond = self._beyond + further
        if not self._at:
            return str(beyond)
        return f"{self._at} + {beyond}" if beyond else self._at

    def _next(self, count: int) -> str:
        """The next bytes, as an expression; they count as read."""
        before, self._beyond = self._place(), self._beyond + count
        return f"body[{before}:{self._place()}]"

    def _go(self, further: str) -> None:
        self._move("at", f"{self._place()} + {further}" if further else self._place())

    def _move(self, variable: str, place: str) -> None:
        if variable != place:
            self._say(f"{variable} = {place}")
        self._at, self._beyond = variable, 0

    def _compare(self) -> None:
        wanted, self._wanted = self._wanted, b""
        if wanted:
            self._say(f"if {self._next(len(wanted))} != {wanted!r}: return None")

    def _read_hex(self) -> None:
        values, self._hex = self._hex, []
        digits = sum(count for _, count in values)
        if len(values) == 1:
            self._say(f"{values[0][0]} = unhexlify({self._next(digits)})")
        elif values:
            self._say(f"side_by_side = unhexlify({self._next(digits)})")
            at = 0
            for name, count in values:
                self._say(f"{name} = side_by_side[{at}:{at + count // 2}]")
                at += count // 2

    def text(self, value: str, field: Text) -> None:
        self._fixed_length(value, field.count, field.shape[-1])

    def sized(self, value: str, field: Sized) -> None:
        self._fixed_length(value, field.size(self._fixed), field.shape[-1])

    def _fixed_length(self, value: str, count: int, kind: str) -> None:
        if kind == "H" and count % 2 == 0:
            self._hex.append((value, count))
        elif kind == "n":
            self._read_hex()
            self._say(f"{value} = {self._next(count)}.decode()")
            self._digits(value)
        else:
            raise NotImplementedError

    def _digits(self, value: str) -> None:
        self._say(f"if not ({value}.isascii() and {value}.isdigit()): return None")

    def counted(self, value: str, field: Counted) -> None:
        if field.base == 16:
            self._hex.append(("count", field.count_digits))
            self._read_hex()
            self._say("count = int.from_bytes(count)")
        else:
            self._read_hex()
            self._say(f"count = {self._next(field.count_digits)}")
            self._say("if not count.isdigit(): return None")
            self._say("count = int(count)")
        self._go("")
        size = "count" if field.per == 1 else f"count * {field.per}"
        self._say(f"{value} = body[at:at + {size}]")
        self._go(size)
        if field.kind == "H":
            self._say(f"{value} = unhexlify({value})")
        elif field.kind == "n":
            self._say(f"{value} = {value}.decode()")
            self._digits(value)

    def until(self, value: str, field: Until) -> None:
        self._read_hex()
        self._go("")
        self._say(f"count = body.find({field.mark!r}, at, at + {field.most + 1}) - at")
        self._say(f"if count < {field.least}: return None")
        self._say(f"{value} = body[at:at + count].decode()")
        self._digits(value)
        self._go(f"count + {len(field.mark)}")

    def key(self, value: str, field: Key) -> None:
        self._read_hex()
        start, stop = self._place(_LENGTH_IN_BLOCK.start), self._place(_LENGTH_IN_BLOCK.stop)
        self._say(f"length = body[{start}:{stop}]")
        self._say(f"if body[{self._place()}:{self._place(1)}] != b'S' or not length.isdigit(): return None")
        self._say(f"end = {self._place(1)} + int(length)")
        self._say(f"{value} = body[{self._place()}:end]")
        self._move("at", "end")

    def suffix(self, value: str, field: SuffixField) -> None:
        self._read_hex()
        self._say(f"{value} = body[{self._place()}:]")


_WRITERS: Final[dict[type, Callable[[_Source, str, Any], None]]] = {
    Text: _Source.text,
    Sized: _Source.sized,
    Counted: _Source.counted,
    Until: _Source.until,
    Key: _Source.key,
    SuffixField: _Source.suffix,
}
