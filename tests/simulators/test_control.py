"""The sockets that simulated devices are told at what to do."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from simulators.control import ControlServer, JsonObject


async def _nothing(request: JsonObject) -> JsonObject:
    return {}


def test_many_that_begin_at_once_leave_the_process_as_it_was(tmp_path: Path) -> None:
    """Who may read a new file is one setting of the whole process; servers must not mix it up."""

    async def scene() -> None:
        servers = [ControlServer(tmp_path / f"{number}.control", _nothing) for number in range(4)]
        await asyncio.gather(*(server.start() for server in servers))
        assert all(server.path.stat().st_mode & 0o777 == 0o600 for server in servers)
        for server in servers:
            await server.stop()

    mask = os.umask(0o022)
    try:
        asyncio.run(scene())
        assert os.umask(0o022) == 0o022
    finally:
        os.umask(mask)
