"""Telephone and mobile network between a terminal and the real switch: a modem at a port, and a gateway.

The gateway takes a call, opens a connection to the switch for it and hands messages on as they are, TPDU
included. What goes wrong is a value that a test sets: numbers, drops, answers that never arrive.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from simulators.control import JsonObject
from simulators.dial_host import DialHost
from simulators.faults import Frames, framed
from simulators.gprs import FAMILIES, Air, GprsModem
from simulators.modem import HayesModem, ModemPort, Number
from simulators.serial_port import SerialPort

FIRST_NUMBER: Final = "02188000001"
BACKUP_NUMBER: Final = "02188000002"
ACCESS_POINT: Final = "vafa"
LINES: Final = ("dial", *FAMILIES)
FOR_EVER: Final = 1_000_000  # looks at SIM, signal or registration
BUSY, NO_ANSWER = 7, 8  # results of V.250
READ_BYTES: Final = 4096
LENGTH_BYTES: Final = 2


class Gateway:
    """The connection to the switch of one call at a time. `hear` gets what the switch says, in frames or,
    when `whole` is false, as it comes; `over` is called when the switch ends the connection."""

    def __init__(
        self, where: tuple[str, int], hear: Callable[[bytes], None], over: Callable[[], None], *, whole: bool
    ) -> None:
        self._where = where
        self._hear = hear
        self._over = over
        self._whole = whole
        self._frames = Frames()
        self._task: asyncio.Task[None] | None = None
        self._to_say: asyncio.Queue[bytes] = asyncio.Queue()

    def open(self) -> None:
        """A call came in."""
        self.close()
        self._frames = Frames()
        self._to_say = asyncio.Queue()
        self._task = asyncio.create_task(self._carry(self._to_say))

    def close(self) -> None:
        """The call is over."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def say(self, data: bytes) -> None:
        """Bytes for the switch."""
        self._to_say.put_nowait(data)

    async def _carry(self, to_say: asyncio.Queue[bytes]) -> None:
        try:
            reader, writer = await asyncio.open_connection(*self._where)
        except OSError:
            self._over()
            return
        speaker = asyncio.create_task(self._speak(to_say, writer))
        try:
            while data := await reader.read(READ_BYTES):
                if not self._whole:
                    self._hear(data)
                for frame in self._frames.feed(data) if self._whole else ():
                    self._hear(frame[LENGTH_BYTES:])
            self._over()
        except OSError:
            self._over()
        finally:
            speaker.cancel()
            writer.close()

    async def _speak(self, to_say: asyncio.Queue[bytes], writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while True:
                writer.write(await to_say.get())
                await writer.drain()


def line_named(name: str, host: str, port: int) -> PhoneLine | MobileNetwork:
    """A modem of this kind, with the switch behind it. Raises ValueError."""
    if name == "dial":
        return PhoneLine(host, port)
    if name in FAMILIES:
        return MobileNetwork(host, port, name)
    raise ValueError(f"unknown line {name!r}; expected {', '.join(LINES)}")


def _wish(request: JsonObject, wishes: Mapping[str, Callable[[], None]]) -> JsonObject:
    wish = request.get("do")
    if wish not in wishes:
        raise ValueError(f"unknown wish {wish!r}; expected one of {', '.join(wishes)}")
    wishes[str(wish)]()
    return {"done": wish}


class PhoneLine:
    """A Hayes modem, and a modem bank behind FIRST_NUMBER and BACKUP_NUMBER. `numbers` may be changed, and
    `loses_answers`: so often the call ends when the switch has answered, before a byte of it was carried."""

    kind: Final = "hayes"

    def __init__(self, host: str, port: int) -> None:
        self.host = DialHost(self._asked)
        self.numbers = {FIRST_NUMBER: Number(self), BACKUP_NUMBER: Number(self)}
        self.modem = HayesModem(self.numbers)
        self.loses_answers = 0
        self.answers = 0  # of the switch
        self._gateway = Gateway((host, port), self._answered, self._ended, whole=True)
        self._port: ModemPort | None = None

    @property
    def line(self) -> dict[str, object]:
        """The line as the terminal's settings say it."""
        return {"kind": "dial", "numbers": [FIRST_NUMBER, BACKUP_NUMBER]}

    async def plug_in(self, link: Path) -> str:
        """Make the modem's port at `link`; the path for the board file."""
        self._port = ModemPort(link, self.modem)
        self._port.open()
        return str(link)

    async def unplug(self) -> None:
        """Pull the modem's cable."""
        self._gateway.close()
        if self._port is not None:
            self._port.close()
            self._port = None

    async def control(self, request: JsonObject) -> JsonObject:
        """What happens to the next calls: answers, busy, no-answer, backup (the first number is busy); drop
        (the one under way), lose-answer. Raises ValueError."""
        return _wish(
            request,
            {
                "answers": lambda: self._numbers_are(None, None),
                "busy": lambda: self._numbers_are(BUSY, BUSY),
                "no-answer": lambda: self._numbers_are(NO_ANSWER, NO_ANSWER),
                "backup": lambda: self._numbers_are(BUSY, None),
                "drop": self._ended,
                "lose-answer": self._lose,
            },
        )

    def _numbers_are(self, *results: int | None) -> None:
        for number, result in zip((FIRST_NUMBER, BACKUP_NUMBER), results, strict=True):
            self.numbers[number] = Number(self) if result is None else Number(result=result)

    def _lose(self) -> None:
        self.loses_answers += 1

    def called(self) -> bytes:
        self._gateway.open()
        return self.host.called()

    def heard(self, data: bytes) -> bytes:
        return self.host.heard(data)

    def _asked(self, message: bytes) -> None:
        self._gateway.say(framed(message))

    def _answered(self, message: bytes) -> None:
        self.answers += 1
        if self.loses_answers:
            self.loses_answers -= 1
            self._ended()
        elif self._port is not None:
            self._port.say(self.host.answered(message))

    def _ended(self) -> None:
        if self._port is not None:
            self._port.drop()


class MobileNetwork:
    """A GPRS modem and a network behind which the switch is. `air` may be changed; `loses_answers` as above,
    `by` saying how: "drop" of the connection, "deactivate" of the data service."""

    def __init__(self, host: str, port: int, family: str = "sim800", air: Air | None = None) -> None:
        self.kind = family
        self.air = air or Air()
        self.air.hosts = {(host, port): self}
        self.modem = GprsModem(family, self.air)
        self.loses_answers = 0
        self.by = "drop"
        self.answers = 0
        self._where = (host, port)
        self._gateway = Gateway(self._where, self._answered, self._ended, whole=False)
        self._port: SerialPort | None = None

    @property
    def line(self) -> dict[str, object]:
        """The line as the terminal's settings say it."""
        host, port = self._where
        return {"kind": "gprs", "access_point": ACCESS_POINT, "host": host, "port": port}

    async def plug_in(self, link: Path) -> str:
        """Make the modem's port at `link`; the path for the board file."""
        self._port = SerialPort(link, self._received)
        self._port.open()
        return str(link)

    async def unplug(self) -> None:
        """Pull the modem's cable."""
        self._gateway.close()
        if self._port is not None:
            self._port.close()
            self._port = None

    async def control(self, request: JsonObject) -> JsonObject:
        """What the air is like: good, no-sim, no-signal, no-network, no-data, drop and deactivate (the
        connection under way), lose-answer. Raises ValueError."""
        return _wish(
            request,
            {
                "good": lambda: self._air_is(),
                "no-sim": lambda: self._air_is(sim=FOR_EVER),
                "no-signal": lambda: self._air_is(weak=FOR_EVER),
                "no-network": lambda: self._air_is(searching=FOR_EVER),
                "no-data": lambda: self._air_is(activates=False),
                "drop": self._ended,
                "deactivate": lambda: self._write(self.modem.deactivate()),
                "lose-answer": self._lose,
            },
        )

    def _air_is(self, sim: int = 0, weak: int = 0, searching: int = 0, activates: bool = True) -> None:
        air = self.air
        air.sim, air.weak, air.searching, air.activates = sim, weak, searching, activates

    def _lose(self) -> None:
        self.loses_answers += 1

    def called(self) -> bytes:
        self._gateway.open()
        return b""

    def heard(self, data: bytes) -> bytes:
        self._gateway.say(data)
        return b""

    def _received(self, data: bytes) -> None:
        self._write(self.modem.feed(data))

    def _answered(self, data: bytes) -> None:
        self.answers += 1
        if self.loses_answers:
            self.loses_answers -= 1
            self._gateway.close()
            self._write(self.modem.deactivate() if self.by == "deactivate" else self.modem.drop())
        else:
            self._write(self.modem.say(data))

    def _ended(self) -> None:
        self._write(self.modem.drop())

    def _write(self, data: bytes) -> None:
        if self._port is not None:
            self._port.write(data)
