"""The real MicroPython with the compiled firmware, prepared once for all end-to-end tests."""

from __future__ import annotations

import pytest

from simulators.firmware import Interpreter, prepare_micropython


@pytest.fixture(scope="session")
def micropython() -> Interpreter:
    return prepare_micropython()
