"""A sample message taken apart: which bytes belong to what, what they say, and what may be shown of them.

Whatever a view of the message masks is masked in its bytes too; lengths and tags before it stay readable.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from switch.iso8583 import Dialect, Mask, Text
from switch.iso8583.masks import mask_value
from tools.message_bytes import MTI, plain, runs
from tools.message_meaning import said_of

HIDDEN_BYTE = "**"


class Example(Protocol):
    """A sample message as it stands beside its dialect: a name and the bytes in hex."""

    @property
    def name(self) -> str: ...

    @property
    def hex(self) -> str: ...


class Part(NamedTuple):
    """Bytes `start` to `stop` (exclusive) of a message: hex and value as they may be shown."""

    path: str
    start: int
    stop: int
    hex: str
    shown: str
    meaning: Text | None


def annotated(dialect: Dialect, data: bytes) -> Iterator[Part]:
    """The bytes of the valid message `data` in order, without gap or overlap."""
    message = dialect.decode(data)
    for path, start, stop, head, value, numbers in runs(dialect, data, message):
        if start == stop:
            continue
        hexed = data[start:stop].hex().upper()
        shown, meaning = " ".join(map(str, numbers)), None
        if isinstance(value, str | bytes):
            mask = Mask.NONE if path == MTI else dialect.dictionary.mask_of(path)
            shown = mask_value(mask, value)
            if shown != plain(value):
                hexed = hexed[: head * 2] + HIDDEN_BYTE * (stop - start - head)
        if isinstance(value, str):
            meaning = said_of(dialect.dictionary, path, value)
        yield Part(path, start, stop, hexed, shown, meaning)


def leaves(dialect: Dialect, data: bytes) -> Iterator[tuple[str, int, int]]:
    """The bytes of the valid message `data` by what is innermost there: path, start, stop."""
    for run in runs(dialect, data, dialect.decode(data)):
        if run.start < run.stop:
            yield run.path, run.start, run.stop
