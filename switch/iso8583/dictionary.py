"""A dialect as data: the shapes that a dictionary file is read into.

Frozen and complete: defaults are filled in, what one dialect takes from another is merged. Reading files is
`dictionary_file`'s work, bytes of messages are `codec`'s; nothing here does either.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from switch.iso8583.errors import FORMAT_ERROR, INVALID_TRANSACTION
from switch.iso8583.masks import Mask

# Bits of the primary and secondary bitmap that announce a further bitmap, never fields.
BITMAP_BITS = (1, 65)
HIGHEST_FIELD = 128
HIGHEST_TERTIARY_FIELD = 192
HEADER = "header"  # the path under which the parts of a message header stand
# Behind a tag's name: the bytes of its length, where these aren't in the shortest form.
LENGTH_MARK = "@length"
# Composites within composites: deeper than any network's private data, bounded so that a loop of mistakes
# in a file can't exhaust the stack. Depth comes from the dictionary alone, never from a message.
DEEPEST = 8


class Text(NamedTuple):
    """A text for people, in English and Persian."""

    en: str
    fa: str


class Length(NamedTuple):
    """How long a field is, in its unit. `prefix_digits`: of its prefix (bytes when binary), 0 without one."""

    minimum: int
    maximum: int
    prefix_digits: int


class Prefix(NamedTuple):
    """The length before a field's content.

    encoding: ascii, bcd, ebcdic, binary (big-endian) or hex (ASCII); digits: how many, of binary how many
    bytes; size: bytes on the wire; inclusive: it counts itself too (then always in bytes).
    """

    encoding: str
    digits: int
    size: int
    inclusive: bool = False


class Pad(NamedTuple):
    """The nibble that fills an odd number of BCD digits (one lower-case hex digit) and its side."""

    side: str
    nibble: str


class Fill(NamedTuple):
    """What fills a short value of a fixed-length field, and its side: stripped by decode, put by encode.

    character: one character (text), or one byte as two hex digits (class b).
    """

    side: str
    character: str


class TlvForm(NamedTuple):
    """How tagged data is laid out.

    kind: "simple", or "ber" (then only padding, repeats and keeps_unknown count).
    tag_encoding: binary (named in hex), ascii, ebcdic, bcd (named by their digits); tag_size: bytes for
    binary, else characters or digits; length_encoding, length_digits: as in `Prefix`; *_bytes: on the wire.
    length_first: the length stands before the tag; length_covers_tag: it counts the tag's bytes too.
    padding: bytes ("00", "FF") that may stand between BER-TLV objects, kept under their own name.
    repeats: a tag may come again; the second is named "TAG#2".
    any_length: BER lengths needn't be in their shortest form; another is kept under "TAG@length".
    keeps_misfits: a known tag whose length or content isn't as the dictionary says is kept as bytes.
    """

    kind: str
    tag_encoding: str = "binary"
    tag_size: int = 1
    tag_bytes: int = 1
    length_encoding: str = "binary"
    length_digits: int = 1
    length_bytes: int = 1
    length_first: bool = False
    length_covers_tag: bool = False
    padding: tuple[str, ...] = ()
    repeats: bool = False
    keeps_unknown: bool = True
    any_length: bool = False
    keeps_misfits: bool = False


class BitmapForm(NamedTuple):
    """A bitmap: of the message (8, 16 or 24 bytes) or of a bitmapped field (any size).

    encoding: binary, hex (ASCII) or ebcdic (hex digits in EBCDIC); size: bytes that always stand.
    first_bit: "announces" further 8 bytes (with size 16: is set when these hold a field), always "set",
    always "clear", "any" (nobody cares; the message carries field "1" where it isn't as "announces" has it),
    or an ordinary "field" (bitmapped fields only).
    allows_empty: an announced bitmap without fields is accepted; the message carries it as field "1".
    tertiary: None, 65 (bit 65 announces 8 bytes right behind the others), or the number of the field that
    holds the tertiary bitmap (in its own place; fields 129 to 192 follow after 128).
    """

    encoding: str = "binary"
    size: int = 8
    first_bit: str = "announces"
    allows_empty: bool = False
    tertiary: int | None = None
    tertiary_in_field: bool = False
    hex_case: str = "upper"  # of hex digits: "upper" or "lower"


@dataclass(frozen=True, slots=True)
class Field:
    """One field ("35"), tag ("48.01"), subfield ("127.25.3") or header part ("header.1").

    content: class of its values: n digits, z track 2, a, an, anp, as, ns, ans characters, h hex digits as
    text, x+n sign and digits, b bytes; or how it is composed: tlv, positional, bitmapped.
    encoding: bcd, ascii, ebcdic, binary, hex. Composites: binary (as it stands) or hex (ASCII hex digits).
    length, unit: how long values are; unit is digits, nibbles, characters or bytes.
    sizing: "fixed", "prefixed", or "given" by what holds it (a tag's length; the rest of a composite).
    """

    path: str
    name: str
    title: Text
    content: str
    encoding: str
    length: Length
    pad: Pad | None
    mask: Mask
    tags: Mapping[str, Field]  # tlv: by name
    unit: str = "bytes"
    sizing: str = "fixed"
    prefix: Prefix | None = None
    fill: Fill | None = None
    code_page: str = "cp500"
    description: Text | None = None
    only: tuple[str, ...] = ()  # the only values allowed; for class b as upper-case hex
    meanings: Mapping[str, Text] = field(default_factory=dict)
    tlv: TlvForm | None = None
    subfields: Mapping[str, Field] = field(default_factory=dict)  # positional (in order), bitmapped
    bitmap: BitmapForm | None = None  # bitmapped
    repeat: int = 0  # positional: the group stands 1 to `repeat` times, named "1", "2", ...; 0 = no group
    optional: bool = False  # positional: it and all behind it may be missing at the end
    signs: tuple[str, str] = ("C", "D")  # x+n
    sign_form: str = "ascii"  # x+n in bcd: sign as "ascii" or "ebcdic" byte, or as "nibble" C or D
    hex_case: str = "upper"  # encoding hex, class h: "upper" or "lower"
    all_nibbles: bool = False  # z in bcd: nibbles A to F are all characters of a track, not D alone

    @property
    def key(self) -> str:
        """The last step of its path."""
        return self.path.rpartition(".")[2]

    @property
    def number(self) -> int:
        """Number of a field; ValueError for a tag or part."""
        return int(self.path)

    @property
    def is_composite(self) -> bool:
        return self.content in ("tlv", "positional", "bitmapped")

    @property
    def children(self) -> Mapping[str, Field]:
        """Known tags or subfields."""
        return self.tags if self.content == "tlv" else self.subfields

    def walk(self) -> Iterator[Field]:
        """This field and everything the dictionary knows inside it, outer before inner."""
        yield self
        for child in self.children.values():
            yield from child.walk()


class Condition(NamedTuple):
    """A numbered condition of presence ("C3"): the field must be there when `tests` hold.

    tests: (path, how, values): how is "present", "absent", "equals", "not", "starts"; all of a group must
    hold, one group of `groups` is enough. otherwise: what the field is else: "optional" or "absent".
    """

    number: str
    text: Text
    groups: tuple[tuple[tuple[str, str, tuple[str, ...]], ...], ...]
    otherwise: str


@dataclass(frozen=True, slots=True)
class MessageRule:
    """Presence in one message.

    processing_code: None = DE 3 isn't looked at, "*" = any, else six characters, "*" for any digit.
    mandatory, optional: paths; "*" in optional: every other field may stand.
    conditional: path -> number of the condition. echoed: paths an answer repeats from its request.
    """

    name: str
    title: Text
    mtis: tuple[str, ...]
    processing_code: str | None
    mandatory: tuple[str, ...]
    optional: tuple[str, ...]
    one_of: tuple[tuple[str, ...], ...]
    conditional: Mapping[str, str] = field(default_factory=dict)
    echoed: tuple[str, ...] = ()


class ResponseCode(NamedTuple):
    """Meaning of a DE 39. `transient`: the outcome isn't remembered, the same request may succeed later."""

    title: Text
    transient: bool


class MacPlace(NamedTuple):
    """Fields of the MAC without and with a secondary bitmap, and its size in bytes.

    secondary: None in a dialect without fields above 64.
    required: whether `check` misses it; dialects whose links may do without say false.
    """

    primary: int
    secondary: int | None
    size: int
    required: bool = True

    @property
    def numbers(self) -> tuple[int, ...]:
        return (self.primary,) if self.secondary is None else (self.primary, self.secondary)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(map(str, self.numbers))


@dataclass(frozen=True, slots=True)
class Dictionary:
    """All that a dictionary file says. Also the captions (mask and title per path) of its messages."""

    name: str
    version: int
    description: Text
    mac: MacPlace | None
    fields: Mapping[int, Field]
    messages: tuple[MessageRule, ...]
    network_codes: Mapping[str, Text]
    response_codes: Mapping[str, ResponseCode]
    reasons: Mapping[str, Text]
    mti_encoding: str = "bcd"
    bitmap: BitmapForm = BitmapForm()  # noqa: RUF009 (a NamedTuple, immutable)
    header: Mapping[str, Field] = field(default_factory=dict)
    conditions: Mapping[str, Condition] = field(default_factory=dict)
    code_page: str = "cp500"
    extends: str | None = None
    # the DE 39 for what doesn't decode or lacks fields, and for messages the dialect hasn't
    format_error: str = FORMAT_ERROR
    invalid_transaction: str = INVALID_TRANSACTION

    def field_at(self, path: str) -> Field | None:
        """What the dictionary knows at `path`: field, tag, subfield or header part."""
        found, rest = self._nearest(path)
        return None if rest else found

    def mask_of(self, path: str) -> Mask:
        """Mask rule of a path; what isn't known is shown as the nearest known thing that holds it."""
        found, _rest = self._nearest(path)
        return Mask.HIDDEN if found is None else found.mask

    def title_of(self, path: str) -> str:
        """English title of a path, empty when the dictionary doesn't know it."""
        found = self.field_at(path)
        return "" if found is None else found.title.en

    def all_fields(self) -> Iterator[Field]:
        """Every field, tag, subfield and header part, outer before inner."""
        for part in self.header.values():
            yield from part.walk()
        for top in self.fields.values():
            yield from top.walk()

    def _nearest(self, path: str) -> tuple[Field | None, tuple[str, ...]]:
        """The innermost known field on the way to `path`, and the steps beyond it."""
        first, *steps = path.split(".")
        if first == HEADER:
            if not steps:
                return None, ()
            found = self.header.get(steps.pop(0))
        else:
            found = self.fields.get(int(first)) if first.isdecimal() and first.isascii() else None
        repetition = found is not None and found.repeat > 0
        while found is not None and steps:
            if repetition and steps[0].isdecimal():
                steps.pop(0)
                repetition = False
                continue
            if found.tlv is not None and found.tlv.any_length and steps[0].endswith(LENGTH_MARK):
                break  # how a length was written is no value of its tag
            child = found.children.get(steps[0]) or found.children.get(steps[0].partition("#")[0])
            if child is None:
                break
            found = child
            repetition = child.repeat > 0
            steps.pop(0)
        return found, tuple(steps)
