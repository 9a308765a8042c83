"""A cash register beside the terminal: the other end of `terminal.drivers.till`, in either profile.

`Till` is pure: bytes in, bytes out, its own rules of when to repeat; `TillPort` plays it on a cable. What it
never does is send a sale again whose message was acknowledged: it asks for the last result. Faults are how
it, or the cable, goes wrong.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from simulators.control import JsonObject
from simulators.serial_port import SerialPort

STX, ETX, SOH, EOT, ACK, NAK = b"\x02", b"\x03", b"\x01", b"\x04", b"\x06", b"\x15"
TRIES: Final = 3
READ_BYTES: Final = 4096
POLL: Final = b"0100"  # of the fields: its acknowledgement is its answer
REGISTER: Final = "7"
LONGEST_RECEIPT: Final = 20
LONGEST_TEXT: Final = 128  # of ECR17: receipt and basket
WISHES: Final = ("sale", "last", "void", "totals", "close", "status")


class Checks(NamedTuple):
    """How its check byte is made; long_acknowledgements: ACK and NAK have one as well."""

    base: int
    start: bool
    end: bool
    long_acknowledgements: bool

    def of(self, message: bytes) -> bytes:
        value = self.base
        for byte in (STX if self.start else b"") + message + (ETX if self.end else b""):
            value ^= byte
        return bytes((value,))


ECR17: Final = {
    "message": Checks(0x7F, False, False, True),
    "message, end": Checks(0x7F, False, True, True),
    "start, message, end": Checks(0x7F, True, True, True),
    "start, message": Checks(0x7F, True, False, True),
}
FIELDS: Final = Checks(0x00, False, True, False)


@dataclass
class Till:
    """One register. heard: messages that came whole; progress: what it was told meanwhile; deaf: acknowledges
    nothing so often; mishears: says NAK to good messages so often; loses_acks: doesn't hear them so
    often."""

    checks: Checks
    deaf: int = 0
    mishears: int = 0
    loses_acks: int = 0
    heard: list[bytes] = field(default_factory=list)
    progress: list[str] = field(default_factory=list)
    is_acknowledged: bool = False
    _received: bytearray = field(default_factory=bytearray)
    _asked: bytes = b""
    _tries: int = 0

    def ask(self, message: bytes) -> bytes:
        """What goes out to ask this."""
        assert message.isascii(), "tills speak ASCII"
        self._asked = STX + message + ETX + self.checks.of(message)
        self._tries = TRIES - 1
        self.is_acknowledged = False
        return self._asked

    def repeat(self) -> bytes:
        """What goes out when no acknowledgement came in time; nothing once it did, or after the last try."""
        if self.is_acknowledged or not self._tries:
            return b""
        self._tries -= 1
        return self._asked

    def hear(self, data: bytes) -> bytes:
        """Bytes of the terminal; what goes out to them."""
        self._received += data
        return b"".join(self._said())

    def _said(self) -> Iterator[bytes]:
        received = self._received
        while received:
            first = received[:1]
            if first in (ACK, NAK):
                length = 3 if self.checks.long_acknowledgements else 1
                if len(received) < length:
                    return
                del received[:length]
                if first == NAK:
                    yield self.repeat()
                elif self.loses_acks:
                    self.loses_acks -= 1
                else:
                    self.is_acknowledged = True
            elif first == SOH:
                end = received.find(EOT)
                if end < 0:
                    return
                self.progress.append(received[1:end].decode("ascii"))
                del received[: end + 1]
            elif first == STX:
                end = received.find(ETX)
                if end < 0 or len(received) < end + 2:
                    return
                message, check = bytes(received[1:end]), bytes(received[end + 1 : end + 2])
                del received[: end + 2]
                yield self._acknowledgement(message, check)
            else:
                del received[:1]

    def _acknowledgement(self, message: bytes, check: bytes) -> bytes:
        if self.deaf:
            self.deaf -= 1
            return b""
        if check != self.checks.of(message) or self.mishears:
            self.mishears = max(0, self.mishears - 1)
            return self._control(NAK)
        self.is_acknowledged = True  # who answers has heard
        if not self.heard or self.heard[-1] != message:
            self.heard.append(message)
        return self._control(ACK)

    def _control(self, byte: bytes) -> bytes:
        return byte + ETX + self.checks.of(byte) if self.checks.long_acknowledgements else byte


def sale(terminal: str, register: str, amount: int, text: str = "", code: str = "P") -> bytes:
    """ECR17's payment (P) or payment with extended result (X)."""
    columns = f"{terminal:0>8}0{code}{register:0>8}00000{amount:08d}{text:>128}00000000"
    assert len(columns) == 167, "a payment has 167 columns"
    return columns.encode("ascii")


class Result(NamedTuple):
    """ECR17's result, by its published columns."""

    code: str
    card: str
    entry: str
    authorization: str
    moment: str
    reason: str
    stan: str
    amount: str

    @classmethod
    def of(cls, message: bytes) -> Result:
        """Raises AssertionError for what is no result."""
        text = message.decode("ascii")
        assert text[9] == "E", "a result"
        good = text[10:12] == "00"
        return cls(
            text[10:12],
            text[12:31] if good else "",
            text[31:34] if good else "",
            text[34:40] if good else "",
            text[40:47] if good else "",
            "" if good else text[12:36].rstrip(),
            text[59:65],
            text[74:82],
        )


