"""A 4x4 keypad on a serial port: every key is one byte. It knows keys, not what the firmware makes of
them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from simulators.control import JsonObject
from simulators.serial_port import SerialPort

KEYS: Final = "0123456789ABCD*#"
EARN: Final = "A"
REDEEM: Final = "B"
BALANCE: Final = "C"
ACTIVATE: Final = "D"
CANCEL: Final = "*"
ENTER: Final = "#"


def checked(keys: str) -> str:
    """`keys` when all of them are on the keypad; ValueError names the first that is not."""
    for key in keys:
        if key not in KEYS:
            raise ValueError(f"there is no key {key!r}; the keypad has {' '.join(KEYS)}")
    return keys


class Keypad:
    """The keypad at its pty, linked at `link`. `milliseconds_a_key`: the pause before each key, 0 for
    none."""

    def __init__(self, link: Path, milliseconds_a_key: int = 0) -> None:
        self._port = SerialPort(link)
        self._pause = milliseconds_a_key / 1000

    def open(self) -> None:
        """Plug it in. Needs the running event loop."""
        self._port.open()

    def close(self) -> None:
        """Unplug it."""
        self._port.close()

    def forget_unread(self) -> None:
        """Drop keys the firmware has not read, as a power cut does."""
        self._port.forget_unread()

    async def press(self, keys: str) -> None:
        """Press the keys, one after the other."""
        for key in checked(keys):
            if self._pause:
                await asyncio.sleep(self._pause)
            await self._port.send(key.encode())

    async def control(self, request: JsonObject) -> JsonObject:
        """Serve one request of the control socket: {"do": "press", "keys": "2500000#"}."""
        keys = request.get("keys")
        if request.get("do") != "press" or not isinstance(keys, str):
            raise ValueError('unknown request; known: {"do": "press", "keys": "2500000#"}')
        await self.press(keys)
        return {"keys": len(keys)}
