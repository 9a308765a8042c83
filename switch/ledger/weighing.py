"""Sums over more counters than memory should hold, to be compared and nothing else: one number for all.

Every counter has a secret random weight, new for each verification. Two sets of counters whose weighed sums
are the same are the same, but for a chance far below that of a seal that fits by accident; a sum doesn't say
which counter differs. A counter that came to nothing weighs nothing: whoever compares holds that none is
stored.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b

import msgspec

from switch.ledger.counting import Count, Counter

SECRET_BYTES = 32
_PRIME = 2**255 - 19
# The three numbers of a counter side by side in one: each sum of the numbers stays far below this.
_PLACES = 80
_PARTS_REMEMBERED = 100_000  # holders, days and operations come again and again: 200 bytes each
_pack = msgspec.msgpack.Encoder().encode


class WeighedSum:
    """A sum of counters. secret: SECRET_BYTES at random, the same for all sums that are compared.

    A counter's weight is the product of the random weights of its three parts, so that these are worked out
    once and not for every counter. A sum of such products that isn't zero whatever the weights are is zero
    with a chance of three in 2**255 (Schwartz and Zippel).
    """

    def __init__(self, secret: bytes) -> None:
        def weight(part: int, name: object) -> int:
            digest = blake2b(_pack((part, name)), key=secret, digest_size=32).digest()
            return int.from_bytes(digest, "big") % _PRIME

        self._weight = lru_cache(maxsize=_PARTS_REMEMBERED)(weight)
        self._total = 0

    def add(self, counter: Counter, count: Count) -> None:
        """Add what a counter came to, or a part of that. Raises UnicodeEncodeError for a name that isn't
        text."""
        scope, holder, period, operation = counter
        weight = self._weight
        product = weight(0, (scope, holder)) * weight(1, period) % _PRIME * weight(2, operation) % _PRIME
        entries, amount, units = count
        self._total += product * (entries + (amount << _PLACES) + (units << 2 * _PLACES))

    def value(self) -> int:
        """The sum. Sums of parts add up, modulo the prime, see `together`."""
        return self._total % _PRIME


def together(sums: list[int]) -> int:
    """The sum of sums."""
    return sum(sums) % _PRIME
