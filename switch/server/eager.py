"""Run a coroutine at once and only make a task of it when it really waits.

The in-process HSM never waits, so a request costs no task; with a box behind a network the same code waits
in one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any


def start(coroutine: Coroutine[Any, Any, None], tasks: set[asyncio.Task[None]]) -> None:
    """Step `coroutine` until it ends or first waits; in the second case the rest runs as a task kept in
    `tasks`."""
    try:
        waited_for = coroutine.send(None)
    except StopIteration:
        return
    task = asyncio.get_running_loop().create_task(_go_on(coroutine, waited_for))
    tasks.add(task)
    task.add_done_callback(tasks.discard)


async def _go_on(coroutine: Coroutine[Any, Any, None], waited_for: Any) -> None:
    await _Resumed(coroutine, waited_for)


class _Resumed:
    def __init__(self, coroutine: Coroutine[Any, Any, None], waited_for: Any) -> None:
        self._coroutine = coroutine
        self._waited_for = waited_for

    def __await__(self) -> Generator[Any, Any, None]:
        waited_for = self._waited_for
        while True:
            try:
                sent = yield waited_for
            except BaseException as error:
                try:
                    waited_for = self._coroutine.throw(error)
                except StopIteration:
                    return
                continue
            try:
                waited_for = self._coroutine.send(sent)
            except StopIteration:
                return
