"""Characters on the wire: EBCDIC code pages by name, and which characters a content class allows.

Tables and pure functions; nothing here knows fields or raises.
"""

from __future__ import annotations

import codecs
import string
from collections.abc import Callable
from typing import NamedTuple

DIGITS = string.digits
HEX_DIGITS = {"upper": "0123456789ABCDEF", "lower": "0123456789abcdef"}
# Track 2 in characters: ISO/IEC 7811 gives it 0x30 to 0x3F; many hosts send D for the separator.
TRACK_TEXT = "0123456789:;<=>?D"


class CodePage(NamedTuple):
    """decode: bytes -> characters, one for each byte; encode: the way back, None when there is none."""

    decode: Callable[[bytes], str]
    encode: Callable[[str], bytes | None]


def _code_page(table: str) -> CodePage:
    encoding = codecs.charmap_build(table)

    def decode(data: bytes) -> str:
        return codecs.charmap_decode(data, "replace", table)[0]

    def encode(text: str) -> bytes | None:
        try:
            return codecs.charmap_encode(text, "strict", encoding)[0]
        except UnicodeEncodeError:
            return None

    return CodePage(decode, encode)


def _standard(name: str) -> str:
    return bytes(range(256)).decode(name, "replace")


def _latin_open_systems() -> str:
    """cp1047 (z/OS): cp037 with brackets, caret, not sign, Y acute and diaeresis elsewhere."""
    table = list(_standard("cp037"))
    moved = {0x5F: 0xB0, 0xB0: 0x5F, 0xAD: 0xBA, 0xBA: 0xAD, 0xBB: 0xBD, 0xBD: 0xBB}
    standing = list(table)
    for place, source in moved.items():
        table[place] = standing[source]
    return "".join(table)


_STANDARD_PAGES = ("cp037", "cp273", "cp424", "cp500", "cp875", "cp1026", "cp1140")
CODE_PAGES: dict[str, CodePage] = {
    **{name: _code_page(_standard(name)) for name in _STANDARD_PAGES},
    "cp1047": _code_page(_latin_open_systems()),
}


class CharacterClass(NamedTuple):
    """What a content class allows: a quick test of a whole value, words for errors, the characters."""

    allows: Callable[[str], bool]
    words: str
    characters: str


_PRINTABLE = "".join(map(chr, range(0x20, 0x7F)))
_LETTERS = string.ascii_letters
_SPECIALS = "".join(character for character in _PRINTABLE if character not in _LETTERS + DIGITS)


def _subset(characters: str) -> Callable[[str], bool]:
    keep = {ord(character): None for character in characters}
    return lambda value: not value.translate(keep)


def _is_numeric(value: str) -> bool:
    return value.isascii() and value.isdigit()


def _is_alphabetic(value: str) -> bool:
    return value.isascii() and value.isalpha()


def _is_alphanumeric(value: str) -> bool:
    return value.isascii() and value.isalnum()


def _is_printable(value: str) -> bool:
    return value.isascii() and value.isprintable()


CLASSES: dict[str, CharacterClass] = {
    "n": CharacterClass(_is_numeric, "digits", DIGITS),
    "a": CharacterClass(_is_alphabetic, "letters", _LETTERS),
    "an": CharacterClass(_is_alphanumeric, "letters and digits", _LETTERS + DIGITS),
    "anp": CharacterClass(
        _subset(_LETTERS + DIGITS + " "), "letters, digits and spaces", _LETTERS + DIGITS + " "
    ),
    "ans": CharacterClass(_is_printable, "printable ASCII", _PRINTABLE),
    "as": CharacterClass(
        _subset(_LETTERS + _SPECIALS), "letters and special characters", _LETTERS + _SPECIALS
    ),
    "ns": CharacterClass(_subset(DIGITS + _SPECIALS), "digits and special characters", DIGITS + _SPECIALS),
    "z": CharacterClass(_subset(TRACK_TEXT), "track 2 characters", TRACK_TEXT),
}
HEX_CLASSES = {
    case: CharacterClass(_subset(digits), f"hex digits in {case} case", digits)
    for case, digits in HEX_DIGITS.items()
}
