"""The other end of a bare wire: a process that answers each frame with as many bytes as it asks for.

    python -m benchmarks.echo

Frames are a host command's: two bytes of length, four of header, then two that say how long the answer is.
Says its port, ends when it is told to; on the simulator's event loop. Nothing else belongs in here: it is
what a box can't be quicker than.
"""

from __future__ import annotations

import asyncio
from typing import cast

import uvloop


class Echo(asyncio.Protocol):
    def __init__(self) -> None:
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class

    def data_received(self, data: bytes) -> None:
        data, at, answers = self._received + data, 0, []
        while len(data) - at >= 2 and len(data) - at >= 2 + int.from_bytes(data[at : at + 2]):
            back = int.from_bytes(data[at + 6 : at + 8])
            answers.append((4 + back).to_bytes(2) + data[at + 2 : at + 6] + bytes(back))
            at += 2 + int.from_bytes(data[at : at + 2])
        self._received = data[at:]
        self._transport.write(b"".join(answers))


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
