"""One-time codes on their way to members: the port, and the outbox that stands for a network in tests.

A code is written nowhere else, least of all into a log.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Protocol


class CodeCarrierError(Exception):
    """A code was not taken. The text says why; it holds neither code nor number."""


class CodeCarrier(Protocol):
    """Takes a code to a member's mobile."""

    async def send(self, mobile: str, code: str) -> None:
        """mobile: digits with country code. Raises CodeCarrierError."""
        ...


class CodeOutbox:
    """Leaves codes in a file, one JSON line each ({"mobile", "code"}), for its owner only. For tests: whoever
    reads the file can spend members' points."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def send(self, mobile: str, code: str) -> None:
        line = json.dumps({"mobile": mobile, "code": code}) + "\n"
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            with os.fdopen(descriptor, "a", encoding="ascii") as file:
                file.write(line)
        except OSError as error:
            raise CodeCarrierError(f"{self._path}: can't be written ({error.strerror})") from None
