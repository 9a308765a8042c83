"""Plays a coroutine on a bench and closes it: the frame of every test that talks to a pipeline."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tests.server.bench import Bench


def play(directory: Path, story: Callable[[Bench], Awaitable[None]], **options: Any) -> None:
    """options: of the Bench."""

    async def run() -> None:
        bench = Bench(directory, **options)
        await story(bench)
        await bench.close()

    asyncio.run(run())
