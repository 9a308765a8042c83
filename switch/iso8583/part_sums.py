"""How many bytes the parts of a positional field take together, held against the length of the field.

For a dictionary that is being checked: a length that no value reaches is a mistake. Nothing here reads bytes.
"""

from __future__ import annotations

from switch.iso8583.dictionary import Field
from switch.iso8583.lengths import is_in_hex, size_bytes

Bounds = tuple[int, int]  # fewest and most bytes


def own_bounds(field: Field) -> Bounds:
    """Bytes of content that the field's own length allows; in hex those that the digits mean."""
    halves = 2 if field.is_composite and is_in_hex(field) else 1
    low, high, _digits = field.length
    return -(-size_bytes(field, low) // halves), size_bytes(field, high) // halves


def of_parts(field: Field) -> list[Bounds]:
    """Bytes of all its parts together, once for each number of parts and groups it may have; [] of none."""
    parts = list(field.subfields.values())
    bounds = [_on_the_wire(part) for part in parts]
    mandatory = sum(not part.optional for part in parts)
    sums = [_total(bounds[:count]) for count in range(max(mandatory, 1), len(parts) + 1)]
    whole = _total(bounds)
    return [
        (whole[0] * full + low, whole[1] * full + high)
        for full in range(max(field.repeat, 1))
        for low, high in sums
    ]


def _on_the_wire(part: Field) -> Bounds:
    low, high, _digits = part.length
    if part.sizing == "fixed":  # a short value is filled up
        low = high
    size = part.prefix.size if part.prefix is not None else 0
    return size + size_bytes(part, low), size + size_bytes(part, high)


def _total(bounds: list[Bounds]) -> Bounds:
    return sum(low for low, _high in bounds), sum(high for _low, high in bounds)