class TillPort:
    """A register on a serial cable or, with `address`, one that connects over TCP. It repeats by itself what
    nobody acknowledges, and goes on without the terminal after the last time."""

    def __init__(self, till: Till, kind: str = "columns", address: tuple[str, int] | None = None) -> None:
        self.kind = kind
        self.till = till
        self.repeat_s = 1.0
        self._address = address
        self._port: SerialPort | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._reader: asyncio.Task[None] | None = None
        self._heard = asyncio.Event()

    async def plug_in(self, link: Path) -> str:
        """Make its serial port at `link`, or name the address that the terminal listens at."""
        if self._address is not None:
            return f"{self._address[0]}/{self._address[1]}"
        self._port = SerialPort(link, self._received)
        self._port.open()
        return str(link)

    async def unplug(self) -> None:
        """Pull the cable."""
        if self._port is not None:
            self._port.close()
            self._port = None
        await self.disconnect()

    async def disconnect(self) -> None:
        """Over TCP: hang up."""
        if self._reader is not None:
            self._reader.cancel()
            self._reader = None
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    async def ask(self, message: bytes) -> bytes | None:
        """The answer to this; None: nobody acknowledged it, the register goes on without."""
        self.till.heard.clear()
        try:
            await self._say(self.till.ask(message))
            while True:
                self._heard.clear()
                answer = next((one for one in self.till.heard if not is_on_the_way(one)), None)
                if answer is not None:
                    return answer
                if self.till.is_acknowledged and message.startswith(POLL):
                    return b""
                if self.till.is_acknowledged:
                    await self._heard.wait()
                    continue
                try:
                    async with asyncio.timeout(self.repeat_s):
                        await self._heard.wait()
                except TimeoutError:
                    again = self.till.repeat()
                    if not again:
                        return None
                    await self._say(again)
        except OSError:
            return None

    async def control(self, request: JsonObject) -> JsonObject:
        """do: sale (amount, receipt, basket), last, void (stan), totals, close, status. What the terminal
        said, None when the register goes on without it. Raises ValueError."""
        message = (of_columns if self.kind == "columns" else of_fields)(request)
        answer = await self.ask(message)
        progress, self.till.progress[:] = list(self.till.progress), []
        told = None if answer is None else answer.decode("ascii")
        return {"answer": told, "progress": [text.strip() for text in progress]}

    async def _say(self, data: bytes) -> None:
        if self._address is not None and self._writer is None:
            reader, self._writer = await asyncio.open_connection(*self._address)
            self._reader = asyncio.create_task(self._listen(reader))
        self._write(data)

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(READ_BYTES):
                self._received(data)

    def _received(self, data: bytes) -> None:
        self._write(self.till.hear(data))
        self._heard.set()

    def _write(self, data: bytes) -> None:
        if self._writer is not None:
            self._writer.write(data)
        elif self._port is not None:
            self._port.write(data)


def of_columns(request: JsonObject, terminal: str = "0" * 8) -> bytes:
    """ECR17's message for a request of TillPort.control."""
    amount, receipt, basket, stan = _sale_of(request)
    match request.get("do"):
        case "sale":
            text = f"{receipt};{basket}" if basket else receipt
            return sale(terminal, REGISTER, amount, text, "X")
        case "last":
            return f"{terminal}0G{REGISTER:0>8}0000".encode("ascii")
        case "void":
            return f"{terminal}0S{REGISTER:0>8}{stan:0>6}00".encode("ascii")
        case "totals" | "close" as what:
            return f"{terminal}0{what[0].upper()}{REGISTER:0>8}00000000".encode("ascii")
        case "status":
            return f"{terminal}0s".encode("ascii")
    raise ValueError(f"unknown wish {request.get('do')!r}; expected one of {', '.join(WISHES)}")


def of_fields(request: JsonObject) -> bytes:
    """The message with pipes for a request of TillPort.control."""
    amount, receipt, basket, stan = _sale_of(request)
    commands = {
        "sale": f"0200|{amount}|{receipt}|{basket}||1|",
        "last": "0280|1|",
        "void": f"1200|{stan}|",
        "totals": "0700||",
        "close": "0500||",
        "status": "0100",
    }
    try:
        return commands[str(request.get("do"))].encode("ascii")
    except KeyError:
        raise ValueError(f"unknown wish {request.get('do')!r}; expected one of {', '.join(WISHES)}") from None


def _sale_of(request: JsonObject) -> tuple[int, str, str, str]:
    amount, receipt = request.get("amount", 0), request.get("receipt", "")
    basket, stan = request.get("basket", ""), request.get("stan", "000000")
    if not (isinstance(amount, int) and 0 <= amount < 10**8):
        raise ValueError("amount: expected a number of at most 8 digits")
    if not (isinstance(receipt, str) and receipt.isascii() and len(receipt) <= LONGEST_RECEIPT):
        raise ValueError(f"receipt: expected at most {LONGEST_RECEIPT} letters")
    room = LONGEST_TEXT - len(receipt) - 1
    if not (isinstance(basket, str) and basket.isascii() and "|" not in basket and len(basket) <= room):
        raise ValueError(f"basket: expected at most {room} letters beside this receipt number, none a |")
    if not (isinstance(stan, str) and stan.isascii() and stan.isdigit()):
        raise ValueError("stan: expected digits")
    return amount, receipt, basket, stan


def is_on_the_way(message: bytes) -> bool:
    """Whether this comes before the answer: a ticket of ECR17, a word of progress of the fields."""
    return message[9:10] == b"S" or message.startswith(b"0900")
