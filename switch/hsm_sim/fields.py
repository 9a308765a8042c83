"""The kinds of fields in host commands, as `construct` declarations: text of an alphabet, key tokens, PIN
blocks, counted data, optional parts, and what may follow every request (LMK identifier, trailer).

Each knows how to parse and to build itself, and how it is written in the reference (`shape`). Nothing here
opens a key or a PIN block. Whatever does not fit raises Refused with the code that the command gives for it.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from construct import (  # type: ignore[import-untyped]
    Construct,
    SizeofError,
    Struct,
    Subconstruct,
)

from switch.hsm_sim.errors import Refused

TRAILER_MARK: Final = b"\x19"
LONGEST_TRAILER: Final = 32  # characters, as the real box allows

_ALPHABETS: Final = {
    "n": b"0123456789",
    "H": b"0123456789ABCDEFabcdef",
    "A": bytes(range(0x20, 0x7F)),
}
_TAGGED_HEX: Final = {"U": 32, "X": 32, "T": 48, "Y": 48, "Z": 16}
_BLOCK_TAGS: Final = "SR"
_HEADER_CHARACTERS: Final = 16  # of a key block; the length is in its characters 2 to 5
_SUFFIX_MARKS: Final = (b"%", b"&", b"#", b";", TRAILER_MARK)
_HEX_LETTERS: Final = frozenset("0123456789ABCDEF")


class Token(NamedTuple):
    """A key as a host holds it. scheme: Z for a bare single key, U T X Y as the tag says, D for a bare double
    key, S an LMK key block, R an X9.143 block; value: what follows the tag."""

    scheme: str
    value: str

    def __repr__(self) -> str:
        return f"<Token {self.scheme}>"

    @property
    def text(self) -> str:
        """As it travels."""
        return self.value if self.scheme in "ZD" else self.scheme + self.value

    @property
    def is_block(self) -> bool:
        return self.scheme in _BLOCK_TAGS

    @property
    def algorithm(self) -> str:
        """X9.143 letter of the key inside; keys without a header are TDES keys."""
        return self.value[7] if self.is_block else "T"

    @property
    def usage(self) -> str:
        """X9.143 usage of a key block, empty for other tokens."""
        return self.value[5:7] if self.is_block else ""


class Values(dict[str, Any]):
    """Fields by name, as attributes too. As construct's Container, without its order and its locks: making
    and asking one is the hottest place of a request."""

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...
    else:
        __getattr__ = dict.__getitem__


class Record(Struct):  # type: ignore[misc]
    """A Struct whose fields see the ones before them, without the bookkeeping for nesting that it would do
    for each request: three times as fast."""

    def __init__(self, *fields: Construct) -> None:
        super().__init__(*fields)
        self._named = tuple((field.name, field.subcon) for field in self.subcons)

    def _parse(self, stream: io.BytesIO, context: Any, path: str) -> Values:
        values = Values()
        for name, field in self._named:
            values[name] = field._parse(stream, values, name)
        return values

    def _build(self, value: Any, stream: io.BytesIO, context: Any, path: str) -> Any:
        values = Values(value)
        for name, field in self._named:
            field._build(values.get(name), stream, values, name)
        return value


class Field(Construct):  # type: ignore[misc]
    """One field. shape: how the reference writes it."""

    shape = ""

    def _sizeof(self, context: Any, path: str) -> int:
        raise SizeofError(path=path)


def refused(path: str, what: str, code: str = "15") -> Refused:
    """A refusal that names the field."""
    return Refused(code, f"{path.rsplit('-> ', 1)[-1]}: {what}")


class Text(Field):
    """A fixed number of characters. kind: n digits, H hex digits, A printable. one_of: the only values.

    code: given when the field does not fit.
    """

    def __init__(self, count: int, kind: str, code: str = "15", one_of: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.count, self.code, self.one_of = count, code, frozenset(one_of)
        self.allowed = _ALPHABETS[kind]
        self.shape = f"{count}{kind}"

    def _parse(self, stream: io.BytesIO, context: Any, path: str) -> str:
        data = stream.read(self.count)
        if len(data) < self.count:
            raise refused(path, "the request ends here")
        if data.translate(None, self.allowed):
            raise refused(path, f"not {self.shape}", self.code)
        text = data.decode("ascii")
        if self.one_of and text not in self.one_of:
            raise refused(path, "not a known value", self.code)
        return text

    def _build(self, value: str, stream: io.BytesIO, context: Any, path: str) -> str:
        data = value.encode("ascii")
        if len(data) != self.count or data.translate(None, self.allowed):
            raise refused(path, f"not {self.shape}")
        stream.write(data)
        return value


class Key(Field):
    """A key token. bare: hex digits of a token without tag (16, or 32 where an operand is a key pair)."""

    shape = "k"

    def __init__(self, bare: int = 16) -> None:
        super().__init__()
        self.bare = bare

    def _parse(self, stream: io.BytesIO, context: Any, path: str) -> Token:
        tag = stream.read(1).decode("latin-1")
        if tag in _TAGGED_HEX:
            return Token(tag, self._hex(stream.read(_TAGGED_HEX[tag]), _TAGGED_HEX[tag], path))
        if tag and tag in _BLOCK_TAGS:
            return Token(tag, self._block(stream, path))
        if tag.upper() in _HEX_LETTERS:
            hex_digits = tag.encode() + stream.read(self.bare - 1)
            return Token("Z" if self.bare == 16 else "D", self._hex(hex_digits, self.bare, path))
        raise refused(path, "not a key token", "15" if not tag else "26")

    def _build(self, value: Token, stream: io.BytesIO, context: Any, path: str) -> Token:
        stream.write(value.text.encode("ascii"))
        return value

    @staticmethod
    def _hex(data: bytes, count: int, path: str) -> str:
        if len(data) != count or data.translate(None, _ALPHABETS["H"]):
            raise refused(path, f"a key of this scheme has {count} hex digits")
        return data.decode("ascii").upper()

    @staticmethod
    def _block(stream: io.BytesIO, path: str) -> str:
        header = stream.read(_HEADER_CHARACTERS)
        if len(header) < _HEADER_CHARACTERS or not header[1:5].isdigit():
            raise refused(path, "a key block begins with 16 characters, its length in the 2nd to 5th", "83")
        rest = int(header[1:5]) - _HEADER_CHARACTERS
        block = header + stream.read(max(rest, 0))
        if rest < 0 or len(block) != rest + _HEADER_CHARACTERS or block.translate(None, _ALPHABETS["A"]):
            raise refused(path, "the key block is shorter than it says", "83")
        return block.decode("ascii")


class Sized(Field):
    """Hex digits whose count another field decides."""

    def __init__(self, count: Callable[[Any], int], shape: str, kind: str = "H") -> None:
        super().__init__()
        self.size, self.shape, self.allowed = count, shape, _ALPHABETS[kind]

    def _parse(self, stream: io.BytesIO, context: Any, path: str) -> str:
        count = self.size(context)
        data = stream.read(count)
        if len(data) != count or data.translate(None, self.allowed):
            raise refused(path, f"not {count} characters as they have to be here")
        return data.decode("ascii").upper()

    def _build(self, value: str, stream: io.BytesIO, context: Any, path: str) -> str:
        stream.write(value.encode("ascii"))
        return value


class Until(Field):
    """Digits up to a mark, which is taken too."""

    def __init__(self, mark: bytes, least: int, most: int) -> None:
        super().__init__()
        self.mark, self.least, self.most = mark, least, most
        self.shape = f"{least}–{most}n {mark.decode()}"

    def _parse(self, stream: io.BytesIO, context: Any, path: str) -> str:
        start = stream.tell()
        window = stream.read(self.most + 1)
        end = window.find(self.mark)
        if not self.least <= end <= self.most or not window[:end].isdigit():
            raise refused(path, f"not {self.least} to {self.most} digits and {self.mark.decode()!r}")
        stream.seek(start + end + 1)
        return window[:end].decode("ascii")

    def _build(self, value: str, stream: io.BytesIO, context: Any, path: str) -> str:
        stream.write(value.encode("ascii") + self.mark)
        return value


class Counted(Field):
    """A count, then as many characters or bytes. raw: any bytes; otherwise digits or hex as `kind` says."""

    def __init__(
        self, count_digits: int, *, base: int = 16, kind: str = "", code: str = "15", per: int = 1
    ) -> None:
        super().__init__()
        self.count_digits, self.base, self.kind, self.code, self.per = count_digits, base, kind, code, per
        unit = {"": "bytes", "n": "n", "H": "H"}[kind]
        self.shape = f"{count_digits}{'H' if base == 16 else 'n'}, then that many {unit}"

    def _parse(self, stream: io.BytesIO, context: Any, path: str) -> bytes | str:
        prefix = stream.read(self.count_digits)
        alphabet = _ALPHABETS["H" if self.base == 16 else "n"]
        if len(prefix) < self.count_digits or prefix.translate(None, alphabet):
            raise refused(path, "not a length", self.code)
        count = int(prefix, self.base) * self.per
        data = stream.read(count)
        if len(data) < count:
            raise refused(path, "shorter than its length says", self.code)
        if not self.kind:
            return data
        if data.translate(None, _ALPHABETS[self.kind]):
            raise refused(path, f"not {self.kind}")
        return data.decode("ascii").upper()

    def _build(self, value: bytes | str, stream: io.BytesIO, context: Any, path: str) -> bytes | str:
        data = value if isinstance(value, bytes) else value.encode("ascii")
        count = len(data) // self.per
        prefix = f"{count:0{self.count_digits}{'X' if self.base == 16 else 'd'}}"
        if len(prefix) > self.count_digits:
            raise refused(path, "too long for its length field")
        stream.write(prefix.encode("ascii") + data)
        return value


class Flag(Field):
    """A single character that may be missing; parses to it or to an empty string."""

    def __init__(self, characters: str) -> None:
        super().__init__()
        self.characters = characters.encode("ascii")
        self.shape = f"[{' or '.join(characters)}]"

    def _parse(self, stream: io.BytesIO, context: Any, path: str) -> str:
        character = stream.read(1)
        if character and character in self.characters:
            return character.decode("ascii")
        if character:
            stream.seek(-1, io.SEEK_CUR)
        return ""

    def _build(self, value: str, stream: io.BytesIO, context: Any, path: str) -> str:
        stream.write((value or "").encode("ascii"))
        return value


class Part(Subconstruct):  # type: ignore[misc]
    """A field that is there only sometimes: when `there` says so of the fields before it, or, with `mark`,
    when this character comes next (it is taken). Otherwise None."""

    def __init__(
        self, field: Construct, when: str, there: Callable[[Any], bool] | None = None, mark: str = ""
    ) -> None:
        super().__init__(field)
        self.when, self.there, self.mark = when, there, mark.encode("ascii")
        self.shape = f"[{mark and mark + ' '}{getattr(field, 'shape', '')}]"

    def _parse(self, stream: io.BytesIO, context: Any, path: str) -> Any:
        if self.there is not None and not self.there(context):
            return None
        if self.mark:
            character = stream.read(1)
            if character != self.mark:
                if character:
                    stream.seek(-1, io.SEEK_CUR)
                return None
        return self.subcon._parse(stream, context, path)

    def _build(self, value: Any, stream: io.BytesIO, context: Any, path: str) -> Any:
        if value is None:
            return None
        stream.write(self.mark)
        return self.subcon._build(value, stream, context, path)


class MasterKeyPin(Field):
    """A PIN under the LMK: one digit more than the PIN. Its length is said nowhere: it is what is left when
    the `after` characters that follow it are counted back from the request's end (or suffix, or a `;`)."""

    shape = "5–13n"

    def __init__(self, after: int) -> None:
        super().__init__()
        self.after = after

    def _parse(self, stream: io.BytesIO, context: Any, path: str) -> str:
        start = stream.tell()
        rest = stream.read()
        marks = [at for mark in _SUFFIX_MARKS if (at := rest.find(mark)) >= 0]
        count = min(marks, default=len(rest)) - self.after
        if not 5 <= count <= 13 or not rest[:count].isdigit():
            raise refused(path, "not a PIN under the LMK and the fields after it")
        stream.seek(start + count)
        return rest[:count].decode("ascii")

    def _build(self, value: str, stream: io.BytesIO, context: Any, path: str) -> str:
        stream.write(value.encode("ascii"))
        return value


