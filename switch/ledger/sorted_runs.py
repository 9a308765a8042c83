"""Sums over more keys than memory should hold: sorted parts on disk, read back as one sorted stream.

The files are this program's own, in a directory that only it reads, and gone when the work is done.
"""

from __future__ import annotations

import marshal
from collections.abc import Callable, Iterator
from functools import reduce
from heapq import merge
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

# Keys held before a part is written: some 60 MB of counters.
KEYS_IN_MEMORY = 200_000
_BLOCK = 1_000  # keys written together

Key = tuple[Any, ...]
Value = tuple[Any, ...]
Combine = Callable[[Value, Value], Value]


class RunWriter:
    """Gathers values by key. combine: what an older and a newer value of one key make together. stored: the
    key as it is sorted and read back.

    Keys of one writer that come again are combined in the order of coming; those of several writers in the
    order of the writers' names.
    """

    def __init__(
        self, directory: Path, name: str, combine: Combine, stored: Callable[[Key], Key] = tuple
    ) -> None:
        self._directory = directory
        self._name = name
        self._combine = combine
        self._stored = stored
        self._values: dict[Key, Value] = {}
        self._parts = 0

    def add(self, key: Key, value: Value) -> None:
        """Combine a value into its key."""
        values = self._values
        before = values.get(key)
        values[key] = value if before is None else self._combine(before, value)
        if len(values) >= KEYS_IN_MEMORY:
            self.write()

    def write(self) -> None:
        """Put what is gathered on the disk."""
        if not self._values:
            return
        stored = self._stored
        items = sorted((stored(key), tuple(value)) for key, value in self._values.items())
        self._values = {}
        with (self._directory / f"{self._name}.{self._parts:06d}").open("wb") as file:
            for begin in range(0, len(items), _BLOCK):
                marshal.dump(items[begin : begin + _BLOCK], file)
        self._parts += 1


def read_runs(directory: Path, pattern: str, combine: Combine) -> Iterator[tuple[Key, Value]]:
    """All keys of the parts whose name matches, in their order, with what their values make together."""
    parts = [_read(path) for path in sorted(directory.glob(pattern))]
    for key, items in groupby(merge(*parts, key=itemgetter(0)), itemgetter(0)):
        yield key, reduce(combine, (value for _, value in items))


def _read(path: Path) -> Iterator[tuple[Key, Value]]:
    with path.open("rb") as file:
        while True:
            try:
                block = marshal.load(file)
            except EOFError:
                return
            yield from block
