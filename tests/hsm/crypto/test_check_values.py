"""Key check values against published keys."""

from __future__ import annotations

from typing import Any

import pytest

from switch.hsm.crypto.check_values import check_value
from switch.hsm.crypto.macs import hmac_sha256
from tests.hsm.crypto.published import h, rows


@pytest.mark.parametrize("vector", rows("check_value"))
def test_published_check_values(vector: dict[str, Any]) -> None:
    digits = vector["digits"]
    assert check_value(h(vector["key"]), vector["algorithm"], len(digits)) == digits


def test_six_digits_unless_told() -> None:
    assert check_value(h("3F419E1CB7079442AA37474C2EFBF8B8"), "A") == "08793E"


def test_an_hmac_key_is_checked_by_the_hmac_of_nothing() -> None:
    assert check_value(b"k" * 32, "H") == hmac_sha256(b"k" * 32, b"").hex().upper()[:6]


@pytest.mark.parametrize("algorithm", ["", "X", "R", "AES", "a"])
def test_other_algorithms_are_refused(algorithm: str) -> None:
    with pytest.raises(ValueError, match="algorithms A, T, D and H"):
        check_value(bytes(16), algorithm)


@pytest.mark.parametrize(("algorithm", "digits"), [("A", 0), ("A", 33), ("T", 17), ("H", 65), ("T", -1)])
def test_other_lengths_are_refused(algorithm: str, digits: int) -> None:
    with pytest.raises(ValueError, match="a check value has 1 to"):
        check_value(bytes(16), algorithm, digits)
