"""A running switch follows the files that say who may send: a look at their dates each time, a reading only
when one changed, and what can't be used changes nothing.

The reading is done off the event loop by whoever runs this; nothing here is called for a message.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Generic, TypeVar

from switch.registry.errors import RegistryError

Found = TypeVar("Found")
Stamp = tuple[int, int, int] | None


class Follower(Generic[Found]):
    """Follows `files`. read: makes what is in force out of them, raises RegistryError; adopt: takes it into
    use; alarm: is told once of each state of the files that can't be used."""

    def __init__(
        self,
        files: Iterable[Path],
        read: Callable[[], Found],
        adopt: Callable[[Found], None],
        alarm: Callable[[str], None],
    ) -> None:
        self._files = tuple(files)
        self._read = read
        self._adopt = adopt
        self._alarm = alarm
        # Before the first reading: what changes after it is read again.
        self._seen = self._stamps()

    async def step(self, off_the_loop: Callable[[Callable[[], Found]], Awaitable[Found]]) -> bool:
        """Look once; whether something new was taken into use."""
        stamps = self._stamps()
        if stamps == self._seen:
            return False
        self._seen = stamps
        try:
            found = await off_the_loop(self._read)
        except RegistryError as error:
            self._alarm(str(error))
            return False
        self._adopt(found)
        return True

    async def run(self, interval_s: float) -> None:
        """For ever."""
        import asyncio  # here, for most who import this read a registry and have no loop

        while True:
            await asyncio.sleep(interval_s)
            await self.step(asyncio.to_thread)

    def _stamps(self) -> tuple[Stamp, ...]:
        return tuple(map(_stamp, self._files))


def _stamp(path: Path) -> Stamp:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
