"""A card in the slot of vpcd, the virtual reader of Debian's vsmartcard: the real pcscd sees it as any other.

We connect to vpcd, which listens (DEVICENAME /dev/null:port). It sends 2 bytes of length, big-endian, then
one control byte (0 power off, 1 power on, 2 reset, 4 ATR?) or an APDU; ATR and answers go back framed alike.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Final

from simulators.readers.chip import ChipCard, atr

_POWER_OFF, _POWER_ON, _RESET, _ATR = 0, 1, 2, 4
_LENGTH_BYTES: Final = 2
CONNECT_AGAIN_S: Final = 0.02
LONGEST_APDU: Final = 4 + 3 + 65535 + 2  # extended; more is no vpcd


class VirtualSlot:
    """A card in vpcd's slot; `card` may be put in and changed at any time. port: where vpcd listens."""

    def __init__(self, port: int, card: ChipCard | None = None, protocol: int = 1) -> None:
        self.port = port
        self.card = card
        self._protocol = protocol
        self._task: asyncio.Task[None] | None = None

    def put_in(self) -> None:
        """Connect as soon as vpcd is there."""
        self._task = asyncio.create_task(self._lie())

    def take_out(self) -> None:
        """The card goes, also in the middle of a conversation: its answers don't come any more."""
        if self._task is not None:
            self._task.cancel()

    async def _lie(self) -> None:
        while True:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                await asyncio.sleep(CONNECT_AGAIN_S)
                continue
            try:
                await self._serve(reader, writer)
            except (asyncio.IncompleteReadError, OSError):
                pass  # pcscd has gone; it may come back
            finally:
                writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line: socket.socket = writer.get_extra_info("socket")
        while True:
            # vpcd sends length and bytes apart, and its Nagle waits for our acknowledgement: 44 ms.
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            length = int.from_bytes(await reader.readexactly(_LENGTH_BYTES))
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            if length > LONGEST_APDU:
                return
            answer = self._said(await reader.readexactly(length))
            if answer is not None:
                writer.write(len(answer).to_bytes(_LENGTH_BYTES) + answer)

    def _said(self, message: bytes) -> bytes | None:
        card = self.card
        if card is None:
            return None
        if len(message) == 1:
            if message[0] in (_POWER_OFF, _POWER_ON, _RESET):
                card.reset()
                return None
            return atr(self._protocol) if message[0] == _ATR else None
        return card.command(message)
