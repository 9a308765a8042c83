"""Published vectors from tests/vectors/crypto_*.json, which the firmware's tests read too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

VECTORS = Path(__file__).resolve().parents[2] / "vectors"

h = bytes.fromhex


def published(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((VECTORS / f"crypto_{name}.json").read_text("ascii"))
    return document


def rows(name: str, part: str = "vectors") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = published(name)[part]
    assert found
    return found
