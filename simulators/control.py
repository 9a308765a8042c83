"""Remote control of a simulated device: one JSON object a line over a unix socket, one answer for each.

The socket is private to its owner (mode 0600); requests may hold card numbers, answers and errors never do.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Final

JsonObject = dict[str, object]

MAXIMUM_LINE_BYTES: Final = 64 * 1024  # a request is a card and a few options; more is a mistake
MAXIMUM_SOCKET_PATH_BYTES: Final = 100  # sockaddr_un holds 108 with its final zero


class ControlError(Exception):
    """The device is not there, refused the request, or did not answer in time. The text names what to do."""


class ControlServer:
    """Serves `handle` at the socket `path`. A handler's ValueError becomes an error answer."""

    def __init__(self, path: Path, handle: Callable[[JsonObject], Awaitable[JsonObject]]) -> None:
        self.path = path
        self._handle = handle
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Take the socket; one left by a dead process is replaced."""
        self.path.unlink(missing_ok=True)
        with _short(self.path) as address:
            own = socket.socket(socket.AF_UNIX)
            mask = os.umask(0o177)  # of the whole process: nobody else may run before it is put back
            try:
                own.bind(address)
            except OSError:
                own.close()
                raise
            finally:
                os.umask(mask)
            self._server = await asyncio.start_unix_server(self._serve, sock=own, limit=MAXIMUM_LINE_BYTES)

    async def stop(self) -> None:
        """Close the socket and remove it."""
        if self._server is not None:
            self._server.close()
            self._server = None
            self.path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(json.dumps(await self._answer(line)).encode() + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError):
            pass  # the asker went away, or its line was longer than the limit
        finally:
            writer.close()

    async def _answer(self, line: bytes) -> JsonObject:
        try:
            request = json.loads(line)
        except ValueError:
            return {"ok": False, "error": "the request is not JSON; send one object a line"}
        if not isinstance(request, dict):
            return {"ok": False, "error": "the request is not a JSON object"}
        try:
            return {"ok": True, **await self._handle(request)}
        except ValueError as error:
            return {"ok": False, "error": str(error)}


async def ask(path: Path, request: JsonObject, timeout_seconds: float = 30.0) -> JsonObject:
    """Send one request to the socket and return its answer. Raises ControlError when that fails."""
    try:
        async with asyncio.timeout(timeout_seconds):
            with _short(path) as address:
                reader, writer = await asyncio.open_unix_connection(address, limit=MAXIMUM_LINE_BYTES)
            try:
                writer.write(json.dumps(request).encode() + b"\n")
                line = await reader.readline()
            finally:
                writer.close()
    except TimeoutError:
        raise ControlError(f"{path} did not answer within {timeout_seconds:g} s") from None
    except (OSError, ValueError):
        raise ControlError(f"nothing listens at {path}") from None
    if not line:
        raise ControlError(f"{path} closed without an answer")
    answer = json.loads(line)
    assert isinstance(answer, dict), "the server answers with objects"
    if not answer.get("ok"):
        raise ControlError(str(answer.get("error", "refused")))
    return answer


@contextlib.contextmanager
def _short(path: Path) -> Iterator[str]:
    """The path itself, or one through the directory's descriptor where it is too long for a socket
    address."""
    if len(os.fsencode(path)) <= MAXIMUM_SOCKET_PATH_BYTES:
        yield str(path)
        return
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)
