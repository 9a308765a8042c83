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
    """The text of one cut while it is written. A field begins `beyond` bytes behind `at`."""

    def __init__(self, fixed: dict[str, str]) -> None:
        self._fixed = Values(fixed)
        self._lines = ["def cut(body):", "    at = 0"]
        self._names: list[str] = []
        self._beyond = 0

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
            wanted = self._fixed[name].encode("ascii")
            self._say(f"if {self._next(len(wanted))} != {wanted!r}: return None")
        else:
            _WRITERS[type(field)](self, self._value(name), field)

    def _value(self, name: str) -> str:
        self._names.append(f"{name}_value")
        return self._names[-1]

    def _say(self, line: str) -> None:
        self._lines.append("    " + line)

    def _next(self, count: int) -> str:
        """The next bytes, as an expression; they count as read."""
        before, self._beyond = self._beyond, self._beyond + count
        return f"body[at + {before}:at + {self._beyond}]"

    def _go(self, further: str) -> None:
        self._say(f"at += {self._beyond} + {further}")
        self._beyond = 0

    def text(self, value: str, field: Text) -> None:
        self._fixed_length(value, field.count, field.shape[-1])

    def sized(self, value: str, field: Sized) -> None:
        self._fixed_length(value, field.size(self._fixed), field.shape[-1])

    def _fixed_length(self, value: str, count: int, kind: str) -> None:
        if kind == "H":
            self._say(f"{value} = unhexlify({self._next(count)})")
        elif kind == "n":
            self._say(f"{value} = {self._next(count)}.decode()")
            self._digits(value)
        else:
            raise NotImplementedError

    def _digits(self, value: str) -> None:
        self._say(f"if not ({value}.isascii() and {value}.isdigit()): return None")

    def counted(self, value: str, field: Counted) -> None:
        self._say(f"count = {self._next(field.count_digits)}")
        if field.base == 16:
            self._say("count = int.from_bytes(unhexlify(count))")
        else:
            self._say("if not count.isdigit(): return None")
            self._say("count = int(count)")
        self._go("0")
        self._say(f"{value} = body[at:at + count * {field.per}]")
        self._go(f"count * {field.per}")
        if field.kind == "H":
            self._say(f"{value} = unhexlify({value})")
        elif field.kind == "n":
            self._say(f"{value} = {value}.decode()")
            self._digits(value)

    def until(self, value: str, field: Until) -> None:
        self._go("0")
        self._say(f"count = body.find({field.mark!r}, at, at + {field.most + 1}) - at")
        self._say(f"if count < {field.least}: return None")
        self._say(f"{value} = body[at:at + count].decode()")
        self._digits(value)
        self._go(f"count + {len(field.mark)}")

    def key(self, value: str, field: Key) -> None:
        self._go("0")
        self._say(f"length = body[at + {_LENGTH_IN_BLOCK.start}:at + {_LENGTH_IN_BLOCK.stop}]")
        self._say("if body[at:at + 1] != b'S' or not length.isdigit(): return None")
        self._say("end = at + 1 + int(length)")
        self._say(f"{value} = body[at:end]")
        self._say("at = end")

    def suffix(self, value: str, field: SuffixField) -> None:
        self._say(f"{value} = body[at + {self._beyond}:]")


_WRITERS: Final[dict[type, Callable[[_Source, str, Any], None]]] = {
    Text: _Source.text,
    Sized: _Source.sized,
    Counted: _Source.counted,
    Until: _Source.until,
    Key: _Source.key,
    SuffixField: _Source.suffix,
}
