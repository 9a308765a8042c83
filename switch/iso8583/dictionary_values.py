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
from switch.iso8583.lengths import value_bounds

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


def start_problem(field: Field, text: str) -> str:
    """Why no value of this scalar field begins with `text` (class b: in upper-case hex); "" when some do."""
    if field.only:
        return "" if any(each.startswith(text) for each in field.only) else "only allows none that begins so"
    is_bytes = field.content == "b"
    if is_bytes and text.strip("0123456789ABCDEF"):
        return "write upper-case hex"
    least = value_bounds(field)[0] * (2 if is_bytes else 1)
    rest = "A" if field.content in ("a", "as") else "0"
    whole = text + rest * (least - len(text) if len(text) < least else len(text) % 2 if is_bytes else 0)
    problem = ""
    for value in (whole, whole + rest):  # some fields have even numbers of digits alone
        try:
            _writer(field)(bytes.fromhex(value) if is_bytes else value)
        except EncodeError as error:
            problem = problem or f"the field has {error.expected}, this is {error.got}"
        else:
            return ""
        if is_bytes:
            break
    return problem


def _writer(field: Field) -> Write:
    if field.content == "b":
        return bytes_content(field)[1]
    if field.content == "x+n":
        return amount_content(field)[1]
    if field.encoding == "bcd":
        return (track_content if field.content == "z" else digits_content)(field)[1]
    return characters_content(field)[1]
