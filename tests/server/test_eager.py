"""A coroutine that doesn't wait ends at once; one that waits goes on where it stood."""

from __future__ import annotations

import asyncio

from switch.server import eager


def test_what_does_not_wait_is_done_when_start_returns() -> None:
    async def play() -> None:
        done = []

        async def quick() -> None:
            done.append(1)

        tasks: set[asyncio.Task[None]] = set()
        eager.start(quick(), tasks)
        assert (done, tasks) == ([1], set())

    asyncio.run(play())


def test_what_waits_goes_on_with_what_it_waited_for() -> None:
    async def play() -> None:
        loop = asyncio.get_running_loop()
        futures: list[asyncio.Future[int]] = [loop.create_future() for _ in range(3)]
        seen: list[int | str] = []

        async def slow() -> None:
            for future in futures:
                try:
                    seen.append(await future)
                except LookupError:
                    seen.append("lost")

        tasks: set[asyncio.Task[None]] = set()
        eager.start(slow(), tasks)
        assert (seen, len(tasks)) == ([], 1)
        futures[0].set_result(7)
        futures[1].set_exception(LookupError())
        futures[2].set_result(9)
        await asyncio.wait(set(tasks))
        assert (seen, tasks) == ([7, "lost", 9], set())

    asyncio.run(play())
