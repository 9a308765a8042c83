"""Loading a terminal's initial key over its service port: the dialogue, and the serial line it goes over.

Frames are STX payload ETX LRC (XOR of payload and ETX), the payload ASCII. The key travels as a block under
the terminal's own transport key; this side never has it in the clear.
"""

from __future__ import annotations

import os
import select
import termios
import time
import tty
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Protocol

from switch.hsm.port import ExportedKey
from tools.cli import CommandError, ExitCode

STX, ETX = 0x02, 0x03
LONGEST_ANSWER = 512
SENDINGS = 3  # a line that damages three frames in a row needs a hand
ANSWER_SECONDS = 10.0  # a terminal derives and stores its registers meanwhile
READ_BYTES = 256
READ_SECONDS = 0.2  # how often a silent line looks at the clock
# Refusals that a frame sent again, with later counters, may get past.
TRY_AGAIN = ("LRC", "LENGTH", "KSN")
UNKNOWN = "load keys again with --replace: it has those of before, or the new ones"


class Line(Protocol):
    """A serial line. read: what came, b"" when nothing did for a while."""

    def write(self, data: bytes) -> None: ...

    def read(self) -> bytes: ...


class Injection(NamedTuple):
    """What a terminal is loaded with. serial: its first KSN, 24 hex digits."""

    terminal: str
    serial: str
    exported: ExportedKey


class Terminal(NamedTuple):
    """What a terminal says of itself."""

    identifier: str
    loaded: bool
    transport_check_value: str


def frame(payload: str) -> bytes:
    """The bytes of a payload on the line."""
    data = payload.encode("ascii")
    return bytes([STX]) + data + bytes([ETX, lrc(data)])


def lrc(payload: bytes) -> int:
    """Of payload and ETX."""
    check = ETX
    for byte in payload:
        check ^= byte
    return check


class Answers:
    """Finds whole frames in what a line brings; noise around them and damaged ones are left out."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> list[str]:
        self._data += data
        found: list[str] = []
        while (start := self._data.find(STX)) >= 0:
            end = self._data.find(ETX, start + 1)
            if end < 0 or end + 1 == len(self._data):
                if len(self._data) - start <= LONGEST_ANSWER:
                    return found  # the rest may still come
                end = start
            payload = bytes(self._data[start + 1 : end])
            if end > start and self._data[end + 1] == lrc(payload) and _is_text(payload):
                found.append(payload.decode("ascii"))
                del self._data[: end + 2]
            else:
                del self._data[: start + 1]  # a real frame may begin inside this one
        self._data.clear()
        return found


def _is_text(payload: bytes) -> bool:
    return all(0x20 <= byte <= 0x7E for byte in payload)


def identify(line: Line, clock: Callable[[], float] = time.monotonic) -> Terminal:
    """Ask the terminal who it is, again when nothing or nonsense comes. Raises CommandError."""
    for _ in range(SENDINGS):
        answer = exchange(line, "V1?", ("V1", "ERR"), clock)
        parts = answer.split("|")
        if answer.startswith(("ERR|LRC", "ERR|LENGTH")) or not answer:
            continue
        if parts[0] != "V1" or len(parts) != 4 or parts[2] not in ("empty", "loaded"):
            raise CommandError(
                f"the terminal's answer can't be understood: {answer}",
                ExitCode.NETWORK,
                "update its firmware",
            )
        return Terminal(parts[1], parts[2] == "loaded", parts[3].upper())
    raise CommandError(
        "no terminal answers",
        ExitCode.NETWORK,
        "check the cable, --port and that the terminal is on; its service port is meant",
    )


async def load(
    line: Line, offer: Callable[[], Awaitable[Injection]], clock: Callable[[], float] = time.monotonic
) -> Injection:
    """Give the terminal its key; returns what it took. Raises CommandError.

    offer: makes what is sent, with later counters each time: a terminal that took an offer whose answer got
    lost, or that worked with this key before, refuses the counters that it has passed.
    """
    refusal = ""
    for _ in range(SENDINGS):
        made = await offer()
        check_value = made.exported.check_value
        payload = f"K1|{made.terminal}|{made.serial}|{check_value}|{made.exported.block}"
        code, _, rest = exchange(line, payload, ("OK", "ERR"), clock).partition("|")
        if code == "OK" and rest.upper() == check_value:
            return made
        if code == "OK":
            raise CommandError(
                f"the terminal says it loaded a key with check value {rest}, not {check_value}",
                ExitCode.NEGATIVE,
                "load keys again; don't use it until then",
            )
        refusal = rest.replace("|", ": ", 1)
        if refusal and not rest.startswith(TRY_AGAIN):
            break
    if refusal:
        raise CommandError(
            f"the terminal refused the key: {refusal}",
            ExitCode.NEGATIVE,
            "it has the keys that it had before",
        )
    raise CommandError(
        "the terminal doesn't say whether it took the key", ExitCode.NETWORK, "check the cable; " + UNKNOWN
    )


def exchange(line: Line, payload: str, wanted: tuple[str, ...], clock: Callable[[], float]) -> str:
    """The first answer of a wanted kind, or "" when time is up."""
    answers = Answers()
    line.write(frame(payload))
    until = clock() + ANSWER_SECONDS
    while clock() < until:
        for answer in answers.feed(line.read()):
            if answer.partition("|")[0] in wanted:
                return answer
    return ""


class SerialLine:
    """A serial device: 9600 baud, 8N1, raw. Raises CommandError when it can't be used."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        except OSError as error:
            raise CommandError(
                f"{path}: can't be opened ({error.strerror})", ExitCode.NETWORK, "check --port"
            ) from None
        try:
            tty.setraw(self._descriptor, termios.TCSANOW)
            settings = termios.tcgetattr(self._descriptor)
            settings[2] |= termios.CLOCAL | termios.CREAD  # three wires: no carrier to wait for
            settings[4] = settings[5] = termios.B9600
            termios.tcsetattr(self._descriptor, termios.TCSANOW, settings)
            termios.tcflush(self._descriptor, termios.TCIFLUSH)  # an answer to somebody before us
        except termios.error:
            os.close(self._descriptor)
            raise CommandError(f"{path}: not a serial port", ExitCode.NETWORK, "check --port") from None

    def __enter__(self) -> SerialLine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)

    def write(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            _, ready, _ = select.select([], [self._descriptor], [], ANSWER_SECONDS)
            if not ready:
                raise self._lost("takes no more bytes")
            try:
                left = left[os.write(self._descriptor, left) :]
            except OSError as error:
                raise self._lost(error.strerror) from None

    def read(self) -> bytes:
        ready, _, _ = select.select([self._descriptor], [], [], READ_SECONDS)
        if not ready:
            return b""
        try:
            data = os.read(self._descriptor, READ_BYTES)
        except OSError as error:
            raise self._lost(error.strerror) from None
        if not data:
            raise self._lost("unplugged")
        return data

    def _lost(self, why: str | None) -> CommandError:
        return CommandError(
            f"{self._path}: the line is lost ({why})",
            ExitCode.NETWORK,
            "check the cable; if keys were under way, load them again with --replace",
        )
