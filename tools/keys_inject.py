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
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Protocol

from tools.cli import CommandError, ExitCode

STX, ETX = 0x02, 0x03
LONGEST_ANSWER = 512
SENDINGS = 3  # of a frame that nobody answers, or whose answer came damaged
ANSWER_SECONDS = 10.0  # a terminal derives and stores its registers meanwhile
READ_BYTES = 256


class Line(Protocol):
    """A serial line. read: what came, b"" when nothing did for a while."""

    def write(self, data: bytes) -> None: ...

    def read(self) -> bytes: ...


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
    """Finds whole frames in what a line brings; noise between them and damaged ones are left out."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> list[str]:
        self._data += data
        found: list[str] = []
        while True:
            start = self._data.find(STX)
            end = self._data.find(ETX, start + 1)
            if start < 0 or end < 0 or end + 1 >= len(self._data):
                if start < 0 or len(self._data) - start > LONGEST_ANSWER:
                    self._data.clear()
                return found
            payload = bytes(self._data[start + 1 : end]).rpartition(b"\x02")[2]
            check = self._data[end + 1]
            del self._data[: end + 2]
            if check == lrc(payload) and payload.isascii():
                found.append(payload.decode("ascii"))


def identify(line: Line) -> Terminal:
    """Ask the terminal who it is. Raises CommandError."""
    parts = _exchange(line, "V1?", ("V1",)).split("|")
    if len(parts) != 4 or parts[2] not in ("empty", "loaded"):
        raise CommandError(
            "the terminal's answer can't be understood", ExitCode.NETWORK, "update its firmware"
        )
    return Terminal(parts[1], parts[2] == "loaded", parts[3].upper())


def load(line: Line, terminal: str, serial: str, check_value: str, block: str) -> None:
    """Give the terminal its key. Raises CommandError when it takes it not."""
    answer = _exchange(line, f"K1|{terminal}|{serial}|{check_value}|{block}", ("OK", "ERR"))
    code, _, rest = answer.partition("|")
    if code == "ERR":
        raise CommandError(
            f"the terminal refused the key: {rest.replace('|', ': ', 1)}",
            ExitCode.NEGATIVE,
            "it keeps the keys that it had",
        )
    if rest.upper() != check_value:
        raise CommandError(
            "the terminal loaded a key with another check value",
            ExitCode.NEGATIVE,
            "inject again; don't use it",
        )


def _exchange(line: Line, payload: str, wanted: tuple[str, ...]) -> str:
    answers = Answers()
    for _ in range(SENDINGS):
        line.write(frame(payload))
        until = time.monotonic() + ANSWER_SECONDS
        while time.monotonic() < until:
            for answer in answers.feed(line.read()):
                if answer.startswith("ERR|LRC"):
                    until = 0.0  # the line damaged what we sent: once more
                elif answer.partition("|")[0] in (*wanted, "ERR"):
                    if answer.startswith("ERR") and "ERR" not in wanted:
                        raise CommandError(f"the terminal answered {answer!r}", ExitCode.NETWORK)
                    return answer
    raise CommandError(
        "the terminal doesn't answer",
        ExitCode.NETWORK,
        "check the cable, --port and that the terminal is on; its service port is meant",
    )


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
            settings[4] = settings[5] = termios.B9600
            termios.tcsetattr(self._descriptor, termios.TCSANOW, settings)
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
                raise CommandError(f"{self._path}: takes no more bytes", ExitCode.NETWORK, "check the cable")
            try:
                left = left[os.write(self._descriptor, left) :]
            except OSError as error:
                raise self._lost(error) from None

    def read(self) -> bytes:
        ready, _, _ = select.select([self._descriptor], [], [], 0.2)
        try:
            return os.read(self._descriptor, READ_BYTES) if ready else b""
        except OSError as error:
            raise self._lost(error) from None

    def _lost(self, error: OSError) -> CommandError:
        return CommandError(f"{self._path}: {error.strerror}", ExitCode.NETWORK, "check the cable")
