"""Values that a dictionary names (`only`, `values`, conditions, codes): whether a field can have them.

The field's own content is asked, so that a dictionary can't allow what a message can't carry.
"""

from __future__ import annotations

from switch.iso8583.contents import (
    Write,
    amount_content,
    bytes_content,
    characters_content,
    digits_content,
    track_content,
)
from switch.iso8583.dictionary import Field
from switch.iso8583.errors import EncodeError

WHOLE_BYTES = "write whole bytes in upper-case hex"


def value_problem(field: Field, text: str) -> str:
    """Why this scalar field never has the value `text` (class b: in upper-case hex); "" when it can."""
    value: str | bytes = text
    if field.content == "b":
        if len(text) % 2 or text.strip("0123456789ABCDEF"):
            return WHOLE_BYTES
        value = bytes.fromhex(text)
    try:
        _writer(field)(value)
    except EncodeError as error:
        return f"the field has {error.expected}, this is {error.got}"
    fill = field.fill
    if fill is not None and len(text) > field.length.minimum:
        edge = fill.character if field.content == "b" else fill.character.lower()
        has_fill = text.lower().startswith(edge) if fill.side == "left" else text.lower().endswith(edge)
        if has_fill and text:
            return f"its fill {fill.character!r} is stripped, so it never comes"
    return ""


def _writer(field: Field) -> Write:
    if field.content == "b":
        return bytes_content(field)[1]
    if field.content == "x+n":
        return amount_content(field)[1]
    if field.encoding == "bcd":
        return (track_content if field.content == "z" else digits_content)(field)[1]
    return characters_content(field)[1]