class Account(Field):
    """The card number as PIN blocks use it: the 12 digits before the check digit. Where a format of the
    request is 48 the whole card number is needed: 12 to 19 digits and `;`."""

    shape = "12n, with format 48: 12–19n ;"

    def __init__(self, *formats: str) -> None:
        super().__init__()
        self.formats = formats
        self._whole = Until(b";", 12, 19)
        self._short = Text(12, "n")

    def _parse(self, stream: io.BytesIO, context: Any, path: str) -> str:
        field = self._whole if any(context[name] == "48" for name in self.formats) else self._short
        return str(field._parse(stream, context, path))

    def _build(self, value: str, stream: io.BytesIO, context: Any, path: str) -> str:
        field = self._whole if any(context[name] == "48" for name in self.formats) else self._short
        return str(field._build(value, stream, context, path))


class Raw(Field):
    """All bytes that are left. Only in answers."""

    shape = "bytes"

    def _parse(self, stream: io.BytesIO, context: Any, path: str) -> bytes:
        return stream.read()

    def _build(self, value: bytes, stream: io.BytesIO, context: Any, path: str) -> bytes:
        stream.write(value)
        return value


class Suffix(NamedTuple):
    """What came behind a request's own fields. attributes: the fields of its `#` part by name."""

    master_key: str | None = None  # `%` and two digits
    export: str | None = None  # `&` and one character
    attributes: Any = None
    trailer: bytes | None = None  # given back with the answer


