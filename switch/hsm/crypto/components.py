"""A key from the components of several people: their exclusive or, when each of them adds something.

Texts of errors never hold a component.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from itertools import combinations

from switch.hsm.crypto.ciphers import TDES_BLOCK_BYTES, is_single_des, odd_parity, same, xor


class ComponentError(ValueError):
    """These components make no key. Text: why."""


class NothingLeft(ComponentError):
    """The components add up to nothing."""


def combined(letter: str, components: Sequence[bytes]) -> bytes:
    """The key that components of one length make. letter: A AES, T TDES (its parity set), H HMAC.

    Raises ComponentError: an empty component has nobody behind it, equal ones cancel each other out and leave
    the key to the others, and a TDES key of equal parts is single DES. NothingLeft for their sum.
    """
    secrets = [_secret(letter, component) for component in components]
    if not all(map(any, secrets)):
        raise ComponentError("a component is empty")
    if any(same(one, other) for one, other in combinations(secrets, 2)):
        raise ComponentError("two components are equal and cancel each other out")
    key = reduce(xor, components)
    if not any(_secret(letter, key)):
        raise NothingLeft("the components cancel each other out")
    if letter != "T":
        return key
    key = odd_parity(key)
    if len(key) > TDES_BLOCK_BYTES and is_single_des(key):
        raise ComponentError("the components make a key as weak as single DES")
    return key


def _secret(letter: str, key: bytes) -> bytes:
    """Without the parity bits of a TDES key, which are no secret."""
    return bytes(byte & ~1 for byte in key) if letter == "T" else bytes(key)
