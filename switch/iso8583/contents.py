"""Contents: how one value looks in bytes - digits, tracks, amounts, characters, bytes - without any length.

A content is a pair: a reader of so many bytes, and a writer. Doubt is cheap to notice; why something is
refused is worked out on a second, slow look. Nothing here knows prefixes or composites.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from switch.iso8583.characters import CLASSES, CODE_PAGES, DIGITS, HEX_CLASSES, CharacterClass
from switch.iso8583.dictionary import Field, Pad
from switch.iso8583.errors import DecodeError, EncodeError
from switch.iso8583.lengths import is_counted, needs_even, range_words, units_of_value, value_bounds
from switch.iso8583.message import Value

# content of known size: (data, hex, characters, offset, stop, length in the field's unit) -> value
Read = Callable[[bytes, str, str, int, int, int], Value]
# value -> its bytes, without a prefix
Write = Callable[[Any], bytes]
TRACK_CHARACTERS = DIGITS + "="
# ISO/IEC 7811-2: the character of each nibble is 0x30 and the nibble.
WHOLE_TRACK = DIGITS + ":;<=>?"
_TRACK_OF_NIBBLES = str.maketrans("abcdef", ":;<=>?")
_NIBBLES_OF_TRACK = str.maketrans(":;<=>?", "abcdef")


def digits_content(field: Field) -> tuple[Read, Write]:
    if field.fill is not None:
        return _filled_digits_content(field)
    if not is_counted(field):
        return _sized_nibbles_content(field, DIGITS if field.content == "n" else _hex_nibbles(field))
    if field.content == "h":
        return _hex_nibbles_content(field)
    minimum, maximum = value_bounds(field)
    left = field.pad is not None and field.pad.side == "left"
    pad = field.pad.nibble if field.pad is not None else ""
    fromhex = bytes.fromhex

    def read(data: bytes, hexed: str, characters: str, at: int, stop: int, length: int) -> str:
        if length & 1:
            end = stop * 2
            if left:
                value, nibble = hexed[end - length : end], hexed[end - length - 1 : end - length]
            else:
                value, nibble = hexed[end - length - 1 : end - 1], hexed[end - 1 : end]
            if value.isdigit() and nibble == pad:
                return value
        else:
            value = hexed[at * 2 : stop * 2]
            if value.isdigit():
                return value
        if length == 0:
            return ""
        raise _nibble_fault(field, hexed, at, length, DIGITS)

    def write(value: Any) -> bytes:
        if (
            isinstance(value, str)
            and minimum <= len(value) <= maximum
            and value.isdigit()
            and value.isascii()
        ):
            if len(value) & 1:
                return fromhex(pad + value if left else value + pad)
            return fromhex(value)
        if value == "" and minimum == 0:
            return b""
        raise _text_refusal(field, value, "digits", DIGITS)

    return read, write


def _filled_digits_content(field: Field) -> tuple[Read, Write]:
    """Fixed digits, shorter values filled up with a nibble that is stripped again."""
    fill, pad = field.fill, field.pad
    assert fill is not None
    nibble, least, size = fill.character.lower(), field.length.minimum, field.length.maximum
    if field.unit == "bytes":
        size *= 2
    odd = pad.nibble if pad is not None and size % 2 else ""
    is_left = fill.side == "left"
    odd_left = pad is not None and pad.side == "left"

    def read(data: bytes, hexed: str, characters: str, at: int, stop: int, length: int) -> str:
        value = hexed[at * 2 : stop * 2]
        edge = odd
        if odd:
            edge, value = (value[0], value[1:]) if odd_left else (value[-1], value[:-1])
            if odd_left and edge != odd:
                raise pad_fault(at, edge)
        stripped = _stripped(value, nibble, is_left, least)
        if stripped and not stripped.isdigit():
            start = at * 2 + (1 if odd and odd_left else 0)
            start += len(value) - len(stripped) if is_left else 0
            place = next(place for place, digit in enumerate(stripped) if digit not in DIGITS)
            at = (start + place) // 2
            raise DecodeError(field.path, at, "digits", _nibble_words(stripped[place]))
        if edge != odd:
            raise pad_fault(stop - 1, edge)
        return stripped

    def pad_fault(place: int, edge: str) -> DecodeError:
        return DecodeError(field.path, place, f"pad nibble {odd.upper()}", _nibble_words(edge))

    def write(value: Any) -> bytes:
        if not isinstance(value, str) or not least <= len(value) <= size or value.strip(DIGITS):
            raise _text_refusal(field, value, "digits", DIGITS)
        filled = value.rjust(size, nibble) if is_left else value.ljust(size, nibble)
        return bytes.fromhex(odd + filled if odd_left else filled + odd)

    return read, write


def _stripped(value: str, character: str, is_left: bool, least: int) -> str:
    stripped = value.lstrip(character) if is_left else value.rstrip(character)
    if len(stripped) >= least:
        return stripped
    return value[len(value) - least :] if is_left else value[:least]


def _hex_nibbles(field: Field) -> str:
    return "0123456789abcdef"


def _shown_nibbles(field: Field, nibbles: str) -> str:
    return nibbles.upper() if field.hex_case == "upper" else nibbles


def _hex_nibbles_content(field: Field) -> tuple[Read, Write]:
    """Class h in BCD bytes with a length in digits: any nibble is content, the odd one is a pad."""
    minimum, maximum = value_bounds(field)
    pad = field.pad or Pad("left", "")
    left = pad.side == "left"
    hex_class = HEX_CLASSES[field.hex_case]

    def read(data: bytes, hexed: str, characters: str, at: int, stop: int, length: int) -> str:
        value = hexed[at * 2 : stop * 2]
        if length & 1:
            nibble, value = (value[:1], value[1:]) if left else (value[-1:], value[:-1])
            if nibble != pad.nibble:
                raise _nibble_fault(field, hexed, at, length, _hex_nibbles(field))
        return _shown_nibbles(field, value)

    def write(value: Any) -> bytes:
        if isinstance(value, str) and minimum <= len(value) <= maximum and hex_class.allows(value):
            if len(value) & 1:
                return bytes.fromhex(pad.nibble + value if left else value + pad.nibble)
            return bytes.fromhex(value)
        raise _text_refusal(field, value, hex_class.words, hex_class.characters)

    return read, write


def _sized_nibbles_content(field: Field, good: str) -> tuple[Read, Write]:
    """n and h where only the number of bytes is known: an odd value shows by a pad that is no digit."""
    minimum, maximum = value_bounds(field)
    pad = field.pad
    is_told = pad is not None and pad.nibble not in good
    left = pad is not None and pad.side == "left"
    characters_allowed = HEX_CLASSES[field.hex_case] if field.content == "h" else CLASSES["n"]
    words = "digits" if field.content == "n" else characters_allowed.words

    def read(data: bytes, hexed: str, characters: str, at: int, stop: int, length: int) -> str:
        value = hexed[at * 2 : stop * 2]
        start = at * 2
        if is_told and value:
            assert pad is not None
            if left and value[0] == pad.nibble:
                value, start = value[1:], start + 1
            elif not left and value[-1] == pad.nibble:
                value = value[:-1]
        if value.strip(good):
            place = next(place for place, nibble in enumerate(value) if nibble not in good)
            raise DecodeError(field.path, (start + place) // 2, words, _nibble_words(value[place]))
        for place, nibble in enumerate(value):
            if nibble not in good:
                raise DecodeError(field.path, (start + place) // 2, words, _nibble_words(nibble))
        if not minimum <= len(value) <= maximum:
            raise DecodeError(field.path, at, _digit_range(field), f"{len(value)} digits")
        return _shown_nibbles(field, value) if field.content == "h" else value

    def write(value: Any) -> bytes:
        if (
            not isinstance(value, str)
            or not minimum <= len(value) <= maximum
            or (value and not characters_allowed.allows(value))
        ):
            raise _text_refusal(field, value, words, characters_allowed.characters)
        if len(value) % 2:
            if pad is None:
                raise EncodeError(field.path, "an even number of digits", f"{len(value)}")
            return bytes.fromhex(pad.nibble + value if left else value + pad.nibble)
        return bytes.fromhex(value)

    return read, write


def _digit_range(field: Field) -> str:
    minimum, maximum = value_bounds(field)
    return f"{minimum} to {maximum} digits" if minimum < maximum else f"{maximum} digits"


def track_content(field: Field) -> tuple[Read, Write]:
    if field.all_nibbles:
        return _whole_track_content(field)
    minimum, maximum = value_bounds(field)
    left = field.pad is not None and field.pad.side == "left"
    pad = field.pad.nibble if field.pad is not None else ""
    counts = is_counted(field)
    fromhex = bytes.fromhex

    def read(data: bytes, hexed: str, characters: str, at: int, stop: int, length: int) -> str:
        start = at * 2
        if not counts:
            length = (stop - at) * 2
            edge = hexed[start : start + 1] if left else hexed[stop * 2 - 1 : stop * 2]
            if length and edge == pad and pad not in DIGITS:
                length -= 1
        if length & 1:
            nibble = hexed[start : start + 1] if left else hexed[start + length : start + length + 1]
            if nibble != pad:
                raise _nibble_fault(field, hexed, at, length, DIGITS + "d")
            start += left
        value = hexed[start : start + length]
        if value.replace("d", "").isdigit() or not value.strip("d"):
            if minimum <= length <= maximum:
                return value.replace("d", "=")
            raise DecodeError(field.path, at, _digit_range(field), f"{length} digits")
        raise _nibble_fault(field, hexed, at, length, DIGITS + "d")

    def write(value: Any) -> bytes:
        if isinstance(value, str) and minimum <= len(value) <= maximum and value.isascii():
            digits = value.replace("=", "")
            if digits.isdigit() or not digits:
                nibbles = value.replace("=", "d")
                if len(value) & 1:
                    if not pad:
                        raise EncodeError(field.path, "an even number of digits", f"{len(value)}")
                    nibbles = pad + nibbles if left else nibbles + pad
                return fromhex(nibbles)
        raise _text_refusal(field, value, "digits and =", TRACK_CHARACTERS)

    return read, write


def _whole_track_content(field: Field) -> tuple[Read, Write]:
    """Every nibble is a character of ISO/IEC 7811-2: the separator, sentinels, what fills the track up."""
    minimum, maximum = value_bounds(field)
    pad = field.pad
    left = pad is not None and pad.side == "left"
    counts = is_counted(field)

    def read(data: bytes, hexed: str, characters: str, at: int, stop: int, length: int) -> str:
        value = hexed[at * 2 : stop * 2]
        is_odd = length % 2 == 1
        if not counts:
            edge = value[:1] if left else value[-1:]
            is_odd = pad is not None and edge == pad.nibble and pad.nibble not in DIGITS
        if is_odd:
            assert pad is not None, "only a field with a pad has an odd length"
            nibble, value = (value[0], value[1:]) if left else (value[-1], value[:-1])
            if nibble != pad.nibble:
                place = at if left else stop - 1
                expected = f"pad nibble {pad.nibble.upper()}"
                raise DecodeError(field.path, place, expected, _nibble_words(nibble))
        if not minimum <= len(value) <= maximum:
            raise DecodeError(field.path, at, _digit_range(field), f"{len(value)} digits")
        return value.translate(_TRACK_OF_NIBBLES)

    def write(value: Any) -> bytes:
        is_track = isinstance(value, str) and not value.strip(WHOLE_TRACK) and CLASSES["z"].allows(value)
        if not is_track or "D" in value or not minimum <= len(value) <= maximum:
            raise _text_refusal(field, value, "characters of a track", WHOLE_TRACK)
        nibbles = value.translate(_NIBBLES_OF_TRACK)
        if len(nibbles) % 2:
            if pad is None:
                raise EncodeError(field.path, "an even number of digits", f"{len(nibbles)}")
            nibbles = pad.nibble + nibbles if left else nibbles + pad.nibble
        return bytes.fromhex(nibbles)

    return read, write


def _nibble_fault(field: Field, hexed: str, at: int, length: int, good: str) -> DecodeError:
    """Why the digits at byte `at` are refused: the first wrong nibble in the order of bytes."""
    size = (length + 1) // 2
    raw = hexed[at * 2 : (at + size) * 2]
    pad_place = -1
    if length & 1:
        assert field.pad is not None, "only a field with a pad has an odd length"
        pad_place = 0 if field.pad.side == "left" else len(raw) - 1
    for place, nibble in enumerate(raw):
        if place == pad_place:
            assert field.pad is not None
            if nibble != field.pad.nibble:
                expected = f"pad nibble {field.pad.nibble.upper()}"
                return DecodeError(field.path, at + place // 2, expected, _nibble_words(nibble))
        elif nibble not in good:
            words = "digits" if good == DIGITS else "digits and separators"
            return DecodeError(field.path, at + place // 2, words, _nibble_words(nibble))
    raise AssertionError("a field without fault was refused")


def _nibble_words(nibble: str) -> str:
    # a digit may belong to a card number (a pad in the wrong place): not shown
    return "a digit" if nibble in DIGITS else f"nibble {nibble.upper()}"


def amount_content(field: Field) -> tuple[Read, Write]:
    minimum, maximum = value_bounds(field)
    signs = field.signs
    words = f"{signs[0]} or {signs[1]}, then digits"
    path = field.path
    if field.encoding != "bcd":
        page = CODE_PAGES[field.code_page]
        is_ebcdic = field.encoding == "ebcdic"

        def read_text(data: bytes, hexed: str, characters: str, at: int, stop: int, length: int) -> str:
            value = page.decode(data[at:stop]) if is_ebcdic else characters[at:stop]
            if value[:1] not in signs:
                if not value and minimum == 0:
                    return value
                raise DecodeError(path, at, f"{signs[0]} or {signs[1]}", "another sign")
            _require_digits(path, value[1:], data, at + 1)
            return value

        def write_text(value: Any) -> bytes:
            _require_amount(field, value, minimum, maximum, words)
            encoded = page.encode(value) if is_ebcdic else value.encode("ascii")
            assert encoded is not None, "signs and digits stand in every code page"
            return encoded

        return read_text, write_text
    as_nibble = field.sign_form == "nibble"
    sign_bytes = {sign: sign.encode("ascii") for sign in signs}
    if field.sign_form == "ebcdic":
        sign_bytes = {sign: CODE_PAGES[field.code_page].encode(sign) or b"" for sign in signs}
    sign_at = {sign: place for place, sign in sign_bytes.items()}
    digits_read, digits_write = digits_content(_digits_of_amount(field))

    def read(data: bytes, hexed: str, characters: str, at: int, stop: int, length: int) -> str:
        if as_nibble:
            raw = hexed[at * 2 : stop * 2]
            if length % 2 and field.pad is not None:
                left = field.pad.side == "left"
                edge = raw[0] if left else raw[-1]
                if edge != field.pad.nibble:
                    place = at if left else stop - 1
                    raise DecodeError(
                        path, place, f"pad nibble {field.pad.nibble.upper()}", _nibble_words(edge)
                    )
                raw = raw[1:] if left else raw[:-1]
            start = at * 2 + (1 if length % 2 and field.pad is not None and field.pad.side == "left" else 0)
            if raw[:1].upper() not in signs:
                raise DecodeError(path, start // 2, f"sign nibble {signs[0]} or {signs[1]}", "another sign")
            for place, nibble in enumerate(raw[1:], start=1):
                if nibble not in DIGITS:
                    raise DecodeError(path, (start + place) // 2, "digits", _nibble_words(nibble))
            return raw[0].upper() + raw[1:]
        if at == stop and minimum == 0:
            return ""
        sign = sign_at.get(data[at : at + 1])
        if sign is None:
            raise DecodeError(path, at, f"{signs[0]} or {signs[1]}", "another sign")
        value = digits_read(data, hexed, characters, at + 1, stop, length - 1)
        assert isinstance(value, str)
        return sign + value

    def write(value: Any) -> bytes:
        _require_amount(field, value, minimum, maximum, words)
        if value == "":
            return b""
        if as_nibble:
            nibbles = value
            if len(value) % 2:
                if field.pad is None:
                    raise EncodeError(path, "an even number of digits with the sign", f"{len(value)}")
                left = field.pad.side == "left"
                nibbles = field.pad.nibble + value if left else value + field.pad.nibble
            return bytes.fromhex(nibbles)
        return sign_bytes[value[0]] + digits_write(value[1:])

    return read, write


def _digits_of_amount(field: Field) -> Field:
    """The digits behind a sign byte, as a field of their own."""
    minimum, maximum, _digits = field.length
    length = field.length._replace(minimum=max(minimum - 1, 0), maximum=max(maximum - 1, 1))
    return Field(
        path=field.path,
        name=field.name,
        title=field.title,
        content="n",
        encoding="bcd",
        length=length,
        pad=field.pad,
        mask=field.mask,
        tags={},
        unit=field.unit,
        sizing=field.sizing,
    )


def _require_amount(field: Field, value: Any, minimum: int, maximum: int, words: str) -> None:
    if isinstance(value, str) and minimum <= len(value) <= maximum:
        digits = value[1:]
        if value == "" or (value[0] in field.signs and not digits.strip(DIGITS)):
            return
        if value[0] not in field.signs:
            raise EncodeError(field.path, words, "another sign")
    raise _text_refusal(field, value, words, DIGITS + "".join(field.signs))


def _require_digits(path: str, value: str, data: bytes, at: int) -> None:
    if not value or (value.isdigit() and value.isascii()):
        return
    place = next(place for place, character in enumerate(value) if character not in DIGITS)
    raise DecodeError(path, at + place, "digits", f"byte 0x{data[at + place]:02X}")


def characters_content(field: Field) -> tuple[Read, Write]:
    minimum, maximum = value_bounds(field)
    character_class = HEX_CLASSES[field.hex_case] if field.content == "h" else CLASSES[field.content]
    is_good, words, good = character_class
    page = CODE_PAGES[field.code_page] if field.encoding == "ebcdic" else None
    path = field.path
    if field.fill is not None:
        return _filled_characters_content(field, character_class)
    if page is None:

        def read(data: bytes, hexed: str, characters: str, at: int, stop: int, length: int) -> str:
            value = characters[at:stop]
            if is_good(value):
                return value
            if value == "":
                return value
            raise character_fault(path, value, at, character_class, None)

        def write(value: Any) -> bytes:
            if isinstance(value, str) and minimum <= len(value) <= maximum and is_good(value):
                return value.encode("ascii")
            if value == "" and minimum == 0:
                return b""
            raise _text_refusal(field, value, words, good)

        return read, write
    from_page, to_page = page

    def read_page(data: bytes, hexed: str, characters: str, at: int, stop: int, length: int) -> str:
        value = from_page(data[at:stop])
        if is_good(value) or value == "":
            return value
        raise character_fault(path, value, at, character_class, data)

    def write_page(value: Any) -> bytes:
        if value == "" and minimum == 0:
            return b""
        if isinstance(value, str) and minimum <= len(value) <= maximum and is_good(value):
            encoded = to_page(value)
            if encoded is not None:
                return encoded
            raise EncodeError(path, f"characters of {field.code_page}", "another")
        raise _text_refusal(field, value, words, good)

    return read_page, write_page


def _filled_characters_content(field: Field, character_class: CharacterClass) -> tuple[Read, Write]:
    """Fixed characters, shorter values filled up; the fill is stripped by reading."""
    fill = field.fill
    assert fill is not None
    is_good, words, good = character_class
    page = CODE_PAGES[field.code_page] if field.encoding == "ebcdic" else None
    size, least = field.length.maximum, field.length.minimum
    if needs_even(field):
        size //= 2
    is_left = fill.side == "left"

    def read(data: bytes, hexed: str, characters: str, at: int, stop: int, length: int) -> str:
        value = characters[at:stop] if page is None else page.decode(data[at:stop])
        stripped = _stripped(value, fill.character, is_left, least)
        if stripped and not is_good(stripped):
            start = at + len(value) - len(stripped) if is_left else at
            raise character_fault(field.path, stripped, start, character_class, data if page else None)
        return stripped

    def write(value: Any) -> bytes:
        if not isinstance(value, str) or not least <= len(value) <= size or (value and not is_good(value)):
            raise _text_refusal(field, value, words, good)
        filled = value.rjust(size, fill.character) if is_left else value.ljust(size, fill.character)
        encoded = filled.encode("ascii") if page is None else page.encode(filled)
        if encoded is None:
            raise EncodeError(field.path, f"characters of {field.code_page}", "another")
        return encoded

    return read, write


def character_fault(
    path: str, value: str, at: int, character_class: CharacterClass, ebcdic: bytes | None
) -> DecodeError:
    """The first wrong character. `ebcdic`: the message's bytes when the characters were EBCDIC."""
    words = character_class.words if ebcdic is None else f"{character_class.words} in EBCDIC"
    for place, character in enumerate(value):
        if character not in character_class.characters:
            byte = ord(character) if ebcdic is None else ebcdic[at + place]
            return DecodeError(path, at + place, words, f"byte 0x{byte:02X}")
    raise AssertionError("characters without fault were refused")


