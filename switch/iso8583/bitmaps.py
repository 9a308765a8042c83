"""Bitmaps, of messages and of bitmapped fields: bytes on the wire <-> bits."""

from __future__ import annotations

from collections.abc import Callable

from switch.iso8583.characters import CODE_PAGES, HEX_CLASSES
from switch.iso8583.contents import character_fault
from switch.iso8583.dictionary import BitmapForm
from switch.iso8583.lengths import truncated


def set_bits(bitmap: bytes) -> list[int]:
    """Numbers of the bits that are set, counted from 1."""
    bits = int.from_bytes(bitmap, "big")
    size = len(bitmap) * 8
    return [number for number in range(1, size + 1) if bits >> (size - number) & 1]


def bitmap_width(form: BitmapForm, size: int) -> int:
    """Bytes on the wire of `size` bytes of bitmap."""
    return size if form.encoding == "binary" else size * 2


def bitmap_reader(
    form: BitmapForm, path: str, code_page: str
) -> Callable[[bytes, int, int, int], tuple[bytes, int]]:
    """(data, offset, end, bytes of bitmap) -> (the bitmap, offset behind it)."""
    if form.encoding == "binary":

        def read_binary(data: bytes, at: int, end: int, size: int) -> tuple[bytes, int]:
            if at + size > end:
                raise truncated(path, at, size, max(end - at, 0))
            return data[at : at + size], at + size

        return read_binary
    page = CODE_PAGES[code_page].decode if form.encoding == "ebcdic" else None
    hex_class = HEX_CLASSES[form.hex_case]

    def read_hex(data: bytes, at: int, end: int, size: int) -> tuple[bytes, int]:
        stop = at + size * 2
        if stop > end:
            raise truncated(path, at, size * 2, max(end - at, 0))
        raw = data[at:stop]
        text = raw.decode("latin-1") if page is None else page(raw)
        if not hex_class.allows(text):
            raise character_fault(path, text, at, hex_class, data if page else None)
        return bytes.fromhex(text), stop

    return read_hex


def bitmap_bytes(form: BitmapForm, bitmap: bytes, code_page: str) -> bytes:
    """A bitmap as it stands on the wire."""
    if form.encoding == "binary":
        return bitmap
    text = bitmap.hex().upper() if form.hex_case == "upper" else bitmap.hex()
    encoded = text.encode("ascii") if form.encoding == "hex" else CODE_PAGES[code_page].encode(text)
    assert encoded is not None, "hex digits stand in every code page"
    return encoded
