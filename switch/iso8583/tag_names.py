"""Names of tags: what stands on the wire as bytes stands in paths as short, plain text, and back.

Binary tags are named by their bytes in upper-case hex, BCD ones by their digits, tags in characters by these;
there a dot, "#", "~" or anything that isn't printable is written "~" and its code in hex.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from switch.iso8583.characters import CODE_PAGES, HEX_DIGITS
from switch.iso8583.dictionary import TlvForm

LONGEST_BER_TAG = 4  # bytes; EMV uses up to 3
REPETITION = "#"

_PLAIN = re.compile(r"[ -}]*")
_BER_TAG = re.compile(r"(?:[0-9A-F]{2}){1,4}")


def ber_tag_size(data: bytes, at: int, end: int) -> int:
    """Bytes of the BER tag at `at` (ISO/IEC 8825-1 8.1.2); 0 when it is cut or longer than is allowed."""
    if at >= end:
        return 0
    if data[at] & 0x1F != 0x1F:
        return 1
    for size in range(2, LONGEST_BER_TAG + 1):
        if at + size > end:
            return 0
        if not data[at + size - 1] & 0x80:
            return size
    return 0


def problem(form: TlvForm, name: str) -> str:
    """Why `name` is no tag of this form, as a remedy; "" when it is one."""
    if form.kind == "ber":
        if _BER_TAG.fullmatch(name):
            tag = bytes.fromhex(name)
            if tag not in (b"\x00", b"\xff") and ber_tag_size(tag, 0, len(tag)) == len(tag):
                return ""
        return "write the bytes of one BER tag in upper-case hex"
    if encoder(form, "cp500")(name) is not None:
        return ""
    if form.tag_encoding == "binary":
        if form.tag_size == 1:
            return "write the byte as two upper-case hex digits"
        return f"write {form.tag_size} bytes in upper-case hex"
    unit = "digits" if form.tag_encoding == "bcd" else "characters"
    return f"write {form.tag_size} {unit}"


def decoder(form: TlvForm, code_page: str) -> Callable[[bytes], str | None]:
    """Bytes of a tag -> its name; None when they are none."""
    if form.tag_encoding == "binary":
        return lambda tag: tag.hex().upper()
    if form.tag_encoding == "bcd":
        pad = form.tag_size % 2
        return lambda tag: _digits(tag.hex(), pad)
    page = CODE_PAGES[code_page].decode if form.tag_encoding == "ebcdic" else None
    is_hex = form.tag_encoding == "hex"

    def decode(tag: bytes) -> str | None:
        text = tag.decode("latin-1") if page is None else page(tag)
        if not (text.isascii() and text.isprintable()):
            return None
        if is_hex and text.strip(HEX_DIGITS["upper"]):
            return None
        return text if text.isalnum() else _escaped(text)

    return decode


def encoder(form: TlvForm, code_page: str) -> Callable[[str], bytes | None]:
    """Name of a tag -> its bytes; None when it is no name of this form."""
    decode = decoder(form, code_page)

    def encode(name: str) -> bytes | None:
        tag = _bytes(form, code_page, name)
        return tag if tag is not None and len(tag) == form.tag_bytes and decode(tag) == name else None

    return encode


def _bytes(form: TlvForm, code_page: str, name: str) -> bytes | None:
    if not name.isascii():
        return None
    if form.tag_encoding == "binary":
        return _from_hex(name)
    if form.tag_encoding == "bcd":
        return _from_hex("0" * (len(name) % 2) + name) if len(name) == form.tag_size else None
    text = re.sub("~([0-9A-F]{2})", lambda found: chr(int(found.group(1), 16)), name)
    if form.tag_encoding == "ebcdic":
        return CODE_PAGES[code_page].encode(text)
    return text.encode("ascii") if text.isascii() else None


def _from_hex(text: str) -> bytes | None:
    return bytes.fromhex(text) if len(text) % 2 == 0 and not text.strip("0123456789ABCDEF") else None


def _digits(text: str, pad: int) -> str | None:
    return text[pad:] if text.isdigit() and (not pad or text[0] == "0") else None


def _escaped(text: str) -> str:
    return "".join(
        f"~{ord(character):02X}" if character in ".#~" or not _PLAIN.fullmatch(character) else character
        for character in text
    )
