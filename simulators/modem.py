"""A Hayes modem and the network behind it: numbers that answer, are busy, ring for ever, or drop the call.

Pure: bytes of the terminal in, bytes out, a clock that is handed in. Behind a number stands whoever
takes the call. `ModemPort` plays it on a pty.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol

from simulators.serial_port import SerialPort

GUARD_S: Final = 1.0  # S12: 50 times 20 ms
# Results by their digit (V.250).
_WORDS: Final = {
    0: "OK",
    1: "CONNECT",
    3: "NO CARRIER",
    4: "ERROR",
    5: "CONNECT 1200",
    6: "NO DIALTONE",
    7: "BUSY",
    8: "NO ANSWER",
    10: "CONNECT 2400",
}
_SPEED_CODES: Final = {300: 1, 1200: 5, 2400: 10}


class Subscriber(Protocol):
    """Who answers a number."""

    def called(self) -> bytes:
        """Somebody is on the line; what is said first."""
        ...

    def heard(self, data: bytes) -> bytes:
        """Bytes of the caller; what is said to them."""
        ...


@dataclass(frozen=True, slots=True)
class Number:
    """What happens when a number is called. result: of V.250, when nobody takes the call; seconds until that,
    or until the line stands; drops_after: bytes of the other side until the network lets go, 0:
    never."""

    subscriber: Subscriber | None = None
    result: int = 3
    seconds: float = 0.0
    speed: int = 2400
    drops_after: int = 0


class HayesModem:
    """The modem. dialled: each number, as it was."""

    def __init__(
        self, numbers: Mapping[str, Number], *, has_tone: bool = True, is_fitted: bool = True
    ) -> None:
        self._numbers = numbers
        self._has_tone = has_tone
        self._is_fitted = is_fitted
        self.dialled: list[str] = []
        self.commands: list[str] = []
        self._line = bytearray()
        self._online: Number | None = None
        self._calling: tuple[Number, float] | None = None
        self._carried = 0
        self._quiet_since = 0.0
        self._escape = b""
        self._reset()

    def _reset(self) -> None:
        self._echo, self._words = True, True

    @property
    def is_online(self) -> bool:
        return self._online is not None

    def due(self) -> float | None:
        """When something happens by itself."""
        if self._calling is not None:
            return self._calling[1]
        return self._quiet_since + GUARD_S if self._escape == b"+++" else None

    def pass_time(self, now: float) -> bytes:
        """What it says by itself now."""
        if self._calling is not None and now >= self._calling[1]:
            number, _ = self._calling
            self._calling = None
            return self._connected(number, now)
        if self._escape == b"+++" and now >= self._quiet_since + GUARD_S:
            self._escape = b""
            self._on_hold, self._online = self._online, None
            return self._said(0)
        return b""

    _on_hold: Number | None = None

    def feed(self, data: bytes, now: float) -> bytes:
        """Bytes of the terminal; what it says to them."""
        if not self._is_fitted:
            return b""
        said = self.pass_time(now)
        if self._calling is not None:
            self._calling = None  # any byte stops the dialling
            return said + self._said(3)
        if self._online is not None:
            return said + self._carry(data, now)
        return said + b"".join(self._letter(byte, now) for byte in data)

    def say(self, data: bytes) -> bytes:
        """The other side says something by itself; what the terminal sees."""
        number = self._online
        if number is None:
            return b""
        if number.drops_after and self._carried + len(data) >= number.drops_after:
            return data[: number.drops_after - self._carried] + self.drop()
        self._carried += len(data)
        return data

    def drop_after(self, count: int) -> None:
        """The network lets go of the call under way after so many more bytes of the other side."""
        assert self._online is not None
        self._online = replace(self._online, drops_after=self._carried + count)

    def drop(self) -> bytes:
        """The network lets go; what the terminal sees."""
        if self._online is None:
            return b""
        self._online = None
        return self._said(3)

    def _carry(self, data: bytes, now: float) -> bytes:
        assert self._online is not None
        number = self._online
        was_quiet = now - self._quiet_since >= GUARD_S
        self._quiet_since = now
        self._escape = data if data == b"+++" and was_quiet else b""
        if self._escape:
            return b""
        return self.say(number.subscriber.heard(data) if number.subscriber else b"")

    def _letter(self, byte: int, now: float) -> bytes:
        echo = bytes((byte,)) if self._echo else b""
        if byte != 0x0D:
            self._line.append(byte)
            return echo
        command = self._line.decode("ascii", "replace").strip().upper()
        self._line.clear()
        return echo + (self._obey(command, now) if command else b"")

    def _obey(self, command: str, now: float) -> bytes:
        self.commands.append(command)
        if not command.startswith("AT"):
            return self._said(4)
        rest = command[2:]
        if rest.startswith("D"):
            return self._call(rest[1:].lstrip("TP"), now)
        if rest.startswith("&F"):
            self._reset()
        if rest.startswith("H"):
            self._on_hold = None
        if rest.startswith("O") and self._on_hold is not None:
            self._online, self._on_hold = self._on_hold, None
            return self._said(1)
        if rest.startswith("$F") and rest != "$F2":
            return self._said(4)
        for setting, value in (("E0", False), ("E1", True)):
            if setting in rest:
                self._echo = value
        for setting, value in (("V0", False), ("V1", True)):
            if setting in rest:
                self._words = value
        return self._said(0)

    def _call(self, dialled: str, now: float) -> bytes:
        self.dialled.append(dialled)
        if not self._has_tone:
            return self._said(6)
        number = self._numbers.get(dialled.replace(",", "").replace("W", ""), Number(result=8))
        if number.seconds:
            self._calling = number, now + number.seconds
            return b""
        return self._connected(number, now)

    def _connected(self, number: Number, now: float) -> bytes:
        if number.subscriber is None:
            return self._said(number.result)
        self._online = number
        self._carried = 0
        self._quiet_since = now
        self._escape = b""
        return self._said(_SPEED_CODES.get(number.speed, 1), number.speed) + number.subscriber.called()

    def _said(self, result: int, speed: int = 0) -> bytes:
        if not self._words:
            return b"%d\r" % result
        word = f"CONNECT {speed}" if speed else _WORDS[result]
        return f"\r\n{word}\r\n".encode("ascii")


class ModemPort:
    """The modem at its pty, linked at `link`."""

    def __init__(self, link: Path, modem: HayesModem) -> None:
        self.modem = modem
        self._port = SerialPort(link, self._received)
        self._timer: asyncio.TimerHandle | None = None

    def open(self) -> None:
        """Plug it in. Needs the running event loop."""
        self._port.open()

    def close(self) -> None:
        """Unplug it."""
        if self._timer is not None:
            self._timer.cancel()
        self._port.close()

    def say(self, data: bytes) -> None:
        """The other side of the call says something by itself."""
        self._port.write(self.modem.say(data))

    def drop(self) -> None:
        """The network lets go of the call."""
        self._port.write(self.modem.drop())

    def _received(self, data: bytes) -> None:
        self._say(lambda now: self.modem.feed(data, now))

    def _say(self, what: Callable[[float], bytes]) -> None:
        loop = asyncio.get_running_loop()
        self._port.write(what(loop.time()))
        if self._timer is not None:
            self._timer.cancel()
        due = self.modem.due()
        self._timer = None if due is None else loop.call_at(due, self._say, self.modem.pass_time)
