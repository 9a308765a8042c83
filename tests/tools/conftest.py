"""A switch's directory for the tests of `vafa keys`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tools.keys_kit import FOUNDING, Place, quick_and_open


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Place]:
    """Keys and terminals, nobody named."""
    with quick_and_open():
        yield Place(tmp_path / "data")


@pytest.fixture
def place(fresh: Place) -> Place:
    """The same with two officers."""
    fresh.done("officer", "add", answers=FOUNDING)
    return fresh
