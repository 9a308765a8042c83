"""Lengths: what a length in a field's unit is in bytes and in characters; numbers as they stand on the wire.

Shared by contents, fields and composites; nothing here knows values.
"""

from __future__ import annotations

from collections.abc import Callable

from switch.iso8583.characters import CODE_PAGES, DIGITS
from switch.iso8583.dictionary import Field
from switch.iso8583.errors import DecodeError

SHOWN_LENGTH_DIGITS = 4  # a longer "length" may be part of a card number: not shown
_EBCDIC_DIGITS = {ord(digit): 0xF0 + int(digit) for digit in DIGITS}  # in every code page


def size_bytes(field: Field, length: int) -> int:
    """Bytes of content for a length in the field's unit."""
    unit = field.unit
    if field.encoding == "bcd":
        if unit == "bytes":
            return length
        if field.content == "x+n" and field.sign_form != "nibble":
            return 1 + length // 2
        return (length + 1) // 2
    if _doubles(field):
        return length * 2
    return length // 2 if unit == "nibbles" and not is_in_hex(field) else length


def units_of(field: Field, size: int) -> int:
    """The length in the field's unit of so many bytes of content; of BCD the greater of the two."""
    unit = field.unit
    if field.encoding == "bcd":
        if unit == "bytes":
            return size
        if field.content == "x+n" and field.sign_form != "nibble":
            return size * 2 - 1
        return size * 2
    if _doubles(field):
        return size // 2
    return size * 2 if unit == "nibbles" and not is_in_hex(field) else size


def is_in_hex(field: Field) -> bool:
    """Whether bytes stand as hex digits."""
    return (field.content == "b" and field.encoding != "binary") or (
        field.is_composite and field.encoding == "hex"
    )


def _doubles(field: Field) -> bool:
    return is_in_hex(field) and field.unit == "bytes"


def needs_even(field: Field) -> bool:
    """Whether an odd length in the field's unit is no whole number of bytes."""
    if field.encoding == "bcd":
        return False
    if is_in_hex(field):
        return field.unit != "bytes"
    return field.unit == "nibbles"


def is_counted(field: Field) -> bool:
    """Whether the length tells the number of digits exactly."""
    return field.unit != "bytes" and field.sizing != "given"


def value_bounds(field: Field) -> tuple[int, int]:
    """Fewest and most characters (of class b: bytes) a value has."""
    minimum, maximum, _digits = field.length
    if field.encoding == "bcd":
        if field.unit != "bytes":
            return minimum, maximum
        if field.content == "x+n" and field.sign_form != "nibble":
            return max(minimum * 2 - 2, 1), maximum * 2 - 1
        return max(minimum * 2 - 1, 0), maximum * 2
    if needs_even(field):
        return (minimum + 1) // 2, maximum // 2
    return minimum, maximum


def units_of_value(field: Field, size: int) -> int:
    """The length in the field's unit of a value of so many characters (bytes)."""
    if field.encoding == "bcd" and field.unit == "bytes":
        return (size + 1) // 2
    return size * 2 if needs_even(field) else size


def range_words(field: Field) -> str:
    minimum, maximum, _digits = field.length
    unit = field.unit
    return f"{maximum} {unit}" if minimum == maximum else f"{minimum} to {maximum} {unit}"


def shown_length(number: int, digits: int) -> str:
    return f"{number}" if digits <= SHOWN_LENGTH_DIGITS else "another number"


def count_bytes(count: int) -> str:
    """ "1 byte", "2 bytes", as errors write it."""
    return f"{count} byte" if count == 1 else f"{count} bytes"


def truncated(path: str, at: int, wanted: int, got: int) -> DecodeError:
    """The refusal of content that ends too early."""
    return DecodeError(path, at, count_bytes(wanted), f"{got}")


class NoNumber(Exception):  # never leaves this module
    """A length that is none: offset, expected, got; the path is its catcher's to say."""

    def __init__(self, offset: int, expected: str, got: str) -> None:
        super().__init__()
        self.offset, self.expected, self.got = offset, expected, got

    def explained(self, path: str) -> DecodeError:
        return DecodeError(path, self.offset, self.expected, self.got)


def highest_number(encoding: str, digits: int) -> int:
    return int({"binary": 256, "hex": 16}.get(encoding, 10) ** digits) - 1


def number_reader(
    encoding: str, digits: int, size: int, code_page: str
) -> Callable[[bytes, str, str, int, int], int]:
    """(data, hex, characters, offset, end) -> the number there, digits only: no sign, space or underscore."""
    if encoding == "binary":

        def read_binary(data: bytes, hexed: str, characters: str, at: int, end: int) -> int:
            if at + size > end:
                raise NoNumber(at, count_bytes(size), f"{end - at}")
            return int.from_bytes(data[at : at + size], "big") if size > 1 else data[at]

        return read_binary
    if encoding == "bcd":

        def read_bcd(data: bytes, hexed: str, characters: str, at: int, end: int) -> int:
            if at + size > end:
                raise NoNumber(at, count_bytes(size), f"{end - at}")
            text = hexed[at * 2 : (at + size) * 2]
            if not text.isdigit():
                place = next(place for place, nibble in enumerate(text) if nibble not in DIGITS)
                raise NoNumber(at + place // 2, "a length in BCD", f"nibble {text[place].upper()}")
            if digits % 2 and text[0] != "0" and digits > SHOWN_LENGTH_DIGITS:
                raise NoNumber(at, f"a length of {digits} digits", "one more")
            return int(text)

        return read_bcd
    page = CODE_PAGES[code_page].decode if encoding == "ebcdic" else None
    good = "0123456789ABCDEF" if encoding == "hex" else DIGITS
    base = 16 if encoding == "hex" else 10
    words = {
        "ascii": "a length in ASCII digits",
        "ebcdic": "a length in EBCDIC digits",
        "hex": "a length in hex digits",
    }[encoding]

    def read_text(data: bytes, hexed: str, characters: str, at: int, end: int) -> int:
        if at + size > end:
            raise NoNumber(at, count_bytes(size), f"{end - at}")
        text = characters[at : at + size] if page is None else page(data[at : at + size])
        if text.strip(good):
            place = next(place for place, character in enumerate(text) if character not in good)
            raise NoNumber(at + place, words, f"byte 0x{data[at + place]:02X}")
        for character in text:
            if character not in good:
                place = text.index(character)
                raise NoNumber(at + place, words, f"byte 0x{data[at + place]:02X}")
        return int(text, base)

    return read_text


def number_writer(encoding: str, digits: int, code_page: str) -> Callable[[int], bytes]:
    """number -> its bytes; the number is known to fit."""
    if encoding == "binary":
        return lambda number: number.to_bytes(digits, "big")
    if encoding == "bcd":
        places = (digits + 1) // 2 * 2
        return lambda number: bytes.fromhex(f"{number:0{places}}")
    if encoding == "hex":
        return lambda number: b"%0*X" % (digits, number)
    if encoding == "ebcdic":
        return lambda number: (f"{number:0{digits}}").translate(_EBCDIC_DIGITS).encode("latin-1")
    return lambda number: b"%0*d" % (digits, number)
