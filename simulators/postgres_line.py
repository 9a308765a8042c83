"""The connections between a switch and its PostgreSQL server, which can be cut, also in the middle of a
commit: a Unix socket that passes bytes on.

Knows nothing of what the bytes mean.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from simulators.postgres_server import PostgresServer

_AT_ONCE = 65_536  # bytes


class PostgresLine:
    """Stands before a server that may be killed and started meanwhile. directory: where its socket is made.

    cuts: connections that were cut so far.
    """

    def __init__(self, server: PostgresServer, directory: Path) -> None:
        self._server = server
        self._directory = directory
        self._listening: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._next_share: float | None = None
        self.cuts = 0

    async def start(self) -> None:
        """Take connections."""
        self._listening = await asyncio.start_unix_server(
            self._pass, self._directory / self._server.socket.name
        )

    async def stop(self) -> None:
        """Take no more, and end those that there are."""
        assert self._listening is not None
        self._listening.close()
        self.cut()
        await asyncio.sleep(0)

    def url(self, url: str) -> str:
        """The server's connection string, by way of this line."""
        return url.replace(f"host={self._server.directory}", f"host={self._directory}")

    def cut(self) -> None:
        """Every connection, now."""
        self.cuts += len(self._open)
        for writer in list(self._open):
            writer.transport.abort()

    def cut_in_next_request(self, share: float) -> None:
        """The connection of the next request, after so much of it (0 to 1) has reached the server: with 1 the
        server does what it was asked for, and nobody hears of it."""
        self._next_share = share

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            from_server, to_server = await asyncio.open_unix_connection(self._server.socket)
        except OSError:
            writer.transport.abort()  # the server is down: that is what its clients see
            return
        self._open.add(writer)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._requests(reader, to_server))
                both.create_task(_answers(from_server, writer))
        except* (OSError, _Cut):
            pass
        finally:
            self._open.discard(writer)
            for end in (writer, to_server):
                end.transport.abort()

    async def _requests(self, reader: asyncio.StreamReader, to_server: asyncio.StreamWriter) -> None:
        while data := await reader.read(_AT_ONCE):
            share, self._next_share = self._next_share, None
            if share is None:
                to_server.write(data)
                await to_server.drain()
                continue
            to_server.write(data[: round(len(data) * share)])
            with contextlib.suppress(OSError):
                await to_server.drain()
            self.cuts += 1
            raise _Cut
        raise _Cut


async def _answers(from_server: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await from_server.read(_AT_ONCE):
        writer.write(data)
        await writer.drain()
    raise _Cut


class _Cut(Exception):
    """One direction is over, so both are."""