def _text_refusal(field: Field, value: Any, words: str, good: str) -> EncodeError:
    """Why `value` can't be written: no text, wrong length, or the first wrong character."""
    if not isinstance(value, str):
        return EncodeError(field.path, f"a text of {words}", type(value).__name__)
    minimum, maximum = value_bounds(field)
    if not minimum <= len(value) <= maximum:
        return EncodeError(field.path, range_words(field), f"{units_of_value(field, len(value))}")
    for place, character in enumerate(value):
        if character not in good:
            return EncodeError(field.path, words, f"{character!a} at {place}")
    return EncodeError(field.path, words, "another order")


def bytes_content(field: Field) -> tuple[Read, Write]:
    minimum, maximum = value_bounds(field)
    path, fill = field.path, field.fill
    page = CODE_PAGES[field.code_page] if field.encoding == "ebcdic" else None
    in_hex = field.encoding != "binary"
    hex_class = HEX_CLASSES[field.hex_case]
    pad = bytes.fromhex(fill.character) if fill is not None else b""

    def read(data: bytes, hexed: str, characters: str, at: int, stop: int, length: int) -> bytes:
        value = data[at:stop]
        if in_hex:
            text = characters[at:stop] if page is None else page.decode(value)
            if not hex_class.allows(text):
                raise character_fault(path, text, at, hex_class, data if page else None)
            if len(text) % 2:
                raise DecodeError(path, at, "an even number of hex digits", f"{len(text)}")
            value = bytes.fromhex(text)
        if fill is not None:
            value = value.lstrip(pad) if fill.side == "left" else value.rstrip(pad)
        return value

    def write(value: object) -> bytes:
        if not isinstance(value, bytes):
            raise EncodeError(path, "bytes", type(value).__name__)
        if fill is not None and len(value) <= maximum:
            value = value.rjust(maximum, pad) if fill.side == "left" else value.ljust(maximum, pad)
        if not minimum <= len(value) <= maximum:
            raise EncodeError(path, range_words(field), f"{units_of_value(field, len(value))}")
        if not in_hex:
            return value
        text = value.hex() if field.hex_case == "lower" else value.hex().upper()
        if page is None:
            return text.encode("ascii")
        encoded = page.encode(text)
        assert encoded is not None, "hex digits stand in every code page"
        return encoded

    return read, write