NO_SUFFIX: Final = Suffix()


class SuffixField(Field):
    """`%` LMK identifier, `&` exportability, `#` key block attributes, X'19' and a trailer; nothing after."""

    shape = "[% 2n] [& 1A] [# …] [X'19' trailer]"

    def __init__(self, attributes: Record | None) -> None:
        super().__init__()
        self.attributes = attributes

    def _parse(self, stream: io.BytesIO, context: Any, path: str) -> Suffix:
        master_key = export = attributes = trailer = None
        mark = stream.read(1)
        if not mark:
            return NO_SUFFIX
        while mark:
            if mark == b"%" and master_key is None:
                master_key = _TWO_DIGITS._parse(stream, context, "LMK identifier")
            elif mark == b"&" and export is None:
                export = _ONE_CHARACTER._parse(stream, context, "exportability")
            elif mark == b"#" and attributes is None and self.attributes is not None:
                attributes = self.attributes._parse(stream, context, path)
            elif mark == TRAILER_MARK:
                trailer = stream.read()
                if len(trailer) > LONGEST_TRAILER:
                    raise Refused("15", "the trailer is too long")
            else:
                raise Refused("15", "more data than the command has fields for")
            mark = stream.read(1)
        return Suffix(master_key, export, attributes, trailer)

    def _build(self, value: Suffix | None, stream: io.BytesIO, context: Any, path: str) -> Suffix | None:
        if value is None:
            return None
        if value.master_key is not None:
            stream.write(b"%" + value.master_key.encode("ascii"))
        if value.attributes is not None and self.attributes is not None:
            stream.write(b"#")
            self.attributes._build(value.attributes, stream, context, path)
        if value.export is not None:
            stream.write(b"&" + value.export.encode("ascii"))
        if value.trailer is not None:
            stream.write(TRAILER_MARK + value.trailer)
        return value


_TWO_DIGITS: Final = Text(2, "n")
_ONE_CHARACTER: Final = Text(1, "A")
