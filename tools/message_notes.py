"""What becomes of a message's values on the way into another dialect, in words that anybody may read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from switch.iso8583 import Dialect, Value, mask_text
from switch.iso8583.masks import HIDDEN
from tools.message_bytes import plain
from tools.message_view import shown

MTI: Final = "mti"
EMPTY: Final = "(empty)"  # a field that is there, without anything in it


class Note(NamedTuple):
    """What became of one path. outcome: "lost", "moved" or "changed"; was, now: as a person may see them."""

    path: str
    outcome: str
    was: str
    now: str
    why: str


class Notes:
    """The notes of one message, in the order in which they were made."""

    def __init__(self, source: Dialect, target: Dialect) -> None:
        self._source = source
        self._target = target
        self.all: list[Note] = []

    def lost(self, path: str, value: Value, why: str) -> None:
        self._add(path, "lost", told(self._source, path, value), "", why)

    def moved(self, path: str, value: Value, to: str) -> None:
        self._add(path, "moved", told(self._source, path, value), "", f"it stands in {to} now")

    def changed(self, path: str, was: Value | None, now: Value, why: str) -> None:
        """was: None for what wasn't there."""
        before = "" if was is None else told(self._source, path, was)
        after = told(self._target, path, now)
        if was is not None and is_masked(self._source, path, was) and not is_masked(self._target, path, now):
            after = HIDDEN
        self._add(path, "changed", before, after, why)

    def _add(self, path: str, outcome: str, was: str, now: str, why: str) -> None:
        self.all.append(Note(mask_text(path), outcome, was, now, mask_text(why)))


def is_masked(dialect: Dialect, path: str, value: Value) -> bool:
    """Whether a person may not see all of `value`."""
    if isinstance(value, Mapping):
        return any(is_masked(dialect, f"{path}.{key}", inner) for key, inner in value.items())
    return path != MTI and shown(dialect, path, value) != plain(value)


def told(dialect: Dialect, path: str, value: Value) -> str:
    """`value` as a person may see it; what is in composites in braces."""
    if isinstance(value, Mapping):
        parts = (
            f"{mask_text(key)}={_inside(dialect, f'{path}.{key}', inner)}" for key, inner in value.items()
        )
        return ", ".join(parts) or EMPTY
    if path == MTI:
        return mask_text(str(value))
    return shown(dialect, path, value) or EMPTY


def _inside(dialect: Dialect, path: str, value: Value) -> str:
    text = told(dialect, path, value)
    return f"{{{text}}}" if isinstance(value, Mapping) and value else text
